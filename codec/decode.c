#include "codec/decode.h"

#include "codec/property.h"
#include "codec/topic.h"

/* ------------------------------------------------------------------------------------------------- fixed header */

enum {
    FLAG_RETAIN = 0x01,
    FLAG_QOS_SHIFT = 1,
    FLAG_QOS_MASK = 0x06,
    FLAG_DUP = 0x08,
};

#define FLAGS(f) (UINT16_C(1) << (f))

/* Which flags a type may have, as bits; none for type 0. MQTT5 [MQTT-2.1.3-1], MQTT3 [MQTT-2.2.2-1]. */
static const uint16_t allowed_flags[16] = {
    [PACKET_CONNECT] = FLAGS(0),
    [PACKET_CONNACK] = FLAGS(0),
    /* QoS 0 to 2, any RETAIN; DUP only with QoS 1 and 2. MQTT5 [MQTT-3.3.1-4], [MQTT-3.3.1-2]; MQTT3 the same numbers. */
    [PACKET_PUBLISH] = FLAGS(0) | FLAGS(1) | FLAGS(2) | FLAGS(3) | FLAGS(4) | FLAGS(5) | FLAGS(10) | FLAGS(11) | FLAGS(12) | FLAGS(13),
    [PACKET_PUBACK] = FLAGS(0),
    [PACKET_PUBREC] = FLAGS(0),
    /* MQTT 3.1 (2.1.1) sets DUP when it sends one of these again; for later versions refuse_dup() refuses it. */
    [PACKET_PUBREL] = FLAGS(2) | FLAGS(2 | FLAG_DUP),
    [PACKET_PUBCOMP] = FLAGS(0),
    [PACKET_SUBSCRIBE] = FLAGS(2) | FLAGS(2 | FLAG_DUP),
    [PACKET_SUBACK] = FLAGS(0),
    [PACKET_UNSUBSCRIBE] = FLAGS(2) | FLAGS(2 | FLAG_DUP),
    [PACKET_UNSUBACK] = FLAGS(0),
    [PACKET_PINGREQ] = FLAGS(0),
    [PACKET_PINGRESP] = FLAGS(0),
    [PACKET_DISCONNECT] = FLAGS(0),
    [PACKET_AUTH] = FLAGS(0),
};

/* DUP where allowed_flags let it pass without knowing the version. MQTT5 [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]. */
static bool
refuse_dup(const struct frame *frame, uint8_t version)
{
    return (frame->flags & FLAG_DUP) && version != MQTT_VERSION_31;
}

static enum frame_status
frame_malformed(struct frame *out, uint8_t reason)
{
    out->reason = reason;
    return FRAME_MALFORMED;
}

/* Remaining Length, mostly one byte. By hand, because reader_varint() cannot tell an integer cut short from one that is wrong. */
static inline enum frame_status
read_remaining(struct bytes input, uint32_t *remaining, uint32_t *header_size)
{
    *remaining = 0;
    for (uint32_t i = 1; i <= 4; i++) {
        if (i == input.size) {
            return FRAME_NEED_MORE;
        }
        uint8_t byte = input.data[i];
        *remaining |= (uint32_t)(byte & 0x7f) << 7 * (i - 1);
        if (byte < 0x80) {
            *header_size = i + 1;
            return byte == 0 && i > 1 ? FRAME_MALFORMED : FRAME_DONE; /* MQTT5 [MQTT-1.5.5-1] */
        }
    }
    return FRAME_MALFORMED;
}

enum frame_status
frame_read(struct bytes input, uint32_t size_max, struct frame *out)
{
    *out = (struct frame){0};
    if (input.size == 0) {
        return FRAME_NEED_MORE;
    }

    out->type = input.data[0] >> 4;
    out->flags = input.data[0] & 0x0f;
    if ((allowed_flags[out->type] >> out->flags & 1) == 0) {
        return frame_malformed(out, REASON_MALFORMED_PACKET);
    }

    uint32_t remaining, header_size;
    enum frame_status status = read_remaining(input, &remaining, &header_size);
    if (status != FRAME_DONE) {
        return status == FRAME_MALFORMED ? frame_malformed(out, REASON_MALFORMED_PACKET) : status;
    }

    out->size = header_size + remaining;
    if (out->size > size_max) {
        return frame_malformed(out, REASON_PACKET_TOO_LARGE);
    }
    if ((out->type == PACKET_PINGREQ || out->type == PACKET_PINGRESP) && remaining != 0) {
        return frame_malformed(out, REASON_MALFORMED_PACKET);
    }
    if (out->size > input.size) {
        return FRAME_NEED_MORE;
    }
    out->body = bytes_of(input.data + header_size, remaining);
    return FRAME_DONE;
}

/* ------------------------------------------------------------------------------------------------------- helpers */

/* Nothing may be left over, and nothing may have been missing. */
static uint8_t
finish(const struct reader *r)
{
    return r->failed || r->at != r->end ? REASON_MALFORMED_PACKET : REASON_SUCCESS;
}

/* The block of version 5, none in the versions before. */
static uint8_t
read_properties(struct reader *r, uint8_t version, unsigned place, enum packet_sender sender, struct properties *out)
{
    if (version != MQTT_VERSION_5) {
        properties_clear(out);
        return REASON_SUCCESS;
    }
    return properties_read(r, place, sender, out);
}

/* MQTT5 [MQTT-2.2.1-3], [MQTT-2.2.1-4]; MQTT3 [MQTT-2.3.1-1]. */
static uint8_t
read_packet_id(struct reader *r, uint16_t *out)
{
    *out = reader_u16(r);
    if (r->failed) {
        return REASON_MALFORMED_PACKET;
    }
    return *out == 0 ? REASON_PROTOCOL_ERROR : REASON_SUCCESS;
}

/* What to answer to a string that topic_name_check() refused. */
static uint8_t
topic_name_reason(struct bytes name)
{
    if (!utf8_check(name)) {
        return REASON_MALFORMED_PACKET;
    }
    return name.size == 0 ? REASON_PROTOCOL_ERROR : REASON_TOPIC_NAME_INVALID;
}

/* True if `reason` is among the `count` codes at `allowed`. */
static bool
is_among(uint8_t reason, const uint8_t *allowed, size_t count)
{
    return memchr(allowed, reason, count) != NULL;
}

#define IS_AMONG(reason, ...) \
    is_among(reason, (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* ------------------------------------------------------------------------------------------------------- CONNECT */

enum {
    CONNECT_RESERVED = 0x01,
    CONNECT_CLEAN_START = 0x02,
    CONNECT_WILL = 0x04,
    CONNECT_WILL_QOS_SHIFT = 3,
    CONNECT_WILL_QOS_MASK = 0x18,
    CONNECT_WILL_RETAIN = 0x20,
    CONNECT_PASSWORD = 0x40,
    CONNECT_USER_NAME = 0x80,

    LEVEL_BRIDGE = 0x80,
};

static bool
name_is(struct bytes name, const char *text)
{
    return bytes_equal(name, bytes_of(text, (uint32_t)strlen(text)));
}

/* MQTT5 [MQTT-3.1.2-1], [MQTT-3.1.2-2]; MQTT3 the same numbers. */
static uint8_t
read_version(struct reader *r, struct connect *out)
{
    struct bytes name = reader_binary(r);
    uint8_t level = reader_u8(r);
    if (r->failed) {
        return REASON_MALFORMED_PACKET;
    }

    uint8_t plain = level & (uint8_t)~LEVEL_BRIDGE;
    bool known = name_is(name, "MQTT") ? plain == MQTT_VERSION_311 || plain == MQTT_VERSION_5
                                       : name_is(name, "MQIsdp") && plain == MQTT_VERSION_31;
    if (!known) {
        out->version = level;
        return REASON_UNSUPPORTED_PROTOCOL_VERSION;
    }
    out->version = plain;
    /* Mosquitto sets the bit with version 5 too, and ignores it there: No Local and Retain As Published do its work. */
    out->bridge = level != plain && plain != MQTT_VERSION_5;
    return REASON_SUCCESS;
}

static uint8_t
check_connect_flags(uint8_t flags, uint8_t version)
{
    bool password_alone = (flags & CONNECT_PASSWORD) && !(flags & CONNECT_USER_NAME);
    if (password_alone && version != MQTT_VERSION_5) {
        return REASON_MALFORMED_PACKET; /* MQTT3 [MQTT-3.1.2-22], MQTT 3.1 3.1 */
    }
    /* MQTT5 [MQTT-3.1.2-12], MQTT3 [MQTT-3.1.2-14]; any bits when there is no will: see below. */
    if ((flags & CONNECT_WILL) && (flags & CONNECT_WILL_QOS_MASK) == CONNECT_WILL_QOS_MASK) {
        return REASON_MALFORMED_PACKET;
    }
    if (version == MQTT_VERSION_31) {
        return REASON_SUCCESS; /* leaves bit 0 unused, and the will bits without a will undefined */
    }
    if (flags & CONNECT_RESERVED) {
        return REASON_MALFORMED_PACKET; /* MQTT5 [MQTT-3.1.2-3] */
    }
    /* MQTT5 [MQTT-3.1.2-11], [MQTT-3.1.2-13]; MQTT3 [MQTT-3.1.2-13], [MQTT-3.1.2-15]. */
    if (!(flags & CONNECT_WILL) && (flags & (CONNECT_WILL_QOS_MASK | CONNECT_WILL_RETAIN))) {
        return REASON_MALFORMED_PACKET;
    }
    return REASON_SUCCESS;
}

static uint8_t
read_will(struct reader *r, uint8_t version, uint8_t flags, struct will *out)
{
    out->qos = (flags & CONNECT_WILL_QOS_MASK) >> CONNECT_WILL_QOS_SHIFT;
    out->retain = flags & CONNECT_WILL_RETAIN;
    uint8_t reason = read_properties(r, version, PROPERTY_PLACE_WILL, PACKET_FROM_CLIENT, &out->properties);
    if (reason != REASON_SUCCESS) {
        return reason;
    }

    out->topic = reader_binary(r);
    out->payload = reader_binary(r);
    if (r->failed) {
        return REASON_MALFORMED_PACKET;
    }
    if (!topic_name_check(out->topic, TOPIC_LEVELS_MAX)) {
        return utf8_check(out->topic) ? REASON_TOPIC_NAME_INVALID : REASON_MALFORMED_PACKET;
    }
    return REASON_SUCCESS;
}

/*
 * MQTT 3.1 (3.1, User name and password flags): the Remaining Length wins over the flag, so that a flag without its
 * string is valid and means that there is none.
 */
static bool
credential_follows(const struct reader *r, const struct connect *c, uint8_t flag)
{
    return flag != 0 && !(c->version == MQTT_VERSION_31 && r->at == r->end);
}

/* Everything after the properties, in the order of MQTT5 [MQTT-3.1.3-1]. */
static uint8_t
read_connect_payload(struct reader *r, uint8_t flags, struct connect *out)
{
    out->client_id = reader_string(r);
    if (r->failed) {
        return REASON_MALFORMED_PACKET;
    }
    if (out->client_id.size == 0 &&
        (out->version == MQTT_VERSION_31 || (out->version == MQTT_VERSION_311 && !out->clean_start))) {
        return REASON_CLIENT_IDENTIFIER_NOT_VALID; /* MQTT3 [MQTT-3.1.3-8] */
    }

    if (flags & CONNECT_WILL) {
        out->has_will = true;
        uint8_t reason = read_will(r, out->version, flags, &out->will);
        if (reason != REASON_SUCCESS) {
            return reason;
        }
        const struct properties *p = &out->properties, *w = &out->will.properties;
        if (p->user_count + w->user_count > PACKET_PROPERTIES_MAX) {
            return REASON_QUOTA_EXCEEDED;
        }
    }

    if (credential_follows(r, out, flags & CONNECT_USER_NAME)) {
        out->has_user_name = true;
        out->user_name = reader_string(r);
    }
    if (credential_follows(r, out, flags & CONNECT_PASSWORD)) {
        out->has_password = true;
        out->password = reader_binary(r);
    }
    return finish(r);
}

uint8_t
decode_connect(const struct frame *frame, struct connect *out)
{
    *out = (struct connect){0};
    struct reader r = reader_of(frame->body);
    uint8_t reason = read_version(&r, out);
    if (reason != REASON_SUCCESS) {
        return reason;
    }

    uint8_t flags = reader_u8(&r);
    out->keep_alive_s = reader_u16(&r);
    if (r.failed) {
        return REASON_MALFORMED_PACKET;
    }
    reason = check_connect_flags(flags, out->version);
    if (reason != REASON_SUCCESS) {
        return reason;
    }
    out->clean_start = flags & CONNECT_CLEAN_START;

    reason = read_properties(&r, out->version, PACKET_CONNECT, PACKET_FROM_CLIENT, &out->properties);
    if (reason != REASON_SUCCESS) {
        return reason;
    }
    return read_connect_payload(&r, flags, out);
}

/* ------------------------------------------------------------------------------------------------------- CONNACK */

/* The reverse of reason_to_return_code(), so that readers of a CONNACK see version 5 codes only. MQTT3 3.2.2.3. */
static bool
reason_of_return_code(uint8_t code, uint8_t *out)
{
    static const uint8_t reasons[] = {
        REASON_SUCCESS,
        REASON_UNSUPPORTED_PROTOCOL_VERSION,
        REASON_CLIENT_IDENTIFIER_NOT_VALID,
        REASON_SERVER_UNAVAILABLE,
        REASON_BAD_USER_NAME_OR_PASSWORD,
        REASON_NOT_AUTHORIZED,
    };
    if (code >= sizeof reasons) {
        return false;
    }
    *out = reasons[code];
    return true;
}

/* MQTT5 [MQTT-3.2.2-8]. */
static bool
connack_reason_is_allowed(uint8_t reason)
{
    return IS_AMONG(reason, 0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95,
                    0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f);
}

uint8_t
decode_connack(const struct frame *frame, uint8_t version, struct connack *out)
{
    struct reader r = reader_of(frame->body);
    uint8_t flags = reader_u8(&r);
    out->reason = reader_u8(&r);
    out->session_present = flags & 1;
    properties_clear(&out->properties);
    if (r.failed) {
        return REASON_MALFORMED_PACKET;
    }

    if (version == MQTT_VERSION_31) {
        out->session_present = false; /* a reserved byte, and not said to be zero */
    } else if (flags > 1) {
        return REASON_MALFORMED_PACKET; /* MQTT5 [MQTT-3.2.2-1] */
    }
    bool allowed = version == MQTT_VERSION_5 ? connack_reason_is_allowed(out->reason)
                                             : reason_of_return_code(out->reason, &out->reason);
    /* MQTT5 [MQTT-3.2.2-6], MQTT3 [MQTT-3.2.2-4]. */
    if (!allowed || (out->session_present && out->reason != REASON_SUCCESS)) {
        return REASON_PROTOCOL_ERROR;
    }

    uint8_t reason = read_properties(&r, version, PACKET_CONNACK, PACKET_FROM_SERVER, &out->properties);
    return reason != REASON_SUCCESS ? reason : finish(&r);
}

/* ------------------------------------------------------------------------------------------------------- PUBLISH */

/* The block of a PUBLISH at `*at`, most often empty. */
static uint8_t
read_publish_properties(const uint8_t **at, const uint8_t *end, enum packet_sender sender, struct properties *out)
{
    if (*at < end && **at == 0) {
        *at += 1;
        properties_clear(out);
        return REASON_SUCCESS;
    }
    struct reader r = {*at, end, false};
    uint8_t reason = properties_read(&r, PACKET_PUBLISH, sender, out);
    *at = r.at;
    return reason;
}

uint8_t
decode_publish(const struct frame *frame, uint8_t version, enum packet_sender sender, struct publish *out)
{
    const uint8_t *at = frame->body.data, *end = at + frame->body.size;
    out->dup = frame->flags & FLAG_DUP;
    out->qos = (frame->flags & FLAG_QOS_MASK) >> FLAG_QOS_SHIFT;
    out->retain = frame->flags & FLAG_RETAIN;
    out->packet_id = 0;

    if (end - at < 2) {
        return REASON_MALFORMED_PACKET;
    }
    uint32_t topic_size = (uint32_t)at[0] << 8 | at[1];
    at += 2;
    uint32_t id_size = out->qos > 0 ? 2 : 0;
    if ((size_t)(end - at) < (size_t)topic_size + id_size) {
        return REASON_MALFORMED_PACKET;
    }
    /* In a local: passing on out->topic would wait for its two stores to be one load (a failed store forward, 10 ns). */
    const struct bytes topic = bytes_of(at, topic_size);
    out->topic = topic;
    at += topic_size;
    if (id_size > 0) {
        out->packet_id = (uint16_t)(at[0] << 8 | at[1]);
        at += 2;
        if (out->packet_id == 0) {
            return REASON_PROTOCOL_ERROR; /* MQTT5 [MQTT-2.2.1-4] */
        }
    }

    if (version == MQTT_VERSION_5) {
        uint8_t reason = read_publish_properties(&at, end, sender, &out->properties);
        if (reason != REASON_SUCCESS) {
            return reason;
        }
    } else {
        properties_clear(&out->properties);
    }

    out->payload = bytes_of(at, (uint32_t)(end - at));
    if (topic_name_check(topic, TOPIC_LEVELS_MAX)) {
        return REASON_SUCCESS;
    }
    /* An alias stands for the topic. MQTT5 3.3.2.1, 3.3.2.3.4. */
    if (topic_size == 0 && properties_has(&out->properties, PROPERTY_TOPIC_ALIAS)) {
        return REASON_SUCCESS;
    }
    return topic_name_reason(topic);
}

/* --------------------------------------------------------------------------------- PUBACK, PUBREC, PUBREL, PUBCOMP */

/* MQTT5 [MQTT-3.4.2-1], [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1]. */
static bool
ack_reason_is_allowed(uint8_t type, uint8_t reason)
{
    if (type == PACKET_PUBACK || type == PACKET_PUBREC) {
        return IS_AMONG(reason, 0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99);
    }
    return IS_AMONG(reason, 0x00, 0x92);
}

uint8_t
decode_ack(const struct frame *frame, uint8_t version, struct ack *out)
{
    struct reader r = reader_of(frame->body);
    out->reason = REASON_SUCCESS;
    properties_clear(&out->properties);
    if (refuse_dup(frame, version)) {
        return REASON_MALFORMED_PACKET;
    }

    uint8_t reason = read_packet_id(&r, &out->packet_id);
    if (reason != REASON_SUCCESS || r.at == r.end) {
        return reason; /* the short form, as almost always */
    }
    if (version != MQTT_VERSION_5) {
        return REASON_MALFORMED_PACKET;
    }

    /* Reason Code and properties may be left out from the end on. MQTT5 3.4.2.1, 3.4.2.2.1. */
    out->reason = reader_u8(&r);
    if (!ack_reason_is_allowed(frame->type, out->reason)) {
        return REASON_PROTOCOL_ERROR;
    }
    if (r.at != r.end) {
        /* Both senders may set the same ones. */
        reason = properties_read(&r, frame->type, PACKET_FROM_CLIENT, &out->properties);
    }
    return reason != REASON_SUCCESS ? reason : finish(&r);
}

/* -------------------------------------------------------------------------------------------- SUBSCRIBE, UNSUBSCRIBE */

enum {
    OPTION_QOS_MASK = 0x03,
    OPTION_NO_LOCAL = 0x04,
    OPTION_RETAIN_AS_PUBLISHED = 0x08,
    OPTION_RETAIN_HANDLING_SHIFT = 4,
    OPTION_RETAIN_HANDLING_MASK = 0x30,
    OPTION_RESERVED = 0xc0,
};

static bool
is_shared(struct bytes filter)
{
    return filter.size >= 7 && memcmp(filter.data, "$share/", 7) == 0;
}

static uint8_t
check_options(uint8_t options, uint8_t version, struct bytes filter)
{
    uint8_t reserved = version == MQTT_VERSION_5 ? OPTION_RESERVED : (uint8_t)~OPTION_QOS_MASK;
    if (options & reserved) {
        return REASON_MALFORMED_PACKET; /* MQTT5 [MQTT-3.8.3-5], MQTT3 [MQTT-3-8.3-4] */
    }
    if ((options & OPTION_QOS_MASK) == 3) {
        return REASON_PROTOCOL_ERROR; /* MQTT5 3.8.3.1, MQTT3 [MQTT-3-8.3-4] */
    }
    if ((options & OPTION_RETAIN_HANDLING_MASK) == OPTION_RETAIN_HANDLING_MASK) {
        return REASON_PROTOCOL_ERROR; /* MQTT5 3.8.3.1 */
    }
    if ((options & OPTION_NO_LOCAL) && is_shared(filter)) {
        return REASON_PROTOCOL_ERROR; /* MQTT5 [MQTT-3.8.3-4] */
    }
    return REASON_SUCCESS;
}

/* MQTT5 [MQTT-4.7.3-1]. */
static uint8_t
read_filter(struct reader *r, struct bytes *out)
{
    *out = reader_string(r);
    if (r->failed) {
        return REASON_MALFORMED_PACKET;
    }
    return out->size == 0 ? REASON_PROTOCOL_ERROR : REASON_SUCCESS;
}

/* The payload of SUBSCRIBE or, `with_options` false, UNSUBSCRIBE. */
static uint8_t
check_entries(struct bytes entries, uint8_t version, bool with_options, uint32_t *count)
{
    struct reader r = reader_of(entries);
    *count = 0;
    while (r.at < r.end) {
        struct bytes filter;
        uint8_t reason = read_filter(&r, &filter);
        if (reason == REASON_SUCCESS && with_options) {
            uint8_t options = reader_u8(&r);
            reason = r.failed ? REASON_MALFORMED_PACKET : check_options(options, version, filter);
        }
        if (reason != REASON_SUCCESS) {
            return reason;
        }
        *count += 1;
    }
    /* MQTT5 [MQTT-3.8.3-2], [MQTT-3.10.3-2]; MQTT3 [MQTT-3.8.3-3], [MQTT-3.10.3-2]. */
    return *count == 0 ? REASON_PROTOCOL_ERROR : REASON_SUCCESS;
}

uint8_t
decode_subscribe(const struct frame *frame, uint8_t version, struct subscribe *out)
{
    struct reader r = reader_of(frame->body);
    properties_clear(&out->properties);
    if (refuse_dup(frame, version)) {
        return REASON_MALFORMED_PACKET;
    }
    uint8_t reason = read_packet_id(&r, &out->packet_id);
    if (reason == REASON_SUCCESS) {
        reason = read_properties(&r, version, PACKET_SUBSCRIBE, PACKET_FROM_CLIENT, &out->properties);
    }
    if (reason != REASON_SUCCESS) {
        return reason;
    }
    out->entries = reader_take(&r, reader_left(&r));
    return check_entries(out->entries, version, true, &out->count);
}

uint8_t
decode_unsubscribe(const struct frame *frame, uint8_t version, struct unsubscribe *out)
{
    struct reader r = reader_of(frame->body);
    properties_clear(&out->properties);
    if (refuse_dup(frame, version)) {
        return REASON_MALFORMED_PACKET;
    }
    uint8_t reason = read_packet_id(&r, &out->packet_id);
    if (reason == REASON_SUCCESS) {
        reason = read_properties(&r, version, PACKET_UNSUBSCRIBE, PACKET_FROM_CLIENT, &out->properties);
    }
    if (reason != REASON_SUCCESS) {
        return reason;
    }
    out->entries = reader_take(&r, reader_left(&r));
    return check_entries(out->entries, version, false, &out->count);
}

/* Drops what has been read from the front of `*entries`. */
static bool
advance(struct bytes *entries, const struct reader *r)
{
    if (r->failed) {
        return false;
    }
    *entries = bytes_of(r->at, reader_left(r));
    return true;
}

bool
subscribe_next(struct bytes *entries, struct bytes *filter, struct subscription_options *options)
{
    if (entries->size == 0) {
        return false;
    }
    struct reader r = reader_of(*entries);
    *filter = reader_binary(&r);
    uint8_t byte = reader_u8(&r);
    *options = (struct subscription_options){
        .qos = byte & OPTION_QOS_MASK,
        .no_local = byte & OPTION_NO_LOCAL,
        .retain_as_published = byte & OPTION_RETAIN_AS_PUBLISHED,
        .retain_handling = (byte & OPTION_RETAIN_HANDLING_MASK) >> OPTION_RETAIN_HANDLING_SHIFT,
    };
    return advance(entries, &r);
}

bool
unsubscribe_next(struct bytes *entries, struct bytes *filter)
{
    if (entries->size == 0) {
        return false;
    }
    struct reader r = reader_of(*entries);
    *filter = reader_binary(&r);
    return advance(entries, &r);
}

/* ------------------------------------------------------------------------------------------------ SUBACK, UNSUBACK */

/* MQTT5 [MQTT-3.9.3-2], [MQTT-3.11.3-2]; MQTT3 [MQTT-3.9.3-2]. */
static bool
suback_code_is_allowed(uint8_t type, uint8_t version, uint8_t code)
{
    if (version != MQTT_VERSION_5) {
        return IS_AMONG(code, 0x00, 0x01, 0x02, 0x80);
    }
    if (type == PACKET_SUBACK) {
        return IS_AMONG(code, 0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2);
    }
    return IS_AMONG(code, 0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91);
}

uint8_t
decode_suback(const struct frame *frame, uint8_t version, struct suback *out)
{
    struct reader r = reader_of(frame->body);
    out->codes = (struct bytes){NULL, 0};
    properties_clear(&out->properties);

    uint8_t reason = read_packet_id(&r, &out->packet_id);
    if (reason == REASON_SUCCESS) {
        reason = read_properties(&r, version, frame->type, PACKET_FROM_SERVER, &out->properties);
    }
    if (reason != REASON_SUCCESS) {
        return reason;
    }
    if (frame->type == PACKET_UNSUBACK && version != MQTT_VERSION_5) {
        return finish(&r); /* has no payload: MQTT3 3.11.3 */
    }

    out->codes = reader_take(&r, reader_left(&r));
    for (uint32_t i = 0; i < out->codes.size; i++) {
        if (!suback_code_is_allowed(frame->type, version, out->codes.data[i])) {
            return REASON_PROTOCOL_ERROR;
        }
    }
    /* As many codes as there were filters: at least one. MQTT5 [MQTT-3.8.4-6], [MQTT-3.11.3-1]. */
    return out->codes.size == 0 ? REASON_PROTOCOL_ERROR : REASON_SUCCESS;
}

/* ------------------------------------------------------------------------------------------------ DISCONNECT, AUTH */

/* MQTT5 [MQTT-3.14.2-1], table 3-10. */
static bool
disconnect_reason_is_allowed(enum packet_sender sender, uint8_t reason)
{
    if (IS_AMONG(reason, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99)) {
        return true;
    }
    if (sender == PACKET_FROM_CLIENT) {
        return IS_AMONG(reason, 0x00, 0x04);
    }
    return IS_AMONG(reason, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2);
}

/* MQTT5 [MQTT-3.15.2-1], table 3-11. */
static bool
auth_reason_is_allowed(enum packet_sender sender, uint8_t reason)
{
    return reason == REASON_CONTINUE_AUTHENTICATION ||
           reason == (sender == PACKET_FROM_CLIENT ? REASON_REAUTHENTICATE : REASON_SUCCESS);
}

static bool
last_reason_is_allowed(uint8_t type, enum packet_sender sender, uint8_t reason)
{
    return type == PACKET_AUTH ? auth_reason_is_allowed(sender, reason) : disconnect_reason_is_allowed(sender, reason);
}

uint8_t
decode_disconnect(const struct frame *frame, uint8_t version, enum packet_sender sender, struct disconnect *out)
{
    struct reader r = reader_of(frame->body);
    out->reason = REASON_SUCCESS;
    properties_clear(&out->properties);
    if (version != MQTT_VERSION_5) {
        /* Only clients send it, without a body: MQTT3 3.14. There is no AUTH. */
        return frame->type == PACKET_AUTH || sender == PACKET_FROM_SERVER ? REASON_PROTOCOL_ERROR : finish(&r);
    }

    /* Left out, it is 0x00: MQTT5 3.14.2.1, 3.15.2.1. */
    if (r.at != r.end) {
        out->reason = reader_u8(&r);
    }
    if (!last_reason_is_allowed(frame->type, sender, out->reason)) {
        return REASON_PROTOCOL_ERROR;
    }
    if (r.at == r.end && (frame->type == PACKET_DISCONNECT || frame->body.size == 0)) {
        return REASON_SUCCESS; /* no properties: MQTT5 3.14.2.2.1; AUTH may leave out both or none */
    }

    uint8_t reason = properties_read(&r, frame->type, sender, &out->properties);
    if (reason != REASON_SUCCESS) {
        return reason;
    }
    if (frame->type == PACKET_AUTH && !properties_has(&out->properties, PROPERTY_AUTHENTICATION_METHOD)) {
        return REASON_PROTOCOL_ERROR; /* MQTT5 3.15.2.2.2 */
    }
    return finish(&r);
}

/* ------------------------------------------------------------------------------------------------------ any packet */

static bool
may_send(enum packet_sender sender, uint8_t type, uint8_t version)
{
    switch (type) {
    case PACKET_CONNECT:
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
    case PACKET_PINGREQ:
        return sender == PACKET_FROM_CLIENT;
    case PACKET_CONNACK:
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
    case PACKET_PINGRESP:
        return sender == PACKET_FROM_SERVER;
    case PACKET_DISCONNECT:
        return sender == PACKET_FROM_CLIENT || version == MQTT_VERSION_5;
    case PACKET_AUTH:
        return version == MQTT_VERSION_5;
    default:
        return true;
    }
}

uint8_t
decode_packet(const struct frame *frame, uint8_t version, enum packet_sender sender, struct packet *out)
{
    out->type = frame->type;
    if (!may_send(sender, frame->type, version)) {
        return REASON_PROTOCOL_ERROR;
    }
    switch (frame->type) {
    case PACKET_CONNECT:
        return decode_connect(frame, &out->connect);
    case PACKET_CONNACK:
        return decode_connack(frame, version, &out->connack);
    case PACKET_PUBLISH:
        return decode_publish(frame, version, sender, &out->publish);
    case PACKET_SUBSCRIBE:
        return decode_subscribe(frame, version, &out->subscribe);
    case PACKET_UNSUBSCRIBE:
        return decode_unsubscribe(frame, version, &out->unsubscribe);
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        return decode_suback(frame, version, &out->suback);
    case PACKET_DISCONNECT:
    case PACKET_AUTH:
        return decode_disconnect(frame, version, sender, &out->disconnect);
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        return REASON_SUCCESS; /* frame_read() let only empty ones through */
    default:
        return decode_ack(frame, version, &out->ack);
    }
}
