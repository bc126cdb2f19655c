#include "engine/durable/recovery.h"

#include "engine/durable/token.h"
#include "engine/journal/journal.h"

/* The store gives up the topic's message, if there was one: nobody is to find it by its number if nobody else holds it. */
static void
let_go_of_retained(struct recovery *r, const struct message *old)
{
    if (old != NULL && old->refs == 1) {
        recall_remove(&r->bodies, 0, old->body);
    }
}

static void
retain(struct recovery *r, struct message *m)
{
    const struct message *old = retained_get(r->shard->retained, message_topic(m));
    struct message *mine = message_ref(m);
    m->retain_kept = true;
    if (old != m) {
        let_go_of_retained(r, old);
        if (retained_set(r->shard->retained, &mine) == 0) {
            return;
        }
        r->out_of_memory = true;
    }
    shard_message_unref(r->shard, &mine);
}

static void
take_deliveries(struct recovery *r, const struct entry_message *e, struct message *m)
{
    struct bytes rest = e->deliveries;
    struct entry_delivery d;
    while (entry_next_delivery(&rest, &d)) {
        recovery_put_delivery(r, &d, m, r->position);
    }
}

/* Somebody is owed it, or it is retained: else there is no need to make it. */
static bool
is_wanted(const struct entry_message *e)
{
    struct bytes rest = e->deliveries;
    struct entry_delivery d;
    bool wanted = e->keep_retained && e->body.payload.size > 0;
    while (!wanted && entry_next_delivery(&rest, &d)) {
        wanted = !d.cancelled;
    }
    return wanted;
}

/* A conversion puts it there for the sake of DELIVERIES that it had from another shard's journal (engine/durable/convert.h). */
static bool
is_alone(const struct entry_message *e)
{
    return e->delivery_count == 0 && !e->keep_retained;
}

/* Of which sessions it is known that they have the message, should its publisher send it again: of all here, or of its deliveries. */
static void
note_token(struct recovery *r, const struct entry_message *e)
{
    if (!e->token_partial) {
        token_remember(r->shard, &e->token);
        return;
    }
    struct bytes rest = e->deliveries;
    struct entry_delivery d;
    while (entry_next_delivery(&rest, &d)) {
        token_remember_holder(r->shard, &e->token, d.identity);
    }
}

static void
note_message(struct recovery *r, const struct entry_message *e)
{
    recovery_note_max(&r->stamp_max, e->body.stamp);
    recovery_note_identity(r, e->body.publisher);
    if (e->token.identity != 0) {
        recovery_note_identity(r, e->token.identity);
        note_token(r, e);
    }
    if (e->received) {
        recovery_set_received(r, e->token.identity, e->token.count, e->token.packet_id);
    }
}

void
recovery_apply_message(struct recovery *r, const struct journal_record *record)
{
    struct entry_message e;
    if (!entry_read_message(record->content, &e) || e.body.number == 0) {
        r->unreadable++;
        return;
    }
    if (!body_places_add(&r->places, e.body.number, record)) {
        r->out_of_memory = true;
        return;
    }
    note_message(r, &e);
    e.keep_retained = e.keep_retained && r->shard->config->retained_persistence;
    struct message *m = is_wanted(&e) || is_alone(&e) ? recovery_hold_body(r, &e) : NULL;
    recovery_note_max(&r->body_max, e.body.number);
    if (m == NULL) {
        return;
    }
    if (is_alone(&e)) {
        recovery_keep_for_later(r, &m);
        return;
    }
    take_deliveries(r, &e, m);
    if (e.keep_retained) {
        retain(r, m);
    }
    recovery_release_body(r, &m);
}

static void
put_reference(struct recovery *r, const struct entry_delivery *d)
{
    struct message *m = d->body != 0 && !d->cancelled ? recovery_hold_known_body(r, d->body) : NULL;
    recovery_note_max(&r->body_max, d->body);
    recovery_put_delivery(r, d, m, m != NULL ? m->kept_at : r->position);
    if (m != NULL) {
        recovery_release_body(r, &m);
    }
}

void
recovery_apply_token(struct recovery *r, struct bytes content)
{
    struct entry_known e;
    if (!entry_read_token(content, &e)) {
        r->passed_over++;
        return;
    }
    recovery_note_identity(r, e.token.identity);
    if (e.holder_count == 0) {
        token_remember(r->shard, &e.token);
        return;
    }
    struct reader holders = reader_of(e.holders);
    for (uint32_t i = 0; i < e.holder_count; i++) {
        token_remember_holder(r->shard, &e.token, reader_u64(&holders));
    }
}

void
recovery_apply_deliveries(struct recovery *r, struct bytes content)
{
    uint32_t count;
    struct bytes rest;
    struct entry_delivery d;
    if (!entry_read_deliveries(content, &count, &rest)) {
        r->unreadable++;
        return;
    }
    while (entry_next_delivery(&rest, &d)) {
        put_reference(r, &d);
    }
}

void
recovery_apply_retain_removed(struct recovery *r, struct bytes content)
{
    struct entry_retain_removed e;
    if (!entry_read_retain_removed(content, &e)) {
        r->unreadable++;
        return;
    }
    recovery_note_max(&r->stamp_max, e.stamp);
    let_go_of_retained(r, retained_get(r->shard->retained, e.topic));
    retained_remove(r->shard->retained, e.topic);
}
