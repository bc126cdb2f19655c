#include "bench/load/histogram.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

void
histogram_init(struct histogram *h)
{
    memset(h, 0, sizeof *h);
    count_set(&h->min, UINT64_MAX);
}

uint64_t
histogram_bucket_high(uint32_t bucket)
{
    assert(bucket < HISTOGRAM_BUCKETS);
    if (bucket < HISTOGRAM_SUB_COUNT) {
        return bucket;
    }
    uint32_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t top = bucket - (shift << HISTOGRAM_SUB_BITS);
    /* The very last bucket ends at 2^64 - 1: the shift drops the carry and the subtraction wraps to it, as wanted. */
    return ((top + 1) << shift) - 1;
}

static void
widen(struct histogram *h, uint64_t low, uint64_t high)
{
    if (low < count_get(&h->min)) {
        count_set(&h->min, low);
    }
    if (high > count_get(&h->max)) {
        count_set(&h->max, high);
    }
}

void
histogram_add(struct histogram *h, uint64_t value)
{
    count_add(&h->buckets[histogram_bucket_of(value)], 1);
    count_add(&h->count, 1);
    count_add(&h->sum, value);
    widen(h, value, value);
}

/* Buckets from the smallest to the largest value; most of them are never used. Empty: end is 0. */
static void
get_range(const struct histogram *h, uint32_t *first, uint32_t *end)
{
    uint64_t min = count_get(&h->min), max = count_get(&h->max);
    bool empty = min > max;

    *first = empty ? 0 : histogram_bucket_of(min);
    *end = empty ? 0 : histogram_bucket_of(max) + 1;
}

void
histogram_merge(struct histogram *into, const struct histogram *from)
{
    uint64_t count = 0;
    uint32_t first, end;

    get_range(from, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        uint64_t n = count_get(&from->buckets[i]);
        count += n;
        count_add(&into->buckets[i], n);
    }
    /* Not from->count: its owner may have added meanwhile, and H1 has to hold here. */
    count_add(&into->count, count);
    count_add(&into->sum, count_get(&from->sum));
    widen(into, count_get(&from->min), count_get(&from->max));
}

void
histogram_subtract(struct histogram *out, const struct histogram *now, const struct histogram *before)
{
    uint32_t first, end;

    histogram_init(out);
    get_range(now, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        uint64_t n = count_get(&now->buckets[i]) - count_get(&before->buckets[i]);
        if (n > 0) {
            count_set(&out->buckets[i], n);
            count_add(&out->count, n);
            widen(out, histogram_bucket_high(i), histogram_bucket_high(i));
        }
    }
    count_set(&out->sum, count_get(&now->sum) - count_get(&before->sum));
}

uint64_t
histogram_get_quantile(const struct histogram *h, double q)
{
    uint64_t count = count_get(&h->count);
    if (count == 0) {
        return 0;
    }
    uint64_t rank = (uint64_t)ceil(q * (double)count);
    rank = rank < 1 ? 1 : rank > count ? count : rank;

    uint64_t seen = 0;
    uint32_t first, end;
    get_range(h, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        seen += count_get(&h->buckets[i]);
        if (seen >= rank) {
            /* Never claim more than was measured. */
            uint64_t high = histogram_bucket_high(i);
            return high < count_get(&h->max) ? high : count_get(&h->max);
        }
    }
    assert(!"H1: the buckets hold fewer values than were counted");
    return 0;
}

double
histogram_get_mean(const struct histogram *h)
{
    return count_get(&h->count) == 0 ? 0.0 : (double)count_get(&h->sum) / (double)count_get(&h->count);
}
