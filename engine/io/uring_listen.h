/*
 * uring_listen: opens the listening sockets of one io_listen() call: one for every address that the host resolves to.
 *
 * They are ordinary descriptors, each shard has its own (SO_REUSEPORT). What connections shall have is set here once and inherited:
 * TCP_NODELAY. Buffer sizes stay the system's, which tunes them by itself.
 *
 *      listen_open ──► bound: the address is ours, and who connects is refused ── listen_begin ──► listening
 *
 * Linux lets sockets with SO_REUSEADDR share an address until one of them listens. So they are bound without it where that is possible (it is not, when connections of
 * somebody else's still linger on the port), and get it before they listen, which is when whoever comes after us on the port needs it to be there.
 */
#ifndef TIDEWIRE_ENGINE_IO_URING_LISTEN_H
#define TIDEWIRE_ENGINE_IO_URING_LISTEN_H

#include <stddef.h>

#include "engine/io/io.h"

/* Addresses that one host name may stand for; more are left out. */
#define LISTEN_SOCKETS_MAX 16

/*
 * Fills `sockets` with bound descriptors, now the caller's, and returns how many (at least 1), or -errno with a line in `error`.
 * A family that this machine does not have is left out, as long as another one works.
 */
int listen_open(const struct io_listener *listener, int sockets[LISTEN_SOCKETS_MAX], char *error, size_t error_size);

/* `backlog` 0: a large one. Does nothing but that to a socket that listens already. 0 or -errno. */
int listen_begin(int socket, int backlog);

#endif
