#include "alloc/budget.h"

#include <assert.h>
#include <string.h>

void
budget_set_limit(struct budget *budget, uint64_t limit_bytes)
{
    atomic_store_explicit(&budget->limit_bytes, limit_bytes, memory_order_relaxed);
}

void
budget_init(struct budget *budget, unsigned account_count, uint64_t limit_bytes)
{
    assert(account_count >= 1 && account_count <= BUDGET_SHARDS_MAX);

    memset(budget, 0, sizeof *budget);
    budget->account_count = account_count;
    budget_set_limit(budget, limit_bytes);
}

static uint64_t
percent_of(uint64_t bytes, unsigned percent)
{
    return bytes / 100 * percent + bytes % 100 * percent / 100;
}

enum budget_level
budget_settle(struct budget *budget, unsigned shard)
{
    assert(shard < budget->account_count);

    struct budget_account *account = &budget->accounts[shard];
    atomic_store_explicit(&account->shown, account->bytes, memory_order_relaxed);

    uint64_t limit = atomic_load_explicit(&budget->limit_bytes, memory_order_relaxed);
    if (limit == 0) {
        return BUDGET_FREE;
    }
    uint64_t total = budget_total(budget);
    if (total >= limit) {
        return BUDGET_FULL;
    }
    if (total >= percent_of(limit, 97)) {
        return BUDGET_REFUSE;
    }
    if (total >= percent_of(limit, 90)) {
        return BUDGET_DROP_QOS0;
    }
    return total >= percent_of(limit, 80) ? BUDGET_HOLD_PUBLISHERS : BUDGET_FREE;
}

uint64_t
budget_total(const struct budget *budget)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < budget->account_count; i++) {
        sum += atomic_load_explicit(&budget->accounts[i].shown, memory_order_relaxed);
    }
    /* One account may be refunded what another was charged; read at different moments, the sum can dip below zero. */
    return sum > 0 ? (uint64_t)sum : 0;
}
