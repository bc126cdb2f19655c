/*
 * store: the directory that the journals of all shards lie in, and what they are when a broker starts.
 *
 *   <persistence_location>/tidewire-journal/   lock       held by the broker that uses it
 *                                              manifest   engine/durable/manifest.h
 *                                              3/         the generation that the manifest names
 *                                              3/0/ ...   one directory for each shard: engine/journal/journal.h
 *                                              4.new/     the next one in the making
 *                                              damaged/   what could not be read of earlier generations
 *
 * A generation is made when the store is, and when the number of shards is another one than last time (engine/durable/convert.h); it counts once the manifest names it, and gets its
 * name right after that.
 *
 * Invariants
 *   O1  a crash at any time leaves the generation before or the one after, whole.
 *   O2  what is there is never taken for nothing: without a manifest that can be read, a broker starts only where no journal is, and no database of Mosquitto's.
 *   O3  the secret never changes: where things belong, and what clients were told, follows from it.
 *
 * Threads  the starting one, before the shards.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_STORE_H
#define TIDEWIRE_ENGINE_DURABLE_STORE_H

#include "engine/config/config.h"
#include "engine/durable/manifest.h"
#include "engine/durable/store_files.h"

struct store;

/*
 * Opens the store of the configuration for so many shards; makes it if there is none, converts it if it was for another number. NULL and one line in `error` on failure: another
 * broker uses it, it cannot be read, it is a later version's, or there is a database that nobody has imported.
 */
struct store *store_open(struct io_set *ios, const struct config *config, unsigned shard_count, char *error, size_t error_size);
/* The lock is held until io_close_all(). Nulls the pointer. */
void store_close(struct store **store);

/* All of it lies in this directory, and in so many levels of directories below: generations, shards, files. Borrowed. */
#define STORE_DEPTH 3
const char *store_directory(const struct store *store);
/* MANIFEST_SECRET_BYTES. Borrowed. */
const uint8_t *store_secret(const struct store *store);
/* The directory of a shard's journal. It is there. */
void store_shard_directory(const struct store *store, unsigned shard, char out[STORE_PATH_MAX]);

/*
 * Writes journals, of which everything is on the disk when it returns 0, into `directory`/0/ and so on, which are there and empty; as many as the manifest has shards. Else -errno and
 * a line in `error`.
 */
typedef int store_fill(void *context, const char *directory, const struct manifest *manifest, char *error, size_t error_size);

/* Makes a store with what `fill` writes, whatever Mosquitto has there; if there is one already, that is an error. 0, or -errno and one line in `error`: then there is none. */
int store_import(struct io_set *ios, const struct config *config, unsigned shard_count, store_fill *fill, void *context, char *error, size_t error_size);

#endif
