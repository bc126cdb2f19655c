/*
 * Where a timer lies depends on the highest byte in which its due time differs from `done_ms`, the tick that is being worked on:
 *
 *   due      .... | byte 3 | byte 2 | byte 1 | byte 0 |        differs in byte l first  ->  level l, slot = byte l of due
 *                                                              differs above byte 3     ->  level 3, slot 0 (the next turn of the wheel)
 *
 * So at level l >= 1 only slots after the current one are occupied (slot 0 of level 3 aside), every timer of level l is due before every timer of level
 * l + 1, and when `done_ms` reaches the start of an occupied slot that slot is sorted into the levels below. Overdue timers wait in the slot of the tick `now_ms`.
 */
#include "engine/timer.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define DUE_MAX (((uint64_t)1 << 48) - 1)
#define WORDS (TIMER_SLOTS / 64)

static unsigned
byte_of(uint64_t time, unsigned level)
{
    return (unsigned)(time >> (8 * level)) & (TIMER_SLOTS - 1);
}

static bool
slot_occupied(const struct timer_wheel *wheel, unsigned level, unsigned slot)
{
    return wheel->occupied[level][slot / 64] >> (slot % 64) & 1;
}

void
timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
    assert(now_ms <= DUE_MAX);

    memset(wheel, 0, sizeof *wheel);
    wheel->now_ms = now_ms;
    wheel->done_ms = now_ms;
}

static void
push_slot(struct timer_wheel *wheel, struct timer *timer, unsigned level, unsigned slot)
{
    struct timer **head = &wheel->slots[level][slot];
    timer->next = *head;
    timer->link = head;
    if (timer->next != NULL) {
        timer->next->link = &timer->next;
    }
    *head = timer;
    wheel->occupied[level][slot / 64] |= (uint64_t)1 << (slot % 64);
}

/* Files a timer under time `at` >= done_ms. */
static void
place(struct timer_wheel *wheel, struct timer *timer, uint64_t at)
{
    uint64_t differs = at ^ wheel->done_ms;
    unsigned level = differs == 0 ? 0 : (63 - (unsigned)__builtin_clzll(differs)) / 8;
    if (level >= TIMER_LEVELS) {
        push_slot(wheel, timer, TIMER_LEVELS - 1, 0);
    } else {
        push_slot(wheel, timer, level, byte_of(at, level));
    }
}

void
timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t due_ms)
{
    timer_disarm(wheel, timer);
    timer->due_ms = due_ms < DUE_MAX ? due_ms : DUE_MAX;
    wheel->armed_count++;
    /* Overdue ones go to the end of the advance that may be running, so that one that always re-arms itself in the past cannot hold it up. */
    place(wheel, timer, timer->due_ms > wheel->done_ms ? timer->due_ms : wheel->now_ms);
}

static void
take_out(struct timer *timer)
{
    *timer->link = timer->next;
    if (timer->next != NULL) {
        timer->next->link = timer->link;
    }
    timer->next = NULL;
    timer->link = NULL;
}

void
timer_disarm(struct timer_wheel *wheel, struct timer *timer)
{
    if (timer->link == NULL) {
        return;
    }
    struct timer **link = timer->link;
    take_out(timer);
    wheel->armed_count--;

    /* The last one of a slot leaves its bit behind; a list that an advance has taken off its slot has none. */
    uintptr_t offset = (uintptr_t)link - (uintptr_t)wheel->slots;
    if (*link == NULL && offset < sizeof wheel->slots) {
        size_t index = offset / sizeof *link;
        wheel->occupied[index / TIMER_SLOTS][index % TIMER_SLOTS / 64] &= ~((uint64_t)1 << (index % 64));
    }
}

/* Takes a slot's whole list off; `*list` becomes what its first timer is linked from. */
static void
detach_slot(struct timer_wheel *wheel, unsigned level, unsigned slot, struct timer **list)
{
    *list = wheel->slots[level][slot];
    wheel->slots[level][slot] = NULL;
    wheel->occupied[level][slot / 64] &= ~((uint64_t)1 << (slot % 64));
    if (*list != NULL) {
        (*list)->link = list;
    }
}

/* done_ms has just moved to the start of slots of some levels: sort those into the levels below. */
static void
cascade(struct timer_wheel *wheel)
{
    for (unsigned level = TIMER_LEVELS - 1; level > 0; level--) {
        bool at_start = (wheel->done_ms & (((uint64_t)1 << (8 * level)) - 1)) == 0;
        unsigned slot = byte_of(wheel->done_ms, level);
        if (!at_start || !slot_occupied(wheel, level, slot)) {
            continue;
        }
        struct timer *list;
        detach_slot(wheel, level, slot, &list);
        while (list != NULL) {
            struct timer *timer = list;
            take_out(timer);
            place(wheel, timer, timer->due_ms >= wheel->done_ms ? timer->due_ms : wheel->now_ms); /* else armed overdue */
        }
    }
}

/* The first occupied slot of a level from `slot` on; TIMER_SLOTS if none. */
static unsigned
find_slot(const uint64_t occupied[WORDS], unsigned slot)
{
    for (unsigned word = slot / 64; word < WORDS; word++) {
        uint64_t bits = occupied[word];
        if (word == slot / 64) {
            bits &= UINT64_MAX << (slot % 64);
        }
        if (bits != 0) {
            return word * 64 + (unsigned)__builtin_ctzll(bits);
        }
    }
    return TIMER_SLOTS;
}

/* The next tick after done_ms at which a slot is to be fired or sorted; UINT64_MAX if there is none. */
static uint64_t
next_tick(const struct timer_wheel *wheel)
{
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        unsigned current = byte_of(wheel->done_ms, level);
        unsigned slot = current + 1 < TIMER_SLOTS ? find_slot(wheel->occupied[level], current + 1) : TIMER_SLOTS;
        if (slot < TIMER_SLOTS) {
            uint64_t turn = wheel->done_ms >> (8 * (level + 1)) << (8 * (level + 1));
            return turn + ((uint64_t)slot << (8 * level));
        }
    }
    if (slot_occupied(wheel, TIMER_LEVELS - 1, 0)) {
        return ((wheel->done_ms >> (8 * TIMER_LEVELS)) + 1) << (8 * TIMER_LEVELS);
    }
    return UINT64_MAX;
}

/* Puts what a budget left of a list back into its slot, behind what callbacks have put there meanwhile (as many as fired, at most some more). */
static void
put_back(struct timer_wheel *wheel, unsigned slot, struct timer **list)
{
    if (*list == NULL) {
        return;
    }
    struct timer **end = &wheel->slots[0][slot];
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = *list;
    (*end)->link = end;
    wheel->occupied[0][slot / 64] |= (uint64_t)1 << (slot % 64);
}

/* Fires the slot of done_ms. What callbacks arm for it stays for the next advance. */
static uint32_t
fire_slot(struct timer_wheel *wheel, uint32_t budget, timer_fire *fire, void *context)
{
    unsigned slot = byte_of(wheel->done_ms, 0);
    struct timer *list;
    uint32_t fired = 0;
    detach_slot(wheel, 0, slot, &list);
    while (list != NULL && fired < budget) {
        struct timer *timer = list;
        take_out(timer);
        wheel->armed_count--;
        fired++;
        fire(timer, context);
    }
    put_back(wheel, slot, &list);
    return fired;
}

uint32_t
timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms, uint32_t budget, timer_fire *fire, void *context)
{
    assert(budget > 0 && now_ms <= DUE_MAX);

    if (now_ms > wheel->now_ms) {
        wheel->now_ms = now_ms;
    }
    uint32_t fired = 0;
    for (;;) {
        if (slot_occupied(wheel, 0, byte_of(wheel->done_ms, 0))) {
            fired += fire_slot(wheel, budget - fired, fire, context);
            if (fired == budget) {
                return fired;
            }
        }
        if (wheel->done_ms == wheel->now_ms) {
            return fired;
        }
        uint64_t next = next_tick(wheel);
        wheel->done_ms = next < wheel->now_ms ? next : wheel->now_ms;
        cascade(wheel);
    }
}

uint64_t
timer_wheel_next_ms(const struct timer_wheel *wheel)
{
    if (slot_occupied(wheel, 0, byte_of(wheel->done_ms, 0))) {
        return wheel->done_ms;
    }
    return next_tick(wheel);
}

static uint64_t
check_slot(const struct timer_wheel *wheel, unsigned level, unsigned slot)
{
    uint64_t count = 0;
    struct timer *const *link = &wheel->slots[level][slot];
    assert((*link != NULL) == slot_occupied(wheel, level, slot));
    for (; *link != NULL; link = &(*link)->next, count++) {
        uint64_t due = (*link)->due_ms;
        uint64_t differs = due ^ wheel->done_ms;
        assert((*link)->link == link);
        if (due <= wheel->done_ms) {
            /* Overdue: filed under some now_ms, so it can only lie in that tick's slot or, while a budget holds the wheel back, above. */
            assert(level > 0 || slot == byte_of(wheel->done_ms, 0) || wheel->done_ms < wheel->now_ms);
        } else if (differs >> (8 * TIMER_LEVELS) != 0) {
            assert(level == TIMER_LEVELS - 1 && slot == 0);
        } else {
            assert(slot == byte_of(due, level) && differs >> (8 * level) >> 8 == 0);
            assert(level == 0 || differs >> (8 * level) != 0);
        }
    }
    return count;
}

void
timer_wheel_check(const struct timer_wheel *wheel)
{
    uint64_t count = 0;
    assert(wheel->done_ms <= wheel->now_ms);
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        for (unsigned slot = 0; slot < TIMER_SLOTS; slot++) {
            count += check_slot(wheel, level, slot);
        }
    }
    assert(count == wheel->armed_count);
}
