#include "engine/journal/writer.h"

#include "engine/journal/journal.h"
#include "engine/journal/record.h"
#include "engine/journal/segments.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Contents up to this part of a batch are not cut, and of larger ones no first piece is smaller than that part. */
#define WHOLE_SHARE 4u
#define PIECE_SHARE 32u

struct journal_writer {
    struct io_set *ios;
    char *directory;
    uint8_t *buffer;          /* the head of a segment, then a batch */
    struct record_writer batch;
    bool has_batch;
    struct io_file *file;     /* NULL: the next batch begins a segment */
    uint32_t segment_bytes;
    uint32_t offset;          /* in the file: of the next batch */
    uint32_t batch_max;
    unsigned shard;
    uint64_t key, number;     /* of the segment that is written to */
    uint64_t sequence;        /* of the batch's first record */
    uint64_t position, batch_position;
    int result;
};

struct journal_writer *
journal_writer_open(struct io_set *ios, const char *directory, unsigned shard, uint32_t segment_bytes)
{
    uint32_t capacity = segment_bytes - RECORD_BLOCK_BYTES;
    uint32_t batch_max = capacity < RECORD_BATCH_BYTES_MAX ? capacity : RECORD_BATCH_BYTES_MAX;
    struct journal_writer *w = calloc(1, sizeof *w);
    char *copy = strdup(directory);
    uint8_t *buffer = aligned_alloc(IO_FILE_ALIGN, RECORD_BLOCK_BYTES + batch_max);
    if (w == NULL || copy == NULL || buffer == NULL) {
        free(w);
        free(copy);
        free(buffer);
        return NULL;
    }
    assert(segment_bytes % IO_FILE_ALIGN == 0 && segment_bytes >= 2 * RECORD_BLOCK_BYTES);
    *w = (struct journal_writer){
        .ios = ios, .directory = copy, .buffer = buffer, .segment_bytes = segment_bytes, .batch_max = batch_max, .shard = shard, .sequence = 1,
        .position = JOURNAL_POSITION_FIRST};
    io_random(io_of_shard(ios, 0), &w->key, sizeof w->key);
    return w;
}

/* ------------------------------------------------------------------------------------------------------------- segments */

/* What is left of a file is zeros: as one that was cleared ahead of time. */
static int
clear_rest(struct journal_writer *w)
{
    memset(w->buffer, 0, w->batch_max);
    int result = 0;
    while (w->offset < w->segment_bytes && result == 0) {
        uint32_t left = w->segment_bytes - w->offset;
        uint32_t size = left < w->batch_max ? left : w->batch_max;
        result = io_file_write(w->file, w->offset, w->buffer, size);
        w->offset += size;
    }
    return result;
}

static int
end_segment(struct journal_writer *w)
{
    if (w->file == NULL) {
        return 0;
    }
    int result = clear_rest(w);
    result = result != 0 ? result : io_file_sync(w->file);
    io_file_close(&w->file);
    return result;
}

static int
begin_segment(struct journal_writer *w)
{
    char path[SEGMENTS_PATH_BYTES];
    segments_path(w->directory, ++w->number, path);
    w->offset = RECORD_BLOCK_BYTES;
    return io_file_open(w->ios, path, IO_FILE_CREATE, &w->file);
}

static int
write_segment_head(struct journal_writer *w)
{
    struct record_segment head = {.key = w->key, .number = w->number, .first_sequence = w->sequence, .shard = w->shard};
    record_put_segment(w->buffer, &head);
    return io_file_write(w->file, 0, w->buffer, RECORD_BLOCK_BYTES);
}

/* -------------------------------------------------------------------------------------------------------------- batches */

static void
write_batch(struct journal_writer *w)
{
    if (!w->has_batch) {
        return;
    }
    w->has_batch = false;
    /* Everything is on the disk before anything counts: so a gap is damage, and no end. */
    uint32_t bytes = record_finish(&w->batch, w->batch_position, w->sequence);
    int result = w->offset == RECORD_BLOCK_BYTES ? write_segment_head(w) : 0;
    w->result = result != 0 ? result : io_file_write(w->file, w->offset, w->buffer + RECORD_BLOCK_BYTES, bytes);
    w->sequence += w->batch.count;
    w->offset += bytes;
}

static uint32_t
room_for_batch(const struct journal_writer *w)
{
    uint32_t left = w->file != NULL ? w->segment_bytes - w->offset : 0;
    return left < w->batch_max ? left : w->batch_max;
}

/* There is a batch that another record, with so many bytes of content, has room in. */
static void
need_room(struct journal_writer *w, uint32_t content)
{
    uint32_t wanted = RECORD_HEAD_BYTES + content;
    if (w->has_batch && w->batch.room - w->batch.used >= wanted) {
        return;
    }
    write_batch(w);
    if (w->result == 0 && room_for_batch(w) < RECORD_BATCH_HEAD_BYTES + wanted) {
        w->result = end_segment(w);
        w->result = w->result != 0 ? w->result : begin_segment(w);
    }
    if (w->result == 0) {
        record_begin(&w->batch, w->buffer + RECORD_BLOCK_BYTES, room_for_batch(w), record_seed(w->key, w->number), w->sequence);
        w->batch_position = w->position;
        w->has_batch = true;
    }
}

/* Behind the last record: else damage to the last batch would look like a write that was never completed. */
static void
say_it_is_durable(struct journal_writer *w)
{
    if (w->result == 0 && w->sequence > 1) {
        need_room(w, 0);
        write_batch(w);
    }
}

void
journal_writer_append(struct journal_writer *w, uint8_t type, struct bytes content)
{
    uint32_t done = 0;
    do {
        uint32_t left = content.size - done;
        need_room(w, left > w->batch_max / WHOLE_SHARE ? w->batch_max / PIECE_SHARE : left);
        if (w->result != 0) {
            return;
        }
        uint32_t room = record_content_room(&w->batch);
        uint32_t share = left < room ? left : room;
        uint8_t flags = (done > 0 ? RECORD_CONTINUES : 0) | (share < left ? RECORD_MORE : 0);
        record_add(&w->batch, type | flags, content.size > 0 ? content.data + done : NULL, share);
        w->position += (done == 0 ? RECORD_HEAD_BYTES : 0) + record_padded(share); /* as journal_append() counts */
        done += share;
    } while (done < content.size);
}

int
journal_writer_result(const struct journal_writer *w)
{
    return w->result;
}

/* ------------------------------------------------------------------------------------------------------------------ ends */

void
journal_writer_abandon(struct journal_writer **writer)
{
    struct journal_writer *w = *writer;
    if (w != NULL) {
        io_file_close(&w->file);
        free(w->directory);
        free(w->buffer);
        free(w);
        *writer = NULL;
    }
}

int
journal_writer_finish(struct journal_writer **writer)
{
    struct journal_writer *w = *writer;
    if (w->result == 0) {
        write_batch(w);
        say_it_is_durable(w);
    }
    int result = w->result != 0 ? w->result : end_segment(w);
    result = result != 0 ? result : io_directory_sync(w->ios, w->directory);
    journal_writer_abandon(writer);
    return result;
}
