#include "engine/route/replay.h"

#include "codec/topic.h"
#include "engine/durable/keep.h"
#include "engine/net/connection.h"
#include "engine/route/deliver.h"
#include "engine/route/parcel.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

/* Visited nodes per turn, of one walk and of all. */
#define NODES_PER_WALK 256u
#define NODES_PER_TURN 4096u
/* What a walk costs on both sides, reckoned where it is asked for. */
#define REPLAY_COST_BYTES 512u
/* What stands for 'no limit' when room in a queue is reckoned: a slow session's share of memory. */
#define UNLIMITED_QUEUE 4096u

/* A walk at the home. */
struct replay {
    struct replay *next;          /* runnable */
    struct replay *bucket_next;
    struct retained_walk *walk;
    struct session_reference reference;
    struct session_replay *asker; /* on the session's shard; its own */
    uint64_t ready_turn;          /* Y1 */
    uint64_t *overflow;           /* Y1: by shard, what must have come out of its overflow list before; NULL: nothing */
    uint32_t serial;              /* the asking shard's */
    uint32_t identifier;
    uint8_t shard;
    uint8_t qos;
    uint8_t granted;              /* messages that it may send before it waits; 0: paused */
    bool exact;                   /* over after one message */
};

struct parcel_replay { /* BEGIN (the filter follows), MORE, CANCEL, PAUSE, END */
    struct parcel head;
    uint8_t qos;
    uint8_t granted; /* MORE */
    bool exact;      /* BEGIN */
    struct session_reference reference;
    struct session_replay *asker; /* lives as long as the session's identity holds, and until END */
    uint32_t serial;
    uint32_t identifier;
    uint32_t filter_size;
};

struct parcel_replay_message {
    struct parcel head;
    uint8_t qos;
    struct session_reference reference;
    struct session_replay *asker;
    uint32_t identifier;
    struct parcel_message message;
};

/* ------------------------------------------------------------------------------------------------------------- home side */

static void
show_retained(struct shard *shard)
{
    stats_set(&shard->stats.retained_messages, retained_count(shard->retained));
    stats_set(&shard->stats.retained_bytes, retained_bytes(shard->retained));
}

/* A copy with an expiry of its own (option retain_expiry_interval), or because the bytes are lent: retained messages own theirs. */
static struct message *
copy_to_keep(struct shard *shard, const struct publication *p, uint64_t expiry_ms)
{
    struct message *copy = message_make(shard->account, p->topic, p->properties, p->payload);
    if (copy != NULL) {
        copy->publisher = p->publisher;
        copy->expiry_ms = expiry_ms;
        copy->stamp = p->stamp;
        copy->qos = p->qos;
        copy->retain = true;
    }
    return copy;
}

static struct message *
message_to_keep(struct shard *shard, struct publication *p)
{
    uint32_t expiry_s = shard->config->retain_expiry_interval_s;
    if (expiry_s != 0 && p->expiry_ms == 0) {
        return copy_to_keep(shard, p, shard->now_ms + expiry_s * 1000ull);
    }
    if (p->message != NULL && p->message->lender != NULL) {
        return copy_to_keep(shard, p, p->expiry_ms);
    }
    struct message *message = publication_message(shard, p);
    return message ? message_ref(message) : NULL;
}

/* Parcels of different shards come in any order: a newer message, or a newer removal, of the topic may be here already (Y3). */
static bool
came_too_late(struct shard *shard, const struct publication *p)
{
    const struct message *kept = retained_get(shard->retained, p->topic);
    if (kept != NULL) {
        return kept->stamp > p->stamp;
    }
    uint64_t hash = broker_hash(shard->broker, p->topic.data, p->topic.size);
    for (unsigned i = 0; i < SHARD_REMOVALS; i++) {
        const struct removal *r = &shard->removals[i];
        if (r->topic_hash == hash && r->stamp > p->stamp) {
            return true;
        }
    }
    return false;
}

static void
note_removal(struct shard *shard, const struct publication *p)
{
    shard->removals[shard->removal_count++ % SHARD_REMOVALS] = (struct removal){
        .topic_hash = broker_hash(shard->broker, p->topic.data, p->topic.size), .stamp = p->stamp,
    };
}

void
replay_retain(struct shard *shard, struct publication *p)
{
    if (came_too_late(shard, p)) {
        return;
    }
    if (p->payload.size == 0) {
        bool removed = retained_remove(shard->retained, p->topic);
        note_removal(shard, p);
        keep_retain_removed(shard, p, removed);
        show_retained(shard);
        return;
    }
    struct message *message = shard->pressure >= BUDGET_REFUSE ? NULL : message_to_keep(shard, p);
    struct message *kept = message;
    if (message != NULL && retained_set(shard->retained, &message) == 0) {
        keep_retained(shard, p, kept);
    } else {
        stats_add(&shard->stats.drops[DROP_RETAINED_LIMIT], 1);
        if (message != NULL) {
            shard_message_unref(shard, &message);
        }
    }
    show_retained(shard);
}

static struct replay **
bucket_of(struct shard *shard, unsigned from, uint32_t serial)
{
    return &shard->replay_buckets[(serial * 31u + from) % SHARD_REPLAY_BUCKETS];
}

static struct replay *
find_replay(struct shard *shard, unsigned from, uint32_t serial)
{
    struct replay *r = *bucket_of(shard, from, serial);
    while (r != NULL && !(r->shard == from && r->serial == serial)) {
        r = r->bucket_next;
    }
    return r;
}

static void
make_runnable(struct shard *shard, struct replay *r)
{
    r->next = shard->replays;
    shard->replays = r;
}

/* Not in the list of the runnable any more. */
static void
end_replay(struct shard *shard, struct replay *r)
{
    struct replay **at = bucket_of(shard, r->shard, r->serial);
    while (*at != r) {
        at = &(*at)->bucket_next;
    }
    *at = r->bucket_next;
    retained_walk_end(&r->walk);
    free(r->overflow);
    free(r);
}

static void
unlink_runnable(struct shard *shard, struct replay *r)
{
    struct replay **at = &shard->replays;
    while (*at != NULL && *at != r) {
        at = &(*at)->next;
    }
    if (*at == r) {
        *at = r->next;
    }
}

static void
tell_session(struct shard *shard, const struct replay *r, enum parcel_type type)
{
    struct parcel_replay *parcel = parcel_send(shard, r->shard, type, sizeof *parcel, 0);
    parcel->reference = r->reference;
    parcel->asker = r->asker;
}

/* Notes what overflows at this moment on its way here. False when out of memory. */
static bool
note_overflow(const struct shard *shard, struct replay *r)
{
    const struct mesh *mesh = shard->broker->mesh;
    for (unsigned from = 0; from < shard->broker->shard_count; from++) {
        uint64_t in = mesh_overflow_in(mesh, from, shard->number);
        if (in == mesh_overflow_out(mesh, from, shard->number)) {
            continue;
        }
        if (r->overflow == NULL) {
            r->overflow = calloc(shard->broker->shard_count, sizeof *r->overflow);
        }
        if (r->overflow == NULL) {
            return false;
        }
        r->overflow[from] = in;
    }
    return true;
}

/* True while what was noted has not all come. When it has, it takes one more pass to see it. */
static bool
waits_for_overflow(const struct shard *shard, struct replay *r)
{
    if (r->overflow == NULL) {
        return false;
    }
    for (unsigned from = 0; from < shard->broker->shard_count; from++) {
        if (mesh_overflow_out(shard->broker->mesh, from, shard->number) < r->overflow[from]) {
            return true;
        }
    }
    free(r->overflow);
    r->overflow = NULL;
    r->ready_turn = shard->turn + 1;
    return true;
}

static void
handle_begin(struct shard *shard, unsigned from, const struct parcel_replay *parcel)
{
    struct replay *r = calloc(1, sizeof *r);
    struct retained_walk *walk = r ? retained_walk_begin(shard->retained, parcel_tail(parcel, sizeof *parcel, parcel->filter_size)) : NULL;
    if (walk == NULL || !note_overflow(shard, r)) {
        if (walk != NULL) {
            retained_walk_end(&walk);
        }
        free(r);
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        struct replay nothing = {.reference = parcel->reference, .asker = parcel->asker, .shard = (uint8_t)from};
        tell_session(shard, &nothing, PARCEL_REPLAY_END);
        return;
    }
    r->walk = walk;
    r->reference = parcel->reference;
    r->asker = parcel->asker;
    r->serial = parcel->serial;
    r->identifier = parcel->identifier;
    r->shard = (uint8_t)from;
    r->qos = parcel->qos;
    r->exact = parcel->exact;
    r->ready_turn = shard->turn + 1;
    struct replay **bucket = bucket_of(shard, from, r->serial);
    r->bucket_next = *bucket;
    *bucket = r;
}

static void
send_retained(struct shard *shard, const struct replay *r, struct message *message)
{
    struct publication p;
    publication_of_message(&p, message);
    struct parcel_replay_message *parcel =
        parcel_send_message(shard, r->shard, PARCEL_REPLAY_MESSAGE, sizeof *parcel, offsetof(struct parcel_replay_message, message), &p);
    if (parcel != NULL) {
        parcel->reference = r->reference;
        parcel->asker = r->asker;
        parcel->identifier = r->identifier;
        parcel->qos = r->qos;
    }
    publication_fini(shard, &p);
}

/* Up to what is granted; true if the walk is to be run again, false if it waits or has ended. */
static bool
step(struct shard *shard, struct replay *r, uint32_t *nodes)
{
    uint32_t given = *nodes < NODES_PER_WALK ? *nodes : NODES_PER_WALK;
    uint32_t budget = given;
    uint64_t bytes = 0;
    bool over = false;
    while (r->granted > 0 && bytes < REPLAY_BATCH_BYTES && !over) {
        struct message *message = retained_walk_next(r->walk, shard->now_ms, &budget);
        if (message == NULL) {
            over = budget > 0;
            break;
        }
        send_retained(shard, r, message);
        bytes += message_cost(message);
        r->granted--;
        over = r->exact;
    }
    *nodes -= given - budget;
    if (over) {
        tell_session(shard, r, PARCEL_REPLAY_END);
        end_replay(shard, r);
        return false;
    }
    if (r->granted == 0 || bytes >= REPLAY_BATCH_BYTES) {
        r->granted = 0;
        tell_session(shard, r, PARCEL_REPLAY_PAUSE);
        return false;
    }
    return true;
}

bool
replay_run(struct shard *shard)
{
    struct replay *list = shard->replays;
    shard->replays = NULL;
    uint32_t nodes = NODES_PER_TURN;
    while (list != NULL) {
        struct replay *r = list;
        list = r->next;
        if (r->ready_turn > shard->turn || waits_for_overflow(shard, r) || nodes == 0 || step(shard, r, &nodes)) {
            make_runnable(shard, r);
        }
    }
    return shard->replays != NULL;
}

static void
handle_more_or_cancel(struct shard *shard, unsigned from, const struct parcel_replay *parcel)
{
    struct replay *r = find_replay(shard, from, parcel->serial);
    if (r == NULL) {
        return;
    }
    if (parcel->head.type == PARCEL_REPLAY_CANCEL) {
        if (r->granted > 0) {
            unlink_runnable(shard, r);
        }
        end_replay(shard, r);
    } else if (r->granted == 0 && parcel->granted > 0) {
        r->granted = parcel->granted;
        make_runnable(shard, r);
    }
}

/* ---------------------------------------------------------------------------------------------------------- session side */

static void
ask(struct shard *shard, struct session *session, unsigned home, struct bytes filter, bool exact, const struct subscription *s)
{
    struct session_extra *extra = session_need_extra(shard, session);
    struct session_replay *mine = extra != NULL ? calloc(1, sizeof *mine) : NULL;
    if (mine == NULL) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return;
    }
    mine->serial = ++shard->replay_serial;
    mine->shard = (uint8_t)home;
    /* A read-modify-write, as route_publication()'s: either its match sees our subscription, or we see its stamp. */
    mine->began_stamp = atomic_fetch_add(&shard->broker->retain_stamp, 0);
    mine->text_hash = s->text_hash;
    mine->exact = exact;
    mine->next = extra->replays;
    mine->link = &extra->replays;
    if (mine->next != NULL) {
        mine->next->link = &mine->next;
    }
    extra->replays = mine;
    extra->replay_count++;
    budget_charge(shard->account, REPLAY_COST_BYTES);

    struct parcel_replay *parcel = parcel_send(shard, home, PARCEL_REPLAY_BEGIN, sizeof *parcel, filter.size);
    parcel->reference = (struct session_reference){session, session->identity};
    parcel->asker = mine;
    parcel->serial = mine->serial;
    parcel->qos = s->qos;
    parcel->exact = exact;
    parcel->identifier = s->identifier;
    parcel->filter_size = filter.size;
    memcpy(parcel + 1, filter.data, filter.size);
}

static void
drop_idle_fresh(struct shard *shard, struct session *session)
{
    struct session_extra *extra = session->extra;
    if (extra != NULL && extra->replays == NULL && extra->fresh != NULL) {
        fresh_fini(shard->account, &extra->fresh);
    }
    session_tidy(shard, session);
}

void
replay_begin(struct shard *shard, struct session *session, struct bytes filter, const struct subscription *s)
{
    struct topic_filter parsed;
    if (!topic_filter_parse(filter, TOPIC_LEVELS_MAX, &parsed)) {
        return;
    }
    struct session_extra *extra = session_need_extra(shard, session);
    if (extra != NULL && extra->fresh == NULL) {
        extra->fresh = fresh_init(shard->account); /* freed with the last replay; without memory only the order of Y2 is at risk */
    }
    if (!parsed.wildcard) {
        ask(shard, session, broker_shard_of(shard->broker, filter.data, filter.size), filter, true, s);
    }
    for (unsigned i = 0; parsed.wildcard && i < shard->broker->shard_count; i++) {
        ask(shard, session, i, filter, false, s);
    }
    replay_continue(shard, session);
    drop_idle_fresh(shard, session); /* no walk could be asked for */
}

/* Retained messages that the session can take now: half of what its queue has left, nothing while its output is well filled. */
static uint32_t
room_of(const struct shard *shard, const struct session *session)
{
    uint32_t queue_max = shard->config->max_queued_messages;
    const struct connection *c = session->connection;
    if (c != NULL && c->out_bytes >= shard->config->max_output_bytes / 2) {
        return 0;
    }
    uint32_t queued = session_get_owed(session)->queue.count;
    uint32_t left = queue_max == 0 ? UNLIMITED_QUEUE : queue_max;
    uint32_t room = queued < left ? (left - queued + 1) / 2 : 0;
    room = room < REPLAY_BATCH ? room : REPLAY_BATCH;
    uint32_t granted = session_get_extra(session)->replay_granted;
    return room > granted ? room - granted : 0;
}

static struct parcel_replay *
send_plain(struct shard *shard, const struct session *session, const struct session_replay *mine, enum parcel_type type)
{
    struct parcel_replay *parcel = parcel_send(shard, mine->shard, type, sizeof *parcel, 0);
    parcel->reference = (struct session_reference){(struct session *)(uintptr_t)session, session->identity};
    parcel->serial = mine->serial;
    return parcel;
}

void
replay_continue(struct shard *shard, struct session *session)
{
    for (struct session_replay *mine = session_get_extra(session)->replays; mine != NULL; mine = mine->next) {
        uint32_t room = mine->granted == 0 ? room_of(shard, session) : 0;
        if (mine->granted == 0 && room == 0) {
            return;
        }
        if (mine->granted == 0) {
            mine->granted = (uint8_t)(mine->exact ? 1 : room);
            session->extra->replay_granted = (uint16_t)(session->extra->replay_granted + mine->granted);
            send_plain(shard, session, mine, PARCEL_REPLAY_MORE)->granted = mine->granted;
        }
    }
}

static void
take_back_grant(struct session *session, struct session_replay *mine)
{
    session->extra->replay_granted = (uint16_t)(session->extra->replay_granted - mine->granted);
    mine->granted = 0;
}

static void
forget(struct shard *shard, struct session *session, struct session_replay *mine)
{
    take_back_grant(session, mine);
    *mine->link = mine->next;
    if (mine->next != NULL) {
        mine->next->link = mine->link;
    }
    free(mine);
    session->extra->replay_count--;
    budget_refund(shard->account, REPLAY_COST_BYTES);
    drop_idle_fresh(shard, session);
}

void
replay_cancel_all(struct shard *shard, struct session *session)
{
    while (session_get_extra(session)->replays != NULL) {
        send_plain(shard, session, session->extra->replays, PARCEL_REPLAY_CANCEL);
        forget(shard, session, session->extra->replays);
    }
}

static bool
is_outdated(const struct shard *shard, const struct session *session, const struct session_replay *mine, const struct publication *p)
{
    const struct fresh *fresh = session_get_extra(session)->fresh;
    if (fresh == NULL) {
        return false;
    }
    /* One that was published when this replay had begun has come live already; one from before is sent again (Retain Handling 0). */
    uint64_t known = p->stamp > mine->began_stamp ? p->stamp - 1 : p->stamp;
    return fresh_has_newer(fresh, broker_hash(shard->broker, p->topic.data, p->topic.size), known);
}

static void
handle_message(struct shard *shard, unsigned from, const struct parcel_replay_message *parcel)
{
    struct publication p;
    if (!parcel_publication(shard, from, parcel, sizeof *parcel, &parcel->message, &p)) {
        return;
    }
    struct session *session = parcel->reference.session;
    /* MQTT5 [MQTT-3.10.4-2]: nothing more after UNSUBSCRIBE. */
    bool owed = session->identity == parcel->reference.identity && session_has_subscription(session, parcel->asker->text_hash);
    if (owed && !is_outdated(shard, session, parcel->asker, &p)) {
        struct deliver_terms terms = {
            .identifiers = &parcel->identifier,
            .identifier_count = parcel->identifier != 0,
            .qos = parcel->qos,
            .retain = true, /* MQTT5 [MQTT-3.3.1-8] */
            .replayed = true,
        };
        deliver_to_session(shard, session, &p, &terms);
        keep_publication(shard, &p);
    }
    publication_fini(shard, &p);
}

static void
handle_pause_or_end(struct shard *shard, const struct parcel_replay *parcel)
{
    struct session *session = parcel->reference.session;
    if (session->identity != parcel->reference.identity) {
        return;
    }
    if (parcel->head.type == PARCEL_REPLAY_END) {
        forget(shard, session, parcel->asker);
    } else if (!session_has_subscription(session, parcel->asker->text_hash)) {
        send_plain(shard, session, parcel->asker, PARCEL_REPLAY_CANCEL);
        forget(shard, session, parcel->asker);
    } else {
        take_back_grant(session, parcel->asker);
    }
    replay_continue(shard, session);
}

void
replay_handle(struct shard *shard, unsigned from, const void *parcel)
{
    switch (((const struct parcel *)parcel)->type) {
    case PARCEL_REPLAY_BEGIN:
        handle_begin(shard, from, parcel);
        break;
    case PARCEL_REPLAY_MORE:
    case PARCEL_REPLAY_CANCEL:
        handle_more_or_cancel(shard, from, parcel);
        break;
    case PARCEL_REPLAY_MESSAGE:
        handle_message(shard, from, parcel);
        break;
    case PARCEL_REPLAY_PAUSE:
    case PARCEL_REPLAY_END:
        handle_pause_or_end(shard, parcel);
        break;
    default:
        assert(false);
    }
}

void
replay_fini(struct shard *shard)
{
    shard->replays = NULL;
    for (unsigned i = 0; i < SHARD_REPLAY_BUCKETS; i++) {
        while (shard->replay_buckets[i] != NULL) {
            end_replay(shard, shard->replay_buckets[i]);
        }
    }
}
