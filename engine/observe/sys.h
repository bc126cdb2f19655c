/*
 * sys: the $SYS topics: Mosquitto's tree, and what only Tidewire has (figures per shard, drops by reason).
 *
 * Published as retained messages by shard 0 every sys_interval seconds, each only when its value has changed. Other shards' counters are read as they are
 * at that moment (engine/stats.h).
 */
#ifndef TIDEWIRE_ENGINE_OBSERVE_SYS_H
#define TIDEWIRE_ENGINE_OBSERVE_SYS_H

#include "engine/shard.h"

/* False when out of memory. Does nothing on shards other than 0. */
bool sys_open(struct shard *shard);
/* Once a second. */
void sys_tick(struct shard *shard);
void sys_close(struct shard *shard);

#endif
