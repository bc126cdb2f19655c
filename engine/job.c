#include "engine/job.h"

#include "engine/shard.h"

static void
run(void *argument)
{
    struct job *job = argument;
    job->run(job);
    job->ran = true;
}

bool
job_start(struct shard *shard, enum io_work_class class, struct job *job)
{
    job->ran = false;
    bool started = io_work(shard->io, class, run, job);
    if (!started) {
        stats_add(&shard->stats.drops[DROP_WORK_FULL], 1);
    }
    return started;
}

void
job_finished(struct shard *shard, struct job *job)
{
    job->done(shard, job);
}

void
job_end_all(struct shard *shard)
{
    struct job *job;
    while ((job = io_work_end(shard->io)) != NULL) {
        job->done(shard, job);
    }
}
