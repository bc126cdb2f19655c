/* The configuration: what each kind of line means, and that nothing is passed over in silence. */
#include "engine/config/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/config/option_table.h"

static char error[512];

static struct config *
parse(const char *text)
{
    return config_parse_text(text, strlen(text), "test.conf", true, error, sizeof error);
}

static struct config *
accept(const char *text)
{
    struct config *config = parse(text);
    if (config == NULL) {
        fail_msg("%s", error);
    }
    config_check(config);
    return config;
}

/* Parses a text that must be refused with a line that has `part` in it. */
static void
refuse(const char *text, const char *part)
{
    struct config *config = parse(text);
    if (config != NULL) {
        fail_msg("accepted: %.200s", text);
    }
    if (strstr(error, part) == NULL) {
        fail_msg("'%s' is not in '%s'", part, error);
    }
    assert_null(strchr(error, '\n'));
}

static bool
warns(const struct config *config, const char *part)
{
    for (unsigned i = 0; i < config->warning_count; i++) {
        if (strstr(config->warnings[i], part) != NULL) {
            return true;
        }
    }
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- defaults */

static void
default_is_loopback_port_1883_anonymous(void **state)
{
    (void)state;
    struct config *config = config_default();
    assert_int_equal(config->listener_count, 1);
    assert_int_equal(config->listeners[0].port, 1883);
    assert_string_equal(config->listeners[0].host, "127.0.0.1");
    assert_true(config->listeners[0].loopback);
    assert_int_equal(config->listeners[0].max_qos, 2);
    assert_int_equal(config->listeners[0].max_connections, 0);
    assert_true(config->listeners[0].allow_anonymous);
    assert_false(config->per_listener_settings);
    assert_int_equal(config->login_cache_entries, 16384);
    assert_int_equal(config->login_cache_s, 86400);
    assert_string_equal(config->auto_id_prefix, "auto-");
    assert_int_equal(config->persistent_client_expiration_s, 14 * 86400);
    assert_int_equal(config->max_inflight_messages, 100);
    assert_int_equal(config->max_packet_size, 2000000);
    assert_int_equal(config->log_destinations, CONFIG_LOG_TO_STDERR);
    assert_int_equal(config->log_types, CONFIG_LOG_ERROR | CONFIG_LOG_WARNING | CONFIG_LOG_NOTICE | CONFIG_LOG_INFORMATION);
    assert_true(config->memory_limit > 16 << 20);
    config_free(&config);
    assert_null(config);
}

/* -------------------------------------------------------------------------------------------------------------- grammar */

static void
blank_lines_comments_and_crlf_are_no_options(void **state)
{
    (void)state;
    struct config *config = accept("# a comment\r\n\r\n   \nsys_interval   30\r\nmax_keepalive 60\n\n  shards 2");
    assert_int_equal(config->sys_interval_s, 30);
    assert_int_equal(config->max_keepalive_s, 60);
    assert_int_equal(config->shards, 2);
    assert_int_equal(config->warning_count, 0);
    config_free(&config);
}

static void
comment_counts_only_in_the_first_column(void **state)
{
    (void)state;
    refuse(" # indented", "test.conf:1: a comment starts in the first column");
    struct config *config = accept("sys_interval 30 # as Mosquitto, what follows a value is dropped\nlog_timestamp_format %H#%M\n");
    assert_int_equal(config->sys_interval_s, 30);
    assert_string_equal(config->log_timestamp_format, "%H#%M");
    assert_int_equal(config->warning_count, 0);
    config_free(&config);

    config = accept("sys_interval 30 seconds\n");
    assert_true(warns(config, "test.conf:1: option 'sys_interval': 'seconds' after the value is ignored"));
    config_free(&config);
}

static void
unknown_option_is_refused_with_the_nearest_name(void **state)
{
    (void)state;
    refuse("sys_interval 1\n\nmax_conections 5\n", "test.conf:3: unknown option 'max_conections'; did you mean 'max_connections'?");
    refuse("listner 1883\n", "did you mean 'listener'?");
    refuse("frobnicate_the_broker 1\n", "unknown option 'frobnicate_the_broker'");
    refuse("sys_interval\t30\n", "not by a tab");
    refuse("bad\x01name 1\n", "unknown option 'bad?name'");
}

static void
missing_and_wrong_values_are_refused(void **state)
{
    (void)state;
    refuse("sys_interval\n", "test.conf:1: option 'sys_interval' needs a value");
    refuse("sys_interval   \n", "needs a value");
    refuse("sys_interval often\n", "needs a number, not 'often'");
    refuse("sys_interval 12x\n", "needs a number, not '12x'");
    refuse("sys_interval 65536\n", "65536 is not between 0 and 65535");
    refuse("sys_interval -1\n", "-1 is not between");
    refuse("sys_interval 99999999999999999999\n", "is not between");
    refuse("queue_qos0_messages yes\n", "is true or false, not 'yes'");
    refuse("pid_file \n", "option 'pid_file' needs a value");
    refuse("pid_file /tmp/\xff\n", "not UTF-8");
}

static void
numbers_follow_c(void **state)
{
    (void)state;
    struct config *config = accept("sys_interval 0x10\nmax_keepalive 010\n");
    assert_int_equal(config->sys_interval_s, 16);
    assert_int_equal(config->max_keepalive_s, 8);
    config_free(&config);
}

static void
last_value_wins(void **state)
{
    (void)state;
    struct config *config = accept("sys_interval 1\nsys_interval 2\nauto_id_prefix one\nauto_id_prefix  two words \n");
    assert_int_equal(config->sys_interval_s, 2);
    assert_string_equal(config->auto_id_prefix, "two words");
    config_free(&config);
}

static void
long_lines_are_bounded(void **state)
{
    (void)state;
    size_t size = 70000;
    char *text = malloc(size + 1);
    memset(text, 'a', size);
    text[size] = '\0';
    refuse(text, "longer than 65536 bytes");
    memcpy(text, "pid_file ", 9);
    text[65536] = '\n';
    text[65537] = '\0';
    struct config *config = accept(text);
    assert_int_equal(strlen(config->pid_file), 65536 - 9);
    config_free(&config);
    free(text);
}

static void
nul_byte_is_refused(void **state)
{
    (void)state;
    assert_null(config_parse_text("shards 1\0\n", 10, "test.conf", false, error, sizeof error));
    assert_non_null(strstr(error, "NUL byte"));
}

static void
error_is_cut_to_the_callers_room(void **state)
{
    (void)state;
    char small[8];
    assert_null(config_parse_text("what 1", 6, "test.conf", false, small, sizeof small));
    assert_string_equal(small, "test.co");
    assert_null(config_parse_text("what 1", 6, "test.conf", false, NULL, 0));
}

/* ------------------------------------------------------------------------------------------------------------ listeners */

static void
listener_options_belong_to_the_last_listener(void **state)
{
    (void)state;
    struct config *config = accept("allow_anonymous true\n"
                                   "listener 1884 127.0.0.1\nmax_connections 10\nmax_topic_alias 3\n"
                                   "listener 1885\nmax_connections -1\nmax_qos 1\nsocket_domain ipv6\nmax_topic_alias_broker 0\n"
                                   "listener 1886 ::1 # with a comment\nmaximum_qos 0\nprotocol mqtt\n");
    assert_int_equal(config->listener_count, 3);
    assert_int_equal(config->listeners[0].port, 1884);
    assert_string_equal(config->listeners[0].host, "127.0.0.1");
    assert_false(config->listeners[0].loopback);
    assert_int_equal(config->listeners[0].max_connections, 10);
    assert_int_equal(config->listeners[0].max_topic_alias, 3);
    assert_int_equal(config->listeners[0].max_topic_alias_broker, 10);
    assert_null(config->listeners[1].host);
    assert_int_equal(config->listeners[1].max_connections, 0);
    assert_int_equal(config->listeners[1].max_qos, 1);
    assert_true(config->listeners[1].ipv6_only);
    assert_int_equal(config->listeners[1].max_topic_alias_broker, 0);
    assert_string_equal(config->listeners[2].host, "::1");
    assert_int_equal(config->listeners[2].max_qos, 0);
    assert_string_equal(config->listeners[1].file, "test.conf");
    assert_int_equal(config->listeners[1].line, 5);
    assert_int_equal(config->warning_count, 0);
    config_free(&config);
}

static void
port_and_bind_address_make_the_default_listener(void **state)
{
    (void)state;
    struct config *config = accept("max_connections 7\nbind_address 192.0.2.1\nport 1999\nallow_anonymous true\n");
    assert_int_equal(config->listener_count, 1);
    assert_int_equal(config->listeners[0].port, 1999);
    assert_string_equal(config->listeners[0].host, "192.0.2.1");
    assert_int_equal(config->listeners[0].max_connections, 7);
    assert_false(config->listeners[0].loopback);
    config_free(&config);

    config = accept("port 1999\nlistener 2000\nallow_anonymous true\n");
    assert_int_equal(config->listener_count, 2);
    assert_int_equal(config->listeners[0].port, 1999);
    assert_int_equal(config->listeners[1].port, 2000);
    config_free(&config);
}

static void
options_before_any_listener_stay_on_loopback(void **state)
{
    (void)state;
    struct config *config = accept("max_connections 7\nmax_qos 1\n");
    assert_int_equal(config->listener_count, 1);
    assert_true(config->listeners[0].loopback);
    assert_int_equal(config->listeners[0].max_connections, 7);
    assert_int_equal(config->listeners[0].max_qos, 1);
    config_free(&config);

    config = accept("max_connections 7\nlistener 1884\nallow_anonymous true\n");
    assert_int_equal(config->listener_count, 2);
    assert_true(warns(config, "because 'max_connections' comes before the first 'listener'"));
    config_free(&config);
}

static void
wrong_listeners_are_refused(void **state)
{
    (void)state;
    refuse("listener\n", "needs a port");
    refuse("listener mqtt\n", "needs a number, not 'mqtt'");
    refuse("listener 65536\n", "not between 1 and 65535");
    refuse("listener 0\n", "test.conf:1: option 'listener 0' is a Unix socket and needs its path");
    refuse("max_topic_alias 5\nlistener 1883\n", "put it after a 'listener' line");
    refuse("listener 1883\nprotocol http_api\n", "test.conf:2: option 'protocol http_api' is not supported");
    refuse("listener 1883\nsocket_domain ipv5\n", "is ipv4 or ipv6");
    refuse("listener 1883\nmax_qos 3\n", "3 is not between 0 and 2");
    refuse("allow_anonymous true\nlistener 1883\nlistener 1884\nlistener 1883\n", "test.conf:4: port 1883 on all interfaces is listened on already by test.conf:2");
    refuse("bind_address ::1\nbind_address ::1\n", "given twice");
}

static void
seventeenth_listener_is_refused(void **state)
{
    (void)state;
    char text[1024] = "allow_anonymous true\n";
    for (unsigned i = 0; i < CONFIG_LISTENERS_MAX; i++) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "listener %u\n", 2000 + i);
    }
    struct config *config = accept(text);
    assert_int_equal(config->listener_count, CONFIG_LISTENERS_MAX);
    config_free(&config);

    size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "listener 3000\n");
    refuse(text, "more than 16 listeners");
    snprintf(text + used, sizeof text - used, "port 3000\n");
    refuse(text, "more than 16 listeners");
}

/* ------------------------------------------------------------------------------------------------------------- ways in */

#define ANYBODY "allow_anonymous true\n"

static void
websocket_options_belong_to_their_listener(void **state)
{
    (void)state;
    struct config *config = accept(ANYBODY "websockets_headers_size 8192\n"
                                   "listener 1884\nprotocol websockets\nwebsockets_origin https://a.example\nwebsockets_origin http://b.example:8080\n"
                                   "websockets_trusted_proxy 10.0.0.0/8\nwebsockets_trusted_proxy ::1\nwebsockets_trusted_proxy unix\n"
                                   "websockets_forwarded_header forwarded\n"
                                   "listener 1885\nprotocol mqtt\n");
    const struct config_listener *web = &config->listeners[0];
    assert_int_equal(config->websockets_headers_size, 8192);
    assert_true(web->websockets && web->websockets_trusts_unix);
    assert_int_equal(web->websockets_origin_count, 2);
    assert_string_equal(web->websockets_origins[1], "http://b.example:8080");
    assert_int_equal(web->websockets_proxy_count, 2);
    assert_int_equal(web->websockets_proxies[0].bits, 8);
    assert_int_equal(web->websockets_proxies[1].base.family, ADDRESS_IPV6);
    assert_int_equal(web->websockets_forwarded, CONFIG_FORWARDED);
    assert_false(config->listeners[1].websockets);
    assert_int_equal(config->listeners[1].websockets_forwarded, CONFIG_X_FORWARDED_FOR);
    config_check(config);
    config_free(&config);
}

static void
wrong_websocket_options_are_refused(void **state)
{
    (void)state;
    refuse(ANYBODY "listener 1883\nwebsockets_origin https://a.example\n", "test.conf:2: 'websockets_origin' and 'websockets_trusted_proxy' need");
    refuse(ANYBODY "listener 1883\nwebsockets_trusted_proxy unix\n", "need 'protocol websockets'");
    refuse("websockets_origin a\n", "put it after a 'listener' line");
    refuse("listener 1883\nprotocol websockets\nwebsockets_trusted_proxy 10.0.0.1/8\n", "test.conf:3: option 'websockets_trusted_proxy': '10.0.0.1/8' is no address");
    refuse("listener 1883\nprotocol websockets\nwebsockets_trusted_proxy\n", "needs an address");
    refuse("listener 1883\nwebsockets_forwarded_header via\n", "is x-forwarded-for or forwarded");
    refuse("websockets_headers_size 100\n", "100 is not between 256 and 65536");
    refuse("listener 1883\nprotocol\n", "option 'protocol' needs a value");
    char text[2048] = "listener 1883\n";
    for (unsigned i = 0; i <= CONFIG_ORIGINS_MAX; i++) {
        strcat(text, "websockets_origin a\n");
    }
    refuse(text, "more than 16 times 'websockets_origin'");
    strcpy(text, "listener 1883\n");
    for (unsigned i = 0; i <= CONFIG_PROXIES_MAX; i++) {
        strcat(text, "websockets_trusted_proxy ::1\n");
    }
    refuse(text, "more than 16 times 'websockets_trusted_proxy'");
}

static void
proxy_protocol_is_of_one_version(void **state)
{
    (void)state;
    struct config *config = accept(ANYBODY "listener 1884\nenable_proxy_protocol 1\nlistener 1885\nenable_proxy_protocol 2\nproxy_protocol_v2_require_tls true\n"
                                   "listener 1886\nproxy_protocol_v2_require_tls false\n");
    assert_int_equal(config->listeners[0].proxy_protocol, 1);
    assert_int_equal(config->listeners[1].proxy_protocol, 2);
    assert_true(config->listeners[1].proxy_requires_tls);
    assert_int_equal(config->listeners[2].proxy_protocol, 0);
    config_check(config);
    config_free(&config);
    config = accept(ANYBODY "listener 1884\nenable_proxy_protocol 2\nrequire_certificate true\nuse_identity_as_username true\n");
    assert_true(config->listeners[0].require_certificate);
    config_check(config);
    config_free(&config);
    refuse(ANYBODY "listener 1884\nenable_proxy_protocol 1\nrequire_certificate true\n", "option 'require_certificate' does nothing without TLS");
    refuse("listener 1883\nenable_proxy_protocol 3\n", "3 is not between 1 and 2");
    refuse("listener 1883\nenable_proxy_protocol true\n", "needs a number");
    refuse("enable_proxy_protocol 2\n", "put it after a 'listener' line");
    refuse(ANYBODY "listener 1883\nenable_proxy_protocol 1\nproxy_protocol_v2_require_tls true\n", "test.conf:2: 'proxy_protocol_v2_require_tls' needs 'enable_proxy_protocol 2'");
}

static void
listener_zero_is_a_unix_socket(void **state)
{
    (void)state;
    struct config *config = accept(ANYBODY "listener 0 /run/tidewire/mqtt.socket\nunix_socket_mode 0660\nlistener 0 /run/tidewire/other.socket\n");
    assert_int_equal(config->listeners[0].port, 0);
    assert_null(config->listeners[0].host);
    assert_string_equal(config->listeners[0].unix_path, "/run/tidewire/mqtt.socket");
    assert_int_equal(config->listeners[0].unix_mode, 0660);
    assert_int_equal(config->listeners[1].unix_mode, 0);
    config_check(config);
    config_free(&config);
    refuse(ANYBODY "listener 0 /a\nlistener 0 /a\n", "port 0 on /a is listened on already by test.conf:2");
    refuse("listener 1883\nunix_socket_mode 0660\n", "test.conf:1: 'unix_socket_mode' is for Unix sockets");
    refuse("listener 0 /a\nunix_socket_mode 1000\n", "is an octal number from 1 to 777");
    refuse("listener 0 /a\nunix_socket_mode 8\n", "is an octal number");
    refuse("listener 0 /a\nunix_socket_mode -1\n", "is an octal number");
    refuse("listener 0 /a\nunix_socket_mode\n", "is an octal number");
    refuse("listener 0 /a\nbind_interface lo\n", "are not for Unix sockets");
    refuse("listener 0 /a\nsocket_domain ipv4\n", "are not for Unix sockets");
    char text[256];
    snprintf(text, sizeof text, "listener 0 /%0107d\n", 1);
    refuse(text, "too long: at most 107 bytes");
}

static void
bind_interface_stands_for_its_addresses(void **state)
{
    (void)state;
    struct config *config = accept(ANYBODY "listener 1883\nbind_interface lo\nlistener 1883\nbind_interface eth0\n");
    assert_string_equal(config->listeners[0].interface, "lo");
    assert_string_equal(config->listeners[1].interface, "eth0");
    config_free(&config);
    config = accept(ANYBODY "bind_interface lo\n");
    assert_int_equal(config->listener_count, 1);
    assert_string_equal(config->listeners[0].interface, "lo");
    assert_false(config->listeners[0].loopback);
    config_check(config);
    config_free(&config);
    refuse(ANYBODY "listener 1883\nbind_interface lo\nlistener 1883\nbind_interface lo\n", "port 1883 on lo is listened on already");
}

/* -------------------------------------------------------------------------------------------------------- who may come in */

static void
a_listener_that_nobody_can_enter_is_refused(void **state)
{
    (void)state;
    refuse("sys_interval 5\nlistener 1883\n", "test.conf:2: the listener on port 1883 would keep everyone out");
    refuse("port 1883\n", "say 'allow_anonymous true', or name a 'password_file'");
    refuse("listener 1883\nallow_anonymous false\n", "test.conf:1: the listener on port 1883 would keep everyone out");
    refuse("allow_anonymous false\n", "would keep everyone out");
    refuse("per_listener_settings true\nlistener 1883\npassword_file /p\nlistener 1884\n", "test.conf:4: the listener on port 1884");
}

static void
listener_allow_anonymous_speaks_for_its_listener(void **state)
{
    (void)state;
    struct config *config = accept("listener 1883\nlistener_allow_anonymous true\n");
    assert_true(config->listeners[0].allow_anonymous);
    config_free(&config);
    refuse("listener 1883\nlistener_allow_anonymous true\nlistener 1884\n", "test.conf:3: the listener on port 1884");
    refuse("allow_anonymous true\nlistener 1883\nlistener_allow_anonymous false\n", "test.conf:2: the listener on port 1883");
    refuse("listener_allow_anonymous true\n", "put it after a 'listener' line");
    config = accept("allow_anonymous true\npassword_file /p\nlistener 1883\nlistener_allow_anonymous false\nlistener 1884\n");
    assert_false(config->listeners[0].allow_anonymous);
    assert_true(config->listeners[1].allow_anonymous);
    config_free(&config);
}

/* Mosquitto: a password file and a listener, and nothing about anonymous clients, keeps those out; without a listener they are let in. */
static void
a_password_file_is_a_way_in(void **state)
{
    (void)state;
    struct config *config = accept("listener 1883\npassword_file /etc/our users\n");
    assert_false(config->listeners[0].allow_anonymous);
    assert_string_equal(config_security(config, 0)->password_file, "/etc/our users");
    config_free(&config);
    config = accept("password_file /p\n");
    assert_true(config->listeners[0].allow_anonymous);
    config_free(&config);
    config = accept("password_file /p\nallow_anonymous false\n");
    assert_false(config->listeners[0].allow_anonymous);
    config_free(&config);
}

static void
per_listener_settings_keeps_listeners_apart(void **state)
{
    (void)state;
    struct config *config = accept("per_listener_settings true\nlistener 1883\npassword_file /a\nlistener 1884\nallow_anonymous true\n");
    assert_string_equal(config_security(config, 0)->password_file, "/a");
    assert_false(config->listeners[0].allow_anonymous);
    assert_null(config_security(config, 1)->password_file);
    assert_true(config->listeners[1].allow_anonymous);
    config_free(&config);
    config = accept("per_listener_settings true\nper_listener_settings false\nlistener 1883\npassword_file /a\n");
    assert_true(config->per_listener_settings); /* as Mosquitto: once true it stays */
    config_free(&config);
    config = accept("per_listener_settings true\npassword_file /a\n"); /* the default listener */
    assert_string_equal(config_security(config, 0)->password_file, "/a");
    config_free(&config);
    config = accept("per_listener_settings true\nlistener 1883\nallow_anonymous true\nauto_id_prefix x-\n");
    assert_int_equal(config->warning_count, 1);
    assert_non_null(strstr(config->warnings[0], "'auto_id_prefix' is for all listeners here"));
    config_free(&config);
    refuse("password_file /a\nper_listener_settings true\n", "has to come before 'password_file'");
    refuse("allow_anonymous true\nper_listener_settings true\n", "has to come before 'allow_anonymous'");
}

static void
options_of_tokens_are_read(void **state)
{
    (void)state;
    struct config *config = accept("listener 1883\njwt_key_file /k\njwt_secret_file /s\njwt_issuer me\njwt_audience mqtt\njwt_username_claim name\njwt_claims  a  b \n"
                                   "jwt_match_username true\njwt_require_expiry false\njwt_leeway 0\n");
    const struct config_security *security = config_security(config, 0);
    assert_string_equal(security->jwt_key_file, "/k");
    assert_string_equal(security->jwt_secret_file, "/s");
    assert_string_equal(security->jwt_issuer, "me");
    assert_string_equal(security->jwt_audience, "mqtt");
    assert_string_equal(config->jwt_username_claim, "name");
    assert_string_equal(config->jwt_claims, "a  b");
    assert_true(config->jwt_match_username);
    assert_false(config->jwt_require_expiry);
    assert_int_equal(config->jwt_leeway_s, 0);
    config_free(&config);
    config = accept("");
    assert_string_equal(config->jwt_username_claim, "sub");
    assert_true(config->jwt_require_expiry);
    assert_int_equal(config->jwt_leeway_s, 10);
    config_free(&config);
    refuse("jwt_claims a b c d e f g h i\n", "test.conf:1: option 'jwt_claims' names more than 8 claims");
    refuse("jwt_leeway 3601\n", "between 0 and 3600");
}

static void
options_of_http_hooks_are_read(void **state)
{
    (void)state;
    struct config *config = accept("listener 1883\nhttp_auth_url https://hook/auth\nhttp_acl_url http://127.0.0.1:8080/acl\nhttp_header A: 1\nhttp_header  B:2 \n"
                                   "http_cafile /ca\nhttp_timeout_ms 100\nhttp_cache_seconds 0\nhttp_cache_deny_seconds 1\nhttp_cache_entries 0\nhttp_auth_failure ignore\n");
    assert_int_equal(config->warning_count, 0);
    assert_string_equal(config_security(config, 0)->http_auth_url, "https://hook/auth");
    assert_string_equal(config_security(config, 0)->http_acl_url, "http://127.0.0.1:8080/acl");
    assert_int_equal(config->http_header_count, 2);
    assert_string_equal(config->http_headers[0], "A: 1");
    assert_string_equal(config->http_headers[1], "B:2");
    assert_string_equal(config->http_cafile, "/ca");
    assert_int_equal(config->http_timeout_ms, 100);
    assert_int_equal(config->http_cache_s, 0);
    assert_int_equal(config->http_cache_deny_s, 1);
    assert_int_equal(config->http_cache_entries, 0);
    assert_true(config->http_auth_failure_ignored);
    config_free(&config);
    config = accept("");
    assert_int_equal(config->http_timeout_ms, 2000);
    assert_int_equal(config->http_cache_s, 60);
    assert_int_equal(config->http_cache_deny_s, 5);
    assert_int_equal(config->http_cache_entries, 16384);
    assert_false(config->http_auth_failure_ignored);
    config_free(&config);
}

static void
addresses_and_headers_of_hooks_are_looked_at(void **state)
{
    (void)state;
    refuse("http_auth_url ftp://hook/\n", "test.conf:1: option 'http_auth_url' is an address that starts with http:// or https://");
    refuse("http_acl_url file:///etc/passwd\n", "option 'http_acl_url' is an address");
    refuse("http_auth_url http://ho ok/\n", "an address holds no white space");
    refuse("http_header no colon\n", "option 'http_header' is a name, a colon and a value");
    refuse("http_header : value\n", "option 'http_header' is a name");
    refuse("http_header A B: value\n", "option 'http_header' is a name");
    refuse("http_auth_failure allow\n", "option 'http_auth_failure' is deny or ignore");
    refuse("http_timeout_ms 99\n", "between 100 and 10000");
    refuse("http_timeout_ms 10001\n", "between 100 and 10000");
    refuse("http_header a:\nhttp_header a:\nhttp_header a:\nhttp_header a:\nhttp_header a:\nhttp_header a:\nhttp_header a:\nhttp_header a:\nhttp_header a:\n",
           "test.conf:9: option 'http_header' is given more than 8 times");
    struct config *config = accept("http_auth_url http://hook.example/auth\n");
    assert_true(warns(config, "passwords go to another machine in the clear"));
    config_free(&config);
}

static void
tokens_and_hooks_are_ways_in_and_belong_to_listeners_where_those_are_apart(void **state)
{
    (void)state;
    static const char *const ways[] = {"jwt_key_file /k", "jwt_secret_file /s", "http_auth_url https://hook/"};
    for (unsigned i = 0; i < 3; i++) {
        char text[200];
        snprintf(text, sizeof text, "listener 1883\n%s\n", ways[i]);
        struct config *config = accept(text);
        assert_false(config->listeners[0].allow_anonymous);
        config_free(&config);
    }
    refuse("listener 1883\nhttp_acl_url https://hook/\n", "would keep everyone out");
    struct config *config = accept("per_listener_settings true\nlistener 1883\njwt_issuer a\njwt_key_file /a\nlistener 1884\nhttp_auth_url https://hook/\n");
    assert_string_equal(config_security(config, 0)->jwt_issuer, "a");
    assert_null(config_security(config, 0)->http_auth_url);
    assert_null(config_security(config, 1)->jwt_key_file);
    assert_string_equal(config_security(config, 1)->http_auth_url, "https://hook/");
    config_free(&config);
}

static void
rules_for_client_identifiers_are_read(void **state)
{
    (void)state;
    struct config *config = accept("clientid_prefixes dev-\nallow_anonymous true\nlistener 1883\nuse_username_as_clientid true\n"
                                   "listener 1884\nclientid_is_username true\nenable_proxy_protocol 2\nclientid_is_certificate 1\nlogin_cache_entries 0\nlogin_cache_seconds 7\n");
    assert_string_equal(config->clientid_prefixes, "dev-");
    assert_true(config->listeners[0].use_username_as_clientid);
    assert_false(config->listeners[0].clientid_is_username);
    assert_true(config->listeners[1].clientid_is_username);
    assert_true(config->listeners[1].clientid_is_certificate);
    assert_int_equal(config->login_cache_entries, 0);
    assert_int_equal(config->login_cache_s, 7);
    config_free(&config);
}

/* A name that no client can show would keep everyone out, or be another rule than it seems. */
static void
names_of_certificates_need_certificates(void **state)
{
    (void)state;
    static const char *const names[] = {"use_identity_as_username true", "use_subject_as_username true", "clientid_is_certificate true"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "allow_anonymous true\nlistener 1883\n%s\n", names[i]);
        refuse(text, "asks for the names of certificates or pre-shared keys");
        snprintf(text, sizeof text, "listener 1883\nenable_proxy_protocol 1\nallow_anonymous true\n%s\n", names[i]);
        refuse(text, "enable_proxy_protocol 2");
    }
    struct config *config = accept("listener 1883\nenable_proxy_protocol 2\nuse_identity_as_username true\n"); /* and nobody else comes in */
    assert_false(config->listeners[0].allow_anonymous);
    config_free(&config);
}

/* -------------------------------------------------------------------------------------------------------------------- TLS */

#if TIDEWIRE_TLS
static void
options_of_tls_belong_to_their_listener(void **state)
{
    (void)state;
    struct config *config = accept("allow_anonymous true\npsk_file /k/psk\n"
                                   "listener 8883\ncertfile /k/a.pem\nkeyfile /k/a.key\nkeyfile /k/b.key\ncertfile /k/b.pem\ncafile /k/ca\ncapath /k/cas\n"
                                   "crlfile /k/crl\nrequire_certificate true\nuse_subject_as_username true\n"
                                   "tls_version tlsv1.3\nciphers A\nciphers_tls1.3 B\ndhparamfile /k/dh\ntls_keyform pem\n"
                                   "listener 8884\npsk_hint hint\nuse_identity_as_username true\n"
                                   "listener 1883\n");
    const struct config_listener *a = &config->listeners[0], *b = &config->listeners[1], *c = &config->listeners[2];
    assert_int_equal(a->certificate_count, 2);
    assert_string_equal(a->certificates[0].certfile, "/k/a.pem");
    assert_string_equal(a->certificates[0].keyfile, "/k/a.key");
    assert_string_equal(a->certificates[1].certfile, "/k/b.pem");
    assert_string_equal(a->certificates[1].keyfile, "/k/b.key");
    assert_string_equal(a->cafile, "/k/ca");
    assert_string_equal(a->capath, "/k/cas");
    assert_string_equal(a->crlfile, "/k/crl");
    assert_true(a->require_certificate && a->use_subject_as_username && !a->use_identity_as_username);
    assert_int_equal(a->tls_version_min, 13);
    assert_string_equal(a->ciphers, "A");
    assert_string_equal(a->ciphers_tls13, "B");
    assert_string_equal(a->dhparamfile, "/k/dh");
    assert_string_equal(config->security.psk_file, "/k/psk");
    assert_string_equal(b->psk_hint, "hint");
    assert_true(b->use_identity_as_username);
    assert_int_equal(b->tls_version_min, 12);
    assert_int_equal(c->certificate_count, 0);
    assert_null(c->psk_hint);
    config_free(&config);
}

static void
options_of_tls_that_do_not_fit_together_are_refused(void **state)
{
    (void)state;
    const char *cases[][2] = {
        {"certfile a\n", "test.conf:2: a 'certfile' has no 'keyfile'"},
        {"keyfile a\n", "a 'keyfile' has no 'certfile'"},
        {"certfile a\nkeyfile a\ncertfile b\n", "a 'certfile' has no 'keyfile'"},
        {"cafile a\n", "option 'cafile' does nothing without TLS"},
        {"require_certificate true\n", "option 'require_certificate' does nothing without TLS"},
        {"ciphers_tls1.3 a\n", "option 'ciphers_tls1.3' does nothing without TLS"},
        {"certfile a\nkeyfile a\nrequire_certificate true\n", "needs 'cafile' or 'capath'"},
        {"certfile a\nkeyfile a\ncafile a\ncrlfile a\n", "'crlfile' does nothing without 'require_certificate true'"},
        {"certfile a\nkeyfile a\ncafile a\ncrlfile a\nrequire_certificate true\ndisable_client_cert_date_checks true\n",
         "'crlfile' does not go with 'disable_client_cert_date_checks true'"},
        {"psk_hint a\n", "'psk_hint' needs a 'psk_file'"},
        {"psk_file a\npsk_hint a\nrequire_certificate true\ncafile a\n", "needs a certificate of the listener's own"},
        {"tls_version tlsv1.1\n", "test.conf:3: option 'tls_version': TLS before 1.2 is not spoken"},
        {"tls_version 1.3\n", "is tlsv1.2 or tlsv1.3"},
        {"tls_keyform engine\n", "only pem is supported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "allow_anonymous true\nlistener 8883\n%s", cases[i][0]);
        refuse(text, cases[i][1]);
    }
    char text[1024] = "allow_anonymous true\nlistener 8883\n";
    for (unsigned i = 0; i <= CONFIG_CERTIFICATES_MAX; i++) {
        strcat(text, "certfile a\nkeyfile a\n");
    }
    refuse(text, "more than 8 certificates");
    struct config *config = accept("per_listener_settings true\nlistener 1883\nallow_anonymous true\npsk_file a\n");
    assert_true(warns(config, "test.conf:2: psk_file does nothing"));
    config_free(&config);
}
#else
static void
options_of_tls_belong_to_their_listener(void **state)
{
    (void)state;
    struct config *config = accept("tls_version tlsv1.3\n"); /* it asks for nothing */
    config_free(&config);
}

static void
options_of_tls_that_do_not_fit_together_are_refused(void **state)
{
    (void)state;
    const char *options[] = {"certfile a\nkeyfile a\n", "psk_file a\npsk_hint a\n", "cafile a\nkeyfile a\n", "certfile a\nrequire_certificate true\n"};
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        char text[256];
        snprintf(text, sizeof text, "allow_anonymous true\nlistener 8883\n%s", options[i]);
        refuse(text, "this build has no TLS (TIDEWIRE_TLS is OFF)");
    }
}
#endif

static void
an_access_list_is_a_path_that_nobody_opens_yet(void **state)
{
    (void)state;
    struct config *config = accept("acl_file /no such/file  \n");
    assert_string_equal(config_security(config, 0)->acl_file, "/no such/file");
    config_free(&config);
    config = accept("check_retain_source false\n");
    assert_null(config_security(config, 0)->acl_file);
    config_free(&config);
    config = accept("per_listener_settings true\nlistener 1883\nacl_file /a\nallow_anonymous true\nlistener 1884\nallow_anonymous true\n");
    assert_string_equal(config_security(config, 0)->acl_file, "/a");
    assert_null(config_security(config, 1)->acl_file);
    config_free(&config);
    refuse("acl_file\n", "option 'acl_file' needs a value");
    refuse("acl_file /a\nper_listener_settings true\n", "has to come before 'acl_file'");
    assert_true(option_find("acl_file")->flags & OPTION_RELOADS);
}

/* ----------------------------------------------------------------------------------------------------- what is not there */

static void
what_is_not_supported_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {
        "check_retain_source true", "tls_engine e", "tls_engine_kpass_sha1 a",
        "plugin /x.so", "plugin_opt_some_thing 1", "auth_plugin /x.so", "auth_opt_db 1",
        "mount_point a/", "connection bridge", "address 192.0.2.1", "topic # both",
        "bridge_cafile c", "remote_username u", "message_size_limit 100", "http_dir /var/www",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char text[128], name[64];
        snprintf(text, sizeof text, "%s\n", names[i]);
        snprintf(name, sizeof name, "option '%.*s", (int)strcspn(names[i], " "), names[i]);
        refuse(text, name);
        refuse(text, "is not supported: ");
    }
}

static void
persistence_is_off_and_has_mosquittos_names(void **state)
{
    (void)state;
    struct config *config = config_default();
    assert_false(config->persistence);
    assert_int_equal(config->persistence_sync, CONFIG_SYNC_ALWAYS);
    assert_true(config->retained_persistence);
    config_free(&config);
    config = accept("persistence true\npersistence_location /var/lib/tidewire/\npersistence_file old.db\npersistence_sync interval 100\n"
                    "persistence_segment_size 1048576\npersistence_disk_limit 100000000\nqueue_memory_limit 0\nretained_persistence false\n");
    assert_true(config->persistence);
    assert_string_equal(config->persistence_location, "/var/lib/tidewire/");
    assert_string_equal(config->persistence_file, "old.db");
    assert_int_equal(config->persistence_sync, CONFIG_SYNC_INTERVAL);
    assert_int_equal(config->persistence_interval_ms, 100);
    assert_int_equal(config->persistence_segment_size, 1048576);
    assert_int_equal(config->persistence_disk_limit, 100000000);
    assert_int_equal(config->queue_memory_limit, 0);
    assert_false(config->retained_persistence);
    config_free(&config);
    config = accept("persistence_segment_size 20000000\n");
    assert_int_equal(config->persistence_segment_size, 20000000 / 4096 * 4096);
    config_free(&config);
    config = accept("persistence_sync none\n");
    assert_int_equal(config->persistence_sync, CONFIG_SYNC_NONE);
    config_free(&config);
    refuse("persistence_sync sometimes\n", "test.conf:1: option 'persistence_sync' is always, interval with a number of milliseconds, or none");
    refuse("persistence_sync interval\n", "persistence_sync");
    refuse("persistence_sync interval 0\n", "persistence_sync");
}

static void
switching_off_what_is_not_there_is_accepted(void **state)
{
    (void)state;
    struct config *config = accept("persistence false\nper_listener_settings false\nrequire_certificate false\nuse_username_as_clientid 0\n"
                                   "message_size_limit 0\n");
    assert_int_equal(config->warning_count, 0);
    config_free(&config);
}

static void
what_makes_no_difference_is_accepted_with_a_warning(void **state)
{
    (void)state;
    struct config *config = accept("set_tcp_nodelay true\nautosave_interval 1800\nlog_type websockets\n");
    assert_int_equal(config->warning_count, 3);
    assert_true(warns(config, "test.conf:1: option 'set_tcp_nodelay' is ignored: TCP_NODELAY is always set"));
    config_free(&config);
}

static void
warnings_are_bounded(void **state)
{
    (void)state;
    char text[4096] = "";
    for (unsigned i = 0; i < 100; i++) {
        strcat(text, "set_tcp_nodelay true\n");
    }
    struct config *config = accept(text);
    assert_int_equal(config->warning_count, CONFIG_WARNINGS_MAX);
    assert_true(warns(config, "and more"));
    config_free(&config);
}

static void
every_row_of_the_table_keeps_its_invariants(void **state)
{
    (void)state;
    option_table_check();
    assert_null(option_find("no_such_option"));
    assert_null(option_find("auth_op"));
    assert_string_equal(option_find("auth_opt_anything")->name, "auth_opt_");
}

/* ---------------------------------------------------------------------------------------------------------------- values */

static void
durations_have_mosquittos_units(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t seconds;
    } rows[] = {{"90s", 90}, {"1h", 3600}, {"14d", 1209600}, {"2w", 1209600}, {"2m", 5184000}, {"1y", 31536000}, {"never", 0}, {"136y", 4288896000u}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "persistent_client_expiration %s\n", rows[i].text);
        struct config *config = accept(text);
        assert_int_equal(config->persistent_client_expiration_s, rows[i].seconds);
        config_free(&config);
    }
    static const char *const wrong[] = {"14", "d", "0d", "-1d", "1x", "1dd", "137y", "99999999999999999999y", ""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "persistent_client_expiration %s\n", wrong[i]);
        refuse(text, "persistent_client_expiration");
    }
}

static void
negative_limits_mean_none(void **state)
{
    (void)state;
    struct config *config = accept("global_max_connections -1\nglobal_max_clients -1\nmax_inflight_messages 0\nmax_queued_messages -1\n"
                                   "max_connections -1\nmax_inflight_bytes -5\n");
    assert_int_equal(config->max_connections_total, 0);
    assert_int_equal(config->max_sessions, 0);
    assert_int_equal(config->max_inflight_messages, 65535);
    assert_int_equal(config->max_queued_messages, 0);
    assert_int_equal(config->listeners[0].max_connections, 0);
    config_free(&config);
}

static void
rates_have_a_burst(void **state)
{
    (void)state;
    struct config *config = accept("global_connect_rate 500\naddress_connect_rate 10 50\nclient_publish_rate 0\nclient_byte_rate 100000 1000 # a remark\n"
                                   "allow_anonymous true\nlistener 1883\nlistener_connect_rate 7\nlistener_publish_rate 8 9\nlistener_byte_rate 4294967295\n");
    assert_int_equal(config->global_connect_rate.per_second, 500);
    assert_int_equal(config->global_connect_rate.burst, 500);
    assert_int_equal(config->address_connect_rate.per_second, 10);
    assert_int_equal(config->address_connect_rate.burst, 50);
    assert_int_equal(config->client_publish_rate.per_second, 0);
    assert_int_equal(config->client_byte_rate.burst, 1000);
    assert_int_equal(config->listeners[0].connect_rate.burst, 7);
    assert_int_equal(config->listeners[0].publish_rate.per_second, 8);
    assert_int_equal(config->listeners[0].publish_rate.burst, 9);
    assert_int_equal(config->listeners[0].byte_rate.burst, UINT32_MAX);
    config_free(&config);
    refuse("global_connect_rate\n", "needs a number a second");
    refuse("global_connect_rate x\n", "needs a number, not 'x'");
    refuse("global_connect_rate -1\n", "not between 0 and");
    refuse("global_connect_rate 4294967296\n", "not between 0 and 4294967295");
    refuse("global_connect_rate 10 0\n", "0 is not between 1 and");
    refuse("client_byte_rate 100000 999\n", "999 is not between 1000 and");
    refuse("listener_connect_rate 7\n", "put it after a 'listener' line");
}

static void
limits_have_their_bounds(void **state)
{
    (void)state;
    struct config *config = accept("");
    assert_int_equal(config->global_connect_rate.per_second, 0);
    assert_int_equal(config->address_max_connections, 0);
    assert_int_equal(config->address_prefix_ipv4, 32);
    assert_int_equal(config->address_prefix_ipv6, 64);
    assert_int_equal(config->flapping_window_s, 60);
    assert_int_equal(config->flapping_ban_s, 300);
    assert_false(config->publish_rate_refuses);
    config_free(&config);
    config = accept("address_max_connections 5\naddress_prefix_ipv6 48\naddress_prefix_ipv4 24\npublish_rate_action refuse\nflapping_connects 15\n"
                    "flapping_refusals 20\nflapping_window 10\nflapping_ban 3600\nlimits_table_size 100000\n");
    assert_int_equal(config->address_max_connections, 5);
    assert_int_equal(config->address_prefix_ipv6, 48);
    assert_int_equal(config->address_prefix_ipv4, 24);
    assert_true(config->publish_rate_refuses);
    assert_int_equal(config->flapping_connects, 15);
    assert_int_equal(config->flapping_refusals, 20);
    assert_int_equal(config->flapping_window_s, 10);
    assert_int_equal(config->flapping_ban_s, 3600);
    assert_int_equal(config->limits_table_size, 100000);
    config_free(&config);
    refuse("address_prefix_ipv4 33\n", "33 is not between 8 and 32");
    refuse("address_prefix_ipv6 129\n", "129 is not between 16 and 128");
    refuse("publish_rate_action drop\n", "is delay or refuse");
    refuse("publish_rate_action\n", "is delay or refuse");
    refuse("flapping_window 0\n", "0 is not between 1 and");
    refuse("limits_table_size 10\n", "10 is not between 1024 and");
}

static void
packet_sizes_have_their_bounds(void **state)
{
    (void)state;
    refuse("max_packet_size 19\n", "19 is not between 20");
    struct config *config = accept("max_packet_size 999999999999\n");
    assert_int_equal(config->max_packet_size, 268435460);
    assert_true(warns(config, "is taken as 268435460"));
    config_free(&config);

    config = accept("max_packet_size 1000\n");
    assert_int_equal(config->max_connect_packet_size, 1000);
    config_free(&config);
}

static void
retain_expiry_is_in_minutes(void **state)
{
    (void)state;
    struct config *config = accept("retain_expiry_interval 5\n");
    assert_int_equal(config->retain_expiry_interval_s, 300);
    config_free(&config);
    refuse("retain_expiry_interval 0\n", "not between 1");
}

static void
log_options_add_up_and_none_starts_over(void **state)
{
    (void)state;
    struct config *config = accept("log_type error\nlog_type subscribe\nlog_dest syslog\nlog_dest file  /tmp/a log\nlog_dest topic\nlog_facility 5\n");
    assert_int_equal(config->log_types, CONFIG_LOG_ERROR | CONFIG_LOG_SUBSCRIBE);
    assert_int_equal(config->log_destinations, CONFIG_LOG_TO_SYSLOG | CONFIG_LOG_TO_FILE | CONFIG_LOG_TO_TOPIC);
    assert_string_equal(config->log_file, "/tmp/a log");
    assert_int_equal(config->log_facility, LOG_LOCAL5);
    config_free(&config);

    config = accept("log_type all\nlog_dest stdout\nlog_dest none\n");
    assert_true(config->log_types & CONFIG_LOG_INTERNAL);
    assert_int_equal(config->log_destinations, 0);
    config_free(&config);

    config = accept("log_type none\nlog_type error\nlog_dest none\nlog_dest stdout\n");
    assert_int_equal(config->log_types, CONFIG_LOG_ERROR);
    assert_int_equal(config->log_destinations, CONFIG_LOG_TO_STDOUT);
    config_free(&config);

    refuse("log_type everything\n", "not 'everything'");
    refuse("log_dest dlt\n", "not 'dlt'");
    refuse("log_dest file\n", "needs a value");
    refuse("log_dest file /tmp/a\nlog_dest file /tmp/b\n", "given twice");
    refuse("log_facility 8\n", "8 is not between 0 and 7");
}

/* ----------------------------------------------------------------------------------------------------------------- files */

static char folder[] = "/tmp/tidewire-config-XXXXXX";

static void
write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int
make_folder(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    return mkdtemp(folder) == NULL;
}

static int
remove_folder(void **state)
{
    (void)state;
    char command[256];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *
path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static struct config *
accept_including(const char *before, const char *after)
{
    char text[1024];
    snprintf(text, sizeof text, "%sinclude_dir %s\n%s", before, folder, after);
    return accept(text);
}

static void
include_dir_reads_conf_files_in_order(void **state)
{
    (void)state;
    write_file("b.conf", "auto_id_prefix b\nsys_interval 1\n");
    write_file("B.conf", "auto_id_prefix B\nmax_keepalive 11\n");
    write_file("A.conf", "auto_id_prefix A\nsys_interval 2\nmax_keepalive 12\n");
    write_file("ignored.txt", "nonsense\n");
    write_file(".conf", "nonsense\n");
    struct config *config = accept_including("", "");
    assert_string_equal(config->auto_id_prefix, "b");
    assert_int_equal(config->sys_interval_s, 1);
    assert_int_equal(config->max_keepalive_s, 11);
    config_free(&config);
}

static void
listener_of_an_included_file_ends_with_it(void **state)
{
    (void)state;
    write_file("a.conf", "listener 1885\nmax_connections 5\n");
    struct config *config = accept_including("allow_anonymous true\nlistener 1884\n", "max_connections 4\n");
    assert_int_equal(config->listener_count, 2);
    assert_int_equal(config->listeners[0].max_connections, 4);
    assert_int_equal(config->listeners[1].max_connections, 5);
    assert_string_equal(config->listeners[1].file, path_of("a.conf"));
    config_free(&config);
}

static void
error_in_an_included_file_names_it(void **state)
{
    (void)state;
    char text[512];
    write_file("a.conf", "\nnonsense 1\n");
    snprintf(text, sizeof text, "include_dir %s\n", folder);
    refuse(text, path_of("a.conf:2: unknown option 'nonsense'"));
    write_file("a.conf", text);
    refuse(text, "works only in the main configuration file");
    refuse("include_dir /nonexistent\n", "test.conf:1: option 'include_dir': cannot read '/nonexistent': No such file");
}

/* ----------------------------------------------------------------------------------------------------------- command line */

static enum config_outcome
arguments(struct config **config, const char *a, const char *b, const char *c, const char *d)
{
    char *argv[] = {(char *)(uintptr_t)"tidewire", (char *)(uintptr_t)a, (char *)(uintptr_t)b, (char *)(uintptr_t)c, (char *)(uintptr_t)d, NULL};
    int argc = 1;
    while (argv[argc] != NULL) {
        argc++;
    }
    return config_from_arguments(argc, argv, config);
}

static void
command_line_ports_are_loopback(void **state)
{
    (void)state;
    struct config *config;
    assert_int_equal(arguments(&config, "-p", "2000", "--port", "2001"), CONFIG_RUN);
    assert_int_equal(config->listener_count, 2);
    assert_int_equal(config->listeners[0].port, 2000);
    assert_int_equal(config->listeners[1].port, 2001);
    assert_true(config->listeners[1].loopback);
    config_free(&config);
}

static void
switches_are_read(void **state)
{
    (void)state;
    struct config *config;
    assert_int_equal(arguments(&config, "-v", "-d", NULL, NULL), CONFIG_RUN);
    assert_true(config->verbose);
    assert_true(config->daemonize);
    assert_true(config->log_types & CONFIG_LOG_DEBUG);
    config_free(&config);
}

static void
configured_listener_beats_command_line_port(void **state)
{
    (void)state;
    write_file("main", "listener 1884\nallow_anonymous true\nlog_type error\n");
    struct config *config;
    assert_int_equal(arguments(&config, "-c", path_of("main"), "-p", "2000"), CONFIG_RUN);
    assert_int_equal(config->listener_count, 1);
    assert_int_equal(config->listeners[0].port, 1884);
    assert_true(warns(config, "-p is ignored"));
    config_free(&config);
}

static void
wrong_arguments_are_refused(void **state)
{
    (void)state;
    static const char *const rows[][4] = {
        {"--frobnicate"}, {"-c"},          {"-p"},           {"-p", "0"},     {"-p", "65536"},          {"-p", "12x"},
        {"-p", ""},       {"-p", "1", "-p", "1"}, {"-c", "/nonexistent"}, {"-c", "/tmp"}, {"-c", "a", "-c", "b"}, {"extra"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct config *config;
        assert_int_equal(arguments(&config, rows[i][0], rows[i][1], rows[i][2], rows[i][3]), CONFIG_EXIT_ERROR);
        assert_null(config);
    }
}

static void
help_version_and_test_end_well(void **state)
{
    (void)state;
    struct config *config;
    assert_int_equal(arguments(&config, "--help", NULL, NULL, NULL), CONFIG_EXIT_OK);
    assert_int_equal(arguments(&config, "--version", NULL, NULL, NULL), CONFIG_EXIT_OK);
    write_file("main", "set_tcp_nodelay true\n");
    assert_int_equal(arguments(&config, "--test-config", "-c", path_of("main"), NULL), CONFIG_RUN); /* main looks at the files that it names */
    assert_true(config->test_only);
    config_free(&config);
    write_file("main", "nonsense\n");
    assert_int_equal(arguments(&config, "--test-config", "-c", path_of("main"), NULL), CONFIG_EXIT_ERROR);
}

/* ---------------------------------------------------------------------------------------------------------------- reload */

static void
reload_reads_the_file_again(void **state)
{
    (void)state;
    struct config *old, *new;
    write_file("main", "sys_interval 5\nshards 2\nmax_qos 1\n");
    assert_int_equal(arguments(&old, "-c", path_of("main"), "-p", "2000"), CONFIG_RUN);

    write_file("main", "sys_interval 6\nshards 3\nmax_qos 2\n");
    new = config_reload(old, error, sizeof error);
    assert_non_null(new);
    assert_int_equal(new->sys_interval_s, 6);
    assert_int_equal(new->listeners[0].port, 2000);
    assert_true(warns(new, "option 'shards' was changed; that takes a restart"));
    assert_true(warns(new, "option 'max_qos' was changed"));
    assert_int_equal(new->warning_count, 2);
    config_free(&new);

    write_file("main", "listener 1884\nallow_anonymous true\nshards 2\n");
    new = config_reload(old, error, sizeof error);
    assert_true(warns(new, "the listeners were changed; that takes a restart"));
    config_free(&new);
    config_free(&old);
}

/* What runs is what was there at the start. */
static void
a_reload_keeps_listeners_in_their_places(void **state)
{
    (void)state;
    struct config *old;
    write_file("main", "per_listener_settings true\nlistener 1883\npassword_file /a\nlistener 1884\npassword_file /b\nlistener 1885\npassword_file /c\n");
    assert_int_equal(arguments(&old, "-c", path_of("main"), NULL, NULL), CONFIG_RUN);
    write_file("main", "per_listener_settings true\nlistener 1886\nallow_anonymous true\nlistener 1885\npassword_file /C\nlistener 1883\npassword_file /A\n");
    struct config *new = config_reload(old, error, sizeof error);
    assert_non_null(new);
    config_check(new);
    assert_int_equal(new->listener_count, 3);
    assert_int_equal(new->listeners[0].port, 1883);
    assert_string_equal(config_security(new, 0)->password_file, "/A");
    assert_int_equal(new->listeners[1].port, 1884);
    assert_true(new->listeners[1].gone);
    assert_false(new->listeners[1].allow_anonymous);
    assert_string_equal(config_security(new, 1)->password_file, "/b"); /* as it was */
    assert_string_equal(config_security(new, 2)->password_file, "/C");
    assert_true(warns(new, "the listeners were changed; that takes a restart"));
    config_free(&new);
    config_free(&old);
}

/* Old configurations are freed in the end, while a listener goes on that only the oldest one's file had. */
static void
a_gone_listener_outlives_the_configurations_before(void **state)
{
    (void)state;
    struct config *configs[4];
    write_file("main", "per_listener_settings true\nlistener 1883\npassword_file /a\nlistener 1884\npassword_file /b\nprotocol websockets\nwebsockets_origin x.example\n"
                       "bind_interface lo\n");
    assert_int_equal(arguments(&configs[0], "-c", path_of("main"), NULL, NULL), CONFIG_RUN);
    for (unsigned i = 1; i < 4; i++) {
        configs[i] = config_reload(configs[i - 1], error, sizeof error);
        assert_non_null(configs[i]);
        if (i > 1) {
            config_free(&configs[i - 1]); /* not the first one, as in the broker */
        }
        write_file("main", "per_listener_settings true\nlistener 1883\npassword_file /a\n");
    }
    const struct config_listener *gone = &configs[3]->listeners[1];
    assert_true(gone->gone);
    assert_string_equal(gone->own.password_file, "/b");
    assert_string_equal(gone->websockets_origins[0], "x.example");
    assert_string_equal(gone->interface, "lo");
    assert_non_null(strstr(gone->file, "main"));
    config_check(configs[3]);
    config_free(&configs[3]);
    config_free(&configs[0]);
}

static void
reload_of_a_wrong_file_says_why(void **state)
{
    (void)state;
    struct config *old;
    write_file("main", "sys_interval 5\n");
    assert_int_equal(arguments(&old, "-c", path_of("main"), NULL, NULL), CONFIG_RUN);
    write_file("main", "sys_interval x\n");
    assert_null(config_reload(old, error, sizeof error));
    assert_non_null(strstr(error, "main:1: option 'sys_interval' needs a number"));
    assert_int_equal(old->sys_interval_s, 5);
    config_free(&old);
}

/* Whose settings they are that the file has is not for a reload to change, nor can it be left as it was. */
static void
reload_refuses_other_per_listener_settings(void **state)
{
    (void)state;
    static const char *const files[] = {"listener 1883\npassword_file /a\n", "per_listener_settings true\nlistener 1883\npassword_file /a\n"};
    for (unsigned i = 0; i < 2; i++) {
        struct config *old;
        write_file("main", files[i]);
        assert_int_equal(arguments(&old, "-c", path_of("main"), NULL, NULL), CONFIG_RUN);
        write_file("main", files[!i]);
        assert_null(config_reload(old, error, sizeof error));
        assert_string_equal(error, "option 'per_listener_settings' was changed; that takes a restart");
        config_free(&old);
    }
}

static void
reload_without_a_file_gives_the_same(void **state)
{
    (void)state;
    struct config *old;
    assert_int_equal(arguments(&old, "-p", "2000", NULL, NULL), CONFIG_RUN);
    struct config *new = config_reload(old, error, sizeof error);
    assert_int_equal(new->listeners[0].port, 2000);
    assert_int_equal(new->warning_count, 0);
    config_free(&new);
    config_free(&old);
}

/* ---------------------------------------------------------------------------------------------------------------- README */

/* README.md lies two folders above this file. */
static char *
read_readme(void)
{
    char path[1024];
    snprintf(path, sizeof path, "%s", __FILE__);
    for (int i = 0; i < 3; i++) {
        char *slash = strrchr(path, '/');
        if (slash == NULL) {
            return NULL;
        }
        *slash = '\0';
    }
    strcat(path, "/README.md");
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return NULL;
    }
    char *text = calloc(1, 1 << 20);
    size_t size = fread(text, 1, (1 << 20) - 1, file);
    text[size] = '\0';
    fclose(file);
    return text;
}

static void
readme_names_every_option_that_works(void **state)
{
    (void)state;
    char *readme = read_readme();
    if (readme == NULL) {
        skip();
    }
    size_t count;
    const struct option *rows = option_rows(&count);
    for (size_t i = 0; i < count; i++) {
        char name[80];
        snprintf(name, sizeof name, "`%s`", rows[i].name);
        if (rows[i].kind <= OPTION_SPECIAL && strstr(readme, name) == NULL) {
            fail_msg("README.md does not name %s", name);
        }
    }
    free(readme);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(default_is_loopback_port_1883_anonymous),
        cmocka_unit_test(blank_lines_comments_and_crlf_are_no_options),
        cmocka_unit_test(comment_counts_only_in_the_first_column),
        cmocka_unit_test(unknown_option_is_refused_with_the_nearest_name),
        cmocka_unit_test(missing_and_wrong_values_are_refused),
        cmocka_unit_test(numbers_follow_c),
        cmocka_unit_test(last_value_wins),
        cmocka_unit_test(long_lines_are_bounded),
        cmocka_unit_test(nul_byte_is_refused),
        cmocka_unit_test(error_is_cut_to_the_callers_room),
        cmocka_unit_test(listener_options_belong_to_the_last_listener),
        cmocka_unit_test(port_and_bind_address_make_the_default_listener),
        cmocka_unit_test(options_before_any_listener_stay_on_loopback),
        cmocka_unit_test(wrong_listeners_are_refused),
        cmocka_unit_test(websocket_options_belong_to_their_listener),
        cmocka_unit_test(wrong_websocket_options_are_refused),
        cmocka_unit_test(proxy_protocol_is_of_one_version),
        cmocka_unit_test(listener_zero_is_a_unix_socket),
        cmocka_unit_test(bind_interface_stands_for_its_addresses),
        cmocka_unit_test(seventeenth_listener_is_refused),
        cmocka_unit_test(a_listener_that_nobody_can_enter_is_refused),
        cmocka_unit_test(a_password_file_is_a_way_in),
        cmocka_unit_test(per_listener_settings_keeps_listeners_apart),
        cmocka_unit_test(options_of_tokens_are_read),
        cmocka_unit_test(options_of_http_hooks_are_read),
        cmocka_unit_test(addresses_and_headers_of_hooks_are_looked_at),
        cmocka_unit_test(tokens_and_hooks_are_ways_in_and_belong_to_listeners_where_those_are_apart),
        cmocka_unit_test(rules_for_client_identifiers_are_read),
        cmocka_unit_test(names_of_certificates_need_certificates),
        cmocka_unit_test(listener_allow_anonymous_speaks_for_its_listener),
        cmocka_unit_test(options_of_tls_belong_to_their_listener),
        cmocka_unit_test(options_of_tls_that_do_not_fit_together_are_refused),
        cmocka_unit_test(an_access_list_is_a_path_that_nobody_opens_yet),
        cmocka_unit_test(what_is_not_supported_is_refused_by_name),
        cmocka_unit_test(persistence_is_off_and_has_mosquittos_names),
        cmocka_unit_test(switching_off_what_is_not_there_is_accepted),
        cmocka_unit_test(what_makes_no_difference_is_accepted_with_a_warning),
        cmocka_unit_test(warnings_are_bounded),
        cmocka_unit_test(every_row_of_the_table_keeps_its_invariants),
        cmocka_unit_test(durations_have_mosquittos_units),
        cmocka_unit_test(negative_limits_mean_none),
        cmocka_unit_test(rates_have_a_burst),
        cmocka_unit_test(limits_have_their_bounds),
        cmocka_unit_test(packet_sizes_have_their_bounds),
        cmocka_unit_test(retain_expiry_is_in_minutes),
        cmocka_unit_test(log_options_add_up_and_none_starts_over),
        cmocka_unit_test_setup_teardown(include_dir_reads_conf_files_in_order, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(listener_of_an_included_file_ends_with_it, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(error_in_an_included_file_names_it, make_folder, remove_folder),
        cmocka_unit_test(command_line_ports_are_loopback),
        cmocka_unit_test(switches_are_read),
        cmocka_unit_test_setup_teardown(configured_listener_beats_command_line_port, make_folder, remove_folder),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test_setup_teardown(help_version_and_test_end_well, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reload_reads_the_file_again, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_reload_keeps_listeners_in_their_places, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reload_refuses_other_per_listener_settings, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_gone_listener_outlives_the_configurations_before, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reload_of_a_wrong_file_says_why, make_folder, remove_folder),
        cmocka_unit_test(reload_without_a_file_gives_the_same),
        cmocka_unit_test(readme_names_every_option_that_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
