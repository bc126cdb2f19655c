/*
 * hook_message: what is asked of an HTTP hook, and what its answers mean.
 *
 * A question is a POST of one JSON object. Common members: `clientid`, `username` (null: none), `peerhost`, `peerport`, `listener` (its port).
 *   at CONNECT    `action` "connect", `password` (null: none; or `password_base64` where it is no UTF-8), `protocol` (4, 5: CONNECT's level), `certificate` where the
 *                 client has shown one
 *   for a topic   `action` "publish" or "subscribe", `topic`
 *
 * Answers
 *   200 with {"result": "allow" | "deny" | "ignore"}; at CONNECT also "is_superuser": true (no topic is asked about any more, and no access list counts) and "expire_at": seconds since 1970 (the
 *       client is disconnected then). `ignore`: the hook has no opinion, and others decide.
 *   204   allow
 *   4xx   deny
 *   everything else, also a 200 that says none of the above, is a failure
 *
 * The names are those of EMQX's HTTP authenticator and authorizer, so that a service written for it can serve here.
 *
 * Threads  any. Memory  a question is the caller's.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_HOOK_MESSAGE_H
#define TIDEWIRE_ENGINE_IDENTITY_HOOK_MESSAGE_H

#include "codec/bytes.h"

enum hook_result {
    HOOK_ALLOW,
    HOOK_DENY,
    HOOK_IGNORE,
    HOOK_FAILED,
};

enum hook_action {
    HOOK_CONNECT,
    HOOK_PUBLISH,
    HOOK_SUBSCRIBE,
};

/* Borrowed. A `data` of NULL is `null`. */
struct hook_question {
    enum hook_action action;
    uint8_t protocol;
    uint16_t listener_port, peer_port;
    const char *peer;              /* an address as text */
    struct bytes client_id, user_name;
    struct bytes password;         /* HOOK_CONNECT */
    struct bytes certificate;      /* HOOK_CONNECT; empty: none */
    struct bytes topic;            /* the others */
};

struct hook_answer {
    uint8_t result;                /* enum hook_result */
    bool superuser;
    uint64_t expires_wall_ms;      /* 0: never */
};

/* The question's JSON in fresh memory, for free(); a NULL `data` when out of memory. May hold a password: hook_message_forget() is for it. */
struct bytes hook_message_ask(const struct hook_question *question);
/* Wipes and frees. */
void hook_message_forget(struct bytes *message);

struct hook_answer hook_message_judge(uint16_t status, struct bytes body);

#endif
