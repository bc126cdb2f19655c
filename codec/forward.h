/*
 * forward: a PUBLISH on its way out, built from parts that were never taken apart.
 *
 * A broker passes most properties of a message on unchanged (MQTT5 3.3.2.3). So the forwardable ones stay a block of bytes as they came in, and
 * only what differs per receiver is written anew: expiry, alias, subscription identifiers, packet identifier, flags.
 *
 * Pure functions; sizes are exact, so the caller reserves and then writes.
 */
#ifndef TIDEWIRE_CODEC_FORWARD_H
#define TIDEWIRE_CODEC_FORWARD_H

#include "codec/packet.h"

struct forward {
    struct bytes topic;
    struct bytes properties; /* made by forward_properties(); ignored for versions 3.x */
    struct bytes payload;
    const uint32_t *subscription_ids;
    uint32_t subscription_id_count;
    uint32_t expiry_s;       /* remaining */
    uint16_t packet_id;
    uint16_t topic_alias;    /* 0: none */
    uint8_t qos;
    bool has_expiry;
    bool omit_topic;         /* the receiver knows the alias already */
    bool dup;
    bool retain;
};

/* Size of the whole packet; 0 if it cannot be expressed. */
uint32_t forward_size(const struct forward *f, uint8_t version);
/* Writes the whole packet; `size` is what forward_size() said. */
void forward_write(uint8_t *out, uint32_t size, const struct forward *f, uint8_t version);

/* True if all properties of a decoded PUBLISH or will are forwardable: its `raw` may be used as it is. */
bool forward_all(const struct properties *properties);
/* Copies the forwardable properties of a block to `out` (room for properties->raw.size bytes); returns their size. */
uint32_t forward_properties(const struct properties *properties, uint8_t *out);

#endif
