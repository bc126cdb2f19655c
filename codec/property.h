/*
 * property: the property table of MQTT 5.0 (2.2.2.2), and reading and writing whole property blocks.
 *
 * Internal to the codec. A 'place' is where a property block stands: a packet type, or PROPERTY_PLACE_WILL for the will
 * properties in CONNECT's payload.
 */
#ifndef TIDEWIRE_CODEC_PROPERTY_H
#define TIDEWIRE_CODEC_PROPERTY_H

#include "codec/packet.h"

#define PROPERTY_PLACE_WILL 0u

/* Leaves `p` as decoding a packet without properties does. */
static inline void
properties_clear(struct properties *p)
{
    p->present = 0;
    p->raw = (struct bytes){NULL, 0};
    p->user_count = 0;
    p->subscription_id_count = 0;
}

/*
 * Reads a block with its length and checks it for this place and sender. Returns REASON_SUCCESS or the reason to answer;
 * `r` stands after the block only with REASON_SUCCESS. On any other answer `out` holds what was read up to there, and no `raw`.
 */
uint8_t properties_read(struct reader *r, unsigned place, enum packet_sender sender, struct properties *out);

/* Bytes of the block without its length. Marked fields that may not stand in this place are left out. */
uint64_t properties_size(const struct properties *p, unsigned place);

/* Writes the length, which must be what properties_size() said, and the block. */
void properties_write(struct writer *w, const struct properties *p, unsigned place, uint32_t size);

#endif
