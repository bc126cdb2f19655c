/*
 * subscribers: one shard's own half of the filter index: which of its sessions hold a filter, by the filter's id.
 *
 *   places[id] ──┬─► nothing
 *                ├─► subscription: the only one
 *                └─► block: count, subscription, subscription, ...
 *
 * Most filters have one subscriber, and a process with many shards has a place for each filter in each of them: so a place is one pointer. A block is a plain
 * array, so that a fan-out walks it front to back; each subscription knows its position, so leaving is O(1) (the last one takes the free place: the
 * order of a list means nothing). Places lie in chunks of doubling size that never move: untouched pages cost nothing.
 *
 * Threads  the owning shard's. Memory  borrows subscriptions while they are in a list.
 */
#ifndef TIDEWIRE_ROUTER_SUBSCRIBERS_H
#define TIDEWIRE_ROUTER_SUBSCRIBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;

/* What a shared subscription has more. */
struct subscription_share {
    uint32_t serial;           /* the group, once its home has answered; 0: not yet */
    uint32_t filter_id;        /* of the group's filter, with the serial */
    uint32_t join;             /* the last SHARE_JOIN sent for it; 0: none yet */
    uint16_t text_size;
    uint8_t home;              /* the shard that keeps the group */
    uint8_t text[];            /* `$share/name/filter` */
};

/* One session's subscription to one filter. */
struct subscription {
    struct session *session;
    union {
        struct {
            uint32_t filter_id;
            uint32_t position; /* in its list */
        };
        struct subscription_share *share; /* if `shared`: its own */
    };
    uint32_t text_hash;
    uint32_t identifier;       /* Subscription Identifier; 0: none */
    uint8_t qos : 2;
    uint8_t no_local : 1;
    uint8_t retain_as_published : 1;
    uint8_t shared : 1;
};

/* Borrowed until the next add or remove of its filter. */
struct subscriber_list {
    struct subscription *const *items;
    uint32_t count;
};

struct subscriber_block {
    uint32_t count;
    uint32_t room;
    struct subscription *items[];
};

#define SUBSCRIBERS_CHUNK_BASE 256u
#define SUBSCRIBERS_CHUNKS 25u

struct subscribers {
    uintptr_t *chunks[SUBSCRIBERS_CHUNKS]; /* chunk c holds SUBSCRIBERS_CHUNK_BASE << c places */
    uint64_t bytes;                        /* of the blocks: the owner charges them */
};

void subscribers_fini(struct subscribers *s);
/* False when out of memory. */
bool subscribers_add(struct subscribers *s, struct subscription *subscription);
/* Returns how many subscriptions the filter has left. */
uint32_t subscribers_remove(struct subscribers *s, struct subscription *subscription);

/* A place: 0: nobody; even: a subscription; odd: a block, plus 1. Where a filter's place is, or would be. */
static inline uintptr_t *const *
subscribers_chunk(const struct subscribers *s, uint32_t filter_id, uint32_t *index)
{
    uint32_t c = 31 - (uint32_t)__builtin_clz(filter_id / SUBSCRIBERS_CHUNK_BASE + 1);
    *index = filter_id - SUBSCRIBERS_CHUNK_BASE * ((1u << c) - 1);
    return &s->chunks[c];
}

static inline struct subscriber_list
subscribers_get(const struct subscribers *s, uint32_t filter_id)
{
    uint32_t index;
    uintptr_t *chunk = *subscribers_chunk(s, filter_id, &index);
    uintptr_t place = chunk != NULL ? chunk[index] : 0;
    if ((place & 1) != 0) {
        const struct subscriber_block *block = (const struct subscriber_block *)(place - 1);
        return (struct subscriber_list){block->items, block->count};
    }
    /* The place is a list of one. */
    return (struct subscriber_list){place != 0 ? (struct subscription *const *)&chunk[index] : NULL, place != 0};
}

#endif
