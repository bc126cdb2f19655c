#include "codec/encode.h"

#include <assert.h>

#include "codec/decode.h"
#include "codec/property.h"

/*
 * Every encoder works out the size of the body first, because it stands before the body, and writes once: nothing is
 * moved afterwards. Sizes are 64-bit so that absurd ones are seen, not wrapped.
 */

/* Fixed header for a body of `body_size` bytes, and a writer that ends exactly where the packet does. */
static struct writer
begin_packet(uint8_t *out, uint32_t room, uint8_t type, uint8_t flags, uint64_t body_size)
{
    struct writer w = writer_of(out, 0);
    w.failed = true;
    if (body_size > BYTES_VARINT_MAX) {
        return w;
    }
    uint64_t size = 1 + varint_size((uint32_t)body_size) + body_size;
    if (size > room) {
        return w;
    }
    w = writer_of(out, (uint32_t)size);
    writer_u8(&w, (uint8_t)(type << 4 | flags));
    writer_varint(&w, (uint32_t)body_size);
    return w;
}

static uint32_t
finish_packet(const struct writer *w, const uint8_t *out)
{
    if (w->failed) {
        return 0;
    }
    assert(w->at == w->end);
    return (uint32_t)(w->at - out);
}

static uint64_t
binary_size(struct bytes b)
{
    return UINT64_C(2) + b.size;
}

/* The property block of one packet, measured once. Versions before 5 have none. */
struct block {
    const struct properties *properties; /* NULL: not even a length is written */
    unsigned place;
    uint64_t size;
};

static struct block
block_of(const struct properties *p, uint8_t version, unsigned place)
{
    if (version != MQTT_VERSION_5) {
        return (struct block){NULL, place, 0};
    }
    return (struct block){p, place, properties_size(p, place)};
}

/* With its length; a block over 268 435 455 bytes makes the body too large, whatever this says. */
static uint64_t
block_size(const struct block *b)
{
    if (b->properties == NULL) {
        return 0;
    }
    return b->size + (b->size > BYTES_VARINT_MAX ? 4 : varint_size((uint32_t)b->size));
}

static void
write_block(struct writer *w, const struct block *b)
{
    if (b->properties != NULL && !w->failed) {
        properties_write(w, b->properties, b->place, (uint32_t)b->size);
    }
}

static bool
is_version(uint8_t version)
{
    return version == MQTT_VERSION_31 || version == MQTT_VERSION_311 || version == MQTT_VERSION_5;
}

/* ------------------------------------------------------------------------------------------------------- CONNECT */

static uint8_t
connect_flags(const struct connect *c)
{
    uint8_t flags = (uint8_t)(c->clean_start << 1 | c->has_will << 2 | c->has_password << 6 | c->has_user_name << 7);
    if (c->has_will) {
        flags |= (uint8_t)(c->will.qos << 3 | c->will.retain << 5);
    }
    return flags;
}

uint32_t
encode_connect(uint8_t *out, uint32_t room, const struct connect *c)
{
    bool password_alone = c->has_password && !c->has_user_name;
    if (!is_version(c->version) || (c->has_will && c->will.qos > 2) ||
        (password_alone && c->version != MQTT_VERSION_5)) {
        return 0; /* MQTT3 [MQTT-3.1.2-22] */
    }

    const struct bytes name = c->version == MQTT_VERSION_31 ? bytes_of("MQIsdp", 6) : bytes_of("MQTT", 4);
    struct block properties = block_of(&c->properties, c->version, PACKET_CONNECT);
    struct block will = {0};
    uint64_t size = binary_size(name) + 1 + 1 + 2 + block_size(&properties) + binary_size(c->client_id);
    if (c->has_will) {
        will = block_of(&c->will.properties, c->version, PROPERTY_PLACE_WILL);
        size += block_size(&will) + binary_size(c->will.topic) + binary_size(c->will.payload);
    }
    size += c->has_user_name ? binary_size(c->user_name) : 0;
    size += c->has_password ? binary_size(c->password) : 0;

    struct writer w = begin_packet(out, room, PACKET_CONNECT, 0, size);
    bool bridge = c->bridge && c->version != MQTT_VERSION_5;
    writer_binary(&w, name);
    writer_u8(&w, (uint8_t)(c->version | bridge << 7));
    writer_u8(&w, connect_flags(c));
    writer_u16(&w, c->keep_alive_s);
    write_block(&w, &properties);
    writer_binary(&w, c->client_id);
    if (c->has_will) {
        write_block(&w, &will);
        writer_binary(&w, c->will.topic);
        writer_binary(&w, c->will.payload);
    }
    if (c->has_user_name) {
        writer_binary(&w, c->user_name);
    }
    if (c->has_password) {
        writer_binary(&w, c->password);
    }
    return finish_packet(&w, out);
}

uint32_t
encode_connack(uint8_t *out, uint32_t room, uint8_t version, const struct connack *c)
{
    struct block properties = block_of(&c->properties, version, PACKET_CONNACK);
    struct writer w = begin_packet(out, room, PACKET_CONNACK, 0, 2 + block_size(&properties));
    writer_u8(&w, c->session_present && version != MQTT_VERSION_31);
    writer_u8(&w, version == MQTT_VERSION_5 ? c->reason : reason_to_return_code(c->reason));
    write_block(&w, &properties);
    return finish_packet(&w, out);
}

/* -------------------------------------------------------------------------------------------- PUBLISH and its acks */

uint32_t
encode_publish(uint8_t *out, uint32_t room, uint8_t version, const struct publish *p)
{
    assert(p->qos <= 2);

    struct block properties = block_of(&p->properties, version, PACKET_PUBLISH);
    uint64_t size = binary_size(p->topic) + (p->qos > 0 ? 2 : 0) + block_size(&properties) + p->payload.size;
    bool dup = p->dup && p->qos > 0; /* MQTT5 [MQTT-3.3.1-2] */
    struct writer w = begin_packet(out, room, PACKET_PUBLISH, (uint8_t)(dup << 3 | p->qos << 1 | p->retain), size);
    writer_binary(&w, p->topic);
    if (p->qos > 0) {
        writer_u16(&w, p->packet_id);
    }
    write_block(&w, &properties);
    writer_put(&w, p->payload);
    return finish_packet(&w, out);
}

/* The low four bits of the first byte, for all but PUBLISH. MQTT5 2.1.3. */
static uint8_t
fixed_flags(uint8_t type)
{
    return type == PACKET_PUBREL || type == PACKET_SUBSCRIBE || type == PACKET_UNSUBSCRIBE ? 0x02 : 0;
}

uint32_t
encode_ack(uint8_t *out, uint32_t room, uint8_t version, uint8_t type, const struct ack *a)
{
    assert(type >= PACKET_PUBACK && type <= PACKET_PUBCOMP);

    /* What says nothing is left out, from the end on. MQTT5 3.4.2.1, 3.4.2.2.1. */
    struct block properties = block_of(&a->properties, version, type);
    bool with_properties = properties.size > 0;
    bool with_reason = version == MQTT_VERSION_5 && (with_properties || a->reason != REASON_SUCCESS);
    uint64_t size = 2 + with_reason + (with_properties ? block_size(&properties) : 0);

    struct writer w = begin_packet(out, room, type, fixed_flags(type), size);
    writer_u16(&w, a->packet_id);
    if (with_reason) {
        writer_u8(&w, a->reason);
    }
    if (with_properties) {
        write_block(&w, &properties);
    }
    return finish_packet(&w, out);
}

/* -------------------------------------------------------------------------------------- SUBSCRIBE and its relatives */

/* Entries with Subscription Options of version 5 for a version that has only the QoS. */
static void
write_entries_with_qos_only(struct writer *w, struct bytes entries)
{
    struct bytes filter;
    struct subscription_options options;
    while (subscribe_next(&entries, &filter, &options)) {
        writer_binary(w, filter);
        writer_u8(w, options.qos);
    }
}

uint32_t
encode_subscribe(uint8_t *out, uint32_t room, uint8_t version, const struct subscribe *s)
{
    struct block properties = block_of(&s->properties, version, PACKET_SUBSCRIBE);
    uint64_t size = 2 + block_size(&properties) + s->entries.size;
    struct writer w = begin_packet(out, room, PACKET_SUBSCRIBE, fixed_flags(PACKET_SUBSCRIBE), size);
    writer_u16(&w, s->packet_id);
    write_block(&w, &properties);
    if (version == MQTT_VERSION_5) {
        writer_put(&w, s->entries);
    } else {
        write_entries_with_qos_only(&w, s->entries);
    }
    return finish_packet(&w, out);
}

uint32_t
encode_unsubscribe(uint8_t *out, uint32_t room, uint8_t version, const struct unsubscribe *u)
{
    struct block properties = block_of(&u->properties, version, PACKET_UNSUBSCRIBE);
    uint64_t size = 2 + block_size(&properties) + u->entries.size;
    struct writer w = begin_packet(out, room, PACKET_UNSUBSCRIBE, fixed_flags(PACKET_UNSUBSCRIBE), size);
    writer_u16(&w, u->packet_id);
    write_block(&w, &properties);
    writer_put(&w, u->entries);
    return finish_packet(&w, out);
}

/* Both entries end where they end, so the writer is given the room itself. */
static uint32_t
written(const struct writer *w, const uint8_t *out)
{
    return w->failed ? 0 : (uint32_t)(w->at - out);
}

uint32_t
encode_subscribe_entry(uint8_t *out, uint32_t room, struct bytes filter, struct subscription_options options)
{
    struct writer w = writer_of(out, room);
    writer_binary(&w, filter);
    writer_u8(&w, (uint8_t)(options.qos | options.no_local << 2 | options.retain_as_published << 3 |
                            options.retain_handling << 4));
    return written(&w, out);
}

uint32_t
encode_unsubscribe_entry(uint8_t *out, uint32_t room, struct bytes filter)
{
    struct writer w = writer_of(out, room);
    writer_binary(&w, filter);
    return written(&w, out);
}

/* Granted QoS stays; any failure becomes the one that the older versions know. MQTT3 [MQTT-3.9.3-2]. */
static void
write_return_codes(struct writer *w, struct bytes codes)
{
    for (uint32_t i = 0; i < codes.size; i++) {
        writer_u8(w, codes.data[i] < REASON_UNSPECIFIED_ERROR ? codes.data[i] : REASON_UNSPECIFIED_ERROR);
    }
}

uint32_t
encode_suback(uint8_t *out, uint32_t room, uint8_t version, uint8_t type, const struct suback *s)
{
    assert(type == PACKET_SUBACK || type == PACKET_UNSUBACK);

    bool with_codes = type == PACKET_SUBACK || version == MQTT_VERSION_5;
    struct block properties = block_of(&s->properties, version, type);
    uint64_t size = 2 + block_size(&properties) + (with_codes ? s->codes.size : 0);
    struct writer w = begin_packet(out, room, type, 0, size);
    writer_u16(&w, s->packet_id);
    write_block(&w, &properties);
    if (version == MQTT_VERSION_5) {
        writer_put(&w, s->codes);
    } else if (with_codes) {
        write_return_codes(&w, s->codes);
    }
    return finish_packet(&w, out);
}

/* ------------------------------------------------------------------------------------------------ DISCONNECT, AUTH */

uint32_t
encode_disconnect(uint8_t *out, uint32_t room, uint8_t version, uint8_t type, const struct disconnect *d)
{
    assert(type == PACKET_DISCONNECT || type == PACKET_AUTH);

    if (version != MQTT_VERSION_5) {
        return type == PACKET_AUTH ? 0 : encode_empty(out, room, PACKET_DISCONNECT);
    }
    struct block properties = block_of(&d->properties, version, type);
    bool with_reason = properties.size > 0 || d->reason != REASON_SUCCESS;
    /* DISCONNECT may leave out an empty block after the reason, AUTH may not: MQTT5 3.14.2.2.1, 3.15.2.2.1. */
    bool with_properties = properties.size > 0 || (with_reason && type == PACKET_AUTH);
    uint64_t size = (uint64_t)with_reason + (with_properties ? block_size(&properties) : 0);

    struct writer w = begin_packet(out, room, type, 0, size);
    if (with_reason) {
        writer_u8(&w, d->reason);
    }
    if (with_properties) {
        write_block(&w, &properties);
    }
    return finish_packet(&w, out);
}

uint32_t
encode_empty(uint8_t *out, uint32_t room, uint8_t type)
{
    struct writer w = begin_packet(out, room, type, 0, 0);
    return finish_packet(&w, out);
}

uint32_t
encode_packet(uint8_t *out, uint32_t room, uint8_t version, const struct packet *p)
{
    switch (p->type) {
    case PACKET_CONNECT:
        return encode_connect(out, room, &p->connect);
    case PACKET_CONNACK:
        return encode_connack(out, room, version, &p->connack);
    case PACKET_PUBLISH:
        return encode_publish(out, room, version, &p->publish);
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        return encode_ack(out, room, version, p->type, &p->ack);
    case PACKET_SUBSCRIBE:
        return encode_subscribe(out, room, version, &p->subscribe);
    case PACKET_UNSUBSCRIBE:
        return encode_unsubscribe(out, room, version, &p->unsubscribe);
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        return encode_suback(out, room, version, p->type, &p->suback);
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        return encode_empty(out, room, p->type);
    case PACKET_DISCONNECT:
    case PACKET_AUTH:
        return encode_disconnect(out, room, version, p->type, &p->disconnect);
    default:
        return 0;
    }
}

uint32_t
encode_user_property(uint8_t *out, uint32_t room, struct bytes name, struct bytes value)
{
    struct writer w = writer_of(out, room);
    writer_u8(&w, PROPERTY_USER_PROPERTY);
    writer_binary(&w, name);
    writer_binary(&w, value);
    return written(&w, out);
}
