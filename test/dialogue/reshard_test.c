/* What another number of shards makes of messages that several records speak of. */
#include "test/dialogue/dialogue.h"

#define KEEPS "persistence true\npersistence_location " WORLD_LOCATION
#define MANY 8u /* shards afterwards: a session and a retained message seldom have one home */
#define TOPICS 12u

static void
move(struct world *w)
{
    world_settle(w);
    world_kill(w);
    world_start(w, MANY);
}

/* Subscribes to what is retained; SUBACK and the messages come in any order. The last of these, not acknowledged. */
static struct packet
subscribe_to_retained(struct client *s, const char *filter, unsigned count)
{
    struct packet p, last = {0};
    ask(s, filter, .qos = 1);
    for (unsigned i = 0; i < count + 1; i++) {
        listen_for(s, &p);
        claim(p.type == PACKET_SUBACK || p.type == PACKET_PUBLISH);
        last = p.type == PACKET_PUBLISH ? p : last;
    }
    return last;
}

/* Its message is in a record of its topic's home, what the session is owed of it in another one. */
static void
what_was_replayed_and_not_acknowledged_comes_again(struct world *w)
{
    char topic[16];
    struct client *p = join(w, 5, "p");
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    for (unsigned i = 0; i < TOPICS; i++) {
        snprintf(topic, sizeof topic, "r/%u", i);
        publish(p, topic, topic, .qos = 1, .retain = true);
    }
    claim_equal(subscribe_to_retained(s, "r/#", TOPICS).publish.qos, 1);
    move(w);
    s = rejoin(w, 5, "s", .expiry_s = FOREVER);
    for (unsigned i = 0; i < TOPICS; i++) {
        struct packet again = expect(s, PACKET_PUBLISH);
        claim(again.publish.dup);
        claim(bytes_equal(again.publish.topic, again.publish.payload));
    }
    expect_quiet(s);
}

/* The first record that spoke of it is over when the second one comes. */
static void
what_one_session_had_another_still_gets(struct world *w)
{
    char id[16];
    struct client *p = join(w, 5, "p");
    publish(p, "r", "kept", .qos = 1, .retain = true);
    for (unsigned i = 0; i < TOPICS; i++) {
        snprintf(id, sizeof id, "s%u", i);
        struct client *s = join(w, 5, id, .expiry_s = FOREVER);
        struct packet first = subscribe_to_retained(s, "r", 1);
        if (i % 2 == 0) {
            answer(s, PACKET_PUBACK, first.publish.packet_id, 0);
        }
        settle(s);
    }
    publish(p, "r", "", .qos = 1, .retain = true);
    move(w);
    for (unsigned i = 0; i < TOPICS; i++) {
        snprintf(id, sizeof id, "s%u", i);
        struct client *s = rejoin(w, 5, id, .expiry_s = FOREVER);
        if (i % 2 == 1) {
            take(s, "r", "kept", 1);
        }
        take(s, "r", "", 1);
        expect_quiet(s);
    }
}

static const struct dialogue dialogues[] = {
    TELL_WITH(what_was_replayed_and_not_acknowledged_comes_again, KEEPS),
    TELL_WITH(what_one_session_had_another_still_gets, KEEPS),
};

DIALOGUES(dialogues)
