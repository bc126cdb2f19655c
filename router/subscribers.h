/*
 * subscribers: one shard's own half of the filter index: which of its sessions hold a filter, by the filter's id.
 *
 * A list is a plain array of pointers, so that a fan-out walks it front to back; each subscription knows its position, so leaving is O(1)
 * (the last one takes the free place: the order of a list means nothing).
 *
 * Threads  the owning shard's. Memory  borrows subscriptions while they are in a list.
 */
#ifndef TIDEWIRE_ROUTER_SUBSCRIBERS_H
#define TIDEWIRE_ROUTER_SUBSCRIBERS_H

#include <stdbool.h>
#include <stdint.h>

struct session;

/* One session's subscription to one filter. */
struct subscription {
    struct session *session;
    uint8_t *share_text;       /* `$share/name/filter`, its own copy; NULL: not shared */
    uint32_t filter_id;        /* not shared */
    uint32_t position;         /* in its list; not shared */
    uint32_t text_hash;
    uint32_t identifier;       /* Subscription Identifier; 0: none */
    uint32_t share_serial;     /* the group, once its home has answered; 0: not yet */
    uint32_t share_join;       /* the last SHARE_JOIN sent for it */
    uint16_t share_text_size;
    uint8_t share_home;        /* the shard that keeps the group */
    uint8_t qos : 2;
    uint8_t no_local : 1;
    uint8_t retain_as_published : 1;
};

struct subscriber_list {
    struct subscription **items;
    uint32_t count;
    uint32_t room;
};

struct subscribers {
    struct subscriber_list *lists; /* by filter id */
    uint32_t list_count;
};

void subscribers_fini(struct subscribers *s);
/* False when out of memory. */
bool subscribers_add(struct subscribers *s, struct subscription *subscription);
/* Returns how many subscriptions the filter has left. */
uint32_t subscribers_remove(struct subscribers *s, struct subscription *subscription);

static inline const struct subscriber_list *
subscribers_get(const struct subscribers *s, uint32_t filter_id)
{
    static const struct subscriber_list none = {0};
    return filter_id < s->list_count ? &s->lists[filter_id] : &none;
}

#endif
