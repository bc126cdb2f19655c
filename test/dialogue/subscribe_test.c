/* Subscribing: what SUBACK says, which topics a filter matches, overlapping subscriptions, options, and the end of a subscription. */
#include "test/dialogue/dialogue.h"

#include "codec/topic.h"

/* A SUBSCRIBE for several filters. */
static void
ask_all(struct client *c, const char *const *filters, const uint8_t *qos, uint32_t count, uint16_t packet_id)
{
    static uint8_t entries[100000];
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct subscription_options options = {.qos = qos ? qos[i] : 0};
        size += encode_subscribe_entry(entries + size, (uint32_t)sizeof entries - size, bytes_from(filters[i]), options);
    }
    struct packet p = {.type = PACKET_SUBSCRIBE, .subscribe = {.packet_id = packet_id, .count = count, .entries = bytes_of(entries, size)}};
    client_send(c, &p);
}

static void
ask_unsubscribe_all(struct client *c, const char *const *filters, uint32_t count, uint16_t packet_id)
{
    static uint8_t entries[10000];
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        size += encode_unsubscribe_entry(entries + size, (uint32_t)sizeof entries - size, bytes_from(filters[i]));
    }
    struct packet p = {.type = PACKET_UNSUBSCRIBE, .unsubscribe = {.packet_id = packet_id, .count = count, .entries = bytes_of(entries, size)}};
    client_send(c, &p);
}

/* Hears SUBACK or UNSUBACK and compares its codes. */
#define expect_codes(c, type, packet_id, ...)                                                          \
    (HERE, expect_codes_((c), (type), (packet_id), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})))
static void
expect_codes_(struct client *c, enum packet_type type, uint16_t packet_id, const uint8_t *codes, uint32_t count)
{
    struct packet got = expect_(c, type);
    claim_equal_("packet identifier", got.suback.packet_id, packet_id);
    claim_equal_("codes", got.suback.codes.size, count);
    for (uint32_t i = 0; i < count; i++) {
        claim_equal_("code", got.suback.codes.data[i], codes[i]);
    }
}

/* -------------------------------------------------------------------------------------------------------------------------- SUBACK, UNSUBACK */

/* MQTT5 [MQTT-3.8.4-1] [MQTT-3.8.4-2] [MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1], MQTT3 [MQTT-3.8.4-5]. */
static void
suback_has_a_code_for_each_filter_in_order(struct world *w)
{
    static const char *const filters[] = {"a", "b/+", "c/#", "d", "$share/g/e"};
    static const uint8_t qos[] = {2, 0, 1, 2, 1};
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = join(w, version, "c");
        ask_all(c, filters, qos, 5, 65535);
        expect_codes(c, PACKET_SUBACK, 65535, 2, 0, 1, 2, 1);
    }
}

/* MQTT5 [MQTT-4.7.1-1] [MQTT-4.7.1-2] and 3.9.3: 0x8F, in 3.1.1 0x80; the good ones beside it hold ([MQTT-3.8.4-5]). */
static void
an_invalid_filter_gets_its_own_code(struct world *w)
{
    static const char *const filters[] = {"good", "a/#/b", "a#", "#/", "+a", "a+/b", "a/+b", "a/b#", "##", "a/##", "++", "$share/g/a/#/b", "fine"};
    struct client *c = join(w, 5, "c"), *old = join(w, 4, "old"), *p = join(w, 5, "p");
    ask_all(c, filters, NULL, 13, 7);
    expect_codes(c, PACKET_SUBACK, 7, 0, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0);
    ask_all(old, filters, NULL, 13, 7);
    expect_codes(old, PACKET_SUBACK, 7, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0);
    publish(p, "good", "x");
    publish(p, "fine", "x");
    take(c, "good", "x", 0);
    take(c, "fine", "x", 0);
    take(old, "good", "x", 0);
    take(old, "fine", "x", 0);
    claim_equal(WORLD_COUNT(w, subscriptions), 4);
}

/* MQTT5 [MQTT-4.8.2-1] [MQTT-4.8.2-2]. */
static void
an_invalid_share_is_refused(struct world *w)
{
    static const char *const filters[] = {"$share/", "$share/g", "$share/g/", "$share//t", "$share/+/t", "$share/#/t", "$share/g+/t", "$share/#"};
    struct client *c = join(w, 5, "c");
    for (int i = 0; i < 8; i++) {
        claim_equal(subscribe(c, filters[i]), REASON_TOPIC_FILTER_INVALID);
    }
    claim_equal(WORLD_COUNT(w, subscriptions), 0);
}

/* MQTT5 [MQTT-3.8.3-2] [MQTT-3.8.3-5] [MQTT-3.8.1-1] [MQTT-2.2.1-3] 3.8.2.1.2 3.8.3.1. */
static void
a_malformed_subscribe_ends_the_connection(struct world *w)
{
    static const struct {
        const char *bytes;
        uint8_t size;
    } packets[] = {
        {"\x82\x03\x00\x01\x00", 5},                            /* no filter */
        {"\x82\x07\x00\x00\x00\x00\x01" "a\x00", 9},            /* packet identifier 0 */
        {"\x82\x07\x00\x01\x00\x00\x01" "a\x03", 9},            /* QoS 3 */
        {"\x82\x07\x00\x01\x00\x00\x01" "a\x40", 9},            /* reserved bits */
        {"\x82\x07\x00\x01\x00\x00\x01" "a\x30", 9},            /* Retain Handling 3 */
        {"\x82\x09\x00\x01\x02\x0b\x00\x00\x01" "a\x00", 11},   /* Subscription Identifier 0 */
        {"\x80\x07\x00\x01\x00\x00\x01" "a\x00", 9},            /* flags of the fixed header */
        {"\x82\x06\x00\x01\x00\x00\x00\x00", 8},                /* an empty filter */
        {"\x82\x06\x00\x01\x00\x00\x01" "a", 8},                /* cut before the last field */
        {"\xa2\x03\x00\x01\x00", 5},                            /* UNSUBSCRIBE without filter */
        {"\xa0\x06\x00\x01\x00\x00\x01" "a", 8},                /* UNSUBSCRIBE flags */
        {"\xa2\x06\x00\x00\x00\x00\x01" "a", 8},                /* packet identifier 0 */
    };
    for (unsigned i = 0; i < sizeof packets / sizeof *packets; i++) {
        struct client *c = join(w, 5, "c");
        client_send_bytes(c, packets[i].bytes, packets[i].size);
        uint8_t reason = expect(c, PACKET_DISCONNECT).disconnect.reason;
        claim(reason == REASON_MALFORMED_PACKET || reason == REASON_PROTOCOL_ERROR || reason == REASON_TOPIC_FILTER_INVALID);
        expect_end(c);
    }
}

/* MQTT5 [MQTT-3.10.4-4] [MQTT-3.10.4-5] [MQTT-3.11.3-1], MQTT3 [MQTT-3.10.4-5]. */
static void
unsuback_says_which_subscriptions_existed(struct world *w)
{
    static const char *const filters[] = {"a", "b", "c/+"};
    for (uint8_t version = 3; version <= 5; version++) {
        struct client *c = join(w, version, "c");
        subscribe(c, "a");
        subscribe(c, "c/+");
        subscribe(c, "d");
        ask_unsubscribe_all(c, filters, 3, 12345);
        if (version == 5) {
            expect_codes(c, PACKET_UNSUBACK, 12345, 0, REASON_NO_SUBSCRIPTION_EXISTED, 0);
        } else {
            claim_equal(expect(c, PACKET_UNSUBACK).suback.packet_id, 12345);
        }
        ask_unsubscribe_all(c, filters, 3, 1);
        if (version == 5) {
            expect_codes(c, PACKET_UNSUBACK, 1, 0x11, 0x11, 0x11);
        } else {
            expect(c, PACKET_UNSUBACK);
        }
        claim_equal(WORLD_COUNT(w, subscriptions), 1);
    }
}

/* MQTT5 [MQTT-3.10.4-1]: filters are compared character by character; [MQTT-3.10.4-2]: nothing new afterwards. */
static void
unsubscribe_ends_that_filter_only(struct world *w)
{
    struct client *c = join(w, 5, id_at(w, 0, 0)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(c, "a/b");
    subscribe(c, "a/+");
    claim_equal(unsubscribe(c, "a/#"), REASON_NO_SUBSCRIPTION_EXISTED);
    claim_equal(unsubscribe(c, "a/B"), REASON_NO_SUBSCRIPTION_EXISTED);
    claim_equal(unsubscribe(c, "a/+"), 0);
    publish(p, "a/b", "x");
    publish(p, "a/c", "x");
    take(c, "a/b", "x", 0);
    expect_quiet(c);
    claim_equal(unsubscribe(c, "a/b"), 0);
    publish(p, "a/b", "x");
    expect_quiet(c);
}

/* MQTT5 [MQTT-3.10.4-3]: what has been sent is completed, even after a resume. */
static void
unsubscribe_completes_what_was_sent(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 100), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 2);
    publish(p, "a", "x", .qos = 2);
    uint16_t id = hear(c, "a", "x", 2).publish.packet_id;
    claim_equal(unsubscribe(c, "a"), 0);
    vanish(c);
    c = rejoin(w, 5, "c", .expiry_s = 100);
    claim_equal(hear(c, "a", "x", 2).publish.packet_id, id);
    answer(c, PACKET_PUBREC, id, 0);
    expect_ack(c, PACKET_PUBREL, id, 0);
    answer(c, PACKET_PUBCOMP, id, 0);
    expect_quiet(c);
}

/* Option max_subscriptions: Quota exceeded, in 3.1.1 failure. MQTT5 3.9.3. */
static void
a_client_has_so_many_subscriptions_and_no_more(struct world *w)
{
    static const char *const filters[] = {"a", "b", "c", "d", "a", "e"};
    struct client *c = join(w, 5, "c"), *old = join(w, 4, "old");
    ask_all(c, filters, NULL, 6, 1);
    expect_codes(c, PACKET_SUBACK, 1, 0, 0, 0, REASON_QUOTA_EXCEEDED, 0, REASON_QUOTA_EXCEEDED);
    claim_equal(subscribe(c, "b", .qos = 2), 2); /* to replace one is not one more */
    claim_equal(subscribe(c, "$share/g/d"), REASON_QUOTA_EXCEEDED);
    claim_equal(unsubscribe(c, "c"), 0);
    claim_equal(subscribe(c, "d"), 0);
    ask_all(old, filters, NULL, 6, 1);
    expect_codes(old, PACKET_SUBACK, 1, 0, 0, 0, 0x80, 0, 0x80);
    claim_equal(WORLD_COUNT(w, drops[DROP_SUBSCRIPTION_LIMIT]), 5);
}

/* Option global_max_filters: filters that are there already cost nothing. */
static void
the_broker_has_so_many_filters_and_no_more(struct world *w)
{
    struct client *c = join(w, 5, id_at(w, 0, 0)), *d = join(w, 5, id_at(w, w->broker->shard_count - 1, 1)), *p = join(w, 5, "p");
    claim_equal(subscribe(c, "a"), 0);
    claim_equal(subscribe(c, "b/+"), 0);
    claim_equal(subscribe(d, "c"), REASON_QUOTA_EXCEEDED);
    claim_equal(subscribe(d, "b/+"), 0);
    claim_equal(unsubscribe(c, "a"), 0);
    claim_equal(subscribe(d, "c"), 0);
    publish(p, "c", "x");
    publish(p, "b/b", "x");
    take(d, "c", "x", 0);
    take(d, "b/b", "x", 0);
    take(c, "b/b", "x", 0);
    claim_equal(subscribe(c, "a"), REASON_QUOTA_EXCEEDED);
    publish(p, "a", "x");
    expect_quiet(c);
}

/* DESIGN: a SUBACK promises that a publish that arrives anywhere afterwards is seen. */
static void
a_publish_after_suback_is_seen(struct world *w)
{
    struct client *p[3];
    for (unsigned i = 0; i < w->broker->shard_count; i++) {
        p[i] = join(w, 5, id_at(w, i, 0));
    }
    struct client *c = join(w, 5, id_at(w, 0, 1));
    for (int round = 0; round < 20; round++) {
        char filter[16], topic[16];
        snprintf(filter, sizeof filter, round % 2 ? "t/%d" : "t/%d/#", round);
        snprintf(topic, sizeof topic, "t/%d", round);
        ask(c, filter);
        struct packet got;
        do { /* turn by turn, so that nobody has had more time than it took */
            settle(c);
        } while (!next_packet(c, &got));
        for (unsigned i = 0; i < w->broker->shard_count; i++) {
            say(p[i], topic, "x");
        }
        for (unsigned i = 0; i < w->broker->shard_count; i++) {
            hear(c, topic, "x", 0);
        }
        unsubscribe(c, filter);
    }
}

/* ------------------------------------------------------------------------------------------------------------------------------- matching */

static const struct {
    const char *filter, *topic;
    bool matches;
} matches[] = {
    {"a/#", "a", true}, /* MQTT5 4.7.1.2: # includes the parent level */
    {"a/#", "a/", true},
    {"a/#", "a/b/c", true},
    {"a/#", "ab", false},
    {"a/#", "/a", false},
    {"#", "a", true},
    {"#", "/", true},
    {"#", "a/b//c", true},
    {"/#", "a", false},
    {"/#", "/a", true},
    {"/#", "/", true},
    {"+", "a", true}, /* 4.7.1.3 */
    {"+", "/a", false},
    {"+", "a/", false},
    {"+/+", "/a", true},
    {"/+", "/a", true},
    {"/+", "/", true},
    {"a/+", "a", false},
    {"a/+", "a/", true},
    {"a/+", "a/b", true},
    {"a/+", "a/b/c", false},
    {"a/+/c", "a//c", true},
    {"+/b/#", "a/b", true},
    {"+/b/#", "a/c", false},
    {"+/+/#", "a", false},
    {"+/+/#", "a/b", true},
    {"a/+/#", "a/b", true},
    {"a/+/#", "a", false},
    {"a", "A", false}, /* 4.7.3: case */
    {"a b", "a b", true},
    {"a", "a ", false},
    {"a", "a/", false},
    {"a/", "a", false},
    {"a", "/a", false},
    {"a//b", "a/b", false},
    {"\xc3\xa9", "e\xcc\x81", false}, /* [MQTT-4.7.3-4]: no normalization */
    {"\xef\xbb\xbf" "a", "a", false}, /* [MQTT-1.5.4-3]: U+FEFF is not stripped */
    {"\xef\xbb\xbf" "a", "\xef\xbb\xbf" "a", true},
};

/* MQTT5 4.7 [MQTT-3.3.2-3]. */
static void
a_filter_matches_its_topics(struct world *w)
{
    struct client *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 0));
    for (unsigned i = 0; i < sizeof matches / sizeof *matches; i++) {
        struct client *c = join(w, 5, id_at(w, 0, 1));
        subscribe(c, matches[i].filter);
        publish(p, matches[i].topic, matches[i].filter);
        settle(c);
        if (matches[i].matches) {
            hear(c, matches[i].topic, matches[i].filter, 0);
        }
        expect_quiet(c);
    }
}

/* The broker against the obvious matcher: hundreds of filters of all shapes, some of them unsubscribed again. */
static void
many_filters_match_as_the_obvious_matcher_says(struct world *w)
{
    enum { CLIENTS = 12, FILTERS = 300 };
    static const char *const words[] = {"a", "b", "c", "+", "", "dd", "+", "#"};
    static char filters[FILTERS][32];
    static bool held[FILTERS];
    struct client *c[CLIENTS], *p = join(w, 5, "p");
    char id[8];
    for (int i = 0; i < CLIENTS; i++) {
        snprintf(id, sizeof id, "s%d", i);
        c[i] = join(w, 5, id);
    }
    for (int i = 0; i < FILTERS; i++) {
        filters[i][0] = '\0';
        for (uint64_t levels = 1 + sim_random(w->sim) % 5; levels > 0; levels--) {
            const char *word = words[sim_random(w->sim) % 8];
            strcat(filters[i], word);
            if (*word == '#' || levels == 1) {
                break;
            }
            strcat(filters[i], "/");
        }
        held[i] = filters[i][0] != '\0';
        if (held[i]) {
            claim_equal(subscribe(c[i % CLIENTS], filters[i]), 0);
        }
    }
    for (int i = 0; i < FILTERS; i += 3) {
        for (int k = 0; held[i] && k < FILTERS; k++) { /* another one may be the same */
            held[k] = held[k] && (k % CLIENTS != i % CLIENTS || k == i || strcmp(filters[k], filters[i]) != 0);
        }
        if (held[i]) {
            claim_equal(unsubscribe(c[i % CLIENTS], filters[i]), 0);
        }
        held[i] = false;
    }
    for (int round = 0; round < 200; round++) {
        char topic[32] = "";
        for (uint64_t levels = 1 + sim_random(w->sim) % 5; levels > 0; levels--) {
            static const char *const plain[] = {"a", "b", "c", "dd", "", "x"};
            strcat(topic, plain[sim_random(w->sim) % 6]);
            strcat(topic, levels > 1 ? "/" : "");
        }
        if (topic[0] == '\0') {
            continue;
        }
        publish(p, topic, "x");
        for (int k = 0; k < CLIENTS; k++) {
            bool wanted = false;
            for (int i = k; i < FILTERS; i += CLIENTS) {
                wanted = wanted || (held[i] && topic_match(bytes_from(filters[i]), bytes_from(topic)));
            }
            if (wanted) {
                hear(c[k], topic, "x", 0);
            }
            expect_quiet(c[k]);
        }
    }
}

/* MQTT5 [MQTT-4.7.2-1]: leading wildcards do not match topics that begin with $. */
static void
leading_wildcards_do_not_match_dollar_topics(struct world *w)
{
    static const char *const leading[] = {"#", "+/#", "+/broker/#", "+/broker/version", "+/+/version"};
    struct client *c = join(w, 5, "c"), *all = join(w, 5, "all"), *plus = join(w, 5, "plus");
    for (int i = 0; i < 5; i++) {
        subscribe(c, leading[i]);
    }
    subscribe(all, "$SYS/#");
    subscribe(plus, "$SYS/+/version");
    pass_seconds(w, 5);
    expect_quiet(c);
    hear(plus, "$SYS/broker/version", NULL, 0);
    struct packet got = expect(all, PACKET_PUBLISH);
    claim(got.publish.topic.size > 5 && memcmp(got.publish.topic.data, "$SYS/", 5) == 0);
}

/* 65 000 slashes in a filter. */
static void
a_filter_of_65000_slashes_does_no_harm(struct world *w)
{
    static char filter[65001];
    static const char *const fillings[] = {"/", "+/", "$share/g//"};
    for (int i = 0; i < 3; i++) {
        struct client *c = join(w, 5, "c"), *p = join(w, 5, "p");
        filter[0] = '\0';
        size_t step = strlen(fillings[i]);
        for (size_t at = 0; at + step <= 65000; at += step) {
            memcpy(filter + at, fillings[i], step + 1);
        }
        ask(c, filter);
        struct packet got;
        claim(listen_for(c, &got));
        claim(got.type == PACKET_DISCONNECT || (got.type == PACKET_SUBACK && got.suback.codes.data[0] >= 0x80));
        subscribe(p, "a");
        publish(p, "a", "x");
        take(p, "a", "x", 0);
    }
}

/* One publication to many, on all shards, each once. */
static void
everybody_who_subscribed_hears_it_once(struct world *w)
{
    static struct client *c[300];
    struct client *p = join(w, 5, "p");
    for (int i = 0; i < 300; i++) {
        char id[8];
        snprintf(id, sizeof id, "s%d", i);
        c[i] = join(w, (uint8_t)(3 + i % 3), id);
        subscribe(c[i], i % 2 ? "a/b" : "a/+", .qos = (uint8_t)(i / 2 % 3));
    }
    for (int k = 0; k < 3; k++) {
        publish(p, "a/b", "x", .qos = 2);
    }
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k < 3; k++) {
            take(c[i], "a/b", "x", (uint8_t)(i / 2 % 3));
        }
        expect_quiet(c[i]);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- overlapping and replaced */

static uint64_t
ids_of(const struct packet *p)
{
    uint64_t seen = 0;
    struct reader block = reader_of(p->publish.properties.raw);
    struct property_item item;
    while (property_next(&block, &item)) {
        if (item.id == PROPERTY_SUBSCRIPTION_IDENTIFIER) {
            seen |= UINT64_C(1) << item.number;
        }
    }
    return seen;
}

/* MQTT5 [MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4], MQTT3 [MQTT-3.3.5-1]: one copy, with the highest QoS and all identifiers. */
static void
overlapping_subscriptions_get_one_copy_with_the_highest_qos(struct world *w)
{
    struct client *c = join(w, 5, id_at(w, 0, 0)), *old = join(w, 4, id_at(w, 0, 1)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 2));
    subscribe(c, "a/b", .qos = 0, .id = 1);
    subscribe(c, "a/+", .qos = 2, .id = 2);
    subscribe(c, "a/#", .qos = 1, .id = 3);
    subscribe(c, "#", .qos = 1);
    subscribe(c, "b/#", .qos = 1, .id = 4);
    subscribe(old, "a/b", .qos = 0);
    subscribe(old, "#", .qos = 1);
    publish(p, "a/b", "x", .qos = 2);
    struct packet got = hear(c, "a/b", "x", 2);
    claim_equal(ids_of(&got), 1 << 1 | 1 << 2 | 1 << 3);
    claim_equal(got.publish.properties.subscription_id_count, 3);
    expect_quiet(c);
    take(old, "a/b", "x", 1);
    expect_quiet(old);
    publish(p, "b", "x", .qos = 0);
    got = hear(c, "b", "x", 0);
    claim_equal(ids_of(&got), 1 << 4);
    publish(p, "c", "x", .qos = 0);
    got = hear(c, "c", "x", 0);
    claim_equal(ids_of(&got), 0);
}

/* MQTT5 3.8.2.1.2: identifiers up to 268 435 455. */
static void
a_subscription_identifier_may_be_large(struct world *w)
{
    struct client *c = join(w, 5, "c"), *p = join(w, 5, "p");
    subscribe(c, "a", .id = 268435455);
    publish(p, "a", "x");
    claim_equal(hear(c, "a", "x", 0).publish.properties.subscription_id, 268435455);
}

/* MQTT5 [MQTT-3.8.4-3], MQTT3 [MQTT-3.8.4-3]: the same filter again replaces QoS, options and identifier. */
static void
the_same_filter_replaces_the_subscription(struct world *w)
{
    struct client *c = join(w, 5, id_at(w, 0, 0)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    static const char *const filters[] = {"a/b", "a/#", "+/b"};
    for (int i = 0; i < 3; i++) {
        subscribe(c, filters[i], .qos = 2, .id = 5, .no_local = true, .as_published = true, .handling = 2);
        subscribe(c, filters[i], .qos = 1, .id = 6, .handling = 2);
        publish(p, "a/b", "x", .qos = 2, .retain = true);
        struct packet got = hear(c, "a/b", "x", 1);
        claim_equal(ids_of(&got), 1 << 6);
        claim(!got.publish.retain);
        answer(c, PACKET_PUBACK, got.publish.packet_id, 0);
        expect_quiet(c);
        publish(c, "a/b", "own", .qos = 1);
        take(c, "a/b", "own", 1);
        claim_equal(subscribe(c, filters[i], .handling = 2), 0); /* and without identifier */
        publish(p, "a/b", "y", .qos = 2);
        got = hear(c, "a/b", "y", 0);
        claim_equal(ids_of(&got), 0);
        claim_equal(WORLD_COUNT(w, subscriptions), 1);
        claim_equal(unsubscribe(c, filters[i]), 0);
    }
}

/* MQTT5 [MQTT-3.8.4-5]: in one packet as in a row of packets: the last one counts. */
static void
the_same_filter_twice_in_one_packet_counts_once(struct world *w)
{
    static const char *const filters[] = {"a", "a", "a"};
    static const uint8_t qos[] = {0, 2, 1};
    struct client *c = join(w, 5, "c"), *p = join(w, 5, "p");
    ask_all(c, filters, qos, 3, 1);
    expect_codes(c, PACKET_SUBACK, 1, 0, 2, 1);
    publish(p, "a", "x", .qos = 2);
    take(c, "a", "x", 1);
    expect_quiet(c);
    claim_equal(WORLD_COUNT(w, subscriptions), 1);
}

/* MQTT5 [MQTT-3.8.4-4]: replacing loses nothing. */
static void
replacing_a_subscription_loses_no_message(struct world *w)
{
    struct client *c = join(w, 5, id_at(w, 0, 0)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(c, "a", .qos = 1);
    for (uint16_t i = 1; i <= 50; i++) {
        char text[8];
        snprintf(text, sizeof text, "%d", i);
        say(p, "a", text, .qos = 1, .id = i);
        ask(c, "a", .qos = 1 + i % 2, .id = i);
    }
    for (int i = 1; i <= 50;) {
        struct packet got;
        claim(listen_for(c, &got));
        if (got.type == PACKET_PUBLISH) {
            char text[8];
            snprintf(text, sizeof text, "%d", i++);
            claim_text(got.publish.payload, text);
            answer(c, PACKET_PUBACK, got.publish.packet_id, 0);
        }
    }
}

/* A subscription of a session that is away is there when it comes back, with all its options. MQTT5 4.1. */
static void
a_subscription_survives_with_its_options(struct world *w)
{
    struct client *c = join(w, 5, id_at(w, 0, 0), .expiry_s = 100), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    subscribe(c, "a", .qos = 1, .id = 9, .no_local = true, .as_published = true);
    vanish(c);
    c = rejoin(w, 5, id_at(w, 0, 0), .expiry_s = 100);
    publish(c, "a", "own", .qos = 2);
    publish(p, "a", "x", .qos = 2, .retain = true);
    struct packet got = hear(c, "a", "x", 1);
    claim_equal(ids_of(&got), 1 << 9);
    claim(got.publish.retain);
    expect_quiet(c);
    publish(c, "a", "", .retain = true);
}

/* ------------------------------------------------------------------------------------------------------------------------------------- options */

/* MQTT5 [MQTT-3.8.3-3]. */
static void
no_local_keeps_own_messages_away(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 100), *p = join(w, 5, "p");
    subscribe(c, "a/#", .qos = 2, .no_local = true, .id = 1);
    publish(c, "a/b", "own");
    publish(c, "a/b", "own", .qos = 2);
    expect_quiet(c);
    publish(p, "a/b", "other", .qos = 1);
    take(c, "a/b", "other", 1);
    subscribe(c, "a/b", .id = 2); /* another one, without: only that one delivers */
    publish(c, "a/b", "own", .qos = 2);
    struct packet got = hear(c, "a/b", "own", 0);
    claim_equal(ids_of(&got), 1 << 2);
    expect_quiet(c);
}

/* Versions 3 have no No Local. */
static void
old_clients_hear_their_own_messages(struct world *w)
{
    struct client *c = join(w, 4, "c");
    subscribe(c, "a", .qos = 1);
    publish(c, "a", "own", .qos = 1);
    take(c, "a", "own", 1);
}

/* MQTT5 [MQTT-3.3.1-12] [MQTT-3.3.1-13]; MQTT3 [MQTT-3.3.1-9]. */
static void
retain_as_published_keeps_the_flag(struct world *w)
{
    struct client *keeps = join(w, 5, id_at(w, 0, 0)), *clears = join(w, 5, id_at(w, 0, 1)), *old = join(w, 4, id_at(w, 0, 2)),
                  *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 3));
    subscribe(keeps, "a", .as_published = true, .qos = 2);
    subscribe(clears, "a", .qos = 2);
    subscribe(old, "a", .qos = 2);
    for (uint8_t i = 0; i < 6; i++) {
        publish(p, "a", "x", .qos = i % 3, .retain = i / 3);
        claim_equal(hear(keeps, "a", "x", i % 3).publish.retain, i / 3);
        claim(!hear(clears, "a", "x", i % 3).publish.retain);
        claim(!hear(old, "a", "x", i % 3).publish.retain);
    }
}

/* MQTT5 [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11] [MQTT-3.8.4-4]. */
static void
retain_handling_says_when_retained_messages_are_sent(struct world *w)
{
    struct client *c = join(w, 5, id_at(w, 0, 0)), *p = join(w, 5, id_at(w, w->broker->shard_count - 1, 1));
    publish(p, "a", "kept", .qos = 1, .retain = true);
    for (int i = 0; i < 3; i++) {
        subscribe(c, "a", .handling = 0);
        claim(hear(c, "a", "kept", 0).publish.retain);
    }
    subscribe(c, "a", .handling = 1); /* it exists */
    expect_quiet(c);
    unsubscribe(c, "a");
    subscribe(c, "a", .handling = 1);
    claim(hear(c, "a", "kept", 0).publish.retain);
    subscribe(c, "a", .handling = 2);
    unsubscribe(c, "a");
    subscribe(c, "a", .handling = 2);
    expect_quiet(c);
    publish(p, "a", "live");
    claim(!hear(c, "a", "live", 0).publish.retain);
}

/* The same for a session that was resumed: its subscription exists. */
static void
retain_handling_1_knows_the_subscriptions_of_a_resumed_session(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 100), *p = join(w, 5, "p");
    subscribe(c, "a", .handling = 1);
    vanish(c);
    publish(p, "a", "kept", .retain = true);
    c = rejoin(w, 5, "c", .expiry_s = 100);
    expect_quiet(c);
    subscribe(c, "a", .handling = 1);
    expect_quiet(c);
    subscribe(c, "a", .handling = 0);
    hear(c, "a", "kept", 0);
}

/* MQTT3 [MQTT-3.8.4-3]: a repeated SUBSCRIBE sends them again. */
static void
old_clients_get_retained_messages_with_every_subscribe(struct world *w)
{
    struct client *c = join(w, 4, "c"), *p = join(w, 5, "p");
    publish(p, "a", "kept", .retain = true);
    for (int i = 0; i < 3; i++) {
        subscribe(c, "a");
        claim(hear(c, "a", "kept", 0).publish.retain);
    }
}

static const struct dialogue dialogues[] = {
    TELL(suback_has_a_code_for_each_filter_in_order),
    TELL(an_invalid_filter_gets_its_own_code),
    TELL(an_invalid_share_is_refused),
    TELL(a_malformed_subscribe_ends_the_connection),
    TELL(unsuback_says_which_subscriptions_existed),
    TELL(unsubscribe_ends_that_filter_only),
    TELL(unsubscribe_completes_what_was_sent),
    TELL_WITH(a_client_has_so_many_subscriptions_and_no_more, "max_subscriptions 3"),
    TELL_WITH(the_broker_has_so_many_filters_and_no_more, "global_max_filters 2"),
    TELL(a_publish_after_suback_is_seen),
    TELL(a_filter_matches_its_topics),
    TELL(many_filters_match_as_the_obvious_matcher_says),
    TELL_WITH(leading_wildcards_do_not_match_dollar_topics, "sys_interval 1"),
    TELL(a_filter_of_65000_slashes_does_no_harm),
    TELL(everybody_who_subscribed_hears_it_once),
    TELL(overlapping_subscriptions_get_one_copy_with_the_highest_qos),
    TELL(a_subscription_identifier_may_be_large),
    TELL(the_same_filter_replaces_the_subscription),
    TELL(the_same_filter_twice_in_one_packet_counts_once),
    TELL(replacing_a_subscription_loses_no_message),
    TELL(a_subscription_survives_with_its_options),
    TELL(no_local_keeps_own_messages_away),
    TELL(old_clients_hear_their_own_messages),
    TELL(retain_as_published_keeps_the_flag),
    TELL(retain_handling_says_when_retained_messages_are_sent),
    TELL(retain_handling_1_knows_the_subscriptions_of_a_resumed_session),
    TELL(old_clients_get_retained_messages_with_every_subscribe),
};

DIALOGUES(dialogues)
