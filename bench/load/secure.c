#include "bench/load/secure.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

/* A record's largest payload. */
#define RECORD_ROOM 16384u

struct secure_context {
    SSL_CTX *ssl;
    BIO_METHOD *memory;
    const struct options *options;
    uint8_t psk[OPTIONS_PSK_MAX];
    uint32_t psk_size;
};

struct secure {
    SSL *ssl;
    struct secure_wallet *wallet;
    struct bytes input; /* during secure_read: what OpenSSL has not taken yet */
    struct pile *wire;  /* during a call */
    bool has_ticket; /* presented one; a pre-shared key looks like resumption otherwise */
    enum failure_kind failure;
    int detail;
};

/* -------------------------------------------------------------------------------------------------------------- memory */

static int
memory_write(BIO *bio, const char *data, int size)
{
    struct secure *s = BIO_get_data(bio);
    pile_append(s->wire, bytes_of(data, (uint32_t)size));
    return size;
}

static int
memory_read(BIO *bio, char *out, int room)
{
    struct secure *s = BIO_get_data(bio);
    uint32_t size = s->input.size < (uint32_t)room ? s->input.size : (uint32_t)room;

    BIO_clear_retry_flags(bio);
    if (size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(out, s->input.data, size);
    s->input = bytes_of(s->input.data + size, s->input.size - size);
    return (int)size;
}

static long
memory_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

static int
memory_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *
open_memory(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "bytes of a ring");
    if (m != NULL) {
        BIO_meth_set_write(m, memory_write);
        BIO_meth_set_read(m, memory_read);
        BIO_meth_set_ctrl(m, memory_control);
        BIO_meth_set_create(m, memory_create);
    }
    return m;
}

/* ------------------------------------------------------------------------------------------------------------- context */

static const char *
describe(unsigned long error)
{
    const char *words = ERR_SYSTEM_ERROR(error) ? strerror(ERR_GET_REASON(error)) : ERR_reason_error_string(error);
    return words != NULL ? words : "";
}

static bool
refuse(const char *option, const char *value, char *error, size_t room)
{
    const char *reason = describe(ERR_peek_error());
    snprintf(error, room, "%s '%s': %s", option, value, *reason != '\0' ? reason : "cannot be used");
    ERR_clear_error();
    return false;
}

static bool
set_trust(SSL_CTX *ssl, const struct options *o, char *error, size_t room)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(ssl);

    if (o->insecure || o->psk != NULL) {
        return true;
    }
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER, NULL);
    if (o->cafile == NULL) {
        return SSL_CTX_set_default_verify_paths(ssl) == 1;
    }
    if (SSL_CTX_load_verify_file(ssl, o->cafile) != 1) {
        return refuse("--cafile", o->cafile, error, room);
    }
    if (o->server_name == NULL && X509_VERIFY_PARAM_set1_ip_asc(param, o->host) == 1) {
        return true;
    }
    return X509_VERIFY_PARAM_set1_host(param, o->server_name != NULL ? o->server_name : o->host, 0) == 1;
}

static bool
set_certificate(SSL_CTX *ssl, const struct options *o, char *error, size_t room)
{
    if (o->cert == NULL) {
        return true;
    }
    if (SSL_CTX_use_certificate_chain_file(ssl, o->cert) != 1) {
        return refuse("--cert", o->cert, error, room);
    }
    if (SSL_CTX_use_PrivateKey_file(ssl, o->key, SSL_FILETYPE_PEM) != 1 || SSL_CTX_check_private_key(ssl) != 1) {
        return refuse("--key", o->key, error, room);
    }
    return true;
}

static unsigned
give_psk(SSL *ssl, const char *hint, char *identity, unsigned identity_room, unsigned char *key, unsigned key_room)
{
    const struct secure_context *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    (void)hint;
    int size = snprintf(identity, identity_room, "%s", c->options->psk_identity);
    if (size < 0 || (unsigned)size >= identity_room || c->psk_size > key_room) {
        return 0;
    }
    memcpy(key, c->psk, c->psk_size);
    return c->psk_size;
}

/* The options have checked the digits. */
static bool
set_psk(struct secure_context *c)
{
    const char *hex = c->options->psk;

    if (hex == NULL) {
        return true;
    }
    for (; hex[2 * c->psk_size] != '\0'; c->psk_size++) {
        char digits[3] = {hex[2 * c->psk_size], hex[2 * c->psk_size + 1], '\0'};
        c->psk[c->psk_size] = (uint8_t)strtoul(digits, NULL, 16);
    }
    SSL_CTX_set_psk_client_callback(c->ssl, give_psk);
    return SSL_CTX_set_cipher_list(c->ssl, "PSK") == 1;
}

static bool
set_version(SSL_CTX *ssl, const struct options *o)
{
    int least = TLS1_2_VERSION, most = TLS1_3_VERSION;

    if (o->tls_version != NULL) {
        least = most = strcmp(o->tls_version, "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
    }
    return SSL_CTX_set_min_proto_version(ssl, least) == 1 && SSL_CTX_set_max_proto_version(ssl, most) == 1;
}

/* 1: the reference is ours now. */
static int
keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct secure *s = SSL_get_app_data(ssl);

    SSL_SESSION_free(s->wallet->ticket);
    s->wallet->ticket = session;
    return 1;
}

static bool
set_rest(struct secure_context *c)
{
    static const uint8_t mqtt[] = "\x04mqtt", http[] = "\x08http/1.1";
    bool web = c->options->websocket;

    SSL_CTX_set_app_data(c->ssl, c);
    SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS); /* thousands of connections that mostly say nothing */
    if (c->options->resume) {
        SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(c->ssl, keep_ticket);
    }
    return SSL_CTX_set_alpn_protos(c->ssl, web ? http : mqtt, (unsigned)(web ? sizeof http : sizeof mqtt) - 1) == 0; /* 0 is its success */
}

struct secure_context *
secure_context_open(const struct options *o, char *error, size_t error_room)
{
    struct secure_context *c = calloc(1, sizeof *c);

    snprintf(error, error_room, "--tls: no memory, or OpenSSL does not work");
    if (c == NULL) {
        return NULL;
    }
    c->options = o;
    c->ssl = SSL_CTX_new(TLS_client_method());
    c->memory = open_memory();
    if (c->ssl == NULL || c->memory == NULL || !set_version(c->ssl, o) || !set_trust(c->ssl, o, error, error_room) ||
        !set_certificate(c->ssl, o, error, error_room) || !set_psk(c) || !set_rest(c)) {
        secure_context_close(&c);
    }
    return c;
}

void
secure_context_close(struct secure_context **contextp)
{
    struct secure_context *c = *contextp;

    *contextp = NULL;
    if (c != NULL) {
        SSL_CTX_free(c->ssl);
        BIO_meth_free(c->memory);
        OPENSSL_cleanse(c->psk, sizeof c->psk);
        free(c);
    }
}

bool
secure_wallet_is_empty(const struct secure_wallet *w)
{
    return w->ticket == NULL;
}

void
secure_wallet_fini(struct secure_wallet *w)
{
    SSL_SESSION_free(w->ticket);
    w->ticket = NULL;
}

/* ---------------------------------------------------------------------------------------------------------- connection */

static enum secure_outcome
fail(struct secure *s)
{
    long verified = SSL_get_verify_result(s->ssl);

    s->failure = verified != X509_V_OK && !SSL_is_init_finished(s->ssl) ? FAILURE_CERTIFICATE : FAILURE_TLS;
    s->detail = s->failure == FAILURE_CERTIFICATE ? (int)verified : (int)ERR_peek_error();
    ERR_clear_error();
    return SECURE_FAILED;
}

/* What a call of OpenSSL has left: most of all that it wants more input, which is no error. */
static enum secure_outcome
judge(struct secure *s, int result)
{
    switch (SSL_get_error(s->ssl, result)) {
    case SSL_ERROR_NONE:
    case SSL_ERROR_WANT_READ: return SECURE_GOOD;
    case SSL_ERROR_ZERO_RETURN: return SECURE_ENDED;
    default: return fail(s);
    }
}

/* A copy: OpenSSL takes a TLS 1.3 session for used up as soon as one connection has resumed it, and the next ticket may be yet to come. */
static bool
present_ticket(struct secure *s)
{
    SSL_SESSION *copy = SSL_SESSION_dup(s->wallet->ticket);

    s->has_ticket = copy != NULL && SSL_set_session(s->ssl, copy) == 1;
    SSL_SESSION_free(copy);
    return s->has_ticket;
}

static bool
attach(struct secure *s, const struct secure_context *context)
{
    BIO *bio = BIO_new(context->memory);
    const char *name = context->options->server_name;

    if (bio == NULL) {
        return false;
    }
    BIO_set_data(bio, s);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_app_data(s->ssl, s);
    SSL_set_connect_state(s->ssl);
    if (name != NULL && SSL_set_tlsext_host_name(s->ssl, name) != 1) {
        return false;
    }
    return s->wallet->ticket == NULL || present_ticket(s);
}

struct secure *
secure_open(struct secure_context *context, struct secure_wallet *wallet, struct pile *wire)
{
    struct secure *s = calloc(1, sizeof *s);

    if (s == NULL) {
        return NULL;
    }
    s->wallet = wallet;
    s->ssl = SSL_new(context->ssl);
    if (s->ssl == NULL || !attach(s, context)) {
        secure_close(&s);
        return NULL;
    }
    s->wire = wire;
    if (judge(s, SSL_do_handshake(s->ssl)) != SECURE_GOOD) {
        secure_close(&s);
    }
    return s;
}

void
secure_close(struct secure **securep)
{
    struct secure *s = *securep;

    *securep = NULL;
    if (s == NULL) {
        return;
    }
    if (s->ssl != NULL) {
        /* Else OpenSSL would take the connection for broken, and its session as not to be resumed. */
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(s->ssl);
    free(s);
}

static enum secure_outcome
read_records(struct secure *s, struct pile *plain)
{
    for (;;) {
        int size = SSL_read(s->ssl, pile_reserve(plain, RECORD_ROOM), (int)RECORD_ROOM);
        if (size <= 0) {
            return judge(s, size);
        }
        plain->used += (uint32_t)size;
    }
}

enum secure_outcome
secure_read(struct secure *s, struct bytes input, struct pile *plain, struct pile *wire)
{
    s->input = input;
    s->wire = wire;
    if (!SSL_is_init_finished(s->ssl)) {
        enum secure_outcome outcome = judge(s, SSL_do_handshake(s->ssl));
        if (outcome != SECURE_GOOD || !SSL_is_init_finished(s->ssl)) {
            return outcome;
        }
    }
    /* Tickets of TLS 1.3 come in records like any other: only a read finds them. */
    return read_records(s, plain);
}

enum secure_outcome
secure_write(struct secure *s, struct bytes plain, struct pile *wire)
{
    assert(secure_is_up(s) && plain.size > 0 && plain.size <= INT_MAX);
    s->wire = wire;
    return judge(s, SSL_write(s->ssl, plain.data, (int)plain.size));
}

bool
secure_is_up(const struct secure *s)
{
    return SSL_is_init_finished(s->ssl) == 1;
}

bool
secure_is_resumed(const struct secure *s)
{
    return s->has_ticket && SSL_session_reused(s->ssl) == 1;
}

void
secure_describe(const struct secure *s, char *out, size_t room)
{
    const char *group = SSL_group_to_name(s->ssl, (int)SSL_get_negotiated_group(s->ssl));
    snprintf(out, room, "%s, %s%s%s", SSL_get_version(s->ssl), SSL_get_cipher_name(s->ssl), group != NULL ? ", " : "", group != NULL ? group : "");
}

enum failure_kind
secure_get_failure(const struct secure *s, int *detail)
{
    *detail = s->detail;
    return s->failure;
}

const char *
secure_describe_error(int detail)
{
    return describe((unsigned)detail);
}

const char *
secure_describe_certificate(int detail)
{
    return X509_verify_cert_error_string(detail);
}
