/* sub: hears what somebody else publishes, and judges it where `pub` of this machine has stamped it. */
#include "bench/load/name.h"
#include "bench/load/scenario.h"

static void
write_filter(const struct options *o, uint32_t subscriber, char *out, size_t room)
{
    name_write(o->topic, o, subscriber, subscriber, out, room);
}

const struct scenario scenario_sub = {
    .program = PROGRAM_FLOW, .judge = JUDGE_STRANGERS, .count_subscribers = scenario_by_count, .write_filter = write_filter};
