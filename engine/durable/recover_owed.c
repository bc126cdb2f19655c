#include "engine/durable/recovery.h"

#include "engine/durable/revive.h"
#include "engine/journal/journal.h"
#include "engine/log.h"
#include "engine/session/page.h"

#include <stdlib.h>
#include <string.h>

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
        recovery_release_body(r, &d->message);
    }
    session_free_delivery(r->shard, &d);
}

static struct delivery *
make_delivery(struct recovery *r, struct recalled *s, const struct entry_delivery *e)
{
    struct delivery *d = revive_delivery(r->shard, e);
    if (d == NULL || !recall_add(&r->deliveries, e->identity, e->number, d)) {
        r->out_of_memory = true;
        if (d != NULL) {
            session_free_delivery(r->shard, &d);
        }
        return NULL;
    }
    link_delivery(s, d);
    return d;
}

/* --------------------------------------------------------------------------------------------------------------- pages */

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

void
recovery_apply_page(struct recovery *r, const struct journal_record *record)
{
    struct entry_page e;
    struct recalled *s = entry_read_page(record->content, &e) ? recovery_need_session(r, e.identity) : NULL;
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
    recovery_note_max(&owed->delivery_number, e.last);
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

void
recovery_forget_owed(struct recovery *r, struct recalled *s)
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

/* ------------------------------------------------------------------------------------------------------------- records */

static bool
is_sound(const struct entry_delivery *e, const struct message *m)
{
    bool released = e->state == ENTRY_DELIVERY_RELEASED;
    return e->number != 0 && (e->qos == 1 || e->qos == 2) && e->state <= ENTRY_DELIVERY_RELEASED && (m != NULL || released) && (!released || e->qos == 2) &&
           (e->state == ENTRY_DELIVERY_QUEUED || e->packet_id != 0);
}

void
recovery_put_delivery(struct recovery *r, const struct entry_delivery *e, struct message *m, uint64_t kept_at)
{
    struct recalled *s = e->cancelled || !is_sound(e, m) ? NULL : recovery_need_session(r, e->identity);
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
    recovery_note_max(&owed->delivery_number, e->number);
    strike(r, s, e->number);
    struct message *before = d->message;
    d->message = e->state != ENTRY_DELIVERY_RELEASED ? message_ref(m) : NULL;
    if (before != NULL) {
        recovery_release_body(r, &before);
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
    recovery_put_delivery(r, &e, NULL, d != NULL ? d->kept_at : place->item->kept_at);
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

void
recovery_apply_sent(struct recovery *r, struct bytes content)
{
    apply_marks(r, content, set_sent);
}

void
recovery_apply_released(struct recovery *r, struct bytes content)
{
    apply_marks(r, content, set_released);
}

void
recovery_apply_done(struct recovery *r, struct bytes content)
{
    apply_marks(r, content, set_done);
}

/* ----------------------------------------------------------------------------------------------------------- finishing */

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

void
recovery_hand_over_owed(struct recovery *r, struct recalled *s)
{
    if (s->unsorted) {
        s->first = sort(s->first);
    }
    take_pages(r, s);
    struct delivery *next;
    for (struct delivery *d = s->first; d != NULL; d = next) {
        next = d->next;
        hand_over(r, s->session, d);
    }
}
