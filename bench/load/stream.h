/*
 * stream: what one subscriber has received from one publisher, judged by sequence numbers that start at 0.
 *
 * In order costs one compare. What was jumped over is kept as ranges, so that a late arrival (out of order) can be told
 * from a second arrival (duplicate) however late it comes.
 *
 * Invariants
 *   S1  every number below `next` is either received or inside exactly one gap; none at or above it is received.
 *   S2  gaps are ascending, not empty and do not touch; `missing` is the sum of their sizes.
 *
 * Threads  one. Memory  gaps are allocated when the first one opens; stream_fini frees them.
 * Full     after STREAM_GAPS_MAX gaps the oldest is given up: its numbers stay missing and count as duplicates if
 *          they still arrive.
 */
#ifndef TIDEWIRE_BENCH_LOAD_STREAM_H
#define TIDEWIRE_BENCH_LOAD_STREAM_H

#include <stdint.h>

/* A broker that drops every second message fills this in 8192 messages; more costs 16 bytes each and slower late finds. */
#define STREAM_GAPS_MAX 4096u

enum stream_verdict {
    STREAM_NEW,
    STREAM_LATE,      /* first arrival, but after a later one */
    STREAM_DUPLICATE,
};

struct stream_gap {
    uint64_t first;
    uint64_t end; /* one past the last */
};

struct stream {
    uint64_t next;
    uint64_t missing;
    struct stream_gap *gaps;
    uint32_t gap_count;
    uint32_t gap_room;
};

/* All zero is an empty stream. */
void stream_fini(struct stream *s);

enum stream_verdict stream_add_slow(struct stream *s, uint64_t sequence);

static inline enum stream_verdict
stream_add(struct stream *s, uint64_t sequence)
{
    if (sequence == s->next) {
        s->next++;
        return STREAM_NEW;
    }
    return stream_add_slow(s, sequence);
}

/* Distinct messages received. */
static inline uint64_t
stream_get_received(const struct stream *s)
{
    return s->next - s->missing;
}

#endif
