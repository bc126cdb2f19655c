/*
 * fleet: the clients: each has a session with one subscription of its own, and each publishes to one other.
 *
 * Client i subscribes to `devices/<i>/in`. In each round every client publishes one message of 64 bytes to its partner, a permutation of all, so
 * that each gets exactly one per round. A message says its number and its sender: what arrives is compared byte for byte with what must, and at
 * the end every connection is looked at once more for what nobody should have got.
 *
 * Memory  of the heap that is not the broker's (heap.h).
 */
#ifndef TIDEWIRE_BENCH_MILLIONS_FLEET_H
#define TIDEWIRE_BENCH_MILLIONS_FLEET_H

#include "bench/millions/host.h"

struct fleet;

struct fleet_tally {
    uint64_t sent, delivered;
    uint64_t missing, repeated, strange; /* strange: what nobody sent, or sent to somebody else, or changed on its way */
    uint64_t acknowledged;               /* of the sent ones, with QoS 1 */
    uint64_t refused;                    /* clients that did not get their CONNACK and SUBACK */
};

/* `window`: clients that act at once; no more than there are. */
struct fleet *fleet_open(struct host *host, uint32_t count, uint32_t window, uint8_t qos);
void fleet_close(struct fleet **fleet);

/* Connects and subscribes everyone. */
void fleet_connect(struct fleet *fleet);
/* `count` more messages: each client in its turn, in an order that is far from that of their memory. */
void fleet_publish(struct fleet *fleet, uint64_t count);
/* Looks for what arrived and was not expected. */
void fleet_search(struct fleet *fleet);
const struct fleet_tally *fleet_tally(const struct fleet *fleet);

#endif
