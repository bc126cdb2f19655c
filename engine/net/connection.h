/*
 * connection: one socket from accept to close: bytes in, packets out, keep-alive.
 *
 *   state         enters by                        leaves by
 *   NEW           connection_accepted, _arrived    a whole CONNECT: MOVING or CONNECTED; deadline: CLOSED
 *   MOVING        connection_move                  the end of input_go_on(): handed to its home shard, NEW there
 *   CONNECTED     protocol/connect.c               connection_close
 *   CLOSING       connection_close                 output sent, then end of stream shown; peer's end or a short timer: CLOSED
 *   CLOSED        io_close asked for               IO_CLOSED: freed
 *
 * Invariants
 *   K1  `session` is set exactly in CONNECTED; then session->connection is this one.
 *   K2  in CLOSING and CLOSED nothing that arrives is looked at.
 *   K3  `partial` holds the bytes that arrived and were not yet parsed; it is empty or the connection waits for more bytes or is held.
 *   K4  output leaves in order; the first chunk is the one under way (with a transport: its own buffer is); out_bytes is what was appended and not yet
 *       sent, below 4 GiB.
 *   K5  `waiting`: the packet at the start of `partial` waits for an answer from elsewhere, and is handled once more when that is there.
 */
#ifndef TIDEWIRE_ENGINE_NET_CONNECTION_H
#define TIDEWIRE_ENGINE_NET_CONNECTION_H

#include "engine/shard.h"

#include <assert.h>
#include <netinet/in.h>

enum connection_state {
    CONNECTION_NONE, /* memory in the slab: no connection */
    CONNECTION_NEW,
    CONNECTION_MOVING,
    CONNECTION_CONNECTED,
    CONNECTION_CLOSING,
    CONNECTION_CLOSED,
};

/* The peer's address as it travels, without what a struct sockaddr_storage wastes. */
struct peer_address {
    uint8_t bytes[16];
    uint16_t port;
    uint8_t family; /* AF_INET, AF_INET6, or 0: unknown */
};

/* Topic aliases of one direction (MQTT5 3.3.2.3.4). */
struct alias_table {
    uint16_t count;
    struct alias {
        uint8_t *topic;  /* NULL: not set */
        uint32_t hash;   /* outbound: of the topic */
        uint16_t size;
    } aliases[];
};

/* What few connections have: there from the first need on, until the end. It moves along to the home shard. */
struct connection_extra {
    struct alias_table *alias_in, *alias_out;
    uint64_t alias_bytes;          /* of both: charged */
    struct transport *transport;   /* NULL: the socket's bytes are MQTT's */
    struct login *login;           /* a password that is being looked at: engine/identity/login.h; NULL: none */
    struct exchange *exchange;     /* enhanced authentication under way: engine/identity/exchange.h; NULL: none */
    uint8_t peer_v6[16];
    bool enhanced;                 /* it came in by enhanced authentication, and may do so again */
    const char *peer_path;         /* of the Unix socket that it came through, and no proxy has told more; NULL: none. The listener's */
    struct token_work *token;      /* a token that is verified off the shard */
    struct hook_wait *hook;        /* questions that an HTTP hook is asked */
    uint64_t pace_until_ms;        /* while `paced` */
    struct promisee *promisee;     /* it was promised something: engine/durable/promise.h; NULL: nothing yet */
    struct rate_bucket publishes, bytes; /* engine/limits/pace.h: what this client has taken */
};

/* Two cache lines. The first is what a packet that comes and one that goes look at. */
struct connection {
    struct session *session;
    uint8_t state;                        /* enum connection_state; where its slab lets it be read for ever */
    uint8_t version;                      /* enum mqtt_version; 0 before CONNECT */
    uint8_t listener;
    uint8_t chunk_hint;                   /* class of the next first chunk */
    bool dirty : 1;
    bool held : 1;
    bool held_for_memory : 1;             /* after a packet that takes memory; else only because of its own output */
    bool receiving : 1;                   /* io_receive is on */
    bool end_shown : 1;                   /* io_shutdown was asked for */
    bool problem_information : 1;         /* Reason Strings wanted */
    bool peer_ended : 1;                  /* nothing more will come */
    bool linger : 1;                      /* the timer is for the end of CLOSING */
    bool peer_known : 1;
    bool peer_is_v6 : 1;
    bool waiting : 1;                     /* K5 */
    bool paced : 1;                       /* engine/limits/pace.h: not read until pace_until_ms; the timer is for that */
    bool barred : 1;                      /* its output waits for the journal: promise_open() */
    bool address_counted : 1;             /* engine/limits/limits.h L1 */
    uint16_t alias_max_out;               /* aliases that we may use */
    struct chunk *out_first;              /* NULL: no output */
    struct connection *dirty_next;
    uint32_t out_bytes;
    uint32_t out_under_way;               /* bytes of the send under way; 0: none */
    uint32_t packet_size_max;             /* the client's Maximum Packet Size */
    io_socket socket;
    uint32_t memo;                        /* of the match cache */
    uint32_t last_received_ms;            /* low half of the shard's time */
    uint32_t partial_used, partial_room;

    struct timer timer;                   /* TIMER_CONNECTION */
    uint8_t *partial;
    struct connection_extra *extra;       /* NULL: none yet; see connection_need_extra() */
    struct connection *held_next;
    uint32_t held_since_ms;               /* low half of the shard's time */
    uint8_t peer_v4[4];
    uint16_t peer_port;
    uint16_t keep_alive_s;                /* 0: no limit */
    uint8_t home;                         /* the shard it goes to: MOVING */
};
static_assert(sizeof(struct connection) == 128, "counts in bytes per connection");

/* After this time without a packet the client is gone: MQTT5 [MQTT-3.1.2-22]. 0: it may be silent for ever. */
static inline uint32_t
connection_silence_ms(const struct connection *c)
{
    return c->keep_alive_s * 1500u;
}

/* What travels when a connection moves to its home shard. */
struct handover {
    _Atomic uint32_t ready;               /* release-stored when filled, acquire-loaded by the taker */
    struct peer_address peer;
    struct connection_extra *extra;
    uint64_t deadline_ms;
    uint32_t size;
    uint8_t listener;
    bool address_counted;
    uint8_t bytes[];                      /* received so far, from the start of CONNECT */
};

/* Events. */
void connection_accepted(struct shard *shard, const struct io_event *event);
void connection_arrived(struct shard *shard, const struct io_event *event);
void connection_received(struct shard *shard, struct connection *c, const struct io_event *event);
void connection_sent(struct shard *shard, struct connection *c, int32_t result);
void connection_closed(struct shard *shard, struct connection *c);
void connection_timer(struct shard *shard, struct connection *c);

/*
 * Who the peer is in truth, as a proxy tells: it counts against the limits of that address from now on. False: those are reached, or it is banned (counted and logged); the
 * caller ends the connection.
 */
bool connection_learn_peer(struct shard *shard, struct connection *c, const struct peer_address *peer);

/* NULL when out of memory. */
struct connection_extra *connection_need_extra(struct budget_account *account, struct connection *c);

/* The connection's home is another shard: it goes there, with all bytes received so far, as soon as what has arrived is decoded. Only in NEW. */
void connection_move(struct connection *c, unsigned home);
/* Does it as soon as nothing is being sent; then the connection is gone. */
void connection_move_when_quiet(struct shard *shard, struct connection *c);

/*
 * The packet that is being handled cannot be answered yet (K5): it stays where it is, and nothing more is read. connection_answered() handles it again.
 */
void connection_wait(struct shard *shard, struct connection *c);
void connection_answered(struct shard *shard, struct connection *c);

/*
 * Arms the timer of a connection in CONNECTED: for its keep-alive or the end of what it was let in for, whichever comes first. To be called again when either changes.
 */
void connection_watch(struct shard *shard, struct connection *c);

static inline struct transport *
connection_transport(const struct connection *c)
{
    return c->extra != NULL ? c->extra->transport : NULL;
}

/*
 * Ends the connection for `reason`. Tells the peer if its version can be told: DISCONNECT with the reason when CONNECTED (version 5), nothing otherwise (an error in
 * CONNECT has been answered by its CONNACK already). Detaches the session; its will is published as the specification says for this end.
 * `explain`: a few words for the log, or NULL to say nothing.
 */
void connection_close(struct shard *shard, struct connection *c, uint8_t reason, const char *explain);
/* The peer is gone or is not to be told: no DISCONNECT, no flush. `will_cancelled`: it said DISCONNECT. */
void connection_drop(struct shard *shard, struct connection *c, bool will_cancelled);

/* The client has said DISCONNECT: nothing more for it, but a transport may have a last word. */
void connection_leave(struct shard *shard, struct connection *c, bool will_cancelled);

/* Stops reading until the shard is less congested, and the connection's own output has drained. */
void connection_hold(struct shard *shard, struct connection *c, bool takes_memory);
/* Reads nothing until then: a timer's work, so that however many wait cost nothing. Its keep-alive does not count meanwhile. `extra` is there. */
void connection_pace(struct shard *shard, struct connection *c, uint64_t until_ms);
/* Goes on with held connections that may; a bounded number per turn. */
void connection_resume_held(struct shard *shard);
/* `takes_memory`: the packet just handled was one that the memory limit is about. */
bool connection_must_hold(const struct shard *shard, const struct connection *c, bool takes_memory);

/* Room for one packet of `size` bytes at the end of the output, to be written whole before anything else; NULL when out of memory (the connection is then dropped). */
uint8_t *connection_append(struct shard *shard, struct connection *c, uint32_t size);
/* Appends an encoded packet. */
void connection_put(struct shard *shard, struct connection *c, const void *packet, uint32_t size);
/* For a transport: the next piece of output that was not taken yet, empty if there is none; connection_output_taken() takes so many of its bytes. */
struct bytes connection_output(const struct connection *c);
void connection_output_taken(struct shard *shard, struct connection *c, uint32_t size);
/* For a transport, which has something of its own to send. */
void connection_mark_dirty(struct shard *shard, struct connection *c);
/* Starts a send for every dirty connection. */
void connection_flush_dirty(struct shard *shard);

/* The peer's address: the socket's, or what a proxy says of it. Without memory for it an IPv6 peer stays unknown, which only the log says. */
struct peer_address connection_peer(const struct connection *c);
/* The peer came through a Unix socket of ours, and no more is known of it. */
static inline bool
connection_is_unix(const struct connection *c)
{
    return c->extra != NULL && c->extra->peer_path != NULL;
}

/* An address as codec/ has it. */
struct peer_address peer_of_address(const struct address *address, uint16_t port);

/* "127.0.0.1:1883", or the path of a Unix socket; borrowed until the next call of this thread. */
const char *connection_peer_text(const struct connection *c);

#endif
