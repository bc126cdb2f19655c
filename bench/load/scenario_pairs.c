/* pairs: publisher i has a topic of its own, and subscriber i hears exactly that. */
#include <stdio.h>

#include "bench/load/scenario.h"

static void
write_topic(const struct options *o, uint32_t publisher, char *out, size_t room)
{
    (void)o;
    snprintf(out, room, "bench/pair/%u", publisher);
}

const struct scenario scenario_pairs = {
    .program = PROGRAM_FLOW,
    .judge = JUDGE_PAIRS,
    .count_publishers = scenario_by_count,
    .count_subscribers = scenario_by_count,
    .write_topic = write_topic,
    .write_filter = write_topic,
};
