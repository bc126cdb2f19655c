#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/stats.h"

#include <string.h>

static void
every_drop_reason_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DROP_REASONS; i++) {
        const char *name = stats_drop_name((enum drop_reason)i);
        assert_non_null(name);
        assert_true(strlen(name) > 0);
        for (unsigned k = 0; k < i; k++) {
            assert_string_not_equal(name, stats_drop_name((enum drop_reason)k));
        }
    }
}

static void
names_can_be_a_level_of_a_topic(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DROP_REASONS; i++) {
        const char *name = stats_drop_name((enum drop_reason)i);
        assert_null(strpbrk(name, "/+#"));
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789 -"), strlen(name));
    }
}

static void
counters_and_gauges_hold_what_was_put_in(void **state)
{
    (void)state;
    struct stats stats = {0};
    stats_add(&stats.connects, 3);
    stats_add(&stats.connects, UINT64_C(1) << 40);
    assert_int_equal(stats_get(&stats.connects), (UINT64_C(1) << 40) + 3);
    stats_add(&stats.sockets, 5);
    stats_sub(&stats.sockets, 2);
    assert_int_equal(stats_get(&stats.sockets), 3);
    stats_set(&stats.memory_bytes, 77);
    assert_int_equal(stats_get(&stats.memory_bytes), 77);
    stats_set(&stats.memory_bytes, 0);
    assert_int_equal(stats_get(&stats.memory_bytes), 0);
    assert_int_equal(stats_get(&stats.disconnects), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_drop_reason_has_a_name_of_its_own),
        cmocka_unit_test(names_can_be_a_level_of_a_topic),
        cmocka_unit_test(counters_and_gauges_hold_what_was_put_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
