#include "engine/security/login.h"

#include "engine/security/security.h"

enum login_verdict
login_start(struct shard *shard, struct connection *c, const struct connect *connect, struct login_answer *answer)
{
    (void)connect;
    *answer = (struct login_answer){.reason = REASON_NOT_AUTHORIZED, .explain = "anonymous clients are not allowed here"};
    return shard->security->listeners[c->listener].allow_anonymous ? LOGIN_ACCEPTED : LOGIN_REFUSED;
}
