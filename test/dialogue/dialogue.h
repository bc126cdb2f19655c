/*
 * dialogue: words to write a conversation with the broker down in, one line per utterance.
 *
 * A dialogue is a function that gets a fresh world. dialogue_main() plays each on 1, 2 and 3 shards; with 3 the network also cuts and delays what it
 * carries. Clients are closed at the end by themselves. Everything that expects lets the world settle first, so a dialogue never waits.
 *
 *     struct client *s = join(w, 5, "s");
 *     subscribe(s, "a/+", .qos = 1);
 *     publish(join(w, 4, "p"), "a/b", "hello", .qos = 2);
 *     take(s, "a/b", "hello", 1);
 */
#ifndef TIDEWIRE_TEST_DIALOGUE_DIALOGUE_H
#define TIDEWIRE_TEST_DIALOGUE_DIALOGUE_H

#include "test/support/world.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FOREVER UINT32_MAX /* a Session Expiry Interval that never ends */
#define SHARDS_TRIED 3u

/* ------------------------------------------------------------------------------------------------------------ telling where it went wrong */
static const char *here_file = "?";
static int here_line;
#define HERE (here_file = __FILE__, here_line = __LINE__)

__attribute__((format(printf, 1, 2), noreturn)) static inline void
complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char text[1024];
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_error("%s\n", text);
    _fail(here_file, here_line);
    abort();
}

/* A claim about plain values, with the numbers in the message. */
#define claim_equal(got, wanted) (HERE, claim_equal_(#got, (uint64_t)(got), (uint64_t)(wanted)))
#define claim(what) (HERE, (what) ? (void)0 : complain("not so: %s", #what))

static inline void
claim_equal_(const char *what, uint64_t got, uint64_t wanted)
{
    if (got != wanted) {
        complain("%s is %llu (0x%llx), not %llu (0x%llx)", what, (unsigned long long)got, (unsigned long long)got, (unsigned long long)wanted,
                 (unsigned long long)wanted);
    }
}

static inline struct bytes
bytes_from(const char *text)
{
    return bytes_of(text, text ? (uint32_t)strlen(text) : 0);
}

static inline const char *
describe(const struct packet *p)
{
    static const char *const names[16] = {"?",         "CONNECT", "CONNACK",     "PUBLISH",  "PUBACK",  "PUBREC",   "PUBREL",     "PUBCOMP",
                                          "SUBSCRIBE", "SUBACK",  "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH"};
    static char text[256];
    int at = snprintf(text, sizeof text, "%s", names[p->type & 15]);
    switch (p->type) {
    case PACKET_CONNACK: snprintf(text + at, sizeof text - at, " reason 0x%02x present %d", p->connack.reason, p->connack.session_present); break;
    case PACKET_PUBLISH:
        snprintf(text + at, sizeof text - at, " '%.*s' '%.*s' qos %u id %u dup %d retain %d", (int)p->publish.topic.size, p->publish.topic.data,
                 (int)(p->publish.payload.size < 60 ? p->publish.payload.size : 60), p->publish.payload.data, p->publish.qos, p->publish.packet_id,
                 p->publish.dup, p->publish.retain);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP: snprintf(text + at, sizeof text - at, " id %u reason 0x%02x", p->ack.packet_id, p->ack.reason); break;
    case PACKET_DISCONNECT: snprintf(text + at, sizeof text - at, " reason 0x%02x", p->disconnect.reason); break;
    default: break;
    }
    return text;
}

/* ---------------------------------------------------------------------------------------------------------------------------- clients */
static struct client **cast; /* everybody who was opened in this dialogue */
static uint32_t cast_count, cast_room;

static inline struct client *
meet_at(struct world *w, uint8_t version, int shard)
{
    struct client *c = client_open_at(w, version, shard);
    if (cast_count == cast_room) {
        cast_room = cast_room ? cast_room * 2 : 64;
        cast = realloc(cast, cast_room * sizeof *cast);
    }
    return cast[cast_count++] = c;
}

/* The address that a client comes from; right after it was opened. */
static inline void
come_from(struct client *c, const char *address)
{
    struct sockaddr_storage storage = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;
    bool is_v6 = strchr(address, ':') != NULL;
    storage.ss_family = is_v6 ? AF_INET6 : AF_INET;
    if (inet_pton(storage.ss_family, address, is_v6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr) != 1) {
        complain("'%s' is no address", address);
    }
    sim_set_address(c->world->sim, c->connection, &storage);
}

/* Opens a connection and says nothing. */
static inline struct client *
meet(struct world *w, uint8_t version)
{
    return meet_at(w, version, -1);
}

/* The network breaks when all that was sent has arrived; the broker gets to know. */
static inline void
vanish(struct client *c)
{
    world_settle(c->world);
    sim_reset(c->world->sim, c->connection);
    world_settle(c->world);
}

static inline void
settle(struct client *c)
{
    world_settle(c->world);
}

static inline void
pass_seconds(struct world *w, uint32_t seconds)
{
    world_advance(w, seconds * 1000ull);
}

/* ------------------------------------------------------------------------------------------------------------------------- expecting */
#define expect(c, type) (HERE, expect_((c), (type)))
#define expect_quiet(c) (HERE, expect_quiet_(c))
#define expect_end(c) (HERE, expect_end_(c))
#define expect_disconnect(c, reason) (HERE, expect_disconnect_((c), (reason)))
#define expect_ack(c, type, id, reason) (HERE, expect_ack_((c), (type), (id), (reason)))
#define expect_connack(c, reason) (HERE, expect_connack_((c), (reason)))

/* As client_receive(), but an invalid packet fails this dialogue only. */
static inline bool
next_packet(struct client *c, struct packet *out)
{
    struct frame frame;
    enum frame_status status = frame_read(bytes_of(c->bytes + c->consumed, c->used - c->consumed), BYTES_VARINT_MAX, &frame);
    if (status == FRAME_NEED_MORE) {
        client_ended(c); /* takes in what has arrived, and forgets what was consumed: not for every packet, that would be quadratic */
        status = frame_read(bytes_of(c->bytes, c->used), BYTES_VARINT_MAX, &frame);
    }
    if (status == FRAME_NEED_MORE) {
        return false;
    }
    memset(out, 0, sizeof *out);
    if (status == FRAME_MALFORMED || decode_packet(&frame, c->version, PACKET_FROM_SERVER, out) != REASON_SUCCESS) {
        const uint8_t *bytes = c->bytes + c->consumed;
        complain("the broker sent a packet that is not valid: type %u, first of the body 0x%02x", bytes[0] >> 4, c->used - c->consumed > 2 ? bytes[2] : 0);
    }
    c->consumed += frame.size;
    return true;
}

/* The next packet, reading on as long as the network brings more. False if nothing is left to come. */
static inline bool
listen_for(struct client *c, struct packet *out)
{
    uint32_t waiting;
    do {
        settle(c);
        waiting = sim_readable(c->world->sim, c->connection);
        if (next_packet(c, out)) {
            return true;
        }
    } while (waiting > 0);
    return false;
}

static inline struct packet
expect_(struct client *c, enum packet_type type)
{
    struct packet p;
    if (!listen_for(c, &p)) {
        complain("packet %u expected; %s", type, client_ended(c) ? "the connection was closed" : "nothing came");
    }
    if (p.type != type) {
        complain("packet %u expected; got %s", type, describe(&p));
    }
    return p;
}

static inline void
expect_quiet_(struct client *c)
{
    struct packet p;
    if (listen_for(c, &p)) {
        complain("silence expected; got %s", describe(&p));
    }
    if (client_ended(c)) {
        complain("silence expected; the connection was closed");
    }
}

static inline void
expect_end_(struct client *c)
{
    struct packet p;
    if (listen_for(c, &p)) {
        complain("end of connection expected; got %s", describe(&p));
    }
    if (!client_ended(c)) {
        complain("end of connection expected; it is open");
    }
}

static inline void
expect_disconnect_(struct client *c, uint8_t reason)
{
    struct packet p = expect_(c, PACKET_DISCONNECT);
    if (p.disconnect.reason != reason) {
        complain("DISCONNECT 0x%02x expected; got 0x%02x", reason, p.disconnect.reason);
    }
    expect_end_(c);
}

/* 0x10, No matching subscribers, may stand for success. */
static inline void
expect_ack_(struct client *c, enum packet_type type, uint16_t id, uint8_t reason)
{
    struct packet p = expect_(c, type);
    bool told = p.ack.reason == reason || (reason == REASON_SUCCESS && p.ack.reason == REASON_NO_MATCHING_SUBSCRIBERS);
    if (p.ack.packet_id != id || !told) {
        complain("ack %u of %u with 0x%02x expected; got %s", type, id, reason, describe(&p));
    }
}

/* Takes in all that the network brings. */
static inline void
take_in(struct client *c)
{
    uint32_t waiting;
    do {
        settle(c);
        waiting = sim_readable(c->world->sim, c->connection);
        client_ended(c);
    } while (waiting > 0);
}

/* As expect_ack_, wherever among the packets that have arrived it stands; the others stay. */
static inline void
pluck_ack_(struct client *c, enum packet_type type, uint16_t id, uint8_t reason)
{
    take_in(c);
    struct frame frame;
    for (uint32_t at = 0; frame_read(bytes_of(c->bytes + at, c->used - at), BYTES_VARINT_MAX, &frame) == FRAME_DONE; at += frame.size) {
        struct packet p = {.type = frame.type};
        if (frame.type != type || decode_packet(&frame, c->version, PACKET_FROM_SERVER, &p) != REASON_SUCCESS || p.ack.packet_id != id) {
            continue;
        }
        if (p.ack.reason != reason && (reason != REASON_SUCCESS || p.ack.reason != REASON_NO_MATCHING_SUBSCRIBERS)) {
            complain("ack %u of %u with 0x%02x expected; got %s", type, id, reason, describe(&p));
        }
        memmove(c->bytes + at, c->bytes + at + frame.size, c->used - at - frame.size);
        c->used -= frame.size;
        return;
    }
    complain("ack %u of %u expected; it did not come", type, id);
}

static inline struct packet
expect_connack_(struct client *c, uint8_t reason)
{
    struct packet p = expect_(c, PACKET_CONNACK);
    if (p.connack.reason != reason) {
        complain("CONNACK 0x%02x expected; got 0x%02x", reason, p.connack.reason);
    }
    return p;
}

/* What is left to hear is a PUBLISH with this topic, payload (NULL: any) and QoS. */
#define hear(c, topic, payload, qos) (HERE, hear_((c), (topic), (payload), (qos)))
static inline struct packet
hear_(struct client *c, const char *topic, const char *payload, uint8_t qos)
{
    struct packet p = expect_(c, PACKET_PUBLISH);
    if (!bytes_equal(p.publish.topic, bytes_from(topic)) || (payload && !bytes_equal(p.publish.payload, bytes_from(payload))) || p.publish.qos != qos) {
        complain("PUBLISH '%s' '%s' qos %u expected; got %s", topic, payload ? payload : "(any)", qos, describe(&p));
    }
    return p;
}

/* -------------------------------------------------------------------------------------------------------------------------- connecting */
struct hello {
    bool resume;              /* Clean Start, or clean session, is 0 */
    bool terse;               /* Request Problem Information is 0 */
    bool wants_response_information;
    bool bridge;
    uint32_t expiry_s;        /* 0: not given */
    uint16_t keep_alive_s, receive_maximum, aliases;
    uint32_t packet_size;
    const char *method, *data; /* enhanced authentication */
    const char *user_name, *password;
    const char *will_topic, *will_payload; /* topic NULL: no will */
    uint8_t will_qos;
    bool will_retain;
    uint32_t will_delay_s, will_expiry_s;
    const char *will_content_type, *will_response_topic, *will_correlation, *will_user; /* `will_user`: as utterance.user */
    bool will_utf8;
    int at_shard; /* 1 and more: the shard that accepts it, plus 1 */
    const char *from; /* its address; NULL: one that nobody else has */
};

/* "name=value name=value" as a property block, into `out`. */
static inline struct bytes
user_block(uint8_t *out, uint32_t room, const char *text)
{
    uint32_t size = 0;
    while (text && *text) {
        const char *equals = strchr(text, '='), *end = strchr(text, ' ');
        end = end ? end : text + strlen(text);
        size += encode_user_property(out + size, room - size, bytes_of(text, (uint32_t)(equals - text)),
                                     bytes_of(equals + 1, (uint32_t)(end - equals - 1)));
        text = *end ? end + 1 : end;
    }
    return bytes_of(out, size);
}

static inline void
put_text(struct properties *p, enum property which, struct bytes *field, const char *text)
{
    if (text) {
        *field = bytes_from(text);
        properties_mark(p, which);
    }
}

#define knock(w, version, id, ...) knock_((w), (version), (id), (struct hello){__VA_ARGS__})
#define join(w, version, id, ...) (HERE, join_((w), (version), (id), (struct hello){__VA_ARGS__}))

static inline void
hello_properties(struct properties *p, const struct hello *h)
{
    if (h->expiry_s) {
        p->session_expiry_s = h->expiry_s;
        properties_mark(p, PROPERTY_SESSION_EXPIRY_INTERVAL);
    }
    if (h->receive_maximum) {
        p->receive_maximum = h->receive_maximum;
        properties_mark(p, PROPERTY_RECEIVE_MAXIMUM);
    }
    if (h->aliases) {
        p->topic_alias_maximum = h->aliases;
        properties_mark(p, PROPERTY_TOPIC_ALIAS_MAXIMUM);
    }
    if (h->packet_size) {
        p->maximum_packet_size = h->packet_size;
        properties_mark(p, PROPERTY_MAXIMUM_PACKET_SIZE);
    }
    if (h->terse) {
        p->request_problem_information = 0;
        properties_mark(p, PROPERTY_REQUEST_PROBLEM_INFORMATION);
    }
    if (h->wants_response_information) {
        p->request_response_information = 1;
        properties_mark(p, PROPERTY_REQUEST_RESPONSE_INFORMATION);
    }
    put_text(p, PROPERTY_AUTHENTICATION_METHOD, &p->authentication_method, h->method);
    put_text(p, PROPERTY_AUTHENTICATION_DATA, &p->authentication_data, h->data);
}

static inline void
hello_will(struct will *will, const struct hello *h, uint8_t *user, uint32_t user_room)
{
    struct properties *p = &will->properties;
    will->topic = bytes_from(h->will_topic);
    will->payload = bytes_from(h->will_payload);
    will->qos = h->will_qos;
    will->retain = h->will_retain;
    if (h->will_delay_s) {
        p->will_delay_s = h->will_delay_s;
        properties_mark(p, PROPERTY_WILL_DELAY_INTERVAL);
    }
    if (h->will_expiry_s) {
        p->message_expiry_s = h->will_expiry_s;
        properties_mark(p, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    }
    if (h->will_utf8) {
        p->payload_format = 1;
        properties_mark(p, PROPERTY_PAYLOAD_FORMAT_INDICATOR);
    }
    put_text(p, PROPERTY_CONTENT_TYPE, &p->content_type, h->will_content_type);
    put_text(p, PROPERTY_RESPONSE_TOPIC, &p->response_topic, h->will_response_topic);
    put_text(p, PROPERTY_CORRELATION_DATA, &p->correlation_data, h->will_correlation);
    p->raw = user_block(user, user_room, h->will_user);
}

/* Sends a CONNECT on an open connection. */
static inline void
send_connect(struct client *c, const char *id, struct hello h)
{
    uint8_t user[512];
    struct packet p = {.type = PACKET_CONNECT, .connect = {.version = c->version}};
    p.connect.clean_start = !h.resume;
    p.connect.bridge = h.bridge;
    p.connect.keep_alive_s = h.keep_alive_s;
    p.connect.client_id = bytes_from(id);
    hello_properties(&p.connect.properties, &h);
    p.connect.has_user_name = h.user_name != NULL;
    p.connect.user_name = bytes_from(h.user_name);
    p.connect.has_password = h.password != NULL;
    p.connect.password = bytes_from(h.password);
    p.connect.has_will = h.will_topic != NULL;
    if (h.will_topic) {
        hello_will(&p.connect.will, &h, user, sizeof user);
    }
    client_send(c, &p);
}

/* Connects and sends CONNECT; what the broker says to it is still to be heard. */
static inline struct client *
knock_(struct world *w, uint8_t version, const char *id, struct hello h)
{
    struct client *c = meet_at(w, version, h.at_shard - 1);
    if (h.from != NULL) {
        come_from(c, h.from);
    }
    send_connect(c, id, h);
    return c;
}

/* The CONNACK of the last join(); its bytes live until that client hears more. */
static struct packet greeting;

static inline struct client *
join_(struct world *w, uint8_t version, const char *id, struct hello h)
{
    struct client *c = knock_(w, version, id, h);
    greeting = expect_connack_(c, REASON_SUCCESS);
    return c;
}

/* As join, and says whether the broker must have had a session. */
#define rejoin(w, version, id, ...) (HERE, rejoin_((w), (version), (id), (struct hello){.resume = true, __VA_ARGS__}))
static inline struct client *
rejoin_(struct world *w, uint8_t version, const char *id, struct hello h)
{
    struct client *c = join_(w, version, id, h);
    if (version > MQTT_VERSION_31 && !greeting.connack.session_present) {
        complain("the session of '%s' is not present", id);
    }
    return c;
}

/* DISCONNECT with a reason, and the network connection closed by the broker. */
#define bye(c, reason) (HERE, bye_((c), (reason), -1))
#define bye_for(c, reason, expiry_s) (HERE, bye_((c), (reason), (expiry_s)))
static inline void
bye_(struct client *c, uint8_t reason, int64_t expiry_s)
{
    struct packet p = {.type = PACKET_DISCONNECT, .disconnect = {.reason = reason}};
    if (expiry_s >= 0) {
        p.disconnect.properties.session_expiry_s = (uint32_t)expiry_s;
        properties_mark(&p.disconnect.properties, PROPERTY_SESSION_EXPIRY_INTERVAL);
    }
    client_send(c, &p);
    expect_end_(c);
}

#define ping(c) (HERE, ping_(c))
static inline void
ping_(struct client *c)
{
    client_send(c, &(struct packet){.type = PACKET_PINGREQ});
    expect_(c, PACKET_PINGRESP);
}

/* ------------------------------------------------------------------------------------------------------------------------- publishing */
struct utterance {
    uint8_t qos;
    bool retain, dup;
    uint16_t id;           /* 0: the next one that no one used */
    uint16_t alias;
    uint32_t payload_size; /* more than the payload has: filled up with 'x' */
    uint32_t expiry_s;
    bool expires_at_once;  /* an interval of 0 */
    bool utf8;             /* Payload Format Indicator 1 */
    const char *content_type, *response_topic, *correlation;
    const char *user;      /* "name=value name=value" */
    uint16_t subscription_id;
};

#define say(c, topic, payload, ...) say_((c), (topic), (payload), (struct utterance){__VA_ARGS__})
#define publish(c, topic, payload, ...) (HERE, publish_((c), (topic), (payload), (struct utterance){__VA_ARGS__}))

static uint16_t message_id_last;

static inline void
utterance_properties(struct properties *p, const struct utterance *m)
{
    if (m->alias) {
        p->topic_alias = m->alias;
        properties_mark(p, PROPERTY_TOPIC_ALIAS);
    }
    if (m->expiry_s || m->expires_at_once) {
        p->message_expiry_s = m->expiry_s;
        properties_mark(p, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    }
    if (m->utf8) {
        p->payload_format = 1;
        properties_mark(p, PROPERTY_PAYLOAD_FORMAT_INDICATOR);
    }
    put_text(p, PROPERTY_CONTENT_TYPE, &p->content_type, m->content_type);
    put_text(p, PROPERTY_RESPONSE_TOPIC, &p->response_topic, m->response_topic);
    put_text(p, PROPERTY_CORRELATION_DATA, &p->correlation_data, m->correlation);
}

/* Sends a PUBLISH and lets it be. Returns its packet identifier. */
static inline uint16_t
say_(struct client *c, const char *topic, const char *payload, struct utterance m)
{
    static uint8_t user[4096], filled[3u << 20];
    struct packet p = {.type = PACKET_PUBLISH, .publish = {.topic = bytes_from(topic), .payload = bytes_from(payload)}};
    if (m.payload_size > p.publish.payload.size) {
        memset(filled, 'x', m.payload_size);
        memcpy(filled, p.publish.payload.data, p.publish.payload.size);
        p.publish.payload = bytes_of(filled, m.payload_size);
    }
    p.publish.qos = m.qos;
    p.publish.retain = m.retain;
    p.publish.dup = m.dup;
    if (m.qos > 0) {
        message_id_last = (uint16_t)(message_id_last % 60000 + 1);
        p.publish.packet_id = m.id ? m.id : message_id_last;
    }
    utterance_properties(&p.publish.properties, &m);
    p.publish.properties.raw = user_block(user, sizeof user, m.user);
    client_send(c, &p);
    return p.publish.packet_id;
}

/* PUBACK, PUBREC, PUBREL or PUBCOMP from the client. */
static inline void
answer(struct client *c, enum packet_type type, uint16_t id, uint8_t reason)
{
    struct packet p = {.type = type, .ack = {.packet_id = id, .reason = reason}};
    client_send(c, &p);
}

/* Sends a PUBLISH and plays the whole exchange. */
static inline void
publish_(struct client *c, const char *topic, const char *payload, struct utterance m)
{
    uint16_t id = say_(c, topic, payload, m);
    settle(c);
    if (m.qos == 1) {
        pluck_ack_(c, PACKET_PUBACK, id, REASON_SUCCESS);
    } else if (m.qos == 2) {
        pluck_ack_(c, PACKET_PUBREC, id, REASON_SUCCESS);
        answer(c, PACKET_PUBREL, id, REASON_SUCCESS);
        pluck_ack_(c, PACKET_PUBCOMP, id, REASON_SUCCESS);
    }
}

/* Hears a PUBLISH and plays the whole exchange. */
#define take(c, topic, payload, qos) (HERE, take_((c), (topic), (payload), (qos)))
static inline void
take_(struct client *c, const char *topic, const char *payload, uint8_t qos)
{
    uint16_t id = hear_(c, topic, payload, qos).publish.packet_id;
    if (qos == 1) {
        answer(c, PACKET_PUBACK, id, REASON_SUCCESS);
    } else if (qos == 2) {
        answer(c, PACKET_PUBREC, id, REASON_SUCCESS);
        pluck_ack_(c, PACKET_PUBREL, id, REASON_SUCCESS);
        answer(c, PACKET_PUBCOMP, id, REASON_SUCCESS);
    }
    settle(c);
}

/* The user properties of a block as "name=value name=value". Static memory. */
static inline const char *
user_text(const struct properties *p)
{
    static char text[4096];
    uint32_t at = 0;
    struct reader block = reader_of(p->raw);
    struct property_item item;
    text[0] = '\0';
    while (property_next(&block, &item)) {
        if (item.id == PROPERTY_USER_PROPERTY) {
            at += (uint32_t)snprintf(text + at, sizeof text - at, "%s%.*s=%.*s", at ? " " : "", (int)item.name.size, item.name.data,
                                     (int)item.value.size, item.value.data);
        }
    }
    return text;
}

#define claim_text(got, wanted) (HERE, claim_text_(#got, (got), (wanted)))
static inline void
claim_text_(const char *what, struct bytes got, const char *wanted)
{
    if (!bytes_equal(got, bytes_from(wanted))) {
        complain("%s is '%.*s', not '%s'", what, (int)got.size, got.data, wanted);
    }
}

/* ------------------------------------------------------------------------------------------------------------------------ subscribing */
struct wish {
    uint8_t qos;
    bool no_local, as_published;
    uint8_t handling;
    uint32_t id;         /* Subscription Identifier, 0: none */
    uint16_t packet_id;  /* 0: 1 */
};

#define ask(c, filter, ...) ask_((c), (filter), (struct wish){__VA_ARGS__})
#define subscribe(c, filter, ...) (HERE, subscribe_((c), (filter), (struct wish){__VA_ARGS__}))

/* Sends a SUBSCRIBE for one filter. */
static inline void
ask_(struct client *c, const char *filter, struct wish wish)
{
    static uint8_t entry[70000];
    uint8_t block[8];
    struct subscription_options options = {wish.qos, wish.no_local, wish.as_published, wish.handling};
    struct packet p = {.type = PACKET_SUBSCRIBE, .subscribe = {.packet_id = wish.packet_id ? wish.packet_id : 1, .count = 1}};
    p.subscribe.entries = bytes_of(entry, encode_subscribe_entry(entry, sizeof entry, bytes_from(filter), options));
    if (wish.id) {
        p.subscribe.properties.subscription_id = wish.id;
        p.subscribe.properties.subscription_id_count = 1;
        properties_mark(&p.subscribe.properties, PROPERTY_SUBSCRIPTION_IDENTIFIER);
        struct writer out = writer_of(block, sizeof block);
        writer_u8(&out, PROPERTY_SUBSCRIPTION_IDENTIFIER);
        writer_varint(&out, wish.id);
        p.subscribe.properties.raw = bytes_of(block, (uint32_t)(out.at - block));
    }
    client_send(c, &p);
}

/* Subscribes, and returns the code of the SUBACK. */
static inline uint8_t
subscribe_(struct client *c, const char *filter, struct wish wish)
{
    ask_(c, filter, wish);
    struct packet p = expect_(c, PACKET_SUBACK);
    if (p.suback.packet_id != (wish.packet_id ? wish.packet_id : 1) || p.suback.codes.size != 1) {
        complain("SUBACK %u with %u codes", p.suback.packet_id, p.suback.codes.size);
    }
    return p.suback.codes.data[0];
}

/* Sends an UNSUBSCRIBE for one filter. */
static inline void
ask_unsubscribe(struct client *c, const char *filter, uint16_t packet_id)
{
    static uint8_t entry[70000];
    struct packet p = {.type = PACKET_UNSUBSCRIBE, .unsubscribe = {.packet_id = packet_id, .count = 1}};
    p.unsubscribe.entries = bytes_of(entry, encode_unsubscribe_entry(entry, sizeof entry, bytes_from(filter)));
    client_send(c, &p);
}

/* Returns the code of the UNSUBACK; 0 in versions 3. */
#define unsubscribe(c, filter) (HERE, unsubscribe_((c), (filter)))
static inline uint8_t
unsubscribe_(struct client *c, const char *filter)
{
    ask_unsubscribe(c, filter, 2);
    struct packet p = expect_(c, PACKET_UNSUBACK);
    if (p.suback.packet_id != 2 || p.suback.codes.size != (c->version == MQTT_VERSION_5)) {
        complain("UNSUBACK %u with %u codes", p.suback.packet_id, p.suback.codes.size);
    }
    return c->version == MQTT_VERSION_5 ? p.suback.codes.data[0] : 0;
}

/* ------------------------------------------------------------------------------------------------------------------------------- running */
/* A client identifier whose home is this shard; `number` tells several apart. Static memory for 16 of them. */
static inline const char *
id_at(const struct world *w, unsigned shard, unsigned number)
{
    static char names[16][16];
    static unsigned turn;
    char *name = names[turn++ % 16];
    for (unsigned i = 0, found = 0;; i++) {
        int size = snprintf(name, sizeof names[0], "c%u", i);
        if (broker_shard_of(w->broker, name, (uint32_t)size) == shard && found++ == number) {
            return name;
        }
    }
}

struct dialogue {
    const char *name;
    void (*run)(struct world *w);
    const char *options; /* NULL: none */
    unsigned shards;     /* filled in by dialogue_main */
};

#define TELL(claim) {#claim, claim, NULL, 0}
#define TELL_WITH(claim, options) {#claim, claim, options, 0}

static struct world *stage;

static inline void
dialogue_run(void **state)
{
    const struct dialogue *d = *state;
    stage = world_open(7 + d->shards, d->shards, d->options);
    if (d->shards == SHARDS_TRIED) {
        sim_set_faults(stage->sim, &(struct sim_faults){.delay_ns_max = 20000, .fragment_percent = 30});
    }
    message_id_last = 0;
    d->run(stage);
    for (uint32_t i = 0; i < cast_count; i++) {
        client_close(&cast[i]);
    }
    cast_count = 0;
    world_close(&stage);
}

static inline int
dialogue_forget(void **state)
{
    (void)state;
    cast_count = 0; /* after a failure the world is left as it is */
    return 0;
}

/* Plays all dialogues on every number of shards; `argv[1]`: only those whose name matches this pattern of cmocka's. */
static inline int
dialogue_main(const struct dialogue *dialogues, size_t count, int argc, char **argv)
{
    struct CMUnitTest *tests = calloc(count * SHARDS_TRIED, sizeof *tests);
    struct dialogue *copies = calloc(count * SHARDS_TRIED, sizeof *copies);
    char(*names)[160] = calloc(count * SHARDS_TRIED, sizeof *names);
    for (size_t i = 0; i < count * SHARDS_TRIED; i++) {
        copies[i] = dialogues[i / SHARDS_TRIED];
        copies[i].shards = (unsigned)(i % SHARDS_TRIED) + 1;
        snprintf(names[i], sizeof names[i], "%s on %u", copies[i].name, copies[i].shards);
        tests[i] = (struct CMUnitTest){names[i], dialogue_run, NULL, dialogue_forget, &copies[i]};
    }
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    int failed = _cmocka_run_group_tests("dialogues", tests, count * SHARDS_TRIED, NULL, NULL);
    free(names);
    free(copies);
    free(tests);
    free(cast);
    return failed;
}

#define DIALOGUES(table)                                                           \
    int main(int argc, char **argv)                                                \
    {                                                                              \
        return dialogue_main(table, sizeof(table) / sizeof *(table), argc, argv);  \
    }

#endif
