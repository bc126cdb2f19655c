/*
 * revive: what entries say (engine/durable/entry.h), in memory again: for recovery, and for pages that are read back.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_REVIVE_H
#define TIDEWIRE_ENGINE_DURABLE_REVIVE_H

#include "engine/durable/entry.h"
#include "engine/session/inflight.h"
#include "engine/shard.h"

/* A wall-clock time in milliseconds as a shard's clock counts, which is `now_ms` at `wall_now_ms`; 0 stays 0, and what is over already is the least that is a time. */
uint64_t revive_time(uint64_t now_ms, uint64_t wall_now_ms, uint64_t wall_ms);

/* A message with a reference for the caller; it is not said to be in the journal. `wall_now_ms`: the wall clock at shard->now_ms. NULL when out of memory. */
struct message *revive_message(struct shard *shard, const struct entry_body *body, uint64_t wall_now_ms);
/* A delivery without its message, in no list. NULL when out of memory, or if it has more identifiers than there can be. */
struct delivery *revive_delivery(struct shard *shard, const struct entry_delivery *entry);

#endif
