/* connstorm: connections all at once, beside --steady pairs that go on as if nothing had happened. */
#include <stdio.h>

#include "bench/load/scenario.h"

static uint32_t
count_steady(const struct options *o)
{
    return (uint32_t)o->steady;
}

static void
write_topic(const struct options *o, uint32_t publisher, char *out, size_t room)
{
    (void)o;
    snprintf(out, room, "bench/pair/%u", publisher);
}

const struct scenario scenario_connstorm = {
    .program = PROGRAM_STORM,
    .judge = JUDGE_PAIRS,
    .count_publishers = count_steady,
    .count_subscribers = count_steady,
    .count_idle = scenario_by_count,
    .write_topic = write_topic,
    .write_filter = write_topic,
};
