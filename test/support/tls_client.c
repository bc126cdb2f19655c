#include "test/support/tls_client.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEED(condition)                                                                                                                                    \
    do {                                                                                                                                                   \
        if (!(condition)) {                                                                                                                                \
            fprintf(stderr, "tls_client: %s\n", #condition);                                                                                               \
            abort();                                                                                                                                       \
        }                                                                                                                                                  \
    } while (0)

struct tls_client {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
    struct tls_client_options options;
    SSL_SESSION *session;
    uint8_t secret[32]; /* CLIENT_TRAFFIC_SECRET_0 of a suite with SHA-256 */
    int alert;
    bool failed;
};

static struct tls_client *
client_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

static int
keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_client *client = client_of(ssl);
    SSL_SESSION_free(client->session);
    client->session = session;
    return 1; /* ours */
}

static void
note_alert(const SSL *ssl, int where, int value)
{
    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value & 0xff) != SSL_AD_CLOSE_NOTIFY) {
        client_of(ssl)->alert = value & 0xff;
    }
}

static void
note_secret(const SSL *ssl, const char *line)
{
    static const char label[] = "CLIENT_TRAFFIC_SECRET_0 ";
    if (strncmp(line, label, sizeof label - 1) != 0) {
        return;
    }
    long size;
    unsigned char *secret = OPENSSL_hexstr2buf(strrchr(line, ' ') + 1, &size);
    NEED(secret != NULL);
    if (size == (long)sizeof client_of(ssl)->secret) {
        memcpy(client_of(ssl)->secret, secret, sizeof client_of(ssl)->secret);
    }
    OPENSSL_free(secret);
}

static unsigned
give_psk(SSL *ssl, const char *hint, char *identity, unsigned identity_max, unsigned char *key, unsigned key_max)
{
    const struct tls_client_options *options = &client_of(ssl)->options;
    (void)hint;
    long size;
    unsigned char *bytes = OPENSSL_hexstr2buf(options->psk_key, &size);
    NEED(bytes != NULL && size <= (long)key_max && strlen(options->psk_identity) < identity_max);
    strcpy(identity, options->psk_identity);
    memcpy(key, bytes, (size_t)size);
    OPENSSL_free(bytes);
    return (unsigned)size;
}

static void
set_up_context(SSL_CTX *context, const struct tls_client_options *options)
{
    int version = options->version == 12 ? TLS1_2_VERSION : options->version == 13 ? TLS1_3_VERSION : 0;
    NEED(SSL_CTX_set_min_proto_version(context, version) && SSL_CTX_set_max_proto_version(context, version));
    if (options->cafile != NULL) {
        NEED(SSL_CTX_load_verify_file(context, options->cafile));
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    }
    if (options->certfile != NULL) {
        NEED(SSL_CTX_use_certificate_chain_file(context, options->certfile) == 1);
        NEED(SSL_CTX_use_PrivateKey_file(context, options->keyfile, SSL_FILETYPE_PEM) == 1);
    }
    if (options->suites != NULL) {
        NEED(SSL_CTX_set_cipher_list(context, options->suites));
    }
    if (options->groups != NULL) {
        NEED(SSL_CTX_set1_groups_list(context, options->groups));
    }
    if (options->psk_identity != NULL) {
        SSL_CTX_set_psk_client_callback(context, give_psk);
    }
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    SSL_CTX_set_info_callback(context, note_alert);
    SSL_CTX_set_keylog_callback(context, note_secret);
}

static void
set_up_connection(SSL *ssl, const struct tls_client_options *options)
{
    if (options->server_name != NULL) {
        NEED(SSL_set_tlsext_host_name(ssl, options->server_name));
        NEED(options->cafile == NULL || SSL_set1_host(ssl, options->server_name));
    }
    if (options->alpn != NULL) {
        unsigned char list[64];
        size_t size = strlen(options->alpn);
        NEED(size < sizeof list);
        list[0] = (unsigned char)size;
        memcpy(list + 1, options->alpn, size);
        NEED(SSL_set_alpn_protos(ssl, list, (unsigned)size + 1) == 0);
    }
    if (options->session != NULL) {
        NEED(SSL_set_session(ssl, (SSL_SESSION *)options->session));
    }
}

struct tls_client *
tls_client_open(const struct tls_client_options *options)
{
    struct tls_client *client = calloc(1, sizeof *client);
    NEED(client != NULL);
    client->options = *options;
    client->context = SSL_CTX_new(TLS_client_method());
    NEED(client->context != NULL);
    set_up_context(client->context, options);
    client->ssl = SSL_new(client->context);
    client->in = BIO_new(BIO_s_mem());
    client->out = BIO_new(BIO_s_mem());
    NEED(client->ssl != NULL && client->in != NULL && client->out != NULL);
    SSL_set_app_data(client->ssl, client);
    SSL_set_bio(client->ssl, client->in, client->out);
    SSL_set_connect_state(client->ssl);
    set_up_connection(client->ssl, options);
    return client;
}

void
tls_client_close(struct tls_client **cp)
{
    struct tls_client *client = *cp;
    *cp = NULL;
    SSL_set_shutdown(client->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* or its session could not be resumed */
    SSL_free(client->ssl);
    SSL_SESSION_free(client->session);
    SSL_CTX_free(client->context);
    free(client);
}

/* True: it did what was asked. */
static bool
judge(struct tls_client *client, int result)
{
    if (result <= 0) {
        int error = SSL_get_error(client->ssl, result);
        client->failed = client->failed || error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL;
        ERR_clear_error();
    }
    return result > 0;
}

bool
tls_client_handshake(struct tls_client *client)
{
    return judge(client, SSL_do_handshake(client->ssl));
}

bool
tls_client_failed(const struct tls_client *client)
{
    return client->failed;
}

int
tls_client_alert(const struct tls_client *client)
{
    return client->alert;
}

uint32_t
tls_client_take(struct tls_client *client, void *out, uint32_t size)
{
    int got = BIO_read(client->out, out, (int)size);
    return got > 0 ? (uint32_t)got : 0;
}

void
tls_client_give(struct tls_client *client, const void *data, uint32_t size)
{
    NEED(size == 0 || BIO_write(client->in, data, (int)size) == (int)size);
}

void
tls_client_write(struct tls_client *client, const void *data, uint32_t size)
{
    NEED(SSL_write(client->ssl, data, (int)size) == (int)size);
}

uint32_t
tls_client_read(struct tls_client *client, void *out, uint32_t size)
{
    int got = SSL_read(client->ssl, out, (int)size);
    return judge(client, got) ? (uint32_t)got : 0;
}

bool
tls_client_ended(const struct tls_client *client)
{
    return (SSL_get_shutdown(client->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

void
tls_client_end(struct tls_client *client)
{
    SSL_shutdown(client->ssl);
}

void
tls_client_update_keys(struct tls_client *client)
{
    NEED(SSL_key_update(client->ssl, SSL_KEY_UPDATE_REQUESTED));
    judge(client, SSL_do_handshake(client->ssl));
}

/* RFC 8446 7.1, with an empty context. */
static void
expand_label(const struct tls_client *client, const char *name, uint8_t *out, size_t size)
{
    uint8_t info[64];
    int used = snprintf((char *)info, sizeof info, "%c%c%ctls13 %s%c", 0, (int)size, (int)strlen(name) + 6, name, 0);
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, (char *)(uintptr_t)"EXPAND_ONLY", 0),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)client->secret, sizeof client->secret),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, (size_t)used),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kind = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *kdf = EVP_KDF_CTX_new(kind);
    NEED(kdf != NULL && EVP_KDF_derive(kdf, out, size, parameters) > 0);
    EVP_KDF_CTX_free(kdf);
    EVP_KDF_free(kind);
}

void
tls_client_forge(struct tls_client *client, const void *inner, uint8_t size, uint8_t *record)
{
    uint8_t key[16], nonce[12];
    int out;
    NEED(strcmp(SSL_get_cipher_name(client->ssl), "TLS_AES_128_GCM_SHA256") == 0);
    expand_label(client, "key", key, sizeof key);
    expand_label(client, "iv", nonce, sizeof nonce); /* of record 0 */
    memcpy(record, (uint8_t[]){0x17, 3, 3, 0, (uint8_t)(size + 16)}, 5);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    NEED(cipher != NULL && EVP_EncryptInit_ex(cipher, EVP_aes_128_gcm(), NULL, key, nonce) && EVP_EncryptUpdate(cipher, NULL, &out, record, 5));
    NEED(size == 0 || EVP_EncryptUpdate(cipher, record + 5, &out, inner, size));
    NEED(EVP_EncryptFinal_ex(cipher, record + 5 + size, &out) && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, 16, record + 5 + size));
    EVP_CIPHER_CTX_free(cipher);
}

bool
tls_client_renegotiate(struct tls_client *client)
{
    if (!SSL_renegotiate(client->ssl)) {
        ERR_clear_error();
        return false;
    }
    judge(client, SSL_do_handshake(client->ssl));
    return true;
}

bool
tls_client_resumed(const struct tls_client *client)
{
    return SSL_session_reused(client->ssl) == 1;
}

int
tls_client_version(const struct tls_client *client)
{
    return SSL_version(client->ssl) == TLS1_3_VERSION ? 13 : 12;
}

const char *
tls_client_server(const struct tls_client *client)
{
    static char name[128];
    X509 *certificate = SSL_get0_peer_certificate(client->ssl);
    name[0] = '\0';
    if (certificate != NULL) {
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
    }
    return name;
}

const char *
tls_client_protocol(const struct tls_client *client)
{
    static char name[64];
    const unsigned char *chosen;
    unsigned size;
    SSL_get0_alpn_selected(client->ssl, &chosen, &size);
    snprintf(name, sizeof name, "%.*s", (int)size, (const char *)chosen);
    return name;
}

const char *
tls_client_suite(const struct tls_client *client)
{
    return SSL_get_cipher_name(client->ssl);
}

struct tls_client_session *
tls_client_take_session(struct tls_client *client)
{
    SSL_SESSION *session = client->session;
    client->session = NULL;
    return (struct tls_client_session *)session;
}

void
tls_client_session_free(struct tls_client_session **session)
{
    SSL_SESSION_free((SSL_SESSION *)*session);
    *session = NULL;
}
