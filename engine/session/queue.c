#include "engine/session/queue.h"

#include "engine/session/page.h"
#include "engine/shard.h"

#include <assert.h>

static void
count_message(struct shard *shard, struct queue *q, const struct delivery *d)
{
    struct message *m = d->message;
    uint32_t cost = message_cost(m);
    q->count++;
    q->qos0_count += d->qos == 0;
    q->bytes += cost;
    shard->queue_memory += sizeof *d + (m->queued++ == 0 ? cost : 0);
    stats_add(&shard->stats.queued_messages, 1);
    stats_add(&shard->stats.queued_bytes, cost);
}

static void
discount_message(struct shard *shard, struct queue *q, const struct delivery *d)
{
    struct message *m = d->message;
    uint32_t cost = message_cost(m);
    q->count--;
    q->qos0_count -= d->qos == 0;
    q->bytes -= cost;
    shard->queue_memory -= sizeof *d + (--m->queued == 0 ? cost : 0);
    stats_sub(&shard->stats.queued_messages, 1);
    stats_sub(&shard->stats.queued_bytes, cost);
}

static void
count_page(struct shard *shard, struct queue *q, const struct page *page)
{
    q->count += page->count;
    q->bytes += page->bytes;
    q->paged_bytes += page->bytes;
    stats_add(&shard->stats.queued_messages, page->count);
    stats_add(&shard->stats.queued_bytes, page->bytes);
    stats_add(&shard->stats.paged_messages, page->count);
    stats_add(&shard->stats.paged_bytes, page->bytes);
}

static void
discount_page(struct shard *shard, struct queue *q, const struct page *page)
{
    q->count -= page->count;
    q->bytes -= page->bytes;
    q->paged_bytes -= page->bytes;
    stats_sub(&shard->stats.queued_messages, page->count);
    stats_sub(&shard->stats.queued_bytes, page->bytes);
    stats_sub(&shard->stats.paged_messages, page->count);
    stats_sub(&shard->stats.paged_bytes, page->bytes);
}

void
queue_insert(struct shard *shard, struct queue *q, struct delivery *next, struct delivery *item)
{
    struct delivery *previous = next != NULL ? next->previous : q->last;
    if (next != NULL) {
        compact_inserted(shard, q);
    }
    item->previous = previous;
    item->next = next;
    *(previous != NULL ? &previous->next : &q->first) = item;
    *(next != NULL ? &next->previous : &q->last) = item;
    if (item->paged) {
        count_page(shard, q, item->page);
        return;
    }
    item->state = DELIVERY_QUEUED;
    count_message(shard, q, item);
}

void
queue_take(struct shard *shard, struct queue *q, struct delivery *item)
{
    compact_leaves(shard, item);
    *(item->previous != NULL ? &item->previous->next : &q->first) = item->next;
    *(item->next != NULL ? &item->next->previous : &q->last) = item->previous;
    item->next = item->previous = NULL;
    if (item->paged) {
        discount_page(shard, q, item->page);
    } else {
        discount_message(shard, q, item);
    }
}

void
queue_append(struct shard *shard, struct queue *q, struct delivery *d)
{
    queue_insert(shard, q, NULL, d);
}

struct delivery *
queue_pop(struct shard *shard, struct queue *q)
{
    struct delivery *d = q->first;
    if (d == NULL || d->paged) {
        return NULL;
    }
    queue_take(shard, q, d);
    return d;
}
