/*
 * deliver: one publication to one session of this shard: now, or into its queue, or not at all (counted).
 */
#ifndef TIDEWIRE_ENGINE_ROUTE_DELIVER_H
#define TIDEWIRE_ENGINE_ROUTE_DELIVER_H

#include "engine/route/publication.h"
#include "engine/session/session.h"

/* How one session is to get it. */
struct deliver_terms {
    const uint32_t *identifiers; /* Subscription Identifiers */
    uint32_t identifier_count;
    uint32_t share_serial;       /* 0: not through a shared subscription */
    uint32_t share_filter;
    uint32_t share_hash;         /* text_hash of the subscription */
    uint8_t share_home;
    uint8_t qos;                 /* granted; the message's own is applied too */
    bool retain;                 /* the RETAIN flag to send */
    bool allowed;                /* the caller has asked deliver_is_allowed() */
    bool replayed;               /* by engine/route/replay.c, which has seen to the room in the queue */
};

/* Whether the session may read the topic; always, where no access list limits anybody. */
bool deliver_is_allowed(const struct shard *shard, struct session *session, struct publication *p);

void deliver_to_session(struct shard *shard, struct session *session, struct publication *p, const struct deliver_terms *terms);

/* The QoS to send at. MQTT5 [MQTT-3.8.4-8], option upgrade_outgoing_qos. */
uint8_t deliver_qos(const struct shard *shard, uint8_t published, uint8_t granted);

/* Sends (or sends again) a delivery that is in flight. False: it was given up (too large, out of memory) and the caller must free it. */
bool deliver_in_flight(struct shard *shard, struct session *session, struct delivery *delivery);

/*
 * True if a delivery that is to be the next one in flight is sent only once it is durable: QoS 2 of a kept session, as what a crash has forgotten would come twice; and what is
 * behind such a one, as a newer value must not arrive before an older one.
 */
bool deliver_must_wait(const struct session *session, const struct delivery *delivery);

/* True if a PUBLISH with QoS > 0 may be sent now: connected, window open, output not full. */
bool deliver_may_send(const struct shard *shard, const struct session *session);

#endif
