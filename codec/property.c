#include "codec/property.h"

#include <stddef.h>

#include "codec/topic.h"

enum property_kind {
    KIND_UNKNOWN, /* 0: table entries that are not there */
    KIND_U8,
    KIND_U16,
    KIND_U32,
    KIND_VARINT,
    KIND_STRING,
    KIND_BINARY,
    KIND_PAIR,
};

/* `from_client` and `from_server` have a bit per place; the specification's table (2.2.2.2) read by direction. */
struct property_rule {
    uint8_t kind;
    uint16_t field; /* offset in struct properties; none for KIND_PAIR */
    uint16_t from_client;
    uint16_t from_server;
    uint32_t min, max; /* of a number; outside is a Protocol Error */
};

#define IN(place) (1u << (place))
#define WILL IN(PROPERTY_PLACE_WILL)
#define CONNECT IN(PACKET_CONNECT)
#define CONNACK IN(PACKET_CONNACK)
#define PUBLISH IN(PACKET_PUBLISH)
#define ACKS (IN(PACKET_PUBACK) | IN(PACKET_PUBREC) | IN(PACKET_PUBREL) | IN(PACKET_PUBCOMP))
#define SUBSCRIBE IN(PACKET_SUBSCRIBE)
#define SUBACK IN(PACKET_SUBACK)
#define UNSUBSCRIBE IN(PACKET_UNSUBSCRIBE)
#define UNSUBACK IN(PACKET_UNSUBACK)
#define DISCONNECT IN(PACKET_DISCONNECT)
#define AUTH IN(PACKET_AUTH)
#define FIELD(name) offsetof(struct properties, name)

/* clang-format off */
static const struct property_rule rules[] = {
    /*                                              kind         field                                client                         server                  min  max */
    [PROPERTY_PAYLOAD_FORMAT_INDICATOR]          = {KIND_U8,     FIELD(payload_format),               WILL | PUBLISH,                PUBLISH,                 0, 1},
    [PROPERTY_MESSAGE_EXPIRY_INTERVAL]           = {KIND_U32,    FIELD(message_expiry_s),             WILL | PUBLISH,                PUBLISH,                 0, UINT32_MAX},
    [PROPERTY_CONTENT_TYPE]                      = {KIND_STRING, FIELD(content_type),                 WILL | PUBLISH,                PUBLISH,                 0, 0},
    [PROPERTY_RESPONSE_TOPIC]                    = {KIND_STRING, FIELD(response_topic),               WILL | PUBLISH,                PUBLISH,                 0, 0},
    [PROPERTY_CORRELATION_DATA]                  = {KIND_BINARY, FIELD(correlation_data),             WILL | PUBLISH,                PUBLISH,                 0, 0},
    [PROPERTY_SUBSCRIPTION_IDENTIFIER]           = {KIND_VARINT, FIELD(subscription_id),              SUBSCRIBE,                     PUBLISH,                 1, BYTES_VARINT_MAX},
    [PROPERTY_SESSION_EXPIRY_INTERVAL]           = {KIND_U32,    FIELD(session_expiry_s),             CONNECT | DISCONNECT,          CONNACK,                 0, UINT32_MAX},
    [PROPERTY_ASSIGNED_CLIENT_IDENTIFIER]        = {KIND_STRING, FIELD(assigned_client_id),           0,                             CONNACK,                 0, 0},
    [PROPERTY_SERVER_KEEP_ALIVE]                 = {KIND_U16,    FIELD(server_keep_alive_s),          0,                             CONNACK,                 0, UINT16_MAX},
    [PROPERTY_AUTHENTICATION_METHOD]             = {KIND_STRING, FIELD(authentication_method),        CONNECT | AUTH,                CONNACK | AUTH,          0, 0},
    [PROPERTY_AUTHENTICATION_DATA]               = {KIND_BINARY, FIELD(authentication_data),          CONNECT | AUTH,                CONNACK | AUTH,          0, 0},
    [PROPERTY_REQUEST_PROBLEM_INFORMATION]       = {KIND_U8,     FIELD(request_problem_information),  CONNECT,                       0,                       0, 1},
    [PROPERTY_WILL_DELAY_INTERVAL]               = {KIND_U32,    FIELD(will_delay_s),                 WILL,                          0,                       0, UINT32_MAX},
    [PROPERTY_REQUEST_RESPONSE_INFORMATION]      = {KIND_U8,     FIELD(request_response_information), CONNECT,                       0,                       0, 1},
    [PROPERTY_RESPONSE_INFORMATION]              = {KIND_STRING, FIELD(response_information),         0,                             CONNACK,                 0, 0},
    [PROPERTY_SERVER_REFERENCE]                  = {KIND_STRING, FIELD(server_reference),             0,                             CONNACK | DISCONNECT,    0, 0},
    [PROPERTY_REASON_STRING]                     = {KIND_STRING, FIELD(reason_string),                ACKS | DISCONNECT | AUTH,      CONNACK | ACKS | SUBACK | UNSUBACK | DISCONNECT | AUTH, 0, 0},
    [PROPERTY_RECEIVE_MAXIMUM]                   = {KIND_U16,    FIELD(receive_maximum),              CONNECT,                       CONNACK,                 1, UINT16_MAX},
    [PROPERTY_TOPIC_ALIAS_MAXIMUM]               = {KIND_U16,    FIELD(topic_alias_maximum),          CONNECT,                       CONNACK,                 0, UINT16_MAX},
    [PROPERTY_TOPIC_ALIAS]                       = {KIND_U16,    FIELD(topic_alias),                  PUBLISH,                       PUBLISH,                 1, UINT16_MAX},
    [PROPERTY_MAXIMUM_QOS]                       = {KIND_U8,     FIELD(maximum_qos),                  0,                             CONNACK,                 0, 1},
    [PROPERTY_RETAIN_AVAILABLE]                  = {KIND_U8,     FIELD(retain_available),             0,                             CONNACK,                 0, 1},
    [PROPERTY_USER_PROPERTY]                     = {KIND_PAIR,   0,                                   0xffff,                        0xffff,                  0, 0},
    [PROPERTY_MAXIMUM_PACKET_SIZE]               = {KIND_U32,    FIELD(maximum_packet_size),          CONNECT,                       CONNACK,                 1, UINT32_MAX},
    [PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE]   = {KIND_U8,     FIELD(wildcard_subscription_available), 0,                          CONNACK,                 0, 1},
    [PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE] = {KIND_U8,     FIELD(subscription_id_available),    0,                             CONNACK,                 0, 1},
    [PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE]     = {KIND_U8,     FIELD(shared_subscription_available),0,                             CONNACK,                 0, 1},
};
/* clang-format on */

static const struct property_rule *
rule_of(uint8_t id)
{
    return id < sizeof rules / sizeof rules[0] && rules[id].kind != KIND_UNKNOWN ? &rules[id] : NULL;
}

/* May stand more than once: User Property everywhere, Subscription Identifier in PUBLISH. MQTT5 3.3.2.3.8. */
static bool
repeats(uint8_t id, unsigned place)
{
    return id == PROPERTY_USER_PROPERTY || (id == PROPERTY_SUBSCRIPTION_IDENTIFIER && place == PACKET_PUBLISH);
}

/* The value of a property whose identifier has been read; strings are not looked into. */
static inline void
read_value(struct reader *r, uint8_t kind, struct property_item *out)
{
    switch (kind) {
    case KIND_U8:
        out->number = reader_u8(r);
        break;
    case KIND_U16:
        out->number = reader_u16(r);
        break;
    case KIND_U32:
        out->number = reader_u32(r);
        break;
    case KIND_VARINT:
        out->number = reader_varint(r);
        break;
    case KIND_PAIR:
        out->name = reader_binary(r);
        out->value = reader_binary(r);
        break;
    default:
        out->value = reader_binary(r);
        break;
    }
}

bool
property_next(struct reader *block, struct property_item *out)
{
    if (block->failed || block->at == block->end) {
        return false;
    }
    const uint8_t *start = block->at;
    *out = (struct property_item){.id = reader_u8(block)};
    const struct property_rule *rule = rule_of(out->id);
    if (rule == NULL) {
        block->failed = true;
        return false;
    }
    read_value(block, rule->kind, out);
    out->whole = bytes_of(start, (uint32_t)(block->at - start));
    return !block->failed;
}

static uint8_t
check_number(const struct property_rule *rule, const struct property_item *item)
{
    if (item->number >= rule->min && item->number <= rule->max) {
        return REASON_SUCCESS;
    }
    /* MQTT5 [MQTT-3.3.2-8]; all other ranges are Protocol Errors. */
    return item->id == PROPERTY_TOPIC_ALIAS ? REASON_TOPIC_ALIAS_INVALID : REASON_PROTOCOL_ERROR;
}

static uint8_t
check_text(const struct property_item *item)
{
    if (item->id == PROPERTY_RESPONSE_TOPIC && topic_name_check(item->value, TOPIC_LEVELS_MAX)) {
        return REASON_SUCCESS;
    }
    if (!utf8_check(item->value)) {
        return REASON_MALFORMED_PACKET;
    }
    /* MQTT5 [MQTT-3.3.2-14]. */
    return item->id == PROPERTY_RESPONSE_TOPIC ? REASON_PROTOCOL_ERROR : REASON_SUCCESS;
}

static uint8_t
check_item(const struct property_rule *rule, const struct property_item *item)
{
    switch (rule->kind) {
    case KIND_BINARY:
        return REASON_SUCCESS;
    case KIND_STRING:
        return check_text(item);
    case KIND_PAIR:
        return utf8_check(item->name) && utf8_check(item->value) ? REASON_SUCCESS : REASON_MALFORMED_PACKET;
    default:
        return check_number(rule, item);
    }
}

static void
store_item(struct properties *p, const struct property_rule *rule, const struct property_item *item)
{
    uint8_t *field = (uint8_t *)p + rule->field;
    switch (rule->kind) {
    case KIND_U8:
        *field = (uint8_t)item->number;
        break;
    case KIND_U16:
        memcpy(field, &(uint16_t){(uint16_t)item->number}, sizeof(uint16_t));
        break;
    case KIND_U32:
        memcpy(field, &item->number, sizeof(uint32_t));
        break;
    case KIND_VARINT:
        /* The only one is Subscription Identifier; of several, the first. */
        if (p->subscription_id_count++ == 0) {
            p->subscription_id = item->number;
        }
        break;
    case KIND_PAIR:
        p->user_count++;
        break;
    default:
        memcpy(field, &item->value, sizeof(struct bytes));
        break;
    }
    properties_mark(p, item->id);
}

static uint8_t
read_property(struct reader *block, unsigned place, enum packet_sender sender, struct properties *out)
{
    /* An identifier is a Variable Byte Integer, but all that exist need one byte. */
    struct property_item item = {.id = reader_u8(block)};
    const struct property_rule *rule = rule_of(item.id);
    if (rule == NULL) {
        return REASON_MALFORMED_PACKET;
    }
    uint16_t places = sender == PACKET_FROM_CLIENT ? rule->from_client : rule->from_server;
    if (!(places >> place & 1) || (properties_has(out, item.id) && !repeats(item.id, place))) {
        return REASON_PROTOCOL_ERROR;
    }

    read_value(block, rule->kind, &item);
    if (block->failed) {
        return REASON_MALFORMED_PACKET;
    }
    uint8_t reason = check_item(rule, &item);
    if (reason != REASON_SUCCESS) {
        return reason;
    }
    store_item(out, rule, &item);
    return out->user_count + out->subscription_id_count > PACKET_PROPERTIES_MAX ? REASON_QUOTA_EXCEEDED : REASON_SUCCESS;
}

uint8_t
properties_read(struct reader *r, unsigned place, enum packet_sender sender, struct properties *out)
{
    properties_clear(out);
    struct bytes raw = reader_take(r, reader_varint(r));
    if (r->failed) {
        return REASON_MALFORMED_PACKET;
    }
    if (raw.size == 0) {
        return REASON_SUCCESS;
    }

    out->raw = raw;
    struct reader block = reader_of(raw);
    while (block.at < block.end) {
        uint8_t reason = read_property(&block, place, sender, out);
        if (reason != REASON_SUCCESS) {
            /* `raw` promises a block that property_next() can walk. */
            out->raw = (struct bytes){NULL, 0};
            return reason;
        }
    }

    /* MQTT5 3.1.2.11.10, 3.2.2.3.18, 3.15.2.2.3. */
    if (properties_has(out, PROPERTY_AUTHENTICATION_DATA) && !properties_has(out, PROPERTY_AUTHENTICATION_METHOD)) {
        return REASON_PROTOCOL_ERROR;
    }
    return REASON_SUCCESS;
}

/* The marked properties that are written from their fields in this place, as a bit set. */
static uint64_t
fields_to_write(const struct properties *p, unsigned place)
{
    uint64_t fields = 0;
    for (uint64_t rest = p->present; rest != 0; rest &= rest - 1) {
        uint8_t id = (uint8_t)__builtin_ctzll(rest);
        const struct property_rule *rule = rule_of(id);
        if (rule != NULL && ((rule->from_client | rule->from_server) >> place & 1) && !repeats(id, place)) {
            fields |= UINT64_C(1) << id;
        }
    }
    return fields;
}

static struct bytes
bytes_field(const struct properties *p, const struct property_rule *rule)
{
    struct bytes value;
    memcpy(&value, (const uint8_t *)p + rule->field, sizeof value);
    return value;
}

static uint32_t
number_field(const struct properties *p, const struct property_rule *rule)
{
    const uint8_t *field = (const uint8_t *)p + rule->field;
    uint16_t u16;
    uint32_t u32;
    switch (rule->kind) {
    case KIND_U8:
        return *field;
    case KIND_U16:
        memcpy(&u16, field, sizeof u16);
        return u16;
    default:
        memcpy(&u32, field, sizeof u32);
        return u32;
    }
}

static uint64_t
field_size(const struct properties *p, const struct property_rule *rule)
{
    switch (rule->kind) {
    case KIND_U8:
        return 1 + 1;
    case KIND_U16:
        return 1 + 2;
    case KIND_U32:
        return 1 + 4;
    case KIND_VARINT:
        return 1 + varint_size(number_field(p, rule));
    default:
        return UINT64_C(1) + 2 + bytes_field(p, rule).size;
    }
}

static void
write_field(struct writer *w, const struct properties *p, uint8_t id)
{
    const struct property_rule *rule = rule_of(id);
    writer_u8(w, id);
    switch (rule->kind) {
    case KIND_U8:
        writer_u8(w, (uint8_t)number_field(p, rule));
        break;
    case KIND_U16:
        writer_u16(w, (uint16_t)number_field(p, rule));
        break;
    case KIND_U32:
        writer_u32(w, number_field(p, rule));
        break;
    case KIND_VARINT:
        writer_varint(w, number_field(p, rule));
        break;
    default:
        writer_binary(w, bytes_field(p, rule));
        break;
    }
}

/* Walks `raw` (which may be NULL, so no reader is made of nothing). False at the end. */
static bool
next_repeating(struct reader *r, unsigned place, struct property_item *out)
{
    while (property_next(r, out)) {
        if (repeats(out->id, place)) {
            return true;
        }
    }
    return false;
}

static struct reader
raw_reader(const struct properties *p)
{
    return p->raw.size > 0 ? reader_of(p->raw) : (struct reader){NULL, NULL, false};
}

uint64_t
properties_size(const struct properties *p, unsigned place)
{
    uint64_t size = 0;
    for (uint64_t rest = fields_to_write(p, place); rest != 0; rest &= rest - 1) {
        size += field_size(p, rule_of((uint8_t)__builtin_ctzll(rest)));
    }
    struct reader raw = raw_reader(p);
    struct property_item item;
    while (next_repeating(&raw, place, &item)) {
        size += item.whole.size;
    }
    return size;
}

void
properties_write(struct writer *w, const struct properties *p, unsigned place, uint32_t size)
{
    writer_varint(w, size);
    if (size == 0) {
        return;
    }
    for (uint64_t rest = fields_to_write(p, place); rest != 0; rest &= rest - 1) {
        write_field(w, p, (uint8_t)__builtin_ctzll(rest));
    }
    struct reader raw = raw_reader(p);
    struct property_item item;
    while (next_repeating(&raw, place, &item)) {
        writer_put(w, item.whole);
    }
}
