/* PUBLISH from a client, and the acknowledgements of both directions. */
#include "codec/encode.h"
#include "codec/forward.h"
#include "codec/topic.h"
#include "engine/access/access.h"
#include "engine/durable/keep.h"
#include "engine/durable/promise.h"
#include "engine/identity/http_hook.h"
#include "engine/limits/pace.h"
#include "engine/log.h"
#include "engine/net/alias.h"
#include "engine/protocol/input.h"
#include "engine/route/route.h"
#include "engine/session/session.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* PUBACK, PUBREC, PUBREL, PUBCOMP. A reason of 0 has the short form, which all versions share. Returns the size. */
static uint32_t
write_ack(uint8_t bytes[5], uint8_t version, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    uint8_t flags = type == PACKET_PUBREL ? 2 : 0;
    bool with_reason = version == MQTT_VERSION_5 && reason != REASON_SUCCESS;
    bytes[0] = (uint8_t)(type << 4 | flags);
    bytes[1] = with_reason ? 3 : 2;
    bytes[2] = (uint8_t)(packet_id >> 8);
    bytes[3] = (uint8_t)packet_id;
    bytes[4] = reason;
    return with_reason ? 5 : 4;
}

void
input_acknowledge(struct shard *shard, struct connection *c, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    uint8_t bytes[5];
    uint32_t size = write_ack(bytes, c->version, type, packet_id, reason);
    connection_put(shard, c, bytes, size);
}

/* The answer to a PUBLISH that waits for nothing of its own, but for those before it. */
static void
acknowledge(struct shard *shard, struct connection *c, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    struct promise_needs none = {0};
    promise_acknowledge(shard, c, type, packet_id, reason, &none, 0);
}

/* A reason code that ends only this message: told in its acknowledgement where there is one. Versions 3.x cannot be told and get a plain one (MQTT3 3.3.5). */
static void
refuse_message(struct shard *shard, struct connection *c, const struct publish *publish, uint8_t reason)
{
    if (publish->qos > 0) {
        acknowledge(shard, c, publish->qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, publish->packet_id, reason);
    }
}

/* No room for it. A plain acknowledgement would say that we have it, so where the reason cannot be told the connection ends. */
static void
refuse_for_quota(struct shard *shard, struct connection *c, const struct publish *publish)
{
    if (publish->qos > 0 && c->version != MQTT_VERSION_5) {
        connection_close(shard, c, REASON_QUOTA_EXCEEDED, "no room for its message");
    } else {
        refuse_message(shard, c, publish, REASON_QUOTA_EXCEEDED);
    }
}

/* Rules beyond the packet itself; 0, or the reason to disconnect with. */
static uint8_t
check_publish(const struct shard *shard, struct connection *c, struct publish *publish)
{
    const struct config_listener *listener = &shard->broker->listeners[c->listener];
    if (publish->qos > listener->max_qos) {
        return REASON_QOS_NOT_SUPPORTED; /* MQTT5 [MQTT-3.2.2-11] */
    }
    if (publish->retain && !shard->config->retain_available) {
        return REASON_RETAIN_NOT_SUPPORTED; /* MQTT5 [MQTT-3.2.2-14] */
    }
    if (properties_has(&publish->properties, PROPERTY_TOPIC_ALIAS)) {
        uint8_t reason = alias_resolve(shard->account, c, listener->max_topic_alias, publish->properties.topic_alias, &publish->topic);
        if (reason != REASON_SUCCESS) {
            return reason;
        }
    }
    return REASON_SUCCESS;
}

static bool
too_many_levels(const struct shard *shard, struct bytes topic)
{
    return shard->config->max_topic_levels < TOPIC_LEVELS_MAX && !topic_name_check(topic, shard->config->max_topic_levels);
}

/* The forwardable property block; false if it does not fit into the scratch space. */
static bool
forwardable(struct shard *shard, const struct properties *properties, struct bytes *out)
{
    if (properties->present == 0) {
        *out = bytes_of(NULL, 0);
        return true;
    }
    if (forward_all(properties)) {
        *out = properties->raw;
        return true;
    }
    if (properties->raw.size > SHARD_SCRATCH_BYTES) {
        return false;
    }
    *out = bytes_of(shard->scratch, forward_properties(properties, shard->scratch));
    return true;
}

/* What comes of one PUBLISH. */
struct outcome {
    struct promise_needs needs;
    uint64_t received_count; /* of a QoS 2 message of a kept session, if that is still to be recorded */
    bool recorded;           /* it is not: the message's own record says that it was received */
    uint8_t reason;
};

/* QoS 2 of a session that is kept: the same message is known again after a crash. */
static void
set_token(const struct connection *c, const struct publish *publish, struct publication *p)
{
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    XXH3_64bits_update(&state, p->topic.data, p->topic.size);
    XXH3_64bits_update(&state, p->payload.data, p->payload.size);
    p->token = (struct entry_token){
        .identity = c->session->identity,
        .count = ++c->session->extra->received_count,
        .hash = XXH3_64bits_digest(&state),
        .packet_id = publish->packet_id,
    };
    p->publisher_here = c->session->extra->pending.count == 1; /* else an earlier one is to be recorded first: promise.h W4 */
    p->again = publish->dup;
    p->recorded = c->session->extra->recorded_count;
}

/* Whether there is room for it, in memory and on the disk. QoS 0 that is not to be kept takes neither for long: who can take it at once gets it even at the limit (deliver.c). */
static bool
has_room(struct shard *shard, struct connection *c, const struct publish *publish)
{
    if (publish->qos == 0 && !publish->retain) {
        return true;
    }
    shard_feel_pressure(shard);
    if (shard->pressure >= BUDGET_REFUSE) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return false;
    }
    bool retains = publish->retain && publish->payload.size > 0; /* an empty one makes room */
    if (shard->journal != NULL && ((publish->qos == 2 && keep_is_kept(c->session) && shard->disk_full) ||
                                   route_is_barred_by_disk(shard, publish->topic, publish->qos, retains, &c->memo))) {
        stats_add(&shard->stats.drops[DROP_DISK_FULL], 1);
        return false;
    }
    return true;
}

/* Routes it; false if there is no room for it: the caller answers. */
static bool
route_publish(struct shard *shard, struct connection *c, const struct frame *frame, const struct publish *publish, struct outcome *outcome)
{
    struct publication p;
    publication_init(&p);
    if (!has_room(shard, c, publish)) {
        return false;
    }
    if (!forwardable(shard, &publish->properties, &p.properties)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return false;
    }
    p.topic = publish->topic;
    p.payload = publish->payload;
    p.qos = publish->qos;
    p.retain = publish->retain;
    p.publisher = c->session->identity;
    if (properties_has(&publish->properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL)) {
        p.expiry_ms = shard->now_ms + publish->properties.message_expiry_s * 1000ull;
        p.expiry_ms += p.expiry_ms == 0; /* 0 means never */
    }
    if (!properties_has(&publish->properties, PROPERTY_TOPIC_ALIAS)) {
        publication_set_packet(&p, frame_packet(frame), c->version, publish->qos);
    }
    bool kept = keep_is_kept(c->session);
    if (publish->qos == 2 && shard->journal != NULL && (kept || publish->dup)) { /* a session that was kept when it was first sent may not be any more */
        set_token(c, publish, &p);
    }
    bool any = route_publication(shard, &p, &c->memo);
    outcome->needs = p.needs;
    outcome->recorded = p.received_kept;
    outcome->received_count = kept && p.token.identity != 0 && !p.received_kept ? p.token.count : 0;
    p.needs.gate = NULL; /* taken */
    publication_fini(shard, &p);
    outcome->reason = any || c->version != MQTT_VERSION_5 ? REASON_SUCCESS : REASON_NO_MATCHING_SUBSCRIBERS;
    return true;
}

/* The packet identifier is received, and, of a kept session, pending until that is recorded. False when out of memory. */
static bool
receive(struct shard *shard, struct session *session, uint16_t packet_id)
{
    struct session_extra *extra = session->extra;
    if (!received_add(shard->account, &extra->received, packet_id)) {
        return false;
    }
    if (keep_is_kept(session) && !received_add(shard->account, &extra->pending, packet_id)) {
        received_remove(&extra->received, packet_id);
        return false;
    }
    return true;
}

static bool
forget_received(struct session *session, uint16_t packet_id)
{
    if (session->extra == NULL || !received_remove(&session->extra->received, packet_id)) {
        return false;
    }
    received_remove(&session->extra->pending, packet_id);
    return true;
}

/* The message's own record says that it was received (engine/durable/keep.h). */
static void
note_recorded(struct session_extra *extra, uint16_t packet_id)
{
    extra->recorded_count = extra->received_count;
    received_remove(&extra->pending, packet_id);
}

static void
publish_qos2(struct shard *shard, struct connection *c, const struct frame *frame, const struct publish *publish)
{
    struct session_extra *extra = session_need_extra(shard, c->session);
    if (extra == NULL) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        refuse_for_quota(shard, c, publish);
        return;
    }
    struct received *received = &extra->received;
    if (received_has(received, publish->packet_id)) {
        /* MQTT5 [MQTT-4.3.3-10]: sent again; it was routed already. */
        promise_acknowledge_again(shard, c, PACKET_PUBREC, publish->packet_id, REASON_SUCCESS);
        return;
    }
    if (c->version == MQTT_VERSION_5 && received->count >= shard->config->receive_maximum) {
        input_refuse(shard, c, REASON_RECEIVE_MAXIMUM_EXCEEDED, "more QoS 2 messages in flight than Receive Maximum"); /* MQTT5 [MQTT-3.3.4-7] */
        return;
    }
    struct outcome outcome;
    if (!receive(shard, c->session, publish->packet_id)) {
        session_tidy(shard, c->session);
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        refuse_for_quota(shard, c, publish);
        return;
    }
    if (!route_publish(shard, c, frame, publish, &outcome)) {
        forget_received(c->session, publish->packet_id); /* before the refusal: that may end the session */
        refuse_for_quota(shard, c, publish);
        return;
    }
    if (outcome.recorded && c->session != NULL) {
        note_recorded(c->session->extra, publish->packet_id);
    }
    promise_acknowledge(shard, c, PACKET_PUBREC, publish->packet_id, outcome.reason, &outcome.needs, outcome.received_count);
}

static void
publish_qos1(struct shard *shard, struct connection *c, const struct frame *frame, const struct publish *publish)
{
    struct outcome outcome;
    if (!route_publish(shard, c, frame, publish, &outcome)) {
        refuse_for_quota(shard, c, publish);
        return;
    }
    promise_acknowledge(shard, c, PACKET_PUBACK, publish->packet_id, outcome.reason, &outcome.needs, 0);
}

static void
publish_qos0(struct shard *shard, struct connection *c, const struct frame *frame, const struct publish *publish)
{
    struct outcome outcome;
    if (route_publish(shard, c, frame, publish, &outcome)) {
        promise_abandon(shard, &outcome.needs);
    }
}

/* A message that was routed already does not need a right any more. */
static bool
is_denied(struct shard *shard, struct session *session, const struct publish *publish)
{
    if (publish->qos == 2 && received_has(&session_get_extra(session)->received, publish->packet_id)) {
        return false;
    }
    if (shard->access_limited && !access_may_publish(shard, session, publish->topic)) {
        stats_add(&shard->stats.drops[DROP_PUBLISH_DENIED], 1);
        return true;
    }
    return shard->hook.asks && http_hook_refuses(shard, 0);
}

static void
log_denied(const struct session *session, const struct publish *publish)
{
    if (log_wants(CONFIG_LOG_DEBUG)) {
        struct bytes id = session_client_id(session);
        log_peer(CONFIG_LOG_DEBUG, DROP_PUBLISH_DENIED, "Denied PUBLISH from %.*s to '%.*s'.", (int)id.size, (const char *)id.data, (int)publish->topic.size,
                 (const char *)publish->topic.data);
    }
}

void
handle_publish(struct shard *shard, struct connection *c, const struct frame *frame)
{
    struct publish publish;
    uint8_t reason = decode_publish(frame, c->version, PACKET_FROM_CLIENT, &publish);
    if (reason == REASON_SUCCESS) {
        reason = check_publish(shard, c, &publish);
    }
    if (reason != REASON_SUCCESS) {
        input_refuse(shard, c, reason, "a PUBLISH that is not allowed");
        return;
    }
    stats_add(&shard->stats.publish_received, 1);
    stats_add(&shard->stats.publish_bytes_received, publish.payload.size);
    if (too_many_levels(shard, publish.topic)) {
        input_refuse(shard, c, REASON_TOPIC_NAME_INVALID, "a topic name with too many levels");
        return;
    }
    bool ours = input_topic_is_ours(publish.topic);
    stats_add(&shard->stats.drops[DROP_PUBLISH_DENIED], ours);
    if (ours || ((shard->access_limited || shard->hook.asks) && is_denied(shard, c->session, &publish))) {
        log_denied(c->session, &publish);
        refuse_message(shard, c, &publish, REASON_NOT_AUTHORIZED);
        return;
    }
    /* One that was routed already is acknowledged again, whatever the rate. */
    bool known = publish.qos == 2 && received_has(&session_get_extra(c->session)->received, publish.packet_id);
    if (shard->paces && !known && pace_refuses(shard, c, frame, publish.qos)) {
        refuse_message(shard, c, &publish, REASON_QUOTA_EXCEEDED);
        return;
    }
    if (publish.qos == 2) {
        publish_qos2(shard, c, frame, &publish);
    } else if (publish.qos == 1) {
        publish_qos1(shard, c, frame, &publish);
    } else {
        publish_qos0(shard, c, frame, &publish);
    }
}

/* PUBREC from a subscriber. MQTT5 4.3.3: the message is its own now; PUBREL follows once we cannot forget that. */
static void
handle_pubrec(struct shard *shard, struct connection *c, const struct ack *ack)
{
    struct session *session = c->session;
    uint8_t reason = session_pubrec(shard, session, ack->packet_id, ack->reason);
    if (ack->reason >= 0x80) {
        return;
    }
    if (!keep_is_kept(session) || reason != REASON_SUCCESS) {
        input_acknowledge(shard, c, PACKET_PUBREL, ack->packet_id, reason);
        return;
    }
    promise_release(shard, session, inflight_get(&session->owed->inflight, ack->packet_id));
}

/* PUBREL from a publisher. */
static void
handle_pubrel(struct shard *shard, struct connection *c, const struct ack *ack)
{
    struct session *session = c->session;
    if (!forget_received(session, ack->packet_id)) {
        input_acknowledge(shard, c, PACKET_PUBCOMP, ack->packet_id, REASON_PACKET_IDENTIFIER_NOT_FOUND);
        return;
    }
    if (!keep_is_kept(session)) {
        input_acknowledge(shard, c, PACKET_PUBCOMP, ack->packet_id, REASON_SUCCESS);
        return;
    }
    uint8_t bytes[5];
    keep_completed(shard, session, ack->packet_id);
    promise_packet(shard, c, bytes, write_ack(bytes, c->version, PACKET_PUBCOMP, ack->packet_id, REASON_SUCCESS));
}

void
handle_ack(struct shard *shard, struct connection *c, const struct frame *frame)
{
    struct ack ack;
    uint8_t reason = decode_ack(frame, c->version, &ack);
    if (reason != REASON_SUCCESS) {
        input_refuse(shard, c, reason, "a malformed acknowledgement");
        return;
    }
    switch (frame->type) {
    case PACKET_PUBACK:
        session_puback(shard, c->session, ack.packet_id);
        break;
    case PACKET_PUBREC:
        handle_pubrec(shard, c, &ack);
        break;
    case PACKET_PUBREL:
        handle_pubrel(shard, c, &ack);
        break;
    default:
        session_pubcomp(shard, c->session, ack.packet_id);
        break;
    }
    if (c->state == CONNECTION_CONNECTED && frame->type != PACKET_PUBREL) {
        session_pump(shard, c->session);
    }
}
