#include "engine/durable/store.h"

#include "engine/durable/convert.h"
#include "engine/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What comes behind the location: our directory, a generation, a shard, a file. */
#define LOCATION_MAX (STORE_PATH_MAX - 256)
/* Of a generation: shards, and files in them. */
#define GENERATION_DEPTH 2

struct store {
    struct io_set *ios;
    char directory[STORE_PATH_MAX];
    struct manifest manifest;
};

static const char *
location_of(const struct config *config)
{
    return config->persistence_location != NULL && config->persistence_location[0] != '\0' ? config->persistence_location : ".";
}

/* ----------------------------------------------------------------------------------------------------------- generations */

/* `12` or, in the making, `12.new`. */
static bool
is_generation(const char *name)
{
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && (name[digits] == '\0' || strcmp(name + digits, ".new") == 0);
}

static bool
is_damaged_file(const char *name)
{
    static const char end[] = ".damaged";
    size_t size = strlen(name);
    return size > sizeof end - 1 && strcmp(name + size - (sizeof end - 1), end) == 0;
}

static int
keep_damaged(const struct store *store, const char *generation, const char *shard, const char *file)
{
    char directory[STORE_PATH_MAX], from[STORE_PATH_MAX], to[STORE_PATH_MAX];
    store_files_join(directory, "%s/damaged", store->directory);
    store_files_join(from, "%s/%s/%s/%s", store->directory, generation, shard, file);
    store_files_join(to, "%s/%s-%s-%s", directory, generation, shard, file);
    int result = io_directory_make(store->ios, directory);
    result = result != 0 ? result : io_rename(store->ios, from, to);
    return result != 0 ? result : io_directory_sync(store->ios, directory);
}

static int
keep_damaged_of_shard(const struct store *store, const char *generation, const char *shard)
{
    struct store_names files;
    char directory[STORE_PATH_MAX];
    store_files_join(directory, "%s/%s/%s", store->directory, generation, shard);
    int result = store_files_list(store->ios, directory, &files);
    for (const char *file = NULL; result == 0 && (file = store_names_next(&files, file)) != NULL;) {
        result = is_damaged_file(file) ? keep_damaged(store, generation, shard, file) : 0;
    }
    store_names_free(&files);
    return result;
}

/* What somebody may still want to look at is kept. */
static int
remove_generation(const struct store *store, const char *generation)
{
    struct store_names shards;
    char directory[STORE_PATH_MAX];
    store_files_join(directory, "%s/%s", store->directory, generation);
    int result = store_files_list(store->ios, directory, &shards);
    for (const char *shard = NULL; result == 0 && (shard = store_names_next(&shards, shard)) != NULL;) {
        result = keep_damaged_of_shard(store, generation, shard);
    }
    store_names_free(&shards);
    return result != 0 ? result : store_files_remove_tree(store->ios, directory, GENERATION_DEPTH);
}

/* Whatever a crash has left, and older ones. 0 or -errno. */
static int
remove_other_generations(const struct store *store)
{
    struct store_names names;
    char current[32];
    snprintf(current, sizeof current, "%" PRIu64, store->manifest.generation);
    int result = store_files_list(store->ios, store->directory, &names);
    for (const char *name = NULL; result == 0 && (name = store_names_next(&names, name)) != NULL;) {
        result = is_generation(name) && strcmp(name, current) != 0 ? remove_generation(store, name) : 0;
    }
    store_names_free(&names);
    return result;
}

static int
make_directories(const struct store *store, const char *directory, unsigned count)
{
    char shard[STORE_PATH_MAX];
    int result = io_directory_make(store->ios, directory);
    for (unsigned i = 0; result == 0 && i < count; i++) {
        store_files_join(shard, "%s/%u", directory, i);
        result = io_directory_make(store->ios, shard);
    }
    return result;
}

static int
sync_directories(const struct store *store, const char *directory, unsigned count)
{
    char shard[STORE_PATH_MAX];
    int result = 0;
    for (unsigned i = 0; result == 0 && i < count; i++) {
        store_files_join(shard, "%s/%u", directory, i);
        result = io_directory_sync(store->ios, shard);
    }
    return result != 0 ? result : io_directory_sync(store->ios, directory);
}

/* Gives the generation that the manifest names its name, if that is not done yet. 0 or -errno. */
static int
finish_generation(const struct store *store)
{
    char new[STORE_PATH_MAX], final[STORE_PATH_MAX];
    struct store_names names;
    store_files_join(final, "%s/%" PRIu64, store->directory, store->manifest.generation);
    store_files_join(new, "%s/%" PRIu64 ".new", store->directory, store->manifest.generation);
    int result = store_files_list(store->ios, final, &names);
    store_names_free(&names);
    if (result != -ENOENT) {
        return result;
    }
    result = io_rename(store->ios, new, final);
    return result != 0 ? result : io_directory_sync(store->ios, store->directory);
}

/*
 * The next generation is made and filled, and named by the manifest: from then on it counts (O1). That it gets its name only then tells one that was counted once from one that never
 * was, should the manifest get lost (O2). `fill` NULL: it is empty.
 */
static int
begin_generation(struct store *store, const struct manifest *next, store_fill *fill, void *context, char *error, size_t error_size)
{
    char new[STORE_PATH_MAX];
    store_files_join(new, "%s/%" PRIu64 ".new", store->directory, next->generation);
    int result = make_directories(store, new, next->shard_count);
    if (result != 0) {
        return store_files_refuse(result, error, error_size, "%s cannot be made", new);
    }
    if (fill != NULL && (result = fill(context, new, next, error, error_size)) != 0) {
        return result;
    }
    result = sync_directories(store, new, next->shard_count);
    result = result != 0 ? result : io_directory_sync(store->ios, store->directory);
    if (result != 0) {
        return store_files_refuse(result, error, error_size, "%s cannot be synced", new);
    }
    result = manifest_write(store->ios, store->directory, next, error, error_size);
    if (result != 0) {
        return result;
    }
    store->manifest = *next;
    result = finish_generation(store);
    return result == 0 ? 0 : store_files_refuse(result, error, error_size, "%s cannot be given its name", new);
}

/* ------------------------------------------------------------------------------------------------------------------ make */

/* A generation with any file in it. */
static bool
holds_files(const struct store *store, const char *generation)
{
    struct store_names shards, files;
    char directory[STORE_PATH_MAX], inside[STORE_PATH_MAX];
    bool found = false;
    store_files_join(directory, "%s/%s", store->directory, generation);
    if (store_files_list(store->ios, directory, &shards) == 0) {
        for (const char *shard = NULL; !found && (shard = store_names_next(&shards, shard)) != NULL;) {
            store_files_join(inside, "%s/%s", directory, shard);
            found = store_files_list(store->ios, inside, &files) != 0 || files.size > 0;
            store_names_free(&files);
        }
    }
    store_names_free(&shards);
    return found;
}

/* Nothing counts without a manifest, but a whole generation was counted once: only the manifest has got lost then (O2). */
static int
look_for_journals(const struct store *store, char *error, size_t error_size)
{
    struct store_names names;
    int result = store_files_list(store->ios, store->directory, &names);
    if (result != 0) {
        store_names_free(&names);
        return store_files_refuse(result, error, error_size, "%s cannot be read", store->directory);
    }
    for (const char *name = NULL; result == 0 && (name = store_names_next(&names, name)) != NULL;) {
        bool whole = is_generation(name) && strchr(name, '.') == NULL;
        if (whole && holds_files(store, name)) {
            snprintf(error, error_size, "%s holds journals but no manifest. Put back a copy of it, or move the directory away to start without what is kept there", store->directory);
            result = -EIO;
        }
    }
    store_names_free(&names);
    return result;
}

static int
look_for_mosquittos_database(const struct store *store, const struct config *config, char *error, size_t error_size)
{
    char path[STORE_PATH_MAX];
    const char *file = config->persistence_file != NULL ? config->persistence_file : "mosquitto.db";
    if (strlen(file) >= 200) {
        snprintf(error, error_size, "option persistence_file is too long");
        return -ENAMETOOLONG;
    }
    store_files_join(path, "%s/%s", location_of(config), file);
    if (!store_files_is_there(store->ios, path)) {
        return 0;
    }
    snprintf(error, error_size, "%s is a database of Mosquitto's, and there is no journal yet. 'tidewire-import' makes one of it (see its --help); or move the database away to start without what is kept there", path);
    return -EEXIST;
}

static int
make_store(struct store *store, unsigned shard_count, store_fill *fill, void *context, char *error, size_t error_size)
{
    struct manifest first = {.generation = 1, .shard_count = shard_count};
    io_random(io_of_shard(store->ios, 0), first.secret, sizeof first.secret);
    int result = look_for_journals(store, error, error_size);
    if (result != 0) {
        return result;
    }
    result = remove_other_generations(store);
    if (result != 0) {
        return store_files_refuse(result, error, error_size, "%s cannot be cleared of what a crash has left", store->directory);
    }
    return begin_generation(store, &first, fill, context, error, error_size);
}

/* --------------------------------------------------------------------------------------------------------------- convert */

static int
convert_store(struct store *store, const struct config *config, unsigned shard_count, char *error, size_t error_size)
{
    struct manifest next = store->manifest;
    struct convert convert = {.ios = store->ios, .from_count = store->manifest.shard_count, .segment_bytes = config->persistence_segment_size};
    next.generation++;
    next.shard_count = shard_count;
    store_files_join(convert.from, "%s/%" PRIu64, store->directory, store->manifest.generation);
    log_line(CONFIG_LOG_NOTICE, "The journal is for %u shards; it is converted for %u.", store->manifest.shard_count, shard_count);
    int result = begin_generation(store, &next, convert_fill, &convert, error, error_size);
    if (result == 0 && convert.unknown > 0) {
        log_line(CONFIG_LOG_WARNING, "Warning: %" PRIu64 " records of the journal say nothing that is known here, and are left out", convert.unknown);
    }
    if (result == 0) {
        log_line(CONFIG_LOG_NOTICE, "Journal converted: %" PRIu64 " records.", convert.records);
    }
    return result;
}

/* ------------------------------------------------------------------------------------------------------------------ open */

static int
lock_directory(const struct store *store, const char *location, char *error, size_t error_size)
{
    int result = io_directory_make(store->ios, store->directory);
    if (result != 0) {
        return store_files_refuse(result, error, error_size, "persistence_location %s: the directory 'tidewire-journal' cannot be made there", location);
    }
    result = io_directory_lock(store->ios, store->directory);
    if (result == -EWOULDBLOCK) {
        snprintf(error, error_size, "another broker uses %s", store->directory);
    } else if (result != 0) {
        store_files_refuse(result, error, error_size, "%s cannot be locked", store->directory);
    }
    return result;
}

/* 0, or -ENOENT if there is no manifest, or another with a line in `error`. */
static int
enter_directory(struct store *store, const char *location, bool *has_manifest, char *error, size_t error_size)
{
    int result = lock_directory(store, location, error, error_size);
    if (result != 0) {
        return result;
    }
    /* The entry of our own directory in the one above. */
    result = io_directory_sync(store->ios, location);
    if (result != 0) {
        return store_files_refuse(result, error, error_size, "persistence_location %s cannot be synced", location);
    }
    result = manifest_read(store->ios, store->directory, &store->manifest, error, error_size);
    *has_manifest = result == 0;
    return result == -ENOENT ? 0 : result;
}

/* The directory is there and ours. */
static struct store *
begin_open(struct io_set *ios, const struct config *config, bool *has_manifest, char *error, size_t error_size)
{
    const char *location = location_of(config);
    if (strlen(location) > LOCATION_MAX) {
        snprintf(error, error_size, "option persistence_location is too long");
        return NULL;
    }
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL) {
        snprintf(error, error_size, "out of memory at start");
        return NULL;
    }
    store->ios = ios;
    store_files_join(store->directory, "%s/tidewire-journal", location);
    if (enter_directory(store, location, has_manifest, error, error_size) != 0) {
        store_close(&store);
    }
    return store;
}

/* All directories that the manifest speaks of are there. */
static int
look_at_shards(const struct store *store, char *error, size_t error_size)
{
    char shard[STORE_PATH_MAX];
    struct store_names names;
    int result = finish_generation(store);
    for (unsigned i = 0; i < store->manifest.shard_count; i++) {
        store_shard_directory(store, i, shard);
        if (result == 0) {
            result = store_files_list(store->ios, shard, &names);
            store_names_free(&names);
        }
        if (result != 0) {
            return store_files_refuse(result, error, error_size, "%s, which is a part of the journal, cannot be read", shard);
        }
    }
    return 0;
}

/* The store as it was left is looked at, and tidied. */
static int
take_store(struct store *store, const struct config *config, unsigned shard_count, char *error, size_t error_size)
{
    int result = look_at_shards(store, error, error_size);
    if (result != 0) {
        return result;
    }
    result = remove_other_generations(store);
    if (result == 0 && store->manifest.shard_count != shard_count) {
        result = convert_store(store, config, shard_count, error, error_size);
        if (result != 0) {
            return result;
        }
        result = remove_other_generations(store);
    }
    return result == 0 ? 0 : store_files_refuse(result, error, error_size, "%s cannot be cleared of an earlier generation", store->directory);
}

static int
open_new(struct store *store, const struct config *config, unsigned shard_count, char *error, size_t error_size)
{
    int result = look_for_mosquittos_database(store, config, error, error_size);
    return result != 0 ? result : make_store(store, shard_count, NULL, NULL, error, error_size);
}

struct store *
store_open(struct io_set *ios, const struct config *config, unsigned shard_count, char *error, size_t error_size)
{
    bool is_there;
    struct store *store = begin_open(ios, config, &is_there, error, error_size);
    if (store == NULL) {
        return NULL;
    }
    int result = is_there ? take_store(store, config, shard_count, error, error_size) : open_new(store, config, shard_count, error, error_size);
    if (result != 0) {
        store_close(&store);
    }
    return store;
}

int
store_import(struct io_set *ios, const struct config *config, unsigned shard_count, store_fill *fill, void *context, char *error, size_t error_size)
{
    bool is_there;
    struct store *store = begin_open(ios, config, &is_there, error, error_size);
    if (store == NULL) {
        return -EIO;
    }
    int result;
    if (is_there) {
        snprintf(error, error_size, "%s is there already", store->directory);
        result = -EEXIST;
    } else {
        result = make_store(store, shard_count, fill, context, error, error_size);
    }
    store_close(&store);
    return result;
}

void
store_close(struct store **store)
{
    free(*store);
    *store = NULL;
}

const char *
store_directory(const struct store *store)
{
    return store->directory;
}

const uint8_t *
store_secret(const struct store *store)
{
    return store->manifest.secret;
}

void
store_shard_directory(const struct store *store, unsigned shard, char out[STORE_PATH_MAX])
{
    store_files_join(out, "%s/%" PRIu64 "/%u", store->directory, store->manifest.generation, shard);
}
