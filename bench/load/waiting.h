/*
 * waiting: how long the broker was ready to run and had no CPU: on a shared machine the share of bad luck in a measurement.
 *
 * Each thread by itself, since the start; the one that waited longest counts, because a broker is held up by the shard that is. A thread's
 * wait is in /proc/PID/task/TID/schedstat; what a host takes from its guest does not show there.
 *
 * Threads  the conductor's. Memory  fixed: of a broker with more threads than WAITING_THREADS_MAX the others are not looked at.
 */
#ifndef TIDEWIRE_BENCH_LOAD_WAITING_H
#define TIDEWIRE_BENCH_LOAD_WAITING_H

#include <stdint.h>
#include <sys/types.h>

#define WAITING_THREADS_MAX 512u

struct waiting_thread {
    pid_t thread;
    uint64_t start_ns; /* what it had waited then */
};

struct waiting {
    struct waiting_thread threads[WAITING_THREADS_MAX];
    uint32_t count;
    uint64_t longest_ns;
};

/* Counts from now. Threads that begin later have waited for nothing yet. */
void waiting_start(struct waiting *w, const pid_t *pids, uint32_t count);

/* The longest wait of a thread since then; never less than it was, even if that thread or its process is gone. */
uint64_t waiting_look(struct waiting *w, const pid_t *pids, uint32_t count);

#endif
