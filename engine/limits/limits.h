/*
 * limits: who may come in, and how often: rates of connects, connections per address, bans, and the counts behind timed bans.
 *
 *   accepted ──► limits_admit_address   banned? too many, too fast from there?    ┐ again when PROXY or a web proxy has told
 *            └─► limits_admit_connect   too fast for the listener, the broker?    ┘ who it is: see connection_learn_peer()
 *   CONNECT  ──► limits_is_banned       client identifier, user name
 *            └─► limits_note_connect    flapping: the same identifier again and again
 *   refused  ──► limits_note_refusal    the same address again and again
 *
 * The address comes first, so that who is refused for himself takes nothing of what all share. All of this is once per connection and process-wide: the table of
 * addresses has short locks, the shared rates are one atomic each. Where no option asks for it, it costs the look at the options.
 *
 * Invariants
 *   L1  a connection's `address_counted` says that its address's entry counts it; it goes along to the home shard and is given back once, with the peer it was counted for.
 *   L2  `sources` is there before a configuration that needs it is shown to the shards, and stays.
 *
 * Threads  limits_open, _reload, _close: the main thread. The others: any shard's, for itself.
 */
#ifndef TIDEWIRE_ENGINE_LIMITS_LIMITS_H
#define TIDEWIRE_ENGINE_LIMITS_LIMITS_H

#include "codec/bytes.h"
#include "engine/config/config.h"
#include "engine/limits/ban.h"
#include "engine/limits/rate.h"
#include "engine/limits/sources.h"

#include <stdatomic.h>

struct shard;
struct connection;
struct peer_address;

/* What the process shares. */
struct limits {
    uint64_t seed;
    uint8_t prefix_ipv4, prefix_ipv6; /* as at the start: what is counted under one key is given back under it */
    _Atomic(struct sources *) sources; /* NULL: no option has asked for it yet; a reload may make it while shards look */
    struct ban_list *bans;
    struct rate_shared_bucket connects;
    struct rate_shared_bucket listener_connects[CONFIG_LISTENERS_MAX];
    struct rate_shared_bucket listener_publishes[CONFIG_LISTENERS_MAX], listener_bytes[CONFIG_LISTENERS_MAX]; /* engine/limits/pace.h */
};

/* False when out of memory. `limits` zeroed; `seed`: secret. */
bool limits_open(struct limits *limits, const struct config *config, uint64_t seed);
/* Before `config` is shown to the shards. Without memory the table of addresses is not there, and its limits are not held: false. */
bool limits_reload(struct limits *limits, const struct config *config);
void limits_close(struct limits *limits);

static inline struct rate_rule
limits_rule(struct config_rate rate)
{
    return (struct rate_rule){.per_second = rate.per_second, .burst = rate.burst};
}

/* False: refused, counted and logged; the caller drops the connection. Without a known peer address: true. */
bool limits_admit_address(struct shard *shard, struct connection *c);
bool limits_admit_connect(struct shard *shard, const struct connection *c);
/* The other end of limits_admit_address(); harmless if the address is not counted. */
void limits_release_address(struct shard *shard, struct connection *c);
/* For a connection that is counted and was lost on its way to its home shard. */
void limits_release_peer(struct shard *shard, const struct peer_address *peer);

/* Empty values are not looked at. Counted and logged by the caller. */
bool limits_is_banned(const struct shard *shard, struct bytes client_id, struct bytes user_name);
/* Its address may have been banned after it was admitted. */
bool limits_is_banned_address(const struct shard *shard, const struct connection *c);

/* A client whose login is good. True: it came too often and is banned from now on. */
bool limits_note_connect(struct shard *shard, const struct connection *c, struct bytes client_id);
/* A connection is refused before it has a session; reasons that are not its peer's fault are passed over. */
void limits_note_refusal(struct shard *shard, const struct connection *c, uint8_t reason);

/* Once a turn: after bans were added (ban.h B3), a part of the shard's connections is looked at. */
void limits_enforce(struct shard *shard);
/* True while there are connections to be looked at. */
bool limits_enforcing(const struct shard *shard);

#endif
