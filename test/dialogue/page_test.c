/* Queues that are longer than memory (engine/session/page.h). */
#include "engine/session/page.h"
#include "test/dialogue/dialogue.h"

#define DISK "persistence true\npersistence_location " WORLD_LOCATION "\n"
#define SMALL DISK "max_queued_messages 0\nqueue_memory_limit 65536\n"
/* What waits goes to disk one by one. */
#define TINY DISK "max_queued_messages 0\nqueue_memory_limit 16\n"
#define PAYLOAD_BYTES 1000u

/* "0", "1", ...: alternately with QoS 1 and 2. */
static const char *
text_of(uint32_t number)
{
    static char text[16];
    snprintf(text, sizeof text, "%u:", number);
    return text;
}

static uint8_t
qos_of(uint32_t number)
{
    return (uint8_t)(1 + number % 2);
}

static void
publish_some(struct client *p, const char *topic, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        publish(p, topic, text_of(i), .qos = qos_of(i), .payload_size = PAYLOAD_BYTES);
    }
}

/* What comes next with each QoS: a message with QoS 2 goes out a commit later, and others may overtake it. */
struct expected {
    uint32_t next[3];
};

static struct expected
expected_from(uint32_t number)
{
    struct expected e = {0};
    e.next[qos_of(number)] = number;
    e.next[qos_of(number + 1)] = number + 1;
    return e;
}

static void
take_one(struct client *c, struct expected *e)
{
    struct packet p = expect(c, PACKET_PUBLISH);
    struct bytes payload = p.publish.payload;
    const char *text = text_of(e->next[p.publish.qos]);
    claim_equal(payload.size, PAYLOAD_BYTES);
    if (memcmp(payload.data, text, strlen(text)) != 0) {
        complain("message %s expected; got %.*s with QoS %u", text, 6, (const char *)payload.data, p.publish.qos);
    }
    e->next[p.publish.qos] += 2;
    uint16_t id = p.publish.packet_id;
    if (p.publish.qos == 1) {
        answer(c, PACKET_PUBACK, id, REASON_SUCCESS);
    } else {
        answer(c, PACKET_PUBREC, id, REASON_SUCCESS);
        pluck_ack_(c, PACKET_PUBREL, id, REASON_SUCCESS);
        answer(c, PACKET_PUBCOMP, id, REASON_SUCCESS);
    }
}

static void
take_some(struct client *c, struct expected *e, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        take_one(c, e);
    }
    settle(c);
}

/* All from 0 on. */
static void
take_all(struct client *c, uint32_t count)
{
    struct expected e = expected_from(0);
    take_some(c, &e, count);
    expect_quiet(c);
}

static void
expect_nothing_waits(struct world *w)
{
    world_settle(w);
    claim_equal(WORLD_COUNT(w, queued_messages), 0);
    claim_equal(WORLD_COUNT(w, queued_bytes), 0);
    claim_equal(WORLD_COUNT(w, paged_messages), 0);
    claim_equal(WORLD_COUNT(w, paged_bytes), 0);
    for (unsigned i = 0; i < w->broker->shard_count; i++) {
        claim_equal(w->broker->shards[i]->queue_memory, 0);
    }
}

static uint64_t
queue_memory(const struct world *w)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < w->broker->shard_count; i++) {
        sum += w->broker->shards[i]->queue_memory;
    }
    return sum;
}

static void
what_waits_beyond_memory_comes_in_order(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 2);
    vanish(c);
    publish_some(p, "a", 0, 300);
    claim_equal(WORLD_COUNT(w, queued_messages), 300);
    claim(WORLD_COUNT(w, paged_messages) >= 200);
    claim(queue_memory(w) <= 65536 + PAGE_BYTES);
    c = rejoin(w, 5, "c", .expiry_s = 1000);
    take_all(c, 300);
    expect_nothing_waits(w);
    claim_equal(WORLD_COUNT(w, pages_read), WORLD_COUNT(w, pages_written));
}

static void
one_message_may_be_a_page(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 2);
    vanish(c);
    publish_some(p, "a", 0, 20);
    claim_equal(WORLD_COUNT(w, paged_messages), 20);
    claim_equal(queue_memory(w), 0);
    c = rejoin(w, 5, "c", .expiry_s = 1000, .receive_maximum = 3);
    take_all(c, 20);
    expect_nothing_waits(w);
}

/* Far more than a write of the journal takes. */
static void
large_messages_wait_on_disk(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    vanish(c);
    for (uint32_t i = 0; i < 4; i++) {
        publish(p, "a", text_of(i), .qos = 1, .payload_size = 300000 + i * 500000);
    }
    claim_equal(WORLD_COUNT(w, paged_messages), 4);
    c = rejoin(w, 5, "c", .expiry_s = 1000);
    for (uint32_t i = 0; i < 4; i++) {
        struct packet m = hear(c, "a", NULL, 1);
        claim_equal(m.publish.payload.size, 300000 + i * 500000);
        claim_equal(m.publish.payload.data[0], '0' + i);
        claim_equal(m.publish.payload.data[m.publish.payload.size - 1], 'x');
        answer(c, PACKET_PUBACK, m.publish.packet_id, REASON_SUCCESS);
    }
    expect_quiet(c);
    expect_nothing_waits(w);
}

static void
a_client_may_leave_in_the_middle(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 2);
    vanish(c);
    publish_some(p, "a", 0, 200);
    struct expected e = expected_from(0);
    for (uint32_t round = 0; round < 5; round++) {
        c = rejoin(w, 5, "c", .expiry_s = 1000, .receive_maximum = 4);
        take_some(c, &e, 33);
        vanish(c);
        publish_some(p, "a", 200 + round * 20, 220 + round * 20);
    }
    c = rejoin(w, 5, "c", .expiry_s = 1000);
    take_some(c, &e, 300 - 5 * 33);
    expect_quiet(c);
    expect_nothing_waits(w);
}

/* It is connected, and acknowledges nothing for long. */
static void
a_slow_client_gets_all_in_order(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000, .receive_maximum = 2), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 2);
    publish_some(p, "a", 0, 300);
    claim(WORLD_COUNT(w, paged_messages) >= 150);
    take_all(c, 300);
    expect_nothing_waits(w);
}

static void
limits_count_what_is_on_disk(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 2);
    vanish(c);
    publish_some(p, "a", 0, 150);
    claim_equal(WORLD_COUNT(w, queued_messages), 100);
    claim_equal(WORLD_COUNT(w, drops[DROP_QUEUE_FULL]), 50);
    claim(WORLD_COUNT(w, paged_messages) > 0);
    c = rejoin(w, 5, "c", .expiry_s = 1000);
    take_all(c, 100);
}

static void
messages_expire_on_disk(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    vanish(c);
    for (uint32_t i = 0; i < 20; i++) {
        publish(p, "a", text_of(i), .qos = 1, .expiry_s = i % 2 == 0 ? 5 : 100);
    }
    claim_equal(WORLD_COUNT(w, paged_messages), 20);
    pass_seconds(w, 10);
    c = rejoin(w, 5, "c", .expiry_s = 1000);
    for (uint32_t i = 1; i < 20; i += 2) {
        struct packet m = hear(c, "a", text_of(i), 1);
        claim_equal(m.publish.properties.message_expiry_s, 90);
        answer(c, PACKET_PUBACK, m.publish.packet_id, REASON_SUCCESS);
    }
    expect_quiet(c);
    claim_equal(WORLD_COUNT(w, drops[DROP_EXPIRED]), 10);
    expect_nothing_waits(w);
}

static void
pages_end_with_their_session(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 5), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 2);
    vanish(c);
    publish_some(p, "a", 0, 200);
    claim(WORLD_COUNT(w, paged_messages) > 0);
    pass_seconds(w, 10);
    claim_equal(WORLD_COUNT(w, drops[DROP_SESSION_ENDED]), 200);
    expect_nothing_waits(w);
}

/* While pages of it are read, and while they are written. */
static void
a_session_may_end_while_its_pages_move(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
    for (uint32_t round = 0; round < 12; round++) {
        subscribe(c, "a", .qos = 1);
        vanish(c);
        publish_some(p, "a", 0, 8);
        if (round % 2 == 0) {
            for (uint32_t i = 0; i < round; i++) {
                say(p, "a", "x", .qos = 1, .payload_size = PAYLOAD_BYTES);
            }
        } else {
            c = knock(w, 5, "c", .resume = true, .expiry_s = 1000);
            sim_advance(w->sim, 30000 * round);
            sim_reset(w->sim, c->connection);
        }
        c = knock(w, 5, "c", .expiry_s = 1000);
        expect_connack(c, REASON_SUCCESS);
        take_in(p);
        p->used = p->consumed = 0;
    }
    expect_nothing_waits(w);
}

/* A body that many wait for is one in memory: it goes to disk last, and comes back to each of them. */
static void
what_many_wait_for_comes_to_all(struct world *w)
{
    enum { CLIENTS = 6 };
    struct client *c[CLIENTS], *p = join(w, 5, "p");
    char id[CLIENTS][8];
    for (uint32_t i = 0; i < CLIENTS; i++) {
        snprintf(id[i], sizeof id[i], "c%u", i);
        c[i] = join(w, 5, id[i], .expiry_s = 1000);
        subscribe(c[i], "a", .qos = 2);
        vanish(c[i]);
    }
    publish_some(p, "a", 0, 40);
    claim_equal(WORLD_COUNT(w, pages_written), 0); /* memory has each of them once a shard */
    publish_some(p, "a", 40, 200);
    claim(WORLD_COUNT(w, paged_messages) > 0);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        c[i] = rejoin(w, 5, id[i], .expiry_s = 1000);
        take_all(c[i], 200);
    }
    expect_nothing_waits(w);
}

/* They are never on disk. */
static void
messages_of_qos_0_keep_their_place(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 2);
    vanish(c);
    for (uint32_t i = 0; i < 30; i++) {
        publish(p, "a", text_of(i), .qos = i % 3 > 0);
    }
    claim_equal(WORLD_COUNT(w, paged_messages), 20);
    c = rejoin(w, 5, "c", .expiry_s = 1000);
    for (uint32_t i = 0; i < 30; i++) {
        take(c, "a", text_of(i), i % 3 > 0);
    }
    expect_quiet(c);
    expect_nothing_waits(w);
}

/* A session that ends with its connection has nothing on disk. */
static void
only_kept_sessions_have_pages(struct world *w)
{
    struct client *c = join(w, 5, "c", .receive_maximum = 1), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    for (uint32_t i = 0; i < 20; i++) {
        publish(p, "a", text_of(i), .qos = 1);
    }
    claim_equal(WORLD_COUNT(w, queued_messages), 19);
    claim_equal(WORLD_COUNT(w, pages_written), 0);
    for (uint32_t i = 0; i < 20; i++) {
        take(c, "a", text_of(i), 1);
    }
    expect_nothing_waits(w);
}

/* What is in a message, and how it is to be delivered, is the same afterwards. */
static void
a_message_comes_back_as_it_was(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(c, "a/+", .qos = 2, .id = 7, .as_published = true);
    subscribe(c, "a/b", .qos = 1, .id = 300, .as_published = true, .packet_id = 2);
    vanish(c);
    publish(p, "a/b", "hello", .qos = 2, .retain = true, .expiry_s = 50, .utf8 = true, .content_type = "text", .response_topic = "r/1", .correlation = "corr", .user = "k=v k2=v2");
    claim_equal(WORLD_COUNT(w, paged_messages), 1);
    c = rejoin(w, 5, "c", .expiry_s = 1000);
    struct packet m = hear(c, "a/b", "hello", 2);
    claim(m.publish.retain);
    claim_equal(m.publish.properties.message_expiry_s, 50);
    claim_equal(m.publish.properties.payload_format, 1);
    claim_equal(m.publish.properties.subscription_id_count, 2);
    claim_text(m.publish.properties.content_type, "text");
    claim_text(m.publish.properties.response_topic, "r/1");
    claim_text(m.publish.properties.correlation_data, "corr");
    claim_text(bytes_from(user_text(&m.publish.properties)), "k=v k2=v2");
}

/* As what is in memory does. */
static void
shared_messages_of_a_session_that_ends_go_to_others(struct world *w)
{
    for (uint32_t round = 0; round < 4; round++) {
        struct client *c = join(w, 5, "c", .expiry_s = 5), *d = join(w, 5, "d"), *p = join(w, 5, "p");
        subscribe(c, "$share/g/a", .qos = 1);
        subscribe(c, "a", .qos = 1, .packet_id = 2);
        vanish(c);
        for (uint32_t i = 0; i < 20; i++) {
            publish(p, "a", text_of(i), .qos = 1, .payload_size = round % 2 == 0 ? 0 : PAYLOAD_BYTES);
        }
        claim(WORLD_COUNT(w, paged_messages) > 0);
        subscribe(d, "$share/g/a", .qos = 1);
        pass_seconds(w, round < 2 ? 10 : 4);
        if (round >= 2) {
            c = join(w, 5, "c"); /* Clean Start */
            bye(c, 0);
        }
        uint32_t seen = 0;
        for (uint32_t i = 0; i < 20; i++) {
            struct packet m = hear(d, "a", NULL, 1); /* pages are read in any order */
            seen |= 1u << strtoul((const char *)m.publish.payload.data, NULL, 10) % 32;
            answer(d, PACKET_PUBACK, m.publish.packet_id, REASON_SUCCESS);
        }
        claim_equal(seen, (1u << 20) - 1);
        expect_quiet(d);
        expect_nothing_waits(w);
        bye(d, 0);
    }
    claim_equal(WORLD_COUNT(w, drops[DROP_SESSION_ENDED]), 4 * 20);
}

/* In three ways, with the same number of shards and with another one. */
static void
start_again(struct world *w, uint32_t way)
{
    static const uint8_t others[] = {2, 3, 1};
    unsigned shards = w->broker->shard_count;
    void (*const end[])(struct world *) = {world_stop, world_kill, world_crash};
    world_settle(w);
    end[way % 3](w);
    world_start(w, way % 6 < 3 ? shards : others[shards - 1]);
}

static void
pages_survive_a_restart(struct world *w)
{
    for (uint32_t way = 0; way < 6; way++) {
        struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
        subscribe(c, "a", .qos = 2);
        vanish(c);
        publish_some(p, "a", 0, 60);
        claim(WORLD_COUNT(w, paged_messages) > 0);
        start_again(w, way);
        claim_equal(WORLD_COUNT(w, queued_messages), 60);
        claim(WORLD_COUNT(w, paged_messages) > 0);
        c = rejoin(w, 5, "c", .expiry_s = 1000);
        take_all(c, 60);
        expect_nothing_waits(w);
        bye_for(c, 0, 0);
    }
}

/* Some are over, some on their way, some in memory, the rest on disk; in pages that have been read in part, too. */
static void
a_restart_may_come_while_pages_are_read(struct world *w)
{
    for (uint32_t way = 0; way < 6; way += 2) {
        struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
        struct expected e = expected_from(0);
        subscribe(c, "a", .qos = 2);
        vanish(c);
        publish_some(p, "a", 0, 60);
        for (uint32_t i = 0; i < 5; i++) {
            c = rejoin(w, 5, "c", .expiry_s = 1000, .receive_maximum = 1 + (uint16_t)i);
            take_some(c, &e, 7 + i);
            start_again(w, way + i);
        }
        c = rejoin(w, 5, "c", .expiry_s = 1000);
        take_some(c, &e, 60 - 45);
        expect_quiet(c);
        expect_nothing_waits(w);
        bye_for(c, 0, 0);
    }
}

/* Tried three times, then given up; the rest comes. */
static void
a_page_that_cannot_be_read_is_counted(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 1);
    vanish(c);
    for (uint32_t i = 0; i < 10; i++) {
        publish(p, "a", text_of(i), .qos = 1);
    }
    claim_equal(WORLD_COUNT(w, paged_messages), 10);
    sim_disk_fail(w->disk, SIM_DISK_READ, 2);
    c = rejoin(w, 5, "c", .expiry_s = 1000, .receive_maximum = 1);
    take(c, "a", text_of(0), 1);
    claim_equal(WORLD_COUNT(w, drops[DROP_PAGE_LOST]), 0);
    hear(c, "a", text_of(1), 1);
    vanish(c);
    sim_disk_fail(w->disk, SIM_DISK_READ, 3);
    c = rejoin(w, 5, "c", .expiry_s = 1000);
    take(c, "a", text_of(1), 1);
    for (uint32_t i = 3; i < 10; i++) {
        take(c, "a", text_of(i), 1);
    }
    expect_quiet(c);
    claim_equal(WORLD_COUNT(w, drops[DROP_PAGE_LOST]), 1);
    expect_nothing_waits(w);
}

/* Much comes and goes around it: what waits is copied on, and what it lay in is used again. */
static void
pages_move_on_with_the_journal(struct world *w)
{
    struct client *c = join(w, 5, "c", .expiry_s = 1000), *d = join(w, 5, "d", .expiry_s = 1000), *p = join(w, 5, "p");
    subscribe(c, "a", .qos = 2);
    subscribe(d, "b", .qos = 1);
    vanish(c);
    publish_some(p, "a", 0, 100);
    for (uint32_t i = 0; i < 40 * w->broker->shard_count; i++) {
        publish(p, "b", text_of(i), .qos = 1, .payload_size = 500000);
        take(d, "b", NULL, 1);
        world_advance(w, 50);
    }
    for (unsigned i = 0; i < w->broker->shard_count; i++) {
        claim(journal_bytes_used(w->broker->shards[i]->journal) < 16u << 20);
    }
    start_again(w, 2);
    c = rejoin(w, 5, "c", .expiry_s = 1000);
    take_all(c, 100);
    expect_nothing_waits(w);
}

static const struct dialogue dialogues[] = {
    TELL_WITH(what_waits_beyond_memory_comes_in_order, SMALL),
    TELL_WITH(one_message_may_be_a_page, TINY),
    TELL_WITH(large_messages_wait_on_disk, TINY "persistence_segment_size 1048576"),
    TELL_WITH(a_client_may_leave_in_the_middle, SMALL),
    TELL_WITH(a_client_may_leave_in_the_middle, TINY),
    TELL_WITH(a_slow_client_gets_all_in_order, SMALL),
    TELL_WITH(a_slow_client_gets_all_in_order, TINY),
    TELL_WITH(limits_count_what_is_on_disk, DISK "max_queued_messages 100\nqueue_memory_limit 16384"),
    TELL_WITH(messages_expire_on_disk, TINY),
    TELL_WITH(pages_end_with_their_session, SMALL),
    TELL_WITH(a_session_may_end_while_its_pages_move, TINY),
    TELL_WITH(what_many_wait_for_comes_to_all, DISK "max_queued_messages 0\nqueue_memory_limit 262144"),
    TELL_WITH(messages_of_qos_0_keep_their_place, TINY "queue_qos0_messages true"),
    TELL_WITH(only_kept_sessions_have_pages, TINY),
    TELL_WITH(a_message_comes_back_as_it_was, TINY),
    TELL_WITH(shared_messages_of_a_session_that_ends_go_to_others, TINY),
    TELL_WITH(pages_survive_a_restart, DISK "max_queued_messages 0\nqueue_memory_limit 16384"),
    TELL_WITH(pages_survive_a_restart, TINY),
    TELL_WITH(a_restart_may_come_while_pages_are_read, DISK "max_queued_messages 0\nqueue_memory_limit 16384"),
    TELL_WITH(a_restart_may_come_while_pages_are_read, TINY),
    TELL_WITH(a_page_that_cannot_be_read_is_counted, TINY),
    TELL_WITH(pages_move_on_with_the_journal, SMALL "persistence_segment_size 1048576"),
};

DIALOGUES(dialogues)
