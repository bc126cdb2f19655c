/*
 * stage: how the shards of a broker come up together. Nobody is let in before all of them know again what was there before a restart, and have told each other.
 *
 *   JOINING ──own subscriptions are members of their groups again──► WAITING ──everybody's are──► SETTLING ──what was due meanwhile has happened──► OPENING
 *           ──everybody's has──► OPEN: it listens
 *
 * Before SETTLING no timer fires: a will, or the end of a session, may be for sessions that another shard does not know yet.
 *
 * Threads  stage_step: the shard's own. The counts in struct broker go down to 0, once each; who takes the last one off wakes all.
 */
#ifndef TIDEWIRE_ENGINE_STAGE_H
#define TIDEWIRE_ENGINE_STAGE_H

#include "engine/shard.h"

enum stage {
    STAGE_JOINING,
    STAGE_WAITING,
    STAGE_SETTLING,
    STAGE_OPENING,
    STAGE_OPEN,
};

/* A step may be taken now. */
bool stage_can_go(const struct shard *shard);
/* At the end of each turn, after what it has for other shards was published; takes at most one step. */
void stage_step(struct shard *shard);

static inline bool
stage_has_timers(const struct shard *shard)
{
    return shard->stage >= STAGE_SETTLING;
}

#endif
