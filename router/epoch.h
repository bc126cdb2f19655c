/*
 * epoch: when memory that readers of other shards may still be looking at can be freed (quiescent-state reclamation).
 *
 * An event loop holds no pointer into shared structures between two turns. So each shard announces, once per turn, that it is quiescent; what was unlinked
 * before every shard has done so since can be freed. A shard that sleeps is offline and waited for by nobody.
 *
 * Threads  epoch_quiescent, epoch_offline, epoch_online: the named shard. epoch_retire, epoch_reclaim: whoever holds the writer's lock of the structure.
 */
#ifndef TIDEWIRE_ROUTER_EPOCH_H
#define TIDEWIRE_ROUTER_EPOCH_H

#include <stdatomic.h>
#include <stdint.h>

#define EPOCH_SHARDS_MAX 64

/* What one epoch_reclaim() frees at most, so that no writer pays for all the others at once. */
#define EPOCH_RECLAIM_MAX 256

struct epoch_retired;

struct epoch {
    _Atomic uint64_t current;
    unsigned shard_count;
    struct epoch_retired *oldest, *newest; /* the writer's */
    struct epoch_retired *spare;           /* taken early, so that one failed allocation loses nothing */
    uint64_t waiting_count;
    struct {
        _Alignas(64) _Atomic uint64_t seen; /* UINT64_MAX: offline */
    } shards[EPOCH_SHARDS_MAX];
};

/* All shards start offline. */
void epoch_init(struct epoch *epoch, unsigned shard_count);
/* Frees everything that is still waiting; no reader may be left. */
void epoch_fini(struct epoch *epoch);

void epoch_online(struct epoch *epoch, unsigned shard);
void epoch_quiescent(struct epoch *epoch, unsigned shard);
void epoch_offline(struct epoch *epoch, unsigned shard);

/* Gives up memory that nobody can see any more. Called under the writer's lock, by epoch_reclaim() or epoch_fini() of the epoch that it was handed to. */
typedef void epoch_release(struct epoch *epoch, void *memory);

/* Hands over `memory`, already unlinked, to be given to `release` (NULL: free) when nobody can see it any more. */
void epoch_retire(struct epoch *epoch, void *memory, epoch_release *release);
/* Frees what can be freed now, oldest first, at most EPOCH_RECLAIM_MAX. */
void epoch_reclaim(struct epoch *epoch);

#endif
