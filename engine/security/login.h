/*
 * login: whether a CONNECT is let in, and as whom.
 *
 *      handle_connect ──► login_start ──► LOGIN_ACCEPTED, LOGIN_REFUSED
 *                             └─► LOGIN_PENDING ──► a job ──► connection_answered ──► handle_connect once more ──► login_start gives the verdict
 *
 * Threads  the shard's.
 */
#ifndef TIDEWIRE_ENGINE_SECURITY_LOGIN_H
#define TIDEWIRE_ENGINE_SECURITY_LOGIN_H

#include "codec/decode.h"
#include "engine/net/connection.h"
#include "engine/security/principal.h"

enum login_verdict {
    LOGIN_ACCEPTED,
    LOGIN_REFUSED,
    LOGIN_PENDING, /* connection_wait() was called */
};

struct login_answer {
    struct principal *principal; /* accepted: for the session, which takes it over. NULL: anonymous, and nothing to remember */
    uint8_t reason;              /* refused */
    const char *explain;
};

/* To be called on the connection's home shard, when the packet itself was found good. */
enum login_verdict login_start(struct shard *shard, struct connection *c, const struct connect *connect, struct login_answer *answer);

#endif
