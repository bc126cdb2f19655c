#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/same.h"

#include <stdlib.h>

#define SIZE_MAX_TESTED 80u

static void
equal_bytes_are_the_same_whatever_follows(void **state)
{
    (void)state;
    for (uint32_t size = 0; size <= SIZE_MAX_TESTED; size++) {
        uint8_t a[SIZE_MAX_TESTED + 1], b[SIZE_MAX_TESTED + 1];
        memset(a, 1, sizeof a);
        memset(b, 2, sizeof b);
        memset(b, 1, size);
        assert_true(same_bytes(a, b, size));
    }
}

static void
one_bit_makes_a_difference_wherever_it_is(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= SIZE_MAX_TESTED; size++) {
        for (uint32_t bit = 0; bit < 8 * size; bit++) {
            uint8_t a[SIZE_MAX_TESTED] = {0}, b[SIZE_MAX_TESTED] = {0};
            b[bit / 8] = (uint8_t)(1u << bit % 8);
            assert_false(same_bytes(a, b, size));
        }
    }
}

static void
nothing_outside_is_read(void **state)
{
    (void)state;
    /* Exactly as large as needed: the address sanitizer sees the byte before and the one behind. */
    for (uint32_t size = 1; size <= SIZE_MAX_TESTED; size++) {
        uint8_t *a = calloc(1, size), *b = calloc(1, size);
        assert_true(a != NULL && b != NULL);
        assert_true(same_bytes(a, b, size));
        free(a);
        free(b);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_bytes_are_the_same_whatever_follows),
        cmocka_unit_test(one_bit_makes_a_difference_wherever_it_is),
        cmocka_unit_test(nothing_outside_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
