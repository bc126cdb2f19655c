/*
 * context_internal: how a context looks inside. Internal to engine/tls.
 */
#ifndef TIDEWIRE_ENGINE_TLS_CONTEXT_INTERNAL_H
#define TIDEWIRE_ENGINE_TLS_CONTEXT_INTERNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/config/config.h"
#include "engine/tls/wolfssl.h"

struct certificate;
struct psk_table;
struct tls_tickets;

struct tls_context {
    _Atomic uint32_t references;
    /* One per certificate; the first is shown to whom no other fits. All else is equal in them. */
    struct tls_certificate {
        WOLFSSL_CTX *library;
        struct certificate *certificate; /* NULL: pre-shared keys only */
    } certificates[CONFIG_CERTIFICATES_MAX];
    unsigned certificate_count;
    struct psk_table *psk;               /* NULL: none */
    struct tls_tickets *tickets;         /* NULL: no resumption */
    uint64_t label;                      /* tickets.h X2 */
    bool asks_certificate;
    bool ignores_dates;                  /* of clients' certificates */
    const char *protocol;                /* ALPN; NULL: whatever the client says */
};

/* The callbacks that the contexts of the library get: engine/tls/tls.c. */
int tls_callback_receive(WOLFSSL *library, char *out, int size, void *context);
int tls_callback_send(WOLFSSL *library, char *data, int size, void *context);
int tls_callback_verify(int good, WOLFSSL_X509_STORE_CTX *store);
unsigned tls_callback_psk(WOLFSSL *library, const char *identity, unsigned char *key, unsigned key_size_max);
int tls_callback_ticket(WOLFSSL *library, unsigned char name[WOLFSSL_TICKET_NAME_SZ], unsigned char iv[WOLFSSL_TICKET_IV_SZ],
                        unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int seal, unsigned char *ticket, int size, int *size_out, void *context);

#endif
