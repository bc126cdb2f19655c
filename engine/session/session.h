/*
 * session: what the broker keeps for one client identifier, connected or not: subscriptions, what it is owed, its will, when it ends.
 *
 *            session_begin ──► connected ◄──► not connected (expiry timer) ──► session_end
 *                                  │                    ▲
 *                                  └─ session_detach ───┘
 *
 * Messages owed, in order:
 *
 *   queue ──session_pump──► in flight (packet identifier) ──PUBACK / PUBREC, PUBCOMP──► gone
 *                               ▲ after a reconnect: sent again from `resend` on
 *
 * Invariants
 *   S1  a session is in its shard's table from begin to end; its `identity` is unique for ever in this process, and 0 once ended. Session memory is never
 *       returned to the heap while the shard lives, so (pointer, identity) can travel to other shards and be checked when it comes back.
 *   S2  at most `window` PUBLISHes with QoS > 0 are unacknowledged on the present connection (`unacknowledged`), of `unacknowledged_bytes`.
 *   S3  the queue stays within the limits; in-flight identifiers are unique and not 0.
 *   S4  an identifier in `received` names a QoS 2 message that was routed and whose PUBREL has not come. MQTT5 4.3.3.
 */
#ifndef TIDEWIRE_ENGINE_SESSION_SESSION_H
#define TIDEWIRE_ENGINE_SESSION_SESSION_H

#include "alloc/message.h"
#include "codec/packet.h"
#include "engine/session/fresh.h"
#include "engine/session/inflight.h"
#include "engine/session/queue.h"
#include "engine/session/received.h"
#include "engine/timer.h"

#include <assert.h>

struct shard;
struct connection;
struct subscription;

#define SESSION_NEVER_EXPIRES UINT32_MAX

/* A will and, once its connection is gone, the wait for its delay. */
struct session_will {
    struct timer timer;       /* TIMER_WILL */
    struct session *session;
    struct message *message;
    uint32_t delay_s;
    uint32_t expiry_s;        /* Message Expiry Interval; counted from publication */
    bool has_expiry;
};

/* A SUBACK that waits for the home shards of shared subscriptions. */
struct session_suback {
    struct session_suback *next;
    uint32_t serial;
    uint32_t outstanding;
    uint32_t count;
    uint16_t packet_id;
    uint8_t codes[];
};

/* What it is charged with. */
static inline uint64_t
session_suback_bytes(const struct session_suback *suback)
{
    return sizeof *suback + suback->count;
}

/* A replay of retained messages that some shard runs for this session. */
struct session_replay {
    struct session_replay *next, **link;
    uint64_t began_stamp;     /* retained publications after this one come live, unless No Local keeps them back */
    uint32_t serial;
    uint32_t text_hash;       /* of its subscription: gone after UNSUBSCRIBE */
    uint8_t shard;
    uint8_t granted;          /* messages that it may still send; 0: waits for our REPLAY_MORE */
    bool exact;               /* one message at most */
};

/* What a session owes to its client: there from the first message that is queued or in flight on, until the session ends. */
struct session_owed {
    struct queue queue;
    struct inflight inflight;
    uint64_t unacknowledged_bytes;  /* option max_inflight_bytes */
    uint64_t delivery_number;       /* the last one given: engine/durable/keep.h K2 */
};

/* What few sessions have, or only for a moment: there while there is any of it (session_tidy); from a first QoS 2 message that was received to the end. */
struct session_extra {
    struct session_will *will;
    struct session_suback *subacks, *subacks_last;
    struct session_replay *replays;
    struct fresh *fresh;            /* topics delivered live while replays run; NULL: none run */
    struct principal *principal;    /* whom it acts as; NULL: anonymous, and nothing to remember */
    struct received received;
    struct received pending;        /* of these: not recorded yet (engine/durable/promise.h) */
    uint64_t received_count;        /* QoS 2 messages of a kept session that were routed */
    uint64_t recorded_count;        /* and those of them that the journal knows as received */
    uint32_t replay_count;
    uint16_t replay_granted;        /* sum over its replays */
};

/* Client identifiers up to this size lie in the session. */
#define SESSION_ID_INLINE 24

/* Two cache lines. The first is what a delivery with QoS 0 looks at. */
struct session {
    struct session *table_next;
    uint64_t identity;
    struct connection *connection;  /* NULL: not connected */
    struct session_owed *owed;      /* or NULL; read it by session_get_owed() */
    struct session_extra *extra;    /* or NULL; read it by session_get_extra() */
    union {
        struct subscription *one;   /* subscription_room 1; may be NULL */
        struct subscription **many; /* more: open addressing by text_hash */
    } subscriptions;
    uint32_t client_hash;
    uint32_t gather_index;          /* engine/route/route.c */
    uint32_t subscription_count;
    uint16_t window;                /* the client's Receive Maximum, and max_inflight_messages */
    uint16_t unacknowledged;

    struct timer timer;             /* TIMER_SESSION */
    union {
        uint8_t bytes[SESSION_ID_INLINE];
        uint8_t *heap;              /* if larger */
    } client_id;
    uint32_t subscription_room;     /* a power of two, or 0 */
    uint32_t expiry_s;              /* Session Expiry Interval; 0: ends with the connection */
    uint16_t client_id_size;
    uint8_t version;                /* of the last connection */
    uint8_t flags;                  /* SESSION_KEPT */
};

/* It outlives its connection and is in the journal: engine/durable/keep.h K1. */
#define SESSION_KEPT 1u
static_assert(sizeof(struct session) == 128, "counts in bytes per session");

static inline struct bytes
session_client_id(const struct session *s)
{
    return bytes_of(s->client_id_size <= SESSION_ID_INLINE ? s->client_id.bytes : s->client_id.heap, s->client_id_size);
}

extern const struct session_owed session_owes_nothing;
extern const struct session_extra session_has_nothing_extra;

/* To look at: an empty one if there is none. */
static inline const struct session_owed *
session_get_owed(const struct session *s)
{
    return s->owed != NULL ? s->owed : &session_owes_nothing;
}

static inline const struct session_extra *
session_get_extra(const struct session *s)
{
    return s->extra != NULL ? s->extra : &session_has_nothing_extra;
}

struct session_owed *session_make_owed(struct shard *shard, struct session *session);
struct session_extra *session_make_extra(struct shard *shard, struct session *session);

/* To put something in. NULL when out of memory. */
static inline struct session_owed *
session_need_owed(struct shard *shard, struct session *s)
{
    return s->owed != NULL ? s->owed : session_make_owed(shard, s);
}

static inline struct session_extra *
session_need_extra(struct shard *shard, struct session *s)
{
    return s->extra != NULL ? s->extra : session_make_extra(shard, s);
}

/* After something was taken out: gives `extra` up if nothing is left in it. */
void session_tidy(struct shard *shard, struct session *session);

/* Makes a session and enters it into the shard's table. NULL when out of memory. */
struct session *session_begin(struct shard *shard, struct bytes client_id, uint64_t client_hash);

/*
 * The two halves of it, for one that was there before a restart: it keeps its identity, and is in no table before it has its name. NULL, or false, when out of memory; the caller
 * then ends it.
 */
struct session *session_recall(struct shard *shard, uint64_t identity);
bool session_name(struct shard *shard, struct session *session, struct bytes client_id, uint64_t client_hash);
/* Another has its name now; it may have none. */
void session_forget_name(struct shard *shard, struct session *session);

/*
 * The connection is gone (or given up). Starts the will's delay and the session's expiry; ends the session at once if it expires at 0. `publish_will` false: a normal
 * DISCONNECT deleted it (MQTT5 [MQTT-3.14.4-3]). Nulls the pointer if the session ended.
 */
void session_detach(struct shard *shard, struct session **session, bool publish_will);

/* Ends a session: publishes a will that still waits, gives up subscriptions and everything owed, frees it, nulls the pointer. Not connected any more. */
void session_end(struct shard *shard, struct session **session);

/* A session that is about to be connected again: timers and a waiting will are cancelled (MQTT5 [MQTT-3.1.3-9]). */
void session_resume(struct shard *shard, struct session *session);

/* TIMER_SESSION and TIMER_WILL. */
void session_timer(struct shard *shard, struct session *session);
void session_will_timer(struct shard *shard, struct session_will *will);

/* Takes over the will of a CONNECT; false when out of memory. */
bool session_set_will(struct shard *shard, struct session *session, const struct will *will);
/* A will around this message, which it takes over; without a delay and an expiry. The session has none. NULL when out of memory. */
struct session_will *session_put_will(struct shard *shard, struct session *session, struct message **message);
void session_drop_will(struct shard *shard, struct session *session);

/* ---------------------------------------------------------------------------------------------------------- what is owed */

/* True if one more message would exceed max_queued_messages or max_queued_bytes. */
bool session_queue_is_full(const struct shard *shard, const struct session *session);

/* Appends to the queue, takes over the delivery and nulls it; gives it up (counted) if the queue is at a limit. Returns whether it was kept. */
bool session_queue(struct shard *shard, struct session *session, struct delivery **delivery);

/* True if a pump could find something. */
static inline bool
session_wants_pump(const struct session *s)
{
    const struct session_owed *owed = session_get_owed(s);
    return !queue_is_empty(&owed->queue) || owed->inflight.resend != NULL || session_get_extra(s)->replays != NULL;
}

/* Sends what the window and the output limit allow: first what must be sent again, then the queue. */
void session_pump(struct shard *shard, struct session *session);

/* A PUBLISH of this delivery was just sent: it counts until it is acknowledged (S2). */
void session_count_sent(struct session *session, struct delivery *delivery);

/* What was promised once it is durable (engine/durable/promise.h): the PUBLISH of a delivery in flight, or its PUBREL. Nothing if it is over, or nobody is connected. */
void session_send_promised(struct shard *shard, struct session *session, uint16_t packet_id, uint64_t number);
void session_send_release(struct shard *shard, struct session *session, uint16_t packet_id, uint64_t number);

/* On a new connection: everything in flight is to be sent again, in order (MQTT5 [MQTT-4.4.0-1]). */
void session_resend_all(struct session *session);

/* Acknowledgements. Each returns the reason code for an answer: 0, or 0x92 if the identifier is not in flight in that state. */
uint8_t session_puback(struct shard *shard, struct session *session, uint16_t packet_id);
uint8_t session_pubrec(struct shard *shard, struct session *session, uint16_t packet_id, uint8_t reason);
uint8_t session_pubcomp(struct shard *shard, struct session *session, uint16_t packet_id);

/* Gives up one delivery that nobody holds any more. */
void session_free_delivery(struct shard *shard, struct delivery **delivery);

/*
 * Shared deliveries that can go to another member return to the group's home: those of `home` and `serial` that are in memory, or all, on disk too, if `home` is -1: the session
 * ends.
 */
void session_return_shared(struct shard *shard, struct session *session, int home, uint32_t serial);

/* ------------------------------------------------------------------------------------------------------- subscriptions */

struct subscription *session_find_subscription(const struct session *session, struct bytes text, uint32_t text_hash, const struct shard *shard);
/* Whether any subscription has this hash: as good as the text, and quick. */
bool session_has_subscription(const struct session *session, uint32_t text_hash);
/* All places for subscriptions, some of them NULL; `*room` is their number, a power of two or 0. Borrowed until the next add. */
static inline struct subscription *const *
session_subscriptions(const struct session *session, uint32_t *room)
{
    *room = session->subscription_room;
    return session->subscription_room > 1 ? session->subscriptions.many : &session->subscriptions.one;
}
/* False when out of memory. */
bool session_add_subscription(struct shard *shard, struct session *session, struct subscription *subscription);
void session_remove_subscription(struct session *session, struct subscription *subscription);

#endif
