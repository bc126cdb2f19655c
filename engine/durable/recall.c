#include "engine/durable/recall.h"

#include <assert.h>
#include <stdlib.h>

#define ROOM_MIN 64u

void
recall_init(struct recall *r, struct budget_account *account)
{
    *r = (struct recall){.account = account};
}

void
recall_fini(struct recall *r)
{
    budget_refund(r->account, r->room * sizeof *r->slots);
    free(r->slots);
    recall_init(r, r->account);
}

/* Both numbers mostly count up: a multiplication spreads them, and its high bits depend on all of theirs. */
static uint64_t
home_of(const struct recall *r, uint64_t first, uint64_t second)
{
    uint64_t x = first * 0x9e3779b97f4a7c15u + second;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93u;
    return (x ^ x >> 32) & (r->room - 1);
}

/* Where it is, or would be. */
static uint64_t
place_of(const struct recall *r, uint64_t first, uint64_t second)
{
    uint64_t at = home_of(r, first, second);
    while (r->slots[at].thing != NULL && !(r->slots[at].first == first && r->slots[at].second == second)) {
        at = (at + 1) & (r->room - 1);
    }
    return at;
}

void *
recall_get(const struct recall *r, uint64_t first, uint64_t second)
{
    return r->count > 0 ? r->slots[place_of(r, first, second)].thing : NULL;
}

static bool
grow(struct recall *r)
{
    struct recall old = *r;
    uint64_t room = old.room > 0 ? old.room * 2 : ROOM_MIN;
    struct recall_slot *slots = calloc(room, sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    r->slots = slots;
    r->room = room;
    for (uint64_t i = 0; i < old.room; i++) {
        const struct recall_slot *slot = &old.slots[i];
        if (slot->thing != NULL) {
            slots[place_of(r, slot->first, slot->second)] = *slot;
        }
    }
    free(old.slots);
    budget_charge(r->account, (room - old.room) * sizeof *slots);
    return true;
}

bool
recall_add(struct recall *r, uint64_t first, uint64_t second, void *thing)
{
    assert(thing != NULL);

    if ((r->count + 1) * 4 > r->room * 3 && !grow(r)) {
        return false;
    }
    struct recall_slot *slot = &r->slots[place_of(r, first, second)];
    assert(slot->thing == NULL);
    *slot = (struct recall_slot){first, second, thing};
    r->count++;
    return true;
}

void
recall_remove(struct recall *r, uint64_t first, uint64_t second)
{
    uint64_t mask = r->room - 1;
    uint64_t gap = r->count > 0 ? place_of(r, first, second) : 0;
    if (r->count == 0 || r->slots[gap].thing == NULL) {
        return;
    }
    r->count--;
    /* Whatever would not be found any more because of the gap moves into it. */
    for (uint64_t i = (gap + 1) & mask; r->slots[i].thing != NULL; i = (i + 1) & mask) {
        uint64_t home = home_of(r, r->slots[i].first, r->slots[i].second);
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            r->slots[gap] = r->slots[i];
            gap = i;
        }
    }
    r->slots[gap] = (struct recall_slot){0};
}

void *
recall_next(const struct recall *r, uint64_t *at)
{
    while (*at < r->room) {
        void *thing = r->slots[(*at)++].thing;
        if (thing != NULL) {
            return thing;
        }
    }
    return NULL;
}
