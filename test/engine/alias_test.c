#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/net/alias.h"

#include <stdio.h>
#include <stdlib.h>

static struct connection connection;
static struct budget_account account;

static int
begin(void **state)
{
    (void)state;
    connection = (struct connection){.alias_max_out = 3};
    return 0;
}

static int
end(void **state)
{
    (void)state;
    alias_forget_all(&account, &connection);
    budget_refund(&account, connection.extra != NULL ? sizeof *connection.extra : 0);
    free(connection.extra);
    assert_int_equal(account.bytes, 0); /* after every test: all that was charged was refunded */
    return 0;
}

static struct bytes
text(const char *string)
{
    return bytes_of(string, (uint32_t)strlen(string));
}

static uint64_t seed = 88172645463325252u;

static uint32_t
random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

/* -------------------------------------------------------------------------------------------------------- what a client sends */

/* A PUBLISH with `topic` (in memory that is gone afterwards, as a receive buffer is) and an alias. */
static uint8_t
say(uint16_t alias, const char *topic)
{
    uint32_t size = (uint32_t)strlen(topic);
    uint8_t *buffer = malloc(size + 1);
    memcpy(buffer, topic, size);
    struct bytes t = bytes_of(buffer, size);
    uint8_t reason = alias_resolve(&account, &connection, 10, alias, &t);
    if (reason == REASON_SUCCESS) {
        assert_true(bytes_equal(t, text(topic)));
    }
    free(buffer);
    return reason;
}

/* A PUBLISH with an alias alone. */
static void
assert_means(uint16_t alias, const char *topic)
{
    struct bytes t = bytes_of(NULL, 0);
    assert_int_equal(alias_resolve(&account, &connection, 10, alias, &t), REASON_SUCCESS);
    assert_true(bytes_equal(t, text(topic)));
}

static void
assert_means_nothing(uint16_t alias, uint8_t reason)
{
    struct bytes t = bytes_of(NULL, 0);
    assert_int_equal(alias_resolve(&account, &connection, 10, alias, &t), reason);
    assert_int_equal(t.size, 0);
}

static void
an_alias_stands_for_the_topic_it_was_sent_with(void **state)
{
    (void)state;
    assert_int_equal(say(1, "a/b"), REASON_SUCCESS);
    assert_int_equal(say(10, "c"), REASON_SUCCESS);
    assert_means(1, "a/b");
    assert_means(10, "c");
    assert_means(1, "a/b");
}

static void
what_is_remembered_is_charged_to_the_account(void **state)
{
    (void)state;
    assert_int_equal(say(1, "short"), REASON_SUCCESS);
    int64_t with_short = account.bytes;
    assert_true(with_short > 5);
    assert_int_equal(say(1, "much longer"), REASON_SUCCESS);
    assert_int_equal(account.bytes, with_short + 6);
    assert_int_equal(say(2, "abc"), REASON_SUCCESS);
    assert_int_equal(account.bytes, with_short + 9);

    uint16_t alias;
    bool omit;
    alias_choose(&account, &connection, text("out"), &alias, &omit);
    int64_t with_out = account.bytes;
    assert_true(with_out > with_short + 9); /* the other table */
    alias_remember(&account, &connection, text("out"), alias);
    assert_int_equal(account.bytes, with_out + 3);
}

static void
an_alias_sent_with_another_topic_stands_for_that_one(void **state)
{
    (void)state;
    assert_int_equal(say(1, "short"), REASON_SUCCESS);
    assert_int_equal(say(2, "two"), REASON_SUCCESS);
    assert_int_equal(say(1, "a/much/longer/topic/than/before"), REASON_SUCCESS);
    assert_means(1, "a/much/longer/topic/than/before");
    assert_int_equal(say(1, "s"), REASON_SUCCESS);
    assert_means(1, "s");
    assert_means(2, "two");
}

/* MQTT5 [MQTT-3.3.2-8] [MQTT-3.3.2-9] */
static void
alias_0_and_those_above_the_maximum_are_invalid(void **state)
{
    (void)state;
    assert_int_equal(say(0, "t"), REASON_TOPIC_ALIAS_INVALID);
    assert_int_equal(say(11, "t"), REASON_TOPIC_ALIAS_INVALID);
    assert_int_equal(say(65535, "t"), REASON_TOPIC_ALIAS_INVALID);
    assert_int_equal(say(10, "t"), REASON_SUCCESS);
    assert_means_nothing(0, REASON_TOPIC_ALIAS_INVALID);
    assert_means_nothing(11, REASON_TOPIC_ALIAS_INVALID);
}

static void
no_alias_is_valid_where_none_are_allowed(void **state)
{
    (void)state;
    struct bytes t = text("t");
    assert_int_equal(alias_resolve(&account, &connection, 0, 1, &t), REASON_TOPIC_ALIAS_INVALID);
    free(connection.extra); /* and costs no memory */
}

static void
an_alias_that_was_never_set_is_a_protocol_error(void **state)
{
    (void)state;
    assert_means_nothing(1, REASON_PROTOCOL_ERROR);
    assert_int_equal(say(1, "t"), REASON_SUCCESS);
    assert_means_nothing(2, REASON_PROTOCOL_ERROR);
}

/* A reload may raise the limit; this client was told the old one. */
static void
a_raised_maximum_does_not_reach_an_open_connection(void **state)
{
    (void)state;
    struct bytes t = text("t");
    assert_int_equal(alias_resolve(&account, &connection, 2, 1, &t), REASON_SUCCESS);
    assert_int_equal(alias_resolve(&account, &connection, 100, 3, &t), REASON_TOPIC_ALIAS_INVALID);
    assert_int_equal(alias_resolve(&account, &connection, 100, 2, &t), REASON_SUCCESS);
}

static void
the_longest_topic_has_an_alias_too(void **state)
{
    (void)state;
    static char longest[65536];
    memset(longest, 'x', 65535);
    assert_int_equal(say(1, longest), REASON_SUCCESS);
    assert_means(1, longest);
}

static void
resolving_agrees_with_a_plain_array(void **state)
{
    (void)state;
    char twin[11][24] = {{0}};
    for (uint32_t step = 0; step < 20000; step++) {
        uint16_t alias = (uint16_t)(1 + random_below(10));
        if (random_below(3) == 0) {
            snprintf(twin[alias], sizeof twin[alias], "%.*s%u", (int)random_below(12), "topic/topic/", random_below(1000));
            assert_int_equal(say(alias, twin[alias]), REASON_SUCCESS);
        } else if (twin[alias][0] == '\0') {
            assert_means_nothing(alias, REASON_PROTOCOL_ERROR);
        } else {
            assert_means(alias, twin[alias]);
        }
    }
}

/* -------------------------------------------------------------------------------------------------------------- what we send */

static uint16_t
choose(const char *topic, bool *omit)
{
    uint16_t alias = 0xaaaa;
    alias_choose(&account, &connection, text(topic), &alias, omit);
    return alias;
}

/* Sends a message: the client learns the alias if it is told one with the topic. */
static void
assert_sent(const char *topic, uint16_t expected_alias, bool expected_omit)
{
    bool omit;
    uint16_t alias = choose(topic, &omit);
    assert_int_equal(alias, expected_alias);
    assert_int_equal(omit, expected_omit);
    if (alias != 0 && !omit) {
        alias_remember(&account, &connection, text(topic), alias);
    }
}

static void
the_first_topics_get_an_alias_each_and_the_others_none(void **state)
{
    (void)state;
    assert_sent("a", 1, false);
    assert_sent("b", 2, false);
    assert_sent("a", 1, true);
    assert_sent("c", 3, false);
    assert_sent("d", 0, false);
    assert_sent("c", 3, true);
    assert_sent("b", 2, true);
    assert_sent("d", 0, false);
    assert_sent("a", 1, true);
}

static void
a_topic_is_left_out_only_after_it_was_sent(void **state)
{
    (void)state;
    bool omit;
    assert_int_equal(choose("a", &omit), 1);
    assert_false(omit);
    assert_int_equal(choose("a", &omit), 1); /* the first packet did not leave */
    assert_false(omit);
    assert_sent("b", 1, false); /* so the alias went to the topic that did */
    assert_sent("a", 2, false);
    assert_sent("a", 2, true);
}

static void
a_client_that_wants_no_aliases_gets_none(void **state)
{
    (void)state;
    connection.alias_max_out = 0;
    assert_sent("a", 0, false);
    assert_sent("a", 0, false);
}

static void
topics_that_begin_alike_are_told_apart(void **state)
{
    (void)state;
    assert_sent("a/b", 1, false);
    assert_sent("a/b/c", 2, false);
    assert_sent("a", 3, false);
    assert_sent("a/b", 1, true);
    assert_sent("a/b/c", 2, true);
    assert_sent("a", 3, true);
}

/* Topics of both directions are strangers to each other. */
static void
the_directions_have_aliases_of_their_own(void **state)
{
    (void)state;
    assert_int_equal(say(1, "in"), REASON_SUCCESS);
    assert_sent("out", 1, false);
    assert_means(1, "in");
    assert_sent("in", 2, false);
    assert_sent("out", 1, true);
}

/* What the client would understand is the topic, whatever is sent in which order. */
static void
a_client_that_follows_the_rules_always_learns_the_topic(void **state)
{
    (void)state;
    connection.alias_max_out = 50;
    char known[51][16] = {{0}};
    for (uint32_t step = 0; step < 10000; step++) {
        char topic[16];
        snprintf(topic, sizeof topic, "t/%u", random_below(80));
        bool omit;
        uint16_t alias = choose(topic, &omit);
        assert_true(alias <= 50);
        if (omit) {
            assert_string_equal(known[alias], topic);
        } else if (alias != 0 && random_below(10) > 0) { /* else it did not leave */
            strcpy(known[alias], topic);
            alias_remember(&account, &connection, text(topic), alias);
        }
    }
}

#define CLAIM(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CLAIM(an_alias_stands_for_the_topic_it_was_sent_with),
        CLAIM(what_is_remembered_is_charged_to_the_account),
        CLAIM(an_alias_sent_with_another_topic_stands_for_that_one),
        CLAIM(alias_0_and_those_above_the_maximum_are_invalid),
        CLAIM(no_alias_is_valid_where_none_are_allowed),
        CLAIM(an_alias_that_was_never_set_is_a_protocol_error),
        CLAIM(a_raised_maximum_does_not_reach_an_open_connection),
        CLAIM(the_longest_topic_has_an_alias_too),
        CLAIM(resolving_agrees_with_a_plain_array),
        CLAIM(the_first_topics_get_an_alias_each_and_the_others_none),
        CLAIM(a_topic_is_left_out_only_after_it_was_sent),
        CLAIM(a_client_that_wants_no_aliases_gets_none),
        CLAIM(topics_that_begin_alike_are_told_apart),
        CLAIM(the_directions_have_aliases_of_their_own),
        CLAIM(a_client_that_follows_the_rules_always_learns_the_topic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
