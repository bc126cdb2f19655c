/*
 * claim: what a client's token says about it, as name and value.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_CLAIM_H
#define TIDEWIRE_ENGINE_IDENTITY_CLAIM_H

#include "codec/bytes.h"

/* A value that a token has for a name, for the patterns of access lists. */
struct principal_claim {
    struct bytes name, value;
};

#endif
