#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/durable/store.h"
#include "test/support/store_scene.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM(name) static void name(void **state __attribute__((unused)))
#define MANIFEST STORE_SCENE_DIRECTORY "/manifest"

static struct store_scene scene;
static uint64_t seed;

static int
begin(void **state)
{
    (void)state;
    store_scene_init(&scene, ++seed);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    store_scene_fini(&scene);
    return 0;
}

static bool
is_there(const char *path)
{
    char byte;
    return sim_disk_read_file(scene.disk, path, &byte, 1) >= 0;
}

static void
assert_opens(unsigned shard_count)
{
    if (!store_scene_open(&scene, shard_count)) {
        fail_msg("%s", scene.error);
    }
}

static void
assert_refuses(unsigned shard_count, const char *part)
{
    assert_false(store_scene_open(&scene, shard_count));
    if (strstr(scene.error, part) == NULL) {
        fail_msg("'%s' is not in '%s'", part, scene.error);
    }
}

/* -------------------------------------------------------------------------------------------------------------- manifest */

static const struct manifest sample = {.generation = 12, .shard_count = 3, .secret = {1, 2, 0xff}};

CLAIM(a_manifest_is_read_as_written)
{
    char text[MANIFEST_TEXT_MAX];
    struct manifest read;
    uint64_t format;
    uint32_t size = manifest_print(&sample, text);
    assert_int_equal(manifest_parse(text, size, &read, &format), MANIFEST_GOOD);
    assert_int_equal(read.generation, sample.generation);
    assert_int_equal(read.shard_count, sample.shard_count);
    assert_memory_equal(read.secret, sample.secret, sizeof read.secret);
}

CLAIM(a_manifest_is_whole_or_damaged)
{
    char text[MANIFEST_TEXT_MAX];
    struct manifest read;
    uint64_t format;
    uint32_t size = manifest_print(&sample, text);
    for (uint32_t i = 0; i < size; i++) {
        assert_int_equal(manifest_parse(text, i, &read, &format), MANIFEST_DAMAGED);
        for (unsigned bit = 0; bit < 8; bit++) {
            text[i] ^= (char)(1 << bit);
            assert_int_equal(manifest_parse(text, size, &read, &format), MANIFEST_DAMAGED);
            text[i] ^= (char)(1 << bit);
        }
    }
    text[size] = '\n';
    assert_int_equal(manifest_parse(text, size + 1, &read, &format), MANIFEST_DAMAGED);
}

CLAIM(a_manifest_says_how_many_shards_there_can_be)
{
    char text[MANIFEST_TEXT_MAX];
    struct manifest read, odd = sample;
    uint64_t format;
    for (odd.shard_count = 0; odd.shard_count <= MANIFEST_SHARDS_MAX + 1; odd.shard_count++) {
        bool good = odd.shard_count > 0 && odd.shard_count <= MANIFEST_SHARDS_MAX;
        uint32_t size = manifest_print(&odd, text);
        assert_int_equal(manifest_parse(text, size, &read, &format), good ? MANIFEST_GOOD : MANIFEST_DAMAGED);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- opens */

CLAIM(a_new_store_has_a_secret_that_it_keeps)
{
    static const uint8_t nothing[MANIFEST_SECRET_BYTES];
    uint8_t secret[MANIFEST_SECRET_BYTES];
    assert_opens(2);
    memcpy(secret, store_secret(scene.store), sizeof secret);
    assert_memory_not_equal(secret, nothing, sizeof secret);
    assert_opens(2);
    assert_memory_equal(store_secret(scene.store), secret, sizeof secret);
}

CLAIM(a_new_store_survives_a_crash_right_after)
{
    uint8_t secret[MANIFEST_SECRET_BYTES];
    assert_opens(2);
    memcpy(secret, store_secret(scene.store), sizeof secret);
    sim_disk_crash(scene.disk);
    assert_opens(2);
    assert_memory_equal(store_secret(scene.store), secret, sizeof secret);
}

CLAIM(each_shard_has_a_directory_that_is_there)
{
    char path[STORE_PATH_MAX];
    struct store_names names;
    assert_opens(8);
    for (unsigned i = 0; i < 8; i++) {
        store_shard_directory(scene.store, i, path);
        assert_int_equal(store_files_list(scene.ios, path, &names), 0);
        assert_int_equal(names.size, 0);
        store_names_free(&names);
    }
}

CLAIM(nobody_else_may_use_it_meanwhile)
{
    struct store_scene other = {.disk = scene.disk, .config = scene.config};
    assert_opens(1);
    assert_false(store_scene_open(&other, 1));
    assert_string_equal(other.error, "another broker uses " STORE_SCENE_DIRECTORY);
    store_scene_close(&other);
    assert_opens(1);
}

CLAIM(a_location_that_is_not_there_is_named)
{
    free(scene.config->persistence_location);
    scene.config->persistence_location = strdup("/nowhere");
    assert_refuses(1, "persistence_location /nowhere: the directory 'tidewire-journal' cannot be made there: No such file or directory");
}

CLAIM(a_location_that_is_too_long_is_refused)
{
    char location[STORE_PATH_MAX];
    memset(location, 'a', sizeof location - 1);
    location[0] = '/';
    location[sizeof location - 1] = '\0';
    free(scene.config->persistence_location);
    scene.config->persistence_location = strdup(location);
    assert_refuses(1, "option persistence_location is too long");
}

/* O1 */
CLAIM(a_first_start_that_a_crash_ends_anywhere_is_made_up_for)
{
    for (uint32_t calls = 0;; calls++) {
        store_scene_fini(&scene);
        store_scene_init(&scene, ++seed);
        sim_disk_crash_after(scene.disk, calls);
        bool opened = store_scene_open(&scene, 3);
        sim_disk_crash(scene.disk);
        assert_opens(3);
        if (opened) {
            assert_true(calls > 10);
            return;
        }
    }
}

/* ------------------------------------------------------------------------------------------------- what is there is not nothing */

static uint32_t
read_manifest(char text[MANIFEST_TEXT_MAX])
{
    int64_t size = sim_disk_read_file(scene.disk, MANIFEST, text, MANIFEST_TEXT_MAX);
    assert_true(size > 0);
    return (uint32_t)size;
}

/* O2 */
CLAIM(a_damaged_manifest_is_refused)
{
    char text[MANIFEST_TEXT_MAX];
    assert_opens(1);
    uint32_t size = read_manifest(text);
    text[40] ^= 1;
    sim_disk_write_file(scene.disk, MANIFEST, text, size);
    assert_refuses(1, MANIFEST " is damaged");
    sim_disk_write_file(scene.disk, MANIFEST, "", 0);
    assert_refuses(1, MANIFEST " is damaged");
    text[40] ^= 1;
    sim_disk_write_file(scene.disk, MANIFEST, text, size);
    assert_opens(1);
}

CLAIM(a_manifest_that_cannot_be_read_is_refused)
{
    assert_opens(1);
    store_scene_close(&scene);
    sim_disk_fail(scene.disk, SIM_DISK_READ, 1);
    assert_refuses(1, MANIFEST " cannot be read: Input/output error");
    assert_opens(1);
}

CLAIM(a_later_format_is_refused_by_name)
{
    /* With the checksum that such a broker would write. */
    static const char text[] = "tidewire journal 2\nsomething else\nchecksum 89c1934e90e71e8b\n";
    struct manifest read;
    uint64_t format = 0;
    assert_opens(1);
    sim_disk_write_file(scene.disk, MANIFEST, text, sizeof text - 1);
    assert_int_equal(manifest_parse(text, sizeof text - 1, &read, &format), MANIFEST_OF_A_LATER_FORMAT);
    assert_int_equal(format, 2);
    assert_refuses(1, MANIFEST " is of format 2, made by a later version of tidewire; this one knows format 1");
}

static void
remove_file(const char *path)
{
    const struct io_options options = {.shard_count = 1};
    store_scene_close(&scene);
    sim_set_disk(scene.disk);
    struct io_set *ios = io_open(&options, scene.error, sizeof scene.error);
    assert_int_equal(io_remove(ios, path), 0);
    assert_int_equal(io_directory_sync(ios, STORE_SCENE_DIRECTORY), 0);
    io_close_all(ios);
}

CLAIM(journals_without_a_manifest_are_refused)
{
    assert_opens(2);
    sim_disk_write_file(scene.disk, STORE_SCENE_DIRECTORY "/1/1/0000000001.segment", "x", 1);
    remove_file(MANIFEST);
    assert_refuses(2, STORE_SCENE_DIRECTORY " holds journals but no manifest");
    assert_true(is_there(STORE_SCENE_DIRECTORY "/1/1/0000000001.segment"));
}

CLAIM(empty_directories_without_a_manifest_are_what_a_crash_leaves)
{
    assert_opens(2);
    remove_file(MANIFEST);
    assert_opens(3);
}

CLAIM(a_shard_that_is_missing_is_refused)
{
    assert_opens(2);
    remove_file(STORE_SCENE_DIRECTORY "/1/1");
    assert_refuses(2, STORE_SCENE_DIRECTORY "/1/1, which is a part of the journal, cannot be read: No such file or directory");
}

CLAIM(what_a_crash_left_is_removed_and_what_was_damaged_is_kept)
{
    assert_opens(1);
    store_scene_close(&scene);
    sim_disk_write_file(scene.disk, STORE_SCENE_DIRECTORY "/2.new/0/0000000001.segment", "x", 1);
    sim_disk_write_file(scene.disk, STORE_SCENE_DIRECTORY "/7/1/0000000001.segment", "x", 1);
    sim_disk_write_file(scene.disk, STORE_SCENE_DIRECTORY "/7/1/0000000001.segment-8.damaged", "y", 1);
    sim_disk_write_file(scene.disk, STORE_SCENE_DIRECTORY "/1/0/0000000001.segment", "x", 1);
    sim_disk_write_file(scene.disk, STORE_SCENE_DIRECTORY "/notes", "x", 1);
    assert_opens(1);
    assert_false(is_there(STORE_SCENE_DIRECTORY "/2.new/0/0000000001.segment"));
    assert_false(is_there(STORE_SCENE_DIRECTORY "/7/1/0000000001.segment"));
    assert_true(is_there(STORE_SCENE_DIRECTORY "/damaged/7-1-0000000001.segment-8.damaged"));
    assert_true(is_there(STORE_SCENE_DIRECTORY "/1/0/0000000001.segment"));
    assert_true(is_there(STORE_SCENE_DIRECTORY "/notes"));
}

/* --------------------------------------------------------------------------------------------------------------- imports */

CLAIM(mosquittos_database_is_not_forgotten)
{
    sim_disk_write_file(scene.disk, STORE_SCENE_LOCATION "/mosquitto.db", "x", 1);
    assert_refuses(1, STORE_SCENE_LOCATION "/mosquitto.db is a database of Mosquitto's");
    assert_non_null(strstr(scene.error, "tidewire-import"));
    assert_refuses(1, "tidewire-import"); /* the directory is there now */
    scene.config->persistence_file = strdup("other.db");
    assert_opens(1);
}

CLAIM(a_database_of_another_name_is_not_forgotten)
{
    scene.config->persistence_file = strdup("other.db");
    sim_disk_write_file(scene.disk, STORE_SCENE_LOCATION "/other.db", "x", 1);
    assert_refuses(1, STORE_SCENE_LOCATION "/other.db is a database of Mosquitto's");
}

CLAIM(beside_a_journal_a_database_is_no_matter)
{
    assert_opens(1);
    sim_disk_write_file(scene.disk, STORE_SCENE_LOCATION "/mosquitto.db", "x", 1);
    assert_opens(1);
}

static int
fill_by_hand(void *context, const char *directory, const struct manifest *manifest, char *error, size_t error_size)
{
    char path[STORE_PATH_MAX];
    struct io_file *file;
    int result = *(int *)context;
    if (result != 0) {
        snprintf(error, error_size, "no such luck");
        return result;
    }
    store_files_join(path, "%s/%u/0000000001.segment", directory, manifest->shard_count - 1);
    result = io_file_open(scene.ios, path, IO_FILE_CREATE, &file);
    if (result == 0) {
        result = io_file_write(file, 0, "imported", 8);
        result = result != 0 ? result : io_file_sync(file);
        io_file_close(&file);
    }
    return result == 0 ? 0 : store_files_refuse(result, error, error_size, "not filled");
}

static bool
is_filled(void)
{
    char text[9] = "";
    return sim_disk_read_file(scene.disk, STORE_SCENE_DIRECTORY "/1/1/0000000001.segment", text, 8) == 8 && strcmp(text, "imported") == 0;
}

CLAIM(what_is_imported_is_the_store)
{
    int good = 0;
    sim_disk_write_file(scene.disk, STORE_SCENE_LOCATION "/mosquitto.db", "x", 1);
    assert_true(store_scene_import(&scene, 2, fill_by_hand, &good));
    sim_disk_crash(scene.disk);
    assert_opens(2);
    assert_true(is_filled());
}

CLAIM(nothing_is_imported_into_a_store_that_is_there)
{
    int good = 0;
    assert_opens(1);
    assert_false(store_scene_import(&scene, 2, fill_by_hand, &good));
    assert_string_equal(scene.error, STORE_SCENE_DIRECTORY " is there already");
}

CLAIM(an_import_that_fails_leaves_no_store)
{
    int good = 0, bad = -ENODATA;
    assert_false(store_scene_import(&scene, 2, fill_by_hand, &bad));
    assert_string_equal(scene.error, "no such luck");
    assert_true(store_scene_import(&scene, 2, fill_by_hand, &good));
    assert_opens(2);
    assert_true(is_filled());
}

CLAIM(an_import_that_a_crash_ends_is_whole_or_none)
{
    int good = 0;
    bool imported = false;
    for (uint32_t calls = 0; !imported; calls++) {
        store_scene_fini(&scene);
        store_scene_init(&scene, ++seed);
        sim_disk_write_file(scene.disk, STORE_SCENE_LOCATION "/mosquitto.db", "x", 1);
        sim_disk_crash_after(scene.disk, calls);
        imported = store_scene_import(&scene, 2, fill_by_hand, &good);
        sim_disk_crash(scene.disk);
        if (store_scene_open(&scene, 2)) {
            assert_true(is_filled());
        } else {
            assert_false(imported);
            /* The database is not forgotten, and can be imported again. */
            assert_non_null(strstr(scene.error, "tidewire-import"));
            assert_true(store_scene_import(&scene, 2, fill_by_hand, &good));
        }
    }
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_is_read_as_written),
        cmocka_unit_test(a_manifest_is_whole_or_damaged),
        cmocka_unit_test(a_manifest_says_how_many_shards_there_can_be),
        STORE_TEST(a_new_store_has_a_secret_that_it_keeps),
        STORE_TEST(a_new_store_survives_a_crash_right_after),
        STORE_TEST(each_shard_has_a_directory_that_is_there),
        STORE_TEST(nobody_else_may_use_it_meanwhile),
        STORE_TEST(a_location_that_is_not_there_is_named),
        STORE_TEST(a_location_that_is_too_long_is_refused),
        STORE_TEST(a_first_start_that_a_crash_ends_anywhere_is_made_up_for),
        STORE_TEST(a_damaged_manifest_is_refused),
        STORE_TEST(a_manifest_that_cannot_be_read_is_refused),
        STORE_TEST(a_later_format_is_refused_by_name),
        STORE_TEST(journals_without_a_manifest_are_refused),
        STORE_TEST(empty_directories_without_a_manifest_are_what_a_crash_leaves),
        STORE_TEST(a_shard_that_is_missing_is_refused),
        STORE_TEST(what_a_crash_left_is_removed_and_what_was_damaged_is_kept),
        STORE_TEST(mosquittos_database_is_not_forgotten),
        STORE_TEST(a_database_of_another_name_is_not_forgotten),
        STORE_TEST(beside_a_journal_a_database_is_no_matter),
        STORE_TEST(what_is_imported_is_the_store),
        STORE_TEST(nothing_is_imported_into_a_store_that_is_there),
        STORE_TEST(an_import_that_fails_leaves_no_store),
        STORE_TEST(an_import_that_a_crash_ends_is_whole_or_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
