#include "engine/transport/websocket_layer.h"

#include "codec/http.h"
#include "codec/upgrade.h"
#include "engine/log.h"
#include "engine/protocol/input.h"
#include "engine/transport/forwarded.h"
#include "engine/transport/transport.h"

/* Pongs that wait for a peer that does not read; raising it costs that much memory for each such peer. */
#define PONG_BYTES_MAX 1024u

enum {
    HTTP_BAD_REQUEST = 400,
    HTTP_FORBIDDEN = 403,
};

static bool
is_over(const struct connection *c)
{
    return c->state == CONNECTION_CLOSING || c->state == CONNECTION_CLOSED;
}

/* -------------------------------------------------------------------------------------------------------------- upgrading */

static void
refuse_request(struct shard *shard, struct connection *c, uint16_t status)
{
    uint8_t answer[UPGRADE_ANSWER_MAX];
    uint32_t size = upgrade_write_refusal(answer, status);
    stats_add(&shard->stats.drops[DROP_WEBSOCKET_UPGRADE], 1);
    log_peer(CONFIG_LOG_NOTICE, DROP_WEBSOCKET_UPGRADE, "Connection from %s closed: not a WebSocket request that is accepted here (HTTP %u).",
             connection_peer_text(c), status);
    transport_put_plain(shard, c, answer, size);
    connection_transport(c)->finished = true;
    transport_note_refusal(shard, c);
    connection_close(shard, c, REASON_UNSPECIFIED_ERROR, NULL);
}

static bool
origin_is_allowed(const struct config_listener *listener, struct bytes origin)
{
    for (unsigned i = 0; i < listener->websockets_origin_count; i++) {
        if (http_is(origin, listener->websockets_origins[i])) {
            return true;
        }
    }
    return listener->websockets_origin_count == 0;
}

/* The HTTP status with which a request of the right form is refused; 0: it is not. */
static uint16_t
judge(struct shard *shard, struct connection *c, const struct upgrade *request)
{
    const struct config_listener *listener = &shard->broker->listeners[c->listener];
    if (!origin_is_allowed(listener, request->origin)) {
        return HTTP_FORBIDDEN;
    }
    struct peer_address peer = connection_peer(c);
    if (!forwarded_client(listener, request, connection_is_unix(c), &peer)) {
        return HTTP_BAD_REQUEST;
    }
    if (listener->websockets_proxy_count == 0 && !listener->websockets_trusts_unix) {
        return 0;
    }
    return connection_learn_peer(shard, c, &peer) ? 0 : HTTP_FORBIDDEN;
}

/* Takes the request off the front of `*data`. False: it is not whole yet, or the connection has ended. */
static bool
upgrade(struct shard *shard, struct connection *c, struct bytes *data)
{
    struct bytes all;
    if (!transport_gather(shard, c, *data, &all)) {
        return false;
    }
    struct upgrade request;
    enum upgrade_status status = upgrade_read(all, shard->config->websockets_headers_size, &request);
    if (status == UPGRADE_NEED_MORE) {
        transport_gather_more(shard, c, *data);
        return false;
    }
    uint16_t refusal = status == UPGRADE_REFUSED ? request.refusal : judge(shard, c, &request);
    if (refusal != 0) {
        refuse_request(shard, c, refusal);
        return false;
    }
    uint8_t answer[UPGRADE_ANSWER_MAX];
    if (!transport_put_plain(shard, c, answer, upgrade_write_accept(answer, &request))) {
        connection_drop(shard, c, false);
        return false;
    }
    connection_transport(c)->websocket->open = true;
    *data = transport_gathered(shard, c, *data, request.size);
    return true;
}

/* ----------------------------------------------------------------------------------------------------------------- frames */

/* A Close frame, and nothing after it. */
static void
say_close(struct shard *shard, struct connection *c, uint16_t code)
{
    uint8_t frame[4];
    struct transport *t = connection_transport(c);
    if (!t->finished) {
        transport_put_plain(shard, c, frame, websocket_write_close(frame, code)); /* without memory the end of stream has to do */
        t->finished = true;
    }
}

static void
end_for_bad_frame(struct shard *shard, struct connection *c, uint16_t code)
{
    stats_add(&shard->stats.drops[DROP_WEBSOCKET_FRAME], 1);
    say_close(shard, c, code);
    transport_note_refusal(shard, c);
    connection_close(shard, c, REASON_PROTOCOL_ERROR, code == WEBSOCKET_UNSUPPORTED ? "a WebSocket text frame" : "a malformed WebSocket frame");
}

static void
end_as_peer_wants(struct shard *shard, struct connection *c, uint16_t code)
{
    say_close(shard, c, code);
    connection_close(shard, c, REASON_SUCCESS, c->state == CONNECTION_CONNECTED && shard->config->connection_messages ? "closed its WebSocket" : NULL);
}

static void
answer_ping(struct shard *shard, struct connection *c, struct bytes body)
{
    uint8_t frame[WEBSOCKET_HEADER_OUT_MAX + WEBSOCKET_CONTROL_MAX];
    const struct transport *t = connection_transport(c);
    if (t->ready.used + t->plain.used > PONG_BYTES_MAX) {
        stats_add(&shard->stats.drops[DROP_OUTPUT_FULL], 1);
        return;
    }
    uint32_t size = websocket_write_header(frame, WEBSOCKET_OPCODE_PONG, body.size);
    if (body.size > 0) {
        memcpy(frame + size, body.data, body.size);
    }
    if (!transport_put_plain(shard, c, frame, size + body.size)) {
        connection_drop(shard, c, false);
    }
}

static void
react(struct shard *shard, struct connection *c, enum websocket_event event, const struct websocket_result *read)
{
    if (event == WEBSOCKET_PING) {
        answer_ping(shard, c, read->control);
    } else if (event == WEBSOCKET_CLOSE) {
        end_as_peer_wants(shard, c, read->code);
    } else if (event == WEBSOCKET_FAILED) {
        end_for_bad_frame(shard, c, read->code);
    }
}

static void
read_frames(struct shard *shard, struct connection *c, uint8_t *data, uint32_t size)
{
    struct websocket *w = connection_transport(c)->websocket;
    while (size > 0 && !is_over(c)) {
        struct websocket_result read;
        enum websocket_event event = websocket_read(&w->reader, data, size, &read);
        if (read.produced > 0) {
            c->last_received_ms = (uint32_t)shard->now_ms; /* pings do not keep MQTT alive */
            input_feed(shard, c, bytes_of(data, read.produced));
        }
        if (!is_over(c)) {
            react(shard, c, event, &read);
        }
        data += read.consumed;
        size -= read.consumed;
    }
}

void
websocket_layer_received(struct shard *shard, struct connection *c, uint8_t *data, uint32_t size)
{
    if (!connection_transport(c)->websocket->open) {
        struct bytes rest = bytes_of(data, size);
        if (!upgrade(shard, c, &rest)) {
            return;
        }
        data += size - rest.size;
        size = rest.size;
    }
    read_frames(shard, c, data, size);
}

/* ----------------------------------------------------------------------------------------------------------------- output */

bool
websocket_layer_begin_frame(struct shard *shard, struct connection *c, uint32_t size)
{
    uint8_t header[WEBSOCKET_HEADER_OUT_MAX];
    return transport_put_plain(shard, c, header, websocket_write_header(header, WEBSOCKET_BINARY, size));
}

static uint16_t
code_of_reason(uint8_t reason)
{
    switch (reason) {
    case REASON_PACKET_TOO_LARGE:
        return WEBSOCKET_TOO_BIG;
    case REASON_MALFORMED_PACKET:
    case REASON_PROTOCOL_ERROR:
        return WEBSOCKET_PROTOCOL_ERROR;
    case REASON_SERVER_SHUTTING_DOWN:
        return WEBSOCKET_GOING_AWAY;
    case REASON_NOT_AUTHORIZED:
    case REASON_BANNED:
        return WEBSOCKET_POLICY;
    default:
        return WEBSOCKET_NORMAL;
    }
}

void
websocket_layer_finish(struct shard *shard, struct connection *c)
{
    struct transport *t = connection_transport(c);
    if (t->websocket->open) {
        say_close(shard, c, code_of_reason(t->reason));
    }
}
