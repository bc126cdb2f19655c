/*
 * verified: passwords that were found right lately, so that a fleet that reconnects is not hashed once more.
 *
 * Remembered is only a keyed hash (SHA-256 of a random key of this process and the rest, 128 bits of it) of user, password and the fingerprint of the stored line: a
 * changed line does not match any more, and without the key nothing can be tried against what is remembered. Wrong passwords are never remembered, so
 * guessing stays slow. Sets of four; the one not used for longest goes.
 *
 * Threads  one shard's: a client's home is always the same. Memory: 24 bytes an entry, of the heap, from the first entry on.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_VERIFIED_H
#define TIDEWIRE_ENGINE_IDENTITY_VERIFIED_H

#include "codec/bytes.h"

#define VERIFIED_KEY_SIZE 32u
#define VERIFIED_TAG_SIZE 16u

struct verified_tag {
    uint8_t bytes[VERIFIED_TAG_SIZE];
};

struct verified;

/* Room for at least `entries`, rounded up to a power of two. `key`: random. NULL when out of memory. */
struct verified *verified_open(uint32_t entries, const uint8_t key[VERIFIED_KEY_SIZE]);
void verified_close(struct verified **verified);
/* As given to verified_open. */
uint32_t verified_entries(const struct verified *verified);
uint64_t verified_bytes(const struct verified *verified);

/* False: the library failed; then nothing is known and nothing is to be added. */
bool verified_make_tag(struct verified *verified, struct bytes user, struct bytes secret, uint64_t fingerprint, struct verified_tag *out);

/* Whether it was added, and used since not longer than `limit_s` ago. `now_s`: any clock that never goes back. */
bool verified_find(struct verified *verified, const struct verified_tag *tag, uint32_t now_s, uint32_t limit_s);
void verified_add(struct verified *verified, const struct verified_tag *tag, uint32_t now_s);

#endif
