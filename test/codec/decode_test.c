#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "codec/topic.h"
#include "test/codec/samples.h"

/* What version and sender are answered to `text`: 0 is accepted. */
static void
assert_answer(uint8_t version, enum packet_sender sender, const char *text, uint8_t expected)
{
    struct packet out;
    assert_int_equal(answer(version, sender, text, &out), expected);
}

/* The same in MQTT 3.1.1 and, `text5`, in 5.0, from a client. */
static void
assert_both(const char *text, const char *text5, uint8_t expected)
{
    assert_answer(4, CLIENT, text, expected);
    assert_answer(5, CLIENT, text5, expected);
}

static void
assert_text(struct bytes b, const char *text)
{
    assert_true(bytes_equal(b, bytes_of(text, (uint32_t)strlen(text))));
}

/* ------------------------------------------------------------------------------------------------ for all packets */

CLAIM(every_valid_packet_is_accepted)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        assert_answer(samples[i].version, samples[i].sender, samples[i].text, REASON_SUCCESS);
    }
}

CLAIM(every_proper_prefix_needs_more)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        uint8_t whole[512];
        struct bytes packet = wire(samples[i].text);
        memcpy(whole, packet.data, packet.size);
        for (uint32_t size = 0; size < packet.size; size++) {
            struct frame frame;
            assert_int_equal(frame_read(guarded(bytes_of(whole, size)), UINT32_MAX, &frame), FRAME_NEED_MORE);
            assert_int_equal(frame.size, size < 2 || (whole[1] >= 0x80 && size < 3) ? 0 : packet.size);
        }
    }
}

CLAIM(bytes_after_a_packet_are_left_alone)
{
    struct frame frame;
    assert_int_equal(frame_read(wire("c0 [] 10"), UINT32_MAX, &frame), FRAME_DONE);
    assert_int_equal(frame.size, 2);
    assert_int_equal(frame_read(wire("30 [ <a> 'xy' ] 00"), UINT32_MAX, &frame), FRAME_DONE);
    assert_int_equal(frame.size, 7);
    assert_int_equal(frame.body.size, 5);
}

/* Decodes whatever `input` holds, for every version and sender. */
static void
decode_all_ways(struct bytes input)
{
    struct frame frame;
    struct packet out;
    if (frame_read(input, UINT32_MAX, &frame) != FRAME_DONE) {
        return;
    }
    for (uint8_t version = 3; version <= 5; version++) {
        decode_packet(&frame, version, CLIENT, &out);
        decode_packet(&frame, version, SERVER, &out);
    }
}

CLAIM(every_single_byte_mutation_is_answered_without_a_fault)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        struct bytes packet = wire(samples[i].text);
        uint8_t *bytes = guarded_end() - packet.size;
        for (uint32_t at = 0; at < packet.size; at++) {
            uint8_t original = bytes[at];
            for (int value = 0; value < 256; value++) {
                bytes[at] = (uint8_t)value;
                decode_all_ways(packet);
            }
            bytes[at] = original;
        }
    }
}

/* PEERS.md, what broke other brokers: a packet cut before its last field. */
CLAIM(body_cut_anywhere_is_answered_without_a_fault)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        struct frame frame;
        struct packet out;
        uint8_t body[512];
        assert_int_equal(frame_read(wire(samples[i].text), UINT32_MAX, &frame), FRAME_DONE);
        uint32_t size = frame.body.size;
        memcpy(body, frame.body.data, size);
        for (uint32_t cut = 0; cut < size; cut++) {
            frame.body = guarded(bytes_of(body, cut));
            decode_packet(&frame, samples[i].version, samples[i].sender, &out);
        }
    }
}

static bool
may_be_longer(const struct sample *s)
{
    switch (wire(s->text).data[0] >> 4) {
    case PACKET_PUBLISH:   /* a longer payload */
    case PACKET_SUBACK:    /* one more code */
    case PACKET_UNSUBACK:
        return true;
    case PACKET_CONNECT:   /* MQTT 3.1 may announce a password and leave it out */
        return s->version == 3;
    default:               /* an acknowledgement of version 5 goes on with a reason, a property length */
        return s->version == 5;
    }
}

CLAIM(nothing_may_be_left_over)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        if (may_be_longer(&samples[i])) {
            continue;
        }
        struct frame frame;
        struct packet out;
        uint8_t body[512];
        assert_int_equal(frame_read(wire(samples[i].text), UINT32_MAX, &frame), FRAME_DONE);
        memcpy(body, frame.body.data, frame.body.size);
        body[frame.body.size] = 0;
        frame.body = guarded(bytes_of(body, frame.body.size + 1));
        if (frame.type != PACKET_PINGREQ && frame.type != PACKET_PINGRESP) {
            assert_int_not_equal(decode_packet(&frame, samples[i].version, samples[i].sender, &out), REASON_SUCCESS);
        }
    }
    assert_answer(5, CLIENT, "10 [ <MQTT> 05 02 003c [] <c> 00 ]", REASON_MALFORMED_PACKET);
    assert_answer(5, CLIENT, "40 [ 0001 00 [] 00 ]", REASON_MALFORMED_PACKET);
    assert_answer(5, CLIENT, "e0 [ 00 [] 00 ]", REASON_MALFORMED_PACKET);
    assert_answer(5, SERVER, "20 [ 00 00 [] 00 ]", REASON_MALFORMED_PACKET);
    assert_answer(5, CLIENT, "f0 [ 18 [ 15 <m> ] 00 ]", REASON_MALFORMED_PACKET);
}

/* PEERS.md, what broke other brokers: a server-only packet from a client. */
CLAIM(packet_that_its_sender_may_not_send_is_a_protocol_error)
{
    for (size_t i = 0; i < SAMPLES_COUNT; i++) {
        struct frame frame;
        struct packet out;
        frame_read(wire(samples[i].text), UINT32_MAX, &frame);
        enum packet_sender other = samples[i].sender == CLIENT ? SERVER : CLIENT;
        bool one_way = frame.type <= PACKET_CONNACK || (frame.type >= PACKET_SUBSCRIBE && frame.type <= PACKET_PINGRESP);
        if (one_way || (frame.type == PACKET_DISCONNECT && samples[i].version < 5)) {
            assert_int_equal(decode_packet(&frame, samples[i].version, other, &out), REASON_PROTOCOL_ERROR);
        }
    }
}

CLAIM(auth_exists_only_in_version_5)
{
    assert_answer(3, CLIENT, "f0 [ 18 [ 15 <m> ] ]", REASON_PROTOCOL_ERROR);
    assert_answer(4, CLIENT, "f0 [ 18 [ 15 <m> ] ]", REASON_PROTOCOL_ERROR);
    assert_answer(4, SERVER, "f0 []", REASON_PROTOCOL_ERROR);
}

/* --------------------------------------------------------------------------------------------------- fixed header */

/*
 * MQTT5 [MQTT-2.1.3-1] [MQTT-3.3.1-2] [MQTT-3.3.1-4] [MQTT-3.14.1-1] [MQTT-3.15.1-1], MQTT3 [MQTT-2.2.2-1] [MQTT-2.2.2-2]
 * [MQTT-3.3.1-2] [MQTT-3.3.1-4] [MQTT-3.14.1-1]: all 256 first bytes.
 */
CLAIM(first_byte_has_a_known_type_and_its_flags)
{
    for (int first = 0; first < 256; first++) {
        int type = first >> 4, flags = first & 15, qos = flags >> 1 & 3, dup = flags >> 3;
        bool right = type == PACKET_PUBLISH ? qos < 3 && !(dup && qos == 0)
                     : type == PACKET_PUBREL || type == PACKET_SUBSCRIBE || type == PACKET_UNSUBSCRIBE
                         ? flags == 2 || flags == 10 /* DUP of MQTT 3.1, refused by the decoders of the others */
                         : type != 0 && flags == 0;
        uint8_t byte = (uint8_t)first;
        struct frame frame;
        enum frame_status status = frame_read(guarded(bytes_of(&byte, 1)), UINT32_MAX, &frame);
        assert_int_equal(status, right ? FRAME_NEED_MORE : FRAME_MALFORMED);
        assert_int_equal(frame.reason, right ? 0 : REASON_MALFORMED_PACKET);
    }
}

/* MQTT5 [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1], MQTT3 the same numbers; MQTT 3.1 2.1.1 knows DUP here. */
CLAIM(dup_on_pubrel_subscribe_and_unsubscribe_is_mqtt_31_only)
{
    assert_both("6a [ 0001 ]", "6a [ 0001 ]", REASON_MALFORMED_PACKET);
    assert_both("8a [ 0001 <a> 00 ]", "8a [ 0001 [] <a> 00 ]", REASON_MALFORMED_PACKET);
    assert_both("aa [ 0001 <a> ]", "aa [ 0001 [] <a> ]", REASON_MALFORMED_PACKET);
    assert_answer(3, CLIENT, "6a [ 0001 ]", REASON_SUCCESS);
    assert_answer(3, CLIENT, "8a [ 0001 <a> 00 ]", REASON_SUCCESS);
    assert_answer(3, CLIENT, "aa [ 0001 <a> ]", REASON_SUCCESS);
}

static void
assert_frame(const char *text, uint32_t size_max, enum frame_status status, uint8_t reason, uint32_t size)
{
    struct frame frame;
    assert_int_equal(frame_read(wire(text), size_max, &frame), status);
    assert_int_equal(frame.reason, reason);
    assert_int_equal(frame.size, size);
}

/* MQTT5 [MQTT-1.5.5-1]; five bytes: PEERS.md, what broke other brokers. */
CLAIM(remaining_length_has_at_most_four_bytes_in_shortest_form)
{
    assert_frame("30 8000", UINT32_MAX, FRAME_MALFORMED, REASON_MALFORMED_PACKET, 0);
    assert_frame("30 ff808000", UINT32_MAX, FRAME_MALFORMED, REASON_MALFORMED_PACKET, 0);
    assert_frame("30 80808080", UINT32_MAX, FRAME_MALFORMED, REASON_MALFORMED_PACKET, 0);
    assert_frame("30 ffffffff7f", UINT32_MAX, FRAME_MALFORMED, REASON_MALFORMED_PACKET, 0);
    assert_frame("30 ffffff7f", UINT32_MAX, FRAME_NEED_MORE, 0, 268435460);
    assert_frame("30 80808001", UINT32_MAX, FRAME_NEED_MORE, 0, 2097157);
    assert_frame("30 ffffff", UINT32_MAX, FRAME_NEED_MORE, 0, 0);
}

/* PEERS.md, what broke other brokers: a large packet before CONNECT. */
CLAIM(packet_over_the_maximum_is_known_from_its_header)
{
    assert_frame("10 ffffff7f", 4096, FRAME_MALFORMED, REASON_PACKET_TOO_LARGE, 268435460);
    assert_frame("30 03 <a>", 5, FRAME_DONE, 0, 5);
    assert_frame("30 03 <a>", 4, FRAME_MALFORMED, REASON_PACKET_TOO_LARGE, 5);
    assert_frame("30 03", 4, FRAME_MALFORMED, REASON_PACKET_TOO_LARGE, 5);
}

/* MQTT5 3.12, 3.13; MQTT3 3.12, 3.13: no variable header, no payload. */
CLAIM(ping_with_a_body_is_malformed)
{
    assert_frame("c0 [ 00 ]", UINT32_MAX, FRAME_MALFORMED, REASON_MALFORMED_PACKET, 3);
    assert_frame("d0 [ 00 ]", UINT32_MAX, FRAME_MALFORMED, REASON_MALFORMED_PACKET, 3);
}

CLAIM(nothing_yet_needs_more)
{
    struct frame frame;
    assert_int_equal(frame_read(bytes_of(NULL, 0), UINT32_MAX, &frame), FRAME_NEED_MORE);
    assert_int_equal(frame.size, 0);
}

/* ------------------------------------------------------------------------------------------------ packet identifier */

/* MQTT5 [MQTT-2.2.1-3] [MQTT-2.2.1-4], MQTT3 [MQTT-2.3.1-1] */
CLAIM(packet_identifier_zero_is_refused)
{
    assert_both("32 [ <a> 0000 ]", "32 [ <a> 0000 [] ]", REASON_PROTOCOL_ERROR);
    assert_both("82 [ 0000 <a> 00 ]", "82 [ 0000 [] <a> 00 ]", REASON_PROTOCOL_ERROR);
    assert_both("a2 [ 0000 <a> ]", "a2 [ 0000 [] <a> ]", REASON_PROTOCOL_ERROR);
    for (char type = '4'; type <= '7'; type++) {
        char text[] = "40 [ 0000 ]";
        text[0] = type;
        text[1] = type == '6' ? '2' : '0';
        assert_both(text, text, REASON_PROTOCOL_ERROR);
    }
    assert_answer(4, SERVER, "90 [ 0000 00 ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, SERVER, "90 [ 0000 [] 00 ]", REASON_PROTOCOL_ERROR);
    assert_answer(4, SERVER, "b0 [ 0000 ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, SERVER, "b0 [ 0000 [] 00 ]", REASON_PROTOCOL_ERROR);
}

/* MQTT5 [MQTT-2.2.1-2], MQTT3 [MQTT-2.3.1-5] */
CLAIM(publish_of_qos_0_has_no_packet_identifier)
{
    struct packet out;
    assert_int_equal(answer(4, CLIENT, "30 [ <a> 0001 ]", &out), REASON_SUCCESS);
    assert_int_equal(out.publish.packet_id, 0);
    assert_int_equal(out.publish.payload.size, 2);
}

/* -------------------------------------------------------------------------------------------------------- CONNECT */

CLAIM(connect_fields_come_out)
{
    struct packet out;
    const char *text = "10 [ <MQTT> 05 f6 1234 [ 21 0014 ] <client> [ 18 00000005 26 <a> <b> ] <w/t> <gone> <u> <p> ]";
    assert_int_equal(answer(0, CLIENT, text, &out), REASON_SUCCESS);
    const struct connect *c = &out.connect;
    assert_int_equal(c->version, 5);
    assert_false(c->bridge);
    assert_true(c->clean_start && c->has_will && c->has_user_name && c->has_password);
    assert_int_equal(c->keep_alive_s, 0x1234);
    assert_int_equal(c->properties.receive_maximum, 20);
    assert_text(c->client_id, "client");
    assert_int_equal(c->will.qos, 2);
    assert_true(c->will.retain);
    assert_int_equal(c->will.properties.will_delay_s, 5);
    assert_int_equal(c->will.properties.user_count, 1);
    assert_text(c->will.topic, "w/t");
    assert_text(c->will.payload, "gone");
    assert_text(c->user_name, "u");
    assert_text(c->password, "p");
}

static uint8_t
answer_to_connect(const char *text, struct connect *out)
{
    struct packet packet;
    memset(&packet, 0xff, sizeof packet);
    uint8_t reason = answer(0, CLIENT, text, &packet);
    *out = packet.connect;
    return reason;
}

/* MQTT5 [MQTT-3.1.2-1] [MQTT-3.1.2-2], MQTT3 the same numbers */
CLAIM(unknown_protocol_name_or_level_is_unsupported)
{
    static const struct {
        const char *text;
        uint8_t version;
    } unknown[] = {
        {"10 [ <MQTT> 06 02 003c [] <c> ]", 6}, {"10 [ <MQTT> 03 02 003c <c> ]", 3},   {"10 [ <MQTT> 00 02 003c <c> ]", 0},
        {"10 [ <MQTT> ff 02 003c <c> ]", 255},  {"10 [ <MQIsdp> 04 02 003c <c> ]", 4}, {"10 [ <mqtt> 04 02 003c <c> ]", 4},
        {"10 [ <MQTTT> 05 02 003c <c> ]", 5},   {"10 [ <> 04 02 003c <c> ]", 4},       {"10 [ <HTTP> 01 ]", 1},
    };
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        struct connect c;
        assert_int_equal(answer_to_connect(unknown[i].text, &c), REASON_UNSUPPORTED_PROTOCOL_VERSION);
        assert_int_equal(c.version, unknown[i].version);
    }
}

CLAIM(connect_cut_before_the_level_has_version_0)
{
    struct connect c;
    assert_int_equal(answer_to_connect("10 []", &c), REASON_MALFORMED_PACKET);
    assert_int_equal(c.version, 0);
    assert_int_equal(answer_to_connect("10 [ <MQTT> ]", &c), REASON_MALFORMED_PACKET);
    assert_int_equal(c.version, 0);
    assert_int_equal(answer_to_connect("10 [ ffff 'MQTT' 04 ]", &c), REASON_MALFORMED_PACKET);
    assert_int_equal(c.version, 0);
}

CLAIM(version_and_client_identifier_survive_a_later_error)
{
    struct connect c;
    assert_int_equal(answer_to_connect("10 [ <MQTT> 05 02 003c [ 17 00 ] <client> 00 ]", &c), REASON_MALFORMED_PACKET);
    assert_int_equal(c.version, 5);
    assert_text(c.client_id, "client");
    assert_true(properties_has(&c.properties, PROPERTY_REQUEST_PROBLEM_INFORMATION));
    assert_int_equal(c.properties.request_problem_information, 0);
    assert_int_equal(answer_to_connect("10 [ <MQTT> 05 03 003c [] <client> ]", &c), REASON_MALFORMED_PACKET);
    assert_int_equal(c.version, 5);
    assert_int_equal(c.client_id.size, 0);
    assert_int_equal(c.properties.present, 0);
}

/* As Mosquitto's bridges send it, and its server takes it: with version 5 it means nothing. */
CLAIM(bridge_bit_is_told_apart_from_the_level)
{
    struct connect c;
    assert_int_equal(answer_to_connect("10 [ <MQTT> 84 02 003c <c> ]", &c), REASON_SUCCESS);
    assert_true(c.bridge && c.version == 4);
    assert_int_equal(answer_to_connect("10 [ <MQIsdp> 83 02 003c <c> ]", &c), REASON_SUCCESS);
    assert_true(c.bridge && c.version == 3);
    assert_int_equal(answer_to_connect("10 [ <MQTT> 85 02 003c [] <c> ]", &c), REASON_SUCCESS);
    assert_true(!c.bridge && c.version == 5);
}

/* MQTT5 [MQTT-3.1.2-3], MQTT3 the same number */
CLAIM(reserved_connect_flag_is_zero_but_for_mqtt_31)
{
    assert_both("10 [ <MQTT> 04 03 003c <c> ]", "10 [ <MQTT> 05 03 003c [] <c> ]", REASON_MALFORMED_PACKET);
    assert_answer(3, CLIENT, "10 [ <MQIsdp> 03 03 003c <c> ]", REASON_SUCCESS);
}

/* MQTT5 [MQTT-3.1.2-11] [MQTT-3.1.2-13], MQTT3 [MQTT-3.1.2-11] [MQTT-3.1.2-13] [MQTT-3.1.2-15] */
CLAIM(without_a_will_its_flags_are_zero)
{
    assert_both("10 [ <MQTT> 04 0a 003c <c> ]", "10 [ <MQTT> 05 0a 003c [] <c> ]", REASON_MALFORMED_PACKET);
    assert_both("10 [ <MQTT> 04 12 003c <c> ]", "10 [ <MQTT> 05 12 003c [] <c> ]", REASON_MALFORMED_PACKET);
    assert_both("10 [ <MQTT> 04 22 003c <c> ]", "10 [ <MQTT> 05 22 003c [] <c> ]", REASON_MALFORMED_PACKET);
    assert_both("10 [ <MQTT> 04 02 003c <c> <w> <p> ]", "10 [ <MQTT> 05 02 003c [] <c> [] <w> <p> ]", REASON_MALFORMED_PACKET);
}

CLAIM(mqtt_31_will_flags_without_a_will_mean_nothing)
{
    struct connect c;
    assert_int_equal(answer_to_connect("10 [ <MQIsdp> 03 3a 003c <c> ]", &c), REASON_SUCCESS);
    assert_false(c.has_will);
    assert_int_equal(c.will.qos, 0);
    assert_false(c.will.retain);
}

/* MQTT5 [MQTT-3.1.2-12], MQTT3 [MQTT-3.1.2-14] */
CLAIM(will_qos_3_is_malformed)
{
    assert_both("10 [ <MQTT> 04 1e 003c <c> <w> <p> ]", "10 [ <MQTT> 05 1e 003c [] <c> [] <w> <p> ]", REASON_MALFORMED_PACKET);
    assert_answer(3, CLIENT, "10 [ <MQIsdp> 03 1e 003c <c> <w> <p> ]", REASON_MALFORMED_PACKET);
}

/* MQTT5 [MQTT-3.1.2-9], MQTT3 [MQTT-3.1.2-9] */
CLAIM(with_a_will_its_topic_and_payload_are_there)
{
    assert_both("10 [ <MQTT> 04 06 003c <c> ]", "10 [ <MQTT> 05 06 003c [] <c> ]", REASON_MALFORMED_PACKET);
    assert_both("10 [ <MQTT> 04 06 003c <c> <w> ]", "10 [ <MQTT> 05 06 003c [] <c> [] <w> ]", REASON_MALFORMED_PACKET);
}

/* MQTT5 [MQTT-3.1.3-11], MQTT3 [MQTT-3.1.3-10]; the will is published to it, so it is a topic name. */
CLAIM(will_topic_is_a_topic_name)
{
    assert_both("10 [ <MQTT> 04 06 003c <c> <a/#> <p> ]", "10 [ <MQTT> 05 06 003c [] <c> [] <a/#> <p> ]", REASON_TOPIC_NAME_INVALID);
    assert_both("10 [ <MQTT> 04 06 003c <c> <+> <p> ]", "10 [ <MQTT> 05 06 003c [] <c> [] <+> <p> ]", REASON_TOPIC_NAME_INVALID);
    assert_both("10 [ <MQTT> 04 06 003c <c> <> <p> ]", "10 [ <MQTT> 05 06 003c [] <c> [] <> <p> ]", REASON_TOPIC_NAME_INVALID);
    assert_both("10 [ <MQTT> 04 06 003c <c> 0001 ff <p> ]", "10 [ <MQTT> 05 06 003c [] <c> [] 0001 ff <p> ]", REASON_MALFORMED_PACKET);
}

/* PEERS.md, what broke other brokers: a will with bad property types. */
CLAIM(will_properties_are_those_of_a_will)
{
    assert_answer(5, CLIENT, "10 [ <MQTT> 05 06 003c [] <c> [ 23 0001 ] <w> <p> ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, CLIENT, "10 [ <MQTT> 05 06 003c [] <c> [ 18 01 ] <w> <p> ]", REASON_MALFORMED_PACKET);
    assert_answer(5, CLIENT, "10 [ <MQTT> 05 06 003c [] <c> [ 11 00000001 ] <w> <p> ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, CLIENT, "10 [ <MQTT> 05 06 003c [] <c> [ 0b 01 ] <w> <p> ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, CLIENT, "10 [ <MQTT> 05 06 003c [ 18 00000001 ] <c> [] <w> <p> ]", REASON_PROTOCOL_ERROR);
}

/* MQTT5 [MQTT-3.1.2-16] [MQTT-3.1.2-18], MQTT3 [MQTT-3.1.2-18] [MQTT-3.1.2-20] */
CLAIM(credentials_that_were_not_announced_are_left_over)
{
    assert_both("10 [ <MQTT> 04 02 003c <c> <u> ]", "10 [ <MQTT> 05 02 003c [] <c> <u> ]", REASON_MALFORMED_PACKET);
    assert_both("10 [ <MQTT> 04 82 003c <c> <u> <p> ]", "10 [ <MQTT> 05 82 003c [] <c> <u> <p> ]", REASON_MALFORMED_PACKET);
}

/* MQTT5 [MQTT-3.1.2-17] [MQTT-3.1.2-19], MQTT3 [MQTT-3.1.2-19] [MQTT-3.1.2-21] */
CLAIM(credentials_that_were_announced_are_there)
{
    assert_both("10 [ <MQTT> 04 82 003c <c> ]", "10 [ <MQTT> 05 82 003c [] <c> ]", REASON_MALFORMED_PACKET);
    assert_both("10 [ <MQTT> 04 c2 003c <c> <u> ]", "10 [ <MQTT> 05 c2 003c [] <c> <u> ]", REASON_MALFORMED_PACKET);
}

/* MQTT 3.1, 3.1: the Remaining Length takes precedence over the flags. */
CLAIM(mqtt_31_credentials_may_be_announced_and_missing)
{
    struct connect c;
    assert_int_equal(answer_to_connect("10 [ <MQIsdp> 03 c2 003c <c> ]", &c), REASON_SUCCESS);
    assert_false(c.has_user_name);
    assert_false(c.has_password);
    assert_int_equal(answer_to_connect("10 [ <MQIsdp> 03 c2 003c <c> <u> ]", &c), REASON_SUCCESS);
    assert_true(c.has_user_name);
    assert_false(c.has_password);
    assert_int_equal(answer_to_connect("10 [ <MQIsdp> 03 c2 003c <c> <u> 00 ]", &c), REASON_MALFORMED_PACKET);
}

/* MQTT3 [MQTT-3.1.2-22], MQTT 3.1 3.1; MQTT5 3.1.2.9 allows it. */
CLAIM(password_without_user_name_is_version_5_only)
{
    struct connect c;
    assert_answer(3, CLIENT, "10 [ <MQIsdp> 03 42 003c <c> <p> ]", REASON_MALFORMED_PACKET);
    assert_answer(4, CLIENT, "10 [ <MQTT> 04 42 003c <c> <p> ]", REASON_MALFORMED_PACKET);
    assert_int_equal(answer_to_connect("10 [ <MQTT> 05 42 003c [] <c> <p> ]", &c), REASON_SUCCESS);
    assert_false(c.has_user_name);
    assert_text(c.password, "p");
}

/* MQTT5 [MQTT-3.1.3-12], MQTT3 [MQTT-3.1.3-11] */
CLAIM(user_name_is_utf8_and_password_any_bytes)
{
    assert_both("10 [ <MQTT> 04 82 003c <c> 0001 ff ]", "10 [ <MQTT> 05 82 003c [] <c> 0001 ff ]", REASON_MALFORMED_PACKET);
    assert_both("10 [ <MQTT> 04 c2 003c <c> <u> 0001 ff ]", "10 [ <MQTT> 05 c2 003c [] <c> <u> 0001 ff ]", REASON_SUCCESS);
}

/* MQTT5 [MQTT-3.1.3-3] [MQTT-3.1.3-4], MQTT3 the same numbers */
CLAIM(client_identifier_is_there_and_utf8)
{
    assert_both("10 [ <MQTT> 04 02 003c ]", "10 [ <MQTT> 05 02 003c [] ]", REASON_MALFORMED_PACKET);
    assert_both("10 [ <MQTT> 04 02 003c 0001 ff ]", "10 [ <MQTT> 05 02 003c [] 0001 ff ]", REASON_MALFORMED_PACKET);
    assert_both("10 [ <MQTT> 04 02 003c 0002 6100 ]", "10 [ <MQTT> 05 02 003c [] 0002 6100 ]", REASON_MALFORMED_PACKET);
}

/* MQTT5 [MQTT-3.1.3-6], MQTT3 [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.1.3-8] */
CLAIM(empty_client_identifier_depends_on_the_version)
{
    assert_answer(3, CLIENT, "10 [ <MQIsdp> 03 02 003c <> ]", REASON_CLIENT_IDENTIFIER_NOT_VALID);
    assert_answer(4, CLIENT, "10 [ <MQTT> 04 02 003c <> ]", REASON_SUCCESS);
    assert_answer(4, CLIENT, "10 [ <MQTT> 04 00 003c <> ]", REASON_CLIENT_IDENTIFIER_NOT_VALID);
    assert_answer(5, CLIENT, "10 [ <MQTT> 05 00 003c [] <> ]", REASON_SUCCESS);
}

/* MQTT5 [MQTT-3.1.3-5], MQTT3 the same number: 23 must do; we take what comes. */
CLAIM(long_client_identifiers_are_accepted)
{
    assert_answer(3, CLIENT, "10 [ <MQIsdp> 03 02 003c <0123456789abcdefghijklmnopqrstuvwxyz> ]", REASON_SUCCESS);
    assert_answer(4, CLIENT, "10 [ <MQTT> 04 02 003c <0123456789ABCDEFGHIJKLM> ]", REASON_SUCCESS);
}

CLAIM(properties_of_connect_and_will_share_one_limit)
{
    char text[64 * 1024] = "10 [ <MQTT> 05 06 003c [ ";
    for (uint32_t i = 0; i < PACKET_PROPERTIES_MAX; i++) {
        strcat(text, "26 <> <> ");
    }
    strcat(text, "] <c> [ ");
    size_t end = strlen(text);
    strcat(text, "] <w> <p> ]");
    assert_answer(5, CLIENT, text, REASON_SUCCESS);
    strcpy(text + end, "26 <> <> ] <w> <p> ]");
    assert_answer(5, CLIENT, text, REASON_QUOTA_EXCEEDED);
}

/* -------------------------------------------------------------------------------------------------------- CONNACK */

/* MQTT5 [MQTT-3.2.2-1], MQTT3 3.2.2.1; reserved without a rule in MQTT 3.1. */
CLAIM(connack_flags_but_session_present_are_zero)
{
    assert_answer(4, SERVER, "20 [ 02 00 ]", REASON_MALFORMED_PACKET);
    assert_answer(5, SERVER, "20 [ 81 00 [] ]", REASON_MALFORMED_PACKET);
    struct packet out;
    assert_int_equal(answer(3, SERVER, "20 [ ff 00 ]", &out), REASON_SUCCESS);
    assert_false(out.connack.session_present);
}

/* MQTT5 [MQTT-3.2.2-6], MQTT3 [MQTT-3.2.2-4] */
CLAIM(connack_that_refuses_has_no_session)
{
    assert_answer(4, SERVER, "20 [ 01 05 ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, SERVER, "20 [ 01 87 [] ]", REASON_PROTOCOL_ERROR);
}

/* Every code 0 to 255 after `before` and in front of `after` is accepted exactly if it is in `allowed`. */
static void
assert_codes(uint8_t version, enum packet_sender sender, const char *before, const char *after, const uint8_t *allowed,
             size_t count)
{
    for (int code = 0; code < 256; code++) {
        char text[128];
        snprintf(text, sizeof text, "%s %02x %s", before, code, after);
        struct packet out;
        uint8_t reason = answer(version, sender, text, &out);
        assert_int_equal(reason, memchr(allowed, code, count) != NULL ? REASON_SUCCESS : REASON_PROTOCOL_ERROR);
    }
}

#define CODES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

/* MQTT5 [MQTT-3.2.2-8], table 3-1; MQTT3 3.2.2.3, table 3.1 */
CLAIM(connack_has_a_code_of_its_table)
{
    assert_codes(5, SERVER, "20 [ 00", "[] ]",
                 CODES(0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99,
                       0x9a, 0x9b, 0x9c, 0x9d, 0x9f));
    assert_codes(4, SERVER, "20 [ 00", "]", CODES(0, 1, 2, 3, 4, 5));
    assert_codes(3, SERVER, "20 [ 00", "]", CODES(0, 1, 2, 3, 4, 5));
}

CLAIM(return_codes_of_older_versions_come_out_as_reasons)
{
    static const uint8_t reasons[] = {0x00, 0x84, 0x85, 0x88, 0x86, 0x87};
    for (int code = 0; code < 6; code++) {
        char text[] = "20 [ 00 00 ]";
        struct packet out;
        text[9] = (char)('0' + code);
        assert_int_equal(answer(4, SERVER, text, &out), REASON_SUCCESS);
        assert_int_equal(out.connack.reason, reasons[code]);
        assert_int_equal(reason_to_return_code(out.connack.reason), code);
    }
}

/* -------------------------------------------------------------------------------------------------------- PUBLISH */

CLAIM(publish_fields_come_out)
{
    struct packet out;
    assert_int_equal(answer(5, CLIENT, "3d [ <a/b> 1234 [ 01 01 ] 'payload' ]", &out), REASON_SUCCESS);
    const struct publish *p = &out.publish;
    assert_text(p->topic, "a/b");
    assert_text(p->payload, "payload");
    assert_int_equal(p->packet_id, 0x1234);
    assert_int_equal(p->qos, 2);
    assert_true(p->dup && p->retain);
    assert_int_equal(p->properties.payload_format, 1);
}

/* MQTT5 [MQTT-3.3.2-1], MQTT3 the same number */
CLAIM(publish_topic_is_there_and_utf8)
{
    assert_both("30 []", "30 []", REASON_MALFORMED_PACKET);
    assert_both("30 [ 00 ]", "30 [ 00 ]", REASON_MALFORMED_PACKET);
    assert_both("30 [ 0002 'a' ]", "30 [ 0002 'a' ]", REASON_MALFORMED_PACKET);
    assert_both("30 [ 0001 ff ]", "30 [ 0001 ff [] ]", REASON_MALFORMED_PACKET);
    assert_both("30 [ 0003 610062 ]", "30 [ 0003 610062 [] ]", REASON_MALFORMED_PACKET);
    assert_both("30 [ 0003 eda080 ]", "30 [ 0003 eda080 [] ]", REASON_MALFORMED_PACKET);
}

/* MQTT5 [MQTT-3.3.2-2], MQTT3 the same number */
CLAIM(publish_topic_holds_no_wildcard)
{
    assert_both("30 [ <a/#> ]", "30 [ <a/#> [] ]", REASON_TOPIC_NAME_INVALID);
    assert_both("30 [ <+/a> ]", "30 [ <+/a> [] ]", REASON_TOPIC_NAME_INVALID);
}

/* MQTT5 [MQTT-4.7.3-1] 3.3.2.1, MQTT3 [MQTT-4.7.3-1]; topic of length 0: PEERS.md, what broke other brokers. */
CLAIM(publish_topic_is_empty_only_with_an_alias)
{
    assert_both("30 [ <> 'p' ]", "30 [ <> [] 'p' ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, CLIENT, "30 [ <> [ 01 01 ] 'p' ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, CLIENT, "30 [ <> [ 23 0001 ] 'p' ]", REASON_SUCCESS);
    assert_answer(5, CLIENT, "30 [ <> [ 23 0000 ] 'p' ]", REASON_TOPIC_ALIAS_INVALID);
}

CLAIM(publish_topic_has_a_limit_of_levels)
{
    char text[1024] = "30 [ <";
    for (uint32_t i = 1; i < TOPIC_LEVELS_MAX; i++) {
        strcat(text, "/");
    }
    size_t end = strlen(text);
    strcat(text, "> ]");
    assert_answer(4, CLIENT, text, REASON_SUCCESS);
    strcpy(text + end, "/> ]");
    assert_answer(4, CLIENT, text, REASON_TOPIC_NAME_INVALID);
}

CLAIM(publish_cut_before_its_packet_identifier_is_malformed)
{
    assert_both("32 [ <a> ]", "32 [ <a> ]", REASON_MALFORMED_PACKET);
    assert_both("32 [ <a> 00 ]", "32 [ <a> 00 ]", REASON_MALFORMED_PACKET);
}

/* MQTT5 [MQTT-3.3.4-6] */
CLAIM(client_sends_no_subscription_identifier)
{
    assert_answer(5, CLIENT, "30 [ <a> [ 0b 01 ] ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, SERVER, "30 [ <a> [ 0b 01 0b 02 ] ]", REASON_SUCCESS);
}

/* MQTT5 3.3.3, MQTT3 3.3.3 */
CLAIM(publish_payload_may_be_empty_and_any_bytes)
{
    struct packet out;
    assert_int_equal(answer(5, CLIENT, "31 [ <a> [] ]", &out), REASON_SUCCESS);
    assert_int_equal(out.publish.payload.size, 0);
    assert_int_equal(answer(5, CLIENT, "31 [ <a> [ 01 01 ] fffe00 ]", &out), REASON_SUCCESS);
    assert_int_equal(out.publish.payload.size, 3);
}

/* ----------------------------------------------------------------------------------------------- acknowledgements */

/* MQTT5 [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] */
CLAIM(acknowledgement_has_a_code_of_its_table)
{
    for (enum packet_sender sender = CLIENT; sender <= SERVER; sender++) {
        assert_codes(5, sender, "40 [ 0001", "]", CODES(0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99));
        assert_codes(5, sender, "50 [ 0001", "]", CODES(0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99));
        assert_codes(5, sender, "62 [ 0001", "]", CODES(0x00, 0x92));
        assert_codes(5, sender, "70 [ 0001", "]", CODES(0x00, 0x92));
    }
}

/* MQTT3 3.4 to 3.7 */
CLAIM(acknowledgement_of_the_older_versions_is_two_bytes)
{
    assert_answer(4, CLIENT, "40 [ 0001 00 ]", REASON_MALFORMED_PACKET);
    assert_answer(3, CLIENT, "62 [ 0001 00 ]", REASON_MALFORMED_PACKET);
    assert_answer(4, CLIENT, "40 [ 00 ]", REASON_MALFORMED_PACKET);
    assert_answer(4, CLIENT, "40 []", REASON_MALFORMED_PACKET);
}

/* MQTT5 3.4.2.1, 3.4.2.2.1 */
CLAIM(acknowledgement_of_version_5_may_end_early)
{
    struct packet out;
    assert_int_equal(answer(5, CLIENT, "50 [ 0102 ]", &out), REASON_SUCCESS);
    assert_int_equal(out.ack.packet_id, 0x0102);
    assert_int_equal(out.ack.reason, REASON_SUCCESS);
    assert_int_equal(answer(5, CLIENT, "50 [ 0102 10 ]", &out), REASON_SUCCESS);
    assert_int_equal(out.ack.reason, REASON_NO_MATCHING_SUBSCRIBERS);
    assert_int_equal(answer(5, CLIENT, "50 [ 0102 10 [] ]", &out), REASON_SUCCESS);
    assert_int_equal(answer(5, CLIENT, "50 [ 0102 10 [ 1f <why> ] ]", &out), REASON_SUCCESS);
    assert_text(out.ack.properties.reason_string, "why");
}

/* ------------------------------------------------------------------------------------------- SUBSCRIBE, UNSUBSCRIBE */

CLAIM(subscribe_entries_come_out_in_order)
{
    struct packet out;
    assert_int_equal(answer(5, CLIENT, "82 [ 000a [ 0b 05 ] <a/#> 00 <$share/g/b> 29 <c> 1e ]", &out), REASON_SUCCESS);
    const struct subscribe *s = &out.subscribe;
    assert_int_equal(s->packet_id, 10);
    assert_int_equal(s->count, 3);
    assert_int_equal(s->properties.subscription_id, 5);

    struct bytes entries = s->entries, filter;
    struct subscription_options o;
    assert_true(subscribe_next(&entries, &filter, &o));
    assert_text(filter, "a/#");
    assert_true(o.qos == 0 && !o.no_local && !o.retain_as_published && o.retain_handling == 0);
    assert_true(subscribe_next(&entries, &filter, &o));
    assert_text(filter, "$share/g/b");
    assert_true(o.qos == 1 && !o.no_local && o.retain_as_published && o.retain_handling == 2);
    assert_true(subscribe_next(&entries, &filter, &o));
    assert_text(filter, "c");
    assert_true(o.qos == 2 && o.no_local && o.retain_as_published && o.retain_handling == 1);
    assert_false(subscribe_next(&entries, &filter, &o));
}

CLAIM(unsubscribe_entries_come_out_in_order)
{
    struct packet out;
    assert_int_equal(answer(4, CLIENT, "a2 [ 000a <a/#> <b> ]", &out), REASON_SUCCESS);
    assert_int_equal(out.unsubscribe.count, 2);
    struct bytes entries = out.unsubscribe.entries, filter;
    assert_true(unsubscribe_next(&entries, &filter));
    assert_text(filter, "a/#");
    assert_true(unsubscribe_next(&entries, &filter));
    assert_text(filter, "b");
    assert_false(unsubscribe_next(&entries, &filter));
}

/* MQTT5 [MQTT-3.8.3-1] [MQTT-3.10.3-1], MQTT3 the same numbers */
CLAIM(filters_are_utf8)
{
    assert_both("82 [ 0001 0001 ff 00 ]", "82 [ 0001 [] 0001 ff 00 ]", REASON_MALFORMED_PACKET);
    assert_both("a2 [ 0001 0001 ff ]", "a2 [ 0001 [] 0001 ff ]", REASON_MALFORMED_PACKET);
}

/* MQTT5 [MQTT-4.7.3-1], MQTT3 the same number */
CLAIM(filters_are_not_empty)
{
    assert_both("82 [ 0001 <> 00 ]", "82 [ 0001 [] <> 00 ]", REASON_PROTOCOL_ERROR);
    assert_both("a2 [ 0001 <a> <> ]", "a2 [ 0001 [] <a> <> ]", REASON_PROTOCOL_ERROR);
}

/* The engine answers them one by one in the SUBACK: MQTT5 3.9.3, 0x8F. */
CLAIM(filters_with_bad_wildcards_pass)
{
    assert_both("82 [ 0001 <a#> 00 ]", "82 [ 0001 [] <a#> 00 ]", REASON_SUCCESS);
    assert_both("82 [ 0001 <$share/g> 00 ]", "82 [ 0001 [] <$share/g> 00 ]", REASON_SUCCESS);
}

/* MQTT5 [MQTT-3.8.3-2] [MQTT-3.10.3-2], MQTT3 [MQTT-3.8.3-3] [MQTT-3.10.3-2] */
CLAIM(subscribe_and_unsubscribe_hold_at_least_one_filter)
{
    assert_both("82 [ 0001 ]", "82 [ 0001 [] ]", REASON_PROTOCOL_ERROR);
    assert_both("a2 [ 0001 ]", "a2 [ 0001 [] ]", REASON_PROTOCOL_ERROR);
}

CLAIM(filter_without_options_is_malformed)
{
    assert_both("82 [ 0001 <a> ]", "82 [ 0001 [] <a> ]", REASON_MALFORMED_PACKET);
    assert_both("82 [ 0001 <a> 00 <b> ]", "82 [ 0001 [] <a> 00 <b> ]", REASON_MALFORMED_PACKET);
}

/* MQTT5 [MQTT-3.8.3-5], 3.8.3.1; MQTT3 [MQTT-3-8.3-4]: all 256 values of the options byte. */
CLAIM(subscription_options_have_their_ranges)
{
    for (int options = 0; options < 256; options++) {
        char text[64];
        snprintf(text, sizeof text, "82 [ 0001 [] <a> %02x ]", options);
        bool protocol_error = (options & 3) == 3 || (options & 0x30) == 0x30;
        uint8_t expected = options & 0xc0 ? REASON_MALFORMED_PACKET : protocol_error ? REASON_PROTOCOL_ERROR : REASON_SUCCESS;
        assert_answer(5, CLIENT, text, expected);
        snprintf(text, sizeof text, "82 [ 0001 <a> %02x ]", options);
        expected = options & 0xfc ? REASON_MALFORMED_PACKET : options == 3 ? REASON_PROTOCOL_ERROR : REASON_SUCCESS;
        assert_answer(4, CLIENT, text, expected);
        assert_answer(3, CLIENT, text, expected);
    }
}

/* MQTT5 [MQTT-3.8.3-4] */
CLAIM(no_local_on_a_shared_subscription_is_a_protocol_error)
{
    assert_answer(5, CLIENT, "82 [ 0001 [] <$share/g/a> 04 ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, CLIENT, "82 [ 0001 [] <$share/g/a> 00 ]", REASON_SUCCESS);
    assert_answer(5, CLIENT, "82 [ 0001 [] <$shared> 04 ]", REASON_SUCCESS);
}

/* ------------------------------------------------------------------------------------------------ SUBACK, UNSUBACK */

/* MQTT5 [MQTT-3.9.3-2] [MQTT-3.11.3-2], MQTT3 [MQTT-3.9.3-2] */
CLAIM(suback_and_unsuback_have_codes_of_their_tables)
{
    assert_codes(5, SERVER, "90 [ 0001 []", "]",
                 CODES(0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2));
    assert_codes(4, SERVER, "90 [ 0001", "]", CODES(0x00, 0x01, 0x02, 0x80));
    assert_codes(5, SERVER, "b0 [ 0001 []", "]", CODES(0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91));
}

/* MQTT5 [MQTT-3.8.4-6] [MQTT-3.11.3-1], MQTT3 [MQTT-3.8.4-5] */
CLAIM(suback_and_unsuback_have_at_least_one_code)
{
    assert_answer(4, SERVER, "90 [ 0001 ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, SERVER, "90 [ 0001 [] ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, SERVER, "b0 [ 0001 [] ]", REASON_PROTOCOL_ERROR);
}

/* MQTT3 3.11.3 */
CLAIM(unsuback_of_the_older_versions_has_no_payload)
{
    assert_answer(4, SERVER, "b0 [ 0001 00 ]", REASON_MALFORMED_PACKET);
    assert_answer(4, SERVER, "b0 [ 0001 ]", REASON_SUCCESS);
}

/* ------------------------------------------------------------------------------------------------ DISCONNECT, AUTH */

/* MQTT5 [MQTT-3.14.2-1], table 3-10 */
CLAIM(disconnect_has_a_code_that_its_sender_may_use)
{
    assert_codes(5, CLIENT, "e0 [", "]",
                 CODES(0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99));
    assert_codes(5, SERVER, "e0 [", "]",
                 CODES(0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98,
                       0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2));
}

/* MQTT3 3.14 */
CLAIM(disconnect_of_the_older_versions_is_empty)
{
    assert_answer(4, CLIENT, "e0 [ 00 ]", REASON_MALFORMED_PACKET);
    assert_answer(3, CLIENT, "e0 [ 00 ]", REASON_MALFORMED_PACKET);
}

/* MQTT5 3.14.2.1, 3.14.2.2.1 */
CLAIM(disconnect_of_version_5_may_end_early)
{
    struct packet out;
    assert_int_equal(answer(5, CLIENT, "e0 []", &out), REASON_SUCCESS);
    assert_int_equal(out.disconnect.reason, 0);
    assert_int_equal(answer(5, CLIENT, "e0 [ 04 ]", &out), REASON_SUCCESS);
    assert_int_equal(out.disconnect.reason, REASON_DISCONNECT_WITH_WILL);
    assert_int_equal(answer(5, CLIENT, "e0 [ 00 [ 11 00000007 ] ]", &out), REASON_SUCCESS);
    assert_int_equal(out.disconnect.properties.session_expiry_s, 7);
}

/* MQTT5 [MQTT-3.14.2-2]; 3.14.2.2.5 speaks of the server alone. */
CLAIM(disconnect_has_properties_that_its_sender_may_use)
{
    assert_answer(5, SERVER, "e0 [ 80 [ 11 00000007 ] ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, CLIENT, "e0 [ 80 [ 1c <other> ] ]", REASON_PROTOCOL_ERROR);
}

/* MQTT5 [MQTT-3.15.2-1], table 3-11 */
CLAIM(auth_has_a_code_that_its_sender_may_use)
{
    assert_codes(5, CLIENT, "f0 [", "[ 15 <m> ] ]", CODES(0x18, 0x19));
    assert_codes(5, SERVER, "f0 [", "[ 15 <m> ] ]", CODES(0x00, 0x18));
}

/* MQTT5 3.15.2.1, 3.15.2.2.2 */
CLAIM(auth_names_its_method_unless_it_is_empty)
{
    assert_answer(5, CLIENT, "f0 [ 18 [] ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, CLIENT, "f0 [ 18 [ 1f <why> ] ]", REASON_PROTOCOL_ERROR);
    assert_answer(5, CLIENT, "f0 [ 18 ]", REASON_MALFORMED_PACKET);
    assert_answer(5, SERVER, "f0 []", REASON_SUCCESS);
    assert_answer(5, CLIENT, "f0 []", REASON_PROTOCOL_ERROR); /* means Success, which only a server says */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_valid_packet_is_accepted),
        cmocka_unit_test(every_proper_prefix_needs_more),
        cmocka_unit_test(bytes_after_a_packet_are_left_alone),
        cmocka_unit_test(every_single_byte_mutation_is_answered_without_a_fault),
        cmocka_unit_test(body_cut_anywhere_is_answered_without_a_fault),
        cmocka_unit_test(nothing_may_be_left_over),
        cmocka_unit_test(packet_that_its_sender_may_not_send_is_a_protocol_error),
        cmocka_unit_test(auth_exists_only_in_version_5),
        cmocka_unit_test(first_byte_has_a_known_type_and_its_flags),
        cmocka_unit_test(dup_on_pubrel_subscribe_and_unsubscribe_is_mqtt_31_only),
        cmocka_unit_test(remaining_length_has_at_most_four_bytes_in_shortest_form),
        cmocka_unit_test(packet_over_the_maximum_is_known_from_its_header),
        cmocka_unit_test(ping_with_a_body_is_malformed),
        cmocka_unit_test(nothing_yet_needs_more),
        cmocka_unit_test(packet_identifier_zero_is_refused),
        cmocka_unit_test(publish_of_qos_0_has_no_packet_identifier),
        cmocka_unit_test(connect_fields_come_out),
        cmocka_unit_test(unknown_protocol_name_or_level_is_unsupported),
        cmocka_unit_test(connect_cut_before_the_level_has_version_0),
        cmocka_unit_test(version_and_client_identifier_survive_a_later_error),
        cmocka_unit_test(bridge_bit_is_told_apart_from_the_level),
        cmocka_unit_test(reserved_connect_flag_is_zero_but_for_mqtt_31),
        cmocka_unit_test(without_a_will_its_flags_are_zero),
        cmocka_unit_test(mqtt_31_will_flags_without_a_will_mean_nothing),
        cmocka_unit_test(will_qos_3_is_malformed),
        cmocka_unit_test(with_a_will_its_topic_and_payload_are_there),
        cmocka_unit_test(will_topic_is_a_topic_name),
        cmocka_unit_test(will_properties_are_those_of_a_will),
        cmocka_unit_test(credentials_that_were_not_announced_are_left_over),
        cmocka_unit_test(credentials_that_were_announced_are_there),
        cmocka_unit_test(mqtt_31_credentials_may_be_announced_and_missing),
        cmocka_unit_test(password_without_user_name_is_version_5_only),
        cmocka_unit_test(user_name_is_utf8_and_password_any_bytes),
        cmocka_unit_test(client_identifier_is_there_and_utf8),
        cmocka_unit_test(empty_client_identifier_depends_on_the_version),
        cmocka_unit_test(long_client_identifiers_are_accepted),
        cmocka_unit_test(properties_of_connect_and_will_share_one_limit),
        cmocka_unit_test(connack_flags_but_session_present_are_zero),
        cmocka_unit_test(connack_that_refuses_has_no_session),
        cmocka_unit_test(connack_has_a_code_of_its_table),
        cmocka_unit_test(return_codes_of_older_versions_come_out_as_reasons),
        cmocka_unit_test(publish_fields_come_out),
        cmocka_unit_test(publish_topic_is_there_and_utf8),
        cmocka_unit_test(publish_topic_holds_no_wildcard),
        cmocka_unit_test(publish_topic_is_empty_only_with_an_alias),
        cmocka_unit_test(publish_topic_has_a_limit_of_levels),
        cmocka_unit_test(publish_cut_before_its_packet_identifier_is_malformed),
        cmocka_unit_test(client_sends_no_subscription_identifier),
        cmocka_unit_test(publish_payload_may_be_empty_and_any_bytes),
        cmocka_unit_test(acknowledgement_has_a_code_of_its_table),
        cmocka_unit_test(acknowledgement_of_the_older_versions_is_two_bytes),
        cmocka_unit_test(acknowledgement_of_version_5_may_end_early),
        cmocka_unit_test(subscribe_entries_come_out_in_order),
        cmocka_unit_test(unsubscribe_entries_come_out_in_order),
        cmocka_unit_test(filters_are_utf8),
        cmocka_unit_test(filters_are_not_empty),
        cmocka_unit_test(filters_with_bad_wildcards_pass),
        cmocka_unit_test(subscribe_and_unsubscribe_hold_at_least_one_filter),
        cmocka_unit_test(filter_without_options_is_malformed),
        cmocka_unit_test(subscription_options_have_their_ranges),
        cmocka_unit_test(no_local_on_a_shared_subscription_is_a_protocol_error),
        cmocka_unit_test(suback_and_unsuback_have_codes_of_their_tables),
        cmocka_unit_test(suback_and_unsuback_have_at_least_one_code),
        cmocka_unit_test(unsuback_of_the_older_versions_has_no_payload),
        cmocka_unit_test(disconnect_has_a_code_that_its_sender_may_use),
        cmocka_unit_test(disconnect_of_the_older_versions_is_empty),
        cmocka_unit_test(disconnect_of_version_5_may_end_early),
        cmocka_unit_test(disconnect_has_properties_that_its_sender_may_use),
        cmocka_unit_test(auth_has_a_code_that_its_sender_may_use),
        cmocka_unit_test(auth_names_its_method_unless_it_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
