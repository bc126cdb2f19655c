#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/levels.h"

#include <stdio.h>
#include <sys/mman.h>

static struct levels_key key;
#define PAGE 4096u
#define PAGES 17u

static uint8_t *page_end; /* the byte here cannot be read, nor can the one before page_start */
static uint8_t *page_start;

static int
map_pages(void **state)
{
    (void)state;
    uint8_t *map = mmap(NULL, PAGE * (PAGES + 2), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED || mprotect(map + PAGE, PAGE * PAGES, PROT_READ | PROT_WRITE) != 0) {
        return -1;
    }
    page_start = map + PAGE;
    page_end = page_start + PAGE * PAGES;
    levels_init();
    key = levels_key_from(0x1234567890abcdefu);
    return 0;
}

static uint64_t seed = 88172645463325252u;

static uint32_t
random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

static struct bytes
at_page_end(const char *text)
{
    uint32_t size = (uint32_t)strlen(text);
    memcpy(page_end - size, text, size);
    return bytes_of(page_end - size, size);
}

static void
assert_twins(struct bytes topic)
{
    struct levels simd, plain;
    memset(&simd, 0xaa, sizeof simd);
    levels_split(topic, &key, &simd);
    levels_split_portable(topic, &key, &plain);
    assert_int_equal(simd.count, plain.count);
    for (uint32_t i = 0; i < plain.count; i++) {
        assert_int_equal(simd.start[i], plain.start[i]);
        assert_int_equal(simd.size[i], plain.size[i]);
        assert_true(simd.sums[i + 1] == plain.sums[i + 1]);
    }
}

static void
split_cuts_at_every_slash(void **state)
{
    (void)state;
    static const struct {
        const char *topic;
        uint32_t count;
        uint16_t sizes[8];
    } rows[] = {
        {"a", 1, {1}},
        {"/", 2, {0, 0}},
        {"a/b", 2, {1, 1}},
        {"/a", 2, {0, 1}},
        {"a//b/", 4, {1, 0, 1, 0}},
        {"site/12/dev/345/sensor/temp", 6, {4, 2, 3, 3, 6, 4}},
        {"a level of more than sixteen bytes/and another one that is longer than thirty-two/x", 3, {34, 46, 1}},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct levels levels;
        levels_split(at_page_end(rows[r].topic), &key, &levels);
        assert_int_equal(levels.count, rows[r].count);
        uint32_t start = 0;
        for (uint32_t i = 0; i < levels.count; i++) {
            assert_int_equal(levels.size[i], rows[r].sizes[i]);
            assert_int_equal(levels.start[i], start);
            start += levels.size[i] + 1u;
        }
    }
}

static void
simd_equals_portable_and_reads_nothing_outside(void **state)
{
    (void)state;
    for (uint32_t size = 0; size < 300; size++) {
        for (uint32_t round = 0; round < 40; round++) {
            uint8_t *at = round % 2 == 0 ? page_start : page_end - size;
            uint32_t slashes = 2 + random_below(20);
            for (uint32_t i = 0; i < size; i++) {
                at[i] = random_below(slashes) == 0 ? '/' : (uint8_t)(1 + random_below(255));
            }
            assert_twins(bytes_of(at, size));
        }
    }
}

static void
the_longest_topic_is_cut_too(void **state)
{
    (void)state;
    uint8_t *at = page_end - 65535;
    memset(at, 'x', 65535);
    assert_twins(bytes_of(at, 65535));
    at[0] = at[63] = at[64] = at[65534] = '/';
    assert_twins(bytes_of(at, 65535));
}

static void
a_topic_of_more_than_the_maximum_of_levels_gives_none(void **state)
{
    (void)state;
    struct levels levels;
    for (uint32_t slashes = TOPIC_LEVELS_MAX - 2; slashes < TOPIC_LEVELS_MAX + 2; slashes++) {
        memset(page_start, '/', slashes);
        levels_split(bytes_of(page_start, slashes), &key, &levels);
        assert_int_equal(levels.count, slashes < TOPIC_LEVELS_MAX ? slashes + 1 : 0);
        assert_twins(bytes_of(page_start, slashes));
    }
    memset(page_start, '/', 65535);
    assert_twins(bytes_of(page_start, 65535));
}

static void
equal_levels_have_equal_hashes_at_equal_places_only(void **state)
{
    (void)state;
    for (uint32_t size = 0; size < 40; size++) {
        /* One level three times, behind a short first level and behind a long one. */
        char level[64], text[256];
        memset(level, 'a' + (int)(size % 26), size);
        level[size] = 0;
        struct levels levels[2];
        for (uint32_t i = 0; i < 2; i++) {
            int end = snprintf(text, sizeof text, "%s/%s/%s/%s", i == 0 ? "x" : "a longer one", level, level, level);
            assert_in_range(end, 4, sizeof text - 1);
            levels_split(at_page_end(text), &key, &levels[i]);
            assert_int_equal(levels[i].count, 4);
        }
        for (uint32_t i = 1; i < 4; i++) {
            assert_true(levels_hash_of(&levels[0], i) == levels_hash_of(&levels[1], i));
            assert_true(i == 1 || levels_hash_of(&levels[0], i) != levels_hash_of(&levels[0], i - 1));
        }
        assert_true(levels_hash_of(&levels[0], 0) != levels_hash_of(&levels[1], 0));
    }
}

static void
hashing_in_steps_equals_hashing_at_once(void **state)
{
    (void)state;
    static const char *const topics[] = {"a", "a//b/", "site/12/dev/345/sensor/temp", "a level of more than sixteen bytes/b/nine bytes/"};
    for (size_t t = 0; t < sizeof topics / sizeof topics[0]; t++) {
        struct bytes topic = at_page_end(topics[t]);
        struct levels once, steps;
        levels_split(topic, &key, &once);
        levels_cut(topic, &steps);
        assert_int_equal(steps.count, once.count);
        steps.sums[0] = 0;
        for (uint32_t i = 0; i < steps.count; i++) {
            levels_hash(topic, &key, i, i + 1, &steps);
            assert_true(steps.sums[i + 1] == once.sums[i + 1]);
        }
    }
}

static void
hashes_depend_on_bytes_size_and_key(void **state)
{
    (void)state;
    /* Levels of 'x' alone, of all sizes: no two may be equal, with either key. */
    struct levels_key other = levels_key_from(0x1234567890abcdf0u);
    struct levels levels[2];
    uint64_t seen[80];
    uint32_t count = 0;
    char text[64];
    for (uint32_t size = 0; size < 40; size++) {
        memset(text, 'x', size);
        text[size] = 0;
        levels_split(at_page_end(text), &key, &levels[0]);
        levels_split(at_page_end(text), &other, &levels[1]);
        seen[count++] = levels_hash_of(&levels[0], 0);
        seen[count++] = levels_hash_of(&levels[1], 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            assert_true(seen[i] != seen[j]);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_cuts_at_every_slash),
        cmocka_unit_test(simd_equals_portable_and_reads_nothing_outside),
        cmocka_unit_test(the_longest_topic_is_cut_too),
        cmocka_unit_test(a_topic_of_more_than_the_maximum_of_levels_gives_none),
        cmocka_unit_test(equal_levels_have_equal_hashes_at_equal_places_only),
        cmocka_unit_test(hashing_in_steps_equals_hashing_at_once),
        cmocka_unit_test(hashes_depend_on_bytes_size_and_key),
    };
    return cmocka_run_group_tests(tests, map_pages, NULL);
}
