#define XXH_INLINE_ALL
#include "router/filter_index.h"
#include "router/filter_arena.h"
#include "router/filter_entry.h"
#include "router/filter_match.h"
#include "router/filter_table.h"
#include "router/filter_trie.h"
#include "router/levels.h"
#include "router/same.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

/*
 *   exact     key = hash of the whole text                        ──► filter ──► other share names of the same text
 *   tuples    key = sum of the literal levels' hashes,
 *                   + a secret number of the shape                ──► filter ──► ...
 *   firsts    key = hash of the first level                       ──► struct first_level: its shapes, its trie
 *   root      the struct first_level of filters that start with '+' or '#'
 *
 * A shape is what a filter looks like without its texts: which levels are '+', how many levels, '#' at the end or not. So for a topic each shape gives
 * one key, and one probe says whether a filter of that shape matches. struct first_level is immutable for readers: a changed copy takes its place.
 */

#define SHAPE_LEVELS_MAX 64u
#define ID_CHUNKS 24u
#define ID_CHUNK_BASE 256u
#define NO_ID UINT32_MAX

struct shape {
    uint64_t plus; /* bit i: level i is '+' */
    uint64_t salt; /* secret, of everything else here */
    uint8_t depth; /* levels without '#' */
    bool open;     /* '#' follows */
    uint32_t filter_count; /* the writer's: texts of this shape under this first level */
};

struct first_level {
    uint64_t key; /* first: filter_table.h T1 */
    struct filter_trie *trie; /* or NULL */
    uint32_t shape_count;
    uint32_t levels_needed; /* of a topic, hashed: as many as the deepest shape has; all, if there is a trie */
    struct shape shapes[];
};

struct filter_index {
    _Alignas(64) _Atomic uint64_t generations[FILTER_GENERATIONS + 1];

    /* Read by every match, written by nobody. */
    _Alignas(64) uint8_t secret[FILTER_HASH_SECRET_BYTES];
    struct levels_key level_key;
    uint64_t mix_key, salt_key, trie_key;
    unsigned shard_count;

    struct filter_table exact, tuples, firsts;
    _Atomic(struct first_level *) root;

    /* Filters by id: chunk c holds ID_CHUNK_BASE << c of them and never moves. A slot holds a filter, or 2 * next free id + 1. */
    _Atomic(_Atomic uintptr_t *) id_chunks[ID_CHUNKS];
    _Atomic uint32_t id_limit;

    /* The writer's. */
    _Alignas(64) pthread_mutex_t mutex;
    uint32_t id_free; /* head of the list of free ids, or NO_ID */
    struct filter_limits limits;
    struct filter_counts counts;
    struct filter_arena arena; /* of filters */
    struct epoch epoch;
};

/* A filter as the writer looks at it. */
struct plan {
    struct bytes text, group;
    struct levels levels;
    uint64_t key;       /* exact hash or tuple key */
    uint64_t first_key;
    bool wildcard, root;
    bool shaped;        /* tuple space can take it */
    struct shape shape;
};

/* Where a filter text is, or would be. */
struct place {
    struct first_level *first; /* wildcards: what is published now, or NULL */
    struct shape *shape;       /* in `first`, or NULL */
    struct filter *head;       /* of the text's list, or NULL */
    bool in_trie;
};

static inline uint64_t
fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* -------------------------------------------------------------------------------------------------------------------- ids */

static _Atomic uintptr_t *
id_slot(const struct filter_index *index, uint32_t id)
{
    uint32_t q = id / ID_CHUNK_BASE + 1, c = 31 - (uint32_t)__builtin_clz(q);
    /* Acquire pairs with id_take(). */
    _Atomic uintptr_t *chunk = atomic_load_explicit(&index->id_chunks[c], memory_order_acquire);
    return &chunk[id - ID_CHUNK_BASE * ((1u << c) - 1)];
}

static bool
id_reserve(struct filter_index *index)
{
    uint32_t id = atomic_load_explicit(&index->id_limit, memory_order_relaxed);
    if (index->id_free != NO_ID) {
        return true;
    }
    uint32_t q = id / ID_CHUNK_BASE + 1, c = 31 - (uint32_t)__builtin_clz(q);
    if (c >= ID_CHUNKS - 1) {
        return false;
    }
    if (atomic_load_explicit(&index->id_chunks[c], memory_order_relaxed) != NULL) {
        return true;
    }
    _Atomic uintptr_t *chunk = calloc((size_t)ID_CHUNK_BASE << c, sizeof *chunk);
    atomic_store_explicit(&index->id_chunks[c], chunk, memory_order_release);
    return chunk != NULL;
}

/* After id_reserve(). */
static void
id_take(struct filter_index *index, struct filter *f)
{
    if (index->id_free != NO_ID) {
        f->id = index->id_free;
        index->id_free = (uint32_t)(atomic_load_explicit(id_slot(index, f->id), memory_order_relaxed) >> 1);
    } else {
        f->id = atomic_load_explicit(&index->id_limit, memory_order_relaxed);
    }
    /* Release pairs with filter_by_id(). */
    atomic_store_explicit(id_slot(index, f->id), (uintptr_t)f, memory_order_release);
    if (f->id == atomic_load_explicit(&index->id_limit, memory_order_relaxed)) {
        atomic_store_explicit(&index->id_limit, f->id + 1, memory_order_release);
    }
}

static void
filter_free(struct filter_index *index, struct filter *f)
{
    filter_arena_give(&index->arena, f, sizeof *f + f->size + f->group_size);
}

/* Under the mutex: nobody can see the filter any more, nor its id (F1). */
static void
filter_give(struct filter_index *index, struct filter *f)
{
    atomic_store_explicit(id_slot(index, f->id), (uintptr_t)index->id_free << 1 | 1, memory_order_relaxed);
    index->id_free = f->id;
    filter_free(index, f);
}

static void
filter_release(struct epoch *epoch, void *f)
{
    filter_give((struct filter_index *)((uint8_t *)epoch - offsetof(struct filter_index, epoch)), f);
}

static struct filter *
filter_by_id(const struct filter_index *index, uint32_t id)
{
    assert(id < atomic_load_explicit(&index->id_limit, memory_order_acquire));
    uintptr_t slot = atomic_load_explicit(id_slot(index, id), memory_order_acquire);
    assert((slot & 1) == 0);
    return (struct filter *)slot;
}

/* ----------------------------------------------------------------------------------------------------------------- set-up */

struct filter_index *
filter_index_init(unsigned shard_count, const struct filter_limits *limits, const uint8_t secret[32])
{
    struct filter_index *index = aligned_alloc(_Alignof(struct filter_index), sizeof *index);
    if (index == NULL) {
        return NULL;
    }
    memset((void *)index, 0, sizeof *index);
    levels_init();
    epoch_init(&index->epoch, shard_count);
    index->shard_count = shard_count;
    index->limits = limits != NULL ? *limits : (struct filter_limits){0};
    index->id_free = NO_ID;

    /* F3. */
    XXH3_generateSecret(index->secret, sizeof index->secret, secret, 32);
    index->level_key = levels_key_from(XXH3_64bits_withSeed(secret, 32, 1));
    index->mix_key = XXH3_64bits_withSeed(secret, 32, 2) | 1;
    index->salt_key = XXH3_64bits_withSeed(secret, 32, 3);
    index->trie_key = XXH3_64bits_withSeed(secret, 32, 4);

    struct filter_table *tables[] = {&index->exact, &index->tuples, &index->firsts};
    for (unsigned i = 0; i < 3; i++) {
        if (filter_table_init(tables[i], &index->epoch, tables[i] == &index->tuples ? FILTER_TABLE_SPARSE : FILTER_TABLE_DENSE) != 0) {
            while (i-- > 0) {
                filter_table_fini(tables[i]);
            }
            free(index);
            return NULL;
        }
    }
    int error = pthread_mutex_init(&index->mutex, NULL);
    assert(error == 0);
    return index;
}

static void
first_level_free(struct first_level *first)
{
    if (first != NULL && first->trie != NULL) {
        filter_trie_close(first->trie);
    }
    free(first);
}

void
filter_index_fini(struct filter_index **indexp)
{
    struct filter_index *index = *indexp;
    if (index == NULL) {
        return;
    }
    *indexp = NULL;

    epoch_fini(&index->epoch); /* before the ids it gives back */
    uint32_t id_limit = atomic_load(&index->id_limit);
    for (uint32_t id = 0; id < id_limit; id++) {
        uintptr_t slot = atomic_load_explicit(id_slot(index, id), memory_order_relaxed);
        if ((slot & 1) == 0) {
            filter_free(index, (struct filter *)slot);
        }
    }
    for (uint32_t c = 0; c < ID_CHUNKS; c++) {
        free((void *)atomic_load(&index->id_chunks[c]));
    }
    for (uint64_t i = 0; i < filter_table_slot_count(&index->firsts); i++) {
        first_level_free(filter_table_at(&index->firsts, i));
    }
    first_level_free(atomic_load(&index->root));
    filter_table_fini(&index->exact);
    filter_table_fini(&index->tuples);
    filter_table_fini(&index->firsts);
    filter_arena_fini(&index->arena);
    pthread_mutex_destroy(&index->mutex);
    free(index);
}

struct epoch *
filter_index_epoch(struct filter_index *index)
{
    return &index->epoch;
}

/* ---------------------------------------------------------------------------------------------- what a filter looks like */

static bool
level_is(const struct plan *plan, uint32_t i, char c)
{
    return plan->levels.size[i] == 1 && plan->text.data[plan->levels.start[i]] == (uint8_t)c;
}

static uint64_t
shape_salt(const struct filter_index *index, const struct shape *shape)
{
    return fold(shape->plus ^ index->salt_key, index->mix_key + 4 * shape->depth + 2 * (uint64_t)shape->open);
}

/* The sum of the literal levels' hashes, made a table key. Each is as random as a key must be, and so is their sum. */
static inline uint64_t
tuple_key(const struct shape *shape, uint64_t sum)
{
    return sum + shape->salt;
}

static void
plan_shape(const struct filter_index *index, struct plan *plan)
{
    bool open = level_is(plan, plan->levels.count - 1, '#');
    uint32_t depth = plan->levels.count - open;
    plan->shaped = depth <= SHAPE_LEVELS_MAX;
    if (!plan->shaped) {
        return;
    }
    plan->shape = (struct shape){.depth = (uint8_t)depth, .open = open};
    uint64_t sum = 0;
    for (uint32_t i = 0; i < depth; i++) {
        if (level_is(plan, i, '+')) {
            plan->shape.plus |= (uint64_t)1 << i;
        } else {
            sum += levels_hash_of(&plan->levels, i);
        }
    }
    plan->shape.salt = shape_salt(index, &plan->shape);
    plan->key = tuple_key(&plan->shape, sum);
}

/* False if the filter has more levels than anything here can hold. */
static bool
plan_make(const struct filter_index *index, struct bytes text, struct bytes group, struct plan *plan)
{
    plan->text = text;
    plan->group = group;
    levels_split(text, &index->level_key, &plan->levels);
    if (plan->levels.count == 0 || text.size > UINT16_MAX || group.size > UINT16_MAX) {
        return false;
    }
    plan->first_key = levels_hash_of(&plan->levels, 0);
    plan->root = level_is(plan, 0, '+') || level_is(plan, 0, '#');
    plan->wildcard = memchr(text.data, '+', text.size) != NULL || memchr(text.data, '#', text.size) != NULL;
    plan->shaped = false;
    if (plan->wildcard) {
        plan_shape(index, plan);
    } else {
        plan->key = XXH3_64bits_withSecret(text.data, text.size, index->secret, sizeof index->secret);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------- finding, to write */

static struct filter *
table_get(const struct filter_table *table, uint64_t key, struct bytes text)
{
    struct filter_probe probe = filter_slots_probe(filter_table_slots(table), key);
    for (struct filter *f; (f = filter_probe_next(&probe)) != NULL;) {
        if (f->key == key && bytes_equal(filter_text(f), text)) {
            return f;
        }
    }
    return NULL;
}

static inline struct first_level *
first_get(const struct filter_table *firsts, uint64_t key)
{
    /* Two first levels with one hash would share their shapes, which costs probes and is otherwise right: so texts are not compared. */
    struct filter_probe probe = filter_slots_probe(filter_table_slots(firsts), key);
    for (struct first_level *first; (first = filter_probe_next(&probe)) != NULL;) {
        if (first->key == key) {
            return first;
        }
    }
    return NULL;
}

static struct shape *
shape_get(struct first_level *first, const struct shape *like)
{
    for (uint32_t i = 0; i < first->shape_count; i++) {
        struct shape *shape = &first->shapes[i];
        if (shape->plus == like->plus && shape->depth == like->depth && shape->open == like->open) {
            return shape;
        }
    }
    return NULL;
}

/* A shape may have filters in the trie, from the time when there was no room for it, and others in the table. */
static struct place
place_find(const struct filter_index *index, const struct plan *plan)
{
    struct place place = {0};
    if (!plan->wildcard) {
        place.head = table_get(&index->exact, plan->key, plan->text);
        return place;
    }
    place.first = plan->root ? atomic_load_explicit(&index->root, memory_order_relaxed) : first_get(&index->firsts, plan->first_key);
    if (place.first == NULL) {
        return place;
    }
    if (plan->shaped) {
        place.shape = shape_get(place.first, &plan->shape);
        place.head = place.shape != NULL ? table_get(&index->tuples, plan->key, plan->text) : NULL;
    }
    if (place.head == NULL && place.first->trie != NULL) {
        place.head = filter_trie_get(place.first->trie, plan->text, &plan->levels);
        place.in_trie = place.head != NULL;
    }
    return place;
}

/* ----------------------------------------------------------------------------------------------------------------- adding */

static uint32_t
levels_needed(const struct first_level *first)
{
    uint32_t needed = first->trie != NULL ? TOPIC_LEVELS_MAX : 0;
    for (uint32_t i = 0; i < first->shape_count; i++) {
        needed = first->shapes[i].depth > needed ? first->shapes[i].depth : needed;
    }
    return needed;
}

/* Publishes `to` in place of `from`; either may be NULL. A reserve came first if `from` is. */
static void
first_publish(struct filter_index *index, bool root, struct first_level *from, struct first_level *to)
{
    if (to != NULL) {
        to->levels_needed = levels_needed(to);
    }
    if (root) {
        /* Release pairs with filter_index_match(). */
        atomic_store_explicit(&index->root, to, memory_order_release);
    } else if (from == NULL) {
        filter_table_insert(&index->firsts, to);
    } else if (to == NULL) {
        filter_table_remove(&index->firsts, from);
    } else {
        filter_table_replace(&index->firsts, from, to);
    }
    if (from != NULL) {
        epoch_retire(&index->epoch, from, NULL);
    }
}

/* A copy with room for `shape_count` shapes, of which those of `from` (or none) are filled in. */
static struct first_level *
first_copy(const struct first_level *from, uint64_t key, uint32_t shape_count)
{
    struct first_level *copy = malloc(sizeof *copy + shape_count * sizeof copy->shapes[0]);
    if (copy == NULL) {
        return NULL;
    }
    copy->key = key;
    copy->trie = from != NULL ? from->trie : NULL;
    copy->shape_count = shape_count;
    uint32_t kept = from == NULL ? 0 : from->shape_count < shape_count ? from->shape_count : shape_count;
    if (kept > 0) {
        memcpy(copy->shapes, from->shapes, kept * sizeof copy->shapes[0]);
    }
    return copy;
}

static int
add_to_tuples(struct filter_index *index, const struct plan *plan, struct place *place, struct filter *f)
{
    if (filter_table_reserve(&index->tuples) != 0) {
        return -ENOMEM;
    }
    if (place->shape == NULL) {
        uint32_t count = place->first != NULL ? place->first->shape_count : 0;
        if (place->first == NULL && !plan->root && filter_table_reserve(&index->firsts) != 0) {
            return -ENOMEM;
        }
        struct first_level *first = first_copy(place->first, plan->first_key, count + 1);
        if (first == NULL) {
            return -ENOMEM;
        }
        first->shapes[count] = plan->shape;
        first_publish(index, plan->root, place->first, first);
        place->first = first;
        place->shape = &first->shapes[count];
        index->counts.shapes++;
    }
    place->shape->filter_count++;
    filter_table_insert(&index->tuples, f);
    return 0;
}

static int
add_to_trie(struct filter_index *index, const struct plan *plan, struct place *place, struct filter *f)
{
    struct filter_trie *trie = place->first != NULL ? place->first->trie : NULL;
    struct first_level *first = NULL;
    if (trie == NULL) {
        trie = filter_trie_open(&index->epoch, index->trie_key);
        first = first_copy(place->first, plan->first_key, place->first != NULL ? place->first->shape_count : 0);
        bool room = plan->root || place->first != NULL || filter_table_reserve(&index->firsts) == 0;
        if (trie == NULL || first == NULL || !room) {
            free(first);
            if (trie != NULL) {
                filter_trie_close(trie);
            }
            return -ENOMEM;
        }
        first->trie = trie;
    }

    int error = filter_trie_add(trie, f, &plan->levels);
    if (first != NULL) {
        if (error != 0) {
            /* Its nodes wait in the epoch already, and nobody else has seen it. */
            filter_trie_close(trie);
            free(first);
            return error;
        }
        first_publish(index, plan->root, place->first, first);
    }
    return error;
}

/* Behind the head, so that the head stays where it is known. */
static int
add_to_list(struct filter *head, struct filter *f)
{
    uint32_t count = 1;
    for (const struct filter *at = head; at != NULL; at = atomic_load_explicit(&at->next, memory_order_relaxed)) {
        count++;
    }
    if (count > FILTER_GROUPS_MAX) {
        return -ENOSPC;
    }
    atomic_store_explicit(&f->next, atomic_load_explicit(&head->next, memory_order_relaxed), memory_order_relaxed);
    /* Release pairs with filter_found_add(). */
    atomic_store_explicit(&head->next, f, memory_order_release);
    return 0;
}

static int
place_add(struct filter_index *index, const struct plan *plan, struct place *place, struct filter *f)
{
    if (place->head != NULL) {
        return add_to_list(place->head, f);
    }
    if (!plan->wildcard) {
        int error = filter_table_reserve(&index->exact);
        if (error == 0) {
            filter_table_insert(&index->exact, f);
        }
        return error;
    }
    bool fits = place->shape != NULL || place->first == NULL || place->first->shape_count < FILTER_SHAPES_MAX;
    if (plan->shaped && fits) {
        return add_to_tuples(index, plan, place, f);
    }
    place->in_trie = true;
    return add_to_trie(index, plan, place, f);
}

static struct filter *
filter_make(struct filter_index *index, const struct plan *plan, uint64_t shards)
{
    struct filter *f = filter_arena_take(&index->arena, sizeof *f + plan->text.size + plan->group.size);
    if (f == NULL) {
        return NULL;
    }
    f->key = plan->wildcard && !plan->shaped ? 0 : plan->key;
    atomic_init(&f->shards, shards);
    atomic_init(&f->next, NULL);
    f->size = (uint16_t)plan->text.size;
    f->group_size = (uint16_t)plan->group.size;
    memcpy(f->text, plan->text.data, plan->text.size);
    if (plan->group.size > 0) {
        memcpy(f->text + plan->text.size, plan->group.data, plan->group.size);
    }
    return f;
}

static int
filter_create(struct filter_index *index, const struct plan *plan, struct place *place, uint64_t shards, struct filter **out)
{
    if (index->limits.filters_max != 0 && index->counts.filters >= index->limits.filters_max) {
        return -ENOSPC;
    }
    if (!id_reserve(index)) {
        return -ENOMEM;
    }
    struct filter *f = filter_make(index, plan, shards);
    if (f == NULL) {
        return -ENOMEM;
    }
    id_take(index, f); /* before anybody can find it */
    int error = place_add(index, plan, place, f);
    if (error != 0) {
        filter_give(index, f);
        return error;
    }
    index->counts.filters++;
    index->counts.wildcard_filters += plan->wildcard;
    index->counts.trie_filters += place->in_trie;
    *out = f;
    return 0;
}

/* After a change: who has read an older number must look again. Release pairs with filter_view_generation(). */
static void
generation_bump(struct filter_index *index, const struct plan *plan)
{
    uint64_t i = plan->root ? FILTER_GENERATIONS : plan->first_key % FILTER_GENERATIONS;
    atomic_fetch_add_explicit(&index->generations[i], 1, memory_order_release);
}

static struct filter *
group_get(struct filter *head, struct bytes group)
{
    struct filter *f = head;
    while (f != NULL && !bytes_equal(filter_group(f), group)) {
        f = atomic_load_explicit(&f->next, memory_order_relaxed);
    }
    return f;
}

static int
add_locked(struct filter_index *index, unsigned shard, const struct plan *plan, uint32_t *id)
{
    uint64_t bit = (uint64_t)1 << shard;
    struct place place = place_find(index, plan);
    struct filter *f = group_get(place.head, plan->group);
    if (f == NULL) {
        int error = filter_create(index, plan, &place, bit, &f);
        if (error != 0) {
            index->counts.refused += error == -ENOSPC;
            return error;
        }
        generation_bump(index, plan);
    } else if ((atomic_load_explicit(&f->shards, memory_order_relaxed) & bit) == 0) {
        atomic_fetch_or_explicit(&f->shards, bit, memory_order_relaxed);
        generation_bump(index, plan);
    }
    *id = f->id;
    return 0;
}

int
filter_index_add(struct filter_index *index, unsigned shard, struct bytes filter, struct bytes group, uint32_t *id)
{
    assert(shard < index->shard_count);

    struct plan plan;
    bool possible = plan_make(index, filter, group, &plan);
    pthread_mutex_lock(&index->mutex);
    int error = -ENOSPC;
    if (possible) {
        error = add_locked(index, shard, &plan, id);
    } else {
        index->counts.refused++;
    }
    epoch_reclaim(&index->epoch);
    pthread_mutex_unlock(&index->mutex);
    return error;
}

/* --------------------------------------------------------------------------------------------------------------- removing */

static void
remove_from_tuples(struct filter_index *index, const struct plan *plan, struct place *place, struct filter *f)
{
    filter_table_remove(&index->tuples, f);
    if (--place->shape->filter_count > 0) {
        return;
    }
    struct first_level *first = NULL;
    uint32_t count = place->first->shape_count;
    if (count > 1 || place->first->trie != NULL) {
        first = first_copy(place->first, plan->first_key, count - 1);
        if (first == NULL) {
            return; /* a shape without filters costs a probe and waits to be used again */
        }
        /* The last one moves into the gap. */
        uint32_t gap = (uint32_t)(place->shape - place->first->shapes);
        if (gap < count - 1) {
            first->shapes[gap] = place->first->shapes[count - 1];
        }
    }
    first_publish(index, plan->root, place->first, first);
    index->counts.shapes--;
}

static void
trie_release(struct epoch *epoch, void *trie)
{
    (void)epoch;
    filter_trie_close(trie);
}

static void
remove_from_trie(struct filter_index *index, const struct plan *plan, struct place *place)
{
    struct filter_trie *trie = place->first->trie;
    filter_trie_remove(trie, plan->text, &plan->levels);
    if (filter_trie_count(trie) > 0) {
        return;
    }
    struct first_level *first = NULL;
    if (place->first->shape_count > 0) {
        first = first_copy(place->first, plan->first_key, place->first->shape_count);
        if (first == NULL) {
            return; /* an empty trie stays */
        }
        first->trie = NULL;
    }
    first_publish(index, plan->root, place->first, first);
    epoch_retire(&index->epoch, trie, trie_release);
}

/* `next` takes the head's place. */
static void
replace_head(struct filter_index *index, const struct plan *plan, struct place *place, struct filter *head, struct filter *next)
{
    if (place->in_trie) {
        filter_trie_replace(place->first->trie, plan->text, &plan->levels, next);
    } else {
        filter_table_replace(plan->wildcard ? &index->tuples : &index->exact, head, next);
    }
}

/* Which one of a list points at `f`, not its head. */
static struct filter *
previous_of(struct filter *head, const struct filter *f)
{
    struct filter *previous = head;
    for (struct filter *at; (at = atomic_load_explicit(&previous->next, memory_order_relaxed)) != f; previous = at) {
        assert(at != NULL);
    }
    return previous;
}

static void
place_remove(struct filter_index *index, const struct plan *plan, struct place *place, struct filter *f)
{
    struct filter *next = atomic_load_explicit(&f->next, memory_order_relaxed);
    if (f != place->head) {
        /* Release, as every link that a reader may follow. */
        atomic_store_explicit(&previous_of(place->head, f)->next, next, memory_order_release);
    } else if (next != NULL) {
        replace_head(index, plan, place, f, next);
    } else if (place->in_trie) {
        remove_from_trie(index, plan, place);
    } else if (plan->wildcard) {
        remove_from_tuples(index, plan, place, f);
    } else {
        filter_table_remove(&index->exact, f);
    }
}

static void
remove_locked(struct filter_index *index, unsigned shard, struct filter *f)
{
    uint64_t bit = (uint64_t)1 << shard;
    struct plan plan;
    bool possible = plan_make(index, filter_text(f), filter_group(f), &plan);
    assert(possible);

    uint64_t shards = atomic_fetch_and_explicit(&f->shards, ~bit, memory_order_relaxed);
    assert((shards & bit) != 0);
    if (shards != bit) {
        generation_bump(index, &plan);
        return;
    }
    struct place place = place_find(index, &plan);
    place_remove(index, &plan, &place, f);
    generation_bump(index, &plan);

    index->counts.filters--;
    index->counts.wildcard_filters -= plan.wildcard;
    index->counts.trie_filters -= place.in_trie;
    epoch_retire(&index->epoch, f, filter_release);
}

void
filter_index_remove(struct filter_index *index, unsigned shard, uint32_t id)
{
    assert(shard < index->shard_count);

    pthread_mutex_lock(&index->mutex);
    remove_locked(index, shard, filter_by_id(index, id));
    epoch_reclaim(&index->epoch);
    pthread_mutex_unlock(&index->mutex);
}

/* --------------------------------------------------------------------------------------------------------------- matching */

/* A key to look for, and what must be true of a filter that has it. */
struct target {
    uint64_t key;
    const struct shape *shape; /* NULL: the text is the topic */
};

struct candidate {
    const struct filter *filter;
    const struct target *target;
};

#define TARGETS_MAX (1 + 2 * FILTER_SHAPES_MAX)

struct search {
    const struct filter_index *index;
    struct bytes topic;
    struct filter_found *found;
    const struct filter_slots *exact, *tuples;
    uint32_t target_count, candidate_count;
    struct target done; /* what a filter was found for last */
    struct levels levels;
    struct target targets[TARGETS_MAX];
    struct candidate candidates[TARGETS_MAX];
};

/* Notes the keys of all shapes that fit the topic's number of levels, and asks for their buckets. */
static inline void
targets_add(struct search *s, const struct first_level *first)
{
    const struct filter_slots *slots = s->tuples;
    const uint32_t count = s->levels.count;
    struct target *target = &s->targets[s->target_count];
    for (const struct shape *shape = first->shapes, *end = shape + first->shape_count; shape < end; shape++) {
        if (shape->depth != count && (shape->depth > count || !shape->open)) {
            continue;
        }
        uint64_t sum = s->levels.sums[shape->depth];
        for (uint64_t plus = shape->plus; plus != 0; plus &= plus - 1) {
            sum -= levels_hash_of(&s->levels, (uint32_t)__builtin_ctzll(plus));
        }
        target->key = tuple_key(shape, sum);
        target->shape = shape;
        filter_slots_prefetch(slots, target->key);
        target++;
    }
    s->target_count = (uint32_t)(target - s->targets);
}

/* Takes `size` bytes off the front of `text` if they are the ones at `data`. */
static inline bool
eat(struct bytes *text, const uint8_t *data, uint32_t size)
{
    if (text->size < size || !same_bytes(text->data, data, size)) {
        return false;
    }
    text->data += size;
    text->size -= size;
    return true;
}

static inline bool
eat_one(struct bytes *text, char c)
{
    if (text->size == 0 || text->data[0] != (uint8_t)c) {
        return false;
    }
    text->data++;
    text->size--;
    return true;
}

/* Whether `f` is the filter of this shape that the topic asks for: stretches of literal levels are compared as they stand. */
static inline bool
fits_shape(const struct search *s, const struct filter *f, const struct shape *shape)
{
    const struct levels *levels = &s->levels;
    struct bytes text = filter_text(f);
    uint32_t level = 0;
    for (uint64_t plus = shape->plus; plus != 0; plus &= plus - 1) {
        uint32_t at = (uint32_t)__builtin_ctzll(plus), start = levels->start[level];
        if (!eat(&text, s->topic.data + start, levels->start[at] - start) || !eat_one(&text, '+')) {
            return false;
        }
        level = at + 1;
        if (level < shape->depth && !eat_one(&text, '/')) {
            return false;
        }
    }
    if (level < shape->depth) {
        uint32_t start = levels->start[level], last = shape->depth - 1u;
        if (!eat(&text, s->topic.data + start, levels->start[last] + levels->size[last] - start)) {
            return false;
        }
    }
    if (!shape->open) {
        return text.size == 0;
    }
    /* Also where the topic ends here: 'a/#' matches 'a'. MQTT5 4.7.1.2. */
    return (shape->depth == 0 || eat_one(&text, '/')) && eat_one(&text, '#') && text.size == 0;
}

static inline bool
is_topic(const struct search *s, const struct filter *f)
{
    return f->size == s->topic.size && same_bytes(f->text, s->topic.data, s->topic.size);
}

static inline void
candidates_verify(struct search *s)
{
    /* The exact one, which came first and is the likeliest to come from cold memory, is looked at last. */
    for (uint32_t i = s->candidate_count; i-- > 0;) {
        const struct filter *f = s->candidates[i].filter;
        const struct target *target = s->candidates[i].target;
        if (f->key != target->key) {
            continue; /* only the tag was equal */
        }
        if (s->done.key == target->key && s->done.shape == target->shape) {
            continue; /* a target is one text; a table that is being copied has it twice */
        }
        if (target->shape != NULL ? fits_shape(s, f, target->shape) : is_topic(s, f)) {
            filter_found_add(s->found, f);
            s->done = *target;
        }
    }
    s->candidate_count = 0;
}

static inline void
candidate_add(struct search *s, const struct filter *f, const struct target *target)
{
    __builtin_prefetch(f);
    if (s->topic.size > FILTER_LINE_TEXT) {
        __builtin_prefetch((const uint8_t *)f + FILTER_ARENA_LINE); /* a guess: the filter may be shorter, or longer */
    }
    if (s->candidate_count == TARGETS_MAX) {
        candidates_verify(s);
    }
    s->candidates[s->candidate_count++] = (struct candidate){f, target};
}

/* Where a bucket has overflown, or the table is being copied. */
__attribute__((noinline)) static void
probe_on(struct search *s, const struct filter_slots *slots, const struct target *target)
{
    struct filter_probe p = filter_slots_probe(slots, target->key);
    for (const struct filter *f; (f = filter_probe_next(&p)) != NULL;) {
        candidate_add(s, f, target);
    }
}

/* Filters whose tag fits are asked for now and looked at after the last probe, so that cold memory is waited for once. */
static inline void
probe(struct search *s, const struct filter_slots *slots, const struct target *target)
{
    const struct filter_bucket *bucket = filter_slots_bucket(slots, target->key);
    uint32_t tag = filter_table_tag(target->key), equal, free_slots;
    bool complete = filter_slots_complete(slots); /* before looking */
    filter_bucket_scan(bucket, tag, &equal, &free_slots);
    if (__builtin_expect(!complete || free_slots == 0, 0)) {
        probe_on(s, slots, target);
        return;
    }
    for (; equal != 0; equal &= equal - 1) {
        const struct filter *f = filter_bucket_object(bucket, (uint32_t)__builtin_ctz(equal), tag);
        if (f != NULL) {
            candidate_add(s, f, target);
        }
    }
}

/* What the filters that start with a wildcard, and those of the topic's first level, ask of the topic. */
static void
targets_make(struct search *s, const struct first_level *root, const struct first_level *first)
{
    uint32_t of_root = root != NULL ? root->levels_needed : 0, of_first = first != NULL ? first->levels_needed : 0;
    uint32_t needed = of_root > of_first ? of_root : of_first;
    /* The first one is hashed already. */
    levels_hash(s->topic, &s->index->level_key, 1, needed < s->levels.count ? needed : s->levels.count, &s->levels);
    s->tuples = filter_table_slots(&s->index->tuples);
    if (root != NULL) {
        targets_add(s, root);
    }
    if (first != NULL) {
        targets_add(s, first);
    }
}

static void
search_all(struct search *s, uint64_t hash)
{
    const struct filter_index *index = s->index;
    const struct target exact = {hash, NULL};

    /* Acquire pairs with first_publish(). MQTT5 [MQTT-4.7.2-1]: filters that start with a wildcard never see '$' topics. */
    const struct first_level *root = s->topic.data[0] == '$' ? NULL : atomic_load_explicit(&index->root, memory_order_acquire);
    const struct first_level *first = first_get(&index->firsts, s->levels.sums[1]);
    if (root != NULL || first != NULL) {
        targets_make(s, root, first);
    }
    /* After all buckets have been asked for. */
    probe(s, s->exact, &exact);
    for (uint32_t i = 0; i < s->target_count; i++) {
        probe(s, s->tuples, &s->targets[i]);
    }
    candidates_verify(s);

    if (root != NULL && root->trie != NULL) {
        filter_trie_match(root->trie, s->topic, &s->levels, s->found);
    }
    if (first != NULL && first->trie != NULL) {
        filter_trie_match(first->trie, s->topic, &s->levels, s->found);
    }
}

void
filter_index_match(const struct filter_index *index, struct bytes topic, uint64_t hash, struct filter_found *found)
{
    struct search s; /* 6 kB, of which little is touched: not cleared */
    s.index = index;
    s.topic = topic;
    s.found = found;
    s.target_count = s.candidate_count = 0;
    s.done = (struct target){~hash, NULL};
    found->shards = found->count = 0;
    found->trie_nodes = 0;

    /* Only to have it fetched: what is probed is loaded after the generations. */
    filter_slots_prefetch(filter_table_slots(&index->exact), hash);
    levels_cut(topic, &s.levels);
    if (s.levels.count == 0) {
        found->first_level = 0;
        found->generation = 0;
        return; /* more levels than a valid topic can have */
    }
    s.levels.sums[0] = 0;
    levels_hash(topic, &index->level_key, 0, 1, &s.levels);

    struct filter_view view = filter_index_view(index);
    found->first_level = (uint32_t)(s.levels.sums[1] % FILTER_GENERATIONS);
    found->generation = filter_view_generation(&view, found->first_level);
    s.exact = filter_table_slots(&index->exact);
    search_all(&s, hash);
}

struct filter_view
filter_index_view(const struct filter_index *index)
{
    return (struct filter_view){index->secret, index->generations};
}

void
filter_found_grow(struct filter_found *found)
{
    uint32_t capacity = found->capacity > 0 ? 2 * found->capacity : 64;
    struct match_id *ids = capacity > found->capacity ? realloc(found->ids, capacity * sizeof *ids) : NULL;
    if (ids == NULL) {
        fprintf(stderr, "tidewire: out of memory for the result of a match (%u filters)\n", found->count);
        abort();
    }
    memset(ids + found->capacity, 0, (capacity - found->capacity) * sizeof *ids);
    found->ids = ids;
    found->capacity = capacity;
}

/* ---------------------------------------------------------------------------------------------------------------- looking */

struct bytes
filter_index_filter(const struct filter_index *index, uint32_t id)
{
    return filter_text(filter_by_id(index, id));
}

struct bytes
filter_index_group(const struct filter_index *index, uint32_t id)
{
    return filter_group(filter_by_id(index, id));
}

uint32_t
filter_index_id_limit(const struct filter_index *index)
{
    return atomic_load_explicit(&index->id_limit, memory_order_acquire);
}

void
filter_index_counts(const struct filter_index *index, struct filter_counts *out)
{
    /* The mutex is not part of what `const` promises. */
    pthread_mutex_t *mutex = (pthread_mutex_t *)&index->mutex;
    pthread_mutex_lock(mutex);
    *out = index->counts;
    out->retired_waiting = index->epoch.waiting_count;
    pthread_mutex_unlock(mutex);
}

/* What filter_index_check() counts while it goes over the structures. */
struct census {
    const struct filter_index *index;
    struct filter_counts counts;
};

/* A list of filters of one text: groups different, each known by its id (F1). */
static void
check_list(struct census *census, const struct filter *head, bool in_trie)
{
    uint32_t count = 0;
    for (const struct filter *f = head; f != NULL; f = atomic_load(&f->next)) {
        struct plan plan;
        bool possible = plan_make(census->index, filter_text(f), filter_group(f), &plan);
        assert(possible && ++count <= FILTER_GROUPS_MAX); /* F4 */
        assert(bytes_equal(filter_text(f), filter_text(head)));
        assert(atomic_load(&f->shards) != 0);
        assert(f->key == (plan.wildcard && !plan.shaped ? 0 : plan.key));
        assert(filter_by_id(census->index, f->id) == f);

        struct place place = place_find(census->index, &plan);
        assert(place.head == head && place.in_trie == in_trie);
        assert(group_get(place.head, filter_group(f)) == f);
        census->counts.filters++;
        census->counts.wildcard_filters += plan.wildcard;
        census->counts.trie_filters += in_trie;
    }
}

static void
check_trie_head(void *context, const struct filter *head)
{
    check_list(context, head, true);
}

static void
check_first(struct census *census, const struct first_level *first, uint64_t *texts)
{
    assert(first->shape_count <= FILTER_SHAPES_MAX); /* F4 */
    assert(first->levels_needed >= levels_needed(first));
    for (uint32_t i = 0; i < first->shape_count; i++) {
        assert(shape_get((struct first_level *)first, &first->shapes[i]) == &first->shapes[i]);
        assert(first->shapes[i].salt == shape_salt(census->index, &first->shapes[i]));
        *texts += first->shapes[i].filter_count;
    }
    census->counts.shapes += first->shape_count;
    if (first->trie != NULL) {
        filter_trie_check(first->trie, check_trie_head, census);
    }
}

void
filter_index_check(const struct filter_index *index)
{
    struct census census = {.index = index};
    const struct filter_table *tables[] = {&index->exact, &index->tuples};
    for (unsigned i = 0; i < 2; i++) {
        filter_table_check(tables[i]);
        for (uint64_t slot = 0; slot < filter_table_slot_count(tables[i]); slot++) {
            check_list(&census, filter_table_at(tables[i], slot), false);
        }
    }

    uint64_t texts = 0;
    filter_table_check(&index->firsts);
    for (uint64_t slot = 0; slot < filter_table_slot_count(&index->firsts); slot++) {
        const struct first_level *first = filter_table_at(&index->firsts, slot);
        if (first != NULL) {
            check_first(&census, first, &texts);
        }
    }
    const struct first_level *root = atomic_load(&index->root);
    if (root != NULL) {
        check_first(&census, root, &texts);
    }

    assert(texts == index->tuples.used);
    assert(census.counts.filters == index->counts.filters);
    assert(census.counts.wildcard_filters == index->counts.wildcard_filters);
    assert(census.counts.trie_filters == index->counts.trie_filters);
    assert(census.counts.shapes == index->counts.shapes);
}
