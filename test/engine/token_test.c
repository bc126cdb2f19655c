#include "engine/durable/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct budget_account account;
static struct shard *shard;

static int
set_up(void **state)
{
    (void)state;
    account = (struct budget_account){0};
    shard = calloc(1, sizeof *shard);
    shard->account = &account;
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    token_fini(shard);
    assert_int_equal(account.bytes, 0);
    free(shard);
    return 0;
}

static struct entry_token
token(uint64_t identity, uint16_t packet_id, uint64_t hash)
{
    return (struct entry_token){.identity = identity, .count = 1, .hash = hash, .packet_id = packet_id};
}

static void
remember(uint64_t identity, uint16_t packet_id, uint64_t hash)
{
    struct entry_token t = token(identity, packet_id, hash);
    token_remember(shard, &t);
}

static bool
take(uint64_t identity, uint16_t packet_id, uint64_t hash)
{
    struct entry_token t = token(identity, packet_id, hash);
    struct token_holders holders = {0};
    bool known = token_take(shard, &t, 0, &holders);
    assert_int_equal(holders.count, 0);
    return known;
}

static void
nothing_is_known_at_first(void **state)
{
    (void)state;
    assert_false(take(1, 1, 1));
}

static void
a_message_is_known_once(void **state)
{
    (void)state;
    remember(7, 1, 100);
    remember(7, 2, 200);
    assert_false(take(8, 1, 100));
    assert_false(take(7, 3, 100));
    assert_true(take(7, 1, 100));
    assert_false(take(7, 1, 100));
    assert_true(take(7, 2, 200));
}

static void
another_message_with_its_identifier_is_not_it_and_ends_it(void **state)
{
    (void)state;
    remember(7, 1, 100);
    assert_false(take(7, 1, 101));
    assert_false(take(7, 1, 100));
}

static void
the_newest_of_an_identifier_counts(void **state)
{
    (void)state;
    remember(7, 1, 100);
    remember(7, 1, 101);
    assert_true(take(7, 1, 101));
    assert_false(take(7, 1, 100));
}

static void
what_was_received_is_forgotten(void **state)
{
    (void)state;
    token_forget(shard, 7, 1, 1);
    remember(7, 1, 100);
    token_forget(shard, 7, 1, 1);
    assert_false(take(7, 1, 100));
}

static void
what_its_publisher_has_recorded_is_not_it(void **state)
{
    (void)state;
    struct entry_token t = {.identity = 7, .count = 12, .hash = 100, .packet_id = 1};
    struct token_holders holders = {0};
    token_remember(shard, &t);
    assert_false(token_take(shard, &t, 12, &holders));
    token_remember(shard, &t);
    assert_true(token_take(shard, &t, 11, &holders));
}

static void
the_oldest_are_forgotten_beyond_the_limit(void **state)
{
    (void)state;
    uint32_t many = TOKEN_COUNT_MAX + 1000;
    for (uint32_t i = 0; i < many; i++) {
        remember(1 + i / 1000, (uint16_t)(i % 1000), i);
    }
    for (uint32_t i = 0; i < many; i++) {
        assert_int_equal(take(1 + i / 1000, (uint16_t)(i % 1000), i), i >= 1000);
    }
    assert_true(account.bytes < TOKEN_COUNT_MAX * 64);
}

static void
of_a_partial_token_the_holders_are_told(void **state)
{
    (void)state;
    struct entry_token t = token(7, 1, 100);
    for (uint64_t session = 20; session < 30; session++) {
        token_remember_holder(shard, &t, session);
    }
    struct token_holders holders = {0};
    assert_false(token_take(shard, &t, 0, &holders));
    assert_int_equal(holders.count, 10);
    assert_true(token_is_holder(&holders, 20));
    assert_true(token_is_holder(&holders, 29));
    assert_false(token_is_holder(&holders, 30));
    token_free_holders(shard, &holders);
    assert_false(token_take(shard, &t, 0, &holders));
    assert_int_equal(holders.count, 0);
}

static void
holders_of_an_older_message_do_not_count_for_a_newer_one(void **state)
{
    (void)state;
    struct entry_token old = token(7, 1, 100), new = token(7, 1, 101);
    token_remember_holder(shard, &old, 20);
    token_remember_holder(shard, &new, 21);
    struct token_holders holders = {0};
    assert_false(token_take(shard, &new, 0, &holders));
    assert_int_equal(holders.count, 1);
    assert_true(token_is_holder(&holders, 21));
    token_free_holders(shard, &holders);
    token_remember_holder(shard, &old, 20); /* what is left is given back at the end */
}

/* As after a conversion: the records of one old shard, then those of another. */
static void
older_records_that_come_later_do_not_touch_a_newer_message(void **state)
{
    (void)state;
    struct entry_token old = token(7, 1, 100), new = token(7, 1, 101);
    struct token_holders holders = {0};
    new.count = 20;
    token_remember_holder(shard, &new, 21);
    token_remember_holder(shard, &old, 20);
    token_remember(shard, &old);
    token_forget(shard, 7, 1, 19);
    assert_false(token_take(shard, &new, 0, &holders));
    assert_int_equal(holders.count, 1);
    assert_true(token_is_holder(&holders, 21));
    token_free_holders(shard, &holders);
    token_remember_holder(shard, &new, 21);
    token_forget(shard, 7, 1, 20);
    assert_false(token_take(shard, &new, 0, &holders));
    assert_int_equal(holders.count, 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_known_at_first),
        TEST(older_records_that_come_later_do_not_touch_a_newer_message),
        TEST(a_message_is_known_once),
        TEST(another_message_with_its_identifier_is_not_it_and_ends_it),
        TEST(the_newest_of_an_identifier_counts),
        TEST(what_was_received_is_forgotten),
        TEST(what_its_publisher_has_recorded_is_not_it),
        TEST(the_oldest_are_forgotten_beyond_the_limit),
        TEST(of_a_partial_token_the_holders_are_told),
        TEST(holders_of_an_older_message_do_not_count_for_a_newer_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
