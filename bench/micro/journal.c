#include "bench/micro/journal.h"

#include "engine/journal/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEGMENT_BYTES (16u << 20)

struct place {
    char directory[64];
    struct io_set *ios;
    struct io *io;
    struct budget_account account;
    struct journal *journal;
    uint64_t records; /* in the past */
    uint64_t cut_at;  /* position: 0: never */
};

static void
require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "benchmark: %s\n", what);
        exit(1);
    }
}

static bool
count_record(void *context, const struct journal_record *record)
{
    struct place *place = context;
    place->records++;
    place->records += record->content.data[0] == 0; /* touches it; there is none */
    return true;
}

static void
open_journal(struct place *place)
{
    char error[300];
    struct journal_options options = {.ios = place->ios,
                                      .io = place->io,
                                      .account = &place->account,
                                      .directory = place->directory,
                                      .mode = JOURNAL_ALWAYS,
                                      .segment_bytes = SEGMENT_BYTES};
    struct journal_past past;
    place->journal = journal_open(&options, error, sizeof error);
    require(place->journal != NULL, error);
    place->records = 0;
    require(journal_read(place->journal, count_record, place, &past, error, sizeof error) == 0, error);
}

struct place *
place_open(void)
{
    char error[300];
    struct place *place = calloc(1, sizeof *place);
    require(place != NULL, "out of memory");
    snprintf(place->directory, sizeof place->directory, "bench-journal-%d", (int)getpid());
    place->ios = io_open(&(struct io_options){.shard_count = 1, .sockets_max = 16}, error, sizeof error);
    require(place->ios != NULL, error);
    place->io = io_of_shard(place->ios, 0);
    require(io_enter(place->io) == 0 && io_directory_make(place->ios, place->directory) == 0, "no directory to write to");
    open_journal(place);
    place_append(place, 80);
    place_commit(place); /* the first file is there now */
    return place;
}

static void
turn(struct place *place)
{
    struct io_event events[16];
    place_submit(place);
    unsigned count = io_wait(place->io, 100000000, 0, events, 16);
    for (unsigned i = 0; i < count; i++) {
        journal_event(place->journal, &events[i]);
    }
}

static void
finish(struct place *place)
{
    journal_finish(place->journal);
    while (!journal_is_idle(place->journal)) {
        turn(place);
    }
}

static void
remove_one(void *context, const char *name)
{
    char path[400];
    snprintf(path, sizeof path, "%s/%s", (const char *)context, name);
    unlink(path);
}

void
place_close(struct place *place)
{
    finish(place);
    io_leave(place->io);
    journal_close(&place->journal);
    io_directory_list(place->ios, place->directory, remove_one, place->directory);
    rmdir(place->directory);
    io_close_all(place->ios);
    free(place);
}

void
place_append(struct place *place, uint32_t size)
{
    uint8_t *content;
    journal_append(place->journal, 1, size, &content);
    memset(content, 7, size);
}

void
place_append_and_void(struct place *place, uint32_t size)
{
    uint64_t position = journal_end(place->journal);
    place_append(place, size);
    journal_void(place->journal, position);
}

void
place_submit(struct place *place)
{
    journal_submit(place->journal, io_clock_ns(place->io) / 1000000);
}

void
place_commit(struct place *place)
{
    while (journal_committed(place->journal) < journal_end(place->journal)) {
        turn(place);
    }
    if (place->cut_at > 0 && journal_end(place->journal) > place->cut_at) {
        journal_cut(place->journal, journal_segment_start(place->journal));
        place->cut_at = journal_end(place->journal) + SEGMENT_BYTES;
    }
}

void
place_cut_now_and_then(struct place *place)
{
    place->cut_at = SEGMENT_BYTES;
}

uint64_t
place_read_again(struct place *place)
{
    finish(place);
    journal_close(&place->journal);
    open_journal(place);
    return place->records;
}
