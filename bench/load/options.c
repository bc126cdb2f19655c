#include "bench/load/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/load/option_check.h"
#include "bench/load/option_rows.h"

static const char *const scenario_names[] = {
    [SCENARIO_PAIRS] = "pairs",
    [SCENARIO_FANIN] = "fanin",
    [SCENARIO_FANOUT] = "fanout",
    [SCENARIO_IDLE] = "idle",
    [SCENARIO_CONN] = "conn",
    [SCENARIO_PUB] = "pub",
    [SCENARIO_SUB] = "sub",
    [SCENARIO_SHARED] = "shared",
    [SCENARIO_RETAINED] = "retained",
    [SCENARIO_OFFLINE] = "offline",
    [SCENARIO_CONNSTORM] = "connstorm",
};

#define SCENARIO_COUNT (sizeof scenario_names / sizeof scenario_names[0])

static bool
parse_number(struct option_parse *p, const struct option_row *row, const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || text[0] == '-' || errno != 0) {
        return option_refuse(p, "%s '%s': not a number", row->name, text);
    }
    if (value < row->min || value > row->max) {
        return option_refuse(p, "%s %llu: must be %" PRIu64 " to %" PRIu64, row->name, value, row->min, row->max);
    }
    *out = value;
    return true;
}

static bool
parse_time(struct option_parse *p, const struct option_row *row, const char *text, uint64_t *out_ns)
{
    static const struct {
        const char *suffix;
        double ns;
    } units[] = {{"", 1e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"m", 60e9}, {"h", 3600e9}};

    char *end;
    double value = strtod(text, &end);
    if (end == text || !(value >= 0.0) || value > 1e6) {
        return option_refuse(p, "%s '%s': not a time (5, 2.5s, 300ms, 1m)", row->name, text);
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].suffix) == 0) {
            *out_ns = (uint64_t)(value * units[i].ns);
            return true;
        }
    }
    return option_refuse(p, "%s '%s': unknown unit '%s' (us, ms, s, m, h)", row->name, text, end);
}

static bool
parse_seconds(struct option_parse *p, const struct option_row *row, const char *text, uint64_t *out_s)
{
    uint64_t ns;
    if (!parse_time(p, row, text, &ns)) {
        return false;
    }
    if (ns % 1000000000u != 0 || ns / 1000000000u > row->max) {
        return option_refuse(p, "%s '%s': whole seconds, at most %" PRIu64, row->name, text, row->max);
    }
    *out_s = ns / 1000000000u;
    return true;
}

static bool
parse_fraction(struct option_parse *p, const struct option_row *row, const char *text, double *out)
{
    char *end;
    *out = strtod(text, &end);
    return (end != text && *end == '\0' && *out > 0.0 && *out <= 100.0) || option_refuse(p, "%s '%s': a factor, above 0 and at most 100", row->name, text);
}

static bool
parse_bool(struct option_parse *p, const struct option_row *row, const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0;
    return *out || strcmp(text, "false") == 0 || option_refuse(p, "%s '%s': true or false", row->name, text);
}

static bool
has_pid(const struct options *o, pid_t pid)
{
    for (uint32_t i = 0; i < o->pid_count; i++) {
        if (o->pids[i] == pid) {
            return true;
        }
    }
    return false;
}

static bool
parse_pids(struct option_parse *p, const char *text)
{
    struct options *o = p->out;
    for (const char *at = text;;) {
        char *end;
        long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0 || (*end != ',' && *end != '\0')) {
            return option_refuse(p, "--pid '%s': process ids, separated by commas", text);
        }
        if (o->pid_count == OPTIONS_PIDS_MAX) {
            return option_refuse(p, "--pid: more than %u processes", OPTIONS_PIDS_MAX);
        }
        if (has_pid(o, (pid_t)pid)) {
            return option_refuse(p, "--pid %ld is given twice", pid);
        }
        o->pids[o->pid_count++] = (pid_t)pid;
        if (*end == '\0') {
            return true;
        }
        at = end + 1;
    }
}

static bool
parse_value(struct option_parse *p, const struct option_row *row, const char *text)
{
    void *field = (char *)p->out + row->offset;

    switch (row->kind) {
    case OPTION_NUMBER: return parse_number(p, row, text, field);
    case OPTION_TIME: return parse_time(p, row, text, field);
    case OPTION_TIME_S: return parse_seconds(p, row, text, field);
    case OPTION_FRACTION: return parse_fraction(p, row, text, field);
    case OPTION_PIDS: return parse_pids(p, text);
    case OPTION_BOOL: return parse_bool(p, row, text, field);
    case OPTION_STRING: *(const char **)field = text; return true;
    case OPTION_FLAG: *(bool *)field = true; return true;
    }
    return false;
}

/* "--name value", "--name=value" or "-x value"; moves `*at` over what it used. */
static bool
parse_one(struct option_parse *p, int argc, char *const *argv, int *at)
{
    const char *word = argv[(*at)++];
    size_t found = option_row_find(word);

    if (found == option_row_count) {
        return option_refuse(p, "unknown option '%s' (--help lists them)", word);
    }
    const struct option_row *row = &option_rows[found];
    const char *value = strchr(word, '=');
    if (p->given[found] && row->kind != OPTION_PIDS) {
        return option_refuse(p, "%s is given twice", row->name);
    }
    p->given[found] = true;
    if (row->kind == OPTION_FLAG) {
        return value != NULL ? option_refuse(p, "%s takes no value", row->name) : parse_value(p, row, NULL);
    }
    if (value != NULL) {
        return parse_value(p, row, value + 1);
    }
    if (*at >= argc) {
        return option_refuse(p, "%s needs a value", row->name);
    }
    return parse_value(p, row, argv[(*at)++]);
}

static bool
parse_scenario(struct option_parse *p, const char *word)
{
    p->out->name = word;
    for (size_t i = 0; i < SCENARIO_COUNT; i++) {
        if (strcmp(word, scenario_names[i]) == 0) {
            p->out->scenario = (enum options_scenario)i;
            return true;
        }
    }
    p->suite = suite_find(word);
    if (p->suite == NULL) {
        return option_refuse(p, "unknown scenario '%s' (--help lists them)", word);
    }
    suite_set(p->suite, p->out);
    return true;
}

/* A name stands for its first IPv4 address, and for itself where certificates are asked about it. */
static bool
find_address(struct option_parse *p)
{
    struct options *o = p->out;
    struct in_addr address;
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;

    if (inet_pton(AF_INET, o->host, &address) == 1) {
        o->address = ntohl(address.s_addr);
        return true;
    }
    int error = getaddrinfo(o->host, NULL, &hints, &found);
    if (error != 0) {
        return option_refuse(p, "--host '%s': %s", o->host, gai_strerror(error));
    }
    o->address = ntohl(((const struct sockaddr_in *)(const void *)found->ai_addr)->sin_addr.s_addr);
    freeaddrinfo(found);
    if (o->server_name == NULL) {
        o->server_name = o->host;
    }
    return true;
}

static bool
parse_all(struct option_parse *p, int argc, char *const *argv)
{
    struct options *o = p->out;

    if (!parse_scenario(p, argv[1])) {
        return false;
    }
    if (o->scenario == SCENARIO_CONN || o->scenario == SCENARIO_PUB || o->scenario == SCENARIO_SUB) {
        o->duration_ns = OPTIONS_FOREVER;
        o->warmup_ns = 0;
    }
    if (o->scenario == SCENARIO_RETAINED || o->scenario == SCENARIO_OFFLINE) {
        o->messages = o->scenario == SCENARIO_RETAINED ? 10000 : 500;
    }
    for (int at = 2; at < argc;) {
        if (!parse_one(p, argc, argv, &at)) {
            return false;
        }
    }
    if (!find_address(p)) {
        return false;
    }
    option_derive(p);
    return option_check(p);
}

static bool
wants_help(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            return true;
        }
    }
    /* Behind a scenario -h is the host, as in the other clients. */
    return argc > 1 && strcmp(argv[1], "-h") == 0;
}

enum options_outcome
options_parse(int argc, char *const *argv, struct options *out, char *error, size_t error_room)
{
    struct option_parse p = {.out = out, .error = error, .error_room = error_room};

    *out = (struct options){
        .host = "127.0.0.1",
        .argc = argc,
        .argv = argv,
        .run = (int)getpid(),
        .port = 1883,
        .path = "/mqtt",
        .version = 4,
        .count = 50,
        .publishers = 1,
        .groups = 1,
        .size = 64,
        .burst = 1,
        .inflight = 65535,
        .duration_ns = UINT64_C(5000000000),
        .warmup_ns = UINT64_C(500000000),
        .stall_ns = UINT64_C(5000000000),
        .session_expiry_s = 0,
        .source_addresses = 1,
        .threads = 1,
        .processes = 1,
        .scale = 1.0,
        .clean_start = true,
    };
    if (wants_help(argc, argv)) {
        return OPTIONS_HELP;
    }
    if (argc < 2) {
        option_refuse(&p, "no scenario (--help lists them)");
        return OPTIONS_WRONG;
    }
    return parse_all(&p, argc, argv) ? OPTIONS_RUN : OPTIONS_WRONG;
}

const char *
options_get_scenario_name(enum options_scenario s)
{
    return scenario_names[s];
}

double
options_get_rate(const struct options *o)
{
    return o->rate == 0 ? 0.0 : (double)o->rate * 1e9 / (double)o->rate_ns;
}
