/*
 * keyed_hash: SipHash-2-4 with 128 bits (Aumasson and Bernstein, 2012; the reference's double-width form).
 *
 * What a cache of verdicts is looked up by: without the key nobody can make two questions that share an answer, and the question itself (it may hold a
 * password) is not kept. The router's XXH3 is quicker, but was not made to hold against somebody who looks for collisions.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_KEYED_HASH_H
#define TIDEWIRE_ENGINE_IDENTITY_KEYED_HASH_H

#include "codec/bytes.h"

struct keyed_hash_key {
    uint64_t words[2];
};

struct keyed_hash {
    uint64_t words[2];
};

/* The state between keyed_hash_begin and keyed_hash_end. */
struct keyed_hash_state {
    uint64_t v[4];
    uint64_t block;   /* bytes that do not fill a word yet */
    uint64_t size;    /* of all input */
};

void keyed_hash_begin(struct keyed_hash_state *state, const struct keyed_hash_key *key);
void keyed_hash_add(struct keyed_hash_state *state, struct bytes data);
/* With its size before it, so that two texts never run into each other. */
void keyed_hash_add_text(struct keyed_hash_state *state, struct bytes text);
struct keyed_hash keyed_hash_end(struct keyed_hash_state *state);

static inline bool
keyed_hash_equal(struct keyed_hash a, struct keyed_hash b)
{
    return ((a.words[0] ^ b.words[0]) | (a.words[1] ^ b.words[1])) == 0;
}

#endif
