/*
 * tickets: the keys that seal TLS session tickets, for all listeners and shards of the process, and across reloads.
 *
 * A ticket holds the session itself, so resuming costs no memory here. It is sealed with AES-256-GCM under a random key that no file ever sees. Keys are
 * replaced with time and forgotten: who takes the process over later cannot open what was said before.
 *
 * Invariants
 *   X1  a key seals for TICKETS_KEY_SECONDS, opens for twice that, and is wiped then.
 *   X2  a ticket sealed under one context's name opens under no other.
 *
 * Threads  any.
 */
#ifndef TIDEWIRE_ENGINE_TLS_TICKETS_H
#define TIDEWIRE_ENGINE_TLS_TICKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TICKETS_KEY_SECONDS (12u * 3600)
/* What tickets_seal() adds: key's name, nonce, tag. */
#define TICKETS_NAME_BYTES 16
#define TICKETS_NONCE_BYTES 16
#define TICKETS_TAG_BYTES 16

struct tls_tickets;

/* NULL when out of memory. */
struct tls_tickets *tickets_open(void);
struct tls_tickets *tickets_ref(struct tls_tickets *tickets);
/* NULL is nothing to give up. */
void tickets_unref(struct tls_tickets **tickets);

/* Encrypts `data` where it is; `label`: X2. `now_s`: any clock that goes on. False: no randomness. */
bool tickets_seal(struct tls_tickets *tickets, uint64_t now_s, uint64_t label, uint8_t name[TICKETS_NAME_BYTES], uint8_t nonce[TICKETS_NONCE_BYTES],
                  uint8_t tag[TICKETS_TAG_BYTES], uint8_t *data, uint32_t size);
/* The other way round. False: not one of ours, too old, or changed; `data` is worthless then. */
bool tickets_open_ticket(struct tls_tickets *tickets, uint64_t now_s, uint64_t label, const uint8_t name[TICKETS_NAME_BYTES],
                         const uint8_t nonce[TICKETS_NONCE_BYTES], const uint8_t tag[TICKETS_TAG_BYTES], uint8_t *data, uint32_t size);

#endif
