/*
 * raw_hello: the first bytes of a connection between `tidewire-bench --raw` and bench/floor.
 *
 *   0      1          2     4       8              12
 *   | role | scenario | 0 0 | index | message size |       host byte order: both ends are on one machine
 *
 * They tell the relay all it has to know, so one relay serves every case without options. It answers RAW_WELCOME.
 */
#ifndef TIDEWIRE_BENCH_LOAD_RAW_HELLO_H
#define TIDEWIRE_BENCH_LOAD_RAW_HELLO_H

#include <assert.h>
#include <stdint.h>

#define RAW_PUBLISHER 'P'
#define RAW_SUBSCRIBER 'S'
#define RAW_WELCOME 'k'

struct raw_hello {
    uint8_t role;
    uint8_t scenario; /* enum options_scenario */
    uint16_t zero;
    uint32_t index; /* among its role */
    uint32_t message_size;
};

static_assert(sizeof(struct raw_hello) == 12, "no padding: these bytes go over the wire");

#endif
