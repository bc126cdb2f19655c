#include "bench/load/mail.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/board.h"

bool
mail_init(struct mail *m, struct board *b, uint32_t worker)
{
    *m = (struct mail){.board = b, .worker = worker};
    m->queues = calloc(b->worker_count, sizeof *m->queues);
    m->credits = calloc(b->publisher_count + 1u, sizeof *m->credits);
    m->credited = calloc(b->publisher_count + 1u, sizeof *m->credited);
    return m->queues != NULL && m->credits != NULL && m->credited != NULL;
}

void
mail_fini(struct mail *m)
{
    for (uint32_t i = 0; m->queues != NULL && i < m->board->worker_count; i++) {
        free(m->queues[i].letters);
    }
    free(m->queues);
    free(m->credits);
    free(m->credited);
    *m = (struct mail){0};
}

static void
make_room(struct mail_queue *q)
{
    if (q->first > 0) {
        memmove(q->letters, q->letters + q->first, (q->end - q->first) * sizeof *q->letters);
        q->end -= q->first;
        q->first = 0;
    }
    if (q->end < q->room) {
        return;
    }
    q->room = q->room == 0 ? 256 : q->room * 2;
    q->letters = realloc(q->letters, q->room * sizeof *q->letters);
    if (q->letters == NULL) {
        perror("tidewire-bench: memory for messages between threads");
        exit(2);
    }
}

static void
write_letter(struct mail *m, struct letter letter)
{
    struct mail_queue *q = &m->queues[letter.publisher % m->board->flow_workers];

    if (q->end == q->room) {
        make_room(q);
    }
    q->letters[q->end++] = letter;
    m->waiting++;
}

void
mail_credit(struct mail *m, uint32_t publisher, uint64_t count)
{
    if (count == 0) {
        return;
    }
    if (m->credits[publisher] == 0) {
        m->credited[m->credited_count++] = publisher;
    }
    assert(count <= UINT32_MAX - m->credits[publisher]);
    m->credits[publisher] += (uint32_t)count;
}

void
mail_receipt(struct mail *m, uint32_t publisher, uint64_t sequence, uint16_t group)
{
    write_letter(m, (struct letter){.publisher = publisher, .sequence = sequence, .group = group});
}

static void
write_credits(struct mail *m)
{
    for (uint32_t i = 0; i < m->credited_count; i++) {
        uint32_t publisher = m->credited[i];
        while (m->credits[publisher] > 0) {
            uint16_t part = (uint16_t)(m->credits[publisher] < UINT16_MAX ? m->credits[publisher] : UINT16_MAX);
            write_letter(m, (struct letter){.publisher = publisher, .count = part});
            m->credits[publisher] -= part;
        }
    }
    m->credited_count = 0;
}

static void
fill_ring(struct mail *m, uint32_t to)
{
    struct mail_queue *q = &m->queues[to];
    struct mail_ring *r = &m->board->rings[m->worker * m->board->worker_count + to];
    uint32_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    /* Acquire: the receiver has read the slots before we write them again (partner: release in mail_take). */
    uint32_t room = MAIL_RING_SLOTS - (tail - atomic_load_explicit(&r->head, memory_order_acquire));
    uint32_t count = q->end - q->first < room ? q->end - q->first : room;

    if (count == 0) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        r->slots[tail++ % MAIL_RING_SLOTS] = q->letters[q->first++];
    }
    m->waiting -= count;
    /* Release for the slots, and in one order with `sleeping` (board_wake). */
    atomic_store_explicit(&r->tail, tail, memory_order_seq_cst);
    board_wake(m->board, to);
}

bool
mail_send(struct mail *m)
{
    write_credits(m);
    for (uint32_t i = 0; m->waiting > 0 && i < m->board->worker_count; i++) {
        fill_ring(m, i);
    }
    return m->waiting == 0;
}

bool
mail_take(struct mail *m, uint32_t *from, struct letter *out)
{
    for (; *from < m->board->worker_count; (*from)++) {
        struct mail_ring *r = &m->board->rings[*from * m->board->worker_count + m->worker];
        uint32_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
        if (head != atomic_load_explicit(&r->tail, memory_order_acquire)) {
            *out = r->slots[head % MAIL_RING_SLOTS];
            atomic_store_explicit(&r->head, head + 1, memory_order_release);
            return true;
        }
    }
    return false;
}

bool
mail_is_empty(const struct mail *m)
{
    for (uint32_t i = 0; i < m->board->worker_count; i++) {
        const struct mail_ring *r = &m->board->rings[i * m->board->worker_count + m->worker];
        /* In one order with our store of `sleeping` (board_wake). */
        if (atomic_load_explicit(&r->head, memory_order_relaxed) != atomic_load_explicit(&r->tail, memory_order_seq_cst)) {
            return false;
        }
    }
    return true;
}
