#include "bench/load/strangers.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_ROOM 64u
#define HOUR_NS UINT64_C(3600000000000)

bool
strangers_believe(const struct payload_stamp *stamp, uint64_t now_ns)
{
    return stamp->due_ns <= now_ns && stamp->due_ns > 0 && now_ns - stamp->due_ns < HOUR_NS;
}

static struct stranger *
find(const struct strangers *s, uint64_t key)
{
    uint64_t at = key * UINT64_C(0x9E3779B97F4A7C15) >> 32;
    while (s->slots[at % s->room].key != 0 && s->slots[at % s->room].key != key) {
        at++;
    }
    return &s->slots[at % s->room];
}

static void
grow(struct strangers *s)
{
    struct strangers larger = {.room = s->room == 0 ? FIRST_ROOM : s->room * 2, .used = s->used};

    larger.slots = calloc(larger.room, sizeof *larger.slots);
    if (larger.slots == NULL) {
        perror("tidewire-bench: memory for publishers heard");
        exit(2);
    }
    for (uint32_t i = 0; i < s->room; i++) {
        if (s->slots[i].key != 0) {
            *find(&larger, s->slots[i].key) = s->slots[i];
        }
    }
    free(s->slots);
    *s = larger;
}

struct stream *
strangers_get(struct strangers *s, uint32_t subscriber, const struct payload_stamp *stamp)
{
    uint64_t key = ((uint64_t)subscriber << 24 | stamp->publisher) + 1;

    if (s->used * 2 >= s->room) {
        grow(s);
    }
    struct stranger *found = find(s, key);
    if (found->key == 0) {
        found->key = key;
        found->stream.next = stamp->sequence;
        s->used++;
    }
    return &found->stream;
}

uint64_t
strangers_count_missing(const struct strangers *s)
{
    uint64_t missing = 0;
    for (uint32_t i = 0; i < s->room; i++) {
        missing += s->slots[i].stream.missing;
    }
    return missing;
}

void
strangers_fini(struct strangers *s)
{
    for (uint32_t i = 0; i < s->room; i++) {
        stream_fini(&s->slots[i].stream);
    }
    free(s->slots);
    *s = (struct strangers){0};
}
