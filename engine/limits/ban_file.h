/*
 * ban_file: the bans that an operator keeps in a file (option ban_file), one a line:
 *
 *     client sensor-17
 *     user   mallory
 *     address 192.0.2.0/24
 *     until 2026-12-31T23:59:59Z client sensor-18
 *
 * A line is blank, a comment ('#' in its first column) or one ban. What follows the kind is the value, up to the end of the line: identifiers may hold blanks within.
 *
 * Errors  one line with file and line; never half a file.
 */
#ifndef TIDEWIRE_ENGINE_LIMITS_BAN_FILE_H
#define TIDEWIRE_ENGINE_LIMITS_BAN_FILE_H

#include "engine/limits/ban.h"

struct ban_file {
    struct ban *bans; /* their values lie in `text` */
    uint32_t count, room;
    char *text;
};

/* NULL and a line in `error`. */
struct ban_file *ban_file_read(const char *path, char *error, size_t error_size);
/* The same for a text that is there already; copied. `name`: for messages. */
struct ban_file *ban_file_parse(const char *text, size_t size, const char *name, char *error, size_t error_size);
void ban_file_free(struct ban_file **file);

/* "2026-12-31T23:59:59Z", or seconds since 1970, as milliseconds since 1970; false if it is neither. */
bool ban_parse_time(struct bytes text, uint64_t *out_ms);
/* The first of these forms; 24 bytes are enough. */
void ban_time_text(uint64_t ms, char *out, size_t size);

#endif
