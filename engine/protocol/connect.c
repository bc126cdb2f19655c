/* CONNECT, DISCONNECT and AUTH: how a connection gets its session, and how it says goodbye. */
#include "engine/durable/keep.h"
#include "engine/durable/promise.h"
#include "engine/identity/exchange.h"
#include "engine/identity/http_hook.h"
#include "engine/identity/login.h"
#include "engine/journal/journal.h"
#include "engine/limits/limits.h"
#include "engine/log.h"
#include "engine/protocol/input.h"
#include "engine/session/session.h"

#include "codec/encode.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* Random characters of an assigned client identifier. */
#define ASSIGNED_ID_RANDOM 22u
#define CLIENT_ID_MAX 65535u

/* With the names that it gave itself: whose password was wrong, an operator wants to know. */
static void
tell_refused(const struct connection *c, const struct connect *connect, uint8_t reason, const char *explain)
{
    struct bytes id = connect->client_id, user = connect->user_name;
    bool named = user.size > 0;
    log_peer(CONFIG_LOG_NOTICE, reason & (LOG_REASONS_MAX - 1), "Client %.*s [%s]%s%.*s%s refused: %s (0x%02X %s).", id.size > 0 ? (int)id.size : 1,
             id.size > 0 ? (const char *)id.data : "?", connection_peer_text(c), named ? " as u'" : "", (int)user.size, (const char *)user.data, named ? "'" : "",
             explain, reason, reason_name(reason));
}

void
connect_refuse(struct shard *shard, struct connection *c, const struct connect *connect, uint8_t reason, const char *explain)
{
    /* A level that we do not speak is answered in 3.1.1's form below 5 (MQTT3 [MQTT-3.1.2-2]), in version 5's above. */
    uint8_t version = connect->version >= MQTT_VERSION_5 ? MQTT_VERSION_5 : MQTT_VERSION_311;
    tell_refused(c, connect, reason, explain);
    if (version != MQTT_VERSION_5 && (reason == REASON_MALFORMED_PACKET || reason == REASON_PROTOCOL_ERROR)) {
        limits_note_refusal(shard, c, reason);
        connection_close(shard, c, reason, NULL); /* MQTT3 [MQTT-3.1.4-1]: closed without a CONNACK */
        return;
    }
    struct connack connack = {.reason = reason};
    uint8_t bytes[16];
    uint32_t size = encode_connack(bytes, sizeof bytes, version, &connack);
    connection_put(shard, c, bytes, size);
    limits_note_refusal(shard, c, reason);
    connection_close(shard, c, reason, NULL);
}

static void
refuse_banned(struct shard *shard, struct connection *c, const struct connect *connect)
{
    stats_add(&shard->stats.drops[DROP_BANNED], 1);
    connect_refuse(shard, c, connect, REASON_BANNED, "it is banned");
}

/*
 * Rules beyond the packet itself. Returns 0, or the reason to refuse with.
 */
static uint8_t
check_policy(const struct shard *shard, const struct connect *connect, const char **explain)
{
    const struct config *config = shard->config;
    if (connect->client_id.size == 0 && !config->allow_zero_length_clientid) {
        *explain = "an empty client identifier is not allowed here";
        return REASON_CLIENT_IDENTIFIER_NOT_VALID;
    }
    if (connect->version != MQTT_VERSION_5 && config->max_keepalive_s != 0 && config->max_keepalive_s != UINT16_MAX &&
        (connect->keep_alive_s > config->max_keepalive_s || connect->keep_alive_s == 0)) {
        *explain = "a keep-alive above max_keepalive, and its version cannot be told another";
        return REASON_CLIENT_IDENTIFIER_NOT_VALID;
    }
    if (connect->has_will && connect->will.retain && !config->retain_available) {
        *explain = "a retained will, and retained messages are off";
        return REASON_RETAIN_NOT_SUPPORTED; /* MQTT5 [MQTT-3.2.2-13] */
    }
    if (connect->has_will && input_topic_is_ours(connect->will.topic)) {
        *explain = "a will below $SYS or $CONTROL";
        return REASON_NOT_AUTHORIZED;
    }
    return REASON_SUCCESS;
}

static uint8_t
check_will_qos(const struct shard *shard, const struct connection *c, const struct connect *connect)
{
    uint8_t max_qos = shard->broker->listeners[c->listener].max_qos;
    /* MQTT5 [MQTT-3.2.2-12]. */
    return connect->has_will && connect->will.qos > max_qos ? REASON_QOS_NOT_SUPPORTED : REASON_SUCCESS;
}

/* An identifier of our own making whose home is this shard, so that it need not move and a reconnect finds it here. */
static uint32_t
assign_client_id(struct shard *shard, uint8_t *out, uint32_t room)
{
    static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint32_t prefix = (uint32_t)strlen(shard->config->auto_id_prefix);
    if (prefix > room - ASSIGNED_ID_RANDOM) {
        prefix = room - ASSIGNED_ID_RANDOM;
    }
    memcpy(out, shard->config->auto_id_prefix, prefix);
    do {
        uint8_t random[ASSIGNED_ID_RANDOM];
        io_random(shard->io, random, sizeof random);
        for (uint32_t i = 0; i < ASSIGNED_ID_RANDOM; i++) {
            out[prefix + i] = (uint8_t)alphabet[random[i] % (sizeof alphabet - 1)];
        }
    } while (broker_shard_of(shard->broker, out, prefix + ASSIGNED_ID_RANDOM) != shard->number);
    return prefix + ASSIGNED_ID_RANDOM;
}

/* The session expiry that this CONNECT gets, in seconds. */
static uint32_t
session_expiry_of(const struct shard *shard, const struct connect *connect)
{
    uint32_t limit = shard->config->persistent_client_expiration_s;
    uint32_t wanted = 0;
    if (connect->version != MQTT_VERSION_5) {
        wanted = connect->clean_start ? 0 : SESSION_NEVER_EXPIRES;
    } else if (properties_has(&connect->properties, PROPERTY_SESSION_EXPIRY_INTERVAL)) {
        wanted = connect->properties.session_expiry_s;
    }
    return limit != 0 && wanted > limit ? limit : wanted;
}

static uint16_t
window_of(const struct shard *shard, const struct connect *connect)
{
    uint32_t window = shard->config->max_inflight_messages ? shard->config->max_inflight_messages : UINT16_MAX;
    uint32_t client = properties_has(&connect->properties, PROPERTY_RECEIVE_MAXIMUM) ? connect->properties.receive_maximum : UINT16_MAX;
    return (uint16_t)(client < window ? client : window);
}

/* Keep-alive in force, in seconds: the client's, or ours if that is above the limit (version 5 is told). MQTT5 [MQTT-3.1.2-21]. */
static uint16_t
keep_alive_of(const struct shard *shard, const struct connect *connect)
{
    uint16_t limit = shard->config->max_keepalive_s;
    bool lowered = limit != 0 && limit != UINT16_MAX && connect->version == MQTT_VERSION_5 && (connect->keep_alive_s == 0 || connect->keep_alive_s > limit);
    return lowered ? limit : connect->keep_alive_s;
}

struct connack_facts {
    const struct connect *connect;
    struct bytes assigned_id;
    uint32_t expiry_s;
    uint16_t keep_alive_s;
    bool session_present;
};

static void
write_connack_properties(const struct shard *shard, const struct connection *c, const struct connack_facts *facts, struct properties *p)
{
    const struct config *config = shard->config;
    const struct config_listener *listener = &shard->broker->listeners[c->listener];
    const struct properties *asked = &facts->connect->properties;
    uint32_t asked_expiry = properties_has(asked, PROPERTY_SESSION_EXPIRY_INTERVAL) ? asked->session_expiry_s : 0;

    if (facts->expiry_s != asked_expiry) {
        properties_mark(p, PROPERTY_SESSION_EXPIRY_INTERVAL);
        p->session_expiry_s = facts->expiry_s;
    }
    properties_mark(p, PROPERTY_RECEIVE_MAXIMUM);
    p->receive_maximum = config->receive_maximum;
    if (listener->max_qos < 2) {
        properties_mark(p, PROPERTY_MAXIMUM_QOS);
        p->maximum_qos = listener->max_qos;
    }
    if (!config->retain_available) {
        properties_mark(p, PROPERTY_RETAIN_AVAILABLE);
        p->retain_available = 0;
    }
    properties_mark(p, PROPERTY_MAXIMUM_PACKET_SIZE);
    p->maximum_packet_size = config->max_packet_size;
    if (facts->assigned_id.size > 0) {
        properties_mark(p, PROPERTY_ASSIGNED_CLIENT_IDENTIFIER);
        p->assigned_client_id = facts->assigned_id;
    }
    if (listener->max_topic_alias > 0) {
        properties_mark(p, PROPERTY_TOPIC_ALIAS_MAXIMUM);
        p->topic_alias_maximum = listener->max_topic_alias;
    }
    if (facts->keep_alive_s != facts->connect->keep_alive_s) {
        properties_mark(p, PROPERTY_SERVER_KEEP_ALIVE);
        p->server_keep_alive_s = facts->keep_alive_s;
    }
}

/* A topic prefix that a requester may use for responses; nobody else is given the same one. MQTT5 3.1.2.11.6, 4.10.1. */
static void
add_response_information(const struct shard *shard, const struct connack_facts *facts, struct properties *p, char *text, uint32_t room)
{
    const struct properties *asked = &facts->connect->properties;
    if (!properties_has(asked, PROPERTY_REQUEST_RESPONSE_INFORMATION) || asked->request_response_information == 0) {
        return;
    }
    struct bytes id = facts->assigned_id.size > 0 ? facts->assigned_id : facts->connect->client_id;
    int size = snprintf(text, room, "response/%016llx", (unsigned long long)broker_token(shard->broker, id.data, id.size));
    properties_mark(p, PROPERTY_RESPONSE_INFORMATION);
    p->response_information = bytes_of(text, (uint32_t)size);
}

static void
send_connack(struct shard *shard, struct connection *c, const struct connack_facts *facts)
{
    struct connack connack = {.session_present = facts->session_present};
    char response[64];
    if (c->version == MQTT_VERSION_5) {
        write_connack_properties(shard, c, facts, &connack.properties);
        add_response_information(shard, facts, &connack.properties, response, sizeof response);
        exchange_add_to_connack(c, &connack.properties);
    }
    uint8_t bytes[512 + CLIENT_ID_MAX];
    uint32_t size = encode_connack(bytes, sizeof bytes, c->version, &connack);
    connection_put(shard, c, bytes, size);
}

/*
 * Finds or makes the session for this CONNECT, taking it over from a connection that has it. MQTT5 3.1.2.4, [MQTT-3.1.4-3]. NULL: out of memory or at a limit.
 */
static struct session *
take_session(struct shard *shard, const struct connect *connect, struct bytes client_id, uint32_t expiry_s, bool *present, uint8_t *reason)
{
    uint64_t hash = broker_hash(shard->broker, client_id.data, client_id.size);
    struct session *session = session_table_find(&shard->session_table, hash, client_id);
    if (keep_is_full(shard) && expiry_s > 0 && (session == NULL || !keep_is_kept(session) || !keep_has_room_for_session(shard))) {
        stats_add(&shard->stats.drops[DROP_DISK_FULL], 1);
        *reason = REASON_QUOTA_EXCEEDED;
        return NULL;
    }
    if (session != NULL && session->connection != NULL) {
        stats_add(&shard->stats.takeovers, 1);
        if (connect->clean_start) {
            session->expiry_s = 0; /* it ends now: its will is due whatever its delay */
        }
        /* A session that expires at 0 ends with its connection, and is not there to be resumed. */
        connection_close(shard, session->connection, REASON_SESSION_TAKEN_OVER, "taken over by another connection");
        session = session_table_find(&shard->session_table, hash, client_id);
    }
    if (session == NULL && shard->pressure >= BUDGET_REFUSE) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        *reason = REASON_QUOTA_EXCEEDED;
        return NULL;
    }
    if (session != NULL && connect->clean_start) {
        session_end(shard, &session);
    }
    *present = session != NULL;
    if (session != NULL) {
        session_resume(shard, session);
        return session;
    }
    uint32_t max = shard->config->max_sessions;
    if (max != 0 && atomic_load_explicit(&shard->broker->session_count, memory_order_relaxed) >= max) {
        stats_add(&shard->stats.drops[DROP_CONNECTION_LIMIT], 1);
        *reason = REASON_QUOTA_EXCEEDED;
        return NULL;
    }
    session = session_begin(shard, client_id, hash);
    *reason = session == NULL ? REASON_SERVER_UNAVAILABLE : REASON_SUCCESS;
    return session;
}

static void
remember_client(struct shard *shard, struct connection *c, const struct connect *connect, uint16_t keep_alive_s)
{
    const struct properties *p = &connect->properties;
    uint16_t broker_aliases = shard->broker->listeners[c->listener].max_topic_alias_broker;
    c->version = connect->version;
    c->packet_size_max = properties_has(p, PROPERTY_MAXIMUM_PACKET_SIZE) ? p->maximum_packet_size : UINT32_MAX;
    c->problem_information = !properties_has(p, PROPERTY_REQUEST_PROBLEM_INFORMATION) || p->request_problem_information;
    c->alias_max_out = properties_has(p, PROPERTY_TOPIC_ALIAS_MAXIMUM) ? p->topic_alias_maximum : 0;
    if (c->alias_max_out > broker_aliases) {
        c->alias_max_out = broker_aliases;
    }
    c->keep_alive_s = keep_alive_s;
    connection_watch(shard, c);
}

/* False when out of memory. Takes the principal over in any case. */
static bool
set_principal(struct shard *shard, struct session *session, struct principal *principal)
{
    struct session_extra *extra = principal != NULL || session->extra != NULL ? session_need_extra(shard, session) : NULL;
    if (extra == NULL) {
        bool needed = principal != NULL;
        principal_free(shard->account, &principal);
        return !needed;
    }
    principal_free(shard->account, &extra->principal);
    extra->principal = principal;
    session_tidy(shard, session);
    return true;
}

/* A client that has just been banned may still be there on another connection. */
static void
disconnect_banned(struct shard *shard, struct bytes client_id)
{
    uint64_t hash = broker_hash(shard->broker, client_id.data, client_id.size);
    struct session *session = session_table_find(&shard->session_table, hash, client_id);
    if (session != NULL && session->connection != NULL) {
        stats_add(&shard->stats.drops[DROP_BANNED], 1);
        connection_close(shard, session->connection, REASON_ADMINISTRATIVE_ACTION, "is banned");
    }
}

/* The user that it turned out to be; and it may have come too often with this connect. Takes the principal over if so. */
static bool
refuse_if_banned(struct shard *shard, struct connection *c, const struct connect *connect, struct principal *principal)
{
    if (principal == NULL || !limits_is_banned(shard, bytes_of(NULL, 0), principal->user)) {
        if (connect->client_id.size == 0 || !limits_note_connect(shard, c, connect->client_id)) {
            return false;
        }
        disconnect_banned(shard, connect->client_id);
    }
    principal_free(shard->account, &principal);
    refuse_banned(shard, c, connect);
    return true;
}

static void
tell_connected(const struct connection *c, const struct connect *connect, struct bytes client_id)
{
    const struct principal *principal = session_get_extra(c->session)->principal;
    struct bytes user = principal != NULL ? principal->user : bytes_of(NULL, 0);
    log_peer(CONFIG_LOG_NOTICE, DROP_REASONS, "New client connected from %s as %.*s (p%u, c%u, k%u%s%.*s%s).", connection_peer_text(c), (int)client_id.size,
             (const char *)client_id.data, connect->version, connect->clean_start, connect->keep_alive_s, user.size > 0 ? ", u'" : "", (int)user.size,
             (const char *)user.data, user.size > 0 ? "'" : "");
}

/* What CONNACK says has to be durable. `end`: of the journal, before the session was taken. */
static void
keep_connected(struct shard *shard, struct connection *c, uint64_t end)
{
    if (shard->journal == NULL) {
        return;
    }
    keep_session(shard, c->session);
    keep_will(shard, c->session);
    if (journal_end(shard->journal) != end) {
        promise_open(shard, c);
    }
}

static void
admit_client(struct shard *shard, struct connection *c, const struct connect *connect, bool id_given, struct principal *principal)
{
    uint8_t assigned[128];
    struct bytes client_id = connect->client_id;
    if (client_id.size == 0) {
        client_id = bytes_of(assigned, assign_client_id(shard, assigned, sizeof assigned));
    }
    struct connack_facts facts = {
        .connect = connect,
        .assigned_id = !id_given && connect->version == MQTT_VERSION_5 ? client_id : bytes_of(NULL, 0),
        .expiry_s = session_expiry_of(shard, connect),
        .keep_alive_s = keep_alive_of(shard, connect),
    };
    uint8_t reason = REASON_SUCCESS;
    uint64_t journal_before = shard->journal != NULL ? journal_end(shard->journal) : 0;
    struct session *session = take_session(shard, connect, client_id, facts.expiry_s, &facts.session_present, &reason);
    if (session == NULL) {
        principal_free(shard->account, &principal);
        connect_refuse(shard, c, connect, reason, "no session can be made");
        return;
    }
    bool remembered = set_principal(shard, session, principal);
    session->connection = c;
    session->version = connect->version;
    session->expiry_s = facts.expiry_s;
    session->window = window_of(shard, connect);
    session->unacknowledged = 0;
    c->session = session;
    c->state = CONNECTION_CONNECTED;
    stats_add(&shard->stats.connects, 1);
    stats_add(&shard->stats.connected, 1);
    if (stats_get(&shard->stats.connected) > stats_get(&shard->stats.connected_maximum)) {
        stats_set(&shard->stats.connected_maximum, stats_get(&shard->stats.connected));
    }
    remember_client(shard, c, connect, facts.keep_alive_s);
    if (!remembered) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        connection_close(shard, c, REASON_QUOTA_EXCEEDED, "no memory for its rights");
        return;
    }
    if (connect->has_will && !session_set_will(shard, session, &connect->will)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        connection_close(shard, c, REASON_QUOTA_EXCEEDED, "no memory for its will");
        return;
    }
    if (shard->config->connection_messages) {
        tell_connected(c, connect, client_id);
    }
    keep_connected(shard, c, journal_before);
    send_connack(shard, c, &facts);
    if (c->state == CONNECTION_CONNECTED) {
        session_resend_all(session);
        session_pump(shard, session);
    }
}

/* The password is not needed any more. Before CONNACK the packet always lies in memory of the connection's own (input_feed). */
static void
forget_secret(const struct connect *connect)
{
    if (connect->password.size > 0) {
        explicit_bzero((void *)(uintptr_t)connect->password.data, connect->password.size);
    }
}

/* Who it is, then whether its will may be published: the first is not asked again when the second has an answer. */
static enum login_verdict
log_in(struct shard *shard, struct connection *c, const struct frame *frame, const struct connect *connect, struct login_answer *answer)
{
    http_hook_forget_stale(shard, c);
    if (http_hook_has_will(c)) {
        return http_hook_will(shard, c, connect, answer);
    }
    enum login_verdict verdict = login_start(shard, c, frame, connect, answer);
    return verdict == LOGIN_ACCEPTED ? http_hook_will(shard, c, connect, answer) : verdict;
}

void
handle_connect(struct shard *shard, struct connection *c, const struct frame *frame)
{
    struct connect connect;
    const char *explain = "a CONNECT that is not allowed";
    uint8_t reason = decode_connect(frame, &connect);
    if (reason != REASON_SUCCESS && connect.version == 0 && reason != REASON_UNSUPPORTED_PROTOCOL_VERSION) {
        input_refuse(shard, c, reason, "not an MQTT CONNECT");
        return;
    }
    if (reason == REASON_SUCCESS) {
        reason = check_policy(shard, &connect, &explain);
    }
    if (reason == REASON_SUCCESS) {
        reason = check_will_qos(shard, c, &connect);
    }
    bool id_given = connect.client_id.size > 0; /* MQTT5 [MQTT-3.2.2-16]: who gave none is told the one it has */
    if (reason == REASON_SUCCESS) {
        reason = login_name_client(shard, c, &connect, &explain);
    }
    if (reason != REASON_SUCCESS) {
        stats_add(&shard->stats.drops[DROP_BAD_INPUT], 1);
        connect_refuse(shard, c, &connect, reason, explain);
        return;
    }
    if (limits_is_banned(shard, connect.client_id, connect.user_name) || limits_is_banned_address(shard, c)) {
        refuse_banned(shard, c, &connect);
        return;
    }
    if (connect.client_id.size > 0) {
        unsigned home = broker_shard_of(shard->broker, connect.client_id.data, connect.client_id.size);
        if (home != shard->number) {
            connection_move(c, home);
            return;
        }
    }
    struct login_answer answer;
    enum login_verdict verdict = log_in(shard, c, frame, &connect, &answer);
    if (verdict != LOGIN_PENDING) {
        forget_secret(&connect);
    }
    switch (verdict) {
    case LOGIN_ACCEPTED:
        if (!refuse_if_banned(shard, c, &connect, answer.principal)) {
            admit_client(shard, c, &connect, id_given, answer.principal);
        }
        break;
    case LOGIN_REFUSED:
        connect_refuse(shard, c, &connect, answer.reason, answer.explain);
        break;
    case LOGIN_PENDING:
    case LOGIN_TALKING:
        break;
    }
}

/* Its CONNECT lies in `partial` still; not if an AUTH has followed (MQTT5). */
void
connect_give_up(struct shard *shard, struct connection *c)
{
    struct frame frame;
    struct connect connect = {.version = MQTT_VERSION_5};
    assert(c->state == CONNECTION_NEW && c->waiting);
    if (frame_read(bytes_of(c->partial, c->partial_used), UINT32_MAX, &frame) == FRAME_DONE && frame.type == PACKET_CONNECT) {
        decode_connect(&frame, &connect);
        forget_secret(&connect);
    }
    connect_refuse(shard, c, &connect, REASON_SERVER_BUSY, "its login took too long");
}

void
handle_disconnect(struct shard *shard, struct connection *c, const struct frame *frame)
{
    struct disconnect packet;
    uint8_t reason = decode_disconnect(frame, c->version, PACKET_FROM_CLIENT, &packet);
    if (reason != REASON_SUCCESS) {
        input_refuse(shard, c, reason, "a malformed DISCONNECT");
        return;
    }
    if (properties_has(&packet.properties, PROPERTY_SESSION_EXPIRY_INTERVAL)) {
        /* MQTT5 3.14.2.2.2: an interval of 0 in CONNECT may not be changed. */
        if (c->session->expiry_s == 0 && packet.properties.session_expiry_s != 0) {
            input_refuse(shard, c, REASON_PROTOCOL_ERROR, "a session expiry at DISCONNECT after none at CONNECT");
            return;
        }
        uint32_t limit = shard->config->persistent_client_expiration_s;
        uint32_t wanted = packet.properties.session_expiry_s;
        c->session->expiry_s = limit != 0 && wanted > limit ? limit : wanted;
        keep_session(shard, c->session);
    }
    if (shard->config->connection_messages) {
        struct bytes id = session_client_id(c->session);
        log_peer(CONFIG_LOG_NOTICE, DROP_REASONS, "Client %.*s disconnected.", (int)id.size, (const char *)id.data);
    }
    /* MQTT5 [MQTT-3.14.4-3]: only a normal disconnection (0x00) deletes the will. */
    connection_leave(shard, c, packet.reason == REASON_SUCCESS);
}

void
handle_auth(struct shard *shard, struct connection *c, const struct frame *frame)
{
    if (c->state == CONNECTION_CONNECTED && c->version != MQTT_VERSION_5) {
        input_refuse(shard, c, REASON_PROTOCOL_ERROR, "an AUTH packet, which its version does not have");
        return;
    }
    exchange_packet(shard, c, frame);
}
