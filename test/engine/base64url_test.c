#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/identity/base64url.h"
#include "test/codec/guarded.h"

static bool
decodes_to(const char *text, const void *wanted, uint32_t wanted_size)
{
    uint8_t out[64];
    uint32_t size;
    struct bytes input = guarded(bytes_of(text, (uint32_t)strlen(text)));
    return base64url_decode(input, out, &size) && size == wanted_size && memcmp(out, wanted, size) == 0;
}

static bool
refused(const char *text)
{
    uint8_t out[64];
    uint32_t size;
    return !base64url_decode(guarded(bytes_of(text, (uint32_t)strlen(text))), out, &size);
}

static void
decodes_the_vectors_of_rfc_4648_without_padding(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},       {"Zg", "f"},         {"Zm8", "fo"},        {"Zm9v", "foo"},
                                           {"Zm9vYg", "foob"}, {"Zm9vYmE", "fooba"}, {"Zm9vYmFy", "foobar"}};
    for (unsigned i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_true(decodes_to(pairs[i][0], pairs[i][1], (uint32_t)strlen(pairs[i][1])));
    }
}

static void
decodes_the_vector_of_rfc_7515_appendix_c(void **state)
{
    (void)state;
    static const uint8_t wanted[] = {3, 236, 255, 224, 193};
    assert_true(decodes_to("A-z_4ME", wanted, sizeof wanted));
}

static void
refuses_padding_white_space_and_the_other_alphabet(void **state)
{
    (void)state;
    assert_true(refused("Zg=="));
    assert_true(refused("Zm8="));
    assert_true(refused("Zm9v\n"));
    assert_true(refused(" Zm9v"));
    assert_true(refused("A+z/4ME"));
    assert_true(refused("Zm9v\x80"));
}

static void
refuses_a_last_character_that_says_nothing(void **state)
{
    (void)state;
    assert_true(refused("A"));
    assert_true(refused("Zm9vA"));
}

static void
refuses_a_second_form_of_the_same_bytes(void **state)
{
    (void)state;
    assert_true(refused("Zh"));  /* as Zg, with bits set that are fill */
    assert_true(refused("Zm9")); /* as Zm8 */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decodes_the_vectors_of_rfc_4648_without_padding),
        cmocka_unit_test(decodes_the_vector_of_rfc_7515_appendix_c),
        cmocka_unit_test(refuses_padding_white_space_and_the_other_alphabet),
        cmocka_unit_test(refuses_a_last_character_that_says_nothing),
        cmocka_unit_test(refuses_a_second_form_of_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
