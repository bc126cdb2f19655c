/*
 * options: what the command line asks for, checked before anything connects.
 *
 * Options that make no sense together are refused by name: a benchmark that silently ignores half its question is worse
 * than one that does not start. Which option belongs to which scenario stands in one table (option_rows.c).
 *
 * Threads  any. Memory  strings are borrowed from argv.
 */
#ifndef TIDEWIRE_BENCH_LOAD_OPTIONS_H
#define TIDEWIRE_BENCH_LOAD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The first three go over the wire to bench/floor (raw_hello.h). */
enum options_scenario {
    SCENARIO_PAIRS,
    SCENARIO_FANIN,
    SCENARIO_FANOUT,
    SCENARIO_IDLE,
    SCENARIO_CONN,
    SCENARIO_PUB,
    SCENARIO_SUB,
    SCENARIO_SHARED,
    SCENARIO_RETAINED,
    SCENARIO_OFFLINE,
    SCENARIO_CONNSTORM,
};

#define OPTIONS_PIDS_MAX 64u
/* Bytes of a pre-shared key. */
#define OPTIONS_PSK_MAX 64u
/* Connections of one run; one costs about 400 bytes here. */
#define OPTIONS_COUNT_MAX 4000000u
/* Threads of all processes; each has a ring with 16 MB of buffers, and a mail ring from every other. */
#define OPTIONS_WORKERS_MAX 256u
/* Bytes of one send; bounds --size times --burst. */
#define OPTIONS_SEGMENT_MAX (UINT64_C(16) << 20)
/* A duration that does not end by itself. */
#define OPTIONS_FOREVER UINT64_MAX

struct options {
    enum options_scenario scenario;
    const char *name;   /* the word on the command line: a scenario or a case of the public suite */
    const char *host;   /* an IPv4 address in numbers, or a name */
    uint32_t address;   /* what it is, in host order */
    const char *json;   /* a file, "-" for standard output, or NULL */
    const char *html;   /* a file, or NULL */
    const char *topic;  /* pub, sub: see name.h */
    const char *client_id;
    const char *user, *password;
    const char *cafile, *cert, *key; /* PEM files */
    const char *psk;         /* hexadecimal digits */
    const char *psk_identity;
    const char *tls_version; /* "1.2", "1.3", or NULL: the best that both know */
    const char *server_name; /* for SNI and for the certificate, where it is not the host; of a host in numbers NULL: no SNI */
    const char *path;        /* of the WebSocket */
    int argc;           /* the command line as it was given */
    char *const *argv;
    int run;            /* a number that tells this run from others on the machine */
    uint64_t port;
    uint64_t version; /* 3, 4 or 5 */
    uint64_t qos;     /* of publishes */
    uint64_t subscribe_qos;
    uint64_t count;
    uint64_t publishers;
    uint64_t groups;   /* shared */
    uint64_t steady;   /* connstorm: pairs with traffic beside it */
    uint64_t messages; /* 0: no end */
    uint64_t first;    /* %i of the first client */
    uint64_t size;     /* payload bytes */
    uint64_t window;   /* deliveries in flight over all publishers */
    uint64_t burst;    /* messages per send */
    uint64_t inflight; /* QoS 1 and 2 handshakes that a publisher may have unfinished; Receive Maximum may say less */
    uint64_t rate;     /* publishes over all publishers in `rate_ns`; 0 is as fast as the window allows */
    uint64_t rate_ns;
    uint64_t interval_ns; /* between two publishes of a publisher: another way to say the rate */
    uint64_t duration_ns;
    uint64_t warmup_ns;
    uint64_t calm_ns;  /* connstorm: measured before the storm */
    uint64_t stall_ns; /* without a delivery for so long, the broker counts as stalled */
    uint64_t connect_rate; /* a second; 0 is as fast as it goes */
    uint64_t connecting;   /* connections being made at once */
    uint64_t keep_alive_s;
    uint64_t session_expiry_s;
    uint64_t source_addresses;
    uint64_t threads; /* of each process */
    uint64_t processes;
    double scale;
    bool clean_start;
    bool keep_sessions; /* subscribers' sessions outlive their connections, until the end of the run */
    bool retain;
    bool storm_yields; /* connstorm: the threads that make it run where nobody else wants the core */
    bool tls, insecure, resume;
    bool websocket;
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

/* Publishes a second over all publishers; 0 without a rate. */
double options_get_rate(const struct options *o);

#endif
