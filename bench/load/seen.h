/*
 * seen: which numbers of a sequence have arrived, when their order says nothing: a bit each, over a span that moves up.
 *
 *   0 ............ base ............................ base + room * 64
 *   all judged     | 1 1 1 0 1 1 0 1 ... 0 0 0 0 |  not yet reached
 *
 * Invariants
 *   N1  base is a multiple of 64; every number below it counts as seen or has been given up.
 *   N2  count is how many numbers were new.
 *
 * Threads  one. Memory  grows with the span between the oldest missing and the newest number; seen_fini frees it.
 * Full     beyond SEEN_SPAN_MAX the oldest missing numbers are given up: they count as duplicates if they still arrive.
 */
#ifndef TIDEWIRE_BENCH_LOAD_SEEN_H
#define TIDEWIRE_BENCH_LOAD_SEEN_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers; 16 MB for a publisher whose first message is lost. */
#define SEEN_SPAN_MAX (UINT64_C(1) << 27)

struct seen {
    uint64_t *words; /* a ring: number n is bit n % 64 of word n / 64 % room */
    uint32_t room;   /* words, a power of two */
    uint64_t base;
    uint64_t count;
};

/* All zero is empty. */
void seen_fini(struct seen *s);

/* True if the number is new. */
bool seen_add(struct seen *s, uint64_t number);

#endif
