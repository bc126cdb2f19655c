/* Shared subscriptions: one member of the group gets each message, and no message is lost when members come and go. */
#include "test/dialogue/dialogue.h"

static struct client *
publisher(struct world *w)
{
    return join(w, 5, id_at(w, w->broker->shard_count - 1, 15));
}

/* Member `i`, at home on shard i modulo shards. */
static const char *
member_id(struct world *w, unsigned i)
{
    return id_at(w, i % w->broker->shard_count, i / w->broker->shard_count);
}

/* Hears and acknowledges all PUBLISHes that have come; counts each by the number in its payload. Returns how many. */
static unsigned
drain(struct client *c, unsigned *seen)
{
    unsigned count = 0;
    struct packet got;
    while (listen_for(c, &got)) {
        if (got.type == PACKET_PUBREL) {
            answer(c, PACKET_PUBCOMP, got.ack.packet_id, 0);
            continue;
        }
        if (got.type != PACKET_PUBLISH) {
            complain("PUBLISH expected; got %s", describe(&got));
        }
        char text[16];
        snprintf(text, sizeof text, "%.*s", (int)got.publish.payload.size, got.publish.payload.data);
        seen[atoi(text)]++;
        count++;
        if (got.publish.qos > 0) {
            answer(c, got.publish.qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, got.publish.packet_id, 0);
        }
    }
    return count;
}

/* Publishes messages "first" to "end - 1". */
static void
publish_numbers(struct client *p, const char *topic, int first, int end, uint8_t qos)
{
    for (int i = first; i < end; i++) {
        char text[16];
        snprintf(text, sizeof text, "%d", i);
        publish(p, topic, text, .qos = qos);
    }
}

/* MQTT5 4.8.2: each message to one member, and everyone gets a fair share. */
static void
members_share_the_messages_fairly(struct world *w)
{
    for (uint8_t qos = 0; qos <= 2; qos++) {
        enum { MEMBERS = 6, MESSAGES = 600 };
        struct client *m[MEMBERS], *p = publisher(w);
        unsigned seen[MESSAGES] = {0};
        for (unsigned i = 0; i < MEMBERS; i++) {
            m[i] = join(w, (uint8_t)(i % 2 ? 4 : 5), member_id(w, i));
            claim_equal(subscribe(m[i], "$share/g/a/+", .qos = 2), 2);
        }
        for (int i = 0; i < MESSAGES; i += 60) { /* so few at a time that no window is full */
            publish_numbers(p, "a/b", i, i + 60, qos);
            for (unsigned k = 0; k < MEMBERS; k++) {
                unsigned share = drain(m[k], seen);
                claim(share >= 3 && share <= 30); /* 10 on the average */
            }
        }
        for (int i = 0; i < MESSAGES; i++) {
            claim_equal(seen[i], 1);
        }
        for (unsigned i = 0; i < MEMBERS; i++) {
            bye(m[i], 0);
        }
    }
}

/* Each group and every ordinary subscriber gets its own copy. MQTT5 4.8.2. */
static void
each_group_gets_its_own_copy(struct world *w)
{
    struct client *p = publisher(w), *g1 = join(w, 5, member_id(w, 0)), *g2 = join(w, 5, member_id(w, 1)), *other = join(w, 5, member_id(w, 2)),
                  *plain = join(w, 5, member_id(w, 3));
    subscribe(g1, "$share/g/a", .qos = 1);
    subscribe(g2, "$share/h/a", .qos = 1);
    subscribe(other, "$share/g/+", .qos = 1); /* the same name, another filter: another group */
    subscribe(plain, "a", .qos = 1);
    for (int i = 0; i < 5; i++) {
        publish(p, "a", "x", .qos = 1);
        take(g1, "a", "x", 1);
        take(g2, "a", "x", 1);
        take(other, "a", "x", 1);
        take(plain, "a", "x", 1);
    }
    expect_quiet(g1);
    expect_quiet(other);
}

/* MQTT5 4.8.2: no retained messages when a shared subscription begins. */
static void
retained_messages_are_not_shared(struct world *w)
{
    struct client *p = publisher(w), *m = join(w, 5, member_id(w, 0)), *old = join(w, 4, member_id(w, 1));
    publish(p, "a", "kept", .retain = true);
    subscribe(m, "$share/g/a");
    subscribe(m, "$share/g/#");
    subscribe(m, "$share/g/a");
    subscribe(old, "$share/g/a");
    expect_quiet(m);
    expect_quiet(old);
}

/* MQTT5 [MQTT-3.8.3-4]. */
static void
no_local_on_a_shared_subscription_is_a_protocol_error(struct world *w)
{
    struct client *m = join(w, 5, "m");
    ask(m, "$share/g/a", .no_local = true);
    expect_disconnect(m, REASON_PROTOCOL_ERROR);
}

/* MQTT5 [MQTT-4.8.2-3]: each member with the QoS that it was granted, and its own identifier. */
static void
each_member_has_its_own_qos_and_identifier(struct world *w)
{
    struct client *p = publisher(w), *m[3];
    for (unsigned i = 0; i < 3; i++) {
        m[i] = join(w, 5, member_id(w, i));
        subscribe(m[i], "$share/g/a", .qos = (uint8_t)i, .id = 100 + i);
    }
    int heard = 0;
    for (int k = 0; k < 30; k++) {
        publish(p, "a", "x", .qos = 2);
        for (unsigned i = 0; i < 3; i++) {
            struct packet got;
            if (listen_for(m[i], &got) && got.type == PACKET_PUBLISH) {
                claim_equal(got.publish.qos, i);
                claim_equal(got.publish.properties.subscription_id, 100 + i);
                heard++;
            }
        }
    }
    claim_equal(heard, 30);
}

/* MQTT5 [MQTT-4.5.0-1]: the only member is away, and finds its messages when it returns. */
static void
messages_wait_for_the_only_member(struct world *w)
{
    struct client *p = publisher(w), *m = join(w, 5, member_id(w, 0), .expiry_s = 100);
    subscribe(m, "$share/g/a", .qos = 2);
    vanish(m);
    publish(p, "a", "one", .qos = 1);
    publish(p, "a", "two", .qos = 2);
    m = rejoin(w, 5, member_id(w, 0), .expiry_s = 100);
    take(m, "a", "one", 1);
    take(m, "a", "two", 2);
    expect_quiet(m);
}

/* Members that are away are passed over as long as one is there. */
static void
members_that_are_away_are_passed_over(struct world *w)
{
    struct client *p = publisher(w), *m[4];
    for (unsigned i = 0; i < 4; i++) {
        m[i] = join(w, 5, member_id(w, i), .expiry_s = 100);
        subscribe(m[i], "$share/g/a", .qos = 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        vanish(m[i]);
    }
    unsigned seen[60] = {0};
    publish_numbers(p, "a", 0, 30, 0);
    publish_numbers(p, "a", 30, 60, 1);
    claim_equal(drain(m[3], seen), 60);
    m[0] = rejoin(w, 5, member_id(w, 0), .expiry_s = 100); /* and take part again when they are back */
    expect_quiet(m[0]);
    publish_numbers(p, "a", 0, 30, 1);
    claim(drain(m[0], seen) > 0);
}

/* MQTT5 4.8.2: when a session ends, another member gets what it had not acknowledged of QoS 1. */
static void
unacknowledged_qos_1_goes_to_another_member(struct world *w)
{
    struct client *p = publisher(w), *m = join(w, 5, member_id(w, 0)), *heir;
    unsigned seen[20] = {0};
    subscribe(m, "$share/g/a", .qos = 1);
    publish_numbers(p, "a", 0, 20, 1);
    for (int i = 0; i < 20; i++) {
        uint16_t id = expect(m, PACKET_PUBLISH).publish.packet_id;
        if (i < 5) {
            answer(m, PACKET_PUBACK, id, 0);
        }
    }
    heir = join(w, 5, member_id(w, 1));
    subscribe(heir, "$share/g/a", .qos = 1);
    settle(m);
    vanish(m);
    drain(heir, seen);
    for (int i = 0; i < 20; i++) {
        claim_equal(seen[i], i >= 5);
    }
}

/* The same when the session ends by itself, later, and when it ends with a clean start. */
static void
unacknowledged_qos_1_goes_to_another_member_when_the_session_expires(struct world *w)
{
    for (int clean = 0; clean < 2; clean++) {
        struct client *p = publisher(w), *m = join(w, 5, member_id(w, 0), .expiry_s = 10), *heir = join(w, 5, member_id(w, 1));
        unsigned seen[5] = {0};
        subscribe(m, "$share/g/a", .qos = 1);
        publish_numbers(p, "a", 0, 5, 1);
        for (int i = 0; i < 5; i++) {
            expect(m, PACKET_PUBLISH);
        }
        subscribe(heir, "$share/g/a", .qos = 1);
        vanish(m);
        if (clean) {
            m = join(w, 5, member_id(w, 0));
            expect_quiet(m);
        }
        pass_seconds(w, 20);
        drain(heir, seen);
        for (int i = 0; i < 5; i++) {
            claim_equal(seen[i], 1);
        }
    }
}

/* What was queued behind the window and never sent goes to others too. */
static void
queued_messages_go_to_another_member(struct world *w)
{
    struct client *p = publisher(w), *m = join(w, 5, member_id(w, 0), .receive_maximum = 3), *heir = join(w, 5, member_id(w, 1));
    unsigned seen[20] = {0};
    subscribe(m, "$share/g/a", .qos = 1);
    publish_numbers(p, "a", 0, 20, 1);
    settle(m);
    subscribe(heir, "$share/g/a", .qos = 1);
    vanish(m);
    drain(heir, seen);
    for (int i = 0; i < 20; i++) {
        claim_equal(seen[i], 1);
    }
}

/* And when it unsubscribes: nothing new for it, and what was queued is for others or for it, but not lost. */
static void
nothing_is_lost_when_a_member_unsubscribes(struct world *w)
{
    struct client *p = publisher(w), *m = join(w, 5, member_id(w, 0), .receive_maximum = 3), *heir = join(w, 5, member_id(w, 1));
    unsigned seen[40] = {0};
    subscribe(m, "$share/g/a", .qos = 1);
    publish_numbers(p, "a", 0, 20, 1);
    subscribe(heir, "$share/g/a", .qos = 1);
    ask_unsubscribe(m, "$share/g/a", 9);
    settle(m);
    publish_numbers(p, "a", 20, 40, 1);
    struct packet got;
    while (listen_for(m, &got)) {
        if (got.type == PACKET_PUBLISH) {
            char text[16];
            snprintf(text, sizeof text, "%.*s", (int)got.publish.payload.size, got.publish.payload.data);
            claim(atoi(text) < 20);
            seen[atoi(text)]++;
            answer(m, PACKET_PUBACK, got.publish.packet_id, 0);
        }
    }
    drain(heir, seen);
    for (int i = 0; i < 40; i++) {
        claim_equal(seen[i], 1);
    }
}

/* MQTT5 [MQTT-4.8.2-4]: a QoS 2 message that was sent is completed with that member when it is back. */
static void
qos_2_is_completed_with_the_same_member(struct world *w)
{
    struct client *p = publisher(w), *m = join(w, 5, member_id(w, 0), .expiry_s = 100), *other = join(w, 5, member_id(w, 1));
    subscribe(m, "$share/g/a", .qos = 2);
    publish(p, "a", "one", .qos = 2);
    publish(p, "a", "two", .qos = 2);
    uint16_t one = hear(m, "a", "one", 2).publish.packet_id, two = hear(m, "a", "two", 2).publish.packet_id;
    answer(m, PACKET_PUBREC, one, 0);
    subscribe(other, "$share/g/a", .qos = 2);
    vanish(m);
    pass_seconds(w, 50);
    expect_quiet(other);
    m = rejoin(w, 5, member_id(w, 0), .expiry_s = 100);
    take_in(m);
    pluck_ack_(m, PACKET_PUBREL, one, 0);
    struct packet got = hear(m, "a", "two", 2);
    claim_equal(got.publish.packet_id, two);
    claim(got.publish.dup);
}

/* MQTT5 [MQTT-4.8.2-5]: and goes to nobody else if that session ends. */
static void
qos_2_is_not_handed_over(struct world *w)
{
    struct client *p = publisher(w), *m = join(w, 5, member_id(w, 0)), *other = join(w, 5, member_id(w, 1));
    subscribe(m, "$share/g/a", .qos = 2);
    publish(p, "a", "one", .qos = 2);
    publish(p, "a", "two", .qos = 2);
    answer(m, PACKET_PUBREC, hear(m, "a", "one", 2).publish.packet_id, 0);
    hear(m, "a", "two", 2);
    subscribe(other, "$share/g/a", .qos = 2);
    vanish(m);
    pass_seconds(w, 10);
    expect_quiet(other);
}

/* MQTT5 [MQTT-4.8.2-6]: a message that a member refuses is discarded. */
static void
a_refused_message_goes_to_nobody_else(struct world *w)
{
    struct client *p = publisher(w), *m = join(w, 5, member_id(w, 0)), *other = join(w, 5, member_id(w, 1));
    subscribe(m, "$share/g/a", .qos = 2);
    publish(p, "a", "one", .qos = 1);
    publish(p, "a", "two", .qos = 2);
    uint16_t one = hear(m, "a", "one", 1).publish.packet_id, two = hear(m, "a", "two", 2).publish.packet_id;
    subscribe(other, "$share/g/a", .qos = 2);
    answer(m, PACKET_PUBACK, one, REASON_UNSPECIFIED_ERROR);
    answer(m, PACKET_PUBREC, two, REASON_UNSPECIFIED_ERROR);
    settle(m);
    vanish(m);
    pass_seconds(w, 10);
    expect_quiet(other);
}

/* MQTT5 3.10.4: the group ends with its last member, and can begin again. */
static void
a_group_ends_with_its_last_member(struct world *w)
{
    struct client *p = publisher(w), *m[3];
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 3; i++) {
            m[i] = join(w, 5, member_id(w, i));
            subscribe(m[i], "$share/g/a/#", .qos = 1);
        }
        claim_equal(WORLD_COUNT(w, shared_subscriptions), 3);
        for (unsigned i = 0; i < 3; i++) {
            claim_equal(unsubscribe(m[i], "$share/g/a/#"), 0);
            claim_equal(unsubscribe(m[i], "$share/g/a/#"), REASON_NO_SUBSCRIPTION_EXISTED);
            claim_equal(unsubscribe(m[i], "a/#"), REASON_NO_SUBSCRIPTION_EXISTED);
        }
        publish(p, "a/b", "x", .qos = 1);
        for (unsigned i = 0; i < 3; i++) {
            expect_quiet(m[i]);
        }
        claim_equal(WORLD_COUNT(w, shared_subscriptions), 0);
    }
}

/* A member that subscribes again replaces its subscription and stays one member. */
static void
a_member_that_subscribes_again_is_still_one(struct world *w)
{
    struct client *p = publisher(w), *m = join(w, 5, member_id(w, 0)), *other = join(w, 5, member_id(w, 1));
    subscribe(other, "$share/g/a", .qos = 1);
    for (int i = 0; i < 10; i++) {
        claim_equal(subscribe(m, "$share/g/a", .qos = 1, .id = 7), 1);
    }
    unsigned seen[100] = {0};
    publish_numbers(p, "a", 0, 100, 1);
    unsigned share = drain(m, seen);
    claim(share >= 25 && share <= 75);
    claim_equal(drain(other, seen), 100 - share);
    claim_equal(WORLD_COUNT(w, shared_subscriptions), 2);
}

/* MQTT5 [MQTT-4.7.2-1] inside a share too. */
static void
a_shared_wildcard_does_not_match_dollar_topics(struct world *w)
{
    struct client *m = join(w, 5, "m"), *sys = join(w, 5, "sys");
    subscribe(m, "$share/g/#");
    subscribe(sys, "$share/g/$SYS/broker/version");
    pass_seconds(w, 3);
    expect_quiet(m);
    hear(sys, "$SYS/broker/version", NULL, 0);
}

/* A slow member's full queue does not lose what others could take. */
static void
a_member_with_a_full_queue_is_passed_over(struct world *w)
{
    struct client *p = publisher(w), *slow = join(w, 5, member_id(w, 0), .receive_maximum = 1), *quick = join(w, 5, member_id(w, 1));
    unsigned seen[400] = {0};
    subscribe(slow, "$share/g/a", .qos = 1);
    subscribe(quick, "$share/g/a", .qos = 1);
    for (int i = 0; i < 400; i += 20) {
        publish_numbers(p, "a", i, i + 20, 1);
        drain(quick, seen);
    }
    drain(slow, seen);
    drain(quick, seen);
    for (int i = 0; i < 400; i++) {
        claim_equal(seen[i], 1);
    }
}

/* Members come, go, return and unsubscribe all the time; with one that stays, every QoS 1 message reaches somebody. */
static void
no_message_is_lost_while_members_come_and_go(struct world *w)
{
    enum { MEMBERS = 9, ROUNDS = 120, EACH = 5 };
    static unsigned seen[ROUNDS * EACH];
    memset(seen, 0, sizeof seen);
    struct client *m[MEMBERS] = {NULL}, *p = publisher(w), *stays = join(w, 5, id_at(w, 0, 14));
    subscribe(stays, "$share/g/a", .qos = 1);
    for (int round = 0; round < ROUNDS; round++) {
        unsigned i = (unsigned)(sim_random(w->sim) % MEMBERS);
        switch (m[i] ? sim_random(w->sim) % 4 : 4) {
        case 0:
            vanish(m[i]);
            m[i] = NULL;
            break;
        case 1:
            ask_unsubscribe(m[i], "$share/g/a", 3);
            break;
        case 2:
            drain(stays, seen);
            break;
        case 3:
            ask(m[i], "$share/g/a", .qos = 1);
            break;
        default:
            m[i] = knock(w, 5, member_id(w, i), .resume = sim_random(w->sim) % 2, .expiry_s = sim_random(w->sim) % 2 ? 20 : 0);
            ask(m[i], "$share/g/a", .qos = 1);
            break;
        }
        for (int k = 0; k < EACH; k++) {
            char text[16];
            snprintf(text, sizeof text, "%d", round * EACH + k);
            say(p, "a", text, .qos = 1, .id = (uint16_t)(round * EACH + k + 1));
        }
        if (round % 7 == 0) {
            pass_seconds(w, 3);
        }
    }
    for (unsigned i = 0; i < MEMBERS; i++) { /* nobody but the one who stays has acknowledged anything */
        if (m[i]) {
            vanish(m[i]);
        }
    }
    for (int i = 0; i < 10; i++) {
        pass_seconds(w, 30);
        drain(stays, seen);
    }
    for (int i = 0; i < ROUNDS * EACH; i++) {
        if (seen[i] != 1) {
            complain("message %d came %u times", i, seen[i]);
        }
    }
}

static const struct dialogue dialogues[] = {
    TELL(members_share_the_messages_fairly),
    TELL(each_group_gets_its_own_copy),
    TELL(retained_messages_are_not_shared),
    TELL(no_local_on_a_shared_subscription_is_a_protocol_error),
    TELL(each_member_has_its_own_qos_and_identifier),
    TELL(messages_wait_for_the_only_member),
    TELL(members_that_are_away_are_passed_over),
    TELL(unacknowledged_qos_1_goes_to_another_member),
    TELL(unacknowledged_qos_1_goes_to_another_member_when_the_session_expires),
    TELL(queued_messages_go_to_another_member),
    TELL(nothing_is_lost_when_a_member_unsubscribes),
    TELL(qos_2_is_completed_with_the_same_member),
    TELL(qos_2_is_not_handed_over),
    TELL(a_refused_message_goes_to_nobody_else),
    TELL(a_group_ends_with_its_last_member),
    TELL(a_member_that_subscribes_again_is_still_one),
    TELL_WITH(a_shared_wildcard_does_not_match_dollar_topics, "sys_interval 1"),
    TELL_WITH(a_member_with_a_full_queue_is_passed_over, "max_queued_messages 50"),
    TELL(no_message_is_lost_while_members_come_and_go),
};

DIALOGUES(dialogues)
