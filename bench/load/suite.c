#include "bench/load/suite.h"

#include <string.h>

static const struct suite_case cases[] = {
    {"conn-tcp-1M-5K", SCENARIO_IDLE, 4, 0, 1000000, 1, 0, 5000, false},
    {"fanout-5-1000-5-250K", SCENARIO_FANOUT, 4, 1, 1000, 5, 250, 0, false},
    {"p2p-50K-50K-50K-50K", SCENARIO_PAIRS, 4, 1, 50000, 1, 50000, 0, true},
    {"sharedsub-50K-500-50K-50K", SCENARIO_SHARED, 5, 1, 500, 50000, 50000, 0, true},
};

const struct suite_case *
suite_find(const char *name)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (strcmp(cases[i].name, name) == 0) {
            return &cases[i];
        }
    }
    return NULL;
}

void
suite_set(const struct suite_case *c, struct options *o)
{
    o->scenario = c->scenario;
    o->version = c->version;
    o->qos = c->qos;
    o->size = 16;
    o->count = c->count;
    o->publishers = c->publishers;
    o->rate = c->rate;
    o->connect_rate = c->connect_rate;
    o->keep_alive_s = 300;
    o->duration_ns = UINT64_C(60000000000);
}

static uint64_t
scaled(uint64_t value, double scale)
{
    double result = (double)value * scale;
    return result < 1.0 ? 1 : (uint64_t)(result + 0.5);
}

void
suite_scale(const struct suite_case *c, struct options *o, bool keep_count, bool keep_publishers, bool keep_rate, bool keep_connect_rate)
{
    o->count = keep_count ? o->count : scaled(c->count, o->scale);
    if (c->scales_publishers) {
        o->publishers = keep_publishers ? o->publishers : scaled(c->publishers, o->scale);
        o->rate = keep_rate ? o->rate : scaled(c->rate, o->scale);
    }
    if (c->connect_rate > 0) {
        o->connect_rate = keep_connect_rate ? o->connect_rate : scaled(c->connect_rate, o->scale);
    }
}
