#include "bench/load/pile.h"

#include <stdio.h>
#include <stdlib.h>

#define PILE_FIRST 256u

void
pile_grow(struct pile *p, uint32_t more)
{
    uint64_t room = p->room == 0 ? PILE_FIRST : p->room;
    while (room < (uint64_t)p->used + more) {
        room *= 2;
    }
    uint8_t *bytes = room > UINT32_MAX ? NULL : realloc(p->bytes, room);
    if (bytes == NULL) {
        perror("tidewire-bench: memory for output");
        exit(2);
    }
    p->bytes = bytes;
    p->room = (uint32_t)room;
}

void
pile_append(struct pile *p, struct bytes b)
{
    if (b.size > 0) {
        memcpy(pile_reserve(p, b.size), b.data, b.size);
        p->used += b.size;
    }
}

void
pile_fini(struct pile *p)
{
    free(p->bytes);
    *p = (struct pile){0};
}
