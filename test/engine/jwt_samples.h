/*
 * jwt_samples: keys and tokens for tests: those of RFC 7515's appendix A, and ones made and signed on the spot.
 */
#ifndef TIDEWIRE_TEST_ENGINE_JWT_SAMPLES_H
#define TIDEWIRE_TEST_ENGINE_JWT_SAMPLES_H

#include <assert.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RFC 7515 A.1.1, A.2.1 and A.3.1: the payload says exp 1300819380. */
#define SAMPLE_PAYLOAD "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define SAMPLE_HS256 "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." SAMPLE_PAYLOAD ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define SAMPLE_RS256                                                                                                                                       \
    "eyJhbGciOiJSUzI1NiJ9." SAMPLE_PAYLOAD                                                                                                                 \
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLg" \
    "rnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9F" \
    "s98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define SAMPLE_ES256 "eyJhbGciOiJFUzI1NiJ9." SAMPLE_PAYLOAD ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

#define SAMPLE_SECRET_HEX                                                                                                                              \
    "0323354b2b0fa5bc837e0665777ba68f5ab328e6f054c928a90f84b2d2502ebfd3fb5a92d20647ef968ab4c377623d223d2e2172052e4f08c0cd9af567d080a3"
#define SAMPLE_RSA_KEY                                                                                                                                  \
    "-----BEGIN PUBLIC KEY-----\n"                                                                                                                         \
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj\n"                                                                                   \
    "NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz\n"                                                                                   \
    "P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo\n"                                                                                   \
    "9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB\n"                                                                                   \
    "EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX\n"                                                                                   \
    "FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp\n"                                                                                   \
    "oQIDAQAB\n"                                                                                                                                           \
    "-----END PUBLIC KEY-----\n"
#define SAMPLE_EC_KEY                                                                                                                                   \
    "-----BEGIN PUBLIC KEY-----\n"                                                                                                                         \
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n"                                                                                   \
    "6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"                                                                                       \
    "-----END PUBLIC KEY-----\n"

/* A file with this text; the path is the caller's to unlink and free. */
static inline char *
sample_file(const char *text)
{
    char *path = strdup("/tmp/tidewire-jwt-XXXXXX");
    int file = mkstemp(path);
    assert(file >= 0);
    ssize_t written = write(file, text, strlen(text));
    assert(written == (ssize_t)strlen(text));
    (void)written;
    close(file);
    return path;
}

static inline void
sample_file_remove(char **path)
{
    unlink(*path);
    free(*path);
    *path = NULL;
}

/* Public keys in PEM, in fresh memory. */
static inline char *
sample_pem_of(const EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, (EVP_PKEY *)(uintptr_t)key);
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    char *text = strndup(data, (size_t)size);
    BIO_free(bio);
    return text;
}

/* Encodes into fresh memory. */
static inline char *
sample_base64url(const void *data, size_t size)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *in = data;
    char *out = malloc(size * 4 / 3 + 4), *at = out;
    uint32_t pending = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < size; i++) {
        pending = pending << 8 | in[i];
        for (bits += 8; bits >= 6; bits -= 6) {
            *at++ = alphabet[pending >> (bits - 6) & 63];
        }
    }
    if (bits > 0) {
        *at++ = alphabet[pending << (6 - bits) & 63];
    }
    *at = '\0';
    return out;
}

/* What signs: a secret, or a key pair whose kind says how. All of it may be absent: an empty signature. */
struct sample_signer {
    const void *secret;
    size_t secret_size;
    EVP_PKEY *pair;
    bool der; /* ECDSA's signature as OpenSSL makes it, which is not the form of a token */
};

static inline size_t
sample_raw_ecdsa(const uint8_t *der, size_t size, uint8_t *out)
{
    const uint8_t *at = der;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)size);
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + 32, 32);
    ECDSA_SIG_free(pair);
    return 64;
}

static inline size_t
sample_signature(const struct sample_signer *signer, const char *text, uint8_t *out, size_t room)
{
    if (signer->secret != NULL) {
        unsigned size;
        HMAC(EVP_sha256(), signer->secret, (int)signer->secret_size, (const uint8_t *)text, strlen(text), out, &size);
        return size;
    }
    if (signer->pair == NULL) {
        return 0;
    }
    uint8_t der[1024];
    size_t size = room < sizeof der ? room : sizeof der;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, signer->pair);
    int good = EVP_DigestSign(context, der, &size, (const uint8_t *)text, strlen(text));
    assert(good == 1);
    (void)good;
    EVP_MD_CTX_free(context);
    if (EVP_PKEY_is_a(signer->pair, "EC") && !signer->der) {
        return sample_raw_ecdsa(der, size, out);
    }
    memcpy(out, der, size);
    return size;
}

/* A token of these two JSON texts, in fresh memory. */
static inline char *
sample_token(const char *header, const char *payload, const struct sample_signer *signer)
{
    char *head = sample_base64url(header, strlen(header)), *body = sample_base64url(payload, strlen(payload));
    char *text;
    uint8_t signature[1024];
    if (asprintf(&text, "%s.%s", head, body) < 0) {
        abort();
    }
    char *tail = sample_base64url(signature, sample_signature(signer, text, signature, sizeof signature));
    char *token;
    if (asprintf(&token, "%s.%s", text, tail) < 0) {
        abort();
    }
    free(head);
    free(body);
    free(text);
    free(tail);
    return token;
}

#endif
