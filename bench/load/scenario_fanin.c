/* fanin: every publisher has a topic of its own, one subscriber hears all of them through a wildcard. */
#include <stdio.h>

#include "bench/load/scenario.h"

static void
write_topic(const struct options *o, uint32_t publisher, char *out, size_t room)
{
    (void)o;
    snprintf(out, room, "bench/in/%u", publisher);
}

static void
write_filter(const struct options *o, uint32_t subscriber, char *out, size_t room)
{
    (void)o;
    (void)subscriber;
    snprintf(out, room, "bench/in/+");
}

const struct scenario scenario_fanin = {
    .program = PROGRAM_FLOW,
    .judge = JUDGE_ALL,
    .count_publishers = scenario_by_count,
    .count_subscribers = scenario_one,
    .write_topic = write_topic,
    .write_filter = write_filter,
};
