#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/stream.h"

static void
numbers_in_order_are_new_and_open_no_gap(void **state)
{
    struct stream s = {0};

    (void)state;
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(stream_add(&s, i), STREAM_NEW);
    }
    assert_int_equal(stream_get_received(&s), 1000);
    assert_null(s.gaps);
    stream_fini(&s);
}

static void
a_number_that_was_jumped_over_is_late_once_and_then_a_duplicate(void **state)
{
    struct stream s = {0};

    (void)state;
    assert_int_equal(stream_add(&s, 0), STREAM_NEW);
    assert_int_equal(stream_add(&s, 3), STREAM_NEW);
    assert_int_equal(s.missing, 2);
    assert_int_equal(stream_add(&s, 1), STREAM_LATE);
    assert_int_equal(stream_add(&s, 1), STREAM_DUPLICATE);
    assert_int_equal(stream_add(&s, 3), STREAM_DUPLICATE);
    assert_int_equal(s.missing, 1);
    assert_int_equal(stream_get_received(&s), 3);
    stream_fini(&s);
}

static void
the_first_message_can_be_missing(void **state)
{
    struct stream s = {0};

    (void)state;
    assert_int_equal(stream_add(&s, 5), STREAM_NEW);
    assert_int_equal(s.missing, 5);
    assert_int_equal(stream_add(&s, 0), STREAM_LATE);
    stream_fini(&s);
}

static void
too_many_gaps_give_up_the_oldest_and_stay_missing(void **state)
{
    struct stream s = {0};

    (void)state;
    for (uint64_t i = 0; i <= STREAM_GAPS_MAX; i++) {
        stream_add(&s, 2 * i + 1);
    }
    assert_int_equal(s.gap_count, STREAM_GAPS_MAX);
    assert_int_equal(s.missing, STREAM_GAPS_MAX + 1);
    assert_int_equal(stream_add(&s, 0), STREAM_DUPLICATE);
    assert_int_equal(stream_add(&s, 2), STREAM_LATE);
    assert_int_equal(s.missing, STREAM_GAPS_MAX);
    stream_fini(&s);
}

/* The slow twin: one bool per number. */
static void
random_arrivals_are_judged_as_by_a_list_of_everything_seen(void **state)
{
    enum { NUMBERS = 3000 };
    static bool seen[NUMBERS];

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct stream s = {0};
        uint64_t random = seed * UINT64_C(0x9E3779B97F4A7C15), base = 0, distinct = 0, highest_plus_1 = 0;
        memset(seen, 0, sizeof seen);
        for (int i = 0; i < 6000; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            base = i / 2 + (random >> 33) % 60;
            uint64_t sequence = base < NUMBERS ? base : NUMBERS - 1;
            enum stream_verdict expected = seen[sequence] ? STREAM_DUPLICATE : sequence < highest_plus_1 ? STREAM_LATE : STREAM_NEW;
            assert_int_equal(stream_add(&s, sequence), expected);
            distinct += seen[sequence] ? 0 : 1;
            seen[sequence] = true;
            highest_plus_1 = sequence >= highest_plus_1 ? sequence + 1 : highest_plus_1;
            assert_int_equal(stream_get_received(&s), distinct);
            assert_int_equal(s.next, highest_plus_1);
        }
        stream_fini(&s);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_in_order_are_new_and_open_no_gap),
        cmocka_unit_test(a_number_that_was_jumped_over_is_late_once_and_then_a_duplicate),
        cmocka_unit_test(the_first_message_can_be_missing),
        cmocka_unit_test(too_many_gaps_give_up_the_oldest_and_stay_missing),
        cmocka_unit_test(random_arrivals_are_judged_as_by_a_list_of_everything_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
