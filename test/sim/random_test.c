/*
 * sim/random: the whole broker in the simulated world, many clients that do what clients do, and an oracle that knows what each of them is owed.
 *
 *   sim_random_test [--seeds N] [--from SEED] [--seed SEED] [--shards N] [--verbose] [--trace] [--quick]
 *
 * --trace shows every event as it happens, --quick leaves out the second run of the first seed, which looks whether it repeats.
 *
 * A run is made of its seed alone: the shards take their turns in random order, bytes are late and come in pieces, clients vanish, come back and take themselves over,
 * read slowly or not at all, and time passes. What is checked stands in oracle.h and actor.h. At the end every session is taken up again and must get what it is
 * owed; then all are ended, and nothing may be left.
 */
#include "test/sim/actor.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

/* Simulated time that may pass while some shard has something to do; part of ORACLE_SLACK_MS. */
#define LAG_NS 3000000u
#define ROUNDS_MAX 20000u
/* What a client may be owed at most when it stays away: the broker's queues must hold it. */
#define OPTIONS "max_queued_messages 0\n"

struct run {
    struct world *world;
    struct oracle *oracle;
    struct dice dice;
    struct actor_stage stage;
    struct actor *actors;
    uint32_t actor_count;
    uint32_t steps;
    uint64_t quiet_ns; /* when no shard had anything to do */
    unsigned slow_shard; /* seldom takes its turn, as one whose turns are long */
};

struct settings {
    uint64_t from, seeds;
    unsigned shards; /* 0: by seed */
    bool verbose;
    bool quick; /* does not look whether the first seed repeats */
};

static uint64_t current_seed;
static struct oracle oracle;

/* --------------------------------------------------------------------------------------------------------- shards and time */

static bool
ready(const struct run *run, unsigned i)
{
    const struct world *w = run->world;
    const struct shard *shard = w->broker->shards[i];
    return sim_ready(w->sim, i) || shard_busy(shard) || mesh_waiting(w->broker->mesh, i) || shard_next_ms(shard) <= world_now_ms(w);
}

/* One turn of a shard picked among those that have something to do; false if none has. */
static bool
turn(struct run *run, bool all)
{
    unsigned picked = UINT32_MAX;
    unsigned count = 0;
    bool skip_slow = !all && dice_percent(&run->dice, 95);
    for (unsigned i = 0; i < run->world->broker->shard_count; i++) {
        if (!(skip_slow && i == run->slow_shard) && ready(run, i) && dice_below(&run->dice, ++count) == 0) {
            picked = i;
        }
    }
    if (count == 0) {
        return false;
    }
    shard_turn(run->world->broker->shards[picked], false);
    return true;
}

static void
look_at_clock(struct run *run)
{
    run->oracle->now_ns = sim_now_ns(run->world->sim);
}

static void
turn_until_quiet(struct run *run)
{
    uint32_t rounds = 0;
    while (turn(run, true)) {
        if (++rounds > 100 * ROUNDS_MAX) {
            oracle_fail(run->oracle, ORACLE_NONE, ORACLE_NONE, "the broker does not come to rest");
        }
    }
    run->quiet_ns = sim_now_ns(run->world->sim);
}

static void
advance(struct run *run, uint64_t by_ns)
{
    if (sim_now_ns(run->world->sim) + by_ns > run->quiet_ns + LAG_NS) {
        turn_until_quiet(run);
    }
    sim_advance(run->world->sim, by_ns);
    look_at_clock(run);
}

static void
pass_time(struct run *run, uint32_t ms)
{
    while (ms > 0) {
        uint32_t piece = ms < 200 ? ms : 200;
        world_advance(run->world, piece);
        look_at_clock(run);
        run->quiet_ns = sim_now_ns(run->world->sim);
        for (uint32_t i = 0; i < run->actor_count; i++) {
            actor_pump(&run->actors[i], false);
        }
        oracle_watch_groups(run->oracle);
        ms -= piece;
    }
}

/* Until nobody has anything left to do; then everything owed must be there. */
static void
checkpoint(struct run *run)
{
    bool any = true;
    for (uint32_t round = 0; any; round++) {
        if (round > ROUNDS_MAX) {
            oracle_fail(run->oracle, ORACLE_NONE, ORACLE_NONE, "clients and broker do not come to rest");
        }
        world_settle(run->world);
        look_at_clock(run);
        any = false;
        for (uint32_t i = 0; i < run->actor_count; i++) {
            any |= actor_pump(&run->actors[i], true);
        }
    }
    run->quiet_ns = sim_now_ns(run->world->sim);
    oracle_watch_groups(run->oracle);
    oracle_settled(run->oracle);
    for (uint32_t i = 0; i < run->actor_count; i++) {
        actor_settled(&run->actors[i]);
    }
    oracle_checkpoint(run->oracle);
}

/* -------------------------------------------------------------------------------------------------------------- the chaos */

static void
set_faults(struct run *run)
{
    static const uint32_t delays_ns[] = {0, 20000, 300000, 3000000};
    static const uint32_t pipes[] = {0, 1024, 8192};
    struct sim_faults faults = {
        .delay_ns_max = delays_ns[dice_below(&run->dice, 4)],
        .fragment_percent = dice_percent(&run->dice, 50) ? dice_below(&run->dice, 60) : 0,
        .pipe_size = pipes[dice_below(&run->dice, 3)],
    };
    sim_set_faults(run->world->sim, &faults);
}

static void
step(struct run *run)
{
    struct dice *dice = &run->dice;
    actor_act(&run->actors[dice_below(dice, run->actor_count)]);
    oracle_watch_groups(run->oracle);
    for (uint32_t turns = dice_below(dice, 8); turns > 0 && turn(run, false); turns--) {
    }
    for (uint32_t pumps = dice_below(dice, 8); pumps > 0; pumps--) {
        actor_pump(&run->actors[dice_below(dice, run->actor_count)], false);
    }
    if (dice_percent(dice, 60)) {
        advance(run, dice_below(dice, dice_percent(dice, 20) ? 2000000 : 100000));
    }
    uint32_t rare = dice_below(dice, 1000);
    if (rare < 30) {
        pass_time(run, dice_between(dice, 50, rare < 12 ? 5000 : 700));
    } else if (rare < 60) {
        checkpoint(run);
    } else if (rare < 65) {
        set_faults(run);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- the end */

static void
judge_actors_at_rest(struct run *run)
{
    for (uint32_t i = 0; i < run->actor_count; i++) {
        const struct actor *a = &run->actors[i];
        if (a->state == ACTOR_CONNECTING || a->state == ACTOR_CLOSING) {
            oracle_fail(run->oracle, i, ORACLE_NONE, a->state == ACTOR_CONNECTING ? "got no CONNACK" : "its connection was not closed");
        }
        if (a->state == ACTOR_OPEN && (a->outgoing_count > 0 || a->request_count > 0)) {
            oracle_fail(run->oracle, i, a->outgoing_count > 0 ? a->outgoing[0].message : ORACLE_NONE, "waits for %u flows and %u answers", a->outgoing_count,
                        a->request_count);
        }
        const struct actor_incoming *unfinished = a->state == ACTOR_OPEN ? actor_unfinished(a) : NULL;
        if (unfinished != NULL) {
            oracle_fail(run->oracle, i, unfinished->message, "a delivery that the broker did not finish: packet identifier %u", unfinished->packet_id);
        }
    }
}

static void
judge_gauge(struct run *run, const char *name, size_t offset)
{
    uint64_t value = world_count(run->world, offset);
    if (value != 0) {
        oracle_fail(run->oracle, ORACLE_NONE, ORACLE_NONE, "gauge %s is %lld, and should be 0", name, (long long)value);
    }
}

/* Everybody who may have a session takes it up again, reads, and answers. */
static void
bring_back(struct run *run)
{
    sim_set_faults(run->world->sim, &(struct sim_faults){0});
    for (uint32_t i = 0; i < run->actor_count; i++) {
        struct actor *a = &run->actors[i];
        if (a->state == ACTOR_OPEN && a->silent) {
            actor_reset(a);
        }
        if (a->state == ACTOR_OPEN && a->stuck) {
            actor_set_stuck(a, false);
        }
    }
    checkpoint(run);
    pass_time(run, 2 * ORACLE_SLACK_MS);
    bool all_came_back = true;
    for (uint32_t i = 0; i < run->actor_count; i++) {
        struct actor *a = &run->actors[i];
        const struct oracle_session *s = oracle_session_of(run->oracle, i);
        if (a->state != ACTOR_OPEN && s != NULL && !s->ended && !s->doubtful) {
            a->version = a->habit_version;
            actor_connect(a, false, ORACLE_FOREVER_MS, false);
        }
        all_came_back &= !a->must_start_clean;
    }
    checkpoint(run);
    checkpoint(run);
    judge_actors_at_rest(run);
    oracle_judge_groups(run->oracle);
    if (all_came_back) {
        judge_gauge(run, "queued messages, when all sessions were brought up to date", offsetof(struct stats, queued_messages));
        judge_gauge(run, "messages in flight, when all sessions were brought up to date", offsetof(struct stats, inflight_messages));
    }
}

/* A newcomer sees what is retained, and then deletes it. */
static void
audit_retained(struct run *run)
{
    struct actor *a = &run->actors[0];
    uint32_t filters[3];
    for (uint32_t f = 0, count = 0; f < NAMES_SHARED && count < 3; f++) {
        struct bytes text = names_filter(f);
        if (bytes_equal(text, bytes_of("#", 1)) || bytes_equal(text, bytes_of("$app/#", 6)) || bytes_equal(text, bytes_of("/+", 2))) {
            filters[count++] = f;
        }
    }
    struct subscription_options options[3] = {{.qos = 2}, {.qos = 2}, {.qos = 1}};
    actor_subscribe(a, filters, options, 3, 77);
    checkpoint(run);
    for (uint32_t topic = 0; topic < NAMES_TOPICS; topic++) {
        actor_publish(a, topic, 1, true, 0);
    }
    checkpoint(run);
    pass_time(run, 1500);
    judge_gauge(run, "retained messages", offsetof(struct stats, retained_messages));
    judge_gauge(run, "retained bytes", offsetof(struct stats, retained_bytes));
}

/* Bytes of a slab's blocks, which it keeps. */
static int64_t
slab_bytes(const struct slab *slab)
{
    int64_t block_bytes = ((int64_t)slab->object_size * slab->block_objects + 64 + 63) & ~INT64_C(63);
    int64_t bytes = 0;
    for (void *block = slab->blocks; block != NULL; block = *(void **)block) {
        bytes += block_bytes;
    }
    return bytes;
}

static void
judge_memory(struct run *run)
{
    for (unsigned i = 0; i < run->world->broker->shard_count; i++) {
        const struct shard *s = run->world->broker->shards[i];
        int64_t kept = slab_bytes(&s->connections) + slab_bytes(&s->sessions) + slab_bytes(&s->subscriptions) + slab_bytes(&s->deliveries);
        if (s->account->bytes != kept) {
            oracle_fail(run->oracle, ORACLE_NONE, ORACLE_NONE, "shard %u accounts for %lld bytes that nobody holds", i, (long long)(s->account->bytes - kept));
        }
    }
}

static void
end_everything(struct run *run)
{
    for (uint32_t i = 0; i < run->actor_count; i++) {
        run->actors[i].version = 5;
        actor_connect(&run->actors[i], true, 0, false);
    }
    checkpoint(run);
    audit_retained(run);
    for (uint32_t i = 0; i < run->actor_count; i++) {
        actor_disconnect(&run->actors[i], REASON_SUCCESS, false, 0);
    }
    checkpoint(run);
    pass_time(run, 3000); /* the last of those that were taken over are closed */
    judge_actors_at_rest(run);
    judge_gauge(run, "sockets", offsetof(struct stats, sockets));
    judge_gauge(run, "connected", offsetof(struct stats, connected));
    judge_gauge(run, "sessions", offsetof(struct stats, sessions));
    judge_gauge(run, "subscriptions", offsetof(struct stats, subscriptions));
    judge_gauge(run, "shared subscriptions", offsetof(struct stats, shared_subscriptions));
    judge_gauge(run, "queued messages", offsetof(struct stats, queued_messages));
    judge_gauge(run, "queued bytes", offsetof(struct stats, queued_bytes));
    judge_gauge(run, "messages in flight", offsetof(struct stats, inflight_messages));
    judge_gauge(run, "held connections", offsetof(struct stats, held_connections));
    judge_memory(run);
}

/* ------------------------------------------------------------------------------------------------------------------ a run */

static void
open_run(struct run *run, uint64_t seed, unsigned shards)
{
    static const unsigned shard_counts[] = {1, 2, 3, 8};
    static const uint16_t windows[] = {1, 3, 20, 100};
    static const uint16_t maxima[] = {1, 3, 40, 1000};
    *run = (struct run){.oracle = &oracle, .dice = {seed * 0x2545f4914f6cdd1du + 1}};
    shards = shards ? shards : shard_counts[seed % 4];
    run->actor_count = dice_percent(&run->dice, 70) ? dice_between(&run->dice, 5, 14) : dice_between(&run->dice, 15, 40);
    run->steps = dice_between(&run->dice, 200, 1200);
    run->stage = (struct actor_stage){
        .oracle = &oracle,
        .receive_maximum = maxima[dice_below(&run->dice, 4)],
        .window_max = windows[dice_below(&run->dice, 4)],
        .payload_large_percent = dice_percent(&run->dice, 60) ? dice_below(&run->dice, 8) : 0,
        .hot_topic = dice_percent(&run->dice, 40) ? dice_between(&run->dice, NAMES_RETAINED, NAMES_TOPICS - 1) : NAMES_TOPICS,
    };
    bool queue_qos0 = dice_percent(&run->dice, 50);
    uint32_t output_max = dice_percent(&run->dice, 20) ? dice_between(&run->dice, 4096, 30000) : 4u << 20;
    char options[256];
    snprintf(options, sizeof options, OPTIONS "receive_maximum %u\nmax_inflight_messages %u\nqueue_qos0_messages %s\nmax_output_bytes %u\n",
             run->stage.receive_maximum, run->stage.window_max, queue_qos0 ? "true" : "false", output_max);
    run->world = world_open(seed, shards, options);
    run->stage.world = run->world;
    oracle_init(&oracle, seed, run->actor_count);
    oracle.shard_count = shards;
    oracle.queue_qos0 = queue_qos0;
    oracle.drops_qos0 = output_max < 1u << 20;
    run->slow_shard = dice_percent(&run->dice, 50) ? dice_below(&run->dice, shards) : UINT32_MAX;
    run->actors = calloc(run->actor_count, sizeof *run->actors);
    look_at_clock(run);
    set_faults(run);
}

static uint64_t
run_seed(uint64_t seed, const struct settings *settings)
{
    struct run run;
    current_seed = seed;
    open_run(&run, seed, settings->shards);
    run.stage.dice = &run.dice;
    for (uint32_t i = 0; i < run.actor_count; i++) {
        actor_init(&run.actors[i], &run.stage, i, dice_percent(&run.dice, 70) ? 5 : 4);
    }
    for (uint32_t i = 0; i < run.steps; i++) {
        step(&run);
    }
    bring_back(&run);
    end_everything(&run);
    for (uint32_t i = 0; i < run.actor_count; i++) {
        actor_fini(&run.actors[i]);
    }
    world_close(&run.world);
    if (settings->verbose) {
        printf("seed %llu: %u shards, %u clients, %u messages, %llu deliveries, %llu again, %llu owed, %llu replays, %llu wills, %llu in groups\n",
               (unsigned long long)seed, oracle.shard_count, run.actor_count, oracle.message_count, (unsigned long long)oracle.deliveries,
               (unsigned long long)oracle.redeliveries, (unsigned long long)oracle.obligations, (unsigned long long)oracle.replays_checked,
               (unsigned long long)oracle.wills_checked, (unsigned long long)oracle.groups_checked);
    }
    free(run.actors);
    return oracle.trace.digest;
}

static void
judge_repeat(uint64_t seed, const struct settings *settings, uint64_t digest)
{
    if (run_seed(seed, settings) != digest) {
        fprintf(stderr, "seed %llu does not repeat\n", (unsigned long long)seed);
        exit(1);
    }
    oracle_fini(&oracle);
}

static void
say_seed(void)
{
    fprintf(stderr, "repeat: build/asan/sim_random_test --seed %llu\n", (unsigned long long)current_seed);
}

static void
on_abort(int number)
{
    (void)number;
    trace_show(&oracle.trace, TRACE_NONE, TRACE_NONE, 5);
    say_seed();
    _Exit(1);
}

static struct settings
parse(int argc, char **argv)
{
    struct settings settings = {.from = 1, .seeds = 100};
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

int
main(int argc, char **argv)
{
    struct settings settings = parse(argc, argv);
    signal(SIGABRT, on_abort);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_set_death_callback(say_seed);
#endif
    names_init();
    uint64_t messages = 0, deliveries = 0;
    for (uint64_t seed = settings.from; seed < settings.from + settings.seeds; seed++) {
        uint64_t digest = run_seed(seed, &settings);
        messages += oracle.message_count;
        deliveries += oracle.deliveries;
        oracle_fini(&oracle);
        if (seed == settings.from && !settings.quick) {
            judge_repeat(seed, &settings, digest);
        }
    }
    trace_fini(&oracle.trace);
    printf("%llu seeds, %llu messages, %llu deliveries: nothing lost, nothing wrong\n", (unsigned long long)settings.seeds, (unsigned long long)messages,
           (unsigned long long)deliveries);
    return 0;
}
