/*
 * websocket: frames of RFC 6455, as a server reads and writes them.
 *
 * A reader is fed whatever arrived and turns it into the bytes inside, in the caller's memory: headers are cut out, payloads unmasked and moved together to the
 * front. Nothing is collected but a control frame (at most 125 bytes): a frame may be as long as its 63 bits say, it is never held in memory as a whole, and
 * its length is no promise about the packets inside, which may lie across frames or several in one ([MQTT-6.0.0-2]).
 *
 *      in   [header|payload, masked][header|ping][header|payl...
 *      out  [payload][payl]  and: a ping with 3 bytes was seen
 *
 * Invariants
 *   W1  produced <= consumed <= size; bytes of the input behind `consumed` are as they were.
 *   W2  `left` is what is to come of the payload of the frame under way; 0 between frames.
 *   W3  after WEBSOCKET_CLOSE or WEBSOCKET_FAILED the reader is not to be used again.
 *
 * Memory   borrows the input; the reader is the caller's, and moves by copying.
 */
#ifndef TIDEWIRE_CODEC_WEBSOCKET_H
#define TIDEWIRE_CODEC_WEBSOCKET_H

#include "codec/bytes.h"

#define WEBSOCKET_CONTROL_MAX 125u /* RFC 6455 5.5 */
#define WEBSOCKET_HEADER_MAX 14u   /* of a masked frame */
#define WEBSOCKET_HEADER_OUT_MAX 10u

enum websocket_opcode {
    WEBSOCKET_CONTINUATION = 0,
    WEBSOCKET_TEXT = 1,
    WEBSOCKET_BINARY = 2,
    WEBSOCKET_OPCODE_CLOSE = 8,
    WEBSOCKET_OPCODE_PING = 9,
    WEBSOCKET_OPCODE_PONG = 10,
};

/* Status codes of Close frames that we send. RFC 6455 7.4.1. */
enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_UNSUPPORTED = 1003,
    WEBSOCKET_NO_STATUS = 1005, /* a Close frame without a code: never on the wire */
    WEBSOCKET_BAD_DATA = 1007,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
};

struct websocket_reader {
    uint64_t left;         /* W2 */
    uint8_t mask[4];       /* turned so that the next byte of payload takes mask[0] */
    uint8_t opcode;        /* of the frame under way */
    bool in_message;       /* a fragmented message goes on: only a continuation or a control frame may follow */
    uint8_t header_used;   /* bytes of a header that came in pieces */
    uint8_t control_used;
    uint8_t header[WEBSOCKET_HEADER_MAX];
    uint8_t control[WEBSOCKET_CONTROL_MAX]; /* payload of the control frame under way */
};

enum websocket_event {
    WEBSOCKET_NEED_MORE, /* everything was consumed */
    WEBSOCKET_PING,      /* to be answered by a pong with `control` */
    WEBSOCKET_PONG,
    WEBSOCKET_CLOSE,     /* to be answered by a Close frame with `code` (WEBSOCKET_NO_STATUS: without one); the connection ends */
    WEBSOCKET_FAILED,    /* the connection ends, with `code` */
};

struct websocket_result {
    uint32_t consumed, produced;
    uint16_t code;
    struct bytes control; /* of a control frame; borrowed from the reader until its next use */
};

void websocket_reader_init(struct websocket_reader *r);

/*
 * Consumes bytes up to the end of the input or of a control frame, and leaves the payload of data frames unmasked at the start of `data`. Also with a
 * control frame or a failure, `produced` bytes of payload were good and came before it.
 * Refused with 1002: reserved bits or opcodes, frames that are not masked (RFC 6455 5.1), lengths that are not in shortest form (5.2), with 64 bits set, or of a
 * control frame above 125, a fragmented control frame, a continuation of nothing, a new message inside one, a Close frame with one byte or a code that
 * may not be sent; with 1007: a reason that is not UTF-8; with 1003: a text frame (MQTT5 [MQTT-6.0.0-1], MQTT3 [MQTT-6.0.0-1]).
 */
enum websocket_event websocket_read(struct websocket_reader *r, uint8_t *data, uint32_t size, struct websocket_result *out);

/* Asserts what can be said of every reader. */
void websocket_reader_check(const struct websocket_reader *r);

/*
 * target[i] = source[i] ^ mask[i mod 4]; target <= source, and they may overlap. `mask` is turned for the byte behind.
 * websocket_unmask_portable is the slow twin.
 */
void websocket_unmask(uint8_t *target, const uint8_t *source, uint32_t size, uint8_t mask[4]);
void websocket_unmask_portable(uint8_t *target, const uint8_t *source, uint32_t size, uint8_t mask[4]);

/* Header of an unmasked, unfragmented frame: what a server sends. Returns its size. */
uint32_t websocket_write_header(uint8_t out[WEBSOCKET_HEADER_OUT_MAX], enum websocket_opcode opcode, uint64_t payload_size);
static inline uint32_t
websocket_header_size(uint64_t payload_size)
{
    return payload_size < 126 ? 2 : payload_size <= UINT16_MAX ? 4 : 10;
}

/* A whole Close frame; WEBSOCKET_NO_STATUS: without a code. Returns its size. */
uint32_t websocket_write_close(uint8_t out[4], uint16_t code);

#endif
