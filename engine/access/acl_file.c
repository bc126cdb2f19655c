/*
 * The grammar of Mosquitto's ACL file, to the letter of its 2.0 and 2.1, except that a wrong line is named:
 *
 *     # comment, in the first column only
 *     topic [read|write|readwrite|deny] FILTER      of the last user line, or of the anonymous
 *     user NAME
 *     pattern [read|write|readwrite|deny] FILTER    of everybody
 *
 * Words end at spaces (not at tabs); white space at the end of a line counts for nothing; FILTER and NAME are the rest of the line, so that they may hold spaces. With no
 * access before it FILTER is one word.
 */
#include "engine/access/acl_tree.h"

#include "engine/config/whole_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Raising it costs that much memory while reading, and some four times as much for the rules. */
#define ACL_FILE_MAX_BYTES (256u << 20)
#define STRING_MAX_BYTES 65535u /* of MQTT */

struct acl_reader {
    struct acl *acl;
    const char *name;
    unsigned line;
    uint32_t list;      /* of `topic` lines */
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 2, 3))) static bool
refuse(struct acl_reader *r, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(r->error, r->error_size, "%s:%u: %s", r->name, r->line, text);
    return false;
}

static bool
is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct bytes
trim(struct bytes text)
{
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    while (text.size > 0 && is_blank(text.data[0])) {
        text = bytes_of(text.data + 1, text.size - 1);
    }
    return text;
}

/* The next word, cut at spaces, off the front of `*rest`; empty at the end. */
static struct bytes
take_word(struct bytes *rest)
{
    uint32_t start = 0;
    while (start < rest->size && rest->data[start] == ' ') {
        start++;
    }
    uint32_t end = start;
    while (end < rest->size && rest->data[end] != ' ') {
        end++;
    }
    struct bytes word = bytes_of(rest->data + start, end - start);
    *rest = bytes_of(rest->data + end, rest->size - end);
    return word;
}

static bool
is_word(struct bytes word, const char *text)
{
    return word.size == strlen(text) && memcmp(word.data, text, word.size) == 0;
}

/* What stands in an error line: long ones are cut, and nothing in them reaches a terminal as it is. */
static const char *
shown(struct bytes text)
{
    static _Thread_local char out[100];
    uint32_t size = text.size < sizeof out - 4 ? text.size : sizeof out - 4;
    for (uint32_t i = 0; i < size; i++) {
        out[i] = (char)(text.data[i] < 0x20 || text.data[i] >= 0x7f ? '?' : text.data[i]);
    }
    memcpy(out + size, size < text.size ? "..." : "", size < text.size ? 4 : 1);
    return out;
}

/* Wildcards fill their level, '#' the last one. `$share/` means nothing special here. */
static bool
filter_is_valid(struct bytes filter)
{
    uint32_t levels = 1;
    for (uint32_t i = 0; i < filter.size; i++) {
        uint8_t c = filter.data[i];
        bool starts_level = i == 0 || filter.data[i - 1] == '/';
        bool is_last = i + 1 == filter.size;
        levels += c == '/';
        if ((c == '+' || c == '#') && !(starts_level && (is_last || (c == '+' && filter.data[i + 1] == '/')))) {
            return false;
        }
    }
    return filter.size > 0 && filter.size <= STRING_MAX_BYTES && levels <= TOPIC_LEVELS_MAX && utf8_check(filter);
}

static bool
read_access(struct acl_reader *r, struct bytes word, uint8_t *rule)
{
    static const struct {
        const char *name;
        uint8_t rule;
    } kinds[] = {{"read", ACL_READ}, {"write", ACL_WRITE}, {"readwrite", ACL_READ | ACL_WRITE}, {"deny", ACL_DENY}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (is_word(word, kinds[i].name)) {
            *rule = kinds[i].rule;
            return true;
        }
    }
    return refuse(r, "'%s' is not read, write, readwrite or deny", shown(word));
}

static bool
add_rule(struct acl_reader *r, struct bytes filter, bool pattern, uint8_t rule)
{
    switch (acl_add_rule(r->acl, pattern ? (uint32_t)ACL_PATTERNS : r->list, filter, pattern, rule)) {
    case ACL_DONE: return true;
    case ACL_BAD_CLAIM: return refuse(r, "a claim is written %%{name}, in '%s'", shown(filter));
    default: return refuse(r, "out of memory");
    }
}

static bool
read_rule(struct acl_reader *r, struct bytes rest, bool pattern)
{
    struct bytes word = take_word(&rest);
    struct bytes filter = trim(rest);
    uint8_t rule = ACL_READ | ACL_WRITE;
    if (word.size == 0) {
        return refuse(r, "a topic filter is missing");
    }
    if (filter.size == 0) {
        filter = word;
    } else if (!read_access(r, word, &rule)) {
        return false;
    }
    if (!filter_is_valid(filter)) {
        return refuse(r, "'%s' is not a topic filter", shown(filter));
    }
    return add_rule(r, filter, pattern, rule);
}

static bool
read_user(struct acl_reader *r, struct bytes rest)
{
    struct bytes name = trim(rest);
    if (name.size == 0) {
        return refuse(r, "a user name is missing");
    }
    if (name.size > STRING_MAX_BYTES || !utf8_check(name)) {
        return refuse(r, "no client can have this user name");
    }
    r->list = acl_need_user(r->acl, name);
    return r->list != ACL_NONE || refuse(r, "out of memory");
}

static bool
read_line(struct acl_reader *r, struct bytes line)
{
    if (line.size > 0 && memchr(line.data, '\0', line.size) != NULL) {
        return refuse(r, "a zero byte");
    }
    if (line.size > 0 && line.data[0] == '#') {
        return true;
    }
    while (line.size > 0 && is_blank(line.data[line.size - 1])) {
        line.size--;
    }
    struct bytes word = take_word(&line);
    if (word.size == 0) {
        return true;
    }
    if (is_word(word, "topic") || is_word(word, "pattern")) {
        return read_rule(r, line, word.data[0] == 'p');
    }
    if (is_word(word, "user")) {
        return read_user(r, line);
    }
    return refuse(r, "'%s' is not topic, pattern or user", shown(word));
}

static bool
read_lines(struct acl_reader *r, struct bytes text)
{
    while (text.size > 0) {
        const uint8_t *end = memchr(text.data, '\n', text.size);
        struct bytes line = bytes_of(text.data, end != NULL ? (uint32_t)(end - text.data) : text.size);
        r->line++;
        if (!read_line(r, line)) {
            return false;
        }
        uint32_t taken = line.size + (end != NULL);
        text = bytes_of(text.data + taken, text.size - taken);
    }
    return true;
}

struct acl *
acl_parse(const char *text, size_t size, const char *name, char *error, size_t error_size)
{
    struct acl_reader r = {.acl = acl_new(), .name = name, .list = ACL_ANONYMOUS, .error = error, .error_size = error_size};
    if (r.acl == NULL || size > ACL_FILE_MAX_BYTES) {
        snprintf(error, error_size, "%s: %s", name, r.acl == NULL ? "out of memory" : "too large");
        acl_free(&r.acl);
        return NULL;
    }
    if (!read_lines(&r, bytes_of(text, (uint32_t)size))) {
        acl_free(&r.acl);
        return NULL;
    }
    return r.acl;
}

struct acl *
acl_read(const char *path, char *error, size_t error_size)
{
    FILE *file = fopen(path, "re");
    size_t size;
    char *text = file != NULL ? whole_file_read(file, ACL_FILE_MAX_BYTES + 1, &size) : NULL;
    int failed = errno;
    if (file != NULL) {
        fclose(file);
    }
    if (text == NULL) {
        if (failed == EFBIG) {
            snprintf(error, error_size, "%s: too large", path);
        } else {
            snprintf(error, error_size, "%s: the access list cannot be read: %s", path, strerror(failed));
        }
        return NULL;
    }
    struct acl *acl = acl_parse(text, size, path, error, error_size);
    free(text);
    return acl;
}
