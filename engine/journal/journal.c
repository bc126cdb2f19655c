#include "engine/journal/journal.h"

#include "engine/journal/internal.h"

#include "engine/journal/fetch.h"
#include "engine/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Of a segment that is to hold at least one batch of a few blocks. */
#define SEGMENT_BYTES_MIN (8 * RECORD_BLOCK_BYTES)
/* A record that is cut leaves no piece smaller than that behind, as a share of what may be cut. */
#define PIECE_SHARE 8u
/* Of records that are not cut: it is what the end of a segment may lose to nothing. */
#define CUT_SIZE_MAX (256u << 10)
#define RETRY_MS 1000u
/* The part of a segment that has to be free while no other can be had: what is under way finds room in it. */
#define STUCK_SHARE 8u

/* ---------------------------------------------------------------------------------------------------------------- life */

static bool
options_are_good(const struct journal_options *options, char *error, size_t error_size)
{
    if (options->segment_bytes < SEGMENT_BYTES_MIN || options->segment_bytes % IO_FILE_ALIGN != 0) {
        snprintf(error, error_size, "a segment of %u bytes is not a multiple of %u of at least %u bytes", options->segment_bytes, IO_FILE_ALIGN, SEGMENT_BYTES_MIN);
        return false;
    }
    uint64_t least = (uint64_t)options->segment_bytes * (1 + SEGMENTS_RESERVE);
    if (options->bytes_max > 0 && options->bytes_max < least) {
        snprintf(error, error_size, "a limit of %" PRIu64 " bytes for the journal of a shard is below %u segments: at least %" PRIu64 " bytes are needed", options->bytes_max,
                 1 + SEGMENTS_RESERVE, least);
        return false;
    }
    return true;
}

struct journal *
journal_open(const struct journal_options *options, char *error, size_t error_size)
{
    if (!options_are_good(options, error, error_size)) {
        return NULL;
    }
    struct journal *j = calloc(1, sizeof *j);
    char *directory = strdup(options->directory);
    uint32_t capacity = options->segment_bytes - RECORD_BLOCK_BYTES;
    uint32_t batch_max = capacity < RECORD_BATCH_BYTES_MAX ? capacity : RECORD_BATCH_BYTES_MAX;
    uint8_t *buffer = aligned_alloc(IO_FILE_ALIGN, RECORD_BLOCK_BYTES + batch_max);
    if (j == NULL || directory == NULL || buffer == NULL) {
        snprintf(error, error_size, "out of memory");
        free(j);
        free(directory);
        free(buffer);
        return NULL;
    }
    *j = (struct journal){
        .options = *options,
        .directory = directory,
        .commit = {.buffer = buffer},
        .flush = {.due_ms = UINT64_MAX},
        .batch_max = batch_max,
        .cut_size = batch_max / 4 < CUT_SIZE_MAX ? batch_max / 4 : CUT_SIZE_MAX,
    };
    j->options.directory = directory;
    waiting_init(&j->waiting, options->account);
    budget_charge(options->account, RECORD_BLOCK_BYTES + batch_max);
    if (segments_open(&j->segments, &j->options, error, error_size) < 0) {
        journal_close(&j);
        return NULL;
    }
    for (uint32_t i = 0; i < j->segments.count; i++) {
        j->to_read += j->segments.items[i].head == SEGMENT_BEGUN ? j->segments.items[i].bytes : 0;
    }
    return j;
}

void
journal_close(struct journal **journal)
{
    struct journal *j = *journal;
    if (j == NULL) {
        return;
    }
    fetch_end_all(j);
    free(j->placed.items);
    segments_close(&j->segments);
    waiting_fini(&j->waiting);
    budget_refund(j->options.account, RECORD_BLOCK_BYTES + j->batch_max);
    free(j->commit.buffer);
    free(j->directory);
    free(j);
    *journal = NULL;
}

/* -------------------------------------------------------------------------------------------------------------- waiting */

static struct waiting_record *
append(struct journal *j, uint8_t type, uint32_t size)
{
    assert(j->read && type > 0 && type <= JOURNAL_TYPE_MAX);
    j->counts.records++;
    j->counts.record_bytes += size;
    return waiting_append(&j->waiting, type, size);
}

uint64_t
journal_append(struct journal *j, uint8_t type, uint32_t size, uint8_t **content)
{
    struct waiting_record *record = append(j, type, size);
    *content = record->content;
    return record->position;
}

uint64_t
journal_append_placed(struct journal *j, uint8_t type, uint32_t size, uint8_t **content)
{
    struct waiting_record *record = append(j, type, size);
    record->placed = true;
    *content = record->content;
    return record->position;
}

static struct waiting_record *
find(const struct journal *j, uint64_t position)
{
    bool too_late = j->cut_progress > 0 && position == j->waiting.first;
    return too_late ? NULL : waiting_find(&j->waiting, position);
}

uint8_t *
journal_waiting(struct journal *j, uint64_t position, uint32_t *size)
{
    struct waiting_record *record = find(j, position);
    if (record == NULL) {
        return NULL;
    }
    *size = record->size;
    return record->content;
}

void
journal_void(struct journal *j, uint64_t position)
{
    struct waiting_record *record = find(j, position);
    assert(record != NULL);
    waiting_void(&j->waiting, record);
    j->counts.records--;
    j->counts.record_bytes -= record->size;
    j->counts.voided++;
}

/* ------------------------------------------------------------------------------------------------------------ assembling */

static uint32_t
room_for_batch(const struct journal *j, const struct segment *segment)
{
    uint32_t offset = j->offset > 0 ? j->offset : RECORD_BLOCK_BYTES;
    uint32_t left = segment->bytes - offset;
    return left < j->batch_max ? left : j->batch_max;
}

/* Bytes of content that the record can begin with in so much room; 0: none of it. */
static uint32_t
share_of(const struct journal *j, const struct waiting_record *record, uint32_t room)
{
    uint32_t left = record->size - j->cut_progress;
    if (left <= room) {
        return left;
    }
    bool may_be_cut = record->size > j->cut_size && room >= j->cut_size / PIECE_SHARE;
    return may_be_cut ? room : 0;
}

/* True if the first waiting record, or a piece of it, can be written to the active segment. */
static bool
fits(const struct journal *j, const struct segment *segment, const struct waiting_record *record)
{
    uint32_t room = room_for_batch(j, segment);
    return room >= RECORD_BLOCK_BYTES && (record->size == 0 || share_of(j, record, room - RECORD_BATCH_HEAD_BYTES - RECORD_HEAD_BYTES) > 0);
}

static bool
rotate(struct journal *j)
{
    if (!segments_rotate(&j->segments, j->assembled)) {
        return false;
    }
    j->offset = 0;
    j->leave_segment = false;
    return true;
}

/* Where in the positions it is, what has been put into batches so far. */
static uint64_t
position_now(const struct journal *j)
{
    return j->waiting.first + (j->cut_progress > 0 ? RECORD_HEAD_BYTES + j->cut_progress : 0);
}

/* Its first piece, or all of it, goes to this place in the batch. */
static void
note_placed(struct journal *j, const struct waiting_record *record, uint32_t offset)
{
    struct placed_queue *q = &j->placed;
    if (q->count == q->room) {
        uint32_t room = q->room > 0 ? q->room * 2 : 16;
        q->items = realloc(q->items, room * sizeof *q->items);
        if (q->items == NULL) {
            fprintf(stderr, "tidewire: out of memory for what the journal is to tell\n");
            abort();
        }
        q->room = room;
    }
    q->items[q->count++] =
        (struct placed){.position = record->position, .end = record->position + waiting_footprint(record->size), .place = {.offset = offset}};
}

/* A batch was written, beginning at `start` of the active segment. */
static void
tell_placed(struct journal *j, uint32_t start)
{
    struct placed_queue *q = &j->placed;
    if (q->count == 0) {
        return;
    }
    for (uint32_t i = 0; i < q->count; i++) {
        struct placed *p = &q->items[i];
        if (!p->written) {
            p->written = true;
            p->place.segment = segments_active(&j->segments)->number;
            p->place.offset += start;
        }
    }
    uint32_t told = 0;
    for (; told < q->count && q->items[told].end <= j->committed; told++) {
        j->options.placed(j->options.owner, q->items[told].position, &q->items[told].place);
    }
    q->count -= told;
    memmove(q->items, q->items + told, q->count * sizeof *q->items);
}

/* Puts the record, or as much of it as there is room for, into the batch. False: it waits for the next one. */
static bool
assemble_one(struct journal *j, struct record_writer *w, struct waiting_record *record)
{
    uint32_t left = record->size - j->cut_progress;
    bool room_for_head = record_content_room(w) > 0 || w->room - w->used == RECORD_HEAD_BYTES;
    uint32_t share = room_for_head ? share_of(j, record, record_content_room(w)) : 0;
    if (!room_for_head || (share == 0 && record->size > 0)) {
        return false;
    }
    uint8_t type = record->type | (j->cut_progress > 0 ? RECORD_CONTINUES : 0) | (share < left ? RECORD_MORE : 0);
    if (record->placed && j->cut_progress == 0) {
        note_placed(j, record, w->used);
    }
    record_add(w, type, record->content + j->cut_progress, share);
    if (share < left) {
        j->cut_progress += share;
        return false;
    }
    j->cut_progress = 0;
    waiting_take(&j->waiting);
    return true;
}

static void
assemble(struct journal *j, const struct segment *segment)
{
    struct record_writer w;
    struct commit *commit = &j->commit;
    commit->start_position = position_now(j);
    commit->first_sequence = j->next_sequence;
    record_begin(&w, commit->buffer + RECORD_BLOCK_BYTES, room_for_batch(j, segment) & ~(RECORD_BLOCK_BYTES - 1), record_seed(j->segments.key, segment->number),
                 j->next_sequence);
    struct waiting_record *record;
    while ((record = waiting_first(&j->waiting)) != NULL && assemble_one(j, &w, record)) {
    }
    assert(w.count > 0);
    uint64_t durable = j->options.mode == JOURNAL_ALWAYS ? j->next_sequence : j->durable_sequence;
    commit->bytes = record_finish(&w, commit->start_position, durable);
    j->next_sequence += w.count;
    commit->end_sequence = j->next_sequence;
    j->assembled = commit->end_position = position_now(j);
}

/* -------------------------------------------------------------------------------------------------------------- writing */

static uint64_t
commit_token(const struct journal *j)
{
    return (uint64_t)(uintptr_t)&j->commit;
}

static uint64_t
flush_token(const struct journal *j)
{
    return (uint64_t)(uintptr_t)&j->flush;
}

/* The batch in the buffer goes to the active segment, with the segment's head if it is the first one there. */
static void
put(struct journal *j)
{
    struct segment *active = segments_active(&j->segments);
    struct commit *commit = &j->commit;
    const uint8_t *bytes = commit->buffer + RECORD_BLOCK_BYTES;
    uint32_t size = commit->bytes;
    if (j->offset == 0) {
        struct record_segment head = {
            .key = j->segments.key, .number = active->number, .first_sequence = commit->first_sequence, .shard = j->options.shard};
        record_put_segment(commit->buffer, &head);
        active->head = SEGMENT_BEGUN;
        active->first_sequence = commit->first_sequence;
        bytes = commit->buffer;
        size += RECORD_BLOCK_BYTES;
    }
    commit->state = COMMIT_UNDER_WAY;
    io_file_put(j->options.io, active->file, j->offset, bytes, size, j->options.mode == JOURNAL_ALWAYS, commit_token(j));
}

/* Nothing waits that would have to be written: what was voided counts as committed. */
static void
pass_voided(struct journal *j)
{
    j->assembled = j->committed = j->waiting.end;
    if (j->durable_sequence == j->next_sequence) {
        j->durable = j->committed;
    }
}

static void
begin_write(struct journal *j)
{
    struct waiting_record *record = waiting_first(&j->waiting);
    if (record == NULL) {
        pass_voided(j);
        return;
    }
    struct segment *active = segments_active(&j->segments);
    if (active == NULL || j->leave_segment || !fits(j, active, record)) {
        if (!rotate(j)) {
            return; /* segments_upkeep() is about it */
        }
        active = segments_active(&j->segments);
    }
    assemble(j, active);
    put(j);
}

/* The first time into a new segment, then to the same place every second. */
static void
write_again(struct journal *j)
{
    struct commit *commit = &j->commit;
    if (commit->failures == 1) {
        if (!segments_rotate(&j->segments, commit->start_position)) {
            return;
        }
        j->offset = 0;
        record_reseal(commit->buffer + RECORD_BLOCK_BYTES, record_seed(j->segments.key, segments_active(&j->segments)->number));
        commit->failures++;
        put(j);
    } else if (j->now_ms >= commit->retry_ms) {
        put(j);
    }
}

static void
write_failed(struct journal *j, int result)
{
    struct commit *commit = &j->commit;
    commit->state = COMMIT_FAILED;
    j->counts.failed_writes++;
    if (commit->failures == 0) {
        commit->failures = 1;
        log_line(CONFIG_LOG_ERROR, "Error: the journal of shard %u cannot write to '%s/%010" PRIu64 ".segment': %s. The same is written to another file", j->options.shard,
                 j->directory, segments_active(&j->segments)->number, strerror(-result));
    } else {
        if (commit->failures == 2) {
            log_line(CONFIG_LOG_ERROR, "Error: the journal of shard %u cannot write to another file either: %s. What needs the disk is refused until it can", j->options.shard,
                     strerror(-result));
        }
        commit->failures = 3;
    }
    commit->retry_ms = j->now_ms + RETRY_MS;
}

static void
written(struct journal *j, int result)
{
    struct commit *commit = &j->commit;
    uint32_t size = commit->bytes + (j->offset == 0 ? RECORD_BLOCK_BYTES : 0);
    assert(commit->state == COMMIT_UNDER_WAY);
    if (result != (int)size) {
        write_failed(j, result < 0 ? result : -EIO);
        return;
    }
    if (commit->failures > 2) {
        log_line(CONFIG_LOG_NOTICE, "The journal of shard %u can be written again", j->options.shard);
    }
    commit->state = COMMIT_NONE;
    commit->failures = 0;
    j->offset += size;
    j->counts.writes++;
    j->counts.written_bytes += size;
    j->committed = commit->end_position;
    if (j->options.mode == JOURNAL_ALWAYS) {
        j->durable = j->committed;
        j->durable_sequence = commit->end_sequence;
    } else {
        segments_active(&j->segments)->dirty = true;
        j->flush.due_ms = j->flush.due_ms == UINT64_MAX ? j->now_ms + j->options.interval_ms : j->flush.due_ms;
    }
    tell_placed(j, j->offset - commit->bytes);
}

/* ------------------------------------------------------------------------------------------------------------- flushing */

/* Full segments that nobody needs open any more. */
static void
close_clean(struct journal *j)
{
    for (uint32_t i = 0; i < j->segments.full; i++) {
        segments_release(&j->segments.items[i]);
    }
}

static bool
full_one_is_dirty(const struct journal *j)
{
    return j->segments.full > 0 && j->segments.items[j->segments.full - 1].dirty;
}

static bool
flush_is_due(const struct journal *j)
{
    if (j->flush.under_way > 0 || j->flush.due_ms == UINT64_MAX) {
        return false;
    }
    if (j->now_ms < j->flush.retry_ms) {
        return false;
    }
    bool cut_waits = j->cut.after > 0 && j->cut.after <= j->committed;
    bool timed = j->options.mode == JOURNAL_INTERVAL && j->now_ms >= j->flush.due_ms;
    /* Without an interval: each segment when it is full, so that it can be closed. */
    return timed || cut_waits || j->finishing || full_one_is_dirty(j);
}

static void
begin_flush(struct journal *j)
{
    struct flush *flush = &j->flush;
    flush->position = j->committed;
    flush->sequence = j->commit.state == COMMIT_NONE ? j->next_sequence : j->commit.first_sequence;
    flush->failed = false;
    flush->due_ms = UINT64_MAX;
    for (uint32_t i = 0; i < j->segments.full + j->segments.has_active; i++) {
        struct segment *segment = &j->segments.items[i];
        if (segment->dirty) {
            segment->dirty = false;
            segment->flushing = true;
            flush->under_way++;
            io_file_flush(j->options.io, segment->file, flush_token(j));
        }
    }
}

/* What was to stand in for what lies before them may be lost itself. */
static void
withdraw_cuts(struct journal *j)
{
    if (j->cut.position < j->flush.doubtful) {
        j->cut = j->next_cut;
        j->next_cut = (struct cut){0};
    }
    if (j->cut.position < j->flush.doubtful) {
        j->cut = (struct cut){0};
    }
}

static void
flush_failed(struct journal *j, int result)
{
    struct flush *flush = &j->flush;
    log_line(CONFIG_LOG_ERROR, "Error: the journal of shard %u cannot be flushed: %s. What was written since the last time is lost if the machine stops now", j->options.shard,
             strerror(-result));
    flush->failed = true;
    flush->retry_ms = j->now_ms + RETRY_MS;
    flush->doubtful = j->committed;
    withdraw_cuts(j);
    j->counts.failed_writes++;
}

/* One of them; the last one says what all of them mean. */
static void
flushed(struct journal *j, int result)
{
    struct flush *flush = &j->flush;
    assert(flush->under_way > 0);
    if (result < 0) {
        flush_failed(j, result);
    }
    if (--flush->under_way > 0) {
        return;
    }
    for (uint32_t i = 0; i < j->segments.full + j->segments.has_active; i++) {
        struct segment *segment = &j->segments.items[i];
        segment->dirty |= segment->flushing && flush->failed;
        segment->flushing = false;
    }
    if (flush->failed) {
        flush->due_ms = j->now_ms;
        j->leave_segment = true;
        return;
    }
    j->counts.flushes++;
    j->durable = flush->position;
    j->durable_sequence = flush->sequence;
    close_clean(j);
}

/* ----------------------------------------------------------------------------------------------------------------- turns */

static void
cut_if_due(struct journal *j)
{
    if (j->cut.after > 0 && j->cut.after <= j->durable) {
        segments_cut(&j->segments, j->cut.position);
        j->cut = j->next_cut;
        j->next_cut = (struct cut){0};
    }
}

void
journal_submit(struct journal *j, uint64_t now_ms)
{
    j->now_ms = now_ms;
    if (j->commit.state == COMMIT_NONE && j->waiting.first < j->waiting.end) {
        begin_write(j);
    } else if (j->commit.state == COMMIT_FAILED) {
        write_again(j);
    }
    if (flush_is_due(j)) {
        begin_flush(j);
    }
    cut_if_due(j);
    fetch_tell_failed(j);
    segments_upkeep(&j->segments, now_ms);
}

bool
journal_event(struct journal *j, const struct io_event *event)
{
    if (event->type == IO_FILE_DONE && event->token == commit_token(j)) {
        written(j, event->result);
    } else if (event->type == IO_FILE_DONE && event->token == flush_token(j)) {
        flushed(j, event->result);
    } else if (event->type == IO_WORKED && event->token == (uint64_t)(uintptr_t)&j->segments.work) {
        segments_worked(&j->segments);
    } else {
        return event->type == IO_FILE_DONE && fetch_event(j, event);
    }
    return true;
}

static uint64_t
earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t
journal_next_ms(const struct journal *j)
{
    uint64_t next = j->fetches_failed > 0 ? 0 : segments_next_ms(&j->segments);
    if (j->commit.state == COMMIT_FAILED && j->commit.failures > 1) {
        next = earlier(next, j->commit.retry_ms);
    }
    if (j->options.mode == JOURNAL_INTERVAL && j->flush.under_way == 0) {
        uint64_t due = j->flush.due_ms > j->flush.retry_ms ? j->flush.due_ms : j->flush.retry_ms;
        next = earlier(next, due);
    }
    return next;
}

void
journal_finish(struct journal *j)
{
    j->finishing = true;
}

bool
journal_is_idle(const struct journal *j)
{
    bool flushed_all = j->flush.under_way == 0 && (!j->finishing || j->flush.due_ms == UINT64_MAX);
    return journal_committed(j) == j->waiting.end && flushed_all && !j->segments.work.under_way;
}

/* ------------------------------------------------------------------------------------------------------------- questions */

uint64_t
journal_end(const struct journal *j)
{
    return j->waiting.end;
}

uint64_t
journal_committed(const struct journal *j)
{
    /* Who waits for what was voided waits for nothing, if there is nothing else. */
    bool only_voided = j->commit.state == COMMIT_NONE && j->waiting.end - j->waiting.first == j->waiting.voided_bytes;
    return only_voided ? j->waiting.end : j->committed;
}

uint64_t
journal_backlog(const struct journal *j)
{
    uint64_t waits = j->waiting.end - j->waiting.first - j->waiting.voided_bytes - j->cut_progress;
    return waits + (j->commit.state != COMMIT_NONE ? j->commit.bytes : 0);
}

uint64_t
journal_room_left(const struct journal *j)
{
    uint64_t room = segments_reserve_bytes(&j->segments);
    const struct segments *s = &j->segments;
    room += s->has_active ? s->items[s->full].bytes - j->offset : 0;
    uint64_t backlog = journal_backlog(j);
    return room > backlog ? room - backlog : 0;
}

enum journal_room
journal_room(const struct journal *j)
{
    if (!j->segments.starved && j->commit.failures < 3) {
        return JOURNAL_FREE;
    }
    return journal_room_left(j) < j->options.segment_bytes / STUCK_SHARE ? JOURNAL_STUCK : JOURNAL_FULL;
}

uint64_t
journal_bytes_used(const struct journal *j)
{
    return segments_bytes(&j->segments);
}

void
journal_cut(struct journal *j, uint64_t position)
{
    if (position < j->flush.doubtful) {
        return; /* what was to stand in for what lies before may be lost itself */
    }
    struct cut *cut = j->cut.after == 0 ? &j->cut : &j->next_cut;
    *cut = (struct cut){.position = position, .after = j->waiting.end};
}

uint64_t
journal_segment_start(const struct journal *j)
{
    const struct segments *s = &j->segments;
    return s->has_active ? s->items[s->full].first_position : j->assembled;
}

void
journal_counts(const struct journal *j, struct journal_counts *counts)
{
    *counts = j->counts;
}

uint64_t
journal_bytes_to_read(const struct journal *j)
{
    return atomic_load_explicit(&j->to_read, memory_order_relaxed);
}

uint64_t
journal_bytes_read(const struct journal *j)
{
    return atomic_load_explicit(&j->been_read, memory_order_relaxed);
}
