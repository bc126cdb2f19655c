/* Parcels that have to be confirmed: how many went to each shard and came back as confirmed, and how many of theirs we have to confirm. */
#include "engine/durable/promises.h"
#include "engine/journal/journal.h"
#include "engine/route/parcel.h"

#include <stdlib.h>

#define WAVES_MIN 16u

void
confirm_init(struct promises *all)
{
    for (unsigned i = 0; i < BROKER_SHARDS_MAX; i++) {
        promises_list_init(&all->peers[i].confirmations);
    }
}

static void
drop_confirmations(struct shard *shard, struct promise_peer *peer)
{
    while (peer->confirmations.first != NULL) {
        struct promise *p = promises_take_first(&peer->confirmations);
        gate_release(shard, &p->confirm.gate);
        promises_give(shard, p);
    }
}

void
confirm_fini(struct shard *shard)
{
    for (unsigned i = 0; i < BROKER_SHARDS_MAX; i++) {
        struct promise_peer *peer = &shard->promises->peers[i];
        drop_confirmations(shard, peer);
        budget_refund(shard->account, peer->wave_room * sizeof *peer->waves);
        free(peer->waves);
    }
}

/* ---------------------------------------------------------------------------------------------------------- what we wait for */

static struct promise_wave *
wave_at(const struct promise_peer *peer, uint32_t index)
{
    return &peer->waves[(peer->wave_first + index) & (peer->wave_room - 1)];
}

static void
grow_waves(struct shard *shard, struct promise_peer *peer)
{
    uint32_t room = peer->wave_room ? peer->wave_room * 2 : WAVES_MIN;
    struct promise_wave *waves = malloc(room * sizeof *waves);
    if (waves == NULL) {
        promises_out_of_memory();
    }
    for (uint32_t i = 0; i < peer->wave_count; i++) {
        waves[i] = *wave_at(peer, i);
    }
    budget_charge(shard->account, (room - peer->wave_room) * sizeof *waves);
    free(peer->waves);
    peer->waves = waves;
    peer->wave_room = room;
    peer->wave_first = 0;
}

void
promise_count_parcel(struct shard *shard, unsigned target, struct promise_needs *needs)
{
    struct promise_peer *peer = &shard->promises->peers[target];
    needs->targets |= UINT64_C(1) << target;
    peer->sent++;
    if (peer->wave_count == 0 || wave_at(peer, peer->wave_count - 1)->turn != shard->turn) {
        if (peer->wave_count == peer->wave_room) {
            grow_waves(shard, peer);
        }
        peer->wave_count++;
        wave_at(peer, peer->wave_count - 1)->turn = shard->turn;
    }
    wave_at(peer, peer->wave_count - 1)->sent = peer->sent;
}

bool
confirm_has_come(const struct promises *all, uint64_t targets, uint64_t turn)
{
    for (; targets != 0; targets &= targets - 1) {
        const struct promise_peer *peer = &all->peers[__builtin_ctzll(targets)];
        if (peer->wave_count > 0 && wave_at(peer, 0)->turn <= turn) {
            return false;
        }
    }
    return true;
}

void
confirm_count(struct shard *shard, unsigned from, uint64_t count)
{
    struct promise_peer *peer = &shard->promises->peers[from];
    assert(count <= peer->sent);
    while (peer->wave_count > 0 && wave_at(peer, 0)->sent <= count) {
        peer->wave_first = (peer->wave_first + 1) & (peer->wave_room - 1);
        peer->wave_count--;
        shard->promises->changed = true;
    }
}

/* --------------------------------------------------------------------------------------------------------- what others wait for */

static void
owe_confirmation(struct shard *shard, unsigned to, struct gate *gate)
{
    struct promise_peer *peer = &shard->promises->peers[to];
    struct promise *p = promises_make(shard, PROMISE_CONFIRM, peer->position);
    p->confirm.count = peer->seen;
    p->confirm.gate = gate;
    promises_append(&peer->confirmations, p);
    peer->promised = peer->seen;
    peer->position = 0;
    shard->promises->confirming |= UINT64_C(1) << to;
}

void
promise_note_parcel(struct shard *shard, unsigned from, struct promise_needs *needs)
{
    struct promises *all = shard->promises;
    struct promise_peer *peer = &all->peers[from];
    peer->seen++;
    all->heard |= UINT64_C(1) << from;
    if (needs->position != 0) {
        peer->position = journal_end(shard->journal);
    }
    if (!gate_is_settled(needs->gate)) {
        owe_confirmation(shard, from, needs->gate);
    } else {
        gate_release(shard, &needs->gate);
    }
    *needs = (struct promise_needs){0};
}

static void
send_confirmation(struct shard *shard, unsigned to, uint64_t count)
{
    struct parcel_confirm *parcel = parcel_send(shard, to, PARCEL_CONFIRM, sizeof *parcel, 0);
    parcel->count = count;
}

/* The count up to which everything of theirs is durable, as far as it was not told yet; 0: nothing new. Confirmations are cumulative, so one that waits holds up those behind it. */
static uint64_t
take_due(struct shard *shard, struct promise_peer *peer, uint64_t committed)
{
    uint64_t count = 0;
    struct promise *p;
    while ((p = peer->confirmations.first) != NULL && p->position <= committed && gate_is_settled(p->confirm.gate)) {
        promises_take_first(&peer->confirmations);
        count = p->confirm.count;
        gate_release(shard, &p->confirm.gate);
        promises_give(shard, p);
    }
    return count;
}

void
confirm_send(struct shard *shard)
{
    struct promises *all = shard->promises;
    uint64_t committed = journal_committed(shard->journal);
    for (uint64_t owed = all->confirming; owed != 0; owed &= owed - 1) {
        unsigned to = (unsigned)__builtin_ctzll(owed);
        uint64_t count = take_due(shard, &all->peers[to], committed);
        if (count > 0) {
            send_confirmation(shard, to, count);
        }
        if (all->peers[to].confirmations.first == NULL) {
            all->confirming &= ~(UINT64_C(1) << to);
        }
    }
}

void
promise_confirm(struct shard *shard)
{
    struct promises *all = shard->promises;
    if (all == NULL) {
        return;
    }
    for (; all->heard != 0; all->heard &= all->heard - 1) {
        unsigned from = (unsigned)__builtin_ctzll(all->heard);
        struct promise_peer *peer = &all->peers[from];
        if (peer->seen == peer->promised) {
            continue;
        }
        if (peer->confirmations.first == NULL && peer->position <= journal_committed(shard->journal)) {
            peer->promised = peer->seen;
            peer->position = 0;
            send_confirmation(shard, from, peer->seen);
        } else {
            owe_confirmation(shard, from, NULL);
        }
    }
    if (all->changed) {
        promise_keep(shard);
    }
}
