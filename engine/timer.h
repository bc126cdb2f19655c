/*
 * timer: a hierarchical timing wheel; one per shard.
 *
 * Four levels of 256 slots with a tick of one millisecond: 256 ms, 65 s, 4.6 h and 49 days ahead; what is due later waits in the last
 * level and is sorted in again every 49 days. Bitmaps of occupied slots make empty time free to skip. Nodes are intrusive: the owner embeds struct timer.
 *
 * Invariants
 *   T1  a timer is in at most one wheel; `armed` says whether.
 *   T2  a timer never fires before its due time, and fires in the first timer_wheel_advance() at or after it.
 *   T3  timers of one millisecond fire in no promised order.
 *
 * Threads  the shard's own. Memory  borrows each armed timer; the owner disarms before freeing it.
 */
#ifndef TIDEWIRE_ENGINE_TIMER_H
#define TIDEWIRE_ENGINE_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMER_LEVELS 4
#define TIMER_SLOTS 256

struct timer {
    struct timer *next;
    struct timer **link; /* what points at us; NULL: not armed */
    uint64_t due_ms : 48;
    uint64_t kind : 16;  /* the owner's: which callback; kept by arm and disarm */
};

struct timer_wheel {
    uint64_t now_ms;  /* as told by the last advance */
    uint64_t done_ms; /* before now_ms only while a budget holds firing back: all before this tick has fired */
    uint64_t armed_count;
    uint64_t occupied[TIMER_LEVELS][TIMER_SLOTS / 64];
    struct timer *slots[TIMER_LEVELS][TIMER_SLOTS];
};

/* Called for each due timer, already disarmed; may arm and disarm any timer, also this one. */
typedef void timer_fire(struct timer *timer, void *context);

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);

static inline bool
timer_armed(const struct timer *timer)
{
    return timer->link != NULL;
}

/* Arms or re-arms. A due time in the past fires at the next advance. */
void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms);
/* Harmless on a timer that is not armed. */
void timer_disarm(struct timer_wheel *wheel, struct timer *timer);

/* Moves time to `now_ms` (never backwards) and fires what is due, at most `budget` (> 0) timers; returns how many. Call again while it returns `budget`. Not from a callback. */
uint32_t timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms, uint32_t budget, timer_fire *fire, void *context);

/*
 * When to call advance next: at or before the earliest due time, or at most the wheel's now if something is overdue; UINT64_MAX if none is armed. Exact for a timer of
 * the current block of 256 ms; else the start of its slot, where an advance sorts it in more finely (so at most one idle wake-up per level).
 */
uint64_t timer_wheel_next_ms(const struct timer_wheel *wheel);

/* Asserts T1 and the bitmaps; for tests. */
void timer_wheel_check(const struct timer_wheel *wheel);

#endif
