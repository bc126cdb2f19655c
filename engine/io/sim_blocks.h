/*
 * sim_blocks: what is in one file of the simulated disk: what a reader sees, and what of it a loss of power would leave.
 *
 *      blocks_write ──► [unsynced: seen by readers, may be lost] ── blocks_settle, blocks_settle_all ──► [on the disk]
 *                                       └── blocks_crash: each sector of each write is kept, or not
 *
 * Invariants
 *   B1  what was settled is never lost, and nothing older comes back in its place.
 *   B2  a sector of 512 bytes is never torn.
 *   B3  blocks of zeros that were never anything else cost no memory.
 */
#ifndef TIDEWIRE_ENGINE_IO_SIM_BLOCKS_H
#define TIDEWIRE_ENGINE_IO_SIM_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCKS_SECTOR_BYTES 512u

struct rng;
struct unsynced;

struct blocks {
    uint64_t size, stable_size; /* as readers see it; on the disk */
    uint8_t **stable;           /* [chunk_count] NULL: zeros */
    uint8_t **fresh;            /* [chunk_count] what readers see instead; NULL: the stable one */
    size_t chunk_count;
    size_t fresh_from, fresh_to; /* fresh chunks are all within */
    struct unsynced *first, *last; /* in the order of writing */
    uint64_t last_write;           /* their numbers rise */
};

/* A zeroed one is an empty file. */
void blocks_fini(struct blocks *blocks);

/* Returns how many bytes there were before the file's end. */
size_t blocks_read(const struct blocks *blocks, uint64_t offset, void *out, size_t size);
/* Returns the write's number, never 0. `doubtful`: it has failed, so that nothing later settles it, but it may be found all the same. */
uint64_t blocks_write(struct blocks *blocks, uint64_t offset, const void *bytes, size_t size, bool doubtful);
/* One write is on the disk. */
void blocks_settle(struct blocks *blocks, uint64_t number);
/* All writes up to this number are on the disk. */
void blocks_settle_all(struct blocks *blocks, uint64_t number);
/* A sync has failed: no later one settles what was to be settled by it. */
void blocks_doubt_all(struct blocks *blocks, uint64_t number);
/* Power is lost. */
void blocks_crash(struct blocks *blocks, struct rng *rng);
/* Turns over one bit of a file that is not empty. */
void blocks_flip(struct blocks *blocks, struct rng *rng);

#endif
