/*
 * result: everything one run found out, before anyone has formatted it.
 */
#ifndef TIDEWIRE_BENCH_LOAD_RESULT_H
#define TIDEWIRE_BENCH_LOAD_RESULT_H

#include "bench/load/failure.h"
#include "bench/load/histogram.h"
#include "bench/load/options.h"
#include "bench/load/traffic.h"

/* What can be read at one moment. */
struct sample {
    uint64_t at_ns;
    uint64_t own_cpu_ns;
    uint64_t broker_cpu_ns;
    uint64_t broker_rss_bytes;
    uint64_t own_wait_ns, broker_wait_ns; /* ready, but without a CPU */
    bool has_broker; /* every --pid could be read */
    struct traffic_counts counts;
};

struct result {
    const struct options *options;
    const struct histogram *latency;  /* from due to received */
    const struct histogram *lateness; /* from due to sent */
    const struct failure_log *failures;
    uint32_t connections;    /* asked for */
    uint32_t connections_up; /* that became ready */
    struct sample before;    /* nothing connected yet */
    struct sample connected; /* all ready */
    struct sample first, last; /* the measured phase; equal if it never began */
    struct traffic_counts total;
    uint64_t lost;
    uint64_t unacked;
    bool interrupted;
    bool broker_gone; /* a --pid that could be read at first could not at the end */
};

/* False if the broker failed in any way: a run that lost messages or connections is no success. */
static inline bool
result_is_good(const struct result *r)
{
    return r->failures->total == 0 && r->lost == 0 && r->unacked == 0 && r->total.duplicated == 0 && r->total.reordered == 0 &&
        r->total.foreign == 0 && !r->broker_gone && r->connections_up == r->connections;
}

#endif
