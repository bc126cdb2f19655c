/* TLS and WebSocket as the load generator speaks them, against a server in memory; certificates are made at the start. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "bench/load/tunnel.h"

static EVP_PKEY *key;
static X509 *certificate;
static char ca_path[] = "/tmp/tidewire-ca-XXXXXX";

static struct options options;
static struct desk desk;
static struct secure_context *context;
static struct tunnel_shared shared;
static SSL_CTX *server_context;

/* The server's end of one connection. */
struct server {
    SSL *ssl;
    BIO *in, *out;
};

static int
make_certificate(void **state)
{
    (void)state;
    key = EVP_EC_gen("P-256");
    certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC, (const uint8_t *)"broker", -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate));
    X509_set_pubkey(certificate, key);
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:broker,IP:127.0.0.1");
    X509_add_ext(certificate, names, -1);
    X509_EXTENSION_free(names);
    if (X509_sign(certificate, key, EVP_sha256()) == 0) {
        return -1;
    }
    FILE *file = fdopen(mkstemp(ca_path), "w");
    PEM_write_X509(file, certificate);
    return fclose(file);
}

static int
remove_certificate(void **state)
{
    (void)state;
    X509_free(certificate);
    EVP_PKEY_free(key);
    return unlink(ca_path);
}

static int
open_server_context(void **state)
{
    (void)state;
    server_context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(server_context, certificate);
    SSL_CTX_use_PrivateKey(server_context, key);
    SSL_CTX_set_session_id_context(server_context, (const uint8_t *)"test", 4);
    options = (struct options){.host = "127.0.0.1", .port = 8883, .path = "/mqtt", .tls = true, .cafile = ca_path};
    memset(&desk, 0, sizeof desk);
    return 0;
}

static int
close_all(void **state)
{
    (void)state;
    tunnel_shared_fini(&shared);
    secure_context_close(&context);
    SSL_CTX_free(server_context);
    return 0;
}

/* After the options are as the test wants them. */
static void
open_client(void)
{
    char error[256] = "";
    context = options.tls ? secure_context_open(&options, error, sizeof error) : NULL;
    assert_string_equal(context == NULL ? error : "", "");
    tunnel_shared_init(&shared, &options, context, &desk);
}

static struct server
accept_one(void)
{
    struct server s = {.ssl = SSL_new(server_context), .in = BIO_new(BIO_s_mem()), .out = BIO_new(BIO_s_mem())};
    SSL_set_bio(s.ssl, s.in, s.out);
    SSL_set_accept_state(s.ssl);
    return s;
}

/* What the client has to send reaches the server. */
static void
carry_up(struct tunnel *t, struct server *s)
{
    if (t->wire.used > 0) {
        assert_int_equal(BIO_write(s->in, t->wire.bytes, (int)t->wire.used), t->wire.used);
        t->wire.used = 0;
    }
}

/* And the other way round, `step` bytes at a time. False when the tunnel has failed. What it says is appended to `got`. */
static bool
carry_down(struct tunnel *t, struct server *s, int step, struct pile *got)
{
    uint8_t bytes[16384];
    int size;
    while ((size = BIO_read(s->out, bytes, step)) > 0) {
        struct bytes mqtt;
        bool good = tunnel_receive(t, bytes_of(bytes, (uint32_t)size), &mqtt);
        pile_append(got, mqtt);
        if (!good) {
            return false;
        }
    }
    return true;
}

/* False when it fails. */
static bool
shake_hands(struct tunnel *t, struct server *s, int step)
{
    struct pile got = {0};
    bool good = true;
    for (int turn = 0; good && turn < 8; turn++) {
        carry_up(t, s);
        SSL_do_handshake(s->ssl);
        good = carry_down(t, s, step, &got);
    }
    carry_up(t, s);
    ERR_clear_error();
    assert_int_equal(got.used, 0);
    pile_fini(&got);
    return good;
}

static void
connect_and_leave(uint64_t secured, uint64_t resumed)
{
    struct tunnel *t = tunnel_open(&shared);
    struct server s = accept_one();
    assert_true(shake_hands(t, &s, 5000));
    assert_true(t->open);
    assert_int_equal(count_get(&desk.counts[COUNT_SECURED]), secured);
    assert_int_equal(count_get(&desk.counts[COUNT_RESUMED]), resumed);
    tunnel_close(&t);
    SSL_free(s.ssl);
}

static void
both_ways_carry_what_was_said(void **state)
{
    (void)state;
    static const int steps[] = {1, 7, 16384};
    static const char *const versions[] = {"1.2", "1.3"};
    static uint8_t large[100000];
    memset(large, 'l', sizeof large);
    for (size_t i = 0; i < 6; i++) {
        options.tls_version = versions[i % 2];
        open_client();
        struct tunnel *t = tunnel_open(&shared);
        struct server s = accept_one();
        struct pile got = {0};
        uint8_t up[16];

        assert_true(shake_hands(t, &s, steps[i / 2]));
        assert_memory_equal(desk.secured, i % 2 == 0 ? "TLSv1.2, " : "TLSv1.3, ", 9);
        assert_true(tunnel_send(t, bytes_of("hello", 5)));
        carry_up(t, &s);
        assert_int_equal(SSL_read(s.ssl, up, sizeof up), 5);
        assert_memory_equal(up, "hello", 5);
        assert_int_equal(SSL_write(s.ssl, large, sizeof large), sizeof large);
        assert_true(carry_down(t, &s, steps[i / 2], &got));
        assert_int_equal(got.used, sizeof large);
        assert_memory_equal(got.bytes, large, sizeof large);

        pile_fini(&got);
        tunnel_close(&t);
        SSL_free(s.ssl);
        tunnel_shared_fini(&shared);
        secure_context_close(&context);
    }
    open_client();
}

static void
expect_failure(enum failure_kind failure, const char *words)
{
    struct tunnel *t = tunnel_open(&shared);
    struct server s = accept_one();
    assert_false(shake_hands(t, &s, 16384));
    assert_int_equal(t->failure, failure);
    assert_string_equal(failure_describe_detail(t->failure, t->detail), words);
    tunnel_close(&t);
    SSL_free(s.ssl);
}

static void
a_certificate_of_nobody_known_is_not_trusted(void **state)
{
    (void)state;
    options.cafile = NULL; /* the system's do not know it */
    open_client();
    expect_failure(FAILURE_CERTIFICATE, "self-signed certificate");
}

static void
a_certificate_of_another_name_is_not_trusted(void **state)
{
    (void)state;
    options.server_name = "elsewhere";
    open_client();
    expect_failure(FAILURE_CERTIFICATE, "hostname mismatch");
}

static void
a_certificate_of_another_address_is_not_trusted(void **state)
{
    (void)state;
    options.host = "127.0.0.2";
    open_client();
    expect_failure(FAILURE_CERTIFICATE, "IP address mismatch");
}

static void
insecure_trusts_anybody(void **state)
{
    (void)state;
    options.cafile = NULL;
    options.insecure = true;
    open_client();
    connect_and_leave(1, 0);
}

static void
a_server_that_knows_no_common_version_fails_the_handshake(void **state)
{
    (void)state;
    options.tls_version = "1.3";
    SSL_CTX_set_max_proto_version(server_context, TLS1_2_VERSION);
    open_client();
    expect_failure(FAILURE_TLS, "tlsv1 alert protocol version");
}

static void
garbage_fails_the_handshake(void **state)
{
    (void)state;
    struct bytes mqtt;
    open_client();
    struct tunnel *t = tunnel_open(&shared);
    assert_false(tunnel_receive(t, bytes_of("\x20\x02\x00\x05 and more of it", 19), &mqtt));
    assert_int_equal(t->failure, FAILURE_TLS);
    assert_string_equal(failure_describe_detail(t->failure, t->detail), "wrong version number");
    tunnel_close(&t);
}

static void
resumption_works_after_the_first_in_both_versions(void **state)
{
    (void)state;
    static const char *const versions[] = {"1.2", "1.3"};
    options.resume = true;
    for (size_t i = 0; i < 2; i++) {
        options.tls_version = versions[i];
        memset(&desk, 0, sizeof desk);
        open_client();
        connect_and_leave(1, 0);
        connect_and_leave(1, 1);
        connect_and_leave(1, 2);
        if (i == 0) {
            tunnel_shared_fini(&shared);
            secure_context_close(&context);
        }
    }
}

static void
a_ticket_of_tls_1_3_serves_for_more_than_one_connection(void **state)
{
    (void)state;
    options.resume = true;
    open_client();
    connect_and_leave(1, 0);
    SSL_CTX_set_num_tickets(server_context, 0); /* no newer one comes */
    connect_and_leave(1, 1);
    connect_and_leave(1, 2);
}

static void
with_resume_the_others_wait_for_the_first(void **state)
{
    (void)state;
    options.resume = true;
    open_client();
    assert_true(tunnel_shared_may_open(&shared, 0));
    assert_false(tunnel_shared_may_open(&shared, 1));
    connect_and_leave(1, 0);
    assert_true(tunnel_shared_may_open(&shared, 1));
}

static void
with_resume_a_second_full_handshake_is_a_failure(void **state)
{
    (void)state;
    options.resume = true;
    SSL_CTX_set_options(server_context, SSL_OP_NO_TICKET);
    SSL_CTX_set_session_cache_mode(server_context, SSL_SESS_CACHE_OFF);
    open_client();
    connect_and_leave(1, 0);
    expect_failure(FAILURE_NOT_RESUMED, "");
}

static unsigned
find_psk(SSL *ssl, const char *identity, unsigned char *psk, unsigned room)
{
    (void)ssl;
    (void)room;
    assert_string_equal(identity, "device");
    memcpy(psk, "\x01\x23\xAB", 3);
    return 3;
}

static void
a_pre_shared_key_is_no_resumption(void **state)
{
    (void)state;
    SSL_CTX_set_psk_server_callback(server_context, find_psk);
    options.cafile = NULL;
    options.psk = "0123aB";
    options.psk_identity = "device";
    open_client();
    connect_and_leave(1, 0);
}

static void
what_was_said_before_the_good_bye_counts(void **state)
{
    (void)state;
    struct pile got = {0};
    open_client();
    struct tunnel *t = tunnel_open(&shared);
    struct server s = accept_one();
    assert_true(shake_hands(t, &s, 16384));
    SSL_write(s.ssl, "last", 4);
    SSL_shutdown(s.ssl);
    assert_false(carry_down(t, &s, 16384, &got));
    assert_int_equal(t->failure, FAILURE_CLOSED);
    assert_int_equal(got.used, 4);
    pile_fini(&got);
    tunnel_close(&t);
    SSL_free(s.ssl);
}

/* Reads the request of a websocket and answers it. */
static void
answer_upgrade(struct tunnel *t, struct server *s)
{
    char request[1024], answer[512];
    int size = SSL_read(s->ssl, request, sizeof request - 1);
    assert_true(size > 0);
    request[size] = '\0';
    assert_memory_equal(request, "GET /mqtt HTTP/1.1\r\n", 20);
    size = snprintf(answer, sizeof answer,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
        "Sec-WebSocket-Protocol: mqtt\r\n\r\n",
        t->websocket->accept);
    SSL_write(s->ssl, answer, size);
}

static void
a_websocket_goes_through_tls(void **state)
{
    (void)state;
    struct pile got = {0};
    uint8_t frame[32];
    options.websocket = true;
    open_client();
    struct tunnel *t = tunnel_open(&shared);
    struct server s = accept_one();

    assert_true(shake_hands(t, &s, 100));
    assert_false(t->open);
    answer_upgrade(t, &s);
    assert_true(carry_down(t, &s, 100, &got));
    assert_true(t->open);
    assert_true(tunnel_send(t, bytes_of("hi", 2)));
    SSL_write(s.ssl, "\x89\x00\x82\x03yes", 7);
    assert_true(carry_down(t, &s, 3, &got));
    assert_int_equal(got.used, 3);
    assert_memory_equal(got.bytes, "yes", 3);
    carry_up(t, &s);
    assert_int_equal(SSL_read(s.ssl, frame, sizeof frame), 2 + 4 + 2);
    assert_int_equal(frame[0], 0x82);
    assert_int_equal(SSL_read(s.ssl, frame, sizeof frame), 2 + 4);
    assert_int_equal(frame[0], 0x8A); /* the pong */

    pile_fini(&got);
    tunnel_close(&t);
    SSL_free(s.ssl);
}

static void
a_websocket_that_is_refused_says_so(void **state)
{
    (void)state;
    struct bytes mqtt;
    options.tls = false;
    options.websocket = true;
    open_client();
    struct tunnel *t = tunnel_open(&shared);
    assert_memory_equal(t->wire.bytes, "GET ", 4);
    assert_false(tunnel_receive(t, bytes_of("HTTP/1.1 403 Forbidden\r\n\r\n", 26), &mqtt));
    assert_int_equal(t->failure, FAILURE_UPGRADE);
    assert_string_equal(failure_describe_detail(t->failure, t->detail), "HTTP status 403");
    tunnel_close(&t);
}

static void
files_that_cannot_be_used_are_named(void **state)
{
    (void)state;
    static const char missing[] = "/nonexistent/file";
    char error[256];
    options.cafile = missing;
    assert_null(secure_context_open(&options, error, sizeof error));
    assert_string_equal(error, "--cafile '/nonexistent/file': No such file or directory");
    options.cafile = NULL;
    options.cert = options.key = missing;
    assert_null(secure_context_open(&options, error, sizeof error));
    assert_string_equal(error, "--cert '/nonexistent/file': No such file or directory");
    options.cert = ca_path;
    assert_null(secure_context_open(&options, error, sizeof error));
    assert_string_equal(error, "--key '/nonexistent/file': No such file or directory");
}

int
main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, open_server_context, close_all)
    const struct CMUnitTest tests[] = {
        CLAIM(both_ways_carry_what_was_said),
        CLAIM(a_certificate_of_nobody_known_is_not_trusted),
        CLAIM(a_certificate_of_another_name_is_not_trusted),
        CLAIM(a_certificate_of_another_address_is_not_trusted),
        CLAIM(insecure_trusts_anybody),
        CLAIM(a_server_that_knows_no_common_version_fails_the_handshake),
        CLAIM(garbage_fails_the_handshake),
        CLAIM(resumption_works_after_the_first_in_both_versions),
        CLAIM(a_ticket_of_tls_1_3_serves_for_more_than_one_connection),
        CLAIM(with_resume_the_others_wait_for_the_first),
        CLAIM(with_resume_a_second_full_handshake_is_a_failure),
        CLAIM(a_pre_shared_key_is_no_resumption),
        CLAIM(what_was_said_before_the_good_bye_counts),
        CLAIM(a_websocket_goes_through_tls),
        CLAIM(a_websocket_that_is_refused_says_so),
        CLAIM(files_that_cannot_be_used_are_named),
    };
    return cmocka_run_group_tests(tests, make_certificate, remove_certificate);
}
