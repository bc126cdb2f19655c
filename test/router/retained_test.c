#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/topic.h"
#include "router/retained.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const uint8_t secret[32] = "0123456789abcdef0123456789abcde";
static struct budget_account account;
static struct retained *store;

static uint64_t seed;

static uint32_t
random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 20) % n;
}

static struct bytes
text(const char *string)
{
    return bytes_of(string, (uint32_t)strlen(string));
}

static int
open_store(void **state)
{
    (void)state;
    seed = 88172645463325252u;
    account.bytes = 0;
    store = retained_init(&account, NULL, secret);
    return 0;
}

static int
close_store(void **state)
{
    (void)state;
    retained_check(store);
    retained_fini(&store);
    assert_int_equal(account.bytes, 0);
    return 0;
}

static struct message *
make(const char *topic, const char *payload, uint64_t expiry_ms)
{
    struct message *message = message_make(&account, text(topic), text(""), text(payload));
    message->expiry_ms = expiry_ms;
    return message;
}

static void
give_back(struct message *message)
{
    struct message *returned;
    uint16_t shard;
    assert_false(message_unref(&account, &message, &returned, &shard));
}

static void
set_until(const char *topic, const char *payload, uint64_t expiry_ms)
{
    struct message *message = make(topic, payload, expiry_ms);
    assert_int_equal(retained_set(store, &message), 0);
    assert_null(message);
}

static void
set(const char *topic)
{
    set_until(topic, "x", 0);
}

/* Walks to the end in steps of `step` nodes; returns how many messages came. */
static uint32_t
walk_all(const char *filter, uint32_t step)
{
    struct retained_walk *walk = retained_walk_begin(store, text(filter));
    uint32_t found = 0, budget = step;
    for (;;) {
        struct message *message = retained_walk_next(walk, 1000, &budget);
        if (message != NULL) {
            assert_true(topic_match(text(filter), message_topic(message)));
            found++;
        } else if (budget > 0) {
            break;
        } else {
            budget = step;
        }
    }
    retained_walk_end(&walk);
    assert_null(walk);
    return found;
}

static void
a_message_is_kept_replaced_and_removed(void **state)
{
    (void)state;
    set("a/b");
    struct message *first = message_ref(retained_get(store, text("a/b")));
    set_until("a/b", "longer", 0);
    assert_int_equal(retained_count(store), 1);
    assert_int_equal(retained_bytes(store), message_cost(retained_get(store, text("a/b"))));
    assert_int_equal(first->refs, 1);
    give_back(first);

    assert_null(retained_get(store, text("a")));
    assert_null(retained_get(store, text("a/b/c")));
    assert_null(retained_get(store, text("b")));
    assert_false(retained_remove(store, text("a")));
    assert_true(retained_remove(store, text("a/b")));
    assert_false(retained_remove(store, text("a/b")));
    assert_int_equal(retained_count(store) + retained_bytes(store), 0);
    assert_int_equal(account.bytes, 0);
}

static void
empty_levels_are_levels(void **state)
{
    (void)state;
    static const char *const topics[] = {"/", "//", "a", "/a", "a/", "a//b", "a/b"};
    for (size_t i = 0; i < 7; i++) {
        set(topics[i]);
    }
    for (size_t i = 0; i < 7; i++) {
        assert_true(bytes_equal(message_topic(retained_get(store, text(topics[i]))), text(topics[i])));
    }
    assert_int_equal(walk_all("+/+", 100), 4);
    assert_int_equal(walk_all("a/#", 100), 4);
    assert_int_equal(walk_all("/+", 100), 2);
}

/* MQTT5 [MQTT-4.7.2-1], MQTT3 [MQTT-4.7.2-1]. */
static void
walks_from_a_leading_wildcard_never_give_dollar_topics(void **state)
{
    (void)state;
    set("$SYS/a");
    set("$SYS");
    set("a/$SYS");
    assert_int_equal(walk_all("#", 100), 1);
    assert_int_equal(walk_all("+/a", 100), 0);
    assert_int_equal(walk_all("+", 100), 0);
    assert_int_equal(walk_all("$SYS/#", 100), 2);
    assert_int_equal(walk_all("$SYS/+", 100), 1);
    assert_int_equal(walk_all("+/+", 100), 1);
}

static void
a_limit_refuses_and_keeps_what_was_there(void **state)
{
    (void)state;
    retained_set_limits(store, &(struct retained_limits){.count_max = 2, .bytes_max = 2 * sizeof(struct message) + 20});
    set("a");
    set("b");
    struct message *message = make("c", "x", 0);
    assert_int_equal(retained_set(store, &message), -ENOSPC);
    assert_non_null(message);
    give_back(message);

    message = make("a", "more than twenty bytes of payload", 0);
    assert_int_equal(retained_set(store, &message), -ENOSPC);
    give_back(message);
    assert_int_equal(message_payload(retained_get(store, text("a"))).size, 1);
    set_until("a", "y", 0);
    assert_true(retained_remove(store, text("a")));
    set("c");
    assert_int_equal(retained_count(store), 2);
}

static void
expired_messages_are_not_given_and_swept_away(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1000; i++) {
        char topic[32];
        snprintf(topic, sizeof topic, "%u/%u", i % 10, i);
        set_until(topic, "x", i % 2 ? 1000 : i % 3 ? 0 : 1001);
    }
    assert_int_equal(walk_all("#", 7), 500);
    uint32_t dropped = 0;
    for (uint32_t i = 0; i < 1010 / 10 + 2; i++) {
        dropped += retained_sweep(store, 1000, 10);
        retained_check(store);
    }
    assert_int_equal(dropped, 500);
    assert_int_equal(retained_count(store), 500);
    dropped = 0;
    for (uint32_t i = 0; i < 3; i++) {
        dropped += retained_sweep(store, 1001, 1000);
    }
    assert_int_equal(dropped, 167);
    assert_int_equal(retained_sweep(store, 5000, 0), 0);
}

/* The twin: a list of topics. */
#define TOPICS_MAX 4096u

static struct {
    char topic[60];
    bool there;
    bool always; /* since the walk began */
    bool never;  /* not once since the walk began */
    uint32_t given;
} twin[TOPICS_MAX];
static uint32_t twin_count;

static uint32_t
twin_get(struct bytes topic)
{
    for (uint32_t i = 0; i < twin_count; i++) {
        if (bytes_equal(text(twin[i].topic), topic)) {
            return i;
        }
    }
    assert_true(twin_count < TOPICS_MAX);
    snprintf(twin[twin_count].topic, sizeof twin[0].topic, "%.*s", (int)topic.size, (const char *)topic.data);
    twin[twin_count].there = twin[twin_count].always = false;
    twin[twin_count].never = true;
    twin[twin_count].given = 0;
    return twin_count++;
}

static void
random_text(char *out, bool filter)
{
    static const char *const words[] = {"a", "b", "c", "d", "", "$s", "e"};
    uint32_t levels = 1 + random_below(4);
    do {
        out[0] = 0;
        for (uint32_t i = 0; i < levels; i++) {
            const char *word = filter && random_below(2) == 0 ? "+" : words[random_below(7)];
            strcat(strcat(out, i > 0 ? "/" : ""), filter && i + 1 == levels && random_below(2) == 0 ? "#" : word);
        }
    } while (out[0] == 0);
}

static void
change_store(void)
{
    char topic[60];
    random_text(topic, false);
    uint32_t i = twin_get(text(topic));
    assert_int_equal(retained_get(store, text(topic)) != NULL, twin[i].there);
    if (random_below(2) == 0) {
        assert_int_equal(retained_remove(store, text(topic)), twin[i].there);
        twin[i].there = twin[i].always = false;
    } else {
        set(topic);
        twin[i].there = true;
        twin[i].never = false;
    }
}

static void
walks_give_what_the_twin_says(void **state)
{
    (void)state;
    twin_count = 0;
    for (uint32_t round = 0; round < 800; round++) {
        for (uint32_t i = 0; i < 10; i++) {
            change_store();
        }
        char filter[60];
        random_text(filter, true);
        uint32_t expected = 0;
        for (uint32_t i = 0; i < twin_count; i++) {
            expected += twin[i].there && topic_match(text(filter), text(twin[i].topic));
        }
        assert_int_equal(walk_all(filter, 1 + random_below(20)), expected);
        retained_check(store);
    }
}

static void
what_is_there_all_the_time_is_given_exactly_once_whatever_else_changes(void **state)
{
    (void)state;
    twin_count = 0;
    for (uint32_t round = 0; round < 600; round++) {
        for (uint32_t i = 0; i < 20; i++) {
            change_store();
        }
        char filter[60];
        random_text(filter, true);
        for (uint32_t i = 0; i < twin_count; i++) {
            twin[i].always = twin[i].there;
            twin[i].never = !twin[i].there;
            twin[i].given = 0;
        }
        struct retained_walk *walk = retained_walk_begin(store, text(filter));
        for (bool over = false; !over;) {
            uint32_t budget = 1 + random_below(4);
            struct message *message;
            while ((message = retained_walk_next(walk, 0, &budget)) != NULL) {
                twin[twin_get(message_topic(message))].given++;
            }
            over = budget > 0;
            for (uint32_t i = random_below(8); i > 0 && !over; i--) {
                change_store();
            }
        }
        retained_check(store);
        retained_walk_end(&walk);
        retained_check(store);
        for (uint32_t i = 0; i < twin_count; i++) {
            bool wanted = topic_match(text(filter), text(twin[i].topic));
            assert_true(wanted || twin[i].given == 0);
            assert_true(!twin[i].never || twin[i].given == 0);
            if (twin[i].always && wanted) {
                assert_int_equal(twin[i].given, 1);
            }
        }
    }
}

static void
walks_may_end_anywhere_while_others_stand_on_the_same_nodes(void **state)
{
    (void)state;
    twin_count = 0;
    struct retained_walk *walks[8] = {NULL};
    for (uint32_t step = 0; step < 20000; step++) {
        change_store();
        uint32_t i = random_below(8), budget = random_below(5);
        if (walks[i] == NULL) {
            char filter[60];
            random_text(filter, true);
            walks[i] = retained_walk_begin(store, text(filter));
        } else if (random_below(10) == 0) {
            retained_walk_end(&walks[i]);
        } else {
            (void)retained_walk_next(walks[i], 0, &budget);
        }
        retained_sweep(store, 1, random_below(3));
        if (step % 200 == 0) {
            retained_check(store);
        }
    }
    for (uint32_t i = 0; i < 8; i++) {
        retained_walk_end(&walks[i]);
    }
}

static void
the_budget_is_the_number_of_visited_nodes(void **state)
{
    (void)state;
    set("a/b");
    set("a/c");
    struct retained_walk *walk = retained_walk_begin(store, text("a/+"));
    uint32_t budget = 0;
    assert_null(retained_walk_next(walk, 0, &budget));
    budget = 1;
    assert_null(retained_walk_next(walk, 0, &budget)); /* 'a' */
    assert_int_equal(budget, 0);
    budget = 1;
    assert_non_null(retained_walk_next(walk, 0, &budget));
    assert_int_equal(budget, 0);
    budget = 10;
    assert_non_null(retained_walk_next(walk, 0, &budget));
    assert_null(retained_walk_next(walk, 0, &budget));
    assert_int_equal(budget, 9);
    assert_null(retained_walk_next(walk, 0, &budget));
    assert_int_equal(budget, 9);
    retained_walk_end(&walk);
}

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
nothing_is_quadratic_in_the_children_of_one_node(void **state)
{
    (void)state;
    enum { CHILDREN = 200000 };
    char topic[32];
    double start = seconds();
    for (uint32_t i = 0; i < CHILDREN; i++) {
        snprintf(topic, sizeof topic, "devices/%u", i);
        set(topic);
    }
    /* A walk in the smallest steps, whose node is removed under it each time. */
    struct retained_walk *walk = retained_walk_begin(store, text("devices/+"));
    for (uint32_t i = 0; i < CHILDREN / 2; i++) {
        uint32_t budget = 2;
        struct message *message = retained_walk_next(walk, 0, &budget);
        assert_non_null(message);
        struct bytes name = message_topic(message);
        memcpy(topic, name.data, name.size);
        assert_true(retained_remove(store, bytes_of(topic, name.size)));
    }
    retained_walk_end(&walk);
    assert_int_equal(retained_count(store), CHILDREN / 2);
    for (uint32_t i = 0; i < CHILDREN; i++) {
        snprintf(topic, sizeof topic, "devices/%u", i);
        (void)retained_remove(store, text(topic));
    }
    assert_int_equal(retained_count(store), 0);
    /* 600 000 steps: a tenth of a second, or minutes if each looked at its siblings. */
    assert_true(seconds() - start < 20);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, open_store, close_store)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(a_message_is_kept_replaced_and_removed),
        WITH_STORE(empty_levels_are_levels),
        WITH_STORE(walks_from_a_leading_wildcard_never_give_dollar_topics),
        WITH_STORE(a_limit_refuses_and_keeps_what_was_there),
        WITH_STORE(expired_messages_are_not_given_and_swept_away),
        WITH_STORE(walks_give_what_the_twin_says),
        WITH_STORE(what_is_there_all_the_time_is_given_exactly_once_whatever_else_changes),
        WITH_STORE(walks_may_end_anywhere_while_others_stand_on_the_same_nodes),
        WITH_STORE(the_budget_is_the_number_of_visited_nodes),
        WITH_STORE(nothing_is_quadratic_in_the_children_of_one_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
