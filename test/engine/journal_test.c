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

#include "engine/log.h"
#include "test/support/journal_stage.h"

#define SEGMENT_BYTES (128u << 10)

static struct stage stage;
static uint64_t seed_first = 1, seed_count = 30;

static void
begin_mode(uint64_t seed, enum journal_mode mode)
{
    struct journal_options options = {.mode = mode, .segment_bytes = SEGMENT_BYTES, .interval_ms = 1};
    stage_begin(&stage, seed, &options);
}

static void
begin(uint64_t seed)
{
    begin_mode(seed, JOURNAL_ALWAYS);
}

static void
reopen(void)
{
    stage_close(&stage);
    stage_open(&stage);
}

/* -------------------------------------------------------------------------------------------------------- round trips */

static void
records_of_any_size_are_read_again(void **state)
{
    (void)state;
    static const uint32_t SIZES[] = {4, 5, 7, 8, 9, 100, 4095, 4096, 4097, 40000, 126976, 131072, 1000000, 4, 12, 300000, 300001, 300002, 300003, 65536};
    begin(1);
    for (uint32_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        stage_append(&stage, SIZES[i]);
        if (i % 3 == 0) {
            stage_turn(&stage);
        }
    }
    stage_settle(&stage);
    uint32_t count = stage.count;
    reopen();
    stage_check(&stage, count);
    assert_int_equal(stage.read_count, count);
    assert_int_equal(stage.past.torn_bytes + stage.past.damaged_bytes + stage.past.damaged_places, 0);
    stage_end(&stage);
}

/* All sizes about the one at which a record is cut, at all places of a batch. */
static void
pieces_fit_together_at_every_edge(void **state)
{
    (void)state;
    begin(1);
    for (uint32_t size = 30000; size < 34000; size += 37) {
        stage_append(&stage, size);
        stage_append(&stage, 4 + size % 64);
    }
    stage_settle(&stage);
    uint32_t count = stage.count;
    reopen();
    stage_check(&stage, count);
    assert_int_equal(stage.read_count, count);
    stage_end(&stage);
}

static void
append_bare(uint8_t type, const char *text)
{
    uint8_t *content;
    uint64_t before = journal_end(stage.journal);
    assert_int_equal(journal_append(stage.journal, type, (uint32_t)strlen(text), &content), before);
    memcpy(content, text, strlen(text));
}

struct shown {
    char text[200];
    unsigned stop_after;
};

static bool
show(void *context, const struct journal_record *record)
{
    struct shown *shown = context;
    size_t used = strlen(shown->text);
    snprintf(shown->text + used, sizeof shown->text - used, "%u:%.*s;", record->type, (int)record->content.size, (const char *)record->content.data);
    return shown->stop_after == 0 || --shown->stop_after > 0;
}

/* Reads all there is. Returns journal_read()'s result. */
static int
read_shown(struct shown *shown)
{
    char error[300] = "";
    stage.options.ios = stage.set;
    stage.journal = journal_open(&stage.options, error, sizeof error);
    assert_non_null(stage.journal);
    int result = journal_read(stage.journal, show, shown, &stage.past, error, sizeof error);
    assert_true(result == 0 || error[0] != '\0');
    return result;
}

static void
types_and_empty_records_are_kept(void **state)
{
    (void)state;
    begin(1);
    append_bare(1, "one");
    append_bare(JOURNAL_TYPE_MAX, "");
    append_bare(2, "two");
    stage_settle(&stage);
    journal_close(&stage.journal);
    struct shown shown = {0};
    assert_int_equal(read_shown(&shown), 0);
    assert_string_equal(shown.text, "1:one;62:;2:two;");
    stage_end(&stage);
}

static void
reading_ends_when_it_is_told_to(void **state)
{
    (void)state;
    begin(1);
    append_bare(1, "a");
    append_bare(1, "b");
    append_bare(1, "c");
    stage_settle(&stage);
    journal_close(&stage.journal);
    struct shown shown = {.stop_after = 2};
    assert_int_equal(read_shown(&shown), -ECANCELED);
    assert_string_equal(shown.text, "1:a;1:b;");
    stage_end(&stage);
}

static void
several_lives_follow_each_other(void **state)
{
    (void)state;
    begin(1);
    for (unsigned lives = 0; lives < 20; lives++) {
        uint64_t end = journal_end(stage.journal);
        stage_live(&stage, 20);
        stage_settle(&stage);
        uint32_t count = stage.count;
        reopen();
        stage_check(&stage, count);
        assert_true(journal_end(stage.journal) >= end);
        assert_int_equal(stage.past.torn_bytes, 0);
    }
    stage_end(&stage);
}

/* ------------------------------------------------------------------------------------------------------------- waiting */

static void
waiting_record_is_changed_in_place_until_it_is_on_its_way(void **state)
{
    (void)state;
    begin(1);
    uint8_t *content;
    uint32_t size = 0;
    append_bare(1, "zero");
    stage_commit(&stage); /* the first segment is there now */
    uint64_t position = journal_append(stage.journal, 1, 3, &content);
    memcpy(content, "one", 3);
    memcpy(journal_waiting(stage.journal, position, &size), "two", 3);
    assert_int_equal(size, 3);
    journal_submit(stage.journal, 1);
    assert_null(journal_waiting(stage.journal, position, &size));
    stage_settle(&stage);
    assert_null(journal_waiting(stage.journal, position, &size));
    journal_close(&stage.journal);
    struct shown shown = {0};
    read_shown(&shown);
    assert_string_equal(shown.text, "1:zero;1:two;");
    stage_end(&stage);
}

static void
voided_records_are_not_written_and_count_as_committed(void **state)
{
    (void)state;
    begin(1);
    struct journal_counts counts;
    uint8_t *content;
    uint64_t position = journal_append(stage.journal, 1, 100, &content);
    assert_true(journal_committed(stage.journal) < journal_end(stage.journal));
    journal_void(stage.journal, position);
    assert_int_equal(journal_committed(stage.journal), journal_end(stage.journal));
    assert_int_equal(journal_backlog(stage.journal), 0);
    stage_turn(&stage);
    journal_counts(stage.journal, &counts);
    assert_int_equal(counts.writes, 0);
    assert_int_equal(counts.records, 0);
    assert_int_equal(counts.voided, 1);
    stage_end(&stage);
}

static void
record_waits_while_a_write_is_under_way(void **state)
{
    (void)state;
    begin(1);
    stage_append(&stage, 100);
    stage_commit(&stage); /* the first segment is there now */
    stage_append(&stage, 100);
    journal_submit(stage.journal, 1000);
    stage_append(&stage, 200);
    journal_submit(stage.journal, 1000);
    uint32_t size;
    assert_null(journal_waiting(stage.journal, stage.records[1].position, &size));
    assert_non_null(journal_waiting(stage.journal, stage.records[2].position, &size));
    assert_int_equal(journal_backlog(stage.journal), 4096 + 16 + 200);
    stage_commit(&stage);
    struct journal_counts counts;
    journal_counts(stage.journal, &counts);
    assert_int_equal(counts.writes, 3);
    assert_int_equal(counts.written_bytes, 4 * 4096); /* the head of the segment, too */
    stage_end(&stage);
}

/* ------------------------------------------------------------------------------------------------------------- cutting */

static void
disk_use_stays_bounded_while_all_is_cut_again_and_again(void **state)
{
    (void)state;
    begin(1);
    for (unsigned i = 0; i < 300; i++) {
        stage_append(&stage, 20000);
        stage_cut(&stage);
        stage_turn(&stage);
        assert_true(journal_bytes_used(stage.journal) <= 9 * SEGMENT_BYTES);
    }
    stage_settle(&stage);
    uint64_t bytes;
    stage_files(&stage, ".segment", &bytes);
    assert_int_equal(bytes, journal_bytes_used(stage.journal));
    assert_true(bytes <= 7 * SEGMENT_BYTES);
    stage_end(&stage);
}

static void
nothing_is_cut_before_what_stands_in_for_it_is_committed(void **state)
{
    (void)state;
    begin(1);
    while (journal_segment_start(stage.journal) < 3 * SEGMENT_BYTES) {
        stage_append(&stage, 5000);
        stage_commit(&stage);
    }
    uint32_t count = stage.count;
    stage_append(&stage, 5000); /* as if it stood in for all before */
    sim_disk_set_latency(stage.disk, 50000000, 50000000);
    stage_cut(&stage);
    for (unsigned i = 0; i < 20; i++) {
        stage_turn(&stage);
    }
    assert_true(journal_committed(stage.journal) < journal_end(stage.journal));
    assert_int_equal(stage_files(&stage, "1.segment", NULL), 1);
    stage_crash(&stage);
    stage_check(&stage, count);
    assert_int_equal(stage.oldest, 0);
    stage_end(&stage);
}

/* ------------------------------------------------------------------------------------------------------------- crashes */

static void
what_is_committed_survives_crashes_and_nothing_is_invented(void **state)
{
    (void)state;
    uint64_t torn = 0;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count; seed++) {
        begin(seed);
        for (unsigned crashes = 0; crashes < 4; crashes++) {
            stage_live(&stage, stage_below(&stage, 60));
            uint32_t committed = stage_committed(&stage);
            stage_crash(&stage);
            stage_check(&stage, committed);
            assert_int_equal(stage.past.damaged_places, 0);
            torn += stage.past.torn_bytes;
        }
        stage_end(&stage);
    }
    assert_true(torn > 0 || seed_count < 30);
}

static void
what_is_committed_survives_a_kill_in_every_mode(void **state)
{
    (void)state;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count; seed++) {
        begin_mode(seed, (enum journal_mode)(seed % 3));
        for (unsigned kills = 0; kills < 3; kills++) {
            stage_live(&stage, stage_below(&stage, 60));
            uint32_t committed = stage_committed(&stage);
            stage_kill(&stage);
            stage_check(&stage, committed);
            assert_int_equal(stage.past.damaged_places, 0);
        }
        stage_end(&stage);
    }
}

static void
without_a_flush_for_each_write_a_crash_leaves_a_beginning_with_all_that_was_flushed(void **state)
{
    (void)state;
    uint32_t flushed = 0;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count; seed++) {
        begin_mode(seed, seed % 2 == 0 ? JOURNAL_INTERVAL : JOURNAL_NONE);
        for (unsigned crashes = 0; crashes < 4; crashes++) {
            stage_live(&stage, stage_below(&stage, 60));
            uint32_t durable = stage_durable(&stage);
            flushed += durable;
            stage_crash(&stage);
            stage_check(&stage, durable);
            assert_int_equal(stage.past.damaged_places, 0);
        }
        stage_end(&stage);
    }
    assert_true(flushed > 0);
}

static void
crash_right_after_reading_changes_nothing_of_what_was_read(void **state)
{
    (void)state;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count / 2; seed++) {
        begin_mode(seed, (enum journal_mode)(seed % 3));
        stage_live(&stage, 40);
        uint32_t durable = stage_durable(&stage);
        stage_crash(&stage);
        stage_check(&stage, durable);
        for (unsigned again = 0; again < 3; again++) {
            uint32_t count = stage.count;
            stage_crash(&stage);
            stage_check(&stage, count);
            assert_int_equal(stage.past.torn_bytes, 0);
        }
        stage_end(&stage);
    }
}

static void
modes_and_sizes_of_segments_change_from_one_life_to_the_next(void **state)
{
    (void)state;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count / 2; seed++) {
        begin_mode(seed, (enum journal_mode)(seed % 3));
        for (unsigned lives = 0; lives < 5; lives++) {
            stage_live(&stage, stage_below(&stage, 60));
            uint32_t durable = stage_durable(&stage);
            stage.options.mode = (enum journal_mode)stage_below(&stage, 3);
            stage.options.segment_bytes = SEGMENT_BYTES / 2 * (1 + stage_below(&stage, 4));
            stage_crash(&stage);
            stage_check(&stage, durable);
        }
        stage_end(&stage);
    }
}

/* Arguments: how many seeds, and the first one. */
int
main(int argc, char **argv)
{
    stage_quiet();
    seed_count = argc > 1 ? strtoull(argv[1], NULL, 10) : seed_count;
    seed_first = argc > 2 ? strtoull(argv[2], NULL, 10) : seed_first;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_of_any_size_are_read_again),
        cmocka_unit_test(pieces_fit_together_at_every_edge),
        cmocka_unit_test(types_and_empty_records_are_kept),
        cmocka_unit_test(reading_ends_when_it_is_told_to),
        cmocka_unit_test(several_lives_follow_each_other),
        cmocka_unit_test(waiting_record_is_changed_in_place_until_it_is_on_its_way),
        cmocka_unit_test(voided_records_are_not_written_and_count_as_committed),
        cmocka_unit_test(record_waits_while_a_write_is_under_way),
        cmocka_unit_test(disk_use_stays_bounded_while_all_is_cut_again_and_again),
        cmocka_unit_test(nothing_is_cut_before_what_stands_in_for_it_is_committed),
        cmocka_unit_test(what_is_committed_survives_crashes_and_nothing_is_invented),
        cmocka_unit_test(what_is_committed_survives_a_kill_in_every_mode),
        cmocka_unit_test(without_a_flush_for_each_write_a_crash_leaves_a_beginning_with_all_that_was_flushed),
        cmocka_unit_test(crash_right_after_reading_changes_nothing_of_what_was_read),
        cmocka_unit_test(modes_and_sizes_of_segments_change_from_one_life_to_the_next),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    log_close();
    return failed;
}
