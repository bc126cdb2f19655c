#include "router/retained.h"
#include "router/filter_table.h"
#include "router/levels.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/*
 *   root ─► child ⇄ child ⇄ child          children of a node in a list, each also in one table for all nodes, keyed by the path's hash
 *             │
 *             └─► child ⇄ child
 *
 * The path's hash is that of the whole topic too, so one probe finds a topic's node without walking down to it.
 * A walk stands on one node, which it pins; the nodes above it exist because they have children (N1). So the position needs no stack, and a node that
 * is emptied meanwhile stays in its list until the walk has gone on.
 */

struct node {
    uint64_t key; /* first: filter_table.h T1 */
    struct node *parent;
    struct node *child;           /* the first one */
    struct node *next, *previous; /* in the parent's list */
    struct message *message;
    uint32_t pins;
    uint16_t size;
    uint8_t level[];
};

struct retained {
    struct filter_table nodes; /* all but the root */
    struct budget_account *account;
    struct retained_limits limits;
    uint64_t count, bytes;
    struct levels_key level_key;
    uint64_t path_key;
    struct node *sweep_at; /* pinned; or the root: start anew */
    uint32_t walk_count;
    struct node root; /* last: its level is empty, and clang wants it so */
};

struct pattern_level {
    uint64_t hash;
    uint16_t start, size;
    bool plus;
};

struct retained_walk {
    struct retained *store;
    struct node *at;
    uint32_t depth; /* of `at`: the root has 0 */
    uint32_t level_count;
    bool open;  /* '#' follows the levels */
    bool over;
    bool all;   /* nothing is hidden */
    const uint8_t *text;
    struct pattern_level levels[];
};

/* -------------------------------------------------------------------------------------------------------------------- tree */

static uint64_t
child_key(const struct retained *store, const struct node *parent, uint64_t level_hash)
{
    unsigned __int128 product = (unsigned __int128)(parent->key ^ level_hash) * store->path_key;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static struct bytes
level_of(struct bytes text, const struct levels *levels, uint32_t i)
{
    return bytes_of(text.data + levels->start[i], levels->size[i]);
}

static struct node *
child_get(const struct retained *store, const struct node *parent, struct bytes level, uint64_t level_hash)
{
    uint64_t key = child_key(store, parent, level_hash);
    struct filter_probe probe = filter_slots_probe(filter_table_slots(&store->nodes), key);
    for (struct node *node; (node = filter_probe_next(&probe)) != NULL;) {
        if (node->parent == parent && bytes_equal(bytes_of(node->level, node->size), level)) {
            return node;
        }
    }
    return NULL;
}

/* The node of a whole topic, or NULL. A node's texts are compared upwards, from the topic's end. */
static bool
is_path_to(const struct retained *store, const struct node *node, struct bytes topic, const struct levels *levels)
{
    for (uint32_t i = levels->count; i-- > 0; node = node->parent) {
        if (node == &store->root || !bytes_equal(bytes_of(node->level, node->size), level_of(topic, levels, i))) {
            return false;
        }
    }
    return node == &store->root;
}

static struct node *
node_get(const struct retained *store, struct bytes topic, const struct levels *levels)
{
    struct node path = {.key = store->root.key};
    for (uint32_t i = 0; i < levels->count; i++) {
        path.key = child_key(store, &path, levels_hash_of(levels, i));
    }
    struct filter_probe probe = filter_slots_probe(filter_table_slots(&store->nodes), path.key);
    for (struct node *node; (node = filter_probe_next(&probe)) != NULL;) {
        if (node->key == path.key && is_path_to(store, node, topic, levels)) {
            return node;
        }
    }
    return NULL;
}

static struct node *
child_add(struct retained *store, struct node *parent, struct bytes level, uint64_t level_hash)
{
    if (filter_table_reserve(&store->nodes) != 0) {
        return NULL;
    }
    struct node *node = malloc(sizeof *node + level.size);
    if (node == NULL) {
        return NULL;
    }
    *node = (struct node){.key = child_key(store, parent, level_hash), .parent = parent, .next = parent->child, .size = (uint16_t)level.size};
    if (level.size > 0) {
        memcpy(node->level, level.data, level.size);
    }
    /* In front: walks that stand in this list are already past it. */
    if (parent->child != NULL) {
        parent->child->previous = node;
    }
    parent->child = node;
    filter_table_insert(&store->nodes, node);
    budget_charge(store->account, sizeof *node + level.size);
    return node;
}

/* Removes `node`, and what is above it, as far as nothing keeps it (N1). */
static void
prune(struct retained *store, struct node *node)
{
    while (node != &store->root && node->message == NULL && node->child == NULL && node->pins == 0) {
        struct node *parent = node->parent;
        if (node->previous != NULL) {
            node->previous->next = node->next;
        } else {
            parent->child = node->next;
        }
        if (node->next != NULL) {
            node->next->previous = node->previous;
        }
        filter_table_remove(&store->nodes, node);
        budget_refund(store->account, sizeof *node + node->size);
        free(node);
        node = parent;
    }
}

/* The node of a topic that has none, with those above it; NULL when out of memory. */
static struct node *
node_make(struct retained *store, struct bytes topic, const struct levels *levels)
{
    struct node *node = &store->root;
    for (uint32_t i = 0; i < levels->count; i++) {
        struct bytes level = level_of(topic, levels, i);
        struct node *child = child_get(store, node, level, levels_hash_of(levels, i));
        if (child == NULL) {
            child = child_add(store, node, level, levels_hash_of(levels, i));
        }
        if (child == NULL) {
            prune(store, node);
            return NULL;
        }
        node = child;
    }
    return node;
}

/* Lets go of the node's message; the node stays. */
static void
message_drop(struct retained *store, struct node *node)
{
    struct message *returned;
    uint16_t returned_shard;
    store->count--;
    store->bytes -= message_cost(node->message);
    bool borrowed = message_unref(store->account, &node->message, &returned, &returned_shard);
    assert(!borrowed);
    node->message = NULL;
}

/* ------------------------------------------------------------------------------------------------------------------- store */

struct retained *
retained_init(struct budget_account *account, const struct retained_limits *limits, const uint8_t secret[32])
{
    assert(account != NULL);

    struct retained *store = calloc(1, sizeof *store);
    if (store == NULL || filter_table_init(&store->nodes, NULL, FILTER_TABLE_DENSE) != 0) {
        free(store);
        return NULL;
    }
    levels_init();
    store->account = account;
    store->limits = limits != NULL ? *limits : (struct retained_limits){0};
    store->sweep_at = &store->root;
    uint64_t level_secret;
    memcpy(&level_secret, secret, sizeof level_secret);
    store->level_key = levels_key_from(level_secret);
    memcpy(&store->path_key, secret + 8, 8);
    memcpy(&store->root.key, secret + 16, 8);
    store->path_key |= 1;
    return store;
}

void
retained_fini(struct retained **storep)
{
    struct retained *store = *storep;
    if (store == NULL) {
        return;
    }
    *storep = NULL;
    assert(store->walk_count == 0);

    for (uint64_t i = 0; i < filter_table_slot_count(&store->nodes); i++) {
        struct node *node = filter_table_at(&store->nodes, i);
        if (node != NULL && node->message != NULL) {
            message_drop(store, node);
        }
    }
    for (uint64_t i = 0; i < filter_table_slot_count(&store->nodes); i++) {
        struct node *node = filter_table_at(&store->nodes, i);
        if (node != NULL) {
            budget_refund(store->account, sizeof *node + node->size);
            free(node);
        }
    }
    assert(store->count == 0 && store->bytes == 0);
    filter_table_fini(&store->nodes);
    free(store);
}

void
retained_set_limits(struct retained *store, const struct retained_limits *limits)
{
    store->limits = *limits;
}

/* N2. Where a limit was lowered below what is there, a topic may still get a message that is not larger. */
static bool
fits_limits(const struct retained *store, const struct message *old, const struct message *new)
{
    const struct retained_limits *limits = &store->limits;
    uint64_t before = old != NULL ? message_cost(old) : 0, after = message_cost(new);
    bool count_fits = limits->count_max == 0 || old != NULL || store->count < limits->count_max;
    bool bytes_fit = limits->bytes_max == 0 || store->bytes - before + after <= limits->bytes_max || after <= before;
    return count_fits && bytes_fit;
}

int
retained_set(struct retained *store, struct message **messagep)
{
    struct message *message = *messagep;
    assert(message != NULL && message->lender == NULL);

    struct bytes topic = message_topic(message);
    struct levels levels;
    levels_split(topic, &store->level_key, &levels);
    if (levels.count == 0) {
        return -ENOSPC;
    }
    struct node *node = node_get(store, topic, &levels);
    if (!fits_limits(store, node != NULL ? node->message : NULL, message)) {
        return -ENOSPC;
    }
    if (node == NULL) {
        node = node_make(store, topic, &levels);
    }
    if (node == NULL) {
        return -ENOMEM;
    }

    if (node->message != NULL) {
        message_drop(store, node);
    }
    node->message = message;
    store->count++;
    store->bytes += message_cost(message);
    *messagep = NULL;
    return 0;
}

static struct node *
topic_node(struct retained *store, struct bytes topic)
{
    struct levels levels;
    levels_split(topic, &store->level_key, &levels);
    return levels.count == 0 ? NULL : node_get(store, topic, &levels);
}

bool
retained_remove(struct retained *store, struct bytes topic)
{
    struct node *node = topic_node(store, topic);
    if (node == NULL || node->message == NULL) {
        return false;
    }
    message_drop(store, node);
    prune(store, node);
    return true;
}

struct message *
retained_get(struct retained *store, struct bytes topic)
{
    struct node *node = topic_node(store, topic);
    return node != NULL ? node->message : NULL;
}

uint64_t
retained_count(const struct retained *store)
{
    return store->count;
}

uint64_t
retained_bytes(const struct retained *store)
{
    return store->bytes;
}

/* ------------------------------------------------------------------------------------------------------------------- walks */

static bool
has_expired(const struct message *message, uint64_t now_ms)
{
    return message->expiry_ms != 0 && message->expiry_ms <= now_ms;
}

struct retained_walk *
retained_walk_begin(struct retained *store, struct bytes filter)
{
    struct levels levels;
    levels_split(filter, &store->level_key, &levels);
    struct retained_walk *walk = malloc(sizeof *walk + levels.count * sizeof walk->levels[0] + filter.size);
    if (walk == NULL) {
        return NULL;
    }
    *walk = (struct retained_walk){.store = store, .at = &store->root, .over = levels.count == 0, .level_count = levels.count};
    uint8_t *text = (uint8_t *)(walk->levels + levels.count);
    memcpy(text, filter.data, filter.size);
    walk->text = text;
    for (uint32_t i = 0; i < levels.count; i++) {
        struct bytes level = level_of(filter, &levels, i);
        bool single = level.size == 1;
        walk->levels[i] = (struct pattern_level){levels_hash_of(&levels, i), levels.start[i], levels.size[i], single && level.data[0] == '+'};
        walk->open = single && level.data[0] == '#';
    }
    walk->level_count -= walk->open;
    store->root.pins++;
    store->walk_count++;
    return walk;
}

struct retained_walk *
retained_walk_begin_all(struct retained *store)
{
    struct retained_walk *walk = retained_walk_begin(store, bytes_of("#", 1));
    if (walk != NULL) {
        walk->all = true;
    }
    return walk;
}

/* Whether any text may stand at this level of the pattern. */
static bool
takes_any(const struct retained_walk *walk, uint32_t level)
{
    return level < walk->level_count ? walk->levels[level].plus : walk->open;
}

static struct node *
child_for(const struct retained_walk *walk)
{
    if (takes_any(walk, walk->depth)) {
        return walk->at->child;
    }
    if (walk->depth >= walk->level_count) {
        return NULL;
    }
    const struct pattern_level *level = &walk->levels[walk->depth];
    return child_get(walk->store, walk->at, bytes_of(walk->text + level->start, level->size), level->hash);
}

/* The next node of the pattern in depth-first order, with its depth, from the node walked on; NULL: there is none. */
static struct node *
following(const struct retained_walk *walk, bool into, uint32_t *depth)
{
    struct node *child = into ? child_for(walk) : NULL;
    if (child != NULL) {
        *depth = walk->depth + 1;
        return child;
    }
    const struct node *node = walk->at;
    for (uint32_t d = walk->depth; d > 0; d--, node = node->parent) {
        if (takes_any(walk, d - 1) && node->next != NULL) {
            *depth = d;
            return node->next;
        }
    }
    return NULL;
}

static void
stand_on(struct retained_walk *walk, struct node *node, uint32_t depth)
{
    struct node *left = walk->at;
    node->pins++;
    walk->at = node;
    walk->depth = depth;
    left->pins--;
    prune(walk->store, left);
}

/* N3: MQTT5 [MQTT-4.7.2-1], MQTT3 [MQTT-4.7.2-1]. */
static bool
is_hidden(const struct retained_walk *walk)
{
    return walk->depth == 1 && !walk->all && takes_any(walk, 0) && walk->at->size > 0 && walk->at->level[0] == '$';
}

/* Whether the pattern ends here: 'a/#' takes 'a' too (MQTT5 4.7.1.2). */
static bool
is_wanted(const struct retained_walk *walk, uint64_t now_ms)
{
    bool ends = walk->depth == walk->level_count || (walk->open && walk->depth > walk->level_count);
    return ends && walk->at->message != NULL && !has_expired(walk->at->message, now_ms);
}

struct message *
retained_walk_next(struct retained_walk *walk, uint64_t now_ms, uint32_t *budget)
{
    while (!walk->over && *budget > 0) {
        uint32_t depth = 0;
        struct node *node = following(walk, !is_hidden(walk), &depth);
        if (node == NULL) {
            walk->over = true;
            stand_on(walk, &walk->store->root, 0);
            break;
        }
        stand_on(walk, node, depth);
        (*budget)--;
        if (!is_hidden(walk) && is_wanted(walk, now_ms)) {
            return walk->at->message;
        }
    }
    return NULL;
}

void
retained_walk_end(struct retained_walk **walkp)
{
    struct retained_walk *walk = *walkp;
    if (walk == NULL) {
        return;
    }
    *walkp = NULL;
    stand_on(walk, &walk->store->root, 0);
    walk->store->root.pins--;
    walk->store->walk_count--;
    free(walk);
}

uint32_t
retained_sweep(struct retained *store, uint64_t now_ms, uint32_t budget)
{
    /* A walk that takes everything; the depth only has to be above zero below the root. */
    uint32_t depth = 0, dropped = 0;
    for (struct node *n = store->sweep_at; n != &store->root; n = n->parent) {
        depth++;
    }
    struct retained_walk walk = {.store = store, .at = store->sweep_at, .depth = depth, .open = true};
    walk.at->pins += walk.at == &store->root;

    for (; budget > 0; budget--) {
        struct node *node = following(&walk, true, &depth);
        if (node == NULL) {
            stand_on(&walk, &store->root, 0);
            break;
        }
        stand_on(&walk, node, depth);
        if (node->message != NULL && has_expired(node->message, now_ms)) {
            message_drop(store, node);
            dropped++;
        }
    }
    store->sweep_at = walk.at;
    walk.at->pins -= walk.at == &store->root;
    return dropped;
}

/* ------------------------------------------------------------------------------------------------------------------- check */

/* The hash of a node's level, at its place in the topic. */
static uint64_t
level_hash(const struct retained *store, const struct node *node)
{
    struct levels levels;
    uint32_t place = 0;
    for (const struct node *above = node->parent; above != &store->root; above = above->parent) {
        place++;
    }
    levels.start[place] = 0;
    levels.size[place] = node->size;
    levels.sums[place] = 0;
    levels_hash(bytes_of(node->level, node->size), &store->level_key, place, place + 1, &levels);
    return levels.sums[place + 1];
}

static void
check_node(const struct retained *store, const struct node *node)
{
    assert(node->message != NULL || node->child != NULL || node->pins > 0); /* N1 */
    const struct node *previous = NULL;
    for (const struct node *child = node->child; child != NULL; previous = child, child = child->next) {
        assert(child->parent == node && child->previous == previous);
    }
    uint64_t hash = level_hash(store, node);
    assert(node->key == child_key(store, node->parent, hash));
    assert(child_get(store, node->parent, bytes_of(node->level, node->size), hash) == node);
}

void
retained_check(const struct retained *store)
{
    filter_table_check(&store->nodes);
    uint64_t count = 0, bytes = 0, pins = store->root.pins, linked = 0;
    for (const struct node *child = store->root.child; child != NULL; child = child->next) {
        linked++;
    }
    for (uint64_t i = 0; i < filter_table_slot_count(&store->nodes); i++) {
        const struct node *node = filter_table_at(&store->nodes, i);
        if (node == NULL) {
            continue;
        }
        check_node(store, node);
        count += node->message != NULL;
        bytes += node->message != NULL ? message_cost(node->message) : 0;
        pins += node->pins;
        for (const struct node *child = node->child; child != NULL; child = child->next) {
            linked++;
        }
    }
    assert(linked == store->nodes.used);
    assert(count == store->count && bytes == store->bytes); /* N2 */
    assert(pins == store->walk_count + (store->sweep_at != &store->root));
}
