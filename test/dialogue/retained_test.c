/* Retained messages: kept, replaced, cleared, expired; who gets them, when, and with which QoS; and what a slow subscriber gets. */
#include "test/dialogue/dialogue.h"

#include "codec/topic.h"

static struct client *
publisher(struct world *w)
{
    return join(w, 5, id_at(w, w->broker->shard_count - 1, 0));
}

/* A new client who subscribes, at home on any shard. */
static struct client *
newcomer(struct world *w, const char *filter, uint8_t qos)
{
    static unsigned count;
    char id[24];
    snprintf(id, sizeof id, "newcomer%u", count++);
    struct client *c = join(w, 5, id);
    claim_equal(subscribe(c, filter, .qos = qos), qos);
    return c;
}

/* MQTT5 [MQTT-3.3.1-5] [MQTT-3.3.1-9], MQTT3 [MQTT-3.3.1-5] [MQTT-3.3.1-6] [MQTT-3.3.1-8]: on every shard, with RETAIN 1. */
static void
a_retained_message_is_sent_to_new_subscribers(struct world *w)
{
    struct client *p = publisher(w);
    publish(p, "a/b", "kept", .qos = 1, .retain = true);
    for (unsigned i = 0; i < 12; i++) {
        struct client *c = newcomer(w, i % 2 ? "a/b" : "a/+", 2);
        struct packet got = hear(c, "a/b", "kept", 1);
        claim(got.publish.retain && !got.publish.dup);
        expect_quiet(c);
    }
    struct client *old = join(w, 4, "old");
    subscribe(old, "#");
    claim(hear(old, "a/b", "kept", 0).publish.retain);
    claim_equal(WORLD_COUNT(w, retained_messages), 1);
}

/* MQTT5 [MQTT-3.3.1-5]: the newest replaces, with its QoS, from whichever shard it comes. */
static void
a_newer_message_replaces_the_retained_one(struct world *w)
{
    for (unsigned i = 0; i < 6; i++) {
        struct client *p = join(w, 5, id_at(w, i % w->broker->shard_count, 2));
        char text[8];
        snprintf(text, sizeof text, "%u", i);
        publish(p, "a", text, .qos = i % 3, .retain = true);
        struct client *c = newcomer(w, "a", 2);
        hear(c, "a", text, i % 3);
        expect_quiet(c);
    }
    claim_equal(WORLD_COUNT(w, retained_messages), 1);
}

/* MQTT5 [MQTT-3.3.1-6] [MQTT-3.3.1-7], MQTT3 [MQTT-3.3.1-10] [MQTT-3.3.1-11]: an empty payload clears, and is delivered as any message. */
static void
an_empty_message_clears_the_retained_one(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *p = join(w, version, "p"), *s = newcomer(w, "a", 2);
        publish(p, "a", "kept", .qos = 1, .retain = true);
        take(s, "a", "kept", 1);
        publish(p, "a", "", .qos = 1, .retain = true);
        take(s, "a", "", 1);
        expect_quiet(newcomer(w, "a", 2));
        claim_equal(WORLD_COUNT(w, retained_messages), 0);
        claim_equal(WORLD_COUNT(w, retained_bytes), 0);
        publish(p, "b", "", .qos = 1, .retain = true); /* nothing was there */
        expect_quiet(newcomer(w, "b", 2));
        vanish(s);
    }
}

/* MQTT5 [MQTT-3.3.1-8], MQTT3 [MQTT-3.3.1-12]. */
static void
a_message_without_retain_changes_nothing(struct world *w)
{
    struct client *p = publisher(w);
    publish(p, "b", "x");
    expect_quiet(newcomer(w, "b", 0));
    publish(p, "a", "kept", .retain = true);
    publish(p, "a", "passing", .qos = 2);
    publish(p, "a", "", .qos = 1);
    struct client *c = newcomer(w, "a", 2);
    hear(c, "a", "kept", 0);
    expect_quiet(c);
}

/* MQTT5 [MQTT-3.3.1-12]: those who listen already hear it as any message. */
static void
subscribers_that_listen_hear_it_as_any_message(struct world *w)
{
    struct client *c = newcomer(w, "a", 1), *p = publisher(w);
    publish(p, "a", "kept", .qos = 1, .retain = true);
    claim(!hear(c, "a", "kept", 1).publish.retain);
    expect_quiet(c);
}

/* MQTT5 [MQTT-3.8.4-8]. */
static void
qos_of_a_retained_message_is_the_lesser(struct world *w)
{
    struct client *p = publisher(w);
    for (uint8_t sent = 0; sent <= 2; sent++) {
        publish(p, "a", "x", .qos = sent, .retain = true);
        for (uint8_t wanted = 0; wanted <= 2; wanted++) {
            struct client *c = newcomer(w, "a", wanted);
            take(c, "a", "x", wanted < sent ? wanted : sent);
            expect_quiet(c);
        }
    }
}

/* MQTT5 [MQTT-3.3.2-4] to [MQTT-3.3.2-20]: it keeps its properties; and the subscription's identifier is added. */
static void
a_retained_message_keeps_its_properties(struct world *w)
{
    struct client *p = publisher(w), *c = join(w, 5, id_at(w, 0, 1)), *old = join(w, 4, "old");
    publish(p, "a", "x", .retain = true, .utf8 = true, .content_type = "text/plain", .response_topic = "re/ply", .correlation = "no 7", .user = "b=1 a=2 b=1");
    subscribe(c, "a", .id = 77);
    struct packet got = hear(c, "a", "x", 0);
    const struct properties *has = &got.publish.properties;
    claim(properties_has(has, PROPERTY_PAYLOAD_FORMAT_INDICATOR) && has->payload_format == 1);
    claim_text(has->content_type, "text/plain");
    claim_text(has->response_topic, "re/ply");
    claim_text(has->correlation_data, "no 7");
    claim_text(bytes_from(user_text(has)), "b=1 a=2 b=1");
    claim_equal(has->subscription_id, 77);
    subscribe(old, "a");
    hear(old, "a", "x", 0);
}

/* MQTT5 [MQTT-3.3.2-5] [MQTT-3.3.2-6]. */
static void
a_retained_message_expires(struct world *w)
{
    struct client *p = publisher(w);
    publish(p, "a", "x", .retain = true, .expiry_s = 10);
    publish(p, "b", "y", .retain = true);
    pass_seconds(w, 4);
    claim_equal(hear(newcomer(w, "a", 0), "a", "x", 0).publish.properties.message_expiry_s, 6);
    pass_seconds(w, 7);
    expect_quiet(newcomer(w, "a", 0));
    struct client *c = newcomer(w, "#", 0);
    hear(c, "b", "y", 0);
    expect_quiet(c);
    pass_seconds(w, 3600);
    claim_equal(WORLD_COUNT(w, retained_messages), 1);
}

/* Option retain_expiry_interval, in minutes. */
static void
retained_messages_end_after_the_configured_time(struct world *w)
{
    struct client *p = publisher(w);
    publish(p, "a", "x", .retain = true);
    publish(p, "b", "x", .retain = true, .expiry_s = 1000);
    pass_seconds(w, 50);
    publish(p, "c", "x", .retain = true);
    struct client *c = newcomer(w, "#", 0);
    for (int i = 0; i < 3; i++) {
        expect(c, PACKET_PUBLISH);
    }
    pass_seconds(w, 15);
    c = newcomer(w, "#", 0);
    struct packet got;
    bool a = false, b = false, kept = false;
    while (listen_for(c, &got)) {
        a = a || got.publish.topic.data[0] == 'a';
        b = b || got.publish.topic.data[0] == 'b'; /* it has an interval of its own */
        kept = kept || got.publish.topic.data[0] == 'c';
    }
    claim(!a && b && kept);
}

/* Every shape of filter against every topic, as the obvious matcher says. */
static void
retained_messages_match_as_the_obvious_matcher_says(struct world *w)
{
    static const char *const topics[] = {"a", "/", "/a", "a/", "a//b", "a/b", "a/b/c", "b", "b/a", "dd/ee", "a/b/c/d/e/f", "\xc3\xa9", " ", "a/ /b"};
    static const char *const filters[] = {"#", "+", "+/+", "/#", "/+", "a/#", "a/+", "a/b", "+/b", "a/+/b", "+/#", "+/+/+", "a/+/#", "+//+", "b/#",
                                          "x/#", "a/b/c/#", "\xc3\xa9", "+/ /+", "dd/+", "a", "a/b/#"};
    enum { TOPICS = sizeof topics / sizeof *topics };
    struct client *p = publisher(w);
    for (int i = 0; i < TOPICS; i++) {
        publish(p, topics[i], "x", .retain = true);
    }
    for (unsigned k = 0; k < sizeof filters / sizeof *filters; k++) {
        struct client *c = newcomer(w, filters[k], 0);
        bool seen[TOPICS] = {false};
        struct packet got;
        while (listen_for(c, &got)) {
            for (int i = 0; i < TOPICS; i++) {
                if (bytes_equal(got.publish.topic, bytes_from(topics[i]))) {
                    claim(!seen[i]);
                    seen[i] = true;
                }
            }
        }
        for (int i = 0; i < TOPICS; i++) {
            if (seen[i] != topic_match(bytes_from(filters[k]), bytes_from(topics[i]))) {
                complain("filter '%s', topic '%s': %s", filters[k], topics[i], seen[i] ? "sent" : "not sent");
            }
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------------------------- many of them */

enum { MANY = 5000 };

static void
keep_many(struct world *w, uint8_t qos)
{
    struct client *p = publisher(w);
    char topic[24], text[8];
    for (int i = 0; i < MANY; i++) {
        snprintf(topic, sizeof topic, "many/%d/%d", i % 70, i);
        snprintf(text, sizeof text, "%d", i);
        say(p, topic, text, .retain = true, .qos = qos, .id = (uint16_t)(i + 1));
        if (i % 500 == 0) {
            take_in(p);
        }
    }
    take_in(p);
    claim_equal(WORLD_COUNT(w, retained_messages), MANY);
}

/* Hears each of them once; acknowledges at most `at_once` at a time. */
static void
hear_many(struct client *c, uint8_t qos, int at_once)
{
    static bool seen[MANY];
    uint16_t ids[64];
    int owed = 0;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < MANY; i++) {
        struct packet got = expect_(c, PACKET_PUBLISH);
        char text[8];
        snprintf(text, sizeof text, "%.*s", (int)got.publish.payload.size, got.publish.payload.data);
        int number = atoi(text);
        claim(!seen[number] && got.publish.retain && got.publish.qos == qos);
        seen[number] = true;
        if (qos == 1) {
            ids[owed++] = got.publish.packet_id;
        }
        if (owed == at_once) {
            while (owed > 0) {
                answer(c, PACKET_PUBACK, ids[--owed], 0);
            }
        }
    }
    expect_quiet(c);
}

/* More than any batch or queue, QoS 0, a client that reads on. */
static void
many_retained_messages_all_arrive(struct world *w)
{
    keep_many(w, 0);
    struct client *c = newcomer(w, "many/#", 0);
    hear_many(c, 0, 0);
    claim_equal(WORLD_COUNT(w, drops[DROP_OUTPUT_FULL]), 0);
}

/* The client does not read for a while: the walk waits, nothing is dropped, others go on. */
static void
a_client_that_does_not_read_still_gets_all_retained_messages(struct world *w)
{
    keep_many(w, 0);
    struct client *p = publisher(w), *other = newcomer(w, "other", 0), *c = newcomer(w, "nothing", 0);
    sim_set_stuck(w->sim, c->connection, true);
    ask(c, "many/+/+");
    pass_seconds(w, 60);
    publish(p, "other", "x");
    take(other, "other", "x", 0);
    sim_set_stuck(w->sim, c->connection, false);
    expect(c, PACKET_SUBACK);
    hear_many(c, 0, 0);
    claim_equal(WORLD_COUNT(w, drops[DROP_OUTPUT_FULL]), 0);
}

/* QoS 1 and a small Receive Maximum: far more than the queue holds, and yet all arrive. */
static void
a_small_receive_maximum_still_gets_all_retained_messages(struct world *w)
{
    keep_many(w, 1);
    struct client *c = join(w, 5, "c", .receive_maximum = 10);
    subscribe(c, "many/#", .qos = 1);
    claim_equal(WORLD_COUNT(w, drops[DROP_QUEUE_FULL]), 0);
    hear_many(c, 1, 5);
}

/* A queue smaller than any batch. */
static void
a_tiny_queue_still_gets_all_retained_messages(struct world *w)
{
    keep_many(w, 1);
    struct client *c = join(w, 5, "c", .receive_maximum = 10);
    subscribe(c, "many/#", .qos = 1);
    hear_many(c, 1, 5);
}

/* Many filters in one SUBSCRIBE walk at the same time: together they respect the queue too. */
static void
many_walks_at_once_all_arrive(struct world *w)
{
    keep_many(w, 1);
    static uint8_t entries[4000];
    uint32_t size = 0;
    for (int i = 0; i < 70; i++) {
        char filter[16];
        snprintf(filter, sizeof filter, "many/%d/#", i);
        size += encode_subscribe_entry(entries + size, (uint32_t)sizeof entries - size, bytes_from(filter), (struct subscription_options){.qos = 1});
    }
    struct client *c = join(w, 5, "c", .receive_maximum = 10);
    struct packet p = {.type = PACKET_SUBSCRIBE, .subscribe = {.packet_id = 1, .count = 70, .entries = bytes_of(entries, size)}};
    client_send(c, &p);
    expect(c, PACKET_SUBACK);
    world_settle(w);
    claim_equal(WORLD_COUNT(w, drops[DROP_QUEUE_FULL]), 0);
    hear_many(c, 1, 5);
}

/* What changes during the walk is heard too: the last word on a topic is the newest. */
static void
a_change_during_the_walk_is_the_last_word(struct world *w)
{
    keep_many(w, 0);
    struct client *p = publisher(w), *c = newcomer(w, "nothing", 0);
    sim_set_stuck(w->sim, c->connection, true);
    ask(c, "#");
    world_settle(w);
    static const int changed[] = {0, 1, 69, 70, 2500, 4998, 4999};
    char topic[24];
    for (int i = 0; i < 7; i++) {
        snprintf(topic, sizeof topic, "many/%d/%d", changed[i] % 70, changed[i]);
        publish(p, topic, "new", .retain = true, .qos = 1);
    }
    sim_set_stuck(w->sim, c->connection, false);
    bool is_new[7] = {false};
    struct packet got;
    expect(c, PACKET_SUBACK);
    while (listen_for(c, &got)) {
        for (int i = 0; i < 7; i++) {
            snprintf(topic, sizeof topic, "many/%d/%d", changed[i] % 70, changed[i]);
            if (bytes_equal(got.publish.topic, bytes_from(topic))) {
                is_new[i] = bytes_equal(got.publish.payload, bytes_from("new"));
            }
        }
    }
    for (int i = 0; i < 7; i++) {
        claim(is_new[i]);
    }
}

/* A walk whose client leaves, unsubscribes or is taken over ends, and does no harm. */
static void
a_walk_can_be_broken_off(struct world *w)
{
    keep_many(w, 1);
    for (int i = 0; i < 6; i++) {
        struct client *c = join(w, 5, "c", .receive_maximum = 3, .expiry_s = i % 2 ? 100 : 0);
        ask(c, "many/#", .qos = 1);
        ask(c, "+/+/+", .qos = 0);
        if (i == 2 || i == 3) {
            ask_unsubscribe(c, "many/#", 5);
        }
        if (i < 4) {
            world_settle(w);
        }
        if (i == 4) {
            join(w, 5, "c");
        }
        vanish(c);
    }
    struct client *c = join(w, 5, "c"), *p = publisher(w);
    subscribe(c, "a");
    publish(p, "a", "x");
    take(c, "a", "x", 0);
    expect_quiet(c);
}

/* ------------------------------------------------------------------------------------------------------------------------------------- limits */

/* Lets one shard run until the broker has taken so many messages; the others stand still. */
static void
run_alone_until(struct world *w, unsigned shard, uint64_t received)
{
    for (uint32_t turns = 0; WORLD_COUNT(w, publish_received) < received; turns++) {
        claim(turns < 100000);
        sim_advance(w->sim, 1000);
        shard_turn(w->broker->shards[shard], false);
    }
}

static void
run_alone(struct world *w, unsigned shard, uint32_t turns)
{
    for (; turns > 0; turns--) {
        sim_advance(w->sim, 10000);
        shard_turn(w->broker->shards[shard], false);
    }
}

/* A publisher at home on `far`, which has more for the shard `home` than the ring between them holds. Returns how many messages that are. */
static uint32_t
fall_behind(struct world *w, unsigned home, unsigned far, struct client **publisher)
{
    struct client *listener = join(w, 5, id_at(w, home, 0));
    claim_equal(subscribe(listener, "flood"), 0);
    *publisher = join(w, 5, id_at(w, far, 1));
    uint32_t count = MESH_RING_BYTES / 10000 + 50;
    for (uint32_t i = 0; i < count; i++) {
        say(*publisher, "flood", "x", .payload_size = 10000);
    }
    run_alone_until(w, far, count);
    claim(w->broker->shard_count == 1 || mesh_backlog(w->broker->mesh, far) > 0);
    return count;
}

/* engine/route/replay.h Y3: the message comes to its home long after its removal. */
static void
a_removal_outlasts_an_older_message_that_is_late(struct world *w)
{
    unsigned home = broker_shard_of(w->broker, "t", 1);
    unsigned far = (home + 1) % w->broker->shard_count;
    struct client *remover = join(w, 5, id_at(w, home, 2));
    struct client *p;
    uint32_t count = fall_behind(w, home, far, &p);
    say(p, "t", "old", .retain = true);
    run_alone_until(w, far, count + 1);
    say(remover, "t", "", .retain = true);
    run_alone_until(w, home, count + 2);
    run_alone(w, home, 5);
    world_settle(w);
    expect_quiet(newcomer(w, "t", 0));
    claim_equal(WORLD_COUNT(w, retained_messages), 0);
}

/* Option max_retained_messages (each shard has its share): what is there can be replaced, live delivery goes on, drops are counted. */
static void
so_many_retained_messages_and_no_more(struct world *w)
{
    struct client *s = newcomer(w, "#", 0), *p = publisher(w);
    char topic[8];
    for (int i = 0; i < 300; i++) {
        snprintf(topic, sizeof topic, "t%d", i);
        publish(p, topic, "x", .retain = true);
        hear(s, topic, "x", 0);
    }
    uint64_t kept = WORLD_COUNT(w, retained_messages);
    claim(kept >= 80 && kept <= 100 + w->broker->shard_count);
    claim_equal(kept + WORLD_COUNT(w, drops[DROP_RETAINED_LIMIT]), 300);
    publish(p, "t0", "y", .retain = true);
    hear(newcomer(w, "t0", 0), "t0", "y", 0);
    for (int i = 0; i < 300; i++) {
        snprintf(topic, sizeof topic, "t%d", i);
        publish(p, topic, "", .retain = true);
    }
    claim_equal(WORLD_COUNT(w, retained_messages), 0);
    publish(p, "t299", "x", .retain = true); /* room again */
    hear(newcomer(w, "t299", 0), "t299", "x", 0);
}

/* Option max_retained_bytes. */
static void
so_many_retained_bytes_and_no_more(struct world *w)
{
    struct client *p = publisher(w);
    for (int i = 0; i < 20; i++) {
        char topic[8];
        snprintf(topic, sizeof topic, "t/%d", i);
        say(p, topic, "x", .retain = true, .payload_size = 1000);
    }
    settle(p);
    claim(WORLD_COUNT(w, retained_bytes) <= 10000);
    claim(WORLD_COUNT(w, retained_messages) >= 5);
    claim_equal(WORLD_COUNT(w, retained_messages) + WORLD_COUNT(w, drops[DROP_RETAINED_LIMIT]), 20);
}

/* MQTT5 3.2.2.3.5, [MQTT-3.2.2-14]: retain_available false. */
static void
retain_is_refused_where_it_is_not_available(struct world *w)
{
    struct client *p = join(w, 5, "p");
    claim(properties_has(&greeting.connack.properties, PROPERTY_RETAIN_AVAILABLE));
    claim_equal(greeting.connack.properties.retain_available, 0);
    say(p, "a", "x", .retain = true);
    expect_disconnect(p, REASON_RETAIN_NOT_SUPPORTED);
    say(join(w, 4, "old"), "a", "x", .retain = true);
    world_settle(w);
    expect_quiet(newcomer(w, "a", 0));
    claim_equal(WORLD_COUNT(w, retained_messages), 0);
}

/* engine/route/replay.h Y1: the message waits on another shard until its queue has room. */
static void
who_subscribes_after_the_acknowledgement_gets_a_message_that_is_late(struct world *w)
{
    unsigned home = broker_shard_of(w->broker, "t", 1);
    unsigned far = (home + 1) % w->broker->shard_count;
    struct client *s = join(w, 5, id_at(w, home, 2));
    struct client *p;
    uint32_t count = fall_behind(w, home, far, &p);
    say(p, "t", "new", .retain = true, .qos = 1);
    run_alone_until(w, far, count + 1);
    run_alone(w, far, 5);
    struct packet ack;
    claim(client_receive(p, &ack) && ack.type == PACKET_PUBACK);
    ask(s, "t", .qos = 1);
    run_alone(w, home, 20);
    world_settle(w);
    expect(s, PACKET_SUBACK);
    hear(s, "t", "new", 1);
}

static const struct dialogue dialogues[] = {
    TELL(a_retained_message_is_sent_to_new_subscribers),
    TELL(a_newer_message_replaces_the_retained_one),
    TELL(an_empty_message_clears_the_retained_one),
    TELL(a_message_without_retain_changes_nothing),
    TELL(subscribers_that_listen_hear_it_as_any_message),
    TELL(qos_of_a_retained_message_is_the_lesser),
    TELL(a_retained_message_keeps_its_properties),
    TELL(a_retained_message_expires),
    TELL_WITH(retained_messages_end_after_the_configured_time, "retain_expiry_interval 1"),
    TELL(retained_messages_match_as_the_obvious_matcher_says),
    TELL(many_retained_messages_all_arrive),
    TELL_WITH(a_client_that_does_not_read_still_gets_all_retained_messages, "max_output_bytes 8192"),
    TELL_WITH(a_small_receive_maximum_still_gets_all_retained_messages, "max_queued_messages 100"),
    TELL_WITH(a_tiny_queue_still_gets_all_retained_messages, "max_queued_messages 20"),
    TELL(many_walks_at_once_all_arrive),
    TELL(a_change_during_the_walk_is_the_last_word),
    TELL(a_walk_can_be_broken_off),
    TELL(who_subscribes_after_the_acknowledgement_gets_a_message_that_is_late),
    TELL(a_removal_outlasts_an_older_message_that_is_late),
    TELL_WITH(so_many_retained_messages_and_no_more, "max_retained_messages 100"),
    TELL_WITH(so_many_retained_bytes_and_no_more, "max_retained_bytes 10000"),
    TELL_WITH(retain_is_refused_where_it_is_not_available, "retain_available false"),
};

DIALOGUES(dialogues)
