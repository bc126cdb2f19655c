/*
 * uring_unix: Unix sockets for listeners, bound but not listening (listen_begin() in uring_listen.h). There is one per path, and all shards accept from it: each has a descriptor of its own for the same socket.
 *
 * A path that a broker left behind when it was killed is replaced; one that somebody has, or which is no socket, is not. The path is removed when the set
 * closes, if it is still ours.
 *
 * Threads  the starting thread only.
 */
#ifndef TIDEWIRE_ENGINE_IO_URING_UNIX_H
#define TIDEWIRE_ENGINE_IO_URING_UNIX_H

#include <stddef.h>

#include "engine/io/io.h"

struct unix_socket;

/* A bound descriptor for `listener->path`, now the caller's, or -errno with a line in `error`. `all`: the sockets of the set, NULL at first. */
int unix_listen(struct unix_socket **all, const struct io_listener *listener, char *error, size_t error_size);

/* Removes the paths and forgets the sockets; `*all` is nulled. */
void unix_close_all(struct unix_socket **all);

#endif
