/*
 * search: a match in the filter index without the cache in front of it, for the match benchmark. C, as it reaches into the router.
 *
 * Threads  one. Memory  borrows the index.
 */
#ifndef TIDEWIRE_BENCH_MICRO_SEARCH_H
#define TIDEWIRE_BENCH_MICRO_SEARCH_H

#include "codec/bytes.h"

struct filter_index;
struct search_run;

/* As shard 0. NULL when out of memory. */
struct search_run *search_open(const struct filter_index *index);
/* Hashes the topic and searches, as a miss of the cache does; returns how many filters match. */
uint32_t search_topic(struct search_run *run, struct bytes topic);
void search_close(struct search_run **run);

#endif
