/*
 * tidewire-millions: does a broker with two million sessions need more per session and per message than one with ten thousand?
 *
 * Every point is measured in a process of its own: a whole broker over the simulated network, and simulated clients that each hold one session with one
 * subscription of their own and publish to one another. Topics are all different and used in a scattered order, so nothing about a message is
 * in any cache: the hard case.
 *
 * Not answered: what the kernel needs for a connection, and how shards do beside each other: here they take turns in one thread.
 */
#include "bench/millions/heap.h"
#include "bench/millions/report.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LIST_MAX 16
#define SESSIONS_MAX 8000000u
#define SHARDS_MAX 64u
#define MESSAGES_MAX UINT64_C(1000000000)

struct options {
    uint64_t sessions[LIST_MAX], shards[LIST_MAX];
    unsigned session_counts, shard_counts;
    uint64_t messages, window, qos;
    const char *json, *csv;
};

static const char help[] =
    "tidewire-millions: bytes per session and CPU time per message, from few to millions of simulated sessions\n"
    "\n"
    "  --sessions N,N,...   sessions of each point; default 10000,30000,100000,300000,1000000,2000000\n"
    "  --shards N,N,...     shards; default 1,2,8\n"
    "  --messages N         messages of a point, at least one per session; default 1000000\n"
    "  --window N           clients that act at once; default 4096\n"
    "  --qos N              0 or 1; default 0\n"
    "  --json FILE          the figures as JSON ('-': standard output, instead of the table)\n"
    "  --csv FILE           the same as CSV\n"
    "  --smoke              1000 sessions on 1 and 2 shards, 5000 messages\n"
    "\n"
    "2 million sessions need about 2 GB and some minutes. Exit: 0, 1 if any message was lost, repeated or strange, 2 for wrong arguments.\n";

static void
refuse(const char *what, const char *value)
{
    fprintf(stderr, "tidewire-millions: %s: '%s'; see --help\n", what, value);
    exit(2);
}

static uint64_t
read_number(const char *option, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < min || value > max) {
        char what[128];
        snprintf(what, sizeof what, "%s takes numbers from %llu to %llu", option, (unsigned long long)min, (unsigned long long)max);
        refuse(what, text);
    }
    return value;
}

static unsigned
read_list(const char *option, const char *text, uint64_t max, uint64_t *out)
{
    char copy[256];
    unsigned count = 0;
    if (strlen(text) >= sizeof copy) {
        refuse(option, text);
    }
    strcpy(copy, text);
    char *rest = copy;
    for (char *item; (item = strsep(&rest, ",")) != NULL;) {
        if (count == LIST_MAX) {
            refuse("too many numbers", text);
        }
        out[count++] = read_number(option, item, 1, max);
    }
    return count;
}

static void
read_options(int argc, char **argv, struct options *o)
{
    enum { SESSIONS = 256, SHARDS, MESSAGES, WINDOW, QOS, JSON, CSV, SMOKE, HELP };
    static const struct option known[] = {
        {"sessions", required_argument, NULL, SESSIONS}, {"shards", required_argument, NULL, SHARDS}, {"messages", required_argument, NULL, MESSAGES},
        {"window", required_argument, NULL, WINDOW},     {"qos", required_argument, NULL, QOS},       {"json", required_argument, NULL, JSON},
        {"csv", required_argument, NULL, CSV},           {"smoke", no_argument, NULL, SMOKE},         {"help", no_argument, NULL, HELP},
        {NULL, 0, NULL, 0},
    };
    *o = (struct options){.messages = 1000000, .window = 4096};
    o->session_counts = read_list("--sessions", "10000,30000,100000,300000,1000000,2000000", SESSIONS_MAX, o->sessions);
    o->shard_counts = read_list("--shards", "1,2,8", SHARDS_MAX, o->shards);
    for (int c; (c = getopt_long(argc, argv, "h", known, NULL)) != -1;) {
        switch (c) {
        case SESSIONS: o->session_counts = read_list("--sessions", optarg, SESSIONS_MAX, o->sessions); break;
        case SHARDS: o->shard_counts = read_list("--shards", optarg, SHARDS_MAX, o->shards); break;
        case MESSAGES: o->messages = read_number("--messages", optarg, 1, MESSAGES_MAX); break;
        case WINDOW: o->window = read_number("--window", optarg, 1, 1000000); break;
        case QOS: o->qos = read_number("--qos", optarg, 0, 1); break;
        case JSON: o->json = optarg; break;
        case CSV: o->csv = optarg; break;
        case SMOKE:
            o->session_counts = read_list("--smoke", "1000", SESSIONS_MAX, o->sessions);
            o->shard_counts = read_list("--smoke", "1,2", SHARDS_MAX, o->shards);
            o->messages = 5000;
            break;
        case 'h':
        case HELP: fputs(help, stdout); exit(0);
        default: exit(2);
        }
    }
    if (optind < argc) {
        refuse("an argument too many", argv[optind]);
    }
}

/* In a child: its memory starts from nothing, and a broker that dies takes only its point with it. */
static struct point_answer
measure_apart(const struct point_question *question)
{
    struct point_answer answer = {0};
    int ends[2];
    fflush(NULL);
    pid_t child = pipe(ends) == 0 ? fork() : -1;
    if (child < 0) {
        perror("tidewire-millions: fork");
        exit(1);
    }
    if (child == 0) {
        heap_open();
        answer = point_measure(question);
        _exit(write(ends[1], &answer, sizeof answer) == (ssize_t)sizeof answer ? 0 : 1);
    }
    close(ends[1]);
    if (read(ends[0], &answer, sizeof answer) != (ssize_t)sizeof answer) {
        answer = (struct point_answer){0};
    }
    close(ends[0]);
    waitpid(child, NULL, 0);
    return answer;
}

static bool
write_file(const char *path, void (*write_points)(FILE *, const struct report_point *, unsigned), const struct report_point *points, unsigned count)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *out = standard ? stdout : fopen(path, "w");
    if (out != NULL) {
        write_points(out, points, count);
    }
    if (out == NULL || (standard ? fflush(out) : fclose(out)) != 0) {
        fprintf(stderr, "tidewire-millions: %s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

int
main(int argc, char **argv)
{
    struct options o;
    static struct report_point points[LIST_MAX * LIST_MAX];
    unsigned count = 0;
    bool good = true;
    read_options(argc, argv, &o);
    FILE *table = o.json != NULL && strcmp(o.json, "-") == 0 ? stderr : stdout;
    report_heading(table);
    for (unsigned i = 0; i < o.shard_counts; i++) {
        for (unsigned k = 0; k < o.session_counts; k++) {
            struct report_point *p = &points[count++];
            p->question = (struct point_question){
                .messages = o.messages, .sessions = (uint32_t)o.sessions[k], .window = (uint32_t)o.window, .shards = (unsigned)o.shards[i],
                .qos = (uint8_t)o.qos};
            p->answer = measure_apart(&p->question);
            report_line(table, p);
            good = good && point_is_clean(&p->question, &p->answer);
        }
    }
    good = (o.json == NULL || write_file(o.json, report_json, points, count)) && good;
    good = (o.csv == NULL || write_file(o.csv, report_csv, points, count)) && good;
    return good ? 0 : 1;
}
