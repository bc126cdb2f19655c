/* Limits: what a peer can make the broker hold is bounded, what is dropped is counted, and who is slow costs only himself. */
#include "test/dialogue/dialogue.h"

/* What the broker counts against memory_limit. */
static uint64_t
held_bytes(const struct world *w)
{
    return budget_total(&w->broker->budget);
}

/* ------------------------------------------------------------------------------------------------------------------------------------ queues */

/* Option max_queued_messages: the first ones wait, the rest is dropped and counted. */
static void
so_many_messages_wait_for_a_client_and_no_more(struct world *w)
{
    struct client *c = join(w, 5, id_at(w, 0, 0), .expiry_s = 100), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    char text[8];
    subscribe(c, "a", .qos = 1);
    vanish(c);
    for (int i = 0; i < 12; i++) {
        snprintf(text, sizeof text, "%d", i);
        publish(p, "a", text, .qos = 1);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_QUEUE_FULL]), 7);
    claim_equal(WORLD_COUNT(w, queued_messages), 5);
    c = rejoin(w, 5, id_at(w, 0, 0), .expiry_s = 100);
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "%d", i);
        take(c, "a", text, 1);
    }
    expect_quiet(c);
    claim_equal(WORLD_COUNT(w, queued_messages), 0);
    claim_equal(WORLD_COUNT(w, queued_bytes), 0);
}

/* Option max_queued_bytes. */
static void
so_many_bytes_wait_for_a_client_and_no_more(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 100), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    vanish(c);
    for (int i = 0; i < 20; i++) {
        publish(p, "a", "x", .qos = 1, .payload_size = 1000);
    }
    claim(WORLD_COUNT(w, queued_bytes) <= 10000);
    claim(WORLD_COUNT(w, queued_messages) >= 5);
    claim_equal(WORLD_COUNT(w, queued_messages) + WORLD_COUNT(w, drops[DROP_QUEUE_FULL]), 20);
}

/* QoS 0 for who is away is dropped and counted, unless queue_qos0_messages. */
static void
qos_0_does_not_wait(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 100), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    vanish(c);
    publish(p, "a", "x");
    publish(p, "a", "y", .qos = 1);
    claim_equal(WORLD_COUNT(w, drops[DROP_OFFLINE_QOS0]), 1);
    c = rejoin(w, 5, "c");
    take(c, "a", "y", 1);
    expect_quiet(c);
}

static void
qos_0_waits_where_it_is_configured(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 100), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    vanish(c);
    publish(p, "a", "1");
    publish(p, "a", "2", .qos = 1);
    publish(p, "a", "3");
    c = rejoin(w, 5, "c");
    take(c, "a", "1", 0);
    take(c, "a", "2", 1);
    take(c, "a", "3", 0);
    expect_quiet(c);
}

/* Option max_inflight_messages, for all versions. */
static void
so_many_messages_are_in_flight_and_no_more(struct world *w)
{
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = join(w, version, "c"), *p = join(w, 5, "p");
        subscribe(c, "a", .qos = 2);
        for (int i = 0; i < 6; i++) {
            publish(p, "a", "x", .qos = 1);
        }
        uint16_t id = hear(c, "a", "x", 1).publish.packet_id;
        hear(c, "a", "x", 1);
        hear(c, "a", "x", 1);
        expect_quiet(c);
        answer(c, PACKET_PUBACK, id, 0);
        hear(c, "a", "x", 1);
        expect_quiet(c);
        bye(c, 0);
    }
}

/* Option max_inflight_bytes; one message always goes, however large. */
static void
so_many_bytes_are_in_flight_and_no_more(struct world *w)
{
    struct client *c = join(w, 5, "c"), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    for (int i = 0; i < 8; i++) {
        publish(p, "a", "x", .qos = 1, .payload_size = i < 4 ? 400 : 3000);
    }
    for (int done = 0; done < 8;) {
        uint16_t ids[8];
        int count = 0;
        uint32_t bytes = 0, last = 0;
        struct packet got;
        while (listen_for(c, &got)) {
            ids[count++] = got.publish.packet_id;
            last = got.publish.payload.size;
            bytes += last;
        }
        claim(count >= 1);
        claim(bytes - last <= 1000); /* one message may cross the limit */
        done += count;
        while (count > 0) {
            answer(c, PACKET_PUBACK, ids[--count], 0);
        }
    }
    expect_quiet(c);
}

/* ------------------------------------------------------------------------------------------------------------------------------ slow readers */

/* Option max_output_bytes: QoS 0 for a reader that is stuck is dropped and counted; others hear everything; and it goes on where it is. */
static void
a_slow_reader_costs_only_itself(struct world *w)
{
    struct client *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 0)), *stuck = join(w, 5, id_at(w, 0, 1)), *fine = join(w, 5, id_at(w, 0, 2));
    subscribe(stuck, "a");
    subscribe(fine, "a");
    sim_set_stuck(w->sim, stuck->connection, true);
    for (int i = 0; i < 1000; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d,", i);
        publish(p, "a", text, .payload_size = 5000);
        claim(hear(fine, "a", NULL, 0).publish.payload.size == 5000);
        claim(held_bytes(w) < 1000000);
    }
    uint64_t dropped = WORLD_COUNT(w, drops[DROP_OUTPUT_FULL]);
    claim(dropped > 900);
    sim_set_stuck(w->sim, stuck->connection, false);
    int heard = 0, last = -1;
    struct packet got;
    while (listen_for(stuck, &got)) {
        int number = atoi((const char *)got.publish.payload.data);
        claim(number > last);
        last = number;
        heard++;
    }
    claim_equal(heard + dropped, 1000);
    publish(p, "a", "again");
    hear(stuck, "a", "again", 0);
    ping(stuck);
}

/* QoS 1 for a stuck reader: the window, then the queue, then drops; and the bytes are bounded. */
static void
a_stuck_reader_of_qos_1_is_bounded(struct world *w)
{
    struct client *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 0)), *stuck = join(w, 5, id_at(w, 0, 1)), *fine = join(w, 5, id_at(w, 0, 2));
    subscribe(stuck, "a", .qos = 1);
    subscribe(fine, "a", .qos = 1);
    sim_set_stuck(w->sim, stuck->connection, true);
    for (int i = 0; i < 500; i++) {
        publish(p, "a", "x", .qos = 1, .payload_size = 5000);
        struct packet got = hear(fine, "a", NULL, 1);
        answer(fine, PACKET_PUBACK, got.publish.packet_id, 0);
        claim(held_bytes(w) < 2000000);
    }
    uint64_t dropped = WORLD_COUNT(w, drops[DROP_QUEUE_FULL]);
    claim(dropped >= 500 - 150); /* the window and the queue */
    claim_equal(WORLD_COUNT(w, queued_messages), 50);
    sim_set_stuck(w->sim, stuck->connection, false);
    for (uint64_t i = dropped; i < 500; i++) {
        struct packet got = hear(stuck, "a", NULL, 1);
        answer(stuck, PACKET_PUBACK, got.publish.packet_id, 0);
    }
    expect_quiet(stuck);
}

/* A client that asks and does not read the answers: it is held, not served without end, and then goes on. */
static void
who_does_not_read_answers_is_held(struct world *w)
{
    enum { PINGS = 300000 };
    static uint8_t pings[2 * PINGS];
    for (int i = 0; i < PINGS; i++) {
        pings[2 * i] = 0xc0;
    }
    struct client *c = join(w, 5, "c", .keep_alive_s = 60), *other = join(w, 5, "d");
    sim_set_stuck(w->sim, c->connection, true);
    client_send_bytes(c, pings, sizeof pings);
    world_settle(w);
    claim(held_bytes(w) < 2000000);
    claim_equal(WORLD_COUNT(w, held_connections), 1);
    ping(other);
    pass_seconds(w, 80);
    sim_set_stuck(w->sim, c->connection, false);
    for (int i = 0; i < PINGS; i++) {
        expect_(c, PACKET_PINGRESP);
    }
    expect_quiet(c);
    claim_equal(WORLD_COUNT(w, held_connections), 0);
}

/* A flood from one shard to another: the publisher is held now and then, and everything arrives in order. */
static void
flood(struct world *w)
{
    enum { MESSAGES = 12000 };
    sim_set_faults(w->sim, &(struct sim_faults){.pipe_size = 64u << 20});
    struct client *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 0)), *s = join(w, 5, id_at(w, 0, 1));
    subscribe(s, "a");
    for (int i = 0; i < MESSAGES; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d,", i);
        say(p, "a", text, .payload_size = 1000);
    }
    for (int i = 0; i < MESSAGES; i++) {
        struct packet got = expect_(s, PACKET_PUBLISH);
        claim_equal(atoi((const char *)got.publish.payload.data), i);
    }
    expect_quiet(s);
    claim_equal(WORLD_COUNT(w, held_connections), 0);
}

static void
a_flood_arrives_whole(struct world *w)
{
    flood(w);
}

/* With the default max_output_bytes: what one turn brings in is not yet a slow reader's fault. */
static void
a_flood_arrives_whole_at_a_reader_that_keeps_up(struct world *w)
{
    flood(w);
}

/* ------------------------------------------------------------------------------------------------------------------------------ memory_limit */

enum { MEMORY_LIMIT = 16 << 20 };

/* Near the limit publishers wait; at it they get Quota exceeded; and it is never passed. When memory is free again, all go on. */
static void
memory_never_grows_beyond_its_limit(struct world *w)
{
    struct client *away = join(w, 5, id_at(w, 0, 0), .expiry_s = 300), *p[3], *old = join(w, 4, id_at(w, 0, 7));
    subscribe(away, "a", .qos = 1);
    vanish(away);
    for (unsigned i = 0; i < 3; i++) {
        p[i] = join(w, 5, id_at(w, i % w->broker->shard_count, 1 + i));
    }
    unsigned taken = 0, refused = 0;
    bool was_held = false;
    for (int round = 0; round < 2000 && refused < 20; round++) {
        uint16_t ids[3];
        for (unsigned i = 0; i < 3; i++) {
            ids[i] = say(p[i], "a", "x", .qos = 1, .payload_size = 10000);
        }
        for (unsigned i = 0; i < 3; i++) {
            struct packet got;
            for (int wait = 0; !listen_for(p[i], &got); wait++) {
                was_held = true;
                claim(wait < 100);
                claim(WORLD_COUNT(w, held_connections) > 0);
                world_advance(w, 100);
            }
            claim_equal(got.type, PACKET_PUBACK);
            claim_equal(got.ack.packet_id, ids[i]);
            claim(got.ack.reason == 0 || got.ack.reason == REASON_QUOTA_EXCEEDED);
            taken += got.ack.reason == 0;
            refused += got.ack.reason != 0;
        }
        claim(held_bytes(w) <= MEMORY_LIMIT + 200000);
    }
    claim(was_held);
    claim(refused >= 20);
    claim(taken >= MEMORY_LIMIT * 3ull / 4 / 10100);
    struct client *late = knock(w, 5, id_at(w, 0, 8)); /* nobody new, MQTT5 3.2.2.2 */
    struct packet got;
    if (listen_for(late, &got)) {
        claim_equal(got.type, PACKET_CONNACK);
        claim_equal(got.connack.reason, REASON_QUOTA_EXCEEDED);
    }
    expect_end(late);
    ask(p[0], "new/filter");
    for (int wait = 0; !listen_for(p[0], &got) && wait < 100; wait++) {
        world_advance(w, 100);
    }
    claim_equal(got.type, PACKET_SUBACK);
    claim_equal(got.suback.codes.data[0], REASON_QUOTA_EXCEEDED);
    say(old, "a", "x", .qos = 1, .payload_size = 10000); /* versions 3 cannot be told: acknowledged, or closed, or held back */
    pass_seconds(w, 10);
    claim(held_bytes(w) <= MEMORY_LIMIT + 200000);
    /* The one who was away is the way out: nobody could come in to drain the queues otherwise. It expires. */
    pass_seconds(w, 400);
    claim(held_bytes(w) < MEMORY_LIMIT / 2);
    publish(p[1], "a", "again", .qos = 1);
    late = join(w, 5, id_at(w, 0, 8));
    claim_equal(subscribe(late, "b"), 0);
}

/* A session that exists may come back and fetch what fills the memory; otherwise a full broker stays full. */
static void
a_session_can_be_drained_at_the_limit(struct world *w)
{
    struct client *away = join(w, 5, id_at(w, 0, 0), .expiry_s = 100000), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(away, "a", .qos = 1);
    vanish(away);
    unsigned kept = 0;
    for (bool full = false; !full;) {
        struct packet got;
        say(p, "a", "x", .qos = 1, .payload_size = 100000);
        for (int wait = 0; !listen_for(p, &got) && wait < 100; wait++) {
            world_advance(w, 100);
        }
        claim_equal(got.type, PACKET_PUBACK);
        full = got.ack.reason == REASON_QUOTA_EXCEEDED;
        kept += got.ack.reason == 0;
        claim(kept < 1000);
    }
    away = rejoin(w, 5, id_at(w, 0, 0), .expiry_s = 100000);
    for (unsigned i = 0; i < kept; i++) {
        struct packet got;
        for (int wait = 0; !listen_for(away, &got); wait++) { /* its acknowledgements are slowed down too, as long as memory is short */
            claim(wait < 100);
            world_advance(w, 20);
        }
        claim_equal(got.type, PACKET_PUBLISH);
        answer(away, PACKET_PUBACK, got.publish.packet_id, 0);
    }
    world_advance(w, 1000);
    publish(p, "a", "y", .qos = 1);
    take(away, "a", "y", 1);
}

/* Retained messages count too. */
static void
retained_messages_stay_within_the_memory_limit(struct world *w)
{
    struct client *p = join(w, 5, "p");
    unsigned refused = 0;
    for (int i = 0; i < 3000 && refused < 10; i++) {
        char topic[16];
        struct packet got;
        snprintf(topic, sizeof topic, "t/%d", i);
        say(p, topic, "x", .qos = 1, .retain = true, .payload_size = 10000);
        for (int wait = 0; !listen_for(p, &got) && wait < 100; wait++) {
            world_advance(w, 100);
        }
        claim_equal(got.type, PACKET_PUBACK);
        refused += got.ack.reason == REASON_QUOTA_EXCEEDED;
        claim(held_bytes(w) <= MEMORY_LIMIT + 200000);
    }
    claim_equal(refused, 10);
}

/* ------------------------------------------------------------------------------------------------------------------------------- connections */

/* Options max_connections and global_max_connections: one more is turned away and counted; who leaves makes room. */
static void
so_many_connections_and_no_more(struct world *w)
{
    struct client *c[3];
    for (int i = 0; i < 3; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%d", i);
        c[i] = join(w, 5, id);
    }
    for (int i = 0; i < 5; i++) {
        struct client *more = knock(w, 5, "more");
        struct packet got;
        if (listen_for(more, &got)) {
            claim_equal(got.type, PACKET_CONNACK);
            claim(got.connack.reason >= 0x80);
        }
        expect_end(more);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_CONNECTION_LIMIT]), 5);
    ping(c[0]);
    bye(c[1], 0);
    world_advance(w, 100);
    struct client *next = join(w, 5, "next");
    ping(next);
}

/* Option global_max_clients: sessions, away or not. */
static void
so_many_sessions_and_no_more(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 10), *d = join(w, 5, "d");
    vanish(c);
    struct client *more = knock(w, 5, "more");
    uint8_t reason = expect(more, PACKET_CONNACK).connack.reason;
    claim(reason == REASON_QUOTA_EXCEEDED || reason == REASON_SERVER_BUSY || reason == REASON_SERVER_UNAVAILABLE);
    expect_end(more);
    more = knock(w, 4, "more");
    expect_connack(more, REASON_SERVER_UNAVAILABLE); /* MQTT3 3.2.2.3: return code 3 */
    expect_end(more);
    c = rejoin(w, 5, "c", .expiry_s = 10);
    c = join(w, 5, "c", .expiry_s = 10); /* a clean start in its own place */
    vanish(c);
    ping(d);
    pass_seconds(w, 15);
    join(w, 5, "more");
}

/* Option max_connect_packet_size: before CONNECT nobody makes the broker hold more. */
static void
a_large_packet_before_connect_is_refused(struct world *w)
{
    static uint8_t bytes[300000];
    static const char *const headers[] = {"\x10\xff\xff\xff\x7f", "\x30\xff\xff\xff\x7f", "\x10\x80\x80\x40", "\x10\x80\x81\x01"};
    static const uint32_t sizes[] = {5, 5, 4, 4};
    uint64_t before = held_bytes(w);
    for (int i = 0; i < 4; i++) {
        struct client *c = meet(w, 5);
        struct packet got;
        memcpy(bytes, headers[i], sizes[i]);
        client_send_bytes(c, bytes, i % 2 ? sizes[i] : 200000);
        world_settle(w);
        claim(held_bytes(w) <= before + 131072ull * w->broker->shard_count); /* slabs come in blocks */
        if (listen_for(c, &got)) {
            claim(got.type == PACKET_CONNACK && got.connack.reason >= 0x80);
        }
        expect_end(c);
    }
    claim(held_bytes(w) <= before + 131072ull * w->broker->shard_count);
}

/* What is allowed before CONNECT is no limit afterwards. */
static void
a_large_packet_after_connect_is_welcome(struct world *w)
{
    struct client *c = join(w, 5, "c");
    subscribe(c, "a");
    publish(c, "a", "x", .payload_size = 1000000);
    claim_equal(hear(c, "a", NULL, 0).publish.payload.size, 1000000);
}

/* A thousand half-sent packets cost what was sent, not what was announced. */
static void
announced_bytes_cost_nothing(struct world *w)
{
    uint64_t before = held_bytes(w);
    for (int i = 0; i < 200; i++) {
        char id[8];
        snprintf(id, sizeof id, "c%d", i);
        struct client *c = join(w, 5, id);
        client_send_bytes(c, "\x30\x80\x80\x7a\x00\x01" "a\x00", 8); /* almost two million bytes */
    }
    world_settle(w);
    claim(held_bytes(w) <= before + 200 * 1024 + 262144ull * w->broker->shard_count);
}

/* -------------------------------------------------------------------------------------------------------------------------------- properties */

static uint32_t
many_user_properties(uint8_t *out, uint32_t room, int count)
{
    uint32_t size = 0;
    for (int i = 0; i < count; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%d", i % 7);
        size += encode_user_property(out + size, room - size, bytes_from(name), bytes_from("v"));
    }
    return size;
}

/* MQTT5 [MQTT-3.3.2-17] [MQTT-3.3.2-18]: hundreds of user properties arrive, in order. */
static void
hundreds_of_user_properties_arrive(struct world *w)
{
    static uint8_t block[1000 * 16];
    struct client *c = join(w, 5, id_at(w, 0, 0)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(c, "a", .qos = 1);
    struct packet out = {.type = PACKET_PUBLISH, .publish = {.topic = bytes_from("a"), .payload = bytes_from("x"), .qos = 1, .packet_id = 1}};
    out.publish.properties.raw = bytes_of(block, many_user_properties(block, sizeof block, 1000));
    client_send(p, &out);
    expect_ack(p, PACKET_PUBACK, 1, 0);
    struct packet got = hear(c, "a", "x", 1);
    claim_equal(got.publish.properties.user_count, 1000);
    claim(bytes_equal(got.publish.properties.raw, out.publish.properties.raw));
}

/* CVE-2021-41039: thousands of user properties took other brokers minutes. Here they are refused. */
static void
thousands_of_user_properties_are_refused(struct world *w)
{
    static uint8_t block[100000 * 9];
    struct client *c = join(w, 5, "c"), *p = join(w, 5, "p");
    subscribe(c, "a");
    struct packet out = {.type = PACKET_PUBLISH, .publish = {.topic = bytes_from("a"), .payload = bytes_from("x")}};
    out.publish.properties.raw = bytes_of(block, many_user_properties(block, sizeof block, 100000));
    client_send(p, &out);
    expect_disconnect(p, REASON_QUOTA_EXCEEDED);
    expect_quiet(c);
    p = meet(w, 5); /* the same in CONNECT, where it is too large already */
    out = (struct packet){.type = PACKET_CONNECT, .connect = {.version = 5, .clean_start = true, .client_id = bytes_from("p")}};
    out.connect.properties.raw = bytes_of(block, many_user_properties(block, sizeof block, 2000));
    client_send(p, &out);
    struct packet got;
    if (listen_for(p, &got)) {
        claim(got.type == PACKET_CONNACK && got.connack.reason >= 0x80);
    }
    expect_end(p);
}

/* Option max_topic_levels. */
static void
a_topic_has_so_many_levels_and_no_more(struct world *w)
{
    struct client *c = join(w, 5, "c");
    claim_equal(subscribe(c, "1/2/3/4"), 0);
    claim(subscribe(c, "1/2/3/4/5") >= 0x80);
    claim(subscribe(c, "1/2/3/4/+") >= 0x80);
    publish(c, "1/2/3/4", "x");
    take(c, "1/2/3/4", "x", 0);
    say(c, "1/2/3/4/5", "x");
    expect_disconnect(c, REASON_TOPIC_NAME_INVALID);
}

/* Duplicate QoS 2 identifiers have leaked elsewhere: a client that repeats them and never releases them costs a bounded amount. */
static void
repeated_qos_2_identifiers_do_not_leak(struct world *w)
{
    struct client *c = join(w, 4, "c");
    for (uint16_t id = 1; id <= 500; id++) {
        say(c, "a", "x", .qos = 2, .id = id);
    }
    take_in(c);
    uint64_t before = held_bytes(w);
    for (int round = 0; round < 20; round++) {
        for (uint16_t id = 1; id <= 500; id++) {
            say(c, "a", "x", .qos = 2, .id = id, .dup = true);
        }
        take_in(c);
    }
    claim(held_bytes(w) <= before + 10000);
    vanish(c);
    claim(held_bytes(w) < before);
}

static const struct dialogue dialogues[] = {
    TELL_WITH(so_many_messages_wait_for_a_client_and_no_more, "max_queued_messages 5"),
    TELL_WITH(so_many_bytes_wait_for_a_client_and_no_more, "max_queued_bytes 10000"),
    TELL(qos_0_does_not_wait),
    TELL_WITH(qos_0_waits_where_it_is_configured, "queue_qos0_messages true"),
    TELL_WITH(so_many_messages_are_in_flight_and_no_more, "max_inflight_messages 3"),
    TELL_WITH(so_many_bytes_are_in_flight_and_no_more, "max_inflight_bytes 1000"),
    TELL_WITH(a_slow_reader_costs_only_itself, "max_output_bytes 100000"),
    TELL_WITH(a_stuck_reader_of_qos_1_is_bounded, "max_output_bytes 100000\nmax_queued_messages 50"),
    TELL_WITH(who_does_not_read_answers_is_held, "max_output_bytes 8192"),
    TELL_WITH(a_flood_arrives_whole, "max_output_bytes 67108864"),
    TELL(a_flood_arrives_whole_at_a_reader_that_keeps_up),
    TELL_WITH(memory_never_grows_beyond_its_limit, "memory_limit 16777216\nmax_queued_messages 0"),
    TELL_WITH(a_session_can_be_drained_at_the_limit, "memory_limit 16777216\nmax_queued_messages 0"),
    TELL_WITH(retained_messages_stay_within_the_memory_limit, "memory_limit 16777216"),
    TELL_WITH(so_many_connections_and_no_more, "max_connections 3"),
    TELL_WITH(so_many_connections_and_no_more, "global_max_connections 3"),
    TELL_WITH(so_many_sessions_and_no_more, "global_max_clients 2"),
    TELL(a_large_packet_before_connect_is_refused),
    TELL(a_large_packet_after_connect_is_welcome),
    TELL(announced_bytes_cost_nothing),
    TELL(hundreds_of_user_properties_arrive),
    TELL(thousands_of_user_properties_are_refused),
    TELL_WITH(a_topic_has_so_many_levels_and_no_more, "max_topic_levels 4"),
    TELL(repeated_qos_2_identifiers_do_not_leak),
};

DIALOGUES(dialogues)
