#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/page.h"

static void
the_template_has_its_marker_once(void **state)
{
    (void)state;
    const char *marker = strstr(page_template, PAGE_MARKER);
    assert_non_null(marker);
    assert_null(strstr(marker + 1, PAGE_MARKER));
    assert_int_equal(strlen(page_template), page_template_end - page_template);
}

static void
data_takes_the_markers_place_and_cannot_end_the_script(void **state)
{
    char *page;
    size_t size;
    FILE *out = open_memstream(&page, &size);

    (void)state;
    page_write("{\"a\":\"</script><!--\"}", out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(page, "{\"a\":\"\\u003c/script>\\u003c!--\"}"));
    assert_null(strstr(page, PAGE_MARKER));
    assert_int_equal(size, strlen(page_template) - strlen(PAGE_MARKER) + strlen("{\"a\":\"\\u003c/script>\\u003c!--\"}"));
    free(page);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_template_has_its_marker_once),
        cmocka_unit_test(data_takes_the_markers_place_and_cannot_end_the_script),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
