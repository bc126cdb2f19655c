/* What outlives the broker: every claim is made after an orderly end, after a kill, and after a power failure; and once with another number of shards. */
#include "test/dialogue/dialogue.h"

#include "engine/journal/journal.h"

#define KEEPS "persistence true\npersistence_location " WORLD_LOCATION

/* ------------------------------------------------------------------------------------------------------------------ ends of the broker */
enum end {
    STOPPED,
    KILLED,
    CRASHED,
    ENDS,
};

static void
come_back_on(struct world *w, enum end end, unsigned shards)
{
    world_settle(w);
    switch (end) {
    case STOPPED:
        world_stop(w);
        break;
    case KILLED:
        world_kill(w);
        break;
    case CRASHED:
    case ENDS:
        world_crash(w);
        break;
    }
    world_start(w, shards);
}

static void
come_back(struct world *w, enum end end)
{
    come_back_on(w, end, w->broker->shard_count);
}

/* ------------------------------------------------------------------------------------------------------------------------ sessions */
static void
a_session_and_its_subscriptions_are_there_again(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    claim_equal(subscribe(s, "a/+", .qos = 1), 1);
    claim_equal(subscribe(s, "b/#", .qos = 2), 2);
    claim_equal(subscribe(s, "gone", .qos = 1), 1);
    claim_equal(unsubscribe(s, "gone"), 0);
    for (enum end end = STOPPED; end < ENDS; end++) {
        come_back(w, end);
        s = rejoin(w, 5, "s", .expiry_s = FOREVER);
        struct client *p = join(w, 5, "p");
        publish(p, "a/1", "one", .qos = 1);
        publish(p, "gone", "none", .qos = 1);
        publish(p, "b/1/2", "two", .qos = 2);
        take(s, "a/1", "one", 1);
        take(s, "b/1/2", "two", 2);
        expect_quiet(s);
    }
}

static void
the_options_of_subscriptions_are_the_same(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "own", .qos = 1, .no_local = true);
    subscribe(s, "marked", .qos = 1, .as_published = true, .id = 77);
    subscribe(s, "less", .qos = 2);
    subscribe(s, "less", .qos = 0);
    for (enum end end = STOPPED; end < ENDS; end++) {
        come_back(w, end);
        s = rejoin(w, 5, "s", .expiry_s = FOREVER);
        publish(s, "own", "mine", .qos = 1);
        publish(join(w, 5, "p"), "marked", "m", .qos = 1, .retain = true);
        struct packet p = hear(s, "marked", "m", 1);
        claim(p.publish.retain);
        claim_equal(p.publish.properties.subscription_id, 77);
        answer(s, PACKET_PUBACK, p.publish.packet_id, 0);
        publish(join(w, 5, "q"), "less", "l", .qos = 2);
        take(s, "less", "l", 0);
        expect_quiet(s);
    }
}

static void
what_ends_with_its_connection_is_gone(struct world *w)
{
    struct client *s = join(w, 5, "s");
    subscribe(s, "a", .qos = 1);
    struct client *old = join(w, 4, "old", .resume = false);
    subscribe(old, "a", .qos = 1);
    struct client *ended = join(w, 5, "ended", .expiry_s = FOREVER);
    subscribe(ended, "a", .qos = 1);
    bye_for(ended, 0, 0);
    come_back(w, KILLED);
    claim_equal(WORLD_COUNT(w, sessions), 0);
    join(w, 5, "s", .resume = true);
    claim(!greeting.connack.session_present);
    join(w, 4, "old", .resume = true);
    claim(!greeting.connack.session_present);
    join(w, 5, "ended", .resume = true);
    claim(!greeting.connack.session_present);
}

static void
a_session_expires_while_the_broker_is_down(struct world *w)
{
    vanish(join(w, 5, "short", .expiry_s = 10));
    vanish(join(w, 5, "long", .expiry_s = 1000));
    pass_seconds(w, 5);
    world_settle(w);
    world_kill(w);
    pass_seconds(w, 8);
    world_start(w, w->broker->shard_count);
    world_settle(w);
    rejoin(w, 5, "long", .expiry_s = 1000);
    join(w, 5, "short", .resume = true, .expiry_s = 10);
    claim(!greeting.connack.session_present);
}

static void
time_of_absence_goes_on_over_a_restart(struct world *w)
{
    vanish(join(w, 5, "s", .expiry_s = 40));
    for (enum end end = STOPPED; end < ENDS; end++) {
        pass_seconds(w, 10); /* and world_stop() takes some */
        come_back(w, end);
    }
    claim_equal(WORLD_COUNT(w, sessions), 1);
    pass_seconds(w, 11);
    claim_equal(WORLD_COUNT(w, sessions), 0);
}

static void
who_was_connected_at_the_crash_is_absent_since_then(struct world *w)
{
    join(w, 5, "s", .expiry_s = 20);
    pass_seconds(w, 30);
    come_back(w, CRASHED);
    pass_seconds(w, 15);
    claim_equal(WORLD_COUNT(w, sessions), 1);
    pass_seconds(w, 10);
    claim_equal(WORLD_COUNT(w, sessions), 0);
}

static void
a_new_session_takes_the_place_of_an_old_one(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "old", .qos = 1);
    vanish(s);
    s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "new", .qos = 1);
    for (enum end end = STOPPED; end < ENDS; end++) {
        come_back(w, end);
        s = rejoin(w, 5, "s", .expiry_s = FOREVER);
        publish(join(w, 5, "p"), "old", "o", .qos = 1);
        publish(join(w, 5, "p"), "new", "n", .qos = 1);
        take(s, "new", "n", 1);
        expect_quiet(s);
    }
}

/* ------------------------------------------------------------------------------------------------------------------------ messages */
static void
messages_in_a_queue_come_in_their_order(struct world *w)
{
    char text[16];
    for (enum end end = STOPPED; end < ENDS; end++) {
        struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
        subscribe(s, "t", .qos = 2);
        vanish(s);
        struct client *p = join(w, 5, "p");
        for (unsigned i = 0; i < 20; i++) {
            snprintf(text, sizeof text, "%u", i);
            publish(p, "t", text, .qos = (uint8_t)(1 + i % 2), .user = "k=v");
        }
        come_back(w, end);
        s = rejoin(w, 5, "s", .expiry_s = FOREVER);
        for (unsigned i = 0; i < 20; i++) {
            snprintf(text, sizeof text, "%u", i);
            take(s, "t", text, (uint8_t)(1 + i % 2));
        }
        expect_quiet(s);
        bye_for(s, 0, 0);
    }
}

static void
what_was_acknowledged_does_not_come_again(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "t", .qos = 2);
    vanish(s);
    publish(join(w, 5, "p"), "t", "1", .qos = 1);
    publish(join(w, 5, "p"), "t", "2", .qos = 2);
    publish(join(w, 5, "p"), "t", "3", .qos = 2);
    come_back(w, KILLED);
    s = rejoin(w, 5, "s", .expiry_s = FOREVER);
    take(s, "t", "1", 1);
    take(s, "t", "2", 2);
    take(s, "t", "3", 2);
    for (enum end end = STOPPED; end < ENDS; end++) {
        come_back(w, end);
        expect_quiet(rejoin(w, 5, "s", .expiry_s = FOREVER));
    }
}

static void
a_message_in_flight_is_sent_again_as_it_was(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "t", .qos = 2);
    publish(join(w, 5, "p"), "t", "1", .qos = 1);
    publish(join(w, 5, "p"), "t", "2", .qos = 2);
    uint16_t first = hear(s, "t", "1", 1).publish.packet_id;
    uint16_t second = hear(s, "t", "2", 2).publish.packet_id;
    for (enum end end = STOPPED; end < ENDS; end++) {
        come_back(w, end);
        s = rejoin(w, 5, "s", .expiry_s = FOREVER);
        struct packet p = hear(s, "t", "1", 1);
        claim_equal(p.publish.packet_id, first);
        claim(p.publish.dup);
        p = hear(s, "t", "2", 2);
        claim_equal(p.publish.packet_id, second);
        claim(p.publish.dup);
    }
    answer(s, PACKET_PUBACK, first, 0);
    answer(s, PACKET_PUBREC, second, 0);
    expect_ack(s, PACKET_PUBREL, second, 0);
    for (enum end end = STOPPED; end < ENDS; end++) {
        come_back(w, end);
        s = rejoin(w, 5, "s", .expiry_s = FOREVER);
        expect_ack(s, PACKET_PUBREL, second, 0);
        expect_quiet(s);
    }
    answer(s, PACKET_PUBCOMP, second, 0);
    come_back(w, KILLED);
    expect_quiet(rejoin(w, 5, "s", .expiry_s = FOREVER));
}

static void
a_received_identifier_is_known_until_it_is_released(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "t", .qos = 2);
    struct client *p = join(w, 5, "p", .expiry_s = FOREVER);
    say(p, "t", "once", .qos = 2, .id = 9);
    expect_ack(p, PACKET_PUBREC, 9, 0);
    take(s, "t", "once", 2);
    for (enum end end = STOPPED; end < ENDS; end++) {
        come_back(w, end);
        s = rejoin(w, 5, "s", .expiry_s = FOREVER);
        p = rejoin(w, 5, "p", .expiry_s = FOREVER);
        say(p, "t", "once", .qos = 2, .id = 9, .dup = true);
        expect_ack(p, PACKET_PUBREC, 9, 0);
        expect_quiet(s);
    }
    answer(p, PACKET_PUBREL, 9, 0);
    expect_ack(p, PACKET_PUBCOMP, 9, 0);
    come_back(w, KILLED);
    s = rejoin(w, 5, "s", .expiry_s = FOREVER);
    p = rejoin(w, 5, "p", .expiry_s = FOREVER);
    say(p, "t", "once", .qos = 2, .id = 9);
    expect_ack(p, PACKET_PUBREC, 9, 0);
    take(s, "t", "once", 2);
}

static void
a_message_expires_while_the_broker_is_down(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "t", .qos = 1);
    vanish(s);
    publish(join(w, 5, "p"), "t", "short", .qos = 1, .expiry_s = 10);
    publish(join(w, 5, "p"), "t", "long", .qos = 1, .expiry_s = 100);
    world_settle(w);
    world_kill(w);
    pass_seconds(w, 20);
    world_start(w, w->broker->shard_count);
    s = rejoin(w, 5, "s", .expiry_s = FOREVER);
    struct packet p = hear(s, "t", "long", 1);
    claim_equal(p.publish.properties.message_expiry_s, 80);
}

static void
pages_of_a_queue_come_back_in_order(struct world *w)
{
    char text[16];
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "t", .qos = 2);
    vanish(s);
    struct client *p = join(w, 5, "p");
    for (unsigned i = 0; i < 300; i++) {
        snprintf(text, sizeof text, "%u.", i);
        publish(p, "t", text, .qos = (uint8_t)(1 + i % 2), .payload_size = 1000);
    }
    claim(WORLD_COUNT(w, paged_messages) > 100);
    unsigned next = 0;
    for (enum end end = STOPPED; end < ENDS; end++) {
        come_back(w, end);
        claim_equal(WORLD_COUNT(w, queued_messages) + WORLD_COUNT(w, inflight_messages), 300 - next);
        s = rejoin(w, 5, "s", .expiry_s = FOREVER);
        for (unsigned i = 0; i < 80; i++, next++) {
            struct packet heard = expect(s, PACKET_PUBLISH);
            snprintf(text, sizeof text, "%u.", next);
            if (memcmp(heard.publish.payload.data, text, strlen(text)) != 0) {
                complain("%s expected; got %s", text, describe(&heard));
            }
            answer(s, heard.publish.qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, heard.publish.packet_id, 0);
            if (heard.publish.qos == 2) {
                pluck_ack_(s, PACKET_PUBREL, heard.publish.packet_id, 0);
                answer(s, PACKET_PUBCOMP, heard.publish.packet_id, 0);
            }
        }
        vanish(s);
    }
}

/* ------------------------------------------------------------------------------------------------------------------------ retained */
static void
retained_messages_are_as_they_were_left(struct world *w)
{
    struct client *p = join(w, 5, "p");
    publish(p, "kept/1", "first", .qos = 0, .retain = true);
    publish(p, "kept/2", "old", .qos = 1, .retain = true);
    publish(p, "kept/2", "new", .qos = 2, .retain = true, .content_type = "text");
    publish(p, "kept/3", "away", .qos = 1, .retain = true);
    publish(p, "kept/3", "", .qos = 1, .retain = true);
    for (enum end end = STOPPED; end < ENDS; end++) {
        come_back(w, end);
        struct client *s = join(w, 5, "s");
        subscribe(s, "kept/1", .qos = 2);
        claim(hear(s, "kept/1", "first", 0).publish.retain);
        subscribe(s, "kept/2", .qos = 2);
        struct packet heard = hear(s, "kept/2", "new", 2);
        claim_text(heard.publish.properties.content_type, "text");
        subscribe(s, "kept/3", .qos = 2);
        expect_quiet(s);
        vanish(s);
        claim_equal(WORLD_COUNT(w, retained_messages), 2);
    }
}

static void
a_newer_retained_message_takes_the_place_of_one_from_before(struct world *w)
{
    publish(join(w, 5, "p"), "kept", "old", .qos = 1, .retain = true);
    come_back(w, KILLED);
    publish(join(w, 5, "p"), "kept", "new", .qos = 1, .retain = true);
    come_back(w, CRASHED);
    struct client *s = join(w, 5, "s");
    subscribe(s, "kept", .qos = 1);
    take(s, "kept", "new", 1);
    publish(join(w, 5, "p"), "kept", "", .qos = 1, .retain = true);
    take(s, "kept", "", 1);
    come_back(w, CRASHED);
    s = join(w, 5, "s");
    subscribe(s, "kept", .qos = 1);
    expect_quiet(s);
}

/* --------------------------------------------------------------------------------------------------------------------------- wills */
static void
the_will_of_who_was_connected_at_the_crash_is_published(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "will", .qos = 1);
    join(w, 5, "dies", .expiry_s = 100, .will_topic = "will", .will_payload = "dead", .will_qos = 1);
    join(w, 5, "delays", .expiry_s = 100, .will_topic = "will", .will_payload = "later", .will_qos = 1, .will_delay_s = 10);
    come_back(w, CRASHED);
    s = rejoin(w, 5, "s", .expiry_s = FOREVER);
    take(s, "will", "dead", 1);
    expect_quiet(s);
    pass_seconds(w, 11);
    take(s, "will", "later", 1);
    expect_quiet(s);
}

static void
a_will_that_waits_goes_on_waiting(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "will", .qos = 1);
    vanish(join(w, 5, "dies", .expiry_s = 100, .will_topic = "will", .will_payload = "dead", .will_qos = 1, .will_delay_s = 20));
    pass_seconds(w, 5);
    come_back(w, KILLED);
    pass_seconds(w, 5);
    come_back(w, CRASHED);
    s = rejoin(w, 5, "s", .expiry_s = FOREVER);
    pass_seconds(w, 5);
    expect_quiet(s);
    pass_seconds(w, 6);
    take(s, "will", "dead", 1);
    come_back(w, KILLED);
    expect_quiet(rejoin(w, 5, "s", .expiry_s = FOREVER));
}

static void
a_broker_that_is_stopped_publishes_no_wills(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "will", .qos = 1);
    join(w, 5, "lives", .expiry_s = 100, .will_topic = "will", .will_payload = "dead", .will_qos = 1);
    come_back(w, STOPPED);
    pass_seconds(w, 200);
    expect_quiet(rejoin(w, 5, "s", .expiry_s = FOREVER));
}

/* -------------------------------------------------------------------------------------------------------------------------- shared */
static void
a_group_goes_on_and_what_it_holds_can_go_to_others(struct world *w)
{
    struct client *a = join(w, 5, "a", .expiry_s = FOREVER);
    struct client *b = join(w, 5, "b", .expiry_s = FOREVER);
    subscribe(a, "$share/g/t", .qos = 1);
    subscribe(b, "$share/g/t", .qos = 1);
    vanish(a);
    vanish(b);
    for (unsigned i = 0; i < 4; i++) {
        publish(join(w, 5, "p"), "t", "x", .qos = 1);
    }
    come_back(w, KILLED);
    claim_equal(WORLD_COUNT(w, shared_subscriptions), 2);
    claim_equal(WORLD_COUNT(w, queued_messages), 4);
    a = rejoin(w, 5, "a", .expiry_s = FOREVER);
    for (unsigned i = 0; i < 4; i++) {
        take(a, "t", "x", 1);
    }
    come_back(w, CRASHED);
    b = rejoin(w, 5, "b", .expiry_s = FOREVER);
    expect_quiet(b);
    publish(join(w, 5, "p"), "t", "y", .qos = 1);
    take(b, "t", "y", 1);
}

/* ------------------------------------------------------------------------------------------------------------- another number of shards */
/* It was kept when it was given them; now it ends with its connection, and so at the crash. */
static void
what_a_group_gave_to_a_session_that_ends_at_the_crash_goes_to_others(struct world *w)
{
    for (enum end end = STOPPED; end < ENDS; end++) {
        struct client *a = join(w, 5, "a", .expiry_s = FOREVER);
        subscribe(a, "$share/g/t", .qos = 1);
        vanish(a);
        publish(join(w, 5, "p"), "t", "1", .qos = 1);
        a = rejoin(w, 5, "a", .expiry_s = 0);
        hear(a, "t", "1", 1);
        struct client *b = join(w, 5, "b", .expiry_s = FOREVER);
        subscribe(b, "$share/g/t", .qos = 1);
        come_back(w, end);
        claim_equal(WORLD_COUNT(w, sessions), 1);
        b = rejoin(w, 5, "b", .expiry_s = FOREVER);
        take(b, "t", "1", 1);
        expect_quiet(b);
        bye_for(b, 0, 0);
    }
}

static void
another_number_of_shards_makes_no_difference(struct world *w)
{
    const unsigned counts[] = {2, 8, 3, 1};
    char name[16];
    for (unsigned i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "s%u", i);
        struct client *s = join(w, 5, name, .expiry_s = FOREVER);
        subscribe(s, "t", .qos = 1);
        subscribe(s, name, .qos = 1);
        vanish(s);
    }
    publish(join(w, 5, "p"), "kept", "r", .qos = 1, .retain = true);
    for (unsigned round = 0; round < sizeof counts / sizeof counts[0]; round++) {
        publish(join(w, 5, "p"), "t", "all", .qos = 1);
        come_back_on(w, (enum end)(round % ENDS), counts[round]);
        for (unsigned i = 0; i < 6; i++) {
            snprintf(name, sizeof name, "s%u", i);
            struct client *s = rejoin(w, 5, name, .expiry_s = FOREVER);
            take(s, "t", "all", 1);
            publish(join(w, 5, "p"), name, "one", .qos = 1);
            take(s, name, "one", 1);
            vanish(s);
        }
        struct client *s = join(w, 5, "new");
        subscribe(s, "kept", .qos = 1);
        take(s, "kept", "r", 1);
        vanish(s);
    }
}

static const struct dialogue dialogues[] = {
    TELL_WITH(a_session_and_its_subscriptions_are_there_again, KEEPS),
    TELL_WITH(the_options_of_subscriptions_are_the_same, KEEPS),
    TELL_WITH(what_ends_with_its_connection_is_gone, KEEPS),
    TELL_WITH(a_session_expires_while_the_broker_is_down, KEEPS),
    TELL_WITH(time_of_absence_goes_on_over_a_restart, KEEPS),
    TELL_WITH(who_was_connected_at_the_crash_is_absent_since_then, KEEPS),
    TELL_WITH(a_new_session_takes_the_place_of_an_old_one, KEEPS),
    TELL_WITH(messages_in_a_queue_come_in_their_order, KEEPS),
    TELL_WITH(what_was_acknowledged_does_not_come_again, KEEPS),
    TELL_WITH(a_message_in_flight_is_sent_again_as_it_was, KEEPS),
    TELL_WITH(a_received_identifier_is_known_until_it_is_released, KEEPS),
    TELL_WITH(a_message_expires_while_the_broker_is_down, KEEPS),
    TELL_WITH(pages_of_a_queue_come_back_in_order, KEEPS "\nqueue_memory_limit 65536\nmax_queued_messages 0\nmax_inflight_messages 10"),
    TELL_WITH(retained_messages_are_as_they_were_left, KEEPS),
    TELL_WITH(a_newer_retained_message_takes_the_place_of_one_from_before, KEEPS),
    TELL_WITH(the_will_of_who_was_connected_at_the_crash_is_published, KEEPS),
    TELL_WITH(a_will_that_waits_goes_on_waiting, KEEPS),
    TELL_WITH(a_broker_that_is_stopped_publishes_no_wills, KEEPS),
    TELL_WITH(a_group_goes_on_and_what_it_holds_can_go_to_others, KEEPS),
    TELL_WITH(what_a_group_gave_to_a_session_that_ends_at_the_crash_goes_to_others, KEEPS),
    TELL_WITH(another_number_of_shards_makes_no_difference, KEEPS),
};

DIALOGUES(dialogues)
