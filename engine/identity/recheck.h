/*
 * recheck: after a reload, connected clients whose user is gone or has another password are disconnected.
 *
 * A bounded number of connections per turn, so that a shard with very many goes on serving. Clients that log in meanwhile are judged by the new snapshot.
 *
 * Threads  the shard's.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_RECHECK_H
#define TIDEWIRE_ENGINE_IDENTITY_RECHECK_H

struct shard;

/* The shard has another snapshot. */
void recheck_begin(struct shard *shard);
/* Goes on, if there is anything left. */
void recheck_some(struct shard *shard);

#endif
