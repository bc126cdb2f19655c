/* Rates: who connects or publishes faster than he may waits or is refused, is counted, and costs nobody else anything. */
#include "test/dialogue/dialogue.h"

/* Turned away without a word. */
#define expect_turned_away(c) (HERE, expect_end_(c))

/* ------------------------------------------------------------------------------------------------------------------------------ connects */

/* Options global_connect_rate and listener_connect_rate: the burst comes in, the rest is closed and counted, and time brings new places. */
static void
so_many_connects_and_no_more(struct world *w)
{
    for (int i = 0; i < 3; i++) {
        join(w, 5, id_at(w, (unsigned)i % w->broker->shard_count, (unsigned)i), .at_shard = 1 + (i + 1) % (int)w->broker->shard_count);
    }
    for (int i = 0; i < 4; i++) {
        expect_turned_away(knock(w, 5, "more"));
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_CONNECT_RATE]), 4);
    pass_seconds(w, 1);
    join(w, 5, "a");
    join(w, 5, "b");
    expect_turned_away(knock(w, 5, "more"));
    claim_equal(WORLD_COUNT(w, drops[DROP_CONNECT_RATE]), 5);
}

/* Option address_connect_rate, on whatever shards the connections arrive. */
static void
one_address_connects_so_often_and_no_more(struct world *w)
{
    int shards = (int)w->broker->shard_count;
    for (int i = 0; i < 2; i++) {
        join(w, 5, i ? "a" : "b", .from = "192.0.2.1", .at_shard = 1 + i % shards);
    }
    for (int i = 0; i < 6; i++) {
        expect_turned_away(knock(w, 5, "more", .from = "192.0.2.1", .at_shard = 1 + i % shards));
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_ADDRESS_CONNECT_RATE]), 6);
    ping(join(w, 5, "c", .from = "192.0.2.2"));
    ping(join(w, 5, "d", .from = "::ffff:192.0.2.3"));
    expect_turned_away(knock(w, 5, "more", .from = "::ffff:192.0.2.1")); /* the same one, on a socket of both families */
    pass_seconds(w, 1);
    ping(join(w, 5, "e", .from = "192.0.2.1"));
}

/* An address that is refused for itself takes nothing of the broker's rate: 3 at once and 2 a second for all. */
static void
who_is_refused_for_himself_takes_no_place_of_others(struct world *w)
{
    join(w, 5, "a", .from = "192.0.2.1");
    for (int i = 0; i < 20; i++) {
        expect_turned_away(knock(w, 5, "more", .from = "192.0.2.1"));
    }
    join(w, 5, "b", .from = "192.0.2.2");
    join(w, 5, "c", .from = "192.0.2.3");
    claim_equal(WORLD_COUNT(w, drops[DROP_ADDRESS_CONNECT_RATE]), 20);
    claim_equal(WORLD_COUNT(w, drops[DROP_CONNECT_RATE]), 0);
}

/* Option address_max_connections: counted while open, over all shards, also after moving to the home shard; who leaves makes room. */
static void
one_address_has_so_many_connections_and_no_more(struct world *w)
{
    int shards = (int)w->broker->shard_count;
    struct client *c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = join(w, 5, id_at(w, (unsigned)(i + 1) % w->broker->shard_count, (unsigned)i), .from = "2001:db8:0:1::5", .at_shard = 1 + i % shards);
    }
    expect_turned_away(knock(w, 5, "more", .from = "2001:db8:0:1::5"));
    expect_turned_away(knock(w, 5, "more", .from = "2001:db8:0:1:ffff::1")); /* the same /64 */
    claim_equal(WORLD_COUNT(w, drops[DROP_ADDRESS_CONNECTIONS]), 2);
    ping(join(w, 5, "other", .from = "2001:db8:0:2::5"));
    bye(c[1], 0);
    vanish(c[2]);
    world_advance(w, 100);
    join(w, 5, "new1", .from = "2001:db8:0:1::6");
    join(w, 5, "new2", .from = "2001:db8:0:1::7");
    expect_turned_away(knock(w, 5, "more", .from = "2001:db8:0:1::8"));
}

/* A connection that says nothing counts as long as it is there, and no longer. */
static void
silent_connections_count_until_they_are_closed(struct world *w)
{
    struct client *c[2];
    for (int i = 0; i < 2; i++) {
        c[i] = meet(w, 5);
        come_from(c[i], "192.0.2.1");
    }
    expect_quiet(c[0]);
    expect_turned_away(knock(w, 5, "more", .from = "192.0.2.1"));
    pass_seconds(w, 11); /* connect_timeout */
    expect_end(c[0]);
    expect_end(c[1]);
    ping(join(w, 5, "a", .from = "192.0.2.1"));
}

/* ----------------------------------------------------------------------------------------------------------------------------- publishes */

static int
count_heard(struct client *c)
{
    struct packet got;
    int count = 0;
    while (next_packet(c, &got)) {
        count += got.type == PACKET_PUBLISH;
    }
    return count;
}

/* What has arrived by now, without letting time pass for the rest. */
static int
heard_after(struct world *w, struct client *c, uint64_t ms)
{
    world_advance(w, ms);
    return count_heard(c);
}

/* Option client_publish_rate 10 5: the burst goes at once, then ten a second; nothing is lost, the order stays. For all kinds of QoS. */
static void
a_fast_client_is_read_later(struct world *w)
{
    struct client *s = join(w, 5, id_at(w, 0, 0)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(s, "a");
    for (int i = 0; i < 40; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d,", i);
        say(p, "a", text, .qos = i % 3);
    }
    world_advance(w, 1);
    int heard = 0;
    struct packet got;
    for (; next_packet(s, &got); heard++) {
        claim_equal(atoi((const char *)got.publish.payload.data), heard);
    }
    claim(heard >= 5 && heard <= 6); /* the burst, and the one that crosses the line */
    claim_equal(WORLD_COUNT(w, paced_connections), 1);
    int at_one_second = heard + heard_after(w, s, 1000);
    claim(at_one_second >= 14 && at_one_second <= 17);
    claim_equal(at_one_second + heard_after(w, s, 3000), 40);
    claim_equal(WORLD_COUNT(w, drops[DROP_PUBLISH_RATE]), 0);
    world_advance(w, 2000);
    claim_equal(WORLD_COUNT(w, paced_connections), 0);
    publish(p, "a", "again");
    claim_equal(heard_after(w, s, 1), 1);
}

/* Others publish and subscribe as ever. */
static void
a_fast_client_costs_only_itself(struct world *w)
{
    struct client *fast = join(w, 5, id_at(w, 0, 0)), *slow = join(w, 5, id_at(w, 0, 1)), *s = join(w, 5, id_at(w, w->broker->shard_count - 1, 2));
    subscribe(s, "slow");
    for (int i = 0; i < 1000; i++) {
        say(fast, "a", "x", .qos = 1);
    }
    for (int i = 0; i < 20; i++) {
        say(slow, "slow", "x");
        claim_equal(heard_after(w, s, 100), 1);
    }
    claim_equal(WORLD_COUNT(w, paced_connections), 1);
    vanish(fast); /* what was received from it is still dealt with at its rate */
    pass_seconds(w, 110);
    claim_equal(WORLD_COUNT(w, paced_connections), 0);
    claim_equal(WORLD_COUNT(w, connected), 2);
}

/* It cannot say that it lives while we do not read: MQTT5 [MQTT-3.1.2-22]. */
static void
keep_alive_does_not_end_who_is_read_later(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p", .keep_alive_s = 2);
    subscribe(s, "a");
    for (int i = 0; i < 100; i++) {
        say(p, "a", "x");
    }
    client_send(p, &(struct packet){.type = PACKET_PINGREQ});
    int heard = 0;
    for (int second = 0; second < 12; second++) {
        heard += heard_after(w, s, 1000);
    }
    claim_equal(heard, 100);
    expect(p, PACKET_PINGRESP);
    claim_equal(WORLD_COUNT(w, drops[DROP_KEEP_ALIVE]), 0);
    pass_seconds(w, 4); /* and now it is silent by itself */
    expect_disconnect(p, REASON_KEEP_ALIVE_TIMEOUT);
}

/* What it said before it left is heard, and its connection ends. */
static void
who_leaves_while_it_waits_is_heard_to_the_end(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "a");
    for (int i = 0; i < 30; i++) {
        say(p, "a", "x");
    }
    world_advance(w, 10);
    sim_finish(w->sim, p->connection);
    claim_equal(heard_after(w, s, 5000), 30);
    expect_end(p);
    claim_equal(WORLD_COUNT(w, connected), 1);
    claim_equal(WORLD_COUNT(w, paced_connections), 0);
}

/* Option client_byte_rate 10000 10000: all packets count, not only PUBLISH. */
static void
bytes_are_counted_too(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "a");
    for (int i = 0; i < 50; i++) {
        say(p, "a", "x", .payload_size = 990);
    }
    int heard = heard_after(w, s, 1);
    claim(heard >= 10 && heard <= 11);
    claim(heard + heard_after(w, s, 2000) <= 32);
    struct client *q = join(w, 5, "q");
    for (int i = 0; i < 10000; i++) {
        client_send(q, &(struct packet){.type = PACKET_PINGREQ});
    }
    world_advance(w, 1);
    claim_equal(WORLD_COUNT(w, paced_connections), 2);
}

/* Option listener_publish_rate 10 5: all its clients together, on all shards; within the precision that engine/limits/pace.h promises. */
static void
clients_of_a_listener_share_its_rate(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p[4];
    subscribe(s, "a");
    for (int i = 0; i < 4; i++) {
        p[i] = join(w, 5, id_at(w, (unsigned)i % w->broker->shard_count, (unsigned)i + 3));
        for (int n = 0; n < 20; n++) {
            say(p[i], "a", "x");
        }
    }
    int heard = heard_after(w, s, 1);
    claim(heard >= 5 && heard <= 5 + 4);
    heard += heard_after(w, s, 2000);
    claim(heard >= 24 && heard <= 31);
    claim_equal(heard + heard_after(w, s, 8000), 80);
}

/* Option listener_publish_rate 10 5: those who publish and are gone again leave no debt that others wait for; and the rate is held. */
static void
who_comes_again_and_again_costs_others_no_more_than_the_rate(struct world *w)
{
    struct client *s = join(w, 5, "s");
    subscribe(s, "a");
    for (int i = 0; i < 300; i++) {
        char id[16];
        snprintf(id, sizeof id, "x%d", i);
        struct client *c = join(w, 5, id);
        say(c, "a", "x");
        vanish(c);
    }
    int heard = heard_after(w, s, 1);
    claim(heard <= 5 + 10 + 4);
    claim(heard + heard_after(w, s, 2000) <= 5 + 10 + 4 + 20 + 2);
    struct client *p = join(w, 5, "p");
    subscribe(p, "b");
    say(p, "b", "y");
    struct packet got;
    int seconds = 0;
    while (seconds < 60 && !next_packet(p, &got)) {
        world_advance(w, 1000);
        seconds++;
    }
    claim(seconds < 60);
}

/* Option publish_rate_action refuse. MQTT5 3.4.2.1, 3.5.2.1: 0x97 where it can be told; QoS 0 is dropped; who cannot be told waits. */
static void
a_fast_client_is_refused_where_it_is_configured(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "a");
    for (uint16_t id = 1; id <= 8; id++) {
        say(p, "a", "x", .qos = 1 + id % 2, .id = id);
    }
    for (uint16_t id = 1; id <= 8; id++) {
        expect_ack(p, id % 2 ? PACKET_PUBREC : PACKET_PUBACK, id, id <= 5 ? REASON_SUCCESS : REASON_QUOTA_EXCEEDED);
    }
    say(p, "a", "x");
    claim_equal(heard_after(w, s, 1), 5);
    claim_equal(WORLD_COUNT(w, drops[DROP_PUBLISH_RATE]), 4);
    claim_equal(WORLD_COUNT(w, paced_connections), 0);
    /* A QoS 2 message that was taken is taken, however often it comes. */
    say(p, "a", "x", .qos = 2, .id = 1, .dup = true);
    expect_ack(p, PACKET_PUBREC, 1, REASON_SUCCESS);
    answer(p, PACKET_PUBREL, 1, 0);
    expect_ack(p, PACKET_PUBCOMP, 1, REASON_SUCCESS);
    /* A refused one is not known afterwards, and its identifier is free. */
    pass_seconds(w, 1);
    count_heard(s);
    say(p, "a", "x", .qos = 2, .id = 7);
    expect_ack(p, PACKET_PUBREC, 7, REASON_SUCCESS);
    claim_equal(heard_after(w, s, 1), 1);
}

static void
a_refused_message_still_sets_its_alias(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "a/b");
    for (int i = 0; i < 5; i++) {
        say(p, "c", "x");
    }
    say(p, "a/b", "refused", .alias = 3);
    claim_equal(heard_after(w, s, 1000), 0);
    publish(p, "", "y", .alias = 3);
    hear(s, "a/b", "y", 0);
}

static void
version_3_waits_where_others_are_refused(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 4, "p");
    subscribe(s, "a");
    for (int i = 0; i < 10; i++) {
        say(p, "a", "x", .qos = 1);
    }
    claim_equal(heard_after(w, s, 3000), 10);
    claim_equal(WORLD_COUNT(w, drops[DROP_PUBLISH_RATE]), 0);
    for (int i = 0; i < 10; i++) {
        say(p, "a", "x"); /* QoS 0: dropped */
    }
    claim(heard_after(w, s, 3000) <= 6);
    claim(WORLD_COUNT(w, drops[DROP_PUBLISH_RATE]) >= 4);
}

/* A packet that no rate would let through in a lifetime stops its client for a minute, not longer. */
static void
a_debt_has_an_end(struct world *w)
{
    struct client *s = join(w, 5, "s"), *p = join(w, 5, "p");
    subscribe(s, "a");
    say(p, "a", "x", .payload_size = 20000);
    say(p, "a", "y");
    claim_equal(heard_after(w, s, 1000), 1);
    claim_equal(heard_after(w, s, 50000), 0);
    claim_equal(heard_after(w, s, 12000), 1);
}

/* Thousands of clients that wait cost a turn nothing: each is woken by its timer. */
static void
many_may_wait(struct world *w)
{
    enum { CLIENTS = 1000 };
    struct client *s = join(w, 5, "s");
    subscribe(s, "a");
    for (int i = 0; i < CLIENTS; i++) {
        char id[16];
        snprintf(id, sizeof id, "many%d", i);
        struct client *c = join(w, 5, id);
        for (int n = 0; n < 7; n++) {
            say(c, "a", "x");
        }
    }
    claim_equal(heard_after(w, s, 10000), CLIENTS * 7);
    claim_equal(WORLD_COUNT(w, paced_connections), 0);
}

static const struct dialogue dialogues[] = {
    TELL_WITH(so_many_connects_and_no_more, "global_connect_rate 2 3"),
    TELL_WITH(so_many_connects_and_no_more, "listener_connect_rate 2 3"),
    TELL_WITH(one_address_connects_so_often_and_no_more, "address_connect_rate 1 2"),
    TELL_WITH(who_is_refused_for_himself_takes_no_place_of_others, "address_connect_rate 1\nglobal_connect_rate 2 3"),
    TELL_WITH(one_address_has_so_many_connections_and_no_more, "address_max_connections 3"),
    TELL_WITH(silent_connections_count_until_they_are_closed, "address_max_connections 2"),
    TELL_WITH(a_fast_client_is_read_later, "client_publish_rate 10 5"),
    TELL_WITH(a_fast_client_costs_only_itself, "client_publish_rate 10 5"),
    TELL_WITH(keep_alive_does_not_end_who_is_read_later, "client_publish_rate 10 5"),
    TELL_WITH(who_leaves_while_it_waits_is_heard_to_the_end, "client_publish_rate 10 5"),
    TELL_WITH(bytes_are_counted_too, "client_byte_rate 10000 10000"),
    TELL_WITH(clients_of_a_listener_share_its_rate, "listener_publish_rate 10 5"),
    TELL_WITH(who_comes_again_and_again_costs_others_no_more_than_the_rate, "listener_publish_rate 10 5"),
    TELL_WITH(a_fast_client_is_refused_where_it_is_configured, "client_publish_rate 10 5\npublish_rate_action refuse"),
    TELL_WITH(a_refused_message_still_sets_its_alias, "client_publish_rate 10 5\npublish_rate_action refuse"),
    TELL_WITH(version_3_waits_where_others_are_refused, "client_publish_rate 10 5\npublish_rate_action refuse"),
    TELL_WITH(a_debt_has_an_end, "client_byte_rate 100 200"),
    TELL_WITH(many_may_wait, "client_publish_rate 10 5"),
};

DIALOGUES(dialogues)
