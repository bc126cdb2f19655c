#include "engine/durable/convert.h"

#include "engine/durable/convert_index.h"
#include "engine/durable/entry.h"
#include "engine/journal/journal.h"
#include "engine/journal/writer.h"
#include "engine/log.h"
#include "engine/place.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_INTERVAL_NS UINT64_C(1000000000)
/* Records between two looks at the clock. */
#define PROGRESS_RECORDS 4096u

static_assert(MANIFEST_SHARDS_MAX <= 64, "shards are bits of a mask");

/* Bytes that grow. */
struct heap_bytes {
    uint8_t *data;
    uint32_t size, room;
};

/* What goes to one new shard. */
struct target {
    struct journal_writer *writer;
    struct heap_bytes deliveries; /* of the record at hand */
    uint32_t delivery_count;
};

struct conversion {
    struct convert *convert;
    const struct manifest *manifest;
    struct convert_index index;
    struct target targets[MANIFEST_SHARDS_MAX];
    struct heap_bytes content;
    unsigned old_shard;        /* whose records are shown */
    unsigned pass;             /* 0, 1 */
    struct journal *journal;   /* the one that is read */
    uint64_t seen;             /* records */
    uint64_t told_ns;
    bool out_of_memory;
    bool write_failed;         /* one of the writers knows why */
};

/* ----------------------------------------------------------------------------------------------------------------- bytes */

/* `size` more bytes to be written, or NULL once and for all. */
static uint8_t *
extend(struct conversion *c, struct heap_bytes *b, uint32_t size)
{
    uint64_t wanted = (uint64_t)b->size + size;
    if (wanted > b->room) {
        uint64_t room = 2 * wanted < UINT32_MAX ? 2 * wanted : UINT32_MAX;
        uint8_t *data = wanted <= room && !c->out_of_memory ? realloc(b->data, room) : NULL;
        if (data == NULL) {
            c->out_of_memory = true;
            return NULL;
        }
        b->data = data;
        b->room = (uint32_t)room;
    }
    b->size += size;
    return b->data + b->size - size;
}

/* -------------------------------------------------------------------------------------------------------------- progress */

static void
tell_progress(struct conversion *c)
{
    uint64_t now_ns = io_clock_ns(io_of_shard(c->convert->ios, 0));
    if (now_ns - c->told_ns < PROGRESS_INTERVAL_NS) {
        return;
    }
    c->told_ns = now_ns;
    /* Shards are alike as a rule; so is what reading them takes. */
    uint64_t of_all = UINT64_C(1000) / (2 * c->convert->from_count);
    uint64_t to_read = journal_bytes_to_read(c->journal), been_read = journal_bytes_read(c->journal);
    uint64_t whole = (uint64_t)c->pass * c->convert->from_count + c->old_shard;
    uint64_t permille = whole * of_all + (to_read > 0 ? of_all * been_read / to_read : 0);
    log_line(CONFIG_LOG_NOTICE, "Converting the journal: %u %%.", (unsigned)(permille / 10));
}

static void
count_record(struct conversion *c)
{
    if (++c->seen % PROGRESS_RECORDS == 0) {
        tell_progress(c);
    }
}

/* ------------------------------------------------------------------------------------------------------------ first pass */

static void
index_session(struct conversion *c, struct bytes content)
{
    struct entry_session e;
    if (entry_read_session(content, &e)) {
        unsigned shard = place_shard(c->manifest->secret, c->manifest->shard_count, e.client_id.data, e.client_id.size);
        convert_index_add_session(&c->index, e.identity, shard, e.received_count);
    }
}

static void
index_message(struct conversion *c, struct bytes content)
{
    struct entry_message e;
    if (!entry_read_message(content, &e)) {
        return;
    }
    convert_index_add_body(&c->index, c->old_shard, e.body.number);
    if (e.received) {
        convert_index_add_received(&c->index, e.token.identity, e.token.count);
    }
}

static void
index_deliveries(struct conversion *c, struct bytes content)
{
    uint32_t count;
    struct bytes deliveries;
    struct entry_delivery delivery;
    if (!entry_read_deliveries(content, &count, &deliveries)) {
        return;
    }
    while (entry_next_delivery(&deliveries, &delivery)) {
        if (delivery.body != 0) {
            convert_index_add_reference(&c->index, c->old_shard, delivery.body, delivery.identity);
        }
    }
}

static void
index_page(struct conversion *c, struct bytes content)
{
    struct entry_page e;
    struct entry_delivery delivery;
    struct entry_body body;
    if (!entry_read_page(content, &e)) {
        return;
    }
    while (entry_next_item(&e.items, &delivery, &body)) {
        if (body.number != 0) {
            convert_index_add_body(&c->index, c->old_shard, body.number);
        }
    }
}

static void
index_received(struct conversion *c, struct bytes content)
{
    struct entry_received e;
    if (entry_read_received(content, &e)) {
        convert_index_add_received(&c->index, e.identity, e.count);
    }
}

static bool
visit_first(void *context, const struct journal_record *record)
{
    struct conversion *c = context;
    count_record(c);
    switch (record->type) {
    case ENTRY_SESSION:
        index_session(c, record->content);
        break;
    case ENTRY_MESSAGE:
        index_message(c, record->content);
        break;
    case ENTRY_DELIVERIES:
        index_deliveries(c, record->content);
        break;
    case ENTRY_PAGE:
        index_page(c, record->content);
        break;
    case ENTRY_RECEIVED:
        index_received(c, record->content);
        break;
    default:
        break;
    }
    return !c->index.out_of_memory;
}

/* ----------------------------------------------------------------------------------------------------------- second pass */

static void
write_record(struct conversion *c, unsigned shard, uint8_t type, struct bytes content)
{
    journal_writer_append(c->targets[shard].writer, type, content);
    c->write_failed |= journal_writer_result(c->targets[shard].writer) != 0;
    c->convert->records++;
}

/* Room in `content` for a record of that size. `failed` is set if there is no memory. */
static struct writer
begin_content(struct conversion *c, uint32_t size)
{
    c->content.size = 0;
    uint8_t *room = extend(c, &c->content, size);
    return room != NULL ? writer_of(room, size) : (struct writer){.failed = true};
}

static void
end_content(struct conversion *c, unsigned shard, uint8_t type, const struct writer *w)
{
    assert(c->out_of_memory || (!w->failed && w->at == w->end));
    if (!c->out_of_memory) {
        write_record(c, shard, type, bytes_of(c->content.data, c->content.size));
    }
}

/* About one session, and as it is: they all begin with its identity. */
static void
pass_on(struct conversion *c, const struct journal_record *record)
{
    uint64_t identity;
    uint8_t shard = entry_read_identity(record->content, &identity) ? convert_index_shard(&c->index, identity) : CONVERT_SHARD_NONE;
    if (shard != CONVERT_SHARD_NONE) {
        write_record(c, shard, record->type, record->content);
    }
}

static void
clear_deliveries(struct conversion *c)
{
    for (unsigned i = 0; i < c->manifest->shard_count; i++) {
        c->targets[i].deliveries.size = 0;
        c->targets[i].delivery_count = 0;
    }
}

/* Sorts them by new shards. Those of sessions that are not there any more are left out. */
static void
sort_deliveries(struct conversion *c, struct bytes deliveries)
{
    struct entry_delivery delivery;
    clear_deliveries(c);
    while (entry_next_delivery(&deliveries, &delivery)) {
        uint8_t shard = convert_index_shard(&c->index, delivery.identity);
        if (shard == CONVERT_SHARD_NONE) {
            continue;
        }
        if (delivery.body != 0) {
            delivery.body = convert_index_body(&c->index, c->old_shard, delivery.body);
        }
        uint32_t size = entry_delivery_size(&delivery);
        uint8_t *room = extend(c, &c->targets[shard].deliveries, size);
        if (room != NULL) {
            struct writer w = writer_of(room, size);
            entry_put_delivery(&w, &delivery);
            c->targets[shard].delivery_count++;
        }
    }
}

static uint64_t
mask_of_deliveries(const struct conversion *c)
{
    uint64_t mask = 0;
    for (unsigned i = 0; i < c->manifest->shard_count; i++) {
        mask |= c->targets[i].delivery_count > 0 ? UINT64_C(1) << i : 0;
    }
    return mask;
}

static void
put_deliveries(struct writer *w, const struct target *target)
{
    writer_put(w, bytes_of(target->deliveries.data, target->deliveries.size));
}

/* That its publisher's session has received it was a part of the message's record, where both were on one shard. */
static void
write_received(struct conversion *c, const struct entry_token *token)
{
    uint8_t shard = convert_index_shard(&c->index, token->identity);
    if (shard != CONVERT_SHARD_NONE) {
        struct entry_received e = {.identity = token->identity, .count = token->count, .packet_id = token->packet_id};
        struct writer w = begin_content(c, entry_received_size());
        entry_put_received(&w, &e);
        end_content(c, shard, ENTRY_RECEIVED, &w);
    }
}

static void
write_message(struct conversion *c, unsigned shard, struct entry_message e, bool keeps_retained)
{
    const struct target *target = &c->targets[shard];
    e.keep_retained = keeps_retained;
    e.delivery_count = target->delivery_count;
    struct writer w = begin_content(c, entry_message_size(&e) + target->deliveries.size);
    entry_put_message(&w, &e);
    put_deliveries(&w, target);
    end_content(c, shard, ENTRY_MESSAGE, &w);
}

/*
 * Alone, for records that refer to it later: what held it in the old journal may have gone to another one, or be over before them. So a recovery keeps it to its end.
 */
static void
write_body(struct conversion *c, unsigned shard, const struct entry_message *e)
{
    struct entry_message alone = {.body = e->body};
    struct writer w = begin_content(c, entry_message_size(&alone));
    entry_put_message(&w, &alone);
    end_content(c, shard, ENTRY_MESSAGE, &w);
}

static unsigned
home_of(const struct conversion *c, struct bytes topic)
{
    return place_shard(c->manifest->secret, c->manifest->shard_count, topic.data, topic.size);
}

static void
split_message(struct conversion *c, struct entry_message e)
{
    unsigned home = e.keep_retained ? home_of(c, e.body.topic) : MANIFEST_SHARDS_MAX;
    if (e.received) {
        write_received(c, &e.token);
        e.received = false;
    }
    bool finished = convert_index_is_received(&c->index, e.token.identity, e.token.count);
    e.token = finished ? (struct entry_token){0} : e.token;
    e.token_partial = e.token.identity != 0;
    sort_deliveries(c, e.deliveries);
    uint64_t told = mask_of_deliveries(c) | (home < MANIFEST_SHARDS_MAX ? UINT64_C(1) << home : 0);
    uint64_t referred = convert_index_references(&c->index, c->old_shard, e.body.number);
    e.body.number = convert_index_body(&c->index, c->old_shard, e.body.number);
    for (unsigned i = 0; i < c->manifest->shard_count; i++) {
        if ((referred >> i & 1) != 0) {
            write_body(c, i, &e);
        }
        if ((told >> i & 1) != 0) {
            write_message(c, i, e, i == home);
        }
    }
}

static void
split_deliveries(struct conversion *c, struct bytes deliveries)
{
    sort_deliveries(c, deliveries);
    for (unsigned i = 0; i < c->manifest->shard_count; i++) {
        const struct target *target = &c->targets[i];
        if (target->delivery_count > 0) {
            struct writer w = begin_content(c, entry_deliveries_size() + target->deliveries.size);
            entry_put_deliveries(&w, target->delivery_count);
            put_deliveries(&w, target);
            end_content(c, i, ENTRY_DELIVERIES, &w);
        }
    }
}

/* The same but for the numbers of bodies, which may be in memory at the same time as others. */
static void
write_page(struct conversion *c, const struct entry_page *e, uint32_t size)
{
    uint8_t shard = convert_index_shard(&c->index, e->identity);
    struct bytes items = e->items;
    struct entry_delivery delivery;
    struct entry_body body;
    if (shard == CONVERT_SHARD_NONE) {
        return;
    }
    struct writer w = begin_content(c, size);
    entry_put_page(&w, e);
    while (entry_next_item(&items, &delivery, &body)) {
        body.number = body.number != 0 ? convert_index_body(&c->index, c->old_shard, body.number) : 0;
        entry_put_delivery(&w, &delivery);
        entry_put_body(&w, &body);
    }
    end_content(c, shard, ENTRY_PAGE, &w);
}

static bool
convert_message(struct conversion *c, struct bytes content)
{
    struct entry_message e;
    bool good = entry_read_message(content, &e);
    if (good) {
        split_message(c, e);
    }
    return good;
}

static bool
convert_deliveries(struct conversion *c, struct bytes content)
{
    uint32_t count;
    struct bytes deliveries;
    bool good = entry_read_deliveries(content, &count, &deliveries);
    if (good) {
        split_deliveries(c, deliveries);
    }
    return good;
}

static bool
convert_page(struct conversion *c, struct bytes content)
{
    struct entry_page e;
    bool good = entry_read_page(content, &e);
    if (good) {
        write_page(c, &e, entry_page_size(&e) + e.items.size);
    }
    return good;
}

/* Its holders go where they live. Of one that held for all sessions of a shard nobody knows any more which those were: it is forgotten, and the message may come twice. */
static bool
convert_token(struct conversion *c, struct bytes content)
{
    struct entry_known e;
    if (!entry_read_token(content, &e)) {
        return false;
    }
    struct reader holders = reader_of(e.holders);
    for (uint32_t i = 0; i < e.holder_count; i++) {
        uint64_t identity = reader_u64(&holders);
        uint8_t shard = convert_index_shard(&c->index, identity);
        if (shard != CONVERT_SHARD_NONE && !convert_index_is_received(&c->index, e.token.identity, e.token.count)) {
            struct writer w = begin_content(c, entry_token_size(1));
            entry_put_token(&w, &e.token, 1);
            writer_u64(&w, identity);
            end_content(c, shard, ENTRY_TOKEN, &w);
        }
    }
    return true;
}

static bool
convert_retain_removed(struct conversion *c, const struct journal_record *record)
{
    struct entry_retain_removed e;
    bool good = entry_read_retain_removed(record->content, &e);
    if (good) {
        write_record(c, home_of(c, e.topic), record->type, record->content);
    }
    return good;
}

static bool
convert_record(struct conversion *c, const struct journal_record *record)
{
    switch (record->type) {
    case ENTRY_MESSAGE:
        return convert_message(c, record->content);
    case ENTRY_DELIVERIES:
        return convert_deliveries(c, record->content);
    case ENTRY_PAGE:
        return convert_page(c, record->content);
    case ENTRY_RETAIN_REMOVED:
        return convert_retain_removed(c, record);
    case ENTRY_TOKEN:
        return convert_token(c, record->content);
    case ENTRY_SESSION:
    case ENTRY_SESSION_END:
    case ENTRY_ABSENT:
    case ENTRY_SUBSCRIPTION:
    case ENTRY_UNSUBSCRIBED:
    case ENTRY_SENT:
    case ENTRY_RELEASED:
    case ENTRY_DONE:
    case ENTRY_RECEIVED:
    case ENTRY_COMPLETED:
    case ENTRY_WILL:
    case ENTRY_WILL_DROPPED:
        pass_on(c, record);
        return true;
    default:
        return false;
    }
}

static bool
visit_second(void *context, const struct journal_record *record)
{
    struct conversion *c = context;
    count_record(c);
    c->convert->unknown += !convert_record(c, record);
    return !c->out_of_memory && !c->write_failed;
}

/* ----------------------------------------------------------------------------------------------------------------- whole */

static int
read_one(struct conversion *c, bool (*visit)(void *, const struct journal_record *), char *error, size_t error_size)
{
    struct budget_account account = {0};
    char directory[STORE_PATH_MAX];
    struct journal_past past;
    store_files_join(directory, "%s/%u", c->convert->from, c->old_shard);
    struct journal_options options = {
        .ios = c->convert->ios,
        .io = io_of_shard(c->convert->ios, 0),
        .account = &account,
        .directory = directory,
        .mode = JOURNAL_ALWAYS,
        .segment_bytes = c->convert->segment_bytes,
        .shard = c->old_shard,
    };
    c->journal = journal_open(&options, error, error_size);
    if (c->journal == NULL) {
        return -EIO;
    }
    int result = journal_read(c->journal, visit, c, &past, error, error_size);
    journal_close(&c->journal);
    return result;
}

static int
read_all(struct conversion *c, bool (*visit)(void *, const struct journal_record *), char *error, size_t error_size)
{
    int result = 0;
    for (c->old_shard = 0; result == 0 && c->old_shard < c->convert->from_count; c->old_shard++) {
        result = read_one(c, visit, error, error_size);
    }
    return result;
}

static bool
open_writers(struct conversion *c, const char *directory)
{
    char shard[STORE_PATH_MAX];
    bool good = true;
    for (unsigned i = 0; i < c->manifest->shard_count; i++) {
        store_files_join(shard, "%s/%u", directory, i);
        c->targets[i].writer = journal_writer_open(c->convert->ios, shard, i, c->convert->segment_bytes);
        good &= c->targets[i].writer != NULL;
    }
    return good;
}

static int
finish_writers(struct conversion *c, const char *directory, char *error, size_t error_size)
{
    int result = 0;
    for (unsigned i = 0; result == 0 && i < c->manifest->shard_count; i++) {
        result = journal_writer_finish(&c->targets[i].writer);
    }
    return result == 0 ? 0 : store_files_refuse(result, error, error_size, "the converted journal %s cannot be written", directory);
}

static void
fini(struct conversion *c)
{
    for (unsigned i = 0; i < MANIFEST_SHARDS_MAX; i++) {
        journal_writer_abandon(&c->targets[i].writer);
        free(c->targets[i].deliveries.data);
    }
    free(c->content.data);
    convert_index_fini(&c->index);
    free(c);
}

static int
convert_all(struct conversion *c, const char *directory, char *error, size_t error_size)
{
    int result = read_all(c, visit_first, error, error_size);
    convert_index_settle(&c->index);
    if (result == 0 && !c->index.out_of_memory) {
        c->pass = 1;
        c->out_of_memory = !open_writers(c, directory);
        result = c->out_of_memory ? -ENOMEM : read_all(c, visit_second, error, error_size);
    }
    if (c->index.out_of_memory || c->out_of_memory) {
        return store_files_refuse(-ENOMEM, error, error_size, "the journal cannot be converted");
    }
    return result != 0 && !c->write_failed ? result : finish_writers(c, directory, error, error_size);
}

int
convert_fill(void *context, const char *directory, const struct manifest *manifest, char *error, size_t error_size)
{
    struct conversion *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return store_files_refuse(-ENOMEM, error, error_size, "the journal cannot be converted");
    }
    c->convert = context;
    c->manifest = manifest;
    c->told_ns = io_clock_ns(io_of_shard(c->convert->ios, 0));
    convert_index_init(&c->index, c->convert->from_count);
    int result = convert_all(c, directory, error, error_size);
    fini(c);
    return result;
}
