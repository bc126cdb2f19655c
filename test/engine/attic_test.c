#include "engine/config/attic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct attic attic;

static int
empty(void **state)
{
    (void)state;
    attic_fini(&attic);
    return 0;
}

static void
put(uint64_t now_s)
{
    struct config *config = config_default();
    assert_non_null(config);
    attic_add(&attic, &config, now_s);
    assert_null(config);
}

static void
what_work_may_still_use_stays(void **state)
{
    (void)state;
    put(100);
    put(200);
    attic_clear(&attic, 100 + ATTIC_KEEP_S);
    assert_int_equal(attic.count, 2);
    attic_clear(&attic, 101 + ATTIC_KEEP_S);
    assert_int_equal(attic.count, 1);
    assert_int_equal(attic.since_s[0], 200);
    assert_non_null(attic.all[0]);
}

static void
reloads_have_no_end_as_long_as_they_are_not_all_at_once(void **state)
{
    (void)state;
    for (uint64_t day = 0; day < 4000; day++) {
        attic_clear(&attic, day * 86400);
        assert_false(attic_is_full(&attic));
        put(day * 86400);
    }
    assert_int_equal(attic.count, 1);
}

static void
so_many_within_an_hour_and_no_more(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ATTIC_MAX; i++) {
        assert_false(attic_is_full(&attic));
        put(7);
    }
    assert_true(attic_is_full(&attic));
    attic_clear(&attic, 8 + ATTIC_KEEP_S);
    assert_int_equal(attic.count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_work_may_still_use_stays, empty),
        cmocka_unit_test_teardown(reloads_have_no_end_as_long_as_they_are_not_all_at_once, empty),
        cmocka_unit_test_teardown(so_many_within_an_hour_and_no_more, empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
