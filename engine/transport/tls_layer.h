/*
 * tls_layer: TLS between the socket and what lies in it. Traffic is decrypted and encrypted by the shard as it comes and goes; the steps of a handshake cost some
 * hundred times as much, and run elsewhere (engine/job.h), so that a storm of them does not hold up those who are through.
 *
 *   received ──► kept ──► a step elsewhere ──► its answer to `ready`, and what came meanwhile is kept ──► ... ──► open: received ──► decrypted
 *
 * Invariants
 *   J1  while a step runs (`running`) the endpoint is the step's: nobody else looks into it.
 *   J2  a connection that ends meanwhile leaves its layer to the step, which frees it when it is told.
 */
#ifndef TIDEWIRE_ENGINE_TRANSPORT_TLS_LAYER_H
#define TIDEWIRE_ENGINE_TRANSPORT_TLS_LAYER_H

#include "engine/tls/tls.h"

struct connection;
struct shard;
struct tls_layer;
struct transport;

/* For a new connection. NULL when out of memory. */
struct tls_layer *tls_layer_open(struct tls_context *context);
void tls_layer_close(struct tls_layer **layer);

/* Bytes of the socket; what is in them goes to transport_received_plain(). */
void tls_layer_received(struct shard *shard, struct connection *c, struct bytes data);
/* True: a step of the handshake runs, and its end goes on with the connection's input. */
bool tls_layer_waits(const struct tls_layer *layer);
/* Encrypts and puts into `ready`. False: out of memory, or not open. */
bool tls_layer_put(struct shard *shard, struct connection *c, struct bytes plain);
/* The last word. */
void tls_layer_finish(struct shard *shard, struct connection *c);

/* Who the peer is; false: it has not said so. */
bool tls_layer_identity(const struct tls_layer *layer, struct tls_identity *identity);

#endif
