#include "engine/journal/waiting.h"

#include "engine/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Of records that are not larger: a block is what waits while a write is under way, at some hundred thousand records a second. */
#define BLOCK_BYTES (256u << 10)

struct waiting_block {
    uint64_t start; /* position of its first byte */
    uint64_t used, room;
    _Alignas(16) uint8_t bytes[];
};

/* What state says must not depend on whether a record of it could be had. */
static void *
must(void *memory)
{
    if (memory == NULL) {
        log_line(CONFIG_LOG_ERROR, "Error: out of memory for the journal");
        abort();
    }
    return memory;
}

void
waiting_init(struct waiting *w, struct budget_account *account)
{
    *w = (struct waiting){.account = account};
}

static void
free_block(struct waiting *w, struct waiting_block *block)
{
    if (block != NULL) {
        budget_refund(w->account, sizeof *block + block->room);
        free(block);
    }
}

void
waiting_fini(struct waiting *w)
{
    for (uint32_t i = 0; i < w->count; i++) {
        free_block(w, w->blocks[w->oldest + i]);
    }
    free_block(w, w->spare);
    free(w->blocks);
    *w = (struct waiting){.account = w->account};
}

void
waiting_set_position(struct waiting *w, uint64_t position)
{
    assert(w->count == 0 && w->first == w->end);
    w->first = w->end = position;
}

static struct waiting_block *
make_block(struct waiting *w, uint64_t room)
{
    struct waiting_block *block = must(malloc(sizeof *block + room));
    block->room = room;
    budget_charge(w->account, sizeof *block + room);
    return block;
}

static struct waiting_block *
take_block(struct waiting *w, uint64_t needed)
{
    struct waiting_block *block = w->spare;
    if (block == NULL || needed > BLOCK_BYTES) {
        block = make_block(w, needed > BLOCK_BYTES ? needed : BLOCK_BYTES);
    } else {
        w->spare = NULL;
    }
    block->start = w->end;
    block->used = 0;
    return block;
}

static void
make_room_for_block(struct waiting *w)
{
    if (w->oldest + w->count < w->room) {
        return;
    }
    if (w->oldest > w->room / 2) {
        memmove(w->blocks, w->blocks + w->oldest, w->count * sizeof *w->blocks);
        w->oldest = 0;
        return;
    }
    w->room = w->room > 0 ? w->room * 2 : 8;
    w->blocks = must(realloc(w->blocks, w->room * sizeof *w->blocks));
}

static struct waiting_block *
newest_block(const struct waiting *w)
{
    return w->count > 0 ? w->blocks[w->oldest + w->count - 1] : NULL;
}

struct waiting_record *
waiting_append(struct waiting *w, uint8_t type, uint32_t size)
{
    uint64_t footprint = waiting_footprint(size);
    struct waiting_block *block = newest_block(w);
    if (block == NULL || footprint > block->room - block->used) {
        make_room_for_block(w);
        block = take_block(w, footprint);
        w->blocks[w->oldest + w->count++] = block;
    }
    struct waiting_record *record = (struct waiting_record *)(block->bytes + block->used);
    *record = (struct waiting_record){.size = size, .type = type, .position = w->end};
    block->used += footprint;
    w->end += footprint;
    return record;
}

/* The block with this position, by halving. */
static struct waiting_block *
find_block(const struct waiting *w, uint64_t position)
{
    uint32_t low = 0, high = w->count; /* blocks[low] starts at or before it, blocks[high] behind it */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (w->blocks[w->oldest + middle]->start <= position) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return w->blocks[w->oldest + low];
}

struct waiting_record *
waiting_find(const struct waiting *w, uint64_t position)
{
    if (position < w->first || position >= w->end) {
        return NULL;
    }
    struct waiting_block *block = find_block(w, position);
    struct waiting_record *record = (struct waiting_record *)(block->bytes + (position - block->start));
    assert(record->position == position);
    return record->voided ? NULL : record;
}

void
waiting_void(struct waiting *w, struct waiting_record *record)
{
    assert(!record->voided);
    record->voided = true;
    w->voided_bytes += waiting_footprint(record->size);
}

/* The oldest block is empty. One is kept for what comes next. */
static void
drop_block(struct waiting *w)
{
    struct waiting_block *block = w->blocks[w->oldest];
    w->oldest++;
    w->count--;
    if (w->count == 0) {
        w->oldest = 0;
    }
    if (w->spare == NULL && block->room == BLOCK_BYTES) {
        w->spare = block;
    } else {
        free_block(w, block);
    }
}

static struct waiting_record *
oldest_record(const struct waiting *w)
{
    struct waiting_block *block = w->blocks[w->oldest];
    return (struct waiting_record *)(block->bytes + (w->first - block->start));
}

static void
pass(struct waiting *w, const struct waiting_record *record)
{
    struct waiting_block *block = w->blocks[w->oldest];
    w->first += waiting_footprint(record->size);
    if (w->first == block->start + block->used) {
        drop_block(w);
    }
}

struct waiting_record *
waiting_first(struct waiting *w)
{
    while (w->first < w->end) {
        struct waiting_record *record = oldest_record(w);
        if (!record->voided) {
            return record;
        }
        w->voided_bytes -= waiting_footprint(record->size);
        pass(w, record);
    }
    return NULL;
}

void
waiting_take(struct waiting *w)
{
    pass(w, waiting_first(w));
}
