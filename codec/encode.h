/*
 * encode: packets to bytes.
 *
 * Every encoder writes one whole packet to `out` (room for `room` bytes) and returns its size, or 0 if it does not fit or cannot be
 * expressed (a string over 65 535 bytes, a packet over 268 435 455). Pure functions. Fields and properties that a version
 * lacks are left out, and reason codes are translated (reason_to_return_code; SUBACK failures become 0x80 in 3.1.1).
 *
 * Properties: every marked field that may stand in the packet is written in ascending order of identifier (so a will's properties can be
 * handed to its PUBLISH as they are: the delay stays out); then, from `raw`, the user properties (and for PUBLISH the
 * subscription identifiers) in their order. So decode followed by encode keeps everything.
 */
#ifndef TIDEWIRE_CODEC_ENCODE_H
#define TIDEWIRE_CODEC_ENCODE_H

#include "codec/packet.h"

uint32_t encode_connect(uint8_t *out, uint32_t room, const struct connect *c); /* version inside */
uint32_t encode_connack(uint8_t *out, uint32_t room, uint8_t version, const struct connack *c);
uint32_t encode_publish(uint8_t *out, uint32_t room, uint8_t version, const struct publish *p);
uint32_t encode_ack(uint8_t *out, uint32_t room, uint8_t version, uint8_t type, const struct ack *a);
uint32_t encode_suback(uint8_t *out, uint32_t room, uint8_t version, uint8_t type, const struct suback *s);
uint32_t encode_disconnect(uint8_t *out, uint32_t room, uint8_t version, uint8_t type, const struct disconnect *d);

/* SUBSCRIBE and UNSUBSCRIBE; `entries` are wire bytes, made with encode_subscribe_entry() or taken from a decoded packet. */
uint32_t encode_subscribe(uint8_t *out, uint32_t room, uint8_t version, const struct subscribe *s);
uint32_t encode_unsubscribe(uint8_t *out, uint32_t room, uint8_t version, const struct unsubscribe *u);
uint32_t encode_subscribe_entry(uint8_t *out, uint32_t room, struct bytes filter, struct subscription_options options);
uint32_t encode_unsubscribe_entry(uint8_t *out, uint32_t room, struct bytes filter);

/* PINGREQ, PINGRESP. */
uint32_t encode_empty(uint8_t *out, uint32_t room, uint8_t type);

/* Any packet, by p->type. */
uint32_t encode_packet(uint8_t *out, uint32_t room, uint8_t version, const struct packet *p);

/* One user property as it stands in a property block, to build `raw` from. */
uint32_t encode_user_property(uint8_t *out, uint32_t room, struct bytes name, struct bytes value);

#endif
