/*
 * topic: topic_name_check, topic_filter_parse and topic_match against slow twins that follow the words of MQTT5 4.7 and 4.8.
 * The first byte is the most levels allowed, the second the size of the filter; the name is what follows the filter.
 */
#include <stdlib.h>

#include "codec/topic.h"

#define TEXT_SIZE_MAX 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* MQTT5 1.5.4, character by character as numbers. */
static bool
slow_is_utf8(struct bytes b)
{
    uint32_t at = 0;
    while (at < b.size) {
        uint32_t first = b.data[at], more, code, least;
        if (first < 0x80) {
            more = 0, code = first, least = 1;
        } else if (first >= 0xc0 && first < 0xe0) {
            more = 1, code = first - 0xc0, least = 0x80;
        } else if (first >= 0xe0 && first < 0xf0) {
            more = 2, code = first - 0xe0, least = 0x800;
        } else if (first >= 0xf0 && first < 0xf8) {
            more = 3, code = first - 0xf0, least = 0x10000;
        } else {
            return false;
        }
        for (at++; more > 0; more--, at++) {
            if (at == b.size || b.data[at] < 0x80 || b.data[at] > 0xbf) {
                return false;
            }
            code = code * 64 + b.data[at] - 0x80;
        }
        if (code < least || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
            return false;
        }
    }
    return true;
}

/* A text cut at its slashes: there is always one level, maybe an empty one. */
struct levels {
    uint32_t count;
    struct bytes at[TEXT_SIZE_MAX + 1];
};

static void
slow_split(struct bytes text, struct levels *out)
{
    uint32_t start = 0;
    out->count = 0;
    for (uint32_t i = 0; i <= text.size; i++) {
        if (i == text.size || text.data[i] == '/') {
            out->at[out->count++] = bytes_of(text.data + start, i - start);
            start = i + 1;
        }
    }
}

static bool
slow_contains(struct bytes b, char c)
{
    for (uint32_t i = 0; i < b.size; i++) {
        if (b.data[i] == (uint8_t)c) {
            return true;
        }
    }
    return false;
}

static bool
slow_is(struct bytes b, const char *text)
{
    return b.size == strlen(text) && strncmp((const char *)b.data, text, b.size) == 0;
}

static bool
slow_name_check(struct bytes name, uint32_t levels_max)
{
    static struct levels levels;
    slow_split(name, &levels);
    return name.size > 0 && slow_is_utf8(name) && !slow_contains(name, '\0') && !slow_contains(name, '+') &&
           !slow_contains(name, '#') && levels.count <= levels_max;
}

/* Wildcards of levels `first` and on stand where they may. */
static bool
slow_wildcards_are_placed(const struct levels *levels, uint32_t first)
{
    for (uint32_t i = first; i < levels->count; i++) {
        struct bytes level = levels->at[i];
        if (slow_contains(level, '+') && !slow_is(level, "+")) {
            return false;
        }
        if (slow_contains(level, '#') && !(slow_is(level, "#") && i + 1 == levels->count)) {
            return false;
        }
    }
    return true;
}

static bool
slow_filter_parse(struct bytes text, uint32_t levels_max, struct topic_filter *out)
{
    static struct levels levels;
    if (text.size == 0 || !slow_is_utf8(text) || slow_contains(text, '\0')) {
        return false;
    }
    slow_split(text, &levels);
    *out = (struct topic_filter){.filter = text};

    uint32_t first = 0;
    if (levels.count > 1 && slow_is(levels.at[0], "$share")) {
        first = 2;
        out->shared = true;
        out->group = levels.at[1];
        if (levels.count == 2 || out->group.size == 0 || slow_contains(out->group, '+') || slow_contains(out->group, '#')) {
            return false;
        }
        const uint8_t *start = levels.at[2].data;
        out->filter = bytes_of(start, (uint32_t)(text.data + text.size - start));
    }
    out->levels = levels.count - first;
    out->wildcard = slow_contains(out->filter, '+') || slow_contains(out->filter, '#');
    return out->filter.size > 0 && out->levels <= levels_max && slow_wildcards_are_placed(&levels, first);
}

/* Levels `f` and on of the filter match levels `n` and on of the name. */
static bool
slow_match_from(const struct levels *filter, uint32_t f, const struct levels *name, uint32_t n)
{
    if (f == filter->count) {
        return n == name->count;
    }
    if (slow_is(filter->at[f], "#")) {
        return true;
    }
    return n < name->count && (slow_is(filter->at[f], "+") || bytes_equal(filter->at[f], name->at[n])) &&
           slow_match_from(filter, f + 1, name, n + 1);
}

static bool
slow_match(struct bytes filter, struct bytes name)
{
    static struct levels f, n;
    if (slow_contains(bytes_of(name.data, 1), '$') &&
        (slow_contains(bytes_of(filter.data, 1), '+') || slow_contains(bytes_of(filter.data, 1), '#'))) {
        return false;
    }
    slow_split(filter, &f);
    slow_split(name, &n);
    return slow_match_from(&f, 0, &n, 0);
}

static void
check_filter_and_name(struct bytes text, struct bytes name, uint32_t levels_max)
{
    struct topic_filter parsed, slow;
    bool name_is_valid = topic_name_check(name, levels_max);
    bool filter_is_valid = topic_filter_parse(text, levels_max, &parsed);
    require(name_is_valid == slow_name_check(name, levels_max));
    require(filter_is_valid == slow_filter_parse(text, levels_max, &slow));
    if (!filter_is_valid) {
        return;
    }
    require(parsed.shared == slow.shared && parsed.wildcard == slow.wildcard && parsed.levels == slow.levels);
    require(bytes_equal(parsed.group, slow.group) && bytes_equal(parsed.filter, slow.filter));
    if (name_is_valid) {
        require(topic_match(parsed.filter, name) == slow_match(parsed.filter, name));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > TEXT_SIZE_MAX) {
        return 0;
    }
    uint32_t levels_max = data[0];
    uint32_t left = (uint32_t)size - 2;
    uint32_t filter_size = data[1] < left ? data[1] : left;
    check_filter_and_name(bytes_of(data + 2, filter_size), bytes_of(data + 2 + filter_size, left - filter_size), levels_max);
    return 0;
}
