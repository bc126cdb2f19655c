#include "codec/websocket.h"
#include "codec/simd.h"

#include <assert.h>

#define FIN 0x80u
#define RESERVED 0x70u
#define OPCODE 0x0fu
#define MASKED 0x80u
#define LENGTH 0x7fu
#define LENGTH_16 126u
#define LENGTH_64 127u

void
websocket_reader_init(struct websocket_reader *r)
{
    memset(r, 0, sizeof *r);
}

void
websocket_reader_check(const struct websocket_reader *r)
{
    assert(r->header_used < WEBSOCKET_HEADER_MAX);
    assert(r->control_used <= WEBSOCKET_CONTROL_MAX);
    assert(r->left == 0 || r->header_used == 0); /* W2 */
    assert(r->left <= INT64_MAX);
}

/* ---------------------------------------------------------------------------------------------------------------- masking */

/* The mask as seen from `by` bytes further on. */
static void
turn_mask(uint8_t mask[4], uint32_t by)
{
    uint8_t turned[4];
    for (unsigned i = 0; i < 4; i++) {
        turned[i] = mask[(i + by) & 3];
    }
    memcpy(mask, turned, sizeof turned);
}

void
websocket_unmask_portable(uint8_t *target, const uint8_t *source, uint32_t size, uint8_t mask[4])
{
    for (uint32_t i = 0; i < size; i++) {
        target[i] = source[i] ^ mask[i & 3];
    }
    turn_mask(mask, size);
}

#if SIMD_SSE2

/* Forwards, and each block is read before it is written: with target <= source nothing is overwritten before its time. */
void
websocket_unmask(uint8_t *target, const uint8_t *source, uint32_t size, uint8_t mask[4])
{
    uint32_t word = simd_load_u32(mask);
    __m128i wide = _mm_set1_epi32((int)word);
    uint32_t at = 0;
    for (; size - at >= 16; at += 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(source + at));
        _mm_storeu_si128((__m128i *)(void *)(target + at), _mm_xor_si128(block, wide));
    }
    for (; size - at >= 4; at += 4) {
        uint32_t four = simd_load_u32(source + at) ^ word;
        memcpy(target + at, &four, sizeof four);
    }
    if (at < size) {
        websocket_unmask_portable(target + at, source + at, size - at, mask); /* 16 and 4 leave the mask as it is */
    }
}

#else

void
websocket_unmask(uint8_t *target, const uint8_t *source, uint32_t size, uint8_t mask[4])
{
    websocket_unmask_portable(target, source, size, mask);
}

#endif

/* ---------------------------------------------------------------------------------------------------------------- reading */

/* Size of the header that starts with these two bytes. */
static uint32_t
header_size(const uint8_t *start)
{
    uint8_t length = start[1] & LENGTH;
    return 2 + (length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0) + 4;
}

static bool
is_control(uint8_t opcode)
{
    return opcode >= WEBSOCKET_OPCODE_CLOSE;
}

/* What the first two bytes of a header forbid already. 0: nothing. */
static uint16_t
refuse_start(const struct websocket_reader *r, const uint8_t *start)
{
    uint8_t opcode = start[0] & OPCODE;
    bool whole = start[0] & FIN;
    bool known = opcode <= WEBSOCKET_BINARY || (opcode >= WEBSOCKET_OPCODE_CLOSE && opcode <= WEBSOCKET_OPCODE_PONG);
    if ((start[0] & RESERVED) != 0 || !known || !(start[1] & MASKED)) {
        return WEBSOCKET_PROTOCOL_ERROR;
    }
    if (is_control(opcode)) {
        return whole && (start[1] & LENGTH) <= WEBSOCKET_CONTROL_MAX ? 0 : WEBSOCKET_PROTOCOL_ERROR;
    }
    if ((opcode == WEBSOCKET_CONTINUATION) != r->in_message) {
        return WEBSOCKET_PROTOCOL_ERROR;
    }
    return opcode == WEBSOCKET_TEXT ? WEBSOCKET_UNSUPPORTED : 0;
}

/* UINT64_MAX: not in shortest form, or with the highest bit set. */
static uint64_t
payload_size(struct bytes header)
{
    struct reader reader = reader_of(header);
    reader_u8(&reader);
    uint64_t size = reader_u8(&reader) & LENGTH;
    if (size == LENGTH_16) {
        size = reader_u16(&reader);
        return size < LENGTH_16 ? UINT64_MAX : size;
    }
    if (size == LENGTH_64) {
        uint64_t high = reader_u32(&reader);
        size = high << 32 | reader_u32(&reader);
        return size <= UINT16_MAX || size > INT64_MAX ? UINT64_MAX : size;
    }
    return size;
}

/* A whole header: what follows is its payload. 0, or the code of the refusal. */
static uint16_t
start_frame(struct websocket_reader *r, struct bytes header)
{
    uint64_t size = payload_size(header);
    if (size == UINT64_MAX) {
        return WEBSOCKET_PROTOCOL_ERROR;
    }
    r->opcode = header.data[0] & OPCODE;
    r->left = size;
    memcpy(r->mask, header.data + header.size - sizeof r->mask, sizeof r->mask);
    r->control_used = 0;
    if (!is_control(r->opcode)) {
        r->in_message = !(header.data[0] & FIN);
    }
    return 0;
}

/* Takes up to `wanted` bytes of the header in all. True when they are there. */
static bool
collect_header(struct websocket_reader *r, const uint8_t *data, uint32_t size, uint32_t wanted, uint32_t *taken)
{
    while (r->header_used < wanted && *taken < size) {
        r->header[r->header_used++] = data[(*taken)++];
    }
    return r->header_used >= wanted;
}

enum header_status {
    HEADER_NEED_MORE,
    HEADER_DONE,
    HEADER_REFUSED,
};

/* Reads a header, or what is there of it. `*at` moves over what was used. */
static enum header_status
read_header(struct websocket_reader *r, const uint8_t *data, uint32_t size, uint32_t *at, uint16_t *code)
{
    if (!collect_header(r, data, size, 2, at)) {
        return HEADER_NEED_MORE;
    }
    *code = refuse_start(r, r->header);
    if (*code != 0) {
        return HEADER_REFUSED;
    }
    if (!collect_header(r, data, size, header_size(r->header), at)) {
        return HEADER_NEED_MORE;
    }
    *code = start_frame(r, bytes_of(r->header, r->header_used));
    r->header_used = 0;
    return *code != 0 ? HEADER_REFUSED : HEADER_DONE;
}

/* RFC 6455 7.4: codes that an endpoint may send. */
static bool
code_is_sendable(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static enum websocket_event
read_close(struct bytes body, struct websocket_result *out)
{
    out->code = WEBSOCKET_NO_STATUS;
    if (body.size == 0) {
        return WEBSOCKET_CLOSE;
    }
    struct reader reader = reader_of(body);
    uint16_t code = reader_u16(&reader);
    if (reader.failed || !code_is_sendable(code)) {
        out->code = WEBSOCKET_PROTOCOL_ERROR;
        return WEBSOCKET_FAILED;
    }
    /* utf8_check() knows no U+0000, which MQTT forbids; nobody needs it in a reason either. RFC 6455 8.1. */
    bool readable = utf8_check(bytes_of(reader.at, reader_left(&reader)));
    out->code = readable ? code : WEBSOCKET_BAD_DATA;
    return readable ? WEBSOCKET_CLOSE : WEBSOCKET_FAILED;
}

static enum websocket_event
finish_control(struct websocket_reader *r, struct websocket_result *out)
{
    out->control = bytes_of(r->control, r->control_used);
    if (r->opcode == WEBSOCKET_OPCODE_CLOSE) {
        return read_close(out->control, out);
    }
    return r->opcode == WEBSOCKET_OPCODE_PING ? WEBSOCKET_PING : WEBSOCKET_PONG;
}

/* Payload of the frame under way: of a control frame into the reader, else to the front of `data`. */
static void
take_payload(struct websocket_reader *r, uint8_t *data, uint32_t size, struct websocket_result *out)
{
    uint32_t here = size - out->consumed;
    uint32_t take = r->left < here ? (uint32_t)r->left : here;
    const uint8_t *source = data + out->consumed;
    if (is_control(r->opcode)) {
        websocket_unmask_portable(r->control + r->control_used, source, take, r->mask);
        r->control_used = (uint8_t)(r->control_used + take);
    } else {
        websocket_unmask(data + out->produced, source, take, r->mask);
        out->produced += take;
    }
    out->consumed += take;
    r->left -= take;
}

enum websocket_event
websocket_read(struct websocket_reader *r, uint8_t *data, uint32_t size, struct websocket_result *out)
{
    *out = (struct websocket_result){0};
    for (;;) {
        if (r->left == 0) {
            enum header_status status = read_header(r, data, size, &out->consumed, &out->code);
            if (status != HEADER_DONE) {
                return status == HEADER_REFUSED ? WEBSOCKET_FAILED : WEBSOCKET_NEED_MORE;
            }
        }
        take_payload(r, data, size, out);
        if (r->left > 0) {
            return WEBSOCKET_NEED_MORE;
        }
        if (is_control(r->opcode)) {
            return finish_control(r, out);
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------------- writing */

uint32_t
websocket_write_header(uint8_t out[WEBSOCKET_HEADER_OUT_MAX], enum websocket_opcode opcode, uint64_t size)
{
    struct writer w = writer_of(out, WEBSOCKET_HEADER_OUT_MAX);
    writer_u8(&w, (uint8_t)(FIN | opcode));
    if (size < LENGTH_16) {
        writer_u8(&w, (uint8_t)size);
    } else if (size <= UINT16_MAX) {
        writer_u8(&w, LENGTH_16);
        writer_u16(&w, (uint16_t)size);
    } else {
        writer_u8(&w, LENGTH_64);
        writer_u32(&w, (uint32_t)(size >> 32));
        writer_u32(&w, (uint32_t)size);
    }
    return (uint32_t)(w.at - out);
}

uint32_t
websocket_write_close(uint8_t out[4], uint16_t code)
{
    struct writer w = writer_of(out, 4);
    writer_u8(&w, FIN | WEBSOCKET_OPCODE_CLOSE);
    writer_u8(&w, code == WEBSOCKET_NO_STATUS ? 0 : 2);
    if (code != WEBSOCKET_NO_STATUS) {
        writer_u16(&w, code);
    }
    return (uint32_t)(w.at - out);
}
