/* pub: one half of a benchmark whose other half is somewhere else. */
#include "bench/load/name.h"
#include "bench/load/scenario.h"

static void
write_topic(const struct options *o, uint32_t publisher, char *out, size_t room)
{
    name_write(o->topic, o, publisher, publisher, out, room);
}

const struct scenario scenario_pub = {
    .program = PROGRAM_FLOW, .judge = JUDGE_NOTHING, .count_publishers = scenario_by_count, .write_topic = write_topic};
