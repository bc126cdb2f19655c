#include "engine/process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
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

static const struct passwd *
find_user(const char *name, char *error, size_t error_size)
{
    const struct passwd *user = getpwnam(name);
    if (user == NULL) {
        snprintf(error, error_size, "option user: there is no user '%s' on this machine", name);
    }
    return user;
}

static int give_inside(int directory, unsigned depth, const struct passwd *user);

/* -1 with errno. What is open cannot be exchanged for a link any more. */
static int
give(int directory, const char *name, unsigned depth, const struct passwd *user)
{
    int fd = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return errno == ELOOP || errno == ENOENT ? 0 : -1;
    }
    struct stat about;
    int result = fstat(fd, &about);
    bool is_directory = result == 0 && S_ISDIR(about.st_mode);
    bool is_file = result == 0 && S_ISREG(about.st_mode) && about.st_nlink == 1;
    if ((is_directory || is_file) && about.st_uid == 0) {
        result = fchown(fd, user->pw_uid, user->pw_gid);
    }
    if (is_directory && result == 0 && depth > 0) {
        result = give_inside(fd, depth - 1, user);
    }
    close(fd);
    return result;
}

static int
give_inside(int directory, unsigned depth, const struct passwd *user)
{
    int fd = dup(directory);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        return -1;
    }
    int result = 0;
    for (struct dirent *entry; result == 0 && (entry = readdir(dir)) != NULL;) {
        bool inside = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
        result = inside ? give(directory, entry->d_name, depth, user) : 0;
    }
    closedir(dir);
    return result;
}

int
process_give_directory(const char *path, unsigned depth, const char *name, char *error, size_t error_size)
{
    const struct passwd *user = find_user(name, error, error_size);
    if (user == NULL) {
        return -1;
    }
    if (give(AT_FDCWD, path, depth, user) != 0) {
        snprintf(error, error_size, "%s cannot be given to user '%s': %s", path, name, strerror(errno));
        return -1;
    }
    return 0;
}

int
process_become(const char *name, char *error, size_t error_size)
{
    const struct passwd *user = find_user(name, error, error_size);
    if (user == NULL) {
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
