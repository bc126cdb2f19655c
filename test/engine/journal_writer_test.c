#include "engine/journal/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/io/sim.h"
#include "engine/io/sim_disk.h"
#include "engine/journal/journal.h"

#include <errno.h>
#include <stdlib.h>

#define CLAIM(name) static void name(void **state __attribute__((unused)))
#define DIRECTORY "/journal"
#define SEGMENT_BYTES (64u << 10)
#define RECORDS_MAX 2000u
#define LARGEST (1u << 20)

static struct sim_disk *disk;
static struct io_set *ios;
static uint32_t sizes[RECORDS_MAX];
static uint32_t count, seen;
static uint8_t content[LARGEST];

static int
begin(void **state)
{
    (void)state;
    const struct io_options options = {.shard_count = 1, .sockets_max = 16};
    char error[200];
    disk = sim_disk_make(1);
    sim_disk_make_directory(disk, DIRECTORY);
    sim_set_disk(disk);
    ios = io_open(&options, error, sizeof error);
    count = 0;
    return ios != NULL ? 0 : -1;
}

static int
end(void **state)
{
    (void)state;
    io_close_all(ios);
    sim_disk_free(&disk);
    return 0;
}

static uint8_t
byte_of(uint32_t number, uint32_t at)
{
    return (uint8_t)(number * 31 + at * 7 + (at >> 8));
}

static void
append(struct journal_writer *w, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        content[i] = byte_of(count, i);
    }
    journal_writer_append(w, (uint8_t)(1 + count % JOURNAL_TYPE_MAX), bytes_of(content, size));
    sizes[count++] = size;
}

static bool
look(void *context, const struct journal_record *record)
{
    uint64_t *position = context;
    assert_true(seen < count);
    assert_int_equal(record->type, 1 + seen % JOURNAL_TYPE_MAX);
    assert_int_equal(record->content.size, sizes[seen]);
    assert_true(record->position > *position);
    for (uint32_t i = 0; i < record->content.size; i++) {
        assert_int_equal(record->content.data[i], byte_of(seen, i));
    }
    *position = record->position;
    seen++;
    return true;
}

static void
assert_all_is_read(void)
{
    struct budget_account account = {0};
    struct journal_options options = {
        .ios = ios, .io = io_of_shard(ios, 0), .account = &account, .directory = DIRECTORY, .mode = JOURNAL_ALWAYS, .segment_bytes = SEGMENT_BYTES};
    struct journal_past past;
    char error[200];
    uint64_t position = 0;
    struct journal *journal = journal_open(&options, error, sizeof error);
    assert_non_null(journal);
    seen = 0;
    assert_int_equal(journal_read(journal, look, &position, &past, error, sizeof error), 0);
    assert_int_equal(seen, count);
    assert_int_equal(past.torn_bytes + past.damaged_bytes, 0);
    assert_true(count == 0 || journal_end(journal) > position);
    journal_close(&journal);
}

static struct journal_writer *
open_writer(void)
{
    struct journal_writer *w = journal_writer_open(ios, DIRECTORY, 3, SEGMENT_BYTES);
    assert_non_null(w);
    return w;
}

CLAIM(nothing_is_a_journal_too)
{
    struct journal_writer *w = open_writer();
    assert_int_equal(journal_writer_finish(&w), 0);
    assert_null(w);
    assert_all_is_read();
}

CLAIM(records_of_any_size_are_read_again)
{
    static const uint32_t odd[] = {0, 1, 7, 8, 9, 4000, 4096, 16000, 16300, 16384, 40000, 61000, 65535, 65536, LARGEST};
    struct journal_writer *w = open_writer();
    for (uint32_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        append(w, odd[i]);
        append(w, 5);
    }
    assert_int_equal(journal_writer_finish(&w), 0);
    assert_all_is_read();
}

/* All places of a batch and of a segment. */
CLAIM(pieces_fit_together_at_every_edge)
{
    struct journal_writer *w = open_writer();
    for (uint32_t i = 0; i < 900; i++) {
        append(w, i % 3 == 0 ? 15000 + i * 3 : i);
    }
    assert_int_equal(journal_writer_finish(&w), 0);
    assert_all_is_read();
}

CLAIM(what_is_finished_survives_a_crash)
{
    struct journal_writer *w = open_writer();
    for (uint32_t i = 0; i < 500; i++) {
        append(w, i * 3);
    }
    assert_int_equal(journal_writer_finish(&w), 0);
    sim_disk_crash(disk);
    const struct io_options options = {.shard_count = 1, .sockets_max = 16};
    char error[200];
    io_close_all(ios);
    sim_set_disk(disk);
    ios = io_open(&options, error, sizeof error);
    assert_all_is_read();
}

CLAIM(a_full_disk_is_told_at_the_end)
{
    struct journal_writer *w = open_writer();
    sim_disk_set_space(disk, SEGMENT_BYTES + 8192);
    for (uint32_t i = 0; i < 500; i++) {
        append(w, 1000);
    }
    assert_int_equal(journal_writer_result(w), -ENOSPC);
    assert_int_equal(journal_writer_finish(&w), -ENOSPC);
}

CLAIM(an_abandoned_one_closes_its_file)
{
    struct journal_writer *w = open_writer();
    append(w, 100000);
    journal_writer_abandon(&w);
    assert_null(w);
    journal_writer_abandon(&w);
}

#define WRITER_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WRITER_TEST(nothing_is_a_journal_too),
        WRITER_TEST(records_of_any_size_are_read_again),
        WRITER_TEST(pieces_fit_together_at_every_edge),
        WRITER_TEST(what_is_finished_survives_a_crash),
        WRITER_TEST(a_full_disk_is_told_at_the_end),
        WRITER_TEST(an_abandoned_one_closes_its_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
