#include "bench/load/websocket.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#define FIN 0x80u
#define RESERVED 0x70u
#define MASKED 0x80u
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum opcode {
    OP_CONTINUATION = 0,
    OP_TEXT = 1,
    OP_BINARY = 2,
    OP_CLOSE = 8,
    OP_PING = 9,
    OP_PONG = 10,
};

/* xorshift64 */
static uint64_t
next_random(struct websocket *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

void
websocket_init(struct websocket *w, uint64_t seed)
{
    *w = (struct websocket){.random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1};
}

/* ------------------------------------------------------------------------------------------------------------- upgrade */

void
websocket_ask(struct websocket *w, const char *host, uint16_t port, const char *path, struct pile *out)
{
    uint64_t random[2] = {next_random(w), next_random(w)};
    char key[WEBSOCKET_KEY_ROOM], salted[WEBSOCKET_KEY_ROOM + sizeof GUID];
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_size = 0;

    EVP_EncodeBlock((uint8_t *)key, (const uint8_t *)random, sizeof random);
    snprintf(salted, sizeof salted, "%s" GUID, key);
    EVP_Digest(salted, strlen(salted), digest, &digest_size, EVP_sha1(), NULL);
    EVP_EncodeBlock((uint8_t *)w->accept, digest, (int)digest_size);

    uint32_t room = 256u + (uint32_t)(strlen(host) + strlen(path));
    out->used += (uint32_t)snprintf((char *)pile_reserve(out, room), room,
        "GET %s HTTP/1.1\r\nHost: %s:%u\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n",
        path, host, port, key);
}

/* The value of a header, without blanks around it; the answer ends with a zero. */
static struct bytes
find_header(const char *answer, const char *name)
{
    size_t size = strlen(name);

    for (const char *line = strstr(answer, "\r\n"); line != NULL && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, size) != 0 || line[2 + size] != ':') {
            continue;
        }
        const char *value = line + 3 + size;
        value += strspn(value, " \t");
        size_t length = strcspn(value, "\r");
        while (length > 0 && (value[length - 1] == ' ' || value[length - 1] == '\t')) {
            length--;
        }
        return bytes_of(value, (uint32_t)length);
    }
    return bytes_of("", 0);
}

static bool
has_value(const char *answer, const char *name, const char *value, bool any_case)
{
    struct bytes found = find_header(answer, name);
    if (found.size != strlen(value)) {
        return false;
    }
    return any_case ? strncasecmp((const char *)found.data, value, found.size) == 0 : memcmp(found.data, value, found.size) == 0;
}

static bool
fits(const struct websocket *w, const char *answer)
{
    return w->status == 101 && has_value(answer, "Upgrade", "websocket", true) && has_value(answer, "Connection", "Upgrade", true) &&
        has_value(answer, "Sec-WebSocket-Accept", w->accept, false) && has_value(answer, "Sec-WebSocket-Protocol", "mqtt", false);
}

/* How many bytes of `data` belong to the answer; `*outcome` when it is whole. */
static uint32_t
take_answer(struct websocket *w, const uint8_t *data, uint32_t size, enum websocket_outcome *outcome)
{
    uint32_t taken = 0;
    char *answer = (char *)w->answer;

    while (taken < size && w->answer_used < sizeof w->answer - 1) {
        w->answer[w->answer_used++] = data[taken++];
        if (w->answer_used < 4 || memcmp(w->answer + w->answer_used - 4, "\r\n\r\n", 4) != 0) {
            continue;
        }
        w->answer[w->answer_used] = '\0';
        w->status = 0;
        (void)sscanf(answer, "HTTP/1.1 %d", &w->status);
        w->up = fits(w, answer);
        w->answer_used = 0;
        *outcome = w->up ? WEBSOCKET_GOOD : WEBSOCKET_REFUSED;
        return taken;
    }
    if (w->answer_used == sizeof w->answer - 1) {
        *outcome = WEBSOCKET_REFUSED;
    }
    return taken;
}

/* -------------------------------------------------------------------------------------------------------------- frames */

static uint8_t
opcode_of(const struct websocket *w)
{
    return w->head[0] & 0x0F;
}

static bool
is_control(const struct websocket *w)
{
    return (w->head[0] & 0x08) != 0;
}

/* Size of the head whose first two bytes are there. */
static uint32_t
head_size(const struct websocket *w)
{
    uint8_t length = w->head[1] & 0x7F;
    return length == 127 ? 10 : length == 126 ? 4 : 2;
}

static bool
is_lawful(const struct websocket *w)
{
    uint8_t length = w->head[1] & 0x7F;
    bool whole = (w->head[0] & FIN) != 0;

    if ((w->head[0] & RESERVED) != 0 || (w->head[1] & MASKED) != 0) {
        return false;
    }
    if ((length == 126 && w->left < 126) || (length == 127 && (w->left <= UINT16_MAX || w->left >> 63 != 0))) {
        return false;
    }
    switch (opcode_of(w)) {
    case OP_CONTINUATION: return w->in_message;
    case OP_BINARY: return !w->in_message;
    case OP_CLOSE:
    case OP_PING:
    case OP_PONG: return whole && w->left <= WEBSOCKET_CONTROL_MAX;
    default: return false;
    }
}

static bool
read_head(struct websocket *w)
{
    uint8_t length = w->head[1] & 0x7F;

    w->left = length;
    if (length >= 126) {
        w->left = 0;
        for (uint32_t i = 2; i < head_size(w); i++) {
            w->left = w->left << 8 | w->head[i];
        }
    }
    if (!is_lawful(w)) {
        return false;
    }
    if (!is_control(w)) {
        w->in_message = (w->head[0] & FIN) == 0;
    }
    return true;
}

static void
append_head(uint8_t opcode, uint32_t size, struct pile *out)
{
    uint8_t *head = pile_reserve(out, 14);

    head[0] = (uint8_t)(FIN | opcode);
    if (size < 126) {
        head[1] = (uint8_t)(MASKED | size);
        out->used += 2;
    } else if (size <= UINT16_MAX) {
        head[1] = MASKED | 126;
        head[2] = (uint8_t)(size >> 8);
        head[3] = (uint8_t)size;
        out->used += 4;
    } else {
        head[1] = MASKED | 127;
        memset(head + 2, 0, 4);
        for (int i = 0; i < 4; i++) {
            head[6 + i] = (uint8_t)(size >> (24 - 8 * i));
        }
        out->used += 10;
    }
}

static void
append_masked(struct websocket *w, struct bytes payload, struct pile *out)
{
    uint8_t *at = pile_reserve(out, 4 + payload.size);
    uint32_t half = (uint32_t)(next_random(w) >> 32), done = 0;
    uint64_t mask = (uint64_t)half << 32 | half, word;
    uint8_t key[4];

    memcpy(key, &half, 4);
    memcpy(at, key, 4);
    at += 4;
    for (; done + 8 <= payload.size; done += 8) {
        memcpy(&word, payload.data + done, 8);
        word ^= mask;
        memcpy(at + done, &word, 8);
    }
    for (; done < payload.size; done++) {
        at[done] = payload.data[done] ^ key[done & 3];
    }
    out->used += 4 + payload.size;
}

static void
append_frame(struct websocket *w, uint8_t opcode, struct bytes payload, struct pile *out)
{
    append_head(opcode, payload.size, out);
    append_masked(w, payload, out);
}

void
websocket_frame(struct websocket *w, struct bytes payload, struct pile *out)
{
    append_frame(w, OP_BINARY, payload, out);
}

/* A control frame is whole. */
static enum websocket_outcome
obey(struct websocket *w, struct pile *out)
{
    struct bytes payload = bytes_of(w->answer, w->answer_used);

    w->answer_used = 0;
    switch (opcode_of(w)) {
    case OP_PING: append_frame(w, OP_PONG, payload, out); return WEBSOCKET_GOOD;
    case OP_CLOSE: append_frame(w, OP_CLOSE, payload, out); return WEBSOCKET_ENDED;
    default: return WEBSOCKET_GOOD;
    }
}

/* Takes what there is of the current frame's payload. */
static uint32_t
take_payload(struct websocket *w, uint8_t *data, uint32_t at, uint32_t size, uint32_t *payload)
{
    uint32_t part = w->left < size - at ? (uint32_t)w->left : size - at;

    if (is_control(w)) {
        memcpy(w->answer + w->answer_used, data + at, part);
        w->answer_used += part;
    } else {
        memmove(data + *payload, data + at, part);
        *payload += part;
    }
    w->left -= part;
    return part;
}

static enum websocket_outcome
end_frame(struct websocket *w, struct pile *out)
{
    enum websocket_outcome outcome = is_control(w) ? obey(w, out) : WEBSOCKET_GOOD;
    w->head_used = 0;
    return outcome;
}

/* True when the head is whole. */
static bool
take_head(struct websocket *w, uint8_t byte)
{
    w->head[w->head_used++] = byte;
    return w->head_used >= 2 && w->head_used == head_size(w);
}

enum websocket_outcome
websocket_take(struct websocket *w, uint8_t *data, uint32_t size, uint32_t *payload, struct pile *out)
{
    enum websocket_outcome outcome = WEBSOCKET_GOOD;
    uint32_t at = w->up ? 0 : take_answer(w, data, size, &outcome);
    bool in_payload = w->head_used >= 2 && w->head_used == head_size(w);

    *payload = 0;
    while (outcome == WEBSOCKET_GOOD && w->up && (at < size || (in_payload && w->left == 0))) {
        if (!in_payload) {
            in_payload = take_head(w, data[at++]);
            if (in_payload && !read_head(w)) {
                return WEBSOCKET_WRONG;
            }
            continue;
        }
        at += take_payload(w, data, at, size, payload);
        if (w->left == 0) {
            outcome = end_frame(w, out);
            in_payload = false;
        }
    }
    return outcome;
}
