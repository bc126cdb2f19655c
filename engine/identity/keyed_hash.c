#include "engine/identity/keyed_hash.h"

static uint64_t
rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

static void
mix(uint64_t v[4], unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        v[0] += v[1];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[0] = rotate(v[0], 32);
        v[2] += v[3];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

static void
take_word(struct keyed_hash_state *s, uint64_t word)
{
    s->v[3] ^= word;
    mix(s->v, 2);
    s->v[0] ^= word;
}

void
keyed_hash_begin(struct keyed_hash_state *s, const struct keyed_hash_key *key)
{
    *s = (struct keyed_hash_state){.v = {
        key->words[0] ^ 0x736f6d6570736575u,
        key->words[1] ^ 0x646f72616e646f6du ^ 0xee, /* 0xee: the double-width form */
        key->words[0] ^ 0x6c7967656e657261u,
        key->words[1] ^ 0x7465646279746573u,
    }};
}

void
keyed_hash_add(struct keyed_hash_state *s, struct bytes data)
{
    uint32_t at = 0;
    /* Whole words where nothing is pending: the usual case. */
    while ((s->size & 7) == 0 && data.size - at >= 8) {
        uint64_t word;
        memcpy(&word, data.data + at, sizeof word);
        take_word(s, word);
        s->size += 8;
        at += 8;
    }
    for (; at < data.size; at++) {
        s->block |= (uint64_t)data.data[at] << (8 * (s->size & 7));
        s->size++;
        if ((s->size & 7) == 0) {
            take_word(s, s->block);
            s->block = 0;
        }
    }
}

void
keyed_hash_add_text(struct keyed_hash_state *s, struct bytes text)
{
    keyed_hash_add(s, bytes_of(&text.size, sizeof text.size));
    keyed_hash_add(s, text);
}

struct keyed_hash
keyed_hash_end(struct keyed_hash_state *s)
{
    struct keyed_hash hash;
    take_word(s, s->block | s->size << 56);
    s->v[2] ^= 0xee;
    mix(s->v, 4);
    hash.words[0] = s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
    s->v[1] ^= 0xdd;
    mix(s->v, 4);
    hash.words[1] = s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
    return hash;
}
