/*
 * identity: who a client is by what lies below MQTT: its certificate, its pre-shared key, or what a trusted proxy says of its certificate.
 *
 * A listener with `use_identity_as_username` (Common Name, or the pre-shared key's identity) or `use_subject_as_username` (the whole subject, which a proxy does not
 * tell) takes that for the user name, whatever CONNECT says, and asks for no password, as Mosquitto does.
 *
 * Threads  the shard's. Memory: names are borrowed from the connection's transport.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_IDENTITY_H
#define TIDEWIRE_ENGINE_IDENTITY_IDENTITY_H

#include "engine/net/connection.h"

/* Whether the connection's listener takes the user name from here. */
bool identity_is_asked_for(const struct shard *shard, const struct connection *c);

/* The user name then; empty: the client has shown nothing that has one. */
struct bytes identity_user(const struct shard *shard, const struct connection *c);

/* The certificate's Common Name or the pre-shared key's identity, on any listener; empty: none. */
struct bytes identity_name(const struct connection *c);

#endif
