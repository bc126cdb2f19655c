/*
 * strangers: the streams of publishers that somebody else runs, learned from the stamps that arrive.
 *
 * A stamp is believed if its time is one of this machine's last hour: 16 bytes have no room for more, and other payloads do not look like
 * that (text would be dated centuries ahead). What is first heard of a publisher is where its stream begins.
 *
 * Threads  one. Memory  one entry per subscriber and publisher; strangers_fini frees it.
 */
#ifndef TIDEWIRE_BENCH_LOAD_STRANGERS_H
#define TIDEWIRE_BENCH_LOAD_STRANGERS_H

#include <stdbool.h>

#include "bench/load/payload.h"
#include "bench/load/stream.h"

struct stranger {
    uint64_t key; /* 0: free */
    struct stream stream;
};

struct strangers {
    struct stranger *slots; /* open addressing, linear probing, at most half full */
    uint32_t room;
    uint32_t used;
};

bool strangers_believe(const struct payload_stamp *stamp, uint64_t now_ns);

/* Borrowed until the next call. */
struct stream *strangers_get(struct strangers *s, uint32_t subscriber, const struct payload_stamp *stamp);

/* Messages that were jumped over and never came. */
uint64_t strangers_count_missing(const struct strangers *s);
void strangers_fini(struct strangers *s);

#endif
