#include "bench/load/board.h"

#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/load/traffic.h"

/* Shared pages cost nothing before they are touched. */
static void *
map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static bool
open_desk(struct desk *d)
{
    histogram_init(&d->latency);
    histogram_init(&d->lateness);
    histogram_init(&d->acking);
    histogram_init(&d->connecting);
    histogram_init(&d->fetching);
    d->wake_fd = eventfd(0, EFD_CLOEXEC);
    return d->wake_fd >= 0;
}

struct board *
board_open(uint32_t workers, uint32_t publishers)
{
    struct board *b = map(sizeof *b);
    if (b == NULL) {
        return NULL;
    }
    b->worker_count = b->flow_workers = b->idle_workers = workers;
    b->publisher_count = publishers;
    b->desks = map(workers * sizeof *b->desks);
    b->publishers = map((publishers + 1u) * sizeof *b->publishers);
    b->rings = map((size_t)workers * workers * sizeof *b->rings);
    count_set(&b->latency_from_ns, UINT64_MAX);
    if (b->desks == NULL || b->publishers == NULL || b->rings == NULL) {
        return NULL;
    }
    for (uint32_t i = 0; i < workers; i++) {
        if (!open_desk(&b->desks[i])) {
            return NULL;
        }
    }
    return b;
}

static void
ring_bell(const struct desk *d)
{
    uint64_t one = 1;
    /* It can fail only when the counter is full, and then the bell rings anyway. */
    ssize_t ignored = write(d->wake_fd, &one, sizeof one);
    (void)ignored;
}

void
board_set_apart(struct board *b)
{
    assert(b->worker_count > 1);
    b->flow_workers = 1;
    b->idle_workers = b->worker_count - 1;
}

void
board_give_order(struct board *b, const struct order *o)
{
    assert(board_is_taken(b)); /* B1 */
    b->order = *o;
    /* Release: the worker that sees the number sees the order (partner: acquire in board_get_order). */
    atomic_fetch_add_explicit(&b->order_number, 1, memory_order_seq_cst);
    for (uint32_t i = 0; i < b->worker_count; i++) {
        ring_bell(&b->desks[i]);
    }
}

bool
board_is_taken(const struct board *b)
{
    uint32_t number = atomic_load_explicit(&b->order_number, memory_order_relaxed);
    for (uint32_t i = 0; i < b->worker_count; i++) {
        /* Acquire: B3. */
        if (atomic_load_explicit(&b->desks[i].taken, memory_order_acquire) != number) {
            return false;
        }
    }
    return true;
}

const struct order *
board_get_order(const struct board *b, uint32_t worker)
{
    uint32_t number = atomic_load_explicit(&b->order_number, memory_order_seq_cst);
    return atomic_load_explicit(&b->desks[worker].taken, memory_order_relaxed) == number ? NULL : &b->order;
}

void
board_take_order(struct board *b, uint32_t worker)
{
    uint32_t number = atomic_load_explicit(&b->order_number, memory_order_relaxed);
    /* Release: B3. */
    atomic_store_explicit(&b->desks[worker].taken, number, memory_order_release);
}

void
board_wake(struct board *b, uint32_t worker)
{
    struct desk *d = &b->desks[worker];

    /* Sequentially consistent, with the sleeper's store of `sleeping` and its look at the mail after it: one of us sees the other. */
    if (atomic_load_explicit(&d->sleeping, memory_order_seq_cst) != 0 &&
        atomic_exchange_explicit(&d->sleeping, 0, memory_order_seq_cst) != 0) {
        ring_bell(d);
    }
}

void
board_sum(const struct board *b, struct totals *out)
{
    *out = (struct totals){0};
    for (uint32_t i = 0; i < b->worker_count; i++) {
        for (int k = 0; k < COUNTS; k++) {
            out->of[k] += count_get(&b->desks[i].counts[k]);
        }
    }
}
