/*
 * tunnel: what lies between a client's MQTT and its socket: TLS, WebSocket, or the one inside the other.
 *
 *   MQTT ── tunnel_send ──► frame ──► record ──► `wire` ──► socket
 *   MQTT ◄─ tunnel_receive ─ frame ◄── record ◄──────────── socket
 *
 * Clients of a run without --tls and --websocket have none, and pay nothing for it.
 *
 * One tunnel_send is one WebSocket frame and, up to 16 KB, one TLS record.
 *
 * Threads  one. Memory  a tunnel is its client's; scratch space is the worker's.
 */
#ifndef TIDEWIRE_BENCH_LOAD_TUNNEL_H
#define TIDEWIRE_BENCH_LOAD_TUNNEL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "bench/load/board.h"
#include "bench/load/secure.h"
#include "bench/load/websocket.h"

/* What all tunnels of a worker have in common. */
struct tunnel_shared {
    const struct options *options;
    struct secure_context *context; /* NULL without --tls; borrowed */
    struct desk *desk;              /* handshakes are counted there */
    struct secure_wallet wallet;
    bool has_ended_one; /* a handshake: from then on --resume wants them resumed */
    uint64_t opened;
    struct pile plain, framed; /* scratch */
};

struct tunnel {
    struct tunnel_shared *shared;
    struct secure *secure;       /* NULL without --tls */
    struct websocket *websocket; /* NULL without --websocket */
    struct pile wire;            /* waits to be sent */
    bool open;                   /* MQTT can go through */
    enum failure_kind failure;   /* after tunnel_receive() or tunnel_send() said false */
    int detail;
};

static inline bool
tunnel_is_wanted(const struct options *o)
{
    return o->tls || o->websocket;
}

void tunnel_shared_init(struct tunnel_shared *s, const struct options *o, struct secure_context *context, struct desk *desk);
void tunnel_shared_fini(struct tunnel_shared *s);

/* With --resume only a worker's first connection may be without a ticket: while that is under way, the others wait for it. */
bool tunnel_shared_may_open(const struct tunnel_shared *s, uint32_t under_way);

/* Begins; what has to be said first is in `wire`. NULL without memory. */
struct tunnel *tunnel_open(struct tunnel_shared *s);
void tunnel_close(struct tunnel **tunnelp);

/* Takes bytes from the socket. `*mqtt` is what they say, borrowed until the next call for any tunnel of the worker, and good even when it has failed. */
bool tunnel_receive(struct tunnel *t, struct bytes input, struct bytes *mqtt) __attribute__((warn_unused_result));

/* Only when it is open: appends to `wire`. */
bool tunnel_send(struct tunnel *t, struct bytes mqtt) __attribute__((warn_unused_result));

#endif
