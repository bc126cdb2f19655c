/* The beginning and the end of an actor's connections. */
#include "test/sim/actor.h"

#include <stdlib.h>

/* The end of a connection is noticed within this time. */
#define UNNOTICED_MS 500u

static void
forget_aliases(struct actor *a)
{
    for (uint32_t i = 0; i <= ACTOR_ALIASES_MAX; i++) {
        a->alias_in[i] = a->alias_out[i] = NAMES_TOPICS;
    }
}

/* The old connection of a client identifier that is about to be connected anew. */
static void
make_echo(struct actor *a)
{
    if (a->client == NULL) {
        return;
    }
    sim_set_stuck(a->stage->world->sim, a->client->connection, false);
    uint32_t place = 0;
    while (place < ACTOR_ECHOES_MAX - 1 && a->echoes[place] != NULL) {
        place++;
    }
    if (a->echoes[place] != NULL) {
        client_close(&a->echoes[place]);
    }
    a->echoes[place] = a->client;
    a->client = NULL;
}

void
actor_pump_echoes(struct actor *a)
{
    struct packet packet;
    for (uint32_t i = 0; i < ACTOR_ECHOES_MAX; i++) {
        while (a->echoes[i] != NULL && client_receive(a->echoes[i], &packet)) {
        }
        if (a->echoes[i] != NULL && client_ended(a->echoes[i])) {
            client_close(&a->echoes[i]);
        }
    }
}

static uint32_t
make_will(struct actor *a, struct connect *connect)
{
    struct dice *dice = a->stage->dice;
    struct oracle_message m = {
        .actor = a->number,
        .topic = dice_percent(dice, 75) ? dice_between(dice, NAMES_WILLS, NAMES_TOPICS - 1) : dice_below(dice, NAMES_TOPICS),
        .qos = (uint8_t)dice_below(dice, 3),
        .retain = dice_percent(dice, 40),
        .size = dice_percent(dice, 10) ? 9000 : dice_between(dice, NAMES_PAYLOAD_MIN, 100),
    };
    uint32_t delay_s = a->version == 5 && dice_percent(dice, 60) ? dice_between(dice, 1, 5) : 0;
    uint32_t will = oracle_new_will(a->stage->oracle, &m, delay_s);
    connect->has_will = true;
    connect->will = (struct will){
        .topic = names_topic(m.topic),
        .payload = names_payload(a->stage->oracle->wills[will].message, m.size),
        .qos = m.qos,
        .retain = m.retain,
    };
    if (delay_s > 0) {
        properties_mark(&connect->will.properties, PROPERTY_WILL_DELAY_INTERVAL);
        connect->will.properties.will_delay_s = delay_s;
    }
    return will;
}

static void
add_properties(struct actor *a, struct properties *p, uint64_t expiry_ms)
{
    struct dice *dice = a->stage->dice;
    if (a->version != 5) {
        return;
    }
    if (expiry_ms > 0) {
        properties_mark(p, PROPERTY_SESSION_EXPIRY_INTERVAL);
        p->session_expiry_s = expiry_ms == ORACLE_FOREVER_MS ? UINT32_MAX : (uint32_t)(expiry_ms / 1000);
    }
    if (dice_percent(dice, 60)) {
        a->receive_maximum = (uint16_t)dice_between(dice, 1, dice_percent(dice, 50) ? 4 : 30);
        properties_mark(p, PROPERTY_RECEIVE_MAXIMUM);
        p->receive_maximum = a->receive_maximum;
    }
    if (dice_percent(dice, 40)) {
        a->alias_max_in = (uint16_t)dice_between(dice, 1, ACTOR_ALIASES_MAX);
        properties_mark(p, PROPERTY_TOPIC_ALIAS_MAXIMUM);
        p->topic_alias_maximum = a->alias_max_in;
    }
}

static void
begin_link(struct actor *a)
{
    actor_forget_acks(a);
    a->request_count = 0;
    a->unacknowledged = 0;
    a->alias_max_in = a->alias_max_out = 0;
    a->receive_maximum = UINT16_MAX;
    a->stuck = a->silent = false;
    forget_aliases(a);
}

void
actor_connect(struct actor *a, bool clean, uint64_t expiry_ms, bool with_will)
{
    struct actor_stage *stage = a->stage;
    make_echo(a);
    begin_link(a);
    a->keep_alive_s = dice_percent(stage->dice, 30) ? (uint16_t)dice_between(stage->dice, 2, 20) : 0;
    struct packet packet = {
        .type = PACKET_CONNECT,
        .connect = {.version = a->version, .clean_start = clean, .keep_alive_s = a->keep_alive_s, .client_id = bytes_of(a->id, (uint32_t)strlen(a->id))},
    };
    add_properties(a, &packet.connect.properties, expiry_ms);
    uint32_t will = with_will ? make_will(a, &packet.connect) : ORACLE_NONE;
    a->link = oracle_connecting(stage->oracle, a->number, a->version, clean, expiry_ms, will);
    a->expiry_ms = expiry_ms;
    a->client = client_open(stage->world, a->version);
    a->state = ACTOR_CONNECTING;
    actor_send(a, &packet);
}

static void
resume(struct actor *a)
{
    for (uint32_t i = 0; i < a->outgoing_count; i++) {
        a->outgoing[i].counted = false;
    }
    for (uint32_t i = 0; i < a->incoming_count; i++) {
        a->incoming[i].counted = false;
    }
}

void
actor_connack(struct actor *a, const struct connack *connack)
{
    struct oracle *o = a->stage->oracle;
    if (a->state == ACTOR_CONNECTING && connack->reason != REASON_SUCCESS && o->disk_trouble) {
        actor_reset(a);
        return;
    }
    if (a->state != ACTOR_CONNECTING || connack->reason != REASON_SUCCESS) {
        oracle_fail(o, a->number, ORACLE_NONE, "CONNACK with reason 0x%02X in state %u", connack->reason, a->state);
    }
    oracle_connected(o, a->link, connack->session_present);
    a->state = ACTOR_OPEN;
    a->must_start_clean = false;
    a->broker_window = UINT16_MAX;
    if (a->version == 5) {
        const struct properties *p = &connack->properties;
        a->broker_window = properties_has(p, PROPERTY_RECEIVE_MAXIMUM) ? p->receive_maximum : UINT16_MAX;
        a->alias_max_out = properties_has(p, PROPERTY_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum : 0;
        if (a->broker_window != a->stage->receive_maximum) {
            oracle_fail(o, a->number, ORACLE_NONE, "Receive Maximum %u in CONNACK", a->broker_window);
        }
    }
    if (connack->session_present) {
        resume(a);
    } else {
        a->outgoing_count = 0;
        a->incoming_count = 0;
    }
    actor_send_outgoing(a);
}

/* -------------------------------------------------------------------------------------------------------------------- end */

static void
lose(struct actor *a, enum oracle_loss how, uint64_t since_ms)
{
    struct oracle *o = a->stage->oracle;
    if (a->state == ACTOR_OPEN) {
        oracle_lost(o, a->link, how, since_ms);
    } else if (a->state == ACTOR_CONNECTING) {
        a->must_start_clean |= oracle_not_connected(o, a->link);
        /* Its CONNECT may still be on its way to its home shard; a newer one must not get there first. */
        a->not_before_ms = oracle_now_ms(o) + ORACLE_SLACK_MS;
    }
    actor_forget_acks(a);
    a->request_count = 0;
    a->silent = false;
    a->stuck = false;
}

/* The connection before one that was given up may still be there: nobody would know which one the session is with. */
static void
close_echoes(struct actor *a)
{
    for (uint32_t i = 0; i < ACTOR_ECHOES_MAX; i++) {
        if (a->echoes[i] != NULL) {
            client_close(&a->echoes[i]);
        }
    }
}

void
actor_reset(struct actor *a)
{
    if (a->state == ACTOR_CONNECTING) {
        close_echoes(a);
    }
    lose(a, ORACLE_LOST_BROKEN, oracle_now_ms(a->stage->oracle));
    client_close(&a->client);
    a->state = ACTOR_AWAY;
}

void
actor_finish(struct actor *a)
{
    lose(a, ORACLE_LOST_BROKEN, oracle_now_ms(a->stage->oracle));
    sim_set_stuck(a->stage->world->sim, a->client->connection, false);
    sim_finish(a->stage->world->sim, a->client->connection);
    a->state = ACTOR_CLOSING;
}

void
actor_disconnect(struct actor *a, uint8_t reason, bool change_expiry, uint64_t expiry_ms)
{
    struct packet packet = {.type = PACKET_DISCONNECT, .disconnect = {.reason = reason}};
    if (change_expiry) {
        properties_mark(&packet.disconnect.properties, PROPERTY_SESSION_EXPIRY_INTERVAL);
        packet.disconnect.properties.session_expiry_s = expiry_ms == ORACLE_FOREVER_MS ? UINT32_MAX : (uint32_t)(expiry_ms / 1000);
        oracle_change_expiry(a->stage->oracle, a->link, expiry_ms);
    }
    actor_send(a, &packet);
    lose(a, reason == REASON_SUCCESS ? ORACLE_LOST_NORMAL : ORACLE_LOST_BROKEN, oracle_now_ms(a->stage->oracle));
    sim_set_stuck(a->stage->world->sim, a->client->connection, false);
    sim_finish(a->stage->world->sim, a->client->connection);
    a->state = ACTOR_CLOSING;
}

void
actor_crashed(struct actor *a, uint64_t since_ms)
{
    if (a->state != ACTOR_AWAY && a->state != ACTOR_CLOSING) {
        lose(a, ORACLE_LOST_BROKEN, since_ms);
    }
    close_echoes(a);
    if (a->client != NULL) {
        client_close(&a->client);
    }
    a->state = ACTOR_AWAY;
    a->not_before_ms = 0; /* nothing of an earlier CONNECT is on its way any more */
    actor_doubt_incoming(a);
}

void
actor_set_stuck(struct actor *a, bool stuck)
{
    struct oracle *o = a->stage->oracle;
    oracle_note(o, a->number, ORACLE_NONE, stuck ? "stops reading" : "reads again", 0, 0);
    o->links[a->link].stuck = stuck ? ORACLE_NEVER : o->tick;
    a->stuck = stuck;
    sim_set_stuck(a->stage->world->sim, a->client->connection, stuck);
}

void
actor_ended(struct actor *a, uint8_t reason)
{
    struct oracle *o = a->stage->oracle;
    if (a->stage->stopping_ms != 0) {
        lose(a, ORACLE_LOST_BROKEN, a->stage->stopping_ms);
        client_close(&a->client);
        a->state = ACTOR_AWAY;
        return;
    }
    if (o->disk_trouble && a->version < 5 && a->state == ACTOR_OPEN && !a->silent) {
        /* A PUBLISH was refused, and nothing tells version 3 so. It was noticed with the next look at the latest. */
        lose(a, ORACLE_LOST_BROKEN, oracle_now_ms(o) - UNNOTICED_MS);
        client_close(&a->client);
        a->state = ACTOR_AWAY;
        return;
    }
    uint64_t due_ms = a->last_sent_ms + a->keep_alive_s * 1500ull;
    if (!a->silent || a->state != ACTOR_OPEN) {
        oracle_fail(o, a->number, ORACLE_NONE, "the broker ended the connection, reason 0x%02X", reason);
    }
    if (oracle_now_ms(o) < due_ms) {
        oracle_fail(o, a->number, ORACLE_NONE, "the broker ended a silent connection %llu ms too early", (unsigned long long)(due_ms - oracle_now_ms(o)));
    }
    lose(a, ORACLE_LOST_BROKEN, due_ms);
    client_close(&a->client);
    a->state = ACTOR_AWAY;
}
