/*
 * crew: the workers of a run: threads of this process, or of several that it forks.
 *
 *   --processes 1   this process: conductor + threads
 *   --processes N   this process: conductor;  N children, each with --threads threads
 *
 * Children are told by the board alone. They ignore SIGINT and SIGTERM, which a terminal or a supervisor sends to all, and end with their parent.
 *
 * Threads  the conductor's. Memory  the caller's.
 */
#ifndef TIDEWIRE_BENCH_LOAD_CREW_H
#define TIDEWIRE_BENCH_LOAD_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/load/board.h"
#include "bench/load/options.h"
#include "bench/load/secure.h"

struct crew {
    const struct options *options;
    struct board *board;
    struct secure_context *secure;
    struct worker_place *places; /* of this process's threads */
    pthread_t *threads;
    uint32_t thread_count;
    pid_t *children;
    uint32_t child_count;
    uint64_t *child_cpu_ns, *wait_ns; /* by child and by worker, when they were last read: what has ended keeps its part */
};

/* Starts everybody, with a TLS context to borrow (NULL without --tls), and waits until all have their rings. False if that failed, with the reason on standard error. */
bool crew_start(struct crew *c, const struct options *o, struct board *b, struct secure_context *secure) __attribute__((warn_unused_result));

/* False, with the reason on standard error, if a worker has ended without being told to. */
bool crew_is_whole(struct crew *c);

/* Waits for the end of all, after ORDER_QUIT. */
void crew_end(struct crew *c);

/* CPU time of all threads and processes of the load. */
uint64_t crew_get_cpu_ns(const struct crew *c);

/* How long workers were ready to run and had no CPU, per worker. */
uint64_t crew_get_wait_ns(const struct crew *c);

#endif
