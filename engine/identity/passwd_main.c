/*
 * tidewire-passwd: writes the password files that the broker reads.
 *
 *   FILE ──read──► lines ──set, delete or hash──► FILE.new-XXXXXX ──fsync, rename──► FILE
 *
 * A broker that reloads meanwhile, or a power cut, finds the old file or the new one, never a part. Comments, blank lines and the order stay.
 */
#include "engine/identity/passwd_options.h"
#include "engine/identity/password_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define SECRET_SIZE_MAX 65535u /* of a password in MQTT */

__attribute__((format(printf, 1, 2))) static bool
complain(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("tidewire-passwd: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return false;
}

/* --------------------------------------------------------------------------------------------------------- the password */

static struct termios terminal_before;

/* Ctrl-C at the prompt must not leave a terminal without echo. */
static void
give_echo_back(int number)
{
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
    _exit(128 + number);
}

/* A line from the terminal or whatever standard input is, without its end. False: told. */
static bool
read_secret_line(const char *prompt, bool terminal, char *out, size_t room)
{
    if (terminal) {
        fputs(prompt, stderr);
        fflush(stderr);
    }
    bool got = fgets(out, (int)room, stdin) != NULL;
    if (terminal) {
        fputc('\n', stderr);
    }
    if (!got) {
        return complain("no password on standard input");
    }
    out[strcspn(out, "\r\n")] = '\0';
    return true;
}

static bool
read_secret_twice(bool terminal, char *out, size_t room)
{
    char again[SECRET_SIZE_MAX + 3];
    bool same = read_secret_line("Password: ", terminal, out, room);
    if (same && terminal) {
        same = read_secret_line("The same again: ", terminal, again, sizeof again) && (strcmp(out, again) == 0 || complain("the two are not the same"));
    }
    OPENSSL_cleanse(again, sizeof again);
    return same;
}

/* From the terminal without echo, twice; from anything else one line. */
static bool
ask_secret(char *out, size_t room)
{
    bool terminal = tcgetattr(STDIN_FILENO, &terminal_before) == 0;
    if (terminal) {
        struct termios silent = terminal_before;
        silent.c_lflag &= ~(tcflag_t)ECHO;
        signal(SIGINT, give_echo_back);
        signal(SIGTERM, give_echo_back);
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
    }
    bool got = read_secret_twice(terminal, out, room);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
    }
    return got && ((out[0] != '\0' && strlen(out) <= SECRET_SIZE_MAX) || complain("an empty password, or one of more than %u bytes", SECRET_SIZE_MAX));
}

/* "user:stored password" and the end of the line. */
static bool
write_user(FILE *out, const struct passwd_options *options, struct bytes user, struct bytes secret)
{
    struct password password;
    char text[PASSWORD_TEXT_MAX];
    if (!password_make(&password, options->kind, options->cost, secret)) {
        return complain("out of memory or randomness");
    }
    password_write(&password, text);
    fprintf(out, "%.*s:%s\n", (int)user.size, (const char *)user.data, text);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------------- lines */

struct rewrite {
    const struct passwd_options *options;
    struct bytes secret;
    FILE *out;
    unsigned line;
    bool found;
};

static struct bytes
trimmed(const char *text, size_t size)
{
    while (size > 0 && strchr(" \t\r\n", text[0]) != NULL) {
        text++;
        size--;
    }
    while (size > 0 && strchr(" \t\r\n", text[size - 1]) != NULL) {
        size--;
    }
    return bytes_of(text, (uint32_t)size);
}

/* A line that names a user; `secret` is what stands after the colon. */
static bool
rewrite_user(struct rewrite *r, const char *line, struct bytes user, struct bytes secret)
{
    const char *wrong = password_file_check_name(user);
    if (wrong != NULL) {
        return complain("%s:%u: %s", r->options->path, r->line, wrong);
    }
    if (r->options->action == PASSWD_HASH_ALL) {
        struct password ignored;
        if (password_parse(secret, &ignored) == NULL) {
            fputs(line, r->out); /* hashed already: as hashing a hash would lock its user out */
            return true;
        }
        return secret.size > 0 ? write_user(r->out, r->options, user, secret) : complain("%s:%u: a user without a password", r->options->path, r->line);
    }
    if (!bytes_equal(user, bytes_of(r->options->user, (uint32_t)strlen(r->options->user)))) {
        fputs(line, r->out);
        return true;
    }
    if (r->found) {
        return complain("%s:%u: user '%s' is there twice", r->options->path, r->line, r->options->user);
    }
    r->found = true;
    return r->options->action == PASSWD_DELETE || write_user(r->out, r->options, user, r->secret);
}

static bool
rewrite_line(struct rewrite *r, const char *line, size_t size)
{
    r->line++;
    if (line[0] == '#' || trimmed(line, size).size == 0) {
        fputs(line, r->out);
        return true;
    }
    const char *colon = strchr(line, ':');
    if (colon == NULL || strlen(line) != size) {
        return complain("%s:%u: not 'user:password'", r->options->path, r->line);
    }
    struct bytes secret = trimmed(colon + 1, size - (size_t)(colon - line) - 1);
    return rewrite_user(r, line, trimmed(line, (size_t)(colon - line)), secret);
}

/* All lines of `in`, and the new user if there was none. */
static bool
rewrite_all(struct rewrite *r, FILE *in)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t size;
    bool done = true, ended = true;
    while (done && in != NULL && (size = getline(&line, &room, in)) > 0) {
        done = rewrite_line(r, line, (size_t)size);
        ended = line[size - 1] == '\n';
    }
    if (line != NULL) {
        OPENSSL_cleanse(line, room);
    }
    free(line);
    if (!done || (in != NULL && ferror(in))) {
        return done ? complain("%s: %s", r->options->path, strerror(errno)) : false;
    }
    if (r->options->action == PASSWD_DELETE) {
        return r->found || complain("%s: there is no user '%s'", r->options->path, r->options->user);
    }
    if (r->options->action == PASSWD_SET && !r->found) {
        fputs(ended ? "" : "\n", r->out);
        return write_user(r->out, r->options, bytes_of(r->options->user, (uint32_t)strlen(r->options->user)), r->secret);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------- the file */

/* The new file beside the old one, with the old one's mode and owner; 0600 if there is none. */
static FILE *
open_new(const char *path, FILE *old, char *new_path, size_t room)
{
    struct stat about;
    bool known = old != NULL && fstat(fileno(old), &about) == 0;
    if (snprintf(new_path, room, "%s.new-XXXXXX", path) >= (int)room) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    int file = mkstemp(new_path); /* 0600 */
    if (file >= 0 && known && (fchown(file, about.st_uid, about.st_gid) != 0 || fchmod(file, about.st_mode & 0777) != 0)) {
        unlink(new_path);
        close(file);
        return NULL;
    }
    return file >= 0 ? fdopen(file, "w") : NULL;
}

/* The name in the folder is on disk too when this returns. */
static void
sync_folder(const char *path)
{
    char copy[4096];
    snprintf(copy, sizeof copy, "%s", path);
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
}

static bool
replace(const char *path, FILE *out, const char *new_path)
{
    bool done = fflush(out) == 0 && !ferror(out) && fsync(fileno(out)) == 0;
    done = (fclose(out) == 0) && done && rename(new_path, path) == 0;
    if (!done) {
        complain("%s: %s", path, strerror(errno));
        unlink(new_path);
        return false;
    }
    sync_folder(path);
    return true;
}

/* Where a symbolic link leads, so that the file is replaced and not the link; the path itself if it does not exist yet. To be freed. */
static char *
real_path(const char *path)
{
    char *real = realpath(path, NULL);
    return real != NULL ? real : errno == ENOENT ? strdup(path) : NULL;
}

static bool
rewrite_file(const struct passwd_options *options, struct bytes secret)
{
    char new_path[4096];
    char *path = real_path(options->path);
    FILE *in = path != NULL ? fopen(path, "re") : NULL;
    if (path == NULL || (in == NULL && !(options->create && errno == ENOENT))) {
        free(path);
        return complain("%s: %s%s", options->path, strerror(errno), errno == ENOENT ? " (-c makes a new file)" : "");
    }
    struct rewrite r = {.options = options, .secret = secret, .out = open_new(path, in, new_path, sizeof new_path)};
    bool done = r.out != NULL || complain("%s: %s", new_path, strerror(errno));
    if (done && !(done = rewrite_all(&r, options->create ? NULL : in))) {
        fclose(r.out);
        unlink(new_path);
    }
    done = done && replace(path, r.out, new_path);
    if (in != NULL) {
        fclose(in);
    }
    free(path);
    return done;
}

static bool
set_password(const struct passwd_options *options, struct bytes secret)
{
    if (options->create && strcmp(options->path, "-") == 0) {
        return write_user(stdout, options, bytes_of(options->user, (uint32_t)strlen(options->user)), secret) && fflush(stdout) == 0;
    }
    return rewrite_file(options, secret);
}

static bool
run(const struct passwd_options *options)
{
    static char secret[SECRET_SIZE_MAX + 3];
    const char *wrong = options->user != NULL ? password_file_check_name(trimmed(options->user, strlen(options->user))) : NULL;
    if (wrong != NULL) {
        return complain("%s", wrong);
    }
    if (options->user != NULL && trimmed(options->user, strlen(options->user)).size != strlen(options->user)) {
        return complain("a user name with blanks around it, which files cannot keep");
    }
    if (options->action != PASSWD_SET) {
        return rewrite_file(options, bytes_of(NULL, 0));
    }
    if (options->secret != NULL && (options->secret[0] == '\0' || strlen(options->secret) > SECRET_SIZE_MAX)) {
        return complain("an empty password, or one of more than %u bytes", SECRET_SIZE_MAX);
    }
    if (options->secret == NULL && !ask_secret(secret, sizeof secret)) {
        return false;
    }
    const char *text = options->secret != NULL ? options->secret : secret;
    bool done = set_password(options, bytes_of(text, (uint32_t)strlen(text)));
    OPENSSL_cleanse(secret, sizeof secret);
    return done;
}

int
main(int argc, char **argv)
{
    struct passwd_options options;
    char error[256];
    switch (passwd_options_read(argc, argv, &options, error, sizeof error)) {
    case PASSWD_HELP:
        return 0;
    case PASSWD_WRONG:
        complain("%s", error);
        return 1;
    case PASSWD_GO:
        break;
    }
    return run(&options) ? 0 : 1;
}
