#include "router/filter_table.h"
#include "router/epoch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define POINTER_MASK (((uint64_t)1 << FILTER_TABLE_TAG_SHIFT) - 1)
/* Slots that one change copies, while there is something to copy. Growth leaves time for two per change; more ends it sooner. */
#define COPY_SLOTS 64u
/* How far ahead copying asks for the keys of objects: they lie all over the memory. */
#define COPY_AHEAD 16u

static uint64_t
key_of(const void *object)
{
    uint64_t key;
    memcpy(&key, object, sizeof key);
    return key;
}

static uint64_t
slot_of(const void *object)
{
    uint64_t pointer = (uintptr_t)object;
    assert((pointer & ~POINTER_MASK) == 0);
    return pointer | (uint64_t)filter_table_tag(key_of(object)) << FILTER_TABLE_TAG_SHIFT;
}

static void *
object_in(uint64_t slot)
{
    return (void *)(uintptr_t)(slot & POINTER_MASK);
}

/* Huge pages for what is large: a read of cold memory then costs one miss, not several. */
void *
filter_pages_map(size_t size)
{
    size_t slack = size % FILTER_PAGES_HUGE_BYTES == 0 ? FILTER_PAGES_HUGE_BYTES : 0;
    uint8_t *map = mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        return NULL;
    }
    if (slack == 0) {
        return map;
    }
    size_t before = -(uintptr_t)map & (FILTER_PAGES_HUGE_BYTES - 1);
    if (before > 0) {
        munmap(map, before);
    }
    munmap(map + before + size, slack - before);
    /* Without huge pages it is only slower. */
    (void)madvise(map + before, size, MADV_HUGEPAGE);
    return map + before;
}

void
filter_pages_unmap(void *pages, size_t size)
{
    munmap(pages, size);
}

static struct filter_slots *
slots_make(uint64_t bucket_count)
{
    struct filter_slots *slots = malloc(sizeof *slots);
    if (slots == NULL) {
        return NULL;
    }
    size_t size = bucket_count * sizeof(struct filter_bucket);
    slots->mask = bucket_count - 1;
    slots->copied = 0;
    atomic_init(&slots->older, NULL);
    slots->mapped_size = size >= FILTER_PAGES_HUGE_BYTES ? size : 0;
    if (slots->mapped_size > 0) {
        slots->buckets = filter_pages_map(size);
    } else {
        slots->buckets = aligned_alloc(64, size);
        if (slots->buckets != NULL) {
            memset((void *)slots->buckets, 0, size);
        }
    }
    if (slots->buckets == NULL) {
        free(slots);
        return NULL;
    }
    return slots;
}

static void
slots_free(struct filter_slots *slots)
{
    if (slots->mapped_size > 0) {
        filter_pages_unmap(slots->buckets, slots->mapped_size);
    } else {
        free(slots->buckets);
    }
    free(slots);
}

static void
slots_release(struct epoch *epoch, void *slots)
{
    (void)epoch;
    slots_free(slots);
}

static uint64_t
load(struct filter_slots *slots, uint64_t slot)
{
    return atomic_load_explicit(&slots->buckets[slot / FILTER_TABLE_BUCKET_SLOTS].slots[slot % FILTER_TABLE_BUCKET_SLOTS],
                                memory_order_relaxed);
}

static struct filter_slots *
own_slots(const struct filter_table *table)
{
    return atomic_load_explicit(&table->slots, memory_order_relaxed);
}

static uint64_t
slot_count(const struct filter_slots *slots)
{
    return (slots->mask + 1) * FILTER_TABLE_BUCKET_SLOTS;
}

/* Puts `slot` in the first place that holds nothing; true if that place was left empty by a removal. */
static bool
slots_insert(struct filter_slots *slots, uint64_t key, uint64_t slot)
{
    for (uint64_t b = key & slots->mask;; b = (b + 1) & slots->mask) {
        for (uint32_t i = 0; i < FILTER_TABLE_BUCKET_SLOTS; i++) {
            _Atomic uint64_t *at = &slots->buckets[b].slots[i];
            uint64_t now = atomic_load_explicit(at, memory_order_relaxed);
            if (now >> FILTER_TABLE_TAG_SHIFT <= FILTER_TABLE_TAG_EMPTIED) {
                /* Release pairs with the acquire in filter_bucket_object(). */
                atomic_store_explicit(at, slot, memory_order_release);
                return now != 0;
            }
        }
    }
}

static bool
bucket_has_free(const struct filter_slots *slots, uint64_t bucket)
{
    uint32_t equal, free_slots;
    filter_bucket_scan(&slots->buckets[bucket], 0, &equal, &free_slots);
    return free_slots != 0;
}

/* Where `object` is, or NULL. */
static _Atomic uint64_t *
slots_find(struct filter_slots *slots, const void *object)
{
    uint64_t wanted = slot_of(object);
    for (uint64_t b = key_of(object) & slots->mask;; b = (b + 1) & slots->mask) {
        for (uint32_t i = 0; i < FILTER_TABLE_BUCKET_SLOTS; i++) {
            _Atomic uint64_t *at = &slots->buckets[b].slots[i];
            if (atomic_load_explicit(at, memory_order_relaxed) == wanted) {
                return at;
            }
        }
        if (bucket_has_free(slots, b)) {
            return NULL;
        }
    }
}

static struct filter_slots *
own_older(struct filter_slots *slots)
{
    return atomic_load_explicit(&slots->older, memory_order_relaxed);
}

/* Copies `count` slots of what is older; after the last one it is not needed any more. */
static void
copy_some(struct filter_table *table, uint64_t count)
{
    struct filter_slots *slots = own_slots(table), *older = own_older(slots);
    if (older == NULL) {
        return;
    }
    uint64_t all = slot_count(older), end = all - slots->copied > count ? slots->copied + count : all;
    for (uint64_t i = slots->copied; i < end; i++) {
        if (i + COPY_AHEAD < end) {
            __builtin_prefetch(object_in(load(older, i + COPY_AHEAD)));
        }
        uint64_t slot = load(older, i);
        if (slot >> FILTER_TABLE_TAG_SHIFT > FILTER_TABLE_TAG_EMPTIED) {
            table->emptied -= slots_insert(slots, key_of(object_in(slot)), slot);
        }
    }
    slots->copied = end;
    if (end < all) {
        return;
    }
    /* Release pairs with filter_slots_probe(): who does not find the older slots finds all copies (T4). */
    atomic_store_explicit(&slots->older, NULL, memory_order_release);
    if (table->epoch != NULL) {
        epoch_retire(table->epoch, older, slots_release);
    } else {
        slots_free(older);
    }
}

/* New slots take the place of the present ones, which are copied from now on. */
static bool
successor_start(struct filter_table *table, uint64_t bucket_count)
{
    copy_some(table, UINT64_MAX); /* as a rule there is nothing left of the last time */
    struct filter_slots *slots = slots_make(bucket_count);
    if (slots == NULL) {
        return false;
    }
    atomic_store_explicit(&slots->older, own_slots(table), memory_order_relaxed);
    table->emptied = 0;
    /* Release pairs with filter_table_slots(). */
    atomic_store_explicit(&table->slots, slots, memory_order_release);
    copy_some(table, COPY_SLOTS);
    return true;
}

int
filter_table_init(struct filter_table *table, struct epoch *epoch, uint32_t full_eighths)
{
    struct filter_slots *slots = slots_make(1);
    if (slots == NULL) {
        return -ENOMEM;
    }
    atomic_init(&table->slots, slots);
    table->epoch = epoch;
    table->used = table->emptied = 0;
    table->full_eighths = full_eighths;
    return 0;
}

void
filter_table_fini(struct filter_table *table)
{
    struct filter_slots *slots = own_slots(table);
    if (own_older(slots) != NULL) {
        slots_free(own_older(slots));
    }
    slots_free(slots);
    atomic_store_explicit(&table->slots, NULL, memory_order_relaxed);
}

int
filter_table_reserve(struct filter_table *table)
{
    copy_some(table, COPY_SLOTS);
    uint64_t capacity = slot_count(own_slots(table));
    uint64_t filled = table->used + table->emptied + 1;
    if (filled * 8 <= capacity * table->full_eighths) {
        return 0;
    }
    /* Twice as large, unless it is mostly removals that fill it. */
    uint64_t larger = (table->used + 1) * 16 > capacity * table->full_eighths ? 2 : 1;
    if (successor_start(table, capacity / FILTER_TABLE_BUCKET_SLOTS * larger)) {
        return 0;
    }
    /* T3, if more slowly than we like. */
    return filled * 8 <= capacity * 7 && filled < capacity ? 0 : -ENOMEM;
}

void
filter_table_insert(struct filter_table *table, void *object)
{
    if (slots_insert(own_slots(table), key_of(object), slot_of(object))) {
        table->emptied--;
    }
    table->used++;
}

/* Takes `object` out of these slots, if it is there. True if it was; `*emptied` if its place cannot be free again (T2). */
static bool
slots_remove(struct filter_slots *slots, const void *object, bool *emptied)
{
    _Atomic uint64_t *at = slots_find(slots, object);
    if (at == NULL) {
        return false;
    }
    uint64_t bucket = (uint64_t)(at - slots->buckets[0].slots) / FILTER_TABLE_BUCKET_SLOTS;
    *emptied = !bucket_has_free(slots, bucket);
    uint64_t left = *emptied ? (uint64_t)FILTER_TABLE_TAG_EMPTIED << FILTER_TABLE_TAG_SHIFT : 0;
    atomic_store_explicit(at, left, memory_order_release);
    return true;
}

void
filter_table_remove(struct filter_table *table, const void *object)
{
    struct filter_slots *slots = own_slots(table), *older = own_older(slots);
    bool emptied = false, ignored;
    bool here = slots_remove(slots, object, &emptied);
    bool there = older != NULL && slots_remove(older, object, &ignored);
    assert(here || there); /* T4 */
    table->emptied += emptied;
    table->used--;

    copy_some(table, COPY_SLOTS);
    if (slots->mask > 0 && own_older(slots) == NULL && table->used * 16 < slot_count(slots)) {
        /* Without memory it stays large, which harms nobody. */
        (void)successor_start(table, slots->mask >= 3 ? (slots->mask + 1) / 4 : 1);
    }
}

static bool
slots_replace(struct filter_slots *slots, const void *old, const void *object)
{
    _Atomic uint64_t *at = slots_find(slots, old);
    if (at != NULL) {
        atomic_store_explicit(at, slot_of(object), memory_order_release);
    }
    return at != NULL;
}

void
filter_table_replace(struct filter_table *table, const void *old, void *object)
{
    assert(key_of(old) == key_of(object));

    struct filter_slots *slots = own_slots(table), *older = own_older(slots);
    bool here = slots_replace(slots, old, object);
    bool there = older != NULL && slots_replace(older, old, object);
    assert(here || there); /* T4 */
}

uint64_t
filter_table_slot_count(const struct filter_table *table)
{
    struct filter_slots *slots = own_slots(table), *older = own_older(slots);
    return slot_count(slots) + (older != NULL ? slot_count(older) - slots->copied : 0);
}

/* The newest slots, then what is not copied yet. */
void *
filter_table_at(const struct filter_table *table, uint64_t slot)
{
    struct filter_slots *slots = own_slots(table);
    uint64_t here = slot_count(slots);
    return object_in(slot < here ? load(slots, slot) : load(own_older(slots), slots->copied + slot - here));
}

/* T1 and T2 of one generation of slots; returns its objects from slot `first` on. */
static uint64_t
check_slots(const struct filter_table *table, struct filter_slots *slots, uint64_t first, uint64_t *emptied)
{
    uint64_t objects = 0;
    for (uint64_t i = 0; i < slot_count(slots); i++) {
        uint64_t slot = load(slots, i);
        void *object = object_in(slot), *found;
        *emptied += slot >> FILTER_TABLE_TAG_SHIFT == FILTER_TABLE_TAG_EMPTIED;
        if (slot >> FILTER_TABLE_TAG_SHIFT <= FILTER_TABLE_TAG_EMPTIED) {
            assert(object == NULL);
            continue;
        }
        objects += i >= first;
        assert(slot == slot_of(object)); /* T1 */
        assert(slots_find(slots, object) != NULL); /* T2 */
        struct filter_probe probe = filter_slots_probe(own_slots(table), key_of(object));
        do {
            found = filter_probe_next(&probe);
            assert(found != NULL); /* T4 */
        } while (found != object);
    }
    return objects;
}

void
filter_table_check(const struct filter_table *table)
{
    struct filter_slots *slots = own_slots(table), *older = own_older(slots);
    uint64_t emptied = 0, ignored = 0;
    uint64_t here = check_slots(table, slots, 0, &emptied);
    uint64_t there = older != NULL ? check_slots(table, older, slots->copied, &ignored) : 0;
    assert(here + there == table->used && emptied == table->emptied);
    assert(table->used + emptied < slot_count(slots)); /* T3 */
}
