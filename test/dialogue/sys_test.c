/* $SYS: the topics are there, retained, and what they say is right. */
#include "test/dialogue/dialogue.h"

/* What a topic says now, to a client of its own. */
static void
read_topic(struct client *reader, const char *name, char *out, size_t room)
{
    char topic[128];
    snprintf(topic, sizeof topic, "$SYS/broker/%s", name);
    subscribe_(reader, topic, (struct wish){.qos = 0});
    struct packet got;
    out[0] = '\0';
    while (listen_for(reader, &got)) {
        if (got.type == PACKET_PUBLISH && bytes_equal(got.publish.topic, bytes_from(topic))) {
            snprintf(out, room, "%.*s", (int)got.publish.payload.size, got.publish.payload.data);
            if (!got.publish.retain) {
                complain("%s is not retained", topic);
            }
        }
    }
    if (out[0] == '\0') {
        complain("%s is not there", topic);
    }
    unsubscribe_(reader, topic);
}

#define number_of(reader, name) (HERE, number_of_((reader), (name)))
static uint64_t
number_of_(struct client *reader, const char *name)
{
    char text[64];
    read_topic(reader, name, text, sizeof text);
    return strtoull(text, NULL, 10);
}

/* The names that Mosquitto's users know. */
static void
the_usual_topics_are_there(struct world *w)
{
    static const char *const names[] = {
        "version", "uptime", "clients/total", "clients/connected", "clients/disconnected", "clients/maximum", "clients/expired",
        "messages/received", "messages/sent", "messages/stored", "store/messages/count", "store/messages/bytes", "subscriptions/count",
        "shared_subscriptions/count", "retained messages/count", "publish/messages/received", "publish/messages/sent", "publish/messages/dropped",
        "publish/bytes/received", "publish/bytes/sent", "bytes/received", "bytes/sent", "load/messages/received/1min", "load/bytes/sent/15min",
        "load/connections/5min", "heap/current", "clients/takeovers", "dropped/queue full", "dropped/output full", "dropped/bad input",
    };
    struct client *reader = join(w, 5, "reader");
    char text[64];
    pass_seconds(w, 3);
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) {
        HERE;
        read_topic(reader, names[i], text, sizeof text);
    }
    read_topic(reader, "version", text, sizeof text);
    claim(strncmp(text, "tidewire version ", 17) == 0);
    read_topic(reader, "uptime", text, sizeof text);
    claim(atoi(text) >= 1 && atoi(text) <= 4 && strstr(text, " seconds"));
}

static void
clients_are_counted(struct world *w)
{
    struct client *reader = join(w, 5, "reader"), *c[5];
    for (int i = 0; i < 5; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%d", i);
        c[i] = join(w, 5, id, .expiry_s = i == 0 ? 1000 : 0);
    }
    meet(w, 5); /* a stranger is no client */
    vanish(c[0]);
    vanish(c[1]);
    join(w, 5, "c2");
    pass_seconds(w, 3);
    claim_equal(number_of(reader, "clients/connected"), 4);
    claim_equal(number_of(reader, "clients/total"), 5);
    claim_equal(number_of(reader, "clients/disconnected"), 1);
    claim_equal(number_of(reader, "clients/takeovers"), 1);
}

static void
messages_are_counted(struct world *w)
{
    struct client *reader = join(w, 5, "reader"), *s = join(w, 5, id_at(w, 0, 0)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "a/#", .qos = 2);
    subscribe(s, "$share/g/b", .qos = 2);
    pass_seconds(w, 3);
    uint64_t received = number_of(reader, "publish/messages/received"), bytes = number_of(reader, "publish/bytes/received");
    for (uint8_t qos = 0; qos <= 2; qos++) {
        publish(p, "a/b", "ten bytes!", .qos = qos, .retain = qos == 2);
        take(s, "a/b", "ten bytes!", qos);
    }
    pass_seconds(w, 3);
    claim_equal(number_of(reader, "publish/messages/received"), received + 3);
    claim_equal(number_of(reader, "publish/bytes/received"), bytes + 30);
    claim_equal(number_of(reader, "shared_subscriptions/count"), 1);
    claim(number_of(reader, "publish/messages/sent") >= 3);
    claim(number_of(reader, "retained messages/count") >= 1);
    claim(number_of(reader, "bytes/received") > 100);
}

/* Every drop is counted by its reason. */
static void
drops_are_counted_by_reason(struct world *w)
{
    struct client *reader = join(w, 5, "reader"), *s = join(w, 5, "s", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 1);
    vanish(s);
    for (int i = 0; i < 9; i++) {
        publish(p, "a", "x", .qos = 1, .expiry_s = i == 0 ? 2 : 0);
    }
    publish(p, "a", "x");
    pass_seconds(w, 5);
    s = rejoin(w, 5, "s", .packet_size = 20);
    say(p, "a", "x", .payload_size = 100);
    client_send_bytes(meet(w, 5), "\xc0\x00", 2);
    pass_seconds(w, 3);
    claim_equal(number_of(reader, "dropped/queue full"), 4);
    claim_equal(number_of(reader, "dropped/offline qos0"), 1);
    claim_equal(number_of(reader, "dropped/expired"), 1);
    claim_equal(number_of(reader, "dropped/too large"), 1);
    claim_equal(number_of(reader, "dropped/bad input"), 1);
    claim_equal(number_of(reader, "publish/messages/dropped"), 6);
}

/* Who listens hears what changes, and nothing that stays the same. */
static void
changes_are_told_at_the_interval(struct world *w)
{
    struct client *s = join(w, 5, "s");
    pass_seconds(w, 2);
    subscribe(s, "$SYS/broker/clients/connected");
    hear(s, "$SYS/broker/clients/connected", NULL, 0);
    pass_seconds(w, 3);
    struct packet got;
    while (listen_for(s, &got)) { /* up to 1 */
    }
    pass_seconds(w, 10);
    expect_quiet(s);
    join(w, 5, "c");
    expect_quiet(s);
    pass_seconds(w, 2);
    claim(!hear(s, "$SYS/broker/clients/connected", "2", 0).publish.retain);
    expect_quiet(s);
}

/* Option sys_interval 0. */
static void
without_an_interval_there_is_nothing(struct world *w)
{
    struct client *s = join(w, 5, "s");
    subscribe(s, "$SYS/#");
    pass_seconds(w, 100);
    expect_quiet(s);
}

/* What the broker says about itself is no message of a client's: it is sent, but not received. */
static void
sys_can_be_read_by_all_versions(struct world *w)
{
    pass_seconds(w, 3);
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *s = join(w, version, "s");
        subscribe(s, "$SYS/broker/version", .qos = 2);
        struct packet got = expect(s, PACKET_PUBLISH);
        claim(got.publish.retain);
        bye(s, 0);
    }
}

static const struct dialogue dialogues[] = {
    TELL_WITH(the_usual_topics_are_there, "sys_interval 1"),
    TELL_WITH(clients_are_counted, "sys_interval 1"),
    TELL_WITH(messages_are_counted, "sys_interval 1"),
    TELL_WITH(drops_are_counted_by_reason, "sys_interval 1\nmax_queued_messages 5"),
    TELL_WITH(changes_are_told_at_the_interval, "sys_interval 1"),
    TELL(without_an_interval_there_is_nothing),
    TELL_WITH(sys_can_be_read_by_all_versions, "sys_interval 1"),
};

DIALOGUES(dialogues)
