/* offline: pairs whose subscribers are away while their publishers publish, and then come back for it. */
#include <stdio.h>

#include "bench/load/scenario.h"

static void
write_topic(const struct options *o, uint32_t publisher, char *out, size_t room)
{
    (void)o;
    snprintf(out, room, "bench/away/%u", publisher);
}

const struct scenario scenario_offline = {
    .program = PROGRAM_OFFLINE,
    .judge = JUDGE_PAIRS,
    .count_publishers = scenario_by_count,
    .count_subscribers = scenario_by_count,
    .write_topic = write_topic,
    .write_filter = write_topic,
};
