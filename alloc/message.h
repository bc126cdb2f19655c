/*
 * message: one application message as the broker keeps it: topic, properties to forward, payload; immutable once made.
 *
 *   struct message | topic | properties | payload
 *
 * Counted references, plain integers: a message belongs to one shard and only that shard touches the count. What crosses shards is copied, or, when it is
 * large, lent: the borrowing shard makes a message of its own whose bytes lie in the lender's, and returns it over the mesh (engine/mesh.h).
 *
 * Invariants
 *   A1  refs >= 1 while anyone holds it; the last message_unref() frees it (or reports the loan as ended).
 *   A2  bytes never change after message_make() returned and the maker filled them.
 */
#ifndef TIDEWIRE_ALLOC_MESSAGE_H
#define TIDEWIRE_ALLOC_MESSAGE_H

#include "alloc/budget.h"
#include "codec/bytes.h"

#include <stdbool.h>

struct message {
    uint32_t refs;
    uint32_t payload_size;
    uint16_t topic_size;
    uint8_t qos;          /* as published */
    bool retain;          /* as published */
    uint32_t properties_size; /* property block for PUBLISH without expiry, alias and subscription identifiers */
    uint64_t expiry_ms;   /* shard monotonic time at which it expires; 0: never */
    uint64_t stamp;       /* order among retained messages of the process (engine/route/replay.h Y3); 0: not one */
    uint64_t publisher;   /* session identity, for No Local; 0: the broker itself */
    uint64_t body;        /* its number in the journal (engine/durable/keep.h); 0: not there */
    uint64_t kept_at;     /* position of that record */
    const uint8_t *bytes; /* topic, properties, payload */
    struct message *lender; /* NULL: bytes are our own */
    uint16_t lender_shard;
    bool retain_kept;       /* the journal says that it is its topic's retained message */
    uint32_t queued;        /* deliveries of it that wait in queues (engine/session/queue.h) */
};

/* One message with room for the three parts, refs 1. NULL when out of memory. Charged to the account. */
struct message *message_make(struct budget_account *account, struct bytes topic, struct bytes properties, struct bytes payload);

/* A message over bytes that `lender` on `lender_shard` keeps alive until it is told otherwise. */
struct message *message_borrow(struct budget_account *account, const struct message *lender_image, struct message *lender, uint16_t lender_shard);

static inline struct message *
message_ref(struct message *message)
{
    message->refs++;
    return message;
}

/*
 * Gives one reference back and nulls the pointer. Returns true, with the lender in `*returned` and `*returned_shard`, if this was the last reference to a
 * borrowed message: the caller owes that shard a return.
 */
bool message_unref(struct budget_account *account, struct message **message, struct message **returned, uint16_t *returned_shard);

static inline struct bytes
message_topic(const struct message *m)
{
    return bytes_of(m->bytes, m->topic_size);
}

static inline struct bytes
message_properties(const struct message *m)
{
    return bytes_of(m->bytes + m->topic_size, m->properties_size);
}

static inline struct bytes
message_payload(const struct message *m)
{
    return bytes_of(m->bytes + m->topic_size + m->properties_size, m->payload_size);
}

/* Bytes that a message counts in queue and memory limits. */
static inline uint32_t
message_cost(const struct message *m)
{
    return (uint32_t)sizeof *m + m->topic_size + m->properties_size + m->payload_size;
}

#endif
