#include "bench/load/client.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Address 127.0.0.1 and up, one for each of --source-addresses in turn. */
static int
bind_source(int fd, const struct client *c)
{
    const struct options *o = c->shared->options;
    int on = 1;
    struct sockaddr_in from = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK + c->index % (uint32_t)o->source_addresses),
    };

    if (o->source_addresses == 1) {
        return 0;
    }
    /* The port is chosen at connect(), when the kernel knows both ends and can use one port towards several brokers. */
    if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) != 0) {
        return -errno;
    }
    return bind(fd, (const struct sockaddr *)&from, sizeof from) == 0 ? 0 : -errno;
}

static int
open_socket(const struct client *c)
{
    int on = 1;
    /* Closing resets: no TIME_WAIT, so that runs can follow each other without running out of ports. */
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    int error = bind_source(fd, c);
    if (error != 0) {
        close(fd);
        return error;
    }
    return fd;
}

static int
take_file(struct client *c, int fd)
{
    if (c->role == CLIENT_PUBLISHER && c->shared->plain_publishers) {
        c->file = (struct loop_file){.number = fd};
        return 0;
    }
    c->file = (struct loop_file){.number = (int)c->tag, .direct = true};
    return loop_adopt(c->shared->loop, fd, c->tag);
}

bool
client_is_at_rest(const struct client *c)
{
    return (c->state == CLIENT_NEW || c->state == CLIENT_CLOSED) && !c->sending && !c->receiving;
}

int
client_open(struct client *c, uint64_t due_ns)
{
    assert(client_is_at_rest(c));
    c->since_ns = due_ns;
    c->came_up = false;
    c->state = CLIENT_NEW;
    int fd = open_socket(c);
    int error = fd < 0 ? fd : take_file(c, fd);
    if (error != 0) {
        return error;
    }
    c->state = CLIENT_CONNECTING;
    loop_connect(c->shared->loop, c->file, &c->shared->to, c->tag);
    return 0;
}

void
client_touch(struct client *c)
{
    if (!c->touched) {
        c->touched = true;
        c->shared->events->touched(c->shared->owner, c);
    }
}

uint8_t *
client_reserve(struct client *c, uint32_t size)
{
    return pile_reserve(&c->filling, size);
}

void
client_wrote(struct client *c, uint32_t size)
{
    c->filling.used += size;
    client_touch(c);
}

static void
set_sending(struct client *c, bool sending)
{
    c->sending = sending;
    if (c->role == CLIENT_PUBLISHER) {
        c->shared->sending = sending ? c->shared->sending + 1 : c->shared->sending - 1;
    }
}

/* What goes to the socket: what has gathered, or what the tunnel makes of it. NULL if that failed. */
static struct pile *
prepare_output(struct client *c)
{
    if (c->tunnel == NULL) {
        return &c->filling;
    }
    if (c->filling.used > 0 && !tunnel_send(c->tunnel, bytes_of(c->filling.bytes, c->filling.used))) {
        client_fail(c, c->tunnel->failure, c->tunnel->detail);
        return NULL;
    }
    c->filling.used = 0;
    return &c->tunnel->wire;
}

void
client_flush(struct client *c)
{
    if (c->sending || c->state == CLIENT_CLOSED) {
        return;
    }
    struct pile *output = prepare_output(c);
    if (output == NULL || output->used == 0) {
        return;
    }
    struct pile empty = c->flying;
    empty.used = 0;
    c->flying = *output;
    *output = empty;
    set_sending(c, true);
    loop_send(c->shared->loop, c->file, c->flying.bytes, c->flying.used, c->tag);
}

void
client_push(struct client *c)
{
    if (c->sending || c->state == CLIENT_CLOSED) {
        return;
    }
    if (c->file.direct) {
        client_flush(c);
        return;
    }
    struct pile *output = prepare_output(c);
    if (output == NULL) {
        return;
    }
    /* A system call per segment, not a submission: several submissions for one socket could overtake each other when it is full. */
    ssize_t sent = send(c->file.number, output->bytes, output->used, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == (ssize_t)output->used) {
        output->used = 0;
        return;
    }
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
        client_fail(c, FAILURE_RESET, errno);
        return;
    }
    if (sent > 0) {
        output->used -= (uint32_t)sent;
        memmove(output->bytes, output->bytes + sent, output->used);
    }
    client_flush(c);
}

void
client_set_greeted(struct client *c)
{
    c->shared->events->greeted(c->shared->owner, c);
}

void
client_subscribe(struct client *c)
{
    assert(c->state == CLIENT_READY);
    c->state = CLIENT_SUBSCRIBING;
    c->shared->protocol->subscribe(c);
}

void
client_set_ready(struct client *c)
{
    c->state = CLIENT_READY;
    c->shared->events->ready(c->shared->owner, c);
}

void
client_close(struct client *c)
{
    if (c->state != CLIENT_NEW && c->state != CLIENT_CLOSED) {
        loop_drop(c->shared->loop, c->file, c->tag);
    }
    c->state = CLIENT_CLOSED;
    tunnel_close(&c->tunnel);
    pile_fini(&c->filling);
    pile_fini(&c->partial);
    inflight_fini(&c->inflight);
    if (!c->sending) {
        pile_fini(&c->flying);
    }
}

void
client_free(struct client *c)
{
    if (c->state != CLIENT_NEW && c->state != CLIENT_CLOSED && !c->file.direct) {
        close(c->file.number);
    }
    tunnel_close(&c->tunnel);
    pile_fini(&c->filling);
    pile_fini(&c->flying);
    pile_fini(&c->partial);
    inflight_fini(&c->inflight);
}

void
client_fail(struct client *c, enum failure_kind kind, int detail)
{
    if (c->state == CLIENT_CLOSED) {
        return;
    }
    enum client_state was = (enum client_state)c->state;
    client_close(c);
    if (was == CLIENT_LEAVING) {
        c->shared->events->left(c->shared->owner, c);
    } else {
        c->shared->events->failed(c->shared->owner, c, kind, detail);
    }
}

void
client_leave(struct client *c)
{
    if (c->state == CLIENT_READY) {
        c->state = CLIENT_LEAVING;
        c->shared->protocol->leave(c);
    } else if (c->state != CLIENT_NEW && c->state != CLIENT_CLOSED && c->state != CLIENT_LEAVING) {
        client_close(c);
    }
}

/* Handles whole packets at the start of `input`; returns how many bytes they were. */
static uint32_t
take_packets(struct client *c, struct bytes input)
{
    uint32_t done = 0;
    while (done < input.size && c->state != CLIENT_CLOSED) {
        uint32_t size = c->shared->protocol->take(c, bytes_of(input.data + done, input.size - done));
        if (size == 0) {
            break;
        }
        done += size;
    }
    return done;
}

static void
handle_bytes(struct client *c, struct bytes input)
{
    if (c->partial.used == 0) {
        uint32_t done = take_packets(c, input);
        if (c->state != CLIENT_CLOSED) {
            pile_append(&c->partial, bytes_of(input.data + done, input.size - done));
        }
        return;
    }
    /* Copying the whole receive behind the partial packet costs one memcpy in a hundred messages, and no second way to parse. */
    pile_append(&c->partial, input);
    uint32_t done = take_packets(c, bytes_of(c->partial.bytes, c->partial.used));
    if (c->state != CLIENT_CLOSED) {
        memmove(c->partial.bytes, c->partial.bytes + done, c->partial.used - done);
        c->partial.used -= done;
    }
}

static void
greet(struct client *c)
{
    c->state = CLIENT_GREETING;
    c->shared->protocol->greet(c);
}

/* What a tunnel says before it ends or fails still counts. */
static void
handle_tunnelled(struct client *c, struct bytes input)
{
    struct bytes mqtt;
    bool good = tunnel_receive(c->tunnel, input, &mqtt);
    enum failure_kind failure = c->tunnel->failure;
    int detail = c->tunnel->detail;

    if (good && c->state == CLIENT_TUNNELLING && c->tunnel->open) {
        greet(c);
    }
    client_touch(c); /* the tunnel may have something to say of its own */
    if (mqtt.size > 0) {
        handle_bytes(c, mqtt);
    }
    if (!good) {
        client_fail(c, failure, detail);
    }
}

static void
arm_recv(struct client *c)
{
    c->receiving = true;
    loop_recv(c->shared->loop, c->file, c->tag);
}

static void
handle_received(struct client *c, const struct loop_event *e)
{
    if (e->result > 0 && c->tunnel != NULL) {
        handle_tunnelled(c, bytes_of(e->data, (uint32_t)e->result));
    } else if (e->result > 0) {
        handle_bytes(c, bytes_of(e->data, (uint32_t)e->result));
    } else if (e->result == 0) {
        client_fail(c, FAILURE_CLOSED, 0);
    } else if (e->result != -ENOBUFS) {
        client_fail(c, FAILURE_RESET, -e->result);
    }
    if (!e->more && c->state != CLIENT_CLOSED) {
        arm_recv(c);
    }
}

static void
handle_sent(struct client *c, const struct loop_event *e)
{
    set_sending(c, false);
    if (c->state == CLIENT_CLOSED) {
        pile_fini(&c->flying);
        return;
    }
    if (e->result != (int)c->flying.used) {
        client_fail(c, FAILURE_RESET, e->result < 0 ? -e->result : EPIPE);
        return;
    }
    client_touch(c);
}

static void
handle_connected(struct client *c, const struct loop_event *e)
{
    if (e->result != 0) {
        client_fail(c, FAILURE_CONNECT, -e->result);
        return;
    }
    arm_recv(c);
    if (c->shared->tunnels == NULL) {
        greet(c);
        return;
    }
    c->state = CLIENT_TUNNELLING;
    c->tunnel = tunnel_open(c->shared->tunnels);
    if (c->tunnel == NULL) {
        client_fail(c, FAILURE_CONNECT, ENOMEM);
        return;
    }
    client_touch(c);
}

void
client_handle(struct client *c, const struct loop_event *e)
{
    if (e->kind == LOOP_RECEIVED && !e->more) {
        c->receiving = false;
    }
    if (c->state == CLIENT_CLOSED && e->kind != LOOP_SENT) {
        return; /* what was still under way when it closed */
    }
    switch (e->kind) {
    case LOOP_CONNECTED: handle_connected(c, e); break;
    case LOOP_RECEIVED: handle_received(c, e); break;
    case LOOP_SENT: handle_sent(c, e); break;
    }
}

void
client_write_role(const struct client *c, char *out, size_t room)
{
    static const char *const names[] = {"publisher", "subscriber", "idle"};
    snprintf(out, room, "%s %u", names[c->role], c->role_index);
}
