/*
 * sources: where connections come from (addresses, or parts of a network) and who keeps coming (client identifiers): how many are open, how fast they come, how often
 * they misbehave. One table per process, because connections of one address are accepted on any shard.
 *
 *   key (128-bit keyed hash) ──► stripe: lock, buckets ──► entry ──► entry
 *
 * Connects are not the message path: a stripe is locked for some tens of nanoseconds per connect, and nothing here is touched by a packet.
 *
 * Full: the table has a fixed number of entries. An entry that has nothing to remember any more is given to who comes next; then one without open connections, the
 * stalest of a few. Where all that are looked at have open connections the newcomer is let in unseen (SOURCE_UNTRACKED): whoever has so many addresses is not held by
 * limits per address anyway, and refusing would let him lock everybody else out. Limits of listener and broker still hold.
 *
 * Invariants
 *   U1  an entry is in the chain of its key's bucket, or on its stripe's freelist.
 *   U2  `connections` is the number of sources_enter() answered SOURCE_ADMITTED whose sources_leave() has not come.
 *   U3  an entry with connections is never given to another key.
 *
 * Threads  any, except init and fini.
 */
#ifndef TIDEWIRE_ENGINE_LIMITS_SOURCES_H
#define TIDEWIRE_ENGINE_LIMITS_SOURCES_H

#include "engine/limits/rate.h"

struct sources;

struct source_key {
    uint64_t words[2];
};

struct source_limits {
    uint32_t connections_max; /* 0: none */
    struct rate_rule connects;
};

enum source_answer {
    SOURCE_ADMITTED,
    SOURCE_UNTRACKED,     /* the table is full: admitted, and sources_leave() is not to follow */
    SOURCE_TOO_MANY,      /* connections_max */
    SOURCE_TOO_FAST,      /* connects */
};

/* `entries`: how many sources it remembers, rounded up a little. `seed`: secret. NULL when out of memory. */
struct sources *sources_init(uint32_t entries, uint64_t seed);
void sources_fini(struct sources **sources);

/* `kind` tells sources apart that have the same bytes. */
struct source_key sources_key(const struct sources *sources, uint8_t kind, const void *bytes, uint32_t size);

/* One more connection. */
enum source_answer sources_enter(struct sources *sources, struct source_key key, const struct source_limits *limits, uint64_t now_ns);
void sources_leave(struct sources *sources, struct source_key key);

/*
 * Notes one event. True, and counting starts over, if it is number `count_max` within `window_s` seconds of the first; never if `count_max` is 0 or the table is full.
 */
bool sources_note(struct sources *sources, struct source_key key, uint32_t count_max, uint32_t window_s, uint64_t now_ns);

/* Asserts the invariants; for tests, with nobody else in it. Returns the number of entries in use. */
uint32_t sources_check(struct sources *sources);

#endif
