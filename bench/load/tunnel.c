#include "bench/load/tunnel.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "bench/load/count.h"
#include "bench/load/process.h"

void
tunnel_shared_init(struct tunnel_shared *s, const struct options *o, struct secure_context *context, struct desk *desk)
{
    *s = (struct tunnel_shared){.options = o, .context = context, .desk = desk};
}

void
tunnel_shared_fini(struct tunnel_shared *s)
{
    secure_wallet_fini(&s->wallet);
    pile_fini(&s->plain);
    pile_fini(&s->framed);
    *s = (struct tunnel_shared){0};
}

bool
tunnel_shared_may_open(const struct tunnel_shared *s, uint32_t under_way)
{
    return !s->options->resume || under_way == 0 || !secure_wallet_is_empty(&s->wallet);
}

/* ------------------------------------------------------------------------------------------------------- open and close */

static bool
open_layers(struct tunnel *t)
{
    struct tunnel_shared *s = t->shared;

    if (s->options->websocket) {
        t->websocket = malloc(sizeof *t->websocket);
        if (t->websocket == NULL) {
            return false;
        }
        websocket_init(t->websocket, process_get_now_ns() + s->opened);
    }
    if (s->context != NULL) {
        t->secure = secure_open(s->context, &s->wallet, &t->wire);
        return t->secure != NULL;
    }
    websocket_ask(t->websocket, s->options->host, (uint16_t)s->options->port, s->options->path, &t->wire);
    return true;
}

struct tunnel *
tunnel_open(struct tunnel_shared *s)
{
    struct tunnel *t = calloc(1, sizeof *t);

    assert(tunnel_is_wanted(s->options));
    if (t == NULL) {
        return NULL;
    }
    t->shared = s;
    if (!open_layers(t)) {
        tunnel_close(&t);
    }
    s->opened++;
    return t;
}

void
tunnel_close(struct tunnel **tunnelp)
{
    struct tunnel *t = *tunnelp;

    *tunnelp = NULL;
    if (t != NULL) {
        secure_close(&t->secure);
        free(t->websocket);
        pile_fini(&t->wire);
        free(t);
    }
}

static bool
fail(struct tunnel *t, enum failure_kind kind, int detail)
{
    t->failure = kind;
    t->detail = detail;
    return false;
}

/* ----------------------------------------------------------------------------------------------------------- TLS's part */

static bool
judge_secure(struct tunnel *t, enum secure_outcome outcome)
{
    switch (outcome) {
    case SECURE_GOOD: return true;
    case SECURE_ENDED: return fail(t, FAILURE_CLOSED, 0);
    case SECURE_FAILED: t->failure = secure_get_failure(t->secure, &t->detail); break;
    }
    return false;
}

/* Bytes that need no frame any more. */
static bool
send_secured(struct tunnel *t, struct bytes bytes)
{
    if (bytes.size == 0) {
        return true;
    }
    if (t->secure == NULL) {
        pile_append(&t->wire, bytes);
        return true;
    }
    return judge_secure(t, secure_write(t->secure, bytes, &t->wire));
}

static bool
note_handshake(struct tunnel *t)
{
    struct tunnel_shared *s = t->shared;
    bool resumed = secure_is_resumed(t->secure), first = !s->has_ended_one;

    if (first) {
        secure_describe(t->secure, s->desk->secured, sizeof s->desk->secured);
    }
    s->has_ended_one = true;
    count_add(&s->desk->counts[resumed ? COUNT_RESUMED : COUNT_SECURED], 1);
    return resumed || first || !s->options->resume || fail(t, FAILURE_NOT_RESUMED, 0);
}

static bool
ask_for_upgrade(struct tunnel *t)
{
    const struct options *o = t->shared->options;

    t->shared->framed.used = 0;
    websocket_ask(t->websocket, o->host, (uint16_t)o->port, o->path, &t->shared->framed);
    return send_secured(t, bytes_of(t->shared->framed.bytes, t->shared->framed.used));
}

/* Decrypts into the worker's `plain`. */
static bool
receive_secured(struct tunnel *t, struct bytes input)
{
    bool was_up = secure_is_up(t->secure);
    bool good = judge_secure(t, secure_read(t->secure, input, &t->shared->plain, &t->wire));

    if (was_up || !secure_is_up(t->secure)) {
        return good;
    }
    t->open = t->websocket == NULL;
    return note_handshake(t) && (t->websocket == NULL || ask_for_upgrade(t)) && good;
}

/* ----------------------------------------------------------------------------------------------------- WebSocket's part */

static bool
judge_websocket(struct tunnel *t, enum websocket_outcome outcome)
{
    switch (outcome) {
    case WEBSOCKET_GOOD: return true;
    case WEBSOCKET_REFUSED: return fail(t, FAILURE_UPGRADE, t->websocket->status);
    case WEBSOCKET_ENDED: return fail(t, FAILURE_CLOSED, 0);
    case WEBSOCKET_WRONG: return fail(t, FAILURE_FRAME, 0);
    }
    return false;
}

/* Takes the frames off `plain`. */
static bool
receive_framed(struct tunnel *t)
{
    struct pile *plain = &t->shared->plain, *answer = &t->shared->framed;
    uint32_t payload;

    answer->used = 0;
    enum websocket_outcome outcome = websocket_take(t->websocket, plain->bytes, plain->used, &payload, answer);
    plain->used = payload;
    t->open = t->websocket->up;
    return send_secured(t, bytes_of(answer->bytes, answer->used)) && judge_websocket(t, outcome);
}

/* --------------------------------------------------------------------------------------------------------- both ways */

bool
tunnel_receive(struct tunnel *t, struct bytes input, struct bytes *mqtt)
{
    struct pile *plain = &t->shared->plain;
    bool good = true;

    plain->used = 0;
    if (t->secure != NULL) {
        good = receive_secured(t, input);
    } else {
        pile_append(plain, input);
    }
    /* Frames before a good-bye count. */
    if (t->websocket != NULL && plain->used > 0) {
        good = receive_framed(t) && good;
    }
    *mqtt = bytes_of(plain->bytes, plain->used);
    return good;
}

bool
tunnel_send(struct tunnel *t, struct bytes mqtt)
{
    struct pile *framed = &t->shared->framed;

    assert(t->open);
    if (t->websocket == NULL) {
        return send_secured(t, mqtt);
    }
    if (t->secure == NULL) {
        websocket_frame(t->websocket, mqtt, &t->wire);
        return true;
    }
    framed->used = 0;
    websocket_frame(t->websocket, mqtt, framed);
    return send_secured(t, bytes_of(framed->bytes, framed->used));
}
