#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/options.h"
#include "bench/load/scenario.h"

static struct options options;
static char error[256];

/* Splits at blanks: "pairs --count 3". */
static enum options_outcome
parse(const char *line)
{
    static char words[512];
    static char name[] = "tidewire-bench";
    char *argv[64] = {name};
    int argc = 1;

    snprintf(words, sizeof words, "%s", line);
    error[0] = '\0';
    for (char *word = strtok(words, " "); word != NULL && argc < 64; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    return options_parse(argc, argv, &options, error, sizeof error);
}

static void
every_option_reaches_its_field(void **state)
{
    (void)state;
    enum options_outcome outcome = parse("pairs --count 7 --size 100 --qos 2 --version 5 --window 700 --burst=10 --inflight 9 --warmup 250ms "
                                         "--duration 2.5s --stall 1m --host 127.0.0.9 --port 1234 --source-addresses 3 "
                                         "--pid 5,6 --pid 7 --json -");
    assert_int_equal(outcome, OPTIONS_RUN);
    assert_int_equal(options.scenario, SCENARIO_PAIRS);
    assert_int_equal(options.count, 7);
    assert_int_equal(options.size, 100);
    assert_int_equal(options.qos, 2);
    assert_int_equal(options.version, 5);
    assert_int_equal(options.window, 700);
    assert_int_equal(options.burst, 10);
    assert_int_equal(options.inflight, 9);
    assert_int_equal(options.warmup_ns, 250000000);
    assert_int_equal(options.duration_ns, 2500000000);
    assert_int_equal(options.stall_ns, 60000000000);
    assert_int_equal(options.address, 0x7F000009);
    assert_int_equal(options.port, 1234);
    assert_int_equal(options.source_addresses, 3);
    assert_int_equal(options.pid_count, 3);
    assert_int_equal(options.pids[2], 7);
    assert_string_equal(options.json, "-");
    assert_int_equal(scenario_get_share(&options), 100);
}

static void
a_scenario_alone_has_defaults_that_run(void **state)
{
    static const char *const names[] = {"pairs", "fanin", "fanout", "idle", "conn", "shared", "retained", "offline", "connstorm", "conn-tcp-1M-5K",
        "fanout-5-1000-5-250K", "p2p-50K-50K-50K-50K", "sharedsub-50K-500-50K-50K"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(parse(names[i]), OPTIONS_RUN);
    }
}

static void
the_window_is_shared_by_publishers_and_counts_deliveries(void **state)
{
    (void)state;
    assert_int_equal(parse("fanout --count 500"), OPTIONS_RUN);
    assert_int_equal(scenario_get_share(&options), 40);
    assert_int_equal(parse("fanin --count 500"), OPTIONS_RUN);
    assert_int_equal(scenario_get_share(&options), 40);
    assert_int_equal(parse("pairs --count 1000"), OPTIONS_RUN);
    assert_int_equal(scenario_get_share(&options), 20);
}

static void
help_is_found_anywhere(void **state)
{
    (void)state;
    assert_int_equal(parse("pairs --count 3 --help"), OPTIONS_HELP);
    assert_int_equal(parse("-h"), OPTIONS_HELP);
}

static void
what_is_wrong_is_refused_and_named(void **state)
{
    static const struct {
        const char *line;
        const char *named; /* stands in the message */
    } rows[] = {
        {"", "scenario"},
        {"sideways", "sideways"},
        {"pairs --colour 3", "--colour"},
        {"pairs stray", "stray"},
        {"pairs --count", "--count"},
        {"pairs --count x", "--count"},
        {"pairs --count -3", "--count"},
        {"pairs --count 0", "--count"},
        {"pairs --count 3 --count 4", "--count"},
        {"pairs --count 99999999999999999999", "--count"},
        {"pairs --size 15", "--size"},
        {"pairs --qos 3", "--qos"},
        {"pairs --version 2", "--version"},
        {"pairs --port 65536", "--port"},
        {"pairs --host localhost", "--host"},
        {"pairs --duration 3parsecs", "--duration"},
        {"pairs --duration nan", "--duration"},
        {"pairs --duration 0", "--duration"},
        {"pairs --pid 0", "--pid"},
        {"pairs --pid 12,", "--pid"},
        {"pairs --raw=yes", "--raw"},
        {"pairs --raw --qos 1", "--qos"},
        {"pairs --raw --version 5", "--version"},
        {"pairs --rate 100 --burst 2", "--burst"},
        {"pairs --window 100 --burst 20", "--window"},
        {"fanout --count 500 --window 499", "--window"},
        {"pairs --size 1000000 --burst 100", "--burst"},
        {"pairs --host 192.0.2.1 --source-addresses 2", "--source-addresses"},
        {"pairs --inflight 5", "--inflight"},
        {"idle --qos 1", "--qos"},
        {"idle --size 64", "--size"},
        {"idle --window 5", "--window"},
        {"idle --burst 5", "--burst"},
        {"idle --rate 5", "--rate"},
        {"idle --raw", "--raw"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (parse(rows[i].line) != OPTIONS_WRONG || strstr(error, rows[i].named) == NULL) {
            fail_msg("'%s': '%s'", rows[i].line, error);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_reaches_its_field),
        cmocka_unit_test(a_scenario_alone_has_defaults_that_run),
        cmocka_unit_test(the_window_is_shared_by_publishers_and_counts_deliveries),
        cmocka_unit_test(help_is_found_anywhere),
        cmocka_unit_test(what_is_wrong_is_refused_and_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
