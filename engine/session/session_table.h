/*
 * session_table: one shard's sessions by client identifier. A chained hash that doubles; keyed hash, so peers cannot aim at a chain.
 */
#ifndef TIDEWIRE_ENGINE_SESSION_SESSION_TABLE_H
#define TIDEWIRE_ENGINE_SESSION_SESSION_TABLE_H

#include "codec/bytes.h"

struct session;

struct session_table {
    struct session **buckets;
    uint32_t bucket_count; /* a power of two, or 0 */
    uint32_t count;
};

struct session *session_table_find(const struct session_table *table, uint64_t hash, struct bytes client_id);
/* False when out of memory. The session's client_id and client_hash are set. */
bool session_table_add(struct session_table *table, struct session *session);
void session_table_remove(struct session_table *table, struct session *session);
/* Any session from `*bucket` (0 at first) on, or NULL: for tear-down, which does not look at emptied buckets again. */
struct session *session_table_first(const struct session_table *table, uint32_t *bucket);
void session_table_fini(struct session_table *table);

#endif
