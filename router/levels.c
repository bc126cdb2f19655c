#define XXH_INLINE_ALL
#include "router/levels.h"

#include <xxhash.h>

#if defined(__x86_64__)
#define LEVELS_X86 1
#include <immintrin.h>
#else
#define LEVELS_X86 0
#endif

/*
 * Two passes over one cache line or two: where the slashes are, as a 64-bit mask per 64 bytes; then a hash per level.
 * Most levels have at most 8 bytes: one load, one multiplication.
 */

#define SCAN_BYTES 64u

struct hash_keys {
    uint64_t first, second, third;
};

static inline uint64_t
fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline struct hash_keys
keys_from(uint64_t key)
{
    uint64_t second = fold(key ^ 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93) | 1;
    return (struct hash_keys){key, second, fold(second, 0xa0761d6478bd642f) | 1};
}

static inline uint64_t
load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t
hash_8(uint64_t bytes, uint32_t size, struct hash_keys keys)
{
    return fold(bytes ^ keys.first, keys.second + 2 * (uint64_t)size);
}

/* 9 to 16 bytes: the first eight and the last eight. */
static inline uint64_t
hash_16(uint64_t first, uint64_t last, uint32_t size, struct hash_keys keys)
{
    return fold(hash_8(first, size, keys) ^ last, keys.third);
}

static uint64_t
hash_portable(const uint8_t *level, uint32_t size, struct hash_keys keys)
{
    if (size > 16) {
        return XXH3_64bits_withSeed(level, size, keys.first);
    }
    if (size > 8) {
        return hash_16(load_u64(level), load_u64(level + size - 8), size, keys);
    }
    uint64_t bytes = 0;
    memcpy(&bytes, level, size);
    return hash_8(bytes, size, keys);
}

void
levels_split_portable(struct bytes topic, uint64_t key, struct levels *out)
{
    struct hash_keys keys = keys_from(key);
    uint32_t count = 0, start = 0;
    for (uint32_t i = 0; i <= topic.size; i++) {
        if (i < topic.size && topic.data[i] != '/') {
            continue;
        }
        if (count == TOPIC_LEVELS_MAX) {
            count = 0;
            break;
        }
        out->start[count] = (uint16_t)start;
        out->size[count] = (uint16_t)(i - start);
        out->hash[count++] = i == start ? hash_8(0, 0, keys) : hash_portable(topic.data + start, i - start, keys);
        start = i + 1;
    }
    out->count = count;
}

#if LEVELS_X86

/* The cut so far: `count` levels are complete, the one at start[count] is open. */
__attribute__((always_inline)) static inline bool
cut_at_slashes(struct levels *out, uint32_t *count, uint32_t at, uint64_t slashes)
{
    uint32_t n = *count;
    for (; slashes != 0; slashes &= slashes - 1) {
        uint32_t slash = at + (uint32_t)__builtin_ctzll(slashes);
        out->size[n] = (uint16_t)(slash - out->start[n]);
        if (++n == TOPIC_LEVELS_MAX) {
            return false;
        }
        out->start[n] = (uint16_t)(slash + 1);
    }
    *count = n;
    return true;
}

/* A topic of less than eight bytes, at the upper end of a word. */
static inline uint64_t
load_short(struct bytes topic)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < topic.size; i++) {
        v |= (uint64_t)topic.data[i] << 8 * (8 - topic.size + i);
    }
    return v;
}

/*
 * A level of at most eight bytes. Too near the end for a load of eight, the topic's last eight are shifted into place: never a byte outside is read.
 * Sizes are what varies from topic to topic, so none of this branches on them (a shift by 64 would be undefined: hence two).
 */
static inline uint64_t
load_level(struct bytes topic, uint64_t whole, uint32_t start, uint32_t size)
{
    uint64_t mask = ((uint64_t)1 << 4 * size << 4 * size) - 1;
    if (topic.size < 8) {
        uint32_t skip = 8 - (topic.size - start);
        return whole >> 4 * skip >> 4 * skip & mask;
    }
    uint32_t last = topic.size - 8, at = start < last ? start : last, skip = start - at;
    return load_u64(topic.data + at) >> 4 * skip >> 4 * skip & mask;
}

__attribute__((always_inline)) static inline void
hash_levels(struct bytes topic, uint64_t key, struct levels *out)
{
    struct hash_keys keys = keys_from(key);
    uint64_t whole = topic.size < 8 ? load_short(topic) : 0;
    for (uint32_t i = 0; i < out->count; i++) {
        uint32_t start = out->start[i], size = out->size[i];
        if (size > 8) {
            const uint8_t *level = topic.data + start;
            out->hash[i] = size > 16 ? XXH3_64bits_withSeed(level, size, keys.first)
                                     : hash_16(load_u64(level), load_u64(level + size - 8), size, keys);
            continue;
        }
        out->hash[i] = hash_8(load_level(topic, whole, start, size), size, keys);
    }
}

/* Slashes among at most 64 bytes by two overlapping loads: a byte seen twice sets the same bit twice. */
static inline uint64_t
slashes_4(const uint8_t *p)
{
    int v;
    memcpy(&v, p, sizeof v);
    return (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_cvtsi32_si128(v), _mm_set1_epi8('/'))) & 0xf;
}

static inline uint64_t
slashes_8(const uint8_t *p)
{
    __m128i v = _mm_loadl_epi64((const __m128i *)p);
    return (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('/'))) & 0xff;
}

static inline uint64_t
slashes_16(const uint8_t *p)
{
    __m128i v = _mm_loadu_si128((const __m128i *)p);
    return (uint64_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v, _mm_set1_epi8('/')));
}

static inline uint64_t
slashes_32(const uint8_t *p)
{
    return slashes_16(p) | slashes_16(p + 16) << 16;
}

static inline uint64_t
slashes_below_32(const uint8_t *p, uint32_t size)
{
    if (size >= 16) {
        return slashes_16(p) | slashes_16(p + size - 16) << (size - 16);
    }
    if (size >= 8) {
        return slashes_8(p) | slashes_8(p + size - 8) << (size - 8);
    }
    if (size >= 4) {
        return slashes_4(p) | slashes_4(p + size - 4) << (size - 4);
    }
    uint64_t slashes = 0;
    for (uint32_t i = 0; i < size; i++) {
        slashes |= (uint64_t)(p[i] == '/') << i;
    }
    return slashes;
}

__attribute__((target("avx2,bmi,bmi2"))) static inline uint64_t
slashes_32_avx2(const uint8_t *p)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)p);
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('/')));
}

/* One text for both instruction sets: `slashes_of_32` is what differs. */
#define SPLIT_BODY(slashes_of_32)                                                                                    \
    uint32_t count = 0, at = 0;                                                                                      \
    out->start[0] = 0;                                                                                               \
    for (; topic.size - at > SCAN_BYTES; at += SCAN_BYTES) {                                                         \
        const uint8_t *p = topic.data + at;                                                                          \
        if (!cut_at_slashes(out, &count, at, slashes_of_32(p) | slashes_of_32(p + 32) << 32)) {                      \
            out->count = 0;                                                                                          \
            return;                                                                                                  \
        }                                                                                                            \
    }                                                                                                                \
    uint32_t left = topic.size - at;                                                                                 \
    uint64_t slashes;                                                                                                \
    if (at > 0) {                                                                                                    \
        const uint8_t *p = topic.data + topic.size - SCAN_BYTES;                                                     \
        slashes = (slashes_of_32(p) | slashes_of_32(p + 32) << 32) >> (SCAN_BYTES - left);                           \
    } else if (left >= 32) {                                                                                         \
        slashes = slashes_of_32(topic.data) | slashes_of_32(topic.data + left - 32) << (left - 32);                  \
    } else {                                                                                                         \
        slashes = slashes_below_32(topic.data, left);                                                                \
    }                                                                                                                \
    if (!cut_at_slashes(out, &count, at, slashes)) {                                                                 \
        out->count = 0;                                                                                              \
        return;                                                                                                      \
    }                                                                                                                \
    out->size[count] = (uint16_t)(topic.size - out->start[count]);                                                   \
    out->count = count + 1;                                                                                          \
    hash_levels(topic, key, out)

static void
split_sse2(struct bytes topic, uint64_t key, struct levels *out)
{
    SPLIT_BODY(slashes_32);
}

__attribute__((target("avx2,bmi,bmi2"))) static void
split_avx2(struct bytes topic, uint64_t key, struct levels *out)
{
    SPLIT_BODY(slashes_32_avx2);
}

#endif

static void (*split)(struct bytes topic, uint64_t key, struct levels *out) = levels_split_portable;

void
levels_init(void)
{
#if LEVELS_X86
    __builtin_cpu_init();
    split = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") ? split_avx2 : split_sse2;
#endif
}

void
levels_split(struct bytes topic, uint64_t key, struct levels *out)
{
    split(topic, key, out);
}
