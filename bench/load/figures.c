#include "bench/load/figures.h"

#include "bench/load/scenario.h"

const double figures_quantiles[FIGURES_QUANTILES] = {0.5, 0.9, 0.99, 0.999, 0.9999};
const char *const figures_quantile_names[FIGURES_QUANTILES] = {"p50", "p90", "p99", "p999", "p9999"};

/* Not beside the steady pairs of a storm, and not with the messages of a task: those would be divided by connections that they are not of. */
static bool
holds_connections_only(const struct options *o)
{
    return o->steady == 0 && o->scenario != SCENARIO_RETAINED && o->scenario != SCENARIO_OFFLINE;
}

static void
compute_connecting(const struct result *r, struct figures *f)
{
    const struct sample *end = r->last.has_broker ? &r->last : &r->connected;

    f->has_memory = end->has_broker;
    f->rss_bytes = end->broker_rss_bytes;
    if (r->connections_up == 0 || r->connect_ns == 0) {
        return;
    }
    f->connects_per_s = (double)r->connections_up * 1e9 / (double)r->connect_ns;
    if (r->has_connect_cpu) {
        f->connect_cpu_ns = (double)r->connect_cpu_ns / (double)r->connections_up;
    }
    f->has_memory_per_connection = end->has_broker && holds_connections_only(r->options);
    if (f->has_memory_per_connection && end->broker_rss_bytes > r->before.broker_rss_bytes) {
        f->rss_per_connection = (double)(end->broker_rss_bytes - r->before.broker_rss_bytes) / (double)r->connections_up;
    }
}

static uint64_t
in_phase(const struct result *r, enum board_count which)
{
    return r->last.totals.of[which] - r->first.totals.of[which];
}

static void
compute_shares(const struct result *r, struct figures *f, double ns)
{
    double broker_ns = (double)(r->last.broker_cpu_ns - r->first.broker_cpu_ns);
    double load_ns = (double)(r->last.own_cpu_ns - r->first.own_cpu_ns);
    uint64_t messages = f->has_deliveries ? f->delivered : f->sent;

    f->has_cpu = r->first.has_broker && r->last.has_broker;
    f->load_share = load_ns / ns;
    f->load_wait_share = (double)(r->last.own_wait_ns - r->first.own_wait_ns) / ns;
    f->cpu_wait_share = f->has_cpu ? (double)(r->last.broker_wait_ns - r->first.broker_wait_ns) / ns : 0.0;
    f->cpu_share = f->has_cpu ? broker_ns / ns : 0.0;
    if (messages > 0) {
        f->load_ns_per_message = load_ns / (double)messages;
        f->has_cpu_per_message = f->has_cpu;
        f->cpu_ns_per_message = f->has_cpu ? broker_ns / (double)messages : 0.0;
    }
}

struct figures
figures_compute(const struct result *r)
{
    struct figures f = {.has_deliveries = scenario_count_subscribers(r->options) > 0};
    uint64_t ns = r->last.at_ns - r->first.at_ns;

    compute_connecting(r, &f);
    if (ns == 0) {
        return f;
    }
    f.seconds = (double)ns / 1e9;
    f.delivered = in_phase(r, COUNT_DELIVERED);
    f.sent = in_phase(r, COUNT_SENT);
    f.msgs_per_s = (double)f.delivered / f.seconds;
    f.sent_per_s = (double)f.sent / f.seconds;
    compute_shares(r, &f, (double)ns);
    return f;
}
