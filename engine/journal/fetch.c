#include "engine/journal/fetch.h"

#include "engine/journal/internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct fetch {
    struct fetch *next, *previous;
    uint64_t token;
    struct journal_place at; /* of the first piece, then of the batches that begin with the others */
    uint64_t sequence;       /* of the last piece that was read */
    uint32_t size, got;      /* of the content */
    int error;               /* it could not begin */
    bool in_next_segment;    /* it was not where it would have been without one */
    uint8_t *content;        /* NULL: in `block` as a whole */
    uint8_t *block;
    uint32_t block_start, block_bytes; /* what is read into it of the segment */
    struct bytes whole;      /* once it is there */
};

/* Its number among the items; UINT32_MAX: there is none any more. */
static uint32_t
find_segment(const struct segments *s, uint64_t number)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->items[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < s->count && s->items[low].number == number ? low : UINT32_MAX;
}

static bool
is_first(const struct fetch *f)
{
    return f->got == 0;
}

/* What is to be read next, and room for it. */
static int
prepare(const struct journal *j, struct fetch *f)
{
    uint32_t item = find_segment(&j->segments, f->at.segment);
    uint32_t end = item != UINT32_MAX ? j->segments.items[item].bytes : 0;
    if (f->at.offset >= end) {
        return -EBADMSG;
    }
    uint64_t wanted = (uint64_t)(is_first(f) ? 0 : RECORD_BATCH_HEAD_BYTES) + RECORD_HEAD_BYTES + (f->size - f->got);
    uint64_t to = f->at.offset + (wanted < j->batch_max ? wanted : j->batch_max);
    f->block_start = f->at.offset & ~(RECORD_BLOCK_BYTES - 1);
    f->block_bytes = record_blocks((uint32_t)(to < end ? to : end)) - f->block_start;
    free(f->block);
    f->block = aligned_alloc(IO_FILE_ALIGN, f->block_bytes);
    return f->block != NULL ? 0 : -ENOMEM;
}

static bool
read_piece(const struct journal *j, const struct fetch *f, struct record *out)
{
    uint64_t seed = record_seed(j->segments.key, f->at.segment);
    const uint8_t *data = f->block + (f->at.offset - f->block_start);
    uint32_t room = f->block_bytes - (f->at.offset - f->block_start);
    if (is_first(f)) {
        return record_read(data, room, seed, out) && (out->type & RECORD_CONTINUES) == 0;
    }
    struct record_batch batch;
    if (room < RECORD_BATCH_HEAD_BYTES || !record_read_batch(data, j->batch_max, seed, &batch) || batch.first_sequence != f->sequence + 1) {
        return false;
    }
    bool good = record_read(data + RECORD_BATCH_HEAD_BYTES, room - RECORD_BATCH_HEAD_BYTES, seed, out);
    return good && (out->type & RECORD_CONTINUES) != 0 && out->sequence == batch.first_sequence;
}

static int
go_to_next_segment(const struct journal *j, struct fetch *f)
{
    uint32_t item = find_segment(&j->segments, f->at.segment);
    if (f->in_next_segment || item == UINT32_MAX || item + 1 >= j->segments.count) {
        return -EBADMSG;
    }
    f->in_next_segment = true;
    f->at = (struct journal_place){.segment = j->segments.items[item + 1].number, .offset = RECORD_BLOCK_BYTES};
    return 0;
}

static int
add_piece(const struct journal *j, struct fetch *f, const struct record *piece)
{
    uint32_t head = (is_first(f) ? 0 : RECORD_BATCH_HEAD_BYTES) + RECORD_HEAD_BYTES;
    if (piece->content.size == 0 || piece->content.size > f->size - f->got) {
        return -EBADMSG;
    }
    if (f->content == NULL) {
        f->content = malloc(f->size);
        if (f->content == NULL) {
            return -ENOMEM;
        }
    }
    memcpy(f->content + f->got, piece->content.data, piece->content.size);
    f->got += piece->content.size;
    f->sequence = piece->sequence;
    f->whole = bytes_of(f->content, f->size);
    f->in_next_segment = false;
    f->at.offset = record_blocks(f->at.offset + head + record_padded(piece->content.size));
    uint32_t item = find_segment(&j->segments, f->at.segment);
    bool more = (piece->type & RECORD_MORE) != 0;
    return more && item != UINT32_MAX && f->at.offset >= j->segments.items[item].bytes ? go_to_next_segment(j, f) : 0;
}

/* What was prepared has been read. 1: it is all there; 0: more is to be prepared; or -errno. */
static int
take(const struct journal *j, struct fetch *f, int64_t result)
{
    struct record piece;
    if (result < 0) {
        return (int)result;
    }
    if (result < (int64_t)f->block_bytes || !read_piece(j, f, &piece)) {
        return is_first(f) ? -EBADMSG : go_to_next_segment(j, f);
    }
    bool more = (piece.type & RECORD_MORE) != 0;
    if (is_first(f) && !more) {
        f->whole = piece.content;
        return piece.content.size == f->size ? 1 : -EBADMSG;
    }
    int added = add_piece(j, f, &piece);
    if (added < 0 || more) {
        return added < 0 ? added : f->got < f->size ? 0 : -EBADMSG;
    }
    return f->got == f->size ? 1 : -EBADMSG;
}

/* ------------------------------------------------------------------------------------------------------------- at once */

static int64_t
read_now(struct journal *j, struct fetch *f)
{
    char path[SEGMENTS_PATH_BYTES];
    struct io_file *file = NULL;
    segments_path(j->directory, f->at.segment, path);
    int64_t result = io_file_open(j->options.ios, path, 0, &file);
    if (result == 0) {
        result = io_file_read(file, f->block_start, f->block, f->block_bytes);
        io_file_close(&file);
    }
    return result;
}

int
journal_fetch_now(struct journal *j, const struct journal_place *place, uint32_t size, uint8_t **content)
{
    struct fetch f = {.at = *place, .size = size};
    int result;
    do {
        result = prepare(j, &f);
        result = result == 0 ? take(j, &f, read_now(j, &f)) : result;
    } while (result == 0);
    if (result == 1 && f.content == NULL) {
        f.content = malloc(size > 0 ? size : 1);
        result = f.content != NULL ? 1 : -ENOMEM;
        if (f.content != NULL && size > 0) {
            memcpy(f.content, f.whole.data, size);
        }
    }
    free(f.block);
    if (result < 0) {
        free(f.content);
        return result;
    }
    *content = f.content;
    return 0;
}

/* ----------------------------------------------------------------------------------------------------------- on the ring */

static void
add_fetch(struct journal *j, struct fetch *f)
{
    f->next = j->fetches;
    f->previous = NULL;
    if (j->fetches != NULL) {
        j->fetches->previous = f;
    }
    j->fetches = f;
}

static void
remove_fetch(struct journal *j, struct fetch *f)
{
    *(f->previous != NULL ? &f->previous->next : &j->fetches) = f->next;
    if (f->next != NULL) {
        f->next->previous = f->previous;
    }
}

static void
free_fetch(struct fetch *f)
{
    free(f->content);
    free(f->block);
    free(f);
}

/* A file that exists and was written to by us is opened: the system need not wait for anything. */
static int
begin(struct journal *j, struct fetch *f)
{
    int result = prepare(j, f);
    if (result < 0) {
        return result;
    }
    struct segment *segment = &j->segments.items[find_segment(&j->segments, f->at.segment)];
    result = segments_begin_read(&j->segments, segment);
    if (result == 0) {
        io_file_get(j->options.io, segment->file, f->block_start, f->block, f->block_bytes, (uint64_t)(uintptr_t)f);
    }
    return result;
}

void
journal_fetch(struct journal *j, const struct journal_place *place, uint32_t size, uint64_t token)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (f == NULL) {
        fprintf(stderr, "tidewire: out of memory to read the journal\n");
        abort();
    }
    f->at = *place;
    f->size = size;
    f->token = token;
    add_fetch(j, f);
    f->error = begin(j, f);
    j->fetches_failed += f->error != 0;
}

static void
tell(struct journal *j, struct fetch *f, int error)
{
    remove_fetch(j, f);
    j->options.fetched(j->options.owner, f->token, error == 0 ? f->whole : bytes_of(NULL, 0), error);
    free_fetch(f);
}

static struct fetch *
find_fetch(const struct journal *j, uint64_t token)
{
    struct fetch *f = j->fetches;
    while (f != NULL && (uint64_t)(uintptr_t)f != token) {
        f = f->next;
    }
    return f;
}

bool
fetch_event(struct journal *j, const struct io_event *event)
{
    struct fetch *f = find_fetch(j, event->token);
    if (f == NULL) {
        return false;
    }
    uint32_t item = find_segment(&j->segments, f->at.segment);
    assert(item != UINT32_MAX);
    segments_end_read(&j->segments, &j->segments.items[item]);
    int result = take(j, f, event->result);
    if (result == 0) {
        result = begin(j, f);
        if (result == 0) {
            return true;
        }
    }
    tell(j, f, result < 0 ? result : 0);
    return true;
}

void
fetch_tell_failed(struct journal *j)
{
    uint32_t count = j->fetches_failed;
    j->fetches_failed = 0;
    for (struct fetch *f = j->fetches, *next; f != NULL && count > 0; f = next) {
        next = f->next;
        if (f->error != 0) {
            count--;
            tell(j, f, f->error);
        }
    }
}

void
fetch_end_all(struct journal *j)
{
    for (struct fetch *f; (f = j->fetches) != NULL;) {
        remove_fetch(j, f);
        free_fetch(f);
    }
}
