/*
 * queue: messages that wait for one session, in order. Some may be on disk: a page stands for a run of them (engine/session/page.h).
 *
 *   first ◄─► message ◄─► message ◄─► PAGE ◄─► PAGE ◄─► message ◄─► last
 *
 * Invariants
 *   Q1  count and bytes are those of all messages in it, on disk or not; qos0_count those with QoS 0, which are never on disk; paged_bytes those that are.
 *   Q2  the shard's `queue_memory` is what all its queues hold in memory: each delivery, and each message once, however many queues it waits in.
 *   Q3  the shard's statistics are the sums over its queues.
 *
 * Memory   what is in it is the queue's; a delivery has a message, a page has its page.
 */
#ifndef TIDEWIRE_ENGINE_SESSION_QUEUE_H
#define TIDEWIRE_ENGINE_SESSION_QUEUE_H

#include "engine/session/inflight.h"

#include <stddef.h>

struct shard;

struct queue {
    struct delivery *first, *last;
    uint64_t bytes;             /* as messages count in limits */
    uint64_t paged_bytes;
    uint32_t count;
    uint32_t qos0_count;        /* newer QoS 0 messages go behind them (MQTT5 [MQTT-4.6.0-6]) */
};

static inline bool
queue_is_empty(const struct queue *queue)
{
    return queue->count == 0;
}

/* Whether queue_pop() would find something. */
static inline bool
queue_is_ready(const struct queue *queue)
{
    return queue->first != NULL && !queue->first->paged;
}

/* Takes the delivery over, and marks it as queued. */
void queue_append(struct shard *shard, struct queue *queue, struct delivery *delivery);
/* The oldest, now the caller's; NULL: the queue is empty, or begins with a page. */
struct delivery *queue_pop(struct shard *shard, struct queue *queue);

/* Takes over a delivery or a page, and puts it before `next`, or at the end if that is NULL. */
void queue_insert(struct shard *shard, struct queue *queue, struct delivery *next, struct delivery *item);
/* Takes a delivery or a page out, wherever it stands; the caller's now. */
void queue_take(struct shard *shard, struct queue *queue, struct delivery *item);

#endif
