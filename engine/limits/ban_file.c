#include "engine/limits/ban_file.h"

#include "codec/bytes.h"
#include "engine/config/whole_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (256u << 20) /* bytes; the whole file is read into memory */

/* --------------------------------------------------------------------------------------------------------------- time */

/* Days since 1970-01-01 of a date of the Gregorian calendar: years start in March, so that the leap day is the last one. */
static int64_t
days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static void
date_of(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += 719468;
    int64_t era = days / 146097;
    unsigned day_of_era = (unsigned)(days - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted < 10 ? shifted + 3 : shifted - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

static bool
all_digits(const char *text)
{
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

bool
ban_parse_time(struct bytes text, uint64_t *out_ms)
{
    char copy[24];
    if (text.size >= sizeof copy) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (all_digits(copy)) {
        *out_ms = text.size <= 12 ? strtoull(copy, NULL, 10) * 1000 : 0;
        return *out_ms > 0;
    }
    unsigned year, month, day, hour, minute, second;
    int used = 0;
    if (text.size != 20 || sscanf(copy, "%4u-%2u-%2uT%2u:%2u:%2uZ%n", &year, &month, &day, &hour, &minute, &second, &used) != 6 || used != 20) {
        return false;
    }
    int64_t back_year;
    unsigned back_month, back_day;
    int64_t days = days_of(year, month, day);
    date_of(days, &back_year, &back_month, &back_day);
    if (year < 1970 || back_year != year || back_month != month || back_day != day || hour > 23 || minute > 59 || second > 59) {
        return false; /* such a day, or time, there is not */
    }
    *out_ms = ((uint64_t)days * 86400 + hour * 3600 + minute * 60 + second) * 1000;
    return *out_ms > 0;
}

void
ban_time_text(uint64_t ms, char *out, size_t size)
{
    uint64_t seconds = ms / 1000;
    int64_t year;
    unsigned month, day, rest = (unsigned)(seconds % 86400);
    date_of((int64_t)(seconds / 86400), &year, &month, &day);
    snprintf(out, size, "%04lld-%02u-%02uT%02u:%02u:%02uZ", (long long)year, month, day, rest / 3600, rest / 60 % 60, rest % 60);
}

/* -------------------------------------------------------------------------------------------------------------- lines */

struct reading {
    struct ban_file *file;
    const char *name;
    unsigned line;
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 2, 3))) static bool
refuse(struct reading *r, const char *format, ...)
{
    va_list arguments;
    int used = r->line > 0 ? snprintf(r->error, r->error_size, "%s:%u: ", r->name, r->line) : 0;
    va_start(arguments, format);
    if (used >= 0 && (size_t)used < r->error_size) {
        vsnprintf(r->error + used, r->error_size - (size_t)used, format, arguments);
    }
    va_end(arguments);
    return false;
}

static bool
is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static void
skip_blanks(struct bytes *line)
{
    while (line->size > 0 && is_blank(line->data[0])) {
        *line = bytes_of(line->data + 1, line->size - 1);
    }
}

static struct bytes
next_word(struct bytes *line)
{
    skip_blanks(line);
    uint32_t size = 0;
    while (size < line->size && !is_blank(line->data[size])) {
        size++;
    }
    struct bytes word = bytes_of(line->data, size);
    *line = bytes_of(line->data + size, line->size - size);
    return word;
}

static bool
is_word(struct bytes word, const char *text)
{
    return bytes_equal(word, bytes_of(text, (uint32_t)strlen(text)));
}

static bool
read_value(struct reading *r, struct bytes value, struct ban *ban)
{
    if (value.size == 0) {
        return refuse(r, "'%s' needs a value", ban_kind_name(ban->kind));
    }
    if (ban->kind == BAN_ADDRESS) {
        return ban_parse_network(value, &ban->network) || refuse(r, "'%.*s' is not an address or a network like 192.0.2.0/24 or 2001:db8::/32 (no bits beyond the prefix)",
                                                                  (int)(value.size < 64 ? value.size : 64), (const char *)value.data);
    }
    if (value.size > BAN_VALUE_MAX || !utf8_check(value)) {
        return refuse(r, "the value is not UTF-8, or longer than %u bytes", BAN_VALUE_MAX);
    }
    ban->value = value;
    return true;
}

static bool
keep(struct reading *r, const struct ban *ban)
{
    struct ban_file *file = r->file;
    if (file->count == BAN_MAX) {
        return refuse(r, "more than %u bans", BAN_MAX);
    }
    if (file->count == file->room) {
        uint32_t room = file->room ? file->room * 2 : 64;
        struct ban *bans = realloc(file->bans, room * sizeof *bans);
        if (bans == NULL) {
            return refuse(r, "out of memory");
        }
        file->bans = bans;
        file->room = room;
    }
    file->bans[file->count++] = *ban;
    return true;
}

static bool
read_line(struct reading *r, struct bytes line)
{
    while (line.size > 0 && (line.data[line.size - 1] == '\r' || is_blank(line.data[line.size - 1]))) {
        line.size--;
    }
    if (line.size == 0 || line.data[0] == '#') {
        return true;
    }
    struct ban ban = {.origin = BAN_OF_FILE};
    struct bytes word = next_word(&line);
    if (is_word(word, "until")) {
        struct bytes when = next_word(&line);
        if (!ban_parse_time(when, &ban.until_ms)) {
            return refuse(r, "'until' needs a time like 2026-12-31T23:59:59Z, or seconds since 1970");
        }
        word = next_word(&line);
    }
    ban.kind = (uint8_t)ban_kind_of(word);
    if (ban.kind == BAN_KINDS) {
        return refuse(r, "a ban is 'client', 'user' or 'address' and a value, not '%.*s'", (int)(word.size < 64 ? word.size : 64), (const char *)word.data);
    }
    skip_blanks(&line);
    return read_value(r, line, &ban) && keep(r, &ban);
}

static bool
read_lines(struct reading *r, size_t size)
{
    const char *at = r->file->text;
    const char *end = at + size;
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline != NULL ? newline : end;
        r->line++;
        if (!read_line(r, bytes_of(at, (uint32_t)(line_end - at)))) {
            return false;
        }
        at = newline != NULL ? newline + 1 : end;
    }
    return true;
}

struct ban_file *
ban_file_parse(const char *text, size_t size, const char *name, char *error, size_t error_size)
{
    struct reading r = {.name = name, .error = error, .error_size = error_size};
    r.file = calloc(1, sizeof *r.file);
    char *copy = malloc(size + 1);
    if (r.file == NULL || copy == NULL || size > FILE_MAX) {
        refuse(&r, size > FILE_MAX ? "%s is larger than a ban file may be" : "out of memory for %s", name);
        free(copy);
        free(r.file);
        return NULL;
    }
    memcpy(copy, text, size);
    r.file->text = copy;
    if (!read_lines(&r, size)) {
        ban_file_free(&r.file);
    }
    return r.file;
}

void
ban_file_free(struct ban_file **fp)
{
    struct ban_file *file = *fp;
    *fp = NULL;
    free(file->bans);
    free(file->text);
    free(file);
}

struct ban_file *
ban_file_read(const char *path, char *error, size_t error_size)
{
    FILE *stream = fopen(path, "re");
    size_t size = 0;
    char *text = stream != NULL ? whole_file_read(stream, FILE_MAX, &size) : NULL;
    int failed = errno;
    if (stream != NULL) {
        fclose(stream);
    }
    if (text == NULL) {
        snprintf(error, error_size, "option 'ban_file': cannot read '%s': %s", path, strerror(failed));
        return NULL;
    }
    struct ban_file *file = ban_file_parse(text, size, path, error, error_size);
    free(text);
    return file;
}
