/* MQTT inside of WebSockets: the upgrade, frames in every cut, control frames, the end from either side, and who the client is behind a proxy. */
#include "test/dialogue/dialogue.h"

#include "codec/websocket.h"
#include "engine/net/connection.h"
#include "engine/session/session.h"

#define WEBSOCKETS "protocol websockets\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define USUAL "Upgrade: websocket\r\nConnection: Upgrade\r\n" KEY "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n"
#define REQUEST(more) "GET / HTTP/1.1\r\nHost: b\r\n" more USUAL "\r\n"

static struct client *
surf(struct world *w, uint8_t version)
{
    struct client *c = meet(w, version);
    client_upgrade(c, NULL);
    claim_equal(c->web->status, 101);
    return c;
}

#define browse(w, version, id, ...) (HERE, browse_((w), (version), (id), (struct hello){__VA_ARGS__}))
static struct client *
browse_(struct world *w, uint8_t version, const char *id, struct hello h)
{
    struct client *c = surf(w, version);
    send_connect(c, id, h);
    greeting = expect_connack_(c, REASON_SUCCESS);
    return c;
}

/* The Close frame that ended the connection had this code, and nothing came after it. */
#define claim_closed(c, code) (HERE, claim_closed_((c), (code)))
static void
claim_closed_(struct client *c, uint16_t code)
{
    settle(c);
    client_pull(c);
    if (!c->web->closed) {
        complain("no Close frame came");
    }
    claim_equal_("the code", c->web->close_code, code);
    if (!sim_finished(c->world->sim, c->connection)) {
        complain("the connection is still open");
    }
}

static uint32_t
connect_bytes(uint8_t *out, uint32_t room, const char *id)
{
    struct packet p = {.type = PACKET_CONNECT, .connect = {.version = 5, .clean_start = true, .client_id = bytes_from(id)}};
    return encode_packet(out, room, 5, &p);
}

/* ------------------------------------------------------------------------------------------------------------- everyday use */

static void
every_version_talks_through_a_websocket(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *s = browse(w, version, id_at(w, 0, 0)), *p = browse(w, version, id_at(w, w->broker->shard_count - 1, 1));
        subscribe(s, "a/+", .qos = 2);
        publish(p, "a/b", "hello", .qos = 2);
        take(s, "a/b", "hello", 2);
        publish(p, "a/b", "big", .qos = 1, .payload_size = 300000);
        hear(s, "a/b", NULL, 1);
        claim(s->web->frames >= 3);
    }
}

/* The end of the handshake is on its way when CONNECT is already there, and the client's home is another shard. */
static void
a_client_that_does_not_wait_for_the_answer_is_served(struct world *w)
{
    for (unsigned shard = 0; shard < w->broker->shard_count; shard++) {
        struct client *c = meet_at(w, 5, 0);
        uint8_t bytes[128];
        uint32_t size = connect_bytes(bytes, sizeof bytes, id_at(w, shard, 5));
        const char *request = REQUEST("");
        client_send_raw(c, request, (uint32_t)strlen(request));
        c->web = calloc(1, sizeof *c->web);
        client_send_frame(c, 0x82, bytes, size);
        client_send_frame(c, 0x89, "ping", 4);
        client_send_frame(c, 0x82, "\xc0\x00", 2);
        expect_connack(c, REASON_SUCCESS);
        expect(c, PACKET_PINGRESP);
        claim_equal(c->web->pongs, 1);
    }
}

/* MQTT5 [MQTT-6.0.0-2] */
static void
packets_lie_across_frames_and_several_in_one(struct world *w)
{
    struct client *c = surf(w, 5);
    uint8_t bytes[128];
    uint32_t size = connect_bytes(bytes, sizeof bytes, "pieces");
    for (uint32_t i = 0; i < size; i++) {
        client_send_frame(c, 0x82, bytes + i, 1);
    }
    expect_connack(c, REASON_SUCCESS);
    client_send_frame(c, 0x82, "\xc0\x00\xc0\x00\xc0", 5);
    client_send_frame(c, 0x02, "\x00\xc0", 2);
    client_send_frame(c, 0x89, "", 0);
    client_send_frame(c, 0x00, "", 0);
    client_send_frame(c, 0x80, "\x00", 1);
    for (int i = 0; i < 4; i++) {
        expect(c, PACKET_PINGRESP);
    }
    expect_quiet(c);
    claim_equal(c->web->pongs, 1);
}

/* What a flush carries is one frame. */
static void
many_messages_in_one_turn_are_one_frame(struct world *w)
{
    struct client *s = browse(w, 5, id_at(w, 0, 0)), *p = browse(w, 5, id_at(w, 0, 1));
    (void)p;
    subscribe(s, "a");
    uint32_t before = s->web->frames;
    uint8_t bytes[4096];
    uint32_t used = 0;
    for (int i = 0; i < 50; i++) {
        struct packet m = {.type = PACKET_PUBLISH, .publish = {.topic = bytes_from("a"), .payload = bytes_from("x")}};
        used += encode_packet(bytes + used, sizeof bytes - used, 5, &m);
    }
    client_send_bytes(p, bytes, used);
    for (int i = 0; i < 50; i++) {
        hear(s, "a", "x", 0);
    }
    claim(s->web->frames - before <= (w->broker->shard_count == SHARDS_TRIED ? 50 : 1));
}

/* ------------------------------------------------------------------------------------------------------------- the upgrade */

static void
requests_that_are_none_get_their_status(struct world *w)
{
    static const struct {
        const char *request;
        uint32_t status;
    } cases[] = {
        {"POST / HTTP/1.1\r\n\r\n", 405},
        {"GET / HTTP/1.1\r\nHost: b\r\n\r\n", 426},
        {"GET / HTTP/1.0\r\nHost: b\r\n" USUAL "\r\n", 505},
        {"\x10\x0c", 400},
        {"\x16\x03\x01\x02", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client *c = meet(w, 5);
        client_upgrade(c, cases[i].request);
        claim_equal(c->web->status, cases[i].status);
        expect_end(c);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_WEBSOCKET_UPGRADE]), sizeof cases / sizeof cases[0]);
}

static void
a_request_in_pieces_is_good(struct world *w)
{
    struct client *c = meet(w, 5);
    const char *request = REQUEST("Cookie: a=b\r\n");
    for (; request[1] != '\0'; request++) {
        client_send_raw(c, request, 1);
        world_settle(w);
    }
    client_upgrade(c, request);
    claim_equal(c->web->status, 101);
}

static void
a_huge_request_is_refused_at_the_limit(struct world *w)
{
    struct client *c = meet(w, 5);
    char request[2048];
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: b\r\nCookie: %.*s", 1500, (const char *)memset(request + 500, 'x', 1500));
    client_upgrade(c, request);
    claim_equal(c->web->status, 431);
    expect_end(c);
}

/* Slow-loris: a byte now and then buys no time. */
static void
a_request_that_drips_is_cut_off(struct world *w)
{
    struct client *c = meet(w, 5);
    const char *request = REQUEST("");
    for (int i = 0; i < 15; i++) {
        client_send_raw(c, request + i, 1);
        pass_seconds(w, 1);
    }
    expect_end(c);
    claim_equal(WORLD_COUNT(w, drops[DROP_CONNECT_TIMEOUT]), 1);
}

static void
who_upgrades_and_says_nothing_is_cut_off(struct world *w)
{
    struct client *c = surf(w, 5);
    for (int i = 0; i < 12; i++) {
        client_send_frame(c, 0x89, "", 0);
        pass_seconds(w, 1);
    }
    expect_end(c);
    claim_equal(WORLD_COUNT(w, drops[DROP_CONNECT_TIMEOUT]), 1);
}

static void
only_listed_origins_come_in(struct world *w)
{
    struct client *c = meet(w, 5);
    client_upgrade(c, REQUEST("Origin: https://a.example\r\n"));
    claim_equal(c->web->status, 101);
    c = meet(w, 5);
    client_upgrade(c, REQUEST("Origin: https://b.example:8080\r\n"));
    claim_equal(c->web->status, 101);
    c = meet(w, 5);
    client_upgrade(c, REQUEST("Origin: https://evil.example\r\n"));
    claim_equal(c->web->status, 403);
    expect_end(c);
    c = meet(w, 5);
    client_upgrade(c, REQUEST(""));
    claim_equal(c->web->status, 403);
}

/* ---------------------------------------------------------------------------------------------------------- control frames */

static void
pings_are_answered_with_what_they_carry(struct world *w)
{
    struct client *c = browse(w, 5, "c");
    client_send_frame(c, 0x89, "abc", 3);
    client_send_frame(c, 0x8a, "unasked", 7);
    expect_quiet(c);
    claim_equal(c->web->pongs, 1);
    claim(c->web->pong_size == 3 && memcmp(c->web->pong, "abc", 3) == 0);
}

/* A flood of pings from a client that does not read costs no more than a few answers. */
static void
a_flood_of_pings_does_not_fill_memory(struct world *w)
{
    struct client *c = browse(w, 5, "c");
    sim_set_stuck(w->sim, c->connection, true);
    uint8_t payload[125] = {0};
    settle(c);
    for (int i = 0; i < 20000; i++) {
        client_send_frame(c, 0x89, payload, sizeof payload);
        if (i % 500 == 0) {
            world_settle(w);
        }
    }
    world_settle(w);
    claim(world_charged_bytes(w) < 1 << 20);
    claim(WORLD_COUNT(w, drops[DROP_OUTPUT_FULL]) > 0);
    sim_set_stuck(w->sim, c->connection, false);
    settle(c);
    client_pull(c);
    claim(c->web->pongs > 0 && c->web->pongs < 20000);
    expect_quiet(c);
}

/* Options flapping_refusals 2, flapping_window 10, flapping_ban 60; behind a trusted proxy nobody knows whose fault it was. */
static void
send_bad_requests(struct world *w)
{
    for (int i = 0; i < 2; i++) {
        struct client *c = meet(w, 5);
        come_from(c, "192.0.2.1");
        client_send_bytes(c, "GET / HTTP/1.1\r\nHost: b\r\n\r\n", 27);
        world_settle(w);
    }
}

static void
an_address_of_bad_requests_is_banned(struct world *w)
{
    send_bad_requests(w);
    claim_equal(WORLD_COUNT(w, flapping_bans), 1);
}

static void
a_trusted_proxy_is_not_banned_for_bad_requests(struct world *w)
{
    send_bad_requests(w);
    claim_equal(WORLD_COUNT(w, drops[DROP_WEBSOCKET_UPGRADE]), 2);
    claim_equal(WORLD_COUNT(w, flapping_bans), 0);
}

/* MQTT5 [MQTT-3.1.2-22]: only packets keep a client alive. */
static void
pings_of_the_websocket_do_not_replace_those_of_mqtt(struct world *w)
{
    struct client *c = browse(w, 5, "c", .keep_alive_s = 4);
    for (int i = 0; i < 7; i++) {
        client_send_frame(c, 0x89, "", 0);
        pass_seconds(w, 1);
    }
    expect_disconnect(c, REASON_KEEP_ALIVE_TIMEOUT);
    claim_closed(c, WEBSOCKET_NORMAL);
}

/* ----------------------------------------------------------------------------------------------------------------- the end */

static void
a_close_frame_is_answered_and_the_will_is_said(struct world *w)
{
    struct client *c = browse(w, 5, id_at(w, 0, 0), .will_topic = "gone", .will_payload = "x"), *s = browse(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "gone");
    client_send_frame(c, 0x88, "\x03\xe9", 2);
    claim_closed(c, WEBSOCKET_GOING_AWAY);
    expect_end(c);
    hear(s, "gone", "x", 0);
}

static void
a_disconnect_before_the_close_frame_leaves_no_will(struct world *w)
{
    struct client *c = browse(w, 5, id_at(w, 0, 0), .will_topic = "gone", .will_payload = "x"), *s = browse(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "gone");
    client_send_frame(c, 0x82, "\xe0\x00", 2);
    client_send_frame(c, 0x88, "\x03\xe8", 2);
    claim_closed(c, WEBSOCKET_NORMAL);
    expect_quiet(s);
}

static void
what_mqtt_refuses_ends_with_disconnect_and_close(struct world *w)
{
    struct client *c = browse(w, 5, "c");
    client_send_frame(c, 0x82, "\x82\x00", 2); /* SUBSCRIBE without anything */
    expect_disconnect(c, REASON_MALFORMED_PACKET);
    claim_closed(c, WEBSOCKET_PROTOCOL_ERROR);

    struct client *big = browse(w, 5, "big");
    client_send_frame(big, 0x82, "\x30\xff\xff\xff\x7f", 5);
    expect_disconnect(big, REASON_PACKET_TOO_LARGE);
    claim_closed(big, WEBSOCKET_TOO_BIG);

    struct client *old = browse(w, 4, "old");
    client_send_frame(old, 0x82, "\xf0\x00", 2);
    claim_closed(old, WEBSOCKET_PROTOCOL_ERROR);
}

/* A large packet before CONNECT: refused from its header, whatever the frame says. */
static void
a_large_packet_before_connect_is_refused_by_its_header(struct world *w)
{
    struct client *c = surf(w, 5);
    client_send_raw(c, "\x82\xff\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00\x10\xff\xff\xff\x7f", 19);
    claim_closed(c, WEBSOCKET_TOO_BIG);
}

static void
bad_frames_end_with_their_code(struct world *w)
{
    static const struct {
        uint8_t bytes[8];
        uint32_t size;
        uint16_t code;
    } cases[] = {
        {{0x82, 0x02, 0xc0, 0x00}, 4, WEBSOCKET_PROTOCOL_ERROR},            /* not masked */
        {{0x81, 0x81, 0, 0, 0, 0, 'a'}, 7, WEBSOCKET_UNSUPPORTED},          /* text */
        {{0xc2, 0x80, 0, 0, 0, 0}, 6, WEBSOCKET_PROTOCOL_ERROR},
        {{0x80, 0x80, 0, 0, 0, 0}, 6, WEBSOCKET_PROTOCOL_ERROR},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client *c = browse(w, 5, "c", .will_topic = "gone", .will_payload = "x");
        client_send_raw(c, cases[i].bytes, cases[i].size);
        claim_closed(c, cases[i].code);
        c = surf(w, 5);
        client_send_raw(c, cases[i].bytes, cases[i].size);
        claim_closed(c, cases[i].code);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_WEBSOCKET_FRAME]), 2 * sizeof cases / sizeof cases[0]);
}

static void
a_stop_says_going_away(struct world *w)
{
    struct client *c = browse(w, 5, "c"), *stranger = surf(w, 5), *half = meet(w, 5);
    client_upgrade(half, "GET / HT");
    broker_stop(w->broker);
    expect_disconnect(c, REASON_SERVER_SHUTTING_DOWN);
    claim_closed(c, WEBSOCKET_GOING_AWAY);
    claim_closed(stranger, WEBSOCKET_GOING_AWAY);
    expect_end(half);
    claim_equal(half->web->status, 0);
}

/* A subscriber that does not read is bounded as without a WebSocket, and gets what is kept for it. */
static void
a_stuck_subscriber_costs_only_itself(struct world *w)
{
    struct client *s = browse(w, 5, id_at(w, 0, 0)), *p = browse(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "a");
    sim_set_stuck(w->sim, s->connection, true);
    for (int i = 0; i < 3000; i++) {
        say_(p, "a", "x", (struct utterance){.payload_size = 10000});
        if (i % 100 == 0) {
            settle(p);
        }
    }
    settle(p);
    claim(WORLD_COUNT(w, drops[DROP_OUTPUT_FULL]) > 0);
    sim_set_stuck(w->sim, s->connection, false);
    for (int i = 0; i < 100; i++) {
        hear(s, "a", NULL, 0);
    }
}

/* ---------------------------------------------------------------------------------------------------------- behind proxies */

static const char *
address_of(const struct world *w, const char *id)
{
    struct bytes key = bytes_from(id);
    const struct shard *shard = w->broker->shards[broker_shard_of(w->broker, key.data, key.size)];
    struct session *s = session_table_find(&shard->session_table, broker_hash(w->broker, key.data, key.size), key);
    return s != NULL && s->connection != NULL ? connection_peer_text(s->connection) : "nobody";
}

static void
claim_peer(struct world *w, const char *request, const char *expected)
{
    struct client *c = meet(w, 5);
    client_upgrade(c, request);
    claim_equal(c->web->status, 101);
    send_connect(c, "c", (struct hello){0});
    expect_connack(c, REASON_SUCCESS);
    if (strncmp(address_of(w, "c"), expected, strlen(expected)) != 0) {
        complain("the peer is %s, not %s", address_of(w, "c"), expected);
    }
}

static void
without_trust_a_client_cannot_choose_its_address(struct world *w)
{
    struct client *c = meet(w, 5);
    client_upgrade(c, REQUEST("X-Forwarded-For: 203.0.113.7\r\n"));
    send_connect(c, "c", (struct hello){0});
    expect_connack(c, REASON_SUCCESS);
    claim(strncmp(address_of(w, "c"), "203.0.113.7", 11) != 0);
}

static void
a_trusted_proxy_names_the_client(struct world *w)
{
    claim_peer(w, REQUEST("X-Forwarded-For: 203.0.113.7\r\n"), "203.0.113.7:");
    claim_peer(w, REQUEST("X-Forwarded-For: 6.6.6.6, 203.0.113.7\r\n"), "203.0.113.7:"); /* what the client wrote itself */
    claim_peer(w, REQUEST("X-Forwarded-For: 6.6.6.6, 203.0.113.7, 192.0.2.9\r\n"), "203.0.113.7:"); /* a second proxy, which is trusted too */
    claim_peer(w, REQUEST("X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 2001:db8::7\r\n"), "2001:db8::7:");
    claim_peer(w, REQUEST("X-Forwarded-For: 203.0.113.7:4711\r\nForwarded: for=6.6.6.6\r\n"), "203.0.113.7:4711");
    claim_peer(w, REQUEST("X-Forwarded-For: \"6.6.6.6, [2001:db8::7]:4711\r\n"), "2001:db8::7:4711");
    claim_peer(w, REQUEST("X-Forwarded-For: unknown\r\n"), "unknown");
    static const char *const bad[] = {REQUEST("X-Forwarded-For: 1.2.3\r\n"), REQUEST("X-Forwarded-For: 1.2.3.4:x\r\n"), REQUEST("X-Forwarded-For: [::1\r\n")};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct client *c = meet(w, 5);
        client_upgrade(c, bad[i]);
        claim_equal(c->web->status, 400);
    }
}

static void
the_standard_header_is_read_where_the_operator_says(struct world *w)
{
    claim_peer(w, REQUEST("Forwarded: for=\"[2001:db8::7]:4711\";proto=https\r\nX-Forwarded-For: 6.6.6.6\r\n"), "2001:db8::7:4711");
    claim_peer(w, REQUEST("Forwarded: for=6.6.6.6, for=203.0.113.7;by=_x\r\n"), "203.0.113.7:");
    claim_peer(w, REQUEST("Forwarded: for=6.6.6.6, for=_hidden\r\n"), "unknown");
}

#define FLAPPING "flapping_refusals 2\nflapping_window 10\nflapping_ban 60\n"
#define TRUSTING WEBSOCKETS "websockets_trusted_proxy 192.0.2.0/24\nwebsockets_trusted_proxy 10.0.0.0/8\n"

static const struct dialogue dialogues[] = {
    TELL_WITH(every_version_talks_through_a_websocket, WEBSOCKETS),
    TELL_WITH(a_client_that_does_not_wait_for_the_answer_is_served, WEBSOCKETS),
    TELL_WITH(packets_lie_across_frames_and_several_in_one, WEBSOCKETS),
    TELL_WITH(many_messages_in_one_turn_are_one_frame, WEBSOCKETS),
    TELL_WITH(an_address_of_bad_requests_is_banned, WEBSOCKETS FLAPPING),
    TELL_WITH(a_trusted_proxy_is_not_banned_for_bad_requests, TRUSTING FLAPPING),
    TELL_WITH(requests_that_are_none_get_their_status, WEBSOCKETS),
    TELL_WITH(a_request_in_pieces_is_good, WEBSOCKETS),
    TELL_WITH(a_huge_request_is_refused_at_the_limit, WEBSOCKETS "websockets_headers_size 1000\n"),
    TELL_WITH(a_request_that_drips_is_cut_off, WEBSOCKETS),
    TELL_WITH(who_upgrades_and_says_nothing_is_cut_off, WEBSOCKETS),
    TELL_WITH(only_listed_origins_come_in, WEBSOCKETS "websockets_origin https://a.example\nwebsockets_origin https://b.example:8080\n"),
    TELL_WITH(pings_are_answered_with_what_they_carry, WEBSOCKETS),
    TELL_WITH(a_flood_of_pings_does_not_fill_memory, WEBSOCKETS),
    TELL_WITH(pings_of_the_websocket_do_not_replace_those_of_mqtt, WEBSOCKETS),
    TELL_WITH(a_close_frame_is_answered_and_the_will_is_said, WEBSOCKETS),
    TELL_WITH(a_disconnect_before_the_close_frame_leaves_no_will, WEBSOCKETS),
    TELL_WITH(what_mqtt_refuses_ends_with_disconnect_and_close, WEBSOCKETS),
    TELL_WITH(a_large_packet_before_connect_is_refused_by_its_header, WEBSOCKETS),
    TELL_WITH(bad_frames_end_with_their_code, WEBSOCKETS),
    TELL_WITH(a_stop_says_going_away, WEBSOCKETS),
    TELL_WITH(a_stuck_subscriber_costs_only_itself, WEBSOCKETS),
    TELL_WITH(without_trust_a_client_cannot_choose_its_address, WEBSOCKETS "websockets_trusted_proxy 198.51.100.1\n"),
    TELL_WITH(a_trusted_proxy_names_the_client, TRUSTING),
    TELL_WITH(the_standard_header_is_read_where_the_operator_says, TRUSTING "websockets_forwarded_header forwarded\n"),
};

DIALOGUES(dialogues)
