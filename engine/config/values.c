#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "codec/bytes.h"
#include "engine/config/parser.h"

char *
value_next_word(char **value)
{
    char *word = *value + strspn(*value, " ");
    if (*word == '\0') {
        *value = word;
        return NULL;
    }
    char *end = word + strcspn(word, " ");
    *value = end;
    if (*end != '\0') {
        *end = '\0';
        *value = end + 1;
    }
    return word;
}

/* The one word that a switch or a number is. Mosquitto drops what follows; we say so unless it looks like a comment. */
static char *
only_word(struct parser *parser, const struct option *option, char *value)
{
    char *word = value_next_word(&value);
    if (word == NULL) {
        parser_refuse(parser, "option '%s' needs a value", option->name);
        return NULL;
    }
    char *rest = value_next_word(&value);
    if (rest != NULL && rest[0] != '#') {
        parser_warn(parser, "option '%s': '%s' after the value is ignored", option->name, rest);
    }
    return word;
}

bool
value_read_bool(struct parser *parser, const struct option *option, char *value, bool *out)
{
    const char *word = only_word(parser, option, value);
    if (word == NULL) {
        return false;
    }
    if (strcmp(word, "true") == 0 || strcmp(word, "1") == 0) {
        *out = true;
        return true;
    }
    if (strcmp(word, "false") == 0 || strcmp(word, "0") == 0) {
        *out = false;
        return true;
    }
    return parser_refuse(parser, "option '%s' is true or false, not '%s'", option->name, word);
}

bool
value_read_number(struct parser *parser, const struct option *option, char *value, int64_t min, int64_t max, int64_t *out)
{
    const char *word = only_word(parser, option, value);
    if (word == NULL) {
        return false;
    }

    char *end;
    errno = 0;
    long long number = strtoll(word, &end, 0); /* base 0 as Mosquitto: 0x and a leading 0 mean what they do in C */
    if (end == word || *end != '\0') {
        return parser_refuse(parser, "option '%s' needs a number, not '%s'", option->name, word);
    }
    if (errno == 0 && number < 0 && (option->flags & OPTION_NEGATIVE_IS_ZERO)) {
        number = 0;
    }
    if ((errno == ERANGE || number > max) && number > 0 && (option->flags & OPTION_CAPPED)) {
        parser_warn(parser, "option '%s': %s is taken as %" PRId64 ", the most that there can be", option->name, word, max);
        *out = max;
        return true;
    }
    if (errno == ERANGE || number < min || number > max) {
        return parser_refuse(parser, "option '%s': %s is not between %" PRId64 " and %" PRId64, option->name, word, min, max);
    }
    *out = number;
    return true;
}

/* The buckets' waits are whole milliseconds: a burst of less than some of them would never let the rate through. */
#define BURSTS_PER_SECOND_MAX 100

bool
value_read_rate(struct parser *parser, const struct option *option, char *value, struct config_rate *out)
{
    char *rate_word = value_next_word(&value);
    if (rate_word == NULL) {
        return parser_refuse(parser, "option '%s' needs a number a second, and may have a burst after it", option->name);
    }
    int64_t rate, burst = 0;
    if (!value_read_number(parser, option, rate_word, 0, option->max, &rate)) {
        return false;
    }
    int64_t burst_min = (rate + BURSTS_PER_SECOND_MAX - 1) / BURSTS_PER_SECOND_MAX;
    while (*value == ' ') {
        value++;
    }
    bool given = *value != '\0' && *value != '#';
    if (given && !value_read_number(parser, option, value, burst_min > 1 ? burst_min : 1, option->max, &burst)) {
        return false;
    }
    *out = (struct config_rate){.per_second = (uint32_t)rate, .burst = (uint32_t)(given ? burst : rate)};
    return true;
}

bool
value_read_string(struct parser *parser, const struct option *option, char *value, char **out)
{
    while (isspace((unsigned char)*value)) {
        value++;
    }
    size_t size = strlen(value);
    while (size > 0 && isspace((unsigned char)value[size - 1])) {
        size--;
    }
    value[size] = '\0';

    if (size == 0) {
        return parser_refuse(parser, "option '%s' needs a value", option->name);
    }
    if (size > UINT16_MAX) {
        return parser_refuse(parser, "option '%s': the value is longer than 65535 bytes", option->name);
    }
    if (!utf8_check(bytes_of(value, (uint32_t)size))) {
        return parser_refuse(parser, "option '%s': the value is not UTF-8", option->name);
    }
    char *copy = strdup(value);
    if (copy == NULL) {
        return parser_refuse(parser, "out of memory");
    }
    free(*out);
    *out = copy;
    return true;
}

/* Mosquitto's units; its month has 30 days and its year 365. */
static int64_t
unit_seconds(char unit)
{
    switch (unit) {
    case 's': return 1;
    case 'h': return 3600;
    case 'd': return 86400;
    case 'w': return 7 * 86400;
    case 'm': return 30 * 86400;
    case 'y': return 365 * 86400;
    default: return 0;
    }
}

bool
value_read_duration(struct parser *parser, const struct option *option, char *value, uint32_t *out)
{
    const char *word = only_word(parser, option, value);
    if (word == NULL) {
        return false;
    }
    if (strcmp(word, "never") == 0) {
        *out = 0;
        return true;
    }

    char *end;
    errno = 0;
    long long count = strtoll(word, &end, 10);
    int64_t unit = end == word ? 0 : unit_seconds(*end);
    if (unit == 0 || end[1] != '\0' || count <= 0) {
        return parser_refuse(parser, "option '%s' needs a number and one of s, h, d, w, m, y (as 14d or 2m), or never, not '%s'", option->name,
                             word);
    }
    /* UINT32_MAX seconds mean 'never' to MQTT 5. */
    if (errno == ERANGE || count > (UINT32_MAX - 1) / unit) {
        return parser_refuse(parser, "option '%s': %s is more than 136 years", option->name, word);
    }
    *out = (uint32_t)(count * unit);
    return true;
}
