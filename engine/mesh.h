/*
 * mesh: the one-way byte queues between all pairs of shards, and the rule for waking a shard that sleeps.
 *
 *        producer shard                              consumer shard
 *   mesh_reserve / mesh_commit ──► [ring of bytes] ──► mesh_next
 *   mesh_publish (once per turn)                      (which gives room back as it goes)
 *
 * Records are of any size up to MESH_RECORD_MAX and lie contiguously, so producer and consumer work on them in place. Tails are published once per
 * turn and target. When a ring is full, records go to the producer's overflow list for that target, and follow in order as room comes: at the producer's next
 * mesh_publish(), and a consumer that makes room names a producer that sleeps over it for waking. Nothing is ever refused, so whoever produces must look at
 * mesh_backlog() and stop taking work (reading from publishers) while it is high.
 *
 * Invariants
 *   M1  records of one pair arrive in the order of their commits, each exactly once.
 *   M2  one reservation at a time per mesh_port; commit or nothing before the next reserve.
 *   M3  a record committed before mesh_publish() is seen by the consumer's next mesh_next() pass, or a sleeping consumer is named for waking.
 *   M4  a consumer that has announced sleep (mesh_sleep returned true) is named for waking by exactly one producer.
 *   M5  when mesh_overflow_out() has reached what mesh_overflow_in() once was, a pass begun after that gives all that was committed until then.
 *
 * Threads  mesh_init/mesh_fini: set-up. mesh_port functions: the owning shard only. Atomics: tail is release-stored by the producer and
 *          acquire-loaded by the consumer, head the other way round; `sleeping` is the Dekker pair of tails (and, for overflow, of heads), all of them seq_cst.
 * Memory   the mesh owns rings and overflow; a reserved or popped record is borrowed until commit or release.
 */
#ifndef TIDEWIRE_ENGINE_MESH_H
#define TIDEWIRE_ENGINE_MESH_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of one ring: how far a producer can be ahead before it starts to use its overflow list. shards² of them exist; pages are touched on use. */
#ifndef MESH_RING_BYTES /* tests make it small, so that rings are full all the time */
#define MESH_RING_BYTES (1u << 20)
/* A record with its body. Bigger things travel as pointers. */
#define MESH_RECORD_MAX (MESH_RING_BYTES / 8)
#endif

struct mesh;

/* Allocates for `shard_count` shards (1 to 64). NULL when out of memory. */
struct mesh *mesh_init(unsigned shard_count);
void mesh_fini(struct mesh **mesh);

/* Producer. Room for `size` bytes (1 to MESH_RECORD_MAX), aligned to 8, on the way from `from` to `to` (from != to). Never NULL (out of memory aborts the
 * process with a clear line: the backlog limit comes long before). The record may be shortened at commit. */
void *mesh_reserve(struct mesh *mesh, unsigned from, unsigned to, uint32_t size);
void mesh_commit(struct mesh *mesh, unsigned from, unsigned to, uint32_t size);

/*
 * Producer, end of turn: moves overflow into rings, makes everything visible, and returns the set of shards (bit per shard) that slept and must now be
 * woken by this producer (io_wake): because it sent them something, or because its last pass made room for which they wait. So every turn ends with it. A
 * reservation for a target with overflow does not outlive it.
 */
uint64_t mesh_publish(struct mesh *mesh, unsigned from);

/* Bytes in the overflow lists of this producer. Shards other than the producer may read it at any time (relaxed). */
uint64_t mesh_backlog(const struct mesh *mesh, unsigned from);

/* Bytes that ever went into the overflow list of one direction, and those of them that have come out and been published. Any shard. */
uint64_t mesh_overflow_in(const struct mesh *mesh, unsigned from, unsigned to);
uint64_t mesh_overflow_out(const struct mesh *mesh, unsigned from, unsigned to);

/*
 * Consumer. A pass: mesh_begin(to) notes how far every ring reaches now; mesh_next then gives those records one by one (NULL: the pass is over), ring by ring.
 * A record is borrowed until the next mesh_next() call. A pass always runs to its end.
 */
void mesh_begin(struct mesh *mesh, unsigned to);
const void *mesh_next(struct mesh *mesh, unsigned to, unsigned *from, uint32_t *size);

/* True if a pass would find records, or this shard's own overflow waits for room. For drivers that run shards one after the other. */
bool mesh_waiting(const struct mesh *mesh, unsigned shard);

/* Consumer, before it waits and after mesh_publish(): announces sleep. False if something arrived meanwhile, or room for its overflow (then do not wait; the
 * announcement is withdrawn). */
bool mesh_sleep(struct mesh *mesh, unsigned to);
/* Consumer, after waiting. */
void mesh_awake(struct mesh *mesh, unsigned to);

#endif
