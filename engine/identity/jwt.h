/*
 * jwt: a JSON Web Token (RFC 7519, signed as RFC 7515 has it) as a password: who made it, whom it is for, and until when.
 *
 *   header . payload . signature       each base64url, in its one form
 *
 * Of the header only `alg` and `kid` are looked at; `jwk`, `jku`, `x5c` and `x5u` offer keys, and nobody who brings a token says what it is verified with. `crit`
 * names extensions that must be understood, and none is (RFC 7515 4.1.11). The payload is not parsed before the signature holds.
 *
 * Threads  any: everything is immutable. Memory  a result holds its texts itself.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_JWT_H
#define TIDEWIRE_ENGINE_IDENTITY_JWT_H

#include "codec/bytes.h"
#include "engine/identity/jwt_key.h"

#define JWT_SIZE_MAX 8192u
/* Claims that are kept for access patterns, and the bytes of their values and the user name together. */
#define JWT_CLAIMS_MAX 8u
#define JWT_TEXT_MAX 2048u

enum jwt_verdict {
    JWT_GOOD,
    JWT_NOT_A_TOKEN,     /* not three parts that begin with a header: it may be an ordinary password */
    JWT_MALFORMED,
    JWT_BAD_ALGORITHM,   /* `none`, or one that is not known here */
    JWT_CRITICAL_HEADER,
    JWT_NO_KEY,          /* no key of its algorithm and kid */
    JWT_BAD_SIGNATURE,
    JWT_BAD_CLAIMS,      /* a claim of another type or size than it must have */
    JWT_EXPIRED,
    JWT_NO_EXPIRY,
    JWT_NOT_YET,         /* nbf or iat in the future */
    JWT_OTHER_ISSUER,
    JWT_OTHER_AUDIENCE,
    JWT_NO_USER,
    JWT_OTHER_USER,      /* not CONNECT's User Name, and it must be */
    JWT_VERDICTS,
};

/* What a token must fulfil. Borrowed texts; empty: not asked for. */
struct jwt_policy {
    const struct jwt_keys *keys;
    struct bytes issuer;
    struct bytes audience;
    struct bytes user_claim;          /* the claim that is the user name */
    struct bytes claims[JWT_CLAIMS_MAX]; /* kept where a token has them */
    uint32_t claim_count;
    uint32_t leeway_s;                /* clocks may differ by this */
    bool require_expiry;
    bool match_user;                  /* CONNECT's User Name must be the token's */
};

struct jwt_result {
    struct bytes user;
    uint64_t expires_ms;              /* wall clock, leeway included; 0: never */
    uint32_t claim_count;
    struct jwt_claim {
        struct bytes name;            /* the policy's */
        struct bytes value;
    } claims[JWT_CLAIMS_MAX];
    uint32_t text_used;
    uint8_t text[JWT_TEXT_MAX];       /* what `user` and the values point into */
};

/* True if a password has the outline of a token: three parts with dots between, and the first may be a JSON object. Cheap, and no promise. */
bool jwt_looks_like_one(struct bytes password);

/* Whether verifying it costs a public-key operation (tens of microseconds), by what its header claims. */
bool jwt_is_costly(struct bytes token);

/* `user_name`: CONNECT's, empty if it has none. `out` is filled when the answer is JWT_GOOD. */
enum jwt_verdict jwt_verify(const struct jwt_policy *policy, struct bytes token, struct bytes user_name, uint64_t wall_ms, struct jwt_result *out);

/* In words, for the log. */
const char *jwt_verdict_text(enum jwt_verdict verdict);

/* Asserts that a result holds together. For tests and fuzzing. */
void jwt_result_check(const struct jwt_result *result);

#endif
