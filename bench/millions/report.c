#include "bench/millions/report.h"

#include <inttypes.h>

/* What a point says, by name; all per session or per message where that makes sense. */
struct column {
    const char *name;
    double value;
};

#define COLUMNS_MAX 24

static unsigned
columns_of(const struct report_point *p, struct column *out)
{
    const struct point_answer *a = &p->answer;
    const struct fleet_tally *t = &a->tally;
    double sessions = p->question.sessions;
    const struct column columns[] = {
        {"shards", p->question.shards},
        {"sessions", sessions},
        {"qos", p->question.qos},
        {"broker_bytes_per_session", (double)a->broker_bytes / sessions},
        {"broker_bytes_per_session_after_traffic", (double)a->broker_used_bytes / sessions},
        {"accounted_bytes_per_session", (double)a->accounted_bytes / sessions},
        {"simulator_and_driver_bytes_per_session", (double)a->region_bytes / sessions},
        {"cpu_ns_per_connect", (double)a->connect_cpu_ns},
        {"cpu_ns_per_message", (double)a->message_cpu_ns[POINT_PARTS / 2]},
        {"cpu_ns_per_message_min", (double)a->message_cpu_ns[0]},
        {"cpu_ns_per_message_max", (double)a->message_cpu_ns[POINT_PARTS - 1]},
        {"sent", (double)t->sent},
        {"delivered", (double)t->delivered},
        {"missing", (double)t->missing},
        {"repeated", (double)t->repeated},
        {"strange", (double)t->strange},
        {"acknowledged", (double)t->acknowledged},
        {"refused", (double)t->refused},
        {"seconds", (double)a->wall_ns / 1e9},
        {"clean", point_is_clean(&p->question, a)},
    };
    unsigned count = sizeof columns / sizeof columns[0];
    _Static_assert(sizeof columns / sizeof columns[0] <= COLUMNS_MAX, "room for all");
    for (unsigned i = 0; i < count; i++) {
        out[i] = columns[i];
    }
    return count;
}

void
report_heading(FILE *out)
{
    fprintf(out, "                    bytes per session                                    broker CPU\n");
    fprintf(out, "shards  sessions    broker  accounted  after traffic  network+driver   us/connect  ns/message (min-max)   delivered  wrong\n");
}

void
report_line(FILE *out, const struct report_point *p)
{
    const struct point_answer *a = &p->answer;
    const struct fleet_tally *t = &a->tally;
    double sessions = p->question.sessions;
    if (!a->completed) {
        fprintf(out, "%6u  %8u  did not come to its end\n", p->question.shards, p->question.sessions);
        return;
    }
    fprintf(out, "%6u  %8u    %6.0f  %9.0f  %13.0f  %14.0f  %11.2f  %10" PRIu64 " (%" PRIu64 "-%" PRIu64 ")  %10" PRIu64 "  %5" PRIu64 "\n",
            p->question.shards, p->question.sessions, (double)a->broker_bytes / sessions, (double)a->accounted_bytes / sessions,
            (double)a->broker_used_bytes / sessions, (double)a->region_bytes / sessions, (double)a->connect_cpu_ns / 1e3,
            a->message_cpu_ns[POINT_PARTS / 2], a->message_cpu_ns[0], a->message_cpu_ns[POINT_PARTS - 1], t->delivered,
            t->missing + t->repeated + t->strange + t->refused);
    fflush(out);
}

void
report_json(FILE *out, const struct report_point *points, unsigned count)
{
    fprintf(out, "{\"benchmark\": \"tidewire-millions\", \"version\": \"%s\", \"points\": [", TIDEWIRE_VERSION);
    for (unsigned i = 0; i < count; i++) {
        struct column columns[COLUMNS_MAX];
        unsigned column_count = columns_of(&points[i], columns);
        for (unsigned k = 0; k < column_count; k++) {
            fprintf(out, "%s\"%s\": %.10g", k > 0 ? ", " : i > 0 ? ",\n  {" : "\n  {", columns[k].name, columns[k].value);
        }
        fprintf(out, "}");
    }
    fprintf(out, "\n]}\n");
}

void
report_csv(FILE *out, const struct report_point *points, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct column columns[COLUMNS_MAX];
        unsigned column_count = columns_of(&points[i], columns);
        for (unsigned k = 0; i == 0 && k < column_count; k++) {
            fprintf(out, "%s%s", k > 0 ? "," : "", columns[k].name);
        }
        fprintf(out, "%s", i == 0 ? "\n" : "");
        for (unsigned k = 0; k < column_count; k++) {
            fprintf(out, "%s%.10g", k > 0 ? "," : "", columns[k].value);
        }
        fprintf(out, "\n");
    }
}
