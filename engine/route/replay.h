/*
 * replay: retained messages: kept at the home shard of their topic, replayed to new subscriptions wherever those are.
 *
 *   session's shard                                  home(s): of the topic, or all shards for a wildcard
 *   REPLAY_BEGIN ──────────────────────────────────► a walk (router/retained.h), paused
 *   REPLAY_MORE, when the session has room ────────► goes on for so many messages
 *                 ◄────────────────── REPLAY_MESSAGE * up to what was granted
 *                 ◄──────────────────── REPLAY_PAUSE  waits
 *                 ◄────────────────────── REPLAY_END
 *   REPLAY_CANCEL, when the session ends ──────────► forgets
 *
 * Two guarantees make a last value trustworthy:
 *   Y1  Who subscribes after a retained message was acknowledged gets it. The message's parcel to its home was visible before the acknowledgement left, so before
 *       the REPLAY_BEGIN was sent; but the home may take parcels in any order of senders. So a walk starts only after one more whole pass over all queues
 *       (shard.h H2); and where the message did not fit into its queue, only after what had overflowed by then has come (engine/mesh.h M5).
 *   Y2  A session never gets an older retained message of a topic after a newer live one. While replays run, the session's shard remembers the topics of live
 *       messages with RETAIN set (engine/session/fresh.h) and leaves older ones out of the replay.
 *   Y3  The last retained message that was acknowledged is the one that is kept. Publishers of one topic may sit on different shards, whose parcels reach its
 *       home in any order; so each retained publication takes a stamp from one counter, before it is acknowledged, and the home ignores one that is older
 *       than what it has. The last SHARD_REMOVALS removals are remembered, however long ago: a parcel that did not fit into its ring
 *       (engine/mesh.h) can be under way for many turns.
 */
#ifndef TIDEWIRE_ENGINE_ROUTE_REPLAY_H
#define TIDEWIRE_ENGINE_ROUTE_REPLAY_H

#include "engine/route/publication.h"
#include "engine/session/session.h"
#include "router/subscribers.h"

/* Walks that one session may have under way; a subscription beyond is refused (Quota exceeded). Raising it costs memory per hostile SUBSCRIBE. */
#define REPLAYS_PER_SESSION_MAX 16384u /* times shards: a wildcard filter takes one walk on each */
/* Messages that all walks for one session together may have under way; a session's queue takes them even if live messages have filled it meanwhile. */
#define REPLAY_BATCH 64
/* Bytes of messages after which a walk pauses. */
#define REPLAY_BATCH_BYTES (256u * 1024)

/* Home side: keeps a publication for its topic, or forgets the topic's if the payload is empty. MQTT5 [MQTT-3.3.1-5] to [MQTT-3.3.1-8]. */
void replay_retain(struct shard *shard, struct publication *p);

/* Session side: asks for what is retained for a new subscription. */
void replay_begin(struct shard *shard, struct session *session, struct bytes filter, const struct subscription *s);
/* The session may have room again. */
void replay_continue(struct shard *shard, struct session *session);
void replay_cancel_all(struct shard *shard, struct session *session);

/* Home side, once per turn after the pass: takes all walks a bounded step forward. True if some want to go on at once. */
bool replay_run(struct shard *shard);

/* A parcel of one of the REPLAY_ types. */
void replay_handle(struct shard *shard, unsigned from, const void *parcel);

void replay_fini(struct shard *shard);

#endif
