/*
 * option_check: whether options make sense together, and the values of those that follow from others.
 *
 * Threads  any. Memory  none.
 */
#ifndef TIDEWIRE_BENCH_LOAD_OPTION_CHECK_H
#define TIDEWIRE_BENCH_LOAD_OPTION_CHECK_H

#include "bench/load/option_rows.h"
#include "bench/load/suite.h"

/* What a parse in progress needs besides its result. */
struct option_parse {
    struct options *out;
    const struct suite_case *suite; /* NULL: a scenario's own name was given */
    char *error;
    size_t error_room;
    bool given[OPTION_ROWS_MAX];
};

/* Writes the message; always false, to be returned. */
bool option_refuse(struct option_parse *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

bool option_is_given(const struct option_parse *p, const char *name);

/* Fills in what was not given and follows from the rest. */
void option_derive(struct option_parse *p);

/* False if something makes no sense; the message names it. */
bool option_check(struct option_parse *p);

#endif
