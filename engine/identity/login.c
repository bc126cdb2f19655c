#include "engine/identity/login.h"

#include "engine/identity/exchange.h"
#include "engine/identity/http_hook.h"
#include "engine/identity/identity.h"
#include "engine/identity/password_file.h"
#include "engine/identity/token_login.h"
#include "engine/identity/verified.h"
#include "engine/job.h"
#include "engine/security/security.h"
#include "engine/session/session.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

/* A password that is being hashed, or was. */
struct login {
    struct job job;
    struct connection *connection;   /* NULL: it has ended */
    _Atomic bool given_up;           /* with it: a job that has not begun need not */
    bool decided;                    /* `right` says what */
    bool known;                      /* there is such a user; else `stored` is a stand-in */
    bool right;
    uint32_t generation;             /* of the snapshot */
    uint64_t fingerprint;
    struct password stored;
    uint32_t user_size, secret_size;
    uint8_t texts[];                 /* user, then password */
};

static size_t
bytes_of_login(const struct login *login)
{
    return sizeof *login + login->user_size + login->secret_size;
}

static struct bytes
user_of(const struct login *login)
{
    return bytes_of(login->texts, login->user_size);
}

static struct bytes
secret_of(const struct login *login)
{
    return bytes_of(login->texts + login->user_size, login->secret_size);
}

static void
free_login(struct shard *shard, struct login *login)
{
    size_t size = bytes_of_login(login);
    budget_refund(shard->account, size);
    OPENSSL_cleanse(login, size); /* G3 */
    free(login);
}

/* ---------------------------------------------------------------------------------------------------------------- answers */

static enum login_verdict
refuse(struct login_answer *answer, uint8_t reason, const char *explain)
{
    *answer = (struct login_answer){.reason = reason, .explain = explain};
    return LOGIN_REFUSED;
}

void
login_count_refusal(struct shard *shard)
{
    stats_add(&shard->stats.drops[DROP_LOGIN_REFUSED], 1);
}

static enum login_verdict
refuse_password(struct shard *shard, struct login_answer *answer)
{
    login_count_refusal(shard);
    return refuse(answer, REASON_BAD_USER_NAME_OR_PASSWORD, "a wrong user name or password");
}

/* The rules that tie the client identifier to who it is. */
static const char *
check_client_id(const struct shard *shard, const struct connection *c, const struct connect *connect, struct bytes user)
{
    const struct config_listener *listener = &shard->broker->listeners[c->listener];
    bool same = user.size > 0 && bytes_equal(connect->client_id, user);
    if ((listener->clientid_is_username || listener->use_username_as_clientid) && !same) {
        return "a client identifier that is not its user name";
    }
    struct bytes name = listener->clientid_is_certificate ? identity_name(c) : bytes_of(NULL, 0);
    if (listener->clientid_is_certificate && (name.size == 0 || !bytes_equal(connect->client_id, name))) {
        return "a client identifier that is not its certificate's name";
    }
    return NULL;
}

enum login_verdict
login_accept(struct shard *shard, const struct connection *c, const struct connect *connect, const struct principal *like, struct login_answer *answer)
{
    const char *wrong = check_client_id(shard, c, connect, like->user);
    if (wrong != NULL) {
        login_count_refusal(shard);
        return refuse(answer, REASON_CLIENT_IDENTIFIER_NOT_VALID, wrong);
    }
    *answer = (struct login_answer){0};
    /* Rights are kept in the principal, and they depend on the listener while the session is not connected too. */
    if (like->user.size > 0 || like->way != PRINCIPAL_UNPROVED || shard->access_limited || shard->config->per_listener_settings) {
        answer->principal = principal_make(shard->account, like);
        if (answer->principal == NULL) {
            stats_add(&shard->stats.drops[DROP_MEMORY], 1);
            return refuse(answer, REASON_QUOTA_EXCEEDED, "no memory for its rights");
        }
    }
    return LOGIN_ACCEPTED;
}

/* ------------------------------------------------------------------------------------------------------ right ones remembered */

/* NULL: off, or no memory for it. */
static struct verified *
remembered(struct shard *shard)
{
    uint32_t entries = shard->config->login_cache_entries;
    if (shard->verified != NULL && verified_entries(shard->verified) != entries) {
        login_close(shard);
    }
    if (shard->verified == NULL && entries > 0) {
        uint8_t key[VERIFIED_KEY_SIZE];
        io_random(shard->io, key, sizeof key);
        shard->verified = verified_open(entries, key);
        budget_charge(shard->account, shard->verified != NULL ? verified_bytes(shard->verified) : 0);
    }
    return shard->verified;
}

void
login_close(struct shard *shard)
{
    if (shard->verified != NULL) {
        budget_refund(shard->account, verified_bytes(shard->verified));
        verified_close(&shard->verified);
    }
}

static uint32_t
now_s(const struct shard *shard)
{
    return (uint32_t)(shard->now_ms / 1000);
}

static bool
was_right_lately(struct shard *shard, struct bytes user, struct bytes secret, uint64_t fingerprint)
{
    struct verified *verified = remembered(shard);
    struct verified_tag tag;
    return verified != NULL && verified_make_tag(verified, user, secret, fingerprint, &tag) &&
           verified_find(verified, &tag, now_s(shard), shard->config->login_cache_s);
}

static void
remember_right(struct shard *shard, const struct login *login)
{
    struct verified *verified = remembered(shard);
    struct verified_tag tag;
    if (verified != NULL && verified_make_tag(verified, user_of(login), secret_of(login), login->fingerprint, &tag)) {
        verified_add(verified, &tag, now_s(shard));
    }
}

/* ----------------------------------------------------------------------------------------------------------------- hashing */

/* On a worker thread. */
static void
hash_password(struct job *job)
{
    struct login *login = (struct login *)job; /* its first member */
    if (!atomic_load_explicit(&login->given_up, memory_order_relaxed)) {
        login->right = password_verify(&login->stored, secret_of(login)) && login->known;
    }
}

static void
password_hashed(struct shard *shard, struct job *job)
{
    struct login *login = (struct login *)job;
    struct connection *c = login->connection;
    if (c == NULL) {
        free_login(shard, login);
        return;
    }
    login->decided = true;
    if (login->right) {
        remember_right(shard, login);
    }
    connection_answered(shard, c);
}

static struct login *
make_login(struct shard *shard, struct bytes user, struct bytes secret)
{
    struct login *login = calloc(1, sizeof *login + user.size + secret.size);
    if (login == NULL) {
        return NULL;
    }
    login->job = (struct job){.run = hash_password, .done = password_hashed};
    login->user_size = user.size;
    login->secret_size = secret.size;
    if (user.size > 0) {
        memcpy(login->texts, user.data, user.size);
    }
    if (secret.size > 0) {
        memcpy(login->texts + user.size, secret.data, secret.size);
    }
    login->generation = shard->security->generation;
    budget_charge(shard->account, bytes_of_login(login));
    return login;
}

static enum login_verdict
start_hashing(struct shard *shard, struct connection *c, const struct password_file *file, const struct connect *connect, struct login_answer *answer)
{
    struct connection_extra *extra = connection_need_extra(shard->account, c);
    struct login *login = extra != NULL ? make_login(shard, connect->user_name, connect->password) : NULL;
    if (login == NULL) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return refuse(answer, REASON_QUOTA_EXCEEDED, "no memory for its login");
    }
    const struct password_entry *entry = password_file_find(file, connect->user_name);
    login->known = entry != NULL;
    login->stored = entry != NULL ? entry->password : *password_file_stand_in(file);
    login->fingerprint = entry != NULL ? entry->fingerprint : 0;
    if (!job_start(shard, IO_WORK_HASH, &login->job)) {
        free_login(shard, login);
        return refuse(answer, REASON_SERVER_BUSY, "too many logins wait already");
    }
    login->connection = c;
    extra->login = login;
    connection_wait(shard, c);
    return LOGIN_PENDING;
}

static enum login_verdict
check_password(struct shard *shard, struct connection *c, const struct password_file *file, const struct connect *connect, struct login_answer *answer)
{
    const struct password_entry *entry = password_file_find(file, connect->user_name);
    if (entry != NULL && was_right_lately(shard, connect->user_name, connect->password, entry->fingerprint)) {
        struct principal like = {.way = PRINCIPAL_BY_PASSWORD, .user = connect->user_name, .listener = c->listener, .credential = entry->fingerprint};
        return login_accept(shard, c, connect, &like, answer);
    }
    return start_hashing(shard, c, file, connect, answer);
}

/* ----------------------------------------------------------------------------------------------------------------- verdict */

/* The job is done: what it found, for the CONNECT that it was for. */
static enum login_verdict
give_verdict(struct shard *shard, const struct connection *c, const struct connect *connect, struct login *login, struct login_answer *answer)
{
    if (!login->right) {
        return refuse_password(shard, answer);
    }
    struct principal like = {.way = PRINCIPAL_BY_PASSWORD, .user = user_of(login), .listener = c->listener, .credential = login->fingerprint};
    return login_accept(shard, c, connect, &like, answer);
}

/* Some way to prove a user name is there: then a name that nothing has proved is nobody's to use. */
static bool
proves_names(const struct security_listener *listener)
{
    return listener->passwords != NULL || listener->jwt_keys != NULL || listener->http_auth.url != NULL;
}

static enum login_verdict
let_in_without_proof(struct shard *shard, struct connection *c, const struct connect *connect, struct login_answer *answer)
{
    const struct security_listener *listener = &shard->security->listeners[c->listener];
    if (!listener->allow_anonymous) {
        login_count_refusal(shard);
        return refuse(answer, REASON_NOT_AUTHORIZED, "anonymous clients are not allowed here");
    }
    if (connect->user_name.size > 0 && proves_names(listener)) {
        login_count_refusal(shard);
        return refuse(answer, REASON_BAD_USER_NAME_OR_PASSWORD, "a user name that nothing has proved");
    }
    struct principal like = {.user = connect->user_name, .listener = c->listener};
    return login_accept(shard, c, connect, &like, answer);
}

/* The listener takes the user name from the certificate: whatever CONNECT says of user and password does not count. */
static enum login_verdict
let_in_by_identity(struct shard *shard, const struct connection *c, const struct connect *connect, struct login_answer *answer)
{
    if (properties_has(&connect->properties, PROPERTY_AUTHENTICATION_METHOD)) {
        return refuse(answer, REASON_BAD_AUTHENTICATION_METHOD, "asked for enhanced authentication where the certificate decides");
    }
    struct principal like = {.way = PRINCIPAL_BY_IDENTITY, .user = identity_user(shard, c), .listener = c->listener};
    return like.user.size > 0 ? login_accept(shard, c, connect, &like, answer) : refuse_password(shard, answer);
}

static enum login_verdict
start_afresh(struct shard *shard, struct connection *c, const struct connect *connect, struct login_answer *answer)
{
    enum login_verdict verdict;
    bool asked = http_hook_has_login(c); /* its answer is there, so those before it had nothing to say */
    if (!asked && token_login(shard, c, connect, &verdict, answer)) {
        return verdict;
    }
    const struct password_file *file = connect->has_user_name ? shard->security->listeners[c->listener].passwords : NULL;
    bool in_file = file != NULL && password_file_find(file, connect->user_name) != NULL;
    if ((asked || !in_file) && http_hook_login(shard, c, connect, &verdict, answer)) {
        return verdict;
    }
    if (file != NULL) {
        return check_password(shard, c, file, connect, answer);
    }
    return let_in_without_proof(shard, c, connect, answer);
}

enum login_verdict
login_start(struct shard *shard, struct connection *c, const struct frame *frame, const struct connect *connect, struct login_answer *answer)
{
    if (identity_is_asked_for(shard, c)) {
        return let_in_by_identity(shard, c, connect, answer);
    }
    if (properties_has(&connect->properties, PROPERTY_AUTHENTICATION_METHOD)) {
        return exchange_start(shard, c, frame, connect, answer);
    }
    struct login *login = c->extra != NULL ? c->extra->login : NULL;
    if (login == NULL) {
        return start_afresh(shard, c, connect, answer);
    }
    assert(login->decided);
    c->extra->login = NULL;
    bool same = login->generation == shard->security->generation; /* G2 */
    enum login_verdict verdict = same ? give_verdict(shard, c, connect, login, answer) : start_afresh(shard, c, connect, answer);
    free_login(shard, login);
    return verdict;
}

void
login_forget(struct shard *shard, struct connection *c)
{
    struct login *login = c->extra != NULL ? c->extra->login : NULL;
    if (login == NULL) {
        return;
    }
    c->extra->login = NULL;
    login->connection = NULL;
    atomic_store_explicit(&login->given_up, true, memory_order_relaxed);
    if (login->decided) {
        free_login(shard, login); /* no job has it any more */
    }
}

/* ------------------------------------------------------------------------------------------------------------------ names */

static bool
begins_with(struct bytes text, const char *prefix)
{
    size_t size = strlen(prefix);
    return text.size >= size && memcmp(text.data, prefix, size) == 0;
}

uint8_t
login_name_client(const struct shard *shard, const struct connection *c, struct connect *connect, const char **explain)
{
    const char *prefix = shard->config->clientid_prefixes;
    const char *assigned = shard->config->auto_id_prefix;
    if (shard->broker->listeners[c->listener].use_username_as_clientid) {
        connect->client_id = identity_is_asked_for(shard, c) ? identity_user(shard, c) : connect->user_name;
        if (connect->client_id.size == 0) {
            *explain = "no user name, which would be its client identifier";
            return REASON_NOT_AUTHORIZED;
        }
    }
    struct bytes id = connect->client_id.size > 0 ? connect->client_id : bytes_of(assigned, (uint32_t)strlen(assigned));
    if (prefix != NULL && !begins_with(id, prefix)) {
        *explain = "a client identifier that does not begin with clientid_prefixes";
        return REASON_NOT_AUTHORIZED;
    }
    return REASON_SUCCESS;
}

/* ----------------------------------------------------------------------------------------------------------- after a reload */

bool
login_still_good(const struct shard *shard, const struct connection *c)
{
    const struct security_listener *listener = &shard->security->listeners[c->listener];
    const struct principal *principal = session_get_extra(c->session)->principal;
    bool by_identity = principal != NULL && principal->way == PRINCIPAL_BY_IDENTITY;
    if (by_identity || identity_is_asked_for(shard, c)) {
        return by_identity && identity_is_asked_for(shard, c);
    }
    enum principal_way way = principal != NULL ? principal->way : PRINCIPAL_UNPROVED;
    if (way == PRINCIPAL_BY_TOKEN || way == PRINCIPAL_BY_HOOK) {
        return way == PRINCIPAL_BY_TOKEN ? listener->jwt_keys != NULL : listener->http_auth.url != NULL;
    }
    if (principal == NULL || principal->user.size == 0) {
        return listener->allow_anonymous;
    }
    if (listener->passwords == NULL) {
        return listener->allow_anonymous && !proves_names(listener); /* then anybody may say that name */
    }
    const struct password_entry *entry = password_file_find(listener->passwords, principal->user);
    return entry != NULL && principal->way == PRINCIPAL_BY_PASSWORD && entry->fingerprint == principal->credential;
}
