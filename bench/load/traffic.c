#include "bench/load/traffic.h"

#include <assert.h>
#include <stdlib.h>

#include "bench/load/process.h"

/* -------------------------------------------------------------------------------------------------------------- set-up */

struct publisher *
traffic_get_own(const struct traffic *t, uint32_t local)
{
    return &t->board->publishers[(uint64_t)local * t->board->flow_workers + t->worker];
}

/* --messages is for each topic where topics are kept apart, else for all publishers together. */
static uint64_t
limit_of(const struct traffic *t, uint32_t number)
{
    const struct options *o = t->options;
    if (o->messages == 0) {
        return UINT64_MAX;
    }
    if (o->scenario == SCENARIO_OFFLINE) {
        return o->messages;
    }
    return board_count_dealt((uint32_t)o->messages, t->board->publisher_count, number);
}

static bool
init_publisher(struct traffic *t, uint32_t local)
{
    char topic[SCENARIO_NAME_ROOM];
    struct publisher *p = traffic_get_own(t, local);
    bool numbered = t->judge == JUDGE_SET;
    enum stencil_kind kind = numbered ? STENCIL_NUMBERED : t->options->retain ? STENCIL_RETAINED : STENCIL_PLAIN;

    p->worker = t->worker;
    p->number = local * t->board->flow_workers + t->worker;
    p->limit = limit_of(t, p->number);
    t->scenario->write_topic(t->options, p->number, topic, sizeof topic);
    return stencil_init(&p->stencil, kind, t->options, topic) &&
        (!numbered || stencil_init(&p->eraser, STENCIL_ERASING, t->options, topic));
}

static bool
init_streams(struct traffic *t)
{
    size_t streams = 0, sets = 0;

    switch (t->judge) {
    case JUDGE_PAIRS: streams = t->subscriber_count; break;
    case JUDGE_ALL: streams = (size_t)t->subscriber_count * t->board->publisher_count; break;
    case JUDGE_SET: sets = (size_t)t->subscriber_count * t->board->publisher_count; break;
    case JUDGE_GROUPS: sets = (size_t)t->own_count * t->options->groups; break;
    case JUDGE_NOTHING:
    case JUDGE_STRANGERS: break;
    }
    t->streams = calloc(streams + 1, sizeof *t->streams);
    t->sets = calloc(sets + 1, sizeof *t->sets);
    return t->streams != NULL && t->sets != NULL;
}

static void
init_bounds(struct traffic *t)
{
    const struct options *o = t->options;

    t->outstanding_max = scenario_has_window(o) ? scenario_get_share(o) * t->fan : UINT64_MAX;
    t->paced_by_socket = o->scenario == SCENARIO_PUB && o->qos == 0 && o->rate == 0;
    t->segment_min = t->fan * (o->qos == 0 && o->messages == 0 ? o->burst : 1);
    t->expected = o->scenario == SCENARIO_RETAINED || o->scenario == SCENARIO_OFFLINE ? o->messages : 0;
    t->times_sending = o->rate > 0 || o->scenario == SCENARIO_PUB;
    t->looks_at_arrival = o->rate > 0 || t->expected > 0;
}

bool
traffic_init(struct traffic *t, const struct options *o, struct board *b, uint32_t worker)
{
    const struct scenario *s = scenario_get(o->scenario);

    *t = (struct traffic){.options = o, .scenario = s, .board = b, .worker = worker, .judge = s->judge, .fan = scenario_get_fan(o)};
    t->desk = &b->desks[worker];
    t->counts = t->desk->counts;
    t->own_count = board_count_flow(b, b->publisher_count, worker);
    t->subscriber_count = board_count_flow(b, scenario_count_subscribers(o), worker);
    init_bounds(t);
    if (!mail_init(&t->mail, b, worker) || !init_streams(t)) {
        return false;
    }
    for (uint32_t i = 0; i < t->own_count; i++) {
        if (!init_publisher(t, i)) {
            return false;
        }
    }
    return true;
}

static size_t
count_streams(const struct traffic *t)
{
    return t->judge == JUDGE_PAIRS ? t->subscriber_count : t->judge == JUDGE_ALL ? (size_t)t->subscriber_count * t->board->publisher_count : 0;
}

static size_t
count_sets(const struct traffic *t)
{
    return t->judge == JUDGE_SET ? (size_t)t->subscriber_count * t->board->publisher_count
        : t->judge == JUDGE_GROUPS ? (size_t)t->own_count * t->options->groups
                                   : 0;
}

void
traffic_fini(struct traffic *t)
{
    for (uint32_t i = 0; i < t->own_count; i++) {
        stencil_fini(&traffic_get_own(t, i)->stencil);
        stencil_fini(&traffic_get_own(t, i)->eraser);
    }
    for (size_t i = 0; t->streams != NULL && i < count_streams(t); i++) {
        stream_fini(&t->streams[i]);
    }
    for (size_t i = 0; t->sets != NULL && i < count_sets(t); i++) {
        seen_fini(&t->sets[i]);
    }
    free(t->streams);
    free(t->sets);
    strangers_fini(&t->strangers);
    mail_fini(&t->mail);
    *t = (struct traffic){0};
}

/* ----------------------------------------------------------------------------------------------------------- publishing */

static void
touch_publishers(const struct traffic *t)
{
    for (uint32_t i = 0; i < t->own_count; i++) {
        client_touch(traffic_get_own(t, i)->client);
    }
}

void
traffic_open(struct traffic *t, uint64_t start_ns)
{
    t->open = true;
    t->rate_start_ns = start_ns;
    touch_publishers(t);
}

void
traffic_erase(struct traffic *t)
{
    t->open = true;
    t->erasing = true;
    touch_publishers(t);
}


/* Message k of publisher i is the (k * publishers + i)th of all: the publishers take turns. */
static uint64_t
due_time(const struct traffic *t, uint64_t nth)
{
    return t->rate_start_ns + (uint64_t)((unsigned __int128)nth * t->options->rate_ns / t->options->rate);
}

uint64_t
traffic_tick(struct traffic *t, uint64_t now_ns)
{
    if (!t->open || t->closing || t->options->rate == 0 || t->own_count == 0) {
        return UINT64_MAX;
    }
    for (;;) {
        struct publisher *p = traffic_get_own(t, (uint32_t)(t->tick % t->own_count));
        uint64_t due_ns = due_time(t, t->tick / t->own_count * t->board->publisher_count + p->number);
        if (due_ns > now_ns) {
            return due_ns;
        }
        t->tick++;
        if (p->due < p->limit - count_get(&p->sequence)) {
            p->due++;
            count_add(&t->counts[COUNT_DUE], 1);
            client_touch(p->client);
        }
    }
}

void
traffic_close(struct traffic *t, uint64_t until_ns)
{
    if (until_ns > 0 && t->options->rate > 0) {
        traffic_tick(t, until_ns);
        t->closing = true;
    } else {
        t->open = false;
    }
}

static uint64_t
room_of(const struct traffic *t, const struct publisher *p)
{
    uint64_t room = t->outstanding_max - p->outstanding;
    uint64_t left = p->limit - count_get(&p->sequence);

    room = t->fan == 1 ? room : room / t->fan;
    room = left < room ? left : room;
    if (t->options->qos > 0) {
        uint64_t ids = p->client->inflight.quota - p->client->inflight.used;
        room = ids < room ? ids : room;
    }
    return room;
}

/* How many messages the next segment carries: a whole burst or none; with a rate one message when one is due. */
static uint64_t
segment_of(const struct traffic *t, const struct publisher *p)
{
    uint64_t burst = t->options->burst;

    if (t->options->rate > 0 && p->due == 0) {
        return 0;
    }
    if (t->options->qos > 0 && p->client->inflight.quota < burst) {
        burst = p->client->inflight.quota; /* the broker's Receive Maximum is smaller than a burst */
    }
    uint64_t left = p->limit - count_get(&p->sequence);
    burst = left < burst ? left : burst; /* the last one */
    return room_of(t, p) < burst ? 0 : burst;
}

/* How long ago a message was due, if it was due in the measured phase. */
static void
count_delay(const struct traffic *t, struct histogram *h, uint64_t due_ns, uint64_t now_ns)
{
    if (due_ns >= count_get(&t->board->latency_from_ns) && due_ns < count_get(&t->board->latency_until_ns)) {
        histogram_add(h, now_ns > due_ns ? now_ns - due_ns : 0);
    }
}

/* A due time at a rate; else, for a `sub` elsewhere on this machine, the time. */
static uint64_t
take_time(struct traffic *t, struct publisher *p, uint64_t sequence)
{
    if (t->options->rate == 0) {
        return process_get_now_ns();
    }
    uint64_t due_ns = due_time(t, sequence * t->board->publisher_count + p->number);
    p->due--;
    count_take(&t->counts[COUNT_DUE], 1);
    count_delay(t, &t->desk->lateness, due_ns, process_get_now_ns());
    return due_ns;
}

static void
write_message(struct traffic *t, struct publisher *p)
{
    uint64_t sequence = count_get(&p->sequence);
    struct payload_stamp stamp = {.publisher = t->board->publisher_base + p->number, .sequence = sequence};
    uint16_t id = t->options->qos > 0 ? inflight_take(&p->client->inflight) : 0;

    count_set(&p->sequence, sequence + 1);
    if (t->times_sending) {
        stamp.due_ns = take_time(t, p, sequence);
    }
    if (id != 0 && t->options->rate > 0) {
        inflight_note_due(&p->client->inflight, id, stamp.due_ns);
    }
    stencil_write(&p->stencil, client_reserve(p->client, p->stencil.size), id, stamp);
    p->client->filling.used += p->stencil.size;
}

static void
push(const struct traffic *t, struct publisher *p)
{
    if (t->paced_by_socket) {
        client_flush(p->client); /* and goes on when the ring has sent it: other publishers get their turn */
    } else {
        client_push(p->client);
    }
}

static bool
may_send(const struct traffic *t, const struct publisher *p)
{
    return t->open && !p->client->sending && p->client->state == CLIENT_READY;
}

static void
publish_segments(struct traffic *t, struct publisher *p)
{
    uint64_t count;

    while (may_send(t, p) && (count = segment_of(t, p)) > 0) {
        for (uint64_t i = 0; i < count; i++) {
            write_message(t, p);
        }
        if (t->judge != JUDGE_NOTHING) {
            p->outstanding += count * t->fan;
            count_add(&t->counts[COUNT_OUTSTANDING], count * t->fan);
        }
        count_add(&t->counts[COUNT_SENT], count);
        if (t->options->qos > 0) {
            count_add(&t->counts[COUNT_UNACKED], count);
        }
        push(t, p);
    }
}

static void
publish_erasers(struct traffic *t, struct publisher *p)
{
    struct client *c = p->client;
    uint16_t id;

    while (may_send(t, p) && p->erased < count_get(&p->sequence) && (id = inflight_take(&c->inflight)) != 0) {
        stencil_write(&p->eraser, client_reserve(c, p->eraser.size), id, (struct payload_stamp){.sequence = p->erased++});
        c->filling.used += p->eraser.size;
        count_add(&t->counts[COUNT_UNACKED], 1);
    }
}

void
traffic_publish(struct traffic *t, struct publisher *p)
{
    if (t->erasing) {
        publish_erasers(t, p);
    } else {
        publish_segments(t, p);
    }
}

void
traffic_acked(struct traffic *t, struct client *publisher, uint16_t packet_id)
{
    if (t->options->rate > 0) {
        count_delay(t, &t->desk->acking, inflight_get_due(&publisher->inflight, packet_id), process_get_now_ns());
    }
    count_add(&t->counts[COUNT_ACKED], 1);
    count_take(&t->counts[COUNT_UNACKED], 1);
    client_touch(publisher);
}

/* ------------------------------------------------------------------------------------------------------------ receiving */

/* Deliveries of one of our publishers are done. */
static inline void
credit_own(struct traffic *t, struct publisher *p, uint64_t count)
{
    assert(count <= p->outstanding); /* T1 */
    p->outstanding -= count;
    count_take(&t->counts[COUNT_OUTSTANDING], count);
    /* Cheap looks first: many deliveries of a fan-out leave no room yet, and one in a receive is enough to touch. */
    bool room = t->outstanding_max - p->outstanding >= t->segment_min;
    if (t->open && room && !p->client->touched && segment_of(t, p) > 0) {
        client_touch(p->client);
    }
}

static inline void
credit(struct traffic *t, struct publisher *p, uint64_t count)
{
    if (p->worker == t->worker) {
        credit_own(t, p, count);
    } else {
        mail_credit(&t->mail, p->number, count);
    }
}

static void
count_arrival(struct traffic *t, struct client *c)
{
    if (++c->got != t->expected) {
        return;
    }
    uint64_t now_ns = process_get_now_ns();
    histogram_add(&t->desk->fetching, now_ns - c->since_ns);
    count_add(&t->counts[COUNT_FINISHED], 1);
    count_set(&t->counts[COUNT_FINISHED_AT], now_ns);
}

static void
look_at_arrival(struct traffic *t, struct client *c, const struct payload_stamp *stamp)
{
    if (t->options->rate > 0) {
        count_delay(t, &t->desk->latency, stamp->due_ns, process_get_now_ns());
    }
    if (t->expected > 0) {
        count_arrival(t, c);
    }
}

static inline void
deliver(struct traffic *t, struct client *c, const struct payload_stamp *stamp)
{
    count_add(&t->counts[COUNT_DELIVERED], 1);
    if (t->looks_at_arrival) {
        look_at_arrival(t, c, stamp);
    }
}

static inline bool
judge_in_stream(struct traffic *t, struct stream *s, uint64_t sequence)
{
    switch (stream_add(s, sequence)) {
    case STREAM_DUPLICATE: count_add(&t->counts[COUNT_DUPLICATED], 1); return false;
    case STREAM_LATE: count_add(&t->counts[COUNT_REORDERED], 1); return true;
    case STREAM_NEW: break;
    }
    return true;
}

static inline void
receive_in_stream(struct traffic *t, struct client *c, struct publisher *p, struct stream *s, const struct payload_stamp *stamp)
{
    uint64_t before = s->next;

    if (judge_in_stream(t, s, stamp->sequence)) {
        deliver(t, c, stamp);
        credit(t, p, s->next - before);
    }
}

static void
receive_in_set(struct traffic *t, struct client *c, struct publisher *p, struct seen *set, const struct payload_stamp *stamp)
{
    if (seen_add(set, stamp->sequence)) {
        deliver(t, c, stamp);
        credit(t, p, 1);
    } else {
        count_add(&t->counts[COUNT_DUPLICATED], 1);
    }
}

static void
judge_receipt(struct traffic *t, struct publisher *p, uint64_t sequence, uint32_t group)
{
    uint32_t local = p->number / t->board->flow_workers;

    if (seen_add(&t->sets[(uint64_t)local * t->options->groups + group], sequence)) {
        count_add(&t->counts[COUNT_DELIVERED], 1);
        credit_own(t, p, 1);
    } else {
        count_add(&t->counts[COUNT_DUPLICATED], 1);
    }
}

static void
receive_in_group(struct traffic *t, const struct client *c, struct publisher *p, const struct payload_stamp *stamp)
{
    uint32_t group = c->role_index % (uint32_t)t->options->groups;

    if (t->options->rate > 0) {
        count_delay(t, &t->desk->latency, stamp->due_ns, process_get_now_ns());
    }
    if (p->worker == t->worker) {
        judge_receipt(t, p, stamp->sequence, group);
    } else {
        mail_receipt(&t->mail, p->number, stamp->sequence, (uint16_t)group);
    }
}

static void
count_foreign(struct traffic *t)
{
    count_add(&t->counts[COUNT_FOREIGN], 1);
}

static inline void
receive_ours(struct traffic *t, struct client *c, struct bytes payload)
{
    struct payload_stamp stamp = payload_read_stamp(payload.data);
    uint32_t publishers = t->board->publisher_count;

    if (payload.size != t->options->size || stamp.publisher >= publishers) {
        count_foreign(t);
        return;
    }
    struct publisher *p = &t->board->publishers[stamp.publisher];
    if (stamp.sequence >= count_get(&p->sequence)) {
        count_foreign(t);
        return;
    }
    uint64_t at = (uint64_t)c->local * publishers + stamp.publisher;
    switch (t->judge) {
    case JUDGE_PAIRS:
        if (stamp.publisher == c->role_index) {
            receive_in_stream(t, c, p, &t->streams[c->local], &stamp);
        } else {
            count_foreign(t);
        }
        break;
    case JUDGE_ALL: receive_in_stream(t, c, p, &t->streams[at], &stamp); break;
    case JUDGE_SET: receive_in_set(t, c, p, &t->sets[at], &stamp); break;
    case JUDGE_GROUPS: receive_in_group(t, c, p, &stamp); break;
    case JUDGE_NOTHING:
    case JUDGE_STRANGERS: break;
    }
}

/* Members of a shared subscription see gaps that are none, so their streams are not judged. */
static bool
is_shared_filter(const struct options *o)
{
    return strncmp(o->topic, "$share/", 7) == 0;
}

static void
receive_stranger(struct traffic *t, const struct client *c, struct bytes payload)
{
    uint64_t now_ns = process_get_now_ns();
    struct payload_stamp stamp = {0};

    if (payload.size >= PAYLOAD_STAMP_SIZE) {
        stamp = payload_read_stamp(payload.data);
    }
    if (!strangers_believe(&stamp, now_ns)) {
        count_add(&t->counts[COUNT_DELIVERED], 1);
        return;
    }
    if (is_shared_filter(t->options) || judge_in_stream(t, strangers_get(&t->strangers, c->local, &stamp), stamp.sequence)) {
        count_add(&t->counts[COUNT_DELIVERED], 1);
        count_delay(t, &t->desk->latency, stamp.due_ns, now_ns);
    }
}

void
traffic_receive(struct traffic *t, struct client *subscriber, struct bytes payload)
{
    if (t->settled) {
        return;
    }
    if (t->judge == JUDGE_STRANGERS) {
        receive_stranger(t, subscriber, payload);
    } else if (payload.size < PAYLOAD_STAMP_SIZE) {
        count_foreign(t);
    } else {
        receive_ours(t, subscriber, payload);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- mail */

void
traffic_take_mail(struct traffic *t)
{
    uint32_t from = 0;
    struct letter letter;

    while (mail_take(&t->mail, &from, &letter)) {
        struct publisher *p = &t->board->publishers[letter.publisher];
        if (letter.count > 0) {
            credit_own(t, p, letter.count);
        } else {
            judge_receipt(t, p, letter.sequence, letter.group);
        }
    }
}

bool
traffic_send_mail(struct traffic *t)
{
    return mail_send(&t->mail);
}

/* --------------------------------------------------------------------------------------------------------------- ending */

void
traffic_settle(struct traffic *t)
{
    t->open = false;
    t->settled = true;
}

void
traffic_tally(struct traffic *t)
{
    uint64_t lost = strangers_count_missing(&t->strangers);
    uint64_t passed = 0;

    for (uint32_t i = 0; i < t->own_count; i++) {
        const struct publisher *p = traffic_get_own(t, i);
        assert(p->outstanding <= t->outstanding_max); /* T2 */
        lost += p->outstanding;
    }
    for (size_t i = 0; i < count_streams(t); i++) {
        passed += t->streams[i].next;
        lost += t->streams[i].missing;
    }
    for (size_t i = 0; i < count_sets(t); i++) {
        passed += t->sets[i].count;
    }
    count_set(&t->counts[COUNT_LOST], lost);
    count_set(&t->counts[COUNT_PASSED], passed);
}
