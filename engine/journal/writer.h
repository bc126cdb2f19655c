/*
 * writer: makes a journal that no broker uses yet, with calls that block: what journals of other shards, or another broker's database, are turned into. journal_read() shows what
 * was appended, in its order.
 *
 * The first error is kept, and everything after it does nothing; journal_writer_finish() tells it. Nothing counts before that has returned 0.
 */
#ifndef TIDEWIRE_ENGINE_JOURNAL_WRITER_H
#define TIDEWIRE_ENGINE_JOURNAL_WRITER_H

#include "codec/bytes.h"
#include "engine/io/io.h"

struct journal_writer;

/* `directory` is there, and empty. NULL when out of memory. `segment_bytes`: as the journal will have it. */
struct journal_writer *journal_writer_open(struct io_set *ios, const char *directory, unsigned shard, uint32_t segment_bytes);
/* One record of any size. */
void journal_writer_append(struct journal_writer *w, uint8_t type, struct bytes content);
/* What finish will tell if nothing more is appended: 0 or -errno. */
int journal_writer_result(const struct journal_writer *w);
/* All of it is on the disk, the directory's names too: 0 or -errno. Frees the writer and nulls the pointer. */
int journal_writer_finish(struct journal_writer **writer);
/* The same for one that nobody wants any more: what it has written stays. */
void journal_writer_abandon(struct journal_writer **writer);

#endif
