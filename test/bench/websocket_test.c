#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/websocket.h"

static struct websocket web;
static struct pile out;

static int
open_web(void **state)
{
    (void)state;
    websocket_init(&web, 7);
    return 0;
}

static int
close_web(void **state)
{
    (void)state;
    pile_fini(&out);
    return 0;
}

/* The answer that a right server gives, with `accept` as it has to be. */
static uint32_t
write_answer(char *to, size_t room, const char *format)
{
    websocket_ask(&web, "host", 1, "/mqtt", &out);
    out.used = 0;
    return (uint32_t)snprintf(to, room, format, web.accept);
}

#define GOOD_ANSWER "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection:  upgrade \r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"

/* Past the upgrade. */
static void
be_up(void)
{
    char answer[512];
    uint32_t payload;
    uint32_t size = write_answer(answer, sizeof answer, GOOD_ANSWER);
    assert_int_equal(websocket_take(&web, (uint8_t *)answer, size, &payload, &out), WEBSOCKET_GOOD);
    assert_true(web.up);
    assert_int_equal(payload, 0);
}

static void
the_question_is_that_of_the_rfc(void **state)
{
    (void)state;
    websocket_ask(&web, "example.org", 8083, "/x", &out);
    *pile_reserve(&out, 1) = '\0';
    assert_memory_equal(out.bytes, "GET /x HTTP/1.1\r\nHost: example.org:8083\r\n", 41);
    assert_non_null(strstr((const char *)out.bytes, "\r\nSec-WebSocket-Version: 13\r\n"));
    assert_non_null(strstr((const char *)out.bytes, "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"));
    assert_int_equal(strlen(web.accept), 28);
}

static void
an_answer_that_comes_byte_by_byte_is_taken(void **state)
{
    (void)state;
    char answer[512];
    uint32_t payload, size = write_answer(answer, sizeof answer, GOOD_ANSWER);
    for (uint32_t i = 0; i < size; i++) {
        assert_false(web.up);
        assert_int_equal(websocket_take(&web, (uint8_t *)answer + i, 1, &payload, &out), WEBSOCKET_GOOD);
    }
    assert_true(web.up);
}

static void
an_answer_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        int status;
    } rows[] = {
        {"HTTP/1.1 404 Not Found\r\n\r\n", 404},
        {"\x20\x02%.0s\r\n\r\n", 0},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %.27s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", 101},
        {"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", 101},
        {"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", 101},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char answer[512];
        uint32_t payload;
        websocket_init(&web, 7);
        uint32_t size = write_answer(answer, sizeof answer, rows[i].answer);
        assert_int_equal(websocket_take(&web, (uint8_t *)answer, size, &payload, &out), WEBSOCKET_REFUSED);
        assert_int_equal(web.status, rows[i].status);
        assert_false(web.up);
    }
}

static void
an_endless_answer_is_refused(void **state)
{
    (void)state;
    uint8_t answer[WEBSOCKET_ANSWER_MAX];
    uint32_t payload;
    memset(answer, 'x', sizeof answer);
    assert_int_equal(websocket_take(&web, answer, sizeof answer, &payload, &out), WEBSOCKET_REFUSED);
}

/* As a server unmasks it. */
static void
unmask(uint8_t *frame, uint32_t head)
{
    for (uint32_t i = head + 4; i < out.used; i++) {
        frame[i] ^= frame[head + ((i - head) & 3)];
    }
}

static void
frames_are_masked_and_as_short_as_they_can_be(void **state)
{
    (void)state;
    static const struct {
        uint32_t size, head;
    } rows[] = {{0, 2}, {1, 2}, {125, 2}, {126, 4}, {65535, 4}, {65536, 10}, {100003, 10}};
    static uint8_t payload[100003];
    for (size_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i * 7);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        out.used = 0;
        websocket_frame(&web, bytes_of(payload, rows[i].size), &out);
        assert_int_equal(out.used, rows[i].head + 4 + rows[i].size);
        assert_int_equal(out.bytes[0], 0x82);
        assert_int_equal(out.bytes[1] & 0x80, 0x80);
        unmask(out.bytes, rows[i].head);
        assert_memory_equal(out.bytes + rows[i].head + 4, payload, rows[i].size);
    }
}

static void
payload_comes_out_in_order_wherever_the_bytes_are_cut(void **state)
{
    (void)state;
    /* abc | ping 'p' between fragments | (empty) | de, last | f */
    static const uint8_t stream[] = {0x02, 3, 'a', 'b', 'c', 0x89, 1, 'p', 0x00, 0, 0x80, 2, 'd', 'e', 0x82, 1, 'f'};
    for (uint32_t cut = 0; cut <= sizeof stream; cut++) {
        uint8_t bytes[sizeof stream], got[16];
        uint32_t first, second;
        memcpy(bytes, stream, sizeof stream);
        websocket_init(&web, 7);
        be_up();
        out.used = 0;
        assert_int_equal(websocket_take(&web, bytes, cut, &first, &out), WEBSOCKET_GOOD);
        memcpy(got, bytes, first);
        assert_int_equal(websocket_take(&web, bytes + cut, (uint32_t)sizeof stream - cut, &second, &out), WEBSOCKET_GOOD);
        memcpy(got + first, bytes + cut, second);
        assert_int_equal(first + second, 6);
        assert_memory_equal(got, "abcdef", 6);
        assert_int_equal(out.bytes[0], 0x8A); /* the pong, with the ping's payload */
        assert_int_equal(out.used, 2 + 4 + 1);
        unmask(out.bytes, 2);
        assert_int_equal(out.bytes[6], 'p');
    }
}

static void
a_close_frame_is_answered_and_ends(void **state)
{
    (void)state;
    uint8_t bytes[] = {0x82, 1, 'x', 0x88, 2, 0x03, 0xE8};
    uint32_t payload;
    be_up();
    assert_int_equal(websocket_take(&web, bytes, sizeof bytes, &payload, &out), WEBSOCKET_ENDED);
    assert_int_equal(payload, 1);
    assert_int_equal(out.bytes[0], 0x88);
}

static void
frames_that_a_server_may_not_send_are_wrong(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[12];
        uint32_t size;
    } rows[] = {
        {{0x81, 1, 'x'}, 3},                             /* text */
        {{0x82, 0x81, 1, 2, 3, 4, 'x'}, 7},              /* masked */
        {{0xC2, 1, 'x'}, 3},                             /* a reserved bit */
        {{0x80, 1, 'x'}, 3},                             /* goes on with nothing */
        {{0x02, 1, 'x', 0x82, 1, 'x'}, 6},               /* begins before the last one has ended */
        {{0x82, 126, 0, 125}, 4},                        /* a length that fits into less */
        {{0x82, 127, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF}, 10},
        {{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, 10},    /* and one that is negative */
        {{0x09, 0}, 2},                                  /* a ping in parts */
        {{0x89, 126, 0, 126}, 4},                        /* and one that is too long */
        {{0x83, 0}, 2},                                  /* an opcode that nobody has given a meaning */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[12];
        uint32_t payload;
        memcpy(bytes, rows[i].bytes, sizeof bytes);
        websocket_init(&web, 7);
        be_up();
        assert_int_equal(websocket_take(&web, bytes, rows[i].size, &payload, &out), WEBSOCKET_WRONG);
    }
}

static void
any_bytes_are_answered_without_a_fault(void **state)
{
    (void)state;
    srand(11);
    for (int round = 0; round < 20000; round++) {
        uint32_t payload, size = (uint32_t)rand() % 64 + 1;
        uint8_t *bytes = malloc(size);
        websocket_init(&web, 7);
        be_up();
        out.used = 0;
        for (uint32_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)rand();
        }
        bytes[0] = rand() % 2 ? 0x82 : bytes[0];
        enum websocket_outcome outcome = websocket_take(&web, bytes, size, &payload, &out);
        assert_true(outcome != WEBSOCKET_REFUSED && payload <= size);
        free(bytes);
    }
}

int
main(void)
{
#define CLAIM(name) cmocka_unit_test_setup_teardown(name, open_web, close_web)
    const struct CMUnitTest tests[] = {
        CLAIM(the_question_is_that_of_the_rfc),
        CLAIM(an_answer_that_comes_byte_by_byte_is_taken),
        CLAIM(an_answer_that_does_not_fit_is_refused),
        CLAIM(an_endless_answer_is_refused),
        CLAIM(frames_are_masked_and_as_short_as_they_can_be),
        CLAIM(payload_comes_out_in_order_wherever_the_bytes_are_cut),
        CLAIM(a_close_frame_is_answered_and_ends),
        CLAIM(frames_that_a_server_may_not_send_are_wrong),
        CLAIM(any_bytes_are_answered_without_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
