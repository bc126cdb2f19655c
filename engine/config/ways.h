/*
 * ways: options of the ways in beside plain TCP: WebSocket, PROXY protocol, Unix sockets, interfaces. Their readers are in the list of special.h. Internal to
 * engine/config.
 */
#ifndef TIDEWIRE_ENGINE_CONFIG_WAYS_H
#define TIDEWIRE_ENGINE_CONFIG_WAYS_H

#include "engine/config/parser.h"

/* At the end: what of these options does not go together. */
bool ways_check(struct parser *parser);

/* True if two listeners have the same list for websockets_origin or websockets_trusted_proxy. */
bool ways_same_list(const struct option *option, const struct config_listener *a, const struct config_listener *b);

#endif
