#include "bench/load/process.h"
#include "bench/load/program.h"

static bool
start_steady(struct conductor *c)
{
    if (c->options->steady == 0) {
        return true;
    }
    if (!conductor_connect(c, GROUP_PUBLISHERS | GROUP_SUBSCRIBERS, SESSION_AS_ASKED, false)) {
        return false;
    }
    uint64_t start_ns = process_get_now_ns();
    monitor_set_phase(&c->monitor, PHASE_WARMUP);
    conductor_order(c, (struct order){.kind = ORDER_OPEN, .at_ns = start_ns});
    return conductor_stay(c, start_ns + c->options->warmup_ns);
}

/* How late messages are when nothing else happens: what the storm's latencies have to be held against. */
static bool
measure_calm(struct conductor *c)
{
    if (c->options->calm_ns == 0) {
        return true;
    }
    conductor_begin_measuring(c, UINT64_MAX);
    bool calm = conductor_stay(c, process_get_now_ns() + c->options->calm_ns);
    histogram_init(&c->result->calm);
    for (uint32_t i = 0; i < c->board->worker_count; i++) {
        histogram_merge(&c->result->calm, &c->board->desks[i].latency);
    }
    return calm;
}

void
program_storm(struct conductor *c)
{
    if (start_steady(c) && measure_calm(c)) {
        conductor_begin_measuring(c, UINT64_MAX);
        conductor_connect(c, GROUP_IDLE, SESSION_AS_ASKED, true);
        count_set(&c->board->latency_until_ns, process_get_now_ns());
        conductor_end_measuring(c);
    }
    conductor_drain(c);
}
