/*
 * waiting: records that were appended and are not on their way to the disk yet, in memory, in order.
 *
 *      blocks   [taken ... record record record][record record ....][record        free]
 *                          ^ first                                           ^ end
 *
 * A position counts bytes: each record takes its head and its content, rounded up. It is found by its position in O(log blocks), and changed or voided in place.
 *
 * Invariants
 *   Q1  first <= end; every record in between lies in one block as a whole.
 *   Q2  a block's positions are contiguous from `start` on, and the next block's begin where they end.
 *
 * Memory  charged to the account. Without memory the process ends: see journal_append().
 */
#ifndef TIDEWIRE_ENGINE_JOURNAL_WAITING_H
#define TIDEWIRE_ENGINE_JOURNAL_WAITING_H

#include "alloc/budget.h"

#include <assert.h>
#include <stdbool.h>

struct waiting_block;

struct waiting {
    struct waiting_block **blocks; /* a queue: [oldest, oldest + count) of `room` */
    uint32_t oldest, count, room;
    struct waiting_block *spare;   /* one that is empty, or NULL */
    uint64_t first, end;
    uint64_t voided_bytes;         /* of what waits */
    struct budget_account *account;
};

struct waiting_record {
    uint32_t size;
    uint8_t type;
    bool voided;
    bool placed;         /* journal_append_placed() */
    _Alignas(8) uint64_t position;
    uint8_t content[];
};

static_assert(sizeof(struct waiting_record) == 16, "as much as the head of a record in a file takes");

void waiting_init(struct waiting *w, struct budget_account *account);
void waiting_fini(struct waiting *w);
/* Only while nothing waits. */
void waiting_set_position(struct waiting *w, uint64_t position);

struct waiting_record *waiting_append(struct waiting *w, uint8_t type, uint32_t size);
/* NULL: none begins there, or it was voided. */
struct waiting_record *waiting_find(const struct waiting *w, uint64_t position);
void waiting_void(struct waiting *w, struct waiting_record *record);
/* The oldest that was not voided, borrowed until it is taken; NULL: none. Voided ones before it are gone then. */
struct waiting_record *waiting_first(struct waiting *w);
void waiting_take(struct waiting *w);

static inline uint64_t
waiting_footprint(uint32_t size)
{
    return sizeof(struct waiting_record) + (((uint64_t)size + 7) & ~UINT64_C(7));
}

#endif
