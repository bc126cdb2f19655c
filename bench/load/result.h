/*
 * result: everything one run found out, before anyone has formatted it.
 */
#ifndef TIDEWIRE_BENCH_LOAD_RESULT_H
#define TIDEWIRE_BENCH_LOAD_RESULT_H

#include "bench/load/board.h"
#include "bench/load/failure.h"
#include "bench/load/histogram.h"
#include "bench/load/options.h"
#include "bench/load/series.h"

/* What can be read at one moment. */
struct sample {
    uint64_t at_ns;
    uint64_t own_cpu_ns;
    uint64_t broker_cpu_ns;
    uint64_t broker_rss_bytes;
    uint64_t own_wait_ns;    /* ready, but without a CPU */
    uint64_t broker_wait_ns; /* the same, of the thread that waited longest since the measured phase began */
    bool has_broker; /* every --pid could be read */
    struct totals totals;
};

/* A part of `retained` and `offline`. */
struct result_part {
    uint64_t messages;
    uint64_t ns;
    uint64_t broker_cpu_ns;
    bool has_cpu;
};

struct result {
    const struct options *options;
    struct series series;
    struct histogram latency;    /* from due to received */
    struct histogram calm;       /* from due to received, before the storm */
    struct histogram lateness;   /* from due to sent */
    struct histogram acking;     /* from due to the end of the QoS 1 or 2 handshake */
    struct histogram connecting; /* from opening to CONNACK */
    struct histogram fetching;   /* of each subscriber in `retained` and `offline` */
    struct failure_log failures;
    char secured[SECURE_DESCRIPTION_ROOM]; /* what TLS agreed on; empty without a handshake */
    uint32_t connections;    /* asked for */
    uint32_t connections_up; /* that became ready */
    uint64_t connect_ns;     /* that took */
    uint64_t connect_cpu_ns; /* of the broker */
    bool has_connect_cpu;
    struct sample before;    /* nothing connected yet */
    struct sample connected; /* all ready */
    struct sample first, last; /* the measured phase; equal if it never began */
    struct sample end;         /* all is judged */
    struct result_part stored, fetched; /* `retained` and `offline`: publishing, and getting it all */
    bool interrupted;
    bool broken;      /* the load itself could not go on */
    bool broker_gone; /* a --pid that could be read at first could not at the end */
};

static inline uint64_t
result_get_total(const struct result *r, enum board_count which)
{
    return r->end.totals.of[which];
}

/* False if the broker failed in any way: a run that lost messages or connections is no success. */
static inline bool
result_is_good(const struct result *r)
{
    static const enum board_count bad[] = {COUNT_LOST, COUNT_UNACKED, COUNT_DUPLICATED, COUNT_REORDERED, COUNT_FOREIGN, COUNT_DUE};

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (result_get_total(r, bad[i]) > 0) {
            return false;
        }
    }
    /* Who interrupts while connections are being made has not found them wanting. */
    return r->failures.total == 0 && !r->broken && !r->broker_gone && (r->interrupted || r->connections_up == r->connections);
}

#endif
