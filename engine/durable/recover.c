#include "engine/durable/recover.h"

#include "codec/topic.h"
#include "engine/durable/body_places.h"
#include "engine/durable/entry.h"
#include "engine/durable/keep.h"
#include "engine/durable/principal_entry.h"
#include "engine/durable/recall.h"
#include "engine/durable/shelf.h"
#include "engine/durable/token.h"
#include "engine/identity/principal.h"
#include "engine/journal/journal.h"
#include "engine/log.h"
#include "engine/protocol/subscribe.h"
#include "engine/route/share.h"
#include "engine/session/page.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Records between two looks whether the broker is to stop. */
#define LOOK_RECORDS 4096u
/* The low bits of an identity; above is the shard that gave it (session.h S1). */
#define SERIAL_MASK ((1ull << 56) - 1)

/*
 * A session while it is put together. What it is owed is in the order of the records, and sorted at the end. It has no name before its SESSION record, which may come after what
 * it is owed: what came before was cut off, and is said again further on.
 */
struct recalled {
    struct session *session;
    struct delivery *first, *last;
    uint64_t absent_since_ms; /* wall clock; 0: connected */
    struct shelf pages;
    bool unsorted;
    bool known;    /* by a SESSION record */
};

struct recovery {
    struct shard *shard;
    struct recall sessions;   /* by identity and 0: struct recalled */
    struct recall deliveries; /* by identity and number: struct delivery */
    struct recall marks;      /* by identity and number: what a SENT record says of a delivery in a page, as a mark_of() */
    struct recall bodies;     /* by 0 and number: struct message; those that somebody holds */
    struct body_places places; /* of all bodies: records may refer to one that nobody holds */
    struct message **held;    /* bodies that came alone: for deliveries that come later, perhaps after others of them are over */
    uint32_t held_count, held_room;
    uint64_t wall_ms;         /* when it began */
    uint64_t now_ms;          /* the same moment by the shard's clock */
    uint64_t position;        /* of the record that is applied */
    uint64_t serial_max, body_max, stamp_max;
    uint64_t passed_over;     /* records, or parts of them, that speak of what is not there */
    uint64_t unreadable;      /* records that say nothing that can be so */
    uint32_t until_look;
    bool out_of_memory;
};

uint64_t
recover_time_ms(uint64_t now_ms, uint64_t wall_now_ms, uint64_t wall_ms)
{
    if (wall_ms >= wall_now_ms) {
        return now_ms + (wall_ms - wall_now_ms);
    }
    uint64_t ago_ms = wall_now_ms - wall_ms;
    return ago_ms < now_ms ? now_ms - ago_ms : 1;
}

static uint64_t
own_time(const struct recovery *r, uint64_t wall_ms)
{
    return wall_ms == 0 ? 0 : recover_time_ms(r->now_ms, r->wall_ms, wall_ms);
}

static void
note_max(uint64_t *max, uint64_t value)
{
    *max = value > *max ? value : *max;
}

static void
note_identity(struct recovery *r, uint64_t identity)
{
    note_max(&r->serial_max, identity & SERIAL_MASK);
}

static struct recalled *
find_session(struct recovery *r, uint64_t identity)
{
    struct recalled *s = recall_get(&r->sessions, identity, 0);
    bool found = s != NULL && s->known;
    r->passed_over += !found;
    return found ? s : NULL;
}

static struct recalled *
make_session(struct recovery *r, uint64_t identity)
{
    struct recalled *s = calloc(1, sizeof *s);
    struct session *session = s != NULL ? session_recall(r->shard, identity) : NULL;
    if (session == NULL || !recall_add(&r->sessions, identity, 0, s)) {
        r->out_of_memory = true;
        if (session != NULL) {
            session_end(r->shard, &session);
        }
        free(s);
        return NULL;
    }
    s->session = session;
    return s;
}

/* The session of that identity, perhaps without a name yet. */
static struct recalled *
need_session(struct recovery *r, uint64_t identity)
{
    struct recalled *s = recall_get(&r->sessions, identity, 0);
    return s != NULL ? s : make_session(r, identity);
}

/* ------------------------------------------------------------------------------------------------------------- bodies */

static struct message *
make_message(struct recovery *r, const struct entry_body *body)
{
    struct message *m = message_make(r->shard->account, body->topic, body->properties, body->payload);
    if (m == NULL) {
        r->out_of_memory = true;
        return NULL;
    }
    m->publisher = body->publisher;
    m->stamp = body->stamp;
    m->expiry_ms = own_time(r, body->expiry_ms);
    m->qos = body->qos;
    m->retain = body->retain;
    m->body = body->number;
    m->kept_at = r->position;
    return m;
}

/* Gives up one of those who hold it. */
static void
release_body(struct recovery *r, struct message **m)
{
    if ((*m)->refs == 1) {
        recall_remove(&r->bodies, 0, (*m)->body);
    }
    shard_message_unref(r->shard, m);
}

/* ---------------------------------------------------------------------------------------------------------- deliveries */

static void
link_delivery(struct recalled *s, struct delivery *d)
{
    d->previous = s->last;
    d->next = NULL;
    s->unsorted = s->unsorted || (s->last != NULL && s->last->number > d->number);
    *(s->last != NULL ? &s->last->next : &s->first) = d;
    s->last = d;
}

static void
unlink_delivery(struct recalled *s, struct delivery *d)
{
    *(d->previous != NULL ? &d->previous->next : &s->first) = d->next;
    *(d->next != NULL ? &d->next->previous : &s->last) = d->previous;
}

static void
forget_delivery(struct recovery *r, struct recalled *s, struct delivery *d)
{
    unlink_delivery(s, d);
    recall_remove(&r->deliveries, s->session->identity, d->number);
    if (d->message != NULL) {
        release_body(r, &d->message);
    }
    session_free_delivery(r->shard, &d);
}

static bool
copy_identifiers(struct recovery *r, struct delivery *d, const struct entry_delivery *e)
{
    struct reader in = reader_of(e->identifiers);
    if (e->identifier_count > UINT16_MAX) {
        return false;
    }
    if (e->identifier_count > 1) {
        d->identifiers.many = malloc(e->identifier_count * sizeof *d->identifiers.many);
        if (d->identifiers.many == NULL) {
            return false;
        }
        budget_charge(r->shard->account, e->identifier_count * sizeof *d->identifiers.many);
    }
    uint32_t *to = e->identifier_count > 1 ? d->identifiers.many : &d->identifiers.one;
    for (uint32_t i = 0; i < e->identifier_count; i++) {
        to[i] = reader_u32(&in);
    }
    d->identifier_count = (uint16_t)e->identifier_count;
    return true;
}

static struct delivery *
make_delivery(struct recovery *r, struct recalled *s, const struct entry_delivery *e)
{
    struct delivery *d = slab_take(&r->shard->deliveries);
    if (d == NULL || !copy_identifiers(r, d, e) || !recall_add(&r->deliveries, e->identity, e->number, d)) {
        r->out_of_memory = true;
        if (d != NULL) {
            session_free_delivery(r->shard, &d);
        }
        return NULL;
    }
    d->number = e->number;
    d->qos = e->qos & 3;
    d->retain = e->retain;
    d->share_hash = e->share_hash;
    link_delivery(s, d);
    return d;
}

/* ---------------------------------------------------------------------------------------------------------------- pages */

/* The packet identifier of a delivery that is not in memory; as a pointer, never NULL, to be kept in a table. */
static void *
mark_of(uint16_t packet_id)
{
    return (void *)(uintptr_t)(0x10000u | packet_id);
}

static uint16_t
packet_id_of(const void *mark)
{
    return (uint16_t)(uintptr_t)mark;
}

/* If a page has this number, it has not any more. */
static bool
strike(struct recovery *r, struct recalled *s, uint64_t number)
{
    struct shelf_place *place = shelf_find(&s->pages, number);
    if (place == NULL) {
        return false;
    }
    recall_remove(&r->marks, s->session->identity, number);
    if (page_strike(place->item, number) == 0) {
        page_free(r->shard, &place->item);
    }
    return true;
}

/* What is in flight of a page is needed in memory, when all is read. */
static bool
mark_sent(struct recovery *r, struct recalled *s, uint64_t number, uint16_t packet_id)
{
    struct shelf_place *place = shelf_find(&s->pages, number);
    if (place == NULL) {
        return false;
    }
    place->wanted = true;
    recall_remove(&r->marks, s->session->identity, number);
    if (!recall_add(&r->marks, s->session->identity, number, mark_of(packet_id))) {
        r->out_of_memory = true;
    }
    return true;
}

static void
apply_page(struct recovery *r, const struct journal_record *record)
{
    struct entry_page e;
    struct recalled *s = entry_read_page(record->content, &e) ? need_session(r, e.identity) : NULL;
    struct delivery *item = s != NULL ? page_recall(r->shard, s->session, record) : NULL;
    if (item == NULL) {
        r->unreadable++;
        return;
    }
    struct session_owed *owed = session_need_owed(r->shard, s->session);
    if (owed == NULL) {
        page_free(r->shard, &item);
        r->out_of_memory = true;
        return;
    }
    note_max(&owed->delivery_number, e.last);
    /* All that was said before of its numbers is over. */
    for (uint64_t number = e.first; number <= e.last; number++) {
        struct delivery *d = recall_get(&r->deliveries, e.identity, number);
        if (d != NULL) {
            forget_delivery(r, s, d);
        } else {
            strike(r, s, number);
        }
    }
    if (!shelf_put(r->shard->account, &s->pages, item)) {
        page_free(r->shard, &item);
        r->out_of_memory = true;
    }
}

/* ---------------------------------------------------------------------------------------------------------- deliveries */

static bool
is_sound(const struct entry_delivery *e, const struct message *m)
{
    bool released = e->state == ENTRY_DELIVERY_RELEASED;
    return e->number != 0 && (e->qos == 1 || e->qos == 2) && e->state <= ENTRY_DELIVERY_RELEASED && (m != NULL || released) && (!released || e->qos == 2) &&
           (e->state == ENTRY_DELIVERY_QUEUED || e->packet_id != 0);
}

/* What the entry says is so from here on. Holds the message if the delivery still has one. `kept_at`: of the oldest record that it needs. */
static void
put_delivery(struct recovery *r, const struct entry_delivery *e, struct message *m, uint64_t kept_at)
{
    struct recalled *s = e->cancelled || !is_sound(e, m) ? NULL : need_session(r, e->identity);
    if (s == NULL) {
        r->passed_over += !e->cancelled;
        return;
    }
    struct delivery *d = recall_get(&r->deliveries, e->identity, e->number);
    if (d == NULL) {
        d = make_delivery(r, s, e);
    }
    struct session_owed *owed = session_need_owed(r->shard, s->session);
    if (d == NULL || owed == NULL) {
        r->out_of_memory = true;
        return;
    }
    note_max(&owed->delivery_number, e->number);
    strike(r, s, e->number);
    struct message *before = d->message;
    d->message = e->state != ENTRY_DELIVERY_RELEASED ? message_ref(m) : NULL;
    if (before != NULL) {
        release_body(r, &before);
    }
    d->state = e->state & 3;
    d->packet_id = e->packet_id;
    d->kept_at = kept_at;
}

static void
set_sent(struct recovery *r, struct recalled *s, uint64_t number, uint16_t packet_id)
{
    struct delivery *d = recall_get(&r->deliveries, s->session->identity, number);
    if (packet_id == 0 || (d != NULL && d->message == NULL)) {
        r->passed_over++;
    } else if (d != NULL) {
        d->state = DELIVERY_PUBLISHED;
        d->packet_id = packet_id;
    } else if (!mark_sent(r, s, number, packet_id)) {
        r->passed_over++;
    }
}

static void
set_released(struct recovery *r, struct recalled *s, uint64_t number, uint16_t packet_id)
{
    uint64_t identity = s->session->identity;
    const struct delivery *d = recall_get(&r->deliveries, identity, number);
    const struct shelf_place *place = d == NULL ? shelf_find(&s->pages, number) : NULL;
    if ((d != NULL && d->qos != 2) || (d == NULL && place == NULL)) {
        r->passed_over++;
        return;
    }
    struct entry_delivery e = {.identity = identity, .number = number, .packet_id = packet_id, .qos = 2, .state = ENTRY_DELIVERY_RELEASED};
    /* Without what came before, this record is of no use. */
    put_delivery(r, &e, NULL, d != NULL ? d->kept_at : place->item->kept_at);
}

static void
set_done(struct recovery *r, struct recalled *s, uint64_t number, uint16_t packet_id)
{
    (void)packet_id;
    struct delivery *d = recall_get(&r->deliveries, s->session->identity, number);
    if (d != NULL) {
        forget_delivery(r, s, d);
    } else if (!strike(r, s, number)) {
        r->passed_over++;
    }
}

static void
apply_marks(struct recovery *r, struct bytes content, void (*set)(struct recovery *r, struct recalled *s, uint64_t number, uint16_t packet_id))
{
    struct entry_mark e;
    uint64_t number;
    uint16_t packet_id;
    struct recalled *s = entry_read_mark(content, &e) ? recall_get(&r->sessions, e.identity, 0) : NULL;
    if (s == NULL) {
        r->passed_over++;
        return;
    }
    while (entry_next_mark(&e.marks, &number, &packet_id)) {
        set(r, s, number, packet_id);
    }
}

/* ------------------------------------------------------------------------------------------------------------ sessions */

static void
forget_owed(struct recovery *r, struct recalled *s)
{
    while (s->first != NULL) {
        forget_delivery(r, s, s->first);
    }
    for (uint32_t i = 0; i < s->pages.count; i++) {
        if (s->pages.places[i].item != NULL) {
            page_free(r->shard, &s->pages.places[i].item);
        }
    }
    shelf_fini(r->shard->account, &s->pages);
}

/* With all it has; nobody hears of it. */
static void
forget_session(struct recovery *r, struct recalled *s)
{
    recall_remove(&r->sessions, s->session->identity, 0);
    forget_owed(r, s);
    if (session_get_extra(s->session)->will != NULL) {
        session_drop_will(r->shard, s->session);
    }
    session_end(r->shard, &s->session);
    free(s);
}

/* With the name, which nobody else has from here on. False when out of memory. */
static bool
name_session(struct recovery *r, struct recalled *s, struct bytes client_id)
{
    uint64_t hash = broker_hash(r->shard->broker, client_id.data, client_id.size);
    const struct session *same = session_table_find(&r->shard->session_table, hash, client_id);
    struct recalled *before = same != NULL ? recall_get(&r->sessions, same->identity, 0) : NULL;
    if (before != NULL && before->session->expiry_s == 0) {
        session_forget_name(r->shard, before->session);
    } else if (before != NULL) {
        forget_session(r, before); /* its end is in a damaged place */
    }
    s->known = true;
    return session_name(r->shard, s->session, client_id, hash);
}

static void
set_principal(struct recovery *r, struct session *session, struct bytes content)
{
    const struct config *config = r->shard->config;
    struct principal_entry e;
    struct session_extra *extra = session->extra;
    if (extra != NULL) {
        principal_free(r->shard->account, &extra->principal);
    }
    if (content.size == 0) {
        return;
    }
    if (!principal_entry_read(content, r->shard->broker->listeners, config->listener_count, &e)) {
        r->passed_over++;
        return;
    }
    extra = session_need_extra(r->shard, session);
    struct principal *principal = extra != NULL ? principal_make(r->shard->account, &e.principal) : NULL;
    if (principal == NULL) {
        r->out_of_memory = true;
        return;
    }
    extra->principal = principal;
}

static void
note_count(struct session_extra *extra, uint64_t count)
{
    note_max(&extra->received_count, count);
    note_max(&extra->recorded_count, count);
}

static void
apply_session(struct recovery *r, struct bytes content)
{
    struct entry_session e;
    if (!entry_read_session(content, &e) || e.identity == 0 || e.client_id.size == 0 || e.client_id.size > UINT16_MAX) {
        r->unreadable++;
        return;
    }
    note_identity(r, e.identity);
    struct recalled *s = need_session(r, e.identity);
    if (s == NULL || (!s->known && !name_session(r, s, e.client_id))) {
        r->out_of_memory = true;
        return;
    }
    struct session *session = s->session;
    session->expiry_s = e.expiry_s;
    keep_known(r->shard, session);
    session->window = e.window;
    session->version = e.version;
    s->absent_since_ms = e.absent_since_ms;
    set_principal(r, session, e.principal);
    if (e.delivery_number > 0 && session_need_owed(r->shard, session) != NULL) {
        note_max(&session->owed->delivery_number, e.delivery_number);
    }
    if (e.received_count > 0 && session_need_extra(r->shard, session) != NULL) {
        note_count(session->extra, e.received_count);
    }
}

static void
apply_session_end(struct recovery *r, struct bytes content)
{
    uint64_t identity;
    struct recalled *s = entry_read_identity(content, &identity) ? recall_get(&r->sessions, identity, 0) : NULL;
    if (s != NULL) {
        forget_session(r, s);
    }
}

static void
apply_absent(struct recovery *r, struct bytes content)
{
    struct entry_absent e;
    struct recalled *s = entry_read_absent(content, &e) ? find_session(r, e.identity) : NULL;
    if (s != NULL) {
        s->absent_since_ms = e.since_ms;
        s->session->expiry_s = e.expiry_s;
    }
}

static void
apply_subscription(struct recovery *r, struct bytes content)
{
    struct entry_subscription e;
    struct recalled *session = entry_read_subscription(content, &e) ? find_session(r, e.identity) : NULL;
    if (session == NULL) {
        return;
    }
    struct subscription *s = subscribe_recall(r->shard, session->session, e.text);
    struct topic_filter parsed;
    if (s == NULL) {
        bool is_filter = topic_filter_parse(e.text, TOPIC_LEVELS_MAX, &parsed);
        r->out_of_memory = r->out_of_memory || is_filter;
        r->unreadable += !is_filter;
        return;
    }
    s->qos = e.qos & 3;
    s->no_local = e.no_local;
    s->retain_as_published = e.retain_as_published;
    s->identifier = e.identifier;
}

static void
apply_unsubscribed(struct recovery *r, struct bytes content)
{
    struct entry_subscription e;
    struct recalled *session = entry_read_subscription(content, &e) ? find_session(r, e.identity) : NULL;
    if (session == NULL) {
        return;
    }
    struct subscription *s = session_find_subscription(session->session, e.text, subscribe_hash(r->shard, e.text), r->shard);
    if (s != NULL) {
        subscribe_remove(r->shard, session->session, s);
    }
}

static void
set_received(struct recovery *r, uint64_t identity, uint64_t count, uint16_t packet_id)
{
    struct recalled *s = find_session(r, identity);
    struct session_extra *extra = s != NULL ? session_need_extra(r->shard, s->session) : NULL;
    if (extra == NULL) {
        r->out_of_memory = r->out_of_memory || s != NULL;
        return;
    }
    note_count(extra, count);
    if (packet_id != 0 && !received_has(&extra->received, packet_id) && !received_add(r->shard->account, &extra->received, packet_id)) {
        r->out_of_memory = true;
    }
}

static void
apply_received(struct recovery *r, struct bytes content)
{
    struct entry_received e;
    if (entry_read_received(content, &e)) {
        token_forget(r->shard, e.identity, e.packet_id, e.count);
        set_received(r, e.identity, e.count, e.packet_id);
    }
}

static void
apply_completed(struct recovery *r, struct bytes content)
{
    struct entry_received e;
    struct recalled *s = entry_read_received(content, &e) ? find_session(r, e.identity) : NULL;
    if (s != NULL && s->session->extra != NULL) {
        received_remove(&s->session->extra->received, e.packet_id);
    }
}

static void
drop_will(struct recovery *r, struct session *session)
{
    if (session_get_extra(session)->will != NULL) {
        session_drop_will(r->shard, session);
    }
}

static void
apply_will(struct recovery *r, struct bytes content)
{
    struct entry_will e;
    struct recalled *s = entry_read_will(content, &e) ? find_session(r, e.identity) : NULL;
    if (s == NULL) {
        return;
    }
    drop_will(r, s->session);
    struct message *message = make_message(r, &e.body);
    struct session_will *will = message != NULL ? session_put_will(r->shard, s->session, &message) : NULL;
    if (will == NULL) {
        r->out_of_memory = true;
        return;
    }
    will->message->body = 0;
    will->message->kept_at = 0;
    will->delay_s = e.delay_s;
    will->has_expiry = e.has_expiry;
    will->expiry_s = e.expiry_s;
}

static void
apply_will_dropped(struct recovery *r, struct bytes content)
{
    uint64_t identity;
    struct recalled *s = entry_read_identity(content, &identity) ? find_session(r, identity) : NULL;
    if (s != NULL) {
        drop_will(r, s->session);
    }
}

/* ------------------------------------------------------------------------------------------------------------ messages */

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
        put_delivery(r, &d, m, r->position);
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

/* Until the end: takes the reference over. */
static void
keep_for_later(struct recovery *r, struct message **m)
{
    if (r->held_count == r->held_room) {
        uint32_t room = r->held_room > 0 ? 2 * r->held_room : 64;
        struct message **held = realloc(r->held, room * sizeof(struct message *));
        if (held == NULL) {
            r->out_of_memory = true;
            release_body(r, m);
            return;
        }
        r->held = held;
        r->held_room = room;
    }
    r->held[r->held_count++] = *m;
    *m = NULL;
}

static void
release_held(struct recovery *r)
{
    for (uint32_t i = 0; i < r->held_count; i++) {
        release_body(r, &r->held[i]);
    }
    r->held_count = 0;
}

/* The body, held by us; made if it is new. */
static struct message *
hold_body(struct recovery *r, const struct entry_message *e)
{
    /* Numbers grow: most are new, and there is no need to look. */
    struct message *m = e->body.number <= r->body_max ? recall_get(&r->bodies, 0, e->body.number) : NULL;
    if (m != NULL) {
        m->kept_at = r->position;
        return message_ref(m);
    }
    m = make_message(r, &e->body);
    if (m != NULL && !recall_add(&r->bodies, 0, m->body, m)) {
        r->out_of_memory = true;
        shard_message_unref(r->shard, &m);
    }
    return m;
}

static struct message *
read_body(struct recovery *r, const struct body_place *place)
{
    uint8_t *content = NULL;
    struct entry_message e;
    struct message *m = NULL;
    int result = journal_fetch_now(r->shard->journal, &place->place, place->size, &content);
    r->out_of_memory = r->out_of_memory || result == -ENOMEM;
    if (result == 0 && entry_read_message(bytes_of(content, place->size), &e)) {
        m = hold_body(r, &e);
    }
    if (m != NULL) {
        m->kept_at = place->position;
    }
    r->unreadable += m == NULL && !r->out_of_memory;
    free(content);
    return m;
}

/* A body that came before, held by us; it is read again if all who held it are gone. NULL: it did not come, or cannot be read. */
static struct message *
hold_known_body(struct recovery *r, uint64_t number)
{
    struct message *m = recall_get(&r->bodies, 0, number);
    struct body_place place;
    if (m != NULL) {
        return message_ref(m);
    }
    return body_places_find(&r->places, number, &place) ? read_body(r, &place) : NULL;
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
    note_max(&r->stamp_max, e->body.stamp);
    note_identity(r, e->body.publisher);
    if (e->token.identity != 0) {
        note_identity(r, e->token.identity);
        note_token(r, e);
    }
    if (e->received) {
        set_received(r, e->token.identity, e->token.count, e->token.packet_id);
    }
}

static void
apply_message(struct recovery *r, const struct journal_record *record)
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
    struct message *m = is_wanted(&e) || is_alone(&e) ? hold_body(r, &e) : NULL;
    note_max(&r->body_max, e.body.number);
    if (m == NULL) {
        return;
    }
    if (is_alone(&e)) {
        keep_for_later(r, &m);
        return;
    }
    take_deliveries(r, &e, m);
    if (e.keep_retained) {
        retain(r, m);
    }
    release_body(r, &m);
}

static void
put_reference(struct recovery *r, const struct entry_delivery *d)
{
    struct message *m = d->body != 0 && !d->cancelled ? hold_known_body(r, d->body) : NULL;
    note_max(&r->body_max, d->body);
    put_delivery(r, d, m, m != NULL ? m->kept_at : r->position);
    if (m != NULL) {
        release_body(r, &m);
    }
}

static void
apply_token(struct recovery *r, struct bytes content)
{
    struct entry_known e;
    if (!entry_read_token(content, &e)) {
        r->passed_over++;
        return;
    }
    note_identity(r, e.token.identity);
    if (e.holder_count == 0) {
        token_remember(r->shard, &e.token);
        return;
    }
    struct reader holders = reader_of(e.holders);
    for (uint32_t i = 0; i < e.holder_count; i++) {
        token_remember_holder(r->shard, &e.token, reader_u64(&holders));
    }
}

static void
apply_deliveries(struct recovery *r, struct bytes content)
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

static void
apply_retain_removed(struct recovery *r, struct bytes content)
{
    struct entry_retain_removed e;
    if (!entry_read_retain_removed(content, &e)) {
        r->unreadable++;
        return;
    }
    note_max(&r->stamp_max, e.stamp);
    let_go_of_retained(r, retained_get(r->shard->retained, e.topic));
    retained_remove(r->shard->retained, e.topic);
}

/* ------------------------------------------------------------------------------------------------------------- reading */

static void
apply(struct recovery *r, const struct journal_record *record)
{
    struct bytes content = record->content;
    r->position = record->position;
    switch ((enum entry_type)record->type) {
    case ENTRY_SESSION:
        apply_session(r, content);
        break;
    case ENTRY_SESSION_END:
        apply_session_end(r, content);
        break;
    case ENTRY_ABSENT:
        apply_absent(r, content);
        break;
    case ENTRY_SUBSCRIPTION:
        apply_subscription(r, content);
        break;
    case ENTRY_UNSUBSCRIBED:
        apply_unsubscribed(r, content);
        break;
    case ENTRY_MESSAGE:
        apply_message(r, record);
        break;
    case ENTRY_DELIVERIES:
        apply_deliveries(r, content);
        break;
    case ENTRY_SENT:
        apply_marks(r, content, set_sent);
        break;
    case ENTRY_RELEASED:
        apply_marks(r, content, set_released);
        break;
    case ENTRY_DONE:
        apply_marks(r, content, set_done);
        break;
    case ENTRY_RECEIVED:
        apply_received(r, content);
        break;
    case ENTRY_COMPLETED:
        apply_completed(r, content);
        break;
    case ENTRY_RETAIN_REMOVED:
        apply_retain_removed(r, content);
        break;
    case ENTRY_WILL:
        apply_will(r, content);
        break;
    case ENTRY_WILL_DROPPED:
        apply_will_dropped(r, content);
        break;
    case ENTRY_PAGE:
        apply_page(r, record);
        break;
    case ENTRY_TOKEN:
        apply_token(r, content);
        break;
    }
}

static bool
visit(void *context, const struct journal_record *record)
{
    struct recovery *r = context;
    if (r->until_look-- == 0) {
        r->until_look = LOOK_RECORDS;
        if (atomic_load_explicit(&r->shard->broker->stopping, memory_order_relaxed)) {
            return false;
        }
    }
    apply(r, record);
    return !r->out_of_memory;
}

/* ------------------------------------------------------------------------------------------------------------ finishing */

/* By number: the order in which they were owed. Two sorted lists into one. */
static struct delivery *
merge(struct delivery *a, struct delivery *b)
{
    struct delivery *first = NULL;
    struct delivery **end = &first;
    while (a != NULL && b != NULL) {
        struct delivery **lesser = a->number < b->number ? &a : &b;
        *end = *lesser;
        end = &(*lesser)->next;
        *lesser = (*lesser)->next;
    }
    *end = a != NULL ? a : b;
    return first;
}

/* Runs of 2^i deliveries in places[i], as a binary counter. */
static struct delivery *
sort(struct delivery *list)
{
    struct delivery *places[64] = {NULL};
    while (list != NULL) {
        struct delivery *run = list;
        list = list->next;
        run->next = NULL;
        unsigned i = 0;
        for (; places[i] != NULL; i++) {
            run = merge(places[i], run);
            places[i] = NULL;
        }
        places[i] = run;
    }
    for (unsigned i = 0; i < 64; i++) {
        list = merge(places[i], list);
    }
    return list;
}

static void
hand_over(struct recovery *r, struct session *session, struct delivery *d)
{
    d->previous = NULL;
    if (d->paged || d->state == DELIVERY_QUEUED) {
        queue_append(r->shard, &session->owed->queue, d);
        return;
    }
    if (inflight_restore(r->shard->account, &session->owed->inflight, d)) {
        stats_add(&r->shard->stats.inflight_messages, 1);
        return;
    }
    r->passed_over++; /* two with one packet identifier: the record that ended the first is in a damaged place */
    session_free_delivery(r->shard, &d);
}

/* A page whose numbers stand between those of messages that wait in memory has to come in: as one item it would have no place among them. */
static void
want_interleaved(struct recalled *s)
{
    const struct delivery *d = s->first;
    for (uint32_t i = 0; i < s->pages.count; i++) {
        struct shelf_place *place = &s->pages.places[i];
        while (d != NULL && d->number < place->first) {
            d = d->next;
        }
        for (const struct delivery *inside = d; place->item != NULL && inside != NULL && inside->number <= place->item->page->last; inside = inside->next) {
            place->wanted = place->wanted || inside->state == DELIVERY_QUEUED;
        }
    }
}

/* In front, in whatever order: they are sorted afterwards. */
static void
push(struct recalled *s, struct delivery *d)
{
    d->next = s->first;
    s->first = d;
}

/* All of a page; what was sent of it is in flight. False: it cannot be read now, and stays a page. */
static bool
read_page(struct recovery *r, struct recalled *s, struct delivery *item)
{
    struct delivery *d;
    struct delivery *next;
    int result = page_read_now(r->shard, item, &d);
    if (result != 0) {
        log_line(CONFIG_LOG_ERROR, "Error: shard %u: messages that are in flight cannot be read from the journal, and may be sent twice: %s", r->shard->number, strerror(-result));
        return false;
    }
    for (; d != NULL; d = next) {
        next = d->next;
        const void *mark = recall_get(&r->marks, s->session->identity, d->number);
        if (mark != NULL) {
            d->state = DELIVERY_PUBLISHED;
            d->packet_id = packet_id_of(mark);
        }
        push(s, d);
    }
    return true;
}

static void
take_pages(struct recovery *r, struct recalled *s)
{
    want_interleaved(s);
    for (uint32_t i = 0; i < s->pages.count; i++) {
        struct shelf_place *place = &s->pages.places[i];
        if (place->item != NULL && place->wanted && read_page(r, s, place->item)) {
            page_free(r->shard, &place->item);
        } else if (place->item != NULL) {
            push(s, place->item);
        }
    }
    if (s->pages.count > 0) {
        s->first = sort(s->first);
    }
    shelf_fini(r->shard->account, &s->pages);
}

static void
hand_over_all(struct recovery *r, struct recalled *s)
{
    struct delivery *next;
    for (struct delivery *d = s->first; d != NULL; d = next) {
        next = d->next;
        hand_over(r, s->session, d);
    }
}

static void
join_groups(struct recovery *r, const struct session *session)
{
    uint32_t room;
    struct subscription *const *places = session_subscriptions(session, &room);
    for (uint32_t i = 0; i < room; i++) {
        if (places[i] != NULL && places[i]->shared) {
            share_join(r->shard, places[i], SHARE_RECALLED, 0);
            r->shard->joins_awaited++;
        }
    }
}

static void
arm_timers(struct recovery *r, struct recalled *s)
{
    struct session *session = s->session;
    struct shard *shard = r->shard;
    struct session_will *will = session_get_extra(session)->will;
    if (will != NULL) {
        timer_arm(&shard->wheel, &will->timer, own_time(r, s->absent_since_ms + will->delay_s * 1000ull));
    }
    if (session->expiry_s != SESSION_NEVER_EXPIRES) {
        timer_arm(&shard->wheel, &session->timer, own_time(r, s->absent_since_ms + session->expiry_s * 1000ull));
    }
}

static void
finish_session(struct recovery *r, struct recalled *s)
{
    bool was_connected = s->absent_since_ms == 0;
    if (s->session->expiry_s == 0) {
        drop_will(r, s->session); /* nobody was to learn of its end if the broker ends */
    }
    if (was_connected || s->absent_since_ms > r->wall_ms) {
        s->absent_since_ms = r->wall_ms; /* or the clock has gone back meanwhile */
    }
    if (s->unsorted) {
        s->first = sort(s->first);
    }
    take_pages(r, s);
    hand_over_all(r, s);
    join_groups(r, s->session);
    arm_timers(r, s);
    session_tidy(r->shard, s->session);
    if (was_connected && s->session->expiry_s > 0) {
        keep_absent(r->shard, s->session);
    }
}

static void
raise(_Atomic uint64_t *to, uint64_t value)
{
    uint64_t now = atomic_load_explicit(to, memory_order_relaxed);
    while (now < value && !atomic_compare_exchange_weak_explicit(to, &now, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* Nothing says who it was: its record is in a damaged place. Or it all comes to nothing. */
static void
give_up_session(struct recovery *r, struct recalled *s)
{
    r->passed_over++;
    forget_owed(r, s);
    if (!s->known) {
        session_end(r->shard, &s->session);
    }
}

static void
give_up(struct recovery *r)
{
    uint64_t at = 0;
    release_held(r);
    for (struct recalled *s; (s = recall_next(&r->sessions, &at)) != NULL;) {
        give_up_session(r, s);
    }
}

static void
finish(struct recovery *r)
{
    uint64_t at = 0;
    release_held(r);
    for (struct recalled *s; (s = recall_next(&r->sessions, &at)) != NULL;) {
        if (s->known) {
            finish_session(r, s);
        } else {
            give_up_session(r, s);
        }
    }
    stats_set(&r->shard->stats.retained_messages, retained_count(r->shard->retained));
    stats_set(&r->shard->stats.retained_bytes, retained_bytes(r->shard->retained));
    keep_bodies_from(r->shard, r->body_max);
    raise(&r->shard->broker->session_serial, r->serial_max);
    raise(&r->shard->broker->retain_stamp, r->stamp_max);
}

static void
end(struct recovery *r)
{
    uint64_t at = 0;
    for (struct recalled *s; (s = recall_next(&r->sessions, &at)) != NULL;) {
        free(s);
    }
    recall_fini(&r->sessions);
    recall_fini(&r->deliveries);
    recall_fini(&r->marks);
    recall_fini(&r->bodies);
    body_places_fini(&r->places);
    free(r->held);
}

static void
tell(const struct recovery *r, const struct journal_past *past, uint64_t took_ns)
{
    const struct shard *shard = r->shard;
    if (past->records == 0 && past->torn_bytes == 0 && past->damaged_places == 0) {
        return;
    }
    log_line(CONFIG_LOG_NOTICE,
             "Shard %u: %llu sessions, %llu subscriptions, %llu retained messages and %llu owed ones are back, from %llu records (%.1f MB) in %.3f s.", shard->number,
             (unsigned long long)stats_get(&shard->stats.sessions),
             (unsigned long long)(stats_get(&shard->stats.subscriptions) + stats_get(&shard->stats.shared_subscriptions)),
             (unsigned long long)retained_count(shard->retained),
             (unsigned long long)(stats_get(&shard->stats.queued_messages) + stats_get(&shard->stats.inflight_messages)), (unsigned long long)past->records,
             (double)past->bytes / 1e6, (double)took_ns / 1e9);
    if (r->unreadable > 0) {
        log_line(CONFIG_LOG_WARNING, "Warning: shard %u: %llu records of the journal cannot be understood, and were passed over.", shard->number, (unsigned long long)r->unreadable);
    }
    if (past->damaged_places > 0) {
        log_line(CONFIG_LOG_WARNING, "Warning: shard %u: because of the damage, %llu records spoke of what is not there, and were passed over.", shard->number,
                 (unsigned long long)r->passed_over);
    }
}

static void
begin(struct recovery *r, struct shard *shard)
{
    *r = (struct recovery){.shard = shard, .wall_ms = io_wall_ms(shard->io)};
    shard->now_ms = io_clock_ns(shard->io) / 1000000;
    r->now_ms = shard->now_ms;
    keep_be_silent(shard, true);
    recall_init(&r->sessions, shard->account);
    recall_init(&r->deliveries, shard->account);
    recall_init(&r->marks, shard->account);
    recall_init(&r->bodies, shard->account);
    body_places_init(&r->places, shard->account);
}

static int
read_all(struct recovery *r, char *error, size_t error_size)
{
    struct journal_past past = {0};
    uint64_t start_ns = io_clock_ns(r->shard->io);
    int result = journal_read(r->shard->journal, visit, r, &past, error, error_size);
    if (r->out_of_memory) {
        snprintf(error, error_size, "out of memory while the journal of shard %u is read", r->shard->number);
        result = -ENOMEM;
    }
    keep_be_silent(r->shard, result != 0);
    if (result != 0) {
        give_up(r);
        return result;
    }
    finish(r);
    shard_tell_others(r->shard); /* the first turn may sleep at once */
    tell(r, &past, io_clock_ns(r->shard->io) - start_ns);
    return 0;
}

int
recover_shard(struct shard *shard, char *error, size_t error_size)
{
    if (shard->journal == NULL) {
        return 0;
    }
    /* What was acknowledged is kept, even if a limit is lower now. */
    struct retained_limits none = {0};
    struct recovery r;
    begin(&r, shard);
    retained_set_limits(shard->retained, &none);
    int result = read_all(&r, error, error_size);
    shard_take_limits(shard);
    end(&r);
    return result;
}
