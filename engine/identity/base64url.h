/*
 * base64url: bytes written as RFC 4648 section 5 has it, without padding, as tokens use it.
 *
 * Strict, so that one value has one form: no padding, no white space, no other alphabet, and the unused bits of the last character are zero. (A lenient
 * reader lets anybody make a second token out of a signed one.)
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_BASE64URL_H
#define TIDEWIRE_ENGINE_IDENTITY_BASE64URL_H

#include "codec/bytes.h"

/* Bytes that a text of `size` characters can hold at most. */
#define BASE64URL_ROOM(size) ((size) / 4 * 3 + 2)

/* Decodes into `out`, which has room for BASE64URL_ROOM(text.size); false, with `out` in any state, if the text is not in its one form. */
bool base64url_decode(struct bytes text, uint8_t *out, uint32_t *size);

#endif
