/*
 * world: a whole broker over the simulated network, and clients to talk to it, for tests.
 *
 * All shards run in this thread, round-robin, in simulated time. world_settle() lets everything happen that happens without time passing (beyond the
 * network's own delays); world_advance() lets time pass.
 */
#ifndef TIDEWIRE_TEST_SUPPORT_WORLD_H
#define TIDEWIRE_TEST_SUPPORT_WORLD_H

#include "codec/decode.h"
#include "codec/encode.h"
#include "engine/broker.h"
#include "engine/io/sim.h"
#include "engine/log.h"
#include "engine/shard.h"

#define WORLD_PORT 1883

struct world {
    struct config *config;
    struct broker *broker;
    struct sim *sim;
    uint64_t turns; /* since start: a run that does not settle is a bug */
};

/*
 * `options`: lines of a configuration file, added to a listener on WORLD_PORT with anonymous clients and no $SYS; NULL: none.
 * Aborts the test with a message on any error.
 */
struct world *world_open(uint64_t seed, unsigned shards, const char *options);
/* Stops the broker, checks that it holds no socket and no memory any more, and frees everything. */
void world_close(struct world **world);

void world_settle(struct world *world);
void world_advance(struct world *world, uint64_t by_ms);
uint64_t world_now_ms(const struct world *world);
/* Sum of a counter over all shards; `offset`: offsetof(struct stats, counter). */
uint64_t world_count(const struct world *world, size_t offset);
#define WORLD_COUNT(world, counter) world_count((world), offsetof(struct stats, counter))

/* One client's connection. Bytes of received packets live until the next client_receive() or client_close(). */
struct client {
    struct world *world;
    sim_connection connection;
    uint8_t version;
    uint8_t *bytes;
    uint32_t used, room, consumed;
};

/* Connects (nothing is sent yet). */
struct client *client_open(struct world *world, uint8_t version);
/* Breaks the connection if it is open, and forgets it. */
void client_close(struct client **client);

void client_send(struct client *client, const struct packet *packet);
void client_send_bytes(struct client *client, const void *bytes, uint32_t size);
/* The next packet that has arrived, decoded; false if there is none. Fails the test if the bytes are not a valid packet from a server. */
bool client_receive(struct client *client, struct packet *out);
/* True once the broker has ended the connection and every whole packet before that was received (the last one may be cut off). */
bool client_ended(struct client *client);

#endif
