/*
 * report: a result as a table for people and as one line of JSON for programs.
 *
 * Threads  one.
 */
#ifndef TIDEWIRE_BENCH_LOAD_REPORT_H
#define TIDEWIRE_BENCH_LOAD_REPORT_H

#include <stdbool.h>

#include "bench/load/result.h"

/* The table, and the JSON where --json wants it. False if that file could not be written. */
bool report_write(const struct result *r);

#endif
