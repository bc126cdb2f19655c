#include "bench/load/process.h"
#include "bench/load/program.h"

static bool
all_stored(const struct conductor *c)
{
    return conductor_get(c, COUNT_SENT) == c->options->messages && conductor_get(c, COUNT_UNACKED) == 0;
}

static bool
all_fetched(const struct conductor *c)
{
    return conductor_get(c, COUNT_FINISHED) == c->options->count;
}

static bool
all_acknowledged(const struct conductor *c)
{
    return conductor_get(c, COUNT_UNACKED) == 0;
}

static bool
store(struct conductor *c)
{
    struct sample start = monitor_take_sample(&c->monitor);

    monitor_set_phase(&c->monitor, PHASE_WARMUP);
    conductor_order(c, (struct order){.kind = ORDER_OPEN, .at_ns = start.at_ns});
    if (!conductor_wait(c, all_stored)) {
        return false;
    }
    program_note_stored(c, &start, c->options->messages);
    conductor_order(c, (struct order){.kind = ORDER_CLOSE});
    return true;
}

static void
fetch(struct conductor *c)
{
    conductor_begin_measuring(c, UINT64_MAX);
    uint64_t start_ns = process_get_now_ns();
    conductor_order(c, (struct order){.kind = ORDER_SUBSCRIBE});
    conductor_wait(c, all_fetched);
    conductor_end_measuring(c);
    program_note_fetched(c, start_ns);
}

/* The broker is left as it was. */
static void
erase(struct conductor *c)
{
    if (conductor_get(c, COUNT_SENT) > 0 && conductor_get(c, COUNT_READY) > 0) {
        conductor_order(c, (struct order){.kind = ORDER_ERASE});
        conductor_wait_anyway(c, all_acknowledged);
        conductor_order(c, (struct order){.kind = ORDER_CLOSE});
    }
}

void
program_retained(struct conductor *c)
{
    if (conductor_connect(c, GROUP_ALL, SESSION_AS_ASKED, true) && store(c)) {
        fetch(c);
    }
    conductor_leave(c, GROUP_SUBSCRIBERS);
    erase(c);
}
