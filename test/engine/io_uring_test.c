/*
 * io.h over real loopback connections. One-shard tests run the shard in the test's own thread and play the clients beside it;
 * tests of two shards give the second one a thread.
 */
#include "engine/io/io.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* cmocka.h needs the five standard headers above it. */
#include <cmocka.h>

#define MS UINT64_C(1000000)
#define PATIENCE_MS 5000 /* how long anything that must happen may take; generous for sanitizers and a busy machine */
#define QUIET_MS 60      /* how long nothing must happen */
#define LISTENER_TOKEN 77

static struct io_set *set;
static struct io *io; /* shard 0, entered by the test's thread */
static uint16_t port;

/* ------------------------------------------------------------------------------------------------------ the stage */

static uint16_t
free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static void
listen_on(struct io *shard, const char *host)
{
    char error[256] = "";
    struct io_listener listener = {.host = host, .port = port};
    if (io_listen(shard, &listener, LISTENER_TOKEN, error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
    assert_int_equal(io_listen_begin(shard), 0);
}

static void
open_stage(struct io_options options)
{
    char error[256] = "";
    set = io_open(&options, error, sizeof error);
    if (set == NULL) {
        fail_msg("%s", error);
    }
    io = io_of_shard(set, 0);
    port = free_port();
    listen_on(io, "127.0.0.1");
    assert_int_equal(io_enter(io), 0);
}

static void
open_simple_stage(void)
{
    open_stage((struct io_options){.shard_count = 1, .sockets_max = 64});
}

static void
close_stage(void)
{
    io_leave(io);
    io_close_all(set);
    set = NULL;
    io = NULL;
}

/* The next event of a shard, within `ms`. Its borrowed parts last until the next call. */
static bool
event_within(struct io *shard, unsigned ms, struct io_event *event)
{
    uint64_t deadline = io_clock_ns(shard) + ms * MS;
    for (uint64_t now = io_clock_ns(shard); now < deadline; now = io_clock_ns(shard)) {
        if (io_wait(shard, deadline - now, 0, event, 1) == 1) {
            return true;
        }
    }
    return false;
}

static struct io_event
expect(enum io_event_type type)
{
    struct io_event event;
    if (!event_within(io, PATIENCE_MS, &event)) {
        fail_msg("no event %d came", type);
    }
    if (event.type != type) {
        fail_msg("event %d (result %d) came instead of %d", event.type, event.result, type);
    }
    return event;
}

static void
expect_nothing(void)
{
    struct io_event event;
    if (event_within(io, QUIET_MS, &event)) {
        fail_msg("event %d (result %d) came", event.type, event.result);
    }
}

static int
connect_client(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* A client and the engine's end of its connection. */
static io_socket
connect_pair(int *client)
{
    *client = connect_client();
    return expect(IO_ACCEPTED).socket;
}

static void
client_write(int client, const void *data, size_t size)
{
    assert_int_equal(send(client, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Reads exactly `size` bytes. */
static void
client_read(int client, void *out, size_t size)
{
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(recv(client, out, size, MSG_WAITALL), (ssize_t)size);
}

static void
client_sees_end(int client)
{
    char byte;
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(recv(client, &byte, 1, 0), 0);
}

/* Closes with a reset. */
static void
client_reset(int client)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(client);
}

static void
close_and_expect(io_socket socket)
{
    io_close(io, socket);
    assert_int_equal(expect(IO_CLOSED).socket, socket);
}

static unsigned
open_descriptors(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* ------------------------------------------------------------------------------------------------------ one shard */

static void
accepted_event_names_listener_and_peer(void **state)
{
    (void)state;
    open_simple_stage();
    int client = connect_client();
    struct sockaddr_in local;
    socklen_t size = sizeof local;
    getsockname(client, (struct sockaddr *)&local, &size);

    struct io_event event = expect(IO_ACCEPTED);
    assert_int_equal(event.token, LISTENER_TOKEN);
    const struct sockaddr_in *peer = (const struct sockaddr_in *)event.peer;
    assert_int_equal(peer->sin_family, AF_INET);
    assert_int_equal(peer->sin_port, local.sin_port);
    assert_int_equal(peer->sin_addr.s_addr, local.sin_addr.s_addr);

    close(client);
    close_stage();
}

static void
listener_takes_connections_of_both_families(void **state)
{
    (void)state;
    open_stage((struct io_options){.shard_count = 1, .sockets_max = 64});
    io_listen_stop(io);
    listen_on(io, NULL);
    close(connect_client());
    assert_int_equal(expect(IO_ACCEPTED).peer->ss_family, AF_INET);

    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        assert_int_equal(expect(IO_ACCEPTED).peer->ss_family, AF_INET6);
    }
    close(fd);
    close_stage();
}

static void
many_clients_are_all_accepted(void **state)
{
    (void)state;
    open_simple_stage();
    int clients[50];
    for (unsigned i = 0; i < 50; i++) {
        clients[i] = connect_client();
    }
    bool seen[64] = {false};
    for (unsigned i = 0; i < 50; i++) {
        io_socket socket = expect(IO_ACCEPTED).socket;
        assert_true(socket < 64 && !seen[socket]);
        seen[socket] = true;
    }
    for (unsigned i = 0; i < 50; i++) {
        close(clients[i]);
    }
    close_stage();
}

static void
token_comes_back_with_every_event(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    io_set_token(io, socket, 0xfedcba9876543210);
    io_receive(io, socket);
    io_send(io, socket, "x", 1);
    client_write(client, "y", 1);
    for (unsigned i = 0; i < 2; i++) {
        struct io_event event;
        assert_true(event_within(io, PATIENCE_MS, &event));
        assert_int_equal(event.token, 0xfedcba9876543210);
    }
    io_close(io, socket);
    assert_int_equal(expect(IO_CLOSED).token, 0xfedcba9876543210);
    close(client);
    close_stage();
}

static void
receive_once_gives_one_event_then_waits(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    io_receive_once(io, socket);
    client_write(client, "first", 5);
    struct io_event event = expect(IO_RECEIVED);
    assert_int_equal(event.result, 5);
    assert_memory_equal(event.data, "first", 5);

    client_write(client, "second", 6);
    expect_nothing();
    io_receive(io, socket);
    event = expect(IO_RECEIVED);
    assert_memory_equal(event.data, "second", 6);
    close(client);
    close_stage();
}

static void
echo_returns_every_message(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    io_receive(io, socket);
    for (unsigned i = 0; i < 200; i++) {
        char message[16], answer[16];
        snprintf(message, sizeof message, "message %u", i);
        client_write(client, message, sizeof message);
        struct io_event event = expect(IO_RECEIVED);
        assert_int_equal(event.result, sizeof message);
        /* The data is borrowed until the next io_wait(): copy. */
        memcpy(answer, event.data, sizeof answer);
        io_send(io, socket, answer, sizeof answer);
        assert_int_equal(expect(IO_SENT).result, sizeof answer);
        char back[16];
        client_read(client, back, sizeof back);
        assert_string_equal(back, message);
    }
    close(client);
    close_stage();
}

static void
received_data_lasts_until_the_next_wait(void **state)
{
    (void)state;
    /* Two buffers, so that a buffer given back too early would be written again at once. */
    open_stage((struct io_options){.shard_count = 1, .sockets_max = 64, .receive_buffer_size = 64, .receive_buffer_count = 2});
    int client[2];
    io_socket socket[2] = {connect_pair(&client[0]), connect_pair(&client[1])};
    io_receive(io, socket[0]);
    io_receive(io, socket[1]);
    for (unsigned round = 0; round < 20; round++) {
        char text[64];
        memset(text, (int)('a' + round), sizeof text);
        client_write(client[0], text, sizeof text);
        struct io_event event = expect(IO_RECEIVED);
        client_write(client[1], "????????????????????????????????", 32);
        client_write(client[0], "????????????????????????????????", 32);
        usleep(1000);
        assert_memory_equal(event.data, text, sizeof text);
        for (int left = 64; left > 0; left -= expect(IO_RECEIVED).result) {
        }
    }
    close(client[0]);
    close(client[1]);
    close_stage();
}

struct slow_reader {
    int client;
    size_t size;
    uint64_t sum;
};

static void *
read_slowly(void *argument)
{
    struct slow_reader *reader = argument;
    uint8_t *chunk = malloc(65536);
    for (size_t done = 0; done < reader->size;) {
        ssize_t got = recv(reader->client, chunk, 65536, 0);
        if (got <= 0) {
            break;
        }
        for (ssize_t i = 0; i < got; i++) {
            reader->sum = reader->sum * 31 + chunk[i];
        }
        done += (size_t)got;
        usleep(500);
    }
    free(chunk);
    return NULL;
}

static void
large_send_to_slow_reader_arrives_whole(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    size_t size = 12u << 20;
    uint8_t *data = malloc(size);
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 2654435761u >> 13);
        sum = sum * 31 + data[i];
    }
    struct slow_reader reader = {.client = client, .size = size};
    pthread_t thread;
    io_send(io, socket, data, (uint32_t)size);
    pthread_create(&thread, NULL, read_slowly, &reader);
    assert_int_equal(expect(IO_SENT).result, size);
    pthread_join(thread, NULL);
    assert_true(reader.sum == sum);
    expect_nothing();
    free(data);
    close(client);
    close_stage();
}

static void
close_ends_a_send_to_a_stuck_peer(void **state)
{
    (void)state;
    open_simple_stage();
    size_t size = 64u << 20;
    uint8_t *data = calloc(1, size);
    for (unsigned round = 0; round < 4; round++) {
        int client;
        io_socket socket = connect_pair(&client);
        io_receive(io, socket);
        io_send(io, socket, data, (uint32_t)size);
        if (round % 2 == 0) {
            expect_nothing();
        }
        close_and_expect(socket);
        expect_nothing();
        close(client);
    }
    free(data);
    close_stage();
}

static void
send_to_a_reset_peer_fails_once(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    uint8_t *data = calloc(1, 64u << 20);
    io_send(io, socket, data, 64u << 20);
    expect_nothing();
    client_reset(client);
    /* The first part went out: the rest meets the error. */
    assert_true(expect(IO_SENT).result < 0);
    close_and_expect(socket);
    expect_nothing();
    free(data);
    close_stage();
}

static void
stopped_receive_is_silent_until_started_again(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    io_receive(io, socket);
    client_write(client, "one", 3);
    expect(IO_RECEIVED);
    io_receive_stop(io, socket);
    expect_nothing();
    client_write(client, "two", 3);
    expect_nothing();
    io_receive(io, socket);
    struct io_event event = expect(IO_RECEIVED);
    assert_int_equal(event.result, 3);
    assert_memory_equal(event.data, "two", 3);
    close(client);
    close_stage();
}

static void
stop_and_start_at_any_moment_loses_and_reorders_nothing(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    io_receive(io, socket);
    uint32_t written = 0, received = 0, random = 1;
    while (received < 20000) {
        random = random * 1103515245 + 12345;
        switch (random >> 16 & 7) {
        case 0:
        case 1:
            io_receive_stop(io, socket);
            break;
        case 2:
        case 3:
            io_receive(io, socket);
            break;
        case 4:
            io_receive_stop(io, socket);
            io_receive(io, socket);
            break;
        default:
            if (written - received < 4000) {
                uint32_t numbers[] = {written, written + 1};
                client_write(client, numbers, sizeof numbers);
                written += 2;
            } else {
                io_receive(io, socket);
            }
            break;
        }
        struct io_event events[4];
        unsigned count = io_wait(io, 0, 0, events, 1 + (random >> 20 & 3));
        for (unsigned i = 0; i < count; i++) {
            assert_int_equal(events[i].type, IO_RECEIVED);
            assert_true(events[i].result > 0 && events[i].result % 4 == 0);
            for (int at = 0; at < events[i].result; at += 4) {
                uint32_t number;
                memcpy(&number, events[i].data + at, 4);
                assert_int_equal(number, received);
                received++;
            }
        }
    }
    close_and_expect(socket);
    close(client);
    close_stage();
}

static void
starved_receivers_get_everything_in_order(void **state)
{
    (void)state;
    /* 4 x 32 bytes for 30 senders of 4000 bytes each. */
    open_stage((struct io_options){.shard_count = 1, .sockets_max = 64, .receive_buffer_size = 32, .receive_buffer_count = 4});
    int clients[30];
    uint32_t received[64] = {0};
    uint8_t text[4000];
    for (unsigned i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t)(i * 7 >> 2);
    }
    io_socket sockets[30];
    for (unsigned i = 0; i < 30; i++) {
        sockets[i] = connect_pair(&clients[i]);
        client_write(clients[i], text, sizeof text);
    }
    for (unsigned i = 0; i < 30; i++) {
        if (i % 3 == 0) {
            io_receive_once(io, sockets[i]);
        }
        io_receive(io, sockets[i]);
    }
    for (uint32_t left = 30 * sizeof text; left > 0;) {
        struct io_event event = expect(IO_RECEIVED);
        assert_true(event.result > 0);
        assert_memory_equal(event.data, text + received[event.socket], (size_t)event.result);
        received[event.socket] += (uint32_t)event.result;
        left -= (uint32_t)event.result;
    }
    for (unsigned i = 0; i < 30; i++) {
        close(clients[i]);
    }
    for (unsigned i = 0; i < 30; i++) {
        assert_int_equal(expect(IO_RECEIVED).result, 0);
    }
    expect_nothing();
    close_stage();
}

static void
end_of_stream_is_told_once_and_sending_goes_on(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    io_receive(io, socket);
    shutdown(client, SHUT_WR);
    assert_int_equal(expect(IO_RECEIVED).result, 0);
    io_receive_stop(io, socket);
    io_receive(io, socket);
    expect_nothing();
    io_send(io, socket, "late", 4);
    assert_int_equal(expect(IO_SENT).result, 4);
    char back[4];
    client_read(client, back, 4);
    close_and_expect(socket);
    client_sees_end(client);
    close(client);
    close_stage();
}

static void
shutdown_ends_the_peers_stream_and_receiving_goes_on(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    io_receive(io, socket);
    io_send(io, socket, "bye", 3);
    assert_int_equal(expect(IO_SENT).result, 3);
    io_shutdown(io, socket);
    expect_nothing();
    char back[3];
    client_read(client, back, 3);
    client_sees_end(client);
    client_write(client, "more", 4);
    assert_int_equal(expect(IO_RECEIVED).result, 4);
    io_shutdown(io, socket);
    close_and_expect(socket);
    close(client);
    close_stage();
}

static void
peer_reset_is_an_error_once(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    io_receive(io, socket);
    expect_nothing();
    client_reset(client);
    assert_int_equal(expect(IO_RECEIVED).result, -ECONNRESET);
    expect_nothing();
    close_and_expect(socket);
    close_stage();
}

static void
close_gives_one_closed_event_and_the_slot_back(void **state)
{
    (void)state;
    open_stage((struct io_options){.shard_count = 1, .sockets_max = 2});
    for (unsigned round = 0; round < 40; round++) {
        int client;
        io_socket socket = connect_pair(&client);
        assert_true(socket < 2);
        io_set_token(io, socket, round);
        if (round % 2 == 0) {
            io_receive(io, socket);
        }
        if (round % 4 == 0) {
            client_write(client, "unread", 6);
        }
        if (round % 8 == 0) {
            io_receive_stop(io, socket);
        }
        io_close(io, socket);
        struct io_event event = expect(IO_CLOSED);
        assert_int_equal(event.socket, socket);
        assert_int_equal(event.token, round);
        close(client);
    }
    expect_nothing();
    close_stage();
}

static void
no_data_comes_after_close(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    io_receive(io, socket);
    expect_nothing();
    client_write(client, "unseen", 6);
    usleep(1000);
    close_and_expect(socket);
    expect_nothing();
    close(client);
    close_stage();
}

static void
full_table_fails_accepts_and_recovers(void **state)
{
    (void)state;
    open_stage((struct io_options){.shard_count = 1, .sockets_max = 2});
    int clients[40];
    io_socket sockets[2] = {connect_pair(&clients[0]), connect_pair(&clients[1])};
    for (unsigned i = 2; i < 40; i++) {
        clients[i] = connect_client();
    }
    struct io_event event = expect(IO_ACCEPT_FAILED);
    assert_int_equal(event.token, LISTENER_TOKEN);
    assert_int_equal(event.result, -ENFILE);
    /* One per 100 ms at most, and none at all while connections just wait in the backlog. */
    expect_nothing();

    close_and_expect(sockets[0]);
    io_socket third = expect(IO_ACCEPTED).socket;
    assert_int_equal(third, sockets[0]);
    for (unsigned i = 0; i < 40; i++) {
        close(clients[i]);
    }
    close_stage();
}

static int
try_connect(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int result = connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    close(fd);
    return result;
}

static void
stopped_listener_refuses_and_sockets_stay(void **state)
{
    (void)state;
    open_simple_stage();
    int client;
    io_socket socket = connect_pair(&client);
    io_listen_stop(io);
    assert_int_equal(try_connect(), -ECONNREFUSED);
    io_receive(io, socket);
    client_write(client, "still", 5);
    assert_int_equal(expect(IO_RECEIVED).result, 5);
    close(client);
    close_stage();
}

static void
rest_of_the_events_comes_without_waiting(void **state)
{
    (void)state;
    open_simple_stage();
    int clients[20];
    for (unsigned i = 0; i < 20; i++) {
        io_receive(io, connect_pair(&clients[i]));
    }
    expect_nothing();
    for (unsigned i = 0; i < 20; i++) {
        client_write(clients[i], "x", 1);
    }
    unsigned count = 0;
    while (count < 20) {
        struct io_event events[3];
        unsigned now = io_wait(io, PATIENCE_MS * MS, 0, events, 3);
        assert_in_range(now, 1, 3);
        count += now;
    }
    expect_nothing();
    for (unsigned i = 0; i < 20; i++) {
        close(clients[i]);
    }
    close_stage();
}

static void
wait_keeps_its_time(void **state)
{
    (void)state;
    open_simple_stage();
    struct io_event event;
    io_wait(io, 0, 0, &event, 1);
    uint64_t start = io_clock_ns(io);
    assert_int_equal(io_wait(io, 0, 0, &event, 1), 0);
    assert_int_equal(io_wait(io, 50 * MS, 0, &event, 1), 0);
    uint64_t took = io_now_ns(io) - start;
    assert_in_range(took, 50 * MS, 2000 * MS);
    assert_true(io_clock_ns(io) >= io_now_ns(io));
    assert_true(io_wall_ms(io) > UINT64_C(1600000000000));
    close_stage();
}

static void
gathering_wait_collects_and_still_returns_a_lonely_event(void **state)
{
    (void)state;
    open_simple_stage();
    int client[2];
    io_receive(io, connect_pair(&client[0]));
    io_receive(io, connect_pair(&client[1]));
    expect_nothing();
    bool holds_back = strstr(io_describe(set), "min_wait yes") != NULL;

    struct io_event events[16];
    client_write(client[0], "x", 1);
    uint64_t start = io_clock_ns(io);
    assert_int_equal(io_wait(io, PATIENCE_MS * MS, 30000, events, 16), 1);
    assert_in_range(io_now_ns(io) - start, holds_back ? 25 * MS : 0, 2000 * MS);

    client_write(client[0], "x", 1);
    client_write(client[1], "x", 1);
    assert_int_equal(io_wait(io, PATIENCE_MS * MS, 30000, events, 16), 2);
    assert_int_equal(io_wait(io, 1 * MS, 30000, events, 16), 0);
    close(client[0]);
    close(client[1]);
    close_stage();
}

static void
more_requests_than_the_queue_holds_are_all_made(void **state)
{
    (void)state;
    /* Twice as many sends and receives in one turn as the submission queue has entries. */
    enum { CLIENTS = 4200 };
    open_stage((struct io_options){.shard_count = 1, .sockets_max = CLIENTS + 100});
    if (io_sockets_max(set) < CLIENTS + 100) {
        close_stage();
        skip();
    }
    static int clients[CLIENTS];
    static io_socket sockets[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++) {
        sockets[i] = connect_pair(&clients[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        io_send(io, sockets[i], "hello", 5);
        io_receive(io, sockets[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(expect(IO_SENT).result, 5);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        char back[5];
        client_read(clients[i], back, 5);
        io_close(io, sockets[i]);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        expect(IO_CLOSED);
        client_reset(clients[i]);
    }
    expect_nothing();
    close_stage();
}

static void
random_bytes_differ(void **state)
{
    (void)state;
    open_simple_stage();
    uint8_t a[600] = {0}, b[600] = {0};
    io_random(io, a, sizeof a);
    io_random(io, b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    assert_memory_not_equal(a + 590, (uint8_t[10]){0}, 10);
    close_stage();
}

static void
interrupt_ends_a_wait_and_is_not_lost(void **state)
{
    (void)state;
    open_simple_stage();
    struct io_event event;
    for (unsigned i = 0; i < 20; i++) {
        io_interrupt(io);
        io_interrupt(io);
        uint64_t start = io_clock_ns(io);
        assert_int_equal(io_wait(io, PATIENCE_MS * MS, 0, &event, 1), 0);
        assert_true(io_now_ns(io) - start < PATIENCE_MS * MS / 2);
    }
    close_stage();
}

/* --------------------------------------------------------------------------------------------------------- set-up */

static void
open_says_what_is_wrong(void **state)
{
    (void)state;
    static const struct io_options wrong[] = {
        {.shard_count = 0, .sockets_max = 10},
        {.shard_count = 1, .sockets_max = 0},
        {.shard_count = 1, .sockets_max = 10, .receive_buffer_count = 3},
        {.shard_count = 1, .sockets_max = 10, .receive_buffer_count = 1u << 20},
    };
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char error[256] = "";
        assert_null(io_open(&wrong[i], error, sizeof error));
        assert_true(strlen(error) > 10 && strchr(error, '\n') == NULL);
    }
}

static void
too_many_sockets_are_lowered_and_described(void **state)
{
    (void)state;
    open_stage((struct io_options){.shard_count = 1, .sockets_max = UINT32_MAX});
    assert_in_range(io_sockets_max(set), 1, 1 << 20);
    assert_non_null(strstr(io_describe(set), "io_uring, Linux "));
    assert_non_null(strstr(io_describe(set), "RLIMIT_NOFILE"));
    close_stage();
}

static void
listen_says_what_is_wrong(void **state)
{
    (void)state;
    open_simple_stage();
    int other = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    assert_int_equal(bind(other, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(other, 1), 0);
    getsockname(other, (struct sockaddr *)&address, &size);

    char error[256] = "";
    struct io_listener taken = {.host = "127.0.0.1", .port = ntohs(address.sin_port)};
    assert_int_equal(io_listen(io, &taken, 0, error, sizeof error), -EADDRINUSE);
    assert_non_null(strstr(error, "127.0.0.1"));
    struct io_listener unknown = {.host = "no.such.host.invalid", .port = 1};
    error[0] = '\0';
    assert_true(io_listen(io, &unknown, 0, error, sizeof error) < 0);
    assert_non_null(strstr(error, "no.such.host.invalid"));
    close(other);
    close_stage();
}

static bool
is_refused(int family, const void *address, socklen_t size)
{
    int fd = socket(family, SOCK_STREAM, 0);
    bool refused = connect(fd, address, size) != 0 && errno == ECONNREFUSED;
    close(fd);
    return refused;
}

/* A second broker: it is told, whether the first one has begun to listen or not. */
static void
expect_address_in_use(const struct io_listener *listener)
{
    char error[256] = "";
    struct io_set *other = io_open(&(struct io_options){.shard_count = 1, .sockets_max = 64}, error, sizeof error);
    assert_int_equal(io_listen(io_of_shard(other, 0), listener, 0, error, sizeof error), -EADDRINUSE);
    io_close_all(other);
}

static void
address_is_taken_before_it_listens_and_connections_are_refused_until_then(void **state)
{
    (void)state;
    char error[256] = "";
    open_stage((struct io_options){.shard_count = 2, .sockets_max = 64});
    port = free_port();
    struct io_listener listener = {.host = "127.0.0.1", .port = port, .first = true};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(io_listen(io, &listener, LISTENER_TOKEN, error, sizeof error), 0);
    listener.first = false;
    assert_int_equal(io_listen(io_of_shard(set, 1), &listener, LISTENER_TOKEN, error, sizeof error), 0);
    listener.first = true;
    assert_true(is_refused(AF_INET, &address, sizeof address));
    expect_address_in_use(&listener);
    expect_nothing();

    assert_int_equal(io_listen_begin(io), 0);
    assert_int_equal(io_listen_begin(io), 0);
    expect_address_in_use(&listener);
    int clients[40]; /* more than one turn arms accepts for */
    for (unsigned i = 0; i < 40; i++) {
        clients[i] = connect_client();
    }
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(expect(IO_ACCEPTED).token, LISTENER_TOKEN);
        close(clients[i]);
    }
    close_stage();
}

/* What lingers of others' connections on the port keeps nobody from it. */
static void
port_with_lingering_connections_is_free(void **state)
{
    (void)state;
    char error[256] = "";
    int other = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(other, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(other, 1), 0);
    getsockname(other, (struct sockaddr *)&address, &size);
    open_simple_stage();
    port = ntohs(address.sin_port);
    int client = connect_client();
    int accepted = accept(other, NULL, NULL);
    close(accepted); /* the first to close: its end lingers */
    close(client);
    close(other);
    struct io_listener listener = {.host = "127.0.0.1", .port = port, .first = true};
    assert_int_equal(io_listen(io, &listener, LISTENER_TOKEN, error, sizeof error), 0);
    assert_int_equal(io_listen_begin(io), 0);
    close_and_expect(connect_pair(&client));
    close(client);
    close_stage();
}

/* ------------------------------------------------------------------------------------------------ Unix sockets, interfaces */

static char unix_path[108];

static int
listen_at_path(struct io *shard, uint32_t mode, char *error, size_t error_size)
{
    snprintf(unix_path, sizeof unix_path, "/tmp/tidewire-io-test-%d.socket", (int)getpid());
    struct io_listener listener = {.path = unix_path, .mode = mode};
    int result = io_listen(shard, &listener, LISTENER_TOKEN, error, error_size);
    return result == 0 ? io_listen_begin(shard) : result;
}

static int
connect_to_path(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, unix_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void
unix_socket_takes_connections_and_its_path_is_removed(void **state)
{
    (void)state;
    char error[256] = "";
    struct stat about;
    open_simple_stage();
    assert_int_equal(listen_at_path(io, 0640, error, sizeof error), 0);
    assert_int_equal(stat(unix_path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0640);
    int client = connect_to_path();
    struct io_event event = expect(IO_ACCEPTED);
    assert_int_equal(event.token, LISTENER_TOKEN);
    assert_int_equal(event.peer->ss_family, AF_UNIX);
    io_socket accepted = event.socket;
    io_receive(io, accepted);
    client_write(client, "hello", 5);
    event = expect(IO_RECEIVED);
    assert_int_equal(event.result, 5);
    io_send(io, accepted, "there", 5);
    char answer[5];
    expect(IO_SENT);
    client_read(client, answer, 5);
    assert_memory_equal(answer, "there", 5);
    close_and_expect(accepted);
    close(client);
    close_stage();
    assert_int_equal(stat(unix_path, &about), -1);
}

static void
path_is_taken_before_it_listens_and_connections_are_refused_until_then(void **state)
{
    (void)state;
    char error[256] = "";
    open_simple_stage();
    snprintf(unix_path, sizeof unix_path, "/tmp/tidewire-io-test-%d.socket", (int)getpid());
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, unix_path);
    struct io_listener listener = {.path = unix_path};
    assert_int_equal(io_listen(io, &listener, LISTENER_TOKEN, error, sizeof error), 0);
    assert_true(is_refused(AF_UNIX, &address, sizeof address));
    expect_address_in_use(&listener);
    assert_int_equal(io_listen_begin(io), 0);
    int client = connect_to_path();
    close_and_expect(expect(IO_ACCEPTED).socket);
    close(client);
    close_stage();
}

static void
abandoned_path_is_replaced_and_others_are_not(void **state)
{
    (void)state;
    char error[256] = "";
    struct stat about;
    open_simple_stage();
    assert_int_equal(listen_at_path(io, 0, error, sizeof error), 0);

    /* Another broker: somebody listens. */
    struct io_options options = {.shard_count = 1, .sockets_max = 64};
    struct io_set *other = io_open(&options, error, sizeof error);
    assert_int_equal(listen_at_path(io_of_shard(other, 0), 0, error, sizeof error), -EADDRINUSE);
    assert_non_null(strstr(error, "somebody listens there already"));
    io_close_all(other);
    assert_int_equal(stat(unix_path, &about), 0); /* which took nothing away */
    close_stage();

    /* What a killed broker leaves. */
    int dead = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strcpy(address.sun_path, unix_path);
    assert_int_equal(bind(dead, (struct sockaddr *)&address, sizeof address), 0);
    close(dead);
    open_simple_stage();
    assert_int_equal(listen_at_path(io, 0, error, sizeof error), 0);
    close(connect_to_path());
    expect(IO_ACCEPTED);

    /* Somebody has put another in its place: that one stays. */
    assert_int_equal(unlink(unix_path), 0);
    FILE *file = fopen(unix_path, "w");
    fclose(file);
    close_stage();
    assert_int_equal(stat(unix_path, &about), 0);

    open_simple_stage();
    assert_int_equal(listen_at_path(io, 0, error, sizeof error), -EEXIST);
    assert_non_null(strstr(error, "not a socket"));
    close_stage();
    assert_int_equal(unlink(unix_path), 0);
}

/* Both shards are this thread's; whichever the kernel wakes takes a connection, and none is lost. */
static void
unix_socket_is_shared_by_shards(void **state)
{
    (void)state;
    char error[256] = "";
    open_stage((struct io_options){.shard_count = 2, .sockets_max = 64});
    struct io *shards[2] = {io, io_of_shard(set, 1)};
    assert_int_equal(io_enter(shards[1]), 0);
    assert_int_equal(listen_at_path(shards[0], 0, error, sizeof error), 0);
    assert_int_equal(listen_at_path(shards[1], 0, error, sizeof error), 0);
    int clients[20];
    unsigned accepted = 0;
    for (unsigned i = 0; i < 20; i++) {
        clients[i] = connect_to_path();
    }
    for (unsigned waited_ms = 0; accepted < 20 && waited_ms < PATIENCE_MS; waited_ms++) {
        for (unsigned i = 0; i < 2; i++) {
            struct io_event event;
            accepted += io_wait(shards[i], MS / 2, 0, &event, 1) == 1 && event.type == IO_ACCEPTED;
        }
    }
    assert_int_equal(accepted, 20);
    for (unsigned i = 0; i < 20; i++) {
        close(clients[i]);
    }
    io_leave(shards[1]); /* which stops the socket: no failure to the other one */
    expect_nothing();
    close_stage();
}

static void
interface_stands_for_its_addresses(void **state)
{
    (void)state;
    char error[256] = "";
    open_simple_stage();
    port = free_port();
    struct io_listener loopback = {.interface = "lo", .port = port, .first = true, .ipv4_only = true};
    assert_int_equal(io_listen(io, &loopback, LISTENER_TOKEN, error, sizeof error), 0);
    assert_int_equal(io_listen_begin(io), 0);
    int client;
    close_and_expect(connect_pair(&client));
    close(client);
    struct io_listener unknown = {.interface = "nosuch0", .port = port};
    assert_int_equal(io_listen(io, &unknown, LISTENER_TOKEN, error, sizeof error), -EADDRNOTAVAIL);
    assert_non_null(strstr(error, "nosuch0"));
    close_stage();
}

static void
closing_all_leaks_no_descriptor(void **state)
{
    (void)state;
    unsigned before = open_descriptors();
    for (unsigned round = 0; round < 3; round++) {
        open_stage((struct io_options){.shard_count = 2, .sockets_max = 64});
        int clients[4];
        uint8_t *data = calloc(1, 8u << 20);
        for (unsigned i = 0; i < 4; i++) {
            io_socket socket = connect_pair(&clients[i]);
            io_receive(io, socket);
            io_send(io, socket, data, 8u << 20);
        }
        expect_nothing();
        io_leave(io);
        /* Leaving closes at once: the clients find the end of what was sent. */
        char *sink = malloc(1 << 20);
        for (unsigned i = 0; i < 4; i++) {
            struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
            setsockopt(clients[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            ssize_t got;
            while ((got = recv(clients[i], sink, 1 << 20, 0)) > 0) {
            }
            assert_true(got == 0 || errno == ECONNRESET);
            close(clients[i]);
        }
        free(sink);
        free(data);
        io_close_all(set);
    }
    assert_int_equal(open_descriptors(), before);
}

/* ----------------------------------------------------------------------------------------------------- two shards */

/* What goes with a moved socket: written by one thread, read by the other. */
struct parcel {
    uint32_t magic;
    char text[12];
};

/* The second shard: counts wake-ups, and echoes what its sockets receive, after the parcel's text. */
struct second {
    pthread_t thread;
    struct io *io;
    unsigned delay_ms; /* before it enters */
    atomic_bool stop;
    atomic_uint turns, moved, closed, wrong;
    struct echo {
        struct parcel *parcel;
        uint8_t data[65536];
        uint32_t size;
        bool sending;
    } *echoes[64];
};

static void
flush_echo(struct second *second, io_socket socket)
{
    struct echo *echo = second->echoes[socket];
    if (!echo->sending && echo->size > 0) {
        /* Nothing more is read while a send is under way, so the bytes stay untouched. */
        echo->sending = true;
        io_receive_stop(second->io, socket);
        io_send(second->io, socket, echo->data, echo->size);
    }
}

static void
second_handle(struct second *second, const struct io_event *event)
{
    struct echo *echo = event->type == IO_MOVED ? NULL : second->echoes[event->socket];
    switch (event->type) {
    case IO_MOVED:
        echo = calloc(1, sizeof *echo);
        second->echoes[event->socket] = echo;
        echo->parcel = (struct parcel *)(uintptr_t)event->token;
        second->wrong += echo->parcel->magic != 0xfeed;
        memcpy(echo->data, echo->parcel->text, sizeof echo->parcel->text);
        echo->size = sizeof echo->parcel->text;
        io_set_token(second->io, event->socket, event->token);
        io_receive(second->io, event->socket);
        flush_echo(second, event->socket);
        second->moved++;
        break;
    case IO_RECEIVED:
        if (event->result <= 0) {
            io_close(second->io, event->socket);
        } else if (echo->sending) {
            second->wrong += event->token != (uintptr_t)echo->parcel;
            io_receive_stop(second->io, event->socket);
            /* Under way when receiving was stopped: keep for later. */
            memcpy(echo->data + echo->size, event->data, (size_t)event->result);
            echo->size += (uint32_t)event->result;
        } else {
            memcpy(echo->data, event->data, (size_t)event->result);
            echo->size = (uint32_t)event->result;
            flush_echo(second, event->socket);
        }
        break;
    case IO_SENT:
        if (event->result < 0) {
            io_close(second->io, event->socket);
            break;
        }
        echo->sending = false;
        echo->size -= (uint32_t)event->result;
        memmove(echo->data, echo->data + event->result, echo->size);
        io_receive(second->io, event->socket);
        flush_echo(second, event->socket);
        break;
    case IO_CLOSED:
        second->wrong += event->token != (uintptr_t)echo->parcel;
        free(echo->parcel);
        free(echo);
        second->echoes[event->socket] = NULL;
        second->closed++;
        break;
    default:
        second->wrong++;
        break;
    }
}

static void *
run_second(void *argument)
{
    struct second *second = argument;
    usleep(second->delay_ms * 1000);
    second->wrong += io_enter(second->io) != 0;
    while (!second->stop) {
        struct io_event events[8];
        unsigned count = io_wait(second->io, UINT64_MAX, 0, events, 8);
        for (unsigned i = 0; i < count; i++) {
            second_handle(second, &events[i]);
        }
        second->turns++;
    }
    io_leave(second->io);
    for (unsigned i = 0; i < 64; i++) {
        if (second->echoes[i] != NULL) {
            free(second->echoes[i]->parcel);
            free(second->echoes[i]);
        }
    }
    return NULL;
}

static void
start_second(struct second *second, unsigned delay_ms)
{
    memset(second, 0, sizeof *second);
    second->io = io_of_shard(set, 1);
    second->delay_ms = delay_ms;
    pthread_create(&second->thread, NULL, run_second, second);
}

static void
stop_second(struct second *second)
{
    second->stop = true;
    io_interrupt(second->io);
    pthread_join(second->thread, NULL);
    assert_int_equal(second->wrong, 0);
    close_stage();
}

static void
open_two_shards(uint32_t sockets_max)
{
    open_stage((struct io_options){.shard_count = 2, .sockets_max = sockets_max});
}

/* Waits, taking turns of shard 0, until the counter has that value. */
static void
expect_count(atomic_uint *counter, unsigned value)
{
    for (unsigned waited_ms = 0; *counter != value && waited_ms < PATIENCE_MS; waited_ms++) {
        struct io_event event;
        if (io_wait(io, 1 * MS, 0, &event, 1) != 0) {
            fail_msg("unexpected event %d", event.type);
        }
    }
    assert_int_equal(*counter, value);
}

static struct parcel *
make_parcel(const char *text)
{
    struct parcel *parcel = calloc(1, sizeof *parcel);
    parcel->magic = 0xfeed;
    snprintf(parcel->text, sizeof parcel->text, "%s", text);
    return parcel;
}

static void
moved_socket_goes_on_at_its_new_shard(void **state)
{
    (void)state;
    open_two_shards(64);
    struct second second;
    start_second(&second, 0);
    for (unsigned round = 0; round < 30; round++) {
        int client;
        io_socket socket = connect_pair(&client);
        io_receive_once(io, socket);
        client_write(client, "who am I", 8);
        assert_int_equal(expect(IO_RECEIVED).result, 8);
        if (round % 2 == 0) {
            client_write(client, "sent before", 12);
        }
        io_move(io, socket, 1, (uintptr_t)make_parcel("welcome"));
        expect_count(&second.moved, round + 1);
        if (round % 2 == 1) {
            client_write(client, "sent after ", 12);
        }
        char back[24];
        client_read(client, back, 24);
        assert_string_equal(back, "welcome");
        assert_string_equal(back + 12, round % 2 == 0 ? "sent before" : "sent after ");
        close(client);
        expect_count(&second.closed, round + 1);
    }
    stop_second(&second);
}

static void
source_slots_are_free_after_moves(void **state)
{
    (void)state;
    open_two_shards(4);
    struct second second;
    start_second(&second, 0);
    for (unsigned round = 0; round < 20; round++) {
        int client;
        io_socket socket = connect_pair(&client);
        assert_true(socket < 4);
        io_move(io, socket, 1, (uintptr_t)make_parcel("x"));
        expect_count(&second.moved, round + 1);
        close(client);
        expect_count(&second.closed, round + 1);
    }
    stop_second(&second);
}

static void
move_to_a_full_shard_fails_and_closes(void **state)
{
    (void)state;
    open_two_shards(2);
    struct second second;
    start_second(&second, 0);
    int clients[3];
    for (unsigned i = 0; i < 2; i++) {
        io_move(io, connect_pair(&clients[i]), 1, (uintptr_t)make_parcel("x"));
        expect_count(&second.moved, i + 1);
    }
    struct parcel *parcel = make_parcel("x");
    io_move(io, connect_pair(&clients[2]), 1, (uintptr_t)parcel);
    struct io_event event = expect(IO_MOVE_FAILED);
    assert_int_equal(event.token, (uintptr_t)parcel);
    assert_true(event.result < 0);
    expect_nothing();
    client_sees_end(clients[2]);
    free(parcel);
    for (unsigned i = 0; i < 3; i++) {
        close(clients[i]);
    }
    expect_count(&second.closed, 2);
    stop_second(&second);
}

static void
move_waits_for_a_shard_that_has_not_entered(void **state)
{
    (void)state;
    open_two_shards(64);
    struct second second;
    start_second(&second, 50);
    int clients[3];
    for (unsigned i = 0; i < 3; i++) {
        io_socket socket = connect_pair(&clients[i]);
        io_move(io, socket, 1, (uintptr_t)make_parcel("early"));
    }
    expect_count(&second.moved, 3);
    for (unsigned i = 0; i < 3; i++) {
        char back[12];
        client_read(clients[i], back, 12);
        assert_string_equal(back, "early");
        close(clients[i]);
    }
    expect_count(&second.closed, 3);
    stop_second(&second);
}

static void
move_to_a_shard_that_has_left_fails(void **state)
{
    (void)state;
    open_two_shards(64);
    struct second second;
    start_second(&second, 0);
    second.stop = true;
    io_interrupt(second.io);
    pthread_join(second.thread, NULL);
    int client;
    io_socket socket = connect_pair(&client);
    io_move(io, socket, 1, 4711);
    assert_int_equal(expect(IO_MOVE_FAILED).token, 4711);
    io_wake(io, 1);
    io_interrupt(second.io);
    expect_nothing();
    close(client);
    close_stage();
}

static void
wake_ends_the_wait_of_another_shard(void **state)
{
    (void)state;
    open_two_shards(64);
    struct second second;
    start_second(&second, 0);
    struct io_event event;
    for (unsigned i = 0; i < 50; i++) {
        unsigned turns = second.turns;
        io_wake(io, 1);
        io_wake(io, 1);
        for (unsigned waited_ms = 0; second.turns == turns && waited_ms < PATIENCE_MS; waited_ms++) {
            assert_int_equal(io_wait(io, 1 * MS, 0, &event, 1), 0);
        }
        assert_true(second.turns > turns);
    }
    stop_second(&second);
}

static void
wake_of_a_shard_that_has_not_entered_ends_its_first_wait(void **state)
{
    (void)state;
    open_two_shards(64);
    struct second second;
    start_second(&second, 30);
    io_wake(io, 1);
    struct io_event event;
    assert_int_equal(io_wait(io, 0, 0, &event, 1), 0);
    assert_int_equal(io_wait(io, 0, 0, &event, 1), 0);
    for (unsigned waited_ms = 0; second.turns == 0 && waited_ms < PATIENCE_MS; waited_ms++) {
        assert_int_equal(io_wait(io, 1 * MS, 0, &event, 1), 0);
    }
    assert_true(second.turns > 0);
    stop_second(&second);
}

static void *
interrupt_later(void *argument)
{
    usleep(20000);
    io_interrupt(argument);
    return NULL;
}

static void
interrupt_from_another_thread_ends_a_wait(void **state)
{
    (void)state;
    open_simple_stage();
    pthread_t thread;
    pthread_create(&thread, NULL, interrupt_later, io);
    struct io_event event;
    uint64_t start = io_clock_ns(io);
    assert_int_equal(io_wait(io, PATIENCE_MS * MS, 0, &event, 1), 0);
    assert_true(io_now_ns(io) - start < PATIENCE_MS * MS / 2);
    pthread_join(thread, NULL);
    close_stage();
}

/* ------------------------------------------------------------------------------------------------------- worker threads */

struct piece {
    pthread_t by;
    bool ran, told;
    unsigned sleep_us;
};

static void
work_on_piece(void *argument)
{
    struct piece *piece = argument;
    usleep(piece->sleep_us);
    piece->by = pthread_self();
    piece->ran = true;
}

static void
work_runs_on_other_threads_and_is_told_once(void **state)
{
    (void)state;
    enum { PIECES = 200 };
    static struct piece pieces[PIECES];
    memset(pieces, 0, sizeof pieces);
    open_simple_stage();
    for (unsigned i = 0; i < PIECES; i++) {
        assert_true(io_work(io, i % IO_WORK_CLASSES, work_on_piece, &pieces[i]));
    }
    for (unsigned told = 0; told < PIECES; told++) {
        struct piece *piece = (struct piece *)(uintptr_t)expect(IO_WORKED).token;
        assert_true(piece->ran && !piece->told);
        assert_false(pthread_equal(piece->by, pthread_self()));
        piece->told = true;
    }
    expect_nothing();
    close_stage();
}

static void
full_queue_of_work_refuses_and_another_class_goes_on(void **state)
{
    (void)state;
    enum { PIECES = 6000 };
    static struct piece pieces[PIECES];
    memset(pieces, 0, sizeof pieces);
    pieces[0].sleep_us = 200000;
    open_simple_stage();
    unsigned taken = 0;
    while (taken < PIECES - 1 && io_work(io, IO_WORK_HASH, work_on_piece, &pieces[taken])) {
        taken++;
    }
    assert_in_range(taken, 1000, PIECES - 2);
    assert_true(io_work(io, IO_WORK_CRYPTO, work_on_piece, &pieces[PIECES - 1]));
    assert_int_equal(expect(IO_WORKED).token, (uintptr_t)&pieces[PIECES - 1]);
    for (unsigned i = 0; i < taken; i++) {
        expect(IO_WORKED);
    }
    close_stage();
}

static void
work_left_at_the_end_is_given_back_once(void **state)
{
    (void)state;
    enum { PIECES = 100 };
    static struct piece pieces[PIECES];
    memset(pieces, 0, sizeof pieces);
    open_simple_stage();
    for (unsigned i = 0; i < PIECES; i++) {
        pieces[i].sleep_us = 1000;
        assert_true(io_work(io, IO_WORK_HASH, work_on_piece, &pieces[i]));
    }
    io_leave(io);
    unsigned given = 0;
    for (struct piece *piece; (piece = io_work_end(io)) != NULL; given++) {
        assert_false(piece->told);
        piece->told = true;
    }
    assert_int_equal(given, PIECES);
    close_stage();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_event_names_listener_and_peer),
        cmocka_unit_test(listener_takes_connections_of_both_families),
        cmocka_unit_test(many_clients_are_all_accepted),
        cmocka_unit_test(token_comes_back_with_every_event),
        cmocka_unit_test(receive_once_gives_one_event_then_waits),
        cmocka_unit_test(echo_returns_every_message),
        cmocka_unit_test(received_data_lasts_until_the_next_wait),
        cmocka_unit_test(large_send_to_slow_reader_arrives_whole),
        cmocka_unit_test(close_ends_a_send_to_a_stuck_peer),
        cmocka_unit_test(send_to_a_reset_peer_fails_once),
        cmocka_unit_test(stopped_receive_is_silent_until_started_again),
        cmocka_unit_test(stop_and_start_at_any_moment_loses_and_reorders_nothing),
        cmocka_unit_test(starved_receivers_get_everything_in_order),
        cmocka_unit_test(end_of_stream_is_told_once_and_sending_goes_on),
        cmocka_unit_test(shutdown_ends_the_peers_stream_and_receiving_goes_on),
        cmocka_unit_test(peer_reset_is_an_error_once),
        cmocka_unit_test(close_gives_one_closed_event_and_the_slot_back),
        cmocka_unit_test(no_data_comes_after_close),
        cmocka_unit_test(full_table_fails_accepts_and_recovers),
        cmocka_unit_test(stopped_listener_refuses_and_sockets_stay),
        cmocka_unit_test(rest_of_the_events_comes_without_waiting),
        cmocka_unit_test(wait_keeps_its_time),
        cmocka_unit_test(gathering_wait_collects_and_still_returns_a_lonely_event),
        cmocka_unit_test(more_requests_than_the_queue_holds_are_all_made),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(interrupt_ends_a_wait_and_is_not_lost),
        cmocka_unit_test(open_says_what_is_wrong),
        cmocka_unit_test(too_many_sockets_are_lowered_and_described),
        cmocka_unit_test(listen_says_what_is_wrong),
        cmocka_unit_test(address_is_taken_before_it_listens_and_connections_are_refused_until_then),
        cmocka_unit_test(port_with_lingering_connections_is_free),
        cmocka_unit_test(unix_socket_takes_connections_and_its_path_is_removed),
        cmocka_unit_test(path_is_taken_before_it_listens_and_connections_are_refused_until_then),
        cmocka_unit_test(abandoned_path_is_replaced_and_others_are_not),
        cmocka_unit_test(unix_socket_is_shared_by_shards),
        cmocka_unit_test(interface_stands_for_its_addresses),
        cmocka_unit_test(closing_all_leaks_no_descriptor),
        cmocka_unit_test(moved_socket_goes_on_at_its_new_shard),
        cmocka_unit_test(source_slots_are_free_after_moves),
        cmocka_unit_test(move_to_a_full_shard_fails_and_closes),
        cmocka_unit_test(move_waits_for_a_shard_that_has_not_entered),
        cmocka_unit_test(move_to_a_shard_that_has_left_fails),
        cmocka_unit_test(wake_ends_the_wait_of_another_shard),
        cmocka_unit_test(wake_of_a_shard_that_has_not_entered_ends_its_first_wait),
        cmocka_unit_test(interrupt_from_another_thread_ends_a_wait),
        cmocka_unit_test(work_runs_on_other_threads_and_is_told_once),
        cmocka_unit_test(full_queue_of_work_refuses_and_another_class_goes_on),
        cmocka_unit_test(work_left_at_the_end_is_given_back_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
