/*
 * passwd_options: what the command line of tidewire-passwd asks for. The options are mosquitto_passwd's.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_PASSWD_OPTIONS_H
#define TIDEWIRE_ENGINE_IDENTITY_PASSWD_OPTIONS_H

#include "engine/identity/password.h"

enum passwd_action {
    PASSWD_SET,     /* a user's password, new or changed */
    PASSWD_DELETE,  /* -D */
    PASSWD_HASH_ALL /* -U: a file with plain passwords */
};

struct passwd_options {
    enum passwd_action action;
    bool create;            /* -c: the file is made anew; "-" writes to standard output */
    bool batch;             /* -b: the password stands on the command line */
    enum password_kind kind;
    uint32_t cost;          /* 0: the kind's default */
    const char *path, *user, *secret;
};

enum passwd_outcome {
    PASSWD_GO,
    PASSWD_HELP,  /* asked for: printed */
    PASSWD_WRONG, /* `error` says what */
};

enum passwd_outcome passwd_options_read(int argc, char **argv, struct passwd_options *out, char *error, size_t error_size);

#endif
