/*
 * mail: what one worker tells another about the other's publishers: deliveries and arrivals, 16 bytes each.
 *
 *        subscriber's worker                             publisher's worker
 *   credits by publisher ──┐
 *   receipts ──────────────┴─► waiting ──► ring ──► mail_take() ──► traffic
 *
 * A credit says 'so many deliveries of this publisher are done' and is summed up over a turn; a receipt names one message, where only the
 * publisher's worker can judge it (shared subscriptions). What does not fit into the ring waits on the sender's side.
 *
 * Invariants
 *   M1  0 <= tail - head <= MAIL_RING_SLOTS (unsigned, wraparound intended).
 *   M2  letters of one sender to one receiver arrive in their order, and none is lost.
 *
 * Threads  each ring has one sender and one receiver. Memory  rings lie on the board; what waits is the sender's.
 * Full     is an answer: the letter stays with the sender until mail_send() is called again.
 */
#ifndef TIDEWIRE_BENCH_LOAD_MAIL_H
#define TIDEWIRE_BENCH_LOAD_MAIL_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define MAIL_RING_SLOTS 1024u

struct board;

struct letter {
    uint64_t sequence; /* of a receipt */
    uint32_t publisher;
    uint16_t count;    /* of a credit; 0 in a receipt */
    uint16_t group;    /* of a receipt */
};

struct mail_ring {
    alignas(64) _Atomic uint32_t head; /* the receiver's */
    alignas(64) _Atomic uint32_t tail; /* the sender's */
    alignas(64) struct letter slots[MAIL_RING_SLOTS];
};

/* Letters that wait for room in one ring. */
struct mail_queue {
    struct letter *letters;
    uint32_t first, end, room;
};

/* One worker's side. */
struct mail {
    struct board *board;
    uint32_t worker;
    struct mail_queue *queues; /* by receiver */
    uint32_t *credits;         /* by publisher, not yet in a queue */
    uint32_t *credited;        /* publishers with credits */
    uint32_t credited_count;
    uint64_t waiting; /* letters in all queues */
};

/* False without memory. */
bool mail_init(struct mail *m, struct board *b, uint32_t worker) __attribute__((warn_unused_result));
void mail_fini(struct mail *m);

void mail_credit(struct mail *m, uint32_t publisher, uint64_t count);
void mail_receipt(struct mail *m, uint32_t publisher, uint64_t sequence, uint16_t group);

/* Sends what fits and wakes who gets something. True if nothing waits any more. */
bool mail_send(struct mail *m);

/* Takes one letter, false if there is none. `*from` remembers where to look next: start with 0, go on until false. */
bool mail_take(struct mail *m, uint32_t *from, struct letter *out);
bool mail_is_empty(const struct mail *m);

#endif
