/*
 * heap: memory of the simulated network and of the driver, kept apart from the broker's so that each can be weighed.
 *
 *      engine, router, alloc ──► malloc ──► jemalloc's ordinary arenas ┐
 *      router/filter_*.c     ──► mmap                                  ├─ resident set of the process, minus the region: the broker's
 *      engine/io/sim.c, driver ──► heap_malloc ──► an arena of its own ┘    └─ one reserved region: its resident pages are counted in /proc
 *
 * engine/io/sim.c is compiled a second time for this, with malloc and its kin replaced by the functions here.
 *
 * Threads  one.
 */
#ifndef TIDEWIRE_BENCH_MILLIONS_HEAP_H
#define TIDEWIRE_BENCH_MILLIONS_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* Reserves the region; before anything else here. Ends the process with a line if that is not possible. */
void heap_open(void);

void *heap_malloc(size_t size);
void *heap_calloc(size_t count, size_t size);
void *heap_realloc(void *memory, size_t size);
void heap_free(void *memory);

struct heap_weight {
    uint64_t broker_bytes; /* resident: everything that is not in the region, programs and libraries too */
    uint64_t region_bytes; /* resident: the simulated network's and the driver's */
};

/* After giving unused pages back to the system, as jemalloc itself does ten seconds after their last use. */
struct heap_weight heap_weigh(void);

#endif
