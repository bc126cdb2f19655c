#include "engine/identity/hook_cache.h"

#include <assert.h>
#include <stdlib.h>

struct hook_cache_place {
    struct keyed_hash hash;
    uint64_t end_ms;     /* 0: empty */
    struct hook_answer answer;
};

void
hook_cache_fini(struct hook_cache *cache)
{
    free(cache->places);
    *cache = (struct hook_cache){0};
}

void
hook_cache_resize(struct hook_cache *cache, uint32_t entries_max)
{
    uint32_t sets = entries_max > 0 ? 1 : 0;
    while (sets > 0 && sets * 2 * HOOK_CACHE_WAYS <= entries_max) {
        sets *= 2;
    }
    if (sets != cache->set_count) {
        hook_cache_fini(cache);
        cache->set_count = sets;
    }
}

static struct hook_cache_place *
set_of(const struct hook_cache *cache, struct keyed_hash hash)
{
    return cache->places + (hash.words[0] & (cache->set_count - 1)) * HOOK_CACHE_WAYS;
}

const struct hook_answer *
hook_cache_find(const struct hook_cache *cache, struct keyed_hash hash, uint64_t now_ms)
{
    if (cache->places == NULL) {
        return NULL;
    }
    const struct hook_cache_place *set = set_of(cache, hash);
    for (unsigned i = 0; i < HOOK_CACHE_WAYS; i++) {
        if (keyed_hash_equal(set[i].hash, hash)) {
            return now_ms < set[i].end_ms ? &set[i].answer : NULL;
        }
    }
    return NULL;
}

void
hook_cache_add(struct hook_cache *cache, struct keyed_hash hash, const struct hook_answer *answer, uint64_t now_ms, uint64_t end_ms)
{
    if (cache->set_count == 0 || end_ms <= now_ms) {
        return;
    }
    if (cache->places == NULL) {
        cache->places = calloc((size_t)cache->set_count * HOOK_CACHE_WAYS, sizeof cache->places[0]);
        if (cache->places == NULL) {
            return;
        }
    }
    struct hook_cache_place *set = set_of(cache, hash), *victim = set;
    for (unsigned i = 0; i < HOOK_CACHE_WAYS; i++) {
        if (keyed_hash_equal(set[i].hash, hash)) {
            victim = &set[i];
            break;
        }
        victim = set[i].end_ms < victim->end_ms ? &set[i] : victim;
    }
    *victim = (struct hook_cache_place){.hash = hash, .end_ms = end_ms, .answer = *answer};
}

size_t
hook_cache_bytes(const struct hook_cache *cache)
{
    return cache->places != NULL ? (size_t)cache->set_count * HOOK_CACHE_WAYS * sizeof cache->places[0] : 0;
}

void
hook_cache_check(const struct hook_cache *cache)
{
    for (uint32_t set = 0; cache->places != NULL && set < cache->set_count; set++) {
        const struct hook_cache_place *places = cache->places + set * HOOK_CACHE_WAYS;
        for (unsigned i = 1; i < HOOK_CACHE_WAYS; i++) {
            for (unsigned j = 0; places[i].end_ms != 0 && j < i; j++) {
                assert(places[j].end_ms == 0 || !keyed_hash_equal(places[i].hash, places[j].hash)); /* A1 */
            }
        }
    }
}
