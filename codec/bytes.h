/*
 * bytes: a borrowed run of bytes, and the two cursors that every encoder and decoder here is made of.
 *
 * A reader walks bytes that the caller owns and never copies them: what it returns points into them. A writer fills
 * memory that the caller owns. Both are sticky: after the first error every further call is harmless and returns zero,
 * so a decoder checks once, at its end.
 *
 * Invariants
 *   B1  reader: at <= end; writer: at <= end.
 *   B2  after `failed` is set nothing moves any more.
 *
 * Threads  none of this is shared. Memory  borrowed, both ways.
 */
#ifndef TIDEWIRE_CODEC_BYTES_H
#define TIDEWIRE_CODEC_BYTES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes; `data` may be NULL only when `size` is 0. */
struct bytes {
    const uint8_t *data;
    uint32_t size;
};

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

struct writer {
    uint8_t *at;
    uint8_t *end;
    bool failed;
};

/* Largest value of a Variable Byte Integer (four bytes of seven bits). MQTT5 1.5.5, MQTT3 2.2.3. */
#define BYTES_VARINT_MAX 268435455u

static inline struct bytes
bytes_of(const void *data, uint32_t size)
{
    return (struct bytes){(const uint8_t *)data, size};
}

static inline bool
bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline struct reader
reader_of(struct bytes b)
{
    return (struct reader){b.data, b.size > 0 ? b.data + b.size : b.data, false};
}

static inline uint32_t
reader_left(const struct reader *r)
{
    return (uint32_t)(r->end - r->at);
}

/* Each read returns 0 (or empty bytes) and sets `failed` when too few bytes are left. Integers are big-endian. Inline: a packet is made of a dozen of them. */

/* `size` raw bytes, borrowed from the input. */
static inline struct bytes
reader_take(struct reader *r, uint32_t size)
{
    if (r->failed || size > reader_left(r)) {
        r->failed = true;
        return (struct bytes){NULL, 0};
    }
    struct bytes taken = {r->at, size};
    r->at += size;
    return taken;
}

static inline uint8_t
reader_u8(struct reader *r)
{
    if (r->failed || r->at == r->end) {
        r->failed = true;
        return 0;
    }
    return *r->at++;
}

static inline uint16_t
reader_u16(struct reader *r)
{
    struct bytes b = reader_take(r, 2);
    return r->failed ? 0 : (uint16_t)(b.data[0] << 8 | b.data[1]);
}

/* A two-byte length and that many bytes: Binary Data (MQTT5 1.5.6). */
static inline struct bytes
reader_binary(struct reader *r)
{
    return reader_take(r, reader_u16(r));
}

uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);

/*
 * A Variable Byte Integer in its shortest form; a longer form of the same value fails, as does a fifth byte.
 * MQTT5 [MQTT-1.5.5-1].
 */
uint32_t reader_varint(struct reader *r);

/* As reader_binary, and the bytes are a well-formed UTF-8 Encoded String (utf8_check). */
struct bytes reader_string(struct reader *r);

static inline struct writer
writer_of(uint8_t *out, uint32_t size)
{
    return (struct writer){out, out + size, false};
}

/* Each write does nothing and sets `failed` when it does not fit. */
void writer_u8(struct writer *w, uint8_t value);
void writer_u16(struct writer *w, uint16_t value);
void writer_u32(struct writer *w, uint32_t value);
void writer_u64(struct writer *w, uint64_t value);
void writer_varint(struct writer *w, uint32_t value); /* value <= BYTES_VARINT_MAX, else failed */
void writer_put(struct writer *w, struct bytes b);    /* raw bytes */
void writer_binary(struct writer *w, struct bytes b); /* two-byte length first; size <= 65535, else failed */

/* Bytes that writer_varint needs for `value`: 1 to 4. */
static inline uint32_t
varint_size(uint32_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}

/*
 * True if `b` is well-formed UTF-8 as MQTT wants it: no U+0000, no surrogates, shortest forms, at most U+10FFFF.
 * MQTT5 [MQTT-1.5.4-1] [MQTT-1.5.4-2], MQTT3 [MQTT-1.5.3-1] [MQTT-1.5.3-2]. Uses SIMD where the machine has it;
 * utf8_check_portable is its twin and gives the same answers.
 */
bool utf8_check(struct bytes b);
bool utf8_check_portable(struct bytes b);

#endif
