#include "engine/gather.h"

#define US UINT64_C(1000)

void
gather_note(struct gather *g, uint64_t now_ns, uint64_t packets, uint32_t wait_us)
{
    uint64_t length_ns = now_ns - g->window_start_ns;

    if (length_ns >= GATHER_WINDOW_US * US) {
        if ((packets - g->window_start_packets) * wait_us * US >= GATHER_PACKETS * length_ns) {
            g->hold_until_ns = now_ns + GATHER_HOLD_US * US;
        }
        g->window_start_ns = now_ns;
        g->window_start_packets = packets;
    }
    g->on = now_ns < g->hold_until_ns;
}
