#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/tls/tickets.h"
#include "test/support/pki.h"
#include "test/support/tls_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What RFC 8446 6 calls the server's alerts. */
#define ALERT_HANDSHAKE_FAILURE 40
#define ALERT_PROTOCOL_VERSION 70
#define ALERT_NO_APPLICATION_PROTOCOL 120

/* RFC-sized messages of all lengths around a record's. */
#define LONG_BYTES 100000u

static struct pki *pki;
static struct tls_tickets *tickets;

static int
make_pki(void **state)
{
    (void)state;
    pki = pki_open();
    pki_issue(pki, &(struct pki_wish){.file = "server", .common_name = "broker.example", .host = "broker.example"});
    pki_issue(pki, &(struct pki_wish){.file = "other", .common_name = "other.example", .host = "*.other.example"});
    pki_issue(pki, &(struct pki_wish){.file = "rsa", .common_name = "broker.example", .host = "broker.example", .rsa = true});
    pki_issue(pki, &(struct pki_wish){.file = "client", .common_name = "device-1", .organization = "Sensors, \"Ltd\""});
    pki_issue(pki, &(struct pki_wish){.file = "expired", .common_name = "device-2", .days_from = -10, .days_to = -2});
    pki_issue(pki, &(struct pki_wish){.file = "early", .common_name = "device-3", .days_from = 2, .days_to = 10});
    pki_issue(pki, &(struct pki_wish){.file = "server_only", .common_name = "device-4", .usage = "serverAuth"});
    pki_issue(pki, &(struct pki_wish){.file = "nameless", .organization = "Nobody"});
    pki_issue(pki, &(struct pki_wish){.file = "alternative", .host = "device-6.example"});
    pki_issue(pki, &(struct pki_wish){.file = "old_authority", .common_name = "Authority", .authority = true, .days_from = -10, .days_to = -2});
    pki_issue(pki, &(struct pki_wish){.file = "revoked", .common_name = "device-5"});
    pki_revoke(pki, "revoked");
    struct pki *foreign = pki_open();
    pki_issue(foreign, &(struct pki_wish){.file = "foreign", .common_name = "device-1"});
    pki_issue(foreign, &(struct pki_wish){.file = "foreign_expired", .common_name = "device-1", .days_from = -10, .days_to = -2});
    char command[600];
    snprintf(command, sizeof command, "cp %s %s %s %s %s", pki_path(foreign, "foreign.pem"), pki_path(foreign, "foreign.key"),
             pki_path(foreign, "foreign_expired.pem"), pki_path(foreign, "foreign_expired.key"), pki_path(pki, "."));
    assert_int_equal(system(command), 0);
    pki_close(&foreign);
    pki_write(pki, "psk", "# of two devices\nsensor:00112233445566778899aabbccddeeff\r\n\nother:ffff\n");
    tickets = tickets_open();
    return 0;
}

static int
forget_pki(void **state)
{
    (void)state;
    tickets_unref(&tickets);
    pki_close(&pki);
    return 0;
}

static const char *
file(const char *name)
{
    return pki_path(pki, name);
}

/* A context of a configuration text; `%s` in it is the directory of the certificates. */
static struct tls_context *
try_context(const char *format, char *error, size_t error_size)
{
    char text[4096], directory[256];
    snprintf(directory, sizeof directory, "%s", file(""));
    size_t used = 0;
    used += (size_t)snprintf(text, sizeof text, "listener 8883\nallow_anonymous true\n");
    for (const char *at = format; *at != '\0' && used < sizeof text - 300; at++) {
        if (at[0] == '%') {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s", directory);
        } else {
            text[used++] = *at;
        }
    }
    return tls_pair_context(text, used, tickets, error, error_size);
}

static struct tls_context *
context_of(const char *format)
{
    char error[512] = "";
    struct tls_context *context = try_context(format, error, sizeof error);
    if (context == NULL) {
        fail_msg("%s", error);
    }
    return context;
}

static const char *
refusal(const char *format)
{
    static char error[512];
    error[0] = '\0';
    struct tls_context *context = try_context(format, error, sizeof error);
    assert_null(context);
    return error;
}

static void
assert_says(const char *text, const char *part)
{
    if (strstr(text, part) == NULL) {
        fail_msg("'%s' does not say '%s'", text, part);
    }
}

#define SERVER "certfile %server.pem\nkeyfile %server.key\n"
#define CLIENTS SERVER "cafile %ca.pem\nrequire_certificate true\n"

/* Connects once; the pair stays open. */
static struct tls_pair
connect_to(const char *format, const struct tls_client_options *options, bool expected)
{
    struct tls_pair pair = {0};
    struct tls_context *context = context_of(format);
    tls_pair_open(&pair, context, options);
    tls_context_unref(&context); /* the endpoint keeps it alive */
    bool done = tls_pair_handshake(&pair);
    if (done != expected) {
        fail_msg("handshake %s: %s, client saw alert %d", done ? "done" : "failed", tls_state(pair.server) == TLS_FAILED ? tls_problem(pair.server) : "",
                 tls_client_alert(pair.client));
    }
    return pair;
}

static void
assert_echo(struct tls_pair *pair)
{
    char out[64];
    tls_client_write(pair->client, "ping", 4);
    assert_int_equal(tls_pair_to_server(pair, out, sizeof out), 4);
    assert_memory_equal(out, "ping", 4);
    assert_int_equal(tls_pair_to_client(pair, "pong!", 5, out, sizeof out), 5);
    assert_memory_equal(out, "pong!", 5);
}

/* ------------------------------------------------------------------------------------------------------------ handshakes */

static void
both_versions_with_both_kinds_of_key_carry_bytes_both_ways(void **state)
{
    (void)state;
    const char *servers[] = {SERVER, "certfile %rsa.pem\nkeyfile %rsa.key\n"};
    for (unsigned kind = 0; kind < 2; kind++) {
        for (int version = 12; version <= 13; version++) {
            struct tls_client_options options = {.cafile = file("ca.pem"), .server_name = "broker.example", .version = version};
            struct tls_pair pair = connect_to(servers[kind], &options, true);
            assert_int_equal(tls_client_version(pair.client), version);
            assert_echo(&pair);
            tls_pair_close(&pair);
        }
    }
}

static void
a_handshake_survives_any_fragmentation(void **state)
{
    (void)state;
    for (uint32_t piece = 1; piece < 40; piece += piece < 8 ? 1 : 7) {
        for (int version = 12; version <= 13; version++) {
            struct tls_context *context = context_of(SERVER);
            struct tls_client_options options = {.version = version};
            struct tls_pair pair = {.piece = piece};
            tls_pair_open(&pair, context, &options);
            assert_true(tls_pair_handshake(&pair));
            assert_echo(&pair);
            tls_pair_close(&pair);
            tls_context_unref(&context);
        }
    }
}

static void
tls_version_is_the_oldest_that_is_spoken(void **state)
{
    (void)state;
    struct tls_client_options options = {.version = 12};
    struct tls_pair pair = connect_to(SERVER "tls_version tlsv1.3\n", &options, false);
    assert_int_equal(tls_client_alert(pair.client), ALERT_PROTOCOL_VERSION);
    assert_int_equal(tls_failure(pair.server), TLS_FAILURE_HANDSHAKE);
    tls_pair_close(&pair);
}

static void
ciphers_choose_the_suite_and_unknown_names_are_refused(void **state)
{
    (void)state;
    struct tls_client_options options = {.version = 12};
    struct tls_pair pair = connect_to(SERVER "ciphers ECDHE-ECDSA-CHACHA20-POLY1305\n", &options, true);
    assert_string_equal(tls_client_suite(pair.client), "ECDHE-ECDSA-CHACHA20-POLY1305");
    tls_pair_close(&pair);
    options.version = 13;
    pair = connect_to(SERVER "ciphers_tls1.3 TLS_AES_256_GCM_SHA384\n", &options, true);
    assert_string_equal(tls_client_suite(pair.client), "TLS_AES_256_GCM_SHA384");
    tls_pair_close(&pair);
    assert_says(refusal(SERVER "ciphers HIGH:!aNULL\n"), "'HIGH'");
    assert_says(refusal(SERVER "ciphers ECDHE-ECDSA-AES128-GCM-SHA256:NONSENSE\n"), "'NONSENSE'");
}

static void
nothing_with_block_ciphers_or_without_fresh_keys_is_spoken_unasked(void **state)
{
    (void)state;
    const char *old[] = {"AES128-GCM-SHA256:@SECLEVEL=0", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA", "PSK-AES128-GCM-SHA256"};
    for (unsigned i = 0; i < sizeof old / sizeof old[0]; i++) {
        struct tls_client_options options = {.version = 12, .suites = old[i], .psk_identity = i == 3 ? "sensor" : NULL, .psk_key = "00"};
        struct tls_pair pair = connect_to("certfile %rsa.pem\nkeyfile %rsa.key\n", &options, false);
        assert_int_equal(tls_failure(pair.server), TLS_FAILURE_HANDSHAKE);
        tls_pair_close(&pair);
    }
}

static void
a_certificate_is_chosen_by_the_name_asked_for(void **state)
{
    (void)state;
    const struct {
        const char *asked, *shown;
    } cases[] = {{"broker.example", "broker.example"}, {"a.other.example", "other.example"}, {"nobody.example", "broker.example"}, {NULL, "broker.example"}};
    for (unsigned i = 0; i < 8; i++) {
        struct tls_client_options options = {.server_name = cases[i / 2].asked, .version = 12 + (int)i % 2};
        struct tls_pair pair = connect_to(SERVER "certfile %other.pem\nkeyfile %other.key\n", &options, true);
        assert_string_equal(tls_client_server(pair.client), cases[i / 2].shown);
        tls_pair_close(&pair);
    }
}

static void
alpn_agrees_on_mqtt_and_refuses_other_protocols(void **state)
{
    (void)state;
    for (int version = 12; version <= 13; version++) {
        struct tls_client_options options = {.alpn = "mqtt", .version = version};
        struct tls_pair pair = connect_to(SERVER, &options, true);
        assert_string_equal(tls_client_protocol(pair.client), "mqtt");
        tls_pair_close(&pair);
        options.alpn = "h2";
        pair = connect_to(SERVER, &options, false);
        assert_int_equal(tls_client_alert(pair.client), ALERT_NO_APPLICATION_PROTOCOL);
        tls_pair_close(&pair);
    }
}

/* --------------------------------------------------------------------------------------------------- clients' certificates */

static void
a_client_certificate_says_who_it_is(void **state)
{
    (void)state;
    for (int version = 12; version <= 13; version++) {
        struct tls_client_options options = {.certfile = file("client.pem"), .keyfile = file("client.key"), .version = version};
        struct tls_pair pair = connect_to(CLIENTS, &options, true);
        struct tls_identity identity;
        assert_true(tls_get_identity(pair.server, &identity));
        assert_string_equal(identity.common_name, "device-1");
        assert_string_equal(identity.subject, "CN=device-1,O=Sensors\\, \\\"Ltd\\\"");
        assert_null(identity.psk_identity);
        assert_echo(&pair);
        tls_pair_close(&pair);
    }
}

static void
a_certificate_without_a_common_name_has_a_subject_only(void **state)
{
    (void)state;
    struct tls_client_options options = {.certfile = file("nameless.pem"), .keyfile = file("nameless.key")};
    struct tls_pair pair = connect_to(CLIENTS, &options, true);
    struct tls_identity identity;
    assert_true(tls_get_identity(pair.server, &identity));
    assert_null(identity.common_name);
    assert_string_equal(identity.subject, "O=Nobody");
    tls_pair_close(&pair);
}

static void
a_certificate_may_have_an_empty_subject(void **state)
{
    (void)state;
    struct tls_client_options options = {.certfile = file("alternative.pem"), .keyfile = file("alternative.key")};
    struct tls_pair pair = connect_to(CLIENTS, &options, true);
    struct tls_identity identity;
    assert_true(tls_get_identity(pair.server, &identity));
    assert_null(identity.common_name);
    assert_string_equal(identity.subject, "");
    tls_pair_close(&pair);
}

static void
without_require_certificate_nobody_is_asked_and_nobody_is_known(void **state)
{
    (void)state;
    struct tls_client_options options = {.certfile = file("client.pem"), .keyfile = file("client.key")};
    struct tls_pair pair = connect_to(SERVER "cafile %ca.pem\n", &options, true);
    struct tls_identity identity;
    assert_false(tls_get_identity(pair.server, &identity));
    tls_pair_close(&pair);
}

static void
bad_client_certificates_are_refused_and_counted_as_such(void **state)
{
    (void)state;
    const char *bad[] = {NULL, "expired", "early", "foreign", "server_only", "revoked"};
    for (unsigned i = 0; i < 2 * sizeof bad / sizeof bad[0]; i++) {
        const char *name = bad[i / 2];
        char certfile[128], keyfile[128];
        snprintf(certfile, sizeof certfile, "%s.pem", name != NULL ? name : "");
        snprintf(keyfile, sizeof keyfile, "%s.key", name != NULL ? name : "");
        struct tls_client_options options = {.version = 12 + (int)i % 2};
        if (name != NULL) {
            options.certfile = file(certfile);
            options.keyfile = file(keyfile);
        }
        /* The client of 1.3 believes that it is done before the server has looked. */
        struct tls_pair pair = connect_to(CLIENTS "crlfile %crl.pem\n", &options, false);
        assert_int_equal(tls_state(pair.server), TLS_FAILED);
        if (tls_failure(pair.server) != TLS_FAILURE_CERTIFICATE) {
            fail_msg("%s: %s", name, tls_problem(pair.server));
        }
        struct tls_identity identity;
        assert_false(tls_get_identity(pair.server, &identity));
        tls_pair_close(&pair);
    }
}

static void
a_certificate_that_is_not_revoked_passes_the_list(void **state)
{
    (void)state;
    struct tls_client_options options = {.certfile = file("client.pem"), .keyfile = file("client.key")};
    struct tls_pair pair = connect_to(CLIENTS "crlfile %crl.pem\n", &options, true);
    tls_pair_close(&pair);
}

static void
dates_alone_may_be_ignored(void **state)
{
    (void)state;
    struct tls_client_options options = {.certfile = file("expired.pem"), .keyfile = file("expired.key")};
    struct tls_pair pair = connect_to(CLIENTS "disable_client_cert_date_checks true\n", &options, true);
    tls_pair_close(&pair);
    const char *bad[][2] = {{"foreign.pem", "foreign.key"}, {"foreign_expired.pem", "foreign_expired.key"}};
    for (unsigned i = 0; i < 4; i++) {
        options = (struct tls_client_options){.certfile = file(bad[i / 2][0]), .keyfile = file(bad[i / 2][1]), .version = 12 + (int)i % 2};
        pair = connect_to(CLIENTS "disable_client_cert_date_checks true\n", &options, false);
        assert_int_equal(tls_failure(pair.server), TLS_FAILURE_CERTIFICATE);
        tls_pair_close(&pair);
    }
}

static void
the_key_of_somebody_elses_certificate_does_not_prove_anything(void **state)
{
    (void)state;
    /* OpenSSL itself refuses a pair that does not fit, so the server's side of it stands for both. */
    assert_says(refusal("certfile %server.pem\nkeyfile %client.key\n"), "is not the key of");
    assert_says(refusal("certfile %server.pem\nkeyfile %rsa.key\n"), "is not the key of");
}

/* ------------------------------------------------------------------------------------------------------- pre-shared keys */

#define PSK "psk_hint broker\npsk_file %psk\n"

static void
a_pre_shared_key_says_who_it_is(void **state)
{
    (void)state;
    for (int version = 12; version <= 13; version++) {
        struct tls_client_options options = {.psk_identity = "sensor", .psk_key = "00112233445566778899AABBCCDDEEFF", .suites = "PSK", .version = version};
        struct tls_pair pair = connect_to(PSK, &options, true);
        struct tls_identity identity;
        assert_true(tls_get_identity(pair.server, &identity));
        assert_string_equal(identity.psk_identity, "sensor");
        assert_null(identity.common_name);
        assert_echo(&pair);
        tls_pair_close(&pair);
    }
}

static void
suites_with_pre_shared_keys_that_clients_have_are_spoken(void **state)
{
    (void)state;
    const char *suites[] = {"PSK-AES128-GCM-SHA256", "PSK-AES256-GCM-SHA384", "PSK-CHACHA20-POLY1305", "ECDHE-PSK-CHACHA20-POLY1305",
                            "ECDHE-PSK-AES128-CBC-SHA256"};
    for (unsigned i = 0; i < sizeof suites / sizeof suites[0]; i++) {
        struct tls_client_options options = {.psk_identity = "sensor", .psk_key = "00112233445566778899AABBCCDDEEFF", .suites = suites[i], .version = 12};
        struct tls_pair pair = connect_to(PSK, &options, true);
        assert_string_equal(tls_client_suite(pair.client), suites[i]);
        assert_echo(&pair);
        tls_pair_close(&pair);
    }
}

static void
a_wrong_key_or_an_unknown_identity_is_refused(void **state)
{
    (void)state;
    const char *cases[][2] = {{"sensor", "00112233445566778899AABBCCDDEEF0"}, {"nobody", "00112233445566778899AABBCCDDEEFF"}, {"other", "fffe"}};
    for (unsigned i = 0; i < 6; i++) {
        struct tls_client_options options = {.psk_identity = cases[i / 2][0], .psk_key = cases[i / 2][1], .suites = "PSK", .version = 12 + (int)i % 2};
        struct tls_pair pair = connect_to(PSK, &options, false);
        assert_int_equal(tls_failure(pair.server), TLS_FAILURE_HANDSHAKE);
        struct tls_identity identity;
        assert_false(tls_get_identity(pair.server, &identity));
        tls_pair_close(&pair);
    }
}

static void
a_listener_may_have_a_certificate_and_pre_shared_keys(void **state)
{
    (void)state;
    for (int version = 12; version <= 13; version++) {
        struct tls_client_options options = {.psk_identity = "sensor", .psk_key = "00112233445566778899AABBCCDDEEFF", .suites = "PSK", .version = version};
        struct tls_pair pair = connect_to(PSK SERVER, &options, true);
        struct tls_identity identity;
        assert_true(tls_get_identity(pair.server, &identity));
        tls_pair_close(&pair);
        pair = connect_to(PSK SERVER, &(struct tls_client_options){.version = version}, true);
        assert_false(tls_get_identity(pair.server, &identity));
        tls_pair_close(&pair);
    }
}

/* -------------------------------------------------------------------------------------------------------------- resumption */

static struct tls_client_session *
session_from(struct tls_context *context, int version)
{
    struct tls_client_options options = {.version = version};
    struct tls_pair pair = {0};
    tls_pair_open(&pair, context, &options);
    assert_true(tls_pair_handshake(&pair));
    assert_echo(&pair);
    struct tls_client_session *session = tls_client_take_session(pair.client);
    tls_pair_close(&pair);
    return session;
}

static bool
resumes(struct tls_context *context, struct tls_client_session *session, int version)
{
    struct tls_client_options options = {.version = version, .session = session};
    struct tls_pair pair = {0};
    tls_pair_open(&pair, context, &options);
    assert_true(tls_pair_handshake(&pair));
    assert_echo(&pair);
    bool resumed = tls_client_resumed(pair.client);
    tls_pair_close(&pair);
    return resumed;
}

static void
a_ticket_resumes_also_after_a_reload(void **state)
{
    (void)state;
    for (int version = 12; version <= 13; version++) {
        struct tls_context *before = context_of(SERVER), *after = context_of(SERVER);
        struct tls_client_session *session = session_from(before, version);
        assert_non_null(session);
        assert_true(resumes(before, session, version));
        tls_client_session_free(&session);
        session = session_from(before, version); /* the client uses each once */
        tls_context_unref(&before);
        assert_true(resumes(after, session, version));
        tls_context_unref(&after);
        tls_client_session_free(&session);
    }
}

static void
a_ticket_of_another_process_or_listener_means_a_whole_handshake(void **state)
{
    (void)state;
    struct tls_tickets *ours = tickets;
    struct tls_context *context = context_of(SERVER);
    tickets = tickets_open();
    struct tls_context *other = context_of(SERVER);
    struct tls_client_session *session = session_from(context, 13);
    assert_false(resumes(other, session, 13));
    tls_context_unref(&other);
    tickets_unref(&tickets);
    tickets = ours;
    tls_client_session_free(&session);
    tls_context_unref(&context);
}

static void
who_has_to_prove_who_it_is_does_so_each_time(void **state)
{
    (void)state;
    for (int version = 12; version <= 13; version++) {
        struct tls_client_options options = {.certfile = file("client.pem"), .keyfile = file("client.key"), .version = version};
        struct tls_pair pair = connect_to(CLIENTS, &options, true);
        assert_echo(&pair);
        assert_null(tls_client_take_session(pair.client));
        tls_pair_close(&pair);
    }
}

static void
ticket_keys_are_replaced_and_forgotten(void **state)
{
    (void)state;
    struct tls_tickets *t = tickets_open();
    uint8_t name[TICKETS_NAME_BYTES], nonce[TICKETS_NONCE_BYTES], tag[TICKETS_TAG_BYTES], data[100], copy[100];
    memset(data, 'x', sizeof data);
    assert_true(tickets_seal(t, 1000, 1, name, nonce, tag, data, sizeof data));
    memcpy(copy, data, sizeof copy);
    assert_true(tickets_open_ticket(t, 1000 + TICKETS_KEY_SECONDS, 1, name, nonce, tag, copy, sizeof copy));
    assert_int_equal(copy[99], 'x');

    uint8_t next_name[TICKETS_NAME_BYTES], more[100] = {0};
    assert_true(tickets_seal(t, 1000 + TICKETS_KEY_SECONDS, 1, next_name, nonce, tag, more, sizeof more));
    assert_memory_not_equal(name, next_name, sizeof name);
    memcpy(copy, more, sizeof copy);
    assert_false(tickets_open_ticket(t, 1000 + TICKETS_KEY_SECONDS, 2, next_name, nonce, tag, copy, sizeof copy)); /* X2 */
    memcpy(copy, more, sizeof copy);
    copy[50] ^= 1;
    assert_false(tickets_open_ticket(t, 1000 + TICKETS_KEY_SECONDS, 1, next_name, nonce, tag, copy, sizeof copy));
    assert_false(tickets_open_ticket(t, 1000 + 2 * TICKETS_KEY_SECONDS, 1, name, nonce, tag, data, sizeof data)); /* X1 */
    tickets_unref(&t);
}

/* --------------------------------------------------------------------------------------------------------------- traffic */

static void
long_messages_arrive_whole_in_any_pieces(void **state)
{
    (void)state;
    static uint8_t sent[LONG_BYTES], got[LONG_BYTES + 1];
    for (uint32_t i = 0; i < LONG_BYTES; i++) {
        sent[i] = (uint8_t)(i * 7 + i / 251);
    }
    const uint32_t pieces[] = {0, 1, 5, 1448, 4096};
    for (unsigned i = 0; i < 2 * sizeof pieces / sizeof pieces[0]; i++) {
        struct tls_client_options options = {.version = 12 + (int)i % 2};
        struct tls_pair pair = connect_to(SERVER, &options, true);
        pair.piece = pieces[i / 2];
        tls_client_write(pair.client, sent, LONG_BYTES);
        assert_int_equal(tls_pair_to_server(&pair, got, sizeof got), LONG_BYTES);
        assert_memory_equal(sent, got, LONG_BYTES);
        assert_int_equal(tls_pair_to_client(&pair, sent, LONG_BYTES, got, sizeof got), LONG_BYTES);
        assert_memory_equal(sent, got, LONG_BYTES);
        tls_pair_close(&pair);
    }
}

static void
bytes_right_behind_the_handshake_are_not_lost(void **state)
{
    (void)state;
    struct tls_context *context = context_of(SERVER);
    struct tls_client_options options = {.version = 13};
    struct tls_pair pair = {0};
    tls_pair_open(&pair, context, &options);
    uint8_t flight[8192];
    tls_client_handshake(pair.client);
    tls_keep(pair.server, bytes_of(flight, tls_client_take(pair.client, flight, sizeof flight)));
    tls_handshake(pair.server);
    struct bytes answer = tls_output(pair.server);
    tls_client_give(pair.client, answer.data, answer.size);
    tls_output_taken(pair.server);
    assert_true(tls_client_handshake(pair.client));
    tls_client_write(pair.client, "CONNECT", 7); /* in one flight with Finished */
    tls_keep(pair.server, bytes_of(flight, tls_client_take(pair.client, flight, sizeof flight)));
    tls_handshake(pair.server);
    assert_int_equal(tls_state(pair.server), TLS_OPEN);
    struct tls_sink sink = tls_pair_sink(&pair);
    struct bytes nothing = bytes_of(NULL, 0);
    uint8_t out[64];
    assert_int_equal(tls_read(pair.server, &nothing, out, sizeof out, &sink), 7);
    assert_memory_equal(out, "CONNECT", 7);
    tls_pair_close(&pair);
    tls_context_unref(&context);
}

static void
keys_are_updated_when_the_peer_asks(void **state)
{
    (void)state;
    struct tls_client_options options = {.version = 13};
    struct tls_pair pair = connect_to(SERVER, &options, true);
    for (unsigned i = 0; i < 5; i++) {
        tls_client_update_keys(pair.client);
        assert_echo(&pair);
    }
    tls_pair_close(&pair);
}

static void
nobody_renegotiates(void **state)
{
    (void)state;
    struct tls_client_options options = {.version = 12};
    struct tls_pair pair = connect_to(SERVER, &options, true);
    uint8_t out[64];
    if (tls_client_renegotiate(pair.client)) {
        assert_int_equal(tls_pair_to_server(&pair, out, sizeof out), 0);
        tls_client_handshake(pair.client);
    }
    assert_true(tls_state(pair.server) == TLS_FAILED || tls_client_failed(pair.client) || tls_client_alert(pair.client) != 0);
    tls_pair_close(&pair);
}

static void
close_notify_ends_it_in_both_directions(void **state)
{
    (void)state;
    for (int version = 12; version <= 13; version++) {
        struct tls_client_options options = {.version = version};
        struct tls_pair pair = connect_to(SERVER, &options, true);
        char out[8];
        tls_client_write(pair.client, "bye", 3);
        tls_client_end(pair.client);
        assert_int_equal(tls_pair_to_server(&pair, out, sizeof out), 3);
        assert_int_equal(tls_state(pair.server), TLS_ENDED);
        tls_pair_close(&pair);

        pair = connect_to(SERVER, &options, true);
        struct tls_sink sink = tls_pair_sink(&pair);
        tls_end(pair.server, &sink);
        assert_int_equal(tls_client_read(pair.client, out, sizeof out), 0);
        assert_true(tls_client_ended(pair.client));
        tls_pair_close(&pair);
    }
}

static void
any_changed_byte_of_a_record_ends_the_connection(void **state)
{
    (void)state;
    for (int version = 12; version <= 13; version++) {
        struct tls_client_options options = {.version = version};
        for (unsigned at = 0; at < 40; at++) {
            struct tls_pair pair = connect_to(SERVER, &options, true);
            uint8_t record[256], out[256];
            tls_client_write(pair.client, "some message of MQTT", 20);
            uint32_t size = tls_client_take(pair.client, record, sizeof record);
            record[at] ^= 0x41;
            struct tls_sink sink = tls_pair_sink(&pair);
            struct bytes in = bytes_of(record, size);
            assert_int_equal(tls_read(pair.server, &in, out, sizeof out, &sink), 0);
            /* A longer length is a record that has not arrived yet. */
            if (at != 3 && at != 4) {
                assert_int_equal(tls_state(pair.server), TLS_FAILED);
                assert_non_null(tls_problem(pair.server));
            }
            tls_pair_close(&pair);
        }
    }
}

/* What the server makes of a record of the right key that says this inside. */
static enum tls_state
state_after_record(const void *inner, uint8_t size, uint32_t *got)
{
    struct tls_client_options options = {.version = 13};
    struct tls_pair pair = connect_to(SERVER "ciphers_tls1.3 TLS_AES_128_GCM_SHA256\n", &options, true);
    uint8_t record[300], out[64];
    tls_client_forge(pair.client, inner, size, record);
    struct bytes in = bytes_of(record, size + 21u);
    struct tls_sink sink = tls_pair_sink(&pair);
    *got = tls_read(pair.server, &in, out, sizeof out, &sink);
    enum tls_state state = tls_state(pair.server);
    assert_int_equal(tls_failure(pair.server), state == TLS_FAILED ? TLS_FAILURE_RECORD : TLS_FAILURE_NONE);
    tls_pair_close(&pair);
    return state;
}

static void
a_record_without_a_content_type_ends_the_connection(void **state)
{
    (void)state;
    uint32_t got;
    assert_int_equal(state_after_record("x\x17", 2, &got), TLS_OPEN);
    assert_int_equal(got, 1);
    assert_int_equal(state_after_record("\x17", 1, &got), TLS_OPEN);
    assert_int_equal(got, 0);
    assert_int_equal(state_after_record("", 0, &got), TLS_FAILED);
    assert_int_equal(got, 0);
    assert_int_equal(state_after_record("\0\0\0", 3, &got), TLS_FAILED);
    assert_int_equal(got, 0);
}

/* ------------------------------------------------------------------------------------------------------------- bad input */

static void
mqtt_without_tls_and_garbage_are_known_by_their_first_bytes(void **state)
{
    (void)state;
    const struct {
        const char *bytes;
        uint32_t size;
    } cases[] = {{"\x10\x0e\x00\x04MQTT", 8}, {"GET / HTTP/1.1\r\n", 16}, {"\x16\x02\x00\x00\x01\x00", 6}, {"\x16\x03\x01\x40\x01", 5}, {"\x15\x03\x03\x00\x02", 5}};
    struct tls_context *context = context_of(SERVER);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct tls *tls = tls_open(context);
        tls_keep(tls, bytes_of(cases[i].bytes, cases[i].size));
        assert_int_equal(tls_state(tls), TLS_FAILED);
        assert_int_equal(tls_failure(tls), TLS_FAILURE_HANDSHAKE);
        tls_close(&tls);
    }
    tls_context_unref(&context);
}

static void
half_a_hello_costs_next_to_nothing(void **state)
{
    (void)state;
    struct tls_context *context = context_of(SERVER);
    struct tls_client *client = tls_client_open(&(struct tls_client_options){0});
    uint8_t hello[2048];
    tls_client_handshake(client);
    uint32_t size = tls_client_take(client, hello, sizeof hello);
    for (uint32_t part = 1; part < size; part++) {
        struct tls *tls = tls_open(context);
        tls_keep(tls, bytes_of(hello, part));
        assert_int_equal(tls_state(tls), TLS_HELLO);
        assert_true(tls_bytes(tls) < 1024);
        tls_close(&tls);
    }
    tls_client_close(&client);
    tls_context_unref(&context);
}

static void
any_changed_byte_of_a_hello_is_answered_or_waited_for(void **state)
{
    (void)state;
    struct tls_context *context = context_of(CLIENTS PSK);
    for (int version = 12; version <= 13; version++) {
        struct tls_client *client = tls_client_open(&(struct tls_client_options){.version = version, .server_name = "broker.example", .alpn = "mqtt"});
        uint8_t hello[2048];
        tls_client_handshake(client);
        uint32_t size = tls_client_take(client, hello, sizeof hello);
        for (uint32_t i = 0; i < size * 4; i++) {
            static const uint8_t changes[] = {0x01, 0x80, 0xff, 0x20};
            struct tls *tls = tls_open(context);
            hello[i / 4] ^= changes[i % 4];
            tls_keep(tls, bytes_of(hello, size));
            hello[i / 4] ^= changes[i % 4];
            if (tls_state(tls) == TLS_HANDSHAKE) {
                tls_handshake(tls);
            }
            assert_int_not_equal(tls_state(tls), TLS_OPEN);
            tls_close(&tls);
        }
        tls_client_close(&client);
    }
    tls_context_unref(&context);
}

static void
a_handshake_takes_a_bounded_number_of_bytes(void **state)
{
    (void)state;
    struct tls_context *context = context_of(SERVER);
    struct tls *tls = tls_open(context);
    /* Records of a handshake message that announces more than anybody needs. */
    uint8_t record[5 + 1000] = {0x16, 3, 1, 1000 >> 8, 1000 & 0xff, 1, 0, 0xff, 0xff};
    uint32_t taken = 0;
    while (tls_state(tls) < TLS_OPEN) {
        tls_keep(tls, bytes_of(record, sizeof record));
        taken += sizeof record;
        assert_true(taken <= TLS_HANDSHAKE_BYTES_MAX + sizeof record);
        if (tls_state(tls) == TLS_HANDSHAKE) {
            tls_handshake(tls);
        }
        assert_true(tls_bytes(tls) < 4 * TLS_HANDSHAKE_BYTES_MAX);
    }
    assert_int_equal(tls_state(tls), TLS_FAILED);
    tls_close(&tls);
    tls_context_unref(&context);
}

static void
an_empty_piece_changes_nothing(void **state)
{
    (void)state;
    struct tls_context *context = context_of(SERVER);
    struct tls *tls = tls_open(context);
    tls_keep(tls, bytes_of(NULL, 0));
    assert_int_equal(tls_state(tls), TLS_HELLO);
    tls_close(&tls);
    tls_context_unref(&context);
}

/* --------------------------------------------------------------------------------------------------------------- memory */

static void
an_established_connection_takes_at_most_six_kilobytes(void **state)
{
    (void)state;
    struct tls_client_options cases[] = {
        {.version = 13},
        {.version = 12},
        {.version = 13, .certfile = file("client.pem"), .keyfile = file("client.key")},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct tls_pair pair = connect_to(i == 2 ? CLIENTS : SERVER, &cases[i], true);
        assert_echo(&pair);
        static uint8_t large[20000];
        tls_client_write(pair.client, large, sizeof large);
        assert_int_equal(tls_pair_to_server(&pair, large, sizeof large), sizeof large);
        print_message("%zu bytes\n", tls_bytes(pair.server));
        assert_true(tls_bytes(pair.server) <= 6 * 1024);
        tls_pair_close(&pair);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- files */

static void
files_that_cannot_be_used_are_refused_by_name(void **state)
{
    (void)state;
    pki_write(pki, "empty", "");
    pki_write(pki, "text", "this is not a certificate\n");
    pki_write(pki, "locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGjMF8GCSqGSIb3DQEFDTBSMDEGCSqG\n-----END ENCRYPTED PRIVATE KEY-----\n");
    const char *cases[][2] = {
        {"certfile %none.pem\nkeyfile %server.key\n", "none.pem cannot be read: No such file"},
        {"certfile %\nkeyfile %server.key\n", "cannot be read: Is a directory"},
        {"certfile %empty\nkeyfile %server.key\n", "certfile "},
        {"certfile %text\nkeyfile %server.key\n", "text: ASN no PEM Header"},
        {"certfile %server.pem\nkeyfile %none.key\n", "none.key cannot be read"},
        {"certfile %server.pem\nkeyfile %text\n", "keyfile "},
        {"certfile %server.pem\nkeyfile %locked.key\n", "has a password"},
        {SERVER "require_certificate true\ncafile %text\n", "cafile "},
        {SERVER "require_certificate true\ncafile %none\n", "none cannot be read"},
        {SERVER "require_certificate true\ncafile %old_authority.pem\n", "current date after"},
        {SERVER "require_certificate true\ncapath %none\n", "capath "},
        {CLIENTS "crlfile %text\n", "crlfile "},
        {CLIENTS "crlfile %server.pem\n", "no list of revoked certificates"},
        {SERVER "dhparamfile %text\n", "dhparamfile "},
        {"psk_hint x\npsk_file %none\n", "none cannot be read"},
        {"psk_hint x\npsk_file %text\n", "text:1: an 'identity:key' is expected"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_says(refusal(cases[i][0]), cases[i][1]);
    }
}

static void
authorities_may_lie_in_a_directory(void **state)
{
    (void)state;
    char command[600];
    snprintf(command, sizeof command, "mkdir -p %s && cp %s %s", file("authorities"), file("ca.pem"), file("authorities/"));
    assert_int_equal(system(command), 0);
    struct tls_client_options options = {.certfile = file("client.pem"), .keyfile = file("client.key")};
    struct tls_pair pair = connect_to(SERVER "require_certificate true\ncapath %authorities\n", &options, true);
    tls_pair_close(&pair);
    snprintf(command, sizeof command, "rm -r %s", file("authorities"));
    assert_int_equal(system(command), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_versions_with_both_kinds_of_key_carry_bytes_both_ways),
        cmocka_unit_test(a_handshake_survives_any_fragmentation),
        cmocka_unit_test(tls_version_is_the_oldest_that_is_spoken),
        cmocka_unit_test(ciphers_choose_the_suite_and_unknown_names_are_refused),
        cmocka_unit_test(nothing_with_block_ciphers_or_without_fresh_keys_is_spoken_unasked),
        cmocka_unit_test(a_certificate_is_chosen_by_the_name_asked_for),
        cmocka_unit_test(alpn_agrees_on_mqtt_and_refuses_other_protocols),
        cmocka_unit_test(a_client_certificate_says_who_it_is),
        cmocka_unit_test(a_certificate_without_a_common_name_has_a_subject_only),
        cmocka_unit_test(a_certificate_may_have_an_empty_subject),
        cmocka_unit_test(without_require_certificate_nobody_is_asked_and_nobody_is_known),
        cmocka_unit_test(bad_client_certificates_are_refused_and_counted_as_such),
        cmocka_unit_test(a_certificate_that_is_not_revoked_passes_the_list),
        cmocka_unit_test(dates_alone_may_be_ignored),
        cmocka_unit_test(the_key_of_somebody_elses_certificate_does_not_prove_anything),
        cmocka_unit_test(a_pre_shared_key_says_who_it_is),
        cmocka_unit_test(suites_with_pre_shared_keys_that_clients_have_are_spoken),
        cmocka_unit_test(a_wrong_key_or_an_unknown_identity_is_refused),
        cmocka_unit_test(a_listener_may_have_a_certificate_and_pre_shared_keys),
        cmocka_unit_test(a_ticket_resumes_also_after_a_reload),
        cmocka_unit_test(a_ticket_of_another_process_or_listener_means_a_whole_handshake),
        cmocka_unit_test(who_has_to_prove_who_it_is_does_so_each_time),
        cmocka_unit_test(ticket_keys_are_replaced_and_forgotten),
        cmocka_unit_test(long_messages_arrive_whole_in_any_pieces),
        cmocka_unit_test(bytes_right_behind_the_handshake_are_not_lost),
        cmocka_unit_test(keys_are_updated_when_the_peer_asks),
        cmocka_unit_test(nobody_renegotiates),
        cmocka_unit_test(close_notify_ends_it_in_both_directions),
        cmocka_unit_test(any_changed_byte_of_a_record_ends_the_connection),
        cmocka_unit_test(a_record_without_a_content_type_ends_the_connection),
        cmocka_unit_test(mqtt_without_tls_and_garbage_are_known_by_their_first_bytes),
        cmocka_unit_test(half_a_hello_costs_next_to_nothing),
        cmocka_unit_test(any_changed_byte_of_a_hello_is_answered_or_waited_for),
        cmocka_unit_test(a_handshake_takes_a_bounded_number_of_bytes),
        cmocka_unit_test(an_empty_piece_changes_nothing),
        cmocka_unit_test(an_established_connection_takes_at_most_six_kilobytes),
        cmocka_unit_test(files_that_cannot_be_used_are_refused_by_name),
        cmocka_unit_test(authorities_may_lie_in_a_directory),
    };
    return cmocka_run_group_tests(tests, make_pki, forget_pki);
}
