#include "router/subscribers.h"

#include <assert.h>
#include <stdlib.h>

#define BLOCK_ROOM_MIN 3u /* 32 bytes in all */

static struct subscriber_block *
block_in(uintptr_t place)
{
    return (place & 1) != 0 ? (struct subscriber_block *)(place - 1) : NULL;
}

void
subscribers_fini(struct subscribers *s)
{
    for (uint32_t c = 0; c < SUBSCRIBERS_CHUNKS; c++) {
        for (uint32_t i = 0; s->chunks[c] != NULL && i < SUBSCRIBERS_CHUNK_BASE << c; i++) {
            free(block_in(s->chunks[c][i]));
        }
        free(s->chunks[c]);
        s->chunks[c] = NULL;
    }
}

/* NULL when out of memory. */
static uintptr_t *
need_place(struct subscribers *s, uint32_t filter_id)
{
    uint32_t index;
    uint32_t c = (uint32_t)(subscribers_chunk(s, filter_id, &index) - (uintptr_t *const *)s->chunks);
    if (s->chunks[c] == NULL) {
        s->chunks[c] = calloc((size_t)SUBSCRIBERS_CHUNK_BASE << c, sizeof *s->chunks[c]);
    }
    return s->chunks[c] != NULL ? &s->chunks[c][index] : NULL;
}

static size_t
block_bytes(uint32_t room)
{
    return sizeof(struct subscriber_block) + room * sizeof(struct subscription *);
}

/* A block with room for one more, in that place. NULL when out of memory. */
static struct subscriber_block *
grow_block(struct subscribers *s, uintptr_t *place)
{
    struct subscriber_block *old = block_in(*place);
    if (old != NULL && old->count < old->room) {
        return old;
    }
    uint32_t room = old != NULL ? old->room * 2 + 1 : BLOCK_ROOM_MIN;
    struct subscriber_block *block = realloc(old, block_bytes(room));
    if (block == NULL) {
        return NULL;
    }
    s->bytes += block_bytes(room) - (old != NULL ? block_bytes(block->room) : 0);
    if (old == NULL) {
        block->count = 1;
        block->items[0] = (struct subscription *)*place;
    }
    block->room = room;
    *place = (uintptr_t)block + 1;
    return block;
}

bool
subscribers_add(struct subscribers *s, struct subscription *subscription)
{
    uintptr_t *place = need_place(s, subscription->filter_id);
    if (place == NULL) {
        return false;
    }
    if (*place == 0) {
        subscription->position = 0;
        *place = (uintptr_t)subscription;
        return true;
    }
    struct subscriber_block *block = grow_block(s, place);
    if (block == NULL) {
        return false;
    }
    subscription->position = block->count;
    block->items[block->count++] = subscription;
    return true;
}

uint32_t
subscribers_remove(struct subscribers *s, struct subscription *subscription)
{
    uintptr_t *place = need_place(s, subscription->filter_id);
    assert(place != NULL);
    struct subscriber_block *block = block_in(*place);
    if (block == NULL) {
        assert(*place == (uintptr_t)subscription);
        *place = 0;
        return 0;
    }
    assert(subscription->position < block->count && block->items[subscription->position] == subscription);

    struct subscription *last = block->items[--block->count];
    block->items[subscription->position] = last;
    last->position = subscription->position;
    uint32_t left = block->count;
    if (left == 1) {
        *place = (uintptr_t)block->items[0];
        s->bytes -= block_bytes(block->room);
        free(block);
    }
    return left;
}
