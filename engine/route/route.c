#include "engine/route/route.h"

#include "engine/durable/keep.h"
#include "engine/route/deliver.h"
#include "engine/route/parcel.h"
#include "engine/route/replay.h"
#include "engine/route/share.h"

#include <stddef.h>
#include <stdlib.h>

#define NO_IDENTIFIER UINT32_MAX
/* Subscription identifiers that one delivery carries at most: one per overlapping subscription of the session. */
#define IDENTIFIERS_MAX 256u

/* One session that several matching filters lead to. */
struct gathered {
    struct session *session;
    uint32_t first_identifier; /* index into gathered_identifiers, or NO_IDENTIFIER */
    uint32_t last_identifier;
    uint8_t qos;
    bool retain_as_published;
};

struct gathered_identifier {
    uint32_t identifier;
    uint32_t next;
};

/* A live message of a topic overtakes older retained ones that are still to be replayed to this session. */
static void
note_fresh(struct shard *shard, struct session *session, const struct publication *p)
{
    if (p->retain && session_get_extra(session)->fresh != NULL) {
        fresh_add(shard->account, session->extra->fresh, broker_hash(shard->broker, p->topic.data, p->topic.size), p->stamp);
    }
}

static bool
wanted(const struct subscription *s, const struct publication *p)
{
    /* MQTT5 [MQTT-3.8.3-3]: No Local. */
    return !(s->no_local && s->session->identity == p->publisher);
}

/* One filter only, as almost always: no session can be in the list twice. */
static void
deliver_list(struct shard *shard, struct subscriber_list list, struct publication *p)
{
    for (uint32_t i = 0; i < list.count; i++) {
        const struct subscription *s = list.items[i];
        if (i + 4 < list.count) {
            __builtin_prefetch(list.items[i + 4]);
        }
        if (!wanted(s, p)) {
            continue;
        }
        struct deliver_terms terms = {
            .identifiers = &s->identifier,
            .identifier_count = s->identifier != 0,
            .qos = s->qos,
            .retain = s->retain_as_published && p->retain, /* MQTT5 [MQTT-3.3.1-12] [MQTT-3.3.1-13] */
        };
        note_fresh(shard, s->session, p);
        deliver_to_session(shard, s->session, p, &terms);
    }
}

static bool
grow_gathered(struct shard *shard)
{
    if (shard->gathered_count == shard->gathered_room) {
        uint32_t room = shard->gathered_room ? shard->gathered_room * 2 : 64;
        struct gathered *grown = realloc(shard->gathered, room * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        shard->gathered = grown;
        shard->gathered_room = room;
    }
    if (shard->gathered_identifiers_count == shard->gathered_identifiers_room) {
        uint32_t room = shard->gathered_identifiers_room ? shard->gathered_identifiers_room * 2 : 64;
        struct gathered_identifier *grown = realloc(shard->gathered_identifiers, room * sizeof *grown);
        if (grown == NULL) {
            return false;
        }
        shard->gathered_identifiers = grown;
        shard->gathered_identifiers_room = room;
    }
    return true;
}

static void
gather_identifier(struct shard *shard, struct gathered *g, uint32_t identifier)
{
    uint32_t at = shard->gathered_identifiers_count++;
    shard->gathered_identifiers[at] = (struct gathered_identifier){identifier, NO_IDENTIFIER};
    if (g->first_identifier == NO_IDENTIFIER) {
        g->first_identifier = at;
    } else {
        shard->gathered_identifiers[g->last_identifier].next = at;
    }
    g->last_identifier = at;
}

static void
gather(struct shard *shard, const struct subscription *s)
{
    if (!grow_gathered(shard)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return;
    }
    struct session *session = s->session;
    uint32_t known = session->gather_index; /* perhaps from an earlier gathering */
    if (known >= shard->gathered_count || shard->gathered[known].session != session) {
        session->gather_index = shard->gathered_count++;
        shard->gathered[session->gather_index] = (struct gathered){session, NO_IDENTIFIER, NO_IDENTIFIER, 0, false};
    }
    struct gathered *g = &shard->gathered[session->gather_index];
    /* MQTT5 [MQTT-3.3.4-2]: the highest QoS of all matching subscriptions. */
    g->qos = s->qos > g->qos ? s->qos : g->qos;
    g->retain_as_published = g->retain_as_published || s->retain_as_published;
    if (s->identifier != 0) {
        gather_identifier(shard, g, s->identifier);
    }
}

static void
deliver_gathered(struct shard *shard, const struct gathered *g, struct publication *p)
{
    uint32_t identifiers[IDENTIFIERS_MAX];
    uint32_t count = 0;
    for (uint32_t at = g->first_identifier; at != NO_IDENTIFIER && count < IDENTIFIERS_MAX; at = shard->gathered_identifiers[at].next) {
        identifiers[count++] = shard->gathered_identifiers[at].identifier;
    }
    struct deliver_terms terms = {
        .identifiers = identifiers,
        .identifier_count = count,
        .qos = g->qos,
        .retain = g->retain_as_published && p->retain,
    };
    note_fresh(shard, g->session, p);
    deliver_to_session(shard, g->session, p, &terms);
}

/*
 * Several filters match: a session gets one copy, at the highest QoS, with the identifiers of all its matching subscriptions
 * (MQTT5 3.3.4 allows one copy per subscription too; one is what users expect).
 */
static void
deliver_overlapping(struct shard *shard, const struct match *match, struct publication *p)
{
    shard->gathered_count = 0;
    shard->gathered_identifiers_count = 0;
    for (uint32_t i = 0; i < match->local_count; i++) {
        if (match->local[i].shared) {
            continue;
        }
        struct subscriber_list list = subscribers_get(&shard->subscribers, match->local[i].id);
        for (uint32_t k = 0; k < list.count; k++) {
            if (wanted(list.items[k], p)) {
                gather(shard, list.items[k]);
            }
        }
    }
    for (uint32_t i = 0; i < shard->gathered_count; i++) {
        deliver_gathered(shard, &shard->gathered[i], p);
    }
}

static void
deliver_match(struct shard *shard, const struct match *match, struct publication *p)
{
    uint32_t ordinary = 0;
    const struct match_id *only = NULL;
    for (uint32_t i = 0; i < match->local_count; i++) {
        if (match->local[i].shared) {
            share_publish(shard, match->local[i].id, p);
        } else {
            ordinary++;
            only = &match->local[i];
        }
    }
    if (ordinary == 1) {
        deliver_list(shard, subscribers_get(&shard->subscribers, only->id), p);
    } else if (ordinary > 1) {
        deliver_overlapping(shard, match, p);
    }
}

void
route_local(struct shard *shard, struct publication *p)
{
    deliver_match(shard, match_cache_find(shard->matches, p->topic, NULL), p);
    keep_publication(shard, p);
}

static void
send_retain(struct shard *shard, struct publication *p)
{
    unsigned home = broker_shard_of(shard->broker, p->topic.data, p->topic.size);
    if (home == shard->number) {
        replay_retain(shard, p);
    } else {
        parcel_send_message(shard, home, PARCEL_RETAIN, sizeof(struct parcel_publish), offsetof(struct parcel_publish, message), p);
    }
}

bool
route_publication(struct shard *shard, struct publication *p, uint32_t *memo)
{
    if (p->retain) {
        p->stamp = atomic_fetch_add(&shard->broker->retain_stamp, 1) + 1; /* seq_cst: pairs with engine/route/replay.c */
        if (p->message != NULL) {
            p->message->stamp = p->stamp; /* a will: its message is older than its publication */
        }
        send_retain(shard, p);
    }
    const struct match *match = match_cache_find(shard->matches, p->topic, memo);
    uint64_t own = UINT64_C(1) << shard->number;
    bool any = match->shards != 0;
    for (uint64_t others = match->shards & ~own; others != 0; others &= others - 1) {
        unsigned target = (unsigned)__builtin_ctzll(others);
        parcel_send_message(shard, target, PARCEL_PUBLISH, sizeof(struct parcel_publish), offsetof(struct parcel_publish, message), p);
    }
    if (match->local_count > 0) {
        deliver_match(shard, match, p);
    }
    keep_publication(shard, p);
    return any;
}
