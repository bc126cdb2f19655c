/*
 * figures: what a result amounts to: rates, shares and costs, for the table and the JSON alike.
 *
 * Threads  any. Memory  none. Figures that mean nothing are 0 with their `has_` false.
 */
#ifndef TIDEWIRE_BENCH_LOAD_FIGURES_H
#define TIDEWIRE_BENCH_LOAD_FIGURES_H

#include "bench/load/result.h"

struct figures {
    double seconds;
    bool has_deliveries; /* this scenario has subscribers of its own */
    uint64_t delivered, sent;
    double msgs_per_s, sent_per_s;
    bool has_cpu, has_cpu_per_message;
    double cpu_ns_per_message, cpu_share; /* per delivered message; per published one where nobody subscribes */
    double load_ns_per_message, load_share;
    double cpu_wait_share, load_wait_share; /* of the time: ready to run, and somebody else had the core */
    double connects_per_s, connect_cpu_ns;
    double rss_per_connection;
    bool has_memory_per_connection; /* what the broker holds is connections and little else */
    bool has_memory;
    uint64_t rss_bytes;
};

#define FIGURES_QUANTILES 5
extern const double figures_quantiles[FIGURES_QUANTILES];
extern const char *const figures_quantile_names[FIGURES_QUANTILES];

struct figures figures_compute(const struct result *r);

#endif
