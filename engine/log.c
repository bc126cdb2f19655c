#include "engine/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 2048      /* on the caller's stack; what is longer is cut */
#define TIME_BYTES 128

/*
 * What log_open decided; never changed after it is published. Other threads may still read an older one, so all are kept until log_close: one per reload.
 */
struct settings {
    uint32_t types;
    uint32_t destinations;
    int facility;
    bool timestamp;
    char *timestamp_format; /* NULL: seconds since 1970 */
    char *file_path;
    unsigned generation;
    struct settings *older;
};

static struct settings first_settings = {
    .types = CONFIG_LOG_ERROR | CONFIG_LOG_WARNING | CONFIG_LOG_NOTICE | CONFIG_LOG_INFORMATION,
    .destinations = CONFIG_LOG_TO_STDERR,
    .facility = LOG_DAEMON,
    .timestamp = true,
};

/* Release in log_open, acquire in every reader: who sees the pointer sees the settings. */
static struct settings *_Atomic current = &first_settings;

/* Its number stays the same from the first log file on: another file is dup'ed over it, so that writers never see it closed. */
static _Atomic int file_descriptor = -1;

static void (*_Atomic topic_sink)(uint32_t type, const char *text);

/* Per reason: the second (upper half) and the lines asked for in it (lower half). */
static _Atomic uint64_t peer_lines[LOG_REASONS_MAX];

/* ------------------------------------------------------------------------------------------------------------ one line */

/* The last time text of this thread: strftime and the time zone's lock are touched once a second. */
struct time_text {
    time_t second;
    unsigned generation;
    size_t size;
    char text[TIME_BYTES + 2];
};

static const struct time_text *
read_time(const struct settings *settings)
{
    static _Thread_local struct time_text cached;
    time_t now = time(NULL);
    if (cached.size > 0 && cached.second == now && cached.generation == settings->generation) {
        return &cached;
    }

    size_t size = 0;
    struct tm local;
    if (settings->timestamp_format != NULL && localtime_r(&now, &local) != NULL) {
        size = strftime(cached.text, TIME_BYTES, settings->timestamp_format, &local);
    }
    if (size == 0) {
        size = (size_t)snprintf(cached.text, TIME_BYTES, "%lld", (long long)now);
    }
    memcpy(cached.text + size, ": ", 2);
    cached.size = size + 2;
    cached.second = now;
    cached.generation = settings->generation;
    return &cached;
}

static int
syslog_priority(uint32_t type)
{
    switch (type) {
    case CONFIG_LOG_ERROR: return LOG_ERR;
    case CONFIG_LOG_WARNING: return LOG_WARNING;
    case CONFIG_LOG_INFORMATION: return LOG_INFO;
    case CONFIG_LOG_DEBUG:
    case CONFIG_LOG_INTERNAL: return LOG_DEBUG;
    default: return LOG_NOTICE;
    }
}

/* A log that cannot be written (a full disk, a closed pipe) is no reason to stop: the line is lost. */
static void
write_whole(int descriptor, const char *line, size_t size)
{
    ssize_t written;
    do {
        written = write(descriptor, line, size);
    } while (written < 0 && errno == EINTR);
}

static void
send_to_topic(uint32_t type, const char *line)
{
    static _Thread_local bool inside;
    void (*sink)(uint32_t, const char *) = atomic_load_explicit(&topic_sink, memory_order_acquire); /* pairs with log_set_topic_sink */
    if (sink == NULL || inside || type == CONFIG_LOG_DEBUG) {
        return;
    }
    inside = true;
    sink(type, line);
    inside = false;
}

/* `line` has its time at the front, `text` bytes of it, and room for a line end after `size`. */
static void
send_line(const struct settings *settings, uint32_t type, char *line, size_t time_size, size_t size)
{
    uint32_t to = settings->destinations;
    if (to & CONFIG_LOG_TO_SYSLOG) {
        syslog(settings->facility | syslog_priority(type), "%s", line + time_size);
    }
    if (to & CONFIG_LOG_TO_TOPIC) {
        send_to_topic(type, line);
    }

    line[size] = '\n';
    if (to & CONFIG_LOG_TO_STDERR) {
        write_whole(STDERR_FILENO, line, size + 1);
    }
    if (to & CONFIG_LOG_TO_STDOUT) {
        write_whole(STDOUT_FILENO, line, size + 1);
    }
    if (to & CONFIG_LOG_TO_FILE) {
        write_whole(atomic_load_explicit(&file_descriptor, memory_order_relaxed), line, size + 1);
    }
}

/* Bytes of a control character at `p`: C0 and DEL are one, C1 (which terminals obey too) are two in UTF-8. */
static unsigned
control_size(const unsigned char *p)
{
    if (*p < 0x20 || *p == 0x7f) {
        return 1;
    }
    return p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f ? 2 : 0;
}

/* Copies `text` with control characters as \xNN; what does not fit is cut. Returns the bytes written, without the NUL. */
static size_t
copy_escaped(char *out, size_t out_size, const char *text)
{
    size_t size = 0;
    const unsigned char *p = (const unsigned char *)text;
    while (*p != '\0' && size + 9 < out_size) {
        unsigned control = control_size(p);
        if (control == 0) {
            out[size++] = (char)*p++;
            continue;
        }
        for (; control > 0; control--) {
            size += (size_t)snprintf(out + size, out_size - size, "\\x%02x", *p++);
        }
    }
    out[size] = '\0';
    return size;
}

static void
format_line(uint32_t type, bool escape, const char *format, va_list arguments)
{
    const struct settings *settings = atomic_load_explicit(&current, memory_order_acquire); /* pairs with log_open */
    char line[LINE_BYTES + 1];                                                              /* one more for the line end */
    size_t time_size = 0;

    if (settings->timestamp) {
        const struct time_text *now = read_time(settings);
        time_size = now->size;
        memcpy(line, now->text, time_size);
    }

    size_t room = LINE_BYTES - time_size, size;
    if (escape) {
        char text[LINE_BYTES];
        vsnprintf(text, sizeof text, format, arguments);
        size = copy_escaped(line + time_size, room, text);
    } else {
        int wanted = vsnprintf(line + time_size, room, format, arguments);
        size = wanted < 0 ? 0 : (size_t)wanted < room ? (size_t)wanted : room - 1;
    }
    send_line(settings, type, line, time_size, time_size + size);
}

bool
log_wants(uint32_t type)
{
    const struct settings *settings = atomic_load_explicit(&current, memory_order_acquire); /* pairs with log_open */
    return (settings->types & type) != 0 && settings->destinations != 0;
}

void
log_line(uint32_t type, const char *format, ...)
{
    if (!log_wants(type)) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    format_line(type, false, format, arguments);
    va_end(arguments);
}

/* ------------------------------------------------------------------------------------------------------ what peers cause */

static uint32_t
lines_of(uint64_t state)
{
    return (uint32_t)state;
}

static uint32_t
second_of(uint64_t state)
{
    return (uint32_t)(state >> 32);
}

static void
tell_held_back(uint32_t type, uint64_t state)
{
    if (lines_of(state) > LOG_PEER_LINES_PER_S) {
        log_line(type, "%u messages of the following kind were held back", lines_of(state) - LOG_PEER_LINES_PER_S);
    }
}

/* Takes a place in this second. Relaxed: the count stands alone, nothing is published with it. */
static bool
take_place(uint32_t type, unsigned reason)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    uint32_t second = (uint32_t)now.tv_sec;

    uint64_t state = atomic_load_explicit(&peer_lines[reason], memory_order_relaxed);
    while (second_of(state) != second) {
        /* A new second: who opens it tells what the last one held back. */
        uint64_t opened = (uint64_t)second << 32 | 1;
        if (atomic_compare_exchange_weak_explicit(&peer_lines[reason], &state, opened, memory_order_relaxed, memory_order_relaxed)) {
            tell_held_back(type, state);
            return true;
        }
    }
    return lines_of(atomic_fetch_add_explicit(&peer_lines[reason], 1, memory_order_relaxed)) < LOG_PEER_LINES_PER_S;
}

bool
log_admits_peer(uint32_t type, unsigned reason)
{
    assert(reason < LOG_REASONS_MAX);

    return log_wants(type) && take_place(type, reason);
}

void
log_admitted(uint32_t type, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    format_line(type, true, format, arguments);
    va_end(arguments);
}

/* ------------------------------------------------------------------------------------------------------- open and close */

/* Opens `path` as the log file, in place of the one before. 0 or -errno; then the one before stays. */
static int
open_file(const char *path)
{
    int opened = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (opened < 0) {
        return -errno;
    }
    int standing = atomic_load_explicit(&file_descriptor, memory_order_relaxed);
    if (standing < 0) {
        atomic_store_explicit(&file_descriptor, opened, memory_order_relaxed);
        return 0;
    }
    int result = dup3(opened, standing, O_CLOEXEC) < 0 ? -errno : 0;
    close(opened);
    return result;
}

static void
free_settings(struct settings *settings)
{
    free(settings->timestamp_format);
    free(settings->file_path);
    free(settings);
}

static char *
copy_text(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

static struct settings *
make_settings(const struct config *config, struct settings *older)
{
    struct settings *settings = malloc(sizeof *settings);
    if (settings == NULL) {
        return NULL;
    }
    *settings = (struct settings){
        .types = config->verbose ? UINT32_MAX : config->log_types,
        .destinations = config->log_destinations,
        .facility = config->log_facility,
        .timestamp = config->log_timestamp,
        .timestamp_format = copy_text(config->log_timestamp_format),
        .file_path = copy_text(config->log_file),
        .generation = older->generation + 1,
        .older = older,
    };
    bool lost = (config->log_timestamp_format != NULL && settings->timestamp_format == NULL) ||
                (config->log_file != NULL && settings->file_path == NULL);
    if (lost) {
        free_settings(settings);
        return NULL;
    }
    return settings;
}

int
log_open(const struct config *config)
{
    struct settings *settings = make_settings(config, atomic_load_explicit(&current, memory_order_relaxed));
    if (settings == NULL) {
        return -ENOMEM;
    }

    int result = 0;
    if (settings->destinations & CONFIG_LOG_TO_FILE) {
        result = open_file(settings->file_path);
    }
    if (result < 0) {
        settings->destinations = (settings->destinations & ~(uint32_t)CONFIG_LOG_TO_FILE) | CONFIG_LOG_TO_STDERR;
    }
    if (settings->destinations & CONFIG_LOG_TO_SYSLOG) {
        openlog("tidewire", LOG_PID | LOG_NDELAY, settings->facility);
    }
    atomic_store_explicit(&current, settings, memory_order_release); /* pairs with log_wants, format_line */

    if (result < 0) {
        log_line(CONFIG_LOG_ERROR, "Error: cannot open the log file '%s': %s", settings->file_path, strerror(-result));
    }
    for (unsigned i = 0; i < config->warning_count; i++) {
        log_line(CONFIG_LOG_WARNING, "Warning: %s", config->warnings[i]);
    }
    return result;
}

void
log_reopen(void)
{
    const struct settings *settings = atomic_load_explicit(&current, memory_order_relaxed); /* written by this thread */
    if (!(settings->destinations & CONFIG_LOG_TO_FILE)) {
        return;
    }
    int result = open_file(settings->file_path);
    if (result < 0) {
        log_line(CONFIG_LOG_ERROR, "Error: cannot reopen the log file '%s': %s; going on with the old one", settings->file_path, strerror(-result));
    }
}

void
log_close(void)
{
    for (unsigned reason = 0; reason < LOG_REASONS_MAX; reason++) {
        uint64_t state = atomic_exchange_explicit(&peer_lines[reason], 0, memory_order_relaxed);
        if (lines_of(state) > LOG_PEER_LINES_PER_S) {
            log_line(CONFIG_LOG_NOTICE, "%u messages about peers were held back", lines_of(state) - LOG_PEER_LINES_PER_S);
        }
    }

    struct settings *settings = atomic_load_explicit(&current, memory_order_relaxed);
    first_settings.generation = settings->generation + 1; /* no thread takes its remembered time for one of these settings */
    atomic_store_explicit(&current, &first_settings, memory_order_release);
    while (settings != &first_settings) {
        struct settings *older = settings->older;
        free_settings(settings);
        settings = older;
    }

    closelog();
    int descriptor = atomic_exchange_explicit(&file_descriptor, -1, memory_order_relaxed);
    if (descriptor >= 0) {
        close(descriptor);
    }
}

void
log_set_topic_sink(void (*sink)(uint32_t type, const char *text))
{
    atomic_store_explicit(&topic_sink, sink, memory_order_release); /* pairs with send_to_topic */
}
