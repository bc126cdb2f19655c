#include "engine/io/uring_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A broker that was killed keeps its sockets until the kernel has taken its rings down, which comes after its end: a restart at once waits for that. */
#define LINGER_MS 50
#define LINGER_TRIES 20

struct unix_socket {
    struct unix_socket *next;
    int fd;
    dev_t device; /* of the path, which says whether it is still ours */
    ino_t inode;
    struct sockaddr_un address;
};

static int
open_socket(int type)
{
    int opened = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    return opened < 0 ? -errno : opened;
}

/*
 * 0: nobody has the path, which is a socket. Only one of the wrong type tells that from somebody who is about to listen: EPROTOTYPE, as for somebody who does.
 */
static int
check_abandoned(const struct sockaddr_un *address)
{
    struct stat about;
    if (lstat(address->sun_path, &about) != 0) {
        return -errno;
    }
    if (!S_ISSOCK(about.st_mode)) {
        return -EEXIST;
    }
    int probe = open_socket(SOCK_DGRAM);
    if (probe < 0) {
        return probe;
    }
    int result = connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 || errno != ECONNREFUSED ? -EADDRINUSE : 0;
    close(probe);
    return result;
}

static int
bind_path(int socket, const struct sockaddr_un *address)
{
    if (bind(socket, (const struct sockaddr *)address, sizeof *address) == 0) {
        return 0;
    }
    if (errno != EADDRINUSE) {
        return -errno;
    }
    int result = check_abandoned(address);
    for (unsigned tries = 0; result == -EADDRINUSE && tries < LINGER_TRIES; tries++) {
        usleep(LINGER_MS * 1000);
        result = check_abandoned(address);
    }
    if (result == 0 && (unlink(address->sun_path) != 0 || bind(socket, (const struct sockaddr *)address, sizeof *address) != 0)) {
        result = -errno;
    }
    return result;
}

/*
 * Binds, with permissions that are never wider than asked for: the path gets those of the unbound socket, cut by the umask, and only then all of them.
 */
static int
set_up(struct unix_socket *s, const struct io_listener *listener)
{
    if (listener->mode != 0 && fchmod(s->fd, listener->mode) != 0) {
        return -errno;
    }
    int result = bind_path(s->fd, &s->address);
    if (result < 0) {
        return result;
    }
    struct stat about;
    if (lstat(s->address.sun_path, &about) == 0) {
        s->device = about.st_dev;
        s->inode = about.st_ino;
    }
    if (listener->mode != 0 && chmod(s->address.sun_path, listener->mode) != 0) {
        return -errno;
    }
    return 0;
}

static void
close_one(struct unix_socket **sp)
{
    struct unix_socket *s = *sp;
    struct stat about;
    *sp = NULL;
    if (s->inode != 0 && lstat(s->address.sun_path, &about) == 0 && about.st_dev == s->device && about.st_ino == s->inode) {
        unlink(s->address.sun_path); /* whoever we have become may not be allowed to: the next start replaces it */
    }
    if (s->fd >= 0) {
        close(s->fd);
    }
    free(s);
}

static int
open_first(struct unix_socket **all, const struct io_listener *listener)
{
    if (strlen(listener->path) >= sizeof((struct sockaddr_un *)NULL)->sun_path) {
        return -ENAMETOOLONG;
    }
    struct unix_socket *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return -ENOMEM;
    }
    s->address.sun_family = AF_UNIX;
    strcpy(s->address.sun_path, listener->path);
    s->fd = open_socket(SOCK_STREAM);
    int result = s->fd < 0 ? s->fd : set_up(s, listener);
    if (result < 0) {
        close_one(&s);
        return result;
    }
    s->next = *all;
    *all = s;
    return 0;
}

static const struct unix_socket *
find(const struct unix_socket *s, const char *path)
{
    while (s != NULL && strcmp(s->address.sun_path, path) != 0) {
        s = s->next;
    }
    return s;
}

static const char *
explain(int result)
{
    switch (result) {
    case -EADDRINUSE:
        return "somebody listens there already";
    case -EEXIST:
        return "there is something else that is not a socket";
    default:
        return strerror(-result);
    }
}

int
unix_listen(struct unix_socket **all, const struct io_listener *listener, char *error, size_t error_size)
{
    int result = 0;
    if (find(*all, listener->path) == NULL) {
        result = open_first(all, listener);
    }
    int copy = result < 0 ? result : fcntl(find(*all, listener->path)->fd, F_DUPFD_CLOEXEC, 0);
    if (result == 0 && copy < 0) {
        copy = -errno;
    }
    if (copy < 0) {
        snprintf(error, error_size, "cannot listen on %s: %s", listener->path, explain(copy));
    }
    return copy;
}

void
unix_close_all(struct unix_socket **all)
{
    while (*all != NULL) {
        struct unix_socket *s = *all;
        *all = s->next;
        close_one(&s);
    }
}
