#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "codec/bytes.h"
#include "test/codec/wire.h"

static const struct {
    uint32_t value;
    const char *text;
} varints[] = {
    /* The corners of MQTT5 table 1-1. */
    {0, "00"},          {127, "7f"},           {128, "8001"},           {16383, "ff7f"},
    {16384, "808001"},  {2097151, "ffff7f"},   {2097152, "80808001"},   {268435455, "ffffff7f"},
};

#define VARINTS_COUNT (sizeof varints / sizeof varints[0])

static struct reader
reader_on(const char *text)
{
    return reader_of(wire(text));
}

CLAIM(integers_are_big_endian)
{
    struct reader r = reader_on("01 0203 04050607 08090a0b0c0d0e0f");
    assert_int_equal(reader_u8(&r), 0x01);
    assert_int_equal(reader_u16(&r), 0x0203);
    assert_int_equal(reader_u32(&r), 0x04050607);
    assert_int_equal(reader_u64(&r), 0x08090a0b0c0d0e0f);
    assert_false(r.failed);
    assert_int_equal(reader_left(&r), 0);
}

CLAIM(varint_reads_the_corners_of_each_size)
{
    for (size_t i = 0; i < VARINTS_COUNT; i++) {
        struct reader r = reader_on(varints[i].text);
        assert_int_equal(reader_varint(&r), varints[i].value);
        assert_false(r.failed);
        assert_int_equal(reader_left(&r), 0);
    }
}

CLAIM(varint_writes_the_corners_of_each_size)
{
    for (size_t i = 0; i < VARINTS_COUNT; i++) {
        uint8_t out[4];
        struct writer w = writer_of(out, sizeof out);
        writer_varint(&w, varints[i].value);
        struct bytes expected = wire(varints[i].text);
        assert_true(bytes_equal(bytes_of(out, (uint32_t)(w.at - out)), expected));
        assert_int_equal(varint_size(varints[i].value), expected.size);
    }
}

/* MQTT5 [MQTT-1.5.5-1] */
CLAIM(varint_refuses_every_longer_form)
{
    static const char *const longer[] = {"8000", "808000", "80808000", "ff00", "ff8000", "ffff8000", "ffff00", "ffffff00"};
    for (size_t i = 0; i < sizeof longer / sizeof longer[0]; i++) {
        struct reader r = reader_on(longer[i]);
        assert_int_equal(reader_varint(&r), 0);
        assert_true(r.failed);
    }
}

CLAIM(varint_refuses_a_fifth_byte)
{
    struct reader r = reader_on("8080808001");
    assert_int_equal(reader_varint(&r), 0);
    assert_true(r.failed);
}

CLAIM(varint_cut_short_fails)
{
    static const char *const cut[] = {"", "80", "ffff", "808080"};
    for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++) {
        struct reader r = reader_on(cut[i]);
        reader_varint(&r);
        assert_true(r.failed);
    }
}

CLAIM(varint_over_the_maximum_is_not_written)
{
    uint8_t out[8];
    struct writer w = writer_of(out, sizeof out);
    writer_varint(&w, BYTES_VARINT_MAX + 1);
    assert_true(w.failed);
    assert_ptr_equal(w.at, out);
}

/* B2 */
CLAIM(reader_stays_put_after_its_first_error)
{
    struct reader r = reader_on("000161");
    reader_u32(&r);
    assert_true(r.failed);
    const uint8_t *at = r.at;
    assert_int_equal(reader_u8(&r), 0);
    assert_int_equal(reader_u16(&r), 0);
    assert_int_equal(reader_u32(&r), 0);
    assert_int_equal(reader_u64(&r), 0);
    assert_int_equal(reader_varint(&r), 0);
    assert_int_equal(reader_take(&r, 1).size, 0);
    assert_int_equal(reader_binary(&r).size, 0);
    assert_int_equal(reader_string(&r).size, 0);
    assert_ptr_equal(r.at, at);
}

CLAIM(each_read_needs_all_its_bytes)
{
    struct reader r = reader_on("00");
    reader_u16(&r);
    assert_true(r.failed);
    r = reader_on("000000");
    reader_u32(&r);
    assert_true(r.failed);
    r = reader_on("00000000 000000");
    reader_u64(&r);
    assert_true(r.failed);
    r = reader_on("0004 616161");
    reader_binary(&r);
    assert_true(r.failed);
    r = reader_on("ffff");
    reader_string(&r);
    assert_true(r.failed);
}

CLAIM(strings_borrow_from_the_input)
{
    struct reader r = reader_on("<abc> 0002 ff00");
    const uint8_t *start = r.at;
    struct bytes text = reader_string(&r), data = reader_binary(&r);
    assert_false(r.failed);
    assert_ptr_equal(text.data, start + 2);
    assert_int_equal(text.size, 3);
    assert_ptr_equal(data.data, start + 7);
    assert_int_equal(data.size, 2);
}

/* MQTT5 [MQTT-1.5.4-1], MQTT3 [MQTT-1.5.3-1] */
CLAIM(string_that_is_not_utf8_fails_and_binary_does_not)
{
    struct reader r = reader_on("0001 ff");
    assert_int_equal(reader_string(&r).size, 0);
    assert_true(r.failed);
    r = reader_on("0001 ff");
    assert_int_equal(reader_binary(&r).size, 1);
    assert_false(r.failed);
}

CLAIM(writer_fills_exactly_its_room)
{
    uint8_t out[20];
    struct writer w = writer_of(out, sizeof out);
    writer_u8(&w, 0x01);
    writer_u16(&w, 0x0203);
    writer_u32(&w, 0x04050607);
    writer_u64(&w, 0x08090a0b0c0d0e0f);
    writer_binary(&w, bytes_of("ab", 2));
    writer_put(&w, bytes_of("c", 1));
    assert_false(w.failed);
    assert_ptr_equal(w.at, w.end);
    assert_true(bytes_equal(bytes_of(out, sizeof out), wire("0102030405060708090a0b0c0d0e0f <ab> 'c'")));
}

/* B2 */
CLAIM(writer_stays_put_after_its_first_error)
{
    uint8_t out[3];
    struct writer w = writer_of(out, sizeof out);
    writer_u32(&w, 1);
    assert_true(w.failed);
    writer_u8(&w, 1);
    writer_u16(&w, 1);
    writer_u64(&w, 1);
    writer_varint(&w, 1);
    writer_put(&w, bytes_of("a", 1));
    writer_binary(&w, bytes_of("a", 1));
    assert_ptr_equal(w.at, out);
}

CLAIM(binary_that_does_not_fit_writes_nothing)
{
    uint8_t out[4];
    struct writer w = writer_of(out, sizeof out);
    writer_binary(&w, bytes_of("abc", 3));
    assert_true(w.failed);
    assert_ptr_equal(w.at, out);
}

CLAIM(binary_over_65535_bytes_cannot_be_written)
{
    static uint8_t value[65536], out[65540];
    struct writer w = writer_of(out, sizeof out);
    writer_binary(&w, bytes_of(value, 65536));
    assert_true(w.failed);
    w = writer_of(out, sizeof out);
    writer_binary(&w, bytes_of(value, 65535));
    assert_false(w.failed);
}

CLAIM(empty_bytes_are_equal_wherever_they_point)
{
    assert_true(bytes_equal(bytes_of(NULL, 0), bytes_of("x", 0)));
    assert_false(bytes_equal(bytes_of("a", 1), bytes_of("b", 1)));
    assert_false(bytes_equal(bytes_of("a", 1), bytes_of("ab", 2)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_big_endian),
        cmocka_unit_test(varint_reads_the_corners_of_each_size),
        cmocka_unit_test(varint_writes_the_corners_of_each_size),
        cmocka_unit_test(varint_refuses_every_longer_form),
        cmocka_unit_test(varint_refuses_a_fifth_byte),
        cmocka_unit_test(varint_cut_short_fails),
        cmocka_unit_test(varint_over_the_maximum_is_not_written),
        cmocka_unit_test(reader_stays_put_after_its_first_error),
        cmocka_unit_test(each_read_needs_all_its_bytes),
        cmocka_unit_test(strings_borrow_from_the_input),
        cmocka_unit_test(string_that_is_not_utf8_fails_and_binary_does_not),
        cmocka_unit_test(writer_fills_exactly_its_room),
        cmocka_unit_test(writer_stays_put_after_its_first_error),
        cmocka_unit_test(binary_that_does_not_fit_writes_nothing),
        cmocka_unit_test(binary_over_65535_bytes_cannot_be_written),
        cmocka_unit_test(empty_bytes_are_equal_wherever_they_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
