/*
 * chunk: pieces of output, chained per connection, in three sizes (512 B, 4 KiB, 64 KiB) and exact ones beyond.
 *
 * A connection appends whole packets to its last chunk; the first chunk is what is being sent. One send carries one chunk, so a chunk is as
 * contiguous as possible. Small chunks make thousands of barely active connections cheap, large ones make busy ones fast.
 *
 * Threads  the owning shard's pool. Memory  charged to the account.
 */
#ifndef TIDEWIRE_ALLOC_CHUNK_H
#define TIDEWIRE_ALLOC_CHUNK_H

#include "alloc/budget.h"

#define CHUNK_CLASSES 3

struct chunk {
    struct chunk *next;
    struct chunk *last; /* of the chain; kept in its first chunk only, by its owner */
    uint32_t used;      /* bytes filled */
    uint32_t room;      /* bytes that fit in all */
    uint32_t sent;      /* bytes from the start that the owner needs no more */
    uint8_t bytes[];
};

struct chunk_pool {
    struct chunk *free[CHUNK_CLASSES];
    uint32_t free_count[CHUNK_CLASSES];
    struct budget_account *account;
};

void chunk_pool_init(struct chunk_pool *pool, struct budget_account *account);
void chunk_pool_fini(struct chunk_pool *pool);

/* A chunk with room for at least `size` bytes; NULL when out of memory. */
struct chunk *chunk_take(struct chunk_pool *pool, uint32_t size);
void chunk_give(struct chunk_pool *pool, struct chunk **chunk);

#endif
