/*
 * store_scene: a store on a simulated disk, without a broker: for tests of what happens before shards start.
 */
#ifndef TIDEWIRE_TEST_SUPPORT_STORE_SCENE_H
#define TIDEWIRE_TEST_SUPPORT_STORE_SCENE_H

#include "engine/durable/store.h"
#include "engine/io/sim_disk.h"

#define STORE_SCENE_LOCATION "/data"
#define STORE_SCENE_DIRECTORY STORE_SCENE_LOCATION "/tidewire-journal"

struct store_scene {
    struct sim_disk *disk;
    struct io_set *ios;      /* NULL between two worlds */
    struct config *config;
    struct store *store;     /* NULL: not open */
    char error[600];         /* of the last thing that failed */
};

/* A disk with the location on it, and nothing else. */
void store_scene_init(struct store_scene *scene, uint64_t seed);
void store_scene_fini(struct store_scene *scene);

/* A world of its own: the one before has ended. False with a line in `error`. */
bool store_scene_open(struct store_scene *scene, unsigned shard_count);
bool store_scene_import(struct store_scene *scene, unsigned shard_count, store_fill *fill, void *context);
/* Ends the world. */
void store_scene_close(struct store_scene *scene);

#endif
