#include "engine/durable/entry.h"

#include "engine/durable/lengthy.h"

#include <assert.h>

/* Flags of a body. */
#define BODY_QOS 0x03u
#define BODY_RETAIN 0x04u
#define BODY_HAS_PUBLISHER 0x08u
#define BODY_HAS_STAMP 0x10u
#define BODY_HAS_EXPIRY 0x20u
#define BODY_KNOWN 0x3fu

/* Flags of a MESSAGE. */
#define MESSAGE_HAS_TOKEN 0x01u
#define MESSAGE_KEEP_RETAINED 0x02u
#define MESSAGE_RECEIVED 0x04u
#define MESSAGE_TOKEN_PARTIAL 0x08u
#define MESSAGE_KNOWN 0x0fu

/* Flags of a delivery: two bytes, behind the session and the number. */
#define DELIVERY_QOS 0x0003u
#define DELIVERY_STATE 0x000cu
#define DELIVERY_STATE_SHIFT 2
#define DELIVERY_RETAIN 0x0010u
#define DELIVERY_CANCELLED 0x0020u
#define DELIVERY_HAS_BODY 0x0040u
#define DELIVERY_HAS_SHARE 0x0080u
#define DELIVERY_HAS_PACKET_ID 0x0100u
#define DELIVERY_HAS_IDENTIFIERS 0x0200u
#define DELIVERY_FLAGS_AT 16

/* Flags of a subscription. */
#define SUBSCRIPTION_QOS 0x03u
#define SUBSCRIPTION_NO_LOCAL 0x04u
#define SUBSCRIPTION_RETAIN_AS_PUBLISHED 0x08u
#define SUBSCRIPTION_KNOWN 0x0fu

#define TOKEN_BYTES 26u
#define MARK_BYTES 10u

/* -------------------------------------------------------------------------------------------------------------- sessions */

uint32_t
entry_session_size(const struct entry_session *e)
{
    return 4 * 8 + 4 + 2 + 1 + 2 + e->client_id.size + lengthy_size(e->principal);
}

void
entry_put_session(struct writer *w, const struct entry_session *e)
{
    writer_u64(w, e->identity);
    writer_u64(w, e->absent_since_ms);
    writer_u64(w, e->delivery_number);
    writer_u64(w, e->received_count);
    writer_u32(w, e->expiry_s);
    writer_u16(w, e->window);
    writer_u8(w, e->version);
    writer_binary(w, e->client_id);
    lengthy_put(w, e->principal);
}

bool
entry_read_session(struct bytes content, struct entry_session *out)
{
    struct reader r = reader_of(content);
    out->identity = reader_u64(&r);
    out->absent_since_ms = reader_u64(&r);
    out->delivery_number = reader_u64(&r);
    out->received_count = reader_u64(&r);
    out->expiry_s = reader_u32(&r);
    out->window = reader_u16(&r);
    out->version = reader_u8(&r);
    out->client_id = reader_binary(&r);
    out->principal = lengthy_read(&r);
    return !r.failed;
}

uint32_t
entry_absent_size(void)
{
    return 8 + 8 + 4;
}

void
entry_put_absent(struct writer *w, const struct entry_absent *e)
{
    writer_u64(w, e->identity);
    writer_u64(w, e->since_ms);
    writer_u32(w, e->expiry_s);
}

bool
entry_read_absent(struct bytes content, struct entry_absent *out)
{
    struct reader r = reader_of(content);
    out->identity = reader_u64(&r);
    out->since_ms = reader_u64(&r);
    out->expiry_s = reader_u32(&r);
    return !r.failed;
}

uint32_t
entry_identity_size(void)
{
    return 8;
}

void
entry_put_identity(struct writer *w, uint64_t identity)
{
    writer_u64(w, identity);
}

bool
entry_read_identity(struct bytes content, uint64_t *identity)
{
    struct reader r = reader_of(content);
    *identity = reader_u64(&r);
    return !r.failed;
}

uint32_t
entry_subscription_size(const struct entry_subscription *e)
{
    return 8 + 4 + 1 + lengthy_size(e->text);
}

void
entry_put_subscription(struct writer *w, const struct entry_subscription *e)
{
    unsigned flags = e->qos;
    flags |= e->no_local ? SUBSCRIPTION_NO_LOCAL : 0;
    flags |= e->retain_as_published ? SUBSCRIPTION_RETAIN_AS_PUBLISHED : 0;
    writer_u64(w, e->identity);
    writer_u32(w, e->identifier);
    writer_u8(w, (uint8_t)flags);
    lengthy_put(w, e->text);
}

bool
entry_read_subscription(struct bytes content, struct entry_subscription *out)
{
    struct reader r = reader_of(content);
    out->identity = reader_u64(&r);
    out->identifier = reader_u32(&r);
    unsigned flags = reader_u8(&r);
    out->qos = flags & SUBSCRIPTION_QOS;
    out->no_local = (flags & SUBSCRIPTION_NO_LOCAL) != 0;
    out->retain_as_published = (flags & SUBSCRIPTION_RETAIN_AS_PUBLISHED) != 0;
    out->text = lengthy_read(&r);
    return !r.failed && (flags & ~SUBSCRIPTION_KNOWN) == 0 && out->qos <= 2;
}

uint32_t
entry_received_size(void)
{
    return 8 + 8 + 2;
}

void
entry_put_received(struct writer *w, const struct entry_received *e)
{
    writer_u64(w, e->identity);
    writer_u64(w, e->count);
    writer_u16(w, e->packet_id);
}

bool
entry_read_received(struct bytes content, struct entry_received *out)
{
    struct reader r = reader_of(content);
    out->identity = reader_u64(&r);
    out->count = reader_u64(&r);
    out->packet_id = reader_u16(&r);
    return !r.failed;
}

/* -------------------------------------------------------------------------------------------------------------- messages */

uint32_t
entry_body_size(const struct entry_body *e)
{
    uint32_t size = 8 + 1 + 2 + e->topic.size + lengthy_size(e->properties) + lengthy_size(e->payload);
    return size + (e->publisher != 0 ? 8 : 0) + (e->stamp != 0 ? 8 : 0) + (e->expiry_ms != 0 ? 8 : 0);
}

void
entry_put_body(struct writer *w, const struct entry_body *e)
{
    unsigned flags = e->qos;
    flags |= e->retain ? BODY_RETAIN : 0;
    flags |= e->publisher != 0 ? BODY_HAS_PUBLISHER : 0;
    flags |= e->stamp != 0 ? BODY_HAS_STAMP : 0;
    flags |= e->expiry_ms != 0 ? BODY_HAS_EXPIRY : 0;
    writer_u64(w, e->number);
    writer_u8(w, (uint8_t)flags);
    if (e->publisher != 0) {
        writer_u64(w, e->publisher);
    }
    if (e->stamp != 0) {
        writer_u64(w, e->stamp);
    }
    if (e->expiry_ms != 0) {
        writer_u64(w, e->expiry_ms);
    }
    writer_binary(w, e->topic);
    lengthy_put(w, e->properties);
    lengthy_put(w, e->payload);
}

/* What is there is not 0: each entry has one form. */
static uint64_t
read_u64_if(struct reader *r, unsigned flag)
{
    uint64_t value = flag != 0 ? reader_u64(r) : 0;
    r->failed |= flag != 0 && value == 0;
    return value;
}

static bool
read_body(struct reader *r, struct entry_body *out)
{
    out->number = reader_u64(r);
    unsigned flags = reader_u8(r);
    out->qos = flags & BODY_QOS;
    out->retain = (flags & BODY_RETAIN) != 0;
    out->publisher = read_u64_if(r, flags & BODY_HAS_PUBLISHER);
    out->stamp = read_u64_if(r, flags & BODY_HAS_STAMP);
    out->expiry_ms = read_u64_if(r, flags & BODY_HAS_EXPIRY);
    out->topic = reader_binary(r);
    out->properties = lengthy_read(r);
    out->payload = lengthy_read(r);
    r->failed |= (flags & ~BODY_KNOWN) != 0 || out->qos > 2;
    return !r->failed;
}

uint32_t
entry_delivery_size(const struct entry_delivery *e)
{
    uint32_t size = 8 + 8 + 2 + (e->body != 0 ? 8 : 0) + (e->share_hash != 0 ? 4 : 0) + (e->packet_id != 0 ? 2 : 0);
    return size + (e->identifier_count > 0 ? varint_size(e->identifier_count) + 4 * e->identifier_count : 0);
}

static unsigned
delivery_flags(const struct entry_delivery *e)
{
    unsigned flags = e->qos | (unsigned)e->state << DELIVERY_STATE_SHIFT;
    flags |= e->retain ? DELIVERY_RETAIN : 0;
    flags |= e->cancelled ? DELIVERY_CANCELLED : 0;
    flags |= e->body != 0 ? DELIVERY_HAS_BODY : 0;
    flags |= e->share_hash != 0 ? DELIVERY_HAS_SHARE : 0;
    flags |= e->packet_id != 0 ? DELIVERY_HAS_PACKET_ID : 0;
    flags |= e->identifier_count > 0 ? DELIVERY_HAS_IDENTIFIERS : 0;
    return flags;
}

void
entry_put_delivery(struct writer *w, const struct entry_delivery *e)
{
    assert(e->identifiers.size == 4 * e->identifier_count);
    writer_u64(w, e->identity);
    writer_u64(w, e->number);
    writer_u16(w, (uint16_t)delivery_flags(e));
    if (e->body != 0) {
        writer_u64(w, e->body);
    }
    if (e->share_hash != 0) {
        writer_u32(w, e->share_hash);
    }
    if (e->packet_id != 0) {
        writer_u16(w, e->packet_id);
    }
    if (e->identifier_count > 0) {
        writer_varint(w, e->identifier_count);
        writer_put(w, e->identifiers);
    }
}

static bool
read_delivery(struct reader *r, struct entry_delivery *out)
{
    out->identity = reader_u64(r);
    out->number = reader_u64(r);
    unsigned flags = reader_u16(r);
    out->qos = flags & DELIVERY_QOS;
    out->state = (flags & DELIVERY_STATE) >> DELIVERY_STATE_SHIFT;
    out->retain = (flags & DELIVERY_RETAIN) != 0;
    out->cancelled = (flags & DELIVERY_CANCELLED) != 0;
    out->body = read_u64_if(r, flags & DELIVERY_HAS_BODY);
    out->share_hash = flags & DELIVERY_HAS_SHARE ? reader_u32(r) : 0;
    out->packet_id = flags & DELIVERY_HAS_PACKET_ID ? reader_u16(r) : 0;
    out->identifier_count = flags & DELIVERY_HAS_IDENTIFIERS ? reader_varint(r) : 0;
    r->failed |= delivery_flags(out) != flags;
    /* A varint has 28 bits: times four is no overflow. */
    out->identifiers = reader_take(r, 4 * out->identifier_count);
    r->failed |= out->qos > 2 || out->state > ENTRY_DELIVERY_RELEASED;
    return !r->failed;
}

/* The next `count` of them as bytes. */
static struct bytes
take_deliveries(struct reader *r, uint32_t count)
{
    struct entry_delivery delivery;
    const uint8_t *begin = r->at;
    for (uint32_t i = 0; i < count && read_delivery(r, &delivery); i++) {
    }
    return bytes_of(begin, (uint32_t)(r->at - begin));
}

bool
entry_next_delivery(struct bytes *deliveries, struct entry_delivery *out)
{
    struct reader r = reader_of(*deliveries);
    if (deliveries->size == 0 || !read_delivery(&r, out)) {
        return false;
    }
    *deliveries = bytes_of(r.at, reader_left(&r));
    return true;
}

uint32_t
entry_deliveries_size(void)
{
    return 4;
}

void
entry_put_deliveries(struct writer *w, uint32_t count)
{
    writer_u32(w, count);
}

bool
entry_read_deliveries(struct bytes content, uint32_t *count, struct bytes *deliveries)
{
    struct reader r = reader_of(content);
    *count = reader_u32(&r);
    *deliveries = take_deliveries(&r, *count);
    return !r.failed;
}

uint32_t
entry_message_size(const struct entry_message *e)
{
    return 1 + entry_body_size(&e->body) + (e->token.identity != 0 ? TOKEN_BYTES : 0) + varint_size(e->delivery_count);
}

static void
put_token(struct writer *w, const struct entry_token *token)
{
    writer_u64(w, token->identity);
    writer_u64(w, token->count);
    writer_u64(w, token->hash);
    writer_u16(w, token->packet_id);
}

void
entry_put_message(struct writer *w, const struct entry_message *e)
{
    unsigned flags = e->token.identity != 0 ? MESSAGE_HAS_TOKEN : 0;
    flags |= e->keep_retained ? MESSAGE_KEEP_RETAINED : 0;
    flags |= e->received ? MESSAGE_RECEIVED : 0;
    flags |= e->token_partial ? MESSAGE_TOKEN_PARTIAL : 0;
    writer_u8(w, (uint8_t)flags);
    entry_put_body(w, &e->body);
    if (e->token.identity != 0) {
        put_token(w, &e->token);
    }
    writer_varint(w, e->delivery_count);
}

static struct entry_token
read_token(struct reader *r)
{
    struct entry_token token = {.identity = reader_u64(r)};
    token.count = reader_u64(r);
    token.hash = reader_u64(r);
    token.packet_id = reader_u16(r);
    return token;
}

static bool
read_message_head(struct reader *r, struct entry_message *out)
{
    unsigned flags = reader_u8(r);
    out->keep_retained = (flags & MESSAGE_KEEP_RETAINED) != 0;
    out->received = (flags & MESSAGE_RECEIVED) != 0;
    out->token_partial = (flags & MESSAGE_TOKEN_PARTIAL) != 0;
    read_body(r, &out->body);
    out->token = flags & MESSAGE_HAS_TOKEN ? read_token(r) : (struct entry_token){0};
    out->delivery_count = reader_varint(r);
    r->failed |= (flags & ~MESSAGE_KNOWN) != 0 || ((flags & MESSAGE_HAS_TOKEN) != 0 && out->token.identity == 0);
    return !r->failed;
}

bool
entry_read_message(struct bytes content, struct entry_message *out)
{
    struct reader r = reader_of(content);
    if (!read_message_head(&r, out)) {
        return false;
    }
    out->deliveries = take_deliveries(&r, out->delivery_count);
    return !r.failed;
}

uint32_t
entry_token_size(uint32_t holder_count)
{
    return TOKEN_BYTES + 4 + holder_count * 8;
}

void
entry_put_token(struct writer *w, const struct entry_token *e, uint32_t holder_count)
{
    put_token(w, e);
    writer_u32(w, holder_count);
}

bool
entry_read_token(struct bytes content, struct entry_known *out)
{
    struct reader r = reader_of(content);
    out->token = read_token(&r);
    out->holder_count = reader_u32(&r);
    if (r.failed || out->token.identity == 0 || out->holder_count > reader_left(&r) / 8) {
        return false;
    }
    out->holders = reader_take(&r, out->holder_count * 8);
    return true;
}

/* How many deliveries there are, with the reader in front of the first. */
static uint32_t
read_up_to_deliveries(uint8_t type, struct reader *r)
{
    struct entry_message message;
    if (type == ENTRY_DELIVERIES) {
        return reader_u32(r);
    }
    assert(type == ENTRY_MESSAGE);
    return read_message_head(r, &message) ? message.delivery_count : 0;
}

int32_t
entry_cancel_delivery(uint8_t type, uint8_t *content, uint32_t size, uint64_t identity, uint64_t number)
{
    struct reader r = reader_of(bytes_of(content, size));
    struct entry_delivery delivery;
    uint32_t count = read_up_to_deliveries(type, &r);
    bool found = false;
    int32_t left = 0;
    for (uint32_t i = 0; i < count && count <= ENTRY_CANCEL_MAX; i++) {
        uint8_t *flags = content + (r.at - content) + DELIVERY_FLAGS_AT;
        if (!read_delivery(&r, &delivery)) {
            break;
        }
        bool is_it = !delivery.cancelled && delivery.identity == identity && delivery.number == number;
        flags[1] |= is_it ? DELIVERY_CANCELLED : 0;
        found |= is_it;
        left += !delivery.cancelled && !is_it;
    }
    return found ? left : -1;
}

/* ----------------------------------------------------------------------------------------------- what becomes of messages */

uint32_t
entry_mark_size(uint32_t count)
{
    return 8 + 4 + count * MARK_BYTES;
}

void
entry_put_mark_head(struct writer *w, uint64_t identity, uint32_t count)
{
    writer_u64(w, identity);
    writer_u32(w, count);
}

void
entry_put_mark(struct writer *w, uint64_t number, uint16_t packet_id)
{
    writer_u64(w, number);
    writer_u16(w, packet_id);
}

bool
entry_read_mark(struct bytes content, struct entry_mark *out)
{
    struct reader r = reader_of(content);
    out->identity = reader_u64(&r);
    out->count = reader_u32(&r);
    if (r.failed || out->count > reader_left(&r) / MARK_BYTES) {
        return false;
    }
    out->marks = reader_take(&r, out->count * MARK_BYTES);
    return true;
}

bool
entry_next_mark(struct bytes *marks, uint64_t *number, uint16_t *packet_id)
{
    struct reader r = reader_of(*marks);
    *number = reader_u64(&r);
    *packet_id = reader_u16(&r);
    if (r.failed) {
        return false;
    }
    *marks = bytes_of(r.at, reader_left(&r));
    return true;
}

/* ------------------------------------------------------------------------------------------------------ retained and wills */

uint32_t
entry_retain_removed_size(const struct entry_retain_removed *e)
{
    return 8 + 2 + e->topic.size;
}

void
entry_put_retain_removed(struct writer *w, const struct entry_retain_removed *e)
{
    writer_u64(w, e->stamp);
    writer_binary(w, e->topic);
}

bool
entry_read_retain_removed(struct bytes content, struct entry_retain_removed *out)
{
    struct reader r = reader_of(content);
    out->stamp = reader_u64(&r);
    out->topic = reader_binary(&r);
    return !r.failed;
}

uint32_t
entry_will_size(const struct entry_will *e)
{
    return 8 + 4 + 4 + 1 + entry_body_size(&e->body);
}

void
entry_put_will(struct writer *w, const struct entry_will *e)
{
    writer_u64(w, e->identity);
    writer_u32(w, e->delay_s);
    writer_u32(w, e->expiry_s);
    writer_u8(w, e->has_expiry);
    entry_put_body(w, &e->body);
}

bool
entry_read_will(struct bytes content, struct entry_will *out)
{
    struct reader r = reader_of(content);
    out->identity = reader_u64(&r);
    out->delay_s = reader_u32(&r);
    out->expiry_s = reader_u32(&r);
    unsigned has_expiry = reader_u8(&r);
    out->has_expiry = has_expiry == 1;
    return read_body(&r, &out->body) && has_expiry <= 1;
}

/* ------------------------------------------------------------------------------------------------------------------ pages */

uint32_t
entry_page_size(const struct entry_page *e)
{
    (void)e;
    return 4 * 8 + 4;
}

void
entry_put_page(struct writer *w, const struct entry_page *e)
{
    writer_u64(w, e->identity);
    writer_u64(w, e->first);
    writer_u64(w, e->last);
    writer_u64(w, e->cost);
    writer_u32(w, e->count);
}

static bool
read_item(struct reader *r, struct entry_delivery *delivery, struct entry_body *body)
{
    return read_delivery(r, delivery) && read_body(r, body);
}

static struct bytes
take_items(struct reader *r, uint32_t count)
{
    struct entry_delivery delivery;
    struct entry_body body;
    const uint8_t *begin = r->at;
    for (uint32_t i = 0; i < count && read_item(r, &delivery, &body); i++) {
    }
    return bytes_of(begin, (uint32_t)(r->at - begin));
}

bool
entry_read_page(struct bytes content, struct entry_page *out)
{
    struct reader r = reader_of(content);
    out->identity = reader_u64(&r);
    out->first = reader_u64(&r);
    out->last = reader_u64(&r);
    out->cost = reader_u64(&r);
    out->count = reader_u32(&r);
    out->items = take_items(&r, out->count);
    return !r.failed;
}

bool
entry_next_item(struct bytes *items, struct entry_delivery *delivery, struct entry_body *body)
{
    struct reader r = reader_of(*items);
    if (items->size == 0 || !read_item(&r, delivery, body)) {
        return false;
    }
    *items = bytes_of(r.at, reader_left(&r));
    return true;
}
