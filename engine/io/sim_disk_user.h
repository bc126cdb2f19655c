/*
 * sim_disk_user: what sim.c needs of the simulated disk: one world's hold on it, and the requests that its shards have under way.
 *
 *      io_file_put ──► sim_disk_begin ──► ... virtual time: sim_disk_advance ... ──► sim_disk_take_done ──► IO_FILE_DONE
 *
 * Calls that block, and name an io_file or a path, are io.h's own: they are in sim_disk.c as well.
 */
#ifndef TIDEWIRE_ENGINE_IO_SIM_DISK_USER_H
#define TIDEWIRE_ENGINE_IO_SIM_DISK_USER_H

#include "engine/io/io.h"
#include "engine/io/sim_disk.h"

struct sim_disk_user;

/* The disk of sim_set_disk(), or one of its own made from `seed`. */
struct sim_disk_user *sim_disk_attach(uint64_t seed);
/* Its locks go, and what it has under way, untold. */
void sim_disk_detach(struct sim_disk_user **user);
/* The clock as the last world left it; 0: there was none. */
uint64_t sim_disk_clock_ns(const struct sim_disk_user *user);

enum sim_disk_kind { SIM_DISK_PUT, SIM_DISK_PUT_DURABLE, SIM_DISK_GET, SIM_DISK_FLUSH };

struct sim_disk_request {
    struct io_file *file;
    uint64_t token, offset;
    uint8_t *bytes; /* of a put: only read */
    uint32_t size;
    unsigned shard;
    enum sim_disk_kind kind;
};

void sim_disk_begin(struct sim_disk_user *user, const struct sim_disk_request *request, uint64_t now_ns);
/* Carries out what is due by now. */
void sim_disk_advance(struct sim_disk_user *user, uint64_t now_ns);
/* The next time at which anything happens by itself; UINT64_MAX: never. */
uint64_t sim_disk_next_ns(const struct sim_disk_user *user);
/* Whether a request of the shard has ended by now and is not told yet. */
bool sim_disk_any_done(const struct sim_disk_user *user, unsigned shard);
/* Tells one of them. */
bool sim_disk_take_done(struct sim_disk_user *user, unsigned shard, struct io_event *event);
/* io_leave: what the shard has under way is carried out, and not told. */
void sim_disk_finish(struct sim_disk_user *user, unsigned shard);

/* Of the set that a call of io.h names; in sim.c. */
struct sim_disk_user *sim_disk_user_of(struct io_set *set);

#endif
