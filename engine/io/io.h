/*
 * io: the one seam between the engine and the world: time, randomness, sockets, files, wake-ups and worker threads.
 *
 * Two implementations, chosen when linking: uring.c (the kernel, through one io_uring per shard) and sim.c (a deterministic
 * network, disk and clock for all shards in one thread, driven from a seed; its own controls are in engine/io/sim.h and sim_disk.h). The engine calls
 * nothing of the kernel past this header, so what runs in the simulator is the whole broker.
 *
 *      engine ── io_receive / io_send / io_close ──►  requests, submitted together by the next io_wait()
 *      engine ◄── events ────────────────────────── io_wait()
 *
 * Life of a socket:  IO_ACCEPTED or IO_MOVED ──► io_receive_once()* ──► io_move() to another shard
 *                                            └─► io_receive() ... io_send() ... ──► io_close() ──► IO_CLOSED
 *
 * Invariants
 *   I1  a socket belongs to one shard; only that shard's thread names it.
 *   I2  at most one send is under way per socket; its bytes stay untouched until IO_SENT (or IO_CLOSED, which then stands for it).
 *   I3  after io_close() no event but IO_SENT and IO_CLOSED comes for the socket, except those that the running io_wait() batch
 *       already holds; IO_CLOSED is the last one, and comes from a later io_wait() call than the one that preceded io_close().
 *   I4  bytes of an IO_RECEIVED event are valid until the next io_wait(), and the engine's to write to.
 *
 * Threads  all calls of one struct io come from its shard's thread, except io_open/io_close_all (set-up, before and after the
 *          threads run) and io_interrupt (any thread). io_wake and io_move name another shard by number.
 * Errors   0 or -errno. A full submission queue is not an error: the implementation submits and goes on.
 */
#ifndef TIDEWIRE_ENGINE_IO_IO_H
#define TIDEWIRE_ENGINE_IO_IO_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct io;      /* one per shard */
struct io_set;  /* all of a process */

/* A socket of one shard: small integers, reused after IO_CLOSED. */
typedef uint32_t io_socket;
#define IO_SOCKET_NONE UINT32_MAX

struct io_options {
    unsigned shard_count;
    uint32_t sockets_max;        /* per shard; io_open lowers it to what the system allows (RLIMIT_NOFILE) and says so */
    uint32_t receive_buffer_size;  /* bytes per provided buffer; 0: default 4096 */
    uint32_t receive_buffer_count; /* per shard, a power of two; 0: default */
};

enum io_event_type {
    IO_ACCEPTED,      /* token: the listener's. socket: new and the engine's. peer: its address, borrowed like data */
    IO_ACCEPT_FAILED, /* token: the listener's. result: -errno (out of descriptors or socket slots); accepting goes on later */
    IO_RECEIVED,      /* result > 0: bytes at data. 0: the peer finished sending. < 0: -errno. After result <= 0 nothing more is received */
    IO_SENT,          /* result: all bytes of the send, or -errno: then the socket is broken and only io_close is left */
    IO_MOVED,         /* token: as given to io_move on the other shard. socket: new and the engine's here */
    IO_MOVE_FAILED,   /* on the sending shard. token: as given. The socket is gone */
    IO_CLOSED,        /* the last event of a socket; whatever the engine kept for it may be freed */
    IO_WORKED,        /* a piece of work is done. token: its argument. No socket */
    IO_FILE_DONE,     /* token: as given to io_file_put, _get or _flush. result: bytes, or -errno. No socket */
};

struct io_event {
    uint8_t type;      /* enum io_event_type */
    io_socket socket;
    int32_t result;
    uint64_t token;    /* what io_set_token() gave the socket (IO_RECEIVED, IO_SENT, IO_CLOSED), or as said above */
    const uint8_t *data;
    const struct sockaddr_storage *peer;
};

/*
 * Makes the io of every shard. On failure returns NULL and writes one clear line (what is missing, and what to do) to `error`.
 * The real one needs Linux 6.1 with io_uring enabled.
 */
struct io_set *io_open(const struct io_options *options, char *error, size_t error_size);
struct io *io_of_shard(struct io_set *set, unsigned shard);

/* To be called by the shard's own thread before anything else (a ring belongs to the thread that uses it). */
int io_enter(struct io *io);
/* The other end of io_enter: by the shard's own thread, when it is done. Closes every socket and listener at once. */
void io_leave(struct io *io);
void io_close_all(struct io_set *set);

/* One line of what was found: kernel, features in use, limits. Borrowed. */
const char *io_describe(const struct io_set *set);
/* Sockets that one shard can hold, after the system's limits. */
uint32_t io_sockets_max(const struct io_set *set);

/* ------------------------------------------------------------------------------------------------ time and randomness */

/* Monotonic time, read once per io_wait() return. Nanoseconds since some start; never 0. */
uint64_t io_now_ns(const struct io *io);
/* Monotonic time read now. */
uint64_t io_clock_ns(const struct io *io);
/* CPU time that this shard's thread has used, nanoseconds; to be called by it. 0 in the simulator. Costs a system call. */
uint64_t io_cpu_ns(const struct io *io);
/* Wall-clock time, milliseconds since 1970-01-01 UTC. */
uint64_t io_wall_ms(const struct io *io);
/* Unpredictable bytes in the real one; from the seed in the simulator. */
void io_random(struct io *io, void *out, size_t size);

/* ------------------------------------------------------------------------------------------------------------ listeners */

struct io_listener {
    const char *host;    /* name or address, NULL or "": all interfaces */
    const char *interface; /* the addresses that this network interface has, instead of a host; NULL: none */
    const char *path;    /* a Unix socket instead of all that, which the shards share; NULL: none */
    uint32_t mode;       /* permissions of the path; 0: as the umask has it */
    uint16_t port;
    bool ipv4_only, ipv6_only; /* option socket_domain */
    bool first;          /* of the shards to open it: fails with -EADDRINUSE if anybody else listens there already */
    int backlog;
};

/*
 * Takes an address with a socket of this shard's own (SO_REUSEPORT), for every address that the host resolves to, with TCP_NODELAY for what it accepts; or shares the one
 * of a path, which io_close_all() removes. `token` comes
 * back with IO_ACCEPTED. Nobody else gets the address from here on, but whoever connects is refused until io_listen_begin(). Called by io's own thread, or by the
 * starting thread before io_enter. On failure writes a clear line to `error`.
 */
int io_listen(struct io *io, const struct io_listener *listener, uint64_t token, char *error, size_t error_size);

/*
 * Accepts on all listeners that are open, those of this shard. Called like io_listen(), after it, and after each more of it. 0 or -errno.
 */
int io_listen_begin(struct io *io);

/* Stops accepting on all listeners (shutdown). Sockets stay. */
void io_listen_stop(struct io *io);

/* -------------------------------------------------------------------------------------------------------------- sockets */

/* The token of a socket's later events; to be set right after IO_ACCEPTED or IO_MOVED. */
void io_set_token(struct io *io, io_socket socket, uint64_t token);

/* One IO_RECEIVED, then nothing: for sockets that may move. */
void io_receive_once(struct io *io, io_socket socket);

/* Receive until io_receive_stop(). */
void io_receive(struct io *io, io_socket socket);

/*
 * Stop receiving (back-pressure). Some IO_RECEIVED that were under way may still come. io_receive() starts again, at once too.
 */
void io_receive_stop(struct io *io, io_socket socket);

/* Sends all `size` bytes (> 0); one IO_SENT when they are all with the kernel, however long the peer takes to make room. */
void io_send(struct io *io, io_socket socket, const void *data, uint32_t size);

/* Finish sending: the peer sees end of stream after what was sent. Receiving goes on. */
void io_shutdown(struct io *io, io_socket socket);

/* Gives up whatever is under way and closes. IO_CLOSED follows. */
void io_close(struct io *io, io_socket socket);

/*
 * Hands the socket over to another shard, which gets IO_MOVED with `token`; here it is gone at once (no IO_CLOSED). Only while nothing is under way on
 * it: received with io_receive_once() and that event has come, nothing being sent. `token` is below 2^60 (a pointer is).
 */
void io_move(struct io *io, io_socket socket, unsigned target_shard, uint64_t token);

/* ---------------------------------------------------------------------------------------------------------------- files */

struct io_file; /* open; its ranges may be used by several threads at once */

/* What io_file_put() and io_file_get() want offset, size and address to be multiples of. */
#define IO_FILE_ALIGN 4096u

enum io_file_flags {
    IO_FILE_CREATE = 1, /* if it is not there; readable by its owner only */
    IO_FILE_DIRECT = 2, /* around the page cache, where the file system can do that; elsewhere through it */
};

/*
 * These block, and are for the start, the end and work off the shards; any thread may call them. 0, or -errno.
 */
int io_file_open(struct io_set *set, const char *path, unsigned flags, struct io_file **out);
/* Nothing is under way on it any more. Nulls the pointer; NULL is fine. */
void io_file_close(struct io_file **file);
int64_t io_file_size(struct io_file *file);
/* Bytes read, fewer than asked for only at the file's end, or -errno. */
int64_t io_file_read(struct io_file *file, uint64_t offset, void *out, size_t size);
/* All of it. With IO_FILE_DIRECT everything is aligned. */
int io_file_write(struct io_file *file, uint64_t offset, const void *bytes, size_t size);
/* What was written to it is on the disk, its size too. The directory's entry for it: io_directory_sync(). */
int io_file_sync(struct io_file *file);
int io_directory_make(struct io_set *set, const char *path); /* 0 if it is there already */
int io_directory_list(struct io_set *set, const char *path, void (*each)(void *context, const char *name), void *context);
int io_directory_sync(struct io_set *set, const char *path);
/* Until io_close_all(): -EWOULDBLOCK if another process has it. */
int io_directory_lock(struct io_set *set, const char *path);
int io_rename(struct io_set *set, const char *from, const char *to); /* replaces what is there */
int io_remove(struct io_set *set, const char *path);                 /* a file, or an empty directory */

/*
 * On the shard's ring; all three are told by IO_FILE_DONE, in any order, with the token and as result the bytes (all of them; 0 for a flush) or -errno: a get that meets the
 * file's end is -EIO. The bytes stay untouched until then. `durable`: told only once it is on the disk. Gathering (io_wait) ends when a put is expected to. io_leave()
 * waits for what is under way, and does not tell it.
 */
void io_file_put(struct io *io, struct io_file *file, uint64_t offset, const void *bytes, uint32_t size, bool durable, uint64_t token);
void io_file_get(struct io *io, struct io_file *file, uint64_t offset, void *out, uint32_t size, uint64_t token);
void io_file_flush(struct io *io, struct io_file *file, uint64_t token);

/* ------------------------------------------------------------------------------------------------- work off the shard */

enum io_work_class {
    IO_WORK_CRYPTO,  /* tenths of a millisecond each: handshakes */
    IO_WORK_HASH,    /* tens of milliseconds each, on purpose: password hashes */
    IO_WORK_REQUEST, /* waits for other servers */
    IO_WORK_DISK,    /* makes and clears files */
    IO_WORK_CLASSES,
};

/*
 * Runs `work(argument)` on a thread of its class, whose priority is below that of the shards; IO_WORKED follows. False if the class's queue is full or no thread can
 * be had. In the simulator it runs in the one thread, some time later.
 */
bool io_work(struct io *io, enum io_work_class class, void (*work)(void *argument), void *argument);
/* After io_leave(): gives back, one by one, the arguments of all work that was not told yet, begun or not; waits for what is running. NULL: that was all. */
void *io_work_end(struct io *io);

/* ------------------------------------------------------------------------------------------------------- the loop's turn */

/*
 * Submits everything asked for so far, then waits until there is an event, a wake-up, or `timeout_ns` has passed (0: does not wait;
 * UINT64_MAX: no limit). Fills `events`, returns how many (0 is possible). `gather_us`: the shard is loaded, and holding back a first event for so long
 * to collect more is worth it; 0: it is not. A hint: a kernel without bounded waiting (before 6.12) returns at once, and so do very many events.
 */
unsigned io_wait(struct io *io, uint64_t timeout_ns, uint32_t gather_us, struct io_event *events, unsigned max);

/* Wakes another shard out of io_wait(); goes out with this shard's next io_wait() at the latest. Sender: this shard's thread. */
void io_wake(struct io *io, unsigned target_shard);

/* As io_wake, from any thread and at once (also safe while the target is not waiting: its next io_wait returns early). */
void io_interrupt(struct io *io);

#endif
