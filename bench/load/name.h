/*
 * name: topics, filters and client identifiers from what the command line gives, with the client's number in them.
 *
 *   %i  the number of the client, from --first on
 *   %c  its client identifier (topics only)
 *   %%  a percent sign
 *
 * Threads  any: no state. Memory  the caller's.
 */
#ifndef TIDEWIRE_BENCH_LOAD_NAME_H
#define TIDEWIRE_BENCH_LOAD_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/load/options.h"

/* NULL, or what is wrong with the template. */
const char *name_check(const char *template, bool may_have_client_id);

/* `number` counts among the clients of a role, `index` among all of the run. Cut off where there is no room. */
void name_write(const char *template, const struct options *o, uint32_t number, uint32_t index, char *out, size_t room);

/* --client-id, or one that no other run uses. */
void name_write_client_id(const struct options *o, uint32_t index, char *out, size_t room);

#endif
