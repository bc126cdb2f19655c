/*
 * scenario: who publishes what to whom, and which phases a run has.
 *
 * A scenario is a row of small functions; adding one is a file scenario_<name>.c, a line in scenario.c and a word in options.h. How
 * many publishers and subscribers there are follows from the options.
 *
 * Threads  any: no state.
 */
#ifndef TIDEWIRE_BENCH_LOAD_SCENARIO_H
#define TIDEWIRE_BENCH_LOAD_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/load/options.h"

/* Topics, filters and client identifiers; options that make longer ones are refused. */
#define SCENARIO_NAME_ROOM 256u

/* How an arriving message is judged. */
enum scenario_judge {
    JUDGE_NOTHING,   /* nobody subscribes */
    JUDGE_PAIRS,     /* subscriber i hears publisher i, in order */
    JUDGE_ALL,       /* every subscriber hears every publisher, in order */
    JUDGE_SET,       /* every subscriber gets every message once, in any order */
    JUDGE_GROUPS,    /* one member of each group gets a message, in any order */
    JUDGE_STRANGERS, /* publishers are elsewhere: their numbers are learned from what arrives */
};

enum scenario_program {
    PROGRAM_FLOW,     /* connect, warm up, measure, drain */
    PROGRAM_STORM,    /* as many connections as fast as possible, beside a flow */
    PROGRAM_RETAINED, /* store, then fetch */
    PROGRAM_OFFLINE,  /* subscribe, go, queue, come back, drain */
};

struct scenario {
    enum scenario_program program;
    enum scenario_judge judge;
    uint32_t (*count_publishers)(const struct options *o);  /* NULL: none */
    uint32_t (*count_subscribers)(const struct options *o); /* NULL: none */
    uint32_t (*count_idle)(const struct options *o);        /* NULL: none */
    void (*write_topic)(const struct options *o, uint32_t publisher, char *out, size_t room);
    void (*write_filter)(const struct options *o, uint32_t subscriber, char *out, size_t room);
};

const struct scenario *scenario_get(enum options_scenario which);

uint32_t scenario_count_publishers(const struct options *o);
uint32_t scenario_count_subscribers(const struct options *o);
uint32_t scenario_count_idle(const struct options *o);

/* Deliveries that follow from one publish. */
uint32_t scenario_get_fan(const struct options *o);

/* Whether publishers send against the window; the others end by number or by what their sockets take. */
bool scenario_has_window(const struct options *o);

/* Each publisher's part of the window, in messages it publishes. */
uint64_t scenario_get_share(const struct options *o);

/* What most scenarios use. */
uint32_t scenario_one(const struct options *o);
uint32_t scenario_by_count(const struct options *o);      /* --count */
uint32_t scenario_by_publishers(const struct options *o); /* --publishers */

extern const struct scenario scenario_pairs, scenario_fanin, scenario_fanout, scenario_idle, scenario_conn, scenario_pub, scenario_sub,
    scenario_shared, scenario_retained, scenario_offline, scenario_connstorm;

#endif
