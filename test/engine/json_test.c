#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/identity/json.h"
#include "test/codec/guarded.h"

#define VALUES_MAX 8

static cJSON *
read_sized(const void *text, uint32_t size)
{
    return json_read(guarded(bytes_of(text, size)), VALUES_MAX);
}

static bool
accepted(const char *text)
{
    cJSON *object = read_sized(text, (uint32_t)strlen(text));
    cJSON_Delete(object);
    return object != NULL;
}

static void
reads_an_object_and_its_members_by_exact_name(void **state)
{
    (void)state;
    static const char text[] = " {\"alg\": \"HS256\", \"n\": 1}\r\n";
    cJSON *object = read_sized(text, sizeof text - 1);
    struct bytes value;
    assert_non_null(object);
    assert_true(json_text(json_member(object, "alg"), &value) && bytes_equal(value, bytes_of("HS256", 5)));
    assert_null(json_member(object, "ALG"));
    assert_false(json_text(json_member(object, "n"), &value));
    assert_false(json_text(json_member(object, "absent"), &value));
    cJSON_Delete(object);
}

static void
refuses_what_is_not_one_object(void **state)
{
    (void)state;
    static const char *const texts[] = {"", " ", "[]", "\"a\"", "1", "null", "{}{}", "{} x", "{", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{'a':1}", "{\"a\":tru}"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_false(accepted(texts[i]));
    }
    assert_true(accepted("{}"));
}

static void
refuses_a_name_that_comes_twice(void **state)
{
    (void)state;
    assert_false(accepted("{\"sub\":\"a\",\"sub\":\"b\"}"));
    assert_false(accepted("{\"o\":{\"x\":1,\"y\":2,\"x\":3}}"));
    assert_false(accepted("{\"o\":[{\"x\":1,\"x\":3}]}"));
    assert_false(accepted("{\"sub\":\"a\",\"s\\u0075b\":\"b\"}")); /* the same name, written otherwise */
    assert_true(accepted("{\"sub\":\"a\",\"Sub\":\"b\"}"));
    assert_true(accepted("{\"a\":{\"x\":1},\"b\":{\"x\":1}}"));
}

static void
refuses_a_nul_in_a_string_however_it_is_written(void **state)
{
    (void)state;
    assert_false(accepted("{\"sub\":\"admin\\u0000x\"}"));
    assert_false(accepted("{\"su\\u0000b\":\"admin\"}"));
    static const char raw[] = "{\"sub\":\"admin\0x\"}";
    assert_null(read_sized(raw, sizeof raw - 1));
    assert_true(accepted("{\"sub\":\"admin\\\\u0000\"}")); /* a backslash, then letters */
}

static void
refuses_control_characters_and_bad_utf8(void **state)
{
    (void)state;
    assert_false(accepted("{\"a\":\"x\ny\"}"));
    assert_false(accepted("{\v}"));
    assert_false(accepted("{\"a\":\"\xff\"}"));
    assert_false(accepted("{\"a\":\"\xed\xa0\x80\"}"));
    assert_false(accepted("{\"a\":\"\\ud800\"}"));
    assert_true(accepted("{\"a\":\"\\ud83d\\ude00\\n\"}"));
}

static void
counts_depth_and_values_outside_of_strings_only(void **state)
{
    (void)state;
    assert_true(accepted("{\"a\":\"{{{{{{{{{{{{{{{{{{{{[[[[[[[[[,,,,,,,,,,,,,,,\"}"));
    assert_true(accepted("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1}"));
    assert_false(accepted("{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1}"));
    char deep[2 * JSON_DEPTH_MAX + 16] = "{\"a\":";
    memset(deep + 5, '[', JSON_DEPTH_MAX);
    memset(deep + 5 + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    strcpy(deep + 5 + 2 * JSON_DEPTH_MAX, "}");
    assert_null(json_read(bytes_of(deep, (uint32_t)strlen(deep)), 1000));
    deep[4] = ' ';
    deep[5] = ':';
    deep[4 + 2 * JSON_DEPTH_MAX] = ' ';
    cJSON *allowed = json_read(bytes_of(deep, (uint32_t)strlen(deep)), 1000);
    assert_non_null(allowed);
    cJSON_Delete(allowed);
}

static void
every_proper_prefix_is_refused_without_reading_on(void **state)
{
    (void)state;
    static const char text[] = "{\"a\":[1,{\"b\":\"c\\u00e4\"}],\"d\":false}";
    for (uint32_t size = 0; size < sizeof text - 1; size++) {
        assert_null(read_sized(text, size));
    }
    assert_true(accepted(text));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_an_object_and_its_members_by_exact_name),
        cmocka_unit_test(refuses_what_is_not_one_object),
        cmocka_unit_test(refuses_a_name_that_comes_twice),
        cmocka_unit_test(refuses_a_nul_in_a_string_however_it_is_written),
        cmocka_unit_test(refuses_control_characters_and_bad_utf8),
        cmocka_unit_test(counts_depth_and_values_outside_of_strings_only),
        cmocka_unit_test(every_proper_prefix_is_refused_without_reading_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
