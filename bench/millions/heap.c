#include "bench/millions/heap.h"

#include <jemalloc/jemalloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Address space only; pages come with their first use. */
#define REGION_BYTES (UINT64_C(64) << 30)
#define GUARD_BYTES (UINT64_C(2) << 20)

static uint8_t *region;
static size_t region_used;
static int flags; /* of our arena and its thread cache */

static void
die(const char *what)
{
    fprintf(stderr, "tidewire-millions: %s\n", what);
    exit(1);
}

/* ------------------------------------------------------------------------------------------- where the arena takes its extents */

static void *
take_extent(extent_hooks_t *hooks, void *wanted, size_t size, size_t alignment, bool *zero, bool *commit, unsigned arena)
{
    (void)hooks;
    (void)arena;
    size_t at = (region_used + alignment - 1) & ~(alignment - 1);
    if (wanted != NULL || at + size > REGION_BYTES) {
        return NULL;
    }
    region_used = at + size;
    *zero = true; /* fresh pages of an anonymous mapping */
    *commit = true;
    return region + at;
}

static bool
purge_extent(extent_hooks_t *hooks, void *extent, size_t size, size_t offset, size_t length, unsigned arena)
{
    (void)hooks;
    (void)size;
    (void)arena;
    return madvise((uint8_t *)extent + offset, length, MADV_DONTNEED) != 0;
}

static bool
split_extent(extent_hooks_t *hooks, void *extent, size_t size, size_t a, size_t b, bool committed, unsigned arena)
{
    (void)hooks, (void)extent, (void)size, (void)a, (void)b, (void)committed, (void)arena;
    return false;
}

static bool
merge_extents(extent_hooks_t *hooks, void *a, size_t a_size, void *b, size_t b_size, bool committed, unsigned arena)
{
    (void)hooks, (void)a, (void)a_size, (void)b, (void)b_size, (void)committed, (void)arena;
    return false;
}

/* Without a function for giving an extent back, jemalloc keeps it and purges its pages. */
static extent_hooks_t hooks = {.alloc = take_extent, .purge_forced = purge_extent, .split = split_extent, .merge = merge_extents};

void
heap_open(void)
{
    /* Between pages of no access, or the kernel would make one mapping of the region and what the broker maps beside it. */
    uint8_t *map = mmap(NULL, REGION_BYTES + 2 * GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    region = map + GUARD_BYTES;
    if (map == MAP_FAILED || mprotect(region, REGION_BYTES, PROT_READ | PROT_WRITE) != 0) {
        die("cannot reserve address space");
    }
    /* Aligned as the largest alignment that jemalloc asks for. */
    region_used = -(uintptr_t)region & ((2u << 20) - 1);
    unsigned arena, cache;
    size_t arena_size = sizeof arena, cache_size = sizeof cache;
    extent_hooks_t *wanted = &hooks;
    if (mallctl("arenas.create", &arena, &arena_size, &wanted, sizeof wanted) != 0 ||
        mallctl("tcache.create", &cache, &cache_size, NULL, 0) != 0) {
        die("jemalloc gives no arena of our own");
    }
    flags = MALLOCX_ARENA(arena) | MALLOCX_TCACHE(cache);
}

void *
heap_malloc(size_t size)
{
    return mallocx(size > 0 ? size : 1, flags);
}

void *
heap_calloc(size_t count, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(count, size, &bytes) ? NULL : mallocx(bytes > 0 ? bytes : 1, flags | MALLOCX_ZERO);
}

void *
heap_realloc(void *memory, size_t size)
{
    return memory == NULL ? heap_malloc(size) : rallocx(memory, size > 0 ? size : 1, flags);
}

void
heap_free(void *memory)
{
    if (memory != NULL) {
        dallocx(memory, flags);
    }
}

/* -------------------------------------------------------------------------------------------------------------------- weight */

static uint64_t
resident_bytes(void)
{
    unsigned long long size, resident;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (statm == NULL || fscanf(statm, "%llu %llu", &size, &resident) != 2) {
        die("cannot read /proc/self/statm");
    }
    fclose(statm);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The sum of 'Rss:' over the mappings that lie in the region. */
static uint64_t
region_resident_bytes(void)
{
    FILE *smaps = fopen("/proc/self/smaps", "r");
    if (smaps == NULL) {
        die("cannot read /proc/self/smaps");
    }
    char line[512];
    unsigned long long start, end, kilobytes, sum = 0;
    bool inside = false;
    while (fgets(line, sizeof line, smaps) != NULL) {
        if (sscanf(line, "%llx-%llx ", &start, &end) == 2) {
            inside = start < (uintptr_t)region + REGION_BYTES && end > (uintptr_t)region;
        } else if (inside && sscanf(line, "Rss: %llu kB", &kilobytes) == 1) {
            sum += kilobytes;
        }
    }
    fclose(smaps);
    return sum * 1024;
}

struct heap_weight
heap_weigh(void)
{
    char purge[64];
    snprintf(purge, sizeof purge, "arena.%u.purge", (unsigned)MALLCTL_ARENAS_ALL);
    mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    mallctl(purge, NULL, NULL, NULL, 0);
    uint64_t region_bytes = region_resident_bytes();
    return (struct heap_weight){.broker_bytes = resident_bytes() - region_bytes, .region_bytes = region_bytes};
}
