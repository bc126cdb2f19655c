/*
 * password_file: the users of a password file, read once and never changed: a reload reads another one.
 *
 * A line is blank, a comment ('#' first), or `user:stored password` (password.h), as mosquitto_passwd and tidewire-passwd write it. Everything else refuses the
 * whole file, with file and line: a line that is passed over is a user who cannot log in, and one that is half understood is a user whom anybody can be.
 *
 * Invariants
 *   F1  every user is there once, with a name of 1 to 65535 bytes of UTF-8 without ':' and control characters, and no '#' in front.
 *   F2  every stored password can be verified (password.h W1).
 *
 * Threads  any may look; the file is immutable.
 * Memory   entries are borrowed from the file. Hashes are wiped when it is freed.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_PASSWORD_FILE_H
#define TIDEWIRE_ENGINE_IDENTITY_PASSWORD_FILE_H

#include <stddef.h>

#include "engine/identity/password.h"

#define PASSWORD_FILE_SIZE_MAX (256u << 20) /* bytes; read whole */

struct password_entry {
    struct bytes user;
    uint64_t fingerprint;     /* of user and stored password: another one after a change of either */
    struct password password;
};

struct password_file;

/* NULL, with one line in `error`, if anything in it is wrong. `warning` (may be NULL): one line if others may read the file, else "". */
struct password_file *password_file_read(const char *path, char *error, size_t error_size, char *warning, size_t warning_size);

/* The same of a text; `name` stands for the file in `error`. */
struct password_file *password_file_parse(const char *text, size_t size, const char *name, char *error, size_t error_size);

void password_file_free(struct password_file **file);

/* NULL if there is no such user. */
const struct password_entry *password_file_find(const struct password_file *file, struct bytes user);

uint32_t password_file_count(const struct password_file *file);

/*
 * What an unknown user is compared with, so that the answer takes as long as for a known one: the costs that most users of the file have. Its hash is random;
 * whatever the comparison says, the answer is no.
 */
const struct password *password_file_stand_in(const struct password_file *file);

/*
 * What SCRAM answers for a user who is unknown, or whose password is stored in another form: salt and iterations as for a real one, the same at each attempt and
 * after a restart (they follow from the file's first user), and keys that no password has. False: the library failed.
 */
bool password_file_scram_stand_in(const struct password_file *file, struct bytes user, struct password *out);

/* Whether a name may stand in such a file (F1). For tools that write one. */
const char *password_file_check_name(struct bytes user);

/* Asserts the invariants. For tests and fuzzing. */
void password_file_check(const struct password_file *file);

#endif
