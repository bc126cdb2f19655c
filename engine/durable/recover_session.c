#include "engine/durable/recovery.h"

#include "codec/topic.h"
#include "engine/durable/keep.h"
#include "engine/durable/principal_entry.h"
#include "engine/durable/token.h"
#include "engine/identity/principal.h"
#include "engine/protocol/subscribe.h"
#include "engine/route/share.h"

#include <stdlib.h>

static struct recalled *
find_session(struct recovery *r, uint64_t identity)
{
    struct recalled *s = recall_get(&r->sessions, identity, 0);
    bool found = s != NULL && s->known;
    r->passed_over += !found;
    return found ? s : NULL;
}

static struct recalled *
make_session(struct recovery *r, uint64_t identity)
{
    struct recalled *s = calloc(1, sizeof *s);
    struct session *session = s != NULL ? session_recall(r->shard, identity) : NULL;
    if (session == NULL || !recall_add(&r->sessions, identity, 0, s)) {
        r->out_of_memory = true;
        if (session != NULL) {
            session_end(r->shard, &session);
        }
        free(s);
        return NULL;
    }
    s->session = session;
    return s;
}

struct recalled *
recovery_need_session(struct recovery *r, uint64_t identity)
{
    struct recalled *s = recall_get(&r->sessions, identity, 0);
    return s != NULL ? s : make_session(r, identity);
}

/* With all it has; nobody hears of it. */
static void
forget_session(struct recovery *r, struct recalled *s)
{
    recall_remove(&r->sessions, s->session->identity, 0);
    recovery_forget_owed(r, s);
    if (session_get_extra(s->session)->will != NULL) {
        session_drop_will(r->shard, s->session);
    }
    session_end(r->shard, &s->session);
    free(s);
}

/* With the name, which nobody else has from here on. False when out of memory. */
static bool
name_session(struct recovery *r, struct recalled *s, struct bytes client_id)
{
    uint64_t hash = broker_hash(r->shard->broker, client_id.data, client_id.size);
    const struct session *same = session_table_find(&r->shard->session_table, hash, client_id);
    struct recalled *before = same != NULL ? recall_get(&r->sessions, same->identity, 0) : NULL;
    if (before != NULL && before->session->expiry_s == 0) {
        session_forget_name(r->shard, before->session);
    } else if (before != NULL) {
        forget_session(r, before); /* its end is in a damaged place */
    }
    s->known = true;
    return session_name(r->shard, s->session, client_id, hash);
}

static void
set_principal(struct recovery *r, struct session *session, struct bytes content)
{
    const struct config *config = r->shard->config;
    struct principal_entry e;
    struct session_extra *extra = session->extra;
    if (extra != NULL) {
        principal_free(r->shard->account, &extra->principal);
    }
    if (content.size == 0) {
        return;
    }
    if (!principal_entry_read(content, r->shard->broker->listeners, config->listener_count, &e)) {
        r->passed_over++;
        return;
    }
    extra = session_need_extra(r->shard, session);
    struct principal *principal = extra != NULL ? principal_make(r->shard->account, &e.principal) : NULL;
    if (principal == NULL) {
        r->out_of_memory = true;
        return;
    }
    extra->principal = principal;
}

static void
note_count(struct session_extra *extra, uint64_t count)
{
    recovery_note_max(&extra->received_count, count);
    recovery_note_max(&extra->recorded_count, count);
}

void
recovery_apply_session(struct recovery *r, struct bytes content)
{
    struct entry_session e;
    if (!entry_read_session(content, &e) || e.identity == 0 || e.client_id.size == 0 || e.client_id.size > UINT16_MAX) {
        r->unreadable++;
        return;
    }
    recovery_note_identity(r, e.identity);
    struct recalled *s = recovery_need_session(r, e.identity);
    if (s == NULL || (!s->known && !name_session(r, s, e.client_id))) {
        r->out_of_memory = true;
        return;
    }
    struct session *session = s->session;
    session->expiry_s = e.expiry_s;
    keep_known(r->shard, session);
    session->window = e.window;
    session->version = e.version;
    s->absent_since_ms = e.absent_since_ms;
    set_principal(r, session, e.principal);
    if (e.delivery_number > 0 && session_need_owed(r->shard, session) != NULL) {
        recovery_note_max(&session->owed->delivery_number, e.delivery_number);
    }
    if (e.received_count > 0 && session_need_extra(r->shard, session) != NULL) {
        note_count(session->extra, e.received_count);
    }
}

void
recovery_apply_session_end(struct recovery *r, struct bytes content)
{
    uint64_t identity;
    struct recalled *s = entry_read_identity(content, &identity) ? recall_get(&r->sessions, identity, 0) : NULL;
    if (s != NULL) {
        forget_session(r, s);
    }
}

void
recovery_apply_absent(struct recovery *r, struct bytes content)
{
    struct entry_absent e;
    struct recalled *s = entry_read_absent(content, &e) ? find_session(r, e.identity) : NULL;
    if (s != NULL) {
        s->absent_since_ms = e.since_ms;
        s->session->expiry_s = e.expiry_s;
    }
}

/* ------------------------------------------------------------------------------------------------------- subscriptions */

void
recovery_apply_subscription(struct recovery *r, struct bytes content)
{
    struct entry_subscription e;
    struct recalled *session = entry_read_subscription(content, &e) ? find_session(r, e.identity) : NULL;
    if (session == NULL) {
        return;
    }
    struct subscription *s = subscribe_recall(r->shard, session->session, e.text);
    struct topic_filter parsed;
    if (s == NULL) {
        bool is_filter = topic_filter_parse(e.text, TOPIC_LEVELS_MAX, &parsed);
        r->out_of_memory = r->out_of_memory || is_filter;
        r->unreadable += !is_filter;
        return;
    }
    s->qos = e.qos & 3;
    s->no_local = e.no_local;
    s->retain_as_published = e.retain_as_published;
    s->identifier = e.identifier;
}

void
recovery_apply_unsubscribed(struct recovery *r, struct bytes content)
{
    struct entry_subscription e;
    struct recalled *session = entry_read_subscription(content, &e) ? find_session(r, e.identity) : NULL;
    if (session == NULL) {
        return;
    }
    struct subscription *s = session_find_subscription(session->session, e.text, subscribe_hash(r->shard, e.text), r->shard);
    if (s != NULL) {
        subscribe_remove(r->shard, session->session, s);
    }
}

/* ------------------------------------------------------------------------------------------------ received identifiers */

void
recovery_set_received(struct recovery *r, uint64_t identity, uint64_t count, uint16_t packet_id)
{
    struct recalled *s = find_session(r, identity);
    struct session_extra *extra = s != NULL ? session_need_extra(r->shard, s->session) : NULL;
    if (extra == NULL) {
        r->out_of_memory = r->out_of_memory || s != NULL;
        return;
    }
    note_count(extra, count);
    if (packet_id != 0 && !received_has(&extra->received, packet_id) && !received_add(r->shard->account, &extra->received, packet_id)) {
        r->out_of_memory = true;
    }
}

void
recovery_apply_received(struct recovery *r, struct bytes content)
{
    struct entry_received e;
    if (entry_read_received(content, &e)) {
        token_forget(r->shard, e.identity, e.packet_id, e.count);
        recovery_set_received(r, e.identity, e.count, e.packet_id);
    }
}

void
recovery_apply_completed(struct recovery *r, struct bytes content)
{
    struct entry_received e;
    struct recalled *s = entry_read_received(content, &e) ? find_session(r, e.identity) : NULL;
    if (s != NULL && s->session->extra != NULL) {
        received_remove(&s->session->extra->received, e.packet_id);
    }
}

/* --------------------------------------------------------------------------------------------------------------- wills */

static void
drop_will(struct recovery *r, struct session *session)
{
    if (session_get_extra(session)->will != NULL) {
        session_drop_will(r->shard, session);
    }
}

void
recovery_apply_will(struct recovery *r, struct bytes content)
{
    struct entry_will e;
    struct recalled *s = entry_read_will(content, &e) ? find_session(r, e.identity) : NULL;
    if (s == NULL) {
        return;
    }
    drop_will(r, s->session);
    struct message *message = recovery_make_message(r, &e.body);
    struct session_will *will = message != NULL ? session_put_will(r->shard, s->session, &message) : NULL;
    if (will == NULL) {
        r->out_of_memory = true;
        return;
    }
    will->message->body = 0;
    will->message->kept_at = 0;
    will->delay_s = e.delay_s;
    will->has_expiry = e.has_expiry;
    will->expiry_s = e.expiry_s;
}

void
recovery_apply_will_dropped(struct recovery *r, struct bytes content)
{
    uint64_t identity;
    struct recalled *s = entry_read_identity(content, &identity) ? find_session(r, identity) : NULL;
    if (s != NULL) {
        drop_will(r, s->session);
    }
}

/* ----------------------------------------------------------------------------------------------------------- finishing */

static void
join_groups(struct recovery *r, const struct session *session)
{
    uint32_t room;
    struct subscription *const *places = session_subscriptions(session, &room);
    for (uint32_t i = 0; i < room; i++) {
        if (places[i] != NULL && places[i]->shared) {
            share_join(r->shard, places[i], SHARE_RECALLED, 0);
            r->shard->joins_awaited++;
        }
    }
}

static void
arm_timers(struct recovery *r, struct recalled *s)
{
    struct session *session = s->session;
    struct shard *shard = r->shard;
    struct session_will *will = session_get_extra(session)->will;
    if (will != NULL) {
        timer_arm(&shard->wheel, &will->timer, recovery_own_time(r, s->absent_since_ms + will->delay_s * 1000ull));
    }
    if (session->expiry_s != SESSION_NEVER_EXPIRES) {
        timer_arm(&shard->wheel, &session->timer, recovery_own_time(r, s->absent_since_ms + session->expiry_s * 1000ull));
    }
}

void
recovery_finish_session(struct recovery *r, struct recalled *s)
{
    bool was_connected = s->absent_since_ms == 0;
    if (s->session->expiry_s == 0) {
        drop_will(r, s->session); /* nobody was to learn of its end if the broker ends */
    }
    if (was_connected || s->absent_since_ms > r->wall_ms) {
        s->absent_since_ms = r->wall_ms; /* or the clock has gone back meanwhile */
    }
    recovery_hand_over_owed(r, s);
    join_groups(r, s->session);
    arm_timers(r, s);
    session_tidy(r->shard, s->session);
    if (was_connected && s->session->expiry_s > 0) {
        keep_absent(r->shard, s->session);
    }
}

void
recovery_give_up_session(struct recovery *r, struct recalled *s)
{
    r->passed_over++;
    recovery_forget_owed(r, s);
    if (!s->known) {
        session_end(r->shard, &s->session);
    }
}
