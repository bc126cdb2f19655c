#include "bench/load/conductor.h"

#include <signal.h>
#include <time.h>

#include "bench/load/process.h"

#define MS UINT64_C(1000000)
/* After the first failure: long enough to see how many fail, short enough to be over. */
#define GRACE_NS (300 * MS)
#define LEAVE_NS (500 * MS)
/* Between two looks: while nothing but the time decides they are rarer, because each takes the core from a worker that shares it. */
#define LOOK_NS (3 * MS)
#define LOOK_STAYING_NS (25 * MS)
#define TAKE_NS (MS / 4)

static volatile sig_atomic_t interrupted;

void
conductor_interrupt(void)
{
    interrupted = 1;
}

bool
conductor_is_interrupted(void)
{
    return interrupted != 0;
}

static void
sleep_ns(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
    (void)nanosleep(&t, NULL); /* a signal ends it early, as it should */
}

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ------------------------------------------------------------------------------------------------------------- looking */

/* Moves the end of the measured phase to now, unless the broker cannot be read any more: then the last good look counts. */
static void
move_end(struct conductor *c, const struct sample *s)
{
    if (s->has_broker || !c->result->first.has_broker) {
        c->result->last = *s;
    }
}

uint64_t
conductor_look(struct conductor *c, uint64_t until_ns)
{
    uint64_t now_ns = process_get_now_ns();
    uint64_t pause_ns = c->staying ? LOOK_STAYING_NS : LOOK_NS;

    if (until_ns > now_ns) {
        sleep_ns(least(pause_ns, until_ns - now_ns));
    }
    if (!c->result->broken && !crew_is_whole(&c->crew)) {
        c->result->broken = true;
    }
    board_sum(c->board, &c->now);
    uint64_t before_ns = c->monitor.last.at_ns;
    now_ns = process_get_now_ns();
    monitor_tick(&c->monitor, now_ns);
    if (c->measuring && c->monitor.last.at_ns != before_ns) {
        move_end(c, &c->monitor.last);
    }
    return now_ns;
}

void
conductor_order(struct conductor *c, struct order o)
{
    if (c->result->broken) {
        return; /* not everybody is there to take it */
    }
    board_give_order(c->board, &o);
    while (!board_is_taken(c->board) && !c->result->broken) {
        sleep_ns(TAKE_NS);
        if (!crew_is_whole(&c->crew)) {
            c->result->broken = true;
        }
    }
    board_sum(c->board, &c->now);
}

static bool
must_stop(const struct conductor *c)
{
    return c->result->broken || conductor_get(c, COUNT_FAILURES) > 0;
}

static bool
is_stalled(struct conductor *c, uint64_t mark, uint64_t now_ns)
{
    if (mark != c->progress_mark) {
        c->progress_mark = mark;
        c->progress_ns = now_ns;
    }
    return now_ns - c->progress_ns > c->options->stall_ns;
}

static bool
is_one_way(const struct options *o)
{
    return o->scenario == SCENARIO_PUB && o->qos == 0;
}

static uint64_t
mark_traffic(const struct conductor *c)
{
    uint64_t mark = conductor_get(c, COUNT_DELIVERED) + conductor_get(c, COUNT_ACKED) + conductor_get(c, COUNT_DUPLICATED) +
        conductor_get(c, COUNT_FOREIGN);
    /* Where nothing comes back, that the broker reads is all that there is to see. */
    return is_one_way(c->options) ? mark + conductor_get(c, COUNT_SENT) - conductor_get(c, COUNT_SENDING) : mark;
}

static uint64_t
mark_connections(const struct conductor *c)
{
    return conductor_get(c, COUNT_CAME_UP) + conductor_get(c, COUNT_FAILED);
}

static bool
has_all_back(const struct conductor *c)
{
    return conductor_get(c, COUNT_OUTSTANDING) == 0 && conductor_get(c, COUNT_UNACKED) == 0 && conductor_get(c, COUNT_SENDING) == 0;
}

bool
conductor_owes_nothing(const struct conductor *c)
{
    return has_all_back(c) && conductor_get(c, COUNT_DUE) == 0;
}

/* --------------------------------------------------------------------------------------------------------------- steps */

static void
note_connecting(struct conductor *c, const struct sample *before, uint64_t came_up)
{
    struct result *r = c->result;

    r->connected = monitor_take_sample(&c->monitor);
    r->connections_up += (uint32_t)(r->connected.totals.of[COUNT_CAME_UP] - came_up);
    r->connect_ns += r->connected.at_ns - before->at_ns;
    r->has_connect_cpu = before->has_broker && r->connected.has_broker;
    r->connect_cpu_ns += r->connected.broker_cpu_ns - before->broker_cpu_ns;
}

bool
conductor_connect(struct conductor *c, uint32_t groups, enum order_session session, bool counts)
{
    struct sample before = monitor_take_sample(&c->monitor);
    uint64_t came_up = conductor_get(c, COUNT_CAME_UP), failed = conductor_get(c, COUNT_FAILED);

    conductor_order(c, (struct order){.kind = ORDER_CONNECT, .groups = groups, .session = session});
    c->progress_ns = process_get_now_ns();
    while (conductor_get(c, COUNT_AWAITED) > 0 && !interrupted && !c->result->broken) {
        uint64_t now_ns = conductor_look(c, UINT64_MAX);
        if (is_stalled(c, mark_connections(c), now_ns)) {
            conductor_order(c, (struct order){.kind = ORDER_FAIL_OPENING});
        }
    }
    if (counts) {
        note_connecting(c, &before, came_up);
    }
    return !interrupted && !c->result->broken && conductor_get(c, COUNT_FAILED) == failed;
}

static bool
has_sent_all(const struct conductor *c)
{
    return c->options->messages > 0 && conductor_get(c, COUNT_SENT) >= c->options->messages && conductor_owes_nothing(c);
}

static bool
stay(struct conductor *c, uint64_t until_ns)
{
    c->progress_ns = process_get_now_ns();
    while (!interrupted && !must_stop(c)) {
        uint64_t now_ns = conductor_look(c, until_ns);
        if (now_ns >= until_ns || has_sent_all(c)) {
            return !must_stop(c);
        }
        if (conductor_owes_nothing(c)) {
            c->progress_ns = now_ns; /* silence is right when nothing is owed */
        } else if (is_stalled(c, mark_traffic(c), now_ns)) {
            conductor_order(c, (struct order){.kind = ORDER_FAIL_STALLED});
        }
    }
    return false;
}

bool
conductor_stay(struct conductor *c, uint64_t until_ns)
{
    c->staying = c->options->messages == 0;
    bool reached = stay(c, until_ns);
    c->staying = false;
    return reached;
}

static bool
wait_for(struct conductor *c, bool (*done)(const struct conductor *c), bool stops_at_signal, uint64_t until_ns)
{
    uint64_t now_ns = c->progress_ns = process_get_now_ns();

    while (!must_stop(c) && !(stops_at_signal && interrupted) && now_ns < until_ns) {
        if (done(c)) {
            return true;
        }
        now_ns = conductor_look(c, until_ns);
        if (is_stalled(c, mark_traffic(c), now_ns)) {
            conductor_order(c, (struct order){.kind = ORDER_FAIL_STALLED});
            return false;
        }
    }
    return false;
}

bool
conductor_wait(struct conductor *c, bool (*done)(const struct conductor *c))
{
    return wait_for(c, done, true, UINT64_MAX);
}

void
conductor_wait_anyway(struct conductor *c, bool (*done)(const struct conductor *c))
{
    c->progress_ns = process_get_now_ns();
    while (!c->result->broken && !done(c)) {
        uint64_t now_ns = conductor_look(c, UINT64_MAX);
        if (is_stalled(c, mark_traffic(c), now_ns)) {
            return;
        }
    }
}

void
conductor_leave(struct conductor *c, uint32_t groups)
{
    uint64_t until_ns = process_get_now_ns() + LEAVE_NS + c->options->count * 20000;

    conductor_order(c, (struct order){.kind = ORDER_LEAVE, .groups = groups});
    while (conductor_get(c, COUNT_LEAVING) > 0 && !c->result->broken && conductor_look(c, until_ns) < until_ns) {
    }
    /* After a failure it would only repeat it. */
    if (conductor_get(c, COUNT_LEAVING) > 0 && conductor_get(c, COUNT_FAILURES) == 0) {
        conductor_order(c, (struct order){.kind = ORDER_FAIL_LEAVING});
    }
}

void
conductor_begin_measuring(struct conductor *c, uint64_t latency_until_ns)
{
    monitor_set_phase(&c->monitor, PHASE_MEASURE);
    c->result->first = c->result->last = monitor_take_sample(&c->monitor);
    count_set(&c->board->latency_until_ns, latency_until_ns);
    count_set(&c->board->latency_from_ns, c->result->first.at_ns);
    c->measuring = true;
}

void
conductor_end_measuring(struct conductor *c)
{
    struct sample s = monitor_take_sample(&c->monitor);

    c->measuring = false;
    move_end(c, &s);
    monitor_set_phase(&c->monitor, PHASE_DRAIN);
}

/* Who fails together with the first is counted as well. */
static void
wait_grace(struct conductor *c)
{
    uint64_t until_ns = process_get_now_ns() + GRACE_NS;
    while (!c->result->broken && conductor_look(c, until_ns) < until_ns) {
    }
}

static bool
has_sent_what_was_due(const struct conductor *c)
{
    return conductor_get(c, COUNT_DUE) == 0;
}

/* As long again as the measured phase, and --stall: a broker that is further behind will not catch up. After Ctrl-C --stall has to do. */
static void
send_what_was_due(struct conductor *c)
{
    uint64_t now_ns = process_get_now_ns();
    uint64_t measured_ns = interrupted ? 0 : c->result->last.at_ns - c->result->first.at_ns;

    conductor_order(c, (struct order){.kind = ORDER_CLOSE, .at_ns = now_ns});
    wait_for(c, has_sent_what_was_due, false, now_ns + measured_ns + c->options->stall_ns);
}

void
conductor_drain(struct conductor *c)
{
    if (c->options->rate > 0 && !must_stop(c)) {
        send_what_was_due(c);
    }
    conductor_order(c, (struct order){.kind = ORDER_CLOSE});
    if (conductor_get(c, COUNT_FAILURES) > 0) {
        wait_grace(c);
    } else {
        wait_for(c, has_all_back, false, UINT64_MAX);
    }
}
