/*
 *   record:   | size, 4 B | unused, 4 B | body, padded to 8 |          the next one follows directly
 *   wrap:     | WRAP      | unused      |  (the rest of the ring is skipped)
 *
 *   ring:     ... released | read, not released | to read in this pass | published | committed | free ...
 *                          ^ head               ^ read                 ^ pass_end  ^ tail      ^ write
 *
 * Positions count bytes since the start and never wrap in practice (64 bits); the place in the ring is position & RING_MASK.
 *
 * Waking. A producer stores `tail`, then looks at the target's `sleeping`; a consumer sets `sleeping`, then looks at the tails. All four are seq_cst, so at
 * least one of the two sees the other (M3), and whoever exchanges `sleeping` to false does the waking (M4). A single fence per turn would do for all targets,
 * but ThreadSanitizer cannot see fences, and one xchg per target and turn is not worth losing that.
 *
 * A producer that sleeps while its overflow waits for room is woken the same way: mesh_sleep() sets `sleeping`, then `starved`, then looks at `head`; the
 * consumer stores `head`, looks at `starved`, and lets its own next mesh_publish() name the producer if it still sleeps.
 */
#include "engine/mesh.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SHARDS_MAX 64
#define CACHE_LINE 64
#define RING_MASK (MESH_RING_BYTES - 1)
#define WRAP UINT32_MAX
#define HEADER_BYTES 8
/* How much a consumer reads before it gives the room back within a pass. */
#define RELEASE_BYTES (MESH_RING_BYTES / 8)
/* Room of an overflow block. Larger: fewer allocations while behind. */
#define BLOCK_BYTES (256u * 1024)

_Static_assert((MESH_RING_BYTES & RING_MASK) == 0, "a power of two");
_Static_assert(MESH_RECORD_MAX + HEADER_BYTES <= BLOCK_BYTES, "every record fits into a block");
_Static_assert(2 * (MESH_RECORD_MAX + HEADER_BYTES) <= MESH_RING_BYTES, "a record and the skip before it fit into an empty ring");

struct header {
    uint32_t size;
    uint32_t unused;
};

/* Records that did not fit into the ring, in order. */
struct block {
    struct block *next;
    uint32_t used; /* bytes of committed records */
    uint32_t read; /* of those, already moved into the ring */
    _Alignas(8) uint8_t bytes[BLOCK_BYTES];
};

/* One direction between two shards. What one side writes lies apart from what the other side writes. */
struct pair {
    /* The producer's. */
    _Alignas(2 * CACHE_LINE) _Atomic uint64_t tail;
    _Atomic uint64_t overflow_in, overflow_out; /* seldom written, so beside tail */
    _Alignas(CACHE_LINE) uint64_t write;
    uint64_t published; /* what tail holds */
    uint64_t head_seen;
    uint8_t *reserved;  /* the header of the record under way; NULL: none */
    uint32_t reserved_size;
    struct block *reserved_block; /* NULL: it lies in the ring */
    struct block *first, *last;   /* overflow */

    /* The consumer's; `starved` is set by the producer and cleared by the consumer. */
    _Alignas(2 * CACHE_LINE) _Atomic uint64_t head;
    atomic_bool starved;
    _Alignas(CACHE_LINE) uint64_t read;
    uint64_t pass_end;
    uint64_t released; /* what head holds */
};

/* One shard's own state. */
struct port {
    /* Seen by all. */
    _Alignas(2 * CACHE_LINE) atomic_bool sleeping;
    _Alignas(CACHE_LINE) _Atomic uint64_t backlog;
    /* The shard's alone. */
    _Alignas(CACHE_LINE) uint64_t dirty; /* targets with committed records that are not published */
    uint64_t overflowing;                /* targets with overflow */
    uint64_t unread;                     /* sources that this pass still reads */
    uint64_t feed;                       /* sources that waited for the room that we have made since the last publish */
};

struct mesh {
    unsigned shard_count;
    uint8_t *rings;
    struct pair *pairs; /* [from * shard_count + to] */
    struct port ports[SHARDS_MAX];
};

static struct pair *
pair_of(const struct mesh *mesh, unsigned from, unsigned to)
{
    return &mesh->pairs[from * mesh->shard_count + to];
}

static uint8_t *
ring_at(const struct mesh *mesh, unsigned from, unsigned to, uint64_t position)
{
    return mesh->rings + (size_t)(from * mesh->shard_count + to) * MESH_RING_BYTES + (position & RING_MASK);
}

static uint64_t
bit_of(unsigned shard)
{
    return (uint64_t)1 << shard;
}

static uint32_t
padded(uint32_t size)
{
    return HEADER_BYTES + ((size + 7) & ~7u);
}

static size_t
rings_bytes(unsigned shard_count)
{
    return (size_t)shard_count * shard_count * MESH_RING_BYTES;
}

/* Address space for all rings. Pages come on first use, and as small ones: huge pages would make barely used rings resident as a whole. */
static uint8_t *
map_rings(unsigned shard_count)
{
    void *rings = mmap(NULL, rings_bytes(shard_count), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (rings == MAP_FAILED) {
        return NULL;
    }
    (void)madvise(rings, rings_bytes(shard_count), MADV_NOHUGEPAGE); /* fails harmlessly on kernels without huge pages */
    return rings;
}

struct mesh *
mesh_init(unsigned shard_count)
{
    assert(shard_count >= 1 && shard_count <= SHARDS_MAX);

    size_t pairs_bytes = (size_t)shard_count * shard_count * sizeof(struct pair);
    struct mesh *mesh = aligned_alloc(_Alignof(struct mesh), sizeof *mesh);
    struct pair *pairs = aligned_alloc(_Alignof(struct pair), pairs_bytes);
    uint8_t *rings = map_rings(shard_count);
    if (mesh == NULL || pairs == NULL || rings == NULL) {
        free(mesh);
        free(pairs);
        if (rings != NULL) {
            munmap(rings, rings_bytes(shard_count));
        }
        return NULL;
    }
    memset(mesh, 0, sizeof *mesh);
    memset(pairs, 0, pairs_bytes);
    mesh->shard_count = shard_count;
    mesh->pairs = pairs;
    mesh->rings = rings;
    return mesh;
}

static void
free_blocks(struct pair *pair)
{
    while (pair->first != NULL) {
        struct block *next = pair->first->next;
        free(pair->first);
        pair->first = next;
    }
    pair->last = NULL;
}

void
mesh_fini(struct mesh **meshp)
{
    struct mesh *mesh = *meshp;
    *meshp = NULL;
    if (mesh == NULL) {
        return;
    }
    for (unsigned i = 0; i < mesh->shard_count * mesh->shard_count; i++) {
        free_blocks(&mesh->pairs[i]);
    }
    munmap(mesh->rings, rings_bytes(mesh->shard_count));
    free(mesh->pairs);
    free(mesh);
}

/* ------------------------------------------------------------------------------------------------------------- producer */

/* Bytes that a record of `bytes` in all would take at the write position, with what it would have to skip. */
static uint32_t
bytes_with_skip(const struct pair *pair, uint32_t bytes)
{
    uint32_t to_end = MESH_RING_BYTES - (uint32_t)(pair->write & RING_MASK);
    return bytes <= to_end ? bytes : to_end + bytes;
}

static bool
ring_has_room(struct pair *pair, uint32_t bytes)
{
    uint64_t needed = bytes_with_skip(pair, bytes);
    if (needed <= MESH_RING_BYTES - (pair->write - pair->head_seen)) {
        return true;
    }
    /* Looks full. Seq_cst: pairs with the store in release_read(); acquire would do but for the producer that goes to sleep starved. */
    pair->head_seen = atomic_load_explicit(&pair->head, memory_order_seq_cst);
    return needed <= MESH_RING_BYTES - (pair->write - pair->head_seen);
}

/* Skips to the ring's start if `bytes` would not fit before its end. Only when there is room. */
static void
wrap_for(const struct mesh *mesh, unsigned from, unsigned to, uint32_t bytes)
{
    struct pair *pair = pair_of(mesh, from, to);
    uint32_t skip = bytes_with_skip(pair, bytes) - bytes;
    if (skip > 0) {
        ((struct header *)ring_at(mesh, from, to, pair->write))->size = WRAP;
        pair->write += skip;
    }
}

static struct block *
add_block(struct pair *pair)
{
    struct block *block = malloc(sizeof *block);
    if (block == NULL) {
        fprintf(stderr, "tidewire: out of memory for records between shards (%u bytes)\n", (unsigned)sizeof *block);
        abort();
    }
    block->next = NULL;
    block->used = 0;
    block->read = 0;
    if (pair->last != NULL) {
        pair->last->next = block;
    } else {
        pair->first = block;
    }
    pair->last = block;
    return block;
}

void *
mesh_reserve(struct mesh *mesh, unsigned from, unsigned to, uint32_t size)
{
    assert(size >= 1 && size <= MESH_RECORD_MAX && from != to && from < mesh->shard_count && to < mesh->shard_count);

    struct pair *pair = pair_of(mesh, from, to);
    uint32_t bytes = padded(size);
    /* Once something overflows all that follows does, until mesh_publish() has moved it (M1). */
    if (pair->first == NULL && ring_has_room(pair, bytes)) {
        wrap_for(mesh, from, to, bytes);
        pair->reserved = ring_at(mesh, from, to, pair->write);
        pair->reserved_block = NULL;
    } else {
        struct block *block = pair->last;
        if (block == NULL || bytes > BLOCK_BYTES - block->used) {
            block = add_block(pair);
        }
        pair->reserved = block->bytes + block->used;
        pair->reserved_block = block;
        mesh->ports[from].overflowing |= bit_of(to);
    }
    pair->reserved_size = size;
    return pair->reserved + HEADER_BYTES;
}

static void
grow_backlog(struct port *port, int64_t by)
{
    /* One writer: a plain addition, shown to whoever looks. */
    uint64_t backlog = atomic_load_explicit(&port->backlog, memory_order_relaxed);
    atomic_store_explicit(&port->backlog, backlog + (uint64_t)by, memory_order_relaxed);
}

/* As above. Release: who sees the sum sees the tail that was stored before it (M5); pairs with mesh_overflow_out(). */
static void
add_shown(_Atomic uint64_t *sum, uint64_t by)
{
    atomic_store_explicit(sum, atomic_load_explicit(sum, memory_order_relaxed) + by, memory_order_release);
}

void
mesh_commit(struct mesh *mesh, unsigned from, unsigned to, uint32_t size)
{
    struct pair *pair = pair_of(mesh, from, to);
    struct port *port = &mesh->ports[from];
    assert(pair->reserved != NULL && size >= 1 && size <= pair->reserved_size); /* M2 */

    ((struct header *)pair->reserved)->size = size;
    pair->reserved = NULL;
    if (pair->reserved_block == NULL) {
        pair->write += padded(size);
        port->dirty |= bit_of(to);
    } else {
        pair->reserved_block->used += padded(size);
        grow_backlog(port, padded(size));
        add_shown(&pair->overflow_in, padded(size));
    }
}

/* Moves records of the first overflow block into the ring while they fit, and counts them. True if all went. */
static bool
move_block(struct mesh *mesh, unsigned from, unsigned to, struct block *block, uint64_t *moved)
{
    struct pair *pair = pair_of(mesh, from, to);
    while (block->read < block->used) {
        const uint8_t *record = block->bytes + block->read;
        uint32_t bytes = padded(((const struct header *)record)->size);
        if (!ring_has_room(pair, bytes)) {
            return false;
        }
        wrap_for(mesh, from, to, bytes);
        memcpy(ring_at(mesh, from, to, pair->write), record, bytes);
        pair->write += bytes;
        block->read += bytes;
        *moved += bytes;
        grow_backlog(&mesh->ports[from], -(int64_t)bytes);
    }
    return true;
}

/* Returns the bytes that found room. */
static uint64_t
move_overflow(struct mesh *mesh, unsigned from, unsigned to)
{
    struct pair *pair = pair_of(mesh, from, to);
    uint64_t moved = 0;
    while (pair->first != NULL && move_block(mesh, from, to, pair->first, &moved)) {
        struct block *done = pair->first;
        pair->first = done->next;
        free(done);
    }
    if (pair->first == NULL) {
        pair->last = NULL;
        mesh->ports[from].overflowing &= ~bit_of(to);
    }
    return moved;
}

/* True if this caller is the one to wake the shard (M4). */
static bool
claim_wake(struct mesh *mesh, unsigned shard)
{
    atomic_bool *sleeping = &mesh->ports[shard].sleeping;
    /* Seq_cst: after the store of tail or head; pairs with the exchange in mesh_sleep(). */
    return atomic_load_explicit(sleeping, memory_order_seq_cst) && atomic_exchange_explicit(sleeping, false, memory_order_seq_cst);
}

uint64_t
mesh_publish(struct mesh *mesh, unsigned from)
{
    struct port *port = &mesh->ports[from];
    uint64_t woken = 0;
    for (uint64_t targets = port->dirty | port->overflowing; targets != 0; targets &= targets - 1) {
        unsigned to = (unsigned)__builtin_ctzll(targets);
        struct pair *pair = pair_of(mesh, from, to);
        uint64_t moved = 0;
        if (port->overflowing & bit_of(to)) {
            pair->reserved = NULL; /* given up: its block may go now */
            moved = move_overflow(mesh, from, to);
        }
        if (pair->write != pair->published) {
            pair->published = pair->write;
            /* Seq_cst, so also release: who loads this tail in mesh_begin() or mesh_sleep() sees the records. */
            atomic_store_explicit(&pair->tail, pair->write, memory_order_seq_cst);
            woken |= claim_wake(mesh, to) ? bit_of(to) : 0;
        }
        if (moved > 0) {
            add_shown(&pair->overflow_out, moved);
        }
    }
    for (; port->feed != 0; port->feed &= port->feed - 1) {
        unsigned source = (unsigned)__builtin_ctzll(port->feed);
        woken |= claim_wake(mesh, source) ? bit_of(source) : 0;
    }
    port->dirty = 0;
    return woken;
}

uint64_t
mesh_backlog(const struct mesh *mesh, unsigned from)
{
    return atomic_load_explicit(&mesh->ports[from].backlog, memory_order_relaxed);
}

uint64_t
mesh_overflow_in(const struct mesh *mesh, unsigned from, unsigned to)
{
    return atomic_load_explicit(&pair_of(mesh, from, to)->overflow_in, memory_order_acquire);
}

uint64_t
mesh_overflow_out(const struct mesh *mesh, unsigned from, unsigned to)
{
    /* Acquire: pairs with add_shown() in mesh_publish(); the next mesh_begin() sees the tail. */
    return atomic_load_explicit(&pair_of(mesh, from, to)->overflow_out, memory_order_acquire);
}

/* ------------------------------------------------------------------------------------------------------------- consumer */

void
mesh_begin(struct mesh *mesh, unsigned to)
{
    struct port *port = &mesh->ports[to];
    assert(port->unread == 0); /* the last pass ran to its end */
    for (unsigned from = 0; from < mesh->shard_count; from++) {
        struct pair *pair = pair_of(mesh, from, to);
        /* Acquire: pairs with the store in mesh_publish(). */
        pair->pass_end = atomic_load_explicit(&pair->tail, memory_order_acquire);
        if (pair->pass_end != pair->read) {
            port->unread |= bit_of(from);
        }
    }
}

bool
mesh_waiting(const struct mesh *mesh, unsigned shard)
{
    for (unsigned from = 0; from < mesh->shard_count; from++) {
        const struct pair *pair = pair_of((struct mesh *)(uintptr_t)mesh, from, shard);
        if (from != shard && atomic_load_explicit(&pair->tail, memory_order_acquire) != pair->read) {
            return true;
        }
    }
    return mesh_backlog(mesh, shard) > 0;
}

/* Gives the room of what was read back to the producer, and remembers one that waits for it. */
static void
release_read(struct port *port, struct pair *pair, unsigned from)
{
    pair->released = pair->read;
    /* Seq_cst, so also release: we are done with these bytes. Pairs with the load in ring_has_room(). */
    atomic_store_explicit(&pair->head, pair->read, memory_order_seq_cst);
    if (atomic_load_explicit(&pair->starved, memory_order_seq_cst)) {
        atomic_store_explicit(&pair->starved, false, memory_order_seq_cst);
        port->feed |= bit_of(from);
    }
}

const void *
mesh_next(struct mesh *mesh, unsigned to, unsigned *from, uint32_t *size)
{
    struct port *port = &mesh->ports[to];
    while (port->unread != 0) {
        unsigned source = (unsigned)__builtin_ctzll(port->unread);
        struct pair *pair = pair_of(mesh, source, to);
        if (pair->read == pair->pass_end) {
            release_read(port, pair, source);
            port->unread &= port->unread - 1;
            continue;
        }
        if (pair->read - pair->released >= RELEASE_BYTES) {
            release_read(port, pair, source);
        }
        const uint8_t *record = ring_at(mesh, source, to, pair->read);
        uint32_t record_size = ((const struct header *)record)->size;
        if (record_size == WRAP) {
            pair->read = (pair->read | RING_MASK) + 1;
            continue;
        }
        assert(record_size >= 1 && record_size <= MESH_RECORD_MAX);
        pair->read += padded(record_size);
        *from = source;
        *size = record_size;
        return record + HEADER_BYTES;
    }
    return NULL;
}

/* --------------------------------------------------------------------------------------------------------------- waking */

static bool
anything_inbound(const struct mesh *mesh, unsigned to)
{
    for (unsigned from = 0; from < mesh->shard_count; from++) {
        const struct pair *pair = pair_of(mesh, from, to);
        if (atomic_load_explicit(&pair->tail, memory_order_seq_cst) != pair->read) {
            return true;
        }
    }
    return false;
}

/* Asks the target to tell when it makes room. True if it has done so already for the first record that overflowed. */
static bool
overflow_fits(struct pair *pair)
{
    const struct block *block = pair->first;
    if (block == NULL || block->read == block->used) {
        return true; /* nothing but a reservation that was given up: for the next publish to clear */
    }
    /* Seq_cst: between setting `sleeping` and loading head; pairs with the load in release_read(). */
    atomic_store_explicit(&pair->starved, true, memory_order_seq_cst);
    return ring_has_room(pair, padded(((const struct header *)(block->bytes + block->read))->size));
}

static bool
any_overflow_fits(const struct mesh *mesh, unsigned from)
{
    for (uint64_t targets = mesh->ports[from].overflowing; targets != 0; targets &= targets - 1) {
        if (overflow_fits(pair_of(mesh, from, (unsigned)__builtin_ctzll(targets)))) {
            return true;
        }
    }
    return false;
}

bool
mesh_sleep(struct mesh *mesh, unsigned to)
{
    const struct port *port = &mesh->ports[to];
    assert(port->dirty == 0); /* all is published */
    if (port->feed != 0) {
        return false; /* somebody waits for room that a pass after the last publish has made: the next publish tells them */
    }

    /* Seq_cst: before the looks at tail and head; pairs with claim_wake(). */
    atomic_exchange_explicit(&mesh->ports[to].sleeping, true, memory_order_seq_cst);
    if (anything_inbound(mesh, to) || any_overflow_fits(mesh, to)) {
        mesh_awake(mesh, to);
        return false;
    }
    return true;
}

void
mesh_awake(struct mesh *mesh, unsigned to)
{
    /* Relaxed would do for the flag; seq_cst keeps it in one order with the producers' exchanges. */
    atomic_store_explicit(&mesh->ports[to].sleeping, false, memory_order_seq_cst);
}
