/*
 * entry: what the records of the journal say, as bytes and back. Pure functions; whatever the bytes are, reading them is safe.
 *
 * Sessions are named by their identity (session.h S1), which they keep over restarts; deliveries by a number that grows within their session; bodies of messages by a number
 * that grows within the shard. Times are wall-clock milliseconds. Integers are big-endian; every entry may be followed by bytes of a later version, which are ignored.
 *
 *   SESSION      makes a session, or says anew what it is     SESSION_END   it ended, with all it had
 *   ABSENT       its connection is gone
 *   SUBSCRIPTION makes or changes one                         UNSUBSCRIBED  it is gone
 *   MESSAGE      a body, with all that this shard owes of it: deliveries, the retained message of its topic, a QoS 2 identifier of its publisher. All or nothing
 *   DELIVERIES   more deliveries of bodies known already      DONE          deliveries that are over
 *   SENT         packet identifiers of deliveries             RELEASED      PUBREC has come for them
 *   RECEIVED     a QoS 2 message was routed                   COMPLETED     its PUBREL came
 *   RETAIN_REMOVED                                            WILL, WILL_DROPPED
 *   TOKEN        a QoS 2 message of before a crash is there: what its MESSAGE said of that, whose record may be cut off
 *   PAGE         deliveries with their bodies, of one session, that are not in memory (engine/session/page.h)
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_ENTRY_H
#define TIDEWIRE_ENGINE_DURABLE_ENTRY_H

#include "codec/bytes.h"

#include <stdbool.h>

enum entry_type {
    ENTRY_SESSION = 1,
    ENTRY_SESSION_END,
    ENTRY_ABSENT,
    ENTRY_SUBSCRIPTION,
    ENTRY_UNSUBSCRIBED,
    ENTRY_MESSAGE,
    ENTRY_DELIVERIES,
    ENTRY_SENT,
    ENTRY_RELEASED,
    ENTRY_DONE,
    ENTRY_RECEIVED,
    ENTRY_COMPLETED,
    ENTRY_RETAIN_REMOVED,
    ENTRY_WILL,
    ENTRY_WILL_DROPPED,
    ENTRY_PAGE,
    ENTRY_TOKEN,
};

struct entry_session {
    uint64_t identity;
    uint64_t absent_since_ms;   /* 0: connected */
    uint64_t delivery_number;   /* the last one given */
    uint64_t received_count;    /* QoS 2 messages of its own that were routed so far */
    uint32_t expiry_s;          /* 0: it ends with its connection, or has ended and others are about to get what came through its groups */
    uint16_t window;
    uint8_t version;
    struct bytes client_id;
    struct bytes principal;     /* engine/durable/principal_entry.h; empty: none */
};

struct entry_absent { /* ABSENT; SESSION_END and WILL_DROPPED have the identity only */
    uint64_t identity;
    uint64_t since_ms;
    uint32_t expiry_s;
};

struct entry_subscription { /* UNSUBSCRIBED has identity and text only */
    uint64_t identity;
    uint32_t identifier;
    uint8_t qos;
    bool no_local, retain_as_published;
    struct bytes text;          /* as subscribed: `$share/...` too */
};

/* A message's parts. */
struct entry_body {
    uint64_t number;            /* of the body; never 0 */
    uint64_t publisher;
    uint64_t stamp;
    uint64_t expiry_ms;         /* 0: never */
    uint8_t qos;
    bool retain;                /* as published */
    struct bytes topic, properties, payload;
};

/* Which QoS 2 message of which publisher this is: the same one again after a crash is known by it (engine/durable/token.h). identity 0: none */
struct entry_token {
    uint64_t identity;
    uint64_t count;
    uint64_t hash;              /* of topic and payload */
    uint16_t packet_id;
};

struct entry_known {            /* TOKEN */
    struct entry_token token;
    uint32_t holder_count;      /* sessions that have it; 0: all of this shard */
    struct bytes holders;       /* eight bytes each, big-endian */
};

enum entry_delivery_state {     /* as enum delivery_state */
    ENTRY_DELIVERY_QUEUED,
    ENTRY_DELIVERY_PUBLISHED,
    ENTRY_DELIVERY_RELEASED,
};

struct entry_delivery {
    uint64_t identity;          /* of the session */
    uint64_t number;
    uint64_t body;              /* DELIVERIES: the number of the body; 0 in the state RELEASED, which has none */
    uint32_t share_hash;        /* text_hash of the shared subscription that it came through; 0: none */
    uint16_t packet_id;         /* 0: not sent */
    uint8_t qos;
    uint8_t state;
    bool retain;
    bool cancelled;             /* it was over before it was written: to be left out */
    uint32_t identifier_count;
    struct bytes identifiers;   /* four bytes each, big-endian */
};

struct entry_message {
    struct entry_body body;
    struct entry_token token;
    bool keep_retained;         /* it is the topic's retained message, in place of what was there */
    bool received;              /* its publisher's session has received token.packet_id: nobody on other shards needed it */
    bool token_partial;         /* with a token, after a conversion: others of this shard's sessions than those of its deliveries may not have it (engine/durable/convert.h) */
    uint32_t delivery_count;
    struct bytes deliveries;    /* to be taken one by one with entry_next_delivery() */
};

struct entry_mark { /* SENT, RELEASED, DONE: pairs of delivery number and packet identifier (0 in DONE) */
    uint64_t identity;
    uint32_t count;
    struct bytes marks;
};

struct entry_received { /* RECEIVED, COMPLETED (packet_id only) */
    uint64_t identity;
    uint64_t count;
    uint16_t packet_id;
};

struct entry_retain_removed {
    uint64_t stamp;
    struct bytes topic;
};

struct entry_will {
    uint64_t identity;
    uint32_t delay_s, expiry_s;
    bool has_expiry;
    struct entry_body body;     /* number 0 */
};

/* PAGE: a head, then `count` pairs of a delivery and its body. Deliveries are in order and QUEUED. */
struct entry_page {
    uint64_t identity;
    uint64_t first, last;       /* delivery numbers */
    uint32_t count;
    uint64_t cost;              /* sum of what the messages count in limits */
    struct bytes items;
};

/* Sizes and encoders come in pairs: the writer gets exactly the size. A message's deliveries are written by entry_put_delivery() behind it; likewise marks, and a page's items. */
uint32_t entry_session_size(const struct entry_session *e);
void entry_put_session(struct writer *w, const struct entry_session *e);
uint32_t entry_absent_size(void);
void entry_put_absent(struct writer *w, const struct entry_absent *e);
uint32_t entry_identity_size(void);
void entry_put_identity(struct writer *w, uint64_t identity);
uint32_t entry_subscription_size(const struct entry_subscription *e);
void entry_put_subscription(struct writer *w, const struct entry_subscription *e);
uint32_t entry_body_size(const struct entry_body *e);
void entry_put_body(struct writer *w, const struct entry_body *e);
uint32_t entry_message_size(const struct entry_message *e); /* without deliveries */
void entry_put_message(struct writer *w, const struct entry_message *e);
uint32_t entry_delivery_size(const struct entry_delivery *e);
void entry_put_delivery(struct writer *w, const struct entry_delivery *e);
uint32_t entry_deliveries_size(void); /* head of DELIVERIES: the count */
void entry_put_deliveries(struct writer *w, uint32_t count);
uint32_t entry_token_size(uint32_t holder_count); /* with the holders, which are written behind it */
void entry_put_token(struct writer *w, const struct entry_token *e, uint32_t holder_count);
uint32_t entry_mark_size(uint32_t count); /* with the marks */
void entry_put_mark_head(struct writer *w, uint64_t identity, uint32_t count);
void entry_put_mark(struct writer *w, uint64_t number, uint16_t packet_id);
uint32_t entry_received_size(void);
void entry_put_received(struct writer *w, const struct entry_received *e);
uint32_t entry_retain_removed_size(const struct entry_retain_removed *e);
void entry_put_retain_removed(struct writer *w, const struct entry_retain_removed *e);
uint32_t entry_will_size(const struct entry_will *e);
void entry_put_will(struct writer *w, const struct entry_will *e);
uint32_t entry_page_size(const struct entry_page *e); /* without items */
void entry_put_page(struct writer *w, const struct entry_page *e);

/* Deliveries of one record among which one is looked for; the end of one among more is recorded instead. */
#define ENTRY_CANCEL_MAX 64u

/*
 * The delivery `number` of session `identity` in the content of a MESSAGE or DELIVERIES record is over: marks it there. Returns how many are left that are not; -1: not found, or
 * too many to look.
 */
int32_t entry_cancel_delivery(uint8_t type, uint8_t *content, uint32_t size, uint64_t identity, uint64_t number);

/*
 * An entry has one form: what was read and is written again has the same size.
 *
 * False if the bytes are not a whole entry of the kind, with everything that it counts: then `out` means nothing. What is read borrows from `content`; lists end where their last
 * one does.
 */
bool entry_read_session(struct bytes content, struct entry_session *out);
bool entry_read_identity(struct bytes content, uint64_t *identity);
bool entry_read_absent(struct bytes content, struct entry_absent *out);
bool entry_read_subscription(struct bytes content, struct entry_subscription *out);
bool entry_read_message(struct bytes content, struct entry_message *out);
bool entry_read_deliveries(struct bytes content, uint32_t *count, struct bytes *deliveries);
bool entry_read_token(struct bytes content, struct entry_known *out);
bool entry_read_mark(struct bytes content, struct entry_mark *out);
bool entry_read_received(struct bytes content, struct entry_received *out);
bool entry_read_retain_removed(struct bytes content, struct entry_retain_removed *out);
bool entry_read_will(struct bytes content, struct entry_will *out);
bool entry_read_page(struct bytes content, struct entry_page *out);
/* Takes the next one off; false at the end, or if what follows is none. Cancelled ones are shown too. */
bool entry_next_delivery(struct bytes *deliveries, struct entry_delivery *out);
bool entry_next_mark(struct bytes *marks, uint64_t *number, uint16_t *packet_id);
bool entry_next_item(struct bytes *items, struct entry_delivery *delivery, struct entry_body *body);

#endif
