/*
 * Wills: a will is due when its connection is lost plus its delay, or when its session ends, whichever comes first; a new connection before that cancels it, unless it
 * starts clean: then the session ends, and the will is due at once. MQTT5 3.1.2.5, 3.1.3.2.2.
 */
#include "test/sim/oracle.h"

#include <stdlib.h>

uint32_t
oracle_new_will(struct oracle *o, const struct oracle_message *message, uint32_t delay_s)
{
    if (o->will_count == o->will_room) {
        o->will_room = o->will_room ? o->will_room * 2 : 64;
        o->wills = realloc(o->wills, o->will_room * sizeof *o->wills);
    }
    uint32_t will = o->will_count++;
    struct oracle_message m = *message;
    m.will = will;
    uint32_t uid = oracle_new_message(o, &m);
    o->wills[will] = (struct oracle_will){.message = uid, .delay_s = delay_s, .state = ORACLE_WILL_MAYBE};
    oracle_note(o, m.actor, uid, "is a will in a CONNECT, delay %u s", delay_s, 0);
    return will;
}

void
oracle_will_armed(struct oracle *o, uint32_t will)
{
    struct oracle_message *m = &o->messages[o->wills[will].message];
    o->wills[will].state = ORACLE_WILL_ARMED;
    m->sent = m->last_sent = ORACLE_NEVER;
}

/* From now on it may be published. */
static void
trigger(struct oracle *o, struct oracle_will *w)
{
    struct oracle_message *m = &o->messages[w->message];
    oracle_note(o, m->actor, w->message, "may be published (a will), in %u to %u ms", (uint32_t)(w->due_lo_ms - oracle_now_ms(o)),
                (uint32_t)(w->due_hi_ms - oracle_now_ms(o)));
    if (m->attempts++ == 0) {
        oracle_push(&o->unsettled, &o->unsettled_count, &o->unsettled_room, w->message);
        if (m->retain) {
            oracle_push(&o->retained[m->topic], &o->retained_count[m->topic], &o->retained_room[m->topic], w->message);
        }
    }
    m->attempts = 1;
    m->sent = m->last_sent = o->tick;
    m->sent_ms = m->last_sent_ms = oracle_now_ms(o);
}

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void
oracle_will_due(struct oracle *o, uint32_t will, const struct oracle_session *s, uint64_t since_ms, uint64_t until_ms)
{
    struct oracle_will *w = &o->wills[will];
    uint64_t delay_ms = w->delay_s * UINT64_C(1000);
    if (w->again > 0) {
        return; /* of a connection that the broker had lost before it crashed */
    }
    bool armed = w->state == ORACLE_WILL_ARMED;
    w->state = ORACLE_WILL_DUE;
    w->immediate = delay_ms == 0 || s->expiry_hi_ms == 0;
    w->due_lo_ms = since_ms + least(delay_ms, s->expiry_lo_ms);
    w->due_hi_ms = until_ms + least(delay_ms, s->expiry_hi_ms) + ORACLE_SLACK_MS;
    if (armed) {
        trigger(o, w);
    }
}

void
oracle_will_hurried(struct oracle *o, uint32_t will)
{
    struct oracle_will *w = &o->wills[will];
    if (w->state == ORACLE_WILL_DUE && oracle_now_ms(o) < w->due_lo_ms) {
        w->due_lo_ms = oracle_now_ms(o);
    }
}

void
oracle_will_cancelled(struct oracle *o, uint32_t will)
{
    oracle_note(o, o->messages[o->wills[will].message].actor, o->wills[will].message, "must not be published any more (a will)", 0, 0);
    struct oracle_message *m = &o->messages[o->wills[will].message];
    o->wills[will].state = ORACLE_WILL_NEVER;
    m->sent = m->last_sent = ORACLE_NEVER;
}

void
oracle_will_doubtful(struct oracle *o, uint32_t will)
{
    struct oracle_will *w = &o->wills[will];
    if (w->state == ORACLE_WILL_FIRED) {
        return;
    }
    if (w->state == ORACLE_WILL_DUE && w->immediate) {
        w->due_hi_ms = oracle_now_ms(o) + 2 * ORACLE_SLACK_MS;
        return;
    }
    w->due_lo_ms = w->due_hi_ms = oracle_now_ms(o);
    if (w->state != ORACLE_WILL_DUE) {
        trigger(o, w);
    }
    w->state = ORACLE_WILL_MAYBE;
}

static void
fired(struct oracle *o, struct oracle_will *w)
{
    w->state = ORACLE_WILL_FIRED;
    oracle_acked(o, w->message);
    o->wills_checked++;
}

void
oracle_will_overtaken(struct oracle *o, uint32_t will, uint64_t connecting_ms, bool over)
{
    struct oracle_will *w = &o->wills[will];
    if (w->state != ORACLE_WILL_DUE) {
        return;
    }
    if (w->immediate || over || connecting_ms > w->due_hi_ms) {
        fired(o, w);
    } else if (oracle_now_ms(o) < w->due_lo_ms) {
        oracle_will_cancelled(o, will);
    } else {
        w->state = ORACLE_WILL_MAYBE;
    }
}

/* A CONNECT that may have cancelled it waits for its answer. */
static bool
contested(const struct oracle *o, const struct oracle_will *w)
{
    uint32_t link = o->actor_link[o->messages[w->message].actor];
    const struct oracle_link *l = &o->links[link];
    return l->opened == ORACLE_NEVER && l->ended == ORACLE_NEVER && l->connecting_ms <= w->due_hi_ms;
}

void
oracle_wills_settled(struct oracle *o)
{
    for (uint32_t i = 0; i < o->will_count; i++) {
        struct oracle_will *w = &o->wills[i];
        if (w->state != ORACLE_WILL_DUE || contested(o, w)) {
            continue;
        }
        if (oracle_now_ms(o) > w->due_hi_ms) {
            fired(o, w);
        } else if (oracle_now_ms(o) < w->due_lo_ms) {
            /* Not yet published for certain: whatever was subscribed up to now gets it. */
            o->messages[w->message].sent = o->messages[w->message].last_sent = o->tick;
        }
    }
}

/* The link whose will it is. */
static const struct oracle_link *
link_of(const struct oracle *o, uint32_t will)
{
    uint32_t link = o->link_count;
    while (link > 0 && o->links[link - 1].will != will) {
        link--;
    }
    return link > 0 ? &o->links[link - 1] : NULL;
}

void
oracle_judge_will(struct oracle *o, uint32_t actor, uint32_t uid)
{
    struct oracle_will *w = &o->wills[o->messages[uid].will];
    if (w->state == ORACLE_WILL_ARMED && o->disk_trouble && link_of(o, o->messages[uid].will)->version < 5) {
        oracle_will_doubtful(o, o->messages[uid].will); /* a PUBLISH was refused, so its connection was closed, which its client has not noticed yet */
        w->again++;
    }
    if (w->state == ORACLE_WILL_ARMED) {
        oracle_fail(o, actor, uid, "received the will of a connection that was not lost");
    }
    if (w->state == ORACLE_WILL_NEVER) {
        oracle_fail(o, actor, uid, "received a will that was deleted");
    }
    if (w->state == ORACLE_WILL_DUE && oracle_now_ms(o) < w->due_lo_ms) {
        oracle_fail(o, actor, uid, "received a will %llu ms before its time", (unsigned long long)(w->due_lo_ms - oracle_now_ms(o)));
    }
}

/* ------------------------------------------------------------------------------------------------------------------ crashes */

/* May have been published when the broker went down, or refused; nobody was told. */
static void
become_unsure(struct oracle *o, struct oracle_will *w)
{
    struct oracle_message *m = &o->messages[w->message];
    w->state = ORACLE_WILL_MAYBE;
    w->again++;
    m->routed = m->done = ORACLE_NEVER;
}

void
oracle_wills_after_trouble(struct oracle *o)
{
    for (uint32_t i = 0; i < o->will_count; i++) {
        struct oracle_will *w = &o->wills[i];
        bool published = w->state == ORACLE_WILL_FIRED && o->messages[w->message].settled == ORACLE_NEVER;
        if (published || w->state == ORACLE_WILL_DUE) {
            become_unsure(o, w);
        }
    }
}

static void
crash_one(struct oracle *o, uint32_t will, uint64_t since_ms, bool orderly)
{
    struct oracle_will *w = &o->wills[will];
    const struct oracle_link *l = link_of(o, will);
    bool lately = l->ended != ORACLE_NEVER && l->ended >= o->rested;
    if (w->state == ORACLE_WILL_FIRED && o->messages[w->message].settled == ORACLE_NEVER) {
        become_unsure(o, w);
    } else if (w->state == ORACLE_WILL_NEVER && lately && l->expiry_ms > 0) {
        oracle_will_doubtful(o, will); /* the DISCONNECT that deleted it may not have been recorded */
    } else if (w->state == ORACLE_WILL_MAYBE) {
        w->again++;
    } else if (w->state == ORACLE_WILL_DUE && (w->due_lo_ms <= since_ms || l->expiry_ms == 0 || (orderly && lately))) {
        become_unsure(o, w); /* a broker that stops, and has not noticed that the connection is lost, takes the will back */
    } else if (w->state == ORACLE_WILL_DUE) {
        uint64_t again_ms = oracle_now_ms(o) + ORACLE_SLACK_MS + (lately ? w->delay_s * UINT64_C(1000) : 0);
        w->due_hi_ms = w->due_hi_ms > again_ms ? w->due_hi_ms : again_ms;
    }
}

void
oracle_wills_crashing(struct oracle *o, uint64_t since_ms, bool orderly)
{
    for (uint32_t i = 0; i < o->will_count; i++) {
        crash_one(o, i, since_ms, orderly);
    }
}

/* Those of sessions that end with their connections went with the broker; a broker that stops has not lost its clients. */
void
oracle_wills_crashed(struct oracle *o, bool orderly)
{
    for (uint32_t i = 0; i < o->actor_count; i++) {
        const struct oracle_session *s = oracle_session_of(o, i);
        uint32_t will = s == NULL ? ORACLE_NONE : o->links[s->link].will;
        bool at_the_crash = will != ORACLE_NONE && o->wills[will].state == ORACLE_WILL_DUE && o->links[s->link].ended > o->went_down;
        if (at_the_crash && (orderly || s->expiry_hi_ms == 0)) {
            oracle_will_cancelled(o, will);
        }
    }
}
