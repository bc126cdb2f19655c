/*
 * monitor: looks at load and broker while they run: samples, the series, and a line of progress for who sits at a terminal.
 *
 * Threads  the conductor's. Memory  its own; writes into the result's series.
 */
#ifndef TIDEWIRE_BENCH_LOAD_MONITOR_H
#define TIDEWIRE_BENCH_LOAD_MONITOR_H

#include "bench/load/crew.h"
#include "bench/load/result.h"
#include "bench/load/waiting.h"

struct monitor {
    const struct options *options;
    const struct board *board;
    const struct crew *crew;
    struct series *series;
    struct sample last;       /* the one before the next point */
    uint64_t next_ns;         /* when that is due */
    uint64_t next_line_ns;
    enum series_phase phase;
    bool has_line;            /* standard error is a terminal */
    struct histogram latency; /* as of `last` */
    struct histogram now, interval;
    struct waiting waiting;   /* of the broker, in the measured phase */
};

void monitor_init(struct monitor *m, const struct options *o, const struct board *b, const struct crew *c, struct series *s);

/* Everything; a tick leaves out how long load and broker waited for a CPU, and keeps what the last whole sample said. */
struct sample monitor_take_sample(struct monitor *m);

/* Adds a point, rewrites the line, if it is time. */
void monitor_tick(struct monitor *m, uint64_t now_ns);

/* Ends the current point, so that none belongs to two phases. */
void monitor_set_phase(struct monitor *m, enum series_phase phase);

/* The line goes away; the table follows. */
void monitor_end(struct monitor *m);

#endif
