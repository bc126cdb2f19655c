#include "engine/identity/password.h"

#include <argon2.h>
#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>

#include "engine/identity/base64.h"

#define SCRAM_PREFIX "SCRAM-SHA-256$"
#define ARGON2_PREFIX "$argon2id$v=19$"

/* Argon2id as Mosquitto 2.1 writes it; PBKDF2 and SCRAM as OWASP's list of 2023 has them for SHA-512 and SHA-256. */
#define ARGON2_PASSES 1u
#define ARGON2_MEMORY_KIB 47104u
#define ARGON2_LANES 1u
#define PBKDF2_ITERATIONS 210000u
#define SCRAM_ITERATIONS 100000u
#define SCRAM_SALT_SIZE 16u

/* ---------------------------------------------------------------------------------------------------------------- reading */

/* What stands before `end`, which is passed over; false if it does not come. */
static bool
take_until(struct reader *r, char end, struct bytes *out)
{
    const uint8_t *at = reader_left(r) > 0 ? memchr(r->at, end, reader_left(r)) : NULL;
    if (at == NULL) {
        return false;
    }
    *out = reader_take(r, (uint32_t)(at - r->at));
    reader_take(r, 1);
    return true;
}

static struct bytes
take_rest(struct reader *r)
{
    return reader_take(r, reader_left(r));
}

static bool
take_prefix(struct reader *r, const char *prefix)
{
    uint32_t size = (uint32_t)strlen(prefix);
    if (reader_left(r) < size || memcmp(r->at, prefix, size) != 0) {
        return false;
    }
    reader_take(r, size);
    return true;
}

/* Decimal digits without sign or leading zero, 1 to `max`. */
static bool
read_number(struct bytes text, uint32_t max, uint32_t *out)
{
    uint64_t number = 0;
    if (text.size == 0 || text.size > 10 || text.data[0] == '0') {
        return false;
    }
    for (uint32_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        number = number * 10 + (text.data[i] - '0');
    }
    *out = (uint32_t)number;
    return number <= max;
}

/* Between `min` and `max` bytes into an array of at least `max`. */
static bool
read_base64(struct bytes text, enum base64_padding padding, uint8_t *out, uint8_t *size, uint32_t min, uint32_t max)
{
    int32_t got = base64_decode(text, padding, out, max);
    if (got < (int32_t)min) {
        return false;
    }
    *size = (uint8_t)got;
    return true;
}

static const char *
read_salt_and_hash(struct reader *r, struct password *out, enum base64_padding padding, uint32_t salt_min, uint32_t hash_min)
{
    struct bytes salt;
    if (!take_until(r, '$', &salt)) {
        return "no '$' between salt and hash";
    }
    if (!read_base64(salt, padding, out->salt, &out->salt_size, salt_min, PASSWORD_SALT_MAX)) {
        return "a salt that is not Base64 or has a wrong size";
    }
    if (!read_base64(take_rest(r), padding, out->hash, &out->hash_size, hash_min, PASSWORD_HASH_MAX)) {
        return "a hash that is not Base64 or has a wrong size";
    }
    return NULL;
}

/* After "$6$". Salts are 12 bytes in Mosquitto up to 2.0, 64 from 2.1 on; other tools have others. */
static const char *
read_sha512(struct reader *r, struct password *out)
{
    out->kind = PASSWORD_SHA512;
    return read_salt_and_hash(r, out, BASE64_PADDED, 1, PASSWORD_HASH_MAX);
}

/* After "$7$". */
static const char *
read_pbkdf2(struct reader *r, struct password *out)
{
    struct bytes iterations;
    out->kind = PASSWORD_PBKDF2;
    if (!take_until(r, '$', &iterations) || !read_number(iterations, PASSWORD_ITERATIONS_MAX, &out->iterations)) {
        return "a number of iterations that is not between 1 and 10000000";
    }
    return read_salt_and_hash(r, out, BASE64_PADDED, 1, PASSWORD_HASH_MAX);
}

static bool
read_parameter(struct reader *r, const char *name, char end, uint32_t max, uint32_t *out)
{
    struct bytes number;
    return take_prefix(r, name) && take_until(r, end, &number) && read_number(number, max, out);
}

/* After "$argon2id$v=19$". */
static const char *
read_argon2id(struct reader *r, struct password *out)
{
    uint32_t lanes;
    out->kind = PASSWORD_ARGON2ID;
    if (!read_parameter(r, "m=", ',', PASSWORD_MEMORY_MAX_KIB, &out->memory_kib) ||
        !read_parameter(r, "t=", ',', PASSWORD_WORK_MAX_KIB, &out->iterations) || !read_parameter(r, "p=", '$', PASSWORD_LANES_MAX, &lanes)) {
        return "Argon2id parameters that are not m=1..1048576,t=1..,p=1..64";
    }
    if (out->memory_kib < 8 * lanes || (uint64_t)out->memory_kib * out->iterations > PASSWORD_WORK_MAX_KIB) {
        return "Argon2id parameters that cannot be (memory below 8 KiB per lane) or take too long (memory times passes above 4 GiB)";
    }
    out->lanes = (uint8_t)lanes;
    return read_salt_and_hash(r, out, BASE64_UNPADDED, 8, 16);
}

/* After "SCRAM-SHA-256$". */
static const char *
read_scram(struct reader *r, struct password *out)
{
    struct bytes iterations, salt, stored;
    uint8_t server_size;
    out->kind = PASSWORD_SCRAM;
    if (!take_until(r, ':', &iterations) || !read_number(iterations, PASSWORD_ITERATIONS_MAX, &out->iterations)) {
        return "a number of iterations that is not between 1 and 10000000";
    }
    if (!take_until(r, '$', &salt) || !read_base64(salt, BASE64_PADDED, out->salt, &out->salt_size, 1, PASSWORD_SALT_MAX)) {
        return "a salt that is not Base64 or has a wrong size";
    }
    if (!take_until(r, ':', &stored) || !read_base64(stored, BASE64_PADDED, out->hash, &out->hash_size, PASSWORD_KEY_SIZE, PASSWORD_KEY_SIZE) ||
        !read_base64(take_rest(r), BASE64_PADDED, out->server_key, &server_size, PASSWORD_KEY_SIZE, PASSWORD_KEY_SIZE)) {
        return "a key that is not 32 bytes of Base64";
    }
    return NULL;
}

const char *
password_parse(struct bytes text, struct password *out)
{
    struct reader r = reader_of(text);
    *out = (struct password){0};
    if (take_prefix(&r, "$6$")) {
        return read_sha512(&r, out);
    }
    if (take_prefix(&r, "$7$")) {
        return read_pbkdf2(&r, out);
    }
    if (take_prefix(&r, ARGON2_PREFIX)) {
        return read_argon2id(&r, out);
    }
    if (take_prefix(&r, SCRAM_PREFIX)) {
        return read_scram(&r, out);
    }
    if (take_prefix(&r, "$")) {
        return "a kind of hash that is not known: $6$, $7$, $argon2id$v=19$ and SCRAM-SHA-256$ are";
    }
    return "a password that is not hashed: 'tidewire-passwd -U FILE' hashes all of a file";
}

/* ---------------------------------------------------------------------------------------------------------------- deriving */

static bool
derive_sha512(struct password *p, struct bytes secret)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context != NULL && EVP_DigestInit_ex(context, EVP_sha512(), NULL) && EVP_DigestUpdate(context, secret.data, secret.size) &&
                EVP_DigestUpdate(context, p->salt, p->salt_size) && EVP_DigestFinal_ex(context, p->hash, NULL);
    EVP_MD_CTX_free(context);
    return done;
}

static bool
pbkdf2(const struct password *p, struct bytes secret, const EVP_MD *digest, uint8_t *out, int size)
{
    const char *pass = secret.size > 0 ? (const char *)secret.data : ""; /* NULL would stand for a missing one */
    return PKCS5_PBKDF2_HMAC(pass, (int)secret.size, p->salt, p->salt_size, (int)p->iterations, digest, size, out) == 1;
}

static bool
hmac_name(const uint8_t key[PASSWORD_KEY_SIZE], const char *name, uint8_t out[PASSWORD_KEY_SIZE])
{
    return HMAC(EVP_sha256(), key, PASSWORD_KEY_SIZE, (const uint8_t *)name, strlen(name), out, NULL) != NULL;
}

/* RFC 5802 section 3. */
static bool
derive_scram(struct password *p, struct bytes secret)
{
    uint8_t salted[PASSWORD_KEY_SIZE], client[PASSWORD_KEY_SIZE];
    bool done = pbkdf2(p, secret, EVP_sha256(), salted, sizeof salted) && hmac_name(salted, "Client Key", client) &&
                hmac_name(salted, "Server Key", p->server_key) && EVP_Digest(client, sizeof client, p->hash, NULL, EVP_sha256(), NULL);
    OPENSSL_cleanse(salted, sizeof salted);
    OPENSSL_cleanse(client, sizeof client);
    return done;
}

static bool
derive_argon2id(struct password *p, struct bytes secret)
{
    return argon2id_hash_raw(p->iterations, p->memory_kib, p->lanes, secret.data, secret.size, p->salt, p->salt_size, p->hash, p->hash_size) == ARGON2_OK;
}

/* The hash, where kind, costs, salt and hash_size are there already. */
static bool
derive(struct password *out, struct bytes secret)
{
    switch ((enum password_kind)out->kind) {
    case PASSWORD_SHA512:
        return derive_sha512(out, secret);
    case PASSWORD_PBKDF2:
        return pbkdf2(out, secret, EVP_sha512(), out->hash, out->hash_size);
    case PASSWORD_ARGON2ID:
        return derive_argon2id(out, secret);
    case PASSWORD_SCRAM:
        return derive_scram(out, secret);
    case PASSWORD_KINDS:
        break;
    }
    assert(!"a kind of password");
    return false;
}

bool
password_verify(const struct password *password, struct bytes secret)
{
    struct password got = *password;
    memset(got.hash, 0, sizeof got.hash);
    /* HMAC's key ends in zeros of its own: for PBKDF2 "x" and "x\0" are the same, so a password with a zero byte is none. */
    bool text = secret.size == 0 || memchr(secret.data, 0, secret.size) == NULL;
    bool same = derive(&got, secret) && CRYPTO_memcmp(got.hash, password->hash, password->hash_size) == 0 && text;
    OPENSSL_cleanse(&got, sizeof got);
    return same;
}

/* ------------------------------------------------------------------------------------------------------------------ making */

static uint32_t
default_cost(enum password_kind kind)
{
    static const uint32_t costs[PASSWORD_KINDS] = {
        [PASSWORD_SHA512] = 0, [PASSWORD_PBKDF2] = PBKDF2_ITERATIONS, [PASSWORD_ARGON2ID] = ARGON2_PASSES, [PASSWORD_SCRAM] = SCRAM_ITERATIONS};
    return costs[kind];
}

bool
password_make(struct password *out, enum password_kind kind, uint32_t cost, struct bytes secret)
{
    *out = (struct password){
        .kind = (uint8_t)kind,
        .salt_size = kind == PASSWORD_SCRAM ? SCRAM_SALT_SIZE : kind == PASSWORD_ARGON2ID ? PASSWORD_SALT_MAX : 12, /* 12: Mosquitto 2.0 reads no other */
        .hash_size = kind == PASSWORD_SCRAM ? PASSWORD_KEY_SIZE : PASSWORD_HASH_MAX,
        .iterations = kind == PASSWORD_SHA512 ? 0 : cost != 0 ? cost : default_cost(kind),
        .memory_kib = kind == PASSWORD_ARGON2ID ? ARGON2_MEMORY_KIB : 0,
        .lanes = kind == PASSWORD_ARGON2ID ? ARGON2_LANES : 0,
    };
    return RAND_bytes(out->salt, out->salt_size) == 1 && derive(out, secret);
}

/* ----------------------------------------------------------------------------------------------------------------- writing */

#define TEXT_OF(bytes) ((bytes) / 3 * 4 + 5) /* a Base64 text of that many bytes, with its end */

void
password_write(const struct password *p, char *out)
{
    enum base64_padding padding = p->kind == PASSWORD_ARGON2ID ? BASE64_UNPADDED : BASE64_PADDED;
    char salt[TEXT_OF(PASSWORD_SALT_MAX)], hash[TEXT_OF(PASSWORD_HASH_MAX)], server[TEXT_OF(PASSWORD_KEY_SIZE)];
    base64_encode(bytes_of(p->salt, p->salt_size), padding, salt);
    base64_encode(bytes_of(p->hash, p->hash_size), padding, hash);
    switch ((enum password_kind)p->kind) {
    case PASSWORD_SHA512:
        snprintf(out, PASSWORD_TEXT_MAX, "$6$%s$%s", salt, hash);
        break;
    case PASSWORD_PBKDF2:
        snprintf(out, PASSWORD_TEXT_MAX, "$7$%u$%s$%s", p->iterations, salt, hash);
        break;
    case PASSWORD_ARGON2ID:
        snprintf(out, PASSWORD_TEXT_MAX, ARGON2_PREFIX "m=%u,t=%u,p=%u$%s$%s", p->memory_kib, p->iterations, p->lanes, salt, hash);
        break;
    case PASSWORD_SCRAM:
        base64_encode(bytes_of(p->server_key, PASSWORD_KEY_SIZE), padding, server);
        snprintf(out, PASSWORD_TEXT_MAX, SCRAM_PREFIX "%u:%s$%s:%s", p->iterations, salt, hash, server);
        break;
    case PASSWORD_KINDS:
        assert(!"a kind of password");
        break;
    }
}

const char *
password_kind_name(enum password_kind kind)
{
    static const char *const names[PASSWORD_KINDS] = {
        [PASSWORD_SHA512] = "sha512", [PASSWORD_PBKDF2] = "sha512-pbkdf2", [PASSWORD_ARGON2ID] = "argon2id", [PASSWORD_SCRAM] = "scram-sha-256"};
    return names[kind];
}
