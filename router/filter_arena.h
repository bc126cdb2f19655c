/*
 * filter_arena: memory for the filters of an index, packed into huge pages. Internal to the router; inline, as filter_index.c alone uses it.
 *
 * A match reads a filter that lies anywhere among millions: on small pages each read misses the TLB first, which costs more than the read. Objects are
 * bump-allocated in steps of 16 bytes, and given ones wait in a list of their size. What fits into a cache line lies in one. Large ones come from the heap.
 *
 * Threads  the writer. Memory  chunks are kept until fini: a table of filters that has been large is likely to become large again.
 */
#ifndef TIDEWIRE_ROUTER_FILTER_ARENA_H
#define TIDEWIRE_ROUTER_FILTER_ARENA_H

#include "router/filter_table.h"

#include <stdlib.h>

#define FILTER_ARENA_STEP 16u
#define FILTER_ARENA_LINE 64u
#define FILTER_ARENA_CLASSES 33u /* up to 512 bytes */
/* The first chunk; each further one is twice as large, up to one huge page. Small, so that idle brokers stay small. */
#define FILTER_ARENA_FIRST_BYTES 16384u
/* Under a sanitizer each object is of the heap, so that it sees a use after the end. */
#ifndef FILTER_ARENA_HEAP_ONLY
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FILTER_ARENA_HEAP_ONLY 1
#else
#define FILTER_ARENA_HEAP_ONLY 0
#endif
#endif

struct filter_arena_item {
    struct filter_arena_item *next;
    size_t size; /* of chunks */
};

struct filter_arena {
    uint8_t *at, *end; /* unused part of the newest chunk */
    struct filter_arena_item *chunks;
    struct filter_arena_item *given[FILTER_ARENA_CLASSES];
};

static inline size_t
filter_arena_class(size_t size)
{
    size_t class = (size + FILTER_ARENA_STEP - 1) / FILTER_ARENA_STEP;
    return FILTER_ARENA_HEAP_ONLY || class >= FILTER_ARENA_CLASSES ? 0 : class;
}

static inline bool
filter_arena_grow(struct filter_arena *arena)
{
    size_t size = arena->chunks == NULL ? FILTER_ARENA_FIRST_BYTES : 2 * arena->chunks->size;
    size = size > FILTER_PAGES_HUGE_BYTES ? FILTER_PAGES_HUGE_BYTES : size;
    struct filter_arena_item *chunk = filter_pages_map(size);
    if (chunk == NULL) {
        return false;
    }
    chunk->next = arena->chunks;
    chunk->size = size;
    arena->chunks = chunk;
    arena->at = (uint8_t *)chunk + FILTER_ARENA_LINE;
    arena->end = (uint8_t *)chunk + size;
    return true;
}

/* Leaves the rest of a cache line, for objects of its size, where one of `size` bytes would lie in two lines and need not. */
static inline void
filter_arena_align(struct filter_arena *arena, size_t size)
{
    size_t left = -(uintptr_t)arena->at % FILTER_ARENA_LINE;
    if (left >= size || size > FILTER_ARENA_LINE || left == 0) {
        return;
    }
    struct filter_arena_item *rest = (struct filter_arena_item *)arena->at;
    rest->next = arena->given[left / FILTER_ARENA_STEP];
    arena->given[left / FILTER_ARENA_STEP] = rest;
    arena->at += left;
}

/* Uninitialised memory, or NULL. */
static inline void *
filter_arena_take(struct filter_arena *arena, size_t size)
{
    size_t class = filter_arena_class(size);
    if (class == 0) {
        return malloc(size);
    }
    struct filter_arena_item *item = arena->given[class];
    if (item != NULL) {
        arena->given[class] = item->next;
        return item;
    }
    filter_arena_align(arena, class * FILTER_ARENA_STEP);
    /* What is left of a chunk, less than the largest class, is lost. */
    if ((size_t)(arena->end - arena->at) < class * FILTER_ARENA_STEP && !filter_arena_grow(arena)) {
        return NULL;
    }
    void *object = arena->at;
    arena->at += class * FILTER_ARENA_STEP;
    return object;
}

/* `size`: what it was taken with. */
static inline void
filter_arena_give(struct filter_arena *arena, void *object, size_t size)
{
    size_t class = filter_arena_class(size);
    if (class == 0) {
        free(object);
        return;
    }
    struct filter_arena_item *item = object;
    item->next = arena->given[class];
    arena->given[class] = item;
}

static inline void
filter_arena_fini(struct filter_arena *arena)
{
    while (arena->chunks != NULL) {
        struct filter_arena_item *chunk = arena->chunks;
        arena->chunks = chunk->next;
        filter_pages_unmap(chunk, chunk->size);
    }
}

#endif
