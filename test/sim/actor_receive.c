/* What an actor receives with QoS 1 and 2: which delivery it is, and what it answers. */
#include "test/sim/actor.h"

#include <stdlib.h>

enum actor_incoming_state {
    INCOMING_RECEIVED, /* not answered yet on this connection */
    INCOMING_ACKED,    /* QoS 1: PUBACK sent; QoS 2: PUBREC sent */
    INCOMING_COMPLETE, /* QoS 2: PUBCOMP sent */
};

static struct actor_incoming *
find_incoming(struct actor *a, uint16_t packet_id)
{
    for (uint32_t i = 0; i < a->incoming_count; i++) {
        if (a->incoming[i].packet_id == packet_id) {
            return &a->incoming[i];
        }
    }
    return NULL;
}

static bool
is_over(const struct actor_incoming *in)
{
    return in->qos == 1 ? in->state == INCOMING_ACKED : in->state == INCOMING_COMPLETE;
}

static void
add_ack(struct actor *a, uint8_t type, uint16_t packet_id)
{
    if (a->ack_count == a->ack_room) {
        a->ack_room = a->ack_room ? a->ack_room * 2 : 16;
        a->acks = realloc(a->acks, a->ack_room * sizeof *a->acks);
    }
    a->acks[a->ack_count++] = (struct actor_ack){packet_id, type};
}

static void
resolve_topic(struct actor *a, struct publish *publish)
{
    struct oracle *o = a->stage->oracle;
    if (!properties_has(&publish->properties, PROPERTY_TOPIC_ALIAS)) {
        return;
    }
    uint16_t alias = publish->properties.topic_alias;
    if (alias == 0 || alias > a->alias_max_in) {
        oracle_fail(o, a->number, ORACLE_NONE, "Topic Alias %u, and our maximum is %u", alias, a->alias_max_in);
    }
    if (publish->topic.size > 0) {
        a->alias_in[alias] = names_find_topic(publish->topic);
    } else if (a->alias_in[alias] < NAMES_TOPICS) {
        publish->topic = names_topic(a->alias_in[alias]);
    } else {
        oracle_fail(o, a->number, ORACLE_NONE, "Topic Alias %u stands for nothing", alias);
    }
}

static void
count_in_flight(struct actor *a, uint32_t message)
{
    uint32_t max = a->version == 5 && a->receive_maximum < a->stage->window_max ? a->receive_maximum : a->stage->window_max;
    if (++a->unacknowledged > max) {
        oracle_fail(a->stage->oracle, a->number, message, "%u deliveries in flight, and the Receive Maximum is %u", a->unacknowledged, max);
    }
}

/* What a shared subscription brought at QoS 1 goes to another member when this one's connection is lost. */
static bool
may_be_withdrawn(const struct actor *a, const struct actor_incoming *in)
{
    const struct oracle_session *s = oracle_session_of(a->stage->oracle, a->number);
    bool shared = false;
    for (const struct oracle_subscription *v = s->subscriptions; v != NULL; v = v->next) {
        shared |= v->filter >= NAMES_SHARED && names_match(v->filter, oracle_message(a->stage->oracle, in->message)->topic);
    }
    return shared && in->qos == 1;
}

/* The broker may send what it holds again, on a new connection, with DUP, in the same flow. Everything else is a new delivery. */
static bool
is_again(struct actor *a, const struct actor_incoming *in, const struct publish *publish)
{
    struct oracle *o = a->stage->oracle;
    if (in == NULL) {
        return false;
    }
    if (!publish->dup) {
        if (!is_over(in) && !(in->link != a->link && may_be_withdrawn(a, in))) {
            oracle_fail(o, a->number, in->message, "packet identifier %u used again while in flight%s", in->packet_id,
                        in->link == a->link ? "" : ", or sent again without DUP");
        }
        return false;
    }
    const struct oracle_message *m = oracle_message(o, in->message);
    uint32_t uid = oracle_identify(o, a->link, publish);
    bool same_message = publish->payload.size > 0 ? uid == in->message : m->size == 0 && bytes_equal(names_topic(m->topic), publish->topic);
    bool same = same_message && oracle_same_form(o, a->link, in->message, publish);
    if (!same && !is_over(in) && !(in->link != a->link && may_be_withdrawn(a, in))) {
        oracle_fail(o, a->number, in->message, "packet identifier %u comes again with another message, %d", in->packet_id, (int)uid);
    }
    if (!same) {
        return false;
    }
    if (in->link == a->link) {
        oracle_fail(o, a->number, in->message, "sent twice on one connection");
    }
    if (is_over(in) && (in->surely || in->qos == 2)) {
        return false; /* another copy, if there may be one */
    }
    if (in->surely) {
        oracle_fail(o, a->number, in->message, "PUBLISH again after PUBREC had arrived");
    }
    return true;
}

static struct actor_incoming *
new_incoming(struct actor *a, const struct publish *publish)
{
    struct actor_incoming *in = find_incoming(a, publish->packet_id);
    if (in != NULL) {
        if (in->qos == 2 && !in->durably) {
            a->completed[in->packet_id >> 3] |= (uint8_t)(1u << (in->packet_id & 7));
        }
        return in;
    }
    if (a->incoming_count == a->incoming_room) {
        a->incoming_room = a->incoming_room ? a->incoming_room * 2 : 16;
        a->incoming = realloc(a->incoming, a->incoming_room * sizeof *a->incoming);
    }
    return &a->incoming[a->incoming_count++];
}

/* For this client it is a first delivery; after a crash it may be one of those that came before. */
static uint32_t
receive_first(struct actor *a, const struct publish *publish)
{
    struct oracle *o = a->stage->oracle;
    if (publish->qos != 1 || !oracle_comes_after_crash(o, a->link, publish)) {
        return oracle_received(o, a->link, publish);
    }
    uint32_t uid = oracle_identify(o, a->link, publish);
    oracle_received_again(o, a->link, uid, publish, true);
    return uid;
}

void
actor_received(struct actor *a, struct publish *publish)
{
    struct oracle *o = a->stage->oracle;
    resolve_topic(a, publish);
    if (publish->qos == 0) {
        oracle_received(o, a->link, publish);
        return;
    }
    struct actor_incoming *in = find_incoming(a, publish->packet_id);
    if (is_again(a, in, publish)) {
        oracle_received_again(o, a->link, in->message, publish, is_over(in) || may_be_withdrawn(a, in));
    } else {
        uint32_t uid = receive_first(a, publish);
        in = new_incoming(a, publish);
        *in = (struct actor_incoming){.message = uid, .packet_id = publish->packet_id, .qos = publish->qos, .released_link = ORACLE_NONE};
    }
    in->link = a->link;
    in->state = INCOMING_RECEIVED;
    in->counted = true;
    in->surely = in->durably = false;
    count_in_flight(a, in->message);
    add_ack(a, in->qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, in->packet_id);
}

void
actor_pubrel(struct actor *a, const struct ack *ack)
{
    struct oracle *o = a->stage->oracle;
    struct actor_incoming *in = find_incoming(a, ack->packet_id);
    if (in == NULL && o->crash_count > 0 && (a->completed[ack->packet_id >> 3] >> (ack->packet_id & 7) & 1) != 0) {
        oracle_note(o, a->number, ORACLE_NONE, "PUBREL %u from the broker for what is over", ack->packet_id, 0);
        actor_send(a, &(struct packet){.type = PACKET_PUBCOMP, .ack = {.packet_id = ack->packet_id}});
        return;
    }
    if (in == NULL || in->qos != 2) {
        oracle_fail(o, a->number, ORACLE_NONE, "PUBREL for identifier %u, which is not in flight", ack->packet_id);
    }
    if (in->state == INCOMING_RECEIVED || (in->state == INCOMING_COMPLETE && (in->surely || in->acked_link == a->link)) || in->released_link == a->link ||
        ack->reason != REASON_SUCCESS) {
        oracle_fail(o, a->number, in->message, "PUBREL %u out of turn: state %u, reason 0x%02X", ack->packet_id, in->state, ack->reason);
    }
    oracle_note(o, a->number, in->message, "PUBREL %u from the broker", ack->packet_id, 0);
    in->released_link = a->link;
    add_ack(a, PACKET_PUBCOMP, ack->packet_id);
}

static void
send_one_ack(struct actor *a, const struct actor_ack *ack)
{
    struct actor_incoming *in = find_incoming(a, ack->packet_id);
    if (ack->type == PACKET_PUBCOMP) {
        in->state = INCOMING_COMPLETE;
    } else {
        in->state = INCOMING_ACKED;
    }
    in->surely = in->durably = false;
    in->acked_link = a->link;
    in->acked = a->stage->oracle->tick;
    if (in->counted && ack->type != PACKET_PUBREC) {
        in->counted = false;
        a->unacknowledged--;
    }
    oracle_note(a->stage->oracle, a->number, in->message, "answers with packet type %u for identifier %u", ack->type, ack->packet_id);
    actor_send(a, &(struct packet){.type = ack->type, .ack = {.packet_id = ack->packet_id}});
}

bool
actor_send_acks(struct actor *a, uint32_t count)
{
    count = count < a->ack_count ? count : a->ack_count;
    if (count == 0) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        send_one_ack(a, &a->acks[i]);
    }
    a->ack_count -= count;
    memmove(a->acks, a->acks + count, a->ack_count * sizeof *a->acks);
    return true;
}

void
actor_forget_acks(struct actor *a)
{
    a->ack_count = 0;
}

void
actor_heard(struct actor *a, uint64_t tick)
{
    for (uint32_t i = 0; i < a->incoming_count; i++) {
        struct actor_incoming *in = &a->incoming[i];
        in->surely |= in->state != INCOMING_RECEIVED && in->acked_link == a->link && in->acked < tick;
    }
}

void
actor_settled(struct actor *a)
{
    uint32_t kept = 0;
    bool resent = a->state == ACTOR_OPEN && !a->stuck && !a->silent; /* what was to come again has come */
    for (uint32_t i = 0; i < a->incoming_count; i++) {
        struct actor_incoming *in = &a->incoming[i];
        if (a->state == ACTOR_OPEN && in->state != INCOMING_RECEIVED && (in->acked_link == a->link || (resent && is_over(in)))) {
            in->surely = in->durably = true;
        }
        if (!(in->surely && is_over(in))) {
            a->incoming[kept++] = *in;
        }
    }
    a->incoming_count = kept;
    if (resent) {
        memset(a->completed, 0, sizeof a->completed);
    }
}

void
actor_doubt_incoming(struct actor *a)
{
    struct oracle *o = a->stage->oracle;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < a->incoming_count; i++) {
        struct actor_incoming *in = &a->incoming[i];
        in->surely = in->durably;
        if (in->qos == 1 && o->actor_session[a->number] != ORACLE_NONE) {
            oracle_unsure(o, o->actor_session[a->number], in->message, in->packet_id);
        } else {
            a->incoming[kept++] = *in;
        }
    }
    a->incoming_count = kept;
}

const struct actor_incoming *
actor_unfinished(const struct actor *a)
{
    for (uint32_t i = 0; i < a->incoming_count; i++) {
        const struct actor_incoming *in = &a->incoming[i];
        if (!is_over(in) && !may_be_withdrawn(a, in)) {
            return in;
        }
    }
    return NULL;
}
