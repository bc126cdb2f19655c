/*
 * token_login: a CONNECT whose password is a JSON Web Token (engine/identity/jwt.h).
 *
 * A token signed with a secret is verified at once (microseconds). One signed with a private key is verified off the shard, as a handshake is: a storm of them
 * would hold up everybody otherwise. The connection waits meanwhile (connection_wait).
 *
 * Threads  the shard's. Memory  a token under way hangs on the connection until its verdict is taken, or the connection is gone and the work done.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_TOKEN_LOGIN_H
#define TIDEWIRE_ENGINE_IDENTITY_TOKEN_LOGIN_H

#include "engine/identity/login.h"

/*
 * Judges the password if it is a token and the listener knows keys. False: it is none, and the other ways decide; else `*verdict` and `*answer` as login_start() gives
 * them.
 */
bool token_login(struct shard *shard, struct connection *c, const struct connect *connect, enum login_verdict *verdict, struct login_answer *answer);

/* The connection ends. */
void token_login_abandon(struct shard *shard, struct connection *c);

#endif
