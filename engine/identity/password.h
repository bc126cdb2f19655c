/*
 * password: one stored password: read from its text, compared with what a client sent, made anew, written.
 *
 *     $6$salt$hash                                     SHA-512 of password and salt (Mosquitto 1.6 and earlier; fast, so guessed fast)
 *     $7$iterations$salt$hash                          PBKDF2-HMAC-SHA-512 (Mosquitto 2.0)
 *     $argon2id$v=19$m=KiB,t=passes,p=lanes$salt$hash  Argon2id (Mosquitto 2.1)
 *     SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey   RFC 5803's contents as PostgreSQL writes them; serves SCRAM and plain passwords
 *
 * Invariants
 *   W1  a struct password that password_parse() accepted can be verified: sizes, costs and kind are within the bounds below.
 *   W2  comparing takes the same time wherever the hashes differ, and no copy of a secret or of what was derived from it stays on the stack.
 *
 * Threads  any; nothing is shared. Verifying is slow on purpose (0.1 ms to seconds): never on a shard's thread.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_PASSWORD_H
#define TIDEWIRE_ENGINE_IDENTITY_PASSWORD_H

#include "codec/bytes.h"

#define PASSWORD_SALT_MAX 64u
#define PASSWORD_HASH_MAX 64u
#define PASSWORD_KEY_SIZE 32u                       /* of SCRAM-SHA-256 */
#define PASSWORD_TEXT_MAX 320u                      /* the longest text that password_write() makes, with its end */
/* A file is trusted, but a slip of the finger must not stall logins: more is refused when reading. */
#define PASSWORD_ITERATIONS_MAX 10000000u           /* about 10 s of PBKDF2 */
#define PASSWORD_MEMORY_MAX_KIB (1u << 20)          /* of one Argon2id */
#define PASSWORD_WORK_MAX_KIB (4u << 20)            /* memory times passes: some seconds */
#define PASSWORD_LANES_MAX 64u

enum password_kind {
    PASSWORD_SHA512,
    PASSWORD_PBKDF2,
    PASSWORD_ARGON2ID,
    PASSWORD_SCRAM,
    PASSWORD_KINDS,
};

struct password {
    uint8_t kind;         /* enum password_kind */
    uint8_t salt_size;
    uint8_t hash_size;
    uint8_t lanes;        /* Argon2id */
    uint32_t iterations;  /* PBKDF2, SCRAM; Argon2id: passes */
    uint32_t memory_kib;  /* Argon2id */
    uint8_t salt[PASSWORD_SALT_MAX];
    uint8_t hash[PASSWORD_HASH_MAX];       /* SCRAM: StoredKey */
    uint8_t server_key[PASSWORD_KEY_SIZE]; /* SCRAM */
};

/* NULL, or in a few words what is wrong with the text. */
const char *password_parse(struct bytes text, struct password *out);

/* Whether `secret` is the password. False too when out of memory (Argon2id), and always for a secret with a zero byte. */
bool password_verify(const struct password *password, struct bytes secret);

/* A new one with a random salt. `cost`: iterations (PBKDF2, SCRAM) or passes (Argon2id); 0: the kind's default; SHA-512 has none. False: out of memory or randomness. */
bool password_make(struct password *out, enum password_kind kind, uint32_t cost, struct bytes secret);

/* The text form with its end; at most PASSWORD_TEXT_MAX bytes. */
void password_write(const struct password *password, char *out);

/* "sha512", "sha512-pbkdf2", "argon2id", "scram-sha-256". */
const char *password_kind_name(enum password_kind kind);

#endif
