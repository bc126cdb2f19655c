#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>

#include "codec/address.h"
#include "test/codec/wire.h"

static struct bytes
text_of(const char *text)
{
    return guarded(bytes_of(text, (uint32_t)strlen(text)));
}

/* The C library's answer. */
static bool
library_parse(const char *text, struct address *out)
{
    *out = (struct address){.family = ADDRESS_IPV4};
    if (inet_pton(AF_INET, text, out->bytes) == 1) {
        return true;
    }
    *out = (struct address){.family = ADDRESS_IPV6};
    return inet_pton(AF_INET6, text, out->bytes) == 1;
}

static void
assert_as_the_library(const char *text)
{
    struct address ours = {0}, theirs;
    bool expected = library_parse(text, &theirs);
    assert_int_equal(address_parse(text_of(text), &ours), expected);
    if (expected) {
        assert_int_equal(ours.family, theirs.family);
        assert_memory_equal(ours.bytes, theirs.bytes, sizeof ours.bytes);
    }
}

CLAIM(addresses_read_as_the_c_library_reads_them)
{
    static const char *const texts[] = {
        "127.0.0.1", "0.0.0.0", "255.255.255.255", "256.0.0.1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "01.2.3.4", "1.2.3.4 ", "", "a.b.c.d",
        "::", "::1", "1::", "1::2", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8",
        "1::2::3", ":::", ":1", "1:", "12345::", "g::", "::ffff:1.2.3.4", "::1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:5",
        "::1.2.3.256", "fe80::1%eth0", "FE80::ABCD", "2001:db8::8:800:200c:417a", "1:2:3:4:5:6:7:", ":1:2:3:4:5:6:7", "[::1]", "1:2:3:4:5:6::1.2.3.4",
        "1:2:3:4:5::1.2.3.4", "0:0:0:0:0:0:0:0", "::0", "0::", "1.2.3.4::", "::1:",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_as_the_library(texts[i]);
    }
}

CLAIM(random_texts_read_as_the_c_library_reads_them)
{
    static const char alphabet[] = "0123456789abcf::::..";
    srand(5);
    for (int round = 0; round < 300000; round++) {
        char text[24];
        int size = rand() % 20;
        for (int i = 0; i < size; i++) {
            text[i] = alphabet[(size_t)rand() % (sizeof alphabet - 1)];
        }
        text[size] = '\0';
        assert_as_the_library(text);
    }
}

CLAIM(written_addresses_read_back)
{
    srand(6);
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[16];
        char text[INET6_ADDRSTRLEN];
        for (int i = 0; i < 16; i++) {
            bytes[i] = (uint8_t)(rand() % 3 == 0 ? rand() : 0);
        }
        inet_ntop(AF_INET6, bytes, text, sizeof text);
        assert_as_the_library(text);
        inet_ntop(AF_INET, bytes, text, sizeof text);
        assert_as_the_library(text);
    }
}

CLAIM(a_network_is_an_address_and_a_number_of_bits)
{
    struct address_network network;
    assert_true(address_parse_network(text_of("10.0.0.0/8"), &network));
    assert_int_equal(network.bits, 8);
    assert_true(address_parse_network(text_of("192.0.2.1"), &network));
    assert_int_equal(network.bits, 32);
    assert_true(address_parse_network(text_of("::/0"), &network));
    assert_int_equal(network.bits, 0);
    assert_true(address_parse_network(text_of("2001:db8::/32"), &network));
    static const char *const bad[] = {"10.0.0.0/33", "::/129", "10.0.0.1/8", "10.0.0.0/", "/8", "10.0.0.0/08", "10.0.0.0/8 ", "10.0.0.0/-1", "x/8", ""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(address_parse_network(text_of(bad[i]), &network));
    }
}

CLAIM(a_network_has_the_addresses_that_begin_as_it_does)
{
    static const struct {
        const char *address, *network;
        bool in;
    } cases[] = {
        {"10.1.2.3", "10.0.0.0/8", true},       {"11.1.2.3", "10.0.0.0/8", false},      {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.2", "192.0.2.1", false},      {"192.0.2.127", "192.0.2.0/25", true},  {"192.0.2.128", "192.0.2.0/25", false},
        {"::1", "0.0.0.0/0", false},            {"1.2.3.4", "0.0.0.0/0", true},         {"1.2.3.4", "::/0", false},
        {"2001:db8::1", "2001:db8::/32", true}, {"2001:db9::1", "2001:db8::/32", false}, {"::ffff:10.1.2.3", "10.0.0.0/8", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address address;
        struct address_network network;
        assert_true(address_parse(text_of(cases[i].address), &address));
        assert_true(address_parse_network(text_of(cases[i].network), &network));
        assert_int_equal(address_in_network(&address, &network), cases[i].in);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_read_as_the_c_library_reads_them),
        cmocka_unit_test(random_texts_read_as_the_c_library_reads_them),
        cmocka_unit_test(written_addresses_read_back),
        cmocka_unit_test(a_network_is_an_address_and_a_number_of_bits),
        cmocka_unit_test(a_network_has_the_addresses_that_begin_as_it_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
