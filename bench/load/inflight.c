#include "bench/load/inflight.h"

#include <assert.h>
#include <stdlib.h>

#include "codec/packet.h"

enum state {
    FREE,
    WAIT_FIRST,   /* PUBACK or PUBREC */
    WAIT_PUBCOMP,
};

#define ID_MAX 65535u

bool
inflight_init(struct inflight *f, uint8_t qos, uint32_t quota, bool timed)
{
    assert(quota >= 1 && quota <= ID_MAX);
    /* Twice the quota: an identifier rests for a while before it is used again, which makes a late ack visible. */
    uint32_t limit = quota * 2 < ID_MAX ? quota * 2 : ID_MAX;
    *f = (struct inflight){.states = calloc(limit + 1, 1), .quota = quota, .limit = limit, .next = 1, .qos = qos};
    if (timed) {
        f->due_ns = calloc(limit + 1, sizeof *f->due_ns);
    }
    return f->states != NULL && (f->due_ns != NULL || !timed);
}

void
inflight_fini(struct inflight *f)
{
    free(f->states);
    free(f->due_ns);
    *f = (struct inflight){0};
}

uint16_t
inflight_take(struct inflight *f)
{
    if (f->used == f->quota) {
        return 0;
    }
    while (f->states[f->next] != FREE) {
        f->next = f->next == f->limit ? 1 : f->next + 1;
    }
    uint16_t id = (uint16_t)f->next;
    f->states[id] = WAIT_FIRST;
    f->used++;
    f->next = f->next == f->limit ? 1 : f->next + 1;
    return id;
}

void
inflight_note_due(struct inflight *f, uint16_t id, uint64_t due_ns)
{
    f->due_ns[id] = due_ns;
}

uint64_t
inflight_get_due(const struct inflight *f, uint16_t id)
{
    return f->due_ns[id];
}

static enum inflight_answer
finish(struct inflight *f, uint16_t id)
{
    f->states[id] = FREE;
    f->used--;
    return INFLIGHT_FINISHED;
}

enum inflight_answer
inflight_step(struct inflight *f, uint8_t packet_type, uint16_t id, bool refused)
{
    if (id == 0 || id > f->limit) {
        return INFLIGHT_UNEXPECTED;
    }
    uint8_t state = f->states[id];
    if (packet_type == PACKET_PUBACK && f->qos == 1 && state == WAIT_FIRST) {
        return finish(f, id);
    }
    if (packet_type == PACKET_PUBREC && f->qos == 2 && state == WAIT_FIRST) {
        if (refused) {
            return finish(f, id);
        }
        f->states[id] = WAIT_PUBCOMP;
        return INFLIGHT_RELEASE;
    }
    if (packet_type == PACKET_PUBCOMP && f->qos == 2 && state == WAIT_PUBCOMP) {
        return finish(f, id);
    }
    return INFLIGHT_UNEXPECTED;
}
