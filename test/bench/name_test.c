#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/name.h"

static void
numbers_and_identifiers_are_filled_in(void **state)
{
    struct options o = {.first = 10, .run = 77};
    char out[256];

    (void)state;
    name_write("a/%i/%c/100%%", &o, 3, 5, out, sizeof out);
    assert_string_equal(out, "a/13/bench77x5/100%");
    o.client_id = "me-%i";
    name_write("%c", &o, 3, 5, out, sizeof out);
    assert_string_equal(out, "me-15");
}

static void
what_cannot_be_filled_in_is_refused(void **state)
{
    char long_name[300];

    (void)state;
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_null(name_check("t/%i/%c/%%", true));
    assert_non_null(name_check("", true));
    assert_non_null(name_check("t/%u", true));
    assert_non_null(name_check("t/%", true));
    assert_non_null(name_check("%c", false));
    assert_non_null(name_check(long_name, true));
}

static void
a_name_never_leaves_its_room(void **state)
{
    struct options o = {.run = 1234567};
    char out[8];

    (void)state;
    name_write("abc%i%i%i%i", &o, 1000000000, 0, out, sizeof out);
    assert_int_equal(strlen(out), 7);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_and_identifiers_are_filled_in),
        cmocka_unit_test(what_cannot_be_filled_in_is_refused),
        cmocka_unit_test(a_name_never_leaves_its_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
