/*
 * dice: the random choices of one run, all from its seed, so that a run repeats exactly.
 *
 * Its own numbers, not the simulator's: what the clients do must not change because the network drew once more.
 */
#ifndef TIDEWIRE_TEST_SIM_DICE_H
#define TIDEWIRE_TEST_SIM_DICE_H

#include <stdbool.h>
#include <stdint.h>

struct dice {
    uint64_t state;
};

/* splitmix64 (Sebastiano Vigna, public domain). */
static inline uint64_t
dice_next(struct dice *d)
{
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 0 to below - 1. */
static inline uint32_t
dice_below(struct dice *d, uint32_t below)
{
    return (uint32_t)((dice_next(d) >> 32) * below >> 32);
}

/* low to high, both included. */
static inline uint32_t
dice_between(struct dice *d, uint32_t low, uint32_t high)
{
    return low + dice_below(d, high - low + 1);
}

static inline bool
dice_percent(struct dice *d, uint32_t percent)
{
    return dice_below(d, 100) < percent;
}

#endif
