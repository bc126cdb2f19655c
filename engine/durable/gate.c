/*
 * Gates: one for each publication that is under way through shared subscriptions, and one for each message that leaves a session for another member of its group. It is at the
 * shard that waits; pieces carry a reference, and come home as SETTLED once each.
 */
#include "engine/durable/keep.h"
#include "engine/durable/promises.h"
#include "engine/route/parcel.h"

#include <stddef.h>

struct gate {
    void *link;            /* the slab's, while it is free */
    uint32_t serial;       /* 0: free; a piece that comes home late finds another */
    uint32_t outstanding;  /* pieces */
    uint64_t identity;     /* a leaving delivery's session and number; 0: somebody waits, and releases it */
    uint64_t number;
};

void
gate_init(struct shard *shard)
{
    struct slab *gates = &shard->promises->gates;
    slab_init(gates, sizeof(struct gate), 0, shard->account);
    slab_keep_readable(gates, offsetof(struct gate, serial) + sizeof(uint32_t));
}

void
gate_fini(struct shard *shard)
{
    struct slab *gates = &shard->promises->gates;
    struct slab_walk walk = {0};
    for (struct gate *gate; (gate = slab_walk(gates, &walk)) != NULL;) {
        if (gate->serial != 0) {
            gate_release(shard, &gate); /* of a message that has left, and whose arrival nobody told any more */
        }
    }
    slab_fini(gates);
}

static struct gate *
make_gate(struct shard *shard)
{
    struct promises *all = shard->promises;
    struct gate *gate = slab_take(&all->gates);
    if (gate == NULL) {
        promises_out_of_memory();
    }
    all->gate_serial += all->gate_serial == UINT32_MAX ? 2 : 1; /* never 0 */
    gate->serial = all->gate_serial;
    return gate;
}

static struct gate_reference
add_piece(const struct shard *shard, struct gate *gate)
{
    gate->outstanding++;
    return (struct gate_reference){.gate = gate, .serial = gate->serial, .shard = (uint8_t)shard->number};
}

struct gate_reference
promise_gate(struct shard *shard, struct promise_needs *needs)
{
    if (shard->promises == NULL) {
        return (struct gate_reference){0};
    }
    if (needs->gate == NULL) {
        needs->gate = make_gate(shard);
    }
    return add_piece(shard, needs->gate);
}

struct gate_reference
promise_gate_leaving(struct shard *shard, const struct session *session, const struct delivery *delivery)
{
    if (shard->promises == NULL) {
        return (struct gate_reference){0};
    }
    struct gate *gate = make_gate(shard);
    gate->identity = session->identity;
    gate->number = delivery->number;
    return add_piece(shard, gate);
}

bool
gate_is_settled(const struct gate *gate)
{
    return gate == NULL || gate->outstanding == 0;
}

void
gate_release(struct shard *shard, struct gate **gp)
{
    struct gate *gate = *gp;
    *gp = NULL;
    if (gate != NULL) {
        gate->serial = 0;
        slab_give(&shard->promises->gates, gate);
    }
}

static void
settle_here(struct shard *shard, struct gate *gate, uint32_t serial)
{
    if (gate->serial != serial) {
        return; /* who waited for it is gone */
    }
    if (--gate->outstanding > 0) {
        return;
    }
    if (gate->identity == 0) {
        shard->promises->changed = true;
        return;
    }
    keep_done_number(shard, gate->identity, gate->number);
    gate_release(shard, &gate);
}

void
gate_settle(struct shard *shard, const struct gate_reference *reference)
{
    if (reference->shard == shard->number) {
        settle_here(shard, reference->gate, reference->serial);
        return;
    }
    struct parcel_settled *parcel = parcel_send(shard, reference->shard, PARCEL_SETTLED, sizeof *parcel, 0);
    parcel->gate = *reference;
}
