/*
 * client: one connection to the broker, from socket() to the end.
 *
 *            client_open        TCP is there             CONNACK             SUBACK
 *   NEW ──────────────► CONNECTING ──► (TUNNELLING) ──► GREETING ──► (SUBSCRIBING) ──► READY ──► LEAVING ──► CLOSED
 *                            └───────────────┴────────────┴──────── client_fail ────────┴──────────────────────▲
 *
 * TUNNELLING is where TLS or WebSocket come first (tunnel.h).
 *
 * What is said goes through a `struct client_protocol`: MQTT (mqtt.h), or bare messages (raw.h) to measure the floor with
 * the same load. The owner hears about everything else through `struct client_events`.
 *
 * Invariants
 *   C1  at most one send is in flight on the ring; what is written meanwhile gathers in `filling`. Nothing overtakes.
 *   C2  a client fails at most once, and nothing is reported for it afterwards.
 *
 *   C3  a client opens again only when nothing of its former connection is under way (client_is_at_rest).
 *
 * Publishers keep plain descriptors while the process's limit allows, because they send with a system call per segment (client_push);
 * everybody else gets a slot of the ring (loop.h), numbered as the client.
 *
 * Threads  one. Memory  the array of clients is the owner's and does not move; buffers are allocated when first needed.
 */
#ifndef TIDEWIRE_BENCH_LOAD_CLIENT_H
#define TIDEWIRE_BENCH_LOAD_CLIENT_H

#include "bench/load/board.h"
#include "bench/load/failure.h"
#include "bench/load/inflight.h"
#include "bench/load/loop.h"
#include "bench/load/options.h"
#include "bench/load/pile.h"
#include "bench/load/scenario.h"
#include "bench/load/tunnel.h"
#include "codec/bytes.h"

enum client_role {
    CLIENT_PUBLISHER,
    CLIENT_SUBSCRIBER,
    CLIENT_IDLE,
};

enum client_state {
    CLIENT_NEW,
    CLIENT_CONNECTING,
    CLIENT_TUNNELLING,
    CLIENT_GREETING,
    CLIENT_SUBSCRIBING,
    CLIENT_READY,
    CLIENT_LEAVING,
    CLIENT_CLOSED,
};

struct client;

struct client_events {
    void (*greeted)(void *owner, struct client *c); /* CONNACK has come, and it is good */
    void (*ready)(void *owner, struct client *c);
    void (*message)(void *owner, struct client *c, struct bytes payload); /* payload borrowed for the call */
    void (*acked)(void *owner, struct client *c, uint16_t packet_id);     /* a QoS 1 or 2 handshake ended */
    void (*touched)(void *owner, struct client *c);                       /* wants client_flush() at the end of the turn */
    void (*failed)(void *owner, struct client *c, enum failure_kind kind, int detail); /* it is CLOSED by now */
    void (*left)(void *owner, struct client *c); /* the peer closed after client_leave() */
};

struct client_protocol {
    void (*greet)(struct client *c);
    void (*subscribe)(struct client *c);
    void (*ping)(struct client *c);
    void (*leave)(struct client *c);
    /* Handles one whole packet at the start of `input` and returns its size; 0 if it is not all there, or has failed. */
    uint32_t (*take)(struct client *c, struct bytes input);
};

/* What all clients of a run have in common. */
struct client_shared {
    struct loop *loop;
    const struct options *options;
    const struct scenario *scenario;
    const struct client_protocol *protocol;
    const struct client_events *events;
    void *owner;
    struct tunnel_shared *tunnels; /* NULL: MQTT lies in the segments as it is */
    struct sockaddr_in to;
    enum order_session session; /* of the connections that are opened now */
    bool plain_publishers;      /* their descriptors fit into the process's limit */
    uint64_t sending;           /* publishers with a send in flight on the ring */
};

struct client {
    struct client_shared *shared;
    uint32_t index;      /* among all clients of the run */
    uint32_t tag;        /* among those of its worker; the loop's tag and its slot there */
    uint32_t role_index; /* among those of its role */
    uint32_t local;      /* among those of its role and worker */
    uint8_t role;        /* enum client_role */
    uint8_t state;       /* enum client_state */
    bool sending;
    bool receiving;
    bool touched;
    bool came_up; /* this connection has been READY */
    struct loop_file file;
    uint64_t since_ns;   /* when it was (or should have been) opened; later, when it asked for what it fetches */
    uint64_t got;        /* messages, where each subscriber is to get a known number */
    struct tunnel *tunnel;       /* NULL as above, and where nothing is connected */
    struct pile filling, flying; /* C1 */
    struct pile partial;         /* the beginning of a packet whose rest has not come */
    struct inflight inflight;    /* publishers with QoS 1 or 2 */
};

/* Begins to connect; `due_ns` is when that should have been. 0 or -errno. Only in state NEW, or CLOSED and at rest (C3). */
int client_open(struct client *c, uint64_t due_ns) __attribute__((warn_unused_result));
bool client_is_at_rest(const struct client *c);
void client_handle(struct client *c, const struct loop_event *e);

/* Room for `size` bytes of output; client_wrote() then counts what was written and marks the client touched. */
uint8_t *client_reserve(struct client *c, uint32_t size);
void client_wrote(struct client *c, uint32_t size);

/* Asks the owner for a client_flush() at the end of the turn; so does everything written, and a send that has finished. */
void client_touch(struct client *c);

/* Sends what has gathered, if nothing is in flight. */
void client_flush(struct client *c);

/*
 * Sends what has gathered at once, as a segment of its own. If the socket is full the ring sends the rest later, `sending` says so,
 * and the caller stops: what is written meanwhile goes out together.
 */
void client_push(struct client *c);

void client_set_greeted(struct client *c);
void client_set_ready(struct client *c);
void client_subscribe(struct client *c); /* of a READY one; it becomes READY again */
void client_fail(struct client *c, enum failure_kind kind, int detail);
void client_leave(struct client *c); /* says good-bye and waits for the peer to close */
void client_close(struct client *c); /* at once; frees buffers that the kernel does not hold */
void client_free(struct client *c);  /* when the loop is closed */

/* "publisher 3" */
void client_write_role(const struct client *c, char *out, size_t room);

#endif
