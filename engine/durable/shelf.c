#include "engine/durable/shelf.h"

#include "engine/session/page.h"

#include <stdlib.h>
#include <string.h>

void
shelf_fini(struct budget_account *account, struct shelf *shelf)
{
    budget_refund(account, shelf->room * sizeof *shelf->places);
    free(shelf->places);
    *shelf = (struct shelf){0};
}

/* How many begin at `number` or before. */
static uint32_t
places_up_to(const struct shelf *shelf, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = shelf->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (shelf->places[middle].first <= number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool
grow(struct budget_account *account, struct shelf *shelf)
{
    uint32_t room = shelf->room > 0 ? shelf->room * 2 : 4;
    struct shelf_place *places = realloc(shelf->places, room * sizeof *places);
    if (places == NULL) {
        return false;
    }
    budget_charge(account, (room - shelf->room) * sizeof *places);
    shelf->places = places;
    shelf->room = room;
    return true;
}

bool
shelf_put(struct budget_account *account, struct shelf *shelf, struct delivery *item)
{
    const struct page *page = item->page;
    uint32_t at = places_up_to(shelf, page->first);
    shelf->last = page->last > shelf->last ? page->last : shelf->last;
    if (at > 0 && shelf->places[at - 1].item == NULL && shelf->places[at - 1].first == page->first) {
        shelf->places[at - 1] = (struct shelf_place){.first = page->first, .item = item};
        return true;
    }
    if (shelf->count == shelf->room && !grow(account, shelf)) {
        return false;
    }
    memmove(shelf->places + at + 1, shelf->places + at, (shelf->count - at) * sizeof *shelf->places);
    shelf->places[at] = (struct shelf_place){.first = page->first, .item = item};
    shelf->count++;
    return true;
}

struct shelf_place *
shelf_find(const struct shelf *shelf, uint64_t number)
{
    if (number > shelf->last) {
        return NULL;
    }
    for (uint32_t i = places_up_to(shelf, number); i-- > 0 && number - shelf->places[i].first < PAGE_SPAN_MAX;) {
        struct shelf_place *place = &shelf->places[i];
        if (place->item != NULL && page_has(place->item, number)) {
            return place;
        }
    }
    return NULL;
}
