/*
 * fleet: the connections of one worker, opened a few at a time, fed by its loop, flushed once per turn.
 *
 *   own subscribers come first, then own publishers, then the idle: tag 0 .. count - 1
 *   of each role the worker has numbers worker, worker + workers, worker + 2 * workers ...
 *
 * Invariants
 *   F1  COUNT_AWAITED == clients of the current order to connect that are neither up nor failed.
 *   F2  a client is in `touched` exactly while client.touched is set.
 *
 * Threads  one. Memory  owns the clients; they do not move.
 */
#ifndef TIDEWIRE_BENCH_LOAD_FLEET_H
#define TIDEWIRE_BENCH_LOAD_FLEET_H

#include "bench/load/client.h"
#include "bench/load/traffic.h"

/* Completions handled before the clock is looked at again; what they set free to send can take a while. */
#define FLEET_TURN_EVENTS 64u

/*
 * Connections begun in one system call. The kernel works through a call without letting anybody else onto the core: thousands at once would
 * keep a broker there from running for tens of milliseconds, as no client elsewhere could.
 */
#define FLEET_TURN_OPENINGS 16u

/* Which clients an order to connect opens, and how fast. */
struct fleet_opening {
    uint32_t groups;
    uint32_t cursor; /* the next client to look at */
    uint32_t nth;    /* opened so far */
    uint64_t start_ns;
};

struct fleet {
    struct client_shared shared;
    struct tunnel_shared tunnels;
    struct traffic *traffic;
    struct client *clients;
    uint32_t count;
    uint32_t first_publisher, first_idle;
    uint32_t opening; /* connections being made */
    struct fleet_opening order;
    struct client **touched;
    uint32_t touched_count;
    uint64_t pinged; /* pings sent so far, over all clients in turn */
    uint64_t ping_start_ns;
};

/* How many connections this worker has, and how many of them are publishers. */
uint32_t fleet_count_clients(const struct options *o, const struct board *b, uint32_t worker);
uint32_t fleet_count_publishers(const struct options *o, const struct board *b, uint32_t worker);

/* False without memory. Borrows loop, options, traffic and the TLS context (NULL without --tls). */
bool fleet_init(struct fleet *f, struct loop *l, const struct options *o, struct traffic *t, struct secure_context *secure, bool plain_publishers) __attribute__((warn_unused_result));
void fleet_fini(struct fleet *f); /* after loop_close(): the kernel may hold buffers before */

/* Begins with an order to connect. */
void fleet_connect(struct fleet *f, uint32_t groups, enum order_session session, uint64_t now_ns);

/* Begins to connect as many as may be under way; returns when the next one is due (UINT64_MAX: after some event). */
uint64_t fleet_open_more(struct fleet *f, uint64_t now_ns);

/* Pings whose turn has come; returns when the next one is due. */
uint64_t fleet_ping(struct fleet *f, uint64_t now_ns);

/* Handles what has completed (up to FLEET_TURN_EVENTS), lets publishers write, and sends. */
void fleet_turn(struct fleet *f);

void fleet_subscribe(struct fleet *f, uint64_t now_ns);

/* Nothing has come up for --stall: fails who has waited that long, and then all that have not begun. Who was begun late has its time. */
void fleet_fail_opening(struct fleet *f, uint64_t now_ns);

/* Publishers with messages outstanding, or that cannot send what they have to. */
void fleet_fail_stalled(struct fleet *f);

void fleet_leave(struct fleet *f, uint32_t groups);

/* Who leaves and still has bytes that the broker has not taken. */
void fleet_fail_leaving(struct fleet *f);

#endif
