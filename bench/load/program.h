/*
 * program: the phases of a run, one program per kind of scenario. Read these to know what a figure means.
 *
 *   flow      connect ──► warm up ──► measure ──► drain (──► end the sessions)
 *   storm     connect the steady pairs ──► warm up ──► measure while all the others connect ──► drain
 *   retained  connect ──► store ──► subscribe, measure until all have all ──► erase
 *   offline   subscribe, leave ──► queue ──► come back, measure until all have all ──► end the sessions
 *
 * Threads  the conductor's.
 */
#ifndef TIDEWIRE_BENCH_LOAD_PROGRAM_H
#define TIDEWIRE_BENCH_LOAD_PROGRAM_H

#include "bench/load/conductor.h"

void program_flow(struct conductor *c);
void program_storm(struct conductor *c);
void program_retained(struct conductor *c);
void program_offline(struct conductor *c);

/* Publishing, which began with this sample, is done. */
void program_note_stored(struct conductor *c, const struct sample *start, uint64_t messages);

/* Subscribers leave and end their sessions, unless something went wrong: the broker is left as it was. */
void program_end_sessions(struct conductor *c);

/* What subscribers got since then, and how long the last of them took. */
void program_note_fetched(struct conductor *c, uint64_t start_ns);

#endif
