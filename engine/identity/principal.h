/*
 * principal: whom a session acts as: what a CONNECT was accepted for. It hangs on the session, because messages are checked for absent ones too.
 *
 * Invariants
 *   P1  `user.size` is 0 for an anonymous one; a user name is never empty.
 *   P2  `rights` are those in the snapshot with that generation, and are found again when the shard has another (access.h).
 *
 * Threads  the session's shard. Memory: one block of the heap, charged to the account.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_PRINCIPAL_H
#define TIDEWIRE_ENGINE_IDENTITY_PRINCIPAL_H

#include "alloc/budget.h"
#include "engine/access/acl.h"

/* What it was accepted for. */
enum principal_way {
    PRINCIPAL_UNPROVED,    /* nothing: anonymous, or a user name that nobody asked to prove */
    PRINCIPAL_BY_PASSWORD, /* a password file; `credential` is the fingerprint of its line */
    PRINCIPAL_BY_IDENTITY, /* a certificate or a pre-shared key */
    PRINCIPAL_BY_TOKEN,    /* a JSON Web Token */
    PRINCIPAL_BY_HOOK,     /* an HTTP hook */
};

struct principal {
    struct bytes user;
    uint8_t way;                   /* enum principal_way */
    const struct principal_claim *claims;
    uint32_t claim_count;
    uint8_t listener;              /* the one it came through: its settings count */
    bool superuser;                /* may use every topic */
    uint64_t credential;           /* fingerprint of what it was accepted for; 0: nothing that a reload could take away */
    uint64_t expires_wall_ms;      /* 0: never */
    struct acl_rights rights;      /* P2 */
    uint32_t rights_generation;    /* of the snapshot that they are of; 0: not found yet */
    uint32_t size;                 /* charged */
};

/* A copy of all that `like` names, in one block; NULL when out of memory. */
struct principal *principal_make(struct budget_account *account, const struct principal *like);
void principal_free(struct budget_account *account, struct principal **principal);

#endif
