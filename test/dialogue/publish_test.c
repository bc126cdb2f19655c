/* Publishing: the three exchanges in both directions, what is resent and when, what travels with a message, and what ends a connection. */
#include "test/dialogue/dialogue.h"

/* ----------------------------------------------------------------------------------------------------------------- exchanges towards the broker */

/* MQTT5 [MQTT-3.3.4-1] [MQTT-4.3.2-4]: QoS 1 is answered with PUBACK of the same identifier. MQTT3 [MQTT-4.3.2-2]. */
static void
a_qos_1_publish_is_answered_with_puback(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *p = join(w, version, "p");
        say(p, "a", "x", .qos = 1, .id = 65535);
        expect_ack(p, PACKET_PUBACK, 65535, 0);
        expect_quiet(p);
    }
}

/* MQTT5 [MQTT-4.3.3-8] [MQTT-4.3.3-11]: PUBREC for the PUBLISH, PUBCOMP for the PUBREL. MQTT3 [MQTT-4.3.3-2]. */
static void
a_qos_2_publish_is_answered_with_pubrec_and_pubcomp(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *p = join(w, version, "p");
        say(p, "a", "x", .qos = 2, .id = 300);
        expect_ack(p, PACKET_PUBREC, 300, 0);
        expect_quiet(p);
        answer(p, PACKET_PUBREL, 300, 0);
        expect_ack(p, PACKET_PUBCOMP, 300, 0);
        expect_quiet(p);
    }
}

/* MQTT5 [MQTT-3.3.4-1]: QoS 0 has no answer. */
static void
a_qos_0_publish_has_no_answer(struct world *w)
{
    struct client *p = join(w, 5, "p");
    say(p, "a", "x");
    expect_quiet(p);
}

/* MQTT5 4.6 (non-normative for servers): acknowledgements come in the order of the PUBLISHes. */
static void
acks_come_in_the_order_of_the_publishes(struct world *w)
{
    struct client *p = join(w, 5, "p");
    for (uint16_t id = 1; id <= 50; id++) {
        say(p, "a", "x", .qos = 1, .id = id);
    }
    for (uint16_t id = 1; id <= 50; id++) {
        expect_ack(p, PACKET_PUBACK, id, 0);
    }
}

/* MQTT5 [MQTT-4.3.2-5]: after its PUBACK an identifier belongs to a new publication, whatever DUP says. */
static void
a_qos_1_identifier_is_free_after_puback(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 1);
    publish(p, "a", "one", .qos = 1, .id = 1);
    publish(p, "a", "two", .qos = 1, .id = 1, .dup = true);
    take(s, "a", "one", 1);
    take(s, "a", "two", 1);
}

/* MQTT5 [MQTT-4.3.3-10]: a repeated QoS 2 PUBLISH is answered with PUBREC again, and not delivered again. MQTT3 [MQTT-4.3.3-2]. */
static void
a_repeated_qos_2_publish_is_not_routed_twice(struct world *w)
{
    for (uint8_t version = 4; version <= 5; version++) {
        struct client *s = join(w, 5, id_at(w, 0, 0)), *p = join(w, version, id_at(w, w->broker->shard_count - 1, 1));
        subscribe(s, "a", .qos = 2);
        say(p, "a", "x", .qos = 2, .id = 9);
        expect_ack(p, PACKET_PUBREC, 9, 0);
        say(p, "a", "x", .qos = 2, .id = 9, .dup = true);
        expect_ack(p, PACKET_PUBREC, 9, 0);
        say(p, "a", "x", .qos = 2, .id = 9);
        expect_ack(p, PACKET_PUBREC, 9, 0);
        answer(p, PACKET_PUBREL, 9, 0);
        expect_ack(p, PACKET_PUBCOMP, 9, 0);
        take(s, "a", "x", 2);
        expect_quiet(s);
    }
}

/* MQTT5 4.1: QoS 2 messages received and not completely acknowledged are session state. */
static void
a_qos_2_publish_repeated_after_resume_is_not_routed_twice(struct world *w)
{
    for (uint8_t version = 4; version <= 5; version++) {
        struct client *s = join(w, 5, "s"), *p = join(w, version, "p", .resume = true, .expiry_s = 100);
        subscribe(s, "a", .qos = 2);
        say(p, "a", "x", .qos = 2, .id = 9);
        settle(p);
        vanish(p);
        p = rejoin(w, version, "p", .expiry_s = 100);
        say(p, "a", "x", .qos = 2, .id = 9, .dup = true);
        expect_ack(p, PACKET_PUBREC, 9, 0);
        answer(p, PACKET_PUBREL, 9, 0);
        expect_ack(p, PACKET_PUBCOMP, 9, 0);
        take(s, "a", "x", 2);
        expect_quiet(s);
        bye(p, 0);
        join(w, version, "p"); /* the other version finds nothing */
    }
}

/* MQTT5 [MQTT-4.3.3-12]: after PUBCOMP the identifier belongs to a new publication. */
static void
a_qos_2_identifier_is_free_after_pubcomp(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 2);
    publish(p, "a", "one", .qos = 2, .id = 9);
    publish(p, "a", "two", .qos = 2, .id = 9, .dup = true);
    take(s, "a", "one", 2);
    take(s, "a", "two", 2);
}

/* MQTT5 [MQTT-4.1.0-2]: with the session its QoS 2 identifiers end. */
static void
a_new_session_knows_no_qos_2_identifier(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p", .expiry_s = 100);
    subscribe(s, "a", .qos = 2);
    say(p, "a", "one", .qos = 2, .id = 9);
    settle(p);
    vanish(p);
    p = join(w, 5, "p", .expiry_s = 100); /* Clean Start */
    publish(p, "a", "two", .qos = 2, .id = 9, .dup = true);
    take(s, "a", "one", 2);
    take(s, "a", "two", 2);
}

/* MQTT5 3.7.2.1: PUBCOMP 0x92 for an identifier without exchange; it is not an error during recovery. MQTT3 [MQTT-4.3.3-2] has no code. */
static void
pubrel_of_an_unknown_identifier_gets_pubcomp(struct world *w)
{
    struct client *p = join(w, 5, "p"), *old = join(w, 4, "old");
    answer(p, PACKET_PUBREL, 77, 0);
    expect_ack(p, PACKET_PUBCOMP, 77, REASON_PACKET_IDENTIFIER_NOT_FOUND);
    answer(old, PACKET_PUBREL, 77, 0);
    expect_ack(old, PACKET_PUBCOMP, 77, 0);
    ping(p);
    ping(old);
}

/* MQTT5 [MQTT-4.3.3-13]: the exchange goes on although the message has expired. */
static void
a_qos_2_exchange_ends_although_the_message_has_expired(struct world *w)
{
    struct client *p = join(w, 5, "p");
    say(p, "a", "x", .qos = 2, .id = 9, .expiry_s = 1);
    expect_ack(p, PACKET_PUBREC, 9, 0);
    pass_seconds(w, 10);
    answer(p, PACKET_PUBREL, 9, 0);
    expect_ack(p, PACKET_PUBCOMP, 9, 0);
}

/* MQTT5 3.3.4: more QoS 2 messages in flight than the server's Receive Maximum are answered with DISCONNECT 0x93. */
static void
a_client_that_exceeds_receive_maximum_is_disconnected(struct world *w)
{
    struct client *p = join(w, 5, "p");
    claim(properties_has(&greeting.connack.properties, PROPERTY_RECEIVE_MAXIMUM));
    claim_equal(greeting.connack.properties.receive_maximum, 3);
    for (uint16_t id = 1; id <= 3; id++) {
        say(p, "a", "x", .qos = 2, .id = id);
        expect_ack(p, PACKET_PUBREC, id, 0);
    }
    say(p, "a", "x", .qos = 2, .id = 3, .dup = true); /* the same one again is not one more */
    expect_ack(p, PACKET_PUBREC, 3, 0);
    say(p, "a", "x", .qos = 2, .id = 4);
    expect_disconnect(p, REASON_RECEIVE_MAXIMUM_EXCEEDED);
}

/* MQTT5 4.9: PUBCOMP gives the slot back. */
static void
a_finished_exchange_gives_its_slot_back(struct world *w)
{
    struct client *p = join(w, 5, "p");
    for (uint16_t id = 1; id <= 20; id++) {
        say(p, "a", "x", .qos = 2, .id = id);
        expect_ack(p, PACKET_PUBREC, id, 0);
        if (id > 2) {
            answer(p, PACKET_PUBREL, (uint16_t)(id - 2), 0);
            expect_ack(p, PACKET_PUBCOMP, (uint16_t)(id - 2), 0);
        }
    }
    expect_quiet(p);
}

/* ------------------------------------------------------------------------------------------------------------------ exchanges towards the client */

/* MQTT5 [MQTT-4.3.2-1] [MQTT-4.3.2-2] [MQTT-2.2.1-4]: identifiers are not zero and all different; DUP is 0 whatever came in ([MQTT-3.3.1-3]). */
static void
outgoing_identifiers_are_all_different(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    bool used[65536] = {true};
    subscribe(s, "a", .qos = 2);
    for (int i = 0; i < 90; i++) {
        publish(p, "a", "x", .qos = (uint8_t)(1 + i % 2));
    }
    for (int i = 0; i < 90; i++) {
        struct packet got = hear(s, "a", "x", (uint8_t)(1 + i % 2));
        claim(!used[got.publish.packet_id]);
        used[got.publish.packet_id] = true;
    }
}

static void
dup_is_not_passed_on(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 4, "p");
    subscribe(s, "a", .qos = 2);
    for (uint8_t qos = 1; qos <= 2; qos++) {
        say(p, "a", "x", .qos = qos, .dup = true);
        claim(!hear(s, "a", "x", qos).publish.dup);
    }
}

/* MQTT5 [MQTT-4.3.3-4] [MQTT-4.3.3-5]. */
static void
pubrec_is_answered_with_pubrel(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *s = join(w, version, "s"), *p = join(w, 5, "p");
        subscribe(s, "a", .qos = 2);
        publish(p, "a", "x", .qos = 2);
        uint16_t id = hear(s, "a", "x", 2).publish.packet_id;
        answer(s, PACKET_PUBREC, id, 0);
        expect_ack(s, PACKET_PUBREL, id, 0);
        answer(s, PACKET_PUBCOMP, id, 0);
        expect_quiet(s);
    }
}

/* MQTT5 [MQTT-4.4.0-1]: nothing is resent while the connection stands. (Versions 3 allow it, and nobody does it.) */
static void
nothing_is_resent_on_a_standing_connection(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 2);
    publish(p, "a", "one", .qos = 1);
    publish(p, "a", "two", .qos = 2);
    hear(s, "a", "one", 1);
    answer(s, PACKET_PUBREC, hear(s, "a", "two", 2).publish.packet_id, 0);
    expect(s, PACKET_PUBREL);
    pass_seconds(w, 3600);
    expect_quiet(s);
}

/* MQTT5 [MQTT-4.4.0-1] [MQTT-3.3.1-1]: after a resume with the original identifier and DUP. MQTT3 [MQTT-4.4.0-1]. */
static void
unacknowledged_publishes_are_resent_in_order_with_dup(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *s = join(w, version, "s", .resume = true, .expiry_s = 1000), *p = join(w, 5, "p");
        uint16_t ids[20];
        char text[8];
        subscribe(s, "a", .qos = 2);
        for (int i = 0; i < 20; i++) {
            snprintf(text, sizeof text, "%d", i);
            publish(p, "a", text, .qos = (uint8_t)(1 + i % 2));
            ids[i] = hear(s, "a", text, (uint8_t)(1 + i % 2)).publish.packet_id;
        }
        vanish(s);
        publish(p, "a", "later", .qos = 1);
        s = rejoin(w, version, "s", .expiry_s = 1000);
        for (int i = 0; i < 20; i++) {
            snprintf(text, sizeof text, "%d", i);
            struct packet got = hear(s, "a", text, (uint8_t)(1 + i % 2));
            claim(got.publish.dup);
            claim_equal(got.publish.packet_id, ids[i]);
        }
        claim(!hear(s, "a", "later", 1).publish.dup);
        expect_quiet(s);
        bye(s, 0);
        bye(join(w, version, "s"), 0);
    }
}

/* MQTT5 [MQTT-4.4.0-1] [MQTT-4.3.3-6]: after PUBREC it is PUBREL that is resent, and the PUBLISH no more. */
static void
an_unacknowledged_pubrel_is_resent_and_the_publish_is_not(struct world *w)
{
    for (uint8_t version = 4; version <= 5; version++) {
        struct client *s = join(w, version, "s", .resume = true, .expiry_s = 1000), *p = join(w, 5, "p");
        subscribe(s, "a", .qos = 2);
        publish(p, "a", "x", .qos = 2);
        uint16_t id = hear(s, "a", "x", 2).publish.packet_id;
        answer(s, PACKET_PUBREC, id, 0);
        expect_ack(s, PACKET_PUBREL, id, 0);
        for (int i = 0; i < 3; i++) {
            vanish(s);
            s = rejoin(w, version, "s", .expiry_s = 1000);
            expect_ack(s, PACKET_PUBREL, id, 0);
            expect_quiet(s);
        }
        answer(s, PACKET_PUBCOMP, id, 0);
        vanish(s);
        s = rejoin(w, version, "s", .expiry_s = 1000);
        expect_quiet(s);
        bye(s, 0);
        bye(join(w, version, "s"), 0);
    }
}

/* MQTT5 4.6: PUBREL and PUBLISH keep their order among themselves when resent. */
static void
pubrels_and_publishes_are_resent_each_in_order(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = 1000), *p = join(w, 5, "p");
    uint16_t ids[6];
    subscribe(s, "a", .qos = 2);
    for (int i = 0; i < 6; i++) {
        publish(p, "a", "x", .qos = 2);
        ids[i] = hear(s, "a", "x", 2).publish.packet_id;
    }
    for (int i = 0; i < 6; i += 2) {
        answer(s, PACKET_PUBREC, ids[i], 0);
        expect_ack(s, PACKET_PUBREL, ids[i], 0);
    }
    vanish(s);
    s = rejoin(w, 5, "s", .expiry_s = 1000);
    int released = 0, published = 1;
    for (int i = 0; i < 6; i++) {
        struct packet got;
        claim(listen_for(s, &got));
        if (got.type == PACKET_PUBREL) {
            claim_equal(got.ack.packet_id, ids[released]);
            released += 2;
        } else {
            claim_equal(got.type, PACKET_PUBLISH);
            claim_equal(got.publish.packet_id, ids[published]);
            claim(got.publish.dup);
            published += 2;
        }
    }
    expect_quiet(s);
}

/* MQTT5 [MQTT-4.4.0-2] [MQTT-4.3.3-9]: an error in PUBREC ends the exchange: no PUBREL, no second try. */
static void
an_error_in_pubrec_ends_the_exchange(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = 1000, .receive_maximum = 1), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 2);
    publish(p, "a", "one", .qos = 2);
    publish(p, "a", "two", .qos = 2);
    answer(s, PACKET_PUBREC, hear(s, "a", "one", 2).publish.packet_id, REASON_QUOTA_EXCEEDED);
    take(s, "a", "two", 2); /* and the slot is free, MQTT5 4.9 */
    vanish(s);
    s = rejoin(w, 5, "s", .expiry_s = 1000);
    expect_quiet(s);
}

static void
an_error_in_puback_ends_the_exchange(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = 1000, .receive_maximum = 1), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 1);
    publish(p, "a", "one", .qos = 1);
    publish(p, "a", "two", .qos = 1);
    answer(s, PACKET_PUBACK, hear(s, "a", "one", 1).publish.packet_id, REASON_UNSPECIFIED_ERROR);
    take(s, "a", "two", 1);
    vanish(s);
    s = rejoin(w, 5, "s", .expiry_s = 1000);
    expect_quiet(s);
}

/* MQTT5 3.6.2.1: PUBREL 0x92 for a PUBREC that nobody waits for. */
static void
pubrec_of_an_unknown_identifier_gets_pubrel_0x92(struct world *w)
{
    struct client *s = join(w, 5, "s");
    answer(s, PACKET_PUBREC, 4711, 0);
    expect_ack(s, PACKET_PUBREL, 4711, REASON_PACKET_IDENTIFIER_NOT_FOUND);
    ping(s);
}

/* Nothing is owed to acknowledgements of nothing; the connection survives or ends, others never notice. */
static void
acks_of_nothing_do_no_harm(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 2);
    struct client *odd = join(w, 5, "odd");
    subscribe(odd, "a", .qos = 2);
    answer(odd, PACKET_PUBACK, 1, 0);
    answer(odd, PACKET_PUBCOMP, 1, 0);
    answer(odd, PACKET_PUBACK, 65535, REASON_UNSPECIFIED_ERROR);
    expect_quiet(odd);
    publish(p, "a", "x", .qos = 2);
    uint16_t id = hear(odd, "a", "x", 2).publish.packet_id;
    answer(odd, PACKET_PUBCOMP, id, 0); /* before PUBREC */
    answer(odd, PACKET_PUBACK, id, 0);  /* of a QoS 2 message */
    settle(odd);
    vanish(odd);
    take(s, "a", "x", 2);
    expect_quiet(s);
}

/* MQTT5 [MQTT-3.3.4-9] [MQTT-4.9.0-2]. */
static void
receive_maximum_of_the_client_is_respected(struct world *w)
{
    struct client *s = join(w, 5, id_at(w, 0, 0), .receive_maximum = 2), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "a", .qos = 2);
    for (int i = 0; i < 6; i++) {
        publish(p, "a", "x", .qos = (uint8_t)(1 + i % 2));
    }
    uint16_t first = hear(s, "a", "x", 1).publish.packet_id, second = hear(s, "a", "x", 2).publish.packet_id;
    expect_quiet(s);
    ping(s); /* [MQTT-3.3.4-10] [MQTT-4.9.0-3] */
    claim_equal(subscribe(s, "b"), 0);
    answer(s, PACKET_PUBACK, first, 0);
    first = hear(s, "a", "x", 1).publish.packet_id;
    expect_quiet(s);
    answer(s, PACKET_PUBREC, second, 0); /* PUBREC without error gives nothing back, PUBREL is not held up */
    expect_ack(s, PACKET_PUBREL, second, 0);
    expect_quiet(s);
    answer(s, PACKET_PUBCOMP, second, 0);
    uint16_t third = hear(s, "a", "x", 2).publish.packet_id;
    expect_quiet(s);
    answer(s, PACKET_PUBACK, first, 0);
    answer(s, PACKET_PUBREC, third, 0);
    answer(s, PACKET_PUBCOMP, third, 0);
    hear(s, "a", "x", 1);
    expect(s, PACKET_PUBREL);
    hear(s, "a", "x", 2);
    expect_quiet(s);
}

/* MQTT5 4.9: a new connection starts with its own quota; more than that is not resent at once. */
static void
a_resume_respects_the_new_receive_maximum(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = 1000, .receive_maximum = 10), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 1);
    for (int i = 0; i < 10; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", i);
        publish(p, "a", text, .qos = 1);
        hear(s, "a", text, 1);
    }
    vanish(s);
    s = rejoin(w, 5, "s", .expiry_s = 1000, .receive_maximum = 2);
    uint16_t id = hear(s, "a", "0", 1).publish.packet_id;
    hear(s, "a", "1", 1);
    expect_quiet(s);
    answer(s, PACKET_PUBACK, id, 0);
    claim(hear(s, "a", "2", 1).publish.dup);
    expect_quiet(s);
}

/* Both directions number for themselves, MQTT5 2.2.1. */
static void
both_directions_may_use_the_same_identifier(struct world *w)
{
    struct client *c = join(w, 5, "c");
    subscribe(c, "a", .qos = 2);
    publish(c, "a", "first", .qos = 2, .id = 7);
    uint16_t id = hear(c, "a", "first", 2).publish.packet_id;
    say(c, "b", "second", .qos = 2, .id = id);
    expect_ack(c, PACKET_PUBREC, id, 0);
    answer(c, PACKET_PUBREC, id, 0);
    expect_ack(c, PACKET_PUBREL, id, 0);
    answer(c, PACKET_PUBREL, id, 0);
    expect_ack(c, PACKET_PUBCOMP, id, 0);
    answer(c, PACKET_PUBCOMP, id, 0);
    expect_quiet(c);
}

/* MQTT5 [MQTT-3.8.4-8], MQTT3 [MQTT-3.8.4-6]: the lesser of both. */
static void
qos_is_the_lesser_of_publication_and_subscription(struct world *w)
{
    struct client *p = join(w, 4, "p");
    for (uint8_t wanted = 0; wanted <= 2; wanted++) {
        for (uint8_t sent = 0; sent <= 2; sent++) {
            struct client *s = join(w, 5, "s");
            claim_equal(subscribe(s, "a", .qos = wanted), wanted);
            publish(p, "a", "x", .qos = sent);
            take(s, "a", "x", wanted < sent ? wanted : sent);
            expect_quiet(s);
        }
    }
}

/* Option upgrade_outgoing_qos: a deviation from [MQTT-3.8.4-8] that has to be asked for. */
static void
qos_is_that_of_the_subscription_when_upgraded(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 4, "p");
    subscribe(s, "a", .qos = 2);
    for (uint8_t sent = 0; sent <= 2; sent++) {
        publish(p, "a", "x", .qos = sent);
        take(s, "a", "x", 2);
    }
}

/* MQTT5 [MQTT-4.6.0-5] [MQTT-4.6.0-6]: one client's messages of one topic and QoS arrive in their order, from shard to shard. */
static void
messages_of_one_publisher_keep_their_order(struct world *w)
{
    struct client *s[3], *p = join(w, 5, "p");
    for (unsigned i = 0; i < 3; i++) {
        s[i] = join(w, 5, id_at(w, i % w->broker->shard_count, 1 + i));
        subscribe(s[i], i == 2 ? "#" : "a/b", .qos = (uint8_t)i);
    }
    for (int i = 0; i < 300; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", i);
        say(p, "a/b", text, .qos = 2, .id = (uint16_t)(i + 1));
    }
    for (unsigned k = 0; k < 3; k++) {
        for (int i = 0; i < 300; i++) {
            char text[8];
            snprintf(text, sizeof text, "%d", i);
            take(s[k], "a/b", text, (uint8_t)k);
        }
        expect_quiet(s[k]);
    }
}

/* ------------------------------------------------------------------------------------------------------------------------------- properties */

/* MQTT5 [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20]. */
static void
properties_reach_the_subscriber_unaltered(struct world *w)
{
    struct client *s = join(w, 5, id_at(w, 0, 0)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "a", .qos = 2);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        publish(p, "a", "x", .qos = qos, .utf8 = true, .content_type = "text/plain", .response_topic = "re/ply", .correlation = "no 7",
                .user = "b=1 a=2 b=1 b=3 =");
        struct packet got = hear(s, "a", "x", qos);
        const struct properties *has = &got.publish.properties;
        claim(properties_has(has, PROPERTY_PAYLOAD_FORMAT_INDICATOR) && has->payload_format == 1);
        claim_text(has->content_type, "text/plain");
        claim_text(has->response_topic, "re/ply");
        claim_text(has->correlation_data, "no 7");
        claim_text(bytes_from(user_text(has)), "b=1 a=2 b=1 b=3 =");
        claim(!properties_has(has, PROPERTY_MESSAGE_EXPIRY_INTERVAL));
        claim_equal(has->subscription_id_count, 0);
    }
}

/* The same after the message has waited for a session to come back. */
static void
properties_survive_a_queue(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 1, .id = 1234);
    vanish(s);
    publish(p, "a", "x", .qos = 1, .utf8 = true, .content_type = "text/plain", .response_topic = "re/ply", .correlation = "no 7", .user = "b=1 a=2 b=1");
    s = rejoin(w, 5, "s", .expiry_s = 1000);
    struct packet got = hear(s, "a", "x", 1);
    claim_text(got.publish.properties.content_type, "text/plain");
    claim_text(got.publish.properties.response_topic, "re/ply");
    claim_text(got.publish.properties.correlation_data, "no 7");
    claim_text(bytes_from(user_text(&got.publish.properties)), "b=1 a=2 b=1");
    claim_equal(got.publish.properties.subscription_id, 1234);
    claim(!got.publish.dup);
}

/* Versions 3 have no properties; a message with them is delivered without (the test client would not decode them). */
static void
properties_are_left_out_for_old_clients(struct world *w)
{
    struct client *three = join(w, 3, "three"), *four = join(w, 4, "four"), *p = join(w, 5, "p");
    subscribe(three, "a", .qos = 2);
    subscribe(four, "a", .qos = 2);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        publish(p, "a", "x", .qos = qos, .utf8 = true, .content_type = "text/plain", .expiry_s = 5, .user = "a=b");
        take(three, "a", "x", qos);
        take(four, "a", "x", qos);
    }
}

/* And the other way: a message of version 3 has no properties in version 5. */
static void
messages_of_old_clients_have_no_properties(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 4, "p");
    subscribe(s, "a", .qos = 2);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        publish(p, "a", "x", .qos = qos);
        struct packet got = hear(s, "a", "x", qos);
        claim_equal(got.publish.properties.present, 0);
        claim_equal(got.publish.properties.raw.size, 0);
    }
}

/* MQTT5 [MQTT-3.3.2-6]: less the time that it waited here. */
static void
message_expiry_is_counted_down(struct world *w)
{
    struct client *s = join(w, 5, id_at(w, 0, 0), .expiry_s = 1000), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "a", .qos = 1);
    publish(p, "a", "at once", .qos = 1, .expiry_s = 10);
    struct packet got = hear(s, "a", "at once", 1);
    claim_equal(got.publish.properties.message_expiry_s, 10);
    answer(s, PACKET_PUBACK, got.publish.packet_id, 0);
    vanish(s);
    publish(p, "a", "late", .qos = 1, .expiry_s = 10);
    pass_seconds(w, 4);
    s = rejoin(w, 5, id_at(w, 0, 0), .expiry_s = 1000);
    claim_equal(hear(s, "a", "late", 1).publish.properties.message_expiry_s, 6);
}

/* MQTT5 [MQTT-3.3.2-5]. */
static void
an_expired_message_is_not_delivered(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = 1000), *old = join(w, 4, "old", .resume = true), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 2);
    subscribe(old, "a", .qos = 2);
    vanish(s);
    vanish(old);
    publish(p, "a", "short", .qos = 1, .expiry_s = 3);
    publish(p, "a", "long", .qos = 2, .expiry_s = 30);
    publish(p, "a", "short", .qos = 2, .expiry_s = 3);
    publish(p, "a", "ever", .qos = 1);
    publish(p, "a", "none", .qos = 1, .expires_at_once = true);
    pass_seconds(w, 4);
    s = rejoin(w, 5, "s", .expiry_s = 1000);
    take(s, "a", "long", 2);
    take(s, "a", "ever", 1);
    expect_quiet(s);
    old = rejoin(w, 4, "old");
    take(old, "a", "long", 2);
    take(old, "a", "ever", 1);
    expect_quiet(old);
    claim(WORLD_COUNT(w, drops[DROP_EXPIRED]) >= 4);
}

/* MQTT5 [MQTT-3.3.2-5]: also those that wait behind Receive Maximum. */
static void
a_message_expires_while_it_waits_for_quota(struct world *w)
{
    struct client *s = join(w, 5, "s", .receive_maximum = 1), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 1);
    publish(p, "a", "first", .qos = 1, .expiry_s = 3);
    publish(p, "a", "second", .qos = 1, .expiry_s = 3);
    publish(p, "a", "third", .qos = 1, .expiry_s = 10);
    uint16_t id = hear(s, "a", "first", 1).publish.packet_id;
    pass_seconds(w, 4);
    answer(s, PACKET_PUBACK, id, 0);
    claim_equal(hear(s, "a", "third", 1).publish.properties.message_expiry_s, 6);
    expect_quiet(s);
}

/* MQTT5 [MQTT-4.3.3-7] and 4.4: expiry is not applied to what was sent already. */
static void
a_sent_message_does_not_expire(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(s, "a", .qos = 2);
    publish(p, "a", "x", .qos = 2, .expiry_s = 2);
    uint16_t id = hear(s, "a", "x", 2).publish.packet_id;
    vanish(s);
    pass_seconds(w, 10);
    s = rejoin(w, 5, "s", .expiry_s = 1000);
    struct packet got = hear(s, "a", "x", 2);
    claim_equal(got.publish.packet_id, id);
    claim(got.publish.dup);
}

/* MQTT5 [MQTT-3.3.4-6]: a Subscription Identifier from a client is a Protocol Error. */
static void
a_subscription_identifier_from_a_client_is_refused(struct world *w)
{
    struct client *p = join(w, 5, "p");
    static const uint8_t bytes[] = {0x30, 7, 0, 1, 'a', 2, 0x0B, 1, 'x'};
    client_send_bytes(p, bytes, sizeof bytes);
    expect_disconnect(p, REASON_PROTOCOL_ERROR);
}

/* ---------------------------------------------------------------------------------------------------------------------------- topic aliases */

/* MQTT5 [MQTT-3.3.2-12]: an alias stands for the topic that it came with last. */
static void
an_alias_stands_for_its_topic(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    claim_equal(greeting.connack.properties.topic_alias_maximum, 10);
    subscribe(s, "#");
    say(p, "a/b", "1", .alias = 10);
    say(p, "", "2", .alias = 10);
    say(p, "c", "3", .alias = 1);
    say(p, "", "4", .alias = 10);
    say(p, "d", "5", .alias = 10);
    say(p, "", "6", .alias = 10);
    say(p, "", "7", .alias = 1);
    static const char *const topics[] = {"a/b", "a/b", "c", "a/b", "d", "d", "c"};
    for (int i = 0; i < 7; i++) {
        char text[2] = {(char)('1' + i), 0};
        struct packet got = hear(s, topics[i], text, 0);
        claim(!properties_has(&got.publish.properties, PROPERTY_TOPIC_ALIAS)); /* [MQTT-3.1.2-30] */
    }
}

/* MQTT5 3.3.2.3.4: above the maximum is 0x94. */
static void
an_alias_above_the_maximum_is_refused(struct world *w)
{
    struct client *p = join(w, 5, "p");
    say(p, "a", "x", .alias = 11);
    expect_disconnect(p, REASON_TOPIC_ALIAS_INVALID);
}

static void
no_alias_is_accepted_when_none_was_announced(struct world *w)
{
    struct client *p = join(w, 5, "p");
    claim(!properties_has(&greeting.connack.properties, PROPERTY_TOPIC_ALIAS_MAXIMUM) || greeting.connack.properties.topic_alias_maximum == 0);
    say(p, "a", "x", .alias = 1);
    expect_disconnect(p, REASON_TOPIC_ALIAS_INVALID);
}

/* MQTT5 [MQTT-3.3.2-8]: alias 0 is 0x94. */
static void
alias_0_is_refused(struct world *w)
{
    struct client *p = join(w, 5, "p");
    static const uint8_t bytes[] = {0x30, 8, 0, 1, 'a', 3, 0x23, 0, 0, 'x'};
    client_send_bytes(p, bytes, sizeof bytes);
    expect_disconnect(p, REASON_TOPIC_ALIAS_INVALID);
}

/* MQTT5 3.3.2.3.4: an empty topic with an alias that was never set is a Protocol Error. */
static void
an_alias_without_a_topic_is_refused(struct world *w)
{
    struct client *p = join(w, 5, "p");
    say(p, "", "x", .alias = 3);
    expect_disconnect(p, REASON_PROTOCOL_ERROR);
}

/* MQTT5 [MQTT-3.3.2-7]: aliases end with the connection, even if the session goes on. */
static void
aliases_end_with_the_connection(struct world *w)
{
    struct client *p = join(w, 5, "p", .expiry_s = 100);
    say(p, "a", "x", .alias = 3);
    settle(p);
    vanish(p);
    p = rejoin(w, 5, "p", .expiry_s = 100);
    say(p, "", "x", .alias = 3);
    expect_disconnect(p, REASON_PROTOCOL_ERROR);
}

/* Hears a PUBLISH and resolves its alias as a client must. */
static void
hear_resolved(struct client *s, char known[][64], uint16_t alias_max, const char *topic, const char *payload)
{
    struct packet got = expect(s, PACKET_PUBLISH);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)got.publish.topic.size, got.publish.topic.data);
    if (properties_has(&got.publish.properties, PROPERTY_TOPIC_ALIAS)) {
        uint16_t alias = got.publish.properties.topic_alias;
        claim(alias >= 1 && alias <= alias_max); /* [MQTT-3.1.2-29] [MQTT-3.3.2-11] */
        if (name[0]) {
            memcpy(known[alias], name, sizeof name);
        }
        memcpy(name, known[alias], sizeof name);
    }
    claim_text(bytes_from(name), topic);
    claim_text(got.publish.payload, payload);
    if (got.publish.qos == 1) {
        answer(s, PACKET_PUBACK, got.publish.packet_id, 0);
    }
}

/* MQTT5 [MQTT-3.1.2-29]: whatever the broker does with aliases, every message resolves to its topic. */
static void
aliases_towards_the_client_stay_within_its_maximum(struct world *w)
{
    for (uint16_t maximum = 1; maximum <= 65535 / 2; maximum = (uint16_t)(maximum * 40)) {
        static char known[65536][64];
        struct client *s = join(w, 5, "s", .aliases = maximum), *p = join(w, 5, "p");
        memset(known, 0, sizeof known);
        subscribe(s, "#", .qos = 1);
        char topic[16], text[16];
        for (int i = 0; i < 200; i++) {
            snprintf(topic, sizeof topic, "t/%d", i * i % 23);
            snprintf(text, sizeof text, "%d", i);
            publish(p, topic, text, .qos = (uint8_t)(i % 2));
        }
        for (int i = 0; i < 200; i++) {
            snprintf(topic, sizeof topic, "t/%d", i * i % 23);
            snprintf(text, sizeof text, "%d", i);
            hear_resolved(s, known, maximum, topic, text);
        }
        expect_quiet(s);
    }
}

/* MQTT5 [MQTT-3.3.2-7] [MQTT-4.4.0-1]: a resent PUBLISH names its topic, because the client has forgotten all aliases. */
static void
a_resent_publish_names_its_topic(struct world *w)
{
    static char known[6][64];
    struct client *s = join(w, 5, "s", .expiry_s = 1000, .aliases = 5), *p = join(w, 5, "p");
    subscribe(s, "long/topic", .qos = 1);
    for (int i = 0; i < 4; i++) {
        publish(p, "long/topic", "x", .qos = 1);
        expect(s, PACKET_PUBLISH);
    }
    vanish(s);
    publish(p, "long/topic", "x", .qos = 1);
    s = rejoin(w, 5, "s", .expiry_s = 1000, .aliases = 5);
    memset(known, 0, sizeof known);
    for (int i = 0; i < 5; i++) {
        hear_resolved(s, known, 5, "long/topic", "x");
    }
    vanish(s);
    s = rejoin(w, 5, "s", .expiry_s = 1000); /* and this time without any alias */
    publish(p, "long/topic", "x", .qos = 0);
    struct packet got = hear(s, "long/topic", "x", 0);
    claim(!properties_has(&got.publish.properties, PROPERTY_TOPIC_ALIAS));
}

/* -------------------------------------------------------------------------------------------------------------------------------- sizes */

/* MQTT5 [MQTT-3.1.2-27] [MQTT-3.1.2-28]: what is larger than the client wants is dropped, and the rest goes on. */
static void
a_message_too_large_for_the_client_is_dropped(struct world *w)
{
    struct client *s = join(w, 5, id_at(w, 0, 0), .packet_size = 100, .receive_maximum = 1), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "t", .qos = 1);
    /* PUBLISH: 2 bytes of header, topic 3, packet identifier 2, no properties 1. */
    say(p, "t", "fits", .payload_size = 94);
    say(p, "t", "does not", .payload_size = 95);
    claim_equal(hear(s, "t", NULL, 0).publish.payload.size, 94);
    publish(p, "t", "does not", .qos = 1, .payload_size = 93);
    publish(p, "t", "fits", .qos = 1, .payload_size = 92);
    publish(p, "t", "y", .qos = 1);
    struct packet got = hear(s, "t", NULL, 1);
    claim_equal(got.publish.payload.size, 92);
    answer(s, PACKET_PUBACK, got.publish.packet_id, 0);
    take(s, "t", "y", 1);
    expect_quiet(s);
    claim_equal(WORLD_COUNT(w, drops[DROP_TOO_LARGE]), 2);
}

/* The same for what waits while the client is away: the limit is that of the connection that it comes back with. */
static void
a_queued_message_too_large_for_the_client_is_dropped(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(s, "t", .qos = 2);
    vanish(s);
    publish(p, "t", "large", .qos = 1, .payload_size = 1000);
    publish(p, "t", "small", .qos = 2);
    s = rejoin(w, 5, "s", .expiry_s = 1000, .packet_size = 100);
    take(s, "t", "small", 2);
    expect_quiet(s);
}

/* The properties count too, and the subscriber's own: subscription identifiers. */
static void
properties_count_for_the_maximum_packet_size(struct world *w)
{
    struct client *s = join(w, 5, "s", .packet_size = 60), *p = join(w, 5, "p");
    subscribe(s, "t", .id = 200000);
    /* header 2, topic 3, property length 1, identifier 1 + 3: 10 */
    say(p, "t", "fits", .payload_size = 50);
    say(p, "t", "does not", .payload_size = 51);
    say(p, "t", "user", .user = "name=value-value-value-value-value-value-value-value");
    claim_equal(hear(s, "t", NULL, 0).publish.payload.size, 50);
    expect_quiet(s);
}

/* MQTT5 3.2.2.3.6 and 4.13: a packet above the announced maximum is answered with 0x95; versions 3 just close. */
static void
a_packet_too_large_from_a_client_is_refused(struct world *w)
{
    struct client *p = join(w, 5, "p"), *old = join(w, 4, "old");
    struct client *again = join(w, 5, "again");
    claim_equal(greeting.connack.properties.maximum_packet_size, 1000);
    publish(again, "t", "x", .payload_size = 900, .qos = 1);
    say(p, "t", "x", .payload_size = 1000);
    expect_disconnect(p, REASON_PACKET_TOO_LARGE);
    say(old, "t", "x", .payload_size = 1000);
    expect_end(old);
}

/* The header alone is enough to know: nothing of that size is ever held. */
static void
a_packet_too_large_is_refused_before_it_arrives(struct world *w)
{
    struct client *p = join(w, 5, "p");
    client_send_bytes(p, "\x30\xff\xff\xff\x7f", 5);
    expect_disconnect(p, REASON_PACKET_TOO_LARGE);
}

/* MQTT5 [MQTT-1.5.5-1]: a Remaining Length of five bytes is malformed (it has confused other brokers). */
static void
a_five_byte_length_is_refused(struct world *w)
{
    struct client *p = join(w, 5, "p");
    client_send_bytes(p, "\x30\x80\x80\x80\x80\x01", 6);
    expect_disconnect(p, REASON_MALFORMED_PACKET);
}

static void
an_empty_payload_is_delivered(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 4, "p");
    subscribe(s, "t", .qos = 2);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        publish(p, "t", "", .qos = qos);
        take(s, "t", "", qos);
    }
}

/* A payload larger than any buffer on the way, in both directions. */
static void
a_large_payload_arrives_whole(struct world *w)
{
    struct client *s = join(w, 5, id_at(w, 0, 0)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "t", .qos = 2);
    for (uint32_t size = 1000; size <= 1900000; size *= 4) {
        publish(p, "t", "begin", .qos = 1, .payload_size = size);
        struct packet got = hear(s, "t", NULL, 1);
        claim_equal(got.publish.payload.size, size);
        claim(memcmp(got.publish.payload.data, "beginxxx", 8) == 0);
        for (uint32_t i = 8; i < size; i++) {
            if (got.publish.payload.data[i] != 'x') {
                complain("byte %u differs", i);
            }
        }
        answer(s, PACKET_PUBACK, got.publish.packet_id, 0);
    }
}

/* ------------------------------------------------------------------------------------------------------------------------------- refusals */

/* MQTT5 4.7.2 (non-normative): the broker alone speaks below $SYS. */
static void
nobody_publishes_below_sys(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p"), *old = join(w, 4, "old");
    subscribe(s, "$SYS/#", .qos = 2);
    say(p, "$SYS/broker/version", "forged", .qos = 1, .id = 5, .retain = true);
    claim(expect(p, PACKET_PUBACK).ack.reason >= 0x80);
    say(p, "$SYS/broker/version", "forged", .qos = 2, .id = 6);
    claim(expect(p, PACKET_PUBREC).ack.reason >= 0x80);
    say(p, "$SYS/broker/version", "forged", .qos = 2, .id = 6); /* [MQTT-4.3.3-9]: a new publication */
    claim(expect(p, PACKET_PUBREC).ack.reason >= 0x80);
    say(p, "$SYS/x", "forged");
    say(old, "$SYS/x", "forged");
    say(old, "$SYS/x", "forged", .retain = true);
    settle(p);
    expect_quiet(s);
    subscribe(s, "$SYS/+/#", .qos = 2);
    subscribe(s, "$SYS/x", .qos = 2);
    expect_quiet(s);
}

/* A refused QoS 2 message takes no slot of the Receive Maximum (MQTT5 4.9). */
static void
a_refused_qos_2_publish_takes_no_slot(struct world *w)
{
    struct client *p = join(w, 5, "p");
    for (uint16_t id = 1; id <= 10; id++) {
        say(p, "$SYS/x", "forged", .qos = 2, .id = id);
        claim(expect(p, PACKET_PUBREC).ack.reason >= 0x80);
    }
    publish(p, "a", "x", .qos = 2);
}

/* Topics that begin with $ and are not $SYS have crashed other brokers. */
static void
dollar_topics_that_are_not_sys_do_no_harm(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "#", .qos = 2);
    subscribe(s, "+/+/+", .qos = 2);
    static const char *const topics[] = {"$", "$SYS", "$SYSx", "$share", "$share/g/t", "$share//", "$queue/x", "$/$/$", "$CONTROL/x/v1", "$$$"};
    for (unsigned i = 0; i < sizeof topics / sizeof *topics; i++) {
        say(p, topics[i], "x", .qos = 1, .retain = i % 2);
        expect(p, PACKET_PUBACK);
    }
    expect_quiet(s);
    publish(p, "a", "x");
    take(s, "a", "x", 0);
}

/* MQTT5 [MQTT-4.7.3-1]: a topic of length 0 without an alias. */
static void
an_empty_topic_is_refused(struct world *w)
{
    struct client *p = join(w, 5, "p"), *old = join(w, 4, "old");
    say(p, "", "x");
    expect_disconnect(p, REASON_PROTOCOL_ERROR);
    say(old, "", "x");
    expect_end(old);
}

/* MQTT5 [MQTT-3.3.2-2]: wildcards in a topic name. */
static void
wildcards_in_a_topic_name_are_refused(struct world *w)
{
    static const char *const topics[] = {"#", "+", "a/#", "a/+/b", "a+", "#b"};
    struct client *s = join(w, 5, "s");
    subscribe(s, "#");
    for (unsigned i = 0; i < sizeof topics / sizeof *topics; i++) {
        struct client *p = join(w, 5, "p"), *old = join(w, 4, "old");
        say(p, topics[i], "x");
        expect_disconnect(p, REASON_TOPIC_NAME_INVALID);
        say(old, topics[i], "x");
        expect_end(old);
    }
    expect_quiet(s);
}

/* 65 000 slashes overran the stack of other brokers. */
static void
a_topic_of_65000_slashes_does_no_harm(struct world *w)
{
    static char slashes[65001];
    memset(slashes, '/', 65000);
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "#");
    subscribe(s, "+/+/#");
    say(p, slashes, "x", .qos = 1, .retain = true);
    struct packet got;
    claim(listen_for(p, &got));
    claim(got.type == PACKET_DISCONNECT ? got.disconnect.reason >= 0x80 : got.ack.reason >= 0x80);
    p = join(w, 5, "q");
    publish(p, "a/b", "y");
    hear(s, "a/b", "y", 0);
    expect_quiet(s);
}

/* MQTT5 3.3.1.2 and 3.2.2.3.4: above the announced Maximum QoS is 0x9B. */
static void
a_qos_above_the_maximum_is_refused(struct world *w)
{
    struct client *s = join(w, 5, "s");
    claim(properties_has(&greeting.connack.properties, PROPERTY_MAXIMUM_QOS)); /* [MQTT-3.2.2-9] */
    claim_equal(greeting.connack.properties.maximum_qos, 1);
    uint8_t granted = subscribe(s, "a", .qos = 2); /* [MQTT-3.2.2-10] */
    claim(granted == 1 || granted == 2);
    struct client *p = join(w, 5, "p"), *old = join(w, 4, "old");
    publish(p, "a", "x", .qos = 1);
    take(s, "a", "x", 1);
    say(p, "a", "x", .qos = 2);
    expect_disconnect(p, REASON_QOS_NOT_SUPPORTED);
    say(old, "a", "x", .qos = 2);
    expect_end(old);
    expect_quiet(s);
}

static void
maximum_qos_2_is_not_announced(struct world *w)
{
    join(w, 5, "s"); /* MQTT5 3.2.2.3.4: only 0 and 1 may stand there */
    claim(!properties_has(&greeting.connack.properties, PROPERTY_MAXIMUM_QOS));
}

/* A packet that only a server may send (it has crashed other brokers). MQTT5 4.13. */
static void
packets_of_a_server_are_refused(struct world *w)
{
    static const struct {
        const char *bytes;
        uint8_t size;
    } packets[] = {{"\x20\x03\x00\x00\x00", 5}, {"\x90\x04\x00\x01\x00\x00", 6}, {"\xb0\x04\x00\x01\x00\x00", 6}, {"\xd0\x00", 2}, {"\x00\x00", 2}};
    for (unsigned i = 0; i < sizeof packets / sizeof *packets; i++) {
        struct client *p = join(w, 5, "p"), *old = join(w, 4, "old");
        client_send_bytes(p, packets[i].bytes, packets[i].size);
        uint8_t reason = expect(p, PACKET_DISCONNECT).disconnect.reason;
        claim(reason == REASON_PROTOCOL_ERROR || reason == REASON_MALFORMED_PACKET);
        expect_end(p);
        client_send_bytes(old, packets[i].bytes, packets[i].size);
        expect_end(old);
    }
}

/* MQTT5 [MQTT-3.14.4-1]: what follows an error in the same segment is not looked at. */
static void
nothing_is_done_after_an_error(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "#");
    say(p, "before", "x");
    client_send_bytes(p, "\xd0\x00", 2);
    say(p, "after", "x");
    expect_disconnect(p, REASON_PROTOCOL_ERROR);
    hear(s, "before", "x", 0);
    expect_quiet(s);
}

/* The same after DISCONNECT, MQTT5 3.14.4. */
static void
nothing_is_done_after_disconnect(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "#");
    client_send_bytes(p, "\xe0\x00\x30\x04\x00\x01" "a\x00", 8);
    expect_end(p);
    expect_quiet(s);
}

static const struct dialogue dialogues[] = {
    TELL(a_qos_1_publish_is_answered_with_puback),
    TELL(a_qos_2_publish_is_answered_with_pubrec_and_pubcomp),
    TELL(a_qos_0_publish_has_no_answer),
    TELL(acks_come_in_the_order_of_the_publishes),
    TELL(a_qos_1_identifier_is_free_after_puback),
    TELL(a_repeated_qos_2_publish_is_not_routed_twice),
    TELL(a_qos_2_publish_repeated_after_resume_is_not_routed_twice),
    TELL(a_qos_2_identifier_is_free_after_pubcomp),
    TELL(a_new_session_knows_no_qos_2_identifier),
    TELL(pubrel_of_an_unknown_identifier_gets_pubcomp),
    TELL(a_qos_2_exchange_ends_although_the_message_has_expired),
    TELL_WITH(a_client_that_exceeds_receive_maximum_is_disconnected, "receive_maximum 3"),
    TELL_WITH(a_finished_exchange_gives_its_slot_back, "receive_maximum 3"),
    TELL(outgoing_identifiers_are_all_different),
    TELL(dup_is_not_passed_on),
    TELL(pubrec_is_answered_with_pubrel),
    TELL(nothing_is_resent_on_a_standing_connection),
    TELL(unacknowledged_publishes_are_resent_in_order_with_dup),
    TELL(an_unacknowledged_pubrel_is_resent_and_the_publish_is_not),
    TELL(pubrels_and_publishes_are_resent_each_in_order),
    TELL(an_error_in_pubrec_ends_the_exchange),
    TELL(an_error_in_puback_ends_the_exchange),
    TELL(pubrec_of_an_unknown_identifier_gets_pubrel_0x92),
    TELL(acks_of_nothing_do_no_harm),
    TELL(receive_maximum_of_the_client_is_respected),
    TELL(a_resume_respects_the_new_receive_maximum),
    TELL(both_directions_may_use_the_same_identifier),
    TELL(qos_is_the_lesser_of_publication_and_subscription),
    TELL_WITH(qos_is_that_of_the_subscription_when_upgraded, "upgrade_outgoing_qos true"),
    TELL(messages_of_one_publisher_keep_their_order),
    TELL(properties_reach_the_subscriber_unaltered),
    TELL(properties_survive_a_queue),
    TELL(properties_are_left_out_for_old_clients),
    TELL(messages_of_old_clients_have_no_properties),
    TELL(message_expiry_is_counted_down),
    TELL(an_expired_message_is_not_delivered),
    TELL(a_message_expires_while_it_waits_for_quota),
    TELL(a_sent_message_does_not_expire),
    TELL(a_subscription_identifier_from_a_client_is_refused),
    TELL(an_alias_stands_for_its_topic),
    TELL(an_alias_above_the_maximum_is_refused),
    TELL_WITH(no_alias_is_accepted_when_none_was_announced, "max_topic_alias 0"),
    TELL(alias_0_is_refused),
    TELL(an_alias_without_a_topic_is_refused),
    TELL(aliases_end_with_the_connection),
    TELL_WITH(aliases_towards_the_client_stay_within_its_maximum, "max_topic_alias_broker 1000"),
    TELL(a_resent_publish_names_its_topic),
    TELL(a_message_too_large_for_the_client_is_dropped),
    TELL(a_queued_message_too_large_for_the_client_is_dropped),
    TELL(properties_count_for_the_maximum_packet_size),
    TELL_WITH(a_packet_too_large_from_a_client_is_refused, "max_packet_size 1000"),
    TELL(a_packet_too_large_is_refused_before_it_arrives),
    TELL(a_five_byte_length_is_refused),
    TELL(an_empty_payload_is_delivered),
    TELL(a_large_payload_arrives_whole),
    TELL(nobody_publishes_below_sys),
    TELL_WITH(a_refused_qos_2_publish_takes_no_slot, "receive_maximum 3"),
    TELL(dollar_topics_that_are_not_sys_do_no_harm),
    TELL(an_empty_topic_is_refused),
    TELL(wildcards_in_a_topic_name_are_refused),
    TELL(a_topic_of_65000_slashes_does_no_harm),
    TELL_WITH(a_qos_above_the_maximum_is_refused, "max_qos 1"),
    TELL(maximum_qos_2_is_not_announced),
    TELL(packets_of_a_server_are_refused),
    TELL(nothing_is_done_after_an_error),
    TELL(nothing_is_done_after_disconnect),
};

DIALOGUES(dialogues)
