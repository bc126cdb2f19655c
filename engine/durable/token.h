/*
 * token: QoS 2 messages that this shard has in its journal, and whose publishers may not know it yet, since a crash came between. Such a publisher sends it again (DUP), and what it
 * finds here is not routed twice.
 *
 * A message is the same if publisher, packet identifier and hash of topic and payload are. The newest of each identifier counts; beyond TOKEN_COUNT_MAX the oldest are forgotten.
 *
 * Threads  the shard's own. Memory  charged to the account; without any a token is not remembered, and the message may come twice.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_TOKEN_H
#define TIDEWIRE_ENGINE_DURABLE_TOKEN_H

#include "engine/durable/entry.h"
#include "engine/shard.h"

/* Only what was under way at the crash is asked for, and that is what was recorded last. Raising it costs 32 bytes each, at most. */
#ifndef TOKEN_COUNT_MAX /* smaller in its test */
#define TOKEN_COUNT_MAX 65536u
#endif

/* Recovery: a record has this token; or its publisher is known to have had its PUBREC promised, or to be gone. */
void token_remember(struct shard *shard, const struct entry_token *token);
void token_forget(struct shard *shard, uint64_t identity, uint16_t packet_id);

/* Slow half of the next. */
bool token_look_up(struct shard *shard, const struct entry_token *token);

/* A message with this token was sent again. True if it was recorded here; once. */
static inline bool
token_known(struct shard *shard, const struct entry_token *token)
{
    return shard->tokens != NULL && token->identity != 0 && token_look_up(shard, token);
}

void token_fini(struct shard *shard);

#endif
