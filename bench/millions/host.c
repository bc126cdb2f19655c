#include "bench/millions/host.h"

#include "bench/millions/heap.h"
#include "engine/log.h"
#include "engine/shard.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Rounds without rest: beyond this something feeds itself. */
#define ROUNDS_MAX 10000000u

struct host {
    struct config *config;
    struct broker *broker;
    struct sim *sim;
    uint64_t turns_ns;
};

/* Of all io_wait() calls: the wrapper knows no host. */
static uint64_t waits_ns;

static void
die(const char *what)
{
    fprintf(stderr, "tidewire-millions: %s\n", what);
    exit(1);
}

static uint64_t
cpu_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The linker's --wrap=io_wait calls this for io_wait. */
unsigned __real_io_wait(struct io *io, uint64_t timeout_ns, uint32_t gather_us, struct io_event *events, unsigned max);
unsigned __wrap_io_wait(struct io *io, uint64_t timeout_ns, uint32_t gather_us, struct io_event *events, unsigned max);

unsigned
__wrap_io_wait(struct io *io, uint64_t timeout_ns, uint32_t gather_us, struct io_event *events, unsigned max)
{
    uint64_t start_ns = cpu_now_ns();
    unsigned count = __real_io_wait(io, timeout_ns, gather_us, events, max);
    waits_ns += cpu_now_ns() - start_ns;
    return count;
}

struct host *
host_open(unsigned shard_count, uint32_t sockets_max)
{
    char text[512];
    char error[512];
    int size = snprintf(text, sizeof text,
                        "listener %d 127.0.0.1\nallow_anonymous true\nshards %u\nshard_connections %u\nmemory_limit 0\nsys_interval 0\n"
                        "connection_messages false\nlog_dest none\n",
                        HOST_PORT, shard_count, sockets_max);
    struct host *host = heap_calloc(1, sizeof *host);
    host->config = config_parse_text(text, (size_t)size, "tidewire-millions", false, error, sizeof error);
    if (host->config == NULL) {
        die(error);
    }
    sim_set_seed(1);
    log_open(host->config);
    host->broker = broker_open(host->config, error, sizeof error);
    if (host->broker == NULL || broker_listen(host->broker, error, sizeof error) != 0) {
        die(error);
    }
    for (unsigned i = 0; i < shard_count; i++) {
        if (shard_enter(host->broker->shards[i]) != 0) {
            die("a shard cannot enter");
        }
    }
    for (uint32_t turns = 0; !broker_is_open(host->broker); turns++) {
        if (turns == ROUNDS_MAX) {
            die("the broker does not open");
        }
        shard_turn(host->broker->shards[turns % shard_count], false);
    }
    host->sim = sim_of(host->broker->ios);
    return host;
}

struct sim *
host_sim(const struct host *host)
{
    return host->sim;
}

static bool
run_round(struct host *host)
{
    bool any = false;
    uint64_t now_ms = sim_now_ns(host->sim) / 1000000;
    for (unsigned i = 0; i < host->broker->shard_count; i++) {
        struct shard *shard = host->broker->shards[i];
        if (sim_ready(host->sim, i) || shard_busy(shard) || mesh_waiting(host->broker->mesh, i) || shard_next_ms(shard) <= now_ms) {
            shard_turn(shard, false);
            any = true;
        }
    }
    return any;
}

void
host_settle(struct host *host)
{
    uint64_t start_ns = cpu_now_ns();
    for (uint32_t rounds = 0; run_round(host); rounds++) {
        if (rounds == ROUNDS_MAX) {
            die("the broker does not come to rest");
        }
    }
    host->turns_ns += cpu_now_ns() - start_ns;
}

uint64_t
host_cpu_ns(const struct host *host)
{
    return host->turns_ns - waits_ns;
}

uint64_t
host_accounted_bytes(const struct host *host)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < host->broker->shard_count; i++) {
        sum += (uint64_t)host->broker->shards[i]->account->bytes;
    }
    return sum;
}

void
host_close(struct host **hostp)
{
    struct host *host = *hostp;
    *hostp = NULL;
    broker_stop(host->broker);
    for (unsigned i = 0; i < 50; i++) {
        host_settle(host);
        sim_advance(host->sim, 50 * 1000000);
    }
    for (unsigned i = 0; i < host->broker->shard_count; i++) {
        shard_leave(host->broker->shards[i]);
    }
    if (sim_broker_sockets(host->sim) != 0) {
        die("the stopped broker still holds sockets");
    }
    broker_close(&host->broker); /* its slabs assert that everything was given back */
    config_free(&host->config);
    waits_ns = 0;
    heap_free(host);
}
