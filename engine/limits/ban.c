#include "engine/limits/ban.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/identity/keyed_hash.h"

#define BUCKETS_MIN 64u
/* Of what is changed at run time: as many as there may be entries, so that nobody waits while they are laid out anew. */
#define BUCKETS_AT_RUN_TIME BAN_AT_RUN_TIME_MAX
/* Buckets of a full set that are looked through for expired ones per ban_add(). */
#define SWEEP_BUCKETS 256u
#define BITS_MAX 128u
#define BITS_OF_IPV4 96u /* the prefix that all of IPv4 lies under */

struct entry {
    struct entry *next;
    uint64_t hash;
    uint64_t until_ms;
    uint8_t kind;
    uint8_t bits;        /* BAN_ADDRESS */
    uint32_t size;
    uint8_t value[];     /* the text, or its keyed hash (B4), or the 16 bytes of the network */
};

/* The bans of one origin. */
struct set {
    uint32_t bucket_count;
    uint32_t entry_count, entries_max;
    uint32_t counts[BAN_KINDS];
    uint32_t lengths[BITS_MAX + 1];
    uint32_t hand;       /* the bucket to go on sweeping at */
    struct entry *buckets[];
};

struct ban_list {
    pthread_rwlock_t lock;
    uint64_t seed;
    struct keyed_hash_key key;
    struct set *sets[BAN_ORIGINS];      /* NULL: none yet */
    _Atomic uint32_t counts[BAN_KINDS]; /* of all sets; read without the lock: whether to look at all */
    _Atomic uint64_t generation;
};

struct ban_list *
ban_list_init(uint64_t seed)
{
    struct ban_list *list = calloc(1, sizeof *list);
    if (list == NULL) {
        return NULL;
    }
    pthread_rwlock_init(&list->lock, NULL);
    list->seed = seed;
    list->key = (struct keyed_hash_key){{seed, ~seed}};
    return list;
}

/* ----------------------------------------------------------------------------------------------------------------- sets */

static struct set *
set_init(uint32_t bucket_count, uint32_t entries_max)
{
    struct set *set = calloc(1, sizeof *set + bucket_count * sizeof(struct entry *));
    if (set != NULL) {
        set->bucket_count = bucket_count;
        set->entries_max = entries_max;
    }
    return set;
}

static void
set_fini(struct set **sp)
{
    struct set *set = *sp;
    *sp = NULL;
    for (uint32_t i = 0; set != NULL && i < set->bucket_count; i++) {
        while (set->buckets[i] != NULL) {
            struct entry *gone = set->buckets[i];
            set->buckets[i] = gone->next;
            free(gone);
        }
    }
    free(set);
}

void
ban_list_fini(struct ban_list **lp)
{
    struct ban_list *list = *lp;
    *lp = NULL;
    for (unsigned i = 0; i < BAN_ORIGINS; i++) {
        set_fini(&list->sets[i]);
    }
    pthread_rwlock_destroy(&list->lock);
    free(list);
}

/* -------------------------------------------------------------------------------------------------------------- entries */

/* What an entry is found by. */
struct name {
    uint64_t hash;
    uint8_t kind, bits;
    struct bytes value;
};

static struct name
name_of(const struct ban_list *list, uint8_t kind, uint8_t bits, struct bytes value)
{
    return (struct name){
        .hash = XXH3_64bits_withSeed(value.data, value.size, list->seed + (uint64_t)(kind << 8 | bits)),
        .kind = kind,
        .bits = bits,
        .value = value,
    };
}

/* B4. `room` holds the value. */
static struct name
hashed_name_of(const struct ban_list *list, uint8_t kind, struct bytes value, struct keyed_hash *room)
{
    struct keyed_hash_state state;
    keyed_hash_begin(&state, &list->key);
    keyed_hash_add(&state, value);
    *room = keyed_hash_end(&state);
    return name_of(list, kind, 0, bytes_of(room, sizeof *room));
}

static struct name
name_of_ban(const struct ban_list *list, const struct ban *ban, enum ban_origin origin, struct keyed_hash *room)
{
    if (ban->kind == BAN_ADDRESS) {
        return name_of(list, BAN_ADDRESS, ban->network.bits, bytes_of(ban->network.bytes, sizeof ban->network.bytes));
    }
    return origin == BAN_AUTOMATIC ? hashed_name_of(list, ban->kind, ban->value, room) : name_of(list, ban->kind, 0, ban->value);
}

static bool
is_for(const struct entry *e, const struct name *name)
{
    return e->hash == name->hash && e->kind == name->kind && e->bits == name->bits && bytes_equal(bytes_of(e->value, e->size), name->value);
}

static bool
holds(const struct entry *e, uint64_t now_ms)
{
    return e->until_ms == 0 || e->until_ms > now_ms;
}

/* The link that leads to the entry, or to the end of its chain. */
static struct entry **
find(struct set *set, const struct name *name)
{
    struct entry **at = &set->buckets[name->hash & (set->bucket_count - 1)];
    while (*at != NULL && !is_for(*at, name)) {
        at = &(*at)->next;
    }
    return at;
}

static void
count_entry(struct set *set, const struct entry *e, uint32_t by)
{
    set->entry_count += by;
    set->counts[e->kind] += by;
    set->lengths[e->bits] += e->kind == BAN_ADDRESS ? by : 0;
}

static void
take_out(struct set *set, struct entry **at)
{
    struct entry *e = *at;
    *at = e->next;
    count_entry(set, e, UINT32_MAX); /* less one */
    free(e);
}

/* A part of the set, so that nobody waits for long. */
static void
sweep(struct set *set, uint64_t now_ms)
{
    for (uint32_t i = 0; i < SWEEP_BUCKETS; i++) {
        struct entry **at = &set->buckets[set->hand++ & (set->bucket_count - 1)];
        while (*at != NULL) {
            if (holds(*at, now_ms)) {
                at = &(*at)->next;
            } else {
                take_out(set, at);
            }
        }
    }
}

/* False: full, or out of memory. */
static bool
set_add(struct set *set, const struct name *name, uint64_t until_ms, uint64_t now_ms)
{
    struct entry *known = *find(set, name);
    if (known != NULL) {
        known->until_ms = until_ms;
        return true;
    }
    if (set->entry_count >= set->entries_max) {
        sweep(set, now_ms);
    }
    struct entry *e = set->entry_count < set->entries_max ? malloc(sizeof *e + name->value.size) : NULL;
    if (e == NULL) {
        return false;
    }
    struct entry **bucket = &set->buckets[name->hash & (set->bucket_count - 1)];
    *e = (struct entry){.next = *bucket, .hash = name->hash, .until_ms = until_ms, .kind = name->kind, .bits = name->bits, .size = name->value.size};
    if (name->value.size > 0) {
        memcpy(e->value, name->value.data, name->value.size);
    }
    *bucket = e;
    count_entry(set, e, 1);
    return true;
}

/* B2. Locked. */
static void
count_kinds(struct ban_list *list)
{
    for (unsigned kind = 0; kind < BAN_KINDS; kind++) {
        uint32_t count = 0;
        for (unsigned origin = 0; origin < BAN_ORIGINS; origin++) {
            count += list->sets[origin] != NULL ? list->sets[origin]->counts[kind] : 0;
        }
        atomic_store_explicit(&list->counts[kind], count, memory_order_relaxed);
    }
}

static struct set *
set_at_run_time(struct ban_list *list, enum ban_origin origin)
{
    if (list->sets[origin] == NULL) {
        list->sets[origin] = set_init(BUCKETS_AT_RUN_TIME, BAN_AT_RUN_TIME_MAX);
    }
    return list->sets[origin];
}

bool
ban_add(struct ban_list *list, const struct ban *ban, uint64_t now_ms)
{
    assert(ban->kind < BAN_KINDS && (ban->origin == BAN_OF_OPERATOR || ban->origin == BAN_AUTOMATIC) && ban->value.size <= BAN_VALUE_MAX);
    struct keyed_hash room;
    struct name name = name_of_ban(list, ban, ban->origin, &room);
    pthread_rwlock_wrlock(&list->lock);
    struct set *set = set_at_run_time(list, ban->origin);
    bool added = set != NULL && set_add(set, &name, ban->until_ms, now_ms);
    count_kinds(list);
    pthread_rwlock_unlock(&list->lock);
    return added;
}

uint32_t
ban_remove(struct ban_list *list, const struct ban *ban)
{
    uint32_t count = 0;
    pthread_rwlock_wrlock(&list->lock);
    for (unsigned origin = 0; origin < BAN_ORIGINS; origin++) {
        struct keyed_hash room;
        struct name name = name_of_ban(list, ban, origin, &room);
        struct entry **at = list->sets[origin] != NULL ? find(list->sets[origin], &name) : NULL;
        if (at != NULL && *at != NULL) {
            take_out(list->sets[origin], at);
            count++;
        }
    }
    count_kinds(list);
    pthread_rwlock_unlock(&list->lock);
    return count;
}

/* Those that hold. NULL when full or out of memory. */
static struct set *
set_of_file(const struct ban_list *list, const struct ban *bans, uint32_t count, uint64_t now_ms)
{
    uint32_t buckets = BUCKETS_MIN;
    while (buckets < count && buckets < BAN_MAX) {
        buckets *= 2;
    }
    struct set *set = set_init(buckets, BAN_MAX);
    for (uint32_t i = 0; i < count && set != NULL; i++) {
        struct keyed_hash room;
        assert(bans[i].origin == BAN_OF_FILE && bans[i].kind < BAN_KINDS && bans[i].value.size <= BAN_VALUE_MAX);
        struct name name = name_of_ban(list, &bans[i], BAN_OF_FILE, &room);
        bool expired = bans[i].until_ms != 0 && bans[i].until_ms <= now_ms;
        if (!expired && !set_add(set, &name, bans[i].until_ms, now_ms)) {
            set_fini(&set);
        }
    }
    return set;
}

bool
ban_replace_file(struct ban_list *list, const struct ban *bans, uint32_t count, uint64_t now_ms)
{
    struct set *set = set_of_file(list, bans, count, now_ms);
    if (set == NULL) {
        return false;
    }
    pthread_rwlock_wrlock(&list->lock);
    struct set *old = list->sets[BAN_OF_FILE];
    list->sets[BAN_OF_FILE] = set;
    count_kinds(list);
    pthread_rwlock_unlock(&list->lock);
    set_fini(&old);
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- asking */

static bool
set_holds(struct set *set, const struct name *name, uint64_t now_ms)
{
    const struct entry *e = set != NULL ? *find(set, name) : NULL;
    return e != NULL && holds(e, now_ms);
}

static bool
any(const struct ban_list *list, enum ban_kind kind)
{
    return atomic_load_explicit(&list->counts[kind], memory_order_relaxed) > 0;
}

bool
ban_holds(struct ban_list *list, enum ban_kind kind, struct bytes value, uint64_t now_ms)
{
    assert(kind != BAN_ADDRESS);
    if (!any(list, kind)) {
        return false;
    }
    struct keyed_hash room;
    struct name name = name_of(list, kind, 0, value), hashed = hashed_name_of(list, kind, value, &room);
    pthread_rwlock_rdlock(&list->lock);
    bool held = set_holds(list->sets[BAN_OF_FILE], &name, now_ms) || set_holds(list->sets[BAN_OF_OPERATOR], &name, now_ms) ||
                set_holds(list->sets[BAN_AUTOMATIC], &hashed, now_ms);
    pthread_rwlock_unlock(&list->lock);
    return held;
}

static void
cut_to(uint8_t bytes[16], unsigned bits)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned left = bits > i * 8 ? bits - i * 8 : 0;
        bytes[i] &= left >= 8 ? 0xff : (uint8_t)(0xff << (8 - left));
    }
}

static bool
uses_length(const struct ban_list *list, unsigned bits)
{
    bool used = false;
    for (unsigned origin = 0; origin < BAN_ORIGINS; origin++) {
        used |= list->sets[origin] != NULL && list->sets[origin]->lengths[bits] > 0;
    }
    return used;
}

/* `cut`: to `bits`. */
static bool
any_set_holds(const struct ban_list *list, const uint8_t cut[16], unsigned bits, uint64_t now_ms)
{
    struct name name = name_of(list, BAN_ADDRESS, (uint8_t)bits, bytes_of(cut, 16));
    bool held = false;
    for (unsigned origin = 0; origin < BAN_ORIGINS && !held; origin++) {
        held = set_holds(list->sets[origin], &name, now_ms);
    }
    return held;
}

bool
ban_holds_address(struct ban_list *list, const uint8_t address[16], uint64_t now_ms)
{
    if (!any(list, BAN_ADDRESS)) {
        return false;
    }
    uint8_t cut[16];
    memcpy(cut, address, sizeof cut);
    bool held = false;
    pthread_rwlock_rdlock(&list->lock);
    for (unsigned bits = BITS_MAX + 1; bits-- > 0 && !held;) {
        if (uses_length(list, bits)) {
            cut_to(cut, bits);
            held = any_set_holds(list, cut, bits, now_ms);
        }
    }
    pthread_rwlock_unlock(&list->lock);
    return held;
}

uint64_t
ban_generation(const struct ban_list *list)
{
    /* Acquire pairs with ban_enforce(); the lock would do as well. */
    return atomic_load_explicit(&list->generation, memory_order_acquire);
}

void
ban_enforce(struct ban_list *list)
{
    atomic_fetch_add_explicit(&list->generation, 1, memory_order_release);
}

static struct ban
ban_of(const struct entry *e, enum ban_origin origin)
{
    struct ban ban = {.kind = e->kind, .origin = (uint8_t)origin, .until_ms = e->until_ms};
    if (e->kind == BAN_ADDRESS) {
        memcpy(ban.network.bytes, e->value, sizeof ban.network.bytes);
        ban.network.bits = e->bits;
    } else if (origin != BAN_AUTOMATIC) {
        ban.value = bytes_of(e->value, e->size);
    }
    return ban;
}

uint32_t
ban_each(struct ban_list *list, uint64_t now_ms, uint32_t max, void (*see)(void *context, const struct ban *ban), void *context)
{
    uint32_t count = 0;
    pthread_rwlock_rdlock(&list->lock);
    for (unsigned origin = 0; origin < BAN_ORIGINS; origin++) {
        const struct set *set = list->sets[origin];
        for (uint32_t i = 0; set != NULL && i < set->bucket_count; i++) {
            for (const struct entry *e = set->buckets[i]; e != NULL; e = e->next) {
                struct ban ban = ban_of(e, origin);
                if (holds(e, now_ms) && count++ < max) {
                    see(context, &ban);
                }
            }
        }
    }
    pthread_rwlock_unlock(&list->lock);
    return count;
}

/* ---------------------------------------------------------------------------------------------------------------- text */

struct ban_network
ban_network_of(int family, const uint8_t *address, unsigned bits)
{
    struct ban_network network = {.bytes = {[10] = 0xff, [11] = 0xff}};
    if (family == AF_INET) {
        memcpy(network.bytes + 12, address, 4);
        bits += BITS_OF_IPV4;
    } else {
        memcpy(network.bytes, address, 16);
    }
    assert(bits <= BITS_MAX);
    network.bits = (uint8_t)bits;
    cut_to(network.bytes, bits);
    return network;
}

/* A number without sign or blanks, up to `max`. */
static bool
parse_bits(const char *text, unsigned max, unsigned *out)
{
    *out = 0;
    if (*text == '\0' || strlen(text) > 3) {
        return false;
    }
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9') {
            return false;
        }
        *out = *out * 10 + (unsigned)(*text - '0');
    }
    return *out <= max;
}

bool
ban_parse_network(struct bytes text, struct ban_network *out)
{
    char copy[INET6_ADDRSTRLEN + 8];
    uint8_t address[16];
    if (text.size >= sizeof copy || memchr(text.data, '\0', text.size) != NULL) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    char *slash = strchr(copy, '/');
    if (slash != NULL) {
        *slash = '\0';
    }
    int family = strchr(copy, ':') != NULL ? AF_INET6 : AF_INET;
    unsigned bits = family == AF_INET ? 32 : 128;
    if (inet_pton(family, copy, address) != 1 || (slash != NULL && !parse_bits(slash + 1, bits, &bits))) {
        return false;
    }
    *out = ban_network_of(family, address, bits);
    return memcmp(out->bytes + (family == AF_INET ? 12 : 0), address, family == AF_INET ? 4 : 16) == 0; /* else a typing error: bits beyond the prefix */
}

void
ban_network_text(const struct ban_network *network, char *out, size_t size)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    char text[INET6_ADDRSTRLEN];
    bool v4 = network->bits >= BITS_OF_IPV4 && memcmp(network->bytes, mapped, sizeof mapped) == 0;
    inet_ntop(v4 ? AF_INET : AF_INET6, network->bytes + (v4 ? 12 : 0), text, sizeof text);
    if (network->bits == BITS_MAX) {
        snprintf(out, size, "%s", text);
    } else {
        snprintf(out, size, "%s/%u", text, network->bits - (v4 ? BITS_OF_IPV4 : 0));
    }
}

static const char *const kind_names[BAN_KINDS] = {[BAN_CLIENT] = "client", [BAN_USER] = "user", [BAN_ADDRESS] = "address"};

const char *
ban_kind_name(enum ban_kind kind)
{
    assert(kind < BAN_KINDS);
    return kind_names[kind];
}

enum ban_kind
ban_kind_of(struct bytes name)
{
    unsigned kind = 0;
    while (kind < BAN_KINDS && !bytes_equal(name, bytes_of(kind_names[kind], (uint32_t)strlen(kind_names[kind])))) {
        kind++;
    }
    return (enum ban_kind)kind;
}
