#include "bench/load/fleet.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "bench/load/mqtt.h"
#include "bench/load/process.h"
#include "bench/load/raw.h"

static void
note_failure(struct fleet *f, struct client *c, enum failure_kind kind, int detail)
{
    char role[32];
    client_write_role(c, role, sizeof role);
    failure_add(&f->failures, kind, c->index, role, detail, process_get_now_ns() - f->start_ns);
}

static void
on_ready(void *owner, struct client *c)
{
    struct fleet *f = owner;
    (void)c;
    f->opening--;
    f->ready++;
}

static void
on_failed(void *owner, struct client *c, enum failure_kind kind, int detail)
{
    struct fleet *f = owner;
    if (c->came_up) {
        f->ready--;
    } else {
        f->opening--;
    }
    f->failed++;
    note_failure(f, c, kind, detail);
}

static void
on_left(void *owner, struct client *c)
{
    struct fleet *f = owner;
    (void)c;
    f->ready--;
    f->left++;
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
on_acked(void *owner, struct client *c)
{
    struct fleet *f = owner;
    traffic_acked(f->traffic, c);
}

static const struct client_events events = {
    .ready = on_ready,
    .message = on_message,
    .acked = on_acked,
    .touched = on_touched,
    .failed = on_failed,
    .left = on_left,
};

bool
fleet_init(struct fleet *f, struct loop *l, const struct options *o, struct traffic *t, uint64_t now_ns)
{
    uint32_t subscribers = options_get_subscribers(o);
    uint32_t publishers = options_get_publishers(o);

    *f = (struct fleet){.traffic = t, .start_ns = now_ns};
    f->shared = (struct client_shared){
        .loop = l,
        .options = o,
        .scenario = t->scenario,
        .protocol = o->raw ? &raw_protocol : &mqtt_protocol,
        .events = &events,
        .owner = f,
        .to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port), .sin_addr.s_addr = htonl(o->address)},
    };
    f->count = o->scenario == SCENARIO_IDLE ? (uint32_t)o->count : subscribers + publishers;
    f->clients = calloc(f->count, sizeof *f->clients);
    f->touched = calloc(f->count, sizeof *f->touched);
    if (f->clients == NULL || f->touched == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < f->count; i++) {
        struct client *c = &f->clients[i];
        bool publishes = i >= subscribers;
        *c = (struct client){.shared = &f->shared, .index = i, .fd = -1};
        c->role = o->scenario == SCENARIO_IDLE ? CLIENT_IDLE : publishes ? CLIENT_PUBLISHER : CLIENT_SUBSCRIBER;
        c->role_index = publishes ? i - subscribers : i;
        if (c->role == CLIENT_PUBLISHER) {
            t->publishers[c->role_index].client = c;
        }
    }
    return true;
}

void
fleet_fini(struct fleet *f)
{
    for (uint32_t i = 0; i < f->count; i++) {
        f->clients[i].sending = false; /* the ring is closed: nothing is in flight any more */
        client_close(&f->clients[i]);
    }
    free(f->clients);
    free(f->touched);
    *f = (struct fleet){0};
}

void
fleet_open_more(struct fleet *f)
{
    while (f->opened < f->count && f->opening < FLEET_OPENING_MAX) {
        struct client *c = &f->clients[f->opened++];
        f->opening++;
        int error = client_open(c);
        if (error != 0) {
            client_fail(c, FAILURE_CONNECT, -error);
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
            traffic_publish(f->traffic, &f->traffic->publishers[c->role_index]);
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
}

void
fleet_fail_opening(struct fleet *f)
{
    for (uint32_t i = 0; i < f->opened; i++) {
        struct client *c = &f->clients[i];
        if (c->state == CLIENT_CONNECTING || c->state == CLIENT_GREETING || c->state == CLIENT_SUBSCRIBING) {
            client_fail(c, FAILURE_NO_ANSWER, 0);
        }
    }
}

void
fleet_fail_stalled(struct fleet *f)
{
    for (uint32_t i = 0; i < f->traffic->publisher_count; i++) {
        struct publisher *p = &f->traffic->publishers[i];
        if (p->outstanding > 0 || p->client->inflight.used > 0) {
            note_failure(f, p->client, FAILURE_STALLED, 0);
        }
    }
}

void
fleet_leave(struct fleet *f)
{
    for (uint32_t i = 0; i < f->opened; i++) {
        client_leave(&f->clients[i]);
    }
    flush_touched(f);
}
