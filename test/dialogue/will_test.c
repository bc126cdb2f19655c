/* The will: when it is published, when it is not, and what it looks like. */
#include "test/dialogue/dialogue.h"

/* A listener for wills at home on shard 0; those who die live on the last shard. */
static struct client *
mourner(struct world *w)
{
    struct client *s = join(w, 5, id_at(w, 0, 0));
    subscribe(s, "will/#", .qos = 2);
    return s;
}

static const char *
mortal(struct world *w)
{
    return id_at(w, w->broker->shard_count - 1, 1);
}

/* MQTT5 [MQTT-3.1.2-8], MQTT3 [MQTT-3.1.2-8]: the connection breaks. */
static void
a_will_is_published_when_the_connection_breaks(struct world *w)
{
    struct client *s = mourner(w);
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = join(w, version, mortal(w), .will_topic = "will/a", .will_payload = "gone", .will_qos = version - 3);
        expect_quiet(s);
        vanish(c);
        take(s, "will/a", "gone", version - 3);
        pass_seconds(w, 10);
        expect_quiet(s);
    }
}

/* The client finishes sending without DISCONNECT. */
static void
a_will_is_published_when_the_client_just_closes(struct world *w)
{
    struct client *s = mourner(w), *c = join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "gone");
    sim_finish(w->sim, c->connection);
    take(s, "will/a", "gone", 0);
}

/* MQTT5 [MQTT-3.14.4-3] [MQTT-3.1.2-10], MQTT3 [MQTT-3.14.4-3]. */
static void
a_normal_disconnect_deletes_the_will(struct world *w)
{
    struct client *s = mourner(w);
    for (uint8_t version = 3; version <= 5; version++) {
        bye(join(w, version, mortal(w), .will_topic = "will/a", .will_payload = "gone", .will_delay_s = 2, .expiry_s = 5, .resume = true), 0);
        pass_seconds(w, 20);
        expect_quiet(s);
    }
}

/* MQTT5 3.14.2.1: 0x04 asks for the will, and so does any reason but 0x00. */
static void
a_disconnect_with_another_reason_publishes_the_will(struct world *w)
{
    static const uint8_t reasons[] = {0x04, 0x80, 0x81, 0x82, 0x83, 0x97, 0x99};
    struct client *s = mourner(w);
    for (int i = 0; i < 7; i++) {
        bye(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "gone"), reasons[i]);
        take(s, "will/a", "gone", 0);
        expect_quiet(s);
    }
}

/* MQTT5 3.1.2.5: Keep Alive, a Protocol Error, a Malformed Packet. */
static void
a_will_is_published_when_the_broker_closes(struct world *w)
{
    struct client *s = mourner(w);
    struct client *c = join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "silent", .keep_alive_s = 4);
    pass_seconds(w, 8);
    take(s, "will/a", "silent", 0);
    expect_disconnect(c, REASON_KEEP_ALIVE_TIMEOUT);
    c = join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "second CONNECT");
    send_connect(c, "again", (struct hello){0});
    take(s, "will/a", "second CONNECT", 0);
    c = join(w, 4, mortal(w), .will_topic = "will/a", .will_payload = "malformed");
    client_send_bytes(c, "\xff\xff\xff\xff\xff", 5);
    take(s, "will/a", "malformed", 0);
    expect_quiet(s);
}

/* MQTT5 3.1.3.2.2 and 3.1.4: taken over, and no delay. MQTT3 [MQTT-3.1.4-2]. */
static void
a_takeover_publishes_a_will_without_delay(struct world *w)
{
    struct client *s = mourner(w);
    for (uint8_t version = 4; version <= 5; version++) {
        join(w, version, mortal(w), .will_topic = "will/a", .will_payload = "old", .expiry_s = 100, .resume = true);
        struct client *c = join(w, version, mortal(w), .expiry_s = 100, .resume = true);
        take(s, "will/a", "old", 0);
        bye(c, 0);
        expect_quiet(s);
        bye(join(w, version, mortal(w)), 0);
    }
}

/* MQTT5 3.1.3.2.2: taken over with Clean Start 0 before the delay has passed: not sent. */
static void
a_takeover_within_the_delay_cancels_the_will(struct world *w)
{
    struct client *s = mourner(w);
    join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "old", .will_delay_s = 10, .expiry_s = 100);
    struct client *c = rejoin(w, 5, mortal(w), .expiry_s = 100);
    pass_seconds(w, 200);
    expect_quiet(s);
    ping(c);
}

/* The same with Clean Start 1: the session ends, and so it is sent. */
static void
a_takeover_with_clean_start_publishes_a_delayed_will(struct world *w)
{
    struct client *s = mourner(w);
    join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "old", .will_delay_s = 10, .expiry_s = 100);
    join(w, 5, mortal(w), .expiry_s = 100);
    take(s, "will/a", "old", 0);
    pass_seconds(w, 200);
    expect_quiet(s);
}

/* MQTT5 3.1.3.2.2: not before the delay has passed, and then at once. */
static void
a_delayed_will_waits_for_its_delay(struct world *w)
{
    struct client *s = mourner(w);
    vanish(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "gone", .will_delay_s = 10, .expiry_s = 100));
    pass_seconds(w, 9);
    expect_quiet(s);
    pass_seconds(w, 2);
    take(s, "will/a", "gone", 0);
    pass_seconds(w, 200); /* and not again when the session ends */
    expect_quiet(s);
    claim_equal(WORLD_COUNT(w, sessions), 1);
}

/* MQTT5 [MQTT-3.1.2-26]. */
static void
a_resume_within_the_delay_cancels_the_will(struct world *w)
{
    struct client *s = mourner(w);
    for (int i = 0; i < 5; i++) {
        struct client *c = join(w, 5, mortal(w), .resume = i > 0, .will_topic = "will/a", .will_payload = "gone", .will_delay_s = 10, .expiry_s = 100);
        pass_seconds(w, 20);
        vanish(c);
        pass_seconds(w, 8);
    }
    expect_quiet(s);
    vanish(rejoin(w, 5, mortal(w), .expiry_s = 100)); /* the last connection had none */
    pass_seconds(w, 200);
    expect_quiet(s);
}

/* A new session for the same client ends the old one: its will is due. MQTT5 3.1.3.2.2. */
static void
a_clean_start_within_the_delay_publishes_the_will(struct world *w)
{
    struct client *s = mourner(w);
    vanish(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "gone", .will_delay_s = 10, .expiry_s = 100));
    pass_seconds(w, 5);
    expect_quiet(s);
    join(w, 5, mortal(w));
    take(s, "will/a", "gone", 0);
    pass_seconds(w, 30);
    expect_quiet(s);
}

/* MQTT5 3.1.3.2.2: whichever comes first, the delay or the end of the session. */
static void
a_will_is_published_when_the_session_ends_before_its_delay(struct world *w)
{
    struct client *s = mourner(w);
    vanish(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "soon", .will_delay_s = 1000, .expiry_s = 5));
    pass_seconds(w, 4);
    expect_quiet(s);
    pass_seconds(w, 3);
    take(s, "will/a", "soon", 0);
    vanish(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "now", .will_delay_s = 1000)); /* the session ends at once */
    take(s, "will/a", "now", 0);
    vanish(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "huge", .will_delay_s = FOREVER, .expiry_s = 2));
    pass_seconds(w, 4);
    take(s, "will/a", "huge", 0);
    pass_seconds(w, 2000);
    expect_quiet(s);
}

/* DISCONNECT 0x04 can end the session, and then the delay counts no more. */
static void
a_disconnect_that_ends_the_session_publishes_a_delayed_will(struct world *w)
{
    struct client *s = mourner(w);
    bye_for(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "gone", .will_delay_s = 1000, .expiry_s = 100), 0x04, 0);
    take(s, "will/a", "gone", 0);
    bye(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "later", .will_delay_s = 10, .expiry_s = 100), 0x04);
    expect_quiet(s);
    pass_seconds(w, 12);
    take(s, "will/a", "later", 0);
}

/* A resume brings its own will, or none. MQTT5 [MQTT-3.1.2-7]. */
static void
a_resume_replaces_the_will(struct world *w)
{
    struct client *s = mourner(w);
    vanish(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "first", .will_delay_s = 10, .expiry_s = 100));
    vanish(rejoin(w, 5, mortal(w), .will_topic = "will/b", .will_payload = "second", .will_delay_s = 20, .expiry_s = 100));
    pass_seconds(w, 15);
    expect_quiet(s);
    pass_seconds(w, 10);
    take(s, "will/b", "second", 0);
    pass_seconds(w, 100);
    expect_quiet(s);
}

/* MQTT5 3.1.3.2, [MQTT-3.3.2-4] and the others for PUBLISH: everything but the delay travels. */
static void
a_will_carries_its_properties(struct world *w)
{
    struct client *s = mourner(w), *old = join(w, 4, "old");
    subscribe(old, "will/#", .qos = 2);
    vanish(join(w, 5, mortal(w), .expiry_s = 100, .will_topic = "will/a", .will_payload = "gone", .will_qos = 2, .will_delay_s = 1, .will_utf8 = true,
                .will_content_type = "text/plain", .will_response_topic = "re/ply", .will_correlation = "no 7", .will_user = "b=1 a=2 b=1"));
    pass_seconds(w, 3);
    struct packet got = hear(s, "will/a", "gone", 2);
    const struct properties *has = &got.publish.properties;
    claim(properties_has(has, PROPERTY_PAYLOAD_FORMAT_INDICATOR) && has->payload_format == 1);
    claim_text(has->content_type, "text/plain");
    claim_text(has->response_topic, "re/ply");
    claim_text(has->correlation_data, "no 7");
    claim_text(bytes_from(user_text(has)), "b=1 a=2 b=1");
    claim(!properties_has(has, PROPERTY_MESSAGE_EXPIRY_INTERVAL));
    take(old, "will/a", "gone", 2);
}

/* MQTT5 3.1.3.2.4: its expiry counts from the moment when it is published. */
static void
a_will_expires_after_it_was_published(struct world *w)
{
    struct client *s = mourner(w), *late = join(w, 5, "late", .expiry_s = 1000);
    subscribe(late, "will/#", .qos = 1);
    vanish(late);
    vanish(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "one", .will_qos = 1, .will_delay_s = 10, .will_expiry_s = 5, .expiry_s = 100));
    pass_seconds(w, 12);
    claim_equal(hear(s, "will/a", "one", 1).publish.properties.message_expiry_s, 5);
    late = rejoin(w, 5, "late", .expiry_s = 1000);
    uint32_t left_s = hear(late, "will/a", "one", 1).publish.properties.message_expiry_s;
    claim(left_s >= 2 && left_s <= 4);
    vanish(late);
    vanish(join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "two", .will_qos = 1, .will_expiry_s = 5));
    pass_seconds(w, 6);
    late = rejoin(w, 5, "late", .expiry_s = 1000);
    take(late, "will/a", "one", 1); /* sent before: that one does not expire any more */
    expect_quiet(late);
}

/* MQTT5 [MQTT-3.1.2-16] [MQTT-3.1.2-17], MQTT3 the same numbers. */
static void
a_retained_will_is_retained(struct world *w)
{
    struct client *s = mourner(w);
    for (uint8_t version = 3; version <= 5; version++) {
        vanish(join(w, version, mortal(w), .will_topic = "will/kept", .will_payload = "kept", .will_retain = true, .will_qos = 1));
        vanish(join(w, version, mortal(w), .will_topic = "will/gone", .will_payload = "gone"));
        take(s, "will/kept", "kept", 1);
        take(s, "will/gone", "gone", 0);
        struct client *late = join(w, 5, "late");
        subscribe(late, "will/#", .qos = 2);
        claim(hear(late, "will/kept", "kept", 1).publish.retain);
        expect_quiet(late);
        vanish(join(w, version, mortal(w), .will_topic = "will/kept", .will_payload = "", .will_retain = true));
        take(s, "will/kept", "", 0);
        subscribe(join(w, 5, "later"), "will/#");
        expect_quiet(cast[cast_count - 1]);
    }
}

/* MQTT5 [MQTT-3.1.2-12]. */
static void
without_a_will_nothing_is_published(struct world *w)
{
    struct client *s = join(w, 5, "s");
    subscribe(s, "#", .qos = 2);
    vanish(join(w, 5, mortal(w), .expiry_s = 2));
    vanish(join(w, 4, "d"));
    pass_seconds(w, 10);
    expect_quiet(s);
}

/* A will waits for sessions that are away, as any message; also for its own. */
static void
a_will_is_queued_for_its_own_session(struct world *w)
{
    struct client *c = join(w, 5, mortal(w), .expiry_s = 100, .will_topic = "will/a", .will_payload = "I", .will_qos = 1);
    subscribe(c, "will/a", .qos = 1);
    vanish(c);
    take(rejoin(w, 5, mortal(w), .expiry_s = 100), "will/a", "I", 1);
}

/* MQTT5 [MQTT-4.6.0-5]: it comes after what its client has published. */
static void
a_will_comes_after_its_clients_messages(struct world *w)
{
    struct client *s = mourner(w), *c = join(w, 5, mortal(w), .will_topic = "will/a", .will_payload = "end");
    for (int i = 0; i < 100; i++) {
        say(c, "will/a", "x");
    }
    sim_finish(w->sim, c->connection);
    for (int i = 0; i < 100; i++) {
        hear(s, "will/a", "x", 0);
    }
    hear(s, "will/a", "end", 0);
    expect_quiet(s);
}

/* Clients have no business below $SYS, neither alive nor dead. */
static void
a_will_below_sys_is_not_published(struct world *w)
{
    struct client *s = join(w, 5, "s"), *c = knock(w, 5, mortal(w), .will_topic = "$SYS/broker/version", .will_payload = "forged", .will_retain = true);
    subscribe(s, "$SYS/#");
    expect(c, PACKET_CONNACK); /* refused or accepted */
    vanish(c);
    expect_quiet(s);
    subscribe(s, "$SYS/broker/+");
    expect_quiet(s);
}

/* MQTT5 [MQTT-3.2.2-12] [MQTT-3.2.2-13]. */
static void
a_will_beyond_the_brokers_abilities_is_refused(struct world *w)
{
    struct client *c = knock(w, 5, "c", .will_topic = "will/a", .will_payload = "x", .will_qos = 2);
    expect_connack(c, REASON_QOS_NOT_SUPPORTED);
    expect_end(c);
    c = knock(w, 5, "c", .will_topic = "will/a", .will_payload = "x", .will_retain = true);
    expect_connack(c, REASON_RETAIN_NOT_SUPPORTED);
    expect_end(c);
    join(w, 5, "c", .will_topic = "will/a", .will_payload = "x", .will_qos = 1);
}

/* MQTT5 [MQTT-3.1.4-1] and 4.7.1: no wildcards in a will's topic. */
static void
a_will_with_wildcards_is_refused(struct world *w)
{
    static const char *const topics[] = {"#", "will/+", "a+", ""};
    for (int i = 0; i < 4; i++) {
        struct client *c = knock(w, 5, "c", .will_topic = topics[i], .will_payload = "x");
        claim(expect(c, PACKET_CONNACK).connack.reason >= 0x80);
        expect_end(c);
    }
}

/* Will properties of the wrong kind have crashed other brokers. */
static void
bad_will_properties_are_refused(struct world *w)
{
    static const struct {
        const char *bytes;
        uint8_t size;
    } packets[] = {
        /* flags 0x06; client identifier "c"; will properties; topic "w"; payload "x" */
        {"\x10\x1a\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01" "c\x05\x11\x00\x00\x00\x01\x00\x01w\x00\x01x", 28}, /* Session Expiry Interval */
        {"\x10\x17\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01" "c\x02\x01\x02\x00\x01w\x00\x01x", 25},             /* Payload Format 2 */
        {"\x10\x18\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01" "c\x03\x18\x00\x00\x00\x01w\x00\x01x", 26},         /* a delay cut short */
        {"\x10\x1f\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01" "c\x0a\x18\x00\x00\x00\x01\x18\x00\x00\x00\x01\x00\x01w\x00\x01x", 33}, /* twice */
        {"\x10\x18\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01" "c\x03\x23\x00\x01\x00\x01w\x00\x01x", 26},         /* Topic Alias */
        {"\x10\x16\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01" "c\x7f\x18\x00\x01w\x00\x01x", 24},                 /* a length beyond the packet */
    };
    for (unsigned i = 0; i < sizeof packets / sizeof *packets; i++) {
        struct client *c = meet(w, 5);
        struct packet got;
        client_send_bytes(c, packets[i].bytes, packets[i].size);
        if (listen_for(c, &got)) {
            claim_equal(got.type, PACKET_CONNACK);
            claim(got.connack.reason >= 0x80);
        }
        expect_end(c);
    }
    claim_equal(WORLD_COUNT(w, sessions), 0);
}

/* Each client's will once, when many go at once. */
static void
many_wills_at_once_come_once_each(struct world *w)
{
    static struct client *c[200];
    static bool seen[200];
    struct client *s = mourner(w);
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < 200; i++) {
        char id[8], text[8];
        snprintf(id, sizeof id, "m%d", i);
        snprintf(text, sizeof text, "%d", i);
        c[i] = join(w, 5, id, .will_topic = "will/many", .will_payload = text, .will_delay_s = i % 2 ? 3 : 0, .expiry_s = 60, .will_qos = 1);
    }
    for (int i = 0; i < 200; i++) {
        sim_reset(w->sim, c[i]->connection);
    }
    pass_seconds(w, 100);
    for (int i = 0; i < 200; i++) {
        struct packet got = hear(s, "will/many", NULL, 1);
        char text[8];
        snprintf(text, sizeof text, "%.*s", (int)got.publish.payload.size, got.publish.payload.data);
        int number = atoi(text);
        claim(!seen[number]);
        seen[number] = true;
        answer(s, PACKET_PUBACK, got.publish.packet_id, 0);
    }
    expect_quiet(s);
}

static const struct dialogue dialogues[] = {
    TELL(a_will_is_published_when_the_connection_breaks),
    TELL(a_will_is_published_when_the_client_just_closes),
    TELL(a_normal_disconnect_deletes_the_will),
    TELL(a_disconnect_with_another_reason_publishes_the_will),
    TELL(a_will_is_published_when_the_broker_closes),
    TELL(a_takeover_publishes_a_will_without_delay),
    TELL(a_takeover_within_the_delay_cancels_the_will),
    TELL(a_takeover_with_clean_start_publishes_a_delayed_will),
    TELL(a_delayed_will_waits_for_its_delay),
    TELL(a_resume_within_the_delay_cancels_the_will),
    TELL(a_clean_start_within_the_delay_publishes_the_will),
    TELL(a_will_is_published_when_the_session_ends_before_its_delay),
    TELL(a_disconnect_that_ends_the_session_publishes_a_delayed_will),
    TELL(a_resume_replaces_the_will),
    TELL(a_will_carries_its_properties),
    TELL(a_will_expires_after_it_was_published),
    TELL(a_retained_will_is_retained),
    TELL(without_a_will_nothing_is_published),
    TELL(a_will_is_queued_for_its_own_session),
    TELL(a_will_comes_after_its_clients_messages),
    TELL(a_will_below_sys_is_not_published),
    TELL_WITH(a_will_beyond_the_brokers_abilities_is_refused, "max_qos 1\nretain_available false"),
    TELL(a_will_with_wildcards_is_refused),
    TELL(bad_will_properties_are_refused),
    TELL(many_wills_at_once_come_once_each),
};

DIALOGUES(dialogues)
