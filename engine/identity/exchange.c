#include "engine/identity/exchange.h"

#include "codec/encode.h"
#include "engine/durable/keep.h"
#include "engine/identity/password_file.h"
#include "engine/identity/scram.h"
#include "engine/protocol/input.h"
#include "engine/security/security.h"
#include "engine/session/session.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>

#define AUTH_PACKET_MAX 1024u
static_assert(SCRAM_SERVER_FIRST_MAX + 128 < AUTH_PACKET_MAX, "the longest AUTH that is sent");

struct exchange {
    struct scram scram;
    bool again;                    /* an AUTH 0x19 began it */
    bool handling;                 /* its CONNECT is being handled: exchange_packet() frees it */
    uint64_t fingerprint;          /* of the user's line; 0: there is no such user */
    char final[SCRAM_SERVER_FINAL_MAX];
    uint32_t connect_size;
    uint8_t connect[];             /* the whole packet; none with `again` */
};

static const struct bytes method_name = {(const uint8_t *)SCRAM_METHOD, sizeof SCRAM_METHOD - 1};

static void
free_exchange(struct shard *shard, struct exchange *x)
{
    size_t size = sizeof *x + x->connect_size;
    budget_refund(shard->account, size);
    OPENSSL_cleanse(x, size);
    free(x);
}

void
exchange_forget(struct shard *shard, struct connection *c)
{
    struct exchange *x = c->extra != NULL ? c->extra->exchange : NULL;
    if (x != NULL) {
        c->extra->exchange = NULL;
        if (!x->handling) {
            free_exchange(shard, x);
        }
    }
}

static struct exchange *
make_exchange(struct shard *shard, struct connection *c, struct bytes connect)
{
    struct connection_extra *extra = connection_need_extra(shard->account, c);
    struct exchange *x = extra != NULL ? calloc(1, sizeof *x + connect.size) : NULL;
    if (x == NULL) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return NULL;
    }
    x->connect_size = connect.size;
    if (connect.size > 0) {
        memcpy(x->connect, connect.data, connect.size);
    }
    budget_charge(shard->account, sizeof *x + connect.size);
    extra->exchange = x;
    return x;
}

/* ------------------------------------------------------------------------------------------------------------------- steps */

static void
send_auth(struct shard *shard, struct connection *c, uint8_t reason, struct bytes data)
{
    struct disconnect packet = {.reason = reason};
    uint8_t bytes[AUTH_PACKET_MAX];
    properties_mark(&packet.properties, PROPERTY_AUTHENTICATION_METHOD);
    packet.properties.authentication_method = method_name;
    if (data.size > 0) {
        properties_mark(&packet.properties, PROPERTY_AUTHENTICATION_DATA);
        packet.properties.authentication_data = data;
    }
    uint32_t size = encode_disconnect(bytes, sizeof bytes, MQTT_VERSION_5, PACKET_AUTH, &packet);
    assert(size > 0);
    connection_put(shard, c, bytes, size);
}

static const struct password_file *
users_of(const struct shard *shard, const struct connection *c)
{
    return shard->security->listeners[c->listener].passwords;
}

/* X2, and a user name in CONNECT is the one in the exchange. */
static bool
is_the_right_user(const struct connection *c, const struct exchange *x, struct bytes claimed)
{
    struct bytes user = scram_user(&x->scram);
    if (x->again) {
        const struct principal *principal = session_get_extra(c->session)->principal;
        return principal != NULL && bytes_equal(principal->user, user);
    }
    return claimed.size == 0 || bytes_equal(claimed, user);
}

/* Unknown users, and those whose password is stored in another form, are challenged as all others. */
static bool
challenge(struct shard *shard, struct connection *c, struct exchange *x)
{
    struct bytes user = scram_user(&x->scram);
    const struct password_entry *entry = password_file_find(users_of(shard, c), user);
    bool known = entry != NULL && entry->password.kind == PASSWORD_SCRAM;
    struct password password;
    if (known) {
        password = entry->password;
    } else if (!password_file_scram_stand_in(users_of(shard, c), user, &password)) {
        return false;
    }
    uint8_t random[SCRAM_NONCE_RANDOM];
    char nonce[SCRAM_NONCE_SERVER_MAX + 1];
    io_random(shard->io, random, sizeof random);
    scram_make_nonce(random, nonce);
    x->fingerprint = known ? entry->fingerprint : 0;
    send_auth(shard, c, REASON_CONTINUE_AUTHENTICATION, scram_challenge(&x->scram, &password, nonce));
    OPENSSL_cleanse(&password, sizeof password);
    return true;
}

/* A reload meanwhile may have taken the user away, or changed the password. */
static bool
is_still_known(const struct shard *shard, const struct connection *c, const struct exchange *x)
{
    const struct password_file *users = users_of(shard, c);
    const struct password_entry *entry = users != NULL ? password_file_find(users, scram_user(&x->scram)) : NULL;
    return x->fingerprint != 0 && entry != NULL && entry->fingerprint == x->fingerprint;
}

/* One message of the client. 0: go on; else the reason to refuse with. */
static uint8_t
step(struct shard *shard, struct connection *c, struct exchange *x, struct bytes data, struct bytes claimed, const char **why)
{
    enum scram_answer answer;
    if (x->scram.state == SCRAM_BEGIN) {
        answer = scram_start(&x->scram, data, why);
        if (answer == SCRAM_CONTINUE && !is_the_right_user(c, x, claimed)) {
            *why = "authenticates as somebody else";
            return REASON_NOT_AUTHORIZED;
        }
        if (answer == SCRAM_CONTINUE && (users_of(shard, c) == NULL || !challenge(shard, c, x))) {
            *why = "there are no users to compare with any more";
            return REASON_NOT_AUTHORIZED;
        }
    } else {
        answer = scram_finish(&x->scram, data, x->final, why);
        if (answer == SCRAM_CONTINUE && !is_still_known(shard, c, x)) {
            *why = "a wrong password";
            return REASON_NOT_AUTHORIZED;
        }
    }
    return answer == SCRAM_CONTINUE ? REASON_SUCCESS : answer == SCRAM_MALFORMED ? REASON_PROTOCOL_ERROR : REASON_NOT_AUTHORIZED;
}

/* --------------------------------------------------------------------------------------------------------------- the first */

static enum login_verdict
let_in(struct shard *shard, struct connection *c, const struct exchange *x, const struct connect *connect, struct login_answer *answer)
{
    struct principal like = {.way = PRINCIPAL_BY_PASSWORD, .user = scram_user(&x->scram), .listener = c->listener, .credential = x->fingerprint};
    return login_accept(shard, c, connect, &like, answer);
}

static enum login_verdict
refuse(struct shard *shard, struct connection *c, struct login_answer *answer, uint8_t reason, const char *explain)
{
    if (reason == REASON_NOT_AUTHORIZED) {
        login_count_refusal(shard);
    }
    exchange_forget(shard, c);
    *answer = (struct login_answer){.reason = reason, .explain = explain};
    return LOGIN_REFUSED;
}

enum login_verdict
exchange_start(struct shard *shard, struct connection *c, const struct frame *frame, const struct connect *connect, struct login_answer *answer)
{
    if (exchange_under_way(c)) {
        assert(c->extra->exchange->scram.state == SCRAM_PROVED);
        if (!is_still_known(shard, c, c->extra->exchange)) {
            return refuse(shard, c, answer, REASON_NOT_AUTHORIZED, "a user that a reload took away");
        }
        return let_in(shard, c, c->extra->exchange, connect, answer);
    }
    if (users_of(shard, c) == NULL || !bytes_equal(connect->properties.authentication_method, method_name)) {
        return refuse(shard, c, answer, REASON_BAD_AUTHENTICATION_METHOD, "asked for enhanced authentication by a method that there is not");
    }
    struct exchange *x = make_exchange(shard, c, frame_packet(frame));
    if (x == NULL) {
        return refuse(shard, c, answer, REASON_QUOTA_EXCEEDED, "no memory for its login");
    }
    const struct properties *p = &connect->properties;
    if (properties_has(p, PROPERTY_MAXIMUM_PACKET_SIZE)) {
        c->packet_size_max = p->maximum_packet_size;
    }
    if (!properties_has(p, PROPERTY_AUTHENTICATION_DATA)) {
        send_auth(shard, c, REASON_CONTINUE_AUTHENTICATION, bytes_of(NULL, 0));
        return LOGIN_TALKING;
    }
    const char *why = NULL;
    uint8_t reason = step(shard, c, x, p->authentication_data, connect->user_name, &why);
    return reason == REASON_SUCCESS ? LOGIN_TALKING : refuse(shard, c, answer, reason, why);
}

void
exchange_add_to_connack(const struct connection *c, struct properties *p)
{
    if (exchange_under_way(c)) {
        const struct exchange *x = c->extra->exchange;
        properties_mark(p, PROPERTY_AUTHENTICATION_METHOD); /* MQTT5 [MQTT-4.12.0-5] */
        p->authentication_method = method_name;
        properties_mark(p, PROPERTY_AUTHENTICATION_DATA);
        p->authentication_data = bytes_of(x->final, (uint32_t)strlen(x->final));
    }
}

/* ---------------------------------------------------------------------------------------------------------- AUTH packets */

/* The CONNECT that has waited for it is handled like any other now. */
static void
go_on_with_connect(struct shard *shard, struct connection *c, struct exchange *x)
{
    struct frame frame;
    enum frame_status status = frame_read(bytes_of(x->connect, x->connect_size), UINT32_MAX, &frame);
    assert(status == FRAME_DONE);
    (void)status;
    x->handling = true;
    handle_connect(shard, c, &frame);
    if (c->state == CONNECTION_NEW && c->waiting) {
        x->handling = false; /* for an answer about its will: then this AUTH is handled again */
        return;
    }
    bool connected = c->state == CONNECTION_CONNECTED;
    if (connected) {
        c->extra->exchange = NULL;
        c->extra->enhanced = true;
    }
    assert(c->extra == NULL || c->extra->exchange == NULL);
    free_exchange(shard, x);
}

/* The CONNECT of this exchange, borrowed from it; an empty one if it authenticates again. */
static struct connect
connect_of(const struct exchange *x)
{
    struct frame frame;
    struct connect connect = {.version = MQTT_VERSION_5};
    if (x != NULL && x->connect_size > 0 && frame_read(bytes_of(x->connect, x->connect_size), UINT32_MAX, &frame) == FRAME_DONE) {
        decode_connect(&frame, &connect);
    }
    return connect;
}

static void
fail(struct shard *shard, struct connection *c, uint8_t reason, const char *why)
{
    if (reason == REASON_NOT_AUTHORIZED) {
        login_count_refusal(shard);
    } else {
        stats_add(&shard->stats.drops[DROP_BAD_INPUT], 1);
    }
    if (c->state == CONNECTION_NEW) {
        struct connect connect = connect_of(c->extra->exchange);
        connect_refuse(shard, c, &connect, reason, why);
    } else {
        connection_close(shard, c, reason, why); /* MQTT5 4.12.1 */
    }
}

static void
take_message(struct shard *shard, struct connection *c, struct bytes data)
{
    struct exchange *x = c->extra->exchange;
    const char *why = NULL;
    uint8_t reason = step(shard, c, x, data, connect_of(x).user_name, &why);
    if (reason != REASON_SUCCESS) {
        fail(shard, c, reason, why);
    } else if (x->scram.state != SCRAM_PROVED || c->state == CONNECTION_CLOSED) {
        return; /* challenged */
    } else if (!x->again) {
        go_on_with_connect(shard, c, x);
    } else {
        session_get_extra(c->session)->principal->credential = x->fingerprint;
        keep_session(shard, c->session);
        send_auth(shard, c, REASON_SUCCESS, bytes_of(x->final, (uint32_t)strlen(x->final)));
        exchange_forget(shard, c);
    }
}

/* What is wrong with the order, or NULL. MQTT5 4.12, 4.12.1. */
static const char *
check_order(const struct connection *c, const struct disconnect *packet)
{
    bool under_way = exchange_under_way(c);
    if (!under_way && (c->extra == NULL || !c->extra->enhanced)) {
        return "an AUTH without an authentication method at CONNECT"; /* MQTT5 [MQTT-4.12.0-7] */
    }
    if (!bytes_equal(packet->properties.authentication_method, method_name)) {
        return "an AUTH with another method than at CONNECT"; /* MQTT5 [MQTT-4.12.0-5] [MQTT-4.12.1-1] */
    }
    bool begins = packet->reason == REASON_REAUTHENTICATE;
    return begins == under_way ? "an AUTH out of order" : NULL;
}

/* Its last message was good already, and the CONNECT waited for something else. */
static bool
is_proved(const struct connection *c)
{
    return exchange_under_way(c) && !c->extra->exchange->again && c->extra->exchange->scram.state == SCRAM_PROVED;
}

void
exchange_packet(struct shard *shard, struct connection *c, const struct frame *frame)
{
    if (is_proved(c)) {
        go_on_with_connect(shard, c, c->extra->exchange);
        return;
    }
    struct disconnect packet;
    uint8_t reason = decode_disconnect(frame, MQTT_VERSION_5, PACKET_FROM_CLIENT, &packet);
    const char *wrong = reason != REASON_SUCCESS ? "a malformed AUTH" : check_order(c, &packet);
    if (wrong != NULL) {
        fail(shard, c, reason != REASON_SUCCESS ? reason : REASON_PROTOCOL_ERROR, wrong);
        return;
    }
    if (packet.reason == REASON_REAUTHENTICATE) {
        struct exchange *x = make_exchange(shard, c, bytes_of(NULL, 0));
        if (x == NULL) {
            connection_close(shard, c, REASON_QUOTA_EXCEEDED, "no memory for its login");
            return;
        }
        x->again = true;
    }
    take_message(shard, c, properties_has(&packet.properties, PROPERTY_AUTHENTICATION_DATA) ? packet.properties.authentication_data : bytes_of(NULL, 0));
}
