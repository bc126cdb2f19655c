#include "engine/route/route.h"

#include "engine/durable/keep.h"
#include "engine/route/deliver.h"
#include "engine/route/parcel.h"
#include "engine/route/replay.h"
#include "engine/route/share.h"

#include <limits.h>
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
    if (s->no_local && s->session->identity == p->publisher) {
        return false;
    }
    return p->holders.count == 0 || !token_is_holder(&p->holders, s->session->identity);
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

/* `known`: after a crash its publisher sends again what the sessions here have already. What went to groups may not have arrived, so it goes to them again. */
static void
deliver_match(struct shard *shard, const struct match *match, struct publication *p, bool known)
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
    if (ordinary == 0 || known) {
        return;
    }
    if (ordinary == 1) {
        deliver_list(shard, subscribers_get(&shard->subscribers, only->id), p);
    } else {
        deliver_overlapping(shard, match, p);
    }
}

/*
 * After a crash: this shard has it already. A retained one still takes its place again: what its publisher sent before it may have been sent again too, and a deletion leaves no token.
 */
static bool
is_known(struct shard *shard, struct publication *p)
{
    return p->again && token_take(shard, &p->token, p->recorded, &p->holders);
}

void
route_local(struct shard *shard, struct publication *p, bool retain)
{
    bool known = is_known(shard, p);
    if (retain) {
        replay_retain(shard, p);
    }
    deliver_match(shard, match_cache_find(shard->matches, p->topic, NULL), p, known);
    keep_publication(shard, p);
}

static unsigned
home_of(const struct shard *shard, struct bytes topic)
{
    return broker_shard_of(shard->broker, topic.data, topic.size);
}

/* Whether something durable may come of a message there. Seq_cst, after the match: a kept session counts before its client subscribes (engine/durable/keep.c). */
static bool
may_keep(const struct shard *shard, unsigned target)
{
    return atomic_load(&shard->broker->kept_sessions[target]) > 0 || atomic_load(&shard->broker->share_groups[target]) > 0;
}

/* Of this shard it is known exactly; groups may have members anywhere. */
static bool
would_keep(const struct shard *shard, const struct match *match)
{
    for (uint32_t i = 0; i < match->local_count; i++) {
        if (match->local[i].shared) {
            return true;
        }
        struct subscriber_list list = subscribers_get(&shard->subscribers, match->local[i].id);
        for (uint32_t k = 0; k < list.count; k++) {
            if (list.items[k]->qos > 0 && keep_is_kept(list.items[k]->session)) {
                return true;
            }
        }
    }
    return false;
}

/* Groups have members anywhere: only if no shard that keeps sessions has room it is certain that none of these can take it. */
static bool
is_barred_from_groups(const struct shard *shard, const struct match *match, uint64_t full)
{
    uint64_t keeping = 0;
    bool any = false;
    for (unsigned i = 0; i < shard->broker->shard_count; i++) {
        keeping |= (uint64_t)(atomic_load(&shard->broker->kept_sessions[i]) > 0) << i;
        any = any || ((match->shards >> i & 1) != 0 && atomic_load(&shard->broker->share_groups[i]) > 0);
    }
    return any && keeping != 0 && (keeping & ~full) == 0;
}

bool
route_is_barred_by_disk(struct shard *shard, struct bytes topic, uint8_t qos, bool retain, uint32_t *memo)
{
    uint64_t full = atomic_load_explicit(&shard->broker->full_disks, memory_order_relaxed);
    if (full == 0) {
        return false;
    }
    if (retain && shard->config->retained_persistence && (full >> home_of(shard, topic) & 1) != 0) {
        return true;
    }
    if (qos == 0) {
        return false;
    }
    const struct match *match = match_cache_find(shard->matches, topic, memo);
    uint64_t own = UINT64_C(1) << shard->number;
    for (uint64_t others = match->shards & full & ~own; others != 0; others &= others - 1) {
        if (may_keep(shard, (unsigned)__builtin_ctzll(others))) {
            return true;
        }
    }
    return ((full & own) != 0 && would_keep(shard, match)) || is_barred_from_groups(shard, match, full);
}

/* Who publishes with QoS 0 waits for nothing, without a journal nobody does. */
static bool
is_waited_for(const struct shard *shard, const struct publication *p)
{
    return shard->journal != NULL && p->qos > 0;
}

static void
send_retain(struct shard *shard, struct publication *p, unsigned home)
{
    bool confirm = is_waited_for(shard, p) && shard->config->retained_persistence;
    parcel_send_publication(shard, home, PARCEL_RETAIN, p, confirm, true);
}

static void
send_to_others(struct shard *shard, uint64_t targets, struct publication *p, unsigned retain_home)
{
    for (; targets != 0; targets &= targets - 1) {
        unsigned target = (unsigned)__builtin_ctzll(targets);
        bool retain = target == retain_home;
        bool confirm = is_waited_for(shard, p) && (may_keep(shard, target) || (retain && shard->config->retained_persistence));
        parcel_send_publication(shard, target, PARCEL_PUBLISH, p, confirm, retain);
    }
}

bool
route_publication(struct shard *shard, struct publication *p, uint32_t *memo)
{
    unsigned retain_home = UINT_MAX;
    bool known = is_known(shard, p);
    if (p->retain) {
        p->stamp = atomic_fetch_add(&shard->broker->retain_stamp, 1) + 1; /* seq_cst: pairs with engine/route/replay.c */
        if (p->message != NULL) {
            p->message->stamp = p->stamp; /* a will: its message is older than its publication */
        }
        retain_home = home_of(shard, p->topic);
        if (retain_home == shard->number) {
            replay_retain(shard, p);
        }
    }
    const struct match *match = match_cache_find(shard->matches, p->topic, memo);
    uint64_t others = match->shards & ~(UINT64_C(1) << shard->number);
    bool any = match->shards != 0;
    if (p->retain && retain_home != shard->number && (others >> retain_home & 1) == 0) {
        send_retain(shard, p, retain_home);
    }
    if (others != 0) {
        send_to_others(shard, others, p, retain_home);
    }
    if (match->local_count > 0) {
        deliver_match(shard, match, p, known);
    }
    keep_publication(shard, p);
    return any;
}
