/*
 * shelf: the pages (engine/session/page.h) of one session, by number, while a recovery puts the session together.
 *
 * A sorted array by the pages' first numbers. Their ranges may overlap: of a page that was read and of which a part went to disk again, the rest counts still. What is emptied keeps
 * its place, which the copy of a page takes again (engine/durable/compact.h).
 *
 * Memory   its array is charged to the account; pages are borrowed.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_SHELF_H
#define TIDEWIRE_ENGINE_DURABLE_SHELF_H

#include "alloc/budget.h"
#include "engine/session/inflight.h"

struct shelf_place {
    uint64_t first;
    struct delivery *item; /* NULL: emptied */
    bool wanted;           /* something of it is in flight, or stands between what is in memory */
};

struct shelf {
    struct shelf_place *places;
    uint32_t count, room;
    uint64_t last;         /* the highest number that ever was in it */
};

void shelf_fini(struct budget_account *account, struct shelf *shelf);
/* False when out of memory. */
bool shelf_put(struct budget_account *account, struct shelf *shelf, struct delivery *item);
/* The place of the page that has this number, or NULL; borrowed until the next put. */
struct shelf_place *shelf_find(const struct shelf *shelf, uint64_t number);

#endif
