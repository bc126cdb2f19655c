/*
 * tls: the server's end of one TLS connection, over memory: bytes in, bytes out, nothing waits.
 *
 *   state       enters by        leaves by
 *   HELLO       tls_open         tls_keep: a whole first record (HANDSHAKE), or what cannot be TLS (FAILED). Costs next to nothing until then
 *   HANDSHAKE   tls_keep         tls_handshake: all done (OPEN) or refused (FAILED)
 *   OPEN        tls_handshake    tls_read: the peer's close_notify (ENDED), a broken record (FAILED)
 *   ENDED, FAILED                tls_close
 *
 * The expensive steps of a handshake are in tls_handshake() alone. It works on what tls_keep() has kept and what tls_output() will show, so it may run in
 * another thread, as long as nobody else touches the endpoint meanwhile.
 *
 * Invariants
 *   L1  before OPEN at most TLS_HANDSHAKE_BYTES_MAX bytes are taken from a peer.
 *   L2  no renegotiation, no early data, no compression.
 *   L3  the identity is there only if the peer has proved it.
 *
 * Threads  one at a time. Memory: the endpoint keeps its context alive; tls_bytes() says what it holds itself.
 */
#ifndef TIDEWIRE_ENGINE_TLS_TLS_H
#define TIDEWIRE_ENGINE_TLS_TLS_H

#include "codec/bytes.h"
#include "engine/tls/tls_context.h"

/* Of a peer, before the handshake is done: certificate chains of clients are a few kilobytes. */
#define TLS_HANDSHAKE_BYTES_MAX (64u << 10)
/* Plain bytes of a record, at most. */
#define TLS_RECORD_BYTES_MAX (16u << 10)

enum tls_state {
    TLS_HELLO,
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_ENDED,
    TLS_FAILED,
};

/* Why a connection FAILED, as it is counted. */
enum tls_failure {
    TLS_FAILURE_NONE,
    TLS_FAILURE_HANDSHAKE,   /* not TLS, nothing in common, wrong pre-shared key */
    TLS_FAILURE_CERTIFICATE, /* the peer's certificate: none, expired, revoked, of another authority, for another purpose */
    TLS_FAILURE_RECORD,      /* after the handshake: what does not decrypt or is not allowed */
    TLS_FAILURE_MEMORY,
};

struct tls;

/* Who the peer is. Strings end with a NUL and hold none before. */
struct tls_identity {
    const char *common_name;  /* of its certificate; NULL: none */
    const char *subject;      /* of its certificate, in RFC 2253's form as Mosquitto writes it, "" if only other fields name it; NULL: no certificate */
    const char *psk_identity; /* NULL: no pre-shared key */
};

/* Takes what the endpoint wants sent; false: there is no memory for it. */
struct tls_sink {
    bool (*put)(void *context, const void *data, uint32_t size);
    void *context;
};

/* NULL when out of memory. */
struct tls *tls_open(struct tls_context *context);
void tls_close(struct tls **tls);

enum tls_state tls_state(const struct tls *tls);
/* Heap bytes that it holds now. */
size_t tls_bytes(const struct tls *tls);

/* Before OPEN: copies what has arrived; in HANDSHAKE afterwards: tls_handshake() has something to do. Not while that runs elsewhere. */
void tls_keep(struct tls *tls, struct bytes data);
/* One step: uses up what was kept. In HANDSHAKE only. */
void tls_handshake(struct tls *tls);
/* What the handshake wants sent (also the alert after FAILED), until tls_output_taken(). */
struct bytes tls_output(const struct tls *tls);
void tls_output_taken(struct tls *tls);

/*
 * In OPEN: decrypts into `out`, as much as a record holds; returns its bytes, 0: no more for now, or no longer OPEN. What was kept in the handshake comes first,
 * then `in`, whose start moves past what was used; all of it is used when the answer is 0. Answers to the peer's key updates go to `sink`.
 */
uint32_t tls_read(struct tls *tls, struct bytes *in, uint8_t *out, uint32_t size, const struct tls_sink *sink);
/* In OPEN: encrypts, in records as large as they may be. False: out of memory, FAILED. */
bool tls_write(struct tls *tls, struct bytes plain, const struct tls_sink *sink);
/* In OPEN or ENDED: says that nothing more will come (close_notify). */
void tls_end(struct tls *tls, const struct tls_sink *sink);

/* After FAILED: how to count it, and a few words for the log; borrowed for ever. */
enum tls_failure tls_failure(const struct tls *tls);
const char *tls_problem(const struct tls *tls);

/* From OPEN on; the strings live as long as the endpoint. False: the peer has not said who it is. */
bool tls_get_identity(const struct tls *tls, struct tls_identity *identity);

#endif
