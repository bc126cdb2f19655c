/*
 * stream: what decode_client and decode_server have in common. The first byte picks the version, the rest is what one
 * peer sends; every packet in it is decoded and everything that came out is walked over and touched.
 */
#ifndef TIDEWIRE_FUZZ_STREAM_H
#define TIDEWIRE_FUZZ_STREAM_H

#include <stdlib.h>

#include "codec/decode.h"
#include "codec/topic.h"

#define STREAM_PACKET_SIZE_MAX (1u << 20)

static inline void
stream_require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* Reads all of `b`, so that a pointer to the wrong place does not go unnoticed. */
static inline void
stream_touch(struct bytes b)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < b.size; i++) {
        sum ^= b.data[i];
    }
    __asm__ volatile("" : : "r"(sum)); /* keeps the loop */
}

static inline void
stream_walk_properties(const struct properties *p)
{
    struct reader block = p->raw.size > 0 ? reader_of(p->raw) : (struct reader){NULL, NULL, false};
    struct property_item item;
    uint32_t user_count = 0, subscription_id_count = 0;
    while (property_next(&block, &item)) {
        stream_require(properties_has(p, item.id));
        stream_touch(item.name);
        stream_touch(item.value);
        user_count += item.id == PROPERTY_USER_PROPERTY;
        subscription_id_count += item.id == PROPERTY_SUBSCRIPTION_IDENTIFIER;
    }
    stream_require(!block.failed && user_count == p->user_count && subscription_id_count == p->subscription_id_count);
}

static inline void
stream_walk_subscribe(const struct subscribe *s)
{
    struct bytes entries = s->entries, filter;
    struct subscription_options options;
    uint32_t count = 0;
    for (; subscribe_next(&entries, &filter, &options); count++) {
        struct topic_filter parsed;
        stream_require(filter.size > 0 && options.qos <= 2 && options.retain_handling <= 2);
        if (topic_filter_parse(filter, TOPIC_LEVELS_MAX, &parsed)) {
            stream_touch(parsed.group);
            stream_touch(parsed.filter);
        }
    }
    stream_require(count == s->count && entries.size == 0);
    stream_walk_properties(&s->properties);
}

static inline void
stream_walk_unsubscribe(const struct unsubscribe *u)
{
    struct bytes entries = u->entries, filter;
    uint32_t count = 0;
    for (; unsubscribe_next(&entries, &filter); count++) {
        stream_touch(filter);
    }
    stream_require(count == u->count && entries.size == 0);
    stream_walk_properties(&u->properties);
}

static inline void
stream_walk_connect(const struct connect *c)
{
    stream_touch(c->client_id);
    stream_touch(c->user_name);
    stream_touch(c->password);
    stream_walk_properties(&c->properties);
    if (c->has_will) {
        stream_require(topic_name_check(c->will.topic, TOPIC_LEVELS_MAX) && c->will.qos <= 2);
        stream_touch(c->will.payload);
        stream_walk_properties(&c->will.properties);
    }
}

static inline void
stream_walk_publish(const struct publish *p)
{
    stream_require(p->topic.size == 0 ? properties_has(&p->properties, PROPERTY_TOPIC_ALIAS)
                                      : topic_name_check(p->topic, TOPIC_LEVELS_MAX));
    stream_require(p->qos <= 2 && (p->packet_id != 0) == (p->qos > 0));
    stream_touch(p->payload);
    stream_walk_properties(&p->properties);
}

static inline void
stream_walk_packet(const struct packet *p)
{
    switch (p->type) {
    case PACKET_CONNECT:
        stream_walk_connect(&p->connect);
        break;
    case PACKET_CONNACK:
        stream_walk_properties(&p->connack.properties);
        break;
    case PACKET_PUBLISH:
        stream_walk_publish(&p->publish);
        break;
    case PACKET_SUBSCRIBE:
        stream_walk_subscribe(&p->subscribe);
        break;
    case PACKET_UNSUBSCRIBE:
        stream_walk_unsubscribe(&p->unsubscribe);
        break;
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        stream_touch(p->suback.codes);
        stream_walk_properties(&p->suback.properties);
        break;
    case PACKET_DISCONNECT:
    case PACKET_AUTH:
        stream_walk_properties(&p->disconnect.properties);
        break;
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
        break;
    default:
        stream_require(p->ack.packet_id != 0);
        stream_walk_properties(&p->ack.properties);
        break;
    }
}

static inline void
stream_decode(const uint8_t *data, size_t size, enum packet_sender sender)
{
    if (size == 0 || size > STREAM_PACKET_SIZE_MAX) {
        return;
    }
    uint8_t version = (uint8_t)(MQTT_VERSION_31 + data[0] % 3);
    struct bytes input = bytes_of(data + 1, (uint32_t)size - 1);

    struct frame frame;
    while (frame_read(input, STREAM_PACKET_SIZE_MAX, &frame) == FRAME_DONE) {
        static struct packet packet;
        if (decode_packet(&frame, version, sender, &packet) == REASON_SUCCESS) {
            stream_walk_packet(&packet);
        }
        /* A broker would close here after an error; going on finds more. */
        input = bytes_of(input.data + frame.size, input.size - frame.size);
    }
}

#endif
