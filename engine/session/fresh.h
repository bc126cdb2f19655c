/*
 * fresh: the topics of which a session got a live message while retained ones were still being replayed to it (engine/route/replay.h, Y2).
 *
 * A growing set of keyed topic hashes. At FRESH_MAX it forgets nothing and takes no more: then a replay may bring an older value once.
 */
#ifndef TIDEWIRE_ENGINE_SESSION_FRESH_H
#define TIDEWIRE_ENGINE_SESSION_FRESH_H

#include <stdbool.h>
#include <stdint.h>

/* Topics; 512 KiB at most per session with a replay under way. */
#define FRESH_MAX 32768u

struct fresh {
    uint64_t *hashes; /* open addressing; 0: free */
    uint32_t room;    /* a power of two, or 0 */
    uint32_t count;
};

/* NULL when out of memory. */
struct fresh *fresh_init(void);
void fresh_fini(struct fresh **fresh);
void fresh_add(struct fresh *fresh, uint64_t hash);
bool fresh_has(const struct fresh *fresh, uint64_t hash);

#endif
