#include "engine/journal/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/io/sim.h"
#include "engine/io/sim_disk.h"
#include "engine/job.h"
#include "engine/journal/record.h"
#include "engine/log.h"

#define DIRECTORY "/journal"
#define SEGMENT_BYTES (128u << 10)
enum { SEEDS = 60, CONTENT_MAX = 3000, RECORDS_MAX = 1 << 20 };

/* ----------------------------------------------------------------------------------------------------------- the stage */

/* What was appended: record number i has a content that follows from i alone. */
struct appended {
    uint64_t position;
    uint32_t size;
    bool voided;
};

static struct sim_disk *disk;
static struct io_set *set;
static struct io *io;
static struct budget_account account;
static struct journal *journal;
static struct journal_options options;
static struct journal_past past;
static struct appended *appended;
static uint32_t appended_count; /* of all ever, but for those that a crash has lost */
static uint32_t cut_count; /* so many of them were cut off, or may be */
static uint32_t oldest, due, read_count; /* of what journal_read() has shown: the first, the one behind the last, how many */
static uint64_t random_state;

static uint32_t
below(uint32_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % n);
}

static uint8_t
type_of(uint32_t number)
{
    return (uint8_t)(1 + number % JOURNAL_TYPE_MAX);
}

static void
fill(uint32_t number, uint8_t *content, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        content[i] = (uint8_t)(i < 4 ? number >> (8 * i) : number * 31 + i * 7 + (i >> 8));
    }
}

static bool
is_filled(uint32_t number, struct bytes content)
{
    for (uint32_t i = 0; i < content.size; i++) {
        if (content.data[i] != (uint8_t)(i < 4 ? number >> (8 * i) : number * 31 + i * 7 + (i >> 8))) {
            return false;
        }
    }
    return true;
}

static uint64_t
now_ms(void)
{
    return sim_now_ns(sim_of(set)) / 1000000;
}

/* Each record that is read is the next one that was appended and not voided: nothing is missing, nothing is invented. */
static bool
expect_next(void *context, const struct journal_record *record)
{
    (void)context;
    assert_true(record->content.size >= 4);
    uint32_t number = record->content.data[0] | (uint32_t)record->content.data[1] << 8 | (uint32_t)record->content.data[2] << 16 | (uint32_t)record->content.data[3] << 24;
    assert_in_range(number, 0, appended_count - 1);
    if (read_count++ == 0) {
        oldest = due = number;
    }
    for (; due < number; due++) {
        assert_true(appended[due].voided);
    }
    assert_int_equal(number, due++);
    assert_false(appended[number].voided);
    assert_int_equal(record->content.size, appended[number].size);
    assert_int_equal(record->type, type_of(number));
    assert_true(is_filled(number, record->content));
    assert_true(number == oldest || record->position > appended[number - 1].position || appended[number - 1].voided);
    appended[number].position = record->position;
    return true;
}

static void
read_past(bool (*visit)(void *context, const struct journal_record *record))
{
    char error[300] = "";
    read_count = 0;
    int result = journal_read(journal, visit, NULL, &past, error, sizeof error);
    if (result != 0) {
        fail_msg("%s", error);
    }
}

static void
open_journal(bool (*visit)(void *context, const struct journal_record *record))
{
    char error[300] = "";
    sim_set_disk(disk);
    set = io_open(&(struct io_options){.shard_count = 1}, error, sizeof error);
    assert_non_null(set);
    io = io_of_shard(set, 0);
    assert_int_equal(io_enter(io), 0);
    options.ios = set;
    options.io = io;
    options.account = &account;
    options.directory = DIRECTORY;
    journal = journal_open(&options, error, sizeof error);
    if (journal == NULL) {
        fail_msg("%s", error);
    }
    read_past(visit);
}

static void
close_journal(void)
{
    io_leave(io);
    for (struct job *job; (job = io_work_end(io)) != NULL;) {
        job->done(NULL, job);
    }
    journal_close(&journal);
    assert_int_equal(account.bytes, 0);
    io_close_all(set);
}

static void
begin(uint64_t seed)
{
    random_state = seed * 977 + 1;
    disk = sim_disk_make(seed);
    sim_disk_make_directory(disk, DIRECTORY);
    options = (struct journal_options){.mode = JOURNAL_ALWAYS, .segment_bytes = SEGMENT_BYTES, .interval_ms = 5};
    appended_count = cut_count = 0;
    open_journal(expect_next);
    assert_int_equal(read_count, 0);
}

static void
end(void)
{
    close_journal();
    sim_disk_free(&disk);
}

static void
append(uint32_t size)
{
    uint8_t *content;
    uint32_t number = appended_count++;
    assert_true(number < RECORDS_MAX);
    appended[number] = (struct appended){.size = size};
    appended[number].position = journal_append(journal, type_of(number), size, &content);
    fill(number, content, size);
}

static void
advance(void)
{
    uint64_t next_ns = sim_next_ns(sim_of(set));
    uint64_t now_ns = sim_now_ns(sim_of(set));
    sim_advance(sim_of(set), next_ns > now_ns + 1000000 ? 1000000 : next_ns - now_ns);
}

static void
take_events(void)
{
    struct io_event events[8];
    unsigned count;
    while ((count = io_wait(io, 0, 0, events, 8)) > 0) {
        for (unsigned i = 0; i < count; i++) {
            assert_true(journal_event(journal, &events[i]));
        }
    }
}

static void
turn(void)
{
    journal_submit(journal, now_ms());
    advance();
    take_events();
}

static void
commit_all(void)
{
    for (unsigned turns = 0; journal_committed(journal) < journal_end(journal); turns++) {
        assert_true(turns < 100000);
        turn();
    }
}

/* Everything is on the disk, and nobody works. */
static void
settle(void)
{
    journal_finish(journal);
    for (unsigned turns = 0; !journal_is_idle(journal); turns++) {
        assert_true(turns < 100000);
        turn();
    }
}

/* Records that are committed, by their number: all before. */
static uint32_t
committed_count(void)
{
    uint32_t count = appended_count;
    while (count > 0 && appended[count - 1].position + 16 + (appended[count - 1].size + 7) / 8 * 8 > journal_committed(journal)) {
        count--;
    }
    return count;
}

static uint32_t
kept_in(uint32_t from, uint32_t to)
{
    uint32_t count = 0;
    for (uint32_t i = from; i < to; i++) {
        count += !appended[i].voided;
    }
    return count;
}

/* What was read is what was appended, from some record that could have been cut off on, at least as far as `committed`. */
static void
check_read(uint32_t committed)
{
    uint32_t from = read_count > 0 ? oldest : appended_count;
    uint32_t to = read_count > 0 ? due : 0;
    if (from > cut_count) {
        assert_int_equal(kept_in(cut_count, from < committed ? from : committed), 0);
    }
    if (to < committed) {
        assert_int_equal(kept_in(to > cut_count ? to : cut_count, committed), 0);
    }
    appended_count = to;
    cut_count = cut_count < to ? cut_count : to;
}

static void
reopen(void)
{
    close_journal();
    open_journal(expect_next);
}

static void
crash(void)
{
    sim_disk_crash(disk);
    reopen();
}

/* -------------------------------------------------------------------------------------------------------- round trips */

static void
records_of_any_size_are_read_again(void **state)
{
    (void)state;
    static const uint32_t SIZES[] = {4, 5, 7, 8, 9, 100, 4095, 4096, 4097, 40000, 126976, 131072, 1000000, 4, 12, 300000, 300001, 300002, 300003, 65536};
    begin(1);
    for (uint32_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        append(SIZES[i]);
        if (i % 3 == 0) {
            turn();
        }
    }
    commit_all();
    uint32_t count = appended_count;
    settle();
    reopen();
    check_read(count);
    assert_int_equal(read_count, count);
    assert_int_equal(past.records, count);
    assert_int_equal(past.torn_bytes + past.damaged_bytes + past.damaged_places, 0);
    end();
}

static bool
expect_empty(void *context, const struct journal_record *record)
{
    (void)context;
    assert_int_equal(record->type, JOURNAL_TYPE_MAX);
    assert_int_equal(record->content.size, 0);
    read_count++;
    return true;
}

static void
empty_record_is_one(void **state)
{
    (void)state;
    begin(1);
    uint8_t *content;
    journal_append(journal, JOURNAL_TYPE_MAX, 0, &content);
    commit_all();
    close_journal();
    open_journal(expect_empty);
    assert_int_equal(read_count, 1);
    end();
}

/* ------------------------------------------------------------------------------------------------------------- crashes */

static void
append_some(void)
{
    static const uint32_t LARGEST[] = {60, 60, 60, 300, 300, 3000, 3000, 40000, 200000};
    uint32_t largest = LARGEST[below(sizeof LARGEST / sizeof *LARGEST)];
    for (uint32_t count = below(largest > 3000 ? 3 : 40); count > 0; count--) {
        append(4 + below(largest));
    }
}

static void
void_some(void)
{
    for (uint32_t i = 0; i < 3 && appended_count > 0; i++) {
        uint32_t number = appended_count - 1 - below(appended_count < 50 ? appended_count : 50);
        uint32_t size;
        if (!appended[number].voided && journal_waiting(journal, appended[number].position, &size) != NULL) {
            assert_int_equal(size, appended[number].size);
            journal_void(journal, appended[number].position);
            appended[number].voided = true;
        }
    }
}

/* All that was appended before is not needed any more, as if it had been copied. */
static void
cut(void)
{
    uint64_t position = journal_segment_start(journal);
    journal_cut(journal, position);
    while (cut_count < appended_count && appended[cut_count].position < position) {
        cut_count++;
    }
}

static void
live(uint32_t turns)
{
    while (turns-- > 0) {
        append_some();
        if (below(3) == 0) {
            void_some();
        }
        if (below(20) == 0) {
            cut();
        }
        if (below(4) > 0) {
            turn();
        }
    }
}

static void
what_is_committed_survives_crashes_and_nothing_is_invented(void **state)
{
    (void)state;
    uint64_t torn = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed);
        for (unsigned crashes = 0; crashes < 4; crashes++) {
            live(below(60));
            uint32_t committed = committed_count();
            crash();
            check_read(committed);
            assert_int_equal(past.damaged_places, 0);
            torn += past.torn_bytes;
        }
        end();
    }
    assert_true(torn > 0);
}

int
main(void)
{
    appended = calloc(RECORDS_MAX, sizeof *appended);
    struct config *config = config_default();
    config->log_types = 0;
    log_open(config);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_any_size_are_read_again),
        cmocka_unit_test(empty_record_is_one),
        cmocka_unit_test(what_is_committed_survives_crashes_and_nothing_is_invented),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    log_close();
    config_free(&config);
    free(appended);
    return failed;
}
