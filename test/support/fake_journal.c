#include "test/support/fake_journal.h"

#include "engine/durable/keep.h"
#include "engine/durable/promise.h"

#include <assert.h>
#include <stdlib.h>

#define RECORD_HEAD 16u /* a real one takes about as much */

struct fake_record {
    uint8_t *content;
    uint64_t position;
    uint32_t size;
    uint8_t type;
    bool voided;
};

struct journal {
    struct fake_record *records;
    size_t count, room;
    uint64_t end, committed;
    enum journal_room disk;
    bool held;
    bool untold; /* committed, and nobody has looked since */
};

uint64_t
journal_append(struct journal *j, uint8_t type, uint32_t size, uint8_t **content)
{
    if (j->count == j->room) {
        j->room = j->room ? j->room * 2 : 64;
        j->records = realloc(j->records, j->room * sizeof *j->records);
    }
    struct fake_record *r = &j->records[j->count++];
    *r = (struct fake_record){.content = malloc(size + 1u), .position = j->end, .size = size, .type = type};
    j->end += RECORD_HEAD + size;
    *content = r->content;
    return r->position;
}

static struct fake_record *
waiting_at(struct journal *j, uint64_t position)
{
    for (size_t i = j->count; i > 0 && position >= j->committed; i--) {
        if (j->records[i - 1].position == position && !j->records[i - 1].voided) {
            return &j->records[i - 1];
        }
    }
    return NULL;
}

uint8_t *
journal_waiting(struct journal *j, uint64_t position, uint32_t *size)
{
    struct fake_record *r = waiting_at(j, position);
    *size = r != NULL ? r->size : 0;
    return r != NULL ? r->content : NULL;
}

void
journal_void(struct journal *j, uint64_t position)
{
    waiting_at(j, position)->voided = true;
}

uint64_t
journal_end(const struct journal *j)
{
    return j->end;
}

uint64_t
journal_committed(const struct journal *j)
{
    return j->committed;
}

uint64_t
journal_backlog(const struct journal *j)
{
    return j->end - j->committed;
}

enum journal_room
journal_room(const struct journal *j)
{
    return j->disk;
}

void
journal_submit(struct journal *j, uint64_t now_ms)
{
    (void)now_ms;
    j->untold = !j->held && j->committed < j->end;
    if (j->untold) {
        j->committed = j->end;
    }
}

uint64_t
journal_next_ms(const struct journal *j)
{
    return j->untold || (!j->held && j->committed < j->end) ? 0 : UINT64_MAX;
}

/* No test with it comes here. */
bool journal_event(struct journal *j, const struct io_event *event) { (void)j; (void)event; return false; }
struct journal *journal_open(const struct journal_options *options, char *error, size_t size) { (void)options; (void)error; (void)size; abort(); }
void journal_close(struct journal **j) { (void)j; abort(); }
int
journal_read(struct journal *j, bool (*visit)(void *context, const struct journal_record *record), void *context, struct journal_past *past, char *error, size_t size)
{
    (void)j; (void)visit; (void)context; (void)past; (void)error; (void)size;
    abort();
}
uint64_t journal_append_placed(struct journal *j, uint8_t type, uint32_t size, uint8_t **content) { (void)j; (void)type; (void)size; (void)content; abort(); }
void journal_fetch(struct journal *j, const struct journal_place *place, uint32_t size, uint64_t token) { (void)j; (void)place; (void)size; (void)token; abort(); }
int journal_fetch_now(struct journal *j, const struct journal_place *p, uint32_t size, uint8_t **content) { (void)j; (void)p; (void)size; (void)content; abort(); }
uint64_t journal_room_left(const struct journal *j) { return j->disk == JOURNAL_FREE ? UINT64_MAX : j->disk == JOURNAL_FULL ? UINT64_C(1) << 30 : 0; }
uint64_t journal_bytes_to_read(const struct journal *j) { (void)j; abort(); }
uint64_t journal_bytes_read(const struct journal *j) { (void)j; abort(); }
uint64_t journal_bytes_used(const struct journal *j) { return j->end; }
void journal_finish(struct journal *j) { (void)j; abort(); }
bool journal_is_idle(const struct journal *j) { return j->committed == j->end; }
void journal_cut(struct journal *j, uint64_t position) { (void)j; (void)position; abort(); }
uint64_t journal_segment_start(const struct journal *j) { (void)j; return 0; }
void journal_counts(const struct journal *j, struct journal_counts *counts) { (void)j; *counts = (struct journal_counts){0}; }

void
fake_journals_open(struct world *world)
{
    for (unsigned i = 0; i < world->broker->shard_count; i++) {
        struct shard *shard = world->broker->shards[i];
        shard->journal = calloc(1, sizeof *shard->journal);
        shard->journal->end = shard->journal->committed = 1000;
        bool opened = keep_open(shard) && promise_init(shard);
        assert(opened);
        (void)opened;
    }
}

void
fake_journals_close(struct world *world)
{
    for (unsigned i = 0; i < world->broker->shard_count; i++) {
        struct shard *shard = world->broker->shards[i];
        struct journal *j = shard->journal;
        promise_fini(shard);
        keep_close(shard);
        shard->journal = NULL;
        for (size_t k = 0; k < j->count; k++) {
            free(j->records[k].content);
        }
        free(j->records);
        free(j);
    }
}

void
fake_journal_hold(struct world *world, unsigned shard)
{
    world->broker->shards[shard]->journal->held = true;
}

void
fake_journal_let_go(struct world *world, unsigned shard)
{
    world->broker->shards[shard]->journal->held = false;
}

void
fake_journal_set_room(struct world *world, unsigned shard, enum journal_room room)
{
    struct journal *j = world->broker->shards[shard]->journal;
    j->disk = room;
    j->untold = true; /* a turn, to see it */
}

unsigned
fake_journal_count(const struct world *world, unsigned shard, uint8_t type)
{
    const struct journal *j = world->broker->shards[shard]->journal;
    unsigned count = 0;
    for (size_t i = 0; i < j->count; i++) {
        count += j->records[i].type == type && !j->records[i].voided;
    }
    return count;
}

struct bytes
fake_journal_get(const struct world *world, unsigned shard, uint8_t type, unsigned index)
{
    const struct journal *j = world->broker->shards[shard]->journal;
    for (size_t i = 0; i < j->count; i++) {
        if (j->records[i].type == type && !j->records[i].voided && index-- == 0) {
            return bytes_of(j->records[i].content, j->records[i].size);
        }
    }
    return bytes_of(NULL, 0);
}

struct bytes
fake_journal_newest(const struct world *world, unsigned shard, uint8_t type)
{
    return fake_journal_get(world, shard, type, fake_journal_count(world, shard, type) - 1);
}
