/*
 * point: one point of a curve: a broker with so many shards and sessions is made, filled, weighed, used, weighed again, and ended.
 */
#ifndef TIDEWIRE_BENCH_MILLIONS_POINT_H
#define TIDEWIRE_BENCH_MILLIONS_POINT_H

#include "bench/millions/fleet.h"

/* Parts that the messages of a point are published in; each gives one figure. */
#define POINT_PARTS 5

struct point_question {
    uint64_t messages; /* at least; each session publishes once in any case */
    uint32_t sessions;
    uint32_t window;
    unsigned shards;
    uint8_t qos;
};

struct point_answer {
    struct fleet_tally tally;
    /* Bytes more than the same broker without sessions has; resident. */
    int64_t broker_bytes;      /* all connected and subscribed */
    int64_t broker_used_bytes; /* after the traffic */
    int64_t region_bytes;      /* the simulated network and the driver, when all are connected */
    uint64_t accounted_bytes;  /* of broker_bytes, what the memory accounts of the shards know of */
    uint64_t connect_cpu_ns;   /* the broker's, per session: accept, CONNECT, SUBSCRIBE */
    uint64_t message_cpu_ns[POINT_PARTS]; /* the broker's, per message, ascending */
    uint64_t wall_ns;
    bool completed;
};

struct point_answer point_measure(const struct point_question *question);

static inline bool
point_is_clean(const struct point_question *q, const struct point_answer *a)
{
    const struct fleet_tally *t = &a->tally;
    return a->completed && t->delivered == t->sent && t->missing + t->repeated + t->strange + t->refused == 0 &&
           (q->qos == 0 || t->acknowledged == t->sent);
}

#endif
