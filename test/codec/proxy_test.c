#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>

#include "codec/proxy.h"
#include "test/codec/wire.h"

#define SIGNATURE "0d0a0d0a000d0a515549540a"
#define TCP4 SIGNATURE "21 11"
#define PATHS "2f61000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000" \
              "0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"

static enum proxy_status
read_line(const char *text, struct proxy *out)
{
    return proxy_read(guarded(bytes_of(text, (uint32_t)strlen(text))), 1, out);
}

static enum proxy_status
read_binary(const char *text, struct proxy *out)
{
    return proxy_read(wire(text), 2, out);
}

static void
assert_bytes(struct bytes b, const char *expected)
{
    assert_true(bytes_equal(b, bytes_of(expected, (uint32_t)strlen(expected))));
}

/* -------------------------------------------------------------------------------------------------------------- version 1 */

CLAIM(a_line_tells_an_address_and_a_port)
{
    struct proxy p;
    assert_int_equal(read_line("PROXY TCP4 203.0.113.7 192.0.2.1 51234 1883\r\nMQTT", &p), PROXY_DONE);
    assert_int_equal(p.size, 45);
    assert_int_equal(p.source.family, ADDRESS_IPV4);
    assert_true(bytes_equal(bytes_of(p.source.bytes, 4), wire("cb007107")));
    assert_int_equal(p.source_port, 51234);
    assert_false(p.local || p.tls || p.certificate);
    assert_int_equal(read_line("PROXY TCP6 2001:db8::7 ::1 1 65535\r\n", &p), PROXY_DONE);
    assert_int_equal(p.source.family, ADDRESS_IPV6);
    assert_true(bytes_equal(bytes_of(p.source.bytes, 16), wire("20010db8000000000000000000000007")));
}

CLAIM(unknown_means_the_sockets_own_peer)
{
    struct proxy p;
    assert_int_equal(read_line("PROXY UNKNOWN\r\n", &p), PROXY_DONE);
    assert_true(p.local);
    assert_int_equal(read_line("PROXY UNKNOWN whatever it says\r\n", &p), PROXY_DONE);
    assert_int_equal(p.source.family, ADDRESS_NONE);
}

CLAIM(the_longest_line_fits_and_a_longer_one_does_not)
{
    struct proxy p;
    static const char longest[] = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_int_equal(read_line(longest, &p), PROXY_DONE);
    char line[120];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_read(guarded(bytes_of(line, 106)), 1, &p), PROXY_NEED_MORE);
    assert_int_equal(proxy_read(guarded(bytes_of(line, 107)), 1, &p), PROXY_MALFORMED);
    memcpy(line + 105, "\r\n", 2);
    assert_int_equal(proxy_read(guarded(bytes_of(line, 107)), 1, &p), PROXY_DONE);
}

CLAIM(lines_that_are_none_are_malformed)
{
    static const char *const bad[] = {
        "MQTT", "\x10\x0c", "PROXYTCP4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY \r\n", "PROXY TCP4\r\n", "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "PROXY TCP4 ::1 ::1 1 2\r\n", "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 ::1 1 2\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 99999999999\r\n", "PROXY UNKNOWNX\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct proxy p;
        assert_int_equal(read_line(bad[i], &p), PROXY_MALFORMED);
    }
}

/* -------------------------------------------------------------------------------------------------------------- version 2 */

CLAIM(addresses_of_every_family_are_read)
{
    struct proxy p;
    assert_int_equal(read_binary(TCP4 "000c cb007107 c0000201 c822 075b 'rest'", &p), PROXY_DONE);
    assert_int_equal(p.size, 28);
    assert_int_equal(p.source.family, ADDRESS_IPV4);
    assert_true(bytes_equal(bytes_of(p.source.bytes, 4), wire("cb007107")));
    assert_int_equal(p.source_port, 51234);

    assert_int_equal(read_binary(SIGNATURE "21 21 0024 20010db8000000000000000000000007 00000000000000000000000000000001 c822 075b", &p), PROXY_DONE);
    assert_int_equal(p.source.family, ADDRESS_IPV6);
    assert_int_equal(p.source_port, 51234);

    assert_int_equal(read_binary(SIGNATURE "21 31 00d8" PATHS PATHS, &p), PROXY_DONE);
    assert_true(p.unix_socket && !p.local);
    assert_int_equal(p.source.family, ADDRESS_NONE);
}

CLAIM(local_and_unspecified_mean_the_sockets_own_peer)
{
    struct proxy p;
    assert_int_equal(read_binary(SIGNATURE "20 00 0000", &p), PROXY_DONE);
    assert_true(p.local);
    assert_int_equal(read_binary(SIGNATURE "20 11 000c cb007107 c0000201 c822 075b", &p), PROXY_DONE);
    assert_true(p.local && p.source.family == ADDRESS_NONE);
    assert_int_equal(read_binary(SIGNATURE "21 00 0000", &p), PROXY_DONE);
    assert_true(p.local);
}

#define ADDRESSES "cb007107 c0000201 c822 075b"

CLAIM(a_verified_certificate_is_told_with_its_name)
{
    struct proxy p;
    assert_int_equal(read_binary(TCP4 "0027" ADDRESSES "20 0018 07 00000000  21 0007 'TLSv1.3'  22 0006 'sensor'", &p), PROXY_DONE);
    assert_true(p.tls && p.certificate);
    assert_bytes(p.common_name, "sensor");
    assert_bytes(p.tls_version, "TLSv1.3");
}

CLAIM(a_certificate_that_is_not_verified_has_no_name)
{
    struct proxy p;
    assert_int_equal(read_binary(TCP4 "0020" ADDRESSES "20 0011 03 00000012  23 0001 'a'  22 0005 'admin'", &p), PROXY_DONE);
    assert_true(p.tls && !p.certificate);
    assert_int_equal(p.common_name.size, 0);
    assert_int_equal(read_binary(TCP4 "0017" ADDRESSES "20 0008 06 00000000  22 0000", &p), PROXY_DONE); /* no TLS, so no certificate of it */
    assert_false(p.tls || p.certificate);
    assert_int_equal(read_binary(TCP4 "001c" ADDRESSES "20 000d 01 00000000  22 0005 'admin'", &p), PROXY_DONE); /* none was shown */
    assert_true(p.tls && !p.certificate);
    assert_int_equal(p.common_name.size, 0);
}

CLAIM(names_are_utf8)
{
    struct proxy p;
    assert_int_equal(read_binary(TCP4 "0019" ADDRESSES "20 000a 03 00000000  22 0002 ff41", &p), PROXY_MALFORMED);
    assert_int_equal(read_binary(TCP4 "0019" ADDRESSES "20 000a 03 00000000  22 0002 4100", &p), PROXY_MALFORMED);
}

/* An independent CRC32C, bit by bit. */
static uint32_t
slow_crc32c(struct bytes b)
{
    uint32_t crc = UINT32_MAX;
    for (uint32_t i = 0; i < b.size * 8; i++) {
        uint32_t bit = (b.data[i / 8] >> i % 8 & 1) ^ (crc & 1);
        crc = crc >> 1 ^ (bit ? 0x82f63b78u : 0);
    }
    return ~crc;
}

CLAIM(a_checksum_must_be_right)
{
    struct proxy p;
    uint8_t header[64];
    assert_int_equal(slow_crc32c(bytes_of("123456789", 9)), 0xe3069283u); /* RFC 3720 B.4's customary check */
    struct bytes blank = wire(TCP4 "0019" ADDRESSES "03 0004 00000000  02 0003 'a.b'");
    memcpy(header, blank.data, blank.size);
    struct writer w = writer_of(header + 31, 4);
    writer_u32(&w, slow_crc32c(blank));
    struct bytes good = bytes_of(header, blank.size);
    assert_int_equal(proxy_read(guarded(good), 2, &p), PROXY_DONE);
    for (uint32_t at = 13; at < blank.size; at++) {
        if (at == 28) {
            continue; /* the type that makes it a checksum */
        }
        header[at] ^= 1;
        assert_int_not_equal(proxy_read(guarded(good), 2, &p), PROXY_DONE);
        header[at] ^= 1;
    }
}

CLAIM(headers_that_are_none_are_malformed)
{
    static const char *const bad[] = {
        "10 0c", "'PROXY '", SIGNATURE "22 11 000c" ADDRESSES, SIGNATURE "11 11 000c" ADDRESSES, SIGNATURE "31", /* command and version */
        SIGNATURE "21 41 000c" ADDRESSES, SIGNATURE "21 13 000c" ADDRESSES, SIGNATURE "21 10 000c" ADDRESSES, SIGNATURE "21 01 0000", /* family */
        TCP4 "000b cb007107 c0000201 c822 07", SIGNATURE "21 21 000c" ADDRESSES, SIGNATURE "21 31 000c" ADDRESSES,                  /* too short for it */
        TCP4 "000d" ADDRESSES "04", TCP4 "000f" ADDRESSES "04 0001", TCP4 "000e" ADDRESSES "0400",                                 /* TLVs cut short */
        TCP4 "0010" ADDRESSES "20 0001 01", TCP4 "001c" ADDRESSES "20 0005 01 00000000 20 0005 01 00000000",
        TCP4 "0011" ADDRESSES "03 0002 0000", TCP4 "0ff1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct proxy p;
        enum proxy_status status = read_binary(bad[i], &p);
        if (status != PROXY_MALFORMED) {
            print_message("%zu: %s\n", i, bad[i]);
        }
        assert_int_equal(status, PROXY_MALFORMED);
    }
}

CLAIM(one_version_is_not_taken_for_the_other)
{
    struct proxy p;
    static const char line[] = "PROXY TCP4 203.0.113.7 192.0.2.1 51234 1883\r\n";
    assert_int_equal(proxy_read(guarded(bytes_of(line, sizeof line - 1)), 2, &p), PROXY_MALFORMED);
    assert_int_equal(proxy_read(wire(TCP4 "000c" ADDRESSES), 1, &p), PROXY_MALFORMED);
}

/* ------------------------------------------------------------------------------------------- every prefix, every mutation */

static const char *const samples[] = {
    "'PROXY TCP4 203.0.113.7 192.0.2.1 51234 1883' 0d0a",
    "'PROXY TCP6 2001:db8::7 ::1 51234 1883' 0d0a",
    "'PROXY UNKNOWN' 0d0a",
    SIGNATURE "20 00 0000",
    TCP4 "002c" ADDRESSES "04 0002 0000 20 0018 07 00000000  21 0007 'TLSv1.3'  22 0006 'sensor'",
    SIGNATURE "21 21 0024 20010db8000000000000000000000007 00000000000000000000000000000001 c822 075b",
};

static unsigned
version_of(size_t sample)
{
    return sample < 3 ? 1 : 2;
}

CLAIM(every_prefix_needs_more)
{
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        struct proxy p;
        uint8_t whole[128];
        struct bytes all = wire(samples[i]);
        memcpy(whole, all.data, all.size);
        for (uint32_t size = 0; size < all.size; size++) {
            assert_int_equal(proxy_read(guarded(bytes_of(whole, size)), version_of(i), &p), PROXY_NEED_MORE);
        }
        assert_int_equal(proxy_read(guarded(bytes_of(whole, all.size)), version_of(i), &p), PROXY_DONE);
    }
}

CLAIM(every_mutation_is_answered)
{
    for (size_t i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        uint8_t whole[128];
        struct bytes all = wire(samples[i]);
        uint32_t size = all.size;
        memcpy(whole, all.data, size);
        for (uint32_t at = 0; at < size; at++) {
            for (unsigned value = 0; value < 256; value++) {
                struct proxy p;
                uint8_t mutated[128];
                memcpy(mutated, whole, size);
                mutated[at] = (uint8_t)value;
                enum proxy_status status = proxy_read(guarded(bytes_of(mutated, size)), version_of(i), &p);
                assert_true(status != PROXY_DONE || p.size <= size);
            }
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_tells_an_address_and_a_port),
        cmocka_unit_test(unknown_means_the_sockets_own_peer),
        cmocka_unit_test(the_longest_line_fits_and_a_longer_one_does_not),
        cmocka_unit_test(lines_that_are_none_are_malformed),
        cmocka_unit_test(addresses_of_every_family_are_read),
        cmocka_unit_test(local_and_unspecified_mean_the_sockets_own_peer),
        cmocka_unit_test(a_verified_certificate_is_told_with_its_name),
        cmocka_unit_test(a_certificate_that_is_not_verified_has_no_name),
        cmocka_unit_test(names_are_utf8),
        cmocka_unit_test(a_checksum_must_be_right),
        cmocka_unit_test(headers_that_are_none_are_malformed),
        cmocka_unit_test(one_version_is_not_taken_for_the_other),
        cmocka_unit_test(every_prefix_needs_more),
        cmocka_unit_test(every_mutation_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
