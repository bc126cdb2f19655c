#include "engine/durable/token.h"

#include <assert.h>
#include <stdlib.h>

#define PLACES_MIN 64u
#define NONE UINT32_MAX

/* A place for one token; 0 in `identity`: free. */
struct token {
    uint64_t identity;
    uint64_t count;
    uint64_t hash;
    struct token_holders holders; /* none: it holds for all */
    uint32_t next; /* in its bucket, or NONE */
    uint16_t packet_id;
};

/* Places are filled in a circle, so the next one to fill holds the oldest. As many buckets as places. */
struct tokens {
    struct token *places;
    uint32_t *buckets;
    uint32_t room, cursor;
};

static uint64_t
bytes_of_room(uint32_t room)
{
    return room * (sizeof(struct token) + sizeof(uint32_t));
}

static uint32_t *
bucket_of(const struct tokens *t, uint64_t identity, uint16_t packet_id)
{
    uint64_t mixed = (identity ^ (uint64_t)packet_id << 40) * 0x9E3779B97F4A7C15u;
    return &t->buckets[(mixed >> 32) & (t->room - 1)];
}

static void
enter(struct tokens *t, uint32_t place)
{
    uint32_t *bucket = bucket_of(t, t->places[place].identity, t->places[place].packet_id);
    t->places[place].next = *bucket;
    *bucket = place;
}

void
token_free_holders(struct shard *shard, struct token_holders *holders)
{
    budget_refund(shard->account, holders->room * sizeof *holders->identities);
    free(holders->identities);
    *holders = (struct token_holders){0};
}

bool
token_is_holder(const struct token_holders *holders, uint64_t session)
{
    for (uint32_t i = 0; i < holders->count; i++) {
        if (holders->identities[i] == session) {
            return true;
        }
    }
    return false;
}

static void
add_holder(struct shard *shard, struct token_holders *holders, uint64_t session)
{
    if (holders->count == holders->room) {
        uint32_t room = holders->room ? holders->room * 2 : 4;
        uint64_t *grown = realloc(holders->identities, room * sizeof *grown);
        if (grown == NULL) {
            return;
        }
        budget_charge(shard->account, (room - holders->room) * sizeof *grown);
        holders->identities = grown;
        holders->room = room;
    }
    holders->identities[holders->count++] = session;
}

static void
clear(struct shard *shard, struct tokens *t, uint32_t place)
{
    struct token *gone = &t->places[place];
    if (gone->identity == 0) {
        return;
    }
    uint32_t *at = bucket_of(t, gone->identity, gone->packet_id);
    while (*at != place) {
        at = &t->places[*at].next;
    }
    *at = gone->next;
    gone->identity = 0;
    token_free_holders(shard, &gone->holders);
}

static uint32_t
find(const struct tokens *t, uint64_t identity, uint16_t packet_id)
{
    uint32_t at = *bucket_of(t, identity, packet_id);
    while (at != NONE && !(t->places[at].identity == identity && t->places[at].packet_id == packet_id)) {
        at = t->places[at].next;
    }
    return at;
}

/* All places are taken up to the last: more of them, or back to the first. */
static void
grow(struct shard *shard, struct tokens *t)
{
    uint32_t room = t->room ? t->room * 2 : PLACES_MIN;
    t->cursor = 0;
    if (room > TOKEN_COUNT_MAX) {
        return;
    }
    struct token *places = realloc(t->places, room * sizeof *places);
    t->places = places != NULL ? places : t->places;
    uint32_t *buckets = places != NULL ? realloc(t->buckets, room * sizeof *buckets) : NULL;
    if (buckets == NULL) {
        return;
    }
    budget_charge(shard->account, bytes_of_room(room) - bytes_of_room(t->room));
    memset(places + t->room, 0, (room - t->room) * sizeof *places);
    memset(buckets, 0xFF, room * sizeof *buckets);
    t->buckets = buckets;
    t->cursor = t->room;
    t->room = room;
    for (uint32_t i = 0; i < t->cursor; i++) {
        if (places[i].identity != 0) {
            enter(t, i);
        }
    }
}

static struct tokens *
need_tokens(struct shard *shard)
{
    if (shard->tokens == NULL) {
        shard->tokens = calloc(1, sizeof *shard->tokens);
        budget_charge(shard->account, shard->tokens != NULL ? sizeof *shard->tokens : 0);
    }
    return shard->tokens;
}

/* NULL when out of memory. */
static struct token *
add_token(struct shard *shard, const struct entry_token *token)
{
    struct tokens *t = need_tokens(shard);
    if (t == NULL) {
        return NULL;
    }
    token_forget(shard, token->identity, token->packet_id, token->count);
    if (t->cursor == t->room) {
        grow(shard, t);
    }
    if (t->room == 0) {
        return NULL;
    }
    clear(shard, t, t->cursor);
    t->places[t->cursor] = (struct token){.identity = token->identity, .count = token->count, .hash = token->hash, .packet_id = token->packet_id};
    enter(t, t->cursor);
    return &t->places[t->cursor++];
}

static struct token *
get_token(const struct tokens *t, uint64_t identity, uint16_t packet_id)
{
    uint32_t at = t != NULL && t->room > 0 ? find(t, identity, packet_id) : NONE;
    return at != NONE ? &t->places[at] : NULL;
}

/* Than what is known of this packet identifier. */
static bool
is_older(const struct token *known, const struct entry_token *token)
{
    return known != NULL && known->count > token->count;
}

void
token_remember(struct shard *shard, const struct entry_token *token)
{
    assert(token->identity != 0);
    if (!is_older(get_token(shard->tokens, token->identity, token->packet_id), token)) {
        add_token(shard, token);
    }
}

void
token_remember_holder(struct shard *shard, const struct entry_token *token, uint64_t session)
{
    assert(token->identity != 0);
    struct token *known = get_token(shard->tokens, token->identity, token->packet_id);
    if (is_older(known, token)) {
        return;
    }
    if (known == NULL || known->hash != token->hash || known->count != token->count || known->holders.count == 0) {
        known = add_token(shard, token);
    }
    if (known != NULL) {
        add_holder(shard, &known->holders, session);
    }
}

void
token_forget(struct shard *shard, uint64_t identity, uint16_t packet_id, uint64_t count)
{
    const struct token *known = get_token(shard->tokens, identity, packet_id);
    if (known != NULL && known->count <= count) {
        clear(shard, shard->tokens, (uint32_t)(known - shard->tokens->places));
    }
}

bool
token_take(struct shard *shard, const struct entry_token *token, uint64_t recorded, struct token_holders *holders)
{
    struct token *known = get_token(shard->tokens, token->identity, token->packet_id);
    if (known == NULL) {
        return false;
    }
    bool same = known->hash == token->hash && known->count > recorded;
    bool whole = known->holders.count == 0;
    if (same) {
        *holders = known->holders;
        known->holders = (struct token_holders){0};
    }
    token_forget(shard, token->identity, token->packet_id, UINT64_MAX); /* if another message took its identifier, that one will not come again */
    return same && whole;
}

const struct token_holders *
token_next(const struct shard *shard, uint32_t *at, struct entry_token *token)
{
    const struct tokens *t = shard->tokens;
    uint32_t room = t != NULL ? t->room : 0;
    if (*at == 0 && room > TOKEN_COUNT_MAX / 2) {
        *at = room - TOKEN_COUNT_MAX / 2;
    }
    while (*at < room) {
        const struct token *each = &t->places[(t->cursor + (*at)++) & (room - 1)];
        if (each->identity != 0) {
            *token = (struct entry_token){.identity = each->identity, .count = each->count, .hash = each->hash, .packet_id = each->packet_id};
            return &each->holders;
        }
    }
    return NULL;
}

void
token_fini(struct shard *shard)
{
    struct tokens *t = shard->tokens;
    if (t == NULL) {
        return;
    }
    for (uint32_t i = 0; i < t->room; i++) {
        token_free_holders(shard, &t->places[i].holders);
    }
    budget_refund(shard->account, sizeof *t + bytes_of_room(t->room));
    free(t->places);
    free(t->buckets);
    free(t);
    shard->tokens = NULL;
}
