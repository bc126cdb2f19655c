/*
 * tls_pair: an endpoint of ours and a client of OpenSSL's, with nothing between them but memory.
 */
#ifndef TIDEWIRE_TEST_SUPPORT_TLS_PAIR_H
#define TIDEWIRE_TEST_SUPPORT_TLS_PAIR_H

#include "engine/tls/tls.h"
#include "test/support/tls_client.h"

#ifdef __cplusplus
extern "C" {
#endif

struct tls_pair {
    struct tls *server;
    struct tls_client *client;
    uint32_t piece; /* bytes that the client's output reaches the server in; 0: all at once */
};

/* The context of the first listener of a configuration text. NULL, and a line in `error`. */
struct tls_context *tls_pair_context(const char *text, size_t size, struct tls_tickets *tickets, char *error, size_t error_size);

void tls_pair_open(struct tls_pair *pair, struct tls_context *context, const struct tls_client_options *options);
void tls_pair_close(struct tls_pair *pair);

/* Until nothing moves any more; true if both say that the handshake is done. */
bool tls_pair_handshake(struct tls_pair *pair);

/* What the client has to say reaches the server; returns the plain bytes that came of it, at most `size`. The server's answers go back. */
uint32_t tls_pair_to_server(struct tls_pair *pair, void *out, uint32_t size);
/* The server says this, or nothing (size 0); what the client reads of it. */
uint32_t tls_pair_to_client(struct tls_pair *pair, const void *data, uint32_t size, void *out, uint32_t out_size);

/* Puts what an endpoint wants sent into the client. */
struct tls_sink tls_pair_sink(struct tls_pair *pair);

#ifdef __cplusplus
}
#endif

#endif
