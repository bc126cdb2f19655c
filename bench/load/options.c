#include "bench/load/options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/payload.h"

const char options_help[] =
    "usage: tidewire-bench SCENARIO [options]\n"
    "\n"
    "  pairs    --count N publishers, each to its own subscriber\n"
    "  fanin    --count N publishers to one subscriber\n"
    "  fanout   one publisher to --count N subscribers\n"
    "  idle     --count N connections that say nothing (also: conn)\n"
    "\n"
    "what is sent\n"
    "  --count N            see above (50)\n"
    "  --size BYTES         payload, at least 16 (64)\n"
    "  --qos 0|1|2          of publishes and subscriptions (0)\n"
    "  --version 4|5        MQTT 3.1.1 or 5.0 (4)\n"
    "  --window N           deliveries in flight at most, over all publishers, counted at the subscribers (20000)\n"
    "  --burst N            messages per send of a publisher (1)\n"
    "  --inflight N         QoS 1 and 2 messages of a publisher unacknowledged at most (65535)\n"
    "  --rate N             publishes a second over all publishers, with latency from the time each was due\n"
    "  --raw                no MQTT: bare messages of --size bytes through bench/floor\n"
    "how long\n"
    "  --warmup TIME        before measuring (500ms); TIME is 5, 2.5s, 300ms or 1m\n"
    "  --duration TIME      measured (5s)\n"
    "  --stall TIME         no delivery for so long is a stall (5s)\n"
    "where\n"
    "  --host ADDRESS       IPv4 in numbers (127.0.0.1)\n"
    "  --port N             (1883)\n"
    "  --source-addresses N spread the connections over so many addresses of 127.0.0.0/8\n"
    "  --pid PID[,PID...]   the broker's processes: CPU time and resident memory\n"
    "  --json FILE          one line of JSON; - is standard output (the table then goes to standard error)\n"
    "\n"
    "exit: 0 all well, 1 the broker refused, stalled, dropped, lost or died (figures are printed), 2 wrong options\n";

enum value_kind {
    VALUE_NUMBER,
    VALUE_TIME,
    VALUE_STRING,
    VALUE_PIDS,
    VALUE_FLAG,
};

struct option_row {
    const char *name;
    enum value_kind kind;
    size_t offset;
    uint64_t min, max; /* VALUE_NUMBER */
    bool of_messages;  /* makes no sense where nothing is published */
    bool of_mqtt;      /* makes no sense with --raw */
};

#define AT(field) offsetof(struct options, field)

static const struct option_row rows[] = {
    {"--count", VALUE_NUMBER, AT(count), 1, OPTIONS_COUNT_MAX, false, false},
    {"--size", VALUE_NUMBER, AT(size), PAYLOAD_STAMP_SIZE, OPTIONS_SEGMENT_MAX, true, false},
    {"--qos", VALUE_NUMBER, AT(qos), 0, 2, true, true},
    {"--version", VALUE_NUMBER, AT(version), 4, 5, false, true},
    {"--window", VALUE_NUMBER, AT(window), 1, 1000000000, true, false},
    {"--burst", VALUE_NUMBER, AT(burst), 1, 1000000, true, false},
    {"--inflight", VALUE_NUMBER, AT(inflight), 1, 65535, true, true},
    {"--rate", VALUE_NUMBER, AT(rate), 1, 1000000000, true, false},
    {"--stall", VALUE_TIME, AT(stall_ns), 0, 0, true, false},
    {"--warmup", VALUE_TIME, AT(warmup_ns), 0, 0, false, false},
    {"--duration", VALUE_TIME, AT(duration_ns), 0, 0, false, false},
    {"--host", VALUE_STRING, AT(host), 0, 0, false, false},
    {"--port", VALUE_NUMBER, AT(port), 1, 65535, false, false},
    {"--source-addresses", VALUE_NUMBER, AT(source_addresses), 1, 65536, false, false},
    {"--pid", VALUE_PIDS, 0, 0, 0, false, false},
    {"--json", VALUE_STRING, AT(json), 0, 0, false, false},
    {"--raw", VALUE_FLAG, AT(raw), 0, 0, true, false},
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* What a parse in progress needs besides its result. */
struct parse {
    struct options *out;
    char *error;
    size_t error_room;
    bool given[ROW_COUNT];
};

static bool __attribute__((format(printf, 2, 3)))
refuse(struct parse *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->error, p->error_room, format, args);
    va_end(args);
    return false;
}

static bool
given(const struct parse *p, const char *name)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return p->given[i];
        }
    }
    return false;
}

static bool
parse_number(struct parse *p, const struct option_row *row, const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || text[0] == '-' || errno != 0) {
        return refuse(p, "%s '%s': not a number", row->name, text);
    }
    if (value < row->min || value > row->max) {
        return refuse(p, "%s %llu: must be %" PRIu64 " to %" PRIu64, row->name, value, row->min, row->max);
    }
    *out = value;
    return true;
}

static bool
parse_time(struct parse *p, const struct option_row *row, const char *text, uint64_t *out_ns)
{
    static const struct {
        const char *suffix;
        double ns;
    } units[] = {{"", 1e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"m", 60e9}, {"h", 3600e9}};

    char *end;
    double value = strtod(text, &end);
    if (end == text || !(value >= 0.0) || value > 1e6) {
        return refuse(p, "%s '%s': not a time (5, 2.5s, 300ms, 1m)", row->name, text);
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].suffix) == 0) {
            *out_ns = (uint64_t)(value * units[i].ns);
            return true;
        }
    }
    return refuse(p, "%s '%s': unknown unit '%s' (us, ms, s, m, h)", row->name, text, end);
}

static bool
parse_pids(struct parse *p, const char *text)
{
    struct options *o = p->out;
    for (const char *at = text;;) {
        char *end;
        long pid = strtol(at, &end, 10);
        if (end == at || pid <= 0 || (*end != ',' && *end != '\0')) {
            return refuse(p, "--pid '%s': process ids, separated by commas", text);
        }
        if (o->pid_count == OPTIONS_PIDS_MAX) {
            return refuse(p, "--pid: more than %u processes", OPTIONS_PIDS_MAX);
        }
        o->pids[o->pid_count++] = (pid_t)pid;
        if (*end == '\0') {
            return true;
        }
        at = end + 1;
    }
}

static bool
parse_value(struct parse *p, const struct option_row *row, const char *text)
{
    void *field = (char *)p->out + row->offset;

    switch (row->kind) {
    case VALUE_NUMBER: return parse_number(p, row, text, field);
    case VALUE_TIME: return parse_time(p, row, text, field);
    case VALUE_PIDS: return parse_pids(p, text);
    case VALUE_STRING: *(const char **)field = text; return true;
    case VALUE_FLAG: *(bool *)field = true; return true;
    }
    return false;
}

/* "--name value" or "--name=value"; moves `*at` over what it used. */
static bool
parse_one(struct parse *p, int argc, char *const *argv, int *at)
{
    const char *word = argv[*at];
    size_t name_size = strcspn(word, "=");

    for (size_t i = 0; i < ROW_COUNT; i++) {
        const struct option_row *row = &rows[i];
        if (strlen(row->name) != name_size || strncmp(row->name, word, name_size) != 0) {
            continue;
        }
        if (p->given[i] && row->kind != VALUE_PIDS) {
            return refuse(p, "%s is given twice", row->name);
        }
        p->given[i] = true;
        if (row->kind == VALUE_FLAG) {
            (*at)++;
            return word[name_size] == '=' ? refuse(p, "%s takes no value", row->name) : parse_value(p, row, NULL);
        }
        if (word[name_size] == '=') {
            (*at)++;
            return parse_value(p, row, word + name_size + 1);
        }
        if (*at + 1 >= argc) {
            return refuse(p, "%s needs a value", row->name);
        }
        *at += 2;
        return parse_value(p, row, argv[*at - 1]);
    }
    return refuse(p, "unknown option '%s' (--help lists them)", word);
}

static bool
parse_scenario(struct parse *p, const char *word)
{
    static const struct {
        const char *name;
        enum options_scenario scenario;
    } names[] = {{"pairs", SCENARIO_PAIRS}, {"fanin", SCENARIO_FANIN}, {"fanout", SCENARIO_FANOUT}, {"idle", SCENARIO_IDLE},
        {"conn", SCENARIO_IDLE}};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(word, names[i].name) == 0) {
            p->out->scenario = names[i].scenario;
            return true;
        }
    }
    return refuse(p, "unknown scenario '%s' (pairs, fanin, fanout, idle)", word);
}

static bool
check_combinations(struct parse *p)
{
    const struct options *o = p->out;

    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (p->given[i] && rows[i].of_messages && o->scenario == SCENARIO_IDLE) {
            return refuse(p, "%s makes no sense with idle: nothing is published", rows[i].name);
        }
        if (p->given[i] && rows[i].of_mqtt && o->raw) {
            return refuse(p, "%s makes no sense with --raw: there is no MQTT", rows[i].name);
        }
    }
    if (o->duration_ns == 0) {
        return refuse(p, "--duration 0: nothing would be measured");
    }
    if (given(p, "--stall") && o->stall_ns == 0) {
        return refuse(p, "--stall 0: everything would be a stall");
    }
    if (given(p, "--source-addresses") && o->address >> 24 != 127) {
        return refuse(p, "--source-addresses needs a --host in 127.0.0.0/8, not %s", o->host);
    }
    if (o->scenario == SCENARIO_IDLE) {
        return true;
    }
    if (given(p, "--inflight") && o->qos == 0) {
        return refuse(p, "--inflight makes no sense with QoS 0: nothing is acknowledged");
    }
    if (o->rate > 0 && o->burst > 1) {
        return refuse(p, "--burst makes no sense with --rate: each message has its own time");
    }
    if (o->size * o->burst > OPTIONS_SEGMENT_MAX) {
        return refuse(p, "--size %" PRIu64 " with --burst %" PRIu64 ": more than %" PRIu64 " bytes in one send", o->size, o->burst,
            OPTIONS_SEGMENT_MAX);
    }
    if (options_get_share(o) < o->burst) {
        return refuse(p, "--window %" PRIu64 " leaves %" PRIu64 " messages in flight to each of %u publishers, fewer than --burst %" PRIu64,
            o->window, options_get_share(o), options_get_publishers(o), o->burst);
    }
    return true;
}

static bool
parse_all(struct parse *p, int argc, char *const *argv)
{
    struct in_addr address;

    if (!parse_scenario(p, argv[1])) {
        return false;
    }
    for (int at = 2; at < argc;) {
        if (!parse_one(p, argc, argv, &at)) {
            return false;
        }
    }
    if (inet_pton(AF_INET, p->out->host, &address) != 1) {
        return refuse(p, "--host '%s': an IPv4 address in numbers, names are not looked up", p->out->host);
    }
    p->out->address = ntohl(address.s_addr);
    return check_combinations(p);
}

enum options_outcome
options_parse(int argc, char *const *argv, struct options *out, char *error, size_t error_room)
{
    struct parse p = {.out = out, .error = error, .error_room = error_room};

    *out = (struct options){
        .host = "127.0.0.1",
        .port = 1883,
        .version = 4,
        .count = 50,
        .size = 64,
        .window = 20000,
        .burst = 1,
        .inflight = 65535,
        .duration_ns = UINT64_C(5000000000),
        .warmup_ns = UINT64_C(500000000),
        .stall_ns = UINT64_C(5000000000),
        .source_addresses = 1,
    };
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return OPTIONS_HELP;
        }
    }
    if (argc < 2) {
        refuse(&p, "no scenario (pairs, fanin, fanout, idle; --help tells more)");
        return OPTIONS_WRONG;
    }
    return parse_all(&p, argc, argv) ? OPTIONS_RUN : OPTIONS_WRONG;
}

const char *
options_get_scenario_name(enum options_scenario s)
{
    static const char *const names[] = {"pairs", "fanin", "fanout", "idle"};
    return names[s];
}

uint32_t
options_get_publishers(const struct options *o)
{
    return o->scenario == SCENARIO_IDLE ? 0 : o->scenario == SCENARIO_FANOUT ? 1 : (uint32_t)o->count;
}

uint32_t
options_get_subscribers(const struct options *o)
{
    return o->scenario == SCENARIO_IDLE ? 0 : o->scenario == SCENARIO_FANIN ? 1 : (uint32_t)o->count;
}

uint32_t
options_get_fan(const struct options *o)
{
    return o->scenario == SCENARIO_FANOUT ? (uint32_t)o->count : 1;
}

uint64_t
options_get_share(const struct options *o)
{
    return o->window / ((uint64_t)options_get_publishers(o) * options_get_fan(o));
}
