/* The program: configuration, threads, signals, the end. */
#include "engine/broker.h"
#include "engine/config/attic.h"
#include "engine/durable/store.h"
#include "engine/durable/recover.h"
#include "engine/journal/journal.h"
#include "engine/log.h"
#include "engine/observe/log_topic.h"
#include "engine/process.h"
#include "engine/security/security.h"
#include "engine/shard.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ERROR_BYTES 512
/* The exit code for a configuration that cannot be used, as Mosquitto's. */
#define EXIT_CONFIGURATION 3
/* How long a reload waits for the one before it, in steps. */
#define TAKE_OVER_LOOK_NS 1000000
#define TAKE_OVER_LOOKS_MAX 2000

/* How often the start looks whether all shards listen, and after how many looks it says how far they are. */
#define OPEN_LOOK_NS 2000000
#define OPEN_LOOKS_PER_LINE 500

struct configs {
    struct config *first; /* its listeners stay to the end */
    struct config *now;
    struct attic attic;
};

struct worker {
    pthread_t thread;
    struct shard *shard;
    bool running;
};

static struct worker workers[BROKER_SHARDS_MAX];

/* Shard i runs on the i-th core that the process may use. */
static void
pin_to_core(unsigned number)
{
    cpu_set_t usable;
    if (sched_getaffinity(getpid(), sizeof usable, &usable) != 0) {
        return;
    }
    unsigned wanted = number % (unsigned)CPU_COUNT(&usable);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &usable) && wanted-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            pthread_setaffinity_np(pthread_self(), sizeof one, &one);
            return;
        }
    }
}

/* As recover_shard(), and says why it cannot start. -ECANCELED: it is not to any more. */
static int
recover(struct shard *shard)
{
    char error[ERROR_BYTES];
    int result = recover_shard(shard, error, sizeof error);
    if (result != 0 && result != -ECANCELED) {
        log_line(CONFIG_LOG_ERROR, "Error: %s", error);
        kill(getpid(), SIGTERM);
    }
    return result;
}

static void *
run_shard(void *argument)
{
    struct worker *worker = argument;
    pin_to_core(worker->shard->number);
    int result = shard_enter(worker->shard);
    if (result != 0) {
        log_line(CONFIG_LOG_ERROR, "Error: shard %u cannot start: %s", worker->shard->number, strerror(-result));
        kill(getpid(), SIGTERM);
        return (void *)1;
    }
    /* Nothing may be written to a journal that was not read to its end. */
    result = recover(worker->shard);
    while (result == 0 && shard_turn(worker->shard, true)) {
    }
    shard_leave(worker->shard);
    return result == 0 || result == -ECANCELED ? NULL : (void *)1;
}

static int
write_pid_file(const char *path)
{
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        log_line(CONFIG_LOG_ERROR, "Error: pid_file %s cannot be written: %s", path, strerror(errno));
        return -1;
    }
    fprintf(file, "%d\n", getpid());
    fclose(file);
    return 0;
}

/* The journals are written to by whom the broker becomes. */
static int
give_store(const struct broker *broker, const char *user, char *error, size_t error_size)
{
    return broker->store == NULL ? 0 : process_give_directory(store_directory(broker->store), STORE_DEPTH, user, error, error_size);
}

/* 0, or -1 with a line said. */
static int
drop_privileges(const struct broker *broker, const struct config *config)
{
    char error[ERROR_BYTES];
    if (!process_is_root()) {
        return 0;
    }
    if (config->user == NULL) {
        log_line(CONFIG_LOG_WARNING, "Warning: running as root, because option user is not given and there is no user 'tidewire'");
        return 0;
    }
    if (give_store(broker, config->user, error, sizeof error) != 0 || process_become(config->user, error, sizeof error) != 0) {
        log_line(CONFIG_LOG_ERROR, "Error: %s", error);
        return -1;
    }
    return 0;
}

static void
say_listening(const struct config_listener *listener)
{
    const char *what = listener->websockets ? " for WebSockets" : "";
    if (listener->unix_path != NULL) {
        log_line(CONFIG_LOG_NOTICE, "Listening on %s%s.", listener->unix_path, what);
        return;
    }
    const char *host = listener->interface != NULL ? listener->interface : listener->host != NULL ? listener->host : "all interfaces";
    log_line(CONFIG_LOG_NOTICE, "Listening on %s port %u%s.", host, listener->port, what);
}

static void
say_started(const struct config *config)
{
    for (unsigned i = 0; i < config->listener_count; i++) {
        say_listening(&config->listeners[i]);
    }
}

/* Reloads may come faster than shards take turns. */
static bool
wait_until_taken_over(const struct broker *broker)
{
    struct timespec pause = {.tv_nsec = TAKE_OVER_LOOK_NS};
    for (unsigned i = 0; i < TAKE_OVER_LOOKS_MAX && !broker_is_taken_over(broker); i++) {
        nanosleep(&pause, NULL);
    }
    return broker_is_taken_over(broker);
}

static uint64_t
now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec;
}

/* The new configuration, in use; NULL with a line in `error`. */
static struct config *
take_new(struct broker *broker, struct configs *configs, char *error, size_t error_size)
{
    if (wait_until_taken_over(broker)) {
        attic_clear(&configs->attic, now_s());
    }
    if (attic_is_full(&configs->attic)) {
        snprintf(error, error_size, "reloaded %u times within %u s; wait", ATTIC_MAX, ATTIC_KEEP_S);
        return NULL;
    }
    struct config *new = config_reload(configs->now, error, error_size);
    if (new != NULL && broker_reload(broker, new, error, error_size) != 0) {
        config_free(&new);
    }
    return new;
}

static void
reload(struct broker *broker, struct configs *configs)
{
    char error[ERROR_BYTES];
    struct config *new = take_new(broker, configs, error, sizeof error);
    if (new == NULL) {
        log_line(CONFIG_LOG_ERROR, "Error: configuration not reloaded, the old one stays: %s", error);
        return;
    }
    if (configs->now != configs->first) {
        attic_add(&configs->attic, &configs->now, now_s());
    }
    configs->now = new;
    log_open(new);
    log_line(CONFIG_LOG_NOTICE, "Configuration reloaded.");
}

/* The ban file as it was when it was looked at last. */
static struct stat ban_file_seen;

/* True if it has changed since the last call; not when it is gone. */
static bool
ban_file_has_changed(const char *path)
{
    struct stat now;
    if (stat(path, &now) != 0) {
        return false;
    }
    bool same = now.st_ino == ban_file_seen.st_ino && now.st_size == ban_file_seen.st_size && now.st_mtim.tv_sec == ban_file_seen.st_mtim.tv_sec &&
                now.st_mtim.tv_nsec == ban_file_seen.st_mtim.tv_nsec;
    ban_file_seen = now;
    return !same;
}

/* Bans change without a signal: who writes the file need not be who may signal the broker. */
static void
watch_bans(struct broker *broker, const struct config *config)
{
    char error[ERROR_BYTES];
    if (!ban_file_has_changed(config->ban_file)) {
        return;
    }
    if (broker_reload_bans(broker, config, error, sizeof error) == 0) {
        log_line(CONFIG_LOG_NOTICE, "Bans taken over from %s.", config->ban_file);
    } else {
        log_line(CONFIG_LOG_ERROR, "Error: bans not taken over, the old ones stay: %s", error);
    }
}

static int
wait_for_signal(const sigset_t *signals, const struct config *config)
{
    const struct timespec watch_interval = {.tv_sec = 1};
    return config->ban_file != NULL ? sigtimedwait(signals, NULL, &watch_interval) : sigwaitinfo(signals, NULL);
}

/* Until SIGTERM or SIGINT. */
static void
serve_signals(struct broker *broker, const sigset_t *signals, struct configs *configs)
{
    for (;;) {
        const struct config *config = configs->now;
        int signal = wait_for_signal(signals, config);
        if (signal < 0 && config->ban_file != NULL) {
            watch_bans(broker, config);
        }
        if (signal == SIGHUP) {
            reload(broker, configs);
        } else if (signal == SIGUSR1) {
            log_reopen();
        } else if (signal == SIGTERM || signal == SIGINT) {
            log_line(CONFIG_LOG_NOTICE, "tidewire stopping.");
            return;
        }
    }
}

/* What shards have to read of their journals, and have read. */
static void
say_progress(const struct broker *broker)
{
    uint64_t all = 0, done = 0;
    for (unsigned i = 0; i < broker->shard_count; i++) {
        const struct journal *journal = broker->shards[i]->journal;
        all += journal != NULL ? journal_bytes_to_read(journal) : 0;
        done += journal != NULL ? journal_bytes_read(journal) : 0;
    }
    if (all > 0) {
        log_line(CONFIG_LOG_NOTICE, "Reading the journal: %.0f %% of %.0f MB.", (double)done * 100 / (double)all, (double)all / 1e6);
    }
}

/* Until all shards listen: true. Or SIGTERM and SIGINT, or a shard that cannot: false. Other signals wait. */
static bool
wait_until_open(struct broker *broker)
{
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    const struct timespec look_interval = {.tv_nsec = OPEN_LOOK_NS};
    for (unsigned looks = 1; !broker_is_open(broker); looks++) {
        if (atomic_load(&broker->stopping) || sigtimedwait(&ends, NULL, &look_interval) > 0) {
            return false;
        }
        if (looks % OPEN_LOOKS_PER_LINE == 0) {
            say_progress(broker);
        }
    }
    return true;
}

static bool
start_threads(struct broker *broker)
{
    for (unsigned i = 0; i < broker->shard_count; i++) {
        workers[i].shard = broker->shards[i];
        workers[i].running = pthread_create(&workers[i].thread, NULL, run_shard, &workers[i]) == 0;
        if (!workers[i].running) {
            log_line(CONFIG_LOG_ERROR, "Error: thread of shard %u cannot be started", i);
            return false;
        }
    }
    return true;
}

static int
join_threads(const struct broker *broker)
{
    int result = 0;
    for (unsigned i = 0; i < broker->shard_count; i++) {
        void *failed = NULL;
        if (workers[i].running) {
            pthread_join(workers[i].thread, &failed);
        }
        result |= failed != NULL;
    }
    return result;
}

static void
serve(struct broker *broker, const sigset_t *signals, struct configs *configs)
{
    if (wait_until_open(broker)) {
        say_started(configs->first);
        process_notify("READY=1");
        serve_signals(broker, signals, configs);
    }
}

static int
run(struct broker *broker, const sigset_t *signals, struct configs *configs)
{
    const struct config *config = configs->first;
    char error[ERROR_BYTES];
    if (broker_listen(broker, error, sizeof error) != 0) {
        log_line(CONFIG_LOG_ERROR, "Error: %s", error);
        return 1;
    }
    if ((config->pid_file != NULL && write_pid_file(config->pid_file) != 0) || drop_privileges(broker, config) != 0) {
        return 1;
    }
    process_harden(config->core_dumps);
    log_line(CONFIG_LOG_NOTICE, "tidewire version %s starting: %u shards, %s", TIDEWIRE_VERSION, broker->shard_count, io_describe(broker->ios));
    if (config->ban_file != NULL) {
        ban_file_has_changed(config->ban_file); /* what it says now has been read */
    }
    int result = 1;
    if (start_threads(broker)) {
        serve(broker, signals, configs);
        process_notify("STOPPING=1");
        result = atomic_load(&broker->stopping); /* by itself: it has said why */
    }
    broker_stop(broker);
    result |= join_threads(broker);
    if (config->pid_file != NULL) {
        unlink(config->pid_file);
    }
    return result;
}

/* Whether there could be a journal; nothing is made. */
static bool
location_is_good(const struct config *config, char *error, size_t error_size)
{
    const char *path = config->persistence_location != NULL ? config->persistence_location : ".";
    struct stat found;
    int problem = stat(path, &found) != 0 ? errno : !S_ISDIR(found.st_mode) ? ENOTDIR : access(path, R_OK | W_OK | X_OK) != 0 ? errno : 0;
    if (config->persistence && problem != 0) {
        snprintf(error, error_size, "persistence_location %s cannot be used: %s", path, strerror(problem));
        return false;
    }
    return true;
}

/* --test-config: what the configuration names is read as at the start. */
static int
test_configuration(struct config **config)
{
    char error[ERROR_BYTES];
    struct security *security = security_read(*config, NULL, error, sizeof error);
    bool valid = security != NULL && location_is_good(*config, error, sizeof error);
    if (valid) {
        config_tell_valid(*config);
    } else {
        fprintf(stderr, "Error: %s\n", error);
    }
    security_free(&security);
    config_free(config);
    return valid ? 0 : EXIT_CONFIGURATION;
}

int
main(int argc, char **argv)
{
    static struct configs configs;
    enum config_outcome outcome = config_from_arguments(argc, argv, &configs.first);
    struct config *first = configs.now = configs.first;
    if (outcome != CONFIG_RUN) {
        return outcome == CONFIG_EXIT_OK ? 0 : EXIT_CONFIGURATION;
    }
    if (first->test_only) {
        return test_configuration(&configs.first);
    }
    if (first->daemonize && daemon(1, 0) != 0) {
        fprintf(stderr, "tidewire: cannot become a daemon: %s\n", strerror(errno));
        return 1;
    }
    /* Signals are for this thread alone: the shards inherit the mask. */
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    process_raise_descriptor_limit();

    log_topic_open();
    int log_result = log_open(first);
    if (log_result != 0) {
        log_line(CONFIG_LOG_ERROR, "Error: log_dest file %s cannot be opened: %s", first->log_file, strerror(-log_result));
        config_free(&configs.first);
        return 1;
    }
    char error[ERROR_BYTES];
    struct broker *broker = broker_open(first, error, sizeof error);
    int result = 1;
    if (broker == NULL) {
        log_line(CONFIG_LOG_ERROR, "Error: %s", error);
    } else {
        result = run(broker, &signals, &configs);
        broker_close(&broker);
    }
    log_close();
    attic_fini(&configs.attic);
    if (configs.now != configs.first) {
        config_free(&configs.now);
    }
    config_free(&configs.first);
    return result;
}
