/*
 * failure: what went wrong with connections, gathered so that one line tells a thousand alike.
 *
 * A broker that refuses, stalls, drops or dies is a result, not a crash of the generator: each failing connection is
 * noted once under its kind, with the first one and the time spelled out.
 *
 * Threads  one. Memory  fixed.
 */
#ifndef TIDEWIRE_BENCH_LOAD_FAILURE_H
#define TIDEWIRE_BENCH_LOAD_FAILURE_H

#include <stdint.h>
#include <stdio.h>

enum failure_kind {
    FAILURE_CONNECT,      /* TCP: detail is an errno */
    FAILURE_REFUSED,      /* CONNACK: detail is a reason code */
    FAILURE_SUBSCRIBE,    /* SUBACK: detail is a reason code, or the smaller QoS that was granted */
    FAILURE_NO_ANSWER,    /* no CONNACK or SUBACK in time */
    FAILURE_NOT_BEGUN,    /* given up, because others got no answer or its own former connection did not end */
    FAILURE_CLOSED,       /* the peer ended the connection without a word */
    FAILURE_RESET,        /* recv or send failed: detail is an errno */
    FAILURE_DISCONNECT,   /* DISCONNECT from the broker: detail is a reason code */
    FAILURE_MALFORMED,    /* bytes that are no MQTT: detail is a reason code */
    FAILURE_UNEXPECTED,   /* a packet that nothing asked for: detail is its type */
    FAILURE_ACK_REFUSED,  /* PUBACK or PUBREC with an error: detail is a reason code */
    FAILURE_TLS,          /* the handshake or a record was not accepted by one side: detail is OpenSSL's error */
    FAILURE_CERTIFICATE,  /* of the broker, not trusted: detail is OpenSSL's verification error */
    FAILURE_NOT_RESUMED,  /* a full handshake where --resume wanted none */
    FAILURE_UPGRADE,      /* no WebSocket: detail is the HTTP status */
    FAILURE_FRAME,        /* a WebSocket frame that a server may not send */
    FAILURE_SESSION,      /* a session that should have been there was not */
    FAILURE_STALLED,      /* messages outstanding and nothing delivered for too long */
    FAILURE_UNSENT,       /* at the end the broker had not taken all that was sent */
    FAILURE_KINDS,
};

struct failure_entry {
    uint64_t count;
    uint64_t first_at_ns, last_at_ns; /* since the run began */
    uint32_t first_connection;
    char first_role[32]; /* "publisher 3" */
    int first_detail;
};

struct failure_log {
    uint64_t total;
    struct failure_entry kinds[FAILURE_KINDS];
};

void failure_add(struct failure_log *log, enum failure_kind kind, uint32_t connection, const char *role, int detail, uint64_t at_ns);

/* Adds what another log has. */
void failure_merge(struct failure_log *log, const struct failure_log *from);

/* One line per kind that happened, each starting with `prefix`. */
void failure_print(const struct failure_log *log, FILE *out, const char *prefix);

/* A short identifier for the machine-readable output, e.g. "refused". */
const char *failure_name(enum failure_kind kind);

/* The words for one entry's detail, e.g. "Connection refused"; "" if the kind has none. */
const char *failure_describe_detail(enum failure_kind kind, int detail);

#endif
