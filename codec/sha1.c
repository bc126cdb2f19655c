#include "codec/sha1.h"

#define BLOCK 64u

static uint32_t
rotated(uint32_t x, unsigned by)
{
    return x << by | x >> (32 - by);
}

/* RFC 3174 5: function and constant of step `t`. */
static uint32_t
mixed(unsigned t, uint32_t b, uint32_t c, uint32_t d)
{
    switch (t / 20) {
    case 0:
        return ((b & c) | (~b & d)) + 0x5a827999u;
    case 1:
        return (b ^ c ^ d) + 0x6ed9eba1u;
    case 2:
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu;
    default:
        return (b ^ c ^ d) + 0xca62c1d6u;
    }
}

/* RFC 3174 6.1. */
static void
digest_block(uint32_t state[5], const uint8_t block[BLOCK])
{
    uint32_t words[80];
    struct reader r = reader_of(bytes_of(block, BLOCK));
    for (unsigned t = 0; t < 80; t++) {
        words[t] = t < 16 ? reader_u32(&r) : rotated(words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16], 1);
    }
    uint32_t s[5];
    memcpy(s, state, sizeof s);
    for (unsigned t = 0; t < 80; t++) {
        uint32_t next = rotated(s[0], 5) + mixed(t, s[1], s[2], s[3]) + s[4] + words[t];
        s[4] = s[3];
        s[3] = s[2];
        s[2] = rotated(s[1], 30);
        s[1] = s[0];
        s[0] = next;
    }
    for (unsigned i = 0; i < 5; i++) {
        state[i] += s[i];
    }
}

/* What is left of the input, a one bit, zeros and the length in bits: one block or two. */
static void
digest_tail(uint32_t state[5], struct bytes tail, uint64_t size)
{
    uint8_t blocks[2 * BLOCK] = {0};
    uint32_t used = tail.size + 9 <= BLOCK ? BLOCK : 2 * BLOCK;
    struct writer w = writer_of(blocks, used);
    writer_put(&w, tail);
    writer_u8(&w, 0x80);
    w.at = blocks + used - 8;
    writer_u32(&w, (uint32_t)(size >> 29));
    writer_u32(&w, (uint32_t)(size << 3));
    for (uint32_t at = 0; at < used; at += BLOCK) {
        digest_block(state, blocks + at);
    }
}

void
sha1_digest(struct bytes input, uint8_t out[SHA1_SIZE])
{
    uint32_t state[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    uint32_t at = 0;
    for (; input.size - at >= BLOCK; at += BLOCK) {
        digest_block(state, input.data + at);
    }
    digest_tail(state, bytes_of(input.size > at ? input.data + at : NULL, input.size - at), input.size);
    struct writer w = writer_of(out, SHA1_SIZE);
    for (unsigned i = 0; i < 5; i++) {
        writer_u32(&w, state[i]);
    }
}
