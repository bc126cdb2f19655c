/*
 * keep: writes into the shard's journal what happens to sessions that outlive their connection, to retained messages, and to what is owed to them. Each function is to be
 * called right after the change in memory; without a journal, or for a session that is not kept, it does nothing.
 *
 * Messages: between the routing of one publication and keep_publication() its deliveries are collected, and become one record.
 *
 * Invariants
 *   K1  a session is kept exactly while SESSION_KEPT is set; then its journal has a SESSION record. Once kept it is until it ends: with an expiry of 0 it ends when it is recovered.
 *   K2  a delivery of a kept session with QoS > 0 has a number, larger than those before it in its queue; its message, unless it was released, has a body number, or is recorded with it in a PAGE.
 *   K3  `kept_at` of a message is the position of the record with its body; of a delivery, that of the oldest record that it needs.
 *   K4  what a record says is the state at its place in the journal; so copies made later (engine/durable/compact.h) may stand in for all that came before.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_KEEP_H
#define TIDEWIRE_ENGINE_DURABLE_KEEP_H

#include "engine/session/session.h"
#include "engine/shard.h"

struct entry_token;
struct message;
struct publication;

/* Whether the session is kept, which it is only where there is a journal; `session->expiry_s` decided. */
static inline bool
keep_is_kept(const struct session *s)
{
    return (s->flags & SESSION_KEPT) != 0;
}

/* After CONNECT, and when its principal or expiry has changed: makes it kept, if it is to be. True if the journal has got a record. */
bool keep_session(struct shard *shard, struct session *session);
/* Recovery: there is a SESSION record. */
void keep_known(struct shard *shard, struct session *session);
/* It ends, now. What other members of its groups will get is in the journal until they have it. */
void keep_session_end(struct shard *shard, struct session *session);
void keep_end_number(struct shard *shard, uint64_t identity);
void keep_absent(struct shard *shard, struct session *session);
void keep_subscription(struct shard *shard, const struct session *session, const struct subscription *s);
void keep_unsubscribed(struct shard *shard, const struct session *session, struct bytes text);
void keep_will(struct shard *shard, struct session *session);
void keep_will_dropped(struct shard *shard, struct session *session);

/* A delivery that was queued or put in flight for this publication. */
void keep_delivery(struct shard *shard, struct publication *p, struct session *session, struct delivery *delivery);
/* This shard keeps the publication as its topic's retained message. `message`: as it is kept. */
void keep_retained(struct shard *shard, struct publication *p, struct message *message);
/* `removed`: there was one; else a full disk gets no record, but the removal of an earlier time is waited for. */
void keep_retain_removed(struct shard *shard, struct publication *p, bool removed);
/* All of it was routed: writes the record, and adds its position to what the publication waits for. */
void keep_publication(struct shard *shard, struct publication *p);

/* Deliveries of kept sessions. */
void keep_sent(struct shard *shard, struct session *session, struct delivery *delivery);     /* has a packet identifier now */
void keep_released(struct shard *shard, struct session *session, struct delivery *delivery); /* PUBREC has come */
void keep_done(struct shard *shard, struct session *session, struct delivery *delivery);     /* acknowledged, dropped, expired */
void keep_done_number(struct shard *shard, uint64_t identity, uint64_t number);

/* All shards that owe something of this QoS 2 message have it: it is received. It is not pending any more; nothing happens if it was not. */
void keep_received(struct shard *shard, struct session *session, uint64_t count, uint16_t packet_id);
void keep_completed(struct shard *shard, const struct session *session, uint16_t packet_id);

/* True if the disk is full, and what would add to it is to be refused. */
static inline bool
keep_is_full(const struct shard *shard)
{
    return shard->journal != NULL && shard->disk_full;
}

/* On a full disk: a session that is there already may be connected with, which takes some of what is left there; never the half that compaction and what makes state smaller have. */
bool keep_has_room_for_session(const struct shard *shard);

/* What keep needs on a shard; the journal is there. False when out of memory. */
bool keep_open(struct shard *shard);
void keep_close(struct shard *shard);
/* While state is made from what the journal says, nothing is recorded. */
void keep_be_silent(struct shard *shard, bool silent);
/* After that: numbers of bodies go on behind this one. */
void keep_bodies_from(struct shard *shard, uint64_t number);

/* What records say of a message and of a delivery; the second borrowed until the next call. `body`: its number, or 0. */
struct entry_body keep_body_of(const struct shard *shard, const struct message *message, uint64_t number);
struct entry_delivery keep_entry_of(struct shard *shard, const struct session *session, const struct delivery *delivery, uint64_t body);

/*
 * For copies (engine/durable/compact.h): the whole state of one thing as of now; of messages only where something that it needs is recorded before the position `before`.
 * All retained messages first, then sessions: the copy of a delivery brings the body along, but does not say that the body is retained.
 */
void keep_copy_retained(struct shard *shard, struct message *message, uint64_t before);
void keep_copy_token(struct shard *shard, const struct entry_token *token, const uint64_t *holders, uint32_t count);
void keep_copy_session(struct shard *shard, const struct session *session);
void keep_copy_delivery(struct shard *shard, const struct session *session, struct delivery *delivery, uint64_t before);

#endif
