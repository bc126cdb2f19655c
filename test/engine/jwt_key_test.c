#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/identity/jwt_key.h"
#include "test/engine/jwt_samples.h"

static char error[400];

static struct jwt_keys *
read_keys(const char *key_text, const char *secret_text)
{
    char *key_file = key_text != NULL ? sample_file(key_text) : NULL;
    char *secret_file = secret_text != NULL ? sample_file(secret_text) : NULL;
    error[0] = '\0';
    struct jwt_keys *keys = jwt_keys_read(key_file, secret_file, error, sizeof error);
    if (key_file != NULL) {
        sample_file_remove(&key_file);
    }
    if (secret_file != NULL) {
        sample_file_remove(&secret_file);
    }
    assert_int_equal(keys == NULL, error[0] != '\0');
    assert_null(strchr(error, '\n'));
    return keys;
}

/* Refused, with a line that says this. */
static void
refused(const char *key_text, const char *secret_text, const char *words)
{
    struct jwt_keys *keys = read_keys(key_text, secret_text);
    if (keys != NULL || strstr(error, words) == NULL) {
        print_error("wanted '%s', got '%s'\n", words, error);
    }
    assert_null(keys);
    assert_non_null(strstr(error, words));
}

static void
reads_rsa_and_ec_keys_of_one_file_and_secrets_of_another(void **state)
{
    (void)state;
    struct jwt_keys *keys = read_keys("some text\nkid: one\n" SAMPLE_RSA_KEY "\n" SAMPLE_EC_KEY, "# the first\n\nhex:" SAMPLE_SECRET_HEX "\nk2 0123456789abcdef0123456789abcdef");
    assert_non_null(keys);
    assert_int_equal(jwt_keys_count(keys, JWT_RS256), 1);
    assert_int_equal(jwt_keys_count(keys, JWT_ES256), 1);
    assert_int_equal(jwt_keys_count(keys, JWT_HS256), 2);
    jwt_keys_free(&keys);
}

static void
reads_the_key_of_a_certificate(void **state)
{
    (void)state;
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), 0);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 60);
    X509_set_pubkey(certificate, pair);
    X509_sign(certificate, pair, EVP_sha256());
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, certificate);
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)size);
    struct jwt_keys *keys = read_keys(text, NULL);
    assert_non_null(keys);
    assert_int_equal(jwt_keys_count(keys, JWT_ES256), 1);
    jwt_keys_free(&keys);
    free(text);
    BIO_free(bio);
    X509_free(certificate);
    EVP_PKEY_free(pair);
}

static char *
pem_of_rsa(unsigned bits)
{
    EVP_PKEY *pair = EVP_RSA_gen(bits);
    char *text = sample_pem_of(pair);
    EVP_PKEY_free(pair);
    return text;
}

static void
refuses_an_rsa_key_below_2048_bits(void **state)
{
    (void)state;
    char *text = pem_of_rsa(1024);
    refused(text, NULL, ":1: an RSA key of 1024 bits");
    free(text);
}

static void
refuses_keys_of_other_kinds(void **state)
{
    (void)state;
    EVP_PKEY *p384 = EVP_EC_gen("P-384"), *ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    char *text = sample_pem_of(p384);
    refused(text, NULL, ":1: neither an RSA key (RS256) nor an EC key on P-256 (ES256)");
    free(text);
    text = sample_pem_of(ed25519);
    refused(text, NULL, ":1: neither");
    free(text);
    EVP_PKEY_free(p384);
    EVP_PKEY_free(ed25519);
}

static void
refuses_a_private_key_with_what_to_do(void **state)
{
    (void)state;
    refused("\n-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", NULL, ":2: a private key, which has no business here");
    refused("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", NULL, "openssl pkey -pubout");
}

static void
refuses_files_that_hold_no_key_with_file_and_line(void **state)
{
    (void)state;
    refused("", NULL, "holds no public key");
    refused("hello\n", NULL, "holds no public key");
    refused("-----BEGIN PUBLIC KEY-----\nAAAA\n", NULL, ":1: a block without its end");
    refused(SAMPLE_RSA_KEY "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", NULL, ":10: a public key that cannot be read");
    refused("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", NULL, ":1: a certificate that cannot be read");
    refused("-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n", NULL, "neither a PUBLIC KEY nor a CERTIFICATE");
    refused("kid:\n" SAMPLE_RSA_KEY, NULL, ":1: a kid");
    assert_null(jwt_keys_read("/nonexistent/keys.pem", NULL, error, sizeof error));
    assert_string_equal(error, "/nonexistent/keys.pem: cannot be read: No such file or directory");
    assert_null(jwt_keys_read(NULL, "/nonexistent/secrets", error, sizeof error));
    assert_string_equal(error, "/nonexistent/secrets: cannot be read: No such file or directory");
    assert_null(jwt_keys_read("/tmp", NULL, error, sizeof error));
    assert_null(jwt_keys_read(NULL, "/tmp", error, sizeof error));
}

static void
refuses_secrets_that_are_short_or_of_no_known_form(void **state)
{
    (void)state;
    refused(NULL, "", "holds no secret");
    refused(NULL, "# nothing\n", "holds no secret");
    refused(NULL, "\nshort\n", ":2: a secret of 5 bytes; HS256 takes 32 and more");
    refused(NULL, "base64:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZQ==\n", "a secret of 31 bytes");
    refused(NULL, "hex:0g\n", ":1: the secret is neither");
    refused(NULL, "hex:012\n", ":1: the secret is neither");
    refused(NULL, "base64:@@@@\n", ":1: the secret is neither");
    refused(NULL, "base64:AAA\n", ":1: the secret is neither");
    refused(NULL, "a b c\n", ":1: a line is a secret, or a name and a secret");
    char *text = malloc(5000);
    memset(text, 'x', 4999);
    text[4999] = '\0';
    refused(NULL, text, ":1: the line is too long");
    free(text);
}

static void
refuses_more_keys_than_a_token_may_be_tried_with(void **state)
{
    (void)state;
    char text[(JWT_KEYS_MAX + 1) * 40];
    char *at = text;
    for (unsigned i = 0; i <= JWT_KEYS_MAX; i++) {
        at += sprintf(at, "0123456789abcdef0123456789abcd%02u\n", i);
    }
    refused(NULL, text, ":17: more than 16 keys");
}

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

static enum jwt_trial
try_secret(const struct jwt_keys *keys, const char *secret, const char *kid)
{
    uint8_t mac[32];
    unsigned size;
    HMAC(EVP_sha256(), secret, (int)strlen(secret), (const uint8_t *)"text", 4, mac, &size);
    return jwt_keys_try(keys, JWT_HS256, text_of(kid), text_of("text"), bytes_of(mac, size));
}

#define SECRET_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SECRET_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void
a_kid_picks_among_named_keys_and_keys_without_a_name_are_tried_always(void **state)
{
    (void)state;
    struct jwt_keys *keys = read_keys(NULL, "a " SECRET_A "\nb " SECRET_B "\n");
    assert_int_equal(try_secret(keys, SECRET_A, "a"), JWT_TRIAL_GOOD);
    assert_int_equal(try_secret(keys, SECRET_A, "b"), JWT_TRIAL_WRONG);
    assert_int_equal(try_secret(keys, SECRET_A, "c"), JWT_TRIAL_NO_KEY);
    assert_int_equal(try_secret(keys, SECRET_B, ""), JWT_TRIAL_GOOD);
    jwt_keys_free(&keys);
    keys = read_keys(NULL, SECRET_A "\nb " SECRET_B "\n");
    assert_int_equal(try_secret(keys, SECRET_A, "any"), JWT_TRIAL_GOOD);
    assert_int_equal(try_secret(keys, SECRET_A, "b"), JWT_TRIAL_GOOD);
    assert_int_equal(try_secret(keys, SECRET_B, "any"), JWT_TRIAL_WRONG);
    jwt_keys_free(&keys);
}

static void
base64_and_hex_and_plain_text_are_the_same_secret(void **state)
{
    (void)state;
    static const char *const forms[] = {SECRET_A, "hex:6161616161616161616161616161616161616161616161616161616161616161",
                                        "base64:YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=\r\n"};
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct jwt_keys *keys = read_keys(NULL, forms[i]);
        assert_non_null(keys);
        assert_int_equal(try_secret(keys, SECRET_A, ""), JWT_TRIAL_GOOD);
        jwt_keys_free(&keys);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_rsa_and_ec_keys_of_one_file_and_secrets_of_another),
        cmocka_unit_test(reads_the_key_of_a_certificate),
        cmocka_unit_test(refuses_an_rsa_key_below_2048_bits),
        cmocka_unit_test(refuses_keys_of_other_kinds),
        cmocka_unit_test(refuses_a_private_key_with_what_to_do),
        cmocka_unit_test(refuses_files_that_hold_no_key_with_file_and_line),
        cmocka_unit_test(refuses_secrets_that_are_short_or_of_no_known_form),
        cmocka_unit_test(refuses_more_keys_than_a_token_may_be_tried_with),
        cmocka_unit_test(a_kid_picks_among_named_keys_and_keys_without_a_name_are_tried_always),
        cmocka_unit_test(base64_and_hex_and_plain_text_are_the_same_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
