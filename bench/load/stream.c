#include "bench/load/stream.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
stream_fini(struct stream *s)
{
    free(s->gaps);
    memset(s, 0, sizeof *s);
}

static void
remove_gap(struct stream *s, uint32_t at)
{
    memmove(&s->gaps[at], &s->gaps[at + 1], (s->gap_count - at - 1) * sizeof *s->gaps);
    s->gap_count--;
}

static void
insert_gap(struct stream *s, uint32_t at, struct stream_gap gap)
{
    if (s->gap_count == STREAM_GAPS_MAX) {
        remove_gap(s, 0);
        at = at > 0 ? at - 1 : 0;
    }
    if (s->gap_count == s->gap_room) {
        uint32_t room = s->gap_room == 0 ? 8 : s->gap_room * 2;
        struct stream_gap *gaps = realloc(s->gaps, room * sizeof *gaps);
        if (gaps == NULL) {
            perror("tidewire-bench: memory for sequence gaps");
            exit(2);
        }
        s->gaps = gaps;
        s->gap_room = room;
    }
    memmove(&s->gaps[at + 1], &s->gaps[at], (s->gap_count - at) * sizeof *s->gaps);
    s->gaps[at] = gap;
    s->gap_count++;
}

/* A late number lies in a gap: shrink it, split it, or close it. */
static void
fill_gap(struct stream *s, uint32_t at, uint64_t sequence)
{
    struct stream_gap *g = &s->gaps[at];

    s->missing--;
    if (g->first == sequence) {
        g->first++;
        if (g->first == g->end) {
            remove_gap(s, at);
        }
    } else if (g->end == sequence + 1) {
        g->end--;
    } else {
        struct stream_gap rest = {sequence + 1, g->end};
        g->end = sequence;
        insert_gap(s, at + 1, rest);
    }
}

enum stream_verdict
stream_add_slow(struct stream *s, uint64_t sequence)
{
    if (sequence >= s->next) {
        if (sequence > s->next) {
            insert_gap(s, s->gap_count, (struct stream_gap){s->next, sequence});
            s->missing += sequence - s->next;
        }
        s->next = sequence + 1;
        return STREAM_NEW;
    }
    /* From the end: what comes late is mostly only just late. */
    for (uint32_t i = s->gap_count; i-- > 0 && s->gaps[i].end > sequence;) {
        if (s->gaps[i].first <= sequence) {
            fill_gap(s, i, sequence);
            return STREAM_LATE;
        }
    }
    return STREAM_DUPLICATE;
}
