/*
 * seeds: the command line of the simulation's programs, and one run after the other.
 *
 *   [--seeds N] [--from SEED] [--seed SEED] [--shards N] [--verbose] [--trace] [--quick]
 *
 * --trace shows every event as it happens, --quick leaves out the second run of the first seed, which looks whether it repeats.
 */
#ifndef TIDEWIRE_TEST_SIM_SEEDS_H
#define TIDEWIRE_TEST_SIM_SEEDS_H

#include "test/sim/oracle.h"

struct seeds_settings {
    uint64_t from, seeds;
    unsigned shards; /* 0: by seed */
    bool verbose;
    bool quick;
};

/* One run: leaves its oracle as it is at the end. */
typedef void (*seeds_run)(struct oracle *oracle, uint64_t seed, const struct seeds_settings *settings);

/* The whole program. Returns the exit code. */
int seeds_main(int argc, char **argv, const char *program, seeds_run run);

#endif
