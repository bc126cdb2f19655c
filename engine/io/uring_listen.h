/*
 * uring_listen: opens the listening sockets of one io_listen() call: one for every address that the host resolves to.
 *
 * They are ordinary descriptors, each shard has its own (SO_REUSEPORT). What connections shall have is set here once and inherited:
 * TCP_NODELAY. Buffer sizes stay the system's, which tunes them by itself.
 */
#ifndef TIDEWIRE_ENGINE_IO_URING_LISTEN_H
#define TIDEWIRE_ENGINE_IO_URING_LISTEN_H

#include <stddef.h>

#include "engine/io/io.h"

/* Addresses that one host name may stand for; more are left out. */
#define LISTEN_SOCKETS_MAX 16

/*
 * Fills `sockets` with listening descriptors, now the caller's, and returns how many (at least 1), or -errno with a line in `error`.
 * A family that this machine does not have is left out, as long as another one works.
 */
int listen_open(const struct io_listener *listener, int sockets[LISTEN_SOCKETS_MAX], char *error, size_t error_size);

#endif
