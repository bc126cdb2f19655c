/*
 * attic: configurations that a reload has replaced, until nobody can be using them any more.
 *
 * Shards stop using one within a turn, but work off the shards (a password hash, a question over HTTP) goes on with the texts of the one under which
 * it began. No such work lasts ATTIC_KEEP_S, so whatever has lain here for longer is free of users.
 *
 * Threads  the one that reloads. Memory  owns the configurations.
 * Full     is an answer: so many reloads within ATTIC_KEEP_S are refused.
 */
#ifndef TIDEWIRE_ENGINE_CONFIG_ATTIC_H
#define TIDEWIRE_ENGINE_CONFIG_ATTIC_H

#include "engine/config/config.h"

/* Longer keeps more memory after many reloads, some kilobytes each. */
#define ATTIC_KEEP_S 3600u
#define ATTIC_MAX 1024u

struct attic {
    struct config *all[ATTIC_MAX]; /* oldest first */
    uint64_t since_s[ATTIC_MAX];
    unsigned count;
};

/* Frees what has lain here for long enough. `now_s`: monotonic. */
void attic_clear(struct attic *attic, uint64_t now_s);
bool attic_is_full(const struct attic *attic);
/* Takes the configuration over. Only when it is not full. */
void attic_add(struct attic *attic, struct config **config, uint64_t now_s);
/* Frees all. */
void attic_fini(struct attic *attic);

#endif
