/*
 * journal: one shard's log on disk: records are appended to a buffer, and written together while the write before them is under way.
 *
 *   journal_append ──► [waiting] ──journal_submit──► one write under way ──IO_FILE_DONE──► committed
 *   position:   cut ........................ committed ......... assembled .............. end
 *
 * A position counts the bytes that were ever appended; it says how records are ordered, and which of them are on disk, not where they lie. Files are segments of one
 * size, cleared ahead of time by a worker, and used again when everything in them has been cut off.
 *
 * What "committed" means depends on the mode: on the disk (JOURNAL_ALWAYS), or with the kernel (JOURNAL_INTERVAL, which flushes so often, and JOURNAL_NONE, which does
 * not): then a process that is killed loses nothing, a machine that loses power does.
 *
 * Invariants
 *   J1  at most one write is under way; records are written in the order of their positions, and none that was voided before its turn.
 *   J2  committed <= assembled <= end, and none of them ever falls.
 *   J3  bytes that wait are bounded by who appends: while journal_room() is not JOURNAL_FREE nothing may be appended but what makes state smaller.
 *   J4  after journal_cut(p) a record with a position of p or more is never lost.
 *
 * Threads  the shard's own, but for journal_read(), which comes before. Memory: charged to the account.
 */
#ifndef TIDEWIRE_ENGINE_JOURNAL_JOURNAL_H
#define TIDEWIRE_ENGINE_JOURNAL_JOURNAL_H

#include "alloc/budget.h"
#include "codec/bytes.h"
#include "engine/io/io.h"

#include <stdbool.h>

struct journal;

/* Of the first record of all: 0 stands for none. */
#define JOURNAL_POSITION_FIRST 8u

/* Types are the caller's, from 1 on. */
#define JOURNAL_TYPE_MAX 62

enum journal_mode {
    JOURNAL_ALWAYS,
    JOURNAL_INTERVAL,
    JOURNAL_NONE,
};

enum journal_room {
    JOURNAL_FREE,
    JOURNAL_FULL,  /* the disk, or the limit: what would add to it is to be refused. Heals by itself */
    JOURNAL_STUCK, /* not even what makes state smaller finds room: read nothing from clients until it heals */
};

/* Where a record begins in the files. */
struct journal_place {
    uint64_t segment;
    uint32_t offset;
};

struct journal_options {
    struct io_set *ios;
    struct io *io;             /* the shard's */
    struct budget_account *account;
    const char *directory;     /* the shard's own; it is there */
    enum journal_mode mode;
    uint32_t interval_ms;      /* JOURNAL_INTERVAL */
    uint32_t segment_bytes;    /* a multiple of IO_FILE_ALIGN */
    uint64_t bytes_max;        /* of all segments; 0: what the disk has */
    unsigned shard;            /* for the log lines */
    /* For records that are read back: see journal_append_placed() and journal_fetch(). Called out of journal_event(); they may append, void and fetch. */
    void *owner;
    void (*placed)(void *owner, uint64_t position, const struct journal_place *place);
    void (*fetched)(void *owner, uint64_t token, struct bytes content, int error);
};

/* Looks at what is there; reads no records yet. NULL and a line in `error` on failure. */
struct journal *journal_open(const struct journal_options *options, char *error, size_t error_size);
/* Everything that was appended is lost if it is not committed: see journal_is_idle(). */
void journal_close(struct journal **journal);

/* One record of the past. Its content is borrowed until the next one. */
struct journal_record {
    uint8_t type;              /* 1 to JOURNAL_TYPE_MAX */
    uint64_t position;         /* comparable with what journal_append() returns later */
    struct journal_place place;
    struct bytes content;
};

struct journal_past {
    uint64_t records, bytes;   /* read and good */
    uint64_t torn_bytes;       /* of the last write, which was never completed: cut off */
    uint64_t damaged_bytes;    /* in the middle: kept aside in files named *.damaged */
    uint32_t damaged_places;
};

/*
 * Before anything is appended, once: shows every record in order. Blocks, and reads with large reads. 0, or -errno with a line in `error` (a disk that cannot be read; damage is no
 * error). `visit` false: give up with -ECANCELED.
 */
int journal_read(struct journal *journal, bool (*visit)(void *context, const struct journal_record *record), void *context, struct journal_past *past, char *error,
                 size_t error_size);
/* Bytes that journal_read() has to go through, and has gone through; from any thread. */
uint64_t journal_bytes_to_read(const struct journal *journal);
uint64_t journal_bytes_read(const struct journal *journal);

/*
 * Appends a record of `size` bytes of content, any size; they are to be filled in at `*content` before the next call. Returns its position. Never fails: without memory the process
 * ends (what state says must not depend on it); who can be refused looks at journal_room() before.
 */
uint64_t journal_append(struct journal *journal, uint8_t type, uint32_t size, uint8_t **content);

/* As journal_append(). Once it is committed `placed` is told where it lies. */
uint64_t journal_append_placed(struct journal *journal, uint8_t type, uint32_t size, uint8_t **content);
/* Reads a record back that is committed and not cut off: `fetched` gets its content, borrowed for the call, or -errno: -EBADMSG if it is damaged. */
void journal_fetch(struct journal *journal, const struct journal_place *place, uint32_t size, uint64_t token);
/* The same at once; blocks. The content is the caller's then, to be freed. 0 or -errno. */
int journal_fetch_now(struct journal *journal, const struct journal_place *place, uint32_t size, uint8_t **content);

/* The content of a record that is not on its way yet, to be changed in place; NULL if it is too late. `*size` is its size. */
uint8_t *journal_waiting(struct journal *journal, uint64_t position, uint32_t *size);
/* It will not be written. Only while journal_waiting() finds it. */
void journal_void(struct journal *journal, uint64_t position);

/* Behind the last record; everything before it is committed once journal_committed() has reached it. */
uint64_t journal_end(const struct journal *journal);
uint64_t journal_committed(const struct journal *journal);
/* What waits and what is under way, in bytes. */
uint64_t journal_backlog(const struct journal *journal);
enum journal_room journal_room(const struct journal *journal);
/* Bytes that can still be appended and written if no other file can be had. */
uint64_t journal_room_left(const struct journal *journal);
/* Of all segments that hold something, and of those in reserve. */
uint64_t journal_bytes_used(const struct journal *journal);

/* Once per turn, at its end: begins a write if something waits and none is under way. */
void journal_submit(struct journal *journal, uint64_t now_ms);
/* When journal_submit() wants to be called again though nothing happens (an interval's flush, a disk that was full); UINT64_MAX: not. */
uint64_t journal_next_ms(const struct journal *journal);
/* An IO_FILE_DONE of ours, or the end of work of ours: true if `event` was; look at journal_committed() then. */
bool journal_event(struct journal *journal, const struct io_event *event);
/* Nothing waits, nothing is under way, and what is committed is on the disk whatever the mode: the end of a broker waits for this, calling journal_submit() with `journal_finish` first. */
void journal_finish(struct journal *journal);
bool journal_is_idle(const struct journal *journal);

/* No record before this position is needed any more. Takes effect once everything up to journal_end() of now is on the disk; not at all if some of it cannot be flushed. */
void journal_cut(struct journal *journal, uint64_t position);
/* Positions below this one may be cut with effect: where the segment begins that is written to now. */
uint64_t journal_segment_start(const struct journal *journal);

struct journal_counts {
    uint64_t writes, written_bytes; /* as the disk sees them */
    uint64_t records, record_bytes; /* appended and not voided */
    uint64_t voided;
    uint64_t flushes;
    uint64_t failed_writes;
};
void journal_counts(const struct journal *journal, struct journal_counts *counts);

#endif
