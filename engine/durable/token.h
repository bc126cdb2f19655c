/*
 * token: QoS 2 messages that this shard has in its journal, and whose publishers may not know it yet, since a crash came between. Such a publisher sends it again (DUP), and what it
 * finds here is not routed twice.
 *
 * A message is the same if publisher, packet identifier and hash of topic and payload are, and if its publisher's session has not recorded it as received, which its count tells (promise.h W4). The newest of each identifier counts; beyond TOKEN_COUNT_MAX the oldest are forgotten.
 *
 * After a conversion for another number of shards (engine/durable/convert.h) what a record says holds for the sessions of its deliveries only: then the token has holders.
 *
 * Threads  the shard's own. Memory  charged to the account; without any a token is not remembered, and the message may come twice.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_TOKEN_H
#define TIDEWIRE_ENGINE_DURABLE_TOKEN_H

#include "engine/durable/entry.h"
#include "engine/shard.h"

/* Only what was under way at the crash is asked for, and that is what was recorded last. Raising it costs 60 bytes each, at most. */
#ifndef TOKEN_COUNT_MAX /* smaller in its test */
#define TOKEN_COUNT_MAX 65536u
#endif

/* Sessions that have a message already. */
struct token_holders {
    uint64_t *identities; /* NULL: none */
    uint32_t count, room;
};

/* Recovery: a record has this token; or has it for this session only; or its publisher is known to have had its PUBREC promised, or to be gone. */
void token_remember(struct shard *shard, const struct entry_token *token);
void token_remember_holder(struct shard *shard, const struct entry_token *token, uint64_t session);
/* Up to this count. Records of several old shards come one shard after the other, so a later message with this packet identifier may be known already. */
void token_forget(struct shard *shard, uint64_t identity, uint16_t packet_id, uint64_t count);

/*
 * A message with this token was sent again; its publisher's session has recorded those up to the count `recorded`. True if this shard has it; once. If some sessions have it they
 * go to `holders`, which is empty before.
 */
bool token_take(struct shard *shard, const struct entry_token *token, uint64_t recorded, struct token_holders *holders);

/*
 * Those that nobody has asked for yet, from the oldest on: the next one, and its holders (none: it holds for all); NULL at the end. `*at` is 0 at first. Of many only the newer half: their
 * copies count as newer than what was recorded before them, and must leave room for that.
 */
const struct token_holders *token_next(const struct shard *shard, uint32_t *at, struct entry_token *token);

void token_free_holders(struct shard *shard, struct token_holders *holders);
bool token_is_holder(const struct token_holders *holders, uint64_t session);

void token_fini(struct shard *shard);

#endif
