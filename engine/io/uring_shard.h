/*
 * uring_shard: what the files of the io_uring half share: the io of one shard, its record per socket, and how a completion finds both.
 *
 *      uring.c          the set of shards, time, wake-ups, and the turn: io_wait()
 *      uring_accept.c   armed accepts of every listener
 *      uring_socket.c   one socket's life: receive, send, shut down, move, close
 *      uring_listen.c   listening sockets; uring_unix.c those with a path        uring_ring.c   the ring itself       uring_work.c   worker threads
 *      uring_file.c     files
 *
 * An io_socket is the slot in the ring's table of direct descriptors, chosen by the kernel. Each request carries in its user_data
 *
 *      63..60      59..52       51..32     31..0
 *      operation   generation   slot       payload          (OP_MOVED, which comes from another ring: operation, then the token)
 *
 * and the generation is that of the slot's record, which moves on when the slot is closed.
 */
#ifndef TIDEWIRE_ENGINE_IO_URING_SHARD_H
#define TIDEWIRE_ENGINE_IO_URING_SHARD_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <time.h>

#include "engine/io/io.h"
#include "engine/io/uring_ring.h"

/* A gathering io_wait() returns at once when completions came faster than one in this time: more cannot be hoped for. */
#define SHARD_GATHER_EVENT_NS 1600

enum shard_operation {
    OP_IGNORED,    /* cancels, wake-ups: a completion means it failed, and that is no harm */
    OP_INTERRUPT,  /* read of the eventfd */
    OP_WAKE,       /* came from another ring */
    OP_WAKE_SENT,  /* payload: target shard. Completes only when it failed */
    OP_ACCEPT,     /* payload: number of the acceptor */
    OP_RECEIVE,
    OP_SEND,       /* payload: bytes that earlier parts of the same io_send() have sent */
    OP_SHUTDOWN,
    OP_MOVE,       /* the source's side */
    OP_CLOSE,
    OP_MOVED,      /* came from another ring; 60 bits of token */
    OP_FILE,       /* payload: number of the operation */
};

#define SHARD_TOKEN_BITS 60

/* Flags of a socket's record; the table of their meaning together is in uring_socket.c. */
enum socket_flag {
    SOCKET_OPEN = 1 << 0,         /* the slot is the engine's, or on its way out */
    SOCKET_CLOSING = 1 << 1,      /* io_close() was called, or io_move() has handed it over */
    SOCKET_CLOSE_SENT = 1 << 2,   /* the close of the slot is under way */
    SOCKET_QUIET = 1 << 3,        /* no IO_CLOSED when closed */
    SOCKET_MOVING = 1 << 4,       /* io_move() was called, and its outcome is not known */
    SOCKET_ARMED = 1 << 5,        /* a receive is under way */
    SOCKET_CANCELLING = 1 << 6,   /* ... and its cancel was asked for */
    SOCKET_WANT_ONCE = 1 << 7,    /* the engine waits for one IO_RECEIVED */
    SOCKET_WANT_MANY = 1 << 8,    /* the engine wants to receive until it says stop */
    SOCKET_ENDED = 1 << 9,        /* end of stream or an error was received: never receive again */
    SOCKET_QUEUED = 1 << 10,      /* in the queue of those who wait for receive buffers (outlives the socket) */
    SOCKET_SENDING = 1 << 11,     /* a send is under way */
    SOCKET_SEND_REST = 1 << 12,   /* ... of what a first one left over */
    SOCKET_SHUTTING = 1 << 13,    /* a shutdown is under way */
    SOCKET_CUT = 1 << 14,         /* both directions were shut down before closing (old kernels) */
};

struct socket_record {
    uint64_t token;
    union {
        const uint8_t *send_data; /* while SOCKET_SENDING: all that io_send() was given */
        uint64_t move_next;       /* while waiting to be moved again: the next such socket */
    };
    union {
        uint32_t send_size;
        uint32_t move_target;     /* while SOCKET_MOVING */
    };
    uint16_t flags;
    uint8_t generation;
};
static_assert(sizeof(struct socket_record) <= 24, "counts in bytes per connection");

struct directory_lock;
struct file_operation;
struct listener;
struct unix_socket;

/* How long puts take, so that gathering ends when one of them does: see uring_file.c. */
struct put_pace {
    uint64_t usual_ns[2]; /* by whether they are durable; 0: none was measured yet */
    uint64_t end_ns;      /* when the first of those under way is expected to end */
    uint32_t under_way;
    uint32_t unmeasured;  /* puts since the last measured one */
};

struct io {
    struct ring ring;
    struct io_set *set;
    unsigned shard;
    uint64_t now_ns;
    bool cut_before_close;  /* the kernel would delay the close of a direct descriptor */

    struct socket_record *sockets; /* [sockets_max], by slot; pages are touched on use */
    uint32_t sockets_max, sockets_open;

    uint32_t *starved; /* [sockets_max] ring of sockets that wait for receive buffers */
    uint32_t starved_head, starved_count;

    uint32_t moves_waiting; /* list through move_next: the target ring was not enabled yet */
    uint64_t moves_retry_ns;

    struct listener **listeners;
    unsigned listener_count;
    struct acceptor *acceptors_idle;
    uint64_t accept_retry_ns;    /* accepting rests until then; 0: it does not */
    uint64_t accept_reported_ns; /* last IO_ACCEPT_FAILED; 0: none yet */

    uint64_t *wake_submission; /* [shards] 1 + ring.submissions at the last io_wake(): it is still in the queue */
    int interrupt_fd;
    uint64_t interrupt_count; /* where the kernel reads the eventfd to */

    struct file_operation *file_operations;
    uint32_t file_operation_count, file_operation_room;
    uint32_t file_operations_free; /* list through next_free: 1 + the number of the first; 0: none */
    uint32_t files_under_way;
    struct put_pace put_pace;

    /* Written by other shards, so on a line of their own. */
    alignas(64) atomic_uint handovers; /* see io_move() */
    atomic_int life;                   /* enum shard_life */

    /* uring_work.c: under the pool's lock, but for `worked_any`. */
    atomic_bool worked_any;
    void **worked;                     /* done, and to be told */
    uint32_t worked_count, worked_room;
    uint32_t work_waiting, work_running;
};

enum shard_life {
    SHARD_NOT_ENTERED, /* its ring is disabled: the kernel answers -EBADFD to messages */
    SHARD_RUNNING,
    SHARD_LEFT,
};

struct io_set {
    unsigned shard_count;
    uint32_t sockets_max;
    struct ring_caps caps;
    struct work_pool *work;
    struct io **shards;
    struct unix_socket *unix_sockets; /* uring_unix.h */
    struct directory_lock *locks; /* uring_file.c */
    char description[320];
};

static inline uint64_t
shard_tag(enum shard_operation operation, uint8_t generation, io_socket slot, uint32_t payload)
{
    return (uint64_t)operation << SHARD_TOKEN_BITS | (uint64_t)generation << 52 | (uint64_t)slot << 32 | payload;
}

static inline enum shard_operation
shard_tag_operation(uint64_t tag)
{
    return (enum shard_operation)(tag >> SHARD_TOKEN_BITS);
}

static inline uint8_t
shard_tag_generation(uint64_t tag)
{
    return (uint8_t)(tag >> 52);
}

static inline io_socket
shard_tag_slot(uint64_t tag)
{
    return (io_socket)(tag >> 32 & (RING_FILES_MAX - 1));
}

static inline uint64_t
shard_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ------------------------------------------------------------------------------------------------------ uring_accept.c */

/* Accepting goes on at once: there may be room now. */
void accept_resume(struct io *io);
/* Start of a turn: arms what is idle. Returns the time at which it wants to be called again, UINT64_MAX if it does not. */
uint64_t accept_arm(struct io *io);
/* A completion. True if it made an event. */
bool accept_complete(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event);
/* Closes all listeners, and frees them. Only when nothing is under way. */
void accept_fini(struct io *io);

/* ------------------------------------------------------------------------------------------------------ uring_socket.c */

/* The kernel has put a connection into `slot`. */
void socket_open(struct io *io, io_socket slot);
/* Closes a connection that the engine never saw. */
void socket_close_quietly(struct io *io, io_socket slot);
/* Start of a turn, after `buffers_given` receive buffers came free: as many who starved may receive again. True if some still wait. */
bool socket_feed_starved(struct io *io, uint32_t buffers_given);
/* Start of a turn: moves that must be tried again. Returns the time of the next try, UINT64_MAX if there is none. */
uint64_t socket_retry_moves(struct io *io);
/* A completion of OP_RECEIVE to OP_CLOSE, or OP_MOVED. True if it made an event. */
bool socket_complete(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event);

/* -------------------------------------------------------------------------------------------------------- uring_file.c */

/* A completion of OP_FILE. True if it made an event. */
bool file_complete(struct io *io, const struct io_uring_cqe *cqe, struct io_event *event);
/* How much of this time to gather events there is until a put ends. */
uint32_t file_cut_gather(const struct io *io, uint32_t gather_us);
/* Waits for what is under way, and throws away all completions. */
void file_finish(struct io *io);
void file_unlock_all(struct io_set *set);

/* -------------------------------------------------------------------------------------------------------- uring_work.c */

/* By a shard's own thread: it runs as soon as it wakes up, although a worker does. */
void work_give_precedence(void);
/* NULL when out of memory. Threads start with the first work. */
struct work_pool *work_open(unsigned shard_count);
/* Ends the threads; what was not begun is forgotten. */
void work_close(struct work_pool *pool);
/* IO_WORKED events for what is done; how many. */
unsigned work_complete(struct io *io, struct io_event *events, unsigned max);

#endif
