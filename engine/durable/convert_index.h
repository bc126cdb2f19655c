/*
 * convert_index: what has to be known of all old journals before the first record can be written to a new one: where each session goes, which numbers bodies have, and which bodies
 * are needed where by later records.
 *
 *   sessions     identity ─► new shard, QoS 2 messages received      one table for all shards
 *   bodies       of each old shard, sorted: a body's new number is its place among all of them, so new numbers have no gaps however often a store is converted
 *   references   (body, new shards) of DELIVERIES records, sorted
 *
 * Memory: 24 bytes for a session (in a table that is half empty), 8 for a body, 16 for a delivery by reference.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_CONVERT_INDEX_H
#define TIDEWIRE_ENGINE_DURABLE_CONVERT_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#define CONVERT_SHARD_NONE UINT8_MAX

struct convert_session {
    uint64_t identity;       /* 0: an empty place */
    uint64_t received_count;
    uint8_t shard;           /* the new one; CONVERT_SHARD_NONE: no record says that there is such a session */
};

/* A delivery by reference; its session's new shard when convert_index_settle() was called. */
struct convert_reference {
    uint64_t body;
    uint64_t session;        /* then: a mask of shards */
};

struct convert_bodies {
    uint64_t *numbers;
    struct convert_reference *references;
    uint64_t count, room, reference_count, reference_room;
    uint64_t before;         /* bodies of old shards with lower numbers */
};

struct convert_index {
    struct convert_session *sessions;
    uint64_t session_room, session_count; /* room: a power of two */
    struct convert_bodies *bodies;        /* one for each old shard */
    unsigned shard_count;
    bool out_of_memory;                   /* then what it says means nothing */
};

void convert_index_init(struct convert_index *index, unsigned old_shard_count);
void convert_index_fini(struct convert_index *index);

/* The first pass: in any order. */
void convert_index_add_session(struct convert_index *index, uint64_t identity, unsigned new_shard, uint64_t received_count);
void convert_index_add_received(struct convert_index *index, uint64_t identity, uint64_t count);
void convert_index_add_body(struct convert_index *index, unsigned old_shard, uint64_t number);
void convert_index_add_reference(struct convert_index *index, unsigned old_shard, uint64_t body, uint64_t session);
/* The end of it: from now on it answers. */
void convert_index_settle(struct convert_index *index);

/* CONVERT_SHARD_NONE: nowhere. */
uint8_t convert_index_shard(const struct convert_index *index, uint64_t identity);
/* Whether the publisher's session has recorded that message as received. */
bool convert_index_is_received(const struct convert_index *index, uint64_t identity, uint64_t count);
/* 0 for a body that was not added. */
uint64_t convert_index_body(const struct convert_index *index, unsigned old_shard, uint64_t number);
/* A mask of new shards. */
uint64_t convert_index_references(const struct convert_index *index, unsigned old_shard, uint64_t body);

#endif
