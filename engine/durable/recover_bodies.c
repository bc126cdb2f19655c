#include "engine/durable/recovery.h"

#include "engine/durable/revive.h"
#include "engine/journal/journal.h"

#include <errno.h>
#include <stdlib.h>

struct message *
recovery_make_message(struct recovery *r, const struct entry_body *body)
{
    struct message *m = revive_message(r->shard, body, r->wall_ms);
    if (m == NULL) {
        r->out_of_memory = true;
        return NULL;
    }
    m->body = body->number;
    m->kept_at = r->position;
    return m;
}

void
recovery_release_body(struct recovery *r, struct message **m)
{
    if ((*m)->refs == 1) {
        recall_remove(&r->bodies, 0, (*m)->body);
    }
    shard_message_unref(r->shard, m);
}

struct message *
recovery_hold_body(struct recovery *r, const struct entry_message *e)
{
    /* Numbers grow: most are new, and there is no need to look. */
    struct message *m = e->body.number <= r->body_max ? recall_get(&r->bodies, 0, e->body.number) : NULL;
    if (m != NULL) {
        m->kept_at = r->position;
        return message_ref(m);
    }
    m = recovery_make_message(r, &e->body);
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
        m = recovery_hold_body(r, &e);
    }
    if (m != NULL) {
        m->kept_at = place->position;
    }
    r->unreadable += m == NULL && !r->out_of_memory;
    free(content);
    return m;
}

struct message *
recovery_hold_known_body(struct recovery *r, uint64_t number)
{
    struct message *m = recall_get(&r->bodies, 0, number);
    struct body_place place;
    if (m != NULL) {
        return message_ref(m);
    }
    return body_places_find(&r->places, number, &place) ? read_body(r, &place) : NULL;
}

void
recovery_keep_for_later(struct recovery *r, struct message **m)
{
    if (r->held_count == r->held_room) {
        uint32_t room = r->held_room > 0 ? 2 * r->held_room : 64;
        struct message **held = realloc(r->held, room * sizeof(struct message *));
        if (held == NULL) {
            r->out_of_memory = true;
            recovery_release_body(r, m);
            return;
        }
        r->held = held;
        r->held_room = room;
    }
    r->held[r->held_count++] = *m;
    *m = NULL;
}

void
recovery_release_held(struct recovery *r)
{
    for (uint32_t i = 0; i < r->held_count; i++) {
        recovery_release_body(r, &r->held[i]);
    }
    r->held_count = 0;
}
