/*
 * stencil: one publisher's PUBLISH packet, encoded once; each message is a copy with identifier and stamp filled in.
 *
 *   | fixed header | topic [number] | packet id (QoS > 0) | properties (v5) | stamp 16 | filling |
 *                           ^ number_at  ^ id_at                             ^ payload_at
 *
 * So publishing costs the generator a memcpy, whatever the codec costs. With --raw it is the payload alone. Where every message has a topic
 * of its own, the topic ends in its number, STENCIL_NUMBER_SIZE digits.
 *
 * Threads  one. Memory  its own bytes, from stencil_init to stencil_fini.
 */
#ifndef TIDEWIRE_BENCH_LOAD_STENCIL_H
#define TIDEWIRE_BENCH_LOAD_STENCIL_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/options.h"
#include "bench/load/payload.h"

#define STENCIL_NUMBER_SIZE 8u

enum stencil_kind {
    STENCIL_PLAIN,
    STENCIL_RETAINED, /* to be kept by the broker */
    STENCIL_NUMBERED, /* retained, each in a topic of its own */
    STENCIL_ERASING,  /* no payload: takes a STENCIL_NUMBERED back */
};

struct stencil {
    uint8_t *bytes;
    uint32_t size;
    uint32_t id_at;     /* 0 with QoS 0 */
    uint32_t number_at; /* 0 without */
    uint32_t payload_at;
};

/* False without memory, or when the packet cannot be expressed. */
bool stencil_init(struct stencil *s, enum stencil_kind kind, const struct options *o, const char *topic) __attribute__((warn_unused_result));
void stencil_fini(struct stencil *s);

void stencil_write_number(const struct stencil *s, uint8_t *out, uint64_t number);

/* `out` has room for s->size bytes. */
static inline void
stencil_write(const struct stencil *s, uint8_t *out, uint16_t packet_id, struct payload_stamp stamp)
{
    memcpy(out, s->bytes, s->size);
    if (s->id_at != 0) {
        out[s->id_at] = (uint8_t)(packet_id >> 8);
        out[s->id_at + 1] = (uint8_t)packet_id;
    }
    if (s->number_at != 0) {
        stencil_write_number(s, out, stamp.sequence);
    }
    if (s->payload_at < s->size) {
        payload_write_stamp(out + s->payload_at, stamp);
    }
}

#endif
