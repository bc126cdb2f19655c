/*
 * report: a result as a table for people, one line of JSON for programs, and a page with plots.
 *
 * Threads  one.
 */
#ifndef TIDEWIRE_BENCH_LOAD_REPORT_H
#define TIDEWIRE_BENCH_LOAD_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/load/figures.h"

/* The table, and what --json and --html want. False, with the reason on standard error, if a file could not be written. */
bool report_write(const struct result *r);

/* Its parts. The JSON is one document on one line. */
void report_print_table(const struct result *r, const struct figures *f, FILE *out);
void report_write_json(const struct result *r, const struct figures *f, FILE *out);

#endif
