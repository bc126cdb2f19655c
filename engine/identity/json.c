#include "engine/identity/json.h"

static bool
is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Past the string that starts at `at` (its quote); 0 if it does not end, or holds what is not allowed in it. */
static uint32_t
skip_string(struct bytes text, uint32_t at)
{
    for (at++; at < text.size; at++) {
        uint8_t c = text.data[at];
        if (c == '"') {
            return at + 1;
        }
        if (c < 0x20) {
            return 0;
        }
        if (c != '\\') {
            continue;
        }
        if (text.size - at > 5 && memcmp(text.data + at, "\\u0000", 6) == 0) {
            return 0;
        }
        at++; /* whatever it is, it ends no string */
    }
    return 0;
}

/* Looks at the outline alone, so that cJSON never sees what would be too much for it. Its own grammar is laxer than JSON's about control characters. */
static bool
within_bounds(struct bytes text, uint32_t values_max)
{
    uint32_t depth = 0, values = 0;
    for (uint32_t at = 0; at < text.size;) {
        uint8_t c = text.data[at];
        if (c == '"') {
            at = skip_string(text, at);
            if (at == 0) {
                return false;
            }
            continue;
        }
        if (c < 0x20 && !is_space(c)) {
            return false;
        }
        depth += c == '{' || c == '[';
        values += c == '{' || c == '[' || c == ',';
        if (depth > JSON_DEPTH_MAX || values > values_max) {
            return false;
        }
        depth -= (c == '}' || c == ']') && depth > 0;
        at++;
    }
    return utf8_check(text);
}

static bool
names_differ(const cJSON *container)
{
    for (const cJSON *a = container->child; a != NULL; a = a->next) {
        for (const cJSON *b = container->child; cJSON_IsObject(container) && b != a; b = b->next) {
            if (strcmp(a->string, b->string) == 0) {
                return false;
            }
        }
        if (a->child != NULL && !names_differ(a)) {
            return false;
        }
    }
    return true;
}

static bool
only_space(const char *at, const char *end)
{
    while (at < end && is_space((uint8_t)*at)) {
        at++;
    }
    return at == end;
}

cJSON *
json_read(struct bytes text, uint32_t values_max)
{
    if (text.size == 0 || !within_bounds(text, values_max)) {
        return NULL;
    }
    const char *end = NULL;
    cJSON *value = cJSON_ParseWithLengthOpts((const char *)text.data, text.size, &end, false);
    if (value == NULL) {
        return NULL;
    }
    if (!cJSON_IsObject(value) || !only_space(end, (const char *)text.data + text.size) || !names_differ(value)) {
        cJSON_Delete(value);
        return NULL;
    }
    return value;
}

const cJSON *
json_member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

bool
json_text(const cJSON *value, struct bytes *out)
{
    if (!cJSON_IsString(value)) {
        return false;
    }
    *out = bytes_of(value->valuestring, (uint32_t)strlen(value->valuestring));
    return true;
}
