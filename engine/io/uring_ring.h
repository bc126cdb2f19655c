/*
 * uring_ring: one io_uring, reduced to what a shard does with it: take a submission entry, submit and wait, look at completions,
 * and hand receive buffers to the kernel.
 *
 * liburing maps and unmaps the ring; submitting and waiting is done here, because Debian's liburing (2.3) knows neither min_wait nor
 * how to enable a ring.
 *
 * Invariants
 *   U1  entries [*sq.khead, sq_tail) are ours to fill or filled; the kernel sees them when they are submitted, in order.
 *   U2  a completion stays in place until ring_seen().
 *   U3  buffers_given <= buffer_count: a receive buffer is in the kernel's hands, or named by a completion, or lent to the engine.
 *
 * Threads  ring_open and ring_close: set-up. ring_enable and all others: the thread that owns the ring (SINGLE_ISSUER).
 * Memory   the ring owns its mappings. Entries and completions are borrowed.
 * Full     a full submission queue is submitted at once. Only a kernel without memory can keep it full; then it waits, in the end aborts.
 */
#ifndef TIDEWIRE_ENGINE_IO_URING_RING_H
#define TIDEWIRE_ENGINE_IO_URING_RING_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Entries of the submission queue. Larger: fewer forced submissions in a turn with very many sends; 64 bytes each. */
#define RING_SUBMISSION_ENTRIES 4096
/* Entries of the completion queue. A burst beyond it ends multishot receives, which then are armed again; 16 bytes each. */
#define RING_COMPLETION_ENTRIES 65536
/* Completions that one io_uring_enter makes at least, if that many are due: measured on 6.18. */
#define RING_REAP_COUNT 20
/* The kernel's limit for one ring of provided buffers. */
#define RING_BUFFERS_MAX 32768
/* The kernel's limit for one table of direct descriptors (IORING_MAX_FIXED_FILES). */
#define RING_FILES_MAX (1u << 20)

/* What this kernel can do. */
struct ring_caps {
    bool accept_poll_first;  /* an accept can be told to wait first, and its completion tells whether more wait in the backlog */
    bool min_wait;           /* io_uring_enter can hold back a first event to gather more */
    bool no_iowait;          /* a sleeping shard need not look like one that waits for a disk */
    bool file_lives_its_own; /* closing a direct descriptor closes it now, not when older requests of the ring have ended */
};

struct ring {
    struct io_uring uring;
    uint32_t enter_flags; /* added to every io_uring_enter */
    uint32_t sq_tail;     /* as far as entries are taken; published to the kernel when submitting */
    uint64_t submissions; /* how often entries were handed to the kernel */

    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffer_memory;
    uint32_t buffer_size, buffer_count;
    uint32_t buffers_used;     /* the first ones take part; more on demand, up to buffer_count */
    uint32_t buffers_returned; /* put into the ring, not yet shown to the kernel */
};

/* Creates a disabled ring with a table of `file_count` direct descriptors and receive buffers. On failure writes a line to `error`. */
int ring_open(struct ring *ring, uint32_t file_count, uint32_t buffer_size, uint32_t buffer_count, char *error, size_t error_size);
void ring_close(struct ring *ring);

/* What the kernel of an open ring can do. */
struct ring_caps ring_get_caps(const struct ring *ring);

/* Binds the ring to the calling thread, and lets it start. 0 or -errno. */
int ring_enable(struct ring *ring);
/* Cancels everything and drops all direct descriptors. The ring stays open (and silent) until ring_close. */
void ring_disable(struct ring *ring);

/* The next free submission entry, zeroed. Borrowed until the next ring call that submits. */
struct io_uring_sqe *ring_take_sqe(struct ring *ring);

/*
 * Submits what was taken and waits for `wanted` completions (0: only reaps what is due) or the timeout (UINT64_MAX: none).
 * min_wait_us > 0: after that time one completion is enough; needs caps.min_wait.
 */
void ring_submit_and_wait(struct ring *ring, unsigned wanted, uint64_t timeout_ns, uint32_t min_wait_us);

/* Completions that lie ready. */
static inline uint32_t
ring_ready(const struct ring *ring)
{
    /* Acquire: the kernel releases the tail after it wrote the completions. */
    return io_uring_smp_load_acquire(ring->uring.cq.ktail) - *ring->uring.cq.khead;
}

/* The completion `at` places after the oldest. */
static inline const struct io_uring_cqe *
ring_peek(const struct ring *ring, uint32_t at)
{
    return &ring->uring.cq.cqes[(*ring->uring.cq.khead + at) & (RING_COMPLETION_ENTRIES - 1)];
}

/* Gives the oldest `count` completions' places back. */
static inline void
ring_seen(struct ring *ring, uint32_t count)
{
    /* Release: our reads come before the kernel writes there again. */
    io_uring_smp_store_release(ring->uring.cq.khead, *ring->uring.cq.khead + count);
}

static inline uint8_t *
ring_buffer(const struct ring *ring, uint32_t id)
{
    return ring->buffer_memory + (size_t)id * ring->buffer_size;
}

/* Doubles the buffers in use, up to buffer_count; the kernel gets them with the next ring_give_buffers(). False: all are in use already. */
bool ring_add_buffers(struct ring *ring);

/* Queues a buffer for its return; the kernel gets it, and may write to it, with the next ring_give_buffers(). */
static inline void
ring_return_buffer(struct ring *ring, uint32_t id)
{
    io_uring_buf_ring_add(ring->buffer_ring, ring_buffer(ring, id), ring->buffer_size, (unsigned short)id,
                          (int)ring->buffer_count - 1, (int)ring->buffers_returned);
    ring->buffers_returned++;
}

/* Hands returned buffers to the kernel. Returns how many. */
static inline uint32_t
ring_give_buffers(struct ring *ring)
{
    uint32_t count = ring->buffers_returned;
    if (count > 0) {
        io_uring_buf_ring_advance(ring->buffer_ring, (int)count);
        ring->buffers_returned = 0;
    }
    return count;
}

#endif
