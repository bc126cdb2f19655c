/*
 * base64: RFC 4648's standard alphabet, read strictly: one text for one value.
 *
 * What is read here stands in files of secrets and in SCRAM messages, so a second spelling of the same bytes (white space, bits left over in the last
 * character, missing or surplus padding) is malformed, not forgiven.
 *
 * Threads  any; pure functions over the caller's memory.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_BASE64_H
#define TIDEWIRE_ENGINE_IDENTITY_BASE64_H

#include "codec/bytes.h"

enum base64_padding {
    BASE64_PADDED,   /* with '=' up to a multiple of four characters */
    BASE64_UNPADDED, /* never with '=': as in argon2's encoded form */
};

/* Characters that `size` bytes need, without the terminator. */
static inline uint32_t
base64_size(uint32_t size, enum base64_padding padding)
{
    return padding == BASE64_PADDED ? (size + 2) / 3 * 4 : (size * 4 + 2) / 3;
}

/* Decodes all of `text` into at most `room` bytes. -1: malformed, or more than `room`. */
int32_t base64_decode(struct bytes text, enum base64_padding padding, uint8_t *out, uint32_t room);

/* The same without padding, in an alphabet whose last two characters are these and not '+' and '/'. */
int32_t base64_decode_alphabet(struct bytes text, char value_62, char value_63, uint8_t *out, uint32_t room);

/* Writes base64_size() characters and a terminator. */
void base64_encode(struct bytes data, enum base64_padding padding, char *out);

#endif
