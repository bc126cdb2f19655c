/*
 * transport: what lies between a socket's bytes and MQTT's, where a listener asks for it. A connection without one costs nothing here.
 *
 *      socket ──► layers, outermost first ──► input_feed()         all that arrives is decoded at once: what the connection may not
 *                                                                  look at yet waits in its `partial` as MQTT's bytes
 *      output chunks ──► layers, innermost first ──► `ready` ──► io_send
 *
 * Layers put what they have to say themselves (handshakes, answers, alerts) straight into `ready`.
 *
 * Invariants
 *   T1  bytes in `sending` belong to the kernel until IO_SENT; there is one send at a time.
 *   T2  `plain_ready` and `plain_sending` count the MQTT bytes that are in the two buffers: they stay in the connection's out_bytes until sent.
 *   T3  nothing of MQTT is encoded before the layers are open, or after transport_finish().
 *
 * Threads  the shard's. Memory: charged to the shard's account, `bytes` of it; a connection that moves takes its transport along.
 */
#ifndef TIDEWIRE_ENGINE_TRANSPORT_TRANSPORT_H
#define TIDEWIRE_ENGINE_TRANSPORT_TRANSPORT_H

#include "engine/net/connection.h"
#include "engine/transport/proxy_layer.h"
#include "engine/transport/tls_layer.h"
#include "engine/transport/websocket_layer.h"

/* Bytes in a row on their way out. */
struct wire {
    uint8_t *bytes;
    uint32_t used, room;
};

struct transport {
    struct wire ready, sending;
    uint32_t plain_ready, plain_sending;
    uint64_t bytes;       /* charged */
    bool finished;        /* the last word is said: what is still to be sent of MQTT is thrown away */
    bool ended;           /* TLS has said its last word, too */
    bool peer_is_proxy;   /* or may be: the address is not the client's */
    uint8_t reason;       /* MQTT's, with which the connection ends */

    /* Layers, outermost first; those that are not there cost nothing. */
    uint8_t proxy_version;       /* of the PROXY header that is still to come; 0: none */
    struct proxied *proxied;     /* what it said of the client's TLS; NULL: nothing */
    struct tls_layer *tls;       /* NULL: none */
    struct websocket *websocket; /* NULL: none */
    struct wire plain;           /* to be encrypted at the end of the flush, as one record if it fits; empty without TLS */
    struct wire early;           /* pieces of a layer's first words, until they are whole */
};

/* For a new connection: gives it the transport that its listener asks for, if any. False when out of memory. */
bool transport_open(struct shard *shard, struct connection *c);
/* Frees it, and nulls the pointer. */
void transport_close(struct shard *shard, struct transport **transport);
/* What it holds, for the account of the shard that it moves to. NULL: 0. */
uint64_t transport_bytes(const struct transport *transport);

/* Bytes of the socket. The connection may be gone afterwards. */
void transport_received(struct shard *shard, struct connection *c, struct bytes data);

/* Encodes the connection's output and sends what is ready, unless a send is under way. */
void transport_flush(struct shard *shard, struct connection *c);
/* The send under way is done: returns how many bytes of MQTT were in it; `*more`: there is more to send. */
uint32_t transport_sent(struct shard *shard, struct connection *c, bool *more);
/* All output is sent and the connection is to be closed: true if the layers have nothing to say about it (any more); false: it is on its way. */
bool transport_finish(struct shard *shard, struct connection *c);

/* For layers: memory of theirs that hangs on the transport; or has become more or less than it was. */
void transport_charge(struct shard *shard, struct connection *c, uint64_t bytes);
void transport_charge_difference(struct shard *shard, struct connection *c, uint64_t before, uint64_t now);

/* Who the peer is by its certificate or its pre-shared key; false: it has not said so. The strings live as long as the connection. */
bool transport_identity(const struct connection *c, struct tls_identity *identity);

/* For layers: the connection ends before its CONNECT for a fault of the peer's. An address that may be a proxy's is not held to account for its clients. */
void transport_note_refusal(struct shard *shard, struct connection *c);

/* For layers: what is inside of the encryption. The bytes may be changed. */
void transport_received_plain(struct shard *shard, struct connection *c, struct bytes data);

/*
 * For layers that start with a header. transport_gather: everything of it that has come, `data` last; false: out of memory, and the connection has ended. Then
 * one of the other two: it is not whole yet; or it is, with `size` bytes in all, and what is left of `data` after it comes back.
 */
bool transport_gather(struct shard *shard, struct connection *c, struct bytes data, struct bytes *all);
void transport_gather_more(struct shard *shard, struct connection *c, struct bytes data);
struct bytes transport_gathered(struct shard *shard, struct connection *c, struct bytes data, uint32_t size);

/* For layers inside the encryption, if there is any: sends it through that. */
bool transport_put_plain(struct shard *shard, struct connection *c, const void *data, uint32_t size);

/* For layers: bytes at the end of `ready`; marks the connection dirty. False when out of memory. */
bool transport_put(struct shard *shard, struct connection *c, const void *data, uint32_t size);

#endif
