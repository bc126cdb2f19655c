/*
 * floor: what relaying messages costs when nothing is understood.
 *
 * The question: how much CPU time per delivered message is TCP and the kernel, with the same I/O pattern as the broker
 * (one thread, one io_uring, direct descriptors, multishot accept and receive into provided buffers, one send per
 * connection and turn)? What a broker needs above this figure is the broker's own. Not answered: latency with many cores, a
 * real network (on loopback the sender also pays for the receiver's half of TCP), TLS.
 *
 * It serves `tidewire-bench --raw`: pairs, fanin and fanout, told by each connection's hello. Bytes are copied into the subscriber's
 * output, which for small messages is cheaper than keeping references (research/uring.md 3).
 *
 *   turn:  reap ──► copy to subscribers' `filling` ──► one send per dirty subscriber ──► submit and wait
 *
 *   -p PORT     listen on 127.0.0.1:PORT
 *   -m USEC     bounded waiting: after the first completion wait so long for more (kernel 6.12) ...
 *   -q COUNT    ... or until so many are there (16)
 *
 * The relay trusts its load generator: any surprise ends it with a message. Threads  one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/options.h"
#include "bench/load/raw_hello.h"

/* The kernel allows as many direct descriptors per ring as RLIMIT_NOFILE; this is the most that is asked for. */
#define CONNECTIONS_MAX 65536u
#define SUBMISSIONS 4096u
#define COMPLETIONS 65536u
#define BUFFER_SIZE 4096u
#define BUFFER_COUNT 8192u
/* What liburing 2.3 does not know yet (kernel 6.12): then the padding of io_uring_getevents_arg is the least time to wait. */
#define FEATURE_MIN_TIMEOUT (1u << 15)
#define RING_FD_REGISTERED 1 /* liburing 2.3: INT_FLAG_REG_RING */

struct pile {
    uint8_t *bytes;
    uint32_t used, room;
};

struct connection {
    uint32_t slot; /* direct descriptor */
    bool greeted, dirty, sending;
    struct raw_hello hello;
    struct pile filling, flying; /* output: gathered, and being sent */
    struct pile partial;         /* fan-in: the first bytes of a message whose rest has not come */
};

enum event {
    EVENT_ACCEPTED = 1,
    EVENT_RECEIVED,
    EVENT_SENT,
};

static struct io_uring ring;
static struct io_uring_buf_ring *pool;
static uint8_t *pool_memory;
static int pool_given;

static struct connection *connections[CONNECTIONS_MAX]; /* by slot */
static struct connection *subscribers[CONNECTIONS_MAX]; /* by index of the hello */
static uint32_t subscriber_count;
static struct connection *dirty[CONNECTIONS_MAX];
static uint32_t dirty_count;

static void __attribute__((noreturn))
give_up(const char *what, int error)
{
    fprintf(stderr, "floor: %s: %s\n", what, strerror(error));
    exit(1);
}

/* ------------------------------------------------------------------------------------------------------------ output */

static void
pile_append(struct pile *p, const uint8_t *data, uint32_t size)
{
    if (p->room - p->used < size) {
        uint32_t room = p->room == 0 ? 4096 : p->room;
        while (room < p->used + size) {
            room *= 2;
        }
        p->bytes = realloc(p->bytes, room);
        if (p->bytes == NULL) {
            give_up("memory", ENOMEM);
        }
        p->room = room;
    }
    memcpy(p->bytes + p->used, data, size);
    p->used += size;
}

static void
deliver(struct connection *to, const uint8_t *data, uint32_t size)
{
    pile_append(&to->filling, data, size);
    if (!to->dirty && !to->sending) {
        to->dirty = true;
        dirty[dirty_count++] = to;
    }
}

/* Messages of many publishers meet in one stream, so only whole ones may be copied. */
static void
deliver_whole_messages(struct connection *from, struct connection *to, const uint8_t *data, uint32_t size)
{
    struct pile *partial = &from->partial;
    uint32_t message = from->hello.message_size;

    if (partial->used > 0) {
        uint32_t missing = message - partial->used;
        uint32_t part = size < missing ? size : missing;
        pile_append(partial, data, part);
        data += part;
        size -= part;
        if (partial->used < message) {
            return;
        }
        deliver(to, partial->bytes, message);
        partial->used = 0;
    }
    uint32_t rest = size % message;
    if (size > rest) {
        deliver(to, data, size - rest);
    }
    if (rest > 0) {
        pile_append(partial, data + size - rest, rest);
    }
}

static struct connection *
subscriber_of(uint32_t index)
{
    if (index >= subscriber_count || subscribers[index] == NULL) {
        give_up("a publisher without its subscriber", EPROTO);
    }
    return subscribers[index];
}

static void
relay(struct connection *from, const uint8_t *data, uint32_t size)
{
    switch (from->hello.scenario) {
    case SCENARIO_PAIRS: deliver(subscriber_of(from->hello.index), data, size); break;
    case SCENARIO_FANIN: deliver_whole_messages(from, subscriber_of(0), data, size); break;
    case SCENARIO_FANOUT:
        for (uint32_t i = 0; i < subscriber_count; i++) {
            deliver(subscriber_of(i), data, size);
        }
        break;
    default: give_up("hello with an unknown scenario", EPROTO);
    }
}

/* -------------------------------------------------------------------------------------------------------------- ring */

/* Publishes the prepared entries to the kernel and returns how many it has to take: liburing keeps this step to itself. */
static unsigned
publish_submissions(void)
{
    struct io_uring_sq *sq = &ring.sq;
    unsigned tail = *sq->ktail;

    while (sq->sqe_head != sq->sqe_tail) {
        sq->array[tail++ & sq->ring_mask] = sq->sqe_head++ & sq->ring_mask;
    }
    io_uring_smp_store_release(sq->ktail, tail);
    return tail - *sq->khead;
}

/* One system call per turn: submit, and wait for `count` completions or `min_usec` since then, but for at least one. */
static void
submit_and_wait(unsigned count, unsigned min_usec)
{
    struct io_uring_getevents_arg arg = {.pad = min_usec};
    unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG;

    if ((ring.int_flags & RING_FD_REGISTERED) != 0) {
        flags |= IORING_ENTER_REGISTERED_RING;
    }
    int result = io_uring_enter2((unsigned)ring.enter_ring_fd, publish_submissions(), count, flags, (sigset_t *)&arg, sizeof arg);
    if (result < 0 && result != -EINTR && result != -ETIME) {
        give_up("io_uring_enter", -result);
    }
}

static struct io_uring_sqe *
next_sqe(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

static void
set_tag(struct io_uring_sqe *sqe, enum event event, uint32_t slot)
{
    sqe->user_data = (uint64_t)event << 32 | slot;
}

static void
arm_accept(int listener)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_multishot_accept_direct(sqe, listener, NULL, NULL, 0);
    set_tag(sqe, EVENT_ACCEPTED, (uint32_t)listener);
}

static void
arm_recv(uint32_t slot)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_recv_multishot(sqe, (int)slot, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE;
    sqe->buf_group = 0;
    set_tag(sqe, EVENT_RECEIVED, slot);
}

static void
flush(struct connection *c)
{
    struct pile empty = c->flying;

    empty.used = 0;
    c->dirty = false;
    c->flying = c->filling;
    c->filling = empty;
    c->sending = true;
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_send(sqe, (int)c->slot, c->flying.bytes, c->flying.used, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_FIXED_FILE;
    set_tag(sqe, EVENT_SENT, c->slot);
}

/* ------------------------------------------------------------------------------------------------------------ events */

static void
handle_accepted(const struct io_uring_cqe *cqe)
{
    if (cqe->res < 0) {
        give_up("accept", -cqe->res);
    }
    uint32_t slot = (uint32_t)cqe->res;
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        give_up("memory", ENOMEM);
    }
    c->slot = slot;
    connections[slot] = c;
    arm_recv(slot);
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        arm_accept((int)(uint32_t)cqe->user_data);
    }
}

static void
greet(struct connection *c, const uint8_t *data, uint32_t size)
{
    static const uint8_t welcome = RAW_WELCOME;

    if (size != sizeof c->hello) {
        give_up("a hello in pieces", EPROTO);
    }
    memcpy(&c->hello, data, size);
    c->greeted = true;
    if (c->hello.index >= CONNECTIONS_MAX || c->hello.message_size == 0) {
        give_up("hello", EPROTO);
    }
    if (c->hello.role == RAW_SUBSCRIBER) {
        subscribers[c->hello.index] = c;
        subscriber_count = c->hello.index >= subscriber_count ? c->hello.index + 1 : subscriber_count;
    }
    deliver(c, &welcome, 1);
}

/* A load run is over when its connections end, and they end together: exit, like a broker that is stopped. */
static void
handle_received(const struct io_uring_cqe *cqe)
{
    uint32_t slot = (uint32_t)cqe->user_data;
    struct connection *c = connections[slot];

    if (cqe->res <= 0 && cqe->res != -ENOBUFS) {
        exit(0);
    }
    if (cqe->res > 0) {
        uint16_t buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        uint8_t *data = pool_memory + (size_t)buffer * BUFFER_SIZE;
        if (c->greeted) {
            relay(c, data, (uint32_t)cqe->res);
        } else {
            greet(c, data, (uint32_t)cqe->res);
        }
        io_uring_buf_ring_add(pool, data, BUFFER_SIZE, buffer, BUFFER_COUNT - 1, pool_given++);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        arm_recv(slot);
    }
}

static void
handle_sent(const struct io_uring_cqe *cqe)
{
    struct connection *c = connections[(uint32_t)cqe->user_data];

    if (cqe->res != (int)c->flying.used) {
        exit(0); /* the peer has gone, see above */
    }
    c->sending = false;
    if (c->filling.used > 0) {
        c->dirty = true;
        dirty[dirty_count++] = c;
    }
}

static void
turn(unsigned wait_count, unsigned min_usec)
{
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;

    submit_and_wait(min_usec > 0 ? wait_count : 1, min_usec);
    io_uring_for_each_cqe(&ring, head, cqe) {
        switch ((enum event)(cqe->user_data >> 32)) {
        case EVENT_ACCEPTED: handle_accepted(cqe); break;
        case EVENT_RECEIVED: handle_received(cqe); break;
        case EVENT_SENT: handle_sent(cqe); break;
        }
        seen++;
    }
    io_uring_cq_advance(&ring, seen);
    for (uint32_t i = 0; i < dirty_count; i++) {
        flush(dirty[i]);
    }
    dirty_count = 0;
    io_uring_buf_ring_advance(pool, pool_given);
    pool_given = 0;
}

/* ------------------------------------------------------------------------------------------------------------- start */

static void *
map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (p == MAP_FAILED) {
        give_up("memory", errno);
    }
    return p;
}

static void
open_pool(void)
{
    struct io_uring_buf_reg reg = {.ring_entries = BUFFER_COUNT};

    pool = map(BUFFER_COUNT * sizeof(struct io_uring_buf));
    pool_memory = map((size_t)BUFFER_COUNT * BUFFER_SIZE);
    reg.ring_addr = (uint64_t)(uintptr_t)pool;
    int error = io_uring_register_buf_ring(&ring, &reg, 0);
    if (error != 0) {
        give_up("provided buffers", -error);
    }
    io_uring_buf_ring_init(pool);
    for (unsigned i = 0; i < BUFFER_COUNT; i++) {
        io_uring_buf_ring_add(pool, pool_memory + (size_t)i * BUFFER_SIZE, BUFFER_SIZE, (unsigned short)i, BUFFER_COUNT - 1, (int)i);
    }
    io_uring_buf_ring_advance(pool, BUFFER_COUNT);
}

static void
open_ring(bool bounded_waiting)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_SUBMIT_ALL |
            IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = COMPLETIONS,
    };
    struct rlimit files;

    int error = io_uring_queue_init_params(SUBMISSIONS, &ring, &params);
    if (error != 0) {
        give_up("io_uring", -error);
    }
    if (bounded_waiting && (params.features & FEATURE_MIN_TIMEOUT) == 0) {
        give_up("-m: this kernel has no bounded waiting (6.12)", ENOSYS);
    }
    (void)io_uring_register_ring_fd(&ring); /* cheaper system calls; works without */

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    struct io_uring_rsrc_register table = {
        .nr = files.rlim_cur < CONNECTIONS_MAX ? (uint32_t)files.rlim_cur : CONNECTIONS_MAX,
        .flags = IORING_RSRC_REGISTER_SPARSE,
    };
    error = io_uring_register((unsigned)ring.ring_fd, IORING_REGISTER_FILES2, &table, sizeof table);
    if (error != 0) {
        give_up("direct descriptors", -error);
    }
    open_pool();
}

static int
open_listener(uint16_t port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        give_up("socket", errno);
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* accepted sockets inherit it */
    if (bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0) {
        give_up("listen", errno);
    }
    return fd;
}

int
main(int argc, char **argv)
{
    unsigned port = 0, min_usec = 0, wait_count = 16;
    int option;

    while ((option = getopt(argc, argv, "p:m:q:")) != -1) {
        switch (option) {
        case 'p': port = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'm': min_usec = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'q': wait_count = (unsigned)strtoul(optarg, NULL, 10); break;
        default: return 2;
        }
    }
    if (port == 0 || port > 65535 || wait_count == 0) {
        fprintf(stderr, "usage: floor -p PORT [-m USEC [-q COUNT]]\n");
        return 2;
    }
    open_ring(min_usec > 0);
    arm_accept(open_listener((uint16_t)port));
    for (;;) {
        turn(wait_count, min_usec);
    }
}
