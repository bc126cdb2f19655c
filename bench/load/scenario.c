#include "bench/load/scenario.h"

const struct scenario *
scenario_get(enum options_scenario which)
{
    static const struct scenario *const all[] = {
        [SCENARIO_PAIRS] = &scenario_pairs,
        [SCENARIO_FANIN] = &scenario_fanin,
        [SCENARIO_FANOUT] = &scenario_fanout,
        [SCENARIO_IDLE] = &scenario_idle,
        [SCENARIO_CONN] = &scenario_conn,
        [SCENARIO_PUB] = &scenario_pub,
        [SCENARIO_SUB] = &scenario_sub,
        [SCENARIO_SHARED] = &scenario_shared,
        [SCENARIO_RETAINED] = &scenario_retained,
        [SCENARIO_OFFLINE] = &scenario_offline,
        [SCENARIO_CONNSTORM] = &scenario_connstorm,
    };
    return all[which];
}

uint32_t
scenario_count_publishers(const struct options *o)
{
    const struct scenario *s = scenario_get(o->scenario);
    return s->count_publishers == NULL ? 0 : s->count_publishers(o);
}

uint32_t
scenario_count_subscribers(const struct options *o)
{
    const struct scenario *s = scenario_get(o->scenario);
    return s->count_subscribers == NULL ? 0 : s->count_subscribers(o);
}

uint32_t
scenario_count_idle(const struct options *o)
{
    const struct scenario *s = scenario_get(o->scenario);
    return s->count_idle == NULL ? 0 : s->count_idle(o);
}

uint32_t
scenario_get_fan(const struct options *o)
{
    switch (scenario_get(o->scenario)->judge) {
    case JUDGE_ALL:
    case JUDGE_SET: return scenario_count_subscribers(o);
    case JUDGE_GROUPS: return (uint32_t)o->groups;
    case JUDGE_NOTHING:
    case JUDGE_PAIRS:
    case JUDGE_STRANGERS: break;
    }
    return 1;
}

bool
scenario_has_window(const struct options *o)
{
    return o->scenario != SCENARIO_PUB && o->scenario != SCENARIO_RETAINED && o->scenario != SCENARIO_OFFLINE;
}

uint64_t
scenario_get_share(const struct options *o)
{
    uint64_t deliveries = (uint64_t)scenario_count_publishers(o) * scenario_get_fan(o);
    return deliveries == 0 ? 0 : o->window / deliveries;
}

uint32_t
scenario_one(const struct options *o)
{
    (void)o;
    return 1;
}

uint32_t
scenario_by_count(const struct options *o)
{
    return (uint32_t)o->count;
}

uint32_t
scenario_by_publishers(const struct options *o)
{
    return (uint32_t)o->publishers;
}
