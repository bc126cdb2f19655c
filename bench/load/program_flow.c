#include "bench/load/process.h"
#include "bench/load/program.h"

static void
open_traffic(struct conductor *c)
{
    conductor_order(c, (struct order){.kind = ORDER_OPEN, .at_ns = process_get_now_ns()});
}

static bool
warm_up(struct conductor *c)
{
    uint64_t start_ns = process_get_now_ns();

    monitor_set_phase(&c->monitor, PHASE_WARMUP);
    open_traffic(c);
    return conductor_stay(c, start_ns + c->options->warmup_ns);
}

static void
measure(struct conductor *c)
{
    uint64_t until_ns = UINT64_MAX;

    if (c->options->warmup_ns > 0 && !warm_up(c)) {
        return;
    }
    if (c->options->duration_ns != OPTIONS_FOREVER) {
        until_ns = process_get_now_ns() + c->options->duration_ns;
    }
    conductor_begin_measuring(c, until_ns);
    if (c->options->warmup_ns == 0) {
        open_traffic(c); /* only now, so that none of it is missed: --messages may be sent before anybody looks */
    }
    conductor_stay(c, until_ns);
    conductor_end_measuring(c);
}

static bool
connect_all(struct conductor *c)
{
    if (!c->options->keep_sessions) {
        return conductor_connect(c, GROUP_ALL, SESSION_AS_ASKED, true);
    }
    return conductor_connect(c, GROUP_SUBSCRIBERS, SESSION_KEPT, true) && conductor_connect(c, GROUP_PUBLISHERS, SESSION_AS_ASKED, true);
}

void
program_flow(struct conductor *c)
{
    if (connect_all(c)) {
        measure(c);
    }
    conductor_drain(c);
    if (c->options->keep_sessions) {
        program_end_sessions(c);
    }
}
