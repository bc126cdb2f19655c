#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/seen.h"

static void
a_number_is_new_once_in_any_order(void **state)
{
    struct seen s = {0};

    (void)state;
    for (uint64_t i = 1000; i-- > 0;) {
        assert_true(seen_add(&s, i));
    }
    for (uint64_t i = 0; i < 1000; i++) {
        assert_false(seen_add(&s, i));
    }
    assert_int_equal(s.count, 1000);
    seen_fini(&s);
}

static void
numbers_in_order_need_no_more_room(void **state)
{
    struct seen s = {0};

    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        assert_true(seen_add(&s, i));
    }
    assert_true(s.room <= 8);
    assert_int_equal(s.base, 100000 / 64 * 64);
    seen_fini(&s);
}

static void
a_missing_number_is_still_new_long_after(void **state)
{
    struct seen s = {0};

    (void)state;
    for (uint64_t i = 1; i < 50000; i++) {
        assert_true(seen_add(&s, i));
    }
    assert_int_equal(s.base, 0);
    assert_true(seen_add(&s, 0));
    assert_false(seen_add(&s, 0));
    assert_int_equal(s.base, 49984);
    seen_fini(&s);
}

static void
beyond_the_largest_span_the_oldest_is_given_up(void **state)
{
    struct seen s = {0};

    (void)state;
    assert_true(seen_add(&s, 1));
    assert_true(seen_add(&s, SEEN_SPAN_MAX + 64));
    assert_false(seen_add(&s, 0));
    assert_true(seen_add(&s, 200));
    assert_int_equal(s.count, 3);
    seen_fini(&s);
}

/* The slow twin: one bool per number. */
static void
random_numbers_are_judged_as_by_a_list_of_everything_seen(void **state)
{
    enum { NUMBERS = 20000 };
    static bool known[NUMBERS];
    struct seen s = {0};
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 60000; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t number = (uint64_t)i / 4 + (random >> 33) % 5000;
        assert_int_equal(seen_add(&s, number), !known[number]);
        known[number] = true;
    }
    seen_fini(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_new_once_in_any_order),
        cmocka_unit_test(numbers_in_order_need_no_more_room),
        cmocka_unit_test(a_missing_number_is_still_new_long_after),
        cmocka_unit_test(beyond_the_largest_span_the_oldest_is_given_up),
        cmocka_unit_test(random_numbers_are_judged_as_by_a_list_of_everything_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
