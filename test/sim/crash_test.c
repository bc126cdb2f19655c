/*
 * sim/crash: the broker with its journal on a simulated disk, the clients and the oracle of sim/random; and in the middle of it all it crashes.
 *
 * Its arguments are those of test/sim/seeds.h. A run is a few hundred steps with one to four ends of the broker: most of them crashes, in the middle of whatever the shards were
 * doing and of what the disk was writing, some of them orderly. It comes back with the same or another number of shards, after no time or after seconds. What must
 * hold then stands in oracle_crash.c; clients resume their sessions, send again what was not acknowledged, and everything goes on.
 *
 * What a seed decides as well: the size of segments and how much of queues is in memory (both tiny, so that segments are used again, records copied and queues paged out),
 * and how long the disk takes.
 */
#include "test/sim/run.h"
#include "test/sim/seeds.h"

#include <stdio.h>

#define CRASHES_MAX 4u

struct crash_plan {
    struct run_plan run;
    struct dice dice;
    char options[512];
    uint32_t crash_count;
    uint32_t trouble_from, trouble_to; /* steps; the disk is full or fails; none if equal */
};

static unsigned
choose_shards(struct dice *dice)
{
    static const unsigned counts[] = {1, 1, 2, 2, 2, 3, 8};
    return counts[dice_below(dice, 7)];
}

static void
make_plan(struct crash_plan *plan, uint64_t seed, const struct seeds_settings *settings)
{
    *plan = (struct crash_plan){.dice = {seed ^ 0x6a09e667f3bcc908u}};
    struct dice *dice = &plan->dice;
    plan->run = (struct run_plan){
        .seed = seed,
        .shards = settings->shards ? settings->shards : choose_shards(dice),
        .actors_min = 3,
        .actors_max = 9,
        .actors_many = 16,
        .steps_min = 80,
        .steps_max = 350,
        .options = plan->options,
    };
    plan->crash_count = dice_between(dice, 1, CRASHES_MAX);
    if (dice_percent(dice, 15)) {
        plan->trouble_from = dice_below(dice, plan->run.steps_max);
        plan->trouble_to = plan->trouble_from + dice_between(dice, 5, 60);
    }
    static const uint32_t segment_sizes[] = {32u << 10, 64u << 10, 256u << 10, 1u << 20};
    world_set_segment_size(segment_sizes[dice_below(dice, 4)]);
    uint64_t queue_memory = dice_percent(dice, 30) ? dice_between(dice, 1, 40000) : UINT64_C(256) << 20;
    snprintf(plan->options, sizeof plan->options, "persistence true\npersistence_location " WORLD_LOCATION "\nqueue_memory_limit %llu\n",
             (unsigned long long)queue_memory);
}

/* How long a disk takes: some are slower than what the network makes of a turn. */
static void
set_latency(struct run *run, struct dice *dice)
{
    static const uint64_t max_ns[] = {0, 200000, 200000, 3000000};
    uint64_t most_ns = max_ns[dice_below(dice, 4)];
    sim_disk_set_latency(run->world->disk, most_ns / 4, most_ns);
}

static void
trouble(struct run *run, struct crash_plan *plan, uint32_t step)
{
    struct dice *dice = &plan->dice;
    if (plan->trouble_from != plan->trouble_to && step == plan->trouble_from) {
        if (dice_percent(dice, 75)) {
            run_fill_disk(run, dice_below(dice, 200000));
        } else {
            run_break_disk(run, dice_between(dice, 1, 6));
        }
    } else if (step == plan->trouble_to && run->oracle->disk_trouble) {
        run_heal_disk(run);
    }
}

static void
crash(struct run *run, struct crash_plan *plan, const struct seeds_settings *settings)
{
    struct dice *dice = &plan->dice;
    static const enum run_end ends[] = {RUN_POWER_FAILS, RUN_POWER_FAILS, RUN_POWER_FAILS, RUN_POWER_FAILS, RUN_POWER_FAILS, RUN_KILLED, RUN_KILLED, RUN_STOPPED};
    struct run_crash how = {
        .end = ends[dice_below(dice, 8)],
        .shards = settings->shards ? settings->shards : dice_percent(dice, 60) ? run->oracle->shard_count : choose_shards(dice),
        .down_ms = dice_percent(dice, 60) ? 0 : dice_below(dice, dice_percent(dice, 30) ? 8000 : 500),
    };
    run_crash(run, &how);
    set_latency(run, dice);
}

static void
run_seed(struct oracle *oracle, uint64_t seed, const struct seeds_settings *settings)
{
    struct crash_plan plan;
    struct run run;
    make_plan(&plan, seed, settings);
    run_open(&run, oracle, &plan.run);
    set_latency(&run, &plan.dice);
    uint32_t crashes = plan.crash_count;
    for (uint32_t i = 0; i < run.steps; i++) {
        run_step(&run);
        trouble(&run, &plan, i);
        if (dice_below(&plan.dice, run.steps - i) < crashes) {
            crash(&run, &plan, settings);
            crashes--;
        }
    }
    if (oracle->disk_trouble) {
        run_heal_disk(&run);
    }
    run_bring_back(&run);
    run_end_everything(&run);
    run_close(&run);
}

int
main(int argc, char **argv)
{
    return seeds_main(argc, argv, "sim_crash_test", run_seed);
}
