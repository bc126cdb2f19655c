/*
 * loopback: parcels from a shard to itself, so that the code for shares and replays need not know whether two parties are on one shard.
 *
 * Invariants: records come out in the order they went in; what goes in during a pass comes out in the next.
 */
#ifndef TIDEWIRE_ENGINE_ROUTE_LOOPBACK_H
#define TIDEWIRE_ENGINE_ROUTE_LOOPBACK_H

#include <stdbool.h>
#include <stdint.h>

struct loopback_buffer {
    uint8_t *bytes;
    uint32_t used, room;
};

struct loopback {
    struct loopback_buffer filling, draining;
    uint32_t at; /* in draining */
};

/* Room for `size` bytes, valid until the next reserve. Aborts with a clear line when out of memory. */
void *loopback_reserve(struct loopback *l, uint32_t size);
void loopback_begin(struct loopback *l);
/* The next record of the pass, valid until the next loopback_begin(); NULL: over. */
const void *loopback_next(struct loopback *l, uint32_t *size);
void loopback_fini(struct loopback *l);

static inline bool
loopback_waiting(const struct loopback *l)
{
    return l->filling.used > 0;
}

#endif
