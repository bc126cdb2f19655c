/*
 * gather: how long a shard's next wait should hold back, so that more arrives before it gets to work.
 *
 * Serving a message costs microseconds in the kernel, per receive, send and wake-up and not per message. A shard that waits a moment although it could begin
 * shares that cost among many, and makes a message that comes alone late by the wait. So it waits only where without waiting it would hardly keep up, and
 * then messages would queue for longer. Every GATHER_WINDOW_US or a little more it is judged:
 *
 *   packets that come during one wait, at the pace of the window     the next waits hold back
 *   fewer than GATHER_PACKETS                                        not at all
 *   more                                                             for the wait
 *   GATHER_PACKETS_DEEP or more                                      for GATHER_DEEP_FACTOR times the wait
 *
 * and that only if its thread used the core for half of the window, or for GATHER_KEEP_PERCENT where it waits already: publishers that send many messages in one segment make
 * a high pace at little cost. Clients send in bursts and pause to read, so a wait is given up for a shorter one only GATHER_HOLD_US after the last window that asked for it.
 *
 * Invariants
 *   G1  GATHER_HOLD_US and a window after the pace has fallen the wait is what the pace asks for: none after quiet.
 *   G2  with a wait of 0 nothing ever waits.
 *
 * Threads  the shard's own. Memory  the caller's.
 */
#ifndef TIDEWIRE_ENGINE_GATHER_H
#define TIDEWIRE_ENGINE_GATHER_H

#include <stdbool.h>
#include <stdint.h>

/* How soon waiting begins when load comes. Shorter windows count too little to tell. */
#define GATHER_WINDOW_US 500u
/* Lower trades latency at moderate load for CPU time: 6 in 50 us are 120 000 packets a second, what a core can just do one at a time. */
#define GATHER_PACKETS 6u
#define GATHER_PACKETS_DEEP 9u
/* Higher saves more CPU time where a core would otherwise be full; 200 us with the default wait. */
#define GATHER_DEEP_FACTOR 4u
/* Lower keeps waiting for what costs little. */
#define GATHER_KEEP_PERCENT 15u
/* Higher keeps the wait for messages that come alone after a burst. */
#define GATHER_HOLD_US 4000u

struct gather {
    uint32_t wait_us;       /* the answer */
    uint64_t window_start_ns;
    uint64_t window_cpu_ns; /* at its start */
    uint64_t window_packets;
    uint64_t hold_until_ns;
};

/* True if the window is over, and gather_judge() is to be called. */
static inline bool
gather_is_due(const struct gather *g, uint64_t now_ns)
{
    return now_ns - g->window_start_ns >= GATHER_WINDOW_US * UINT64_C(1000);
}

/* Ends a window. `cpu_ns` and `packets`: what the thread has used and received since it began. `wait_us`: option batch_wait_us. */
void gather_judge(struct gather *g, uint64_t now_ns, uint64_t cpu_ns, uint64_t packets, uint32_t wait_us);

#endif
