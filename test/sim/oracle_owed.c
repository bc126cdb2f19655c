/* What must have been delivered: looked for at checkpoints, when nothing is under way and nobody has anything left to do. */
#include "test/sim/oracle.h"

#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------------------------------------- messages */

/*
 * True if the message must reach the session by its ordinary subscriptions, at `*qos` at least: some filter surely matched, whatever versions of its
 * subscription were in force.
 */
static bool
surely_matches(const struct oracle_session *s, const struct oracle_message *m, uint8_t *qos)
{
    bool any = false;
    *qos = 0;
    for (uint32_t f = 0; f < NAMES_SHARED; f++) {
        if (!(s->filters >> f & 1) || !names_match(f, m->topic) || !oracle_covered(s, m, f)) {
            continue;
        }
        uint8_t least = 2;
        bool local = false;
        for (const struct oracle_subscription *v = s->subscriptions; v != NULL; v = v->next) {
            if (v->filter == f && oracle_may_match(m, v)) {
                least = v->qos < least ? v->qos : least;
                local |= v->no_local && m->actor == s->actor;
            }
        }
        if (!local) {
            any = true;
            *qos = least > *qos ? least : *qos;
        }
    }
    *qos = m->qos < *qos ? m->qos : *qos;
    return any;
}

static bool
may_have_expired(const struct oracle *o, const struct oracle_message *m)
{
    return m->expiry_s != 0 && oracle_now_ms(o) + ORACLE_SLACK_MS >= m->sent_ms + m->expiry_s * 1000ull;
}

/* Connected since before `tick`, reading all the time. */
static bool
attentive_since(const struct oracle *o, const struct oracle_session *s, uint64_t tick)
{
    const struct oracle_link *l = &o->links[s->link];
    return oracle_link_alive(o, s->link) && l->opened < tick && (l->stuck == 0 || l->stuck < tick);
}

static bool
reads(const struct oracle *o, const struct oracle_session *s)
{
    return oracle_link_alive(o, s->link) && o->links[s->link].stuck != ORACLE_NEVER;
}

static bool
was_received(struct oracle *o, const struct oracle_message *m, uint32_t session)
{
    for (const struct oracle_reception *r = m->receptions; r != NULL; r = r->next) {
        if (r->session == session && oracle_explain_live(o, m, r)) {
            return true;
        }
    }
    return false;
}

static void
judge_message(struct oracle *o, uint32_t uid, uint32_t session)
{
    struct oracle_session *s = &o->sessions[session];
    const struct oracle_message *m = &o->messages[uid];
    uint8_t qos;
    if (s->ended || s->doubtful || s->begun > m->sent || !surely_matches(s, m, &qos)) {
        return;
    }
    if (qos == 0 && (o->drops_qos0 || !attentive_since(o, s, m->sent))) {
        return;
    }
    if (!reads(o, s)) {
        oracle_push(&s->owed, &s->owed_count, &s->owed_room, uid);
        return;
    }
    o->obligations++;
    if (!may_have_expired(o, m) && !was_received(o, m, session)) {
        oracle_fail(o, s->actor, uid, "not delivered, and owed at QoS %u", qos);
    }
}

/* Of messages that the broker has for certain, and is done with distributing. */
static void
judge_new_messages(struct oracle *o)
{
    for (uint32_t uid = o->judged_from; uid < o->message_count; uid++) {
        struct oracle_message *m = &o->messages[uid];
        if (m->judged || m->routed == ORACLE_NEVER || m->settled == ORACLE_NEVER || m->size == 0) {
            continue;
        }
        m->judged = true;
        for (uint32_t i = 0; i < o->actor_count; i++) {
            if (o->actor_session[i] != ORACLE_NONE) {
                judge_message(o, uid, o->actor_session[i]);
            }
        }
    }
    while (o->judged_from < o->message_count && o->messages[o->judged_from].judged) {
        o->judged_from++;
    }
}

static void
judge_owed(struct oracle *o, uint32_t session)
{
    struct oracle_session *s = &o->sessions[session];
    if (s->doubtful || !reads(o, s)) {
        return;
    }
    for (uint32_t i = 0; i < s->owed_count; i++) {
        const struct oracle_message *m = &o->messages[s->owed[i]];
        o->obligations++;
        if (!may_have_expired(o, m) && !was_received(o, m, session)) {
            oracle_fail(o, s->actor, s->owed[i], "not delivered to the session that came back");
        }
    }
    s->owed_count = 0;
}

/* ------------------------------------------------------------------------------------------------------------- retained */

/* What may have been the topic's retained message for a subscription: any of these must have come since. */
struct kept {
    bool any;      /* there was one for certain */
    bool open;     /* it may have been deleted or have expired */
    bool received;
    uint8_t qos;   /* the least of them */
    uint32_t uid;  /* one of them */
};

static bool
received_since(const struct oracle_message *m, uint32_t session, uint64_t tick)
{
    for (const struct oracle_reception *r = m->receptions; r != NULL; r = r->next) {
        if (r->session == session && r->tick > tick) {
            return true;
        }
    }
    return false;
}

static struct kept
look_up(struct oracle *o, uint32_t session, const struct oracle_subscription *v, uint32_t topic)
{
    struct kept kept = {.qos = v->qos, .uid = ORACLE_NONE};
    for (uint32_t i = 0; i < o->retained_count[topic]; i++) {
        uint32_t uid = o->retained[topic][i];
        const struct oracle_message *m = &o->messages[uid];
        if (m->sent > o->tick || oracle_superseded(o, uid, v->sent)) {
            continue;
        }
        kept.any |= m->routed < v->sent;
        kept.open |= m->size == 0 || m->expiry_s != 0;
        kept.qos = m->qos < kept.qos ? m->qos : kept.qos;
        kept.received |= received_since(m, session, v->sent);
        kept.uid = uid;
    }
    return kept;
}

static void
show_kept(struct oracle *o, uint32_t topic)
{
    for (uint32_t i = 0; i < o->retained_count[topic]; i++) {
        const struct oracle_message *m = &o->messages[o->retained[topic][i]];
        fprintf(stderr, "  retained: message %u of client %u, %u bytes; ticks: sent %lld, last sent %lld, routed %lld, done %lld\n", o->retained[topic][i], m->actor,
                m->size, (long long)m->sent, (long long)m->last_sent, (long long)m->routed, (long long)m->done);
    }
}

static void
judge_replay(struct oracle *o, uint32_t session, const struct oracle_subscription *v)
{
    const struct oracle_session *s = &o->sessions[session];
    for (uint32_t topic = 0; topic < NAMES_TOPICS; topic++) {
        if (!names_match(v->filter, topic)) {
            continue;
        }
        struct kept kept = look_up(o, session, v, topic);
        bool may_be_lost = kept.qos == 0 && !(!o->drops_qos0 && v->link == s->link && attentive_since(o, s, v->sent));
        if (!kept.any || kept.open || may_be_lost) {
            continue;
        }
        o->replays_checked++;
        if (!kept.received) {
            show_kept(o, topic);
            oracle_fail(o, s->actor, kept.uid, "subscribed to filter %u at tick %llu and did not get the retained message", v->filter,
                        (unsigned long long)v->sent);
        }
    }
}

static void
judge_replays(struct oracle *o, uint32_t session)
{
    struct oracle_session *s = &o->sessions[session];
    if (s->doubtful || !reads(o, s)) {
        return;
    }
    for (struct oracle_subscription *v = s->subscriptions; v != NULL; v = v->next) {
        if (v->acked == ORACLE_NEVER || v->replayed != ORACLE_NEVER) {
            continue;
        }
        if (v->replay == ORACLE_REPLAY_SURE && v->unsubscribed == ORACLE_NEVER && v->gone == ORACLE_NEVER) {
            judge_replay(o, session, v);
        }
        v->replayed = o->tick;
    }
}

/* What a crash had made unsure has come again by now, or it never will. */
static void
end_doubts(struct oracle *o)
{
    for (uint32_t uid = 0; uid < o->message_count; uid++) {
        for (struct oracle_reception *r = o->messages[uid].receptions; r != NULL; r = r->next) {
            bool may_be_sent_again = o->messages[uid].qos == 2 && o->messages[uid].routed == ORACLE_NEVER; /* by its publisher */
            r->unsure = r->unsure && (may_be_sent_again || !reads(o, &o->sessions[r->session]));
        }
    }
}

void
oracle_checkpoint(struct oracle *o)
{
    oracle_note(o, ORACLE_NONE, ORACLE_NONE, "checkpoint", 0, 0);
    judge_new_messages(o);
    if (o->crash_count > 0) {
        end_doubts(o);
    }
    for (uint32_t i = 0; i < o->actor_count; i++) {
        uint32_t session = o->actor_session[i];
        if (session != ORACLE_NONE && !o->sessions[session].ended) {
            judge_owed(o, session);
            judge_replays(o, session);
        }
    }
}

/* --------------------------------------------------------------------------------------------------------------- groups */

/* What is known of one message and one group. */
struct group {
    uint32_t surely;   /* deliveries that nothing but the group explains */
    uint32_t possibly;
    uint8_t qos;       /* the least that a possible member asked for */
    bool lost;         /* a member's session ended: what it had in flight at QoS 2, or in a crash, went with it; or it is away for ever with what it holds */
};

static void
count_in_session(struct oracle *o, uint32_t uid, uint32_t filter, uint32_t session, struct group *g)
{
    const struct oracle_session *s = &o->sessions[session];
    const struct oracle_message *m = &o->messages[uid];
    if (!(s->filters >> filter & 1)) {
        return;
    }
    for (const struct oracle_subscription *v = s->subscriptions; v != NULL; v = v->next) {
        if (v->filter == filter && m->sent < v->gone) {
            g->qos = v->qos < g->qos ? v->qos : g->qos;
            g->lost |= s->doubtful || (s->ended && m->qos == 2 && v->qos == 2) || (s->crashed != ORACLE_NEVER && m->sent < s->crashed);
        }
    }
    uint32_t here_count = 0;
    bool other_live = false, here_live = false;
    for (const struct oracle_reception *r = m->receptions; r != NULL; r = r->next) {
        if (r->session != session) {
            continue;
        }
        bool live = oracle_explain_live(o, m, r), here = false, elsewhere = live;
        for (const struct oracle_subscription *v = s->subscriptions; v != NULL; v = v->next) {
            bool shared = oracle_explain_shared(o, m, r, v);
            here |= shared && v->filter == filter;
            elsewhere |= (shared && v->filter != filter) || oracle_explain_replay(o, uid, r, v);
        }
        g->surely += here && !elsewhere && !r->doubtful;
        here_count += here;
        here_live |= here && live;
        other_live |= !here && live;
    }
    /* One of them may stand for what the ordinary subscriptions are owed. A session that ended may have lost that. */
    uint8_t qos;
    bool owed = !s->ended && !s->doubtful && surely_matches(s, m, &qos) && qos > 0;
    g->possibly += here_count - (here_live && !other_live && owed);
}

static void
show_members(struct oracle *o, uint32_t uid, uint32_t filter)
{
    for (uint32_t i = 0; i < o->session_count; i++) {
        const struct oracle_session *s = &o->sessions[i];
        for (const struct oracle_subscription *v = s->subscriptions; v != NULL; v = v->next) {
            if (v->filter == filter) {
                fprintf(stderr, "  member: client %u%s, QoS %u, identifier %u; ticks: sent %lld, acked %lld, unsubscribed %lld, gone %lld\n", s->actor,
                        s->ended ? ", session ended" : "", v->qos, v->identifier, (long long)v->sent, (long long)v->acked, (long long)v->unsubscribed, (long long)v->gone);
            }
        }
    }
    for (const struct oracle_reception *r = o->messages[uid].receptions; r != NULL; r = r->next) {
        fprintf(stderr, "  received by client %u at tick %llu, QoS %u, retain %u, %u identifiers, the first %u, version %u: %s\n", o->sessions[r->session].actor,
                (unsigned long long)r->tick, r->qos, r->retain, r->identifier_count, r->identifiers[0], r->version,
                oracle_explain_live(o, &o->messages[uid], r) ? "may be live" : "not live");
    }
    fprintf(stderr, "  the group may have been empty at tick %llu\n", (unsigned long long)o->group_empty[filter]);
}

static void
judge_group(struct oracle *o, uint32_t uid, uint32_t filter)
{
    const struct oracle_message *m = &o->messages[uid];
    struct group g = {.qos = 2};
    for (uint32_t session = 0; session < o->session_count; session++) {
        count_in_session(o, uid, filter, session, &g);
    }
    uint8_t qos = m->qos < g.qos ? m->qos : g.qos;
    if (qos == 2 && g.surely > 1 + o->crash_count - m->crashes) {
        show_members(o, uid, filter);
        oracle_fail(o, ORACLE_NONE, uid, "received by %u members of the group of filter %u at QoS 2", g.surely, filter);
    }
    bool inhabited = o->group_empty[filter] < m->sent;
    if (m->routed == ORACLE_NEVER || !inhabited || qos == 0 || g.lost || m->expiry_s != 0) {
        return;
    }
    o->groups_checked++;
    if (g.possibly == 0) {
        show_members(o, uid, filter);
        oracle_fail(o, ORACLE_NONE, uid, "not delivered to any member of the group of filter %u, and owed at QoS %u", filter, qos);
    }
}

void
oracle_judge_groups(struct oracle *o)
{
    for (uint32_t uid = 0; uid < o->message_count; uid++) {
        for (uint32_t f = NAMES_SHARED; f < NAMES_FILTERS && o->messages[uid].size > 0; f++) {
            if (names_match(f, o->messages[uid].topic) && o->messages[uid].sent != ORACLE_NEVER) {
                judge_group(o, uid, f);
            }
        }
    }
}
