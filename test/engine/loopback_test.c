#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/route/loopback.h"

#include <string.h>

static uint64_t seed = 88172645463325252u;

static uint32_t
random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

/* The slow twin: records are numbered; size and content follow from the number. */
static uint32_t
size_of(uint64_t number)
{
    uint32_t mixed = (uint32_t)(number * 2654435761u >> 7);
    return mixed % 100 == 0 ? mixed % 20000 : mixed % 70;
}

static void
put(struct loopback *l, uint64_t number)
{
    uint32_t size = size_of(number);
    uint8_t *record = loopback_reserve(l, size);
    assert_int_equal((uintptr_t)record % 8, 0);
    for (uint32_t i = 0; i < size; i++) {
        record[i] = (uint8_t)(number * 7 + i);
    }
}

static void
assert_record(const void *record, uint32_t size, uint64_t number)
{
    assert_non_null(record);
    assert_int_equal(size, size_of(number));
    assert_int_equal((uintptr_t)record % 8, 0);
    const uint8_t *bytes = record;
    for (uint32_t i = 0; i < size; i++) {
        assert_int_equal(bytes[i], (uint8_t)(number * 7 + i));
    }
}

static void
an_empty_pass_is_over_at_once(void **state)
{
    (void)state;
    struct loopback l = {0};
    uint32_t size;
    assert_false(loopback_waiting(&l));
    for (uint32_t i = 0; i < 3; i++) {
        loopback_begin(&l);
        assert_null(loopback_next(&l, &size));
        assert_null(loopback_next(&l, &size));
    }
    loopback_fini(&l);
}

static void
records_come_out_in_the_order_they_went_in(void **state)
{
    (void)state;
    struct loopback l = {0};
    uint32_t size;
    for (uint64_t n = 0; n < 5000; n++) {
        put(&l, n);
    }
    assert_true(loopback_waiting(&l));
    loopback_begin(&l);
    assert_false(loopback_waiting(&l));
    for (uint64_t n = 0; n < 5000; n++) {
        const void *record = loopback_next(&l, &size);
        assert_record(record, size, n);
    }
    assert_null(loopback_next(&l, &size));
    loopback_fini(&l);
}

static void
what_goes_in_during_a_pass_comes_out_in_the_next(void **state)
{
    (void)state;
    struct loopback l = {0};
    uint32_t size;
    put(&l, 1);
    put(&l, 2);
    loopback_begin(&l);
    const void *first = loopback_next(&l, &size);
    for (uint64_t n = 3; n < 2000; n++) {
        put(&l, n); /* the buffer that is filled grows; the one that is drained stays where it is */
    }
    assert_record(first, size, 1);
    const void *second = loopback_next(&l, &size);
    assert_record(second, size, 2);
    assert_null(loopback_next(&l, &size));
    assert_true(loopback_waiting(&l));

    loopback_begin(&l);
    for (uint64_t n = 3; n < 2000; n++) {
        const void *record = loopback_next(&l, &size);
        assert_record(record, size, n);
    }
    assert_null(loopback_next(&l, &size));
    assert_false(loopback_waiting(&l));
    loopback_fini(&l);
}

static void
an_empty_record_is_a_record(void **state)
{
    (void)state;
    struct loopback l = {0};
    uint32_t size = 99;
    loopback_reserve(&l, 0);
    loopback_reserve(&l, 0);
    assert_true(loopback_waiting(&l));
    loopback_begin(&l);
    assert_non_null(loopback_next(&l, &size));
    assert_int_equal(size, 0);
    assert_non_null(loopback_next(&l, &size));
    assert_null(loopback_next(&l, &size));
    loopback_fini(&l);
}

static void
records_are_valid_until_the_next_pass_begins(void **state)
{
    (void)state;
    struct loopback l = {0};
    const void *records[100];
    uint32_t sizes[100], size;
    for (uint64_t n = 0; n < 100; n++) {
        put(&l, n);
    }
    loopback_begin(&l);
    for (uint32_t n = 0; n < 100; n++) {
        records[n] = loopback_next(&l, &sizes[n]);
    }
    assert_null(loopback_next(&l, &size));
    for (uint64_t n = 100; n < 3000; n++) {
        put(&l, n);
    }
    for (uint32_t n = 0; n < 100; n++) {
        assert_record(records[n], sizes[n], n);
    }
    loopback_fini(&l); /* with records left: their memory goes too */
    assert_false(loopback_waiting(&l));
}

/* Passes in which each record causes none, one or more new ones, as parcels do. */
static void
every_record_of_many_passes_comes_once_and_in_order(void **state)
{
    (void)state;
    struct loopback l = {0};
    uint64_t written = 0, read = 0;
    uint32_t size;
    for (uint32_t pass = 0; pass < 2000; pass++) {
        for (uint32_t i = random_below(8); i > 0; i--) {
            put(&l, written++);
        }
        uint64_t end = written;
        loopback_begin(&l);
        for (const void *record; (record = loopback_next(&l, &size)) != NULL;) {
            assert_record(record, size, read++);
            for (uint32_t i = random_below(10) < 7 ? 0 : random_below(4); i > 0; i--) {
                put(&l, written++);
            }
        }
        assert_int_equal(read, end);
        assert_int_equal(loopback_waiting(&l), written > read);
    }
    assert_true(read > 5000);
    loopback_fini(&l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_pass_is_over_at_once),
        cmocka_unit_test(records_come_out_in_the_order_they_went_in),
        cmocka_unit_test(what_goes_in_during_a_pass_comes_out_in_the_next),
        cmocka_unit_test(an_empty_record_is_a_record),
        cmocka_unit_test(records_are_valid_until_the_next_pass_begins),
        cmocka_unit_test(every_record_of_many_passes_comes_once_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
