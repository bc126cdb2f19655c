#include "bench/load/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define POOL_GROUP 0
/* Completions of our own: not events. */
#define KIND_NONE 0
#define KIND_WOKEN 15
#define POOL_BYTES ((size_t)LOOP_BUFFER_COUNT * LOOP_BUFFER_SIZE)
#define POOL_RING_BYTES (LOOP_BUFFER_COUNT * sizeof(struct io_uring_buf))

static_assert((LOOP_BUFFER_COUNT & (LOOP_BUFFER_COUNT - 1)) == 0, "the kernel wants a power of two");

static void *
map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static int
open_pool(struct loop *l)
{
    struct io_uring_buf_reg reg = {.ring_entries = LOOP_BUFFER_COUNT, .bgid = POOL_GROUP};

    l->pool = map(POOL_RING_BYTES);
    l->memory = map(POOL_BYTES);
    if (l->pool == NULL || l->memory == NULL) {
        return -ENOMEM;
    }
    reg.ring_addr = (uint64_t)(uintptr_t)l->pool;
    int error = io_uring_register_buf_ring(&l->ring, &reg, 0);
    if (error != 0) {
        return error;
    }
    io_uring_buf_ring_init(l->pool);
    for (unsigned i = 0; i < LOOP_BUFFER_COUNT; i++) {
        io_uring_buf_ring_add(l->pool, l->memory + (size_t)i * LOOP_BUFFER_SIZE, LOOP_BUFFER_SIZE, (unsigned short)i,
            LOOP_BUFFER_COUNT - 1, (int)i);
    }
    io_uring_buf_ring_advance(l->pool, LOOP_BUFFER_COUNT);
    return 0;
}

static int
open_table(struct loop *l, uint32_t slots)
{
    return slots == 0 ? 0 : io_uring_register_files_sparse(&l->ring, slots);
}

int
loop_open(struct loop *l, uint32_t slots)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL |
            IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = LOOP_COMPLETIONS,
    };

    *l = (struct loop){0};
    int error = io_uring_queue_init_params(LOOP_SUBMISSIONS, &l->ring, &params);
    if (error != 0) {
        return error;
    }
    /* Saves a descriptor look-up per system call; works without. */
    (void)io_uring_register_ring_fd(&l->ring);
    error = open_table(l, slots);
    error = error != 0 ? error : open_pool(l);
    if (error != 0) {
        loop_close(l);
    }
    return error;
}

void
loop_close(struct loop *l)
{
    io_uring_queue_exit(&l->ring);
    if (l->pool != NULL) {
        munmap(l->pool, POOL_RING_BYTES);
    }
    if (l->memory != NULL) {
        munmap(l->memory, POOL_BYTES);
    }
}

static struct io_uring_sqe *
next_sqe(struct loop *l)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&l->ring);
    if (sqe == NULL) {
        io_uring_submit(&l->ring);
        sqe = io_uring_get_sqe(&l->ring);
        assert(sqe != NULL); /* without SQPOLL a submit empties the queue */
    }
    return sqe;
}

static uint64_t
tag_of(unsigned kind, uint32_t tag)
{
    return (uint64_t)kind << 32 | tag;
}

/* After the prep function, because some versions of liburing clear user_data there. */
static void
set_tag(struct io_uring_sqe *sqe, unsigned kind, uint32_t tag)
{
    sqe->user_data = tag_of(kind, tag);
}

static void
set_file(struct io_uring_sqe *sqe, struct loop_file f)
{
    if (f.direct) {
        sqe->flags |= IOSQE_FIXED_FILE;
    }
}

static void
arm_watch(struct loop *l)
{
    struct io_uring_sqe *sqe = next_sqe(l);
    io_uring_prep_read(sqe, l->wake_fd, &l->wake_count, sizeof l->wake_count, 0);
    set_tag(sqe, KIND_WOKEN, 0);
}

void
loop_watch(struct loop *l, int eventfd)
{
    l->wake_fd = eventfd;
    arm_watch(l);
}

int
loop_adopt(struct loop *l, int fd, uint32_t slot)
{
    int done = io_uring_register_files_update(&l->ring, slot, &fd, 1);
    close(fd);
    return done == 1 ? 0 : done < 0 ? done : -EBADF;
}

static void
cancel(struct loop *l, enum loop_event_kind kind, uint32_t tag)
{
    struct io_uring_sqe *sqe = next_sqe(l);
    io_uring_prep_cancel64(sqe, tag_of(kind, tag), 0);
    set_tag(sqe, KIND_NONE, 0);
}

static void
drop_slot(struct loop *l, uint32_t slot, uint32_t tag)
{
    int nothing = -1;

    /* Armed requests hold the file; there is no shutdown() for a slot that would not need a kernel thread. */
    cancel(l, LOOP_CONNECTED, tag);
    cancel(l, LOOP_RECEIVED, tag);
    cancel(l, LOOP_SENT, tag);
    (void)io_uring_register_files_update(&l->ring, slot, &nothing, 1);
}

void
loop_drop(struct loop *l, struct loop_file f, uint32_t tag)
{
    if (f.direct) {
        drop_slot(l, (uint32_t)f.number, tag);
        return;
    }
    /* The armed receive holds the socket open beyond close(); shutdown ends it. */
    shutdown(f.number, SHUT_RDWR);
    close(f.number);
}

void
loop_connect(struct loop *l, struct loop_file f, const struct sockaddr_in *to, uint32_t tag)
{
    struct io_uring_sqe *sqe = next_sqe(l);
    io_uring_prep_connect(sqe, f.number, (const struct sockaddr *)to, sizeof *to);
    set_file(sqe, f);
    set_tag(sqe, LOOP_CONNECTED, tag);
}

void
loop_recv(struct loop *l, struct loop_file f, uint32_t tag)
{
    struct io_uring_sqe *sqe = next_sqe(l);
    io_uring_prep_recv_multishot(sqe, f.number, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = POOL_GROUP;
    set_file(sqe, f);
    set_tag(sqe, LOOP_RECEIVED, tag);
}

void
loop_send(struct loop *l, struct loop_file f, const uint8_t *data, uint32_t size, uint32_t tag)
{
    struct io_uring_sqe *sqe = next_sqe(l);
    /* WAITALL: the kernel finishes a send that a full socket interrupts. */
    io_uring_prep_send(sqe, f.number, data, size, MSG_NOSIGNAL | MSG_WAITALL);
    set_file(sqe, f);
    set_tag(sqe, LOOP_SENT, tag);
}

int
loop_wait(struct loop *l, uint64_t timeout_ns)
{
    struct __kernel_timespec timeout = {.tv_sec = (int64_t)(timeout_ns / 1000000000u), .tv_nsec = (long long)(timeout_ns % 1000000000u)};
    struct io_uring_cqe *cqe;

    if (l->given > 0) {
        io_uring_buf_ring_advance(l->pool, l->given);
        l->given = 0;
    }
    int result = io_uring_submit_and_wait_timeout(&l->ring, &cqe, 1, &timeout, NULL);
    return result >= 0 || result == -ETIME ? 0 : result;
}

/* The oldest completion that is an event. */
static const struct io_uring_cqe *
peek(struct loop *l)
{
    struct io_uring_cq *cq = &l->ring.cq;

    for (;;) {
        unsigned head = *cq->khead;
        if (head == io_uring_smp_load_acquire(cq->ktail)) {
            return NULL;
        }
        const struct io_uring_cqe *cqe = &cq->cqes[head & cq->ring_mask];
        unsigned kind = (unsigned)(cqe->user_data >> 32);
        if (kind != KIND_NONE && kind != KIND_WOKEN) {
            return cqe;
        }
        io_uring_cq_advance(&l->ring, 1);
        if (kind == KIND_WOKEN) {
            arm_watch(l);
        }
    }
}

bool
loop_next(struct loop *l, struct loop_event *out)
{
    const struct io_uring_cqe *cqe = peek(l);

    if (cqe == NULL) {
        return false;
    }
    out->kind = (enum loop_event_kind)(cqe->user_data >> 32);
    out->tag = (uint32_t)cqe->user_data;
    out->result = cqe->res;
    out->more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    out->data = NULL;
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        out->buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        out->data = l->memory + (size_t)out->buffer * LOOP_BUFFER_SIZE;
    }
    io_uring_cq_advance(&l->ring, 1);
    return true;
}

void
loop_give(struct loop *l, const struct loop_event *e)
{
    io_uring_buf_ring_add(l->pool, l->memory + (size_t)e->buffer * LOOP_BUFFER_SIZE, LOOP_BUFFER_SIZE, e->buffer, LOOP_BUFFER_COUNT - 1,
        l->given++);
}
