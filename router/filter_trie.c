#include "router/filter_trie.h"
#include "router/filter_table.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define DEPTH_BITS 64u

struct node {
    uint64_t key; /* of the path from the root; first: filter_table.h T1 */
    struct node *parent;
    _Atomic(struct node *) plus;
    _Atomic(struct node *) literal;  /* one of the other children, if any is known: mostly it is the only one */
    _Atomic uint32_t literal_count;
    _Atomic(struct filter *) here; /* filters that end at this level */
    _Atomic(struct filter *) open; /* filters that go on with '#' */
    _Atomic uint64_t depths;       /* bit d: a filter ends d levels below; the last bit: that far or farther */
    uint32_t child_count;
    uint32_t size;
    uint8_t level[];
};

struct filter_trie {
    struct epoch *epoch;
    struct filter_table children;
    struct node *root;
    uint32_t filter_count, node_count;
};

static uint64_t
child_key(const struct node *parent, uint64_t level_hash)
{
    unsigned __int128 product = (unsigned __int128)(parent->key ^ level_hash) * 0x9e3779b97f4a7c15;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static struct bytes
level_of(struct bytes text, const struct levels *levels, uint32_t i)
{
    return bytes_of(text.data + levels->start[i], levels->size[i]);
}

static bool
level_is(struct bytes level, char c)
{
    return level.size == 1 && level.data[0] == (uint8_t)c;
}

/* Levels of a filter that are nodes: all but '#'. */
static uint32_t
node_levels(struct bytes filter, const struct levels *levels)
{
    return levels->count - level_is(level_of(filter, levels, levels->count - 1), '#');
}

static struct node *
child_get(const struct filter_trie *trie, const struct node *parent, struct bytes level, uint64_t level_hash)
{
    uint64_t key = child_key(parent, level_hash);
    struct filter_probe probe = filter_slots_probe(filter_table_slots(&trie->children), key);
    for (struct node *node; (node = filter_probe_next(&probe)) != NULL;) {
        if (node->parent == parent && bytes_equal(bytes_of(node->level, node->size), level)) {
            return node;
        }
    }
    return NULL;
}

/*
 * The same for a topic's level: the child at hand first. The table is asked only where there are others. If the child at hand was so before and after
 * the count was read as 1, it was the only one at that moment; a node that was taken out never comes back, nor does its address within the epoch.
 */
static struct node *
literal_get(const struct filter_trie *trie, const struct node *parent, struct bytes level, uint64_t level_hash)
{
    struct node *node = atomic_load_explicit(&parent->literal, memory_order_acquire);
    if (node != NULL && bytes_equal(bytes_of(node->level, node->size), level)) {
        return node;
    }
    /* Acquire pairs with the counting in child_add() and prune(). */
    uint32_t count = atomic_load_explicit(&parent->literal_count, memory_order_acquire);
    if (count == 0 || (count == 1 && node != NULL && atomic_load_explicit(&parent->literal, memory_order_relaxed) == node)) {
        return NULL;
    }
    return child_get(trie, parent, level, level_hash);
}

static struct node *
node_make(struct node *parent, uint64_t key, struct bytes level)
{
    struct node *node = calloc(1, sizeof *node + level.size);
    if (node == NULL) {
        return NULL;
    }
    node->key = key;
    node->parent = parent;
    node->size = level.size;
    if (level.size > 0) {
        memcpy(node->level, level.data, level.size);
    }
    return node;
}

static struct node *
child_add(struct filter_trie *trie, struct node *parent, struct bytes level, uint64_t level_hash)
{
    if (filter_table_reserve(&trie->children) != 0) {
        return NULL;
    }
    struct node *node = node_make(parent, child_key(parent, level_hash), level);
    if (node == NULL) {
        return NULL;
    }
    filter_table_insert(&trie->children, node);
    parent->child_count++;
    trie->node_count++;
    /* Release pairs with visit() and literal_get(). */
    if (level_is(level, '+')) {
        atomic_store_explicit(&parent->plus, node, memory_order_release);
    } else {
        /* Counted before it is shown, and hidden before it is counted out: literal_get() relies on it. */
        atomic_fetch_add_explicit(&parent->literal_count, 1, memory_order_release);
        if (atomic_load_explicit(&parent->literal, memory_order_relaxed) == NULL) {
            atomic_store_explicit(&parent->literal, node, memory_order_release);
        }
    }
    return node;
}

/* Takes `node` and what above it has become useless out of the trie (P1). */
static void
prune(struct filter_trie *trie, struct node *node)
{
    while (node != trie->root && node->child_count == 0 && atomic_load_explicit(&node->here, memory_order_relaxed) == NULL &&
           atomic_load_explicit(&node->open, memory_order_relaxed) == NULL) {
        struct node *parent = node->parent;
        filter_table_remove(&trie->children, node);
        if (atomic_load_explicit(&parent->plus, memory_order_relaxed) == node) {
            atomic_store_explicit(&parent->plus, NULL, memory_order_release);
        } else {
            if (atomic_load_explicit(&parent->literal, memory_order_relaxed) == node) {
                atomic_store_explicit(&parent->literal, NULL, memory_order_release);
            }
            atomic_fetch_sub_explicit(&parent->literal_count, 1, memory_order_release);
        }
        parent->child_count--;
        trie->node_count--;
        epoch_retire(trie->epoch, node, NULL);
        node = parent;
    }
}

struct filter_trie *
filter_trie_open(struct epoch *epoch, uint64_t key)
{
    struct filter_trie *trie = calloc(1, sizeof *trie);
    if (trie == NULL) {
        return NULL;
    }
    trie->epoch = epoch;
    trie->root = node_make(NULL, key, bytes_of(NULL, 0));
    if (trie->root == NULL || filter_table_init(&trie->children, epoch, FILTER_TABLE_DENSE) != 0) {
        free(trie->root);
        free(trie);
        return NULL;
    }
    return trie;
}

void
filter_trie_close(struct filter_trie *trie)
{
    for (uint64_t i = 0; i < filter_table_slot_count(&trie->children); i++) {
        free(filter_table_at(&trie->children, i));
    }
    filter_table_fini(&trie->children);
    free(trie->root);
    free(trie);
}

uint32_t
filter_trie_count(const struct filter_trie *trie)
{
    return trie->filter_count;
}

/* The node a filter ends at, or NULL. */
static struct node *
node_get(const struct filter_trie *trie, struct bytes filter, const struct levels *levels)
{
    struct node *node = trie->root;
    for (uint32_t i = 0; i < node_levels(filter, levels) && node != NULL; i++) {
        node = child_get(trie, node, level_of(filter, levels, i), levels_hash_of(levels, i));
    }
    return node;
}

static _Atomic(struct filter *) *
place_in(struct node *node, struct bytes filter, const struct levels *levels)
{
    return node_levels(filter, levels) < levels->count ? &node->open : &node->here;
}

struct filter *
filter_trie_get(const struct filter_trie *trie, struct bytes filter, const struct levels *levels)
{
    struct node *node = node_get(trie, filter, levels);
    return node != NULL ? atomic_load_explicit(place_in(node, filter, levels), memory_order_relaxed) : NULL;
}

/* P3, from the node that a filter ends at up to the root. */
static void
note_depths(struct node *node, bool open)
{
    for (uint32_t distance = 0; node != NULL; node = node->parent, distance++) {
        uint32_t bit = distance < DEPTH_BITS ? distance : DEPTH_BITS - 1;
        uint64_t depths = open ? UINT64_MAX << bit : (uint64_t)1 << bit;
        /* Relaxed: a match that starts after the add sees it by the same means as the rest. */
        atomic_fetch_or_explicit(&node->depths, depths, memory_order_relaxed);
    }
}

int
filter_trie_add(struct filter_trie *trie, struct filter *head, const struct levels *levels)
{
    struct bytes filter = filter_text(head);
    uint32_t depth = node_levels(filter, levels);
    if (trie->filter_count >= FILTER_TRIE_MAX) {
        return -ENOSPC;
    }

    struct node *node = trie->root;
    for (uint32_t i = 0; i < depth; i++) {
        struct node *child = child_get(trie, node, level_of(filter, levels, i), levels_hash_of(levels, i));
        bool full = child == NULL && trie->node_count >= FILTER_TRIE_NODES_MAX;
        if (child == NULL && !full) {
            child = child_add(trie, node, level_of(filter, levels, i), levels_hash_of(levels, i));
        }
        if (child == NULL) {
            prune(trie, node);
            return full ? -ENOSPC : -ENOMEM;
        }
        node = child;
    }

    note_depths(node, depth < levels->count);
    _Atomic(struct filter *) *place = place_in(node, filter, levels);
    assert(atomic_load_explicit(place, memory_order_relaxed) == NULL);
    /* Release pairs with visit(). */
    atomic_store_explicit(place, head, memory_order_release);
    trie->filter_count++;
    return 0;
}

void
filter_trie_replace(struct filter_trie *trie, struct bytes filter, const struct levels *levels, struct filter *head)
{
    struct node *node = node_get(trie, filter, levels);
    assert(node != NULL && head != NULL);
    atomic_store_explicit(place_in(node, filter, levels), head, memory_order_release);
}

void
filter_trie_remove(struct filter_trie *trie, struct bytes filter, const struct levels *levels)
{
    struct node *node = node_get(trie, filter, levels);
    assert(node != NULL);
    atomic_store_explicit(place_in(node, filter, levels), NULL, memory_order_release);
    trie->filter_count--;
    prune(trie, node);
}

struct walk {
    const struct filter_trie *trie;
    struct bytes topic;
    const struct levels *levels;
    struct filter_found *found;
};

/* `node` fits the topic's first `depth` levels. Recursion ends after TOPIC_LEVELS_MAX; FILTER_TRIE_NODES_MAX bounds the visits. */
static void
visit(const struct walk *walk, const struct node *node, uint32_t depth)
{
    uint32_t left = walk->levels->count - depth;
    walk->found->trie_nodes++;
    filter_found_add(walk->found, atomic_load_explicit(&node->open, memory_order_acquire));
    if (left == 0) {
        filter_found_add(walk->found, atomic_load_explicit(&node->here, memory_order_acquire));
        return;
    }
    uint64_t depths = atomic_load_explicit(&node->depths, memory_order_relaxed);
    if ((depths >> (left < DEPTH_BITS ? left : DEPTH_BITS - 1) & 1) == 0) {
        return;
    }

    const struct node *plus = atomic_load_explicit(&node->plus, memory_order_acquire);
    if (plus != NULL) {
        visit(walk, plus, depth + 1);
    }
    const struct node *child = literal_get(walk->trie, node, level_of(walk->topic, walk->levels, depth), levels_hash_of(walk->levels, depth));
    if (child != NULL) {
        visit(walk, child, depth + 1);
    }
}

void
filter_trie_match(const struct filter_trie *trie, struct bytes topic, const struct levels *levels, struct filter_found *found)
{
    struct walk walk = {trie, topic, levels, found};
    visit(&walk, trie->root, 0);
}

static uint32_t
check_node(const struct node *node, void (*visit_head)(void *, const struct filter *), void *context)
{
    const struct filter *heads[] = {atomic_load(&node->here), atomic_load(&node->open)};
    uint32_t count = 0;
    for (unsigned i = 0; i < 2; i++) {
        if (heads[i] != NULL) {
            count++;
            visit_head(context, heads[i]);
        }
    }
    return count;
}

void
filter_trie_check(const struct filter_trie *trie, void (*visit_head)(void *, const struct filter *), void *context)
{
    filter_table_check(&trie->children);
    uint32_t filters = check_node(trie->root, visit_head, context), nodes = 0, children = 0;
    for (uint64_t i = 0; i < filter_table_slot_count(&trie->children); i++) {
        const struct node *node = filter_table_at(&trie->children, i);
        if (node == NULL) {
            continue;
        }
        uint32_t held = check_node(node, visit_head, context);
        assert(held + node->child_count > 0); /* P1 */
        filters += held;
        children += node->child_count;
        nodes++;
        uint64_t below = atomic_load(&node->depths), above = atomic_load(&node->parent->depths);
        assert((below << 1 & ~above) == 0); /* P3 */
        bool is_plus = node->size == 1 && node->level[0] == '+';
        assert(is_plus == (atomic_load(&node->parent->plus) == node));
        assert(node->child_count == atomic_load(&node->literal_count) + (atomic_load(&node->plus) != NULL));
    }
    assert(filters == trie->filter_count && filters <= FILTER_TRIE_MAX);
    assert(nodes == trie->node_count && nodes <= FILTER_TRIE_NODES_MAX); /* P2 */
    assert(children + trie->root->child_count == nodes);
}
