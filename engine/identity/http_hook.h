/*
 * http_hook: asks an HTTP server who may come in (http_auth_url) and which topics he may use (http_acl_url). engine/identity/hook_message.h says what is sent and
 * what answers mean.
 *
 *      CONNECT ──► http_hook_login ──┐                     ┌──► answered at once: from the cache
 *      a will  ──► http_hook_will  ──┼──► every question ──┤
 *      PUBLISH, SUBSCRIBE ──► http_hook_ready              └──► a job per question; the connection waits, its packet is handled again when all are answered
 *
 * A delivery is not asked about: the answer at SUBSCRIBE covers it. Access must be allowed by the hook and by an access list, where there are both; `ignore` leaves it
 * to the list. Neither counts for whom it let in as superuser. What gets no answer in time is refused and counted (a login may be left to others: http_auth_failure), and nothing of it is remembered.
 *
 * Invariants
 *   Q1  a connection has at most one set of questions, and waits (connection_wait) exactly while some of them is under way.
 *   Q2  a set outlives its connection until its last job is done.
 *   Q3  http_timeout_ms counts from when a request is handed to the workers: what could not begin until then, or whose connection is gone, is not sent.
 *   Q4  a set and its messages are charged to the shard's account; a message is there only while its request is under way.
 *
 * Threads  the shard's; jobs see what their request owns and texts of the configuration, which stay.
 */
#ifndef TIDEWIRE_ENGINE_IDENTITY_HTTP_HOOK_H
#define TIDEWIRE_ENGINE_IDENTITY_HTTP_HOOK_H

#include "engine/identity/http_client.h"
#include "engine/identity/login.h"

/* After a reload, and at the start. */
void http_hook_configure(struct shard *shard);
void http_hook_fini(struct shard *shard);

/* Asks about a CONNECT. False: nobody is to be asked, or the hook has no opinion, and the other ways decide; else as login_start(). */
bool http_hook_login(struct shard *shard, struct connection *c, const struct connect *connect, enum login_verdict *verdict, struct login_answer *answer);
/* Whether a CONNECT waits for, or has, an answer to http_hook_login(): then no other way is to be looked at again. */
bool http_hook_has_login(const struct connection *c);

/*
 * An accepted CONNECT: whether its will may be published. Takes answer->principal over while the hook is asked, and gives it back with the verdict, for which it is to
 * be called before login_start(): http_hook_has_will() says so.
 */
enum login_verdict http_hook_will(struct shard *shard, struct connection *c, const struct connect *connect, struct login_answer *answer);
bool http_hook_has_will(const struct connection *c);

/* Before a packet of a connected client is handled, where shard->hook.asks: false, the connection waits, the packet is to be kept. */
bool http_hook_ready(struct shard *shard, struct connection *c, const struct frame *frame);
/* Whether the packet that is being handled may not use its topic: PUBLISH's, or the filter of that number. Counted, unless the lack of an answer was already. */
bool http_hook_refuses(struct shard *shard, uint32_t index);

/* A packet is handled again: what was answered for another snapshot does not count (login.h G2). */
void http_hook_forget_stale(struct shard *shard, struct connection *c);

/* The connection ends. */
void http_hook_abandon(struct shard *shard, struct connection *c);

/* For tests: what stands in for http_post(); NULL: nothing does. */
void http_hook_replace(void (*post)(const struct http_target *target, struct bytes body, struct http_answer *answer));

#endif
