/* What an actor asks for: publishing with its flows, subscribing. */
#include "test/sim/actor.h"

#include <stdio.h>
#include <stdlib.h>

/* Packet identifiers are taken from few, so that they are used again and again. */
#define PACKET_IDS 400u

void
actor_send(struct actor *a, const struct packet *packet)
{
    client_send(a->client, packet);
    a->last_sent_ms = oracle_now_ms(a->stage->oracle);
}

static bool
packet_id_in_use(const struct actor *a, uint16_t packet_id)
{
    for (uint32_t i = 0; i < a->outgoing_count; i++) {
        if (a->outgoing[i].packet_id == packet_id) {
            return true;
        }
    }
    for (uint32_t i = 0; i < a->request_count; i++) {
        if (a->requests[i].packet_id == packet_id) {
            return true;
        }
    }
    return false;
}

uint16_t
actor_packet_id(struct actor *a)
{
    do {
        a->packet_cursor = (uint16_t)(a->packet_cursor % PACKET_IDS + 1);
    } while (packet_id_in_use(a, a->packet_cursor));
    return a->packet_cursor;
}

/* ------------------------------------------------------------------------------------------------------------- publishing */

static void
choose_alias(struct actor *a, uint32_t topic, struct publish *publish)
{
    struct dice *dice = a->stage->dice;
    if (a->version != 5 || a->alias_max_out == 0 || !dice_percent(dice, 40)) {
        return;
    }
    uint32_t max = a->alias_max_out < ACTOR_ALIASES_MAX ? a->alias_max_out : ACTOR_ALIASES_MAX;
    uint32_t alias = dice_between(dice, 1, max);
    for (uint32_t i = 1; i <= max; i++) {
        alias = a->alias_out[i] == topic ? i : alias;
    }
    properties_mark(&publish->properties, PROPERTY_TOPIC_ALIAS);
    publish->properties.topic_alias = (uint16_t)alias;
    if (a->alias_out[alias] == topic && dice_percent(dice, 80)) {
        publish->topic = bytes_of(NULL, 0);
    }
    a->alias_out[alias] = topic;
}

static void
send_publish(struct actor *a, uint32_t uid, uint16_t packet_id, bool dup)
{
    struct oracle_message *m = oracle_message(a->stage->oracle, uid);
    m->mixed |= a->version != 5 && (m->content_type || m->expiry_s > 0);
    char content_type[16];
    struct packet packet = {
        .type = PACKET_PUBLISH,
        .publish = {.topic = names_topic(m->topic), .payload = names_payload(uid, m->size), .packet_id = packet_id, .qos = m->qos, .dup = dup, .retain = m->retain},
    };
    struct properties *p = &packet.publish.properties;
    if (m->content_type) {
        int size = snprintf(content_type, sizeof content_type, "t%u", uid);
        properties_mark(p, PROPERTY_CONTENT_TYPE);
        p->content_type = bytes_of(content_type, (uint32_t)size);
    }
    if (m->expiry_s > 0) {
        properties_mark(p, PROPERTY_MESSAGE_EXPIRY_INTERVAL);
        p->message_expiry_s = m->expiry_s;
    }
    choose_alias(a, m->topic, &packet.publish);
    oracle_sending(a->stage->oracle, uid, a->link);
    actor_send(a, &packet);
}

void
actor_publish(struct actor *a, uint32_t topic, uint8_t qos, bool retain, uint32_t size)
{
    struct dice *dice = a->stage->dice;
    struct oracle_message m = {.actor = a->number, .topic = topic, .size = size, .qos = qos, .retain = retain, .will = ORACLE_NONE};
    bool plain = a->version != 5;
    m.content_type = !plain && size > 0 && dice_percent(dice, 25);
    m.expiry_s = !plain && size > 0 && dice_percent(dice, 10) ? dice_between(dice, 1, 6) : 0;
    uint32_t uid = oracle_new_message(a->stage->oracle, &m);
    if (qos == 0) {
        send_publish(a, uid, 0, false);
        return;
    }
    if (a->outgoing_count == a->outgoing_room) {
        a->outgoing_room = a->outgoing_room ? a->outgoing_room * 2 : 16;
        a->outgoing = realloc(a->outgoing, a->outgoing_room * sizeof *a->outgoing);
    }
    a->outgoing[a->outgoing_count] = (struct actor_outgoing){.message = uid, .link = ORACLE_NONE, .packet_id = actor_packet_id(a), .qos = qos};
    a->outgoing_count++;
}

static void
send_ack(struct actor *a, uint8_t type, uint16_t packet_id)
{
    actor_send(a, &(struct packet){.type = type, .ack = {.packet_id = packet_id}});
}

static bool
send_releases(struct actor *a)
{
    bool any = false;
    for (uint32_t i = 0; i < a->outgoing_count; i++) {
        struct actor_outgoing *out = &a->outgoing[i];
        if (out->released && out->link != a->link) {
            oracle_note(a->stage->oracle, a->number, out->message, "PUBREL %u", out->packet_id, 0);
            send_ack(a, PACKET_PUBREL, out->packet_id);
            out->link = a->link;
            any = true;
        }
    }
    return any;
}

bool
actor_send_outgoing(struct actor *a)
{
    if (a->state != ACTOR_OPEN) {
        return false;
    }
    bool any = send_releases(a);
    uint32_t in_flight = 0;
    for (uint32_t i = 0; i < a->outgoing_count; i++) {
        in_flight += a->outgoing[i].counted;
    }
    for (uint32_t i = 0; i < a->outgoing_count && in_flight < a->broker_window; i++) {
        struct actor_outgoing *out = &a->outgoing[i];
        if (out->released || out->link == a->link) {
            continue;
        }
        send_publish(a, out->message, out->packet_id, out->link != ORACLE_NONE);
        out->link = a->link;
        out->counted = true;
        in_flight++;
        any = true;
    }
    return any;
}

static struct actor_outgoing *
find_outgoing(struct actor *a, uint8_t qos, const struct ack *ack, const char *what)
{
    for (uint32_t i = 0; i < a->outgoing_count; i++) {
        struct actor_outgoing *out = &a->outgoing[i];
        if (out->packet_id == ack->packet_id && out->qos == qos && out->link == a->link) {
            return out;
        }
    }
    oracle_fail(a->stage->oracle, a->number, ORACLE_NONE, "%s for identifier %u, which is not in flight here", what, ack->packet_id);
}

static void
remove_outgoing(struct actor *a, const struct actor_outgoing *out)
{
    uint32_t at = (uint32_t)(out - a->outgoing);
    a->outgoing_count--;
    memmove(a->outgoing + at, a->outgoing + at + 1, (a->outgoing_count - at) * sizeof *out);
}

/* A client that surely subscribes to it: then the reason may not be that nobody does. */
static uint32_t
surely_wanted(const struct actor *a, const struct oracle_message *m)
{
    const struct oracle *o = a->stage->oracle;
    for (uint32_t i = 0; i < o->actor_count; i++) {
        const struct oracle_session *s = o->actor_session[i] == ORACLE_NONE ? NULL : &o->sessions[o->actor_session[i]];
        for (uint32_t f = 0; s != NULL && oracle_surely_alive(o, s) && f < NAMES_SHARED; f++) {
            if (names_match(f, m->topic) && oracle_covered(s, m, f)) {
                return s->actor;
            }
        }
    }
    return ORACLE_NONE;
}

static void
judge_reason(struct actor *a, const struct actor_outgoing *out, uint8_t reason)
{
    const struct oracle_message *m = oracle_message(a->stage->oracle, out->message);
    if (reason != REASON_SUCCESS && reason != REASON_NO_MATCHING_SUBSCRIBERS) {
        oracle_fail(a->stage->oracle, a->number, out->message, "refused with reason 0x%02X", reason);
    }
    uint32_t subscriber = reason == REASON_NO_MATCHING_SUBSCRIBERS ? surely_wanted(a, m) : ORACLE_NONE;
    if (subscriber != ORACLE_NONE) {
        oracle_fail(a->stage->oracle, subscriber, out->message, "its publisher was told that there were No matching subscribers");
    }
}

/* No room on the disk: this message's flow is over. MQTT5 [MQTT-4.3.3-4]. */
static bool
was_refused(struct actor *a, const struct actor_outgoing *out, uint8_t reason)
{
    struct oracle *o = a->stage->oracle;
    if (reason != REASON_QUOTA_EXCEEDED || !o->disk_trouble) {
        return false;
    }
    oracle_refused(o, out->message);
    actor_heard(a, oracle_message(o, out->message)->last_sent);
    remove_outgoing(a, out);
    return true;
}

void
actor_puback(struct actor *a, const struct ack *ack)
{
    const struct actor_outgoing *out = find_outgoing(a, 1, ack, "PUBACK");
    if (was_refused(a, out, ack->reason)) {
        return;
    }
    judge_reason(a, out, ack->reason);
    oracle_acked(a->stage->oracle, out->message);
    actor_heard(a, oracle_message(a->stage->oracle, out->message)->last_sent);
    remove_outgoing(a, out);
}

void
actor_pubrec(struct actor *a, const struct ack *ack)
{
    struct actor_outgoing *out = find_outgoing(a, 2, ack, "PUBREC");
    if (out->released) {
        oracle_fail(a->stage->oracle, a->number, out->message, "a second PUBREC");
    }
    if (was_refused(a, out, ack->reason)) {
        return;
    }
    judge_reason(a, out, ack->reason);
    oracle_acked(a->stage->oracle, out->message);
    actor_heard(a, oracle_message(a->stage->oracle, out->message)->last_sent);
    out->released = true;
    out->link = ORACLE_NONE; /* PUBREL goes with the next actor_send_outgoing() */
}

void
actor_pubcomp(struct actor *a, const struct ack *ack)
{
    const struct actor_outgoing *out = find_outgoing(a, 2, ack, "PUBCOMP");
    if (!out->released) {
        oracle_fail(a->stage->oracle, a->number, out->message, "PUBCOMP before PUBREL");
    }
    oracle_note(a->stage->oracle, a->number, out->message, "PUBCOMP %u", ack->packet_id, 0);
    remove_outgoing(a, out);
}

/* ------------------------------------------------------------------------------------------------------------ subscribing */

static struct actor_request *
new_request(struct actor *a, uint8_t type)
{
    if (a->request_count == a->request_room) {
        a->request_room = a->request_room ? a->request_room * 2 : 8;
        a->requests = realloc(a->requests, a->request_room * sizeof *a->requests);
    }
    uint16_t packet_id = actor_packet_id(a);
    struct actor_request *r = &a->requests[a->request_count++];
    *r = (struct actor_request){.packet_id = packet_id, .type = type};
    return r;
}

void
actor_subscribe(struct actor *a, const uint32_t *filters, const struct subscription_options *options, uint32_t count, uint32_t identifier)
{
    uint8_t entries[256];
    uint32_t size = 0;
    struct actor_request *r = new_request(a, PACKET_SUBSCRIBE);
    for (uint32_t i = 0; i < count; i++) {
        size += encode_subscribe_entry(entries + size, sizeof entries - size, names_filter(filters[i]), options[i]);
        r->versions[i] = oracle_subscribing(a->stage->oracle, a->link, filters[i], options[i], identifier);
        r->codes[i] = options[i].qos;
    }
    r->count = count;
    r->sent = a->stage->oracle->tick;
    struct packet packet = {.type = PACKET_SUBSCRIBE, .subscribe = {.packet_id = r->packet_id, .count = count, .entries = bytes_of(entries, size)}};
    if (identifier != 0) {
        properties_mark(&packet.subscribe.properties, PROPERTY_SUBSCRIPTION_IDENTIFIER);
        packet.subscribe.properties.subscription_id = identifier;
        packet.subscribe.properties.subscription_id_count = 1;
    }
    actor_send(a, &packet);
}

void
actor_unsubscribe(struct actor *a, const uint32_t *filters, uint32_t count)
{
    uint8_t entries[256];
    uint32_t size = 0;
    struct actor_request *r = new_request(a, PACKET_UNSUBSCRIBE);
    for (uint32_t i = 0; i < count; i++) {
        size += encode_unsubscribe_entry(entries + size, sizeof entries - size, names_filter(filters[i]));
        r->codes[i] = oracle_unsubscribing(a->stage->oracle, a->link, filters[i]);
        r->filters[i] = filters[i];
    }
    r->count = count;
    r->sent = a->stage->oracle->tick;
    actor_send(a, &(struct packet){.type = PACKET_UNSUBSCRIBE, .unsubscribe = {.packet_id = r->packet_id, .count = count, .entries = bytes_of(entries, size)}});
}

void
actor_answered(struct actor *a, uint8_t type, const struct suback *answer)
{
    struct oracle *o = a->stage->oracle;
    uint32_t at = 0;
    while (at < a->request_count && (a->requests[at].packet_id != answer->packet_id || a->requests[at].type != type)) {
        at++;
    }
    if (at == a->request_count) {
        oracle_fail(o, a->number, ORACLE_NONE, "an answer to packet identifier %u, which did not ask", answer->packet_id);
    }
    struct actor_request r = a->requests[at];
    a->request_count--;
    memmove(a->requests + at, a->requests + at + 1, (a->request_count - at) * sizeof r);
    actor_heard(a, r.sent);
    bool told = type == PACKET_SUBSCRIBE || a->version == 5;
    if (answer->codes.size != (told ? r.count : 0)) {
        oracle_fail(o, a->number, ORACLE_NONE, "%u codes for %u filters", answer->codes.size, r.count);
    }
    uint32_t session = o->actor_session[a->number];
    for (uint32_t i = 0; i < r.count; i++) {
        uint8_t no_room = a->version == 5 ? REASON_QUOTA_EXCEEDED : REASON_UNSPECIFIED_ERROR;
        if (type == PACKET_SUBSCRIBE && o->disk_trouble && answer->codes.data[i] == no_room) {
            oracle_not_subscribed(o, r.versions[i], session);
            continue;
        }
        if (told && r.codes[i] != 0xFF && answer->codes.data[i] != r.codes[i]) {
            oracle_fail(o, a->number, ORACLE_NONE, "code 0x%02X for a filter, expected 0x%02X", answer->codes.data[i], r.codes[i]);
        }
        if (type == PACKET_SUBSCRIBE) {
            oracle_subscribed(o, r.versions[i], session);
        } else {
            oracle_unsubscribed(o, session, r.filters[i], r.sent);
        }
    }
}
