/*
 * place: on which of so many shards something belongs: a session by its client identifier, a retained message by its topic, a shared group by its text. The same secret and number
 * give the same answer for ever: journals are found again by it.
 */
#ifndef TIDEWIRE_ENGINE_PLACE_H
#define TIDEWIRE_ENGINE_PLACE_H

#include <stdint.h>

#define PLACE_SECRET_BYTES 32

/* The keyed 64-bit hash behind it. */
uint64_t place_hash(const uint8_t secret[PLACE_SECRET_BYTES], const void *key, uint32_t size);
unsigned place_shard(const uint8_t secret[PLACE_SECRET_BYTES], unsigned shard_count, const void *key, uint32_t size);

#endif
