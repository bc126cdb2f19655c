#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

/* The file itself, because its two vector twins have no names outside. */
#include "codec/utf8.c"

#include "test/codec/wire.h"

/* RFC 3629 by arithmetic: decode, then look at the number. Shares no table with either twin. */
static bool
is_utf8_by_arithmetic(struct bytes b)
{
    for (uint32_t at = 0; at < b.size;) {
        uint8_t first = b.data[at];
        uint32_t size = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf8 ? 4 : 0;
        if (size == 0 || size > b.size - at) {
            return false;
        }
        uint32_t code = size == 1 ? first : first & (0x7fu >> size);
        for (uint32_t i = 1; i < size; i++) {
            if (b.data[at + i] >> 6 != 2) {
                return false;
            }
            code = code << 6 | (b.data[at + i] & 0x3f);
        }
        uint32_t needed = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
        if (code == 0 || code > 0x10ffff || needed != size || (code >= 0xd800 && code <= 0xdfff)) {
            return false;
        }
        at += size;
    }
    return true;
}

/* All twins that this machine can run say the same about `b`, which lies against an unreadable page. */
static void
assert_twins_agree(struct bytes b)
{
    b = guarded(b);
    bool expected = is_utf8_by_arithmetic(b);
    assert_int_equal(utf8_check(b), expected);
    assert_int_equal(utf8_check_portable(b), expected);
#if SIMD_SSE2
    if (__builtin_cpu_supports("avx2")) {
        assert_int_equal(check_avx2(b), expected);
    }
#endif
}

static void
assert_answer(const char *text, bool expected)
{
    struct bytes b = wire(text);
    assert_int_equal(utf8_check(b), expected);
    assert_int_equal(utf8_check_portable(b), expected);
}

/* MQTT5 [MQTT-1.5.4-2], MQTT3 [MQTT-1.5.3-2] */
CLAIM(null_character_is_refused)
{
    assert_answer("00", false);
    assert_answer("'abc' 00 'def'", false);
    assert_answer("'0123456789abcde' 00", false);
    assert_answer("c080", false);
}

/* MQTT5 [MQTT-1.5.4-1], MQTT3 [MQTT-1.5.3-1] */
CLAIM(surrogates_are_refused)
{
    assert_answer("eda080", false);
    assert_answer("edbfbf", false);
    assert_answer("eda080 edb080", false);
    assert_answer("ed9fbf", true);
    assert_answer("ee8080", true);
}

/* MQTT5 [MQTT-1.5.4-1] */
CLAIM(longer_forms_than_needed_are_refused)
{
    assert_answer("c1bf", false);
    assert_answer("e09fbf", false);
    assert_answer("f08fbfbf", false);
    assert_answer("c280", true);
    assert_answer("e0a080", true);
    assert_answer("f0908080", true);
}

CLAIM(nothing_over_10ffff_is_a_character)
{
    assert_answer("f48fbfbf", true);
    assert_answer("f4908080", false);
    assert_answer("f5808080", false);
    assert_answer("f888808080", false);
    assert_answer("ff", false);
    assert_answer("fe", false);
}

CLAIM(characters_cut_short_are_refused)
{
    static const char *const cut[] = {"c3", "e2", "e282", "f0", "f09f", "f09f8c", "c3 'a'", "e282 'a'", "f09f8c 'a'"};
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        assert_answer(cut[i], false);
    }
}

CLAIM(continuations_without_a_start_are_refused)
{
    assert_answer("80", false);
    assert_answer("'a' bf", false);
    assert_answer("c3a9 a9", false);
}

/* MQTT5 [MQTT-1.5.4-3], MQTT3 [MQTT-1.5.3-3] */
CLAIM(byte_order_mark_is_a_character_like_any_other)
{
    assert_answer("efbbbf", true);
    assert_answer("'a' efbbbf 'b'", true);
}

CLAIM(control_characters_and_non_characters_are_accepted)
{
    /* SHOULD NOT be sent, MAY be refused (MQTT5 1.5.4): what a peer's own tools accept, we pass on. */
    assert_answer("01 1f 7f c280 c29f efbfbf efb790", true);
}

CLAIM(empty_string_is_accepted)
{
    assert_true(utf8_check(bytes_of(NULL, 0)));
    assert_true(utf8_check_portable(bytes_of(NULL, 0)));
}

CLAIM(twins_agree_on_short_sequences_across_block_edges)
{
    /* In front and behind, so that the sequence falls on the edges of the blocks of 16 and 32. */
    static const uint32_t before[] = {0, 13, 14, 30, 31};
    uint8_t text[64];
    for (uint32_t sequence = 0x80; sequence < 1u << 24; sequence += sequence < 0xc00000 ? 97 : 7) {
        uint32_t size = sequence < 1u << 8 ? 1 : sequence < 1u << 16 ? 2 : 3;
        uint32_t front = before[sequence % 5], back = sequence / 5 % 4;
        memset(text, 'a', sizeof text);
        for (uint32_t i = 0; i < size; i++) {
            text[front + i] = (uint8_t)(sequence >> 8 * (size - 1 - i));
        }
        assert_twins_agree(bytes_of(text, front + size + back));
    }
}

/* What goes wrong in UTF-8 goes wrong at these bytes. */
static uint8_t
interesting_byte(void)
{
    static const uint8_t bytes[] = {0x00, 0x01, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf,
                                    0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    return bytes[(size_t)random() % sizeof bytes];
}

CLAIM(twins_agree_on_random_bytes)
{
    srandom(1);
    for (int round = 0; round < 200000; round++) {
        uint8_t text[100];
        uint32_t size = (uint32_t)random() % sizeof text;
        memset(text, 'a', sizeof text);
        for (int i = (int)(random() % 8); i > 0 && size > 0; i--) {
            text[(uint32_t)random() % size] = interesting_byte();
        }
        assert_twins_agree(bytes_of(text, size));
    }
}

static uint32_t
put_character(uint8_t *out)
{
    static const char *const characters[] = {"a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                             "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    const char *c = characters[(size_t)random() % (sizeof characters / sizeof characters[0])];
    memcpy(out, c, strlen(c));
    return (uint32_t)strlen(c);
}

CLAIM(twins_agree_on_valid_text_with_one_byte_changed)
{
    srandom(2);
    for (int round = 0; round < 100000; round++) {
        uint8_t text[140];
        uint32_t size = 0, wanted = (uint32_t)random() % 128;
        while (size < wanted) {
            size += put_character(text + size);
        }
        assert_true(is_utf8_by_arithmetic(bytes_of(text, size)));
        assert_twins_agree(bytes_of(text, size));
        if (size > 0) {
            text[(uint32_t)random() % size] = interesting_byte();
            assert_twins_agree(bytes_of(text, size));
            assert_twins_agree(bytes_of(text, size - 1));
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(null_character_is_refused),
        cmocka_unit_test(surrogates_are_refused),
        cmocka_unit_test(longer_forms_than_needed_are_refused),
        cmocka_unit_test(nothing_over_10ffff_is_a_character),
        cmocka_unit_test(characters_cut_short_are_refused),
        cmocka_unit_test(continuations_without_a_start_are_refused),
        cmocka_unit_test(byte_order_mark_is_a_character_like_any_other),
        cmocka_unit_test(control_characters_and_non_characters_are_accepted),
        cmocka_unit_test(empty_string_is_accepted),
        cmocka_unit_test(twins_agree_on_short_sequences_across_block_edges),
        cmocka_unit_test(twins_agree_on_random_bytes),
        cmocka_unit_test(twins_agree_on_valid_text_with_one_byte_changed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
