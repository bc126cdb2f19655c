/* retained: topics with a retained message each, fetched by subscribers with a wildcard. The last level is the message's number. */
#include <stdio.h>

#include "bench/load/scenario.h"

static void
write_topic(const struct options *o, uint32_t publisher, char *out, size_t room)
{
    (void)o;
    snprintf(out, room, "bench/kept/%u/", publisher);
}

static void
write_filter(const struct options *o, uint32_t subscriber, char *out, size_t room)
{
    (void)o;
    (void)subscriber;
    snprintf(out, room, "bench/kept/#");
}

const struct scenario scenario_retained = {
    .program = PROGRAM_RETAINED,
    .judge = JUDGE_SET,
    .count_publishers = scenario_by_publishers,
    .count_subscribers = scenario_by_count,
    .write_topic = write_topic,
    .write_filter = write_filter,
};
