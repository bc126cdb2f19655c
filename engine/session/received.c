#include "engine/session/received.h"

#include <stdlib.h>
#include <string.h>

/* The first place whose identifier is not below `packet_id`. */
static uint32_t
place_of(const struct received *r, uint16_t packet_id)
{
    uint32_t low = 0;
    uint32_t high = r->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (r->ids[middle] < packet_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool
received_has(const struct received *r, uint16_t packet_id)
{
    uint32_t at = place_of(r, packet_id);
    return at < r->count && r->ids[at] == packet_id;
}

bool
received_add(struct budget_account *account, struct received *r, uint16_t packet_id)
{
    if (r->count == r->room) {
        uint32_t room = r->room ? r->room * 2 : 4;
        uint16_t *ids = realloc(r->ids, room * sizeof *ids);
        if (ids == NULL) {
            return false;
        }
        budget_charge(account, (room - r->room) * sizeof *ids);
        r->ids = ids;
        r->room = room;
    }
    uint32_t at = place_of(r, packet_id);
    memmove(r->ids + at + 1, r->ids + at, (r->count - at) * sizeof *r->ids);
    r->ids[at] = packet_id;
    r->count++;
    return true;
}

bool
received_remove(struct received *r, uint16_t packet_id)
{
    uint32_t at = place_of(r, packet_id);
    if (at == r->count || r->ids[at] != packet_id) {
        return false;
    }
    memmove(r->ids + at, r->ids + at + 1, (r->count - at - 1) * sizeof *r->ids);
    r->count--;
    return true;
}

void
received_fini(struct budget_account *account, struct received *r)
{
    budget_refund(account, r->room * sizeof *r->ids);
    free(r->ids);
    *r = (struct received){0};
}
