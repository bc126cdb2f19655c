#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/topic.h"
#include "router/filter_index.h"

#include <stdio.h>
#include <stdlib.h>

static const uint8_t secret[32] = "another secret of 32 bytes.....";
static struct filter_index *tested;
static struct match_cache *cache; /* of shard 0 */

static struct bytes
text(const char *string)
{
    return bytes_of(string, (uint32_t)strlen(string));
}

static int
open_cache(void **state)
{
    (void)state;
    tested = filter_index_init(2, NULL, secret);
    cache = match_cache_init(tested, 0, 0);
    return 0;
}

static int
close_cache(void **state)
{
    (void)state;
    match_cache_fini(&cache);
    filter_index_fini(&tested);
    return 0;
}

static uint32_t
add(unsigned shard, const char *filter)
{
    uint32_t id;
    assert_int_equal(filter_index_add(tested, shard, text(filter), text(""), &id), 0);
    return id;
}

static const struct match *
find(const char *topic)
{
    return match_cache_find(cache, text(topic), NULL);
}

static struct match_counts
counts(void)
{
    struct match_counts c;
    match_cache_counts(cache, &c);
    return c;
}

static void
the_second_look_is_a_hit_with_the_same_answer(void **state)
{
    (void)state;
    uint32_t id = add(0, "a/+");
    for (int i = 0; i < 3; i++) {
        const struct match *match = find("a/b");
        assert_int_equal(match->local_count, 1);
        assert_int_equal(match->local[0].id, id);
        assert_false(match->local[0].shared);
        assert_true(match->shards == 1);
        assert_int_equal(find("b")->local_count, 0);
    }
    assert_int_equal(counts().computed, 2);
    assert_int_equal(counts().cache_hits, 4);
}

static void
only_the_asking_shards_filters_are_local(void **state)
{
    (void)state;
    add(0, "a");
    add(1, "+");
    assert_int_equal(find("a")->local_count, 1);
    assert_true(find("a")->shards == 3);
    assert_int_equal(find("b")->local_count, 0);
    assert_true(find("b")->shards == 2);
}

static void
a_memo_finds_its_topic_without_hashing(void **state)
{
    (void)state;
    add(0, "a");
    uint32_t memo = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(match_cache_find(cache, text("a"), &memo)->local_count, 1);
    }
    assert_int_equal(counts().memo_hits, 4);
    /* Another topic moves it. */
    assert_int_equal(match_cache_find(cache, text("b"), &memo)->local_count, 0);
    assert_int_equal(match_cache_find(cache, text("b"), &memo)->local_count, 0);
    assert_int_equal(counts().memo_hits, 5);
}

static void
a_memo_is_no_promise_that_the_result_is_fresh(void **state)
{
    (void)state;
    uint32_t memo = 0;
    assert_int_equal(match_cache_find(cache, text("a"), &memo)->local_count, 0);
    uint32_t id = add(0, "a");
    assert_int_equal(match_cache_find(cache, text("a"), &memo)->local_count, 1);
    filter_index_remove(tested, 0, id);
    assert_int_equal(match_cache_find(cache, text("a"), &memo)->local_count, 0);
    assert_int_equal(counts().stale, 2);
    assert_int_equal(counts().memo_hits, 0);
}

static void
a_change_makes_only_its_first_level_stale(void **state)
{
    (void)state;
    add(0, "a/b");
    find("a/b");
    find("c/d");
    add(0, "c/+");
    find("a/b");
    assert_int_equal(counts().stale, 0);
    assert_int_equal(find("c/d")->local_count, 1);
    assert_int_equal(counts().stale, 1);
}

static void
a_change_at_the_root_makes_all_stale(void **state)
{
    (void)state;
    find("a/b");
    find("c/d");
    uint32_t id = add(0, "+/d");
    assert_int_equal(find("a/b")->local_count, 0);
    assert_int_equal(find("c/d")->local_count, 1);
    filter_index_remove(tested, 0, id);
    assert_int_equal(find("c/d")->local_count, 0);
    assert_int_equal(counts().stale, 3);
}

static void
adding_a_filter_that_the_shard_has_makes_nothing_stale(void **state)
{
    (void)state;
    add(0, "a/b");
    add(0, "#");
    find("a/b");
    add(0, "a/b");
    add(0, "#");
    find("a/b");
    assert_int_equal(counts().stale, 0);
    assert_int_equal(counts().cache_hits, 1);
    /* For another shard it is a change: our mask of shards is stale. */
    add(1, "a/b");
    assert_true(find("a/b")->shards == 3);
    assert_int_equal(counts().stale, 1);
}

/* Ids past what fits in a slot, topics past what fits in a slot, topics past what is kept at all. */
static void
results_of_any_size_come_back_whole(void **state)
{
    (void)state;
    static const uint32_t topic_sizes[] = {1, 47, 48, 49, 500, 1024, 1025, 60000};
    char *topic = malloc(60001), group[8];
    uint32_t ids = 0, id;
    add(0, "#");
    for (uint32_t round = 0; round < 6; round++) {
        for (size_t i = 0; i < sizeof topic_sizes / sizeof topic_sizes[0]; i++) {
            memset(topic, 'x', topic_sizes[i]);
            topic[topic_sizes[i]] = 0;
            for (int look = 0; look < 3; look++) {
                uint32_t memo = 0;
                const struct match *match = match_cache_find(cache, text(topic), &memo);
                assert_int_equal(match->local_count, ids + 1);
                assert_int_equal(memo == 0, topic_sizes[i] > 1024);
                for (uint32_t j = 0; j < match->local_count; j++) {
                    assert_int_equal(match->local[j].shared, filter_index_group(tested, match->local[j].id).size > 0);
                }
            }
        }
        for (uint32_t j = 0; j <= round * 20; j++) {
            snprintf(group, sizeof group, "%u", ids++);
            assert_int_equal(filter_index_add(tested, 0, text("+"), text(group), &id), 0);
        }
    }
    free(topic);
}

static void
blocks_stay_within_their_bound_and_answers_right(void **state)
{
    (void)state;
    /* 1001 ids make 8 kB for each topic; 16384 slots of that would be 128 MB, where 8 are allowed. */
    char group[8], topic[16];
    uint32_t id;
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(group, sizeof group, "%u", i);
        assert_int_equal(filter_index_add(tested, 0, text("#"), text(group), &id), 0);
    }
    add(0, "7");
    for (uint32_t i = 0; i < 6000; i++) {
        snprintf(topic, sizeof topic, "%u", i);
        assert_int_equal(find(topic)->local_count, i == 7 ? 1001 : 1000);
    }
    assert_int_equal(find("7")->local_count, 1001);
    assert_int_equal(find("8")->local_count, 1000);
}

static void
topics_that_share_a_slot_are_told_apart(void **state)
{
    (void)state;
    struct match_cache *one = match_cache_init(tested, 0, 1);
    uint32_t a = add(0, "a"), b = add(0, "b"), memo = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(match_cache_find(one, text("a"), &memo)->local[0].id, a);
        assert_int_equal(match_cache_find(one, text("b"), &memo)->local[0].id, b);
    }
    match_cache_fini(&one);
}

static void
cached_results_equal_computed_ones_while_filters_come_and_go(void **state)
{
    (void)state;
    static const char *const filters[] = {"a", "a/b", "a/+", "+/b", "#", "+", "a/#", "b/#", "+/+", "$s/#", "$s/a", "b/a", "+/#", "b"};
    static const char *const topics[] = {"a", "b", "a/b", "b/a", "$s/a", "$s", "c/b", "a/b/c"};
    bool there[14] = {false};
    uint32_t ids[14], memos[8] = {0}, seed = 1;
    for (uint32_t step = 0; step < 20000; step++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t f = (seed >> 16) % 14, t = (seed >> 8) % 8;
        if (step % 4 == 0) {
            if (there[f]) {
                filter_index_remove(tested, 0, ids[f]);
            } else {
                ids[f] = add(0, filters[f]);
            }
            there[f] = !there[f];
        }
        uint32_t expected = 0;
        for (uint32_t i = 0; i < 14; i++) {
            expected += there[i] && topic_match(text(filters[i]), text(topics[t]));
        }
        assert_int_equal(match_cache_find(cache, text(topics[t]), seed & 1 ? &memos[seed >> 4 & 7] : NULL)->local_count, expected);
    }
    assert_true(counts().memo_hits > 100 && counts().cache_hits > 100 && counts().stale > 100);
    filter_index_check(tested);
}

#define WITH_CACHE(test) cmocka_unit_test_setup_teardown(test, open_cache, close_cache)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CACHE(the_second_look_is_a_hit_with_the_same_answer),
        WITH_CACHE(only_the_asking_shards_filters_are_local),
        WITH_CACHE(a_memo_finds_its_topic_without_hashing),
        WITH_CACHE(a_memo_is_no_promise_that_the_result_is_fresh),
        WITH_CACHE(a_change_makes_only_its_first_level_stale),
        WITH_CACHE(a_change_at_the_root_makes_all_stale),
        WITH_CACHE(adding_a_filter_that_the_shard_has_makes_nothing_stale),
        WITH_CACHE(results_of_any_size_come_back_whole),
        WITH_CACHE(blocks_stay_within_their_bound_and_answers_right),
        WITH_CACHE(topics_that_share_a_slot_are_told_apart),
        WITH_CACHE(cached_results_equal_computed_ones_while_filters_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
