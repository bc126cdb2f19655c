#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "codec/upgrade.h"
#include "test/codec/wire.h"

#define ENOUGH 8192u
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define USUAL "Upgrade: websocket\r\nConnection: Upgrade\r\n" KEY "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n"
#define GOOD "GET /mqtt HTTP/1.1\r\nHost: broker\r\n" USUAL "\r\n"

static struct bytes
text_of(const char *text)
{
    return guarded(bytes_of(text, (uint32_t)strlen(text)));
}

static enum upgrade_status
read_text(const char *text, struct upgrade *out)
{
    return upgrade_read(text_of(text), ENOUGH, out);
}

/* The status with which a request is refused; 0: it is not. */
static int
refusal_of(const char *text)
{
    struct upgrade request;
    enum upgrade_status status = read_text(text, &request);
    assert_true(status != UPGRADE_NEED_MORE);
    return status == UPGRADE_REFUSED ? request.refusal : 0;
}

static void
assert_bytes(struct bytes b, const char *expected)
{
    assert_true(bytes_equal(b, bytes_of(expected, (uint32_t)strlen(expected))));
}

CLAIM(a_request_tells_what_it_wants)
{
    struct upgrade request;
    assert_int_equal(read_text(GOOD "frames", &request), UPGRADE_DONE);
    assert_int_equal(request.size, strlen(GOOD));
    assert_bytes(request.target, "/mqtt");
    assert_bytes(request.key, "dGhlIHNhbXBsZSBub25jZQ==");
    assert_bytes(request.protocol, "mqtt");
    assert_int_equal(request.origin.size, 0);
    assert_int_equal(request.x_forwarded_for.count + request.forwarded.count, 0);
}

/* RFC 6455 1.3 has this key and its answer. */
CLAIM(the_answer_has_the_key_of_the_specification)
{
    struct upgrade request;
    uint8_t out[UPGRADE_ANSWER_MAX];
    assert_int_equal(read_text(GOOD, &request), UPGRADE_DONE);
    uint32_t size = upgrade_write_accept(out, &request);
    assert_bytes(bytes_of(out, size), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n");
}

CLAIM(names_and_tokens_are_read_whatever_their_case)
{
    struct upgrade request;
    assert_int_equal(read_text("GET / HTTP/1.1\r\nhOST:b\r\nUPGRADE: WebSocket\r\nconnection: keep-alive, UPGRADE\r\nSEC-WEBSOCKET-KEY:  dGhlIHNhbXBsZSBub25jZQ== \r\n"
                               "Sec-Websocket-Version:13\r\nsec-websocket-protocol:\tmqtt\r\n\r\n", &request), UPGRADE_DONE);
    assert_bytes(request.key, "dGhlIHNhbXBsZSBub25jZQ==");
}

CLAIM(lists_may_be_spread_over_fields)
{
    struct upgrade request;
    assert_int_equal(read_text("GET / HTTP/1.1\r\nHost: b\r\nUpgrade: h2c\r\nUpgrade: websocket\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n" KEY
                               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: mqtt , superchat\r\n\r\n", &request), UPGRADE_DONE);
    assert_bytes(request.protocol, "mqtt");
}

/* MQTT5 [MQTT-6.0.0-4] */
CLAIM(mqtt_is_chosen_before_its_old_name_wherever_it_stands)
{
    struct upgrade request;
#define OFFER(list) "GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" KEY "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: " list "\r\n\r\n"
    assert_int_equal(read_text(OFFER("mqttv3.1, mqtt"), &request), UPGRADE_DONE);
    assert_bytes(request.protocol, "mqtt");
    assert_int_equal(read_text(OFFER("mqtt, mqttv3.1"), &request), UPGRADE_DONE);
    assert_bytes(request.protocol, "mqtt");
    assert_int_equal(read_text(OFFER("mqttv3.1"), &request), UPGRADE_DONE);
    assert_bytes(request.protocol, "mqttv3.1");
    assert_int_equal(refusal_of(OFFER("chat")), 400);
    assert_int_equal(refusal_of(OFFER("MQTT")), 400);
    assert_int_equal(refusal_of(OFFER("")), 400);
}

CLAIM(origin_and_proxies_are_told)
{
    struct upgrade request;
    assert_int_equal(read_text("GET / HTTP/1.1\r\nHost: b\r\nOrigin: https://example.com\r\nX-Forwarded-For: 203.0.113.7, 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n"
                               "Forwarded: for=\"[2001:db8::1]:4711\";proto=https, FOR=192.0.2.60;by=10.0.0.3\r\n" USUAL "\r\n", &request), UPGRADE_DONE);
    assert_bytes(request.origin, "https://example.com");
    assert_int_equal(request.x_forwarded_for.count, 3);
    assert_bytes(request.x_forwarded_for.at[0], "203.0.113.7");
    assert_bytes(request.x_forwarded_for.at[2], "10.0.0.2");
    assert_int_equal(request.forwarded.count, 2);
    assert_bytes(request.forwarded.at[0], "[2001:db8::1]:4711");
    assert_bytes(request.forwarded.at[1], "192.0.2.60");
}

/* What a client writes into the field must not hide what a proxy adds behind it. */
CLAIM(a_quote_does_not_swallow_the_next_address)
{
    struct upgrade request;
    assert_int_equal(read_text("GET / HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: \"10.0.0.1, 203.0.113.9\r\n" USUAL "\r\n", &request), UPGRADE_DONE);
    assert_int_equal(request.x_forwarded_for.count, 2);
    assert_bytes(request.x_forwarded_for.at[1], "203.0.113.9");
}

/* Behind a quote that is open a client could hide what a proxy appends: nobody knows then who it is. */
CLAIM(quotes_that_are_not_sound_are_refused)
{
    struct upgrade request;
    assert_int_equal(read_text("GET / HTTP/1.1\r\nHost: b\r\nForwarded: for=\"a,\\\"b\" ;by=\"x\", for=1.2.3.4\r\n" USUAL "\r\n", &request), UPGRADE_DONE);
    assert_int_equal(request.forwarded.count, 2);
    assert_bytes(request.forwarded.at[1], "1.2.3.4");
    static const char *const unsound[] = {"for=9.9.9.9;x=\", for=203.0.113.7", "for=9.9.9.9;x=\"\\\", for=203.0.113.7", "x=\"a\"b\", for=1.2.3.4",
                                          "for=\"9.9.9.9\"x, for=1.2.3.4", "for=9.9.9.9\", for=1.2.3.4;x=\"", "\"a, for=1.2.3.4\""};
    for (size_t i = 0; i < sizeof unsound / sizeof unsound[0]; i++) {
        char text[512];
        snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: b\r\nForwarded: %s\r\n" USUAL "\r\n", unsound[i]);
        assert_int_equal(read_text(text, &request), UPGRADE_REFUSED);
        assert_int_equal(request.refusal, 400);
    }
}

CLAIM(of_many_proxies_the_last_are_remembered)
{
    struct upgrade request;
    assert_int_equal(read_text("GET / HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: 1,2,3,4,5,6,7,8,9,10\r\n" USUAL "\r\n", &request), UPGRADE_DONE);
    assert_int_equal(request.x_forwarded_for.count, UPGRADE_FORWARDED_MAX);
    assert_bytes(request.x_forwarded_for.at[0], "3");
    assert_bytes(request.x_forwarded_for.at[UPGRADE_FORWARDED_MAX - 1], "10");
}

CLAIM(refusals_have_the_right_status)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"POST / HTTP/1.1\r\n\r\n", 405},
        {"HEAD / HTTP/1.1\r\n\r\n", 405},
        {"GETTER / HTTP/1.1\r\n\r\n", 405},
        {"\x10\x0c", 400},                                                     /* MQTT's CONNECT */
        {"\x16\x03\x01", 400},                                                 /* TLS */
        {"\r\nGET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.0\r\nHost: b\r\n" USUAL "\r\n", 505},
        {"GET / HTTP/2.0\r\nHost: b\r\n" USUAL "\r\n", 505},
        {"GET / ICY/1.1\r\nHost: b\r\n" USUAL "\r\n", 400},
        {"GET /\r\nHost: b\r\n" USUAL "\r\n", 400},
        {"GET  / HTTP/1.1\r\nHost: b\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1 x\r\nHost: b\r\n" USUAL "\r\n", 400},
        {"GET /\x01 HTTP/1.1\r\nHost: b\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\n\r\n", 426},                            /* a browser that was typed into */
        {"GET / HTTP/1.1\r\n" USUAL "\r\n", 400},                              /* no Host */
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\n" KEY USUAL "\r\n", 400},               /* two keys */
        {"GET / HTTP/1.1\r\nHost: b\r\nSec-WebSocket-Version: 13\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\nOrigin: a\r\nOrigin: b\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\nContent-Length: 5\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\nTransfer-Encoding: chunked\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost : b\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\n folded\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\nnothing\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\n: empty\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\nX: y\r\n" USUAL "\r\n", 400},             /* a line feed alone ends no line */
        {"GET / HTTP/1.1\r\nHost: b\r\nX: a\x7f\r\n" USUAL "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" KEY "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" KEY "Sec-WebSocket-Protocol: mqtt\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: close\r\n" KEY "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websockets\r\nConnection: Upgrade\r\n" KEY "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", 426},
        {"GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: short==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int status = refusal_of(cases[i].text);
        if (status != cases[i].status) {
            print_message("%zu: %d\n%s\n", i, status, cases[i].text);
        }
        assert_int_equal(status, cases[i].status);
    }
}

CLAIM(a_header_is_refused_at_its_limit_and_not_before)
{
    struct upgrade request;
    uint32_t size = (uint32_t)strlen(GOOD);
    assert_int_equal(upgrade_read(text_of(GOOD), size, &request), UPGRADE_DONE);
    assert_int_equal(upgrade_read(text_of(GOOD), size - 1, &request), UPGRADE_REFUSED);
    assert_int_equal(request.refusal, 431);
    struct bytes cut = text_of(GOOD);
    assert_int_equal(upgrade_read(bytes_of(cut.data, 100), 100, &request), UPGRADE_REFUSED);
    assert_int_equal(request.refusal, 431);
    assert_int_equal(upgrade_read(bytes_of(cut.data, 99), 100, &request), UPGRADE_NEED_MORE);
}

CLAIM(every_refusal_is_a_whole_answer)
{
    static const uint16_t statuses[] = {400, 403, 405, 426, 431, 503, 505};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        char text[UPGRADE_ANSWER_MAX + 1] = "", start[32];
        uint32_t size = upgrade_write_refusal((uint8_t *)text, statuses[i]);
        snprintf(start, sizeof start, "HTTP/1.1 %u ", statuses[i]);
        assert_memory_equal(text, start, strlen(start));
        assert_non_null(strstr(text, "\r\nContent-Length: 0\r\n"));
        assert_non_null(strstr(text, "close\r\n"));
        assert_string_equal(text + size - 4, "\r\n\r\n");
    }
}

CLAIM(every_prefix_needs_more)
{
    static const char whole[] = "GET /a?b HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=\"1.2.3.4\"\r\nOrigin: x\r\n" USUAL "\r\n";
    struct upgrade request;
    for (uint32_t size = 0; size < sizeof whole - 1; size++) {
        assert_int_equal(upgrade_read(guarded(bytes_of(whole, size)), ENOUGH, &request), UPGRADE_NEED_MORE);
    }
    assert_int_equal(read_text(whole, &request), UPGRADE_DONE);
}

CLAIM(every_mutation_is_answered)
{
    static const char whole[] = "GET /a?b HTTP/1.1\r\nHost: b\r\nX-Forwarded-For: 1.2.3.4, \"5\"\r\nForwarded: for=\"1.2.3.4\";by=x\r\nOrigin: x\r\n" USUAL "\r\n";
    for (uint32_t at = 0; at < sizeof whole - 1; at++) {
        for (unsigned value = 0; value < 256; value++) {
            uint8_t mutated[sizeof whole], out[UPGRADE_ANSWER_MAX];
            struct upgrade request;
            memcpy(mutated, whole, sizeof whole);
            mutated[at] = (uint8_t)value;
            enum upgrade_status status = upgrade_read(guarded(bytes_of(mutated, sizeof whole - 1)), ENOUGH, &request);
            assert_true(status != UPGRADE_REFUSED || upgrade_write_refusal(out, request.refusal) > 0);
            assert_true(status != UPGRADE_DONE || upgrade_write_accept(out, &request) > 0);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_tells_what_it_wants),
        cmocka_unit_test(the_answer_has_the_key_of_the_specification),
        cmocka_unit_test(names_and_tokens_are_read_whatever_their_case),
        cmocka_unit_test(lists_may_be_spread_over_fields),
        cmocka_unit_test(mqtt_is_chosen_before_its_old_name_wherever_it_stands),
        cmocka_unit_test(origin_and_proxies_are_told),
        cmocka_unit_test(a_quote_does_not_swallow_the_next_address),
        cmocka_unit_test(quotes_that_are_not_sound_are_refused),
        cmocka_unit_test(of_many_proxies_the_last_are_remembered),
        cmocka_unit_test(refusals_have_the_right_status),
        cmocka_unit_test(a_header_is_refused_at_its_limit_and_not_before),
        cmocka_unit_test(every_refusal_is_a_whole_answer),
        cmocka_unit_test(every_prefix_needs_more),
        cmocka_unit_test(every_mutation_is_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
