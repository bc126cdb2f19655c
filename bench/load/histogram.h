/*
 * histogram: counts of durations, fine enough for percentiles and small enough to keep.
 *
 * Log-linear, as in HdrHistogram: every power of two is cut into 128 equal buckets, so a bucket is never wider than
 * 1/128 of its values (0.8 %), from 0 to the whole of 64 bits, in 58 KiB.
 *
 * Invariants
 *   H1  count is the sum of all buckets.
 *   H2  value <= histogram_bucket_high(histogram_bucket_of(value)), and buckets are ordered as their values.
 *   H3  no bucket outside those of min to max is used.
 *
 * Threads  one owner adds; others may read and merge meanwhile, and then see H1 only to the last few values.
 * Memory   the caller's. Full  cannot happen.
 */
#ifndef TIDEWIRE_BENCH_LOAD_HISTOGRAM_H
#define TIDEWIRE_BENCH_LOAD_HISTOGRAM_H

#include "bench/load/count.h"

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_SUB_COUNT (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BUCKETS ((64u - HISTOGRAM_SUB_BITS + 1u) * HISTOGRAM_SUB_COUNT)

struct histogram {
    _Atomic uint64_t count;
    _Atomic uint64_t sum;
    _Atomic uint64_t min; /* UINT64_MAX while empty */
    _Atomic uint64_t max;
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_init(struct histogram *h);

static inline uint32_t
histogram_bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_SUB_COUNT) {
        return (uint32_t)value;
    }
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (shift << HISTOGRAM_SUB_BITS) + (uint32_t)(value >> shift);
}

/* The largest value that falls into this bucket. */
uint64_t histogram_bucket_high(uint32_t bucket);

void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/*
 * What came to `now` since `before` was a copy of it, into `out`: the values of one interval. Smallest and largest are known to the
 * accuracy of a bucket only.
 */
void histogram_subtract(struct histogram *out, const struct histogram *now, const struct histogram *before);

/* The value that a share `q` (0 to 1) of all values does not exceed, to the accuracy of a bucket; 0 if empty. */
uint64_t histogram_get_quantile(const struct histogram *h, double q);
double histogram_get_mean(const struct histogram *h);

#endif
