#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bench/load/histogram.h"

static struct histogram h, other;

static uint64_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void
every_value_lies_in_its_bucket_and_above_the_one_before(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int64_t delta = -1; delta <= 1; delta++) {
            uint64_t value = (UINT64_C(1) << shift) + (uint64_t)delta;
            uint32_t bucket = histogram_bucket_of(value);
            assert_true(bucket < HISTOGRAM_BUCKETS);
            assert_true(value <= histogram_bucket_high(bucket));
            assert_true(bucket == 0 || value > histogram_bucket_high(bucket - 1));
        }
    }
}

static void
the_last_bucket_ends_with_the_largest_value(void **state)
{
    (void)state;
    assert_int_equal(histogram_bucket_of(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
    assert_true(histogram_bucket_high(HISTOGRAM_BUCKETS - 1) == UINT64_MAX);
}

static void
no_bucket_is_wider_than_a_128th_of_its_values(void **state)
{
    (void)state;
    for (uint32_t i = HISTOGRAM_SUB_COUNT + 1; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t low = histogram_bucket_high(i - 1) + 1;
        assert_true(histogram_bucket_high(i) - low <= low / HISTOGRAM_SUB_COUNT);
    }
}

static void
an_empty_histogram_answers_zero(void **state)
{
    (void)state;
    histogram_init(&h);
    assert_int_equal(histogram_get_quantile(&h, 0.99), 0);
    assert_true(histogram_get_mean(&h) == 0.0);
}

static void
a_single_value_is_every_quantile(void **state)
{
    (void)state;
    histogram_init(&h);
    histogram_add(&h, 123457);
    assert_int_equal(histogram_get_quantile(&h, 0.0), 123457);
    assert_int_equal(histogram_get_quantile(&h, 0.5), 123457);
    assert_int_equal(histogram_get_quantile(&h, 1.0), 123457);
}

static int
compare_values(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void
quantiles_agree_with_a_sorted_array(void **state)
{
    static uint64_t values[10000];
    static const double quantiles[] = {0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0};
    uint64_t seed = 42;

    (void)state;
    histogram_init(&h);
    for (size_t i = 0; i < 10000; i++) {
        values[i] = next_random(&seed) >> (next_random(&seed) % 50);
        histogram_add(&h, values[i]);
    }
    qsort(values, 10000, sizeof values[0], compare_values);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        uint64_t exact = values[(size_t)(quantiles[i] * 10000 + 0.5) - 1];
        uint64_t answer = histogram_get_quantile(&h, quantiles[i]);
        assert_true(answer >= exact && answer - exact <= exact / HISTOGRAM_SUB_COUNT);
    }
    assert_true(h.min == values[0] && h.max == values[9999]);
}

static void
merging_is_adding_all_values_to_one(void **state)
{
    uint64_t seed = 7;

    (void)state;
    static struct histogram all;
    histogram_init(&h);
    histogram_init(&other);
    histogram_init(&all);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = next_random(&seed) >> 40;
        histogram_add(i % 3 == 0 ? &h : &other, value);
        histogram_add(&all, value);
    }
    histogram_merge(&h, &other);
    assert_memory_equal(&h, &all, sizeof h);
}

static void
an_interval_is_what_came_between_two_copies(void **state)
{
    static struct histogram before, interval;

    (void)state;
    histogram_init(&h);
    histogram_init(&before);
    for (uint64_t i = 0; i < 100; i++) {
        histogram_add(&h, 1000000);
    }
    histogram_merge(&before, &h);
    for (uint64_t i = 1; i <= 100; i++) {
        histogram_add(&h, i);
    }
    histogram_subtract(&interval, &h, &before);
    assert_int_equal(interval.count, 100);
    assert_int_equal(interval.sum, 5050);
    assert_int_equal(histogram_get_quantile(&interval, 0.5), 50);
    assert_int_equal(histogram_get_quantile(&interval, 1.0), 100);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_interval_is_what_came_between_two_copies),
        cmocka_unit_test(every_value_lies_in_its_bucket_and_above_the_one_before),
        cmocka_unit_test(the_last_bucket_ends_with_the_largest_value),
        cmocka_unit_test(no_bucket_is_wider_than_a_128th_of_its_values),
        cmocka_unit_test(an_empty_histogram_answers_zero),
        cmocka_unit_test(a_single_value_is_every_quantile),
        cmocka_unit_test(quantiles_agree_with_a_sorted_array),
        cmocka_unit_test(merging_is_adding_all_values_to_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
