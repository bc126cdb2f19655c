/* Clients of a Unix socket: served as all others, by whichever shard takes them, and known by the socket's path. */
#include "test/dialogue/dialogue.h"

#include "engine/net/connection.h"
#include "engine/session/session.h"

#define PATH "/run/tidewire/mqtt.socket"
#define LISTENER "listener 0 " PATH "\n"

static struct client *
meet_at_path(struct world *w, int shard)
{
    struct client *c = meet(w, 5);
    sim_free(w->sim, c->connection);
    c->connection = sim_connect_path(w->sim, PATH, shard);
    return c;
}

static const char *
peer_of(const struct world *w, const char *id)
{
    struct bytes key = bytes_from(id);
    const struct shard *shard = w->broker->shards[broker_shard_of(w->broker, key.data, key.size)];
    struct session *s = session_table_find(&shard->session_table, broker_hash(w->broker, key.data, key.size), key);
    return s != NULL && s->connection != NULL ? connection_peer_text(s->connection) : "nobody";
}

static void
claim_peer(struct world *w, const char *id, const char *expected)
{
    if (strcmp(peer_of(w, id), expected) != 0) {
        complain("the peer is %s, not %s", peer_of(w, id), expected);
    }
}

static void
every_shard_takes_clients_for_every_other(struct world *w)
{
    unsigned shards = w->broker->shard_count;
    struct client *tcp = join(w, 5, "tcp");
    subscribe(tcp, "a", .qos = 1);
    for (unsigned from = 0; from < shards; from++) {
        for (unsigned home = 0; home < shards; home++) {
            const char *id = id_at(w, home, from + 1);
            struct client *c = meet_at_path(w, (int)from);
            send_connect(c, id, (struct hello){0});
            expect_connack(c, REASON_SUCCESS);
            claim_peer(w, id, PATH);
            publish(c, "a", "x", .qos = 1);
            take(tcp, "a", "x", 1);
        }
    }
}

static void
a_proxy_tells_more_than_the_path(struct world *w)
{
    static const char line[] = "PROXY TCP4 203.0.113.7 192.0.2.1 51234 1883\r\n", unknown[] = "PROXY UNKNOWN\r\n";
    struct client *c = meet_at_path(w, 0);
    client_send_raw(c, line, sizeof line - 1);
    send_connect(c, "told", (struct hello){0});
    expect_connack(c, REASON_SUCCESS);
    claim_peer(w, "told", "203.0.113.7:51234");
    c = meet_at_path(w, 0);
    client_send_raw(c, unknown, sizeof unknown - 1);
    send_connect(c, "untold", (struct hello){0});
    expect_connack(c, REASON_SUCCESS);
    claim_peer(w, "untold", PATH);
}

#define REQUEST                                                                                                                                   \
    "GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"                  \
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"

static void
come_by_websocket(struct world *w, const char *id)
{
    struct client *c = meet_at_path(w, 0);
    client_upgrade(c, REQUEST);
    claim_equal(c->web->status, 101);
    send_connect(c, id, (struct hello){0});
    expect_connack(c, REASON_SUCCESS);
}

static void
a_web_server_before_the_socket_names_the_client_if_it_is_trusted(struct world *w)
{
    come_by_websocket(w, "c");
    claim_peer(w, "c", "203.0.113.7:0");
}

static void
without_trust_it_stays_the_path(struct world *w)
{
    come_by_websocket(w, "c");
    claim_peer(w, "c", PATH);
}

static const struct dialogue dialogues[] = {
    TELL_WITH(every_shard_takes_clients_for_every_other, LISTENER),
    TELL_WITH(a_proxy_tells_more_than_the_path, LISTENER "enable_proxy_protocol 1\n"),
    TELL_WITH(a_web_server_before_the_socket_names_the_client_if_it_is_trusted, LISTENER "protocol websockets\nwebsockets_trusted_proxy unix\n"),
    TELL_WITH(without_trust_it_stays_the_path, LISTENER "protocol websockets\nwebsockets_trusted_proxy 10.0.0.0/8\n"),
};

DIALOGUES(dialogues)
