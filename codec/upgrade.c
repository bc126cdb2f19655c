#include "codec/upgrade.h"
#include "codec/http.h"
#include "codec/sha1.h"

#include <assert.h>

#define KEY_SIZE 24u /* base64 of 16 bytes */
#define DIGEST_TEXT_SIZE 28u

enum {
    HTTP_BAD_REQUEST = 400,
    HTTP_FORBIDDEN = 403,
    HTTP_METHOD_NOT_ALLOWED = 405,
    HTTP_UPGRADE_REQUIRED = 426,
    HTTP_FIELDS_TOO_LARGE = 431,
    HTTP_UNAVAILABLE = 503,
    HTTP_VERSION_NOT_SUPPORTED = 505,
};

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* What the fields have said so far. */
struct fields {
    bool host, upgrade, connection;
    bool version_given, version_known;
    bool mqtt_offered;
    struct bytes old_mqtt; /* `mqttv3.1` where it was offered */
};

/* --------------------------------------------------------------------------------------------------------- single fields */

/* RFC 6455 4.1: base64 of 16 bytes; of the last digit before the padding only the high 2 bits count, which are not looked at. */
static bool
key_is_valid(struct bytes key)
{
    if (key.size != KEY_SIZE || memcmp(key.data + KEY_SIZE - 2, "==", 2) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < KEY_SIZE - 2; i++) {
        if (key.data[i] == '\0' || strchr(base64_digits, key.data[i]) == NULL) {
            return false;
        }
    }
    return true;
}

static void
choose_protocol(struct upgrade *out, struct fields *seen, struct bytes list)
{
    struct bytes item;
    while (http_next_item(&list, &item)) {
        if (http_is(item, "mqtt")) {
            seen->mqtt_offered = true;
            out->protocol = item;
        } else if (http_is(item, "mqttv3.1") && !seen->mqtt_offered) {
            out->protocol = item;
        }
    }
}

static void
add_forwarded(struct upgrade_forwarded *list, struct bytes address)
{
    if (list->count == UPGRADE_FORWARDED_MAX) {
        memmove(list->at, list->at + 1, (UPGRADE_FORWARDED_MAX - 1) * sizeof list->at[0]);
        list->count--;
    }
    list->at[list->count++] = address;
}

static void
add_x_forwarded_for(struct upgrade_forwarded *list, struct bytes value)
{
    struct bytes item;
    while (http_next_item(&value, &item)) {
        add_forwarded(list, item);
    }
}

/*
 * RFC 7239 4: each element is a list of name=value pairs; one without `for` hides whom it speaks of, and stays in the list as an empty address. False: quotes that are
 * not sound, behind which a client could hide what the proxy has appended.
 */
static bool
add_elements(struct upgrade_forwarded *list, struct bytes value)
{
    struct bytes element;
    bool sound = http_quotes_are_sound(value);
    while (sound && http_next_element(&value, &element)) {
        add_forwarded(list, http_parameter(element, "for"));
    }
    return sound;
}

/* One field. False: the request is bad. */
static bool
read_field(struct upgrade *out, struct fields *seen, const struct http_field *field)
{
    struct bytes name = field->name, value = field->value;
    if (http_same(name, "host")) {
        bool second = seen->host;
        seen->host = true;
        return !second;
    }
    if (http_same(name, "upgrade")) {
        seen->upgrade |= http_has_token(value, "websocket");
    } else if (http_same(name, "connection")) {
        seen->connection |= http_has_token(value, "upgrade");
    } else if (http_same(name, "sec-websocket-key")) {
        bool second = out->key.size > 0;
        out->key = value;
        return !second && key_is_valid(value);
    } else if (http_same(name, "sec-websocket-version")) {
        bool second = seen->version_given;
        seen->version_given = true;
        seen->version_known = http_is(value, "13");
        return !second;
    } else if (http_same(name, "sec-websocket-protocol")) {
        choose_protocol(out, seen, value);
    } else if (http_same(name, "origin")) {
        bool second = out->origin.size > 0;
        out->origin = value;
        return !second;
    } else if (http_same(name, "x-forwarded-for")) {
        add_x_forwarded_for(&out->x_forwarded_for, value);
    } else if (http_same(name, "forwarded")) {
        return add_elements(&out->forwarded, value);
    } else if (http_same(name, "content-length")) {
        return http_is(value, "0");
    } else if (http_same(name, "transfer-encoding")) {
        return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------ the whole request */

static enum upgrade_status
refuse(struct upgrade *out, uint16_t status)
{
    out->refusal = status;
    return UPGRADE_REFUSED;
}

/* `GET target HTTP/1.1`. 0, or the status to refuse with. */
static uint16_t
read_request_line(struct bytes line, struct upgrade *out)
{
    struct bytes method, version;
    if (!http_split_request_line(line, &method, &out->target, &version)) {
        return HTTP_BAD_REQUEST;
    }
    if (!http_is(method, "GET")) {
        return HTTP_METHOD_NOT_ALLOWED;
    }
    bool http = version.size == 8 && memcmp(version.data, "HTTP/", 5) == 0;
    return !http ? HTTP_BAD_REQUEST : http_is(version, "HTTP/1.1") ? 0 : HTTP_VERSION_NOT_SUPPORTED;
}

/* In the order in which a client would want to know. */
static uint16_t
judge(const struct upgrade *request, const struct fields *seen)
{
    if (!seen->host) {
        return HTTP_BAD_REQUEST;
    }
    if (!seen->upgrade || !seen->connection || !seen->version_known) {
        return HTTP_UPGRADE_REQUIRED;
    }
    return request->key.size == 0 || request->protocol.size == 0 ? HTTP_BAD_REQUEST : 0;
}

static enum upgrade_status
read_request(struct bytes header, struct upgrade *out)
{
    struct fields seen = {0};
    struct bytes line;
    uint16_t status = http_next_line(&header, &line) ? read_request_line(line, out) : HTTP_BAD_REQUEST;
    if (status != 0) {
        return refuse(out, status);
    }
    while (http_next_line(&header, &line) && line.size > 0) {
        struct http_field field;
        if (!http_split_field(line, &field) || !read_field(out, &seen, &field)) {
            return refuse(out, HTTP_BAD_REQUEST);
        }
    }
    status = judge(out, &seen);
    return status != 0 ? refuse(out, status) : UPGRADE_DONE;
}

/* Size of a header up to and with its empty line; 0: not there yet. */
static uint32_t
header_end(struct bytes input)
{
    const uint8_t *end = input.size < 4 ? NULL : memmem(input.data, input.size, "\r\n\r\n", 4);
    return end == NULL ? 0 : (uint32_t)(end - input.data) + 4;
}

/* What the start alone says: another protocol on this port must not be left waiting. 0: nothing yet. */
static uint16_t
refuse_early(struct bytes input)
{
    static const char get[] = "GET ";
    uint32_t size = input.size < 4 ? input.size : 4;
    if (size == 0 || memcmp(input.data, get, size) == 0) {
        return 0;
    }
    return input.data[0] >= 'A' && input.data[0] <= 'Z' ? HTTP_METHOD_NOT_ALLOWED : HTTP_BAD_REQUEST;
}

enum upgrade_status
upgrade_read(struct bytes input, uint32_t size_max, struct upgrade *out)
{
    memset(out, 0, sizeof *out);
    uint16_t early = refuse_early(input);
    if (early != 0) {
        return refuse(out, early);
    }
    uint32_t size = header_end(bytes_of(input.data, input.size < size_max ? input.size : size_max));
    if (size == 0) {
        return input.size >= size_max ? refuse(out, HTTP_FIELDS_TOO_LARGE) : UPGRADE_NEED_MORE;
    }
    out->size = size;
    return read_request(bytes_of(input.data, size), out);
}

/* ---------------------------------------------------------------------------------------------------------------- answers */

static void
put_text(struct writer *w, const char *text)
{
    writer_put(w, bytes_of(text, (uint32_t)strlen(text)));
}

/* 20 bytes in 28 characters: the last group has 2 bytes, and one character of padding. */
static void
write_base64(const uint8_t digest[SHA1_SIZE], char out[DIGEST_TEXT_SIZE])
{
    for (uint32_t i = 0; i < SHA1_SIZE; i += 3, out += 4) {
        uint32_t third = i + 2 < SHA1_SIZE ? digest[i + 2] : 0;
        uint32_t group = (uint32_t)digest[i] << 16 | (uint32_t)digest[i + 1] << 8 | third;
        for (unsigned j = 0; j < 4; j++) {
            out[j] = base64_digits[group >> (18 - 6 * j) & 63];
        }
    }
    out[-1] = '=';
}

/* RFC 6455 4.2.2: the key and a text that no other protocol appends to one. */
static void
write_accept_key(struct bytes key, char out[DIGEST_TEXT_SIZE])
{
    uint8_t text[KEY_SIZE + 36];
    uint8_t digest[SHA1_SIZE];
    struct writer w = writer_of(text, sizeof text);
    writer_put(&w, key);
    put_text(&w, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    assert(!w.failed);
    sha1_digest(bytes_of(text, sizeof text), digest);
    write_base64(digest, out);
}

uint32_t
upgrade_write_accept(uint8_t out[UPGRADE_ANSWER_MAX], const struct upgrade *request)
{
    char accept[DIGEST_TEXT_SIZE];
    write_accept_key(request->key, accept);
    struct writer w = writer_of(out, UPGRADE_ANSWER_MAX);
    put_text(&w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ");
    writer_put(&w, bytes_of(accept, sizeof accept));
    put_text(&w, "\r\nSec-WebSocket-Protocol: ");
    writer_put(&w, request->protocol);
    put_text(&w, "\r\n\r\n");
    assert(!w.failed);
    return (uint32_t)(w.at - out);
}

/* The status line, and the field that the status asks for. */
static const char *
refusal_words(uint16_t status)
{
    switch (status) {
    case HTTP_FORBIDDEN:
        return "403 Forbidden\r\n";
    case HTTP_METHOD_NOT_ALLOWED:
        return "405 Method Not Allowed\r\nAllow: GET\r\n";
    case HTTP_UPGRADE_REQUIRED:
        return "426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    case HTTP_FIELDS_TOO_LARGE:
        return "431 Request Header Fields Too Large\r\n";
    case HTTP_UNAVAILABLE:
        return "503 Service Unavailable\r\n";
    case HTTP_VERSION_NOT_SUPPORTED:
        return "505 HTTP Version Not Supported\r\n";
    default:
        return "400 Bad Request\r\n";
    }
}

uint32_t
upgrade_write_refusal(uint8_t out[UPGRADE_ANSWER_MAX], uint16_t status)
{
    struct writer w = writer_of(out, UPGRADE_ANSWER_MAX);
    put_text(&w, "HTTP/1.1 ");
    put_text(&w, refusal_words(status));
    /* RFC 9110 7.8: who sends Upgrade names it in Connection. */
    put_text(&w, status == HTTP_UPGRADE_REQUIRED ? "Connection: Upgrade, close\r\n" : "Connection: close\r\n");
    put_text(&w, "Content-Length: 0\r\n\r\n");
    assert(!w.failed);
    return (uint32_t)(w.at - out);
}
