#include "engine/session/session.h"

#include "codec/forward.h"
#include "engine/access/access.h"
#include "engine/durable/keep.h"
#include "engine/durable/promise.h"
#include "engine/identity/principal.h"
#include "engine/log.h"
#include "engine/net/connection.h"
#include "engine/protocol/subscribe.h"
#include "engine/route/deliver.h"
#include "engine/route/replay.h"
#include "engine/route/route.h"
#include "engine/route/share.h"
#include "engine/session/page.h"

#include <assert.h>
#include <stdlib.h>

const struct session_owed session_owes_nothing;
const struct session_extra session_has_nothing_extra;

/* ------------------------------------------------------------------------------------------------------------------- life */

static bool
keep_client_id(struct shard *shard, struct session *s, struct bytes id)
{
    uint8_t *at = s->client_id.bytes;
    if (id.size > SESSION_ID_INLINE) {
        at = s->client_id.heap = malloc(id.size);
        if (at == NULL) {
            return false;
        }
        budget_charge(shard->account, id.size);
    }
    memcpy(at, id.data, id.size);
    s->client_id_size = (uint16_t)id.size;
    return true;
}

static void
forget_client_id(struct shard *shard, struct session *s)
{
    if (s->client_id_size > SESSION_ID_INLINE) {
        budget_refund(shard->account, s->client_id_size);
        free(s->client_id.heap);
    }
    s->client_id_size = 0;
}

struct session *
session_begin(struct shard *shard, struct bytes client_id, uint64_t client_hash)
{
    struct session *s = session_recall(shard, (uint64_t)shard->number << 56 | ++shard->session_serial);
    if (s != NULL && !session_name(shard, s, client_id, client_hash)) {
        session_end(shard, &s);
    }
    return s;
}

struct session *
session_recall(struct shard *shard, uint64_t identity)
{
    struct session *s = slab_take(&shard->sessions);
    if (s == NULL) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return NULL;
    }
    s->timer.kind = TIMER_SESSION;
    s->identity = identity;
    return s;
}

bool
session_name(struct shard *shard, struct session *s, struct bytes client_id, uint64_t client_hash)
{
    assert(s->client_id_size == 0 && client_id.size > 0);

    s->client_hash = (uint32_t)client_hash;
    if (!keep_client_id(shard, s, client_id) || !session_table_add(&shard->session_table, s)) {
        forget_client_id(shard, s);
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return false;
    }
    atomic_fetch_add_explicit(&shard->broker->session_count, 1, memory_order_relaxed);
    stats_add(&shard->stats.sessions, 1);
    return true;
}

void
session_forget_name(struct shard *shard, struct session *s)
{
    if (s->client_id_size > 0) {
        session_table_remove(&shard->session_table, s);
        forget_client_id(shard, s);
        atomic_fetch_sub_explicit(&shard->broker->session_count, 1, memory_order_relaxed);
        stats_sub(&shard->stats.sessions, 1);
    }
}

struct session_owed *
session_make_owed(struct shard *shard, struct session *s)
{
    s->owed = calloc(1, sizeof *s->owed);
    budget_charge(shard->account, s->owed != NULL ? sizeof *s->owed : 0);
    return s->owed;
}

struct session_extra *
session_make_extra(struct shard *shard, struct session *s)
{
    s->extra = calloc(1, sizeof *s->extra);
    budget_charge(shard->account, s->extra != NULL ? sizeof *s->extra : 0);
    return s->extra;
}

void
session_tidy(struct shard *shard, struct session *s)
{
    const struct session_extra *e = s->extra;
    if (e == NULL || e->will != NULL || e->subacks != NULL || e->replays != NULL || e->fresh != NULL || e->principal != NULL ||
        e->received.room > 0 || e->received_count > 0) {
        return;
    }
    free(s->extra);
    s->extra = NULL;
    budget_refund(shard->account, sizeof *s->extra);
}

static void
free_subacks(struct shard *shard, struct session *s)
{
    while (session_get_extra(s)->subacks != NULL) {
        struct session_suback *gone = s->extra->subacks;
        s->extra->subacks = gone->next;
        budget_refund(shard->account, session_suback_bytes(gone));
        free(gone);
    }
    session_tidy(shard, s);
}

static void
free_received(struct shard *shard, struct session *s)
{
    if (s->extra != NULL) {
        s->extra->received_count = 0;
        received_fini(shard->account, &s->extra->received);
        received_fini(shard->account, &s->extra->pending);
        session_tidy(shard, s);
    }
}

static void
free_subscriptions(struct shard *shard, struct session *s)
{
    uint32_t room;
    struct subscription *const *places = session_subscriptions(s, &room);
    for (uint32_t i = 0; i < room; i++) {
        while (places[i] != NULL) { /* removal may move another one here */
            subscribe_remove(shard, s, places[i]);
        }
    }
    if (room > 1) {
        free(s->subscriptions.many);
        budget_refund(shard->account, room * sizeof(struct subscription *));
    }
}

static void
give_up_owed(struct shard *shard, struct session *s)
{
    uint64_t lost = 0;
    struct session_owed *owed = s->owed;
    if (owed == NULL) {
        return;
    }
    while (owed->inflight.first != NULL) {
        struct delivery *d = owed->inflight.first;
        inflight_remove(&owed->inflight, d);
        stats_sub(&shard->stats.inflight_messages, 1);
        lost += d->state == DELIVERY_PUBLISHED;
        session_free_delivery(shard, &d);
    }
    lost += owed->queue.count;
    for (struct delivery *d; (d = owed->queue.first) != NULL;) {
        queue_take(shard, &owed->queue, d);
        if (d->paged) {
            page_free(shard, &d);
        } else {
            session_free_delivery(shard, &d);
        }
    }
    inflight_fini(shard->account, &owed->inflight);
    free(owed);
    s->owed = NULL;
    budget_refund(shard->account, sizeof *owed);
    stats_add(&shard->stats.drops[DROP_SESSION_ENDED], lost);
}

static void publish_will(struct shard *shard, struct session *s);

void
session_end(struct shard *shard, struct session **sp)
{
    struct session *s = *sp;
    *sp = NULL;
    assert(s->connection == NULL);

    timer_disarm(&shard->wheel, &s->timer);
    if (session_get_extra(s)->will != NULL) {
        publish_will(shard, s); /* MQTT5 [MQTT-3.1.2-8]: the session ends before the delay is over */
    }
    session_return_shared(shard, s, -1, 0);
    keep_session_end(shard, s);
    free_subscriptions(shard, s);
    give_up_owed(shard, s);
    free_received(shard, s);
    free_subacks(shard, s);
    replay_cancel_all(shard, s);
    if (s->extra != NULL) {
        principal_free(shard->account, &s->extra->principal);
        s->extra->received_count = 0;
        session_tidy(shard, s);
    }
    assert(s->extra == NULL);

    session_forget_name(shard, s);
    s->identity = 0; /* back in the slab this says that it is no session */
    slab_give(&shard->sessions, s);
}

/* Nothing counts as unacknowledged on a connection that is gone. */
static void
forget_window(struct session *s)
{
    s->unacknowledged = 0;
    if (s->owed == NULL) {
        return;
    }
    for (struct delivery *d = s->owed->inflight.first; d != NULL; d = d->next) {
        d->counted = 0;
    }
    s->owed->unacknowledged_bytes = 0;
    s->owed->inflight.resend = NULL;
}

static void
start_will(struct shard *shard, struct session *s)
{
    struct session_will *will = s->extra->will;
    uint32_t delay_s = will->delay_s;
    if (delay_s == 0 || s->expiry_s == 0) {
        publish_will(shard, s);
    } else {
        timer_arm(&shard->wheel, &will->timer, shard->now_ms + delay_s * 1000ull);
    }
}

void
session_detach(struct shard *shard, struct session **sp, bool will_is_due)
{
    struct session *s = *sp;
    assert(s->connection == NULL);

    free_subacks(shard, s);
    forget_window(s);
    if (session_get_extra(s)->will != NULL) {
        if (will_is_due) {
            start_will(shard, s);
        } else {
            session_drop_will(shard, s);
        }
    }
    if (s->expiry_s == 0) {
        session_end(shard, sp);
        return;
    }
    share_online(shard, s, false);
    keep_absent(shard, s);
    if (s->expiry_s != SESSION_NEVER_EXPIRES) {
        timer_arm(&shard->wheel, &s->timer, shard->now_ms + s->expiry_s * 1000ull);
    }
}

void
session_resume(struct shard *shard, struct session *s)
{
    timer_disarm(&shard->wheel, &s->timer);
    if (session_get_extra(s)->will != NULL) {
        session_drop_will(shard, s);
    }
    share_online(shard, s, true);
}

/* What ends or is published while the shards stop may be for one that has finished with its journal: of what is kept it comes with the next start. */
static bool
waits_for_start(const struct shard *shard, const struct session *s)
{
    return shard->stopping && keep_is_kept(s);
}

void
session_timer(struct shard *shard, struct session *s)
{
    assert(s->connection == NULL);
    if (waits_for_start(shard, s)) {
        return;
    }
    stats_add(&shard->stats.expired_sessions, 1);
    session_end(shard, &s);
}

/* ------------------------------------------------------------------------------------------------------------------- will */

struct session_will *
session_put_will(struct shard *shard, struct session *s, struct message **message)
{
    struct session_extra *extra = session_need_extra(shard, s);
    struct session_will *w = extra ? calloc(1, sizeof *w) : NULL;
    if (w == NULL) {
        shard_message_unref(shard, message);
        session_tidy(shard, s);
        return NULL;
    }
    budget_charge(shard->account, sizeof *w);
    w->timer.kind = TIMER_WILL;
    w->session = s;
    w->message = *message;
    w->message->publisher = s->identity;
    *message = NULL;
    extra->will = w;
    return w;
}

bool
session_set_will(struct shard *shard, struct session *s, const struct will *will)
{
    struct bytes properties = will->properties.raw;
    if (!forward_all(&will->properties)) {
        if (properties.size > SHARD_SCRATCH_BYTES) {
            return false;
        }
        properties = bytes_of(shard->scratch, forward_properties(&will->properties, shard->scratch));
    }
    struct message *message = message_make(shard->account, will->topic, properties, will->payload);
    struct session_will *w = message != NULL ? session_put_will(shard, s, &message) : NULL;
    if (w == NULL) {
        return false;
    }
    w->message->qos = will->qos;
    w->message->retain = will->retain;
    if (properties_has(&will->properties, PROPERTY_WILL_DELAY_INTERVAL)) {
        w->delay_s = will->properties.will_delay_s;
    }
    if (properties_has(&will->properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL)) {
        w->has_expiry = true;
        w->expiry_s = will->properties.message_expiry_s;
    }
    return true;
}

void
session_drop_will(struct shard *shard, struct session *s)
{
    struct session_will *w = s->extra->will;
    s->extra->will = NULL;
    timer_disarm(&shard->wheel, &w->timer);
    shard_message_unref(shard, &w->message);
    free(w);
    budget_refund(shard->account, sizeof *w);
    session_tidy(shard, s);
    keep_will_dropped(shard, s);
}

static void
publish_will(struct shard *shard, struct session *s)
{
    struct session_will *w = s->extra->will;
    if (w->has_expiry) {
        /* MQTT5 3.1.3.2.3: the lifetime counts from publication; nobody else has seen the message yet. */
        w->message->expiry_ms = shard->now_ms + w->expiry_s * 1000ull;
    }
    if (shard->access_limited && !access_may_publish(shard, s, message_topic(w->message))) {
        stats_add(&shard->stats.drops[DROP_PUBLISH_DENIED], 1); /* as Mosquitto: the right counts that there is when it is published */
        session_drop_will(shard, s);
        return;
    }
    struct publication p;
    publication_of_message(&p, w->message);
    route_publication(shard, &p, NULL);
    publication_fini(shard, &p);
    session_drop_will(shard, s);
}

void
session_will_timer(struct shard *shard, struct session_will *will)
{
    if (!waits_for_start(shard, will->session)) {
        publish_will(shard, will->session);
    }
}

/* ------------------------------------------------------------------------------------------------------------------- owed */

void
session_free_delivery(struct shard *shard, struct delivery **dp)
{
    struct delivery *d = *dp;
    *dp = NULL;
    if (d->identifier_count > 1) {
        budget_refund(shard->account, d->identifier_count * sizeof *d->identifiers.many);
        free(d->identifiers.many);
    }
    if (d->message != NULL) {
        shard_message_unref(shard, &d->message);
    }
    slab_give(&shard->deliveries, d);
}

bool
session_queue_is_full(const struct shard *shard, const struct session *s)
{
    const struct config *config = shard->config;
    const struct session_owed *owed = session_get_owed(s);
    return (config->max_queued_messages != 0 && owed->queue.count >= config->max_queued_messages) ||
           (config->max_queued_bytes != 0 && owed->queue.bytes >= config->max_queued_bytes);
}

bool
session_queue(struct shard *shard, struct session *s, struct delivery **dp)
{
    struct delivery *d = *dp;
    const struct config *config = shard->config;
    uint32_t cost = message_cost(d->message);
    bool full = !d->replayed && (session_queue_is_full(shard, s) ||
                                 (config->max_queued_bytes != 0 && session_get_owed(s)->queue.bytes + cost > config->max_queued_bytes));
    /* A message that was taken before the limit came near is kept, although its own copies may have brought it there: its publisher is told that we have it. */
    struct session_owed *owed = full || shard->pressure >= BUDGET_FULL ? NULL : session_need_owed(shard, s);
    if (owed == NULL) {
        enum drop_reason why = full ? DROP_QUEUE_FULL : DROP_MEMORY;
        struct bytes id = session_client_id(s);
        stats_add(&shard->stats.drops[why], 1);
        log_peer(CONFIG_LOG_WARNING, why, "Message to client %.*s dropped: %s.", (int)id.size, (const char *)id.data, stats_drop_name(why));
        session_free_delivery(shard, dp);
        return false;
    }
    *dp = NULL;
    queue_append(shard, &owed->queue, d);
    page_note(shard, s);
    return true;
}

void
session_count_sent(struct session *s, struct delivery *d)
{
    d->state = DELIVERY_PUBLISHED;
    d->counted = 1;
    s->unacknowledged++;
    s->owed->unacknowledged_bytes += message_cost(d->message);
}

static void
drop_in_flight(struct shard *shard, struct session *s, struct delivery *d)
{
    if (d->counted) {
        s->unacknowledged--;
        s->owed->unacknowledged_bytes -= d->message ? message_cost(d->message) : 0;
    }
    keep_done(shard, s, d);
    inflight_remove(&s->owed->inflight, d);
    stats_sub(&shard->stats.inflight_messages, 1);
    session_free_delivery(shard, &d);
}

static void
send_in_flight(struct shard *shard, struct session *s, struct delivery *d)
{
    if (d->promised) {
        session_count_sent(s, d);
        promise_send(shard, s, d);
    } else if (deliver_in_flight(shard, s, d)) {
        session_count_sent(s, d);
    } else {
        drop_in_flight(shard, s, d);
    }
}

/* The right may have gone since it was queued or sent. */
static bool
is_denied(const struct shard *shard, struct session *s, const struct delivery *d)
{
    if (!shard->access_limited) {
        return false;
    }
    struct acl_topic topic;
    acl_cut_topic(message_topic(d->message), &topic);
    return !access_may_receive(shard, s, &topic);
}

static bool
send_pubrel(struct shard *shard, struct session *s, uint16_t packet_id)
{
    const uint8_t pubrel[4] = {PACKET_PUBREL << 4 | 2, 2, (uint8_t)(packet_id >> 8), (uint8_t)packet_id};
    uint8_t *at = connection_append(shard, s->connection, sizeof pubrel);
    if (at == NULL) {
        return false; /* not connection_put(): it would drop the connection, and the session perhaps, under session_pump() */
    }
    memcpy(at, pubrel, sizeof pubrel);
    return true;
}

/* The next one to send again; a PUBREL goes whatever the window says (MQTT5 4.9 counts PUBLISH only). */
static bool
resend_one(struct shard *shard, struct session *s)
{
    struct delivery *d = s->owed->inflight.resend;
    if (d->state == DELIVERY_RELEASED) {
        if (keep_is_kept(s)) {
            d->releasing = 0; /* what was promised to another connection */
            promise_release(shard, s, d); /* its PUBREC may not be durable yet */
        } else if (!send_pubrel(shard, s, d->packet_id)) {
            return false;
        }
        s->owed->inflight.resend = d->next;
        return true;
    }
    if (!deliver_may_send(shard, s)) {
        return false;
    }
    s->owed->inflight.resend = d->next;
    bool expired = d->promised && d->message->expiry_ms != 0 && d->message->expiry_ms <= shard->now_ms; /* it has never been sent: MQTT5 [MQTT-3.3.2-5] */
    if (expired || is_denied(shard, s, d)) {
        stats_add(&shard->stats.drops[expired ? DROP_EXPIRED : DROP_DELIVERY_DENIED], 1);
        drop_in_flight(shard, s, d);
        return true;
    }
    d->sent_before = !d->promised;
    send_in_flight(shard, s, d);
    return true;
}

/* Not in any list of the session. Another member of its group may have it. */
static void
give_up_denied(struct shard *shard, struct session *s, struct delivery *d)
{
    if (d->share_serial != 0 && d->state == DELIVERY_QUEUED) {
        share_bounce(shard, s->identity, d);
    } else {
        stats_add(&shard->stats.drops[DROP_DELIVERY_DENIED], 1);
    }
    keep_done(shard, s, d);
    session_free_delivery(shard, &d);
}

static void
send_queued(struct shard *shard, struct session *s)
{
    struct delivery *d = queue_pop(shard, &s->owed->queue);
    if (is_denied(shard, s, d)) {
        give_up_denied(shard, s, d);
        return;
    }
    if (d->message->expiry_ms != 0 && d->message->expiry_ms <= shard->now_ms) {
        stats_add(&shard->stats.drops[DROP_EXPIRED], 1); /* MQTT5 [MQTT-3.3.2-5] */
        keep_done(shard, s, d);
        session_free_delivery(shard, &d);
        return;
    }
    if (d->qos == 0) {
        deliver_in_flight(shard, s, d);
        session_free_delivery(shard, &d);
        return;
    }
    bool waits = deliver_must_wait(s, d);
    if (!inflight_add(shard->account, &s->owed->inflight, d)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        keep_done(shard, s, d);
        session_free_delivery(shard, &d);
        return;
    }
    stats_add(&shard->stats.inflight_messages, 1);
    if (keep_is_kept(s)) {
        d->promised = waits; /* its packet identifier has to be durable before the client knows it */
        keep_sent(shard, s, d);
    }
    send_in_flight(shard, s, d);
}

void
session_pump(struct shard *shard, struct session *s)
{
    while (s->connection != NULL && session_get_owed(s)->inflight.resend != NULL) {
        if (!resend_one(shard, s)) {
            return;
        }
    }
    while (queue_is_ready(&session_get_owed(s)->queue) && deliver_may_send(shard, s)) {
        send_queued(shard, s);
    }
    page_wish(shard, s);
    if (session_get_extra(s)->replays != NULL) {
        replay_continue(shard, s);
    }
}

void
session_send_promised(struct shard *shard, struct session *s, uint16_t packet_id, uint64_t number)
{
    struct delivery *d = inflight_get(&session_get_owed(s)->inflight, packet_id);
    /* Not counted: another connection since, whose turn to get it will come. */
    if (d == NULL || d->number != number || !d->promised || !d->counted || s->connection == NULL) {
        return;
    }
    d->promised = 0;
    if (!deliver_in_flight(shard, s, d)) {
        drop_in_flight(shard, s, d);
    }
}

void
session_send_release(struct shard *shard, struct session *s, uint16_t packet_id, uint64_t number)
{
    struct delivery *d = inflight_get(&session_get_owed(s)->inflight, packet_id);
    if (d != NULL && d->number == number && d->state == DELIVERY_RELEASED && s->connection != NULL) {
        d->releasing = 0;
        send_pubrel(shard, s, packet_id);
    }
}

void
session_resend_all(struct session *s)
{
    if (s->owed != NULL) {
        s->owed->inflight.resend = s->owed->inflight.first;
    }
}

uint8_t
session_puback(struct shard *shard, struct session *s, uint16_t packet_id)
{
    struct delivery *d = inflight_get(&session_get_owed(s)->inflight, packet_id);
    if (d == NULL || d->qos != 1 || d->promised) {
        return REASON_PACKET_IDENTIFIER_NOT_FOUND;
    }
    drop_in_flight(shard, s, d);
    return REASON_SUCCESS;
}

uint8_t
session_pubrec(struct shard *shard, struct session *s, uint16_t packet_id, uint8_t reason)
{
    struct delivery *d = inflight_get(&session_get_owed(s)->inflight, packet_id);
    if (d == NULL || d->qos != 2 || d->promised) {
        return REASON_PACKET_IDENTIFIER_NOT_FOUND;
    }
    if (reason >= 0x80) {
        drop_in_flight(shard, s, d); /* MQTT5 4.3.3: refused; the exchange is over */
        return REASON_SUCCESS;
    }
    if (d->state == DELIVERY_PUBLISHED) {
        if (s->owed->inflight.resend == d) {
            s->owed->inflight.resend = d->next; /* acknowledged before its turn to be sent again came */
        }
        d->state = DELIVERY_RELEASED;
        s->owed->unacknowledged_bytes -= d->counted ? message_cost(d->message) : 0;
        shard_message_unref(shard, &d->message);
        keep_released(shard, s, d);
    }
    return REASON_SUCCESS;
}

uint8_t
session_pubcomp(struct shard *shard, struct session *s, uint16_t packet_id)
{
    struct delivery *d = inflight_get(&session_get_owed(s)->inflight, packet_id);
    if (d == NULL || d->state != DELIVERY_RELEASED) {
        return REASON_PACKET_IDENTIFIER_NOT_FOUND;
    }
    drop_in_flight(shard, s, d);
    return REASON_SUCCESS;
}

static bool
returnable(const struct delivery *d, int home, uint32_t serial)
{
    return d->share_serial != 0 && (home < 0 || (d->share_home == home && d->share_serial == serial));
}

/* The session ends. */
static void
return_page(struct shard *shard, struct session *s, struct delivery *item)
{
    struct queue *q = &s->owed->queue;
    struct delivery *next = item->next;
    queue_take(shard, q, item);
    if (!page_return(shard, s, &item)) {
        queue_insert(shard, q, next, item);
    }
}

void
session_return_shared(struct shard *shard, struct session *s, int home, uint32_t serial)
{
    struct delivery *next;
    struct session_owed *owed = s->owed;
    if (owed == NULL) {
        return;
    }
    for (struct delivery *d = owed->inflight.first; d != NULL; d = next) {
        next = d->next;
        if (returnable(d, home, serial) && d->qos == 1) {
            share_bounce(shard, s->identity, d);
            drop_in_flight(shard, s, d);
        }
    }
    for (struct delivery *d = owed->queue.first; d != NULL; d = next) {
        next = d->next;
        if (d->paged) {
            if (home < 0 && d->page->shared) {
                return_page(shard, s, d);
            }
        } else if (returnable(d, home, serial)) {
            queue_take(shard, &owed->queue, d);
            share_bounce(shard, s->identity, d);
            keep_done(shard, s, d);
            session_free_delivery(shard, &d);
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------- subscriptions */

static bool
has_text(const struct subscription *s, struct bytes text, const struct shard *shard)
{
    struct bytes own = s->shared ? bytes_of(s->share->text, s->share->text_size) : filter_index_filter(shard->broker->filters, s->filter_id);
    return bytes_equal(own, text);
}

/* Ends at a gap; a single place may be full. */
#define FOR_EACH_OF_HASH(s, places, room, hash) \
    for (uint32_t n = 0, i = (hash) & ((room) - 1); n < (room) && ((s) = (places)[i]) != NULL; n++, i = (i + 1) & ((room) - 1))

struct subscription *
session_find_subscription(const struct session *session, struct bytes text, uint32_t text_hash, const struct shard *shard)
{
    uint32_t room;
    struct subscription *const *places = session_subscriptions(session, &room);
    struct subscription *s;
    FOR_EACH_OF_HASH(s, places, room, text_hash) {
        if (s->text_hash == text_hash && has_text(s, text, shard)) {
            return s;
        }
    }
    return NULL;
}

bool
session_has_subscription(const struct session *session, uint32_t text_hash)
{
    uint32_t room;
    struct subscription *const *places = session_subscriptions(session, &room);
    const struct subscription *s;
    FOR_EACH_OF_HASH(s, places, room, text_hash) {
        if (s->text_hash == text_hash) {
            return true;
        }
    }
    return false;
}

static void
put_subscription(struct subscription **table, uint32_t mask, struct subscription *s)
{
    uint32_t i = s->text_hash & mask;
    while (table[i] != NULL) {
        i = (i + 1) & mask;
    }
    table[i] = s;
}

static bool
grow_subscriptions(struct shard *shard, struct session *session)
{
    uint32_t old_room;
    struct subscription *const *old = session_subscriptions(session, &old_room);
    uint32_t room = old_room > 1 ? old_room * 2 : 4;
    struct subscription **table = calloc(room, sizeof(struct subscription *));
    if (table == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < old_room; i++) {
        if (old[i] != NULL) {
            put_subscription(table, room - 1, old[i]);
        }
    }
    if (old_room > 1) {
        free(session->subscriptions.many);
        budget_refund(shard->account, old_room * sizeof(struct subscription *));
    }
    session->subscriptions.many = table;
    session->subscription_room = room;
    budget_charge(shard->account, room * sizeof(struct subscription *));
    return true;
}

bool
session_add_subscription(struct shard *shard, struct session *session, struct subscription *s)
{
    uint32_t count = session->subscription_count + 1;
    if (count == 1 && session->subscription_room <= 1) {
        session->subscription_room = 1;
        session->subscriptions.one = s;
    } else if (count * 2 > session->subscription_room && !grow_subscriptions(shard, session)) {
        return false;
    } else {
        put_subscription(session->subscriptions.many, session->subscription_room - 1, s);
    }
    session->subscription_count = count;
    return true;
}

void
session_remove_subscription(struct session *session, struct subscription *s)
{
    session->subscription_count--;
    if (session->subscription_room == 1) {
        assert(session->subscriptions.one == s);
        session->subscriptions.one = NULL;
        return;
    }
    struct subscription **table = session->subscriptions.many;
    uint32_t mask = session->subscription_room - 1;
    uint32_t at = s->text_hash & mask;
    while (table[at] != s) {
        assert(table[at] != NULL);
        at = (at + 1) & mask;
    }
    table[at] = NULL;
    /* Those behind it, up to the next gap, may have been displaced by it. */
    for (uint32_t i = (at + 1) & mask; table[i] != NULL; i = (i + 1) & mask) {
        struct subscription *moved = table[i];
        table[i] = NULL;
        put_subscription(table, mask, moved);
    }
}
