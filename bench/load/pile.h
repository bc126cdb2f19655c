/*
 * pile: bytes that grow at the end, for output waiting to be sent and packets that arrived in part.
 *
 * Threads  one owner. Memory  allocated at first use, never shrunk before pile_fini. Full  cannot be: without memory
 * the generator says so and exits, there is nothing left to measure.
 */
#ifndef TIDEWIRE_BENCH_LOAD_PILE_H
#define TIDEWIRE_BENCH_LOAD_PILE_H

#include <stdint.h>

#include "codec/bytes.h"

struct pile {
    uint8_t *bytes;
    uint32_t used;
    uint32_t room;
};

void pile_grow(struct pile *p, uint32_t more);

/* Room for `more` bytes at the end; borrowed until the next call. The caller adds what it wrote to `used`. */
static inline uint8_t *
pile_reserve(struct pile *p, uint32_t more)
{
    if (p->room - p->used < more) {
        pile_grow(p, more);
    }
    return p->bytes + p->used;
}

void pile_append(struct pile *p, struct bytes b);
void pile_fini(struct pile *p);

#endif
