/*
 * proxy_layer: the PROXY header that a connection of such a listener starts with. It is read once, before everything else; a connection without it ends.
 *
 * What it says becomes the connection's peer address, and stays with the transport as far as somebody may ask for it: whether the client uses TLS, and who it
 * is by a certificate that the proxy has verified.
 */
#ifndef TIDEWIRE_ENGINE_TRANSPORT_PROXY_LAYER_H
#define TIDEWIRE_ENGINE_TRANSPORT_PROXY_LAYER_H

#include "codec/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct connection;
struct shard;

/* What a proxy has said of its client. */
struct proxied {
    bool tls;
    bool certificate;      /* verified by the proxy */
    uint32_t name_size;
    uint8_t common_name[]; /* of that certificate; UTF-8 */
};

/* Takes the header off the front of `*data`. False: it is not whole yet, or the connection has ended. */
bool proxy_layer_received(struct shard *shard, struct connection *c, struct bytes *data);

#endif
