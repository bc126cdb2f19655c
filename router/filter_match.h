/*
 * filter_match: the reading side of the filter index, for match_cache. Internal to the router.
 *
 * Threads  any shard that is online in the index's epoch.
 */
#ifndef TIDEWIRE_ROUTER_FILTER_MATCH_H
#define TIDEWIRE_ROUTER_FILTER_MATCH_H

#include "router/filter_entry.h"

/* First levels share this many generation counters; one more is the root's. */
#define FILTER_GENERATIONS 4096u
#define FILTER_HASH_SECRET_BYTES 192u

/* What a lookup needs before it knows whether it must match. */
struct filter_view {
    const uint8_t *secret;               /* key of the topic hash, FILTER_HASH_SECRET_BYTES */
    const _Atomic uint64_t *generations; /* FILTER_GENERATIONS, then the root's */
};

struct filter_view filter_index_view(const struct filter_index *index);

/*
 * Both counters only grow, so their sum changes when either does. Acquire pairs with the release increment of a writer: who sees the new number
 * sees the change.
 */
static inline uint64_t
filter_view_generation(const struct filter_view *view, uint32_t first_level)
{
    return atomic_load_explicit(&view->generations[first_level], memory_order_acquire) +
           atomic_load_explicit(&view->generations[FILTER_GENERATIONS], memory_order_acquire);
}

/* Everything that matches; `hash` is XXH3 of the topic under the view's secret. Fills all of `found` but `shard` and the memory of `ids`. */
void filter_index_match(const struct filter_index *index, struct bytes topic, uint64_t hash, struct filter_found *found);

#endif
