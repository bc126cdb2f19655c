/*
 * run: one measurement from checked options to the report.
 *
 * Threads  the main one.
 */
#ifndef TIDEWIRE_BENCH_LOAD_RUN_H
#define TIDEWIRE_BENCH_LOAD_RUN_H

struct options;

/* Runs and reports. The exit code: 0 all well, 1 the broker failed somehow, 2 the generator itself could not run. */
int run_all(const struct options *o);

#endif
