#include "engine/session/inflight.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_IDS_MAX 65535u

static bool
grow(struct budget_account *account, struct inflight *f)
{
    uint32_t count = f->slot_count ? f->slot_count * 2 : 4;
    if (count > PACKET_IDS_MAX) {
        count = PACKET_IDS_MAX;
    }
    struct delivery **slots = realloc(f->slots, count * sizeof *slots);
    if (slots == NULL) {
        return false;
    }
    memset(slots + f->slot_count, 0, (count - f->slot_count) * sizeof *slots);
    budget_charge(account, (count - f->slot_count) * sizeof *slots);
    f->slots = slots;
    f->cursor = (uint16_t)f->slot_count;
    f->slot_count = count;
    return true;
}

static void
append(struct inflight *f, struct delivery *delivery)
{
    delivery->next = NULL;
    delivery->previous = f->last;
    *(f->last ? &f->last->next : &f->first) = delivery;
    f->last = delivery;
}

bool
inflight_add(struct budget_account *account, struct inflight *f, struct delivery *delivery)
{
    if ((f->count + 1u) * 2 > f->slot_count && f->slot_count < PACKET_IDS_MAX && !grow(account, f) && f->count == f->slot_count) {
        return false;
    }
    if (f->count == f->slot_count) {
        return false;
    }
    uint32_t at = f->cursor;
    while (at >= f->slot_count || f->slots[at] != NULL) {
        at = at + 1 >= f->slot_count ? 0 : at + 1;
    }
    f->cursor = (uint16_t)(at + 1 >= f->slot_count ? 0 : at + 1);
    f->slots[at] = delivery;
    f->count++;

    delivery->packet_id = (uint16_t)(at + 1);
    append(f, delivery);
    return true;
}

bool
inflight_restore(struct budget_account *account, struct inflight *f, struct delivery *delivery)
{
    uint16_t packet_id = delivery->packet_id;
    while (packet_id > f->slot_count) {
        if (!grow(account, f)) {
            return false;
        }
    }
    if (packet_id == 0 || f->slots[packet_id - 1] != NULL) {
        return false;
    }
    f->slots[packet_id - 1] = delivery;
    f->count++;
    append(f, delivery);
    return true;
}

struct delivery *
inflight_get(const struct inflight *f, uint16_t packet_id)
{
    return packet_id == 0 || packet_id > f->slot_count ? NULL : f->slots[packet_id - 1];
}

void
inflight_remove(struct inflight *f, struct delivery *delivery)
{
    assert(inflight_get(f, delivery->packet_id) == delivery);

    f->slots[delivery->packet_id - 1] = NULL;
    f->count--;
    if (f->resend == delivery) {
        f->resend = delivery->next;
    }
    *(delivery->previous ? &delivery->previous->next : &f->first) = delivery->next;
    *(delivery->next ? &delivery->next->previous : &f->last) = delivery->previous;
    delivery->next = delivery->previous = NULL;
}

void
inflight_fini(struct budget_account *account, struct inflight *f)
{
    assert(f->count == 0);
    budget_refund(account, f->slot_count * sizeof(struct delivery *));
    free(f->slots);
    *f = (struct inflight){0};
}
