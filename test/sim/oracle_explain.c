/*
 * What explains a delivery: a live message by the session's ordinary subscriptions together (one copy, at the highest QoS, with all their identifiers); a retained
 * message by one new subscription; a message by one shared subscription. Several deliveries of one message need an explanation each.
 */
#include "test/sim/oracle.h"

#include <stdlib.h>

#define SLOTS_MAX 64u
#define RECEPTIONS_MAX 64u

bool
oracle_may_match(const struct oracle_message *m, const struct oracle_subscription *s)
{
    bool in_time = (m->settled == ORACLE_NEVER || s->sent < m->settled) && m->sent < s->gone;
    return in_time && names_match(s->filter, m->topic);
}

bool
oracle_covered(const struct oracle_session *session, const struct oracle_message *m, uint32_t filter)
{
    for (const struct oracle_subscription *s = session->subscriptions; s != NULL; s = s->next) {
        bool throughout = s->acked < m->sent && s->gone > m->sent && (s->unsubscribed == ORACLE_NEVER || s->unsubscribed > m->settled);
        if (s->filter == filter && throughout) {
            return true;
        }
    }
    return false;
}

static uint8_t
least(uint8_t a, uint8_t b)
{
    return a < b ? a : b;
}

/* Those of a 3.x connection are not told. */
static bool
same_identifiers(const struct oracle_reception *r, const uint32_t *identifiers, uint32_t count)
{
    if (r->version < 5) {
        return true;
    }
    if (r->identifier_count != count) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t here = 0, there = 0;
        for (uint32_t k = 0; k < count; k++) {
            here += identifiers[k] == identifiers[i];
            there += r->identifiers[k] == identifiers[i];
        }
        if (here != there) {
            return false;
        }
    }
    return true;
}

/* ----------------------------------------------------------------------------------------------------------------- live */

/* What the filters looked at so far give together. */
struct combination {
    uint32_t identifiers[NAMES_FILTERS];
    uint32_t identifier_count;
    uint32_t subscriptions;
    uint8_t qos;
    bool retain;
};

static bool
explains(const struct oracle_message *m, const struct oracle_reception *r, const struct combination *c)
{
    return c->subscriptions > 0 && r->qos == least(m->qos, c->qos) && r->retain == (c->retain && m->retain) &&
           same_identifiers(r, c->identifiers, c->identifier_count);
}

static struct combination
with(const struct combination *c, const struct oracle_subscription *s)
{
    struct combination more = *c;
    more.subscriptions++;
    more.qos = s->qos > c->qos ? s->qos : c->qos;
    more.retain = c->retain || s->retain_as_published;
    if (s->identifier != 0) {
        more.identifiers[more.identifier_count++] = s->identifier;
    }
    return more;
}

/* Tries every version, and the absence, of each filter from `filter` on. */
static bool
combine(const struct oracle_session *session, const struct oracle_message *m, const struct oracle_reception *r, uint32_t filter, const struct combination *c)
{
    while (filter < NAMES_SHARED && !(session->filters >> filter & 1 && names_match(filter, m->topic))) {
        filter++;
    }
    if (filter == NAMES_SHARED) {
        return explains(m, r, c);
    }
    bool without = !oracle_covered(session, m, filter);
    for (const struct oracle_subscription *s = session->subscriptions; s != NULL; s = s->next) {
        if (s->filter != filter || !oracle_may_match(m, s) || s->sent > r->tick) {
            continue;
        }
        if (s->no_local && m->actor == session->actor) {
            without = true; /* MQTT5 [MQTT-3.8.3-3] */
            continue;
        }
        struct combination more = with(c, s);
        if (combine(session, m, r, filter + 1, &more)) {
            return true;
        }
    }
    return without && combine(session, m, r, filter + 1, c);
}

bool
oracle_explain_live(struct oracle *o, const struct oracle_message *m, const struct oracle_reception *r)
{
    struct combination none = {0};
    return combine(&o->sessions[r->session], m, r, 0, &none);
}

/* ------------------------------------------------------------------------------------------------- replayed and shared */

static bool
fits_alone(const struct oracle_message *m, const struct oracle_reception *r, const struct oracle_subscription *s)
{
    return names_match(s->filter, m->topic) && s->sent < r->tick && r->qos == least(m->qos, s->qos) && same_identifiers(r, &s->identifier, s->identifier != 0);
}

bool
oracle_explain_replay(struct oracle *o, uint32_t uid, const struct oracle_reception *r, const struct oracle_subscription *s)
{
    const struct oracle_message *m = &o->messages[uid];
    bool kept = m->retain && m->size > 0 && (m->expiry_s == 0 || m->mixed || s->sent_ms <= m->last_sent_ms + m->expiry_s * 1000ull + ORACLE_SLACK_MS);
    return kept && r->retain && s->replay != ORACLE_REPLAY_NO && m->sent < s->replayed && fits_alone(m, r, s) && !oracle_superseded(o, uid, s->sent);
}

bool
oracle_explain_shared(const struct oracle *o, const struct oracle_message *m, const struct oracle_reception *r, const struct oracle_subscription *s)
{
    /* What another member gave back comes to one that subscribed later too. QoS 0 only if it was queued: as configured, or behind a replay that had to wait. */
    bool queued = m->qos > 0 || o->queue_qos0 || o->drops_qos0;
    bool in_time = m->sent < s->gone && (queued || m->settled == ORACLE_NEVER || s->sent < m->settled);
    return s->filter >= NAMES_SHARED && in_time && fits_alone(m, r, s) && r->retain == (s->retain_as_published && m->retain);
}

/* ------------------------------------------------------------------------------------------------------ several at once */

/* One explanation and how many deliveries it is good for. */
struct slot {
    const struct oracle_subscription *subscription; /* NULL: live */
    uint32_t capacity;
};

struct matching {
    struct slot slots[SLOTS_MAX];
    const struct oracle_reception *receptions[RECEPTIONS_MAX];
    uint32_t slot_count, reception_count;
};

static void
add_slots(const struct oracle *o, const struct oracle_session *session, const struct oracle_message *m, struct matching *matching)
{
    uint32_t crashes = o->crash_count - m->crashes;
    uint32_t attempts = m->will != ORACLE_NONE ? 1u + o->wills[m->will].again : m->qos == 1 ? m->attempts : 1;
    matching->slots[matching->slot_count++] = (struct slot){NULL, attempts};
    for (const struct oracle_subscription *s = session->subscriptions; s != NULL && matching->slot_count < SLOTS_MAX; s = s->next) {
        if (!names_match(s->filter, m->topic)) {
            continue;
        }
        bool replay = s->filter < NAMES_SHARED;
        /* A shared QoS 1 message may go round; one of QoS 2 has one receiver, and one more for each crash (the versions of one subscription count as several here). */
        uint32_t once = replay ? 1 : 1 + crashes;
        uint32_t capacity = replay || (m->qos != 1 && s->qos != 1) ? once : RECEPTIONS_MAX;
        matching->slots[matching->slot_count++] = (struct slot){s, capacity};
    }
}

static bool
fits_slot(struct oracle *o, uint32_t uid, const struct oracle_reception *r, const struct slot *slot)
{
    const struct oracle_message *m = &o->messages[uid];
    if (slot->subscription == NULL) {
        return oracle_explain_live(o, m, r);
    }
    return oracle_explain_shared(o, m, r, slot->subscription) || oracle_explain_replay(o, uid, r, slot->subscription);
}

static bool
assign(struct oracle *o, uint32_t uid, struct matching *matching, uint32_t at)
{
    if (at == matching->reception_count) {
        return true;
    }
    for (uint32_t i = 0; i < matching->slot_count; i++) {
        struct slot *slot = &matching->slots[i];
        if (slot->capacity == 0 || !fits_slot(o, uid, matching->receptions[at], slot)) {
            continue;
        }
        slot->capacity--;
        if (assign(o, uid, matching, at + 1)) {
            return true;
        }
        slot->capacity++;
    }
    return false;
}

bool
oracle_explain_all(struct oracle *o, uint32_t uid, uint32_t session)
{
    const struct oracle_message *m = &o->messages[uid];
    struct matching matching = {.slot_count = 0};
    for (const struct oracle_reception *r = m->receptions; r != NULL && matching.reception_count < RECEPTIONS_MAX; r = r->next) {
        if (r->session == session && !r->doubtful) {
            matching.receptions[matching.reception_count++] = r;
        }
    }
    add_slots(o, &o->sessions[session], m, &matching);
    return assign(o, uid, &matching, 0);
}
