#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/subscribers.h"

static uint64_t seed = 88172645463325252u;

static uint32_t
random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

/* Each place in a list is held by a subscription that knows it. */
static void
assert_list(const struct subscribers *s, uint32_t filter_id, uint32_t count)
{
    struct subscriber_list list = subscribers_get(s, filter_id);
    assert_int_equal(list.count, count);
    for (uint32_t i = 0; i < list.count; i++) {
        assert_int_equal(list.items[i]->position, i);
        assert_int_equal(list.items[i]->filter_id, filter_id);
    }
}

static void
a_filter_that_nobody_holds_has_an_empty_list(void **state)
{
    (void)state;
    struct subscribers s = {0};
    assert_list(&s, 0, 0);
    assert_list(&s, UINT32_MAX, 0);
    struct subscription subscription = {.filter_id = 5};
    assert_true(subscribers_add(&s, &subscription));
    assert_list(&s, 4, 0);
    assert_list(&s, 5, 1);
    assert_list(&s, UINT32_MAX, 0);
    subscribers_fini(&s);
}

static void
removal_tells_how_many_are_left(void **state)
{
    (void)state;
    struct subscribers s = {0};
    struct subscription all[10];
    for (uint32_t i = 0; i < 10; i++) {
        all[i] = (struct subscription){.filter_id = 3};
        assert_true(subscribers_add(&s, &all[i]));
    }
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(subscribers_remove(&s, &all[i]), 9 - i);
        assert_list(&s, 3, 9 - i);
    }
    subscribers_fini(&s);
}

/* First, middle and last: the one that fills the gap is told its new place. */
static void
the_last_one_takes_the_place_that_became_free(void **state)
{
    (void)state;
    for (uint32_t leaver = 0; leaver < 4; leaver++) {
        struct subscribers s = {0};
        struct subscription all[4];
        for (uint32_t i = 0; i < 4; i++) {
            all[i] = (struct subscription){.filter_id = 1};
            assert_true(subscribers_add(&s, &all[i]));
        }
        subscribers_remove(&s, &all[leaver]);
        assert_list(&s, 1, 3);
        if (leaver != 3) {
            assert_ptr_equal(subscribers_get(&s, 1).items[leaver], &all[3]);
        }
        subscribers_fini(&s);
    }
}

static void
an_emptied_list_keeps_no_memory(void **state)
{
    (void)state;
    struct subscribers s = {0};
    struct subscription all[100];
    for (uint32_t i = 0; i < 100; i++) {
        all[i] = (struct subscription){.filter_id = 7};
        assert_true(subscribers_add(&s, &all[i]));
    }
    for (uint32_t i = 0; i < 100; i++) {
        subscribers_remove(&s, &all[i]);
    }
    assert_null(subscribers_get(&s, 7).items);
    assert_int_equal(s.chunks[0][7], 0);
    assert_true(subscribers_add(&s, &all[0])); /* and starts anew */
    assert_list(&s, 7, 1);
    subscribers_fini(&s);
}

static void
lists_survive_a_growing_table(void **state)
{
    (void)state;
    struct subscribers s = {0};
    static const uint32_t ids[] = {0, 255, 256, 257, 767, 768, 1000, 131071, 131072};
    enum { COUNT = sizeof ids / sizeof ids[0] };
    struct subscription all[COUNT];
    for (uint32_t i = 0; i < COUNT; i++) {
        all[i] = (struct subscription){.filter_id = ids[i]};
        assert_true(subscribers_add(&s, &all[i]));
        for (uint32_t k = 0; k <= i; k++) {
            assert_list(&s, ids[k], 1);
            assert_ptr_equal(subscribers_get(&s, ids[k]).items[0], &all[k]);
        }
    }
    subscribers_fini(&s);
}

enum { FILTERS = 40, SUBSCRIPTIONS = 600 };

/* Slow twin: for every subscription, whether it is in. */
static void
compare(const struct subscribers *s, struct subscription *all, const bool *in)
{
    uint32_t counts[FILTERS] = {0};
    for (uint32_t i = 0; i < SUBSCRIPTIONS; i++) {
        if (in[i]) {
            counts[all[i].filter_id]++;
            struct subscriber_list list = subscribers_get(s, all[i].filter_id);
            assert_true(all[i].position < list.count);
            assert_ptr_equal(list.items[all[i].position], &all[i]);
        }
    }
    for (uint32_t id = 0; id < FILTERS; id++) {
        assert_list(s, id, counts[id]);
    }
}

static void
lists_hold_what_a_slow_twin_holds(void **state)
{
    (void)state;
    struct subscribers s = {0};
    static struct subscription all[SUBSCRIPTIONS];
    static bool in[SUBSCRIPTIONS];
    for (uint32_t step = 0; step < 20000; step++) {
        uint32_t i = random_below(SUBSCRIPTIONS);
        if (!in[i]) {
            all[i].filter_id = random_below(FILTERS) * random_below(FILTERS) / FILTERS; /* some are popular */
            assert_true(subscribers_add(&s, &all[i]));
        } else {
            uint32_t before = subscribers_get(&s, all[i].filter_id).count;
            assert_int_equal(subscribers_remove(&s, &all[i]), before - 1);
        }
        in[i] = !in[i];
        if (step % 50 == 0) {
            compare(&s, all, in);
        }
    }
    for (uint32_t i = 0; i < SUBSCRIPTIONS; i++) {
        if (in[i]) {
            subscribers_remove(&s, &all[i]);
            in[i] = false;
        }
    }
    compare(&s, all, in);
    subscribers_fini(&s);
    assert_null(s.chunks[0]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_filter_that_nobody_holds_has_an_empty_list),
        cmocka_unit_test(removal_tells_how_many_are_left),
        cmocka_unit_test(the_last_one_takes_the_place_that_became_free),
        cmocka_unit_test(an_emptied_list_keeps_no_memory),
        cmocka_unit_test(lists_survive_a_growing_table),
        cmocka_unit_test(lists_hold_what_a_slow_twin_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
