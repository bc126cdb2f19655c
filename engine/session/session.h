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
 *   S3  queue count and bytes equal what is in the queue and stay within the limits; in-flight identifiers are unique and not 0.
 *   S4  an identifier in `received` names a QoS 2 message that was routed and whose PUBREL has not come. MQTT5 4.3.3.
 */
#ifndef TIDEWIRE_ENGINE_SESSION_SESSION_H
#define TIDEWIRE_ENGINE_SESSION_SESSION_H

#include "alloc/message.h"
#include "codec/packet.h"
#include "engine/session/fresh.h"
#include "engine/session/inflight.h"
#include "engine/session/received.h"
#include "engine/timer.h"

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

struct session {
    struct session *table_next;
    uint64_t identity;
    struct connection *connection;  /* NULL: not connected */
    uint8_t *client_id_bytes;
    struct subscription **subscriptions; /* open addressing by text_hash */
    struct session_will *will;
    struct delivery *queue_first, *queue_last;
    struct session_suback *subacks, *subacks_last;
    struct session_replay *replays;
    struct fresh *fresh;            /* topics delivered live while replays run; NULL: none run */
    struct timer timer;             /* TIMER_SESSION */
    struct inflight inflight;
    struct received received;
    uint64_t gather_stamp;          /* engine/route/route.c */
    uint64_t queue_bytes;
    uint64_t unacknowledged_bytes;  /* option max_inflight_bytes */
    uint32_t gather_index;
    uint32_t queue_count;
    uint32_t queue_qos0_count;      /* of these; newer QoS 0 messages go behind them (MQTT5 [MQTT-4.6.0-6]) */
    uint32_t client_hash;
    uint32_t expiry_s;              /* Session Expiry Interval; 0: ends with the connection */
    uint32_t replay_count;
    uint16_t replay_granted;        /* sum over its replays */
    uint32_t subscription_count;
    uint32_t subscription_room;     /* a power of two, or 0 */
    uint16_t client_id_size;
    uint16_t window;                /* the client's Receive Maximum, and max_inflight_messages */
    uint16_t unacknowledged;
    uint8_t version;                /* of the last connection */
};

static inline struct bytes
session_client_id(const struct session *s)
{
    return bytes_of(s->client_id_bytes, s->client_id_size);
}

/* Makes a session and enters it into the shard's table. NULL when out of memory. */
struct session *session_begin(struct shard *shard, struct bytes client_id, uint64_t client_hash);

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
void session_drop_will(struct shard *shard, struct session *session);

/* ---------------------------------------------------------------------------------------------------------- what is owed */

/* True if one more message would exceed max_queued_messages or max_queued_bytes. */
bool session_queue_is_full(const struct shard *shard, const struct session *session);

/* Appends to the queue, takes over the delivery and nulls it; gives it up (counted) if the queue is at a limit. Returns whether it was kept. */
bool session_queue(struct shard *shard, struct session *session, struct delivery **delivery);

/* Sends what the window and the output limit allow: first what must be sent again, then the queue. */
void session_pump(struct shard *shard, struct session *session);

/* A PUBLISH of this delivery was just sent: it counts until it is acknowledged (S2). */
void session_count_sent(struct session *session, struct delivery *delivery);

/* On a new connection: everything in flight is to be sent again, in order (MQTT5 [MQTT-4.4.0-1]). */
void session_resend_all(struct session *session);

/* Acknowledgements. Each returns the reason code for an answer: 0, or 0x92 if the identifier is not in flight in that state. */
uint8_t session_puback(struct shard *shard, struct session *session, uint16_t packet_id);
uint8_t session_pubrec(struct shard *shard, struct session *session, uint16_t packet_id, uint8_t reason);
uint8_t session_pubcomp(struct shard *shard, struct session *session, uint16_t packet_id);

/* Gives up one delivery that nobody holds any more. */
void session_free_delivery(struct shard *shard, struct delivery **delivery);

/* Shared deliveries that can go to another member return to the group's home: those of `home` and `serial`, or all if `home` is -1. */
void session_return_shared(struct shard *shard, struct session *session, int home, uint32_t serial);

/* ------------------------------------------------------------------------------------------------------- subscriptions */

struct subscription *session_find_subscription(const struct session *session, struct bytes text, uint32_t text_hash, const struct shard *shard);
/* Whether any subscription has this hash: as good as the text, and quick. */
bool session_has_subscription(const struct session *session, uint32_t text_hash);
/* False when out of memory. */
bool session_add_subscription(struct session *session, struct subscription *subscription);
void session_remove_subscription(struct session *session, struct subscription *subscription);

#endif
