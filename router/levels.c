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

static inline uint64_t
fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

struct levels_key
levels_key_from(uint64_t secret)
{
    uint64_t second = fold(secret ^ 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93) | 1;
    uint64_t third = fold(second, 0xa0761d6478bd642f) | 1;
    return (struct levels_key){secret, second, third, fold(third, 0xe7037ed1a0b428db) | 1};
}

static inline uint64_t
load_u64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The key of a level's place. */
static inline uint64_t
place_of(const struct levels_key *key, uint32_t i)
{
    return key->second + i * key->step;
}

static inline uint64_t
hash_8(uint64_t bytes, uint32_t size, uint64_t first, uint64_t place)
{
    return fold(bytes ^ first, place + 2 * (uint64_t)size);
}

/* More than eight bytes. Up to 16: the first eight and the last eight. */
static inline uint64_t
hash_long(const uint8_t *level, uint32_t size, const struct levels_key *key, uint64_t place)
{
    if (size > 16) {
        return hash_8(XXH3_64bits_withSeed(level, size, key->first), size, key->first, place);
    }
    return fold(hash_8(load_u64(level), size, key->first, place) ^ load_u64(level + size - 8), key->third);
}

static uint64_t
hash_portable(const uint8_t *level, uint32_t size, const struct levels_key *key, uint64_t place)
{
    if (size > 8) {
        return hash_long(level, size, key, place);
    }
    uint64_t bytes = 0;
    if (size > 0) {
        memcpy(&bytes, level, size);
    }
    return hash_8(bytes, size, key->first, place);
}

static void
cut_portable(struct bytes topic, struct levels *out)
{
    uint32_t count = 0, start = 0;
    out->count = 0;
    for (uint32_t i = 0; i <= topic.size; i++) {
        if (i < topic.size && topic.data[i] != '/') {
            continue;
        }
        if (count == TOPIC_LEVELS_MAX) {
            return;
        }
        out->start[count] = (uint16_t)start;
        out->size[count++] = (uint16_t)(i - start);
        start = i + 1;
    }
    out->count = count;
}

void
levels_split_portable(struct bytes topic, const struct levels_key *key, struct levels *out)
{
    cut_portable(topic, out);
    out->sums[0] = 0;
    for (uint32_t i = 0; i < out->count; i++) {
        /* Of an empty topic there may be no byte to point at. */
        const uint8_t *level = out->size[i] > 0 ? topic.data + out->start[i] : NULL;
        out->sums[i + 1] = out->sums[i] + hash_portable(level, out->size[i], key, place_of(key, i));
    }
}

/* A topic of less than eight bytes. */
static inline uint64_t
load_short(struct bytes topic)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < topic.size; i++) {
        v |= (uint64_t)topic.data[i] << 8 * i;
    }
    return v;
}

/* Masks for that many bytes. */
static const uint64_t low_bytes[] = {
    0, 0xff, 0xffff, 0xffffff, 0xffffffff, 0xffffffffff, 0xffffffffffff, 0xffffffffffffff, 0xffffffffffffffff,
};

/*
 * Too near the topic's end for a load of eight bytes, the topic's last eight are shifted into place: never a byte outside is read. Sizes are what varies from
 * topic to topic, so up to eight bytes nothing branches on them.
 */
void
levels_hash(struct bytes topic, const struct levels_key *key, uint32_t from, uint32_t to, struct levels *out)
{
    const uint64_t whole = topic.size < 8 ? load_short(topic) : 0;
    const uint8_t *base = topic.size < 8 ? (const uint8_t *)&whole : topic.data;
    const uint32_t last = topic.size < 8 ? 0 : topic.size - 8;
    const uint64_t first = key->first, step = key->step;
    uint64_t place = place_of(key, from), sum = out->sums[from];
    for (uint32_t i = from; i < to; i++, place += step) {
        uint32_t start = out->start[i], size = out->size[i];
        if (__builtin_expect(size > 8, 0)) {
            sum += hash_long(topic.data + start, size, key, place);
        } else {
            uint32_t at = start < last ? start : last;
            /* Of an empty level at the very end all 64 bits are to be shifted out: the mask sees to it. */
            uint64_t bytes = load_u64(base + at) >> (8 * (start - at) & 63) & low_bytes[size];
            sum += hash_8(bytes, size, first, place);
        }
        out->sums[i + 1] = sum;
    }
}

#if LEVELS_X86

/* The cut so far: `count` levels are complete, the one at start[count] is open. False if these are too many. */
__attribute__((always_inline)) static inline bool
cut_at_slashes(struct levels *out, uint32_t *count, uint32_t at, uint64_t slashes)
{
    uint32_t n = *count, start = out->start[n];
    if (n + (uint32_t)__builtin_popcountll(slashes) >= TOPIC_LEVELS_MAX) {
        return false;
    }
    for (; slashes != 0; slashes &= slashes - 1) {
        uint32_t slash = at + (uint32_t)__builtin_ctzll(slashes);
        out->size[n++] = (uint16_t)(slash - start);
        start = slash + 1;
        out->start[n] = (uint16_t)start;
    }
    *count = n;
    return true;
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

__attribute__((target("avx2,bmi,bmi2,popcnt"))) static inline uint64_t
slashes_32_avx2(const uint8_t *p)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)p);
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v, _mm256_set1_epi8('/')));
}

/* One text for both instruction sets: `slashes_of_32` is what differs. */
#define CUT_BODY(slashes_of_32)                                                                                      \
    uint32_t count = 0, at = 0;                                                                                      \
    out->count = 0;                                                                                                  \
    out->start[0] = 0;                                                                                               \
    for (; topic.size - at > SCAN_BYTES; at += SCAN_BYTES) {                                                         \
        const uint8_t *p = topic.data + at;                                                                          \
        if (!cut_at_slashes(out, &count, at, slashes_of_32(p) | slashes_of_32(p + 32) << 32)) {                      \
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
    if (cut_at_slashes(out, &count, at, slashes)) {                                                                  \
        out->size[count] = (uint16_t)(topic.size - out->start[count]);                                               \
        out->count = count + 1;                                                                                      \
    }

static void
cut_sse2(struct bytes topic, struct levels *out)
{
    CUT_BODY(slashes_32)
}

__attribute__((target("avx2,bmi,bmi2,popcnt"))) static void
cut_avx2(struct bytes topic, struct levels *out)
{
    CUT_BODY(slashes_32_avx2)
}

#endif

static void (*cut)(struct bytes topic, struct levels *out) = cut_portable;

void
levels_init(void)
{
#if LEVELS_X86
    __builtin_cpu_init();
    bool newer = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
    cut = newer ? cut_avx2 : cut_sse2;
#endif
}

void
levels_cut(struct bytes topic, struct levels *out)
{
    cut(topic, out);
}

void
levels_split(struct bytes topic, const struct levels_key *key, struct levels *out)
{
    cut(topic, out);
    out->sums[0] = 0;
    levels_hash(topic, key, 0, out->count, out);
}
