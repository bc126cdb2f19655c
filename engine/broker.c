#include "engine/broker.h"

#include "engine/durable/store.h"
#include "engine/limits/ban_file.h"
#include "engine/log.h"
#include "engine/place.h"
#include "engine/route/parcel.h"
#include "engine/security/security.h"
#include "engine/shard.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* A backlog that a reconnect storm does not overflow: the kernel lowers it to net.core.somaxconn. */
#define LISTEN_BACKLOG 32768
/* Socket slots per shard when nothing is configured; the system's limit of descriptors comes first on most machines. */
#define SOCKETS_MAX_DEFAULT (1u << 20)
/* Passes that end everything which is still on its way between shards when they have all stopped; each hop of a parcel takes one. */
#define FINAL_PASSES 16

static uint64_t
word_of_secret(const struct broker *broker, unsigned word)
{
    uint64_t value;
    memcpy(&value, broker->secret + word * sizeof value, sizeof value);
    return value;
}

uint64_t
broker_hash(const struct broker *broker, const void *key, uint32_t size)
{
    return place_hash(broker->secret, key, size);
}

uint64_t
broker_token(const struct broker *broker, const void *key, uint32_t size)
{
    return XXH3_64bits_withSeed(key, size, word_of_secret(broker, 3));
}

unsigned
broker_shard_of(const struct broker *broker, const void *key, uint32_t size)
{
    return place_shard(broker->secret, broker->shard_count, key, size);
}

static unsigned
usable_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        return 1;
    }
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : count > BROKER_SHARDS_MAX ? BROKER_SHARDS_MAX : (unsigned)count;
}

/* The oldest generation of snapshots, and so of configurations, that a shard may still use. */
static uint32_t
oldest_in_use(const struct broker *broker)
{
    uint32_t oldest = UINT32_MAX;
    for (unsigned i = 0; i < broker->shard_count; i++) {
        /* Acquire pairs with the release in take_configuration(): the shard has done with all that is older. */
        uint32_t seen = broker->shards[i] != NULL ? atomic_load_explicit(&broker->shards[i]->security_seen, memory_order_acquire) : 0;
        oldest = seen < oldest ? seen : oldest;
    }
    return oldest;
}

/* Frees what every shard has left behind. */
static void
free_old_snapshots(struct broker *broker)
{
    uint32_t oldest = oldest_in_use(broker);
    unsigned gone = 0;
    while (gone < broker->snapshot_count && broker->snapshots[gone]->generation < oldest) {
        security_free(&broker->snapshots[gone++]);
    }
    broker->snapshot_count -= gone;
    memmove(broker->snapshots, broker->snapshots + gone, broker->snapshot_count * sizeof broker->snapshots[0]);
}

/* Reads the files of a configuration. NULL and a line in `error` if one is not good. */
static const struct security *
take_snapshot(struct broker *broker, const struct config *config, char *error, size_t error_size)
{
    free_old_snapshots(broker);
    if (broker->snapshot_count == BROKER_SNAPSHOTS_MAX) {
        snprintf(error, error_size, "the last %d reloads are still being taken over; try again", BROKER_SNAPSHOTS_MAX - 1);
        return NULL;
    }
    struct security *security = security_read(config, atomic_load(&broker->security), error, error_size);
    if (security != NULL) {
        broker->snapshots[broker->snapshot_count++] = security;
    }
    return security;
}

/* Of a snapshot that no shard was shown. */
static void
give_up_snapshot(struct broker *broker)
{
    security_free(&broker->snapshots[--broker->snapshot_count]);
}

/* The file's bans take the place of those that it had before. False when out of memory: those stay. */
static bool
take_bans(struct broker *broker, const struct ban_file *file)
{
    uint64_t now_ms = io_wall_ms(io_of_shard(broker->ios, 0));
    if (!ban_replace_file(broker->limits.bans, file != NULL ? file->bans : NULL, file != NULL ? file->count : 0, now_ms)) {
        return false;
    }
    if (file != NULL && file->count > 0) {
        ban_enforce(broker->limits.bans);
    }
    return true;
}

/* With what is kept on disk goes the secret that it was ordered by. */
static bool
open_store(struct broker *broker, const struct config *config, char *error, size_t error_size)
{
    static_assert(sizeof broker->secret == MANIFEST_SECRET_BYTES, "it is the broker's");
    if (!config->persistence) {
        io_random(io_of_shard(broker->ios, 0), broker->secret, sizeof broker->secret);
        return true;
    }
    broker->store = store_open(broker->ios, config, broker->shard_count, error, error_size);
    if (broker->store != NULL) {
        memcpy(broker->secret, store_secret(broker->store), sizeof broker->secret);
    }
    return broker->store != NULL;
}

static bool
open_shared(struct broker *broker, const struct config *config, char *error, size_t error_size)
{
    const struct security *security = take_snapshot(broker, config, error, error_size);
    if (security == NULL) {
        return false;
    }
    atomic_store(&broker->security, security);
    struct io_options options = {
        .shard_count = broker->shard_count,
        .sockets_max = config->connections_per_shard_max ? config->connections_per_shard_max : SOCKETS_MAX_DEFAULT,
    };
    broker->ios = io_open(&options, error, error_size);
    if (broker->ios == NULL) {
        return false;
    }
    if (!open_store(broker, config, error, error_size)) {
        return false;
    }
    struct filter_limits limits = {.filters_max = config->max_filters};
    broker->mesh = mesh_init(broker->shard_count);
    broker->filters = filter_index_init(broker->shard_count, &limits, broker->secret);
    if (broker->mesh == NULL || broker->filters == NULL || !limits_open(&broker->limits, config, word_of_secret(broker, 1))) {
        snprintf(error, error_size, "out of memory at start");
        return false;
    }
    budget_init(&broker->budget, broker->shard_count, config->memory_limit);
    if (!take_bans(broker, security->bans)) {
        snprintf(error, error_size, "out of memory for the bans of %s", config->ban_file);
        return false;
    }
    broker->started_ms = io_clock_ns(io_of_shard(broker->ios, 0)) / 1000000;
    return true;
}

struct broker *
broker_open(const struct config *config, char *error, size_t error_size)
{
    /* The budget's accounts lie on cache lines of their own. */
    struct broker *broker = aligned_alloc(64, (sizeof *broker + 63) / 64 * 64);
    if (broker == NULL) {
        snprintf(error, error_size, "out of memory at start");
        return NULL;
    }
    memset(broker, 0, sizeof *broker);
    broker->listeners = config->listeners;
    atomic_store(&broker->config, config);
    broker->shard_count = config->shards ? config->shards : usable_cores();
    atomic_init(&broker->shards_joining, broker->shard_count);
    atomic_init(&broker->shards_settling, broker->shard_count);
    atomic_init(&broker->shards_closed, broker->shard_count);
    if (!open_shared(broker, config, error, error_size)) {
        broker_close(&broker);
        return NULL;
    }
    for (unsigned i = 0; i < broker->shard_count; i++) {
        broker->shards[i] = shard_open(broker, i, error, error_size);
        if (broker->shards[i] == NULL) {
            broker_close(&broker);
            return NULL;
        }
    }
    return broker;
}

static int
listen_on_all_shards(struct broker *broker, struct io_listener *listener, uint64_t token, char *error, size_t error_size)
{
    for (unsigned shard = 0; shard < broker->shard_count; shard++) {
        listener->first = shard == 0;
        int result = io_listen(io_of_shard(broker->ios, shard), listener, token, error, error_size);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}

int
broker_listen(struct broker *broker, char *error, size_t error_size)
{
    const struct config *config = atomic_load(&broker->config);
    for (unsigned i = 0; i < config->listener_count; i++) {
        const struct config_listener *from = &config->listeners[i];
        struct io_listener listener = {
            .host = from->host,
            .interface = from->interface,
            .path = from->unix_path,
            .mode = from->unix_mode,
            .port = from->port,
            .ipv4_only = from->ipv4_only,
            .ipv6_only = from->ipv6_only,
            .backlog = LISTEN_BACKLOG,
        };
        int result = listen_on_all_shards(broker, &listener, i, error, error_size);
        if (result != 0) {
            return result;
        }
        if (from->loopback) {
            /* `localhost` means ::1 too, on machines that have it. */
            char ignored[256];
            listener.host = "::1";
            listen_on_all_shards(broker, &listener, i, ignored, sizeof ignored);
        }
    }
    return 0;
}

/* Parcels hold references on other shards' messages: takes them to where they end, in one thread. */
static void
settle_parcels(struct broker *broker)
{
    for (unsigned pass = 0; pass < FINAL_PASSES; pass++) {
        for (unsigned i = 0; i < broker->shard_count; i++) {
            if (broker->shards[i] != NULL) {
                parcel_pass(broker->shards[i]);
                mesh_publish(broker->mesh, i);
            }
        }
    }
}

void
broker_close(struct broker **bp)
{
    struct broker *broker = *bp;
    *bp = NULL;
    if (broker->shard_count > 0 && broker->shards[broker->shard_count - 1] != NULL) {
        settle_parcels(broker);
    }
    for (unsigned i = 0; i < broker->shard_count; i++) {
        if (broker->shards[i] != NULL) {
            shard_close(&broker->shards[i]);
        }
    }
    for (unsigned i = 0; i < broker->snapshot_count; i++) {
        security_free(&broker->snapshots[i]);
    }
    if (broker->filters != NULL) {
        filter_index_fini(&broker->filters);
    }
    if (broker->mesh != NULL) {
        mesh_fini(&broker->mesh);
    }
    limits_close(&broker->limits);
    if (broker->store != NULL) {
        store_close(&broker->store);
    }
    if (broker->ios != NULL) {
        io_close_all(broker->ios);
    }
    free(broker);
}

void
broker_interrupt(struct broker *broker)
{
    for (unsigned i = 0; i < broker->shard_count; i++) {
        io_interrupt(io_of_shard(broker->ios, i));
    }
}

int
broker_reload(struct broker *broker, const struct config *config, char *error, size_t error_size)
{
    const struct security *security = take_snapshot(broker, config, error, error_size);
    if (security == NULL) {
        return -1;
    }
    if (!limits_reload(&broker->limits, config) || !take_bans(broker, security->bans)) {
        snprintf(error, error_size, "out of memory for limits and bans");
        give_up_snapshot(broker);
        return -1;
    }
    /* Release pairs with the acquire in take_configuration() (engine/shard.c), which looks for the snapshot first and the configuration then. */
    atomic_store_explicit(&broker->config, config, memory_order_release);
    atomic_store_explicit(&broker->security, security, memory_order_release);
    budget_set_limit(&broker->budget, config->memory_limit);
    broker_interrupt(broker);
    return 0;
}

bool
broker_is_taken_over(const struct broker *broker)
{
    return oldest_in_use(broker) == broker->snapshots[broker->snapshot_count - 1]->generation;
}

int
broker_reload_bans(struct broker *broker, const struct config *config, char *error, size_t error_size)
{
    struct ban_file *file = ban_file_read(config->ban_file, error, error_size);
    if (file == NULL) {
        return -1;
    }
    bool taken = take_bans(broker, file);
    ban_file_free(&file);
    if (!taken) {
        snprintf(error, error_size, "out of memory for the bans of %s", config->ban_file);
        return -1;
    }
    broker_interrupt(broker);
    return 0;
}

void
broker_stop(struct broker *broker)
{
    atomic_store(&broker->stopping, true);
    broker_interrupt(broker);
}
