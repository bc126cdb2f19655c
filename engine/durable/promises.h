/*
 * promises: what promise.c, confirm.c and gate.c have in common.
 *
 *   own      [promise] ─► [promise] ─► ...     by position in this shard's journal
 *   across   [promise] ─► [promise] ─► ...     in the order in which they were made: one that waits for a slow shard holds up those behind it, of other connections too
 *   peers    for each other shard: parcels sent and not confirmed, and confirmations owed
 *
 * An acknowledgement enters `own`, or `across` and then `own` if there is something left to wait for. Those of one connection never overtake each other: what would pass
 * one that is in `across` goes there too.
 *
 * Confirmations are awaited by turn: parcels of one turn become visible together at its end, so the acknowledgements that were made in it wait for the same count.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_PROMISES_H
#define TIDEWIRE_ENGINE_DURABLE_PROMISES_H

#include "alloc/slab.h"
#include "engine/durable/promise.h"
#include "engine/durable/recall.h"
#include "engine/shard.h"

#include <assert.h>

enum promise_kind {
    PROMISE_ACKNOWLEDGE,
    PROMISE_PACKET,
    PROMISE_OPEN,
    PROMISE_SUBACK,
    PROMISE_SEND,
    PROMISE_RELEASE,
    PROMISE_SETTLE,
    PROMISE_CONFIRM,
    PROMISE_ANSWER,
};

/* Who is promised something: outlives the connection while promises name it. */
struct promisee {
    struct connection *connection; /* NULL: closed */
    struct session *session;       /* the connection's; to be checked by its identity (session.h S1) */
    uint64_t identity;
    uint32_t pending;              /* promises that name it */
    uint32_t acknowledgements;     /* of these; W1 */
    uint32_t across;               /* of these, in `across` */
    uint64_t packet_bytes;         /* of PROMISE_PACKET */
    bool silent;                   /* its connection has lost its session */
};

#define PROMISE_INSIDE_BYTES 24u

struct promise {
    struct promise *next;
    uint64_t position; /* of this shard's journal: committed up to here */
    uint8_t kind;      /* enum promise_kind */
    uint8_t type, reason;
    bool again;        /* PROMISE_ACKNOWLEDGE in `across`: for a message that came before */
    uint8_t asked_by;  /* PROMISE_ANSWER, in `across` and then in `own`: the shard */
    uint16_t packet_id;
    union {
        struct {
            struct promisee *who;
            uint64_t targets, turn; /* while in `across` */
            struct gate *gate;
            uint64_t received_count; /* to be recorded before it is said; 0: not */
        } acknowledge;
        struct {
            struct promisee *who;
            uint32_t size;
            union {
                uint8_t inside[PROMISE_INSIDE_BYTES];
                uint8_t *heap; /* if larger */
            };
        } packet;
        struct promisee *who; /* PROMISE_OPEN */
        struct {
            struct session *session;
            uint64_t identity;
            uint64_t number; /* of a delivery, or a SUBACK's serial */
            struct promisee *who; /* another connection gets its own */
        } of;
        struct gate_reference gate;
        struct {
            uint64_t count;
            struct gate *gate;
        } confirm;
    };
};
static_assert(sizeof(struct promise) <= 64, "one for each message that is under way");

struct promise_list {
    struct promise *first, **end; /* end: &first when empty */
};

/* Counted parcels that became visible together. */
struct promise_wave {
    uint64_t turn;
    uint64_t sent; /* counted up to its end */
};

/* Another shard. */
struct promise_peer {
    struct promise_wave *waves;    /* a ring of those that are not confirmed */
    uint32_t wave_first, wave_count, wave_room; /* room: a power of two, or 0 */
    uint64_t sent;
    uint64_t seen, promised;       /* of theirs: handled, and covered by a confirmation that is sent or in the list */
    uint64_t position;             /* what those not covered yet wait for */
    struct promise_list confirmations;
};

struct promises {
    struct slab items, promisees, gates;
    struct promise_list own, across;
    uint64_t item_count;
    uint32_t gate_serial;
    struct recall departures;      /* by identity and 0: struct departure (gate.c) */
    uint64_t leaving[2];           /* what began to leave, or to end, since promise_leaving_mark() was last called so many times, modulo two */
    uint8_t leaving_now;           /* which of them counts */
    uint8_t answers_awaited;       /* promise_ask() */
    bool changed;                  /* something was confirmed or settled since promise_keep() */
    uint64_t heard;                /* shards of which parcels were noted in this pass */
    uint64_t confirming;           /* shards with a confirmation in their list */
    struct promise_peer peers[BROKER_SHARDS_MAX];
};

void promises_list_init(struct promise_list *list);
struct promise *promises_make(struct shard *shard, enum promise_kind kind, uint64_t position);
void promises_append(struct promise_list *list, struct promise *promise);
struct promise *promises_take_first(struct promise_list *list);
void promises_give(struct shard *shard, struct promise *promise);
/* Ends the process. */
void promises_out_of_memory(void) __attribute__((noreturn));

/* confirm.c */
void confirm_init(struct promises *promises);
void confirm_fini(struct shard *shard);
/* Whether these shards have confirmed all parcels of this turn and before. */
bool confirm_has_come(const struct promises *promises, uint64_t targets, uint64_t turn);
void confirm_count(struct shard *shard, unsigned from, uint64_t count);
/* Sends the confirmations that are due. */
void confirm_send(struct shard *shard);

/* gate.c */
void gate_init(struct shard *shard);
void gate_fini(struct shard *shard);
/* NULL counts as settled. */
bool gate_is_settled(const struct gate *gate);
/* Nobody waits for it any more. NULL is fine. Nulls the pointer. */
void gate_release(struct shard *shard, struct gate **gate);
/* One piece has arrived, here or (told by a parcel) elsewhere. */
void gate_settle(struct shard *shard, const struct gate_reference *reference);

#endif
