/*
 * fetch: reads single records of a journal back, by the place where they begin.
 *
 * A record of several pieces has each next one at the beginning of a batch: the next in its segment, or, if that is full or a write to it has failed, the first of the next segment.
 *
 * Threads  the shard's. Memory  a block of up to a batch for each, and the whole record if it has several pieces.
 */
#ifndef TIDEWIRE_ENGINE_JOURNAL_FETCH_H
#define TIDEWIRE_ENGINE_JOURNAL_FETCH_H

#include "engine/io/io.h"

struct fetch;
struct journal;

/* An IO_FILE_DONE: false if it is not for one of the journal's. */
bool fetch_event(struct journal *journal, const struct io_event *event);
/* Tells those that could not even begin. */
void fetch_tell_failed(struct journal *journal);
/* Gives all up; nothing is under way. */
void fetch_end_all(struct journal *journal);

#endif
