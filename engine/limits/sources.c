#include "engine/limits/sources.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define STRIPES 64u
/* Entries looked at for one to give away. */
#define SEARCH_MAX 16u
#define SECOND_NS UINT64_C(1000000000)
#define NO_ENTRY UINT32_MAX

struct entry {
    struct source_key key;
    struct rate_bucket connects;
    uint64_t window_end_ns; /* of the events; 0: none */
    uint32_t events;
    uint32_t connections;
    uint32_t next;          /* in its bucket, or on the freelist */
    bool used;
};

struct stripe {
    pthread_mutex_t lock;
    uint32_t *buckets;      /* as many as entries, rounded up to a power of two */
    struct entry *entries;
    uint32_t free;
    uint32_t hand;          /* where to go on looking for one to give away */
};

struct sources {
    uint64_t seed;
    uint32_t entry_count;   /* per stripe */
    uint32_t bucket_mask;
    struct stripe stripes[STRIPES];
};

static bool
init_stripe(const struct sources *sources, struct stripe *s)
{
    s->buckets = malloc((sources->bucket_mask + 1) * sizeof *s->buckets);
    s->entries = calloc(sources->entry_count, sizeof *s->entries);
    if (s->buckets == NULL || s->entries == NULL) {
        return false;
    }
    memset(s->buckets, 0xff, (sources->bucket_mask + 1) * sizeof *s->buckets);
    for (uint32_t i = 0; i < sources->entry_count; i++) {
        s->entries[i].next = i + 1 < sources->entry_count ? i + 1 : NO_ENTRY;
    }
    return true;
}

struct sources *
sources_init(uint32_t entries, uint64_t seed)
{
    struct sources *sources = calloc(1, sizeof *sources);
    if (sources == NULL) {
        return NULL;
    }
    sources->seed = seed;
    sources->entry_count = entries / STRIPES + (entries % STRIPES != 0);
    uint32_t buckets = 1;
    while (buckets < sources->entry_count) {
        buckets *= 2;
    }
    sources->bucket_mask = buckets - 1;
    bool good = true;
    for (unsigned i = 0; i < STRIPES; i++) {
        pthread_mutex_init(&sources->stripes[i].lock, NULL);
        good = good && init_stripe(sources, &sources->stripes[i]);
    }
    if (!good) {
        sources_fini(&sources);
    }
    return sources;
}

void
sources_fini(struct sources **sp)
{
    struct sources *sources = *sp;
    *sp = NULL;
    for (unsigned i = 0; i < STRIPES; i++) {
        pthread_mutex_destroy(&sources->stripes[i].lock);
        free(sources->stripes[i].buckets);
        free(sources->stripes[i].entries);
    }
    free(sources);
}

struct source_key
sources_key(const struct sources *sources, uint8_t kind, const void *bytes, uint32_t size)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(bytes, size, sources->seed + kind);
    return (struct source_key){{hash.low64, hash.high64}};
}

/* -------------------------------------------------------------------------------------------------------------- entries */

static struct stripe *
lock_stripe(struct sources *sources, struct source_key key)
{
    struct stripe *s = &sources->stripes[key.words[0] % STRIPES];
    pthread_mutex_lock(&s->lock);
    return s;
}

static uint32_t *
bucket_of(const struct sources *sources, struct stripe *s, struct source_key key)
{
    return &s->buckets[key.words[1] & sources->bucket_mask];
}

static bool
same_key(struct source_key a, struct source_key b)
{
    return a.words[0] == b.words[0] && a.words[1] == b.words[1];
}

static struct entry *
find(const struct sources *sources, struct stripe *s, struct source_key key)
{
    for (uint32_t i = *bucket_of(sources, s, key); i != NO_ENTRY; i = s->entries[i].next) {
        if (same_key(s->entries[i].key, key)) {
            return &s->entries[i];
        }
    }
    return NULL;
}

/* Until when there is something to remember; 0: no longer. */
static uint64_t
worth_until_ns(const struct entry *e, uint64_t now_ns)
{
    uint64_t until_ns = e->connects.full_ns > e->window_end_ns ? e->connects.full_ns : e->window_end_ns;
    return until_ns > now_ns ? until_ns : 0;
}

static void
unlink_entry(const struct sources *sources, struct stripe *s, uint32_t index)
{
    uint32_t *at = bucket_of(sources, s, s->entries[index].key);
    while (*at != index) {
        at = &s->entries[*at].next;
    }
    *at = s->entries[index].next;
}

/* One that has nothing to remember, or of a few that have no connections the stalest (U3). */
static uint32_t
choose_victim(const struct sources *sources, struct stripe *s, uint64_t now_ns)
{
    uint32_t victim = NO_ENTRY;
    uint64_t least_ns = UINT64_MAX;
    uint32_t looks = sources->entry_count < SEARCH_MAX ? sources->entry_count : SEARCH_MAX;
    for (uint32_t i = 0; i < looks && least_ns > 0; i++) {
        const struct entry *e = &s->entries[s->hand];
        uint64_t worth_ns = worth_until_ns(e, now_ns);
        if (e->connections == 0 && worth_ns < least_ns) {
            victim = s->hand;
            least_ns = worth_ns;
        }
        s->hand = s->hand + 1 == sources->entry_count ? 0 : s->hand + 1;
    }
    return victim;
}

static struct entry *
need(const struct sources *sources, struct stripe *s, struct source_key key, uint64_t now_ns)
{
    struct entry *e = find(sources, s, key);
    if (e != NULL) {
        return e;
    }
    uint32_t index = s->free;
    if (index != NO_ENTRY) {
        s->free = s->entries[index].next;
    } else {
        index = choose_victim(sources, s, now_ns);
        if (index == NO_ENTRY) {
            return NULL;
        }
        unlink_entry(sources, s, index);
    }
    uint32_t *bucket = bucket_of(sources, s, key);
    e = &s->entries[index];
    *e = (struct entry){.key = key, .next = *bucket, .used = true};
    *bucket = index;
    return e;
}

/* --------------------------------------------------------------------------------------------------------------- events */

static enum source_answer
enter(struct entry *e, const struct source_limits *limits, uint64_t now_ns)
{
    if (limits->connections_max != 0 && e->connections >= limits->connections_max) {
        return SOURCE_TOO_MANY;
    }
    if (!rate_take(&e->connects, &limits->connects, now_ns, 1)) {
        return SOURCE_TOO_FAST;
    }
    e->connections++;
    return SOURCE_ADMITTED;
}

enum source_answer
sources_enter(struct sources *sources, struct source_key key, const struct source_limits *limits, uint64_t now_ns)
{
    struct stripe *s = lock_stripe(sources, key);
    struct entry *e = need(sources, s, key, now_ns);
    enum source_answer answer = e != NULL ? enter(e, limits, now_ns) : SOURCE_UNTRACKED;
    pthread_mutex_unlock(&s->lock);
    return answer;
}

void
sources_leave(struct sources *sources, struct source_key key)
{
    struct stripe *s = lock_stripe(sources, key);
    struct entry *e = find(sources, s, key);
    assert(e != NULL && e->connections > 0); /* U2, U3 */
    e->connections--;
    pthread_mutex_unlock(&s->lock);
}

static bool
note(struct entry *e, uint32_t count_max, uint32_t window_s, uint64_t now_ns)
{
    if (e->window_end_ns <= now_ns) {
        e->window_end_ns = now_ns + window_s * SECOND_NS;
        e->events = 0;
    }
    if (++e->events < count_max) {
        return false;
    }
    e->window_end_ns = 0;
    e->events = 0;
    return true;
}

bool
sources_note(struct sources *sources, struct source_key key, uint32_t count_max, uint32_t window_s, uint64_t now_ns)
{
    if (count_max == 0) {
        return false;
    }
    struct stripe *s = lock_stripe(sources, key);
    struct entry *e = need(sources, s, key, now_ns);
    bool reached = e != NULL && note(e, count_max, window_s, now_ns);
    pthread_mutex_unlock(&s->lock);
    return reached;
}

uint32_t
sources_check(struct sources *sources)
{
    uint32_t used = 0;
    for (unsigned n = 0; n < STRIPES; n++) {
        struct stripe *s = &sources->stripes[n];
        uint32_t chained = 0, free_count = 0;
        for (uint32_t b = 0; b <= sources->bucket_mask; b++) {
            for (uint32_t i = s->buckets[b]; i != NO_ENTRY; i = s->entries[i].next, chained++) {
                assert(s->entries[i].used && find(sources, s, s->entries[i].key) == &s->entries[i]); /* U1 */
            }
        }
        for (uint32_t i = s->free; i != NO_ENTRY; i = s->entries[i].next) {
            assert(!s->entries[i].used);
            free_count++;
        }
        assert(chained + free_count == sources->entry_count);
        used += chained;
    }
    return used;
}
