#include "bench/millions/point.h"

#include "bench/millions/heap.h"

#include <stdlib.h>
#include <time.h>

/* Home shards are picked by hash: some get more than their part. */
#define SOCKETS_SLACK(part) ((part) + (part) / 8 + 1000)

static uint64_t
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void
publish(struct host *host, struct fleet *fleet, uint64_t messages, struct point_answer *answer)
{
    for (unsigned part = 0; part < POINT_PARTS; part++) {
        uint64_t count = messages / POINT_PARTS + (part < messages % POINT_PARTS);
        uint64_t before_ns = host_cpu_ns(host);
        fleet_publish(fleet, count);
        answer->message_cpu_ns[part] = count > 0 ? (host_cpu_ns(host) - before_ns) / count : 0;
    }
    qsort(answer->message_cpu_ns, POINT_PARTS, sizeof answer->message_cpu_ns[0], compare);
}

struct point_answer
point_measure(const struct point_question *q)
{
    struct point_answer answer = {0};
    uint64_t start_ns = now_ns();
    struct host *host = host_open(q->shards, SOCKETS_SLACK(q->sessions / q->shards));
    struct fleet *fleet = fleet_open(host, q->sessions, q->window, q->qos);
    host_settle(host);
    struct heap_weight empty = heap_weigh();
    uint64_t accounted = host_accounted_bytes(host), cpu_ns = host_cpu_ns(host);

    fleet_connect(fleet);
    answer.connect_cpu_ns = (host_cpu_ns(host) - cpu_ns) / q->sessions;
    struct heap_weight full = heap_weigh();
    answer.broker_bytes = (int64_t)(full.broker_bytes - empty.broker_bytes);
    answer.region_bytes = (int64_t)(full.region_bytes - empty.region_bytes);
    answer.accounted_bytes = host_accounted_bytes(host) - accounted;

    publish(host, fleet, q->messages > q->sessions ? q->messages : q->sessions, &answer);
    answer.broker_used_bytes = (int64_t)(heap_weigh().broker_bytes - empty.broker_bytes);
    fleet_search(fleet);
    answer.tally = *fleet_tally(fleet);

    host_close(&host);
    fleet_close(&fleet);
    answer.wall_ns = now_ns() - start_ns;
    answer.completed = true;
    return answer;
}
