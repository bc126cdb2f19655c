/*
 * subscribe: what SUBSCRIBE and UNSUBSCRIBE do beyond their packets, for those that must undo or complete it.
 */
#ifndef TIDEWIRE_ENGINE_PROTOCOL_SUBSCRIBE_H
#define TIDEWIRE_ENGINE_PROTOCOL_SUBSCRIBE_H

#include "engine/session/session.h"
#include "engine/shard.h"

/* Takes a subscription out of the session, this shard's lists and the index (a shared one: tells its home), and frees it. */
void subscribe_remove(struct shard *shard, struct session *session, struct subscription *s);
/* As subscribe_remove for a shared subscription that its home refused: nothing to tell. */
void subscribe_forget(struct shard *shard, struct session *session, struct subscription *s);

/* Sends a SUBACK that has all its codes; nothing if its connection is gone. */
void subscribe_finish(struct shard *shard, struct session *session, uint32_t suback_serial);
/*
 * One from before a restart, whatever the limits are now; its options are the caller's to set, and a shared one to be joined (engine/route/share.h). NULL when out of memory,
 * or if the text is no filter.
 */
struct subscription *subscribe_recall(struct shard *shard, struct session *session, struct bytes text);
/* What subscriptions are found by: `text_hash`. */
uint32_t subscribe_hash(const struct shard *shard, struct bytes text);

/* A home shard's answer: fills in one code of a waiting SUBACK, and sends it when it was the last. */
void subscribe_answer(struct shard *shard, struct session *session, uint32_t suback_serial, uint32_t code_index, uint8_t code);

#endif
