/*
 * rate: so many a second, with a burst: a token bucket.
 *
 * A bucket is one number, the time at which it is full again; a token taken moves that time by one interval. So a bucket that nobody touches needs no care, and one that
 * several threads share is one atomic.
 *
 *        full ──┐ burst tokens
 *   now ───────►│◄── the bucket is full again: what lies between costs tokens that are taken already
 *
 * Invariants
 *   Q1  in any time of T seconds at most burst + T * per_second tokens go without waiting.
 *   Q2  tokens are never lost: a wait that is rounded up by its caller gives what it brought to the next one (up to the burst).
 *
 * Threads  rate_take, rate_charge: the bucket's owner. The _shared ones: any.
 */
#ifndef TIDEWIRE_ENGINE_LIMITS_RATE_H
#define TIDEWIRE_ENGINE_LIMITS_RATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct rate_rule {
    uint32_t per_second; /* 0: no limit */
    uint32_t burst;      /* > 0 */
};

/* Nanoseconds; zeroed: full. */
struct rate_bucket {
    uint64_t full_ns;
};

struct rate_shared_bucket {
    _Atomic uint64_t full_ns;
};

static inline bool
rate_is_limited(const struct rate_rule *rule)
{
    return rule->per_second != 0;
}

/* Takes `count` tokens (below 2^33) if they are all there; else none, and false. */
bool rate_take(struct rate_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns, uint64_t count);
bool rate_take_shared(struct rate_shared_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns, uint64_t count);

/* Takes them, on credit if need be. Returns after how many nanoseconds the debt is paid; 0: there is none. */
uint64_t rate_charge(struct rate_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns, uint64_t count);
/*
 * The same; of a debt that is there already more than `debt_max_ns` is forgotten, so that nobody piles up one that all have to wait for. Q1 holds for those who take nothing
 * while rate_debt_shared() is that large.
 */
uint64_t rate_charge_shared(struct rate_shared_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns, uint64_t count, uint64_t debt_max_ns);
/* After how many nanoseconds the debt is paid. */
uint64_t rate_debt_shared(const struct rate_shared_bucket *bucket, const struct rate_rule *rule, uint64_t now_ns);

#endif
