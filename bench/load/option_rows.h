/*
 * option_rows: every option of tidewire-bench, what it takes, and where it makes sense.
 *
 * Threads  any. Memory  constant.
 */
#ifndef TIDEWIRE_BENCH_LOAD_OPTION_ROWS_H
#define TIDEWIRE_BENCH_LOAD_OPTION_ROWS_H

#include "bench/load/options.h"

enum option_kind {
    OPTION_NUMBER,
    OPTION_TIME,
    OPTION_TIME_S, /* whole seconds for the protocol */
    OPTION_FRACTION,
    OPTION_STRING,
    OPTION_PIDS,
    OPTION_BOOL,
    OPTION_FLAG,
};

struct option_row {
    const char *name;
    char letter; /* as emqtt-bench has it; 0: none */
    enum option_kind kind;
    size_t offset;
    uint64_t min, max;  /* OPTION_NUMBER, OPTION_TIME_S */
    uint32_t scenarios; /* bit per enum options_scenario */
    bool of_mqtt;       /* makes no sense with --raw */
};

#define OPTION_ROWS_MAX 64u

extern const struct option_row option_rows[];
extern const size_t option_row_count;

/* The row's index, or option_row_count. `word` is "--name", "--name=value" or "-x". */
size_t option_row_find(const char *word);

#endif
