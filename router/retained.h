/*
 * retained: the retained messages of one shard (those topics whose hash names this shard), and walks over them.
 *
 * A tree by topic level with a hash over (parent, level) for children, and an exact hash by topic. A wildcard subscription is served by a walk: taken in steps
 * of a budget of visited nodes, so that one '#' over many topics never stalls the shard. A walk pins the nodes it stands on, so the tree may
 * change between two steps: a message that is there all the time is given exactly once; one that comes or goes meanwhile may or may not be given.
 *
 * Invariants
 *   N1  a node exists if it holds a message, has children, or is pinned by a walk.
 *   N2  count and bytes equal what the tree holds, and never exceed the limits.
 *   N3  walks of a filter never give a topic starting with '$' to a filter starting with a wildcard (MQTT5 [MQTT-4.7.2-1]), nor an expired message.
 *
 * Threads  the owning shard's. Memory  holds one reference on each message.
 */
#ifndef TIDEWIRE_ROUTER_RETAINED_H
#define TIDEWIRE_ROUTER_RETAINED_H

#include "alloc/message.h"

struct retained;
struct retained_walk;

struct retained_limits {
    uint64_t count_max; /* 0: none */
    uint64_t bytes_max; /* sum of message_cost(); 0: none */
};

struct retained *retained_init(struct budget_account *account, const struct retained_limits *limits, const uint8_t secret[32]);
/* All walks must have ended. */
void retained_fini(struct retained **store);
void retained_set_limits(struct retained *store, const struct retained_limits *limits);

/*
 * Keeps `message` for its topic in place of what was there; takes over one reference and nulls it on success. -ENOSPC: a limit (the old message, if any,
 * stays; the reference too); -ENOMEM likewise. The message owns its bytes (not borrowed).
 */
int retained_set(struct retained *store, struct message **message);
/* Forgets the topic's message. True if there was one. */
bool retained_remove(struct retained *store, struct bytes topic);
/* The message of a topic, or NULL; borrowed. */
struct message *retained_get(struct retained *store, struct bytes topic);

uint64_t retained_count(const struct retained *store);
uint64_t retained_bytes(const struct retained *store);

/* Starts a walk for a valid filter (without `$share/`; its bytes are copied). NULL when out of memory. */
struct retained_walk *retained_walk_begin(struct retained *store, struct bytes filter);
/* For all there are, topics that start with '$' too. */
struct retained_walk *retained_walk_begin_all(struct retained *store);
/*
 * The next message (borrowed until the store changes; take a reference to keep it), or NULL. Each visited node costs one of `*budget`; NULL with *budget == 0
 * means 'go on later', NULL with budget left means the walk is over. `now_ms`: messages with expiry_ms at or before it are skipped.
 */
struct message *retained_walk_next(struct retained_walk *walk, uint64_t now_ms, uint32_t *budget);
void retained_walk_end(struct retained_walk **walk);

/* Drops expired messages, looking at `budget` nodes and going on from there next time. Returns how many were dropped. */
uint32_t retained_sweep(struct retained *store, uint64_t now_ms, uint32_t budget);

void retained_check(const struct retained *store);

#endif
