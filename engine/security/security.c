#include "engine/security/security.h"

#include "engine/limits/ban_file.h"
#include "engine/tls/tickets.h"
#include "engine/tls/tls_context.h"
#include "engine/security/security_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/log.h"
#include "engine/access/acl.h"
#include "engine/identity/password_file.h"

#define WARNING_BYTES 512

/* The same path is read once. */
static struct password_file *
find_passwords(const struct security *security, const struct config *config, unsigned before, const char *path)
{
    for (unsigned i = 0; i < before; i++) {
        const char *other = config_security(config, i)->password_file;
        if (other != NULL && strcmp(other, path) == 0) {
            return security->listeners[i].passwords;
        }
    }
    return NULL;
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
    *passwords = find_passwords(security, config, listener, path);
    if (*passwords == NULL) {
        *passwords = password_file_read(path, error, error_size, warning, sizeof warning);
    }
    if (warning[0] != '\0') {
        log_line(CONFIG_LOG_WARNING, "Warning: %s", warning);
    }
    return *passwords != NULL;
}

static struct acl *
find_acl(const struct security *security, const struct config *config, unsigned before, const char *path)
{
    for (unsigned i = 0; i < before; i++) {
        const char *other = config_security(config, i)->acl_file;
        if (other != NULL && strcmp(other, path) == 0) {
            return security->listeners[i].acl;
        }
    }
    return NULL;
}

static bool
read_acl(struct security *security, const struct config *config, unsigned listener, char *error, size_t error_size)
{
    const char *path = config_security(config, listener)->acl_file;
    if (path == NULL) {
        return true;
    }
    struct acl **acl = &security->listeners[listener].acl;
    *acl = find_acl(security, config, listener, path);
    if (*acl == NULL) {
        *acl = acl_read(path, error, error_size);
    }
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

static bool
freed_before(const struct security *security, unsigned listener)
{
    for (unsigned i = 0; i < listener; i++) {
        if (security->listeners[i].passwords == security->listeners[listener].passwords) {
            return true;
        }
    }
    return false;
}

static bool
acl_freed_before(const struct security *security, unsigned listener)
{
    for (unsigned i = 0; i < listener; i++) {
        if (security->listeners[i].acl == security->listeners[listener].acl) {
            return true;
        }
    }
    return false;
}

void
security_free(struct security **sp)
{
    struct security *security = *sp;
    if (security != NULL && security->bans != NULL) {
        ban_file_free(&security->bans);
    }
    *sp = NULL;
    for (unsigned i = 0; security != NULL && i < CONFIG_LISTENERS_MAX; i++) {
        struct password_file *passwords = freed_before(security, i) ? NULL : security->listeners[i].passwords;
        password_file_free(&passwords);
        struct acl *acl = acl_freed_before(security, i) ? NULL : security->listeners[i].acl;
        acl_free(&acl);
        tls_context_unref(&security->listeners[i].tls);
        jwt_keys_free(&security->listeners[i].jwt_keys);
    }
    if (security != NULL) {
        tickets_unref(&security->tickets);
    }
    free(security);
}
