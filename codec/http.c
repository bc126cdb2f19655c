#include "codec/http.h"

static bool
is_token_character(uint8_t c)
{
    bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
    return letter || (c >= '0' && c <= '9') || (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_space(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct bytes
trimmed(struct bytes b)
{
    while (b.size > 0 && is_space(b.data[0])) {
        b = bytes_of(b.data + 1, b.size - 1);
    }
    while (b.size > 0 && is_space(b.data[b.size - 1])) {
        b.size--;
    }
    return b;
}

/* Cuts `*rest` at `at`, and drops `skip` bytes there. */
static struct bytes
cut(struct bytes *rest, uint32_t at, uint32_t skip)
{
    struct bytes head = bytes_of(rest->data, at);
    *rest = bytes_of(rest->data + at + skip, rest->size - at - skip);
    return head;
}

/* Cuts at the first `c`, which is dropped. False: there is none. */
static bool
cut_at(struct bytes *rest, char c, struct bytes *head)
{
    const uint8_t *at = rest->size > 0 ? memchr(rest->data, c, rest->size) : NULL;
    if (at == NULL) {
        return false;
    }
    *head = cut(rest, (uint32_t)(at - rest->data), 1);
    return true;
}

bool
http_next_line(struct bytes *header, struct bytes *line)
{
    const uint8_t *end = header->size < 2 ? NULL : memmem(header->data, header->size, "\r\n", 2);
    if (end == NULL) {
        return false;
    }
    *line = cut(header, (uint32_t)(end - header->data), 2);
    return true;
}

bool
http_split_request_line(struct bytes line, struct bytes *method, struct bytes *target, struct bytes *version)
{
    *version = line;
    if (!cut_at(version, ' ', method) || !cut_at(version, ' ', target) || target->size == 0) {
        return false;
    }
    for (uint32_t i = 0; i < line.size; i++) {
        if (line.data[i] < ' ' || line.data[i] >= 0x7f) {
            return false;
        }
    }
    return version->size > 0 && memchr(version->data, ' ', version->size) == NULL;
}

bool
http_split_field(struct bytes line, struct http_field *field)
{
    struct bytes value = line;
    if (!cut_at(&value, ':', &field->name) || field->name.size == 0) {
        return false;
    }
    for (uint32_t i = 0; i < field->name.size; i++) {
        if (!is_token_character(field->name.data[i])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    field->value = trimmed(value);
    return true;
}

/* What comes after a quoted value and the spaces behind it. */
static bool
ends_value(struct bytes list, uint32_t at)
{
    while (at < list.size && (list.data[at] == ' ' || list.data[at] == '\t')) {
        at++;
    }
    return at == list.size || list.data[at] == ',' || list.data[at] == ';';
}

bool
http_quotes_are_sound(struct bytes list)
{
    bool quoted = false;
    for (uint32_t i = 0; i < list.size; i++) {
        if (quoted && list.data[i] == '\\') {
            i++;
        } else if (list.data[i] == '"') {
            if (quoted ? !ends_value(list, i + 1) : i == 0 || list.data[i - 1] != '=') {
                return false;
            }
            quoted = !quoted;
        }
    }
    return !quoted;
}

/* Where the first `c` is, outside of quotes if there may be any; the size if there is none. */
static uint32_t
find(struct bytes text, char c, bool quotes)
{
    bool quoted = false;
    for (uint32_t i = 0; i < text.size; i++) {
        if (quotes && text.data[i] == '"') {
            quoted = !quoted;
        } else if (quoted && text.data[i] == '\\') {
            i++;
        } else if (!quoted && text.data[i] == (uint8_t)c) {
            return i;
        }
    }
    return text.size;
}

/* The next part up to a `c`, without the spaces around it; empty ones are left out. False at the end. */
static bool
next_part(struct bytes *rest, char c, bool quotes, struct bytes *part)
{
    while (rest->size > 0) {
        uint32_t at = find(*rest, c, quotes);
        *part = trimmed(cut(rest, at, at < rest->size));
        if (part->size > 0) {
            return true;
        }
    }
    return false;
}

bool
http_next_item(struct bytes *list, struct bytes *item)
{
    return next_part(list, ',', false, item);
}

bool
http_next_element(struct bytes *list, struct bytes *element)
{
    return next_part(list, ',', true, element);
}

struct bytes
http_parameter(struct bytes element, const char *name)
{
    struct bytes pair;
    while (next_part(&element, ';', true, &pair)) {
        struct bytes key;
        if (!cut_at(&pair, '=', &key) || !http_same(trimmed(key), name)) {
            continue;
        }
        struct bytes value = trimmed(pair);
        bool quoted = value.size >= 2 && value.data[0] == '"' && value.data[value.size - 1] == '"';
        return quoted ? bytes_of(value.data + 1, value.size - 2) : value;
    }
    return bytes_of(NULL, 0);
}

bool
http_is(struct bytes b, const char *text)
{
    return bytes_equal(b, bytes_of(text, (uint32_t)strlen(text)));
}

bool
http_same(struct bytes b, const char *text)
{
    if (b.size != strlen(text)) {
        return false;
    }
    for (uint32_t i = 0; i < b.size; i++) {
        uint8_t c = b.data[i];
        if ((c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c) != (uint8_t)text[i]) {
            return false;
        }
    }
    return true;
}

bool
http_has_token(struct bytes list, const char *token)
{
    struct bytes item;
    while (http_next_item(&list, &item)) {
        if (http_same(item, token)) {
            return true;
        }
    }
    return false;
}
