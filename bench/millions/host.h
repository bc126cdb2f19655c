/*
 * host: a whole broker over the simulated network, all shards in this thread, and the CPU time that it takes.
 *
 * Time in shard turns is the broker's, except what io_wait() takes in them: that is the simulated network at work (io_wait is wrapped when linking). What the
 * other calls of io.h cost inside a turn (noting that a send is to be started, and the like) is the broker's here, as it is in a real one.
 *
 * Threads  one; one host at a time.
 */
#ifndef TIDEWIRE_BENCH_MILLIONS_HOST_H
#define TIDEWIRE_BENCH_MILLIONS_HOST_H

#include "engine/io/sim.h"

#define HOST_PORT 1883

struct host;

/* `sockets_max`: per shard. Ends the process with a line on any error. */
struct host *host_open(unsigned shard_count, uint32_t sockets_max);
/* Stops the broker, which tells everyone, and checks that it holds nothing any more. */
void host_close(struct host **host);

struct sim *host_sim(const struct host *host);
/* Turns of all shards until none has anything to do. */
void host_settle(struct host *host);
/* CPU time of the broker so far. */
uint64_t host_cpu_ns(const struct host *host);
/* What the shards' memory accounts say. */
uint64_t host_accounted_bytes(const struct host *host);

#endif
