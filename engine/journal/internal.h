/* internal: what the files of engine/journal share of one journal. */
#ifndef TIDEWIRE_ENGINE_JOURNAL_INTERNAL_H
#define TIDEWIRE_ENGINE_JOURNAL_INTERNAL_H

#include "engine/journal/journal.h"
#include "engine/journal/record.h"
#include "engine/journal/segments.h"
#include "engine/journal/waiting.h"

#include <stdatomic.h>

enum commit_state {
    COMMIT_NONE,
    COMMIT_UNDER_WAY,
    COMMIT_FAILED, /* the same bytes are to be written again */
};

/* A record of which is to be told where it lies. */
struct placed {
    uint64_t position, end;
    struct journal_place place; /* until it is written: the offset in its batch */
    bool written;
};

struct placed_queue {
    struct placed *items; /* in the order of their positions */
    uint32_t count, room;
};

/* What is being written: a block for the head of a segment, then a batch. */
struct commit {
    uint8_t *buffer;
    uint32_t bytes;        /* of the batch */
    uint8_t state;         /* enum commit_state */
    uint32_t failures;     /* in a row */
    uint64_t start_position, end_position, first_sequence, end_sequence;
    uint64_t retry_ms;     /* after the second failure */
};

/* What is on the disk, where writing alone does not say so: JOURNAL_INTERVAL and JOURNAL_NONE. */
struct flush {
    uint32_t under_way;
    bool failed;           /* one of those under way */
    uint64_t position, sequence; /* what they are for */
    uint64_t due_ms;       /* UINT64_MAX: nothing was written since the last one */
    uint64_t retry_ms;     /* not before, after a failure */
    uint64_t doubtful;     /* a flush failed: what lies before may not be on the disk, and is not counted on */
};

/* What is wanted: everything before `position` is cut off once `after` is on the disk. after 0: nothing. */
struct cut {
    uint64_t position, after;
};

struct journal {
    struct journal_options options;
    char *directory;
    struct segments segments;
    struct waiting waiting;
    struct commit commit;
    struct flush flush;
    uint32_t offset;       /* in the active segment: where the next batch goes. 0: its head, too */
    uint32_t batch_max;    /* bytes of a batch */
    uint32_t cut_size;     /* contents above it may be cut into pieces */
    uint32_t cut_progress; /* bytes of the first waiting record that are on their way */
    uint64_t next_sequence, durable_sequence;
    uint64_t assembled, committed, durable; /* positions */
    struct cut cut, next_cut; /* the next one comes when the first has been done: it may have to wait for more */
    uint64_t now_ms;
    bool read;             /* journal_read() was called */
    bool finishing;
    bool leave_segment;    /* the next batch begins another one */
    struct placed_queue placed;
    struct fetch *fetches;   /* of records that are read back */
    uint32_t fetches_failed; /* of these: they could not even begin, and are to be told */
    _Atomic uint64_t to_read, been_read;
    struct journal_counts counts;
};

#endif
