#include "engine/durable/durable.h"

#include "engine/durable/compact.h"
#include "engine/durable/keep.h"
#include "engine/durable/promise.h"
#include "engine/durable/store.h"
#include "engine/journal/journal.h"
#include "engine/session/page.h"
#include "engine/shard.h"

#include <stdio.h>

static enum journal_mode
mode_of(enum config_sync sync)
{
    switch (sync) {
    case CONFIG_SYNC_INTERVAL:
        return JOURNAL_INTERVAL;
    case CONFIG_SYNC_NONE:
        return JOURNAL_NONE;
    case CONFIG_SYNC_ALWAYS:
        break;
    }
    return JOURNAL_ALWAYS;
}

static struct journal *
open_journal(struct shard *shard, char *error, size_t error_size)
{
    const struct config *config = shard->config;
    char directory[STORE_PATH_MAX];
    store_shard_directory(shard->broker->store, shard->number, directory);
    struct journal_options options = {
        .ios = shard->broker->ios,
        .io = shard->io,
        .account = shard->account,
        .directory = directory,
        .mode = mode_of(config->persistence_sync),
        .interval_ms = config->persistence_interval_ms,
        .segment_bytes = config->persistence_segment_size,
        .bytes_max = config->persistence_disk_limit / shard->broker->shard_count,
        .shard = shard->number,
        .owner = shard,
        .placed = page_placed,
        .fetched = page_fetched,
    };
    return journal_open(&options, error, error_size);
}

bool
durable_open(struct shard *shard, char *error, size_t error_size)
{
    if (shard->broker->store == NULL) {
        return true;
    }
    shard->journal = open_journal(shard, error, error_size);
    if (shard->journal == NULL) {
        return false;
    }
    compact_init(shard);
    if (!keep_open(shard) || !promise_init(shard) || !page_open(shard)) {
        snprintf(error, error_size, "out of memory for the journal of shard %u", shard->number);
        return false;
    }
    return true;
}

void
durable_close(struct shard *shard)
{
    if (shard->journal != NULL) {
        page_close(shard);
        promise_fini(shard);
        keep_close(shard);
        journal_close(&shard->journal);
    }
}
