/*
 * inflight: messages with QoS 1 or 2 that were sent to one client and are not yet acknowledged, by packet identifier and in order.
 *
 *   slots[packet identifier - 1] ──► delivery        first ◄──► ... ◄──► last: the order in which they were first sent
 *
 * Invariants
 *   V1  a delivery's packet_id is its slot + 1; the list holds exactly the deliveries in the slots.
 *   V2  the slots are at least twice as many as the deliveries (up to 65 535), so a free one is found in a few steps.
 *
 * Memory   the slots are charged to the account.
 */
#ifndef TIDEWIRE_ENGINE_SESSION_INFLIGHT_H
#define TIDEWIRE_ENGINE_SESSION_INFLIGHT_H

#include "alloc/budget.h"

#include <stdbool.h>
#include <stdint.h>

struct message;
struct page;

enum delivery_state {
    DELIVERY_QUEUED,
    DELIVERY_PUBLISHED, /* QoS 1: waits for PUBACK; QoS 2: for PUBREC */
    DELIVERY_RELEASED,  /* QoS 2: PUBREL sent, waits for PUBCOMP; the message is given up */
};

/* One message owed to one session. */
struct delivery {
    struct delivery *next, *previous;
    union {
        struct message *message;
        struct page *page;      /* `paged`: no delivery at all, but what stands for some that are on disk (engine/session/page.h) */
    };
    union {
        uint32_t one;           /* if identifier_count == 1 */
        uint32_t *many;         /* heap */
    } identifiers;              /* Subscription Identifiers */
    uint64_t number;            /* in a kept session: engine/durable/keep.h K2; else 0 */
    uint64_t kept_at;           /* the oldest record in the journal that it needs */
    uint32_t share_serial;      /* of a shared subscription's group; 0: none */
    uint32_t share_filter;
    uint32_t share_hash;        /* text_hash of its subscription */
    uint16_t identifier_count;
    uint16_t packet_id;         /* 0 while queued */
    uint8_t share_home;
    uint8_t qos : 2;
    uint8_t retain : 1;
    uint8_t sent_before : 1;    /* on an earlier connection: DUP */
    uint8_t counted : 1;        /* in the session's `unacknowledged` */
    uint8_t replayed : 1;       /* a retained message for a new subscription: room was made for it (engine/route/replay.h) */
    uint8_t state : 2;          /* enum delivery_state */
    uint8_t copied : 1;         /* its record has an older one before it (engine/durable/compact.h) */
    uint8_t promised : 1;       /* in flight, and to be sent once it is durable */
    uint8_t paged : 1;          /* only in queues */
    uint8_t releasing : 1;      /* its PUBREL is promised to this connection: once is enough, however often PUBREC comes */
};

struct inflight {
    struct delivery **slots;
    struct delivery *first, *last;
    struct delivery *resend;    /* the next one to send again; NULL: none */
    uint32_t slot_count;
    uint16_t count;
    uint16_t cursor;            /* where to look for a free slot */
};

/* Gives the delivery an identifier and the last place. False when out of memory or all 65 535 identifiers are in use. */
bool inflight_add(struct budget_account *account, struct inflight *f, struct delivery *delivery);
/* Gives it the last place under the identifier that it has. False when out of memory, or if another has that. */
bool inflight_restore(struct budget_account *account, struct inflight *f, struct delivery *delivery);
/* The delivery of an identifier, or NULL; borrowed. */
struct delivery *inflight_get(const struct inflight *f, uint16_t packet_id);
/* Takes it out; the caller owns it now. */
void inflight_remove(struct inflight *f, struct delivery *delivery);
/* Frees the slots; must be empty. */
void inflight_fini(struct budget_account *account, struct inflight *f);

#endif
