#include "bench/load/process.h"
#include "bench/load/program.h"

static bool
all_queued(const struct conductor *c)
{
    return conductor_get(c, COUNT_SENT) == c->options->messages * c->options->count && conductor_get(c, COUNT_UNACKED) == 0;
}

static bool
all_drained(const struct conductor *c)
{
    return conductor_get(c, COUNT_FINISHED) == c->options->count;
}

static bool
subscribe_and_go(struct conductor *c)
{
    if (!conductor_connect(c, GROUP_SUBSCRIBERS, SESSION_KEPT, true)) {
        return false;
    }
    conductor_leave(c, GROUP_SUBSCRIBERS);
    return conductor_connect(c, GROUP_PUBLISHERS, SESSION_AS_ASKED, true);
}

static bool
queue(struct conductor *c)
{
    struct sample start = monitor_take_sample(&c->monitor);

    monitor_set_phase(&c->monitor, PHASE_WARMUP);
    conductor_order(c, (struct order){.kind = ORDER_OPEN, .at_ns = start.at_ns});
    if (!conductor_wait(c, all_queued)) {
        return false;
    }
    program_note_stored(c, &start, conductor_get(c, COUNT_SENT));
    return true;
}

static void
come_back(struct conductor *c)
{
    conductor_begin_measuring(c, UINT64_MAX);
    uint64_t start_ns = process_get_now_ns();
    if (conductor_connect(c, GROUP_SUBSCRIBERS, SESSION_RESUMED, false)) {
        conductor_wait(c, all_drained);
    }
    conductor_end_measuring(c);
    program_note_fetched(c, start_ns);
}

void
program_offline(struct conductor *c)
{
    if (subscribe_and_go(c) && queue(c)) {
        come_back(c);
    }
    conductor_order(c, (struct order){.kind = ORDER_CLOSE});
    if (conductor_get(c, COUNT_FAILURES) > 0) {
        conductor_drain(c);
    }
    program_end_sessions(c);
}
