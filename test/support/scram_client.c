#include "test/support/scram_client.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/identity/base64.h"

void
scram_client_start(struct scram_client *client, const char *header, const char *name, const char *nonce, const char *password)
{
    *client = (struct scram_client){0};
    snprintf(client->header, sizeof client->header, "%s", header);
    snprintf(client->nonce, sizeof client->nonce, "%s", nonce);
    snprintf(client->password, sizeof client->password, "%s", password);
    snprintf(client->bare, sizeof client->bare, "n=%s,r=%s", name, nonce);
    snprintf(client->first, sizeof client->first, "%s%s", client->header, client->bare);
}

struct bytes
scram_client_first(const struct scram_client *client)
{
    return bytes_of(client->first, (uint32_t)strlen(client->first));
}

static void
hmac(const uint8_t key[32], const char *text, uint8_t out[32])
{
    HMAC(EVP_sha256(), key, 32, (const uint8_t *)text, strlen(text), out, NULL);
}

/* RFC 5802 section 3. */
static void
prove(struct scram_client *client, const char *challenge, const uint8_t *salt, int salt_size, int iterations)
{
    uint8_t salted[32], key[32], stored[32], signature[32];
    char message[3000], proof[64];
    PKCS5_PBKDF2_HMAC(client->password, (int)strlen(client->password), salt, salt_size, iterations, EVP_sha256(), sizeof salted, salted);
    snprintf(message, sizeof message, "%s,%s,%s", client->bare, challenge, client->without_proof);
    hmac(salted, "Client Key", key);
    EVP_Digest(key, sizeof key, stored, NULL, EVP_sha256(), NULL);
    hmac(stored, message, signature);
    for (unsigned i = 0; i < sizeof key; i++) {
        key[i] ^= signature[i];
    }
    base64_encode(bytes_of(key, sizeof key), BASE64_PADDED, proof);
    snprintf(client->last, sizeof client->last, "%s,p=%s", client->without_proof, proof);
    hmac(salted, "Server Key", key);
    hmac(key, message, client->signature);
}

bool
scram_client_answer(struct scram_client *client, struct bytes challenge)
{
    char text[1024], nonce[256], salt_text[256], header[256];
    uint8_t salt[128];
    int iterations;
    snprintf(text, sizeof text, "%.*s", (int)challenge.size, (const char *)challenge.data);
    if (sscanf(text, "r=%255[^,],s=%255[^,],i=%d", nonce, salt_text, &iterations) != 3 || strncmp(nonce, client->nonce, strlen(client->nonce)) != 0) {
        return false;
    }
    int32_t salt_size = base64_decode(bytes_of(salt_text, (uint32_t)strlen(salt_text)), BASE64_PADDED, salt, sizeof salt);
    base64_encode(bytes_of(client->header, (uint32_t)strlen(client->header)), BASE64_PADDED, header);
    snprintf(client->without_proof, sizeof client->without_proof, "c=%s,r=%s", header, nonce);
    if (salt_size > 0) {
        prove(client, text, salt, salt_size, iterations);
    }
    return salt_size > 0;
}

struct bytes
scram_client_final(const struct scram_client *client)
{
    return bytes_of(client->last, (uint32_t)strlen(client->last));
}

bool
scram_client_accepts(const struct scram_client *client, struct bytes server_final)
{
    char wanted[64] = "v=";
    base64_encode(bytes_of(client->signature, sizeof client->signature), BASE64_PADDED, wanted + 2);
    return bytes_equal(server_final, bytes_of(wanted, (uint32_t)strlen(wanted)));
}
