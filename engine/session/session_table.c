#include "engine/session/session_table.h"

#include "engine/session/session.h"

#include <assert.h>
#include <stdlib.h>

struct session *
session_table_find(const struct session_table *table, uint64_t hash, struct bytes client_id)
{
    if (table->bucket_count == 0) {
        return NULL;
    }
    struct session *s = table->buckets[hash & (table->bucket_count - 1)];
    while (s != NULL && !(s->client_hash == (uint32_t)hash && bytes_equal(session_client_id(s), client_id))) {
        s = s->table_next;
    }
    return s;
}

static bool
grow(struct session_table *table)
{
    uint32_t count = table->bucket_count ? table->bucket_count * 2 : 64;
    struct session **buckets = calloc(count, sizeof *buckets);
    if (buckets == NULL) {
        return table->bucket_count > 0; /* fuller chains are slower, not wrong */
    }
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        struct session *next;
        for (struct session *s = table->buckets[i]; s != NULL; s = next) {
            next = s->table_next;
            s->table_next = buckets[s->client_hash & (count - 1)];
            buckets[s->client_hash & (count - 1)] = s;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->bucket_count = count;
    return true;
}

bool
session_table_add(struct session_table *table, struct session *session)
{
    if (table->count >= table->bucket_count && !grow(table)) {
        return false;
    }
    struct session **bucket = &table->buckets[session->client_hash & (table->bucket_count - 1)];
    session->table_next = *bucket;
    *bucket = session;
    table->count++;
    return true;
}

void
session_table_remove(struct session_table *table, struct session *session)
{
    struct session **at = &table->buckets[session->client_hash & (table->bucket_count - 1)];
    while (*at != session) {
        assert(*at != NULL);
        at = &(*at)->table_next;
    }
    *at = session->table_next;
    table->count--;
}

struct session *
session_table_first(const struct session_table *table, uint32_t *bucket)
{
    for (; table->count > 0 && *bucket < table->bucket_count; ++*bucket) {
        if (table->buckets[*bucket] != NULL) {
            return table->buckets[*bucket];
        }
    }
    return NULL;
}

void
session_table_fini(struct session_table *table)
{
    free(table->buckets);
    *table = (struct session_table){0};
}
