/*
 * process: what the broker under test has used so far, read from outside.
 *
 * CPU time comes from the process's own CPU clock (user and system of all its threads, in nanoseconds), not from the
 * 10 ms ticks of /proc/PID/stat. It is what the broker was charged for, whatever the host did meanwhile.
 */
#ifndef TIDEWIRE_BENCH_LOAD_PROCESS_H
#define TIDEWIRE_BENCH_LOAD_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* False when the process is gone (or never was). */
bool process_read_cpu_ns(pid_t pid, uint64_t *out) __attribute__((warn_unused_result));

/* Resident set from /proc/PID/statm. */
bool process_read_rss_bytes(pid_t pid, uint64_t *out) __attribute__((warn_unused_result));

/* How long that thread, of any process, was ready to run and had no CPU, in all; 0 where the kernel does not tell, or when it is gone. */
uint64_t process_read_wait_ns(pid_t thread);

uint64_t process_get_own_cpu_ns(void);
uint64_t process_get_now_ns(void); /* CLOCK_MONOTONIC */

#endif
