/*
 * gather: whether a shard's next wait should hold back for a moment, so that more arrives before it gets to work.
 *
 * Serving one message costs microseconds in the kernel, most of it per receive, send and wake-up, not per message. A shard that waits 50 us although it
 * could begin halves that cost under load, and makes a lone message 50 us late. So it waits only if of late, at the pace of some short
 * window, GATHER_PACKETS or more were to be expected during such a wait. Clients send in bursts and pause to read; pauses up to GATHER_HOLD_US
 * do not end it.
 *
 *   packets received in a window          expected = packets * wait / length of the window
 *   ├─────── >= GATHER_WINDOW_US ───────┤ expected >= GATHER_PACKETS: on, until GATHER_HOLD_US after the last such window
 *
 * Packets, not receives: a shard that has fallen behind finds several in each receive, and is no less busy.
 *
 * Invariants
 *   G1  a shard that for GATHER_HOLD_US and a window was below the pace is off.
 *   G2  with a wait of 0 it is always off.
 *
 * Threads  the shard's own. Memory  the caller's.
 */
#ifndef TIDEWIRE_ENGINE_GATHER_H
#define TIDEWIRE_ENGINE_GATHER_H

#include <stdbool.h>
#include <stdint.h>

/* How soon waiting begins when load comes. Shorter windows count too few packets to tell. */
#define GATHER_WINDOW_US 250u
/* Lower trades latency at moderate load for CPU time: 6 in 50 us are 120 000 packets a second. */
#define GATHER_PACKETS 6u
/* Higher keeps the wait for messages that come alone after a burst. */
#define GATHER_HOLD_US 4000u

struct gather {
    uint64_t window_start_ns;
    uint64_t hold_until_ns;
    uint64_t window_start_packets;
    bool on;
};

/* After a turn: `packets` have been received since the shard began. Afterwards `on` tells whether the next wait may hold back for `wait_us`. */
void gather_note(struct gather *g, uint64_t now_ns, uint64_t packets, uint32_t wait_us);

#endif
