#include "engine/durable/convert_index.h"

#include <stdlib.h>
#include <string.h>

#define SESSION_ROOM_FIRST 1024u

void
convert_index_init(struct convert_index *index, unsigned old_shard_count)
{
    *index = (struct convert_index){.shard_count = old_shard_count, .bodies = calloc(old_shard_count, sizeof *index->bodies)};
    index->out_of_memory = index->bodies == NULL;
}

void
convert_index_fini(struct convert_index *index)
{
    for (unsigned i = 0; index->bodies != NULL && i < index->shard_count; i++) {
        free(index->bodies[i].numbers);
        free(index->bodies[i].references);
    }
    free(index->bodies);
    free(index->sessions);
    *index = (struct convert_index){0};
}

/* `*array` has room for one more item. */
static bool
need_room(struct convert_index *index, void **array, uint64_t *room, uint64_t count, size_t item_size)
{
    if (count < *room) {
        return true;
    }
    uint64_t wanted = *room > 0 ? *room * 2 : 256;
    void *grown = index->out_of_memory ? NULL : realloc(*array, wanted * item_size);
    index->out_of_memory |= grown == NULL;
    if (grown == NULL) {
        return false;
    }
    *array = grown;
    *room = wanted;
    return true;
}

/* -------------------------------------------------------------------------------------------------------------- sessions */

/* Identities grow one by one, so any odd factor spreads them. */
static uint64_t
place_of(uint64_t identity, uint64_t room)
{
    return (identity * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (room - 1);
}

/* Its place, or the empty one where it belongs. */
static struct convert_session *
find_session(const struct convert_index *index, uint64_t identity)
{
    uint64_t at = place_of(identity, index->session_room);
    while (index->sessions[at].identity != 0 && index->sessions[at].identity != identity) {
        at = (at + 1) & (index->session_room - 1);
    }
    return &index->sessions[at];
}

static bool
grow_sessions(struct convert_index *index)
{
    struct convert_index larger = {.session_room = index->session_room > 0 ? 2 * index->session_room : SESSION_ROOM_FIRST};
    larger.sessions = index->out_of_memory ? NULL : calloc(larger.session_room, sizeof *larger.sessions);
    if (larger.sessions == NULL) {
        index->out_of_memory = true;
        return false;
    }
    for (uint64_t i = 0; i < index->session_room; i++) {
        if (index->sessions[i].identity != 0) {
            *find_session(&larger, index->sessions[i].identity) = index->sessions[i];
        }
    }
    free(index->sessions);
    index->sessions = larger.sessions;
    index->session_room = larger.session_room;
    return true;
}

/* NULL when out of memory, or for identity 0, which nobody has. */
static struct convert_session *
need_session(struct convert_index *index, uint64_t identity)
{
    if (identity == 0 || (2 * index->session_count >= index->session_room && !grow_sessions(index))) {
        return NULL;
    }
    struct convert_session *session = find_session(index, identity);
    if (session->identity == 0) {
        *session = (struct convert_session){.identity = identity, .shard = CONVERT_SHARD_NONE};
        index->session_count++;
    }
    return session;
}

void
convert_index_add_received(struct convert_index *index, uint64_t identity, uint64_t count)
{
    struct convert_session *session = need_session(index, identity);
    if (session != NULL && count > session->received_count) {
        session->received_count = count;
    }
}

void
convert_index_add_session(struct convert_index *index, uint64_t identity, unsigned new_shard, uint64_t received_count)
{
    struct convert_session *session = need_session(index, identity);
    if (session != NULL) {
        session->shard = (uint8_t)new_shard;
        convert_index_add_received(index, identity, received_count);
    }
}

static const struct convert_session *
get_session(const struct convert_index *index, uint64_t identity)
{
    const struct convert_session *session = identity != 0 && index->session_room > 0 ? find_session(index, identity) : NULL;
    return session != NULL && session->identity != 0 ? session : NULL;
}

uint8_t
convert_index_shard(const struct convert_index *index, uint64_t identity)
{
    const struct convert_session *session = get_session(index, identity);
    return session != NULL ? session->shard : CONVERT_SHARD_NONE;
}

bool
convert_index_is_received(const struct convert_index *index, uint64_t identity, uint64_t count)
{
    const struct convert_session *session = get_session(index, identity);
    return session != NULL && count <= session->received_count;
}

/* ---------------------------------------------------------------------------------------------------------------- bodies */

void
convert_index_add_body(struct convert_index *index, unsigned old_shard, uint64_t number)
{
    if (index->out_of_memory) {
        return;
    }
    struct convert_bodies *b = &index->bodies[old_shard];
    /* Most come in their order, and copies behind one another. */
    if (b->count > 0 && b->numbers[b->count - 1] == number) {
        return;
    }
    if (need_room(index, (void **)&b->numbers, &b->room, b->count, sizeof *b->numbers)) {
        b->numbers[b->count++] = number;
    }
}

void
convert_index_add_reference(struct convert_index *index, unsigned old_shard, uint64_t body, uint64_t session)
{
    if (index->out_of_memory) {
        return;
    }
    struct convert_bodies *b = &index->bodies[old_shard];
    if (need_room(index, (void **)&b->references, &b->reference_room, b->reference_count, sizeof *b->references)) {
        b->references[b->reference_count++] = (struct convert_reference){body, session};
    }
}

static int
compare_numbers(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static int
compare_references(const void *a, const void *b)
{
    const struct convert_reference *x = a, *y = b;
    return (x->body > y->body) - (x->body < y->body);
}

/* Each number once. */
static void
settle_numbers(struct convert_bodies *b)
{
    uint64_t kept = 0;
    if (b->count > 0) {
        qsort(b->numbers, b->count, sizeof *b->numbers, compare_numbers);
    }
    for (uint64_t i = 0; i < b->count; i++) {
        if (kept == 0 || b->numbers[kept - 1] != b->numbers[i]) {
            b->numbers[kept++] = b->numbers[i];
        }
    }
    b->count = kept;
}

/* Each body once, with all the shards. */
static void
settle_references(const struct convert_index *index, struct convert_bodies *b)
{
    uint64_t kept = 0;
    if (b->reference_count > 0) {
        qsort(b->references, b->reference_count, sizeof *b->references, compare_references);
    }
    for (uint64_t i = 0; i < b->reference_count; i++) {
        uint8_t shard = convert_index_shard(index, b->references[i].session);
        uint64_t mask = shard != CONVERT_SHARD_NONE ? UINT64_C(1) << shard : 0;
        if (kept > 0 && b->references[kept - 1].body == b->references[i].body) {
            b->references[kept - 1].session |= mask;
        } else {
            b->references[kept++] = (struct convert_reference){b->references[i].body, mask};
        }
    }
    b->reference_count = kept;
}

void
convert_index_settle(struct convert_index *index)
{
    uint64_t before = 0;
    for (unsigned i = 0; !index->out_of_memory && i < index->shard_count; i++) {
        settle_numbers(&index->bodies[i]);
        settle_references(index, &index->bodies[i]);
        index->bodies[i].before = before;
        before += index->bodies[i].count;
    }
}

uint64_t
convert_index_body(const struct convert_index *index, unsigned old_shard, uint64_t number)
{
    const struct convert_bodies *b = &index->bodies[old_shard];
    const uint64_t *found = b->count > 0 ? bsearch(&number, b->numbers, b->count, sizeof *b->numbers, compare_numbers) : NULL;
    return found != NULL ? b->before + (uint64_t)(found - b->numbers) + 1 : 0;
}

uint64_t
convert_index_references(const struct convert_index *index, unsigned old_shard, uint64_t body)
{
    const struct convert_bodies *b = &index->bodies[old_shard];
    struct convert_reference wanted = {.body = body};
    const struct convert_reference *found =
        b->reference_count > 0 ? bsearch(&wanted, b->references, b->reference_count, sizeof *b->references, compare_references) : NULL;
    return found != NULL ? found->session : 0;
}
