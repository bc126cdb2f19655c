#include "bench/load/crew.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/load/process.h"
#include "bench/load/scenario.h"
#include "bench/load/worker.h"

#define START_WAIT_US 1000
/* Descriptors of a process besides its connections: standard ones, eventfds, rings, results. */
#define DESCRIPTORS_SPARE 64u

static uint64_t
raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 0;
    }
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

static void
say_broken(const struct desk *d)
{
    if (d->error == EMFILE) {
        fprintf(stderr, "tidewire-bench: the limit for open files allows a thread no more connections (ulimit -n): more --threads or --processes "
                        "help\n");
    } else {
        fprintf(stderr, "tidewire-bench: io_uring or memory is not available: %s\n", strerror(d->error));
    }
}

/* --------------------------------------------------------------------------------------------------------------- start */

static bool
start_threads(struct crew *c, uint32_t first)
{
    uint32_t count = (uint32_t)c->options->threads;
    uint64_t publishers = scenario_count_publishers(c->options) / c->options->processes + 1;
    uint64_t spare = DESCRIPTORS_SPARE + 2 * c->board->worker_count;
    bool plain = publishers + spare < raise_descriptor_limit();
    sigset_t all, before;

    c->places = calloc(count, sizeof *c->places);
    c->threads = calloc(count, sizeof *c->threads);
    if (c->places == NULL || c->threads == NULL) {
        fprintf(stderr, "tidewire-bench: no memory for --threads %u\n", count);
        return false;
    }
    /* Signals are the conductor's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; i < count; i++) {
        c->places[i] = (struct worker_place){
            .options = c->options, .board = c->board, .secure = c->secure, .number = first + i, .plain_publishers = plain};
        int error = pthread_create(&c->threads[i], NULL, worker_run, &c->places[i]);
        if (error != 0) {
            fprintf(stderr, "tidewire-bench: thread %u: %s\n", first + i, strerror(error));
            break;
        }
        c->thread_count++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return c->thread_count == count;
}

static void
join_threads(struct crew *c)
{
    for (uint32_t i = 0; i < c->thread_count; i++) {
        pthread_join(c->threads[i], NULL);
    }
    c->thread_count = 0;
    free(c->places);
    free(c->threads);
}

static void __attribute__((noreturn))
be_child(struct crew *c, uint32_t number)
{
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    bool good = start_threads(c, number * (uint32_t)c->options->threads);
    if (good) {
        join_threads(c);
    }
    _exit(good ? 0 : 2);
}

static bool
start_children(struct crew *c)
{
    uint32_t count = (uint32_t)c->options->processes;

    c->children = calloc(count, sizeof *c->children);
    if (c->children == NULL) {
        fprintf(stderr, "tidewire-bench: no memory for --processes %u\n", count);
        return false;
    }
    for (; c->child_count < count; c->child_count++) {
        pid_t pid = fork();
        if (pid == 0) {
            be_child(c, c->child_count);
        }
        if (pid < 0) {
            fprintf(stderr, "tidewire-bench: process %u: %s\n", c->child_count, strerror(errno));
            return false;
        }
        c->children[c->child_count] = pid;
    }
    return true;
}

static bool
all_up(const struct crew *c)
{
    for (uint32_t i = 0; i < c->board->worker_count; i++) {
        /* Acquire: partner is the worker's release of its state. */
        if (atomic_load_explicit(&c->board->desks[i].state, memory_order_acquire) == DESK_STARTING) {
            return false;
        }
    }
    return true;
}

bool
crew_start(struct crew *c, const struct options *o, struct board *b, struct secure_context *secure)
{
    *c = (struct crew){.options = o, .board = b, .secure = secure};
    c->child_cpu_ns = calloc(o->processes, sizeof *c->child_cpu_ns);
    c->wait_ns = calloc(b->worker_count, sizeof *c->wait_ns);
    if (c->child_cpu_ns == NULL || c->wait_ns == NULL) {
        fprintf(stderr, "tidewire-bench: no memory for %u threads\n", b->worker_count);
        return false;
    }
    if (!(o->processes > 1 ? start_children(c) : start_threads(c, 0))) {
        return false;
    }
    while (!all_up(c)) {
        usleep(START_WAIT_US);
        if (!crew_is_whole(c)) {
            return false;
        }
    }
    return crew_is_whole(c);
}

/* ----------------------------------------------------------------------------------------------------------------- run */

bool
crew_is_whole(struct crew *c)
{
    for (uint32_t i = 0; i < c->board->worker_count; i++) {
        if (atomic_load_explicit(&c->board->desks[i].state, memory_order_acquire) == DESK_BROKEN) {
            say_broken(&c->board->desks[i]);
            return false;
        }
    }
    for (uint32_t i = 0; i < c->child_count; i++) {
        int status;
        if (c->children[i] > 0 && waitpid(c->children[i], &status, WNOHANG) == c->children[i]) {
            fprintf(stderr, "tidewire-bench: process %u of the load has ended (%s %d)\n", i, WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            c->children[i] = 0;
            return false;
        }
    }
    return true;
}

void
crew_end(struct crew *c)
{
    for (uint32_t i = 0; i < c->child_count; i++) {
        if (c->children[i] > 0) {
            waitpid(c->children[i], NULL, 0);
        }
    }
    free(c->children);
    free(c->child_cpu_ns);
    free(c->wait_ns);
    join_threads(c);
}

uint64_t
crew_get_cpu_ns(const struct crew *c)
{
    uint64_t sum_ns = process_get_own_cpu_ns();
    for (uint32_t i = 0; i < c->child_count; i++) {
        uint64_t cpu_ns;
        if (c->children[i] > 0 && process_read_cpu_ns(c->children[i], &cpu_ns)) {
            c->child_cpu_ns[i] = cpu_ns;
        }
        sum_ns += c->child_cpu_ns[i];
    }
    return sum_ns;
}

uint64_t
crew_get_wait_ns(const struct crew *c)
{
    uint64_t sum_ns = 0;
    for (uint32_t i = 0; i < c->board->worker_count; i++) {
        uint64_t wait_ns = process_read_wait_ns(c->board->desks[i].thread);
        c->wait_ns[i] = wait_ns > c->wait_ns[i] ? wait_ns : c->wait_ns[i];
        sum_ns += c->wait_ns[i];
    }
    return sum_ns / c->board->worker_count;
}
