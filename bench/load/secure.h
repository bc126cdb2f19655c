/*
 * secure: the TLS of a client's connection, by OpenSSL over memory: no socket in sight.
 *
 * It is another implementation than the broker's own, so a run also shows that the two understand each other.
 *
 *   plain ── secure_write ──► wire      what the handshake and alerts have to say goes into `wire` as well
 *   plain ◄── secure_read ─── bytes from the socket
 *
 * With --resume a worker's first connection brings a ticket into its wallet, and all later ones present the newest that has come.
 *
 * Threads  the context any, once it is open; a connection and its wallet one. Memory  owns what OpenSSL allocates, secure_close frees it.
 */
#ifndef TIDEWIRE_BENCH_LOAD_SECURE_H
#define TIDEWIRE_BENCH_LOAD_SECURE_H

#include <stdbool.h>
#include <stddef.h>

#include "bench/load/failure.h"
#include "bench/load/options.h"
#include "bench/load/pile.h"
#include "codec/bytes.h"

/* "TLSv1.3, TLS_AES_256_GCM_SHA384, X25519" */
#define SECURE_DESCRIPTION_ROOM 96u

struct secure_context;
struct secure;

/* What one worker has to resume with. All zero is an empty one. */
struct secure_wallet {
    void *ticket;
};

enum secure_outcome {
    SECURE_GOOD,
    SECURE_ENDED,  /* the peer said good-bye (close_notify) */
    SECURE_FAILED, /* secure_get_failure says why */
};

/* NULL, and `error` says which option is at fault, if a file cannot be used. */
struct secure_context *secure_context_open(const struct options *o, char *error, size_t error_room);
void secure_context_close(struct secure_context **contextp);

bool secure_wallet_is_empty(const struct secure_wallet *w);
void secure_wallet_fini(struct secure_wallet *w);

/* Begins a handshake: its first bytes are in `wire` then. Borrows the wallet for the connection's life. NULL without memory. */
struct secure *secure_open(struct secure_context *context, struct secure_wallet *wallet, struct pile *wire);
void secure_close(struct secure **securep);

/* Takes bytes from the socket; appends what they say to `plain`, and what has to be answered to `wire`. */
enum secure_outcome secure_read(struct secure *s, struct bytes input, struct pile *plain, struct pile *wire) __attribute__((warn_unused_result));

/* Only when it is up. */
enum secure_outcome secure_write(struct secure *s, struct bytes plain, struct pile *wire) __attribute__((warn_unused_result));

bool secure_is_up(const struct secure *s);
bool secure_is_resumed(const struct secure *s);
void secure_describe(const struct secure *s, char *out, size_t room);
enum failure_kind secure_get_failure(const struct secure *s, int *detail);

/* The words for a FAILURE_TLS's and a FAILURE_CERTIFICATE's detail. */
const char *secure_describe_error(int detail);
const char *secure_describe_certificate(int detail);

#endif
