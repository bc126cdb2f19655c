#include "engine/security/ban.h"

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

#define BUCKETS_MIN 64u
/* A full list is looked through for expired ones so often at most. */
#define SWEEP_MS 1000u
#define BITS_MAX 128u
#define BITS_OF_IPV4 96u /* the prefix that all of IPv4 lies under */

struct entry {
    struct entry *next;
    uint64_t hash;
    uint64_t until_ms;
    uint8_t kind, origin;
    uint8_t bits;        /* BAN_ADDRESS */
    uint32_t size;
    uint8_t value[];     /* the text, or the 16 bytes of the network */
};

struct ban_list {
    pthread_rwlock_t lock;
    uint64_t seed;
    struct entry **buckets;
    uint32_t bucket_count;
    uint32_t entry_count;
    uint32_t automatic_count;
    uint64_t swept_ms;   /* when expired ones were thrown out last, because the list was full */
    uint32_t lengths[BITS_MAX + 1];
    _Atomic uint32_t counts[BAN_KINDS]; /* read without the lock: whether to look at all */
    _Atomic uint64_t generation;
};

struct ban_list *
ban_list_init(uint64_t seed)
{
    struct ban_list *list = calloc(1, sizeof *list);
    struct entry **buckets = calloc(BUCKETS_MIN, sizeof(struct entry *));
    if (list == NULL || buckets == NULL) {
        free(list);
        free(buckets);
        return NULL;
    }
    pthread_rwlock_init(&list->lock, NULL);
    list->seed = seed;
    list->buckets = buckets;
    list->bucket_count = BUCKETS_MIN;
    return list;
}

void
ban_list_fini(struct ban_list **lp)
{
    struct ban_list *list = *lp;
    *lp = NULL;
    for (uint32_t i = 0; i < list->bucket_count; i++) {
        while (list->buckets[i] != NULL) {
            struct entry *gone = list->buckets[i];
            list->buckets[i] = gone->next;
            free(gone);
        }
    }
    pthread_rwlock_destroy(&list->lock);
    free(list->buckets);
    free(list);
}

/* -------------------------------------------------------------------------------------------------------------- entries */

static uint64_t
hash_of(const struct ban_list *list, uint8_t kind, uint8_t bits, struct bytes value)
{
    return XXH3_64bits_withSeed(value.data, value.size, list->seed + (uint64_t)(kind << 8 | bits));
}

/* The bytes that a ban is found by. */
static struct bytes
value_of(const struct ban *ban)
{
    return ban->kind == BAN_ADDRESS ? bytes_of(ban->network.bytes, sizeof ban->network.bytes) : ban->value;
}

static uint8_t
bits_of(const struct ban *ban)
{
    return ban->kind == BAN_ADDRESS ? ban->network.bits : 0;
}

static bool
is_for(const struct entry *e, uint64_t hash, uint8_t kind, uint8_t bits, struct bytes value)
{
    return e->hash == hash && e->kind == kind && e->bits == bits && bytes_equal(bytes_of(e->value, e->size), value);
}

static bool
holds(const struct entry *e, uint64_t now_ms)
{
    return e->until_ms == 0 || e->until_ms > now_ms;
}

static void
count_entry(struct ban_list *list, const struct entry *e, uint32_t by)
{
    list->entry_count += by;
    list->automatic_count += e->origin == BAN_AUTOMATIC ? by : 0;
    list->lengths[e->bits] += e->kind == BAN_ADDRESS ? by : 0;
    atomic_fetch_add_explicit(&list->counts[e->kind], by, memory_order_relaxed);
}

/* Takes out what `unwanted` says. */
static uint32_t
throw_out(struct ban_list *list, bool (*unwanted)(const struct entry *e, const void *context), const void *context)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < list->bucket_count; i++) {
        for (struct entry **at = &list->buckets[i]; *at != NULL;) {
            struct entry *e = *at;
            if (!unwanted(e, context)) {
                at = &e->next;
                continue;
            }
            *at = e->next;
            count_entry(list, e, UINT32_MAX); /* less one */
            free(e);
            count++;
        }
    }
    return count;
}

static bool
has_expired(const struct entry *e, const void *now_ms)
{
    return !holds(e, *(const uint64_t *)now_ms);
}

static bool
has_origin(const struct entry *e, const void *origin)
{
    return e->origin == *(const enum ban_origin *)origin;
}

static void
grow(struct ban_list *list)
{
    uint32_t count = list->bucket_count * 2;
    struct entry **buckets = calloc(count, sizeof(struct entry *));
    if (buckets == NULL) {
        return; /* longer chains will do */
    }
    for (uint32_t i = 0; i < list->bucket_count; i++) {
        while (list->buckets[i] != NULL) {
            struct entry *e = list->buckets[i];
            list->buckets[i] = e->next;
            e->next = buckets[e->hash & (count - 1)];
            buckets[e->hash & (count - 1)] = e;
        }
    }
    free(list->buckets);
    list->buckets = buckets;
    list->bucket_count = count;
}

static bool
is_full(const struct ban_list *list, uint8_t origin)
{
    return list->entry_count >= BAN_MAX || (origin == BAN_AUTOMATIC && list->automatic_count >= BAN_AUTOMATIC_MAX);
}

static bool
add_locked(struct ban_list *list, const struct ban *ban, uint64_t now_ms)
{
    struct bytes value = value_of(ban);
    uint64_t hash = hash_of(list, ban->kind, bits_of(ban), value);
    for (struct entry *e = list->buckets[hash & (list->bucket_count - 1)]; e != NULL; e = e->next) {
        if (e->origin == ban->origin && is_for(e, hash, ban->kind, bits_of(ban), value)) {
            e->until_ms = ban->until_ms;
            return true;
        }
    }
    if (is_full(list, ban->origin) && now_ms - list->swept_ms >= SWEEP_MS) {
        list->swept_ms = now_ms;
        throw_out(list, has_expired, &now_ms);
    }
    struct entry *e = is_full(list, ban->origin) ? NULL : malloc(sizeof *e + value.size);
    if (e == NULL) {
        return false;
    }
    if (list->entry_count >= list->bucket_count) {
        grow(list);
    }
    struct entry **bucket = &list->buckets[hash & (list->bucket_count - 1)];
    *e = (struct entry){.next = *bucket, .hash = hash, .until_ms = ban->until_ms, .kind = ban->kind, .origin = ban->origin, .bits = bits_of(ban), .size = value.size};
    memcpy(e->value, value.data, value.size);
    *bucket = e;
    count_entry(list, e, 1);
    return true;
}

bool
ban_add(struct ban_list *list, const struct ban *ban, uint64_t now_ms)
{
    assert(ban->kind < BAN_KINDS && ban->origin < BAN_ORIGINS && ban->value.size <= BAN_VALUE_MAX);
    pthread_rwlock_wrlock(&list->lock);
    bool added = add_locked(list, ban, now_ms);
    pthread_rwlock_unlock(&list->lock);
    return added;
}

uint32_t
ban_remove(struct ban_list *list, const struct ban *ban)
{
    struct bytes value = value_of(ban);
    uint64_t hash = hash_of(list, ban->kind, bits_of(ban), value);
    uint32_t count = 0;
    pthread_rwlock_wrlock(&list->lock);
    for (struct entry **at = &list->buckets[hash & (list->bucket_count - 1)]; *at != NULL;) {
        struct entry *e = *at;
        if (!is_for(e, hash, ban->kind, bits_of(ban), value)) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        count_entry(list, e, UINT32_MAX);
        free(e);
        count++;
    }
    pthread_rwlock_unlock(&list->lock);
    return count;
}

bool
ban_replace(struct ban_list *list, enum ban_origin origin, const struct ban *bans, uint32_t count, uint64_t now_ms)
{
    pthread_rwlock_wrlock(&list->lock);
    throw_out(list, has_origin, &origin);
    bool good = true;
    for (uint32_t i = 0; i < count && good; i++) {
        assert(bans[i].origin == origin);
        good = add_locked(list, &bans[i], now_ms);
    }
    if (!good) {
        throw_out(list, has_origin, &origin);
    }
    pthread_rwlock_unlock(&list->lock);
    return good;
}

/* -------------------------------------------------------------------------------------------------------------- asking */

static bool
holds_locked(const struct ban_list *list, uint8_t kind, uint8_t bits, struct bytes value, uint64_t now_ms)
{
    uint64_t hash = hash_of(list, kind, bits, value);
    for (const struct entry *e = list->buckets[hash & (list->bucket_count - 1)]; e != NULL; e = e->next) {
        if (is_for(e, hash, kind, bits, value) && holds(e, now_ms)) {
            return true;
        }
    }
    return false;
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
    pthread_rwlock_rdlock(&list->lock);
    bool held = holds_locked(list, kind, 0, value, now_ms);
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
        if (list->lengths[bits] > 0) {
            cut_to(cut, bits);
            held = holds_locked(list, BAN_ADDRESS, (uint8_t)bits, bytes_of(cut, sizeof cut), now_ms);
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

uint32_t
ban_each(struct ban_list *list, uint64_t now_ms, uint32_t max, void (*see)(void *context, const struct ban *ban), void *context)
{
    uint32_t count = 0;
    pthread_rwlock_rdlock(&list->lock);
    for (uint32_t i = 0; i < list->bucket_count; i++) {
        for (const struct entry *e = list->buckets[i]; e != NULL; e = e->next) {
            if (!holds(e, now_ms)) {
                continue;
            }
            struct ban ban = {.kind = e->kind, .origin = e->origin, .until_ms = e->until_ms, .value = bytes_of(e->value, e->size)};
            if (e->kind == BAN_ADDRESS) {
                memcpy(ban.network.bytes, e->value, sizeof ban.network.bytes);
                ban.network.bits = e->bits;
            }
            if (count++ < max) {
                see(context, &ban);
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
