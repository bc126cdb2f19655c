#include "bench/load/report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The figures that both outputs show; 0 and `has_` false where they mean nothing. */
struct figures {
    double seconds;
    uint64_t delivered, sent;
    double msgs_per_s;
    bool has_cpu, has_cpu_per_delivered;
    double cpu_ns_per_delivered, cpu_share;
    double load_ns_per_delivered, load_share;
    double cpu_wait_share, load_wait_share; /* of the time: ready to run, and somebody else had the core */
    double connects_per_s, connect_cpu_ns;
    double rss_per_connection;
};

static const double quantiles[] = {0.5, 0.9, 0.99, 0.999, 0.9999};
static const char *const quantile_names[] = {"p50", "p90", "p99", "p999", "p9999"};
#define QUANTILE_COUNT (sizeof quantiles / sizeof quantiles[0])

static void
compute_connecting(const struct result *r, struct figures *f)
{
    if (r->connections_up == 0) {
        return;
    }
    f->connects_per_s = (double)r->connections_up * 1e9 / (double)(r->connected.at_ns - r->before.at_ns);
    if (r->connected.has_broker) {
        f->connect_cpu_ns = (double)(r->connected.broker_cpu_ns - r->before.broker_cpu_ns) / (double)r->connections_up;
    }
    const struct sample *end = r->last.has_broker ? &r->last : &r->connected;
    if (end->has_broker && end->broker_rss_bytes > r->before.broker_rss_bytes) {
        f->rss_per_connection = (double)(end->broker_rss_bytes - r->before.broker_rss_bytes) / (double)r->connections_up;
    }
}

static struct figures
compute(const struct result *r)
{
    struct figures f = {0};
    uint64_t ns = r->last.at_ns - r->first.at_ns;

    compute_connecting(r, &f);
    if (ns == 0) {
        return f;
    }
    f.seconds = (double)ns / 1e9;
    f.delivered = r->last.counts.delivered - r->first.counts.delivered;
    f.sent = r->last.counts.sent - r->first.counts.sent;
    f.msgs_per_s = (double)f.delivered / f.seconds;
    f.has_cpu = r->first.has_broker && r->last.has_broker;
    double broker_ns = (double)(r->last.broker_cpu_ns - r->first.broker_cpu_ns);
    double load_ns = (double)(r->last.own_cpu_ns - r->first.own_cpu_ns);
    f.load_share = load_ns / (double)ns;
    f.load_wait_share = (double)(r->last.own_wait_ns - r->first.own_wait_ns) / (double)ns;
    f.cpu_wait_share = f.has_cpu ? (double)(r->last.broker_wait_ns - r->first.broker_wait_ns) / (double)ns : 0.0;
    f.cpu_share = f.has_cpu ? broker_ns / (double)ns : 0.0;
    if (f.delivered > 0) {
        f.load_ns_per_delivered = load_ns / (double)f.delivered;
        f.has_cpu_per_delivered = f.has_cpu;
        f.cpu_ns_per_delivered = f.has_cpu ? broker_ns / (double)f.delivered : 0.0;
    }
    return f;
}

/* ------------------------------------------------------------------------------------------------------------- table */

static void
print_heading(const struct result *r, FILE *out)
{
    const struct options *o = r->options;

    fprintf(out, "tidewire-bench %s: ", options_get_scenario_name(o->scenario));
    if (o->scenario == SCENARIO_IDLE) {
        fprintf(out, "%" PRIu64 " connections", o->count);
    } else {
        fprintf(out, "%u publishers, %u subscribers, %" PRIu64 " B, QoS %" PRIu64, options_get_publishers(o), options_get_subscribers(o),
            o->size, o->qos);
        if (o->rate > 0) {
            fprintf(out, ", %" PRIu64 " publishes/s", o->rate);
        } else {
            fprintf(out, ", window %" PRIu64 ", %" PRIu64 " per segment", o->window, o->burst);
        }
    }
    fprintf(out, ", %s, %s:%" PRIu64 "\n", o->raw ? "no MQTT" : o->version == 5 ? "MQTT 5.0" : "MQTT 3.1.1", o->host, o->port);
}

static void
print_measured(const struct figures *f, FILE *out)
{
    if (f->seconds == 0.0) {
        fprintf(out, "  %-16s nothing: the measured phase was not reached\n", "measured");
        return;
    }
    fprintf(out, "  %-16s %" PRIu64 " in %.3f s, %.0f a second (%" PRIu64 " publishes)\n", "delivered", f->delivered, f->seconds, f->msgs_per_s,
        f->sent);
    if (f->has_cpu_per_delivered) {
        fprintf(out, "  %-16s %.0f ns per delivered message, %.0f %% of a core\n", "broker CPU", f->cpu_ns_per_delivered,
            100.0 * f->cpu_share);
    }
    fprintf(out, "  %-16s %.0f ns per delivered message, %.0f %% of a core\n", "load CPU", f->load_ns_per_delivered, 100.0 * f->load_share);
    if (f->cpu_wait_share > 0.05 || f->load_wait_share > 0.05) {
        fprintf(out, "  %-16s others had the core while the broker wanted it %.0f %%, the load %.0f %% of the time\n", "disturbed",
            100.0 * f->cpu_wait_share, 100.0 * f->load_wait_share);
    }
}

static void
print_whole_run(const struct result *r, FILE *out)
{
    fprintf(out, "  %-16s sent %" PRIu64 ", delivered %" PRIu64 ", lost %" PRIu64 ", duplicated %" PRIu64 ", out of order %" PRIu64,
        "whole run", r->total.sent, r->total.delivered, r->lost, r->total.duplicated, r->total.reordered);
    if (r->total.foreign > 0) {
        fprintf(out, ", not ours %" PRIu64, r->total.foreign);
    }
    if (r->options->qos > 0) {
        fprintf(out, ", handshakes %" PRIu64 ", unfinished %" PRIu64, r->total.acked, r->unacked);
    }
    fputc('\n', out);
}

static void
print_delays(const char *name, const struct histogram *h, FILE *out)
{
    if (h->count == 0) {
        return;
    }
    fprintf(out, "  %-16s", name);
    for (size_t i = 0; i < QUANTILE_COUNT; i++) {
        fprintf(out, " %s %.1f,", quantile_names[i], (double)histogram_get_quantile(h, quantiles[i]) / 1e3);
    }
    fprintf(out, " max %.1f, mean %.1f (%" PRIu64 " messages)\n", (double)h->max / 1e3, histogram_get_mean(h) / 1e3, h->count);
}

static void
print_connections(const struct result *r, const struct figures *f, FILE *out)
{
    fprintf(out, "  %-16s %u of %u up, %.0f a second", "connections", r->connections_up, r->connections, f->connects_per_s);
    if (f->connect_cpu_ns > 0) {
        fprintf(out, ", %.1f us broker CPU each", f->connect_cpu_ns / 1e3);
    }
    fputc('\n', out);
    const struct sample *end = r->last.has_broker ? &r->last : &r->connected;
    if (end->has_broker) {
        fprintf(out, "  %-16s %.1f MB resident, %.0f bytes per connection (%.1f MB before)\n", "broker memory",
            (double)end->broker_rss_bytes / 1e6, f->rss_per_connection, (double)r->before.broker_rss_bytes / 1e6);
    }
    if (r->options->scenario == SCENARIO_IDLE && f->has_cpu) {
        fprintf(out, "  %-16s %.3f %% of a core while idle for %.1f s\n", "broker CPU", 100.0 * f->cpu_share, f->seconds);
    }
}

static void
print_table(const struct result *r, const struct figures *f, FILE *out)
{
    print_heading(r, out);
    if (r->options->scenario != SCENARIO_IDLE) {
        print_measured(f, out);
        print_whole_run(r, out);
        print_delays("latency, us", r->latency, out);
        print_delays("sent late, us", r->lateness, out);
    }
    print_connections(r, f, out);
    failure_print(r->failures, out, "  FAILED           ");
    if (r->broker_gone) {
        fprintf(out, "  FAILED           the broker's process is gone\n");
    }
    if (r->interrupted) {
        fprintf(out, "  interrupted\n");
    }
}

/* -------------------------------------------------------------------------------------------------------------- JSON */

static void
write_json_delays(const char *name, const struct histogram *h, FILE *out)
{
    if (h->count == 0) {
        fprintf(out, ",\"%s\":null", name);
        return;
    }
    fprintf(out, ",\"%s\":{\"count\":%" PRIu64 ",\"min\":%" PRIu64, name, h->count, h->min);
    for (size_t i = 0; i < QUANTILE_COUNT; i++) {
        fprintf(out, ",\"%s\":%" PRIu64, quantile_names[i], histogram_get_quantile(h, quantiles[i]));
    }
    fprintf(out, ",\"max\":%" PRIu64 ",\"mean\":%.0f}", h->max, histogram_get_mean(h));
}

static void
write_json_failures(const struct failure_log *log, FILE *out)
{
    const char *comma = "";

    fprintf(out, ",\"failures\":[");
    for (int k = 0; k < FAILURE_KINDS; k++) {
        const struct failure_entry *e = &log->kinds[k];
        if (e->count > 0) {
            fprintf(out, "%s{\"kind\":\"%s\",\"count\":%" PRIu64 ",\"first_connection\":%u,\"role\":\"%s\",\"detail\":\"%s\",\"at_s\":%.3f}", comma,
                failure_name((enum failure_kind)k), e->count, e->first_connection, e->first_role,
                failure_describe_detail((enum failure_kind)k, e->first_detail), (double)e->first_at_ns / 1e9);
            comma = ",";
        }
    }
    fprintf(out, "]");
}

/* A number, or null where it could not be measured: 0 would be read as a result. */
static void
write_json_number(FILE *out, const char *name, bool known, double value)
{
    if (known) {
        fprintf(out, ",\"%s\":%.3f", name, value);
    } else {
        fprintf(out, ",\"%s\":null", name);
    }
}

static void
write_json_question(const struct options *o, FILE *out)
{
    fprintf(out, "{\"scenario\":\"%s\",\"count\":%" PRIu64 ",\"raw\":%s,\"version\":%" PRIu64 ",\"qos\":%" PRIu64 ",\"size\":%" PRIu64
                 ",\"window\":%" PRIu64 ",\"burst\":%" PRIu64 ",\"rate\":%" PRIu64,
        options_get_scenario_name(o->scenario), o->count, o->raw ? "true" : "false", o->version, o->qos, o->size, o->window, o->burst,
        o->rate);
}

static void
write_json(const struct result *r, const struct figures *f, FILE *out)
{
    bool traffic = r->options->scenario != SCENARIO_IDLE;
    bool memory = r->last.has_broker || r->connected.has_broker;
    uint64_t rss = r->last.has_broker ? r->last.broker_rss_bytes : r->connected.broker_rss_bytes;

    write_json_question(r->options, out);
    fprintf(out, ",\"ok\":%s,\"interrupted\":%s,\"seconds\":%.6f", result_is_good(r) ? "true" : "false", r->interrupted ? "true" : "false",
        f->seconds);
    write_json_number(out, "cpu_ns_per_delivered", f->has_cpu_per_delivered, f->cpu_ns_per_delivered);
    write_json_number(out, "cpu_share", f->has_cpu, f->cpu_share);
    write_json_number(out, "load_cpu_ns_per_delivered", f->delivered > 0, f->load_ns_per_delivered);
    write_json_number(out, "load_cpu_share", f->seconds > 0, f->load_share);
    write_json_number(out, "cpu_wait_share", f->has_cpu, f->cpu_wait_share);
    write_json_number(out, "load_wait_share", f->seconds > 0, f->load_wait_share);
    write_json_number(out, "msgs_per_s", traffic && f->seconds > 0, f->msgs_per_s);
    fprintf(out, ",\"measured_delivered\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"dup\":%" PRIu64
                 ",\"reordered\":%" PRIu64 ",\"foreign\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"unacked\":%" PRIu64,
        f->delivered, r->total.sent, r->total.delivered, r->lost, r->total.duplicated, r->total.reordered, r->total.foreign, r->total.acked,
        r->unacked);
    write_json_delays("latency_ns", r->latency, out);
    write_json_delays("sent_late_ns", r->lateness, out);
    fprintf(out, ",\"connections\":%u,\"connections_up\":%u", r->connections, r->connections_up);
    write_json_number(out, "connects_per_s", r->connections_up > 0, f->connects_per_s);
    write_json_number(out, "cpu_ns_per_connect", r->connected.has_broker && r->connections_up > 0, f->connect_cpu_ns);
    write_json_number(out, "rss_bytes", memory, (double)rss);
    write_json_number(out, "rss_bytes_before", r->before.has_broker, (double)r->before.broker_rss_bytes);
    write_json_number(out, "rss_per_connection", memory && r->connections_up > 0, f->rss_per_connection);
    fprintf(out, ",\"broker_gone\":%s", r->broker_gone ? "true" : "false");
    write_json_failures(r->failures, out);
    fprintf(out, "}\n");
}

bool
report_write(const struct result *r)
{
    struct figures f = compute(r);
    const char *path = r->options->json;
    bool to_stdout = path != NULL && strcmp(path, "-") == 0;

    print_table(r, &f, to_stdout ? stderr : stdout);
    if (path == NULL) {
        return true;
    }
    FILE *out = to_stdout ? stdout : fopen(path, "w");
    if (out == NULL) {
        fprintf(stderr, "tidewire-bench: --json %s: %s\n", path, strerror(errno));
        return false;
    }
    write_json(r, &f, out);
    bool failed = fflush(out) != 0 || ferror(out);
    if (!to_stdout) {
        failed |= fclose(out) != 0;
    }
    if (failed) {
        fprintf(stderr, "tidewire-bench: --json %s: %s\n", path, strerror(errno));
    }
    return !failed;
}
