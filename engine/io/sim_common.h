/*
 * sim_common: what the files of the simulated world share: memory that is always there, and random numbers that repeat.
 */
#ifndef TIDEWIRE_ENGINE_IO_SIM_COMMON_H
#define TIDEWIRE_ENGINE_IO_SIM_COMMON_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Without memory a simulation has nothing to say. */
static inline void *
must(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "sim: out of memory\n");
        abort();
    }
    return memory;
}

struct rng {
    uint64_t s[4];
};

/* splitmix64, which spreads a seed over the state; then xoshiro256** (Blackman and Vigna, public domain). */
static inline void
rng_init(struct rng *rng, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        rng->s[i] = z ^ z >> 31;
    }
}

static inline uint64_t
rng_rotated(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static inline uint64_t
rng_next(struct rng *rng)
{
    uint64_t *s = rng->s;
    uint64_t result = rng_rotated(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rng_rotated(s[3], 45);
    return result;
}

/* Uniform in [0, below), but for a bias far below anything a test could see. */
static inline uint64_t
rng_below(struct rng *rng, uint64_t below)
{
    return (uint64_t)((unsigned __int128)rng_next(rng) * below >> 64);
}

#endif
