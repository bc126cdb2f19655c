#include "engine/durable/revive.h"

#include <stdlib.h>

uint64_t
revive_time(uint64_t now_ms, uint64_t wall_now_ms, uint64_t wall_ms)
{
    if (wall_ms == 0) {
        return 0;
    }
    if (wall_ms >= wall_now_ms) {
        return now_ms + (wall_ms - wall_now_ms);
    }
    uint64_t ago_ms = wall_now_ms - wall_ms;
    return ago_ms < now_ms ? now_ms - ago_ms : 1;
}

struct message *
revive_message(struct shard *shard, const struct entry_body *body, uint64_t wall_now_ms)
{
    struct message *m = message_make(shard->account, body->topic, body->properties, body->payload);
    if (m != NULL) {
        m->publisher = body->publisher;
        m->stamp = body->stamp;
        m->expiry_ms = revive_time(shard->now_ms, wall_now_ms, body->expiry_ms);
        m->qos = body->qos;
        m->retain = body->retain;
    }
    return m;
}

static bool
take_identifiers(struct shard *shard, struct delivery *d, const struct entry_delivery *e)
{
    struct reader in = reader_of(e->identifiers);
    uint32_t *to = &d->identifiers.one;
    if (e->identifier_count > 1) {
        to = d->identifiers.many = malloc(e->identifier_count * sizeof *to);
        if (to == NULL) {
            return false;
        }
        budget_charge(shard->account, e->identifier_count * sizeof *to);
    }
    for (uint32_t i = 0; i < e->identifier_count; i++) {
        to[i] = reader_u32(&in);
    }
    d->identifier_count = (uint16_t)e->identifier_count;
    return true;
}

struct delivery *
revive_delivery(struct shard *shard, const struct entry_delivery *e)
{
    struct delivery *d = e->identifier_count <= UINT16_MAX ? slab_take(&shard->deliveries) : NULL;
    if (d == NULL) {
        return NULL;
    }
    if (!take_identifiers(shard, d, e)) {
        slab_give(&shard->deliveries, d);
        return NULL;
    }
    d->number = e->number;
    d->share_hash = e->share_hash;
    d->packet_id = e->packet_id;
    d->qos = e->qos & 3;
    d->state = e->state & 3;
    d->retain = e->retain;
    return d;
}
