/* The broker stops: who can be told is told, everybody is let go, and nobody can hold it up. */
#include "test/dialogue/dialogue.h"

/* MQTT5 3.14.2.1: 0x8B, Server shutting down; versions 3 are closed. */
static void
a_stop_tells_those_who_understand(struct world *w)
{
    struct client *c[30];
    for (int i = 0; i < 30; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%d", i);
        c[i] = join(w, (uint8_t)(3 + i % 3), id);
    }
    broker_stop(w->broker);
    for (int i = 0; i < 30; i++) {
        if (i % 3 == 2) {
            expect_disconnect(c[i], REASON_SERVER_SHUTTING_DOWN);
        } else {
            expect_end(c[i]);
        }
    }
}

/* MQTT5 [MQTT-3.14.0-1]: no DISCONNECT to who has had no CONNACK. */
static void
a_stop_says_nothing_to_strangers(struct world *w)
{
    struct client *silent = meet(w, 5), *half = meet(w, 5);
    client_send_bytes(half, "\x10\x20\x00\x04MQTT", 8);
    world_settle(w);
    broker_stop(w->broker);
    expect_end(silent);
    expect_end(half);
}

/* What was answered before the stop arrives before it. */
static void
what_was_said_before_the_stop_arrives(struct world *w)
{
    struct client *s = join(w, 5, id_at(w, 0, 0)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "a", .qos = 1);
    publish(p, "a", "last words", .qos = 1);
    broker_stop(w->broker);
    hear(s, "a", "last words", 1);
    expect_disconnect(s, REASON_SERVER_SHUTTING_DOWN);
    expect_disconnect(p, REASON_SERVER_SHUTTING_DOWN);
}

/* A client that does not read holds nothing up. */
static void
a_stuck_client_does_not_hold_up_the_stop(struct world *w)
{
    struct client *stuck = join(w, 5, "stuck"), *p = join(w, 5, "p");
    subscribe(stuck, "a");
    sim_set_stuck(w->sim, stuck->connection, true);
    for (int i = 0; i < 50; i++) {
        publish(p, "a", "x", .payload_size = 10000);
    }
    broker_stop(w->broker);
    pass_seconds(w, 60);
    claim_equal(sim_broker_sockets(w->sim), 0);
    expect_disconnect(p, REASON_SERVER_SHUTTING_DOWN);
}

/* Sessions, queues, wills and retained messages: all is given back (world_close looks). */
static void
a_stop_gives_everything_back(struct world *w)
{
    struct client *p = join(w, 5, "p");
    for (int i = 0; i < 20; i++) {
        char id[8], topic[8];
        snprintf(id, sizeof id, "c%d", i);
        snprintf(topic, sizeof topic, "t%d", i);
        struct client *c = join(w, 5, id, .expiry_s = 1000, .will_topic = "will", .will_payload = "x", .will_delay_s = 100, .receive_maximum = 2);
        subscribe(c, i % 2 ? "#" : "$share/g/#", .qos = 2);
        publish(p, topic, "x", .qos = 2, .retain = true);
        say(c, "a", "x", .qos = 2, .id = 3);
        if (i % 3 == 0) {
            vanish(c);
        }
    }
    broker_stop(w->broker);
    pass_seconds(w, 60);
    claim_equal(sim_broker_sockets(w->sim), 0);
}

static const struct dialogue dialogues[] = {
    TELL(a_stop_tells_those_who_understand),
    TELL(a_stop_says_nothing_to_strangers),
    TELL(what_was_said_before_the_stop_arrives),
    TELL(a_stuck_client_does_not_hold_up_the_stop),
    TELL(a_stop_gives_everything_back),
};

DIALOGUES(dialogues)
