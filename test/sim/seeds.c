#include "test/sim/seeds.h"

#include "engine/broker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

static struct oracle oracle;

static void
say_seed(void)
{
    oracle_say_how_to_repeat(&oracle);
}

static void
on_abort(int number)
{
    (void)number;
    trace_show(&oracle.trace, TRACE_NONE, TRACE_NONE, 5);
    say_seed();
    _Exit(1);
}

static struct seeds_settings
parse(int argc, char **argv)
{
    struct seeds_settings settings = {.from = 1, .seeds = 100};
    for (int i = 1; i < argc; i++) {
        uint64_t value = i + 1 < argc ? strtoull(argv[i + 1], NULL, 10) : 0;
        if (strcmp(argv[i], "--verbose") == 0) {
            settings.verbose = true;
            continue;
        }
        if (strcmp(argv[i], "--quick") == 0) {
            settings.quick = true;
            continue;
        }
        if (strcmp(argv[i], "--trace") == 0) {
            oracle.trace.loud = true;
            continue;
        }
        if (strcmp(argv[i], "--seeds") == 0) {
            settings.seeds = value;
        } else if (strcmp(argv[i], "--from") == 0) {
            settings.from = value;
        } else if (strcmp(argv[i], "--seed") == 0) {
            settings.from = value;
            settings.seeds = 1;
        } else if (strcmp(argv[i], "--shards") == 0 && value <= BROKER_SHARDS_MAX) {
            settings.shards = (unsigned)value;
        } else {
            fprintf(stderr, "usage: %s [--seeds N] [--from SEED] [--seed SEED] [--shards N] [--verbose] [--trace] [--quick]\n", argv[0]);
            exit(2);
        }
        i++;
    }
    return settings;
}

static void
show_run(uint64_t seed)
{
    printf("seed %llu: %u shards, %u clients, %u messages, %llu deliveries, %llu again, %llu owed, %llu replays, %llu wills, %llu in groups",
           (unsigned long long)seed, oracle.shard_count, oracle.actor_count, oracle.message_count, (unsigned long long)oracle.deliveries,
           (unsigned long long)oracle.redeliveries, (unsigned long long)oracle.obligations, (unsigned long long)oracle.replays_checked,
           (unsigned long long)oracle.wills_checked, (unsigned long long)oracle.groups_checked);
    if (oracle.crash_count + oracle.restart_count > 0) {
        printf(", %u crashes, %u restarts", oracle.crash_count, oracle.restart_count);
    }
    printf("\n");
}

static uint64_t
run_one(uint64_t seed, const struct seeds_settings *settings, seeds_run run)
{
    oracle.seed = seed;
    run(&oracle, seed, settings);
    if (settings->verbose) {
        show_run(seed);
    }
    return oracle.trace.digest;
}

int
seeds_main(int argc, char **argv, const char *program, seeds_run run)
{
    struct seeds_settings settings = parse(argc, argv);
    oracle.program = program;
    signal(SIGABRT, on_abort);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_set_death_callback(say_seed);
#endif
    names_init();
    uint64_t messages = 0, deliveries = 0, crashes = 0, restarts = 0;
    for (uint64_t seed = settings.from; seed < settings.from + settings.seeds; seed++) {
        uint64_t digest = run_one(seed, &settings, run);
        messages += oracle.message_count;
        deliveries += oracle.deliveries;
        crashes += oracle.crash_count;
        restarts += oracle.restart_count;
        oracle_fini(&oracle);
        if (seed == settings.from && !settings.quick) {
            if (run_one(seed, &settings, run) != digest) {
                fprintf(stderr, "seed %llu does not repeat\n", (unsigned long long)seed);
                return 1;
            }
            oracle_fini(&oracle);
        }
    }
    trace_fini(&oracle.trace);
    printf("%llu seeds, ", (unsigned long long)settings.seeds);
    if (crashes + restarts > 0) {
        printf("%llu crashes, %llu restarts, ", (unsigned long long)crashes, (unsigned long long)restarts);
    }
    printf("%llu messages, %llu deliveries: nothing lost, nothing wrong\n", (unsigned long long)messages, (unsigned long long)deliveries);
    return 0;
}
