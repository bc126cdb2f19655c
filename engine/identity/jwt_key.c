#include "engine/identity/jwt_key.h"

#include "engine/identity/jwt_pem.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define SECRET_LINE_MAX (JWT_SECRET_BYTES_MAX + 256)
/* r and s of P-256, 32 bytes each. RFC 7518 3.4. */
#define ES256_HALF 32

struct jwt_key {
    enum jwt_algorithm algorithm;
    char *kid;            /* NULL: none */
    EVP_PKEY *public_key; /* RS256, ES256 */
    uint8_t *secret;      /* HS256 */
    uint32_t secret_size;
};

struct jwt_keys {
    _Atomic uint32_t users;
    EVP_MD *sha256; /* fetched once: looking it up by name costs more than a hash */
    uint32_t count;
    struct jwt_key keys[JWT_KEYS_MAX];
};

/* Where in which file, and where the error goes. */
struct source {
    const char *path;
    unsigned line;
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 2, 3))) static bool
refuse(const struct source *source, const char *format, ...)
{
    int used = source->line > 0 ? snprintf(source->error, source->error_size, "%s:%u: ", source->path, source->line)
                                : snprintf(source->error, source->error_size, "%s: ", source->path);
    va_list arguments;
    va_start(arguments, format);
    if (used >= 0 && (size_t)used < source->error_size) {
        vsnprintf(source->error + used, source->error_size - (size_t)used, format, arguments);
    }
    va_end(arguments);
    return false;
}

static void
free_key(struct jwt_key *key)
{
    free(key->kid);
    EVP_PKEY_free(key->public_key);
    if (key->secret != NULL) {
        OPENSSL_cleanse(key->secret, key->secret_size);
        free(key->secret);
    }
}

struct jwt_keys *
jwt_keys_hold(struct jwt_keys *keys)
{
    atomic_fetch_add_explicit(&keys->users, 1, memory_order_relaxed);
    return keys;
}

void
jwt_keys_free(struct jwt_keys **keysp)
{
    struct jwt_keys *keys = *keysp;
    *keysp = NULL;
    /* The last one sees what all others did before they let go. */
    if (keys == NULL || atomic_fetch_sub_explicit(&keys->users, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (uint32_t i = 0; i < keys->count; i++) {
        free_key(&keys->keys[i]);
    }
    EVP_MD_free(keys->sha256);
    free(keys);
}

/* Takes the key over, also when there is no room for it. */
static bool
add_key(struct jwt_keys *keys, const struct source *source, struct jwt_key *key)
{
    if (keys->count == JWT_KEYS_MAX) {
        free_key(key);
        return refuse(source, "more than %d keys of tokens", JWT_KEYS_MAX);
    }
    keys->keys[keys->count++] = *key;
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ public keys */

static bool
is_p256(const EVP_PKEY *key)
{
    char group[32];
    size_t size;
    return EVP_PKEY_get_group_name(key, group, sizeof group, &size) == 1 && (strcmp(group, "prime256v1") == 0 || strcmp(group, "P-256") == 0);
}

static bool
add_public_key(struct jwt_keys *keys, const struct source *source, EVP_PKEY *public_key, const char *kid)
{
    struct jwt_key key = {.public_key = public_key, .algorithm = JWT_ALGORITHM_NONE_OF_OURS};
    int bits = EVP_PKEY_get_bits(public_key);
    if (EVP_PKEY_is_a(public_key, "RSA")) {
        key.algorithm = JWT_RS256;
    } else if (EVP_PKEY_is_a(public_key, "EC") && is_p256(public_key)) {
        key.algorithm = JWT_ES256;
    }
    if (key.algorithm == JWT_ALGORITHM_NONE_OF_OURS) {
        free_key(&key);
        return refuse(source, "neither an RSA key (RS256) nor an EC key on P-256 (ES256)");
    }
    if (key.algorithm == JWT_RS256 && (bits < JWT_RSA_BITS_MIN || bits > JWT_RSA_BITS_MAX)) {
        free_key(&key);
        return refuse(source, "an RSA key of %d bits; RS256 takes %d to %d (RFC 7518)", bits, JWT_RSA_BITS_MIN, JWT_RSA_BITS_MAX);
    }
    if (kid[0] != '\0' && (key.kid = strdup(kid)) == NULL) {
        free_key(&key);
        return refuse(source, "out of memory");
    }
    return add_key(keys, source, &key);
}

static bool
read_key_file(struct jwt_keys *keys, struct source *source)
{
    struct jwt_pem *pem = jwt_pem_open(source->path);
    if (pem == NULL) {
        return refuse(source, "cannot be read: %s", strerror(errno));
    }
    uint32_t before = keys->count;
    bool good = true;
    for (bool more = true; good && more;) {
        EVP_PKEY *public_key = NULL;
        const char *problem = NULL;
        more = jwt_pem_next(pem, &public_key, &problem);
        source->line = jwt_pem_line(pem);
        if (more) {
            good = problem != NULL ? refuse(source, "%s", problem) : add_public_key(keys, source, public_key, jwt_pem_kid(pem));
        }
    }
    source->line = good ? 0 : source->line;
    if (good && keys->count == before) {
        good = refuse(source, "holds no public key (BEGIN PUBLIC KEY) and no certificate");
    }
    jwt_pem_close(&pem);
    return good;
}

/* ---------------------------------------------------------------------------------------------------------------- secrets */

static int
hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool
decode_hex(const char *text, uint8_t *out, uint32_t *size)
{
    uint32_t count = 0;
    for (; text[0] != '\0'; text += 2, count++) {
        if (hex_value(text[0]) < 0 || hex_value(text[1]) < 0 || count == JWT_SECRET_BYTES_MAX) {
            return false;
        }
        out[count] = (uint8_t)(hex_value(text[0]) << 4 | hex_value(text[1]));
    }
    *size = count;
    return true;
}

/* Base64 with padding, as tools print it. */
static bool
decode_base64(const char *text, uint8_t *out, uint32_t *size)
{
    size_t length = strlen(text);
    if (length == 0 || length % 4 != 0 || length / 4 * 3 > JWT_SECRET_BYTES_MAX || strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") != length) {
        return false;
    }
    int decoded = EVP_DecodeBlock(out, (const unsigned char *)text, (int)length);
    if (decoded < 0) {
        return false;
    }
    *size = (uint32_t)decoded - (text[length - 1] == '=') - (text[length - 2] == '=');
    return true;
}

/* The bytes that a word of the file stands for. False if it is in no form that there is. */
static bool
decode_secret(const char *word, uint8_t *out, uint32_t *size)
{
    if (strncmp(word, "hex:", 4) == 0) {
        return decode_hex(word + 4, out, size);
    }
    if (strncmp(word, "base64:", 7) == 0) {
        return decode_base64(word + 7, out, size);
    }
    *size = (uint32_t)strlen(word);
    if (*size > JWT_SECRET_BYTES_MAX) {
        return false;
    }
    memcpy(out, word, *size);
    return true;
}

static bool
add_secret(struct jwt_keys *keys, const struct source *source, const char *kid, const char *word)
{
    uint8_t bytes[JWT_SECRET_BYTES_MAX + 3];
    uint32_t size;
    if (!decode_secret(word, bytes, &size)) {
        return refuse(source, "the secret is neither plain text of at most %d bytes nor hex: nor base64: and such digits", JWT_SECRET_BYTES_MAX);
    }
    if (size < JWT_SECRET_BYTES_MIN) {
        OPENSSL_cleanse(bytes, sizeof bytes);
        return refuse(source, "a secret of %u bytes; HS256 takes %d and more (RFC 7518)", size, JWT_SECRET_BYTES_MIN);
    }
    struct jwt_key key = {.algorithm = JWT_HS256, .secret = malloc(size), .secret_size = size, .kid = kid != NULL ? strdup(kid) : NULL};
    if (key.secret == NULL || (kid != NULL && key.kid == NULL)) {
        key.secret_size = 0;
        free_key(&key);
        return refuse(source, "out of memory");
    }
    memcpy(key.secret, bytes, size);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return add_key(keys, source, &key);
}

/* [NAME] SECRET; nothing more. */
static bool
read_secret_line(struct jwt_keys *keys, const struct source *source, char *line)
{
    char *rest = line;
    char *first = strtok_r(line, " \t\r\n", &rest);
    char *second = first != NULL ? strtok_r(NULL, " \t\r\n", &rest) : NULL;
    if (first == NULL || first[0] == '#') {
        return true;
    }
    if (second != NULL && strtok_r(NULL, " \t\r\n", &rest) != NULL) {
        return refuse(source, "a line is a secret, or a name and a secret");
    }
    return add_secret(keys, source, second != NULL ? first : NULL, second != NULL ? second : first);
}

static bool
read_secret_file(struct jwt_keys *keys, struct source *source)
{
    FILE *file = fopen(source->path, "re");
    if (file == NULL) {
        return refuse(source, "cannot be read: %s", strerror(errno));
    }
    char line[SECRET_LINE_MAX];
    uint32_t before = keys->count;
    bool good = true;
    errno = 0;
    while (good && fgets(line, sizeof line, file) != NULL) {
        source->line++;
        bool whole = strchr(line, '\n') != NULL || feof(file);
        good = whole ? read_secret_line(keys, source, line) : refuse(source, "the line is too long, or holds a NUL byte");
    }
    if (good && ferror(file)) {
        source->line = 0;
        good = refuse(source, "cannot be read: %s", strerror(errno));
    }
    fclose(file);
    OPENSSL_cleanse(line, sizeof line);
    if (good && keys->count == before) {
        source->line = 0;
        good = refuse(source, "holds no secret");
    }
    return good;
}

struct jwt_keys *
jwt_keys_read(const char *key_file, const char *secret_file, char *error, size_t error_size)
{
    struct source public_source = {.path = key_file, .error = error, .error_size = error_size};
    struct source secret_source = {.path = secret_file, .error = error, .error_size = error_size};
    struct jwt_keys *keys = calloc(1, sizeof *keys);
    if (keys == NULL || (keys->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL)) == NULL) {
        snprintf(error, error_size, "out of memory");
        free(keys);
        return NULL;
    }
    atomic_init(&keys->users, 1);
    if ((key_file != NULL && !read_key_file(keys, &public_source)) || (secret_file != NULL && !read_secret_file(keys, &secret_source))) {
        jwt_keys_free(&keys);
    }
    return keys;
}

uint32_t
jwt_keys_count(const struct jwt_keys *keys, enum jwt_algorithm algorithm)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < keys->count; i++) {
        count += keys->keys[i].algorithm == algorithm;
    }
    return count;
}

/* ----------------------------------------------------------------------------------------------------------- verification */

enum jwt_algorithm
jwt_algorithm_named(struct bytes name)
{
    static const char *const names[] = {[JWT_HS256] = "HS256", [JWT_RS256] = "RS256", [JWT_ES256] = "ES256"};
    for (unsigned i = 0; i < JWT_ALGORITHM_NONE_OF_OURS; i++) {
        if (bytes_equal(name, bytes_of(names[i], 5))) {
            return (enum jwt_algorithm)i;
        }
    }
    return JWT_ALGORITHM_NONE_OF_OURS;
}

static bool
verify_hmac(const struct jwt_keys *keys, const struct jwt_key *key, struct bytes text, struct bytes signature)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    return HMAC(keys->sha256, key->secret, (int)key->secret_size, text.data, text.size, mac, &size) != NULL && size == signature.size &&
           CRYPTO_memcmp(mac, signature.data, size) == 0;
}

static bool
verify_public(const struct jwt_keys *keys, const struct jwt_key *key, struct bytes text, const uint8_t *signature, size_t size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good = context != NULL && EVP_DigestVerifyInit(context, NULL, keys->sha256, NULL, key->public_key) == 1 &&
                EVP_DigestVerify(context, signature, size, text.data, text.size) == 1;
    EVP_MD_CTX_free(context);
    return good;
}

/* The signature is r and s side by side; OpenSSL wants them in DER. RFC 7518 3.4. */
static bool
verify_ecdsa(const struct jwt_keys *keys, const struct jwt_key *key, struct bytes text, struct bytes signature)
{
    if (signature.size != 2 * ES256_HALF) {
        return false;
    }
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature.data, ES256_HALF, NULL);
    BIGNUM *s = BN_bin2bn(signature.data + ES256_HALF, ES256_HALF, NULL);
    if (pair == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(pair, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(pair);
        return false;
    }
    uint8_t *der = NULL;
    int size = i2d_ECDSA_SIG(pair, &der);
    bool good = size > 0 && verify_public(keys, key, text, der, (size_t)size);
    OPENSSL_free(der);
    ECDSA_SIG_free(pair);
    return good;
}

static bool
verify(const struct jwt_keys *keys, const struct jwt_key *key, struct bytes text, struct bytes signature)
{
    switch (key->algorithm) {
    case JWT_HS256:
        return verify_hmac(keys, key, text, signature);
    case JWT_RS256:
        return verify_public(keys, key, text, signature.data, signature.size);
    case JWT_ES256:
        return verify_ecdsa(keys, key, text, signature);
    default:
        return false;
    }
}

enum jwt_trial
jwt_keys_try(const struct jwt_keys *keys, enum jwt_algorithm algorithm, struct bytes kid, struct bytes signed_text, struct bytes signature)
{
    enum jwt_trial trial = JWT_TRIAL_NO_KEY;
    for (uint32_t i = 0; i < keys->count; i++) {
        const struct jwt_key *key = &keys->keys[i];
        bool named = kid.size > 0 && key->kid != NULL;
        if (key->algorithm != algorithm || (named && !bytes_equal(kid, bytes_of(key->kid, (uint32_t)strlen(key->kid))))) {
            continue;
        }
        if (verify(keys, key, signed_text, signature)) {
            return JWT_TRIAL_GOOD;
        }
        trial = JWT_TRIAL_WRONG;
    }
    return trial;
}
