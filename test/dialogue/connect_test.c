/* Connecting: sessions and their ends, keep-alive, takeover, what CONNACK says, and who is not let in. */
#include "test/dialogue/dialogue.h"

/* -------------------------------------------------------------------------------------------------------------------------------- sessions */

/* MQTT5 [MQTT-3.2.2-2] [MQTT-3.2.2-3], MQTT3 [MQTT-3.2.2-1] [MQTT-3.2.2-2] [MQTT-3.2.2-3]. */
static void
session_present_says_whether_there_was_a_session(struct world *w)
{
    for (uint8_t version = 4; version <= 5; version++) {
        struct client *c = join(w, version, "c", .resume = true, .expiry_s = 100);
        claim(!greeting.connack.session_present);
        vanish(c);
        c = join(w, version, "c", .resume = true, .expiry_s = 100);
        claim(greeting.connack.session_present);
        vanish(c);
        c = join(w, version, "c", .expiry_s = 100);
        claim(!greeting.connack.session_present);
        bye(c, 0);
        join(w, version, "c");
    }
}

/* MQTT5 [MQTT-3.1.2-5], MQTT3 [MQTT-3.1.2-4]: subscriptions and queued messages go on. */
static void
a_resumed_session_has_its_subscriptions_and_messages(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = join(w, version, id_at(w, 0, 0), .resume = true, .expiry_s = 100), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
        subscribe(c, "a", .qos = 1);
        bye(c, 0);
        publish(p, "a", "meanwhile", .qos = 1);
        publish(p, "a", "lost", .qos = 0);
        c = rejoin(w, version, id_at(w, 0, 0), .expiry_s = 100);
        publish(p, "a", "now", .qos = 1);
        take(c, "a", "meanwhile", 1);
        take(c, "a", "now", 1);
        expect_quiet(c);
        bye(c, 0);
        bye(join(w, version, id_at(w, 0, 0)), 0); /* clean */
    }
}

/* MQTT5 [MQTT-3.1.2-4], MQTT3 [MQTT-3.1.2-6]. */
static void
clean_start_discards_the_session(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = join(w, version, "c", .resume = true, .expiry_s = 100), *p = join(w, 5, "p");
        subscribe(c, "a", .qos = 2);
        bye(c, 0);
        publish(p, "a", "x", .qos = 2);
        c = join(w, version, "c");
        publish(p, "a", "y", .qos = 2);
        expect_quiet(c);
        bye(c, 0);
    }
}

/* MQTT5 3.1.2.11.2: an absent Session Expiry Interval is 0; [MQTT-4.1.0-2]. */
static void
a_session_without_expiry_ends_with_the_connection(struct world *w)
{
    struct client *c = join(w, 5, "c", .resume = true);
    vanish(c);
    c = join(w, 5, "c", .resume = true);
    claim(!greeting.connack.session_present);
    bye(c, 0);
    c = join(w, 4, "c"); /* clean session 1 */
    vanish(c);
    join(w, 4, "c", .resume = true);
    claim(!greeting.connack.session_present);
    claim_equal(WORLD_COUNT(w, sessions), 1);
}

/* MQTT5 [MQTT-3.1.2-25] [MQTT-4.1.0-2]: as long as the interval, and no longer. */
static void
a_session_lasts_for_its_expiry_interval(struct world *w)
{
    vanish(join(w, 5, "c", .expiry_s = 10));
    pass_seconds(w, 9);
    vanish(join(w, 5, "c", .resume = true, .expiry_s = 10));
    claim(greeting.connack.session_present);
    pass_seconds(w, 9); /* counted anew */
    struct client *c = join(w, 5, "c", .resume = true, .expiry_s = 10);
    claim(greeting.connack.session_present);
    pass_seconds(w, 60); /* not while connected, [MQTT-4.1.0-1] */
    vanish(c);
    claim_equal(WORLD_COUNT(w, sessions), 1);
    pass_seconds(w, 12);
    claim_equal(WORLD_COUNT(w, sessions), 0);
    join(w, 5, "c", .resume = true);
    claim(!greeting.connack.session_present);
}

/* MQTT5 3.1.2.11.2: each CONNECT sets the interval anew. */
static void
a_resume_changes_the_expiry_interval(struct world *w)
{
    vanish(join(w, 5, "c", .expiry_s = 1000));
    vanish(join(w, 5, "c", .resume = true)); /* 0 */
    join(w, 5, "c", .resume = true);
    claim(!greeting.connack.session_present);
}

/* MQTT5 3.14.2.2.2: DISCONNECT can change it. */
static void
disconnect_changes_the_expiry_interval(struct world *w)
{
    bye_for(join(w, 5, "c", .expiry_s = 1000), 0, 5);
    pass_seconds(w, 7);
    bye_for(join(w, 5, "c", .resume = true, .expiry_s = 5), 0, 1000);
    claim(!greeting.connack.session_present);
    pass_seconds(w, 500);
    bye_for(join(w, 5, "c", .resume = true, .expiry_s = 5), 0, 0);
    claim(greeting.connack.session_present);
    join(w, 5, "c", .resume = true);
    claim(!greeting.connack.session_present);
}

/* MQTT5 3.14.2.2.2: from 0 to more is a Protocol Error. */
static void
disconnect_cannot_lengthen_an_expiry_of_0(struct world *w)
{
    struct client *c = join(w, 5, "c");
    struct packet p = {.type = PACKET_DISCONNECT};
    p.disconnect.properties.session_expiry_s = 10;
    properties_mark(&p.disconnect.properties, PROPERTY_SESSION_EXPIRY_INTERVAL);
    client_send(c, &p);
    expect_disconnect(c, REASON_PROTOCOL_ERROR);
    join(w, 5, "c", .resume = true);
    claim(!greeting.connack.session_present);
}

/* Option persistent_client_expiration. MQTT5 3.2.2.3.2: what differs from the request is told. */
static void
a_longer_expiry_than_allowed_is_cut_and_told(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = FOREVER);
    claim(properties_has(&greeting.connack.properties, PROPERTY_SESSION_EXPIRY_INTERVAL));
    claim_equal(greeting.connack.properties.session_expiry_s, 3600);
    vanish(c);
    struct client *short_one = join(w, 5, "short", .expiry_s = 60);
    claim(!properties_has(&greeting.connack.properties, PROPERTY_SESSION_EXPIRY_INTERVAL) || greeting.connack.properties.session_expiry_s == 60);
    struct client *old = join(w, 4, "old", .resume = true);
    bye(old, 0);
    bye_for(short_one, 0, FOREVER); /* not by the back door */
    pass_seconds(w, 3500);
    claim_equal(WORLD_COUNT(w, sessions), 3);
    pass_seconds(w, 150);
    claim_equal(WORLD_COUNT(w, sessions), 0);
}

static void
sessions_for_ever_are_for_ever(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = FOREVER); /* granted, or another interval would be told */
    claim(!properties_has(&greeting.connack.properties, PROPERTY_SESSION_EXPIRY_INTERVAL) || greeting.connack.properties.session_expiry_s == FOREVER);
    bye(c, 0);
    bye(join(w, 4, "old", .resume = true), 0);
    pass_seconds(w, 100000); /* not years: shards wake every second */
    join(w, 5, "c", .resume = true);
    claim(greeting.connack.session_present);
    join(w, 4, "old", .resume = true);
    claim(greeting.connack.session_present);
}

/* A session belongs to the identifier, whichever version asks. */
static void
a_session_can_be_resumed_with_another_version(struct world *w)
{
    struct client *c = join(w, 4, "c", .resume = true), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    bye(c, 0);
    publish(p, "a", "one", .qos = 1, .user = "a=b");
    c = rejoin(w, 5, "c", .expiry_s = 100);
    struct packet got = hear(c, "a", "one", 1);
    claim_text(bytes_from(user_text(&got.publish.properties)), "a=b");
    vanish(c);
    c = rejoin(w, 4, "c");
    claim(hear(c, "a", "one", 1).publish.dup);
}

/* MQTT5 [MQTT-3.1.3-2]: identifiers are compared as they are. */
static void
client_identifiers_are_compared_byte_by_byte(struct world *w)
{
    static const char *const ids[] = {"c", "C", "c ", " c", "c\xcc\x81", "\xef\xbb\xbf" "c", "#", "+", "/", "$SYS", "%c", "%u", "c/#"};
    struct client *c[13];
    for (int i = 0; i < 13; i++) {
        c[i] = join(w, 5, ids[i]);
    }
    for (int i = 0; i < 13; i++) {
        ping(c[i]);
    }
}

/* MQTT5 [MQTT-3.1.3-5], and longer ones. */
static void
client_identifiers_may_be_long(struct world *w)
{
    static char id[10001];
    memset(id, 'i', 10000);
    join(w, 5, "01234567890123456789abc");
    vanish(join(w, 5, id, .expiry_s = 10));
    rejoin(w, 5, id);
}

/* --------------------------------------------------------------------------------------------------------------------- empty identifiers */

/* MQTT5 [MQTT-3.1.3-6] [MQTT-3.1.3-7] [MQTT-3.2.2-16]. */
static void
an_empty_identifier_gets_one_of_its_own(struct world *w)
{
    char ids[20][64];
    for (int i = 0; i < 20; i++) {
        join(w, 5, "", .expiry_s = 100, .resume = i % 2);
        claim(properties_has(&greeting.connack.properties, PROPERTY_ASSIGNED_CLIENT_IDENTIFIER));
        claim(!greeting.connack.session_present);
        struct bytes id = greeting.connack.properties.assigned_client_id;
        snprintf(ids[i], sizeof ids[i], "%.*s", (int)id.size, id.data);
        claim(strncmp(ids[i], "auto-", 5) == 0 && id.size > 5);
        for (int k = 0; k < i; k++) {
            claim(strcmp(ids[k], ids[i]) != 0);
        }
    }
    rejoin(w, 5, ids[7]); /* it is a name like any other */
    expect_disconnect(cast[7], REASON_SESSION_TAKEN_OVER);
}

/* MQTT5 3.2.2.3.7: it is not there otherwise. */
static void
a_given_identifier_is_not_assigned(struct world *w)
{
    join(w, 5, "c");
    claim(!properties_has(&greeting.connack.properties, PROPERTY_ASSIGNED_CLIENT_IDENTIFIER));
}

/* MQTT3 [MQTT-3.1.3-6] [MQTT-3.1.3-7]: 3.1.1 with a clean session only. */
static void
an_empty_identifier_needs_a_clean_session_in_3_1_1(struct world *w)
{
    struct client *one = join(w, 4, ""), *two = join(w, 4, "");
    ping(one);
    ping(two);
    struct client *c = meet(w, 4); /* [MQTT-3.1.3-8]: return code 2, and closed */
    client_send_bytes(c, "\x10\x0c\x00\x04MQTT\x04\x00\x00\x00\x00\x00", 14);
    expect_connack(c, REASON_CLIENT_IDENTIFIER_NOT_VALID);
    expect_end(c);
}

/* MQTT 3.1, CONNECT: 1 to 23 characters; return code 2. */
static void
an_empty_identifier_is_refused_in_3_1(struct world *w)
{
    struct client *c = meet(w, 3);
    client_send_bytes(c, "\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x00\x00\x00", 16);
    expect_connack(c, REASON_CLIENT_IDENTIFIER_NOT_VALID);
    expect_end(c);
}

/* Option allow_zero_length_clientid, MQTT5 [MQTT-3.1.3-8]. */
static void
an_empty_identifier_is_refused_when_not_allowed(struct world *w)
{
    for (uint8_t version = 4; version <= 5; version++) {
        struct client *c = knock(w, version, "");
        claim(!expect_connack(c, REASON_CLIENT_IDENTIFIER_NOT_VALID).connack.session_present); /* [MQTT-3.2.2-6] */
        expect_end(c);
    }
}

/* -------------------------------------------------------------------------------------------------------------------------------- keep-alive */

/* MQTT5 [MQTT-3.1.2-24], MQTT3 [MQTT-3.1.2-24]: one and a half times. */
static void
a_silent_client_is_closed_after_one_and_a_half_keep_alives(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = join(w, version, "c", .keep_alive_s = 10);
        pass_seconds(w, 14);
        expect_quiet(c);
        pass_seconds(w, 3);
        if (version == 5) {
            expect_disconnect(c, REASON_KEEP_ALIVE_TIMEOUT); /* 3.14.2.1 */
        }
        expect_end(c);
        claim_equal(WORLD_COUNT(w, drops[DROP_KEEP_ALIVE]), (unsigned)version - 2);
    }
}

/* MQTT5 3.1.2.10: any packet counts. */
static void
any_packet_keeps_a_client_alive(struct world *w)
{
    struct client *c = join(w, 5, "c", .keep_alive_s = 10), *q = join(w, 4, "q", .keep_alive_s = 10);
    for (int i = 0; i < 10; i++) {
        pass_seconds(w, 9);
        say(c, "a", "x");
        ping(q);
        pass_seconds(w, 9);
        subscribe(c, "b");
        publish(q, "a", "x", .qos = 1);
    }
    expect_quiet(c);
    expect_quiet(q);
}

/* What the broker sends does not count. */
static void
what_the_broker_sends_keeps_nobody_alive(struct world *w)
{
    struct client *c = join(w, 5, "c", .keep_alive_s = 10), *p = join(w, 5, "p");
    subscribe(c, "a");
    for (int i = 0; i < 5; i++) {
        pass_seconds(w, 4);
        publish(p, "a", "x");
    }
    for (int i = 0; i < 3; i++) {
        hear(c, "a", "x", 0);
    }
    expect_disconnect(c, REASON_KEEP_ALIVE_TIMEOUT);
}

/* MQTT5 3.1.2.10: 0 turns it off. */
static void
keep_alive_0_never_ends(struct world *w)
{
    struct client *c = join(w, 5, "c"), *old = join(w, 4, "old");
    pass_seconds(w, 70000); /* more than any keep-alive */
    ping(c);
    ping(old);
}

/* MQTT5 [MQTT-3.1.2-23] [MQTT-3.2.2-21] [MQTT-3.2.2-22], option max_keepalive; a huge keep-alive held slots for ever elsewhere. */
static void
server_keep_alive_is_told_and_applied(struct world *w)
{
    static const uint16_t asked[] = {0, 61, 65535};
    for (int i = 0; i < 3; i++) {
        struct client *c = join(w, 5, "c", .keep_alive_s = asked[i]);
        claim(properties_has(&greeting.connack.properties, PROPERTY_SERVER_KEEP_ALIVE));
        claim_equal(greeting.connack.properties.server_keep_alive_s, 60);
        pass_seconds(w, 88);
        expect_quiet(c);
        pass_seconds(w, 5);
        expect_disconnect(c, REASON_KEEP_ALIVE_TIMEOUT);
    }
    struct client *c = join(w, 5, "c", .keep_alive_s = 20);
    claim(!properties_has(&greeting.connack.properties, PROPERTY_SERVER_KEEP_ALIVE));
    pass_seconds(w, 33);
    expect_disconnect(c, REASON_KEEP_ALIVE_TIMEOUT);
}

/* Keep-alive is "as if the network had failed": the session stays. */
static void
a_session_survives_a_keep_alive_timeout(struct world *w)
{
    struct client *c = join(w, 5, "c", .keep_alive_s = 10, .expiry_s = 100), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    pass_seconds(w, 17);
    expect_disconnect(c, REASON_KEEP_ALIVE_TIMEOUT);
    publish(p, "a", "x", .qos = 1);
    take(rejoin(w, 5, "c", .expiry_s = 100), "a", "x", 1);
}

/* MQTT5 [MQTT-3.12.4-1]. */
static void
pingreq_is_answered_with_pingresp(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = join(w, version, "c");
        for (int i = 0; i < 3; i++) {
            client_send(c, &(struct packet){.type = PACKET_PINGREQ});
        }
        for (int i = 0; i < 3; i++) {
            expect(c, PACKET_PINGRESP);
        }
        expect_quiet(c);
    }
}

/* ---------------------------------------------------------------------------------------------------------------------------------- takeover */

/* MQTT5 [MQTT-3.1.4-3], MQTT3 [MQTT-3.1.4-2]: the older connection ends, with 0x8E where it can be said. */
static void
a_second_client_takes_the_identifier_over(struct world *w)
{
    for (uint8_t before = 3; before <= 5; before++) {
        for (uint8_t after = 3; after <= 5; after++) {
            struct client *one = join(w, before, "c"), *two = join(w, after, "c");
            if (before == 5) {
                expect_disconnect(one, REASON_SESSION_TAKEN_OVER);
            }
            expect_end(one);
            ping(two);
            bye(two, 0);
        }
    }
    claim_equal(WORLD_COUNT(w, connected), 0);
}

/* The session goes on under the new connection, whichever shard accepts it. */
static void
a_takeover_resumes_the_session(struct world *w)
{
    struct client *p = join(w, 5, "p");
    struct client *one = join(w, 5, "c", .expiry_s = 100);
    subscribe(one, "a", .qos = 2);
    for (unsigned i = 0; i < 3 * w->broker->shard_count; i++) {
        struct client *two = rejoin(w, 5, "c", .expiry_s = 100, .at_shard = (int)(i % w->broker->shard_count) + 1);
        expect_disconnect(one, REASON_SESSION_TAKEN_OVER);
        publish(p, "a", "x", .qos = 2);
        take(two, "a", "x", 2);
        one = two;
    }
    claim_equal(WORLD_COUNT(w, sessions), 2);
}

static void
a_takeover_with_clean_start_discards_the_session(struct world *w)
{
    struct client *one = join(w, 5, "c", .expiry_s = 100), *p = join(w, 5, "p");
    subscribe(one, "a");
    struct client *two = join(w, 5, "c", .expiry_s = 100);
    claim(!greeting.connack.session_present);
    expect_disconnect(one, REASON_SESSION_TAKEN_OVER);
    publish(p, "a", "x");
    expect_quiet(two);
}

/* Several at once, before any is answered: one is left, and every other has been told. */
static void
of_many_takeovers_at_once_one_remains(struct world *w)
{
    struct client *c[12];
    for (int i = 0; i < 12; i++) {
        c[i] = knock(w, 5, "c", .resume = true, .expiry_s = 100);
    }
    world_settle(w);
    int alive = 0;
    for (int i = 0; i < 12; i++) {
        expect_connack(c[i], 0);
        struct packet got;
        if (!listen_for(c[i], &got)) {
            ping(c[i]);
            alive++;
        } else {
            claim_equal(got.type, PACKET_DISCONNECT);
            claim_equal(got.disconnect.reason, REASON_SESSION_TAKEN_OVER);
            expect_end(c[i]);
        }
    }
    claim_equal(alive, 1);
    claim_equal(WORLD_COUNT(w, sessions), 1);
}

/* Takeover while the first connection's requests are under way (it has crashed other brokers). */
static void
a_takeover_amid_requests_does_no_harm(struct world *w)
{
    struct client *p = join(w, 5, "p"), *one = join(w, 5, "c", .expiry_s = 100), *two;
    char filter[16];
    for (int i = 0; i < 20; i++) {
        for (int k = 0; k < 10; k++) {
            snprintf(filter, sizeof filter, "f/%d", k);
            ask(one, filter, .qos = 2);
            say(one, filter, "x", .qos = 2, .id = (uint16_t)(k + 1));
            ask_unsubscribe(one, filter, 3);
            ask(one, filter, .qos = 1);
        }
        two = knock(w, 5, "c", .resume = true, .expiry_s = 100);
        expect_connack(two, 0);
        one = two;
    }
    vanish(one);
    one = join(w, 5, "c");
    subscribe(one, "f/1", .qos = 1);
    publish(p, "f/1", "x", .qos = 1);
    take(one, "f/1", "x", 1);
    expect_quiet(one);
    claim_equal(WORLD_COUNT(w, subscriptions), 1);
}

/* -------------------------------------------------------------------------------------------------------------------------- the first packet */

/* MQTT5 [MQTT-3.1.0-1] [MQTT-3.14.0-1]: anything but CONNECT ends the connection, without a word. */
static void
the_first_packet_must_be_connect(struct world *w)
{
    static const struct {
        const char *bytes;
        uint8_t size;
    } packets[] = {
        {"\xc0\x00", 2}, {"\x30\x04\x00\x01" "ax", 6}, {"\x82\x06\x00\x01\x00\x01" "a\x00", 8}, {"\xe0\x00", 2}, {"\x40\x02\x00\x01", 4},
        {"\x20\x02\x00\x00", 4}, {"\xf0\x00", 2}, {"\x00\x00", 2}, {"GET / HTTP/1.1\r\n\r\n", 18}, {"\x16\x03\x01\x02\x00\x01", 6},
    };
    for (unsigned i = 0; i < sizeof packets / sizeof *packets; i++) {
        struct client *c = meet(w, 5);
        client_send_bytes(c, packets[i].bytes, packets[i].size);
        expect_end(c);
    }
}

/* MQTT5 [MQTT-3.1.0-2], MQTT3 [MQTT-3.1.0-2]. */
static void
a_second_connect_is_a_protocol_error(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = join(w, version, "c");
        send_connect(c, "d", (struct hello){0});
        if (version == 5) {
            expect_disconnect(c, REASON_PROTOCOL_ERROR);
        }
        expect_end(c);
    }
    claim_equal(WORLD_COUNT(w, sessions), 0);
}

/* Both in one segment: still one CONNACK, [MQTT-3.2.0-2]. */
static void
a_second_connect_at_once_is_a_protocol_error(struct world *w)
{
    struct client *c = knock(w, 5, "c");
    send_connect(c, "d", (struct hello){0});
    expect_connack(c, 0);
    expect_disconnect(c, REASON_PROTOCOL_ERROR);
}

/* Option connect_timeout: neither silence nor a trickle of bytes holds a connection. MQTT5 3.1.4 (non-normative). */
static void
a_connection_without_connect_is_closed_in_time(struct world *w)
{
    struct client *silent = meet(w, 5), *slow = meet(w, 5);
    static const char connect[] = "\x10\x30\x00\x04MQTT\x05";
    for (int i = 0; i < 9; i++) {
        client_send_bytes(slow, connect + i, 1);
        pass_seconds(w, 1);
    }
    expect_quiet(silent);
    expect_quiet(slow);
    pass_seconds(w, 3);
    expect_end(silent);
    expect_end(slow);
    claim_equal(WORLD_COUNT(w, drops[DROP_CONNECT_TIMEOUT]), 2);
}

/* Who has connected in time is not touched by it. */
static void
a_slow_connect_in_time_is_welcome(struct world *w)
{
    struct client *c = meet(w, 4);
    static const char connect[] = "\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01" "c";
    for (int i = 0; i < 15; i++) {
        client_send_bytes(c, connect + i, 1);
        world_advance(w, 500);
    }
    expect_connack(c, 0);
    pass_seconds(w, 60);
    ping(c);
}

/* MQTT5 [MQTT-3.1.2-2], MQTT3 [MQTT-3.1.2-2]: 0x84 or return code 1, and closed. */
static void
an_unknown_protocol_level_is_refused(struct world *w)
{
    static const struct {
        const char *bytes;
        uint8_t size, answer_version;
    } packets[] = {
        {"\x10\x0e\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x01" "c", 16, 5},
        {"\x10\x0e\x00\x04MQTT\x7f\x02\x00\x00\x00\x00\x01" "c", 16, 5},
        {"\x10\x0d\x00\x04MQTT\x02\x02\x00\x00\x00\x01" "c", 15, 4},
        {"\x10\x0d\x00\x04MQTT\x00\x02\x00\x00\x00\x01" "c", 15, 4},
    };
    for (unsigned i = 0; i < sizeof packets / sizeof *packets; i++) {
        struct client *c = meet(w, packets[i].answer_version);
        client_send_bytes(c, packets[i].bytes, packets[i].size);
        expect_connack(c, REASON_UNSUPPORTED_PROTOCOL_VERSION);
        expect_end(c);
    }
}

/* MQTT5 [MQTT-3.1.2-1]: another protocol's name; a CONNACK is allowed. */
static void
an_unknown_protocol_name_is_refused(struct world *w)
{
    static const char *const packets[] = {"\x10\x0d\x00\x04MQTX\x04\x02\x00\x00\x00\x01" "c", "\x10\x0d\x00\x04mqtt\x04\x02\x00\x00\x00\x01" "c",
                                          "\x10\x0d\x00\x04MQTT\x03\x02\x00\x00\x00\x01" "c"};
    for (int i = 0; i < 3; i++) {
        struct client *c = meet(w, 4);
        struct packet got;
        client_send_bytes(c, packets[i], 15);
        if (listen_for(c, &got)) {
            claim_equal(got.type, PACKET_CONNACK);
            claim_equal(got.connack.reason, REASON_UNSUPPORTED_PROTOCOL_VERSION);
        }
        expect_end(c);
    }
}

/* MQTT5 [MQTT-3.1.2-3]: the reserved flag; [MQTT-3.1.4-1]: other packets that do not conform. */
static void
a_malformed_connect_is_refused(struct world *w)
{
    static const struct {
        const char *bytes;
        uint8_t size;
    } packets[] = {
        {"\x10\x0e\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x01" "c", 16},          /* reserved flag */
        {"\x10\x0e\x00\x04MQTT\x05\x0a\x00\x00\x00\x00\x01" "c", 16},          /* will QoS without will */
        {"\x10\x0e\x00\x04MQTT\x05\x22\x00\x00\x00\x00\x01" "c", 16},          /* will retain without will */
        {"\x10\x0e\x00\x04MQTT\x05\x1e\x00\x00\x00\x00\x01" "c", 16},          /* will QoS 3 */
        {"\x10\x0f\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01" "cx", 17},         /* something left over */
        {"\x10\x0e\x00\x04MQTT\x05\x82\x00\x00\x00\x00\x01" "c", 16},          /* user name announced and not there */
        {"\x10\x11\x00\x04MQTT\x05\x02\x00\x00\x03\x21\x00\x00\x00\x01" "c", 19}, /* Receive Maximum 0, 3.1.2.11.3 */
        {"\x11\x0e\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01" "c", 16},          /* flags of the fixed header */
    };
    for (unsigned i = 0; i < sizeof packets / sizeof *packets; i++) {
        struct client *c = meet(w, 5);
        struct packet got;
        client_send_bytes(c, packets[i].bytes, packets[i].size);
        if (listen_for(c, &got)) {
            claim_equal(got.type, PACKET_CONNACK);
            claim(got.connack.reason >= 0x80 && !got.connack.session_present);
        }
        expect_end(c);
    }
    claim_equal(WORLD_COUNT(w, sessions), 0);
}

/* MQTT5 [MQTT-3.1.4-6]: what follows a refused CONNECT is not looked at. */
static void
nothing_is_done_after_a_refused_connect(struct world *w)
{
    struct client *s = join(w, 4, "s"), *c = knock(w, 4, "");
    subscribe(s, "#");
    say(c, "a", "x");
    expect_connack(c, REASON_CLIENT_IDENTIFIER_NOT_VALID);
    expect_end(c);
    expect_quiet(s);
}

/* MQTT5 3.1.4: a client may go on before it has seen CONNACK; [MQTT-3.2.0-1]: which comes first. */
static void
packets_behind_connect_are_served_after_connack(struct world *w)
{
    for (unsigned shard = 0; shard < w->broker->shard_count; shard++) {
        struct client *c = knock(w, 5, "c", .at_shard = (int)shard + 1);
        ask(c, "a", .qos = 1);
        say(c, "a", "x", .qos = 1, .id = 5);
        client_send(c, &(struct packet){.type = PACKET_PINGREQ});
        expect_connack(c, 0);
        expect(c, PACKET_SUBACK);
        take_in(c);
        pluck_ack_(c, PACKET_PUBACK, 5, 0);
        uint16_t id = 0;
        for (int i = 0; i < 2; i++) {
            struct packet got;
            claim(listen_for(c, &got));
            if (got.type == PACKET_PUBLISH) {
                id = got.publish.packet_id;
            }
        }
        claim(id != 0);
        bye(c, 0);
    }
}

/* MQTT5 [MQTT-4.12.0-1]: no authentication methods here. */
static void
an_authentication_method_is_refused(struct world *w)
{
    struct client *c = knock(w, 5, "c", .method = "SCRAM-SHA-256");
    expect_connack(c, REASON_BAD_AUTHENTICATION_METHOD);
    expect_end(c);
}

/* MQTT5 [MQTT-4.12.0-7] and 4.12.1: AUTH without a method is a Protocol Error. */
static void
auth_without_a_method_is_refused(struct world *w)
{
    struct client *c = join(w, 5, "c");
    claim(!properties_has(&greeting.connack.properties, PROPERTY_AUTHENTICATION_METHOD)); /* [MQTT-4.12.0-6] */
    client_send_bytes(c, "\xf0\x00", 2);
    expect_disconnect(c, REASON_PROTOCOL_ERROR);
    c = join(w, 5, "c");
    client_send_bytes(c, "\xf0\x07\x19\x05\x15\x00\x02" "ab", 9);
    expect_disconnect(c, REASON_PROTOCOL_ERROR);
}

/* --------------------------------------------------------------------------------------------------------------------------- what CONNACK says */

/* MQTT5 3.2.2.3: limits are announced; what is supported goes without saying. */
static void
connack_announces_the_limits(struct world *w)
{
    join(w, 5, "c");
    const struct properties *says = &greeting.connack.properties;
    claim(properties_has(says, PROPERTY_RECEIVE_MAXIMUM));
    claim_equal(says->receive_maximum, 321);
    claim(properties_has(says, PROPERTY_TOPIC_ALIAS_MAXIMUM));
    claim_equal(says->topic_alias_maximum, 77);
    claim(properties_has(says, PROPERTY_MAXIMUM_PACKET_SIZE));
    claim_equal(says->maximum_packet_size, 50000);
    claim(!properties_has(says, PROPERTY_RETAIN_AVAILABLE) || says->retain_available == 1);
    claim(!properties_has(says, PROPERTY_WILDCARD_SUBSCRIPTION_AVAILABLE) || says->wildcard_subscription_available == 1);
    claim(!properties_has(says, PROPERTY_SUBSCRIPTION_IDENTIFIER_AVAILABLE) || says->subscription_id_available == 1);
    claim(!properties_has(says, PROPERTY_SHARED_SUBSCRIPTION_AVAILABLE) || says->shared_subscription_available == 1);
}

/* MQTT5 [MQTT-3.1.2-31]. */
static void
response_information_is_not_given_unasked(struct world *w)
{
    join(w, 5, "c");
    claim(!properties_has(&greeting.connack.properties, PROPERTY_RESPONSE_INFORMATION));
    join(w, 5, "d", .wants_response_information = true); /* may be given or not */
}

static void
claim_terse(const struct properties *p)
{
    claim(!properties_has(p, PROPERTY_REASON_STRING));
    claim_equal(p->user_count, 0);
}

/* MQTT5 [MQTT-3.1.2-32]: Reason Strings only where they were asked for. */
static void
no_reasons_are_told_to_who_does_not_want_them(struct world *w)
{
    struct client *c = join(w, 5, "c", .terse = true);
    struct packet got;
    say(c, "$SYS/x", "x", .qos = 1);
    got = expect(c, PACKET_PUBACK);
    claim_terse(&got.ack.properties);
    say(c, "$SYS/x", "x", .qos = 2);
    got = expect(c, PACKET_PUBREC);
    claim_terse(&got.ack.properties);
    answer(c, PACKET_PUBREL, 99, 0);
    got = expect(c, PACKET_PUBCOMP);
    claim_terse(&got.ack.properties);
    ask(c, "a/#/b");
    got = expect(c, PACKET_SUBACK);
    claim_terse(&got.suback.properties);
    ask_unsubscribe(c, "nothing", 2);
    got = expect(c, PACKET_UNSUBACK);
    claim_terse(&got.suback.properties);
}

/* MQTT5 [MQTT-3.1.2-27]: CONNACK included; a client for which it is too large cannot be served. */
static void
connack_fits_into_a_small_maximum_packet_size(struct world *w)
{
    for (uint32_t size = 1; size < 80; size++) {
        struct client *c = knock(w, 5, "", .packet_size = size);
        take_in(c);
        claim(c->used <= size);
    }
}

/* --------------------------------------------------------------------------------------------------------------------------------------- others */

/* MQTT3 [MQTT-3.1.2-22]: in 3.1.1 there is no password without a user name; in version 5 there is. */
static void
a_password_without_user_name_is_for_version_5(struct world *w)
{
    join(w, 5, "c", .password = "secret");
    join(w, 4, "d", .user_name = "user", .password = "secret");
    struct client *c = meet(w, 4);
    client_send_bytes(c, "\x10\x15\x00\x04MQTT\x04\x42\x00\x00\x00\x01" "c\x00\x06secret", 23);
    struct packet got;
    if (listen_for(c, &got)) {
        claim_equal(got.type, PACKET_CONNACK);
        claim(got.connack.reason >= 0x80);
    }
    expect_end(c);
}

/* Mosquitto's bridges set the top bit of the level. */
static void
a_bridge_is_a_client(struct world *w)
{
    struct client *c = join(w, 4, "bridge", .bridge = true), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    publish(p, "a", "x", .qos = 1);
    take(c, "a", "x", 1);
}

/* A client that finishes sending has left, with or without DISCONNECT. */
static void
a_half_closed_connection_is_closed(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 100);
    sim_finish(w->sim, c->connection);
    world_settle(w);
    claim_equal(WORLD_COUNT(w, connected), 0);
    claim_equal(WORLD_COUNT(w, sessions), 1);
}

/* MQTT5 [MQTT-3.14.1-1]: reserved bits of DISCONNECT. */
static void
a_malformed_disconnect_is_refused(struct world *w)
{
    struct client *c = join(w, 5, "c");
    client_send_bytes(c, "\xe1\x00", 2);
    expect_disconnect(c, REASON_MALFORMED_PACKET);
}

/* MQTT5 3.14.2.1: a reason that only a server may use. */
static void
a_disconnect_reason_of_servers_is_refused(struct world *w)
{
    struct client *c = join(w, 5, "c");
    client_send_bytes(c, "\xe0\x01\x8e", 3);
    struct packet got;
    if (listen_for(c, &got)) {
        claim_equal(got.type, PACKET_DISCONNECT);
    }
    expect_end(c);
}

/* 3.1.4-5: everybody comes in, from every shard, also when they come all at once. */
static void
a_thousand_clients_come_in_at_once(struct world *w)
{
    static struct client *c[1000];
    for (int i = 0; i < 1000; i++) {
        char id[16];
        snprintf(id, sizeof id, "c%d", i);
        c[i] = knock(w, (uint8_t)(3 + i % 3), id);
    }
    for (int i = 0; i < 1000; i++) {
        expect_connack(c[i], 0);
    }
    claim_equal(WORLD_COUNT(w, connected), 1000);
    claim_equal(WORLD_COUNT(w, sessions), 1000);
}

static const struct dialogue dialogues[] = {
    TELL(session_present_says_whether_there_was_a_session),
    TELL(a_resumed_session_has_its_subscriptions_and_messages),
    TELL(clean_start_discards_the_session),
    TELL(a_session_without_expiry_ends_with_the_connection),
    TELL(a_session_lasts_for_its_expiry_interval),
    TELL(a_resume_changes_the_expiry_interval),
    TELL(disconnect_changes_the_expiry_interval),
    TELL(disconnect_cannot_lengthen_an_expiry_of_0),
    TELL_WITH(a_longer_expiry_than_allowed_is_cut_and_told, "persistent_client_expiration 1h"),
    TELL_WITH(sessions_for_ever_are_for_ever, "persistent_client_expiration never"),
    TELL(a_session_can_be_resumed_with_another_version),
    TELL(client_identifiers_are_compared_byte_by_byte),
    TELL(client_identifiers_may_be_long),
    TELL(an_empty_identifier_gets_one_of_its_own),
    TELL(a_given_identifier_is_not_assigned),
    TELL(an_empty_identifier_needs_a_clean_session_in_3_1_1),
    TELL(an_empty_identifier_is_refused_in_3_1),
    TELL_WITH(an_empty_identifier_is_refused_when_not_allowed, "allow_zero_length_clientid false"),
    TELL(a_silent_client_is_closed_after_one_and_a_half_keep_alives),
    TELL(any_packet_keeps_a_client_alive),
    TELL(what_the_broker_sends_keeps_nobody_alive),
    TELL(keep_alive_0_never_ends),
    TELL_WITH(server_keep_alive_is_told_and_applied, "max_keepalive 60"),
    TELL(a_session_survives_a_keep_alive_timeout),
    TELL(pingreq_is_answered_with_pingresp),
    TELL(a_second_client_takes_the_identifier_over),
    TELL(a_takeover_resumes_the_session),
    TELL(a_takeover_with_clean_start_discards_the_session),
    TELL(of_many_takeovers_at_once_one_remains),
    TELL(a_takeover_amid_requests_does_no_harm),
    TELL(the_first_packet_must_be_connect),
    TELL(a_second_connect_is_a_protocol_error),
    TELL(a_second_connect_at_once_is_a_protocol_error),
    TELL(a_connection_without_connect_is_closed_in_time),
    TELL(a_slow_connect_in_time_is_welcome),
    TELL(an_unknown_protocol_level_is_refused),
    TELL(an_unknown_protocol_name_is_refused),
    TELL(a_malformed_connect_is_refused),
    TELL_WITH(nothing_is_done_after_a_refused_connect, "allow_zero_length_clientid false"),
    TELL(packets_behind_connect_are_served_after_connack),
    TELL(an_authentication_method_is_refused),
    TELL(auth_without_a_method_is_refused),
    TELL_WITH(connack_announces_the_limits, "receive_maximum 321\nmax_topic_alias 77\nmax_packet_size 50000"),
    TELL(response_information_is_not_given_unasked),
    TELL(no_reasons_are_told_to_who_does_not_want_them),
    TELL(connack_fits_into_a_small_maximum_packet_size),
    TELL(a_password_without_user_name_is_for_version_5),
    TELL(a_bridge_is_a_client),
    TELL(a_half_closed_connection_is_closed),
    TELL(a_malformed_disconnect_is_refused),
    TELL(a_disconnect_reason_of_servers_is_refused),
    TELL(a_thousand_clients_come_in_at_once),
};

DIALOGUES(dialogues)
