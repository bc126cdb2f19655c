/*
 * wire: packets as readable text. `10 [ <MQTT> 05 02 003c [] <client> ]` is a CONNECT.
 *
 *   1f2e      bytes in hexadecimal
 *   'text'    the bytes of the text
 *   <text>    a two-byte length, then the text
 *   [ ... ]   a Variable Byte Integer with the size of what is inside, then that; may be nested
 */
#ifndef TIDEWIRE_TEST_CODEC_WIRE_H
#define TIDEWIRE_TEST_CODEC_WIRE_H

#include <assert.h>
#include <ctype.h>

#include "codec/decode.h"
#include "test/codec/guarded.h"

#define CLIENT PACKET_FROM_CLIENT
#define SERVER PACKET_FROM_SERVER

#define CLAIM(name) static void name(void **state __attribute__((unused)))

static inline uint8_t
wire_hex_digit(char c)
{
    assert(isxdigit((unsigned char)c));
    return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

/* Assembles up to the end of `*text` or the `]` that closes this level. */
static inline uint32_t
wire_level(const char **text, uint8_t *out)
{
    uint8_t *at = out;
    while (**text != '\0' && **text != ']') {
        char c = *(*text)++;
        if (c == ' ' || c == '\n') {
            continue;
        }
        if (c == '\'' || c == '<') {
            const char *end = strchr(*text, c == '<' ? '>' : '\'');
            assert(end != NULL);
            size_t size = (size_t)(end - *text);
            if (c == '<') {
                *at++ = (uint8_t)(size >> 8);
                *at++ = (uint8_t)size;
            }
            memcpy(at, *text, size);
            at += size;
            *text = end + 1;
        } else if (c == '[') {
            /* The length goes in front once it is known: four bytes at most. */
            uint8_t *inside = at + 4;
            uint32_t size = wire_level(text, inside);
            assert(**text == ']');
            ++*text;
            struct writer w = writer_of(at, 4);
            writer_varint(&w, size);
            memmove(w.at, inside, size);
            at = w.at + size;
        } else {
            *at++ = (uint8_t)(wire_hex_digit(c) << 4 | wire_hex_digit(**text));
            ++*text;
        }
    }
    return (uint32_t)(at - out);
}

/* Bytes of `text`, against the unreadable page. */
static inline struct bytes
wire(const char *text)
{
    static uint8_t room[GUARDED_SIZE_MAX];
    uint32_t size = wire_level(&text, room);
    assert(*text == '\0');
    return guarded(bytes_of(room, size));
}

/* The reason with which frame_read() or the decoder answers; 0 if the packet is accepted. */
static inline uint8_t
answer(uint8_t version, enum packet_sender sender, const char *text, struct packet *out)
{
    struct bytes input = wire(text);
    struct frame frame;
    enum frame_status status = frame_read(input, UINT32_MAX, &frame);
    if (status == FRAME_MALFORMED) {
        return frame.reason;
    }
    assert(status == FRAME_DONE && frame.size == input.size);
    return decode_packet(&frame, version, sender, out);
}

#endif
