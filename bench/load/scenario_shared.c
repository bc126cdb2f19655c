/* shared: members of shared subscription groups; one member of each group gets a message, whichever the broker picks. */
#include <stdio.h>

#include "bench/load/scenario.h"

static void
write_topic(const struct options *o, uint32_t publisher, char *out, size_t room)
{
    (void)o;
    snprintf(out, room, "bench/shared/%u", publisher);
}

/* Member i is in group i mod groups. */
static void
write_filter(const struct options *o, uint32_t subscriber, char *out, size_t room)
{
    snprintf(out, room, "$share/bench%u/bench/shared/#", subscriber % (uint32_t)o->groups);
}

const struct scenario scenario_shared = {
    .program = PROGRAM_FLOW,
    .judge = JUDGE_GROUPS,
    .count_publishers = scenario_by_publishers,
    .count_subscribers = scenario_by_count,
    .write_topic = write_topic,
    .write_filter = write_filter,
};
