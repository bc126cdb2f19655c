/*
 * forwarded: whose connection a proxy passes on, by what it has added to a WebSocket's HTTP request (X-Forwarded-For, or Forwarded of RFC 7239).
 *
 * Only what a trusted proxy has added counts: the list is walked from its end, which the proxy that talks to us wrote, and as long as the address found is one of a
 * trusted proxy itself, the one before it counts. What a client wrote stands before those, and is never reached unless the client is trusted.
 */
#ifndef TIDEWIRE_ENGINE_TRANSPORT_FORWARDED_H
#define TIDEWIRE_ENGINE_TRANSPORT_FORWARDED_H

#include "codec/upgrade.h"
#include "engine/net/connection.h"

/*
 * `peer` is the socket's (`of_unix_socket`: it has none) and becomes the client's. An address that is withheld ("unknown", "_hidden") makes it one of family 0. False: the
 * list of a trusted proxy cannot be read.
 */
bool forwarded_client(const struct config_listener *listener, const struct upgrade *request, bool of_unix_socket, struct peer_address *peer);

/* A connection from there may name the client's address: its own is a proxy's. */
bool forwarded_is_trusted(const struct config_listener *listener, const struct peer_address *peer);

#endif
