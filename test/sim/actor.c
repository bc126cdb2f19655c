#include "test/sim/actor.h"

#include <stdio.h>
#include <stdlib.h>

void
actor_init(struct actor *a, struct actor_stage *stage, uint32_t number, uint8_t version)
{
    *a = (struct actor){.stage = stage, .number = number, .habit_version = version, .version = version, .link = ORACLE_NONE};
    snprintf(a->id, sizeof a->id, "client-%u", number);
}

void
actor_fini(struct actor *a)
{
    for (uint32_t i = 0; i < ACTOR_ECHOES_MAX; i++) {
        if (a->echoes[i] != NULL) {
            client_close(&a->echoes[i]);
        }
    }
    if (a->client != NULL) {
        client_close(&a->client);
    }
    free(a->outgoing);
    free(a->incoming);
    free(a->acks);
    free(a->requests);
}

/* ------------------------------------------------------------------------------------------------------------------ deeds */

static uint64_t
random_expiry_ms(struct dice *dice)
{
    switch (dice_below(dice, 5)) {
    case 0:
        return 0;
    case 1:
    case 2:
        return dice_between(dice, 1, 6) * UINT64_C(1000);
    case 3:
        return 60000;
    default:
        return ORACLE_FOREVER_MS;
    }
}

static void
connect_somehow(struct actor *a)
{
    struct dice *dice = a->stage->dice;
    if (oracle_now_ms(a->stage->oracle) < a->not_before_ms) {
        return;
    }
    a->version = a->habit_version;
    if (dice_percent(dice, 8)) {
        a->version = (uint8_t)dice_between(dice, 3, 5);
    }
    bool clean = a->must_start_clean || a->version == 3 || dice_percent(dice, 18); /* 3.1 does not tell whether there was a session */
    uint64_t expiry_ms = random_expiry_ms(dice);
    if (a->version < 5) {
        expiry_ms = clean ? 0 : ORACLE_FOREVER_MS;
    }
    actor_connect(a, clean, expiry_ms, dice_percent(dice, 35));
}

static uint32_t
random_filter(struct dice *dice)
{
    return dice_percent(dice, 25) ? dice_between(dice, NAMES_SHARED, NAMES_FILTERS - 1) : dice_below(dice, NAMES_SHARED);
}

static void
subscribe_somehow(struct actor *a)
{
    struct dice *dice = a->stage->dice;
    uint32_t filters[4];
    struct subscription_options options[4];
    uint32_t count = 0;
    for (uint32_t wanted = dice_between(dice, 1, 3); wanted > 0; wanted--) {
        uint32_t filter = random_filter(dice);
        bool twice = false;
        for (uint32_t i = 0; i < count; i++) {
            twice |= filters[i] == filter;
        }
        if (twice) {
            continue;
        }
        struct subscription_options chosen = {.qos = (uint8_t)dice_below(dice, 3)};
        if (a->version == 5) {
            chosen.no_local = filter < NAMES_SHARED && dice_percent(dice, 20); /* MQTT5 [MQTT-3.8.3-4] */
            chosen.retain_as_published = dice_percent(dice, 30);
            chosen.retain_handling = (uint8_t)dice_below(dice, 3);
        }
        filters[count] = filter;
        options[count++] = chosen;
    }
    uint32_t identifier = a->version == 5 && dice_percent(dice, 50) ? dice_between(dice, 1, 300) : 0;
    actor_subscribe(a, filters, options, count, identifier);
}

static void
unsubscribe_somehow(struct actor *a)
{
    struct dice *dice = a->stage->dice;
    const struct oracle_session *s = oracle_session_of(a->stage->oracle, a->number);
    uint32_t filters[2] = {random_filter(dice), ORACLE_NONE};
    uint32_t skip = dice_below(dice, 8);
    for (const struct oracle_subscription *v = s->subscriptions; v != NULL && !dice_percent(dice, 10); v = v->next) {
        filters[0] = v->filter;
        if (skip-- == 0) {
            break;
        }
    }
    actor_unsubscribe(a, filters, 1);
}

static uint32_t
random_size(struct actor *a)
{
    struct dice *dice = a->stage->dice;
    if (dice_percent(dice, a->stage->payload_large_percent)) {
        return dice_between(dice, 15000, 40000);
    }
    return dice_percent(dice, 5) ? dice_between(dice, 400, 5000) : dice_between(dice, NAMES_PAYLOAD_MIN, 120);
}

static uint32_t
random_topic(struct actor *a)
{
    bool hot = a->stage->hot_topic < NAMES_TOPICS && dice_percent(a->stage->dice, 60);
    return hot ? a->stage->hot_topic : dice_below(a->stage->dice, NAMES_TOPICS);
}

static void
publish_somehow(struct actor *a)
{
    struct dice *dice = a->stage->dice;
    uint32_t same_topic = random_topic(a);
    bool run = dice_percent(dice, 50);
    for (uint32_t count = dice_between(dice, 1, 5); count > 0; count--) {
        uint32_t topic = run ? same_topic : random_topic(a);
        bool retain = dice_percent(dice, topic >= NAMES_RETAINED && topic < NAMES_WILLS ? 80 : 12);
        uint32_t size = retain && dice_percent(dice, 20) ? 0 : random_size(a);
        actor_publish(a, topic, (uint8_t)dice_below(dice, 3), retain, size);
    }
    actor_send_outgoing(a);
}

static void
leave_somehow(struct actor *a)
{
    struct dice *dice = a->stage->dice;
    switch (dice_below(dice, 5)) {
    case 0:
    case 1:
        actor_reset(a);
        break;
    case 2:
        actor_finish(a);
        break;
    case 3:
        actor_disconnect(a, REASON_SUCCESS, a->version == 5 && a->expiry_ms != 0 && dice_percent(dice, 30), random_expiry_ms(dice));
        break;
    default:
        actor_disconnect(a, a->version == 5 ? REASON_DISCONNECT_WITH_WILL : REASON_SUCCESS, false, 0);
        break;
    }
}

static void
act_while_open(struct actor *a)
{
    struct dice *dice = a->stage->dice;
    uint32_t deed = dice_below(dice, 100);
    if (deed < 22) {
        subscribe_somehow(a);
    } else if (deed < 30) {
        unsubscribe_somehow(a);
    } else if (deed < 78) {
        publish_somehow(a);
    } else if (deed < 86) {
        leave_somehow(a);
    } else if (deed < 90) {
        connect_somehow(a); /* takes itself over */
    } else if (deed < 93) {
        actor_set_stuck(a, !a->stuck);
    } else if (deed < 94 && a->keep_alive_s > 0 && a->keep_alive_s < 10) {
        a->silent = true;
        oracle_silent(a->stage->oracle, a->link, a->last_sent_ms + a->keep_alive_s * 1500ull);
    } else {
        actor_send_acks(a, UINT32_MAX);
    }
}

void
actor_act(struct actor *a)
{
    if (a->silent) {
        return;
    }
    switch (a->state) {
    case ACTOR_AWAY:
    case ACTOR_CLOSING:
        connect_somehow(a);
        break;
    case ACTOR_CONNECTING:
        if (dice_percent(a->stage->dice, 15)) {
            actor_reset(a);
        }
        break;
    case ACTOR_OPEN:
        if (a->stuck && dice_percent(a->stage->dice, 30)) {
            actor_set_stuck(a, false);
        }
        act_while_open(a);
        break;
    }
}

/* ---------------------------------------------------------------------------------------------------------------- reading */

static void
handle(struct actor *a, struct packet *packet)
{
    struct oracle *o = a->stage->oracle;
    if (a->state == ACTOR_CONNECTING && packet->type != PACKET_CONNACK) {
        oracle_fail(o, a->number, ORACLE_NONE, "packet type %u before CONNACK", packet->type);
    }
    switch (packet->type) {
    case PACKET_CONNACK:
        actor_connack(a, &packet->connack);
        break;
    case PACKET_PUBLISH:
        actor_received(a, &packet->publish);
        break;
    case PACKET_PUBACK:
        actor_puback(a, &packet->ack);
        break;
    case PACKET_PUBREC:
        actor_pubrec(a, &packet->ack);
        break;
    case PACKET_PUBREL:
        actor_pubrel(a, &packet->ack);
        break;
    case PACKET_PUBCOMP:
        actor_pubcomp(a, &packet->ack);
        break;
    case PACKET_SUBACK:
    case PACKET_UNSUBACK:
        actor_answered(a, packet->type == PACKET_SUBACK ? PACKET_SUBSCRIBE : PACKET_UNSUBSCRIBE, &packet->suback);
        break;
    case PACKET_DISCONNECT:
        actor_ended(a, packet->disconnect.reason);
        break;
    case PACKET_PINGRESP:
        break;
    default:
        oracle_fail(o, a->number, ORACLE_NONE, "packet type %u from a broker", packet->type);
    }
}

/* After our DISCONNECT nothing that still comes counts. */
static bool
drain_closing(struct actor *a)
{
    struct packet packet;
    bool any = sim_readable(a->stage->world->sim, a->client->connection) > 0;
    while (client_receive(a->client, &packet)) {
    }
    if (client_ended(a->client)) {
        client_close(&a->client);
        a->state = ACTOR_AWAY;
        any = true;
    }
    return any;
}

static bool
keep_alive(struct actor *a)
{
    if (a->state != ACTOR_OPEN || a->keep_alive_s == 0 || a->silent || oracle_now_ms(a->stage->oracle) < a->last_sent_ms + a->keep_alive_s * 500ull) {
        return false;
    }
    actor_send(a, &(struct packet){.type = PACKET_PINGREQ});
    return true;
}

/* The broker lets a closing connection read its last bytes for two seconds. */
static void
judge_silence(struct actor *a)
{
    if (a->silent && oracle_now_ms(a->stage->oracle) > a->last_sent_ms + a->keep_alive_s * 1500ull + 3000) {
        oracle_fail(a->stage->oracle, a->number, ORACLE_NONE, "silent for more than 1.5 keep-alives of %u s, and still connected", a->keep_alive_s);
    }
}

bool
actor_pump(struct actor *a, bool diligent)
{
    actor_pump_echoes(a);
    if (a->state == ACTOR_CLOSING) {
        return drain_closing(a);
    }
    if (a->state == ACTOR_AWAY || a->stuck) {
        return keep_alive(a);
    }
    bool any = sim_readable(a->stage->world->sim, a->client->connection) > 0; /* a part of a packet makes room for the rest */
    struct packet packet;
    while ((a->state == ACTOR_CONNECTING || a->state == ACTOR_OPEN) && client_receive(a->client, &packet)) {
        handle(a, &packet);
        any = true;
    }
    if (a->state != ACTOR_OPEN && a->state != ACTOR_CONNECTING) {
        return true;
    }
    if (client_ended(a->client)) {
        actor_ended(a, 0);
        return true;
    }
    judge_silence(a);
    if (a->state == ACTOR_OPEN && !a->silent) {
        any |= actor_send_acks(a, diligent ? UINT32_MAX : dice_below(a->stage->dice, 4));
        any |= actor_send_outgoing(a);
    }
    return keep_alive(a) || any;
}
