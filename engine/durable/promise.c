#include "engine/durable/promise.h"

#include "engine/durable/keep.h"
#include "engine/durable/promises.h"
#include "engine/durable/token.h"
#include "engine/journal/journal.h"
#include "engine/net/connection.h"
#include "engine/protocol/input.h"
#include "engine/protocol/subscribe.h"
#include "engine/route/parcel.h"
#include "engine/session/session.h"

#include <stdio.h>
#include <stdlib.h>

/* ----------------------------------------------------------------------------------------------------------- items and lists */

void
promises_out_of_memory(void)
{
    fprintf(stderr, "tidewire: out of memory for what waits for the journal\n");
    abort();
}

void
promises_list_init(struct promise_list *list)
{
    list->first = NULL;
    list->end = &list->first;
}

struct promise *
promises_make(struct shard *shard, enum promise_kind kind, uint64_t position)
{
    struct promise *p = slab_take(&shard->promises->items);
    if (p == NULL) {
        promises_out_of_memory();
    }
    p->kind = (uint8_t)kind;
    p->position = position;
    shard->promises->item_count++;
    return p;
}

void
promises_append(struct promise_list *list, struct promise *p)
{
    p->next = NULL;
    *list->end = p;
    list->end = &p->next;
}

struct promise *
promises_take_first(struct promise_list *list)
{
    struct promise *p = list->first;
    list->first = p->next;
    if (list->first == NULL) {
        list->end = &list->first;
    }
    return p;
}

void
promises_give(struct shard *shard, struct promise *p)
{
    shard->promises->item_count--;
    slab_give(&shard->promises->items, p);
}

bool
promise_init(struct shard *shard)
{
    struct promises *all = calloc(1, sizeof *all);
    if (all == NULL) {
        return false;
    }
    shard->promises = all;
    budget_charge(shard->account, sizeof *all);
    slab_init(&all->items, sizeof(struct promise), 0, shard->account);
    slab_init(&all->promisees, sizeof(struct promisee), 0, shard->account);
    promises_list_init(&all->own);
    promises_list_init(&all->across);
    gate_init(shard);
    confirm_init(all);
    return true;
}

static bool
is_committed(const struct shard *shard)
{
    return journal_committed(shard->journal) >= journal_end(shard->journal);
}

/* At the end of `own`, whose positions never fall. */
static struct promise *
promise_own(struct shard *shard, enum promise_kind kind)
{
    struct promise *p = promises_make(shard, kind, journal_end(shard->journal));
    promises_append(&shard->promises->own, p);
    return p;
}

/* ----------------------------------------------------------------------------------------------------------------- promisees */

static struct promisee *
promisee_of(const struct connection *c)
{
    return c->extra != NULL ? c->extra->promisee : NULL;
}

static struct promisee *
name_promisee(struct shard *shard, struct connection *c)
{
    struct connection_extra *extra = connection_need_extra(shard->account, c);
    if (extra == NULL) {
        promises_out_of_memory();
    }
    if (extra->promisee == NULL) {
        extra->promisee = slab_take(&shard->promises->promisees);
        if (extra->promisee == NULL) {
            promises_out_of_memory();
        }
        extra->promisee->connection = c;
        extra->promisee->session = c->session;
        extra->promisee->identity = c->session->identity;
    }
    extra->promisee->pending++;
    return extra->promisee;
}

static void
unname_promisee(struct shard *shard, struct promisee *who)
{
    who->pending--;
    if (who->pending == 0 && who->connection == NULL) {
        slab_give(&shard->promises->promisees, who);
    }
}

void
promise_forget(struct shard *shard, struct connection *c)
{
    struct promisee *who = promisee_of(c);
    if (who == NULL) {
        return;
    }
    who->silent = true;
    if (c->state != CONNECTION_CLOSED) {
        return;
    }
    c->extra->promisee = NULL;
    who->connection = NULL;
    if (who->pending == 0) {
        slab_give(&shard->promises->promisees, who);
    }
}

/* One promise to it is kept: it may be read again. */
static void
unburden(struct shard *shard, struct promisee *who)
{
    shard->held_may_go = shard->held_may_go || (who->connection != NULL && who->connection->held);
    unname_promisee(shard, who);
}

bool
promise_is_crowded(const struct connection *c)
{
    const struct promisee *who = promisee_of(c);
    return who != NULL && (who->pending >= PROMISES_MAX || who->packet_bytes >= PROMISED_BYTES_MAX);
}

static bool
listens(const struct promisee *who)
{
    return !who->silent && who->connection->state == CONNECTION_CONNECTED;
}

/* ---------------------------------------------------------------------------------------------------------- acknowledgements */

/* Of this connection, in `own`. */
static bool
has_own(const struct promisee *who)
{
    return who->acknowledgements > who->across;
}

static void
say(struct shard *shard, struct promise *p)
{
    struct promisee *who = p->acknowledge.who;
    who->acknowledgements--;
    if (listens(who)) {
        input_acknowledge(shard, who->connection, p->type, p->packet_id, p->reason);
    }
    unburden(shard, who);
    promises_give(shard, p);
}

static struct promise *
make_acknowledgement(struct shard *shard, struct connection *c, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    struct promise *p = promises_make(shard, PROMISE_ACKNOWLEDGE, 0);
    p->type = type;
    p->packet_id = packet_id;
    p->reason = reason;
    p->acknowledge.who = name_promisee(shard, c);
    return p;
}

static void
put_across(struct shard *shard, struct promise *p)
{
    p->acknowledge.turn = shard->turn;
    p->acknowledge.who->across++;
    promises_append(&shard->promises->across, p);
}

void
promise_acknowledge(struct shard *shard, struct connection *c, uint8_t type, uint16_t packet_id, uint8_t reason, struct promise_needs *needs, uint64_t received_count)
{
    if (shard->promises == NULL) {
        input_acknowledge(shard, c, type, packet_id, reason);
        return;
    }
    if (c->state != CONNECTION_CONNECTED) {
        promise_abandon(shard, needs); /* it was lost over its own message */
        return;
    }
    if (gate_is_settled(needs->gate)) {
        gate_release(shard, &needs->gate);
    }
    bool alone = needs->targets == 0 && needs->gate == NULL;
    bool behind = received_count > 0 && c->session->extra->pending.count > 1; /* W4 */
    if (received_count > 0 && alone && !behind) {
        keep_received(shard, c->session, received_count, packet_id);
        needs->position = journal_end(shard->journal);
        received_count = 0;
    }
    const struct promisee *before = promisee_of(c);
    bool first = before == NULL || before->acknowledgements == 0;
    bool committed = needs->position == 0 || is_committed(shard);
    if (alone && first && committed && !behind) {
        input_acknowledge(shard, c, type, packet_id, reason); /* W2 */
        return;
    }
    struct promise *p = make_acknowledgement(shard, c, type, packet_id, reason);
    p->position = needs->position == 0 ? 0 : journal_end(shard->journal);
    p->acknowledge.who->acknowledgements++;
    p->acknowledge.targets = needs->targets;
    p->acknowledge.gate = needs->gate;
    p->acknowledge.received_count = received_count;
    if (!alone || behind || p->acknowledge.who->across > 0) { /* W1 */
        put_across(shard, p);
    } else {
        p->position = journal_end(shard->journal);
        promises_append(&shard->promises->own, p);
    }
    *needs = (struct promise_needs){0};
}

void
promise_acknowledge_again(struct shard *shard, struct connection *c, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    struct promises *all = shard->promises;
    if (all == NULL || (all->own.first == NULL && all->across.first == NULL && is_committed(shard))) {
        input_acknowledge(shard, c, type, packet_id, reason);
        return;
    }
    struct promise *p = make_acknowledgement(shard, c, type, packet_id, reason);
    p->acknowledge.who->acknowledgements++;
    p->again = true;
    if (all->across.first != NULL) {
        put_across(shard, p);
    } else {
        p->position = journal_end(shard->journal);
        promises_append(&all->own, p);
    }
}

void
promise_abandon(struct shard *shard, struct promise_needs *needs)
{
    gate_release(shard, &needs->gate);
    *needs = (struct promise_needs){0};
}

/* ------------------------------------------------------------------------------------------------------------------- answers */

static void
answer(struct shard *shard, unsigned to)
{
    if (to == shard->number) {
        shard->promises->answers_awaited--;
    } else {
        parcel_send(shard, to, PARCEL_ANSWER, sizeof(struct parcel), 0);
    }
}

/* What was recorded for those before it has to be durable. */
static void
answer_durably(struct shard *shard, struct promise *p)
{
    if (is_committed(shard)) {
        answer(shard, p->asked_by);
        promises_give(shard, p);
        return;
    }
    p->position = journal_end(shard->journal);
    promises_append(&shard->promises->own, p);
}

static void
take_question(struct shard *shard, unsigned from)
{
    struct promise *p = promises_make(shard, PROMISE_ANSWER, 0);
    p->asked_by = (uint8_t)from;
    if (shard->promises->across.first == NULL) {
        answer_durably(shard, p);
    } else {
        promises_append(&shard->promises->across, p);
    }
}

void
promise_ask(struct shard *shard)
{
    assert(promise_have_answered(shard));
    shard->promises->answers_awaited = (uint8_t)shard->broker->shard_count;
    take_question(shard, shard->number);
    for (unsigned i = 0; i < shard->broker->shard_count; i++) {
        if (i != shard->number) {
            parcel_send(shard, i, PARCEL_ASK, sizeof(struct parcel), 0);
        }
    }
}

bool
promise_have_answered(const struct shard *shard)
{
    return shard->promises->answers_awaited == 0;
}

/* All shards have it now. */
static void
record_received(struct shard *shard, struct promise *p)
{
    const struct promisee *who = p->acknowledge.who;
    if (who->session->identity == who->identity) {
        keep_received(shard, who->session, p->acknowledge.received_count, p->packet_id);
        p->position = journal_end(shard->journal);
    }
}

static void
finish_across(struct shard *shard, struct promise *p)
{
    bool behind = has_own(p->acknowledge.who);
    p->acknowledge.who->across--;
    gate_release(shard, &p->acknowledge.gate);
    if (p->acknowledge.received_count > 0) {
        record_received(shard, p);
    } else if (p->again) {
        p->position = journal_end(shard->journal);
    }
    if (!behind && p->position <= journal_committed(shard->journal)) {
        say(shard, p);
        return;
    }
    p->position = journal_end(shard->journal);
    promises_append(&shard->promises->own, p);
}

static bool
is_complete(const struct promises *all, const struct promise *p)
{
    return p->kind == PROMISE_ANSWER || (confirm_has_come(all, p->acknowledge.targets, p->acknowledge.turn) && gate_is_settled(p->acknowledge.gate));
}

static void
keep_across(struct shard *shard)
{
    struct promises *all = shard->promises;
    struct promise *p;
    while ((p = all->across.first) != NULL && is_complete(all, p)) {
        promises_take_first(&all->across);
        if (p->kind == PROMISE_ANSWER) {
            answer_durably(shard, p);
        } else {
            finish_across(shard, p);
        }
    }
}

/* ----------------------------------------------------------------------------------------------------- what waits for our journal only */

static const uint8_t *
packet_bytes(const struct promise *p)
{
    return p->packet.size <= PROMISE_INSIDE_BYTES ? p->packet.inside : p->packet.heap;
}

static void
free_packet(struct shard *shard, struct promise *p)
{
    if (p->packet.size > PROMISE_INSIDE_BYTES) {
        budget_refund(shard->account, p->packet.size);
        free(p->packet.heap);
    }
}

void
promise_packet(struct shard *shard, struct connection *c, const void *packet, uint32_t size)
{
    if (shard->promises == NULL || is_committed(shard)) {
        connection_put(shard, c, packet, size);
        return;
    }
    struct promise *p = promise_own(shard, PROMISE_PACKET);
    p->packet.who = name_promisee(shard, c);
    p->packet.who->packet_bytes += size;
    p->packet.size = size;
    uint8_t *at = p->packet.inside;
    if (size > PROMISE_INSIDE_BYTES) {
        at = p->packet.heap = malloc(size);
        if (at == NULL) {
            promises_out_of_memory();
        }
        budget_charge(shard->account, size);
    }
    memcpy(at, packet, size);
}

static void
put_packet(struct shard *shard, struct promise *p)
{
    struct promisee *who = p->packet.who;
    if (listens(who)) {
        connection_put(shard, who->connection, packet_bytes(p), p->packet.size);
    }
    who->packet_bytes -= p->packet.size;
    free_packet(shard, p);
    unburden(shard, who);
}

void
promise_open(struct shard *shard, struct connection *c)
{
    if (shard->promises == NULL || is_committed(shard)) {
        return;
    }
    c->barred = true;
    promise_own(shard, PROMISE_OPEN)->who = name_promisee(shard, c);
}

static void
open_output(struct shard *shard, struct promise *p)
{
    struct connection *c = p->who->connection;
    if (c != NULL) {
        c->barred = false;
        connection_mark_dirty(shard, c);
    }
    unburden(shard, p->who);
}

static struct promise *
promise_of(struct shard *shard, enum promise_kind kind, const struct session *session, uint64_t number)
{
    struct promise *p = promise_own(shard, kind);
    p->of.session = (struct session *)(uintptr_t)session;
    p->of.identity = session->identity;
    p->of.number = number;
    return p;
}

static struct session *
session_of(const struct promise *p)
{
    return p->of.session->identity == p->of.identity ? p->of.session : NULL;
}

void
promise_suback(struct shard *shard, struct session *session, const struct session_suback *suback)
{
    if (shard->promises == NULL || is_committed(shard)) {
        subscribe_finish(shard, session, suback->serial);
        return;
    }
    promise_of(shard, PROMISE_SUBACK, session, suback->serial)->of.who = name_promisee(shard, session->connection);
}

/* On this connection only: the next one sends again what is in flight, in its order. */
static void
promise_in_flight(struct shard *shard, enum promise_kind kind, struct session *session, const struct delivery *d)
{
    struct promise *p = promise_of(shard, kind, session, d->number);
    p->packet_id = d->packet_id;
    p->of.who = name_promisee(shard, session->connection);
}

void
promise_send(struct shard *shard, struct session *session, const struct delivery *d)
{
    if (shard->promises == NULL || (is_committed(shard) && shard->promises->own.first == NULL)) { /* in its turn */
        session_send_promised(shard, session, d->packet_id, d->number);
        return;
    }
    if (session->connection != NULL) {
        promise_in_flight(shard, PROMISE_SEND, session, d);
    }
}

void
promise_release(struct shard *shard, struct session *session, struct delivery *d)
{
    if (shard->promises == NULL || is_committed(shard)) {
        session_send_release(shard, session, d->packet_id, d->number);
    } else if (!d->releasing) {
        d->releasing = 1;
        promise_in_flight(shard, PROMISE_RELEASE, session, d);
    }
}

void
promise_settle(struct shard *shard, const struct gate_reference *gate, uint64_t position)
{
    if (gate->serial == 0) {
        return;
    }
    if (position == 0 || is_committed(shard)) {
        gate_settle(shard, gate);
        return;
    }
    promise_own(shard, PROMISE_SETTLE)->gate = *gate;
}

/* ------------------------------------------------------------------------------------------------------------------ keeping */

static void
finish_suback(struct shard *shard, const struct promise *p)
{
    struct session *session = session_of(p);
    if (session != NULL) {
        subscribe_finish(shard, session, (uint32_t)p->of.number);
    }
    unburden(shard, p->of.who);
}

static void
send_in_flight(struct shard *shard, const struct promise *p)
{
    struct session *session = session_of(p);
    if (session == NULL || !listens(p->of.who)) {
        /* W3 */
    } else if (p->kind == PROMISE_SEND) {
        session_send_promised(shard, session, p->packet_id, p->of.number);
    } else {
        session_send_release(shard, session, p->packet_id, p->of.number);
    }
    unburden(shard, p->of.who);
}

static void
keep_one(struct shard *shard, struct promise *p)
{
    switch ((enum promise_kind)p->kind) {
    case PROMISE_ACKNOWLEDGE:
        say(shard, p);
        return;
    case PROMISE_PACKET:
        put_packet(shard, p);
        break;
    case PROMISE_OPEN:
        open_output(shard, p);
        break;
    case PROMISE_SUBACK:
        finish_suback(shard, p);
        break;
    case PROMISE_SEND:
    case PROMISE_RELEASE:
        send_in_flight(shard, p);
        break;
    case PROMISE_SETTLE:
        gate_settle(shard, &p->gate);
        break;
    case PROMISE_ANSWER:
        answer(shard, p->asked_by);
        break;
    case PROMISE_CONFIRM:
        assert(false); /* those have lists of their own */
    }
    promises_give(shard, p);
}

void
promise_keep(struct shard *shard)
{
    struct promises *all = shard->promises;
    if (all == NULL) {
        return;
    }
    uint64_t committed = journal_committed(shard->journal);
    struct promise *p;
    while ((p = all->own.first) != NULL && p->position <= committed) {
        keep_one(shard, promises_take_first(&all->own));
    }
    all->changed = false;
    confirm_send(shard);
    keep_across(shard);
}

void
promise_handle(struct shard *shard, unsigned from, const void *parcel)
{
    if (shard->promises == NULL) {
        return;
    }
    switch ((enum parcel_type)((const struct parcel *)parcel)->type) {
    case PARCEL_CONFIRM:
        confirm_count(shard, from, ((const struct parcel_confirm *)parcel)->count);
        break;
    case PARCEL_SETTLED:
        gate_settle(shard, &((const struct parcel_settled *)parcel)->gate);
        break;
    case PARCEL_ASK:
        take_question(shard, from);
        break;
    case PARCEL_ANSWER:
        shard->promises->answers_awaited--;
        break;
    default:
        assert(false);
    }
}

bool
promise_any(const struct shard *shard)
{
    return shard->promises != NULL && shard->promises->item_count > 0;
}

/* Nothing is said any more. */
static void
drop_promises(struct shard *shard, struct promise_list *list)
{
    while (list->first != NULL) {
        struct promise *p = promises_take_first(list);
        if (p->kind == PROMISE_ACKNOWLEDGE) {
            gate_release(shard, &p->acknowledge.gate);
            unname_promisee(shard, p->acknowledge.who);
        } else if (p->kind == PROMISE_PACKET) {
            free_packet(shard, p);
            unname_promisee(shard, p->packet.who);
        } else if (p->kind == PROMISE_OPEN) {
            unname_promisee(shard, p->who);
        } else if (p->kind == PROMISE_SUBACK || p->kind == PROMISE_SEND || p->kind == PROMISE_RELEASE) {
            unname_promisee(shard, p->of.who);
        }
        promises_give(shard, p);
    }
}

void
promise_fini(struct shard *shard)
{
    struct promises *all = shard->promises;
    token_fini(shard);
    if (all == NULL) {
        return;
    }
    drop_promises(shard, &all->own);
    drop_promises(shard, &all->across);
    confirm_fini(shard);
    gate_fini(shard);
    slab_fini(&all->items);
    slab_fini(&all->promisees);
    budget_refund(shard->account, sizeof *all);
    free(all);
    shard->promises = NULL;
}
