/*
 * report: a curve's points as a table line by line, and as JSON or CSV in a file.
 */
#ifndef TIDEWIRE_BENCH_MILLIONS_REPORT_H
#define TIDEWIRE_BENCH_MILLIONS_REPORT_H

#include "bench/millions/point.h"

#include <stdio.h>

struct report_point {
    struct point_question question;
    struct point_answer answer;
};

void report_heading(FILE *out);
void report_line(FILE *out, const struct report_point *point);
void report_json(FILE *out, const struct report_point *points, unsigned count);
void report_csv(FILE *out, const struct report_point *points, unsigned count);

#endif
