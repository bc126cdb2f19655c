/*
 * durable: what a shard needs to keep things on disk, opened and closed together: its journal, and what records (keep), acknowledges (promise), pages queues out (page) and copies
 * forward (compact). A shard without has none of it, and its `journal` is NULL.
 *
 * Threads  the starting one, before the shard's thread runs and after it.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_DURABLE_H
#define TIDEWIRE_ENGINE_DURABLE_DURABLE_H

#include <stdbool.h>
#include <stddef.h>

struct shard;

/* Nothing to do without a store (engine/durable/store.h). False and a line in `error` on failure. */
bool durable_open(struct shard *shard, char *error, size_t error_size);
/* Also of what was opened in part. All sessions have ended. */
void durable_close(struct shard *shard);

#endif
