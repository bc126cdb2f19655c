#include "engine/tls/tls_context.h"

#include "engine/tls/certificate.h"
#include "engine/tls/context_internal.h"
#include "engine/tls/psk.h"
#include "engine/tls/tickets.h"
#include "engine/tls/tls_file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Without `ciphers`: only what encrypts and authenticates at once, with fresh keys for every session. */
#define SUITES_13 "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256"
#define SUITES_12                                                                                                                                          \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                  \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384"
/* With pre-shared keys also those without fresh keys: small devices have no others. */
#define SUITES_PSK                                                                                                                                         \
    "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES128-GCM-SHA256:DHE-PSK-AES256-GCM-SHA384:DHE-PSK-CHACHA20-POLY1305:"                                           \
    "ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:PSK-CHACHA20-POLY1305"
#define SUITES_BYTES 2048
/* Smaller keys are refused: RSA and Diffie-Hellman, elliptic curves. */
#define KEY_BITS_MIN 2048
#define KEY_BITS_MIN_ECC 256
/* How long a client may come back with a ticket, seconds; see TICKETS_KEY_SECONDS. */
#define TICKET_LIFETIME_S (12 * 3600)

/* What is read, and where an error goes. */
struct reading {
    const struct config_listener *listener;
    struct tls_context *context;
    char *error;
    size_t error_size;
};

__attribute__((format(printf, 2, 3))) static bool
refuse(struct reading *r, const char *format, ...)
{
    va_list arguments;
    int used = snprintf(r->error, r->error_size, "%s:%u: ", r->listener->file, r->listener->line);
    va_start(arguments, format);
    if (used >= 0 && (size_t)used < r->error_size) {
        vsnprintf(r->error + used, r->error_size - (size_t)used, format, arguments);
    }
    va_end(arguments);
    return false;
}

static const char *
reason_of(int code)
{
    return code == WOLFSSL_FAILURE ? "not in PEM form, or of a kind that is not known" : wolfSSL_ERR_reason_error_string((unsigned long)code);
}

static bool
read_option_file(struct reading *r, struct tls_file *file, const char *option, const char *path)
{
    char why[512];
    return tls_file_read(file, option, path, why, sizeof why) || refuse(r, "%s", why);
}

bool
tls_context_wanted(const struct config_listener *listener)
{
    return listener->certificate_count > 0 || listener->psk_hint != NULL;
}

/* ------------------------------------------------------------------------------------------------- certificates and keys */

static bool
use_certificate(struct reading *r, struct tls_certificate *to, const char *path)
{
    struct tls_file file;
    if (!read_option_file(r, &file, "certfile", path)) {
        return false;
    }
    int result = wolfSSL_CTX_use_certificate_chain_buffer(to->library, file.data, (long)file.size);
    to->certificate = certificate_of_pem(bytes_of(file.data, (uint32_t)file.size));
    tls_file_forget(&file);
    if (result != WOLFSSL_SUCCESS || to->certificate == NULL) {
        return refuse(r, "certfile %s: %s", path, reason_of(result == WOLFSSL_SUCCESS ? WOLFSSL_FAILURE : result));
    }
    return true;
}

static bool
use_key(struct reading *r, struct tls_certificate *to, const char *path)
{
    struct tls_file file;
    if (!read_option_file(r, &file, "keyfile", path)) {
        return false;
    }
    bool locked = memmem(file.data, file.size, "ENCRYPTED", 9) != NULL;
    int result = locked ? WOLFSSL_FAILURE : wolfSSL_CTX_use_PrivateKey_buffer(to->library, file.data, (long)file.size, WOLFSSL_FILETYPE_PEM);
    tls_file_forget(&file);
    if (locked) {
        return refuse(r, "keyfile %s: the key has a password, and nobody could type it when the broker starts by itself; write it without (openssl pkey)", path);
    }
    return result == WOLFSSL_SUCCESS || refuse(r, "keyfile %s: %s", path, reason_of(result));
}

static bool
use_pair(struct reading *r, struct tls_certificate *to, const struct config_certificate *from)
{
    if (!use_certificate(r, to, from->certfile) || !use_key(r, to, from->keyfile)) {
        return false;
    }
    return wolfSSL_CTX_check_private_key(to->library) == WOLFSSL_SUCCESS ||
           refuse(r, "keyfile %s is not the key of certfile %s", from->keyfile, from->certfile);
}

/* ------------------------------------------------------------------------------------------- authorities and revocations */

static bool
add_authorities(struct reading *r, WOLFSSL_CTX *library, const char *option, const char *path)
{
    struct tls_file file;
    if (!read_option_file(r, &file, option, path)) {
        return false;
    }
    /* An authority's dates are looked at here, once, and at no client any more. */
    uint32_t flags = r->context->ignores_dates ? WOLFSSL_LOAD_FLAG_DATE_ERR_OKAY : WOLFSSL_LOAD_FLAG_NONE;
    int result = wolfSSL_CTX_load_verify_buffer_ex(library, file.data, (long)file.size, WOLFSSL_FILETYPE_PEM, 0, flags);
    tls_file_forget(&file);
    return result == WOLFSSL_SUCCESS || refuse(r, "%s %s: %s", option, path, reason_of(result));
}

static int
has_certificate_name(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Every file in it, in the order of their names. Mosquitto reads only those that `openssl rehash` has named; such a directory holds the same certificates twice. */
static bool
add_authorities_of_path(struct reading *r, WOLFSSL_CTX *library, const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, has_certificate_name, alphasort);
    if (count < 0) {
        return refuse(r, "capath %s cannot be read: %s", path, strerror(errno));
    }
    bool good = count > 0 || refuse(r, "capath %s: there is no certificate in it", path);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        good = good && add_authorities(r, library, "capath", name);
        free(entries[i]);
    }
    free(entries);
    return good;
}

static bool
add_revocations(struct reading *r, WOLFSSL_CTX *library, const char *path)
{
    struct tls_file file;
    if (!read_option_file(r, &file, "crlfile", path)) {
        return false;
    }
    int result = wolfSSL_CTX_EnableCRL(library, 0);
    /* One list after the other: the library reads the first one of a text only. */
    static const char begin[] = "-----BEGIN X509 CRL-----";
    unsigned count = 0;
    for (uint8_t *at = file.data; result == WOLFSSL_SUCCESS; at++, count++) {
        at = memmem(at, file.size - (size_t)(at - file.data), begin, sizeof begin - 1);
        if (at == NULL) {
            break;
        }
        result = wolfSSL_CTX_LoadCRLBuffer(library, at, (long)(file.size - (size_t)(at - file.data)), WOLFSSL_FILETYPE_PEM);
    }
    tls_file_forget(&file);
    if (result == WOLFSSL_SUCCESS && count == 0) {
        return refuse(r, "crlfile %s: there is no list of revoked certificates in it", path);
    }
    return result == WOLFSSL_SUCCESS || refuse(r, "crlfile %s: %s", path, reason_of(result));
}

static bool
ask_for_certificates(struct reading *r, WOLFSSL_CTX *library)
{
    const struct config_listener *listener = r->listener;
    if ((listener->cafile != NULL && !add_authorities(r, library, "cafile", listener->cafile)) ||
        (listener->capath != NULL && !add_authorities_of_path(r, library, listener->capath)) ||
        (listener->crlfile != NULL && !add_revocations(r, library, listener->crlfile))) {
        return false;
    }
    if (r->context->asks_certificate) {
        wolfSSL_CTX_set_verify(library, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT, tls_callback_verify);
    } else {
        wolfSSL_CTX_set_verify(library, WOLFSSL_VERIFY_NONE, NULL);
    }
    return true;
}

/* ---------------------------------------------------------------------------------------------------- versions and suites */

static bool
set_versions(struct reading *r, WOLFSSL_CTX *library)
{
    int version = r->listener->tls_version_min == 13 ? WOLFSSL_TLSV1_3 : WOLFSSL_TLSV1_2;
    return wolfSSL_CTX_SetMinVersion(library, version) == WOLFSSL_SUCCESS || refuse(r, "tls_version: not possible here");
}

/* Names one by one: the library passes over those that it does not know. */
static bool
check_suites(struct reading *r, WOLFSSL_CTX *library, const char *option, const char *list)
{
    char copy[SUITES_BYTES];
    if (strlen(list) >= sizeof copy / 2) {
        return refuse(r, "%s: the list is too long", option);
    }
    strcpy(copy, list);
    char *rest = copy;
    for (const char *name; (name = strsep(&rest, ":")) != NULL;) {
        static const char *const keywords[] = {"", "ALL", "DEFAULT", "HIGH"};
        bool keyword = false;
        for (unsigned i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
            keyword = keyword || strcmp(name, keywords[i]) == 0;
        }
        if (keyword || wolfSSL_CTX_set_cipher_list(library, name) != WOLFSSL_SUCCESS) {
            return refuse(r, "%s: there is no cipher '%s' here; give full names such as ECDHE-ECDSA-AES128-GCM-SHA256 or TLS_AES_128_GCM_SHA256, without the "
                             "keywords of OpenSSL", option, name);
        }
    }
    return true;
}

static bool
set_suites(struct reading *r, WOLFSSL_CTX *library)
{
    const struct config_listener *listener = r->listener;
    if ((listener->ciphers != NULL && !check_suites(r, library, "ciphers", listener->ciphers)) ||
        (listener->ciphers_tls13 != NULL && !check_suites(r, library, "ciphers_tls1.3", listener->ciphers_tls13))) {
        return false;
    }
    char list[SUITES_BYTES];
    const char *old = listener->ciphers != NULL ? listener->ciphers : r->context->psk != NULL ? SUITES_12 ":" SUITES_PSK : SUITES_12;
    snprintf(list, sizeof list, "%s:%s", listener->ciphers_tls13 != NULL ? listener->ciphers_tls13 : SUITES_13, old);
    return wolfSSL_CTX_set_cipher_list(library, list) == WOLFSSL_SUCCESS || refuse(r, "ciphers: none of them can be used");
}

static bool
set_key_sizes(struct reading *r, WOLFSSL_CTX *library)
{
    if (wolfSSL_CTX_SetMinRsaKey_Sz(library, KEY_BITS_MIN) != WOLFSSL_SUCCESS || wolfSSL_CTX_SetMinDhKey_Sz(library, KEY_BITS_MIN) != WOLFSSL_SUCCESS ||
        wolfSSL_CTX_SetMinEccKey_Sz(library, KEY_BITS_MIN_ECC) != WOLFSSL_SUCCESS) {
        return refuse(r, "TLS: smallest keys cannot be set");
    }
    if (r->listener->dhparamfile == NULL) {
        return true;
    }
    struct tls_file file;
    if (!read_option_file(r, &file, "dhparamfile", r->listener->dhparamfile)) {
        return false;
    }
    int result = wolfSSL_CTX_SetTmpDH_buffer(library, file.data, (long)file.size, WOLFSSL_FILETYPE_PEM);
    tls_file_forget(&file);
    return result == WOLFSSL_SUCCESS || refuse(r, "dhparamfile %s: %s", r->listener->dhparamfile, reason_of(result));
}

/* ------------------------------------------------------------------------------------------------------------- the whole */

/*
 * Who has shown a certificate or used a key has to do so each time: a session that is resumed would neither be checked against revocations nor say who it is.
 */
static bool
may_resume(const struct tls_context *context)
{
    return context->tickets != NULL && !context->asks_certificate && context->psk == NULL;
}

static bool
read_library(struct reading *r, struct tls_certificate *to, const struct config_certificate *pair)
{
    to->library = wolfSSL_CTX_new(wolfSSLv23_server_method());
    if (to->library == NULL) {
        return refuse(r, "out of memory for TLS");
    }
    wolfSSL_CTX_SetIORecv(to->library, tls_callback_receive);
    wolfSSL_CTX_SetIOSend(to->library, tls_callback_send);
    if (!set_versions(r, to->library) || !set_key_sizes(r, to->library) || (pair != NULL && !use_pair(r, to, pair)) ||
        !ask_for_certificates(r, to->library)) {
        return false;
    }
    if (r->context->psk != NULL) {
        wolfSSL_CTX_set_psk_server_callback(to->library, tls_callback_psk);
        wolfSSL_CTX_use_psk_identity_hint(to->library, r->listener->psk_hint);
    }
    if (may_resume(r->context)) {
        wolfSSL_CTX_set_TicketEncCb(to->library, tls_callback_ticket);
        wolfSSL_CTX_set_TicketEncCtx(to->library, r->context);
        wolfSSL_CTX_set_TicketHint(to->library, TICKET_LIFETIME_S);
    } else {
        wolfSSL_CTX_set_TicketEncCb(to->library, NULL);
        wolfSSL_CTX_NoTicketTLSv12(to->library);
        wolfSSL_CTX_no_ticket_TLSv13(to->library);
    }
    return set_suites(r, to->library);
}

/* The listener, in a number that a reload does not change. */
static uint64_t
label_of(const struct config_listener *listener)
{
    uint64_t hash = 0xcbf29ce484222325u ^ listener->port;
    for (const char *c = listener->host; c != NULL && *c != '\0'; c++) {
        hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    }
    return hash;
}

static bool
read_all(struct reading *r, const char *psk_file)
{
    const struct config_listener *listener = r->listener;
    struct tls_context *context = r->context;
    if (listener->psk_hint != NULL) {
        char why[512];
        context->psk = psk_file != NULL ? psk_read(psk_file, why, sizeof why) : NULL;
        if (context->psk == NULL) {
            return refuse(r, "%s", psk_file != NULL ? why : "psk_hint needs a psk_file");
        }
    }
    for (unsigned i = 0; i < listener->certificate_count; i++) {
        context->certificate_count++;
        if (!read_library(r, &context->certificates[i], &listener->certificates[i])) {
            return false;
        }
    }
    if (listener->certificate_count == 0) {
        context->certificate_count++;
        return read_library(r, &context->certificates[0], NULL);
    }
    return true;
}

struct tls_context *
tls_context_read(const struct config_listener *listener, const char *psk_file, struct tls_tickets *tickets, char *error, size_t error_size)
{
    struct reading r = {.listener = listener, .context = calloc(1, sizeof *r.context), .error = error, .error_size = error_size};
    if (r.context == NULL || !wolfssl_begin()) {
        free(r.context);
        refuse(&r, "TLS cannot be used: no memory or no randomness");
        return NULL;
    }
    atomic_store_explicit(&r.context->references, 1, memory_order_relaxed);
    r.context->tickets = tickets != NULL ? tickets_ref(tickets) : NULL;
    r.context->label = label_of(listener);
    r.context->asks_certificate = listener->require_certificate;
    r.context->protocol = listener->websockets ? "http/1.1" : "mqtt";
    r.context->ignores_dates = listener->disable_client_cert_date_checks;
    if (!read_all(&r, psk_file)) {
        tls_context_unref(&r.context);
    }
    return r.context;
}

struct tls_context *
tls_context_ref(struct tls_context *context)
{
    atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void
tls_context_unref(struct tls_context **cp)
{
    struct tls_context *context = *cp;
    *cp = NULL;
    /* Release pairs with the acquire of whoever gives up the last one. */
    if (context == NULL || atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) > 1) {
        return;
    }
    for (unsigned i = 0; i < context->certificate_count; i++) {
        if (context->certificates[i].library != NULL) {
            wolfSSL_CTX_free(context->certificates[i].library);
        }
        if (context->certificates[i].certificate != NULL) {
            certificate_free(&context->certificates[i].certificate);
        }
    }
    psk_free(&context->psk);
    tickets_unref(&context->tickets);
    free(context);
}
