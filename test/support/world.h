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
#include "engine/io/sim_disk.h"
#include "engine/log.h"
#include "engine/shard.h"

#define WORLD_PORT 1883

struct world {
    struct config *config;
    struct broker *broker;
    struct sim *sim;
    struct sim_disk *disk; /* outlives the broker */
    uint64_t turns; /* since start: a run that does not settle is a bug */
    uint64_t seed;
    char *options;
    uint32_t segment_size; /* 0: as configured */
    uint32_t life;  /* of the broker: how often it was started */
    bool down;      /* it was killed or stopped, and not started again: no shard takes a turn */
};

/* The directory that the world's disk has: for persistence_location. */
#define WORLD_LOCATION "/var/lib/tidewire"

/*
 * `options`: lines of a configuration file, added to a listener on WORLD_PORT with anonymous clients and no $SYS; NULL: none.
 * Aborts the test with a message on any error.
 */
struct world *world_open(uint64_t seed, unsigned shards, const char *options);
/* The size of the journal's segments in worlds that are opened from now on, which may be smaller than option persistence_segment_size allows; 0: as configured. */
void world_set_segment_size(uint32_t bytes);
/* Stops the broker, checks that it holds no socket and no memory any more, and frees everything. */
void world_close(struct world **world);

/*
 *   world_crash  the power fails, in the middle of whatever the broker did; of what is not surely on its disk some is there and some is not
 *   world_kill   as after SIGKILL: the broker is gone without a word, but what it had written is not lost
 *   world_stop   as after SIGTERM: it takes leave of its clients and of its disk
 *   world_start  it runs again on the same disk, perhaps with another number of shards, as late as world_advance() has made it
 *
 * Until it runs again clients may read what had left it; afterwards their connections are gone, and all that is left to do with them is to close them.
 */
void world_crash(struct world *world);
void world_kill(struct world *world);
void world_stop(struct world *world);
void world_start(struct world *world, unsigned shards);

void world_settle(struct world *world);
void world_advance(struct world *world, uint64_t by_ms);
uint64_t world_now_ms(const struct world *world);
/* Sum of a counter over all shards; `offset`: offsetof(struct stats, counter). */
uint64_t world_count(const struct world *world, size_t offset);
#define WORLD_COUNT(world, counter) world_count((world), offsetof(struct stats, counter))
/* What all shards have charged by now; the budget's own sum is as of their last turns. */
int64_t world_charged_bytes(const struct world *world);

/* What a client inside of a WebSocket has seen of it. */
struct web {
    uint8_t *raw;          /* bytes of the network that are no whole frame yet */
    uint32_t raw_used, raw_room;
    uint32_t status;       /* HTTP's; 0: no answer yet */
    uint32_t frames;       /* of data */
    uint32_t pongs;
    uint8_t pong[125];     /* the last one */
    uint32_t pong_size;
    bool closed;           /* a Close frame came */
    uint16_t close_code;   /* 0: it had none */
};

/* One client's connection. Bytes of received packets live until the next client_receive() or client_close(). */
struct client {
    struct world *world;
    sim_connection connection;
    uint32_t life;         /* the world's, when it was opened */
    uint8_t version;
    uint8_t *bytes;
    uint32_t used, room, consumed;
    struct web *web;       /* NULL: plain */
};

/* Connects (nothing is sent yet). */
struct client *client_open(struct world *world, uint8_t version);
/* `shard`: the one that accepts it; -1: as chance has it. */
struct client *client_open_at(struct world *world, uint8_t version, int shard);
/* Breaks the connection if it is open, and forgets it. */
void client_close(struct client **client);

/*
 * From now on the client talks inside of a WebSocket. Sends `request` (NULL: a good one) and takes in the answer; what is sent and received afterwards with the
 * functions here is framed and unframed. client_ask_upgrade() does not wait for the answer.
 */
void client_ask_upgrade(struct client *client, const char *request);
void client_upgrade(struct client *client, const char *request);
/* A masked frame; `first`: its first byte. */
void client_send_frame(struct client *client, uint8_t first, const void *payload, uint32_t size);
/* Takes in what has arrived. */
void client_pull(struct client *client);
/* As they are, whatever the client is in. */
void client_send_raw(struct client *client, const void *bytes, uint32_t size);

void client_send(struct client *client, const struct packet *packet);
void client_send_bytes(struct client *client, const void *bytes, uint32_t size);
/* The next packet that has arrived, decoded; false if there is none. Fails the test if the bytes are not a valid packet from a server. */
bool client_receive(struct client *client, struct packet *out);
/* True once the broker has ended the connection and every whole packet before that was received (the last one may be cut off). */
bool client_ended(struct client *client);

#endif
