#include "bench/millions/fleet.h"

#include "bench/millions/heap.h"
#include "codec/decode.h"
#include "codec/encode.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_BYTES 32u
#define PACKET_BYTES_MAX 256u
#define PAYLOAD_BYTES 64u
#define KEEP_ALIVE_S 600u
/* Our packet identifier: one message is in flight per client. */
#define PACKET_ID 1u
/* Primes above any count: a product with one of them, modulo the count, is a permutation. */
#define ORDER_STEP UINT64_C(2654435761)
#define PARTNER_STEP UINT64_C(4294967291)

struct fleet {
    struct host *host;
    struct sim *sim;
    uint32_t count, window;
    uint8_t qos;
    uint64_t next; /* message number */
    sim_connection *connections;
    struct fleet_tally tally;
};

struct fleet *
fleet_open(struct host *host, uint32_t count, uint32_t window, uint8_t qos)
{
    struct fleet *fleet = heap_calloc(1, sizeof *fleet);
    *fleet = (struct fleet){.host = host, .sim = host_sim(host), .count = count, .window = window < count ? window : count, .qos = qos};
    fleet->connections = heap_malloc(count * sizeof *fleet->connections);
    return fleet;
}

void
fleet_close(struct fleet **fleetp)
{
    struct fleet *fleet = *fleetp;
    *fleetp = NULL;
    heap_free(fleet->connections);
    heap_free(fleet);
}

const struct fleet_tally *
fleet_tally(const struct fleet *fleet)
{
    return &fleet->tally;
}

static struct bytes
text_of(char *out, const char *form, uint32_t number)
{
    return bytes_of(out, (uint32_t)snprintf(out, TEXT_BYTES, form, number));
}

/* --------------------------------------------------------------------------------------------------------------- connecting */

/* CONNECT and SUBSCRIBE in one segment, as MQTT allows. */
static void
say_hello(struct fleet *fleet, uint32_t client)
{
    char id[TEXT_BYTES], topic[TEXT_BYTES];
    uint8_t entry[TEXT_BYTES + 3], packets[2 * PACKET_BYTES_MAX];
    struct connect connect = {
        .version = MQTT_VERSION_5, .clean_start = true, .keep_alive_s = KEEP_ALIVE_S, .client_id = text_of(id, "device-%07u", client)};
    struct subscription_options options = {.qos = fleet->qos};
    uint32_t entry_size = encode_subscribe_entry(entry, sizeof entry, text_of(topic, "devices/%07u/in", client), options);
    struct subscribe subscribe = {.packet_id = PACKET_ID, .count = 1, .entries = bytes_of(entry, entry_size)};

    uint32_t size = encode_connect(packets, PACKET_BYTES_MAX, &connect);
    size += encode_subscribe(packets + size, PACKET_BYTES_MAX, MQTT_VERSION_5, &subscribe);
    sim_write(fleet->sim, fleet->connections[client], packets, size);
}

/* The next packet in `rest`, which moves on. False at its end. */
static bool
next_frame(struct bytes *rest, struct frame *frame)
{
    if (frame_read(*rest, PACKET_BYTES_MAX, frame) != FRAME_DONE) {
        return false;
    }
    rest->data += frame->size;
    rest->size -= frame->size;
    return true;
}

static bool
is_welcome(struct fleet *fleet, uint32_t client)
{
    uint8_t bytes[PACKET_BYTES_MAX];
    struct bytes rest = bytes_of(bytes, sim_read(fleet->sim, fleet->connections[client], bytes, sizeof bytes));
    struct frame frame;
    struct packet connack, suback;
    return next_frame(&rest, &frame) && decode_packet(&frame, MQTT_VERSION_5, PACKET_FROM_SERVER, &connack) == REASON_SUCCESS &&
           connack.type == PACKET_CONNACK && connack.connack.reason == REASON_SUCCESS && next_frame(&rest, &frame) &&
           decode_packet(&frame, MQTT_VERSION_5, PACKET_FROM_SERVER, &suback) == REASON_SUCCESS && suback.type == PACKET_SUBACK &&
           suback.suback.codes.size == 1 && suback.suback.codes.data[0] == fleet->qos && rest.size == 0;
}

void
fleet_connect(struct fleet *fleet)
{
    for (uint32_t first = 0; first < fleet->count; first += fleet->window) {
        uint32_t end = fleet->count - first < fleet->window ? fleet->count : first + fleet->window;
        for (uint32_t i = first; i < end; i++) {
            fleet->connections[i] = sim_connect(fleet->sim, HOST_PORT, -1);
            assert(fleet->connections[i] != SIM_CONNECTION_NONE);
            say_hello(fleet, i);
        }
        host_settle(fleet->host);
        for (uint32_t i = first; i < end; i++) {
            fleet->tally.refused += !is_welcome(fleet, i);
        }
    }
}

/* --------------------------------------------------------------------------------------------------------------- publishing */

/* Who sends message number `n`, and to whom. */
static uint32_t
sender_of(const struct fleet *fleet, uint64_t n)
{
    return (uint32_t)((unsigned __int128)(n % fleet->count) * ORDER_STEP % fleet->count);
}

static uint32_t
partner_of(const struct fleet *fleet, uint32_t client)
{
    return (uint32_t)(((unsigned __int128)client * PARTNER_STEP + fleet->count / 2) % fleet->count);
}

/* The PUBLISH of message `n`, the same on both of its ways but for the packet identifier. */
static uint32_t
write_publish(const struct fleet *fleet, uint64_t n, uint16_t packet_id, uint8_t *out)
{
    char topic[TEXT_BYTES];
    uint8_t payload[PAYLOAD_BYTES] = {0};
    uint32_t sender = sender_of(fleet, n);
    memcpy(payload, &n, sizeof n);
    memcpy(payload + sizeof n, &sender, sizeof sender);
    struct publish publish = {
        .topic = text_of(topic, "devices/%07u/in", partner_of(fleet, sender)),
        .payload = bytes_of(payload, sizeof payload),
        .packet_id = packet_id,
        .qos = fleet->qos,
    };
    return encode_publish(out, PACKET_BYTES_MAX, MQTT_VERSION_5, &publish);
}

static void
acknowledge(struct fleet *fleet, uint32_t client, uint16_t packet_id)
{
    const uint8_t puback[4] = {PACKET_PUBACK << 4, 2, (uint8_t)(packet_id >> 8), (uint8_t)packet_id};
    sim_write(fleet->sim, fleet->connections[client], puback, sizeof puback);
}

/* One packet that `client` got. True if it is message `n`. */
static bool
look_at(struct fleet *fleet, uint32_t client, const struct frame *frame, struct bytes whole, uint64_t n)
{
    if (frame->type == PACKET_PUBACK && fleet->qos == 1) {
        fleet->tally.acknowledged++;
        return false;
    }
    struct packet packet;
    uint8_t expected[PACKET_BYTES_MAX];
    if (frame->type != PACKET_PUBLISH || decode_packet(frame, MQTT_VERSION_5, PACKET_FROM_SERVER, &packet) != REASON_SUCCESS) {
        fleet->tally.strange++;
        return false;
    }
    if (packet.publish.qos == 1) {
        acknowledge(fleet, client, packet.publish.packet_id);
    }
    uint32_t size = write_publish(fleet, n, packet.publish.packet_id, expected);
    bool right = bytes_equal(whole, bytes_of(expected, size));
    fleet->tally.strange += !right;
    return right;
}

/* Everything that the receiver of message `n` got. */
static void
collect(struct fleet *fleet, uint32_t client, uint64_t n)
{
    uint8_t bytes[4 * PACKET_BYTES_MAX];
    struct bytes rest = bytes_of(bytes, sim_read(fleet->sim, fleet->connections[client], bytes, sizeof bytes));
    struct frame frame;
    uint64_t copies = 0;
    const uint8_t *start = rest.data;
    while (next_frame(&rest, &frame)) {
        copies += look_at(fleet, client, &frame, bytes_of(start, frame.size), n);
        start = rest.data;
    }
    fleet->tally.strange += rest.size > 0;
    fleet->tally.delivered += copies > 0;
    fleet->tally.missing += copies == 0;
    fleet->tally.repeated += copies > 1 ? copies - 1 : 0;
}

void
fleet_publish(struct fleet *fleet, uint64_t count)
{
    for (uint64_t end = fleet->next + count; fleet->next < end;) {
        uint64_t first = fleet->next;
        uint64_t stop = end - first < fleet->window ? end : first + fleet->window;
        for (uint64_t n = first; n < stop; n++) {
            uint8_t packet[PACKET_BYTES_MAX];
            uint32_t size = write_publish(fleet, n, fleet->qos > 0 ? PACKET_ID : 0, packet);
            sim_write(fleet->sim, fleet->connections[sender_of(fleet, n)], packet, size);
        }
        host_settle(fleet->host);
        for (uint64_t n = first; n < stop; n++) {
            collect(fleet, partner_of(fleet, sender_of(fleet, n)), n);
        }
        if (fleet->qos > 0) {
            host_settle(fleet->host); /* our acknowledgements */
        }
        fleet->tally.sent += stop - first;
        fleet->next = stop;
    }
}

void
fleet_search(struct fleet *fleet)
{
    for (uint32_t i = 0; i < fleet->count; i++) {
        uint8_t bytes[4 * PACKET_BYTES_MAX];
        struct bytes rest = bytes_of(bytes, sim_read(fleet->sim, fleet->connections[i], bytes, sizeof bytes));
        struct frame frame;
        while (next_frame(&rest, &frame)) {
            bool acknowledgement = frame.type == PACKET_PUBACK && fleet->qos == 1;
            fleet->tally.acknowledged += acknowledgement;
            fleet->tally.strange += !acknowledgement;
        }
        fleet->tally.strange += rest.size > 0;
    }
}
