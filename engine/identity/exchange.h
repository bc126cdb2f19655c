/*
 * exchange: enhanced authentication (MQTT5 4.12): SCRAM-SHA-256 in CONNECT and AUTH packets.
 *
 *   client                                              server                                  connection
 *   CONNECT method, n,,n=user,r=...    ──────────►      exchange_start                          NEW, LOGIN_TALKING
 *                                      ◄──────────      AUTH 0x18, r=...,s=...,i=...
 *   AUTH 0x18, c=biws,r=...,p=...      ──────────►      exchange_packet, handle_connect again
 *                                      ◄──────────      CONNACK 0x00, v=...                     CONNECTED
 *   AUTH 0x19, n,,n=user,r=...         ──────────►      (later, as often as the client likes; messages go on meanwhile)
 *                                      ◄──────────      AUTH 0x18   and so on, at the end AUTH 0x00, v=...
 *
 * A CONNECT without Authentication Data is asked for it by an AUTH without any. The CONNECT is kept until the exchange is over, and then handled as any other.
 *
 * Invariants
 *   X1  there is an exchange on a connection from exchange_start() (or AUTH 0x19) to its end, and on no other.
 *   X2  the one who authenticates again is the one who came in.
 *
 * Threads  the shard's. Everything here is quick: SCRAM's slow hash is the client's to compute.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_EXCHANGE_H
#define TIDEWIRE_ENGINE_IDENTITY_EXCHANGE_H

#include "engine/identity/login.h"

/* A CONNECT that names a method: the first time it begins an exchange, the second time it is let in. */
enum login_verdict exchange_start(struct shard *shard, struct connection *c, const struct frame *frame, const struct connect *connect,
                                  struct login_answer *answer);

/* True between a CONNECT and its CONNACK while AUTH packets are expected. */
static inline bool
exchange_under_way(const struct connection *c)
{
    return c->extra != NULL && c->extra->exchange != NULL;
}

/* An AUTH packet, before CONNACK or later. */
void exchange_packet(struct shard *shard, struct connection *c, const struct frame *frame);

/* What CONNACK says of it: method and the server's signature, borrowed from the exchange; nothing if there was none. */
void exchange_add_to_connack(const struct connection *c, struct properties *p);

/* The connection ends or moves. */
void exchange_forget(struct shard *shard, struct connection *c);

#endif
