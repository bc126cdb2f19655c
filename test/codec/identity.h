/*
 * identity: decoding and encoding undo each other. Shared by the tests and by fuzz/identity.c.
 */
#ifndef TIDEWIRE_TEST_CODEC_IDENTITY_H
#define TIDEWIRE_TEST_CODEC_IDENTITY_H

#include <assert.h>
#include <stdlib.h>

#include "codec/decode.h"
#include "codec/encode.h"

static inline bool
identity_is_kept_raw(uint8_t id)
{
    return id == PROPERTY_USER_PROPERTY || id == PROPERTY_SUBSCRIPTION_IDENTIFIER;
}

/* The next user property or subscription identifier, empty after the last. */
static inline struct bytes
identity_next_kept(struct reader *r)
{
    struct property_item item;
    while (property_next(r, &item)) {
        if (identity_is_kept_raw(item.id)) {
            return item.whole;
        }
    }
    return (struct bytes){NULL, 0};
}

static inline struct reader
identity_raw(const struct properties *p)
{
    return p->raw.size == 0 ? (struct reader){NULL, NULL, false} : reader_of(p->raw);
}

static inline bool
identity_kept_equal(const struct properties *a, const struct properties *b)
{
    struct reader ra = identity_raw(a), rb = identity_raw(b);
    struct bytes ia, ib;
    do {
        ia = identity_next_kept(&ra);
        ib = identity_next_kept(&rb);
        if (!bytes_equal(ia, ib)) {
            return false;
        }
    } while (ia.size > 0);
    return !ra.failed && !rb.failed;
}

static inline bool
identity_properties_equal(const struct properties *a, const struct properties *b)
{
#define NUMBER(id, field) (!properties_has(a, id) || a->field == b->field)
#define BYTES(id, field) (!properties_has(a, id) || bytes_equal(a->field, b->field))
    return a->present == b->present && a->raw.size == b->raw.size && a->user_count == b->user_count &&
           a->subscription_id_count == b->subscription_id_count &&
           NUMBER(PROPERTY_SUBSCRIPTION_IDENTIFIER, subscription_id) &&
           NUMBER(PROPERTY_MESSAGE_EXPIRY_INTERVAL, message_expiry_s) &&
           NUMBER(PROPERTY_SESSION_EXPIRY_INTERVAL, session_expiry_s) &&
           NUMBER(PROPERTY_WILL_DELAY_INTERVAL, will_delay_s) &&
           NUMBER(PROPERTY_MAXIMUM_PACKET_SIZE, maximum_packet_size) &&
           NUMBER(PROPERTY_SERVER_KEEP_ALIVE, server_keep_alive_s) &&
           NUMBER(PROPERTY_RECEIVE_MAXIMUM, receive_maximum) &&
           NUMBER(PROPERTY_TOPIC_ALIAS_MAXIMUM, topic_alias_maximum) &&
           NUMBER(PROPERTY_TOPIC_ALIAS, topic_alias) &&
           NUMBER(PROPERTY_PAYLOAD_FORMAT_INDICATOR, payload_format) &&
           NUMBER(PROPERTY_REQUEST_PROBLEM_INFORMATION, request_problem_information) &&
           NUMBER(PROPERTY_REQUEST_RESPONSE_INFORMATION, request_response_information) &&
           NUMBER(PROPERTY_MAXIMUM_QOS, maximum_qos) &&
           NUMBER(PROPERTY_RETAIN_AVAILABLE, retain_available) &&
           NUMBER(PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE, wildcard_subscription_available) &&
           NUMBER(PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE, subscription_id_available) &&
           NUMBER(PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE, shared_subscription_available) &&
           BYTES(PROPERTY_CONTENT_TYPE, content_type) &&
           BYTES(PROPERTY_RESPONSE_TOPIC, response_topic) &&
           BYTES(PROPERTY_CORRELATION_DATA, correlation_data) &&
           BYTES(PROPERTY_ASSIGNED_CLIENT_IDENTIFIER, assigned_client_id) &&
           BYTES(PROPERTY_AUTHENTICATION_METHOD, authentication_method) &&
           BYTES(PROPERTY_AUTHENTICATION_DATA, authentication_data) &&
           BYTES(PROPERTY_RESPONSE_INFORMATION, response_information) &&
           BYTES(PROPERTY_SERVER_REFERENCE, server_reference) &&
           BYTES(PROPERTY_REASON_STRING, reason_string) &&
           identity_kept_equal(a, b);
#undef NUMBER
#undef BYTES
}

static inline bool
identity_connect_equal(const struct connect *a, const struct connect *b)
{
    return a->version == b->version && a->bridge == b->bridge && a->clean_start == b->clean_start &&
           a->has_will == b->has_will && a->has_user_name == b->has_user_name && a->has_password == b->has_password &&
           a->keep_alive_s == b->keep_alive_s && identity_properties_equal(&a->properties, &b->properties) &&
           bytes_equal(a->client_id, b->client_id) && bytes_equal(a->user_name, b->user_name) &&
           bytes_equal(a->password, b->password) && a->will.qos == b->will.qos && a->will.retain == b->will.retain &&
           bytes_equal(a->will.topic, b->will.topic) && bytes_equal(a->will.payload, b->will.payload) &&
           identity_properties_equal(&a->will.properties, &b->will.properties);
}

static inline bool
identity_publish_equal(const struct publish *a, const struct publish *b)
{
    return bytes_equal(a->topic, b->topic) && bytes_equal(a->payload, b->payload) && a->packet_id == b->packet_id &&
           a->qos == b->qos && a->dup == b->dup && a->retain == b->retain &&
           identity_properties_equal(&a->properties, &b->properties);
}

static inline bool
identity_packets_equal(const struct packet *a, const struct packet *b)
{
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case PACKET_CONNECT:
        return identity_connect_equal(&a->connect, &b->connect);
    case PACKET_CONNACK:
        return a->connack.session_present == b->connack.session_present && a->connack.reason == b->connack.reason &&
               identity_properties_equal(&a->connack.properties, &b->connack.properties);
    case PACKET_PUBLISH:
        return identity_publish_equal(&a->publish, &b->publish);
    case PACKET_SUBSCRIBE:
        return a->subscribe.packet_id == b->subscribe.packet_id && a->subscribe.count == b->subscribe.count &&
               bytes_equal(a->subscribe.entries, b->subscribe.entries) &&
               identity_properties_equal(&a->subscribe.properties, &b->subscribe.properties);
    case PACKET_UNSUBSCRIBE:
        return a->unsubscribe.packet_id == b->unsubscribe.packet_id && a->unsubscribe.count == b->unsubscribe.count &&
               bytes_equal(a->unsubscribe.entries, b->unsubscribe.entries) &&
               identity_properties_equal(&a->unsubscribe.properties, &b->unsubscribe.properties);
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        return a->suback.packet_id == b->suback.packet_id && bytes_equal(a->suback.codes, b->suback.codes) &&
               identity_properties_equal(&a->suback.properties, &b->suback.properties);
    case PACKET_DISCONNECT:
    case PACKET_AUTH:
        return a->disconnect.reason == b->disconnect.reason &&
               identity_properties_equal(&a->disconnect.properties, &b->disconnect.properties);
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        return true;
    default:
        return a->ack.packet_id == b->ack.packet_id && a->ack.reason == b->ack.reason &&
               identity_properties_equal(&a->ack.properties, &b->ack.properties);
    }
}

static inline void
identity_require(bool holds)
{
    if (!holds) {
        abort(); /* not assert(): NDEBUG must not silence it */
    }
}

/*
 * For a packet that was decoded from `original`: its encoding decodes to an equal packet, and encodes to the same bytes
 * again. `scratch` has room for twice `room` bytes, `room` at least the original's size. Returns the encoding.
 */
static inline struct bytes
identity_check(const struct packet *decoded, uint8_t version, enum packet_sender sender, uint8_t *scratch, uint32_t room)
{
    uint32_t size = encode_packet(scratch, room, version, decoded);
    identity_require(size > 0);

    struct frame frame;
    struct packet again;
    identity_require(frame_read(bytes_of(scratch, size), room, &frame) == FRAME_DONE && frame.size == size);
    identity_require(decode_packet(&frame, version, sender, &again) == REASON_SUCCESS);
    identity_require(identity_packets_equal(decoded, &again));

    identity_require(encode_packet(scratch + room, room, version, &again) == size);
    identity_require(memcmp(scratch, scratch + room, size) == 0);
    return bytes_of(scratch, size);
}

#endif
