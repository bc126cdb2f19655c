/*
 * What a broker does when the heap gives nothing: whoever asked is answered or parted with, everyone else goes on, nothing leaks.
 *
 * The linker puts failing_*() in place of the heap's functions (--wrap). One scenario runs again and again; each time another allocation fails. Requests of
 * more than FAIL_BYTES_MAX are left alone: buffers between shards abort the process by contract when the machine has really nothing left (engine/mesh.h).
 */
#include "test/support/scram_client.h"
#include "test/support/users.h"
#include "test/support/world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FAIL_BYTES_MAX 2048
#define NEVER UINT64_MAX

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static bool in_broker;
static uint64_t allocations;      /* since the scenario started */
static uint64_t fail_at = NEVER;  /* this one fails */
static uint64_t fail_every;       /* and every so manieth after it; 0: no other */

static bool
fails(size_t size)
{
    if (!in_broker || fail_at == NEVER || size > FAIL_BYTES_MAX) {
        return false;
    }
    uint64_t number = allocations++;
    return number == fail_at || (fail_every != 0 && number > fail_at && (number - fail_at) % fail_every == 0);
}

void *
__wrap_malloc(size_t size)
{
    return fails(size) ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return fails(count * size) ? NULL : __real_calloc(count, size);
}

void *
__wrap_realloc(void *old, size_t size)
{
    return fails(size) ? NULL : __real_realloc(old, size);
}

/* Only the broker's allocations fail: the test and the simulated network need theirs to look at it. */
static void
settle(struct world *w, uint64_t ms)
{
    in_broker = true;
    world_advance(w, ms);
    in_broker = false;
}

static void
send_connect(struct client *c, uint8_t version, const char *id, bool clean, bool will)
{
    struct packet p = {.type = PACKET_CONNECT};
    p.connect.version = version;
    p.connect.clean_start = clean;
    p.connect.client_id = bytes_of(id, (uint32_t)strlen(id));
    p.connect.keep_alive_s = 60;
    properties_mark(&p.connect.properties, PROPERTY_SESSION_EXPIRY_INTERVAL);
    p.connect.properties.session_expiry_s = 30;
    properties_mark(&p.connect.properties, PROPERTY_TOPIC_ALIAS_MAXIMUM);
    p.connect.properties.topic_alias_maximum = 3;
    if (will) {
        p.connect.has_will = true;
        p.connect.will.topic = bytes_of("a/will", 6);
        p.connect.will.payload = bytes_of("gone", 4);
        p.connect.will.qos = 1;
        p.connect.will.retain = true;
    }
    client_send(c, &p);
}

static void
send_subscribe(struct client *c, uint16_t id, const char *const *filters, unsigned count)
{
    uint8_t entries[512];
    uint32_t used = 0;
    for (unsigned i = 0; i < count; i++) {
        used += encode_subscribe_entry(entries + used, sizeof entries - used, bytes_of(filters[i], (uint32_t)strlen(filters[i])),
                                       (struct subscription_options){.qos = (uint8_t)(i % 3)});
    }
    struct packet p = {.type = PACKET_SUBSCRIBE, .subscribe = {.packet_id = id, .count = count, .entries = bytes_of(entries, used)}};
    if (id == 7) {
        properties_mark(&p.subscribe.properties, PROPERTY_SUBSCRIPTION_IDENTIFIER);
        p.subscribe.properties.subscription_id = 11;
    }
    client_send(c, &p);
}

static void
send_publish(struct client *c, const char *topic, uint32_t size, uint8_t qos, bool retain, uint16_t id)
{
    static uint8_t payload[32768];
    struct packet p = {.type = PACKET_PUBLISH};
    p.publish.topic = bytes_of(topic, (uint32_t)strlen(topic));
    p.publish.payload = bytes_of(payload, size);
    p.publish.qos = qos;
    p.publish.retain = retain;
    p.publish.packet_id = qos ? id : 0;
    client_send(c, &p);
}

/* Reads whatever came, acknowledging QoS 1 only: QoS 2 exchanges stay open, so that there is state to resume. */
static void
drain(struct client *c)
{
    struct packet got;
    while (client_receive(c, &got)) {
        if (got.type == PACKET_PUBLISH && got.publish.qos == 1) {
            struct packet ack = {.type = PACKET_PUBACK, .ack = {.packet_id = got.publish.packet_id}};
            client_send(c, &ack);
        }
    }
}

/* Some of everything that takes memory. */
static void
play(struct world *w)
{
    static const char *const filters[] = {"a/#", "a/+", "a/b", "$share/g/a/#", "+/b", "other/topic"};
    struct client *s = client_open(w, 5);
    struct client *t = client_open(w, 4);
    struct client *p = client_open(w, 5);
    send_connect(s, 5, "subscriber", false, true);
    send_connect(t, 4, "third", true, false);
    send_connect(p, 5, "publisher", true, true);
    settle(w, 10);
    send_subscribe(s, 7, filters, 6);
    send_subscribe(t, 8, filters, 4);
    settle(w, 10);
    for (uint16_t i = 0; i < 12; i++) {
        send_publish(p, i % 2 ? "a/b" : "a/c", i == 5 ? 20000 : 40, (uint8_t)(i % 3), i % 4 == 0, (uint16_t)(i + 1));
    }
    settle(w, 10);
    drain(s);
    drain(t);
    drain(p);
    settle(w, 10);
    client_close(&s);
    settle(w, 10);
    for (uint16_t i = 20; i < 26; i++) {
        send_publish(p, "a/b", 60, (uint8_t)(1 + i % 2), false, i);
    }
    settle(w, 10);
    s = client_open(w, 5);
    send_connect(s, 5, "subscriber", false, false);
    struct client *takeover = client_open(w, 4);
    send_connect(takeover, 4, "third", false, true);
    settle(w, 10);
    drain(s);
    settle(w, 10);
    client_close(&takeover);
    client_close(&t);
    client_close(&p);
    client_close(&s);
    settle(w, 60000); /* everything expires */
}

/* ----------------------------------------------------------------------------------------------------------------- logins */

static char users_option[128];

static void
send_login(struct client *c, const char *id, const char *user, const char *secret)
{
    struct packet p = {.type = PACKET_CONNECT, .connect = {.version = 5, .clean_start = true, .has_user_name = true, .has_password = true}};
    p.connect.client_id = bytes_of(id, (uint32_t)strlen(id));
    p.connect.user_name = bytes_of(user, (uint32_t)strlen(user));
    p.connect.password = bytes_of(secret, (uint32_t)strlen(secret));
    client_send(c, &p);
}

static void
put_auth(struct properties *p, struct bytes data)
{
    properties_mark(p, PROPERTY_AUTHENTICATION_METHOD);
    p->authentication_method = bytes_of("SCRAM-SHA-256", 13);
    properties_mark(p, PROPERTY_AUTHENTICATION_DATA);
    p->authentication_data = data;
}

static void
send_auth(struct client *c, uint8_t reason, struct bytes data)
{
    struct packet p = {.type = PACKET_AUTH, .disconnect = {.reason = reason}};
    put_auth(&p.disconnect.properties, data);
    client_send(c, &p);
}

/* Answers the challenge, if one comes. */
static void
prove(struct world *w, struct client *c, struct scram_client *device)
{
    struct packet got;
    settle(w, 10);
    while (client_receive(c, &got)) {
        if (got.type == PACKET_AUTH && got.disconnect.reason == REASON_CONTINUE_AUTHENTICATION &&
            scram_client_answer(device, got.disconnect.properties.authentication_data)) {
            send_auth(c, REASON_CONTINUE_AUTHENTICATION, scram_client_final(device));
        }
    }
    settle(w, 10);
}

static void
play_exchange(struct world *w, struct client *c)
{
    struct scram_client device;
    scram_client_start(&device, "n,,", "eve", "nonce", "pencil");
    struct packet p = {.type = PACKET_CONNECT, .connect = {.version = 5, .clean_start = true, .client_id = bytes_of("eve", 3)}};
    put_auth(&p.connect.properties, scram_client_first(&device));
    client_send(c, &p);
    prove(w, c, &device);
    scram_client_start(&device, "n,,", "eve", "again", "pencil");
    send_auth(c, REASON_REAUTHENTICATE, scram_client_first(&device));
    prove(w, c, &device);
}

/* Passwords that are right and wrong, an exchange and another one while connected, and a reload. */
static void
play_logins(struct world *w)
{
    struct client *right = client_open(w, 5), *wrong = client_open(w, 5), *exchange = client_open(w, 5), *again = client_open(w, 5);
    send_login(right, "right", "ann", "secret");
    send_login(wrong, "wrong", "ann", "no");
    settle(w, 10);
    send_login(again, "again", "ann", "secret"); /* remembered */
    play_exchange(w, exchange);
    in_broker = true;
    users_reload(w, NULL);
    in_broker = false;
    settle(w, 10);
    client_close(&right);
    client_close(&wrong);
    client_close(&exchange);
    client_close(&again);
    settle(w, 60000);
}

/* ------------------------------------------------------------------------------------------- through a proxy, in a WebSocket */

/* PROXY version 2 for an IPv6 address with a certificate's name, in two pieces, then the request in two pieces. */
static void
arrive(struct client *c)
{
    static const uint8_t header[] = "\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x35\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x30\x39\x07\x5b"
                                    "\x20\x00\x0e\x03\0\0\0\0\x22\x00\x06sensor";
    client_send_raw(c, header, 20);
    settle(c->world, 1);
    client_send_raw(c, header + 20, sizeof header - 1 - 20);
    client_send_raw(c, "GET / HT", 8);
    settle(c->world, 1);
    client_ask_upgrade(c, "TP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n");
    settle(c->world, 1);
}

static void
play_ways(struct world *w)
{
    static const char *const filters[] = {"a/b"};
    struct client *s = client_open(w, 5), *p = client_open(w, 5), *bad = client_open(w, 5);
    arrive(s);
    arrive(p);
    arrive(bad);
    send_connect(s, 5, "subscriber", true, true);
    send_connect(p, 5, "publisher", true, false);
    settle(w, 10);
    send_subscribe(s, 1, filters, 1);
    client_send_frame(s, 0x89, "ping", 4);
    client_send_frame(bad, 0x81, "text", 4);
    settle(w, 10);
    for (uint16_t i = 1; i < 6; i++) {
        send_publish(p, "a/b", i == 3 ? 1500 : 40, (uint8_t)(i % 3), false, i);
    }
    settle(w, 10);
    drain(s);
    drain(p);
    settle(w, 10);
    client_send_frame(s, 0x88, "\x03\xe8", 2);
    settle(w, 3000);
    client_close(&s);
    client_close(&p);
    client_close(&bad);
    settle(w, 60000);
}

/* Someone who comes afterwards is served as ever. */
static void
check_alive(struct world *w, void (*come)(struct client *c))
{
    static const char *const filters[] = {"alive"};
    struct client *c = client_open(w, 4);
    struct packet got;
    if (come != NULL) {
        come(c);
    }
    send_connect(c, 4, "checker", true, false);
    world_settle(w);
    assert_true(client_receive(c, &got));
    assert_int_equal(got.type, PACKET_CONNACK);
    send_subscribe(c, 1, filters, 1);
    world_settle(w);
    assert_true(client_receive(c, &got));
    send_publish(c, "alive", 3, 1, false, 9);
    world_settle(w);
    unsigned publishes = 0;
    while (client_receive(c, &got)) {
        publishes += got.type == PACKET_PUBLISH;
    }
    assert_int_equal(publishes, 1);
    client_close(&c);
    world_settle(w);
}

struct scenario {
    void (*play)(struct world *w);
    const char *options;
    void (*arrive)(struct client *c); /* what a client sends before CONNECT; NULL: nothing */
};

static const struct scenario messages = {play, NULL, NULL}, logins = {play_logins, users_option, NULL};
static const struct scenario ways = {play_ways, "enable_proxy_protocol 2\nprotocol websockets\n", arrive};

static uint64_t
run(const struct scenario *scenario, unsigned shards, uint64_t at, uint64_t every)
{
    struct world *w = world_open(1, shards, scenario->options);
    allocations = 0;
    fail_at = at;
    fail_every = every;
    scenario->play(w);
    uint64_t seen = allocations;
    fail_at = NEVER;
    check_alive(w, scenario->arrive);
    world_close(&w);
    return seen;
}

static void
fail_each(const struct scenario *scenario)
{
    for (unsigned shards = 1; shards <= 2; shards++) {
        uint64_t all = run(scenario, shards, NEVER - 1, 0);
        assert_true(all > 20);
        for (uint64_t at = 0; at < all; at++) {
            run(scenario, shards, at, 0);
        }
    }
}

static void
each_single_failure_is_survived(void **state)
{
    (void)state;
    fail_each(&messages);
}

static void
each_single_failure_of_a_login_is_survived(void **state)
{
    (void)state;
    fail_each(&logins);
}

static void
each_single_failure_of_a_websocket_behind_a_proxy_is_survived(void **state)
{
    (void)state;
    fail_each(&ways);
}

static void
failures_without_end_are_survived(void **state)
{
    (void)state;
    for (uint64_t every = 1; every <= 7; every++) {
        for (uint64_t at = 0; at < 60; at += 7) {
            run(&messages, 2, at, every);
            run(&logins, 2, at, every);
            run(&ways, 2, at, every);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_single_failure_is_survived),
        cmocka_unit_test(each_single_failure_of_a_login_is_survived),
        cmocka_unit_test(each_single_failure_of_a_websocket_behind_a_proxy_is_survived),
        cmocka_unit_test(failures_without_end_are_survived),
    };
    users_open();
    users_add("ann", PASSWORD_PBKDF2, "secret");
    users_add("eve", PASSWORD_SCRAM, "pencil");
    snprintf(users_option, sizeof users_option, "password_file %s\n", users_path());
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    users_close();
    return failed;
}
