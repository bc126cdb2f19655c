/*
 * stencil: one publisher's PUBLISH packet, encoded once; each message is a copy with identifier and stamp filled in.
 *
 *   | fixed header | topic | packet id (QoS > 0) | properties (v5) | stamp 16 | filling |
 *                            ^ id_at                                 ^ payload_at
 *
 * So publishing costs the generator a memcpy, whatever the codec costs. With --raw it is the payload alone.
 *
 * Threads  one. Memory  its own bytes, from stencil_init to stencil_fini.
 */
#ifndef TIDEWIRE_BENCH_LOAD_STENCIL_H
#define TIDEWIRE_BENCH_LOAD_STENCIL_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/options.h"
#include "bench/load/payload.h"

struct stencil {
    uint8_t *bytes;
    uint32_t size;
    uint32_t id_at; /* 0 with QoS 0 */
    uint32_t payload_at;
};

/* False without memory, or when the packet cannot be expressed. */
bool stencil_init(struct stencil *s, const struct options *o, const char *topic) __attribute__((warn_unused_result));
void stencil_fini(struct stencil *s);

/* `out` has room for s->size bytes. */
static inline void
stencil_write(const struct stencil *s, uint8_t *out, uint16_t packet_id, struct payload_stamp stamp)
{
    memcpy(out, s->bytes, s->size);
    if (s->id_at != 0) {
        out[s->id_at] = (uint8_t)(packet_id >> 8);
        out[s->id_at + 1] = (uint8_t)packet_id;
    }
    payload_write_stamp(out + s->payload_at, stamp);
}

#endif
