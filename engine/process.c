#include "engine/process.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* LeakSanitizer looks at its own process as a debugger does. */
#if defined(__SANITIZE_ADDRESS__)
#define IS_LOOKED_AT true
#else
#define IS_LOOKED_AT false
#endif

void
process_raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

bool
process_is_root(void)
{
    return geteuid() == 0;
}

int
process_become(const char *name, char *error, size_t error_size)
{
    const struct passwd *user = getpwnam(name);
    if (user == NULL) {
        snprintf(error, error_size, "option user: there is no user '%s' on this machine", name);
        return -1;
    }
    /* Groups first: without root they cannot be changed any more. */
    if (initgroups(name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0) {
        snprintf(error, error_size, "cannot become user '%s': %s", name, strerror(errno));
        return -1;
    }
    if (user->pw_uid != 0 && setuid(0) == 0) {
        snprintf(error, error_size, "became user '%s', but could still be root again", name);
        return -1;
    }
    return 0;
}

void
process_harden(bool core_dumps)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* Not RLIMIT_CORE: a handler behind a pipe would still get everything. Becoming another user has switched it off already. */
    prctl(PR_SET_DUMPABLE, core_dumps || IS_LOOKED_AT ? 1 : 0, 0, 0, 0);
}

void
process_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path) {
        return;
    }
    memcpy(to.sun_path, path, strlen(path));
    if (path[0] == '@') {
        to.sun_path[0] = '\0'; /* the abstract name space */
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    /* Nobody is there to be told that the supervisor does not listen. */
    ssize_t ignored = sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&to,
                             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
    (void)ignored;
    close(fd);
}
