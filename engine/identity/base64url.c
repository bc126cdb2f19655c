#include "engine/identity/base64url.h"

/* The value of a character, or -1. */
static int
value_of(uint8_t c)
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
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

bool
base64url_decode(struct bytes text, uint8_t *out, uint32_t *size)
{
    uint32_t pending = 0; /* bits read and not yet written, in its low end */
    unsigned bits = 0;
    uint8_t *at = out;
    for (uint32_t i = 0; i < text.size; i++) {
        int value = value_of(text.data[i]);
        if (value < 0) {
            return false;
        }
        pending = pending << 6 | (uint32_t)value;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            *at++ = (uint8_t)(pending >> bits);
            pending &= (1u << bits) - 1;
        }
    }
    *size = (uint32_t)(at - out);
    /* Six bits left over are a character that says nothing; others are the fill of the last byte. */
    return bits < 6 && pending == 0;
}
