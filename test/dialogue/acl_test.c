/* Access lists, wherever they are asked: what a client may publish, subscribe to and be given, now and after a reload. */
#include "test/dialogue/dialogue.h"

#include <unistd.h>

static char list_path[] = "/tmp/tidewire-dialogue-acl-XXXXXX";
static char with_list[sizeof list_path + 16]; /* the option; the file is empty until a dialogue says otherwise, so that nobody may do anything */

static void
write_list(const char *text)
{
    FILE *file = fopen(list_path, "w");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        complain("the access list cannot be written");
    }
}

#define decree(w, text) (HERE, decree_((w), (text)))
static void
decree_(struct world *w, const char *text)
{
    char error[300] = "";
    write_list(text);
    world_settle(w);
    if (broker_reload(w->broker, w->config, error, sizeof error) != 0) {
        complain("%s", error);
    }
    world_settle(w);
}

static void
publishing_needs_the_right(struct world *w)
{
    decree(w, "topic write open/#\ntopic read #\n");
    struct client *s = join(w, 5, "s");
    subscribe(s, "#", .qos = 2);
    struct client *p5 = join(w, 5, "p5"), *p4 = join(w, 4, "p4");

    say(p5, "shut", "0");
    expect_ack(p5, PACKET_PUBACK, say(p5, "shut", "1", .qos = 1), REASON_NOT_AUTHORIZED);
    expect_ack(p5, PACKET_PUBREC, say(p5, "shut", "2", .qos = 2), REASON_NOT_AUTHORIZED);
    say(p4, "shut", "0");
    publish(p4, "shut", "1", .qos = 1); /* it cannot be told: acknowledged, as Mosquitto */
    publish(p4, "shut", "2", .qos = 2);
    claim_equal(WORLD_COUNT(w, drops[DROP_PUBLISH_DENIED]), 6);

    publish(p5, "open/a", "5", .qos = 1);
    take(s, "open/a", "5", 1);
    publish(p4, "open", "4", .qos = 2);
    take(s, "open", "4", 2);
    say(p5, "open/b", "0");
    take(s, "open/b", "0", 0);
    expect_quiet(s);
    expect_quiet(p5);
}

static void
a_topic_alias_does_not_widen_a_right(struct world *w)
{
    decree(w, "topic write open\ntopic read #\n");
    struct client *p = join(w, 5, "p");
    expect_ack(p, PACKET_PUBACK, say(p, "shut", "1", .qos = 1, .alias = 1), REASON_NOT_AUTHORIZED);
    expect_ack(p, PACKET_PUBACK, say(p, "", "2", .qos = 1, .alias = 1), REASON_NOT_AUTHORIZED);
    expect_ack(p, PACKET_PUBACK, say(p, "open", "3", .qos = 1, .alias = 1), REASON_SUCCESS);
    expect_ack(p, PACKET_PUBACK, say(p, "", "4", .qos = 1, .alias = 1), REASON_SUCCESS);
}

static void
subscribing_needs_something_to_read(struct world *w)
{
    decree(w, "topic read open/#\ntopic write shut/#\ntopic deny open/not\n");
    for (uint8_t version = 4; version <= 5; version++) {
        uint8_t no = version == 5 ? REASON_NOT_AUTHORIZED : 0x80;
        struct client *c = join(w, version, "c");
        claim_equal(subscribe(c, "shut/#", .qos = 1), no);
        claim_equal(subscribe(c, "open/not"), no);
        claim_equal(subscribe(c, "$share/g/shut/a"), no);
        claim_equal(subscribe(c, "$SYS/#"), no);
        claim_equal(subscribe(c, "open/a", .qos = 1), 1);
        claim_equal(subscribe(c, "+/a"), 0);
        claim_equal(subscribe(c, "#", .qos = 2), 2);
        claim_equal(subscribe(c, "$share/g/open/+"), 0);
        bye(c, 0);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_SUBSCRIBE_DENIED]), 8);
}

static void
every_delivery_needs_the_right(struct world *w)
{
    decree(w, "user p\ntopic write #\nuser ann\ntopic read news/#\ntopic deny news/secret\npattern read own/%c/%u\n");
    struct client *ann = join(w, 5, "a", .user_name = "ann"), *bob = join(w, 4, "b", .user_name = "bob"), *p = join(w, 5, "p", .user_name = "p");
    subscribe(ann, "#", .qos = 1);
    subscribe(ann, "+/secret", .id = 7); /* overlapping */
    subscribe(bob, "own/#", .qos = 2);
    for (uint8_t qos = 0; qos <= 2; qos++) {
        publish(p, "news/a", "1", .qos = qos);
        publish(p, "news/secret", "2", .qos = qos);
        publish(p, "own/b/bob", "3", .qos = qos);
        publish(p, "own/a/bob", "4", .qos = qos);
        publish(p, "own/a/ann", "5", .qos = qos);
        take(ann, "news/a", "1", qos < 1 ? qos : 1);
        take(ann, "own/a/ann", "5", qos < 1 ? qos : 1);
        take(bob, "own/b/bob", "3", qos);
    }
    expect_quiet(ann);
    expect_quiet(bob);
    claim_equal(WORLD_COUNT(w, drops[DROP_DELIVERY_DENIED]), 3 * 5);
}

/* CVE-2017-7650 */
static void
hostile_names_match_no_pattern(struct world *w)
{
    decree(w, "pattern devices/%c/#\npattern users/%u/#\n");
    static const char *const hostile[] = {"+", "#", "a/b", "x+"};
    for (unsigned i = 0; i < 4; i++) {
        struct client *c = join(w, 5, hostile[i], .user_name = "u"), *u = join(w, 5, "c", .user_name = hostile[i]);
        claim_equal(subscribe(c, "devices/#"), REASON_NOT_AUTHORIZED);
        claim_equal(subscribe(u, "users/#"), REASON_NOT_AUTHORIZED);
        expect_ack(c, PACKET_PUBACK, say(c, "devices/a/b", "", .qos = 1), REASON_NOT_AUTHORIZED);
        expect_ack(u, PACKET_PUBACK, say(u, "users/a/b", "", .qos = 1), REASON_NOT_AUTHORIZED);
        bye(c, 0);
        bye(u, 0);
    }
}

static void
a_will_needs_the_right_when_it_is_published(struct world *w)
{
    decree(w, "topic read #\nuser ann\ntopic write wills/#\n");
    struct client *s = join(w, 5, "s");
    subscribe(s, "wills/#");
    struct client *never = join(w, 4, "never", .will_topic = "wills/never", .will_payload = "x");
    struct client *ann = join(w, 5, "ann", .user_name = "ann", .will_topic = "wills/ann", .will_payload = "x");
    struct client *late = join(w, 5, "late", .user_name = "ann", .will_topic = "wills/late", .will_payload = "x", .will_delay_s = 10, .expiry_s = 100);
    vanish(never);
    vanish(ann);
    vanish(late);
    take(s, "wills/ann", "x", 0);
    expect_quiet(s);
    decree(w, "topic read #\n");
    pass_seconds(w, 11);
    expect_quiet(s);
    claim_equal(WORLD_COUNT(w, drops[DROP_PUBLISH_DENIED]), 2);
}

static void
retained_messages_are_given_to_those_who_may_read(struct world *w)
{
    decree(w, "user p\ntopic write #\nuser ann\ntopic read a/+\ntopic deny a/2\n");
    struct client *p = join(w, 5, "p", .user_name = "p"), *ann = join(w, 5, "ann", .user_name = "ann");
    for (int i = 0; i < 4; i++) {
        char topic[16];
        snprintf(topic, sizeof topic, "a/%d", i);
        publish(p, topic, "kept", .qos = 1, .retain = true);
    }
    claim_equal(subscribe(ann, "a/2"), REASON_NOT_AUTHORIZED);
    subscribe(ann, "a/1");
    take(ann, "a/1", "kept", 0);
    subscribe(ann, "#", .qos = 1);
    bool seen[4] = {false};
    for (int i = 0; i < 3; i++) {
        struct packet got = expect(ann, PACKET_PUBLISH);
        seen[got.publish.topic.data[2] - '0'] = true;
        answer(ann, PACKET_PUBACK, got.publish.packet_id, 0);
    }
    claim(seen[0] && seen[1] && !seen[2] && seen[3]);
    expect_quiet(ann);
    decree(w, "user p\ntopic write #\n");
    subscribe(ann, "a/1"); /* refused now */
    expect_quiet(ann);
}

static void
absent_sessions_get_what_they_may_read_and_no_more(struct world *w)
{
    decree(w, "user p\ntopic write #\nuser ann\ntopic read a\ntopic read b\n");
    struct client *p = join(w, 5, "p", .user_name = "p"), *ann = join(w, 5, "ann", .user_name = "ann", .expiry_s = FOREVER);
    subscribe(ann, "#", .qos = 1);
    bye(ann, 0);
    publish(p, "a", "1", .qos = 1);
    publish(p, "c", "2", .qos = 1);
    publish(p, "b", "3", .qos = 1);
    claim_equal(WORLD_COUNT(w, queued_messages), 2);

    decree(w, "user p\ntopic write #\nuser ann\ntopic read b\n");
    publish(p, "a", "4", .qos = 1); /* the reload counts for who is not there */
    claim_equal(WORLD_COUNT(w, queued_messages), 2);
    ann = rejoin(w, 5, "ann", .user_name = "ann", .expiry_s = FOREVER);
    take(ann, "b", "3", 1);
    expect_quiet(ann);
    claim_equal(WORLD_COUNT(w, queued_messages), 0);
    claim_equal(WORLD_COUNT(w, drops[DROP_DELIVERY_DENIED]), 3);
}

/* Whoever is let in with the identifier acts with his own rights. */
static void
another_user_does_not_inherit_the_queue(struct world *w)
{
    decree(w, "user p\ntopic write #\nuser ann\ntopic read #\nuser bob\ntopic read b\n");
    struct client *p = join(w, 5, "p", .user_name = "p"), *s = join(w, 5, "s", .user_name = "ann", .expiry_s = FOREVER);
    subscribe(s, "#", .qos = 1);
    bye(s, 0);
    publish(p, "a", "1", .qos = 1);
    publish(p, "b", "2", .qos = 1);
    s = rejoin(w, 5, "s", .user_name = "bob", .expiry_s = FOREVER);
    take(s, "b", "2", 1);
    publish(p, "a", "3");
    expect_quiet(s);
}

static void
what_is_in_flight_is_not_sent_again_without_the_right(struct world *w)
{
    decree(w, "user p\ntopic write #\nuser ann\ntopic read #\n");
    struct client *p = join(w, 5, "p", .user_name = "p"), *ann = join(w, 4, "ann", .user_name = "ann", .resume = true);
    subscribe(ann, "#", .qos = 2);
    publish(p, "a", "1", .qos = 1);
    publish(p, "b", "2", .qos = 2);
    publish(p, "c", "3", .qos = 1);
    hear(ann, "a", "1", 1);
    uint16_t id = hear(ann, "b", "2", 2).publish.packet_id;
    hear(ann, "c", "3", 1);
    answer(ann, PACKET_PUBREC, id, 0);
    expect_ack(ann, PACKET_PUBREL, id, 0);
    vanish(ann);
    decree(w, "user p\ntopic write #\nuser ann\ntopic read c\n");
    ann = rejoin(w, 4, "ann", .user_name = "ann");
    expect_ack(ann, PACKET_PUBREL, id, 0); /* it has been delivered; this ends it */
    claim(hear(ann, "c", "3", 1).publish.dup);
    expect_quiet(ann);
    claim_equal(WORLD_COUNT(w, inflight_messages), 2);
}

static void
a_message_that_was_routed_is_acknowledged_without_the_right(struct world *w)
{
    decree(w, "topic #\n");
    struct client *p = join(w, 5, "p");
    uint16_t id = say(p, "a", "1", .qos = 2);
    expect_ack(p, PACKET_PUBREC, id, REASON_SUCCESS);
    decree(w, "");
    say(p, "a", "1", .qos = 2, .id = id, .dup = true);
    expect_ack(p, PACKET_PUBREC, id, REASON_SUCCESS);
    answer(p, PACKET_PUBREL, id, 0);
    expect_ack(p, PACKET_PUBCOMP, id, REASON_SUCCESS);
    expect_ack(p, PACKET_PUBREC, say(p, "a", "2", .qos = 2), REASON_NOT_AUTHORIZED);
}

static void
shared_messages_go_to_members_that_may_read(struct world *w)
{
    enum { MESSAGES = 40 };
    decree(w, "user p\ntopic write #\nuser ann\ntopic read a/#\nuser bob\ntopic read a/other\n");
    struct client *p = join(w, 5, id_at(w, 0, 0), .user_name = "p");
    struct client *ann = join(w, 5, id_at(w, w->broker->shard_count - 1, 1), .user_name = "ann");
    struct client *bobs[3];
    for (unsigned i = 0; i < 3; i++) {
        bobs[i] = join(w, 5, id_at(w, i % w->broker->shard_count, 2 + i), .user_name = "bob");
        claim_equal(subscribe(bobs[i], "$share/g/a/+", .qos = 1), 1);
    }
    claim_equal(subscribe(ann, "$share/g/a/+", .qos = 1), 1);
    for (int i = 0; i < MESSAGES; i++) {
        say(p, "a/b", "x", .qos = 0); /* many under way at a time */
    }
    for (int i = 0; i < MESSAGES; i++) {
        take(ann, "a/b", "x", 0);
    }
    expect_quiet(ann);
    bye(ann, 0);
    publish(p, "a/b", "nobody", .qos = 1);
    for (unsigned i = 0; i < 3; i++) {
        expect_quiet(bobs[i]);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_DELIVERY_DENIED]), 1);
}

/* One member is connected but may not read; the other is away, may, and finds the message when it comes back. */
static void
a_shared_message_waits_for_a_member_that_may_read_it(struct world *w)
{
    decree(w, "user p\ntopic write #\nuser ann\ntopic read a/#\nuser bob\ntopic read a/other\n");
    struct client *p = join(w, 5, "p", .user_name = "p");
    struct client *ann = join(w, 5, "ann", .user_name = "ann", .expiry_s = FOREVER), *bob = join(w, 5, "bob", .user_name = "bob");
    subscribe(ann, "$share/g/a/+", .qos = 1);
    subscribe(bob, "$share/g/a/+", .qos = 1);
    bye(ann, 0);
    publish(p, "a/b", "1", .qos = 1);
    expect_quiet(bob);
    ann = rejoin(w, 5, "ann", .user_name = "ann");
    take(ann, "a/b", "1", 1);
}

static void
a_shared_message_in_a_queue_goes_to_another_when_the_right_is_gone(struct world *w)
{
    decree(w, "user p\ntopic write #\nuser ann\ntopic read a\nuser bob\ntopic read a\n");
    struct client *p = join(w, 5, "p", .user_name = "p");
    struct client *ann = join(w, 5, "ann", .user_name = "ann", .receive_maximum = 1);
    subscribe(ann, "$share/g/a", .qos = 1);
    publish(p, "a", "1", .qos = 1);
    publish(p, "a", "2", .qos = 1);
    uint16_t id = hear(ann, "a", "1", 1).publish.packet_id; /* the other waits */
    struct client *bob = join(w, 5, "bob", .user_name = "bob");
    subscribe(bob, "$share/g/a", .qos = 1);
    decree(w, "user p\ntopic write #\nuser bob\ntopic read a\n");
    answer(ann, PACKET_PUBACK, id, 0);
    expect_quiet(ann);
    take(bob, "a", "2", 1);
}

static void
a_reload_counts_at_once(struct world *w)
{
    decree(w, "topic #\n");
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "#", .qos = 1);
    publish(p, "a", "1", .qos = 1);
    take(s, "a", "1", 1);
    decree(w, "topic read #\ntopic write b\n");
    expect_ack(p, PACKET_PUBACK, say(p, "a", "2", .qos = 1), REASON_NOT_AUTHORIZED);
    publish(p, "b", "3", .qos = 1);
    take(s, "b", "3", 1);
    decree(w, "topic write #\n");
    publish(p, "a", "4", .qos = 1);
    expect_quiet(s);
    decree(w, "topic #\n");
    publish(p, "a", "5", .qos = 1);
    take(s, "a", "5", 1);
}

static void
a_broken_list_keeps_the_old_one(struct world *w)
{
    decree(w, "topic a\n");
    struct client *c = join(w, 5, "c");
    subscribe(c, "a");
    char error[300], wanted[300];
    write_list("topic #\ntopic reed b\n");
    claim(broker_reload(w->broker, w->config, error, sizeof error) != 0);
    snprintf(wanted, sizeof wanted, "%s:2: 'reed' is not read, write, readwrite or deny", list_path);
    claim_text(bytes_from(error), wanted);
    expect_ack(c, PACKET_PUBACK, say(c, "b", "", .qos = 1), REASON_NOT_AUTHORIZED);
    publish(c, "a", "1", .qos = 1);
    take(c, "a", "1", 0);
    write_list("");
}

/* Sessions from before there was a list are anonymous to it. */
static void
a_list_that_comes_later_counts_for_who_is_there(struct world *w)
{
    struct client *c = join(w, 5, "c"), *away = join(w, 5, "away", .expiry_s = FOREVER);
    subscribe(c, "#");
    subscribe(away, "#", .qos = 1);
    bye(away, 0);
    publish(c, "a", "1", .qos = 1);
    take(c, "a", "1", 0);
    char error[300], text[100 + sizeof with_list];
    snprintf(text, sizeof text, "listener %d\nallow_anonymous true\nsys_interval 0\n%s\n", WORLD_PORT, with_list);
    struct config *limited = config_parse_text(text, strlen(text), "later", false, error, sizeof error);
    claim(limited != NULL);
    write_list("topic read a\ntopic write #\n");
    claim_equal(broker_reload(w->broker, limited, error, sizeof error), 0);
    world_settle(w);
    publish(c, "b", "2", .qos = 1);
    publish(c, "a", "3", .qos = 1);
    take(c, "a", "3", 0);
    expect_quiet(c);
    away = rejoin(w, 5, "away");
    take(away, "a", "1", 1);
    take(away, "a", "3", 1);
    expect_quiet(away);
    claim_equal(broker_reload(w->broker, w->config, error, sizeof error), 0);
    world_settle(w);
    config_free(&limited);
    write_list("");
}

static void
control_topics_reach_nobody(struct world *w)
{
    struct client *c = join(w, 5, "c");
    claim_equal(subscribe(c, "$CONTROL/#"), 0);
    expect_ack(c, PACKET_PUBACK, say(c, "$CONTROL/dynamic-security/v1", "x", .qos = 1), REASON_NOT_AUTHORIZED);
    expect_quiet(c);
    expect_connack(knock(w, 5, "w", .will_topic = "$CONTROL/a"), REASON_NOT_AUTHORIZED);
}

static const struct dialogue dialogues[] = {
    TELL_WITH(publishing_needs_the_right, with_list),
    TELL_WITH(a_topic_alias_does_not_widen_a_right, with_list),
    TELL_WITH(subscribing_needs_something_to_read, with_list),
    TELL_WITH(every_delivery_needs_the_right, with_list),
    TELL_WITH(hostile_names_match_no_pattern, with_list),
    TELL_WITH(a_will_needs_the_right_when_it_is_published, with_list),
    TELL_WITH(retained_messages_are_given_to_those_who_may_read, with_list),
    TELL_WITH(absent_sessions_get_what_they_may_read_and_no_more, with_list),
    TELL_WITH(another_user_does_not_inherit_the_queue, with_list),
    TELL_WITH(what_is_in_flight_is_not_sent_again_without_the_right, with_list),
    TELL_WITH(a_message_that_was_routed_is_acknowledged_without_the_right, with_list),
    TELL_WITH(shared_messages_go_to_members_that_may_read, with_list),
    TELL_WITH(a_shared_message_waits_for_a_member_that_may_read_it, with_list),
    TELL_WITH(a_shared_message_in_a_queue_goes_to_another_when_the_right_is_gone, with_list),
    TELL_WITH(a_reload_counts_at_once, with_list),
    TELL_WITH(a_broken_list_keeps_the_old_one, with_list),
    TELL(a_list_that_comes_later_counts_for_who_is_there),
    TELL(control_topics_reach_nobody),
};

int
main(int argc, char **argv)
{
    close(mkstemp(list_path));
    snprintf(with_list, sizeof with_list, "acl_file %s", list_path);
    int failed = dialogue_main(dialogues, sizeof dialogues / sizeof *dialogues, argc, argv);
    unlink(list_path);
    return failed;
}
