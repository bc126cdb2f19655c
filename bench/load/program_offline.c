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
    uint64_t start_ns = process_get_now_ns();

    monitor_set_phase(&c->monitor, PHASE_WARMUP);
    conductor_order(c, (struct order){.kind = ORDER_OPEN, .at_ns = start_ns});
    if (!conductor_wait(c, all_queued)) {
        return false;
    }
    c->result->stored = (struct result_part){conductor_get(c, COUNT_SENT), process_get_now_ns() - start_ns};
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

/* The broker is left as it was. */
static void
end_sessions(struct conductor *c)
{
    if (conductor_get(c, COUNT_CAME_UP) > 0 && conductor_get(c, COUNT_AWAITED) == 0 && conductor_get(c, COUNT_FAILURES) == 0) {
        conductor_leave(c, GROUP_SUBSCRIBERS);
        conductor_connect(c, GROUP_SUBSCRIBERS, SESSION_ENDED, false);
    }
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
    end_sessions(c);
}
