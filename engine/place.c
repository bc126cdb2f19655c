#include "engine/place.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <string.h>

uint64_t
place_hash(const uint8_t secret[PLACE_SECRET_BYTES], const void *key, uint32_t size)
{
    uint64_t seed;
    memcpy(&seed, secret, sizeof seed);
    return XXH3_64bits_withSeed(key, size, seed);
}

unsigned
place_shard(const uint8_t secret[PLACE_SECRET_BYTES], unsigned shard_count, const void *key, uint32_t size)
{
    /* The high half: tables use the low bits. */
    return (unsigned)(((place_hash(secret, key, size) >> 32) * shard_count) >> 32);
}
