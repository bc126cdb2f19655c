#include "engine/durable/manifest.h"

#include "engine/durable/store_files.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIRST_LINE "tidewire journal %" PRIu64 "\n"
#define CHECKSUM_LINE "checksum %016" PRIx64 "\n"
#define CHECKSUM_LINE_BYTES 26u

static int
print_secret(const uint8_t secret[MANIFEST_SECRET_BYTES], char *out)
{
    for (unsigned i = 0; i < MANIFEST_SECRET_BYTES; i++) {
        sprintf(out + 2 * i, "%02x", secret[i]);
    }
    return 2 * MANIFEST_SECRET_BYTES;
}

uint32_t
manifest_print(const struct manifest *m, char text[MANIFEST_TEXT_MAX])
{
    char secret[2 * MANIFEST_SECRET_BYTES + 1];
    print_secret(m->secret, secret);
    int size = snprintf(text, MANIFEST_TEXT_MAX, FIRST_LINE "generation %" PRIu64 "\nshards %" PRIu32 "\nsecret %s\n", (uint64_t)MANIFEST_FORMAT, m->generation,
                        m->shard_count, secret);
    size += snprintf(text + size, MANIFEST_TEXT_MAX - (size_t)size, CHECKSUM_LINE, XXH3_64bits(text, (size_t)size));
    assert(size < MANIFEST_TEXT_MAX);
    return (uint32_t)size;
}

/* True if the last line is the checksum of what is before it. */
static bool
has_its_checksum(const char *text, uint32_t size)
{
    char line[CHECKSUM_LINE_BYTES + 1];
    if (size < CHECKSUM_LINE_BYTES) {
        return false;
    }
    uint32_t before = size - CHECKSUM_LINE_BYTES;
    snprintf(line, sizeof line, CHECKSUM_LINE, XXH3_64bits(text, before));
    return memcmp(text + before, line, CHECKSUM_LINE_BYTES) == 0;
}

static bool
parse_secret(const char *text, uint8_t secret[MANIFEST_SECRET_BYTES])
{
    for (unsigned i = 0; i < MANIFEST_SECRET_BYTES; i++) {
        if (sscanf(text + 2 * i, "%2hhx", &secret[i]) != 1) {
            return false;
        }
    }
    return true;
}

enum manifest_answer
manifest_parse(const char *text, uint32_t size, struct manifest *out, uint64_t *format)
{
    char copy[MANIFEST_TEXT_MAX + 1], secret[2 * MANIFEST_SECRET_BYTES + 1], again[MANIFEST_TEXT_MAX];
    if (size > MANIFEST_TEXT_MAX || !has_its_checksum(text, size)) {
        return MANIFEST_DAMAGED;
    }
    memcpy(copy, text, size);
    copy[size] = '\0';
    if (sscanf(copy, FIRST_LINE, format) != 1) {
        return MANIFEST_DAMAGED;
    }
    if (*format > MANIFEST_FORMAT) {
        return MANIFEST_OF_A_LATER_FORMAT;
    }
    if (sscanf(copy, "%*[^\n] generation %" SCNu64 " shards %" SCNu32 " secret %64[0-9a-f]", &out->generation, &out->shard_count, secret) != 3 || strlen(secret) != 64 ||
        !parse_secret(secret, out->secret) || out->generation == 0 || out->shard_count == 0 || out->shard_count > MANIFEST_SHARDS_MAX) {
        return MANIFEST_DAMAGED;
    }
    /* Exactly what would be written. */
    return manifest_print(out, again) == size && memcmp(again, text, size) == 0 ? MANIFEST_GOOD : MANIFEST_DAMAGED;
}

/* Its size, or -errno. */
static int64_t
read_text(struct io_set *ios, const char *path, char *text, size_t room)
{
    struct io_file *file;
    int result = io_file_open(ios, path, 0, &file);
    if (result != 0) {
        return result;
    }
    int64_t size = io_file_read(file, 0, text, room);
    io_file_close(&file);
    return size;
}

int
manifest_read(struct io_set *ios, const char *directory, struct manifest *out, char *error, size_t error_size)
{
    char path[STORE_PATH_MAX], text[MANIFEST_TEXT_MAX + 1];
    uint64_t format = 0;
    store_files_join(path, "%s/manifest", directory);
    int64_t size = read_text(ios, path, text, sizeof text);
    if (size < 0) {
        return size == -ENOENT ? -ENOENT : store_files_refuse((int)size, error, error_size, "%s cannot be read", path);
    }
    switch (manifest_parse(text, (uint32_t)size, out, &format)) {
    case MANIFEST_GOOD:
        return 0;
    case MANIFEST_OF_A_LATER_FORMAT:
        snprintf(error, error_size, "%s is of format %" PRIu64 ", made by a later version of tidewire; this one knows format %u", path, format, MANIFEST_FORMAT);
        return -EPROTO;
    default:
        snprintf(error, error_size, "%s is damaged; without it the journal cannot be read. Put back a copy of it, or move %s away to start without what is kept there", path, directory);
        return -EIO;
    }
}

static int
write_text(struct io_set *ios, const char *path, const char *text, uint32_t size)
{
    struct io_file *file;
    int result = io_remove(ios, path);
    if (result == 0 || result == -ENOENT) {
        result = io_file_open(ios, path, IO_FILE_CREATE, &file);
    }
    if (result != 0) {
        return result;
    }
    result = io_file_write(file, 0, text, size);
    result = result != 0 ? result : io_file_sync(file);
    io_file_close(&file);
    return result;
}

int
manifest_write(struct io_set *ios, const char *directory, const struct manifest *manifest, char *error, size_t error_size)
{
    char path[STORE_PATH_MAX], new[STORE_PATH_MAX], text[MANIFEST_TEXT_MAX];
    uint32_t size = manifest_print(manifest, text);
    store_files_join(path, "%s/manifest", directory);
    store_files_join(new, "%s/manifest.new", directory);
    int result = write_text(ios, new, text, size);
    result = result != 0 ? result : io_rename(ios, new, path);
    result = result != 0 ? result : io_directory_sync(ios, directory);
    return result == 0 ? 0 : store_files_refuse(result, error, error_size, "%s cannot be written", path);
}
