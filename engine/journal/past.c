/*
 * Reads the past of a journal: all segments in order, all batches, all records.
 *
 * What is not as it should be is told apart by sequence numbers. Records in front of the next good batch are missing, and that batch, or one behind it, says that they were on
 * the disk when it was written: then they are damaged; what can be read between is shown, the bytes are kept aside, and reading goes on. No batch says so: then they and
 * everything behind was never counted on by anybody (or, without a flush for each write, was allowed to get lost): it is cut off. Nothing is missing: then the same records
 * were written again elsewhere, after a write that had failed.
 *
 * What no later batch vouches for is written again as it is: whoever wrote it may have been told that it failed, and so may not have been kept by the disk, though it can be read.
 *
 * Records are only trusted where a segment's seed makes them good (record.h). What is cut off is cleared, before anything else is written, so that it cannot be taken for
 * what will be written there.
 */
#include "engine/journal/internal.h"

#include "engine/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Read at once. At least twice the largest batch, so that one is moved in memory half the time at most. */
#define WINDOW_BYTES (4u << 20)
#define CLEAR_BYTES (1u << 20)
/* Memory of a record of several pieces grows by so much at least. */
#define WHOLE_BYTES_MIN (1u << 20)

/* Of a segment (by its number among the items), and in it. */
struct spot {
    uint32_t item;
    uint32_t offset;
};

struct window {
    uint8_t *bytes;
    struct io_file *file;
    uint32_t item;       /* whose file is open; UINT32_MAX: none */
    uint32_t start, end; /* of the bytes, in the file */
};

/* A record of several pieces, being put together. */
struct whole {
    uint8_t *bytes;
    uint32_t size, room;
    uint8_t type;        /* 0: none */
    uint64_t position;
    struct journal_place place;
};

/* A batch: if it is said of this sequence number that all before it are on the disk, then of all before this place. */
struct vouched {
    uint64_t sequence;
    struct spot spot;
};

struct past_reader {
    struct journal *journal;
    struct segments *segments;
    bool (*visit)(void *context, const struct journal_record *record);
    void *context;
    struct journal_past *past;
    struct window window;
    struct whole whole;
    uint32_t last_begun;  /* number of an item */
    uint64_t expected;    /* the next sequence number; 0: not known, nothing was read yet */
    uint64_t position;    /* of the next record at least */
    struct spot good;     /* behind what was read last */
    uint64_t torn_bytes;  /* of the batch that ends at `good` */
    struct spot unreadable; /* behind the last block that the disk does not give: it counts once, however often it is asked for */
    bool any_readable;
    struct vouched vouched, next_vouched; /* the last place that a batch has vouched for, and the one that it is waited for to be */
    int result;           /* the first error */
    char *error;
    size_t error_size;
};

/* --------------------------------------------------------------------------------------------------------------- window */

static void
stop(struct past_reader *r, const char *what, uint32_t item, int result)
{
    char path[SEGMENTS_PATH_BYTES];
    if (r->result == 0) {
        segments_path(r->journal->directory, r->segments->items[item].number, path);
        snprintf(r->error, r->error_size, "cannot %s '%s': %s", what, path, strerror(-result));
        r->result = result;
    }
}

static bool
open_file(struct past_reader *r, uint32_t item)
{
    struct window *w = &r->window;
    if (w->item == item) {
        return true;
    }
    io_file_close(&w->file);
    w->item = item;
    w->start = w->end = 0;
    char path[SEGMENTS_PATH_BYTES];
    segments_path(r->journal->directory, r->segments->items[item].number, path);
    int result = io_file_open(r->journal->options.ios, path, 0, &w->file);
    if (result < 0) {
        w->item = UINT32_MAX;
        stop(r, "open", item, result);
    }
    return result == 0;
}

static void
take_unreadable(struct past_reader *r, struct spot at)
{
    struct spot *seen = &r->unreadable;
    if (at.item < seen->item || (at.item == seen->item && at.offset < seen->offset)) {
        return;
    }
    bool goes_on = at.item == seen->item && at.offset == seen->offset && at.offset > 0;
    *seen = (struct spot){at.item, at.offset + RECORD_BLOCK_BYTES};
    r->past->damaged_bytes += RECORD_BLOCK_BYTES;
    r->past->damaged_places += !goes_on;
    if (!goes_on) {
        log_line(CONFIG_LOG_ERROR, "Error: the disk cannot read '%s/%010" PRIu64 ".segment', a file of the journal of shard %u, at %u. What is missing is left out, and the rest is used",
                 r->journal->directory, r->segments->items[at.item].number, r->journal->options.shard, at.offset);
    }
}

/* The disk cannot read all of it: block by block, and zeros for what it does not give. Bytes read, or -errno. */
static int64_t
read_blocks(struct past_reader *r, struct spot at, uint8_t *out, uint32_t size)
{
    uint32_t done = 0;
    while (done < size) {
        struct spot here = {at.item, at.offset + done};
        uint32_t left = size - done, part = left < RECORD_BLOCK_BYTES ? left : RECORD_BLOCK_BYTES;
        int64_t got = io_file_read(r->window.file, here.offset, out + done, part);
        if (got == -EIO) {
            take_unreadable(r, here);
            memset(out + done, 0, part);
            got = part;
        } else if (got <= 0) {
            return got < 0 ? got : done;
        } else {
            r->any_readable = true;
        }
        done += (uint32_t)got;
    }
    return done;
}

static int64_t
read_part(struct past_reader *r, struct spot at, uint8_t *out, uint32_t size)
{
    int64_t got = io_file_read(r->window.file, at.offset, out, size);
    r->any_readable |= got > 0;
    return got == -EIO ? read_blocks(r, at, out, size) : got;
}

static bool
load(struct past_reader *r, struct spot at, uint32_t needed)
{
    struct window *w = &r->window;
    uint32_t size = r->segments->items[at.item].bytes;
    uint32_t start = at.offset & ~(RECORD_BLOCK_BYTES - 1);
    uint32_t wanted = size - start < WINDOW_BYTES ? size - start : WINDOW_BYTES;
    uint32_t kept = 0;
    if (start >= w->start && start < w->end) {
        kept = w->end - start;
        memmove(w->bytes, w->bytes + (start - w->start), kept);
    }
    w->start = start;
    w->end = start + kept;
    int64_t got = read_part(r, (struct spot){at.item, w->end}, w->bytes + kept, wanted - kept);
    if (got < 0) {
        stop(r, "read", at.item, (int)got);
        return false;
    }
    w->end += (uint32_t)got;
    atomic_fetch_add_explicit(&r->journal->been_read, (uint64_t)got, memory_order_relaxed);
    return at.offset + needed <= w->end;
}

/* Bytes of a segment, borrowed until the next call; NULL: they are not there, or cannot be read. */
static const uint8_t *
look(struct past_reader *r, struct spot at, uint32_t needed)
{
    assert(needed <= WINDOW_BYTES - RECORD_BLOCK_BYTES);
    struct window *w = &r->window;
    if (needed > r->segments->items[at.item].bytes - at.offset || !open_file(r, at.item)) {
        return NULL;
    }
    bool there = at.offset >= w->start && at.offset + needed <= w->end;
    if (!there && !load(r, at, needed)) {
        return NULL;
    }
    return w->bytes + (at.offset - w->start);
}

/* -------------------------------------------------------------------------------------------------------------- records */

static uint64_t
seed_of(const struct past_reader *r, uint32_t item)
{
    return record_seed(r->segments->key, r->segments->items[item].number);
}

static void
show(struct past_reader *r, uint8_t type, uint64_t position, struct journal_place place, struct bytes content)
{
    struct journal_record shown = {.type = type, .position = position, .place = place, .content = content};
    r->past->records++;
    r->past->bytes += content.size;
    if (!r->visit(r->context, &shown)) {
        r->result = -ECANCELED;
        snprintf(r->error, r->error_size, "given up");
    }
}

static bool
add_piece(struct past_reader *r, struct bytes piece)
{
    struct whole *whole = &r->whole;
    if (piece.size > UINT32_MAX - whole->size) {
        return false;
    }
    uint32_t size = whole->size + piece.size;
    if (size > whole->room) {
        uint64_t room = (uint64_t)whole->room * 2 > WHOLE_BYTES_MIN ? (uint64_t)whole->room * 2 : WHOLE_BYTES_MIN;
        room = room < size ? size : room > UINT32_MAX ? UINT32_MAX : room;
        uint8_t *bytes = realloc(whole->bytes, room);
        if (bytes == NULL) {
            r->result = -ENOMEM;
            snprintf(r->error, r->error_size, "out of memory for a record of more than %u bytes", size);
            return false;
        }
        whole->bytes = bytes;
        whole->room = (uint32_t)room;
    }
    if (piece.size > 0) {
        memcpy(whole->bytes + whole->size, piece.data, piece.size);
    }
    whole->size = size;
    return true;
}

/* A piece: shown when it is the last one. One whose beginning is not there is left out. */
static void
take_piece(struct past_reader *r, const struct record *record, uint64_t position, struct journal_place place)
{
    struct whole *whole = &r->whole;
    uint8_t type = record->type & RECORD_TYPE_BITS;
    if ((record->type & RECORD_CONTINUES) == 0) {
        whole->size = 0;
        whole->type = type;
        whole->position = position;
        whole->place = place;
    } else if (whole->type != type) {
        whole->type = 0;
        return;
    }
    if (!add_piece(r, record->content)) {
        whole->type = 0;
        return;
    }
    if ((record->type & RECORD_MORE) == 0) {
        whole->type = 0;
        show(r, type, whole->position, whole->place, bytes_of(whole->bytes, whole->size));
    }
}

/* The record with the expected sequence number. */
static void
take_record(struct past_reader *r, const struct record *record, struct spot at)
{
    struct journal_place place = {.segment = r->segments->items[at.item].number, .offset = at.offset};
    uint64_t position = r->position;
    bool first = (record->type & RECORD_CONTINUES) == 0;
    r->position += (first ? RECORD_HEAD_BYTES : 0) + record_padded(record->content.size);
    r->expected = record->sequence + 1;
    if ((record->type & (RECORD_MORE | RECORD_CONTINUES)) != 0) {
        take_piece(r, record, position, place);
        return;
    }
    r->whole.type = 0;
    show(r, record->type, position, place, record->content);
}

/* -------------------------------------------------------------------------------------------------------------- batches */

/* One that was made ready, and in front of one that may have begun, was written to, though that did not reach the disk; others that are ready are in reserve. */
static bool
may_hold_records(const struct past_reader *r, uint32_t item)
{
    uint8_t head = r->segments->items[item].head;
    return head != SEGMENT_UNUSED && item <= r->last_begun;
}

/* The next good batch from here on; false: there is none, or reading has failed. */
static bool
next_batch(struct past_reader *r, struct spot *at, struct record_batch *batch)
{
    for (; at->item < r->segments->count; at->item++, at->offset = RECORD_BLOCK_BYTES) {
        const struct segment *segment = &r->segments->items[at->item];
        uint64_t seed = seed_of(r, at->item);
        uint32_t size = may_hold_records(r, at->item) ? segment->bytes : 0;
        for (; at->offset < size; at->offset += RECORD_BLOCK_BYTES) {
            const uint8_t *data = look(r, *at, RECORD_BLOCK_BYTES);
            if (r->result < 0) {
                return false;
            }
            if (data != NULL && record_read_batch(data, size - at->offset, seed, batch)) {
                return true;
            }
        }
    }
    return false;
}

static void
enter_batch(struct past_reader *r, struct spot at, const struct record_batch *batch)
{
    if (batch->position > r->position) {
        r->position = batch->position;
    }
    if (batch->durable >= r->next_vouched.sequence) {
        r->vouched = r->next_vouched;
        r->next_vouched = (struct vouched){.sequence = batch->first_sequence, .spot = at};
    }
    struct segment *segment = &r->segments->items[at.item];
    if (segment->first_position == UINT64_MAX) {
        segment->first_position = r->position;
    }
}

static bool
is_clear(const uint8_t *bytes, uint32_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

/* A record of a batch: where a batch was cut off another one may begin in the middle of it, and its head has the sequence number that is due. */
static bool
read_one(const uint8_t *data, uint32_t room, uint64_t seed, struct record *record)
{
    return record_read(data, room, seed, record) && (record->type & RECORD_TYPE_BITS) != RECORD_TYPE_BATCH;
}

/* Shows what is new in it. `*at` is where to look for the next one then. */
static void
read_batch(struct past_reader *r, struct spot *at, const struct record_batch *batch)
{
    const uint8_t *data = look(r, *at, batch->bytes);
    uint64_t seed = seed_of(r, at->item);
    uint32_t offset = RECORD_BATCH_HEAD_BYTES;
    for (uint32_t i = 0; data != NULL && i < batch->count; i++) {
        struct record record;
        uint64_t sequence = batch->first_sequence + i;
        struct spot here = {at->item, at->offset + offset};
        if (!read_one(data + offset, batch->bytes - offset, seed, &record) || record.sequence != sequence) {
            if (sequence == r->expected) {
                r->good = here;
                r->torn_bytes = is_clear(data + offset, batch->bytes - offset) ? 0 : batch->bytes - offset; /* cleared: by an earlier start */
            }
            at->offset += RECORD_BLOCK_BYTES;
            return;
        }
        if (sequence == r->expected) {
            take_record(r, &record, here);
        }
        if (r->result < 0) {
            return;
        }
        offset += record.footprint;
    }
    at->offset += data != NULL ? batch->bytes : RECORD_BLOCK_BYTES;
    if (data != NULL && batch->first_sequence + batch->count >= r->expected) {
        r->good = *at;
        r->torn_bytes = 0;
    }
}

/* --------------------------------------------------------------------------------------------------------------- damage */

/* Records are missing in front of this batch, the one numbered `missing` among them. Whether it was on the disk once. */
static bool
is_damage(struct past_reader *r, struct spot at, struct record_batch batch, uint64_t missing)
{
    uint64_t cut_bytes = 0;
    do {
        if (batch.durable > missing) {
            return true;
        }
        cut_bytes += batch.bytes;
        at.offset += batch.bytes;
    } while (next_batch(r, &at, &batch));
    r->torn_bytes += cut_bytes;
    return false;
}

/* What cannot be read is there for somebody to look at. That it cannot be written either is not what stops a broker. */
static void
keep_aside(struct past_reader *r, uint32_t item, uint32_t from, uint32_t to)
{
    char path[SEGMENTS_PATH_BYTES + 32];
    segments_path(r->journal->directory, r->segments->items[item].number, path);
    snprintf(path + strlen(path), 32, "-%u.damaged", from);
    struct io_file *file = NULL;
    int64_t result = io_file_open(r->journal->options.ios, path, IO_FILE_CREATE, &file);
    bool written = result == 0 && io_file_size(file) == (int64_t)(to - from); /* by an earlier start */
    for (uint32_t at = from; result == 0 && !written && at < to;) {
        uint32_t size = to - at < RECORD_BATCH_BYTES_MAX ? to - at : RECORD_BATCH_BYTES_MAX;
        const uint8_t *bytes = look(r, (struct spot){item, at}, size);
        result = bytes == NULL ? -EIO : io_file_write(file, at - from, bytes, size);
        at += size;
    }
    io_file_close(&file);
    if (result < 0) {
        log_line(CONFIG_LOG_WARNING, "Warning: damaged bytes of a journal cannot be kept aside in '%s': %s", path, strerror((int)-result));
    }
}

/* Sequence number of what lies there, if it may be a record at all: whether it is one is dear to find out. */
static bool
may_be_record(const uint8_t *data, uint64_t from, uint64_t to)
{
    uint64_t sequence = 0;
    for (unsigned i = 0; i < 8; i++) {
        sequence |= (uint64_t)data[8 + i] << (8 * i);
    }
    return sequence >= from && sequence < to;
}

/* Shows the records with sequence numbers below `limit` that can be read in a part of a segment. Returns the bytes that are none. */
static uint64_t
rescue(struct past_reader *r, uint32_t item, uint32_t from, uint32_t to, uint64_t limit)
{
    uint64_t seed = seed_of(r, item), lost = 0;
    struct spot at = {item, from};
    while (to - at.offset >= RECORD_HEAD_BYTES && r->result == 0) {
        const uint8_t *data = look(r, at, RECORD_HEAD_BYTES);
        struct record record;
        uint32_t room = to - at.offset < RECORD_BATCH_BYTES_MAX ? to - at.offset : RECORD_BATCH_BYTES_MAX;
        bool found = data != NULL && may_be_record(data, r->expected, limit) && (data = look(r, at, room)) != NULL && read_one(data, room, seed, &record);
        if (!found) {
            lost += data != NULL && is_clear(data, RECORD_ALIGN) ? 0 : RECORD_ALIGN;
            at.offset += RECORD_ALIGN;
            continue;
        }
        if (record.sequence != r->expected) {
            r->whole.type = 0;
        }
        take_record(r, &record, at);
        at.offset += record_padded(record.footprint);
    }
    return lost;
}

/* Between what was read last and the batch `at`. */
static void
take_damage(struct past_reader *r, struct spot at, const struct record_batch *batch)
{
    r->expected = r->expected > 0 ? r->expected : 1;
    uint64_t lost = 0, first = r->expected;
    struct spot from = r->good;
    for (; from.item <= at.item && r->result == 0; from.item++, from.offset = RECORD_BLOCK_BYTES) {
        const struct segment *segment = &r->segments->items[from.item];
        uint32_t end = from.item == at.item ? at.offset : segment->bytes;
        if (may_hold_records(r, from.item) && from.offset < end) {
            keep_aside(r, from.item, from.offset, end);
            lost += rescue(r, from.item, from.offset, end, batch->first_sequence);
        }
    }
    r->whole.type = 0;
    r->past->damaged_bytes += lost;
    r->past->damaged_places++;
    log_line(CONFIG_LOG_ERROR, "Error: the journal of shard %u is damaged in '%s/%010" PRIu64 ".segment' at %u: %" PRIu64 " bytes, among them some of the records %" PRIu64
             " to %" PRIu64 ". They are kept aside in files *.damaged, and the rest is used", r->journal->options.shard, r->journal->directory,
             r->segments->items[r->good.item].number, r->good.offset, lost, first, batch->first_sequence - 1);
    r->expected = batch->first_sequence;
}

/* ------------------------------------------------------------------------------------------------------------------ end */

static bool
clear_part(struct past_reader *r, uint8_t *zeros, uint32_t start, uint32_t size)
{
    struct spot at = {r->good.item, start};
    const uint8_t *bytes = look(r, at, size);
    if (bytes == NULL) {
        stop(r, "read", at.item, -EIO);
        return false;
    }
    uint32_t kept = start < r->good.offset ? r->good.offset - start : 0;
    if (is_clear(bytes + kept, size - kept)) {
        return true;
    }
    memset(zeros, 0, size);
    memcpy(zeros, bytes, kept);
    int result = io_file_write(r->window.file, start, zeros, size);
    if (result < 0) {
        stop(r, "write", at.item, result);
    }
    return result == 0;
}

/* Everything in this segment that lies behind what was read. */
static void
clear_rest(struct past_reader *r)
{
    const struct segment *segment = &r->segments->items[r->good.item];
    uint32_t start = r->good.offset & ~(RECORD_BLOCK_BYTES - 1);
    uint32_t step = segment->bytes - start < CLEAR_BYTES ? segment->bytes - start : CLEAR_BYTES;
    uint8_t *zeros = step > 0 ? aligned_alloc(IO_FILE_ALIGN, step) : NULL;
    if (zeros == NULL && step > 0) {
        stop(r, "clear", r->good.item, -ENOMEM);
        return;
    }
    for (uint32_t at = start; at < segment->bytes;) {
        uint32_t size = segment->bytes - at < step ? segment->bytes - at : step;
        if (!clear_part(r, zeros, at, size)) {
            break;
        }
        at += size;
    }
    free(zeros);
}

static void
write_part_again(struct past_reader *r, uint32_t item, uint32_t from, uint32_t to)
{
    while (from < to && r->result == 0) {
        uint32_t size = to - from < CLEAR_BYTES ? to - from : CLEAR_BYTES;
        const uint8_t *bytes = look(r, (struct spot){item, from}, size);
        int result = bytes == NULL ? -EIO : io_file_write(r->window.file, from, bytes, size);
        if (result < 0) {
            stop(r, "write", item, result);
        }
        from += size;
    }
}

/* From the first batch on that no other one vouches for. */
static void
write_doubtful_again(struct past_reader *r)
{
    for (uint32_t i = r->vouched.spot.item; i <= r->good.item; i++) {
        const struct segment *segment = &r->segments->items[i];
        bool with_head = i > r->vouched.spot.item || r->vouched.spot.offset == RECORD_BLOCK_BYTES;
        uint32_t to = i == r->good.item ? record_blocks(r->good.offset) : segment->bytes;
        if (may_hold_records(r, i)) {
            write_part_again(r, i, with_head ? 0 : r->vouched.spot.offset, to);
        }
    }
}

/* What was read is counted on from now on, whatever the mode was in which it was written. Of what a batch vouches for that is so already. */
static void
sync_doubtful(struct past_reader *r)
{
    for (uint32_t i = r->vouched.spot.item; i <= r->good.item && r->result == 0; i++) {
        if (!may_hold_records(r, i) || !open_file(r, i)) {
            continue;
        }
        int result = io_file_sync(r->window.file);
        if (result < 0) {
            stop(r, "flush", i, result);
        }
    }
}

static void
say_torn(const struct past_reader *r)
{
    if (r->torn_bytes > 0) {
        log_line(CONFIG_LOG_WARNING, "Warning: the journal of shard %u ends in '%s/%010" PRIu64 ".segment' at %u with a write that was never completed: %" PRIu64
                 " bytes are cut off", r->journal->options.shard, r->journal->directory, r->segments->items[r->good.item].number, r->good.offset, r->torn_bytes);
    }
}

/* A segment whose head is lost, and in which nothing was found that could be used: it is about to be removed. */
static void
look_at_unknown(struct past_reader *r, uint32_t item)
{
    const struct segment *segment = &r->segments->items[item];
    for (uint32_t at = 0; at < segment->bytes; at += RECORD_BLOCK_BYTES) {
        const uint8_t *bytes = look(r, (struct spot){item, at}, RECORD_BLOCK_BYTES);
        if (bytes == NULL || is_clear(bytes, RECORD_BLOCK_BYTES)) {
            continue;
        }
        keep_aside(r, item, 0, segment->bytes);
        r->past->damaged_bytes += segment->bytes;
        r->past->damaged_places++;
        log_line(CONFIG_LOG_ERROR, "Error: nothing can be read of '%s/%010" PRIu64 ".segment', a file of the journal of shard %u. It is kept aside as *.damaged", r->journal->directory,
                 segment->number, r->journal->options.shard);
        return;
    }
}

/* Everything that is appended from now on comes behind what was read. */
static void
continue_journal(struct journal *j, const struct past_reader *r)
{
    j->next_sequence = r->expected > 0 ? r->expected : 1;
    j->durable_sequence = j->next_sequence;
    waiting_set_position(&j->waiting, r->position);
    j->assembled = j->committed = j->durable = r->position;
    j->read = true;
}

static int
end(struct past_reader *r)
{
    struct journal *j = r->journal;
    struct segments *s = r->segments;
    bool any = r->good.item < s->count;
    bool goes_on = any && (s->items[r->good.item].head == SEGMENT_BEGUN || r->good.offset > RECORD_BLOCK_BYTES);
    if (goes_on) {
        say_torn(r);
        write_doubtful_again(r);
        clear_rest(r);
        sync_doubtful(r);
        j->offset = record_blocks(r->good.offset);
        j->leave_segment = s->items[r->good.item].head != SEGMENT_BEGUN;
    }
    r->past->torn_bytes = r->torn_bytes;
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->items[i].first_position == UINT64_MAX) {
            s->items[i].first_position = r->position;
        }
        if (s->items[i].head == SEGMENT_UNKNOWN && (!goes_on || i > r->good.item)) {
            look_at_unknown(r, i);
        }
    }
    if (r->result < 0) {
        return r->result;
    }
    continue_journal(j, r);
    return segments_begin(s, goes_on ? r->good.item : 0, goes_on, r->error, r->error_size);
}

/* -------------------------------------------------------------------------------------------------------------- reading */

/* The first segment that something may have been written to. */
static struct spot
beginning(const struct past_reader *r)
{
    struct spot at = {0, RECORD_BLOCK_BYTES};
    while (at.item < r->segments->count && !may_hold_records(r, at.item)) {
        at.item++;
    }
    return at;
}

/* Nothing can be missing in front of this batch, the first one that was found, if what is in front of it was on the disk at all: a segment whose first batch was has begun. */
static bool
nothing_begun_before(const struct past_reader *r, struct spot at)
{
    uint32_t item = r->good.item;
    while (item < at.item && r->segments->items[item].head == SEGMENT_READY) {
        item++;
    }
    return item == at.item && at.offset == RECORD_BLOCK_BYTES;
}

/* A batch was found behind what was read last. False: it, and all that follows, is to be cut off. */
static bool
bridge_gap(struct past_reader *r, struct spot at, const struct record_batch *batch)
{
    bool first = r->expected == 0;
    if (first && at.item == r->good.item && at.offset == r->good.offset) {
        r->expected = batch->first_sequence;
    }
    if (batch->first_sequence <= r->expected) {
        return true;
    }
    if (!is_damage(r, at, *batch, first ? batch->first_sequence - 1 : r->expected)) {
        return false;
    }
    if (first && nothing_begun_before(r, at)) {
        r->expected = batch->first_sequence;
    } else {
        take_damage(r, at, batch);
    }
    return true;
}

static void
read_all(struct past_reader *r)
{
    struct spot at = r->good;
    struct record_batch batch;
    while (r->result == 0 && next_batch(r, &at, &batch) && bridge_gap(r, at, &batch)) {
        enter_batch(r, at, &batch);
        read_batch(r, &at, &batch);
    }
}

int
journal_read(struct journal *j, bool (*visit)(void *context, const struct journal_record *record), void *context, struct journal_past *past, char *error,
             size_t error_size)
{
    assert(!j->read);
    *past = (struct journal_past){0};
    struct past_reader r = {
        .journal = j,
        .segments = &j->segments,
        .visit = visit,
        .context = context,
        .past = past,
        .window = {.bytes = aligned_alloc(IO_FILE_ALIGN, WINDOW_BYTES), .item = UINT32_MAX}, /* only touched as far as segments are large */
        .position = JOURNAL_POSITION_FIRST,
        .error = error,
        .error_size = error_size,
    };
    if (r.window.bytes == NULL) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < j->segments.count; i++) {
        j->segments.items[i].first_position = UINT64_MAX;
        uint8_t head = j->segments.items[i].head;
        r.last_begun = head == SEGMENT_BEGUN || head == SEGMENT_UNKNOWN ? i : r.last_begun;
    }
    r.good = r.vouched.spot = r.next_vouched.spot = beginning(&r);
    if (r.good.item < j->segments.count) {
        const struct segment *first = &j->segments.items[r.good.item];
        r.expected = first->first_sequence;
        read_all(&r);
    }
    if (r.past->damaged_bytes > 0 && !r.any_readable) {
        stop(&r, "read", r.good.item, -EIO); /* it is the disk that is gone, not some of what it held */
    }
    int result = r.result < 0 ? r.result : end(&r);
    io_file_close(&r.window.file);
    free(r.window.bytes);
    free(r.whole.bytes);
    return result;
}
