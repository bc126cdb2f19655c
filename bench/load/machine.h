/*
 * machine: what a figure was measured on.
 *
 * Threads  one. Memory  the caller's.
 */
#ifndef TIDEWIRE_BENCH_LOAD_MACHINE_H
#define TIDEWIRE_BENCH_LOAD_MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* "AMD EPYC 7B13", or the architecture where the kernel does not tell. */
void machine_write_processor(char *out, size_t room);
void machine_write_kernel(char *out, size_t room);
void machine_write_time(char *out, size_t room); /* "2026-11-25T17:00:00Z" */
uint32_t machine_count_cores(void);

#endif
