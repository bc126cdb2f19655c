/*
 * count: counters that one thread writes and others read while it runs.
 *
 * Relaxed, because a reader wants a recent value of each and no order between them; with one writer, adding costs what it costs on a
 * plain variable. Who needs more order takes it from elsewhere (board.h: an order that every worker has taken).
 */
#ifndef TIDEWIRE_BENCH_LOAD_COUNT_H
#define TIDEWIRE_BENCH_LOAD_COUNT_H

#include <stdatomic.h>
#include <stdint.h>

static inline uint64_t
count_get(const _Atomic uint64_t *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

static inline void
count_set(_Atomic uint64_t *c, uint64_t value)
{
    atomic_store_explicit(c, value, memory_order_relaxed);
}

static inline void
count_add(_Atomic uint64_t *c, uint64_t n)
{
    count_set(c, count_get(c) + n);
}

static inline void
count_take(_Atomic uint64_t *c, uint64_t n)
{
    count_set(c, count_get(c) - n);
}

#endif
