/*
 * fresh: the topics of which a session got a live message while retained ones were still being replayed to it (engine/route/replay.h, Y2).
 *
 * A growing set of keyed topic hashes, each with the stamp of the newest live message. At FRESH_MAX it forgets nothing and takes no more: then a replay may
 * bring an older value once. Charged to the account.
 */
#ifndef TIDEWIRE_ENGINE_SESSION_FRESH_H
#define TIDEWIRE_ENGINE_SESSION_FRESH_H

#include "alloc/budget.h"

#include <stdbool.h>
#include <stdint.h>

/* Topics; 1 MiB at most per session with a replay under way. */
#define FRESH_MAX 32768u

struct fresh_topic {
    uint64_t hash;              /* 0: free */
    uint64_t stamp;
};

struct fresh {
    struct fresh_topic *topics; /* open addressing */
    uint32_t room;    /* a power of two, or 0 */
    uint32_t count;
};

/* NULL when out of memory. */
struct fresh *fresh_init(struct budget_account *account);
void fresh_fini(struct budget_account *account, struct fresh **fresh);
void fresh_add(struct budget_account *account, struct fresh *fresh, uint64_t hash, uint64_t stamp);
/* True if a live message newer than `stamp` was noted. */
bool fresh_has_newer(const struct fresh *fresh, uint64_t hash, uint64_t stamp);

#endif
