/* idle: connections that neither publish nor subscribe. What they cost is the whole question. */
#include "bench/load/scenario.h"

static uint32_t
count_streams(uint32_t publishers, uint32_t subscribers)
{
    (void)publishers;
    (void)subscribers;
    return 0;
}

static uint32_t
get_stream(uint32_t publisher, uint32_t subscriber)
{
    (void)publisher;
    (void)subscriber;
    return SCENARIO_NO_STREAM;
}

const struct scenario scenario_idle = {.count_streams = count_streams, .get_stream = get_stream};
