#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/session/received.h"

#include <string.h>

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

static bool twin[65536];

static void
check(const struct received *r)
{
    uint32_t count = 0;
    for (uint32_t id = 0; id <= UINT16_MAX; id++) {
        assert_int_equal(received_has(r, (uint16_t)id), twin[id]);
        count += twin[id];
    }
    assert_int_equal(r->count, count);
    for (uint32_t i = 1; i < r->count; i++) {
        assert_true(r->ids[i - 1] < r->ids[i]);
    }
}

static void
an_empty_one_has_nothing_and_gives_nothing_back(void **state)
{
    (void)state;
    struct received r = {0};
    assert_false(received_has(&r, 1));
    assert_false(received_has(&r, 65535));
    assert_false(received_remove(&r, 1));
    received_fini(&account, &r);
}

static void
an_identifier_is_released_once(void **state)
{
    (void)state;
    struct received r = {0};
    assert_true(received_add(&account, &r, 7));
    assert_true(received_has(&r, 7));
    assert_false(received_has(&r, 6));
    assert_false(received_has(&r, 8));
    assert_false(received_remove(&r, 6));
    assert_false(received_remove(&r, 8));
    assert_true(received_remove(&r, 7));
    assert_false(received_remove(&r, 7));
    assert_false(received_has(&r, 7));
    received_fini(&account, &r);
}

static void
fini_leaves_one_that_can_be_used_again(void **state)
{
    (void)state;
    struct received r = {0};
    assert_true(received_add(&account, &r, 1));
    received_fini(&account, &r);
    assert_false(received_has(&r, 1));
    assert_true(received_add(&account, &r, 1));
    assert_int_equal(r.count, 1);
    received_fini(&account, &r);
}

static void
all_identifiers_fit_in_any_order(void **state)
{
    (void)state;
    static uint16_t order[65535];
    for (uint32_t i = 0; i < 65535; i++) {
        uint32_t j = random_below(i + 1);
        order[i] = order[j];
        order[j] = (uint16_t)(i + 1);
    }
    memset(twin, 0, sizeof twin);
    struct received r = {0};
    for (uint32_t i = 0; i < 65535; i++) {
        assert_true(received_add(&account, &r, order[i]));
        twin[order[i]] = true;
        if (i % 30000 == 0) {
            check(&r);
        }
    }
    check(&r);
    for (uint32_t i = 0; i < 65535; i++) {
        assert_true(received_remove(&r, order[i]));
    }
    memset(twin, 0, sizeof twin);
    check(&r);
    received_fini(&account, &r);
}

/* Narrow ranges collide all the time, wide ones hardly ever; both ends of the range are in. */
static void
it_agrees_with_a_bitmap(void **state)
{
    (void)state;
    static const struct {
        uint32_t from, range;
    } rows[] = {{1, 3}, {1, 40}, {65535 - 39, 40}, {1, 2000}, {1, 65535}};
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        memset(twin, 0, sizeof twin);
        struct received r = {0};
        for (uint32_t step = 0; step < 20000; step++) {
            uint16_t id = (uint16_t)(rows[row].from + random_below(rows[row].range));
            assert_int_equal(received_has(&r, id), twin[id]);
            if (twin[id] || random_below(4) == 0) {
                assert_int_equal(received_remove(&r, id), twin[id]);
                twin[id] = false;
            } else {
                assert_true(received_add(&account, &r, id));
                twin[id] = true;
            }
            if (step % 10000 == 0) {
                check(&r);
            }
        }
        check(&r);
        received_fini(&account, &r);
    }
}

static void
what_it_holds_is_charged(void **state)
{
    (void)state;
    struct received r = {0};
    int64_t before = account.bytes;
    for (uint32_t id = 1; id <= 1000; id++) {
        assert_true(received_add(&account, &r, (uint16_t)id));
    }
    assert_in_range(account.bytes - before, 1000 * sizeof(uint16_t), 2 * 1000 * sizeof(uint16_t) + 100);
    received_fini(&account, &r);
    assert_int_equal(account.bytes, before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_it_holds_is_charged),
        cmocka_unit_test(an_empty_one_has_nothing_and_gives_nothing_back),
        cmocka_unit_test(an_identifier_is_released_once),
        cmocka_unit_test(fini_leaves_one_that_can_be_used_again),
        cmocka_unit_test(all_identifiers_fit_in_any_order),
        cmocka_unit_test(it_agrees_with_a_bitmap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
