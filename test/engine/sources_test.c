#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/limits/sources.h"

#include <pthread.h>
#include <stdlib.h>

#define SECOND UINT64_C(1000000000)
#define ENTRIES 1024u

static struct sources *s;

static int
begin(void **state)
{
    (void)state;
    s = sources_init(ENTRIES, 42);
    return s != NULL ? 0 : -1;
}

static int
finish(void **state)
{
    (void)state;
    sources_check(s);
    sources_fini(&s);
    return 0;
}

static struct source_key
key(uint32_t number)
{
    return sources_key(s, 0, &number, sizeof number);
}

static void
so_many_connections_at_a_time_and_no_more(void **state)
{
    (void)state;
    struct source_limits limits = {.connections_max = 3};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sources_enter(s, key(1), &limits, SECOND), SOURCE_ADMITTED);
    }
    assert_int_equal(sources_enter(s, key(1), &limits, SECOND), SOURCE_TOO_MANY);
    assert_int_equal(sources_enter(s, key(2), &limits, SECOND), SOURCE_ADMITTED);
    sources_leave(s, key(1));
    assert_int_equal(sources_enter(s, key(1), &limits, SECOND), SOURCE_ADMITTED);
    assert_int_equal(sources_enter(s, key(1), &limits, SECOND), SOURCE_TOO_MANY);
}

static void
so_many_connects_in_a_time_and_no_more(void **state)
{
    (void)state;
    struct source_limits limits = {.connects = {.per_second = 1, .burst = 2}};
    assert_int_equal(sources_enter(s, key(1), &limits, SECOND), SOURCE_ADMITTED);
    assert_int_equal(sources_enter(s, key(1), &limits, SECOND), SOURCE_ADMITTED);
    assert_int_equal(sources_enter(s, key(1), &limits, SECOND), SOURCE_TOO_FAST);
    sources_leave(s, key(1)); /* what is closed has come all the same */
    assert_int_equal(sources_enter(s, key(1), &limits, SECOND), SOURCE_TOO_FAST);
    assert_int_equal(sources_enter(s, key(2), &limits, SECOND), SOURCE_ADMITTED);
    assert_int_equal(sources_enter(s, key(1), &limits, 2 * SECOND), SOURCE_ADMITTED);
}

static void
kinds_with_the_same_bytes_are_apart(void **state)
{
    (void)state;
    struct source_limits limits = {.connections_max = 1};
    assert_int_equal(sources_enter(s, sources_key(s, 0, "abcd", 4), &limits, SECOND), SOURCE_ADMITTED);
    assert_int_equal(sources_enter(s, sources_key(s, 1, "abcd", 4), &limits, SECOND), SOURCE_ADMITTED);
    assert_int_equal(sources_enter(s, sources_key(s, 1, "abcd", 4), &limits, SECOND), SOURCE_TOO_MANY);
}

static void
events_count_within_their_window(void **state)
{
    (void)state;
    assert_false(sources_note(s, key(1), 3, 10, SECOND));
    assert_false(sources_note(s, key(1), 3, 10, 2 * SECOND));
    assert_false(sources_note(s, key(1), 3, 10, 11 * SECOND)); /* the first one's window is over: a new one starts */
    assert_false(sources_note(s, key(1), 3, 10, 12 * SECOND));
    assert_false(sources_note(s, key(2), 3, 10, 12 * SECOND));
    assert_true(sources_note(s, key(1), 3, 10, 20 * SECOND));
    assert_false(sources_note(s, key(1), 3, 10, 20 * SECOND)); /* starts over */
    assert_true(sources_note(s, key(3), 1, 10, SECOND));
    assert_false(sources_note(s, key(4), 0, 10, SECOND));
}

/* A flood of addresses costs what the table costs, and pushes nobody out who is connected (U3). */
static void
flood_of_sources_stays_in_the_table(void **state)
{
    (void)state;
    struct source_limits limits = {.connections_max = 1, .connects = {.per_second = 1, .burst = 1}};
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(sources_enter(s, key(i), &limits, SECOND), SOURCE_ADMITTED);
    }
    for (uint32_t i = 100; i < 200000; i++) {
        if (sources_enter(s, key(i), &limits, SECOND) == SOURCE_ADMITTED) {
            sources_leave(s, key(i));
        }
    }
    assert_true(sources_check(s) <= ENTRIES);
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(sources_enter(s, key(i), &limits, 100 * SECOND), SOURCE_TOO_MANY);
    }
}

static void
full_table_lets_in_unseen(void **state)
{
    (void)state;
    struct source_limits limits = {.connections_max = 1};
    uint32_t tracked = 0, unseen = 0;
    for (uint32_t i = 0; i < 10 * ENTRIES; i++) {
        enum source_answer answer = sources_enter(s, key(i), &limits, SECOND);
        tracked += answer == SOURCE_ADMITTED;
        unseen += answer == SOURCE_UNTRACKED;
    }
    assert_int_equal(tracked, ENTRIES);
    assert_int_equal(unseen, 9 * ENTRIES);
    assert_false(sources_note(s, key(20 * ENTRIES), 1, 10, SECOND));
}

static void
entry_without_anything_to_remember_is_given_away(void **state)
{
    (void)state;
    struct source_limits limits = {.connections_max = 1, .connects = {.per_second = 1, .burst = 1}};
    for (uint32_t i = 0; i < 100 * ENTRIES; i++) {
        assert_int_equal(sources_enter(s, key(i), &limits, (i + 1) * SECOND), SOURCE_ADMITTED);
        sources_leave(s, key(i));
    }
}

/* -------------------------------------------------------------------------------------------------------------- threads */

#define THREADS 4
#define ROUNDS 20000

static const struct source_limits one_at_a_time = {.connections_max = 1};
static _Atomic int inside[8];

static void *
come_and_go(void *unused)
{
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t who = i % 8;
        if (sources_enter(s, key(who), &one_at_a_time, SECOND) == SOURCE_ADMITTED) {
            if (atomic_fetch_add(&inside[who], 1) != 0) {
                abort();
            }
            atomic_fetch_sub(&inside[who], 1);
            sources_leave(s, key(who));
        }
        sources_note(s, key(100 + i % 1000), 5, 1, i * SECOND / 1000);
    }
    return unused;
}

static void
threads_agree_on_who_is_inside(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, NULL), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(sources_enter(s, key(i), &one_at_a_time, SECOND), SOURCE_ADMITTED);
    }
}

#define IN_A_TABLE(test) cmocka_unit_test_setup_teardown(test, begin, finish)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_TABLE(so_many_connections_at_a_time_and_no_more),
        IN_A_TABLE(so_many_connects_in_a_time_and_no_more),
        IN_A_TABLE(kinds_with_the_same_bytes_are_apart),
        IN_A_TABLE(events_count_within_their_window),
        IN_A_TABLE(flood_of_sources_stays_in_the_table),
        IN_A_TABLE(full_table_lets_in_unseen),
        IN_A_TABLE(entry_without_anything_to_remember_is_given_away),
        IN_A_TABLE(threads_agree_on_who_is_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
