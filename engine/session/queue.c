#include "engine/session/queue.h"

#include "engine/shard.h"

void
queue_append(struct shard *shard, struct queue *q, struct delivery *d)
{
    uint32_t cost = message_cost(d->message);
    d->next = NULL;
    d->state = DELIVERY_QUEUED;
    *(q->last ? &q->last->next : &q->first) = d;
    q->last = d;
    q->count++;
    q->qos0_count += d->qos == 0;
    q->bytes += cost;
    stats_add(&shard->stats.queued_messages, 1);
    stats_add(&shard->stats.queued_bytes, cost);
}

struct delivery *
queue_pop(struct shard *shard, struct queue *q)
{
    struct delivery *d = q->first;
    if (d == NULL) {
        return NULL;
    }
    uint32_t cost = message_cost(d->message);
    q->first = d->next;
    if (q->first == NULL) {
        q->last = NULL;
    }
    d->next = NULL;
    q->count--;
    q->qos0_count -= d->qos == 0;
    q->bytes -= cost;
    stats_sub(&shard->stats.queued_messages, 1);
    stats_sub(&shard->stats.queued_bytes, cost);
    return d;
}
