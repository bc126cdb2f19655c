/*
 * filter_entry: one filter of the index, which shards want it, and what a match collects. Internal to the router.
 *
 *   struct filter | filter text | share name
 *
 * A match reads one of these anywhere in memory: so with a filter text of up to 32 bytes it is one cache line (filter_arena.h).
 *
 * Entries with one filter text and different share names form a list; its head is what the tables and the trie hold.
 *
 * Threads  readers follow what is published; changes are for the holder of the index's mutex.
 */
#ifndef TIDEWIRE_ROUTER_FILTER_ENTRY_H
#define TIDEWIRE_ROUTER_FILTER_ENTRY_H

#include "router/filter_index.h"

struct filter {
    uint64_t key; /* must be first: filter_table.h T1; 0 in a trie */
    _Atomic uint64_t shards;
    _Atomic(struct filter *) next;
    uint32_t id;
    uint16_t size, group_size;
    uint8_t text[];
};

/* Text that lies in one cache line with the rest. */
#define FILTER_LINE_TEXT 32u
_Static_assert(sizeof(struct filter) + FILTER_LINE_TEXT == 64, "and no more");

static inline struct bytes
filter_text(const struct filter *filter)
{
    return bytes_of(filter->text, filter->size);
}

static inline struct bytes
filter_group(const struct filter *filter)
{
    return bytes_of(filter->text + filter->size, filter->group_size);
}

/* What a match has found so far. */
struct filter_found {
    unsigned shard; /* who asks */
    uint64_t shards;
    uint64_t generation; /* of the index before the match, for a topic under this first level */
    uint32_t first_level; /* number of that first level's generation */
    uint32_t count, capacity;
    struct match_id *ids;
    uint64_t trie_nodes;
};

/* Room for more ids, zeroed, or the end of the process. */
void filter_found_grow(struct filter_found *found);

/* Notes `head` and the share names behind it. */
static inline void
filter_found_add(struct filter_found *found, const struct filter *head)
{
    for (const struct filter *f = head; f != NULL; f = atomic_load_explicit(&f->next, memory_order_acquire)) {
        uint64_t shards = atomic_load_explicit(&f->shards, memory_order_relaxed);
        found->shards |= shards;
        if (shards >> found->shard & 1) {
            if (found->count == found->capacity) {
                filter_found_grow(found);
            }
            found->ids[found->count++] = (struct match_id){f->id, f->group_size > 0};
        }
    }
}

#endif
