#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/identity/jwt.h"
#include "test/codec/guarded.h"
#include "test/engine/jwt_samples.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define HS256 "{\"alg\":\"HS256\"}"
#define NOW_S 1700000000u
#define NOW_MS (NOW_S * 1000ull)
#define GOOD_PAYLOAD "{\"sub\":\"device-1\",\"exp\":1700000060}"

static EVP_PKEY *rsa, *ec;
static char *rsa_pem, *ec_pem;
static struct jwt_keys *keys;
static struct jwt_policy policy;
static const struct sample_signer by_secret = {.secret = SECRET, .secret_size = sizeof SECRET - 1};

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

static struct jwt_keys *
keys_of(const char *key_text, const char *secret_text)
{
    char error[300] = "";
    char *key_file = key_text != NULL ? sample_file(key_text) : NULL;
    char *secret_file = secret_text != NULL ? sample_file(secret_text) : NULL;
    struct jwt_keys *read = jwt_keys_read(key_file, secret_file, error, sizeof error);
    if (read == NULL) {
        print_error("%s\n", error);
    }
    if (key_file != NULL) {
        sample_file_remove(&key_file);
    }
    if (secret_file != NULL) {
        sample_file_remove(&secret_file);
    }
    assert_non_null(read);
    return read;
}

static int
begin(void **state)
{
    (void)state;
    if (rsa == NULL) {
        rsa = EVP_RSA_gen(2048);
        ec = EVP_EC_gen("P-256");
        rsa_pem = sample_pem_of(rsa);
        ec_pem = sample_pem_of(ec);
    }
    char pem[4096];
    snprintf(pem, sizeof pem, "%s%s", rsa_pem, ec_pem);
    keys = keys_of(pem, SECRET "\n");
    policy = (struct jwt_policy){.keys = keys, .user_claim = text_of("sub"), .require_expiry = true};
    return 0;
}

static int
end(void **state)
{
    (void)state;
    jwt_keys_free(&keys);
    return 0;
}

static struct jwt_result result;

static enum jwt_verdict
verify_text(const char *token, const char *user_name)
{
    memset(&result, 0xee, sizeof result);
    enum jwt_verdict verdict = jwt_verify(&policy, guarded(text_of(token)), text_of(user_name), NOW_MS, &result);
    if (verdict == JWT_GOOD) {
        jwt_result_check(&result);
    }
    return verdict;
}

static enum jwt_verdict
verify(const char *header, const char *payload, const struct sample_signer *signer)
{
    char *token = sample_token(header, payload, signer);
    enum jwt_verdict verdict = verify_text(token, "");
    free(token);
    return verdict;
}

/* By the secret, and otherwise good. */
static enum jwt_verdict
verify_payload(const char *payload)
{
    return verify(HS256, payload, &by_secret);
}

/* -------------------------------------------------------------------------------------------------- the documents' own vectors */

static enum jwt_verdict
verify_sample(const char *token, const char *key_text, const char *secret_text, uint64_t wall_s)
{
    struct jwt_keys *sample_keys = keys_of(key_text, secret_text);
    struct jwt_policy sample_policy = {.keys = sample_keys, .user_claim = text_of("iss"), .require_expiry = true};
    enum jwt_verdict verdict = jwt_verify(&sample_policy, text_of(token), text_of(""), wall_s * 1000, &result);
    jwt_keys_free(&sample_keys);
    return verdict;
}

static void
verifies_the_tokens_of_rfc_7515_appendix_a(void **state)
{
    (void)state;
    static const struct {
        const char *token, *key, *secret;
    } samples[] = {
        {SAMPLE_HS256, NULL, "hex:" SAMPLE_SECRET_HEX "\n"},
        {SAMPLE_RS256, SAMPLE_RSA_KEY, NULL},
        {SAMPLE_ES256, SAMPLE_EC_KEY, NULL},
    };
    for (unsigned i = 0; i < sizeof samples / sizeof samples[0]; i++) {
        assert_int_equal(verify_sample(samples[i].token, samples[i].key, samples[i].secret, 1300819379), JWT_GOOD);
        assert_true(bytes_equal(result.user, text_of("joe")));
        assert_int_equal(result.expires_ms, 1300819380000);
        assert_int_equal(verify_sample(samples[i].token, samples[i].key, samples[i].secret, 1300819380), JWT_EXPIRED);
    }
}

static void
refuses_the_unsecured_token_of_rfc_7519_section_6_1(void **state)
{
    (void)state;
    assert_int_equal(verify_text("eyJhbGciOiJub25lIn0." SAMPLE_PAYLOAD ".", ""), JWT_BAD_ALGORITHM);
}

static void
verifies_what_each_kind_of_key_signed(void **state)
{
    (void)state;
    struct sample_signer by_rsa = {.pair = rsa}, by_ec = {.pair = ec};
    assert_int_equal(verify(HS256, GOOD_PAYLOAD, &by_secret), JWT_GOOD);
    assert_int_equal(verify("{\"alg\":\"RS256\"}", GOOD_PAYLOAD, &by_rsa), JWT_GOOD);
    assert_int_equal(verify("{\"alg\":\"ES256\"}", GOOD_PAYLOAD, &by_ec), JWT_GOOD);
    assert_true(bytes_equal(result.user, text_of("device-1")));
    assert_int_equal(result.expires_ms, 1700000060000);
}

/* ------------------------------------------------------------------------------------------------------------- forged headers */

static void
refuses_alg_none_however_it_is_written_and_signed(void **state)
{
    (void)state;
    static const char *const names[] = {"none", "None", "NONE", "nOnE", "", "null"};
    struct sample_signer nobody = {0};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        char header[64];
        snprintf(header, sizeof header, "{\"alg\":\"%s\"}", names[i]);
        assert_int_equal(verify(header, GOOD_PAYLOAD, &nobody), JWT_BAD_ALGORITHM);
        assert_int_equal(verify(header, GOOD_PAYLOAD, &by_secret), JWT_BAD_ALGORITHM);
    }
}

static void
refuses_an_empty_signature_under_every_algorithm(void **state)
{
    (void)state;
    struct sample_signer nobody = {0};
    assert_int_equal(verify(HS256, GOOD_PAYLOAD, &nobody), JWT_BAD_SIGNATURE);
    assert_int_equal(verify("{\"alg\":\"RS256\"}", GOOD_PAYLOAD, &nobody), JWT_BAD_SIGNATURE);
    assert_int_equal(verify("{\"alg\":\"ES256\"}", GOOD_PAYLOAD, &nobody), JWT_BAD_SIGNATURE);
}

/* The classic: HS256 with the text of the public key as the secret. */
static void
refuses_a_public_key_taken_for_a_secret(void **state)
{
    (void)state;
    struct sample_signer by_pem = {.secret = rsa_pem, .secret_size = strlen(rsa_pem)};
    assert_int_equal(verify(HS256, GOOD_PAYLOAD, &by_pem), JWT_BAD_SIGNATURE);
    jwt_keys_free(&keys);
    policy.keys = keys = keys_of(rsa_pem, NULL);
    assert_int_equal(verify(HS256, GOOD_PAYLOAD, &by_pem), JWT_NO_KEY);
}

static void
refuses_a_signature_of_one_key_under_the_algorithm_of_another(void **state)
{
    (void)state;
    struct sample_signer by_rsa = {.pair = rsa}, by_ec = {.pair = ec};
    assert_int_equal(verify("{\"alg\":\"ES256\"}", GOOD_PAYLOAD, &by_rsa), JWT_BAD_SIGNATURE);
    assert_int_equal(verify("{\"alg\":\"RS256\"}", GOOD_PAYLOAD, &by_ec), JWT_BAD_SIGNATURE);
    assert_int_equal(verify("{\"alg\":\"RS256\"}", GOOD_PAYLOAD, &by_secret), JWT_BAD_SIGNATURE);
}

static void
refuses_algorithms_that_it_does_not_know(void **state)
{
    (void)state;
    static const char *const headers[] = {"{\"alg\":\"HS384\"}", "{\"alg\":\"RS512\"}", "{\"alg\":\"PS256\"}", "{\"alg\":\"EdDSA\"}", "{\"alg\":\"hs256\"}", "{\"alg\":\"HS256 \"}"};
    for (unsigned i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        assert_int_equal(verify(headers[i], GOOD_PAYLOAD, &by_secret), JWT_BAD_ALGORITHM);
    }
}

static void
refuses_headers_whose_members_are_of_another_type(void **state)
{
    (void)state;
    assert_int_equal(verify("{}", GOOD_PAYLOAD, &by_secret), JWT_MALFORMED);
    assert_int_equal(verify("{\"alg\":1}", GOOD_PAYLOAD, &by_secret), JWT_MALFORMED);
    assert_int_equal(verify("{\"alg\":[\"HS256\"]}", GOOD_PAYLOAD, &by_secret), JWT_MALFORMED);
    assert_int_equal(verify("{\"alg\":\"HS256\",\"kid\":7}", GOOD_PAYLOAD, &by_secret), JWT_MALFORMED);
    assert_int_equal(verify("{\"alg\":\"none\",\"alg\":\"HS256\"}", GOOD_PAYLOAD, &by_secret), JWT_NOT_A_TOKEN);
}

static void
refuses_critical_headers(void **state)
{
    (void)state;
    assert_int_equal(verify("{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", GOOD_PAYLOAD, &by_secret), JWT_CRITICAL_HEADER);
    assert_int_equal(verify("{\"alg\":\"HS256\",\"crit\":[]}", GOOD_PAYLOAD, &by_secret), JWT_CRITICAL_HEADER);
}

/* The token brings the key that it is signed with. */
static void
ignores_keys_that_the_token_brings(void **state)
{
    (void)state;
    EVP_PKEY *stranger = EVP_EC_gen("P-256");
    struct sample_signer by_stranger = {.pair = stranger};
    assert_int_equal(verify("{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\"},\"jku\":\"https://127.0.0.1/\",\"x5u\":\"https://127.0.0.1/\"}", GOOD_PAYLOAD, &by_stranger),
                     JWT_BAD_SIGNATURE);
    assert_int_equal(verify("{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\"},\"jku\":\"https://127.0.0.1/\"}", GOOD_PAYLOAD, &by_secret), JWT_GOOD);
    EVP_PKEY_free(stranger);
}

static void
takes_the_es256_signature_side_by_side_and_no_other_form(void **state)
{
    (void)state;
    struct sample_signer in_der = {.pair = ec, .der = true};
    assert_int_equal(verify("{\"alg\":\"ES256\"}", GOOD_PAYLOAD, &in_der), JWT_BAD_SIGNATURE);
}

/* r = s = 0 fooled verifiers that forgot to look (CVE-2022-21449). */
static void
refuses_the_es256_signature_of_zeros(void **state)
{
    (void)state;
    char *unsigned_token = sample_token("{\"alg\":\"ES256\"}", GOOD_PAYLOAD, &(struct sample_signer){0});
    char token[512];
    snprintf(token, sizeof token, "%s%.86s", unsigned_token, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert_int_equal(verify_text(token, ""), JWT_BAD_SIGNATURE);
    free(unsigned_token);
}

static void
a_kid_chooses_the_key(void **state)
{
    (void)state;
    jwt_keys_free(&keys);
    policy.keys = keys = keys_of(NULL, "old ffffffffffffffffffffffffffffffff\nnew " SECRET "\n");
    assert_int_equal(verify("{\"alg\":\"HS256\",\"kid\":\"new\"}", GOOD_PAYLOAD, &by_secret), JWT_GOOD);
    assert_int_equal(verify("{\"alg\":\"HS256\",\"kid\":\"old\"}", GOOD_PAYLOAD, &by_secret), JWT_BAD_SIGNATURE);
    assert_int_equal(verify("{\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}", GOOD_PAYLOAD, &by_secret), JWT_NO_KEY);
    assert_int_equal(verify(HS256, GOOD_PAYLOAD, &by_secret), JWT_GOOD);
}

/* ------------------------------------------------------------------------------------------------------------------ the outline */

static void
what_is_no_token_is_left_to_others(void **state)
{
    (void)state;
    static const char *const passwords[] = {"", "secret", "a.b", "a.b.c", "e.e.e", "..", "...", "eyJ.eyJ.x", "www.example.com", "eyJhbGciOiJIUzI1NiJ9", "W10.e30.AA", "e30=.e30.AA"};
    for (unsigned i = 0; i < sizeof passwords / sizeof passwords[0]; i++) {
        assert_int_equal(verify_text(passwords[i], ""), JWT_NOT_A_TOKEN);
    }
    assert_int_equal(verify_text("e30.e30.AA", ""), JWT_MALFORMED); /* it begins with an object, so it is one */
    assert_true(jwt_looks_like_one(text_of(SAMPLE_HS256)));
    assert_false(jwt_looks_like_one(text_of("www.example.com")));
    assert_false(jwt_looks_like_one(text_of("eyJhbGciOiJIUzI1NiJ9.e30")));
    assert_false(jwt_looks_like_one(text_of("e.e.e.e")));
    assert_false(jwt_looks_like_one(text_of("")));
}

static void
only_public_keys_are_costly(void **state)
{
    (void)state;
    assert_true(jwt_is_costly(text_of(SAMPLE_RS256)));
    assert_true(jwt_is_costly(text_of(SAMPLE_ES256)));
    assert_false(jwt_is_costly(text_of(SAMPLE_HS256)));
    assert_false(jwt_is_costly(text_of("password")));
}

static void
refuses_other_encodings_of_a_signed_token(void **state)
{
    (void)state;
    char *good = sample_token(HS256, GOOD_PAYLOAD, &by_secret);
    assert_int_equal(verify_text(good, ""), JWT_GOOD);
    static const char *const tails[] = {"=", "==", " ", "\n", "A", "."};
    for (unsigned i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        char token[512];
        snprintf(token, sizeof token, "%s%s", good, tails[i]);
        assert_int_not_equal(verify_text(token, ""), JWT_GOOD);
    }
    /* The last character of 32 bytes carries two bits of fill: its three neighbours decode to the same bytes where fill is not looked at. */
    char *last = good + strlen(good) - 1;
    char kept = *last;
    *last = (char)(kept + 1);
    assert_int_equal(verify_text(good, ""), JWT_MALFORMED);
    free(good);
}

static void
every_changed_character_is_refused(void **state)
{
    (void)state;
    char *token = sample_token(HS256, GOOD_PAYLOAD, &by_secret);
    for (char *at = token; *at != '\0'; at++) {
        char kept = *at;
        *at = kept == 'A' ? 'B' : 'A';
        assert_int_not_equal(verify_text(token, ""), JWT_GOOD);
        *at = kept;
    }
    free(token);
}

static void
every_proper_prefix_is_refused(void **state)
{
    (void)state;
    char *token = sample_token(HS256, GOOD_PAYLOAD, &by_secret);
    for (size_t size = strlen(token); size-- > 0;) {
        token[size] = '\0';
        assert_int_not_equal(verify_text(token, ""), JWT_GOOD);
    }
    free(token);
}

static void
a_token_beyond_the_size_limit_is_not_looked_at(void **state)
{
    (void)state;
    char *payload;
    assert_true(asprintf(&payload, "{\"sub\":\"a\",\"exp\":1700000060,\"x\":\"%7000d\"}", 1) > 0);
    assert_int_equal(verify_payload(payload), JWT_NOT_A_TOKEN);
    free(payload);
}

static void
refuses_payloads_that_are_not_one_good_object(void **state)
{
    (void)state;
    static const char *const payloads[] = {"", "[]", "null", "{\"sub\":\"a\"", GOOD_PAYLOAD "x", "{\"sub\":\"a\",\"exp\":1700000060,\"exp\":1800000000}",
                                           "{\"sub\":\"a\\u0000b\",\"exp\":1700000060}"};
    for (unsigned i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        assert_int_equal(verify_payload(payloads[i]), JWT_MALFORMED);
    }
}

/* ------------------------------------------------------------------------------------------------------------------ claims */

static void
expiry_is_required_unless_it_is_not(void **state)
{
    (void)state;
    assert_int_equal(verify_payload("{\"sub\":\"a\"}"), JWT_NO_EXPIRY);
    policy.require_expiry = false;
    assert_int_equal(verify_payload("{\"sub\":\"a\"}"), JWT_GOOD);
    assert_int_equal(result.expires_ms, 0);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1699999999}"), JWT_EXPIRED);
}

static void
dates_are_judged_to_the_second_and_with_leeway(void **state)
{
    (void)state;
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000000}"), JWT_EXPIRED);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000000.5}"), JWT_GOOD);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"nbf\":1700000000}"), JWT_GOOD);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"nbf\":1700000001}"), JWT_NOT_YET);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"iat\":1700000001}"), JWT_NOT_YET);
    policy.leeway_s = 10;
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1699999991}"), JWT_GOOD);
    assert_int_equal(result.expires_ms, 1700000001000);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1699999990}"), JWT_EXPIRED);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"nbf\":1700000010}"), JWT_GOOD);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"nbf\":1700000011}"), JWT_NOT_YET);
}

static void
refuses_dates_that_are_none(void **state)
{
    (void)state;
    static const char *const dates[] = {"\"1700000060\"", "null", "true", "[1700000060]", "-1", "1e300", "1e999", "{}"};
    for (unsigned i = 0; i < sizeof dates / sizeof dates[0]; i++) {
        char payload[128];
        snprintf(payload, sizeof payload, "{\"sub\":\"a\",\"exp\":%s}", dates[i]);
        assert_int_equal(verify_payload(payload), JWT_BAD_CLAIMS);
        snprintf(payload, sizeof payload, "{\"sub\":\"a\",\"exp\":1700000060,\"nbf\":%s}", dates[i]);
        assert_int_equal(verify_payload(payload), JWT_BAD_CLAIMS);
    }
}

static void
the_issuer_must_be_ours_where_one_is_named(void **state)
{
    (void)state;
    policy.issuer = text_of("https://issuer");
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"iss\":\"https://issuer\"}"), JWT_GOOD);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"iss\":\"https://issuer/\"}"), JWT_OTHER_ISSUER);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"iss\":[\"https://issuer\"]}"), JWT_OTHER_ISSUER);
    assert_int_equal(verify_payload(GOOD_PAYLOAD), JWT_OTHER_ISSUER);
}

static void
the_audience_must_name_us_where_either_side_speaks_of_it(void **state)
{
    (void)state;
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"aud\":\"mqtt\"}"), JWT_OTHER_AUDIENCE);
    policy.audience = text_of("mqtt");
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"aud\":\"mqtt\"}"), JWT_GOOD);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"aud\":[\"web\",\"mqtt\"]}"), JWT_GOOD);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"aud\":[\"web\",7]}"), JWT_OTHER_AUDIENCE);
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"aud\":[]}"), JWT_OTHER_AUDIENCE);
    assert_int_equal(verify_payload(GOOD_PAYLOAD), JWT_OTHER_AUDIENCE);
}

static void
the_user_comes_from_the_claim_that_is_configured(void **state)
{
    (void)state;
    assert_int_equal(verify_payload("{\"exp\":1700000060}"), JWT_NO_USER);
    assert_int_equal(verify_payload("{\"sub\":\"\",\"exp\":1700000060}"), JWT_NO_USER);
    assert_int_equal(verify_payload("{\"sub\":7,\"exp\":1700000060}"), JWT_NO_USER);
    policy.user_claim = text_of("preferred_username");
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"preferred_username\":\"b\",\"exp\":1700000060}"), JWT_GOOD);
    assert_true(bytes_equal(result.user, text_of("b")));
}

static void
the_user_name_of_connect_must_be_the_same_where_that_is_asked(void **state)
{
    (void)state;
    char *token = sample_token(HS256, GOOD_PAYLOAD, &by_secret);
    assert_int_equal(verify_text(token, "anybody"), JWT_GOOD);
    policy.match_user = true;
    assert_int_equal(verify_text(token, "device-1"), JWT_GOOD);
    assert_int_equal(verify_text(token, "device-2"), JWT_OTHER_USER);
    assert_int_equal(verify_text(token, ""), JWT_OTHER_USER);
    free(token);
}

static void
keeps_the_claims_that_are_asked_for(void **state)
{
    (void)state;
    policy.claims[0] = text_of("tenant");
    policy.claims[1] = text_of("room");
    policy.claims[2] = text_of("list");
    policy.claims[3] = text_of("beta");
    policy.claim_count = 4;
    assert_int_equal(verify_payload("{\"sub\":\"a\",\"exp\":1700000060,\"room\":12,\"tenant\":\"acme\",\"list\":[\"x\"],\"beta\":true,\"other\":\"y\"}"), JWT_GOOD);
    assert_int_equal(result.claim_count, 3);
    assert_true(bytes_equal(result.claims[0].name, text_of("tenant")) && bytes_equal(result.claims[0].value, text_of("acme")));
    assert_true(bytes_equal(result.claims[1].name, text_of("room")) && bytes_equal(result.claims[1].value, text_of("12")));
    assert_true(bytes_equal(result.claims[2].name, text_of("beta")) && bytes_equal(result.claims[2].value, text_of("true")));
}

static void
refuses_claims_that_are_longer_than_what_is_kept(void **state)
{
    (void)state;
    policy.claims[0] = text_of("tenant");
    policy.claim_count = 1;
    char *payload;
    assert_true(asprintf(&payload, "{\"sub\":\"a\",\"exp\":1700000060,\"tenant\":\"%*d\"}", (int)JWT_TEXT_MAX, 1) > 0);
    assert_int_equal(verify_payload(payload), JWT_BAD_CLAIMS);
    policy.claim_count = 0;
    assert_int_equal(verify_payload(payload), JWT_GOOD);
    free(payload);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(verifies_the_tokens_of_rfc_7515_appendix_a),
        TEST(refuses_the_unsecured_token_of_rfc_7519_section_6_1),
        TEST(verifies_what_each_kind_of_key_signed),
        TEST(refuses_alg_none_however_it_is_written_and_signed),
        TEST(refuses_an_empty_signature_under_every_algorithm),
        TEST(refuses_a_public_key_taken_for_a_secret),
        TEST(refuses_a_signature_of_one_key_under_the_algorithm_of_another),
        TEST(refuses_algorithms_that_it_does_not_know),
        TEST(refuses_headers_whose_members_are_of_another_type),
        TEST(refuses_critical_headers),
        TEST(ignores_keys_that_the_token_brings),
        TEST(takes_the_es256_signature_side_by_side_and_no_other_form),
        TEST(refuses_the_es256_signature_of_zeros),
        TEST(a_kid_chooses_the_key),
        TEST(what_is_no_token_is_left_to_others),
        TEST(only_public_keys_are_costly),
        TEST(refuses_other_encodings_of_a_signed_token),
        TEST(every_changed_character_is_refused),
        TEST(every_proper_prefix_is_refused),
        TEST(a_token_beyond_the_size_limit_is_not_looked_at),
        TEST(refuses_payloads_that_are_not_one_good_object),
        TEST(expiry_is_required_unless_it_is_not),
        TEST(dates_are_judged_to_the_second_and_with_leeway),
        TEST(refuses_dates_that_are_none),
        TEST(the_issuer_must_be_ours_where_one_is_named),
        TEST(the_audience_must_name_us_where_either_side_speaks_of_it),
        TEST(the_user_comes_from_the_claim_that_is_configured),
        TEST(the_user_name_of_connect_must_be_the_same_where_that_is_asked),
        TEST(keeps_the_claims_that_are_asked_for),
        TEST(refuses_claims_that_are_longer_than_what_is_kept),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
    free(rsa_pem);
    free(ec_pem);
    return failed;
}
