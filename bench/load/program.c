#include "bench/load/program.h"

void
program_note_stored(struct conductor *c, const struct sample *start, uint64_t messages)
{
    struct sample end = monitor_take_sample(&c->monitor);
    c->result->stored = (struct result_part){
        .messages = messages,
        .ns = end.at_ns - start->at_ns,
        .broker_cpu_ns = end.broker_cpu_ns - start->broker_cpu_ns,
        .has_cpu = start->has_broker && end.has_broker,
    };
}

void
program_end_sessions(struct conductor *c)
{
    if (conductor_get(c, COUNT_CAME_UP) > 0 && conductor_get(c, COUNT_AWAITED) == 0 && conductor_get(c, COUNT_FAILURES) == 0) {
        conductor_leave(c, GROUP_SUBSCRIBERS);
        conductor_connect(c, GROUP_SUBSCRIBERS, SESSION_ENDED, false);
    }
}

void
program_note_fetched(struct conductor *c, uint64_t start_ns)
{
    uint64_t last_ns = start_ns;

    for (uint32_t i = 0; i < c->board->worker_count; i++) {
        uint64_t at_ns = count_get(&c->board->desks[i].counts[COUNT_FINISHED_AT]);
        last_ns = at_ns > last_ns ? at_ns : last_ns;
    }
    if (conductor_get(c, COUNT_FINISHED) < c->options->count) {
        last_ns = c->result->last.at_ns; /* not all of them: then until the end of waiting */
    }
    c->result->fetched = (struct result_part){.messages = conductor_get(c, COUNT_DELIVERED), .ns = last_ns > start_ns ? last_ns - start_ns : 0};
}
