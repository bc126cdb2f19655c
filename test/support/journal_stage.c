#include "test/support/journal_stage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/io/sim.h"
#include "engine/job.h"
#include "engine/journal/internal.h"
#include "engine/log.h"

/* Turns in which whatever is under way has ended. */
#define TURNS_MAX 100000u

/* ---------------------------------------------------------------------------------------------------------------- model */

uint32_t
stage_below(struct stage *s, uint32_t n)
{
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((s->random >> 33) % n);
}

/* Different whenever a number is given again, after a crash. */
static uint8_t
type_of(const struct stage_record *record)
{
    return (uint8_t)(1 + record->serial % JOURNAL_TYPE_MAX);
}

static uint8_t
byte_of(const struct stage_record *record, uint32_t number, uint32_t i)
{
    return (uint8_t)(i < 4 ? number >> (8 * i) : record->serial * 31 + i * 7 + (i >> 8));
}

static bool
is_filled(const struct stage_record *record, uint32_t number, struct bytes content)
{
    for (uint32_t i = 0; i < content.size; i++) {
        if (content.data[i] != byte_of(record, number, i)) {
            return false;
        }
    }
    return true;
}

static uint32_t
number_of(struct bytes content)
{
    assert_true(content.size >= 4);
    return content.data[0] | (uint32_t)content.data[1] << 8 | (uint32_t)content.data[2] << 16 | (uint32_t)content.data[3] << 24;
}

/* Each record that is read is the next one that was appended and not voided: nothing is missing, nothing is invented. */
static bool
expect_next(void *context, const struct journal_record *record)
{
    struct stage *s = context;
    uint32_t number = number_of(record->content);
    assert_true(number < s->count);
    if (s->read_count++ == 0) {
        s->oldest = s->due = number;
    }
    assert_true(number >= s->due);
    for (; s->due < number; s->due++) {
        assert_true(s->records[s->due].voided || s->damage_is_fine);
    }
    s->due++;
    struct stage_record *appended = &s->records[number];
    assert_false(appended->voided);
    assert_int_equal(record->content.size, appended->size);
    assert_int_equal(record->type, type_of(appended));
    assert_true(is_filled(appended, number, record->content));
    appended->position = record->position;
    return true;
}

static uint32_t
kept_in(const struct stage *s, uint32_t from, uint32_t to)
{
    uint32_t count = 0;
    for (uint32_t i = from; i < to; i++) {
        count += !s->records[i].voided;
    }
    return count;
}

void
stage_check(struct stage *s, uint32_t promised)
{
    uint32_t from = s->read_count > 0 ? s->oldest : s->count;
    uint32_t to = s->read_count > 0 ? s->due : 0;
    if (from > s->cut_count) {
        assert_int_equal(kept_in(s, s->cut_count, from < promised ? from : promised), 0);
    }
    if (to < promised) {
        assert_int_equal(kept_in(s, to > s->cut_count ? to : s->cut_count, promised), 0);
    }
    s->count = to;
    s->cut_count = s->cut_count < to ? s->cut_count : to;
}

static uint32_t
whole_before(const struct stage *s, uint64_t position)
{
    uint32_t count = s->count;
    while (count > 0 && s->records[count - 1].position + waiting_footprint(s->records[count - 1].size) > position) {
        count--;
    }
    return count;
}

uint32_t
stage_committed(const struct stage *s)
{
    return whole_before(s, journal_committed(s->journal));
}

uint32_t
stage_durable(const struct stage *s)
{
    return whole_before(s, s->journal->durable);
}

/* ----------------------------------------------------------------------------------------------------------------- life */

void
stage_open(struct stage *s)
{
    char error[300] = "";
    sim_set_disk(s->disk);
    s->set = io_open(&(struct io_options){.shard_count = 1}, error, sizeof error);
    assert_non_null(s->set);
    s->io = io_of_shard(s->set, 0);
    assert_int_equal(io_enter(s->io), 0);
    s->options.ios = s->set;
    s->options.io = s->io;
    s->options.account = &s->account;
    s->options.directory = STAGE_DIRECTORY;
    s->journal = journal_open(&s->options, error, sizeof error);
    if (s->journal == NULL) {
        fail_msg("%s", error);
    }
    s->read_count = 0;
    sim_disk_fail(s->disk, SIM_DISK_READ, s->failing_reads);
    s->failing_reads = 0;
    if (journal_read(s->journal, expect_next, s, &s->past, error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
    assert_int_equal(s->past.records, s->read_count);
}

/* Of the cuts that were wanted those may have been done that did not have to wait any more. */
static void
look_at_cuts(struct stage *s)
{
    for (uint32_t i = 0; i < s->cuts_count; i++) {
        if (s->cuts[i].after <= s->journal->durable && s->cuts[i].count > s->cut_count) {
            s->cut_count = s->cuts[i].count;
        }
    }
    s->cuts_count = 0;
}

void
stage_close(struct stage *s)
{
    look_at_cuts(s);
    io_leave(s->io);
    for (struct job *job; (job = io_work_end(s->io)) != NULL;) {
        job->done(NULL, job);
    }
    journal_close(&s->journal);
    assert_int_equal(s->account.bytes, 0);
    io_close_all(s->set);
}

void
stage_crash(struct stage *s)
{
    sim_disk_crash(s->disk);
    stage_close(s);
    stage_open(s);
}

void
stage_kill(struct stage *s)
{
    sim_disk_kill(s->disk);
    stage_close(s);
    stage_open(s);
}

void
stage_begin(struct stage *s, uint64_t seed, const struct journal_options *options)
{
    *s = (struct stage){.options = *options, .random = seed * 977 + 1, .disk = sim_disk_make(seed)};
    s->records = calloc(STAGE_RECORDS_MAX, sizeof *s->records);
    assert_non_null(s->records);
    sim_disk_make_directory(s->disk, STAGE_DIRECTORY);
    stage_open(s);
    assert_int_equal(s->read_count, 0);
}

void
stage_end(struct stage *s)
{
    stage_close(s);
    sim_disk_free(&s->disk);
    free(s->records);
}

void
stage_append(struct stage *s, uint32_t size)
{
    uint8_t *content;
    uint32_t number = s->count++;
    assert_true(number < STAGE_RECORDS_MAX && size >= 4);
    struct stage_record *record = &s->records[number];
    *record = (struct stage_record){.size = size, .serial = s->serial++};
    record->position = journal_append(s->journal, type_of(record), size, &content);
    for (uint32_t i = 0; i < size; i++) {
        content[i] = byte_of(record, number, i);
    }
}

void
stage_turn(struct stage *s)
{
    struct sim *sim = sim_of(s->set);
    struct io_event event;
    journal_submit(s->journal, sim_now_ns(sim) / 1000000);
    uint64_t next_ns = sim_next_ns(sim), now_ns = sim_now_ns(sim);
    sim_advance(sim, next_ns > now_ns + 1000000 ? 1000000 : next_ns - now_ns);
    while (io_wait(s->io, 0, 0, &event, 1) > 0) {
        assert_true(journal_event(s->journal, &event));
    }
}

void
stage_commit(struct stage *s)
{
    for (unsigned turns = 0; journal_committed(s->journal) < journal_end(s->journal); turns++) {
        assert_true(turns < TURNS_MAX);
        stage_turn(s);
    }
}

void
stage_settle(struct stage *s)
{
    journal_finish(s->journal);
    for (unsigned turns = 0; !journal_is_idle(s->journal); turns++) {
        assert_true(turns < TURNS_MAX);
        stage_turn(s);
    }
}

void
stage_cut(struct stage *s)
{
    if (s->cuts_count == STAGE_CUTS_MAX) {
        return;
    }
    uint64_t position = journal_segment_start(s->journal);
    journal_cut(s->journal, position);
    uint32_t count = s->cut_count;
    while (count < s->count && (s->records[count].voided || s->records[count].position < position)) {
        count++;
    }
    s->cuts[s->cuts_count++] = (struct stage_cut){.count = count, .after = journal_end(s->journal)};
}

static void
append_some(struct stage *s)
{
    static const uint32_t LARGEST[] = {60, 60, 60, 300, 300, 3000, 3000, 40000, 200000};
    uint32_t largest = LARGEST[stage_below(s, sizeof LARGEST / sizeof *LARGEST)];
    for (uint32_t count = stage_below(s, largest > 3000 ? 3 : 40); count > 0; count--) {
        stage_append(s, 4 + stage_below(s, largest));
    }
}

static void
void_some(struct stage *s)
{
    for (uint32_t i = 0; i < 3 && s->count > 0; i++) {
        struct stage_record *record = &s->records[s->count - 1 - stage_below(s, s->count < 50 ? s->count : 50)];
        uint32_t size;
        if (!record->voided && journal_waiting(s->journal, record->position, &size) != NULL) {
            assert_int_equal(size, record->size);
            journal_void(s->journal, record->position);
            record->voided = true;
        }
    }
}

void
stage_live(struct stage *s, uint32_t turns)
{
    while (turns-- > 0) {
        if (journal_room(s->journal) == JOURNAL_FREE) {
            append_some(s);
        }
        if (stage_below(s, 3) == 0) {
            void_some(s);
        }
        if (stage_below(s, 20) == 0) {
            stage_cut(s);
        }
        if (stage_below(s, 4) > 0) {
            stage_turn(s);
        }
    }
}

/* ----------------------------------------------------------------------------------------------------------------- files */

struct file_count {
    const char *suffix;
    uint32_t files;
    uint64_t bytes;
};

static void
count_file(void *context, const char *path, uint64_t size)
{
    struct file_count *count = context;
    size_t length = strlen(path), suffix = strlen(count->suffix);
    if (length >= suffix && strcmp(path + length - suffix, count->suffix) == 0) {
        count->files++;
        count->bytes += size;
    }
}

uint32_t
stage_files(const struct stage *s, const char *suffix, uint64_t *bytes)
{
    struct file_count count = {.suffix = suffix};
    sim_disk_list(s->disk, count_file, &count);
    if (bytes != NULL) {
        *bytes = count.bytes;
    }
    return count.files;
}

void
stage_quiet(void)
{
    struct config *config = config_default();
    config->log_types = 0;
    log_open(config);
    config_free(&config);
}
