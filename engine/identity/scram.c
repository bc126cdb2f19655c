#include "engine/identity/scram.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>

#include "engine/identity/base64.h"

#define HEADER_MAX (sizeof "n,," + SCRAM_USER_MAX * 3 + 4)
#define AUTH_MESSAGE_MAX (SCRAM_BARE_MAX + SCRAM_SERVER_FIRST_MAX + SCRAM_CLIENT_FINAL_MAX + sizeof ",,")

/* ---------------------------------------------------------------------------------------------------------------- reading */

/* The attribute `name` ("n="), up to the next ',' or the end; the comma is passed over. False if another one or none stands here. */
static bool
take_attribute(struct reader *r, char name, struct bytes *out)
{
    if (reader_left(r) < 2 || r->at[0] != (uint8_t)name || r->at[1] != '=') {
        return false;
    }
    reader_take(r, 2);
    const uint8_t *comma = memchr(r->at, ',', reader_left(r));
    *out = reader_take(r, comma != NULL ? (uint32_t)(comma - r->at) : reader_left(r));
    if (comma != NULL) {
        reader_take(r, 1);
        return reader_left(r) > 0; /* a comma separates: something follows */
    }
    return true;
}

static bool
is_name_escape(const struct bytes *text, uint32_t at, char second, char third)
{
    return text->size - at >= 3 && text->data[at + 1] == second && text->data[at + 2] == third;
}

/* A saslname: "=2C" is ',', "=3D" is '='; any other '=' is an error. */
static bool
read_name(struct bytes text, uint8_t *out, uint16_t *size)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '=') {
            bool comma = is_name_escape(&text, i, '2', 'C'), equals = is_name_escape(&text, i, '3', 'D');
            if (!comma && !equals) {
                return false;
            }
            c = comma ? ',' : '=';
            i += 2;
        }
        if (used == SCRAM_USER_MAX) {
            return false;
        }
        out[used++] = c;
    }
    *size = (uint16_t)used;
    return used > 0 && utf8_check(bytes_of(out, used));
}

/* Printable ASCII without ','. RFC 5802 section 7. */
static bool
is_nonce(struct bytes text)
{
    for (uint32_t i = 0; i < text.size; i++) {
        if (text.data[i] < 0x21 || text.data[i] > 0x7e || text.data[i] == ',') {
            return false;
        }
    }
    return text.size > 0;
}

static enum scram_answer
answer(enum scram_answer what, const char **why, const char *words)
{
    *why = words;
    return what;
}

/* "n,," "y,," "n,a=name,": the flag and who is to be acted as, which has to be the user itself. */
static enum scram_answer
read_header(struct scram *scram, struct reader *r, struct bytes *acted, const char **why)
{
    struct bytes flag = reader_take(r, 2);
    if (!r->failed && memcmp(flag.data, "p=", 2) == 0) {
        return answer(SCRAM_REFUSED, why, "channel binding, which is not offered");
    }
    if (r->failed || flag.data[1] != ',' || (flag.data[0] != 'n' && flag.data[0] != 'y')) {
        return answer(SCRAM_MALFORMED, why, "not a SCRAM header");
    }
    scram->header_flag = flag.data[0];
    const uint8_t *comma = reader_left(r) > 0 ? memchr(r->at, ',', reader_left(r)) : NULL;
    if (comma == NULL || (uint32_t)(comma - r->at) > sizeof scram->authzid) {
        return answer(SCRAM_MALFORMED, why, "not a SCRAM header");
    }
    struct bytes authzid = reader_take(r, (uint32_t)(comma - r->at));
    reader_take(r, 1);
    if (authzid.size > 0 && (authzid.size < 3 || memcmp(authzid.data, "a=", 2) != 0)) {
        return answer(SCRAM_MALFORMED, why, "not a SCRAM header");
    }
    scram->authzid_size = (uint16_t)authzid.size;
    if (authzid.size > 0) {
        memcpy(scram->authzid, authzid.data, authzid.size);
    }
    *acted = authzid.size > 0 ? bytes_of(authzid.data + 2, authzid.size - 2) : bytes_of(NULL, 0);
    return SCRAM_CONTINUE;
}

static bool
acts_as_itself(const struct scram *scram, struct bytes acted)
{
    uint8_t name[SCRAM_USER_MAX];
    uint16_t size;
    return acted.size == 0 || (read_name(acted, name, &size) && bytes_equal(bytes_of(name, size), scram_user(scram)));
}

static enum scram_answer
read_first(struct scram *scram, struct bytes message, const char **why)
{
    struct reader r = reader_of(message);
    struct bytes acted, name, nonce, extension;
    enum scram_answer header = read_header(scram, &r, &acted, why);
    if (header != SCRAM_CONTINUE) {
        return header;
    }
    struct bytes bare = bytes_of(r.at, reader_left(&r));
    if (bare.size > 1 && bare.data[0] == 'm') {
        return answer(SCRAM_REFUSED, why, "a mandatory extension, and there is none that we know"); /* RFC 5802 5.1: m= must fail */
    }
    if (bare.size > SCRAM_BARE_MAX || !take_attribute(&r, 'n', &name) || !read_name(name, scram->user, &scram->user_size)) {
        return answer(SCRAM_MALFORMED, why, "a SCRAM message without a proper user name");
    }
    if (!take_attribute(&r, 'r', &nonce) || !is_nonce(nonce) || nonce.size > SCRAM_NONCE_CLIENT_MAX) {
        return answer(SCRAM_MALFORMED, why, "a SCRAM message without a proper nonce");
    }
    while (reader_left(&r) > 0) { /* optional extensions are passed over */
        if (!take_attribute(&r, (char)r.at[0], &extension)) {
            return answer(SCRAM_MALFORMED, why, "a SCRAM message with a malformed extension");
        }
    }
    if (!acts_as_itself(scram, acted)) {
        return answer(SCRAM_REFUSED, why, "asked to act as somebody else");
    }
    memcpy(scram->nonce, nonce.data, nonce.size);
    scram->nonce_size = (uint16_t)nonce.size;
    memcpy(scram->bare, bare.data, bare.size);
    scram->bare_size = (uint16_t)bare.size;
    return SCRAM_CONTINUE;
}

enum scram_answer
scram_start(struct scram *scram, struct bytes message, const char **why)
{
    memset(scram, 0, sizeof *scram);
    enum scram_answer got = read_first(scram, message, why);
    scram->state = SCRAM_NAMED;
    if (got != SCRAM_CONTINUE) {
        scram_wipe(scram);
    }
    return got;
}

/* -------------------------------------------------------------------------------------------------------------- challenge */

void
scram_make_nonce(const uint8_t random[SCRAM_NONCE_RANDOM], char out[SCRAM_NONCE_SERVER_MAX + 1])
{
    base64_encode(bytes_of(random, SCRAM_NONCE_RANDOM), BASE64_PADDED, out);
}

struct bytes
scram_challenge(struct scram *scram, const struct password *password, const char *nonce)
{
    size_t nonce_size = strlen(nonce);
    assert(scram->state == SCRAM_NAMED && password->kind == PASSWORD_SCRAM && nonce_size <= SCRAM_NONCE_SERVER_MAX); /* M1 */
    char salt[PASSWORD_SALT_MAX * 2];
    memcpy(scram->nonce + scram->nonce_size, nonce, nonce_size);
    scram->nonce_size = (uint16_t)(scram->nonce_size + nonce_size);
    base64_encode(bytes_of(password->salt, password->salt_size), BASE64_PADDED, salt);
    scram->server_first_size = (uint16_t)snprintf(scram->server_first, sizeof scram->server_first, "r=%.*s,s=%s,i=%u", scram->nonce_size, scram->nonce, salt,
                                                  password->iterations);
    assert(scram->server_first_size < sizeof scram->server_first);
    scram->password = *password;
    scram->state = SCRAM_CHALLENGED;
    return bytes_of(scram->server_first, scram->server_first_size);
}

/* ------------------------------------------------------------------------------------------------------------------ proof */

/* "c=" is the header that came first, in Base64. */
static bool
repeats_header(const struct scram *scram, struct bytes channel)
{
    char header[HEADER_MAX], encoded[HEADER_MAX * 2];
    int size = snprintf(header, sizeof header, "%c,%.*s,", scram->header_flag, scram->authzid_size, scram->authzid);
    base64_encode(bytes_of(header, (uint32_t)size), BASE64_PADDED, encoded);
    return bytes_equal(channel, bytes_of(encoded, (uint32_t)strlen(encoded)));
}

static bool
hmac(const uint8_t key[PASSWORD_KEY_SIZE], struct bytes text, uint8_t out[PASSWORD_KEY_SIZE])
{
    return HMAC(EVP_sha256(), key, PASSWORD_KEY_SIZE, text.data, text.size, out, NULL) != NULL;
}

/* RFC 5802 section 3: ClientKey := proof XOR HMAC(StoredKey, AuthMessage); right if its hash is StoredKey. */
static bool
proves(const struct scram *scram, struct bytes auth_message, const uint8_t proof[PASSWORD_KEY_SIZE])
{
    uint8_t key[PASSWORD_KEY_SIZE], stored[PASSWORD_KEY_SIZE];
    bool done = hmac(scram->password.hash, auth_message, key);
    for (unsigned i = 0; i < sizeof key; i++) {
        key[i] ^= proof[i];
    }
    bool same = done && EVP_Digest(key, sizeof key, stored, NULL, EVP_sha256(), NULL) == 1 && CRYPTO_memcmp(stored, scram->password.hash, sizeof stored) == 0;
    OPENSSL_cleanse(key, sizeof key);
    return same;
}

static enum scram_answer
check_proof(const struct scram *scram, struct bytes without_proof, const uint8_t proof[PASSWORD_KEY_SIZE], char *out, const char **why)
{
    char text[AUTH_MESSAGE_MAX];
    uint8_t signature[PASSWORD_KEY_SIZE];
    int size = snprintf(text, sizeof text, "%.*s,%.*s,%.*s", scram->bare_size, scram->bare, scram->server_first_size, scram->server_first,
                        (int)without_proof.size, (const char *)without_proof.data);
    assert(size > 0 && (size_t)size < sizeof text);
    struct bytes auth_message = bytes_of(text, (uint32_t)size);
    if (!proves(scram, auth_message, proof) || !hmac(scram->password.server_key, auth_message, signature)) {
        return answer(SCRAM_REFUSED, why, "a wrong password");
    }
    memcpy(out, "v=", 2);
    base64_encode(bytes_of(signature, sizeof signature), BASE64_PADDED, out + 2);
    return SCRAM_CONTINUE;
}

static enum scram_answer
read_final(const struct scram *scram, struct bytes message, char *out, const char **why)
{
    struct reader r = reader_of(message);
    struct bytes channel, nonce, extension, proof_text = {0};
    uint8_t proof[PASSWORD_KEY_SIZE];
    if (!take_attribute(&r, 'c', &channel) || !repeats_header(scram, channel)) {
        return answer(SCRAM_MALFORMED, why, "a SCRAM message whose channel binding is not what it began with");
    }
    if (!take_attribute(&r, 'r', &nonce) || !bytes_equal(nonce, bytes_of(scram->nonce, scram->nonce_size))) {
        return answer(SCRAM_MALFORMED, why, "a SCRAM message with another nonce"); /* M2 */
    }
    /* The proof comes last; what stands before it was signed. */
    while (reader_left(&r) > 0 && r.at[0] != 'p') {
        if (!take_attribute(&r, (char)r.at[0], &extension)) {
            return answer(SCRAM_MALFORMED, why, "a SCRAM message with a malformed extension");
        }
    }
    if (reader_left(&r) == 0 || message.size > SCRAM_CLIENT_FINAL_MAX) {
        return answer(SCRAM_MALFORMED, why, "a SCRAM message without a proof, or too long");
    }
    struct bytes without_proof = bytes_of(message.data, (uint32_t)(r.at - message.data) - 1);
    if (!take_attribute(&r, 'p', &proof_text) || reader_left(&r) > 0 ||
        base64_decode(proof_text, BASE64_PADDED, proof, sizeof proof) != (int32_t)sizeof proof) {
        return answer(SCRAM_MALFORMED, why, "a SCRAM message without a proper proof");
    }
    return check_proof(scram, without_proof, proof, out, why);
}

enum scram_answer
scram_finish(struct scram *scram, struct bytes message, char *out, const char **why)
{
    assert(scram->state == SCRAM_CHALLENGED); /* M1 */
    enum scram_answer got = read_final(scram, message, out, why);
    if (got == SCRAM_CONTINUE) {
        OPENSSL_cleanse(&scram->password, sizeof scram->password);
        scram->state = SCRAM_PROVED;
    } else {
        scram_wipe(scram);
    }
    return got;
}

void
scram_wipe(struct scram *scram)
{
    OPENSSL_cleanse(scram, sizeof *scram);
    scram->state = SCRAM_OVER;
}
