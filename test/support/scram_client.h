/*
 * scram_client: the client's side of SCRAM-SHA-256, for tests: what a device would say, step by step.
 */
#ifndef TIDEWIRE_TEST_SUPPORT_SCRAM_CLIENT_H
#define TIDEWIRE_TEST_SUPPORT_SCRAM_CLIENT_H

#include "codec/bytes.h"

struct scram_client {
    char header[64], bare[512], nonce[256], password[128], without_proof[1024], last[1200];
    char first[600];
    uint8_t signature[32]; /* what the server has to answer */
};

/* `header`: "n,," and the like. `name`: escaped as the message has it. */
void scram_client_start(struct scram_client *client, const char *header, const char *name, const char *nonce, const char *password);
struct bytes scram_client_first(const struct scram_client *client);
/* Takes the server's challenge and makes the proof. False if the challenge is not one for this client. */
bool scram_client_answer(struct scram_client *client, struct bytes challenge);
struct bytes scram_client_final(const struct scram_client *client);
/* Whether the server knows the password too. */
bool scram_client_accepts(const struct scram_client *client, struct bytes server_final);

#endif
