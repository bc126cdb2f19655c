#include "engine/transport/tls_layer.h"

#include "engine/job.h"
#include "engine/log.h"
#include "engine/protocol/input.h"
#include "engine/transport/transport.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

/* Answers to key updates that wait for a peer that does not read, beside what a flush puts there; raising it costs that much memory for each such peer. */
#define READY_BYTES_MAX (512u << 10)

struct tls_layer {
    struct tls *tls;
    struct job job;
    struct connection *connection; /* of the step that runs; NULL: it has ended */
    bool running;                  /* J1 */
    _Atomic bool given_up;         /* nobody waits for the step any more */
    struct wire late;              /* arrived while a step runs */
    uint64_t charged;
};

struct tls_layer *
tls_layer_open(struct tls_context *context)
{
    struct tls_layer *layer = calloc(1, sizeof *layer);
    if (layer != NULL && (layer->tls = tls_open(context)) == NULL) {
        free(layer);
        layer = NULL;
    }
    return layer;
}

static void
free_layer(struct tls_layer *layer)
{
    tls_close(&layer->tls);
    free(layer->late.bytes);
    free(layer);
}

void
tls_layer_close(struct tls_layer **lp)
{
    struct tls_layer *layer = *lp;
    *lp = NULL;
    if (layer == NULL) {
        return;
    }
    if (layer->running) {
        layer->connection = NULL; /* J2 */
        atomic_store_explicit(&layer->given_up, true, memory_order_relaxed); /* a hint: the step may have begun */
        free(layer->late.bytes);
        layer->late = (struct wire){0};
    } else {
        free_layer(layer);
    }
}

bool
tls_layer_waits(const struct tls_layer *layer)
{
    return layer->running;
}

static bool
is_over(const struct connection *c)
{
    return c->state == CONNECTION_CLOSING || c->state == CONNECTION_CLOSED;
}

/* What it holds now, instead of what it held when last looked at. */
static void
account(struct shard *shard, struct connection *c)
{
    struct tls_layer *layer = connection_transport(c)->tls;
    uint64_t bytes = sizeof *layer + layer->late.room + tls_bytes(layer->tls);
    transport_charge_difference(shard, c, layer->charged, bytes);
    layer->charged = bytes;
}

/* ------------------------------------------------------------------------------------------------------------------- end */

static void
fail(struct shard *shard, struct connection *c)
{
    static const enum drop_reason reasons[] = {
        [TLS_FAILURE_NONE] = DROP_TLS_HANDSHAKE,
        [TLS_FAILURE_HANDSHAKE] = DROP_TLS_HANDSHAKE,
        [TLS_FAILURE_CERTIFICATE] = DROP_TLS_CERTIFICATE,
        [TLS_FAILURE_RECORD] = DROP_TLS_RECORD,
        [TLS_FAILURE_MEMORY] = DROP_MEMORY,
    };
    struct transport *t = connection_transport(c);
    enum drop_reason reason = reasons[tls_failure(t->tls->tls)];
    stats_add(&shard->stats.drops[reason], 1);
    log_peer(CONFIG_LOG_NOTICE, reason, "Connection from %s closed: TLS: %s.", connection_peer_text(c), tls_problem(t->tls->tls));
    t->finished = true; /* the alert was the last word */
    if (reason != DROP_MEMORY) {
        transport_note_refusal(shard, c);
    }
    connection_close(shard, c, REASON_UNSPECIFIED_ERROR, NULL);
}

static void
end_as_peer_wants(struct shard *shard, struct connection *c)
{
    tls_layer_finish(shard, c);
    connection_transport(c)->finished = true;
    connection_close(shard, c, REASON_SUCCESS, c->state == CONNECTION_CONNECTED && shard->config->connection_messages ? "closed its TLS connection" : NULL);
}

/* --------------------------------------------------------------------------------------------------------------- traffic */

/* Where the endpoint's own words go. */
struct way_out {
    struct shard *shard;
    struct connection *c;
};

static bool
put_ready(void *context, const void *data, uint32_t size)
{
    struct way_out *out = context;
    return transport_put(out->shard, out->c, data, size);
}

static bool
put_answer(void *context, const void *data, uint32_t size)
{
    struct way_out *out = context;
    return connection_transport(out->c)->ready.used < READY_BYTES_MAX && transport_put(out->shard, out->c, data, size);
}

static void
read_records(struct shard *shard, struct connection *c, struct bytes data)
{
    static _Thread_local uint8_t plain[TLS_RECORD_BYTES_MAX];
    struct tls *tls = connection_transport(c)->tls->tls;
    struct way_out out = {shard, c};
    struct tls_sink sink = {put_answer, &out};
    uint32_t size = 1;
    while (size > 0 && tls_state(tls) == TLS_OPEN && !is_over(c)) {
        size = tls_read(tls, &data, plain, sizeof plain, &sink);
        if (size > 0) {
            transport_received_plain(shard, c, bytes_of(plain, size));
        }
    }
    if (is_over(c)) {
        return;
    }
    if (tls_state(tls) == TLS_FAILED) {
        fail(shard, c);
    } else if (tls_state(tls) == TLS_ENDED) {
        end_as_peer_wants(shard, c);
    }
}

bool
tls_layer_put(struct shard *shard, struct connection *c, struct bytes plain)
{
    struct tls_layer *layer = connection_transport(c)->tls;
    struct way_out out = {shard, c};
    struct tls_sink sink = {put_ready, &out};
    return !layer->running && tls_state(layer->tls) == TLS_OPEN && tls_write(layer->tls, plain, &sink);
}

void
tls_layer_finish(struct shard *shard, struct connection *c)
{
    struct tls_layer *layer = connection_transport(c)->tls;
    if (!layer->running && (tls_state(layer->tls) == TLS_OPEN || tls_state(layer->tls) == TLS_ENDED)) {
        struct way_out out = {shard, c};
        struct tls_sink sink = {put_ready, &out};
        tls_end(layer->tls, &sink);
    }
}

bool
tls_layer_identity(const struct tls_layer *layer, struct tls_identity *identity)
{
    return !layer->running && tls_get_identity(layer->tls, identity);
}

/* ------------------------------------------------------------------------------------------------------------- handshake */

static void step_done(struct shard *shard, struct job *job);

static void
run_step(struct job *job)
{
    struct tls_layer *layer = (struct tls_layer *)(void *)((char *)job - offsetof(struct tls_layer, job));
    if (!atomic_load_explicit(&layer->given_up, memory_order_relaxed)) {
        tls_handshake(layer->tls);
    }
}

static void
start_step(struct shard *shard, struct connection *c)
{
    struct tls_layer *layer = connection_transport(c)->tls;
    layer->job = (struct job){.run = run_step, .done = step_done};
    layer->connection = c;
    layer->running = job_start(shard, IO_WORK_CRYPTO, &layer->job);
    if (!layer->running) {
        log_peer(CONFIG_LOG_WARNING, DROP_WORK_FULL, "Connection from %s closed: too many TLS handshakes wait already.", connection_peer_text(c));
        connection_drop(shard, c, false);
    }
}

static void
keep(struct shard *shard, struct connection *c, struct bytes data)
{
    struct tls *tls = connection_transport(c)->tls->tls;
    tls_keep(tls, data);
    if (tls_state(tls) == TLS_FAILED) {
        fail(shard, c);
    } else if (tls_state(tls) == TLS_HANDSHAKE && data.size > 0) {
        start_step(shard, c);
    }
}

/* While a step runs: more than a handshake needs is left to tls_keep() to refuse. */
static void
keep_late(struct shard *shard, struct connection *c, struct bytes data)
{
    struct tls_layer *layer = connection_transport(c)->tls;
    uint32_t needed = layer->late.used + data.size;
    if (needed > layer->late.room) {
        uint8_t *bytes = needed <= 2 * TLS_HANDSHAKE_BYTES_MAX ? realloc(layer->late.bytes, needed) : NULL;
        if (bytes == NULL) {
            stats_add(&shard->stats.drops[DROP_MEMORY], 1);
            connection_drop(shard, c, false);
            return;
        }
        /* All that the layer holds is looked at when the step is done: account(). */
        transport_charge(shard, c, needed - layer->late.room);
        layer->charged += needed - layer->late.room;
        layer->late.bytes = bytes;
        layer->late.room = needed;
    }
    memcpy(layer->late.bytes + layer->late.used, data.data, data.size);
    layer->late.used += data.size;
}

void
tls_layer_received(struct shard *shard, struct connection *c, struct bytes data)
{
    struct tls_layer *layer = connection_transport(c)->tls;
    if (layer->running) {
        keep_late(shard, c, data);
        return;
    }
    if (tls_state(layer->tls) == TLS_OPEN) {
        read_records(shard, c, data);
    } else {
        keep(shard, c, data);
    }
    if (!layer->running) {
        account(shard, c);
    }
}

/* What the step wants sent, and then what has arrived since. */
static void
take_step(struct shard *shard, struct connection *c)
{
    struct tls_layer *layer = connection_transport(c)->tls;
    struct bytes answer = tls_output(layer->tls);
    if (answer.size > 0 && !transport_put(shard, c, answer.data, answer.size)) {
        connection_drop(shard, c, false);
        return;
    }
    tls_output_taken(layer->tls);
    if (tls_state(layer->tls) == TLS_FAILED) {
        fail(shard, c);
        return;
    }
    struct wire late = layer->late;
    layer->late = (struct wire){0};
    if (tls_state(layer->tls) == TLS_OPEN) {
        read_records(shard, c, bytes_of(late.bytes, late.used));
    } else if (late.used > 0) {
        keep(shard, c, bytes_of(late.bytes, late.used));
    }
    free(late.bytes);
}

static void
step_done(struct shard *shard, struct job *job)
{
    struct tls_layer *layer = (struct tls_layer *)(void *)((char *)job - offsetof(struct tls_layer, job));
    struct connection *c = layer->connection;
    layer->running = false;
    layer->connection = NULL;
    if (c == NULL) {
        free_layer(layer);
        return;
    }
    if (is_over(c)) {
        return;
    }
    if (!job->ran) {
        connection_drop(shard, c, false); /* the shard ends */
        return;
    }
    take_step(shard, c);
    if (!layer->running) {
        account(shard, c);
        if (!is_over(c)) {
            input_go_on(shard, c);
        }
    }
}
