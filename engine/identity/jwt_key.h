/*
 * jwt_key: the keys that JSON Web Tokens are verified with, read from files.
 *
 *   jwt_key_file     PEM: one or more public keys (`BEGIN PUBLIC KEY`) or certificates; RSA of 2048 bits and more verifies RS256, EC on P-256 verifies ES256
 *   jwt_secret_file  one secret a line, of 32 bytes and more, verifies HS256
 *
 * The key decides the algorithm: what a token's header says must be the algorithm of a key that is here, so neither `none` nor an RSA key taken for a secret
 * can be talked into. A key has a name (`kid`) if the file gives it one: in PEM by a line `kid: NAME` above the block (RFC 7468 calls it explanatory text), in the
 * file of secrets as a word before the secret.
 *
 * Threads  immutable once read; jwt_keys_try, jwt_keys_hold and jwt_keys_free from any. Memory  counted: the caller's, and everybody's who holds them.
 * Errors   one line with file and line.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_JWT_KEY_H
#define TIDEWIRE_ENGINE_IDENTITY_JWT_KEY_H

#include "codec/bytes.h"

#include <stddef.h>

/* Keys of both files. A token without `kid` may be tried with all of its algorithm: raising this raises what a forged one can cost. */
#define JWT_KEYS_MAX 16
/* RFC 7518 3.2: a key of the same size as the hash or larger. */
#define JWT_SECRET_BYTES_MIN 32
#define JWT_SECRET_BYTES_MAX 1024
/* RFC 7518 3.3. */
#define JWT_RSA_BITS_MIN 2048
#define JWT_RSA_BITS_MAX 8192

enum jwt_algorithm {
    JWT_HS256,
    JWT_RS256,
    JWT_ES256,
    JWT_ALGORITHM_NONE_OF_OURS,
};

enum jwt_trial {
    JWT_TRIAL_GOOD,
    JWT_TRIAL_WRONG,   /* the keys it could have been made with did not make it */
    JWT_TRIAL_NO_KEY,  /* there is none of this algorithm and name */
};

struct jwt_keys;

/* Either path may be NULL, not both. NULL, and one line in `error`, when a file cannot be read or holds anything that is no good key. */
struct jwt_keys *jwt_keys_read(const char *key_file, const char *secret_file, char *error, size_t error_size);
/* One more who uses them (a token is verified off the shard, and a reload may come meanwhile). Returns them. */
struct jwt_keys *jwt_keys_hold(struct jwt_keys *keys);
/* Gives one use up; nulls the pointer. */
void jwt_keys_free(struct jwt_keys **keys);
uint32_t jwt_keys_count(const struct jwt_keys *keys, enum jwt_algorithm algorithm);

/* The algorithm of that name in a header. */
enum jwt_algorithm jwt_algorithm_named(struct bytes name);

/* Whether one of the keys made `signature` over `signed_text`. `kid`: the header's, or empty: every key of the algorithm is tried. */
enum jwt_trial jwt_keys_try(const struct jwt_keys *keys, enum jwt_algorithm algorithm, struct bytes kid, struct bytes signed_text, struct bytes signature);

#endif
