#include "router/subscribers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void
subscribers_fini(struct subscribers *s)
{
    for (uint32_t i = 0; i < s->list_count; i++) {
        free(s->lists[i].items);
    }
    free(s->lists);
    *s = (struct subscribers){0};
}

static bool
grow_table(struct subscribers *s, uint32_t filter_id)
{
    uint32_t count = s->list_count ? s->list_count : 64;
    while (count <= filter_id) {
        count *= 2;
    }
    struct subscriber_list *lists = realloc(s->lists, count * sizeof *lists);
    if (lists == NULL) {
        return false;
    }
    memset(lists + s->list_count, 0, (count - s->list_count) * sizeof *lists);
    s->lists = lists;
    s->list_count = count;
    return true;
}

bool
subscribers_add(struct subscribers *s, struct subscription *subscription)
{
    if (subscription->filter_id >= s->list_count && !grow_table(s, subscription->filter_id)) {
        return false;
    }
    struct subscriber_list *list = &s->lists[subscription->filter_id];
    if (list->count == list->room) {
        uint32_t room = list->room ? list->room * 2 : 1;
        struct subscription **items = realloc(list->items, room * sizeof *items);
        if (items == NULL) {
            return false;
        }
        list->items = items;
        list->room = room;
    }
    subscription->position = list->count;
    list->items[list->count++] = subscription;
    return true;
}

uint32_t
subscribers_remove(struct subscribers *s, struct subscription *subscription)
{
    struct subscriber_list *list = &s->lists[subscription->filter_id];
    assert(subscription->position < list->count && list->items[subscription->position] == subscription);

    struct subscription *last = list->items[--list->count];
    list->items[subscription->position] = last;
    last->position = subscription->position;
    if (list->count == 0) {
        free(list->items);
        *list = (struct subscriber_list){0};
    }
    return list->count;
}
