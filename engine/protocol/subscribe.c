#include "engine/protocol/subscribe.h"

#include "codec/encode.h"
#include "engine/access/access.h"
#include "engine/durable/keep.h"
#include "engine/durable/promise.h"
#include "engine/identity/http_hook.h"
#include "engine/log.h"
#include "engine/protocol/input.h"
#include "engine/route/replay.h"
#include "engine/route/share.h"

#include <stdlib.h>

/* Codes that fit into an answer on the stack; longer ones take the heap. */
#define ANSWER_STACK_BYTES 512

/* `durable`: what it says has to be, before. */
static void
send_codes(struct shard *shard, struct connection *c, uint8_t type, uint16_t packet_id, struct bytes codes, bool durable)
{
    struct suback answer = {.packet_id = packet_id, .codes = codes};
    uint8_t stack[ANSWER_STACK_BYTES];
    uint32_t room = codes.size + 16;
    uint8_t *out = room <= sizeof stack ? stack : malloc(room);
    if (out == NULL) {
        connection_drop(shard, c, false);
        return;
    }
    uint32_t size = encode_suback(out, room, c->version, type, &answer);
    if (durable) {
        promise_packet(shard, c, out, size);
    } else {
        connection_put(shard, c, out, size);
    }
    if (out != stack) {
        free(out);
    }
}

static void
give_subscription(struct shard *shard, struct subscription *s)
{
    if (s->shared) {
        budget_refund(shard->account, sizeof *s->share + s->share->text_size);
        free(s->share);
    }
    slab_give(&shard->subscriptions, s);
}

static bool
put_into_list(struct shard *shard, struct subscription *s)
{
    uint64_t before = shard->subscribers.bytes;
    bool added = subscribers_add(&shard->subscribers, s);
    budget_charge(shard->account, shard->subscribers.bytes - before);
    return added;
}

static uint32_t
take_from_list(struct shard *shard, struct subscription *s)
{
    uint64_t before = shard->subscribers.bytes;
    uint32_t left = subscribers_remove(&shard->subscribers, s);
    budget_refund(shard->account, before - shard->subscribers.bytes);
    return left;
}

/* Nobody here wants it any more. */
static void
forget_filter(struct shard *shard, uint32_t filter_id)
{
    budget_refund(shard->account, FILTER_BYTES + filter_index_filter(shard->broker->filters, filter_id).size);
    filter_index_remove(shard->broker->filters, shard->number, filter_id);
}

void
subscribe_forget(struct shard *shard, struct session *session, struct subscription *s)
{
    session_remove_subscription(session, s);
    stats_sub(s->shared ? &shard->stats.shared_subscriptions : &shard->stats.subscriptions, 1);
    give_subscription(shard, s);
}

void
subscribe_remove(struct shard *shard, struct session *session, struct subscription *s)
{
    if (s->shared) {
        if (s->share->join != 0) {
            share_leave(shard, s);
        }
        subscribe_forget(shard, session, s);
        return;
    }
    /* Out of the session first: finding its place may need the filter's text, which goes with the last subscriber. */
    uint32_t filter_id = s->filter_id;
    uint32_t left = take_from_list(shard, s);
    subscribe_forget(shard, session, s);
    if (left == 0) {
        forget_filter(shard, filter_id);
    }
}

uint32_t
subscribe_hash(const struct shard *shard, struct bytes text)
{
    return (uint32_t)broker_hash(shard->broker, text.data, text.size);
}

static uint8_t
attach_shared(struct shard *shard, struct subscription *s, struct bytes text)
{
    s->share = malloc(sizeof *s->share + text.size);
    if (s->share == NULL) {
        return REASON_QUOTA_EXCEEDED;
    }
    *s->share = (struct subscription_share){.text_size = (uint16_t)text.size, .home = (uint8_t)share_home(shard, text)};
    memcpy(s->share->text, text.data, text.size);
    s->shared = 1;
    budget_charge(shard->account, sizeof *s->share + text.size);
    return REASON_SUCCESS;
}

static uint8_t
attach_filter(struct shard *shard, struct subscription *s, struct bytes filter)
{
    if (filter_index_add(shard->broker->filters, shard->number, filter, bytes_of(NULL, 0), &s->filter_id) != 0) {
        return REASON_QUOTA_EXCEEDED;
    }
    bool first = subscribers_get(&shard->subscribers, s->filter_id).count == 0;
    budget_charge(shard->account, first ? FILTER_BYTES + filter.size : 0);
    if (!put_into_list(shard, s)) {
        if (first) {
            forget_filter(shard, s->filter_id);
        }
        return REASON_QUOTA_EXCEEDED;
    }
    return REASON_SUCCESS;
}

static struct subscription *
make_subscription(struct shard *shard, struct session *session, struct bytes text, uint32_t hash, const struct topic_filter *parsed)
{
    struct subscription *s = slab_take(&shard->subscriptions);
    if (s == NULL) {
        return NULL;
    }
    s->session = session;
    s->text_hash = hash;
    uint8_t reason = parsed->shared ? attach_shared(shard, s, text) : attach_filter(shard, s, parsed->filter);
    if (reason != REASON_SUCCESS) {
        slab_give(&shard->subscriptions, s);
        return NULL;
    }
    stats_add(parsed->shared ? &shard->stats.shared_subscriptions : &shard->stats.subscriptions, 1);
    if (!session_add_subscription(shard, session, s)) {
        if (!parsed->shared && take_from_list(shard, s) == 0) {
            forget_filter(shard, s->filter_id);
        }
        stats_sub(parsed->shared ? &shard->stats.shared_subscriptions : &shard->stats.subscriptions, 1);
        give_subscription(shard, s);
        return NULL;
    }
    return s;
}

struct subscription *
subscribe_recall(struct shard *shard, struct session *session, struct bytes text)
{
    struct topic_filter parsed;
    uint32_t hash = subscribe_hash(shard, text);
    struct subscription *s = session_find_subscription(session, text, hash, shard);
    if (s != NULL || !topic_filter_parse(text, TOPIC_LEVELS_MAX, &parsed)) {
        return s;
    }
    return make_subscription(shard, session, text, hash, &parsed);
}

static bool
may_have_more(const struct shard *shard, const struct session *session)
{
    uint32_t max = shard->config->max_subscriptions;
    return (max == 0 || session->subscription_count < max) && shard->pressure < BUDGET_REFUSE;
}

/* What one SUBSCRIBE is working on. */
struct subscribing {
    struct session *session;
    struct session_suback *suback;
    uint32_t identifier;
    uint8_t max_qos;
};

/* MQTT5 [MQTT-3.8.4-3]: an equal filter replaces the subscription's options. */
static void
set_options(struct shard *shard, const struct subscribing *work, struct subscription *s, struct subscription_options options, bool is_new)
{
    struct subscription before = *s;
    s->qos = (options.qos < work->max_qos ? options.qos : work->max_qos) & 3;
    s->no_local = options.no_local;
    s->retain_as_published = options.retain_as_published;
    s->identifier = work->identifier;
    bool same = before.qos == s->qos && before.no_local == s->no_local && before.retain_as_published == s->retain_as_published && before.identifier == s->identifier;
    if (is_new || !same) {
        keep_subscription(shard, work->session, s);
    }
}

/* One filter; returns its code. A shared one's final code comes later. */
static uint8_t
subscribe_one(struct shard *shard, const struct subscribing *work, uint32_t index, struct bytes text, struct subscription_options options)
{
    struct topic_filter parsed;
    if (!topic_filter_parse(text, shard->config->max_topic_levels, &parsed)) {
        return REASON_TOPIC_FILTER_INVALID;
    }
    if (shard->access_limited && !access_may_subscribe(shard, work->session, parsed.filter)) {
        stats_add(&shard->stats.drops[DROP_SUBSCRIBE_DENIED], 1);
        return REASON_NOT_AUTHORIZED;
    }
    if (shard->hook.asks && http_hook_refuses(shard, index)) {
        return REASON_NOT_AUTHORIZED;
    }
    if (session_get_extra(work->session)->replay_count >= REPLAYS_PER_SESSION_MAX * shard->broker->shard_count) {
        stats_add(&shard->stats.drops[DROP_SUBSCRIPTION_LIMIT], 1);
        return REASON_QUOTA_EXCEEDED;
    }
    uint32_t hash = subscribe_hash(shard, text);
    struct subscription *s = session_find_subscription(work->session, text, hash, shard);
    bool existed = s != NULL;
    if (!existed && keep_is_kept(work->session) && keep_is_full(shard)) {
        stats_add(&shard->stats.drops[DROP_DISK_FULL], 1);
        return REASON_QUOTA_EXCEEDED;
    }
    if (!existed) {
        s = may_have_more(shard, work->session) ? make_subscription(shard, work->session, text, hash, &parsed) : NULL;
        if (s == NULL) {
            stats_add(&shard->stats.drops[DROP_SUBSCRIPTION_LIMIT], 1);
            return REASON_QUOTA_EXCEEDED;
        }
    }
    set_options(shard, work, s, options, !existed);
    if (parsed.shared) {
        work->suback->outstanding++;
        share_join(shard, s, work->suback->serial, index);
    } else if (shard->config->retain_available && (options.retain_handling == 0 || (options.retain_handling == 1 && !existed))) {
        replay_begin(shard, work->session, text, s);
    }
    return s->qos;
}

static struct session_suback *
find_suback(const struct session *session, uint32_t serial)
{
    struct session_suback *suback = session_get_extra(session)->subacks;
    while (suback != NULL && suback->serial != serial) {
        suback = suback->next;
    }
    return suback;
}

void
subscribe_finish(struct shard *shard, struct session *session, uint32_t serial)
{
    struct session_suback *suback = find_suback(session, serial);
    if (suback == NULL) {
        return; /* its connection is gone */
    }
    struct session_extra *extra = session->extra;
    struct session_suback **at = &extra->subacks;
    struct session_suback *previous = NULL;
    while (*at != suback) {
        previous = *at;
        at = &(*at)->next;
    }
    *at = suback->next;
    if (extra->subacks_last == suback) {
        extra->subacks_last = previous;
    }
    session_tidy(shard, session);
    budget_refund(shard->account, session_suback_bytes(suback));
    send_codes(shard, session->connection, PACKET_SUBACK, suback->packet_id, bytes_of(suback->codes, suback->count), false);
    free(suback);
}

/* It has all its codes. */
static void
finish_suback(struct shard *shard, struct session *session, const struct session_suback *suback)
{
    if (keep_is_kept(session)) {
        promise_suback(shard, session, suback);
    } else {
        subscribe_finish(shard, session, suback->serial);
    }
}

void
subscribe_answer(struct shard *shard, struct session *session, uint32_t suback_serial, uint32_t code_index, uint8_t code)
{
    struct session_suback *suback = find_suback(session, suback_serial);
    if (suback == NULL) {
        return; /* its connection is gone */
    }
    suback->codes[code_index] = code;
    if (--suback->outstanding == 0) {
        finish_suback(shard, session, suback);
    }
}

void
handle_subscribe(struct shard *shard, struct connection *c, const struct frame *frame)
{
    struct subscribe packet;
    uint8_t reason = decode_subscribe(frame, c->version, &packet);
    if (reason != REASON_SUCCESS) {
        input_refuse(shard, c, reason, "a malformed SUBSCRIBE");
        return;
    }
    struct session_extra *extra = session_need_extra(shard, c->session);
    struct session_suback *suback = extra != NULL ? malloc(sizeof *suback + packet.count) : NULL;
    if (suback == NULL) {
        session_tidy(shard, c->session);
        connection_close(shard, c, REASON_QUOTA_EXCEEDED, "out of memory");
        return;
    }
    *suback = (struct session_suback){
        .serial = ++shard->suback_serial,
        .outstanding = 1, /* us, until all filters are looked at */
        .count = packet.count,
        .packet_id = packet.packet_id,
    };
    budget_charge(shard->account, session_suback_bytes(suback));
    /* Last in line: answers come in the order of the questions, so the first is the one to look for. */
    *(extra->subacks != NULL ? &extra->subacks_last->next : &extra->subacks) = suback;
    extra->subacks_last = suback;

    struct subscribing work = {
        .session = c->session,
        .suback = suback,
        .identifier = properties_has(&packet.properties, PROPERTY_SUBSCRIPTION_IDENTIFIER) ? packet.properties.subscription_id : 0,
        .max_qos = shard->broker->listeners[c->listener].max_qos,
    };
    struct bytes entries = packet.entries;
    struct bytes text;
    struct subscription_options options;
    for (uint32_t i = 0; subscribe_next(&entries, &text, &options); i++) {
        suback->codes[i] = subscribe_one(shard, &work, i, text, options);
        if (log_wants(CONFIG_LOG_SUBSCRIBE)) {
            struct bytes id = session_client_id(c->session);
            log_peer(CONFIG_LOG_SUBSCRIBE, DROP_REASONS + 1, "%.*s %u %.*s", (int)id.size, (const char *)id.data, options.qos, (int)text.size, (const char *)text.data);
        }
    }
    if (--suback->outstanding == 0) {
        finish_suback(shard, c->session, suback);
    }
}

void
handle_unsubscribe(struct shard *shard, struct connection *c, const struct frame *frame)
{
    struct unsubscribe packet;
    uint8_t reason = decode_unsubscribe(frame, c->version, &packet);
    if (reason != REASON_SUCCESS) {
        input_refuse(shard, c, reason, "a malformed UNSUBSCRIBE");
        return;
    }
    uint8_t *codes = malloc(packet.count);
    if (codes == NULL) {
        connection_close(shard, c, REASON_QUOTA_EXCEEDED, "out of memory");
        return;
    }
    struct bytes entries = packet.entries;
    struct bytes text;
    for (uint32_t i = 0; unsubscribe_next(&entries, &text); i++) {
        struct topic_filter parsed;
        struct subscription *s = session_find_subscription(c->session, text, subscribe_hash(shard, text), shard);
        codes[i] = s != NULL ? REASON_SUCCESS : REASON_NO_SUBSCRIPTION_EXISTED;
        if (s != NULL) {
            keep_unsubscribed(shard, c->session, text);
            subscribe_remove(shard, c->session, s);
        } else if (!topic_filter_parse(text, TOPIC_LEVELS_MAX, &parsed)) {
            codes[i] = REASON_TOPIC_FILTER_INVALID;
        }
        if (log_wants(CONFIG_LOG_UNSUBSCRIBE)) {
            struct bytes id = session_client_id(c->session);
            log_peer(CONFIG_LOG_UNSUBSCRIBE, DROP_REASONS + 2, "%.*s %.*s", (int)id.size, (const char *)id.data, (int)text.size, (const char *)text.data);
        }
    }
    send_codes(shard, c, PACKET_UNSUBACK, packet.packet_id, bytes_of(codes, packet.count), keep_is_kept(c->session));
    free(codes);
}
