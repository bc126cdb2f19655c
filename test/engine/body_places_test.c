#include "engine/durable/body_places.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct budget_account account;
static struct body_places places;

static void
add(uint64_t number, uint64_t segment, uint32_t offset)
{
    struct journal_record record = {.position = segment * 1000 + offset, .place = {segment, offset}, .content = {.size = offset + 1}};
    assert_true(body_places_add(&places, number, &record));
}

static void
expect_at(uint64_t number, uint64_t segment, uint32_t offset)
{
    struct body_place place;
    assert_true(body_places_find(&places, number, &place));
    assert_int_equal(place.place.segment, segment);
    assert_int_equal(place.place.offset, offset);
    assert_int_equal(place.size, offset + 1);
    assert_true(place.position >= segment * 1000 && place.position <= segment * 1000 + offset);
}

static int
begin(void **state)
{
    (void)state;
    account = (struct budget_account){0};
    body_places_init(&places, &account);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    body_places_fini(&places);
    assert_int_equal(account.bytes, 0);
    return 0;
}

static void
each_number_is_found_where_it_was_added(void **state)
{
    (void)state;
    struct body_place place;
    for (uint32_t i = 0; i < 300; i++) {
        add(10 + 3 * i, 1 + i / 100, 8 * (i % 100));
    }
    for (uint32_t i = 0; i < 300; i++) {
        expect_at(10 + 3 * i, 1 + i / 100, 8 * (i % 100));
        assert_false(body_places_find(&places, 11 + 3 * i, &place));
    }
    assert_false(body_places_find(&places, 9, &place));
}

static void
numbers_need_not_grow(void **state)
{
    (void)state;
    add(7, 1, 0);
    add(5, 1, 8);
    add(UINT64_MAX, 1, 16);
    add(6, 2, 0);
    add(6, 2, 8);
    expect_at(7, 1, 0);
    expect_at(5, 1, 8);
    expect_at(UINT64_MAX, 1, 16);
    expect_at(6, 2, 0);
}

static void
nothing_is_found_in_none(void **state)
{
    (void)state;
    struct body_place place;
    assert_false(body_places_find(&places, 1, &place));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_number_is_found_where_it_was_added, begin, end),
        cmocka_unit_test_setup_teardown(numbers_need_not_grow, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_found_in_none, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
