#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "codec/forward.h"
#include "test/codec/samples.h"

#include <stdio.h>
#include <stdlib.h>

static const uint8_t versions[] = {3, 4, 5};

/* A property block of exactly `size` bytes: user properties with an empty name. */
static struct bytes
block_of(uint32_t size)
{
    static uint8_t block[1u << 18];
    assert_true(size == 0 || (size >= 5 && size <= sizeof block));
    struct writer w = writer_of(block, size);
    while (w.at < w.end) {
        uint32_t left = (uint32_t)(w.end - w.at);
        uint32_t value = left - 5 > 60000 ? 60000 : left - 5;
        writer_u8(&w, PROPERTY_USER_PROPERTY);
        writer_u16(&w, 0);
        writer_u16(&w, (uint16_t)value);
        memset(w.at, 'v', value);
        w.at += value;
    }
    assert_false(w.failed);
    return bytes_of(block, size);
}

/* The packet, against the unreadable page, which is unwritable too. */
static struct bytes
written(const struct forward *f, uint8_t version)
{
    uint32_t size = forward_size(f, version);
    assert_in_range(size, 1, GUARDED_SIZE_MAX - 1);
    uint8_t *out = guarded_end() - size;
    out[-1] = 0xaa;
    memset(out, 0x55, size);
    forward_write(out, size, f, version);
    assert_int_equal(out[-1], 0xaa);
    return bytes_of(out, size);
}

static struct publish
decoded(struct bytes packet, uint8_t version)
{
    struct frame frame;
    struct publish p = {0};
    assert_int_equal(frame_read(packet, UINT32_MAX, &frame), FRAME_DONE);
    assert_int_equal(frame.size, packet.size);
    assert_int_equal(frame.type, PACKET_PUBLISH);
    assert_int_equal(decode_publish(&frame, version, PACKET_FROM_SERVER, &p), REASON_SUCCESS);
    return p;
}

/* What the receiver of version 5 finds in the block: the three that are written anew, then the forwarded bytes untouched. */
static void
assert_properties(const struct forward *f, const struct publish *p)
{
    assert_int_equal(properties_has(&p->properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL), f->has_expiry);
    if (f->has_expiry) {
        assert_int_equal(p->properties.message_expiry_s, f->expiry_s);
    }
    assert_int_equal(properties_has(&p->properties, PROPERTY_TOPIC_ALIAS), f->topic_alias != 0);
    if (f->topic_alias != 0) {
        assert_int_equal(p->properties.topic_alias, f->topic_alias);
    }
    assert_int_equal(p->properties.subscription_id_count, f->subscription_id_count);

    struct bytes raw = p->properties.raw;
    uint32_t identifiers = 0;
    if (raw.size > 0) {
        struct reader block = reader_of(raw);
        struct property_item item;
        while (property_next(&block, &item)) {
            if (item.id == PROPERTY_SUBSCRIPTION_IDENTIFIER) {
                assert_int_equal(item.number, f->subscription_ids[identifiers]);
                identifiers++;
            }
        }
    }
    assert_int_equal(identifiers, f->subscription_id_count);
    assert_true(raw.size >= f->properties.size);
    assert_true(f->properties.size == 0 || memcmp(raw.data + raw.size - f->properties.size, f->properties.data, f->properties.size) == 0);
}

static void
assert_same_parts(const struct forward *f, uint8_t version)
{
    struct publish p = decoded(written(f, version), version);
    assert_true(bytes_equal(p.topic, f->omit_topic ? bytes_of("", 0) : f->topic));
    assert_true(bytes_equal(p.payload, f->payload));
    assert_int_equal(p.qos, f->qos);
    assert_int_equal(p.packet_id, f->qos > 0 ? f->packet_id : 0);
    assert_int_equal(p.dup, f->dup);
    assert_int_equal(p.retain, f->retain);
    if (version == MQTT_VERSION_5) {
        assert_properties(f, &p);
    } else {
        assert_int_equal(p.properties.present, 0);
        assert_int_equal(p.properties.raw.size, 0);
    }
}

static void
with_flags(struct forward *f, uint8_t version)
{
    for (unsigned flags = 0; flags < 12; flags++) {
        f->qos = (uint8_t)(flags % 3);
        f->retain = flags / 3 % 2;
        f->dup = f->qos > 0 && flags / 6; /* MQTT5 [MQTT-3.3.1-2] */
        f->packet_id = flags % 2 ? 1 : 65535;
        assert_same_parts(f, version);
    }
}

CLAIM(what_is_written_decodes_to_the_same_parts)
{
    static const uint32_t identifiers[] = {1, 127, 128, 16383, 16384, 2097151, 2097152, BYTES_VARINT_MAX};
    static const char *const payloads[] = {"", "p", "a payload of some length, longer than the rest"};
    static const uint32_t blocks[] = {0, 5, 40};
    for (unsigned i = 0; i < sizeof versions * 3 * 3 * 3 * 2 * 4; i++) {
        unsigned rest = i;
        uint8_t version = versions[rest % 3];
        const char *payload = payloads[(rest /= 3) % 3];
        struct forward f = {.topic = bytes_of("a/topic", 7), .payload = bytes_of(payload, (uint32_t)strlen(payload))};
        f.properties = block_of(blocks[(rest /= 3) % 3]);
        unsigned aliasing = (rest /= 3) % 3; /* none, said with the topic, instead of it */
        f.topic_alias = aliasing == 0 ? 0 : aliasing == 1 ? 1 : 65535;
        f.omit_topic = aliasing == 2 && version == MQTT_VERSION_5;
        f.has_expiry = (rest /= 3) % 2;
        f.expiry_s = rest % 3 ? UINT32_MAX : 0;
        static const uint32_t counts[] = {0, 1, 3, sizeof identifiers / sizeof identifiers[0]};
        f.subscription_id_count = counts[(rest /= 2) % 4];
        f.subscription_ids = f.subscription_id_count > 0 ? identifiers : NULL;
        with_flags(&f, version);
    }
}

/* MQTT5 3.3.2.3: these bytes are what a client sees; everything in the order of the code. */
CLAIM(packet_is_written_as_the_specification_lays_it_out)
{
    static const uint32_t identifiers[] = {1, 300};
    uint8_t block[] = {0x01, 0x01, 0x26, 0, 1, 'k', 0, 1, 'v'};
    struct forward f = {.topic = bytes_of("a/b", 3),
                        .properties = bytes_of(block, sizeof block),
                        .payload = bytes_of("hi", 2),
                        .subscription_ids = identifiers,
                        .subscription_id_count = 2,
                        .expiry_s = 60,
                        .has_expiry = true,
                        .packet_id = 0x0102,
                        .topic_alias = 7,
                        .qos = 1,
                        .dup = true,
                        .retain = true};
    uint8_t copy[256];
    struct bytes packet = written(&f, 5);
    memcpy(copy, packet.data, packet.size);
    assert_true(bytes_equal(bytes_of(copy, packet.size), wire("3b [ <a/b> 0102 [ 02 0000003c 23 0007 0b 01 0b ac02 01 01 26 <k> <v> ] 'hi' ]")));
    packet = written(&f, 4);
    memcpy(copy, packet.data, packet.size);
    assert_true(bytes_equal(bytes_of(copy, packet.size), wire("3b [ <a/b> 0102 'hi' ]")));
}

/* Body sizes on both sides of where the Remaining Length takes one byte more. */
CLAIM(size_is_exact_where_the_remaining_length_grows)
{
    static const struct {
        uint32_t body, head;
    } rows[] = {{127, 2}, {128, 3}, {16383, 3}, {16384, 4}, {2097151, 4}, {2097152, 5}, {BYTES_VARINT_MAX, 5}};
    static uint8_t payload[16384];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (unsigned v = 0; v < sizeof versions; v++) {
            uint32_t rest = 2 + 3 + 2 + (versions[v] == 5 ? 1 : 0);
            struct forward f = {.topic = bytes_of("a/b", 3), .qos = 1, .packet_id = 9};
            f.payload = bytes_of(payload, rows[i].body - rest); /* the large ones are never read */
            assert_int_equal(forward_size(&f, versions[v]), rows[i].head + rows[i].body);
            if (rows[i].body <= sizeof payload) {
                assert_same_parts(&f, versions[v]);
            }
        }
    }
}

CLAIM(size_is_exact_where_the_property_length_grows)
{
    static const struct {
        uint32_t block, length;
    } rows[] = {{0, 1}, {5, 1}, {127, 1}, {128, 2}, {16383, 2}, {16384, 3}, {200000, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct forward f = {.topic = bytes_of("a/b", 3), .payload = bytes_of("p", 1)};
        f.properties = block_of(rows[i].block);
        uint32_t body = 2 + 3 + rows[i].length + rows[i].block + 1;
        assert_int_equal(forward_size(&f, 5), 1 + varint_size(body) + body);
        assert_same_parts(&f, 5);
    }
}

CLAIM(written_properties_count_where_the_property_length_grows)
{
    static const uint32_t identifiers[] = {128};
    for (uint32_t block = 100; block <= 140; block++) {
        struct forward f = {.topic = bytes_of("a/b", 3), .properties = block_of(block), .has_expiry = true, .topic_alias = 1};
        f.subscription_ids = identifiers;
        f.subscription_id_count = 1;
        uint32_t all = block + 5 + 3 + 3;
        uint32_t body = 2 + 3 + (all < 128 ? 1 : 2) + all;
        assert_int_equal(forward_size(&f, 5), 1 + varint_size(body) + body);
        assert_same_parts(&f, 5);
    }
}

CLAIM(packet_over_268435455_bytes_cannot_be_expressed)
{
    uint8_t unread = 0;
    for (unsigned v = 0; v < sizeof versions; v++) {
        struct forward f = {.topic = bytes_of("a/b", 3), .payload = bytes_of(&unread, BYTES_VARINT_MAX - 4)};
        assert_int_equal(forward_size(&f, versions[v]), 0);
        f.payload.size = BYTES_VARINT_MAX + 1;
        assert_int_equal(forward_size(&f, versions[v]), 0);
        f.payload.size = UINT32_MAX; /* the sum wraps around */
        assert_int_equal(forward_size(&f, versions[v]), 0);
    }
}

CLAIM(older_versions_pay_nothing_for_properties)
{
    static const uint32_t identifiers[] = {1};
    struct forward f = {.topic = bytes_of("a/b", 3), .payload = bytes_of("p", 1)};
    uint32_t bare = forward_size(&f, 4);
    f.properties = block_of(1000);
    f.has_expiry = true;
    f.topic_alias = 1;
    f.subscription_ids = identifiers;
    f.subscription_id_count = 1;
    assert_int_equal(forward_size(&f, 3), bare);
    assert_int_equal(forward_size(&f, 4), bare);
    assert_same_parts(&f, 3);
    assert_same_parts(&f, 4);
}

/* ------------------------------------------------------------------------------------------------------------ forward_properties */

/* `text`: a PUBLISH of a version 5 server. Its forwardable properties are `expected`, a block without its length. */
static void
assert_forwarded(const char *text, const char *expected)
{
    struct packet packet;
    assert_int_equal(answer(5, SERVER, text, &packet), REASON_SUCCESS);
    const struct properties *p = &packet.publish.properties;
    uint8_t *out = malloc(p->raw.size + 1); /* a sanitizer sees what is written behind raw.size */
    uint32_t size = forward_properties(p, out);
    assert_true(size <= p->raw.size);
    assert_true(bytes_equal(bytes_of(out, size), wire(expected)));
    free(out);
}

/* MQTT5 [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20] */
CLAIM(forwardable_properties_keep_their_bytes_and_their_order)
{
    assert_forwarded("30 [ <t> [ 26 <b> <2> 09 0003 00ff00 01 01 26 <a> <1> 08 <reply> 03 <text> 26 <b> <2> ] ]",
                     "26 <b> <2> 09 0003 00ff00 01 01 26 <a> <1> 08 <reply> 03 <text> 26 <b> <2>");
}

CLAIM(properties_of_one_hop_are_dropped)
{
    assert_forwarded("30 [ <t> [ 02 0000003c ] ]", "");
    assert_forwarded("30 [ <t> [ 23 0001 ] ]", "");
    assert_forwarded("30 [ <t> [ 0b 01 0b ffffff7f ] ]", "");
    assert_forwarded("30 [ <t> [ 26 <a> <1> 02 0000003c 26 <b> <2> 23 0001 01 00 0b 05 26 <c> <3> ] ]", "26 <a> <1> 26 <b> <2> 01 00 26 <c> <3>");
}

/* MQTT5 3.1.3.2: what a will has that a PUBLISH has not. */
CLAIM(will_delay_is_dropped)
{
    struct packet packet;
    assert_int_equal(answer(5, CLIENT, "10 [ <MQTT> 05 06 0000 [] <c> [ 18 00000005 26 <a> <1> 02 00000007 03 <x> ] <w> <> ]", &packet),
                     REASON_SUCCESS);
    uint8_t out[64];
    assert_false(forward_all(&packet.connect.will.properties));
    uint32_t size = forward_properties(&packet.connect.will.properties, out);
    assert_true(bytes_equal(bytes_of(out, size), wire("26 <a> <1> 03 <x>")));
}

CLAIM(any_property_that_is_dropped_makes_the_block_not_forwardable_as_it_is)
{
    static const char *const texts[] = {"02 0000003c", "23 0001", "0b 01"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[64];
        struct packet packet;
        snprintf(text, sizeof text, "30 [ <t> [ 26 <a> <1> %s ] ]", texts[i]);
        assert_int_equal(answer(5, SERVER, text, &packet), REASON_SUCCESS);
        assert_false(forward_all(&packet.publish.properties));
    }
    struct packet will;
    assert_int_equal(answer(5, CLIENT, "10 [ <MQTT> 05 06 0000 [] <c> [ 18 00000005 ] <w> <> ]", &will), REASON_SUCCESS);
    assert_false(forward_all(&will.connect.will.properties));
    assert_int_equal(answer(5, CLIENT, "10 [ <MQTT> 05 06 0000 [] <c> [ 26 <a> <1> ] <w> <> ]", &will), REASON_SUCCESS);
    assert_true(forward_all(&will.connect.will.properties));
}

CLAIM(nothing_becomes_nothing)
{
    assert_forwarded("30 [ <t> [] 'payload' ]", "");
    struct properties none = {0};
    uint8_t out[1] = {0xaa};
    assert_true(forward_all(&none));
    assert_int_equal(forward_properties(&none, out), 0);
    assert_int_equal(out[0], 0xaa);
}

/* forward_all() and the forwarded block tell the same story, and forwarding twice changes nothing. */
static void
assert_consistent(const struct properties *p)
{
    uint8_t *out = malloc(p->raw.size + 1);
    out[p->raw.size] = 0xaa;
    uint32_t size = forward_properties(p, out);
    assert_int_equal(out[p->raw.size], 0xaa);
    assert_int_equal(forward_all(p), size == p->raw.size);

    struct properties again = {.raw = bytes_of(out, size)};
    uint8_t *twice = malloc(size + 1);
    assert_int_equal(forward_properties(&again, twice), size);
    assert_memory_equal(twice, out, size);
    free(twice);
    free(out);
}

static void
assert_consistent_packet(const struct packet *packet)
{
    if (packet->type == PACKET_PUBLISH) {
        assert_consistent(&packet->publish.properties);
    } else if (packet->type == PACKET_CONNECT && packet->connect.has_will) {
        assert_consistent(&packet->connect.will.properties);
    }
}

CLAIM(whatever_mutation_is_accepted_forwards_without_a_fault)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        struct bytes packet = wire(samples[i].text);
        uint8_t *bytes = guarded_end() - packet.size;
        for (uint32_t at = 0; samples[i].version == 5 && at < packet.size; at++) {
            uint8_t original = bytes[at];
            for (int value = 0; value < 256; value++) {
                struct frame frame;
                struct packet mutant = {0};
                bytes[at] = (uint8_t)value;
                if (frame_read(packet, UINT32_MAX, &frame) == FRAME_DONE && decode_packet(&frame, 5, samples[i].sender, &mutant) == REASON_SUCCESS) {
                    assert_consistent_packet(&mutant);
                }
            }
            bytes[at] = original;
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_decodes_to_the_same_parts),
        cmocka_unit_test(packet_is_written_as_the_specification_lays_it_out),
        cmocka_unit_test(size_is_exact_where_the_remaining_length_grows),
        cmocka_unit_test(size_is_exact_where_the_property_length_grows),
        cmocka_unit_test(written_properties_count_where_the_property_length_grows),
        cmocka_unit_test(packet_over_268435455_bytes_cannot_be_expressed),
        cmocka_unit_test(older_versions_pay_nothing_for_properties),
        cmocka_unit_test(forwardable_properties_keep_their_bytes_and_their_order),
        cmocka_unit_test(properties_of_one_hop_are_dropped),
        cmocka_unit_test(will_delay_is_dropped),
        cmocka_unit_test(any_property_that_is_dropped_makes_the_block_not_forwardable_as_it_is),
        cmocka_unit_test(nothing_becomes_nothing),
        cmocka_unit_test(whatever_mutation_is_accepted_forwards_without_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
