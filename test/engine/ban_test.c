#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/limits/ban_file.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ban_list *list;

static int
begin(void **state)
{
    (void)state;
    list = ban_list_init(42);
    return list != NULL ? 0 : -1;
}

static int
finish(void **state)
{
    (void)state;
    ban_list_fini(&list);
    return 0;
}

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

static struct ban
named(enum ban_kind kind, const char *value, uint64_t until_ms)
{
    return (struct ban){.kind = (uint8_t)kind, .origin = BAN_OF_OPERATOR, .until_ms = until_ms, .value = text_of(value)};
}

static struct ban
network(const char *text)
{
    struct ban ban = {.kind = BAN_ADDRESS, .origin = BAN_OF_OPERATOR};
    assert_true(ban_parse_network(text_of(text), &ban.network));
    return ban;
}

static bool
holds_address(const char *text)
{
    struct ban_network one;
    assert_true(ban_parse_network(text_of(text), &one));
    return ban_holds_address(list, one.bytes, 1000);
}

static void
client_and_user_of_one_name_are_apart(void **state)
{
    (void)state;
    struct ban ban = named(BAN_CLIENT, "a", 0);
    assert_false(ban_holds(list, BAN_CLIENT, text_of("a"), 1000));
    assert_true(ban_add(list, &ban, 1000));
    assert_true(ban_holds(list, BAN_CLIENT, text_of("a"), 1000));
    assert_false(ban_holds(list, BAN_USER, text_of("a"), 1000));
    assert_false(ban_holds(list, BAN_CLIENT, text_of("ab"), 1000));
    assert_int_equal(ban_remove(list, &ban), 1);
    assert_int_equal(ban_remove(list, &ban), 0);
    assert_false(ban_holds(list, BAN_CLIENT, text_of("a"), 1000));
}

static void
ban_ends_at_its_time(void **state)
{
    (void)state;
    struct ban ban = named(BAN_USER, "mallory", 5000);
    assert_true(ban_add(list, &ban, 1000));
    assert_true(ban_holds(list, BAN_USER, text_of("mallory"), 4999));
    assert_false(ban_holds(list, BAN_USER, text_of("mallory"), 5000));
    ban.until_ms = 0;
    assert_true(ban_add(list, &ban, 6000)); /* again, and for ever now */
    assert_true(ban_holds(list, BAN_USER, text_of("mallory"), UINT64_MAX));
}

static void
network_holds_what_lies_in_it(void **state)
{
    (void)state;
    static const char *const bans[] = {"192.0.2.0/24", "198.51.100.7", "2001:db8:1::/48", "2001:db8:ffff::5", "10.0.0.0/8"};
    for (size_t i = 0; i < sizeof bans / sizeof bans[0]; i++) {
        struct ban ban = network(bans[i]);
        assert_true(ban_add(list, &ban, 1000));
    }
    assert_true(holds_address("192.0.2.0"));
    assert_true(holds_address("192.0.2.255"));
    assert_false(holds_address("192.0.3.0"));
    assert_false(holds_address("192.0.1.255"));
    assert_true(holds_address("198.51.100.7"));
    assert_false(holds_address("198.51.100.6"));
    assert_true(holds_address("10.255.0.1"));
    assert_true(holds_address("2001:db8:1:2:3:4:5:6"));
    assert_false(holds_address("2001:db8:2::"));
    assert_true(holds_address("2001:db8:ffff::5"));
    assert_false(holds_address("2001:db8:ffff::4"));
    assert_true(holds_address("::ffff:192.0.2.9")); /* IPv4 as it comes to a socket of both families */
    struct ban gone = network("192.0.2.0/24");
    assert_int_equal(ban_remove(list, &gone), 1);
    assert_false(holds_address("192.0.2.9"));
}

static void
network_of_nothing_is_everybody(void **state)
{
    (void)state;
    struct ban ban = network("0.0.0.0/0");
    assert_true(ban_add(list, &ban, 1000));
    assert_true(holds_address("203.0.113.1"));
    assert_false(holds_address("2001:db8::1"));
    ban = network("::/0");
    assert_true(ban_add(list, &ban, 1000));
    assert_true(holds_address("2001:db8::1"));
}

static void
networks_are_read_and_written(void **state)
{
    (void)state;
    static const char *const good[] = {"192.0.2.1", "192.0.2.0/24", "0.0.0.0/0", "2001:db8::1", "2001:db8::/32", "::/0", "128.0.0.0/1", "fe80::/127"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char text[64];
        struct ban ban = network(good[i]);
        ban_network_text(&ban.network, text, sizeof text);
        assert_string_equal(text, good[i]);
    }
    static const char *const wrong[] = {"",          "x",           "192.0.2",     "192.0.2.1/33", "192.0.2.1/24", "192.0.2.0/",      "192.0.2.0/-1", "192.0.2.0/024 ",
                                        "1.2.3.4/1x", "2001:db8::/129", "2001:db8::1/64", "256.0.0.1",  "::1%lo",       "192.0.2.0/24/24", "/8"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct ban_network ignored;
        assert_false(ban_parse_network(text_of(wrong[i]), &ignored));
    }
}

/* Replacing what came from the file leaves what came otherwise. */
static void
origins_are_apart(void **state)
{
    (void)state;
    struct ban own = named(BAN_CLIENT, "a", 0);
    struct ban of_file[] = {named(BAN_CLIENT, "a", 0), named(BAN_CLIENT, "b", 0)};
    of_file[0].origin = of_file[1].origin = BAN_OF_FILE;
    assert_true(ban_add(list, &own, 1000));
    assert_true(ban_replace_file(list, of_file, 2, 1000));
    assert_true(ban_holds(list, BAN_CLIENT, text_of("b"), 1000));
    assert_true(ban_replace_file(list, NULL, 0, 1000));
    assert_false(ban_holds(list, BAN_CLIENT, text_of("b"), 1000));
    assert_true(ban_holds(list, BAN_CLIENT, text_of("a"), 1000));
}

/* More than there may be: those that were there hold on. */
static void
replacing_that_fails_changes_nothing(void **state)
{
    (void)state;
    struct ban before = named(BAN_CLIENT, "before", 0);
    before.origin = BAN_OF_FILE;
    assert_true(ban_replace_file(list, &before, 1, 1000));
    struct ban *many = calloc(BAN_MAX + 1, sizeof *many);
    assert_non_null(many);
    for (uint32_t i = 0; i <= BAN_MAX; i++) {
        uint32_t address = htonl(i);
        many[i] = (struct ban){.kind = BAN_ADDRESS, .origin = BAN_OF_FILE, .network = ban_network_of(AF_INET, (const uint8_t *)&address, 32)};
    }
    assert_false(ban_replace_file(list, many, BAN_MAX + 1, 1000));
    free(many);
    assert_true(ban_holds(list, BAN_CLIENT, text_of("before"), 1000));
    assert_false(holds_address("0.0.0.7"));
}

static void
count_all(void *context, const struct ban *ban)
{
    (void)ban;
    ++*(uint32_t *)context;
}

static void
what_has_expired_is_not_taken_from_a_file(void **state)
{
    (void)state;
    struct ban bans[] = {named(BAN_CLIENT, "past", 900), named(BAN_CLIENT, "now", 2000)};
    bans[0].origin = bans[1].origin = BAN_OF_FILE;
    assert_true(ban_replace_file(list, bans, 2, 1000));
    uint32_t count = 0;
    ban_each(list, 0, 10, count_all, &count);
    assert_int_equal(count, 1);
}

static void
check_hashed(void *context, const struct ban *ban)
{
    (void)context;
    assert_int_equal(ban->value.size, 0);
}

/* The name is the peer's choice, and as long as it likes. */
static void
automatic_ban_keeps_a_hash_of_the_name(void **state)
{
    (void)state;
    char name[16001];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct ban ban = named(BAN_CLIENT, name, 5000);
    ban.origin = BAN_AUTOMATIC;
    assert_true(ban_add(list, &ban, 1000));
    assert_true(ban_holds(list, BAN_CLIENT, text_of(name), 1000));
    assert_false(ban_holds(list, BAN_USER, text_of(name), 1000));
    assert_false(ban_holds(list, BAN_CLIENT, text_of(name + 1), 1000));
    assert_int_equal(ban_each(list, 1000, 10, check_hashed, NULL), 1);
    assert_int_equal(ban_remove(list, &ban), 1);
    assert_false(ban_holds(list, BAN_CLIENT, text_of(name), 1000));
}

static bool
ban_number(uint32_t number, uint64_t until_ms, uint64_t now_ms)
{
    char text[16];
    snprintf(text, sizeof text, "c%u", number);
    struct ban ban = named(BAN_CLIENT, text, until_ms);
    ban.origin = BAN_AUTOMATIC;
    return ban_add(list, &ban, now_ms);
}

/* Who makes himself banned under ever new names fills nothing. */
static void
automatic_bans_are_bounded(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < BAN_AT_RUN_TIME_MAX; i++) {
        assert_true(ban_number(i, 5000, 1000));
    }
    assert_false(ban_number(BAN_AT_RUN_TIME_MAX, 5000, 1000));
    assert_true(ban_number(7, 6000, 1000)); /* is there already */
    struct ban own = named(BAN_CLIENT, "operator's", 0);
    assert_true(ban_add(list, &own, 1000));
    assert_true(ban_number(BAN_AT_RUN_TIME_MAX, 9000, 5000)); /* the others have expired and make room */
    assert_true(ban_holds(list, BAN_CLIENT, text_of("c7"), 5000));
    assert_false(ban_holds(list, BAN_CLIENT, text_of("c8"), 5000));
}

static void
count_kinds(void *context, const struct ban *ban)
{
    uint32_t *counts = context;
    counts[ban->kind]++;
}

static void
each_shows_what_holds(void **state)
{
    (void)state;
    uint32_t counts[BAN_KINDS] = {0};
    struct ban bans[] = {named(BAN_CLIENT, "a", 0), named(BAN_USER, "b", 500), named(BAN_USER, "c", 5000), network("::1")};
    for (size_t i = 0; i < sizeof bans / sizeof bans[0]; i++) {
        assert_true(ban_add(list, &bans[i], 100));
    }
    assert_int_equal(ban_each(list, 1000, 100, count_kinds, counts), 3);
    assert_int_equal(counts[BAN_CLIENT], 1);
    assert_int_equal(counts[BAN_USER], 1);
    assert_int_equal(counts[BAN_ADDRESS], 1);
    assert_int_equal(ban_each(list, 1000, 1, count_kinds, counts), 3);
    assert_int_equal(counts[BAN_CLIENT] + counts[BAN_USER] + counts[BAN_ADDRESS], 4);
}

/* ---------------------------------------------------------------------------------------------------------------- file */

static void
file_is_read_line_by_line(void **state)
{
    (void)state;
    static const char text[] = "# who has to stay outside\n\nclient a b \r\nuser\tmallory\nuntil 2026-12-31T23:59:59Z address 192.0.2.0/24\nuntil 5000 client  c";
    char error[256];
    struct ban_file *file = ban_file_parse(text, sizeof text - 1, "bans", error, sizeof error);
    assert_non_null(file);
    assert_int_equal(file->count, 4);
    assert_true(bytes_equal(file->bans[0].value, text_of("a b")));
    assert_int_equal(file->bans[0].until_ms, 0);
    assert_int_equal(file->bans[1].kind, BAN_USER);
    assert_true(bytes_equal(file->bans[1].value, text_of("mallory")));
    assert_int_equal(file->bans[2].kind, BAN_ADDRESS);
    assert_int_equal(file->bans[2].until_ms, UINT64_C(1798761599000));
    assert_int_equal(file->bans[3].until_ms, 5000000);
    assert_true(bytes_equal(file->bans[3].value, text_of("c")));
    assert_true(ban_replace_file(list, file->bans, file->count, 1000));
    ban_file_free(&file);
    assert_true(ban_holds(list, BAN_USER, text_of("mallory"), 1000)); /* the list has its own copy */
    assert_true(holds_address("192.0.2.77"));
}

static void
wrong_line_is_named(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"client", "bans:1: 'client' needs a value"},
        {"client a\nclint b", "bans:2: a ban is 'client', 'user' or 'address'"},
        {"address 192.0.2.1/24", "bans:1: '192.0.2.1/24' is not an address"},
        {"until tomorrow client a", "bans:1: 'until' needs a time"},
        {"until 2026-02-30T00:00:00Z client a", "bans:1: 'until' needs a time"},
        {"until 2026-12-31T23:59:59Z", "bans:1: a ban is"},
        {"client \xff", "bans:1: the value is not UTF-8"},
        {" # not in the first column", "bans:1: a ban is"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char error[256] = "";
        assert_null(ban_file_parse(wrong[i][0], strlen(wrong[i][0]), "bans", error, sizeof error));
        if (strstr(error, wrong[i][1]) == NULL) {
            fail_msg("'%s', not '%s'", error, wrong[i][1]);
        }
    }
}

static void
missing_file_is_an_error(void **state)
{
    (void)state;
    char error[256];
    assert_null(ban_file_read("/nonexistent/bans", error, sizeof error));
    assert_non_null(strstr(error, "option 'ban_file': cannot read '/nonexistent/bans'"));
}

static void
times_go_there_and_back(void **state)
{
    (void)state;
    static const char *const good[] = {"1970-01-01T00:00:01Z", "2000-02-29T12:00:00Z", "2026-11-25T20:00:00Z", "2100-03-01T00:00:00Z", "9999-12-31T23:59:59Z"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char text[32];
        uint64_t ms;
        assert_true(ban_parse_time(text_of(good[i]), &ms));
        ban_time_text(ms, text, sizeof text);
        assert_string_equal(text, good[i]);
    }
    static const char *const wrong[] = {"", "-5", "2100-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01 00:00:00Z", "2026-1-01T00:00:00Z ", "1e9", "9999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint64_t ms;
        assert_false(ban_parse_time(text_of(wrong[i]), &ms));
    }
}

/* -------------------------------------------------------------------------------------------------------------- threads */

static void *
ask_and_change(void *number)
{
    uint32_t first = *(uint32_t *)number * 1000;
    for (uint32_t i = 0; i < 2000; i++) {
        char text[16];
        snprintf(text, sizeof text, "c%u", first + i % 500);
        struct ban ban = named(BAN_CLIENT, text, 0);
        ban.origin = BAN_AUTOMATIC;
        if (!ban_add(list, &ban, 1000) || !ban_holds(list, BAN_CLIENT, text_of(text), 1000) || ban_remove(list, &ban) != 1) {
            abort();
        }
        ban_enforce(list);
    }
    return NULL;
}

/* A ban that is in the file before and after holds all the time. */
static void *
replace_and_ask(void *ignored)
{
    (void)ignored;
    struct ban bans[300];
    char texts[300][16];
    for (unsigned i = 0; i < 300; i++) {
        snprintf(texts[i], sizeof texts[i], "f%u", i);
        bans[i] = named(BAN_CLIENT, texts[i], 0);
        bans[i].origin = BAN_OF_FILE;
    }
    for (uint32_t i = 0; i < 500; i++) {
        if (!ban_replace_file(list, bans, i % 300 + 1, 1000) || !ban_holds(list, BAN_CLIENT, text_of("f0"), 1000)) {
            abort();
        }
    }
    return NULL;
}

static void
threads_may_ask_and_change(void **state)
{
    (void)state;
    pthread_t threads[5];
    uint32_t numbers[4] = {0, 1, 2, 3};
    assert_int_equal(pthread_create(&threads[4], NULL, replace_and_ask, NULL), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, ask_and_change, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < 5; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(ban_generation(list), 8000);
}

#define WITH_A_LIST(test) cmocka_unit_test_setup_teardown(test, begin, finish)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_A_LIST(client_and_user_of_one_name_are_apart),
        WITH_A_LIST(ban_ends_at_its_time),
        WITH_A_LIST(network_holds_what_lies_in_it),
        WITH_A_LIST(network_of_nothing_is_everybody),
        WITH_A_LIST(networks_are_read_and_written),
        WITH_A_LIST(origins_are_apart),
        WITH_A_LIST(replacing_that_fails_changes_nothing),
        WITH_A_LIST(what_has_expired_is_not_taken_from_a_file),
        WITH_A_LIST(automatic_ban_keeps_a_hash_of_the_name),
        WITH_A_LIST(automatic_bans_are_bounded),
        WITH_A_LIST(each_shows_what_holds),
        WITH_A_LIST(file_is_read_line_by_line),
        WITH_A_LIST(wrong_line_is_named),
        WITH_A_LIST(missing_file_is_an_error),
        WITH_A_LIST(times_go_there_and_back),
        WITH_A_LIST(threads_may_ask_and_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
