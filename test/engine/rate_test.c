#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/limits/rate.h"

#include <pthread.h>

#define MS UINT64_C(1000000)
#define SECOND (1000 * MS)

static void
burst_goes_at_once_and_no_more(void **state)
{
    (void)state;
    struct rate_rule rule = {.per_second = 10, .burst = 5};
    struct rate_bucket bucket = {0};
    for (int i = 0; i < 5; i++) {
        assert_true(rate_take(&bucket, &rule, SECOND, 1));
    }
    assert_false(rate_take(&bucket, &rule, SECOND, 1));
    assert_false(rate_take(&bucket, &rule, SECOND + 99 * MS, 1));
    assert_true(rate_take(&bucket, &rule, SECOND + 100 * MS, 1));
    assert_false(rate_take(&bucket, &rule, SECOND + 100 * MS, 1));
}

static void
refused_take_costs_nothing(void **state)
{
    (void)state;
    struct rate_rule rule = {.per_second = 10, .burst = 5};
    struct rate_bucket bucket = {0};
    assert_false(rate_take(&bucket, &rule, SECOND, 6));
    assert_true(rate_take(&bucket, &rule, SECOND, 5));
}

static void
full_bucket_holds_the_burst_however_long_it_waited(void **state)
{
    (void)state;
    struct rate_rule rule = {.per_second = 1000, .burst = 3};
    struct rate_bucket bucket = {0};
    assert_true(rate_take(&bucket, &rule, 100000 * SECOND, 3));
    assert_false(rate_take(&bucket, &rule, 100000 * SECOND, 1));
}

static void
charge_answers_when_the_debt_is_paid(void **state)
{
    (void)state;
    struct rate_rule rule = {.per_second = 100, .burst = 10};
    struct rate_bucket bucket = {0};
    assert_int_equal(rate_charge(&bucket, &rule, SECOND, 10), 0);
    assert_int_equal(rate_charge(&bucket, &rule, SECOND, 1), 10 * MS);
    assert_int_equal(rate_charge(&bucket, &rule, SECOND, 1), 20 * MS);
    assert_int_equal(rate_charge(&bucket, &rule, SECOND + 20 * MS, 0), 0);
    assert_int_equal(rate_charge(&bucket, &rule, SECOND + 20 * MS, 1), 10 * MS);
}

/* Q1 and Q2: whoever waits as told gets exactly the rate, even where waits are rounded up to whole milliseconds. */
static void
who_waits_as_told_gets_the_rate(void **state)
{
    (void)state;
    static const struct rate_rule rules[] = {{1, 1}, {3, 1}, {1000, 10}, {100000, 1000}, {4000000000u, 40000000u}};
    for (unsigned i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct rate_bucket bucket = {0};
        uint64_t step = rules[i].per_second / 1000 + 1;
        uint64_t start_ns = 5 * SECOND, now_ns = start_ns, taken = 0;
        while (now_ns < start_ns + 100 * SECOND) {
            uint64_t wait_ns = rate_charge(&bucket, &rules[i], now_ns, step);
            taken += step;
            now_ns += (wait_ns + MS - 1) / MS * MS;
        }
        uint64_t most = rules[i].burst + 100ull * rules[i].per_second + step;
        assert_true(taken <= most);
        assert_true(taken >= 99ull * rules[i].per_second);
    }
}

static void
no_rule_is_no_limit(void **state)
{
    (void)state;
    struct rate_rule none = {0};
    struct rate_bucket bucket = {0};
    assert_true(rate_take(&bucket, &none, 1, 1000000));
    assert_int_equal(rate_charge(&bucket, &none, 1, 1000000), 0);
    assert_int_equal(bucket.full_ns, 0);
}

static void
largest_count_at_the_smallest_rate_does_not_wrap(void **state)
{
    (void)state;
    struct rate_rule rule = {.per_second = 1, .burst = UINT32_MAX};
    struct rate_bucket bucket = {0};
    assert_true(rate_take(&bucket, &rule, SECOND, UINT32_MAX));
    assert_int_equal(rate_charge(&bucket, &rule, SECOND, UINT32_MAX), UINT32_MAX * SECOND);
}

/* ------------------------------------------------------------------------------------------------------------- shared */

#define THREADS 4
#define TRIES 20000

static struct rate_shared_bucket shared;
static const struct rate_rule shared_rule = {.per_second = 1, .burst = 1000};
static _Atomic unsigned shared_taken;

static void *
take_many(void *unused)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (rate_take_shared(&shared, &shared_rule, SECOND, 1)) {
            atomic_fetch_add(&shared_taken, 1);
        }
    }
    return unused;
}

static void
threads_share_one_burst(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, take_many, NULL), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(atomic_load(&shared_taken), 1000);
    assert_int_equal(rate_charge_shared(&shared, &shared_rule, SECOND, 2, 10 * SECOND), 2 * SECOND);
}

/* What others owe is forgotten beyond a bound; what the newcomer takes is not. */
static void
shared_debt_has_a_bound(void **state)
{
    (void)state;
    struct rate_shared_bucket bucket = {0};
    const struct rate_rule ten = {.per_second = 10, .burst = 10};
    assert_int_equal(rate_charge_shared(&bucket, &ten, SECOND, 10, SECOND), 0);
    assert_int_equal(rate_charge_shared(&bucket, &ten, SECOND, 30, SECOND), 3 * SECOND);
    assert_int_equal(rate_debt_shared(&bucket, &ten, SECOND), 3 * SECOND);
    for (int i = 0; i < 1000; i++) {
        assert_true(rate_charge_shared(&bucket, &ten, SECOND, 5, SECOND) <= SECOND * 3 / 2);
    }
    assert_int_equal(rate_debt_shared(&bucket, &ten, 2 * SECOND), SECOND / 2);
    assert_int_equal(rate_debt_shared(&bucket, &ten, 3 * SECOND), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_goes_at_once_and_no_more),
        cmocka_unit_test(refused_take_costs_nothing),
        cmocka_unit_test(full_bucket_holds_the_burst_however_long_it_waited),
        cmocka_unit_test(charge_answers_when_the_debt_is_paid),
        cmocka_unit_test(who_waits_as_told_gets_the_rate),
        cmocka_unit_test(no_rule_is_no_limit),
        cmocka_unit_test(largest_count_at_the_smallest_rate_does_not_wrap),
        cmocka_unit_test(threads_share_one_burst),
        cmocka_unit_test(shared_debt_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
