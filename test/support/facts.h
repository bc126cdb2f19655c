/*
 * facts: what a store says, as lines of text that can be compared: the slow and obvious way of reading journals. Keys are paths; what is below a key goes with it.
 *
 *   s/<session>                  what SESSION says                    s/<session>/sub/<text>, /will, /absent, /received/<packet identifier>, /count
 *   s/<session>/d/<number>       a delivery, with its body            s/<session>/t/<token>   it is known to have that QoS 2 message, whose publisher may send it again
 *   r/<topic>                    a retained message
 */
#ifndef TIDEWIRE_TEST_SUPPORT_FACTS_H
#define TIDEWIRE_TEST_SUPPORT_FACTS_H

#include "engine/durable/store.h"

struct fact {
    char *key, *value;
};

struct facts {
    struct fact *all;
    size_t count, room;
    uint64_t records;
};

/* Reads all journals of an open store. Fails the test if a session, a retained message or a body is not where it belongs. */
void facts_read(struct facts *facts, struct io_set *ios, const struct store *store, unsigned shard_count, uint32_t segment_bytes);
void facts_free(struct facts *facts);
/* Fails the test, and shows the first difference. */
void facts_assert_equal(const struct facts *a, const struct facts *b);

#endif
