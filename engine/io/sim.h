/*
 * sim: the controls of the simulated world behind io.h: its clock, its network, and the far ends of its connections. Those of its disk are in sim_disk.h.
 *
 * A test (or a benchmark) opens the io_set of the simulator through io_open(), gets at its world with sim_of(), and then plays
 * every client: it opens connections, writes bytes, reads what the broker sent, and moves time. Nothing happens by itself: shards run when the test
 * calls their turn, and time moves with sim_advance(). Everything random comes from the seed, so a run repeats exactly.
 *
 *     test ── sim_connect, sim_write ──► [pipe with faults] ──► IO_RECEIVED   broker
 *     test ◄── sim_read ◄────────────── [pipe with faults] ◄── io_send
 *
 * Faults: bytes arrive in pieces of random size, at random later times but in order; a reader can be slow or stuck (then sends stay under way,
 * as with a full socket buffer); the client can reset. A shard's io_wait() sees only what has arrived by the simulated now,
 * and never blocks. While any delay or fragments are set the world also uses what io.h leaves open: one more IO_RECEIVED after io_receive_stop(), an IO_SENT
 * with -ECANCELED for a send that io_close() gives up, and a later IO_CLOSED.
 *
 * Invariants
 *   S1  bytes of one direction of one connection are never reordered, lost or changed before a reset.
 *   S2  equal seeds and equal calls give equal runs.
 *
 * Memory: an idle connection costs a few tens of bytes here, so that millions fit into one process. One thread.
 */
#ifndef TIDEWIRE_ENGINE_IO_SIM_H
#define TIDEWIRE_ENGINE_IO_SIM_H

#include "engine/io/io.h"

struct sim;
typedef uint32_t sim_connection;
#define SIM_CONNECTION_NONE UINT32_MAX

struct sim_faults {
    uint32_t delay_ns_max;      /* extra time of each piece, uniform from 0; 0: at once */
    uint32_t fragment_percent;  /* of the pieces that are cut at a random place, 0 to 100 */
    uint32_t pipe_size;         /* bytes that one direction holds before its sender waits; 0: 64 KiB */
};

/* The seed that the next io_open() starts from. */
void sim_set_seed(uint64_t seed);
struct sim *sim_of(struct io_set *set);
void sim_set_faults(struct sim *sim, const struct sim_faults *faults);

uint64_t sim_now_ns(const struct sim *sim);
void sim_advance(struct sim *sim, uint64_t by_ns);
/* The earliest time at which bytes or an event that are under way will arrive, or something happens at the disk; UINT64_MAX if nothing is under way. */
uint64_t sim_next_ns(const struct sim *sim);
/* True if io_wait(shard) would return an event or a wake-up now, or start a send that io_send() has left for it. */
bool sim_ready(const struct sim *sim, unsigned shard);
/*
 * Work off the shards (io_work) takes until it is let go: each shard's takes `room` pieces, and then its queue is full. False: what was held begins, and everything
 * after it at once.
 */
void sim_hold_work(struct sim *sim, bool hold, uint32_t room);
/* The sim's own random numbers, for tests that want to be repeatable with it. */
uint64_t sim_random(struct sim *sim);

/* Connects to the listener on `port` of a shard picked at random (`shard` >= 0: of that one). SIM_CONNECTION_NONE if nobody listens. */
sim_connection sim_connect(struct sim *sim, uint16_t port, int shard);
/* The same for the listener of a Unix socket. */
sim_connection sim_connect_path(struct sim *sim, const char *path, int shard);
/* The address that the broker sees, instead of one of its own for each connection; before the broker's next turn. */
void sim_set_address(struct sim *sim, sim_connection c, const struct sockaddr_storage *address);
/* Hands bytes to the network; all are taken. */
void sim_write(struct sim *sim, sim_connection c, const void *data, uint32_t size);
/* Bytes that have arrived at the client by now: copied out and consumed. Returns how many. */
uint32_t sim_read(struct sim *sim, sim_connection c, void *out, uint32_t room);
/* Bytes that sim_read could return now. */
uint32_t sim_readable(const struct sim *sim, sim_connection c);
/* The client does not read (true): at most pipe_size bytes are taken from the broker, then its sends stay under way. */
void sim_set_stuck(struct sim *sim, sim_connection c, bool stuck);
/* The client finishes sending; or breaks the connection: the broker sees -ECONNRESET, and bytes that it has not received are lost. */
void sim_finish(struct sim *sim, sim_connection c);
void sim_reset(struct sim *sim, sim_connection c);
/* True once the broker's side is closed or shut down and everything it sent before was read. */
bool sim_finished(const struct sim *sim, sim_connection c);
/* Forgets the connection (resets it first if it is open); its number may be used again. */
void sim_free(struct sim *sim, sim_connection c);
/* Sockets that the broker holds open, over all shards, without those on their way between two: for leak checks. */
uint32_t sim_broker_sockets(const struct sim *sim);

#endif
