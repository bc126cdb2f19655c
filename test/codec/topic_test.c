#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

/* The file itself, because the twins of its scan have no names outside. */
#include "codec/topic.c"

#include "test/codec/wire.h"

static struct bytes
text(const char *t)
{
    return guarded(bytes_of(t, (uint32_t)strlen(t)));
}

static bool
name_is_valid(const char *t)
{
    return topic_name_check(text(t), TOPIC_LEVELS_MAX);
}

static bool
filter_is_valid(const char *t)
{
    struct topic_filter out;
    return topic_filter_parse(text(t), TOPIC_LEVELS_MAX, &out);
}

static bool
matches(const char *filter, const char *name)
{
    return topic_match(bytes_of(filter, (uint32_t)strlen(filter)), text(name));
}

/* MQTT5 [MQTT-4.7.3-1], MQTT3 [MQTT-4.7.3-1] */
CLAIM(name_and_filter_have_at_least_one_character)
{
    assert_false(name_is_valid(""));
    assert_false(filter_is_valid(""));
    assert_false(topic_name_check(bytes_of(NULL, 0), 1));
}

/* MQTT5 [MQTT-4.7.3-2], MQTT3 [MQTT-4.7.3-2] */
CLAIM(name_and_filter_hold_no_null_character)
{
    struct topic_filter out;
    assert_false(topic_name_check(wire("'a/' 00 '/b'"), 128));
    assert_false(topic_filter_parse(wire("'a/' 00 '/b'"), 128, &out));
    assert_false(topic_name_check(wire("'0123456789abcdef' 00"), 128));
}

/* MQTT5 [MQTT-4.7.3-3], MQTT3 [MQTT-4.7.3-3] */
CLAIM(name_of_65535_bytes_is_accepted)
{
    static uint8_t long_name[65535];
    memset(long_name, 'x', sizeof long_name);
    assert_true(topic_name_check(guarded(bytes_of(long_name, sizeof long_name)), 1));
}

/* MQTT5 [MQTT-3.3.2-2] [MQTT-4.7.0-1], MQTT3 [MQTT-3.3.2-2] [MQTT-4.7.1-1] */
CLAIM(name_holds_no_wildcard)
{
    assert_false(name_is_valid("#"));
    assert_false(name_is_valid("+"));
    assert_false(name_is_valid("a/+/b"));
    assert_false(name_is_valid("a+"));
    assert_false(name_is_valid("0123456789abcdef#"));
    assert_false(name_is_valid("0123456789abcdef0123456789abcde+"));
}

/* MQTT5 [MQTT-3.3.2-1], MQTT3 [MQTT-3.3.2-1] */
CLAIM(name_is_utf8)
{
    assert_true(name_is_valid("temp/k\xc3\xbc\x63he"));
    assert_false(name_is_valid("temp/\xff"));
    assert_false(name_is_valid("0123456789abcde\xc3"));
    assert_true(name_is_valid("0123456789abcde\xc3\xa9"));
}

CLAIM(empty_levels_dollar_and_spaces_are_fine_in_a_name)
{
    assert_true(name_is_valid("/"));
    assert_true(name_is_valid("//a//"));
    assert_true(name_is_valid("$SYS/x"));
    assert_true(name_is_valid("$share/g/t"));
    assert_true(name_is_valid(" "));
}

CLAIM(levels_over_the_maximum_are_refused)
{
    struct topic_filter out;
    assert_true(topic_name_check(text("a/b/c"), 3));
    assert_false(topic_name_check(text("a/b/c"), 2));
    assert_true(topic_filter_parse(text("a/b/#"), 3, &out));
    assert_false(topic_filter_parse(text("a/b/#"), 2, &out));
    assert_true(topic_filter_parse(text("$share/g/a/b"), 2, &out));
}

/* PEERS.md, what broke other brokers: 65 000 slashes. */
CLAIM(sixty_five_thousand_slashes_are_refused)
{
    static uint8_t slashes[65535];
    struct topic_filter out;
    memset(slashes, '/', sizeof slashes);
    struct bytes b = guarded(bytes_of(slashes, sizeof slashes));
    assert_false(topic_name_check(b, TOPIC_LEVELS_MAX));
    assert_false(topic_filter_parse(b, TOPIC_LEVELS_MAX, &out));
    assert_true(topic_name_check(b, 65536));
}

/* MQTT5 [MQTT-4.7.1-1], MQTT3 [MQTT-4.7.1-2] */
CLAIM(hash_stands_alone_in_the_last_level)
{
    assert_true(filter_is_valid("#"));
    assert_true(filter_is_valid("a/#"));
    assert_true(filter_is_valid("/#"));
    assert_false(filter_is_valid("a#"));
    assert_false(filter_is_valid("a/#/b"));
    assert_false(filter_is_valid("#/"));
    assert_false(filter_is_valid("##"));
    assert_false(filter_is_valid("a/b#"));
    assert_false(filter_is_valid("#a"));
}

/* MQTT5 [MQTT-4.7.1-2], MQTT3 [MQTT-4.7.1-3] */
CLAIM(plus_stands_alone_in_its_level)
{
    assert_true(filter_is_valid("+"));
    assert_true(filter_is_valid("+/+"));
    assert_true(filter_is_valid("/+"));
    assert_true(filter_is_valid("a/+/#"));
    assert_false(filter_is_valid("a+"));
    assert_false(filter_is_valid("+a"));
    assert_false(filter_is_valid("a/b+/c"));
    assert_false(filter_is_valid("++"));
    assert_false(filter_is_valid("+#"));
}

/* MQTT5 [MQTT-3.8.3-1], MQTT3 [MQTT-3.8.3-1] */
CLAIM(filter_is_utf8)
{
    assert_true(filter_is_valid("k\xc3\xbc\x63he/+"));
    assert_false(filter_is_valid("k\xfc\x63he/+"));
}

CLAIM(filter_is_taken_apart)
{
    struct topic_filter out;
    assert_true(topic_filter_parse(text("a/+/c"), 128, &out));
    assert_false(out.shared);
    assert_true(out.wildcard);
    assert_int_equal(out.levels, 3);
    assert_int_equal(out.group.size, 0);
    assert_true(bytes_equal(out.filter, bytes_of("a/+/c", 5)));
}

CLAIM(shared_filter_is_taken_apart)
{
    struct topic_filter out;
    assert_true(topic_filter_parse(text("$share/group//a"), 128, &out));
    assert_true(out.shared);
    assert_false(out.wildcard);
    assert_int_equal(out.levels, 2);
    assert_true(bytes_equal(out.group, bytes_of("group", 5)));
    assert_true(bytes_equal(out.filter, bytes_of("/a", 2)));
}

/* MQTT5 [MQTT-4.8.2-1] */
CLAIM(share_name_has_at_least_one_character)
{
    assert_false(filter_is_valid("$share//a"));
    assert_false(filter_is_valid("$share/"));
    assert_true(filter_is_valid("$share/g/a"));
}

/* MQTT5 [MQTT-4.8.2-2] */
CLAIM(share_name_holds_no_wildcard_and_a_filter_follows)
{
    assert_false(filter_is_valid("$share/g+/a"));
    assert_false(filter_is_valid("$share/+/a"));
    assert_false(filter_is_valid("$share/#/a"));
    assert_false(filter_is_valid("$share/#"));
    assert_false(filter_is_valid("$share/g"));
    assert_false(filter_is_valid("$share/g/"));
    assert_false(filter_is_valid("$share/g/a#"));
    assert_true(filter_is_valid("$share/g/#"));
}

CLAIM(what_only_looks_like_a_shared_filter_is_a_plain_one)
{
    struct topic_filter out;
    assert_true(topic_filter_parse(text("$share"), 128, &out));
    assert_false(out.shared);
    assert_true(topic_filter_parse(text("$shared/g/a"), 128, &out));
    assert_false(out.shared);
    assert_int_equal(out.levels, 3);
    assert_true(topic_filter_parse(text("$SHARE/g/a"), 128, &out));
    assert_false(out.shared);
}

/* MQTT5 4.7.1.2, 4.7.1.3: the specification's own examples. */
CLAIM(match_follows_the_examples_of_the_specification)
{
    assert_true(matches("sport/tennis/player1/#", "sport/tennis/player1"));
    assert_true(matches("sport/tennis/player1/#", "sport/tennis/player1/ranking"));
    assert_true(matches("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
    assert_true(matches("sport/#", "sport"));
    assert_true(matches("#", "sport"));
    assert_true(matches("sport/tennis/+", "sport/tennis/player1"));
    assert_false(matches("sport/tennis/+", "sport/tennis/player1/ranking"));
    assert_false(matches("sport/+", "sport"));
    assert_true(matches("sport/+", "sport/"));
    assert_true(matches("+/+", "/finance"));
    assert_true(matches("/+", "/finance"));
    assert_false(matches("+", "/finance"));
}

/* MQTT5 [MQTT-4.7.2-1], MQTT3 [MQTT-4.7.2-1] */
CLAIM(leading_wildcard_never_matches_dollar_names)
{
    assert_false(matches("#", "$SYS/x"));
    assert_false(matches("+/x", "$SYS/x"));
    assert_true(matches("$SYS/#", "$SYS/x"));
    assert_true(matches("$SYS/+", "$SYS/x"));
    assert_true(matches("$SYS/#", "$SYS"));
    assert_true(matches("+/$x", "a/$x"));
    assert_false(matches("#", "$"));
}

/* MQTT5 [MQTT-4.7.3-4], MQTT3 [MQTT-4.7.3-4]: character by character, nothing normalized. */
CLAIM(match_is_exact_about_case_spaces_and_slashes)
{
    assert_false(matches("ACCOUNTS", "Accounts"));
    assert_false(matches("finance", "/finance"));
    assert_false(matches("a/b", "a/b/"));
    assert_false(matches("a/b/", "a/b"));
    assert_false(matches("a//b", "a/b"));
    assert_false(matches("\xc3\xa9", "e\xcc\x81"));
    assert_true(matches("a//b", "a//b"));
    assert_true(matches("+/+/+", "//"));
    assert_false(matches("+/+", "//"));
}

static char
random_topic_byte(void)
{
    static const char alphabet[] = "aaab//+#$\xc3\xa9\xff";
    long pick = random() % (long)sizeof alphabet; /* the terminating zero too */
    return alphabet[pick];
}

CLAIM(scan_twins_agree_on_random_bytes)
{
    srandom(3);
    for (int round = 0; round < 200000; round++) {
        uint8_t name[70];
        uint32_t size = (uint32_t)random() % sizeof name;
        memset(name, 'x', sizeof name);
        for (int i = (int)(random() % 12); i > 0 && size > 0; i--) {
            name[(uint32_t)random() % size] = (uint8_t)random_topic_byte();
        }
        struct bytes b = guarded(bytes_of(name, size));
        struct name_scan vector = scan_name(b), portable = scan_portable(b);
        assert_int_equal(vector.levels, portable.levels);
        assert_int_equal(vector.ascii, portable.ascii);
        assert_int_equal(vector.forbidden, portable.forbidden);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(name_and_filter_have_at_least_one_character),
        cmocka_unit_test(name_and_filter_hold_no_null_character),
        cmocka_unit_test(name_of_65535_bytes_is_accepted),
        cmocka_unit_test(name_holds_no_wildcard),
        cmocka_unit_test(name_is_utf8),
        cmocka_unit_test(empty_levels_dollar_and_spaces_are_fine_in_a_name),
        cmocka_unit_test(levels_over_the_maximum_are_refused),
        cmocka_unit_test(sixty_five_thousand_slashes_are_refused),
        cmocka_unit_test(hash_stands_alone_in_the_last_level),
        cmocka_unit_test(plus_stands_alone_in_its_level),
        cmocka_unit_test(filter_is_utf8),
        cmocka_unit_test(filter_is_taken_apart),
        cmocka_unit_test(shared_filter_is_taken_apart),
        cmocka_unit_test(share_name_has_at_least_one_character),
        cmocka_unit_test(share_name_holds_no_wildcard_and_a_filter_follows),
        cmocka_unit_test(what_only_looks_like_a_shared_filter_is_a_plain_one),
        cmocka_unit_test(match_follows_the_examples_of_the_specification),
        cmocka_unit_test(leading_wildcard_never_matches_dollar_names),
        cmocka_unit_test(match_is_exact_about_case_spaces_and_slashes),
        cmocka_unit_test(scan_twins_agree_on_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
