#include "bench/load/waiting.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/process.h"

static const struct waiting_thread *
find(const struct waiting *w, pid_t thread)
{
    for (uint32_t i = 0; i < w->count; i++) {
        if (w->threads[i].thread == thread) {
            return &w->threads[i];
        }
    }
    return NULL;
}

static void
note_start(struct waiting *w, pid_t thread)
{
    if (w->count < WAITING_THREADS_MAX) {
        w->threads[w->count++] = (struct waiting_thread){.thread = thread, .start_ns = process_read_wait_ns(thread)};
    }
}

static void
note_now(struct waiting *w, pid_t thread)
{
    const struct waiting_thread *t = find(w, thread);
    if (t == NULL && w->count == WAITING_THREADS_MAX) {
        return; /* its start is not known */
    }
    uint64_t now_ns = process_read_wait_ns(thread);
    uint64_t start_ns = t != NULL ? t->start_ns : 0;
    uint64_t waited_ns = now_ns > start_ns ? now_ns - start_ns : 0; /* it reads as 0 when the thread is gone */
    w->longest_ns = waited_ns > w->longest_ns ? waited_ns : w->longest_ns;
}

static void
for_each_thread(struct waiting *w, pid_t pid, void (*note)(struct waiting *w, pid_t thread))
{
    char path[64];
    struct dirent *entry;

    snprintf(path, sizeof path, "/proc/%ld/task", (long)pid);
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        long thread = strtol(entry->d_name, NULL, 10);
        if (thread > 0) {
            note(w, (pid_t)thread);
        }
    }
    closedir(folder);
}

void
waiting_start(struct waiting *w, const pid_t *pids, uint32_t count)
{
    w->count = 0;
    w->longest_ns = 0;
    for (uint32_t i = 0; i < count; i++) {
        for_each_thread(w, pids[i], note_start);
    }
}

uint64_t
waiting_look(struct waiting *w, const pid_t *pids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        for_each_thread(w, pids[i], note_now);
    }
    return w->longest_ns;
}
