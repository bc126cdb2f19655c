#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/topic.h"
#include "router/filter_index.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* The index is held against a list of filters and topic_match(): the twin. Matches are asked for through caches of one slot, which remember nothing. */

#define SHARDS 3u
#define TWIN_MAX 16384u

static const uint8_t secret[32] = "0123456789abcdef0123456789abcde";

struct twin_filter {
    char filter[80], group[8];
    uint64_t shards; /* 0: not there */
    uint32_t id;
};

static struct twin_filter twin[TWIN_MAX];
static uint32_t twin_count;
static struct filter_index *index_under_test;
static struct match_cache *caches[SHARDS];

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
open_index(void **state)
{
    (void)state;
    seed = 88172645463325252u;
    twin_count = 0;
    index_under_test = filter_index_init(SHARDS, NULL, secret);
    for (unsigned i = 0; i < SHARDS; i++) {
        caches[i] = match_cache_init(index_under_test, i, 1);
        epoch_online(filter_index_epoch(index_under_test), i);
    }
    return 0;
}

static int
close_index(void **state)
{
    (void)state;
    filter_index_check(index_under_test);
    for (unsigned i = 0; i < SHARDS; i++) {
        match_cache_fini(&caches[i]);
    }
    filter_index_fini(&index_under_test);
    return 0;
}

static void
turn(void)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        epoch_quiescent(filter_index_epoch(index_under_test), i);
    }
}

static struct filter_counts
counts(void)
{
    struct filter_counts c;
    filter_index_counts(index_under_test, &c);
    return c;
}

static struct twin_filter *
twin_get(const char *filter, const char *group)
{
    for (uint32_t i = 0; i < twin_count; i++) {
        if (strcmp(twin[i].filter, filter) == 0 && strcmp(twin[i].group, group) == 0) {
            return &twin[i];
        }
    }
    struct twin_filter *f = &twin[twin_count++];
    snprintf(f->filter, sizeof f->filter, "%s", filter);
    snprintf(f->group, sizeof f->group, "%s", group);
    f->shards = 0;
    return f;
}

static int
add(unsigned shard, const char *filter, const char *group)
{
    struct twin_filter *f = twin_get(filter, group);
    uint32_t id;
    int error = filter_index_add(index_under_test, shard, text(filter), text(group), &id);
    if (error == 0) {
        assert_true(f->shards == 0 || f->id == id); /* F1 */
        assert_true(id < filter_index_id_limit(index_under_test));
        f->id = id;
        f->shards |= (uint64_t)1 << shard;
        assert_true(bytes_equal(filter_index_filter(index_under_test, id), text(filter)));
        assert_true(bytes_equal(filter_index_group(index_under_test, id), text(group)));
    }
    return error;
}

static void
drop(unsigned shard, struct twin_filter *f)
{
    filter_index_remove(index_under_test, shard, f->id);
    f->shards &= ~((uint64_t)1 << shard);
}

/* F2: what `shard` finds for `topic` is what the twin finds. */
static void
assert_match(unsigned shard, const char *topic)
{
    const struct match *match = match_cache_find(caches[shard], text(topic), NULL);
    uint64_t shards = 0;
    uint32_t local = 0;
    for (uint32_t i = 0; i < twin_count; i++) {
        const struct twin_filter *f = &twin[i];
        if (f->shards == 0 || !topic_match(text(f->filter), text(topic))) {
            continue;
        }
        shards |= f->shards;
        if ((f->shards >> shard & 1) == 0) {
            continue;
        }
        local++;
        uint32_t found = 0;
        for (uint32_t j = 0; j < match->local_count; j++) {
            found += match->local[j].id == f->id && match->local[j].shared == (f->group[0] != 0);
        }
        if (found != 1) {
            fail_msg("'%s' finds '%s' (group '%s') %u times", topic, f->filter, f->group, found);
        }
    }
    if (match->local_count != local || match->shards != shards) {
        fail_msg("'%s' finds %u filters, not %u", topic, match->local_count, local);
    }
}

static const char *const words[] = {"a", "b", "", "$s", "a", "longer-than-8", "longer-than-sixteen-bytes"};

static void
random_topic(char *out, uint32_t levels_max)
{
    uint32_t levels = 1 + random_below(levels_max);
    do {
        out[0] = 0;
        for (uint32_t i = 0; i < levels; i++) {
            strcat(strcat(out, i > 0 ? "/" : ""), words[random_below(i < 2 ? 7 : 3)]);
        }
    } while (out[0] == 0);
}

static void
random_filter(char *out, uint32_t levels_max)
{
    uint32_t levels = 1 + random_below(levels_max);
    do {
        out[0] = 0;
        for (uint32_t i = 0; i < levels; i++) {
            const char *word = random_below(3) == 0 ? "+" : words[random_below(i < 2 ? 7 : 3)];
            strcat(strcat(out, i > 0 ? "/" : ""), i + 1 == levels && random_below(4) == 0 ? "#" : word);
        }
    } while (out[0] == 0);
}

static void
random_step(uint32_t levels_max)
{
    static const char *const groups[] = {"", "", "g", "h", "i"};
    unsigned shard = random_below(SHARDS);
    if (random_below(5) < 3 && twin_count < TWIN_MAX - 1) {
        char filter[80];
        random_filter(filter, levels_max);
        assert_int_equal(add(shard, filter, groups[random_below(5)]), 0);
    } else if (twin_count > 0) {
        struct twin_filter *f = &twin[random_below(twin_count)];
        if (f->shards >> shard & 1) {
            drop(shard, f);
        }
    }
}

static void
random_filters_match_as_the_twin_says(void **state)
{
    (void)state;
    for (uint32_t step = 0; step < 6000; step++) {
        /* Shallow filters overlap a lot; later deeper ones with more shapes than tuple space takes, so that tries are in use. */
        uint32_t levels_max = step < 2000 ? 3 : 8;
        char topic[300];
        random_step(levels_max);
        random_topic(topic, levels_max);
        assert_match(random_below(SHARDS), topic);
        if (step % 3 == 0) {
            turn();
        }
        if (step % 500 == 0) {
            filter_index_check(index_under_test);
        }
    }
    assert_true(counts().trie_filters > 0);
    for (uint32_t i = 0; i < twin_count; i++) {
        for (unsigned shard = 0; shard < SHARDS; shard++) {
            if (twin[i].shards >> shard & 1) {
                drop(shard, &twin[i]);
            }
        }
        if (i % 50 == 0) {
            char topic[300];
            random_topic(topic, 6);
            assert_match(random_below(SHARDS), topic);
            filter_index_check(index_under_test);
        }
    }
    struct filter_counts c = counts();
    assert_int_equal(c.filters + c.wildcard_filters + c.trie_filters + c.shapes, 0);
}

/* MQTT5 4.7.1.2 and 4.7.1.3, MQTT3 the same. */
static void
wildcards_match_as_the_specification_says(void **state)
{
    (void)state;
    static const char *const filters[] = {
        "sport/tennis/player1/#", "sport/#", "#", "+", "sport/tennis/+", "+/tennis/#", "sport/+", "+/+", "/+", "/finance", "/#", "+/#", "sport/+/player1",
        "sport/tennis/player1", "+/",
    };
    static const char *const topics[] = {
        "sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon", "sport", "sport/", "sport/tennis", "/finance", "finance", "/",
        "//", "sport/tennis/player2", "Sport",
    };
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        assert_int_equal(add((unsigned)i % SHARDS, filters[i], ""), 0);
    }
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++) {
        for (unsigned shard = 0; shard < SHARDS; shard++) {
            assert_match(shard, topics[i]);
        }
    }
}

/* MQTT5 [MQTT-4.7.2-1], MQTT3 [MQTT-4.7.2-1]. */
static void
filters_starting_with_a_wildcard_never_match_dollar_topics(void **state)
{
    (void)state;
    add(0, "#", "");
    add(0, "+/monitor/Clients", "");
    add(0, "+", "");
    const struct match *match = match_cache_find(caches[0], text("$SYS/monitor/Clients"), NULL);
    assert_int_equal(match->local_count, 0);
    assert_true(match->shards == 0);
    add(0, "$SYS/#", "");
    add(0, "$SYS/monitor/+", "");
    add(0, "$SYS/monitor/Clients", "");
    assert_int_equal(match_cache_find(caches[0], text("$SYS/monitor/Clients"), NULL)->local_count, 3);
    assert_match(0, "$");
    assert_match(0, "$SYS");
    assert_match(0, "a/$SYS");
}

static void
every_share_name_of_one_filter_is_found(void **state)
{
    (void)state;
    static const char *const filters[] = {"a/b", "a/+", "+/#"};
    for (size_t i = 0; i < 3; i++) {
        add(0, filters[i], "g1");
        add(0, filters[i], "");
        add(1, filters[i], "g2");
        add(0, filters[i], "g3");
    }
    assert_match(0, "a/b");
    assert_match(1, "a/b");
    assert_int_equal(match_cache_find(caches[0], text("a/b"), NULL)->local_count, 9);
    /* The first of each list goes, then one from the middle, then the rest. */
    static const char *const order[] = {"g1", "g2", "", "g3"};
    for (size_t g = 0; g < 4; g++) {
        for (size_t i = 0; i < 3; i++) {
            struct twin_filter *f = twin_get(filters[i], order[g]);
            drop(f->shards == 2, f);
            filter_index_check(index_under_test);
            assert_match(0, "a/b");
            assert_match(1, "a/b");
        }
    }
    assert_int_equal(counts().filters, 0);
}

static void
an_id_stays_until_no_shard_is_interested_and_is_reused_only_after_an_epoch(void **state)
{
    (void)state;
    add(0, "a", "");
    add(1, "a", "");
    uint32_t id = twin_get("a", "")->id;
    drop(0, twin_get("a", ""));
    add(0, "a", "");
    assert_int_equal(twin_get("a", "")->id, id);
    drop(0, twin_get("a", ""));
    drop(1, twin_get("a", ""));

    add(0, "b", "");
    assert_int_not_equal(twin_get("b", "")->id, id);
    assert_true(counts().retired_waiting > 0);
    turn();
    add(0, "c", "");
    add(0, "d", "");
    assert_true(twin_get("c", "")->id == id || twin_get("d", "")->id == id);
}

static void
adding_what_the_shard_has_is_harmless(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        add(0, "a/+", "g");
    }
    assert_int_equal(counts().filters, 1);
    drop(0, twin_get("a/+", "g"));
    assert_int_equal(counts().filters, 0);
    assert_match(0, "a/b");
}

/* {x,+}^levels, then `tail`. */
static void
adversary(char *out, uint32_t bits, uint32_t levels, const char *tail)
{
    out[0] = 0;
    for (uint32_t i = 0; i < levels; i++) {
        strcat(out, bits >> i & 1 ? "+/" : "x/");
    }
    strcat(out, tail);
}

static void
many_shapes_of_few_words_are_all_found(void **state)
{
    (void)state;
    char filter[80];
    for (uint32_t bits = 0; bits < 1 << 9; bits++) {
        adversary(filter, bits, 9, bits % 3 == 0 ? "#" : "z");
        assert_int_equal(add(bits % SHARDS, filter, ""), 0);
    }
    struct filter_counts c = counts();
    assert_int_equal(c.shapes, 2 * FILTER_SHAPES_MAX);
    assert_true(c.trie_filters > 300);
    static const char *const topics[] = {"x/x/x/x/x/x/x/x/x/z", "x/x/x/x/x/x/x/x/x/y", "x/x/x/x/x/x/x/x/x", "x/y/x/y/x/y/x/y/x/z", "y/x/x/x/x/x/x/x/x/z/z", "x/x"};
    for (size_t i = 0; i < 6; i++) {
        assert_match((unsigned)i % SHARDS, topics[i]);
    }
    /* Shapes become free while filters of the same first level stay in the trie, and are taken by others. */
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = round; i < twin_count; i += 3) {
            for (unsigned shard = 0; shard < SHARDS; shard++) {
                if (twin[i].shards >> shard & 1) {
                    drop(shard, &twin[i]);
                }
            }
        }
        turn();
        filter_index_check(index_under_test);
        for (uint32_t i = round; i < twin_count && round < 2; i += 6) {
            char copy[80];
            strcpy(copy, twin[i].filter);
            assert_int_equal(add(0, copy, ""), 0);
        }
        for (size_t i = 0; i < 6; i++) {
            assert_match((unsigned)i % SHARDS, topics[i]);
        }
    }
}

static void
a_first_level_that_is_full_refuses_and_others_do_not_suffer(void **state)
{
    (void)state;
    char filter[80];
    uint32_t id, accepted = 0, refused = 0;
    uint32_t *ids = calloc(1 << 13, sizeof *ids);
    for (uint32_t bits = 0; bits < 1 << 14; bits += 2) {
        adversary(filter, bits, 14, "z");
        int error = filter_index_add(index_under_test, 0, text(filter), text(""), &id);
        assert_true(error == 0 || error == -ENOSPC);
        if (error == 0) {
            ids[accepted++] = id;
        }
        refused += error == -ENOSPC;
    }
    /* One of them is exact. F4. */
    assert_int_equal(accepted, 1 + FILTER_SHAPES_MAX + FILTER_TRIE_MAX);
    assert_int_equal(counts().refused, refused);
    assert_int_equal(counts().trie_filters, FILTER_TRIE_MAX);
    filter_index_check(index_under_test);
    assert_int_equal(match_cache_find(caches[0], text("x/x/x/x/x/x/x/x/x/x/x/x/x/x/z"), NULL)->local_count, accepted);
    assert_int_equal(match_cache_find(caches[0], text("x/x/x/x/x/x/x/x/x/x/x/x/x/x/y"), NULL)->local_count, 0);

    assert_int_equal(add(0, "y/+/z", ""), 0);
    assert_match(0, "y/x/z");
    for (uint32_t i = 0; i < accepted; i++) {
        filter_index_remove(index_under_test, 0, ids[i]);
    }
    free(ids);
    for (int i = 0; i < 200; i++) { /* a reclaim is bounded, so it takes some */
        turn();
        add(0, "a", "");
    }
    assert_int_equal(counts().trie_filters, 0);
    assert_int_equal(counts().shapes, 1);
    assert_int_equal(counts().retired_waiting, 0);
    adversary(filter, 5, 14, "z");
    assert_int_equal(add(0, filter, ""), 0);
}

static void
filters_deeper_than_a_shape_are_found_too(void **state)
{
    (void)state;
    char topic[300] = "", filter[300] = "", open[300] = "", exact[300] = "";
    uint32_t ids[3];
    for (uint32_t i = 0; i < TOPIC_LEVELS_MAX; i++) {
        strcat(strcat(topic, i > 0 ? "/" : ""), i % 2 ? "a" : "b");
        strcat(strcat(filter, i > 0 ? "/" : ""), i % 2 ? "a" : i % 3 ? "+" : "b");
        strcat(strcat(exact, i > 0 ? "/" : ""), i % 2 ? "a" : "b");
        if (i < 100) {
            strcat(strcat(open, i > 0 ? "/" : ""), i == 99 ? "#" : i % 2 ? "+" : "b");
        }
    }
    assert_int_equal(filter_index_add(index_under_test, 0, text(filter), text(""), &ids[0]), 0);
    assert_int_equal(filter_index_add(index_under_test, 0, text(open), text(""), &ids[1]), 0);
    assert_int_equal(filter_index_add(index_under_test, 0, text(exact), text(""), &ids[2]), 0);
    assert_int_equal(counts().trie_filters, 2);
    assert_int_equal(match_cache_find(caches[0], text(topic), NULL)->local_count, 3);
    /* '#' takes its parent level too: 99 levels; one less is too short. */
    topic[2 * 99 - 1] = 0;
    assert_int_equal(match_cache_find(caches[0], text(topic), NULL)->local_count, 1);
    topic[2 * 98 - 1] = 0;
    assert_int_equal(match_cache_find(caches[0], text(topic), NULL)->local_count, 0);
    filter_index_check(index_under_test);
    for (int i = 0; i < 3; i++) {
        filter_index_remove(index_under_test, 0, ids[i]);
    }
    assert_int_equal(counts().filters, 0);
}

static void
deep_tries_are_bounded_by_their_nodes(void **state)
{
    (void)state;
    char filter[600];
    uint32_t id, accepted = 0;
    for (uint32_t i = 0; i < FILTER_TRIE_MAX; i++) {
        int n = sprintf(filter, "x/%u", i);
        for (uint32_t level = 2; level < TOPIC_LEVELS_MAX; level++) {
            n += sprintf(filter + n, "/+");
        }
        accepted += filter_index_add(index_under_test, 0, text(filter), text(""), &id) == 0;
    }
    assert_int_equal(accepted, (FILTER_TRIE_NODES_MAX - 1) / (TOPIC_LEVELS_MAX - 1));
    filter_index_check(index_under_test);
}

static void
share_names_of_one_filter_and_filters_are_limited(void **state)
{
    (void)state;
    char group[8];
    for (uint32_t i = 0; i <= FILTER_GROUPS_MAX; i++) {
        sprintf(group, "%u", i);
        assert_int_equal(add(0, "a", group), i < FILTER_GROUPS_MAX ? 0 : -ENOSPC);
    }
    assert_match(0, "a");

    struct filter_limits limits = {.filters_max = 2};
    struct filter_index *small = filter_index_init(1, &limits, secret);
    uint32_t a, b, c;
    assert_int_equal(filter_index_add(small, 0, text("a"), text(""), &a), 0);
    assert_int_equal(filter_index_add(small, 0, text("b/+"), text(""), &b), 0);
    assert_int_equal(filter_index_add(small, 0, text("c"), text(""), &c), -ENOSPC);
    assert_int_equal(filter_index_add(small, 0, text("a"), text(""), &c), 0);
    filter_index_remove(small, 0, b);
    assert_int_equal(filter_index_add(small, 0, text("c"), text(""), &c), 0);
    filter_index_check(small);
    filter_index_fini(&small);
}

static void
a_hundred_thousand_filters_come_and_go(void **state)
{
    (void)state;
    char filter[80];
    uint32_t *ids = calloc(100000, sizeof *ids);
    for (uint32_t i = 0; i < 100000; i++) {
        sprintf(filter, i % 2 ? "site/%u/x" : "%u/+/x", i);
        assert_int_equal(filter_index_add(index_under_test, i % SHARDS, text(filter), text(""), &ids[i]), 0);
        turn();
    }
    filter_index_check(index_under_test);
    assert_int_equal(match_cache_find(caches[99999 % SHARDS], text("site/99999/x"), NULL)->local_count, 1);
    for (uint32_t i = 0; i < 100000; i++) {
        filter_index_remove(index_under_test, i % SHARDS, ids[i]);
        turn();
    }
    free(ids);
    assert_int_equal(counts().filters, 0);
    assert_int_equal(counts().shapes, 0);
    assert_true(counts().retired_waiting < 10);
}

/*
 * One writer adds and removes; two shards match all the while. Some filters stay: they are always found. What comes and goes is announced in `stage`
 * after filter_index_add() returned: who sees the announcement must find it, although he has a cached result from before.
 */
static _Atomic uint32_t stage; /* odd: the filters of this stage are there */
static _Atomic uint32_t seen[2];
static _Atomic uint32_t failures;

static const char *const comers[][2] = {{"t/%u", "t/%u"}, {"t/+/%u", "t/a/%u"}, {"+/%u/#", "q/%u/x/y"}, {"v/%u/#", "v/%u"}};

static bool
is_found(struct match_cache *cache, const char *topic, uint32_t at_least)
{
    return match_cache_find(cache, text(topic), NULL)->local_count >= at_least;
}

static void *
match_all_the_while(void *argument)
{
    unsigned shard = (unsigned)(uintptr_t)argument;
    struct match_cache *cache = match_cache_init(index_under_test, shard, 64);
    struct epoch *epoch = filter_index_epoch(index_under_test);
    uint32_t now = 0;
    epoch_online(epoch, shard);
    while (now != UINT32_MAX) {
        now = atomic_load_explicit(&stage, memory_order_acquire);
        for (uint32_t i = 0; i < 4; i++) {
            char topic[80];
            snprintf(topic, sizeof topic, comers[i][1], now / 2 % 5);
            bool found = is_found(cache, topic, 1);
            bool all_the_while = now == atomic_load_explicit(&stage, memory_order_acquire);
            if (now != UINT32_MAX && now % 2 == 1 && all_the_while && !found) {
                atomic_fetch_add(&failures, 1);
            }
        }
        if (!is_found(cache, "stay/a/b", 2) || !is_found(cache, "x/x/x/x/x/x/x/z", 128)) {
            atomic_fetch_add(&failures, 1);
        }
        atomic_store_explicit(&seen[shard], now, memory_order_release);
        epoch_quiescent(epoch, shard);
    }
    epoch_offline(epoch, shard);
    match_cache_fini(&cache);
    return NULL;
}

static void
what_add_returned_for_is_found_by_matches_on_other_threads(void **state)
{
    (void)state;
    char filter[80];
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        epoch_offline(filter_index_epoch(index_under_test), shard);
    }
    for (unsigned shard = 0; shard < 2; shard++) {
        add(shard, "stay/a/b", "");
        add(shard, "stay/+/b", "");
        for (uint32_t bits = 0; bits < 1 << 7; bits++) {
            adversary(filter, bits, 7, "z");
            add(shard, filter, "");
        }
    }

    pthread_t readers[2];
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&readers[i], NULL, match_all_the_while, (void *)(uintptr_t)i);
    }
    for (uint32_t s = 0; s < 600; s++) {
        uint32_t ids[4][2], churn[8];
        for (uint32_t i = 0; i < 8; i++) {
            snprintf(filter, sizeof filter, i % 2 ? "x/+/%u/#" : "churn/%u/%u", s % 7, i);
            filter_index_add(index_under_test, 0, text(filter), text(i % 3 ? "g" : ""), &churn[i]);
        }
        for (uint32_t i = 0; i < 8; i++) {
            snprintf(filter, sizeof filter, comers[i % 4][0], s % 5);
            filter_index_add(index_under_test, i / 4, text(filter), text(""), &ids[i % 4][i / 4]);
        }
        atomic_store_explicit(&stage, 2 * s + 1, memory_order_release);
        for (uint32_t i = 0; i < 2; i++) {
            while (atomic_load_explicit(&seen[i], memory_order_acquire) != 2 * s + 1) {
                sched_yield();
            }
        }
        atomic_store_explicit(&stage, 2 * s + 2, memory_order_release);
        for (uint32_t i = 0; i < 8; i++) {
            filter_index_remove(index_under_test, i / 4, ids[i % 4][i / 4]);
            if (i % 2 == 0 || i == 1) {
                filter_index_remove(index_under_test, 0, churn[i]);
            }
        }
    }
    atomic_store(&stage, UINT32_MAX);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(readers[i], NULL);
    }
    assert_int_equal(atomic_load(&failures), 0);
}

#define WITH_INDEX(test) cmocka_unit_test_setup_teardown(test, open_index, close_index)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_INDEX(random_filters_match_as_the_twin_says),
        WITH_INDEX(wildcards_match_as_the_specification_says),
        WITH_INDEX(filters_starting_with_a_wildcard_never_match_dollar_topics),
        WITH_INDEX(every_share_name_of_one_filter_is_found),
        WITH_INDEX(an_id_stays_until_no_shard_is_interested_and_is_reused_only_after_an_epoch),
        WITH_INDEX(adding_what_the_shard_has_is_harmless),
        WITH_INDEX(many_shapes_of_few_words_are_all_found),
        WITH_INDEX(a_first_level_that_is_full_refuses_and_others_do_not_suffer),
        WITH_INDEX(filters_deeper_than_a_shape_are_found_too),
        WITH_INDEX(deep_tries_are_bounded_by_their_nodes),
        WITH_INDEX(share_names_of_one_filter_and_filters_are_limited),
        WITH_INDEX(a_hundred_thousand_filters_come_and_go),
        WITH_INDEX(what_add_returned_for_is_found_by_matches_on_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
