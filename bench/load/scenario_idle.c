/* idle, conn: connections that neither publish nor subscribe. What they cost is the whole question. */
#include "bench/load/scenario.h"

const struct scenario scenario_idle = {.program = PROGRAM_FLOW, .judge = JUDGE_NOTHING, .count_idle = scenario_by_count};

const struct scenario scenario_conn = {.program = PROGRAM_FLOW, .judge = JUDGE_NOTHING, .count_idle = scenario_by_count};
