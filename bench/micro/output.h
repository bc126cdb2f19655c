/*
 * output: connections that only collect output, for the output benchmark. C, as it reaches into the engine.
 *
 * Threads  one.
 */
#ifndef TIDEWIRE_BENCH_MICRO_OUTPUT_H
#define TIDEWIRE_BENCH_MICRO_OUTPUT_H

#include "codec/bytes.h"

struct output;

/* NULL when out of memory. */
struct output *output_open(uint32_t connection_count);
/* Appends a packet to one connection; false when out of memory. */
bool output_put(struct output *output, uint32_t connection, struct bytes packet);
/* The end of a turn: what all connections hold has been sent. Returns how many bytes that was. */
uint64_t output_sent(struct output *output);
void output_close(struct output **output);

#endif
