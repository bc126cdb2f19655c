/*
 * queue: messages that wait for one session, in order.
 *
 * Invariants
 *   Q1  count, qos0_count and bytes equal what is in it, and the shard's statistics the sum over its queues.
 *
 * Memory   deliveries in it are the queue's; each has a message.
 */
#ifndef TIDEWIRE_ENGINE_SESSION_QUEUE_H
#define TIDEWIRE_ENGINE_SESSION_QUEUE_H

#include "engine/session/inflight.h"

struct shard;

struct queue {
    struct delivery *first, *last;
    uint64_t bytes;             /* as messages count in limits */
    uint32_t count;
    uint32_t qos0_count;        /* of these; newer QoS 0 messages go behind them (MQTT5 [MQTT-4.6.0-6]) */
};

static inline bool
queue_is_empty(const struct queue *queue)
{
    return queue->count == 0;
}

/* Takes the delivery over, and marks it as queued. */
void queue_append(struct shard *shard, struct queue *queue, struct delivery *delivery);
/* The oldest, now the caller's; NULL: it is empty. */
struct delivery *queue_pop(struct shard *shard, struct queue *queue);

#endif
