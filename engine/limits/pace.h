/*
 * pace: how fast clients may publish: PUBLISH packets and bytes a second, of one client and of all clients of a listener.
 *
 * Who is above its rate is read later (connection_pace): TCP then slows the sender down, and nobody else notices. Where the operator asks for it, its messages are
 * refused instead: Quota exceeded, or dropped with QoS 0; those that cannot be told (MQTT 3 with QoS 1 and 2) are read later all the same.
 *
 * Precision  A client's own rates are exact: burst + time x rate, and one packet that may cross the line; they start anew with each connection. A listener's rates are shared
 *            by the shards, each of which takes a 256th of a second's worth at a time: that much per shard may go beyond the burst, and long-run rates are exact.
 *
 * Fairness   Clients of a listener queue for its rate as long as the queue is shorter than a second (and one packet); the others look now and then whether there is room.
 *            So those who connect again and again, and new ones to come, cannot make everybody wait for hours.
 *
 * Not called unless shard->paces: no rate, no cost.
 */
#ifndef TIDEWIRE_ENGINE_LIMITS_PACE_H
#define TIDEWIRE_ENGINE_LIMITS_PACE_H

#include "codec/decode.h"
#include "engine/net/connection.h"

/* Whether any rate is configured. */
bool pace_is_needed(const struct shard *shard);

/* For a PUBLISH that is about to be routed: true if it is to be refused. Counted and logged. */
bool pace_refuses(struct shard *shard, struct connection *c, const struct frame *frame, uint8_t qos);

/* When to look again, because the client's listener is in debt by more than it remembers; 0: the client may be read. Asked before a paced client is read again. */
uint64_t pace_wait_ms(struct shard *shard, const struct connection *c);

/* A packet was handled: counts it, and paces the connection if it is above a rate. Only in CONNECTED. */
void pace_packet(struct shard *shard, struct connection *c, const struct frame *frame);

#endif
