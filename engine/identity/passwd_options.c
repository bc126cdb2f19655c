#include "engine/identity/passwd_options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "tidewire-passwd: the users of a password file\n"
    "\n"
    "  tidewire-passwd [-H HASH] [-I N] [-c] FILE USER           set the password of USER; it is asked for, or read from standard input\n"
    "  tidewire-passwd [-H HASH] [-I N] [-c] -b FILE USER PASS   the same with the password on the command line (others on this machine can see it there)\n"
    "  tidewire-passwd -D FILE USER                              delete USER\n"
    "  tidewire-passwd [-H HASH] [-I N] -U FILE                  hash all passwords of a file that has them in plain text\n"
    "\n"
    "  -c    make FILE anew, whatever it held; FILE may be - for standard output\n"
    "  -H    argon2id (default; read by Mosquitto 2.1 and later), sha512-pbkdf2 (2.0 and later), sha512 (1.6 and later; fast to guess),\n"
    "        scram-sha-256 (Tidewire only; for enhanced authentication, and plain passwords as well)\n"
    "  -I    iterations: default 210000 with sha512-pbkdf2, 100000 with scram-sha-256; passes over 46 MiB with argon2id: default 1\n";

__attribute__((format(printf, 3, 4))) static enum passwd_outcome
wrong(char *error, size_t error_size, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, error_size, format, arguments);
    va_end(arguments);
    return PASSWD_WRONG;
}

static bool
read_kind(const char *name, enum password_kind *out)
{
    for (unsigned kind = 0; kind < PASSWORD_KINDS; kind++) {
        if (strcmp(name, password_kind_name(kind)) == 0) {
            *out = kind;
            return true;
        }
    }
    return false;
}

static bool
read_cost(const char *text, uint32_t *out)
{
    char *end;
    unsigned long cost = strtoul(text, &end, 10);
    *out = (uint32_t)cost;
    return text[0] >= '1' && text[0] <= '9' && *end == '\0' && cost <= PASSWORD_ITERATIONS_MAX;
}

/* One letter; `value` is the argument after it. Returns how many arguments were used, 0: wrong, told. */
static int
read_letter(const char *word, const char *value, struct passwd_options *out, char *error, size_t error_size)
{
    switch (word[0] == '-' && word[1] != '\0' && word[2] == '\0' ? word[1] : '?') {
    case 'b':
        out->batch = true;
        return 1;
    case 'c':
        out->create = true;
        return 1;
    case 'D':
    case 'U':
        if (out->action != PASSWD_SET) {
            wrong(error, error_size, "-D and -U cannot be used together");
            return 0;
        }
        out->action = word[1] == 'D' ? PASSWD_DELETE : PASSWD_HASH_ALL;
        return 1;
    case 'H':
        if (value == NULL || !read_kind(value, &out->kind)) {
            wrong(error, error_size, "-H is argon2id, sha512-pbkdf2, sha512 or scram-sha-256");
            return 0;
        }
        return 2;
    case 'I':
        if (value == NULL || !read_cost(value, &out->cost)) {
            wrong(error, error_size, "-I is a number from 1 to %u", PASSWORD_ITERATIONS_MAX);
            return 0;
        }
        return 2;
    default:
        wrong(error, error_size, "unknown option '%s'; --help lists them", word);
        return 0;
    }
}

static enum passwd_outcome
check_together(const struct passwd_options *out, char *error, size_t error_size)
{
    if (out->action != PASSWD_SET && (out->create || out->batch)) {
        return wrong(error, error_size, "-c and -b go with setting a password, not with -D and -U");
    }
    if (out->cost != 0 && out->kind == PASSWORD_SHA512) {
        return wrong(error, error_size, "-I means nothing with -H sha512");
    }
    if (out->kind == PASSWORD_ARGON2ID && out->cost > 80) {
        return wrong(error, error_size, "-I is at most 80 with -H argon2id: passes over the memory, not iterations");
    }
    return PASSWD_GO;
}

static enum passwd_outcome
read_rest(int argc, char **argv, struct passwd_options *out, char *error, size_t error_size)
{
    int wanted = out->action == PASSWD_HASH_ALL ? 1 : out->batch ? 3 : 2;
    if (argc != wanted) {
        return wrong(error, error_size, "%d arguments after the options, not %d: --help shows them", wanted, argc);
    }
    out->path = argv[0];
    out->user = wanted > 1 ? argv[1] : NULL;
    out->secret = wanted > 2 ? argv[2] : NULL;
    return check_together(out, error, error_size);
}

enum passwd_outcome
passwd_options_read(int argc, char **argv, struct passwd_options *out, char *error, size_t error_size)
{
    *out = (struct passwd_options){.action = PASSWD_SET, .kind = PASSWORD_ARGON2ID};
    int at = 1;
    while (at < argc && argv[at][0] == '-' && argv[at][1] != '\0') {
        if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            fputs(help, stdout);
            return PASSWD_HELP;
        }
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        int used = read_letter(argv[at], argv[at + 1], out, error, error_size);
        if (used == 0) {
            return PASSWD_WRONG;
        }
        at += used;
    }
    return read_rest(argc - at, argv + at, out, error, error_size);
}
