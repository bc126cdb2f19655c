#include "engine/session/fresh.h"

#include <stdlib.h>

struct fresh *
fresh_init(struct budget_account *account)
{
    struct fresh *fresh = calloc(1, sizeof *fresh);
    budget_charge(account, fresh != NULL ? sizeof *fresh : 0);
    return fresh;
}

void
fresh_fini(struct budget_account *account, struct fresh **fresh)
{
    budget_refund(account, sizeof **fresh + (*fresh)->room * sizeof(struct fresh_topic));
    free((*fresh)->topics);
    free(*fresh);
    *fresh = NULL;
}

/* Where the hash stands, or the free place for it. */
static struct fresh_topic *
place_of(struct fresh_topic *topics, uint32_t room, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (room - 1);
    while (topics[at].hash != 0 && topics[at].hash != hash) {
        at = (at + 1) & (room - 1);
    }
    return &topics[at];
}

static bool
grow(struct budget_account *account, struct fresh *fresh)
{
    uint32_t room = fresh->room ? fresh->room * 2 : 16;
    struct fresh_topic *topics = calloc(room, sizeof *topics);
    if (topics == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < fresh->room; i++) {
        if (fresh->topics[i].hash != 0) {
            *place_of(topics, room, fresh->topics[i].hash) = fresh->topics[i];
        }
    }
    free(fresh->topics);
    budget_charge(account, (room - fresh->room) * sizeof *topics);
    fresh->topics = topics;
    fresh->room = room;
    return true;
}

void
fresh_add(struct budget_account *account, struct fresh *fresh, uint64_t hash, uint64_t stamp)
{
    hash += hash == 0;
    struct fresh_topic *place = fresh->room > 0 ? place_of(fresh->topics, fresh->room, hash) : NULL;
    if (place == NULL || place->hash == 0) {
        if (fresh->count == FRESH_MAX || ((fresh->count + 1) * 2 > fresh->room && !grow(account, fresh))) {
            return;
        }
        place = place_of(fresh->topics, fresh->room, hash);
        place->hash = hash;
        fresh->count++;
    }
    place->stamp = stamp > place->stamp ? stamp : place->stamp;
}

bool
fresh_has_newer(const struct fresh *fresh, uint64_t hash, uint64_t stamp)
{
    hash += hash == 0;
    return fresh->count > 0 && place_of(fresh->topics, fresh->room, hash)->stamp > stamp;
}
