#include "engine/identity/hook_message.h"

#include "engine/identity/base64.h"
#include "engine/identity/json.h"

#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_VALUES_MAX 64
#define DATE_MAX 1e12

/* Grows as it is written; after the first failure nothing moves any more. */
struct text {
    char *at;
    uint32_t used, room;
    bool failed;
};

static void
put(struct text *text, const void *data, uint32_t size)
{
    if (!text->failed && size > text->room - text->used) {
        uint32_t room = (text->room + size) * 2;
        char *larger = malloc(room);
        text->failed = larger == NULL;
        if (text->failed) {
            return;
        }
        memcpy(larger, text->at, text->used);
        OPENSSL_cleanse(text->at, text->used); /* realloc would leave a password behind */
        free(text->at);
        text->at = larger;
        text->room = room;
    }
    if (!text->failed && size > 0) {
        memcpy(text->at + text->used, data, size);
        text->used += size;
    }
}

static void
put_words(struct text *text, const char *words)
{
    put(text, words, (uint32_t)strlen(words));
}

/* A JSON string. Only what must be escaped is: everything else is UTF-8 already. */
static void
put_string(struct text *text, struct bytes string)
{
    put_words(text, "\"");
    uint32_t start = 0;
    for (uint32_t i = 0; i < string.size; i++) {
        uint8_t c = string.data[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            continue;
        }
        char escaped[8];
        put(text, string.data + start, i - start);
        put(text, escaped, (uint32_t)snprintf(escaped, sizeof escaped, c == '"' || c == '\\' ? "\\%c" : "\\u%04x", c));
        start = i + 1;
    }
    put(text, string.data + start, string.size - start);
    put_words(text, "\"");
}

static void
put_member(struct text *text, const char *name, struct bytes value)
{
    put_words(text, ",\"");
    put_words(text, name);
    put_words(text, "\":");
    if (value.data == NULL) {
        put_words(text, "null");
    } else {
        put_string(text, value);
    }
}

static void
put_number(struct text *text, const char *name, unsigned value)
{
    char member[48];
    put(text, member, (uint32_t)snprintf(member, sizeof member, ",\"%s\":%u", name, value));
}

/* A password is any bytes (MQTT5 3.1.3.6). */
static void
put_password(struct text *text, struct bytes password)
{
    if (password.data == NULL || utf8_check(password)) {
        put_member(text, "password", password);
        return;
    }
    uint32_t size = base64_size(password.size, BASE64_PADDED);
    char *encoded = malloc(size + 1);
    text->failed |= encoded == NULL;
    if (encoded != NULL) {
        base64_encode(password, BASE64_PADDED, encoded);
        put_member(text, "password_base64", bytes_of(encoded, size));
        OPENSSL_cleanse(encoded, size);
        free(encoded);
    }
}

struct bytes
hook_message_ask(const struct hook_question *q)
{
    static const char *const actions[] = {[HOOK_CONNECT] = "connect", [HOOK_PUBLISH] = "publish", [HOOK_SUBSCRIBE] = "subscribe"};
    struct text text = {.room = 256 + q->client_id.size + q->user_name.size + q->topic.size + q->password.size};
    text.at = malloc(text.room);
    text.failed = text.at == NULL;
    put_words(&text, "{\"action\":\"");
    put_words(&text, actions[q->action]);
    put_words(&text, "\"");
    put_member(&text, "clientid", q->client_id);
    put_member(&text, "username", q->user_name);
    put_member(&text, "peerhost", bytes_of(q->peer, (uint32_t)strlen(q->peer)));
    put_number(&text, "peerport", q->peer_port);
    put_number(&text, "listener", q->listener_port);
    if (q->action == HOOK_CONNECT) {
        put_number(&text, "protocol", q->protocol);
        put_password(&text, q->password);
        if (q->certificate.size > 0) {
            put_member(&text, "certificate", q->certificate);
        }
    } else {
        put_member(&text, "topic", q->topic);
    }
    put_words(&text, "}");
    struct bytes message = bytes_of(text.at, text.used);
    if (text.failed) {
        hook_message_forget(&message);
    }
    return message;
}

void
hook_message_forget(struct bytes *message)
{
    if (message->data != NULL) {
        OPENSSL_cleanse((void *)(uintptr_t)message->data, message->size);
        free((void *)(uintptr_t)message->data);
    }
    *message = bytes_of(NULL, 0);
}

/* ----------------------------------------------------------------------------------------------------------------- answers */

static uint8_t
result_named(const cJSON *value)
{
    static const char *const names[] = {[HOOK_ALLOW] = "allow", [HOOK_DENY] = "deny", [HOOK_IGNORE] = "ignore"};
    struct bytes text;
    for (uint8_t i = 0; json_text(value, &text) && i < HOOK_FAILED; i++) {
        if (bytes_equal(text, bytes_of(names[i], (uint32_t)strlen(names[i])))) {
            return i;
        }
    }
    return HOOK_FAILED;
}

/* False if a member has another type than it must have. */
static bool
read_extras(const cJSON *object, struct hook_answer *answer)
{
    const cJSON *superuser = json_member(object, "is_superuser"), *expiry = json_member(object, "expire_at");
    bool expires = expiry != NULL && !cJSON_IsNull(expiry);
    if ((superuser != NULL && !cJSON_IsBool(superuser)) || (expires && !cJSON_IsNumber(expiry))) {
        return false;
    }
    answer->superuser = cJSON_IsTrue(superuser);
    if (!expires) {
        return true;
    }
    if (!(expiry->valuedouble > 0 && expiry->valuedouble <= DATE_MAX)) {
        return false;
    }
    answer->expires_wall_ms = (uint64_t)(expiry->valuedouble * 1000);
    return true;
}

static struct hook_answer
judge_body(struct bytes body)
{
    struct hook_answer answer = {.result = HOOK_FAILED};
    cJSON *object = json_read(body, ANSWER_VALUES_MAX);
    if (object != NULL) {
        answer.result = result_named(json_member(object, "result"));
        if (answer.result != HOOK_FAILED && !read_extras(object, &answer)) {
            answer = (struct hook_answer){.result = HOOK_FAILED};
        }
    }
    cJSON_Delete(object);
    return answer;
}

struct hook_answer
hook_message_judge(uint16_t status, struct bytes body)
{
    if (status == 200) {
        return judge_body(body);
    }
    return (struct hook_answer){.result = status == 204 ? HOOK_ALLOW : status >= 400 && status < 500 ? HOOK_DENY : HOOK_FAILED};
}
