/* The memory limit counts what a peer can make grow, each kind of it, and everything is given back. */
#include "test/dialogue/dialogue.h"

#include "engine/session/fresh.h"

#define ROUNDS 8

/* Plays a scene until it leaves nothing behind (slabs and pools keep their blocks, so the first rounds do): then it has to have weighed `least` at its height. */
static void
weigh(struct world *w, int64_t (*play)(struct world *w), int64_t least)
{
    int64_t before = -1;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t height = play(w);
        world_advance(w, 3000);
        int64_t after = world_charged_bytes(w);
        if (after == before) {
            if (height - before < least) {
                complain("%lld bytes are charged, not %lld", (long long)(height - before), (long long)least);
            }
            return;
        }
        before = after;
    }
    complain("each round leaves more behind");
}

/* Identifiers of QoS 2 messages that are never released. */
static int64_t
hold_identifiers(struct world *w)
{
    struct client *c = join(w, 4, "c");
    for (uint16_t id = 1; id <= 20000; id++) {
        say(c, "a", "", .qos = 2, .id = id);
    }
    take_in(c);
    int64_t height = world_charged_bytes(w);
    vanish(c);
    return height;
}

static void
received_identifiers_are_counted(struct world *w)
{
    weigh(w, hold_identifiers, 20000 * 2);
}

/* Messages that are sent and never acknowledged: slots beside the messages. */
static int64_t
hold_in_flight(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 1);
    for (int i = 0; i < 900; i++) {
        publish(p, "a", "", .qos = 1);
    }
    take_in(s);
    int64_t height = world_charged_bytes(w);
    vanish(s);
    bye(p, 0);
    return height;
}

static void
in_flight_slots_are_counted(struct world *w)
{
    weigh(w, hold_in_flight, 900 * 2 * (int64_t)sizeof(void *));
}

static void
ask_many(struct client *c, const char *format, int count)
{
    static char text[2000];
    for (int i = 0; i < count; i++) {
        int size = snprintf(text, sizeof text, format, i);
        memset(text + size, 'x', 1000);
        text[size + 1000] = '\0';
        ask(c, text, .packet_id = (uint16_t)(i + 1));
    }
    take_in(c);
}

static int64_t
hold_filters(struct world *w)
{
    struct client *c = join(w, 5, "c");
    ask_many(c, "%d/", 500);
    int64_t height = world_charged_bytes(w);
    claim_equal(WORLD_COUNT(w, subscriptions), 500);
    vanish(c);
    return height;
}

static void
filters_are_counted(struct world *w)
{
    weigh(w, hold_filters, 500 * (1000 + (int64_t)FILTER_BYTES));
}

static int64_t
hold_groups(struct world *w)
{
    struct client *c = join(w, 5, "c");
    ask_many(c, "$share/g%d/", 300);
    int64_t height = world_charged_bytes(w);
    claim_equal(WORLD_COUNT(w, shared_subscriptions), 300);
    vanish(c);
    return height;
}

static void
share_groups_are_counted(struct world *w)
{
    weigh(w, hold_groups, 300 * (3 * 1000 + (int64_t)FILTER_BYTES));
}

enum { LISTENERS = 600 };

static int64_t
hold_lists(struct world *w)
{
    static struct client *c[LISTENERS];
    for (int i = 0; i < LISTENERS; i++) {
        char id[16];
        snprintf(id, sizeof id, "many%d", i);
        c[i] = join(w, 5, id);
        subscribe(c[i], "all");
    }
    int64_t height = world_charged_bytes(w);
    for (int i = 0; i < LISTENERS; i++) {
        sim_reset(w->sim, c[i]->connection);
    }
    world_settle(w);
    return height;
}

static void
lists_of_subscribers_are_counted(struct world *w)
{
    weigh(w, hold_lists, LISTENERS * (int64_t)sizeof(void *));
}

enum { TOPICS = 2000 };

/* A replay of retained messages that does not go on, while live ones of other topics keep coming. */
static int64_t
hold_fresh(struct world *w)
{
    struct client *p = join(w, 5, "p"), *s = join(w, 5, "s", .receive_maximum = 1);
    char topic[16];
    for (int i = 0; i < 50; i++) {
        snprintf(topic, sizeof topic, "r/%d", i);
        publish(p, topic, "x", .qos = 1, .retain = true);
    }
    ask(s, "r/#", .qos = 1);
    world_settle(w);
    for (int i = 0; i < TOPICS; i++) {
        snprintf(topic, sizeof topic, "r/n%d", i);
        say(p, topic, "x", .retain = true);
    }
    take_in(p);
    int64_t height = world_charged_bytes(w);
    vanish(s);
    for (int i = 0; i < TOPICS + 50; i++) { /* and nothing is retained afterwards */
        snprintf(topic, sizeof topic, i < TOPICS ? "r/n%d" : "r/%d", i < TOPICS ? i : i - TOPICS);
        say(p, topic, "", .retain = true);
    }
    take_in(p);
    bye(p, 0);
    return height;
}

static void
topics_heard_during_a_replay_are_counted(struct world *w)
{
    weigh(w, hold_fresh, TOPICS * 2 * (int64_t)sizeof(struct fresh_topic));
}

static const struct dialogue dialogues[] = {
    TELL(received_identifiers_are_counted),
    TELL_WITH(in_flight_slots_are_counted, "max_inflight_messages 0"),
    TELL(filters_are_counted),
    TELL(share_groups_are_counted),
    TELL(lists_of_subscribers_are_counted),
    TELL(topics_heard_during_a_replay_are_counted),
};

DIALOGUES(dialogues)
