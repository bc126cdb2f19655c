#include "engine/identity/http_hook.h"

#include "codec/topic.h"
#include "engine/identity/identity.h"
#include "engine/job.h"
#include "engine/log.h"
#include "engine/net/alias.h"
#include "engine/protocol/input.h"
#include "engine/security/security.h"
#include "engine/session/session.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdlib.h>

/* Requests of one packet that are under way at a time. */
#define PARALLEL_MAX 8u

enum wait_kind {
    WAIT_LOGIN,
    WAIT_WILL,
    WAIT_PACKET,
};

struct hook_request {
    struct job job;
    struct hook_wait *wait;
    struct http_target target;
    const struct io *io;         /* its clock, which any thread may read */
    uint64_t deadline_ms;        /* the wait for a worker counts too */
    struct bytes topic;          /* within the set's texts; a `data` of NULL: nothing to ask */
    struct bytes message;        /* what is sent: there from when it is handed over until it is answered, and charged */
    struct keyed_hash hash;
    bool answered;
    bool from_memory;
    enum http_problem problem;
    uint16_t status;
    struct hook_answer answer;
};

struct hook_wait {
    struct connection *connection; /* NULL: gone */
    struct principal *principal;   /* WAIT_WILL: of the CONNECT that was accepted */
    _Atomic bool given_up;         /* with it: requests that have not begun need not */
    enum wait_kind kind;
    uint32_t generation;           /* of the snapshot */
    uint32_t count, next, under_way;
    size_t bytes;                  /* of this, charged */
    struct hook_question common;   /* its texts are `peer` and in `texts` */
    char peer[INET6_ADDRSTRLEN];
    uint8_t *texts;                /* behind the requests */
    struct hook_request requests[];
};

/* What is to be asked about one packet. */
struct asking {
    const struct http_target *target;
    struct hook_question common;
    uint32_t count;
    struct bytes topics[HOOK_QUESTIONS_MAX]; /* for HOOK_CONNECT: one, empty. A `data` of NULL: nothing to ask */
};

static void (*post)(const struct http_target *target, struct bytes body, struct http_answer *answer) = http_post;

void
http_hook_replace(void (*other)(const struct http_target *target, struct bytes body, struct http_answer *answer))
{
    post = other != NULL ? other : http_post;
}

/* ------------------------------------------------------------------------------------------------------------------ memory */

static void
settle_account(struct shard *shard, size_t before)
{
    size_t now = hook_cache_bytes(&shard->hook.cache);
    if (now > before) {
        budget_charge(shard->account, now - before);
    } else {
        budget_refund(shard->account, before - now);
    }
}

void
http_hook_configure(struct shard *shard)
{
    struct http_hook *hook = &shard->hook;
    size_t before = hook_cache_bytes(&hook->cache);
    bool asks_somebody = false;
    for (unsigned i = 0; i < CONFIG_LISTENERS_MAX; i++) {
        const struct security_listener *listener = &shard->security->listeners[i];
        asks_somebody |= listener->http_acl.url != NULL || listener->http_auth.url != NULL;
        hook->asks |= listener->http_acl.url != NULL;
    }
    if (asks_somebody && !hook->keyed) {
        io_random(shard->io, &hook->key, sizeof hook->key);
        hook->keyed = true;
    }
    hook_cache_resize(&hook->cache, shard->config->http_cache_entries);
    settle_account(shard, before);
}

void
http_hook_fini(struct shard *shard)
{
    size_t before = hook_cache_bytes(&shard->hook.cache);
    hook_cache_fini(&shard->hook.cache);
    settle_account(shard, before);
}

static void
remember(struct shard *shard, struct keyed_hash hash, const struct hook_answer *answer)
{
    const struct config *config = shard->config;
    size_t before = hook_cache_bytes(&shard->hook.cache);
    uint64_t end_ms = shard->now_ms + 1000ull * (answer->result == HOOK_DENY ? config->http_cache_deny_s : config->http_cache_s);
    hook_cache_add(&shard->hook.cache, hash, answer, shard->now_ms, end_ms);
    settle_account(shard, before);
}

/* --------------------------------------------------------------------------------------------------------------- questions */

static struct keyed_hash
hash_of(const struct shard *shard, const struct connection *c, const struct hook_question *q)
{
    struct keyed_hash_state state;
    struct peer_address peer = connection_peer(c);
    uint8_t about[] = {q->action, c->listener, q->user_name.data != NULL, q->password.data != NULL, peer.family};
    keyed_hash_begin(&state, &shard->hook.key);
    keyed_hash_add(&state, bytes_of(&shard->security->generation, sizeof shard->security->generation));
    keyed_hash_add(&state, bytes_of(about, sizeof about));
    keyed_hash_add(&state, bytes_of(peer.bytes, sizeof peer.bytes));
    keyed_hash_add_text(&state, q->client_id);
    keyed_hash_add_text(&state, q->user_name);
    keyed_hash_add_text(&state, q->password);
    keyed_hash_add_text(&state, q->certificate);
    keyed_hash_add_text(&state, q->topic);
    return keyed_hash_end(&state);
}

/* Who asks, as all questions about a connection say it. */
static struct hook_question
question_of(const struct shard *shard, const struct connection *c, enum hook_action action)
{
    static _Thread_local char text[INET6_ADDRSTRLEN];
    struct peer_address peer = connection_peer(c);
    text[0] = '\0';
    if (peer.family != 0) {
        inet_ntop(peer.family, peer.bytes, text, sizeof text);
    }
    return (struct hook_question){
        .action = action,
        .peer = text,
        .peer_port = peer.port,
        .listener_port = shard->broker->listeners[c->listener].port,
    };
}

static struct bytes
text_or_null(bool there, struct bytes text)
{
    return !there ? bytes_of(NULL, 0) : text.size > 0 ? text : bytes_of("", 0);
}

static const struct principal *
principal_of(const struct session *session)
{
    return session_get_extra(session)->principal;
}

static struct bytes
user_of(const struct principal *principal)
{
    return principal != NULL && principal->user.size > 0 ? principal->user : bytes_of(NULL, 0);
}

/* ------------------------------------------------------------------------------------------------------------------ requests */

static void
make_message(struct shard *shard, struct hook_request *request)
{
    struct hook_question question = request->wait->common;
    question.topic = request->topic;
    request->message = hook_message_ask(&question);
    budget_charge(shard->account, request->message.size);
}

static void
forget_message(struct shard *shard, struct hook_request *request)
{
    budget_refund(shard->account, request->message.size);
    hook_message_forget(&request->message);
}

static void
forget_wait(struct shard *shard, struct hook_wait *wait)
{
    for (uint32_t i = 0; i < wait->count; i++) {
        forget_message(shard, &wait->requests[i]);
    }
    principal_free(shard->account, &wait->principal);
    budget_refund(shard->account, wait->bytes);
    explicit_bzero(wait, wait->bytes); /* a password may be in it */
    free(wait);
}

/* On a worker thread. */
static void
run(struct job *job)
{
    struct hook_request *request = (struct hook_request *)(void *)job;
    struct http_answer answer;
    uint64_t now_ms = io_clock_ns(request->io) / 1000000;
    if (now_ms >= request->deadline_ms || atomic_load_explicit(&request->wait->given_up, memory_order_relaxed)) {
        request->problem = HTTP_TIMED_OUT;
        return;
    }
    request->target.timeout_ms = (uint32_t)(request->deadline_ms - now_ms);
    post(&request->target, request->message, &answer);
    request->problem = answer.problem;
    request->status = answer.status;
    if (answer.problem == HTTP_ANSWERED) {
        request->answer = hook_message_judge(answer.status, bytes_of(answer.body, answer.size));
    }
}

static const char *
problem_text(const struct hook_request *request)
{
    static const char *const texts[] = {
        [HTTP_ANSWERED] = "an answer that says nothing",
        [HTTP_TIMED_OUT] = "no answer in time",
        [HTTP_TOO_LARGE] = "an answer that is too large",
        [HTTP_NO_CONNECTION] = "no connection",
    };
    return request->job.ran ? texts[request->problem] : "too many requests wait";
}

static void
conclude(struct shard *shard, struct hook_request *request)
{
    request->answered = true;
    forget_message(shard, request);
    if (request->answer.result != HOOK_FAILED) {
        remember(shard, request->hash, &request->answer);
    } else if (request->wait->connection != NULL) {
        stats_add(&shard->stats.drops[DROP_HOOK_FAILED], 1);
        log_peer(CONFIG_LOG_WARNING, DROP_HOOK_FAILED, "Warning: the HTTP hook gave %s (status %u).", problem_text(request), request->status);
    }
}

static void done(struct shard *shard, struct job *job);

/* Those that may be under way now. Where there is no room for one it has failed at once. */
static void
start_requests(struct shard *shard, struct hook_wait *wait)
{
    for (; wait->next < wait->count && wait->under_way < PARALLEL_MAX; wait->next++) {
        struct hook_request *request = &wait->requests[wait->next];
        if (request->answered) {
            continue;
        }
        request->job = (struct job){.run = run, .done = done};
        make_message(shard, request);
        request->io = shard->io;
        request->deadline_ms = io_clock_ns(shard->io) / 1000000 + request->target.timeout_ms;
        if (request->message.data != NULL && job_start(shard, IO_WORK_REQUEST, &request->job)) {
            wait->under_way++;
        } else {
            conclude(shard, request);
        }
    }
}

static void
done(struct shard *shard, struct job *job)
{
    struct hook_request *request = (struct hook_request *)(void *)job;
    struct hook_wait *wait = request->wait;
    wait->under_way--;
    conclude(shard, request);
    if (wait->connection != NULL) {
        start_requests(shard, wait);
    }
    if (wait->under_way > 0) {
        return;
    }
    if (wait->connection != NULL) {
        connection_answered(shard, wait->connection);
    } else {
        forget_wait(shard, wait);
    }
}

void
http_hook_abandon(struct shard *shard, struct connection *c)
{
    struct hook_wait *wait = c->extra != NULL ? c->extra->hook : NULL;
    if (wait == NULL) {
        return;
    }
    c->extra->hook = NULL;
    wait->connection = NULL;
    atomic_store_explicit(&wait->given_up, true, memory_order_relaxed);
    if (wait->under_way == 0) {
        forget_wait(shard, wait);
    }
}

void
http_hook_forget_stale(struct shard *shard, struct connection *c)
{
    struct hook_wait *wait = c->extra != NULL ? c->extra->hook : NULL;
    if (wait != NULL && wait->generation != shard->security->generation) {
        http_hook_abandon(shard, c);
    }
}

/* Fills what is known already; true if that is all. */
static bool
look_into_memory(struct shard *shard, const struct connection *c, const struct asking *asking, struct keyed_hash *hashes, struct hook_answer *answers)
{
    bool all = true;
    for (uint32_t i = 0; i < asking->count; i++) {
        struct hook_question question = asking->common;
        question.topic = asking->topics[i];
        answers[i] = (struct hook_answer){.result = HOOK_ALLOW};
        if (asking->topics[i].data == NULL) {
            continue;
        }
        hashes[i] = hash_of(shard, c, &question);
        const struct hook_answer *known = hook_cache_find(&shard->hook.cache, hashes[i], shard->now_ms);
        answers[i] = known != NULL ? *known : (struct hook_answer){.result = HOOK_FAILED};
        all = all && known != NULL;
    }
    return all;
}

/* Bytes of all that the questions are about. */
static size_t
texts_size(const struct asking *asking)
{
    const struct hook_question *q = &asking->common;
    size_t size = (size_t)q->client_id.size + q->user_name.size + q->password.size + q->certificate.size;
    for (uint32_t i = 0; i < asking->count; i++) {
        size += asking->topics[i].size;
    }
    return size;
}

/* An empty text stays one, and no text none. */
static struct bytes
keep(uint8_t **at, struct bytes text)
{
    struct bytes kept = bytes_of(text.data != NULL ? *at : NULL, text.size);
    if (text.size > 0) {
        memcpy(*at, text.data, text.size);
        *at += text.size;
    }
    return kept;
}

/* The packet that they are from may move before the last question is written. */
static void
keep_questions(struct hook_wait *wait, const struct asking *asking)
{
    const struct hook_question *q = &asking->common;
    uint8_t *at = wait->texts;
    wait->common = *q;
    memcpy(wait->peer, q->peer, strlen(q->peer) + 1); /* as inet_ntop() wrote it */
    wait->common.peer = wait->peer;
    wait->common.client_id = keep(&at, q->client_id);
    wait->common.user_name = keep(&at, q->user_name);
    wait->common.password = keep(&at, q->password);
    wait->common.certificate = keep(&at, q->certificate);
    for (uint32_t i = 0; i < asking->count; i++) {
        wait->requests[i].topic = keep(&at, asking->topics[i]);
    }
}

static struct hook_wait *
make_wait(struct shard *shard, struct connection *c, enum wait_kind kind, const struct asking *asking, const struct keyed_hash *hashes,
          const struct hook_answer *answers)
{
    struct connection_extra *extra = connection_need_extra(shard->account, c);
    size_t head = sizeof(struct hook_wait) + asking->count * sizeof(struct hook_request), bytes = head + texts_size(asking);
    struct hook_wait *wait = extra != NULL ? calloc(1, bytes) : NULL;
    if (wait == NULL) {
        return NULL;
    }
    wait->bytes = bytes;
    wait->texts = (uint8_t *)wait + head;
    budget_charge(shard->account, bytes);
    wait->kind = kind;
    wait->generation = shard->security->generation;
    wait->count = asking->count;
    wait->connection = c;
    for (uint32_t i = 0; i < asking->count; i++) {
        struct hook_request *request = &wait->requests[i];
        *request = (struct hook_request){.wait = wait, .target = *asking->target, .hash = hashes[i], .answer = answers[i]};
        request->answered = answers[i].result != HOOK_FAILED;
    }
    keep_questions(wait, asking);
    return wait;
}

static bool
all_answered(const struct hook_wait *wait, struct hook_answer *answers)
{
    for (uint32_t i = 0; i < wait->count; i++) {
        answers[i] = wait->requests[i].answer;
    }
    return wait->under_way == 0;
}

/*
 * Asks. True: `answers` has them all, at once. False: the connection waits. `principal` is taken over then, or NULL.
 */
static bool
ask(struct shard *shard, struct connection *c, enum wait_kind kind, const struct asking *asking, struct principal *principal, struct hook_answer *answers)
{
    struct keyed_hash hashes[HOOK_QUESTIONS_MAX];
    if (look_into_memory(shard, c, asking, hashes, answers)) {
        return true;
    }
    struct hook_wait *wait = make_wait(shard, c, kind, asking, hashes, answers);
    if (wait == NULL) {
        stats_add(&shard->stats.drops[DROP_MEMORY], 1);
        return true; /* what is not known has failed */
    }
    start_requests(shard, wait);
    if (all_answered(wait, answers)) {
        forget_wait(shard, wait);
        return true;
    }
    wait->principal = principal;
    c->extra->hook = wait;
    connection_wait(shard, c);
    return false;
}

/* The answers that a connection waited for, if it did. */
static bool
take_answers(struct shard *shard, struct connection *c, enum wait_kind kind, struct principal **principal, struct hook_answer *answers)
{
    struct hook_wait *wait = c->extra != NULL ? c->extra->hook : NULL;
    if (wait == NULL || wait->kind != kind) {
        return false;
    }
    bool all = all_answered(wait, answers);
    assert(all);
    (void)all;
    *principal = wait->principal;
    wait->principal = NULL;
    c->extra->hook = NULL;
    forget_wait(shard, wait);
    return true;
}

static bool
waits_for(const struct connection *c, enum wait_kind kind)
{
    return c->extra != NULL && c->extra->hook != NULL && c->extra->hook->kind == kind;
}

/* ---------------------------------------------------------------------------------------------------------------------- CONNECT */

bool
http_hook_has_login(const struct connection *c)
{
    return waits_for(c, WAIT_LOGIN);
}

bool
http_hook_has_will(const struct connection *c)
{
    return waits_for(c, WAIT_WILL);
}

static enum login_verdict
let_in(struct shard *shard, const struct connection *c, const struct connect *connect, const struct hook_answer *given, struct login_answer *answer)
{
    if (given->expires_wall_ms != 0 && given->expires_wall_ms <= io_wall_ms(shard->io)) {
        *answer = (struct login_answer){.reason = REASON_NOT_AUTHORIZED, .explain = "the HTTP hook let it in until a time that has passed"};
        return LOGIN_REFUSED;
    }
    struct principal like = {
        .way = PRINCIPAL_BY_HOOK,
        .user = connect->user_name,
        .listener = c->listener,
        .superuser = given->superuser,
        .expires_wall_ms = given->expires_wall_ms,
    };
    return login_accept(shard, c, connect, &like, answer);
}

/* False: no opinion. */
static bool
judge_login(struct shard *shard, const struct connection *c, const struct connect *connect, const struct hook_answer *given, enum login_verdict *verdict,
            struct login_answer *answer)
{
    switch (given->result) {
    case HOOK_ALLOW:
        *verdict = let_in(shard, c, connect, given, answer);
        return true;
    case HOOK_DENY:
        stats_add(&shard->stats.drops[DROP_HOOK_DENIED], 1);
        *answer = (struct login_answer){.reason = REASON_NOT_AUTHORIZED, .explain = "the HTTP hook denied it"};
        *verdict = LOGIN_REFUSED;
        return true;
    case HOOK_IGNORE:
        return false;
    default:
        *answer = (struct login_answer){.reason = REASON_SERVER_UNAVAILABLE, .explain = "the HTTP hook did not answer"};
        *verdict = LOGIN_REFUSED;
        return !shard->config->http_auth_failure_ignored;
    }
}

bool
http_hook_login(struct shard *shard, struct connection *c, const struct connect *connect, enum login_verdict *verdict, struct login_answer *answer)
{
    struct hook_answer given;
    struct principal *none = NULL;
    if (take_answers(shard, c, WAIT_LOGIN, &none, &given)) {
        return judge_login(shard, c, connect, &given, verdict, answer);
    }
    const struct http_target *target = &shard->security->listeners[c->listener].http_auth;
    if (target->url == NULL) {
        return false;
    }
    struct asking asking;
    asking.target = target;
    asking.common = question_of(shard, c, HOOK_CONNECT);
    asking.common.protocol = connect->version;
    asking.common.client_id = connect->client_id;
    asking.common.user_name = text_or_null(connect->has_user_name, connect->user_name);
    asking.common.password = text_or_null(connect->has_password, connect->password);
    asking.common.certificate = identity_name(c);
    asking.count = 1;
    asking.topics[0] = bytes_of("", 0);
    if (ask(shard, c, WAIT_LOGIN, &asking, NULL, &given)) {
        return judge_login(shard, c, connect, &given, verdict, answer);
    }
    *verdict = LOGIN_PENDING;
    return true;
}

static enum login_verdict
judge_will(struct shard *shard, const struct hook_answer *given, struct login_answer *answer)
{
    if (given->result == HOOK_ALLOW || given->result == HOOK_IGNORE) {
        return LOGIN_ACCEPTED;
    }
    bool denied = given->result == HOOK_DENY;
    principal_free(shard->account, &answer->principal);
    stats_add(&shard->stats.drops[DROP_HOOK_DENIED], denied);
    answer->reason = denied ? REASON_NOT_AUTHORIZED : REASON_SERVER_UNAVAILABLE;
    answer->explain = denied ? "the HTTP hook denied it its will" : "the HTTP hook did not answer about its will";
    return LOGIN_REFUSED;
}

enum login_verdict
http_hook_will(struct shard *shard, struct connection *c, const struct connect *connect, struct login_answer *answer)
{
    struct hook_answer given;
    if (take_answers(shard, c, WAIT_WILL, &answer->principal, &given)) {
        return judge_will(shard, &given, answer);
    }
    const struct http_target *target = &shard->security->listeners[c->listener].http_acl;
    const struct principal *principal = answer->principal;
    if (target->url == NULL || !connect->has_will || (principal != NULL && principal->superuser)) {
        return LOGIN_ACCEPTED;
    }
    struct asking asking;
    asking.target = target;
    asking.common = question_of(shard, c, HOOK_PUBLISH);
    asking.common.client_id = connect->client_id;
    asking.common.user_name = user_of(principal);
    asking.count = 1;
    asking.topics[0] = connect->will.topic;
    return ask(shard, c, WAIT_WILL, &asking, answer->principal, &given) ? judge_will(shard, &given, answer) : LOGIN_PENDING;
}

/* -------------------------------------------------------------------------------------------------------------------------- topics */

/* What a PUBLISH is about; false if its handler will refuse it, or nobody is to be asked. */
static bool
topic_of_publish(const struct connection *c, const struct frame *frame, struct bytes *topic)
{
    struct publish publish;
    if (decode_publish(frame, c->version, PACKET_FROM_CLIENT, &publish) != REASON_SUCCESS) {
        return false;
    }
    *topic = publish.topic;
    if (topic->size == 0 && properties_has(&publish.properties, PROPERTY_TOPIC_ALIAS)) {
        *topic = alias_known(c, publish.properties.topic_alias);
    }
    return topic->size > 0 && !input_topic_is_ours(*topic);
}

static bool
topics_of_subscribe(const struct connection *c, const struct frame *frame, struct asking *asking)
{
    struct subscribe subscribe;
    if (decode_subscribe(frame, c->version, &subscribe) != REASON_SUCCESS) {
        return false;
    }
    struct bytes entries = subscribe.entries, text;
    struct subscription_options options;
    while (asking->count < HOOK_QUESTIONS_MAX && subscribe_next(&entries, &text, &options)) {
        struct topic_filter parsed;
        asking->topics[asking->count++] = topic_filter_parse(text, TOPIC_LEVELS_MAX, &parsed) ? parsed.filter : bytes_of(NULL, 0);
    }
    return asking->count > 0;
}

static bool
topics_of(const struct shard *shard, const struct connection *c, const struct frame *frame, struct asking *asking)
{
    const struct principal *principal = principal_of(c->session);
    asking->target = &shard->security->listeners[c->listener].http_acl;
    asking->count = 0;
    if (asking->target->url == NULL || (principal != NULL && principal->superuser)) {
        return false;
    }
    if (frame->type == PACKET_PUBLISH) {
        asking->count = 1;
        return topic_of_publish(c, frame, &asking->topics[0]);
    }
    return frame->type == PACKET_SUBSCRIBE && topics_of_subscribe(c, frame, asking);
}

static void
judge_topics(struct shard *shard, const struct hook_answer *answers, uint32_t count)
{
    struct http_hook *hook = &shard->hook;
    memset(hook->answers, HOOK_DENY, sizeof hook->answers); /* more filters than are asked about */
    for (uint32_t i = 0; i < count; i++) {
        hook->answers[i] = answers[i].result;
    }
    hook->judged = true;
}

bool
http_hook_refuses(struct shard *shard, uint32_t index)
{
    const struct http_hook *hook = &shard->hook;
    enum hook_result result = !hook->judged ? HOOK_ALLOW : index < HOOK_QUESTIONS_MAX ? hook->answers[index] : HOOK_DENY;
    stats_add(&shard->stats.drops[DROP_HOOK_DENIED], result == HOOK_DENY);
    return result == HOOK_DENY || result == HOOK_FAILED;
}

bool
http_hook_ready(struct shard *shard, struct connection *c, const struct frame *frame)
{
    struct hook_answer answers[HOOK_QUESTIONS_MAX];
    struct principal *none = NULL;
    shard->hook.judged = false;
    http_hook_forget_stale(shard, c);
    if (waits_for(c, WAIT_PACKET)) {
        uint32_t count = c->extra->hook->count;
        take_answers(shard, c, WAIT_PACKET, &none, answers);
        judge_topics(shard, answers, count);
        return true;
    }
    struct asking asking;
    if (!topics_of(shard, c, frame, &asking)) {
        return true;
    }
    asking.common = question_of(shard, c, frame->type == PACKET_PUBLISH ? HOOK_PUBLISH : HOOK_SUBSCRIBE);
    asking.common.client_id = session_client_id(c->session);
    asking.common.user_name = user_of(principal_of(c->session));
    if (!ask(shard, c, WAIT_PACKET, &asking, NULL, answers)) {
        return false;
    }
    judge_topics(shard, answers, asking.count);
    return true;
}
