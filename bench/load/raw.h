/*
 * raw: the load without MQTT, for bench/floor.
 *
 * A connection begins with a hello (raw_hello.h), answered by one byte; then messages of equal size, nothing around them. The same
 * publishers, window and bursts as with MQTT meet a relay that does no more than copy, so what a broker costs above it is the broker.
 *
 * Threads  one.
 */
#ifndef TIDEWIRE_BENCH_LOAD_RAW_H
#define TIDEWIRE_BENCH_LOAD_RAW_H

#include "bench/load/client.h"

extern const struct client_protocol raw_protocol;

#endif
