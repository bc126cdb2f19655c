/*
 *   block:  | header, 64 B | object | object | ... |      blocks ──► next block ──► NULL
 *                               free ──► next free object (link in its first bytes) ──► NULL
 *
 * A block starts on a cache line and objects lie `object_size` apart, so an object is aligned as far as its size is (8 to 64 bytes). Under
 * AddressSanitizer a free object is poisoned past its link and its readable bytes, so that a use after slab_give() is caught.
 */
#include "alloc/slab.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define POISON(p, size) ASAN_POISON_MEMORY_REGION(p, size)
#define UNPOISON(p, size) ASAN_UNPOISON_MEMORY_REGION(p, size)
#else
#define POISON(p, size) ((void)(p), (void)(size))
#define UNPOISON(p, size) ((void)(p), (void)(size))
#endif

/* What one block aims at. Larger: fewer calls of the heap, but a shard with one object holds that much. */
#define BLOCK_BYTES 65536u
#define BLOCK_HEADER_BYTES 64u
#define BLOCK_OBJECTS_MIN 8u

struct block {
    struct block *next;
};

struct free_object {
    struct free_object *next;
};

void
slab_init(struct slab *slab, uint32_t object_size, uint64_t count_max, struct budget_account *account)
{
    assert(object_size > 0 && object_size < UINT32_MAX / (2 * BLOCK_OBJECTS_MIN));

    uint32_t size = (object_size + 7) & ~7u;
    uint64_t objects = (BLOCK_BYTES - BLOCK_HEADER_BYTES) / size;
    if (objects < BLOCK_OBJECTS_MIN) {
        objects = BLOCK_OBJECTS_MIN;
    }
    if (count_max != 0 && objects > count_max) {
        objects = count_max;
    }
    *slab = (struct slab){
        .object_size = size, .block_objects = (uint32_t)objects, .count_max = count_max, .account = account,
    };
}

void
slab_keep_readable(struct slab *slab, uint32_t bytes)
{
    assert(slab->blocks == NULL && bytes <= slab->object_size);
    slab->readable_bytes = bytes;
}

static size_t
block_bytes(const struct slab *slab)
{
    size_t bytes = BLOCK_HEADER_BYTES + (size_t)slab->object_size * slab->block_objects;
    return (bytes + 63) & ~(size_t)63;
}

static void *
object_at(const struct slab *slab, struct block *block, uint32_t i)
{
    return (char *)block + BLOCK_HEADER_BYTES + (size_t)i * slab->object_size;
}

static void
put_free(struct slab *slab, void *object)
{
    struct free_object *first = object;
    first->next = slab->free;
    slab->free = first;
    uint32_t readable = slab->readable_bytes > sizeof *first ? slab->readable_bytes : (uint32_t)sizeof *first;
    POISON((char *)object + readable, slab->object_size - readable);
}

static bool
add_block(struct slab *slab)
{
    struct block *block = aligned_alloc(64, block_bytes(slab));
    if (block == NULL) {
        return false;
    }
    block->next = slab->blocks;
    slab->blocks = block;
    budget_charge(slab->account, block_bytes(slab));

    /* From the end, so that objects are taken in the order of their addresses. */
    for (uint32_t i = slab->block_objects; i-- > 0;) {
        void *object = object_at(slab, block, i);
        memset(object, 0, slab->readable_bytes); /* L3 */
        put_free(slab, object);
    }
    return true;
}

void *
slab_walk(const struct slab *slab, struct slab_walk *walk)
{
    if (walk->ended) {
        return NULL;
    }
    if (walk->block == NULL || walk->next == slab->block_objects) {
        walk->block = walk->block == NULL ? slab->blocks : ((struct block *)walk->block)->next;
        walk->next = 0;
        walk->ended = walk->block == NULL;
    }
    return walk->ended ? NULL : object_at(slab, walk->block, walk->next++);
}

void *
slab_take(struct slab *slab)
{
    if (slab->count_max != 0 && slab->taken_count == slab->count_max) {
        return NULL;
    }
    if (slab->free == NULL && !add_block(slab)) {
        return NULL;
    }
    struct free_object *object = slab->free;
    slab->free = object->next;
    slab->taken_count++;
    UNPOISON(object, slab->object_size);
    memset(object, 0, slab->object_size); /* L2 */
    return object;
}

void
slab_give(struct slab *slab, void *object)
{
    assert(object != NULL && slab->taken_count > 0);

    slab->taken_count--;
    put_free(slab, object);
}

void
slab_fini(struct slab *slab)
{
    assert(slab->taken_count == 0);

    struct block *block = slab->blocks;
    while (block != NULL) {
        struct block *next = block->next;
        UNPOISON(block, block_bytes(slab));
        free(block);
        budget_refund(slab->account, block_bytes(slab));
        block = next;
    }
    slab->blocks = NULL;
    slab->free = NULL;
}
