/*
 * segments: the files of one journal: those that hold records, the one that is written to, and those in reserve. Files are made, used again and removed by a worker, one at a
 * time, and are cleared before they are needed.
 *
 *      items   [dead ... | full ... | active | reserve ...]        numbers rise from left to right
 *
 * Invariants
 *   G1  a number is written to in one life of a file only: what the file held under another one is never taken for good (record.h).
 *   G2  the oldest goes first, and its going is on the disk before the next one goes: so what a crash leaves is always all that came after some record.
 *   G3  a file in reserve is on the disk, under its name, before it is written to.
 *
 * Threads  the shard's; the worker touches struct segments_work alone while it runs.
 */
#ifndef TIDEWIRE_ENGINE_JOURNAL_SEGMENTS_H
#define TIDEWIRE_ENGINE_JOURNAL_SEGMENTS_H

#include "engine/job.h"
#include "engine/journal/journal.h"
#include "engine/journal/record.h"

/* Files that wait for the active one to be full: one to go on with, and one for what makes state smaller when no more can be had. */
#define SEGMENTS_RESERVE 2u
/* Files that are kept for later use when they hold nothing any more: the rest is removed. */
#define SEGMENTS_RESERVE_MAX 4u
#define SEGMENTS_PATH_BYTES 4096u

enum segment_head {
    SEGMENT_UNKNOWN, /* its head cannot be read */
    SEGMENT_UNUSED,  /* its head is that of another number: it was never written to under its own */
    SEGMENT_READY,   /* made for its number, and perhaps written to without that being on the disk */
    SEGMENT_BEGUN,
};

struct segment {
    uint64_t number;
    uint64_t first_position; /* of what it holds; it may be cut off when the next one's has been reached */
    uint64_t first_sequence; /* as its head says */
    uint32_t bytes;
    uint8_t head;            /* enum segment_head */
    bool dirty;              /* written to since the last flush began */
    bool flushing;
    bool spoilt;             /* it could not be used again, or not be removed: it is to be removed */
    uint32_t reads;          /* under way */
    struct io_file *file;    /* open while it is active, in reserve, dirty, or read */
};

enum segments_task { SEGMENTS_MAKE, SEGMENTS_REUSE, SEGMENTS_REMOVE };

struct segments_work {
    struct job job;          /* first: what the worker is given */
    struct segments *owner;
    struct io_set *ios;
    uint8_t task;            /* enum segments_task */
    bool under_way;
    int result;
    struct segment segment;  /* what comes of it; of a SEGMENTS_REMOVE nothing */
    uint64_t from;           /* the number of the oldest file */
    uint64_t key;
    unsigned shard, file_flags;
    const char *directory;
    uint64_t now_ms;         /* when it was started */
};

struct segments {
    const struct journal_options *options;
    struct segment *items;
    uint32_t count, room;
    uint32_t dead, full;   /* how many at the left are so; the dead ones are full, too */
    bool has_active;       /* it is items[full] */
    bool starved;          /* the reserve is short, and no file can be had */
    bool wanted;           /* something that was appended waits for a file: not even the limit stands against it, else what is to be cut off might wait for ever */
    uint64_t retry_ms;        /* no file is made before; 0: nothing has failed */
    uint64_t remove_retry_ms; /* the oldest one is left alone before */
    uint64_t key, next_number;
    struct segments_work work;
};

/* `buffer`: of SEGMENTS_PATH_BYTES. */
void segments_path(const char *directory, uint64_t number, char *buffer);

/* Looks at all files. 0, or -errno with a line in `error`. */
int segments_open(struct segments *s, const struct journal_options *options, char *error, size_t error_size);
/* Nothing is under way any more. */
void segments_close(struct segments *s);
/* After the past was read: items[full] is the one that is written to from now on (!has_active: there is none). Files behind it that cannot serve as reserve are removed. Blocks. */
int segments_begin(struct segments *s, uint32_t full, bool has_active, char *error, size_t error_size);

/* Of the one that is written to; NULL: none. */
static inline struct segment *
segments_active(struct segments *s)
{
    return s->has_active ? &s->items[s->full] : NULL;
}

/* Goes on to the next one in reserve, which begins at `position`; false if there is none. */
bool segments_rotate(struct segments *s, uint64_t position);
/* Whole segments before the position are dead. */
void segments_cut(struct segments *s, uint64_t position);
/* The file of a segment is open from the first read on to the end of the last one. 0 or -errno. */
int segments_begin_read(struct segments *s, struct segment *segment);
void segments_end_read(struct segments *s, struct segment *segment);
/* Closes the file of a full one that nobody needs open any more. */
void segments_release(struct segment *segment);
/* Starts work if there is some to do and none is under way. */
void segments_upkeep(struct segments *s, uint64_t now_ms);
/* When segments_upkeep() wants to be called again though nothing happens; UINT64_MAX: not. */
uint64_t segments_next_ms(const struct segments *s);
/* The worker's end, once. */
void segments_worked(struct segments *s);
static inline uint32_t
segments_reserve(const struct segments *s)
{
    return s->count - s->full - s->has_active;
}

/* Bytes of the files in reserve that can hold records. */
uint64_t segments_reserve_bytes(const struct segments *s);
uint64_t segments_bytes(const struct segments *s);

#endif
