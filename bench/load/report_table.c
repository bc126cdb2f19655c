#include "bench/load/report.h"

#include <inttypes.h>

#include "bench/load/scenario.h"

static void
print_traffic_heading(const struct options *o, FILE *out)
{
    fprintf(out, "%u publishers, %u subscribers, %" PRIu64 " B, QoS %" PRIu64, scenario_count_publishers(o), scenario_count_subscribers(o), o->size,
        o->qos);
    if (o->scenario == SCENARIO_SUB) {
        return;
    }
    if (o->rate > 0) {
        fprintf(out, ", %.6g publishes/s", options_get_rate(o));
    } else if (o->scenario == SCENARIO_RETAINED || o->scenario == SCENARIO_OFFLINE) {
        fprintf(out, ", %" PRIu64 " messages%s", o->messages, o->scenario == SCENARIO_OFFLINE ? " each" : "");
    } else if (o->scenario != SCENARIO_PUB) {
        fprintf(out, ", window %" PRIu64 ", %" PRIu64 " per segment", o->window, o->burst);
    }
}

static void
print_heading(const struct options *o, FILE *out)
{
    static const char *const versions[] = {[3] = "MQTT 3.1", [4] = "MQTT 3.1.1", [5] = "MQTT 5.0"};
    uint32_t idle = scenario_count_idle(o);

    fprintf(out, "tidewire-bench %s: ", o->name);
    if (idle > 0) {
        fprintf(out, "%u connections%s", idle, o->steady > 0 ? ", beside " : "");
    }
    if (scenario_count_publishers(o) + scenario_count_subscribers(o) > 0) {
        print_traffic_heading(o, out);
    }
    fprintf(out, ", %s%s%s, %s:%" PRIu64, o->raw ? "no MQTT" : versions[o->version], o->websocket ? " over WebSocket" : "", o->tls ? " over TLS" : "", o->host,
        o->port);
    if (o->processes > 1) {
        fprintf(out, ", %" PRIu64 " processes", o->processes);
    }
    if (o->threads > 1) {
        fprintf(out, ", %" PRIu64 " threads%s", o->threads, o->processes > 1 ? " each" : "");
    }
    fputc('\n', out);
}

static void
print_rates(const struct figures *f, FILE *out)
{
    if (f->has_deliveries) {
        fprintf(out, "  %-16s %" PRIu64 " in %.3f s, %.0f a second (%" PRIu64 " publishes)\n", "delivered", f->delivered, f->seconds, f->msgs_per_s,
            f->sent);
    } else {
        fprintf(out, "  %-16s %" PRIu64 " in %.3f s, %.0f a second\n", "published", f->sent, f->seconds, f->sent_per_s);
    }
}

static void
print_measured(const struct figures *f, FILE *out)
{
    const char *per = f->has_deliveries ? "delivered" : "published";

    if (f->seconds == 0.0) {
        fprintf(out, "  %-16s nothing: the measured phase was not reached\n", "measured");
        return;
    }
    print_rates(f, out);
    if (f->has_cpu_per_message) {
        fprintf(out, "  %-16s %.0f ns per %s message, %.0f %% of a core\n", "broker CPU", f->cpu_ns_per_message, per, 100.0 * f->cpu_share);
    }
    fprintf(out, "  %-16s %.0f ns per %s message, %.0f %% of a core\n", "load CPU", f->load_ns_per_message, per, 100.0 * f->load_share);
}

static void
print_disturbance(const struct figures *f, FILE *out)
{
    if (f->cpu_wait_share > 0.05 || f->load_wait_share > 0.05) {
        fprintf(out, "  %-16s others had the core while the broker wanted it %.0f %%, the load %.0f %% of the time\n", "disturbed",
            100.0 * f->cpu_wait_share, 100.0 * f->load_wait_share);
    }
}

static void
print_part(const char *name, const struct result_part *part, FILE *out)
{
    if (part->ns > 0) {
        fprintf(out, "  %-16s %" PRIu64 " in %.3f s, %.0f a second", name, part->messages, (double)part->ns / 1e9,
            (double)part->messages * 1e9 / (double)part->ns);
        if (part->has_cpu && part->messages > 0) {
            fprintf(out, ", %.0f ns broker CPU each", (double)part->broker_cpu_ns / (double)part->messages);
        }
        fputc('\n', out);
    }
}

static void
print_whole_run(const struct result *r, const struct figures *f, FILE *out)
{
    fprintf(out, "  %-16s sent %" PRIu64, "whole run", result_get_total(r, COUNT_SENT));
    if (f->has_deliveries) {
        fprintf(out, ", delivered %" PRIu64 ", lost %" PRIu64 ", duplicated %" PRIu64 ", out of order %" PRIu64, result_get_total(r, COUNT_DELIVERED),
            result_get_total(r, COUNT_LOST), result_get_total(r, COUNT_DUPLICATED), result_get_total(r, COUNT_REORDERED));
    }
    if (result_get_total(r, COUNT_FOREIGN) > 0) {
        fprintf(out, ", not ours %" PRIu64, result_get_total(r, COUNT_FOREIGN));
    }
    if (result_get_total(r, COUNT_DUE) > 0) {
        fprintf(out, ", due but not sent %" PRIu64, result_get_total(r, COUNT_DUE));
    }
    if (r->options->qos > 0 && scenario_count_publishers(r->options) > 0) {
        fprintf(out, ", handshakes %" PRIu64 ", unfinished %" PRIu64, result_get_total(r, COUNT_ACKED), result_get_total(r, COUNT_UNACKED));
    }
    fputc('\n', out);
}

static void
print_delays(const char *name, const char *of, const struct histogram *h, FILE *out)
{
    if (h->count == 0) {
        return;
    }
    fprintf(out, "  %-16s", name);
    for (size_t i = 0; i < FIGURES_QUANTILES; i++) {
        fprintf(out, " %s %.1f,", figures_quantile_names[i], (double)histogram_get_quantile(h, figures_quantiles[i]) / 1e3);
    }
    fprintf(out, " max %.1f, mean %.1f (%" PRIu64 " %s)\n", (double)h->max / 1e3, histogram_get_mean(h) / 1e3, (uint64_t)h->count, of);
}

static void
print_connections(const struct result *r, const struct figures *f, FILE *out)
{
    fprintf(out, "  %-16s %u of %u up, %.0f a second", "connections", r->connections_up, r->connections, f->connects_per_s);
    if (f->connect_cpu_ns > 0 && r->options->steady == 0) {
        fprintf(out, ", %.1f us broker CPU each", f->connect_cpu_ns / 1e3);
    }
    fputc('\n', out);
    if (r->secured[0] != '\0') {
        fprintf(out, "  %-16s %" PRIu64 " full, %" PRIu64 " resumed (%s)\n", "TLS handshakes", result_get_total(r, COUNT_SECURED),
            result_get_total(r, COUNT_RESUMED), r->secured);
    }
    print_delays("connecting, us", "connections", &r->connecting, out);
    if (f->has_memory) {
        fprintf(out, "  %-16s %.1f MB resident", "broker memory", (double)f->rss_bytes / 1e6);
        if (f->has_memory_per_connection) {
            fprintf(out, ", %.0f bytes per connection", f->rss_per_connection);
        }
        fprintf(out, " (%.1f MB before)\n", (double)r->before.broker_rss_bytes / 1e6);
    }
}

static void
print_messages(const struct result *r, const struct figures *f, FILE *out)
{
    bool offline = r->options->scenario == SCENARIO_OFFLINE;

    print_part(offline ? "queued" : "stored", &r->stored, out);
    print_part(offline ? "drained" : "fetched", &r->fetched, out);
    print_measured(f, out);
    print_disturbance(f, out);
    print_whole_run(r, f, out);
    if (r->options->calm_ns > 0) {
        print_delays("calm latency, us", "messages", &r->calm, out);
    }
    print_delays("latency, us", "messages", &r->latency, out);
    print_delays("acked, us", "messages", &r->acking, out);
    print_delays("sent late, us", "messages", &r->lateness, out);
    print_delays("all had, us", "subscribers", &r->fetching, out);
}

static void
print_failures(const struct result *r, FILE *out)
{
    failure_print(&r->failures, out, "  FAILED           ");
    if (r->broker_gone) {
        fprintf(out, "  FAILED           the broker's process is gone\n");
    }
    if (r->broken) {
        fprintf(out, "  FAILED           the load itself could not go on\n");
    }
    if (r->interrupted) {
        fprintf(out, "  interrupted\n");
    }
}

void
report_print_table(const struct result *r, const struct figures *f, FILE *out)
{
    const struct options *o = r->options;

    print_heading(o, out);
    if (scenario_count_publishers(o) + scenario_count_subscribers(o) > 0) {
        print_messages(r, f, out);
    }
    print_connections(r, f, out);
    if (scenario_get(o->scenario)->program == PROGRAM_FLOW && scenario_count_idle(o) > 0 && f->has_cpu) {
        fprintf(out, "  %-16s %.3f %% of a core while idle for %.1f s\n", "broker CPU", 100.0 * f->cpu_share, f->seconds);
    }
    print_failures(r, out);
}
