/*
 * Accepting: every listener keeps ACCEPTORS armed single-shot accepts. Multishot would be one request instead, but cannot report the
 * peer's address.
 *
 *      idle ── accept_arm, start of a turn ──► armed ── completion ──► idle      (peer's address stays valid between the two turns)
 *
 * The kernel picks the slot. When it finds none, or no memory, the connection is lost to the peer, IO_ACCEPT_FAILED says so (not more
 * often than once per ACCEPT_REST_NS), and acceptors rest: for that time, or until a socket closes. While all slots are taken none is
 * armed, and connections wait in the backlog.
 *
 * An accept makes the socket and its file before it looks into the backlog, and a vain one throws them away. So where the kernel can do it, an
 * accept tries at once only when the one before it has seen more to come; else it waits for the listener first.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/io/uring_compat.h"
#include "engine/io/uring_listen.h"
#include "engine/io/uring_shard.h"
#include "engine/io/uring_unix.h"

/* Accepts per listener and turn. Each costs 300 bytes here and in the kernel. */
#define ACCEPTORS 16
#define ACCEPT_REST_NS 100000000

struct acceptor {
    struct sockaddr_storage peer;
    socklen_t peer_size;
    uint32_t number; /* over all listeners of the shard */
    struct listener *listener;
    struct acceptor *next_idle;
};

struct listener {
    int fd; /* -1: stopped */
    int backlog;
    bool begun; /* it listens, and its acceptors take part */
    uint64_t token;
    bool more_waiting; /* in the backlog, as the last accept saw it */
    struct acceptor acceptors[ACCEPTORS];
};

/* ---------------------------------------------------------------------------------------------------- listeners */

static void
push_idle(struct io *io, struct acceptor *acceptor)
{
    acceptor->next_idle = io->acceptors_idle;
    io->acceptors_idle = acceptor;
}

static bool
add_listener(struct io *io, int fd, int backlog, uint64_t token)
{
    struct listener **grown = realloc(io->listeners, (io->listener_count + 1) * sizeof *grown);
    if (grown == NULL) {
        return false;
    }
    io->listeners = grown;
    struct listener *listener = calloc(1, sizeof *listener);
    if (listener == NULL) {
        return false;
    }
    listener->fd = fd;
    listener->backlog = backlog;
    listener->token = token;
    for (uint32_t i = 0; i < ACCEPTORS; i++) {
        listener->acceptors[i].number = io->listener_count * ACCEPTORS + i;
        listener->acceptors[i].listener = listener;
    }
    io->listeners[io->listener_count++] = listener;
    return true;
}

int
io_listen(struct io *io, const struct io_listener *listener, uint64_t token, char *error, size_t error_size)
{
    int fds[LISTEN_SOCKETS_MAX];
    int count;
    if (listener->path != NULL) {
        fds[0] = unix_listen(&io->set->unix_sockets, listener, error, error_size);
        count = fds[0] < 0 ? fds[0] : 1;
    } else {
        count = listen_open(listener, fds, error, error_size);
    }
    for (int i = 0; i < count; i++) {
        if (!add_listener(io, fds[i], listener->backlog, token)) {
            for (; i < count; i++) {
                close(fds[i]);
            }
            snprintf(error, error_size, "cannot listen on port %u: out of memory", listener->port);
            return -ENOMEM;
        }
    }
    return count < 0 ? count : 0;
}

static int
begin(struct io *io, struct listener *listener)
{
    int result = listen_begin(listener->fd, listener->backlog);
    listener->begun = result == 0;
    for (uint32_t i = 0; listener->begun && i < ACCEPTORS; i++) {
        push_idle(io, &listener->acceptors[i]);
    }
    return result;
}

int
io_listen_begin(struct io *io)
{
    int result = 0;
    for (unsigned i = 0; result == 0 && i < io->listener_count; i++) {
        if (!io->listeners[i]->begun && io->listeners[i]->fd >= 0) {
            result = begin(io, io->listeners[i]);
        }
    }
    return result;
}

void
io_listen_stop(struct io *io)
{
    for (unsigned i = 0; i < io->listener_count; i++) {
        struct listener *listener = io->listeners[i];
        if (listener->fd >= 0) {
            /* Armed accepts hold the socket beyond its descriptor; the shutdown makes them return. */
            shutdown(listener->fd, SHUT_RDWR);
            close(listener->fd);
            listener->fd = -1;
        }
    }
}

void
accept_fini(struct io *io)
{
    io_listen_stop(io);
    for (unsigned i = 0; i < io->listener_count; i++) {
        free(io->listeners[i]);
    }
    free(io->listeners);
    io->listeners = NULL;
    io->listener_count = 0;
    io->acceptors_idle = NULL;
}

/* ------------------------------------------------------------------------------------------------------ accepts */

static void
arm(struct io *io, struct acceptor *acceptor)
{
    acceptor->peer_size = sizeof acceptor->peer;
    struct io_uring_sqe *sqe = ring_take_sqe(&io->ring);
    sqe->opcode = IORING_OP_ACCEPT;
    sqe->fd = acceptor->listener->fd;
    sqe->addr = (uintptr_t)&acceptor->peer;
    sqe->addr2 = (uintptr_t)&acceptor->peer_size;
    sqe->file_index = IORING_FILE_INDEX_ALLOC;
    if (io->set->caps.accept_poll_first && !acceptor->listener->more_waiting) {
        sqe->ioprio = URING_ACCEPT_POLL_FIRST;
    }
    sqe->user_data = shard_tag(OP_ACCEPT, 0, 0, acceptor->number);
}

void
accept_resume(struct io *io)
{
    io->accept_retry_ns = 0;
}

uint64_t
accept_arm(struct io *io)
{
    if (io->acceptors_idle == NULL || io->sockets_open >= io->sockets_max) {
        return UINT64_MAX;
    }
    if (io->accept_retry_ns != 0) {
        if (shard_clock_ns() < io->accept_retry_ns) {
            return io->accept_retry_ns;
        }
        io->accept_retry_ns = 0;
    }
    while (io->acceptors_idle != NULL) {
        struct acceptor *acceptor = io->acceptors_idle;
        io->acceptors_idle = acceptor->next_idle;
        if (acceptor->listener->fd >= 0) {
            arm(io, acceptor);
        }
    }
    return UINT64_MAX;
}

/* A connection that broke before it was taken, or a network that is down: accept(2) says to go on with the next. */
static bool
is_of_one_connection(int result)
{
    switch (-result) {
    case ECONNABORTED:
    case EINTR:
    case EAGAIN:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case EOPNOTSUPP:
        return true;
    default:
        return false;
    }
}

static bool
report_failure(struct io *io, const struct listener *listener, int result, struct io_event *event)
{
    io->accept_retry_ns = io->now_ns + ACCEPT_REST_NS;
    if (io->accept_reported_ns != 0 && io->now_ns - io->accept_reported_ns < ACCEPT_REST_NS) {
        return false;
    }
    io->accept_reported_ns = io->now_ns;
    *event = (struct io_event){.type = IO_ACCEPT_FAILED, .socket = IO_SOCKET_NONE, .result = result, .token = listener->token};
    return true;
}

bool
accept_complete(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event)
{
    uint32_t number = (uint32_t)cqe->user_data;
    struct listener *listener = io->listeners[number / ACCEPTORS];
    struct acceptor *acceptor = &listener->acceptors[number % ACCEPTORS];
    if (listener->fd < 0) {
        /* Stopped: the engine does not expect connections any more. */
        if (cqe->res >= 0) {
            socket_open(io, (io_socket)cqe->res);
            socket_close_quietly(io, (io_socket)cqe->res);
        }
        return false;
    }
    if (cqe->res == -EINVAL) {
        return false; /* it listens no more: of a Unix socket that shards share, another one was faster to stop */
    }
    push_idle(io, acceptor);
    listener->more_waiting = (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0;
    if (cqe->res < 0) {
        return !is_of_one_connection(cqe->res) && report_failure(io, listener, cqe->res, event);
    }
    socket_open(io, (io_socket)cqe->res);
    *event = (struct io_event){
        .type = IO_ACCEPTED, .socket = (io_socket)cqe->res, .token = listener->token, .peer = &acceptor->peer};
    return true;
}
