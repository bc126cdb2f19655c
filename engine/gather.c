#include "engine/gather.h"

#define US UINT64_C(1000)

/* How long to hold back by this window alone. */
static uint32_t
wish_of(const struct gather *g, uint64_t length_ns, uint64_t cpu_ns, uint64_t packets, uint32_t wait_us)
{
    /* Packets per wait, times the length of the window. */
    uint64_t expected = (packets - g->window_packets) * wait_us * US;
    uint64_t busy_percent = (cpu_ns - g->window_cpu_ns) * 100 / length_ns;

    if (busy_percent < (g->wait_us > 0 ? GATHER_KEEP_PERCENT : 50) || expected < GATHER_PACKETS * length_ns) {
        return 0;
    }
    return expected < GATHER_PACKETS_DEEP * length_ns ? wait_us : wait_us * GATHER_DEEP_FACTOR;
}

void
gather_judge(struct gather *g, uint64_t now_ns, uint64_t cpu_ns, uint64_t packets, uint32_t wait_us)
{
    uint32_t wish_us = wish_of(g, now_ns - g->window_start_ns, cpu_ns, packets, wait_us);

    if (wish_us >= g->wait_us || now_ns >= g->hold_until_ns || wait_us == 0) {
        g->wait_us = wish_us;
        g->hold_until_ns = now_ns + GATHER_HOLD_US * US;
    }
    g->window_start_ns = now_ns;
    g->window_cpu_ns = cpu_ns;
    g->window_packets = packets;
}
