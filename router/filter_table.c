#include "router/filter_table.h"
#include "router/epoch.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define POINTER_MASK (((uint64_t)1 << FILTER_TABLE_TAG_SHIFT) - 1)
/* How far ahead a rebuild asks for the keys of objects: they lie all over the memory. */
#define REBUILD_AHEAD 32u

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
slots_release(void *memory)
{
    struct filter_slots *slots = memory;
    if (slots->mapped_size > 0) {
        filter_pages_unmap(slots->buckets, slots->mapped_size);
    } else {
        free(slots->buckets);
    }
    free(slots);
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
                /* Release pairs with filter_probe_next(). */
                atomic_store_explicit(at, slot, memory_order_release);
                return now != 0;
            }
        }
    }
}

/* Where `object` is. */
static _Atomic uint64_t *
slots_find(struct filter_slots *slots, const void *object)
{
    uint64_t key = key_of(object), wanted = slot_of(object);
    for (uint64_t b = key & slots->mask, seen = 0; seen <= slots->mask; b = (b + 1) & slots->mask, seen++) {
        for (uint32_t i = 0; i < FILTER_TABLE_BUCKET_SLOTS; i++) {
            _Atomic uint64_t *at = &slots->buckets[b].slots[i];
            if (atomic_load_explicit(at, memory_order_relaxed) == wanted) {
                return at;
            }
        }
    }
    return NULL;
}

/* Moves everything over; the keys of the objects ahead are fetched meanwhile. */
static void
slots_copy(struct filter_slots *from, struct filter_slots *to)
{
    uint64_t count = slot_count(from);
    for (uint64_t i = 0; i < count; i++) {
        if (i + REBUILD_AHEAD < count) {
            __builtin_prefetch(object_in(load(from, i + REBUILD_AHEAD)));
        }
        uint64_t slot = load(from, i);
        if (slot >> FILTER_TABLE_TAG_SHIFT > FILTER_TABLE_TAG_EMPTIED) {
            slots_insert(to, key_of(object_in(slot)), slot);
        }
    }
}

static bool
rebuild(struct filter_table *table, uint64_t bucket_count)
{
    struct filter_slots *old = own_slots(table), *slots = slots_make(bucket_count);
    if (slots == NULL) {
        return false;
    }
    slots_copy(old, slots);
    table->emptied = 0;
    /* Release pairs with filter_table_slots(). */
    atomic_store_explicit(&table->slots, slots, memory_order_release);
    if (table->epoch != NULL) {
        epoch_retire(table->epoch, old, slots_release);
    } else {
        slots_release(old);
    }
    return true;
}

int
filter_table_init(struct filter_table *table, struct epoch *epoch)
{
    struct filter_slots *slots = slots_make(1);
    if (slots == NULL) {
        return -ENOMEM;
    }
    atomic_init(&table->slots, slots);
    table->epoch = epoch;
    table->used = table->emptied = 0;
    return 0;
}

void
filter_table_fini(struct filter_table *table)
{
    slots_release(own_slots(table));
    atomic_store_explicit(&table->slots, NULL, memory_order_relaxed);
}

int
filter_table_reserve(struct filter_table *table)
{
    uint64_t capacity = slot_count(own_slots(table));
    uint64_t filled = table->used + table->emptied + 1;
    if (filled * 8 <= capacity * 5) {
        return 0;
    }
    /* Twice as large, unless it is mostly removals that fill it. */
    uint64_t larger = (table->used + 1) * 16 > capacity * 5 ? 2 : 1;
    if (rebuild(table, capacity / FILTER_TABLE_BUCKET_SLOTS * larger)) {
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

void
filter_table_remove(struct filter_table *table, const void *object)
{
    struct filter_slots *slots = own_slots(table);
    _Atomic uint64_t *at = slots_find(slots, object);
    assert(at != NULL);

    uint64_t index = (uint64_t)(at - slots->buckets[0].slots);
    uint32_t equal, free_slots;
    filter_bucket_scan(&slots->buckets[index / FILTER_TABLE_BUCKET_SLOTS], 0, &equal, &free_slots);
    uint64_t left = free_slots != 0 ? 0 : (uint64_t)FILTER_TABLE_TAG_EMPTIED << FILTER_TABLE_TAG_SHIFT; /* T2 */
    atomic_store_explicit(at, left, memory_order_release);
    table->emptied += left != 0;
    table->used--;

    uint64_t capacity = slot_count(slots);
    if (slots->mask > 0 && table->used * 16 < capacity) {
        /* Without memory it stays large, which harms nobody. */
        (void)rebuild(table, (slots->mask + 1) / 4 > 0 ? (slots->mask + 1) / 4 : 1);
    }
}

void
filter_table_replace(struct filter_table *table, const void *old, void *object)
{
    assert(key_of(old) == key_of(object));

    _Atomic uint64_t *at = slots_find(own_slots(table), old);
    assert(at != NULL);
    atomic_store_explicit(at, slot_of(object), memory_order_release);
}

uint64_t
filter_table_slot_count(const struct filter_table *table)
{
    return slot_count(own_slots(table));
}

void *
filter_table_at(const struct filter_table *table, uint64_t slot)
{
    return object_in(load(own_slots(table), slot));
}

void
filter_table_check(const struct filter_table *table)
{
    struct filter_slots *slots = own_slots(table);
    uint64_t used = 0, emptied = 0;
    for (uint64_t i = 0; i < slot_count(slots); i++) {
        uint64_t slot = load(slots, i);
        emptied += slot >> FILTER_TABLE_TAG_SHIFT == FILTER_TABLE_TAG_EMPTIED;
        if (slot >> FILTER_TABLE_TAG_SHIFT <= FILTER_TABLE_TAG_EMPTIED) {
            assert(object_in(slot) == NULL);
            continue;
        }
        used++;
        void *object = object_in(slot), *found;
        assert(slot == slot_of(object)); /* T1 */
        struct filter_probe probe = filter_slots_probe(slots, key_of(object));
        do {
            found = filter_probe_next(&probe);
            assert(found != NULL); /* T2 */
        } while (found != object);
    }
    assert(used == table->used && emptied == table->emptied);
    assert(used + emptied < slot_count(slots)); /* T3 */
}
