#include "engine/io/sim_disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/io/sim.h"

#define BLOCK IO_FILE_ALIGN
enum { SEEDS = 200, BLOCKS = 8, BIG = 1 << 20 };

static struct sim_disk *disk;
static struct io_set *set;
static struct io *io;
static alignas(IO_FILE_ALIGN) uint8_t out[BLOCKS * BLOCK], in[BLOCKS * BLOCK];

/* ----------------------------------------------------------------------------------------------------------- the stage */

static void
open_set(void)
{
    char error[200];
    sim_set_disk(disk);
    set = io_open(&(struct io_options){.shard_count = 2}, error, sizeof error);
    assert_non_null(set);
    io = io_of_shard(set, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(io_enter(io_of_shard(set, i)), 0);
    }
}

static void
close_set(void)
{
    for (unsigned i = 0; i < 2; i++) {
        io_leave(io_of_shard(set, i));
    }
    io_close_all(set);
    set = NULL;
}

static void
open_stage(uint64_t seed)
{
    disk = sim_disk_make(seed);
    open_set();
}

static void
close_stage(void)
{
    close_set();
    sim_disk_free(&disk);
}

/* Power fails; another world finds what is left. */
static void
crash(void)
{
    sim_disk_crash(disk);
    close_set();
    open_set();
}

static struct io_file *
open_file(const char *path, unsigned flags)
{
    struct io_file *file = NULL;
    assert_int_equal(io_file_open(set, path, flags, &file), 0);
    return file;
}

/* A file of `size` bytes 1, with its name on the disk. */
static struct io_file *
make_file(const char *path, size_t size)
{
    uint8_t *bytes = malloc(size);
    memset(bytes, 1, size);
    sim_disk_write_file(disk, path, bytes, size);
    free(bytes);
    return open_file(path, 0);
}

static bool
exists(const char *path)
{
    return sim_disk_read_file(disk, path, NULL, 0) >= 0;
}

/* How many of the 512-byte sectors of a file's first blocks are `value` throughout; each must be one thing or another. */
static unsigned
count_sectors(const char *path, uint8_t value)
{
    memset(in, 0xee, sizeof in);
    sim_disk_read_file(disk, path, in, sizeof in);
    unsigned count = 0;
    for (size_t at = 0; at < sizeof in; at += 512) {
        assert_memory_equal(in + at, in + at + 1, 511);
        count += in[at] == value;
    }
    return count;
}

static void
advance_to_next(void)
{
    uint64_t next_ns = sim_next_ns(sim_of(set));
    assert_true(next_ns != UINT64_MAX);
    sim_advance(sim_of(set), next_ns - sim_now_ns(sim_of(set)));
}

/* The next end of a request on shard 0. */
static struct io_event
expect_done(void)
{
    struct io_event event;
    while (io_wait(io, 0, 0, &event, 1) == 0) {
        advance_to_next();
    }
    assert_int_equal(event.type, IO_FILE_DONE);
    return event;
}

/* --------------------------------------------------------------------------------------------------------- what is read */

static void
readers_see_what_was_written_last(void **state)
{
    (void)state;
    open_stage(1);
    struct io_file *file = open_file("/a", IO_FILE_CREATE);
    assert_int_equal(io_file_write(file, 0, "one two", 7), 0);
    assert_int_equal(io_file_write(file, 4, "TWO!", 4), 0);
    assert_int_equal(io_file_size(file), 8);
    assert_int_equal(io_file_read(file, 0, in, 100), 8);
    assert_memory_equal(in, "one TWO!", 8);
    assert_int_equal(io_file_read(file, 8, in, 100), 0);
    assert_int_equal(io_file_write(file, 10000, "far", 3), 0);
    assert_int_equal(io_file_read(file, 8, in, 4), 4);
    assert_memory_equal(in, "\0\0\0\0", 4);
    io_file_close(&file);
    assert_null(file);
    io_file_close(&file);
    close_stage();
}

/* Random writes, settlements and reads against plain arrays: what is read, and that what was synced is there after a crash or was overwritten since. */
static void
random_writes_match_a_plain_array(void **state)
{
    (void)state;
    enum { SIZE = 40000, STEPS = 300 };
    static uint8_t seen[SIZE], bytes[SIZE], back[SIZE];
    static bool loose[SIZE]; /* written to since the last sync */
    for (uint64_t seed = 0; seed < 20; seed++) {
        open_stage(seed);
        struct io_file *file = make_file("/a", SIZE);
        memset(seen, 1, SIZE);
        memset(loose, 0, sizeof loose);
        srand((unsigned)seed);
        for (unsigned step = 0; step < STEPS; step++) {
            size_t from = (size_t)rand() % SIZE, size = 1 + (size_t)rand() % 9000;
            size = size < SIZE - from ? size : SIZE - from;
            memset(bytes, rand() % 3 == 0 ? 0 : rand(), size);
            assert_int_equal(io_file_write(file, from, bytes, size), 0);
            memcpy(seen + from, bytes, size);
            memset(loose + from, 1, size);
            if (rand() % 20 == 0) {
                assert_int_equal(io_file_sync(file), 0);
                memset(loose, 0, sizeof loose);
            }
        }
        assert_int_equal(io_file_read(file, 0, back, SIZE), SIZE);
        assert_memory_equal(back, seen, SIZE);
        io_file_close(&file);
        crash();
        assert_int_equal(sim_disk_read_file(disk, "/a", back, SIZE), SIZE);
        for (size_t i = 0; i < SIZE; i++) {
            assert_true(loose[i] || back[i] == seen[i]);
        }
        close_stage();
    }
}

static void
cleared_space_costs_no_memory_and_is_counted(void **state)
{
    (void)state;
    open_stage(1);
    uint8_t *zeros = calloc(1, BIG);
    struct io_file *file = open_file("/a", IO_FILE_CREATE);
    for (uint64_t at = 0; at < 1024; at++) { /* a gigabyte */
        assert_int_equal(io_file_write(file, at * BIG, zeros, BIG), 0);
    }
    assert_int_equal(io_file_sync(file), 0);
    assert_int_equal(sim_disk_bytes(disk), (uint64_t)1024 * BIG);
    free(zeros);
    io_file_close(&file);
    close_stage();
}

/* ---------------------------------------------------------------------------------------------------- what a crash loses */

static void
unsynced_sectors_are_each_kept_or_lost(void **state)
{
    (void)state;
    unsigned whole = 0, lost = 0, torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        struct io_file *file = make_file("/a", sizeof out);
        memset(out, 2, sizeof out);
        assert_int_equal(io_file_write(file, 0, out, sizeof out), 0);
        io_file_close(&file);
        crash();
        unsigned kept = count_sectors("/a", 2);
        assert_int_equal(kept + count_sectors("/a", 1), sizeof out / 512);
        whole += kept == sizeof out / 512;
        lost += kept == 0;
        torn += kept > 0 && kept < sizeof out / 512;
        close_stage();
    }
    assert_true(whole > SEEDS / 20 && lost > SEEDS / 20 && torn > SEEDS / 5);
}

static void
later_writes_survive_earlier_ones(void **state)
{
    (void)state;
    unsigned reordered = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        struct io_file *file = make_file("/a", sizeof out);
        memset(out, 2, sizeof out);
        assert_int_equal(io_file_write(file, 0, out, BLOCK), 0);
        assert_int_equal(io_file_write(file, BLOCK, out, BLOCK), 0);
        io_file_close(&file);
        crash();
        sim_disk_read_file(disk, "/a", in, sizeof in);
        reordered += in[0] == 1 && in[BLOCK] == 2;
        close_stage();
    }
    assert_true(reordered > SEEDS / 20);
}

static void
synced_bytes_are_never_lost(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        struct io_file *file = make_file("/a", sizeof out);
        memset(out, 2, sizeof out);
        assert_int_equal(io_file_write(file, 0, out, sizeof out), 0);
        assert_int_equal(io_file_sync(file), 0);
        io_file_close(&file);
        crash();
        assert_int_equal(count_sectors("/a", 2), sizeof out / 512);
        crash();
        assert_int_equal(count_sectors("/a", 2), sizeof out / 512);
        close_stage();
    }
}

static void
a_file_that_grew_has_its_size_once_synced(void **state)
{
    (void)state;
    unsigned shorter = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        struct io_file *file = make_file("/a", 512);
        assert_int_equal(io_file_write(file, 512, out, BLOCK), 0);
        assert_int_equal(io_file_sync(file), 0);
        assert_int_equal(io_file_write(file, 512 + BLOCK, out, BLOCK), 0);
        io_file_close(&file);
        crash();
        int64_t size = sim_disk_read_file(disk, "/a", NULL, 0);
        assert_true(size >= 512 + BLOCK && size <= 512 + 2 * BLOCK);
        shorter += size < 512 + 2 * BLOCK;
        close_stage();
    }
    assert_true(shorter > SEEDS / 20);
}

/* A durable write over an unsynced one: nothing of the older is found in its place (D1). */
static void
nothing_older_comes_back_over_a_durable_write(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        struct io_file *file = make_file("/a", sizeof out);
        memset(out, 2, sizeof out);
        assert_int_equal(io_file_write(file, 0, out, sizeof out), 0);
        memset(out, 3, sizeof out);
        io_file_put(io, file, 2 * BLOCK, out, 3 * BLOCK, true, 7);
        assert_int_equal(expect_done().result, 3 * BLOCK);
        io_file_close(&file);
        crash();
        assert_int_equal(count_sectors("/a", 3), 3 * BLOCK / 512);
        sim_disk_read_file(disk, "/a", in, sizeof in);
        assert_memory_equal(in + 2 * BLOCK, out, 3 * BLOCK);
        close_stage();
    }
}

static void
equal_seeds_crash_alike(void **state)
{
    (void)state;
    static uint8_t first[sizeof out];
    for (unsigned run = 0; run < 2; run++) {
        open_stage(5);
        struct io_file *file = make_file("/a", sizeof out);
        memset(out, 2, sizeof out);
        for (size_t at = 0; at < sizeof out; at += BLOCK) {
            assert_int_equal(io_file_write(file, at, out, BLOCK), 0);
        }
        io_file_close(&file);
        crash();
        sim_disk_read_file(disk, "/a", run == 0 ? first : in, sizeof in);
        close_stage();
    }
    assert_memory_equal(first, in, sizeof in);
}

/* --------------------------------------------------------------------------------------------------------------- names */

static void
names_may_be_lost_until_their_directory_is_synced(void **state)
{
    (void)state;
    unsigned made = 0, removed = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        sim_disk_make_directory(disk, "/d");
        sim_disk_write_file(disk, "/d/old", "x", 1);
        struct io_file *file = open_file("/d/synced", IO_FILE_CREATE);
        io_file_close(&file);
        assert_int_equal(io_directory_sync(set, "/d"), 0);
        file = open_file("/d/new", IO_FILE_CREATE);
        assert_int_equal(io_file_write(file, 0, "y", 1), 0);
        assert_int_equal(io_file_sync(file), 0);
        io_file_close(&file);
        assert_int_equal(io_remove(set, "/d/old"), 0);
        assert_false(exists("/d/old"));
        crash();
        assert_true(exists("/d/synced"));
        made += exists("/d/new");
        removed += !exists("/d/old");
        close_stage();
    }
    assert_true(made > SEEDS / 4 && made < SEEDS * 3 / 4 && removed > SEEDS / 4 && removed < SEEDS * 3 / 4);
}

static void
rename_happens_as_a_whole_or_not_at_all(void **state)
{
    (void)state;
    unsigned renamed = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        sim_disk_write_file(disk, "/d/manifest", "old", 3);
        sim_disk_write_file(disk, "/d/manifest.new", "new", 3);
        assert_int_equal(io_rename(set, "/d/manifest.new", "/d/manifest"), 0);
        crash();
        assert_int_equal(sim_disk_read_file(disk, "/d/manifest", in, 3), 3);
        bool new = memcmp(in, "new", 3) == 0;
        assert_true(new || memcmp(in, "old", 3) == 0);
        assert_int_equal(exists("/d/manifest.new"), !new);
        renamed += new;

        if (new) {
            sim_disk_write_file(disk, "/d/manifest.new", "new", 3);
        }
        assert_int_equal(io_rename(set, "/d/manifest.new", "/d/manifest"), 0);
        assert_int_equal(io_directory_sync(set, "/d"), 0);
        crash();
        assert_int_equal(sim_disk_read_file(disk, "/d/manifest", in, 3), 3);
        assert_memory_equal(in, "new", 3);
        assert_false(exists("/d/manifest.new"));
        close_stage();
    }
    assert_true(renamed > SEEDS / 4 && renamed < SEEDS * 3 / 4);
}

static void
directory_goes_with_all_that_is_in_it(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        assert_int_equal(io_directory_make(set, "/d"), 0);
        struct io_file *file = open_file("/d/a", IO_FILE_CREATE);
        assert_int_equal(io_file_write(file, 0, "x", 1), 0);
        assert_int_equal(io_file_sync(file), 0);
        io_file_close(&file);
        assert_int_equal(io_directory_sync(set, "/d"), 0); /* but not the one above it */
        crash();
        lost += !exists("/d/a");
        close_stage();
    }
    assert_true(lost > SEEDS / 4 && lost < SEEDS * 3 / 4);
}

static void
count_name(void *context, const char *name)
{
    assert_true(strcmp(name, "a") == 0 || strcmp(name, "b") == 0 || strcmp(name, "sub") == 0);
    ++*(unsigned *)context;
}

static void
what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct io_file *file;
    unsigned count = 0;
    open_stage(1);
    assert_int_equal(io_directory_make(set, "/d"), 0);
    assert_int_equal(io_directory_make(set, "/d"), 0);
    assert_int_equal(io_directory_make(set, "/d/sub/"), 0);
    assert_int_equal(io_directory_make(set, "/no/sub"), -ENOENT);
    assert_int_equal(io_file_open(set, "/d/a", 0, &file), -ENOENT);
    assert_int_equal(io_file_open(set, "/d", 0, &file), -EISDIR);
    file = open_file("d/a", IO_FILE_CREATE);
    io_file_close(&file);
    file = open_file("/d/b", IO_FILE_CREATE);
    io_file_close(&file);
    assert_int_equal(io_directory_make(set, "/d/a"), -ENOTDIR);
    assert_int_equal(io_directory_list(set, "/d", count_name, &count), 0);
    assert_int_equal(count, 3);
    assert_int_equal(io_directory_list(set, "/d/a", count_name, &count), -ENOTDIR);
    assert_int_equal(io_remove(set, "/d"), -ENOTEMPTY);
    assert_int_equal(io_remove(set, "/d/none"), -ENOENT);
    assert_int_equal(io_rename(set, "/d/none", "/d/a"), -ENOENT);
    assert_int_equal(io_rename(set, "/d/a", "/d/sub"), -EISDIR);
    assert_int_equal(io_directory_sync(set, "/none"), -ENOENT);
    close_stage();
}

static void
one_world_at_a_time_has_the_lock(void **state)
{
    (void)state;
    open_stage(1);
    sim_disk_make_directory(disk, "/d");
    assert_int_equal(io_directory_lock(set, "/d"), 0);
    struct io_set *first = set;
    open_set();
    assert_int_equal(io_directory_lock(set, "/d"), -EWOULDBLOCK);
    io_close_all(first);
    assert_int_equal(io_directory_lock(set, "/d"), 0);
    crash();
    assert_int_equal(io_directory_lock(set, "/d"), 0);
    close_stage();
}

/* ------------------------------------------------------------------------------------------------------------- requests */

static void
requests_take_time_and_tell_what_they_did(void **state)
{
    (void)state;
    open_stage(1);
    struct io_file *file = open_file("/a", IO_FILE_CREATE | IO_FILE_DIRECT);
    memset(out, 2, sizeof out);
    uint64_t start_ns = sim_now_ns(sim_of(set));
    io_file_put(io, file, 0, out, sizeof out, true, 11);
    assert_false(sim_ready(sim_of(set), 0));
    struct io_event event = expect_done();
    assert_int_equal(event.token, 11);
    assert_int_equal(event.result, sizeof out);
    assert_true(sim_now_ns(sim_of(set)) - start_ns >= 50000 && sim_now_ns(sim_of(set)) - start_ns <= 200000);

    io_file_get(io, file, BLOCK, in, BLOCK, 12);
    event = expect_done();
    assert_int_equal(event.token, 12);
    assert_int_equal(event.result, BLOCK);
    assert_memory_equal(in, out, BLOCK);
    io_file_get(io, file, sizeof out, in, BLOCK, 13);
    assert_int_equal(expect_done().result, -EIO); /* there is no more */
    io_file_flush(io, file, 14);
    event = expect_done();
    assert_int_equal(event.token, 14);
    assert_int_equal(event.result, 0);
    assert_true(sim_next_ns(sim_of(set)) == UINT64_MAX);

    sim_disk_set_latency(disk, 0, 0);
    io_file_put(io, file, 0, out, BLOCK, false, 15);
    assert_true(sim_ready(sim_of(set), 0));
    assert_false(sim_ready(sim_of(set), 1));
    assert_int_equal(io_wait(io, 0, 0, &event, 1), 1);
    assert_int_equal(event.token, 15);
    io_file_close(&file);
    close_stage();
}

static void
requests_end_in_any_order(void **state)
{
    (void)state;
    unsigned overtaken = 0;
    open_stage(1);
    struct io_file *a = make_file("/a", sizeof out), *b = make_file("/b", sizeof out);
    for (unsigned i = 0; i < SEEDS; i++) {
        io_file_put(io, a, 0, out, BLOCK, true, 1);
        io_file_put(io, b, 0, out, BLOCK, true, 2);
        overtaken += expect_done().token == 2;
        expect_done();
    }
    assert_true(overtaken > SEEDS / 4 && overtaken < SEEDS * 3 / 4);
    io_file_close(&a);
    io_file_close(&b);
    close_stage();
}

/* A crash before a durable put is told: all, nothing or some of it; after: all. */
static void
durable_put_is_torn_until_it_is_told(void **state)
{
    (void)state;
    unsigned whole = 0, lost = 0, torn = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        struct io_file *file = make_file("/a", sizeof out);
        memset(out, 2, sizeof out);
        io_file_put(io, file, 0, out, sizeof out, true, 1);
        sim_advance(sim_of(set), seed * 200000 / SEEDS);
        io_file_close(&file);
        crash();
        unsigned kept = count_sectors("/a", 2);
        whole += kept == sizeof out / 512;
        lost += kept == 0;
        torn += kept > 0 && kept < sizeof out / 512;

        file = open_file("/a", 0);
        memset(out, 3, sizeof out);
        io_file_put(io, file, 0, out, sizeof out, true, 1);
        expect_done();
        io_file_close(&file);
        crash();
        assert_int_equal(count_sectors("/a", 3), sizeof out / 512);
        close_stage();
    }
    assert_true(whole > SEEDS / 20 && lost > SEEDS / 20 && torn > SEEDS / 5);
}

static void
plain_put_is_safe_after_a_flush_only(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        struct io_file *file = make_file("/a", sizeof out);
        memset(out, 2, sizeof out);
        io_file_put(io, file, 0, out, BLOCK, false, 1);
        expect_done();
        io_file_flush(io, file, 2);
        expect_done();
        io_file_put(io, file, BLOCK, out, BLOCK, false, 3);
        expect_done();
        io_file_close(&file);
        crash();
        sim_disk_read_file(disk, "/a", in, sizeof in);
        assert_memory_equal(in, out, BLOCK);
        lost += memcmp(in + BLOCK, out, BLOCK) != 0;
        close_stage();
    }
    assert_true(lost > SEEDS / 2);
}

static void
leaving_carries_out_what_is_under_way(void **state)
{
    (void)state;
    open_stage(1);
    struct io_file *file = make_file("/a", sizeof out);
    memset(out, 2, sizeof out);
    io_file_put(io, file, 0, out, sizeof out, true, 1);
    close_set();
    io_file_close(&file);
    assert_int_equal(count_sectors("/a", 2), sizeof out / 512);
    open_set();
    close_stage();
}

/* ------------------------------------------------------------------------------------------------------ the end of a world */

static void
dead_world_cannot_change_the_disk(void **state)
{
    (void)state;
    struct io_file *other;
    struct io_event event;
    open_stage(1);
    struct io_file *file = make_file("/a", sizeof out);
    io_file_put(io, file, 0, out, BLOCK, true, 1);
    sim_disk_crash(disk);
    assert_true(sim_next_ns(sim_of(set)) == UINT64_MAX);
    io_file_put(io, file, 0, out, BLOCK, true, 2);
    sim_advance(sim_of(set), 1000000000);
    assert_int_equal(io_wait(io, 0, 0, &event, 1), 0);
    assert_int_equal(io_file_write(file, 0, "x", 1), -EIO);
    assert_int_equal(io_file_read(file, 0, in, 1), -EIO);
    assert_int_equal(io_file_sync(file), -EIO);
    assert_int_equal(io_file_open(set, "/b", IO_FILE_CREATE, &other), -EIO);
    assert_int_equal(io_remove(set, "/a"), -EIO);
    assert_int_equal(io_directory_sync(set, "/"), -EIO);
    close_set();
    io_file_close(&file);
    assert_int_equal(sim_disk_read_file(disk, "/a", in, 1), sizeof out);
    open_set();
    close_stage();
}

static void
killed_process_loses_nothing_that_was_written(void **state)
{
    (void)state;
    unsigned done = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        struct io_file *file = make_file("/a", sizeof out);
        memset(out, 2, sizeof out);
        assert_int_equal(io_file_write(file, 0, out, BLOCK), 0);
        io_file_put(io, file, BLOCK, out, BLOCK, false, 1);
        sim_disk_kill(disk);
        close_set();
        io_file_close(&file);
        sim_disk_read_file(disk, "/a", in, sizeof in);
        assert_memory_equal(in, out, BLOCK);
        done += memcmp(in + BLOCK, out, BLOCK) == 0;
        open_set();
        close_stage();
    }
    assert_true(done > SEEDS / 4 && done < SEEDS * 3 / 4);
}

static void
clock_goes_on_in_the_next_world(void **state)
{
    (void)state;
    open_stage(1);
    sim_advance(sim_of(set), 123456789);
    uint64_t left_ns = sim_now_ns(sim_of(set)), left_ms = io_wall_ms(io);
    crash();
    assert_true(sim_now_ns(sim_of(set)) == left_ns && io_wall_ms(io) == left_ms);
    close_stage();
}

static void
world_without_a_disk_gets_an_empty_one(void **state)
{
    (void)state;
    char error[200];
    open_stage(1);
    sim_disk_write_file(disk, "/a", "x", 1);
    struct io_set *other = io_open(&(struct io_options){.shard_count = 1}, error, sizeof error);
    struct io_file *file;
    assert_int_equal(io_file_open(other, "/a", 0, &file), -ENOENT);
    io_close_all(other);
    close_stage();
}

/* ------------------------------------------------------------------------------------------------------- disks that fail */

static void
full_disk_refuses_to_grow_and_heals(void **state)
{
    (void)state;
    open_stage(1);
    struct io_file *file = make_file("/a", 4 * BLOCK);
    sim_disk_set_space(disk, 5 * BLOCK);
    assert_int_equal(io_file_write(file, 0, out, 4 * BLOCK), 0);
    assert_int_equal(io_file_write(file, 4 * BLOCK, out, 2 * BLOCK), -ENOSPC);
    assert_true(io_file_size(file) <= 5 * BLOCK);
    io_file_put(io, file, 4 * BLOCK, out, 2 * BLOCK, true, 1);
    assert_int_equal(expect_done().result, -ENOSPC);
    sim_disk_write_file(disk, "/b", "x", 0);
    assert_int_equal(io_remove(set, "/b"), 0);
    sim_disk_set_space(disk, 8 * BLOCK);
    io_file_put(io, file, 4 * BLOCK, out, 2 * BLOCK, true, 1);
    assert_int_equal(expect_done().result, 2 * BLOCK);
    assert_int_equal(sim_disk_bytes(disk), 6 * BLOCK);
    assert_int_equal(io_remove(set, "/a"), 0);
    assert_int_equal(sim_disk_bytes(disk), 0);
    io_file_close(&file);
    close_stage();
}

static void
operations_fail_as_often_as_asked(void **state)
{
    (void)state;
    open_stage(1);
    struct io_file *file = make_file("/a", sizeof out), *other;
    sim_disk_fail(disk, SIM_DISK_READ, 2);
    assert_int_equal(io_file_read(file, 0, in, BLOCK), -EIO);
    io_file_get(io, file, 0, in, BLOCK, 1);
    assert_int_equal(expect_done().result, -EIO);
    assert_int_equal(io_file_read(file, 0, in, BLOCK), BLOCK);
    sim_disk_fail(disk, SIM_DISK_WRITE, 1);
    io_file_put(io, file, 0, out, BLOCK, true, 1);
    assert_int_equal(expect_done().result, -EIO);
    assert_int_equal(io_file_write(file, 0, out, BLOCK), 0);
    sim_disk_fail(disk, SIM_DISK_NAME, 1);
    assert_int_equal(io_file_open(set, "/a", 0, &other), -EIO);
    sim_disk_fail(disk, SIM_DISK_SYNC, 1);
    assert_int_equal(io_file_sync(file), -EIO);
    assert_int_equal(io_file_sync(file), 0);
    io_file_close(&file);
    close_stage();
}

/* What a failed sync was for is not saved by the next one, although that says it succeeded. */
static void
failed_sync_leaves_doubt_for_good(void **state)
{
    (void)state;
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        open_stage(seed);
        struct io_file *file = make_file("/a", sizeof out);
        memset(out, 2, sizeof out);
        assert_int_equal(io_file_write(file, 0, out, BLOCK), 0);
        sim_disk_fail(disk, SIM_DISK_SYNC, 1);
        io_file_flush(io, file, 1);
        assert_int_equal(expect_done().result, -EIO);
        assert_int_equal(io_file_write(file, BLOCK, out, BLOCK), 0);
        assert_int_equal(io_file_sync(file), 0);
        io_file_close(&file);
        crash();
        sim_disk_read_file(disk, "/a", in, sizeof in);
        lost += memcmp(in, out, BLOCK) != 0;
        assert_memory_equal(in + BLOCK, out, BLOCK);
        close_stage();
    }
    assert_true(lost > SEEDS / 2);
}

static void
flips_turn_over_as_many_bits(void **state)
{
    (void)state;
    open_stage(1);
    struct io_file *file = make_file("/a", sizeof out);
    sim_disk_flip(disk, 1);
    sim_disk_read_file(disk, "/a", in, sizeof in);
    unsigned changed = 0;
    for (size_t i = 0; i < sizeof in; i++) {
        changed += (unsigned)__builtin_popcount(in[i] ^ 1u);
    }
    assert_int_equal(changed, 1);
    io_file_close(&file);
    close_stage();
}

static void
count_file(void *context, const char *path, uint64_t size)
{
    unsigned *found = context;
    *found |= strcmp(path, "/d/e/a") == 0 && size == 3 ? 1 : strcmp(path, "/b") == 0 && size == 0 ? 2 : 4;
}

static void
tests_get_at_whole_files(void **state)
{
    (void)state;
    unsigned found = 0;
    open_stage(1);
    sim_disk_write_file(disk, "/d/e/a", "longer", 6);
    sim_disk_write_file(disk, "/d/e/a", "abc", 3);
    sim_disk_write_file(disk, "/b", "", 0);
    crash();
    sim_disk_list(disk, count_file, &found);
    assert_int_equal(found, 3);
    assert_int_equal(sim_disk_read_file(disk, "/d/e/a", in, 2), 3);
    assert_memory_equal(in, "ab", 2);
    assert_int_equal(sim_disk_read_file(disk, "/c", in, 2), -ENOENT);
    close_stage();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_see_what_was_written_last),
        cmocka_unit_test(random_writes_match_a_plain_array),
        cmocka_unit_test(cleared_space_costs_no_memory_and_is_counted),
        cmocka_unit_test(unsynced_sectors_are_each_kept_or_lost),
        cmocka_unit_test(later_writes_survive_earlier_ones),
        cmocka_unit_test(synced_bytes_are_never_lost),
        cmocka_unit_test(a_file_that_grew_has_its_size_once_synced),
        cmocka_unit_test(nothing_older_comes_back_over_a_durable_write),
        cmocka_unit_test(equal_seeds_crash_alike),
        cmocka_unit_test(names_may_be_lost_until_their_directory_is_synced),
        cmocka_unit_test(rename_happens_as_a_whole_or_not_at_all),
        cmocka_unit_test(directory_goes_with_all_that_is_in_it),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(one_world_at_a_time_has_the_lock),
        cmocka_unit_test(requests_take_time_and_tell_what_they_did),
        cmocka_unit_test(requests_end_in_any_order),
        cmocka_unit_test(durable_put_is_torn_until_it_is_told),
        cmocka_unit_test(plain_put_is_safe_after_a_flush_only),
        cmocka_unit_test(leaving_carries_out_what_is_under_way),
        cmocka_unit_test(dead_world_cannot_change_the_disk),
        cmocka_unit_test(killed_process_loses_nothing_that_was_written),
        cmocka_unit_test(clock_goes_on_in_the_next_world),
        cmocka_unit_test(world_without_a_disk_gets_an_empty_one),
        cmocka_unit_test(full_disk_refuses_to_grow_and_heals),
        cmocka_unit_test(operations_fail_as_often_as_asked),
        cmocka_unit_test(failed_sync_leaves_doubt_for_good),
        cmocka_unit_test(flips_turn_over_as_many_bits),
        cmocka_unit_test(tests_get_at_whole_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
