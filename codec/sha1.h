/*
 * sha1: the digest of RFC 3174, for the accept key of a WebSocket handshake (RFC 6455 4.2.2) and nothing else: it proves that a server speaks the
 * protocol, and no secret hangs on it.
 */
#ifndef TIDEWIRE_CODEC_SHA1_H
#define TIDEWIRE_CODEC_SHA1_H

#include "codec/bytes.h"

#define SHA1_SIZE 20u

void sha1_digest(struct bytes input, uint8_t out[SHA1_SIZE]);

#endif
