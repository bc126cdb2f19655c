#include "engine/mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A record that tells its own number and size: the number, then bytes that follow from both. */
static void
fill_record(void *record, uint32_t size, uint64_t number)
{
    memset(record, (int)(number * 31 + size) & 0xff, size);
    memcpy(record, &number, size < sizeof number ? size : sizeof number);
}

static void
check_record(const void *record, uint32_t size, uint64_t number)
{
    const uint8_t *bytes = record;
    uint32_t head = size < sizeof number ? size : sizeof number;
    assert_int_equal((uintptr_t)record % 8, 0);
    assert_memory_equal(record, &number, head);
    for (uint32_t i = head; i < size; i++) {
        if (bytes[i] != ((number * 31 + size) & 0xff)) {
            fail_msg("record %llu of %u bytes differs at %u", (unsigned long long)number, size, i);
        }
    }
}

static void
send_record(struct mesh *mesh, unsigned from, unsigned to, uint32_t size, uint64_t number)
{
    fill_record(mesh_reserve(mesh, from, to, size), size, number);
    mesh_commit(mesh, from, to, size);
}

static unsigned
count_pass(struct mesh *mesh, unsigned to)
{
    unsigned from, count = 0;
    uint32_t size;
    mesh_begin(mesh, to);
    while (mesh_next(mesh, to, &from, &size) != NULL) {
        count++;
    }
    return count;
}

static struct mesh *mesh;

static int
open_mesh(void **state)
{
    (void)state;
    mesh = mesh_init(3);
    return mesh == NULL;
}

static int
close_mesh(void **state)
{
    (void)state;
    mesh_fini(&mesh);
    return mesh != NULL;
}

static void
a_record_is_seen_after_publish_and_not_before(void **state)
{
    (void)state;
    send_record(mesh, 0, 1, 100, 1);
    assert_int_equal(count_pass(mesh, 1), 0);
    mesh_publish(mesh, 0);
    unsigned from = 9;
    uint32_t size = 0;
    mesh_begin(mesh, 1);
    const void *record = mesh_next(mesh, 1, &from, &size);
    assert_int_equal(from, 0);
    assert_int_equal(size, 100);
    check_record(record, 100, 1);
    assert_null(mesh_next(mesh, 1, &from, &size));
    assert_int_equal(count_pass(mesh, 1), 0);
    assert_int_equal(count_pass(mesh, 2), 0);
}

static void
a_pass_does_not_see_what_is_published_during_it(void **state)
{
    (void)state;
    send_record(mesh, 0, 1, 10, 1);
    mesh_publish(mesh, 0);
    mesh_begin(mesh, 1);
    send_record(mesh, 0, 1, 10, 2);
    mesh_publish(mesh, 0);
    unsigned from;
    uint32_t size;
    assert_non_null(mesh_next(mesh, 1, &from, &size));
    assert_null(mesh_next(mesh, 1, &from, &size));
    assert_int_equal(count_pass(mesh, 1), 1);
}

static void
a_record_may_be_shortened_at_commit(void **state)
{
    (void)state;
    for (int i = 0; i < 40; i++) { /* beyond one ring, so also where the reservation wraps */
        void *record = mesh_reserve(mesh, 2, 0, MESH_RECORD_MAX);
        fill_record(record, 50000, 7);
        mesh_commit(mesh, 2, 0, 50000);
        mesh_publish(mesh, 2);
        unsigned from;
        uint32_t size;
        mesh_begin(mesh, 0);
        check_record(mesh_next(mesh, 0, &from, &size), 50000, 7);
        assert_int_equal(size, 50000);
        assert_null(mesh_next(mesh, 0, &from, &size));
    }
}

static void
a_reservation_given_up_leaves_nothing(void **state)
{
    (void)state;
    mesh_reserve(mesh, 0, 1, 500);
    send_record(mesh, 0, 1, 20, 1);
    mesh_reserve(mesh, 0, 1, 500);
    mesh_publish(mesh, 0);
    assert_int_equal(count_pass(mesh, 1), 1);

    /* The same in the overflow. */
    while (mesh_backlog(mesh, 0) == 0) {
        send_record(mesh, 0, 1, 1000, 1);
    }
    mesh_reserve(mesh, 0, 1, MESH_RECORD_MAX);
    mesh_publish(mesh, 0);
    count_pass(mesh, 1);
    mesh_publish(mesh, 0);
    assert_int_equal(mesh_backlog(mesh, 0), 0);
    assert_int_equal(count_pass(mesh, 1), 1);
}

/* Random sizes, from 1 to the largest; sender and reader at random speed, so that the ring wraps, fills and overflows. */
static void
records_arrive_in_order_through_wrap_and_overflow(void **state)
{
    (void)state;
    uint64_t sent = 0, seen = 0, backlog_max = 0;
    static uint32_t sizes[100000];
    srand(11);
    while (seen < 60000) {
        int burst = sent < 60000 ? rand() % 60 : 0;
        for (int i = 0; i < burst; i++) {
            int kind = rand() % 20;
            uint32_t size = kind == 0 ? 1 + (uint32_t)rand() % MESH_RECORD_MAX : kind == 1 ? MESH_RECORD_MAX : 1 + (uint32_t)rand() % 200;
            sizes[sent] = size;
            send_record(mesh, 0, 1, size, sent++);
        }
        mesh_publish(mesh, 0);
        backlog_max = mesh_backlog(mesh, 0) > backlog_max ? mesh_backlog(mesh, 0) : backlog_max;
        if (rand() % 4 == 0 && sent < 60000) {
            continue;
        }
        unsigned from;
        const void *record;
        uint32_t size;
        mesh_begin(mesh, 1);
        while ((record = mesh_next(mesh, 1, &from, &size)) != NULL) {
            assert_int_equal(size, sizes[seen]);
            check_record(record, size, seen++);
        }
    }
    assert_int_equal(seen, sent);
    assert_true(backlog_max > 0);
    assert_int_equal(mesh_backlog(mesh, 0), 0);
}

static void
backlog_counts_what_does_not_fit_and_returns_to_zero(void **state)
{
    (void)state;
    const unsigned records = 3 * MESH_RING_BYTES / 1024;
    for (unsigned i = 0; i < records; i++) {
        send_record(mesh, 0, 1, 1000, i);
    }
    assert_in_range(mesh_backlog(mesh, 0), 2 * MESH_RING_BYTES - 100000, 2 * MESH_RING_BYTES + 100000);
    assert_int_equal(mesh_backlog(mesh, 1), 0);
    unsigned seen = 0;
    for (int turn = 0; turn < 4; turn++) {
        mesh_publish(mesh, 0);
        seen += count_pass(mesh, 1);
    }
    assert_int_equal(seen, records);
    assert_int_equal(mesh_backlog(mesh, 0), 0);
}

/* M5 */
static void
overflow_that_has_come_out_is_seen_by_the_next_pass(void **state)
{
    (void)state;
    const unsigned count = 2 * MESH_RING_BYTES / 10000;
    for (unsigned i = 0; i < count; i++) {
        send_record(mesh, 0, 1, 10000, i);
    }
    mesh_publish(mesh, 0);
    uint64_t in = mesh_overflow_in(mesh, 0, 1);
    assert_true(in > 0 && mesh_overflow_out(mesh, 0, 1) == 0);
    assert_int_equal(mesh_overflow_in(mesh, 1, 0), 0);
    unsigned seen = count_pass(mesh, 1);
    assert_true(seen < count);
    for (unsigned passes = 0; mesh_overflow_out(mesh, 0, 1) < in; passes++) {
        assert_true(passes < 3);
        mesh_publish(mesh, 0);
        seen += count_pass(mesh, 1);
    }
    assert_int_equal(seen, count);
    assert_int_equal(mesh_overflow_out(mesh, 0, 1), in);
}

static void
a_sleeper_is_named_once(void **state)
{
    (void)state;
    assert_true(mesh_sleep(mesh, 2));
    send_record(mesh, 0, 2, 8, 1);
    send_record(mesh, 1, 2, 8, 1);
    assert_int_equal(mesh_publish(mesh, 0), 1 << 2);
    assert_int_equal(mesh_publish(mesh, 1), 0);
    mesh_awake(mesh, 2);
    assert_int_equal(count_pass(mesh, 2), 2);
}

static void
nobody_sleeps_over_what_has_arrived(void **state)
{
    (void)state;
    send_record(mesh, 0, 2, 8, 1);
    mesh_publish(mesh, 0);
    assert_false(mesh_sleep(mesh, 2));
    send_record(mesh, 0, 2, 8, 2);
    assert_int_equal(mesh_publish(mesh, 0), 0); /* the announcement was withdrawn */
    count_pass(mesh, 2);
    assert_true(mesh_sleep(mesh, 2));
    mesh_awake(mesh, 2);
    send_record(mesh, 0, 2, 8, 3);
    assert_int_equal(mesh_publish(mesh, 0), 0); /* awake: nothing to wake */
}

static void
a_producer_that_sleeps_over_its_overflow_is_woken_by_room(void **state)
{
    (void)state;
    while (mesh_backlog(mesh, 0) < 100000) {
        send_record(mesh, 0, 1, 5000, 1);
    }
    mesh_publish(mesh, 0);
    assert_true(mesh_sleep(mesh, 0));
    count_pass(mesh, 1);
    assert_false(mesh_sleep(mesh, 1)); /* not before it has told so */
    assert_int_equal(mesh_publish(mesh, 1), 1 << 0);
    mesh_awake(mesh, 0);
    assert_false(mesh_sleep(mesh, 0)); /* there is room now: publish first */
    mesh_publish(mesh, 0);
    assert_int_equal(mesh_backlog(mesh, 0), 0);
    assert_true(mesh_sleep(mesh, 0));
    mesh_awake(mesh, 0);
}

static void
one_and_sixty_four_shards_are_fine(void **state)
{
    (void)state;
    struct mesh *one = mesh_init(1);
    assert_int_equal(mesh_publish(one, 0), 0);
    assert_true(mesh_sleep(one, 0));
    mesh_fini(&one);
    struct mesh *all = mesh_init(64);
    send_record(all, 63, 0, 9, 5);
    assert_true(mesh_sleep(all, 0));
    assert_int_equal(mesh_publish(all, 63), 1);
    assert_int_equal(count_pass(all, 0), 1);
    assert_true(mesh_sleep(all, 63));
    send_record(all, 0, 63, 9, 5);
    assert_int_equal(mesh_publish(all, 0), (uint64_t)1 << 63);
    mesh_fini(&all);
    assert_null(all);
}

/* --------------------------------------------------------------------------------------------- real threads that sleep */

enum { SHARDS = 3, RECORDS = 30000 };

static sem_t bells[SHARDS]; /* what io_wait sleeps on in the real thing */
static atomic_uint sleeps;

struct worker {
    unsigned shard;
    uint64_t sent[SHARDS], seen[SHARDS];
    unsigned seed;
    bool wrong;
};

static bool
finished(const struct worker *w)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        if (i != w->shard && (w->sent[i] < RECORDS || w->seen[i] < RECORDS)) {
            return false;
        }
    }
    return mesh_backlog(mesh, w->shard) == 0;
}

static bool
record_is(const void *record, uint32_t size, uint64_t number)
{
    uint64_t words[2] = {0, 0};
    memcpy(words, record, size < sizeof words ? size : sizeof words);
    return size > sizeof words && words[0] == number && words[1] == (number ^ size) && ((const uint8_t *)record)[size - 1] == 0x5a;
}

static void
produce(struct worker *w, unsigned to)
{
    unsigned burst = (unsigned)rand_r(&w->seed) % 30;
    for (unsigned i = 0; i < burst && w->sent[to] < RECORDS; i++) {
        uint32_t size = rand_r(&w->seed) % 200 == 0 ? MESH_RECORD_MAX : 17 + (uint32_t)rand_r(&w->seed) % 300;
        uint8_t *record = mesh_reserve(mesh, w->shard, to, size);
        record[size - 1] = 0x5a;
        uint64_t words[2] = {w->sent[to], w->sent[to] ^ size};
        memcpy(record, words, sizeof words);
        mesh_commit(mesh, w->shard, to, size);
        w->sent[to]++;
    }
}

static void
consume(struct worker *w)
{
    unsigned from;
    uint32_t size;
    const void *record;
    mesh_begin(mesh, w->shard);
    while ((record = mesh_next(mesh, w->shard, &from, &size)) != NULL) {
        w->wrong = w->wrong || !record_is(record, size, w->seen[from]);
        w->seen[from]++;
    }
}

/* Nothing to produce, or not now. To be asked after mesh_publish(), which may have moved the backlog on. */
static bool
idle(const struct worker *w)
{
    bool all_sent = true;
    for (unsigned to = 0; to < SHARDS; to++) {
        all_sent = all_sent && (to == w->shard || w->sent[to] == RECORDS);
    }
    return all_sent || mesh_backlog(mesh, w->shard) > 0;
}

/* A shard's loop: work at random, publish, wake, sleep. It is a lost wake-up if this hangs. */
static void *
run_shard(void *context)
{
    struct worker *w = context;
    while (!finished(w)) {
        for (unsigned to = 0; to < SHARDS; to++) {
            if (to != w->shard && mesh_backlog(mesh, w->shard) < MESH_RING_BYTES) {
                produce(w, to);
            }
        }
        consume(w);
        for (uint64_t wake = mesh_publish(mesh, w->shard); wake != 0; wake &= wake - 1) {
            sem_post(&bells[__builtin_ctzll(wake)]);
        }
        if (idle(w) && !finished(w) && mesh_sleep(mesh, w->shard)) {
            atomic_fetch_add(&sleeps, 1);
            sem_wait(&bells[w->shard]);
            mesh_awake(mesh, w->shard);
        }
    }
    return NULL;
}

static void
threads_that_sleep_and_wake_lose_nothing(void **state)
{
    (void)state;
    static struct worker workers[SHARDS];
    pthread_t threads[SHARDS];
    for (unsigned i = 0; i < SHARDS; i++) {
        sem_init(&bells[i], 0, 0);
        workers[i] = (struct worker){.shard = i, .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, run_shard, &workers[i]), 0);
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        assert_false(workers[i].wrong);
        for (unsigned j = 0; j < SHARDS; j++) {
            assert_int_equal(workers[i].seen[j], i == j ? 0 : RECORDS);
        }
        sem_destroy(&bells[i]);
    }
    assert_true(atomic_load(&sleeps) > 0);
}

/* One record at a time to and fro: every one needs the other awake. */
static void
await_record(unsigned me)
{
    while (count_pass(mesh, me) == 0) {
        mesh_publish(mesh, me);
        if (mesh_sleep(mesh, me)) {
            sem_wait(&bells[me]);
            mesh_awake(mesh, me);
        }
    }
}

static void
send_and_wake(unsigned me, unsigned other)
{
    send_record(mesh, me, other, 16, 0);
    if (mesh_publish(mesh, me) & (1u << other)) {
        sem_post(&bells[other]);
    }
}

static void *
ping(void *context)
{
    for (int i = 0; i < 10000; i++) {
        send_and_wake(0, 1);
        await_record(0);
    }
    return context;
}

static void *
pong(void *context)
{
    for (int i = 0; i < 10000; i++) {
        await_record(1);
        send_and_wake(1, 0);
    }
    return context;
}

static void
ping_pong_never_hangs(void **state)
{
    (void)state;
    pthread_t threads[2];
    sem_init(&bells[0], 0, 0);
    sem_init(&bells[1], 0, 0);
    pthread_create(&threads[0], NULL, ping, NULL);
    pthread_create(&threads[1], NULL, pong, NULL);
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_record_is_seen_after_publish_and_not_before, open_mesh, close_mesh),
        cmocka_unit_test_setup_teardown(a_pass_does_not_see_what_is_published_during_it, open_mesh, close_mesh),
        cmocka_unit_test_setup_teardown(a_record_may_be_shortened_at_commit, open_mesh, close_mesh),
        cmocka_unit_test_setup_teardown(a_reservation_given_up_leaves_nothing, open_mesh, close_mesh),
        cmocka_unit_test_setup_teardown(records_arrive_in_order_through_wrap_and_overflow, open_mesh, close_mesh),
        cmocka_unit_test_setup_teardown(backlog_counts_what_does_not_fit_and_returns_to_zero, open_mesh, close_mesh),
        cmocka_unit_test_setup_teardown(overflow_that_has_come_out_is_seen_by_the_next_pass, open_mesh, close_mesh),
        cmocka_unit_test_setup_teardown(a_sleeper_is_named_once, open_mesh, close_mesh),
        cmocka_unit_test_setup_teardown(nobody_sleeps_over_what_has_arrived, open_mesh, close_mesh),
        cmocka_unit_test_setup_teardown(a_producer_that_sleeps_over_its_overflow_is_woken_by_room, open_mesh, close_mesh),
        cmocka_unit_test(one_and_sixty_four_shards_are_fine),
        cmocka_unit_test_setup_teardown(threads_that_sleep_and_wake_lose_nothing, open_mesh, close_mesh),
        cmocka_unit_test_setup_teardown(ping_pong_never_hangs, open_mesh, close_mesh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
