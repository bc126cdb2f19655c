#include "engine/durable/keep.h"

#include "engine/durable/entry.h"
#include "engine/durable/principal_entry.h"
#include "engine/durable/promise.h"
#include "engine/journal/journal.h"
#include "engine/route/publication.h"
#include "engine/session/page.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* Copies of an entry are found in a record of at most so many deliveries; beyond, what is over is recorded as such. */
#define CANCEL_BYTES_MAX 4096u

/* Subscription Identifiers of one delivery (engine/route/route.c). */
#define IDENTIFIERS_MAX 256u

struct kept {
    struct session *session;
    struct delivery *delivery;
};

struct keeper {
    struct kept *kept;     /* of the publications that are being routed, one behind the other: a will may be published in the middle of another message */
    uint32_t count, room;
    uint64_t body_number;  /* the last one given */
    uint8_t identifiers[IDENTIFIERS_MAX * 4]; /* of one delivery, as its entry has them */
    bool silent;
};

bool
keep_open(struct shard *shard)
{
    shard->keeper = calloc(1, sizeof *shard->keeper);
    return shard->keeper != NULL;
}

void
keep_close(struct shard *shard)
{
    if (shard->keeper != NULL) {
        free(shard->keeper->kept);
        free(shard->keeper);
        shard->keeper = NULL;
    }
}

void
keep_be_silent(struct shard *shard, bool silent)
{
    shard->keeper->silent = silent;
}

void
keep_bodies_from(struct shard *shard, uint64_t number)
{
    shard->keeper->body_number = number;
}

static bool
records(const struct shard *shard)
{
    return shard->journal != NULL && !shard->keeper->silent;
}

static bool
records_of(const struct shard *shard, const struct session *s)
{
    return keep_is_kept(s) && records(shard);
}

/* A record of that size, to be written now. */
static struct writer
append(struct shard *shard, enum entry_type type, uint32_t size, uint64_t *position)
{
    uint8_t *content;
    *position = journal_append(shard->journal, (uint8_t)type, size, &content);
    return writer_of(content, size);
}

static void
written(const struct writer *w)
{
    assert(!w->failed && w->at == w->end);
}

static uint64_t
wall_of(const struct shard *shard, uint64_t at_ms)
{
    return at_ms == 0 ? 0 : io_wall_ms(shard->io) + at_ms - shard->now_ms;
}

/* ---------------------------------------------------------------------------------------------------------------- sessions */

/* Its timer tells since when it is absent, or its will's if it never expires; without one it makes no difference. */
static uint64_t
absent_since(const struct shard *shard, const struct session *s)
{
    uint64_t now_ms = io_wall_ms(shard->io);
    const struct session_will *will = session_get_extra(s)->will;
    if (s->connection != NULL) {
        return 0;
    }
    if (timer_armed(&s->timer)) {
        return now_ms + s->timer.due_ms - shard->now_ms - s->expiry_s * 1000ull;
    }
    if (will != NULL && timer_armed(&will->timer)) {
        return now_ms + will->timer.due_ms - shard->now_ms - will->delay_s * 1000ull;
    }
    return now_ms;
}

static void
put_session(struct shard *shard, const struct session *s, uint64_t since_ms)
{
    const struct principal *principal = s->expiry_s > 0 ? session_get_extra(s)->principal : NULL; /* who ends does nothing any more */
    const struct config_listener *listener = principal != NULL ? &shard->broker->listeners[principal->listener] : NULL;
    struct bytes kept = bytes_of(shard->scratch, principal != NULL ? principal_entry_size(principal, listener) : 0);
    if (principal != NULL) {
        assert(kept.size <= SHARD_SCRATCH_BYTES); /* its parts came in one CONNECT or token */
        struct writer p = writer_of(shard->scratch, kept.size);
        principal_entry_put(&p, principal, listener);
        written(&p);
    }
    struct entry_session e = {
        .identity = s->identity,
        .absent_since_ms = since_ms,
        .delivery_number = session_get_owed(s)->delivery_number,
        .received_count = session_get_extra(s)->recorded_count,
        .expiry_s = s->expiry_s,
        .window = s->window,
        .version = s->version,
        .client_id = session_client_id(s),
        .principal = kept,
    };
    uint64_t position;
    struct writer w = append(shard, ENTRY_SESSION, entry_session_size(&e), &position);
    entry_put_session(&w, &e);
    written(&w);
}

static void
put_identity(struct shard *shard, enum entry_type type, uint64_t identity)
{
    uint64_t position;
    struct writer w = append(shard, type, entry_identity_size(), &position);
    entry_put_identity(&w, identity);
    written(&w);
}

static void
count_kept(struct shard *shard, int by)
{
    /* Seq_cst: raised before the client learns that it has the session, so that whoever publishes afterwards sees it (route.c). */
    atomic_fetch_add(&shard->broker->kept_sessions[shard->number], (uint32_t)by);
}

void
keep_known(struct shard *shard, struct session *s)
{
    if (!keep_is_kept(s)) {
        s->flags |= SESSION_KEPT;
        count_kept(shard, 1);
    }
}

bool
keep_session(struct shard *shard, struct session *s)
{
    if (shard->journal == NULL || (s->expiry_s == 0 && !keep_is_kept(s))) {
        return false;
    }
    keep_known(shard, s);
    if (records(shard)) {
        put_session(shard, s, 0);
    }
    return records(shard);
}

void
keep_end_number(struct shard *shard, uint64_t identity)
{
    if (records(shard)) {
        put_identity(shard, ENTRY_SESSION_END, identity);
    }
}

void
keep_session_end(struct shard *shard, struct session *s)
{
    if (!keep_is_kept(s)) {
        return;
    }
    if (!promise_leaving_ends(shard, s->identity)) {
        keep_end_number(shard, s->identity);
    } else if (records(shard) && s->client_id_size > 0) { /* one without a name is said to end already: recover_session.c */
        s->expiry_s = 0;
        put_session(shard, s, 0);
    }
    s->flags &= (uint8_t)~SESSION_KEPT;
    count_kept(shard, -1);
}

void
keep_absent(struct shard *shard, struct session *s)
{
    if (!records_of(shard, s)) {
        return;
    }
    struct entry_absent e = {.identity = s->identity, .since_ms = io_wall_ms(shard->io), .expiry_s = s->expiry_s};
    uint64_t position;
    struct writer w = append(shard, ENTRY_ABSENT, entry_absent_size(), &position);
    entry_put_absent(&w, &e);
    written(&w);
}

bool
keep_has_room_for_session(const struct shard *shard)
{
    return journal_room_left(shard->journal) >= shard->config->persistence_segment_size / 2;
}

static struct bytes
text_of(const struct shard *shard, const struct subscription *s)
{
    return s->shared ? bytes_of(s->share->text, s->share->text_size) : filter_index_filter(shard->broker->filters, s->filter_id);
}

void
keep_subscription(struct shard *shard, const struct session *session, const struct subscription *s)
{
    if (!records_of(shard, session)) {
        return;
    }
    struct entry_subscription e = {
        .identity = session->identity,
        .identifier = s->identifier,
        .qos = s->qos,
        .no_local = s->no_local,
        .retain_as_published = s->retain_as_published,
        .text = text_of(shard, s),
    };
    uint64_t position;
    struct writer w = append(shard, ENTRY_SUBSCRIPTION, entry_subscription_size(&e), &position);
    entry_put_subscription(&w, &e);
    written(&w);
}

void
keep_unsubscribed(struct shard *shard, const struct session *session, struct bytes text)
{
    if (!records_of(shard, session)) {
        return;
    }
    struct entry_subscription e = {.identity = session->identity, .text = text};
    uint64_t position;
    struct writer w = append(shard, ENTRY_UNSUBSCRIBED, entry_subscription_size(&e), &position);
    entry_put_subscription(&w, &e);
    written(&w);
}

struct entry_body
keep_body_of(const struct shard *shard, const struct message *m, uint64_t number)
{
    return (struct entry_body){
        .number = number,
        .publisher = m->publisher,
        .stamp = m->stamp,
        .expiry_ms = wall_of(shard, m->expiry_ms),
        .qos = m->qos,
        .retain = m->retain,
        .topic = message_topic(m),
        .properties = message_properties(m),
        .payload = message_payload(m),
    };
}

void
keep_will(struct shard *shard, struct session *s)
{
    const struct session_will *will = session_get_extra(s)->will;
    if (will == NULL || s->expiry_s == 0 || !records_of(shard, s)) {
        return;
    }
    struct entry_will e = {
        .identity = s->identity,
        .delay_s = will->delay_s,
        .expiry_s = will->expiry_s,
        .has_expiry = will->has_expiry,
        .body = keep_body_of(shard, will->message, 0),
    };
    uint64_t position;
    struct writer w = append(shard, ENTRY_WILL, entry_will_size(&e), &position);
    entry_put_will(&w, &e);
    written(&w);
}

void
keep_will_dropped(struct shard *shard, struct session *s)
{
    if (records_of(shard, s)) {
        put_identity(shard, ENTRY_WILL_DROPPED, s->identity);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- messages */

static void
grow_kept(struct keeper *k)
{
    uint32_t room = k->room ? k->room * 2 : 64;
    struct kept *grown = realloc(k->kept, room * sizeof *grown);
    if (grown == NULL) {
        fprintf(stderr, "tidewire: out of memory for %u deliveries of one message\n", room);
        abort(); /* it was put into a queue: nobody may be told that it is kept when it is not */
    }
    k->kept = grown;
    k->room = room;
}

void
keep_delivery(struct shard *shard, struct publication *p, struct session *s, struct delivery *d)
{
    if (!records_of(shard, s)) {
        return;
    }
    struct keeper *k = shard->keeper;
    d->number = ++s->owed->delivery_number;
    if (k->count == k->room) {
        grow_kept(k);
    }
    if (p->kept_count == 0) {
        p->kept_first = k->count;
    }
    assert(p->kept_first + p->kept_count == k->count);
    k->kept[k->count++] = (struct kept){s, d};
    p->kept_count++;
}

/* Borrowed until the next call. */
static struct bytes
identifiers_of(struct shard *shard, const struct delivery *d)
{
    struct writer w = writer_of(shard->keeper->identifiers, sizeof shard->keeper->identifiers);
    const uint32_t *identifiers = d->identifier_count == 1 ? &d->identifiers.one : d->identifiers.many;
    for (uint32_t i = 0; i < d->identifier_count; i++) {
        writer_u32(&w, identifiers[i]);
    }
    assert(!w.failed);
    return bytes_of(shard->keeper->identifiers, d->identifier_count * 4u);
}

struct entry_delivery
keep_entry_of(struct shard *shard, const struct session *s, const struct delivery *d, uint64_t body)
{
    return (struct entry_delivery){
        .identity = s->identity,
        .number = d->number,
        .body = body,
        .share_hash = d->share_hash,
        .packet_id = d->packet_id,
        .qos = d->qos,
        .state = d->state,
        .retain = d->retain,
        .identifier_count = d->identifier_count,
        .identifiers = identifiers_of(shard, d),
    };
}

static uint32_t
deliveries_size(struct shard *shard, const struct kept *kept, uint32_t count, uint64_t body)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct entry_delivery e = keep_entry_of(shard, kept[i].session, kept[i].delivery, body);
        size += entry_delivery_size(&e);
    }
    return size;
}

static void
put_deliveries(struct shard *shard, struct writer *w, const struct kept *kept, uint32_t count, uint64_t body, uint64_t position)
{
    for (uint32_t i = 0; i < count; i++) {
        struct entry_delivery e = keep_entry_of(shard, kept[i].session, kept[i].delivery, body);
        entry_put_delivery(w, &e);
        kept[i].delivery->kept_at = position;
    }
    written(w);
}

/* A body with whatever this shard owes of it. */
static void
put_message(struct shard *shard, struct message *m, const struct entry_token *token, bool retained, bool received, const struct kept *kept, uint32_t count)
{
    m->retain_kept = m->retain_kept || retained;
    m->body = ++shard->keeper->body_number;
    struct entry_message e = {
        .body = keep_body_of(shard, m, m->body),
        .token = *token,
        .keep_retained = retained,
        .received = received,
        .delivery_count = count,
    };
    uint32_t size = entry_message_size(&e) + deliveries_size(shard, kept, count, m->body);
    struct writer w = append(shard, ENTRY_MESSAGE, size, &m->kept_at);
    entry_put_message(&w, &e);
    put_deliveries(shard, &w, kept, count, m->body, m->kept_at);
}

/* More deliveries of a body that is there. */
static void
put_references(struct shard *shard, const struct message *m, const struct kept *kept, uint32_t count)
{
    uint64_t position;
    struct writer w = append(shard, ENTRY_DELIVERIES, entry_deliveries_size() + deliveries_size(shard, kept, count, m->body), &position);
    entry_put_deliveries(&w, count);
    put_deliveries(shard, &w, kept, count, m->body, m->body != 0 ? m->kept_at : position);
}

static const struct entry_token no_token;

static bool
keeps_retained(const struct shard *shard, const struct publication *p)
{
    /* What the broker says of itself it says anew after a restart. */
    return records(shard) && shard->config->retained_persistence && p->publisher != 0;
}

void
keep_retained(struct shard *shard, struct publication *p, struct message *message)
{
    if (!keeps_retained(shard, p)) {
        return;
    }
    if (message == p->message) {
        p->keep_retained = true; /* one record with its deliveries: keep_publication() */
        return;
    }
    put_message(shard, message, &no_token, true, false, NULL, 0);
    p->needs.position = journal_end(shard->journal);
}

void
keep_retain_removed(struct shard *shard, struct publication *p, bool removed)
{
    if (!keeps_retained(shard, p)) {
        return;
    }
    if (!removed && keep_is_full(shard)) {
        p->needs.position = journal_end(shard->journal);
        return;
    }
    struct entry_retain_removed e = {.stamp = p->stamp, .topic = p->topic};
    uint64_t position;
    struct writer w = append(shard, ENTRY_RETAIN_REMOVED, entry_retain_removed_size(&e), &position);
    entry_put_retain_removed(&w, &e);
    written(&w);
    p->needs.position = journal_end(shard->journal);
}

static void
record_publication(struct shard *shard, struct publication *p, const struct kept *kept)
{
    struct message *m = p->message; /* there: deliveries and the retained one hold references */
    if (m->body != 0 && !p->keep_retained) {
        put_references(shard, m, kept, p->kept_count);
        return;
    }
    p->received_kept = p->publisher_here && p->token.identity != 0 && p->needs.targets == 0 && p->needs.gate == NULL;
    put_message(shard, m, &p->token, p->keep_retained, p->received_kept, kept, p->kept_count);
}

void
keep_publication(struct shard *shard, struct publication *p)
{
    if (p->kept_count == 0 && !p->keep_retained) {
        return;
    }
    struct keeper *k = shard->keeper;
    const struct kept *kept = p->kept_count > 0 ? k->kept + p->kept_first : NULL;
    record_publication(shard, p, kept);
    p->needs.position = journal_end(shard->journal);
    for (uint32_t i = 0; i < p->kept_count; i++) {
        if (kept[i].delivery->promised) {
            promise_send(shard, kept[i].session, kept[i].delivery);
        }
    }
    k->count -= p->kept_count;
    p->kept_count = 0;
    p->keep_retained = false;
}

/* -------------------------------------------------------------------------------------------------------------- deliveries */

static void
put_mark(struct shard *shard, enum entry_type type, uint64_t identity, uint64_t number, uint16_t packet_id)
{
    uint64_t position;
    struct writer w = append(shard, type, entry_mark_size(1), &position);
    entry_put_mark_head(&w, identity, 1);
    entry_put_mark(&w, number, packet_id);
    written(&w);
}

void
keep_sent(struct shard *shard, struct session *s, struct delivery *d)
{
    if (d->number != 0 && records_of(shard, s)) {
        put_mark(shard, ENTRY_SENT, s->identity, d->number, d->packet_id);
    }
}

void
keep_released(struct shard *shard, struct session *s, struct delivery *d)
{
    if (d->number != 0 && records_of(shard, s)) {
        put_mark(shard, ENTRY_RELEASED, s->identity, d->number, d->packet_id);
    }
}

/* Its record has not been written yet, and need not be: true. */
static bool
cancel(struct shard *shard, const struct session *s, const struct delivery *d)
{
    uint32_t size;
    uint8_t *content = journal_waiting(shard->journal, d->kept_at, &size);
    if (content == NULL || size > CANCEL_BYTES_MAX || d->copied || d->message == NULL || d->message->kept_at != d->kept_at) {
        return false;
    }
    int32_t left = entry_cancel_delivery(ENTRY_MESSAGE, content, size, s->identity, d->number);
    if (left < 0) {
        return false;
    }
    struct entry_message e;
    bool whole = entry_read_message(bytes_of(content, size), &e);
    assert(whole);
    if (left == 0 && !e.keep_retained && !e.received && e.token.identity == 0 && d->message->refs == 1) {
        journal_void(shard->journal, d->kept_at);
    }
    return true;
}

void
keep_done(struct shard *shard, struct session *s, struct delivery *d)
{
    if (d->number == 0 || d->kept_at == 0 || !records_of(shard, s)) {
        return;
    }
    if (!cancel(shard, s, d)) {
        keep_done_number(shard, s->identity, d->number);
    }
    d->number = 0;
}

void
keep_done_number(struct shard *shard, uint64_t identity, uint64_t number)
{
    if (records(shard)) {
        put_mark(shard, ENTRY_DONE, identity, number, 0);
    }
}

/* ------------------------------------------------------------------------------------------------------- QoS 2 from clients */

static void
put_received(struct shard *shard, enum entry_type type, uint64_t identity, uint64_t count, uint16_t packet_id)
{
    struct entry_received e = {.identity = identity, .count = count, .packet_id = packet_id};
    uint64_t position;
    struct writer w = append(shard, type, entry_received_size(), &position);
    entry_put_received(&w, &e);
    written(&w);
}

void
keep_received(struct shard *shard, struct session *s, uint64_t count, uint16_t packet_id)
{
    struct session_extra *extra = s->extra;
    if (extra == NULL || !received_remove(&extra->pending, packet_id) || !records_of(shard, s)) {
        return;
    }
    extra->recorded_count = count;
    put_received(shard, ENTRY_RECEIVED, s->identity, count, packet_id);
}

void
keep_completed(struct shard *shard, const struct session *s, uint16_t packet_id)
{
    if (records_of(shard, s)) {
        put_received(shard, ENTRY_COMPLETED, s->identity, 0, packet_id);
    }
}

/* ------------------------------------------------------------------------------------------------------------------ copies */

static void
copy_received(struct shard *shard, const struct session *s)
{
    const struct session_extra *extra = session_get_extra(s);
    for (uint32_t i = 0; i < extra->received.count; i++) {
        uint16_t id = extra->received.ids[i];
        if (!received_has(&extra->pending, id)) {
            put_received(shard, ENTRY_RECEIVED, s->identity, extra->recorded_count, id);
        }
    }
}

void
keep_copy_session(struct shard *shard, const struct session *s)
{
    if (!records_of(shard, s)) {
        return;
    }
    put_session(shard, s, absent_since(shard, s));
    keep_will(shard, (struct session *)(uintptr_t)s);
    copy_received(shard, s);
    uint32_t room;
    struct subscription *const *places = session_subscriptions(s, &room);
    for (uint32_t i = 0; i < room; i++) {
        if (places[i] != NULL) {
            keep_subscription(shard, s, places[i]);
        }
    }
}

void
keep_copy_delivery(struct shard *shard, const struct session *s, struct delivery *d, uint64_t before)
{
    static const struct message no_message;
    struct message *m = d->message;
    if (d->paged) {
        page_copy(shard, d, before);
        return;
    }
    if (d->number == 0 || d->kept_at >= before || !records_of(shard, s)) {
        return;
    }
    struct kept kept = {(struct session *)(uintptr_t)s, d};
    d->copied = 1;
    if (m != NULL && m->kept_at < before) {
        put_message(shard, m, &no_token, false, false, &kept, 1);
    } else {
        put_references(shard, m != NULL ? m : &no_message, &kept, 1);
    }
}

void
keep_copy_token(struct shard *shard, const struct entry_token *token, const uint64_t *holders, uint32_t count)
{
    uint64_t position;
    struct writer w = append(shard, ENTRY_TOKEN, entry_token_size(count), &position);
    entry_put_token(&w, token, count);
    for (uint32_t i = 0; i < count; i++) {
        writer_u64(&w, holders[i]);
    }
    written(&w);
}

void
keep_copy_retained(struct shard *shard, struct message *m, uint64_t before)
{
    if (m->retain_kept && m->kept_at < before && records(shard)) {
        put_message(shard, m, &no_token, true, false, NULL, 0);
    }
}
