/*
 * compact: copies what still counts forward to the journal's end, so that the segments before can be used again: a rolling copy in small steps.
 *
 *   journal:   | segments before the cut ............ | cut ............ copies, among what else is appended ........ |
 *              └─ everything in them that counts is copied; then journal_cut() ─┘
 *
 * A walk over all retained messages, then over all sessions, appends what lies before the cut as if it had just happened. So no record of an end is ever copied, and nobody has to
 * know where which record lies.
 *
 * What is on its way is in no list that is walked over, so the end of a walk waits for it:
 *   messages that leave a session for others of its group     until they have arrived, and that is recorded (engine/durable/gate.c)
 *   messages with QoS 2 that publishers may send again        until all shards have recorded what is received of what came before they were asked: each says so when its
 *                                                             acknowledgements of then are durable. Tokens of before a crash that nobody has asked for since are copied first
 *
 * When and how fast, with live = bytes of what counts, S = bytes of a segment:
 *   a walk begins when the journal uses 2 live + 4 S; in its course it copies live, and at least two bytes for each that others append: live / 2.
 *   So the journal uses at most 3.5 live + 4 S, and what is appended while it waits at its end; 4 live + 8 S with what is in reserve.
 * Live is taken to be what the last walk copied, or what the shard has in memory and in pages, whichever is less: so disk space comes back, too, when much has been drained.
 * When the disk is full a walk begins as soon as it can gain anything.
 *
 * Invariants
 *   C1  at the end of a walk nothing that counts needs a record before the cut: retained messages, sessions with all they have, each delivery with its body, what is leaving, tokens
 *       of messages that are not recorded as received.
 *   C2  `at` is in the queue of `session`, or NULL: who takes a delivery out of a queue says so (compact_leaves), and who puts one in elsewhere than at the end, too (compact_inserted).
 *
 * Threads  the shard's own, at the end of a turn, when no publication is being recorded.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_COMPACT_H
#define TIDEWIRE_ENGINE_DURABLE_COMPACT_H

#include "alloc/slab.h"

#include <stdint.h>

struct delivery;
struct queue;
struct retained_walk;
struct session;
struct shard;

enum compact_state {
    COMPACT_IDLE,
    COMPACT_TOKENS,
    COMPACT_RETAINED,
    COMPACT_SESSIONS,
    COMPACT_PAGES,   /* some are still being copied */
    COMPACT_WAITING, /* for what is on its way */
};

struct compact {
    uint8_t state;
    bool again;                    /* the queue was changed elsewhere than at its ends: once more from its start */
    uint64_t cut;
    uint64_t live;                 /* as of the last walk */
    uint64_t most;                 /* memory that was in use at a time since the last walk began */
    uint64_t copied;               /* bytes, by this walk */
    uint64_t seen_end;             /* of the journal, after the last step */
    uint64_t ended_at;             /* journal's end at the end of the last walk */
    int64_t credit;                /* bytes that may be copied */
    uint32_t token;                /* the next one */
    struct retained_walk *retained;
    struct slab_walk sessions;
    struct session *session;       /* the one that is being copied; NULL: none */
    uint64_t identity;             /* its */
    const struct queue *queue;     /* its; NULL: it has none */
    struct delivery *at;           /* the next one of its queue */
};

void compact_init(struct shard *shard);
void compact_fini(struct shard *shard);
/* Once per turn. */
void compact_step(struct shard *shard);
/* It wants to go on without anything else happening. */
bool compact_is_eager(const struct shard *shard);

#endif
