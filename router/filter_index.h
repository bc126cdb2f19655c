/*
 * filter_index: which shards, and which filters of them, want a topic. One per process.
 *
 *   topic ──► levels ──┬─► exact table: one probe
 *                      ├─► tuple space: one probe per filter shape in use under this first level, and under '+' and '#'
 *                      └─► trie of this first level: only for shapes beyond FILTER_SHAPES_MAX, or deeper than a shape can say
 *
 * A filter is a (topic filter, share name) pair with a mask of interested shards and a small number, its id, that stays the same while any shard is interested.
 * Lists of subscribed sessions stay inside their shard, by that id. So only the first and the last subscriber of a shard touch this index.
 *
 * Readers take no lock: everything they follow is published with release stores and freed by epoch. Writers serialise on one mutex, which no reader touches. What
 * a writer has added when filter_index_add() returns is seen by every match that starts afterwards anywhere (so a SUBACK can be sent).
 *
 * Generations: a writer bumps the counter of the filter's first level (or the root's, for filters that start with a wildcard) after each change, so cached results
 * know when they are stale.
 *
 * Invariants
 *   F1  an id names one (filter, group) from the add that creates it until no shard is interested; then it is reused only after an epoch.
 *   F2  matching finds exactly the filters for which topic_match() is true, whatever structure holds them.
 *   F3  hash keys come from `secret`: a peer cannot aim at one bucket.
 *   F4  visited nodes and probes of one match are bounded: shapes per first level (FILTER_SHAPES_MAX), trie filters and their nodes per first level
 *       (FILTER_TRIE_MAX, FILTER_TRIE_NODES_MAX), share names per topic filter (FILTER_GROUPS_MAX).
 */
#ifndef TIDEWIRE_ROUTER_FILTER_INDEX_H
#define TIDEWIRE_ROUTER_FILTER_INDEX_H

#include "codec/bytes.h"
#include "router/epoch.h"

#include <stdbool.h>

/* Filter shapes (which levels are '+', how many, '#' at the end) that tuple space probes under one first level. */
#define FILTER_SHAPES_MAX 64
/* Filters of odd shapes under one first level; they cost a trie walk per publish, so they are few. */
#define FILTER_TRIE_MAX 4096
/* And their levels together, where no two share one: few deep filters may cost as much as many short ones. */
#define FILTER_TRIE_NODES_MAX 32768
/* Different share names for one topic filter; each is a result of its own for every publish, and a step for each add and remove. */
#define FILTER_GROUPS_MAX 1024

/* What a filter takes beside its text, for budgets: its entry, its places in the tables, those that wait for their epoch. */
#define FILTER_BYTES 256u

struct filter_index;

struct filter_limits {
    uint64_t filters_max; /* in the process; 0: no limit */
};

struct filter_index *filter_index_init(unsigned shard_count, const struct filter_limits *limits, const uint8_t secret[32]);
void filter_index_fini(struct filter_index **index);

/* The epoch that the shards must drive (epoch_quiescent once a turn). */
struct epoch *filter_index_epoch(struct filter_index *index);

/*
 * Notes that `shard` wants `filter` (valid, without `$share/`), for share name `group` (empty: an ordinary subscription). Adding what this shard
 * has already is harmless. 0 with the id in `*id`; -ENOSPC: a limit (F4, filters_max); -ENOMEM.
 */
int filter_index_add(struct filter_index *index, unsigned shard, struct bytes filter, struct bytes group, uint32_t *id);
void filter_index_remove(struct filter_index *index, unsigned shard, uint32_t id);

/* The text of a filter this shard is interested in; borrowed while it is. */
struct bytes filter_index_filter(const struct filter_index *index, uint32_t id);
struct bytes filter_index_group(const struct filter_index *index, uint32_t id);

/* Ids are below this number (it grows): shards size their tables by it. */
uint32_t filter_index_id_limit(const struct filter_index *index);

struct filter_counts {
    uint64_t filters, wildcard_filters, shapes, trie_filters, retired_waiting;
    uint64_t refused; /* adds answered with -ENOSPC */
};
void filter_index_counts(const struct filter_index *index, struct filter_counts *out);

/* Asserts the invariants that can be seen; for tests, with no writer running. */
void filter_index_check(const struct filter_index *index);

/* What one match found, for one shard. */
struct match {
    uint64_t shards;        /* mask of all interested shards */
    uint32_t local_count;   /* ids whose mask holds the asking shard */
    const struct match_id {
        uint32_t id;
        bool shared;        /* belongs to a share name */
    } *local;
};

/* ------------------------------------------------------------------------------------------------------------- per shard */

/*
 * match_cache: one shard's remembered results, direct-mapped by topic hash, in front of the index. Not shared.
 */
struct match_cache;

struct match_counts {
    uint64_t memo_hits, cache_hits, computed, trie_nodes, stale;
};

/* `slot_count`: a power of two; 0: default 16384. */
struct match_cache *match_cache_init(struct filter_index *index, unsigned shard, uint32_t slot_count);
void match_cache_fini(struct match_cache **cache);

/*
 * What wants `topic` (valid name). Borrowed until the next match_cache_find() of this cache. `memo` is the caller's (a connection's) memory of
 * where its last topic was found: 0 at first; may be NULL. Never fails: out of memory aborts with a clear line (results are bounded by the number of filters).
 */
const struct match *match_cache_find(struct match_cache *cache, struct bytes topic, uint32_t *memo);
void match_cache_counts(const struct match_cache *cache, struct match_counts *out);

#endif
