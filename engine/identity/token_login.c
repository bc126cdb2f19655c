#include "engine/identity/token_login.h"

#include "engine/identity/jwt.h"
#include "engine/job.h"
#include "engine/log.h"
#include "engine/security/security.h"

#include <openssl/crypto.h>
#include <stdlib.h>

/* A token that is verified off the shard. */
struct token_work {
    struct job job;
    struct connection *connection; /* NULL: gone */
    uint32_t generation;           /* of the snapshot */
    struct jwt_policy policy;      /* its keys are held; its texts are the configuration's, which stays long enough (engine/config/attic.h) */
    uint64_t wall_ms;
    bool answered;
    enum jwt_verdict verdict;
    struct jwt_result result;
    struct bytes token, user_name; /* within `text` */
    uint32_t size;                 /* of `text` */
    uint8_t text[];
};

static void
forget_work(struct shard *shard, struct token_work *work)
{
    budget_refund(shard->account, sizeof *work + work->size);
    struct jwt_keys *keys = (struct jwt_keys *)(uintptr_t)work->policy.keys;
    jwt_keys_free(&keys);
    OPENSSL_cleanse(work->text, work->size);
    free(work);
}

static void
run(struct job *job)
{
    struct token_work *work = (struct token_work *)(void *)job;
    work->verdict = jwt_verify(&work->policy, work->token, work->user_name, work->wall_ms, &work->result);
}

static void
done(struct shard *shard, struct job *job)
{
    struct token_work *work = (struct token_work *)(void *)job;
    if (work->connection == NULL) {
        forget_work(shard, work);
        return;
    }
    work->answered = true;
    connection_answered(shard, work->connection);
}

void
token_login_abandon(struct shard *shard, struct connection *c)
{
    struct token_work *work = c->extra != NULL ? c->extra->token : NULL;
    if (work == NULL) {
        return;
    }
    c->extra->token = NULL;
    work->connection = NULL;
    if (work->answered) {
        forget_work(shard, work);
    }
}

static struct bytes
text_of(const char *text)
{
    return bytes_of(text, text != NULL ? (uint32_t)strlen(text) : 0);
}

/* What a listener asks of tokens. The texts live as long as the configuration, which work off the shard may count on (engine/config/attic.h). */
static struct jwt_policy
policy_of(const struct shard *shard, const struct connection *c)
{
    const struct security_listener *listener = &shard->security->listeners[c->listener];
    const struct config *config = shard->config;
    struct jwt_policy policy = {
        .keys = listener->jwt_keys,
        .issuer = text_of(listener->jwt_issuer),
        .audience = text_of(listener->jwt_audience),
        .user_claim = text_of(config->jwt_username_claim),
        .leeway_s = config->jwt_leeway_s,
        .require_expiry = config->jwt_require_expiry,
        .match_user = config->jwt_match_username,
        .claim_count = shard->security->jwt_claim_count,
    };
    memcpy(policy.claims, shard->security->jwt_claims, sizeof policy.claims);
    return policy;
}

static enum login_verdict
refuse(struct shard *shard, enum jwt_verdict verdict, struct login_answer *answer)
{
    stats_add(&shard->stats.drops[DROP_TOKEN_REFUSED], 1);
    *answer = (struct login_answer){.reason = REASON_BAD_USER_NAME_OR_PASSWORD, .explain = jwt_verdict_text(verdict)};
    return LOGIN_REFUSED;
}

static enum login_verdict
let_in(struct shard *shard, const struct connection *c, const struct connect *connect, const struct jwt_result *result, struct login_answer *answer)
{
    struct principal_claim claims[JWT_CLAIMS_MAX];
    for (uint32_t i = 0; i < result->claim_count; i++) {
        claims[i] = (struct principal_claim){.name = result->claims[i].name, .value = result->claims[i].value};
    }
    struct principal like = {
        .way = PRINCIPAL_BY_TOKEN,
        .user = result->user,
        .claims = claims,
        .claim_count = result->claim_count,
        .listener = c->listener,
        .expires_wall_ms = result->expires_ms,
    };
    return login_accept(shard, c, connect, &like, answer);
}

/* False: no token after all. */
static bool
conclude(struct shard *shard, const struct connection *c, const struct connect *connect, enum jwt_verdict jwt, const struct jwt_result *result,
         enum login_verdict *verdict, struct login_answer *answer)
{
    if (jwt == JWT_NOT_A_TOKEN) {
        return false;
    }
    *verdict = jwt == JWT_GOOD ? let_in(shard, c, connect, result, answer) : refuse(shard, jwt, answer);
    return true;
}

static struct bytes
keep(uint8_t **at, struct bytes text)
{
    struct bytes kept = bytes_of(*at, text.size);
    if (text.size > 0) {
        memcpy(*at, text.data, text.size);
    }
    *at += text.size;
    return kept;
}

/* NULL: out of memory. */
static struct token_work *
make_work(struct shard *shard, struct connection *c, const struct connect *connect)
{
    uint32_t size = connect->password.size + connect->user_name.size;
    struct connection_extra *extra = connection_need_extra(shard->account, c);
    struct token_work *work = extra != NULL ? malloc(sizeof *work + size) : NULL;
    if (work == NULL) {
        return NULL;
    }
    *work = (struct token_work){
        .job = {.run = run, .done = done},
        .connection = c,
        .generation = shard->security->generation,
        .policy = policy_of(shard, c),
        .wall_ms = io_wall_ms(shard->io),
        .size = size,
    };
    /* Afterwards: the structure's last bytes may lie over the first of `text`. */
    uint8_t *at = work->text;
    work->token = keep(&at, connect->password);
    work->user_name = keep(&at, connect->user_name);
    jwt_keys_hold((struct jwt_keys *)(uintptr_t)work->policy.keys);
    budget_charge(shard->account, sizeof *work + size);
    return work;
}

/* Too many wait already, or no memory: the client may come back later. */
static enum login_verdict
start_work(struct shard *shard, struct connection *c, const struct connect *connect, struct login_answer *answer)
{
    struct token_work *work = make_work(shard, c, connect);
    if (work != NULL && job_start(shard, IO_WORK_CRYPTO, &work->job)) {
        c->extra->token = work;
        connection_wait(shard, c);
        return LOGIN_PENDING;
    }
    if (work != NULL) {
        forget_work(shard, work);
    }
    *answer = (struct login_answer){.reason = REASON_SERVER_BUSY, .explain = "too many tokens wait to be verified"};
    return LOGIN_REFUSED;
}

bool
token_login(struct shard *shard, struct connection *c, const struct connect *connect, enum login_verdict *verdict, struct login_answer *answer)
{
    struct token_work *work = c->extra != NULL ? c->extra->token : NULL;
    bool same = work != NULL && work->generation == shard->security->generation; /* login.h G2 */
    if (same) {
        bool concluded = conclude(shard, c, connect, work->job.ran ? work->verdict : JWT_NOT_A_TOKEN, &work->result, verdict, answer);
        c->extra->token = NULL;
        forget_work(shard, work);
        return concluded;
    }
    token_login_abandon(shard, c);
    if (shard->security->listeners[c->listener].jwt_keys == NULL || !jwt_looks_like_one(connect->password)) {
        return false;
    }
    if (jwt_is_costly(connect->password)) {
        *verdict = start_work(shard, c, connect, answer);
        return true;
    }
    struct jwt_policy policy = policy_of(shard, c);
    struct jwt_result result;
    return conclude(shard, c, connect, jwt_verify(&policy, connect->password, connect->user_name, io_wall_ms(shard->io), &result), &result, verdict, answer);
}
