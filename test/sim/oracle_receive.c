/* What a client was given: is it what was published, is it meant for this client, and is it its turn? */
#include "test/sim/oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
read_identifiers(struct oracle *o, uint32_t actor, const struct publish *publish, struct oracle_reception *r)
{
    struct reader block = reader_of(publish->properties.raw);
    struct property_item item;
    while (publish->properties.raw.size > 0 && property_next(&block, &item)) {
        if (item.id != PROPERTY_SUBSCRIPTION_IDENTIFIER) {
            continue;
        }
        if (r->identifier_count == ORACLE_IDENTIFIERS_MAX) {
            oracle_fail(o, actor, ORACLE_NONE, "more subscription identifiers than it has subscriptions");
        }
        r->identifiers[r->identifier_count++] = item.number;
    }
}

static struct oracle_reception
reception_of(struct oracle *o, uint32_t link, const struct publish *publish)
{
    const struct oracle_link *l = &o->links[link];
    struct oracle_reception r = {
        .session = l->session,
        .link = link,
        .tick = o->tick + 1,
        .packet_id = publish->packet_id,
        .version = l->version,
        .qos = publish->qos,
        .retain = publish->retain,
        .dup = publish->dup,
    };
    read_identifiers(o, l->actor, publish, &r);
    return r;
}

/* An MQTT 3 connection is not told the identifiers. */
static bool
same_form(const struct oracle_reception *a, const struct oracle_reception *b)
{
    bool told = a->version == 5 && b->version == 5;
    return a->qos == b->qos && a->retain == b->retain &&
           (!told || (a->identifier_count == b->identifier_count && memcmp(a->identifiers, b->identifiers, a->identifier_count * sizeof *a->identifiers) == 0));
}

bool
oracle_same_form(struct oracle *o, uint32_t link, uint32_t uid, const struct publish *publish)
{
    struct oracle_reception r = reception_of(o, link, publish);
    const struct oracle_reception *before = o->messages[uid].receptions;
    while (before != NULL && !(before->session == r.session && before->packet_id == r.packet_id)) {
        before = before->next;
    }
    return before != NULL && same_form(before, &r);
}

enum explanation { LIVE = 1, REPLAYED = 2, SHARED = 4 };

/* All that explain it: a mask. */
static unsigned
explanations(struct oracle *o, uint32_t uid, const struct oracle_reception *r)
{
    const struct oracle_message *m = &o->messages[uid];
    unsigned found = oracle_explain_live(o, m, r) ? LIVE : 0;
    for (const struct oracle_subscription *s = o->sessions[r->session].subscriptions; s != NULL; s = s->next) {
        found |= oracle_explain_shared(o, m, r, s) ? SHARED : 0;
        found |= oracle_explain_replay(o, uid, r, s) ? REPLAYED : 0;
    }
    return found;
}

uint32_t
oracle_identify(struct oracle *o, uint32_t link, const struct publish *publish)
{
    uint32_t topic = names_find_topic(publish->topic);
    if (publish->payload.size > 0) {
        uint32_t uid = names_payload_uid(publish->payload);
        return uid < o->message_count ? uid : ORACLE_NONE;
    }
    uint32_t found = ORACLE_NONE;
    struct oracle_reception r = reception_of(o, link, publish);
    for (uint32_t i = 0; topic < NAMES_TOPICS && i < o->retained_count[topic]; i++) {
        uint32_t uid = o->retained[topic][i];
        bool refused = o->messages[uid].refused && o->messages[uid].attempts == 1;
        if (o->messages[uid].size == 0 && !refused && o->messages[uid].sent <= o->tick && explanations(o, uid, &r) != 0) {
            found = uid;
        }
    }
    return found;
}

/* ------------------------------------------------------------------------------------------------------------- contents */

static void
judge_expiry(struct oracle *o, uint32_t link, uint32_t uid, const struct publish *publish)
{
    const struct oracle_message *m = &o->messages[uid];
    const struct oracle_link *l = &o->links[link];
    bool told = properties_has(&publish->properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
    if (told != (m->expiry_s > 0 && l->version == 5)) {
        oracle_fail(o, l->actor, uid, "Message Expiry Interval %s", told ? "out of nothing" : "lost");
    }
    if (m->expiry_s == 0) {
        return;
    }
    uint64_t end_lo_ms = m->sent_ms + m->expiry_s * 1000ull;
    uint64_t end_hi_ms = m->last_sent_ms + m->expiry_s * 1000ull + ORACLE_SLACK_MS;
    if (!publish->dup && l->connecting_ms > end_hi_ms) {
        oracle_fail(o, l->actor, uid, "delivered to a connection that began when the message had expired");
    }
    uint64_t left_lo_ms = end_lo_ms > oracle_now_ms(o) ? end_lo_ms - oracle_now_ms(o) : 0;
    uint64_t left_hi_ms = end_hi_ms > l->connecting_ms ? end_hi_ms - l->connecting_ms : 0;
    uint32_t left_s = publish->properties.message_expiry_s;
    if (told && (left_s > m->expiry_s || left_s * 1000ull < left_lo_ms || left_s * 1000ull > left_hi_ms + 999)) {
        oracle_fail(o, l->actor, uid, "Message Expiry Interval is %u s, and %llu to %llu ms are left", left_s, (unsigned long long)left_lo_ms,
                    (unsigned long long)left_hi_ms);
    }
}

static void
judge_content_type(struct oracle *o, uint32_t actor, uint32_t uid, uint8_t version, const struct publish *publish)
{
    bool told = properties_has(&publish->properties, PROPERTY_CONTENT_TYPE);
    if (told != (o->messages[uid].content_type && version == 5)) {
        oracle_fail(o, actor, uid, "Content Type %s", told ? "out of nothing" : "lost");
    }
    char text[16];
    int size = snprintf(text, sizeof text, "t%u", uid);
    if (told && !bytes_equal(publish->properties.content_type, bytes_of(text, (uint32_t)size))) {
        oracle_fail(o, actor, uid, "Content Type altered");
    }
}

static void
judge_content(struct oracle *o, uint32_t link, uint32_t uid, const struct publish *publish)
{
    const struct oracle_link *l = &o->links[link];
    if (uid == ORACLE_NONE) {
        oracle_fail(o, l->actor, uid, "received what nobody sent, or an empty message that no subscription explains: topic '%.*s', %u bytes, QoS %u%s",
                    (int)publish->topic.size, (const char *)publish->topic.data, publish->payload.size, publish->qos, publish->retain ? ", retain" : "");
    }
    const struct oracle_message *m = &o->messages[uid];
    if (!bytes_equal(publish->topic, names_topic(m->topic))) {
        oracle_fail(o, l->actor, uid, "received on another topic, '%.*s'", (int)publish->topic.size, (const char *)publish->topic.data);
    }
    if (!bytes_equal(publish->payload, names_payload(uid, m->size))) {
        oracle_fail(o, l->actor, uid, "payload altered (%u bytes)", publish->payload.size);
    }
    if (!m->mixed) {
        judge_expiry(o, link, uid, publish);
        judge_content_type(o, l->actor, uid, l->version, publish);
    }
    if (m->refused && m->attempts == 1 && m->size > 0) { /* one empty message looks like another */
        oracle_fail(o, l->actor, uid, "received, and its publisher was told that there was no room for it");
    }
    if (m->will != ORACLE_NONE) {
        oracle_judge_will(o, l->actor, uid);
    }
}

/* MQTT5 [MQTT-3.3.1-1]: only what was sent on an earlier connection is a duplicate. */
static void
judge_dup(struct oracle *o, uint32_t link, uint32_t uid, const struct publish *publish)
{
    const struct oracle_link *l = &o->links[link];
    const struct oracle_message *m = &o->messages[uid];
    if (publish->dup && (o->sessions[l->session].first_link == link || (m->sent > l->opened && m->size > 0))) {
        oracle_fail(o, l->actor, uid, "DUP on a first delivery");
    }
}

/* --------------------------------------------------------------------------------------------------------------- order */

static uint32_t *
place(struct oracle *o, uint32_t **table, const struct oracle_message *m, uint8_t qos)
{
    if (*table == NULL) {
        size_t count = (size_t)o->actor_count * NAMES_TOPICS * 3;
        *table = malloc(count * sizeof **table);
        memset(*table, 0xFF, count * sizeof **table);
    }
    return &(*table)[(m->actor * NAMES_TOPICS + m->topic) * 3 + qos];
}

static void
judge_turn(struct oracle *o, uint32_t actor, uint32_t uid, uint32_t *latest, const char *what)
{
    const struct oracle_message *m = &o->messages[uid];
    const struct oracle_message *before = *latest == ORACLE_NONE ? NULL : &o->messages[*latest];
    if (before != NULL && m->attempts == 1 && m->sent < before->sent) {
        trace_show(&o->trace, actor, *latest, 10);
        oracle_fail(o, actor, uid, "%s after message %u, which its publisher sent later", what, *latest);
    }
    if (before == NULL || m->sent > before->sent) {
        *latest = uid;
    }
}

/*
 * What is replayed must not be older than the last value that came (engine/route/replay.h Y2), whoever published it. Live messages of different publishers have no
 * promised order.
 */
static void
judge_value(struct oracle *o, struct oracle_session *s, uint32_t uid, uint8_t qos, bool replayed)
{
    if (s->last_retained == NULL) {
        s->last_retained = malloc(NAMES_TOPICS * 2 * sizeof *s->last_retained);
        memset(s->last_retained, 0xFF, NAMES_TOPICS * 2 * sizeof *s->last_retained);
    }
    const struct oracle_message *m = &o->messages[uid];
    uint32_t *last = &s->last_retained[m->topic * 2 + (qos > 0)];
    if (replayed && *last != ORACLE_NONE && *last != uid && m->attempts == 1 && oracle_before(m, &o->messages[*last])) {
        trace_show(&o->trace, s->actor, *last, 10);
        oracle_fail(o, s->actor, uid, "an older value after message %u", *last);
    }
    *last = uid;
}

/* ------------------------------------------------------------------------------------------------------------ deliveries */

static void
add_reception(struct oracle_message *m, const struct oracle_reception *r)
{
    struct oracle_reception *kept = malloc(sizeof *kept);
    *kept = *r;
    kept->next = m->receptions;
    m->receptions = kept;
}

uint32_t
oracle_received(struct oracle *o, uint32_t link, const struct publish *publish)
{
    uint32_t uid = oracle_identify(o, link, publish);
    struct oracle_reception r = reception_of(o, link, publish);
    struct oracle_session *s = &o->sessions[r.session];
    judge_content(o, link, uid, publish);
    judge_dup(o, link, uid, publish);
    oracle_note(o, s->actor, uid, "is received: packet identifier %u, flags %x", publish->packet_id,
                (uint32_t)(publish->qos << 1 | publish->retain | publish->dup << 3));
    o->deliveries++;

    struct oracle_message *m = &o->messages[uid];
    bool had_some = false;
    for (const struct oracle_reception *other = m->receptions; other != NULL; other = other->next) {
        had_some |= other->session == r.session;
    }
    unsigned why = explanations(o, uid, &r);
    if (why == 0) {
        oracle_fail(o, s->actor, uid, "no subscription asks for this: QoS %u, retain %u, %u identifiers (the first %u)", r.qos, r.retain, r.identifier_count,
                    r.identifiers[0]);
    }
    add_reception(m, &r);
    if (m->size == 0) {
        return uid; /* one empty message looks like another */
    }
    if (had_some && !oracle_explain_all(o, uid, r.session)) {
        oracle_fail(o, s->actor, uid, "received more often than any subscriptions explain");
    }
    if (why == LIVE && m->will == ORACLE_NONE) {
        judge_turn(o, s->actor, uid, place(o, &s->latest, m, r.qos), "received");
    }
    if (m->retain && !(why & SHARED)) { /* a group is another way, which others may overtake */
        judge_value(o, s, uid, r.qos, why == REPLAYED);
    }
    return uid;
}

static struct oracle_reception *
find_unsure(const struct oracle_message *m, const struct oracle_reception *now, bool any_form)
{
    struct oracle_reception *r = m->receptions;
    while (r != NULL && !(r->unsure && r->session == now->session && (any_form || same_form(r, now)))) {
        r = r->next;
    }
    return r;
}

bool
oracle_comes_after_crash(struct oracle *o, uint32_t link, const struct publish *publish)
{
    uint32_t uid = oracle_identify(o, link, publish);
    struct oracle_reception now = reception_of(o, link, publish);
    struct oracle_reception *r = uid == ORACLE_NONE ? NULL : find_unsure(&o->messages[uid], &now, false);
    if (r == NULL && uid != ORACLE_NONE && o->messages[uid].qos == 2) {
        r = find_unsure(&o->messages[uid], &now, true); /* it may have been routed anew */
    }
    if (r == NULL) {
        return false;
    }
    r->unsure = false;
    return true;
}

void
oracle_received_again(struct oracle *o, uint32_t link, uint32_t uid, const struct publish *publish, bool doubtful)
{
    struct oracle_session *s = &o->sessions[o->links[link].session];
    judge_content(o, link, uid, publish);
    judge_dup(o, link, uid, publish);
    oracle_note(o, s->actor, uid, "is received again: packet identifier %u, flags %x", publish->packet_id,
                (uint32_t)(publish->qos << 1 | publish->retain | publish->dup << 3));
    o->redeliveries++;

    struct oracle_reception r = reception_of(o, link, publish);
    unsigned why = explanations(o, uid, &r);
    if (why == 0) {
        oracle_fail(o, s->actor, uid, "redelivered in a form that no subscription asks for");
    }
    if (doubtful) {
        r.doubtful = true;
        add_reception(&o->messages[uid], &r);
    }
    if (s->again_link != link) {
        free(s->again);
        s->again = NULL;
        s->again_link = link;
    }
    const struct oracle_message *m = &o->messages[uid];
    if (why == LIVE && m->will == ORACLE_NONE && m->size > 0) {
        judge_turn(o, s->actor, uid, place(o, &s->again, m, publish->qos), "redelivered");
    }
}
