/*
 * security: all that was read from files about who may come in and what they may do, as of one configuration. It never changes: a reload makes another one.
 *
 *      files ──► security_read() ──► broker->security ──► shard->security (once per turn)
 *
 * Invariants
 *   N1  generations grow by one with each snapshot of a process; none is 0.
 *   N2  a snapshot is there until the broker closes, or no shard uses it any more.
 *
 * Errors   one line: file, line, what is wrong. Never half a snapshot: what cannot be read lets nobody in, and a reload keeps the old one.
 * Threads  security_read: the starting thread, and later the one that reloads. Everybody reads.
 */
#ifndef TIDEWIRE_ENGINE_SECURITY_SECURITY_H
#define TIDEWIRE_ENGINE_SECURITY_SECURITY_H

#include "engine/config/config.h"
#include "engine/identity/http_client.h"
#include "engine/identity/jwt.h"

struct acl;
struct ban_file;
struct password_file;
struct tls_context;
struct tls_tickets;

/* What counts for one listener. Texts are the configuration's, which stays until nobody can use this any more (engine/config/attic.h). */
struct security_listener {
    struct tls_context *tls;         /* NULL: no TLS */
    struct password_file *passwords; /* NULL: none. Listeners that name the same file share it */
    struct acl *acl;                 /* NULL: everything is allowed. Shared in the same way */
    bool allow_anonymous;
    struct jwt_keys *jwt_keys;          /* NULL: tokens are not looked at */
    const char *jwt_issuer, *jwt_audience;
    struct http_target http_auth, http_acl; /* `url` NULL: nobody is asked */
};

struct security {
    uint32_t generation;
    struct tls_tickets *tickets; /* the same in all of a process */
    struct bytes jwt_claims[JWT_CLAIMS_MAX]; /* what is kept of tokens; borrowed from the configuration */
    uint32_t jwt_claim_count;
    struct security_listener listeners[CONFIG_LISTENERS_MAX];
    bool has_acl;                /* some listener has one */
    struct ban_file *bans;         /* of option ban_file; NULL: none. For broker.c, which takes them into the list that changes at run time */
};

/* Reads every file that the configuration names. `before`: the snapshot in use, or NULL at the start. NULL and a line in `error` on failure. */
struct security *security_read(const struct config *config, const struct security *before, char *error, size_t error_size);
void security_free(struct security **security);

#endif
