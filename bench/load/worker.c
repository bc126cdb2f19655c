#include "bench/load/worker.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/load/fleet.h"
#include "bench/load/process.h"

/* The longest sleep, so that a bell that was missed costs a second and not the run. */
#define SLEEP_MAX_NS UINT64_C(1000000000)

struct worker {
    const struct worker_place *place;
    struct board *board;
    struct desk *desk;
    struct loop loop;
    struct traffic traffic;
    struct fleet fleet;
    uint64_t next_ns; /* when something falls due */
    bool quit;
};

static void
set_state(struct desk *d, enum desk_state state)
{
    /* Release: who sees the state sees what it speaks of. */
    atomic_store_explicit(&d->state, state, memory_order_release);
}

/* -------------------------------------------------------------------------------------------------------------- orders */

/* True when the order is carried out as far as taking it goes; what it began shows in the counts. */
static bool
carry_out(struct worker *w, const struct order *o)
{
    uint64_t now_ns = process_get_now_ns();

    switch (o->kind) {
    case ORDER_NONE: break;
    case ORDER_CONNECT: fleet_connect(&w->fleet, o->groups, o->session, now_ns); break;
    case ORDER_SUBSCRIBE: fleet_subscribe(&w->fleet, now_ns); break;
    case ORDER_OPEN: traffic_open(&w->traffic, o->at_ns); break;
    case ORDER_ERASE: traffic_erase(&w->traffic); break;
    case ORDER_CLOSE: traffic_close(&w->traffic, o->at_ns); break;
    case ORDER_FAIL_OPENING: fleet_fail_opening(&w->fleet, now_ns); break;
    case ORDER_FAIL_STALLED: fleet_fail_stalled(&w->fleet); break;
    case ORDER_LEAVE: fleet_leave(&w->fleet, o->groups); break;
    case ORDER_FAIL_LEAVING: fleet_fail_leaving(&w->fleet); break;
    case ORDER_SETTLE: traffic_settle(&w->traffic); return traffic_send_mail(&w->traffic);
    case ORDER_TALLY:
        traffic_take_mail(&w->traffic);
        traffic_tally(&w->traffic);
        break;
    case ORDER_QUIT: w->quit = true; break;
    }
    return true;
}

static void
obey(struct worker *w)
{
    const struct order *o = board_get_order(w->board, w->place->number);
    if (o != NULL && carry_out(w, o)) {
        board_take_order(w->board, w->place->number);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- turn */

/* Sleeps until the next thing is due, unless there is mail or an order by now. 0 or -errno. */
static int
sleep_until_due(struct worker *w)
{
    bool alone = w->board->worker_count == 1;
    uint64_t now_ns = process_get_now_ns();
    uint64_t timeout_ns = w->next_ns > now_ns ? w->next_ns - now_ns : 0;

    timeout_ns = timeout_ns < SLEEP_MAX_NS ? timeout_ns : SLEEP_MAX_NS;
    if (alone) {
        return loop_wait(&w->loop, timeout_ns);
    }
    /* In one order with what senders do: store the mail, then look at `sleeping` (board_wake). */
    atomic_store_explicit(&w->desk->sleeping, 1, memory_order_seq_cst);
    bool asked = !mail_is_empty(&w->traffic.mail) || w->traffic.mail.waiting > 0;
    int error = loop_wait(&w->loop, asked ? 0 : timeout_ns);
    atomic_store_explicit(&w->desk->sleeping, 0, memory_order_relaxed);
    return error;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static int
turn(struct worker *w)
{
    int error = sleep_until_due(w);
    if (error != 0 && error != -EINTR) {
        return error;
    }
    obey(w);
    uint64_t now_ns = process_get_now_ns();
    w->next_ns = least(traffic_tick(&w->traffic, now_ns), fleet_ping(&w->fleet, now_ns));
    traffic_take_mail(&w->traffic);
    fleet_turn(&w->fleet);
    /* After the turn: handshakes that it ended make room, and if they were the last under way no event would come to say so. */
    w->next_ns = least(w->next_ns, fleet_open_more(&w->fleet, process_get_now_ns()));
    traffic_send_mail(&w->traffic);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------ start and end */

/* Direct descriptors for all but the publishers that have plain ones. */
static uint32_t
count_slots(const struct worker_place *p)
{
    uint32_t clients = fleet_count_clients(p->options, p->board, p->number);
    uint32_t publishers = fleet_count_publishers(p->options, p->board, p->number);
    return clients == publishers && p->plain_publishers ? 0 : clients;
}

/* 0 or an errno. */
static int
start(struct worker *w)
{
    const struct worker_place *p = w->place;

    int error = loop_open(&w->loop, count_slots(p));
    if (error != 0) {
        return -error;
    }
    loop_watch(&w->loop, w->desk->wake_fd);
    bool room = traffic_init(&w->traffic, p->options, p->board, p->number) &&
        fleet_init(&w->fleet, &w->loop, p->options, &w->traffic, p->secure, p->plain_publishers);
    return room ? 0 : ENOMEM;
}

static int
work(struct worker *w)
{
    int error = start(w);
    if (error != 0) {
        return error;
    }
    set_state(w->desk, DESK_UP);
    while (!w->quit && error == 0) {
        error = -turn(w);
    }
    loop_close(&w->loop);
    fleet_fini(&w->fleet);
    traffic_fini(&w->traffic);
    return error;
}

/* On one machine the storm's own handshakes would take the cores that it is meant to be served by. */
static void
give_way(const struct worker_place *p)
{
    if (p->options->storm_yields && p->number >= p->board->flow_workers) {
        /* Not a nice value: even at 19 a thread keeps the core for a slice of some milliseconds when a broker's thread wakes up. */
        (void)sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0});
    }
}

void *
worker_run(void *place)
{
    const struct worker_place *p = place;
    struct worker *w = calloc(1, sizeof *w);
    struct desk *d = &p->board->desks[p->number];

    d->thread = (int)gettid();
    give_way(p);
    if (w == NULL) {
        d->error = ENOMEM;
        set_state(d, DESK_BROKEN);
        return NULL;
    }
    *w = (struct worker){.place = p, .board = p->board, .desk = d, .next_ns = UINT64_MAX};
    d->error = work(w);
    free(w);
    set_state(d, d->error == 0 ? DESK_GONE : DESK_BROKEN);
    return NULL;
}

