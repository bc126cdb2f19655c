/*
 * parcel: what one shard tells another over the mesh: messages, and requests of the few things that have a home elsewhere.
 *
 * A parcel is a struct that starts with its type, followed by bytes. A message in a parcel is copied, or, beyond PARCEL_COPY_MAX, lent: the receiver sends
 * PARCEL_RETURN when it no longer needs the bytes (alloc/message.h).
 *
 *   PUBLISH         to every shard with an interested session: expand it to your sessions; if it is the topic's home: keep it (or forget, with an empty payload)
 *   RETAIN          to the topic's home, if nobody there is interested: only that
 *   RETURN          to the lender of a message: we are done with it
 *   REPLAY_*        engine/route/replay.h      SHARE_*    engine/route/share.h      CONFIRM, SETTLED, ASK, ANSWER    engine/durable/promise.h
 */
#ifndef TIDEWIRE_ENGINE_ROUTE_PARCEL_H
#define TIDEWIRE_ENGINE_ROUTE_PARCEL_H

#include "engine/route/publication.h"

#ifndef PARCEL_COPY_MAX /* smaller in tests with small rings */
#define PARCEL_COPY_MAX 16384u
#endif

enum parcel_type {
    PARCEL_PUBLISH = 1,
    PARCEL_RETAIN,
    PARCEL_RETURN,
    PARCEL_REPLAY_BEGIN,
    PARCEL_REPLAY_MORE,
    PARCEL_REPLAY_CANCEL,
    PARCEL_REPLAY_MESSAGE,
    PARCEL_REPLAY_PAUSE,
    PARCEL_REPLAY_END,
    PARCEL_SHARE_JOIN,
    PARCEL_SHARE_JOINED,
    PARCEL_SHARE_LEAVE,
    PARCEL_SHARE_ONLINE,
    PARCEL_SHARE_DELIVER,
    PARCEL_SHARE_RELEASE,
    PARCEL_SHARE_BOUNCE,
    PARCEL_CONFIRM,
    PARCEL_SETTLED,
    PARCEL_ASK,
    PARCEL_ANSWER,
};

/* A message inside a parcel; its bytes follow the enclosing struct, unless they are lent. */
struct parcel_message {
    uint64_t expiry_ms;
    uint64_t stamp;
    uint64_t publisher;
    struct message *lent;      /* NULL: bytes follow */
    const uint8_t *lent_bytes;
    uint32_t payload_size;
    uint32_t properties_size;
    uint16_t topic_size;
    uint8_t qos;
    bool retain;
};

struct parcel {
    uint8_t type; /* enum parcel_type */
};

struct parcel_publish { /* PUBLISH, RETAIN */
    struct parcel head;
    bool retain;    /* the receiver is the topic's home */
    bool confirm;   /* somebody waits until it is durable */
    bool has_token; /* a parcel_publish_known */
    bool again;     /* with a token: as publication.again */
    struct parcel_message message;
};

struct parcel_publish_known {
    struct parcel_publish publish;
    struct entry_token token;
    uint64_t recorded; /* as publication.recorded */
};

struct parcel_confirm { /* so many of the parcels with `confirm` that you ever sent here are durable, and what came of them */
    struct parcel head;
    uint64_t count;
};

struct parcel_settled {
    struct parcel head;
    struct gate_reference gate;
};

struct parcel_return {
    struct parcel head;
    struct message *message;
};

/* A session of another shard: to be checked there (session.h S1). */
struct session_reference {
    struct session *session;
    uint64_t identity;
};

/* A parcel of `size` bytes to `target` (this shard too), to be filled at once; its head's type is set. `tail`: bytes that follow the struct. */
void *parcel_send(struct shard *shard, unsigned target, enum parcel_type type, uint32_t size, uint32_t tail);

/*
 * A parcel that carries a publication: as parcel_send, with the message stored in the struct's `message` member at `message_offset`. Returns NULL when a large message
 * cannot be made (out of memory; counted).
 */
void *parcel_send_message(struct shard *shard, unsigned target, enum parcel_type type, uint32_t size, uint32_t message_offset, struct publication *p);

/* PUBLISH or RETAIN. `confirm`: adds to what the publication waits for. */
void parcel_send_publication(struct shard *shard, unsigned target, enum parcel_type type, struct publication *p, bool confirm, bool retain);

/* The publication in a received parcel; to be ended with publication_fini(). False when out of memory (a lent message is then given back). */
bool parcel_publication(struct shard *shard, unsigned from, const void *parcel, uint32_t size, const struct parcel_message *m, struct publication *out);

/* The bytes after a parcel's struct. */
static inline struct bytes
parcel_tail(const void *parcel, uint32_t struct_size, uint32_t size)
{
    return bytes_of((const uint8_t *)parcel + struct_size, size);
}

/* Handles all parcels that are visible now: one whole pass. */
void parcel_pass(struct shard *shard);

#endif
