#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <string.h>

#include "codec/reason.h"
#include "test/codec/wire.h"

CLAIM(every_reason_has_a_name_and_other_codes_have_one_in_common)
{
    /* MQTT5 2.4: these, and 0x80 to 0xa2 without a gap. */
    static const uint8_t low[] = {0x00, 0x01, 0x02, 0x04, 0x10, 0x11, 0x18, 0x19};
    int named = 0;
    for (int code = 0; code < 256; code++) {
        const char *name = reason_name((uint8_t)code);
        assert_non_null(name);
        bool known = memchr(low, code, sizeof low) != NULL || (code >= 0x80 && code <= 0xa2);
        assert_int_equal(strcmp(name, "Unknown reason code") != 0, known);
        named += known;
    }
    assert_int_equal(named, 43);
}

CLAIM(names_are_the_words_of_the_specification)
{
    assert_string_equal(reason_name(REASON_MALFORMED_PACKET), "Malformed Packet");
    assert_string_equal(reason_name(REASON_SESSION_TAKEN_OVER), "Session taken over");
    assert_string_equal(reason_name(REASON_TOPIC_NAME_INVALID), "Topic Name invalid");
}

/* MQTT3 [MQTT-3.2.2-6]: only the codes of table 3.1. */
CLAIM(return_codes_are_the_six_of_the_older_versions)
{
    for (int code = 0; code < 256; code++) {
        assert_true(reason_to_return_code((uint8_t)code) <= 5);
        assert_int_equal(reason_to_return_code((uint8_t)code) == 0, code < 0x80);
    }
}

CLAIM(return_codes_say_what_the_reasons_said)
{
    assert_int_equal(reason_to_return_code(REASON_SUCCESS), 0);
    assert_int_equal(reason_to_return_code(REASON_UNSUPPORTED_PROTOCOL_VERSION), 1);
    assert_int_equal(reason_to_return_code(REASON_CLIENT_IDENTIFIER_NOT_VALID), 2);
    assert_int_equal(reason_to_return_code(REASON_SERVER_UNAVAILABLE), 3);
    assert_int_equal(reason_to_return_code(REASON_SERVER_BUSY), 3);
    assert_int_equal(reason_to_return_code(REASON_QUOTA_EXCEEDED), 3);
    assert_int_equal(reason_to_return_code(REASON_BAD_USER_NAME_OR_PASSWORD), 4);
    assert_int_equal(reason_to_return_code(REASON_NOT_AUTHORIZED), 5);
    assert_int_equal(reason_to_return_code(REASON_BANNED), 5);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_has_a_name_and_other_codes_have_one_in_common),
        cmocka_unit_test(names_are_the_words_of_the_specification),
        cmocka_unit_test(return_codes_are_the_six_of_the_older_versions),
        cmocka_unit_test(return_codes_say_what_the_reasons_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
