/*
 * users: a password file for tests, and reloads of a world that reads it.
 */
#ifndef TIDEWIRE_TEST_SUPPORT_USERS_H
#define TIDEWIRE_TEST_SUPPORT_USERS_H

#include "engine/identity/password.h"
#include "test/support/world.h"

/* Makes an empty file with a name of its own; what users_path() returns from then on. */
void users_open(void);
void users_close(void);
const char *users_path(void);

/* Empties the file; adds a user with a cheap hash of this kind; adds any text. */
void users_clear(void);
void users_add(const char *user, enum password_kind kind, const char *secret);
void users_add_text(const char *text);

/*
 * Reloads the broker: with `options` (lines added to the world's usual ones), or with the same configuration if NULL. Returns "" or what was wrong with it.
 * users_close() frees the configurations.
 */
const char *users_reload(struct world *world, const char *options);

#endif
