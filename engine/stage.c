#include "engine/stage.h"

#include "engine/log.h"

#include <string.h>

/* Acquire and release: what the others did before they took theirs off is seen by who finds 0. */
static bool
is_zero(const _Atomic unsigned *count)
{
    return atomic_load_explicit(count, memory_order_acquire) == 0;
}

static void
take_off(struct shard *shard, _Atomic unsigned *count)
{
    if (atomic_fetch_sub_explicit(count, 1, memory_order_acq_rel) == 1) {
        broker_interrupt(shard->broker);
    }
}

static void
begin_listening(struct shard *shard)
{
    int result = io_listen_begin(shard->io);
    if (result != 0) {
        log_line(CONFIG_LOG_ERROR, "Error: shard %u cannot listen: %s", shard->number, strerror(-result));
        broker_stop(shard->broker);
        return;
    }
    take_off(shard, &shard->broker->shards_closed);
}

bool
stage_can_go(const struct shard *shard)
{
    const struct broker *broker = shard->broker;
    switch ((enum stage)shard->stage) {
    case STAGE_JOINING:
        return shard->joins_awaited == 0;
    case STAGE_WAITING:
        return is_zero(&broker->shards_joining);
    case STAGE_SETTLING:
        return !shard->timers_behind;
    case STAGE_OPENING:
        return is_zero(&broker->shards_settling);
    case STAGE_OPEN:
        break;
    }
    return false;
}

void
stage_step(struct shard *shard)
{
    struct broker *broker = shard->broker;
    if (shard->stopping || !stage_can_go(shard)) {
        return;
    }
    switch ((enum stage)shard->stage++) {
    case STAGE_JOINING:
        take_off(shard, &broker->shards_joining);
        break;
    case STAGE_WAITING:
        /* Identities of before may live on any shard: new ones come after all of them. */
        shard->session_serial = atomic_load_explicit(&broker->session_serial, memory_order_relaxed);
        break;
    case STAGE_SETTLING:
        take_off(shard, &broker->shards_settling);
        break;
    case STAGE_OPENING:
        begin_listening(shard);
        break;
    case STAGE_OPEN:
        break;
    }
}
