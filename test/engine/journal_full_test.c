#include "engine/journal/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "engine/log.h"
#include "test/support/journal_stage.h"

#define SEGMENT_BYTES (64u << 10)
enum { PATIENCE = 20000 };

static struct stage stage;
static uint64_t seed_first = 1, seed_count = 60;

static void
begin(uint64_t seed, uint64_t bytes_max)
{
    struct journal_options options = {.mode = JOURNAL_ALWAYS, .segment_bytes = SEGMENT_BYTES, .bytes_max = bytes_max};
    stage_begin(&stage, seed, &options);
    stage_append(&stage, 100);
    stage_settle(&stage);
}

/* Appends and commits until the room is as given. Returns how many records that took. */
static uint32_t
append_until(enum journal_room room)
{
    uint32_t count = 0;
    for (; journal_room(stage.journal) < room; count++) {
        assert_true(count < PATIENCE);
        stage_append(&stage, 1000);
        stage_turn(&stage);
    }
    return count;
}

static void
wait_for(enum journal_room room)
{
    for (unsigned turns = 0; journal_room(stage.journal) != room; turns++) {
        assert_true(turns < PATIENCE);
        stage_turn(&stage);
    }
}

static void
crash_and_check(uint32_t promised)
{
    stage_crash(&stage);
    stage_check(&stage, promised);
    assert_int_equal(stage.past.damaged_places, 0);
}

static void
full_disk_is_told_before_there_is_no_room_at_all(void **state)
{
    (void)state;
    begin(1, 0);
    assert_int_equal(journal_room(stage.journal), JOURNAL_FREE);
    sim_disk_set_space(stage.disk, sim_disk_bytes(stage.disk) + 2 * SEGMENT_BYTES);
    append_until(JOURNAL_FULL);
    assert_true(journal_next_ms(stage.journal) < UINT64_MAX);
    assert_true(journal_room_left(stage.journal) >= SEGMENT_BYTES);
    uint32_t more = append_until(JOURNAL_STUCK);
    assert_true(more * IO_FILE_ALIGN >= SEGMENT_BYTES); /* a whole segment was left for what makes state smaller; each takes a block of it */
    stage_commit(&stage); /* what was appended by then finds room */
    crash_and_check(stage.count);
    stage_end(&stage);
}

static void
full_disk_heals_when_space_returns_and_nothing_is_lost(void **state)
{
    (void)state;
    begin(1, 0);
    sim_disk_set_space(stage.disk, sim_disk_bytes(stage.disk));
    append_until(JOURNAL_STUCK);
    for (unsigned i = 0; i < 100; i++) {
        stage_append(&stage, 1000); /* more than there is room for */
    }
    for (unsigned i = 0; i < 3000; i++) {
        stage_turn(&stage);
    }
    assert_true(journal_committed(stage.journal) < journal_end(stage.journal));
    assert_int_equal(journal_room(stage.journal), JOURNAL_STUCK);
    sim_disk_set_space(stage.disk, UINT64_MAX);
    wait_for(JOURNAL_FREE);
    stage_commit(&stage);
    crash_and_check(stage.count);
    stage_end(&stage);
}

static void
full_disk_heals_when_the_past_is_cut_off(void **state)
{
    (void)state;
    begin(1, 0);
    sim_disk_set_space(stage.disk, sim_disk_bytes(stage.disk) + 4 * SEGMENT_BYTES);
    append_until(JOURNAL_FULL);
    stage_cut(&stage);
    wait_for(JOURNAL_FREE);
    stage_end(&stage);
}

static void
append_rotating(unsigned segments)
{
    uint64_t start = journal_segment_start(stage.journal);
    for (unsigned rotated = 0; rotated < segments;) {
        assert_int_equal(journal_room(stage.journal), JOURNAL_FREE);
        stage_append(&stage, SEGMENT_BYTES / 4);
        stage_commit(&stage);
        rotated += journal_segment_start(stage.journal) > start;
        start = journal_segment_start(stage.journal);
    }
}

static void
find_oldest(void *context, const char *path, uint64_t size)
{
    char *oldest = context;
    (void)size;
    if (strstr(path, ".segment") != NULL && (oldest[0] == '\0' || strcmp(path, oldest) < 0)) {
        strcpy(oldest, path);
    }
}

static void
file_that_somebody_took_away_does_not_stand_for_a_full_disk(void **state)
{
    (void)state;
    char oldest[256] = "";
    begin(1, 0);
    append_rotating(4);
    sim_disk_list(stage.disk, find_oldest, oldest);
    assert_int_equal(io_remove(stage.set, oldest), 0);
    stage_cut(&stage);
    append_rotating(8);
    crash_and_check(stage.count);
    stage_end(&stage);
}

static void
file_that_cannot_be_used_again_is_made_up_for_by_another_one(void **state)
{
    (void)state;
    for (uint32_t failures = 1; failures <= 2; failures++) { /* of the use, and of the removal */
        begin(1, 0);
        append_rotating(4);
        sim_disk_fail(stage.disk, SIM_DISK_NAME, failures);
        stage_cut(&stage);
        append_rotating(8);
        crash_and_check(stage.count);
        stage_end(&stage);
    }
}

static void
limit_is_kept_and_heals_as_a_full_disk_does(void **state)
{
    (void)state;
    begin(1, 8 * SEGMENT_BYTES);
    append_until(JOURNAL_FULL);
    assert_int_equal(journal_bytes_used(stage.journal), 8 * SEGMENT_BYTES);
    append_until(JOURNAL_STUCK);
    stage_commit(&stage);
    assert_int_equal(journal_bytes_used(stage.journal), 8 * SEGMENT_BYTES);
    stage_cut(&stage);
    wait_for(JOURNAL_FREE);
    append_until(JOURNAL_FULL);
    stage_commit(&stage);
    assert_int_equal(journal_bytes_used(stage.journal), 8 * SEGMENT_BYTES);
    crash_and_check(stage.count);
    stage_end(&stage);
}

/* What was appended before the limit was reached is written: else what is to be cut off would wait for it, and it for that. */
static void
limit_is_passed_by_what_is_waiting_already(void **state)
{
    (void)state;
    begin(1, 4 * SEGMENT_BYTES);
    stage_append(&stage, 10 * SEGMENT_BYTES);
    stage_commit(&stage);
    stage_append(&stage, 1000);
    stage_cut(&stage);
    wait_for(JOURNAL_FREE);
    for (unsigned i = 0; i < 100; i++) {
        stage_turn(&stage);
    }
    assert_true(journal_bytes_used(stage.journal) <= 4 * SEGMENT_BYTES);
    stage_end(&stage);
}

static void
limit_below_three_segments_is_refused_with_a_clear_line(void **state)
{
    (void)state;
    char error[300] = "";
    begin(1, 0);
    struct journal_options options = stage.options;
    options.bytes_max = 3 * SEGMENT_BYTES - 1;
    assert_null(journal_open(&options, error, sizeof error));
    assert_non_null(strstr(error, "at least 196608 bytes"));
    stage_end(&stage);
}

static void
failed_write_goes_to_another_segment_and_is_acknowledged_then_only(void **state)
{
    (void)state;
    begin(1, 0);
    sim_disk_fail(stage.disk, SIM_DISK_WRITE, 1);
    stage_append(&stage, 1000);
    uint64_t end = journal_end(stage.journal);
    uint64_t start = journal_segment_start(stage.journal);
    while (journal_committed(stage.journal) < end) {
        stage_turn(&stage);
    }
    assert_true(journal_segment_start(stage.journal) > start);
    assert_int_equal(journal_room(stage.journal), JOURNAL_FREE);
    struct journal_counts counts;
    journal_counts(stage.journal, &counts);
    assert_int_equal(counts.failed_writes, 1);
    crash_and_check(stage.count);
    stage_end(&stage);
}

static void
disk_that_cannot_be_written_counts_as_full_and_heals(void **state)
{
    (void)state;
    begin(1, 0);
    sim_disk_fail(stage.disk, SIM_DISK_WRITE, 5);
    stage_append(&stage, 1000);
    uint32_t before = stage.count - 1;
    wait_for(JOURNAL_FULL);
    assert_int_equal(stage_committed(&stage), before);
    stage_append(&stage, 1000);
    wait_for(JOURNAL_FREE);
    stage_commit(&stage);
    crash_and_check(stage.count);
    stage_end(&stage);
}

static void
failed_flush_is_not_counted_on(void **state)
{
    (void)state;
    struct journal_options options = {.mode = JOURNAL_INTERVAL, .interval_ms = 3, .segment_bytes = SEGMENT_BYTES};
    stage_begin(&stage, 1, &options);
    stage_append(&stage, 100);
    stage_settle(&stage);
    stage_close(&stage);
    stage_open(&stage);
    sim_disk_fail(stage.disk, SIM_DISK_SYNC, 1);
    stage_append(&stage, 100);
    stage_commit(&stage);
    for (unsigned i = 0; i < 10; i++) {
        stage_turn(&stage);
    }
    assert_int_equal(stage_durable(&stage), 1);
    uint64_t start = journal_segment_start(stage.journal);
    journal_cut(stage.journal, start); /* without effect: what was to stand in for the past may be lost */
    stage_append(&stage, 100);
    stage_commit(&stage);
    assert_true(journal_segment_start(stage.journal) > start);
    stage_crash(&stage);
    stage_check(&stage, 1);
    stage_end(&stage);
}

static void
failed_flush_withdraws_the_cut_that_was_waiting_for_it(void **state)
{
    (void)state;
    struct journal_options options = {.mode = JOURNAL_INTERVAL, .interval_ms = 50, .segment_bytes = SEGMENT_BYTES};
    stage_begin(&stage, 1, &options);
    append_rotating(3);
    stage_settle(&stage);
    stage_append(&stage, 100);
    stage_commit(&stage);
    sim_disk_fail(stage.disk, SIM_DISK_SYNC, 1);
    journal_cut(stage.journal, journal_segment_start(stage.journal));
    struct journal_counts counts = {0};
    for (; counts.failed_writes == 0; journal_counts(stage.journal, &counts)) {
        stage_turn(&stage);
    }
    stage_settle(&stage); /* what is asked of the disk from now on succeeds */
    for (unsigned i = 0; i < 100; i++) {
        stage_turn(&stage);
    }
    stage_crash(&stage);
    stage_check(&stage, 0);
    assert_int_equal(stage.oldest, 0);
    stage_end(&stage);
}

/* Faults of all kinds; in between crashes and kills. */
static void
trouble(void)
{
    switch (stage_below(&stage, 6)) {
    case 0:
        sim_disk_set_space(stage.disk, sim_disk_bytes(stage.disk) + stage_below(&stage, 4 * SEGMENT_BYTES));
        break;
    case 1:
        sim_disk_fail(stage.disk, SIM_DISK_WRITE, 1 + stage_below(&stage, 3));
        break;
    case 2:
        sim_disk_fail(stage.disk, SIM_DISK_NAME, 1 + stage_below(&stage, 3));
        break;
    case 3:
        sim_disk_fail(stage.disk, SIM_DISK_SYNC, 1);
        break;
    default:
        sim_disk_set_space(stage.disk, UINT64_MAX);
        break;
    }
}

static void
end_trouble(void)
{
    sim_disk_set_space(stage.disk, UINT64_MAX);
    for (unsigned i = 0; i < SIM_DISK_OPERATIONS; i++) {
        sim_disk_fail(stage.disk, (enum sim_disk_operation)i, 0);
    }
}

static void
what_is_committed_survives_whatever_the_disk_does(void **state)
{
    (void)state;
    for (uint64_t seed = seed_first; seed < seed_first + seed_count; seed++) {
        begin(seed, seed % 3 == 0 ? 12 * SEGMENT_BYTES : 0);
        for (unsigned lives = 0; lives < 3; lives++) {
            for (unsigned i = 0; i < 8; i++) {
                trouble();
                stage_live(&stage, stage_below(&stage, 20));
            }
            end_trouble();
            uint32_t committed = stage_committed(&stage);
            stage_below(&stage, 2) == 0 ? stage_crash(&stage) : stage_kill(&stage);
            stage_check(&stage, committed);
            assert_int_equal(stage.past.damaged_places, 0);
            stage_live(&stage, 5);
        }
        stage_commit(&stage);
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
        cmocka_unit_test(full_disk_is_told_before_there_is_no_room_at_all),
        cmocka_unit_test(full_disk_heals_when_space_returns_and_nothing_is_lost),
        cmocka_unit_test(full_disk_heals_when_the_past_is_cut_off),
        cmocka_unit_test(file_that_somebody_took_away_does_not_stand_for_a_full_disk),
        cmocka_unit_test(file_that_cannot_be_used_again_is_made_up_for_by_another_one),
        cmocka_unit_test(limit_is_kept_and_heals_as_a_full_disk_does),
        cmocka_unit_test(limit_is_passed_by_what_is_waiting_already),
        cmocka_unit_test(limit_below_three_segments_is_refused_with_a_clear_line),
        cmocka_unit_test(failed_write_goes_to_another_segment_and_is_acknowledged_then_only),
        cmocka_unit_test(disk_that_cannot_be_written_counts_as_full_and_heals),
        cmocka_unit_test(failed_flush_is_not_counted_on),
        cmocka_unit_test(failed_flush_withdraws_the_cut_that_was_waiting_for_it),
        cmocka_unit_test(what_is_committed_survives_whatever_the_disk_does),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    log_close();
    return failed;
}
