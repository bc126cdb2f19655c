#include "bench/load/run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/load/fleet.h"
#include "bench/load/process.h"
#include "bench/load/report.h"
#include "bench/load/result.h"

#define MS UINT64_C(1000000)
/* After the first failure: long enough to see how many fail, short enough to be over. */
#define GRACE_NS (300 * MS)
#define LEAVE_NS (500 * MS)
/* Between two looks at the clock and at the broker, when nothing else happens. */
#define PULSE_NS (100 * MS)

static volatile sig_atomic_t interrupted;

void
run_interrupt(void)
{
    interrupted = 1;
}

struct run {
    const struct options *options;
    struct loop loop;
    struct traffic traffic;
    struct fleet fleet;
    struct result result;
    uint64_t next_due_ns; /* of traffic with a rate */
    uint64_t next_pulse_ns;
    uint64_t progress_ns; /* when something was last delivered or became ready */
    uint64_t progress_mark;
    bool measuring;
};

static struct sample
take_sample(const struct run *r)
{
    const struct options *o = r->options;
    struct sample s = {.at_ns = process_get_now_ns(), .own_cpu_ns = process_get_own_cpu_ns(),
        .own_wait_ns = process_read_wait_ns(getpid()), .has_broker = o->pid_count > 0, .counts = r->traffic.counts};

    for (uint32_t i = 0; i < o->pid_count; i++) {
        uint64_t cpu_ns, rss_bytes;
        if (!process_read_cpu_ns(o->pids[i], &cpu_ns) || !process_read_rss_bytes(o->pids[i], &rss_bytes)) {
            s.has_broker = false;
            break;
        }
        s.broker_cpu_ns += cpu_ns;
        s.broker_rss_bytes += rss_bytes;
        s.broker_wait_ns += process_read_wait_ns(o->pids[i]);
    }
    return s;
}

/* Moves the end of the measured phase to now, unless the broker cannot be read any more: then the last good look counts. */
static void
move_end(struct run *r)
{
    struct sample s = take_sample(r);
    if (s.has_broker || !r->result.first.has_broker) {
        r->result.last = s;
    }
}

static uint64_t
progress_of(const struct run *r)
{
    const struct traffic_counts *c = &r->traffic.counts;
    return c->delivered + c->acked + c->duplicated + r->fleet.ready + r->fleet.failed + r->fleet.left;
}

static bool
is_stalled(struct run *r, uint64_t now_ns)
{
    uint64_t mark = progress_of(r);
    if (mark != r->progress_mark) {
        r->progress_mark = mark;
        r->progress_ns = now_ns;
    }
    return now_ns - r->progress_ns > r->options->stall_ns;
}

static void
pulse(struct run *r, uint64_t now_ns)
{
    if (now_ns >= r->next_pulse_ns) {
        r->next_pulse_ns = now_ns + PULSE_NS;
        if (r->measuring) {
            move_end(r);
        }
    }
}

/* One turn of everything; returns the time, or 0 when the ring itself failed. */
static uint64_t
turn(struct run *r, uint64_t until_ns)
{
    uint64_t now_ns = process_get_now_ns();
    uint64_t wake_ns = r->next_pulse_ns < until_ns ? r->next_pulse_ns : until_ns;
    wake_ns = r->next_due_ns < wake_ns ? r->next_due_ns : wake_ns;

    int error = loop_wait(&r->loop, wake_ns > now_ns ? wake_ns - now_ns : 0);
    if (error != 0 && error != -EINTR) {
        fprintf(stderr, "tidewire-bench: io_uring: %s\n", strerror(-error));
        return 0;
    }
    now_ns = process_get_now_ns();
    r->next_due_ns = traffic_tick(&r->traffic, now_ns);
    fleet_turn(&r->fleet);
    pulse(r, now_ns);
    return now_ns;
}

/* Turns until the time, a failure, a signal; true if the time was reached in peace. */
static bool
stay_until(struct run *r, uint64_t until_ns)
{
    while (!interrupted && r->fleet.failures.total == 0) {
        uint64_t now_ns = turn(r, until_ns);
        if (now_ns == 0) {
            return false;
        }
        if (now_ns >= until_ns) {
            return true;
        }
        if (r->traffic.outstanding == 0 && r->traffic.unacked == 0) {
            r->progress_ns = now_ns; /* silence is right when nothing is owed */
        } else if (is_stalled(r, now_ns)) {
            fleet_fail_stalled(&r->fleet);
        }
    }
    return false;
}

static bool
connect_all(struct run *r)
{
    struct fleet *f = &r->fleet;

    r->progress_ns = process_get_now_ns();
    while (f->ready + f->failed < f->count && !interrupted) {
        fleet_open_more(f);
        uint64_t now_ns = turn(r, UINT64_MAX);
        if (now_ns == 0) {
            return false;
        }
        if (is_stalled(r, now_ns)) {
            fleet_fail_opening(f);
        }
    }
    r->result.connections_up = f->ready;
    r->result.connected = take_sample(r);
    return f->failed == 0 && !interrupted;
}

/* True if the measured phase was reached and lasted its time. */
static bool
measure(struct run *r)
{
    uint64_t start_ns = process_get_now_ns();
    traffic_open(&r->traffic, start_ns);
    r->next_due_ns = start_ns;
    if (!stay_until(r, start_ns + r->options->warmup_ns)) {
        return false;
    }

    r->result.first = r->result.last = take_sample(r);
    r->traffic.latency_from_ns = r->result.first.at_ns;
    r->traffic.latency_until_ns = r->result.first.at_ns + r->options->duration_ns;
    r->measuring = true;
    bool whole = stay_until(r, r->traffic.latency_until_ns);
    r->measuring = false;
    move_end(r);
    return whole;
}

/* Waits for what is still under way; what has not come when nothing comes any more is lost. */
static void
drain(struct run *r)
{
    r->progress_ns = process_get_now_ns();
    while (r->traffic.outstanding + r->traffic.unacked > 0 && r->fleet.failures.total == 0) {
        uint64_t now_ns = turn(r, UINT64_MAX);
        if (now_ns == 0) {
            return;
        }
        if (is_stalled(r, now_ns)) {
            fleet_fail_stalled(&r->fleet);
        }
    }
}

static void
wait_grace(struct run *r)
{
    uint64_t now_ns = process_get_now_ns();
    uint64_t until_ns = now_ns + GRACE_NS;
    while (now_ns != 0 && now_ns < until_ns) {
        now_ns = turn(r, until_ns);
    }
}

static void
leave(struct run *r)
{
    uint64_t now_ns = process_get_now_ns();
    uint64_t until_ns = now_ns + LEAVE_NS;

    fleet_leave(&r->fleet);
    while (now_ns != 0 && now_ns < until_ns && r->fleet.ready > 0) {
        now_ns = turn(r, until_ns);
    }
}

static void
finish_result(struct run *r)
{
    struct result *result = &r->result;

    traffic_check(&r->traffic);
    result->latency = r->traffic.latency;
    result->lateness = r->traffic.lateness;
    result->failures = &r->fleet.failures;
    result->total = r->traffic.counts;
    result->lost = traffic_count_lost(&r->traffic);
    result->unacked = r->traffic.unacked;
    result->interrupted = interrupted != 0;
    result->broker_gone = result->before.has_broker && !take_sample(r).has_broker;
}

static void
go_through_phases(struct run *r)
{
    r->result.before = take_sample(r);
    if (connect_all(r)) {
        measure(r);
    }
    traffic_close(&r->traffic);
    r->next_due_ns = UINT64_MAX;
    if (r->fleet.failures.total > 0) {
        wait_grace(r);
    } else {
        drain(r);
    }
    finish_result(r);
    leave(r);
}

static bool
raise_descriptor_limit(const struct options *o, uint32_t connections)
{
    struct rlimit limit;
    uint64_t wanted = (uint64_t)connections + 32;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted) {
        return true;
    }
    if (limit.rlim_max < wanted) {
        fprintf(stderr, "tidewire-bench: --count %llu makes %u connections, the limit of open files is %llu (ulimit -Hn)\n",
            (unsigned long long)o->count, connections, (unsigned long long)limit.rlim_max);
        return false;
    }
    limit.rlim_cur = wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

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

int
run_all(const struct options *o)
{
    static struct run r;
    uint64_t now_ns = process_get_now_ns();

    r = (struct run){.options = o, .next_due_ns = UINT64_MAX, .next_pulse_ns = now_ns};
    r.result.options = o;
    int error = loop_open(&r.loop);
    if (error != 0) {
        fprintf(stderr, "tidewire-bench: io_uring is not available: %s\n", strerror(-error));
        return 2;
    }
    if (!traffic_init(&r.traffic, o, scenario_get(o->scenario)) || !fleet_init(&r.fleet, &r.loop, o, &r.traffic, now_ns)) {
        fprintf(stderr, "tidewire-bench: no memory for --count %llu\n", (unsigned long long)o->count);
        return 2;
    }
    r.result.connections = r.fleet.count;
    if (!raise_descriptor_limit(o, r.fleet.count) || !check_pids(o)) {
        return 2;
    }

    go_through_phases(&r);
    bool written = report_write(&r.result);
    bool good = result_is_good(&r.result);

    loop_close(&r.loop);
    fleet_fini(&r.fleet);
    traffic_fini(&r.traffic);
    return !written ? 2 : good ? 0 : 1;
}
