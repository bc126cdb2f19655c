/*
 * payload: what the generator writes into the first 16 bytes of every message, so that the receiver can judge it.
 *
 *   0               8               16            size
 *   | pub 24 seq 40 | due time, ns  | filling ... |
 *
 * Host byte order: sender and receiver are on one machine, whose monotonic clock they share. 24 bits of publisher and 40 of sequence number are 16 million
 * publishers and a million messages a second for twelve days.
 */
#ifndef TIDEWIRE_BENCH_LOAD_PAYLOAD_H
#define TIDEWIRE_BENCH_LOAD_PAYLOAD_H

#include <stdint.h>
#include <string.h>

#define PAYLOAD_STAMP_SIZE 16u
#define PAYLOAD_PUBLISHERS_MAX (UINT32_C(1) << 24)

struct payload_stamp {
    uint32_t publisher;
    uint64_t sequence;
    uint64_t due_ns; /* CLOCK_MONOTONIC: when it should have been sent, which is not always when it was */
};

static inline void
payload_write_stamp(uint8_t *out, struct payload_stamp s)
{
    uint64_t words[2] = {(uint64_t)s.publisher << 40 | s.sequence, s.due_ns};
    memcpy(out, words, sizeof words);
}

static inline struct payload_stamp
payload_read_stamp(const uint8_t *in)
{
    uint64_t words[2];
    memcpy(words, in, sizeof words);
    return (struct payload_stamp){(uint32_t)(words[0] >> 40), words[0] & ((UINT64_C(1) << 40) - 1), words[1]};
}

#endif
