/*
 * scram: the server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding.
 *
 *   client                                  server                                      state after it
 *   n,,n=user,r=C          ──────────►      scram_start: who is it?                     SCRAM_NAMED
 *                          ◄──────────      scram_challenge: r=CS,s=salt,i=iterations   SCRAM_CHALLENGED
 *   c=biws,r=CS,p=proof    ──────────►      scram_finish: was that the password?        SCRAM_PROVED, else SCRAM_OVER
 *                          ◄──────────      v=signature
 *
 * Between the first two steps the caller looks the user up; for an unknown one it passes a stand-in (password_file_scram_stand_in), so that the
 * exchange looks the same until the end. Names are compared as they come: no SASLprep (the specification has it as SHOULD), which is the same for ASCII.
 *
 * Invariants
 *   M1  steps come in this order, each once; a call out of turn is our bug.
 *   M2  a nonce of ours is used in one exchange only, so a message seen earlier is refused.
 *   M3  after SCRAM_OVER nothing is left that was derived from a password.
 *
 * Threads  none of this is shared. Memory  fixed; nothing is allocated. Costs some microseconds: no slow hash on this side.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_SCRAM_H
#define TIDEWIRE_ENGINE_IDENTITY_SCRAM_H

#include "engine/identity/password.h"

#define SCRAM_METHOD "SCRAM-SHA-256"
#define SCRAM_USER_MAX 255u           /* bytes of a name */
#define SCRAM_NONCE_RANDOM 18u        /* random bytes for ours */
#define SCRAM_NONCE_SERVER_MAX 32u    /* characters of ours */
#define SCRAM_NONCE_CLIENT_MAX 128u   /* characters of the client's nonce */
#define SCRAM_NONCE_MAX (SCRAM_NONCE_CLIENT_MAX + SCRAM_NONCE_SERVER_MAX)
#define SCRAM_BARE_MAX (SCRAM_USER_MAX * 3 + SCRAM_NONCE_CLIENT_MAX + 16) /* the client's first message without its header */
#define SCRAM_SERVER_FIRST_MAX (SCRAM_NONCE_MAX + 128)
#define SCRAM_SERVER_FINAL_MAX 64u
#define SCRAM_CLIENT_FINAL_MAX 2048u  /* of the client's last message */

enum scram_state {
    SCRAM_BEGIN,
    SCRAM_NAMED,
    SCRAM_CHALLENGED,
    SCRAM_PROVED,
    SCRAM_OVER,
};

struct scram {
    uint8_t state;                    /* enum scram_state */
    uint8_t header_flag;              /* 'n' or 'y' */
    uint16_t user_size, nonce_size, bare_size, server_first_size, authzid_size;
    uint8_t user[SCRAM_USER_MAX];
    char nonce[SCRAM_NONCE_MAX + 1];  /* the client's; ours appended by scram_challenge() */
    char bare[SCRAM_BARE_MAX];
    char authzid[SCRAM_USER_MAX * 3 + 4]; /* of the header, as it came: "a=..." or empty */
    char server_first[SCRAM_SERVER_FIRST_MAX];
    struct password password;         /* what the user is compared with */
};

enum scram_answer {
    SCRAM_CONTINUE,  /* go on with the next step */
    SCRAM_MALFORMED, /* not what RFC 5802 allows here */
    SCRAM_REFUSED,   /* well-formed, and not the password; or something that we do not do */
};

/* Reads the client's first message. With SCRAM_CONTINUE scram_user() says who it claims to be. `why`: a few words, if the answer is another. */
enum scram_answer scram_start(struct scram *scram, struct bytes message, const char **why);

static inline struct bytes
scram_user(const struct scram *scram)
{
    return bytes_of(scram->user, scram->user_size);
}

/* Our nonce's text, of fresh random bytes. */
void scram_make_nonce(const uint8_t random[SCRAM_NONCE_RANDOM], char out[SCRAM_NONCE_SERVER_MAX + 1]);

/* Writes the challenge; borrowed until the next step. `password`: of kind PASSWORD_SCRAM. `nonce`: ours, never used before (M2). */
struct bytes scram_challenge(struct scram *scram, const struct password *password, const char *nonce);

/* Reads the client's last message. With SCRAM_CONTINUE the client has proved that it knows the password, and `out` (SCRAM_SERVER_FINAL_MAX) is our signature. */
enum scram_answer scram_finish(struct scram *scram, struct bytes message, char *out, const char **why);

/* Forgets everything; the state is SCRAM_OVER. At any time. */
void scram_wipe(struct scram *scram);

#endif
