/*
 * run: the phases of one measurement.
 *
 *   CONNECT ──► WARMUP ──► MEASURE ──► DRAIN ──► LEAVE
 *      └───────────┴──────────┴── a failure ──────►▲      (a short while later, so that all who fail are counted)
 *
 * Threads  one. A signal handler may call run_interrupt().
 */
#ifndef TIDEWIRE_BENCH_LOAD_RUN_H
#define TIDEWIRE_BENCH_LOAD_RUN_H

/* Ends the current run as if its time were over. Async-signal-safe. */
void run_interrupt(void);

struct options;

/* Runs and reports. The exit code: 0 all well, 1 the broker failed somehow, 2 the generator itself could not run. */
int run_all(const struct options *o);

#endif
