/*
 * recover: what a shard had before a restart, put together again from its journal: sessions with what they subscribed and what they are owed, retained messages, wills.
 *
 *   journal_read ──► one record after the other, applied as it was written ──► sorted, armed, and joined to the groups of shared subscriptions
 *
 * A record may speak of what is not there: what came before was cut off, because it was over or is said again further on (engine/durable/compact.h), or is damaged. It is passed over.
 * But a message is there for whoever a later record says is owed it, even if all who were owed it before have had it: it is read once more then.
 *
 * Sessions whose clients were connected are absent from now on: their wills and their ends are counted from here. Those that ended meanwhile, and wills that were due, come with the
 * first timers (engine/stage.h).
 *
 * Threads  the shard's own, between shard_enter() and its first turn. Memory beyond what is kept: 48 bytes for each message that is owed or retained, and 12 for each that was, while it lasts.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_RECOVER_H
#define TIDEWIRE_ENGINE_DURABLE_RECOVER_H

#include "engine/shard.h"

/* 0 without a journal too; -ECANCELED if the broker is to stop; or -errno, with a line in `error`. */
int recover_shard(struct shard *shard, char *error, size_t error_size);

#endif
