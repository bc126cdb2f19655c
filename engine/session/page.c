#include "engine/session/page.h"

#include "engine/durable/keep.h"
#include "engine/durable/promise.h"
#include "engine/durable/revive.h"
#include "engine/log.h"
#include "engine/route/deliver.h"
#include "engine/route/share.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

/* Reads of one page before it is given up. */
#define TRIES_MAX 3u
/* Without memory for what it holds no page is read for so long. */
#define NO_MEMORY_MS 100u
/* Sessions that the walk looks at in one turn. */
#define WALK_SESSIONS 256u
/* The queue memory at which a walk that found nothing begins again is this part of the share higher. */
#define WALK_PARTS 16u

/*
 * What goes to disk at which excess. A run of messages is written if it has `run_bytes`, and, unless `shared`, if at least half of them wait in no other queue; `all`: also of
 * sessions that have not grown lately (the walk); `near`: also what a connected client gets next.
 */
struct step {
    uint32_t eighths; /* of the share */
    uint32_t run_bytes;
    bool shared, all, near;
};

static const struct step steps[] = {
    {16, 1, true, true, true},
    {12, 2048, true, true, true},
    {10, PAGE_BYTES / 4, true, true, false},
    {9, PAGE_BYTES, true, true, false},
    {8, PAGE_BYTES, false, false, false},
};

/* -------------------------------------------------------------------------------------------------------------------- lists */

static void
add_page(struct page_list *list, struct page *page)
{
    page->next = NULL;
    page->previous = list->last;
    *(list->last != NULL ? &list->last->next : &list->first) = page;
    list->last = page;
}

static void
remove_page(struct page_list *list, struct page *page)
{
    *(page->previous != NULL ? &page->previous->next : &list->first) = page->next;
    *(page->next != NULL ? &page->next->previous : &list->last) = page->previous;
    page->next = page->previous = NULL;
}

bool
page_open(struct shard *shard)
{
    struct pages *pages = calloc(1, sizeof *pages);
    if (pages == NULL) {
        return false;
    }
    slab_init(&pages->slab, sizeof(struct page), 0, shard->account);
    shard->pages = pages;
    return true;
}

static uint32_t
struck_bytes(const struct page *page)
{
    return (uint32_t)((page->last - page->first) / 8 + 1);
}

/* A shared subscription that the session had. */
struct page_group {
    uint32_t text_hash, serial, filter;
    uint8_t home;
};

struct page_groups {
    uint64_t identity; /* the session's */
    uint32_t count;
    struct page_group items[];
};

static uint64_t
groups_bytes(uint32_t count)
{
    return sizeof(struct page_groups) + count * sizeof(struct page_group);
}

static void
free_groups(struct shard *shard, struct page *page)
{
    if (page->groups != NULL) {
        budget_refund(shard->account, groups_bytes(page->groups->count));
        free(page->groups);
        page->groups = NULL;
    }
}

static void
give_page(struct shard *shard, struct page *page)
{
    free_groups(shard, page);
    if (page->struck != NULL) {
        budget_refund(shard->account, struck_bytes(page));
        free(page->struck);
    }
    slab_give(&shard->pages->slab, page);
}

void
page_close(struct shard *shard)
{
    struct pages *pages = shard->pages;
    if (pages == NULL) {
        return;
    }
    /* Of sessions that have ended, and nobody will tell of them any more. */
    struct page_list *lists[] = {&pages->writing, &pages->wished, &pages->reading};
    for (unsigned i = 0; i < 3; i++) {
        for (struct page *page; (page = lists[i]->first) != NULL;) {
            assert(page->item == NULL);
            remove_page(lists[i], page);
            give_page(shard, page);
        }
    }
    slab_fini(&pages->slab);
    free(pages);
    shard->pages = NULL;
}

static struct page_list *
list_of(struct pages *pages, const struct page *page)
{
    switch ((enum page_state)page->state) {
    case PAGE_WRITING:
        return &pages->writing;
    case PAGE_WISHED:
        return &pages->wished;
    case PAGE_READING:
        return &pages->reading;
    case PAGE_STORED:
        break;
    }
    return NULL;
}

static void
set_state(struct pages *pages, struct page *page, enum page_state state)
{
    struct page_list *list = list_of(pages, page);
    if (list != NULL) {
        remove_page(list, page);
    }
    pages->reading_count += state == PAGE_READING;
    pages->reading_count -= page->state == PAGE_READING;
    page->state = (uint8_t)state;
    list = list_of(pages, page);
    if (list != NULL) {
        add_page(list, page);
    }
}

static void
end_copy(struct pages *pages, struct page *page)
{
    pages->copying_count -= page->copy_before != 0;
    page->copy_before = 0;
}

void
page_free(struct shard *shard, struct delivery **item)
{
    struct pages *pages = shard->pages;
    struct page *page = (*item)->page;
    slab_give(&shard->deliveries, *item);
    *item = NULL;

    page->item = NULL;
    end_copy(pages, page);
    if (page->state == PAGE_READING) {
        return; /* page_fetched() */
    }
    uint32_t size;
    if (page->state == PAGE_WRITING && shard->journal != NULL && journal_waiting(shard->journal, page->position, &size) != NULL) {
        journal_void(shard->journal, page->position);
    }
    set_state(pages, page, PAGE_STORED);
    give_page(shard, page);
}

/* ------------------------------------------------------------------------------------------------------------------ to disk */

static void
set_position(struct page *page, uint64_t position)
{
    page->position = page->item->kept_at = position;
}

static bool
may_write(const struct shard *shard)
{
    return !shard->stopping && !keep_is_full(shard) && journal_backlog(shard->journal) <= PAGE_BACKLOG_BYTES;
}

/* Messages that follow each other in a queue. */
struct run {
    struct delivery *first, *last; /* NULL: none */
    uint64_t bytes;
    uint64_t freed;                /* of memory */
    uint32_t count;
};

static bool
joins(const struct run *run, const struct delivery *d)
{
    return !d->paged && d->number != 0 && (run->count == 0 || (run->bytes < PAGE_BYTES && run->last->number - d->number < PAGE_SPAN_MAX));
}

/* The run that ends with `*at`, if that may be in one; then `*at` is what is before it. */
static struct run
take_run(struct delivery **at)
{
    struct run run = {0};
    struct delivery *d = *at;
    do {
        if (!joins(&run, d)) {
            break;
        }
        uint32_t cost = message_cost(d->message);
        run.first = d;
        run.last = run.last != NULL ? run.last : d;
        run.count++;
        run.bytes += cost;
        run.freed += sizeof *d + (d->message->queued == 1 ? cost : 0);
        d = d->previous;
    } while (d != NULL);
    *at = run.count > 0 ? d : d->previous;
    return run;
}

static uint32_t
items_size(struct shard *shard, const struct session *s, const struct run *run)
{
    uint32_t size = 0;
    for (const struct delivery *d = run->first;; d = d->next) {
        struct entry_delivery e = keep_entry_of(shard, s, d, 0);
        struct entry_body body = keep_body_of(shard, d->message, d->message->body);
        size += entry_delivery_size(&e) + entry_body_size(&body);
        if (d == run->last) {
            return size;
        }
    }
}

static void
put_items(struct shard *shard, struct writer *w, const struct session *s, const struct run *run)
{
    for (const struct delivery *d = run->first;; d = d->next) {
        struct entry_delivery e = keep_entry_of(shard, s, d, 0);
        struct entry_body body = keep_body_of(shard, d->message, d->message->body);
        entry_put_delivery(w, &e);
        entry_put_body(w, &body);
        if (d == run->last) {
            return;
        }
    }
}

static uint64_t
record_run(struct shard *shard, const struct session *s, const struct run *run, uint32_t *written)
{
    struct entry_page e = {.identity = s->identity, .first = run->first->number, .last = run->last->number, .count = run->count, .cost = run->bytes};
    uint32_t size = entry_page_size(&e) + items_size(shard, s, run);
    uint8_t *content;
    uint64_t position = journal_append_placed(shard->journal, ENTRY_PAGE, size, &content);
    struct writer w = writer_of(content, size);
    entry_put_page(&w, &e);
    put_items(shard, &w, s, run);
    assert(!w.failed && w.at == w.end);
    *written = size;
    return position;
}

/* A page, and what stands for it in a queue. NULL when out of memory. */
static struct delivery *
make_page(struct shard *shard, struct session *s, uint64_t first, uint64_t last, uint32_t count, uint64_t bytes)
{
    struct page *page = slab_take(&shard->pages->slab);
    struct delivery *item = page != NULL ? slab_take(&shard->deliveries) : NULL;
    if (item == NULL) {
        if (page != NULL) {
            slab_give(&shard->pages->slab, page);
        }
        return NULL;
    }
    page->item = item;
    page->session = s;
    page->first = first;
    page->last = last;
    page->count = count;
    page->bytes = bytes;
    page->state = PAGE_STORED;
    item->paged = 1;
    item->number = first;
    item->page = page;
    return item;
}

static void
write_run(struct shard *shard, struct session *s, const struct run *run)
{
    struct queue *q = &s->owed->queue;
    struct delivery *next = run->last->next;
    struct delivery *item = make_page(shard, s, run->first->number, run->last->number, run->count, run->bytes);
    if (item == NULL) {
        return;
    }
    set_position(item->page, record_run(shard, s, run, &item->page->size));
    for (struct delivery *d = run->first, *after; d != next; d = after) {
        after = d->next;
        item->page->shared |= d->share_hash != 0;
        queue_take(shard, q, d);
        session_free_delivery(shard, &d);
    }
    queue_insert(shard, q, next, item);
    set_state(shard->pages, item->page, PAGE_WRITING);
    stats_add(&shard->stats.pages_written, 1);
}

static uint64_t
memory_of(const struct queue *q)
{
    return q->bytes - q->paged_bytes;
}

/* From the newest back, so that what a connected client gets next stays in memory. */
static void
write_queue(struct shard *shard, struct session *s, const struct step *step)
{
    struct queue *q = &s->owed->queue;
    uint64_t keep = s->connection != NULL && !step->near ? PAGE_BYTES : 0;
    struct delivery *at = q->last;
    while (at != NULL && memory_of(q) >= keep + step->run_bytes && may_write(shard)) {
        struct run run = take_run(&at);
        bool written = run.bytes >= step->run_bytes && (step->shared || run.freed * 2 >= run.bytes);
        if (written) {
            write_run(shard, s, &run);
        }
        if (!written && !step->all) {
            return; /* what is before it was looked at when it was the newest */
        }
    }
}

static bool
is_pageable(const struct session *s)
{
    return s->identity != 0 && keep_is_kept(s) && s->owed != NULL;
}

void
page_add_candidate(struct shard *shard, struct session *s)
{
    struct pages *pages = shard->pages;
    if (pages->candidate_count < PAGE_CANDIDATES_MAX && is_pageable(s) && memory_of(&s->owed->queue) >= PAGE_BYTES) {
        pages->candidates[pages->candidate_count++] = (struct page_candidate){s, s->identity};
    }
}

/* NULL: there is not too much. */
static const struct step *
step_of(const struct shard *shard)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (shard->queue_memory > shard->queue_share / 8 * steps[i].eighths) {
            return &steps[i];
        }
    }
    return NULL;
}

static void
write_candidates(struct shard *shard)
{
    struct pages *pages = shard->pages;
    const struct step *step;
    for (uint32_t i = 0; i < pages->candidate_count && (step = step_of(shard)) != NULL; i++) {
        struct session *s = pages->candidates[i].session;
        if (s->identity == pages->candidates[i].identity && is_pageable(s)) {
            write_queue(shard, s, step);
        }
    }
    pages->candidate_count = 0;
}

static void
end_round(struct shard *shard)
{
    struct pages *pages = shard->pages;
    bool found = stats_get(&shard->stats.pages_written) > pages->walk_written;
    pages->walk_again_at = found ? 0 : shard->queue_memory + shard->queue_share / WALK_PARTS + 1;
    pages->walk_written = stats_get(&shard->stats.pages_written);
    pages->walk = (struct slab_walk){0};
}

bool
page_is_behind(const struct shard *shard)
{
    const struct step *step = shard->pages != NULL && shard->queue_memory > shard->queue_share ? step_of(shard) : NULL;
    return step != NULL && step->all && shard->queue_memory >= shard->pages->walk_again_at && !keep_is_full(shard);
}

bool
page_busy(const struct shard *shard)
{
    return page_is_behind(shard) && may_write(shard);
}

static void
walk_sessions(struct shard *shard)
{
    for (uint32_t i = 0; i < WALK_SESSIONS && page_busy(shard); i++) {
        struct session *s = slab_walk(&shard->sessions, &shard->pages->walk);
        if (s == NULL) {
            end_round(shard);
        } else if (is_pageable(s)) {
            write_queue(shard, s, step_of(shard));
        }
    }
}

/* ---------------------------------------------------------------------------------------------------------------------- back */

static void
read_wished(struct shard *shard)
{
    struct pages *pages = shard->pages;
    if (shard->stopping || shard->now_ms < pages->no_memory_until_ms) {
        return;
    }
    while (pages->wished.first != NULL && pages->reading_count < PAGE_READS_MAX) {
        struct page *page = pages->wished.first;
        set_state(pages, page, PAGE_READING);
        journal_fetch(shard->journal, &page->place, page->size, (uint64_t)(uintptr_t)page);
    }
}

void
page_turn(struct shard *shard)
{
    struct pages *pages = shard->pages;
    if (pages == NULL) {
        return;
    }
    read_wished(shard);
    if (shard->queue_memory <= shard->queue_share) {
        pages->candidate_count = 0;
        pages->walk_again_at = 0;
        return;
    }
    write_candidates(shard);
    walk_sessions(shard);
}

uint64_t
page_next_ms(const struct shard *shard)
{
    const struct pages *pages = shard->pages;
    bool waits = pages != NULL && !shard->stopping && pages->wished.first != NULL && pages->reading_count == 0;
    return waits ? pages->no_memory_until_ms : UINT64_MAX;
}

static void
wish(struct shard *shard, struct page *page)
{
    if (page->state == PAGE_STORED) {
        set_state(shard->pages, page, PAGE_WISHED);
        read_wished(shard);
    }
}

/* The first page, if fewer bytes than half a page are before it. */
static struct page *
near_page(const struct queue *q)
{
    uint64_t bytes = 0;
    for (struct delivery *d = q->first; d != NULL && bytes < PAGE_BYTES / 2; d = d->next) {
        if (d->paged) {
            return d->page;
        }
        bytes += message_cost(d->message);
    }
    return NULL;
}

/* One that nothing else waits for, ahead of its time only while there is room: else it would go back to disk at once. */
static struct page *
wanted_page(const struct shard *shard, const struct session *s)
{
    const struct queue *q = &session_get_owed(s)->queue;
    if (q->paged_bytes == 0 || s->connection == NULL) {
        return NULL;
    }
    if (q->first->paged) {
        return deliver_may_send(shard, s) ? q->first->page : NULL;
    }
    return shard->queue_memory <= shard->queue_share ? near_page(q) : NULL;
}

void
page_wish(struct shard *shard, struct session *s)
{
    struct page *page = wanted_page(shard, s);
    if (page != NULL && !page->wished) {
        page->wished = true;
        wish(shard, page);
    }
}

void
page_placed(void *owner, uint64_t position, const struct journal_place *place)
{
    struct shard *shard = owner;
    struct page *page = shard->pages->writing.first;
    if (page == NULL || page->position != position) {
        return; /* it was given up when its record was on its way */
    }
    page->place = *place;
    set_state(shard->pages, page, PAGE_STORED);
    if (page->wished || page->copy_before != 0) {
        wish(shard, page);
    }
}

static bool
is_struck(const struct page *page, uint64_t number)
{
    uint64_t at = number - page->first;
    return page->struck != NULL && (page->struck[at / 8] >> at % 8 & 1) != 0;
}

static void
free_list(struct shard *shard, struct delivery *d)
{
    for (struct delivery *next; d != NULL; d = next) {
        next = d->next;
        session_free_delivery(shard, &d);
    }
}

static struct delivery *
make_delivery(struct shard *shard, const struct delivery *item, const struct entry_delivery *e, const struct entry_body *body)
{
    struct message *m = revive_message(shard, body, io_wall_ms(shard->io));
    struct delivery *d = m != NULL ? revive_delivery(shard, e) : NULL;
    if (d != NULL) {
        d->message = m;
        d->kept_at = m->kept_at = item->kept_at;
        if (d->share_hash != 0) {
            share_find_again(item->page->session, d);
        }
    } else if (m != NULL) {
        shard_message_unref(shard, &m);
    }
    return d;
}

/* Deliveries of the page's record that are still owed, linked by `next`. 0, -EBADMSG, or -ENOMEM. */
static int
make_deliveries(struct shard *shard, const struct delivery *item, struct bytes content, struct delivery **first)
{
    const struct page *page = item->page;
    struct entry_page e;
    struct delivery **end = first;
    struct entry_delivery delivery;
    struct entry_body body;
    uint64_t previous = 0;
    uint32_t count = 0;
    *first = NULL;
    if (!entry_read_page(content, &e) || e.identity != page->session->identity) {
        return -EBADMSG;
    }
    while (entry_next_item(&e.items, &delivery, &body)) {
        if (delivery.number < page->first || delivery.number > page->last || delivery.number <= previous) {
            break;
        }
        previous = delivery.number;
        if (is_struck(page, delivery.number)) {
            continue;
        }
        struct delivery *d = make_delivery(shard, item, &delivery, &body);
        if (d == NULL) {
            free_list(shard, *first);
            return -ENOMEM;
        }
        *end = d;
        end = &d->next;
        count++;
    }
    if (count != page->count) {
        free_list(shard, *first);
        return -EBADMSG;
    }
    return 0;
}

/* It is not in the list of any state, and its item in no queue. */
static void
end_page(struct shard *shard, struct page *page)
{
    end_copy(shard->pages, page);
    slab_give(&shard->deliveries, page->item);
    give_page(shard, page);
}

/* In memory again. What a copy would have had is copied one by one. */
static int
bring_back(struct shard *shard, struct page *page, struct bytes content)
{
    struct session *s = page->session;
    struct queue *q = &s->owed->queue;
    struct delivery *next = page->item->next;
    struct delivery *first;
    uint64_t before = page->copy_before;
    int result = make_deliveries(shard, page->item, content, &first);
    if (result != 0) {
        return result;
    }
    queue_take(shard, q, page->item);
    compact_inserted(shard, q); /* old records, even where they come last */
    end_page(shard, page);
    for (struct delivery *d = first, *after; d != NULL; d = after) {
        after = d->next;
        queue_insert(shard, q, next, d);
        if (before != 0) {
            keep_copy_delivery(shard, s, d, before);
        }
    }
    stats_add(&shard->stats.pages_read, 1);
    return 0;
}

static uint32_t
left_size(struct bytes items, const struct page *page)
{
    struct entry_delivery delivery;
    struct entry_body body;
    uint32_t size = 0;
    while (entry_next_item(&items, &delivery, &body)) {
        size += is_struck(page, delivery.number) ? 0 : entry_delivery_size(&delivery) + entry_body_size(&body);
    }
    return size;
}

static void
put_left(struct writer *w, struct bytes items, const struct page *page)
{
    struct entry_delivery delivery;
    struct entry_body body;
    while (entry_next_item(&items, &delivery, &body)) {
        if (!is_struck(page, delivery.number)) {
            entry_put_delivery(w, &delivery);
            entry_put_body(w, &body);
        }
    }
}

/* What is left of it, at the journal's end. */
static int
copy_page(struct shard *shard, struct page *page, struct bytes content)
{
    struct entry_page e;
    if (!entry_read_page(content, &e) || e.first != page->first || e.last != page->last) {
        return -EBADMSG;
    }
    e.count = page->count;
    e.cost = page->bytes;
    uint32_t size = entry_page_size(&e) + left_size(e.items, page);
    uint8_t *to;
    uint64_t position = journal_append_placed(shard->journal, ENTRY_PAGE, size, &to);
    struct writer w = writer_of(to, size);
    entry_put_page(&w, &e);
    put_left(&w, e.items, page);
    assert(!w.failed && w.at == w.end);
    end_copy(shard->pages, page);
    set_position(page, position);
    page->size = size;
    shard->pages->copied_bytes += journal_end(shard->journal) - position;
    set_state(shard->pages, page, PAGE_WRITING);
    return 0;
}

static void
lose_page(struct shard *shard, struct page *page, int error)
{
    struct session *s = page->session;
    struct bytes id = session_client_id(s);
    log_line(CONFIG_LOG_ERROR, "%u messages to client %.*s are lost: their page of the journal cannot be read: %s.", page->count, (int)id.size, (const char *)id.data,
             error == -EBADMSG ? "its bytes are damaged" : strerror(-error));
    stats_add(&shard->stats.drops[DROP_PAGE_LOST], page->count);
    queue_take(shard, &s->owed->queue, page->item);
    end_page(shard, page);
}

static void
fail_page(struct shard *shard, struct page *page, int error)
{
    if (error == -ENOMEM) {
        shard->pages->no_memory_until_ms = shard->now_ms + NO_MEMORY_MS; /* it would be read again and again meanwhile */
        wish(shard, page);
        return;
    }
    if (++page->tries < TRIES_MAX) {
        wish(shard, page);
        return;
    }
    lose_page(shard, page, error);
}

/* ------------------------------------------------------------------------------------------------- back to shared subscriptions */

static bool
has_group(const struct subscription *s)
{
    return s != NULL && s->shared && s->share->serial != 0;
}

static struct page_groups *
groups_of(struct shard *shard, const struct session *s)
{
    uint32_t room, count = 0;
    struct subscription *const *places = session_subscriptions(s, &room);
    for (uint32_t i = 0; i < room; i++) {
        count += has_group(places[i]);
    }
    struct page_groups *groups = malloc(groups_bytes(count));
    if (groups == NULL) {
        return NULL;
    }
    budget_charge(shard->account, groups_bytes(count));
    *groups = (struct page_groups){.identity = s->identity, .count = count};
    for (uint32_t i = 0, at = 0; i < room; i++) {
        const struct subscription *each = places[i];
        if (has_group(each)) {
            groups->items[at++] = (struct page_group){each->text_hash, each->share->serial, each->share->filter_id, each->share->home};
        }
    }
    return groups;
}

bool
page_return(struct shard *shard, const struct session *s, struct delivery **item)
{
    struct page *page = (*item)->page;
    page->groups = page->shared && !shard->stopping ? groups_of(shard, s) : NULL;
    if (page->groups == NULL) {
        return false;
    }
    slab_give(&shard->deliveries, *item);
    *item = NULL;
    page->item = NULL;
    promise_leaving_begin(shard, s->identity);
    shard->pages->copying_count += page->copy_before == 0;
    page->copy_before = page->position; /* what it lies in stays until it has been read */
    wish(shard, page);
    return true;
}

static const struct page_group *
group_of(const struct page_groups *groups, uint32_t text_hash)
{
    for (uint32_t i = 0; i < groups->count; i++) {
        if (groups->items[i].text_hash == text_hash) {
            return &groups->items[i];
        }
    }
    return NULL;
}

/* False: nobody else can have it. */
static bool
return_message(struct shard *shard, const struct page_groups *groups, const struct entry_delivery *e, const struct entry_body *body)
{
    const struct page_group *group = e->share_hash != 0 ? group_of(groups, e->share_hash) : NULL;
    struct message *m = group != NULL ? revive_message(shard, body, io_wall_ms(shard->io)) : NULL;
    struct delivery d = {.message = m};
    if (m == NULL) {
        return false;
    }
    d.number = e->number;
    d.qos = e->qos & 3;
    d.share_serial = group->serial;
    d.share_filter = group->filter;
    d.share_home = group->home;
    share_bounce(shard, groups->identity, &d);
    shard_message_unref(shard, &m);
    return true;
}

static void
return_messages(struct shard *shard, const struct page *page, struct bytes content, int error)
{
    struct entry_page e;
    struct entry_delivery delivery;
    struct entry_body body;
    if (error != 0 || !entry_read_page(content, &e)) {
        log_line(CONFIG_LOG_ERROR, "%u messages of a session that has ended are lost to others: their page of the journal cannot be read.", page->count);
        stats_add(&shard->stats.drops[DROP_PAGE_LOST], page->count);
        return;
    }
    while (entry_next_item(&e.items, &delivery, &body)) {
        if (!is_struck(page, delivery.number) && !return_message(shard, page->groups, &delivery, &body)) {
            stats_add(&shard->stats.drops[DROP_SESSION_ENDED], 1);
        }
    }
}

void
page_fetched(void *owner, uint64_t token, struct bytes content, int error)
{
    struct shard *shard = owner;
    struct page *page = (struct page *)(uintptr_t)token;
    struct session *s = page->session;
    set_state(shard->pages, page, PAGE_STORED);
    if (page->item == NULL) {
        if (page->groups != NULL) {
            return_messages(shard, page, content, error);
            promise_leaving_end(shard, page->groups->identity);
        }
        end_copy(shard->pages, page);
        give_page(shard, page);
        read_wished(shard);
        return;
    }
    bool wished = page->wished;
    int result = error != 0 ? error : wished ? bring_back(shard, page, content) : copy_page(shard, page, content);
    if (result != 0) {
        fail_page(shard, page, result);
    }
    read_wished(shard);
    if (wished) {
        session_pump(shard, s);
    }
}

/* ---------------------------------------------------------------------------------------------------------- the rolling copy */

void
page_copy(struct shard *shard, struct delivery *item, uint64_t before)
{
    struct page *page = item->page;
    if (item->kept_at >= before) {
        return;
    }
    shard->pages->copying_count += page->copy_before == 0;
    page->copy_before = before;
    wish(shard, page);
}

uint64_t
page_take_copied(struct shard *shard)
{
    uint64_t bytes = shard->pages->copied_bytes;
    shard->pages->copied_bytes = 0;
    return bytes;
}

bool
page_copies(const struct shard *shard)
{
    return shard->pages != NULL && shard->pages->copying_count > 0;
}

/* ------------------------------------------------------------------------------------------------------------------ recovery */

static bool
make_struck(struct shard *shard, struct page *page, uint8_t all)
{
    page->struck = malloc(struck_bytes(page));
    if (page->struck != NULL) {
        memset(page->struck, all, struck_bytes(page));
        budget_charge(shard->account, struck_bytes(page));
    }
    return page->struck != NULL;
}

/* Numbers that its record does not have were over before it. */
static bool
strike_gaps(struct shard *shard, struct page *page, struct bytes items)
{
    struct entry_delivery delivery;
    struct entry_body body;
    uint64_t previous = 0;
    uint32_t count = 0;
    if (!make_struck(shard, page, 0xff)) {
        return false;
    }
    while (entry_next_item(&items, &delivery, &body)) {
        uint64_t at = delivery.number - page->first;
        if (delivery.number < page->first || delivery.number > page->last || delivery.number <= previous) {
            return false;
        }
        page->struck[at / 8] &= (uint8_t)~(1u << at % 8);
        page->shared |= delivery.share_hash != 0;
        previous = delivery.number;
        count++;
    }
    return count == page->count;
}

struct delivery *
page_recall(struct shard *shard, struct session *s, const struct journal_record *record)
{
    struct entry_page e;
    if (!entry_read_page(record->content, &e) || e.count == 0 || e.first == 0 || e.last < e.first || e.last - e.first >= PAGE_SPAN_MAX) {
        return NULL;
    }
    struct delivery *item = make_page(shard, s, e.first, e.last, e.count, e.cost);
    if (item == NULL) {
        return NULL;
    }
    set_position(item->page, record->position);
    item->page->place = record->place;
    item->page->size = record->content.size;
    if (!strike_gaps(shard, item->page, e.items)) {
        page_free(shard, &item);
        return NULL;
    }
    return item;
}

bool
page_has(const struct delivery *item, uint64_t number)
{
    const struct page *page = item->page;
    return number >= page->first && number <= page->last && !is_struck(page, number);
}

uint32_t
page_strike(struct delivery *item, uint64_t number)
{
    struct page *page = item->page;
    if (page_has(item, number)) {
        uint64_t at = number - page->first;
        page->struck[at / 8] |= (uint8_t)(1u << at % 8);
        page->bytes -= page->bytes / page->count; /* its own size is not known: the average does until it is read */
        page->count--;
    }
    return page->count;
}

int
page_read_now(struct shard *shard, const struct delivery *item, struct delivery **first)
{
    uint8_t *content;
    int result = journal_fetch_now(shard->journal, &item->page->place, item->page->size, &content);
    if (result == 0) {
        result = make_deliveries(shard, item, bytes_of(content, item->page->size), first);
        free(content);
    }
    return result;
}
