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

#include "engine/journal/record.h"
#include "engine/log.h"
#include "test/support/journal_stage.h"

#define SEGMENT_BYTES (64u << 10)
#define SEGMENT(number) STAGE_DIRECTORY "/000000000" #number ".segment"
enum { RECORDS = 120, SEEDS = 150 };

static struct stage stage;
static uint8_t bytes[SEGMENT_BYTES];

/* Some segments of records, each batch with a few of them; then it is closed. */
static void
begin_full(uint64_t seed)
{
    struct journal_options options = {.mode = JOURNAL_ALWAYS, .segment_bytes = SEGMENT_BYTES};
    stage_begin(&stage, seed, &options);
    for (uint32_t i = 0; i < RECORDS; i++) {
        stage_append(&stage, 100 + stage_below(&stage, 1500));
        if (i % 4 == 3) {
            stage_commit(&stage);
        }
    }
    stage_append(&stage, 4); /* in a batch of its own: damage in the last one looks like a write that was never completed */
    stage_settle(&stage);
    stage_close(&stage);
}

static void
reopen_damaged(void)
{
    stage.damage_is_fine = true;
    stage_open(&stage);
}

static void
load(const char *path)
{
    assert_int_equal(sim_disk_read_file(stage.disk, path, bytes, sizeof bytes), sizeof bytes);
}

static void
store(const char *path)
{
    sim_disk_write_file(stage.disk, path, bytes, sizeof bytes);
}

static void
flip_byte(const char *path, uint32_t at)
{
    load(path);
    bytes[at] ^= 0x10;
    store(path);
}

static void
clear(const char *path, uint32_t at, uint32_t size)
{
    load(path);
    memset(bytes + at, 0, size);
    store(path);
}

/* The same is found by the next start, and life goes on. */
static void
read_again(uint32_t lost)
{
    uint32_t read = stage.read_count, places = stage.past.damaged_places, files = stage_files(&stage, ".damaged", NULL);
    assert_int_equal(read, RECORDS + 1 - lost);
    stage_append(&stage, 500);
    stage_settle(&stage);
    stage_close(&stage);
    stage_open(&stage);
    assert_int_equal(stage.read_count, read + 1);
    assert_int_equal(stage.past.damaged_places, places);
    assert_int_equal(stage_files(&stage, ".damaged", NULL), files);
}

static void
damaged_record_is_lost_alone_and_kept_aside(void **state)
{
    (void)state;
    begin_full(1);
    flip_byte(SEGMENT(1), RECORD_BLOCK_BYTES + RECORD_BATCH_HEAD_BYTES + RECORD_HEAD_BYTES + 8);
    reopen_damaged();
    assert_int_equal(stage.past.damaged_places, 1);
    assert_in_range(stage.past.damaged_bytes, 100, 2000);
    assert_int_equal(stage.past.torn_bytes, 0);
    assert_int_equal(stage.oldest, 1);
    assert_int_equal(stage_files(&stage, ".damaged", NULL), 1);
    read_again(1);
    stage_end(&stage);
}

static void
records_of_a_batch_are_found_without_its_head(void **state)
{
    (void)state;
    begin_full(1);
    flip_byte(SEGMENT(1), RECORD_BLOCK_BYTES + 20);
    reopen_damaged();
    assert_int_equal(stage.past.damaged_places, 1);
    assert_int_equal(stage.oldest, 0);
    read_again(0);
    stage_end(&stage);
}

static void
lost_block_loses_what_was_in_it(void **state)
{
    (void)state;
    begin_full(1);
    clear(SEGMENT(1), 2 * RECORD_BLOCK_BYTES, RECORD_BLOCK_BYTES);
    reopen_damaged();
    assert_int_equal(stage.past.damaged_places, 1);
    assert_in_range(RECORDS + 1 - stage.read_count, 1, 41);
    read_again(RECORDS + 1 - stage.read_count);
    stage_end(&stage);
}

static void
segment_without_its_head_is_read_all_the_same(void **state)
{
    (void)state;
    begin_full(1);
    clear(SEGMENT(1), 0, RECORD_BLOCK_BYTES);
    reopen_damaged();
    assert_int_equal(stage.past.damaged_places, 0);
    read_again(0);
    stage_end(&stage);
}

static void
last_segment_without_its_head_is_read_and_not_written_to(void **state)
{
    (void)state;
    struct journal_options options = {.mode = JOURNAL_ALWAYS, .segment_bytes = SEGMENT_BYTES};
    stage_begin(&stage, 1, &options);
    stage_append(&stage, 100);
    stage_settle(&stage);
    stage_close(&stage);
    clear(SEGMENT(1), 0, RECORD_BLOCK_BYTES);
    stage_open(&stage);
    stage_check(&stage, 1);
    stage_append(&stage, 100);
    stage_settle(&stage);
    stage_close(&stage);
    stage_open(&stage);
    stage_check(&stage, 2);
    assert_int_equal(stage.past.damaged_places, 0);
    stage_end(&stage);
}

static void
missing_segment_is_damage_and_the_rest_is_read(void **state)
{
    (void)state;
    begin_full(1);
    clear(SEGMENT(2), 0, SEGMENT_BYTES);
    reopen_damaged();
    assert_int_equal(stage.past.damaged_places, 1);
    assert_int_equal(stage.oldest, 0);
    assert_int_equal(stage.due, RECORDS + 1);
    read_again(RECORDS + 1 - stage.read_count);
    stage_end(&stage);
}

static void
file_of_which_nothing_can_be_read_is_kept_aside(void **state)
{
    (void)state;
    begin_full(1);
    memset(bytes, 0x5a, sizeof bytes);
    sim_disk_write_file(stage.disk, STAGE_DIRECTORY "/0000009999.segment", bytes, sizeof bytes);
    reopen_damaged();
    assert_int_equal(stage.read_count, RECORDS + 1);
    assert_int_equal(stage.past.damaged_places, 1);
    assert_int_equal(stage_files(&stage, "9999.segment", NULL), 0);
    assert_int_equal(stage_files(&stage, ".damaged", NULL), 1);
    stage_end(&stage);
}

static void
damage_in_the_last_batch_is_cut_off(void **state)
{
    (void)state;
    begin_full(1);
    uint32_t number = 0;
    char path[100];
    for (uint32_t i = 1; i < 10; i++) { /* the last one that was written to */
        snprintf(path, sizeof path, STAGE_DIRECTORY "/%010u.segment", i);
        struct record_segment head;
        uint32_t format;
        bool begun = sim_disk_read_file(stage.disk, path, bytes, sizeof bytes) > 0 && record_read_segment(bytes, i, &head, &format) && head.number == i && head.first_sequence > 0;
        number = begun ? i : number;
    }
    snprintf(path, sizeof path, STAGE_DIRECTORY "/%010u.segment", number);
    load(path);
    uint32_t at = SEGMENT_BYTES;
    while (bytes[at - 1] == 0) {
        at--;
    }
    flip_byte(path, at - 1);
    reopen_damaged();
    assert_int_equal(stage.past.damaged_places, 0);
    assert_true(stage.past.torn_bytes > 0);
    assert_int_equal(stage.read_count, RECORDS);
    stage_end(&stage);
}

/* The next batch begins at the very place of the first record that was cut off. */
static void
batch_in_the_place_of_a_record_that_was_cut_off_is_read(void **state)
{
    (void)state;
    struct journal_options options = {.mode = JOURNAL_ALWAYS, .segment_bytes = SEGMENT_BYTES};
    stage_begin(&stage, 1, &options);
    stage_append(&stage, RECORD_BLOCK_BYTES - RECORD_BATCH_HEAD_BYTES - RECORD_HEAD_BYTES);
    stage_append(&stage, 1000);
    stage_append(&stage, 1000);
    stage_settle(&stage);
    stage_close(&stage);
    flip_byte(SEGMENT(1), 2 * RECORD_BLOCK_BYTES + 100);
    stage_open(&stage);
    stage_check(&stage, 1);
    stage_append(&stage, 500);
    stage_append(&stage, 500);
    stage_settle(&stage);
    stage_close(&stage);
    stage_open(&stage);
    stage_check(&stage, 3);
    assert_int_equal(stage.read_count, 3);
    stage_end(&stage);
}

static void
each_flipped_bit_loses_one_record_at_most(void **state)
{
    (void)state;
    uint32_t lost = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin_full(seed);
        uint32_t flips = 1 + stage_below(&stage, 8);
        sim_disk_flip(stage.disk, flips);
        reopen_damaged();
        assert_in_range(stage.read_count, RECORDS + 1 - flips, RECORDS + 1);
        lost += RECORDS + 1 - stage.read_count;
        uint32_t read = stage.read_count;
        stage_live(&stage, 10);
        stage_settle(&stage);
        uint32_t appended = 0;
        for (uint32_t i = RECORDS + 1; i < stage.count; i++) {
            appended += !stage.records[i].voided;
        }
        stage_close(&stage);
        bool cut = stage.cut_count > 0;
        stage_open(&stage);
        assert_true(cut || stage.read_count == read + appended || stage.past.torn_bytes > 0);
        stage_end(&stage);
    }
    assert_true(lost > 0);
}

static void
later_format_is_refused_and_nothing_touched(void **state)
{
    (void)state;
    char error[300] = "";
    begin_full(1);
    uint32_t files = stage_files(&stage, ".segment", NULL);
    load(SEGMENT(1));
    struct record_segment head;
    uint32_t format;
    assert_true(record_read_segment(bytes, 1, &head, &format));
    record_put_segment_of_format(bytes, &head, RECORD_FORMAT + 1);
    store(SEGMENT(1));
    sim_set_disk(stage.disk);
    stage.options.ios = io_open(&(struct io_options){.shard_count = 1}, error, sizeof error);
    stage.options.io = io_of_shard(stage.options.ios, 0);
    assert_null(journal_open(&stage.options, error, sizeof error));
    assert_non_null(strstr(error, "format 2"));
    assert_int_equal(stage_files(&stage, ".segment", NULL), files);
    assert_int_equal(stage.account.bytes, 0);
    io_close_all(stage.options.ios);
    sim_disk_free(&stage.disk);
    free(stage.records);
}

/* The read of a whole segment, and of its first blocks. */
static void
blocks_that_the_disk_cannot_read_are_damage_and_the_rest_is_read(void **state)
{
    (void)state;
    for (uint32_t blocks = 1; blocks <= 4; blocks++) {
        begin_full(blocks);
        stage.failing_reads = 1 + blocks;
        reopen_damaged();
        assert_int_equal(stage.past.damaged_bytes / RECORD_BLOCK_BYTES, blocks);
        assert_true(stage.past.damaged_places > 0);
        assert_true(stage.read_count >= RECORDS - 16 && stage.read_count < RECORDS);
        stage_live(&stage, 5);
        stage_end(&stage);
    }
}

static void
disk_that_cannot_read_anything_is_refused(void **state)
{
    (void)state;
    char error[300] = "";
    begin_full(1);
    uint32_t files = stage_files(&stage, ".segment", NULL);
    sim_set_disk(stage.disk);
    stage.options.ios = io_open(&(struct io_options){.shard_count = 1}, error, sizeof error);
    stage.options.io = io_of_shard(stage.options.ios, 0);
    sim_disk_fail(stage.disk, SIM_DISK_READ, UINT32_MAX);
    assert_null(journal_open(&stage.options, error, sizeof error));
    assert_non_null(strstr(error, "cannot look at"));
    assert_int_equal(stage_files(&stage, ".segment", NULL), files);
    io_close_all(stage.options.ios);
    sim_disk_free(&stage.disk);
    free(stage.records);
}

int
main(void)
{
    stage_quiet();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_record_is_lost_alone_and_kept_aside),
        cmocka_unit_test(records_of_a_batch_are_found_without_its_head),
        cmocka_unit_test(lost_block_loses_what_was_in_it),
        cmocka_unit_test(segment_without_its_head_is_read_all_the_same),
        cmocka_unit_test(last_segment_without_its_head_is_read_and_not_written_to),
        cmocka_unit_test(missing_segment_is_damage_and_the_rest_is_read),
        cmocka_unit_test(file_of_which_nothing_can_be_read_is_kept_aside),
        cmocka_unit_test(damage_in_the_last_batch_is_cut_off),
        cmocka_unit_test(batch_in_the_place_of_a_record_that_was_cut_off_is_read),
        cmocka_unit_test(each_flipped_bit_loses_one_record_at_most),
        cmocka_unit_test(blocks_that_the_disk_cannot_read_are_damage_and_the_rest_is_read),
        cmocka_unit_test(disk_that_cannot_read_anything_is_refused),
        cmocka_unit_test(later_format_is_refused_and_nothing_touched),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    log_close();
    return failed;
}
