/*
 * conductor: tells the workers what to do and waits for it: the steps that the phases of a run are made of.
 *
 *   give an order ──► all have taken it ──► look every few milliseconds: done? failed? stalled? interrupted?
 *
 * Steps answer true if they reached their end in peace. After the first failure a run goes no further: the programs (program_*.c) close
 * the traffic, and what has been found so far is reported.
 *
 * Threads  the main one; a signal handler may call conductor_interrupt().
 */
#ifndef TIDEWIRE_BENCH_LOAD_CONDUCTOR_H
#define TIDEWIRE_BENCH_LOAD_CONDUCTOR_H

#include "bench/load/crew.h"
#include "bench/load/monitor.h"
#include "bench/load/result.h"

struct conductor {
    const struct options *options;
    struct board *board;
    struct crew crew;
    struct monitor monitor;
    struct result *result;
    struct totals now;     /* as of the last look */
    uint64_t progress_ns;  /* when something last happened */
    uint64_t progress_mark;
    bool measuring;
    bool staying; /* only the time ends it, or a failure */
};

/* Ends the current run as if its time were over. Async-signal-safe. */
void conductor_interrupt(void);
bool conductor_is_interrupted(void);

/* Looks at everything after a pause of milliseconds, or at `until_ns` if that is earlier; returns the time. */
uint64_t conductor_look(struct conductor *c, uint64_t until_ns);

/* Has everybody take an order. */
void conductor_order(struct conductor *c, struct order o);

/* Brings these up; a connection that fails does not keep others from it. `counts`: they are connections that the report speaks of. */
bool conductor_connect(struct conductor *c, uint32_t groups, enum order_session session, bool counts);

/* Turns until the time, a failure, a signal, or the end of --messages. */
bool conductor_stay(struct conductor *c, uint64_t until_ns);

/* Waits until done() says so; without progress for --stall that is a failure. A failure or a signal ends it. */
bool conductor_wait(struct conductor *c, bool (*done)(const struct conductor *c));

/* The same, whatever has happened before: to clean up. */
void conductor_wait_anyway(struct conductor *c, bool (*done)(const struct conductor *c));

/* Sees these off, for a moment at most; who then has bytes that the broker has not taken has failed. */
void conductor_leave(struct conductor *c, uint32_t groups);

/* The measured phase begins and ends. */
void conductor_begin_measuring(struct conductor *c, uint64_t latency_until_ns);
void conductor_end_measuring(struct conductor *c);

/*
 * Stops the publishers when they have sent what is due (for as long again as was measured, at most), then waits for what is under way,
 * or after a failure for those who fail as well.
 */
void conductor_drain(struct conductor *c);

/* For done() and others: a total as of the last look. */
static inline uint64_t
conductor_get(const struct conductor *c, enum board_count which)
{
    return c->now.of[which];
}

bool conductor_owes_nothing(const struct conductor *c); /* nothing outstanding, unacknowledged or due, and the sockets have taken everything */

#endif
