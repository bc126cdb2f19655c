#include "engine/io/sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PORT = 1883, EVENTS = 64, LISTENER = 4242 };

static struct io_set *set;
static struct sim *sim;
static struct io *shard[3];
static struct io_event events[EVENTS];

static void
open_world(uint64_t seed, uint32_t sockets_max)
{
    char error[200];
    struct io_options options = {.shard_count = 3, .sockets_max = sockets_max};
    struct io_listener listener = {.port = PORT};
    sim_set_seed(seed);
    set = io_open(&options, error, sizeof error);
    assert_non_null(set);
    sim = sim_of(set);
    for (unsigned i = 0; i < 3; i++) {
        shard[i] = io_of_shard(set, i);
        assert_int_equal(io_enter(shard[i]), 0);
        assert_int_equal(io_listen(shard[i], &listener, LISTENER, error, sizeof error), 0);
        assert_int_equal(io_listen_begin(shard[i]), 0);
    }
}

static int
open_default_world(void **state)
{
    (void)state;
    open_world(1, 1000);
    return 0;
}

static int
close_world(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        io_leave(shard[i]);
    }
    io_close_all(set);
    set = NULL;
    return 0;
}

static unsigned
wait_at(unsigned at)
{
    return io_wait(shard[at], UINT64_MAX, 0, events, EVENTS);
}

/* Waits, and expects exactly one event of this type. */
static struct io_event
expect_event(unsigned at, enum io_event_type type)
{
    assert_int_equal(wait_at(at), 1);
    assert_int_equal(events[0].type, type);
    return events[0];
}

static void
expect_nothing(unsigned at)
{
    assert_int_equal(wait_at(at), 0);
}

/* A connection that shard 0 has accepted, with token 7. */
static sim_connection
connect_client(io_socket *socket)
{
    sim_connection c = sim_connect(sim, PORT, 0);
    assert_int_not_equal(c, SIM_CONNECTION_NONE);
    struct io_event event = expect_event(0, IO_ACCEPTED);
    assert_int_equal(event.token, LISTENER);
    assert_int_equal(event.peer->ss_family, AF_INET);
    *socket = event.socket;
    io_set_token(shard[0], *socket, 7);
    return c;
}

static uint8_t
byte_at(uint64_t position)
{
    return (uint8_t)(position * 2654435761u >> 13);
}

static void
fill(uint8_t *out, uint32_t size, uint64_t position)
{
    for (uint32_t i = 0; i < size; i++) {
        out[i] = byte_at(position + i);
    }
}

static void
check_bytes(const uint8_t *bytes, uint32_t size, uint64_t position)
{
    for (uint32_t i = 0; i < size; i++) {
        if (bytes[i] != byte_at(position + i)) {
            fail_msg("byte %llu is wrong", (unsigned long long)(position + i));
        }
    }
}

/* ---------------------------------------------------------------------------------------------------- time and listeners */

static void
time_starts_at_a_second_and_moves_by_hand(void **state)
{
    (void)state;
    assert_int_equal(sim_now_ns(sim), 1000000000);
    assert_int_equal(io_now_ns(shard[1]), 1000000000);
    uint64_t wall = io_wall_ms(shard[1]);
    sim_advance(sim, 5000000);
    assert_int_equal(io_clock_ns(shard[1]), 1005000000);
    assert_int_equal(io_now_ns(shard[1]), 1000000000); /* as of the last io_wait */
    expect_nothing(1);
    assert_int_equal(io_now_ns(shard[1]), 1005000000);
    assert_int_equal(io_wall_ms(shard[1]), wall + 5);
}

static void
nobody_listens_nobody_connects(void **state)
{
    (void)state;
    assert_int_equal(sim_connect(sim, PORT + 1, -1), SIM_CONNECTION_NONE);
    io_listen_stop(shard[2]);
    assert_int_equal(sim_connect(sim, PORT, 2), SIM_CONNECTION_NONE);
    for (int i = 0; i < 50; i++) {
        assert_int_not_equal(sim_connect(sim, PORT, -1), SIM_CONNECTION_NONE);
    }
    expect_nothing(2);
    assert_int_equal(wait_at(0) + wait_at(1), 50);
}

static void
full_shards_refuse_and_go_on_when_a_slot_is_free(void **state)
{
    (void)state;
    open_world(1, 2);
    io_socket first, second;
    connect_client(&first);
    connect_client(&second);
    sim_connection third = sim_connect(sim, PORT, 0);
    struct io_event event = expect_event(0, IO_ACCEPT_FAILED);
    assert_int_equal(event.token, LISTENER);
    assert_int_equal(event.result, -ENFILE);
    assert_true(sim_finished(sim, third));
    io_close(shard[0], first);
    expect_event(0, IO_CLOSED);
    io_socket again;
    connect_client(&again);
    assert_int_equal(again, first); /* slots are reused */
    assert_int_equal(sim_broker_sockets(sim), 2);
    close_world(NULL);
}

/* ----------------------------------------------------------------------------------------------------------------- receive */

static void
receive_once_gives_one_event(void **state)
{
    (void)state;
    io_socket socket;
    sim_connection c = connect_client(&socket);
    sim_write(sim, c, "abc", 3);
    expect_nothing(0); /* nobody asked for it */
    io_receive_once(shard[0], socket);
    struct io_event event = expect_event(0, IO_RECEIVED);
    assert_int_equal(event.token, 7);
    assert_int_equal(event.result, 3);
    assert_memory_equal(event.data, "abc", 3);
    sim_write(sim, c, "def", 3);
    expect_nothing(0);
    io_receive_once(shard[0], socket);
    assert_memory_equal(expect_event(0, IO_RECEIVED).data, "def", 3);
}

static void
events_carry_at_most_4096_bytes_and_last_until_the_next_wait(void **state)
{
    (void)state;
    static uint8_t bytes[20000];
    io_socket socket;
    sim_connection c = connect_client(&socket);
    fill(bytes, sizeof bytes, 0);
    io_receive(shard[0], socket);
    sim_write(sim, c, bytes, sizeof bytes);
    memset(bytes, 0, sizeof bytes);
    unsigned count = wait_at(0);
    sim_free(sim, c); /* even then */
    uint64_t position = 0;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(events[i].type, IO_RECEIVED);
        assert_in_range(events[i].result, 1, 4096);
        check_bytes(events[i].data, (uint32_t)events[i].result, position);
        position += (uint64_t)events[i].result;
    }
    assert_int_equal(position, sizeof bytes);
}

static void
a_stopped_receive_holds_the_bytes_until_it_goes_on(void **state)
{
    (void)state;
    io_socket socket;
    sim_connection c = connect_client(&socket);
    io_receive(shard[0], socket);
    io_receive_stop(shard[0], socket);
    sim_write(sim, c, "x", 1);
    expect_nothing(0);
    io_receive(shard[0], socket);
    assert_int_equal(expect_event(0, IO_RECEIVED).result, 1);
}

static void
finish_is_seen_after_the_bytes_and_then_nothing(void **state)
{
    (void)state;
    io_socket socket;
    sim_connection c = connect_client(&socket);
    io_receive(shard[0], socket);
    sim_write(sim, c, "bye", 3);
    sim_finish(sim, c);
    assert_int_equal(wait_at(0), 2);
    assert_int_equal(events[0].result, 3);
    assert_int_equal(events[1].type, IO_RECEIVED);
    assert_int_equal(events[1].result, 0);
    io_receive(shard[0], socket);
    expect_nothing(0);
    io_send(shard[0], socket, "ok", 2); /* the other direction lives */
    assert_int_equal(expect_event(0, IO_SENT).result, 2);
    assert_int_equal(sim_readable(sim, c), 2);
}

/* -------------------------------------------------------------------------------------------------------------------- send */

static void
a_stuck_reader_holds_the_send_under_way(void **state)
{
    (void)state;
    static uint8_t bytes[200000], got[sizeof bytes];
    io_socket socket;
    sim_connection c = connect_client(&socket);
    fill(bytes, sizeof bytes, 0);
    sim_set_stuck(sim, c, true);
    io_send(shard[0], socket, bytes, sizeof bytes);
    expect_nothing(0);
    assert_int_equal(sim_readable(sim, c), 0);
    assert_int_equal(sim_read(sim, c, got, sizeof got), 0);
    sim_set_stuck(sim, c, false);
    assert_int_equal(sim_readable(sim, c), 65536);
    uint32_t size = 0, waits = 0;
    while (size < sizeof bytes) {
        size += sim_read(sim, c, got + size, sizeof got - size);
        if (wait_at(0) == 1) {
            assert_int_equal(events[0].type, IO_SENT);
            assert_int_equal(events[0].result, sizeof bytes);
            waits++;
        }
    }
    assert_int_equal(waits, 1);
    check_bytes(got, sizeof got, 0);
    expect_nothing(0);
}

static void
pipe_size_bounds_what_the_network_takes(void **state)
{
    (void)state;
    sim_set_faults(sim, &(struct sim_faults){.pipe_size = 10});
    io_socket socket;
    sim_connection c = connect_client(&socket);
    io_send(shard[0], socket, "0123456789abcde", 15);
    expect_nothing(0);
    char got[20];
    assert_int_equal(sim_read(sim, c, got, 4), 4);
    expect_nothing(0);
    assert_int_equal(sim_read(sim, c, got + 4, 16), 10);
    assert_int_equal(expect_event(0, IO_SENT).result, 15);
    assert_int_equal(sim_read(sim, c, got + 14, 6), 1);
    assert_memory_equal(got, "0123456789abcde", 15);
}

static void
shutdown_ends_the_stream_after_the_send_under_way(void **state)
{
    (void)state;
    static uint8_t bytes[100000], got[sizeof bytes];
    io_socket socket;
    sim_connection c = connect_client(&socket);
    io_receive(shard[0], socket);
    io_send(shard[0], socket, bytes, sizeof bytes);
    io_shutdown(shard[0], socket);
    expect_nothing(0);
    assert_false(sim_finished(sim, c));
    uint32_t size = 0;
    for (int i = 0; i < 5; i++) {
        size += sim_read(sim, c, got, sizeof got);
    }
    assert_int_equal(size, sizeof bytes);
    assert_true(sim_finished(sim, c));
    sim_write(sim, c, "still", 5); /* receiving goes on */
    assert_int_equal(wait_at(0), 2);
}

/* ----------------------------------------------------------------------------------------------------------- reset and close */

static void
a_reset_is_seen_as_econnreset_and_bytes_are_lost(void **state)
{
    (void)state;
    io_socket socket;
    sim_connection c = connect_client(&socket);
    io_receive(shard[0], socket);
    sim_write(sim, c, "lost", 4);
    sim_reset(sim, c);
    assert_int_equal(expect_event(0, IO_RECEIVED).result, -ECONNRESET);
    expect_nothing(0);
    io_send(shard[0], socket, "x", 1);
    assert_int_equal(expect_event(0, IO_SENT).result, -EPIPE);
    io_close(shard[0], socket);
    expect_event(0, IO_CLOSED);
    sim_free(sim, c);
    assert_int_equal(sim_broker_sockets(sim), 0);
}

static void
a_reset_breaks_the_send_under_way(void **state)
{
    (void)state;
    static uint8_t bytes[100000];
    io_socket socket;
    sim_connection c = connect_client(&socket);
    io_send(shard[0], socket, bytes, sizeof bytes);
    expect_nothing(0);
    sim_free(sim, c);
    assert_int_equal(expect_event(0, IO_SENT).result, -ECONNRESET);
    io_close(shard[0], socket);
    expect_event(0, IO_CLOSED);
}

static void
close_tells_closed_once_and_nothing_else(void **state)
{
    (void)state;
    io_socket socket;
    sim_connection c = connect_client(&socket);
    io_receive(shard[0], socket);
    sim_write(sim, c, "unread", 6);
    char *bytes = malloc(100000);
    memset(bytes, 1, 100000);
    io_send(shard[0], socket, bytes, 100000);
    io_close(shard[0], socket);
    struct io_event event = expect_event(0, IO_CLOSED);
    assert_int_equal(event.socket, socket);
    assert_int_equal(event.token, 7);
    free(bytes);
    for (int i = 0; i < 3; i++) {
        expect_nothing(0);
        sim_write(sim, c, "to nobody", 9);
    }
    assert_true(sim_finished(sim, c));
    assert_int_equal(sim_broker_sockets(sim), 0);
}

static void
what_was_sent_before_the_close_arrives(void **state)
{
    (void)state;
    sim_set_faults(sim, &(struct sim_faults){.delay_ns_max = 1000, .fragment_percent = 50});
    sim_connection c = sim_connect(sim, PORT, 0);
    sim_advance(sim, 1000);
    io_socket socket = expect_event(0, IO_ACCEPTED).socket;
    io_send(shard[0], socket, "goodbye", 7);
    assert_int_equal(expect_event(0, IO_SENT).result, 7);
    io_close(shard[0], socket);
    sim_advance(sim, 3000);
    expect_event(0, IO_CLOSED);
    char got[10];
    assert_false(sim_finished(sim, c));
    assert_int_equal(sim_read(sim, c, got, sizeof got), 7);
    assert_memory_equal(got, "goodbye", 7);
    assert_true(sim_finished(sim, c));
}

static void
leaving_closes_everything(void **state)
{
    (void)state;
    io_socket socket;
    sim_connection first = connect_client(&socket);
    sim_connection waiting = sim_connect(sim, PORT, 0);
    io_leave(shard[0]);
    assert_true(sim_finished(sim, first));
    assert_true(sim_finished(sim, waiting));
    assert_int_equal(sim_broker_sockets(sim), 0);
    assert_int_equal(sim_connect(sim, PORT, 0), SIM_CONNECTION_NONE);
}

/* -------------------------------------------------------------------------------------------------------- between shards */

static void
a_socket_moves_with_its_bytes(void **state)
{
    (void)state;
    io_socket socket;
    sim_connection c = connect_client(&socket);
    io_receive_once(shard[0], socket);
    sim_write(sim, c, "connect", 7);
    expect_event(0, IO_RECEIVED);
    io_move(shard[0], socket, 2, 99);
    sim_write(sim, c, "early", 5);
    assert_false(sim_ready(sim, 0));
    assert_true(sim_ready(sim, 2));
    expect_nothing(0); /* no IO_CLOSED */
    struct io_event event = expect_event(2, IO_MOVED);
    assert_int_equal(event.token, 99);
    io_set_token(shard[2], event.socket, 100);
    io_receive(shard[2], event.socket);
    event = expect_event(2, IO_RECEIVED);
    assert_int_equal(event.token, 100);
    assert_memory_equal(event.data, "early", 5);
}

static void
a_move_to_a_full_shard_fails_at_the_sender(void **state)
{
    (void)state;
    open_world(1, 1);
    io_socket socket;
    sim_connection c = connect_client(&socket);
    sim_connect(sim, PORT, 1);
    expect_event(1, IO_ACCEPTED);
    io_move(shard[0], socket, 1, 55);
    expect_nothing(1); /* shard 1 tells its engine nothing */
    assert_int_equal(expect_event(0, IO_MOVE_FAILED).token, 55);
    assert_true(sim_finished(sim, c));
    assert_int_equal(sim_broker_sockets(sim), 1);
    close_world(NULL);
}

static void
a_wake_makes_the_shard_ready_for_one_wait(void **state)
{
    (void)state;
    assert_false(sim_ready(sim, 1));
    io_wake(shard[0], 1);
    assert_true(sim_ready(sim, 1));
    expect_nothing(1);
    assert_false(sim_ready(sim, 1));
    io_interrupt(shard[1]);
    assert_true(sim_ready(sim, 1));
    assert_false(sim_ready(sim, 2));
}

/* ------------------------------------------------------------------------------------------------------------------ faults */

static void
delays_show_in_next_and_nothing_comes_early(void **state)
{
    (void)state;
    io_socket socket;
    sim_connection c = connect_client(&socket);
    io_receive(shard[0], socket);
    assert_int_equal(sim_next_ns(sim), UINT64_MAX);
    sim_set_faults(sim, &(struct sim_faults){.delay_ns_max = 1000000});
    sim_write(sim, c, "later", 5);
    uint64_t due = sim_next_ns(sim);
    assert_in_range(due, sim_now_ns(sim) + 1, sim_now_ns(sim) + 1000000);
    sim_advance(sim, due - sim_now_ns(sim) - 1);
    expect_nothing(0);
    sim_advance(sim, 1);
    assert_int_equal(expect_event(0, IO_RECEIVED).result, 5);
    assert_int_equal(sim_next_ns(sim), UINT64_MAX);
    sim_write(sim, c, "never", 5);
    sim_reset(sim, c);
    assert_int_equal(sim_next_ns(sim), UINT64_MAX);
}

/* The broker echoes; both directions are checked byte by byte. Returns a fingerprint of everything that happened. */
static uint64_t
run_echo(uint64_t seed)
{
    enum { CLIENTS = 5, TOTAL = 60000 };
    static uint8_t pending[CLIENTS][TOTAL], buffer[TOTAL];
    uint64_t written[CLIENTS] = {0}, echoed[CLIENTS] = {0}, read[CLIENTS] = {0};
    uint32_t sending[CLIENTS] = {0}, received[CLIENTS] = {0};
    sim_connection c[CLIENTS];
    io_socket socket[CLIENTS];
    uint64_t trace = 14695981039346656037u;
    unsigned pieces = 0;

    open_world(seed, 100);
    for (int i = 0; i < CLIENTS; i++) {
        c[i] = connect_client(&socket[i]);
        io_set_token(shard[0], socket[i], (uint64_t)i);
        io_receive(shard[0], socket[i]);
    }
    sim_set_faults(sim, &(struct sim_faults){.delay_ns_max = 50000, .fragment_percent = 40, .pipe_size = 3000});
    for (unsigned step = 0;; step++) {
        bool done = true;
        for (int i = 0; i < CLIENTS; i++) {
            uint32_t size = (uint32_t)(sim_random(sim) % 400);
            size = size < TOTAL - written[i] ? size : (uint32_t)(TOTAL - written[i]);
            fill(buffer, size, written[i] + (uint64_t)i);
            sim_write(sim, c[i], buffer, size);
            written[i] += size;
            size = sim_read(sim, c[i], buffer, (uint32_t)(sim_random(sim) % 1000));
            check_bytes(buffer, size, read[i] + (uint64_t)i);
            read[i] += size;
            done = done && read[i] == TOTAL;
        }
        if (done) {
            break;
        }
        unsigned count = wait_at(0);
        for (unsigned e = 0; e < count; e++) {
            unsigned i = (unsigned)events[e].token;
            trace = (trace ^ (events[e].type + 16u * i + 4096u * (unsigned)events[e].result) ^ sim_now_ns(sim)) * 1099511628211u;
            if (events[e].type == IO_RECEIVED) {
                assert_in_range(events[e].result, 1, 4096);
                memcpy(pending[i] + received[i], events[e].data, (size_t)events[e].result);
                received[i] += (uint32_t)events[e].result;
                pieces++;
            } else {
                assert_int_equal(events[e].type, IO_SENT);
                assert_int_equal(events[e].result, sending[i]);
                echoed[i] += sending[i];
                sending[i] = 0;
            }
            if (sending[i] == 0 && received[i] > echoed[i]) {
                sending[i] = received[i] - (uint32_t)echoed[i];
                io_send(shard[0], socket[i], pending[i] + echoed[i], sending[i]);
            }
        }
        assert_true(step < 1000000);
        sim_advance(sim, sim_random(sim) % 20000);
    }
    assert_true(pieces > 200);
    close_world(NULL);
    return trace;
}

static void
bytes_stay_in_order_under_fragments_and_delay(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        run_echo(seed);
    }
}

static void
equal_seeds_give_equal_runs(void **state)
{
    (void)state;
    assert_true(run_echo(77) == run_echo(77));
    assert_true(run_echo(77) != run_echo(78));
}

static void
random_bytes_come_from_the_seed(void **state)
{
    (void)state;
    uint8_t bytes[4][13];
    for (int i = 0; i < 3; i++) {
        open_world(i == 2 ? 6 : 5, 10);
        io_random(shard[0], bytes[i], sizeof bytes[i]);
        io_random(shard[1], bytes[3], sizeof bytes[3]);
        assert_memory_not_equal(bytes[i], bytes[3], sizeof bytes[i]);
        close_world(NULL);
    }
    assert_memory_equal(bytes[0], bytes[1], sizeof bytes[0]);
    assert_memory_not_equal(bytes[0], bytes[2], sizeof bytes[0]);
}

/* ------------------------------------------------------------------------ a hostile world against the promises of io.h */

enum { SLOTS = 40 };

struct seen {
    bool open, closing, sending, ended;
    int receive; /* 0 off, 1 once, 2 on, 3 stopped: may give some more */
    uint64_t token;
    uint8_t *bytes;
};

static struct seen book[3][SLOTS];
static uint64_t last_token;

static void
check_event(unsigned at, const struct io_event *event, unsigned target)
{
    struct seen *s = &book[at][event->socket];
    if (event->type == IO_ACCEPTED || event->type == IO_MOVED) {
        assert_false(s->open);
        *s = (struct seen){.open = true, .token = ++last_token};
        io_set_token(shard[at], event->socket, s->token);
        return;
    }
    assert_true(s->open);
    assert_int_equal(event->token, s->token);
    if (event->type == IO_SENT) {
        assert_true(s->sending);
        s->sending = false;
        free(s->bytes);
        s->bytes = NULL;
    } else if (event->type == IO_CLOSED) {
        assert_true(s->closing);
        free(s->bytes);
        *s = (struct seen){0};
    } else {
        assert_int_equal(event->type, IO_RECEIVED);
        assert_false(s->closing || s->ended || s->receive == 0);
        s->ended = event->result <= 0;
        bool once = s->receive == 1;
        s->receive = once ? 0 : s->receive;
        if (once && !s->ended && !s->sending && sim_random(sim) % 3 == 0) {
            s->open = false;
            io_move(shard[at], event->socket, target, 1);
        }
    }
}

static void
act_on(unsigned at, io_socket socket)
{
    struct seen *s = &book[at][socket];
    if (!s->open || s->closing) {
        return;
    }
    switch (sim_random(sim) % 20) {
    case 0:
        io_close(shard[at], socket);
        s->closing = true;
        break;
    case 1:
        io_shutdown(shard[at], socket); /* later sends end in -EPIPE */
        break;
    case 2:
    case 3:
    case 4:
        if (!s->sending) {
            uint32_t size = 1 + (uint32_t)(sim_random(sim) % 3000);
            s->bytes = calloc(1, size);
            s->sending = true;
            io_send(shard[at], socket, s->bytes, size);
        }
        break;
    case 5:
    case 6:
        if (s->receive == 0) {
            io_receive_once(shard[at], socket);
            s->receive = 1;
        }
        break;
    case 7:
    case 8:
        io_receive(shard[at], socket);
        s->receive = 2;
        break;
    case 9:
        if (s->receive == 2) {
            io_receive_stop(shard[at], socket);
            s->receive = 3;
        }
        break;
    default: break;
    }
}

struct client {
    sim_connection c;
    bool finished; /* sends no more */
};

static void
client_acts(struct client *client)
{
    static uint8_t bytes[6000];
    sim_connection c = client->c;
    if (c == SIM_CONNECTION_NONE) {
        *client = (struct client){.c = sim_connect(sim, PORT, -1)};
        return;
    }
    switch (sim_random(sim) % 40) {
    case 0:
        sim_reset(sim, c);
        client->finished = true;
        break;
    case 1:
        sim_free(sim, c);
        client->c = SIM_CONNECTION_NONE;
        return;
    case 2:
        sim_finish(sim, c);
        client->finished = true;
        break;
    case 3: sim_set_stuck(sim, c, sim_random(sim) % 2 == 0); break;
    default: sim_read(sim, c, bytes, (uint32_t)(sim_random(sim) % sizeof bytes)); break;
    }
    if (!client->finished && sim_random(sim) % 3 == 0) {
        sim_write(sim, c, bytes, 1 + (uint32_t)(sim_random(sim) % 2000));
    }
}

static void
turn(unsigned at)
{
    unsigned count = wait_at(at);
    for (unsigned e = 0; e < count; e++) {
        if (events[e].type == IO_ACCEPT_FAILED || events[e].type == IO_MOVE_FAILED) {
            continue;
        }
        check_event(at, &events[e], (at + 1 + (unsigned)(sim_random(sim) % 2)) % 3);
    }
    for (io_socket i = 0; i < SLOTS; i++) {
        if (sim_random(sim) % 4 == 0) {
            act_on(at, i);
        }
    }
}

static void
close_what_is_open(unsigned at)
{
    for (io_socket i = 0; i < SLOTS; i++) {
        if (book[at][i].open && !book[at][i].closing) {
            io_close(shard[at], i);
            book[at][i].closing = true;
        }
    }
}

static bool
anyone_ready(void)
{
    return sim_ready(sim, 0) || sim_ready(sim, 1) || sim_ready(sim, 2);
}

static void
run_hostile(uint64_t seed)
{
    enum { CLIENTS = 100 };
    struct client clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.c = SIM_CONNECTION_NONE};
    }
    memset(book, 0, sizeof book);
    open_world(seed, SLOTS);
    sim_set_faults(sim, &(struct sim_faults){.delay_ns_max = 30000, .fragment_percent = 30, .pipe_size = 2000});
    for (int step = 0; step < 1500; step++) {
        for (int n = 0; n < 10; n++) {
            client_acts(&clients[sim_random(sim) % CLIENTS]);
        }
        turn(step % 3);
        sim_advance(sim, sim_random(sim) % 5000);
    }
    for (unsigned i = 0; i < 3; i++) {
        io_listen_stop(shard[i]);
    }
    while (anyone_ready() || sim_next_ns(sim) != UINT64_MAX) {
        for (unsigned i = 0; i < 3; i++) {
            unsigned count = wait_at(i);
            for (unsigned e = 0; e < count; e++) {
                if (events[e].type != IO_ACCEPT_FAILED && events[e].type != IO_MOVE_FAILED) {
                    check_event(i, &events[e], (i + 1) % 3);
                }
            }
            close_what_is_open(i);
        }
        if (!anyone_ready() && sim_next_ns(sim) != UINT64_MAX) {
            sim_advance(sim, sim_next_ns(sim) - sim_now_ns(sim));
        }
    }
    assert_int_equal(sim_broker_sockets(sim), 0);
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i].c != SIM_CONNECTION_NONE) {
            sim_free(sim, clients[i].c);
        }
    }
    close_world(NULL);
}

static void
a_hostile_world_keeps_the_promises_of_io(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        run_hostile(seed);
    }
}

static unsigned work_done;

static void
count_work(void *argument)
{
    work_done += *(unsigned *)argument;
}

static void
work_is_done_later_and_told_and_what_is_left_is_given_back(void **state)
{
    (void)state;
    unsigned one = 1, ten = 10;
    work_done = 0;
    assert_true(io_work(shard[0], IO_WORK_HASH, count_work, &one));
    assert_int_equal(work_done, 0);
    assert_int_equal(io_wait(shard[0], 0, 0, events, EVENTS), 1);
    assert_int_equal(events[0].type, IO_WORKED);
    assert_ptr_equal((void *)(uintptr_t)events[0].token, &one);
    assert_int_equal(work_done, 1);

    sim_set_faults(sim, &(struct sim_faults){.delay_ns_max = 1000000});
    for (unsigned i = 0; i < 5; i++) {
        assert_true(io_work(shard[0], IO_WORK_HASH, count_work, &ten));
    }
    io_leave(shard[0]);
    for (unsigned i = 0; i < 5; i++) {
        assert_ptr_equal(io_work_end(shard[0]), &ten);
    }
    assert_null(io_work_end(shard[0]));
    assert_int_equal(work_done, 1);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_default_world, close_world)

static void
a_path_is_listened_on_as_a_port_is(void **state)
{
    (void)state;
    char error[128];
    struct io_listener listener = {.path = "/run/a.socket"};
    assert_int_equal(sim_connect_path(sim, "/run/a.socket", 1), SIM_CONNECTION_NONE);
    assert_int_equal(io_listen(shard[1], &listener, 5, error, sizeof error), 0);
    assert_int_equal(sim_connect_path(sim, "/run/a.socket", 1), SIM_CONNECTION_NONE); /* not yet */
    assert_int_equal(io_listen_begin(shard[1]), 0);
    assert_int_equal(sim_connect_path(sim, "/run/b.socket", -1), SIM_CONNECTION_NONE);
    assert_int_not_equal(sim_connect_path(sim, "/run/a.socket", -1), SIM_CONNECTION_NONE);
    struct io_event event = expect_event(1, IO_ACCEPTED);
    assert_int_equal(event.token, 5);
    assert_int_equal(event.peer->ss_family, AF_UNIX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_WORLD(time_starts_at_a_second_and_moves_by_hand),
        IN_WORLD(nobody_listens_nobody_connects),
        IN_WORLD(a_path_is_listened_on_as_a_port_is),
        cmocka_unit_test(full_shards_refuse_and_go_on_when_a_slot_is_free),
        IN_WORLD(receive_once_gives_one_event),
        IN_WORLD(events_carry_at_most_4096_bytes_and_last_until_the_next_wait),
        IN_WORLD(a_stopped_receive_holds_the_bytes_until_it_goes_on),
        IN_WORLD(finish_is_seen_after_the_bytes_and_then_nothing),
        IN_WORLD(a_stuck_reader_holds_the_send_under_way),
        IN_WORLD(pipe_size_bounds_what_the_network_takes),
        IN_WORLD(shutdown_ends_the_stream_after_the_send_under_way),
        IN_WORLD(a_reset_is_seen_as_econnreset_and_bytes_are_lost),
        IN_WORLD(a_reset_breaks_the_send_under_way),
        IN_WORLD(close_tells_closed_once_and_nothing_else),
        IN_WORLD(what_was_sent_before_the_close_arrives),
        IN_WORLD(leaving_closes_everything),
        IN_WORLD(a_socket_moves_with_its_bytes),
        cmocka_unit_test(a_move_to_a_full_shard_fails_at_the_sender),
        IN_WORLD(a_wake_makes_the_shard_ready_for_one_wait),
        IN_WORLD(work_is_done_later_and_told_and_what_is_left_is_given_back),
        IN_WORLD(delays_show_in_next_and_nothing_comes_early),
        cmocka_unit_test(bytes_stay_in_order_under_fragments_and_delay),
        cmocka_unit_test(equal_seeds_give_equal_runs),
        cmocka_unit_test(random_bytes_come_from_the_seed),
        cmocka_unit_test(a_hostile_world_keeps_the_promises_of_io),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
