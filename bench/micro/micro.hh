/*
 * micro: what the micro-benchmarks share: their sizes, their table, and the project's C headers made readable for C++.
 *
 * Each program is one area; it opens with its question and what it does not answer. It prints, per item of work, the median of five repetitions and their spread, in
 * CPU time, which interruptions do not add to (mesh: wall time, two threads). `--smoke` runs everything once on small data, to see that it works.
 * All options of Google Benchmark are understood; with --benchmark_format its own reports take the place of the table.
 */
#ifndef TIDEWIRE_BENCH_MICRO_MICRO_HH
#define TIDEWIRE_BENCH_MICRO_MICRO_HH

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

/* Words of C17 that this C++ lacks. Objects keep size and alignment; a benchmark only hands them to C functions and never touches an atomic member. */
#define _Atomic
#define _Alignas alignas
#define _Static_assert static_assert

extern "C" {
#include "codec/bytes.h"
}

/* One of two sizes: the real one, or the small one of --smoke. Not before main(). */
std::size_t micro_size(std::size_t real, std::size_t smoke);

/* The same numbers every time. */
struct micro_random {
    std::uint64_t state = 88172645463325252u;

    std::uint64_t
    next()
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }

    std::uint32_t
    below(std::size_t n)
    {
        return static_cast<std::uint32_t>((next() >> 16) % n);
    }
};

static inline struct bytes
micro_text(const char *text)
{
    return bytes_of(text, static_cast<std::uint32_t>(std::strlen(text)));
}

/* Set-up that cannot go on says why. */
static inline void
micro_require(bool holds, const char *what)
{
    if (!holds) {
        std::fprintf(stderr, "benchmark: %s\n", what);
        std::exit(1);
    }
}

#endif
