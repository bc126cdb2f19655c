/*
 * journal_stage: a journal over the simulated disk, and a model of what it has to hold.
 *
 * Record number i has a content that follows from i and from how many there were before it. What is read back has to be what was appended and not voided, in order, from some record that could have been cut
 * off up to some record behind the last one that was promised.
 */
#ifndef TIDEWIRE_TEST_SUPPORT_JOURNAL_STAGE_H
#define TIDEWIRE_TEST_SUPPORT_JOURNAL_STAGE_H

#include "engine/journal/journal.h"

#include "engine/io/sim_disk.h"

#define STAGE_DIRECTORY "/journal"
#define STAGE_RECORDS_MAX (1u << 18)

struct stage_record {
    uint64_t position;
    uint32_t size;
    uint32_t serial; /* of all that were ever appended */
    bool voided;
};

/* So many records may be gone once what was appended by then is on the disk. */
struct stage_cut {
    uint32_t count;
    uint64_t after;
};

#define STAGE_CUTS_MAX 512u

struct stage {
    struct sim_disk *disk;
    struct io_set *set;
    struct io *io;
    struct budget_account account;
    struct journal *journal;
    struct journal_options options;
    struct journal_past past;
    struct stage_record *records;
    uint32_t count;     /* appended, without those that a crash has lost */
    uint32_t serial;    /* of the next one */
    uint32_t cut_count; /* so many of them were cut off, or may be */
    struct stage_cut cuts[STAGE_CUTS_MAX]; /* wanted since it was opened */
    uint32_t cuts_count;
    uint32_t oldest, due, read_count; /* of what journal_read() has shown: the first, the one behind the last, how many */
    uint32_t failing_reads; /* of the next stage_open(), when it comes to the records */
    bool damage_is_fine; /* records may be missing */
    uint64_t random;
};

/* An empty disk with an empty journal; `options`: mode, segment_bytes, interval_ms and bytes_max are taken. */
void stage_begin(struct stage *s, uint64_t seed, const struct journal_options *options);
void stage_end(struct stage *s);

/* Without looking at what it holds. */
void stage_close(struct stage *s);
/* Opens it and reads what is there; what is not in order is a failure. */
void stage_open(struct stage *s);
/* Power fails; or the process is killed. */
void stage_crash(struct stage *s);
void stage_kill(struct stage *s);
/* What was read is what was appended, at least as far as `promised` (a number of records). The model is what was read from now on. */
void stage_check(struct stage *s, uint32_t promised);

uint32_t stage_below(struct stage *s, uint32_t n);
void stage_append(struct stage *s, uint32_t size);
/* Submits, and lets a little time pass. */
void stage_turn(struct stage *s);
/* Until everything is committed. */
void stage_commit(struct stage *s);
/* Until everything is on the disk, and nobody works. */
void stage_settle(struct stage *s);
/* How many records are committed, or on the disk: all of these. */
uint32_t stage_committed(const struct stage *s);
uint32_t stage_durable(const struct stage *s);
/* Everything before the segment that is written to now is not needed any more. */
void stage_cut(struct stage *s);
/* So many turns of a random life: appends, voids, cuts. */
void stage_live(struct stage *s, uint32_t turns);
/* Files whose names end so, and their bytes. */
uint32_t stage_files(const struct stage *s, const char *suffix, uint64_t *bytes);

/* For main(): no lines of the log. */
void stage_quiet(void);

#endif
