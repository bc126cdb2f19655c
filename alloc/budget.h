/*
 * budget: how much memory peers have caused the broker to hold, against one limit for the whole process.
 *
 * Each shard counts its own bytes in a plain number and shows it to the others once per turn; each shard then sums all of them. So the sum is
 * a turn old and no cache line is contended. A shard that charges much within one turn settles again (engine/shard.h).
 *
 * Threads  budget_charge/budget_refund/budget_settle: the shard that owns the account. budget_total: any.
 */
#ifndef TIDEWIRE_ALLOC_BUDGET_H
#define TIDEWIRE_ALLOC_BUDGET_H

#include <stdatomic.h>
#include <stdint.h>

#define BUDGET_SHARDS_MAX 64

/* How near the limit we are; each level includes the ones before it. */
enum budget_level {
    BUDGET_FREE,
    BUDGET_HOLD_PUBLISHERS, /* from 80 %: stop reading from those who publish */
    BUDGET_DROP_QOS0,       /* from 90 %: drop QoS 0 deliveries that would have to wait */
    BUDGET_REFUSE,          /* from 97 %: new connections, subscriptions, retained and queued messages get Quota exceeded */
    BUDGET_FULL,            /* from 100 %: QoS 0 goes out only if it is small, to connections that hold nothing yet */
};

struct budget_account {
    int64_t bytes;                     /* the owner's running sum */
    _Alignas(64) _Atomic int64_t shown; /* as of the owner's last settle */
};

struct budget {
    _Atomic uint64_t limit_bytes; /* 0: none */
    unsigned account_count;
    struct budget_account accounts[BUDGET_SHARDS_MAX];
};

void budget_init(struct budget *budget, unsigned account_count, uint64_t limit_bytes);

static inline void
budget_charge(struct budget_account *account, uint64_t bytes)
{
    account->bytes += (int64_t)bytes;
}

static inline void
budget_refund(struct budget_account *account, uint64_t bytes)
{
    account->bytes -= (int64_t)bytes;
}

/* Any thread; shards see it at their next settle. */
void budget_set_limit(struct budget *budget, uint64_t limit_bytes);

/* Shows this shard's sum and returns the process's level. Once per turn, or more often. */
enum budget_level budget_settle(struct budget *budget, unsigned shard);
uint64_t budget_total(const struct budget *budget);

#endif
