#include "engine/route/parcel.h"

#include "engine/durable/keep.h"
#include "engine/route/replay.h"
#include "engine/route/route.h"
#include "engine/route/share.h"

#include <stddef.h>

static void *
reserve(struct shard *shard, unsigned target, uint32_t size)
{
    return target == shard->number ? loopback_reserve(&shard->loopback, size) : mesh_reserve(shard->broker->mesh, shard->number, target, size);
}

void *
parcel_send(struct shard *shard, unsigned target, enum parcel_type type, uint32_t size, uint32_t tail)
{
    struct parcel *parcel = reserve(shard, target, size + tail);
    /* Committed before it is filled: nothing is visible to the other side before mesh_publish() at the end of the turn. */
    if (target != shard->number) {
        mesh_commit(shard->broker->mesh, shard->number, target, size + tail);
    }
    memset(parcel, 0, size);
    parcel->type = (uint8_t)type;
    return parcel;
}

void *
parcel_send_message(struct shard *shard, unsigned target, enum parcel_type type, uint32_t size, uint32_t message_offset, struct publication *p)
{
    uint32_t bytes = p->topic.size + p->properties.size + p->payload.size;
    bool lend = bytes > PARCEL_COPY_MAX;
    struct message *message = lend ? publication_message(shard, p) : NULL;
    if (lend && message == NULL) {
        return NULL;
    }
    uint8_t *parcel = parcel_send(shard, target, type, size, lend ? 0 : bytes);
    struct parcel_message *m = (struct parcel_message *)(parcel + message_offset);
    *m = (struct parcel_message){
        .expiry_ms = p->expiry_ms,
        .stamp = p->stamp,
        .publisher = p->publisher,
        .payload_size = p->payload.size,
        .properties_size = p->properties.size,
        .topic_size = (uint16_t)p->topic.size,
        .qos = p->qos,
        .retain = p->retain,
    };
    if (lend) {
        m->lent = message_ref(message);
        m->lent_bytes = message->bytes;
        return parcel;
    }
    struct writer w = writer_of(parcel + size, bytes);
    writer_put(&w, p->topic);
    writer_put(&w, p->properties);
    writer_put(&w, p->payload);
    return parcel;
}

void
parcel_send_publication(struct shard *shard, unsigned target, enum parcel_type type, struct publication *p, bool confirm, bool retain)
{
    /* What was sent again may be known there though nobody is kept any more: a session that came back with an expiry of 0 has it. */
    bool known = (confirm || p->again) && p->token.identity != 0;
    uint32_t size = known ? sizeof(struct parcel_publish_known) : sizeof(struct parcel_publish);
    struct parcel_publish *parcel = parcel_send_message(shard, target, type, size, offsetof(struct parcel_publish, message), p);
    if (parcel == NULL) {
        return;
    }
    parcel->retain = retain;
    parcel->confirm = confirm;
    if (confirm) {
        promise_count_parcel(shard, target, &p->needs);
    }
    if (known) {
        parcel->has_token = true;
        parcel->again = p->again;
        ((struct parcel_publish_known *)parcel)->token = p->token;
        ((struct parcel_publish_known *)parcel)->recorded = p->recorded;
    }
}

bool
parcel_publication(struct shard *shard, unsigned from, const void *parcel, uint32_t size, const struct parcel_message *m, struct publication *out)
{
    const uint8_t *bytes = m->lent ? m->lent_bytes : (const uint8_t *)parcel + size;
    publication_init(out);
    out->topic = bytes_of(bytes, m->topic_size);
    out->properties = bytes_of(bytes + m->topic_size, m->properties_size);
    out->payload = bytes_of(bytes + m->topic_size + m->properties_size, m->payload_size);
    out->expiry_ms = m->expiry_ms;
    out->stamp = m->stamp;
    out->publisher = m->publisher;
    out->qos = m->qos;
    out->retain = m->retain;
    if (m->lent == NULL) {
        return true;
    }
    struct message image = {
        .payload_size = m->payload_size,
        .topic_size = m->topic_size,
        .properties_size = m->properties_size,
        .qos = m->qos,
        .retain = m->retain,
        .expiry_ms = m->expiry_ms,
        .stamp = m->stamp,
        .publisher = m->publisher,
        .bytes = m->lent_bytes,
    };
    out->message = message_borrow(shard->account, &image, m->lent, (uint16_t)from);
    if (out->message == NULL) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        struct parcel_return *back = parcel_send(shard, from, PARCEL_RETURN, sizeof *back, 0);
        back->message = m->lent;
        return false;
    }
    return true;
}

/* One that is known is retained again: what the same client sent before it, and sends again, may have been a deletion. */
static void
retain_only(struct shard *shard, struct publication *p)
{
    if (p->again) {
        token_take(shard, &p->token, p->recorded, &p->holders);
    }
    replay_retain(shard, p);
    keep_publication(shard, p);
}

static void
note_parcel(struct shard *shard, unsigned from, const struct parcel_publish *parcel, struct promise_needs *needs)
{
    if (parcel->confirm) {
        promise_note_parcel(shard, from, needs);
    }
}

static void
handle_publish_parcel(struct shard *shard, unsigned from, const struct parcel_publish *parcel)
{
    struct publication p;
    struct promise_needs lost = {0};
    uint32_t size = parcel->has_token ? sizeof(struct parcel_publish_known) : sizeof *parcel;
    if (!parcel_publication(shard, from, parcel, size, &parcel->message, &p)) {
        note_parcel(shard, from, parcel, &lost);
        return;
    }
    if (parcel->has_token) {
        p.token = ((const struct parcel_publish_known *)parcel)->token;
        p.recorded = ((const struct parcel_publish_known *)parcel)->recorded;
        p.again = parcel->again;
    }
    if (parcel->head.type == PARCEL_RETAIN) {
        retain_only(shard, &p);
    } else {
        route_local(shard, &p, parcel->retain);
    }
    note_parcel(shard, from, parcel, &p.needs);
    publication_fini(shard, &p);
}

static void
handle_parcel(struct shard *shard, unsigned from, const void *parcel)
{
    const struct parcel *head = parcel;
    switch ((enum parcel_type)head->type) {
    case PARCEL_PUBLISH:
    case PARCEL_RETAIN:
        handle_publish_parcel(shard, from, parcel);
        break;
    case PARCEL_RETURN: {
        struct message *message = ((const struct parcel_return *)parcel)->message;
        shard_message_unref(shard, &message);
        break;
    }
    case PARCEL_REPLAY_BEGIN:
    case PARCEL_REPLAY_MORE:
    case PARCEL_REPLAY_CANCEL:
    case PARCEL_REPLAY_MESSAGE:
    case PARCEL_REPLAY_PAUSE:
    case PARCEL_REPLAY_END:
        replay_handle(shard, from, parcel);
        break;
    case PARCEL_SHARE_JOIN:
    case PARCEL_SHARE_JOINED:
    case PARCEL_SHARE_LEAVE:
    case PARCEL_SHARE_ONLINE:
    case PARCEL_SHARE_DELIVER:
    case PARCEL_SHARE_RELEASE:
    case PARCEL_SHARE_BOUNCE:
        share_handle(shard, from, parcel);
        break;
    case PARCEL_CONFIRM:
    case PARCEL_SETTLED:
    case PARCEL_ASK:
    case PARCEL_ANSWER:
        promise_handle(shard, from, parcel);
        break;
    }
}

void
parcel_pass(struct shard *shard)
{
    uint32_t size;
    unsigned from;
    const void *parcel;
    if (shard->broker->shard_count > 1) {
        mesh_begin(shard->broker->mesh, shard->number);
        while ((parcel = mesh_next(shard->broker->mesh, shard->number, &from, &size)) != NULL) {
            handle_parcel(shard, from, parcel);
        }
    }
    loopback_begin(&shard->loopback);
    while ((parcel = loopback_next(&shard->loopback, &size)) != NULL) {
        handle_parcel(shard, shard->number, parcel);
    }
    if (shard->promises != NULL) {
        promise_confirm(shard);
    }
}
