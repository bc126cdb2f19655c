/*
 * json: reads what strangers wrote in JSON (RFC 8259) with bounds, for tokens and the answers of an HTTP hook. Parsed by cJSON, guarded here.
 *
 * Beyond JSON's grammar a text is refused for: more than JSON_DEPTH_MAX levels, more than the given number of values, a name that comes twice in an object (two
 * readers would see two things), U+0000 in a string (cJSON's strings end there), control characters, and ill-formed UTF-8.
 *
 * Threads  any. Memory  what json_read returns is the caller's: cJSON_Delete(). The rest is borrowed from it.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_JSON_H
#define TIDEWIRE_ENGINE_IDENTITY_JSON_H

#include "codec/bytes.h"

#include <cjson/cJSON.h>

/* Levels of objects and arrays; each costs a stack frame of cJSON. */
#define JSON_DEPTH_MAX 16

/* The object that `text` holds, with nothing after it; NULL if it is anything else or out of bounds. `values_max`: members and elements in all of it. */
cJSON *json_read(struct bytes text, uint32_t values_max);

/* A member by its exact name; NULL if there is none. */
const cJSON *json_member(const cJSON *object, const char *name);
/* The string that a value is; false for NULL and for what is no string. */
bool json_text(const cJSON *value, struct bytes *out);

#endif
