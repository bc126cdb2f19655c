/*
 * principal_entry: whom a session acts as, as bytes and back: the part of a SESSION entry (engine/durable/entry.h) that is about its principal. Pure functions; whatever the bytes
 * are, reading them is safe.
 *
 * Its listener is named by its address, because numbers change with the configuration. If no listener has that address any more, the session goes on as one of the first listener:
 * what it may read while it is away is decided by that one's settings, until its client comes back and is asked who it is again.
 *
 * Rights are left out: they follow from the rest (principal.h P2).
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_PRINCIPAL_ENTRY_H
#define TIDEWIRE_ENGINE_DURABLE_PRINCIPAL_ENTRY_H

#include "engine/config/config.h"
#include "engine/identity/claim.h"
#include "engine/identity/principal.h"

/* More than a token may have (CONFIG_JWT_CLAIMS_MAX). */
#define PRINCIPAL_ENTRY_CLAIMS_MAX 16u

/* What was read, for principal_make(). */
struct principal_entry {
    struct principal principal; /* `claims` are those below */
    struct principal_claim claims[PRINCIPAL_ENTRY_CLAIMS_MAX];
};

/* The writer gets exactly the size. `listener`: the one with that number in the principal. */
uint32_t principal_entry_size(const struct principal *principal, const struct config_listener *listener);
void principal_entry_put(struct writer *w, const struct principal *principal, const struct config_listener *listener);

/* False if the bytes are not a whole one. What is read borrows from `content`. */
bool principal_entry_read(struct bytes content, const struct config_listener *listeners, unsigned listener_count, struct principal_entry *out);

#endif
