/*
 * body_places: where the bodies of messages lie in a journal, by number, while a recovery reads it: what nobody holds any more may still be referred to, by whom a later record speaks of.
 *
 *   runs ──► [segment, first number | number, offset, size; ... ] [ ... ]     within a run numbers grow, as they do in a journal: a binary search finds one
 *
 * A run ends with its segment, or where numbers do not grow (engine/durable/convert.h).
 *
 * Memory   12 bytes for each body, charged to the account.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_BODY_PLACES_H
#define TIDEWIRE_ENGINE_DURABLE_BODY_PLACES_H

#include "alloc/budget.h"
#include "engine/journal/journal.h"

struct body_run;

struct body_places {
    struct body_run *runs;
    uint32_t count, room;
    struct budget_account *account;
};

/* Of a record with a body. */
struct body_place {
    uint64_t position; /* of it, or of one before it in the same segment */
    struct journal_place place;
    uint32_t size;     /* of its content */
};

void body_places_init(struct body_places *places, struct budget_account *account);
void body_places_fini(struct body_places *places);
/* The record has the body of that number. False when out of memory. */
bool body_places_add(struct body_places *places, uint64_t number, const struct journal_record *record);
/* The place of one of the records that have it; false if there is none. */
bool body_places_find(const struct body_places *places, uint64_t number, struct body_place *out);

#endif
