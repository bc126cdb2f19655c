/*
 * A class counts its header in, so that chunks fill the heap's size classes. A given chunk of a class is kept for the next taker up to a fixed number per
 * class (4.1 MiB in all); kept ones are refunded, because peers no longer hold them.
 */
#include "alloc/chunk.h"

#include <assert.h>
#include <stdlib.h>

static const uint32_t class_bytes[CHUNK_CLASSES] = {512, 4096, 65536};
/* Free chunks kept per class. Costs at most keep * bytes per shard for as long as it lives. */
static const uint32_t class_keep[CHUNK_CLASSES] = {256, 512, 32};

void
chunk_pool_init(struct chunk_pool *pool, struct budget_account *account)
{
    *pool = (struct chunk_pool){.account = account};
}

void
chunk_pool_fini(struct chunk_pool *pool)
{
    for (unsigned class = 0; class < CHUNK_CLASSES; class++) {
        while (pool->free[class] != NULL) {
            struct chunk *chunk = pool->free[class];
            pool->free[class] = chunk->next;
            free(chunk);
        }
        pool->free_count[class] = 0;
    }
}

static uint64_t
whole_bytes(const struct chunk *chunk)
{
    return (uint64_t)sizeof *chunk + chunk->room;
}

/* The smallest class with `bytes` in all, or CHUNK_CLASSES: beyond all of them. */
static unsigned
class_of(uint64_t bytes)
{
    unsigned class = 0;
    while (class < CHUNK_CLASSES && bytes > class_bytes[class]) {
        class++;
    }
    return class;
}

static struct chunk *
take_kept(struct chunk_pool *pool, unsigned class)
{
    struct chunk *chunk = pool->free[class];
    pool->free[class] = chunk->next;
    pool->free_count[class]--;
    return chunk;
}

struct chunk *
chunk_take(struct chunk_pool *pool, uint32_t size)
{
    uint64_t bytes = (uint64_t)sizeof(struct chunk) + size;
    unsigned class = class_of(bytes);
    struct chunk *chunk;
    if (class < CHUNK_CLASSES && pool->free[class] != NULL) {
        chunk = take_kept(pool, class);
    } else {
        bytes = class < CHUNK_CLASSES ? class_bytes[class] : bytes;
        chunk = malloc(bytes);
        if (chunk == NULL) {
            return NULL;
        }
        chunk->room = (uint32_t)(bytes - sizeof *chunk);
    }
    chunk->next = chunk->last = NULL;
    chunk->used = chunk->sent = 0;
    budget_charge(pool->account, whole_bytes(chunk));
    return chunk;
}

void
chunk_give(struct chunk_pool *pool, struct chunk **chunkp)
{
    struct chunk *chunk = *chunkp;
    assert(chunk != NULL && chunk->used <= chunk->room);
    *chunkp = NULL;

    budget_refund(pool->account, whole_bytes(chunk));
    unsigned class = class_of(whole_bytes(chunk));
    if (class == CHUNK_CLASSES || pool->free_count[class] == class_keep[class]) {
        free(chunk);
        return;
    }
    chunk->next = pool->free[class];
    pool->free[class] = chunk;
    pool->free_count[class]++;
}
