#include "engine/limits/rate.h"

#include <assert.h>

#define SECOND_NS UINT64_C(1000000000)
/* 2^33 tokens at one a second still fit into 64 bits of nanoseconds. */
#define COUNT_MAX (UINT64_C(1) << 33)

static uint64_t
time_of(const struct rate_rule *rule, uint64_t count)
{
    assert(count < COUNT_MAX);
    return count * SECOND_NS / rule->per_second;
}

/* When the bucket is full again once `count` more are taken. */
static uint64_t
full_after(uint64_t full_ns, const struct rate_rule *rule, uint64_t now_ns, uint64_t count)
{
    return (full_ns > now_ns ? full_ns : now_ns) + time_of(rule, count);
}

static uint64_t
debt_of(uint64_t full_ns, const struct rate_rule *rule, uint64_t now_ns)
{
    uint64_t paid_ns = now_ns + time_of(rule, rule->burst);
    return full_ns > paid_ns ? full_ns - paid_ns : 0;
}

bool
rate_take(struct rate_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns, uint64_t count)
{
    if (!rate_is_limited(rule)) {
        return true;
    }
    uint64_t full_ns = full_after(bucket->full_ns, rule, now_ns, count);
    if (debt_of(full_ns, rule, now_ns) > 0) {
        return false;
    }
    bucket->full_ns = full_ns;
    return true;
}

uint64_t
rate_charge(struct rate_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns, uint64_t count)
{
    if (!rate_is_limited(rule)) {
        return 0;
    }
    bucket->full_ns = full_after(bucket->full_ns, rule, now_ns, count);
    return debt_of(bucket->full_ns, rule, now_ns);
}

/* Relaxed: the number is all there is, nothing else is published with it. */
bool
rate_take_shared(struct rate_shared_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns, uint64_t count)
{
    if (!rate_is_limited(rule)) {
        return true;
    }
    uint64_t seen_ns = atomic_load_explicit(&bucket->full_ns, memory_order_relaxed);
    uint64_t full_ns;
    do {
        full_ns = full_after(seen_ns, rule, now_ns, count);
        if (debt_of(full_ns, rule, now_ns) > 0) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&bucket->full_ns, &seen_ns, full_ns, memory_order_relaxed, memory_order_relaxed));
    return true;
}

uint64_t
rate_charge_shared(struct rate_shared_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns, uint64_t count, uint64_t debt_max_ns)
{
    if (!rate_is_limited(rule)) {
        return 0;
    }
    uint64_t most_ns = now_ns + time_of(rule, rule->burst) + debt_max_ns;
    uint64_t seen_ns = atomic_load_explicit(&bucket->full_ns, memory_order_relaxed);
    uint64_t full_ns;
    do {
        full_ns = full_after(seen_ns < most_ns ? seen_ns : most_ns, rule, now_ns, count);
    } while (!atomic_compare_exchange_weak_explicit(&bucket->full_ns, &seen_ns, full_ns, memory_order_relaxed, memory_order_relaxed));
    return debt_of(full_ns, rule, now_ns);
}

uint64_t
rate_debt_shared(const struct rate_shared_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns)
{
    return rate_is_limited(rule) ? debt_of(atomic_load_explicit(&bucket->full_ns, memory_order_relaxed), rule, now_ns) : 0;
}
