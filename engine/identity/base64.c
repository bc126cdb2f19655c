#include "engine/identity/base64.h"

static const char alphabet[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* 0..63, or 64 and more for what is no character of the alphabet. */
static uint32_t
value_of(uint8_t c)
{
    const char *at = c != 0 ? strchr(alphabet, c) : NULL;
    return at != NULL ? (uint32_t)(at - alphabet) : 64;
}

/* Cuts the padding off; false if it is wrong, or if no number of bytes has a text of this size. */
static bool
strip_padding(struct bytes *text, enum base64_padding padding)
{
    if (padding == BASE64_PADDED) {
        if (text->size % 4 != 0) {
            return false;
        }
        for (unsigned i = 0; i < 2 && text->size > 0 && text->data[text->size - 1] == '='; i++) {
            text->size--;
        }
    }
    return text->size % 4 != 1;
}

int32_t
base64_decode(struct bytes text, enum base64_padding padding, uint8_t *out, uint32_t room)
{
    if (!strip_padding(&text, padding) || text.size > INT32_MAX / 2 || text.size / 4 * 3 + text.size % 4 * 3 / 4 > room) {
        return -1;
    }
    uint32_t bits = 0, held = 0, used = 0;
    for (uint32_t i = 0; i < text.size; i++) {
        uint32_t value = value_of(text.data[i]);
        if (value > 63) {
            return -1;
        }
        held = held << 6 | value;
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
