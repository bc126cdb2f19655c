#include "bench/load/process.h"
#include "bench/load/program.h"

static void
measure(struct conductor *c)
{
    uint64_t start_ns = process_get_now_ns();

    monitor_set_phase(&c->monitor, PHASE_WARMUP);
    conductor_order(c, (struct order){.kind = ORDER_OPEN, .at_ns = start_ns});
    if (!conductor_stay(c, start_ns + c->options->warmup_ns)) {
        return;
    }
    uint64_t now_ns = process_get_now_ns();
    uint64_t until_ns = c->options->duration_ns == OPTIONS_FOREVER ? UINT64_MAX : now_ns + c->options->duration_ns;
    conductor_begin_measuring(c, until_ns);
    conductor_stay(c, until_ns);
    conductor_end_measuring(c);
}

void
program_flow(struct conductor *c)
{
    if (conductor_connect(c, GROUP_ALL, SESSION_AS_ASKED, true)) {
        measure(c);
    }
    conductor_drain(c);
}
