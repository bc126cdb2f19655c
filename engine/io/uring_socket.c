/*
 * One socket's life.
 *
 * Receiving. What is under way (ARMED, CANCELLING) follows what is wanted (WANT_ONCE, WANT_MANY):
 *
 *      state        under way            wanted   io_receive     io_receive_stop   last completion of the request
 *      -----------  -------------------  -------  -------------  ----------------  ---------------------------------------------------
 *      idle         -                    no       -> receiving   -                 -
 *      receiving    ARMED                yes      -              -> stopping       arm again -> receiving; once, and it came: -> idle
 *      stopping     ARMED, CANCELLING    no       -> restarting  -                 -> idle
 *      restarting   ARMED, CANCELLING    yes      -              -> stopping       arm again -> receiving
 *      starved      -                    yes      -> receiving   -> idle           (-ENOBUFS led here; socket_feed_starved leads out)
 *      ended        -                    any      -              -                 (end of stream or an error led here)
 *
 *      A cancel is submitted before the receive that follows it, and the kernel takes requests in order, so it cannot meet the wrong one.
 *      A receive's last completion is the one without F_MORE.
 *
 * Closing. io_close() cancels what is under way; when the last completion has come (ARMED, SENDING and SHUTTING are clear) the slot is
 * closed, and when that has completed the record is free and IO_CLOSED goes out. A slot is therefore never reused with a request
 * still under way; the generation is the second line of defence.
 *
 * Moving. MSG_RING puts the file into the target's table and posts OP_MOVED there; whatever its outcome, the slot here is closed after it.
 */
#include <errno.h>
#include <string.h>

#include "engine/io/uring_shard.h"

/* Sockets that are fed per turn even when no buffer came back in it: those may all be free, we cannot know. */
#define FEED_COUNT_MIN 16
#define MOVE_RETRY_NS 1000000

static struct socket_record *
record_of(struct io *io, io_socket slot)
{
    assert(slot < io->sockets_max && (io->sockets[slot].flags & SOCKET_OPEN) != 0);
    return &io->sockets[slot];
}

/* The record of a slot that the engine names: it has not given it up. */
static struct socket_record *
live_record_of(struct io *io, io_socket slot)
{
    struct socket_record *record = record_of(io, slot);
    assert((record->flags & (SOCKET_CLOSING | SOCKET_MOVING)) == 0);
    return record;
}

static uint64_t
tag_of(const struct io *io, io_socket slot, enum shard_operation operation)
{
    return shard_tag(operation, io->sockets[slot].generation, slot, 0);
}

void
socket_open(struct io *io, io_socket slot)
{
    assert(slot < io->sockets_max);
    struct socket_record *record = &io->sockets[slot];
    assert((record->flags & SOCKET_OPEN) == 0);
    record->flags |= SOCKET_OPEN;
    record->token = 0;
    io->sockets_open++;
}

void
io_set_token(struct io *io, io_socket socket, uint64_t token)
{
    live_record_of(io, socket)->token = token;
}

/* -------------------------------------------------------------------------------------------------------- cancel */

static void
cancel(struct io *io, uint64_t tag)
{
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = -1;
    sqe->addr = tag;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = shard_tag(OP_IGNORED, 0, 0, 0);
}

/* The kernel looks through all requests of the ring for this, so it is only for where the tag is not known. */
static void
cancel_all_of(struct io *io, io_socket slot)
{
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->fd = (int)slot;
    sqe->cancel_flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_FD_FIXED | IORING_ASYNC_CANCEL_ALL;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = shard_tag(OP_IGNORED, 0, 0, 0);
}

/* ------------------------------------------------------------------------------------------------------- receive */

static void
arm_receive(struct io *io, io_socket slot)
{
    struct socket_record *record = &io->sockets[slot];
    record->flags |= SOCKET_ARMED;
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = IORING_OP_RECV;
    sqe->fd = (int)slot;
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->ioprio = (record->flags & SOCKET_WANT_MANY) != 0 ? IORING_RECV_MULTISHOT : 0;
    sqe->user_data = tag_of(io, slot, OP_RECEIVE);
}

/* Arms a receive where one is wanted and none is under way. */
static void
follow_wants(struct io *io, io_socket slot)
{
    uint16_t flags = io->sockets[slot].flags;
    if ((flags & (SOCKET_WANT_ONCE | SOCKET_WANT_MANY)) != 0 && (flags & (SOCKET_ARMED | SOCKET_ENDED | SOCKET_CLOSING)) == 0) {
        arm_receive(io, slot);
    }
}

void
io_receive_once(struct io *io, io_socket socket)
{
    live_record_of(io, socket)->flags |= SOCKET_WANT_ONCE;
    follow_wants(io, socket);
}

void
io_receive(struct io *io, io_socket socket)
{
    live_record_of(io, socket)->flags |= SOCKET_WANT_MANY;
    follow_wants(io, socket);
}

static void
cancel_receive(struct io *io, io_socket slot)
{
    struct socket_record *record = &io->sockets[slot];
    if ((record->flags & (SOCKET_ARMED | SOCKET_CANCELLING)) == SOCKET_ARMED) {
        record->flags |= SOCKET_CANCELLING;
        cancel(io, tag_of(io, slot, OP_RECEIVE));
    }
}

void
io_receive_stop(struct io *io, io_socket socket)
{
    live_record_of(io, socket)->flags &= (uint16_t)~(SOCKET_WANT_ONCE | SOCKET_WANT_MANY);
    cancel_receive(io, socket);
}

static void
starve(struct io *io, io_socket slot)
{
    struct socket_record *record = &io->sockets[slot];
    if ((record->flags & SOCKET_QUEUED) == 0) {
        record->flags |= SOCKET_QUEUED;
        assert(io->starved_count < io->sockets_max);
        io->starved[(io->starved_head + io->starved_count++) % io->sockets_max] = slot;
    }
}

bool
socket_feed_starved(struct io *io, uint32_t buffers_given)
{
    uint32_t count = buffers_given > FEED_COUNT_MIN ? buffers_given : FEED_COUNT_MIN;
    for (; count > 0 && io->starved_count > 0; count--) {
        io_socket slot = io->starved[io->starved_head];
        io->starved_head = (io->starved_head + 1) % io->sockets_max;
        io->starved_count--;
        io->sockets[slot].flags &= (uint16_t)~SOCKET_QUEUED;
        if ((io->sockets[slot].flags & SOCKET_OPEN) != 0) {
            follow_wants(io, slot);
        }
    }
    return io->starved_count > 0;
}

static void close_when_idle(struct io *io, io_socket slot);

/* Whether a receive that ended like this can be armed again, and the engine need not know. */
static bool
is_passing(int result, bool cancelled)
{
    return result == -ENOBUFS || result == -EINTR || result == -EAGAIN || (result == -ECANCELED && cancelled);
}

static bool
receive_complete(struct io *io, io_socket slot, const struct io_uring_cqe *cqe, struct io_event *event)
{
    struct socket_record *record = &io->sockets[slot];
    const uint8_t *data = NULL;
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        uint32_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        data = ring_buffer(&io->ring, id);
        ring_return_buffer(&io->ring, id); /* shown to the kernel by the next io_wait() (I4) */
    }
    bool last = (cqe->flags & IORING_CQE_F_MORE) == 0;
    bool cancelled = (record->flags & SOCKET_CANCELLING) != 0;
    if (last) {
        record->flags &= (uint16_t)~(SOCKET_ARMED | SOCKET_CANCELLING);
    }
    if ((record->flags & SOCKET_CLOSING) != 0) {
        close_when_idle(io, slot);
        return false;
    }

    bool tell = cqe->res >= 0 || !is_passing(cqe->res, cancelled);
    if (cqe->res > 0) {
        record->flags &= (uint16_t)~SOCKET_WANT_ONCE;
    } else if (tell) {
        record->flags |= SOCKET_ENDED;
    }
    if (cqe->res == -ENOBUFS) {
        starve(io, slot);
    } else if (last) {
        follow_wants(io, slot);
    }
    if (tell) {
        *event = (struct io_event){
            .type = IO_RECEIVED, .socket = slot, .result = cqe->res, .token = record->token, .data = data};
    }
    return tell;
}

/* ---------------------------------------------------------------------------------------------------------- send */

/* Sends what is left after `done` bytes. */
static void
submit_send(struct io *io, io_socket slot, uint32_t done)
{
    struct socket_record *record = &io->sockets[slot];
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = IORING_OP_SEND;
    sqe->fd = (int)slot;
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->addr = (uintptr_t)(record->send_data + done);
    sqe->len = record->send_size - done;
    /* WAITALL: the kernel itself waits for the peer to make room, so that one completion is the rule. */
    sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
    sqe->user_data = shard_tag(OP_SEND, record->generation, slot, done);
}

void
io_send(struct io *io, io_socket socket, const void *data, uint32_t size)
{
    struct socket_record *record = live_record_of(io, socket);
    assert((record->flags & SOCKET_SENDING) == 0 && size > 0 && size <= INT32_MAX);
    record->flags |= SOCKET_SENDING;
    record->send_data = data;
    record->send_size = size;
    submit_send(io, socket, 0);
}

static bool
send_complete(struct io *io, io_socket slot, const struct io_uring_cqe *cqe, struct io_event *event)
{
    struct socket_record *record = &io->sockets[slot];
    uint32_t done = (uint32_t)cqe->user_data + (cqe->res > 0 ? (uint32_t)cqe->res : 0);
    bool closing = (record->flags & SOCKET_CLOSING) != 0;
    bool go_on = done < record->send_size && (cqe->res > 0 || cqe->res == -EINTR || cqe->res == -EAGAIN);
    if (go_on && !closing) {
        record->flags |= SOCKET_SEND_REST;
        submit_send(io, slot, done);
        return false;
    }
    record->flags &= (uint16_t)~(SOCKET_SENDING | SOCKET_SEND_REST);
    if (closing) {
        close_when_idle(io, slot); /* IO_CLOSED stands for IO_SENT (I2) */
        return false;
    }
    int32_t result = cqe->res < 0 ? cqe->res : done < record->send_size ? -EIO : (int32_t)done;
    *event = (struct io_event){.type = IO_SENT, .socket = slot, .result = result, .token = record->token};
    return true;
}

/* ---------------------------------------------------------------------------------------------- shutdown and close */

static void
submit_shutdown(struct io *io, io_socket slot, int how)
{
    io->sockets[slot].flags |= SOCKET_SHUTTING;
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = IORING_OP_SHUTDOWN;
    sqe->fd = (int)slot;
    sqe->flags = IOSQE_FIXED_FILE;
    sqe->len = (uint32_t)how;
    sqe->user_data = tag_of(io, slot, OP_SHUTDOWN);
}

void
io_shutdown(struct io *io, io_socket socket)
{
    struct socket_record *record = live_record_of(io, socket);
    assert((record->flags & SOCKET_SENDING) == 0);
    if ((record->flags & SOCKET_SHUTTING) == 0) {
        submit_shutdown(io, socket, SHUT_WR);
    }
}

static bool
shutdown_complete(struct io *io, io_socket slot)
{
    io->sockets[slot].flags &= (uint16_t)~SOCKET_SHUTTING;
    close_when_idle(io, slot);
    return false;
}

static void
submit_close(struct io *io, io_socket slot)
{
    io->sockets[slot].flags |= SOCKET_CLOSE_SENT;
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = IORING_OP_CLOSE;
    sqe->file_index = slot + 1;
    sqe->user_data = tag_of(io, slot, OP_CLOSE);
}

/* Goes one step on towards the end of a socket that was given up. */
static void
close_when_idle(struct io *io, io_socket slot)
{
    struct socket_record *record = &io->sockets[slot];
    uint16_t under_way = SOCKET_ARMED | SOCKET_SENDING | SOCKET_SHUTTING | SOCKET_MOVING | SOCKET_CLOSE_SENT;
    if ((record->flags & SOCKET_CLOSING) == 0 || (record->flags & under_way) != 0) {
        return;
    }
    if (io->cut_before_close && (record->flags & (SOCKET_CUT | SOCKET_QUIET)) == 0) {
        /* Old kernels drop a direct descriptor only when all older requests of the ring have ended: the peer would wait for its end of
         * stream as long as any other connection is idle. */
        record->flags |= SOCKET_CUT;
        submit_shutdown(io, slot, SHUT_RDWR);
        return;
    }
    submit_close(io, slot);
}

void
io_close(struct io *io, io_socket socket)
{
    struct socket_record *record = live_record_of(io, socket);
    record->flags |= SOCKET_CLOSING;
    cancel_receive(io, socket);
    if ((record->flags & SOCKET_SEND_REST) != 0) {
        cancel_all_of(io, socket);
    } else if ((record->flags & SOCKET_SENDING) != 0) {
        cancel(io, tag_of(io, socket, OP_SEND));
    }
    close_when_idle(io, socket);
}

void
socket_close_quietly(struct io *io, io_socket slot)
{
    io->sockets[slot].flags |= SOCKET_CLOSING | SOCKET_QUIET;
    close_when_idle(io, slot);
}

static bool
close_complete(struct io *io, io_socket slot, struct io_event *event)
{
    struct socket_record *record = &io->sockets[slot];
    bool tell = (record->flags & SOCKET_QUIET) == 0;
    if (tell) {
        *event = (struct io_event){.type = IO_CLOSED, .socket = slot, .token = record->token};
    }
    record->flags &= SOCKET_QUEUED;
    record->generation++;
    io->sockets_open--;
    accept_resume(io);
    return tell;
}

/* ---------------------------------------------------------------------------------------------------------- move */

static void
submit_move(struct io *io, io_socket slot)
{
    struct socket_record *record = &io->sockets[slot];
    struct io *target = io->set->shards[record->move_target];
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = IORING_OP_MSG_RING;
    sqe->fd = target->ring.uring.ring_fd;
    sqe->addr = IORING_MSG_SEND_FD;
    sqe->addr3 = slot;
    sqe->file_index = IORING_FILE_INDEX_ALLOC;
    sqe->off = (uint64_t)OP_MOVED << SHARD_TOKEN_BITS | record->token; /* the target's user_data */
    sqe->user_data = tag_of(io, slot, OP_MOVE);
}

void
io_move(struct io *io, io_socket socket, unsigned target_shard, uint64_t token)
{
    struct socket_record *record = live_record_of(io, socket);
    assert((record->flags & (SOCKET_ARMED | SOCKET_SENDING | SOCKET_SHUTTING)) == 0);
    assert(target_shard < io->set->shard_count && target_shard != io->shard && token >> SHARD_TOKEN_BITS == 0);
    record->flags |= SOCKET_MOVING;
    record->token = token;
    record->move_target = target_shard;
    /*
     * What the token points to was written before this call, and will be read by the other shard. The kernel orders the two in fact, but C11
     * and ThreadSanitizer do not see through it. Release: pairs with the acquire in moved_complete(); the read there comes after
     * this addition, because the message that leads to it is sent after it, so it sees this or a later value.
     */
    atomic_fetch_add_explicit(&io->set->shards[target_shard]->handovers, 1, memory_order_release);
    submit_move(io, socket);
}

/* True if the target's thread has not begun yet, so that the move is only early. */
static bool
retry_move_later(struct io *io, io_socket slot, int result)
{
    struct socket_record *record = &io->sockets[slot];
    struct io *target = io->set->shards[record->move_target];
    if (result != -EBADFD || atomic_load_explicit(&target->life, memory_order_relaxed) == SHARD_LEFT) {
        return false;
    }
    record->move_next = io->moves_waiting;
    io->moves_waiting = slot;
    io->moves_retry_ns = io->now_ns + MOVE_RETRY_NS;
    return true;
}

uint64_t
socket_retry_moves(struct io *io)
{
    if (io->moves_waiting == IO_SOCKET_NONE) {
        return UINT64_MAX;
    }
    if (shard_clock_ns() < io->moves_retry_ns) {
        return io->moves_retry_ns;
    }
    while (io->moves_waiting != IO_SOCKET_NONE) {
        io_socket slot = io->moves_waiting;
        io->moves_waiting = (io_socket)io->sockets[slot].move_next;
        submit_move(io, slot);
    }
    return UINT64_MAX;
}

static bool
move_complete(struct io *io, io_socket slot, const struct io_uring_cqe *cqe, struct io_event *event)
{
    struct socket_record *record = &io->sockets[slot];
    if (retry_move_later(io, slot, cqe->res)) {
        return false;
    }
    record->flags &= (uint16_t)~SOCKET_MOVING;
    socket_close_quietly(io, slot);
    if (cqe->res >= 0) {
        return false;
    }
    *event = (struct io_event){.type = IO_MOVE_FAILED, .socket = IO_SOCKET_NONE, .result = cqe->res, .token = record->token};
    return true;
}

static bool
moved_complete(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    /* Acquire: pairs with the release in io_move() of the shard that sent it. */
    atomic_load_explicit(&io->handovers, memory_order_acquire);
    socket_open(io, (io_socket)cqe->res);
    *event = (struct io_event){
        .type = IO_MOVED, .socket = (io_socket)cqe->res, .token = cqe->user_data & ((UINT64_C(1) << SHARD_TOKEN_BITS) - 1)};
    return true;
}

/* --------------------------------------------------------------------------------------------------- completions */

/* A completion of an earlier life of its slot. That cannot be, as far as we know the kernel; its buffer must go back all the same. */
static bool
is_stale(struct io *io, const struct io_uring_cqe *cqe)
{
    const struct socket_record *record = &io->sockets[shard_tag_slot(cqe->user_data)];
    if ((record->flags & SOCKET_OPEN) != 0 && record->generation == shard_tag_generation(cqe->user_data)) {
        return false;
    }
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        ring_return_buffer(&io->ring, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    }
    return true;
}

bool
socket_complete(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    enum shard_operation operation = shard_tag_operation(cqe->user_data);
    if (operation == OP_MOVED) {
        return moved_complete(io, cqe, event);
    }
    if (is_stale(io, cqe)) {
        return false;
    }
    io_socket slot = shard_tag_slot(cqe->user_data);
    switch (operation) {
    case OP_RECEIVE:
        return receive_complete(io, slot, cqe, event);
    case OP_SEND:
        return send_complete(io, slot, cqe, event);
    case OP_SHUTDOWN:
        return shutdown_complete(io, slot);
    case OP_MOVE:
        return move_complete(io, slot, cqe, event);
    case OP_CLOSE:
        return close_complete(io, slot, event);
    default:
        return false;
    }
}
