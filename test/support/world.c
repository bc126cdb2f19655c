#include "test/support/world.h"

#include "codec/websocket.h"
#include "engine/durable/recover.h"

#include <stdio.h>
#include <stdlib.h>

/* Turns without rest: beyond this something feeds itself. */
#define TURNS_MAX 2000000u

static void
die(const char *what, const char *detail)
{
    fprintf(stderr, "world: %s: %s\n", what, detail);
    abort();
}

/* Shards take their turns until all of them listen. */
static void
start_shards(struct broker *broker)
{
    char error[512];
    for (unsigned i = 0; i < broker->shard_count; i++) {
        if (shard_enter(broker->shards[i]) != 0) {
            die("start", "a shard cannot enter");
        }
    }
    for (unsigned i = 0; i < broker->shard_count; i++) {
        if (recover_shard(broker->shards[i], error, sizeof error) != 0) {
            die("start", error);
        }
    }
    for (unsigned turns = 0; !broker_is_open(broker); turns++) {
        if (turns == TURNS_MAX) {
            die("start", "the broker does not open");
        }
        shard_turn(broker->shards[turns % broker->shard_count], false);
    }
}

static uint32_t next_segment_size;

void
world_set_segment_size(uint32_t bytes)
{
    next_segment_size = bytes;
}

/* A broker on the world's disk. */
static void
open_broker(struct world *world, unsigned shards)
{
    char text[8192];
    char error[512];
    int size = snprintf(text, sizeof text, "listener %d 127.0.0.1\nallow_anonymous true\nshards %u\nsys_interval 0\nlog_dest none\n%s\n", WORLD_PORT,
                        shards, world->options);
    world->config = config_parse_text(text, (uint32_t)size, "test", false, error, sizeof error);
    if (world->config == NULL) {
        die("configuration", error);
    }
    if (world->segment_size != 0) {
        world->config->persistence_segment_size = world->segment_size;
    }
    sim_set_seed(world->seed + world->life);
    sim_set_disk(world->disk);
    log_open(world->config);
    world->broker = broker_open(world->config, error, sizeof error);
    if (world->broker == NULL || broker_listen(world->broker, error, sizeof error) != 0) {
        die("start", error);
    }
    start_shards(world->broker);
    world->sim = sim_of(world->broker->ios);
    world->life++;
    world->down = false;
}

struct world *
world_open(uint64_t seed, unsigned shards, const char *options)
{
    struct world *world = calloc(1, sizeof *world);
    world->seed = seed;
    world->segment_size = next_segment_size;
    world->options = strdup(options ? options : "");
    world->disk = sim_disk_make(seed);
    sim_disk_make_directory(world->disk, WORLD_LOCATION);
    open_broker(world, shards);
    return world;
}

/* One round over all shards that have something to do. */
static bool
run_round(struct world *world)
{
    if (world->down) {
        return false;
    }
    bool any = false;
    for (unsigned i = 0; i < world->broker->shard_count; i++) {
        struct shard *shard = world->broker->shards[i];
        if (sim_ready(world->sim, i) || shard_busy(shard) || mesh_waiting(world->broker->mesh, i) || shard_next_ms(shard) <= world_now_ms(world)) {
            shard_turn(shard, false);
            any = true;
            if (++world->turns > TURNS_MAX) {
                die("settle", "the broker does not come to rest");
            }
        }
    }
    return any;
}

void
world_settle(struct world *world)
{
    world->turns = 0;
    for (;;) {
        while (run_round(world)) {
        }
        uint64_t next_ns = sim_next_ns(world->sim);
        if (next_ns == UINT64_MAX) {
            return;
        }
        if (next_ns > sim_now_ns(world->sim)) {
            sim_advance(world->sim, next_ns - sim_now_ns(world->sim));
        }
    }
}

static uint64_t
next_timer_ms(const struct world *world)
{
    uint64_t next_ms = UINT64_MAX;
    for (unsigned i = 0; !world->down && i < world->broker->shard_count; i++) {
        uint64_t due_ms = shard_next_ms(world->broker->shards[i]);
        next_ms = due_ms < next_ms ? due_ms : next_ms;
    }
    return next_ms;
}

void
world_advance(struct world *world, uint64_t by_ms)
{
    uint64_t end_ns = sim_now_ns(world->sim) + by_ms * 1000000;
    world_settle(world);
    while (sim_now_ns(world->sim) < end_ns) {
        uint64_t next_ms = next_timer_ms(world);
        uint64_t next_ns = next_ms > end_ns / 1000000 ? end_ns : next_ms * 1000000;
        uint64_t now_ns = sim_now_ns(world->sim);
        sim_advance(world->sim, next_ns > now_ns ? next_ns - now_ns : 1);
        world_settle(world);
    }
}

uint64_t
world_now_ms(const struct world *world)
{
    return sim_now_ns(world->sim) / 1000000;
}

uint64_t
world_count(const struct world *world, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < world->broker->shard_count; i++) {
        sum += stats_get((const _Atomic uint64_t *)(const void *)((const char *)&world->broker->shards[i]->stats + offset));
    }
    return sum;
}

int64_t
world_charged_bytes(const struct world *world)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < world->broker->shard_count; i++) {
        sum += world->broker->budget.accounts[i].bytes;
    }
    return sum;
}

/* Takes leave of everybody; what shards do at their end is left to free_broker(). */
static void
end_turns(struct world *world)
{
    broker_stop(world->broker);
    for (unsigned i = 0; i < 100; i++) {
        world_settle(world);
        sim_advance(world->sim, 50 * 1000000);
    }
}

static void
free_broker(struct world *world)
{
    for (unsigned i = 0; i < world->broker->shard_count; i++) {
        shard_leave(world->broker->shards[i]);
    }
    if (sim_broker_sockets(world->sim) != 0) {
        die("leak", "the stopped broker still holds sockets");
    }
    broker_close(&world->broker); /* its slabs assert that everything was given back */
    config_free(&world->config);
}

/* Connections on their way between two shards arrive: else nobody would free them. */
static void
take_in_moves(struct world *world)
{
    for (unsigned i = 0; i < world->broker->shard_count; i++) {
        shard_turn(world->broker->shards[i], false);
    }
}

void
world_close(struct world **wp)
{
    struct world *world = *wp;
    *wp = NULL;
    if (world->down) {
        take_in_moves(world);
    } else {
        end_turns(world);
    }
    free_broker(world);
    sim_disk_free(&world->disk);
    free(world->options);
    free(world);
}

void
world_crash(struct world *world)
{
    sim_disk_crash(world->disk); /* from now on nothing that the broker does reaches it */
    world->down = true;
}

void
world_kill(struct world *world)
{
    sim_disk_kill(world->disk);
    world->down = true;
}

void
world_stop(struct world *world)
{
    end_turns(world);
    world->down = true;
}

void
world_start(struct world *world, unsigned shards)
{
    take_in_moves(world);
    free_broker(world);
    open_broker(world, shards);
}

struct client *
client_open(struct world *world, uint8_t version)
{
    return client_open_at(world, version, -1);
}

struct client *
client_open_at(struct world *world, uint8_t version, int shard)
{
    struct client *client = calloc(1, sizeof *client);
    client->world = world;
    client->life = world->life;
    client->version = version;
    client->connection = sim_connect(world->sim, WORLD_PORT, shard);
    if (client->connection == SIM_CONNECTION_NONE) {
        die("client", "nobody listens");
    }
    return client;
}

/* Its connection went with an earlier life of the broker. */
static bool
is_cut(const struct client *client)
{
    return client->life != client->world->life;
}

void
client_close(struct client **cp)
{
    struct client *client = *cp;
    *cp = NULL;
    if (!is_cut(client)) {
        sim_free(client->world->sim, client->connection);
    }
    free(client->bytes);
    if (client->web != NULL) {
        free(client->web->raw);
        free(client->web);
    }
    free(client);
}

void
client_send_raw(struct client *client, const void *bytes, uint32_t size)
{
    if (!is_cut(client)) {
        sim_write(client->world->sim, client->connection, bytes, size);
    }
}

void
client_send_frame(struct client *client, uint8_t first, const void *payload, uint32_t size)
{
    static uint8_t masked[4u << 20];
    uint8_t header[WEBSOCKET_HEADER_OUT_MAX];
    uint8_t mask[4] = {0x5a, 0x01, 0xff, (uint8_t)size};
    uint32_t header_size = websocket_write_header(header, WEBSOCKET_BINARY, size);
    header[0] = first;
    header[1] |= 0x80;
    client_send_raw(client, header, header_size);
    client_send_raw(client, mask, sizeof mask);
    if (size > 0) {
        websocket_unmask_portable(masked, payload, size, mask);
        client_send_raw(client, masked, size);
    }
}

void
client_send_bytes(struct client *client, const void *bytes, uint32_t size)
{
    if (client->web != NULL) {
        client_send_frame(client, 0x82, bytes, size);
    } else {
        client_send_raw(client, bytes, size);
    }
}

void
client_send(struct client *client, const struct packet *packet)
{
    static uint8_t bytes[4u << 20];
    uint32_t size = encode_packet(bytes, sizeof bytes, client->version, packet);
    if (size == 0) {
        die("client", "a packet that cannot be encoded");
    }
    client_send_bytes(client, bytes, size);
}

static void
add_bytes(uint8_t **bytes, uint32_t *used, uint32_t *room, const void *more, uint32_t size)
{
    if (*used + size > *room) {
        *room = (*used + size) * 2;
        *bytes = realloc(*bytes, *room);
    }
    if (size > 0) {
        memcpy(*bytes + *used, more, size);
    }
    *used += size;
}

static void
take_frame(struct client *client, uint8_t first, const uint8_t *payload, uint32_t size)
{
    struct web *web = client->web;
    if (web->closed) {
        die("client", "something comes after a Close frame");
    }
    switch (first) {
    case 0x82:
        web->frames++;
        add_bytes(&client->bytes, &client->used, &client->room, payload, size);
        break;
    case 0x8a:
        web->pongs++;
        web->pong_size = size;
        memcpy(web->pong, payload, size);
        break;
    case 0x88:
        web->closed = true;
        web->close_code = size >= 2 ? (uint16_t)(payload[0] << 8 | payload[1]) : 0;
        break;
    default:
        die("client", "a frame that a server does not send");
    }
}

/* Size of the header of the frame at the start of `raw`, and of its payload; 0: it has not come. */
static uint32_t
read_frame_header(const struct web *web, uint64_t *size)
{
    struct reader r = reader_of(bytes_of(web->raw, web->raw_used));
    reader_u8(&r);
    *size = reader_u8(&r);
    if (*size > 127) {
        die("client", "a masked frame from a server");
    }
    if (*size == 126) {
        *size = reader_u16(&r);
    } else if (*size == 127) {
        reader_u32(&r);
        *size = reader_u32(&r);
    }
    return r.failed ? 0 : (uint32_t)(r.at - web->raw);
}

/* Takes the next whole thing off `raw`. False: there is none. */
static bool
take_raw(struct client *client)
{
    struct web *web = client->web;
    uint32_t used;
    if (web->status == 0 || web->status != 101) {
        const uint8_t *end = memmem(web->raw, web->raw_used, "\r\n\r\n", 4);
        if (end == NULL || web->status != 0) {
            return false;
        }
        web->status = (uint32_t)atoi((const char *)web->raw + strlen("HTTP/1.1 "));
        used = (uint32_t)(end - web->raw) + 4;
    } else {
        uint64_t size;
        uint32_t header = read_frame_header(web, &size);
        if (header == 0 || web->raw_used - header < size) {
            return false;
        }
        take_frame(client, web->raw[0], web->raw + header, (uint32_t)size);
        used = header + (uint32_t)size;
    }
    memmove(web->raw, web->raw + used, web->raw_used - used);
    web->raw_used -= used;
    return true;
}

static void
pull_frames(struct client *client)
{
    uint8_t bytes[4096];
    uint32_t size;
    while ((size = sim_read(client->world->sim, client->connection, bytes, sizeof bytes)) > 0) {
        add_bytes(&client->web->raw, &client->web->raw_used, &client->web->raw_room, bytes, size);
        while (client->web->raw_used > 0 && take_raw(client)) {
        }
    }
}

static void
pull(struct client *client)
{
    if (client->consumed > 0) {
        memmove(client->bytes, client->bytes + client->consumed, client->used - client->consumed);
        client->used -= client->consumed;
        client->consumed = 0;
    }
    if (is_cut(client)) {
        return;
    }
    if (client->web != NULL) {
        pull_frames(client);
        return;
    }
    uint32_t waiting = sim_readable(client->world->sim, client->connection);
    if (waiting == 0) {
        return;
    }
    if (client->used + waiting > client->room) {
        client->room = (client->used + waiting) * 2;
        client->bytes = realloc(client->bytes, client->room);
    }
    client->used += sim_read(client->world->sim, client->connection, client->bytes + client->used, client->room - client->used);
}

void
client_pull(struct client *client)
{
    pull(client);
}

void
client_ask_upgrade(struct client *client, const char *request)
{
    static const char good[] = "GET /mqtt HTTP/1.1\r\nHost: broker\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    client->web = calloc(1, sizeof *client->web);
    request = request != NULL ? request : good;
    client_send_raw(client, request, (uint32_t)strlen(request));
}

void
client_upgrade(struct client *client, const char *request)
{
    client_ask_upgrade(client, request);
    world_settle(client->world);
    pull(client);
}

bool
client_receive(struct client *client, struct packet *out)
{
    pull(client);
    struct frame frame;
    enum frame_status status = frame_read(bytes_of(client->bytes, client->used), BYTES_VARINT_MAX, &frame);
    if (status == FRAME_NEED_MORE) {
        return false;
    }
    memset(out, 0, sizeof *out);
    if (status == FRAME_MALFORMED || decode_packet(&frame, client->version, PACKET_FROM_SERVER, out) != REASON_SUCCESS) {
        die("client", "the broker sent a packet that is not valid");
    }
    client->consumed = frame.size;
    return true;
}

bool
client_ended(struct client *client)
{
    pull(client);
    struct frame frame;
    bool whole = frame_read(bytes_of(client->bytes, client->used), BYTES_VARINT_MAX, &frame) != FRAME_NEED_MORE;
    return !whole && (is_cut(client) || sim_finished(client->world->sim, client->connection));
}
