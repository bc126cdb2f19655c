#include "bench/load/program.h"

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
    c->result->fetched = (struct result_part){conductor_get(c, COUNT_DELIVERED), last_ns > start_ns ? last_ns - start_ns : 0};
}
