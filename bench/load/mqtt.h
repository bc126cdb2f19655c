/*
 * mqtt: what the generator's connections say to a broker, in MQTT 3.1, 3.1.1 or 5.0, with the project's own codec.
 *
 * Subscribers answer every QoS 1 and 2 message at once; publishers answer PUBREC and account packet identifiers within
 * the broker's Receive Maximum. Without --keep-alive it is 0: the broker may not count a silent connection as dead.
 *
 * Threads  one.
 */
#ifndef TIDEWIRE_BENCH_LOAD_MQTT_H
#define TIDEWIRE_BENCH_LOAD_MQTT_H

#include "bench/load/client.h"

extern const struct client_protocol mqtt_protocol;

#endif
