#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "engine/identity/base64.h"
#include "test/codec/wire.h"

/* RFC 4648 section 10. */
static const struct {
    const char *plain, *padded, *unpadded;
} vectors[] = {
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
};

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

static int32_t
decode(const char *text, enum base64_padding padding, uint32_t room)
{
    uint8_t out[64];
    return base64_decode(guarded(text_of(text)), padding, out, room);
}

CLAIM(the_vectors_of_rfc_4648_go_both_ways)
{
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        char text[32];
        uint8_t bytes[32];
        base64_encode(text_of(vectors[i].plain), BASE64_PADDED, text);
        assert_string_equal(text, vectors[i].padded);
        assert_int_equal(strlen(text), base64_size((uint32_t)strlen(vectors[i].plain), BASE64_PADDED));
        base64_encode(text_of(vectors[i].plain), BASE64_UNPADDED, text);
        assert_string_equal(text, vectors[i].unpadded);
        assert_int_equal(strlen(text), base64_size((uint32_t)strlen(vectors[i].plain), BASE64_UNPADDED));
        assert_int_equal(base64_decode(text_of(vectors[i].padded), BASE64_PADDED, bytes, sizeof bytes), strlen(vectors[i].plain));
        assert_memory_equal(bytes, vectors[i].plain, strlen(vectors[i].plain));
        assert_int_equal(base64_decode(text_of(vectors[i].unpadded), BASE64_UNPADDED, bytes, sizeof bytes), strlen(vectors[i].plain));
    }
}

CLAIM(every_byte_comes_back)
{
    uint8_t bytes[256], back[256];
    char text[400];
    for (unsigned i = 0; i < 256; i++) {
        bytes[i] = (uint8_t)(i * 7);
    }
    for (uint32_t size = 0; size <= 256; size++) {
        base64_encode(bytes_of(bytes, size), BASE64_PADDED, text);
        assert_int_equal(base64_decode(text_of(text), BASE64_PADDED, back, size), size);
        assert_memory_equal(bytes, back, size);
    }
}

CLAIM(a_second_spelling_is_refused)
{
    static const char *const wrong[] = {"Zg", "Zg=", "Zg===", "Z", "Zh==", "Zm9=", "Zm8 ", " Zm9v", "Zm9v\n", "Zm9v=", "====", "Z===", "Zg==Zg==", "Zm-_", "Z\xc3\xa9=="};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(decode(wrong[i], BASE64_PADDED, 64), -1);
    }
    static const char *const unpadded[] = {"Zg==", "Zm8=", "Z", "Zh", "Zm9"};
    for (size_t i = 0; i < sizeof unpadded / sizeof unpadded[0]; i++) {
        assert_int_equal(decode(unpadded[i], BASE64_UNPADDED, 64), -1);
    }
}

CLAIM(a_zero_byte_is_no_character)
{
    uint8_t out[4];
    assert_int_equal(base64_decode(bytes_of("Zm\0v", 4), BASE64_PADDED, out, sizeof out), -1);
}

CLAIM(more_than_there_is_room_for_is_refused)
{
    assert_int_equal(decode("Zm9vYmFy", BASE64_PADDED, 6), 6);
    assert_int_equal(decode("Zm9vYmFy", BASE64_PADDED, 5), -1);
    assert_int_equal(decode("Zm9vYg==", BASE64_PADDED, 4), 4);
    assert_int_equal(decode("Zm9vYg==", BASE64_PADDED, 3), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_4648_go_both_ways), cmocka_unit_test(every_byte_comes_back),
        cmocka_unit_test(a_second_spelling_is_refused),         cmocka_unit_test(a_zero_byte_is_no_character),
        cmocka_unit_test(more_than_there_is_room_for_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
