/*
 * tls_context: what all TLS connections of one listener have in common: certificates and their keys, authorities, revocations, pre-shared keys, ciphers.
 *
 * Read from the listener's options, then immutable; a reload reads another one. Connections keep theirs alive until they end.
 *
 * Threads  reading: one at a time. Everything else: any.
 */
#ifndef TIDEWIRE_ENGINE_TLS_TLS_CONTEXT_H
#define TIDEWIRE_ENGINE_TLS_TLS_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

struct config_listener;
struct tls_context;
struct tls_tickets;

/* The listener is to speak TLS. */
bool tls_context_wanted(const struct config_listener *listener);

/*
 * Reads all files. NULL, and one line in `error` that names file and reason, if anything of it cannot be used. `psk_file`: NULL, or pre-shared keys.
 * `tickets`: kept alive by the context; NULL: no resumption.
 */
struct tls_context *tls_context_read(const struct config_listener *listener, const char *psk_file, struct tls_tickets *tickets, char *error, size_t error_size);
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context **context);

#endif
