/*
 * traffic: which messages may go out now, and what has become of those that did.
 *
 * A publisher may have `share` messages outstanding; a message is outstanding until every subscriber that should hear it has
 * it (or has something later from the same publisher: then it is lost or late, and waiting for it would only hide that). With a
 * rate, messages fall due at fixed times whatever the broker does, and latency counts from the due time: a broker
 * that makes the generator wait is charged for all who waited (no coordinated omission).
 *
 * Invariants
 *   T1  publisher.outstanding == sum over its streams of (publisher.sequence - stream.next); `outstanding` is their sum.
 *   T2  publisher.outstanding <= share * fan.
 *
 * Threads  one. Memory  owns publishers and streams.
 */
#ifndef TIDEWIRE_BENCH_LOAD_TRAFFIC_H
#define TIDEWIRE_BENCH_LOAD_TRAFFIC_H

#include "bench/load/client.h"
#include "bench/load/histogram.h"
#include "bench/load/stencil.h"
#include "bench/load/stream.h"

struct publisher {
    struct client *client;
    struct stencil stencil;
    uint64_t sequence;    /* of the next message */
    uint64_t outstanding; /* deliveries */
    uint64_t due;         /* messages whose time has come (with a rate) */
};

struct traffic_counts {
    uint64_t sent;       /* publishes */
    uint64_t delivered;  /* distinct messages that arrived at a subscriber, summed over subscribers */
    uint64_t duplicated;
    uint64_t reordered;
    uint64_t foreign;    /* arrived, but none of ours or not for this subscriber */
    uint64_t acked;      /* QoS 1 and 2 handshakes completed */
};

struct traffic {
    const struct options *options;
    const struct scenario *scenario;
    struct publisher *publishers;
    uint32_t publisher_count;
    uint32_t fan;
    struct stream *streams;
    uint32_t stream_count;
    uint64_t outstanding_max; /* per publisher, deliveries */
    uint64_t outstanding;     /* of all */
    uint64_t unacked;         /* QoS 1 and 2 messages of all whose handshake is not finished */
    bool open;                /* publishers may send */
    uint64_t rate_start_ns;
    uint64_t tick;            /* messages that have fallen due so far, of all publishers */
    uint64_t latency_from_ns, latency_until_ns; /* due times that count */
    struct histogram *latency;  /* from due to received */
    struct histogram *lateness; /* from due to sent: what of the latency is the generator's own doing, or its window's */
    struct traffic_counts counts;
};

/* False without memory. */
bool traffic_init(struct traffic *t, const struct options *o, const struct scenario *s) __attribute__((warn_unused_result));
void traffic_fini(struct traffic *t);

/* Lets publishers send, from now on and at the rate. Touches their clients. */
void traffic_open(struct traffic *t, uint64_t now_ns);
void traffic_close(struct traffic *t);

/* Marks what has fallen due; returns when the next message does, or UINT64_MAX without a rate. */
uint64_t traffic_tick(struct traffic *t, uint64_t now_ns);

/* Sends as many segments of one publisher as its part of the window and its socket take. */
void traffic_publish(struct traffic *t, struct publisher *p);

/* A message has arrived at a subscriber. */
void traffic_receive(struct traffic *t, struct client *subscriber, struct bytes payload);
void traffic_acked(struct traffic *t, struct client *publisher);

/* Messages sent that some subscriber never got. */
uint64_t traffic_count_lost(const struct traffic *t);

/* Asserts T1 and T2; linear in streams. */
void traffic_check(const struct traffic *t);

#endif
