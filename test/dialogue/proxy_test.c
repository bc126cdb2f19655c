/* Connections that a load balancer passes on: the PROXY header in both versions, what it says of the client, and who comes without one. */
#include "test/dialogue/dialogue.h"

#include "engine/net/connection.h"
#include "engine/session/session.h"
#include "engine/transport/transport.h"

#define VERSION_1 "enable_proxy_protocol 1\n"
#define VERSION_2 "enable_proxy_protocol 2\n"
#define LINE "PROXY TCP4 203.0.113.7 192.0.2.1 51234 1883\r\n"

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
static const uint8_t addresses[12] = {203, 0, 113, 7, 192, 0, 2, 1, 0xc8, 0x22, 0x07, 0x5b};

/* A header of version 2 for 203.0.113.7:51234; `name`: the common name of a certificate, or NULL; `client` and `verify` as in the TLV, 0 for no such TLV. */
static uint32_t
header_2(uint8_t *out, uint8_t command, uint8_t client, uint32_t verify, const char *name)
{
    struct writer w = writer_of(out, 256);
    uint32_t name_size = name != NULL ? (uint32_t)strlen(name) : 0;
    uint32_t tls_size = client == 0 ? 0 : 5 + (name != NULL ? 3 + name_size : 0);
    writer_put(&w, bytes_of(signature, sizeof signature));
    writer_u8(&w, command);
    writer_u8(&w, 0x11);
    writer_u16(&w, (uint16_t)(sizeof addresses + (tls_size > 0 ? 3 + tls_size : 0)));
    writer_put(&w, bytes_of(addresses, sizeof addresses));
    if (tls_size > 0) {
        writer_u8(&w, 0x20);
        writer_u16(&w, (uint16_t)tls_size);
        writer_u8(&w, client);
        writer_u32(&w, verify);
    }
    if (tls_size > 5) {
        writer_u8(&w, 0x22);
        writer_binary(&w, bytes_of(name, name_size));
    }
    return (uint32_t)(w.at - out);
}

static struct connection *
connection_of(const struct world *w, const char *id)
{
    struct bytes key = bytes_from(id);
    const struct shard *shard = w->broker->shards[broker_shard_of(w->broker, key.data, key.size)];
    struct session *s = session_table_find(&shard->session_table, broker_hash(w->broker, key.data, key.size), key);
    return s != NULL ? s->connection : NULL;
}

static void
claim_peer(struct world *w, const char *id, const char *expected)
{
    struct connection *c = connection_of(w, id);
    const char *peer = c != NULL ? connection_peer_text(c) : "nobody";
    if (strncmp(peer, expected, strlen(expected)) != 0) {
        complain("the peer is %s, not %s", peer, expected);
    }
}

static uint64_t
refused(const struct world *w)
{
    return WORLD_COUNT(w, drops[DROP_PROXY_HEADER]);
}

/* Sends `header` and a CONNECT. */
static struct client *
come_with(struct world *w, const void *header, uint32_t size, const char *id)
{
    struct client *c = meet(w, 5);
    client_send_raw(c, header, size);
    send_connect(c, id, (struct hello){0});
    return c;
}

static void
a_line_becomes_the_peer_on_every_shard(struct world *w)
{
    for (unsigned shard = 0; shard < w->broker->shard_count; shard++) {
        const char *id = id_at(w, shard, 0);
        expect_connack(come_with(w, LINE, sizeof LINE - 1, id), REASON_SUCCESS);
        claim_peer(w, id, "203.0.113.7:51234");
    }
    static const char line[] = "PROXY TCP6 2001:db8::7 ::1 51234 1883\r\n";
    expect_connack(come_with(w, line, sizeof line - 1, "six"), REASON_SUCCESS);
    claim_peer(w, "six", "2001:db8::7:51234");
}

static void
unknown_leaves_the_sockets_own_peer(struct world *w)
{
    static const char line[] = "PROXY UNKNOWN\r\n";
    expect_connack(come_with(w, line, sizeof line - 1, "c"), REASON_SUCCESS);
    claim_peer(w, "c", "10.");
}

static void
a_header_in_pieces_is_read(struct world *w)
{
    struct client *c = meet(w, 5);
    for (uint32_t i = 0; i < sizeof LINE - 1; i++) {
        client_send_raw(c, LINE + i, 1);
        world_settle(w);
    }
    send_connect(c, "c", (struct hello){0});
    expect_connack(c, REASON_SUCCESS);
    claim_peer(w, "c", "203.0.113.7:51234");
}

static void
nobody_comes_in_without_the_header(struct world *w)
{
    expect_end(come_with(w, "", 0, "c"));
    static const char bad[] = "PROXY TCP4 203.0.113.7\r\n";
    expect_end(come_with(w, bad, sizeof bad - 1, "c"));
    uint8_t header[256];
    expect_end(come_with(w, header, header_2(header, 0x21, 0, 0, NULL), "c")); /* of the other version */
    claim_equal(refused(w), 3);
    claim_equal(WORLD_COUNT(w, connects), 0);
}

static void
half_a_header_is_cut_off_in_time(struct world *w)
{
    struct client *c = meet(w, 5);
    client_send_raw(c, LINE, 10);
    pass_seconds(w, 11);
    expect_end(c);
}

static void
version_2_becomes_the_peer(struct world *w)
{
    uint8_t header[256];
    expect_connack(come_with(w, header, header_2(header, 0x21, 0, 0, NULL), "c"), REASON_SUCCESS);
    claim_peer(w, "c", "203.0.113.7:51234");
    expect_connack(come_with(w, header, header_2(header, 0x20, 0, 0, NULL), "local"), REASON_SUCCESS);
    claim_peer(w, "local", "10.");
    expect_end(come_with(w, LINE, sizeof LINE - 1, "one"));
    claim_equal(refused(w), 1);
}

static void
only_clients_with_tls_come_in_where_it_is_required(struct world *w)
{
    uint8_t header[256];
    expect_end(come_with(w, header, header_2(header, 0x21, 0, 0, NULL), "c"));
    expect_end(come_with(w, header, header_2(header, 0x20, 0, 0, NULL), "c"));
    expect_end(come_with(w, header, header_2(header, 0x21, 2, 0, NULL), "c"));
    claim_equal(refused(w), 3);
    expect_connack(come_with(w, header, header_2(header, 0x21, 1, 1, NULL), "c"), REASON_SUCCESS);
}

static void
the_name_of_a_verified_certificate_is_kept_on_every_shard(struct world *w)
{
    uint8_t header[256];
    for (unsigned shard = 0; shard < w->broker->shard_count; shard++) {
        const char *id = id_at(w, shard, 0);
        expect_connack(come_with(w, header, header_2(header, 0x21, 3, 0, "sensor"), id), REASON_SUCCESS);
        const struct proxied *proxied = connection_transport(connection_of(w, id))->proxied;
        claim(proxied != NULL && proxied->certificate && proxied->name_size == 6 && memcmp(proxied->common_name, "sensor", 6) == 0);
    }
    expect_connack(come_with(w, header, header_2(header, 0x21, 3, 18, "imposter"), "bad"), REASON_SUCCESS);
    const struct proxied *proxied = connection_transport(connection_of(w, "bad"))->proxied;
    claim(proxied != NULL && !proxied->certificate && proxied->name_size == 0);
}

static void
only_clients_with_a_good_certificate_come_in_where_it_is_required(struct world *w)
{
    uint8_t header[256];
    expect_end(come_with(w, header, header_2(header, 0x21, 0, 0, NULL), "c"));
    expect_end(come_with(w, header, header_2(header, 0x21, 1, 0, NULL), "c"));
    expect_end(come_with(w, header, header_2(header, 0x21, 3, 18, "imposter"), "c"));
    claim_equal(refused(w), 3);
    expect_connack(come_with(w, header, header_2(header, 0x21, 3, 0, "sensor"), "c"), REASON_SUCCESS);
}

static void
a_websocket_may_follow_the_header(struct world *w)
{
    struct client *c = meet(w, 5);
    client_send_raw(c, LINE, sizeof LINE - 1);
    client_upgrade(c, NULL);
    claim_equal(c->web->status, 101);
    send_connect(c, "c", (struct hello){0});
    expect_connack(c, REASON_SUCCESS);
    claim_peer(w, "c", "203.0.113.7:51234");
    subscribe(c, "a", .qos = 1);
    publish(c, "a", "x", .qos = 1);
    take(c, "a", "x", 1);
}

static const struct dialogue dialogues[] = {
    TELL_WITH(a_line_becomes_the_peer_on_every_shard, VERSION_1),
    TELL_WITH(unknown_leaves_the_sockets_own_peer, VERSION_1),
    TELL_WITH(a_header_in_pieces_is_read, VERSION_1),
    TELL_WITH(nobody_comes_in_without_the_header, VERSION_1),
    TELL_WITH(half_a_header_is_cut_off_in_time, VERSION_1),
    TELL_WITH(version_2_becomes_the_peer, VERSION_2),
    TELL_WITH(only_clients_with_tls_come_in_where_it_is_required, VERSION_2 "proxy_protocol_v2_require_tls true\n"),
    TELL_WITH(the_name_of_a_verified_certificate_is_kept_on_every_shard, VERSION_2),
    TELL_WITH(only_clients_with_a_good_certificate_come_in_where_it_is_required, VERSION_2 "require_certificate true\n"),
    TELL_WITH(a_websocket_may_follow_the_header, VERSION_1 "protocol websockets\n"),
};

DIALOGUES(dialogues)
