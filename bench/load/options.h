/*
 * options: what the command line asks for, checked before anything connects.
 *
 * Options that make no sense together are refused by name: a benchmark that silently ignores half its question is worse
 * than one that does not start.
 *
 * Threads  any. Memory  strings are borrowed from argv.
 */
#ifndef TIDEWIRE_BENCH_LOAD_OPTIONS_H
#define TIDEWIRE_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum options_scenario {
    SCENARIO_PAIRS,
    SCENARIO_FANIN,
    SCENARIO_FANOUT,
    SCENARIO_IDLE,
};

#define OPTIONS_PIDS_MAX 64u
/* Connections of one run; one costs about 300 bytes here and a descriptor. */
#define OPTIONS_COUNT_MAX 1000000u
/* Bytes of one send; bounds --size times --burst. */
#define OPTIONS_SEGMENT_MAX (UINT64_C(16) << 20)

struct options {
    enum options_scenario scenario;
    const char *host; /* an IPv4 address in numbers */
    uint32_t address; /* the same, in host order */
    const char *json; /* a file, "-" for standard output, or NULL */
    uint64_t port;
    uint64_t version; /* 4 or 5 */
    uint64_t qos;
    uint64_t count;
    uint64_t size;   /* payload bytes */
    uint64_t window; /* deliveries in flight over all publishers */
    uint64_t burst;  /* messages per send */
    uint64_t inflight; /* QoS 1 and 2 handshakes that a publisher may have unfinished; Receive Maximum may say less */
    uint64_t rate;   /* publishes a second over all publishers; 0 is as fast as the window allows */
    uint64_t duration_ns;
    uint64_t warmup_ns;
    uint64_t stall_ns; /* without a delivery for so long, the broker counts as stalled */
    uint64_t source_addresses;
    bool raw; /* no MQTT: messages of --size bytes through bench/floor */
    pid_t pids[OPTIONS_PIDS_MAX];
    uint32_t pid_count;
};

enum options_outcome {
    OPTIONS_RUN,
    OPTIONS_HELP,
    OPTIONS_WRONG, /* `error` says what and why */
};

enum options_outcome options_parse(int argc, char *const *argv, struct options *out, char *error, size_t error_room);

extern const char options_help[];

const char *options_get_scenario_name(enum options_scenario s);

/* Publishers, subscribers and deliveries per publish that the scenario and --count amount to. */
uint32_t options_get_publishers(const struct options *o);
uint32_t options_get_subscribers(const struct options *o);
uint32_t options_get_fan(const struct options *o);

/* Each publisher's part of the window, in messages it publishes. */
uint64_t options_get_share(const struct options *o);

#endif
