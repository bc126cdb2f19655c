/*
 * import_index: who and what is in a database of Mosquitto's, to be found again: filled in file order, then sorted, then asked.
 *
 * Threads  one. Memory: grows with clients, messages and subscriptions (tens of bytes each), not with what the messages hold; texts are borrowed from the file.
 */
#ifndef TIDEWIRE_ENGINE_IMPORT_IMPORT_INDEX_H
#define TIDEWIRE_ENGINE_IMPORT_IMPORT_INDEX_H

#include "engine/import/mosquitto_db.h"

struct import_client {
    struct bytes client_id;
    uint64_t identity;        /* of its session */
    uint64_t delivery_number; /* the last one given */
    uint64_t received_count;
};

struct import_message {
    uint64_t id;
    const uint8_t *at;        /* its chunk */
    uint64_t body;            /* its number in the journal; 0: not written yet */
    bool retained;
    bool expired;
};

struct import_subscription {
    struct mosquitto_db_subscription is;
    struct import_client *client; /* once sorted; NULL: it has no session */
};

/* Things of one size, one behind the other. */
struct import_array {
    void *things;
    size_t count, room;
};

struct import_index {
    struct import_array clients, messages, subscriptions, received; /* the last: const uint8_t *, chunks of messages that clients have sent and not released */
    bool out_of_memory;
};

void import_index_init(struct import_index *index);
void import_index_fini(struct import_index *index);

/* While it is filled. */
void import_index_add_client(struct import_index *index, struct bytes client_id);
void import_index_add_message(struct import_index *index, const struct import_message *message);
void import_index_add_subscription(struct import_index *index, const struct mosquitto_db_subscription *s);
void import_index_add_received(struct import_index *index, const uint8_t *at);

/* Everything is there, but what is retained: sorts, and gives identities. */
void import_index_close(struct import_index *index);

/* NULL: not there. Borrowed. */
struct import_client *import_index_client(const struct import_index *index, struct bytes client_id);
struct import_message *import_index_message(const struct import_index *index, uint64_t id);

#endif
