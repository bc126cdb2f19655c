/*
 * loop: one worker's io_uring, and what has happened on it.
 *
 *   loop_recv, loop_send, loop_connect  ──►  submission queue
 *                                            loop_wait() ── one system call ──► kernel
 *   loop_next() ◄── completions ◄──────────────────────────────────────────────┘
 *
 * Received bytes lie in a kernel-filled buffer of the ring's pool until loop_give().
 *
 * Files are plain descriptors, or slots of the ring's own table (direct descriptors), which do not count as open files of the process: its
 * limit bounds each ring's table instead, so a process may hold that many connections per ring.
 *
 * Invariants
 *   L1  a multishot receive stays armed until an event comes with `more` false; only then may it be armed again.
 *   L2  every event with `data` is given back exactly once, before the next loop_wait().
 *   L3  a slot holds one file from loop_adopt() to loop_drop().
 *
 * Threads  one, which also opens it. Memory  owns ring, table and pool. Full  submission queue: submits and goes on; pool: the receive ends with
 *          -ENOBUFS and `more` false, and the caller arms it again after giving buffers back.
 */
#ifndef TIDEWIRE_BENCH_LOAD_LOOP_H
#define TIDEWIRE_BENCH_LOAD_LOOP_H

#include <liburing.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

/* One receive takes at most this much. Larger costs cache, smaller costs completions. */
#define LOOP_BUFFER_SIZE 8192u
#define LOOP_BUFFER_COUNT 2048u
#define LOOP_SUBMISSIONS 4096u
#define LOOP_COMPLETIONS 65536u

enum loop_event_kind {
    LOOP_CONNECTED = 1, /* result: 0 or -errno */
    LOOP_RECEIVED,      /* result: bytes, 0 at the end of the stream, or -errno */
    LOOP_SENT,          /* result: bytes or -errno */
};

struct loop_file {
    int number; /* a descriptor, or a slot; -1: none */
    bool direct;
};

struct loop_event {
    enum loop_event_kind kind;
    uint32_t tag; /* as armed */
    int result;
    bool more;
    const uint8_t *data; /* LOOP_RECEIVED with result > 0 */
    uint16_t buffer;
};

struct loop {
    struct io_uring ring;
    struct io_uring_buf_ring *pool;
    uint8_t *memory;
    int given; /* buffers to hand back to the kernel */
    int wake_fd;
    uint64_t wake_count;
};

/* `slots` direct descriptors (0: none). 0 or -errno; -EMFILE if the limit for open files is below `slots`. */
int loop_open(struct loop *l, uint32_t slots) __attribute__((warn_unused_result));
void loop_close(struct loop *l);

/* loop_wait() ends when something is written to this eventfd. Borrowed for the loop's life. */
void loop_watch(struct loop *l, int eventfd);

/* Moves a descriptor into a slot and closes it. 0 or -errno, and then it is closed as well. */
int loop_adopt(struct loop *l, int fd, uint32_t slot) __attribute__((warn_unused_result));

/* Closes a file; what is armed on it ends, and completes, as soon as the kernel comes to it. */
void loop_drop(struct loop *l, struct loop_file f, uint32_t tag);

void loop_connect(struct loop *l, struct loop_file f, const struct sockaddr_in *to, uint32_t tag); /* `to` borrowed until LOOP_CONNECTED */
void loop_recv(struct loop *l, struct loop_file f, uint32_t tag);
void loop_send(struct loop *l, struct loop_file f, const uint8_t *data, uint32_t size, uint32_t tag); /* `data` borrowed until LOOP_SENT */

/* Submits everything and sleeps until something has completed or `timeout_ns` has passed. 0 or -errno (-EINTR at a signal). */
int loop_wait(struct loop *l, uint64_t timeout_ns) __attribute__((warn_unused_result));

/* Takes one completion, false if there is none. */
bool loop_next(struct loop *l, struct loop_event *out);
void loop_give(struct loop *l, const struct loop_event *e);

#endif
