/*
 * simd: the one trick that utf8.c and topic.c share; internal to the codec.
 *
 * Strings on the wire are short and may end at the last byte of a mapped page, so a vector load may not run over their
 * end. x86-64 always has SSE2; elsewhere, or with -DTIDEWIRE_PORTABLE, SIMD_SSE2 is 0 and the portable twins do the work.
 */
#ifndef TIDEWIRE_CODEC_SIMD_H
#define TIDEWIRE_CODEC_SIMD_H

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && !defined(TIDEWIRE_PORTABLE)
#define SIMD_SSE2 1
#include <immintrin.h>

static inline uint64_t
simd_load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t
simd_load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/*
 * The `size` bytes (0 to 15) at `p`, zeros after them, reading nothing else: two loads that overlap in the middle,
 * the second shifted to where its bytes belong.
 */
static inline __m128i
simd_load_tail(const uint8_t *p, uint32_t size)
{
    uint64_t low = 0, high = 0;
    if (size >= 8) {
        low = simd_load_u64(p);
        /* Two shifts, because one by 64 (size 8) would be undefined. */
        high = simd_load_u64(p + size - 8) >> 8 >> 8 * (15 - size);
    } else if (size >= 4) {
        low = simd_load_u32(p) | (uint64_t)simd_load_u32(p + size - 4) << 8 * (size - 4);
    } else if (size > 0) {
        low = p[0] | (uint64_t)p[size / 2] << 8 * (size / 2) | (uint64_t)p[size - 1] << 8 * (size - 1);
    }
    return _mm_set_epi64x((long long)high, (long long)low);
}

#else
#define SIMD_SSE2 0
#endif

#endif
