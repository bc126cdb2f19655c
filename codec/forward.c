#include "codec/forward.h"

#include <assert.h>

/* Bytes of the property block without its length. */
static uint32_t
block_size(const struct forward *f)
{
    uint32_t size = f->properties.size;
    size += f->has_expiry ? 5 : 0;
    size += f->topic_alias != 0 ? 3 : 0;
    for (uint32_t i = 0; i < f->subscription_id_count; i++) {
        size += 1 + varint_size(f->subscription_ids[i]);
    }
    return size;
}

static uint32_t
body_size(const struct forward *f, uint8_t version, uint32_t properties_size)
{
    uint32_t size = 2 + (f->omit_topic ? 0 : f->topic.size) + (f->qos > 0 ? 2 : 0);
    if (version == MQTT_VERSION_5) {
        size += varint_size(properties_size) + properties_size;
    }
    return size + f->payload.size;
}

uint32_t
forward_size(const struct forward *f, uint8_t version)
{
    uint32_t body = body_size(f, version, version == MQTT_VERSION_5 ? block_size(f) : 0);
    if (body > BYTES_VARINT_MAX || f->payload.size > BYTES_VARINT_MAX) {
        return 0;
    }
    return 1 + varint_size(body) + body;
}

/* What follows writes without looking at the room: forward_size() has counted every byte, and the asserts in forward_write() hold both to it. */
static inline uint8_t *
put_varint(uint8_t *at, uint32_t value)
{
    for (; value >= 128; value >>= 7) {
        *at++ = (uint8_t)(value | 0x80);
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint8_t *
put_u16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static inline uint8_t *
put_bytes(uint8_t *at, struct bytes b)
{
    if (b.size > 0) {
        memcpy(at, b.data, b.size);
    }
    return at + b.size;
}

static uint8_t *
put_properties(uint8_t *at, const struct forward *f, uint32_t size)
{
    at = put_varint(at, size);
    if (f->has_expiry) {
        *at++ = PROPERTY_MESSAGE_EXPIRY_INTERVAL;
        at = put_u16(at, f->expiry_s >> 16);
        at = put_u16(at, f->expiry_s & UINT16_MAX);
    }
    if (f->topic_alias != 0) {
        *at++ = PROPERTY_TOPIC_ALIAS;
        at = put_u16(at, f->topic_alias);
    }
    for (uint32_t i = 0; i < f->subscription_id_count; i++) {
        *at++ = PROPERTY_SUBSCRIPTION_IDENTIFIER;
        at = put_varint(at, f->subscription_ids[i]);
    }
    return put_bytes(at, f->properties);
}

void
forward_write(uint8_t *out, uint32_t size, const struct forward *f, uint8_t version)
{
    const uint32_t properties_size = version == MQTT_VERSION_5 ? block_size(f) : 0;
    const uint32_t body = body_size(f, version, properties_size);
    assert(size == 1 + varint_size(body) + body);

    const struct bytes topic = f->omit_topic ? bytes_of(NULL, 0) : f->topic;
    uint8_t *at = out;
    *at++ = (uint8_t)(PACKET_PUBLISH << 4 | (f->dup ? 8 : 0) | f->qos << 1 | (f->retain ? 1 : 0));
    at = put_varint(at, body);
    at = put_u16(at, topic.size);
    at = put_bytes(at, topic);
    if (f->qos > 0) {
        at = put_u16(at, f->packet_id);
    }
    if (version == MQTT_VERSION_5) {
        at = put_properties(at, f, properties_size);
    }
    at = put_bytes(at, f->payload);
    assert(at == out + size);
}

static bool
forwardable(uint8_t id)
{
    switch (id) {
    case PROPERTY_PAYLOAD_FORMAT_INDICATOR:
    case PROPERTY_CONTENT_TYPE:
    case PROPERTY_RESPONSE_TOPIC:
    case PROPERTY_CORRELATION_DATA:
    case PROPERTY_USER_PROPERTY:
        return true;
    default:
        return false;
    }
}

bool
forward_all(const struct properties *properties)
{
    const uint64_t rest = UINT64_C(1) << PROPERTY_MESSAGE_EXPIRY_INTERVAL | UINT64_C(1) << PROPERTY_TOPIC_ALIAS |
                          UINT64_C(1) << PROPERTY_SUBSCRIPTION_IDENTIFIER | UINT64_C(1) << PROPERTY_WILL_DELAY_INTERVAL;
    return (properties->present & rest) == 0;
}

uint32_t
forward_properties(const struct properties *properties, uint8_t *out)
{
    struct reader block = reader_of(properties->raw);
    struct property_item item;
    uint32_t size = 0;
    while (property_next(&block, &item)) {
        if (forwardable(item.id)) {
            memcpy(out + size, item.whole.data, item.whole.size);
            size += item.whole.size;
        }
    }
    return size;
}
