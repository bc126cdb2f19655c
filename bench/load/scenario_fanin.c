/* fanin: every publisher has a topic of its own, one subscriber hears all of them through a wildcard. */
#include <stdio.h>

#include "bench/load/scenario.h"

static void
write_topic(uint32_t publisher, char *out, size_t room)
{
    snprintf(out, room, "bench/in/%u", publisher);
}

static void
write_filter(uint32_t subscriber, char *out, size_t room)
{
    (void)subscriber;
    snprintf(out, room, "bench/in/+");
}

static uint32_t
count_streams(uint32_t publishers, uint32_t subscribers)
{
    (void)subscribers;
    return publishers;
}

static uint32_t
get_stream(uint32_t publisher, uint32_t subscriber)
{
    (void)subscriber;
    return publisher;
}

const struct scenario scenario_fanin = {
    .write_topic = write_topic,
    .write_filter = write_filter,
    .count_streams = count_streams,
    .get_stream = get_stream,
};
