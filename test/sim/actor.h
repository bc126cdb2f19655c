/*
 * actor: one client with a correct protocol state machine of its own, that lives through many connections: it keeps what MQTT wants a client to keep, resends what it
 * must, acknowledges in order (sometimes late), and tells the oracle everything it sends and receives.
 *
 *   nothing ──actor_connect──► connecting ──CONNACK──► open ──DISCONNECT or finish──► closing ──► nothing
 *                                   └─────── reset ──────┴────── reset ───────────────────────────► nothing
 *
 * A connection that was taken over by a newer one of the same actor becomes an echo: it is read until it ends, and what it brings is lost.
 *
 * Invariants
 *   X1  packet identifiers of one direction are unique among what is in flight (checked of the broker, kept by ourselves).
 *   X2  no more is in flight than the other side's Receive Maximum.
 *   X3  acknowledgements are sent in the order of what they acknowledge, and only on the connection that brought it.
 */
#ifndef TIDEWIRE_TEST_SIM_ACTOR_H
#define TIDEWIRE_TEST_SIM_ACTOR_H

#include "test/sim/dice.h"
#include "test/sim/oracle.h"
#include "test/support/world.h"

#define ACTOR_ECHOES_MAX 4u
#define ACTOR_ALIASES_MAX 16u

/* What all actors of a run share. */
struct actor_stage {
    struct world *world;
    struct oracle *oracle;
    struct dice *dice;
    uint16_t receive_maximum; /* the broker's, as configured */
    uint16_t window_max;      /* the broker's max_inflight_messages */
    uint32_t payload_large_percent;
    uint64_t stopping_ms;     /* the broker takes leave since then; 0: it does not */
    uint32_t hot_topic;       /* most is published here; NAMES_TOPICS: nowhere in particular */
};

enum actor_state {
    ACTOR_AWAY,
    ACTOR_CONNECTING,
    ACTOR_OPEN,
    ACTOR_CLOSING,
};

/* Published by us, not yet finished. */
struct actor_outgoing {
    uint32_t message;
    uint32_t link;       /* where PUBLISH or PUBREL was last sent; ORACLE_NONE: not yet */
    uint16_t packet_id;
    uint8_t qos;
    bool released;       /* PUBREC came */
    bool counted;        /* against the broker's Receive Maximum, on this link */
};

/* Received by us, QoS 1 or 2. Kept beyond its end until the acknowledgement has surely arrived: before that it may come again. */
struct actor_incoming {
    uint32_t message;
    uint32_t link;       /* where it last came */
    uint16_t packet_id;
    uint8_t qos;
    uint8_t state;       /* enum actor_incoming_state, actor_receive.c */
    bool surely;         /* the acknowledgement has arrived */
    bool durably;        /* and the world has rested since: a crash does not undo it */
    bool counted;        /* against our Receive Maximum */
    uint32_t acked_link, released_link;
    uint64_t acked;      /* tick */
};

struct actor_ack {
    uint16_t packet_id;
    uint8_t type;
};

struct actor_request {
    struct oracle_subscription *versions[4]; /* SUBSCRIBE */
    uint32_t filters[4];
    uint8_t codes[4];    /* expected; 0xFF: any */
    uint64_t sent;       /* tick */
    uint32_t count;
    uint16_t packet_id;
    uint8_t type;
};

struct actor {
    struct actor_stage *stage;
    uint32_t number;
    enum actor_state state;
    uint8_t version;
    uint8_t habit_version;   /* what it mostly speaks */
    char id[24];

    struct client *client;
    uint32_t link;
    bool stuck;
    bool silent;             /* sends nothing any more, until the keep-alive ends the connection */
    bool must_start_clean;
    uint64_t not_before_ms;  /* no CONNECT before */
    uint16_t keep_alive_s;
    uint16_t receive_maximum;/* ours on this link */
    uint16_t broker_window;  /* the broker's on this link */
    uint16_t alias_max_in, alias_max_out;
    uint32_t alias_in[ACTOR_ALIASES_MAX + 1], alias_out[ACTOR_ALIASES_MAX + 1]; /* topics; NAMES_TOPICS: none */
    uint64_t last_sent_ms;
    uint32_t unacknowledged; /* by us, on this link */
    uint64_t expiry_ms;      /* as last asked for */

    struct client *echoes[ACTOR_ECHOES_MAX];
    struct actor_outgoing *outgoing;
    uint32_t outgoing_count, outgoing_room;
    uint8_t completed[8192]; /* bit per packet identifier: a QoS 2 delivery that is over for us, and whose identifier was used again before the world rested */
    struct actor_incoming *incoming;
    uint32_t incoming_count, incoming_room;
    struct actor_ack *acks;
    uint32_t ack_count, ack_room;
    struct actor_request *requests;
    uint32_t request_count, request_room;
    uint16_t packet_cursor;
};

void actor_init(struct actor *a, struct actor_stage *stage, uint32_t number, uint8_t version);
void actor_fini(struct actor *a);

/* One random deed. */
void actor_act(struct actor *a);
/* Reads and answers. `diligent`: everything at once; else it may leave acknowledgements for later. True if anything was read or sent. */
bool actor_pump(struct actor *a, bool diligent);
/* After the world has come to rest: what was acknowledged has arrived. */
void actor_settled(struct actor *a);

/* actor_connect.c. A CONNECT over whatever there is. */
void actor_connect(struct actor *a, bool clean, uint64_t expiry_ms, bool with_will);
void actor_reset(struct actor *a);
void actor_finish(struct actor *a);
void actor_disconnect(struct actor *a, uint8_t reason, bool change_expiry, uint64_t expiry_ms);
void actor_set_stuck(struct actor *a, bool stuck);
/* The connection has ended by itself. */
void actor_ended(struct actor *a, uint8_t reason);
void actor_connack(struct actor *a, const struct connack *connack);
void actor_pump_echoes(struct actor *a);
/* The broker went down at `since_ms`; with the oracle's clock at the time at which it runs again. */
void actor_crashed(struct actor *a, uint64_t since_ms);

/* actor_send.c */
void actor_send(struct actor *a, const struct packet *packet);
uint16_t actor_packet_id(struct actor *a);
/* `size` 0: deletes what is retained. */
void actor_publish(struct actor *a, uint32_t topic, uint8_t qos, bool retain, uint32_t size);
void actor_subscribe(struct actor *a, const uint32_t *filters, const struct subscription_options *options, uint32_t count, uint32_t identifier);
void actor_unsubscribe(struct actor *a, const uint32_t *filters, uint32_t count);
/* What waits: PUBRELs, then publishes as far as the broker takes them. True if anything was sent. */
bool actor_send_outgoing(struct actor *a);
void actor_puback(struct actor *a, const struct ack *ack);
void actor_pubrec(struct actor *a, const struct ack *ack);
void actor_pubcomp(struct actor *a, const struct ack *ack);
void actor_answered(struct actor *a, uint8_t type, const struct suback *answer);

/* actor_receive.c */
void actor_received(struct actor *a, struct publish *publish);
/* A delivery that the broker began and did not end, or NULL. */
const struct actor_incoming *actor_unfinished(const struct actor *a);
void actor_pubrel(struct actor *a, const struct ack *ack);
bool actor_send_acks(struct actor *a, uint32_t count);
/* The broker has handled what we sent on this connection before `tick`. */
void actor_heard(struct actor *a, uint64_t tick);
/* The connection is gone: what was not acknowledged will come again. */
void actor_forget_acks(struct actor *a);
/* The broker has crashed: what it knew of our acknowledgements since the last rest is gone, and of deliveries at QoS 1 perhaps their packet identifiers. */
void actor_doubt_incoming(struct actor *a);

#endif
