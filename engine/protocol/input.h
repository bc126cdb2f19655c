/*
 * input: cuts a connection's bytes into packets and gives each to its handler.
 *
 * Packets are parsed where they lie, in the receive buffer; only a trailing piece of one is copied, into the connection's `partial`.
 */
#ifndef TIDEWIRE_ENGINE_PROTOCOL_INPUT_H
#define TIDEWIRE_ENGINE_PROTOCOL_INPUT_H

#include "codec/decode.h"
#include "engine/net/connection.h"

/*
 * MQTT's bytes that have arrived, after those in `partial`; empty: goes on with `partial` alone. May be called several times before input_go_on(), which asks for
 * more to receive where that is due, or lets the connection move to its home; the connection may be gone then.
 */
void input_feed(struct shard *shard, struct connection *c, struct bytes data);
void input_go_on(struct shard *shard, struct connection *c);
/* Both. */
void input_bytes(struct shard *shard, struct connection *c, struct bytes data);

/*
 * Handlers, one per packet that a client sends; each file of protocol/ has those of one idea. They answer by appending to the connection's output, and end
 * the connection themselves when they must. After each the caller looks at the connection's state. One that cannot answer yet calls connection_wait().
 */
void handle_connect(struct shard *shard, struct connection *c, const struct frame *frame);
void handle_publish(struct shard *shard, struct connection *c, const struct frame *frame);
void handle_ack(struct shard *shard, struct connection *c, const struct frame *frame);
void handle_subscribe(struct shard *shard, struct connection *c, const struct frame *frame);
void handle_unsubscribe(struct shard *shard, struct connection *c, const struct frame *frame);
void handle_disconnect(struct shard *shard, struct connection *c, const struct frame *frame);
void handle_auth(struct shard *shard, struct connection *c, const struct frame *frame);

/* Sends PUBACK, PUBREC, PUBREL or PUBCOMP now. */
void input_acknowledge(struct shard *shard, struct connection *c, uint8_t type, uint16_t packet_id, uint8_t reason);

/* Answers a CONNECT with an error CONNACK in its own version, then closes. MQTT5 [MQTT-3.1.4-2]. */
void connect_refuse(struct shard *shard, struct connection *c, const struct connect *connect, uint8_t reason, const char *explain);

/* Its CONNECT has waited for our own work until connect_timeout: the client is told that we are busy, and the connection ends. */
void connect_give_up(struct shard *shard, struct connection *c);

/* True for topic names that no client's message reaches others by: $SYS and below (MQTT5 4.7.2), and $CONTROL/, where Mosquitto takes orders. */
bool input_topic_is_ours(struct bytes topic);

/* Ends the connection for something the peer sent. Counts it. */
void input_refuse(struct shard *shard, struct connection *c, uint8_t reason, const char *explain);

#endif
