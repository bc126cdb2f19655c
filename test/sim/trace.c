#include "test/sim/trace.h"

#include <stdio.h>
#include <stdlib.h>

static void
mix(struct trace *trace, uint64_t value)
{
    trace->digest = (trace->digest ^ value) * 0x9e3779b97f4a7c15u;
    trace->digest ^= trace->digest >> 29;
}

void
trace_show_event(const struct trace_event *e)
{
    char line[256];
    int at = snprintf(line, sizeof line, "  %7llu %10.3f ms  ", (unsigned long long)e->tick, (double)e->now_ns / 1e6);
    at += e->actor != TRACE_NONE ? snprintf(line + at, sizeof line - (size_t)at, "client %-3u ", e->actor) : 0;
    at += e->message != TRACE_NONE ? snprintf(line + at, sizeof line - (size_t)at, "message %-5u ", e->message) : 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(line + at, sizeof line - (size_t)at, e->what, e->a, e->b);
#pragma GCC diagnostic pop
    fprintf(stderr, "%s\n", line);
}

void
trace_add(struct trace *trace, const struct trace_event *event)
{
    if (trace->count == trace->room) {
        trace->room = trace->room ? trace->room * 2 : 4096;
        trace->events = realloc(trace->events, trace->room * sizeof *trace->events);
        if (trace->events == NULL) {
            abort();
        }
    }
    if (trace->loud) {
        trace_show_event(event);
    }
    trace->events[trace->count++] = *event;
    mix(trace, event->now_ns);
    mix(trace, (uint64_t)event->actor << 32 | event->message);
    mix(trace, (uint64_t)event->a << 32 | event->b);
}

static bool
concerns(const struct trace_event *e, uint32_t actor, uint32_t message)
{
    return (e->message != TRACE_NONE && e->message == message) || (e->message == TRACE_NONE && (e->actor == actor || e->actor == TRACE_NONE));
}

void
trace_show(const struct trace *trace, uint32_t actor, uint32_t message, size_t limit)
{
    size_t first = trace->count;
    for (size_t found = 0; first > 0 && found < limit; first--) {
        found += concerns(&trace->events[first - 1], actor, message);
    }
    for (size_t i = first; i < trace->count; i++) {
        if (concerns(&trace->events[i], actor, message)) {
            trace_show_event(&trace->events[i]);
        }
    }
}

void
trace_clear(struct trace *trace)
{
    trace->count = 0;
    trace->digest = 0;
}

void
trace_fini(struct trace *trace)
{
    free(trace->events);
    *trace = (struct trace){0};
}
