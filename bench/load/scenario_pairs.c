/* pairs: publisher i has a topic of its own, and subscriber i hears exactly that. */
#include <stdio.h>

#include "bench/load/scenario.h"

static void
write_topic(uint32_t publisher, char *out, size_t room)
{
    snprintf(out, room, "bench/pair/%u", publisher);
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
    return publisher == subscriber ? publisher : SCENARIO_NO_STREAM;
}

const struct scenario scenario_pairs = {
    .write_topic = write_topic,
    .write_filter = write_topic,
    .count_streams = count_streams,
    .get_stream = get_stream,
};
