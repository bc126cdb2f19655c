/* How much of the disk the journal takes while messages come and go: see engine/durable/compact.h. */
#include "test/dialogue/dialogue.h"

#include "engine/durable/token.h"
#include "engine/journal/journal.h"
#include "engine/session/session.h"

#define KEEPS "persistence true\npersistence_location " WORLD_LOCATION "\npersistence_segment_size 1048576\nmax_queued_messages 0"
#define SEGMENT (1u << 20)
#define READERS 6u

static uint64_t
used(const struct world *w)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < w->broker->shard_count; i++) {
        sum += journal_bytes_used(w->broker->shards[i]->journal);
    }
    return sum;
}

/* At about two megabytes a second. */
static void
say_many(struct client *p, const char *topic, unsigned count, uint32_t size, bool retain)
{
    for (unsigned i = 0; i < count; i++) {
        publish(p, topic, "m", .qos = 1, .payload_size = size, .retain = retain);
        world_advance(p->world, size / 2000);
    }
}

static void
what_is_overwritten_gives_its_space_back(struct world *w)
{
    struct client *p = join(w, 5, "p");
    publish(p, "kept", "stays", .qos = 1, .retain = true);
    for (unsigned round = 0; round < 20; round++) {
        say_many(p, "last", 40, 100000, true);
        pass_seconds(w, 1);
        claim(used(w) <= 4 * 200000 + 8ull * SEGMENT * w->broker->shard_count);
    }
    world_kill(w);
    world_start(w, w->broker->shard_count);
    struct client *s = join(w, 5, "s");
    subscribe(s, "kept", .qos = 1);
    take(s, "kept", "stays", 1);
    subscribe(s, "last", .qos = 1);
    hear(s, "last", NULL, 1);
}

/* The old ones lie still in every queue when the journal has gone round several times. */
static void
what_waits_is_carried_along(struct world *w)
{
    char text[16];
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "slow", .qos = 2);
    subscribe(s, "$share/g/slow", .qos = 1);
    publish(join(w, 5, "q"), "slow", "first", .qos = 2);
    hear(s, "slow", NULL, 2); /* in flight from now on, and its sister too */
    vanish(s);
    struct client *p = join(w, 5, "p");
    for (unsigned i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "%u", i);
        publish(p, "slow", text, .qos = 2);
    }
    publish(p, "kept/1", "one", .qos = 1, .retain = true);
    publish(p, "$kept/2", "two", .qos = 1, .retain = true);
    publish(join(w, 5, "r", .expiry_s = FOREVER), "x", "y", .qos = 0);
    struct client *r = rejoin(w, 5, "r", .expiry_s = FOREVER);
    say(r, "x", "received", .qos = 2, .id = 5);
    expect_ack(r, PACKET_PUBREC, 5, 0);
    vanish(join(w, 5, "dies", .expiry_s = 100000, .will_topic = "will", .will_payload = "dead", .will_qos = 1, .will_delay_s = 5000));
    for (unsigned round = 0; round < 30; round++) {
        say_many(p, "last", 30, 100000, true);
        pass_seconds(w, 1);
    }
    claim(used(w) <= 4 * 300000 + 8ull * SEGMENT * w->broker->shard_count);
    for (unsigned i = 0; i < 2; i++) {
        world_crash(w);
        world_start(w, w->broker->shard_count);
    }
    r = rejoin(w, 5, "r", .expiry_s = FOREVER);
    subscribe(r, "will", .qos = 1);
    answer(r, PACKET_PUBREL, 5, 0);
    expect_ack(r, PACKET_PUBCOMP, 5, 0);
    claim_equal(WORLD_COUNT(w, queued_messages) + WORLD_COUNT(w, inflight_messages), 102);
    s = rejoin(w, 5, "s", .expiry_s = FOREVER);
    unsigned next = 0;
    struct packet heard;
    while (listen_for(s, &heard)) {
        claim_equal(heard.type, PACKET_PUBLISH);
        answer(s, heard.publish.qos == 1 ? PACKET_PUBACK : PACKET_PUBREC, heard.publish.packet_id, 0);
        if (heard.publish.qos == 2) {
            snprintf(text, sizeof text, "%u", next - 1);
            claim_text(heard.publish.payload, next == 0 ? "first" : text);
            next++;
            pluck_ack_(s, PACKET_PUBREL, heard.publish.packet_id, 0);
            answer(s, PACKET_PUBCOMP, heard.publish.packet_id, 0);
        }
    }
    claim_equal(next, 51);
    ask(s, "kept/1", .qos = 1);
    take_in(s);
    claim_equal(WORLD_COUNT(w, retained_messages), 3);
    pass_seconds(w, 5000);
    take(r, "will", "dead", 1);
}

/* Something is said to every shard. */
static void
walk_on(struct client *p)
{
    static unsigned said;
    char topic[16];
    snprintf(topic, sizeof topic, "last/%u", said++ % 8);
    publish(p, topic, "m", .qos = 1, .payload_size = 10000, .retain = true);
    world_advance(p->world, 5);
}

static void
a_walk_ends_with_the_broker(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER), *p = join(w, 5, "p");
    unsigned home = 0;
    subscribe(s, "t", .qos = 1);
    vanish(s);
    say_many(p, "t", 120, 10000, false);
    while (stats_get(&w->broker->shards[home]->stats.queued_messages) == 0) {
        home++;
    }
    const struct shard *shard = w->broker->shards[home];
    for (unsigned i = 0; i < 2000 && shard->compact.state == COMPACT_IDLE; i++) {
        walk_on(p);
    }
    /* Where the network is slow a shard has many turns between two packets: the walk may be over. */
    claim(shard->compact.state != COMPACT_IDLE || w->broker->shard_count == SHARDS_TRIED);
    uint64_t copied = shard->compact.copied;
    world_stop(w);
    claim_equal(shard->compact.copied, copied);
    world_start(w, w->broker->shard_count);
    s = rejoin(w, 5, "s", .expiry_s = FOREVER);
    for (unsigned i = 0; i < 120; i++) {
        take(s, "t", NULL, 1);
    }
}

/* Queues that are written and drained, some of it in pages. */
static void
a_queue_that_comes_and_goes_takes_no_more_than_promised(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "t", .qos = 1);
    struct client *p = join(w, 5, "p");
    uint64_t most = 0;
    for (unsigned round = 0; round < 12; round++) {
        vanish(s);
        say_many(p, "t", 150, 10000, false);
        most = used(w) > most ? used(w) : most;
        if (round % 3 == 2) {
            world_kill(w);
            world_start(w, w->broker->shard_count);
            p = join(w, 5, "p");
        }
        s = rejoin(w, 5, "s", .expiry_s = FOREVER);
        for (unsigned i = 0; i < 150; i++) {
            take(s, "t", NULL, 1);
        }
        expect_quiet(s);
        most = used(w) > most ? used(w) : most;
    }
    claim(most <= 4 * 1500000 + 8ull * SEGMENT * w->broker->shard_count);
}

/*
 * The one whose turn is first takes the message's body along to the journal's end, the others refer to that; then it has the message, and nobody in the journal holds the body when the
 * others' records come.
 */
static void
who_acknowledges_amid_a_walk_takes_nothing_from_others(struct world *w)
{
    struct client *s[READERS], *p = join(w, 5, "p");
    const struct compact *walk = &w->broker->shards[0]->compact;
    const struct session *first = NULL;
    uint16_t packet_id[READERS];
    unsigned acknowledged = 0;
    char id[16];
    for (unsigned i = 0; i < READERS; i++) {
        snprintf(id, sizeof id, "s%u", i);
        s[i] = join(w, 5, id, .expiry_s = FOREVER, .receive_maximum = 1);
        subscribe(s[i], "t", .qos = 1);
        subscribe(s[i], id, .qos = 1);
    }
    publish(p, "t", "x", .qos = 1);
    for (unsigned i = 0; i < READERS; i++) {
        snprintf(id, sizeof id, "s%u", i);
        packet_id[i] = hear(s[i], "t", "x", 1).publish.packet_id;
        say_many(p, id, 30, 10000, false);
    }
    for (unsigned i = 0; i < 2000 && walk->state != COMPACT_SESSIONS; i++) {
        walk_on(p);
    }
    while (walk->state == COMPACT_SESSIONS && (first == NULL || walk->session == first)) {
        first = walk->session;
        walk_on(p);
    }
    for (unsigned i = 0; i < READERS; i++) {
        snprintf(id, sizeof id, "s%u", i);
        if (first != NULL && bytes_equal(session_client_id(first), bytes_from(id))) {
            answer(s[i], PACKET_PUBACK, packet_id[i], 0);
            acknowledged |= 1u << i;
        }
    }
    claim(acknowledged != 0 && walk->state == COMPACT_SESSIONS);
    while (walk->state != COMPACT_IDLE) {
        walk_on(p);
    }
    world_settle(w);
    world_crash(w);
    world_start(w, w->broker->shard_count);
    for (unsigned i = 0; i < READERS; i++) {
        snprintf(id, sizeof id, "s%u", i);
        s[i] = rejoin(w, 5, id, .expiry_s = FOREVER);
        if ((acknowledged >> i & 1) == 0) {
            take(s[i], "t", "x", 1);
        }
        for (unsigned k = 0; k < 30; k++) {
            take(s[i], id, NULL, 1);
        }
        expect_quiet(s[i]);
    }
}

/* It is in the journal all the same, for a session that is owed it. */
static void
a_retained_message_that_is_not_to_outlive_the_process_is_not_copied(struct world *w)
{
    struct client *s = join(w, 5, "s", .expiry_s = FOREVER);
    subscribe(s, "state", .qos = 1);
    vanish(s);
    struct client *p = join(w, 5, "p");
    publish(p, "state", "old", .qos = 1, .retain = true);
    struct client *q = join(w, 5, "q", .expiry_s = FOREVER);
    for (unsigned round = 0; round < 12; round++) {
        subscribe(q, "noise", .qos = 1);
        vanish(q);
        say_many(p, "noise", 60, 20000, false);
        q = rejoin(w, 5, "q", .expiry_s = FOREVER);
        for (unsigned i = 0; i < 60; i++) {
            take(q, "noise", NULL, 1);
        }
    }
    publish(p, "state", "", .qos = 1, .retain = true);
    world_kill(w);
    world_start(w, w->broker->shard_count);
    claim_equal(WORLD_COUNT(w, retained_messages), 0);
    s = rejoin(w, 5, "s", .expiry_s = FOREVER);
    take(s, "state", "old", 1);
    take(s, "state", "", 1);
}

/* Their records are cut off long before their publishers come back. */
static void
what_publishers_may_send_again_is_known_for_good(struct world *w)
{
    const struct entry_token everywhere = {.identity = 77, .count = 5, .hash = 1234, .packet_id = 9};
    const struct entry_token somewhere = {.identity = 78, .count = 6, .hash = 1235, .packet_id = 10};
    unsigned at = broker_shard_of(w->broker, "last", 4);
    token_remember(w->broker->shards[at], &everywhere);
    token_remember_holder(w->broker->shards[at], &somewhere, 100);
    token_remember_holder(w->broker->shards[at], &somewhere, 101);
    for (unsigned i = 0; i < 3; i++) {
        struct client *p = join(w, 5, "p");
        for (unsigned round = 0; round < 6; round++) {
            say_many(p, "last", 30, 100000, true);
            pass_seconds(w, 1);
        }
        world_kill(w);
        world_start(w, w->broker->shard_count);
    }
    struct token_holders holders = {0};
    struct shard *shard = w->broker->shards[at];
    claim(token_take(shard, &everywhere, 0, &holders));
    claim_equal(holders.count, 0);
    claim(!token_take(shard, &somewhere, 0, &holders));
    claim_equal(holders.count, 2);
    claim(token_is_holder(&holders, 100) && token_is_holder(&holders, 101));
    token_free_holders(shard, &holders);
}

static const struct dialogue dialogues[] = {
    TELL_WITH(what_is_overwritten_gives_its_space_back, KEEPS),
    TELL_WITH(what_waits_is_carried_along, KEEPS),
    TELL_WITH(who_acknowledges_amid_a_walk_takes_nothing_from_others, KEEPS),
    TELL_WITH(a_walk_ends_with_the_broker, KEEPS),
    TELL_WITH(what_publishers_may_send_again_is_known_for_good, KEEPS),
    TELL_WITH(a_queue_that_comes_and_goes_takes_no_more_than_promised, KEEPS "\nqueue_memory_limit 262144"),
    TELL_WITH(a_retained_message_that_is_not_to_outlive_the_process_is_not_copied, KEEPS "\nretained_persistence false"),
};

DIALOGUES(dialogues)
