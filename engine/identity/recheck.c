#include "engine/identity/recheck.h"

#include "engine/identity/login.h"
#include "engine/net/connection.h"

/* Connections looked at per turn: some 50 ns each. */
#define PER_TURN 2048u

void
recheck_begin(struct shard *shard)
{
    shard->recheck = (struct slab_walk){0};
    shard->rechecking = true;
}

void
recheck_some(struct shard *shard)
{
    for (unsigned i = 0; shard->rechecking && i < PER_TURN; i++) {
        struct connection *c = slab_walk(&shard->connections, &shard->recheck);
        shard->rechecking = c != NULL;
        if (c != NULL && c->state == CONNECTION_CONNECTED && !login_still_good(shard, c)) {
            login_count_refusal(shard);
            connection_close(shard, c, REASON_NOT_AUTHORIZED, "its user is not there any more, or has another password");
        }
    }
}
