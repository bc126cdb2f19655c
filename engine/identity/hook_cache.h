/*
 * hook_cache: answers of an HTTP hook that still count, by a keyed hash of what was asked.
 *
 *      hash ──► one of `sets`, a power of two ──► HOOK_CACHE_WAYS places
 *
 * Bounded: a new answer takes the place in its set that is empty, has run out, or runs out first. Nothing is kept of a question but its hash, whose key is random and
 * which takes in the snapshot's generation, so what was remembered before a reload is never found again.
 *
 * Invariants
 *   A1  a hash is in one place at most.
 *   A2  an answer is found only before its end.
 *
 * Threads  one shard's. Memory  allocated with the first answer; hook_cache_bytes() says how much.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_HOOK_CACHE_H
#define TIDEWIRE_ENGINE_IDENTITY_HOOK_CACHE_H

#include "engine/identity/hook_message.h"
#include "engine/identity/keyed_hash.h"

#include <stddef.h>

#define HOOK_CACHE_WAYS 8u

struct hook_cache {
    struct hook_cache_place *places; /* NULL: nothing remembered yet */
    uint32_t set_count;
};

/* Takes over another size; 0: remembers nothing. What was there is forgotten if it differs. */
void hook_cache_resize(struct hook_cache *cache, uint32_t entries_max);
void hook_cache_fini(struct hook_cache *cache);

/* NULL: not known, or not any more. Borrowed until the next call. */
const struct hook_answer *hook_cache_find(const struct hook_cache *cache, struct keyed_hash hash, uint64_t now_ms);
/* Without memory nothing is remembered. */
void hook_cache_add(struct hook_cache *cache, struct keyed_hash hash, const struct hook_answer *answer, uint64_t now_ms, uint64_t end_ms);

size_t hook_cache_bytes(const struct hook_cache *cache);
/* Asserts A1. For tests. */
void hook_cache_check(const struct hook_cache *cache);

#endif
