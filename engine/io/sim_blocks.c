#include "engine/io/sim_blocks.h"

#include <assert.h>
#include <string.h>

#include "engine/io/sim_common.h"

#define CHUNK_BYTES 4096u

struct unsynced {
    struct unsynced *next;
    uint64_t number;
    uint64_t offset;
    size_t size;
    bool zero;     /* no bytes: all of them are 0 */
    bool doubtful;
    uint8_t bytes[];
};

static bool
is_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static void
need_chunks(struct blocks *b, uint64_t size)
{
    size_t wanted = (size_t)((size + CHUNK_BYTES - 1) / CHUNK_BYTES);
    if (wanted <= b->chunk_count) {
        return;
    }
    size_t count = wanted > b->chunk_count * 2 ? wanted : b->chunk_count * 2;
    b->stable = must(realloc(b->stable, count * sizeof *b->stable));
    b->fresh = must(realloc(b->fresh, count * sizeof *b->fresh));
    for (size_t i = b->chunk_count; i < count; i++) {
        b->stable[i] = NULL;
        b->fresh[i] = NULL;
    }
    b->chunk_count = count;
}

/* The part of [offset, offset + size) that lies in its first chunk. */
static size_t
first_part(uint64_t offset, size_t size)
{
    size_t room = CHUNK_BYTES - (size_t)(offset % CHUNK_BYTES);
    return size < room ? size : room;
}

static void
fill(uint8_t *at, const uint8_t *bytes, size_t size)
{
    if (bytes == NULL) {
        memset(at, 0, size);
    } else {
        memcpy(at, bytes, size);
    }
}

/* `bytes` NULL: zeros. */
static void
put_stable(struct blocks *b, uint64_t offset, const uint8_t *bytes, size_t size)
{
    for (size_t part; size > 0; offset += part, size -= part) {
        part = first_part(offset, size);
        uint8_t **chunk = &b->stable[offset / CHUNK_BYTES];
        if (*chunk == NULL && bytes != NULL) {
            *chunk = must(calloc(1, CHUNK_BYTES));
        }
        if (*chunk != NULL) {
            fill(*chunk + offset % CHUNK_BYTES, bytes, part);
        }
        bytes = bytes == NULL ? NULL : bytes + part;
    }
}

static uint8_t *
need_fresh(struct blocks *b, size_t at)
{
    if (b->fresh[at] == NULL) {
        b->fresh[at] = must(calloc(1, CHUNK_BYTES));
        if (b->stable[at] != NULL) {
            memcpy(b->fresh[at], b->stable[at], CHUNK_BYTES);
        }
        b->fresh_to = b->fresh_to > at + 1 ? b->fresh_to : at + 1;
        b->fresh_from = b->fresh_from < at ? b->fresh_from : at;
    }
    return b->fresh[at];
}

static void
put_fresh(struct blocks *b, uint64_t offset, const uint8_t *bytes, size_t size)
{
    for (size_t part; size > 0; offset += part, size -= part) {
        part = first_part(offset, size);
        size_t at = (size_t)(offset / CHUNK_BYTES);
        if (bytes != NULL || b->stable[at] != NULL || b->fresh[at] != NULL) {
            fill(need_fresh(b, at) + offset % CHUNK_BYTES, bytes, part);
        }
        bytes = bytes == NULL ? NULL : bytes + part;
    }
}

static void
drop_fresh(struct blocks *b)
{
    for (size_t i = b->fresh_from; i < b->fresh_to; i++) {
        free(b->fresh[i]);
        b->fresh[i] = NULL;
    }
    b->fresh_from = SIZE_MAX;
    b->fresh_to = 0;
}

size_t
blocks_read(const struct blocks *b, uint64_t offset, void *out, size_t size)
{
    if (offset >= b->size) {
        return 0;
    }
    size = b->size - offset < size ? (size_t)(b->size - offset) : size;
    uint8_t *at = out;
    for (size_t left = size, part; left > 0; offset += part, at += part, left -= part) {
        part = first_part(offset, left);
        size_t chunk = (size_t)(offset / CHUNK_BYTES);
        const uint8_t *from = b->fresh[chunk] != NULL ? b->fresh[chunk] : b->stable[chunk];
        fill(at, from == NULL ? NULL : from + offset % CHUNK_BYTES, part);
    }
    return size;
}

static struct unsynced *
make_unsynced(uint64_t number, uint64_t offset, const uint8_t *bytes, size_t size, bool doubtful)
{
    bool zero = bytes == NULL || is_zero(bytes, size);
    struct unsynced *w = must(malloc(sizeof *w + (zero ? 0 : size)));
    *w = (struct unsynced){.number = number, .offset = offset, .size = size, .zero = zero, .doubtful = doubtful};
    if (!zero) {
        memcpy(w->bytes, bytes, size);
    }
    return w;
}

uint64_t
blocks_write(struct blocks *b, uint64_t offset, const void *bytes, size_t size, bool doubtful)
{
    struct unsynced *w = make_unsynced(++b->last_write, offset, bytes, size, doubtful);
    if (b->last != NULL) {
        b->last->next = w;
    } else {
        b->first = w;
        b->fresh_from = SIZE_MAX;
        b->fresh_to = 0;
    }
    b->last = w;
    need_chunks(b, offset + size);
    b->size = b->size > offset + size ? b->size : offset + size;
    put_fresh(b, offset, w->zero ? NULL : w->bytes, size);
    return w->number;
}

static const uint8_t *
bytes_of(const struct unsynced *w, size_t from)
{
    return w->zero ? NULL : w->bytes + from;
}

/* What is left of a write of which [from, to) has been superseded: up to two smaller ones, in a list. The write is freed. */
static struct unsynced *
cut_one(struct unsynced *w, uint64_t from, uint64_t to)
{
    uint64_t end = w->offset + w->size;
    struct unsynced *left = NULL;
    if (to < end) {
        left = make_unsynced(w->number, to, bytes_of(w, (size_t)(to - w->offset)), (size_t)(end - to), w->doubtful);
    }
    if (from > w->offset) {
        struct unsynced *head = make_unsynced(w->number, w->offset, bytes_of(w, 0), (size_t)(from - w->offset), w->doubtful);
        head->next = left;
        left = head;
    }
    free(w);
    return left;
}

static bool
overlaps(const struct unsynced *a, const struct unsynced *b)
{
    return a->offset < b->offset + b->size && b->offset < a->offset + a->size;
}

/* B1: writes before `settled` lose what it covers. */
static void
cut_older(struct blocks *b, const struct unsynced *settled)
{
    struct unsynced **at = &b->first;
    while (*at != settled) {
        struct unsynced *w = *at, *rest = w->next;
        if (!overlaps(w, settled)) {
            at = &w->next;
            continue;
        }
        *at = cut_one(w, settled->offset, settled->offset + settled->size);
        while (*at != NULL) {
            at = &(*at)->next;
        }
        *at = rest;
    }
}

static void
unlink_write(struct blocks *b, struct unsynced *w)
{
    struct unsynced **at = &b->first, *before = NULL;
    while (*at != w) {
        before = *at;
        at = &before->next;
    }
    *at = w->next;
    b->last = b->last == w ? before : b->last;
}

static void
settle(struct blocks *b, struct unsynced *w)
{
    cut_older(b, w);
    put_stable(b, w->offset, bytes_of(w, 0), w->size);
    uint64_t end = w->offset + w->size;
    b->stable_size = b->stable_size > end ? b->stable_size : end;
    unlink_write(b, w);
    free(w);
    if (b->first == NULL) {
        drop_fresh(b);
    }
}

/* The first part of a write that is not settled and not doubtful, with a number from `from` to `to`. */
static struct unsynced *
find(const struct blocks *b, uint64_t from, uint64_t to)
{
    struct unsynced *w = b->first;
    while (w != NULL && (w->number < from || w->number > to || w->doubtful)) {
        w = w->next;
    }
    return w;
}

void
blocks_settle(struct blocks *b, uint64_t number)
{
    /* It may have been cut to pieces, or be there no more. */
    for (struct unsynced *w; (w = find(b, number, number)) != NULL;) {
        settle(b, w);
    }
}

void
blocks_settle_all(struct blocks *b, uint64_t number)
{
    for (struct unsynced *w; (w = find(b, 0, number)) != NULL;) {
        settle(b, w);
    }
}

void
blocks_doubt_all(struct blocks *b, uint64_t number)
{
    for (struct unsynced *w = b->first; w != NULL && w->number <= number; w = w->next) {
        w->doubtful = true;
    }
}

/* The end of the sector that an offset lies in. */
static uint64_t
sector_end(uint64_t offset)
{
    return offset - offset % BLOCKS_SECTOR_BYTES + BLOCKS_SECTOR_BYTES;
}

static void
keep_some(struct blocks *b, const struct unsynced *w, struct rng *rng)
{
    /* In 16ths: writes that are whole, or gone, or nearly so, are as likely as those of which one half is there. */
    static const uint8_t chances[] = {0, 1, 8, 15, 16};
    uint64_t chance = chances[rng_below(rng, sizeof chances)];
    uint64_t end = w->offset + w->size;
    for (uint64_t at = w->offset, next; at < end; at = next) {
        next = sector_end(at) < end ? sector_end(at) : end;
        if (rng_below(rng, 16) < chance) {
            put_stable(b, at, bytes_of(w, (size_t)(at - w->offset)), (size_t)(next - at));
            b->stable_size = b->stable_size > next ? b->stable_size : next;
        }
    }
    if (end > b->stable_size && rng_below(rng, 2) == 0) {
        b->stable_size = end; /* the new size without the bytes */
    }
}

void
blocks_crash(struct blocks *b, struct rng *rng)
{
    while (b->first != NULL) {
        struct unsynced *w = b->first;
        keep_some(b, w, rng);
        b->first = w->next;
        free(w);
    }
    b->last = NULL;
    drop_fresh(b);
    b->size = b->stable_size;
}

void
blocks_flip(struct blocks *b, struct rng *rng)
{
    assert(b->size > 0);
    uint64_t offset = rng_below(rng, b->size);
    size_t at = (size_t)(offset / CHUNK_BYTES);
    uint8_t bit = (uint8_t)(1u << rng_below(rng, 8));
    if (b->stable[at] == NULL) {
        b->stable[at] = must(calloc(1, CHUNK_BYTES));
        /* A fresh chunk that is not there means the stable one. */
    }
    b->stable[at][offset % CHUNK_BYTES] ^= bit;
    if (b->fresh[at] != NULL) {
        b->fresh[at][offset % CHUNK_BYTES] ^= bit;
    }
}

void
blocks_fini(struct blocks *b)
{
    while (b->first != NULL) {
        struct unsynced *w = b->first;
        b->first = w->next;
        free(w);
    }
    for (size_t i = 0; i < b->chunk_count; i++) {
        free(b->stable[i]);
        free(b->fresh[i]);
    }
    free(b->stable);
    free(b->fresh);
    *b = (struct blocks){0};
}
