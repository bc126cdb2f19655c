#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "codec/encode.h"
#include "test/codec/identity.h"
#include "test/codec/samples.h"

static uint8_t out[1u << 18];

static struct packet
decoded(uint8_t version, enum packet_sender sender, const char *text)
{
    struct packet packet;
    assert_int_equal(answer(version, sender, text, &packet), REASON_SUCCESS);
    return packet;
}

static void
assert_wire(uint32_t size, const char *text)
{
    assert_true(bytes_equal(bytes_of(out, size), wire(text)));
}

/* Encodes what `text` decodes to; the properties still point into wire()'s buffer, so there is one text at a time. */
static void
assert_becomes(uint8_t version, enum packet_sender sender, const char *text, const char *expected)
{
    struct packet packet = decoded(version, sender, text);
    assert_wire(encode_packet(out, sizeof out, version, &packet), expected);
}

CLAIM(every_valid_packet_round_trips)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        assert_becomes(samples[i].version, samples[i].sender, samples[i].text, samples[i].text);
    }
}

CLAIM(packet_fits_exactly_its_size_and_not_one_byte_less)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        struct packet packet = decoded(samples[i].version, samples[i].sender, samples[i].text);
        uint32_t size = encode_packet(out, sizeof out, samples[i].version, &packet);
        assert_true(size > 0);
        for (uint32_t room = 0; room < size; room++) {
            memset(out, 0xaa, 512);
            assert_int_equal(encode_packet(out, room, samples[i].version, &packet), 0);
            assert_int_equal(out[room], 0xaa);
        }
        assert_int_equal(encode_packet(out, size, samples[i].version, &packet), size);
    }
}

CLAIM(whatever_mutation_is_accepted_keeps_its_identity)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        struct bytes packet = wire(samples[i].text);
        uint8_t *bytes = guarded_end() - packet.size;
        for (uint32_t at = 0; at < packet.size; at++) {
            uint8_t original = bytes[at];
            for (int value = 0; value < 256; value++) {
                struct frame frame;
                struct packet mutant;
                bytes[at] = (uint8_t)value;
                if (frame_read(packet, UINT32_MAX, &frame) == FRAME_DONE &&
                    decode_packet(&frame, samples[i].version, samples[i].sender, &mutant) == REASON_SUCCESS) {
                    identity_check(&mutant, samples[i].version, samples[i].sender, out, 512);
                }
            }
            bytes[at] = original;
        }
    }
}

/* MQTT5 [MQTT-3.3.2-18]: the order of User Properties stays. */
CLAIM(properties_are_written_in_ascending_order_then_those_that_repeat)
{
    assert_becomes(5, SERVER, "30 [ <t> [ 26 <b> <2> 23 0001 26 <a> <1> 0b 02 01 01 0b 01 ] 'p' ]",
                   "30 [ <t> [ 01 01 23 0001 26 <b> <2> 26 <a> <1> 0b 02 0b 01 ] 'p' ]");
}

CLAIM(what_says_nothing_is_left_out)
{
    assert_becomes(5, CLIENT, "40 [ 0001 00 [] ]", "40 [ 0001 ]");
    assert_becomes(5, CLIENT, "40 [ 0001 10 [] ]", "40 [ 0001 10 ]");
    assert_becomes(5, CLIENT, "e0 [ 00 [] ]", "e0 []");
    assert_becomes(5, CLIENT, "e0 [ 04 [] ]", "e0 [ 04 ]");
}

/* MQTT5 table 2-4: a will's properties may be handed to its PUBLISH as they are. */
CLAIM(property_that_may_not_stand_in_the_packet_is_left_out)
{
    struct publish p = {.topic = bytes_of("t", 1)};
    properties_mark(&p.properties, PROPERTY_WILL_DELAY_INTERVAL);
    p.properties.will_delay_s = 5;
    properties_mark(&p.properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    p.properties.message_expiry_s = 7;
    assert_wire(encode_publish(out, sizeof out, 5, &p), "30 [ <t> [ 02 00000007 ] ]");
}

CLAIM(versions_before_5_leave_out_properties_and_reasons)
{
    struct ack ack = {.packet_id = 1, .reason = REASON_QUOTA_EXCEEDED};
    properties_mark(&ack.properties, PROPERTY_REASON_STRING);
    ack.properties.reason_string = bytes_of("why", 3);
    assert_wire(encode_ack(out, sizeof out, 4, PACKET_PUBREC, &ack), "50 [ 0001 ]");
    assert_wire(encode_ack(out, sizeof out, 5, PACKET_PUBREC, &ack), "50 [ 0001 97 [ 1f <why> ] ]");
    struct disconnect d = {.reason = REASON_SERVER_SHUTTING_DOWN};
    assert_wire(encode_disconnect(out, sizeof out, 4, PACKET_DISCONNECT, &d), "e0 []");
    assert_int_equal(encode_disconnect(out, sizeof out, 4, PACKET_AUTH, &d), 0);
}

/* MQTT3 3.2.2.3; MQTT 3.1 has no Session Present. */
CLAIM(connack_speaks_the_codes_of_its_version)
{
    struct connack c = {.reason = REASON_BAD_USER_NAME_OR_PASSWORD};
    assert_wire(encode_connack(out, sizeof out, 5, &c), "20 [ 00 86 [] ]");
    assert_wire(encode_connack(out, sizeof out, 4, &c), "20 [ 00 04 ]");
    c = (struct connack){.session_present = true};
    assert_wire(encode_connack(out, sizeof out, 4, &c), "20 [ 01 00 ]");
    assert_wire(encode_connack(out, sizeof out, 3, &c), "20 [ 00 00 ]");
}

/* MQTT3 [MQTT-3.9.3-2] */
CLAIM(suback_failures_become_0x80_in_the_older_versions)
{
    static const uint8_t codes[] = {0x00, 0x02, 0x87, 0x8f, 0x80};
    struct suback s = {.packet_id = 1, .codes = bytes_of(codes, sizeof codes)};
    assert_wire(encode_suback(out, sizeof out, 4, PACKET_SUBACK, &s), "90 [ 0001 0002808080 ]");
    assert_wire(encode_suback(out, sizeof out, 5, PACKET_SUBACK, &s), "90 [ 0001 [] 0002878f80 ]");
    assert_wire(encode_suback(out, sizeof out, 4, PACKET_UNSUBACK, &s), "b0 [ 0001 ]");
}

CLAIM(subscription_options_shrink_to_the_qos_in_the_older_versions)
{
    uint8_t entries[32];
    struct subscription_options o = {.qos = 1, .no_local = true, .retain_as_published = true, .retain_handling = 2};
    uint32_t size = encode_subscribe_entry(entries, sizeof entries, bytes_of("a/#", 3), o);
    struct subscribe s = {.packet_id = 1, .count = 1, .entries = bytes_of(entries, size)};
    assert_wire(encode_subscribe(out, sizeof out, 5, &s), "82 [ 0001 [] <a/#> 2d ]");
    assert_wire(encode_subscribe(out, sizeof out, 4, &s), "82 [ 0001 <a/#> 01 ]");
}

/* MQTT5 [MQTT-3.3.1-2] */
CLAIM(publish_of_qos_0_has_neither_dup_nor_packet_identifier)
{
    struct publish p = {.topic = bytes_of("t", 1), .dup = true, .packet_id = 7};
    assert_wire(encode_publish(out, sizeof out, 4, &p), "30 [ <t> ]");
}

/* MQTT3 [MQTT-3.1.2-22] */
CLAIM(connect_that_a_version_cannot_say_is_refused)
{
    struct connect c = {.version = 4, .has_password = true, .password = bytes_of("p", 1), .client_id = bytes_of("c", 1)};
    assert_int_equal(encode_connect(out, sizeof out, &c), 0);
    c.version = 5;
    assert_wire(encode_connect(out, sizeof out, &c), "10 [ <MQTT> 05 40 0000 [] <c> <p> ]");
    c.version = 6;
    assert_int_equal(encode_connect(out, sizeof out, &c), 0);
}

CLAIM(string_over_65535_bytes_cannot_be_expressed)
{
    static uint8_t text[65536];
    memset(text, 'x', sizeof text);
    struct publish p = {.topic = bytes_of(text, sizeof text)};
    assert_int_equal(encode_publish(out, sizeof out, 4, &p), 0);
    p.topic.size--;
    assert_int_equal(encode_publish(out, sizeof out, 4, &p), 1 + 3 + 2 + 65535);
    properties_mark(&p.properties, PROPERTY_CONTENT_TYPE);
    p.properties.content_type = bytes_of(text, sizeof text);
    assert_int_equal(encode_publish(out, sizeof out, 5, &p), 0);
    assert_int_equal(encode_user_property(out, sizeof out, bytes_of(text, sizeof text), bytes_of("v", 1)), 0);
    assert_int_equal(encode_unsubscribe_entry(out, sizeof out, bytes_of(text, sizeof text)), 0);
}

CLAIM(packet_over_268435455_bytes_cannot_be_expressed)
{
    struct publish p = {.topic = bytes_of("t", 1)};
    p.payload = bytes_of(out, BYTES_VARINT_MAX); /* never read */
    assert_int_equal(encode_publish(out, UINT32_MAX, 4, &p), 0);
    p.payload.size = UINT32_MAX;
    assert_int_equal(encode_publish(out, UINT32_MAX, 4, &p), 0);
}

CLAIM(subscription_identifier_over_the_maximum_cannot_be_expressed)
{
    uint8_t entries[8];
    struct subscribe s = {.packet_id = 1};
    s.entries = bytes_of(entries, encode_subscribe_entry(entries, sizeof entries, bytes_of("a", 1), (struct subscription_options){0}));
    properties_mark(&s.properties, PROPERTY_SUBSCRIPTION_IDENTIFIER);
    s.properties.subscription_id = BYTES_VARINT_MAX + 1;
    assert_int_equal(encode_subscribe(out, sizeof out, 5, &s), 0);
    s.properties.subscription_id = BYTES_VARINT_MAX;
    assert_wire(encode_subscribe(out, sizeof out, 5, &s), "82 [ 0001 [ 0b ffffff7f ] <a> 00 ]");
}

CLAIM(user_properties_made_by_hand_are_written)
{
    uint8_t raw[64];
    uint32_t size = encode_user_property(raw, sizeof raw, bytes_of("a", 1), bytes_of("1", 1));
    size += encode_user_property(raw + size, (uint32_t)sizeof raw - size, bytes_of("b", 1), bytes_of("", 0));
    struct connack c = {.properties.raw = bytes_of(raw, size)};
    assert_wire(encode_connack(out, sizeof out, 5, &c), "20 [ 00 00 [ 26 <a> <1> 26 <b> <> ] ]");
}

CLAIM(unknown_type_is_not_written)
{
    struct packet p = {.type = 0};
    assert_int_equal(encode_packet(out, sizeof out, 5, &p), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_valid_packet_round_trips),
        cmocka_unit_test(packet_fits_exactly_its_size_and_not_one_byte_less),
        cmocka_unit_test(whatever_mutation_is_accepted_keeps_its_identity),
        cmocka_unit_test(properties_are_written_in_ascending_order_then_those_that_repeat),
        cmocka_unit_test(what_says_nothing_is_left_out),
        cmocka_unit_test(property_that_may_not_stand_in_the_packet_is_left_out),
        cmocka_unit_test(versions_before_5_leave_out_properties_and_reasons),
        cmocka_unit_test(connack_speaks_the_codes_of_its_version),
        cmocka_unit_test(suback_failures_become_0x80_in_the_older_versions),
        cmocka_unit_test(subscription_options_shrink_to_the_qos_in_the_older_versions),
        cmocka_unit_test(publish_of_qos_0_has_neither_dup_nor_packet_identifier),
        cmocka_unit_test(connect_that_a_version_cannot_say_is_refused),
        cmocka_unit_test(string_over_65535_bytes_cannot_be_expressed),
        cmocka_unit_test(packet_over_268435455_bytes_cannot_be_expressed),
        cmocka_unit_test(subscription_identifier_over_the_maximum_cannot_be_expressed),
        cmocka_unit_test(user_properties_made_by_hand_are_written),
        cmocka_unit_test(unknown_type_is_not_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
