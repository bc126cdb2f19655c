/*
 * json: writes the pieces of a JSON object, comma first: open with a first member, then json_...(), then close by hand.
 *
 * Threads  any: no state.
 */
#ifndef TIDEWIRE_BENCH_LOAD_JSON_H
#define TIDEWIRE_BENCH_LOAD_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* The text in quotes, with everything escaped that has to be. Bytes that are no UTF-8 go through as they are. */
void json_write_string(FILE *out, const char *text);

void json_string(FILE *out, const char *name, const char *text);
void json_integer(FILE *out, const char *name, uint64_t value);
void json_bool(FILE *out, const char *name, bool value);

/* A number, or null where it could not be measured: 0 would be read as a result. */
void json_number(FILE *out, const char *name, bool known, double value);

#endif
