/*
 * tidewire-import: makes the journal of a broker out of Mosquitto's database.
 *
 *   mosquitto.db ──read, in two passes──► records ──► tidewire-journal/1.new ──synced, renamed, named by the manifest──► a store
 *
 * Nothing is there before all of it is; the database is only read.
 */
#include "engine/durable/store.h"
#include "engine/import/import.h"
#include "engine/journal/writer.h"
#include "engine/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ERROR_BYTES 512

static const char help[] =
    "tidewire-import: sessions, retained and queued messages of Mosquitto for Tidewire\n"
    "\n"
    "  tidewire-import -c FILE [DATABASE]\n"
    "\n"
    "  -c FILE    the configuration of Tidewire, with 'persistence true'; the journal is made in its persistence_location, for its user\n"
    "  DATABASE   the file to read, format 5 or 6 (Mosquitto 1.6 to 2.1); without it persistence_file (mosquitto.db) in persistence_location\n"
    "\n"
    "Stop Mosquitto first: it writes the file when it ends. The file is only read, and may stay where it is: once there is a journal, Tidewire does not look at it.\n"
    "Left out: what has expired, queued messages with QoS 0, and shared subscriptions, which Mosquitto does not write.\n";

struct file {
    char path[STORE_PATH_MAX];
    const void *data;
    size_t size;
};

struct job {
    struct import import;
    const struct file *file;
    struct io_set *ios;
    struct journal_writer *writer;
};

__attribute__((format(printf, 1, 2))) static bool
complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("tidewire-import: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return false;
}

/* ---------------------------------------------------------------------------------------------------------- what is asked */

static struct config *
read_config(char *path)
{
    char name[] = "tidewire-import", letter[] = "-c", test[] = "--test-config";
    char *arguments[] = {name, letter, path, test, NULL}; /* to be looked at: nothing is opened */
    struct config *config = NULL;
    if (config_from_arguments(4, arguments, &config) != CONFIG_RUN) {
        return NULL; /* told */
    }
    if (!config->persistence) {
        complain("%s has no 'persistence true': nothing would be read from a journal", path);
        config_free(&config);
    }
    return config;
}

static bool
choose_file(const struct config *config, const char *named, char out[STORE_PATH_MAX])
{
    const char *location = config->persistence_location != NULL ? config->persistence_location : ".";
    const char *file = config->persistence_file != NULL ? config->persistence_file : "mosquitto.db";
    int size = named != NULL ? snprintf(out, STORE_PATH_MAX, "%s", named) : snprintf(out, STORE_PATH_MAX, "%s/%s", location, file);
    return size < STORE_PATH_MAX || complain("the path of the database is too long");
}

static bool
map_file(struct file *file)
{
    struct stat about;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &about) == 0;
    if (good && !S_ISREG(about.st_mode)) {
        close(fd);
        return complain("%s is not a file", file->path);
    }
    if (good && about.st_size > 0) {
        void *data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        good = data != MAP_FAILED;
        file->data = good ? data : NULL;
        file->size = good ? (size_t)about.st_size : 0;
    }
    int error = errno;
    if (fd >= 0) {
        close(fd);
    }
    return good || complain("%s cannot be read: %s", file->path, strerror(error));
}

/* ----------------------------------------------------------------------------------------------------------------- import */

static void
put(void *context, uint8_t type, struct bytes content)
{
    struct job *job = context;
    journal_writer_append(job->writer, type, content);
}

/* A store_fill. One journal: the broker makes as many of it as it has shards. */
static int
fill(void *context, const char *directory, const struct manifest *manifest, char *error, size_t error_size)
{
    struct job *job = context;
    char shard[STORE_PATH_MAX], why[ERROR_BYTES];
    (void)manifest;
    store_files_join(shard, "%s/0", directory);
    job->writer = journal_writer_open(job->ios, shard, 0, job->import.config->persistence_segment_size);
    if (job->writer == NULL) {
        snprintf(error, error_size, "out of memory");
        return -ENOMEM;
    }
    if (!import_run(&job->import, job->file->data, job->file->size, why, sizeof why)) {
        journal_writer_abandon(&job->writer);
        snprintf(error, error_size, "%s: %s", job->file->path, why);
        return -EINVAL;
    }
    int result = journal_writer_finish(&job->writer);
    return result == 0 ? 0 : store_files_refuse(result, error, error_size, "the journal %s cannot be written", shard);
}

static void
tell_counts(const struct file *file, const struct import_counts *n)
{
    printf("%s: %" PRIu64 " sessions, %" PRIu64 " subscriptions, %" PRIu64 " retained messages, %" PRIu64 " messages owed to clients, %" PRIu64 " received from them and not released\n",
           file->path, n->sessions, n->subscriptions, n->retained, n->owed, n->received);
    if (n->expired_sessions + n->expired_messages + n->qos0 + n->too_deep + n->unknown > 0) {
        printf("left out: %" PRIu64 " sessions and %" PRIu64 " messages that have expired, %" PRIu64 " queued messages with QoS 0, %" PRIu64 " topics and filters with too many levels, "
               "%" PRIu64 " records of what is not in the file\n",
               n->expired_sessions, n->expired_messages, n->qos0, n->too_deep, n->unknown);
    }
}

static bool
import_file(const struct config *config, const struct file *file)
{
    char error[ERROR_BYTES] = "";
    struct timespec now;
    struct io_options options = {.shard_count = 1, .sockets_max = 1};
    struct job job = {.file = file, .ios = io_open(&options, error, sizeof error)};
    if (job.ios == NULL) {
        return complain("%s", error);
    }
    clock_gettime(CLOCK_REALTIME, &now);
    job.import = (struct import){.config = config, .now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, .put = put, .context = &job};
    int result = store_import(job.ios, config, 1, fill, &job, error, sizeof error);
    io_close_all(job.ios);
    if (result != 0) {
        return complain("%s", error);
    }
    tell_counts(file, &job.import.counts);
    return true;
}

/* The broker has to be able to read it. */
static bool
become_user(const struct config *config)
{
    char error[ERROR_BYTES];
    return !process_is_root() || config->user == NULL || process_become(config->user, error, sizeof error) == 0 || complain("%s", error);
}

static bool
run(const struct config *config, const char *named)
{
    struct file file = {.path = ""};
    return choose_file(config, named, file.path) && map_file(&file) && become_user(config) && import_file(config, &file);
}

int
main(int argc, char **argv)
{
    bool asks = argc == 2 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0);
    if (asks || argc < 3 || argc > 4 || strcmp(argv[1], "-c") != 0 || (argc == 4 && argv[3][0] == '-')) {
        fputs(help, asks ? stdout : stderr);
        return asks ? 0 : 3;
    }
    struct config *config = read_config(argv[2]);
    if (config == NULL) {
        return 3;
    }
    bool good = run(config, argc == 4 ? argv[3] : NULL);
    config_free(&config);
    return good ? 0 : 1;
}
