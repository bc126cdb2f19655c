#include "engine/io/uring_listen.h"

#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* For a listener that names no backlog. The system cuts it to net.core.somaxconn. */
#define BACKLOG_DEFAULT 65535

static int
set_option(int socket, int level, int option)
{
    int on = 1;
    return setsockopt(socket, level, option, &on, sizeof on) < 0 ? -errno : 0;
}

static int
bind_socket(int socket, const struct addrinfo *address)
{
    int result = bind(socket, address->ai_addr, address->ai_addrlen) < 0 ? -errno : 0;
    if (result == -EADDRINUSE) {
        result = set_option(socket, SOL_SOCKET, SO_REUSEADDR);
        if (result == 0 && bind(socket, address->ai_addr, address->ai_addrlen) < 0) {
            result = -errno;
        }
    }
    return result;
}

/* Gives a new socket its options and address. 0 or -errno. */
static int
set_up_socket(int socket, const struct addrinfo *address)
{
    int result = set_option(socket, SOL_SOCKET, SO_REUSEPORT);
    if (result == 0) {
        result = set_option(socket, IPPROTO_TCP, TCP_NODELAY);
    }
    if (result == 0 && address->ai_family == AF_INET6) {
        /* IPv4 has a socket of its own. */
        result = set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY);
    }
    return result == 0 ? bind_socket(socket, address) : result;
}

int
listen_begin(int socket, int backlog)
{
    int result = set_option(socket, SOL_SOCKET, SO_REUSEADDR);
    if (result == 0 && listen(socket, backlog > 0 ? backlog : BACKLOG_DEFAULT) < 0) {
        result = -errno;
    }
    return result;
}

/*
 * -EADDRINUSE if anybody listens on the address, or is about to: SO_REUSEPORT alone would let a second broker of the same user share it without a word.
 */
static int
check_free(const struct addrinfo *address)
{
    int probe = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    if (probe < 0) {
        return -errno;
    }
    int result = set_option(probe, SOL_SOCKET, SO_REUSEADDR);
    if (result == 0 && address->ai_family == AF_INET6) {
        result = set_option(probe, IPPROTO_IPV6, IPV6_V6ONLY);
    }
    if (result == 0 && bind(probe, address->ai_addr, address->ai_addrlen) < 0) {
        result = -errno;
    }
    close(probe);
    return result;
}

static int
open_one(const struct addrinfo *address, const struct io_listener *listener)
{
    int free_result = listener->first ? check_free(address) : 0;
    if (free_result < 0) {
        return free_result;
    }
    int opened = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
    if (opened < 0) {
        return -errno;
    }
    int result = set_up_socket(opened, address);
    if (result < 0) {
        close(opened);
        return result;
    }
    return opened;
}

/* An address of a family that this machine was built or started without, for example ::1 of localhost. */
static bool
is_missing_family(int result)
{
    return result == -EAFNOSUPPORT || result == -EADDRNOTAVAIL;
}

static void
close_all(const int *sockets, int count)
{
    for (int i = 0; i < count; i++) {
        close(sockets[i]);
    }
}

/* As listen_open, without the words. */
static int
open_each(const struct addrinfo *addresses, const struct io_listener *listener, int sockets[LISTEN_SOCKETS_MAX])
{
    int count = 0;
    int missing = -EADDRNOTAVAIL;
    for (const struct addrinfo *a = addresses; a != NULL && count < LISTEN_SOCKETS_MAX; a = a->ai_next) {
        int result = open_one(a, listener);
        if (result >= 0) {
            sockets[count++] = result;
        } else if (is_missing_family(result)) {
            missing = result;
        } else {
            close_all(sockets, count);
            return result;
        }
    }
    return count > 0 ? count : missing;
}

/* An address of the wanted interface and kind. */
static bool
is_wanted(const struct ifaddrs *a, const struct io_listener *listener)
{
    if (strcmp(a->ifa_name, listener->interface) != 0 || a->ifa_addr == NULL) {
        return false;
    }
    return (a->ifa_addr->sa_family == AF_INET && !listener->ipv6_only) || (a->ifa_addr->sa_family == AF_INET6 && !listener->ipv4_only);
}

/* The same with the listener's port; a link-local one of IPv6 comes with the number of its interface. */
static struct addrinfo
with_port(const struct ifaddrs *a, struct sockaddr_storage *storage, uint16_t port)
{
    bool ipv4 = a->ifa_addr->sa_family == AF_INET;
    socklen_t size = ipv4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    memcpy(storage, a->ifa_addr, size);
    if (ipv4) {
        ((struct sockaddr_in *)storage)->sin_port = htons(port);
    } else {
        ((struct sockaddr_in6 *)storage)->sin6_port = htons(port);
    }
    return (struct addrinfo){.ai_family = a->ifa_addr->sa_family, .ai_addr = (struct sockaddr *)storage, .ai_addrlen = size};
}

/* Collects the interface's addresses, each the next of the one before. Returns how many, or -errno. */
static int
find_addresses(const struct io_listener *listener, struct addrinfo out[LISTEN_SOCKETS_MAX], struct sockaddr_storage storage[LISTEN_SOCKETS_MAX])
{
    struct ifaddrs *all;
    if (getifaddrs(&all) != 0) {
        return -errno;
    }
    int found = 0;
    for (const struct ifaddrs *a = all; a != NULL && found < LISTEN_SOCKETS_MAX; a = a->ifa_next) {
        if (is_wanted(a, listener)) {
            out[found] = with_port(a, &storage[found], listener->port);
            if (found > 0) {
                out[found - 1].ai_next = &out[found];
            }
            found++;
        }
    }
    freeifaddrs(all);
    return found;
}

/* As listen_open. */
static int
open_interface(const struct io_listener *listener, int sockets[LISTEN_SOCKETS_MAX], char *error, size_t error_size)
{
    struct addrinfo addresses[LISTEN_SOCKETS_MAX];
    struct sockaddr_storage storage[LISTEN_SOCKETS_MAX];
    int found = find_addresses(listener, addresses, storage);
    int count = found > 0 ? open_each(addresses, listener, sockets) : found < 0 ? found : -EADDRNOTAVAIL;
    if (count < 0) {
        snprintf(error, error_size, "cannot listen on interface %s port %u: %s", listener->interface, listener->port,
                 found == 0 ? "there is no such interface, or it has no address of this kind" : strerror(-count));
    }
    return count;
}

int
listen_open(const struct io_listener *listener, int sockets[LISTEN_SOCKETS_MAX], char *error, size_t error_size)
{
    if (listener->interface != NULL) {
        return open_interface(listener, sockets, error, error_size);
    }
    const char *host = listener->host != NULL && listener->host[0] != '\0' ? listener->host : NULL;
    const char *host_shown = host != NULL ? host : "*";
    struct addrinfo hints = {
        .ai_family = listener->ipv4_only ? AF_INET : listener->ipv6_only ? AF_INET6 : AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    char port[8];
    snprintf(port, sizeof port, "%u", listener->port);

    struct addrinfo *addresses = NULL;
    int failure = getaddrinfo(host, port, &hints, &addresses);
    if (failure != 0) {
        snprintf(error, error_size, "cannot listen on %s port %s: %s", host_shown, port, gai_strerror(failure));
        return failure == EAI_SYSTEM ? -errno : -EADDRNOTAVAIL;
    }
    int count = open_each(addresses, listener, sockets);
    freeaddrinfo(addresses);
    if (count < 0) {
        snprintf(error, error_size, "cannot listen on %s port %s: %s", host_shown, port, strerror(-count));
    }
    return count;
}
