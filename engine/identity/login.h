/*
 * login: whether a CONNECT is let in, and as whom.
 *
 *      handle_connect ──► login_start ──► LOGIN_ACCEPTED, LOGIN_REFUSED
 *                             ├─► LOGIN_PENDING ──► a job ──► connection_answered ──► handle_connect once more ──► login_start gives the verdict
 *                             └─► LOGIN_TALKING ──► AUTH packets (exchange.h) ──► handle_connect once more ──► login_start gives the verdict
 *
 * The ways, in this order; the first that applies decides: certificate or pre-shared key (the listener takes the user name from it);
 * enhanced authentication (the client asked for it); a JSON Web Token (the password is one, and there are
 * keys); the password file (it has the user name); the HTTP hook (there is one, and it has an opinion); the password file once more (there is one, and a user name was
 * sent: refused); anonymous (none of these, and the listener allows it). A user name that nothing has proved is refused where the listener has a way to prove one (file,
 * keys, hook); where it has none, a name is taken as it is, as Mosquitto does.
 *
 * A password is hashed on a worker thread. Right ones are remembered for a while (verified.h), so that a fleet which reconnects is let in at once.
 *
 * Invariants
 *   G1  at most one login is under way per connection; it is freed by its job's end, or at once if no job runs.
 *   G2  a verdict belongs to one snapshot: after a reload in between the login starts again.
 *   G3  what was derived from a password is wiped before its memory is given back.
 *
 * Threads  the shard's; a job touches only the login that it is in.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_LOGIN_H
#define TIDEWIRE_ENGINE_IDENTITY_LOGIN_H

#include "codec/decode.h"
#include "engine/identity/principal.h"
#include "engine/net/connection.h"

enum login_verdict {
    LOGIN_ACCEPTED,
    LOGIN_REFUSED,
    LOGIN_PENDING, /* connection_wait() was called */
    LOGIN_TALKING, /* the CONNECT has been taken over; AUTH packets follow */
};

struct login_answer {
    struct principal *principal; /* accepted: for the session, which takes it over. NULL: anonymous, and nothing to remember */
    uint8_t reason;              /* refused */
    const char *explain;
};

/* What comes before the home is known: the client identifier may be the user name, or has to begin in some way. 0, or the reason to refuse with. */
uint8_t login_name_client(const struct shard *shard, const struct connection *c, struct connect *connect, const char **explain);

/* To be called on the connection's home shard, when the packet itself was found good. `frame`: the CONNECT. */
enum login_verdict login_start(struct shard *shard, struct connection *c, const struct frame *frame, const struct connect *connect,
                               struct login_answer *answer);

/* Somebody was not let in, or has to go, for who it is: counted. */
void login_count_refusal(struct shard *shard);

/* For the ways to log in: `like` is let in, if the client identifier fits. */
enum login_verdict login_accept(struct shard *shard, const struct connection *c, const struct connect *connect, const struct principal *like,
                                struct login_answer *answer);

/* The connection ends or moves: nobody waits for the answer any more. */
void login_forget(struct shard *shard, struct connection *c);

/* Whether a client that is connected may stay, by the shard's snapshot: its user is still there, with the same password. */
bool login_still_good(const struct shard *shard, const struct connection *c);

/* The shard ends. */
void login_close(struct shard *shard);

#endif
