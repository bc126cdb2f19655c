#include "codec/bytes.h"

uint32_t
reader_u32(struct reader *r)
{
    struct bytes b = reader_take(r, 4);
    if (r->failed) {
        return 0;
    }
    return (uint32_t)b.data[0] << 24 | (uint32_t)b.data[1] << 16 | (uint32_t)b.data[2] << 8 | b.data[3];
}

uint64_t
reader_u64(struct reader *r)
{
    struct bytes b = reader_take(r, 8);
    if (r->failed) {
        return 0;
    }
    const uint8_t *d = b.data;
    return (uint64_t)d[0] << 56 | (uint64_t)d[1] << 48 | (uint64_t)d[2] << 40 | (uint64_t)d[3] << 32 | (uint64_t)d[4] << 24 | (uint64_t)d[5] << 16 |
           (uint64_t)d[6] << 8 | d[7];
}

uint32_t
reader_varint(struct reader *r)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint8_t byte = reader_u8(r);
        if (r->failed) {
            return 0;
        }
        value |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            /* A last byte of zero adds nothing: the same value has a shorter form. MQTT5 [MQTT-1.5.5-1]. */
            r->failed = byte == 0 && shift > 0;
            return r->failed ? 0 : value;
        }
    }
    r->failed = true;
    return 0;
}

struct bytes
reader_string(struct reader *r)
{
    struct bytes text = reader_binary(r);
    if (!r->failed && !utf8_check(text)) {
        r->failed = true;
    }
    return r->failed ? (struct bytes){NULL, 0} : text;
}

/* Room for `size` more bytes, or NULL once and for all. */
static uint8_t *
claim(struct writer *w, uint32_t size)
{
    if (w->failed || size > (size_t)(w->end - w->at)) {
        w->failed = true;
        return NULL;
    }
    uint8_t *room = w->at;
    w->at += size;
    return room;
}

void
writer_u8(struct writer *w, uint8_t value)
{
    uint8_t *room = claim(w, 1);
    if (room != NULL) {
        room[0] = value;
    }
}

void
writer_u16(struct writer *w, uint16_t value)
{
    uint8_t *room = claim(w, 2);
    if (room != NULL) {
        room[0] = (uint8_t)(value >> 8);
        room[1] = (uint8_t)value;
    }
}

void
writer_u32(struct writer *w, uint32_t value)
{
    uint8_t *room = claim(w, 4);
    if (room != NULL) {
        room[0] = (uint8_t)(value >> 24);
        room[1] = (uint8_t)(value >> 16);
        room[2] = (uint8_t)(value >> 8);
        room[3] = (uint8_t)value;
    }
}

void
writer_u64(struct writer *w, uint64_t value)
{
    uint8_t *room = claim(w, 8);
    if (room != NULL) {
        room[0] = (uint8_t)(value >> 56);
        room[1] = (uint8_t)(value >> 48);
        room[2] = (uint8_t)(value >> 40);
        room[3] = (uint8_t)(value >> 32);
        room[4] = (uint8_t)(value >> 24);
        room[5] = (uint8_t)(value >> 16);
        room[6] = (uint8_t)(value >> 8);
        room[7] = (uint8_t)value;
    }
}

void
writer_varint(struct writer *w, uint32_t value)
{
    if (value > BYTES_VARINT_MAX) {
        w->failed = true;
        return;
    }
    uint32_t size = varint_size(value);
    uint8_t *room = claim(w, size);
    if (room == NULL) {
        return;
    }
    for (uint32_t i = 0; i + 1 < size; i++, value >>= 7) {
        room[i] = (uint8_t)(value | 0x80);
    }
    room[size - 1] = (uint8_t)value;
}

void
writer_put(struct writer *w, struct bytes b)
{
    uint8_t *room = claim(w, b.size);
    if (room != NULL && b.size > 0) {
        memcpy(room, b.data, b.size);
    }
}

void
writer_binary(struct writer *w, struct bytes b)
{
    if (b.size > UINT16_MAX || (size_t)b.size + 2 > (size_t)(w->end - w->at)) {
        w->failed = true;
    }
    writer_u16(w, (uint16_t)b.size);
    writer_put(w, b);
}
