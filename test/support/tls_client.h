/*
 * tls_client: a TLS client over memory, by another implementation than the broker's (OpenSSL): what it wants sent is taken from it, what arrives is given to it.
 */
#ifndef TIDEWIRE_TEST_SUPPORT_TLS_CLIENT_H
#define TIDEWIRE_TEST_SUPPORT_TLS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tls_client;
struct tls_client_session;

struct tls_client_options {
    const char *cafile;            /* NULL: any server will do */
    const char *certfile, *keyfile;
    const char *server_name;       /* also checked if there is a cafile */
    const char *alpn;
    const char *psk_identity, *psk_key; /* the key in hexadecimal digits */
    const char *suites;            /* of TLS 1.2 */
    const char *groups;
    int version;                   /* 12, 13; 0: any */
    struct tls_client_session *session; /* to be resumed */
};

/* Aborts when the options cannot be used. */
struct tls_client *tls_client_open(const struct tls_client_options *options);
void tls_client_close(struct tls_client **client);

/* One step; true once the handshake is done. */
bool tls_client_handshake(struct tls_client *client);
bool tls_client_failed(const struct tls_client *client);
/* The description of the alert that the server has sent; 0: none (or close_notify). */
int tls_client_alert(const struct tls_client *client);

uint32_t tls_client_take(struct tls_client *client, void *out, uint32_t size);
void tls_client_give(struct tls_client *client, const void *data, uint32_t size);

void tls_client_write(struct tls_client *client, const void *data, uint32_t size);
/* 0: nothing (more). */
uint32_t tls_client_read(struct tls_client *client, void *out, uint32_t size);
/* The server has said close_notify. */
bool tls_client_ended(const struct tls_client *client);
/* Says close_notify. */
void tls_client_end(struct tls_client *client);
/* TLS 1.3: asks for new keys of both directions. */
void tls_client_update_keys(struct tls_client *client);
/* TLS 1.3 with AES-128-GCM, in place of the first record after the handshake: one that says `inner`; writes size + 21 bytes. The client cannot go on after it. */
void tls_client_forge(struct tls_client *client, const void *inner, uint8_t size, uint8_t *record);
/* TLS 1.2: asks for another handshake. False: not allowed even to try. */
bool tls_client_renegotiate(struct tls_client *client);

bool tls_client_resumed(const struct tls_client *client);
int tls_client_version(const struct tls_client *client);
/* The server's Common Name and the protocol chosen by ALPN; borrowed until the next call; "" for none. */
const char *tls_client_server(const struct tls_client *client);
const char *tls_client_protocol(const struct tls_client *client);
const char *tls_client_suite(const struct tls_client *client);

/* The newest session that the server gave a ticket for; NULL: none. Yours. */
struct tls_client_session *tls_client_take_session(struct tls_client *client);
void tls_client_session_free(struct tls_client_session **session);

#ifdef __cplusplus
}
#endif

#endif
