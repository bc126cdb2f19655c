#include "engine/session/fresh.h"

#include <stdlib.h>

struct fresh *
fresh_init(void)
{
    return calloc(1, sizeof(struct fresh));
}

void
fresh_fini(struct fresh **fresh)
{
    free((*fresh)->hashes);
    free(*fresh);
    *fresh = NULL;
}

/* Where the hash stands, or the free place for it. */
static uint64_t *
place_of(uint64_t *hashes, uint32_t room, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (room - 1);
    while (hashes[at] != 0 && hashes[at] != hash) {
        at = (at + 1) & (room - 1);
    }
    return &hashes[at];
}

static bool
grow(struct fresh *fresh)
{
    uint32_t room = fresh->room ? fresh->room * 2 : 16;
    uint64_t *hashes = calloc(room, sizeof *hashes);
    if (hashes == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < fresh->room; i++) {
        if (fresh->hashes[i] != 0) {
            *place_of(hashes, room, fresh->hashes[i]) = fresh->hashes[i];
        }
    }
    free(fresh->hashes);
    fresh->hashes = hashes;
    fresh->room = room;
    return true;
}

void
fresh_add(struct fresh *fresh, uint64_t hash)
{
    hash += hash == 0;
    if (fresh->count == FRESH_MAX || ((fresh->count + 1) * 2 > fresh->room && !grow(fresh))) {
        return;
    }
    uint64_t *place = place_of(fresh->hashes, fresh->room, hash);
    fresh->count += *place == 0;
    *place = hash;
}

bool
fresh_has(const struct fresh *fresh, uint64_t hash)
{
    hash += hash == 0;
    return fresh->count > 0 && *place_of(fresh->hashes, fresh->room, hash) == hash;
}
