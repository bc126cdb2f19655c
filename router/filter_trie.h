/*
 * filter_trie: the filters of one first level that tuple space cannot take, as a trie by level. Internal to the router.
 *
 *   root ── "a" ──┬── "+" ── "c" ■          ■ holds the filters that end here; '#' belongs to the node above it
 *                 └── "b" ── "c" ── "+" ■
 *
 * Children are found in one table keyed by the path's hash; the child for '+' is also pointed at by its parent. Each node remembers at which distances
 * below it filters end, so that a topic of another depth does not walk in vain.
 *
 * Invariants
 *   P1  a node other than the root has a child or holds a filter.
 *   P2  at most FILTER_TRIE_MAX filters, FILTER_TRIE_NODES_MAX nodes.
 *   P3  a node's `depths` covers all filters below it (and may cover some that are gone).
 *
 * Threads  filter_trie_match: any shard online in the epoch. Everything else: the writer.
 * Memory   borrows the filters. Nodes are retired by epoch.
 */
#ifndef TIDEWIRE_ROUTER_FILTER_TRIE_H
#define TIDEWIRE_ROUTER_FILTER_TRIE_H

#include "router/filter_entry.h"
#include "router/levels.h"

struct filter_trie;

/* `key`: secret of the path hashes. NULL when out of memory. */
struct filter_trie *filter_trie_open(struct epoch *epoch, uint64_t key);
void filter_trie_close(struct filter_trie *trie);

/* The head of the list for a filter text, or NULL. `levels` are the filter's. */
struct filter *filter_trie_get(const struct filter_trie *trie, struct bytes filter, const struct levels *levels);
/* A text that is not there yet: 0, -ENOSPC (P2) or -ENOMEM. */
int filter_trie_add(struct filter_trie *trie, struct filter *head, const struct levels *levels);
/* Puts `head` in place of what is there for this text. */
void filter_trie_replace(struct filter_trie *trie, struct bytes filter, const struct levels *levels, struct filter *head);
void filter_trie_remove(struct filter_trie *trie, struct bytes filter, const struct levels *levels);

/* Texts it holds. */
uint32_t filter_trie_count(const struct filter_trie *trie);

void filter_trie_match(const struct filter_trie *trie, struct bytes topic, const struct levels *levels, struct filter_found *found);

/* Asserts the invariants; calls `visit` for each head. */
void filter_trie_check(const struct filter_trie *trie, void (*visit)(void *context, const struct filter *head), void *context);

#endif
