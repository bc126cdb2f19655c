#include "engine/net/connection.h"

#include "codec/encode.h"
#include "engine/durable/promise.h"
#include "engine/identity/exchange.h"
#include "engine/identity/http_hook.h"
#include "engine/identity/login.h"
#include "engine/identity/token_login.h"
#include "engine/limits/limits.h"
#include "engine/limits/pace.h"
#include "engine/log.h"
#include "engine/net/alias.h"
#include "engine/protocol/input.h"
#include "engine/session/session.h"
#include "engine/transport/forwarded.h"
#include "engine/transport/transport.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* Bytes that one send carries at most when chunks are merged: more than a turn brings in. */
#define MERGE_BYTES_MAX (4u << 20)
/* How long a closing connection may take to read its last bytes and finish. */
#define LINGER_MS 2000
/* Output beyond the QoS 0 limit that only answers can cause: then the peer must read before it may ask for more. */
#define OUTPUT_ANSWERS_MAX (256u * 1024)
/* Under memory pressure a held publisher gets one packet through in this time. */
#define SLOW_LANE_MS 20
/* The end of a login is a time of the wall clock, which somebody may set: looked at no later than after this time. */
#define WALL_CLOCK_LOOK_MS 60000u
/* A paced connection is looked at so often, however long its wait. */
#define PACE_STEP_MS 1000u
/* Held connections looked at per turn. */
#define HELD_PER_TURN 256

static void stop_input(struct shard *shard, struct connection *c);

static void
remember_peer(struct peer_address *peer, const struct sockaddr_storage *address)
{
    if (address == NULL) {
        return;
    }
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
        memcpy(peer->bytes, &v4->sin_addr, 4);
        peer->port = ntohs(v4->sin_port);
        peer->family = AF_INET;
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
        memcpy(peer->bytes, &v6->sin6_addr, 16);
        peer->port = ntohs(v6->sin6_port);
        peer->family = AF_INET6;
    }
}

struct connection_extra *
connection_need_extra(struct budget_account *account, struct connection *c)
{
    if (c->extra == NULL) {
        c->extra = calloc(1, sizeof *c->extra);
        budget_charge(account, c->extra != NULL ? sizeof *c->extra : 0);
    }
    return c->extra;
}

/* What is in it has been given up or moved. */
static void
forget_extra(struct shard *shard, struct connection *c)
{
    if (c->extra != NULL) {
        assert(c->extra->transport == NULL && c->extra->alias_bytes == 0 && c->extra->login == NULL && c->extra->exchange == NULL);
        assert(c->extra->token == NULL && c->extra->hook == NULL && c->extra->promisee == NULL);
        budget_refund(shard->account, sizeof *c->extra);
        free(c->extra);
        c->extra = NULL;
    }
}

struct peer_address
peer_of_address(const struct address *address, uint16_t port)
{
    struct peer_address peer = {.port = port, .family = address->family == ADDRESS_IPV4 ? AF_INET : address->family == ADDRESS_IPV6 ? AF_INET6 : 0};
    memcpy(peer.bytes, address->bytes, sizeof peer.bytes);
    return peer;
}

/* Who came through a Unix socket has no address: the path of the socket is all there is to show. */
static void
remember_path(struct shard *shard, struct connection *c)
{
    const char *path = shard->broker->listeners[c->listener].unix_path;
    if (path != NULL && connection_need_extra(shard->account, c) != NULL) {
        c->extra->peer_path = path;
    }
}

static void
set_peer(struct shard *shard, struct connection *c, const struct peer_address *peer)
{
    limits_release_address(shard, c);
    if (c->extra != NULL && peer->family != 0) {
        c->extra->peer_path = NULL;
    }
    c->peer_port = peer->port;
    c->peer_is_v6 = peer->family == AF_INET6 && connection_need_extra(shard->account, c) != NULL;
    c->peer_known = peer->family == AF_INET || c->peer_is_v6;
    if (c->peer_is_v6) {
        memcpy(c->extra->peer_v6, peer->bytes, sizeof c->extra->peer_v6);
    } else if (c->peer_known) {
        memcpy(c->peer_v4, peer->bytes, sizeof c->peer_v4);
    }
}

static bool
same_host(const struct peer_address *a, const struct peer_address *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

bool
connection_learn_peer(struct shard *shard, struct connection *c, const struct peer_address *peer)
{
    struct peer_address before = connection_peer(c);
    bool counted = c->address_counted && same_host(&before, peer);
    if (counted) {
        return true; /* it is nobody else */
    }
    set_peer(shard, c, peer);
    return limits_admit_address(shard, c);
}

/* Its own address is a proxy's: connection_learn_peer() is to come. */
static bool
is_of_proxy(const struct shard *shard, const struct connection *c, const struct peer_address *peer)
{
    const struct config_listener *listener = &shard->broker->listeners[c->listener];
    return listener->proxy_protocol != 0 || (listener->websockets && forwarded_is_trusted(listener, peer));
}

struct peer_address
connection_peer(const struct connection *c)
{
    struct peer_address peer = {.port = c->peer_port, .family = !c->peer_known ? 0 : c->peer_is_v6 ? AF_INET6 : AF_INET};
    if (c->peer_is_v6) {
        memcpy(peer.bytes, c->extra->peer_v6, sizeof peer.bytes);
    } else if (c->peer_known) {
        memcpy(peer.bytes, c->peer_v4, sizeof c->peer_v4);
    }
    return peer;
}

static const char *
address_text(const struct peer_address *peer)
{
    static _Thread_local char text[INET6_ADDRSTRLEN + 8];
    char address[INET6_ADDRSTRLEN] = "unknown";
    if (peer->family != 0) {
        inet_ntop(peer->family, peer->bytes, address, sizeof address);
    }
    snprintf(text, sizeof text, "%s:%u", address, peer->port);
    return text;
}

const char *
connection_peer_text(const struct connection *c)
{
    if (connection_is_unix(c)) {
        return c->extra->peer_path;
    }
    struct peer_address peer = connection_peer(c);
    return address_text(&peer);
}

static struct connection *
make_connection(struct shard *shard, io_socket socket, uint8_t listener)
{
    struct connection *c = slab_take(&shard->connections);
    if (c == NULL) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return NULL;
    }
    c->state = CONNECTION_NEW;
    c->socket = socket;
    c->listener = listener;
    c->timer.kind = TIMER_CONNECTION;
    c->last_received_ms = (uint32_t)shard->now_ms;
    c->packet_size_max = UINT32_MAX;
    stats_add(&shard->stats.sockets, 1);
    io_set_token(shard->io, socket, (uint64_t)(uintptr_t)c);
    return c;
}

static void
forget_connection(struct shard *shard, struct connection *c)
{
    forget_extra(shard, c);
    c->state = CONNECTION_NONE;
    slab_give(&shard->connections, c);
    stats_sub(&shard->stats.sockets, 1);
}

/* Counts against the limits of the process and the listener. */
static bool
admit(struct shard *shard, uint8_t listener)
{
    struct broker *broker = shard->broker;
    uint32_t total_max = shard->config->max_connections_total;
    uint32_t listener_max = shard->broker->listeners[listener].max_connections;
    uint64_t total = atomic_fetch_add_explicit(&broker->connection_count, 1, memory_order_relaxed);
    uint64_t own = atomic_fetch_add_explicit(&broker->listener_connections[listener], 1, memory_order_relaxed);
    if ((total_max == 0 || total < total_max) && (listener_max == 0 || own < listener_max)) {
        return true;
    }
    atomic_fetch_sub_explicit(&broker->connection_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&broker->listener_connections[listener], 1, memory_order_relaxed);
    return false;
}

static void
unadmit(struct shard *shard, uint8_t listener)
{
    atomic_fetch_sub_explicit(&shard->broker->connection_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&shard->broker->listener_connections[listener], 1, memory_order_relaxed);
}

/* A connection that may move receives once, because it must not have a receive under way then. Where there is no other shard, one request serves for all. */
static void
receive_connect(struct shard *shard, struct connection *c)
{
    if (shard->broker->shard_count > 1) {
        io_receive_once(shard->io, c->socket);
    } else {
        c->receiving = true;
        io_receive(shard->io, c->socket);
    }
}

void
connection_accepted(struct shard *shard, const struct io_event *event)
{
    uint8_t listener = (uint8_t)event->token;
    struct peer_address peer = {0};
    remember_peer(&peer, event->peer);
    struct connection *c = NULL;
    /* Also when memory is short: a session that comes back to fetch its messages is what frees it (protocol/connect.c refuses new ones). */
    if (!shard->stopping && admit(shard, listener)) {
        c = make_connection(shard, event->socket, listener);
        if (c == NULL) {
            unadmit(shard, listener);
        }
    } else {
        stats_add(&shard->stats.drops[DROP_CONNECTION_LIMIT], 1);
        log_peer(CONFIG_LOG_WARNING, DROP_CONNECTION_LIMIT, "Connection from %s refused: a connection limit is reached.", address_text(&peer));
    }
    if (c == NULL) {
        io_set_token(shard->io, event->socket, 0);
        io_close(shard->io, event->socket);
        return;
    }
    set_peer(shard, c, &peer);
    remember_path(shard, c);
    if ((!is_of_proxy(shard, c, &peer) && !limits_admit_address(shard, c)) || !limits_admit_connect(shard, c)) {
        connection_drop(shard, c, false);
        return;
    }
    if (!transport_open(shard, c)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        connection_drop(shard, c, false);
        return;
    }
    timer_arm(&shard->wheel, &c->timer, shard->now_ms + shard->config->connect_timeout_s * 1000ull);
    receive_connect(shard, c);
}

void
connection_move(struct connection *c, unsigned home)
{
    assert(c->state == CONNECTION_NEW && c->out_first == NULL && home < BROKER_SHARDS_MAX);
    c->state = CONNECTION_MOVING;
    c->home = (uint8_t)home;
}

void
connection_move_when_quiet(struct shard *shard, struct connection *c)
{
    assert(c->state == CONNECTION_MOVING && c->out_first == NULL);
    if (c->out_under_way > 0 || c->dirty) {
        return; /* the end of a handshake: connection_sent() comes back */
    }

    struct handover *h = malloc(sizeof *h + c->partial_used);
    if (h == NULL) {
        connection_drop(shard, c, false);
        return;
    }
    h->peer = connection_peer(c);
    h->extra = c->extra;
    if (h->extra != NULL) {
        budget_refund(shard->account, sizeof *h->extra + transport_bytes(h->extra->transport));
        c->extra = NULL;
        c->peer_is_v6 = false;
    }
    h->listener = c->listener;
    h->address_counted = c->address_counted;
    h->deadline_ms = c->timer.due_ms;
    h->size = c->partial_used;
    memcpy(h->bytes, c->partial, c->partial_used);
    /* Pairs with connection_arrived() on the other shard: the pointer travels through the kernel. */
    atomic_store_explicit(&h->ready, 1, memory_order_release);

    io_move(shard->io, c->socket, c->home, (uint64_t)(uintptr_t)h);
    timer_disarm(&shard->wheel, &c->timer);
    stop_input(shard, c);
    forget_connection(shard, c);
}

/* Nobody takes over what has moved. */
static void
forget_handover(struct shard *shard, struct handover *h)
{
    if (h->address_counted) {
        limits_release_peer(shard, &h->peer);
    }
    if (h->extra != NULL) {
        budget_charge(shard->account, transport_bytes(h->extra->transport));
        transport_close(shard, &h->extra->transport);
        free(h->extra);
    }
    unadmit(shard, h->listener);
    explicit_bzero(h->bytes, h->size);
    free(h);
}

void
connection_arrived(struct shard *shard, const struct io_event *event)
{
    struct handover *h = (struct handover *)(uintptr_t)event->token;
    uint32_t ready = atomic_load_explicit(&h->ready, memory_order_acquire);
    assert(ready == 1);
    (void)ready;

    if (event->type == IO_MOVE_FAILED) {
        stats_add(&shard->stats.drops[DROP_ACCEPT_FAILED], 1);
        log_peer(CONFIG_LOG_WARNING, DROP_ACCEPT_FAILED, "Connection lost: its home shard has no free socket slot.");
        forget_handover(shard, h);
        return;
    }
    struct connection *c = shard->stopping ? NULL : make_connection(shard, event->socket, h->listener);
    if (c == NULL) {
        io_set_token(shard->io, event->socket, 0);
        io_close(shard->io, event->socket);
        forget_handover(shard, h);
        return;
    }
    c->extra = h->extra;
    if (c->extra != NULL) {
        budget_charge(shard->account, sizeof *c->extra + transport_bytes(c->extra->transport));
    }
    set_peer(shard, c, &h->peer);
    c->address_counted = h->address_counted;
    timer_arm(&shard->wheel, &c->timer, h->deadline_ms);
    input_bytes(shard, c, bytes_of(h->bytes, h->size));
    explicit_bzero(h->bytes, h->size); /* a CONNECT, with its password */
    free(h);
}

/* ------------------------------------------------------------------------------------------------------------------ input */

void
connection_received(struct shard *shard, struct connection *c, const struct io_event *event)
{
    if (event->result <= 0) {
        c->peer_ended = true;
        c->receiving = false;
        if ((c->held || c->waiting || c->paced) && c->state == CONNECTION_CONNECTED && event->result == 0) {
            return; /* it has said more than we have looked at: input_go_on() ends it when that is done */
        }
        if (c->state == CONNECTION_CLOSING) {
            c->state = CONNECTION_CLOSED;
            timer_disarm(&shard->wheel, &c->timer);
            io_close(shard->io, c->socket);
        } else if (c->state != CONNECTION_CLOSED) {
            if (c->state == CONNECTION_CONNECTED && shard->config->connection_messages) {
                struct bytes id = session_client_id(c->session);
                log_peer(CONFIG_LOG_NOTICE, DROP_REASONS, "Client %.*s [%s] closed its connection.", (int)id.size, (const char *)id.data,
                         connection_peer_text(c));
            }
            connection_drop(shard, c, false);
        }
        return;
    }
    if (c->state != CONNECTION_NEW && c->state != CONNECTION_CONNECTED) {
        return;
    }
    stats_add(&shard->stats.bytes_received, (uint64_t)event->result);
    if (connection_transport(c) == NULL || connection_transport(c)->websocket == NULL) {
        c->last_received_ms = (uint32_t)shard->now_ms;
    }
    struct bytes data = bytes_of(event->data, (uint32_t)event->result);
    if (connection_transport(c) != NULL) {
        transport_received(shard, c, data);
    } else {
        input_bytes(shard, c, data);
    }
}

void
connection_wait(struct shard *shard, struct connection *c)
{
    assert(!c->waiting && (c->state == CONNECTION_NEW || c->state == CONNECTION_CONNECTED));
    c->waiting = true;
    if (c->receiving) {
        c->receiving = false;
        io_receive_stop(shard->io, c->socket);
    }
}

void
connection_answered(struct shard *shard, struct connection *c)
{
    assert(c->waiting);
    c->waiting = false;
    c->last_received_ms = (uint32_t)shard->now_ms; /* it was silent because of us */
    input_bytes(shard, c, bytes_of(NULL, 0));
}

/* The timer is free for it: keep-alive does not count while we do not read. */
static void
arm_pace(struct shard *shard, struct connection *c)
{
    uint64_t step_ms = shard->now_ms + PACE_STEP_MS;
    timer_arm(&shard->wheel, &c->timer, c->extra->pace_until_ms < step_ms ? c->extra->pace_until_ms : step_ms);
}

void
connection_pace(struct shard *shard, struct connection *c, uint64_t until_ms)
{
    assert(c->state == CONNECTION_CONNECTED && c->extra != NULL && !c->paced);
    c->paced = true;
    c->extra->pace_until_ms = until_ms;
    stats_add(&shard->stats.paced_connections, 1);
    if (c->receiving) {
        c->receiving = false;
        io_receive_stop(shard->io, c->socket);
    }
    arm_pace(shard, c);
}

static void
unpace(struct shard *shard, struct connection *c)
{
    c->paced = false;
    stats_sub(&shard->stats.paced_connections, 1);
    timer_disarm(&shard->wheel, &c->timer);
}

static void
pace_timer(struct shard *shard, struct connection *c)
{
    bool due = shard->now_ms >= c->extra->pace_until_ms;
    uint64_t more_ms = due && shard->paces ? pace_wait_ms(shard, c) : 0;
    if (more_ms > 0) {
        c->extra->pace_until_ms = shard->now_ms + more_ms;
    }
    if (!due || more_ms > 0) {
        arm_pace(shard, c);
        return;
    }
    unpace(shard, c);
    c->last_received_ms = (uint32_t)shard->now_ms; /* it was silent because of us */
    connection_watch(shard, c);
    input_bytes(shard, c, bytes_of(NULL, 0));
}

static bool
is_promised_much(const struct connection *c)
{
    return c->extra != NULL && c->extra->promisee != NULL && promise_is_crowded(c);
}

bool
connection_must_hold(const struct shard *shard, const struct connection *c, bool takes_memory)
{
    return (shard->congested && takes_memory) || c->out_bytes > shard->config->max_output_bytes + OUTPUT_ANSWERS_MAX || is_promised_much(c);
}

/*
 * Near the memory limit publishers are slowed down, not stopped: what fills the memory may be queues that nobody drains, and then the next levels of the
 * budget must still be reached (dropping, refusing), or nobody could publish anything any more.
 */
static bool
waited_long_enough(const struct shard *shard, const struct connection *c)
{
    return !shard->backlogged && !is_promised_much(c) && c->out_bytes <= shard->config->max_output_bytes && (uint32_t)shard->now_ms - c->held_since_ms >= SLOW_LANE_MS;
}

void
connection_hold(struct shard *shard, struct connection *c, bool takes_memory)
{
    if (c->held) {
        return;
    }
    c->held = true;
    c->held_for_memory = takes_memory;
    c->held_since_ms = (uint32_t)shard->now_ms;
    c->held_next = NULL;
    if (shard->held_last != NULL) {
        shard->held_last->held_next = c;
    } else {
        shard->held_first = c;
    }
    shard->held_last = c;
    stats_add(&shard->stats.held_connections, 1);
    if (c->receiving) {
        c->receiving = false;
        io_receive_stop(shard->io, c->socket);
    }
}

static struct connection *
take_held(struct shard *shard)
{
    struct connection *c = shard->held_first;
    shard->held_first = c->held_next;
    if (shard->held_first == NULL) {
        shard->held_last = NULL;
    }
    c->held = false;
    stats_sub(&shard->stats.held_connections, 1);
    return c;
}

static void
unhold(struct shard *shard, struct connection *gone)
{
    struct connection **at = &shard->held_first;
    struct connection *previous = NULL;
    while (*at != gone) {
        previous = *at;
        at = &(*at)->held_next;
    }
    *at = gone->held_next;
    if (shard->held_last == gone) {
        shard->held_last = previous;
    }
    gone->held = false;
    stats_sub(&shard->stats.held_connections, 1);
}

void
connection_resume_held(struct shard *shard)
{
    struct connection *last = shard->held_last;
    shard->held_may_go = false;
    for (unsigned i = 0; shard->held_first != NULL; i++) {
        if (i == HELD_PER_TURN) {
            shard->held_may_go = !shard->congested; /* the rest in the next turn */
            break;
        }
        struct connection *c = take_held(shard);
        bool was_last = c == last;
        if (connection_must_hold(shard, c, c->held_for_memory) && !waited_long_enough(shard, c)) {
            uint32_t since_ms = c->held_since_ms;
            connection_hold(shard, c, c->held_for_memory);
            c->held_since_ms = since_ms;
        } else {
            input_bytes(shard, c, bytes_of(NULL, 0));
        }
        if (was_last) {
            break;
        }
    }
}

/* ----------------------------------------------------------------------------------------------------------------- output */

static const uint32_t chunk_sizes[CHUNK_CLASSES] = {512 - sizeof(struct chunk), 4096 - sizeof(struct chunk), 65536 - sizeof(struct chunk)};

void
connection_mark_dirty(struct shard *shard, struct connection *c)
{
    if (!c->dirty) {
        c->dirty = true;
        c->dirty_next = shard->dirty;
        shard->dirty = c;
    }
}

static struct chunk *
add_chunk(struct shard *shard, struct connection *c, uint32_t size)
{
    if (c->out_first != NULL && c->chunk_hint < CHUNK_CLASSES - 1) {
        c->chunk_hint++; /* the last one did not suffice: the next first chunk is larger */
    }
    /* Where memory is short, thousands of readers that are stuck must not hold large chunks for a small packet each. */
    uint32_t wish = chunk_sizes[shard->congested ? 0 : c->chunk_hint];
    struct chunk *chunk = chunk_take(&shard->chunks, size > wish ? size : wish);
    if (chunk == NULL) {
        return NULL;
    }
    shard_feel_pressure(shard);
    *(c->out_first ? &c->out_first->last->next : &c->out_first) = chunk;
    c->out_first->last = chunk;
    return chunk;
}

uint8_t *
connection_append(struct shard *shard, struct connection *c, uint32_t size)
{
    struct chunk *chunk = c->out_first != NULL ? c->out_first->last : NULL;
    if (size > UINT32_MAX - c->out_bytes) {
        chunk = NULL; /* K4 */
    } else if (chunk == NULL || chunk->room - chunk->used < size) {
        chunk = add_chunk(shard, c, size);
    }
    if (chunk == NULL) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return NULL;
    }
    uint8_t *at = chunk->bytes + chunk->used;
    chunk->used += size;
    c->out_bytes += size;
    stats_add(&shard->stats.packets_sent, 1);
    connection_mark_dirty(shard, c);
    return at;
}

void
connection_put(struct shard *shard, struct connection *c, const void *packet, uint32_t size)
{
    /* MQTT5 [MQTT-3.1.2-24]: an answer that the client does not take leaves nothing but to part. */
    uint8_t *at = size <= c->packet_size_max ? connection_append(shard, c, size) : NULL;
    if (at != NULL) {
        memcpy(at, packet, size);
    } else if (c->state == CONNECTION_CONNECTED) {
        connection_drop(shard, c, false);
    }
}

static void
drop_first_chunk(struct shard *shard, struct connection *c)
{
    struct chunk *chunk = c->out_first;
    c->out_first = chunk->next;
    if (c->out_first != NULL) {
        c->out_first->last = chunk->last;
    }
    chunk_give(&shard->chunks, &chunk);
}

/*
 * Several chunks become one: a send carries one chunk and there is one send per turn, so a connection that gets more per turn than a chunk holds would fall
 * behind. Copying costs a small part of what sending does. Without memory the first chunk goes alone.
 */
static void
merge_chunks(struct shard *shard, struct connection *c)
{
    uint32_t waiting = c->out_bytes < MERGE_BYTES_MAX ? c->out_bytes : MERGE_BYTES_MAX;
    struct chunk *merged = chunk_take(&shard->chunks, waiting);
    if (merged == NULL) {
        return;
    }
    struct chunk *first;
    while ((first = c->out_first) != NULL && merged->room - merged->used >= first->used - first->sent) {
        uint32_t size = first->used - first->sent;
        memcpy(merged->bytes + merged->used, first->bytes + first->sent, size);
        merged->used += size;
        drop_first_chunk(shard, c);
    }
    merged->next = first;
    merged->last = first != NULL ? first->last : merged;
    c->out_first = merged;
}

struct bytes
connection_output(const struct connection *c)
{
    const struct chunk *chunk = c->out_first;
    return chunk != NULL ? bytes_of(chunk->bytes + chunk->sent, chunk->used - chunk->sent) : bytes_of(NULL, 0);
}

void
connection_output_taken(struct shard *shard, struct connection *c, uint32_t size)
{
    struct chunk *chunk = c->out_first;
    assert(size <= chunk->used - chunk->sent);
    chunk->sent += size;
    if (chunk->sent == chunk->used) {
        if (chunk->next == NULL && c->chunk_hint > 0 && chunk->sent < chunk_sizes[c->chunk_hint - 1] / 2) {
            c->chunk_hint--;
        }
        drop_first_chunk(shard, c);
    }
}

static void
start_send(struct shard *shard, struct connection *c)
{
    if (c->barred) {
        return; /* promise_open() comes back to it */
    }
    if (connection_transport(c) != NULL) {
        transport_flush(shard, c);
        return;
    }
    if (c->out_under_way == 0 && c->out_first != NULL && c->out_first->next != NULL && c->out_first->used < MERGE_BYTES_MAX / 2) {
        merge_chunks(shard, c);
    }
    struct chunk *chunk = c->out_first;
    if (c->out_under_way == 0 && chunk != NULL && chunk->used > chunk->sent && c->state != CONNECTION_CLOSED) {
        c->out_under_way = chunk->used - chunk->sent;
        io_send(shard->io, c->socket, chunk->bytes + chunk->sent, c->out_under_way);
    }
}

void
connection_flush_dirty(struct shard *shard)
{
    while (shard->dirty != NULL) {
        struct connection *c = shard->dirty;
        shard->dirty = c->dirty_next;
        c->dirty = false;
        start_send(shard, c);
        if (c->state == CONNECTION_MOVING) {
            connection_move_when_quiet(shard, c);
        }
    }
}

/* All output is with the kernel: shows the end of the stream to the peer, and waits for its own. */
static void
finish_closing(struct shard *shard, struct connection *c)
{
    if (connection_transport(c) != NULL && !transport_finish(shard, c)) {
        return; /* it has a last word, which is on its way */
    }
    if (c->peer_ended) {
        c->state = CONNECTION_CLOSED;
        timer_disarm(&shard->wheel, &c->timer);
        io_close(shard->io, c->socket);
    } else if (!c->end_shown) {
        c->end_shown = true;
        io_shutdown(shard->io, c->socket);
    }
}

void
connection_sent(struct shard *shard, struct connection *c, int32_t result)
{
    uint32_t size = c->out_under_way;
    c->out_under_way = 0;
    if (result < 0) {
        if (c->state == CONNECTION_CLOSING) {
            c->state = CONNECTION_CLOSED;
            timer_disarm(&shard->wheel, &c->timer);
            io_close(shard->io, c->socket);
        } else if (c->state != CONNECTION_CLOSED) {
            connection_drop(shard, c, false);
        }
        return;
    }
    stats_add(&shard->stats.bytes_sent, size);
    bool more = false;
    if (connection_transport(c) != NULL) {
        c->out_bytes -= transport_sent(shard, c, &more);
    } else {
        c->out_bytes -= size;
        connection_output_taken(shard, c, size);
    }
    if (c->held) {
        shard->held_may_go = true;
        c->last_received_ms = (uint32_t)shard->now_ms; /* it cannot say that it lives while we do not read, but it takes what we send */
    }
    if (c->out_first != NULL || more) {
        connection_mark_dirty(shard, c);
    } else if (c->state == CONNECTION_MOVING) {
        connection_move_when_quiet(shard, c);
        return;
    } else if (c->state == CONNECTION_CLOSING) {
        finish_closing(shard, c);
    }
    if (c->state == CONNECTION_CONNECTED && session_wants_pump(c->session)) {
        session_pump(shard, c->session);
    }
}

/* -------------------------------------------------------------------------------------------------------------------- end */

static void
detach_session(struct shard *shard, struct connection *c, bool publish_will)
{
    struct session *session = c->session;
    if (session == NULL) {
        return;
    }
    promise_forget(shard, c);
    c->session = NULL;
    session->connection = NULL;
    stats_sub(&shard->stats.connected, 1);
    stats_add(&shard->stats.disconnects, 1);
    session_detach(shard, &session, publish_will);
}

static void
stop_input(struct shard *shard, struct connection *c)
{
    if (c->held) {
        unhold(shard, c);
    }
    login_forget(shard, c);
    exchange_forget(shard, c);
    token_login_abandon(shard, c);
    http_hook_abandon(shard, c);
    if (c->paced) {
        unpace(shard, c);
    }
    if (c->session == NULL && c->partial_used > 0) {
        explicit_bzero(c->partial, c->partial_used); /* it may be a CONNECT, with its password */
    }
    free(c->partial);
    c->partial = NULL;
    budget_refund(shard->account, c->partial_room);
    c->partial_used = c->partial_room = 0;
}

void
connection_drop(struct shard *shard, struct connection *c, bool will_cancelled)
{
    if (c->state == CONNECTION_CLOSED) {
        return;
    }
    assert(c->state != CONNECTION_NONE);
    c->state = CONNECTION_CLOSED;
    timer_disarm(&shard->wheel, &c->timer);
    stop_input(shard, c);
    io_close(shard->io, c->socket);
    detach_session(shard, c, !will_cancelled);
}

/* With the reason in words where the client takes packets of that size: MQTT5 [MQTT-3.14.2-3]. */
static void
append_disconnect(struct shard *shard, struct connection *c, uint8_t reason)
{
    struct disconnect packet = {.reason = reason};
    const char *words = reason_name(reason);
    uint8_t bytes[128];
    properties_mark(&packet.properties, PROPERTY_REASON_STRING);
    packet.properties.reason_string = bytes_of(words, (uint32_t)strlen(words));
    uint32_t size = encode_disconnect(bytes, sizeof bytes, c->version, PACKET_DISCONNECT, &packet);
    if (size == 0 || size > c->packet_size_max) {
        packet.properties.present = 0;
        size = encode_disconnect(bytes, sizeof bytes, c->version, PACKET_DISCONNECT, &packet);
    }
    uint8_t *at = size <= c->packet_size_max ? connection_append(shard, c, size) : NULL;
    if (at != NULL) {
        memcpy(at, bytes, size);
    }
}

/* From here on nothing is looked at; what is to be sent still is. */
static void
start_closing(struct shard *shard, struct connection *c, uint8_t reason, bool publish_will)
{
    c->state = CONNECTION_CLOSING;
    if (connection_transport(c) != NULL) {
        connection_transport(c)->reason = reason;
    }
    stop_input(shard, c);
    c->linger = true;
    timer_arm(&shard->wheel, &c->timer, shard->now_ms + LINGER_MS);
    /* Bytes that still come are read and dropped: closing with unread input would reset the connection and lose the answer. */
    if (!c->receiving && !c->peer_ended) {
        c->receiving = true;
        io_receive(shard->io, c->socket);
    }
    detach_session(shard, c, publish_will);
    if (c->out_first == NULL && c->out_under_way == 0) {
        finish_closing(shard, c);
    }
}

void
connection_close(struct shard *shard, struct connection *c, uint8_t reason, const char *explain)
{
    if (c->state == CONNECTION_CLOSING || c->state == CONNECTION_CLOSED) {
        return;
    }
    if (explain != NULL) {
        struct bytes id = c->session ? session_client_id(c->session) : bytes_of("?", 1);
        log_peer(CONFIG_LOG_NOTICE, reason & (LOG_REASONS_MAX - 1), "Client %.*s [%s] disconnected: %s (0x%02X %s).", (int)id.size,
                 (const char *)id.data, connection_peer_text(c), explain, reason, reason_name(reason));
    }
    if (c->state == CONNECTION_CONNECTED && c->version == MQTT_VERSION_5) {
        append_disconnect(shard, c, reason);
    }
    start_closing(shard, c, reason, true);
}

void
connection_leave(struct shard *shard, struct connection *c, bool will_cancelled)
{
    if (connection_transport(c) == NULL) {
        connection_drop(shard, c, will_cancelled);
    } else {
        start_closing(shard, c, REASON_SUCCESS, !will_cancelled);
    }
}

void
connection_closed(struct shard *shard, struct connection *c)
{
    assert(c->state == CONNECTION_CLOSED && c->session == NULL);
    promise_forget(shard, c);
    while (c->out_first != NULL) {
        drop_first_chunk(shard, c);
    }
    if (c->dirty) {
        struct connection **at = &shard->dirty;
        while (*at != c) {
            at = &(*at)->dirty_next;
        }
        *at = c->dirty_next;
    }
    alias_forget_all(shard->account, c);
    if (connection_transport(c) != NULL) {
        transport_close(shard, &c->extra->transport);
    }
    limits_release_address(shard, c);
    unadmit(shard, c->listener);
    forget_connection(shard, c);
}

/* How long it has said nothing, 0 where that is because of us: it waits for an answer or is held by congestion. */
static uint32_t
silence_ms(const struct shard *shard, const struct connection *c)
{
    bool excused = (c->held && (shard->congested || is_promised_much(c))) || c->waiting;
    return excused ? 0 : (uint32_t)shard->now_ms - c->last_received_ms; /* 27 hours at most, so the half of a clock will do */
}

/* When what it was let in for ends, UINT64_MAX: never. By the wall clock, which may be set: so it is looked at again now and then. */
static uint64_t
end_of_login_ms(const struct shard *shard, const struct connection *c)
{
    const struct principal *principal = session_get_extra(c->session)->principal;
    if (principal == NULL || principal->expires_wall_ms == 0) {
        return UINT64_MAX;
    }
    uint64_t wall_ms = io_wall_ms(shard->io);
    return shard->now_ms + (principal->expires_wall_ms > wall_ms ? principal->expires_wall_ms - wall_ms : 0);
}

/* Lazy keep-alive: packets only note the time. MQTT5 [MQTT-3.1.2-22]. */
void
connection_watch(struct shard *shard, struct connection *c)
{
    if (c->paced) {
        return; /* pace_timer() comes back here */
    }
    uint64_t end_ms = end_of_login_ms(shard, c);
    bool limited = end_ms != UINT64_MAX;
    uint64_t due_ms = limited && end_ms - shard->now_ms > WALL_CLOCK_LOOK_MS ? shard->now_ms + WALL_CLOCK_LOOK_MS : end_ms;
    if (c->keep_alive_s > 0) {
        uint64_t silent_ms = silence_ms(shard, c), silence_max_ms = connection_silence_ms(c);
        uint64_t deadline_ms = shard->now_ms + (silent_ms < silence_max_ms ? silence_max_ms - silent_ms : 0);
        due_ms = deadline_ms < due_ms ? deadline_ms : due_ms;
    }
    timer_disarm(&shard->wheel, &c->timer);
    if (due_ms != UINT64_MAX) {
        timer_arm(&shard->wheel, &c->timer, due_ms);
    }
}

/* A step of its handshake is being computed elsewhere. */
static bool
transport_waits(const struct connection *c)
{
    const struct transport *t = connection_transport(c);
    return t != NULL && t->tls != NULL && tls_layer_waits(t->tls);
}

/* No CONNACK within connect_timeout. What was late was the peer, or our own work: then nobody is banned for it. */
static void
give_up(struct shard *shard, struct connection *c)
{
    if (c->state == CONNECTION_NEW && c->waiting) {
        stats_add(&shard->stats.drops[DROP_WORK_LATE], 1);
        connect_give_up(shard, c);
        return;
    }
    bool ours = transport_waits(c);
    enum drop_reason why = ours ? DROP_WORK_LATE : DROP_CONNECT_TIMEOUT;
    stats_add(&shard->stats.drops[why], 1);
    log_peer(CONFIG_LOG_NOTICE, why, "Connection from %s closed: %s.", connection_peer_text(c),
             ours ? "its TLS handshake waits for us too long" : "no complete CONNECT in time");
    if (!ours) {
        limits_note_refusal(shard, c, REASON_UNSPECIFIED_ERROR);
    }
    connection_drop(shard, c, false);
}

void
connection_timer(struct shard *shard, struct connection *c)
{
    if (c->linger) {
        c->state = CONNECTION_CLOSED;
        io_close(shard->io, c->socket);
        return;
    }
    if (c->state != CONNECTION_CONNECTED) {
        give_up(shard, c);
        return;
    }
    if (end_of_login_ms(shard, c) <= shard->now_ms) {
        stats_add(&shard->stats.drops[DROP_LOGIN_EXPIRED], 1);
        connection_close(shard, c, REASON_MAXIMUM_CONNECT_TIME, "was let in until now");
        return;
    }
    if (c->paced) {
        pace_timer(shard, c);
        return;
    }
    if (silence_ms(shard, c) < connection_silence_ms(c) || c->keep_alive_s == 0) {
        connection_watch(shard, c);
        return;
    }
    stats_add(&shard->stats.drops[DROP_KEEP_ALIVE], 1);
    connection_close(shard, c, REASON_KEEP_ALIVE_TIMEOUT, "exceeded its keep-alive");
}
