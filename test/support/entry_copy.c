#include "test/support/entry_copy.h"

#include <assert.h>

static void
copy_deliveries(struct writer *w, struct bytes deliveries, uint32_t count)
{
    struct entry_delivery delivery;
    uint32_t seen = 0;
    uint8_t *begin = w->at;
    uint32_t size = 0;
    for (; entry_next_delivery(&deliveries, &delivery); seen++) {
        entry_put_delivery(w, &delivery);
        size += entry_delivery_size(&delivery);
    }
    assert(seen == count && deliveries.size == 0 && w->at == begin + size);
}

static bool
copy_message(struct bytes content, struct writer *w)
{
    struct entry_message message;
    if (!entry_read_message(content, &message)) {
        return false;
    }
    uint8_t *begin = w->at;
    entry_put_message(w, &message);
    assert(w->at == begin + entry_message_size(&message));
    copy_deliveries(w, message.deliveries, message.delivery_count);
    return true;
}

static bool
copy_more_deliveries(struct bytes content, struct writer *w)
{
    uint32_t count;
    struct bytes deliveries;
    if (!entry_read_deliveries(content, &count, &deliveries)) {
        return false;
    }
    entry_put_deliveries(w, count);
    copy_deliveries(w, deliveries, count);
    return true;
}

static bool
copy_mark(struct bytes content, struct writer *w)
{
    struct entry_mark mark;
    uint64_t number;
    uint16_t packet_id;
    uint32_t count = 0;
    if (!entry_read_mark(content, &mark)) {
        return false;
    }
    uint8_t *begin = w->at;
    entry_put_mark_head(w, mark.identity, mark.count);
    for (; entry_next_mark(&mark.marks, &number, &packet_id); count++) {
        entry_put_mark(w, number, packet_id);
    }
    assert(count == mark.count && mark.marks.size == 0 && w->at == begin + entry_mark_size(count));
    return true;
}

static bool
copy_page(struct bytes content, struct writer *w)
{
    struct entry_page page;
    struct entry_delivery delivery;
    struct entry_body body;
    uint32_t count = 0;
    if (!entry_read_page(content, &page)) {
        return false;
    }
    uint32_t size = entry_page_size(&page);
    uint8_t *begin = w->at;
    entry_put_page(w, &page);
    for (; entry_next_item(&page.items, &delivery, &body); count++) {
        entry_put_delivery(w, &delivery);
        entry_put_body(w, &body);
        size += entry_delivery_size(&delivery) + entry_body_size(&body);
    }
    assert(count == page.count && page.items.size == 0 && w->at == begin + size);
    return true;
}

#define COPY_PLAIN(kind, ...)                                  \
    static bool copy_##kind(struct bytes content, struct writer *w) \
    {                                                          \
        struct entry_##kind e;                                 \
        if (!entry_read_##kind(content, &e)) {                 \
            return false;                                      \
        }                                                      \
        uint8_t *begin = w->at;                                \
        entry_put_##kind(w, &e);                               \
        assert(w->at == begin + entry_##kind##_size(__VA_ARGS__)); \
        return true;                                           \
    }

COPY_PLAIN(session, &e)
COPY_PLAIN(absent)
COPY_PLAIN(subscription, &e)
COPY_PLAIN(received)
COPY_PLAIN(retain_removed, &e)
COPY_PLAIN(will, &e)

static bool
copy_token(struct bytes content, struct writer *w)
{
    struct entry_known e;
    if (!entry_read_token(content, &e)) {
        return false;
    }
    uint8_t *begin = w->at;
    entry_put_token(w, &e.token, e.holder_count);
    writer_put(w, e.holders);
    assert(w->at == begin + entry_token_size(e.holder_count));
    return true;
}

static bool
copy_identity(struct bytes content, struct writer *w)
{
    uint64_t identity;
    if (!entry_read_identity(content, &identity)) {
        return false;
    }
    uint8_t *begin = w->at;
    entry_put_identity(w, identity);
    assert(w->at == begin + entry_identity_size());
    return true;
}

static bool (*const copies[])(struct bytes content, struct writer *w) = {
    [ENTRY_SESSION] = copy_session,
    [ENTRY_SESSION_END] = copy_identity,
    [ENTRY_ABSENT] = copy_absent,
    [ENTRY_SUBSCRIPTION] = copy_subscription,
    [ENTRY_UNSUBSCRIBED] = copy_subscription,
    [ENTRY_MESSAGE] = copy_message,
    [ENTRY_DELIVERIES] = copy_more_deliveries,
    [ENTRY_SENT] = copy_mark,
    [ENTRY_RELEASED] = copy_mark,
    [ENTRY_DONE] = copy_mark,
    [ENTRY_RECEIVED] = copy_received,
    [ENTRY_COMPLETED] = copy_received,
    [ENTRY_RETAIN_REMOVED] = copy_retain_removed,
    [ENTRY_WILL] = copy_will,
    [ENTRY_WILL_DROPPED] = copy_identity,
    [ENTRY_PAGE] = copy_page,
    [ENTRY_TOKEN] = copy_token,
};

bool
entry_copy(uint8_t type, struct bytes content, uint8_t *out, uint32_t *out_size)
{
    struct writer w = writer_of(out, content.size);
    if (type >= sizeof copies / sizeof copies[0] || copies[type] == NULL || !copies[type](content, &w)) {
        return false;
    }
    assert(!w.failed);
    *out_size = (uint32_t)(w.at - out);
    return true;
}
