#include "router/epoch.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/*
 *   oldest ──► chunk ──► chunk ──► chunk ◄── newest        entries leave at the front, in the order of their stamps
 *
 * An entry stamped e was unlinked before `current` became e + 1. A shard that has seen e + 1 or later cannot find it any more.
 */

#define OFFLINE UINT64_MAX
#define CHUNK_ENTRIES 62u

struct entry {
    void *memory;
    epoch_release *release;
    uint64_t stamp;
};

struct epoch_retired {
    struct epoch_retired *next;
    uint32_t first, end; /* entries[first..end) wait */
    struct entry entries[CHUNK_ENTRIES];
};

void
epoch_init(struct epoch *epoch, unsigned shard_count)
{
    assert(shard_count >= 1 && shard_count <= EPOCH_SHARDS_MAX);

    atomic_init(&epoch->current, 1);
    epoch->shard_count = shard_count;
    epoch->oldest = epoch->newest = NULL;
    epoch->spare = malloc(sizeof *epoch->spare);
    epoch->waiting_count = 0;
    for (unsigned i = 0; i < EPOCH_SHARDS_MAX; i++) {
        atomic_init(&epoch->shards[i].seen, OFFLINE);
    }
}

void
epoch_online(struct epoch *epoch, unsigned shard)
{
    assert(shard < epoch->shard_count);

    uint64_t now = atomic_load_explicit(&epoch->current, memory_order_acquire);
    atomic_store_explicit(&epoch->shards[shard].seen, now, memory_order_release);
    /* Pairs with the fence in slowest(): either the writer sees us online, or we see what it has unlinked. */
    atomic_thread_fence(memory_order_seq_cst);
}

void
epoch_quiescent(struct epoch *epoch, unsigned shard)
{
    assert(shard < epoch->shard_count);

    /* Acquire pairs with epoch_retire(): having read this number we also see what was unlinked before it, so no fence is needed. */
    uint64_t now = atomic_load_explicit(&epoch->current, memory_order_acquire);
    uint64_t seen = atomic_load_explicit(&epoch->shards[shard].seen, memory_order_relaxed);
    assert(seen != OFFLINE);
    if (seen != now) {
        /* Release pairs with slowest(): our reads of the last turn are over before anything is freed. */
        atomic_store_explicit(&epoch->shards[shard].seen, now, memory_order_release);
    }
}

void
epoch_offline(struct epoch *epoch, unsigned shard)
{
    assert(shard < epoch->shard_count);

    atomic_store_explicit(&epoch->shards[shard].seen, OFFLINE, memory_order_release);
}

static struct epoch_retired *
chunk_with_room(struct epoch *epoch)
{
    if (epoch->newest != NULL && epoch->newest->end < CHUNK_ENTRIES) {
        return epoch->newest;
    }
    struct epoch_retired *chunk = epoch->spare != NULL ? epoch->spare : malloc(sizeof *chunk);
    if (chunk == NULL) {
        return NULL;
    }
    epoch->spare = malloc(sizeof *chunk);
    chunk->next = NULL;
    chunk->first = chunk->end = 0;
    if (epoch->newest == NULL) {
        epoch->oldest = chunk;
    } else {
        epoch->newest->next = chunk;
    }
    epoch->newest = chunk;
    return chunk;
}

static void
release_to_heap(struct epoch *epoch, void *memory)
{
    (void)epoch;
    free(memory);
}

void
epoch_retire(struct epoch *epoch, void *memory, epoch_release *release)
{
    struct epoch_retired *chunk = chunk_with_room(epoch);
    if (chunk == NULL) {
        /* A reader may be looking at it, and there is no memory to remember it by: losing it is the only safe answer. */
        return;
    }

    /* Release: a shard that sees the new number sees the unlinking too. */
    uint64_t stamp = atomic_fetch_add_explicit(&epoch->current, 1, memory_order_release);
    chunk->entries[chunk->end++] = (struct entry){memory, release != NULL ? release : release_to_heap, stamp};
    epoch->waiting_count++;
}

/* The oldest number that a shard may still be reading under. */
static uint64_t
slowest(struct epoch *epoch)
{
    /* Pairs with the fence in epoch_online(). */
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t least = OFFLINE;
    for (unsigned i = 0; i < epoch->shard_count; i++) {
        uint64_t seen = atomic_load_explicit(&epoch->shards[i].seen, memory_order_acquire);
        least = seen < least ? seen : least;
    }
    return least;
}

/* Frees the oldest entry if its stamp lies before `before`. */
static bool
release_oldest(struct epoch *epoch, uint64_t before)
{
    struct epoch_retired *chunk = epoch->oldest;
    if (chunk == NULL || chunk->entries[chunk->first].stamp >= before) {
        return false;
    }
    struct entry entry = chunk->entries[chunk->first++];
    if (chunk->first == chunk->end) {
        epoch->oldest = chunk->next;
        if (epoch->oldest == NULL) {
            epoch->newest = NULL;
        }
        free(chunk);
    }
    epoch->waiting_count--;
    entry.release(epoch, entry.memory);
    return true;
}

void
epoch_reclaim(struct epoch *epoch)
{
    if (epoch->oldest == NULL) {
        return;
    }
    uint64_t before = slowest(epoch);
    for (unsigned i = 0; i < EPOCH_RECLAIM_MAX && release_oldest(epoch, before); i++) {
    }
}

void
epoch_fini(struct epoch *epoch)
{
    while (release_oldest(epoch, OFFLINE)) {
    }
    assert(epoch->waiting_count == 0);
    free(epoch->spare);
    epoch->spare = NULL;
}
