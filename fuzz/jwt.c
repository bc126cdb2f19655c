/*
 * What any bytes can do to the reading of tokens and of their keys. The first byte says what the rest is: a token as it comes; a payload, which is signed so that the
 * claims are reached; a header and a payload with a line end between; a file of public keys; a file of secrets.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/identity/jwt.h"
#include "test/engine/jwt_samples.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW_MS 1300819000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct jwt_keys *keys;

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

static void
verify(const char *token, size_t size, bool match_user)
{
    struct jwt_policy policy = {
        .keys = keys,
        .user_claim = text_of("iss"),
        .claims = {text_of("tenant"), text_of("iss"), text_of("n")},
        .claim_count = 3,
        .match_user = match_user,
        .require_expiry = match_user,
        .leeway_s = 5,
    };
    struct jwt_result result;
    struct bytes bytes = bytes_of(token, (uint32_t)size);
    enum jwt_verdict verdict = jwt_verify(&policy, bytes, text_of("joe"), NOW_MS, &result);
    assert(jwt_verdict_text(verdict) != NULL);
    (void)jwt_is_costly(bytes);
    if (verdict == JWT_GOOD) {
        jwt_result_check(&result);
        assert(result.expires_ms == 0 || result.expires_ms > NOW_MS);
    }
}

static void
verify_signed(const char *header, const char *payload)
{
    struct sample_signer signer = {.secret = SECRET, .secret_size = sizeof SECRET - 1};
    char *token = sample_token(header, payload, &signer);
    verify(token, strlen(token), false);
    verify(token, strlen(token), true);
    free(token);
}

/* Through a file without a name. */
static void
read_keys(const uint8_t *data, size_t size, bool secrets)
{
    int file = memfd_create("keys", 0);
    assert(file >= 0);
    ssize_t written = write(file, data, size);
    assert(written == (ssize_t)size);
    char path[64], error[300] = "";
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    struct jwt_keys *read = jwt_keys_read(secrets ? NULL : path, secrets ? path : NULL, error, sizeof error);
    assert((read == NULL) == (error[0] != '\0') && strchr(error, '\n') == NULL);
    jwt_keys_free(&read);
    close(file);
}

static void
begin(void)
{
    char error[300];
    char *public_keys = sample_file(SAMPLE_RSA_KEY SAMPLE_EC_KEY), *secrets = sample_file(SECRET "\nhex:" SAMPLE_SECRET_HEX "\n");
    keys = jwt_keys_read(public_keys, secrets, error, sizeof error);
    assert(keys != NULL);
    sample_file_remove(&public_keys);
    sample_file_remove(&secrets);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (keys == NULL) {
        begin();
    }
    if (size == 0) {
        return 0;
    }
    char *rest = strndup((const char *)data + 1, size - 1);
    char *line_end = strchr(rest, '\n');
    switch (data[0]) {
    case 'p':
        verify_signed("{\"alg\":\"HS256\"}", rest);
        break;
    case 'h':
        if (line_end != NULL) {
            *line_end = '\0';
            verify_signed(rest, line_end + 1);
        }
        break;
    case 'k':
    case 's':
        read_keys(data + 1, size - 1, data[0] == 's');
        break;
    default:
        verify((const char *)data + 1, size - 1, false);
        break;
    }
    free(rest);
    return 0;
}
