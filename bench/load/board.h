/*
 * board: what the workers of a run and their conductor share, in memory that threads and processes see alike.
 *
 *   conductor:  order ──► every worker takes it ──► counts show the effect
 *
 *   +-------+---------------------------+------------------+---------------------------+
 *   | order | desk 0 | desk 1 | ...     | publishers 0 ... | mail rings, worker x worker |
 *   +-------+---------------------------+------------------+---------------------------+
 *
 * A worker is one thread with one ring. It writes its own desk, the publishers that it owns (publisher i belongs to worker i mod workers)
 * and the sending side of its mail rings. The conductor writes the order and nothing else. Pointers in here lead into the board or
 * are used by their owner only.
 *
 * Invariants
 *   B1  the order does not change until every worker has taken the one before.
 *   B2  every count has one writer.
 *   B3  what a worker wrote before it took an order is seen by the conductor after it has seen that (release, acquire on `taken`).
 *
 * Memory  mapped once, shared with children that are forked later, never given back: it ends with the process.
 */
#ifndef TIDEWIRE_BENCH_LOAD_BOARD_H
#define TIDEWIRE_BENCH_LOAD_BOARD_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>

#include "bench/load/count.h"
#include "bench/load/failure.h"
#include "bench/load/histogram.h"
#include "bench/load/mail.h"
#include "bench/load/secure.h"

#define BOARD_CACHE_LINE 64

enum board_count {
    COUNT_SENT,        /* publishes */
    COUNT_DELIVERED,   /* distinct messages that arrived at a subscriber, summed over subscribers */
    COUNT_DUPLICATED,
    COUNT_REORDERED,
    COUNT_FOREIGN,     /* arrived, but none of ours or not for this subscriber */
    COUNT_ACKED,       /* QoS 1 and 2 handshakes completed */
    COUNT_OUTSTANDING, /* deliveries under way, of the publishers of this worker */
    COUNT_UNACKED,     /* QoS 1 and 2 messages whose handshake is not finished */
    COUNT_DUE,         /* with a rate: messages whose time has come, but not yet sent */
    COUNT_SENDING,     /* publishers with bytes that their socket has not taken */
    COUNT_AWAITED,     /* connections that the last order to connect has still to bring up */
    COUNT_READY,       /* connections that are up */
    COUNT_LEAVING,     /* that have said good-bye and wait for the broker to close */
    COUNT_CAME_UP,     /* that ever became ready */
    COUNT_FAILED,      /* that failed */
    COUNT_FAILURES,    /* noted, which includes stalls of connections that are up */
    COUNT_FINISHED,    /* subscribers that have all they were to get */
    COUNT_FINISHED_AT, /* when the last of them did, ns; of a sum over workers this means nothing */
    COUNT_SECURED,     /* TLS handshakes in full */
    COUNT_RESUMED,     /* and those that resumed a session */
    COUNT_LOST,        /* with ORDER_TALLY */
    COUNT_PASSED,      /* with ORDER_TALLY: messages that streams have seen or given up */
    COUNTS,
};

struct totals {
    uint64_t of[COUNTS];
};

enum order_kind {
    ORDER_NONE,
    ORDER_CONNECT,      /* `groups`, with `session` */
    ORDER_SUBSCRIBE,    /* subscribers that connected without */
    ORDER_OPEN,         /* publishers may send, the rate counts from `at_ns` */
    ORDER_ERASE,        /* publishers take back what they had retained */
    ORDER_CLOSE,        /* publishers stop; with a rate they still send what fell due until `at_ns` (0: nothing) */
    ORDER_FAIL_OPENING, /* what has waited for too long, and what has not begun, is given up */
    ORDER_FAIL_STALLED, /* publishers with something outstanding */
    ORDER_LEAVE,        /* `groups` */
    ORDER_FAIL_LEAVING, /* who has said good-bye and has bytes that the broker does not take */
    ORDER_SETTLE,       /* judge no more messages; taken when no mail waits to be sent */
    ORDER_TALLY,        /* after all have settled: take the mail and count what is lost */
    ORDER_QUIT,
};

enum order_group {
    GROUP_PUBLISHERS = 1,
    GROUP_SUBSCRIBERS = 2,
    GROUP_IDLE = 4,
    GROUP_ALL = 7,
};

enum order_session {
    SESSION_AS_ASKED, /* --clean-start, --session-expiry */
    SESSION_KEPT,     /* begins anew and stays when the connection ends */
    SESSION_RESUMED,  /* has to be there already */
    SESSION_ENDED,    /* begins anew and ends with the connection */
};

struct order {
    enum order_kind kind;
    uint32_t groups;
    enum order_session session;
    uint64_t at_ns;
};

enum desk_state {
    DESK_STARTING,
    DESK_UP,
    DESK_BROKEN, /* `error` says why */
    DESK_GONE,   /* after ORDER_QUIT */
};

struct desk {
    alignas(BOARD_CACHE_LINE) _Atomic uint32_t taken; /* number of the last order */
    _Atomic uint32_t state;                           /* enum desk_state */
    int error;                                        /* errno */
    int thread;                                       /* its number in /proc */
    int wake_fd;                                      /* an eventfd that ends its sleep */
    alignas(BOARD_CACHE_LINE) _Atomic uint32_t sleeping;
    alignas(BOARD_CACHE_LINE) _Atomic uint64_t counts[COUNTS];
    alignas(BOARD_CACHE_LINE) struct histogram latency; /* from due to received */
    struct histogram lateness;   /* from due to sent: what of the latency is the generator's own doing, or its window's */
    struct histogram acking;     /* from due to the end of the QoS 1 or 2 handshake */
    struct histogram connecting; /* from opening a connection (or when that was due) to CONNACK */
    struct histogram fetching;   /* from asking to the last message, of each subscriber that was to get a known number */
    struct failure_log failures;
    char secured[SECURE_DESCRIPTION_ROOM]; /* what the first TLS handshake agreed on; empty without one */
};

struct publisher;

struct board {
    uint32_t worker_count;
    uint32_t flow_workers; /* the first so many have the publishers and subscribers */
    uint32_t idle_workers; /* the last so many have the idle connections */
    uint32_t publisher_count;
    uint32_t publisher_base; /* of the numbers in payloads */
    int pid;                 /* of the conductor: client identifiers carry it */
    uint64_t start_ns;
    struct desk *desks;
    struct publisher *publishers;
    struct mail_ring *rings; /* from x to y at x * worker_count + y */
    alignas(BOARD_CACHE_LINE) _Atomic uint32_t order_number;
    struct order order;
    alignas(BOARD_CACHE_LINE) _Atomic uint64_t latency_from_ns; /* due times that count */
    _Atomic uint64_t latency_until_ns;
};

/* Things are dealt out in turn, number i to part i mod parts: how many of `all` one part gets. */
static inline uint32_t
board_count_dealt(uint32_t all, uint32_t parts, uint32_t part)
{
    return all / parts + (part < all % parts ? 1 : 0);
}

/* How many of all publishers or subscribers, and how many of all idle connections, are a worker's. */
static inline uint32_t
board_count_flow(const struct board *b, uint32_t all, uint32_t worker)
{
    return worker < b->flow_workers ? board_count_dealt(all, b->flow_workers, worker) : 0;
}

static inline uint32_t
board_count_idle(const struct board *b, uint32_t all, uint32_t worker)
{
    uint32_t first = b->worker_count - b->idle_workers;
    return worker >= first ? board_count_dealt(all, b->idle_workers, worker - first) : 0;
}

/* NULL without memory or descriptors (errno says which). Everybody has a part of everything. */
struct board *board_open(uint32_t workers, uint32_t publishers) __attribute__((warn_unused_result));

/* Keeps the first worker for publishers and subscribers, and them from all others: what happens elsewhere does not make them late. Before anybody looks. */
void board_set_apart(struct board *b);

/* Puts up an order and wakes everybody. B1 is the caller's: board_is_taken() first. */
void board_give_order(struct board *b, const struct order *o);
bool board_is_taken(const struct board *b);

/* A worker's look at the order; NULL if it has taken it already. board_take_order() says that it did. */
const struct order *board_get_order(const struct board *b, uint32_t worker);
void board_take_order(struct board *b, uint32_t worker);

/* Ends a worker's sleep, if it sleeps. */
void board_wake(struct board *b, uint32_t worker);

void board_sum(const struct board *b, struct totals *out);

#endif
