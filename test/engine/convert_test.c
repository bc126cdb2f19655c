#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "engine/durable/entry.h"
#include "engine/journal/writer.h"
#include "engine/place.h"
#include "test/support/facts.h"
#include "test/support/store_scene.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLAIM(name) static void name(void **state __attribute__((unused)))
#define SESSIONS 24u
#define TOPICS 12u
#define BODIES_MAX 4000u
#define SHARDS_MAX 8u

static struct store_scene scene;
static uint64_t seed;

static int
begin(void **state)
{
    (void)state;
    store_scene_init(&scene, ++seed);
    return 0;
}

static int
end(void **state)
{
    (void)state;
    store_scene_fini(&scene);
    return 0;
}

/* -------------------------------------------------------------------------------------- journals that a broker might leave */

struct writing {
    uint64_t random;
    struct journal_writer *writers[SHARDS_MAX];
    const struct manifest *manifest;
    struct {
        uint64_t identity; /* 0: none */
        uint64_t number, received;
        unsigned shard;
    } sessions[SESSIONS];
    struct {
        unsigned shard;
        struct entry_body body;
        char topic[16], payload[64];
        bool in_page;      /* and nowhere else: nothing refers to it */
    } bodies[BODIES_MAX];
    unsigned body_count;
    uint64_t body_numbers[SHARDS_MAX];
    uint64_t serial;
    uint8_t out[8192];
    struct writer w;
};

static struct writing writing;

static uint32_t
below(uint32_t n)
{
    writing.random = writing.random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((writing.random >> 33) % n);
}

static struct writer *
begin_record(void)
{
    writing.w = writer_of(writing.out, sizeof writing.out);
    return &writing.w;
}

static void
end_record(unsigned shard, uint8_t type)
{
    assert_false(writing.w.failed);
    journal_writer_append(writing.writers[shard], type, bytes_of(writing.out, (uint32_t)(writing.w.at - writing.out)));
}

static unsigned
place_of(const char *key)
{
    return place_shard(writing.manifest->secret, writing.manifest->shard_count, key, (uint32_t)strlen(key));
}

static struct bytes
text(const char *string)
{
    return bytes_of(string, (uint32_t)strlen(string));
}

static void
write_session(unsigned i)
{
    char client[16];
    snprintf(client, sizeof client, "client%u", i);
    writing.sessions[i].shard = place_of(client);
    if (writing.sessions[i].identity == 0) {
        writing.sessions[i].identity = (uint64_t)writing.sessions[i].shard << 56 | ++writing.serial;
        writing.sessions[i].received = 0;
    }
    struct entry_session e = {.identity = writing.sessions[i].identity, .absent_since_ms = below(3), .delivery_number = writing.sessions[i].number,
                              .received_count = writing.sessions[i].received, .expiry_s = below(1000), .window = (uint16_t)below(100), .version = 5,
                              .client_id = text(client), .principal = text(below(2) == 0 ? "" : "principal")};
    entry_put_session(begin_record(), &e);
    end_record(writing.sessions[i].shard, ENTRY_SESSION);
}

static void
write_end(unsigned i)
{
    entry_put_identity(begin_record(), writing.sessions[i].identity);
    end_record(writing.sessions[i].shard, ENTRY_SESSION_END);
    writing.sessions[i].identity = 0;
}

static void
write_subscription(unsigned i, uint8_t type)
{
    char filter[16];
    snprintf(filter, sizeof filter, "f/%u", below(6));
    struct entry_subscription e = {.identity = writing.sessions[i].identity, .identifier = below(3), .qos = (uint8_t)below(3), .text = text(filter)};
    entry_put_subscription(begin_record(), &e);
    end_record(writing.sessions[i].shard, type);
}

static unsigned
make_body(unsigned shard)
{
    unsigned n = writing.body_count++;
    assert_true(n < BODIES_MAX);
    snprintf(writing.bodies[n].topic, sizeof writing.bodies[n].topic, "t/%u", below(TOPICS));
    snprintf(writing.bodies[n].payload, sizeof writing.bodies[n].payload, "%u-%u", n, below(1000000));
    writing.bodies[n].shard = shard;
    /* Numbers grow in each shard by itself, so they are the same in several. */
    writing.bodies[n].body = (struct entry_body){.number = ++writing.body_numbers[shard], .publisher = below(3), .stamp = below(2) * writing.serial,
                                                 .expiry_ms = below(2) * 77, .qos = (uint8_t)below(3), .topic = text(writing.bodies[n].topic),
                                                 .payload = text(writing.bodies[n].payload)};
    return n;
}

static void
put_deliveries(const bool *chosen, uint64_t body)
{
    for (unsigned i = 0; i < SESSIONS; i++) {
        if (chosen[i]) {
            struct entry_delivery e = {.identity = writing.sessions[i].identity, .number = ++writing.sessions[i].number, .body = body, .qos = (uint8_t)(1 + below(2)),
                                       .share_hash = below(3), .retain = below(2) == 0, .cancelled = below(10) == 0};
            if (below(4) == 0) {
                e.state = ENTRY_DELIVERY_PUBLISHED;
                e.packet_id = (uint16_t)(1 + below(1000));
            }
            if (below(4) == 0) {
                e.identifier_count = 1;
                e.identifiers = bytes_of("\0\0\0\7", 4);
            }
            entry_put_delivery(&writing.w, &e);
        }
    }
}

/* Some of the sessions that live on the shard. */
static uint32_t
choose(unsigned shard, bool *chosen)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < SESSIONS; i++) {
        chosen[i] = writing.sessions[i].identity != 0 && writing.sessions[i].shard == shard && below(3) == 0;
        count += chosen[i];
    }
    return count;
}

static void
write_message(unsigned shard)
{
    bool chosen[SESSIONS];
    unsigned publisher = below(SESSIONS), n = make_body(shard);
    struct entry_message e = {.body = writing.bodies[n].body, .delivery_count = choose(shard, chosen)};
    e.keep_retained = place_of(writing.bodies[n].topic) == shard && below(2) == 0;
    if (writing.sessions[publisher].identity != 0 && below(2) == 0) {
        e.token = (struct entry_token){writing.sessions[publisher].identity, writing.sessions[publisher].received + 1 + below(2), below(1000), (uint16_t)(1 + below(20))};
        e.received = writing.sessions[publisher].shard == shard && below(2) == 0;
        writing.sessions[publisher].received = e.received ? e.token.count : writing.sessions[publisher].received;
    }
    entry_put_message(begin_record(), &e);
    put_deliveries(chosen, 0);
    end_record(shard, ENTRY_MESSAGE);
}

/* A body that this shard has had, as a message for more sessions, or a copy of what was written before. */
static void
write_again(unsigned shard, bool copy)
{
    bool chosen[SESSIONS] = {false};
    unsigned n = writing.body_count > 0 ? below(writing.body_count) : 0;
    if (writing.body_count == 0 || writing.bodies[n].shard != shard || writing.bodies[n].in_page) {
        return;
    }
    if (copy) {
        entry_put_message(begin_record(), &(struct entry_message){.body = writing.bodies[n].body});
        end_record(shard, ENTRY_MESSAGE);
        return;
    }
    struct writer *w = begin_record();
    entry_put_deliveries(w, choose(shard, chosen));
    put_deliveries(chosen, writing.bodies[n].body.number);
    end_record(shard, ENTRY_DELIVERIES);
}

static void
write_page(unsigned i)
{
    struct entry_page e = {.identity = writing.sessions[i].identity, .count = 3, .cost = 1000, .first = writing.sessions[i].number + 1, .last = writing.sessions[i].number + 3};
    struct writer *w = begin_record();
    entry_put_page(w, &e);
    for (unsigned k = 0; k < e.count; k++) {
        unsigned n = make_body(writing.sessions[i].shard);
        writing.bodies[n].in_page = true;
        entry_put_delivery(w, &(struct entry_delivery){.identity = e.identity, .number = ++writing.sessions[i].number, .qos = 1});
        entry_put_body(w, &writing.bodies[n].body);
    }
    end_record(writing.sessions[i].shard, ENTRY_PAGE);
}

static void
write_mark(unsigned i)
{
    static const uint8_t types[] = {ENTRY_SENT, ENTRY_RELEASED, ENTRY_DONE, ENTRY_DONE};
    uint8_t type = types[below(4)];
    struct writer *w = begin_record();
    entry_put_mark_head(w, writing.sessions[i].identity, 2);
    entry_put_mark(w, 1 + below((uint32_t)writing.sessions[i].number + 1), type == ENTRY_DONE ? 0 : 7);
    entry_put_mark(w, 1 + below((uint32_t)writing.sessions[i].number + 1), type == ENTRY_DONE ? 0 : 8);
    end_record(writing.sessions[i].shard, type);
}

static void
write_will(unsigned i)
{
    if (below(3) == 0) {
        entry_put_identity(begin_record(), writing.sessions[i].identity);
        end_record(writing.sessions[i].shard, ENTRY_WILL_DROPPED);
        return;
    }
    struct entry_will e = {.identity = writing.sessions[i].identity, .delay_s = below(9), .body = {.topic = text("will"), .payload = text("gone"), .qos = 1}};
    entry_put_will(begin_record(), &e);
    end_record(writing.sessions[i].shard, ENTRY_WILL);
}

static void
write_received(unsigned i)
{
    bool completed = below(2) == 0;
    struct entry_received e = {.identity = writing.sessions[i].identity, .count = completed ? 0 : ++writing.sessions[i].received, .packet_id = (uint16_t)(1 + below(20))};
    entry_put_received(begin_record(), &e);
    end_record(writing.sessions[i].shard, completed ? ENTRY_COMPLETED : ENTRY_RECEIVED);
}

static void
write_absent(unsigned i)
{
    entry_put_absent(begin_record(), &(struct entry_absent){writing.sessions[i].identity, 1 + below(1000), below(1000)});
    end_record(writing.sessions[i].shard, ENTRY_ABSENT);
}

static void
write_retain_removed(void)
{
    char topic[16];
    snprintf(topic, sizeof topic, "t/%u", below(TOPICS));
    entry_put_retain_removed(begin_record(), &(struct entry_retain_removed){.stamp = 1, .topic = text(topic)});
    end_record(place_of(topic), ENTRY_RETAIN_REMOVED);
}

static void
write_something(void)
{
    unsigned i = below(SESSIONS), what = below(20);
    if (what < 6) {
        write_message(below(writing.manifest->shard_count));
    } else if (what < 8) {
        write_again(below(writing.manifest->shard_count), what == 7);
    } else if (what == 8) {
        write_retain_removed();
    } else if (writing.sessions[i].identity == 0 || what == 9) {
        write_session(i);
    } else if (what < 12) {
        write_subscription(i, what == 10 ? ENTRY_SUBSCRIPTION : ENTRY_UNSUBSCRIBED);
    } else if (what < 15) {
        write_mark(i);
    } else if (what == 15) {
        write_will(i);
    } else if (what == 16) {
        write_received(i);
    } else if (what == 17) {
        write_absent(i);
    } else if (what == 18) {
        write_page(i);
    } else if (below(5) == 0) {
        write_end(i);
    }
}

/* A store_fill; context: how many records. */
static int
fill_randomly(void *context, const char *directory, const struct manifest *manifest, char *error, size_t error_size)
{
    char path[STORE_PATH_MAX];
    int result = 0;
    writing.manifest = manifest;
    for (unsigned i = 0; i < manifest->shard_count; i++) {
        store_files_join(path, "%s/%u", directory, i);
        writing.writers[i] = journal_writer_open(scene.ios, path, i, scene.config->persistence_segment_size);
        assert_non_null(writing.writers[i]);
    }
    for (unsigned i = 0; i < *(unsigned *)context; i++) {
        write_something();
    }
    for (unsigned i = 0; i < manifest->shard_count; i++) {
        int one = journal_writer_finish(&writing.writers[i]);
        result = result != 0 ? result : one;
    }
    return result == 0 ? 0 : store_files_refuse(result, error, error_size, "not written");
}

static void
make_store(unsigned shard_count, unsigned records)
{
    writing = (struct writing){.random = seed};
    assert_true(store_scene_import(&scene, shard_count, fill_randomly, &records));
}

static struct facts
read_facts(unsigned shard_count)
{
    struct facts facts;
    if (!store_scene_open(&scene, shard_count)) {
        fail_msg("%s", scene.error);
    }
    facts_read(&facts, scene.ios, scene.store, shard_count, scene.config->persistence_segment_size);
    return facts;
}

/* --------------------------------------------------------------------------------------------------------------- claims */

static void
assert_says_the_same(const struct facts *before, unsigned shard_count)
{
    struct facts after = read_facts(shard_count);
    facts_assert_equal(before, &after);
    facts_free(&after);
}

CLAIM(what_journals_say_is_the_same_for_any_number_of_shards)
{
    static const unsigned counts[] = {1, 2, 8, 3, 1, 5};
    for (unsigned round = 0; round < 4; round++) {
        store_scene_fini(&scene);
        store_scene_init(&scene, ++seed);
        unsigned first = counts[round % 4];
        make_store(first, 150);
        struct facts before = read_facts(first);
        assert_true(before.count > 50);
        for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            assert_says_the_same(&before, counts[i]);
        }
        facts_free(&before);
    }
}

CLAIM(an_empty_store_is_converted_too)
{
    struct facts before = read_facts(2);
    assert_int_equal(before.count, 0);
    assert_says_the_same(&before, 8);
    assert_says_the_same(&before, 1);
}

CLAIM(the_secret_stays)
{
    uint8_t secret[MANIFEST_SECRET_BYTES];
    assert_true(store_scene_open(&scene, 2));
    memcpy(secret, store_secret(scene.store), sizeof secret);
    assert_true(store_scene_open(&scene, 3));
    assert_memory_equal(store_secret(scene.store), secret, sizeof secret);
}

static void
count_files_of_generations(void *context, const char *path, uint64_t size)
{
    (void)size;
    const char *inside = strstr(path, "tidewire-journal/");
    unsigned *oldest = context;
    unsigned generation = inside != NULL ? (unsigned)strtoul(inside + strlen("tidewire-journal/"), NULL, 10) : 0;
    *oldest = generation > 0 && generation < *oldest ? generation : *oldest;
}

CLAIM(the_old_generation_is_gone_afterwards)
{
    unsigned oldest = 99;
    make_store(2, 300);
    assert_true(store_scene_open(&scene, 3));
    sim_disk_list(scene.disk, count_files_of_generations, &oldest);
    assert_int_equal(oldest, 2);
}

/* O1 */
CLAIM(a_crash_in_the_middle_loses_nothing)
{
    bool converted = false;
    for (uint32_t calls = 0; !converted; calls += 1 + calls / 6) {
        store_scene_fini(&scene);
        store_scene_init(&scene, ++seed);
        make_store(2, 60);
        struct facts before = read_facts(2);
        store_scene_close(&scene);
        sim_disk_crash_after(scene.disk, calls);
        converted = store_scene_open(&scene, 5);
        sim_disk_crash(scene.disk);
        assert_says_the_same(&before, calls % 3 == 0 ? 2 : calls % 3 == 1 ? 5 : 3);
        facts_free(&before);
        assert_true(!converted || calls > 30);
    }
}

CLAIM(a_full_disk_is_said_and_leaves_all_as_it_was)
{
    make_store(2, 300);
    struct facts before = read_facts(2);
    sim_disk_set_space(scene.disk, sim_disk_bytes(scene.disk) + (100 << 10));
    assert_false(store_scene_open(&scene, 8));
    assert_non_null(strstr(scene.error, "No space left on device"));
    assert_says_the_same(&before, 2);
    sim_disk_set_space(scene.disk, UINT64_MAX);
    assert_says_the_same(&before, 8);
    facts_free(&before);
}

CLAIM(a_disk_that_fails_is_said_and_leaves_all_as_it_was)
{
    make_store(2, 300);
    struct facts before = read_facts(2);
    for (unsigned operation = 0; operation < SIM_DISK_NAME; operation++) {
        sim_disk_fail(scene.disk, operation, 1);
        assert_false(store_scene_open(&scene, 8));
        assert_says_the_same(&before, 2);
    }
    facts_free(&before);
}

static void
find_damaged(void *context, const char *path, uint64_t size)
{
    (void)size;
    *(bool *)context |= strstr(path, "/damaged/") != NULL;
}

static void
turn_over(const char *path, size_t at)
{
    static uint8_t file[1 << 16];
    int64_t size = sim_disk_read_file(scene.disk, path, file, sizeof file);
    assert_int_equal(size, sizeof file);
    file[at] ^= 1;
    sim_disk_write_file(scene.disk, path, file, sizeof file);
}

CLAIM(what_is_damaged_is_kept_aside_and_the_rest_is_converted)
{
    bool found = false;
    make_store(1, 900);
    struct facts before = read_facts(1);
    store_scene_close(&scene);
    turn_over(STORE_SCENE_DIRECTORY "/1/0/0000000001.segment", 4096 + 2000);
    struct facts after = read_facts(3);
    sim_disk_list(scene.disk, find_damaged, &found);
    assert_true(found);
    assert_true(after.count > before.count / 2);
    facts_free(&before);
    facts_free(&after);
}

/* Whatever bits are turned over, and in whatever file: no conversion ends other than with a store or a line. */
CLAIM(bits_turned_over_are_answered)
{
    for (unsigned round = 0; round < 60; round++) {
        store_scene_fini(&scene);
        store_scene_init(&scene, ++seed);
        make_store(2, 200);
        store_scene_close(&scene);
        sim_disk_flip(scene.disk, 1 + round * 3);
        store_scene_open(&scene, 3);
    }
}

#define CONVERT_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CONVERT_TEST(what_journals_say_is_the_same_for_any_number_of_shards),
        CONVERT_TEST(an_empty_store_is_converted_too),
        CONVERT_TEST(the_secret_stays),
        CONVERT_TEST(the_old_generation_is_gone_afterwards),
        CONVERT_TEST(a_crash_in_the_middle_loses_nothing),
        CONVERT_TEST(a_full_disk_is_said_and_leaves_all_as_it_was),
        CONVERT_TEST(a_disk_that_fails_is_said_and_leaves_all_as_it_was),
        CONVERT_TEST(what_is_damaged_is_kept_aside_and_the_rest_is_converted),
        CONVERT_TEST(bits_turned_over_are_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
