#include "engine/transport/transport.h"

#include "engine/protocol/input.h"

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

uint8_t *
transport_reserve(struct shard *shard, struct connection *c, uint32_t size)
{
    struct transport *t = connection_transport(c);
    if (!wire_make_room(shard, t, &t->ready, size)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return NULL;
    }
    uint8_t *at = t->ready.bytes + t->ready.used;
    t->ready.used += size;
    connection_mark_dirty(shard, c);
    return at;
}

bool
transport_put(struct shard *shard, struct connection *c, const void *data, uint32_t size)
{
    uint8_t *at = transport_reserve(shard, c, size);
    if (at != NULL) {
        memcpy(at, data, size);
    }
    return at != NULL;
}

bool
transport_open(struct shard *shard, struct connection *c)
{
    (void)shard;
    (void)c;
    return true;
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
    budget_refund(shard->account, t->bytes);
    free(t);
}

uint64_t
transport_bytes(const struct transport *t)
{
    return t != NULL ? t->bytes : 0;
}

void
transport_received(struct shard *shard, struct connection *c, struct bytes data)
{
    input_feed(shard, c, data);
    input_go_on(shard, c);
}

/* One piece of MQTT's bytes, through the layers into `ready`. */
static bool
encode(struct shard *shard, struct connection *c, struct bytes plain)
{
    return transport_put(shard, c, plain.data, plain.size);
}

/* False: out of memory. */
static bool
encode_output(struct shard *shard, struct connection *c)
{
    struct transport *t = connection_transport(c);
    struct bytes plain;
    while (t->plain_ready < FLUSH_BYTES_MAX && (plain = connection_output(c)).size > 0) {
        if (!encode(shard, c, plain)) {
            return false;
        }
        t->plain_ready += plain.size;
        connection_output_taken(shard, c, plain.size);
    }
    return true;
}

void
transport_flush(struct shard *shard, struct connection *c)
{
    struct transport *t = connection_transport(c);
    if (c->out_under_way > 0 || c->state == CONNECTION_CLOSED) {
        return;
    }
    if (!encode_output(shard, c)) {
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
    *more = t->ready.used > 0;
    return plain;
}

bool
transport_finish(struct shard *shard, struct connection *c)
{
    struct transport *t = connection_transport(c);
    (void)shard;
    t->finished = true;
    return t->ready.used == 0;
}
