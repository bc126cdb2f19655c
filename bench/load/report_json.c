#include "bench/load/report.h"

#include <inttypes.h>

#include "bench/load/json.h"
#include "bench/load/machine.h"
#include "bench/load/scenario.h"

/* Percentiles for a plot: from each to 1 the distance halves, twice in equal steps. */
#define PERCENTILE_HALVINGS 20

/* ------------------------------------------------------------------------------------------------------------ question */

/* A secret is not for who reads the report: it points into a word here, which ends with it. */
static void
write_word(const char *word, const struct options *o, FILE *out)
{
    for (const char *at = word; *at != '\0'; at++) {
        if (at == o->password || at == o->psk) {
            fprintf(out, "***");
            return;
        }
        fprintf(out, *at == '"' || *at == '\\' ? "\\%c" : (unsigned char)*at < 0x20 ? "\\u%04x" : "%c", *at);
    }
}

static void
write_command(const struct options *o, FILE *out)
{
    fprintf(out, ",\"command\":\"");
    for (int i = 0; i < o->argc; i++) {
        fprintf(out, i == 0 ? "" : " ");
        write_word(i == 0 ? "tidewire-bench" : o->argv[i], o, out);
    }
    fprintf(out, "\"");
}

static void
write_machine(FILE *out)
{
    char text[256];

    machine_write_time(text, sizeof text);
    json_string(out, "time", text);
    machine_write_processor(text, sizeof text);
    json_string(out, "machine", text);
    json_integer(out, "cores", machine_count_cores());
    machine_write_kernel(text, sizeof text);
    json_string(out, "kernel", text);
}

static void
write_question(const struct options *o, FILE *out)
{
    fprintf(out, "{\"scenario\":\"%s\"", options_get_scenario_name(o->scenario));
    json_string(out, "name", o->name);
    json_integer(out, "count", o->count);
    json_bool(out, "raw", o->raw);
    json_integer(out, "version", o->version);
    json_integer(out, "qos", o->qos);
    json_integer(out, "subscribe_qos", o->subscribe_qos);
    json_integer(out, "size", o->size);
    json_integer(out, "window", o->window);
    json_integer(out, "burst", o->burst);
    json_integer(out, "publishers", scenario_count_publishers(o));
    json_integer(out, "subscribers", scenario_count_subscribers(o));
    fprintf(out, ",\"rate\":%.10g", options_get_rate(o));
    json_string(out, "tool", "tidewire-bench");
    json_string(out, "tool_version", TIDEWIRE_VERSION);
    write_command(o, out);
    write_machine(out);
    json_bool(out, "tls", o->tls);
    json_bool(out, "websocket", o->websocket);
    json_integer(out, "threads", o->threads);
    json_integer(out, "processes", o->processes);
}

/* -------------------------------------------------------------------------------------------------------------- answer */

static void
write_delays(const char *name, const struct histogram *h, FILE *out)
{
    if (h->count == 0) {
        fprintf(out, ",\"%s\":null", name);
        return;
    }
    fprintf(out, ",\"%s\":{\"count\":%" PRIu64 ",\"min\":%" PRIu64, name, (uint64_t)h->count, (uint64_t)h->min);
    for (size_t i = 0; i < FIGURES_QUANTILES; i++) {
        fprintf(out, ",\"%s\":%" PRIu64, figures_quantile_names[i], histogram_get_quantile(h, figures_quantiles[i]));
    }
    fprintf(out, ",\"max\":%" PRIu64 ",\"mean\":%.0f}", (uint64_t)h->max, histogram_get_mean(h));
}

static void
write_percentiles(const struct histogram *h, FILE *out)
{
    double rest = 1.0;

    fprintf(out, ",\"latency_percentiles\":[");
    if (h->count > 0) {
        fprintf(out, "[0.0,%" PRIu64 "]", (uint64_t)h->min);
        for (int i = 0; i < PERCENTILE_HALVINGS && rest * (double)h->count >= 1.0; i++, rest /= 2) {
            fprintf(out, ",[%.9f,%" PRIu64 "],[%.9f,%" PRIu64 "]", 1.0 - rest * 3 / 4, histogram_get_quantile(h, 1.0 - rest * 3 / 4), 1.0 - rest / 2,
                histogram_get_quantile(h, 1.0 - rest / 2));
        }
        fprintf(out, ",[1.0,%" PRIu64 "]", (uint64_t)h->max);
    }
    fprintf(out, "]");
}

static void
write_failures(const struct failure_log *log, FILE *out)
{
    const char *comma = "";

    fprintf(out, ",\"failures\":[");
    for (int k = 0; k < FAILURE_KINDS; k++) {
        const struct failure_entry *e = &log->kinds[k];
        if (e->count > 0) {
            fprintf(out, "%s{\"kind\":\"%s\",\"count\":%" PRIu64 ",\"first_connection\":%u,\"role\":\"%s\",\"detail\":", comma,
                failure_name((enum failure_kind)k), e->count, e->first_connection, e->first_role);
            json_write_string(out, failure_describe_detail((enum failure_kind)k, e->first_detail));
            fprintf(out, ",\"at_s\":%.3f}", (double)e->first_at_ns / 1e9);
            comma = ",";
        }
    }
    fprintf(out, "]");
}

static void
write_point(const struct series_point *p, FILE *out)
{
    double seconds = (double)p->ns / 1e9;

    fprintf(out, "{\"t\":%.3f", (double)p->at_ns / 1e9);
    json_string(out, "phase", series_name_phase(p->phase));
    json_number(out, "delivered_per_s", true, seconds > 0 ? (double)p->delivered / seconds : 0);
    json_number(out, "sent_per_s", true, seconds > 0 ? (double)p->sent / seconds : 0);
    json_integer(out, "connected", p->connected);
    json_number(out, "broker_cpu_ns_per_delivered", p->has_broker && p->delivered > 0, (double)p->broker_cpu_ns / (double)p->delivered);
    json_number(out, "broker_cpu_share", p->has_broker && p->ns > 0, (double)p->broker_cpu_ns / (double)p->ns);
    json_number(out, "broker_rss_bytes", p->has_broker, (double)p->broker_rss_bytes);
    json_number(out, "latency_p50_ns", p->latency_count > 0, (double)p->latency_p50_ns);
    json_number(out, "latency_p99_ns", p->latency_count > 0, (double)p->latency_p99_ns);
    fprintf(out, "}");
}

static void
write_series(const struct series *s, FILE *out)
{
    fprintf(out, ",\"series\":[");
    for (uint32_t i = 0; i < s->count; i++) {
        fprintf(out, i == 0 ? "" : ",");
        write_point(&s->points[i], out);
    }
    fprintf(out, "]");
}

static void
write_cpu(const struct figures *f, FILE *out)
{
    json_number(out, "cpu_ns_per_delivered", f->has_cpu_per_message && f->has_deliveries, f->cpu_ns_per_message);
    json_number(out, "cpu_ns_per_published", f->has_cpu_per_message && !f->has_deliveries, f->cpu_ns_per_message);
    json_number(out, "cpu_share", f->has_cpu, f->cpu_share);
    json_number(out, "load_cpu_ns_per_delivered", f->delivered > 0, f->load_ns_per_message);
    json_number(out, "load_cpu_share", f->seconds > 0, f->load_share);
    json_number(out, "cpu_wait_share", f->has_cpu, f->cpu_wait_share);
    json_number(out, "load_wait_share", f->seconds > 0, f->load_wait_share);
    json_number(out, "msgs_per_s", f->has_deliveries && f->seconds > 0, f->msgs_per_s);
    json_number(out, "sent_per_s", f->seconds > 0, f->sent_per_s);
}

static void
write_counts(const struct result *r, const struct figures *f, FILE *out)
{
    static const struct {
        const char *name;
        enum board_count which;
    } counts[] = {{"sent", COUNT_SENT}, {"delivered", COUNT_DELIVERED}, {"lost", COUNT_LOST}, {"dup", COUNT_DUPLICATED},
        {"reordered", COUNT_REORDERED}, {"foreign", COUNT_FOREIGN}, {"acked", COUNT_ACKED}, {"unacked", COUNT_UNACKED},
        {"unsent", COUNT_DUE}};

    json_integer(out, "measured_delivered", f->delivered);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        json_integer(out, counts[i].name, result_get_total(r, counts[i].which));
    }
}

static void
write_connections(const struct result *r, const struct figures *f, FILE *out)
{
    bool some = r->connections_up > 0;
    bool alone = r->options->steady == 0; /* else the broker's CPU is for both */

    json_integer(out, "connections", r->connections);
    json_integer(out, "connections_up", r->connections_up);
    json_number(out, "connects_per_s", some, f->connects_per_s);
    json_number(out, "cpu_ns_per_connect", r->has_connect_cpu && some && alone, f->connect_cpu_ns);
    json_number(out, "rss_bytes", f->has_memory, (double)f->rss_bytes);
    json_number(out, "rss_bytes_before", r->before.has_broker, (double)r->before.broker_rss_bytes);
    json_number(out, "rss_per_connection", f->has_memory_per_connection, f->rss_per_connection);
    json_string(out, "tls_agreed", r->secured);
    json_integer(out, "handshakes_full", result_get_total(r, COUNT_SECURED));
    json_integer(out, "handshakes_resumed", result_get_total(r, COUNT_RESUMED));
    fprintf(out, ",\"connect\":{\"count\":%u", r->connections_up);
    json_number(out, "per_s", some, f->connects_per_s);
    write_delays("latency_ns", &r->connecting, out);
    fprintf(out, "}");
}

static double
rate_of(const struct result_part *p)
{
    return (double)p->messages * 1e9 / (double)p->ns;
}

/* What a task was about: `first` was done before the measured phase, the other part in it. */
static void
write_task(const struct result *r, FILE *out)
{
    bool offline = r->options->scenario == SCENARIO_OFFLINE;
    const struct result_part *stored = &r->stored, *fetched = &r->fetched;

    if (!offline && r->options->scenario != SCENARIO_RETAINED) {
        return;
    }
    fprintf(out, ",\"%s\":{\"%s\":%" PRIu64 ",\"subscribers\":%" PRIu64, offline ? "offline" : "retained", offline ? "queued" : "messages",
        stored->messages, r->options->count);
    json_number(out, offline ? "queue_s" : "store_s", stored->ns > 0, (double)stored->ns / 1e9);
    json_number(out, offline ? "queue_msgs_per_s" : "store_msgs_per_s", stored->ns > 0, rate_of(stored));
    json_number(out, offline ? "queue_cpu_ns_per_msg" : "store_cpu_ns_per_msg", stored->has_cpu && stored->messages > 0,
        (double)stored->broker_cpu_ns / (double)stored->messages);
    json_integer(out, offline ? "drained" : "fetched", fetched->messages);
    json_number(out, offline ? "drain_s" : "fetch_s", fetched->ns > 0, (double)fetched->ns / 1e9);
    json_number(out, offline ? "drain_msgs_per_s" : "fetch_msgs_per_s", fetched->ns > 0, rate_of(fetched));
    write_delays("subscriber_ns", &r->fetching, out);
    fprintf(out, "}");
}

void
report_write_json(const struct result *r, const struct figures *f, FILE *out)
{
    write_question(r->options, out);
    json_bool(out, "ok", result_is_good(r));
    json_bool(out, "interrupted", r->interrupted);
    fprintf(out, ",\"seconds\":%.6f", f->seconds);
    write_cpu(f, out);
    write_counts(r, f, out);
    write_delays("latency_ns", &r->latency, out);
    if (r->options->calm_ns > 0) {
        write_delays("calm_latency_ns", &r->calm, out);
    }
    write_delays("acked_ns", &r->acking, out);
    write_delays("sent_late_ns", &r->lateness, out);
    write_connections(r, f, out);
    write_task(r, out);
    json_bool(out, "broker_gone", r->broker_gone);
    write_failures(&r->failures, out);
    write_percentiles(&r->latency, out);
    write_series(&r->series, out);
    fprintf(out, "}");
}
