#include "engine/route/loopback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Each record: its size in eight bytes (to keep what follows aligned), then itself, padded to eight. */
#define RECORD_HEAD 8u

static uint32_t
padded(uint32_t size)
{
    return (size + 7u) & ~7u;
}

void *
loopback_reserve(struct loopback *l, uint32_t size)
{
    struct loopback_buffer *b = &l->filling;
    uint32_t want = b->used + RECORD_HEAD + padded(size);
    if (want > b->room) {
        uint32_t room = b->room ? b->room : 4096;
        while (room < want) {
            room *= 2;
        }
        uint8_t *bytes = realloc(b->bytes, room);
        if (bytes == NULL) {
            fprintf(stderr, "tidewire: out of memory for parcels within a shard\n");
            abort();
        }
        b->bytes = bytes;
        b->room = room;
    }
    memcpy(b->bytes + b->used, &size, sizeof size);
    void *record = b->bytes + b->used + RECORD_HEAD;
    b->used = want;
    return record;
}

void
loopback_begin(struct loopback *l)
{
    struct loopback_buffer drained = l->draining;
    l->draining = l->filling;
    l->filling = drained;
    l->filling.used = 0;
    l->at = 0;
}

const void *
loopback_next(struct loopback *l, uint32_t *size)
{
    if (l->at >= l->draining.used) {
        l->draining.used = 0;
        return NULL;
    }
    memcpy(size, l->draining.bytes + l->at, sizeof *size);
    const void *record = l->draining.bytes + l->at + RECORD_HEAD;
    l->at += RECORD_HEAD + padded(*size);
    return record;
}

void
loopback_fini(struct loopback *l)
{
    free(l->filling.bytes);
    free(l->draining.bytes);
    *l = (struct loopback){0};
}
