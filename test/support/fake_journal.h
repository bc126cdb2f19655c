/*
 * fake_journal: a journal in memory, for tests of those who wait for it. It stands in for the real one where it is linked first, and commits at the end of each turn, unless it is held.
 */
#ifndef TIDEWIRE_TEST_SUPPORT_FAKE_JOURNAL_H
#define TIDEWIRE_TEST_SUPPORT_FAKE_JOURNAL_H

#include "engine/journal/journal.h"
#include "test/support/world.h"

/* Gives every shard of a world without persistence one, with all that uses it. */
void fake_journals_open(struct world *world);
/* All connections are closed. What is kept is forgotten, but not the sessions. */
void fake_journals_close(struct world *world);

/* Nothing is committed until it is let go. */
void fake_journal_hold(struct world *world, unsigned shard);
void fake_journal_let_go(struct world *world, unsigned shard);
void fake_journal_set_room(struct world *world, unsigned shard, enum journal_room room);
/* Records of this type (engine/durable/entry.h) that were not voided. */
unsigned fake_journal_count(const struct world *world, unsigned shard, uint8_t type);
/* The content of one of them, the oldest is 0; and of the newest. Empty if there is none. */
struct bytes fake_journal_get(const struct world *world, unsigned shard, uint8_t type, unsigned index);
struct bytes fake_journal_newest(const struct world *world, unsigned shard, uint8_t type);

#endif
