#include "engine/transport/transport.h"

#include "engine/limits/limits.h"
#include "engine/protocol/input.h"
#include "engine/security/security.h"

#include <assert.h>
#include <stdlib.h>

/* Bytes of MQTT that one send carries at most, about: what is encoded while the peer does not read is memory. */
#define FLUSH_BYTES_MAX (256u << 10)
#define WIRE_ROOM_MIN 512u

static void
charge(struct shard *shard, struct transport *t, uint64_t bytes)
{
    t->bytes += bytes;
    budget_charge(shard->account, bytes);
}

static void
refund(struct shard *shard, struct transport *t, uint64_t bytes)
{
    t->bytes -= bytes;
    budget_refund(shard->account, bytes);
}

void
transport_charge(struct shard *shard, struct connection *c, uint64_t bytes)
{
    charge(shard, connection_transport(c), bytes);
}

void
transport_charge_difference(struct shard *shard, struct connection *c, uint64_t before, uint64_t now)
{
    if (now >= before) {
        charge(shard, connection_transport(c), now - before);
    } else {
        refund(shard, connection_transport(c), before - now);
    }
}

static void
wire_clear(struct shard *shard, struct transport *t, struct wire *wire)
{
    refund(shard, t, wire->room);
    free(wire->bytes);
    *wire = (struct wire){0};
}

static bool
wire_make_room(struct shard *shard, struct transport *t, struct wire *wire, uint32_t size)
{
    if (size > UINT32_MAX / 4 - wire->used) {
        return false;
    }
    uint32_t room = wire->room ? wire->room : WIRE_ROOM_MIN;
    while (room < wire->used + size) {
        room *= 2;
    }
    uint8_t *bytes = room > wire->room ? realloc(wire->bytes, room) : wire->bytes;
    if (bytes == NULL) {
        return false;
    }
    charge(shard, t, room - wire->room);
    wire->bytes = bytes;
    wire->room = room;
    return true;
}

static bool
wire_add(struct shard *shard, struct transport *t, struct wire *wire, struct bytes data)
{
    if (!wire_make_room(shard, t, wire, data.size)) {
        return false;
    }
    memcpy(wire->bytes + wire->used, data.data, data.size);
    wire->used += data.size;
    return true;
}

bool
transport_put(struct shard *shard, struct connection *c, const void *data, uint32_t size)
{
    struct transport *t = connection_transport(c);
    if (!wire_add(shard, t, &t->ready, bytes_of(data, size))) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return false;
    }
    connection_mark_dirty(shard, c);
    return true;
}

bool
transport_gather(struct shard *shard, struct connection *c, struct bytes data, struct bytes *all)
{
    struct transport *t = connection_transport(c);
    *all = data;
    if (t->early.used == 0) {
        return true; /* most often it is all there at once, and nothing is copied */
    }
    if (!wire_add(shard, t, &t->early, data)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        connection_drop(shard, c, false);
        return false;
    }
    *all = bytes_of(t->early.bytes, t->early.used);
    return true;
}

void
transport_gather_more(struct shard *shard, struct connection *c, struct bytes data)
{
    struct transport *t = connection_transport(c);
    if (t->early.used == 0 && !wire_add(shard, t, &t->early, data)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        connection_drop(shard, c, false);
    }
}

struct bytes
transport_gathered(struct shard *shard, struct connection *c, struct bytes data, uint32_t size)
{
    struct transport *t = connection_transport(c);
    uint32_t before = t->early.used > 0 ? t->early.used - data.size : 0;
    assert(size > before && size - before <= data.size); /* without its last piece it was not whole */
    wire_clear(shard, t, &t->early);
    return bytes_of(data.data + (size - before), data.size - (size - before));
}

static bool
open_websocket(struct shard *shard, struct transport *t)
{
    t->websocket = calloc(1, sizeof *t->websocket);
    if (t->websocket == NULL) {
        return false;
    }
    charge(shard, t, sizeof *t->websocket);
    websocket_reader_init(&t->websocket->reader);
    return true;
}

bool
transport_open(struct shard *shard, struct connection *c)
{
    const struct config_listener *listener = &shard->broker->listeners[c->listener];
    struct tls_context *context = shard->security->listeners[c->listener].tls;
    if (listener->proxy_protocol == 0 && !listener->websockets && context == NULL) {
        return true;
    }
    if (connection_need_extra(shard->account, c) == NULL || (c->extra->transport = calloc(1, sizeof *c->extra->transport)) == NULL) {
        return false;
    }
    struct transport *t = c->extra->transport;
    charge(shard, t, sizeof *t);
    t->proxy_version = listener->proxy_protocol;
    t->peer_is_proxy = listener->proxy_protocol != 0 || listener->websockets_proxy_count > 0 || listener->websockets_trusts_unix;
    if (context != NULL && (t->tls = tls_layer_open(context)) == NULL) {
        return false;
    }
    return !listener->websockets || open_websocket(shard, t);
}

void
transport_close(struct shard *shard, struct transport **tp)
{
    struct transport *t = *tp;
    *tp = NULL;
    if (t == NULL) {
        return;
    }
    wire_clear(shard, t, &t->ready);
    wire_clear(shard, t, &t->sending);
    wire_clear(shard, t, &t->early);
    wire_clear(shard, t, &t->plain);
    tls_layer_close(&t->tls);
    free(t->proxied);
    free(t->websocket);
    budget_refund(shard->account, t->bytes);
    free(t);
}

uint64_t
transport_bytes(const struct transport *t)
{
    return t != NULL ? t->bytes : 0;
}

bool
transport_identity(const struct connection *c, struct tls_identity *identity)
{
    const struct transport *t = connection_transport(c);
    return t != NULL && t->tls != NULL && tls_layer_identity(t->tls, identity);
}

void
transport_note_refusal(struct shard *shard, struct connection *c)
{
    if (c->state == CONNECTION_NEW && !connection_transport(c)->peer_is_proxy) {
        limits_note_refusal(shard, c, REASON_UNSPECIFIED_ERROR);
    }
}

/* It lies in a receive buffer, which is ours to write to (io.h I4), or in one of our own. */
void
transport_received_plain(struct shard *shard, struct connection *c, struct bytes data)
{
    if (connection_transport(c)->websocket != NULL) {
        websocket_layer_received(shard, c, (uint8_t *)(uintptr_t)data.data, data.size);
    } else {
        input_feed(shard, c, data);
    }
}

void
transport_received(struct shard *shard, struct connection *c, struct bytes data)
{
    struct transport *t = connection_transport(c);
    if (t->proxy_version != 0 && !proxy_layer_received(shard, c, &data)) {
        data.size = 0;
    }
    if (data.size > 0 && t->tls != NULL) {
        tls_layer_received(shard, c, data);
    } else if (data.size > 0) {
        transport_received_plain(shard, c, data);
    }
    if (t->tls == NULL || !tls_layer_waits(t->tls)) {
        input_go_on(shard, c);
    }
}

bool
transport_put_plain(struct shard *shard, struct connection *c, const void *data, uint32_t size)
{
    struct transport *t = connection_transport(c);
    if (t->tls == NULL) {
        return transport_put(shard, c, data, size);
    }
    connection_mark_dirty(shard, c);
    return wire_add(shard, t, &t->plain, bytes_of(data, size));
}

/* Everything that waits for encryption, in records as large as they may be. */
static bool
encrypt(struct shard *shard, struct connection *c)
{
    struct transport *t = connection_transport(c);
    bool good = t->plain.used == 0 || tls_layer_put(shard, c, bytes_of(t->plain.bytes, t->plain.used));
    wire_clear(shard, t, &t->plain);
    return good;
}

/* One piece of output. What is all there is goes the short way. */
static bool
encode_piece(struct shard *shard, struct connection *c, struct bytes piece, bool whole)
{
    struct transport *t = connection_transport(c);
    if (t->tls != NULL && whole && t->plain.used == 0) {
        return tls_layer_put(shard, c, piece);
    }
    return transport_put_plain(shard, c, piece.data, piece.size);
}

/* So many bytes of output, through the layers into `ready`; after the last word, nowhere. False: out of memory. */
static bool
encode(struct shard *shard, struct connection *c, uint32_t size)
{
    struct transport *t = connection_transport(c);
    const uint32_t all = size;
    if (t->websocket != NULL && !t->finished && !websocket_layer_begin_frame(shard, c, size)) {
        return false;
    }
    while (size > 0) {
        struct bytes plain = connection_output(c);
        plain.size = plain.size < size ? plain.size : size;
        if (!t->finished && !encode_piece(shard, c, plain, plain.size == size && all == size)) {
            return false;
        }
        t->plain_ready += plain.size;
        size -= plain.size;
        connection_output_taken(shard, c, plain.size);
    }
    return true;
}

/* False: out of memory. */
static bool
encode_output(struct shard *shard, struct connection *c)
{
    struct transport *t = connection_transport(c);
    uint32_t waiting = c->out_bytes - t->plain_ready - t->plain_sending; /* T2 */
    uint32_t room = t->plain_ready < FLUSH_BYTES_MAX ? FLUSH_BYTES_MAX - t->plain_ready : 0;
    uint32_t size = waiting < room ? waiting : room;
    return size == 0 || encode(shard, c, size);
}

void
transport_flush(struct shard *shard, struct connection *c)
{
    struct transport *t = connection_transport(c);
    if (c->out_under_way > 0 || c->state == CONNECTION_CLOSED) {
        return;
    }
    if (!encode_output(shard, c) || !encrypt(shard, c)) {
        connection_drop(shard, c, false);
        return;
    }
    if (t->ready.used > 0) {
        assert(t->sending.used == 0);
        t->sending = t->ready;
        t->plain_sending = t->plain_ready;
        t->ready = (struct wire){0};
        t->plain_ready = 0;
        c->out_under_way = t->sending.used;
        io_send(shard->io, c->socket, t->sending.bytes, t->sending.used);
    }
}

uint32_t
transport_sent(struct shard *shard, struct connection *c, bool *more)
{
    struct transport *t = connection_transport(c);
    uint32_t plain = t->plain_sending;
    t->plain_sending = 0;
    wire_clear(shard, t, &t->sending);
    *more = t->ready.used + t->plain.used > 0;
    return plain;
}

bool
transport_finish(struct shard *shard, struct connection *c)
{
    struct transport *t = connection_transport(c);
    if (t->websocket != NULL) {
        websocket_layer_finish(shard, c);
    }
    if (t->tls != NULL && !t->ended) {
        t->ended = true;
        encrypt(shard, c); /* without memory the end of stream has to do */
        tls_layer_finish(shard, c);
    }
    t->finished = true;
    return t->ready.used == 0;
}
