#include "engine/route/share.h"

#include "engine/durable/keep.h"
#include "engine/durable/promise.h"
#include "engine/protocol/subscribe.h"
#include "engine/route/deliver.h"
#include "engine/route/parcel.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

/* Members that one message is offered to before it must be taken or dropped; also ends what would go round for ever. */
#define TRIES_MAX 16u
/* Of those that may not read it: more, so that strangers in a group cannot easily keep messages from the others. Raising it costs that many parcels for one message. */
#define DENIED_MAX 256u

struct share_member {
    struct session_reference reference;
    uint32_t identifier;
    uint32_t text_hash;
    uint8_t shard;
    uint8_t qos;
    bool retain_as_published;
    bool online;
};

struct share_group {
    struct share_group *next;      /* in its bucket */
    struct share_member *members;
    uint8_t *text;
    uint32_t text_size;
    uint32_t text_hash;
    uint32_t serial;
    uint32_t filter_id;
    uint32_t count, room;
    uint32_t online_count;
    uint32_t cursor;
};

struct parcel_share_join { /* JOIN; the text follows */
    struct parcel head;
    uint8_t qos;
    bool retain_as_published;
    bool online;
    struct session_reference reference;
    uint32_t identifier;
    uint32_t text_hash;
    uint32_t text_size;
    uint32_t join;
    uint32_t suback_serial;
    uint32_t code_index;
};

struct parcel_share_joined {
    struct parcel head;
    uint8_t code; /* 0, or a failure for the SUBACK */
    struct session_reference reference;
    uint32_t serial;
    uint32_t filter_id;
    uint32_t text_hash;
    uint32_t join;
    uint32_t suback_serial;
    uint32_t code_index;
};

struct parcel_share_member { /* LEAVE, ONLINE (the text follows); RELEASE (no text) */
    struct parcel head;
    bool online;
    struct session_reference reference;
    uint32_t serial;
    uint32_t text_hash;
    uint32_t text_size;
};

struct parcel_share_deliver { /* DELIVER, BOUNCE */
    struct parcel head;
    uint8_t tries;   /* members that could not take it */
    bool last;       /* DELIVER: nobody else is left to try */
    uint16_t denied; /* members that may not read it */
    uint32_t first;  /* the member that it was offered to first */
    struct gate_reference gate; /* of who waits until it has found its session */
    struct session_reference reference;
    uint32_t serial;
    uint32_t filter_id;
    uint32_t text_hash;
    struct parcel_message message;
};

unsigned
share_home(const struct shard *shard, struct bytes text)
{
    return broker_shard_of(shard->broker, text.data, text.size);
}

/* --------------------------------------------------------------------------------------------------------- session side */

static struct session *
checked_session(const struct session_reference *r)
{
    return r->session->identity == r->identity ? r->session : NULL;
}

static struct session_reference
reference_to(const struct session *session)
{
    return (struct session_reference){(struct session *)(uintptr_t)session, session->identity};
}

void
share_join(struct shard *shard, struct subscription *s, uint32_t suback_serial, uint32_t code_index)
{
    struct parcel_share_join *parcel = parcel_send(shard, s->share->home, PARCEL_SHARE_JOIN, sizeof *parcel, s->share->text_size);
    parcel->qos = s->qos;
    parcel->retain_as_published = s->retain_as_published;
    parcel->online = s->session->connection != NULL; /* not if it comes from before a restart */
    parcel->reference = reference_to(s->session);
    parcel->identifier = s->identifier;
    parcel->text_hash = s->text_hash;
    parcel->text_size = s->share->text_size;
    parcel->join = s->share->join = ++shard->share_join_serial;
    parcel->suback_serial = suback_serial;
    parcel->code_index = code_index;
    memcpy(parcel + 1, s->share->text, s->share->text_size);
}

static void
send_member(struct shard *shard, const struct subscription *s, enum parcel_type type, bool online)
{
    struct parcel_share_member *parcel = parcel_send(shard, s->share->home, type, sizeof *parcel, s->share->text_size);
    parcel->online = online;
    parcel->reference = reference_to(s->session);
    parcel->text_hash = s->text_hash;
    parcel->text_size = s->share->text_size;
    memcpy(parcel + 1, s->share->text, s->share->text_size);
}

void
share_leave(struct shard *shard, const struct subscription *s)
{
    send_member(shard, s, PARCEL_SHARE_LEAVE, false);
}

void
share_online(struct shard *shard, const struct session *session, bool online)
{
    uint32_t room;
    struct subscription *const *places = session_subscriptions(session, &room);
    for (uint32_t i = 0; i < room; i++) {
        const struct subscription *s = places[i];
        if (s != NULL && s->shared) {
            send_member(shard, s, PARCEL_SHARE_ONLINE, online);
        }
    }
}

void
share_bounce(struct shard *shard, uint64_t identity, struct delivery *d)
{
    struct publication p;
    publication_of_message(&p, d->message);
    struct parcel_share_deliver *parcel =
        parcel_send_message(shard, d->share_home, PARCEL_SHARE_BOUNCE, sizeof *parcel, offsetof(struct parcel_share_deliver, message), &p);
    if (parcel != NULL) {
        parcel->serial = d->share_serial;
        parcel->filter_id = d->share_filter;
        if (d->number != 0) {
            parcel->gate = promise_gate_leaving(shard, identity, d->number);
            d->number = 0; /* its record is over later */
        }
    }
    publication_fini(shard, &p);
}

/* The session's subscription in a group of that home; `serial` 0: whatever its group. */
static struct subscription *
member_subscription(const struct session *session, unsigned home, uint32_t serial, uint32_t text_hash)
{
    uint32_t room;
    struct subscription *const *places = session_subscriptions(session, &room);
    for (uint32_t i = 0; i < room; i++) {
        struct subscription *s = places[(text_hash + i) & (room - 1)];
        if (s == NULL) {
            return NULL;
        }
        if (s->shared && s->text_hash == text_hash && s->share->home == home && (serial == 0 || s->share->serial == serial)) {
            return s;
        }
    }
    return NULL;
}

bool
share_find_again(const struct session *session, struct delivery *d)
{
    uint32_t room;
    uint32_t text_hash = d->share_hash;
    struct subscription *const *places = session_subscriptions(session, &room);
    for (uint32_t i = 0; i < room; i++) {
        const struct subscription *s = places[(text_hash + i) & (room - 1)];
        if (s == NULL) {
            return false;
        }
        if (s->shared && s->text_hash == text_hash && s->share->serial != 0) {
            d->share_serial = s->share->serial;
            d->share_filter = s->share->filter_id;
            d->share_home = s->share->home;
            return true;
        }
    }
    return false;
}

/* A subscription from before a restart is a member again; NULL: its home refused it. What came through it then can go back to its group from now on. */
static void
take_back(struct session *session, const struct subscription *s)
{
    const struct session_owed *owed = session_get_owed(session);
    struct delivery *const lists[] = {owed->inflight.first, owed->queue.first};
    for (unsigned i = 0; s != NULL && i < sizeof lists / sizeof lists[0]; i++) {
        for (struct delivery *d = lists[i]; d != NULL; d = d->next) {
            if (d->share_serial == 0 && d->share_hash == s->text_hash) {
                share_find_again(session, d);
            }
        }
    }
}

static void
handle_joined(struct shard *shard, unsigned from, const struct parcel_share_joined *parcel)
{
    bool recalled = parcel->suback_serial == SHARE_RECALLED && shard->joins_awaited > 0;
    shard->joins_awaited -= recalled;
    struct session *session = checked_session(&parcel->reference);
    if (session == NULL) {
        return;
    }
    struct subscription *s = member_subscription(session, from, 0, parcel->text_hash);
    if (s != NULL) {
        s->share->serial = parcel->serial;
        s->share->filter_id = parcel->filter_id;
    }
    /* Only the answer to the last SHARE_JOIN takes it away: a later one may have made it a member, and then nobody would tell the home when it leaves. */
    if (s != NULL && parcel->code >= 0x80 && s->share->join == parcel->join) {
        keep_unsubscribed(shard, session, bytes_of(s->share->text, s->share->text_size));
        subscribe_forget(shard, session, s);
        s = NULL;
    }
    if (recalled) {
        take_back(session, s);
        return;
    }
    subscribe_answer(shard, session, parcel->suback_serial, parcel->code_index, parcel->code);
}

enum member_answer {
    MEMBER_TAKES,
    MEMBER_CANNOT,
    MEMBER_MAY_NOT, /* read it */
};

/* One piece of a publication is where it ends. */
static void
settle(struct shard *shard, const struct gate_reference *gate, const struct publication *p)
{
    if (gate->serial != 0) {
        promise_settle(shard, gate, p != NULL ? p->needs.position : 0);
    }
}

static void
give_back(struct shard *shard, unsigned home, const struct parcel_share_deliver *parcel, struct publication *p, enum member_answer answer)
{
    struct parcel_share_deliver *back = parcel_send_message(shard, home, PARCEL_SHARE_BOUNCE, sizeof *back, offsetof(struct parcel_share_deliver, message), p);
    if (back == NULL) {
        settle(shard, &parcel->gate, NULL);
        return;
    }
    back->serial = parcel->serial;
    back->filter_id = parcel->filter_id;
    back->tries = (uint8_t)(parcel->tries + (answer == MEMBER_CANNOT));
    back->first = parcel->first;
    back->denied = (uint16_t)(parcel->denied + (answer == MEMBER_MAY_NOT));
    back->gate = parcel->gate;
}

static bool
lacks_disk(const struct shard *shard, const struct session *session, const struct publication *p, const struct subscription *s)
{
    return keep_is_full(shard) && keep_is_kept(session) && deliver_qos(shard, p->qos, s->qos) > 0;
}

static enum member_answer
deliver_to_member(struct shard *shard, unsigned home, const struct parcel_share_deliver *d, struct publication *p)
{
    struct session *session = checked_session(&d->reference);
    const struct subscription *s = session ? member_subscription(session, home, d->serial, d->text_hash) : NULL;
    if (s == NULL || (!d->last && (session_queue_is_full(shard, session) || lacks_disk(shard, session, p, s)))) {
        return MEMBER_CANNOT;
    }
    if (!deliver_is_allowed(shard, session, p)) {
        return MEMBER_MAY_NOT;
    }
    struct deliver_terms terms = {
        .identifiers = &s->identifier,
        .identifier_count = s->identifier != 0,
        .share_serial = d->serial,
        .share_filter = d->filter_id,
        .share_hash = s->text_hash,
        .share_home = (uint8_t)home,
        .qos = s->qos,
        .retain = s->retain_as_published && p->retain,
        .allowed = true,
    };
    deliver_to_session(shard, session, p, &terms);
    keep_publication(shard, p);
    return MEMBER_TAKES;
}

static void
handle_deliver(struct shard *shard, unsigned from, const struct parcel_share_deliver *parcel)
{
    struct publication p;
    if (!parcel_publication(shard, from, parcel, sizeof *parcel, &parcel->message, &p)) {
        settle(shard, &parcel->gate, NULL);
        return;
    }
    enum member_answer answer = deliver_to_member(shard, from, parcel, &p);
    if (answer == MEMBER_TAKES) {
        settle(shard, &parcel->gate, &p);
    } else {
        give_back(shard, from, parcel, &p, answer);
    }
    publication_fini(shard, &p);
}

/* ------------------------------------------------------------------------------------------------------------- home side */

static struct share_group *
find_by_text(const struct shard *shard, struct bytes text, uint32_t hash)
{
    if (shard->share_group_buckets == 0) {
        return NULL;
    }
    struct share_group *g = shard->share_groups_by_text[hash & (shard->share_group_buckets - 1)];
    while (g != NULL && !(g->text_hash == hash && bytes_equal(bytes_of(g->text, g->text_size), text))) {
        g = g->next;
    }
    return g;
}

static struct share_group *
find_by_filter(const struct shard *shard, uint32_t filter_id)
{
    return filter_id < shard->share_groups_by_filter_count ? shard->share_groups_by_filter[filter_id] : NULL;
}

static bool
grow_buckets(struct shard *shard)
{
    uint32_t count = shard->share_group_buckets ? shard->share_group_buckets * 2 : 16;
    struct share_group **buckets = calloc(count, sizeof *buckets);
    if (buckets == NULL) {
        return shard->share_group_buckets > 0;
    }
    for (uint32_t i = 0; i < shard->share_group_buckets; i++) {
        struct share_group *next;
        for (struct share_group *g = shard->share_groups_by_text[i]; g != NULL; g = next) {
            next = g->next;
            g->next = buckets[g->text_hash & (count - 1)];
            buckets[g->text_hash & (count - 1)] = g;
        }
    }
    free(shard->share_groups_by_text);
    shard->share_groups_by_text = buckets;
    shard->share_group_buckets = count;
    return true;
}

static bool
grow_by_filter(struct shard *shard, uint32_t filter_id)
{
    uint32_t count = shard->share_groups_by_filter_count ? shard->share_groups_by_filter_count : 64;
    while (count <= filter_id) {
        count *= 2;
    }
    if (count == shard->share_groups_by_filter_count) {
        return true;
    }
    struct share_group **groups = realloc(shard->share_groups_by_filter, count * sizeof(struct share_group *));
    if (groups == NULL) {
        return false;
    }
    memset(groups + shard->share_groups_by_filter_count, 0, (count - shard->share_groups_by_filter_count) * sizeof(struct share_group *));
    shard->share_groups_by_filter = groups;
    shard->share_groups_by_filter_count = count;
    return true;
}

/* What a group and its filter are charged with; the filter's text is a part of the group's. */
static uint64_t
group_bytes(const struct share_group *g)
{
    return sizeof *g + 2ull * g->text_size + FILTER_BYTES + g->room * sizeof *g->members;
}

static void
free_group(struct shard *shard, struct share_group *g)
{
    budget_refund(shard->account, group_bytes(g));
    free(g->members);
    free(g->text);
    free(g);
}

static struct share_group *
make_group(struct shard *shard, struct bytes text, uint32_t hash)
{
    struct topic_filter parsed;
    if ((shard->share_group_count >= shard->share_group_buckets && !grow_buckets(shard)) ||
        !topic_filter_parse(text, TOPIC_LEVELS_MAX, &parsed)) {
        return NULL;
    }
    struct share_group *g = calloc(1, sizeof *g);
    uint8_t *copy = malloc(text.size);
    if (g == NULL || copy == NULL ||
        filter_index_add(shard->broker->filters, shard->number, parsed.filter, parsed.group, &g->filter_id) != 0) {
        free(g);
        free(copy);
        return NULL;
    }
    if (!grow_by_filter(shard, g->filter_id)) {
        filter_index_remove(shard->broker->filters, shard->number, g->filter_id);
        free(g);
        free(copy);
        return NULL;
    }
    memcpy(copy, text.data, text.size);
    g->text = copy;
    g->text_size = text.size;
    g->text_hash = hash;
    g->serial = ++shard->share_serial;
    struct share_group **bucket = &shard->share_groups_by_text[hash & (shard->share_group_buckets - 1)];
    g->next = *bucket;
    *bucket = g;
    shard->share_groups_by_filter[g->filter_id] = g;
    shard->share_group_count++;
    atomic_fetch_add(&shard->broker->share_groups[shard->number], 1); /* seq_cst, before its SUBACK leaves: who publishes afterwards sees it (route.c) */
    budget_charge(shard->account, group_bytes(g));
    return g;
}

static void
drop_group(struct shard *shard, struct share_group *g)
{
    struct share_group **at = &shard->share_groups_by_text[g->text_hash & (shard->share_group_buckets - 1)];
    while (*at != g) {
        at = &(*at)->next;
    }
    *at = g->next;
    shard->share_groups_by_filter[g->filter_id] = NULL;
    shard->share_group_count--;
    atomic_fetch_sub(&shard->broker->share_groups[shard->number], 1);
    filter_index_remove(shard->broker->filters, shard->number, g->filter_id);
    free_group(shard, g);
}

static struct share_member *
find_member(const struct share_group *g, uint64_t identity)
{
    for (uint32_t i = 0; i < g->count; i++) {
        if (g->members[i].reference.identity == identity) {
            return &g->members[i];
        }
    }
    return NULL;
}

static struct share_member *
add_member(struct shard *shard, struct share_group *g)
{
    if (g->count == g->room) {
        uint32_t room = g->room ? g->room * 2 : 2;
        struct share_member *members = realloc(g->members, room * sizeof *members);
        if (members == NULL) {
            return NULL;
        }
        budget_charge(shard->account, (room - g->room) * sizeof *members);
        g->members = members;
        g->room = room;
    }
    struct share_member *m = &g->members[g->count++];
    *m = (struct share_member){0};
    return m;
}

/* Keeps the connected members in front (G3). Returns where it is now. */
static struct share_member *
set_online(struct share_group *g, struct share_member *m, bool online)
{
    if (m->online == online) {
        return m;
    }
    struct share_member *border = online ? &g->members[g->online_count++] : &g->members[--g->online_count];
    struct share_member moved = *m;
    *m = *border;
    *border = moved;
    border->online = online;
    return border;
}

static void
remove_member(struct shard *shard, struct share_group *g, struct share_member *m)
{
    m = set_online(g, m, false);
    *m = g->members[--g->count];
    if (g->count == 0) {
        drop_group(shard, g);
    }
}

static void
send_release(struct shard *shard, const struct share_group *g, const struct share_member *m)
{
    struct parcel_share_member *release = parcel_send(shard, m->shard, PARCEL_SHARE_RELEASE, sizeof *release, 0);
    release->reference = m->reference;
    release->serial = g->serial;
}

/* The first member is connected again: it takes over what absent ones were given while nobody was there. */
static void
release_absent(struct shard *shard, const struct share_group *g)
{
    for (uint32_t i = g->online_count; i < g->count; i++) {
        send_release(shard, g, &g->members[i]);
    }
}

static void
handle_join(struct shard *shard, unsigned from, const struct parcel_share_join *parcel)
{
    struct bytes text = parcel_tail(parcel, sizeof *parcel, parcel->text_size);
    struct share_group *g = find_by_text(shard, text, parcel->text_hash);
    if (g == NULL) {
        g = make_group(shard, text, parcel->text_hash);
    }
    struct share_member *m = g ? find_member(g, parcel->reference.identity) : NULL;
    if (g != NULL && m == NULL) {
        m = add_member(shard, g);
    }
    uint32_t serial = g ? g->serial : 0;
    uint32_t filter_id = g ? g->filter_id : 0;
    if (m != NULL) {
        m = set_online(g, m, parcel->online);
        *m = (struct share_member){
            .reference = parcel->reference,
            .identifier = parcel->identifier,
            .text_hash = parcel->text_hash,
            .shard = (uint8_t)from,
            .qos = parcel->qos,
            .retain_as_published = parcel->retain_as_published,
            .online = parcel->online,
        };
        if (g->online_count == 1) {
            release_absent(shard, g);
        }
    } else if (g != NULL && g->count == 0) {
        drop_group(shard, g);
    }
    struct parcel_share_joined *joined = parcel_send(shard, from, PARCEL_SHARE_JOINED, sizeof *joined, 0);
    joined->code = m ? parcel->qos : REASON_QUOTA_EXCEEDED;
    joined->reference = parcel->reference;
    joined->serial = serial;
    joined->filter_id = filter_id;
    joined->text_hash = parcel->text_hash;
    joined->join = parcel->join;
    joined->suback_serial = parcel->suback_serial;
    joined->code_index = parcel->code_index;
}

static void
handle_leave_or_online(struct shard *shard, const struct parcel_share_member *parcel)
{
    struct bytes text = parcel_tail(parcel, sizeof *parcel, parcel->text_size);
    struct share_group *g = find_by_text(shard, text, parcel->text_hash);
    struct share_member *m = g ? find_member(g, parcel->reference.identity) : NULL;
    if (m == NULL) {
        return;
    }
    if (parcel->head.type == PARCEL_SHARE_LEAVE) {
        remove_member(shard, g, m);
        return;
    }
    set_online(g, m, parcel->online);
    if (!parcel->online && g->online_count > 0) {
        send_release(shard, g, find_member(g, parcel->reference.identity));
    } else if (parcel->online && g->online_count == 1) {
        release_absent(shard, g);
    }
}

/* The next member in turn, of the connected ones if there are any. */
static uint32_t
take_turn(struct share_group *g)
{
    uint32_t count = g->online_count > 0 ? g->online_count : g->count;
    g->cursor = g->cursor + 1 < count ? g->cursor + 1 : 0;
    return g->cursor;
}

/* After `tried` members that did not take a message which was offered to `first` first: the others in their order, and those that are not connected when all others were asked. */
static uint32_t
next_after(const struct share_group *g, uint32_t first, uint32_t tried)
{
    uint32_t count = g->online_count > 0 ? g->online_count : g->count;
    return tried < count ? (first + tried) % count : tried % g->count;
}

/* What has become of a message so far. */
struct offer {
    struct gate_reference gate;
    uint32_t first;  /* member that it was offered to first */
    uint8_t tries;
    uint16_t denied;
};

static void
give_to_group(struct shard *shard, struct share_group *g, struct publication *p, struct offer offer)
{
    uint32_t tried = (uint32_t)offer.tries + offer.denied;
    bool nobody = g == NULL || offer.tries > TRIES_MAX; /* a group has members (G1) */
    if (nobody || (offer.denied > 0 && (tried >= g->count || offer.denied > DENIED_MAX))) {
        stats_add(&shard->stats.drops[nobody ? DROP_SHARE_EMPTY : DROP_DELIVERY_DENIED], 1);
        settle(shard, &offer.gate, NULL);
        return;
    }
    offer.first = tried == 0 ? take_turn(g) : offer.first;
    const struct share_member *m = &g->members[tried == 0 ? offer.first : next_after(g, offer.first, tried)];
    struct parcel_share_deliver *parcel =
        parcel_send_message(shard, m->shard, PARCEL_SHARE_DELIVER, sizeof *parcel, offsetof(struct parcel_share_deliver, message), p);
    if (parcel == NULL) {
        settle(shard, &offer.gate, NULL);
        return;
    }
    parcel->reference = m->reference;
    parcel->serial = g->serial;
    parcel->filter_id = g->filter_id;
    parcel->text_hash = m->text_hash;
    parcel->first = offer.first;
    parcel->tries = offer.tries;
    parcel->denied = offer.denied;
    parcel->last = tried + 1u >= g->count || offer.tries == TRIES_MAX;
    parcel->gate = offer.gate;
}

void
share_publish(struct shard *shard, uint32_t filter_id, struct publication *p)
{
    struct offer offer = {0};
    if (shard->journal != NULL && p->qos > 0) {
        offer.gate = promise_gate(shard, &p->needs);
    }
    give_to_group(shard, find_by_filter(shard, filter_id), p, offer);
}

static void
handle_bounce(struct shard *shard, unsigned from, const struct parcel_share_deliver *parcel)
{
    struct publication p;
    if (!parcel_publication(shard, from, parcel, sizeof *parcel, &parcel->message, &p)) {
        settle(shard, &parcel->gate, NULL);
        return;
    }
    struct share_group *g = find_by_filter(shard, parcel->filter_id);
    if (p.expiry_ms != 0 && p.expiry_ms <= shard->now_ms) {
        stats_add(&shard->stats.drops[DROP_EXPIRED], 1); /* it has waited in a queue meanwhile: MQTT5 [MQTT-3.3.2-5] */
        settle(shard, &parcel->gate, NULL);
    } else {
        give_to_group(shard, g != NULL && g->serial == parcel->serial ? g : NULL, &p,
                      (struct offer){.gate = parcel->gate, .first = parcel->first, .tries = parcel->tries, .denied = parcel->denied});
    }
    publication_fini(shard, &p);
}

static void
handle_release(struct shard *shard, unsigned from, const struct parcel_share_member *parcel)
{
    struct session *session = checked_session(&parcel->reference);
    if (session != NULL && session->connection == NULL) {
        session_return_shared(shard, session, (int)from, parcel->serial);
    }
}

void
share_handle(struct shard *shard, unsigned from, const void *parcel)
{
    switch (((const struct parcel *)parcel)->type) {
    case PARCEL_SHARE_JOIN:
        handle_join(shard, from, parcel);
        break;
    case PARCEL_SHARE_JOINED:
        handle_joined(shard, from, parcel);
        break;
    case PARCEL_SHARE_LEAVE:
    case PARCEL_SHARE_ONLINE:
        handle_leave_or_online(shard, parcel);
        break;
    case PARCEL_SHARE_DELIVER:
        handle_deliver(shard, from, parcel);
        break;
    case PARCEL_SHARE_RELEASE:
        handle_release(shard, from, parcel);
        break;
    case PARCEL_SHARE_BOUNCE:
        handle_bounce(shard, from, parcel);
        break;
    default:
        assert(false);
    }
}

void
share_fini(struct shard *shard)
{
    for (uint32_t i = 0; i < shard->share_group_buckets; i++) {
        struct share_group *next;
        for (struct share_group *g = shard->share_groups_by_text[i]; g != NULL; g = next) {
            next = g->next;
            free_group(shard, g);
        }
    }
    free(shard->share_groups_by_text);
    free(shard->share_groups_by_filter);
}
