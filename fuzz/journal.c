/*
 * journal: whatever lies in the files of a journal, reading it neither faults nor hangs, says each record at a larger position than the one before, and leaves a journal that goes on:
 * what is appended then is read again, behind the same records as the first time.
 *
 * The input is a program that makes the files, with checksums that are good: bytes that are not never get far. Its first byte chooses the heads of the segments; then come operations,
 * each a byte, with its arguments:
 *
 *   RECORD  type, size, a byte of content    into the batch          BATCH  sequence, durable, position: the batch ends, and the next begins so much further on (or back)
 *   SEGMENT the batch ends, the next file    OFFSET  blocks to skip  FLIP   in the file that was made: where (two bytes), what is turned over
 *   BYTES   where (two bytes), how many, and they
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/io/sim.h"
#include "engine/io/sim_disk.h"
#include "engine/job.h"
#include "engine/journal/journal.h"
#include "engine/journal/record.h"
#include "engine/log.h"

#define DIRECTORY "/journal"
#define SEGMENT_BYTES (32u << 10)
#define SEGMENTS_MAX 3u
#define KEY 77u
#define TURNS_MAX 10000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum operation { RECORD, BATCH, SEGMENT, OFFSET, FLIP, BYTES, OPERATIONS };

static void
require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* ---------------------------------------------------------------------------------------------------------------- files */

struct maker {
    struct reader program;
    struct sim_disk *disk;
    uint8_t heads;       /* two bits for each segment */
    uint8_t bytes[SEGMENT_BYTES];
    uint32_t offset;     /* of the batch */
    uint32_t number;     /* of the segment */
    struct record_writer batch;
    uint64_t sequence, position, durable;
};

static void
begin_batch(struct maker *m)
{
    uint32_t left = SEGMENT_BYTES - m->offset;
    record_begin(&m->batch, m->bytes + m->offset, left, record_seed(KEY, m->number), m->sequence);
}

static void
begin_segment(struct maker *m)
{
    m->number++;
    m->offset = RECORD_BLOCK_BYTES;
    memset(m->bytes, 0, sizeof m->bytes);
    begin_batch(m);
}

static void
end_batch(struct maker *m)
{
    if (m->batch.count > 0) {
        m->offset += record_finish(&m->batch, m->position, m->durable < m->sequence ? m->durable : m->sequence);
        m->sequence += m->batch.count;
    }
}

static void
end_segment(struct maker *m)
{
    char path[100];
    unsigned head = m->heads >> (2 * (m->number - 1)) & 3;
    struct record_segment segment = {.key = KEY, .number = m->number + (head == 2), .first_sequence = head == 3 ? 0 : 1 + (m->heads & 64u)};
    if (head != 1) { /* 1: none that can be read */
        record_put_segment(m->bytes, &segment);
    }
    snprintf(path, sizeof path, DIRECTORY "/%010u.segment", m->number);
    sim_disk_write_file(m->disk, path, m->bytes, sizeof m->bytes);
}

static void
add_record(struct maker *m)
{
    static uint8_t content[256 * 64];
    uint8_t type = reader_u8(&m->program), size = reader_u8(&m->program);
    uint32_t bytes = (uint32_t)size * (size > 200 ? 64 : 1);
    memset(content, reader_u8(&m->program), sizeof content);
    if ((type & RECORD_TYPE_BITS) != 0 && bytes > 0 && record_content_room(&m->batch) >= bytes) {
        record_add(&m->batch, type, content, bytes);
    }
}

static void
next_batch(struct maker *m)
{
    end_batch(m);
    m->sequence += (uint64_t)(int8_t)reader_u8(&m->program);
    m->sequence = m->sequence > 0 && m->sequence < 1000000 ? m->sequence : 1;
    m->durable = m->sequence - (reader_u8(&m->program) & 15);
    m->durable = m->durable < 1000000 ? m->durable : 0;
    m->position += (uint64_t)reader_u8(&m->program) << 4;
}

static void
put_bytes(struct maker *m)
{
    uint32_t at = reader_u16(&m->program) % SEGMENT_BYTES;
    uint32_t size = reader_u8(&m->program);
    struct bytes bytes = reader_take(&m->program, size < reader_left(&m->program) ? size : reader_left(&m->program));
    size = bytes.size < SEGMENT_BYTES - at ? bytes.size : SEGMENT_BYTES - at;
    if (size > 0) {
        memcpy(m->bytes + at, bytes.data, size);
    }
}

static void
step(struct maker *m)
{
    switch ((enum operation)(reader_u8(&m->program) % OPERATIONS)) {
    case RECORD:
        add_record(m);
        return;
    case BATCH:
        next_batch(m);
        break;
    case SEGMENT:
        end_batch(m);
        end_segment(m);
        begin_segment(m);
        return;
    case OFFSET:
        end_batch(m);
        m->offset += RECORD_BLOCK_BYTES * (reader_u8(&m->program) & 3u);
        break;
    case FLIP: {
        uint32_t at = reader_u16(&m->program) % SEGMENT_BYTES;
        end_batch(m);
        m->bytes[at] ^= reader_u8(&m->program);
        break;
    }
    default:
        end_batch(m);
        put_bytes(m);
        break;
    }
    m->offset = m->offset < SEGMENT_BYTES ? m->offset : SEGMENT_BYTES - RECORD_BLOCK_BYTES;
    begin_batch(m);
}

static void
make_files(struct sim_disk *disk, struct bytes input)
{
    static struct maker m;
    m = (struct maker){.program = reader_of(input), .disk = disk, .sequence = 1, .position = JOURNAL_POSITION_FIRST};
    m.heads = reader_u8(&m.program);
    begin_segment(&m);
    while (!m.program.failed && reader_left(&m.program) > 0 && m.number <= SEGMENTS_MAX) {
        step(&m);
    }
    end_batch(&m);
    end_segment(&m);
}

/* -------------------------------------------------------------------------------------------------------------- reading */

struct seen {
    uint64_t sum, count, position;
};

static bool
see(void *context, const struct journal_record *record)
{
    struct seen *seen = context;
    require(record->type > 0 && record->type <= JOURNAL_TYPE_MAX);
    require(record->position > seen->position || seen->count == 0);
    seen->position = record->position;
    seen->count++;
    seen->sum = seen->sum * 31 + record->type;
    for (uint32_t i = 0; i < record->content.size; i++) {
        seen->sum = seen->sum * 31 + record->content.data[i];
    }
    return true;
}

struct life {
    struct io_set *ios;
    struct budget_account account;
    struct journal *journal;
};

static void
begin_life(struct life *life, struct sim_disk *disk, struct seen *seen)
{
    char error[300];
    sim_set_disk(disk);
    *life = (struct life){.ios = io_open(&(struct io_options){.shard_count = 1}, error, sizeof error)};
    require(life->ios != NULL && io_enter(io_of_shard(life->ios, 0)) == 0);
    struct journal_options options = {
        .ios = life->ios, .io = io_of_shard(life->ios, 0), .account = &life->account, .directory = DIRECTORY, .segment_bytes = SEGMENT_BYTES};
    life->journal = journal_open(&options, error, sizeof error);
    require(life->journal != NULL);
    struct journal_past past;
    require(journal_read(life->journal, see, seen, &past, error, sizeof error) == 0);
    require(past.records == seen->count && journal_end(life->journal) > seen->position);
}

static void
end_life(struct life *life)
{
    struct io *io = io_of_shard(life->ios, 0);
    io_leave(io);
    for (struct job *job; (job = io_work_end(io)) != NULL;) {
        job->done(NULL, job);
    }
    journal_close(&life->journal);
    require(life->account.bytes == 0);
    io_close_all(life->ios);
}

static void
commit_one(struct life *life)
{
    struct sim *sim = sim_of(life->ios);
    uint8_t *content;
    journal_append(life->journal, 1, 5, &content);
    memset(content, 9, 5);
    for (unsigned turns = 0; journal_committed(life->journal) < journal_end(life->journal); turns++) {
        struct io_event event;
        require(turns < TURNS_MAX);
        journal_submit(life->journal, sim_now_ns(sim) / 1000000);
        sim_advance(sim, 100000);
        while (io_wait(io_of_shard(life->ios, 0), 0, 0, &event, 1) > 0) {
            journal_event(life->journal, &event);
        }
    }
}

static void
be_quiet(void)
{
    static bool done;
    if (!done) {
        struct config *config = config_default();
        config->log_types = 0;
        log_open(config);
        config_free(&config);
        done = true;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    be_quiet();
    struct sim_disk *disk = sim_disk_make(1);
    sim_disk_make_directory(disk, DIRECTORY);
    make_files(disk, bytes_of(data, (uint32_t)size));

    struct life life;
    struct seen first = {0}, second = {0};
    begin_life(&life, disk, &first);
    commit_one(&life);
    sim_disk_crash(disk);
    end_life(&life);

    see(&first, &(struct journal_record){.type = 1, .position = UINT64_MAX, .content = bytes_of("\11\11\11\11\11", 5)});
    begin_life(&life, disk, &second);
    require(second.count == first.count && second.sum == first.sum);
    end_life(&life);
    sim_disk_free(&disk);
    return 0;
}
