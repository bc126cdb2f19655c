/*
 * broker: what the shards of one process share, and their life from start to stop.
 *
 *   broker_open ──► broker_listen ──► one thread per shard: shard_enter, recover_shard, shard_turn..., shard_leave ──► broker_close
 *
 * Shared and changing: the filter index (its own rules), the mesh, the memory budget, and the few atomics below. Everything else belongs to one shard.
 */
#ifndef TIDEWIRE_ENGINE_BROKER_H
#define TIDEWIRE_ENGINE_BROKER_H

#include "alloc/budget.h"
#include "engine/config/config.h"
#include "engine/io/io.h"
#include "engine/limits/limits.h"
#include "engine/mesh.h"
#include "router/filter_index.h"

#define BROKER_SHARDS_MAX 64
/* Snapshots that some shard may still use, at a time. */
#define BROKER_SNAPSHOTS_MAX 8

struct shard;
struct security;
struct store;

struct broker {
    struct io_set *ios;
    struct store *store;                      /* engine/durable/store.h; NULL: nothing is kept on disk */
    struct mesh *mesh;
    struct filter_index *filters;
    struct budget budget;
    unsigned shard_count;
    struct shard *shards[BROKER_SHARDS_MAX];
    uint8_t secret[32];
    uint64_t started_ms;                      /* monotonic */

    const struct config_listener *listeners;  /* as at the start: they are not reloaded */
    _Atomic(const struct config *) config;    /* swapped by a reload; shards look once per turn, and keep no pointer into it beyond the turn, but for work off the shard */
    _Atomic(const struct security *) security; /* with it */
    struct security *snapshots[BROKER_SNAPSHOTS_MAX]; /* the one in use last; older ones until no shard uses them */
    unsigned snapshot_count;
    _Atomic bool stopping;
    _Atomic uint64_t connection_count;        /* admitted connections; limits */
    _Atomic uint64_t session_count;
    _Atomic uint32_t kept_sessions[BROKER_SHARDS_MAX]; /* of each shard: engine/durable/keep.h */
    _Atomic uint32_t share_groups[BROKER_SHARDS_MAX]; /* whose home each shard is: engine/route/share.h */
    _Atomic uint64_t full_disks;              /* shards whose journal takes no more, a bit each */
    _Atomic uint64_t retain_stamp;            /* the last one given to a publication with RETAIN (engine/route/replay.h Y3) */
    _Atomic uint64_t session_serial;          /* the highest of before the start (engine/durable/recover.h) */
    _Atomic unsigned shards_joining, shards_settling, shards_closed; /* engine/stage.h */
    _Atomic uint64_t listener_connections[CONFIG_LISTENERS_MAX];
    struct limits limits;                     /* its own rules */
};

/* Makes the broker and its shards. `config` must live until broker_close(): its listeners count all the time. NULL and one clear line in `error` on failure. */
struct broker *broker_open(const struct config *config, char *error, size_t error_size);
/* Takes the addresses of all listeners on all shards; nobody is let in before engine/stage.h says so. 0, or -errno with a line in `error`. */
int broker_listen(struct broker *broker, char *error, size_t error_size);
/* Frees everything; all shards must have left. */
void broker_close(struct broker **broker);

/*
 * From one thread beside the shards': they take over a new configuration, with what its files say now. 0, or -1 and a line in `error`: then nothing has changed.
 */
int broker_reload(struct broker *broker, const struct config *config, char *error, size_t error_size);
/* From the same thread: no shard reads a configuration older than the last one any more. */
bool broker_is_taken_over(const struct broker *broker);
/* From the same thread: only what `config`'s ban_file says now. 0, or -1 and a line in `error`: then nothing has changed. */
int broker_reload_bans(struct broker *broker, const struct config *config, char *error, size_t error_size);
/* From any thread: whether all shards listen. */
static inline bool
broker_is_open(const struct broker *broker)
{
    return atomic_load(&broker->shards_closed) == 0;
}

/* From any thread: the shards disconnect everyone and end. */
void broker_stop(struct broker *broker);
/* From any thread: all shards take a turn. */
void broker_interrupt(struct broker *broker);

/* A shard for a key (client identifier, topic, share name with filter): keyed hash modulo shards. */
unsigned broker_shard_of(const struct broker *broker, const void *key, uint32_t size);
/* The keyed 64-bit hash behind it. */
uint64_t broker_hash(const struct broker *broker, const void *key, uint32_t size);
/* A keyed hash that may be shown to peers: it says nothing about the other one. */
uint64_t broker_token(const struct broker *broker, const void *key, uint32_t size);

#endif
