#include "bench/load/run.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/process.h"
#include "bench/load/program.h"
#include "bench/load/report.h"
#include "bench/load/scenario.h"
#include "bench/load/traffic.h"

static bool
check_pids(const struct options *o)
{
    uint64_t ignored;
    for (uint32_t i = 0; i < o->pid_count; i++) {
        if (!process_read_cpu_ns(o->pids[i], &ignored)) {
            fprintf(stderr, "tidewire-bench: --pid %d: no such process\n", (int)o->pids[i]);
            return false;
        }
    }
    return true;
}

static struct board *
open_board(const struct options *o)
{
    struct board *b = board_open((uint32_t)(o->threads * o->processes), scenario_count_publishers(o));
    if (b == NULL) {
        fprintf(stderr, "tidewire-bench: memory for --threads %llu: %s\n", (unsigned long long)(o->threads * o->processes), strerror(errno));
        return NULL;
    }
    b->start_ns = process_get_now_ns();
    if (o->scenario == SCENARIO_CONNSTORM && o->steady > 0 && b->worker_count > 1) {
        board_set_apart(b);
    }
    if (o->scenario == SCENARIO_PUB) {
        /* Several of them may publish to one subscriber: it tells publishers apart by number. */
        b->publisher_base = (uint32_t)((b->start_ns ^ (uint64_t)o->run << 20) * UINT64_C(0x9E3779B97F4A7C15) >> 41);
    }
    return b;
}

/* False, with the reason said, if --tls cannot work as it is asked for. */
static bool
open_secure(const struct options *o, struct secure_context **out)
{
    char error[256];

    *out = NULL;
    if (!o->tls) {
        return true;
    }
    *out = secure_context_open(o, error, sizeof error);
    if (*out == NULL) {
        fprintf(stderr, "tidewire-bench: %s\n", error);
    }
    return *out != NULL;
}

static void
go_through_phases(struct conductor *c)
{
    switch (scenario_get(c->options->scenario)->program) {
    case PROGRAM_FLOW: program_flow(c); break;
    case PROGRAM_STORM: program_storm(c); break;
    case PROGRAM_RETAINED: program_retained(c); break;
    case PROGRAM_OFFLINE: program_offline(c); break;
    }
}

/* What was sent less what was seen or given up is what is under way: T1 of traffic.h, when all mail has been taken. */
static void
check_accounts(const struct conductor *c)
{
    enum scenario_judge judge = scenario_get(c->options->scenario)->judge;
    uint64_t expected = conductor_get(c, COUNT_SENT) * scenario_get_fan(c->options);

    if (judge != JUDGE_NOTHING && judge != JUDGE_STRANGERS && !c->result->broken) {
        assert(expected - conductor_get(c, COUNT_PASSED) == conductor_get(c, COUNT_OUTSTANDING));
    }
}

/* A task that was interrupted has not lost what it had not waited for. */
static void
forgive_interrupted_task(struct conductor *c)
{
    enum scenario_program program = scenario_get(c->options->scenario)->program;

    if (c->result->interrupted && (program == PROGRAM_RETAINED || program == PROGRAM_OFFLINE)) {
        c->result->end.totals.of[COUNT_LOST] = 0;
    }
}

static void
settle(struct conductor *c)
{
    struct result *r = c->result;

    conductor_order(c, (struct order){.kind = ORDER_SETTLE});
    conductor_order(c, (struct order){.kind = ORDER_TALLY});
    check_accounts(c);
    r->end = monitor_take_sample(&c->monitor);
    r->interrupted = conductor_is_interrupted();
    r->broker_gone = r->before.has_broker && !r->end.has_broker;
    forgive_interrupted_task(c);
}

static void
merge_desks(const struct board *b, struct result *r)
{
    histogram_init(&r->latency);
    histogram_init(&r->lateness);
    histogram_init(&r->acking);
    histogram_init(&r->connecting);
    histogram_init(&r->fetching);
    for (uint32_t i = 0; i < b->worker_count; i++) {
        histogram_merge(&r->latency, &b->desks[i].latency);
        histogram_merge(&r->lateness, &b->desks[i].lateness);
        histogram_merge(&r->acking, &b->desks[i].acking);
        histogram_merge(&r->connecting, &b->desks[i].connecting);
        histogram_merge(&r->fetching, &b->desks[i].fetching);
        failure_merge(&r->failures, &b->desks[i].failures);
        if (r->secured[0] == '\0') {
            snprintf(r->secured, sizeof r->secured, "%s", b->desks[i].secured);
        }
    }
}

/* What was measured before the storm is no part of it. */
static void
take_calm_out(struct result *r)
{
    static struct histogram all;

    all = r->latency;
    histogram_init(&r->latency);
    histogram_subtract(&r->latency, &all, &r->calm);
}

static void
conduct(struct conductor *c)
{
    struct result *r = c->result;

    monitor_init(&c->monitor, c->options, c->board, &c->crew, &r->series);
    r->before = r->connected = r->first = r->last = monitor_take_sample(&c->monitor);
    go_through_phases(c);
    settle(c);
    conductor_leave(c, GROUP_ALL);
    monitor_end(&c->monitor);
    if (!r->broken) {
        board_give_order(c->board, &(struct order){.kind = ORDER_QUIT});
        crew_end(&c->crew);
    }
    merge_desks(c->board, r);
    if (c->options->calm_ns > 0) {
        take_calm_out(r);
    }
}

int
run_all(const struct options *o)
{
    static struct conductor c;
    static struct result r;
    struct secure_context *secure;

    c.options = r.options = o;
    c.result = &r;
    r.connections = scenario_count_publishers(o) + scenario_count_subscribers(o) + scenario_count_idle(o);
    if (o->scenario == SCENARIO_CONNSTORM) {
        r.connections = scenario_count_idle(o); /* the others are its surroundings */
    }
    if (!check_pids(o) || !open_secure(o, &secure)) {
        return 2;
    }
    c.board = open_board(o);
    if (c.board == NULL || !crew_start(&c.crew, o, c.board, secure)) {
        return 2;
    }
    /* This thread only looks on: when it wakes it does not take the core from a worker. */
    (void)sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
    conduct(&c);
    secure_context_close(&secure);
    bool written = report_write(&r);
    return !written || r.broken ? 2 : result_is_good(&r) ? 0 : 1;
}
