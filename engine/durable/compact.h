/*
 * compact: copies what still counts forward to the journal's end, so that the segments before can be used again: a rolling copy in small steps.
 *
 *   journal:   | segments before the cut ............ | cut ............ copies, among what else is appended ........ |
 *              └─ everything in them that counts is copied; then journal_cut() ─┘
 *
 * A walk over all retained messages, then over all sessions, appends what lies before the cut as if it had just happened. So no record of an end is ever copied, and nobody has to
 * know where which record lies.
 *
 * When and how fast, with live = bytes of what counts, S = bytes of a segment:
 *   a walk begins when the journal uses 2 live + 4 S; in its course it copies live, and at least two bytes for each that others append: live / 2.
 *   So the journal uses at most 3.5 live + 4 S, and what is appended in COMPACT_REST_MS; 4 live + 8 S with what is in reserve.
 * Live is taken to be what the last walk copied, or what the shard has in memory and in pages, whichever is less: so disk space comes back, too, when much has been drained.
 * When the disk is full a walk begins as soon as it can gain anything.
 *
 * Invariants
 *   C1  at the end of a walk nothing that counts needs a record before the cut: retained messages, sessions with all they have, each delivery with its body.
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

/*
 * What was appended in the last moments is not cut off: a message with QoS 2 is known by its record (engine/durable/token.h) until its publisher's shard has recorded that all have
 * it, which takes a few writes. Raising it costs the disk space of what is appended meanwhile.
 */
#define COMPACT_REST_MS 250u

enum compact_state {
    COMPACT_IDLE,
    COMPACT_RETAINED,
    COMPACT_SESSIONS,
    COMPACT_PAGES, /* some are still being copied */
};

struct compact {
    uint8_t state;
    bool again;                    /* the queue was changed elsewhere than at its ends: once more from its start */
    uint64_t cut;
    uint64_t live;                 /* as of the last walk */
    uint64_t copied;               /* bytes, by this walk */
    uint64_t seen_end;             /* of the journal, after the last step */
    uint64_t ended_at;             /* journal's end at the end of the last walk */
    int64_t credit;                /* bytes that may be copied */
    uint64_t rested, next_rested;  /* segment starts of at least COMPACT_REST_MS ago, and of next_rested_ms */
    uint64_t next_rested_ms;
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
