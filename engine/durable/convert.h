/*
 * convert: journals for one number of shards become journals for another one, before the shards start.
 *
 *   first pass    all old journals are read: which session goes where, which bodies are needed where (engine/durable/convert_index.h)
 *   second pass   they are read again, and each record goes to the new journals of those that it is about, in its order
 *
 * What belongs to a session follows its client identifier, a retained message its topic: as the broker would have placed them (engine/place.h). A body is written once to each
 * new journal that needs it, and gets a new number. Identities stay. Nothing is resolved: what an old journal says twice, or says no more, the new ones say likewise.
 *
 * QoS 2 messages that had not reached all shards when the broker crashed are sent again by their publishers, and known by their tokens (engine/durable/token.h). What one old shard
 * had says nothing about sessions that came from others: so a token is marked as partial, and stands for the sessions of its deliveries only. One that its publisher's session has
 * received is left out.
 *
 * Memory is bounded by the index, and by the largest record. Damage in old journals is treated as when a shard reads its own: what is good is taken over.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_CONVERT_H
#define TIDEWIRE_ENGINE_DURABLE_CONVERT_H

#include "engine/durable/store.h"

struct convert {
    struct io_set *ios;
    char from[STORE_PATH_MAX]; /* the old generation */
    unsigned from_count;
    uint32_t segment_bytes;

    /* What came of it. */
    uint64_t records;          /* written */
    uint64_t unknown;          /* records that could not be read, or of a later version */
};

/* A store_fill; `context`: a struct convert. Logs how far it is if it takes longer than a second. */
int convert_fill(void *context, const char *directory, const struct manifest *manifest, char *error, size_t error_size);

#endif
