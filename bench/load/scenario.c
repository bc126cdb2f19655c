#include "bench/load/scenario.h"

const struct scenario *
scenario_get(enum options_scenario which)
{
    static const struct scenario *const all[] = {
        [SCENARIO_PAIRS] = &scenario_pairs,
        [SCENARIO_FANIN] = &scenario_fanin,
        [SCENARIO_FANOUT] = &scenario_fanout,
        [SCENARIO_IDLE] = &scenario_idle,
    };
    return all[which];
}
