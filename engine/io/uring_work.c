/* Worker threads: what would hold up a shard runs here. Part of the io_uring half; the map of the files is in uring_shard.h. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/io/uring_shard.h"

/* Pieces of work of one class that may wait: at some 100 bytes of its owner's each, and for how long is its class's affair. */
#define WORK_QUEUE_ITEMS 4096u
/* Threads for requests to other servers: they wait, and do not compute. */
#define REQUEST_THREADS 16u
#define COMPUTE_THREADS_MAX 16u
/* More would only stand in each other's way at the disk. */
#define DISK_THREADS 1u
/* Workers give way to shards: a shard that wakes up runs at once, and a machine that is all busy with messages still does some tenth of its work here. */
#define WORKER_NICE 10
/* The slice that a shard asks of the scheduler: the shortest there is. It gets no more time by that, but its turn at once when it wakes up. */
#define SHARD_SLICE_NS 100000u

struct work_item {
    struct io *io;
    void (*work)(void *argument);
    void *argument;
};

struct work_class {
    struct work_pool *pool;
    pthread_t *threads;
    unsigned thread_count, threads_wanted;
    struct work_item *queue; /* a circle of WORK_QUEUE_ITEMS */
    uint32_t first, count;
    pthread_cond_t more;
};

/* One lock for all: it is taken for work of microseconds to seconds, never for a message. */
struct work_pool {
    pthread_mutex_t lock;
    pthread_cond_t one_done;
    bool ending;
    cpu_set_t cores;         /* of the process: shards are pinned, workers are not */
    struct work_class classes[IO_WORK_CLASSES];
};

struct work_pool *
work_open(unsigned shard_count)
{
    struct work_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        return NULL;
    }
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->one_done, NULL);
    if (sched_getaffinity(0, sizeof pool->cores, &pool->cores) != 0) {
        CPU_ZERO(&pool->cores);
    }
    for (unsigned i = 0; i < IO_WORK_CLASSES; i++) {
        unsigned compute = shard_count < COMPUTE_THREADS_MAX ? shard_count : COMPUTE_THREADS_MAX;
        pool->classes[i].pool = pool;
        pool->classes[i].threads_wanted = i == IO_WORK_REQUEST ? REQUEST_THREADS : i == IO_WORK_DISK ? DISK_THREADS : compute;
        pthread_cond_init(&pool->classes[i].more, NULL);
    }
    return pool;
}

/* To be called with the lock held: the piece of work is told by its shard's next io_wait(). */
static void
finish(struct work_pool *pool, const struct work_item *item)
{
    struct io *io = item->io;
    io->work_running--;
    assert(io->worked_count < io->worked_room);
    io->worked[io->worked_count++] = item->argument;
    atomic_store_explicit(&io->worked_any, true, memory_order_release); /* pairs with work_complete() */
    pthread_cond_broadcast(&pool->one_done);
}

/* Linux 6.12 and later; older ones take no notice of the slice. 0: the usual one. */
static void
ask_for_slice(uint64_t slice_ns)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } wish = {.size = sizeof wish, .nice = getpriority(PRIO_PROCESS, 0), .runtime_ns = slice_ns}; /* the kernel's struct sched_attr */
    static_assert(sizeof wish == 48, "its first version");
    syscall(SYS_sched_setattr, 0, &wish, 0); /* refused, a shard may wait for the end of a worker's slice: some milliseconds */
}

void
work_give_precedence(void)
{
    ask_for_slice(SHARD_SLICE_NS);
}

static void *
run_worker(void *argument)
{
    struct work_class *class = argument;
    struct work_pool *pool = class->pool;
    if (CPU_COUNT(&pool->cores) > 0) {
        pthread_setaffinity_np(pthread_self(), sizeof pool->cores, &pool->cores);
    }
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), WORKER_NICE);
    ask_for_slice(0); /* not that of the shard whose work it was started for */
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (class->count == 0 && !pool->ending) {
            pthread_cond_wait(&class->more, &pool->lock);
        }
        if (pool->ending) {
            break;
        }
        struct work_item item = class->queue[class->first];
        class->first = (class->first + 1) % WORK_QUEUE_ITEMS;
        class->count--;
        item.io->work_waiting--;
        item.io->work_running++;
        pthread_mutex_unlock(&pool->lock);
        item.work(item.argument);
        pthread_mutex_lock(&pool->lock);
        finish(pool, &item);
        pthread_mutex_unlock(&pool->lock);
        io_interrupt(item.io);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* Threads come with the first work, one for each piece until there are all. */
static void
start_thread(struct work_class *class)
{
    if (class->threads == NULL) {
        class->threads = calloc(class->threads_wanted, sizeof *class->threads);
    }
    if (class->threads != NULL && class->thread_count < class->threads_wanted &&
        pthread_create(&class->threads[class->thread_count], NULL, run_worker, class) == 0) {
        class->thread_count++;
    }
}

static bool
make_room(struct io *io, struct work_class *class)
{
    if (class->queue == NULL) {
        class->queue = calloc(WORK_QUEUE_ITEMS, sizeof *class->queue);
    }
    uint32_t needed = io->worked_count + io->work_running + io->work_waiting + 1;
    if (needed > io->worked_room) {
        uint32_t room = io->worked_room ? io->worked_room * 2 : 64;
        void **worked = realloc(io->worked, room * sizeof *worked);
        if (worked == NULL) {
            return false;
        }
        io->worked = worked;
        io->worked_room = room;
    }
    return class->queue != NULL && class->count < WORK_QUEUE_ITEMS;
}

bool
io_work(struct io *io, enum io_work_class number, void (*work)(void *argument), void *argument)
{
    struct work_pool *pool = io->set->work;
    struct work_class *class = &pool->classes[number];
    pthread_mutex_lock(&pool->lock);
    bool taken = make_room(io, class);
    if (taken) {
        start_thread(class);
        taken = class->thread_count > 0;
    }
    if (taken) {
        class->queue[(class->first + class->count++) % WORK_QUEUE_ITEMS] = (struct work_item){.io = io, .work = work, .argument = argument};
        io->work_waiting++;
        pthread_cond_signal(&class->more);
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

unsigned
work_complete(struct io *io, struct io_event *events, unsigned max)
{
    if (!atomic_load_explicit(&io->worked_any, memory_order_acquire)) {
        return 0;
    }
    pthread_mutex_lock(&io->set->work->lock);
    unsigned count = 0;
    while (count < max && count < io->worked_count) {
        events[count] = (struct io_event){.type = IO_WORKED, .socket = IO_SOCKET_NONE, .token = (uint64_t)(uintptr_t)io->worked[count]};
        count++;
    }
    io->worked_count -= count;
    memmove(io->worked, io->worked + count, io->worked_count * sizeof *io->worked);
    atomic_store_explicit(&io->worked_any, io->worked_count > 0, memory_order_relaxed);
    pthread_mutex_unlock(&io->set->work->lock);
    return count;
}

/* Takes one that nobody has begun. To be called with the lock held. */
static void *
take_waiting(struct io *io, struct work_class *class)
{
    for (uint32_t i = 0; i < class->count; i++) {
        struct work_item *item = &class->queue[(class->first + i) % WORK_QUEUE_ITEMS];
        if (item->io == io) {
            void *argument = item->argument;
            *item = class->queue[class->first]; /* the order among those that are left does not matter now */
            class->first = (class->first + 1) % WORK_QUEUE_ITEMS;
            class->count--;
            io->work_waiting--;
            return argument;
        }
    }
    return NULL;
}

void *
io_work_end(struct io *io)
{
    struct work_pool *pool = io->set->work;
    void *argument = NULL;
    pthread_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < IO_WORK_CLASSES && argument == NULL; i++) {
        argument = take_waiting(io, &pool->classes[i]);
    }
    while (argument == NULL && io->worked_count == 0 && io->work_running > 0) {
        pthread_cond_wait(&pool->one_done, &pool->lock);
    }
    if (argument == NULL && io->worked_count > 0) {
        argument = io->worked[--io->worked_count];
    }
    pthread_mutex_unlock(&pool->lock);
    return argument;
}

void
work_close(struct work_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    for (unsigned i = 0; i < IO_WORK_CLASSES; i++) {
        pthread_cond_broadcast(&pool->classes[i].more);
    }
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < IO_WORK_CLASSES; i++) {
        struct work_class *class = &pool->classes[i];
        for (unsigned j = 0; j < class->thread_count; j++) {
            pthread_join(class->threads[j], NULL);
        }
        pthread_cond_destroy(&class->more);
        free(class->threads);
        free(class->queue);
    }
    pthread_cond_destroy(&pool->one_done);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
