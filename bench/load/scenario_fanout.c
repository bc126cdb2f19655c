/* fanout: one publisher, one topic, and every subscriber hears it; with more publishers each has its topic, and everyone hears all. */
#include <stdio.h>

#include "bench/load/scenario.h"

static void
write_topic(const struct options *o, uint32_t publisher, char *out, size_t room)
{
    if (o->publishers == 1) {
        snprintf(out, room, "bench/out");
    } else {
        snprintf(out, room, "bench/out/%u", publisher);
    }
}

static void
write_filter(const struct options *o, uint32_t subscriber, char *out, size_t room)
{
    (void)subscriber;
    snprintf(out, room, o->publishers == 1 ? "bench/out" : "bench/out/+");
}

const struct scenario scenario_fanout = {
    .program = PROGRAM_FLOW,
    .judge = JUDGE_ALL,
    .count_publishers = scenario_by_publishers,
    .count_subscribers = scenario_by_count,
    .write_topic = write_topic,
    .write_filter = write_filter,
};
