/* What is acknowledged when: with a journal in memory that each dialogue holds back as it likes (test/support/fake_journal.h). */
#include "test/dialogue/dialogue.h"

#include "engine/durable/entry.h"
#include "engine/durable/promise.h"
#include "engine/durable/token.h"
#include "test/support/fake_journal.h"

static void
hold(struct world *w, unsigned shard)
{
    world_settle(w);
    fake_journal_hold(w, shard);
}

static void
let_go(struct world *w, unsigned shard)
{
    fake_journal_let_go(w, shard);
    world_settle(w);
}

static void
hold_all(struct world *w)
{
    for (unsigned i = 0; i < w->broker->shard_count; i++) {
        hold(w, i);
    }
}

static void
let_all_go(struct world *w)
{
    for (unsigned i = 0; i < w->broker->shard_count; i++) {
        fake_journal_let_go(w, i);
    }
    world_settle(w);
}

static unsigned
last_shard(const struct world *w)
{
    return w->broker->shard_count - 1;
}

/* A session that outlives its connection, at home on this shard. */
static struct client *
join_kept(struct world *w, unsigned shard, unsigned number)
{
    return join(w, 5, id_at(w, shard, number), .resume = true, .expiry_s = 1000);
}

static struct client *
join_clean(struct world *w, unsigned shard, unsigned number)
{
    return join(w, 5, id_at(w, shard, number), .expiry_s = 0);
}

/* Every dialogue is one of these. */
static void
with_journal(struct world *w, void (*tell)(struct world *w))
{
    fake_journals_open(w);
    tell(w);
    let_all_go(w);
    for (uint32_t i = 0; i < cast_count; i++) {
        client_close(&cast[i]);
    }
    cast_count = 0;
    world_settle(w);
    for (unsigned i = 0; i < w->broker->shard_count; i++) {
        claim(!promise_any(w->broker->shards[i]));
    }
    fake_journals_close(w);
}

#define WITH_JOURNAL(name)                     \
    static void name##_(struct world *w);      \
    static void name(struct world *w)          \
    {                                          \
        with_journal(w, name##_);              \
    }                                          \
    static void name##_(struct world *w)

/* ------------------------------------------------------------------------------------------------------------- QoS 1 */

WITH_JOURNAL(puback_leaves_when_the_message_is_durable)
{
    for (unsigned at = 0; at < w->broker->shard_count; at++) {
        struct client *s = join_kept(w, at, 0), *p = join_clean(w, 0, 1);
        subscribe(s, "a", .qos = 1);
        hold(w, at);
        uint16_t id = say(p, "a", "x", .qos = 1);
        expect_quiet(p);
        take(s, "a", "x", 1); /* who is there has it at once */
        expect_quiet(p);
        let_go(w, at);
        expect_ack(p, PACKET_PUBACK, id, REASON_SUCCESS);
        bye_for(s, REASON_SUCCESS, 0);
        bye(p, REASON_SUCCESS);
    }
}

WITH_JOURNAL(who_waits_for_nothing_is_answered_at_once)
{
    struct client *p = join_clean(w, 0, 0);
    for (unsigned at = 0; at < w->broker->shard_count; at++) {
        struct client *clean = join_clean(w, at, 1), *kept = join_kept(w, at, 2), *other = join_clean(w, at, 3);
        subscribe(clean, "clean", .qos = 2);
        char own[16];
        snprintf(own, sizeof own, "kept/%u", at);
        subscribe(kept, own, .qos = 2);
        hold(w, at);
        say(other, own, "under way", .qos = 1); /* the journals have something to do */
        expect_quiet(other);
    }
    publish(p, "clean", "one", .qos = 1);
    publish(p, "clean", "two", .qos = 2);
    publish(p, "nobody", "three", .qos = 1);
    say(p, "kept/0", "zero");
    ping(p);
}

WITH_JOURNAL(acknowledgements_of_one_client_keep_their_order)
{
    struct client *p = join_kept(w, 0, 0);
    struct client *near = join_kept(w, 0, 1), *far = join_kept(w, last_shard(w), 2);
    subscribe(near, "near", .qos = 2);
    subscribe(far, "far", .qos = 2);
    hold_all(w);
    uint16_t ids[6];
    ids[0] = say(p, "near", "x", .qos = 1);
    ids[1] = say(p, "far", "x", .qos = 1);
    ids[2] = say(p, "nobody", "x", .qos = 1);
    ids[3] = say(p, "near", "x", .qos = 2);
    ids[4] = say(p, "nobody", "x", .qos = 1);
    ids[5] = say(p, "far", "x", .qos = 2);
    expect_quiet(p);
    let_go(w, 0);
    if (last_shard(w) > 0) {
        expect_ack(p, PACKET_PUBACK, ids[0], REASON_SUCCESS);
        expect_quiet(p);
    }
    let_all_go(w);
    for (unsigned i = last_shard(w) > 0; i < 6; i++) {
        expect_ack(p, i == 3 || i == 5 ? PACKET_PUBREC : PACKET_PUBACK, ids[i], REASON_SUCCESS);
    }
}

WITH_JOURNAL(one_who_waits_for_another_shard_holds_up_nobody_who_waits_for_his_own)
{
    struct client *p = join_clean(w, 0, 0), *q = join_clean(w, 0, 1);
    struct client *near = join_kept(w, 0, 2), *far = join_kept(w, last_shard(w), 3);
    subscribe(near, "near", .qos = 1);
    subscribe(far, "far", .qos = 1);
    hold_all(w);
    uint16_t slow = say(p, "far", "x", .qos = 1);
    settle(p);
    uint16_t quick = say(q, "near", "x", .qos = 1);
    settle(q);
    let_go(w, 0);
    expect_ack(q, PACKET_PUBACK, quick, REASON_SUCCESS);
    let_all_go(w);
    expect_ack(p, PACKET_PUBACK, slow, REASON_SUCCESS);
}

WITH_JOURNAL(shards_that_publish_to_each_other_do_not_wait_for_ever)
{
    unsigned shards = w->broker->shard_count;
    struct client *p[SHARDS_TRIED];
    uint16_t ids[SHARDS_TRIED][20];
    for (unsigned i = 0; i < shards; i++) {
        p[i] = join_kept(w, i, 0);
        struct client *s = join_kept(w, i, 1);
        subscribe(s, "all", .qos = 1);
        subscribe(join_kept(w, i, 2), "$share/g/all", .qos = 1);
    }
    hold_all(w);
    for (unsigned n = 0; n < 20; n++) {
        for (unsigned i = 0; i < shards; i++) {
            ids[i][n] = say(p[i], "all", "x", .qos = 1, .retain = n % 3 == 0);
        }
        world_settle(w);
    }
    let_all_go(w);
    for (unsigned i = 0; i < shards; i++) {
        for (unsigned n = 0; n < 20; n++) {
            expect_ack(p[i], PACKET_PUBACK, ids[i][n], REASON_SUCCESS);
        }
    }
}

WITH_JOURNAL(a_retained_message_is_acknowledged_when_its_home_has_it)
{
    struct client *p = join_clean(w, 0, 0);
    for (unsigned i = 0; i < 8; i++) {
        char topic[8];
        snprintf(topic, sizeof topic, "r%u", i);
        unsigned home = broker_shard_of(w->broker, topic, (uint32_t)strlen(topic));
        hold(w, home);
        uint16_t id = say(p, topic, "x", .qos = 1, .retain = true);
        expect_quiet(p);
        let_go(w, home);
        expect_ack(p, PACKET_PUBACK, id, REASON_SUCCESS);
        claim(fake_journal_newest(w, home, ENTRY_MESSAGE).size > 0);
        hold(w, home);
        id = say(p, topic, "", .qos = 1, .retain = true);
        expect_quiet(p);
        let_go(w, home);
        expect_ack(p, PACKET_PUBACK, id, REASON_SUCCESS);
        claim(fake_journal_newest(w, home, ENTRY_RETAIN_REMOVED).size > 0);
    }
}

WITH_JOURNAL(a_retained_message_for_a_subscriber_at_its_home_is_one_record)
{
    unsigned home = broker_shard_of(w->broker, "r", 1);
    struct client *p = join_clean(w, 0, 0), *s = join_kept(w, home, 1);
    subscribe(s, "r", .qos = 1);
    publish(p, "r", "x", .qos = 1, .retain = true);
    take(s, "r", "x", 1);
    claim_equal(fake_journal_count(w, home, ENTRY_MESSAGE), 1);
    struct entry_message e;
    claim(entry_read_message(fake_journal_newest(w, home, ENTRY_MESSAGE), &e));
    claim(e.keep_retained);
    claim_equal(e.delivery_count, 1);
    struct client *late = join_clean(w, last_shard(w), 2);
    subscribe(late, "r", .qos = 0);
    hear(late, "r", "x", 0);
}

WITH_JOURNAL(what_was_promised_to_a_connection_that_is_gone_is_not_said_to_the_next)
{
    struct client *p = join_kept(w, 0, 0), *s = join_kept(w, last_shard(w), 1);
    subscribe(s, "a", .qos = 1);
    hold_all(w);
    say(p, "a", "x", .qos = 1);
    say(p, "a", "y", .qos = 1);
    vanish(p);
    let_all_go(w);
    hold_all(w);
    struct client *again = knock(w, 5, id_at(w, 0, 0), .resume = true, .expiry_s = 1000);
    uint16_t id = say(again, "a", "z", .qos = 1);
    expect_quiet(again);
    vanish(again);
    let_all_go(w);
    again = rejoin(w, 5, id_at(w, 0, 0), .expiry_s = 1000);
    expect_quiet(again);
    id = say(again, "a", "z", .qos = 1);
    expect_ack(again, PACKET_PUBACK, id, REASON_SUCCESS);
}

WITH_JOURNAL(who_has_very_many_acknowledgements_outstanding_is_not_read)
{
    struct client *p = join_clean(w, 0, 0), *s = join(w, 4, id_at(w, 0, 1), .resume = true);
    subscribe(s, "a", .qos = 1);
    bye(s, REASON_SUCCESS);
    hold_all(w);
    unsigned many = PROMISES_MAX + 500;
    for (unsigned i = 0; i < many; i++) {
        say(p, "a", "x", .qos = 1, .id = (uint16_t)(i + 1));
        if (i % 100 == 0) {
            settle(p);
        }
    }
    settle(p);
    pass_seconds(w, 1);
    claim_equal(WORLD_COUNT(w, publish_received), PROMISES_MAX);
    expect_quiet(p);
    let_all_go(w);
    for (unsigned i = 0; i < many; i++) {
        expect_ack(p, PACKET_PUBACK, (uint16_t)(i + 1), REASON_SUCCESS);
    }
    claim_equal(WORLD_COUNT(w, held_connections), 0);
}

/* ------------------------------------------------------------------------------------------------------------- QoS 2 */

WITH_JOURNAL(pubrec_leaves_when_it_is_recorded_that_the_message_was_received)
{
    struct client *p = join_kept(w, 0, 0), *s = join_kept(w, last_shard(w), 1);
    subscribe(s, "a", .qos = 1);
    hold(w, 0);
    uint16_t id = say(p, "a", "x", .qos = 2);
    expect_quiet(p);
    take(s, "a", "x", 1);
    if (last_shard(w) == 0) {
        struct entry_message e; /* all in one */
        claim_equal(fake_journal_count(w, 0, ENTRY_RECEIVED), 0);
        claim(entry_read_message(fake_journal_newest(w, 0, ENTRY_MESSAGE), &e));
        claim(e.received);
        claim_equal(e.token.packet_id, id);
    } else {
        claim_equal(fake_journal_count(w, 0, ENTRY_RECEIVED), 1);
    }
    let_go(w, 0);
    expect_ack(p, PACKET_PUBREC, id, REASON_SUCCESS);
    hold(w, 0);
    answer(p, PACKET_PUBREL, id, REASON_SUCCESS);
    expect_quiet(p);
    claim_equal(fake_journal_count(w, 0, ENTRY_COMPLETED), 1);
    let_go(w, 0);
    expect_ack(p, PACKET_PUBCOMP, id, REASON_SUCCESS);
}

WITH_JOURNAL(a_message_is_not_recorded_as_received_before_all_shards_have_it)
{
    if (last_shard(w) == 0) {
        return;
    }
    struct client *p = join_kept(w, 0, 0), *s = join_kept(w, 1, 1);
    subscribe(s, "a", .qos = 2);
    hold(w, 1);
    uint16_t id = say(p, "a", "x", .qos = 2);
    expect_quiet(p);
    claim_equal(fake_journal_count(w, 0, ENTRY_RECEIVED), 0);
    struct entry_message e;
    claim(entry_read_message(fake_journal_newest(w, 1, ENTRY_MESSAGE), &e));
    claim(!e.received);
    claim_equal(e.token.packet_id, id);
    let_go(w, 1);
    claim_equal(fake_journal_count(w, 0, ENTRY_RECEIVED), 1);
    expect_ack(p, PACKET_PUBREC, id, REASON_SUCCESS);
}

/* How many this shard has recorded as received, in RECEIVED and in MESSAGE. */
static unsigned
received_count(struct world *w, unsigned shard)
{
    unsigned count = fake_journal_count(w, shard, ENTRY_RECEIVED);
    for (unsigned i = 0; i < fake_journal_count(w, shard, ENTRY_MESSAGE); i++) {
        struct entry_message m;
        claim(entry_read_message(fake_journal_get(w, shard, ENTRY_MESSAGE, i), &m));
        count += m.received;
    }
    return count;
}

WITH_JOURNAL(messages_are_recorded_as_received_in_the_order_in_which_they_came)
{
    if (last_shard(w) == 0) {
        return;
    }
    struct client *p = join_kept(w, 0, 0), *near = join_kept(w, 0, 1), *far = join_kept(w, 1, 2);
    subscribe(near, "near", .qos = 2);
    subscribe(far, "far", .qos = 2);
    publish(p, "near", "first", .qos = 2);
    claim_equal(received_count(w, 0), 1);
    hold(w, 1);
    uint16_t ids[3];
    ids[0] = say(p, "far", "x", .qos = 2);
    ids[1] = say(p, "near", "x", .qos = 2);
    ids[2] = say(p, "nobody", "x", .qos = 2);
    expect_quiet(p);
    claim_equal(received_count(w, 0), 1);
    vanish(p);
    let_go(w, 1);
    claim_equal(received_count(w, 0), 4);
    for (unsigned i = 0; i < 3; i++) {
        struct entry_received e;
        claim(entry_read_received(fake_journal_get(w, 0, ENTRY_RECEIVED, i), &e));
        claim_equal(e.count, i + 2);
        claim_equal(e.packet_id, ids[i]);
    }
    p = rejoin(w, 5, id_at(w, 0, 0), .expiry_s = 1000);
    for (unsigned i = 0; i < 3; i++) {
        say(p, "whatever", "x", .qos = 2, .dup = true, .id = ids[i]);
        expect_ack(p, PACKET_PUBREC, ids[i], REASON_SUCCESS);
    }
}

WITH_JOURNAL(a_message_sent_again_on_the_next_connection_waits_for_the_first_and_comes_once)
{
    struct client *p = join_kept(w, 0, 0), *s = join_kept(w, last_shard(w), 1);
    subscribe(s, "a", .qos = 2);
    hold(w, last_shard(w));
    uint16_t id = say(p, "a", "x", .qos = 2);
    vanish(p);
    let_go(w, 0);
    hold(w, last_shard(w));
    p = knock(w, 5, id_at(w, 0, 0), .resume = true, .expiry_s = 1000);
    settle(p);
    say(p, "a", "x", .qos = 2, .dup = true, .id = id);
    if (last_shard(w) > 0) {
        expect_connack(p, REASON_SUCCESS);
        expect_quiet(p);
        claim_equal(fake_journal_count(w, 0, ENTRY_RECEIVED), 0);
    }
    let_all_go(w);
    if (last_shard(w) == 0) {
        expect_connack(p, REASON_SUCCESS);
    }
    expect_ack(p, PACKET_PUBREC, id, REASON_SUCCESS);
    expect_quiet(p);
    take(s, "a", "x", 2);
    expect_quiet(s);
}

/* A topic whose home is that shard. */
static const char *
topic_at(const struct world *w, unsigned shard, char *text, uint32_t room)
{
    for (unsigned i = 0;; i++) {
        int size = snprintf(text, room, "topic%u", i);
        if (broker_shard_of(w->broker, text, (uint32_t)size) == shard) {
            return text;
        }
    }
}

/* The broker has crashed between: the message is known where it is retained, the deletion is not known anywhere. */
WITH_JOURNAL(a_retained_message_that_is_sent_again_behind_a_deletion_is_there)
{
    char text[32];
    unsigned home = last_shard(w);
    const char *topic = topic_at(w, home, text, sizeof text);
    publish(join_kept(w, 0, 0), topic, "new", .qos = 2, .retain = true);
    struct entry_message m;
    claim(entry_read_message(fake_journal_newest(w, home, ENTRY_MESSAGE), &m));
    struct client *p = join_kept(w, 0, 1);
    struct entry_session session;
    claim(entry_read_session(fake_journal_newest(w, 0, ENTRY_SESSION), &session));
    struct entry_token known = {.identity = session.identity, .count = 2, .hash = m.token.hash, .packet_id = 2};
    token_remember(w->broker->shards[home], &known);
    say(p, topic, "", .qos = 2, .retain = true, .dup = true, .id = 1);
    say(p, topic, "new", .qos = 2, .retain = true, .dup = true, .id = 2);
    settle(p);
    claim_equal(WORLD_COUNT(w, retained_messages), 1);
    claim_equal(fake_journal_count(w, home, ENTRY_RETAIN_REMOVED), 1);
    claim(entry_read_message(fake_journal_newest(w, home, ENTRY_MESSAGE), &m));
    claim_equal(m.token.packet_id, 2); /* recorded behind the deletion */
    claim(m.keep_retained);
}

WITH_JOURNAL(a_kept_subscriber_gets_qos2_and_pubrel_when_they_are_durable)
{
    unsigned at = last_shard(w);
    struct client *p = join_clean(w, 0, 0), *s = join_kept(w, at, 1), *clean = join_clean(w, at, 2);
    subscribe(s, "a", .qos = 2);
    subscribe(clean, "a", .qos = 2);
    hold(w, at);
    say(p, "a", "x", .qos = 2);
    hear(clean, "a", "x", 2);
    expect_quiet(s);
    let_go(w, at);
    uint16_t id = hear(s, "a", "x", 2).publish.packet_id;
    hold(w, at);
    answer(s, PACKET_PUBREC, id, REASON_SUCCESS);
    expect_quiet(s);
    answer(s, PACKET_PUBREC, id, REASON_SUCCESS);
    expect_quiet(s);
    claim_equal(fake_journal_count(w, at, ENTRY_RELEASED), 1);
    let_go(w, at);
    expect_ack(s, PACKET_PUBREL, id, REASON_SUCCESS);
    expect_quiet(s);
    answer(s, PACKET_PUBCOMP, id, REASON_SUCCESS);
    expect_quiet(s);
}

WITH_JOURNAL(pubrel_is_promised_to_the_next_connection_too)
{
    struct client *p = join_clean(w, 0, 0), *s = join_kept(w, 0, 1);
    subscribe(s, "a", .qos = 2);
    publish(p, "a", "x", .qos = 2);
    uint16_t id = hear(s, "a", "x", 2).publish.packet_id;
    hold(w, 0);
    answer(s, PACKET_PUBREC, id, REASON_SUCCESS);
    expect_quiet(s);
    vanish(s);
    s = knock(w, 5, id_at(w, 0, 1), .resume = true, .expiry_s = 1000);
    settle(s);
    let_go(w, 0);
    expect_connack(s, REASON_SUCCESS);
    expect_ack(s, PACKET_PUBREL, id, REASON_SUCCESS);
    answer(s, PACKET_PUBCOMP, id, REASON_SUCCESS);
    expect_quiet(s);
}

WITH_JOURNAL(what_waits_for_the_disk_is_bounded_whatever_a_client_sends)
{
    struct client *s = join_kept(w, 0, 0);
    hold_all(w);
    ask(s, "a", .qos = 1);
    settle(s);
    uint64_t before = WORLD_COUNT(w, packets_received);
    unsigned many = PROMISES_MAX + 500;
    for (unsigned i = 0; i < many; i++) {
        ask_unsubscribe(s, "never", (uint16_t)(i + 1));
        if (i % 100 == 0) {
            settle(s);
        }
    }
    settle(s);
    pass_seconds(w, 1);
    claim(WORLD_COUNT(w, packets_received) - before <= PROMISES_MAX);
    let_all_go(w);
    expect(s, PACKET_SUBACK);
    for (unsigned i = 0; i < many; i++) {
        expect(s, PACKET_UNSUBACK);
    }
    claim_equal(WORLD_COUNT(w, held_connections), 0);
}

/* ----------------------------------------------------------------------------------------------- sessions and subscriptions */

WITH_JOURNAL(suback_and_unsuback_of_a_kept_session_wait)
{
    unsigned at = last_shard(w);
    struct client *s = join_kept(w, at, 0), *clean = join_clean(w, at, 1);
    hold(w, at);
    ask(s, "a", .qos = 1, .packet_id = 7);
    expect_quiet(s);
    subscribe(clean, "a", .qos = 1);
    let_go(w, at);
    expect(s, PACKET_SUBACK);
    hold(w, at);
    ask_unsubscribe(s, "a", 8);
    expect_quiet(s);
    let_go(w, at);
    expect(s, PACKET_UNSUBACK);
    hold(w, at);
    ask(s, "b", .qos = 1, .packet_id = 9);
    vanish(s);
    let_go(w, at);
}

WITH_JOURNAL(a_subscription_that_changes_nothing_is_not_recorded_again)
{
    struct client *s = join_kept(w, 0, 0);
    subscribe(s, "a", .qos = 1);
    subscribe(s, "a", .qos = 1);
    claim_equal(fake_journal_count(w, 0, ENTRY_SUBSCRIPTION), 1);
    subscribe(s, "a", .qos = 2);
    claim_equal(fake_journal_count(w, 0, ENTRY_SUBSCRIPTION), 2);
}

WITH_JOURNAL(connack_waits_for_a_session_that_begins_or_ends)
{
    unsigned at = last_shard(w);
    hold(w, at);
    struct client *s = knock(w, 5, id_at(w, at, 0), .resume = true, .expiry_s = 1000);
    expect_quiet(s);
    struct client *clean = join_clean(w, at, 1);
    ping(clean);
    let_go(w, at);
    expect_connack(s, REASON_SUCCESS);
    bye(s, REASON_SUCCESS);
    hold(w, at);
    struct client *fresh = knock(w, 5, id_at(w, at, 0));
    expect_quiet(fresh);
    let_go(w, at);
    claim(!expect_connack(fresh, REASON_SUCCESS).connack.session_present);
    claim_equal(fake_journal_count(w, at, ENTRY_SESSION_END), 1);
}

WITH_JOURNAL(a_client_that_is_taken_over_before_its_connack_hears_it_all_the_same)
{
    unsigned at = last_shard(w);
    hold(w, at);
    struct client *first = knock(w, 5, id_at(w, at, 0), .resume = true, .expiry_s = 1000);
    settle(first);
    struct client *second = knock(w, 5, id_at(w, at, 0), .resume = true, .expiry_s = 1000);
    settle(second);
    let_go(w, at);
    expect_connack(first, REASON_SUCCESS);
    expect_disconnect(first, REASON_SESSION_TAKEN_OVER);
    claim(expect_connack(second, REASON_SUCCESS).connack.session_present);
    ping(second);
}

static bool
is_answered(struct world *w, unsigned shard)
{
    world_settle(w);
    return promise_have_answered(w->broker->shards[shard]);
}

static void
ask_all(struct world *w, unsigned shard)
{
    world_settle(w);
    promise_ask(w->broker->shards[shard]);
    shard_tell_others(w->broker->shards[shard]);
}

WITH_JOURNAL(shards_that_are_asked_answer_when_what_was_under_way_is_recorded_as_received)
{
    if (last_shard(w) == 0) {
        return;
    }
    struct client *p = join_kept(w, 0, 0), *s = join_kept(w, 1, 1);
    subscribe(s, "a", .qos = 2);
    ask_all(w, 0);
    claim(is_answered(w, 0));
    hold(w, 1);
    say(p, "a", "x", .qos = 2, .id = 7);
    ask_all(w, 0);
    claim(!is_answered(w, 0));
    let_go(w, 1);
    claim(is_answered(w, 0));
    expect_ack(p, PACKET_PUBREC, 7, REASON_SUCCESS);
    hold(w, 0);
    say(p, "a", "y", .qos = 2, .id = 8);
    ask_all(w, 1);
    claim(!is_answered(w, 1));
    claim_equal(fake_journal_count(w, 0, ENTRY_RECEIVED), 2);
    let_go(w, 0);
    claim(is_answered(w, 1));
    expect_ack(p, PACKET_PUBREC, 8, REASON_SUCCESS);
}

/* ------------------------------------------------------------------------------------------------- shared subscriptions */

WITH_JOURNAL(puback_waits_for_the_member_that_a_shared_subscription_chose)
{
    for (unsigned at = 0; at < w->broker->shard_count; at++) {
        struct client *p = join_clean(w, 0, 0), *m = join_kept(w, at, 1);
        subscribe(m, "$share/g/a", .qos = 1);
        hold(w, at);
        uint16_t id = say(p, "a", "x", .qos = 1);
        expect_quiet(p);
        take(m, "a", "x", 1);
        let_go(w, at);
        expect_ack(p, PACKET_PUBACK, id, REASON_SUCCESS);
        bye_for(m, REASON_SUCCESS, 0);
        bye(p, REASON_SUCCESS);
    }
}

WITH_JOURNAL(a_message_that_members_pass_on_is_acknowledged_when_one_has_it_or_none_takes_it)
{
    struct client *p = join_clean(w, 0, 0);
    for (unsigned at = 0; at < w->broker->shard_count; at++) {
        struct client *m = join_kept(w, at, 1);
        subscribe(m, "$share/g/a", .qos = 1);
        bye(m, REASON_SUCCESS);
    }
    for (unsigned i = 0; i < 2 * w->broker->shard_count + 2; i++) { /* queues of two each: the last two messages find no room */
        publish(p, "a", "x", .qos = 1);
    }
    claim(WORLD_COUNT(w, drops[DROP_QUEUE_FULL]) > 0);
}

WITH_JOURNAL(a_message_that_leaves_a_kept_session_is_recorded_there_until_another_has_it)
{
    unsigned at = last_shard(w);
    struct client *p = join_clean(w, 0, 0), *first = join_kept(w, 0, 1);
    subscribe(first, "$share/g/a", .qos = 1);
    bye(first, REASON_SUCCESS);
    publish(p, "a", "x", .qos = 1);
    claim_equal(fake_journal_count(w, 0, ENTRY_DONE), 0);
    struct client *second = join_kept(w, at, 2);
    hold(w, at);
    ask(second, "$share/g/a", .qos = 1);
    settle(second);
    if (at != 0) {
        claim_equal(fake_journal_count(w, 0, ENTRY_DONE), 0);
    }
    let_go(w, at);
    expect(second, PACKET_PUBLISH);
    expect(second, PACKET_SUBACK);
    claim_equal(fake_journal_count(w, 0, ENTRY_DONE), 1);
}

WITH_JOURNAL(a_session_that_ends_is_recorded_until_what_leaves_it_has_found_others)
{
    unsigned at = last_shard(w);
    struct entry_session e;
    if (at == 0) {
        return;
    }
    struct client *p = join_clean(w, 0, 0), *first = join_kept(w, 0, 1);
    subscribe(first, "$share/g/a", .qos = 1);
    bye(first, REASON_SUCCESS);
    publish(p, "a", "x", .qos = 1);
    struct client *second = join_kept(w, at, 2);
    hold(w, at);
    ask(second, "$share/g/a", .qos = 1);
    settle(second);
    join(w, 5, id_at(w, 0, 1));
    claim_equal(fake_journal_count(w, 0, ENTRY_SESSION_END), 0);
    claim(entry_read_session(fake_journal_newest(w, 0, ENTRY_SESSION), &e));
    claim_equal(e.expiry_s, 0);
    promise_leaving_mark(w->broker->shards[0]);
    claim(!promise_have_left(w->broker->shards[0]));
    let_go(w, at);
    claim(promise_have_left(w->broker->shards[0]));
    claim_equal(fake_journal_count(w, 0, ENTRY_DONE), 1);
    claim_equal(fake_journal_count(w, 0, ENTRY_SESSION_END), 1);
    expect(second, PACKET_PUBLISH);
    expect(second, PACKET_SUBACK);
}

/* ------------------------------------------------------------------------------------------------------------- full disks */

static void
fill_disk(struct world *w, unsigned shard, bool full)
{
    fake_journal_set_room(w, shard, full ? JOURNAL_FULL : JOURNAL_FREE);
    world_settle(w);
}

WITH_JOURNAL(a_full_disk_refuses_what_it_would_have_to_keep_and_nothing_else)
{
    unsigned at = last_shard(w);
    struct client *p = join_clean(w, 0, 0), *old = join(w, 4, id_at(w, 0, 1)), *s = join_kept(w, at, 2), *clean = join_clean(w, 0, 3);
    subscribe(s, "kept", .qos = 2);
    subscribe(clean, "clean", .qos = 2);
    publish(p, "kept", "before", .qos = 1);
    take(s, "kept", "before", 1);
    fill_disk(w, at, true);
    expect_ack(p, PACKET_PUBACK, say(p, "kept", "x", .qos = 1), REASON_QUOTA_EXCEEDED);
    expect_ack(p, PACKET_PUBREC, say(p, "kept", "x", .qos = 2), REASON_QUOTA_EXCEEDED);
    publish(p, "clean", "y", .qos = 1);
    take(clean, "clean", "y", 1);
    say(p, "kept", "zero");
    take(s, "kept", "zero", 0);
    expect_quiet(s);
    say(old, "kept", "x", .qos = 1);
    expect_end(old); /* it cannot be told */
    claim_equal(WORLD_COUNT(w, drops[DROP_DISK_FULL]), 3);
    claim_equal(subscribe(s, "more", .qos = 1), REASON_QUOTA_EXCEEDED);
    claim_equal(subscribe(s, "kept", .qos = 2), 2);
    struct client *late = knock(w, 5, id_at(w, at, 4), .expiry_s = 1000);
    expect_connack(late, REASON_QUOTA_EXCEEDED);
    bye(s, REASON_SUCCESS);
    s = rejoin(w, 5, id_at(w, at, 2), .expiry_s = 1000);
    fill_disk(w, at, false);
    publish(p, "kept", "after", .qos = 1);
    take(s, "kept", "after", 1);
}

WITH_JOURNAL(a_full_disk_refuses_retained_messages_of_its_topics)
{
    struct client *p = join_clean(w, 0, 0);
    unsigned home = broker_shard_of(w->broker, "r", 1);
    fill_disk(w, home, true);
    expect_ack(p, PACKET_PUBACK, say(p, "r", "x", .qos = 1, .retain = true), REASON_QUOTA_EXCEEDED);
    say(p, "r", "x", .retain = true);
    ping(p);
    claim_equal(WORLD_COUNT(w, retained_messages), 0);
    fill_disk(w, home, false);
    publish(p, "r", "x", .qos = 1, .retain = true);
    claim_equal(WORLD_COUNT(w, retained_messages), 1);
}

WITH_JOURNAL(a_full_disk_lets_retained_messages_be_deleted)
{
    struct client *p = join_clean(w, 0, 0);
    unsigned home = broker_shard_of(w->broker, "r", 1);
    publish(p, "r", "x", .qos = 1, .retain = true);
    fill_disk(w, home, true);
    publish(p, "r", "", .qos = 1, .retain = true);
    claim_equal(WORLD_COUNT(w, retained_messages), 0);
    claim_equal(fake_journal_count(w, home, ENTRY_RETAIN_REMOVED), 1);
    publish(p, "r", "", .qos = 1, .retain = true); /* makes no more room */
    claim_equal(fake_journal_count(w, home, ENTRY_RETAIN_REMOVED), 1);
}

WITH_JOURNAL(a_session_can_be_begun_anew_on_a_full_disk_and_resumed_while_something_is_left_of_it)
{
    struct client *s = join_kept(w, 0, 1);
    fill_disk(w, 0, true);
    bye(s, REASON_SUCCESS);
    s = join(w, 5, id_at(w, 0, 1), .expiry_s = 1000);
    claim_equal(fake_journal_count(w, 0, ENTRY_SESSION_END), 1);
    bye(s, REASON_SUCCESS);
    s = rejoin(w, 5, id_at(w, 0, 1), .expiry_s = 1000);
    bye(s, REASON_SUCCESS);
    unsigned records = fake_journal_count(w, 0, ENTRY_SESSION);
    fake_journal_set_room(w, 0, JOURNAL_STUCK);
    world_settle(w);
    for (unsigned i = 0; i < 3; i++) {
        s = knock(w, 5, id_at(w, 0, 1), .resume = true, .expiry_s = 1000);
        expect_connack(s, REASON_QUOTA_EXCEEDED);
        expect_end(s);
    }
    claim_equal(fake_journal_count(w, 0, ENTRY_SESSION), records);
    s = join(w, 5, id_at(w, 0, 1), .expiry_s = 0); /* makes it smaller */
    claim_equal(fake_journal_count(w, 0, ENTRY_SESSION_END), 2);
    fill_disk(w, 0, false);
}

WITH_JOURNAL(a_shared_message_passes_by_members_on_a_full_disk_and_is_refused_if_there_are_no_others)
{
    unsigned at = last_shard(w);
    if (at == 0) {
        return;
    }
    struct client *p = join_clean(w, 0, 0), *full = join_kept(w, at, 1), *free_one = join_kept(w, 0, 2);
    subscribe(full, "$share/g/a", .qos = 1);
    subscribe(free_one, "$share/g/a", .qos = 1);
    unsigned home = w->broker->shard_count;
    for (unsigned i = 0; i < w->broker->shard_count; i++) {
        home = atomic_load(&w->broker->share_groups[i]) > 0 ? i : home;
    }
    fill_disk(w, at, true);
    for (unsigned i = 0; i < 4; i++) {
        uint16_t id = say(p, "a", "x", .qos = 1);
        if (home == at) {
            expect_ack(p, PACKET_PUBACK, id, REASON_QUOTA_EXCEEDED);
            continue;
        }
        expect_ack(p, PACKET_PUBACK, id, REASON_SUCCESS);
        take(free_one, "a", "x", 1);
        expect_quiet(full);
    }
    fill_disk(w, 0, true);
    expect_ack(p, PACKET_PUBACK, say(p, "a", "x", .qos = 1), REASON_QUOTA_EXCEEDED);
    fill_disk(w, at, false);
    fill_disk(w, 0, false);
    publish(p, "a", "x", .qos = 1);
}

static const struct dialogue dialogues[] = {
    TELL(puback_leaves_when_the_message_is_durable),
    TELL(who_waits_for_nothing_is_answered_at_once),
    TELL(acknowledgements_of_one_client_keep_their_order),
    TELL(one_who_waits_for_another_shard_holds_up_nobody_who_waits_for_his_own),
    TELL(shards_that_publish_to_each_other_do_not_wait_for_ever),
    TELL(a_retained_message_is_acknowledged_when_its_home_has_it),
    TELL(a_retained_message_for_a_subscriber_at_its_home_is_one_record),
    TELL(what_was_promised_to_a_connection_that_is_gone_is_not_said_to_the_next),
    TELL_WITH(who_has_very_many_acknowledgements_outstanding_is_not_read, "max_queued_messages 0"),
    TELL(pubrec_leaves_when_it_is_recorded_that_the_message_was_received),
    TELL(a_message_is_not_recorded_as_received_before_all_shards_have_it),
    TELL(messages_are_recorded_as_received_in_the_order_in_which_they_came),
    TELL(a_message_sent_again_on_the_next_connection_waits_for_the_first_and_comes_once),
    TELL(a_retained_message_that_is_sent_again_behind_a_deletion_is_there),
    TELL(a_kept_subscriber_gets_qos2_and_pubrel_when_they_are_durable),
    TELL(pubrel_is_promised_to_the_next_connection_too),
    TELL(what_waits_for_the_disk_is_bounded_whatever_a_client_sends),
    TELL(suback_and_unsuback_of_a_kept_session_wait),
    TELL(a_subscription_that_changes_nothing_is_not_recorded_again),
    TELL(connack_waits_for_a_session_that_begins_or_ends),
    TELL(a_client_that_is_taken_over_before_its_connack_hears_it_all_the_same),
    TELL(shards_that_are_asked_answer_when_what_was_under_way_is_recorded_as_received),
    TELL(puback_waits_for_the_member_that_a_shared_subscription_chose),
    TELL_WITH(a_message_that_members_pass_on_is_acknowledged_when_one_has_it_or_none_takes_it, "max_queued_messages 2"),
    TELL(a_message_that_leaves_a_kept_session_is_recorded_there_until_another_has_it),
    TELL(a_session_that_ends_is_recorded_until_what_leaves_it_has_found_others),
    TELL(a_full_disk_refuses_what_it_would_have_to_keep_and_nothing_else),
    TELL(a_full_disk_refuses_retained_messages_of_its_topics),
    TELL(a_full_disk_lets_retained_messages_be_deleted),
    TELL(a_session_can_be_begun_anew_on_a_full_disk_and_resumed_while_something_is_left_of_it),
    TELL(a_shared_message_passes_by_members_on_a_full_disk_and_is_refused_if_there_are_no_others),
};

DIALOGUES(dialogues)
