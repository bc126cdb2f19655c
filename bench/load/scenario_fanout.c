/* fanout: one publisher, one topic, and every subscriber hears it. */
#include <stdio.h>

#include "bench/load/scenario.h"

static void
write_topic(uint32_t index, char *out, size_t room)
{
    (void)index;
    snprintf(out, room, "bench/out");
}

static uint32_t
count_streams(uint32_t publishers, uint32_t subscribers)
{
    (void)publishers;
    return subscribers;
}

static uint32_t
get_stream(uint32_t publisher, uint32_t subscriber)
{
    (void)publisher;
    return subscriber;
}

const struct scenario scenario_fanout = {
    .write_topic = write_topic,
    .write_filter = write_topic,
    .count_streams = count_streams,
    .get_stream = get_stream,
};
