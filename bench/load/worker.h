/*
 * worker: one thread of the load: a ring, its part of the clients, and the conductor's orders (board.h).
 *
 *   take the order ──► sleep until something completes, falls due or is asked ──► what fell due ──► mail ──► completions ──► mail
 *        ▲                                                                                                                  │
 *        └──────────────────────────────────────────────────────────────────────────────────────────────────────────────────┘
 *
 * Threads  worker_run is the thread. Memory  its own until it ends; results are on its desk.
 */
#ifndef TIDEWIRE_BENCH_LOAD_WORKER_H
#define TIDEWIRE_BENCH_LOAD_WORKER_H

#include <stdbool.h>

#include "bench/load/board.h"
#include "bench/load/options.h"
#include "bench/load/secure.h"

struct worker_place {
    const struct options *options;
    struct board *board;
    struct secure_context *secure; /* NULL without --tls */
    uint32_t number;
    bool plain_publishers; /* all publishers of the process fit into its limit for open files */
};

/* A thread's function: `place` is a struct worker_place, borrowed for the thread's life. */
void *worker_run(void *place);

#endif
