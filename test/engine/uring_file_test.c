/* Files of io.h, real ones in a directory of their own. */
#include "engine/io/io.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define PATIENCE_MS 5000
#define BLOCK IO_FILE_ALIGN
enum { BLOCKS = 64 };

static struct io_set *set;
static struct io *io;
static char directory[64];
static alignas(IO_FILE_ALIGN) uint8_t out[BLOCKS * BLOCK], in[BLOCKS * BLOCK];

/* ----------------------------------------------------------------------------------------------------------- the stage */

static void
open_set(void)
{
    char error[256] = "";
    set = io_open(&(struct io_options){.shard_count = 1, .sockets_max = 16}, error, sizeof error);
    if (set == NULL) {
        fail_msg("%s", error);
    }
    io = io_of_shard(set, 0);
    assert_int_equal(io_enter(io), 0);
}

static void
close_set(void)
{
    io_leave(io);
    io_close_all(set);
}

static int
open_stage(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/tidewire-files-XXXXXX");
    assert_non_null(mkdtemp(directory));
    for (size_t i = 0; i < sizeof out; i++) {
        out[i] = (uint8_t)(i * 7 + i / BLOCK);
    }
    memset(in, 0, sizeof in);
    open_set();
    return 0;
}

static int
close_stage(void **state)
{
    (void)state;
    close_set();
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", directory);
    assert_int_equal(system(command), 0);
    return 0;
}

/* Borrowed until the next but one. */
static const char *
path_of(const char *name)
{
    static char paths[2][128];
    static unsigned at;
    char *path = paths[at++ % 2];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

static struct io_file *
open_file(const char *name, unsigned flags)
{
    struct io_file *file = NULL;
    assert_int_equal(io_file_open(set, path_of(name), flags, &file), 0);
    return file;
}

static struct io_event
expect_done(void)
{
    struct io_event event = {0};
    uint64_t deadline_ns = io_clock_ns(io) + PATIENCE_MS * MS;
    while (io_wait(io, 10 * MS, 0, &event, 1) == 0) {
        assert_true(io_clock_ns(io) < deadline_ns);
    }
    assert_int_equal(event.type, IO_FILE_DONE);
    return event;
}

/* ------------------------------------------------------------------------------------------------------------- blocking */

static void
file_is_read_as_it_was_written(void **state)
{
    (void)state;
    static const unsigned kinds[] = {IO_FILE_CREATE, IO_FILE_CREATE | IO_FILE_DIRECT};
    static const char *const names[] = {"plain", "direct"};
    for (unsigned i = 0; i < 2; i++) {
        struct io_file *file = open_file(names[i], kinds[i]);
        assert_int_equal(io_file_write(file, 0, out, sizeof out), 0);
        assert_int_equal(io_file_sync(file), 0);
        assert_int_equal(io_file_size(file), sizeof out);
        assert_int_equal(io_file_read(file, 0, in, sizeof in), sizeof in);
        assert_memory_equal(in, out, sizeof in);
        assert_int_equal(io_file_read(file, sizeof out - BLOCK, in, 2 * BLOCK), BLOCK); /* its end */
        assert_int_equal(io_file_read(file, sizeof out, in, BLOCK), 0);
        io_file_close(&file);
        assert_null(file);
        io_file_close(&file);
    }
    struct io_file *file = open_file("plain", 0);
    assert_int_equal(io_file_write(file, 5, "any bytes", 9), 0);
    assert_int_equal(io_file_read(file, 4, in, 11), 11);
    assert_memory_equal(in + 1, "any bytes", 9);
    assert_true(in[0] == out[4] && in[10] == out[14]);
    io_file_close(&file);
}

static void
direct_file_may_end_within_a_block(void **state)
{
    (void)state;
    struct io_file *file = open_file("a", IO_FILE_CREATE);
    assert_int_equal(io_file_write(file, 0, out, BLOCK + 100), 0);
    io_file_close(&file);
    file = open_file("a", IO_FILE_DIRECT);
    assert_int_equal(io_file_read(file, 0, in, 4 * BLOCK), BLOCK + 100);
    assert_memory_equal(in, out, BLOCK + 100);
    io_file_close(&file);
}

/* No file of /proc can be opened around the page cache. */
static void
where_direct_is_impossible_the_file_opens_all_the_same(void **state)
{
    (void)state;
    struct io_file *file = NULL;
    assert_int_equal(io_file_open(set, "/proc/self/comm", IO_FILE_DIRECT, &file), 0);
    assert_true(io_file_read(file, 0, in, BLOCK) > 0);
    io_file_close(&file);
}

static void
count_name(void *context, const char *name)
{
    assert_true(strcmp(name, "b") == 0 || strcmp(name, "sub") == 0);
    ++*(unsigned *)context;
}

static void
names_are_made_listed_and_removed(void **state)
{
    (void)state;
    struct io_file *file = NULL;
    struct stat about;
    unsigned count = 0;
    assert_int_equal(io_directory_make(set, path_of("d")), 0);
    assert_int_equal(io_directory_make(set, path_of("d")), 0);
    assert_int_equal(stat(path_of("d"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    assert_int_equal(io_file_open(set, path_of("d/a"), 0, &file), -ENOENT);
    file = open_file("d/a", IO_FILE_CREATE);
    io_file_close(&file);
    assert_int_equal(stat(path_of("d/a"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    assert_int_equal(io_directory_make(set, path_of("d/a")), -ENOTDIR);
    assert_int_equal(io_directory_make(set, path_of("d/sub")), 0);
    file = open_file("d/b", IO_FILE_CREATE);
    io_file_close(&file);
    assert_int_equal(io_rename(set, path_of("d/a"), path_of("d/b")), 0);
    assert_int_equal(io_directory_sync(set, path_of("d")), 0);
    assert_int_equal(io_directory_list(set, path_of("d"), count_name, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(io_remove(set, path_of("d")), -ENOTEMPTY);
    assert_int_equal(io_remove(set, path_of("d/b")), 0);
    assert_int_equal(io_remove(set, path_of("d/sub")), 0);
    assert_int_equal(io_remove(set, path_of("d")), 0);
    assert_int_equal(io_remove(set, path_of("d")), -ENOENT);
    assert_int_equal(io_rename(set, path_of("d"), path_of("e")), -ENOENT);
    assert_int_equal(io_directory_list(set, path_of("d"), count_name, &count), -ENOENT);
    assert_int_equal(io_directory_sync(set, path_of("d")), -ENOENT);
}

static void
one_at_a_time_has_the_lock(void **state)
{
    (void)state;
    char error[256];
    assert_int_equal(io_directory_lock(set, directory), 0);
    struct io_set *other = io_open(&(struct io_options){.shard_count = 1, .sockets_max = 16}, error, sizeof error);
    assert_int_equal(io_directory_lock(other, directory), -EWOULDBLOCK);
    close_set();
    assert_int_equal(io_directory_lock(other, directory), 0);
    io_close_all(other);
    open_set();
    assert_int_equal(io_directory_lock(set, directory), 0);
    assert_int_equal(io_directory_lock(set, path_of("none")), -ENOENT);
}

/* ---------------------------------------------------------------------------------------------------------- on the ring */

static void
puts_and_gets_are_each_told_with_their_token(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned flags;
        bool durable;
    } kinds[] = {{"a", 0, false}, {"b", 0, true}, {"c", IO_FILE_DIRECT, false}, {"d", IO_FILE_DIRECT, true}};
    for (unsigned kind = 0; kind < 4; kind++) {
        struct io_file *file = open_file(kinds[kind].name, IO_FILE_CREATE | kinds[kind].flags);
        bool told[BLOCKS] = {false};
        for (unsigned i = 0; i < BLOCKS; i++) {
            io_file_put(io, file, i * BLOCK, out + i * BLOCK, BLOCK, kinds[kind].durable, 100 + i);
        }
        for (unsigned i = 0; i < BLOCKS; i++) {
            struct io_event event = expect_done();
            assert_int_equal(event.result, BLOCK);
            assert_true(event.token >= 100 && event.token < 100 + BLOCKS && !told[event.token - 100]);
            assert_true(event.socket == IO_SOCKET_NONE);
            told[event.token - 100] = true;
        }
        io_file_flush(io, file, 7);
        struct io_event event = expect_done();
        assert_true(event.token == 7 && event.result == 0);

        memset(in, 0, sizeof in);
        for (unsigned i = 0; i < 4; i++) {
            io_file_get(io, file, i * sizeof in / 4, in + i * sizeof in / 4, sizeof in / 4, i);
        }
        for (unsigned i = 0; i < 4; i++) {
            assert_int_equal(expect_done().result, sizeof in / 4);
        }
        assert_memory_equal(in, out, sizeof in);
        io_file_close(&file);
    }
}

static void
get_past_the_end_is_an_error(void **state)
{
    (void)state;
    struct io_file *file = open_file("a", IO_FILE_CREATE);
    assert_int_equal(io_file_write(file, 0, out, BLOCK + 100), 0);
    io_file_get(io, file, 0, in, 2 * BLOCK, 1);
    assert_int_equal(expect_done().result, -EIO);
    io_file_get(io, file, 2 * BLOCK, in, BLOCK, 2);
    assert_int_equal(expect_done().result, -EIO);
    io_file_get(io, file, 100, in, BLOCK, 3);
    assert_int_equal(expect_done().result, BLOCK);
    io_file_close(&file);
}

/* A limit in the middle of a write lets its first part through: the rest is tried, and says why. */
static void
put_is_never_silently_short(void **state)
{
    (void)state;
    struct rlimit before, small = {.rlim_cur = 10 * BLOCK};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    for (unsigned direct = 0; direct < 2; direct++) {
        struct io_file *file = open_file(direct ? "b" : "a", IO_FILE_CREATE | (direct ? IO_FILE_DIRECT : 0));
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        io_file_put(io, file, 0, out, 16 * BLOCK, true, 1);
        assert_int_equal(expect_done().result, -EFBIG);
        assert_int_equal(io_file_size(file), 10 * BLOCK);
        assert_int_equal(io_file_write(file, 0, out, 16 * BLOCK), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        io_file_put(io, file, 0, out, 16 * BLOCK, true, 2);
        assert_int_equal(expect_done().result, 16 * BLOCK);
        io_file_close(&file);
    }
    signal(SIGXFSZ, SIG_DFL);
}

static void
full_disk_is_told(void **state)
{
    (void)state;
    struct io_file *file = NULL;
    assert_int_equal(io_file_open(set, "/dev/full", 0, &file), 0);
    io_file_put(io, file, 0, out, BLOCK, false, 1);
    assert_int_equal(expect_done().result, -ENOSPC);
    assert_int_equal(io_file_write(file, 0, out, BLOCK), -ENOSPC);
    io_file_close(&file);
}

/* Who holds back first events for a second still hears of the disk at once. */
static void
gathering_does_not_hold_back_what_the_disk_has_done(void **state)
{
    (void)state;
    static struct io_event events[64];
    struct io_file *file = open_file("a", IO_FILE_CREATE | IO_FILE_DIRECT);
    io_file_put(io, file, 0, out, BLOCK, true, 1);
    uint64_t start_ns = io_clock_ns(io);
    assert_int_equal(io_wait(io, 10000 * MS, 1000000, events, 64), 1);
    assert_int_equal(events[0].type, IO_FILE_DONE);
    assert_true(io_clock_ns(io) - start_ns < 900 * MS);
    io_file_close(&file);
}

static void
leaving_waits_for_what_is_under_way(void **state)
{
    (void)state;
    struct io_file *file = open_file("a", IO_FILE_CREATE | IO_FILE_DIRECT);
    for (unsigned i = 0; i < BLOCKS; i++) {
        io_file_put(io, file, i * BLOCK, out + i * BLOCK, BLOCK, i % 2 == 0, i); /* not even submitted */
    }
    close_set();
    io_file_close(&file);
    open_set();
    file = open_file("a", 0);
    assert_int_equal(io_file_read(file, 0, in, sizeof in), sizeof in);
    assert_memory_equal(in, out, sizeof in);
    io_file_close(&file);
}

static atomic_uint running, running_most;

static void
work_slowly(void *argument)
{
    (void)argument;
    unsigned now = atomic_fetch_add(&running, 1) + 1;
    unsigned most = atomic_load(&running_most);
    while (now > most && !atomic_compare_exchange_weak(&running_most, &most, now)) {
    }
    usleep(2000);
    atomic_fetch_sub(&running, 1);
}

static void
work_at_the_disk_is_done_one_by_one(void **state)
{
    (void)state;
    enum { PIECES = 10 };
    static uint8_t pieces[PIECES];
    for (unsigned i = 0; i < PIECES; i++) {
        assert_true(io_work(io, IO_WORK_DISK, work_slowly, &pieces[i]));
    }
    uint64_t deadline_ns = io_clock_ns(io) + PATIENCE_MS * MS;
    for (unsigned told = 0; told < PIECES;) {
        struct io_event event;
        told += io_wait(io, 10 * MS, 0, &event, 1) == 1 && event.type == IO_WORKED;
        assert_true(io_clock_ns(io) < deadline_ns);
    }
    assert_int_equal(running_most, 1);
}

#define ON_STAGE(test) cmocka_unit_test_setup_teardown(test, open_stage, close_stage)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ON_STAGE(file_is_read_as_it_was_written),
        ON_STAGE(direct_file_may_end_within_a_block),
        ON_STAGE(where_direct_is_impossible_the_file_opens_all_the_same),
        ON_STAGE(names_are_made_listed_and_removed),
        ON_STAGE(one_at_a_time_has_the_lock),
        ON_STAGE(puts_and_gets_are_each_told_with_their_token),
        ON_STAGE(get_past_the_end_is_an_error),
        ON_STAGE(put_is_never_silently_short),
        ON_STAGE(full_disk_is_told),
        ON_STAGE(gathering_does_not_hold_back_what_the_disk_has_done),
        ON_STAGE(leaving_waits_for_what_is_under_way),
        ON_STAGE(work_at_the_disk_is_done_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
