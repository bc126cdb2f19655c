#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "codec/sha1.h"
#include "test/codec/wire.h"

static void
assert_digest(struct bytes input, const char *expected)
{
    uint8_t digest[SHA1_SIZE];
    sha1_digest(guarded(input), digest);
    assert_true(bytes_equal(bytes_of(digest, sizeof digest), wire(expected)));
}

/* RFC 3174 7.3, and what the tail of a block does at each corner. */
CLAIM(known_digests)
{
    static uint8_t many[1000000];
    assert_digest(bytes_of("abc", 3), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_digest(bytes_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    assert_digest(bytes_of("", 0), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    memset(many, 'a', sizeof many);
    assert_digest(bytes_of(many, sizeof many), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
    assert_digest(bytes_of(many, 55), "c1c8bbdc22796e28c0e15163d20899b65621d65a");
    assert_digest(bytes_of(many, 63), "03f09f5b158a7a8cdad920bddc29b81c18a551f5");
    assert_digest(bytes_of(many, 64), "0098ba824b5c16427bd7a1122a5a442a25ec644d");
    assert_digest(bytes_of(many, 65), "11655326c708d70319be2610e8a57d9a5b959d3b");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_digests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
