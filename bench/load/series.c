#include "bench/load/series.h"

void
series_init(struct series *s)
{
    s->count = 0;
    s->period_ns = SERIES_PERIOD_NS;
}

static uint64_t
larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Two neighbours as one. Of the medians of two intervals the mean by weight, of their 99th percentiles the larger: never too good. */
static struct series_point
join(const struct series_point *a, const struct series_point *b)
{
    struct series_point p = *b;
    uint64_t count = a->latency_count + b->latency_count;

    p.ns = a->ns + b->ns;
    p.delivered += a->delivered;
    p.sent += a->sent;
    p.has_broker = a->has_broker && b->has_broker;
    p.broker_cpu_ns += a->broker_cpu_ns;
    p.latency_count = count;
    if (count > 0) {
        p.latency_p50_ns = (uint64_t)(((double)a->latency_p50_ns * (double)a->latency_count +
                                          (double)b->latency_p50_ns * (double)b->latency_count) /
            (double)count);
    }
    p.latency_p99_ns = larger(a->latency_p99_ns, b->latency_p99_ns);
    return p;
}

static void
coarsen(struct series *s)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < s->count; kept++) {
        bool alike = i + 1 < s->count && s->points[i].phase == s->points[i + 1].phase;
        s->points[kept] = alike ? join(&s->points[i], &s->points[i + 1]) : s->points[i];
        i += alike ? 2 : 1;
    }
    s->count = kept;
    s->period_ns *= 2;
}

void
series_add(struct series *s, const struct series_point *p)
{
    if (s->count == SERIES_POINTS_MAX) {
        coarsen(s);
    }
    s->points[s->count++] = *p;
}

const char *
series_name_phase(enum series_phase phase)
{
    static const char *const names[] = {"connect", "warmup", "measure", "drain"};
    return names[phase];
}
