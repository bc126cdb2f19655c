#include "bench/load/option_check.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench/load/name.h"
#include "bench/load/payload.h"
#include "bench/load/scenario.h"

/*
 * Connections from one address to one port. The kernel has 28 232 ephemeral ports by default and looks through one half of them first: with more
 * than 14 116 in use a connect() searches for most of its time (measured: 2 700 connects a second instead of 20 000).
 */
#define CONNECTIONS_PER_ADDRESS 10000u
#define WINDOW_DEFAULT 20000u
/* A broker's listen backlog is 100 (mosquitto) or more. */
#define CONNECTING_DEFAULT 64u
/* What a publisher without a window may have unacknowledged. */
#define INFLIGHT_WITHOUT_WINDOW 100u

bool
option_refuse(struct option_parse *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(p->error, p->error_room, format, args);
    va_end(args);
    return false;
}

bool
option_is_given(const struct option_parse *p, const char *name)
{
    size_t at = option_row_find(name);
    assert(at < option_row_count);
    return p->given[at];
}

/* ------------------------------------------------------------------------------------------------------------ derive */

static uint64_t
count_connections(const struct options *o)
{
    return (uint64_t)scenario_count_publishers(o) + scenario_count_subscribers(o) + scenario_count_idle(o);
}

static void
derive_rate(struct options *o)
{
    o->rate_ns = UINT64_C(1000000000);
    if (o->interval_ns > 0) {
        o->rate = scenario_count_publishers(o);
        o->rate_ns = o->interval_ns;
    }
}

/* Wide enough for one burst of every publisher; at a rate, for what a broker may owe after a second. */
static uint64_t
derive_window(const struct options *o)
{
    uint64_t least = (uint64_t)scenario_count_publishers(o) * scenario_get_fan(o) * (o->rate > 0 ? 10 : o->burst);
    return least > WINDOW_DEFAULT ? least : WINDOW_DEFAULT;
}

static void
derive_connecting(struct option_parse *p)
{
    struct options *o = p->out;
    uint64_t connections = count_connections(o);

    if (!option_is_given(p, "--connecting")) {
        o->connecting = o->scenario == SCENARIO_CONNSTORM ? o->count : CONNECTING_DEFAULT;
    }
    if (!option_is_given(p, "--source-addresses")) {
        o->source_addresses = o->address >> 24 == 127 ? (connections + CONNECTIONS_PER_ADDRESS - 1) / CONNECTIONS_PER_ADDRESS : 1;
    }
}

void
option_derive(struct option_parse *p)
{
    struct options *o = p->out;

    if (p->suite != NULL) {
        suite_scale(p->suite, o, option_is_given(p, "--count"), option_is_given(p, "--publishers"), option_is_given(p, "--rate"),
            option_is_given(p, "--connect-rate"));
        if (option_is_given(p, "--interval")) {
            o->rate = 0; /* the case's own gives way */
        }
    }
    if (!option_is_given(p, "--qos") && (o->scenario == SCENARIO_RETAINED || o->scenario == SCENARIO_OFFLINE)) {
        o->qos = 1;
    }
    if (!option_is_given(p, "--subscribe-qos")) {
        o->subscribe_qos = o->qos;
    }
    if (!option_is_given(p, "--inflight") && o->scenario == SCENARIO_PUB) {
        o->inflight = INFLIGHT_WITHOUT_WINDOW;
    }
    derive_rate(o);
    if (!option_is_given(p, "--window")) {
        o->window = derive_window(o);
    }
    derive_connecting(p);
}

/* ------------------------------------------------------------------------------------------------------------- check */

static bool
check_rows(struct option_parse *p)
{
    const struct options *o = p->out;

    for (size_t i = 0; i < option_row_count; i++) {
        if (!p->given[i]) {
            continue;
        }
        if ((option_rows[i].scenarios & 1u << o->scenario) == 0) {
            return option_refuse(p, "%s makes no sense with %s", option_rows[i].name, o->name);
        }
        if (option_rows[i].of_mqtt && o->raw) {
            return option_refuse(p, "%s makes no sense with --raw: there is no MQTT", option_rows[i].name);
        }
    }
    return true;
}

static bool
check_times(struct option_parse *p)
{
    const struct options *o = p->out;

    if (o->duration_ns == 0) {
        return option_refuse(p, "--duration 0: nothing would be measured");
    }
    if (o->stall_ns == 0) {
        return option_refuse(p, "--stall 0: everything would be a stall");
    }
    if (option_is_given(p, "--interval") && o->interval_ns == 0) {
        return option_refuse(p, "--interval 0: leave it out to publish as fast as it goes");
    }
    return true;
}

static bool
check_names(struct option_parse *p)
{
    const struct options *o = p->out;
    bool needs_topic = o->scenario == SCENARIO_PUB || o->scenario == SCENARIO_SUB;
    const char *wrong;

    if (needs_topic && o->topic == NULL) {
        return option_refuse(p, "%s needs a --topic (%%i in it is the client's number)", o->name);
    }
    if (o->topic != NULL && (wrong = name_check(o->topic, true)) != NULL) {
        return option_refuse(p, "--topic '%s': %s", o->topic, wrong);
    }
    if (o->scenario == SCENARIO_PUB && strpbrk(o->topic, "+#") != NULL) {
        return option_refuse(p, "--topic '%s': nobody can publish to a wildcard", o->topic);
    }
    if (o->client_id != NULL && (wrong = name_check(o->client_id, false)) != NULL) {
        return option_refuse(p, "--client-id '%s': %s", o->client_id, wrong);
    }
    if (o->client_id != NULL && strstr(o->client_id, "%i") == NULL && count_connections(o) > 1) {
        return option_refuse(p, "--client-id '%s' without %%i: all clients would have one identifier, and a broker keeps one of them", o->client_id);
    }
    return true;
}

static bool
check_login(struct option_parse *p)
{
    const struct options *o = p->out;

    if (o->password != NULL && o->user == NULL && o->version < 5) {
        return option_refuse(p, "--password without --user: only MQTT 5 knows that (--version 5)");
    }
    if ((o->user != NULL && strlen(o->user) > 255) || (o->password != NULL && strlen(o->password) > 255)) {
        return option_refuse(p, "--user and --password: at most 255 bytes each");
    }
    if (option_is_given(p, "--session-expiry") && o->version < 5) {
        return option_refuse(p, "--session-expiry makes no sense with --version %" PRIu64 ": it came with MQTT 5 (--clean-start false keeps a session)",
            o->version);
    }
    return true;
}

static bool
is_key(const char *hex)
{
    size_t size = strlen(hex);
    return size > 0 && size % 2 == 0 && size <= 2 * OPTIONS_PSK_MAX && strspn(hex, "0123456789abcdefABCDEF") == size;
}

static bool
check_tls_parts(struct option_parse *p)
{
    const struct options *o = p->out;

    if ((o->cert == NULL) != (o->key == NULL)) {
        return option_refuse(p, "--cert and --key: one is nothing without the other");
    }
    if ((o->psk == NULL) != (o->psk_identity == NULL)) {
        return option_refuse(p, "--psk and --psk-identity: one is nothing without the other");
    }
    if (o->psk != NULL && !is_key(o->psk)) {
        return option_refuse(p, "--psk: pairs of hexadecimal digits, at most %u", OPTIONS_PSK_MAX);
    }
    if (o->psk != NULL && (o->cafile != NULL || o->cert != NULL || o->insecure)) {
        return option_refuse(p, "--psk makes no sense with --cafile, --cert or --insecure: there are no certificates");
    }
    if (o->insecure && o->cafile != NULL) {
        return option_refuse(p, "--insecure makes no sense with --cafile: it looks at no certificate");
    }
    if (o->tls_version != NULL && strcmp(o->tls_version, "1.2") != 0 && strcmp(o->tls_version, "1.3") != 0) {
        return option_refuse(p, "--tls-version '%s': must be 1.2 or 1.3", o->tls_version);
    }
    return true;
}

static bool
check_tunnel(struct option_parse *p)
{
    static const char *const of_tls[] = {
        "--cafile", "--insecure", "--cert", "--key", "--psk", "--psk-identity", "--tls-version", "--server-name", "--resume"};
    const struct options *o = p->out;

    for (size_t i = 0; !o->tls && i < sizeof of_tls / sizeof of_tls[0]; i++) {
        if (option_is_given(p, of_tls[i])) {
            return option_refuse(p, "%s makes no sense without --tls", of_tls[i]);
        }
    }
    if (option_is_given(p, "--path") && !o->websocket) {
        return option_refuse(p, "--path makes no sense without --websocket");
    }
    if (o->path[0] != '/' || strpbrk(o->path, " \r\n") != NULL) {
        return option_refuse(p, "--path '%s': begins with / and has no blanks", o->path);
    }
    return check_tls_parts(p);
}

static bool
check_where(struct option_parse *p)
{
    const struct options *o = p->out;

    if (o->source_addresses > 1 && o->address >> 24 != 127) {
        return option_refuse(p, "--source-addresses needs a --host in 127.0.0.0/8, not %s", o->host);
    }
    if (o->threads * o->processes > OPTIONS_WORKERS_MAX) {
        return option_refuse(p, "--threads %" PRIu64 " of --processes %" PRIu64 ": more than %u threads", o->threads, o->processes,
            OPTIONS_WORKERS_MAX);
    }
    if (option_is_given(p, "--scale") && p->suite == NULL) {
        return option_refuse(p, "--scale makes no sense with %s: only the cases of the public suite have a size of their own", o->name);
    }
    if (o->html != NULL && strcmp(o->html, "-") == 0) {
        return option_refuse(p, "--html -: a page needs a file");
    }
    return true;
}

static bool
check_rate(struct option_parse *p)
{
    const struct options *o = p->out;

    if (option_is_given(p, "--rate") && option_is_given(p, "--interval")) {
        return option_refuse(p, "--interval makes no sense with --rate: they say the same");
    }
    if (o->rate > 0 && o->burst > 1) {
        return option_refuse(p, "--burst makes no sense with --rate or --interval: each message has its own time");
    }
    if (o->scenario == SCENARIO_CONNSTORM && o->steady == 0 &&
        (o->rate > 0 || option_is_given(p, "--interval") || option_is_given(p, "--size") || option_is_given(p, "--qos") || option_is_given(p, "--window") || option_is_given(p, "--warmup"))) {
        return option_refuse(p, "--rate, --interval, --size, --qos, --window and --warmup need --steady: nothing is published without");
    }
    if (o->calm_ns > 0 && o->rate == 0) {
        return option_refuse(p, "--calm needs --steady and --rate: without them there is no latency to measure");
    }
    if (o->storm_yields && (o->steady == 0 || o->threads * o->processes == 1)) {
        return option_refuse(p, "--storm-yields needs --steady and more than one of --threads or --processes: the first is the steady pairs'");
    }
    return true;
}

static bool
check_window(struct option_parse *p)
{
    const struct options *o = p->out;

    if (o->size * o->burst > OPTIONS_SEGMENT_MAX) {
        return option_refuse(p, "--size %" PRIu64 " with --burst %" PRIu64 ": more than %" PRIu64 " bytes in one send", o->size, o->burst,
            OPTIONS_SEGMENT_MAX);
    }
    if (scenario_count_publishers(o) > 0 && o->scenario != SCENARIO_PUB && scenario_get_share(o) < o->burst) {
        return option_refuse(p, "--window %" PRIu64 " leaves %" PRIu64 " messages in flight to each of %u publishers, fewer than --burst %" PRIu64,
            o->window, scenario_get_share(o), scenario_count_publishers(o), o->burst);
    }
    return true;
}

static bool
check_counts(struct option_parse *p)
{
    const struct options *o = p->out;

    if (option_is_given(p, "--inflight") && o->qos == 0) {
        return option_refuse(p, "--inflight makes no sense with QoS 0: nothing is acknowledged");
    }
    if (o->qos == 0 && (o->scenario == SCENARIO_RETAINED || o->scenario == SCENARIO_OFFLINE)) {
        return option_refuse(p, "--qos 0 makes no sense with %s: nothing would tell when the broker has the messages (--subscribe-qos 0 is possible)",
            o->name);
    }
    if (o->scenario == SCENARIO_OFFLINE && o->subscribe_qos == 0) {
        return option_refuse(p, "--subscribe-qos 0 makes no sense with offline: brokers do not keep such messages");
    }
    if (o->scenario == SCENARIO_SHARED && o->count < o->groups) {
        return option_refuse(p, "--groups %" PRIu64 " with --count %" PRIu64 ": every group needs a member", o->groups, o->count);
    }
    if (o->raw && o->publishers > 1) {
        return option_refuse(p, "--publishers makes no sense with --raw: bench/floor knows one");
    }
    if (scenario_count_publishers(o) >= PAYLOAD_PUBLISHERS_MAX / 2) {
        return option_refuse(p, "--count and --publishers: at most %u publishers have a number in the payload", PAYLOAD_PUBLISHERS_MAX / 2);
    }
    return true;
}

bool
option_check(struct option_parse *p)
{
    return check_rows(p) && check_times(p) && check_where(p) && check_tunnel(p) && check_names(p) && check_login(p) && check_rate(p) && check_counts(p) &&
        check_window(p);
}
