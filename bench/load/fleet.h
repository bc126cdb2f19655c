/*
 * fleet: all connections of a run, opened a few at a time, fed by the loop, flushed once per turn.
 *
 *   subscribers come first, then publishers (or the idle): index 0 .. count - 1
 *
 * Invariants
 *   F1  opened == count of clients not in state NEW; ready + failed + opening + left == opened.
 *   F2  a client is in `touched` exactly while client.touched is set.
 *
 * Threads  one. Memory  owns the clients; they do not move.
 */
#ifndef TIDEWIRE_BENCH_LOAD_FLEET_H
#define TIDEWIRE_BENCH_LOAD_FLEET_H

#include "bench/load/client.h"
#include "bench/load/traffic.h"

/* Connections being made at once: below the listen backlog of any broker (mosquitto: 100). */
#define FLEET_OPENING_MAX 64u

/* Completions handled before the clock is looked at again; what they set free to send can take a while. */
#define FLEET_TURN_EVENTS 64u

struct fleet {
    struct client_shared shared;
    struct traffic *traffic;
    struct client *clients;
    uint32_t count;
    uint32_t opened;
    uint32_t opening;
    uint32_t ready;
    uint32_t failed;
    uint32_t left;
    struct client **touched;
    uint32_t touched_count;
    uint64_t start_ns;
    struct failure_log failures;
};

/* False without memory. Borrows loop, options and traffic. */
bool fleet_init(struct fleet *f, struct loop *l, const struct options *o, struct traffic *t, uint64_t now_ns) __attribute__((warn_unused_result));
void fleet_fini(struct fleet *f); /* after loop_close(): the kernel may hold buffers before */

/* Begins to connect as many as may be under way at once. */
void fleet_open_more(struct fleet *f);

/* Handles what has completed (up to FLEET_TURN_EVENTS), lets publishers write, and sends. */
void fleet_turn(struct fleet *f);

/* Whatever is not ready yet has waited too long. */
void fleet_fail_opening(struct fleet *f);

/* Publishers with messages outstanding. */
void fleet_fail_stalled(struct fleet *f);

void fleet_leave(struct fleet *f);

#endif
