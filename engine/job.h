/*
 * job: work that would hold up a shard: it runs elsewhere, and its shard is told.
 *
 *      job_start ──► run(job)  on a worker thread (engine/io/io.h: io_work) ──► done(shard, job)  on the shard's thread
 *
 * A job is embedded in what it works on. `run` touches only what the job owns, and what never changes; `done` owns the job again, and frees it or not. Each
 * started job is done exactly once, at the shutdown too (then perhaps without having run: `ran` says so), and its connection may have ended meanwhile.
 */
#ifndef TIDEWIRE_ENGINE_JOB_H
#define TIDEWIRE_ENGINE_JOB_H

#include "engine/io/io.h"

struct shard;

struct job {
    void (*run)(struct job *job);
    void (*done)(struct shard *shard, struct job *job);
    bool ran;
};

/* False, and counted, when too many wait already: the caller refuses what it was for. */
bool job_start(struct shard *shard, enum io_work_class class, struct job *job);
/* IO_WORKED. */
void job_finished(struct shard *shard, struct job *job);
/* After io_leave(): ends all that are under way. */
void job_end_all(struct shard *shard);

#endif
