#include "codec/forward.h"

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

static void
write_properties(struct writer *w, const struct forward *f, uint32_t properties_size)
{
    writer_varint(w, properties_size);
    if (f->has_expiry) {
        writer_u8(w, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
        writer_u32(w, f->expiry_s);
    }
    if (f->topic_alias != 0) {
        writer_u8(w, PROPERTY_TOPIC_ALIAS);
        writer_u16(w, f->topic_alias);
    }
    for (uint32_t i = 0; i < f->subscription_id_count; i++) {
        writer_u8(w, PROPERTY_SUBSCRIPTION_IDENTIFIER);
        writer_varint(w, f->subscription_ids[i]);
    }
    writer_put(w, f->properties);
}

void
forward_write(uint8_t *out, uint32_t size, const struct forward *f, uint8_t version)
{
    struct writer w = writer_of(out, size);
    uint32_t properties_size = version == MQTT_VERSION_5 ? block_size(f) : 0;

    writer_u8(&w, (uint8_t)(PACKET_PUBLISH << 4 | (f->dup ? 8 : 0) | f->qos << 1 | (f->retain ? 1 : 0)));
    writer_varint(&w, body_size(f, version, properties_size));
    writer_binary(&w, f->omit_topic ? bytes_of(NULL, 0) : f->topic);
    if (f->qos > 0) {
        writer_u16(&w, f->packet_id);
    }
    if (version == MQTT_VERSION_5) {
        write_properties(&w, f, properties_size);
    }
    writer_put(&w, f->payload);
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
