/*
 * route: from a publication to everybody who wants it.
 */
#ifndef TIDEWIRE_ENGINE_ROUTE_ROUTE_H
#define TIDEWIRE_ENGINE_ROUTE_ROUTE_H

#include "engine/route/publication.h"

/*
 * Routes a publication that entered the broker on this shard: to its own sessions, one parcel to each other interested shard, and to the topic's home if
 * it is to be retained. `memo`: the publisher's (router/filter_index.h), or NULL. Returns whether any subscription matched.
 */
bool route_publication(struct shard *shard, struct publication *p, uint32_t *memo);

/* Only to this shard's own sessions and share groups; `retain`: as its topic's home, too. */
void route_local(struct shard *shard, struct publication *p, bool retain);

/* True if the disk of a shard is full that would have to keep a message like this, or might: which sessions of other shards are kept is not known. */
bool route_is_barred_by_disk(struct shard *shard, struct bytes topic, uint8_t qos, bool retain, uint32_t *memo);

#endif
