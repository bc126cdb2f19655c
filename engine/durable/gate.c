/*
 * Gates: one for each publication that is under way through shared subscriptions, and one for each message that leaves a session for another member of its group. It is at the
 * shard that waits; pieces carry a reference, and come home as SETTLED once each.
 *
 * A session that ends is in the journal until all that leaves it has found others: else a crash would take that along.
 */
#include "engine/durable/keep.h"
#include "engine/durable/promises.h"
#include "engine/route/parcel.h"

#include <stddef.h>
#include <stdlib.h>

struct gate {
    void *link;            /* the slab's, while it is free */
    uint32_t serial;       /* 0: free; a piece that comes home late finds another */
    uint32_t outstanding;  /* pieces */
    uint64_t identity;     /* a leaving delivery's session and number; 0: somebody waits, and releases it */
    uint64_t number;
    uint8_t mark;          /* where it counts in `leaving` */
};

/* A session of which something leaves. */
struct departure {
    uint64_t identity;
    uint32_t outstanding;
    bool ended;            /* and its end is to be recorded */
    uint8_t mark;          /* if so: where it counts in `leaving` */
};

void
gate_init(struct shard *shard)
{
    struct slab *gates = &shard->promises->gates;
    slab_init(gates, sizeof(struct gate), 0, shard->account);
    slab_keep_readable(gates, offsetof(struct gate, serial) + sizeof(uint32_t));
    recall_init(&shard->promises->departures, shard->account);
}

static void
free_departure(struct shard *shard, struct departure *departure)
{
    budget_refund(shard->account, sizeof *departure);
    free(departure);
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
    uint64_t at = 0;
    for (struct departure *gone; (gone = recall_next(&shard->promises->departures, &at)) != NULL;) {
        free_departure(shard, gone);
    }
    recall_fini(&shard->promises->departures);
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

static struct departure *
make_departure(struct shard *shard, uint64_t identity)
{
    struct departure *departure = calloc(1, sizeof *departure);
    if (departure == NULL || !recall_add(&shard->promises->departures, identity, 0, departure)) {
        promises_out_of_memory();
    }
    budget_charge(shard->account, sizeof *departure);
    departure->identity = identity;
    return departure;
}

void
promise_leaving_begin(struct shard *shard, uint64_t identity)
{
    struct departure *departure = recall_get(&shard->promises->departures, identity, 0);
    departure = departure != NULL ? departure : make_departure(shard, identity);
    departure->outstanding++;
}

void
promise_leaving_end(struct shard *shard, uint64_t identity)
{
    struct promises *all = shard->promises;
    struct departure *departure = recall_get(&all->departures, identity, 0);
    if (--departure->outstanding > 0) {
        return;
    }
    if (departure->ended) {
        keep_end_number(shard, identity);
        all->leaving[departure->mark]--;
    }
    recall_remove(&all->departures, identity, 0);
    free_departure(shard, departure);
}

bool
promise_leaving_ends(struct shard *shard, uint64_t identity)
{
    struct promises *all = shard->promises;
    struct departure *departure = all != NULL ? recall_get(&all->departures, identity, 0) : NULL;
    if (departure == NULL) {
        return false;
    }
    departure->ended = true;
    departure->mark = all->leaving_now;
    all->leaving[departure->mark]++;
    return true;
}

void
promise_leaving_mark(struct shard *shard)
{
    assert(promise_have_left(shard));
    shard->promises->leaving_now ^= 1;
}

bool
promise_have_left(const struct shard *shard)
{
    return shard->promises->leaving[shard->promises->leaving_now ^ 1] == 0;
}

struct gate_reference
promise_gate_leaving(struct shard *shard, uint64_t identity, uint64_t number)
{
    struct promises *all = shard->promises;
    if (all == NULL) {
        return (struct gate_reference){0};
    }
    struct gate *gate = make_gate(shard);
    gate->identity = identity;
    gate->number = number;
    gate->mark = all->leaving_now;
    all->leaving[gate->mark]++;
    promise_leaving_begin(shard, identity);
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
    shard->promises->leaving[gate->mark]--;
    promise_leaving_end(shard, gate->identity);
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
