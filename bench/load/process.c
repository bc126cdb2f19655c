#include "bench/load/process.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

static uint64_t
ns_of(struct timespec t)
{
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool
process_read_cpu_ns(pid_t pid, uint64_t *out)
{
    clockid_t id;
    struct timespec t;

    if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0) {
        return false;
    }
    *out = ns_of(t);
    return true;
}

bool
process_read_rss_bytes(pid_t pid, uint64_t *out)
{
    char path[64];
    unsigned long pages;

    snprintf(path, sizeof path, "/proc/%ld/statm", (long)pid);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return false;
    }
    int fields = fscanf(f, "%*u %lu", &pages);
    fclose(f);
    if (fields != 1 || pages == 0) {
        return false; /* a zombie still has a file, but no memory */
    }
    *out = (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
    return true;
}

uint64_t
process_read_wait_ns(pid_t thread)
{
    char path[64];
    unsigned long long wait_ns = 0;

    snprintf(path, sizeof path, "/proc/%ld/schedstat", (long)thread);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return 0;
    }
    if (fscanf(f, "%*u %llu", &wait_ns) != 1) {
        wait_ns = 0;
    }
    fclose(f);
    return wait_ns;
}

uint64_t
process_get_own_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return ns_of(t);
}

uint64_t
process_get_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return ns_of(t);
}
