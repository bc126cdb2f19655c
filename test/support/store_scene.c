#include "test/support/store_scene.h"

#include "engine/io/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void
store_scene_init(struct store_scene *scene, uint64_t seed)
{
    *scene = (struct store_scene){.disk = sim_disk_make(seed), .config = config_default()};
    sim_set_seed(seed);
    sim_disk_make_directory(scene->disk, STORE_SCENE_LOCATION);
    scene->config->persistence = true;
    scene->config->persistence_location = strdup(STORE_SCENE_LOCATION);
    scene->config->persistence_segment_size = 1 << 16;
}

void
store_scene_close(struct store_scene *scene)
{
    store_close(&scene->store);
    if (scene->ios != NULL) {
        io_close_all(scene->ios);
        scene->ios = NULL;
    }
}

void
store_scene_fini(struct store_scene *scene)
{
    store_scene_close(scene);
    config_free(&scene->config);
    sim_disk_free(&scene->disk);
}

static void
begin_world(struct store_scene *scene)
{
    const struct io_options options = {.shard_count = 1, .sockets_max = 16};
    store_scene_close(scene);
    sim_set_disk(scene->disk);
    scene->error[0] = '\0';
    scene->ios = io_open(&options, scene->error, sizeof scene->error);
    assert(scene->ios != NULL);
}

bool
store_scene_open(struct store_scene *scene, unsigned shard_count)
{
    begin_world(scene);
    scene->store = store_open(scene->ios, scene->config, shard_count, scene->error, sizeof scene->error);
    assert(scene->store != NULL || (scene->error[0] != '\0' && strchr(scene->error, '\n') == NULL));
    return scene->store != NULL;
}

bool
store_scene_import(struct store_scene *scene, unsigned shard_count, store_fill *fill, void *context)
{
    begin_world(scene);
    int result = store_import(scene->ios, scene->config, shard_count, fill, context, scene->error, sizeof scene->error);
    assert(result == 0 || scene->error[0] != '\0');
    return result == 0;
}
