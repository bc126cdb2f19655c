/*
 * stats: what one shard has counted. Written by its own thread, read by whoever reports.
 *
 * Counters only grow, gauges go both ways. Plain relaxed loads and stores: one writer each, so no read-modify-write is needed.
 */
#ifndef TIDEWIRE_ENGINE_STATS_H
#define TIDEWIRE_ENGINE_STATS_H

#include <stdatomic.h>
#include <stdint.h>

/* Why something was not delivered, not kept or not admitted; names in stats_drop_name(). */
enum drop_reason {
    DROP_OUTPUT_FULL,        /* QoS 0 to a slow subscriber */
    DROP_QUEUE_FULL,         /* a session's queue at its limit */
    DROP_MEMORY,             /* the memory limit, or out of memory */
    DROP_EXPIRED,            /* Message Expiry Interval */
    DROP_TOO_LARGE,          /* the receiver's Maximum Packet Size */
    DROP_SESSION_ENDED,      /* still owed when the session ended */
    DROP_OFFLINE_QOS0,       /* QoS 0 to a session that is not connected */
    DROP_SHARE_EMPTY,        /* a shared subscription without a member that can take it */
    DROP_PAGE_LOST,          /* on disk, and cannot be read: engine/session/page.h */
    DROP_RETAINED_LIMIT,     /* retained messages at their limit */
    DROP_CONNECTION_LIMIT,   /* connections refused at a limit */
    DROP_CONNECT_TIMEOUT,    /* CONNECT not complete in time */
    DROP_BAD_INPUT,          /* malformed or forbidden packets: the connection was closed */
    DROP_ACCEPT_FAILED,      /* out of descriptors */
    DROP_SUBSCRIPTION_LIMIT, /* subscriptions refused at a limit */
    DROP_KEEP_ALIVE,         /* connections silent for 1.5 keep-alives */
    DROP_PUBLISH_DENIED,     /* by an access list: PUBLISH and wills */
    DROP_SUBSCRIBE_DENIED,   /* ... a filter in a SUBSCRIBE */
    DROP_DELIVERY_DENIED,    /* ... a message for a subscriber */
    DROP_WORK_FULL,          /* too much waits for the worker threads */
    DROP_LOGIN_REFUSED,      /* wrong passwords, and clients that may not be who they say */
    DROP_PROXY_HEADER,       /* connections without the PROXY header that their listener wants, or with one that is refused */
    DROP_WEBSOCKET_UPGRADE,  /* HTTP requests that were not answered by 101 */
    DROP_WEBSOCKET_FRAME,    /* WebSocket connections closed for a frame that is not allowed */
    DROP_TLS_HANDSHAKE,      /* not TLS, nothing in common, a wrong pre-shared key */
    DROP_TLS_CERTIFICATE,    /* a client's certificate that does not count: none, expired, revoked, of another authority or purpose */
    DROP_TLS_RECORD,         /* what does not decrypt, or is not allowed after the handshake */
    DROP_TOKEN_REFUSED,      /* JSON Web Tokens that were not good */
    DROP_HOOK_DENIED,        /* clients and topics that an HTTP hook denied */
    DROP_HOOK_FAILED,        /* questions that an HTTP hook did not answer */
    DROP_LOGIN_EXPIRED,      /* connections whose token or permission ended */
    DROP_CONNECT_RATE,       /* connections refused: listener_connect_rate, global_connect_rate */
    DROP_ADDRESS_CONNECT_RATE,
    DROP_ADDRESS_CONNECTIONS, /* address_max_connections */
    DROP_PUBLISH_RATE,       /* messages refused for a rate of publishes or bytes */
    DROP_BANNED,             /* connections refused or closed */
    DROP_WORK_LATE,          /* connections given up because our own work for them took until connect_timeout */
    DROP_DISK_FULL,          /* messages, sessions and subscriptions refused because there is no room to keep them */
    DROP_REASONS,
};

struct stats {
    _Atomic uint64_t bytes_received, bytes_sent;
    _Atomic uint64_t packets_received, packets_sent;
    _Atomic uint64_t publish_received, publish_sent;
    _Atomic uint64_t publish_bytes_received, publish_bytes_sent;
    _Atomic uint64_t connects, disconnects, expired_sessions, takeovers;
    _Atomic uint64_t pages_written, pages_read;
    _Atomic uint64_t flapping_bans, untracked_connects; /* engine/limits/limits.h; the second: uncounted, because the table of addresses is full */
    _Atomic uint64_t sockets;      /* gauges from here */
    _Atomic uint64_t connected, sessions, subscriptions, shared_subscriptions;
    _Atomic uint64_t connected_maximum;
    _Atomic uint64_t queued_messages, queued_bytes, inflight_messages;
    _Atomic uint64_t paged_messages, paged_bytes; /* of the queued ones: on disk only */
    _Atomic uint64_t retained_messages, retained_bytes;
    _Atomic uint64_t match_memo, match_cached, match_computed;
    _Atomic uint64_t memory_bytes;
    _Atomic uint64_t turns, held_connections, paced_connections;
    _Atomic uint64_t drops[DROP_REASONS];
};

static inline void
stats_add(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_relaxed);
}

static inline void
stats_sub(_Atomic uint64_t *gauge, uint64_t by)
{
    atomic_store_explicit(gauge, atomic_load_explicit(gauge, memory_order_relaxed) - by, memory_order_relaxed);
}

static inline uint64_t
stats_get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static inline void
stats_set(_Atomic uint64_t *gauge, uint64_t value)
{
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}

/* The reason's name as it stands in $SYS topics. */
const char *stats_drop_name(enum drop_reason reason);

#endif
