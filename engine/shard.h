/*
 * shard: one thread's share of the broker: its ring, its connections and sessions, and one turn of its loop.
 *
 *   io_wait ─► events ─► packets ─► route ─┬─► sessions of this shard ─► output chunks ─► one send per dirty connection
 *              parcels from other shards ──┘└─► one parcel per interested other shard ─► published once, sleepers woken
 *              replays, timers, held connections
 *
 * Invariants
 *   H1  everything reached from here is touched by this shard's thread only (statistics may be read by others).
 *   H2  a parcel is handled only in a pass over all queues that started after the parcel was visible; what a replay of retained messages must see is
 *       therefore in place before the replay starts (see engine/route/replay.h).
 *   H3  acknowledgements leave in the same turn, after the parcels that they promise were published.
 */
#ifndef TIDEWIRE_ENGINE_SHARD_H
#define TIDEWIRE_ENGINE_SHARD_H

#include "alloc/chunk.h"
#include "alloc/message.h"
#include "alloc/slab.h"
#include "engine/broker.h"
#include "engine/durable/compact.h"
#include "engine/gather.h"
#include "engine/identity/hook_cache.h"
#include "engine/route/loopback.h"
#include "engine/session/inflight.h"
#include "engine/session/session_table.h"
#include "engine/stats.h"
#include "engine/timer.h"
#include "router/retained.h"
#include "router/subscribers.h"

/* Events taken from the ring per turn. */
#define SHARD_EVENTS_MAX 512

/* What the timers of a shard's wheel are for. */
enum timer_kind {
    TIMER_CONNECTION, /* CONNECT deadline, keep-alive, or the end of a closing connection */
    TIMER_SESSION,    /* Session Expiry Interval */
    TIMER_WILL,       /* Will Delay Interval */
    TIMER_HOUSEKEEPING,
};

struct connection;
struct journal;
struct keeper;
struct pages;
struct promises;
struct session;
struct verified;
struct replay;
struct share_group;
struct tokens;
struct gathered;
struct gathered_identifier;

/* What a shard has taken of a listener's rates and not used yet (engine/limits/pace.h). */
struct pace_credit {
    uint64_t publishes, bytes;
};

/* Retained messages removed last (engine/route/replay.h Y3). More removals than this while an older message is under way, and it may come back. */
#define SHARD_REMOVALS 64

struct removal {
    uint64_t topic_hash;
    uint64_t stamp;
};

#define SHARD_REPLAY_BUCKETS 1024

/* Topics of one packet that an HTTP hook is asked about; more filters in one SUBSCRIBE are denied. */
#define HOOK_QUESTIONS_MAX 256u

/* What a shard knows of HTTP hooks (engine/identity/http_hook.h). */
struct http_hook {
    bool asks;                   /* topics: some listener has an address, or had one */
    bool judged;                 /* the packet that is being handled was asked about, and `answers` is what came of it */
    bool keyed;
    uint8_t answers[HOOK_QUESTIONS_MAX]; /* enum hook_result */
    struct hook_cache cache;
    struct keyed_hash_key key;
};

struct shard {
    unsigned number;
    struct journal *journal;     /* NULL: nothing is kept on disk */
    struct keeper *keeper;       /* engine/durable/keep.h; with the journal */
    struct promises *promises;   /* engine/durable/promise.h; with the journal */
    struct tokens *tokens;       /* engine/durable/token.h; NULL: none */
    struct pages *pages;         /* engine/session/page.h; with the journal */
    uint64_t queue_memory;       /* what its sessions' queues hold in memory: engine/session/queue.h Q2 */
    uint64_t queue_share;        /* of option queue_memory_limit */
    bool disk_full;              /* as of this turn */
    struct compact compact;      /* with the journal */
    struct broker *broker;
    struct io *io;
    const struct config *config; /* as of this turn */
    const struct security *security; /* the same, or one turn older */
    struct verified *verified;       /* passwords found right lately; NULL: none yet */
    struct slab_walk recheck;        /* over connections, after a reload */
    bool rechecking;
    bool access_limited;         /* some listener has an access list: ask engine/access/access.h */
    _Atomic uint32_t security_seen;  /* its generation: read by who reloads */
    struct budget_account *account;
    enum budget_level pressure;  /* as of the last look: at each turn's end, and whenever this shard has charged much since */
    int64_t look_at_bytes;       /* of the account: where to look again */
    uint64_t now_ms;
    bool congested;              /* publishers are held: memory is short, or too much is under way to other shards */
    bool backlogged;             /* the second of these, or the journal is behind */
    bool held_may_go;            /* some held connection may go on: look before sleeping */
    bool paces;                  /* some rate of publishes or bytes is configured */
    bool stopping;
    bool finishing;              /* that is all: what was recorded is still written */
    uint8_t stage;               /* enum stage: engine/stage.h */

    struct gather gather;

    struct timer_wheel wheel;
    struct timer housekeeping;
    bool timers_behind;

    struct slab connections;
    struct slab sessions;
    struct slab subscriptions;
    struct slab deliveries;
    struct chunk_pool chunks;

    struct connection *dirty;           /* have output to send */
    struct connection *held_first, *held_last; /* do not read: see connection_hold() */
    struct session_table session_table;
    uint64_t session_serial;            /* the last session identity given */

    struct match_cache *matches;
    struct subscribers subscribers;
    struct share_group **share_groups_by_filter; /* this shard is their home */
    uint32_t share_groups_by_filter_count;
    struct share_group **share_groups_by_text;
    uint32_t share_group_buckets, share_group_count;

    struct retained *retained;
    struct replay *replays;             /* runnable walks for subscribers anywhere */
    struct replay *replay_buckets[SHARD_REPLAY_BUCKETS]; /* all walks, by who asked */
    uint32_t replay_serial;             /* the last one given to a walk that this shard asked for */
    struct removal removals[SHARD_REMOVALS];
    uint32_t removal_count;
    uint32_t share_serial;              /* the last one given to a share group here */
    uint32_t share_join_serial;         /* the last one given to a SHARE_JOIN from here */
    uint32_t joins_awaited;             /* at the start: answers to SHARE_JOINs for subscriptions from before it */
    uint32_t suback_serial;
    uint64_t turn;
    struct loopback loopback;           /* parcels to ourselves */
    struct gathered *gathered;          /* scratch of route.c */
    uint32_t gathered_room;
    uint32_t gathered_count;
    struct gathered_identifier *gathered_identifiers;
    uint32_t gathered_identifiers_room, gathered_identifiers_count;
    uint8_t *scratch;                   /* SHARD_SCRATCH_BYTES */

    struct pace_credit listener_credit[CONFIG_LISTENERS_MAX];
    uint32_t pace_look;          /* spreads those who wait (engine/limits/pace.c) */
    uint64_t ban_generation;            /* bans up to this one have been, or are being, held against the connections here */
    struct slab_walk ban_walk;
    bool ban_walk_under_way;

    uint64_t stop_deadline_ms;
    struct http_hook hook;
    void *observer;                     /* shard 0: engine/observe/sys.c */
    struct stats stats;
};

/* Working space for one property block; what does not fit into it is refused as Quota exceeded. */
#define SHARD_SCRATCH_BYTES (256u * 1024)

struct shard *shard_open(struct broker *broker, unsigned number, char *error, size_t error_size);
void shard_close(struct shard **shard);

/* By the shard's own thread. 0 or -errno. */
int shard_enter(struct shard *shard);
/* One turn. `may_wait`: sleep until there is something to do. False once the shard has stopped. */
bool shard_turn(struct shard *shard, bool may_wait);
/* What waits for other shards is shown to them, and who sleeps is woken; each turn ends with it. */
void shard_tell_others(struct shard *shard);
void shard_leave(struct shard *shard);

/* After the configuration has changed, or recovery has gone beyond them. */
void shard_take_limits(struct shard *shard);

/* True if a turn would find work without waiting; the earliest time at which there is work for sure (UINT64_MAX: none). For drivers that own the clock. */
bool shard_busy(const struct shard *shard);
uint64_t shard_next_ms(const struct shard *shard);

/* A queue gives this up (engine/durable/compact.h C2). */
static inline void
compact_leaves(struct shard *shard, const struct delivery *d)
{
    if (shard->compact.at == d) {
        shard->compact.at = d->next;
    }
}

/* Something was put into a queue before its end. */
static inline void
compact_inserted(struct shard *shard, const struct queue *queue)
{
    shard->compact.again = shard->compact.again || shard->compact.queue == queue;
}

/*
 * To be called where memory is taken for peers: within one turn a message may become thousands of copies, and the levels of the budget have to be met before that is over.
 */
void shard_look_at_pressure(struct shard *shard);
static inline void
shard_feel_pressure(struct shard *shard)
{
    if (shard->account->bytes >= shard->look_at_bytes) {
        shard_look_at_pressure(shard);
    }
}

/* Gives a reference back, and a borrowed message to its shard. */
void shard_message_unref(struct shard *shard, struct message **message);

#endif
