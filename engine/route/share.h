/*
 * share: shared subscriptions. A group ($share/name/filter) has one home shard, by the hash of its text; the home keeps the members, wherever their sessions live, and
 * picks one for each message.
 *
 *   session's shard                              home
 *   SHARE_JOIN, _LEAVE, _ONLINE  ──────────────► members
 *                   ◄───────────── SHARE_JOINED  (then the SUBACK goes out: the filter is in the index)
 *                   ◄──────────── SHARE_DELIVER  one message for one member
 *   SHARE_BOUNCE ──────────────────────────────► the member is gone, or gives it back: pick another
 *                   ◄──────────── SHARE_RELEASE  others are connected (still, or again): give back what that absent session holds unacknowledged
 *
 * With a journal a message with QoS > 0 carries a gate (engine/durable/promise.h) wherever it goes, and whoever ends its way settles it: it was delivered, queued, or dropped.
 *
 * Fairness: members take turns; those that are not connected are passed over while any is, and those whose queue is full while another has room.
 * Order: QoS 2 messages already sent to a member are never given to another (MQTT5 4.8.2); QoS 1 ones are, once their session is not connected.
 *
 * Invariants
 *   G1  a group exists while it has members; then its filter is in the index with the home's bit.
 *   G2  `serial` names a group for ever within its home; a parcel that names one that is gone is dropped, and its message counted.
 *   G3  the first `online_count` members are the connected ones.
 */
#ifndef TIDEWIRE_ENGINE_ROUTE_SHARE_H
#define TIDEWIRE_ENGINE_ROUTE_SHARE_H

#include "codec/topic.h"
#include "engine/route/publication.h"
#include "engine/session/session.h"

/* Session side. Joining (or changing options) of a subscription whose share_* fields are set; the answer completes the SUBACK `suback_serial` at `code_index`. */
void share_join(struct shard *shard, struct subscription *s, uint32_t suback_serial, uint32_t code_index);
void share_leave(struct shard *shard, const struct subscription *s);
/* As `suback_serial`: nobody waits for an answer but the start of this shard (shard.joins_awaited). */
#define SHARE_RECALLED 0u
/* The group of a delivery of which only the subscription's text_hash is known. False if there is no such subscription, or its home has not answered. */
bool share_find_again(const struct session *session, struct delivery *delivery);
void share_online(struct shard *shard, const struct session *session, bool online);
/* Gives a message of a session back to its group's home. Its record is over once it has found another place: then `delivery` has no number any more. */
void share_bounce(struct shard *shard, uint64_t identity, struct delivery *delivery);

/* Home side: a message matched the group of this filter id. */
void share_publish(struct shard *shard, uint32_t filter_id, struct publication *p);

/* The shard that is home of a shared subscription's text. */
unsigned share_home(const struct shard *shard, struct bytes text);

/* A parcel of one of the SHARE_ types. */
void share_handle(struct shard *shard, unsigned from, const void *parcel);

void share_fini(struct shard *shard);

#endif
