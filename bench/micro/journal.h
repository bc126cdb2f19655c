/* What bench/micro/journal.cc measures, in C: a journal with real files, in a directory of the working directory that is removed with it. */
#ifndef TIDEWIRE_BENCH_MICRO_JOURNAL_H
#define TIDEWIRE_BENCH_MICRO_JOURNAL_H

#include <stdint.h>

struct place;

/* An empty journal. Says why and ends the process if that cannot be. */
struct place *place_open(void);
void place_close(struct place *place);

void place_append(struct place *place, uint32_t size);
/* The same, and takes it back. */
void place_append_and_void(struct place *place, uint32_t size);
void place_submit(struct place *place);
/* Until everything is on the disk. */
void place_commit(struct place *place);
/* place_commit() cuts the past off from now on, once a segment. */
void place_cut_now_and_then(struct place *place);
/* Closes it in order, and reads all of it. Returns how many records there are. */
uint64_t place_read_again(struct place *place);

#endif
