/*
 * process: what the broker is to the system around it: how many descriptors it may have, whose rights, what a crash leaves behind, and what
 * a supervisor hears of it.
 *
 * The order matters: files and listeners are opened first, with the rights of whoever started it; then process_become() gives those up, for good; then
 * process_harden(). Shards start last.
 *
 * Threads  the starting one, before the others.
 */
#ifndef TIDEWIRE_ENGINE_PROCESS_H
#define TIDEWIRE_ENGINE_PROCESS_H

#include <stdbool.h>
#include <stddef.h>

/* As many descriptors as the hard limit allows. */
void process_raise_descriptor_limit(void);

bool process_is_root(void);

/*
 * What root has made of a directory, with `depth` levels of directories in it, belongs to that user from now on; links, files with several names, and what belongs to others already
 * stay as they are. 0, or -1 and a line in `error`.
 */
int process_give_directory(const char *path, unsigned depth, const char *user, char *error, size_t error_size);

/* From root to that user with its groups, and never back. 0, or -1 and a line in `error`. */
int process_become(const char *user, char *error, size_t error_size);

/*
 * No program that is started from here gets more rights, and, unless `core_dumps`, memory with passwords and keys goes neither into a core file nor
 * to a debugger of the same user.
 */
void process_harden(bool core_dumps);

/* Tells a supervisor that asked for it ($NOTIFY_SOCKET, as systemd's Type=notify): "READY=1", "STOPPING=1". */
void process_notify(const char *state);

#endif
