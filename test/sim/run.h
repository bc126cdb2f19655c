/*
 * run: one run of the simulated world: a broker, its clients, and the oracle, moved on step by step by the dice of one seed.
 *
 *   run_open ──► run_step ... ──► run_bring_back ──► run_end_everything ──► run_close
 */
#ifndef TIDEWIRE_TEST_SIM_RUN_H
#define TIDEWIRE_TEST_SIM_RUN_H

#include "test/sim/actor.h"

struct run {
    struct world *world;
    struct oracle *oracle;
    struct dice dice;
    struct actor_stage stage;
    struct actor *actors;
    uint32_t actor_count;
    uint32_t steps;    /* to be done */
    uint64_t quiet_ns; /* when no shard had anything to do */
    unsigned slow_shard; /* seldom takes its turn, as one whose turns are long */
};

/* What a run is like, beside what its seed says. */
struct run_plan {
    uint64_t seed;
    unsigned shards;
    uint32_t actors_min, actors_max, actors_many; /* mostly between the first two, sometimes up to the third */
    uint32_t steps_min, steps_max;
    const char *options; /* lines of the broker's configuration */
};

/* `oracle`: its trace's memory is used again. */
void run_open(struct run *run, struct oracle *oracle, const struct run_plan *plan);
/* Stops the broker and frees everything but the oracle. */
void run_close(struct run *run);

/* A client does something, some shards take their turns, some clients read, and perhaps time passes. */
void run_step(struct run *run);
/* One turn of a shard picked among those that have something to do; false if none has. `all`: the slow one too. */
bool run_turn(struct run *run, bool all);
void run_pass_time(struct run *run, uint32_t ms);
/* Until nobody has anything left to do; then everything owed must be there. */
void run_checkpoint(struct run *run);
enum run_end {
    RUN_POWER_FAILS,
    RUN_KILLED,  /* as by SIGKILL */
    RUN_STOPPED, /* as by SIGTERM */
};

/* How a broker comes to its end, and begins again. */
struct run_crash {
    enum run_end end;
    unsigned shards;  /* afterwards */
    uint32_t down_ms;
};
void run_crash(struct run *run, const struct run_crash *crash);
/* The disk has room for so many bytes more; or the next writes fail. What needs it may be refused until it heals. */
void run_fill_disk(struct run *run, uint64_t room);
void run_break_disk(struct run *run, uint32_t writes);
void run_heal_disk(struct run *run);
/* Everybody who may have a session takes it up again, reads, and answers. */
void run_bring_back(struct run *run);
/* All sessions and retained messages are ended, and nothing may be left. */
void run_end_everything(struct run *run);

#endif
