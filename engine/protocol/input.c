#include "engine/protocol/input.h"

#include "codec/encode.h"
#include "engine/identity/exchange.h"
#include "engine/identity/http_hook.h"
#include "engine/limits/limits.h"
#include "engine/limits/pace.h"
#include "engine/log.h"
#include "engine/session/session.h"

#include <stdlib.h>

/* Room that a partial packet starts with. */
#define PARTIAL_ROOM_MIN 256u

void
input_refuse(struct shard *shard, struct connection *c, uint8_t reason, const char *explain)
{
    stats_add(&shard->stats.drops[DROP_BAD_INPUT], 1);
    if (c->state == CONNECTION_NEW) {
        limits_note_refusal(shard, c, reason);
    }
    connection_close(shard, c, reason, explain);
}

bool
input_topic_is_ours(struct bytes topic)
{
    static const char control[] = "$CONTROL/";
    return (topic.size >= 4 && memcmp(topic.data, "$SYS", 4) == 0 && (topic.size == 4 || topic.data[4] == '/')) ||
           (topic.size >= sizeof control - 1 && memcmp(topic.data, control, sizeof control - 1) == 0);
}

static void
handle_ping(struct shard *shard, struct connection *c, const struct frame *frame)
{
    if (frame->body.size != 0) {
        input_refuse(shard, c, REASON_MALFORMED_PACKET, "a PINGREQ with a body");
        return;
    }
    static const uint8_t pingresp[2] = {PACKET_PINGRESP << 4, 0};
    connection_put(shard, c, pingresp, sizeof pingresp);
}

/* Between a CONNECT and its CONNACK. MQTT5 [MQTT-3.1.2-30]: AUTH and DISCONNECT only. */
static void
handle_frame_of_exchange(struct shard *shard, struct connection *c, const struct frame *frame)
{
    if (frame->type == PACKET_AUTH) {
        handle_auth(shard, c, frame);
    } else if (frame->type == PACKET_DISCONNECT) {
        connection_drop(shard, c, true);
    } else {
        input_refuse(shard, c, REASON_PROTOCOL_ERROR, "a packet before its authentication was over");
    }
}

/* One whole packet. */
static void
handle_frame(struct shard *shard, struct connection *c, const struct frame *frame)
{
    stats_add(&shard->stats.packets_received, 1);

    if (c->state == CONNECTION_NEW && exchange_under_way(c)) {
        handle_frame_of_exchange(shard, c, frame);
        return;
    }
    if (c->state == CONNECTION_NEW) {
        /* MQTT5 [MQTT-3.1.0-1]: the first packet is CONNECT; anything else closes without an answer. */
        if (frame->type != PACKET_CONNECT) {
            input_refuse(shard, c, REASON_PROTOCOL_ERROR, "a packet before CONNECT");
            return;
        }
        handle_connect(shard, c, frame);
        if (c->state == CONNECTION_MOVING) {
            stats_sub(&shard->stats.packets_received, 1); /* its home counts it */
        }
        return;
    }
    if (shard->hook.asks && !http_hook_ready(shard, c, frame)) {
        return;
    }
    switch (frame->type) {
    case PACKET_PUBLISH:
        handle_publish(shard, c, frame);
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        handle_ack(shard, c, frame);
        break;
    case PACKET_SUBSCRIBE:
        handle_subscribe(shard, c, frame);
        break;
    case PACKET_UNSUBSCRIBE:
        handle_unsubscribe(shard, c, frame);
        break;
    case PACKET_PINGREQ:
        handle_ping(shard, c, frame);
        break;
    case PACKET_DISCONNECT:
        handle_disconnect(shard, c, frame);
        break;
    case PACKET_AUTH:
        handle_auth(shard, c, frame);
        break;
    case PACKET_CONNECT:
        /* MQTT5 [MQTT-3.1.0-2]. */
        input_refuse(shard, c, REASON_PROTOCOL_ERROR, "a second CONNECT");
        break;
    default:
        input_refuse(shard, c, REASON_PROTOCOL_ERROR, "a packet that only a server sends");
        break;
    }
}

static bool
keep_partial(struct shard *shard, struct connection *c, struct bytes data)
{
    uint32_t want = c->partial_used + data.size;
    if (want > c->partial_room) {
        /* Starts small and doubles as bytes come: a peer's claim of a size allocates nothing. */
        uint32_t room = c->partial_room ? c->partial_room : PARTIAL_ROOM_MIN;
        while (room < want) {
            room *= 2;
        }
        uint8_t *partial = realloc(c->partial, room);
        if (partial == NULL) {
            stats_add(&shard->stats.drops[DROP_MEMORY], 1);
            connection_drop(shard, c, false);
            return false;
        }
        budget_charge(shard->account, room - c->partial_room);
        c->partial = partial;
        c->partial_room = room;
    }
    if (data.size > 0) {
        memcpy(c->partial + c->partial_used, data.data, data.size);
    }
    c->partial_used = want;
    return true;
}

static void
drop_partial(struct shard *shard, struct connection *c)
{
    free(c->partial);
    budget_refund(shard->account, c->partial_room);
    c->partial = NULL;
    c->partial_used = c->partial_room = 0;
}

static bool
alive(const struct connection *c)
{
    return c->state == CONNECTION_NEW || c->state == CONNECTION_CONNECTED;
}

static uint32_t
size_max(const struct shard *shard, const struct connection *c)
{
    return c->state == CONNECTION_NEW ? shard->config->max_connect_packet_size : shard->config->max_packet_size;
}

/* Packets may be handled. */
static bool
goes_on(const struct connection *c)
{
    return alive(c) && !c->held && !c->waiting && !c->paced;
}

/*
 * Handles whole packets at the start of `data`; returns the bytes consumed. Stops early when the connection ended, is to move, is held or waits.
 */
static uint32_t
handle_frames(struct shard *shard, struct connection *c, struct bytes data, uint32_t *missing)
{
    uint32_t at = 0;
    *missing = 0;
    while (goes_on(c)) {
        struct frame frame;
        struct bytes rest = bytes_of(data.data + at, data.size - at);
        enum frame_status status = frame_read(rest, size_max(shard, c), &frame);
        if (status == FRAME_NEED_MORE) {
            *missing = frame.size > rest.size ? frame.size - rest.size : 1;
            break;
        }
        if (status == FRAME_MALFORMED) {
            input_refuse(shard, c, frame.reason, "a malformed packet");
            break;
        }
        handle_frame(shard, c, &frame);
        if (c->waiting) {
            stats_sub(&shard->stats.packets_received, 1); /* counted when it is handled again */
            break;
        }
        at += frame.size;
        /* What only frees memory is never held back: acknowledgements empty the queues that fill it. */
        bool takes_memory = frame.type == PACKET_PUBLISH || frame.type == PACKET_SUBSCRIBE;
        if (c->state == CONNECTION_CONNECTED && connection_must_hold(shard, c, takes_memory)) {
            connection_hold(shard, c, takes_memory);
        }
        if (shard->paces && c->state == CONNECTION_CONNECTED) {
            pace_packet(shard, c, &frame);
        }
    }
    return at;
}

/* A packet lies in `partial` and the start of `data`: completes it there. Returns the bytes of `data` that were used. */
static uint32_t
feed_partial(struct shard *shard, struct connection *c, struct bytes data)
{
    uint32_t used = 0;
    while (goes_on(c) && c->partial_used > 0) {
        uint32_t missing;
        struct bytes have = bytes_of(c->partial, c->partial_used);
        uint32_t consumed = handle_frames(shard, c, have, &missing);
        if (!alive(c)) {
            return used;
        }
        if (consumed == c->partial_used) {
            drop_partial(shard, c);
            break;
        }
        if (consumed > 0) {
            memmove(c->partial, c->partial + consumed, c->partial_used - consumed);
            c->partial_used -= consumed;
        }
        if (!goes_on(c) || used == data.size) {
            break;
        }
        uint32_t take = data.size - used < missing ? data.size - used : missing;
        if (!keep_partial(shard, c, bytes_of(data.data + used, take))) {
            return used;
        }
        used += take;
    }
    return used;
}

void
input_feed(struct shard *shard, struct connection *c, struct bytes data)
{
    /* Before CONNECT everything stays in `partial`: it travels to the home shard as it came. */
    if ((c->state == CONNECTION_NEW || c->state == CONNECTION_MOVING) && data.size > 0) {
        if (!keep_partial(shard, c, data)) {
            return;
        }
        data.size = 0;
    }
    uint32_t used = c->partial_used > 0 ? feed_partial(shard, c, data) : 0;
    if (goes_on(c) && c->partial_used == 0 && used < data.size) {
        uint32_t missing;
        used += handle_frames(shard, c, bytes_of(data.data + used, data.size - used), &missing);
    }
    if (alive(c) && used < data.size) {
        keep_partial(shard, c, bytes_of(data.data + used, data.size - used));
    }
}

void
input_go_on(struct shard *shard, struct connection *c)
{
    if (c->state == CONNECTION_MOVING) {
        connection_move_when_quiet(shard, c);
    } else if (!goes_on(c)) {
        return;
    } else if (c->state == CONNECTION_NEW && !c->receiving) {
        io_receive_once(shard->io, c->socket);
    } else if (c->peer_ended) {
        connection_drop(shard, c, false);
    } else if (!c->receiving) {
        c->receiving = true;
        io_receive(shard->io, c->socket);
    }
}

void
input_bytes(struct shard *shard, struct connection *c, struct bytes data)
{
    input_feed(shard, c, data);
    input_go_on(shard, c);
}
