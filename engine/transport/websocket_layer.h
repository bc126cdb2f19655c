/*
 * websocket_layer: MQTT inside WebSocket frames.
 *
 *   state       enters by                    leaves by
 *   upgrading   the connection               a good HTTP request: 101 and open; any other: its status, and the connection ends
 *   open        ...                          a Close frame from either side, or a frame that is not allowed
 *   finished    the Close frame we send      (transport T3)
 *
 * Output is one binary frame per flush. Pings are answered at once, and not at all while a client that does not read has that many answers waiting already
 * (RFC 6455 5.5.3 wants the last one only).
 */
#ifndef TIDEWIRE_ENGINE_TRANSPORT_WEBSOCKET_LAYER_H
#define TIDEWIRE_ENGINE_TRANSPORT_WEBSOCKET_LAYER_H

#include "codec/websocket.h"

struct connection;
struct shard;

struct websocket {
    struct websocket_reader reader;
    bool open;
};

/* Bytes of the HTTP request or of frames, which are changed in place; MQTT's go to input_feed(). */
void websocket_layer_received(struct shard *shard, struct connection *c, uint8_t *data, uint32_t size);
/* The header in front of `size` bytes of MQTT, to be sent before them. False: out of memory. */
bool websocket_layer_begin_frame(struct shard *shard, struct connection *c, uint32_t size);
/* The last word: a Close frame that fits the MQTT reason with which the connection ends. */
void websocket_layer_finish(struct shard *shard, struct connection *c);

#endif
