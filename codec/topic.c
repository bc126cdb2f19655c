#include "codec/topic.h"
#include "codec/simd.h"

/* What one look at a topic name finds out. */
struct name_scan {
    uint32_t levels;
    bool forbidden; /* '+', '#' or U+0000 somewhere */
    bool ascii;     /* if not, the UTF-8 is yet to be checked */
};

/* Used where there is no SIMD, and held against scan_sse2 by the test. */
__attribute__((unused)) static struct name_scan
scan_portable(struct bytes name)
{
    struct name_scan scan = {.levels = 1, .ascii = true};
    for (uint32_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        scan.levels += c == '/';
        scan.forbidden |= c == '+' || c == '#' || c == 0;
        scan.ascii &= c < 0x80;
    }
    return scan;
}

#if SIMD_SSE2

/* 0xff where `block` has a byte that no topic name has; U+0000 among them. */
static inline __m128i
forbidden_bytes(__m128i block)
{
    __m128i wildcards = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('+')), _mm_cmpeq_epi8(block, _mm_set1_epi8('#')));
    return _mm_or_si128(wildcards, _mm_cmpeq_epi8(block, _mm_setzero_si128()));
}

/* The slashes in `block`, in two 64-bit halves: SSE2 has no popcount, but a sum of bytes. */
static inline __m128i
count_slashes(__m128i block)
{
    const __m128i zero = _mm_setzero_si128();
    __m128i ones = _mm_sub_epi8(zero, _mm_cmpeq_epi8(block, _mm_set1_epi8('/'))); /* 0 - 0xff is 1 */
    return _mm_sad_epu8(ones, zero);
}

/* What has been seen of a name so far. */
struct scan_sums {
    __m128i forbidden, slashes, all;
};

static inline void
scan_block(struct scan_sums *sums, __m128i block, __m128i counted)
{
    sums->forbidden = _mm_or_si128(sums->forbidden, forbidden_bytes(block));
    sums->slashes = _mm_add_epi64(sums->slashes, count_slashes(_mm_and_si128(block, counted)));
    sums->all = _mm_or_si128(sums->all, block);
}

static inline struct name_scan
scan_result(const struct scan_sums *sums, bool forbidden)
{
    __m128i slashes = sums->slashes;
    uint64_t count = (uint64_t)_mm_cvtsi128_si64(slashes) + (uint64_t)_mm_cvtsi128_si64(_mm_unpackhi_epi64(slashes, slashes));
    return (struct name_scan){
        .levels = (uint32_t)count + 1,
        .forbidden = forbidden,
        .ascii = _mm_movemask_epi8(sums->all) == 0,
    };
}

/* Less than a block, padded with zeros that do not count as U+0000. */
static inline struct name_scan
scan_short(struct bytes name)
{
    struct scan_sums sums = {0};
    scan_block(&sums, simd_load_tail(name.data, name.size), _mm_set1_epi8((char)0xff));
    uint32_t forbidden = (uint32_t)_mm_movemask_epi8(sums.forbidden) & ((1u << name.size) - 1);
    return scan_result(&sums, forbidden != 0);
}

/* '+', '#' and '/' are never part of a longer UTF-8 character, so bytes can be compared before the UTF-8 is known good. */
static inline struct name_scan
scan_sse2(struct bytes name)
{
    /* From `size` on: all ones for the last `size` bytes of a block. */
    static const uint8_t last_bytes[32] = {[16] = 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    if (name.size < 16) {
        return scan_short(name);
    }
    struct scan_sums sums = {0};
    uint32_t at = 0;
    for (; name.size - at >= 16; at += 16) {
        scan_block(&sums, _mm_loadu_si128((const __m128i *)(name.data + at)), _mm_set1_epi8((char)0xff));
    }
    /* The rest, by a block that reaches back: what it sees again is not counted again. */
    __m128i counted = _mm_loadu_si128((const __m128i *)(last_bytes + (name.size - at)));
    scan_block(&sums, _mm_loadu_si128((const __m128i *)(name.data + name.size - 16)), counted);
    return scan_result(&sums, _mm_movemask_epi8(sums.forbidden) != 0);
}

#define scan_name scan_sse2
#else
#define scan_name scan_portable
#endif

bool
topic_name_check(struct bytes name, uint32_t levels_max)
{
    if (name.size == 0) {
        return false;
    }
    struct name_scan scan = scan_name(name);
    return !scan.forbidden && scan.levels <= levels_max && (scan.ascii || utf8_check(name));
}

/* Cuts `$share/{group}/` off the front. False if it is there and wrong. */
static bool
split_share(struct bytes text, struct topic_filter *out)
{
    static const char prefix[] = "$share/";
    const uint32_t prefix_size = sizeof prefix - 1;

    *out = (struct topic_filter){.filter = text};
    if (text.size < prefix_size || memcmp(text.data, prefix, prefix_size) != 0) {
        return true;
    }

    struct bytes rest = bytes_of(text.data + prefix_size, text.size - prefix_size);
    const uint8_t *slash = memchr(rest.data, '/', rest.size);
    if (slash == NULL || slash == rest.data) {
        return false;
    }
    out->shared = true;
    out->group = bytes_of(rest.data, (uint32_t)(slash - rest.data));
    out->filter = bytes_of(slash + 1, rest.size - out->group.size - 1);

    /* MQTT5 [MQTT-4.8.2-1], [MQTT-4.8.2-2]. */
    return memchr(out->group.data, '+', out->group.size) == NULL && memchr(out->group.data, '#', out->group.size) == NULL;
}

bool
topic_filter_parse(struct bytes text, uint32_t levels_max, struct topic_filter *out)
{
    if (!split_share(text, out) || out->filter.size == 0 || !utf8_check(text)) {
        return false;
    }

    struct bytes filter = out->filter;
    out->levels = 1;
    for (uint32_t i = 0; i < filter.size; i++) {
        uint8_t c = filter.data[i];
        if (c == '/') {
            out->levels++;
        } else if (c == '+' || c == '#') {
            bool starts_level = i == 0 || filter.data[i - 1] == '/';
            bool is_last = i + 1 == filter.size;
            bool ends_level = is_last || (c == '+' && filter.data[i + 1] == '/');
            if (!starts_level || !ends_level) {
                return false;
            }
            out->wildcard = true;
        }
    }
    return out->levels <= levels_max;
}

/* Takes the first level off `*rest`; `*rest` is all zero after the last one. */
static struct bytes
take_level(struct bytes *rest)
{
    const uint8_t *slash = memchr(rest->data, '/', rest->size);
    if (slash == NULL) {
        struct bytes last = *rest;
        *rest = (struct bytes){NULL, 0};
        return last;
    }
    struct bytes level = bytes_of(rest->data, (uint32_t)(slash - rest->data));
    *rest = bytes_of(slash + 1, rest->size - level.size - 1);
    return level;
}

static bool
level_is(struct bytes level, char c)
{
    return level.size == 1 && level.data[0] == (uint8_t)c;
}

bool
topic_match(struct bytes filter, struct bytes name)
{
    if (name.data[0] == '$' && (filter.data[0] == '+' || filter.data[0] == '#')) {
        return false;
    }

    /* `data` is NULL once all levels are taken: a level can be empty, so `size` cannot tell. */
    while (filter.data != NULL) {
        struct bytes wanted = take_level(&filter);
        if (level_is(wanted, '#')) {
            /* Also without a level left in the name: 'a/#' matches 'a'. MQTT5 4.7.1.2. */
            return true;
        }
        if (name.data == NULL) {
            return false;
        }
        struct bytes level = take_level(&name);
        if (!level_is(wanted, '+') && !bytes_equal(wanted, level)) {
            return false;
        }
    }
    return name.data == NULL;
}
