#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/io/sim.h"
#include "engine/io/sim_disk.h"
#include "engine/job.h"
#include "engine/journal/journal.h"

#include <errno.h>
#include <stdlib.h>

#define DIRECTORY "/journal"
#define SEGMENT_BYTES (64u << 10)
#define RECORDS_MAX 512u
#define TYPE 3

/* A record whose content follows from its number, where it lies, and what came back. */
struct kept {
    uint64_t position;
    struct journal_place place;
    uint32_t size;
    bool placed;
    uint32_t fetched;
    int error;
};

static struct sim_disk *disk;
static struct io_set *set;
static struct io *io;
static struct budget_account account;
static struct journal *journal;
static struct kept kept[RECORDS_MAX];
static uint32_t count;

static uint8_t
byte_of(uint32_t number, uint32_t at)
{
    return (uint8_t)(number * 151 + at * 7 + (at >> 8));
}

static void
placed(void *owner, uint64_t position, const struct journal_place *place)
{
    assert_ptr_equal(owner, kept);
    for (uint32_t i = 0; i < count; i++) {
        if (kept[i].position == position) {
            assert_false(kept[i].placed);
            assert_true(journal_committed(journal) > position);
            kept[i].placed = true;
            kept[i].place = *place;
            return;
        }
    }
    fail_msg("a place for nobody");
}

static void
expect_content(uint32_t number, struct bytes content)
{
    assert_int_equal(content.size, kept[number].size);
    for (uint32_t i = 0; i < content.size; i++) {
        assert_int_equal(content.data[i], byte_of(number, i));
    }
}

static void
fetched(void *owner, uint64_t token, struct bytes content, int error)
{
    (void)owner;
    assert_in_range(token, 0, count - 1);
    kept[token].fetched++;
    kept[token].error = error;
    if (error == 0) {
        expect_content((uint32_t)token, content);
    }
}

static bool
visit(void *context, const struct journal_record *record)
{
    (void)context;
    uint32_t number = *(uint32_t *)context;
    if (record->type == TYPE) {
        assert_int_equal(record->content.size, kept[number].size);
        kept[number].place = record->place;
        kept[number].position = record->position;
        ++*(uint32_t *)context;
    }
    return true;
}

static void
open_journal(enum journal_mode mode)
{
    char error[300] = "";
    sim_set_disk(disk);
    set = io_open(&(struct io_options){.shard_count = 1}, error, sizeof error);
    assert_non_null(set);
    io = io_of_shard(set, 0);
    assert_int_equal(io_enter(io), 0);
    struct journal_options options = {
        .ios = set,
        .io = io,
        .account = &account,
        .directory = DIRECTORY,
        .mode = mode,
        .interval_ms = 5,
        .segment_bytes = SEGMENT_BYTES,
        .owner = kept,
        .placed = placed,
        .fetched = fetched,
    };
    journal = journal_open(&options, error, sizeof error);
    assert_non_null(journal);
    struct journal_past past;
    uint32_t seen = 0;
    assert_int_equal(journal_read(journal, visit, &seen, &past, error, sizeof error), 0);
    assert_int_equal(seen, count);
}

static void
close_journal(void)
{
    io_leave(io);
    for (struct job *job; (job = io_work_end(io)) != NULL;) {
        job->done(NULL, job);
    }
    journal_close(&journal);
    io_close_all(set);
    assert_int_equal(account.bytes, 0);
}

static void
begin(enum journal_mode mode)
{
    count = 0;
    memset(kept, 0, sizeof kept);
    disk = sim_disk_make(7);
    sim_disk_make_directory(disk, DIRECTORY);
    open_journal(mode);
}

static void
end(void)
{
    close_journal();
    sim_disk_free(&disk);
}

static void
turn(void)
{
    struct io_event events[16];
    journal_submit(journal, sim_now_ns(sim_of(set)) / 1000000);
    uint64_t next_ns = sim_next_ns(sim_of(set));
    uint64_t now_ns = sim_now_ns(sim_of(set));
    sim_advance(sim_of(set), next_ns - now_ns < 1000000 ? next_ns - now_ns : 1000000);
    unsigned got = io_wait(io, 0, 0, events, 16);
    for (unsigned i = 0; i < got; i++) {
        assert_true(journal_event(journal, &events[i]));
    }
}

static void
commit(void)
{
    for (uint32_t i = 0; journal_committed(journal) < journal_end(journal); i++) {
        assert_true(i < 10000);
        turn();
    }
}

static void
append(uint32_t size)
{
    uint8_t *content;
    assert_true(count < RECORDS_MAX);
    kept[count].size = size;
    kept[count].position = journal_append_placed(journal, TYPE, size, &content);
    for (uint32_t i = 0; i < size; i++) {
        content[i] = byte_of(count, i);
    }
    count++;
}

/* Others in between, which nobody wants back. */
static void
append_other(uint32_t size)
{
    uint8_t *content;
    journal_append(journal, TYPE + 1, size, &content);
    memset(content, 0x55, size);
}

static void
fetch(uint32_t number)
{
    kept[number].fetched = 0;
    journal_fetch(journal, &kept[number].place, kept[number].size, number);
    for (uint32_t i = 0; kept[number].fetched == 0; i++) {
        assert_true(i < 10000);
        turn();
    }
    assert_int_equal(kept[number].fetched, 1);
}

static void
expect_all(void)
{
    for (uint32_t i = 0; i < count; i++) {
        fetch(i);
        assert_int_equal(kept[i].error, 0);
        uint8_t *content;
        assert_int_equal(journal_fetch_now(journal, &kept[i].place, kept[i].size, &content), 0);
        expect_content(i, bytes_of(content, kept[i].size));
        free(content);
    }
}

static void
append_many(void)
{
    for (uint32_t i = 0; i < 40; i++) {
        append(i * 37 % 5000);
        append_other(i * 101 % 900);
        if (i % 3 == 0) {
            turn();
        }
    }
    commit();
}

static void
each_record_comes_back_as_it_was(void **state)
{
    (void)state;
    for (enum journal_mode mode = JOURNAL_ALWAYS; mode <= JOURNAL_NONE; mode++) {
        begin(mode);
        append_many();
        for (uint32_t i = 0; i < count; i++) {
            assert_true(kept[i].placed);
        }
        expect_all();
        end();
    }
}

/* Larger than a batch, than a segment, than several. */
static void
records_of_several_pieces_come_back(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {15000, 40000, SEGMENT_BYTES - 4096, SEGMENT_BYTES, 300000, 10};
    begin(JOURNAL_ALWAYS);
    for (uint32_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        append_other(i * 777);
        append(sizes[i]);
        append_other(3000);
    }
    commit();
    expect_all();
    end();
}

static void
places_are_found_again_after_a_restart(void **state)
{
    (void)state;
    begin(JOURNAL_ALWAYS);
    append_many();
    append(100000);
    commit();
    struct journal_place before[RECORDS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        before[i] = kept[i].place;
    }
    close_journal();
    open_journal(JOURNAL_ALWAYS);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(kept[i].place.segment, before[i].segment);
        assert_int_equal(kept[i].place.offset, before[i].offset);
    }
    expect_all();
    end();
}

/* Its batch goes to another segment then. */
static void
the_place_is_where_a_write_has_succeeded(void **state)
{
    (void)state;
    begin(JOURNAL_ALWAYS);
    append(3000);
    commit();
    append(100);
    append(60000);
    append(200);
    sim_disk_fail(disk, SIM_DISK_WRITE, 1);
    commit();
    expect_all();
    assert_true(kept[1].place.segment > kept[0].place.segment);
    end();
}

static void
a_voided_record_has_no_place(void **state)
{
    (void)state;
    begin(JOURNAL_ALWAYS);
    append(10);
    append(20);
    append(30);
    journal_void(journal, kept[1].position);
    commit();
    assert_true(kept[0].placed && !kept[1].placed && kept[2].placed);
    fetch(2);
    assert_int_equal(kept[2].error, 0);
    end();
}

static void
a_disk_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    begin(JOURNAL_ALWAYS);
    append(5000);
    commit();
    sim_disk_fail(disk, SIM_DISK_READ, 1);
    fetch(0);
    assert_int_equal(kept[0].error, -EIO);
    fetch(0);
    assert_int_equal(kept[0].error, 0);
    end();
}

/* Of a segment that is closed: it has to be opened first. */
static void
a_file_that_cannot_be_opened_is_told(void **state)
{
    (void)state;
    begin(JOURNAL_ALWAYS);
    append(5000);
    commit();
    for (uint32_t i = 0; i < 3; i++) {
        append_other(40000);
        commit();
    }
    sim_disk_fail(disk, SIM_DISK_NAME, 1);
    fetch(0);
    assert_int_equal(kept[0].error, -EIO);
    fetch(0);
    assert_int_equal(kept[0].error, 0);
    end();
}

static void
damage_is_told(void **state)
{
    (void)state;
    static uint8_t file[SEGMENT_BYTES];
    begin(JOURNAL_ALWAYS);
    append(5000);
    append(40000);
    commit();
    const char *path = DIRECTORY "/0000000001.segment";
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t *content;
        assert_int_equal(sim_disk_read_file(disk, path, file, sizeof file), SEGMENT_BYTES);
        file[kept[i].place.offset + kept[i].size / 2] ^= 4;
        sim_disk_write_file(disk, path, file, sizeof file);
        fetch(i);
        assert_int_equal(kept[i].error, -EBADMSG);
        assert_int_equal(journal_fetch_now(journal, &kept[i].place, kept[i].size, &content), -EBADMSG);
    }
    end();
}

/* What is cut off while it is read comes back all the same; its file is used again only then. */
static void
a_segment_stays_while_it_is_read(void **state)
{
    (void)state;
    begin(JOURNAL_ALWAYS);
    append(5000);
    for (uint32_t i = 0; i < 6; i++) {
        append_other(40000);
        commit();
    }
    journal_fetch(journal, &kept[0].place, kept[0].size, 0);
    journal_cut(journal, journal_segment_start(journal));
    for (uint32_t i = 0; kept[0].fetched == 0; i++) {
        assert_true(i < 1000);
        turn();
    }
    assert_int_equal(kept[0].error, 0);
    end();
}

static void
a_journal_may_be_closed_while_records_are_read(void **state)
{
    (void)state;
    begin(JOURNAL_ALWAYS);
    append(5000);
    append(60000);
    commit();
    journal_fetch(journal, &kept[0].place, kept[0].size, 0);
    journal_fetch(journal, &kept[1].place, kept[1].size, 1);
    end();
    assert_int_equal(kept[0].fetched + kept[1].fetched, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_record_comes_back_as_it_was),
        cmocka_unit_test(records_of_several_pieces_come_back),
        cmocka_unit_test(places_are_found_again_after_a_restart),
        cmocka_unit_test(the_place_is_where_a_write_has_succeeded),
        cmocka_unit_test(a_voided_record_has_no_place),
        cmocka_unit_test(a_disk_that_cannot_be_read_is_told),
        cmocka_unit_test(a_file_that_cannot_be_opened_is_told),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(a_segment_stays_while_it_is_read),
        cmocka_unit_test(a_journal_may_be_closed_while_records_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
