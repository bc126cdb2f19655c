#include "engine/route/deliver.h"

#include "codec/forward.h"
#include "engine/access/access.h"
#include "engine/durable/keep.h"
#include "engine/log.h"
#include "engine/net/alias.h"
#include "engine/net/connection.h"

#include <assert.h>
#include <stdlib.h>

uint8_t
deliver_qos(const struct shard *shard, uint8_t published, uint8_t granted)
{
    if (shard->config->upgrade_outgoing_qos) {
        return granted;
    }
    return published < granted ? published : granted;
}

/* Payloads that are small beside what a connection costs anyway. */
#define SMALL_BYTES 2048u
/* What one turn brings for a connection that was idle is not a slow reader's fault: then the limit is this many times as high. */
#define IDLE_OUTPUT_FACTOR 8u

static bool
output_full(const struct shard *shard, const struct connection *c)
{
    uint64_t limit = shard->config->max_output_bytes;
    return c->out_bytes > (c->out_under_way > 0 ? limit : limit * IDLE_OUTPUT_FACTOR);
}

/* What waits in a session's queue is shared by all who get it, what waits for a socket is a copy: near the limit a connection gets the next one when it has taken the last. */
static bool
is_crowded(const struct shard *shard, const struct connection *c)
{
    return shard->pressure >= BUDGET_DROP_QOS0 && c->out_bytes > 0;
}

bool
deliver_may_send(const struct shard *shard, const struct session *session)
{
    uint32_t bytes_max = shard->config->max_inflight_bytes;
    return session->connection != NULL && !is_crowded(shard, session->connection) && session->unacknowledged < session->window &&
           (bytes_max == 0 || session_get_owed(session)->unacknowledged_bytes < bytes_max) && !output_full(shard, session->connection);
}

static void
drop(struct shard *shard, const struct session *session, enum drop_reason reason)
{
    stats_add(&shard->stats.drops[reason], 1);
    if (log_wants(CONFIG_LOG_DEBUG) || reason == DROP_QUEUE_FULL || reason == DROP_OUTPUT_FULL) {
        struct bytes id = session_client_id(session);
        log_peer(CONFIG_LOG_WARNING, reason, "Message to client %.*s dropped: %s.", (int)id.size, (const char *)id.data, stats_drop_name(reason));
    }
}

/* Appends an encoded PUBLISH for one receiver. False: too large for it, or no memory. */
static bool
append_forward(struct shard *shard, struct session *session, struct forward *f)
{
    struct connection *c = session->connection;
    if (c->alias_max_out > 0) {
        alias_choose(shard->account, c, f->topic, &f->topic_alias, &f->omit_topic);
    }
    uint32_t size = forward_size(f, c->version);
    if (size > c->packet_size_max && f->topic_alias != 0) {
        f->topic_alias = 0; /* without the three bytes of an alias it may fit */
        f->omit_topic = false;
        size = forward_size(f, c->version);
    }
    /* MQTT5 [MQTT-3.1.2-24]: what is larger than the client takes is not sent. */
    if (size == 0 || size > c->packet_size_max) {
        drop(shard, session, DROP_TOO_LARGE);
        return false;
    }
    uint8_t *at = connection_append(shard, c, size);
    if (at == NULL) {
        return false;
    }
    forward_write(at, size, f, c->version);
    if (f->topic_alias != 0 && !f->omit_topic) {
        alias_remember(shard->account, c, f->topic, f->topic_alias);
    }
    stats_add(&shard->stats.publish_sent, 1);
    stats_add(&shard->stats.publish_bytes_sent, f->payload.size);
    return true;
}

/* The common case: an image is copied, and what differs is put in. */
static bool
append_image(struct shard *shard, struct session *session, const struct publication *p, struct bytes image, uint8_t qos, bool retain, uint16_t packet_id)
{
    struct connection *c = session->connection;
    if (image.size > c->packet_size_max) {
        drop(shard, session, DROP_TOO_LARGE);
        return false;
    }
    uint8_t *at = connection_append(shard, c, image.size);
    if (at == NULL) {
        return false;
    }
    memcpy(at, image.data, image.size);
    at[0] = (uint8_t)(PACKET_PUBLISH << 4 | qos << 1 | (retain ? 1 : 0));
    if (qos > 0) {
        uint8_t *id = at + publication_packet_id_at(p, image.size);
        id[0] = (uint8_t)(packet_id >> 8);
        id[1] = (uint8_t)packet_id;
    }
    stats_add(&shard->stats.publish_sent, 1);
    stats_add(&shard->stats.publish_bytes_sent, p->payload.size);
    return true;
}

static bool
append_publication(struct shard *shard, struct session *session, struct publication *p, const struct deliver_terms *terms, uint8_t qos, uint16_t packet_id)
{
    if (terms->identifier_count == 0 && session->connection->alias_max_out == 0) {
        struct bytes image = publication_image(shard, p, session->connection->version, qos);
        if (image.size > 0) {
            return append_image(shard, session, p, image, qos, terms->retain, packet_id);
        }
    }
    struct forward f = {
        .topic = p->topic,
        .properties = p->properties,
        .payload = p->payload,
        .subscription_ids = terms->identifiers,
        .subscription_id_count = terms->identifier_count,
        .packet_id = packet_id,
        .qos = qos,
        .retain = terms->retain,
    };
    if (p->expiry_ms != 0) {
        bool expired;
        f.has_expiry = true;
        f.expiry_s = publication_expiry_s(p->expiry_ms, shard->now_ms, &expired);
    }
    return append_forward(shard, session, &f);
}

static struct delivery *
make_delivery(struct shard *shard, struct publication *p, const struct deliver_terms *terms, uint8_t qos)
{
    struct message *message = publication_message(shard, p);
    struct delivery *d = message ? slab_take(&shard->deliveries) : NULL;
    if (d == NULL) {
        return NULL;
    }
    if (terms->identifier_count == 1) {
        d->identifiers.one = terms->identifiers[0];
    } else if (terms->identifier_count > 1) {
        d->identifiers.many = malloc(terms->identifier_count * sizeof *d->identifiers.many);
        if (d->identifiers.many == NULL) {
            slab_give(&shard->deliveries, d);
            return NULL;
        }
        budget_charge(shard->account, terms->identifier_count * sizeof *d->identifiers.many);
        memcpy(d->identifiers.many, terms->identifiers, terms->identifier_count * sizeof *d->identifiers.many);
    }
    d->identifier_count = (uint16_t)terms->identifier_count;
    d->message = message_ref(message);
    d->qos = qos & 3;
    d->retain = terms->retain;
    d->replayed = terms->replayed;
    d->share_serial = terms->share_serial;
    d->share_filter = terms->share_filter;
    d->share_hash = terms->share_hash;
    d->share_home = terms->share_home;
    return d;
}

static void
queue_qos0(struct shard *shard, struct session *session, struct publication *p, const struct deliver_terms *terms)
{
    struct delivery *d = make_delivery(shard, p, terms, 0);
    if (d == NULL) {
        drop(shard, session, DROP_MEMORY);
        return;
    }
    session_queue(shard, session, &d);
}

/* Near the limit: not what would have to wait, and nearer still only one small message for who has nothing waiting; so that those who read are served all the same. */
static bool
qos0_is_too_much(const struct shard *shard, const struct connection *c, const struct publication *p)
{
    switch (shard->pressure) {
    case BUDGET_FREE:
    case BUDGET_HOLD_PUBLISHERS:
        return false;
    case BUDGET_DROP_QOS0:
        return c->out_under_way > 0;
    case BUDGET_REFUSE:
        return c->out_bytes > 0;
    case BUDGET_FULL:
        break;
    }
    return c->out_bytes > 0 || p->payload.size > SMALL_BYTES;
}

static void
deliver_qos0(struct shard *shard, struct session *session, struct publication *p, const struct deliver_terms *terms)
{
    struct connection *c = session->connection;
    bool short_of_memory = shard->pressure >= BUDGET_DROP_QOS0;
    if (c == NULL) {
        if (shard->config->queue_qos0_messages && !short_of_memory) {
            queue_qos0(shard, session, p, terms);
        } else {
            stats_add(&shard->stats.drops[DROP_OFFLINE_QOS0], 1);
        }
        return;
    }
    bool full = output_full(shard, c);
    if (session_get_owed(session)->queue.qos0_count > 0 || (full && terms->replayed)) {
        queue_qos0(shard, session, p, terms); /* behind those that wait already, or as a retained message that has its place */
    } else if (full || qos0_is_too_much(shard, c, p)) {
        drop(shard, session, full ? DROP_OUTPUT_FULL : DROP_MEMORY);
    } else {
        append_publication(shard, session, p, terms, 0, 0);
    }
}

bool
deliver_must_wait(const struct session *session, const struct delivery *d)
{
    const struct delivery *before = session_get_owed(session)->inflight.last;
    return keep_is_kept(session) && (d->qos == 2 || (before != NULL && before->promised));
}

/* Sends at once: the window is open and nothing is ahead. False: it was given up. */
static bool
deliver_now(struct shard *shard, struct session *session, struct publication *p, const struct deliver_terms *terms, struct delivery *d)
{
    struct session_owed *owed = session_need_owed(shard, session);
    bool waits = deliver_must_wait(session, d);
    if (owed == NULL || !inflight_add(shard->account, &owed->inflight, d)) {
        return session_queue(shard, session, &d);
    }
    if (waits) {
        d->promised = 1;
    } else if (!append_publication(shard, session, p, terms, d->qos, d->packet_id)) {
        inflight_remove(&owed->inflight, d);
        session_free_delivery(shard, &d);
        return false;
    }
    session_count_sent(session, d);
    stats_add(&shard->stats.inflight_messages, 1);
    return true;
}

bool
deliver_is_allowed(const struct shard *shard, struct session *session, struct publication *p)
{
    return !shard->access_limited || access_may_receive(shard, session, publication_cut_topic(p));
}

void
deliver_to_session(struct shard *shard, struct session *session, struct publication *p, const struct deliver_terms *terms)
{
    if (!terms->allowed && !deliver_is_allowed(shard, session, p)) {
        stats_add(&shard->stats.drops[DROP_DELIVERY_DENIED], 1);
        return;
    }
    uint8_t qos = deliver_qos(shard, p->qos, terms->qos);
    if (qos == 0) {
        deliver_qos0(shard, session, p, terms);
        return;
    }
    struct delivery *d = make_delivery(shard, p, terms, qos);
    if (d == NULL) {
        drop(shard, session, DROP_MEMORY);
        return;
    }
    const struct session_owed *owed = session_get_owed(session);
    struct delivery *made = d;
    bool at_once = deliver_may_send(shard, session) && queue_is_empty(&owed->queue) && owed->inflight.resend == NULL;
    if (at_once ? deliver_now(shard, session, p, terms, d) : session_queue(shard, session, &d)) {
        keep_delivery(shard, p, session, made);
    }
}

bool
deliver_in_flight(struct shard *shard, struct session *session, struct delivery *d)
{
    const struct message *m = d->message;
    struct forward f = {
        .topic = message_topic(m),
        .properties = message_properties(m),
        .payload = message_payload(m),
        .subscription_ids = d->identifier_count > 1 ? d->identifiers.many : &d->identifiers.one,
        .subscription_id_count = d->identifier_count,
        .packet_id = d->packet_id,
        .qos = d->qos,
        .retain = d->retain,
        .dup = d->sent_before,
    };
    if (m->expiry_ms != 0) {
        bool expired;
        f.has_expiry = true;
        f.expiry_s = publication_expiry_s(m->expiry_ms, shard->now_ms, &expired);
    }
    return append_forward(shard, session, &f);
}
