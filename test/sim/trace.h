/*
 * trace: what happened in a run, in order, kept to be shown when something goes wrong; and a digest of it, by which two runs are compared.
 */
#ifndef TIDEWIRE_TEST_SIM_TRACE_H
#define TIDEWIRE_TEST_SIM_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TRACE_NONE UINT32_MAX

struct trace_event {
    uint64_t tick;
    uint64_t now_ns;
    const char *what;  /* static; a printf format for a and b */
    uint32_t actor;    /* or TRACE_NONE */
    uint32_t message;  /* or TRACE_NONE */
    uint32_t a, b;
};

struct trace {
    struct trace_event *events;
    size_t count, room;
    uint64_t digest;
    bool loud; /* shows each event at once */
};

void trace_add(struct trace *trace, const struct trace_event *event);
/* To stderr: the last `limit` events that concern the message, or the actor's connection and subscriptions (those without a message). */
void trace_show(const struct trace *trace, uint32_t actor, uint32_t message, size_t limit);
void trace_show_event(const struct trace_event *event);
void trace_clear(struct trace *trace);
void trace_fini(struct trace *trace);

#endif
