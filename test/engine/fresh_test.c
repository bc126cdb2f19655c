#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/session/fresh.h"

static uint64_t seed = 88172645463325252u;

static uint32_t
random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

static void
an_empty_set_has_nothing(void **state)
{
    (void)state;
    struct fresh *fresh = fresh_init();
    assert_false(fresh_has(fresh, 0));
    assert_false(fresh_has(fresh, 1));
    assert_false(fresh_has(fresh, UINT64_MAX));
    fresh_fini(&fresh);
    assert_null(fresh);
}

static void
what_was_added_is_there_and_its_neighbours_are_not(void **state)
{
    (void)state;
    struct fresh *fresh = fresh_init();
    fresh_add(fresh, 1000);
    assert_true(fresh_has(fresh, 1000));
    assert_false(fresh_has(fresh, 999));
    assert_false(fresh_has(fresh, 1001));
    assert_false(fresh_has(fresh, 1000 + (UINT64_C(1) << 32)));
    fresh_fini(&fresh);
}

static void
adding_twice_counts_once(void **state)
{
    (void)state;
    struct fresh *fresh = fresh_init();
    for (uint32_t i = 0; i < 100; i++) {
        fresh_add(fresh, 7);
    }
    assert_int_equal(fresh->count, 1);
    fresh_fini(&fresh);
}

/* A hash is as good as any: 0, which marks a free place, is kept like the others. */
static void
a_hash_of_zero_is_kept(void **state)
{
    (void)state;
    struct fresh *fresh = fresh_init();
    fresh_add(fresh, 7);
    assert_false(fresh_has(fresh, 0));
    fresh_add(fresh, 0);
    assert_true(fresh_has(fresh, 0));
    assert_int_equal(fresh->count, 2);
    fresh_fini(&fresh);
}

/* Equal in the bits that choose the place: a search has to pass all of them. */
static void
hashes_that_want_the_same_place_are_told_apart(void **state)
{
    (void)state;
    struct fresh *fresh = fresh_init();
    for (uint64_t i = 0; i < 500; i++) {
        fresh_add(fresh, i << 32 | 5);
    }
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(fresh_has(fresh, i << 32 | 5), i < 500);
    }
    fresh_fini(&fresh);
}

static uint64_t
nth(uint32_t i)
{
    return (i + 1) * 0x9e3779b97f4a7c15u;
}

static void
a_full_set_forgets_nothing_and_takes_no_more(void **state)
{
    (void)state;
    struct fresh *fresh = fresh_init();
    for (uint32_t i = 0; i < FRESH_MAX + 1000; i++) {
        fresh_add(fresh, nth(i));
    }
    assert_int_equal(fresh->count, FRESH_MAX);
    assert_true(fresh->room * sizeof *fresh->hashes <= 512u * 1024); /* as FRESH_MAX says */
    for (uint32_t i = 0; i < FRESH_MAX + 1000; i++) {
        assert_int_equal(fresh_has(fresh, nth(i)), i < FRESH_MAX);
    }
    fresh_fini(&fresh);
}

enum { UNIVERSE = 5000 };

static void
it_agrees_with_a_bitmap(void **state)
{
    (void)state;
    static bool twin[UNIVERSE];
    struct fresh *fresh = fresh_init();
    uint32_t count = 0;
    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = random_below(UNIVERSE);
        assert_int_equal(fresh_has(fresh, nth(i)), twin[i]);
        if (random_below(3) == 0) {
            fresh_add(fresh, nth(i));
            count += !twin[i];
            twin[i] = true;
            assert_true(fresh_has(fresh, nth(i)));
        }
        assert_int_equal(fresh->count, count);
        assert_true(fresh->count * 2 <= fresh->room); /* a search ends soon */
    }
    for (uint32_t i = 0; i < UNIVERSE; i++) {
        assert_int_equal(fresh_has(fresh, nth(i)), twin[i]);
    }
    fresh_fini(&fresh);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_set_has_nothing),
        cmocka_unit_test(what_was_added_is_there_and_its_neighbours_are_not),
        cmocka_unit_test(adding_twice_counts_once),
        cmocka_unit_test(a_hash_of_zero_is_kept),
        cmocka_unit_test(hashes_that_want_the_same_place_are_told_apart),
        cmocka_unit_test(a_full_set_forgets_nothing_and_takes_no_more),
        cmocka_unit_test(it_agrees_with_a_bitmap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
