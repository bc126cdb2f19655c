#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/session/fresh.h"

static struct budget_account account;
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
    struct fresh *fresh = fresh_init(&account);
    assert_false(fresh_has_newer(fresh, 0, 0));
    assert_false(fresh_has_newer(fresh, 1, 0));
    assert_false(fresh_has_newer(fresh, UINT64_MAX, 0));
    fresh_fini(&account, &fresh);
    assert_null(fresh);
}

static void
newer_means_after_the_stamp_and_not_at_it(void **state)
{
    (void)state;
    struct fresh *fresh = fresh_init(&account);
    fresh_add(&account, fresh, 1000, 50);
    assert_true(fresh_has_newer(fresh, 1000, 0));
    assert_true(fresh_has_newer(fresh, 1000, 49));
    assert_false(fresh_has_newer(fresh, 1000, 50));
    assert_false(fresh_has_newer(fresh, 1000, UINT64_MAX));
    fresh_fini(&account, &fresh);
}

static void
what_was_added_is_there_and_its_neighbours_are_not(void **state)
{
    (void)state;
    struct fresh *fresh = fresh_init(&account);
    fresh_add(&account, fresh, 1000, 1);
    assert_true(fresh_has_newer(fresh, 1000, 0));
    assert_false(fresh_has_newer(fresh, 999, 0));
    assert_false(fresh_has_newer(fresh, 1001, 0));
    assert_false(fresh_has_newer(fresh, 1000 + (UINT64_C(1) << 32), 0));
    fresh_fini(&account, &fresh);
}

/* In whatever order they come. */
static void
a_topic_counts_once_and_keeps_its_newest_stamp(void **state)
{
    (void)state;
    static const uint64_t stamps[] = {5, 3, 9, 9, 8};
    static const uint64_t newest[] = {5, 5, 9, 9, 9};
    struct fresh *fresh = fresh_init(&account);
    for (uint32_t i = 0; i < 5; i++) {
        fresh_add(&account, fresh, 7, stamps[i]);
        assert_int_equal(fresh->count, 1);
        assert_true(fresh_has_newer(fresh, 7, newest[i] - 1));
        assert_false(fresh_has_newer(fresh, 7, newest[i]));
    }
    fresh_fini(&account, &fresh);
}

/* A hash is as good as any: 0, which marks a free place, is kept like the others, and no free place looks taken by it. */
static void
a_hash_of_zero_is_kept(void **state)
{
    (void)state;
    struct fresh *fresh = fresh_init(&account);
    fresh_add(&account, fresh, 7, 1);
    assert_false(fresh_has_newer(fresh, 0, 0));
    fresh_add(&account, fresh, 0, 1);
    assert_true(fresh_has_newer(fresh, 0, 0));
    assert_int_equal(fresh->count, 2);
    for (uint64_t hash = 16; hash < 48; hash++) {
        assert_false(fresh_has_newer(fresh, hash, 0));
    }
    fresh_fini(&account, &fresh);
}

/* Equal in the bits that choose the place: a search has to pass all of them. */
static void
hashes_that_want_the_same_place_are_told_apart(void **state)
{
    (void)state;
    struct fresh *fresh = fresh_init(&account);
    for (uint64_t i = 0; i < 500; i++) {
        fresh_add(&account, fresh, i << 32 | 5, i + 1);
    }
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(fresh_has_newer(fresh, i << 32 | 5, i), i < 500);
        assert_false(fresh_has_newer(fresh, i << 32 | 5, i + 1));
    }
    fresh_fini(&account, &fresh);
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
    struct fresh *fresh = fresh_init(&account);
    for (uint32_t i = 0; i < FRESH_MAX + 1000; i++) {
        fresh_add(&account, fresh, nth(i), 1);
    }
    assert_int_equal(fresh->count, FRESH_MAX);
    assert_true(fresh->room * sizeof *fresh->topics <= 1024u * 1024); /* as FRESH_MAX says */
    for (uint32_t i = 0; i < FRESH_MAX + 1000; i++) {
        assert_int_equal(fresh_has_newer(fresh, nth(i), 0), i < FRESH_MAX);
    }
    fresh_fini(&account, &fresh);
}

enum { UNIVERSE = 5000 };

static void
it_agrees_with_a_plain_array(void **state)
{
    (void)state;
    static uint64_t twin[UNIVERSE]; /* the newest stamp; 0: not there */
    struct fresh *fresh = fresh_init(&account);
    uint32_t count = 0;
    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = random_below(UNIVERSE), stamp = 1 + random_below(100);
        assert_int_equal(fresh_has_newer(fresh, nth(i), stamp), twin[i] > stamp);
        if (random_below(3) == 0) {
            fresh_add(&account, fresh, nth(i), stamp);
            count += twin[i] == 0;
            twin[i] = stamp > twin[i] ? stamp : twin[i];
        }
        assert_int_equal(fresh->count, count);
        assert_true(fresh->count * 2 <= fresh->room); /* a search ends soon */
    }
    for (uint32_t i = 0; i < UNIVERSE; i++) {
        assert_int_equal(fresh_has_newer(fresh, nth(i), 0), twin[i] > 0);
        assert_false(fresh_has_newer(fresh, nth(i), twin[i]));
    }
    fresh_fini(&account, &fresh);
}

static void
what_it_holds_is_charged(void **state)
{
    (void)state;
    int64_t before = account.bytes;
    struct fresh *fresh = fresh_init(&account);
    for (uint64_t i = 1; i <= 1000; i++) {
        fresh_add(&account, fresh, i * UINT64_C(0x9e3779b97f4a7c15), i);
    }
    assert_in_range(account.bytes - before, 2000 * sizeof(struct fresh_topic), 4000 * sizeof(struct fresh_topic) + sizeof *fresh);
    fresh_fini(&account, &fresh);
    assert_int_equal(account.bytes, before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_holds_is_charged),
        cmocka_unit_test(an_empty_set_has_nothing),
        cmocka_unit_test(newer_means_after_the_stamp_and_not_at_it),
        cmocka_unit_test(what_was_added_is_there_and_its_neighbours_are_not),
        cmocka_unit_test(a_topic_counts_once_and_keeps_its_newest_stamp),
        cmocka_unit_test(a_hash_of_zero_is_kept),
        cmocka_unit_test(hashes_that_want_the_same_place_are_told_apart),
        cmocka_unit_test(a_full_set_forgets_nothing_and_takes_no_more),
        cmocka_unit_test(it_agrees_with_a_plain_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
