#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/identity/keyed_hash.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

static const struct keyed_hash_key key = {{0x0706050403020100u, 0x0f0e0d0c0b0a0908u}};

static struct keyed_hash
hash_of(const void *data, uint32_t size)
{
    struct keyed_hash_state state;
    keyed_hash_begin(&state, &key);
    keyed_hash_add(&state, bytes_of(data, size));
    return keyed_hash_end(&state);
}

/* The reference's first vector: of no bytes, under the key 00 01 .. 0f. */
static void
hashes_nothing_as_the_reference_does(void **state)
{
    (void)state;
    static const uint8_t wanted[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6, 0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
    struct keyed_hash hash = hash_of("", 0);
    assert_memory_equal(hash.words, wanted, sizeof wanted);
}

static void
hashes_as_openssl_does_whatever_the_size(void **state)
{
    (void)state;
    uint8_t data[100], wanted[16];
    for (unsigned i = 0; i < sizeof data; i++) {
        data[i] = (uint8_t)(i * 7);
    }
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    assert_non_null(mac);
    for (uint32_t size = 0; size <= sizeof data; size++) {
        EVP_MAC_CTX *context = EVP_MAC_CTX_new(mac);
        size_t mac_size = sizeof wanted;
        OSSL_PARAM parameters[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &mac_size), OSSL_PARAM_construct_end()};
        assert_int_equal(EVP_MAC_init(context, (const unsigned char *)key.words, sizeof key.words, parameters), 1);
        assert_int_equal(EVP_MAC_update(context, data, size), 1);
        assert_int_equal(EVP_MAC_final(context, wanted, &mac_size, sizeof wanted), 1);
        EVP_MAC_CTX_free(context);
        struct keyed_hash hash = hash_of(data, size);
        assert_memory_equal(hash.words, wanted, sizeof wanted);
    }
    EVP_MAC_free(mac);
}

static void
pieces_hash_as_the_whole(void **state)
{
    (void)state;
    static const char text[] = "a question of forty characters, or so...";
    for (uint32_t cut = 0; cut < sizeof text; cut++) {
        struct keyed_hash_state hash;
        keyed_hash_begin(&hash, &key);
        keyed_hash_add(&hash, bytes_of(text, cut));
        keyed_hash_add(&hash, bytes_of(text + cut, (uint32_t)sizeof text - cut));
        assert_true(keyed_hash_equal(keyed_hash_end(&hash), hash_of(text, sizeof text)));
    }
}

static struct keyed_hash
hash_of_pair(const char *a, const char *b)
{
    struct keyed_hash_state state;
    keyed_hash_begin(&state, &key);
    keyed_hash_add_text(&state, bytes_of(a, (uint32_t)strlen(a)));
    keyed_hash_add_text(&state, bytes_of(b, (uint32_t)strlen(b)));
    return keyed_hash_end(&state);
}

static void
texts_do_not_run_into_each_other(void **state)
{
    (void)state;
    assert_false(keyed_hash_equal(hash_of_pair("ab", "c"), hash_of_pair("a", "bc")));
    assert_false(keyed_hash_equal(hash_of_pair("", "x"), hash_of_pair("x", "")));
    assert_true(keyed_hash_equal(hash_of_pair("a", "b"), hash_of_pair("a", "b")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_nothing_as_the_reference_does),
        cmocka_unit_test(hashes_as_openssl_does_whatever_the_size),
        cmocka_unit_test(pieces_hash_as_the_whole),
        cmocka_unit_test(texts_do_not_run_into_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
