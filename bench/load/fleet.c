#include "bench/load/fleet.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/load/mqtt.h"
#include "bench/load/process.h"
#include "bench/load/raw.h"

#define SECOND_NS UINT64_C(1000000000)

static _Atomic uint64_t *
count_of(const struct fleet *f, enum board_count which)
{
    return &f->traffic->counts[which];
}

static void
note_failure(struct fleet *f, struct client *c, enum failure_kind kind, int detail)
{
    char role[32];
    client_write_role(c, role, sizeof role);
    failure_add(&f->traffic->desk->failures, kind, c->index, role, detail, process_get_now_ns() - f->traffic->board->start_ns);
    count_add(count_of(f, COUNT_FAILURES), 1);
}

/* -------------------------------------------------------------------------------------------------------------- events */

static void
on_greeted(void *owner, struct client *c)
{
    struct fleet *f = owner;
    uint64_t now_ns = process_get_now_ns();
    bool is_scenery = c->role != CLIENT_IDLE && f->shared.scenario->program == PROGRAM_STORM;
    if (!is_scenery) {
        histogram_add(&f->traffic->desk->connecting, now_ns > c->since_ns ? now_ns - c->since_ns : 0);
    }
    c->since_ns = now_ns;
}

static void
on_ready(void *owner, struct client *c)
{
    struct fleet *f = owner;
    if (c->came_up) {
        return; /* it has subscribed late */
    }
    c->came_up = true;
    f->opening--;
    count_take(count_of(f, COUNT_AWAITED), 1);
    count_add(count_of(f, COUNT_READY), 1);
    count_add(count_of(f, COUNT_CAME_UP), 1);
}

static void
on_failed(void *owner, struct client *c, enum failure_kind kind, int detail)
{
    struct fleet *f = owner;
    if (c->came_up) {
        count_take(count_of(f, COUNT_READY), 1);
    } else {
        f->opening--;
        count_take(count_of(f, COUNT_AWAITED), 1);
    }
    count_add(count_of(f, COUNT_FAILED), 1);
    note_failure(f, c, kind, detail);
}

static void
on_left(void *owner, struct client *c)
{
    struct fleet *f = owner;
    (void)c;
    count_take(count_of(f, COUNT_READY), 1);
    count_take(count_of(f, COUNT_LEAVING), 1);
}

static void
on_touched(void *owner, struct client *c)
{
    struct fleet *f = owner;
    assert(f->touched_count < f->count); /* F2 */
    f->touched[f->touched_count++] = c;
}

static void
on_message(void *owner, struct client *c, struct bytes payload)
{
    struct fleet *f = owner;
    traffic_receive(f->traffic, c, payload);
}

static void
on_acked(void *owner, struct client *c, uint16_t packet_id)
{
    struct fleet *f = owner;
    traffic_acked(f->traffic, c, packet_id);
}

static const struct client_events events = {
    .greeted = on_greeted,
    .ready = on_ready,
    .message = on_message,
    .acked = on_acked,
    .touched = on_touched,
    .failed = on_failed,
    .left = on_left,
};

/* -------------------------------------------------------------------------------------------------------------- set-up */

uint32_t
fleet_count_publishers(const struct options *o, const struct board *b, uint32_t worker)
{
    return board_count_flow(b, scenario_count_publishers(o), worker);
}

uint32_t
fleet_count_clients(const struct options *o, const struct board *b, uint32_t worker)
{
    return board_count_flow(b, scenario_count_subscribers(o), worker) + fleet_count_publishers(o, b, worker) +
        board_count_idle(b, scenario_count_idle(o), worker);
}

/* Among all clients of its role. */
static uint32_t
number_of(const struct fleet *f, const struct client *c)
{
    const struct board *b = f->traffic->board;
    uint32_t worker = f->traffic->worker;

    if (c->role == CLIENT_IDLE) {
        return c->local * b->idle_workers + worker - (b->worker_count - b->idle_workers);
    }
    return c->local * b->flow_workers + worker;
}

static void
init_client(struct fleet *f, uint32_t tag)
{
    const struct options *o = f->shared.options;
    const struct traffic *t = f->traffic;
    struct client *c = &f->clients[tag];
    uint32_t before = 0; /* clients of other roles, in the whole run */

    *c = (struct client){.shared = &f->shared, .tag = tag, .local = tag, .role = CLIENT_SUBSCRIBER, .file = {.number = -1}};
    if (tag >= f->first_idle) {
        c->role = CLIENT_IDLE;
        c->local = tag - f->first_idle;
        before = scenario_count_subscribers(o) + scenario_count_publishers(o);
    } else if (tag >= f->first_publisher) {
        c->role = CLIENT_PUBLISHER;
        c->local = tag - f->first_publisher;
        before = scenario_count_subscribers(o);
        traffic_get_own(t, c->local)->client = c;
    }
    c->role_index = number_of(f, c);
    c->index = before + c->role_index;
}

bool
fleet_init(struct fleet *f, struct loop *l, const struct options *o, struct traffic *t, struct secure_context *secure, bool plain_publishers)
{
    const struct board *b = t->board;

    *f = (struct fleet){.traffic = t, .count = fleet_count_clients(o, b, t->worker)};
    tunnel_shared_init(&f->tunnels, o, secure, t->desk);
    f->shared = (struct client_shared){
        .loop = l,
        .options = o,
        .scenario = scenario_get(o->scenario),
        .protocol = o->raw ? &raw_protocol : &mqtt_protocol,
        .events = &events,
        .owner = f,
        .tunnels = tunnel_is_wanted(o) ? &f->tunnels : NULL,
        .to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port), .sin_addr.s_addr = htonl(o->address)},
        .plain_publishers = plain_publishers,
    };
    f->first_publisher = board_count_flow(b, scenario_count_subscribers(o), t->worker);
    f->first_idle = f->first_publisher + fleet_count_publishers(o, b, t->worker);
    f->order.cursor = f->count; /* no order yet */
    f->clients = calloc(f->count + 1u, sizeof *f->clients);
    f->touched = calloc(f->count + 1u, sizeof *f->touched);
    if (f->clients == NULL || f->touched == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < f->count; i++) {
        init_client(f, i);
    }
    return true;
}

void
fleet_fini(struct fleet *f)
{
    for (uint32_t i = 0; f->clients != NULL && i < f->count; i++) {
        client_free(&f->clients[i]);
    }
    tunnel_shared_fini(&f->tunnels);
    free(f->clients);
    free(f->touched);
    *f = (struct fleet){0};
}

/* ---------------------------------------------------------------------------------------------------------- connecting */

static bool
is_in(const struct client *c, uint32_t groups)
{
    static const uint32_t group_of[] = {
        [CLIENT_PUBLISHER] = GROUP_PUBLISHERS, [CLIENT_SUBSCRIBER] = GROUP_SUBSCRIBERS, [CLIENT_IDLE] = GROUP_IDLE};
    return (groups & group_of[c->role]) != 0;
}

void
fleet_connect(struct fleet *f, uint32_t groups, enum order_session session, uint64_t now_ns)
{
    uint64_t awaited = 0;

    assert(count_get(count_of(f, COUNT_AWAITED)) == 0);
    for (uint32_t i = 0; i < f->count; i++) {
        awaited += is_in(&f->clients[i], groups) ? 1 : 0;
    }
    f->shared.session = session;
    f->order = (struct fleet_opening){.groups = groups, .start_ns = now_ns};
    f->ping_start_ns = f->ping_start_ns == 0 ? now_ns : f->ping_start_ns;
    count_set(count_of(f, COUNT_AWAITED), awaited);
}

static void
open_client(struct fleet *f, struct client *c, uint64_t due_ns)
{
    f->opening++;
    int error = client_open(c, due_ns);
    if (error != 0) {
        client_fail(c, FAILURE_CONNECT, -error);
    }
}

/* How many have clients of its kind. */
static uint32_t
workers_with(const struct board *b, const struct client *c)
{
    return c->role == CLIENT_IDLE ? b->idle_workers : b->flow_workers;
}

/* Of those that may be under way at once, one worker's part. */
static uint64_t
most_under_way(const struct fleet *f, const struct client *c)
{
    uint32_t workers = workers_with(f->traffic->board, c);
    return (f->shared.options->connecting + workers - 1) / workers;
}

/* The workers take turns, as publishers do at a rate. */
static uint64_t
connect_due(const struct fleet *f, const struct client *c)
{
    const struct board *b = f->traffic->board;
    uint32_t before = c->role == CLIENT_IDLE ? b->worker_count - b->idle_workers : 0;
    uint64_t nth = (uint64_t)f->order.nth * workers_with(b, c) + f->traffic->worker - before;
    uint64_t rate = f->shared.options->connect_rate;
    return rate == 0 ? f->order.start_ns : f->order.start_ns + nth * SECOND_NS / rate;
}

uint64_t
fleet_open_more(struct fleet *f, uint64_t now_ns)
{
    const struct options *o = f->shared.options;

    uint32_t opened = 0;

    for (; f->order.cursor < f->count; f->order.cursor++) {
        struct client *c = &f->clients[f->order.cursor];
        if (!is_in(c, f->order.groups)) {
            continue;
        }
        if (opened == FLEET_TURN_OPENINGS) {
            return now_ns;
        }
        if (f->opening >= most_under_way(f, c) || !client_is_at_rest(c) || !tunnel_shared_may_open(&f->tunnels, f->opening)) {
            return UINT64_MAX;
        }
        uint64_t due_ns = connect_due(f, c);
        if (due_ns > now_ns) {
            return due_ns;
        }
        f->order.nth++;
        opened++;
        open_client(f, c, o->connect_rate == 0 ? now_ns : due_ns);
    }
    return UINT64_MAX;
}

/* ---------------------------------------------------------------------------------------------------------------- turn */

uint64_t
fleet_ping(struct fleet *f, uint64_t now_ns)
{
    uint64_t keep_alive_ns = f->shared.options->keep_alive_s * SECOND_NS;

    if (keep_alive_ns == 0 || f->ping_start_ns == 0 || f->count == 0) {
        return UINT64_MAX;
    }
    /* Everyone once in half the keep-alive, spread over it. */
    for (;;) {
        uint64_t due_ns = f->ping_start_ns + (uint64_t)((unsigned __int128)(f->pinged + 1) * (keep_alive_ns / 2) / f->count);
        if (due_ns > now_ns) {
            return due_ns;
        }
        struct client *c = &f->clients[f->pinged++ % f->count];
        if (c->state == CLIENT_READY) {
            f->shared.protocol->ping(c);
        }
    }
}

static void
flush_touched(struct fleet *f)
{
    /* Grows while it is walked when a send fails; each client is in it at most once (F2). */
    for (uint32_t i = 0; i < f->touched_count; i++) {
        struct client *c = f->touched[i];
        c->touched = false;
        if (c->role == CLIENT_PUBLISHER) {
            traffic_publish(f->traffic, traffic_get_own(f->traffic, c->local));
        }
        client_flush(c);
    }
    f->touched_count = 0;
}

void
fleet_turn(struct fleet *f)
{
    struct loop_event e;

    flush_touched(f);
    for (uint32_t i = 0; i < FLEET_TURN_EVENTS && loop_next(f->shared.loop, &e); i++) {
        client_handle(&f->clients[e.tag], &e);
        if (e.data != NULL) {
            loop_give(f->shared.loop, &e);
        }
        /* After each event, not after all: a publisher sends as soon as its window opens, and the broker is never without work. */
        flush_touched(f);
    }
    count_set(count_of(f, COUNT_SENDING), f->shared.sending);
}

void
fleet_subscribe(struct fleet *f, uint64_t now_ns)
{
    for (uint32_t i = 0; i < f->first_publisher; i++) {
        if (f->clients[i].state == CLIENT_READY) {
            f->clients[i].since_ns = now_ns;
            client_subscribe(&f->clients[i]);
        }
    }
}

/* -------------------------------------------------------------------------------------------------------------- ending */

/* Fails who has waited for an answer for --stall; true if somebody had. */
static bool
fail_unanswered(struct fleet *f, uint64_t now_ns)
{
    bool found = false;

    for (uint32_t i = 0; i < f->count; i++) {
        struct client *c = &f->clients[i];
        bool waits = c->state == CLIENT_CONNECTING || c->state == CLIENT_TUNNELLING || c->state == CLIENT_GREETING || c->state == CLIENT_SUBSCRIBING;
        if (waits && now_ns > c->since_ns + f->shared.options->stall_ns) {
            client_fail(c, FAILURE_NO_ANSWER, 0);
            found = true;
        }
    }
    return found;
}

/* Nobody begins any more: each batch would cost another --stall. */
static void
fail_unopened(struct fleet *f)
{
    for (; f->order.cursor < f->count; f->order.cursor++) {
        struct client *c = &f->clients[f->order.cursor];
        if (!is_in(c, f->order.groups)) {
            continue;
        }
        if (c->state == CLIENT_LEAVING) {
            client_fail(c, FAILURE_NO_ANSWER, 0); /* that ends its leaving, no more */
        }
        count_take(count_of(f, COUNT_AWAITED), 1);
        count_add(count_of(f, COUNT_FAILED), 1);
        note_failure(f, c, FAILURE_NOT_BEGUN, 0);
    }
}

/* The next one to connect waits for the end of its former connection. */
static bool
is_held_up(const struct fleet *f)
{
    uint32_t next = f->order.cursor;

    while (next < f->count && !is_in(&f->clients[next], f->order.groups)) {
        next++;
    }
    return next < f->count && !client_is_at_rest(&f->clients[next]);
}

void
fleet_fail_opening(struct fleet *f, uint64_t now_ns)
{
    bool unanswered = fail_unanswered(f, now_ns);
    if (unanswered || is_held_up(f)) {
        fail_unopened(f);
    }
}

void
fleet_fail_stalled(struct fleet *f)
{
    for (uint32_t i = 0; i < f->traffic->own_count; i++) {
        struct publisher *p = traffic_get_own(f->traffic, i);
        if (p->outstanding > 0 || p->due > 0 || p->client->inflight.used > 0 || p->client->sending) {
            note_failure(f, p->client, FAILURE_STALLED, 0);
        }
    }
}

void
fleet_leave(struct fleet *f, uint32_t groups)
{
    f->order.cursor = f->count; /* nobody connects any more */
    for (uint32_t i = 0; i < f->count; i++) {
        struct client *c = &f->clients[i];
        if (is_in(c, groups)) {
            count_add(count_of(f, COUNT_LEAVING), c->state == CLIENT_READY ? 1 : 0);
            client_leave(c);
        }
    }
    flush_touched(f);
}

void
fleet_fail_leaving(struct fleet *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        struct client *c = &f->clients[i];
        if (c->state == CLIENT_LEAVING && (c->sending || c->filling.used > 0 || (c->tunnel != NULL && c->tunnel->wire.used > 0))) {
            note_failure(f, c, FAILURE_UNSENT, 0);
        }
    }
}
