/*
 * sim_disk: the controls of the simulated disk behind the files of io.h. It outlives the worlds that use it, so that a test can end one by a crash and begin another on what is left.
 *
 *      sim_disk_make ──► sim_set_disk, io_open ──► the broker writes ... ──► sim_disk_crash ──► io_close_all ──► sim_set_disk, io_open on what is left
 *
 * What is written lies in a cache first, where readers see it; what is not on the disk yet when power fails is kept or lost, 512 bytes by 512 bytes, each as chance will have it, and so
 * is every creation, rename and removal of a name (as a whole). On the disk is what io_file_sync(), io_file_flush() or a durable io_file_put() has been told to have written, and the names
 * of a directory after io_directory_sync().
 *
 * Requests on a shard's ring take virtual time, and end in any order. What a put writes reaches the cache at some moment before its end.
 *
 * Invariants
 *   D1  what is on the disk is never lost, nor anything older found in its place.
 *   D2  equal seeds and equal calls give equal runs.
 *   D3  after a crash the world that used the disk cannot change it any more: its calls fail with -EIO, its requests are never told.
 *   D4  bytes of a put do not change while it is under way: else the process ends.
 *
 * The clock of the next world goes on from that of the last one. One thread. What was cleared and never written to costs no memory.
 */
#ifndef TIDEWIRE_ENGINE_IO_SIM_DISK_H
#define TIDEWIRE_ENGINE_IO_SIM_DISK_H

#include <stddef.h>
#include <stdint.h>

struct sim_disk;

/* An empty disk with nothing but a root directory. */
struct sim_disk *sim_disk_make(uint64_t seed);
/* No world uses it any more. Nulls the pointer. */
void sim_disk_free(struct sim_disk **disk);
/* The disk that the next io_open() gets, and only that one; NULL, or without this: an empty one of its own. */
void sim_set_disk(struct sim_disk *disk);

/* Power fails now. */
void sim_disk_crash(struct sim_disk *disk);
/* Power fails in front of the blocking call (of those that do not only read content) that comes after so many more; 0: the next one. Forgotten at any crash before. */
void sim_disk_crash_after(struct sim_disk *disk, uint32_t calls);
/* The process is killed now, and the system goes on: what was written is not lost, what is under way may have been written or not. D3 holds. */
void sim_disk_kill(struct sim_disk *disk);

/* How long a request on the ring takes, uniform; 50 to 200 microseconds without this. */
void sim_disk_set_latency(struct sim_disk *disk, uint64_t min_ns, uint64_t max_ns);
/* Bytes that all files together may have: more is -ENOSPC, after some of it was written perhaps. UINT64_MAX, as at first: no limit. */
void sim_disk_set_space(struct sim_disk *disk, uint64_t bytes);
/* Of all files that have a name. */
uint64_t sim_disk_bytes(const struct sim_disk *disk);

enum sim_disk_operation {
    SIM_DISK_READ,
    SIM_DISK_WRITE, /* some of it may have been written */
    SIM_DISK_SYNC,  /* what it was for is never synced by a later one (as Linux does it), but may be found */
    SIM_DISK_NAME,  /* open, make, rename, remove, list, sync of a directory */
    SIM_DISK_OPERATIONS,
};
/* The next `count` operations of this kind fail with -EIO. */
void sim_disk_fail(struct sim_disk *disk, enum sim_disk_operation operation, uint32_t count);
/* Turns over `count` random bits of random files; a file is the more likely the larger it is. */
void sim_disk_flip(struct sim_disk *disk, uint32_t count);

/* For tests, past all this: each file that has a name; */
void sim_disk_list(const struct sim_disk *disk, void (*each)(void *context, const char *path, uint64_t size), void *context);
/* its first `room` bytes as a reader sees them, and as result its size or -ENOENT; */
int64_t sim_disk_read_file(const struct sim_disk *disk, const char *path, void *out, size_t room);
/* a file of these bytes alone, and a directory, with all directories above it, at once on the disk. */
void sim_disk_write_file(struct sim_disk *disk, const char *path, const void *bytes, size_t size);
void sim_disk_make_directory(struct sim_disk *disk, const char *path);

#endif
