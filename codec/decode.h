/*
 * decode: bytes to packets.
 *
 * Two steps, because a stream delivers packets in pieces: frame_read() finds one whole packet in what has arrived, then
 * one decoder per packet type takes its body apart. Pure functions; results borrow from the input.
 *
 * Decoders return REASON_SUCCESS (0), or the MQTT 5.0 reason code with which a server answers: Malformed Packet 0x81 for
 * what cannot be parsed, Protocol Error 0x82 for what parses and is not allowed, or a more precise one where the
 * specification names it. They check everything that can be seen in one packet alone: fixed header flags, lengths,
 * UTF-8, every property's packet, multiplicity, type and range, topic names (topic_name_check with TOPIC_LEVELS_MAX), and that nothing is
 * left over. Topic filters are checked for UTF-8 and non-emptiness only: the engine answers a bad filter with a code per filter.
 */
#ifndef TIDEWIRE_CODEC_DECODE_H
#define TIDEWIRE_CODEC_DECODE_H

#include "codec/packet.h"

enum frame_status {
    FRAME_DONE,
    FRAME_NEED_MORE,
    FRAME_MALFORMED,
};

struct frame {
    uint8_t type;       /* 1..15; 0 never comes out */
    uint8_t flags;      /* the low four bits of the first byte */
    uint8_t reason;     /* with FRAME_MALFORMED */
    uint32_t size;      /* the whole packet with its fixed header; 0 while not yet known */
    struct bytes body;  /* after the fixed header */
};

/* All of a packet that frame_read() found whole, with its fixed header; in the same memory. */
static inline struct bytes
frame_packet(const struct frame *frame)
{
    return bytes_of(frame->body.data - (frame->size - frame->body.size), frame->size);
}

/*
 * Looks for one packet at the start of `input`. Malformed: type 0, wrong reserved flags (MQTT5 [MQTT-2.1.3-1]), PUBLISH with
 * QoS 3 ([MQTT-3.3.1-4]) or with DUP and QoS 0 ([MQTT-3.3.1-2]), Remaining Length of more than four bytes or not in shortest form,
 * PINGREQ or PINGRESP with a body (0x81), a packet of more than `size_max` bytes (0x95, known from the header alone, before its
 * body arrives). DUP on PUBREL, SUBSCRIBE and UNSUBSCRIBE passes, because MQTT 3.1 has it; their decoders refuse it for later versions.
 * With FRAME_NEED_MORE `out->size` tells the packet's size as soon as the header is complete.
 */
enum frame_status frame_read(struct bytes input, uint32_t size_max, struct frame *out);

/*
 * CONNECT. Reasons besides 0x81 and 0x82: 0x84 for an unknown protocol name or level (`out->version` then tells the level that was asked
 * for), 0x85 for an empty client identifier where the version forbids it (3.1: 1 to any length accepted; 3.1.1: empty only with clean session,
 * [MQTT-3.1.3-8]), 0x90 for a will topic that is not a topic name.
 * `out->version` and, if it was reached, `out->properties` and `out->client_id` are valid even when a reason is returned, so that a
 * CONNACK of the right version can be sent; version is 0 if it was not reached.
 */
uint8_t decode_connect(const struct frame *frame, struct connect *out);

uint8_t decode_connack(const struct frame *frame, uint8_t version, struct connack *out);

/* PUBLISH, the hot one. `sender` matters for Subscription Identifiers (a client may not send one, [MQTT-3.3.4-6]). Topic Alias 0 is 0x94. */
uint8_t decode_publish(const struct frame *frame, uint8_t version, enum packet_sender sender, struct publish *out);

/* PUBACK, PUBREC, PUBREL or PUBCOMP, by frame->type. */
uint8_t decode_ack(const struct frame *frame, uint8_t version, struct ack *out);

uint8_t decode_subscribe(const struct frame *frame, uint8_t version, struct subscribe *out);
uint8_t decode_unsubscribe(const struct frame *frame, uint8_t version, struct unsubscribe *out);

/* SUBACK or UNSUBACK, by frame->type. */
uint8_t decode_suback(const struct frame *frame, uint8_t version, struct suback *out);

/* DISCONNECT or AUTH, by frame->type. */
uint8_t decode_disconnect(const struct frame *frame, uint8_t version, enum packet_sender sender, struct disconnect *out);

/*
 * Any packet, by frame->type, for peers that treat all alike (tests, fuzzing, the load generator). A packet that this sender
 * may not send, or that the version lacks, is 0x82. For CONNECT `version` is ignored.
 */
uint8_t decode_packet(const struct frame *frame, uint8_t version, enum packet_sender sender, struct packet *out);

/* Walk the entries of a decoded SUBSCRIBE or UNSUBSCRIBE: start with `*entries` as decoded. False at the end. `filter` borrowed. */
bool subscribe_next(struct bytes *entries, struct bytes *filter, struct subscription_options *options);
bool unsubscribe_next(struct bytes *entries, struct bytes *filter);

#endif
