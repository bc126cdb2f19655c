/*
 * received: packet identifiers of QoS 2 messages that a client has sent and not yet released. A sorted array: exact, small, at most 65 535 entries. Charged to the account.
 */
#ifndef TIDEWIRE_ENGINE_SESSION_RECEIVED_H
#define TIDEWIRE_ENGINE_SESSION_RECEIVED_H

#include "alloc/budget.h"

#include <stdbool.h>
#include <stdint.h>

struct received {
    uint16_t *ids;
    uint32_t count;
    uint32_t room;
};

bool received_has(const struct received *r, uint16_t packet_id);
/* Not there yet. False when out of memory. */
bool received_add(struct budget_account *account, struct received *r, uint16_t packet_id);
/* False if it was not there. */
bool received_remove(struct received *r, uint16_t packet_id);
void received_fini(struct budget_account *account, struct received *r);

#endif
