#include "codec/bytes.h"
#include "codec/simd.h"

/*
 * Most strings on the wire are short and ASCII: those are settled by 16-byte compares. From the first block with a byte
 * over 0x7f on, AVX2 machines classify 32 bytes at a time (Keiser and Lemire, "Validating UTF-8 in less than one
 * instruction per byte", 2021); others go on byte by byte.
 */

/* Bytes of the character that starts at `p`, 0 if it is malformed, is U+0000 or does not end before `end`. */
static uint32_t
character_size(const uint8_t *p, const uint8_t *end)
{
    if (p[0] < 0x80) {
        return p[0] != 0;
    }

    /* The second byte's range shuts out longer forms than needed (C0, C1, E0, F0), surrogates (ED), and what lies over U+10FFFF. */
    uint32_t size;
    uint8_t low = 0x80, high = 0xbf;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        size = 2;
    } else if ((p[0] & 0xf0) == 0xe0) {
        size = 3;
        low = p[0] == 0xe0 ? 0xa0 : low;
        high = p[0] == 0xed ? 0x9f : high;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        size = 4;
        low = p[0] == 0xf0 ? 0x90 : low;
        high = p[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }

    if ((size_t)(end - p) < size || p[1] < low || p[1] > high) {
        return 0;
    }
    for (uint32_t i = 2; i < size; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

bool
utf8_check_portable(struct bytes b)
{
    for (uint32_t at = 0; at < b.size;) {
        uint32_t size = character_size(b.data + at, b.data + b.size);
        if (size == 0) {
            return false;
        }
        at += size;
    }
    return true;
}

#if SIMD_SSE2

/* How two neighbouring bytes can be wrong together; a pair is wrong if a bit is set in all three tables. */
enum {
    TOO_SHORT = 1 << 0,      /* 11______ 0_______ or 11______ 11______ */
    TOO_LONG = 1 << 1,       /* 0_______ 10______ */
    OVERLONG_3 = 1 << 2,     /* 11100000 100_____ */
    TOO_LARGE = 1 << 3,      /* 11110100 1001____ and up */
    SURROGATE = 1 << 4,      /* 11101101 101_____ */
    OVERLONG_2 = 1 << 5,     /* 1100000_ 10______ */
    TOO_LARGE_1000 = 1 << 6, /* 11110101 1000____ and up */
    OVERLONG_4 = 1 << 6,     /* 11110000 1000____ */
    TWO_CONTS = 1 << 7,      /* 10______ 10______: right only inside 3- and 4-byte characters, settled after the lookup */
    CARRY = TOO_SHORT | TOO_LONG | TWO_CONTS,
    LARGE = CARRY | TOO_LARGE | TOO_LARGE_1000,
};

#define TABLE(...) _mm256_broadcastsi128_si256(_mm_setr_epi8(__VA_ARGS__))

/* `now` moved up by `n` bytes, with the last `n` bytes of `before` in front. */
#define SHIFTED(now, before, n) \
    _mm256_alignr_epi8(now, _mm256_permute2x128_si256(before, now, 0x21), 16 - (n))

/* Non-zero bytes where `now`, coming after `before`, is wrong. */
__attribute__((target("avx2"))) static inline __m256i
block_errors_avx2(__m256i now, __m256i before)
{
    const __m256i first_high = TABLE(
        TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG, TOO_LONG,
        (char)TWO_CONTS, (char)TWO_CONTS, (char)TWO_CONTS, (char)TWO_CONTS,
        TOO_SHORT | OVERLONG_2, TOO_SHORT, TOO_SHORT | OVERLONG_3 | SURROGATE,
        TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4);
    const __m256i first_low = TABLE(
        (char)(CARRY | OVERLONG_3 | OVERLONG_2 | OVERLONG_4), (char)(CARRY | OVERLONG_2), (char)CARRY, (char)CARRY,
        (char)(CARRY | TOO_LARGE), (char)LARGE, (char)LARGE, (char)LARGE,
        (char)LARGE, (char)LARGE, (char)LARGE, (char)LARGE,
        (char)LARGE, (char)(LARGE | SURROGATE), (char)LARGE, (char)LARGE);
    const __m256i second_high = TABLE(
        TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT,
        (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4),
        (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | OVERLONG_3 | TOO_LARGE),
        (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE),
        (char)(TOO_LONG | OVERLONG_2 | TWO_CONTS | SURROGATE | TOO_LARGE),
        TOO_SHORT, TOO_SHORT, TOO_SHORT, TOO_SHORT);
    const __m256i nibble = _mm256_set1_epi8(0x0f);

    __m256i before1 = SHIFTED(now, before, 1);
    __m256i pairs = _mm256_and_si256(
        _mm256_and_si256(
            _mm256_shuffle_epi8(first_high, _mm256_and_si256(_mm256_srli_epi16(before1, 4), nibble)),
            _mm256_shuffle_epi8(first_low, _mm256_and_si256(before1, nibble))),
        _mm256_shuffle_epi8(second_high, _mm256_and_si256(_mm256_srli_epi16(now, 4), nibble)));

    /* Two places after E0..FF and three after F0..FF two continuations in a row are not only right but needed. */
    __m256i third = _mm256_subs_epu8(SHIFTED(now, before, 2), _mm256_set1_epi8(0xe0 - 0x80));
    __m256i fourth = _mm256_subs_epu8(SHIFTED(now, before, 3), _mm256_set1_epi8(0xf0 - 0x80));
    __m256i needed = _mm256_and_si256(_mm256_or_si256(third, fourth), _mm256_set1_epi8((char)0x80));
    return _mm256_xor_si256(needed, pairs);
}

/* Starts at a character's first byte. */
__attribute__((target("avx2"))) static bool
check_avx2(struct bytes b)
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i before = zero, errors = zero;
    uint32_t at = 0;
    for (; b.size - at >= 32; at += 32) {
        __m256i now = _mm256_loadu_si256((const __m256i *)(b.data + at));
        errors = _mm256_or_si256(errors, block_errors_avx2(now, before));
        errors = _mm256_or_si256(errors, _mm256_cmpeq_epi8(now, zero));
        before = now;
    }

    /* The padding after the last byte, always at least one zero, shows a character that was cut off. */
    uint32_t left = b.size - at;
    uint8_t last[32] = {0};
    memcpy(last, b.data + at, left);
    __m256i now = _mm256_loadu_si256((const __m256i *)last);
    errors = _mm256_or_si256(errors, block_errors_avx2(now, before));
    uint32_t nuls = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(now, zero)) & ((UINT32_C(1) << left) - 1);

    return nuls == 0 && _mm256_testz_si256(errors, errors);
}

static bool
check_beyond_ascii(struct bytes b)
{
    return __builtin_cpu_supports("avx2") ? check_avx2(b) : utf8_check_portable(b);
}

bool
utf8_check(struct bytes b)
{
    const __m128i zero = _mm_setzero_si128();
    uint32_t at = 0;
    for (; b.size - at >= 16; at += 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(b.data + at));
        if (_mm_movemask_epi8(block) != 0) {
            return check_beyond_ascii(bytes_of(b.data + at, b.size - at));
        }
        if (_mm_movemask_epi8(_mm_cmpeq_epi8(block, zero)) != 0) {
            return false;
        }
    }
    if (at == b.size) {
        return true;
    }

    uint32_t left = b.size - at;
    __m128i block = simd_load_tail(b.data + at, left);
    if (_mm_movemask_epi8(block) != 0) {
        return check_beyond_ascii(bytes_of(b.data + at, left));
    }
    return (_mm_movemask_epi8(_mm_cmpeq_epi8(block, zero)) & ((1 << left) - 1)) == 0;
}

#else

bool
utf8_check(struct bytes b)
{
    return utf8_check_portable(b);
}

#endif
