#include "engine/config/attic.h"

#include <assert.h>
#include <string.h>

static void
free_oldest(struct attic *attic, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        config_free(&attic->all[i]);
    }
    attic->count -= count;
    memmove(attic->all, attic->all + count, attic->count * sizeof attic->all[0]);
    memmove(attic->since_s, attic->since_s + count, attic->count * sizeof attic->since_s[0]);
}

void
attic_clear(struct attic *attic, uint64_t now_s)
{
    unsigned old = 0;
    while (old < attic->count && now_s - attic->since_s[old] > ATTIC_KEEP_S) {
        old++;
    }
    free_oldest(attic, old);
}

bool
attic_is_full(const struct attic *attic)
{
    return attic->count == ATTIC_MAX;
}

void
attic_add(struct attic *attic, struct config **config, uint64_t now_s)
{
    assert(!attic_is_full(attic));
    attic->all[attic->count] = *config;
    attic->since_s[attic->count++] = now_s;
    *config = NULL;
}

void
attic_fini(struct attic *attic)
{
    free_oldest(attic, attic->count);
}
