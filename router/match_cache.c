#define XXH_INLINE_ALL
#include "router/filter_index.h"
#include "router/filter_match.h"
#include "router/same.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <xxhash.h>

/*
 *   slots[hash & mask]:  two cache lines     hash, generation, match, sizes, | up to four ids, up to 48 bytes of topic
 *                        or, for larger ones, a block on the heap:             ids ... topic
 *
 * Invariants
 *   M1  a slot is used while its generation is the index's; then it is computed anew.
 *   M2  all blocks together have at most BLOCK_BYTES_MAX bytes; a result that finds no room is given out but not kept.
 */

#define SLOTS_DEFAULT 16384u
#define SLOT_IDS 4u
#define SLOT_TEXT 48u
/* Longer topics are matched each time. */
#define TEXT_MAX 1024u
#define BLOCK_BYTES_MAX ((size_t)8 << 20)
/* One result may take this much of it. */
#define BLOCK_BYTES_EACH_MAX (BLOCK_BYTES_MAX / 8)
/* Slots that one miss empties at most, to make room for its block. */
#define EVICT_MAX 64u

struct slot {
    _Alignas(64) uint64_t hash;
    uint64_t generation;
    struct match match;
    uint16_t text_size;  /* 0: the slot is empty */
    uint16_t first_level;
    uint32_t block_size; /* 0: all lies here; else match.local is the block */
    struct match_id ids[SLOT_IDS];
    uint8_t inline_text[SLOT_TEXT];
};
_Static_assert(sizeof(struct slot) == 128, "a slot is two cache lines");

struct match_cache {
    struct slot *slots;
    uint32_t mask;
    uint32_t hand; /* where room for blocks was made last */
    size_t block_bytes;
    struct filter_index *index;
    struct filter_view view;
    struct filter_found found; /* its ids are scratch memory */
    struct match loose;        /* a result that is not kept */
    struct match_counts counts;
};

struct match_cache *
match_cache_init(struct filter_index *index, unsigned shard, uint32_t slot_count)
{
    slot_count = slot_count == 0 ? SLOTS_DEFAULT : slot_count;
    assert((slot_count & (slot_count - 1)) == 0 && shard < 64);

    struct match_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL) {
        return NULL;
    }
    /* Pages come with the first use of a slot, so that an idle broker pays for none. */
    size_t size = (size_t)slot_count * sizeof(struct slot);
    cache->slots = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cache->slots == MAP_FAILED) {
        free(cache);
        return NULL;
    }
    filter_found_grow(&cache->found);
    cache->mask = slot_count - 1;
    cache->index = index;
    cache->view = filter_index_view(index);
    cache->found.shard = shard;
    return cache;
}

static void
slot_clear(struct match_cache *cache, struct slot *slot)
{
    if (slot->block_size > 0) {
        free((void *)slot->match.local);
        cache->block_bytes -= slot->block_size;
    }
    slot->block_size = 0;
    slot->text_size = 0;
}

void
match_cache_fini(struct match_cache **cachep)
{
    struct match_cache *cache = *cachep;
    if (cache == NULL) {
        return;
    }
    *cachep = NULL;
    for (uint32_t i = 0; i <= cache->mask && cache->block_bytes > 0; i++) {
        slot_clear(cache, &cache->slots[i]);
    }
    assert(cache->block_bytes == 0);
    munmap(cache->slots, ((size_t)cache->mask + 1) * sizeof(struct slot));
    free(cache->found.ids);
    free(cache);
}

void
match_cache_counts(const struct match_cache *cache, struct match_counts *out)
{
    *out = cache->counts;
}

/* Not a pointer in the slot: for what lies there already both lines are then loaded at once. */
static inline const uint8_t *
slot_text(const struct slot *slot)
{
    return slot->block_size == 0 ? slot->inline_text : (const uint8_t *)(slot->match.local + slot->match.local_count);
}

static inline bool
slot_is(const struct slot *slot, struct bytes topic)
{
    return slot->text_size == topic.size && same_bytes(slot_text(slot), topic.data, topic.size);
}

static inline bool
slot_is_fresh(const struct match_cache *cache, const struct slot *slot)
{
    return slot->generation == filter_view_generation(&cache->view, slot->first_level);
}

/* Empties slots with blocks until `size` more bytes fit (M2), but looks at no more than EVICT_MAX. */
static bool
block_room(struct match_cache *cache, size_t size)
{
    for (uint32_t i = 0; i < EVICT_MAX && cache->block_bytes + size > BLOCK_BYTES_MAX; i++) {
        struct slot *slot = &cache->slots[cache->hand++ & cache->mask];
        if (slot->block_size > 0) {
            slot_clear(cache, slot);
        }
    }
    return cache->block_bytes + size <= BLOCK_BYTES_MAX;
}

/* Where the result's ids and the topic's text go: into the slot, or into a block. NULL: not kept. */
static struct match_id *
slot_place(struct match_cache *cache, struct slot *slot, struct bytes topic, uint8_t **text)
{
    uint32_t count = cache->found.count;
    if (count <= SLOT_IDS && topic.size <= SLOT_TEXT) {
        *text = slot->inline_text;
        return slot->ids;
    }
    size_t size = count * sizeof(struct match_id) + topic.size;
    if (topic.size > TEXT_MAX || size > BLOCK_BYTES_EACH_MAX || !block_room(cache, size)) {
        return NULL;
    }
    struct match_id *ids = malloc(size);
    if (ids == NULL) {
        return NULL;
    }
    slot->block_size = (uint32_t)size;
    cache->block_bytes += size;
    *text = (uint8_t *)(ids + count);
    return ids;
}

static const struct match *
give_loose(struct match_cache *cache)
{
    cache->loose = (struct match){cache->found.shards, cache->found.count, cache->found.ids};
    return &cache->loose;
}

/* Apart from match_cache_find(), which mostly does without it and is the shorter for it. */
__attribute__((noinline)) static const struct match *
compute(struct match_cache *cache, struct slot *slot, struct bytes topic, uint64_t hash, uint32_t *memo)
{
    struct filter_found *found = &cache->found;
    filter_index_match(cache->index, topic, hash, found);
    cache->counts.computed++;
    cache->counts.trie_nodes += found->trie_nodes;

    uint8_t *text;
    slot_clear(cache, slot);
    struct match_id *ids = slot_place(cache, slot, topic, &text);
    if (ids == NULL) {
        *memo = 0;
        return give_loose(cache);
    }
    if (ids == slot->ids) {
        memcpy(ids, found->ids, sizeof slot->ids); /* of one size, whatever the count */
    } else if (found->count > 0) {
        memcpy(ids, found->ids, found->count * sizeof *ids);
    }
    memcpy(text, topic.data, topic.size);
    slot->hash = hash;
    slot->generation = found->generation;
    slot->first_level = (uint16_t)found->first_level;
    slot->match = (struct match){found->shards, found->count, ids};
    slot->text_size = (uint16_t)topic.size;
    return &slot->match;
}

/* Where the topic's hash leads. */
__attribute__((noinline)) static const struct match *
find_by_hash(struct match_cache *cache, struct bytes topic, uint32_t *memo)
{
    uint64_t hash = XXH3_64bits_withSecret(topic.data, topic.size, cache->view.secret, FILTER_HASH_SECRET_BYTES);
    struct slot *slot = &cache->slots[hash & cache->mask];
    *memo = (uint32_t)(hash & cache->mask) + 1;
    if (slot->hash == hash && slot_is(slot, topic)) {
        if (slot_is_fresh(cache, slot)) {
            cache->counts.cache_hits++;
            return &slot->match;
        }
        cache->counts.stale++;
    }
    return compute(cache, slot, topic, hash, memo);
}

const struct match *
match_cache_find(struct match_cache *cache, struct bytes topic, uint32_t *memo)
{
    assert(topic.size > 0);

    uint32_t forgotten = 0;
    memo = memo != NULL ? memo : &forgotten;
    if (*memo != 0) {
        struct slot *slot = &cache->slots[(*memo - 1) & cache->mask];
        if (slot_is(slot, topic) && slot_is_fresh(cache, slot)) {
            cache->counts.memo_hits++;
            return &slot->match;
        }
    }
    return find_by_hash(cache, topic, memo);
}
