#include "engine/identity/base64.h"

static const char alphabet[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0..63, or -1 for what is no character of the alphabet. */
static int
value_of(uint8_t c, char value_62, char value_63)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == (uint8_t)value_62 ? 62 : c == (uint8_t)value_63 ? 63 : -1;
}

int32_t
base64_decode(struct bytes text, enum base64_padding padding, uint8_t *out, uint32_t room)
{
    if (padding == BASE64_PADDED) {
        if (text.size % 4 != 0) {
            return -1;
        }
        for (unsigned i = 0; i < 2 && text.size > 0 && text.data[text.size - 1] == '='; i++) {
            text.size--;
        }
    }
    return base64_decode_alphabet(text, alphabet[62], alphabet[63], out, room);
}

int32_t
base64_decode_alphabet(struct bytes text, char value_62, char value_63, uint8_t *out, uint32_t room)
{
    /* No number of bytes has a text of 4n + 1 characters. */
    if (text.size % 4 == 1 || text.size > INT32_MAX / 2 || text.size / 4 * 3 + text.size % 4 * 3 / 4 > room) {
        return -1;
    }
    uint32_t bits = 0, held = 0, used = 0;
    for (uint32_t i = 0; i < text.size; i++) {
        int value = value_of(text.data[i], value_62, value_63);
        if (value < 0) {
            return -1;
        }
        held = held << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[used++] = (uint8_t)(held >> bits);
        }
    }
    return (held & ((1u << bits) - 1)) == 0 ? (int32_t)used : -1;
}

void
base64_encode(struct bytes data, enum base64_padding padding, char *out)
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < data.size; i += 3) {
        uint32_t left = data.size - i;
        uint32_t group = (uint32_t)data.data[i] << 16 | (left > 1 ? (uint32_t)data.data[i + 1] << 8 : 0) | (left > 2 ? data.data[i + 2] : 0);
        for (uint32_t j = 0; j < 4; j++) {
            if (j <= left) {
                out[at++] = alphabet[group >> (18 - 6 * j) & 63];
            } else if (padding == BASE64_PADDED) {
                out[at++] = '=';
            }
        }
    }
    out[at] = '\0';
}
