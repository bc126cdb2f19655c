#include "engine/security/security.h"

#include "engine/limits/ban_file.h"
#include "engine/security/security_parts.h"
#include "engine/tls/tickets.h"
#include "engine/tls/tls_context.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/access/acl.h"
#include "engine/identity/password_file.h"
#include "engine/log.h"

#define WARNING_BYTES 512

static const char *
path_of(const struct config *config, unsigned listener, size_t option)
{
    return *(char *const *)((const char *)config_security(config, listener) + option);
}

/* The first listener that names the same file, which is read once. `option`: where its path stands in struct config_security. */
static unsigned
first_with_file(const struct config *config, unsigned listener, size_t option)
{
    const char *path = path_of(config, listener, option);
    for (unsigned i = 0; i < listener; i++) {
        const char *other = path_of(config, i, option);
        if (other != NULL && strcmp(other, path) == 0) {
            return i;
        }
    }
    return listener;
}

static bool
read_passwords(struct security *security, const struct config *config, unsigned listener, char *error, size_t error_size)
{
    const char *path = config_security(config, listener)->password_file;
    if (path == NULL) {
        return true;
    }
    struct password_file **passwords = &security->listeners[listener].passwords;
    char warning[WARNING_BYTES] = "";
    unsigned first = first_with_file(config, listener, offsetof(struct config_security, password_file));
    *passwords = first < listener ? security->listeners[first].passwords : password_file_read(path, error, error_size, warning, sizeof warning);
    if (warning[0] != '\0') {
        log_line(CONFIG_LOG_WARNING, "Warning: %s", warning);
    }
    return *passwords != NULL;
}

static bool
read_acl(struct security *security, const struct config *config, unsigned listener, char *error, size_t error_size)
{
    const char *path = config_security(config, listener)->acl_file;
    if (path == NULL) {
        return true;
    }
    struct acl **acl = &security->listeners[listener].acl;
    unsigned first = first_with_file(config, listener, offsetof(struct config_security, acl_file));
    *acl = first < listener ? security->listeners[first].acl : acl_read(path, error, error_size);
    security->has_acl = true;
    return *acl != NULL;
}

/*
 * TLS stays what it was at the start of a listener, on or off: who has connected and who wants to must not be taken by surprise. Only what is shown and who is
 * believed may change.
 */
static bool
read_tls(struct security *security, const struct config *config, unsigned i, const struct security *before, char *error, size_t error_size)
{
    struct tls_context **context = &security->listeners[i].tls;
    const struct config_listener *listener = &config->listeners[i];
    struct tls_context *old = before != NULL ? before->listeners[i].tls : NULL;
    bool wanted = tls_context_wanted(listener);
    if (wanted && (before == NULL || old != NULL)) {
        *context = tls_context_read(listener, config_security(config, i)->psk_file, security->tickets, error, error_size);
        return *context != NULL;
    }
    *context = old != NULL ? tls_context_ref(old) : NULL;
    return true;
}

static bool
read_all_tls(struct security *security, const struct config *config, const struct security *before, char *error, size_t error_size)
{
    security->tickets = before != NULL ? tickets_ref(before->tickets) : tickets_open();
    if (security->tickets == NULL) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    for (unsigned i = 0; i < config->listener_count; i++) {
        if (!read_tls(security, config, i, before, error, error_size)) {
            return false;
        }
    }
    return true;
}

static bool
read_bans(struct security *security, const struct config *config, char *error, size_t error_size)
{
    security->bans = config->ban_file != NULL ? ban_file_read(config->ban_file, error, error_size) : NULL;
    return config->ban_file == NULL || security->bans != NULL;
}

struct security *
security_read(const struct config *config, const struct security *before, char *error, size_t error_size)
{
    struct security *security = calloc(1, sizeof *security);
    if (security == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    security->generation = before != NULL ? before->generation + 1 : 1;
    for (unsigned i = 0; i < config->listener_count; i++) {
        security->listeners[i].allow_anonymous = config->listeners[i].allow_anonymous;
        if (!read_passwords(security, config, i, error, error_size) || !read_acl(security, config, i, error, error_size)) {
            security_free(&security);
            return NULL;
        }
    }
    if (!read_all_tls(security, config, before, error, error_size) || !security_read_tokens(security, config, error, error_size) ||
        !security_read_hooks(security, config, error, error_size) || !read_bans(security, config, error, error_size)) {
        security_free(&security);
    }
    return security;
}

/* What several listeners share is the first one's to free. */
static void
forget_shared(struct security *security, unsigned first)
{
    const struct security_listener *own = &security->listeners[first];
    for (unsigned i = first + 1; i < CONFIG_LISTENERS_MAX; i++) {
        struct security_listener *other = &security->listeners[i];
        other->passwords = other->passwords == own->passwords ? NULL : other->passwords;
        other->acl = other->acl == own->acl ? NULL : other->acl;
    }
}

void
security_free(struct security **sp)
{
    struct security *security = *sp;
    *sp = NULL;
    if (security == NULL) {
        return;
    }
    if (security->bans != NULL) {
        ban_file_free(&security->bans);
    }
    for (unsigned i = 0; i < CONFIG_LISTENERS_MAX; i++) {
        struct security_listener *listener = &security->listeners[i];
        forget_shared(security, i);
        password_file_free(&listener->passwords);
        acl_free(&listener->acl);
        tls_context_unref(&listener->tls);
        jwt_keys_free(&listener->jwt_keys);
    }
    tickets_unref(&security->tickets);
    free(security);
}
