#include "bench/load/monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/load/process.h"

#define LINE_NS UINT64_C(250000000)
#define CLEAR_LINE "\r\033[K"

static bool
look_at_broker(const struct options *o, struct sample *s)
{
    for (uint32_t i = 0; i < o->pid_count; i++) {
        uint64_t cpu_ns, rss_bytes;
        if (!process_read_cpu_ns(o->pids[i], &cpu_ns) || !process_read_rss_bytes(o->pids[i], &rss_bytes)) {
            return false;
        }
        s->broker_cpu_ns += cpu_ns;
        s->broker_rss_bytes += rss_bytes;
    }
    return o->pid_count > 0;
}

/* What is cheap to see. */
static struct sample
glance(const struct monitor *m)
{
    struct sample s = {.at_ns = process_get_now_ns(), .own_cpu_ns = crew_get_cpu_ns(m->crew)};

    board_sum(m->board, &s.totals);
    s.has_broker = look_at_broker(m->options, &s);
    return s;
}

struct sample
monitor_take_sample(struct monitor *m)
{
    struct sample s = glance(m);

    s.own_wait_ns = m->last.own_wait_ns = crew_get_wait_ns(m->crew);
    s.broker_wait_ns = m->last.broker_wait_ns = waiting_look(&m->waiting, m->options->pids, m->options->pid_count);
    return s;
}

void
monitor_init(struct monitor *m, const struct options *o, const struct board *b, const struct crew *c, struct series *s)
{
    m->options = o;
    m->board = b;
    m->crew = c;
    m->series = s;
    m->phase = PHASE_CONNECT;
    m->has_line = isatty(STDERR_FILENO);
    histogram_init(&m->latency);
    series_init(s);
    waiting_start(&m->waiting, o->pids, o->pid_count);
    m->last = monitor_take_sample(m);
    m->next_ns = m->last.at_ns + s->period_ns;
    m->next_line_ns = m->last.at_ns + LINE_NS;
}

/* The latencies since the last point. */
static void
measure_interval(struct monitor *m, struct series_point *p)
{
    histogram_init(&m->now);
    for (uint32_t i = 0; i < m->board->worker_count; i++) {
        histogram_merge(&m->now, &m->board->desks[i].latency);
    }
    histogram_subtract(&m->interval, &m->now, &m->latency);
    histogram_init(&m->latency);
    histogram_merge(&m->latency, &m->now);
    p->latency_count = count_get(&m->interval.count);
    p->latency_p50_ns = histogram_get_quantile(&m->interval, 0.5);
    p->latency_p99_ns = histogram_get_quantile(&m->interval, 0.99);
}

static void
add_point(struct monitor *m)
{
    struct sample s = glance(m);
    struct series_point p = {
        .at_ns = s.at_ns - m->board->start_ns,
        .ns = s.at_ns - m->last.at_ns,
        .phase = m->phase,
        .delivered = s.totals.of[COUNT_DELIVERED] - m->last.totals.of[COUNT_DELIVERED],
        .sent = s.totals.of[COUNT_SENT] - m->last.totals.of[COUNT_SENT],
        .connected = s.totals.of[COUNT_READY],
        .has_broker = s.has_broker && m->last.has_broker,
        .broker_cpu_ns = s.broker_cpu_ns - m->last.broker_cpu_ns,
        .broker_rss_bytes = s.broker_rss_bytes,
    };

    s.own_wait_ns = m->last.own_wait_ns;
    s.broker_wait_ns = m->last.broker_wait_ns;
    if (m->phase == PHASE_MEASURE) {
        measure_interval(m, &p);
    }
    series_add(m->series, &p);
    m->last = s;
    m->next_ns = s.at_ns + m->series->period_ns;
}

static void
write_line(const struct monitor *m, uint64_t now_ns)
{
    const struct series *s = m->series;

    if (s->count == 0) {
        return;
    }
    const struct series_point *p = &s->points[s->count - 1];
    double seconds = (double)p->ns / 1e9;
    fprintf(stderr, CLEAR_LINE "%6.1f s  %-7s  %" PRIu64 " connected", (double)(now_ns - m->board->start_ns) / 1e9,
        series_name_phase(m->phase), p->connected);
    if (p->sent + p->delivered > 0) {
        fprintf(stderr, "  sent %.0f/s  delivered %.0f/s", (double)p->sent / seconds, (double)p->delivered / seconds);
    }
    if (p->latency_count > 0) {
        fprintf(stderr, "  p50 %.0f us  p99 %.0f us", (double)p->latency_p50_ns / 1e3, (double)p->latency_p99_ns / 1e3);
    }
    if (p->has_broker) {
        fprintf(stderr, "  broker %.0f %%  %.1f MB", 100.0 * (double)p->broker_cpu_ns / (double)p->ns, (double)p->broker_rss_bytes / 1e6);
    }
    if (m->last.totals.of[COUNT_FAILURES] > 0) {
        fprintf(stderr, "  %" PRIu64 " failed", m->last.totals.of[COUNT_FAILURES]);
    }
    fflush(stderr);
}

void
monitor_tick(struct monitor *m, uint64_t now_ns)
{
    if (now_ns >= m->next_ns) {
        add_point(m);
    }
    if (m->has_line && now_ns >= m->next_line_ns) {
        m->next_line_ns = now_ns + LINE_NS;
        write_line(m, now_ns);
    }
}

void
monitor_set_phase(struct monitor *m, enum series_phase phase)
{
    add_point(m);
    m->phase = phase;
    if (phase == PHASE_MEASURE) {
        waiting_start(&m->waiting, m->options->pids, m->options->pid_count);
    }
}

void
monitor_end(struct monitor *m)
{
    add_point(m);
    if (m->has_line) {
        fputs(CLEAR_LINE, stderr);
    }
}
