#include "engine/durable/recall.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct budget budget;

static void
start(struct recall *r)
{
    budget_init(&budget, 1, 0);
    recall_init(r, &budget.accounts[0]);
}

static void
end(struct recall *r)
{
    recall_fini(r);
    assert_int_equal(budget.accounts[0].bytes, 0);
}

static void
an_empty_table_has_nothing(void **state)
{
    (void)state;
    struct recall r;
    start(&r);
    uint64_t at = 0;
    assert_null(recall_get(&r, 1, 2));
    assert_null(recall_next(&r, &at));
    recall_remove(&r, 1, 2);
    end(&r);
}

static void
both_numbers_tell_things_apart(void **state)
{
    (void)state;
    struct recall r;
    int a, b, c;
    start(&r);
    assert_true(recall_add(&r, 1, 2, &a) && recall_add(&r, 2, 1, &b) && recall_add(&r, 1, 1, &c));
    assert_ptr_equal(recall_get(&r, 1, 2), &a);
    assert_ptr_equal(recall_get(&r, 2, 1), &b);
    assert_ptr_equal(recall_get(&r, 1, 1), &c);
    assert_null(recall_get(&r, 2, 2));
    end(&r);
}

/* Against a plain array of what should be there. */
#define FIRSTS 16u
#define SECONDS 64u

static void
it_agrees_with_a_plain_array_whatever_comes_and_goes(void **state)
{
    (void)state;
    struct recall r;
    static char things[FIRSTS * SECONDS];
    static bool there[FIRSTS * SECONDS];
    memset(there, 0, sizeof there);
    srand(7);
    start(&r);
    uint64_t count = 0;
    for (unsigned step = 0; step < 200000; step++) {
        unsigned i = (unsigned)rand() % (FIRSTS * SECONDS);
        /* Mostly growing at first, mostly shrinking at last. */
        bool add = (unsigned)rand() % 200000 > step;
        if (add && !there[i]) {
            assert_true(recall_add(&r, i / SECONDS, i % SECONDS, &things[i]));
            count++;
        } else if (!add) {
            recall_remove(&r, i / SECONDS, i % SECONDS);
            count -= there[i];
        }
        there[i] = add;
        unsigned other = (unsigned)rand() % (FIRSTS * SECONDS);
        assert_ptr_equal(recall_get(&r, other / SECONDS, other % SECONDS), there[other] ? &things[other] : NULL);
        assert_int_equal(r.count, count);
    }
    uint64_t at = 0;
    uint64_t walked = 0;
    for (char *thing; (thing = recall_next(&r, &at)) != NULL; walked++) {
        assert_true(there[thing - things]);
    }
    assert_int_equal(walked, count);
    end(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_has_nothing),
        cmocka_unit_test(both_numbers_tell_things_apart),
        cmocka_unit_test(it_agrees_with_a_plain_array_whatever_comes_and_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
