/*
 * slab: objects of one size, for one shard: a freelist over blocks that are never given back while the slab lives.
 *
 * Invariants
 *   L1  an object is either taken or on the freelist.
 *   L2  taken objects are zeroed.
 *   L3  the readable bytes of an object that was never taken are zero beyond the first eight, where free objects are linked (slab_keep_readable).
 *
 * Threads  the owning shard's. Memory  charged to the account block by block. Full: NULL when `count_max` objects are taken or the heap is empty.
 */
#ifndef TIDEWIRE_ALLOC_SLAB_H
#define TIDEWIRE_ALLOC_SLAB_H

#include "alloc/budget.h"

#include <stdbool.h>
#include <stddef.h>

struct slab {
    void *free;
    void *blocks;
    uint32_t object_size;
    uint32_t block_objects;
    uint64_t taken_count;
    uint64_t count_max;
    uint32_t readable_bytes;
    struct budget_account *account;
};

/* `count_max` 0: no limit of its own. */
void slab_init(struct slab *slab, uint32_t object_size, uint64_t count_max, struct budget_account *account);
/*
 * Lets the first `bytes` of given-back objects be read: for a stamp, beyond the first eight bytes, by which a stale pointer is recognised. (Memory of a slab stays
 * mapped anyway; this tells the address sanitizer that such reads are meant.) Before the first take.
 */
void slab_keep_readable(struct slab *slab, uint32_t bytes);

/*
 * Goes over all objects of the slab, taken or not, in no order; NULL after the last. What tells them apart is the owner's, in the readable bytes. The one
 * just returned may be given back, and nothing is to be taken meanwhile. A walk starts zeroed.
 */
struct slab_walk {
    void *block;
    uint32_t next;
    bool ended;
};
void *slab_walk(const struct slab *slab, struct slab_walk *walk);

void *slab_take(struct slab *slab);
void slab_give(struct slab *slab, void *object);
/* Frees all blocks; every object must have been given back (asserted). */
void slab_fini(struct slab *slab);

#endif
