/*
 *     struct conn            one per sim_connection: the client's end, two pipes, which socket it is to the broker
 *       ├ up    ──► piece ──► piece ──► fin        client to broker
 *       └ down  ──► piece ──► ...                  broker to client, with the send under way
 *     struct io              one per shard: its sockets, listeners, inbox (accepted, moved) and the sockets that have something to say
 *     struct sim             clock, random numbers, all conns, and a heap of what arrives later
 *     sim_disk_user          this world's hold on the disk (sim_disk.c), and what is under way there
 *
 * A pipe is there only while it has something in it. A piece has arrived when its time has come; pieces of one pipe have times that never fall (S1). A pipe
 * with pieces still flying has one entry in the heap, for the first of them.
 *
 * A conn is freed when both ends have let go: the client by sim_free(), the broker by IO_CLOSED (or a failed accept or move).
 *
 * What the broker submits (io_send) is carried out by its shard's next io_wait(), as in the real one, so that a buffer freed too early is read too late, and
 * found. Each event's bytes lie in an allocation of exactly their size until the next io_wait(), so that reading past them is found as well.
 *
 * While faults are set, the world also uses its other liberties: after io_receive_stop() one more IO_RECEIVED may come, a send that io_close() gives up
 * may be told by an IO_SENT, and IO_CLOSED may take time.
 */
#include "engine/io/sim.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/io/sim_common.h"
#include "engine/io/sim_disk_user.h"

#define SHARDS_MAX 64
#define NONE UINT32_MAX
#define START_NS 1000000000u
#define EPOCH_MS 1700000000000u /* 2023-11-14 22:13:20 UTC */
#define RECEIVE_BYTES_MAX 4096u
#define PIPE_BYTES_DEFAULT 65536u
#define PIECE_BYTES_MIN 232u
#define PIECE_BYTES_MAX 16384u
#define SOCKETS_MAX_DEFAULT (1u << 20)

/* ---------------------------------------------------------------------------------------------------------------- state */

struct piece {
    struct piece *next;
    uint64_t due_ns;
    uint32_t room;
    uint32_t from; /* bytes before this one are consumed */
    uint32_t to;   /* bytes from here on are room */
    bool cut;      /* nothing is put together with the piece behind it */
    bool fin;      /* no bytes: the end of the stream */
    uint8_t bytes[];
};

struct pipe {
    struct piece *first, *last;
    struct piece *flying; /* the first that has not arrived; in the heap while there is one */
    uint32_t fill;        /* bytes in all pieces */
    uint32_t arrived;     /* of those, arrived */
    /* Down only: the send under way. */
    const uint8_t *send_data;
    uint32_t send_size;
    uint32_t send_left;
};

enum conn_flag {
    CONN_USED = 1,
    CONN_CLIENT_HOLDS = 2,
    CONN_BROKER_HOLDS = 4,     /* its socket, or an accept or move on its way */
    CONN_CLIENT_FINISHED = 8,
    CONN_BROKER_FINISHED = 16, /* closed, or shut down */
    CONN_BROKER_CLOSED = 32,
    CONN_RESET = 64,
    CONN_RECEIVE_ENDED = 128,  /* the broker has been told of the end or the reset */
    CONN_STUCK = 256,
};

struct conn {
    struct pipe *up, *down;
    uint32_t socket; /* NONE while the broker has none. Not used: the next free conn */
    uint32_t generation; /* of the number */
    uint16_t shard;
    uint16_t flags;
};

enum receive_mode {
    RECEIVE_OFF,
    RECEIVE_ONCE,
    RECEIVE_ON,
    RECEIVE_LAST, /* stopped, but what comes until the next io_wait may still be told once */
};

enum socket_flag {
    SOCKET_USED = 1,
    SOCKET_READY = 2,      /* in the ready list */
    SOCKET_SENDING = 4,    /* from io_send until IO_SENT */
    SOCKET_SENT = 8,       /* IO_SENT is to be told, with sent_result */
    SOCKET_FINISH = 16,    /* io_shutdown waits for the send */
    SOCKET_CLOSING = 32,
    SOCKET_CLOSED = 64,    /* IO_CLOSED is to be told */
};

struct socket {
    uint64_t token;
    uint32_t conn; /* not used: the next free socket */
    int32_t sent_result;
    uint8_t receive; /* enum receive_mode */
    uint8_t flags;
};

struct numbers {
    uint32_t *all;
    uint32_t count, room;
};

/* Something for a shard that has no socket there yet. */
struct arrival {
    uint64_t token;
    uint32_t conn;
    uint16_t from; /* the shard it comes from, if it is a move */
    uint8_t type;  /* IO_ACCEPTED, IO_MOVED, IO_MOVE_FAILED or IO_WORKED */
    bool unix_socket;
    void (*work)(void *argument); /* IO_WORKED: runs when it is told; token is its argument */
};

struct inbox {
    struct arrival *all; /* a circle; room is a power of two */
    uint32_t first, count, room;
};

struct listener {
    uint16_t port;
    char *path; /* of a Unix socket; NULL: none */
    uint64_t token;
    bool begun;
};

struct io {
    struct sim *sim;
    unsigned shard;
    uint64_t now_ns;
    atomic_bool woken;
    bool left; /* by io_leave: what still arrives is refused */
    struct socket *sockets;
    uint32_t socket_count; /* slots ever used */
    uint32_t socket_room;
    uint32_t socket_free;
    uint32_t socket_open;
    struct numbers ready;     /* sockets that may have an event */
    struct numbers submitted; /* sockets with a send to start */
    struct numbers stopping;  /* sockets in RECEIVE_LAST, until the next io_wait is over */
    struct inbox inbox;
    struct inbox held_work; /* sim_hold_work() */
    struct inbox unworked; /* after io_leave: what io_work_end() gives back */
    struct listener *listeners;
    unsigned listener_count;
    void **lent; /* what the last batch of events points at */
    uint32_t lent_count, lent_room;
    struct rng rng;
};

enum due_kind { DUE_UP, DUE_DOWN, DUE_INBOX, DUE_CLOSED };

struct due {
    uint64_t time_ns;
    uint64_t order; /* of those with one time */
    struct arrival arrival;
    uint32_t generation;
    uint16_t shard;
    uint8_t kind;
};

struct sim {
    uint64_t now_ns;
    struct rng rng;
    struct sim_faults faults;
    struct conn *conns;
    struct sockaddr_storage *addresses; /* of sim_set_address(), by conn; family 0: not told. NULL: none yet */
    uint32_t address_room;
    uint32_t conn_count; /* numbers ever used */
    uint32_t conn_room;
    uint32_t conn_free;
    struct due *heap;
    size_t heap_count, heap_room;
    uint64_t orders;
    bool work_held;
    uint32_t work_room; /* pieces that one shard may have waiting while it is held */
};

struct io_set {
    struct sim sim;
    struct io_options options;
    struct sim_disk_user *disk;
    char description[128];
    struct io shards[];
};

static uint64_t next_seed = 1;

/* --------------------------------------------------------------------------------------------------------------- helpers */

static bool
hostile(const struct sim *sim)
{
    return sim->faults.delay_ns_max > 0 || sim->faults.fragment_percent > 0;
}

/* True one time in `in`, and never in a world without faults. */
static bool
mischief(struct sim *sim, unsigned in)
{
    return hostile(sim) && rng_below(&sim->rng, in) == 0;
}

static struct io *
shard_of(const struct sim *sim, unsigned shard)
{
    struct io_set *set = (struct io_set *)((uintptr_t)sim - offsetof(struct io_set, sim));
    assert(shard < set->options.shard_count);
    return &set->shards[shard];
}

static struct sim_disk_user *
disk_of(const struct sim *sim)
{
    return ((const struct io_set *)((uintptr_t)sim - offsetof(struct io_set, sim)))->disk;
}

static const struct io_options *
options_of(const struct sim *sim)
{
    return &((const struct io_set *)((uintptr_t)sim - offsetof(struct io_set, sim)))->options;
}

static struct conn *
conn_of(const struct sim *sim, uint32_t number)
{
    assert(number < sim->conn_count && (sim->conns[number].flags & CONN_USED));
    return &sim->conns[number];
}

/* The conn behind a client's number. */
static struct conn *
client_of(const struct sim *sim, sim_connection c)
{
    struct conn *conn = conn_of(sim, c);
    assert(conn->flags & CONN_CLIENT_HOLDS);
    return conn;
}

/* A socket that the engine may name. */
static struct socket *
socket_of(const struct io *io, io_socket number)
{
    assert(number < io->socket_count && (io->sockets[number].flags & SOCKET_USED));
    return &io->sockets[number];
}

static struct socket *
open_socket(const struct io *io, io_socket number)
{
    struct socket *s = socket_of(io, number);
    assert(!(s->flags & SOCKET_CLOSING)); /* closed sockets are not to be used */
    return s;
}

static void
push_number(struct numbers *numbers, uint32_t number)
{
    if (numbers->count == numbers->room) {
        numbers->room = numbers->room == 0 ? 64 : numbers->room * 2;
        numbers->all = must(realloc(numbers->all, numbers->room * sizeof *numbers->all));
    }
    numbers->all[numbers->count++] = number;
}

static void
push_inbox(struct inbox *inbox, const struct arrival *arrival)
{
    if (inbox->count == inbox->room) {
        uint32_t room = inbox->room == 0 ? 16 : inbox->room * 2;
        struct arrival *all = must(malloc(room * sizeof *all));
        for (uint32_t i = 0; i < inbox->count; i++) {
            all[i] = inbox->all[(inbox->first + i) & (inbox->room - 1)];
        }
        free(inbox->all);
        *inbox = (struct inbox){.all = all, .count = inbox->count, .room = room};
    }
    inbox->all[(inbox->first + inbox->count++) & (inbox->room - 1)] = *arrival;
}

static struct arrival
pop_inbox(struct inbox *inbox)
{
    assert(inbox->count > 0);
    struct arrival arrival = inbox->all[inbox->first];
    inbox->first = (inbox->first + 1) & (inbox->room - 1);
    inbox->count--;
    return arrival;
}

/* ------------------------------------------------------------------------------------------------ what arrives later: a heap */

static bool
due_before(const struct due *a, const struct due *b)
{
    return a->time_ns != b->time_ns ? a->time_ns < b->time_ns : a->order < b->order;
}

static void
heap_push(struct sim *sim, struct due due)
{
    if (sim->heap_count == sim->heap_room) {
        sim->heap_room = sim->heap_room == 0 ? 64 : sim->heap_room * 2;
        sim->heap = must(realloc(sim->heap, sim->heap_room * sizeof *sim->heap));
    }
    due.order = sim->orders++;
    size_t at = sim->heap_count++;
    while (at > 0 && due_before(&due, &sim->heap[(at - 1) / 2])) {
        sim->heap[at] = sim->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    sim->heap[at] = due;
}

static struct due
heap_pop(struct sim *sim)
{
    struct due top = sim->heap[0];
    struct due last = sim->heap[--sim->heap_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= sim->heap_count) {
            break;
        }
        if (child + 1 < sim->heap_count && due_before(&sim->heap[child + 1], &sim->heap[child])) {
            child++;
        }
        if (!due_before(&sim->heap[child], &last)) {
            break;
        }
        sim->heap[at] = sim->heap[child];
        at = child;
    }
    if (sim->heap_count > 0) {
        sim->heap[at] = last;
    }
    return top;
}

/* Pieces can vanish (a reset) while their entry waits; nothing else can. */
static bool
due_stale(const struct sim *sim, const struct due *due)
{
    if (due->kind != DUE_UP && due->kind != DUE_DOWN) {
        return false;
    }
    const struct conn *conn = &sim->conns[due->arrival.conn];
    const struct pipe *pipe = due->kind == DUE_UP ? conn->up : conn->down;
    return conn->generation != due->generation || pipe == NULL || pipe->flying == NULL;
}

/* Keeps the top of the heap true, for sim_next_ns(). */
static void
heap_prune(struct sim *sim)
{
    while (sim->heap_count > 0 && due_stale(sim, &sim->heap[0])) {
        heap_pop(sim);
    }
}

static uint64_t
random_due(struct sim *sim)
{
    return sim->faults.delay_ns_max == 0 ? sim->now_ns : sim->now_ns + rng_below(&sim->rng, (uint64_t)sim->faults.delay_ns_max + 1);
}

/* ---------------------------------------------------------------------------------------------------------------- pipes */

static struct pipe *
need_pipe(struct pipe **pipe)
{
    if (*pipe == NULL) {
        *pipe = must(calloc(1, sizeof **pipe));
    }
    return *pipe;
}

static void
pop_piece(struct pipe *pipe)
{
    struct piece *piece = pipe->first;
    assert(piece != NULL && piece != pipe->flying);
    pipe->first = piece->next;
    if (pipe->first == NULL) {
        pipe->last = NULL;
    }
    free(piece);
}

/* A pipe without content and without a send is not kept. */
static void
drop_if_empty(struct pipe **pipe)
{
    if (*pipe != NULL && (*pipe)->first == NULL && (*pipe)->send_left == 0) {
        free(*pipe);
        *pipe = NULL;
    }
}

static void
drop_pipe(struct pipe **pipep)
{
    struct pipe *pipe = *pipep;
    if (pipe == NULL) {
        return;
    }
    pipe->flying = NULL;
    while (pipe->first != NULL) {
        pop_piece(pipe);
    }
    free(pipe);
    *pipep = NULL;
}

static struct piece *
add_piece(struct sim *sim, uint32_t number, uint8_t kind, uint64_t due_ns, uint32_t size)
{
    struct conn *conn = &sim->conns[number];
    struct pipe *pipe = need_pipe(kind == DUE_UP ? &conn->up : &conn->down);
    uint32_t room = size > PIECE_BYTES_MIN ? size : PIECE_BYTES_MIN;
    struct piece *piece = must(malloc(sizeof *piece + room));
    *piece = (struct piece){.due_ns = due_ns, .room = room};
    if (pipe->last != NULL) {
        pipe->last->next = piece;
    } else {
        pipe->first = piece;
    }
    pipe->last = piece;
    if (due_ns > sim->now_ns && pipe->flying == NULL) {
        pipe->flying = piece;
        heap_push(sim, (struct due){.time_ns = due_ns, .kind = kind, .arrival.conn = number, .generation = conn->generation});
    }
    return piece;
}

/* The piece that bytes due at `due_ns` may be added to, or NULL. */
static struct piece *
open_piece(const struct sim *sim, const struct pipe *pipe, uint64_t due_ns)
{
    struct piece *last = pipe == NULL ? NULL : pipe->last;
    if (last == NULL || last->cut || last->fin || last->to == last->room) {
        return NULL;
    }
    bool together = last->due_ns == due_ns || (last->due_ns <= sim->now_ns && due_ns <= sim->now_ns);
    return together ? last : NULL;
}

static void
append(struct sim *sim, uint32_t number, uint8_t kind, uint64_t due_ns, const uint8_t *data, uint32_t size, bool cut)
{
    struct conn *conn = &sim->conns[number];
    struct pipe **pipe = kind == DUE_UP ? &conn->up : &conn->down;
    while (size > 0) {
        struct piece *piece = open_piece(sim, *pipe, due_ns);
        if (piece == NULL) {
            piece = add_piece(sim, number, kind, due_ns, size < PIECE_BYTES_MAX ? size : PIECE_BYTES_MAX);
        }
        uint32_t room = piece->room - piece->to;
        uint32_t part = size < room ? size : room;
        memcpy(piece->bytes + piece->to, data, part);
        piece->to += part;
        piece->cut = cut && part == size;
        (*pipe)->fill += part;
        (*pipe)->arrived += due_ns <= sim->now_ns ? part : 0;
        data += part;
        size -= part;
    }
}

/* Nothing overtakes: at the earliest with what is already in the pipe. */
static uint64_t
due_behind(struct sim *sim, const struct pipe *pipe)
{
    uint64_t due = random_due(sim);
    return pipe != NULL && pipe->last != NULL && pipe->last->due_ns > due ? pipe->last->due_ns : due;
}

/* Puts bytes on their way, cut and delayed as the faults will have it. */
static void
put_bytes(struct sim *sim, uint32_t number, uint8_t kind, const uint8_t *data, uint32_t size)
{
    struct conn *conn = &sim->conns[number];
    while (size > 0) {
        uint32_t part = size;
        bool cut = sim->faults.fragment_percent > 0 && size > 1 && rng_below(&sim->rng, 100) < sim->faults.fragment_percent;
        if (cut) {
            part = 1 + (uint32_t)rng_below(&sim->rng, size - 1);
        }
        append(sim, number, kind, due_behind(sim, kind == DUE_UP ? conn->up : conn->down), data, part, cut);
        data += part;
        size -= part;
    }
}

static void
put_fin(struct sim *sim, uint32_t number, uint8_t kind)
{
    struct conn *conn = &sim->conns[number];
    add_piece(sim, number, kind, due_behind(sim, kind == DUE_UP ? conn->up : conn->down), 0)->fin = true;
}

/* Copies up to `room` arrived bytes out; `stop_at_cut`: not past one. */
static uint32_t
take_bytes(struct pipe *pipe, uint8_t *out, uint32_t room, bool stop_at_cut)
{
    uint32_t taken = 0;
    while (taken < room && pipe->first != NULL && pipe->first != pipe->flying && !pipe->first->fin) {
        struct piece *piece = pipe->first;
        uint32_t size = piece->to - piece->from;
        uint32_t part = size < room - taken ? size : room - taken;
        memcpy(out + taken, piece->bytes + piece->from, part);
        piece->from += part;
        taken += part;
        if (piece->from == piece->to) {
            bool cut = piece->cut;
            pop_piece(pipe);
            if (cut && stop_at_cut) {
                break;
            }
        }
    }
    pipe->fill -= taken;
    pipe->arrived -= taken;
    return taken;
}

static bool
at_fin(const struct pipe *pipe)
{
    return pipe != NULL && pipe->first != NULL && pipe->first != pipe->flying && pipe->first->fin;
}

static bool
anything_to_receive(const struct conn *conn)
{
    if (conn->flags & CONN_RECEIVE_ENDED) {
        return false;
    }
    return (conn->flags & CONN_RESET) || at_fin(conn->up) || (conn->up != NULL && conn->up->arrived > 0);
}

/* Lists the socket if it has an event to tell. */
static void
list_if_ready(struct io *io, uint32_t number)
{
    struct socket *s = socket_of(io, number);
    bool event = (s->flags & (SOCKET_SENT | SOCKET_CLOSED)) || (s->receive != RECEIVE_OFF && anything_to_receive(&io->sim->conns[s->conn]));
    if (event && !(s->flags & SOCKET_READY)) {
        s->flags |= SOCKET_READY;
        push_number(&io->ready, number);
    }
}

/* ----------------------------------------------------------------------------------------------------------- connections */

static void
forget_conn_if_free(struct sim *sim, uint32_t number)
{
    struct conn *conn = &sim->conns[number];
    if (conn->flags & (CONN_CLIENT_HOLDS | CONN_BROKER_HOLDS)) {
        return;
    }
    drop_pipe(&conn->up);
    drop_pipe(&conn->down);
    heap_prune(sim);
    conn->flags = 0;
    conn->generation++;
    conn->socket = sim->conn_free;
    sim->conn_free = number;
}

static uint32_t
new_conn(struct sim *sim)
{
    uint32_t number = sim->conn_free;
    if (number != NONE) {
        sim->conn_free = sim->conns[number].socket;
    } else {
        if (sim->conn_count == sim->conn_room) {
            sim->conn_room = sim->conn_room == 0 ? 64 : sim->conn_room * 2;
            sim->conns = must(realloc(sim->conns, sim->conn_room * sizeof *sim->conns));
        }
        number = sim->conn_count++;
        sim->conns[number].generation = 0;
    }
    struct conn *conn = &sim->conns[number];
    uint32_t generation = conn->generation;
    *conn = (struct conn){.socket = NONE, .generation = generation, .flags = CONN_USED | CONN_CLIENT_HOLDS | CONN_BROKER_HOLDS};
    return number;
}

/* The broker has something to hear of this connection, if it wants to. */
static void
notify_up(struct sim *sim, const struct conn *conn)
{
    if (conn->socket != NONE) {
        list_if_ready(shard_of(sim, conn->shard), conn->socket);
    }
}

static void
finish_broker_end(struct sim *sim, uint32_t number)
{
    struct conn *conn = &sim->conns[number];
    if (!(conn->flags & (CONN_BROKER_FINISHED | CONN_RESET))) {
        put_fin(sim, number, DUE_DOWN);
    }
    conn->flags |= CONN_BROKER_FINISHED;
}

/* The broker's end closes: what it sent before still arrives, what was sent to it is gone. */
static void
close_broker_end(struct sim *sim, uint32_t number)
{
    struct conn *conn = &sim->conns[number];
    if (conn->down != NULL) {
        conn->down->send_left = 0;
        conn->down->send_data = NULL;
    }
    drop_pipe(&conn->up);
    drop_if_empty(&conn->down);
    finish_broker_end(sim, number);
    conn->flags |= CONN_BROKER_CLOSED;
    heap_prune(sim);
}

static void
let_go_broker_end(struct sim *sim, uint32_t number)
{
    struct conn *conn = &sim->conns[number];
    conn->socket = NONE;
    conn->flags &= (uint16_t)~CONN_BROKER_HOLDS;
    forget_conn_if_free(sim, number);
}

static void
send_is_over(struct io *io, uint32_t number, int32_t result)
{
    struct socket *s = &io->sockets[number];
    s->sent_result = result;
    s->flags |= SOCKET_SENT;
    list_if_ready(io, number);
    if (s->flags & SOCKET_FINISH) {
        s->flags &= (uint8_t)~SOCKET_FINISH;
        finish_broker_end(io->sim, s->conn);
    }
}

/* Moves as much of the send under way into the pipe as it takes. */
static void
pump(struct sim *sim, uint32_t number)
{
    struct conn *conn = &sim->conns[number];
    struct pipe *pipe = conn->down;
    uint32_t limit = sim->faults.pipe_size == 0 ? PIPE_BYTES_DEFAULT : sim->faults.pipe_size;
    if (pipe == NULL || pipe->send_left == 0 || pipe->fill >= limit) {
        return;
    }
    uint32_t room = limit - pipe->fill;
    uint32_t part = pipe->send_left < room ? pipe->send_left : room;
    const uint8_t *data = pipe->send_data;
    pipe->send_data += part;
    pipe->send_left -= part;
    put_bytes(sim, number, DUE_DOWN, data, part);
    if (pipe->send_left == 0) {
        send_is_over(shard_of(sim, conn->shard), conn->socket, (int32_t)pipe->send_size);
    }
}

/* At a shard that has left, or stopped listening, connections find nobody. */
static void
arrive_inbox(struct io *io, const struct arrival *arrival)
{
    bool refused = io->left || (arrival->type == IO_ACCEPTED && io->listener_count == 0);
    if (!refused) {
        push_inbox(&io->inbox, arrival);
    } else if (arrival->type != IO_MOVE_FAILED) {
        close_broker_end(io->sim, arrival->conn);
        let_go_broker_end(io->sim, arrival->conn);
    }
}

static void
arrive(struct sim *sim, const struct due *due)
{
    if (due->kind == DUE_INBOX) {
        arrive_inbox(shard_of(sim, due->shard), &due->arrival);
        return;
    }
    if (due->kind == DUE_CLOSED) {
        struct io *io = shard_of(sim, due->shard);
        io->sockets[due->arrival.conn].flags |= SOCKET_CLOSED; /* .conn is the socket here */
        list_if_ready(io, due->arrival.conn);
        return;
    }
    struct conn *conn = &sim->conns[due->arrival.conn];
    struct pipe *pipe = due->kind == DUE_UP ? conn->up : conn->down;
    while (pipe->flying != NULL && pipe->flying->due_ns <= sim->now_ns) {
        pipe->arrived += pipe->flying->to - pipe->flying->from;
        pipe->flying = pipe->flying->next;
    }
    if (pipe->flying != NULL) {
        struct due next = *due;
        next.time_ns = pipe->flying->due_ns;
        heap_push(sim, next);
    }
    if (due->kind == DUE_UP) {
        notify_up(sim, conn);
    }
}

/* Something without a socket goes to a shard: at once or later. */
static void
send_to_inbox(struct sim *sim, unsigned shard, struct arrival arrival)
{
    uint64_t due = random_due(sim);
    if (due <= sim->now_ns) {
        arrive_inbox(shard_of(sim, shard), &arrival);
    } else {
        heap_push(sim, (struct due){.time_ns = due, .kind = DUE_INBOX, .shard = (uint16_t)shard, .arrival = arrival});
    }
}

/* ----------------------------------------------------------------------------------------------------- opening and closing */

struct io_set *
io_open(const struct io_options *options, char *error, size_t error_size)
{
    if (options->shard_count < 1 || options->shard_count > SHARDS_MAX) {
        snprintf(error, error_size, "%u shards: there can be 1 to %u", options->shard_count, SHARDS_MAX);
        return NULL;
    }
    struct io_set *set = must(calloc(1, sizeof *set + options->shard_count * sizeof set->shards[0]));
    set->options = *options;
    if (set->options.sockets_max == 0) {
        set->options.sockets_max = SOCKETS_MAX_DEFAULT;
    }
    if (set->options.receive_buffer_size == 0 || set->options.receive_buffer_size > RECEIVE_BYTES_MAX) {
        set->options.receive_buffer_size = RECEIVE_BYTES_MAX;
    }
    snprintf(set->description, sizeof set->description, "simulated world, seed %llu", (unsigned long long)next_seed);
    struct sim *sim = &set->sim;
    set->disk = sim_disk_attach(next_seed);
    uint64_t left_ns = sim_disk_clock_ns(set->disk);
    sim->now_ns = left_ns > START_NS ? left_ns : START_NS;
    sim->conn_free = NONE;
    rng_init(&sim->rng, next_seed);
    for (unsigned i = 0; i < options->shard_count; i++) {
        struct io *io = &set->shards[i];
        io->sim = sim;
        io->shard = i;
        io->now_ns = sim->now_ns;
        io->socket_free = NONE;
        rng_init(&io->rng, next_seed ^ (i + 1) * 0xd1342543de82ef95u);
    }
    return set;
}

struct io *
io_of_shard(struct io_set *set, unsigned shard)
{
    return shard_of(&set->sim, shard);
}

int
io_enter(struct io *io)
{
    io->left = false;
    return 0;
}

static void
return_lent(struct io *io)
{
    for (uint32_t i = 0; i < io->lent_count; i++) {
        free(io->lent[i]);
    }
    io->lent_count = 0;
}

/* Sockets that are being closed are closed; work that is still to come is kept for io_work_end(). */
static void
forget_closing(struct io *io)
{
    struct sim *sim = io->sim;
    size_t kept = 0, count = sim->heap_count;
    struct due *old = sim->heap;
    sim->heap = NULL;
    sim->heap_count = sim->heap_room = 0;
    for (; kept < count; kept++) {
        bool of_shard = old[kept].shard == io->shard;
        if (of_shard && old[kept].kind == DUE_INBOX && old[kept].arrival.type == IO_WORKED) {
            push_inbox(&io->unworked, &old[kept].arrival);
        } else if (!of_shard || old[kept].kind != DUE_CLOSED) {
            heap_push(sim, old[kept]);
        }
    }
    free(old);
}

void
io_leave(struct io *io)
{
    io_listen_stop(io);
    io->left = true;
    for (uint32_t i = 0; i < io->socket_count; i++) {
        struct socket *s = &io->sockets[i];
        if (s->flags & SOCKET_USED) {
            uint32_t conn = s->conn;
            s->flags = 0;
            close_broker_end(io->sim, conn);
            let_go_broker_end(io->sim, conn);
        }
    }
    while (io->inbox.count > 0) {
        struct arrival arrival = pop_inbox(&io->inbox);
        if (arrival.type == IO_WORKED) {
            push_inbox(&io->unworked, &arrival);
        } else if (arrival.type != IO_MOVE_FAILED) {
            close_broker_end(io->sim, arrival.conn);
            let_go_broker_end(io->sim, arrival.conn);
        }
    }
    while (io->held_work.count > 0) {
        struct arrival arrival = pop_inbox(&io->held_work);
        push_inbox(&io->unworked, &arrival);
    }
    forget_closing(io);
    sim_disk_finish(disk_of(io->sim), io->shard);
    io->socket_count = 0;
    io->socket_free = NONE;
    io->socket_open = 0;
    io->ready.count = 0;
    io->submitted.count = 0;
    io->stopping.count = 0;
    return_lent(io);
}

void
io_close_all(struct io_set *set)
{
    if (set == NULL) {
        return;
    }
    struct sim *sim = &set->sim;
    for (unsigned i = 0; i < set->options.shard_count; i++) {
        struct io *io = &set->shards[i];
        return_lent(io);
        free(io->lent);
        free(io->sockets);
        free(io->ready.all);
        free(io->submitted.all);
        free(io->stopping.all);
        free(io->inbox.all);
        free(io->held_work.all);
        free(io->unworked.all);
        io_listen_stop(io);
        free(io->listeners);
    }
    for (uint32_t i = 0; i < sim->conn_count; i++) {
        drop_pipe(&sim->conns[i].up);
        drop_pipe(&sim->conns[i].down);
    }
    free(sim->conns);
    free(sim->addresses);
    free(sim->heap);
    sim_disk_detach(&set->disk);
    free(set);
}

const char *
io_describe(const struct io_set *set)
{
    return set->description;
}

uint32_t
io_sockets_max(const struct io_set *set)
{
    return set->options.sockets_max;
}

/* -------------------------------------------------------------------------------------------------- time and randomness */

uint64_t
io_now_ns(const struct io *io)
{
    return io->now_ns;
}

uint64_t
io_clock_ns(const struct io *io)
{
    return io->sim->now_ns;
}

uint64_t
io_cpu_ns(const struct io *io)
{
    (void)io;
    return 0;
}

uint64_t
io_wall_ms(const struct io *io)
{
    return EPOCH_MS + io->sim->now_ns / 1000000;
}

void
io_random(struct io *io, void *out, size_t size)
{
    for (uint8_t *at = out; size > 0;) {
        uint64_t random = rng_next(&io->rng);
        size_t part = size < sizeof random ? size : sizeof random;
        memcpy(at, &random, part);
        at += part;
        size -= part;
    }
}

/* ------------------------------------------------------------------------------------------------------------- listeners */

int
io_listen(struct io *io, const struct io_listener *listener, uint64_t token, char *error, size_t error_size)
{
    if (listener->port == 0 && listener->path == NULL) {
        snprintf(error, error_size, "the simulator needs a port number or a path to listen on");
        return -EINVAL;
    }
    io->listeners = must(realloc(io->listeners, (io->listener_count + 1) * sizeof *io->listeners));
    struct listener *made = &io->listeners[io->listener_count++];
    *made = (struct listener){.port = listener->port, .token = token};
    if (listener->path != NULL) {
        made->path = strcpy(must(malloc(strlen(listener->path) + 1)), listener->path);
    }
    return 0;
}

int
io_listen_begin(struct io *io)
{
    for (unsigned i = 0; i < io->listener_count; i++) {
        io->listeners[i].begun = true;
    }
    return 0;
}

void
io_listen_stop(struct io *io)
{
    for (unsigned i = 0; i < io->listener_count; i++) {
        free(io->listeners[i].path);
    }
    io->listener_count = 0;
}

static const struct listener *
find_listener(const struct io *io, uint16_t port, const char *path)
{
    for (unsigned i = 0; i < io->listener_count; i++) {
        const char *own = io->listeners[i].path;
        bool same = path == NULL ? own == NULL && io->listeners[i].port == port : own != NULL && strcmp(own, path) == 0;
        if (same && io->listeners[i].begun) {
            return &io->listeners[i];
        }
    }
    return NULL;
}

/* --------------------------------------------------------------------------------------------------------------- sockets */

static uint32_t
new_socket(struct io *io, uint32_t conn)
{
    uint32_t number = io->socket_free;
    if (number != NONE) {
        io->socket_free = io->sockets[number].conn;
    } else if (io->socket_count == options_of(io->sim)->sockets_max) {
        return NONE;
    } else {
        if (io->socket_count == io->socket_room) {
            io->socket_room = io->socket_room == 0 ? 64 : io->socket_room * 2;
            io->sockets = must(realloc(io->sockets, io->socket_room * sizeof *io->sockets));
        }
        number = io->socket_count++;
        io->sockets[number].flags = 0;
    }
    /* The number may still stand in the ready list from its last life. */
    uint8_t listed = io->sockets[number].flags & SOCKET_READY;
    io->sockets[number] = (struct socket){.conn = conn, .flags = SOCKET_USED | listed};
    io->socket_open++;
    io->sim->conns[conn].socket = number;
    io->sim->conns[conn].shard = (uint16_t)io->shard;
    return number;
}

static void
free_socket(struct io *io, uint32_t number)
{
    struct socket *s = &io->sockets[number];
    s->flags &= SOCKET_READY;
    s->conn = io->socket_free;
    io->socket_free = number;
    io->socket_open--;
}

void
io_set_token(struct io *io, io_socket socket, uint64_t token)
{
    socket_of(io, socket)->token = token;
}

static void
start_receiving(struct io *io, io_socket socket, enum receive_mode mode)
{
    struct socket *s = open_socket(io, socket);
    s->receive = (uint8_t)mode;
    list_if_ready(io, socket);
}

void
io_receive_once(struct io *io, io_socket socket)
{
    start_receiving(io, socket, RECEIVE_ONCE);
}

void
io_receive(struct io *io, io_socket socket)
{
    start_receiving(io, socket, RECEIVE_ON);
}

void
io_receive_stop(struct io *io, io_socket socket)
{
    struct socket *s = open_socket(io, socket);
    if (s->receive == RECEIVE_ON && mischief(io->sim, 4)) {
        s->receive = RECEIVE_LAST;
        push_number(&io->stopping, socket);
    } else if (s->receive != RECEIVE_LAST) {
        s->receive = RECEIVE_OFF;
    }
}

void
io_send(struct io *io, io_socket socket, const void *data, uint32_t size)
{
    struct socket *s = open_socket(io, socket);
    assert(size > 0 && size <= INT32_MAX && !(s->flags & (SOCKET_SENDING | SOCKET_FINISH))); /* I2 */

    s->flags |= SOCKET_SENDING;
    const struct conn *conn = &io->sim->conns[s->conn];
    if (conn->flags & (CONN_RESET | CONN_BROKER_FINISHED)) {
        send_is_over(io, socket, -EPIPE);
        return;
    }
    struct pipe *pipe = need_pipe(&io->sim->conns[s->conn].down);
    pipe->send_data = data;
    pipe->send_size = size;
    pipe->send_left = size;
    push_number(&io->submitted, socket);
}

void
io_shutdown(struct io *io, io_socket socket)
{
    struct socket *s = open_socket(io, socket);
    if ((s->flags & SOCKET_SENDING) && !(s->flags & SOCKET_SENT)) {
        s->flags |= SOCKET_FINISH;
    } else {
        finish_broker_end(io->sim, s->conn);
    }
}

void
io_close(struct io *io, io_socket socket)
{
    struct sim *sim = io->sim;
    struct socket *s = open_socket(io, socket);
    s->flags |= SOCKET_CLOSING;
    s->receive = RECEIVE_OFF;
    if ((s->flags & SOCKET_SENDING) && !(s->flags & SOCKET_SENT) && mischief(sim, 2)) {
        s->flags |= SOCKET_SENT;
        s->sent_result = -ECANCELED;
    }
    s->flags &= (uint8_t)~SOCKET_FINISH;
    close_broker_end(sim, s->conn);

    uint64_t due = random_due(sim);
    if (due > sim->now_ns) {
        heap_push(sim, (struct due){.time_ns = due, .kind = DUE_CLOSED, .shard = (uint16_t)io->shard, .arrival.conn = socket});
    } else {
        s->flags |= SOCKET_CLOSED;
    }
    list_if_ready(io, socket);
}

void
io_move(struct io *io, io_socket socket, unsigned target_shard, uint64_t token)
{
    struct socket *s = open_socket(io, socket);
    struct conn *conn = &io->sim->conns[s->conn];
    assert(s->receive == RECEIVE_OFF && !(s->flags & SOCKET_SENDING)); /* nothing is under way */
    assert(target_shard < options_of(io->sim)->shard_count && target_shard != io->shard);

    uint32_t number = s->conn;
    conn->socket = NONE;
    free_socket(io, socket);
    send_to_inbox(io->sim, target_shard, (struct arrival){.token = token, .conn = number, .from = (uint16_t)io->shard, .type = IO_MOVED});
}

/* ---------------------------------------------------------------------------------------------------------------- events */

/* Memory that lasts until the next io_wait. */
static void *
lend(struct io *io, size_t size)
{
    if (io->lent_count == io->lent_room) {
        io->lent_room = io->lent_room == 0 ? 64 : io->lent_room * 2;
        io->lent = must(realloc(io->lent, io->lent_room * sizeof *io->lent));
    }
    return io->lent[io->lent_count++] = must(malloc(size));
}

static const struct sockaddr_storage *
peer_address(struct io *io, uint32_t conn, bool unix_socket)
{
    struct sockaddr_storage *storage = lend(io, sizeof *storage);
    memset(storage, 0, sizeof *storage);
    if (unix_socket) {
        storage->ss_family = AF_UNIX; /* clients of Unix sockets have no name, as a rule */
        return storage;
    }
    if (conn < io->sim->address_room && io->sim->addresses[conn].ss_family != 0) {
        *storage = io->sim->addresses[conn];
        io->sim->addresses[conn].ss_family = 0;
        return storage;
    }
    struct sockaddr_in *address = (struct sockaddr_in *)storage;
    address->sin_family = AF_INET;
    address->sin_port = htons((uint16_t)(1024 + conn % 60000));
    address->sin_addr.s_addr = htonl(0x0a000000u | (conn & 0xffffffu));
    return storage;
}

/* Accepted or moved here: finds it a socket. False if this shard is told nothing, but the one it comes from is. */
static bool
tell_arrival(struct io *io, struct io_event *event)
{
    struct sim *sim = io->sim;
    struct arrival arrival = pop_inbox(&io->inbox);
    *event = (struct io_event){.type = arrival.type, .socket = IO_SOCKET_NONE, .token = arrival.token};
    if (arrival.type == IO_WORKED) {
        arrival.work((void *)(uintptr_t)arrival.token);
        return true;
    }
    if (arrival.type == IO_MOVE_FAILED) {
        event->result = -ENFILE;
        return true;
    }
    event->socket = new_socket(io, arrival.conn);
    if (event->socket != IO_SOCKET_NONE) {
        event->peer = arrival.type == IO_ACCEPTED ? peer_address(io, arrival.conn, arrival.unix_socket) : NULL;
        return true;
    }
    close_broker_end(sim, arrival.conn);
    let_go_broker_end(sim, arrival.conn);
    if (arrival.type == IO_ACCEPTED) {
        event->type = IO_ACCEPT_FAILED;
        event->result = -ENFILE;
        return true;
    }
    arrival.type = IO_MOVE_FAILED;
    send_to_inbox(sim, arrival.from, arrival);
    return false;
}

static void
tell_sent(struct socket *s, struct io_event *event)
{
    event->type = IO_SENT;
    event->result = s->sent_result;
    s->flags &= (uint8_t)~(SOCKET_SENT | SOCKET_SENDING);
}

static void
tell_closed(struct io *io, uint32_t number, struct io_event *event)
{
    uint32_t conn = io->sockets[number].conn;
    event->type = IO_CLOSED;
    free_socket(io, number);
    let_go_broker_end(io->sim, conn);
}

/* Bytes, the end, or a reset; one of them is there. */
static void
tell_received(struct io *io, struct socket *s, struct io_event *event)
{
    struct conn *conn = &io->sim->conns[s->conn];
    event->type = IO_RECEIVED;
    if (conn->flags & CONN_RESET) {
        event->result = -ECONNRESET;
        conn->flags |= CONN_RECEIVE_ENDED;
    } else if (at_fin(conn->up)) {
        event->result = 0;
        conn->flags |= CONN_RECEIVE_ENDED;
        drop_pipe(&conn->up);
    } else {
        uint8_t buffer[RECEIVE_BYTES_MAX];
        uint32_t size = take_bytes(conn->up, buffer, options_of(io->sim)->receive_buffer_size, true);
        event->result = (int32_t)size;
        event->data = memcpy(lend(io, size), buffer, size);
        drop_if_empty(&conn->up);
    }
    if (s->receive != RECEIVE_ON) {
        s->receive = RECEIVE_OFF;
    }
}

/* One event of one socket that may have some, picked at random; false if it had none. It stays in the list while it may have more. */
static bool
tell_ready(struct io *io, struct io_event *event)
{
    uint32_t at = (uint32_t)rng_below(&io->sim->rng, io->ready.count);
    uint32_t number = io->ready.all[at];
    io->ready.all[at] = io->ready.all[--io->ready.count];
    struct socket *s = &io->sockets[number];
    s->flags &= (uint8_t)~SOCKET_READY;
    if (!(s->flags & SOCKET_USED)) {
        return false;
    }
    *event = (struct io_event){.socket = number, .token = s->token};
    /* A send and a receive race; the close comes after both. */
    bool receive = s->receive != RECEIVE_OFF && anything_to_receive(&io->sim->conns[s->conn]);
    if (receive && (!(s->flags & SOCKET_SENT) || (rng_next(&io->sim->rng) & 1) != 0)) {
        tell_received(io, s, event);
    } else if (s->flags & SOCKET_SENT) {
        tell_sent(s, event);
    } else if (s->flags & SOCKET_CLOSED) {
        tell_closed(io, number, event);
        return true;
    } else {
        return false;
    }
    list_if_ready(io, number);
    return true;
}

static void
start_sends(struct io *io)
{
    for (uint32_t i = 0; i < io->submitted.count; i++) {
        const struct socket *s = &io->sockets[io->submitted.all[i]];
        if ((s->flags & SOCKET_USED) && !(s->flags & SOCKET_CLOSING)) {
            pump(io->sim, s->conn);
        }
    }
    io->submitted.count = 0;
}

static void
end_stopping(struct io *io)
{
    for (uint32_t i = 0; i < io->stopping.count; i++) {
        struct socket *s = &io->sockets[io->stopping.all[i]];
        s->receive = s->receive == RECEIVE_LAST ? RECEIVE_OFF : s->receive;
    }
    io->stopping.count = 0;
}

unsigned
io_wait(struct io *io, uint64_t timeout_ns, uint32_t gather_us, struct io_event *events, unsigned max)
{
    (void)timeout_ns; /* time moves by sim_advance() alone */
    (void)gather_us;
    return_lent(io);
    start_sends(io);
    atomic_store_explicit(&io->woken, false, memory_order_relaxed);
    io->now_ns = io->sim->now_ns;

    unsigned count = 0;
    sim_disk_advance(disk_of(io->sim), io->now_ns);
    while (count < max && sim_disk_take_done(disk_of(io->sim), io->shard, &events[count])) {
        count++;
    }
    while (count < max && (io->ready.count > 0 || io->inbox.count > 0)) {
        bool inbox = io->ready.count == 0 || (io->inbox.count > 0 && (rng_next(&io->sim->rng) & 1) != 0);
        bool told = inbox ? tell_arrival(io, &events[count]) : tell_ready(io, &events[count]);
        count += told ? 1 : 0;
    }
    end_stopping(io);
    return count;
}

/* --------------------------------------------------------------------------------------------------------------- files */

struct sim_disk_user *
sim_disk_user_of(struct io_set *set)
{
    return set->disk;
}

void
io_file_put(struct io *io, struct io_file *file, uint64_t offset, const void *bytes, uint32_t size, bool durable, uint64_t token)
{
    struct sim_disk_request request = {.file = file, .token = token, .offset = offset, .bytes = (uint8_t *)(uintptr_t)bytes, .size = size, .shard = io->shard,
                                       .kind = durable ? SIM_DISK_PUT_DURABLE : SIM_DISK_PUT};
    sim_disk_begin(disk_of(io->sim), &request, io->sim->now_ns);
}

void
io_file_get(struct io *io, struct io_file *file, uint64_t offset, void *out, uint32_t size, uint64_t token)
{
    struct sim_disk_request request = {.file = file, .token = token, .offset = offset, .bytes = out, .size = size, .shard = io->shard, .kind = SIM_DISK_GET};
    sim_disk_begin(disk_of(io->sim), &request, io->sim->now_ns);
}

void
io_file_flush(struct io *io, struct io_file *file, uint64_t token)
{
    struct sim_disk_request request = {.file = file, .token = token, .shard = io->shard, .kind = SIM_DISK_FLUSH};
    sim_disk_begin(disk_of(io->sim), &request, io->sim->now_ns);
}

/* ------------------------------------------------------------------------------------------------------------------ work */

bool
io_work(struct io *io, enum io_work_class class, void (*work)(void *argument), void *argument)
{
    (void)class;
    struct arrival arrival = {.token = (uint64_t)(uintptr_t)argument, .conn = NONE, .type = IO_WORKED, .work = work};
    if (!io->sim->work_held) {
        send_to_inbox(io->sim, io->shard, arrival);
        return true;
    }
    bool room = io->held_work.count < io->sim->work_room;
    if (room) {
        push_inbox(&io->held_work, &arrival);
    }
    return room;
}

void
sim_hold_work(struct sim *sim, bool hold, uint32_t room)
{
    struct io_set *set = (struct io_set *)sim; /* its first member */
    sim->work_held = hold;
    sim->work_room = room;
    for (unsigned i = 0; !hold && i < set->options.shard_count; i++) {
        while (set->shards[i].held_work.count > 0) {
            send_to_inbox(sim, i, pop_inbox(&set->shards[i].held_work));
        }
    }
}

void *
io_work_end(struct io *io)
{
    return io->unworked.count > 0 ? (void *)(uintptr_t)pop_inbox(&io->unworked).token : NULL;
}

void
io_wake(struct io *io, unsigned target_shard)
{
    io_interrupt(shard_of(io->sim, target_shard));
}

void
io_interrupt(struct io *io)
{
    atomic_store_explicit(&io->woken, true, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------------------------- the world's side */

void
sim_set_seed(uint64_t seed)
{
    next_seed = seed;
}

struct sim *
sim_of(struct io_set *set)
{
    return &set->sim;
}

void
sim_set_faults(struct sim *sim, const struct sim_faults *faults)
{
    assert(faults->fragment_percent <= 100);
    sim->faults = *faults;
}

uint64_t
sim_now_ns(const struct sim *sim)
{
    return sim->now_ns;
}

void
sim_advance(struct sim *sim, uint64_t by_ns)
{
    assert(by_ns <= UINT64_MAX - sim->now_ns);
    sim->now_ns += by_ns;
    while (sim->heap_count > 0 && sim->heap[0].time_ns <= sim->now_ns) {
        struct due due = heap_pop(sim);
        if (!due_stale(sim, &due)) {
            arrive(sim, &due);
        }
    }
    heap_prune(sim);
    sim_disk_advance(disk_of(sim), sim->now_ns);
}

uint64_t
sim_next_ns(const struct sim *sim)
{
    uint64_t network_ns = sim->heap_count > 0 ? sim->heap[0].time_ns : UINT64_MAX;
    uint64_t disk_ns = sim_disk_next_ns(disk_of(sim));
    return disk_ns < network_ns ? disk_ns : network_ns;
}

bool
sim_ready(const struct sim *sim, unsigned shard)
{
    const struct io *io = shard_of(sim, shard);
    return io->ready.count > 0 || io->inbox.count > 0 || io->submitted.count > 0 || atomic_load_explicit(&io->woken, memory_order_relaxed) ||
           sim_disk_any_done(disk_of(sim), shard);
}

uint64_t
sim_random(struct sim *sim)
{
    return rng_next(&sim->rng);
}

/* A shard that listens on the port, each as likely; NULL if none does. */
static struct io *
pick_listening(struct sim *sim, uint16_t port, const char *path)
{
    struct io *picked = NULL;
    unsigned seen = 0;
    for (unsigned i = 0; i < options_of(sim)->shard_count; i++) {
        struct io *io = shard_of(sim, i);
        if (find_listener(io, port, path) != NULL && rng_below(&sim->rng, ++seen) == 0) {
            picked = io;
        }
    }
    return picked;
}

static sim_connection
connect_to(struct sim *sim, uint16_t port, const char *path, int shard)
{
    struct io *io = shard >= 0 ? shard_of(sim, (unsigned)shard) : pick_listening(sim, port, path);
    const struct listener *listener = io == NULL ? NULL : find_listener(io, port, path);
    if (listener == NULL) {
        return SIM_CONNECTION_NONE;
    }
    uint32_t number = new_conn(sim);
    send_to_inbox(sim, io->shard, (struct arrival){.token = listener->token, .conn = number, .type = IO_ACCEPTED, .unix_socket = path != NULL});
    return number;
}

sim_connection
sim_connect(struct sim *sim, uint16_t port, int shard)
{
    return connect_to(sim, port, NULL, shard);
}

sim_connection
sim_connect_path(struct sim *sim, const char *path, int shard)
{
    return connect_to(sim, 0, path, shard);
}

void
sim_set_address(struct sim *sim, sim_connection c, const struct sockaddr_storage *address)
{
    client_of(sim, c);
    if (c >= sim->address_room) {
        uint32_t room = sim->conn_room;
        sim->addresses = must(realloc(sim->addresses, room * sizeof *sim->addresses));
        memset(sim->addresses + sim->address_room, 0, (room - sim->address_room) * sizeof *sim->addresses);
        sim->address_room = room;
    }
    sim->addresses[c] = *address;
}

void
sim_write(struct sim *sim, sim_connection c, const void *data, uint32_t size)
{
    struct conn *conn = client_of(sim, c);
    assert(!(conn->flags & CONN_CLIENT_FINISHED));
    if (conn->flags & (CONN_RESET | CONN_BROKER_CLOSED)) {
        return;
    }
    put_bytes(sim, c, DUE_UP, data, size);
    notify_up(sim, conn);
}

uint32_t
sim_read(struct sim *sim, sim_connection c, void *out, uint32_t room)
{
    struct conn *conn = client_of(sim, c);
    if (sim_readable(sim, c) == 0) {
        return 0;
    }
    uint32_t size = take_bytes(conn->down, out, room, false);
    pump(sim, c);
    drop_if_empty(&conn->down);
    return size;
}

uint32_t
sim_readable(const struct sim *sim, sim_connection c)
{
    const struct conn *conn = client_of(sim, c);
    return conn->down == NULL || (conn->flags & CONN_STUCK) ? 0 : conn->down->arrived;
}

void
sim_set_stuck(struct sim *sim, sim_connection c, bool stuck)
{
    struct conn *conn = client_of(sim, c);
    conn->flags = (uint16_t)(stuck ? conn->flags | CONN_STUCK : conn->flags & ~CONN_STUCK);
}

void
sim_finish(struct sim *sim, sim_connection c)
{
    struct conn *conn = client_of(sim, c);
    if (conn->flags & (CONN_CLIENT_FINISHED | CONN_RESET)) {
        return;
    }
    conn->flags |= CONN_CLIENT_FINISHED;
    if (!(conn->flags & CONN_BROKER_CLOSED)) {
        put_fin(sim, c, DUE_UP);
        notify_up(sim, conn);
    }
}

void
sim_reset(struct sim *sim, sim_connection c)
{
    struct conn *conn = client_of(sim, c);
    if (conn->flags & CONN_RESET) {
        return;
    }
    conn->flags |= CONN_RESET | CONN_CLIENT_FINISHED | CONN_BROKER_FINISHED;
    bool sending = conn->down != NULL && conn->down->send_left > 0;
    drop_pipe(&conn->up);
    drop_pipe(&conn->down);
    heap_prune(sim);
    if (sending) {
        send_is_over(shard_of(sim, conn->shard), conn->socket, -ECONNRESET);
    }
    notify_up(sim, conn);
}

bool
sim_finished(const struct sim *sim, sim_connection c)
{
    const struct conn *conn = client_of(sim, c);
    return (conn->flags & CONN_RESET) || at_fin(conn->down);
}

void
sim_free(struct sim *sim, sim_connection c)
{
    struct conn *conn = client_of(sim, c);
    if (!(conn->flags & CONN_BROKER_CLOSED)) {
        sim_reset(sim, c);
    }
    conn->flags &= (uint16_t)~CONN_CLIENT_HOLDS;
    forget_conn_if_free(sim, c);
}

uint32_t
sim_broker_sockets(const struct sim *sim)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < options_of(sim)->shard_count; i++) {
        count += shard_of(sim, i)->socket_open;
    }
    return count;
}
