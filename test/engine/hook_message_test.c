#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/identity/hook_message.h"
#include "engine/identity/json.h"

#include <stdio.h>

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, (uint32_t)strlen(text));
}

static const struct hook_question plain = {
    .action = HOOK_CONNECT,
    .protocol = 5,
    .listener_port = 1883,
    .peer_port = 40000,
    .peer = "127.0.0.1",
    .client_id = {(const uint8_t *)"dev", 3},
    .user_name = {(const uint8_t *)"ann", 3},
    .password = {(const uint8_t *)"secret", 6},
};

static void
asks(const struct hook_question *question, const char *wanted)
{
    struct bytes message = hook_message_ask(question);
    assert_non_null(message.data);
    if (!bytes_equal(message, text_of(wanted))) {
        print_error("wanted %s\n   got %.*s\n", wanted, (int)message.size, (const char *)message.data);
    }
    assert_true(bytes_equal(message, text_of(wanted)));
    hook_message_forget(&message);
    assert_null(message.data);
}

static void
asks_about_a_connect(void **state)
{
    (void)state;
    asks(&plain, "{\"action\":\"connect\",\"clientid\":\"dev\",\"username\":\"ann\",\"peerhost\":\"127.0.0.1\",\"peerport\":40000,\"listener\":1883,"
                 "\"protocol\":5,\"password\":\"secret\"}");
}

static void
what_is_not_there_is_null_and_what_is_empty_is_empty(void **state)
{
    (void)state;
    struct hook_question question = plain;
    question.user_name = question.password = bytes_of(NULL, 0);
    question.client_id = bytes_of("", 0);
    asks(&question, "{\"action\":\"connect\",\"clientid\":\"\",\"username\":null,\"peerhost\":\"127.0.0.1\",\"peerport\":40000,\"listener\":1883,"
                    "\"protocol\":5,\"password\":null}");
}

static void
asks_about_a_topic_without_the_password(void **state)
{
    (void)state;
    struct hook_question question = plain;
    question.action = HOOK_SUBSCRIBE;
    question.topic = text_of("a/+/#");
    asks(&question, "{\"action\":\"subscribe\",\"clientid\":\"dev\",\"username\":\"ann\",\"peerhost\":\"127.0.0.1\",\"peerport\":40000,\"listener\":1883,"
                    "\"topic\":\"a/+/#\"}");
}

/* Whoever chooses a client identifier does not get to write members of the question. */
static void
texts_cannot_leave_their_string(void **state)
{
    (void)state;
    struct hook_question question = plain;
    question.action = HOOK_PUBLISH;
    question.client_id = text_of("a\",\"username\":\"admin\\");
    question.topic = text_of("x\ny\x1f\xc3\xa4");
    asks(&question, "{\"action\":\"publish\",\"clientid\":\"a\\\",\\\"username\\\":\\\"admin\\\\\",\"username\":\"ann\",\"peerhost\":\"127.0.0.1\","
                    "\"peerport\":40000,\"listener\":1883,\"topic\":\"x\\u000ay\\u001f\xc3\xa4\"}");
}

static void
what_was_written_can_be_read_whatever_the_bytes(void **state)
{
    (void)state;
    char id[200];
    for (unsigned i = 0; i < sizeof id; i++) {
        id[i] = (char)(i % 126 + 1);
    }
    struct hook_question question = plain;
    question.client_id = bytes_of(id, sizeof id);
    struct bytes message = hook_message_ask(&question), back;
    cJSON *object = json_read(message, 32);
    assert_non_null(object);
    assert_true(json_text(json_member(object, "clientid"), &back) && bytes_equal(back, question.client_id));
    cJSON_Delete(object);
    hook_message_forget(&message);
}

static void
a_password_that_is_no_text_goes_as_base64(void **state)
{
    (void)state;
    struct hook_question question = plain;
    question.password = bytes_of("\xff\0\xfe", 3);
    struct bytes message = hook_message_ask(&question), back;
    cJSON *object = json_read(message, 32);
    assert_non_null(object);
    assert_null(json_member(object, "password"));
    assert_true(json_text(json_member(object, "password_base64"), &back) && bytes_equal(back, text_of("/wD+")));
    cJSON_Delete(object);
    hook_message_forget(&message);
}

static void
names_the_certificate_where_there_is_one(void **state)
{
    (void)state;
    struct hook_question question = plain;
    question.certificate = text_of("device-7");
    struct bytes message = hook_message_ask(&question);
    assert_non_null(memmem(message.data, message.size, ",\"certificate\":\"device-7\"}", 26));
    hook_message_forget(&message);
}

static struct hook_answer
judge(uint16_t status, const char *body)
{
    return hook_message_judge(status, text_of(body));
}

static void
understands_the_answers_that_there_are(void **state)
{
    (void)state;
    assert_int_equal(judge(200, "{\"result\":\"allow\"}").result, HOOK_ALLOW);
    assert_int_equal(judge(200, "{\"result\": \"deny\", \"other\": [1, 2]}").result, HOOK_DENY);
    assert_int_equal(judge(200, "{\"result\":\"ignore\"}").result, HOOK_IGNORE);
    assert_int_equal(judge(204, "").result, HOOK_ALLOW);
    assert_int_equal(judge(400, "").result, HOOK_DENY);
    assert_int_equal(judge(401, "{\"result\":\"allow\"}").result, HOOK_DENY);
    assert_int_equal(judge(499, "x").result, HOOK_DENY);
}

static void
everything_else_is_a_failure(void **state)
{
    (void)state;
    static const uint16_t statuses[] = {0, 100, 201, 202, 301, 302, 307, 308, 500, 502, 503, 504, 599, 999};
    for (unsigned i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        assert_int_equal(judge(statuses[i], "{\"result\":\"allow\"}").result, HOOK_FAILED);
    }
    static const char *const bodies[] = {"", "ok", "allow", "true", "[]", "{}", "{\"result\":true}", "{\"result\":\"Allow\"}", "{\"result\":\"allow\"", "{\"Result\":\"allow\"}",
                                         "{\"result\":\"deny\",\"result\":\"allow\"}", "{\"result\":\"allow\"}{}", "{\"result\":\"allow\\u0000\"}",
                                         "{\"result\":\"allow\",\"is_superuser\":\"yes\"}", "{\"result\":\"allow\",\"is_superuser\":1}",
                                         "{\"result\":\"allow\",\"expire_at\":\"soon\"}", "{\"result\":\"allow\",\"expire_at\":-1}", "{\"result\":\"allow\",\"expire_at\":1e99}"};
    for (unsigned i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        assert_int_equal(judge(200, bodies[i]).result, HOOK_FAILED);
    }
}

static void
reads_what_goes_with_an_answer(void **state)
{
    (void)state;
    struct hook_answer answer = judge(200, "{\"result\":\"allow\",\"is_superuser\":true,\"expire_at\":1700000000.5}");
    assert_true(answer.superuser);
    assert_int_equal(answer.expires_wall_ms, 1700000000500);
    answer = judge(200, "{\"result\":\"allow\",\"is_superuser\":false,\"expire_at\":null}");
    assert_false(answer.superuser);
    assert_int_equal(answer.expires_wall_ms, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_about_a_connect),
        cmocka_unit_test(what_is_not_there_is_null_and_what_is_empty_is_empty),
        cmocka_unit_test(asks_about_a_topic_without_the_password),
        cmocka_unit_test(texts_cannot_leave_their_string),
        cmocka_unit_test(what_was_written_can_be_read_whatever_the_bytes),
        cmocka_unit_test(a_password_that_is_no_text_goes_as_base64),
        cmocka_unit_test(names_the_certificate_where_there_is_one),
        cmocka_unit_test(understands_the_answers_that_there_are),
        cmocka_unit_test(everything_else_is_a_failure),
        cmocka_unit_test(reads_what_goes_with_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
