#include "engine/limits/limits.h"

#include "engine/identity/principal.h"
#include "engine/log.h"
#include "engine/net/connection.h"
#include "engine/session/session.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

/* Connections looked at per turn after bans were added. */
#define ENFORCE_PER_TURN 4096u

/* What sources are told apart by. */
enum source_kind {
    SOURCE_OF_ADDRESS,
    SOURCE_OF_CLIENT,
};

/* ----------------------------------------------------------------------------------------------------------------- life */

static bool
needs_sources(const struct config *config)
{
    return config->address_max_connections != 0 || config->address_connect_rate.per_second != 0 || config->flapping_connects != 0 || config->flapping_refusals != 0;
}

/* L2: acquire pairs with the release in limits_reload(), so that who sees the table sees what is in it. */
static struct sources *
sources_of(const struct limits *limits)
{
    return atomic_load_explicit(&limits->sources, memory_order_acquire);
}

bool
limits_reload(struct limits *limits, const struct config *config)
{
    if (sources_of(limits) != NULL || !needs_sources(config)) {
        return true;
    }
    struct sources *sources = sources_init(config->limits_table_size, limits->seed);
    atomic_store_explicit(&limits->sources, sources, memory_order_release);
    return sources != NULL;
}

bool
limits_open(struct limits *limits, const struct config *config, uint64_t seed)
{
    limits->seed = seed;
    limits->prefix_ipv4 = config->address_prefix_ipv4;
    limits->prefix_ipv6 = config->address_prefix_ipv6;
    limits->bans = ban_list_init(seed);
    return limits->bans != NULL && limits_reload(limits, config);
}

void
limits_close(struct limits *limits)
{
    struct sources *sources = sources_of(limits);
    if (sources != NULL) {
        sources_fini(&sources);
    }
    if (limits->bans != NULL) {
        ban_list_fini(&limits->bans);
    }
}

static struct limits *
limits_of(const struct shard *shard)
{
    return &shard->broker->limits;
}

/* -------------------------------------------------------------------------------------------------------------- address */

static bool
is_ipv4_mapped(const struct peer_address *peer)
{
    static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};
    return peer->family == AF_INET6 && memcmp(peer->bytes, prefix, sizeof prefix) == 0;
}

/* What counts as one address: options address_prefix_ipv4 and _ipv6. */
static struct ban_network
network_of(const struct limits *limits, const struct peer_address *peer)
{
    if (is_ipv4_mapped(peer)) {
        return ban_network_of(AF_INET, peer->bytes + 12, limits->prefix_ipv4);
    }
    return ban_network_of(peer->family, peer->bytes, peer->family == AF_INET ? limits->prefix_ipv4 : limits->prefix_ipv6);
}

static struct source_key
key_of_peer(const struct limits *limits, const struct peer_address *peer)
{
    struct ban_network network = network_of(limits, peer);
    return sources_key(sources_of(limits), SOURCE_OF_ADDRESS, network.bytes, sizeof network.bytes);
}

static bool
is_banned_address(struct limits *limits, const struct peer_address *peer, uint64_t wall_ms)
{
    struct ban_network host = ban_network_of(peer->family, peer->bytes, peer->family == AF_INET ? 32 : 128);
    return ban_holds_address(limits->bans, host.bytes, wall_ms);
}

/* Counted and told. Always false. */
static bool
refuse_connection(struct shard *shard, const struct connection *c, enum drop_reason why, const char *explain)
{
    stats_add(&shard->stats.drops[why], 1);
    log_peer(CONFIG_LOG_WARNING, why, "Connection from %s refused: %s.", connection_peer_text(c), explain);
    return false;
}

static bool
count_address(struct shard *shard, struct connection *c, const struct peer_address *peer)
{
    struct limits *limits = limits_of(shard);
    struct source_limits rules = {.connections_max = shard->config->address_max_connections, .connects = limits_rule(shard->config->address_connect_rate)};
    if (rules.connections_max == 0 && !rate_is_limited(&rules.connects)) {
        return true;
    }
    switch (sources_enter(sources_of(limits), key_of_peer(limits, peer), &rules, io_now_ns(shard->io))) {
    case SOURCE_TOO_MANY:
        return refuse_connection(shard, c, DROP_ADDRESS_CONNECTIONS, "its address has address_max_connections already");
    case SOURCE_TOO_FAST:
        return refuse_connection(shard, c, DROP_ADDRESS_CONNECT_RATE, "its address connects faster than address_connect_rate");
    case SOURCE_UNTRACKED:
        stats_add(&shard->stats.untracked_connects, 1);
        return true;
    case SOURCE_ADMITTED:
        c->address_counted = true;
        break;
    }
    return true;
}

bool
limits_admit_address(struct shard *shard, struct connection *c)
{
    assert(!c->address_counted);
    struct limits *limits = limits_of(shard);
    struct peer_address peer = connection_peer(c);
    if (peer.family == 0) {
        return true;
    }
    if (limits_is_banned_address(shard, c)) {
        return refuse_connection(shard, c, DROP_BANNED, "its address is banned");
    }
    return sources_of(limits) == NULL || count_address(shard, c, &peer);
}

bool
limits_admit_connect(struct shard *shard, const struct connection *c)
{
    struct limits *limits = limits_of(shard);
    struct rate_rule own = limits_rule(shard->broker->listeners[c->listener].connect_rate);
    struct rate_rule all = limits_rule(shard->config->global_connect_rate);
    uint64_t now_ns = io_now_ns(shard->io);
    if (!rate_take_shared(&limits->listener_connects[c->listener], &own, now_ns, 1)) {
        return refuse_connection(shard, c, DROP_CONNECT_RATE, "its listener is at listener_connect_rate");
    }
    if (!rate_take_shared(&limits->connects, &all, now_ns, 1)) {
        return refuse_connection(shard, c, DROP_CONNECT_RATE, "the broker is at global_connect_rate");
    }
    return true;
}

void
limits_release_peer(struct shard *shard, const struct peer_address *peer)
{
    struct limits *limits = limits_of(shard);
    sources_leave(sources_of(limits), key_of_peer(limits, peer));
}

void
limits_release_address(struct shard *shard, struct connection *c)
{
    if (c->address_counted) {
        struct peer_address peer = connection_peer(c);
        c->address_counted = false;
        limits_release_peer(shard, &peer);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- bans */

bool
limits_is_banned(const struct shard *shard, struct bytes client_id, struct bytes user_name)
{
    struct ban_list *bans = limits_of(shard)->bans;
    uint64_t wall_ms = io_wall_ms(shard->io);
    return (client_id.size > 0 && ban_holds(bans, BAN_CLIENT, client_id, wall_ms)) || (user_name.size > 0 && ban_holds(bans, BAN_USER, user_name, wall_ms));
}

bool
limits_is_banned_address(const struct shard *shard, const struct connection *c)
{
    struct peer_address peer = connection_peer(c);
    return peer.family != 0 && is_banned_address(limits_of(shard), &peer, io_wall_ms(shard->io));
}

/* A timed ban, from now on. False, and counted, if there is no room for it. */
static bool
ban_for_flapping(struct shard *shard, struct ban *ban)
{
    uint64_t wall_ms = io_wall_ms(shard->io);
    ban->origin = BAN_AUTOMATIC;
    ban->until_ms = wall_ms + shard->config->flapping_ban_s * 1000ull;
    bool added = ban_add(limits_of(shard)->bans, ban, wall_ms);
    stats_add(added ? &shard->stats.flapping_bans : &shard->stats.drops[DROP_MEMORY], 1);
    return added;
}

bool
limits_note_connect(struct shard *shard, const struct connection *c, struct bytes client_id)
{
    const struct config *config = shard->config;
    struct limits *limits = limits_of(shard);
    if (config->flapping_connects == 0 || sources_of(limits) == NULL) {
        return false;
    }
    struct source_key key = sources_key(sources_of(limits), SOURCE_OF_CLIENT, client_id.data, client_id.size);
    if (!sources_note(sources_of(limits), key, config->flapping_connects, config->flapping_window_s, io_now_ns(shard->io))) {
        return false;
    }
    struct ban ban = {.kind = BAN_CLIENT, .value = client_id};
    if (!ban_for_flapping(shard, &ban)) {
        return false;
    }
    log_peer(CONFIG_LOG_WARNING, DROP_BANNED, "Client %.*s [%s] banned for %u s: %u connects within %u s.", (int)client_id.size, (const char *)client_id.data,
             connection_peer_text(c), config->flapping_ban_s, config->flapping_connects, config->flapping_window_s);
    return true;
}

/* Not want of room, nor a ban that holds already. */
static bool
is_the_peers_fault(uint8_t reason)
{
    return reason != REASON_SERVER_UNAVAILABLE && reason != REASON_SERVER_BUSY && reason != REASON_QUOTA_EXCEEDED && reason != REASON_BANNED;
}

void
limits_note_refusal(struct shard *shard, const struct connection *c, uint8_t reason)
{
    const struct config *config = shard->config;
    struct limits *limits = limits_of(shard);
    struct peer_address peer = connection_peer(c);
    if (config->flapping_refusals == 0 || sources_of(limits) == NULL || peer.family == 0 || !is_the_peers_fault(reason)) {
        return;
    }
    if (!sources_note(sources_of(limits), key_of_peer(limits, &peer), config->flapping_refusals, config->flapping_window_s, io_now_ns(shard->io))) {
        return;
    }
    struct ban ban = {.kind = BAN_ADDRESS, .network = network_of(limits, &peer)};
    if (ban_for_flapping(shard, &ban)) {
        char text[INET6_ADDRSTRLEN + 4];
        ban_network_text(&ban.network, text, sizeof text);
        log_peer(CONFIG_LOG_WARNING, DROP_BANNED, "Address %s banned for %u s: %u refused connections within %u s.", text, config->flapping_ban_s,
                 config->flapping_refusals, config->flapping_window_s);
    }
}

/* -------------------------------------------------------------------------------------------------------------- enforce */

bool
limits_enforcing(const struct shard *shard)
{
    return shard->ban_walk_under_way || shard->ban_generation != ban_generation(limits_of(shard)->bans);
}

static bool
is_banned_now(struct shard *shard, const struct connection *c)
{
    const struct principal *principal = session_get_extra(c->session)->principal;
    struct bytes user = principal != NULL ? principal->user : bytes_of(NULL, 0);
    return limits_is_banned(shard, session_client_id(c->session), user) || limits_is_banned_address(shard, c);
}

void
limits_enforce(struct shard *shard)
{
    uint64_t generation = ban_generation(limits_of(shard)->bans);
    if (generation != shard->ban_generation) {
        shard->ban_generation = generation;
        shard->ban_walk = (struct slab_walk){0};
        shard->ban_walk_under_way = true;
    }
    for (unsigned i = 0; shard->ban_walk_under_way && i < ENFORCE_PER_TURN; i++) {
        struct connection *c = slab_walk(&shard->connections, &shard->ban_walk);
        shard->ban_walk_under_way = c != NULL;
        if (c != NULL && c->state == CONNECTION_CONNECTED && is_banned_now(shard, c)) {
            stats_add(&shard->stats.drops[DROP_BANNED], 1);
            connection_close(shard, c, REASON_ADMINISTRATIVE_ACTION, "is banned"); /* MQTT5 3.14.2.1 has no 0x8A */
        }
    }
}
