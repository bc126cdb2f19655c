/*
 * scenario: who publishes what to whom.
 *
 * A scenario is a table of four small functions; adding one is a file scenario_<name>.c, a line in scenario.c and a word in
 * options.c. How many publishers and subscribers there are follows from the options.
 *
 * Threads  any: no state.
 */
#ifndef TIDEWIRE_BENCH_LOAD_SCENARIO_H
#define TIDEWIRE_BENCH_LOAD_SCENARIO_H

#include <stddef.h>
#include <stdint.h>

#include "bench/load/options.h"

#define SCENARIO_NAME_ROOM 64u
/* scenario->stream: this subscriber should not hear this publisher. */
#define SCENARIO_NO_STREAM UINT32_MAX

struct scenario {
    void (*write_topic)(uint32_t publisher, char *out, size_t room);
    void (*write_filter)(uint32_t subscriber, char *out, size_t room);
    /* Streams are numbered from 0: one for each subscriber that hears a publisher. */
    uint32_t (*count_streams)(uint32_t publishers, uint32_t subscribers);
    uint32_t (*get_stream)(uint32_t publisher, uint32_t subscriber);
};

const struct scenario *scenario_get(enum options_scenario which);

extern const struct scenario scenario_pairs, scenario_fanin, scenario_fanout, scenario_idle;

#endif
