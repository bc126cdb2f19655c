#include "engine/io/uring_ring.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "engine/io/uring_compat.h"

/* Times that a submission the kernel has no memory for is tried again, one per millisecond. */
#define SUBMIT_TRIES_MAX 2000
/* How long ring_disable() waits for requests to end. */
#define CANCEL_SECONDS_MAX 2

static int
ring_register(const struct ring *ring, unsigned operation, void *argument, unsigned count)
{
    long result = syscall(__NR_io_uring_register, ring->uring.ring_fd, operation, argument, count);
    return result < 0 ? -errno : (int)result;
}

/* ---------------------------------------------------------------------------------------------------------- opening */

static int
explain_missing_uring(int result, char *error, size_t error_size)
{
    struct utsname system;
    uname(&system);
    switch (result) {
    case -EPERM:
    case -EACCES:
        snprintf(error, error_size,
                 "io_uring is disabled: set sysctl kernel.io_uring_disabled=0, or allow io_uring in the container's seccomp profile");
        break;
    case -ENOSYS:
        snprintf(error, error_size,
                 "io_uring is missing in this kernel (Linux %s) or forbidden by a seccomp profile: Linux 6.1 or newer is needed, "
                 "with sysctl kernel.io_uring_disabled=0", system.release);
        break;
    case -EINVAL:
        snprintf(error, error_size, "io_uring of this kernel (Linux %s) is too old: Linux 6.1 or newer is needed", system.release);
        break;
    case -ENOMEM:
        snprintf(error, error_size, "io_uring: not enough memory for a ring: raise RLIMIT_MEMLOCK or the memory limit");
        break;
    default:
        snprintf(error, error_size, "io_uring: cannot create a ring: %s", strerror(-result));
        break;
    }
    return result;
}

static int
create_ring(struct ring *ring, char *error, size_t error_size)
{
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = RING_COMPLETION_ENTRIES,
    };
    int result = io_uring_queue_init_params(RING_SUBMISSION_ENTRIES, &ring->uring, &parameters);
    if (result < 0) {
        return explain_missing_uring(result, error, error_size);
    }
    /* The masks of ring_peek and ring_take_sqe are constants. */
    assert(parameters.sq_entries == RING_SUBMISSION_ENTRIES && parameters.cq_entries == RING_COMPLETION_ENTRIES);
    for (uint32_t i = 0; i < RING_SUBMISSION_ENTRIES; i++) {
        ring->uring.sq.array[i] = i;
    }
    ring->enter_flags = ring_get_caps(ring).no_iowait ? URING_ENTER_NO_IOWAIT : 0;
    return 0;
}

static int
create_file_table(struct ring *ring, uint32_t file_count, char *error, size_t error_size)
{
    struct io_uring_rsrc_register table = {.nr = file_count, .flags = IORING_RSRC_REGISTER_SPARSE};
    int result = ring_register(ring, IORING_REGISTER_FILES2, &table, sizeof table);
    if (result < 0) {
        snprintf(error, error_size, "io_uring: cannot make a table of %u direct descriptors: %s (RLIMIT_NOFILE limits it)", file_count,
                 strerror(-result));
    }
    return result;
}

/*
 * Receive buffers in use at first. The kernel takes them in turn, so all in use are touched sooner or later: a quiet broker stays small with few, and
 * a busy one gets more when it runs out.
 */
#define BUFFERS_AT_START 64u

static void *
map_zeroed(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static size_t
buffer_ring_bytes(const struct ring *ring)
{
    return ring->buffer_count * sizeof(struct io_uring_buf);
}

static size_t
buffer_bytes(const struct ring *ring)
{
    return (size_t)ring->buffer_count * ring->buffer_size;
}

static int
create_buffers(struct ring *ring, char *error, size_t error_size)
{
    ring->buffer_ring = map_zeroed(buffer_ring_bytes(ring));
    ring->buffer_memory = map_zeroed(buffer_bytes(ring));
    if (ring->buffer_ring == NULL || ring->buffer_memory == NULL) {
        snprintf(error, error_size, "io_uring: not enough memory for %u receive buffers of %u bytes", ring->buffer_count,
                 ring->buffer_size);
        return -ENOMEM;
    }
    struct io_uring_buf_reg registration = {.ring_addr = (uintptr_t)ring->buffer_ring, .ring_entries = ring->buffer_count};
    int result = ring_register(ring, IORING_REGISTER_PBUF_RING, &registration, 1);
    if (result < 0) {
        snprintf(error, error_size, "io_uring: cannot register %u receive buffers: %s", ring->buffer_count, strerror(-result));
        return result;
    }
    ring_add_buffers(ring);
    ring_give_buffers(ring);
    return 0;
}

bool
ring_add_buffers(struct ring *ring)
{
    uint32_t wanted = ring->buffers_used == 0 ? BUFFERS_AT_START : ring->buffers_used * 2;
    uint32_t target = wanted < ring->buffer_count ? wanted : ring->buffer_count;
    bool more = ring->buffers_used < target;
    while (ring->buffers_used < target) {
        ring_return_buffer(ring, ring->buffers_used++);
    }
    return more;
}

int
ring_open(struct ring *ring, uint32_t file_count, uint32_t buffer_size, uint32_t buffer_count, char *error, size_t error_size)
{
    *ring = (struct ring){.buffer_size = buffer_size, .buffer_count = buffer_count};
    int result = create_ring(ring, error, error_size);
    if (result < 0) {
        return result;
    }
    result = create_file_table(ring, file_count, error, error_size);
    if (result == 0) {
        result = create_buffers(ring, error, error_size);
    }
    if (result < 0) {
        ring_close(ring);
    }
    return result;
}

void
ring_close(struct ring *ring)
{
    io_uring_queue_exit(&ring->uring);
    if (ring->buffer_ring != NULL) {
        munmap(ring->buffer_ring, buffer_ring_bytes(ring));
    }
    if (ring->buffer_memory != NULL) {
        munmap(ring->buffer_memory, buffer_bytes(ring));
    }
    ring->buffer_ring = NULL;
    ring->buffer_memory = NULL;
}

struct ring_caps
ring_get_caps(const struct ring *ring)
{
    return (struct ring_caps){
        .accept_poll_first = (ring->uring.features & URING_FEAT_RECVSEND_BUNDLE) != 0,
        .min_wait = (ring->uring.features & URING_FEAT_MIN_TIMEOUT) != 0,
        .no_iowait = (ring->uring.features & URING_FEAT_NO_IOWAIT) != 0,
        .file_lives_its_own = (ring->uring.features & URING_FEAT_RW_ATTR) != 0,
    };
}

int
ring_enable(struct ring *ring)
{
    int result = ring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (result < 0) {
        return result;
    }
    /* Spares every io_uring_enter a look-up of the descriptor. Belongs to the thread, so it cannot be done in ring_open. */
    if (io_uring_register_ring_fd(&ring->uring) == 1) {
        ring->enter_flags |= IORING_ENTER_REGISTERED_RING;
    }
    return 0;
}

void
ring_disable(struct ring *ring)
{
    struct io_uring_sync_cancel_reg everything = {
        .fd = -1, .flags = IORING_ASYNC_CANCEL_ANY, .timeout = {.tv_sec = CANCEL_SECONDS_MAX}};
    ring_register(ring, IORING_REGISTER_SYNC_CANCEL, &everything, 1);
    /* What was not submitted never will be. */
    ring->sq_tail = *ring->uring.sq.ktail;
    /* A cancelled request holds its file until its completion is reaped, and the kernel does only some of that per call. */
    do {
        ring_seen(ring, ring_ready(ring));
        ring_submit_and_wait(ring, 0, 0, 0);
    } while (ring_ready(ring) > 0);
    ring_register(ring, IORING_UNREGISTER_FILES, NULL, 0);
    if ((ring->enter_flags & IORING_ENTER_REGISTERED_RING) != 0) {
        io_uring_unregister_ring_fd(&ring->uring);
        ring->enter_flags &= ~IORING_ENTER_REGISTERED_RING;
    }
}

/* ---------------------------------------------------------------------------------------------------- submit and wait */

static int
enter(struct ring *ring, unsigned wanted, unsigned flags, struct uring_wait_argument *argument)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    /* Release: the kernel that sees this tail sees the entries (U1). */
    io_uring_smp_store_release(sq->ktail, ring->sq_tail);
    uint32_t submit_count = ring->sq_tail - io_uring_smp_load_acquire(sq->khead);
    ring->submissions += submit_count > 0;
    return io_uring_enter2((unsigned)ring->uring.enter_ring_fd, submit_count, wanted, ring->enter_flags | flags, (sigset_t *)argument,
                           argument != NULL ? sizeof *argument : 0);
}

static uint32_t
free_entries(const struct ring *ring)
{
    /* Acquire: the kernel has read an entry before it moves head past it. */
    return RING_SUBMISSION_ENTRIES - (ring->sq_tail - io_uring_smp_load_acquire(ring->uring.sq.khead));
}

/* A full queue. SUBMIT_ALL takes all of it, unless the kernel has no memory for the requests: that passes, or it is the end. */
static void
submit_full_queue(struct ring *ring)
{
    for (unsigned tries = 0; tries < SUBMIT_TRIES_MAX; tries++) {
        int result = enter(ring, 0, 0, NULL);
        if (free_entries(ring) > 0) {
            return;
        }
        if (result < 0 && result != -EINTR) {
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
    }
    fprintf(stderr, "io_uring: the kernel takes no more requests (out of memory)\n");
    abort();
}

struct io_uring_sqe *
ring_take_sqe(struct ring *ring)
{
    if (free_entries(ring) == 0) {
        submit_full_queue(ring);
    }
    struct io_uring_sqe *sqe = &ring->uring.sq.sqes[ring->sq_tail & (RING_SUBMISSION_ENTRIES - 1)];
    ring->sq_tail++;
    memset(sqe, 0, sizeof *sqe);
    return sqe;
}

void
ring_submit_and_wait(struct ring *ring, unsigned wanted, uint64_t timeout_ns, uint32_t min_wait_us)
{
    struct __kernel_timespec timeout = {.tv_sec = (int64_t)(timeout_ns / 1000000000), .tv_nsec = (int64_t)(timeout_ns % 1000000000)};
    struct uring_wait_argument argument = {
        .min_wait_us = min_wait_us,
        .timeout = timeout_ns == UINT64_MAX ? 0 : (uintptr_t)&timeout,
    };
    /*
     * GETEVENTS even when nothing is wanted: with DEFER_TASKRUN completions happen only here, and it moves completions that
     * overflowed back into the queue. Its errors need no care: time is up, a signal came, or not all could be submitted, which the
     * next turn does.
     */
    enter(ring, wanted, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument);
}
