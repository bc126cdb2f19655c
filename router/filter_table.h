/*
 * filter_table: a hash table of objects that readers search without a lock. Internal to the router.
 *
 *   bucket (one cache line):  8 slots of  tag:16 | pointer:48      tag 0: free, 1: left empty by a removal, else from the key
 *
 * A key is looked for in bucket `key & mask` and the ones behind it, up to the first bucket with a free slot. All eight tags are compared at once.
 * The table knows nothing of equality: a probe yields the objects whose tag fits, the caller compares.
 *
 * A table that is full gets a successor, into which every change of the writer then copies a few slots, so that no change stalls. Until all are copied
 * probes go on in the older one; they may yield an object twice.
 *
 * Invariants
 *   T1  an object starts with its 64-bit key, which never changes.
 *   T2  a bucket that once had no free slot never has one again until the table is rebuilt: so nobody stops in front of what had to move on.
 *   T3  one free slot is left at least; a successor keeps used and left-empty slots below `full_eighths` of eight.
 *   T4  an object is in the newest slots, or in the older ones, or (while copying) in both; never in neither.
 *
 * Threads  probes: any, between two quiescent states of the table's epoch. Everything else: the writer.
 * Memory   borrows the objects. Slots that are copied are retired by epoch.
 */
#ifndef TIDEWIRE_ROUTER_FILTER_TABLE_H
#define TIDEWIRE_ROUTER_FILTER_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Under ThreadSanitizer each slot is read by an atomic load, as it would not understand vector loads. */
#if defined(__SSE2__) && !defined(__SANITIZE_THREAD__)
#define FILTER_TABLE_SIMD 1
#include <emmintrin.h>
#else
#define FILTER_TABLE_SIMD 0
#endif

#define FILTER_TABLE_BUCKET_SLOTS 8u
#define FILTER_TABLE_TAG_SHIFT 48
#define FILTER_TABLE_TAG_EMPTIED 1u

#define FILTER_PAGES_HUGE_BYTES ((size_t)2 << 20)

struct epoch;

/* Zeroed pages, huge ones where `size` is a multiple of theirs; NULL when out of memory. */
void *filter_pages_map(size_t size);
void filter_pages_unmap(void *pages, size_t size);

struct filter_bucket {
    _Alignas(64) _Atomic uint64_t slots[FILTER_TABLE_BUCKET_SLOTS];
};

struct filter_slots {
    uint64_t mask; /* buckets - 1 */
    struct filter_bucket *buckets;
    size_t mapped_size; /* 0: from the heap */
    _Atomic(struct filter_slots *) older; /* NULL: everything is here */
    uint64_t copied; /* the writer's: slots of `older` that are here too */
};

struct filter_table {
    _Atomic(struct filter_slots *) slots;
    struct epoch *epoch; /* NULL: no readers but the writer */
    uint64_t used;       /* objects */
    uint64_t emptied;    /* slots of the newest that a removal left empty */
    uint32_t full_eighths;
};

/*
 * How full a table may become before it grows. One that is mostly asked in vain is kept sparse: a bucket without a free slot makes each such question cost two, and
 * at five eighths one bucket in eight has none. Others are better small: what is read lies closer together.
 */
#define FILTER_TABLE_SPARSE 4u
#define FILTER_TABLE_DENSE 5u

/* 0 or -ENOMEM. Starts at one bucket. `full_eighths`: FILTER_TABLE_SPARSE or _DENSE. */
int filter_table_init(struct filter_table *table, struct epoch *epoch, uint32_t full_eighths);
/* No reader may be left. */
void filter_table_fini(struct filter_table *table);

/* Makes sure that the next insert has room: 0 or -ENOMEM. */
int filter_table_reserve(struct filter_table *table);
/* After a reserve. */
void filter_table_insert(struct filter_table *table, void *object);
/* The object must be there. Shrinks a table that has become far too large. */
void filter_table_remove(struct filter_table *table, const void *object);
/* Puts `object` where `old`, of the same key, was. */
void filter_table_replace(struct filter_table *table, const void *old, void *object);

/* Slots by number, for going over all objects, each once: NULL where there is none. For the writer, and only while nothing changes. */
uint64_t filter_table_slot_count(const struct filter_table *table);
void *filter_table_at(const struct filter_table *table, uint64_t slot);

void filter_table_check(const struct filter_table *table);

/* A search under way. */
struct filter_probe {
    const struct filter_slots *slots;
    const struct filter_slots *older; /* where to go on */
    uint64_t key;
    uint64_t bucket;
    uint32_t tag;
    uint32_t candidates; /* slots of this bucket still to look at, as bits */
    bool last;           /* nothing lies behind this bucket */
};

static inline uint32_t
filter_table_tag(uint64_t key)
{
    uint32_t tag = (uint32_t)(key >> FILTER_TABLE_TAG_SHIFT);
    return tag <= FILTER_TABLE_TAG_EMPTIED ? tag + 2 : tag;
}

/* Which of a bucket's slots have the tag, and which are free, as bits. */
static inline void
filter_bucket_scan(const struct filter_bucket *bucket, uint32_t tag, uint32_t *equal, uint32_t *free_slots)
{
#if FILTER_TABLE_SIMD
    /* The upper halves of all eight slots, shifted down to the 16 bits of the tag. Slots found here are loaded again, atomically. */
    const __m128i *at = (const __m128i *)(const void *)bucket;
    __m128 a = _mm_castsi128_ps(_mm_load_si128(at)), b = _mm_castsi128_ps(_mm_load_si128(at + 1));
    __m128 c = _mm_castsi128_ps(_mm_load_si128(at + 2)), d = _mm_castsi128_ps(_mm_load_si128(at + 3));
    __m128i low = _mm_srai_epi32(_mm_castps_si128(_mm_shuffle_ps(a, b, 0xdd)), 16);
    __m128i high = _mm_srai_epi32(_mm_castps_si128(_mm_shuffle_ps(c, d, 0xdd)), 16);
    __m128i tags = _mm_packs_epi32(low, high);
    __m128i hits = _mm_cmpeq_epi16(tags, _mm_set1_epi16((short)tag));
    __m128i frees = _mm_cmpeq_epi16(tags, _mm_setzero_si128());
    uint32_t both = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(hits, frees));
    *equal = both & 0xff;
    *free_slots = both >> 8;
#else
    *equal = *free_slots = 0;
    for (uint32_t i = 0; i < FILTER_TABLE_BUCKET_SLOTS; i++) {
        uint64_t slot = atomic_load_explicit(&bucket->slots[i], memory_order_relaxed);
        *equal |= (uint32_t)(slot >> FILTER_TABLE_TAG_SHIFT == tag) << i;
        *free_slots |= (uint32_t)(slot >> FILTER_TABLE_TAG_SHIFT == 0) << i;
    }
#endif
}

static inline void
filter_probe_scan(struct filter_probe *probe)
{
    uint32_t free_slots;
    filter_bucket_scan(&probe->slots->buckets[probe->bucket], probe->tag, &probe->candidates, &free_slots);
    probe->last = free_slots != 0;
}

static inline const struct filter_slots *
filter_table_slots(const struct filter_table *table)
{
    /* Acquire pairs with successor_start(). */
    return atomic_load_explicit(&table->slots, memory_order_acquire);
}

static inline const struct filter_bucket *
filter_slots_bucket(const struct filter_slots *slots, uint64_t key)
{
    return &slots->buckets[key & slots->mask];
}

static inline void
filter_slots_prefetch(const struct filter_slots *slots, uint64_t key)
{
    __builtin_prefetch(filter_slots_bucket(slots, key));
}

/* Whether all objects are in these slots. Acquire pairs with the end of copying: if so, all copies are seen by who looks afterwards (T4). */
static inline bool
filter_slots_complete(const struct filter_slots *slots)
{
    return atomic_load_explicit(&slots->older, memory_order_acquire) == NULL;
}

/* What the slot that a scan found for `tag` holds by now, or NULL. */
static inline void *
filter_bucket_object(const struct filter_bucket *bucket, uint32_t i, uint32_t tag)
{
    /* Acquire pairs with the release store of insert and replace: we see what the object was filled with. */
    uint64_t slot = atomic_load_explicit(&bucket->slots[i], memory_order_acquire);
    return slot >> FILTER_TABLE_TAG_SHIFT == tag ? (void *)(uintptr_t)(slot & (((uint64_t)1 << FILTER_TABLE_TAG_SHIFT) - 1)) : NULL;
}

static inline struct filter_probe
filter_slots_probe(const struct filter_slots *slots, uint64_t key)
{
    struct filter_probe probe = {.slots = slots, .key = key, .bucket = key & slots->mask, .tag = filter_table_tag(key)};
    /* Before looking here: acquire pairs with the end of copying, so where this is NULL all copies are seen (T4). */
    probe.older = atomic_load_explicit(&slots->older, memory_order_acquire);
    filter_probe_scan(&probe);
    return probe;
}

/* The next object whose tag fits, or NULL. */
static inline void *
filter_probe_next(struct filter_probe *probe)
{
    for (;;) {
        while (probe->candidates != 0) {
            uint32_t i = (uint32_t)__builtin_ctz(probe->candidates);
            probe->candidates &= probe->candidates - 1;
            void *object = filter_bucket_object(&probe->slots->buckets[probe->bucket], i, probe->tag);
            if (object != NULL) {
                return object;
            }
        }
        if (!probe->last) {
            probe->bucket = (probe->bucket + 1) & probe->slots->mask;
        } else if (probe->older != NULL) {
            probe->slots = probe->older;
            probe->older = NULL;
            probe->bucket = probe->key & probe->slots->mask;
        } else {
            return NULL;
        }
        filter_probe_scan(probe);
    }
}

#endif
