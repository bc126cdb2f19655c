/*
 * sim/random: the whole broker in the simulated world, many clients that do what clients do, and an oracle that knows what each of them is owed.
 *
 * Its arguments are those of test/sim/seeds.h. A run is made of its seed alone: the shards take their turns in random order, bytes are late and come in pieces,
 * clients vanish, come back and take themselves over, read slowly or not at all, and time passes. What is checked stands in oracle.h and actor.h. At the end every
 * session is taken up again and must get what it is owed; then all are ended, and nothing may be left.
 */
#include "test/sim/run.h"
#include "test/sim/seeds.h"

static void
run_seed(struct oracle *oracle, uint64_t seed, const struct seeds_settings *settings)
{
    static const unsigned shard_counts[] = {1, 2, 3, 8};
    struct run_plan plan = {
        .seed = seed,
        .shards = settings->shards ? settings->shards : shard_counts[seed % 4],
        .actors_min = 5,
        .actors_max = 14,
        .actors_many = 40,
        .steps_min = 200,
        .steps_max = 1200,
        .options = "",
    };
    struct run run;
    run_open(&run, oracle, &plan);
    for (uint32_t i = 0; i < run.steps; i++) {
        run_step(&run);
    }
    run_bring_back(&run);
    run_end_everything(&run);
    run_close(&run);
}

int
main(int argc, char **argv)
{
    return seeds_main(argc, argv, "sim_random_test", run_seed);
}
