/*
 * promise: what a shard will say, or do, once something is durable; in the order in which it was promised.
 *
 *   own      waits for this shard's journal:  SUBACK and the like, PUBREL, QoS 2 to a subscriber, the second step of PUBREC, settlements, confirmations
 *   across   waits for other shards as well:  acknowledgements of PUBLISH
 *
 * A publication that entered here may be owed to sessions on other shards. Parcels that have to be confirmed are counted for each pair of shards; the receiver confirms up to
 * a count when its journal has committed what came of them. What goes through a shared subscription is settled one by one (struct gate): it may be passed on several times.
 *
 *   publisher's shard                        other shard
 *   PUBLISH, counted ──────────────────────► record, commit
 *                   ◄─────── CONFIRM (count)
 *   home of a group: SHARE_DELIVER with a gate ──► record, commit
 *                   ◄─────── SETTLED (gate)
 *
 * Waiting goes one way only: across ─► confirmations (gated or not) ─► settlements ─► a shard's own journal. So nothing waits in a circle.
 *
 * A QoS 2 message of a session that is kept counts as received only when all shards have confirmed; that is recorded then, and PUBREC follows once it is durable. A crash
 * in between makes the client send it again, and the shards that have it know it by its token (engine/durable/token.h).
 *
 * Invariants
 *   W1  acknowledgements of one connection leave in the order of the packets that they are for.
 *   W2  who waits for nothing is answered at once, unless W1 forbids it. What another shard has to say to that comes in the order in which it was asked: a message for its sessions
 *       that are not kept may wait for another one that was sent there before.
 *   W3  a promise whose connection is gone says nothing; what it was to do to its session is done.
 *   W4  QoS 2 messages of one session are recorded as received in the order in which they came: a token of a later count than the last of these is of one that is not.
 *
 * Without a journal nothing here ever waits. Memory is charged to the shard's account; without any the process ends, as what was acknowledged must not depend on it.
 *
 * The rest of it: engine/durable/confirm.c (parcels and their confirmations), engine/durable/gate.c.
 */
#ifndef TIDEWIRE_ENGINE_DURABLE_PROMISE_H
#define TIDEWIRE_ENGINE_DURABLE_PROMISE_H

#include "codec/bytes.h"

#include <stdbool.h>

struct connection;
struct delivery;
struct publication;
struct session;
struct session_suback;
struct shard;
struct gate;

/* What a publication waits for. All zero: nothing. */
struct promise_needs {
    uint64_t position;   /* of this shard's journal; 0: none */
    uint64_t targets;    /* shards whose confirmation of what was sent to them so far is waited for */
    struct gate *gate;   /* NULL: none */
};

/* A gate as it travels with a parcel. serial 0: none. */
struct gate_reference {
    struct gate *gate;
    uint32_t serial;
    uint8_t shard;
};

/* So much may be promised to one client (64 bytes each), and so many bytes of whole packets, before it is read no further, whatever it sends: promise_is_crowded(). */
#define PROMISES_MAX 4096u
#define PROMISED_BYTES_MAX (256u << 10)

/* With the journal, and promise_fini() before its end; false when out of memory. */
bool promise_init(struct shard *shard);

/*
 * A whole acknowledgement for a PUBLISH, in its turn. `received_count`: it is a QoS 2 message of a kept session, the so-manyth, whose packet identifier is to be recorded
 * first (keep_received); 0: it is not, or it is recorded already. Takes over what is in `needs`; to be called in the turn in which they came up.
 */
void promise_acknowledge(struct shard *shard, struct connection *c, uint8_t type, uint16_t packet_id, uint8_t reason, struct promise_needs *needs, uint64_t received_count);
/* The same for a QoS 2 message that came before, perhaps on an earlier connection, which may still wait for its own acknowledgement: not before that. */
void promise_acknowledge_again(struct shard *shard, struct connection *c, uint8_t type, uint16_t packet_id, uint8_t reason);
/* Nobody is told. */
void promise_abandon(struct shard *shard, struct promise_needs *needs);
bool promise_is_crowded(const struct connection *c);
/* A whole packet once the journal is committed up to now; at once if it is. */
void promise_packet(struct shard *shard, struct connection *c, const void *packet, uint32_t size);
/* Nothing is sent to this connection until then: its CONNACK speaks of state that is not durable yet. */
void promise_open(struct shard *shard, struct connection *c);
/* A SUBACK that has all its codes: subscribe_finish() is called for it. */
void promise_suback(struct shard *shard, struct session *session, const struct session_suback *suback);
/* deliver_in_flight() of this delivery, or its PUBREL, if it still is in flight then, and its session connected. */
void promise_send(struct shard *shard, struct session *session, const struct delivery *delivery);
void promise_release(struct shard *shard, struct session *session, struct delivery *delivery); /* once for each connection */

/* The connection has lost its session, or is closed: nothing more is said to it. What holds its output back (promise_open) still ends, until it is closed. */
void promise_forget(struct shard *shard, struct connection *c);

/* --------------------------------------------------------------------------------------------------------- other shards */

/* Counts a parcel that `target` has to confirm. */
void promise_count_parcel(struct shard *shard, unsigned target, struct promise_needs *needs);
/* One of these has come from there, and was handled; takes over what it needs before it may be confirmed. */
void promise_note_parcel(struct shard *shard, unsigned from, struct promise_needs *needs);
/* After a pass over all queues: what has come in it is confirmed once that is so. */
void promise_confirm(struct shard *shard);

/* One more piece of this publication is on its way through a shared subscription: a reference for its parcel. */
struct gate_reference promise_gate(struct shard *shard, struct promise_needs *needs);
/* A gate for a message that leaves this shard though it is recorded here: when it is settled the record of this delivery is over (keep_done_number). */
struct gate_reference promise_gate_leaving(struct shard *shard, uint64_t identity, uint64_t number);
/* More of this session will leave, and is recorded until then: its end is not recorded before. */
void promise_leaving_begin(struct shard *shard, uint64_t identity);
void promise_leaving_end(struct shard *shard, uint64_t identity);
/* The session ends. True if something of it is still leaving: its end is recorded (keep_end_number) when all of that has found others. */
bool promise_leaving_ends(struct shard *shard, uint64_t identity);
/* What is leaving now is of before, until there is nothing left of it: promise_have_left(). One call after the other. */
void promise_leaving_mark(struct shard *shard);
bool promise_have_left(const struct shard *shard);
/* The message has found its session, or was given up: settled when this shard's journal has committed what it holds now; at once with a `position` of 0, as nothing came of it here. */
void promise_settle(struct shard *shard, const struct gate_reference *gate, uint64_t position);

/*
 * Asks all shards, this one too, to say when the acknowledgements that they have outstanding when they hear of it, of publications that other shards have, are durable. So whoever has
 * had such a publication knows then that it will not be sent again as one that is unknown. Not again before all have answered.
 */
void promise_ask(struct shard *shard);
bool promise_have_answered(const struct shard *shard);

/* Parcels CONFIRM, SETTLED, ASK and ANSWER. */
void promise_handle(struct shard *shard, unsigned from, const void *parcel);
/* Whenever the journal may have committed more. */
void promise_keep(struct shard *shard);

/* Anything that still waits. */
bool promise_any(const struct shard *shard);
void promise_fini(struct shard *shard);

#endif
