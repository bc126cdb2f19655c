/* Sessions and their subscriptions: what there is for certain, and what may be. */
#include "test/sim/oracle.h"

#include <stdlib.h>

/* ------------------------------------------------------------------------------------------------------------- sessions */

static uint32_t
new_link(struct oracle *o, const struct oracle_link *link)
{
    if (o->link_count == o->link_room) {
        o->link_room = o->link_room ? o->link_room * 2 : 128;
        o->links = realloc(o->links, o->link_room * sizeof *o->links);
    }
    o->links[o->link_count] = *link;
    return o->link_count++;
}

static uint32_t
new_session(struct oracle *o, uint32_t actor, uint32_t link)
{
    if (o->session_count == o->session_room) {
        o->session_room = o->session_room ? o->session_room * 2 : 64;
        o->sessions = realloc(o->sessions, o->session_room * sizeof *o->sessions);
    }
    o->sessions[o->session_count] = (struct oracle_session){
        .actor = actor,
        .link = link,
        .first_link = link,
        .kept = o->links[link].expiry_ms > 0,
        .begun = o->tick,
        .crashed = ORACLE_NEVER,
    };
    return o->session_count++;
}

static uint32_t
will_of(const struct oracle *o, const struct oracle_session *s)
{
    return s == NULL ? ORACLE_NONE : o->links[s->link].will;
}

/* A DISCONNECT that is still on its way races with the new CONNECT: which of the two ends the old connection? */
static void
race_with_disconnect(struct oracle *o, struct oracle_session *s)
{
    const struct oracle_link *l = &o->links[s->link];
    if (l->ended == ORACLE_NEVER || oracle_now_ms(o) > s->lost_hi_ms) {
        return;
    }
    s->expiry_lo_ms = l->expiry_ms < s->expiry_lo_ms ? l->expiry_ms : s->expiry_lo_ms;
    s->expiry_hi_ms = l->expiry_ms > s->expiry_hi_ms ? l->expiry_ms : s->expiry_hi_ms;
    if (l->will != ORACLE_NONE && o->wills[l->will].state == ORACLE_WILL_NEVER) {
        oracle_will_doubtful(o, l->will);
    }
}

uint32_t
oracle_connecting(struct oracle *o, uint32_t actor, uint8_t version, bool clean, uint64_t expiry_ms, uint32_t will)
{
    oracle_note(o, actor, ORACLE_NONE, clean ? "CONNECT, version %u, clean, expiry %u ms" : "CONNECT, version %u, expiry %u ms", version, (uint32_t)expiry_ms);
    struct oracle_session *s = oracle_session_of(o, actor);
    if (s != NULL && oracle_link_alive(o, s->link)) {
        oracle_lost(o, s->link, ORACLE_LOST_TAKEN_OVER, oracle_now_ms(o));
    } else if (s != NULL) {
        race_with_disconnect(o, s);
    }
    if (clean && will_of(o, s) != ORACLE_NONE) {
        oracle_will_hurried(o, will_of(o, s));
    }
    if (clean && s != NULL) {
        s->doubtful = true; /* from now on it may end */
    }
    uint32_t link = new_link(o, &(struct oracle_link){
                                    .actor = actor,
                                    .session = ORACLE_NONE,
                                    .will = will,
                                    .version = version,
                                    .clean = clean,
                                    .expiry_ms = expiry_ms,
                                    .connecting = o->tick,
                                    .opened = ORACLE_NEVER,
                                    .ended = ORACLE_NEVER,
                                    .connecting_ms = oracle_now_ms(o),
                                });
    o->actor_link[actor] = link;
    if (will != ORACLE_NONE) {
        oracle_will_doubtful(o, will);
    }
    return link;
}

bool
oracle_surely_alive(const struct oracle *o, const struct oracle_session *s)
{
    if (s->ended || s->doubtful) {
        return false;
    }
    if (!oracle_link_alive(o, s->link)) {
        return s->expiry_lo_ms > 0 && oracle_now_ms(o) < s->lost_lo_ms + s->expiry_lo_ms;
    }
    uint64_t silent_ms = o->links[s->link].silent_ms;
    return silent_ms == 0 || oracle_now_ms(o) < silent_ms + s->expiry_lo_ms;
}

static bool
surely_dead(const struct oracle_session *s, uint64_t connecting_ms)
{
    return s->expiry_hi_ms == 0 || connecting_ms > s->lost_hi_ms + s->expiry_hi_ms + ORACLE_SLACK_MS;
}

static void
judge_present(struct oracle *o, const struct oracle_link *l, const struct oracle_session *s, bool present)
{
    bool none = s == NULL || s->ended;
    if (l->clean && present) {
        oracle_fail(o, l->actor, ORACLE_NONE, "Session Present after a clean start");
    }
    if (l->clean) {
        return;
    }
    if (present && (none || surely_dead(s, l->connecting_ms))) {
        oracle_fail(o, l->actor, ORACLE_NONE, "Session Present, and there was none");
    }
    if (!present && !none && oracle_surely_alive(o, s)) {
        oracle_fail(o, l->actor, ORACLE_NONE, "no Session Present, and there was one: lost at %llu to %llu ms, kept %llu to %llu ms",
                    (unsigned long long)s->lost_lo_ms, (unsigned long long)s->lost_hi_ms, (unsigned long long)s->expiry_lo_ms,
                    (unsigned long long)s->expiry_hi_ms);
    }
}

void
oracle_connected(struct oracle *o, uint32_t link, bool present)
{
    struct oracle_link *l = &o->links[link];
    struct oracle_session *s = oracle_session_of(o, l->actor);
    judge_present(o, l, s, present);
    oracle_note(o, l->actor, ORACLE_NONE, "CONNACK, session present %u", present, 0);
    if (will_of(o, s) != ORACLE_NONE && !s->ended) {
        oracle_will_overtaken(o, will_of(o, s), l->connecting_ms, !present);
    }
    if (!present) {
        if (s != NULL) {
            s->ended = true;
        }
        o->actor_session[l->actor] = new_session(o, l->actor, link);
        s = oracle_session_of(o, l->actor);
    }
    s->link = link;
    s->expiry_lo_ms = s->expiry_hi_ms = l->expiry_ms;
    l->session = o->actor_session[l->actor];
    l->opened = o->tick;
    if (l->will != ORACLE_NONE) {
        oracle_will_armed(o, l->will);
    }
    oracle_watch_groups(o);
}

bool
oracle_not_connected(struct oracle *o, uint32_t link)
{
    struct oracle_link *l = &o->links[link];
    struct oracle_session *s = oracle_session_of(o, l->actor);
    oracle_note(o, l->actor, ORACLE_NONE, "gives up before CONNACK", 0, 0);
    l->ended = o->tick;
    if (will_of(o, s) != ORACLE_NONE && o->wills[will_of(o, s)].due_hi_ms >= l->connecting_ms && o->wills[will_of(o, s)].state == ORACLE_WILL_DUE) {
        oracle_will_doubtful(o, will_of(o, s));
    }
    bool resumed_or_not = s != NULL && !l->clean && oracle_surely_alive(o, s) && oracle_now_ms(o) + ORACLE_SLACK_MS < s->lost_lo_ms + s->expiry_lo_ms;
    if (!resumed_or_not) {
        if (s != NULL) {
            s->doubtful = true;
        }
        oracle_watch_groups(o);
        return true;
    }
    s->lost_hi_ms = oracle_now_ms(o) + ORACLE_SLACK_MS;
    s->expiry_lo_ms = l->expiry_ms < s->expiry_lo_ms ? l->expiry_ms : s->expiry_lo_ms;
    s->expiry_hi_ms = l->expiry_ms > s->expiry_hi_ms ? l->expiry_ms : s->expiry_hi_ms;
    return false;
}

void
oracle_lost(struct oracle *o, uint32_t link, enum oracle_loss how, uint64_t since_ms)
{
    static const char *const what[] = {"its connection breaks", "its connection ends with a DISCONNECT", "its connection is taken over"};
    struct oracle_link *l = &o->links[link];
    struct oracle_session *s = &o->sessions[l->session];
    oracle_note(o, l->actor, ORACLE_NONE, what[how], 0, 0);
    l->ended = o->tick;
    since_ms = l->silent_ms != 0 && l->silent_ms < since_ms ? l->silent_ms : since_ms;
    s->lost_lo_ms = since_ms;
    s->lost_hi_ms = oracle_now_ms(o) + ORACLE_SLACK_MS;
    if (l->will == ORACLE_NONE) {
        return;
    }
    if (how == ORACLE_LOST_NORMAL) {
        oracle_will_cancelled(o, l->will);
    } else {
        oracle_will_due(o, l->will, s, since_ms, s->lost_hi_ms);
    }
}

void
oracle_silent(struct oracle *o, uint32_t link, uint64_t due_ms)
{
    struct oracle_link *l = &o->links[link];
    oracle_note(o, l->actor, ORACLE_NONE, "falls silent", 0, 0);
    l->silent_ms = due_ms;
    l->stuck = ORACLE_NEVER; /* it reads, but acknowledges nothing */
    if (l->will != ORACLE_NONE) {
        oracle_will_due(o, l->will, &o->sessions[l->session], due_ms, ORACLE_FOREVER_MS);
    }
}

void
oracle_change_expiry(struct oracle *o, uint32_t link, uint64_t expiry_ms)
{
    struct oracle_session *s = &o->sessions[o->links[link].session];
    oracle_note(o, s->actor, ORACLE_NONE, "DISCONNECT changes the expiry to %u ms", (uint32_t)expiry_ms, 0);
    s->expiry_lo_ms = s->expiry_hi_ms = expiry_ms;
}

/* -------------------------------------------------------------------------------------------------------- subscriptions */

static uint8_t
replay_of(const struct oracle_session *s, uint32_t filter, uint8_t retain_handling)
{
    if (filter >= NAMES_SHARED || retain_handling == 2) {
        return ORACLE_REPLAY_NO; /* MQTT5 4.8.2: no retained messages for shared subscriptions */
    }
    uint8_t replay = ORACLE_REPLAY_SURE;
    for (const struct oracle_subscription *v = s->subscriptions; v != NULL && retain_handling == 1; v = v->next) {
        if (v->filter == filter && v->gone == ORACLE_NEVER) {
            bool sure = v->acked != ORACLE_NEVER && v->unsubscribed == ORACLE_NEVER;
            replay = sure || replay == ORACLE_REPLAY_NO ? ORACLE_REPLAY_NO : ORACLE_REPLAY_MAYBE;
        }
    }
    return replay;
}

struct oracle_subscription *
oracle_subscribing(struct oracle *o, uint32_t link, uint32_t filter, struct subscription_options options, uint32_t identifier)
{
    const struct oracle_link *l = &o->links[link];
    struct oracle_session *s = &o->sessions[l->session];
    oracle_note(o, l->actor, ORACLE_NONE, "SUBSCRIBE to filter %u, QoS %u", filter, options.qos);
    struct oracle_subscription *v = malloc(sizeof *v);
    *v = (struct oracle_subscription){
        .next = s->subscriptions,
        .filter = filter,
        .identifier = identifier,
        .link = link,
        .qos = options.qos,
        .no_local = options.no_local,
        .retain_as_published = options.retain_as_published,
        .replay = replay_of(s, filter, options.retain_handling),
        .sent_ms = oracle_now_ms(o),
        .sent = o->tick,
        .acked = ORACLE_NEVER,
        .replayed = ORACLE_NEVER,
        .unsubscribed = ORACLE_NEVER,
        .gone = ORACLE_NEVER,
    };
    s->subscriptions = v;
    s->filters |= UINT64_C(1) << filter;
    return v;
}

void
oracle_subscribed(struct oracle *o, struct oracle_subscription *s, uint32_t session)
{
    oracle_note(o, o->sessions[session].actor, ORACLE_NONE, "SUBACK for filter %u", s->filter, 0);
    if (s->filter >= NAMES_SHARED) {
        oracle_watch_groups(o); /* up to now it was no member */
    }
    s->acked = o->tick;
    for (struct oracle_subscription *v = s->next; v != NULL; v = v->next) {
        if (v->filter == s->filter && v->gone == ORACLE_NEVER) {
            v->gone = o->tick;
        }
    }
}

void
oracle_not_subscribed(struct oracle *o, struct oracle_subscription *s, uint32_t session)
{
    oracle_note(o, o->sessions[session].actor, ORACLE_NONE, "SUBACK refuses filter %u", s->filter, 0);
    s->sent = ORACLE_NEVER; /* it never matched anything */
    s->gone = s->unsubscribed = 0;
}

uint8_t
oracle_unsubscribing(struct oracle *o, uint32_t link, uint32_t filter)
{
    struct oracle_session *s = &o->sessions[o->links[link].session];
    oracle_note(o, s->actor, ORACLE_NONE, "UNSUBSCRIBE from filter %u", filter, 0);
    bool sure = false, possible = false;
    for (struct oracle_subscription *v = s->subscriptions; v != NULL; v = v->next) {
        if (v->filter != filter) {
            continue;
        }
        possible = possible || v->gone == ORACLE_NEVER;
        sure = sure || (v->gone == ORACLE_NEVER && v->acked != ORACLE_NEVER && v->unsubscribed == ORACLE_NEVER);
        v->unsubscribed = v->unsubscribed == ORACLE_NEVER ? o->tick : v->unsubscribed;
    }
    oracle_watch_groups(o);
    return sure ? REASON_SUCCESS : possible ? 0xFF : REASON_NO_SUBSCRIPTION_EXISTED;
}

void
oracle_unsubscribed(struct oracle *o, uint32_t session, uint32_t filter, uint64_t sent)
{
    struct oracle_session *s = &o->sessions[session];
    oracle_note(o, s->actor, ORACLE_NONE, "UNSUBACK for filter %u", filter, 0);
    for (struct oracle_subscription *v = s->subscriptions; v != NULL; v = v->next) {
        if (v->filter == filter && v->sent < sent && v->gone == ORACLE_NEVER) {
            v->gone = o->tick;
        }
    }
}

/* --------------------------------------------------------------------------------------------------------------- groups */

void
oracle_watch_groups(struct oracle *o)
{
    bool member[NAMES_FILTERS] = {false};
    for (uint32_t i = 0; i < o->actor_count; i++) {
        const struct oracle_session *s = oracle_session_of(o, i);
        if (s == NULL || !oracle_surely_alive(o, s)) {
            continue;
        }
        for (const struct oracle_subscription *v = s->subscriptions; v != NULL; v = v->next) {
            member[v->filter] |= v->acked != ORACLE_NEVER && v->unsubscribed == ORACLE_NEVER && v->gone == ORACLE_NEVER;
        }
    }
    for (uint32_t f = NAMES_SHARED; f < NAMES_FILTERS; f++) {
        o->group_empty[f] = member[f] ? o->group_empty[f] : o->tick;
    }
}
