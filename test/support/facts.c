#include "test/support/facts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/durable/entry.h"
#include "engine/journal/journal.h"
#include "engine/place.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES 300
#define VALUE_BYTES 1000

/* ---------------------------------------------------------------------------------------------------------------- facts */

static struct fact *
find(const struct facts *f, const char *key)
{
    for (size_t i = 0; i < f->count; i++) {
        if (strcmp(f->all[i].key, key) == 0) {
            return &f->all[i];
        }
    }
    return NULL;
}

__attribute__((format(printf, 3, 4))) static void
set(struct facts *f, const char *key, const char *format, ...)
{
    char value[VALUE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(value, sizeof value, format, arguments);
    va_end(arguments);
    struct fact *fact = find(f, key);
    if (fact == NULL) {
        if (f->count == f->room) {
            f->room = f->room > 0 ? 2 * f->room : 256;
            f->all = realloc(f->all, f->room * sizeof *f->all);
            assert_non_null(f->all);
        }
        fact = &f->all[f->count++];
        *fact = (struct fact){.key = strdup(key)};
    }
    free(fact->value);
    fact->value = strdup(value);
}

static bool
is_at_or_below(const char *key, const char *above)
{
    size_t size = strlen(above);
    return strncmp(key, above, size) == 0 && (key[size] == '\0' || key[size] == '/');
}

/* The key, and all below it. */
static void
drop(struct facts *f, const char *key)
{
    size_t kept = 0;
    for (size_t i = 0; i < f->count; i++) {
        if (is_at_or_below(f->all[i].key, key)) {
            free(f->all[i].key);
            free(f->all[i].value);
        } else {
            f->all[kept++] = f->all[i];
        }
    }
    f->count = kept;
}

void
facts_free(struct facts *f)
{
    for (size_t i = 0; i < f->count; i++) {
        free(f->all[i].key);
        free(f->all[i].value);
    }
    free(f->all);
    *f = (struct facts){0};
}

static int
compare(const void *a, const void *b)
{
    return strcmp(((const struct fact *)a)->key, ((const struct fact *)b)->key);
}

void
facts_assert_equal(const struct facts *a, const struct facts *b)
{
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        if (strcmp(a->all[i].key, b->all[i].key) != 0 || strcmp(a->all[i].value, b->all[i].value) != 0) {
            fail_msg("'%s: %s' has become '%s: %s'", a->all[i].key, a->all[i].value, b->all[i].key, b->all[i].value);
        }
    }
    if (a->count != b->count) {
        const struct fact *more = a->count > b->count ? &a->all[b->count] : &b->all[a->count];
        fail_msg("%zu facts have become %zu: '%s: %s'", a->count, b->count, more->key, more->value);
    }
}

/* -------------------------------------------------------------------------------------------------------------- reading */

struct reading {
    struct facts *facts;
    struct facts bodies; /* b/<shard>/<number> */
    const uint8_t *secret;
    unsigned shard, shard_count;
};

__attribute__((format(printf, 2, 3))) static const char *
key_of(char key[KEY_BYTES], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(key, KEY_BYTES, format, arguments);
    va_end(arguments);
    return key;
}

static void
assert_is_here(const struct reading *r, struct bytes key)
{
    assert_int_equal(place_shard(r->secret, r->shard_count, key.data, key.size), r->shard);
}

static void
print_body(const struct entry_body *e, char out[VALUE_BYTES])
{
    uint64_t sum = e->payload.size;
    for (uint32_t i = 0; i < e->payload.size; i++) {
        sum = sum * 31 + e->payload.data[i];
    }
    snprintf(out, VALUE_BYTES, "%.*s %.*s %" PRIx64 " publisher %" PRIx64 " stamp %" PRIu64 " expiry %" PRIu64 " qos %u retain %d", (int)e->topic.size,
             (const char *)e->topic.data, (int)e->properties.size, (const char *)e->properties.data, sum, e->publisher, e->stamp, e->expiry_ms, e->qos, e->retain);
}

static void
take_session(struct reading *r, struct bytes content)
{
    char key[KEY_BYTES];
    struct entry_session e;
    assert_true(entry_read_session(content, &e));
    assert_is_here(r, e.client_id);
    set(r->facts, key_of(key, "s/%" PRIx64, e.identity), "%.*s expiry %u window %u version %u number %" PRIu64 " principal %.*s", (int)e.client_id.size,
        (const char *)e.client_id.data, e.expiry_s, e.window, e.version, e.delivery_number, (int)e.principal.size, (const char *)e.principal.data);
    set(r->facts, key_of(key, "s/%" PRIx64 "/absent", e.identity), "%" PRIu64, e.absent_since_ms);
}

static void
take_count(struct reading *r, uint64_t identity, uint64_t count)
{
    char key[KEY_BYTES];
    const struct fact *fact = find(r->facts, key_of(key, "s/%" PRIx64 "/count", identity));
    if (fact == NULL || strtoull(fact->value, NULL, 10) < count) {
        set(r->facts, key, "%" PRIu64, count);
    }
}

static void
take_received(struct reading *r, uint64_t identity, uint64_t count, uint16_t packet_id)
{
    char key[KEY_BYTES];
    set(r->facts, key_of(key, "s/%" PRIx64 "/received/%u", identity, packet_id), "yes");
    take_count(r, identity, count);
}

static void
take_delivery(struct reading *r, const struct entry_delivery *e, const char *body)
{
    char key[KEY_BYTES], sent[KEY_BYTES];
    drop(r->facts, key_of(key, "s/%" PRIx64 "/d/%" PRIu64, e->identity, e->number));
    if (e->cancelled) {
        return;
    }
    set(r->facts, key, "%s, qos %u retain %d share %u identifiers %u", body, e->qos, e->retain, e->share_hash, e->identifier_count);
    if (e->packet_id != 0) {
        set(r->facts, key_of(sent, "%s/sent", key), "%u %u", e->packet_id, e->state);
    }
}

static void
take_token(struct reading *r, const struct entry_message *e, const struct entry_delivery *d)
{
    char key[KEY_BYTES];
    if (e->token.identity != 0) {
        set(r->facts, key_of(key, "s/%" PRIx64 "/t/%" PRIx64 "-%" PRIu64 "-%u-%" PRIx64, d->identity, e->token.identity, e->token.count, e->token.packet_id, e->token.hash), "yes");
    }
}

/* In one shard one number means one body. */
static void
take_body(struct reading *r, const struct entry_body *e, const char *text)
{
    char key[KEY_BYTES];
    const struct fact *fact = find(&r->bodies, key_of(key, "b/%u/%" PRIu64, r->shard, e->number));
    if (fact != NULL) {
        assert_string_equal(fact->value, text);
    }
    set(&r->bodies, key, "%s", text);
}

static void
take_message(struct reading *r, struct bytes content)
{
    char key[KEY_BYTES], text[VALUE_BYTES];
    struct entry_message e;
    struct entry_delivery delivery;
    assert_true(entry_read_message(content, &e));
    print_body(&e.body, text);
    take_body(r, &e.body, text);
    while (entry_next_delivery(&e.deliveries, &delivery)) {
        take_delivery(r, &delivery, text);
        take_token(r, &e, &delivery);
    }
    if (e.received) {
        take_received(r, e.token.identity, e.token.count, e.token.packet_id);
    }
    if (e.keep_retained) {
        assert_is_here(r, e.body.topic);
        set(r->facts, key_of(key, "r/%.*s", (int)e.body.topic.size, (const char *)e.body.topic.data), "%s", text);
    }
}

static void
take_deliveries(struct reading *r, struct bytes content)
{
    char key[KEY_BYTES];
    uint32_t count;
    struct bytes deliveries;
    struct entry_delivery e;
    assert_true(entry_read_deliveries(content, &count, &deliveries));
    while (entry_next_delivery(&deliveries, &e)) {
        const struct fact *body = e.body != 0 ? find(&r->bodies, key_of(key, "b/%u/%" PRIu64, r->shard, e.body)) : NULL;
        if (e.body != 0 && body == NULL) {
            fail_msg("shard %u has a delivery of body %" PRIu64 ", but not the body", r->shard, e.body);
        }
        take_delivery(r, &e, body != NULL ? body->value : "no body");
    }
}

static void
take_mark(struct reading *r, uint8_t type, struct bytes content)
{
    char key[KEY_BYTES], sent[KEY_BYTES];
    struct entry_mark e;
    uint64_t number;
    uint16_t packet_id;
    assert_true(entry_read_mark(content, &e));
    while (entry_next_mark(&e.marks, &number, &packet_id)) {
        key_of(key, "s/%" PRIx64 "/d/%" PRIu64, e.identity, number);
        if (type == ENTRY_DONE) {
            drop(r->facts, key);
        } else if (find(r->facts, key) != NULL) {
            set(r->facts, key_of(sent, "%s/sent", key), "%u %u", packet_id, type == ENTRY_SENT ? ENTRY_DELIVERY_PUBLISHED : ENTRY_DELIVERY_RELEASED);
        }
    }
}

static void
take_page(struct reading *r, struct bytes content)
{
    char key[KEY_BYTES], text[VALUE_BYTES];
    struct entry_page e;
    struct entry_delivery delivery;
    struct entry_body body;
    assert_true(entry_read_page(content, &e));
    for (uint64_t number = e.first; number <= e.last; number++) {
        drop(r->facts, key_of(key, "s/%" PRIx64 "/d/%" PRIu64, e.identity, number));
    }
    while (entry_next_item(&e.items, &delivery, &body)) {
        print_body(&body, text);
        take_delivery(r, &delivery, text);
    }
}

static void
take_will(struct reading *r, struct bytes content)
{
    char key[KEY_BYTES], text[VALUE_BYTES];
    struct entry_will e;
    assert_true(entry_read_will(content, &e));
    print_body(&e.body, text);
    set(r->facts, key_of(key, "s/%" PRIx64 "/will", e.identity), "%u %u %d %s", e.delay_s, e.expiry_s, e.has_expiry, text);
}

static void
take_subscription(struct reading *r, uint8_t type, struct bytes content)
{
    char key[KEY_BYTES];
    struct entry_subscription e;
    assert_true(entry_read_subscription(content, &e));
    key_of(key, "s/%" PRIx64 "/sub/%.*s", e.identity, (int)e.text.size, (const char *)e.text.data);
    drop(r->facts, key);
    if (type == ENTRY_SUBSCRIPTION) {
        set(r->facts, key, "%u %u %d %d", e.identifier, e.qos, e.no_local, e.retain_as_published);
    }
}

static void
take_absent(struct reading *r, struct bytes content)
{
    char key[KEY_BYTES];
    struct entry_absent e;
    assert_true(entry_read_absent(content, &e));
    set(r->facts, key_of(key, "s/%" PRIx64 "/absent", e.identity), "%" PRIu64 " %u", e.since_ms, e.expiry_s);
}

static void
take_received_or_completed(struct reading *r, uint8_t type, struct bytes content)
{
    char key[KEY_BYTES];
    struct entry_received e;
    assert_true(entry_read_received(content, &e));
    if (type == ENTRY_RECEIVED) {
        take_received(r, e.identity, e.count, e.packet_id);
    } else {
        drop(r->facts, key_of(key, "s/%" PRIx64 "/received/%u", e.identity, e.packet_id));
    }
}

static void
take_end(struct reading *r, uint8_t type, struct bytes content)
{
    char key[KEY_BYTES];
    uint64_t identity;
    assert_true(entry_read_identity(content, &identity));
    drop(r->facts, key_of(key, "s/%" PRIx64 "%s", identity, type == ENTRY_WILL_DROPPED ? "/will" : ""));
}

static void
take_retain_removed(struct reading *r, struct bytes content)
{
    char key[KEY_BYTES];
    struct entry_retain_removed e;
    assert_true(entry_read_retain_removed(content, &e));
    assert_is_here(r, e.topic);
    drop(r->facts, key_of(key, "r/%.*s", (int)e.topic.size, (const char *)e.topic.data));
}

static bool
visit(void *context, const struct journal_record *record)
{
    struct reading *r = context;
    r->facts->records++;
    switch (record->type) {
    case ENTRY_SESSION:
        take_session(r, record->content);
        break;
    case ENTRY_SESSION_END:
    case ENTRY_WILL_DROPPED:
        take_end(r, record->type, record->content);
        break;
    case ENTRY_ABSENT:
        take_absent(r, record->content);
        break;
    case ENTRY_SUBSCRIPTION:
    case ENTRY_UNSUBSCRIBED:
        take_subscription(r, record->type, record->content);
        break;
    case ENTRY_MESSAGE:
        take_message(r, record->content);
        break;
    case ENTRY_DELIVERIES:
        take_deliveries(r, record->content);
        break;
    case ENTRY_SENT:
    case ENTRY_RELEASED:
    case ENTRY_DONE:
        take_mark(r, record->type, record->content);
        break;
    case ENTRY_RECEIVED:
    case ENTRY_COMPLETED:
        take_received_or_completed(r, record->type, record->content);
        break;
    case ENTRY_RETAIN_REMOVED:
        take_retain_removed(r, record->content);
        break;
    case ENTRY_WILL:
        take_will(r, record->content);
        break;
    case ENTRY_PAGE:
        take_page(r, record->content);
        break;
    default:
        break;
    }
    return true;
}

/* Of sessions that no record has made, nothing counts. */
static void
drop_what_has_no_session(struct facts *f)
{
    char key[KEY_BYTES];
    for (size_t i = 0; i < f->count;) {
        const char *slash = strncmp(f->all[i].key, "s/", 2) == 0 ? strchr(f->all[i].key + 2, '/') : NULL;
        if (slash != NULL && find(f, key_of(key, "%.*s", (int)(slash - f->all[i].key), f->all[i].key)) == NULL) {
            drop(f, key);
            i = 0;
        } else {
            i++;
        }
    }
}

/* The publisher will not send it again: it is gone, or has been told that it was received. */
static bool
is_finished(const struct facts *f, const char *token)
{
    char key[KEY_BYTES], publisher[KEY_BYTES];
    uint64_t count;
    assert_int_equal(sscanf(token, "/t/%200[0-9a-f]-%" SCNu64, publisher, &count), 2);
    const struct fact *received = find(f, key_of(key, "s/%s/count", publisher));
    return find(f, key_of(key, "s/%s", publisher)) == NULL || (received != NULL && strtoull(received->value, NULL, 10) >= count);
}

static void
drop_finished_tokens(struct facts *f)
{
    char key[KEY_BYTES];
    for (size_t i = 0; i < f->count;) {
        const char *token = strncmp(f->all[i].key, "s/", 2) == 0 ? strstr(f->all[i].key, "/t/") : NULL;
        if (token != NULL && is_finished(f, token)) {
            drop(f, key_of(key, "%s", f->all[i].key));
        } else {
            i++;
        }
    }
}

void
facts_read(struct facts *f, struct io_set *ios, const struct store *store, unsigned shard_count, uint32_t segment_bytes)
{
    char directory[STORE_PATH_MAX], error[300];
    struct budget_account account = {0};
    struct journal_past past;
    struct reading r = {.facts = f, .secret = store_secret(store), .shard_count = shard_count};
    *f = (struct facts){0};
    for (r.shard = 0; r.shard < shard_count; r.shard++) {
        store_shard_directory(store, r.shard, directory);
        struct journal_options options = {
            .ios = ios, .io = io_of_shard(ios, 0), .account = &account, .directory = directory, .segment_bytes = segment_bytes, .shard = r.shard};
        struct journal *journal = journal_open(&options, error, sizeof error);
        assert_non_null(journal);
        assert_int_equal(journal_read(journal, visit, &r, &past, error, sizeof error), 0);
        journal_close(&journal);
    }
    facts_free(&r.bodies);
    drop_what_has_no_session(f);
    drop_finished_tokens(f);
    if (f->count > 0) {
        qsort(f->all, f->count, sizeof *f->all, compare);
    }
}
