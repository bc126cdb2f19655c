/* What is different for MQTT 3.1 and 3.1.1: bytes without properties, answers without reasons, errors without a word. */
#include "test/dialogue/dialogue.h"

#define expect_bytes(c, bytes) (HERE, expect_bytes_((c), (bytes), sizeof(bytes) - 1))
static void
expect_bytes_(struct client *c, const char *bytes, uint32_t size)
{
    take_in(c);
    if (c->used != size || memcmp(c->bytes, bytes, size) != 0) {
        char text[200] = "";
        for (uint32_t i = 0; i < c->used && i < 60; i++) {
            snprintf(text + 3 * i, sizeof text - 3 * i, "%02x ", c->bytes[i]);
        }
        complain("%u bytes came: %s", c->used, text);
    }
    c->consumed = c->used;
}

/* MQTT3 3.2 to 3.13, and the same in 3.1: packets as they stand in the specification. */
static void
answers_have_no_properties(struct world *w)
{
    for (uint8_t version = 3; version <= 4; version++) {
        struct client *c = knock(w, version, "c");
        expect_bytes(c, "\x20\x02\x00\x00");
        client_send_bytes(c, "\x82\x0a\x12\x34\x00\x01" "a\x02\x00\x01" "b\x00", 12);
        expect_bytes(c, "\x90\x04\x12\x34\x02\x00");
        client_send_bytes(c, "\x32\x06\x00\x01" "x\x00\x07y", 8);
        expect_bytes(c, "\x40\x02\x00\x07");
        client_send_bytes(c, "\x34\x06\x00\x01" "x\x00\x08y", 8);
        expect_bytes(c, "\x50\x02\x00\x08");
        client_send_bytes(c, "\x62\x02\x00\x08", 4);
        expect_bytes(c, "\x70\x02\x00\x08");
        client_send_bytes(c, "\x30\x04\x00\x01" "by", 6);
        expect_bytes(c, "\x30\x04\x00\x01" "by");
        client_send_bytes(c, "\xa2\x05\x00\x09\x00\x01" "b", 7);
        expect_bytes(c, "\xb0\x02\x00\x09");
        client_send_bytes(c, "\xc0\x00", 2);
        expect_bytes(c, "\xd0\x00");
        client_send_bytes(c, "\xe0\x00", 2);
        expect_end(c);
    }
}

/* MQTT3 3.2.2.2; in 3.1 that byte is reserved and 0. */
static void
session_present_is_for_3_1_1(struct world *w)
{
    for (uint8_t version = 3; version <= 4; version++) {
        bye(join(w, version, "c", .resume = true), 0);
        struct client *c = knock(w, version, "c", .resume = true);
        if (version == 3) {
            expect_bytes(c, "\x20\x02\x00\x00");
        } else {
            expect_bytes(c, "\x20\x02\x01\x00");
        }
        bye(c, 0);
        bye(join(w, version, "c"), 0);
    }
}

/* MQTT3 [MQTT-4.8.0-1] and the statements beside each: closed, and nothing is said. */
static void
a_bad_packet_closes_without_a_word(struct world *w)
{
    static const struct {
        const char *bytes;
        uint8_t size;
    } packets[] = {
        {"\x36\x06\x00\x01" "x\x00\x07y", 8},     /* QoS 3, [MQTT-3.3.1-4] */
        {"\x32\x06\x00\x01" "x\x00\x00y", 8},     /* packet identifier 0, [MQTT-2.3.1-1] */
        {"\x30\x04\x00\x01" "#y", 6},             /* a wildcard, [MQTT-3.3.2-2] */
        {"\x30\x04\x00\x05" "xy", 6},             /* a topic longer than the packet */
        {"\x30\x04\x00\x01\xffy", 6},             /* not UTF-8, [MQTT-1.5.3-1] */
        {"\x30\x04\x00\x01\x00y", 6},             /* U+0000, [MQTT-1.5.3-2] */
        {"\x80\x06\x00\x01\x00\x01" "a\x00", 8},  /* flags of SUBSCRIBE, [MQTT-3.8.1-1] */
        {"\x82\x02\x00\x01", 4},                  /* no filter, [MQTT-3.8.3-3] */
        {"\x82\x06\x00\x01\x00\x01" "a\x03", 8},  /* QoS 3, [MQTT-3-8.3-4] */
        {"\x82\x06\x00\x01\x00\x01" "a\x04", 8},  /* reserved bits */
        {"\x82\x06\x00\x00\x00\x01" "a\x00", 8},  /* packet identifier 0 */
        {"\xa0\x05\x00\x01\x00\x01" "a", 7},      /* flags of UNSUBSCRIBE, [MQTT-3.10.1-1] */
        {"\xa2\x02\x00\x01", 4},                  /* no filter, [MQTT-3.10.3-2] */
        {"\x60\x02\x00\x01", 4},                  /* flags of PUBREL, [MQTT-3.6.1-1] */
        {"\x42\x02\x00\x01", 4},                  /* flags of PUBACK, [MQTT-2.2.2-2] */
        {"\x40\x03\x00\x01\x00", 5},              /* PUBACK with a reason: that is version 5 */
        {"\xc0\x01\x00", 3},                      /* PINGREQ with a body */
        {"\xe1\x00", 2},                          /* flags of DISCONNECT, [MQTT-3.14.1-1] */
        {"\xf0\x00", 2},                          /* AUTH */
        {"\x00\x00", 2},                          /* type 0 */
        {"\xd0\x00", 2},                          /* PINGRESP */
        {"\x20\x02\x00\x00", 4},                  /* CONNACK */
        {"\xc0\xff\xff\xff\xff", 5},              /* five bytes of length */
    };
    for (uint8_t version = 3; version <= 4; version++) {
        for (unsigned i = 0; i < sizeof packets / sizeof *packets; i++) {
            struct client *c = join(w, version, "c", .will_topic = "will", .will_payload = "x");
            client_send_bytes(c, packets[i].bytes, packets[i].size);
            settle(c);
            if (version == 4 || client_ended(c)) {
                expect_end(c);
            } else { /* 3.1 says less about flags; but it says nothing back either */
                expect_quiet(c);
            }
        }
    }
}

/* MQTT 3.1, 2.1.1: SUBSCRIBE, UNSUBSCRIBE and PUBREL may be sent again with DUP. */
static void
dup_on_requests_is_for_3_1(struct world *w)
{
    struct client *c = join(w, 3, "c"), *later = join(w, 4, "later");
    client_send_bytes(c, "\x8a\x06\x00\x01\x00\x01" "a\x00", 8);
    expect(c, PACKET_SUBACK);
    say(c, "b", "x", .qos = 2, .id = 5);
    expect_ack(c, PACKET_PUBREC, 5, 0);
    client_send_bytes(c, "\x6a\x02\x00\x05", 4);
    expect_ack(c, PACKET_PUBCOMP, 5, 0);
    client_send_bytes(c, "\xaa\x05\x00\x02\x00\x01" "a", 7);
    expect(c, PACKET_UNSUBACK);
    client_send_bytes(later, "\x8a\x06\x00\x01\x00\x01" "a\x00", 8);
    expect_end(later);
}

/* MQTT 3.1 limits identifiers to 23 characters; nobody insists any more, MQTT3 [MQTT-3.1.3-5]. */
static void
long_identifiers_are_accepted_in_3_1(struct world *w)
{
    ping(join(w, 3, "an-identifier-that-is-longer-than-23-characters"));
}

/* MQTT3 [MQTT-3.3.5-2]: what is not allowed is acknowledged all the same, or the connection closed; but never published. */
static void
a_forbidden_publish_is_acknowledged_or_closes(struct world *w)
{
    for (uint8_t qos = 1; qos <= 2; qos++) {
        struct client *c = join(w, 4, "c"), *s = join(w, 5, "s");
        struct packet got;
        subscribe(s, "$SYS/#");
        say(c, "$SYS/forged", "x", .qos = qos, .id = 5);
        if (listen_for(c, &got)) {
            claim_equal(got.type, qos == 1 ? PACKET_PUBACK : PACKET_PUBREC);
            claim_equal(got.ack.packet_id, 5);
        } else {
            expect_end(c);
        }
        expect_quiet(s);
    }
}

/* MQTT3 [MQTT-4.4.0-1] asks for no more than QoS 1 and 2; and [MQTT-3.1.2-5]: QoS 0 may be left out. */
static void
a_persistent_session_of_3_1_works_as_that_of_3_1_1(struct world *w)
{
    for (uint8_t version = 3; version <= 4; version++) {
        struct client *c = join(w, version, "c", .resume = true), *p = join(w, 4, "p");
        subscribe(c, "a", .qos = 2);
        publish(p, "a", "one", .qos = 2);
        uint16_t id = hear(c, "a", "one", 2).publish.packet_id;
        vanish(c);
        publish(p, "a", "two", .qos = 1);
        c = rejoin(w, version, "c");
        struct packet got = hear(c, "a", "one", 2);
        claim(got.publish.dup && got.publish.packet_id == id);
        take(c, "a", "two", 1);
        bye(c, 0);
        bye(join(w, version, "c"), 0);
    }
}

static const struct dialogue dialogues[] = {
    TELL(answers_have_no_properties),
    TELL(session_present_is_for_3_1_1),
    TELL(a_bad_packet_closes_without_a_word),
    TELL(dup_on_requests_is_for_3_1),
    TELL(long_identifiers_are_accepted_in_3_1),
    TELL(a_forbidden_publish_is_acknowledged_or_closes),
    TELL(a_persistent_session_of_3_1_works_as_that_of_3_1_1),
};

DIALOGUES(dialogues)
