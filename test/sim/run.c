#include "test/sim/run.h"

#include <stdio.h>
#include <stdlib.h>

/* Simulated time that may pass while some shard has something to do; part of ORACLE_SLACK_MS. */
#define LAG_NS 3000000u
#define ROUNDS_MAX 20000u
/* After so long a broker has noticed that its disk has room again. */
#define HEALING_MS 3000u

/* What a client may be owed at most when it stays away: the broker's queues must hold it. */
#define OPTIONS "max_queued_messages 0\n"

/* --------------------------------------------------------------------------------------------------------- shards and time */

static bool
ready(const struct run *run, unsigned i)
{
    const struct world *w = run->world;
    const struct shard *shard = w->broker->shards[i];
    return sim_ready(w->sim, i) || shard_busy(shard) || mesh_waiting(w->broker->mesh, i) || shard_next_ms(shard) <= world_now_ms(w);
}

bool
run_turn(struct run *run, bool all)
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
    while (run_turn(run, true)) {
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

void
run_pass_time(struct run *run, uint32_t ms)
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

void
run_checkpoint(struct run *run)
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

void
run_step(struct run *run)
{
    struct dice *dice = &run->dice;
    actor_act(&run->actors[dice_below(dice, run->actor_count)]);
    oracle_watch_groups(run->oracle);
    for (uint32_t turns = dice_below(dice, 8); turns > 0 && run_turn(run, false); turns--) {
    }
    for (uint32_t pumps = dice_below(dice, 8); pumps > 0; pumps--) {
        actor_pump(&run->actors[dice_below(dice, run->actor_count)], false);
    }
    if (dice_percent(dice, 60)) {
        advance(run, dice_below(dice, dice_percent(dice, 20) ? 2000000 : 100000));
    }
    uint32_t rare = dice_below(dice, 1000);
    if (rare < 30) {
        run_pass_time(run, dice_between(dice, 50, rare < 12 ? 5000 : 700));
    } else if (rare < 60 && !run->oracle->disk_trouble) {
        run_checkpoint(run);
    } else if (rare < 65) {
        set_faults(run);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- crashes */

/* What had left the broker still arrives, with some. */
static void
read_last_words(struct run *run)
{
    for (uint32_t i = 0; i < run->actor_count; i++) {
        if (dice_percent(&run->dice, 50)) {
            actor_pump(&run->actors[i], false);
        }
    }
}

static void
end_trouble(struct run *run)
{
    sim_disk_set_space(run->world->disk, UINT64_MAX);
    if (run->oracle->disk_trouble) {
        oracle_wills_after_trouble(run->oracle);
    }
    run->oracle->disk_trouble = false;
}

void
run_fill_disk(struct run *run, uint64_t room)
{
    sim_disk_set_space(run->world->disk, sim_disk_bytes(run->world->disk) + room);
    run->oracle->disk_trouble = true;
}

void
run_break_disk(struct run *run, uint32_t writes)
{
    sim_disk_fail(run->world->disk, SIM_DISK_WRITE, writes);
    run->oracle->disk_trouble = true;
}

void
run_heal_disk(struct run *run)
{
    sim_disk_set_space(run->world->disk, UINT64_MAX);
    sim_disk_fail(run->world->disk, SIM_DISK_WRITE, 0);
    for (uint32_t i = 0; i < run->actor_count; i++) {
        if (run->actors[i].state == ACTOR_OPEN && run->actors[i].stuck) {
            actor_set_stuck(&run->actors[i], false); /* else it reads a refusal when nobody expects one any more */
        }
    }
    run_pass_time(run, HEALING_MS);
    oracle_wills_after_trouble(run->oracle);
    run_checkpoint(run); /* what was refused is known */
    end_trouble(run);
}

static void
go_down(struct run *run, const struct run_crash *crash)
{
    switch (crash->end) {
    case RUN_POWER_FAILS:
        world_crash(run->world);
        break;
    case RUN_KILLED:
        world_kill(run->world);
        break;
    case RUN_STOPPED:
        run->stage.stopping_ms = world_now_ms(run->world);
        world_stop(run->world);
        break;
    }
    read_last_words(run);
    world_advance(run->world, crash->down_ms);
    read_last_words(run);
}

void
run_crash(struct run *run, const struct run_crash *crash)
{
    uint64_t since_ms = world_now_ms(run->world);
    bool orderly = crash->end == RUN_STOPPED;
    go_down(run, crash);
    look_at_clock(run);
    end_trouble(run);
    oracle_crashing(run->oracle, since_ms, orderly);
    for (uint32_t i = 0; i < run->actor_count; i++) {
        actor_crashed(&run->actors[i], since_ms);
    }
    oracle_crashed(run->oracle, orderly);
    run->stage.stopping_ms = 0;
    world_start(run->world, crash->shards);
    run->oracle->shard_count = crash->shards;
    run->slow_shard = dice_percent(&run->dice, 50) ? dice_below(&run->dice, crash->shards) : UINT32_MAX;
    run->quiet_ns = sim_now_ns(run->world->sim);
    set_faults(run);
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

void
run_bring_back(struct run *run)
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
    run_checkpoint(run);
    run_pass_time(run, 2 * ORACLE_SLACK_MS);
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
    run_checkpoint(run);
    run_checkpoint(run);
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
    run_checkpoint(run);
    for (uint32_t topic = 0; topic < NAMES_TOPICS; topic++) {
        actor_publish(a, topic, 1, true, 0);
    }
    run_checkpoint(run);
    run_pass_time(run, 1500);
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
        if (s->journal != NULL) {
            continue; /* its buffers are charged too, and say nothing of themselves */
        }
        int64_t kept = slab_bytes(&s->connections) + slab_bytes(&s->sessions) + slab_bytes(&s->subscriptions) + slab_bytes(&s->deliveries);
        if (s->account->bytes != kept) {
            oracle_fail(run->oracle, ORACLE_NONE, ORACLE_NONE, "shard %u accounts for %lld bytes that nobody holds", i, (long long)(s->account->bytes - kept));
        }
    }
}

void
run_end_everything(struct run *run)
{
    for (uint32_t i = 0; i < run->actor_count; i++) {
        run->actors[i].version = 5;
        actor_connect(&run->actors[i], true, 0, false);
    }
    run_checkpoint(run);
    audit_retained(run);
    for (uint32_t i = 0; i < run->actor_count; i++) {
        actor_disconnect(&run->actors[i], REASON_SUCCESS, false, 0);
    }
    run_checkpoint(run);
    run_pass_time(run, 3000); /* the last of those that were taken over are closed */
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

/* ------------------------------------------------------------------------------------------------------ begin and finish */

void
run_open(struct run *run, struct oracle *oracle, const struct run_plan *plan)
{
    static const uint16_t windows[] = {1, 3, 20, 100};
    static const uint16_t maxima[] = {1, 3, 40, 1000};
    *run = (struct run){.oracle = oracle, .dice = {plan->seed * 0x2545f4914f6cdd1du + 1}};
    struct dice *dice = &run->dice;
    run->actor_count = dice_percent(dice, 70) ? dice_between(dice, plan->actors_min, plan->actors_max) : dice_between(dice, plan->actors_max + 1, plan->actors_many);
    run->steps = dice_between(dice, plan->steps_min, plan->steps_max);
    run->stage = (struct actor_stage){
        .oracle = oracle,
        .dice = dice,
        .receive_maximum = maxima[dice_below(dice, 4)],
        .window_max = windows[dice_below(dice, 4)],
        .payload_large_percent = dice_percent(dice, 60) ? dice_below(dice, 8) : 0,
        .hot_topic = dice_percent(dice, 40) ? dice_between(dice, NAMES_RETAINED, NAMES_TOPICS - 1) : NAMES_TOPICS,
    };
    bool queue_qos0 = dice_percent(dice, 50);
    uint32_t output_max = dice_percent(dice, 20) ? dice_between(dice, 4096, 30000) : 4u << 20;
    char options[1024];
    snprintf(options, sizeof options, OPTIONS "receive_maximum %u\nmax_inflight_messages %u\nqueue_qos0_messages %s\nmax_output_bytes %u\n%s",
             run->stage.receive_maximum, run->stage.window_max, queue_qos0 ? "true" : "false", output_max, plan->options);
    run->world = world_open(plan->seed, plan->shards, options);
    run->stage.world = run->world;
    oracle_init(oracle, plan->seed, run->actor_count);
    oracle->shard_count = plan->shards;
    oracle->queue_qos0 = queue_qos0;
    oracle->drops_qos0 = output_max < 1u << 20;
    run->slow_shard = dice_percent(dice, 50) ? dice_below(dice, plan->shards) : UINT32_MAX;
    run->actors = calloc(run->actor_count, sizeof *run->actors);
    look_at_clock(run);
    set_faults(run);
    for (uint32_t i = 0; i < run->actor_count; i++) {
        actor_init(&run->actors[i], &run->stage, i, dice_percent(dice, 70) ? 5 : 4);
    }
}

void
run_close(struct run *run)
{
    for (uint32_t i = 0; i < run->actor_count; i++) {
        actor_fini(&run->actors[i]);
    }
    world_close(&run->world);
    free(run->actors);
}
