#include "engine/journal/segments.h"

#include "engine/log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SUFFIX ".segment"
#define NUMBER_DIGITS 10
/* Written at once when a file is cleared. */
#define CLEAR_BYTES (1u << 20)
#define RETRY_MS 1000u

void
segments_path(const char *directory, uint64_t number, char *buffer)
{
    snprintf(buffer, SEGMENTS_PATH_BYTES, "%s/%0*" PRIu64 SUFFIX, directory, NUMBER_DIGITS, number);
}

static bool
parse_name(const char *name, uint64_t *number)
{
    char *end;
    if (name[0] < '0' || name[0] > '9') {
        return false;
    }
    errno = 0;
    *number = strtoull(name, &end, 10);
    return errno == 0 && end - name >= NUMBER_DIGITS && strcmp(end, SUFFIX) == 0 && *number < UINT64_MAX;
}

static bool
add(struct segments *s, const struct segment *segment)
{
    if (s->count == s->room) {
        uint32_t room = s->room > 0 ? s->room * 2 : 8;
        struct segment *items = realloc(s->items, room * sizeof *items);
        if (items == NULL) {
            return false;
        }
        s->items = items;
        s->room = room;
    }
    s->items[s->count++] = *segment;
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- opening */

struct listing {
    struct segments *segments;
    bool out_of_memory;
};

static void
list_one(void *context, const char *name)
{
    struct listing *listing = context;
    struct segment segment = {0};
    if (parse_name(name, &segment.number) && !add(listing->segments, &segment)) {
        listing->out_of_memory = true;
    }
}

static int
by_number(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int
fail(char *error, size_t error_size, const char *what, const char *path, int result)
{
    snprintf(error, error_size, "%s '%s': %s", what, path, strerror(-result));
    return result;
}

static int
look_at_head(struct segments *s, struct segment *segment, uint8_t *block, bool *readable, char *error, size_t error_size)
{
    char path[SEGMENTS_PATH_BYTES];
    segments_path(s->options->directory, segment->number, path);
    struct io_file *file = NULL;
    int result = io_file_open(s->options->ios, path, 0, &file);
    int64_t size = result < 0 ? result : io_file_size(file);
    int64_t got = size < 0 ? size : io_file_read(file, 0, block, RECORD_BLOCK_BYTES);
    io_file_close(&file);
    if (got < 0 && (size < 0 || got != -EIO)) {
        return fail(error, error_size, "cannot read", path, (int)got);
    }
    *readable = got >= 0;
    segment->bytes = size < UINT32_MAX ? (uint32_t)size & ~(RECORD_BLOCK_BYTES - 1) : UINT32_MAX & ~(RECORD_BLOCK_BYTES - 1);
    struct record_segment head;
    uint32_t format = 0;
    if (got < RECORD_BLOCK_BYTES || !record_read_segment(block, segment->number, &head, &format)) {
        segment->head = SEGMENT_UNKNOWN;
        return 0;
    }
    if (format != RECORD_FORMAT) {
        snprintf(error, error_size, "'%s' was written by a version of this broker that knows format %u; this one knows format %u", path, format, RECORD_FORMAT);
        return -EPROTONOSUPPORT;
    }
    s->key = head.key;
    if (head.number != segment->number) {
        segment->head = SEGMENT_UNUSED;
        return 0;
    }
    segment->head = head.first_sequence > 0 ? SEGMENT_BEGUN : SEGMENT_READY;
    segment->first_sequence = head.first_sequence;
    return 0;
}

static int
look_at_all(struct segments *s, char *error, size_t error_size)
{
    uint8_t *block = aligned_alloc(IO_FILE_ALIGN, RECORD_BLOCK_BYTES);
    int result = block == NULL ? -ENOMEM : 0;
    uint32_t known = 0, unreadable = 0;
    for (uint32_t i = 0; i < s->count && result == 0; i++) {
        bool readable = true;
        result = look_at_head(s, &s->items[i], block, &readable, error, error_size);
        known += s->items[i].head != SEGMENT_UNKNOWN;
        unreadable += !readable;
    }
    free(block);
    if (result == 0 && known == 0 && unreadable > 0) {
        result = -EIO; /* it is the disk that is gone, not some of what it held */
    }
    return result;
}

int
segments_open(struct segments *s, const struct journal_options *options, char *error, size_t error_size)
{
    *s = (struct segments){.options = options};
    struct listing listing = {.segments = s};
    int result = io_directory_list(options->ios, options->directory, list_one, &listing);
    if (result == 0 && listing.out_of_memory) {
        result = -ENOMEM;
    }
    if (result < 0) {
        return fail(error, error_size, "cannot list", options->directory, result);
    }
    if (s->count > 0) {
        qsort(s->items, s->count, sizeof *s->items, by_number);
    }
    io_random(options->io, &s->key, sizeof s->key);
    error[0] = '\0';
    result = look_at_all(s, error, error_size);
    if (result < 0 && error[0] == '\0') {
        return fail(error, error_size, "cannot look at", options->directory, result);
    }
    s->next_number = s->count > 0 ? s->items[s->count - 1].number + 1 : 1;
    s->full = s->count;
    return result;
}

void
segments_close(struct segments *s)
{
    assert(!s->work.under_way);
    for (uint32_t i = 0; i < s->count; i++) {
        io_file_close(&s->items[i].file);
    }
    free(s->items);
    s->items = NULL;
    s->count = 0;
}

static unsigned
file_flags(const struct segments *s)
{
    return s->options->mode == JOURNAL_ALWAYS ? IO_FILE_DIRECT : 0;
}

static bool
can_be_reserve(const struct segments *s, const struct segment *segment)
{
    return (segment->head == SEGMENT_UNUSED || segment->head == SEGMENT_READY) && segment->bytes == s->options->segment_bytes;
}

/* From the newest to the oldest: what a crash leaves of them can be told from what is good by the same signs as now. */
static int
remove_useless(struct segments *s, uint32_t from, char *path)
{
    for (uint32_t i = s->count; i-- > from;) {
        if (can_be_reserve(s, &s->items[i])) {
            continue;
        }
        segments_path(s->options->directory, s->items[i].number, path);
        int result = io_remove(s->options->ios, path);
        if (result < 0) {
            return result;
        }
        memmove(&s->items[i], &s->items[i + 1], (s->count - i - 1) * sizeof *s->items);
        s->count--;
    }
    return 0;
}

/* The head of a segment that is written to from now on; what has the file lies elsewhere. */
static int
write_head(struct io_file *file, const struct record_segment *head)
{
    uint8_t *block = aligned_alloc(IO_FILE_ALIGN, RECORD_BLOCK_BYTES);
    if (block == NULL) {
        return -ENOMEM;
    }
    record_put_segment(block, head);
    int result = io_file_write(file, 0, block, RECORD_BLOCK_BYTES);
    free(block);
    return result < 0 ? result : io_file_sync(file);
}

/* A new number for one that is in reserve: something may have been written under the old one that looks as if nothing was, because it was not on the disk yet. */
static int
renumber(struct segments *s, struct segment *segment, char *path)
{
    char to[SEGMENTS_PATH_BYTES];
    segments_path(s->options->directory, segment->number, path);
    segments_path(s->options->directory, s->next_number, to);
    int result = io_file_open(s->options->ios, path, file_flags(s), &segment->file);
    if (result == 0) {
        result = write_head(segment->file, &(struct record_segment){.key = s->key, .number = s->next_number, .shard = s->options->shard});
    }
    if (result == 0) {
        result = io_rename(s->options->ios, path, to);
    }
    if (result == 0) {
        segment->head = SEGMENT_READY;
        segment->number = s->next_number++;
    }
    return result;
}

int
segments_begin(struct segments *s, uint32_t full, bool has_active, char *error, size_t error_size)
{
    char path[SEGMENTS_PATH_BYTES];
    int result = remove_useless(s, full + has_active, path);
    if (result < 0) {
        return fail(error, error_size, "cannot remove", path, result);
    }
    for (uint32_t i = full + has_active; i < s->count && result == 0; i++) {
        result = renumber(s, &s->items[i], path);
    }
    if (result < 0) {
        return fail(error, error_size, "cannot prepare", path, result);
    }
    result = io_directory_sync(s->options->ios, s->options->directory);
    if (result < 0) {
        return fail(error, error_size, "cannot write", s->options->directory, result);
    }
    if (has_active) {
        segments_path(s->options->directory, s->items[full].number, path);
        result = io_file_open(s->options->ios, path, file_flags(s), &s->items[full].file);
    }
    if (result < 0) {
        return fail(error, error_size, "cannot open", path, result);
    }
    s->full = full;
    s->has_active = has_active;
    return 0;
}

/* ----------------------------------------------------------------------------------------------------------------- work */

static int
write_work_head(const struct segments_work *work, struct io_file *file)
{
    return write_head(file, &(struct record_segment){.key = work->key, .number = work->segment.number, .shard = work->shard});
}

static int
clear_file(struct segments_work *work, struct io_file *file)
{
    uint32_t step = work->segment.bytes < CLEAR_BYTES ? work->segment.bytes : CLEAR_BYTES;
    uint8_t *bytes = aligned_alloc(IO_FILE_ALIGN, step);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    memset(bytes, 0, step);
    int result = 0;
    for (uint32_t at = 0; at < work->segment.bytes && result == 0; at += step) {
        uint32_t left = work->segment.bytes - at;
        result = io_file_write(file, at, bytes, left < step ? left : step);
    }
    free(bytes);
    return result < 0 ? result : write_work_head(work, file);
}

static int
make_file(struct segments_work *work, const char *path)
{
    int result = io_file_open(work->ios, path, IO_FILE_CREATE | work->file_flags, &work->segment.file);
    if (result == 0) {
        result = clear_file(work, work->segment.file);
    }
    if (result == 0) {
        result = io_directory_sync(work->ios, work->directory);
    }
    if (result < 0) {
        io_file_close(&work->segment.file);
        io_remove(work->ios, path);
    }
    return result;
}

/* What a failure leaves behind is removed, under its old name, or cleared when the new name is tried again. */
static int
reuse_file(struct segments_work *work, const char *path)
{
    char from[SEGMENTS_PATH_BYTES];
    segments_path(work->directory, work->from, from);
    int result = io_file_open(work->ios, from, work->file_flags, &work->segment.file);
    if (result == 0) {
        result = write_work_head(work, work->segment.file);
    }
    if (result == 0) {
        result = io_rename(work->ios, from, path);
    }
    if (result == 0) {
        result = io_directory_sync(work->ios, work->directory);
    }
    if (result < 0) {
        io_file_close(&work->segment.file);
    }
    return result;
}

/* Again after its directory could not be synced, or after a failed use: then it may be gone already. */
static int
remove_file(struct segments_work *work)
{
    char from[SEGMENTS_PATH_BYTES];
    segments_path(work->directory, work->from, from);
    int result = io_remove(work->ios, from);
    return result < 0 && result != -ENOENT ? result : io_directory_sync(work->ios, work->directory);
}

static void
run(struct job *job)
{
    struct segments_work *work = (struct segments_work *)job;
    char path[SEGMENTS_PATH_BYTES];
    segments_path(work->directory, work->segment.number, path);
    switch ((enum segments_task)work->task) {
    case SEGMENTS_MAKE:
        work->result = make_file(work, path);
        break;
    case SEGMENTS_REUSE:
        work->result = reuse_file(work, path);
        break;
    case SEGMENTS_REMOVE:
        work->result = remove_file(work);
        break;
    }
}

static void
run_work(void *argument)
{
    run(argument);
}

static void
done(struct shard *shard, struct job *job)
{
    (void)shard;
    segments_worked(((struct segments_work *)job)->owner);
}

static void
start(struct segments *s, enum segments_task task, uint64_t now_ms)
{
    struct segments_work *work = &s->work;
    *work = (struct segments_work){
        .job = {.run = run, .done = done},
        .owner = s,
        .ios = s->options->ios,
        .task = task,
        .under_way = true,
        .result = -ECANCELED,
        .segment = {.number = s->next_number, .bytes = s->options->segment_bytes, .head = SEGMENT_READY},
        .from = s->count > 0 ? s->items[0].number : 0,
        .key = s->key,
        .shard = s->options->shard,
        .file_flags = file_flags(s),
        .directory = s->options->directory,
        .now_ms = now_ms,
    };
    if (!io_work(s->options->io, IO_WORK_DISK, run_work, work)) {
        work->under_way = false;
        s->retry_ms = s->remove_retry_ms = now_ms + RETRY_MS;
    }
}

/* ------------------------------------------------------------------------------------------------------------- upkeep */

static bool
limit_allows_one_more(const struct segments *s)
{
    uint64_t limit = s->options->bytes_max;
    return limit == 0 || segments_bytes(s) + s->options->segment_bytes <= limit;
}

/* `result` 0: the limit. */
static void
starve(struct segments *s, int result, uint64_t now_ms)
{
    s->retry_ms = now_ms + RETRY_MS;
    if (s->starved) {
        return;
    }
    s->starved = true;
    if (result == 0) {
        log_line(CONFIG_LOG_ERROR, "Error: the journal of shard %u has its share of persistence_disk_limit, %" PRIu64 " bytes: what needs more is refused until something is given back",
                 s->options->shard, s->options->bytes_max);
    } else {
        log_line(CONFIG_LOG_ERROR, "Error: the journal of shard %u cannot have another file in '%s': %s. What needs the disk is refused until it can", s->options->shard,
                 s->options->directory, strerror(-result));
    }
}

static void
heal(struct segments *s)
{
    s->retry_ms = 0;
    if (s->starved && segments_reserve(s) >= SEGMENTS_RESERVE) {
        s->starved = false;
        log_line(CONFIG_LOG_NOTICE, "The journal of shard %u has room again", s->options->shard);
    }
}

static bool
oldest_is_free(const struct segments *s)
{
    return s->dead > 0 && s->items[0].file == NULL;
}

static bool
can_be_reused(const struct segments *s, const struct segment *segment)
{
    uint64_t limit = s->options->bytes_max;
    bool too_many = limit > 0 && segments_bytes(s) > limit;
    return !segment->spoilt && segment->bytes == s->options->segment_bytes && segments_reserve(s) < (too_many ? SEGMENTS_RESERVE : SEGMENTS_RESERVE_MAX);
}

void
segments_upkeep(struct segments *s, uint64_t now_ms)
{
    if (s->work.under_way) {
        return;
    }
    if (oldest_is_free(s) && now_ms >= s->remove_retry_ms) {
        start(s, can_be_reused(s, &s->items[0]) ? SEGMENTS_REUSE : SEGMENTS_REMOVE, now_ms);
    } else if (segments_reserve(s) < SEGMENTS_RESERVE && now_ms >= s->retry_ms) {
        if (limit_allows_one_more(s) || (s->wanted && segments_reserve(s) == 0)) {
            start(s, SEGMENTS_MAKE, now_ms);
        } else {
            starve(s, 0, now_ms);
        }
    }
}

static void
drop_oldest(struct segments *s)
{
    memmove(s->items, s->items + 1, --s->count * sizeof *s->items);
    s->dead--;
    s->full--;
}

/* The oldest one could not be used again: then it goes. Or not even that: another one is made meanwhile. */
static void
spoil_oldest(struct segments *s)
{
    const struct segments_work *work = &s->work;
    struct segment *oldest = &s->items[0];
    if (work->task == SEGMENTS_REMOVE) {
        s->remove_retry_ms = work->now_ms + RETRY_MS;
    }
    if (!oldest->spoilt) {
        oldest->spoilt = true;
        log_line(CONFIG_LOG_WARNING, "Warning: '%s/%010" PRIu64 ".segment', a file of the journal of shard %u that holds nothing any more, cannot be %s: %s", s->options->directory,
                 oldest->number, s->options->shard, work->task == SEGMENTS_REUSE ? "used again, and is removed" : "removed", strerror(-work->result));
    }
}

static void
work_failed(struct segments *s)
{
    if (s->work.task == SEGMENTS_MAKE) {
        starve(s, s->work.result, s->work.now_ms);
    } else {
        spoil_oldest(s);
    }
}

uint64_t
segments_next_ms(const struct segments *s)
{
    uint64_t make = s->retry_ms > 0 ? s->retry_ms : UINT64_MAX;
    uint64_t remove = oldest_is_free(s) && s->remove_retry_ms > 0 ? s->remove_retry_ms : UINT64_MAX;
    return s->work.under_way ? UINT64_MAX : make < remove ? make : remove;
}

void
segments_worked(struct segments *s)
{
    struct segments_work *work = &s->work;
    assert(work->under_way);
    work->under_way = false;
    if (work->result == -ECANCELED) {
        return; /* the broker ends */
    }
    if (work->result < 0) {
        work_failed(s);
        return;
    }
    if (work->task != SEGMENTS_MAKE) {
        drop_oldest(s);
        s->remove_retry_ms = 0;
    }
    if (work->task != SEGMENTS_REMOVE) {
        s->next_number++;
        if (!add(s, &work->segment)) {
            io_file_close(&work->segment.file); /* out of memory: the next start finds it */
            return;
        }
    }
    heal(s);
}

void
segments_release(struct segment *segment)
{
    if (!segment->dirty && !segment->flushing && segment->reads == 0) {
        io_file_close(&segment->file);
    }
}

int
segments_begin_read(struct segments *s, struct segment *segment)
{
    char path[SEGMENTS_PATH_BYTES];
    int result = 0;
    if (segment->file == NULL) {
        segments_path(s->options->directory, segment->number, path);
        result = io_file_open(s->options->ios, path, file_flags(s), &segment->file);
    }
    segment->reads += result == 0;
    return result;
}

void
segments_end_read(struct segments *s, struct segment *segment)
{
    segment->reads--;
    if (segment < s->items + s->full) {
        segments_release(segment);
    }
}

bool
segments_rotate(struct segments *s, uint64_t position)
{
    s->wanted = segments_reserve(s) == 0;
    if (s->wanted) {
        return false;
    }
    if (s->has_active) {
        segments_release(&s->items[s->full++]);
    }
    s->has_active = true;
    s->items[s->full].first_position = position;
    return true;
}

void
segments_cut(struct segments *s, uint64_t position)
{
    while (s->dead < s->full && s->dead + 1 < s->full + s->has_active && s->items[s->dead + 1].first_position <= position) {
        s->dead++;
    }
}

uint64_t
segments_reserve_bytes(const struct segments *s)
{
    uint64_t bytes = 0;
    for (uint32_t i = s->full + s->has_active; i < s->count; i++) {
        bytes += s->items[i].bytes - RECORD_BLOCK_BYTES;
    }
    return bytes;
}

uint64_t
segments_bytes(const struct segments *s)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        bytes += s->items[i].bytes;
    }
    return bytes;
}
