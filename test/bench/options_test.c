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
    static char words[1024];
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
options_of_the_tunnel_reach_their_fields(void **state)
{
    (void)state;
    assert_int_equal(parse("idle --tls --cafile a --cert b --key c --tls-version 1.2 --server-name d --resume --websocket --path /e"), OPTIONS_RUN);
    assert_true(options.tls && options.resume && options.websocket && !options.insecure);
    assert_string_equal(options.cafile, "a");
    assert_string_equal(options.cert, "b");
    assert_string_equal(options.key, "c");
    assert_string_equal(options.tls_version, "1.2");
    assert_string_equal(options.server_name, "d");
    assert_string_equal(options.path, "/e");
    assert_int_equal(parse("idle --tls --psk 00ff --psk-identity f"), OPTIONS_RUN);
    assert_string_equal(options.psk, "00ff");
    assert_string_equal(options.psk_identity, "f");
    assert_string_equal(options.path, "/mqtt");
    assert_int_equal(parse("idle --tls --insecure"), OPTIONS_RUN);
    assert_true(options.insecure);
}

static void
a_host_by_name_is_looked_up_and_expected_in_its_certificate(void **state)
{
    (void)state;
    assert_int_equal(parse("idle --tls --host localhost"), OPTIONS_RUN);
    assert_int_equal(options.address, 0x7F000001);
    assert_string_equal(options.server_name, "localhost");
    assert_int_equal(parse("idle --tls --host localhost --server-name other"), OPTIONS_RUN);
    assert_string_equal(options.server_name, "other");
    assert_int_equal(parse("idle --tls"), OPTIONS_RUN);
    assert_null(options.server_name);
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
letters_are_those_of_other_clients(void **state)
{
    (void)state;
    assert_int_equal(parse("pub -h 127.0.0.2 -p 1884 -c 7 -t a/%i -q 1 -s 20 -V 5 -u me -P secret -k 30 -C false -x 60 -R 100 -I 500ms -L 9 -n 3 -F 4 -r"),
        OPTIONS_RUN);
    assert_int_equal(options.address, 0x7F000002);
    assert_int_equal(options.port, 1884);
    assert_int_equal(options.count, 7);
    assert_string_equal(options.topic, "a/%i");
    assert_int_equal(options.qos, 1);
    assert_int_equal(options.size, 20);
    assert_int_equal(options.version, 5);
    assert_string_equal(options.user, "me");
    assert_string_equal(options.password, "secret");
    assert_int_equal(options.keep_alive_s, 30);
    assert_false(options.clean_start);
    assert_int_equal(options.session_expiry_s, 60);
    assert_int_equal(options.connect_rate, 100);
    assert_int_equal(options_get_rate(&options), 14);
    assert_int_equal(options.messages, 9);
    assert_int_equal(options.first, 3);
    assert_int_equal(options.inflight, 4);
    assert_true(options.retain);
    assert_true(options.duration_ns == OPTIONS_FOREVER);
}

static void
the_suites_cases_scale_and_give_way_to_options(void **state)
{
    (void)state;
    assert_int_equal(parse("sharedsub-50K-500-50K-50K --scale 0.02"), OPTIONS_RUN);
    assert_int_equal(options.publishers, 1000);
    assert_int_equal(options.count, 10);
    assert_int_equal(options.rate, 1000);
    assert_int_equal(options.version, 5);
    assert_int_equal(options.size, 16);
    assert_int_equal(options.qos, 1);
    assert_int_equal(parse("fanout-5-1000-5-250K --scale 0.1"), OPTIONS_RUN);
    assert_int_equal(options.publishers, 5);
    assert_int_equal(options.count, 100);
    assert_int_equal(options.rate, 250);
    assert_int_equal(parse("conn-tcp-1M-5K --scale 0.02 --connect-rate 4000"), OPTIONS_RUN);
    assert_int_equal(options.count, 20000);
    assert_int_equal(options.connect_rate, 4000);
    assert_int_equal(parse("p2p-50K-50K-50K-50K --rate 5 --scale 0.5"), OPTIONS_RUN);
    assert_int_equal(options.count, 25000);
    assert_int_equal(options.rate, 5);
}

static void
source_addresses_follow_the_connections(void **state)
{
    (void)state;
    assert_int_equal(parse("idle --count 10000"), OPTIONS_RUN);
    assert_int_equal(options.source_addresses, 1);
    assert_int_equal(parse("idle --count 60001"), OPTIONS_RUN);
    assert_int_equal(options.source_addresses, 7);
    assert_int_equal(parse("idle --count 60001 --host 192.0.2.1"), OPTIONS_RUN);
    assert_int_equal(options.source_addresses, 1);
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
        {"pairs --host no.such.name.invalid", "--host"},
        {"pairs --duration 3parsecs", "--duration"},
        {"pairs --duration nan", "--duration"},
        {"pairs --duration 0", "--duration"},
        {"pairs --pid 0", "--pid"},
        {"pairs --pid 12,", "--pid"},
        {"pairs --pid 12,13 --pid 12", "--pid 12 is given twice"},
        {"connstorm --interval 1s", "--interval"},
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
        {"shared --raw", "--raw"},
        {"fanout --publishers 2 --raw", "--publishers"},
        {"pairs --publishers 2", "--publishers"},
        {"pairs --groups 2", "--groups"},
        {"shared --groups 3 --count 2", "--groups"},
        {"pairs --messages 2", "--messages"},
        {"pub", "--topic"},
        {"sub", "--topic"},
        {"pub --topic a/#", "--topic"},
        {"pub --topic a/%x", "--topic"},
        {"pairs --topic a", "--topic"},
        {"pairs --client-id same", "--client-id"},
        {"sub --topic a --rate 5", "--rate"},
        {"sub --topic a --retain", "--retain"},
        {"pub --topic a --window 5", "--window"},
        {"pairs --rate 5 --interval 1", "--interval"},
        {"pairs --interval 0", "--interval"},
        {"pairs --interval 1 --burst 5", "--burst"},
        {"retained --qos 0", "--qos"},
        {"retained --duration 5", "--duration"},
        {"offline --qos 0", "--qos"},
        {"offline --subscribe-qos 0", "--subscribe-qos"},
        {"offline --rate 5", "--rate"},
        {"connstorm --rate 5", "--steady"},
        {"connstorm --duration 5", "--duration"},
        {"connstorm --calm 5", "--calm"},
        {"connstorm --steady 5 --calm 5", "--rate"},
        {"connstorm --steady 5 --storm-yields", "--threads"},
        {"connstorm --threads 2 --storm-yields", "--steady"},
        {"pairs --calm 5", "--calm"},
        {"conn --session-expiry 5", "--session-expiry"},
        {"pairs --password x", "--password"},
        {"pairs --keep-alive 65536", "--keep-alive"},
        {"pairs --keep-alive 1500ms", "--keep-alive"},
        {"offline --keep-sessions", "--keep-sessions"},
        {"pairs --raw --keep-sessions", "--keep-sessions"},
        {"conn --clean-start maybe", "--clean-start"},
        {"pairs --threads 0", "--threads"},
        {"pairs --threads 64 --processes 64", "--threads"},
        {"pairs --html -", "--html"},
        {"pairs --scale 0.5", "--scale"},
        {"p2p-50K-50K-50K-50K --scale 0", "--scale"},
        {"conn-tcp-1M-5K --qos 1", "--qos"},
        {"pairs --raw --tls", "--tls"},
        {"pairs --insecure", "--insecure"},
        {"pairs --resume", "--resume"},
        {"pairs --tls --insecure --cafile x", "--insecure"},
        {"pairs --tls --cert x", "--key"},
        {"pairs --tls --key x", "--cert"},
        {"pairs --tls --psk 00", "--psk-identity"},
        {"pairs --tls --psk 0 --psk-identity x", "--psk"},
        {"pairs --tls --psk 0g --psk-identity x", "--psk"},
        {"pairs --tls --psk 00 --psk-identity x --insecure", "--psk"},
        {"pairs --tls --tls-version 1.1", "--tls-version"},
        {"pairs --path /mqtt", "--path"},
        {"pairs --websocket --path mqtt", "--path"},
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
        cmocka_unit_test(options_of_the_tunnel_reach_their_fields),
        cmocka_unit_test(a_host_by_name_is_looked_up_and_expected_in_its_certificate),
        cmocka_unit_test(a_scenario_alone_has_defaults_that_run),
        cmocka_unit_test(the_window_is_shared_by_publishers_and_counts_deliveries),
        cmocka_unit_test(letters_are_those_of_other_clients),
        cmocka_unit_test(the_suites_cases_scale_and_give_way_to_options),
        cmocka_unit_test(source_addresses_follow_the_connections),
        cmocka_unit_test(help_is_found_anywhere),
        cmocka_unit_test(what_is_wrong_is_refused_and_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
