/*
 * The io_uring half of io.h: the set of shards, time, wake-ups, and the turn. The map of the files is in uring_shard.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "engine/io/uring_shard.h"
#include "engine/io/uring_unix.h"

/* 16 MiB per shard by default: how much may arrive at a shard in one turn before receiving has to wait for the next. */
#define RECEIVE_BUFFER_SIZE 4096
#define RECEIVE_BUFFER_COUNT 4096
/* Like the mesh's. */
#define SHARDS_MAX 64

/* ------------------------------------------------------------------------------------------------------- set-up */

/* Sockets per shard: the kernel allows as many direct descriptors in each table as RLIMIT_NOFILE, which is raised as far as it goes. */
static uint32_t
limit_sockets(uint32_t wanted)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        if (limit.rlim_cur < wanted && limit.rlim_cur < limit.rlim_max) {
            limit.rlim_cur = wanted < limit.rlim_max ? wanted : limit.rlim_max;
            setrlimit(RLIMIT_NOFILE, &limit);
            getrlimit(RLIMIT_NOFILE, &limit);
        }
        wanted = wanted < limit.rlim_cur ? wanted : (uint32_t)limit.rlim_cur;
    }
    return wanted < RING_FILES_MAX ? wanted : RING_FILES_MAX;
}

static void *
map_records(size_t count, size_t size)
{
    void *memory = mmap(NULL, count * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void
close_shard(struct io *io)
{
    ring_close(&io->ring);
    accept_fini(io);
    if (io->interrupt_fd >= 0) {
        close(io->interrupt_fd);
    }
    if (io->sockets != NULL) {
        munmap(io->sockets, io->sockets_max * sizeof *io->sockets);
    }
    if (io->starved != NULL) {
        munmap(io->starved, io->sockets_max * sizeof *io->starved);
    }
    free(io->wake_submission);
    free(io->worked);
    free(io->file_operations);
    free(io);
}

static struct io *
open_shard(struct io_set *set, unsigned shard, const struct io_options *options, char *error, size_t error_size)
{
    struct io *io = aligned_alloc(alignof(struct io), sizeof *io);
    if (io == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    memset(io, 0, sizeof *io);
    io->set = set;
    io->shard = shard;
    io->now_ns = shard_clock_ns();
    io->sockets_max = set->sockets_max;
    io->moves_waiting = IO_SOCKET_NONE;
    io->interrupt_fd = -1;
    if (ring_open(&io->ring, io->sockets_max, options->receive_buffer_size, options->receive_buffer_count, error, error_size) < 0) {
        free(io);
        return NULL;
    }
    set->caps = ring_get_caps(&io->ring);
    io->cut_before_close = !set->caps.file_lives_its_own;
    io->sockets = map_records(io->sockets_max, sizeof *io->sockets);
    io->starved = map_records(io->sockets_max, sizeof *io->starved);
    io->wake_submission = calloc(set->shard_count, sizeof *io->wake_submission);
    io->interrupt_fd = eventfd(0, EFD_CLOEXEC);
    if (io->sockets == NULL || io->starved == NULL || io->wake_submission == NULL || io->interrupt_fd < 0) {
        snprintf(error, error_size, "cannot set up shard %u: %s", shard, strerror(errno));
        close_shard(io);
        return NULL;
    }
    return io;
}

/* Fills in defaults. False, and a line, when something cannot be. */
static bool
complete_options(struct io_options *options, char *error, size_t error_size)
{
    if (options->receive_buffer_size == 0) {
        options->receive_buffer_size = RECEIVE_BUFFER_SIZE;
    }
    if (options->receive_buffer_count == 0) {
        options->receive_buffer_count = RECEIVE_BUFFER_COUNT;
    }
    uint32_t count = options->receive_buffer_count;
    if ((count & (count - 1)) != 0 || count > RING_BUFFERS_MAX) {
        snprintf(error, error_size, "receive buffers: %u is not a power of two up to %u", count, RING_BUFFERS_MAX);
        return false;
    }
    if (options->shard_count == 0 || options->shard_count > SHARDS_MAX || options->sockets_max == 0) {
        snprintf(error, error_size, "there must be 1 to %u shards (not %u) and at least 1 socket", SHARDS_MAX, options->shard_count);
        return false;
    }
    return true;
}

static bool
check_kernel(const struct utsname *system, char *error, size_t error_size)
{
    unsigned major = 0;
    unsigned minor = 0;
    if (sscanf(system->release, "%u.%u", &major, &minor) == 2 && (major < 6 || (major == 6 && minor < 1))) {
        snprintf(error, error_size, "io_uring of this kernel (Linux %s) is too old: Linux 6.1 or newer is needed", system->release);
        return false;
    }
    return true;
}

static void
describe(struct io_set *set, const struct io_options *options, uint32_t sockets_wanted, const struct utsname *system)
{
    char limited[64] = "";
    if (set->sockets_max < sockets_wanted) {
        snprintf(limited, sizeof limited, " (not %u: RLIMIT_NOFILE)", sockets_wanted);
    }
    snprintf(set->description, sizeof set->description,
             "io_uring, Linux %.40s, direct descriptors %u per shard%s, min_wait %s, receive buffers %u x %u bytes per shard%s", system->release,
             set->sockets_max, limited, set->caps.min_wait ? "yes" : "no", options->receive_buffer_count, options->receive_buffer_size,
             set->caps.file_lives_its_own ? "" : ", memory of closed sockets comes back late");
}

struct io_set *
io_open(const struct io_options *options_given, char *error, size_t error_size)
{
    struct utsname system;
    uname(&system);
    struct io_options options = *options_given;
    if (!complete_options(&options, error, error_size) || !check_kernel(&system, error, error_size)) {
        return NULL;
    }
    struct io_set *set = calloc(1, sizeof *set);
    struct io **shards = calloc(options.shard_count, sizeof(struct io *));
    struct work_pool *work = work_open(options.shard_count);
    if (set == NULL || shards == NULL || work == NULL) {
        snprintf(error, error_size, "out of memory");
        work_close(work);
        free(set);
        free(shards);
        return NULL;
    }
    set->shards = shards;
    set->work = work;
    set->sockets_max = limit_sockets(options.sockets_max);
    set->shard_count = options.shard_count;
    for (unsigned i = 0; i < options.shard_count; i++) {
        shards[i] = open_shard(set, i, &options, error, error_size);
        if (shards[i] == NULL) {
            io_close_all(set);
            return NULL;
        }
    }
    describe(set, &options, options_given->sockets_max, &system);
    return set;
}

void
io_close_all(struct io_set *set)
{
    if (set == NULL) {
        return;
    }
    work_close(set->work);
    for (unsigned i = 0; i < set->shard_count && set->shards[i] != NULL; i++) {
        close_shard(set->shards[i]);
    }
    unix_close_all(&set->unix_sockets);
    file_unlock_all(set);
    free(set->shards);
    free(set);
}

struct io *
io_of_shard(struct io_set *set, unsigned shard)
{
    assert(shard < set->shard_count);
    return set->shards[shard];
}

const char *
io_describe(const struct io_set *set)
{
    return set->description;
}

uint32_t
io_sockets_max(const struct io_set *set)
{
    return set->sockets_max;
}

static void
arm_interrupt(struct io *io)
{
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = IORING_OP_READ;
    sqe->fd = io->interrupt_fd;
    sqe->addr = (uintptr_t)&io->interrupt_count;
    sqe->len = sizeof io->interrupt_count;
    sqe->user_data = shard_tag(OP_INTERRUPT, 0, 0, 0);
}

int
io_enter(struct io *io)
{
    int result = ring_enable(&io->ring);
    if (result < 0) {
        return result;
    }
    arm_interrupt(io);
    work_give_precedence();
    atomic_store_explicit(&io->life, SHARD_RUNNING, memory_order_relaxed);
    return 0;
}

void
io_leave(struct io *io)
{
    /* The ring stays until io_close_all(): its number is what other shards send to. */
    atomic_store_explicit(&io->life, SHARD_LEFT, memory_order_relaxed);
    io_listen_stop(io);
    file_finish(io);
    ring_disable(&io->ring);
}

/* ----------------------------------------------------------------------------------------- time and randomness */

uint64_t
io_now_ns(const struct io *io)
{
    return io->now_ns;
}

uint64_t
io_clock_ns(const struct io *io)
{
    (void)io;
    return shard_clock_ns();
}

uint64_t
io_cpu_ns(const struct io *io)
{
    (void)io;
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
}

uint64_t
io_wall_ms(const struct io *io)
{
    (void)io;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void
io_random(struct io *io, void *out, size_t size)
{
    (void)io;
    for (size_t done = 0; done < size;) {
        ssize_t got = getrandom((uint8_t *)out + done, size - done, 0);
        if (got < 0 && errno != EINTR) {
            /* Present since Linux 3.17; going on with predictable bytes would be worse. */
            perror("getrandom");
            abort();
        }
        done += got > 0 ? (size_t)got : 0;
    }
}

/* ------------------------------------------------------------------------------------------------------ wake-ups */

void
io_wake(struct io *io, unsigned target_shard)
{
    assert(target_shard < io->set->shard_count);
    uint64_t submission = io->ring.submissions + 1;
    if (io->wake_submission[target_shard] == submission) {
        return; /* one is in the queue already */
    }
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = IORING_OP_MSG_RING;
    sqe->fd = io->set->shards[target_shard]->ring.uring.ring_fd;
    sqe->addr = IORING_MSG_DATA;
    sqe->off = shard_tag(OP_WAKE, 0, 0, 0); /* the target's user_data */
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = shard_tag(OP_WAKE_SENT, 0, 0, target_shard);
    /* Taking the entry may have submitted the queue. */
    io->wake_submission[target_shard] = io->ring.submissions + 1;
}

void
io_interrupt(struct io *io)
{
    uint64_t one = 1;
    /* The counter cannot fill up, so this neither waits nor fails. */
    ssize_t written = write(io->interrupt_fd, &one, sizeof one);
    (void)written;
}

/* ------------------------------------------------------------------------------------------------------ the turn */

/* Returns true if the completion made an event. */
static bool
complete(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    switch (shard_tag_operation(cqe->user_data)) {
    case OP_ACCEPT:
        return accept_complete(io, cqe, event);
    case OP_FILE:
        return file_complete(io, cqe, event);
    case OP_INTERRUPT:
        arm_interrupt(io);
        return false;
    case OP_WAKE_SENT:
        /* It failed: the target's ring is not enabled yet, or out of memory. It reads its eventfd as soon as it can. */
        io_interrupt(io->set->shards[(uint32_t)cqe->user_data]);
        return false;
    case OP_WAKE:
    case OP_IGNORED:
        return false;
    default:
        return socket_complete(io, cqe, event);
    }
}

/* What the start of a turn has to do of itself. Returns the time by which the next turn must start. */
static uint64_t
prepare_turn(struct io *io)
{
    if (io->starved_count > 0) {
        ring_add_buffers(&io->ring);
    }
    uint32_t buffers_given = ring_give_buffers(&io->ring);
    bool starving = socket_feed_starved(io, buffers_given);
    uint64_t accept_ns = accept_arm(io);
    uint64_t move_ns = socket_retry_moves(io);
    return starving ? 0 : accept_ns < move_ns ? accept_ns : move_ns;
}

static uint64_t
shorten_timeout(uint64_t timeout_ns, uint64_t deadline_ns)
{
    if (deadline_ns == UINT64_MAX || timeout_ns == 0) {
        return timeout_ns;
    }
    uint64_t now_ns = shard_clock_ns();
    uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    return left_ns < timeout_ns ? left_ns : timeout_ns;
}

static void
submit_and_wait(struct io *io, uint64_t timeout_ns, uint32_t gather_us, unsigned max)
{
    gather_us = gather_us > 0 ? file_cut_gather(io, gather_us) : 0;
    /* What lies ready from the last turn must not wait. */
    if (timeout_ns == 0 || ring_ready(&io->ring) > 0) {
        ring_submit_and_wait(&io->ring, 0, 0, 0);
    } else if (gather_us > 0 && io->set->caps.min_wait && timeout_ns > (uint64_t)gather_us * 1000) {
        uint64_t wanted = (uint64_t)gather_us * 1000 / SHARD_GATHER_EVENT_NS + 1;
        ring_submit_and_wait(&io->ring, wanted < max ? (unsigned)wanted : max, timeout_ns, gather_us);
    } else {
        ring_submit_and_wait(&io->ring, 1, timeout_ns, 0);
    }
}

/*
 * Newer kernels complete only so many requests per call, however many are due. A bigger turn is worth the calls: more messages to one
 * subscriber then leave in one send. Returns how many completions lie ready.
 */
static uint32_t
reap_all_due(struct io *io, uint32_t max)
{
    uint32_t before = 0;
    uint32_t ready = ring_ready(&io->ring);
    while (ready - before >= RING_REAP_COUNT && ready < max) {
        before = ready;
        ring_submit_and_wait(&io->ring, 0, 0, 0);
        ready = ring_ready(&io->ring);
    }
    return ready;
}

unsigned
io_wait(struct io *io, uint64_t timeout_ns, uint32_t gather_us, struct io_event *events, unsigned max)
{
    timeout_ns = shorten_timeout(timeout_ns, prepare_turn(io));
    if (atomic_load_explicit(&io->worked_any, memory_order_relaxed)) {
        timeout_ns = 0; /* more than the last turn took, or what it was woken for is here already */
    }
    submit_and_wait(io, timeout_ns, gather_us, max);
    uint32_t ready = reap_all_due(io, max);
    io->now_ns = shard_clock_ns();

    unsigned count = 0;
    uint32_t seen = 0;
    while (seen < ready && count < max) {
        count += complete(io, ring_peek(&io->ring, seen++), &events[count]);
    }
    ring_seen(&io->ring, seen);
    return count + work_complete(io, events + count, max - count);
}
