#include "alloc/budget.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct budget budget;

static void
levels_rise_at_80_90_97_and_100_percent(void **state)
{
    (void)state;
    static const struct {
        int64_t bytes;
        enum budget_level level;
    } rows[] = {
        {0, BUDGET_FREE},
        {799, BUDGET_FREE},
        {800, BUDGET_HOLD_PUBLISHERS},
        {899, BUDGET_HOLD_PUBLISHERS},
        {900, BUDGET_DROP_QOS0},
        {969, BUDGET_DROP_QOS0},
        {970, BUDGET_REFUSE},
        {999, BUDGET_REFUSE},
        {1000, BUDGET_FULL},
        {5000, BUDGET_FULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        budget_init(&budget, 1, 1000);
        budget_charge(&budget.accounts[0], (uint64_t)rows[i].bytes);
        assert_int_equal(budget_settle(&budget, 0), rows[i].level);
    }
}

static void
shards_see_each_other_after_they_settle(void **state)
{
    (void)state;
    budget_init(&budget, 3, 1000);
    budget_charge(&budget.accounts[0], 500);
    budget_charge(&budget.accounts[2], 480);
    assert_int_equal(budget_settle(&budget, 0), BUDGET_FREE); /* 2 has not shown its own yet */
    assert_int_equal(budget_settle(&budget, 2), BUDGET_REFUSE);
    assert_int_equal(budget_settle(&budget, 1), BUDGET_REFUSE);
    assert_int_equal(budget_total(&budget), 980);

    budget_refund(&budget.accounts[2], 480);
    assert_int_equal(budget_settle(&budget, 2), BUDGET_FREE);
}

static void
no_limit_never_presses(void **state)
{
    (void)state;
    budget_init(&budget, 1, 0);
    budget_charge(&budget.accounts[0], (uint64_t)1 << 60);
    assert_int_equal(budget_settle(&budget, 0), BUDGET_FREE);
}

static void
an_account_below_zero_lowers_the_sum_but_not_below_zero(void **state)
{
    (void)state;
    budget_init(&budget, 2, 1000);
    budget_charge(&budget.accounts[0], 300);
    budget_refund(&budget.accounts[1], 200);
    budget_settle(&budget, 0);
    budget_settle(&budget, 1);
    assert_int_equal(budget_total(&budget), 100);
    budget_refund(&budget.accounts[1], 200);
    budget_settle(&budget, 1);
    assert_int_equal(budget_total(&budget), 0);
}

static void
a_huge_limit_does_not_overflow(void **state)
{
    (void)state;
    budget_init(&budget, 1, UINT64_MAX);
    budget_charge(&budget.accounts[0], 1 << 20);
    assert_int_equal(budget_settle(&budget, 0), BUDGET_FREE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_rise_at_80_90_97_and_100_percent),
        cmocka_unit_test(shards_see_each_other_after_they_settle),
        cmocka_unit_test(no_limit_never_presses),
        cmocka_unit_test(an_account_below_zero_lowers_the_sum_but_not_below_zero),
        cmocka_unit_test(a_huge_limit_does_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
