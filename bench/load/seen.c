#include "bench/load/seen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 8u

void
seen_fini(struct seen *s)
{
    free(s->words);
    memset(s, 0, sizeof *s);
}

static uint64_t *
word_of(const struct seen *s, uint64_t number)
{
    return &s->words[number / 64 % s->room];
}

static void
grow(struct seen *s)
{
    struct seen larger = {.room = s->room == 0 ? FIRST_ROOM : s->room * 2, .base = s->base, .count = s->count};

    larger.words = calloc(larger.room, sizeof *larger.words);
    if (larger.words == NULL) {
        perror("tidewire-bench: memory for what has arrived");
        exit(2);
    }
    for (uint64_t at = s->base; at < s->base + (uint64_t)s->room * 64; at += 64) {
        *word_of(&larger, at) = *word_of(s, at);
    }
    free(s->words);
    *s = larger;
}

static void
give_up_oldest(struct seen *s)
{
    *word_of(s, s->base) = 0;
    s->base += 64;
}

static void
reach(struct seen *s, uint64_t number)
{
    while (number >= s->base + (uint64_t)s->room * 64) {
        if ((uint64_t)s->room * 64 < SEEN_SPAN_MAX) {
            grow(s);
        } else {
            give_up_oldest(s);
        }
    }
}

bool
seen_add(struct seen *s, uint64_t number)
{
    uint64_t bit = UINT64_C(1) << number % 64;

    if (number < s->base) {
        return false;
    }
    reach(s, number);
    uint64_t *word = word_of(s, number);
    if ((*word & bit) != 0) {
        return false;
    }
    *word |= bit;
    s->count++;
    while (*word_of(s, s->base) == UINT64_MAX) {
        *word_of(s, s->base) = 0;
        s->base += 64;
    }
    return true;
}
