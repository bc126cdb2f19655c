/*
 * recall: what a recovery has met so far, by the two numbers that name it: a table of borrowed pointers, for as long as the recovery takes.
 *
 * Open addressing with linear probing, at most three quarters full; removing moves what follows back, so that it never wears out. The numbers are our own: nobody can aim at a place.
 *
 * Memory   the slots are charged to the account.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_RECALL_H
#define TIDEWIRE_ENGINE_DURABLE_RECALL_H

#include "alloc/budget.h"

#include <stdbool.h>
#include <stdint.h>

struct recall_slot {
    uint64_t first, second;
    void *thing; /* NULL: free */
};

struct recall {
    struct recall_slot *slots;
    uint64_t room; /* a power of two, or 0 */
    uint64_t count;
    struct budget_account *account;
};

void recall_init(struct recall *recall, struct budget_account *account);
void recall_fini(struct recall *recall);

/* NULL: not there. */
void *recall_get(const struct recall *recall, uint64_t first, uint64_t second);
/* Not there yet; `thing` is not NULL. False when out of memory. */
bool recall_add(struct recall *recall, uint64_t first, uint64_t second, void *thing);
/* Harmless if it is not there. */
void recall_remove(struct recall *recall, uint64_t first, uint64_t second);
/* All of them, in no order, while none comes or goes; `*at` is 0 at first. NULL after the last. */
void *recall_next(const struct recall *recall, uint64_t *at);

#endif
