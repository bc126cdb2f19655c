#include "bench/load/mqtt.h"

#include <assert.h>

#include "bench/load/name.h"
#include "codec/decode.h"
#include "codec/encode.h"

/* Acknowledgements, PINGREQ, DISCONNECT. */
#define SMALL_PACKET_ROOM 64u
/* CONNECT and SUBSCRIBE: an identifier or a filter, a user name and a password. */
#define LARGE_PACKET_ROOM 1024u
/* How long a session of MQTT 5 that has to outlive its connection may do so, unless --session-expiry says. */
#define SESSION_KEPT_S 3600u

static uint8_t
get_version(const struct client *c)
{
    return (uint8_t)c->shared->options->version;
}

/* Through the stack, because room for the largest packet in every client's output would cost more than all the rest of it. */
static void
say(struct client *c, const uint8_t *packet, uint32_t size)
{
    assert(size > 0); /* options are checked to fit */
    memcpy(client_reserve(c, size), packet, size);
    client_wrote(c, size);
}

static void
set_session(const struct client *c, struct connect *packet)
{
    const struct options *o = c->shared->options;
    enum order_session session = c->shared->session;
    bool kept = session == SESSION_KEPT || session == SESSION_RESUMED;

    /* Before MQTT 5 one flag says both: that a session begins anew, and that it ends with the connection. */
    packet->clean_start = session == SESSION_AS_ASKED ? o->clean_start : packet->version < MQTT_VERSION_5 ? !kept : session != SESSION_RESUMED;
    uint32_t expiry_s = kept && o->session_expiry_s == 0 ? SESSION_KEPT_S : session == SESSION_ENDED ? 0 : (uint32_t)o->session_expiry_s;
    if (expiry_s > 0) {
        packet->properties.session_expiry_s = expiry_s;
        properties_mark(&packet->properties, PROPERTY_SESSION_EXPIRY_INTERVAL);
    }
}

static void
set_login(const struct options *o, struct connect *packet)
{
    if (o->user != NULL) {
        packet->has_user_name = true;
        packet->user_name = bytes_of(o->user, (uint32_t)strlen(o->user));
    }
    if (o->password != NULL) {
        packet->has_password = true;
        packet->password = bytes_of(o->password, (uint32_t)strlen(o->password));
    }
}

static void
greet(struct client *c)
{
    char id[SCENARIO_NAME_ROOM];
    uint8_t bytes[LARGE_PACKET_ROOM];
    const struct options *o = c->shared->options;
    struct connect packet = {.version = get_version(c), .keep_alive_s = (uint16_t)o->keep_alive_s};

    name_write_client_id(o, c->index, id, sizeof id);
    packet.client_id = bytes_of(id, (uint32_t)strlen(id));
    set_session(c, &packet);
    set_login(o, &packet);
    say(c, bytes, encode_connect(bytes, sizeof bytes, &packet));
}

static void
subscribe(struct client *c)
{
    char filter[SCENARIO_NAME_ROOM];
    uint8_t entry[SCENARIO_NAME_ROOM + 8], bytes[LARGE_PACKET_ROOM];
    struct subscription_options options = {.qos = (uint8_t)c->shared->options->subscribe_qos};
    struct subscribe packet = {.packet_id = 1, .count = 1};

    c->shared->scenario->write_filter(c->shared->options, c->role_index, filter, sizeof filter);
    uint32_t size = encode_subscribe_entry(entry, sizeof entry, bytes_of(filter, (uint32_t)strlen(filter)), options);
    packet.entries = bytes_of(entry, size);
    say(c, bytes, encode_subscribe(bytes, sizeof bytes, get_version(c), &packet));
}

static void
ping(struct client *c)
{
    client_wrote(c, encode_empty(client_reserve(c, SMALL_PACKET_ROOM), SMALL_PACKET_ROOM, PACKET_PINGREQ));
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
    uint64_t quota = o->inflight;
    uint64_t share = scenario_get_share(o);

    if (get_version(c) == MQTT_VERSION_5 && properties_has(&ack->properties, PROPERTY_RECEIVE_MAXIMUM) &&
        ack->properties.receive_maximum < quota) {
        quota = ack->properties.receive_maximum;
    }
    if (scenario_has_window(o) && share < quota) {
        quota = share;
    }
    inflight_fini(&c->inflight);
    return inflight_init(&c->inflight, (uint8_t)o->qos, (uint32_t)quota, o->rate > 0);
}

/* A subscriber that comes back has its subscription; one of `retained` subscribes when it is told to. */
static void
go_on(struct client *c, const struct connack *ack)
{
    bool resumed = c->shared->session == SESSION_RESUMED;
    bool late = c->shared->scenario->program == PROGRAM_RETAINED;
    bool ended = c->shared->session == SESSION_ENDED;

    if (c->role == CLIENT_PUBLISHER && c->shared->options->qos > 0 && !open_inflight(c, ack)) {
        client_fail(c, FAILURE_REFUSED, REASON_QUOTA_EXCEEDED);
    } else if (c->role != CLIENT_SUBSCRIBER || late || ended) {
        client_set_ready(c);
    } else if (!resumed) {
        c->state = CLIENT_SUBSCRIBING;
        subscribe(c);
    } else if (ack->session_present) {
        client_set_ready(c);
    } else {
        client_fail(c, FAILURE_SESSION, 0);
    }
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
    } else {
        client_set_greeted(c);
        go_on(c, &ack);
    }
}

static void
take_suback(struct client *c, const struct frame *frame)
{
    struct suback ack = {0};
    uint8_t reason = decode_suback(frame, get_version(c), &ack);

    if (reason != REASON_SUCCESS || ack.codes.size != 1) {
        client_fail(c, FAILURE_MALFORMED, reason);
    } else if (ack.codes.data[0] != c->shared->options->subscribe_qos) {
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
    case INFLIGHT_FINISHED: c->shared->events->acked(c->shared->owner, c, ack.packet_id); break;
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
    case PACKET_PINGRESP: return (up || c->state == CLIENT_SUBSCRIBING) && c->shared->options->keep_alive_s > 0;
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
    case PACKET_PINGRESP: break;
    default: take_ack(c, &frame); break;
    }
    return frame.size;
}

const struct client_protocol mqtt_protocol = {.greet = greet, .subscribe = subscribe, .ping = ping, .leave = leave, .take = take};
