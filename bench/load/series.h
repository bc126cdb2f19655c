/*
 * series: what a run looked like over time, a point per 100 ms; when there are too many, two become one.
 *
 * Invariants
 *   P1  count <= SERIES_POINTS_MAX, in order of time; points but the last cover `period_ns` each, as exactly as the clock was looked at.
 *
 * Threads  one. Memory  fixed.
 */
#ifndef TIDEWIRE_BENCH_LOAD_SERIES_H
#define TIDEWIRE_BENCH_LOAD_SERIES_H

#include <stdbool.h>
#include <stdint.h>

#define SERIES_POINTS_MAX 1200u
#define SERIES_PERIOD_NS UINT64_C(100000000)

enum series_phase {
    PHASE_CONNECT,
    PHASE_WARMUP,
    PHASE_MEASURE,
    PHASE_DRAIN,
};

struct series_point {
    uint64_t at_ns; /* its end, since the run began */
    uint64_t ns;    /* how long it is */
    enum series_phase phase;
    uint64_t delivered, sent;
    uint64_t connected;
    bool has_broker;
    uint64_t broker_cpu_ns, broker_rss_bytes;
    uint64_t latency_count, latency_p50_ns, latency_p99_ns;
};

struct series {
    uint32_t count;
    uint64_t period_ns;
    struct series_point points[SERIES_POINTS_MAX];
};

void series_init(struct series *s);
void series_add(struct series *s, const struct series_point *p);

const char *series_name_phase(enum series_phase phase);

#endif
