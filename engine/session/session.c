#include "engine/session/session.h"

#include "codec/forward.h"
#include "engine/log.h"
#include "engine/net/connection.h"
#include "engine/protocol/subscribe.h"
#include "engine/route/deliver.h"
#include "engine/route/replay.h"
#include "engine/route/route.h"
#include "engine/route/share.h"

#include <assert.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------------------------------------------- life */

struct session *
session_begin(struct shard *shard, struct bytes client_id, uint64_t client_hash)
{
    struct session *s = slab_take(&shard->sessions);
    uint8_t *id = malloc(client_id.size);
    if (s == NULL || id == NULL) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        free(id);
        if (s != NULL) {
            slab_give(&shard->sessions, s);
        }
        return NULL;
    }
    memcpy(id, client_id.data, client_id.size);
    budget_charge(shard->account, client_id.size);
    s->client_id_bytes = id;
    s->client_id_size = (uint16_t)client_id.size;
    s->client_hash = (uint32_t)client_hash;
    s->timer.kind = TIMER_SESSION;
    s->identity = (uint64_t)shard->number << 56 | ++shard->session_serial;
    if (!session_table_add(&shard->session_table, s)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        budget_refund(shard->account, client_id.size);
        free(id);
        s->identity = 0;
        slab_give(&shard->sessions, s);
        return NULL;
    }
    atomic_fetch_add_explicit(&shard->broker->session_count, 1, memory_order_relaxed);
    stats_add(&shard->stats.sessions, 1);
    return s;
}

static void
free_subacks(struct session *s)
{
    while (s->subacks != NULL) {
        struct session_suback *next = s->subacks->next;
        free(s->subacks);
        s->subacks = next;
    }
}

static void
give_up_owed(struct shard *shard, struct session *s)
{
    uint64_t lost = 0;
    while (s->inflight.first != NULL) {
        struct delivery *d = s->inflight.first;
        inflight_remove(&s->inflight, d);
        stats_sub(&shard->stats.inflight_messages, 1);
        lost += d->state == DELIVERY_PUBLISHED;
        session_free_delivery(shard, &d);
    }
    while (s->queue_first != NULL) {
        struct delivery *d = s->queue_first;
        s->queue_first = d->next;
        stats_sub(&shard->stats.queued_messages, 1);
        stats_sub(&shard->stats.queued_bytes, message_cost(d->message));
        lost++;
        session_free_delivery(shard, &d);
    }
    s->queue_last = NULL;
    s->queue_count = 0;
    s->queue_qos0_count = 0;
    s->queue_bytes = 0;
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
    if (s->will != NULL) {
        publish_will(shard, s); /* MQTT5 [MQTT-3.1.2-8]: the session ends before the delay is over */
    }
    session_return_shared(shard, s, -1, 0);
    for (uint32_t i = 0; i < s->subscription_room; i++) {
        while (s->subscriptions[i] != NULL) { /* removal may move another one here */
            subscribe_remove(shard, s, s->subscriptions[i]);
        }
    }
    free(s->subscriptions);
    give_up_owed(shard, s);
    inflight_fini(&s->inflight);
    received_fini(&s->received);
    free_subacks(s);
    replay_cancel_all(shard, s);

    session_table_remove(&shard->session_table, s);
    atomic_fetch_sub_explicit(&shard->broker->session_count, 1, memory_order_relaxed);
    stats_sub(&shard->stats.sessions, 1);
    budget_refund(shard->account, s->client_id_size);
    free(s->client_id_bytes);
    s->identity = 0;
    slab_give(&shard->sessions, s);
}

/* Nothing counts as unacknowledged on a connection that is gone. */
static void
forget_window(struct session *s)
{
    for (struct delivery *d = s->inflight.first; d != NULL; d = d->next) {
        d->counted = 0;
    }
    s->unacknowledged = 0;
    s->unacknowledged_bytes = 0;
    s->inflight.resend = NULL;
}

static void
start_will(struct shard *shard, struct session *s)
{
    uint32_t delay_s = s->will->delay_s;
    if (delay_s == 0 || s->expiry_s == 0) {
        publish_will(shard, s);
    } else {
        timer_arm(&shard->wheel, &s->will->timer, shard->now_ms + delay_s * 1000ull);
    }
}

void
session_detach(struct shard *shard, struct session **sp, bool will_is_due)
{
    struct session *s = *sp;
    assert(s->connection == NULL);

    free_subacks(s);
    forget_window(s);
    if (s->will != NULL) {
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
    if (s->expiry_s != SESSION_NEVER_EXPIRES) {
        timer_arm(&shard->wheel, &s->timer, shard->now_ms + s->expiry_s * 1000ull);
    }
}

void
session_resume(struct shard *shard, struct session *s)
{
    timer_disarm(&shard->wheel, &s->timer);
    if (s->will != NULL) {
        session_drop_will(shard, s);
    }
    share_online(shard, s, true);
}

void
session_timer(struct shard *shard, struct session *s)
{
    assert(s->connection == NULL);
    stats_add(&shard->stats.expired_sessions, 1);
    session_end(shard, &s);
}

/* ------------------------------------------------------------------------------------------------------------------- will */

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
    struct session_will *w = calloc(1, sizeof *w);
    struct message *message = w ? message_make(shard->account, will->topic, properties, will->payload) : NULL;
    if (message == NULL) {
        free(w);
        return false;
    }
    message->qos = will->qos;
    message->retain = will->retain;
    message->publisher = s->identity;
    w->timer.kind = TIMER_WILL;
    w->session = s;
    w->message = message;
    if (properties_has(&will->properties, PROPERTY_WILL_DELAY_INTERVAL)) {
        w->delay_s = will->properties.will_delay_s;
    }
    if (properties_has(&will->properties, PROPERTY_MESSAGE_EXPIRY_INTERVAL)) {
        w->has_expiry = true;
        w->expiry_s = will->properties.message_expiry_s;
    }
    s->will = w;
    return true;
}

void
session_drop_will(struct shard *shard, struct session *s)
{
    struct session_will *w = s->will;
    s->will = NULL;
    timer_disarm(&shard->wheel, &w->timer);
    shard_message_unref(shard, &w->message);
    free(w);
}

static void
publish_will(struct shard *shard, struct session *s)
{
    struct session_will *w = s->will;
    if (w->has_expiry) {
        /* MQTT5 3.1.3.2.3: the lifetime counts from publication; nobody else has seen the message yet. */
        w->message->expiry_ms = shard->now_ms + w->expiry_s * 1000ull;
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
    publish_will(shard, will->session);
}

/* ------------------------------------------------------------------------------------------------------------------- owed */

void
session_free_delivery(struct shard *shard, struct delivery **dp)
{
    struct delivery *d = *dp;
    *dp = NULL;
    if (d->identifier_count > 1) {
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
    return (config->max_queued_messages != 0 && s->queue_count >= config->max_queued_messages) ||
           (config->max_queued_bytes != 0 && s->queue_bytes >= config->max_queued_bytes);
}

bool
session_queue(struct shard *shard, struct session *s, struct delivery **dp)
{
    struct delivery *d = *dp;
    const struct config *config = shard->config;
    uint32_t cost = message_cost(d->message);
    bool full = !d->replayed && (session_queue_is_full(shard, s) ||
                                 (config->max_queued_bytes != 0 && s->queue_bytes + cost > config->max_queued_bytes));
    if (full || shard->pressure >= BUDGET_REFUSE) {
        enum drop_reason why = full ? DROP_QUEUE_FULL : DROP_MEMORY;
        struct bytes id = session_client_id(s);
        stats_add(&shard->stats.drops[why], 1);
        log_peer(CONFIG_LOG_WARNING, why, "Message to client %.*s dropped: %s.", (int)id.size, (const char *)id.data, stats_drop_name(why));
        session_free_delivery(shard, dp);
        return false;
    }
    *dp = NULL;
    d->state = DELIVERY_QUEUED;
    d->next = NULL;
    *(s->queue_last ? &s->queue_last->next : &s->queue_first) = d;
    s->queue_last = d;
    s->queue_count++;
    s->queue_qos0_count += d->qos == 0;
    s->queue_bytes += cost;
    stats_add(&shard->stats.queued_messages, 1);
    stats_add(&shard->stats.queued_bytes, cost);
    return true;
}

static struct delivery *
pop_queue(struct shard *shard, struct session *s)
{
    struct delivery *d = s->queue_first;
    uint32_t cost = message_cost(d->message);
    s->queue_first = d->next;
    if (s->queue_first == NULL) {
        s->queue_last = NULL;
    }
    d->next = NULL;
    s->queue_count--;
    s->queue_qos0_count -= d->qos == 0;
    s->queue_bytes -= cost;
    stats_sub(&shard->stats.queued_messages, 1);
    stats_sub(&shard->stats.queued_bytes, cost);
    return d;
}

void
session_count_sent(struct session *s, struct delivery *d)
{
    d->state = DELIVERY_PUBLISHED;
    d->counted = 1;
    s->unacknowledged++;
    s->unacknowledged_bytes += message_cost(d->message);
}

static void
drop_in_flight(struct shard *shard, struct session *s, struct delivery *d)
{
    if (d->counted) {
        s->unacknowledged--;
        s->unacknowledged_bytes -= d->message ? message_cost(d->message) : 0;
    }
    inflight_remove(&s->inflight, d);
    stats_sub(&shard->stats.inflight_messages, 1);
    session_free_delivery(shard, &d);
}

static void
send_in_flight(struct shard *shard, struct session *s, struct delivery *d)
{
    if (!deliver_in_flight(shard, s, d)) {
        drop_in_flight(shard, s, d);
        return;
    }
    session_count_sent(s, d);
}

/* The next one to send again; a PUBREL goes whatever the window says (MQTT5 4.9 counts PUBLISH only). */
static bool
resend_one(struct shard *shard, struct session *s)
{
    struct delivery *d = s->inflight.resend;
    if (d->state == DELIVERY_RELEASED) {
        const uint8_t pubrel[4] = {PACKET_PUBREL << 4 | 2, 2, (uint8_t)(d->packet_id >> 8), (uint8_t)d->packet_id};
        uint8_t *at = connection_append(shard, s->connection, sizeof pubrel);
        if (at == NULL) {
            return false; /* not connection_put(): it would drop the connection, and the session perhaps, under session_pump() */
        }
        memcpy(at, pubrel, sizeof pubrel);
        s->inflight.resend = d->next;
        return true;
    }
    if (!deliver_may_send(shard, s)) {
        return false;
    }
    s->inflight.resend = d->next;
    d->sent_before = 1;
    send_in_flight(shard, s, d);
    return true;
}

static void
send_queued(struct shard *shard, struct session *s)
{
    struct delivery *d = pop_queue(shard, s);
    if (d->message->expiry_ms != 0 && d->message->expiry_ms <= shard->now_ms) {
        stats_add(&shard->stats.drops[DROP_EXPIRED], 1); /* MQTT5 [MQTT-3.3.2-5] */
        session_free_delivery(shard, &d);
        return;
    }
    if (d->qos == 0) {
        deliver_in_flight(shard, s, d);
        session_free_delivery(shard, &d);
        return;
    }
    if (!inflight_add(&s->inflight, d)) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        session_free_delivery(shard, &d);
        return;
    }
    stats_add(&shard->stats.inflight_messages, 1);
    send_in_flight(shard, s, d);
}

void
session_pump(struct shard *shard, struct session *s)
{
    while (s->connection != NULL && s->inflight.resend != NULL) {
        if (!resend_one(shard, s)) {
            return;
        }
    }
    while (s->queue_first != NULL && deliver_may_send(shard, s)) {
        send_queued(shard, s);
    }
    if (s->replays != NULL) {
        replay_continue(shard, s);
    }
}

void
session_resend_all(struct session *s)
{
    s->inflight.resend = s->inflight.first;
}

uint8_t
session_puback(struct shard *shard, struct session *s, uint16_t packet_id)
{
    struct delivery *d = inflight_get(&s->inflight, packet_id);
    if (d == NULL || d->qos != 1) {
        return REASON_PACKET_IDENTIFIER_NOT_FOUND;
    }
    drop_in_flight(shard, s, d);
    return REASON_SUCCESS;
}

uint8_t
session_pubrec(struct shard *shard, struct session *s, uint16_t packet_id, uint8_t reason)
{
    struct delivery *d = inflight_get(&s->inflight, packet_id);
    if (d == NULL || d->qos != 2) {
        return REASON_PACKET_IDENTIFIER_NOT_FOUND;
    }
    if (reason >= 0x80) {
        drop_in_flight(shard, s, d); /* MQTT5 4.3.3: refused; the exchange is over */
        return REASON_SUCCESS;
    }
    if (d->state == DELIVERY_PUBLISHED) {
        if (s->inflight.resend == d) {
            s->inflight.resend = d->next; /* acknowledged before its turn to be sent again came */
        }
        d->state = DELIVERY_RELEASED;
        s->unacknowledged_bytes -= d->counted ? message_cost(d->message) : 0;
        shard_message_unref(shard, &d->message);
    }
    return REASON_SUCCESS;
}

uint8_t
session_pubcomp(struct shard *shard, struct session *s, uint16_t packet_id)
{
    struct delivery *d = inflight_get(&s->inflight, packet_id);
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

void
session_return_shared(struct shard *shard, struct session *s, int home, uint32_t serial)
{
    struct delivery *next;
    for (struct delivery *d = s->inflight.first; d != NULL; d = next) {
        next = d->next;
        if (returnable(d, home, serial) && d->qos == 1) {
            share_bounce(shard, d);
            drop_in_flight(shard, s, d);
        }
    }
    struct delivery *kept_first = NULL;
    struct delivery *kept_last = NULL;
    while (s->queue_first != NULL) {
        struct delivery *d = pop_queue(shard, s);
        if (returnable(d, home, serial)) {
            share_bounce(shard, d);
            session_free_delivery(shard, &d);
            continue;
        }
        *(kept_last ? &kept_last->next : &kept_first) = d;
        kept_last = d;
    }
    for (struct delivery *d = kept_first; d != NULL; d = next) {
        next = d->next;
        d->next = NULL;
        *(s->queue_last ? &s->queue_last->next : &s->queue_first) = d;
        s->queue_last = d;
        s->queue_count++;
        s->queue_qos0_count += d->qos == 0;
        s->queue_bytes += message_cost(d->message);
        stats_add(&shard->stats.queued_messages, 1);
        stats_add(&shard->stats.queued_bytes, message_cost(d->message));
    }
}

/* ---------------------------------------------------------------------------------------------------------- subscriptions */

static bool
has_text(const struct subscription *s, struct bytes text, const struct shard *shard)
{
    struct bytes own = s->share_text != NULL ? bytes_of(s->share_text, s->share_text_size)
                                             : filter_index_filter(shard->broker->filters, s->filter_id);
    return bytes_equal(own, text);
}

struct subscription *
session_find_subscription(const struct session *session, struct bytes text, uint32_t text_hash, const struct shard *shard)
{
    if (session->subscription_room == 0) {
        return NULL;
    }
    uint32_t mask = session->subscription_room - 1;
    for (uint32_t i = text_hash & mask; session->subscriptions[i] != NULL; i = (i + 1) & mask) {
        struct subscription *s = session->subscriptions[i];
        if (s->text_hash == text_hash && has_text(s, text, shard)) {
            return s;
        }
    }
    return NULL;
}

bool
session_has_subscription(const struct session *session, uint32_t text_hash)
{
    uint32_t mask = session->subscription_room - 1;
    for (uint32_t i = text_hash & mask; session->subscription_room > 0 && session->subscriptions[i] != NULL; i = (i + 1) & mask) {
        if (session->subscriptions[i]->text_hash == text_hash) {
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

bool
session_add_subscription(struct session *session, struct subscription *s)
{
    if ((session->subscription_count + 1) * 2 > session->subscription_room) {
        uint32_t room = session->subscription_room ? session->subscription_room * 2 : 2;
        struct subscription **table = calloc(room, sizeof(struct subscription *));
        if (table == NULL) {
            return false;
        }
        for (uint32_t i = 0; i < session->subscription_room; i++) {
            if (session->subscriptions[i] != NULL) {
                put_subscription(table, room - 1, session->subscriptions[i]);
            }
        }
        free(session->subscriptions);
        session->subscriptions = table;
        session->subscription_room = room;
    }
    put_subscription(session->subscriptions, session->subscription_room - 1, s);
    session->subscription_count++;
    return true;
}

void
session_remove_subscription(struct session *session, struct subscription *s)
{
    uint32_t mask = session->subscription_room - 1;
    uint32_t at = s->text_hash & mask;
    while (session->subscriptions[at] != s) {
        assert(session->subscriptions[at] != NULL);
        at = (at + 1) & mask;
    }
    session->subscriptions[at] = NULL;
    session->subscription_count--;
    /* Those behind it, up to the next gap, may have been displaced by it. */
    for (uint32_t i = (at + 1) & mask; session->subscriptions[i] != NULL; i = (i + 1) & mask) {
        struct subscription *moved = session->subscriptions[i];
        session->subscriptions[i] = NULL;
        put_subscription(session->subscriptions, mask, moved);
    }
}
