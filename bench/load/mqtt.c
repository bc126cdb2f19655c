#include "bench/load/mqtt.h"

#include <stdio.h>
#include <unistd.h>

#include "codec/decode.h"
#include "codec/encode.h"

/* Every packet here but PUBLISH fits: names are at most SCENARIO_NAME_ROOM. */
#define SMALL_PACKET_ROOM 256u

static uint8_t
get_version(const struct client *c)
{
    return (uint8_t)c->shared->options->version;
}

static void
greet(struct client *c)
{
    char id[SCENARIO_NAME_ROOM];
    struct connect packet = {.version = get_version(c), .clean_start = true};

    packet.client_id = bytes_of(id, (uint32_t)snprintf(id, sizeof id, "bench%dx%u", (int)getpid(), c->index));
    client_wrote(c, encode_connect(client_reserve(c, SMALL_PACKET_ROOM), SMALL_PACKET_ROOM, &packet));
}

static void
subscribe(struct client *c)
{
    char filter[SCENARIO_NAME_ROOM];
    uint8_t entry[SCENARIO_NAME_ROOM + 8];
    struct subscription_options options = {.qos = (uint8_t)c->shared->options->qos};
    struct subscribe packet = {.packet_id = 1, .count = 1};

    c->shared->scenario->write_filter(c->role_index, filter, sizeof filter);
    uint32_t size = encode_subscribe_entry(entry, sizeof entry, bytes_of(filter, (uint32_t)strlen(filter)), options);
    packet.entries = bytes_of(entry, size);
    client_wrote(c, encode_subscribe(client_reserve(c, SMALL_PACKET_ROOM), SMALL_PACKET_ROOM, get_version(c), &packet));
    c->state = CLIENT_SUBSCRIBING;
}

static void
leave(struct client *c)
{
    struct disconnect packet = {.reason = REASON_SUCCESS};
    client_wrote(c,
        encode_disconnect(client_reserve(c, SMALL_PACKET_ROOM), SMALL_PACKET_ROOM, get_version(c), PACKET_DISCONNECT, &packet));
}

static void
answer(struct client *c, uint8_t type, uint16_t packet_id)
{
    struct ack ack = {.packet_id = packet_id};
    client_wrote(c, encode_ack(client_reserve(c, SMALL_PACKET_ROOM), SMALL_PACKET_ROOM, get_version(c), type, &ack));
}

/* A publisher may have as many messages unfinished as the broker allows and its part of the window holds. */
static bool
open_inflight(struct client *c, const struct connack *ack)
{
    const struct options *o = c->shared->options;
    uint64_t quota = options_get_share(o);

    if (get_version(c) == MQTT_VERSION_5 && properties_has(&ack->properties, PROPERTY_RECEIVE_MAXIMUM) &&
        ack->properties.receive_maximum < quota) {
        quota = ack->properties.receive_maximum;
    }
    quota = o->inflight < quota ? o->inflight : quota;
    return inflight_init(&c->inflight, (uint8_t)o->qos, (uint32_t)quota);
}

static void
take_connack(struct client *c, const struct frame *frame)
{
    struct connack ack = {0};
    uint8_t reason = decode_connack(frame, get_version(c), &ack);

    if (reason != REASON_SUCCESS) {
        client_fail(c, FAILURE_MALFORMED, reason);
    } else if (ack.reason != REASON_SUCCESS) {
        client_fail(c, FAILURE_REFUSED, ack.reason);
    } else if (c->role == CLIENT_SUBSCRIBER) {
        subscribe(c);
    } else if (c->role == CLIENT_PUBLISHER && c->shared->options->qos > 0 && !open_inflight(c, &ack)) {
        client_fail(c, FAILURE_REFUSED, REASON_QUOTA_EXCEEDED);
    } else {
        client_set_ready(c);
    }
}

static void
take_suback(struct client *c, const struct frame *frame)
{
    struct suback ack = {0};
    uint8_t reason = decode_suback(frame, get_version(c), &ack);

    if (reason != REASON_SUCCESS || ack.codes.size != 1) {
        client_fail(c, FAILURE_MALFORMED, reason);
    } else if (ack.codes.data[0] != c->shared->options->qos) {
        client_fail(c, FAILURE_SUBSCRIBE, ack.codes.data[0]);
    } else {
        client_set_ready(c);
    }
}

static void
take_publish(struct client *c, const struct frame *frame)
{
    struct publish packet;
    uint8_t reason = decode_publish(frame, get_version(c), PACKET_FROM_SERVER, &packet);

    if (reason != REASON_SUCCESS) {
        client_fail(c, FAILURE_MALFORMED, reason);
        return;
    }
    if (packet.qos > 0) {
        answer(c, packet.qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, packet.packet_id);
    }
    c->shared->events->message(c->shared->owner, c, packet.payload);
}

/* PUBACK, PUBREC and PUBCOMP for a publisher. */
static void
take_ack(struct client *c, const struct frame *frame)
{
    struct ack ack = {0};
    uint8_t reason = decode_ack(frame, get_version(c), &ack);

    if (reason != REASON_SUCCESS) {
        client_fail(c, FAILURE_MALFORMED, reason);
        return;
    }
    bool refused = ack.reason >= REASON_UNSPECIFIED_ERROR;
    if (refused) {
        client_fail(c, FAILURE_ACK_REFUSED, ack.reason);
        return;
    }
    switch (inflight_step(&c->inflight, frame->type, ack.packet_id, refused)) {
    case INFLIGHT_FINISHED: c->shared->events->acked(c->shared->owner, c); break;
    case INFLIGHT_RELEASE: answer(c, PACKET_PUBREL, ack.packet_id); break;
    case INFLIGHT_UNEXPECTED: client_fail(c, FAILURE_UNEXPECTED, frame->type); break;
    }
}

static void
take_pubrel(struct client *c, const struct frame *frame)
{
    struct ack ack = {0};
    uint8_t reason = decode_ack(frame, get_version(c), &ack);

    if (reason != REASON_SUCCESS) {
        client_fail(c, FAILURE_MALFORMED, reason);
    } else {
        answer(c, PACKET_PUBCOMP, ack.packet_id);
    }
}

static void
take_disconnect(struct client *c, const struct frame *frame)
{
    struct disconnect packet = {0};
    uint8_t reason = decode_disconnect(frame, get_version(c), PACKET_FROM_SERVER, &packet);

    if (reason != REASON_SUCCESS) {
        client_fail(c, FAILURE_MALFORMED, reason);
    } else {
        client_fail(c, FAILURE_DISCONNECT, packet.reason);
    }
}

/* Is this packet one that a connection in this state and role can be sent? */
static bool
is_expected(const struct client *c, uint8_t type)
{
    bool up = c->state == CLIENT_READY || c->state == CLIENT_LEAVING;

    switch (type) {
    case PACKET_CONNACK: return c->state == CLIENT_GREETING;
    case PACKET_SUBACK: return c->state == CLIENT_SUBSCRIBING;
    case PACKET_PUBLISH: return c->role == CLIENT_SUBSCRIBER && (up || c->state == CLIENT_SUBSCRIBING);
    case PACKET_PUBREL: return c->role == CLIENT_SUBSCRIBER && up;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBCOMP: return c->role == CLIENT_PUBLISHER && up && c->inflight.states != NULL;
    case PACKET_DISCONNECT: return get_version(c) == MQTT_VERSION_5;
    default: return false;
    }
}

static uint32_t
take(struct client *c, struct bytes input)
{
    struct frame frame;

    switch (frame_read(input, BYTES_VARINT_MAX, &frame)) {
    case FRAME_DONE: break;
    case FRAME_NEED_MORE: return 0;
    case FRAME_MALFORMED: client_fail(c, FAILURE_MALFORMED, frame.reason); return 0;
    }
    if (!is_expected(c, frame.type)) {
        client_fail(c, FAILURE_UNEXPECTED, frame.type);
        return 0;
    }
    switch (frame.type) {
    case PACKET_CONNACK: take_connack(c, &frame); break;
    case PACKET_SUBACK: take_suback(c, &frame); break;
    case PACKET_PUBLISH: take_publish(c, &frame); break;
    case PACKET_PUBREL: take_pubrel(c, &frame); break;
    case PACKET_DISCONNECT: take_disconnect(c, &frame); break;
    default: take_ack(c, &frame); break;
    }
    return frame.size;
}

const struct client_protocol mqtt_protocol = {.greet = greet, .leave = leave, .take = take};
