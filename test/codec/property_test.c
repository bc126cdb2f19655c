#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "codec/encode.h"
#include "test/codec/wire.h"

/* Where a property block can stand; %s takes the properties. */
static const struct place {
    char letter;
    enum packet_sender sender;
    const char *text;
} places[] = {
    {'C', CLIENT, "10 [ <MQTT> 05 02 003c [ %s ] <c> ]"},
    {'W', CLIENT, "10 [ <MQTT> 05 06 003c [] <c> [ %s ] <t> <p> ]"},
    {'A', SERVER, "20 [ 00 00 [ %s ] ]"},
    {'P', CLIENT, "30 [ <t> [ %s ] 'p' ]"},
    {'P', SERVER, "30 [ <t> [ %s ] 'p' ]"},
    {'4', CLIENT, "40 [ 0001 00 [ %s ] ]"},
    {'4', SERVER, "40 [ 0001 00 [ %s ] ]"},
    {'5', CLIENT, "50 [ 0001 00 [ %s ] ]"},
    {'5', SERVER, "50 [ 0001 00 [ %s ] ]"},
    {'6', CLIENT, "62 [ 0001 00 [ %s ] ]"},
    {'6', SERVER, "62 [ 0001 00 [ %s ] ]"},
    {'7', CLIENT, "70 [ 0001 00 [ %s ] ]"},
    {'7', SERVER, "70 [ 0001 00 [ %s ] ]"},
    {'S', CLIENT, "82 [ 0001 [ %s ] <t> 00 ]"},
    {'s', SERVER, "90 [ 0001 [ %s ] 00 ]"},
    {'U', CLIENT, "a2 [ 0001 [ %s ] <t> ]"},
    {'u', SERVER, "b0 [ 0001 [ %s ] 00 ]"},
    {'D', CLIENT, "e0 [ 80 [ %s ] ]"},
    {'D', SERVER, "e0 [ 80 [ %s ] ]"},
    {'H', CLIENT, "f0 [ 18 [ 15 <m> %s ] ]"},
    {'H', SERVER, "f0 [ 18 [ 15 <m> %s ] ]"},
};

#define PLACES_COUNT (sizeof places / sizeof places[0])

/* MQTT5 table 2-4, read by sender. */
static const struct known {
    uint8_t id;
    const char *text;
    const char *from_client, *from_server;
} properties[] = {
    {0x01, "01 01", "WP", "P"},
    {0x02, "02 0000003c", "WP", "P"},
    {0x03, "03 <text>", "WP", "P"},
    {0x08, "08 <reply>", "WP", "P"},
    {0x09, "09 <data>", "WP", "P"},
    {0x0b, "0b 01", "S", "P"},
    {0x11, "11 0000003c", "CD", "A"},
    {0x12, "12 <id>", "", "A"},
    {0x13, "13 003c", "", "A"},
    {0x15, "15 <method>", "CH", "AH"},
    {0x16, "16 <data>", "CH", "AH"},
    {0x17, "17 01", "C", ""},
    {0x18, "18 0000003c", "W", ""},
    {0x19, "19 01", "C", ""},
    {0x1a, "1a <info>", "", "A"},
    {0x1c, "1c <other>", "", "AD"},
    {0x1f, "1f <reason>", "4567DH", "A4567suDH"},
    {0x21, "21 0014", "C", "A"},
    {0x22, "22 0014", "C", "A"},
    {0x23, "23 0014", "P", "P"},
    {0x24, "24 01", "", "A"},
    {0x25, "25 01", "", "A"},
    {0x26, "26 <n> <v>", "CWP4567SUDH", "AP4567suDH"},
    {0x27, "27 00001000", "C", "A"},
    {0x28, "28 01", "", "A"},
    {0x29, "29 01", "", "A"},
    {0x2a, "2a 01", "", "A"},
};

#define PROPERTIES_COUNT (sizeof properties / sizeof properties[0])

static uint8_t
answer_in(const struct place *place, const char *property_text)
{
    char text[512];
    struct packet out;
    snprintf(text, sizeof text, place->text, property_text);
    return answer(5, place->sender, text, &out);
}

static bool
is_allowed(const struct known *p, const struct place *place)
{
    return strchr(place->sender == CLIENT ? p->from_client : p->from_server, place->letter) != NULL;
}

/* The property once, with what else it needs in this place to be right. */
static void
spell(const struct known *p, const struct place *place, char *out, size_t room)
{
    bool lonely_data = p->id == 0x16 && place->letter != 'H';
    snprintf(out, room, "%s%s", lonely_data ? "15 <m> " : "", p->text);
}

/* MQTT5 2.2.2.2, table 2-4; [MQTT-3.3.4-6], [MQTT-3.14.2-2]. */
CLAIM(property_is_accepted_in_its_packets_and_a_protocol_error_in_all_others)
{
    for (size_t i = 0; i < PROPERTIES_COUNT; i++) {
        for (size_t j = 0; j < PLACES_COUNT; j++) {
            char text[256];
            if (properties[i].id == 0x15 && places[j].letter == 'H') {
                continue; /* its text has the one method already */
            }
            spell(&properties[i], &places[j], text, sizeof text);
            uint8_t expected = is_allowed(&properties[i], &places[j]) ? REASON_SUCCESS : REASON_PROTOCOL_ERROR;
            assert_int_equal(answer_in(&places[j], text), expected);
        }
    }
}

/* "It is a Protocol Error to include ... more than once", of each property in MQTT5 3.1.2.11 to 3.15.2.2. */
CLAIM(property_twice_is_a_protocol_error_unless_it_may_repeat)
{
    for (size_t i = 0; i < PROPERTIES_COUNT; i++) {
        for (size_t j = 0; j < PLACES_COUNT; j++) {
            if (!is_allowed(&properties[i], &places[j])) {
                continue;
            }
            char once[128], twice[256];
            spell(&properties[i], &places[j], once, sizeof once);
            snprintf(twice, sizeof twice, "%s %s", once, properties[i].text);
            bool repeats = properties[i].id == 0x26 || (properties[i].id == 0x0b && places[j].letter == 'P');
            assert_int_equal(answer_in(&places[j], twice), repeats ? REASON_SUCCESS : REASON_PROTOCOL_ERROR);
        }
    }
}

/* MQTT5 2.2.2.2: an identifier that is not defined is malformed. */
CLAIM(unknown_identifier_is_malformed_everywhere)
{
    for (size_t j = 0; j < PLACES_COUNT; j++) {
        for (int id = 0; id < 256; id++) {
            bool known = false;
            for (size_t i = 0; i < PROPERTIES_COUNT; i++) {
                known |= properties[i].id == id;
            }
            if (!known) {
                char text[32];
                snprintf(text, sizeof text, "%02x 00000000", id);
                assert_int_equal(answer_in(&places[j], text), REASON_MALFORMED_PACKET);
            }
        }
    }
}

CLAIM(identifier_in_two_bytes_is_malformed)
{
    /* 0x81 0x00: 'Payload Format Indicator' in a longer form. MQTT5 [MQTT-1.5.5-1]. */
    assert_int_equal(answer_in(&places[3], "8100 01"), REASON_MALFORMED_PACKET);
}

static const struct place *
place_of(char letter, enum packet_sender sender)
{
    for (size_t j = 0; j < PLACES_COUNT; j++) {
        if (places[j].letter == letter && places[j].sender == sender) {
            return &places[j];
        }
    }
    abort();
}

/* MQTT5 3.1.2.11.6, 3.1.2.11.7, 3.2.2.3.4, 3.2.2.3.5, 3.2.2.3.11 to 3.2.2.3.13, 3.3.2.3.2. */
CLAIM(flags_that_are_bytes_are_zero_or_one)
{
    static const struct {
        const char *id;
        char letter;
        enum packet_sender sender;
    } flags[] = {
        {"01", 'P', CLIENT}, {"01", 'W', CLIENT}, {"17", 'C', CLIENT}, {"19", 'C', CLIENT}, {"24", 'A', SERVER},
        {"25", 'A', SERVER}, {"28", 'A', SERVER}, {"29", 'A', SERVER}, {"2a", 'A', SERVER},
    };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        for (int value = 0; value < 256; value++) {
            char text[16];
            snprintf(text, sizeof text, "%s %02x", flags[i].id, value);
            uint8_t expected = value <= 1 ? REASON_SUCCESS : REASON_PROTOCOL_ERROR;
            assert_int_equal(answer_in(place_of(flags[i].letter, flags[i].sender), text), expected);
        }
    }
}

/* MQTT5 3.1.2.11.3 */
CLAIM(receive_maximum_zero_is_a_protocol_error)
{
    assert_int_equal(answer_in(place_of('C', CLIENT), "21 0000"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('A', SERVER), "21 0000"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('C', CLIENT), "21 0001"), REASON_SUCCESS);
}

/* MQTT5 3.1.2.11.4 */
CLAIM(maximum_packet_size_zero_is_a_protocol_error)
{
    assert_int_equal(answer_in(place_of('C', CLIENT), "27 00000000"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('A', SERVER), "27 00000000"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('C', CLIENT), "27 00000001"), REASON_SUCCESS);
}

/* MQTT5 [MQTT-3.3.2-8] */
CLAIM(topic_alias_zero_is_topic_alias_invalid)
{
    assert_int_equal(answer_in(place_of('P', CLIENT), "23 0000"), REASON_TOPIC_ALIAS_INVALID);
    assert_int_equal(answer_in(place_of('P', SERVER), "23 0000"), REASON_TOPIC_ALIAS_INVALID);
    assert_int_equal(answer_in(place_of('P', CLIENT), "23 ffff"), REASON_SUCCESS);
}

/* MQTT5 3.8.2.1.2, 3.3.2.3.8 */
CLAIM(subscription_identifier_is_1_to_268435455)
{
    assert_int_equal(answer_in(place_of('S', CLIENT), "0b 00"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('P', SERVER), "0b 00"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('S', CLIENT), "0b ffffff7f"), REASON_SUCCESS);
    assert_int_equal(answer_in(place_of('S', CLIENT), "0b 8080808001"), REASON_MALFORMED_PACKET);
    assert_int_equal(answer_in(place_of('S', CLIENT), "0b 8100"), REASON_MALFORMED_PACKET);
}

/* MQTT5 [MQTT-3.3.2-13] [MQTT-3.3.2-14] */
CLAIM(response_topic_is_a_topic_name)
{
    assert_int_equal(answer_in(place_of('P', CLIENT), "08 <a/b>"), REASON_SUCCESS);
    assert_int_equal(answer_in(place_of('P', CLIENT), "08 <a/+>"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('P', CLIENT), "08 <#>"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('P', CLIENT), "08 <>"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('W', CLIENT), "08 <a/+>"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('P', CLIENT), "08 0001 ff"), REASON_MALFORMED_PACKET);
}

/* MQTT5 [MQTT-1.5.7-1], [MQTT-3.3.2-19] */
CLAIM(text_that_is_not_utf8_is_malformed)
{
    assert_int_equal(answer_in(place_of('P', CLIENT), "03 0001 ff"), REASON_MALFORMED_PACKET);
    assert_int_equal(answer_in(place_of('P', CLIENT), "26 0001 ff 0000"), REASON_MALFORMED_PACKET);
    assert_int_equal(answer_in(place_of('P', CLIENT), "26 0000 0001 00"), REASON_MALFORMED_PACKET);
    assert_int_equal(answer_in(place_of('C', CLIENT), "15 0001 80"), REASON_MALFORMED_PACKET);
    assert_int_equal(answer_in(place_of('D', CLIENT), "1f 0002 c080"), REASON_MALFORMED_PACKET);
}

CLAIM(binary_properties_hold_any_bytes)
{
    assert_int_equal(answer_in(place_of('P', CLIENT), "09 0003 ff0000"), REASON_SUCCESS);
    assert_int_equal(answer_in(place_of('C', CLIENT), "15 <m> 16 0003 ff0000"), REASON_SUCCESS);
}

/* MQTT5 3.1.2.11.10: "a Protocol Error to include Authentication Data if there is no Authentication Method". */
CLAIM(authentication_data_needs_a_method)
{
    assert_int_equal(answer_in(place_of('C', CLIENT), "16 <data>"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('A', SERVER), "16 <data>"), REASON_PROTOCOL_ERROR);
    assert_int_equal(answer_in(place_of('C', CLIENT), "16 <data> 15 <m>"), REASON_SUCCESS);
}

/* MQTT5 [MQTT-2.2.2-1] */
CLAIM(property_length_is_always_there)
{
    struct packet out;
    assert_int_equal(answer(5, CLIENT, "30 [ <t> ]", &out), REASON_MALFORMED_PACKET);
    assert_int_equal(answer(5, CLIENT, "82 [ 0001 ]", &out), REASON_MALFORMED_PACKET);
    assert_int_equal(answer(5, SERVER, "20 [ 00 00 ]", &out), REASON_MALFORMED_PACKET);
    assert_int_equal(answer(5, SERVER, "90 [ 0001 ]", &out), REASON_MALFORMED_PACKET);
    assert_int_equal(answer(5, CLIENT, "10 [ <MQTT> 05 02 003c ]", &out), REASON_MALFORMED_PACKET);
}

CLAIM(property_length_stays_inside_the_packet)
{
    struct packet out;
    assert_int_equal(answer(5, CLIENT, "30 [ <t> 01 ]", &out), REASON_MALFORMED_PACKET);
    assert_int_equal(answer(5, CLIENT, "30 [ <t> ffffff7f 01 ]", &out), REASON_MALFORMED_PACKET);
    assert_int_equal(answer(5, CLIENT, "30 [ <t> 8080808001 ]", &out), REASON_MALFORMED_PACKET);
    assert_int_equal(answer(5, CLIENT, "30 [ <t> 8000 ]", &out), REASON_MALFORMED_PACKET);
}

CLAIM(value_stays_inside_the_block)
{
    /* The block ends in the middle; the payload behind it would complete the value. */
    struct packet out;
    assert_int_equal(answer(5, CLIENT, "30 [ <t> 02 02 00 00003c ]", &out), REASON_MALFORMED_PACKET);
    assert_int_equal(answer(5, CLIENT, "30 [ <t> 04 03 0004 'te' 'xt' ]", &out), REASON_MALFORMED_PACKET);
    assert_int_equal(answer(5, CLIENT, "30 [ <t> 04 26 <a> 00 01 'b' ]", &out), REASON_MALFORMED_PACKET);
    assert_int_equal(answer(5, CLIENT, "30 [ <t> 01 23 0001 ]", &out), REASON_MALFORMED_PACKET);
}

static uint32_t
publish_with(uint32_t user_properties, uint32_t subscription_ids, uint8_t *out, uint32_t room)
{
    static uint8_t raw[16 * (PACKET_PROPERTIES_MAX + 2)];
    struct writer w = writer_of(raw, sizeof raw);
    for (uint32_t i = 0; i < user_properties; i++) {
        w.at += encode_user_property(w.at, (uint32_t)(w.end - w.at), bytes_of("n", 1), bytes_of("v", 1));
    }
    for (uint32_t i = 0; i < subscription_ids; i++) {
        writer_u8(&w, PROPERTY_SUBSCRIPTION_IDENTIFIER);
        writer_varint(&w, 1 + i);
    }
    struct publish p = {.topic = bytes_of("t", 1)};
    p.properties.raw = bytes_of(raw, (uint32_t)(w.at - raw));
    return encode_publish(out, room, 5, &p);
}

static uint8_t
answer_to_publish_with(uint32_t user_properties, uint32_t subscription_ids)
{
    static uint8_t packet[16 * (PACKET_PROPERTIES_MAX + 3)];
    uint32_t size = publish_with(user_properties, subscription_ids, packet, sizeof packet);
    struct frame frame;
    struct publish p;
    assert_int_equal(frame_read(guarded(bytes_of(packet, size)), UINT32_MAX, &frame), FRAME_DONE);
    return decode_publish(&frame, 5, SERVER, &p);
}

/* CVE-2021-41039: user properties by the thousand. */
CLAIM(properties_that_repeat_have_a_limit_together)
{
    assert_int_equal(answer_to_publish_with(PACKET_PROPERTIES_MAX, 0), REASON_SUCCESS);
    assert_int_equal(answer_to_publish_with(PACKET_PROPERTIES_MAX - 1, 1), REASON_SUCCESS);
    assert_int_equal(answer_to_publish_with(PACKET_PROPERTIES_MAX + 1, 0), REASON_QUOTA_EXCEEDED);
    assert_int_equal(answer_to_publish_with(PACKET_PROPERTIES_MAX, 1), REASON_QUOTA_EXCEEDED);
}

/* MQTT5 [MQTT-3.3.2-18] */
CLAIM(walking_the_block_gives_every_property_in_order)
{
    struct packet out;
    assert_int_equal(answer(5, SERVER, "30 [ <t> [ 26 <b> <2> 01 01 0b 07 26 <a> <1> 03 <x> 02 00000009 ] ]", &out), 0);
    static const uint8_t ids[] = {0x26, 0x01, 0x0b, 0x26, 0x03, 0x02};
    static const uint32_t sizes[] = {7, 2, 2, 7, 4, 5};
    struct reader r = reader_of(out.publish.properties.raw);
    struct property_item item;
    for (size_t i = 0; i < sizeof ids; i++) {
        assert_true(property_next(&r, &item));
        assert_int_equal(item.id, ids[i]);
        assert_int_equal(item.whole.size, sizes[i]);
    }
    assert_int_equal(item.number, 9);
    assert_false(property_next(&r, &item));
    assert_false(r.failed);
}

CLAIM(item_of_a_user_property_has_its_pair)
{
    struct reader r = reader_of(wire("26 <name> <value>"));
    struct property_item item;
    assert_true(property_next(&r, &item));
    assert_true(bytes_equal(item.name, bytes_of("name", 4)));
    assert_true(bytes_equal(item.value, bytes_of("value", 5)));
    assert_int_equal(item.whole.size, 14);
}

CLAIM(fields_have_the_values_of_the_wire)
{
    struct packet out;
    assert_int_equal(answer(5, SERVER, "30 [ <t> [ 0b 8001 02 01020304 23 0506 08 <re> 26 <> <> 0b 01 ] 'p' ]", &out), 0);
    const struct properties *p = &out.publish.properties;
    assert_int_equal(p->subscription_id, 128);
    assert_int_equal(p->subscription_id_count, 2);
    assert_int_equal(p->user_count, 1);
    assert_int_equal(p->message_expiry_s, 0x01020304);
    assert_int_equal(p->topic_alias, 0x0506);
    assert_true(bytes_equal(p->response_topic, bytes_of("re", 2)));
    assert_int_equal(p->present, 1ull << 0x0b | 1ull << 0x02 | 1ull << 0x23 | 1ull << 0x08 | 1ull << 0x26);
    assert_false(properties_has(p, PROPERTY_CONTENT_TYPE));
}

CLAIM(versions_before_5_have_no_properties)
{
    struct packet out;
    memset(&out, 0xff, sizeof out);
    assert_int_equal(answer(4, CLIENT, "30 [ <t> 00 ]", &out), REASON_SUCCESS);
    assert_int_equal(out.publish.properties.present, 0);
    assert_int_equal(out.publish.properties.raw.size, 0);
    assert_int_equal(out.publish.payload.size, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(property_is_accepted_in_its_packets_and_a_protocol_error_in_all_others),
        cmocka_unit_test(property_twice_is_a_protocol_error_unless_it_may_repeat),
        cmocka_unit_test(unknown_identifier_is_malformed_everywhere),
        cmocka_unit_test(identifier_in_two_bytes_is_malformed),
        cmocka_unit_test(flags_that_are_bytes_are_zero_or_one),
        cmocka_unit_test(receive_maximum_zero_is_a_protocol_error),
        cmocka_unit_test(maximum_packet_size_zero_is_a_protocol_error),
        cmocka_unit_test(topic_alias_zero_is_topic_alias_invalid),
        cmocka_unit_test(subscription_identifier_is_1_to_268435455),
        cmocka_unit_test(response_topic_is_a_topic_name),
        cmocka_unit_test(text_that_is_not_utf8_is_malformed),
        cmocka_unit_test(binary_properties_hold_any_bytes),
        cmocka_unit_test(authentication_data_needs_a_method),
        cmocka_unit_test(property_length_is_always_there),
        cmocka_unit_test(property_length_stays_inside_the_packet),
        cmocka_unit_test(value_stays_inside_the_block),
        cmocka_unit_test(properties_that_repeat_have_a_limit_together),
        cmocka_unit_test(walking_the_block_gives_every_property_in_order),
        cmocka_unit_test(item_of_a_user_property_has_its_pair),
        cmocka_unit_test(fields_have_the_values_of_the_wire),
        cmocka_unit_test(versions_before_5_have_no_properties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
