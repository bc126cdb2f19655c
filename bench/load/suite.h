/*
 * suite: the four cases of the public MQTT benchmark suite that brokers publish figures of, by name and to any scale.
 *
 *   https://github.com/emqx/mqttbs: QoS 1, payloads of 16 bytes, keep-alive 300 s, 30 minutes; MQTT 5 for shared subscriptions.
 *
 * A case is a scenario with values that the command line may override; --scale multiplies what makes it large. The duration is one minute
 * unless it is given: the suite's own half hour is `--duration 30m`.
 *
 * Threads  any. Memory  constant.
 */
#ifndef TIDEWIRE_BENCH_LOAD_SUITE_H
#define TIDEWIRE_BENCH_LOAD_SUITE_H

#include "bench/load/options.h"

struct suite_case {
    const char *name;
    enum options_scenario scenario;
    uint64_t version;
    uint64_t qos;
    uint64_t count, publishers;
    uint64_t rate;
    uint64_t connect_rate;
    bool scales_publishers; /* and with them the rate: each publisher keeps its own */
};

/* NULL: no case of this name. */
const struct suite_case *suite_find(const char *name);

/* The case's values, before the command line. */
void suite_set(const struct suite_case *c, struct options *o);

/* Scales what was not given: `keep_*` says what was. */
void suite_scale(const struct suite_case *c, struct options *o, bool keep_count, bool keep_publishers, bool keep_rate, bool keep_connect_rate);

#endif
