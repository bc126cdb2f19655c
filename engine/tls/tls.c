#include "engine/tls/tls.h"

#include "engine/tls/certificate.h"
#include "engine/tls/context_internal.h"
#include "engine/tls/psk.h"
#include "engine/tls/tickets.h"

#include <wolfssl/internal.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECORD_HEADER_BYTES 5
#define RECORD_HANDSHAKE 0x16 /* RFC 8446 5.1 */
#define RECORD_MAJOR_VERSION 3
#define KEPT_ROOM_MIN 512u
#define HOST_NAME_BYTES 256

struct pile {
    uint8_t *bytes;
    uint32_t used, room;
};

/* What a peer says of itself; believed in OPEN only (L3). */
struct claim {
    char *common_name, *subject, *psk_identity;
};

struct tls {
    WOLFSSL *library;            /* NULL in HELLO */
    struct tls_context *context;
    uint8_t state;               /* enum tls_state */
    uint8_t failure;             /* enum tls_failure */
    const char *problem;
    const struct tls_sink *sink; /* of the call under way; NULL: into `out` */
    struct bytes in;             /* of the call under way, after what was kept */
    struct pile kept;            /* from kept_at on not looked at yet */
    uint32_t kept_at;
    uint32_t taken;              /* L1 */
    struct pile out;
    struct claim claim;
    size_t heap;                 /* the library's */
};

static void
pile_free(struct pile *pile)
{
    free(pile->bytes);
    *pile = (struct pile){0};
}

static bool
pile_put(struct pile *pile, const void *data, uint32_t size)
{
    uint32_t room = pile->room ? pile->room : KEPT_ROOM_MIN;
    while (room < pile->used + size) {
        room *= 2;
    }
    if (room > pile->room) {
        uint8_t *bytes = realloc(pile->bytes, room);
        if (bytes == NULL) {
            return false;
        }
        pile->bytes = bytes;
        pile->room = room;
    }
    memcpy(pile->bytes + pile->used, data, size);
    pile->used += size;
    return true;
}

static void
forget_claim(struct claim *claim)
{
    free(claim->common_name);
    free(claim->subject);
    free(claim->psk_identity);
    *claim = (struct claim){0};
}

struct tls *
tls_open(struct tls_context *context)
{
    struct tls *tls = calloc(1, sizeof *tls);
    if (tls != NULL) {
        tls->context = tls_context_ref(context);
        tls->state = TLS_HELLO;
    }
    return tls;
}

void
tls_close(struct tls **tp)
{
    struct tls *tls = *tp;
    *tp = NULL;
    if (tls == NULL) {
        return;
    }
    if (tls->library != NULL) {
        wolfSSL_free(tls->library);
    }
    forget_claim(&tls->claim);
    pile_free(&tls->kept);
    pile_free(&tls->out);
    tls_context_unref(&tls->context);
    free(tls);
}

enum tls_state
tls_state(const struct tls *tls)
{
    return tls->state;
}

static size_t
claim_bytes(const struct claim *claim)
{
    return (claim->common_name ? strlen(claim->common_name) + 1 : 0) + (claim->subject ? strlen(claim->subject) + 1 : 0) +
           (claim->psk_identity ? strlen(claim->psk_identity) + 1 : 0);
}

size_t
tls_bytes(const struct tls *tls)
{
    return sizeof *tls + tls->kept.room + tls->out.room + tls->heap + claim_bytes(&tls->claim);
}

static void
fail(struct tls *tls, enum tls_failure failure, const char *problem)
{
    tls->state = TLS_FAILED;
    tls->failure = (uint8_t)failure;
    tls->problem = problem;
}

/* How wolfSSL's errors are counted. */
static enum tls_failure
failure_of(int error, bool open)
{
    switch (error) {
    case MEMORY_E:
    case MEMORY_ERROR:
    case SOCKET_ERROR_E: /* the sink's answer */
        return TLS_FAILURE_MEMORY;
    case NO_PEER_CERT:
    case NO_PEER_VERIFY:
    case VERIFY_CERT_ERROR:
    case ASN_NO_SIGNER_E:
    case ASN_SIG_CONFIRM_E:
    case ASN_SELF_SIGNED_E:
    case ASN_BEFORE_DATE_E:
    case ASN_AFTER_DATE_E:
    case ASN_PARSE_E:
    case ASN_PATHLEN_INV_E:
    case ASN_PATHLEN_SIZE_E:
    case CRL_CERT_REVOKED:
    case CRL_MISSING:
    case CRL_CERT_DATE_ERR:
    case EXTKEYUSE_AUTH_E:
    case KEYUSE_SIGNATURE_E:
    case VERIFY_SIGN_ERROR:
    case PEER_KEY_ERROR:
    case ECC_KEY_SIZE_E:
    case RSA_KEY_SIZE_E:
        return TLS_FAILURE_CERTIFICATE;
    default:
        return open ? TLS_FAILURE_RECORD : TLS_FAILURE_HANDSHAKE;
    }
}

static void
fail_with(struct tls *tls, int error)
{
    fail(tls, failure_of(error, tls->state == TLS_OPEN), wolfSSL_ERR_reason_error_string((unsigned long)error));
}

/* ------------------------------------------------------------------------------------------------------------- callbacks */

int
tls_callback_receive(WOLFSSL *library, char *out, int size, void *context)
{
    struct tls *tls = context;
    (void)library;
    struct bytes from = tls->kept_at < tls->kept.used ? bytes_of(tls->kept.bytes + tls->kept_at, tls->kept.used - tls->kept_at) : tls->in;
    if (from.size == 0) {
        return WOLFSSL_CBIO_ERR_WANT_READ;
    }
    uint32_t take = from.size < (uint32_t)size ? from.size : (uint32_t)size;
    memcpy(out, from.data, take);
    if (tls->kept_at < tls->kept.used) {
        tls->kept_at += take;
    } else {
        tls->in = bytes_of(from.data + take, from.size - take);
    }
    return (int)take;
}

int
tls_callback_send(WOLFSSL *library, char *data, int size, void *context)
{
    struct tls *tls = context;
    (void)library;
    bool taken = tls->sink != NULL ? tls->sink->put(tls->sink->context, data, (uint32_t)size) : pile_put(&tls->out, data, (uint32_t)size);
    return taken ? size : WOLFSSL_CBIO_ERR_GENERAL;
}

/* Called for the peer's own certificate, last of its chain, and for every error before. */
int
tls_callback_verify(int good, WOLFSSL_X509_STORE_CTX *store)
{
    struct tls *tls = store->userCtx;
    bool only_dates = store->error == ASN_BEFORE_DATE_E || store->error == ASN_AFTER_DATE_E;
    if (!good && !(tls->context->ignores_dates && only_dates)) {
        return 0;
    }
    if (store->error_depth != 0 || store->totalCerts < 1) {
        return 1;
    }
    struct certificate *certificate = certificate_of_der(bytes_of(store->certs[0].buffer, store->certs[0].length));
    if (certificate == NULL) {
        return 0;
    }
    forget_claim(&tls->claim);
    tls->claim.common_name = certificate_common_name(certificate);
    tls->claim.subject = certificate_subject(certificate);
    certificate_free(&certificate);
    return tls->claim.subject != NULL;
}

unsigned
tls_callback_psk(WOLFSSL *library, const char *identity, unsigned char *key, unsigned key_size_max)
{
    struct tls *tls = wolfSSL_get_psk_callback_ctx(library);
    uint8_t found[PSK_KEY_MAX];
    uint32_t size = psk_find(tls->context->psk, identity, found);
    if (size == 0 || size > key_size_max) {
        return 0;
    }
    memcpy(key, found, size);
    explicit_bzero(found, sizeof found);
    free(tls->claim.psk_identity);
    tls->claim.psk_identity = strdup(identity);
    return tls->claim.psk_identity != NULL ? size : 0;
}

int
tls_callback_ticket(WOLFSSL *library, unsigned char name[WOLFSSL_TICKET_NAME_SZ], unsigned char iv[WOLFSSL_TICKET_IV_SZ],
                    unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int seal, unsigned char *ticket, int size, int *size_out, void *context)
{
    static_assert(WOLFSSL_TICKET_NAME_SZ == TICKETS_NAME_BYTES && WOLFSSL_TICKET_IV_SZ == TICKETS_NONCE_BYTES &&
                      WOLFSSL_TICKET_MAC_SZ >= TICKETS_TAG_BYTES, "tickets.h follows the library");
    const struct tls_context *c = context;
    (void)library;
    uint64_t now_s = (uint64_t)time(NULL);
    *size_out = size;
    if (seal) {
        memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
        return tickets_seal(c->tickets, now_s, c->label, name, iv, mac, ticket, (uint32_t)size) ? WOLFSSL_TICKET_RET_OK : WOLFSSL_TICKET_RET_REJECT;
    }
    /* A fresh one with every resumption: RFC 8446 C.4. */
    return tickets_open_ticket(c->tickets, now_s, c->label, name, iv, mac, ticket, (uint32_t)size) ? WOLFSSL_TICKET_RET_CREATE : WOLFSSL_TICKET_RET_REJECT;
}

/* ------------------------------------------------------------------------------------------------------------- handshake */

/* In HELLO: garbage, and MQTT without TLS, is known by its first bytes. */
static void
look_at_start(struct tls *tls)
{
    const uint8_t *bytes = tls->kept.bytes;
    uint32_t used = tls->kept.used;
    bool good = bytes[0] == RECORD_HANDSHAKE && (used < 2 || bytes[1] == RECORD_MAJOR_VERSION);
    uint32_t record = used >= RECORD_HEADER_BYTES ? (uint32_t)(bytes[3] << 8 | bytes[4]) : 0;
    if (!good || record > TLS_RECORD_BYTES_MAX) {
        fail(tls, TLS_FAILURE_HANDSHAKE, bytes[0] == 0x10 ? "an MQTT CONNECT without TLS" : "not TLS");
    } else if (used >= RECORD_HEADER_BYTES + record) {
        tls->state = TLS_HANDSHAKE;
    }
}

void
tls_keep(struct tls *tls, struct bytes data)
{
    assert(tls->state <= TLS_OPEN);
    if (data.size == 0) {
        return;
    }
    if (data.size > TLS_HANDSHAKE_BYTES_MAX - tls->taken) {
        fail(tls, TLS_FAILURE_HANDSHAKE, "more bytes than a handshake needs");
        return;
    }
    tls->taken += data.size;
    if (!pile_put(&tls->kept, data.data, data.size)) {
        fail(tls, TLS_FAILURE_MEMORY, "out of memory");
    } else if (tls->state == TLS_HELLO) {
        look_at_start(tls);
    }
}

/* By the name that the client asks for, if there is a choice; the first one otherwise. */
static WOLFSSL_CTX *
choose_certificate(const struct tls *tls)
{
    const struct tls_context *context = tls->context;
    uint8_t name[HOST_NAME_BYTES];
    uint32_t size = sizeof name - 1;
    if (context->certificate_count > 1 &&
        wolfSSL_SNI_GetFromBuffer(tls->kept.bytes, tls->kept.used, WOLFSSL_SNI_HOST_NAME, name, &size) == WOLFSSL_SUCCESS) {
        name[size] = '\0';
        for (unsigned i = 0; i < context->certificate_count; i++) {
            if (certificate_names_host(context->certificates[i].certificate, (const char *)name)) {
                return context->certificates[i].library;
            }
        }
    }
    return context->certificates[0].library;
}

static bool
make_library(struct tls *tls)
{
    WOLFSSL *library = wolfSSL_new(choose_certificate(tls));
    tls->library = library;
    if (library == NULL) {
        return false;
    }
    wolfSSL_SetIOReadCtx(library, tls);
    wolfSSL_SetIOWriteCtx(library, tls);
    wolfSSL_SetCertCbCtx(library, tls);
    wolfSSL_set_psk_callback_ctx(library, tls);
    /* A client that names only other protocols is not ours: RFC 7301 3.2. One that names none is. */
    char *protocol = (char *)(uintptr_t)tls->context->protocol;
    return wolfSSL_UseALPN(library, protocol, (uint32_t)strlen(protocol), WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS;
}

/* A key that the library asked for and did not use proves nothing: L3. */
static void
settle_claim(struct tls *tls)
{
    bool used = tls->library->options.isPSK || tls->library->options.usingPSK_cipher;
    if (!used) {
        free(tls->claim.psk_identity);
        tls->claim.psk_identity = NULL;
    }
}

static void
step(struct tls *tls)
{
    if (tls->library == NULL && !make_library(tls)) {
        fail(tls, TLS_FAILURE_MEMORY, "out of memory");
        return;
    }
    int result = wolfSSL_accept(tls->library);
    int error = result == WOLFSSL_SUCCESS ? 0 : wolfSSL_get_error(tls->library, result);
    if (error == 0) {
        settle_claim(tls);
        tls->state = TLS_OPEN;
    } else if (error != WOLFSSL_ERROR_WANT_READ) {
        fail_with(tls, error);
    }
}

/* Input that was used makes room. */
static void
tidy_kept(struct tls *tls)
{
    if (tls->kept_at == tls->kept.used) {
        pile_free(&tls->kept);
        tls->kept_at = 0;
    }
}

void
tls_handshake(struct tls *tls)
{
    assert(tls->state == TLS_HANDSHAKE);
    size_t *before = wolfssl_count_memory(&tls->heap);
    step(tls);
    wolfssl_count_memory(before);
    tidy_kept(tls);
}

struct bytes
tls_output(const struct tls *tls)
{
    return bytes_of(tls->out.bytes, tls->out.used);
}

void
tls_output_taken(struct tls *tls)
{
    pile_free(&tls->out);
}

/* --------------------------------------------------------------------------------------------------------------- traffic */

uint32_t
tls_read(struct tls *tls, struct bytes *in, uint8_t *out, uint32_t size, const struct tls_sink *sink)
{
    assert(tls->state == TLS_OPEN);
    tls->in = *in;
    tls->sink = sink;
    size_t *before = wolfssl_count_memory(&tls->heap);
    int got = wolfSSL_read(tls->library, out, (int)size);
    int error = got > 0 ? 0 : wolfSSL_get_error(tls->library, got);
    wolfssl_count_memory(before);
    *in = tls->in;
    tls->in = bytes_of(NULL, 0);
    tls->sink = NULL;
    tidy_kept(tls);
    if (got > 0) {
        return (uint32_t)got;
    }
    if (error == WOLFSSL_ERROR_ZERO_RETURN) {
        tls->state = TLS_ENDED;
    } else if (error != WOLFSSL_ERROR_WANT_READ) {
        fail_with(tls, error);
    }
    return 0;
}

bool
tls_write(struct tls *tls, struct bytes plain, const struct tls_sink *sink)
{
    assert(tls->state == TLS_OPEN && plain.size > 0);
    tls->sink = sink;
    size_t *before = wolfssl_count_memory(&tls->heap);
    int written = wolfSSL_write(tls->library, plain.data, (int)plain.size);
    if (written != (int)plain.size) {
        fail_with(tls, wolfSSL_get_error(tls->library, written));
    }
    wolfssl_count_memory(before);
    tls->sink = NULL;
    return tls->state == TLS_OPEN;
}

void
tls_end(struct tls *tls, const struct tls_sink *sink)
{
    assert(tls->state == TLS_OPEN || tls->state == TLS_ENDED);
    tls->sink = sink;
    size_t *before = wolfssl_count_memory(&tls->heap);
    wolfSSL_shutdown(tls->library);
    wolfssl_count_memory(before);
    tls->sink = NULL;
}

enum tls_failure
tls_failure(const struct tls *tls)
{
    return tls->failure;
}

const char *
tls_problem(const struct tls *tls)
{
    return tls->problem;
}

bool
tls_get_identity(const struct tls *tls, struct tls_identity *identity)
{
    bool proved = tls->state == TLS_OPEN || tls->state == TLS_ENDED;
    *identity = (struct tls_identity){
        .common_name = proved ? tls->claim.common_name : NULL,
        .subject = proved ? tls->claim.subject : NULL,
        .psk_identity = proved ? tls->claim.psk_identity : NULL,
    };
    return identity->subject != NULL || identity->psk_identity != NULL;
}
